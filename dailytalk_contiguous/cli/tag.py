"""`dailytalk tag`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import SHOWN, Panel, argument, command_line, option, say, shown_steps
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, exit_code, to_run
from dailytalk_contiguous.core.utterance import GIVEN
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.pipelines.to_text import NO_MODEL, tag_stages
from dailytalk_contiguous.run.run import Runner, RunOptions, RunOutcome, intended, refuse_downloads, run
from dailytalk_contiguous.run.shard import RunPlan
from dailytalk_contiguous.run.tagging import FoundRecordings, TagSpec, find
from dailytalk_contiguous.sources.addresses import address_of
from dailytalk_contiguous.sources.folder import MAX_CONVERSATION
from dailytalk_contiguous.sources.transcript_formats import FORMATS, ending_of
from dailytalk_contiguous.stages.base import Stage, Stages
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.stages.transcribe import language_of
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.work_folder import TAGGED

if TYPE_CHECKING:
    from dailytalk_contiguous.sources.hub_repository import Repository


def refuse_limits(options: Mapping[str, Any]) -> None:
    for name in ("limit_hours", "limit_disk"):
        if options[name] is not None and not options["streaming"]:
            raise DailytalkError(
                f"--{name.replace('_', '-')} is for --streaming", "leave it out, or add --streaming"
            )


#: The options of `tag` that are settings of its stages: made for a CPU, so that --help does not query a GPU.
TAG_SETTINGS = cli_options.setting_options(
    *tag_stages(device="cpu"), ClassifyEmotion(NO_MODEL), TokeniseProsody(NO_MODEL)
)


@cli_options.with_options(TAG_SETTINGS)
def tag(
    inputs: list[str] = argument(
        "INPUT", "Recordings, folders of them (s3:// too), or a dataset on the Hub: OWNER/NAME@TAG."
    ),
    out: Path = engine_options.work_option(),
    transcripts: Path | None = option(
        None,
        Panel.INPUT,
        "Transcripts to use instead of recognition: their folder, or one file.",
        metavar="PATH",
        show_default="those beside the audio",
    ),
    tier: list[str] | None = option(
        None,
        Panel.RARE,
        "Tier (or its linguistic type) of TextGrids and ELAN files that holds speech; may be repeated.",
        metavar="NAME",
        show_default="found by its labels",
    ),
    speakers: Path | None = option(
        None,
        Panel.RARE,
        "Table of who speaks, with columns recording, channel, speaker (and gender, language).",
        metavar="FILE.csv",
    ),
    max_conversation: float = option(
        MAX_CONVERSATION,
        Panel.INPUT,
        "Longer recordings are cut at mutual silence: 15m, 900s, 1h, or never.",
        metavar=cli_options.TIME,
        parser=cli_options.time_of({"never": 0.0}),
        show_default=cli_options.time_text(MAX_CONVERSATION),
    ),
    source_licence: str = cli_options.SOURCE_LICENCE,
    profile: str = cli_options.profile_option(),
    dry_run: bool = engine_options.DRY_RUN,
    workers: int | None = engine_options.WORKERS,
    prune: bool = engine_options.PRUNE,
    force: bool = engine_options.FORCE,
    split: str = cli_options.split_option("all", "NAME|FOLDER"),
    config: str = option("", Panel.HUB, "Its config.", metavar="NAME", show_default="guessed"),
    audio_column: str = option(
        "", Panel.HUB, "Its column of audio.", metavar="NAME", show_default="the one with stereo audio"
    ),
    id_column: str = option(
        "",
        Panel.HUB,
        "The column that names its recordings.",
        metavar="NAME",
        show_default="conversation_id, id, or the file name",
    ),
    streaming: bool = option(
        False, Panel.HUB, "Keep no recording: for a dataset larger than the disk.", "--streaming"
    ),
    limit_hours: float | None = option(
        None, Panel.HUB, "With --streaming: stop after so many hours of audio.", metavar="HOURS", min=0
    ),
    limit_disk: float | None = option(
        None,
        Panel.HUB,
        "With --streaming: stop before less than so many GB are free on the disk of --out.",
        metavar="GB",
        min=0,
    ),
    runner: str = engine_options.RUNNER,
    address: str = engine_options.ADDRESS,
    shard: str = engine_options.SHARD,
    shard_minutes: float = engine_options.SHARD_MINUTES,
    stage: list[Path] | None = cli_options.STAGE,
    **options: Any,
) -> Outcome:
    """Tag every utterance of both speakers.

    Words and times, affect, prosody, buckets, tag, punctuation. Finished work is never done again: run the same
    command after a stop, a crash, or a change of settings.
    """
    arguments = dict(locals()) | options
    stages = stages_of(arguments)
    refuse_downloads(profile, stages)
    if transcripts and not (transcripts.is_dir() or (transcripts.is_file() and ending_of(transcripts.name))):
        raise DailytalkError(
            f"--transcripts {str(transcripts)!r} is neither a folder nor a transcript",
            f"give a folder, or a file of {', '.join(FORMATS)}",
        )
    if streaming:
        from dailytalk_contiguous.cli.stream import stream

        return stream(arguments, stages, (), max_conversation)
    refuse_limits(arguments)
    from dailytalk_contiguous.run.storage import OF_TAG, open_work  # here: stores are seldom used
    from dailytalk_contiguous.sources.remote import fetch_inputs

    addresses = list(filter(None, map(address_of, inputs)))
    inputs, mirrors = fetch_inputs(inputs)
    work = open_work(out)
    engine = Runner(runner, address, work, mirrors)
    stages = stages_of(arguments, engine)
    run_options = RunOptions(
        workers or engine.few,
        engine_options.parse_shard(shard),
        shard_seconds=60 * shard_minutes,
        prune=prune,
        force=force,
        runner=engine,
    )
    hub = engine_options.hub_choice(arguments)
    if dry_run:
        from dailytalk_contiguous.sources.hub_repository import repository_of, to_fetch

        if (repository := repository_of(inputs, hub)) and (missing := to_fetch(repository)).files:
            return show.to_fetch_outcome(repository, missing)
    with shown_steps():
        recordings = find(
            inputs,
            work.folder,
            channel_of(stages),
            run_options.shard_seconds,
            max_conversation,
            str(transcripts) if transcripts else None,
            hub=hub,
            licence=source_licence,
            before_fetch=say_what_is_fetched,
            speakers=speakers,
            language=language_of(stages),
            tier=tier or (),
        )
    show.say_left_out(recordings.left_out)
    if unmatched_names := recordings.unmatched_names:
        named = counted(len(unmatched_names), "recording")
        say(f"--speakers names {named} not in INPUT: {show.first_names(unmatched_names)}")
    if dry_run:
        return tag_intended(recordings, *intended(TagSpec(recordings, work.folder, stages), run_options))
    about: dict[str, Any] = {"command": command_line(), "settings": {"profile": profile}}
    about |= {work_folder.RECORDINGS: addresses} if addresses else {}
    with work.telling(), show.bar() as planned:
        done = run(TagSpec(recordings, work.folder, stages, about), run_options, planned=planned)
    if done.record:
        show.write_readme(work.folder, out.absolute().name, done.n_made)
    work.settle(OF_TAG if done.record else ())
    return tag_outcome(done, work.folder)


def stages_of(options: Mapping[str, Any], engine: Runner | None = None) -> Stages:
    """Return the stages of the options of `tag`, a person's own last, for the devices of `engine`."""
    settings = cli_options.chosen(options, TAG_SETTINGS)
    if engine:
        settings |= {"device": engine.device(settings.get("device", "auto"))}
    return (*tag_stages(options["profile"], **settings), *cli_options.load_stages(options["stage"] or ()))


def say_what_is_fetched(repository: "Repository") -> None:
    from dailytalk_contiguous.sources.hub_repository import to_fetch

    for line in show.to_fetch_lines(repository, to_fetch(repository)):
        say(line)


def tag_intended(recordings: FoundRecordings, plan: RunPlan, left: Sequence[Stage]) -> Outcome:
    rows = recordings.rows
    n_recordings = len({row["recording_id"] for row in rows})
    of_what = f"{counted(n_recordings, 'recording')}, {counted(len(rows), 'conversation')}"
    record = {
        "conversations": len(rows),
        "hidden": recordings.left_out.hidden,
        "made_by_dailytalk": recordings.left_out.made,
        "paired": recordings.left_out.paired,
        "unread": recordings.left_out.unread,
        "transcripts": vars(recordings.transcripts),
    }
    total = f"{of_what}, {length_text(sum(row['duration'] for row in rows))}"
    details = [total, show.transcripts(recordings, left)]
    return show.dry_run(plan, left, record, details, recordings.problems)


def tag_outcome(done: RunOutcome, out: Path) -> Outcome:
    record = done.record
    summary = {
        "out": str(out),
        "complete": record is not None,
        "shards": {"all": done.n_shards, "made": done.n_made, "missing": done.n_missing},
        "audio_seconds": round(done.audio_seconds, 2),
        "wall_seconds": round(done.wall_seconds, 2),
        "time": done.time,
        "run": record,
    }
    details: list[str | Figures] = [show.work_done(done)]
    if record is None:
        return Outcome(
            summary,
            f"{counted(done.n_missing, 'shard')} still missing"
            + ("" if done.n_conversations else "; no recording could be used"),
            exit_code(done.n_conversations, len(done.rejects)),
            details,
            next="nothing: the host that makes the last shard writes the transcript. If all hosts are done, run "
            "once more without --shard",
        )
    counts = record["counts"]
    details += _counted(record)
    details += [f"transcript  {out / work_folder.TRANSCRIPT}"]
    if edits := counts["edits_that_differ"]:
        details.append(f"  ({counted(edits, 'line')} that people changed also came out differently: theirs stay)")
    details.append(f"shards      {out / TAGGED}")
    if kept := record.get("unpublished"):
        details.append(f"  (only there: {', '.join(kept)}, which no stage publishes)")
    details += [f"record      {out / work_folder.RUN}", *show.first_lines(out / work_folder.TRANSCRIPT)]
    tagged = (
        f"{counted(counts['conversations'], 'conversation')}, {counted(counts['utterances'], 'utterance')} "
        f"({counts['short_utterances']} short), {record['hours']['speech'] * 60:.1f} min of speech"
    )
    return Outcome(
        summary,
        tagged if counts["conversations"] else "no recording could be used",
        exit_code(counts["conversations"], counts["rejects"]),
        details,
        show.rejected_by(record, out, spoken=False),
        to_run("speak", out) if counts["conversations"] else "",
    )


def _counted(record: dict[str, Any]) -> list[str]:
    counts, lines = record["counts"], []
    if from_transcripts := counts["utterances_by_recogniser"].get(GIVEN, 0):
        lines.append(f"{from_transcripts} with the words of a transcript that came with the recording")
        if languages := counts["conversations_by_given_language"]:
            listed = ", ".join(f"{name} ({counted(n, 'conversation')})" for name, n in languages.items())
            lines.append(f"their language: {listed}; --language sets another")
    lines += [f"{count} without text: {reason}" for reason, count in counts["utterances_without_text"].items()]
    if emotions := counts.get("emotions"):
        numbers = ", ".join(f"{name} {count:,}" for name, count in emotions.items())
        lines.append(f"emotion: {numbers} (a guess from sound, and no diagnosis)")
    lines += [f"note: {note['conversation_id']}: {note['note']}" for note in record["notes"][:SHOWN]]
    if counts["notes"] > SHOWN:
        lines.append(f"… {counted(counts['notes'] - SHOWN, 'more note')} in {work_folder.RUN}")
    return lines
