"""`dailytalk status`: the progress of the runs in a work folder, from another terminal or another host."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.records.outcome import Outcome
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.events import FINISHED, RUNNING, Run
from dailytalk_contiguous.run.events import run_status as runs_in
from dailytalk_contiguous.store.addresses import store_address


def status(folder: Path = argument("DIR", "Work folder of a run, or s3://BUCKET/FOLDER.")) -> Outcome:
    """Say what the runs in DIR are doing, and how they ended.

    It shows what each host and process has done, what is left, speed and money. `watch dailytalk status DIR`
    looks again every two seconds.
    """
    work = folder
    address = store_address(folder)
    if address:
        from dailytalk_contiguous.run.storage import open_work  # imports the libraries of stores

        work = open_work(folder, lambda name: name.startswith("events.")).folder
    return status_outcome(runs_in(work, address or str(folder)), datetime.now(UTC))


def status_outcome(runs: Sequence[Run], at: datetime) -> Outcome:
    """The outcome of `status` at a time."""
    is_resumable = any(run.state not in (RUNNING, FINISHED) for run in runs)
    n_working = sum(run.state == RUNNING for run in runs)
    records = []
    for run in runs:
        figures = {"share": run.share, "speed": run.speed, "seconds_left": run.left_seconds(at)}
        records.append(asdict(run) | figures)
    return Outcome(
        {"runs": records},
        f"{counted(len(runs), 'run')}, {n_working:,} running",
        details=[_line(run, at) for run in runs],
        next="the same command as that run, to go on" if is_resumable else "",
    )


def _line(run: Run, at: datetime) -> str:
    """A run as a line, not a row of a table: it can be searched, and no column is ever cut off."""
    parts = [run.progress(at)]
    if run.state == RUNNING and run.current_work:
        parts.append(run.current_work)
    if run.rejects:
        parts.append(f"{run.rejects:,} rejected")
    parts.append(f"last event {length_text(run.age(at))} ago")
    if run.reason and run.reason != run.state:
        parts.append(run.reason)
    shard = "/".join(map(str, run.shard))
    process = f"{run.kind} {shard} on {run.host}, process {run.pid}"
    return f"{process}: {run.state}; {'; '.join(parts)}"
