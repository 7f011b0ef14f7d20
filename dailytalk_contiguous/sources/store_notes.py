"""Notes of a mirror: of which object of the store each of its files is known to be a copy.

A note is a line at the end of a file that only grows and that several processes write to, so that each reads on
from where it stopped: reading all of it for every file would take the square of their number.
"""

import contextlib
import json
import os
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.store.files import inside

#: The file of notes, beside the files of a mirror.
NOTES = ".store.jsonl"


_NOTE = {"name": str, "token": str, "size": int, "mtime_ns": int}


class Note(NamedTuple):
    """The state of a file when it equalled an object: the object's token, and the file's size and time."""

    token: str
    size: int
    mtime_ns: int


class Notes:
    """The last note on each file of a mirror. Threads may share it; processes share the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._notes: dict[str, Note] = {}
        self._read = 0

    def names(self) -> set[str]:
        """All files that there are notes on, by their path under the mirror's folder."""
        with self._lock:
            self._read_on()
            return set(self._notes)

    def token(self, name: str) -> str:
        """The token of the object that a file was last known to equal; empty for none."""
        with self._lock:
            self._read_on()
            return self._notes[name].token if name in self._notes else ""

    def copied(self, name: str) -> str:
        """The token of the object that a file still is a copy of, as it is now; empty for none."""
        with self._lock:
            self._read_on()
            note = self._notes.get(name)
        try:
            status = (self._folder / name).stat()
        except FileNotFoundError:
            return ""
        same = note is not None and (note.size, note.mtime_ns) == (status.st_size, status.st_mtime_ns)
        return note.token if note and same else ""

    def add(self, name: str, token: str, status: os.stat_result | None = None) -> None:
        """Note that a file equals an object: as it is now, or as it was at `status` if it may have grown."""
        status = status or (self._folder / name).stat()
        record = {"name": name, "token": token, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        # One short write to the end of a file: processes that share a mirror don't get into each other's lines.
        with inside(self._folder, NOTES).open("ab", buffering=0) as file:
            file.write(json.dumps(record).encode() + b"\n")

    def _read_on(self) -> None:
        try:
            file = inside(self._folder, NOTES).open("rb")
        except FileNotFoundError:
            self._notes, self._read = {}, 0
            return
        with file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for line in whole.split(b"\n"):
            # Half a line, of a process that was killed: its file travels again.
            with contextlib.suppress(BadInput):
                record = expect(parse_json(line, NOTES), _NOTE, NOTES)
                self._notes[record["name"]] = Note(record["token"], record["size"], record["mtime_ns"])


@lru_cache(maxsize=None)
def notes_of(folder: Path) -> Notes:
    """The notes of the mirror in a folder, once a process."""
    return Notes(folder)
