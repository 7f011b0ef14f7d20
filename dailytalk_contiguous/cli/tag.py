"""`dailytalk tag`, whole or as a stream."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.terminal import SHOWN, Panel, argument, command_line, option, say
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, Rejected, exit_code, to_run
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.emotion_models import AFFECT_MAP
from dailytalk_contiguous.pipelines import NO_MODEL, tag_stages
from dailytalk_contiguous.run import local
from dailytalk_contiguous.run import outputs as run_outputs
from dailytalk_contiguous.run.run import Runner, RunOptions, RunOutcome, intended, run
from dailytalk_contiguous.run.speaking import DATASET
from dailytalk_contiguous.run.storage import OF_TAG, open_work
from dailytalk_contiguous.run.streaming import (
    DISK,
    FRUITLESS,
    HOURS,
    UNSAID,
    Limits,
    StreamJob,
    StreamSpec,
    pinned,
)
from dailytalk_contiguous.run.tagging import TAGGED, FoundRecordings, TagSpec, find
from dailytalk_contiguous.sources.addresses import address_of
from dailytalk_contiguous.sources.folder import MAX_CONVERSATION, FolderConfig
from dailytalk_contiguous.sources.hub_repository import HubChoice, Repository, ToFetch, repository_of, to_fetch
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.sources.transcripts import is_of_many
from dailytalk_contiguous.stages.base import Stage, Stages
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.stages.transcribe import GIVEN, language_of

# `--streaming` of `dailytalk tag` and `dailytalk build`: a dataset on the Hub that is larger than the disk.


#: Options that a stream can't use: the values that they may have, and why it can't.
_UNUSED = {
    "workers": ((None, 1), "a stream works on one window while it fetches the next"),
    "shard": (("1/1",), "a stream has one position"),
    "runner": (("local",), "a stream has one position"),
    "address": (("",), "a stream has one position"),
    "scratch": ((None,), "a stream writes to a disk of this machine"),
    "recordings": ((None,), "a stream brings its recordings"),
    "speakers": ((None,), "a stream learns its recordings' names on the way"),
    "prune": ((False,), "a stream drops no results"),
}

_STOPPED = {
    HOURS: "stopped at --limit-hours; a higher one goes on from there",
    DISK: "stopped at --limit-disk; free some space and run the same command again. Until then there are shards, "
    "and no transcript",
    UNSAID: f"stopped: nothing could be said of {FRUITLESS} windows in a row (see {run_outputs.REJECTS}); run the "
    "same command again once the synthesiser answers",
}


def refuse_limits(options: Mapping[str, Any]) -> None:
    """Raise DailytalkError for limits of a stream where there is none."""
    for name in ("limit_hours", "limit_disk"):
        if options[name] is not None and not options["streaming"]:
            raise DailytalkError(
                f"--{name.replace('_', '-')} is for --streaming", "leave it out, or add --streaming"
            )


def stream(options: Mapping[str, Any], tagging: Stages, speaking: Stages, max_conversation: float) -> Outcome:
    """Run a stream with the options of `tag` or `build`."""
    for name, (values, why) in _UNUSED.items():
        if options.get(name, values[0]) not in values:  # `tag` lacks some of them
            raise DailytalkError(f"--{name} can't be used with --streaming ({why})", "leave it out")
    out: Path = options["out"]
    cli_options.on_this_machine("--out", out)
    head = repository_of(options["inputs"], hub_choice(options))
    if head is None:
        raise DailytalkError("--streaming is for datasets on the Hub", "leave it out for files and folders")
    repository = pinned(head, out)
    config = FolderConfig(
        channel=channel_of(tagging),
        max_conversation=max_conversation,
        transcripts=str(options["transcripts"].absolute()) if options["transcripts"] else None,
        language=language_of(tagging),
        follow_links=options["follow_links"],
    )
    job = StreamJob(
        repository,
        tagging,
        speaking,
        options["profile"],
        config,
        60 * options["shard_minutes"],
        options["source_licence"],
    )
    limits = Limits(options["limit_hours"], 1e9 * (options["limit_disk"] or 0.0))
    spec = StreamSpec(job, out, limits, {"command": command_line()})
    if options["dry_run"]:
        left = spec.left()
        Runner().preflight(left, fetch=False)
        return _to_fetch_outcome(repository, to_fetch(repository), left)
    show.say_slow_precision(tagging, cli_options.chosen(options, TAG_SETTINGS).get("affect_precision"))
    say(f"streaming {repository.reference.repo}, commit {repository.commit[:8]}")
    if repository.commit != head.commit:
        say(f"  it goes on at the commit that it began with; the repository is at {head.commit[:8]} by now")
    before = spec.positions
    if before.windows:
        say(f"  {counted(len(before.windows), 'window')} ({before.audio_seconds / 3600:.2f} h) done")
    with show.bar() as run_bar:
        done = run(spec, planned=run_bar.planned)
    if options["profile_stages"]:
        show.say_time_spent(done.account, done.wall_seconds)
    return stream_outcome(spec, done)


def stream_outcome(spec: StreamSpec, done: RunOutcome) -> Outcome:
    """How far a stream is, and why it stopped."""
    out, spoken, position = spec.out, bool(spec.speaking), spec.positions
    record = {
        "record": done.record,
        "windows": len(position.windows),
        "made": len(spec.made),
        "complete": position.complete,
        "stopped": spec.stopped,
        "held": spec.held,
        "hours": position.audio_seconds / 3600,
        "audio_seconds": sum(spec.made),
        "wall_seconds": done.wall_seconds,
        "account": asdict(done.account),
        "out": as_text(out),
    }
    details = []
    if spec.made:
        speed = sum(spec.made) / done.wall_seconds
        took = f"{length_text(sum(spec.made))} in {length_text(done.wall_seconds)} ({speed:.1f}× real time)"
        details.append(f"{took}, {counted(len(spec.made), 'window')} made")
    else:
        details.append("nothing to do" if position.complete else "nothing was made")
    if spec.held:
        details.append(f"{counted(spec.held, 'conversation')} held back; the next run tries again")
    for label, name in (
        ("transcript", run_outputs.TRANSCRIPT),
        ("dataset", DATASET if spoken else TAGGED),
        ("record", run_outputs.RUN),
    ):
        details.append(f"{label:<12}{as_text(out / name)}")
    all_of_it = "to the end of the source" if position.complete else "so far"
    headline = f"{counted(len(position.windows), 'window')}, {position.audio_seconds / 3600:.2f} h {all_of_it}"
    code, rejected = 3, 0
    if done.record:
        counts = [done.record["counts"]] + ([done.record["speak"]["counts"]] if spoken else [])
        conversations = counted(counts[0]["conversations"], "conversation")
        headline += f": {conversations}, {counted(counts[0]['utterances'], 'utterance')} tagged"
        rejected = sum(pass_counts["rejects"] for pass_counts in counts)
        code = exit_code(
            all(pass_counts.get("conversations") for pass_counts in counts), rejected or spec.stopped == UNSAID
        )
    where = f"in {as_text(out / run_outputs.REJECTS)}"
    return Outcome(
        record,
        headline,
        code,
        details,
        (Rejected(f"{rejected:,}", run_outputs.rejects_in(out), where),) if rejected else (),
        _STOPPED[spec.stopped] if spec.stopped else to_run("check" if spoken else "speak", out),
    )


def hub_choice(options: Mapping[str, Any]) -> HubChoice:
    """The part of a dataset on the Hub that the options of `tag` choose."""
    return HubChoice(*(options[name] for name in ("config", "split", "audio_column", "id_column")))


#: The options of `tag` that are settings of its stages: made for a CPU, so that --help does not query a GPU.
TAG_SETTINGS = cli_options.setting_options(
    *tag_stages(device="cpu"), ClassifyEmotion(NO_MODEL), TokeniseProsody(NO_MODEL)
)


@cli_options.with_options(TAG_SETTINGS)
def tag(
    inputs: list[str] = argument(
        "INPUT", "Recordings, folders of them (s3:// too), or a dataset on the Hub: OWNER/NAME@TAG."
    ),
    out: Path = cli_options.work_option(),
    transcripts: Path | None = option(
        None,
        Panel.INPUT,
        "Transcripts to use instead of recognition: their folder, or a whisper.json.",
        metavar="PATH",
        show_default="those beside the audio",
    ),
    speakers: Path | None = option(
        None,
        Panel.INPUT,
        "Table of who speaks, with columns recording, channel, speaker (and gender, language).",
        metavar="FILE.csv",
    ),
    max_conversation: float = option(
        MAX_CONVERSATION,
        Panel.INPUT,
        "Longer recordings are cut at mutual silence: 15m, 900s, 1h, or never.",
        metavar=cli_options.TIME,
        parser=cli_options.time_of("--max-conversation", {"never": 0.0}, least=1.0),
        show_default=cli_options.time_text(MAX_CONVERSATION),
    ),
    source_licence: str = cli_options.SOURCE_LICENCE,
    profile: str = cli_options.profile_option(),
    fast: bool = option(
        False,
        Panel.MODELS,
        "A preview: short recogniser windows; affect in int8 on CPUs without bfloat16.",
        "--fast",
    ),
    dry_run: bool = cli_options.DRY_RUN,
    workers: int | None = cli_options.WORKERS,
    prune: bool = cli_options.PRUNE,
    profile_stages: bool = cli_options.PROFILE_STAGES,
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
    runner: str = cli_options.RUNNER,
    address: str = cli_options.ADDRESS,
    shard: str = cli_options.SHARD,
    scratch: Path | None = cli_options.SCRATCH,
    shard_minutes: float = cli_options.SHARD_MINUTES,
    follow_links: bool = cli_options.FOLLOW_LINKS,
    stage: list[Path] | None = cli_options.STAGE,
    **options: Any,
) -> Outcome:
    """Tag every utterance of both speakers.

    Words and times, affect, prosody, buckets, tag, punctuation. Finished work is never done again: run the same
    command after a stop, a crash, or a change of settings.
    """
    arguments = dict(locals()) | options
    stages = stages_of(arguments)
    if transcripts is not None and not (transcripts.is_dir() or is_of_many(transcripts)):
        raise DailytalkError(
            f"--transcripts {as_text(transcripts)!r} is neither a folder nor a file of many recordings",
            "give a folder, a whisper.json, or a manifest",
        )
    if streaming:
        return stream(arguments, stages, (), max_conversation)
    refuse_limits(arguments)
    addresses = list(filter(None, map(address_of, inputs)))
    inputs, mirrors = fetch_inputs(inputs)
    work = open_work(out, scratch)
    engine = Runner(runner, address, work, mirrors)
    stages = stages_of(arguments, engine)
    run_options = RunOptions(
        workers or engine.few,
        cli_options.parse_shard(shard),
        shard_seconds=60 * shard_minutes,
        prune=prune,
        runner=engine,
    )
    hub = hub_choice(arguments)
    if dry_run and (repository := repository_of(inputs, hub)) and (missing := to_fetch(repository)).files:
        return _to_fetch_outcome(repository, missing)
    recordings = find(
        inputs,
        work.folder,
        channel_of(stages),
        run_options.shard_seconds,
        max_conversation,
        str(transcripts) if transcripts else None,
        hub=hub,
        licence=source_licence,
        before_fetch=_announce,
        follow_links=follow_links,
        speakers=speakers,
        language=language_of(stages),
    )
    show.say_left_out(recordings.left_out)
    if strangers := recordings.strangers:
        named = counted(len(strangers), "recording")
        say(f"--speakers names {named} not in INPUT: {show.first_names(strangers)}")
    show.say_slow_precision(stages, cli_options.chosen(options, TAG_SETTINGS).get("affect_precision"))
    if dry_run:
        return tag_intended(recordings, *intended(TagSpec(recordings, work.folder, stages), run_options))
    about: dict[str, Any] = {"command": command_line(), "settings": {"profile": profile}}
    about |= {run_outputs.RECORDINGS: addresses} if addresses else {}
    with work.telling(), show.bar() as run_bar:
        done = run(TagSpec(recordings, work.folder, stages, about), run_options, planned=run_bar.planned)
    work.settle(OF_TAG if done.record else ())
    if profile_stages:
        show.say_time_spent(done.account, done.wall_seconds)
    return tag_outcome(done, work.folder)


def stages_of(options: Mapping[str, Any], engine: Runner | None = None) -> Stages:
    """The stages that the options of `tag` ask for, a person's own last, for the devices of `engine`."""
    settings, own_stages = (
        cli_options.chosen(options, TAG_SETTINGS),
        cli_options.load_stages(options["stage"] or ()),
    )
    if engine:
        settings |= {"device": engine.device(settings.get("device", "auto"))}
    own_stages = with_settings(own_stages, cli_options.chosen(options, cli_options.setting_options(*own_stages)))
    return (*tag_stages(options["profile"], options["fast"], **settings), *own_stages)


def _announce(repository: Repository) -> None:
    """Say what has to be fetched from the Hub."""
    for line in _of_repository(repository, to_fetch(repository)):
        say(line)


def _of_repository(repository: Repository, missing: ToFetch) -> list[str]:
    lines, repo = [], repository.reference.repo
    if repository.revoiced:
        notice = f"{repo} holds finished conversations: one speaker of what is read was re-voiced"
        remedy = "its recordings would be the config source, which `dailytalk push --include-source` publishes"
        lines.append(f"{notice}; {remedy}")
    if missing.files:
        files = f"{counted(missing.files, 'file')}, {missing.size / 1e6:,.1f} MB"
        lines.append(f"to fetch from {repo}, commit {repository.commit[:8]}: {files}")
    return lines


def _to_fetch_outcome(repository: Repository, missing: ToFetch, stages: Sequence[Stage] | None = None) -> Outcome:
    """What a dry run over a dataset on the Hub would fetch, and the stages that it would run, if known."""
    record: dict[str, Any] = {"source": repository.about(), "to_fetch": missing._asdict()}
    *details, headline = _of_repository(repository, missing) or ["nothing to fetch"]
    if stages is not None:
        record["stages"] = [stage.name for stage in stages]
        details += show.stages_to_run(stages)
    return Outcome(record, headline, details=details, next=show.DRY_RUN_NEXT)


def tag_intended(recordings: FoundRecordings, plan: local.RunPlan, left: Sequence[Stage]) -> Outcome:
    """What a run would do."""
    rows = recordings.rows
    n_recordings = len({row["recording_id"] for row in rows})
    of_what = f"{counted(n_recordings, 'recording')}, {counted(len(rows), 'conversation')}"
    record = {
        "conversations": len(rows),
        "rejected": [problem.as_dict() for problem in recordings.problems],
        "hidden": recordings.left_out.hidden,
        "made_by_dailytalk": recordings.left_out.made,
        "paired": recordings.left_out.paired,
        "transcripts": vars(recordings.transcripts),
        "shards": {"all": len(plan.paths), "to_make": len(plan.tasks)},
        "audio_seconds": round(plan.seconds, 2),
        "stages": [stage.name for stage in left],
    }
    details = [
        f"{of_what}, {length_text(sum(row['duration'] for row in rows))}",
        show.transcripts(recordings),
        *(show.stages_to_run(left) if plan.tasks else ()),
        *show.each_reject(recordings.problems),
    ]
    return Outcome(record, show.shards_to_make(plan), details=details, next=show.DRY_RUN_NEXT)


def tag_outcome(done: RunOutcome, out: Path) -> Outcome:
    """What a run did."""
    record = done.record
    summary = {
        "out": as_text(out),
        "complete": record is not None,
        "shards": {"all": done.n_shards, "made": done.n_made, "missing": done.n_missing},
        "audio_seconds": round(done.audio_seconds, 2),
        "wall_seconds": round(done.wall_seconds, 2),
        "time": done.account.as_dict(),
        "run": record,
    }
    details: list[str | Figures] = [
        show.work_done(done.n_made, done.n_shards, done.audio_seconds, done.wall_seconds)
    ]
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
    details += [*_of_stages(record), *_of_counts(record)]
    details += [f"transcript  {as_text(out / record['transcript'])}"]
    if record["transcript"] == run_outputs.NEW_TRANSCRIPT:
        details.append("  (transcript.jsonl was edited since it was written, and is left as it is)")
    details.append(f"shards      {as_text(out / TAGGED)}")
    if kept := record.get("unpublished"):
        details.append(f"  (only there: {', '.join(kept)}, which no stage publishes)")
    details += [f"record      {as_text(out / run_outputs.RUN)}", *show.first_lines(out / record["transcript"])]
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


def _of_stages(record: dict[str, Any]) -> list[str | Figures]:
    """How long the stages took, and the models that were used."""
    rows = [
        (
            stage["name"],
            f"{stage['seconds']:.1f}",
            "" if stage["realtime_factor"] is None else f"{stage['realtime_factor']:.4f}",
        )
        for stage in record["stages"]
    ]
    notes = {model["name"]: model["note"] for model in record["models"].values() if model["note"]}
    is_given = record["counts"]["utterances_by_recogniser"].keys() == {GIVEN}
    models = [
        f"model of {stage['name']}: {model}" + (f" ({notes[model]})" if model in notes else "")
        for stage in record["stages"]
        if (model := stage["settings"].get("model")) and not (is_given and stage["name"] == "Transcribe")
    ]
    return [Figures(("stage", ">seconds", ">real-time factor"), rows), *models]


def _of_counts(record: dict[str, Any]) -> list[str]:
    """What was given, what lacks a text, which emotions there are, and the first notes."""
    counts, lines = record["counts"], []
    if from_transcripts := counts["utterances_by_recogniser"].get(GIVEN, 0):
        lines.append(f"{from_transcripts} with the words of a transcript that came with the recording")
        if languages := counts["conversations_by_given_language"]:
            in_them = ", ".join(f"{name} ({counted(n, 'conversation')})" for name, n in languages.items())
            lines.append(f"their language: {in_them}; --language sets another")
        if fitted := counts["words_fitted"]:
            beyond = "fitted to the speech that was found: the given times go beyond it"
            lines.append(f"{counted(fitted, 'word')} {beyond}")
    lines += [f"{count} without text: {reason}" for reason, count in counts["utterances_without_text"].items()]
    if heard := counts.get("emotions"):
        numbers = ", ".join(f"{name} {count:,}" for name, count in heard.items())
        is_estimate = record["models"].get("emotion", {}).get("name") == AFFECT_MAP
        estimate = ", here an estimate" if is_estimate else ""
        lines.append(f"emotion: {numbers} (a guess from sound{estimate}, and no diagnosis)")
    lines += [f"note: {note['conversation_id']}: {note['note']}" for note in record["notes"][:SHOWN]]
    if counts["notes"] > SHOWN:
        lines.append(f"… {counted(counts['notes'] - SHOWN, 'more note')} in {run_outputs.RUN}")
    return lines
