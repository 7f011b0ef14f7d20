"""The journal of edits beside the data: each is on the disk before it is reported as saved.

One JSON object a line, appended and flushed, never rewritten. What was cut short in its last line was never
answered, and is dropped. Who writes to it holds the folder (`store.files.folder_locked`).
"""

import os
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.apps import has_app, part_of
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import AUDIO_FOLDER
from dailytalk_contiguous.store.files import inside, json_text, sha256_of, sync_folder

#: The journal in the folder of the data. Its lines are JSON, and its name doesn't say so: moshi-finetune takes
#: every file `*jsonl` in its folder for a manifest.
JOURNAL = ".dailytalk-edits"

#: Bytes of one edit: of a whole dialogue with its words.
_LARGEST_EDIT = documents.MOST_LINE_BYTES * 8

#: What an edit has of an item: its own fields, and of each line the fields that changed; None is no line.
_ITEM = {"lines?": {str: object}, "reviewed?": bool, "reviewed_by?": str, "side?": str, "discarded?": bool}
_RECORD = {"number": int, "time": str, "author": str, "item": str, "action": str, "before": _ITEM, "after": _ITEM}
_RECORD |= {"undoes?": int}
_SETTLED = {"settled": int, "file": str, "sha256": str}

#: Fields that every line has.
_WHOLE = ("channel", "text", "start", "end")
_WORDS = [{"word": str, "start": float, "end": float, "probability?": float}]

Record = dict[str, Any]


class NewEdit(NamedTuple):
    """An edit that has no number yet; `before` and `after` are those of an `apps.review.edits.EditChange`."""

    author: str
    item: str
    action: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    undoes: int | None = None


class EditJournal:
    """The journal of a folder.

    `records` are all of its edits by number, `settled` of each file the last record of the edits that it holds.
    Threads that write hold `lock`.
    """

    def __init__(self, folder: Path) -> None:
        """Read the journal, if there is one. Raises BadInput for a damaged one."""
        self.folder, self.path = folder, inside(folder, JOURNAL)
        self.records: dict[int, Record] = {}
        self.settled: dict[str, Record] = {}
        self._read = 0  # bytes
        self.lock = threading.RLock()
        self._load()

    @property
    def number(self) -> int:
        """That of the last edit; 0 without any."""
        return next(reversed(self.records), 0)

    def _load(self) -> None:
        if not self.path.exists():
            return
        try:
            with self.path.open("rb") as file:
                if (size := os.fstat(file.fileno()).st_size) > documents.MOST_OWN_BYTES:
                    shown = documents.as_text(self.path)
                    raise BadInput(f"{shown!r} has {size:,} bytes, more than any review writes", "move it away")
                while (line := file.readline(_LARGEST_EDIT + 1)).endswith(b"\n"):
                    self._take(line)
                    self._read += len(line)
        except OSError as error:
            reason = f"{documents.as_text(self.path)!r} can't be read ({error.strerror})"
            raise BadInput(reason, "check its permissions") from None
        if len(line) > _LARGEST_EDIT:
            self._take(line)  # which refuses it; shorter, it was cut short by a crash

    def _take(self, line: bytes) -> None:
        where = f"{documents.as_text(self.path)!r}, byte {self._read:,}"
        remedy = "put the whole file back, or take the line out and look at that item again"
        record: Record = documents.parse_json(line, where, remedy, limit=_LARGEST_EDIT)
        if isinstance(record, dict) and "settled" in record:
            self.settled[documents.expect(record, _SETTLED, where, remedy)["file"]] = record
            return
        documents.expect(record, _RECORD, where, remedy)
        if problem := self._problem(record):
            raise BadInput(f"{where}: {problem}", remedy)
        self.records[record["number"]] = record

    def _problem(self, record: Record) -> str | None:
        """The fault of an edit of the right types, if it has one."""
        if record["number"] != self.number + 1:
            return f"edit {record['number']} follows edit {self.number}"
        if "\0" in record["item"] or not PurePosixPath(record["item"]).name:
            return "it names no item"
        if record["action"] in ("undo", "redo") and record.get("undoes") is None:
            return "it does not say which edit it undoes"
        for state in (record["before"], record["after"]):
            for name in ("lines", "discarded"):
                if name in state and state[name] is None:
                    return f"{name} is null"
        before, after = record["before"].get("lines", {}), record["after"].get("lines", {})
        if before.keys() != after.keys() or ("discarded" in record["before"]) != ("discarded" in record["after"]):
            return "what it has before it is not what it has after it"
        for key in before:
            if problem := _line_problem(before[key], after[key]) or _line_problem(after[key], before[key]):
                return f"the line {key!r} {problem}"
        return None

    def append(self, edits: Sequence[NewEdit]) -> list[Record]:
        """Write edits so that they last, all or none, and give their records. Raises OSError as the disk does."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        records: list[Record] = []
        for number, edit in enumerate(edits, self.number + 1):
            record: Record = {"number": number, "time": now, "author": edit.author, "item": edit.item}
            record |= {"action": edit.action, "before": dict(edit.before), "after": dict(edit.after)}
            records.append(record | ({} if edit.undoes is None else {"undoes": edit.undoes}))
        self._write(records)
        self.records |= {record["number"]: record for record in records}
        return records

    def is_in_file(self) -> bool:
        """Whether one file has all the edits and nothing was written to it since.

        Of edits in several files only the app that made them can say so.
        """
        edits = [
            edit for edit in self.records.values() if edit["before"].get("lines") or "discarded" in edit["after"]
        ]
        if not edits:
            return True
        if len(self.settled) != 1:
            return False
        ((file, settled),) = self.settled.items()
        path = inside(self.folder, file)
        return (
            bool(settled["settled"] >= edits[-1]["number"])
            and path.is_file()
            and sha256_of(path) == settled["sha256"]
        )

    def settle(self, file: str, sha256: str) -> None:
        """Note that a file holds all edits up to now. Raises OSError."""
        record: Record = {"settled": self.number, "file": file, "sha256": sha256}
        self._write([record])
        self.settled[file] = record

    def _write(self, records: Sequence[Record]) -> None:
        lines = memoryview("".join(map(json_text, records)).encode())
        is_new = not self.path.exists()
        with self.path.open("r+b" if self._read else "ab", buffering=0) as file:
            file.truncate(self._read)  # the rest of a line that was cut short, and nothing else
            file.seek(self._read)
            left = lines
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._read)
                raise
        if is_new:
            sync_folder(self.folder)
        self._read += len(lines)


def _line_problem(line: Any, other: Any) -> str | None:
    """The fault of a line before or after an edit; `other` is the line on the other side of it."""
    if line is None:
        return "is nothing before and after it" if other is None else None
    if not isinstance(line, dict):
        return "is no object"
    needed = _WHOLE if other is None else [name for name in _WHOLE if isinstance(other, dict) and name in other]
    for name in {*needed, *(line.keys() & _WHOLE)}:
        if not (
            documents.is_number(line.get(name), -documents.LATEST, documents.LATEST)
            if name in ("start", "end")
            else isinstance(line.get(name), str)
        ):
            return f"has no {name}"
    return (
        None if line.get("words") is None or documents.fits(line["words"], _WORDS) else "has words without times"
    )


def why_not_writable(folder: Path) -> str | None:
    """Why nothing can be written into a folder, in a sentence; None if it can."""
    path = folder / JOURNAL
    if path.is_symlink():
        return f"{documents.as_text(path)!r} is a symbolic link: put the file itself there"
    if os.access(path if path.exists() else folder, os.W_OK) and os.access(folder, os.W_OK):
        return None
    return f"{documents.as_text(folder)!r} can't be written to: choose a copy that you may write to"


def has_journal(folder: Path) -> bool:
    return os.path.isfile(folder / JOURNAL)


# Reading a folder with its edits, whether its files have them or not. Nothing is written.


def with_pending_edits(path: Path, root: Path | None = None) -> documents.Readable:
    """A file as it is to be read: with the edits of its folder's journal that are not in it yet.

    The file itself, in nearly all folders; where a discarded file is to be put back, the one among the discarded.

    Args:
        path: of a transcript, a whisper.json, or a file of a training folder; it need not exist.
        root: the folder that the file was read from, which may have the journal.

    Raises BadInput for a damaged journal, and for one without the app that knows what its edits change.
    """
    above = path.absolute().parents
    of_audio = (folder.parent for folder in above if folder.name == AUDIO_FOLDER)
    for folder in dict.fromkeys([*([root.absolute()] if root else []), above[0], *of_audio]):
        if path.absolute().is_relative_to(folder) and (review := _review(folder)):
            laid: documents.Readable | None = review.pending_file(path, folder)
            if laid is not None:
                return laid
    return path


def pending_moves(path: Path) -> dict[Path, Path]:
    """Where files of a folder of clips are that its journal discards or puts back, with the places for them.

    They are where they were until `review` or `reindex` moves them. Raises BadInput as `with_pending_edits` does.
    """
    folder = next((folder for folder in (path.absolute(), path.absolute().parent) if has_journal(folder)), path)
    review = _review(folder)
    moves: dict[Path, Path] = review.journal_moves(path) if review else {}
    return moves


def _review(folder: Path) -> Any:
    """The module of the app that lays edits over files; None where a folder has no edits to lay over them."""
    if not has_journal(folder):
        return None
    if has_app("review"):
        return part_of("review", "settling")
    if EditJournal(folder).is_in_file():
        return None
    raise BadInput(
        f"{documents.as_text(folder)!r} has edits in {JOURNAL}, and the app that reads them is not here",
        "put apps/review of dailytalk_contiguous back",
    )
