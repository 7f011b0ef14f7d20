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
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, preflight, run
from dailytalk_contiguous.run.streaming import StreamSpec
from dailytalk_contiguous.sources.hub_fetch import to_fetch
from dailytalk_contiguous.sources.hub_repository import repository_of
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.work_folder import DATASET, TAGGED

#: Options that a stream can't use, because it has one position, and the values that they may have.
_UNUSED = {
    "workers": (None, 1),
    "shard": ("1/1",),
    "runner": ("local",),
    "address": ("",),
    "recordings": (None,),
    "speakers": (None,),
    "prune": (False,),
}


def stream(options: Mapping[str, Any], tagging: Stages, speaking: Stages) -> Outcome:
    for name, values in _UNUSED.items():
        if options.get(name, values[0]) not in values:  # `tag` lacks some of them
            raise DailytalkError(f"--{name} can't be used with --streaming", "leave it out")
    out: Path = options["out"]
    cli_options.on_this_machine("--out", out)
    repository = repository_of(options["inputs"], engine_options.hub_choice(options))
    if repository is None:
        raise DailytalkError("--streaming is for datasets on the Hub", "leave it out for files and folders")
    spec = StreamSpec(
        repository,
        out,
        tagging,
        speaking,
        engine_options.folder_config(options, tagging),
        60 * options["shard_minutes"],
        options["limit_hours"],
        options["source_licence"],
        {"command": command_line(), "settings": {"profile": options["profile"]}},
    )
    spec.check(RunOptions())
    if options["dry_run"]:
        preflight(spec.left, fetch=False)
        return show.to_fetch_outcome(repository, to_fetch(repository), spec.left)
    say(f"streaming {repository.reference.repo}, commit {repository.commit[:8]}")
    with show.bar() as planned:
        done = run(spec, RunOptions(force=options["force"]), planned=planned)
    show.write_readme(out, out.absolute().name, done.run.done)
    return stream_outcome(spec, done)


def stream_outcome(spec: StreamSpec, done: RunOutcome) -> Outcome:
    out = spec.out
    record = done.record or {}
    spoken = bool(spec.speaking)
    summary = {
        "record": record,
        "windows": len(spec.windows),
        "complete": spec.complete,
        "hours": spec.audio_seconds / 3600,
        "wall_seconds": done.wall_seconds,
        "out": str(out),
    }
    details = [
        f"{counted(done.run.done, 'shard')} made in {length_text(done.wall_seconds)}"
        if done.run.done
        else "nothing to do",
        f"in {out / (DATASET if spoken else TAGGED)}, {out / work_folder.TRANSCRIPT}",
    ]
    counts = [record["counts"], *([record["speak"]["counts"]] if spoken else [])]
    rejected = sum(of_half["rejects"] for of_half in counts)
    return Outcome(
        summary,
        f"{counted(len(spec.windows), 'window')}, {spec.audio_seconds / 3600:.2f} h "
        f"{'to the end of the source' if spec.complete else 'so far'}",
        exit_code(all(of_half["conversations"] for of_half in counts), rejected),
        details,
        (Rejected(f"{rejected:,}", work_folder.rejects_in(out), f"in {out / work_folder.REJECTS}"),)
        if rejected
        else (),
        to_run("check" if spoken else "speak", out)
        if spec.complete
        else "stopped at --limit-hours; a higher one goes on from there",
    )
