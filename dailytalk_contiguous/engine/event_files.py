"""The files of events in a work folder, for `dailytalk status` and for who comes later.

The processes of a host append to one file, each event in one write, so that lines never mix; a further host has a
file of its own beside it, because appending from several hosts is atomic neither on NFS (Linux NFS FAQ, A9) nor in
a store. A line that a crash or a full disk has cut off is passed over by readers.
"""

import fnmatch
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import MOST_LINE_BYTES, fits, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.files.inside import inside, leads_out
from dailytalk_contiguous.sources.store_notes import NOTES

#: The file of the host that came first, and those of further ones.
EVENTS, _FURTHER = "events.jsonl", "events.{host}.jsonl"

#: Bytes at the end of a file in which the last event is looked for.
TAIL_BYTES = 1 << 16

Event = dict[str, Any]

#: Kinds of events of a run: its beginning, what it found to do later on, how far it is, a shard, and its ends.
STARTED, PLANNED, PROGRESS, SHARD = "started", "planned", "progress", "shard"
FINISHED, STOPPED, FAILED = ENDS = ("finished", "stopped", "failed")

_EVENT = {"event": str, "time": str, "run": str, "spent?": float}
_PLAN = {"plan": {"shards": int, "shards_left": int, "hours_left": float}}
_MORE: dict[str, dict[str, Any]] = {
    STARTED: {"kind": str, "shard": [int], "host": str, "pid": int, "born": str, **_PLAN},
    PLANNED: _PLAN,
    PROGRESS: {"stage": str, "share?": float, "seconds_left?": float},
    SHARD: {"audio_seconds": float, "wall_seconds": float, "rejects": int, "worker": int, "stages": {str: float}},
    **{end: {"rejects?": int, "reason?": str} for end in ENDS},
}


def append(path: Path, event: Event) -> None:
    """Add an event in one write. Raises OSError as the disk does."""
    line = json.dumps(event, allow_nan=False).encode() + b"\n"  # ASCII: names may hold what is no UTF-8
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line  # what a crash cut off stays a line of its own
        file.write(line)


def is_journal(name: str) -> bool:
    """Whether a path under a work folder is that of a file of events."""
    return fnmatch.fnmatch(name, _FURTHER.format(host="*")) or name == EVENTS


def journals(folder: Path) -> list[Path]:
    """The files of events in a work folder, one a host; no links out of it."""
    return sorted(
        path for path in folder.glob("events*.jsonl") if is_journal(path.name) and not leads_out(path, folder)
    )


def journal_of_host(folder: Path, host: str | None = None) -> Path:
    """The file that a host (by default, this one) adds its events to, in a work folder that need not be there yet.

    That is `events.jsonl` for the host that began it. In a folder that stands for one in a store every host has a
    file under its own name: nobody can tell there who came first. Raises BadInput where the file is a link out of
    the folder, or no file at all.
    """
    host = host or platform.node()
    own = folder / _FURTHER.format(host=re.sub(r"[^A-Za-z0-9-]+", "-", host))
    if own.exists() or (folder / NOTES).exists():
        return inside(folder, own.name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / EVENTS).touch(exist_ok=False)
    except FileExistsError:
        with inside(folder, EVENTS).open("rb") as file:
            first = next(_events([file.readline(MOST_LINE_BYTES + 1)]), {})
        return folder / EVENTS if first.get("host") == host else own
    return folder / EVENTS


def read_events(path: Path) -> list[Event]:
    """All whole events of a file, in order; none where there is no file."""
    return list(_events(line for _, line in numbered_lines(path))) if path.is_file() else []


def _events(lines: Iterable[bytes]) -> Iterator[Event]:
    for line in lines:
        with suppress(BadInput):  # cut off by a crash, or no event
            event = parse_json(line, EVENTS, limit=MOST_LINE_BYTES, surrogates=True) if line.strip() else None
            if isinstance(event, dict) and "event" in event:
                yield event


def is_whole(event: Event) -> bool:
    """Whether an event of a run has what readers rely on: who edits the file, or another version, may err."""
    if not fits(event, _EVENT) or not fits(event, _MORE.get(event["event"], {})):
        return False
    try:
        time = datetime.fromisoformat(event["time"])
    except ValueError:
        return False
    is_process = event["event"] != STARTED or (len(event["shard"]) == 2 and 0 < event["pid"] < 1 << 31)
    return time.tzinfo is not None and is_process


def last_event(folder: Path) -> Event | None:
    """The last event of any host; None where there is none."""
    found = []
    for path in journals(folder):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            found += list(_events(file.read().split(b"\n")))[-1:]
    return max(found, key=lambda event: str(event.get("time")), default=None)
