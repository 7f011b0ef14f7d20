"""The list of edits of a folder: what can be undone, and who reviewed an item.

One JSON object a line, appended and flushed before the file with the lines is written; `Session` finishes the edit
that a kill may leave between the two. Lines are read from their own files alone: nobody but `review` reads the
list.
"""

import errno
import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from dailytalk_contiguous.apps.review.edits import Json
from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.store.files import inside, json_text, sync_folder

#: Its name doesn't say that it is JSON Lines: moshi-finetune takes every file `*jsonl` for a manifest.
HISTORY = ".dailytalk-edits"


class _EntryState(TypedDict):
    """Of an edit: the parts of the item's entry that changed, to the letter (see `layouts.entry_states`)."""

    head: str | None
    count: documents.Whole
    at: documents.Whole
    parts: list[str]


class _State(TypedDict, total=False):
    """Of an edit: its own fields of the item, and the fields of each line that changed; null is no line.

    `follows` is the item before this one in the file, where the edit takes this one out of it; null is none.
    """

    lines: dict[str, Any] | None
    entry: _EntryState | None
    reviewed: bool | None
    reviewed_by: str | None
    discarded: bool | None
    follows: str | None


class _Record(TypedDict):
    number: documents.Whole
    time: str
    author: str
    item: str
    action: str
    before: _State
    after: _State
    undoes: NotRequired[documents.Whole | None]
    on: NotRequired[list[documents.Whole] | None]


#: Fields of an item that people set, with their initial values.
FIELDS: Json = {"reviewed": False, "reviewed_by": None}

#: The action that marks where all files were read again: edits of older states are refused after it.
RELOAD = "reload"

Record = Json


class NewEdit(NamedTuple):
    """An edit that has no number yet; `before` and `after` are those of an `edits.EditChange`.

    `on` is the signature of the file that the edit changes, as it was before.
    """

    author: str
    item: str
    action: str
    before: Json
    after: Json
    undoes: int | None = None
    on: Sequence[int] | None = None


class History:
    """The list of edits of a folder; `records[number - 1]` is the edit of a number."""

    def __init__(self, folder: Path) -> None:
        """Read the list, if there is one. Raises BadInput for a damaged one."""
        self.path = inside(folder, HISTORY)
        self.records: list[Record] = []
        self.of: defaultdict[str, list[Record]] = defaultdict(list)
        self._reloaded = 0
        self._size = 0  # of the whole lines in the file, in bytes
        if not self.path.exists():
            return
        remedy = "put the whole file back, or delete it: then nothing can be undone, or is reviewed"
        data = documents.read_bytes(self.path, remedy, documents.MOST_OWN_BYTES)
        self._size = data.rfind(b"\n") + 1  # the rest was cut short by a kill, and never answered
        for number, line in enumerate(data[: self._size].splitlines(), 1):
            where = f"{documents.as_text(self.path)!r}, edit {number}"
            record = documents.parse_json(line, where, remedy, limit=len(line))
            documents.typed(record, _Record, where, remedy)
            undone = number if record.get("undoes") is None else record["undoes"]
            if record["number"] != number or not 1 <= undone <= number:
                raise BadInput(f"{where} has the number {record['number']}, or undoes a later one", remedy)
            self._take(record)

    @property
    def number(self) -> int:
        """That of the last edit; 0 without any."""
        return len(self.records)

    def _take(self, record: Record) -> None:
        self.records.append(record)
        self.of[record["item"]].append(record)
        if record["action"] == RELOAD:
            self._reloaded = record["number"]

    def base(self, item: str) -> int:
        """The number of the last edit that may have changed an item."""
        last: int = self.of[item][-1]["number"] if self.of[item] else 0
        return max(self._reloaded, last)

    def fields(self, item: str) -> Json:
        """The current values of `FIELDS` of an item."""
        fields = dict(FIELDS)
        for record in self.of[item]:
            fields |= {name: value for name, value in record["after"].items() if name in FIELDS}
        return fields

    def follows(self) -> dict[str, str | None]:
        """Of items that an edit took out of the file, the item that each one followed there; None is none."""
        states = ((record["item"], record["before"]) for record in self.records)
        return {item: state["follows"] for item, state in states if "follows" in state}

    def append(self, edits: Sequence[NewEdit]) -> list[Record]:
        """Write edits so that they last, all or none, and return their records. Raises OSError."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        records = [
            {"number": number, "time": now}
            | {name: value for name, value in edit._asdict().items() if value is not None}
            for number, edit in enumerate(edits, self.number + 1)
        ]
        data = "".join(map(json_text, records)).encode()
        is_new = not self.path.exists()
        with self.path.open("wb" if is_new else "r+b", buffering=0) as file:
            file.truncate(self._size)  # the rest of a line that was cut short, and nothing else
            file.seek(self._size)
            try:
                if file.write(data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._size)
                raise
        if is_new:
            sync_folder(self.path.parent)
        self._size += len(data)
        for record in records:
            self._take(record)
        return records

    def withdraw(self, records: Sequence[Record]) -> None:
        """Remove the edits that were appended last and could not be carried out."""
        self._size -= len("".join(map(json_text, records)).encode())
        os.truncate(self.path, self._size)
        for record in records:
            self.of[record["item"]].pop()
            self.records.pop()

    def stacks(self, item: str) -> tuple[list[int], list[int]]:
        """The numbers of an item's edits that are in effect, and of the undos that can be redone, in order."""
        done: list[int] = []
        undone: list[int] = []
        for record in self.of[item]:
            if "discarded" in record["after"]:  # which is taken back by restoring it
                continue
            for numbers in (done, undone):
                if record.get("undoes") in numbers:
                    numbers.remove(record["undoes"])
            if "undoes" not in record:
                undone.clear()
            (undone if record["action"] == "undo" else done).append(record["number"])
        return done, undone


def why_not_writable(folder: Path) -> str | None:
    """Why nothing can be written into a folder, in a sentence; None if it can."""
    path = folder / HISTORY
    if path.is_symlink():
        return f"{documents.as_text(path)!r} is a symbolic link: put the file itself there"
    if os.access(path if path.exists() else folder, os.W_OK) and os.access(folder, os.W_OK):
        return None
    return f"{documents.as_text(folder)!r} can't be written to: choose a copy that you may write to"
