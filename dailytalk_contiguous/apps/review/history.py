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
from typing import NamedTuple, NotRequired, TypedDict

from dailytalk_contiguous.apps.review.edits import EditState
from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_bytes
from dailytalk_contiguous.store.files import inside, json_text, open_own, sync_folder

#: Its name doesn't say that it is JSON Lines: moshi-finetune takes every file `*jsonl` for a manifest.
HISTORY = ".dailytalk-edits"


class Record(TypedDict):
    """An edit in the list.

    `undoes` is the number of the edit that it takes back. `on` is the signature of the file that it changes, as
    that was before.
    """

    number: documents.Whole
    time: str
    author: str
    item: str
    action: str
    before: EditState
    after: EditState
    undoes: NotRequired[documents.Whole | None]
    on: NotRequired[list[documents.Whole] | None]


class ItemFields(TypedDict):
    """The fields of an item that people set."""

    reviewed: bool | None
    reviewed_by: str | None


#: The action that marks where all files were read again: edits of older states are refused after it.
RELOAD = "reload"


class NewEdit(NamedTuple):
    """An edit that has no number yet; `before` and `after` are those of an `edits.EditChange`.

    `on` is the signature of the file that the edit changes, as it was before.
    """

    author: str
    item: str
    action: str
    before: EditState
    after: EditState
    undoes: int | None = None
    on: Sequence[int] | None = None


class History:
    """The list of edits of a folder; `records[number - 1]` is the edit of a number."""

    def __init__(self, folder: Path) -> None:
        """Read the list, if there is one. Raises BadInput for a damaged one."""
        self.path = inside(folder, HISTORY)
        self.records: list[Record] = []
        self.by_item: defaultdict[str, list[Record]] = defaultdict(list)
        self._reloaded = 0
        self._size = 0  # of the whole lines in the file, in bytes
        if not self.path.exists():
            return
        remedy = "put the whole file back, or delete it, after which nothing can be undone or counts as reviewed"
        data = read_bytes(self.path, remedy, MOST_OWN_BYTES)
        self._size = data.rfind(b"\n") + 1  # the rest was cut short by a kill, and never answered
        for number, line in enumerate(data[: self._size].splitlines(), 1):
            where = f"{documents.as_text(self.path)!r}, edit {number}"
            content = documents.parse_json(line, where, remedy, limit=len(line))
            record = documents.typed(content, Record, where, remedy)
            undoes = record.get("undoes")
            undone = number if undoes is None else undoes
            if record["number"] != number or not 1 <= undone <= number:
                raise BadInput(f"{where} has the number {record['number']}, or undoes a later one", remedy)
            self._take(record)

    @property
    def number(self) -> int:
        """That of the last edit; 0 without any."""
        return len(self.records)

    def _take(self, record: Record) -> None:
        self.records.append(record)
        self.by_item[record["item"]].append(record)
        if record["action"] == RELOAD:
            self._reloaded = record["number"]

    def base(self, item: str) -> int:
        """The number of the last edit that may have changed an item."""
        records = self.by_item[item]
        last = records[-1]["number"] if records else 0
        return max(self._reloaded, last)

    def fields(self, item: str) -> ItemFields:
        """The fields of an item that people set, as they are now."""
        fields: ItemFields = {"reviewed": False, "reviewed_by": None}
        for record in self.by_item[item]:
            after = record["after"]
            if "reviewed" in after:
                fields["reviewed"] = after["reviewed"]
            if "reviewed_by" in after:
                fields["reviewed_by"] = after["reviewed_by"]
        return fields

    def follows(self) -> dict[str, str | None]:
        """The item that each one followed in the file, of those that an edit took out of it; None is none."""
        followed: dict[str, str | None] = {}
        for record in self.records:
            before = record["before"]
            if "follows" in before:
                followed[record["item"]] = before["follows"]
        return followed

    def append(self, edits: Sequence[NewEdit]) -> list[Record]:
        """Write edits so that they last, all or none, and return their records. Raises OSError."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        records = [_record(number, now, edit) for number, edit in enumerate(edits, self.number + 1)]
        data = "".join(map(json_text, records)).encode()
        is_new = not self.path.exists()
        with open_own(self.path, "wb" if is_new else "r+b", buffering=0) as file:
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
            self.by_item[record["item"]].pop()
            self.records.pop()

    def stacks(self, item: str) -> tuple[list[int], list[int]]:
        """The numbers of an item's edits that are in effect, and of the undos that can be redone, in order."""
        done: list[int] = []
        undone: list[int] = []
        for record in self.by_item[item]:
            if "discarded" in record["after"]:  # which is taken back by restoring it
                continue
            undoes = record.get("undoes")
            for numbers in (done, undone):
                if undoes is not None and undoes in numbers:
                    numbers.remove(undoes)
            if "undoes" not in record:
                undone.clear()
            if record["action"] == "undo":
                undone.append(record["number"])
            else:
                done.append(record["number"])
        return done, undone


def _record(number: int, time: str, edit: NewEdit) -> Record:
    record: Record = {
        "number": number,
        "time": time,
        "author": edit.author,
        "item": edit.item,
        "action": edit.action,
        "before": edit.before,
        "after": edit.after,
    }
    if edit.undoes is not None:
        record["undoes"] = edit.undoes
    if edit.on is not None:
        record["on"] = [*edit.on]
    return record


def why_not_writable(folder: Path) -> str | None:
    """Why nothing can be written into a folder, in a sentence; None if it can."""
    path = folder / HISTORY
    if path.is_symlink():
        return f"{documents.as_text(path)!r} is a symbolic link: put the file itself there"
    if os.access(path if path.exists() else folder, os.W_OK) and os.access(folder, os.W_OK):
        return None
    return f"{documents.as_text(folder)!r} can't be written to: choose a copy that you may write to"
