"""`dailytalk tag`."""

from collections import Counter
from typing import Any

from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.stream import stream
from dailytalk_contiguous.cli.tag_options import TagOptions
from dailytalk_contiguous.cli.terminal import command_line, say, shown_steps
from dailytalk_contiguous.core.documents import JsonObject
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.judged import read_published
from dailytalk_contiguous.core.records.outcome import Outcome, exit_code, to_run
from dailytalk_contiguous.core.records.schema import NOBODY
from dailytalk_contiguous.core.records.utterance import GIVEN
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.pipelines.to_text import NO_MODEL, tag_stages
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, preflight, refuse_downloads, run
from dailytalk_contiguous.run.storage import OF_TAG, open_work
from dailytalk_contiguous.run.tagging import FoundRecordings, TagSpec, list_conversations
from dailytalk_contiguous.sources.folder import MAX_CONVERSATION
from dailytalk_contiguous.sources.hub.published import manifest_of
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.stages.base import Stages, find_stage
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.take_published import TakePublished
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store import work_folder

#: The options of `tag` that are settings of its stages: made for a CPU, so that --help does not query a GPU.
TAG_SETTINGS = cli_options.setting_options(
    *tag_stages(device="cpu"), ClassifyEmotion(NO_MODEL), TokeniseProsody(NO_MODEL)
)

#: The options that `tag --help` shows.
_EVERYDAY = (
    "out",
    "transcripts",
    "language",
    "profile",
    "asr_model",
    "affect_model",
    "device",
    "rules",
    "channel",
    "stage",
    "streaming",
    "dry_run",
    "workers",
)


@cli_options.with_options(TagOptions.parameters() | TAG_SETTINGS, cli_options.STAGE_FILES, _EVERYDAY)
def tag(**options: Any) -> Outcome:
    """Tag every utterance of both speakers.

    It adds words with times, affect, prosody, buckets, a tag and punctuation. Finished work is never done again:
    run the same command after a stop, a crash, or a change of settings.
    """
    return tag_recordings(TagOptions.among(options), options)


def tag_recordings(options: TagOptions, values: cli_options.OptionValues) -> Outcome:
    """Tag by the options of `tag`; `values` has also the settings of its stages."""
    stages = stages_of(values)
    refuse_downloads(options.profile, stages)
    if options.is_stream:
        return stream(options, values, stages, ())
    config = options.folder_config(stages)  # a reader of transcripts decides what is fetched of a store
    source = open_inputs(options.inputs, options.hub_choice)
    work = open_work(options.out)
    run_options = RunOptions(
        options.workers or 0,
        engine_options.parse_shard(options.shard),
        shard_seconds=engine_options.shard_seconds(options.shard_minutes),
        prune=options.prune,
        force=options.force,
        runner=options.runner,
        address=options.address,
        work=work,
        dry_run=options.dry_run,
    )
    if source.repository:
        missing = source.to_fetch()
        if missing.files and options.dry_run:
            return show.to_fetch_outcome(source.repository, missing)
        show.say_dataset(source.repository, missing)
    about: JsonObject = {"command": command_line(), "settings": {"profile": options.profile}}
    with shown_steps():
        recordings = list_conversations(
            source,
            work.folder,
            config,
            run_options.shard_seconds,
            options.source_licence,
            options.speakers,
            not options.hear_again,
        )
    if recordings.fields is not None:
        refuse_hearing(recordings, options, values)
        stages = (TakePublished(recordings.fields),)
        say(f"{options.inputs[0]} is taken as it was published; lines that nobody edits stay as they are")
        about["working_copy"] = working_copy(recordings)
    spec = TagSpec(recordings, work.folder, stages, about)
    show.say_left_out(recordings.left_out)
    unmatched_names = recordings.unmatched_names
    if unmatched_names:
        say(f"--speakers names what is not in INPUT: {show.first_names(unmatched_names)}")
    if options.dry_run:
        intended = run(spec, run_options)
        preflight(intended.left, run_options, fetch=False)
        return tag_intended(recordings, intended, stages)
    with show.bar() as planned:
        done = run(spec, run_options, planned=planned)
    if done.record:
        show.write_readme(done.out, done.title)
    work.settle(OF_TAG if done.record else ())
    return tag_outcome(done)


def refuse_hearing(recordings: FoundRecordings, options: TagOptions, values: cli_options.OptionValues) -> None:
    """Raise DailytalkError for options that would hear the conversations of a version anew.

    The language that all of them have asks for nothing new.
    """
    chosen = [*cli_options.chosen(values, TAG_SETTINGS)]
    hearing = options.hearing | {"transcripts_as": options.transcripts_as, "stage": options.stage}
    chosen += [name for name, value in hearing.items() if value not in (None, False, "", [], MAX_CONVERSATION)]
    languages = {pending.row()["given_language"] for pending in recordings.conversations}
    if "language" in chosen and languages == {values["language"]}:
        chosen.remove("language")
    if chosen:
        flag = f"--{chosen[0].replace('_', '-')}"
        raise DailytalkError(
            f"{flag} has no use with {recordings.inputs.paths[0]}, a version that is taken as it was published",
            f"leave {flag} out, or pass --hear-again to hear its sound anew, without its tags and edits",
        )


def working_copy(recordings: FoundRecordings) -> JsonObject:
    """Return the facts of run.json on the version that was taken (`WorkingCopy`)."""
    labelled = False
    options: dict[str, str | None] = {"revoice": NOBODY}
    for pending in recordings.conversations:
        talk = from_finished(read_published(pending.row()["published"]))
        labelled = labelled or bool(talk.labels)
        for utterance in talk.utterances:
            synthesis = utterance.synthesis
            if synthesis and utterance.is_converted:
                options = {"tts": synthesis.engine}
            elif synthesis:
                options = {"tts": synthesis.engine, "tts_model": synthesis.model, "voice": synthesis.voice}
    speak = {name: value for name, value in options.items() if value}
    repository = recordings.inputs.repository
    run = manifest_of(repository).get("run") if repository else None
    return {"labelled": labelled, "speak": speak, "run": run or {}}


def stages_of(options: cli_options.OptionValues) -> Stages:
    """Return the stages of the options of `tag`, a person's own last."""
    settings = cli_options.chosen(options, TAG_SETTINGS)
    own_stages = cli_options.load_stages(options["stage"] or ())
    own_settings = settings | cli_options.own_of(options, *own_stages)
    return (*tag_stages(options["profile"], **settings), *with_settings(own_stages, own_settings))


def tag_intended(recordings: FoundRecordings, done: RunOutcome, stages: Stages) -> Outcome:
    """The outcome of a dry run by these stages."""
    conversations = recordings.conversations
    recogniser = find_stage(Transcribe, stages)
    language_asked = recogniser.language if recogniser else "auto"
    languages = Counter(pending.row()["given_language"] or language_asked for pending in conversations)
    del languages["auto"]  # which the run finds
    left_out = recordings.left_out
    n_recordings = len({pending.recording_id for pending in conversations})
    seconds = sum(pending.duration for pending in conversations)
    record = {
        "conversations": len(conversations),
        "hidden": left_out.hidden,
        "made_by_dailytalk": left_out.own_results,
        "paired": left_out.paired,
        "guessed": left_out.guessed,
        "unread": left_out.unread,
        "transcribed": recordings.n_transcribed,
        "languages": dict(languages),
    }
    n_conversations = len(conversations)
    total = f"{counted(n_recordings, 'recording')}, {counted(n_conversations, 'conversation')}"
    details = [f"{total}, {length_text(seconds)}", show.transcripts(recordings)]
    return show.dry_run(done, record, details, recordings.problems)


def tag_outcome(done: RunOutcome) -> Outcome:
    """The outcome of a run whose shards are there, or of one host's part of them."""
    out = done.out
    record = done.record
    summary = {
        "out": str(out),
        "complete": record is not None,
        "shards": {"all": len(done.plan.paths), "made": done.run.done, "missing": done.n_missing},
        "audio_seconds": round(done.run.audio_done, 2),
        "wall_seconds": round(done.wall_seconds, 2),
        "time": done.run.time_spent(),
        "run": record,
    }
    details = [show.work_done(done)]
    if record is None:
        return Outcome(
            summary,
            f"{counted(done.n_missing, 'shard')} still missing",
            exit_code(done.n_conversations, len(done.rejects)),
            details,
            next="once all hosts are done: the same command, without --shard if none writes the transcript",
        )
    counts = record["counts"]
    n_given = counts["utterances_by_recogniser"].get(GIVEN)
    if n_given:
        details.append(f"{counted(n_given, 'utterance')} with the words of a transcript")
    if counts["edited"]:
        details.append(f"{counted(counts['edited'], 'line')} left as somebody edited them")
    if record["notes"]:
        details.append(f"{counted(len(record['notes']), 'note')} on conversations, in {work_folder.RUN}")
    conversations = counted(counts["conversations"], "conversation")
    utterances = counted(counts["utterances"], "utterance")
    minutes = record["hours"]["speech"] * 60
    return Outcome(
        summary,
        f"{conversations}, {utterances}, {minutes:.1f} min of speech in {out / work_folder.TRANSCRIPT}",
        exit_code(counts["conversations"], counts["rejects"]),
        details,
        show.rejected_by(record, out, spoken=False),
        to_run("speak", out) if counts["conversations"] else "",
    )
