"""`dailytalk tag`."""

from collections import Counter
from pathlib import Path

from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.stream import stream
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, say, shown_steps
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
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.sources.published import manifest_of
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


@cli_options.with_options(TAG_SETTINGS, cli_options.STAGE_FILES, _EVERYDAY)
def tag(
    inputs: list[str] = argument(
        "INPUT", "Recordings, folders of them (s3:// too), or a dataset on the Hub: OWNER/NAME@TAG."
    ),
    out: Path = engine_options.work_option(),
    transcripts: Path | None = engine_options.TRANSCRIPTS,
    tier: list[str] | None = option(
        None,
        Panel.RARE,
        "Tier (or its linguistic type) of TextGrids and ELAN files that holds speech; may be repeated.",
        metavar="NAME",
        show_default="found by its labels",
    ),
    pairs: str = engine_options.PAIRS,
    left: str = engine_options.LEFT,
    sides: str = engine_options.SIDES,
    tracks: str = engine_options.TRACKS,
    speakers: Path | None = engine_options.SPEAKERS,
    anonymous: bool = option(
        False,
        Panel.RARE,
        "Call everybody whom transcripts name caller-1, caller-2 …, as telephone numbers and addresses are.",
    ),
    max_conversation: float = option(
        MAX_CONVERSATION,
        Panel.INPUT,
        "Longer recordings are cut at mutual silence: 15m, 900s, 1h, or never.",
        metavar=cli_options.TIME,
        parser=cli_options.time_of({"never": 0.0}),
        show_default=cli_options.time_text(MAX_CONVERSATION),
    ),
    align_sides: bool = option(
        False,
        Panel.RARE,
        "Lay the sides of a recording on one clock where they are out of step, drift, or lack sound.",
        "--align-sides",
    ),
    source_licence: str = cli_options.SOURCE_LICENCE,
    profile: str = cli_options.profile_option(),
    dry_run: bool = engine_options.DRY_RUN,
    workers: int | None = engine_options.WORKERS,
    prune: bool = engine_options.PRUNE,
    force: bool = engine_options.FORCE,
    split: str = cli_options.SPLIT,
    config: str = option("", Panel.HUB, "Config of the dataset.", metavar="NAME", show_default="guessed"),
    audio_column: str = option(
        "",
        Panel.HUB,
        "Column that holds the audio, or those of its sides: agent,customer.",
        metavar="NAME|LEFT,RIGHT",
        show_default="the one with stereo audio",
    ),
    id_column: str = option(
        "",
        Panel.HUB,
        "Column that names the recordings.",
        metavar="NAME",
        show_default="conversation_id, id, or the file name",
    ),
    streaming: bool = option(
        False, Panel.HUB, "Keep no recordings, for a dataset larger than the disk.", "--streaming"
    ),
    limit_hours: float | None = option(
        None, Panel.HUB, "Stream, and stop after so many hours of audio.", metavar="HOURS", min=0
    ),
    runner: str = engine_options.RUNNER,
    address: str = engine_options.ADDRESS,
    shard: str = engine_options.SHARD,
    shard_minutes: float | None = engine_options.SHARD_MINUTES,
    hear_again: bool = option(
        False,
        Panel.HUB,
        "Hear a version anew, as recordings: its tags and edits are not taken.",
        "--hear-again",
    ),
    stage: list[Path] | None = cli_options.STAGE,
    **options: object,
) -> Outcome:
    """Tag every utterance of both speakers.

    It adds words with times, affect, prosody, buckets, a tag and punctuation. Finished work is never done again:
    run the same command after a stop, a crash, or a change of settings.
    """
    arguments = dict(locals()) | options
    stages = stages_of(arguments)
    refuse_downloads(profile, stages)
    if engine_options.is_stream(arguments):
        return stream(arguments, stages, ())
    source = open_inputs(inputs, engine_options.hub_choice(arguments))
    work = open_work(out)
    run_options = RunOptions(
        workers or 0,
        engine_options.parse_shard(shard),
        shard_seconds=engine_options.shard_seconds(shard_minutes),
        prune=prune,
        force=force,
        runner=runner,
        address=address,
        work=work,
        dry_run=dry_run,
    )
    if source.repository:
        missing = source.to_fetch()
        if missing.files and dry_run:
            return show.to_fetch_outcome(source.repository, missing)
        show.say_dataset(source.repository, missing)
    config = engine_options.folder_config(arguments, stages)
    about: JsonObject = {"command": command_line(), "settings": {"profile": profile}}
    with shown_steps():
        recordings = list_conversations(
            source, work.folder, config, run_options.shard_seconds, source_licence, speakers, not hear_again
        )
    if recordings.fields is not None:
        refuse_hearing(recordings, arguments)
        stages = (TakePublished(recordings.fields),)
        say(f"{inputs[0]} is taken as it was published; lines that nobody edits stay as they are")
        about["working_copy"] = working_copy(recordings)
    spec = TagSpec(recordings, work.folder, stages, about)
    show.say_left_out(recordings.left_out)
    unmatched_names = recordings.unmatched_names
    if unmatched_names:
        say(f"--speakers names what is not in INPUT: {show.first_names(unmatched_names)}")
    if dry_run:
        intended = run(spec, run_options)
        preflight(intended.left, run_options, fetch=False)
        return tag_intended(recordings, intended, stages)
    with show.bar() as planned:
        done = run(spec, run_options, planned=planned)
    if done.record:
        show.write_readme(done.out, done.title)
    work.settle(OF_TAG if done.record else ())
    return tag_outcome(done)


#: The options of `tag` beside settings of its stages that say how recordings are heard.
_HEARING = (
    "transcripts",
    "tier",
    "pairs",
    "left",
    "sides",
    "tracks",
    "anonymous",
    "max_conversation",
    "align_sides",
    "stage",
)


def refuse_hearing(recordings: FoundRecordings, options: cli_options.OptionValues) -> None:
    """Raise DailytalkError for options that would hear the conversations of a version anew.

    The language that all of them have asks for nothing new.
    """
    chosen = [*cli_options.chosen(options, TAG_SETTINGS)]
    chosen += [name for name in _HEARING if options[name] not in (None, False, "", [], MAX_CONVERSATION)]
    languages = {pending.row()["given_language"] for pending in recordings.conversations}
    if "language" in chosen and languages == {options["language"]}:
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
        "shards": {"all": done.n_shards, "made": done.run.done, "missing": done.n_missing},
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
