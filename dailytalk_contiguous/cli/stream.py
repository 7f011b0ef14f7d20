"""`--streaming` of `dailytalk tag` and `dailytalk build`: a dataset on the Hub that is larger than the disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import command_line, say
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Outcome, Rejected, exit_code, to_run
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run import streaming as run_streaming
from dailytalk_contiguous.run.run import Runner, RunOutcome, run
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.hub_repository import repository_of, to_fetch
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.transcribe import language_of
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.work_folder import DATASET, TAGGED

#: Options that a stream can't use: the values that they may have, and the reason.
_UNUSED = {
    "workers": ((None, 1), "a stream works on one window while it fetches the next"),
    "shard": (("1/1",), "a stream has one position"),
    "runner": (("local",), "a stream has one position"),
    "address": (("",), "a stream has one position"),
    "recordings": ((None,), "a stream brings its recordings"),
    "speakers": ((None,), "a stream learns its recordings' names on the way"),
    "prune": ((False,), "a stream drops no results"),
}

_STOPPED = {
    run_streaming.HOURS: "stopped at --limit-hours; a higher one goes on from there",
    run_streaming.DISK: "stopped at --limit-disk; free some space and run the same command again. Until then "
    "there are shards, and no transcript",
    run_streaming.UNSAID: "stopped: nothing could be said of the last window; run the same command again once the "
    "synthesiser answers",
}


def stream(options: Mapping[str, Any], tagging: Stages, speaking: Stages, max_conversation: float) -> Outcome:
    for name, (values, why) in _UNUSED.items():
        if options.get(name, values[0]) not in values:  # `tag` lacks some of them
            raise DailytalkError(f"--{name} can't be used with --streaming ({why})", "leave it out")
    out: Path = options["out"]
    cli_options.on_this_machine("--out", out)
    head = repository_of(options["inputs"], engine_options.hub_choice(options))
    if head is None:
        raise DailytalkError("--streaming is for datasets on the Hub", "leave it out for files and folders")
    repository = run_streaming.pinned(head, out)
    config = FolderConfig(
        channel=channel_of(tagging),
        max_conversation=max_conversation,
        transcripts=str(options["transcripts"].absolute()) if options["transcripts"] else None,
        tier=tuple(options.get("tier") or ()),
        language=language_of(tagging),
    )
    job = run_streaming.StreamJob(
        repository,
        tagging,
        speaking,
        options["profile"],
        config,
        60 * options["shard_minutes"],
        options["source_licence"],
    )
    limits = run_streaming.Limits(options["limit_hours"], 1e9 * (options["limit_disk"] or 0.0))
    spec = run_streaming.StreamSpec(job, out, limits, {"command": command_line()})
    if options["dry_run"]:
        left = spec.left()
        Runner().preflight(left, fetch=False)
        return show.to_fetch_outcome(repository, to_fetch(repository), left)
    say(f"streaming {repository.reference.repo}, commit {repository.commit[:8]}")
    if repository.commit != head.commit:
        say(f"  it goes on at the commit that it began with; the repository is at {head.commit[:8]} by now")
    if spec.windows:
        say(f"  {counted(len(spec.windows), 'window')} ({spec.audio_seconds / 3600:.2f} h) done")
    with show.bar() as planned:
        done = run(spec, planned=planned)
    show.write_readme(out, out.absolute().name, done.n_made)
    return stream_outcome(spec, done)


def stream_outcome(spec: run_streaming.StreamSpec, done: RunOutcome) -> Outcome:
    out, spoken = spec.out, bool(spec.speaking)
    record = {
        "record": done.record,
        "windows": len(spec.windows),
        "made": len(spec.made),
        "complete": spec.complete,
        "stopped": spec.stopped,
        "hours": spec.audio_seconds / 3600,
        "audio_seconds": sum(spec.made),
        "wall_seconds": done.wall_seconds,
        "time": done.time,
        "out": str(out),
    }
    details = []
    if spec.made:
        speed = sum(spec.made) / done.wall_seconds
        took = f"{length_text(sum(spec.made))} in {length_text(done.wall_seconds)} ({speed:.1f}× real time)"
        details.append(f"{took}, {counted(len(spec.made), 'window')} made")
    else:
        details.append("nothing to do" if spec.complete else "nothing was made")
    for label, name in (
        ("transcript", work_folder.TRANSCRIPT),
        ("dataset", DATASET if spoken else TAGGED),
        ("record", work_folder.RUN),
    ):
        details.append(f"{label:<12}{out / name}")
    all_of_it = "to the end of the source" if spec.complete else "so far"
    headline = f"{counted(len(spec.windows), 'window')}, {spec.audio_seconds / 3600:.2f} h {all_of_it}"
    code, rejected = 3, 0
    if done.record:
        counts = [done.record["counts"]] + ([done.record["speak"]["counts"]] if spoken else [])
        conversations = counted(counts[0]["conversations"], "conversation")
        headline += f": {conversations}, {counted(counts[0]['utterances'], 'utterance')} tagged"
        rejected = sum(pass_counts["rejects"] for pass_counts in counts)
        code = exit_code(
            all(pass_counts.get("conversations") for pass_counts in counts),
            rejected or spec.stopped == run_streaming.UNSAID,
        )
    where = f"in {out / work_folder.REJECTS}"
    return Outcome(
        record,
        headline,
        code,
        details,
        (Rejected(f"{rejected:,}", work_folder.rejects_in(out), where),) if rejected else (),
        _STOPPED[spec.stopped] if spec.stopped else to_run("check" if spoken else "speak", out),
    )
