"""`dailytalk tag`, whole or as a stream."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.show import bar, profile_table
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    command_line,
    exit_code,
    option,
    print_json,
    show_rejects,
    show_verdict,
)
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines import NO_MODEL, tag_stages
from dailytalk_contiguous.run import local
from dailytalk_contiguous.run.outputs import RECORDINGS, REJECTS, RUN, TRANSCRIPT, rejects_in
from dailytalk_contiguous.run.passes import RUNNERS, Runner, RunOptions, runner_of
from dailytalk_contiguous.run.speaking import DATASET
from dailytalk_contiguous.run.storage import OF_TAG, open_work
from dailytalk_contiguous.run.streaming import (
    DISK,
    FRUITLESS,
    HOURS,
    UNSAID,
    Limits,
    Positions,
    Streamed,
    StreamJob,
    intended_stream,
    pinned,
)
from dailytalk_contiguous.run.streaming import stream_dataset as run_streaming
from dailytalk_contiguous.run.tagging import TAGGED, FoundRecordings, TagOutcome, find, intended_tag
from dailytalk_contiguous.run.tagging import tag_recordings as run_tagging
from dailytalk_contiguous.sources.addresses import address_of
from dailytalk_contiguous.sources.folder import MAX_CONVERSATION, FolderConfig
from dailytalk_contiguous.sources.hub_repository import HubChoice, Repository, repository_of, to_fetch
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.sources.transcripts import is_of_many
from dailytalk_contiguous.stages.base import Stage, Stages
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.stages.transcribe import language_of

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
    UNSAID: f"stopped: nothing could be said of {FRUITLESS} windows in a row (see {REJECTS}); run the same "
    "command again once the synthesiser answers",
}


def refuse_limits(options: Mapping[str, Any]) -> None:
    """Raise DailytalkError for limits of a stream where there is none."""
    for name in ("limit_hours", "limit_disk"):
        if options[name] is not None and not options["streaming"]:
            raise DailytalkError(
                f"--{name.replace('_', '-')} is for --streaming", "leave it out, or add --streaming"
            )


def stream(options: Mapping[str, Any], tagging: Stages, speaking: Stages, max_conversation: float) -> int:
    """Run a stream with the options of `tag` or `build`; gives the exit code."""
    for name, (values, why) in _UNUSED.items():
        if options.get(name, values[0]) not in values:  # `tag` lacks some of them
            raise DailytalkError(f"--{name} can't be used with --streaming ({why})", "leave it out")
    out: Path = options["out"]
    cli_options.on_this_machine("--out", out)
    hub = HubChoice(options["config"], options["split"], options["audio_column"], options["id_column"])
    head = repository_of(options["inputs"], hub)
    if head is None:
        raise DailytalkError("--streaming is for datasets on the Hub", "leave it out for files and folders")
    repository = pinned(head, out)
    console = Console(stderr=options["as_json"])
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
    if options["dry_run"]:
        stages, missing = intended_stream(job, out, limits), to_fetch(repository)
        if options["as_json"]:
            names = [stage.name for stage in stages]
            print_json({"source": repository.about(), "to_fetch": missing._asdict(), "stages": names})
        else:
            show.show_to_fetch(console, repository, missing)
            show.stages_to_run(console, stages)
        return 0
    show.slow_precision(console, tagging, cli_options.chosen(options, TAG_SETTINGS).get("affect_precision"))
    _begins(console, repository, head, out)
    with bar(console, quiet=options["as_json"]) as run_bar:
        done = run_streaming(job, out, limits, {"command": command_line()}, planned=run_bar.planned)
    if options["as_json"]:
        print_json(asdict(done) | {"out": as_text(out)})
    else:
        _ends(console, done, out, bool(speaking))
    if options["profile_stages"]:
        console.print(profile_table(done.account, done.wall_seconds))
    return _stream_exit_code(done, bool(speaking))


def _begins(console: Console, repository: Repository, head: Repository, out: Path) -> None:
    console.print(f"streaming {repository.reference.repo}, commit {repository.commit[:8]}")
    if repository.commit != head.commit:
        console.print(
            f"  it goes on at the commit that it began with; the repository is at {head.commit[:8]} by now"
        )
    before = Positions(out)
    if before.windows:
        console.print(f"  {counted(len(before.windows), 'window')} ({before.audio_seconds / 3600:.2f} h) done")


def _ends(console: Console, done: Streamed, out: Path, spoken: bool) -> None:
    if done.made:
        speed = done.audio_seconds / done.wall_seconds
        console.print(
            f"{done.audio_seconds / 60:.1f} min in {done.wall_seconds:.1f} s ({speed:.1f}× real time), "
            f"{counted(done.made, 'window')} made"
        )
    else:
        console.print("nothing to do" if done.complete else "nothing was made")
    all_of_it = "to the end of the source" if done.complete else "so far"
    console.print(f"{counted(done.windows, 'window')}, {done.hours:.2f} h {all_of_it}")
    if done.stopped:
        console.print(_STOPPED[done.stopped])
    if done.held:
        console.print(f"{counted(done.held, 'conversation')} held back; the next run tries again")
    if done.record:
        counts = done.record["counts"]
        conversations = counted(counts["conversations"], "conversation")
        console.print(f"{conversations}, {counted(counts['utterances'], 'utterance')} tagged")
        rejects = counts["rejects"] + (done.record["speak"]["counts"]["rejects"] if spoken else 0)
        if rejects:
            show_rejects(console, f"{rejects:,}", f"in {as_text(out / REJECTS)}", rejects_in(out))
    for label, name in (("transcript", TRANSCRIPT), ("dataset", DATASET if spoken else TAGGED), ("record", RUN)):
        console.print(f"{label:<12}{escape(as_text(out / name))}")


def _stream_exit_code(done: Streamed, spoken: bool) -> int:
    if done.record is None:
        return 3
    counts = [done.record["counts"]] + ([done.record["speak"]["counts"]] if spoken else [])
    if not all(pass_counts.get("conversations") for pass_counts in counts):
        return 1
    return 3 if done.stopped == UNSAID or any(pass_counts["rejects"] for pass_counts in counts) else 0


#: The options of `tag` that are settings of its stages: made for a CPU, so that --help does not query a GPU.
TAG_SETTINGS = cli_options.setting_options(
    *tag_stages(device="cpu"), ClassifyEmotion(NO_MODEL), TokeniseProsody(NO_MODEL)
)


@cli_options.with_options(TAG_SETTINGS)
def tag(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Recordings, folders of them (s3:// too), or a dataset on the Hub: OWNER/NAME@TAG.",
        ),
    ],
    out: Annotated[Path, cli_options.work_option()],
    transcripts: Annotated[
        Path | None,
        option(
            HelpPanel.INPUT,
            "Transcripts to use instead of recognition: their folder, or a whisper.json.",
            metavar="PATH",
            show_default="those beside the audio",
        ),
    ] = None,
    speakers: Annotated[
        Path | None,
        option(
            HelpPanel.INPUT,
            "Table of who speaks, with columns recording, channel, speaker (and gender, language).",
            metavar="FILE.csv",
        ),
    ] = None,
    max_conversation: Annotated[
        float,
        option(
            HelpPanel.INPUT,
            "Longer recordings are cut at mutual silence: 15m, 900s, 1h, or never.",
            metavar=cli_options.TIME,
            parser=cli_options.time_of("--max-conversation", {"never": 0.0}, least=1.0),
            show_default=cli_options.time_text(MAX_CONVERSATION),
        ),
    ] = MAX_CONVERSATION,
    source_licence: Annotated[str, cli_options.source_licence_option("the card's, on the Hub")] = "",
    profile: Annotated[str, cli_options.profile_option()] = STANDARD,
    fast: Annotated[
        bool,
        option(
            HelpPanel.MODELS,
            "A preview: recogniser windows as short as the utterances.",
            "--fast",
        ),
    ] = False,
    dry_run: cli_options.DryRunOption = False,
    as_json: AsJsonOption = False,
    workers: cli_options.WorkersOption = None,
    prune: cli_options.PruneOption = False,
    profile_stages: cli_options.ProfileStagesOption = False,
    split: Annotated[
        str,
        option(
            HelpPanel.HUB,
            "Its split; or a folder of its audio files.",
            metavar="NAME",
            show_default="all",
        ),
    ] = "",
    config: Annotated[str, option(HelpPanel.HUB, "Its config.", metavar="NAME", show_default="guessed")] = "",
    audio_column: Annotated[
        str,
        option(HelpPanel.HUB, "Its column of audio.", metavar="NAME", show_default="the one with stereo audio"),
    ] = "",
    id_column: Annotated[
        str,
        option(
            HelpPanel.HUB,
            "The column that names its recordings.",
            metavar="NAME",
            show_default="conversation_id, id, or the file name",
        ),
    ] = "",
    streaming: Annotated[
        bool,
        option(HelpPanel.HUB, "Keep no recording: for a dataset larger than the disk.", "--streaming"),
    ] = False,
    limit_hours: Annotated[
        float | None,
        option(HelpPanel.HUB, "With --streaming: stop after so many hours of audio.", metavar="HOURS", min=0),
    ] = None,
    limit_disk: Annotated[
        float | None,
        option(
            HelpPanel.HUB,
            "With --streaming: stop before less than so many GB are free on the disk of --out.",
            metavar="GB",
            min=0,
        ),
    ] = None,
    runner: cli_options.RunnerOption = RUNNERS[0],
    address: cli_options.AddressOption = "",
    shard: cli_options.ShardOption = "1/1",
    scratch: cli_options.ScratchOption = None,
    shard_minutes: cli_options.ShardMinutesOption = cli_options.SHARD_MINUTES,
    follow_links: cli_options.FollowLinksOption = False,
    stage: cli_options.StageOption = None,
    **options: Any,
) -> None:
    """Tag every utterance of both speakers: words and times, affect, prosody, buckets, tag, punctuation.

    Finished work is never done again: run the same command after a stop, a crash, or a change of settings.
    """
    arguments = dict(locals()) | options
    stages = stages_of(arguments)
    if transcripts is not None and not (transcripts.is_dir() or is_of_many(transcripts)):
        raise DailytalkError(
            f"--transcripts {as_text(transcripts)!r} is neither a folder nor a file of many recordings",
            "give a folder, a whisper.json, or a manifest",
        )
    if streaming:
        raise typer.Exit(stream(arguments, stages, (), max_conversation))
    refuse_limits(arguments)
    addresses = list(filter(None, map(address_of, inputs)))
    inputs, mirrors = fetch_inputs(inputs)
    work = open_work(out, scratch)
    out = work.folder
    engine = runner_of(runner, address, work, mirrors)
    stages = stages_of(arguments, engine)
    run_options = RunOptions(
        workers or engine.few,
        cli_options.parse_shard(shard),
        shard_seconds=60 * shard_minutes,
        prune=prune,
        runner=engine,
    )
    console = Console(stderr=as_json)
    recordings = find(
        inputs,
        out,
        channel_of(stages),
        run_options.shard_seconds,
        max_conversation,
        str(transcripts) if transcripts else None,
        hub=HubChoice(config, split, audio_column, id_column),
        licence=source_licence,
        before_fetch=lambda repository: _announce(console, repository, dry_run, as_json),
        follow_links=follow_links,
        speakers=speakers,
        language=language_of(stages),
    )
    show.left_out(console, recordings.left_out)
    show.strangers(console, recordings.strangers)
    show.slow_precision(console, stages, cli_options.chosen(options, TAG_SETTINGS).get("affect_precision"))
    if dry_run:
        plan = intended_tag(recordings, out, stages, run_options)[0]
        if as_json:
            print_json(_intended(recordings, plan, stages))
        else:
            show.tag_dry_run(console, recordings, plan, stages)
        raise typer.Exit(0)
    about: dict[str, Any] = {"command": command_line(), "settings": {"profile": profile}}
    about |= {RECORDINGS: addresses} if addresses else {}
    with work.telling(), bar(console, quiet=as_json) as run_bar:
        outcome = run_tagging(recordings, out, stages, run_options, about, planned=run_bar.planned)
    work.settle(OF_TAG if outcome.record else ())
    if as_json:
        print_json(_summary(outcome, out))
    else:
        show.tag_outcome(console, outcome, out)
        show_verdict(console, _exit_code(outcome))
    if profile_stages:
        console.print(profile_table(outcome.account, outcome.wall_seconds))
    raise typer.Exit(_exit_code(outcome))


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


def _announce(console: Console, repository: Repository, dry_run: bool, as_json: bool) -> None:
    """Print what has to be fetched from the Hub; a dry run with something to fetch ends here."""
    missing = to_fetch(repository)
    if repository.revoiced and not as_json:
        show.revoiced_text(console, repository)
    if missing.files and not (dry_run and as_json):
        show.show_to_fetch(console, repository, missing)
    if missing.files and dry_run:
        if as_json:
            print_json({"source": repository.about(), "to_fetch": missing._asdict()})
        raise typer.Exit(0)


def _exit_code(outcome: TagOutcome) -> int:
    n_rejects = outcome.record["counts"]["rejects"] if outcome.record else len(outcome.problems)
    n_rows = outcome.record["counts"]["conversations"] if outcome.record else outcome.n_conversations
    return exit_code(n_rows, n_rejects)


def _intended(recordings: FoundRecordings, plan: local.RunPlan, stages: Sequence[Stage]) -> dict[str, Any]:
    return {
        "conversations": len(recordings.rows),
        "rejected": [problem.as_dict() for problem in recordings.problems],
        "hidden": recordings.left_out.hidden,
        "made_by_dailytalk": recordings.left_out.made,
        "paired": recordings.left_out.paired,
        "transcripts": vars(recordings.transcripts),
        "shards": {"all": len(plan.paths), "to_make": len(plan.tasks)},
        "audio_seconds": round(plan.seconds, 2),
        "stages": [stage.name for stage in stages[plan.first_stage :]] if plan.tasks else [],
    }


def _summary(outcome: TagOutcome, out: Path) -> dict[str, Any]:
    return {
        "out": as_text(out),
        "complete": outcome.record is not None,
        "shards": {"all": outcome.n_shards, "made": outcome.n_made, "missing": outcome.n_missing},
        "audio_seconds": round(outcome.audio_seconds, 2),
        "wall_seconds": round(outcome.wall_seconds, 2),
        "time": outcome.account.as_dict(),
        "run": outcome.record,
    }
