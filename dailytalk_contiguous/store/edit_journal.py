"""The journal of edits beside the data: each is on the disk before it is reported as saved.

One JSON object a line, appended and flushed, never rewritten. What was cut short in its last line was never
answered, and is dropped. Several processes may use one journal: each takes its lock for a moment, and reads first
what another one has written.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.store.files import inside, json_text, refuse_linked, sync_folder

#: The journal in the folder of the data, and the lock that is held while one record is written. Its lines are
#: JSON, and its name doesn't say so: moshi-finetune takes every file `*jsonl` in its folder for a manifest.
JOURNAL, JOURNAL_LOCK = ".dailytalk-edits", ".dailytalk-edits.lock"

#: Seconds that a process waits for another one that writes.
PATIENCE = 30.0

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


class FolderGone(BadInput):
    """The folder of a journal is not where it was: it was moved, renamed or taken out while it was open."""

    def __init__(self, folder: Path) -> None:
        reason = f"the folder {documents.as_text(folder)!r} is not where it was"
        super().__init__(reason, "put it back, or open it where it is now: nothing that was saved is lost")


class NewEdit(NamedTuple):
    """An edit that has no number yet; `before` and `after` are those of a `core.edits.EditChange`."""

    author: str
    item: str
    action: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    undoes: int | None = None


class EditJournal:
    """The journal of a folder.

    `records` are all of its edits by number, `settled` of each file the last record of the edits that it holds.
    """

    def __init__(self, folder: Path) -> None:
        """Read the journal, if there is one. Raises BadInput for a damaged one."""
        self.folder, self.path = folder, inside(folder, JOURNAL)
        self.records: dict[int, Record] = {}
        self.settled: dict[str, Record] = {}
        self._read = 0  # bytes
        self._identity = _identity(folder)
        # The one keeps out other threads, which the other would let in.
        self._threads, self._lock = threading.RLock(), FileLock(folder / JOURNAL_LOCK, timeout=PATIENCE)
        self.refresh()

    @property
    def number(self) -> int:
        """That of the last edit; 0 without any."""
        return next(reversed(self.records), 0)

    def refresh(self) -> None:
        """Read what was appended since. Raises BadInput for a damaged record, and `FolderGone`."""
        with self._threads:
            self._refuse_gone()
            self._refresh()

    def _refuse_gone(self) -> None:
        """Raise `FolderGone` before a lock or a journal is written that would be somebody else's."""
        if self._identity is not None and _identity(self.folder) != self._identity:
            raise FolderGone(self.folder)

    def _refresh(self) -> None:
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < self._read:
            raise BadInput(
                f"{documents.as_text(self.path)!r} has lost edits that it had", "put the whole file back"
            )
        if size == self._read:
            return
        if size > documents.MOST_OWN_BYTES:
            raise BadInput(
                f"{documents.as_text(self.path)!r} has {size:,} bytes, more than any review writes", "move it away"
            )
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
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
        """What is wrong with an edit of the right types, if anything is."""
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

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from writing, and read what they have written until now.

        Raises DailytalkError where another one does not let go, `FolderGone`, and OSError where the disk refuses.
        """
        try:
            with self._threads:
                self._refuse_gone()  # the lock would make the folder again
                refuse_linked(self.folder / JOURNAL_LOCK)
                with self._lock:
                    self.refresh()
                    yield
        except Timeout:
            raise DailytalkError(
                f"another program has been writing {documents.as_text(self.path)!r} for {PATIENCE:g} s",
                "try again",
            ) from None

    def append(self, edits: Sequence[NewEdit]) -> list[Record]:
        """Write edits so that they last, all or none, and give their records; the caller holds the lock.

        Raises OSError as the disk does.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        records: list[Record] = []
        for number, edit in enumerate(edits, self.number + 1):
            record: Record = {"number": number, "time": now, "author": edit.author, "item": edit.item}
            record |= {"action": edit.action, "before": dict(edit.before), "after": dict(edit.after)}
            records.append(record | ({} if edit.undoes is None else {"undoes": edit.undoes}))
        self._write(records)
        self.records |= {record["number"]: record for record in records}
        return records

    def settle(self, file: str, sha256: str, **more: Any) -> None:
        """Note that a file holds all edits up to now; the caller holds the lock. Raises OSError."""
        record: Record = {"settled": self.number, "file": file, "sha256": sha256, **more}
        self._write([record])
        self.settled[file] = record

    def _write(self, records: Sequence[Record]) -> None:
        line = "".join(map(json_text, records)).encode()
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            # Over the rest of a line that was cut short, and over nothing else.
            os.ftruncate(descriptor, self._read)
            os.lseek(descriptor, self._read, os.SEEK_SET)
            try:
                written = 0
                while written < len(line):
                    written += os.write(descriptor, line[written:])
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, self._read)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(self.folder)
        self._read += len(line)


def _line_problem(line: Any, other: Any) -> str | None:
    """What is wrong with a line before or after an edit; `other` is the line on the other side of it."""
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


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def why_not_writable(folder: Path) -> str | None:
    """Why nothing can be written into a folder, in a sentence; None if it can."""
    path = folder / JOURNAL
    if path.is_symlink():
        return f"{documents.as_text(path)!r} is a symbolic link: put the file itself there"
    target = path if path.exists() else folder
    if os.access(target, os.W_OK) and os.access(folder, os.W_OK):
        try:
            if not os.statvfs(folder).f_flag & os.ST_RDONLY:
                return None
        except (AttributeError, OSError):
            return None
    return f"{documents.as_text(folder)!r} can't be written to: choose a copy that you may write to"


def has_journal(folder: Path) -> bool:
    """Whether anything was ever edited in a folder."""
    return os.path.isfile(folder / JOURNAL)
