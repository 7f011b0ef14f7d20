"""`--streaming` of `dailytalk tag` and `dailytalk build`: a dataset on the Hub that is larger than the disk."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import on_this_machine
from dailytalk_contiguous.cli.progress import bar, profile_table
from dailytalk_contiguous.cli.rejects import show_rejects
from dailytalk_contiguous.cli.terminal import Console, print_json
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.engine.outputs import REJECTS, RUN, TRANSCRIPT, rejects_in
from dailytalk_contiguous.engine.positions import Positions
from dailytalk_contiguous.engine.speaking import DATASET
from dailytalk_contiguous.engine.stream_job import Job, Limits, pinned
from dailytalk_contiguous.engine.streaming import DISK, FRUITLESS, HOURS, UNSAID, Streamed, intended_stream
from dailytalk_contiguous.engine.streaming import stream as run_streaming
from dailytalk_contiguous.engine.tagging import TAGGED
from dailytalk_contiguous.pipeline import SpeakSettings, TagSettings
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.hub import repository_of, to_fetch
from dailytalk_contiguous.sources.hub_repository import HubChoice, Repository

#: Options that mean nothing for a stream: what they may be all the same, and why.
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


def refuse_limits(given: Mapping[str, Any]) -> None:
    """Raise DailytalkError for limits of a stream where there is none."""
    for name in ("limit_hours", "limit_disk"):
        if given[name] is not None and not given["streaming"]:
            raise DailytalkError(
                f"--{name.replace('_', '-')} is for --streaming", "leave it out, or add --streaming"
            )


def stream(
    given: Mapping[str, Any], tag: TagSettings, speak: SpeakSettings | None, max_conversation: float
) -> int:
    """Carry out what the options of `tag` or `build` ask for; the exit code."""
    for name, (values, why) in _UNUSED.items():
        if given.get(name, values[0]) not in values:  # `tag` has not all of them
            raise DailytalkError(f"--{name} can't be used with --streaming ({why})", "leave it out")
    out: Path = given["out"]
    on_this_machine("--out", out)
    hub = HubChoice(given["config"], given["split"], given["audio_column"], given["id_column"])
    head = repository_of(given["inputs"], hub)
    if head is None:
        raise DailytalkError("--streaming is for datasets on the Hub", "leave it out for files and folders")
    repository = pinned(head, out)
    console = Console(stderr=given["as_json"])
    config = FolderConfig(
        channel=tag.channel,
        max_conversation=max_conversation,
        transcripts=str(given["transcripts"].absolute()) if given["transcripts"] else None,
        follow_links=given["follow_links"],
    )
    job = Job(repository, tag, speak, config, 60 * given["shard_minutes"], given["source_licence"])
    limits = Limits(given["limit_hours"], 1e9 * (given["limit_disk"] or 0.0))
    if given["dry_run"]:
        _intended(console, job, out, limits, given["as_json"])
        return 0
    _begins(console, repository, head, out)
    command = {"command": as_text(shlex.join(["dailytalk", *sys.argv[1:]]))}
    with bar(console, quiet=given["as_json"]) as told:
        done = run_streaming(job, out, limits, command, planned=told.planned)
    if given["as_json"]:
        print_json(asdict(done) | {"out": as_text(out)})
    else:
        _ends(console, done, out, speak is not None)
    if given["profile_stages"]:
        console.print(profile_table(done.account, done.wall_seconds))
    return _exit_code(done, speak is not None)


def _intended(console: Console, job: Job, out: Path, limits: Limits, as_json: bool) -> None:
    stages, missing = intended_stream(job, out, limits), to_fetch(job.repository)
    if as_json:
        names = [stage.name for stage in stages]
        print_json({"source": job.repository.about(), "to_fetch": missing._asdict(), "stages": names})
    else:
        show.to_fetch(console, job.repository, missing)
        show.stages_to_run(console, stages)


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


def _exit_code(done: Streamed, spoken: bool) -> int:
    if done.record is None:
        return 3
    counts = [done.record["counts"]] + ([done.record["speak"]["counts"]] if spoken else [])
    if not all(one.get("conversations") for one in counts):
        return 1
    return 3 if done.stopped == UNSAID or any(one["rejects"] for one in counts) else 0
