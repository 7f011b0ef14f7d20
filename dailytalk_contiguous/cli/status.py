"""`dailytalk status`: the runs that work in a folder, from another terminal or another host."""

from dataclasses import asdict
from pathlib import Path

from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.run.lock import holders
from dailytalk_contiguous.store.addresses import store_address
from dailytalk_contiguous.store.work_folder import RUN_LOCK


def status(folder: Path = argument("DIR", "Work folder of a run, or s3://BUCKET/FOLDER.")) -> Outcome:
    """Say which runs work in DIR, how far they are, and which were killed.

    A run that has ended is in DIR/run.json. `watch dailytalk status DIR` looks again every two seconds.
    """
    work = folder
    address = store_address(folder)
    if address:
        from dailytalk_contiguous.run.storage import open_work  # imports the libraries of stores

        work = open_work(folder, lambda name: name.startswith(RUN_LOCK)).folder
    if not work.is_dir():
        raise DailytalkError(f"there is no folder {address or str(folder)!r}", "name the work folder of a run")
    records = []
    lines = []
    for lock, run in holders(work):
        is_gone = run.is_gone(lock)
        records.append({**asdict(run), "state": "gone" if is_gone else "running"})
        part = "/".join(map(str, run.shard))
        process = f"{run.kind} {part} on {run.host}, process {run.pid}, since {run.started}"
        progress = f"{run.step}, {run.shards_made:,} of {counted(run.shards, 'shard')}" if run.step else "begins"
        state = "gone: the same command, to go on" if is_gone else "running"
        lines.append(f"{process}: {progress}; {state}: {run.command}")
    return Outcome({"runs": records}, f"{counted(len(records), 'run')} in {address or folder}", details=lines)
