"""Folders whose lines people correct: what each layout has of an item, and how edits get into its files.

Edits are saved in a journal (`store.edit_journal`). `settle` writes those that are not in the files yet; every
command that reads such a folder calls it where it opens the folder, so that no command sees less than the page
showed.
"""

import itertools
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.audio import Probe, probe
from dailytalk_contiguous.core.documents import as_text, is_number, parse_json
from dailytalk_contiguous.core.edits import Laid, Lines, SpokenLine, in_order, lay_edits
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.shards import Entry, ShardIndex, read_rows
from dailytalk_contiguous.sources.transcribed import BASE, at_hand, tagged_row
from dailytalk_contiguous.sources.transcripts import RUN_TRANSCRIPT
from dailytalk_contiguous.store.edit_journal import EditJournal, Record, has_journal
from dailytalk_contiguous.store.files import inside, json_text, sha256_of, write_bytes, write_lines

#: Folder of the tagged shards in a work folder.
_TAGGED = "tagged"

#: Characters of a text that a list shows.
SHOWN_TEXT = 200


class SoundPlace(NamedTuple):
    """The sound of an item: encoded audio as `core.audio` takes it, and the seconds of it that the item fills."""

    audio: dict[str, Any]
    start: float
    seconds: float


class Editable(ABC):
    """A folder whose lines can be edited.

    Attributes:
        root: where its journal is.
        kind: `tagged`, `moshi` or `clips`.
    """

    kind: str

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The ids of the items, in order. Nothing is opened for each of them."""

    @abstractmethod
    def lines(self, name: str) -> Lines:
        """The lines of an item as its file has them, with times in seconds of the file. Raises BadInput."""

    @abstractmethod
    def place(self, name: str) -> SoundPlace:
        """The sound of an item. Raises BadInput if it is not at hand."""

    @abstractmethod
    def seconds(self, name: str) -> float | None:
        """Its duration, if that is known without opening its sound."""

    @abstractmethod
    def file_of(self, name: str) -> str:
        """The file that has the lines of an item, by its path under the root."""

    @abstractmethod
    def write(self, file: str, changed: Mapping[str, Lines]) -> None:
        """Write a file whole, with other lines of some of its items. Raises OSError and BadInput."""

    def watched(self) -> Sequence[Path]:
        """Files whose change is noticed while the folder is open."""
        return []

    @abstractmethod
    def reread(self) -> None:
        """Forget what was read of the files."""

    @abstractmethod
    def summaries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every item with what `summary_of` says of its lines in the file, in order."""

    def offset(self, name: str) -> float:
        """Seconds of the file at which an item begins: its lines have times of the file."""
        return 0.0

    def rebuilt(self, name: str) -> SoundPlace:
        """The sound of the conversation that was made of an item. Raises BadInput where there is none."""
        raise BadInput("no conversation was made of it", "run dailytalk speak")

    def channels(self, name: str) -> Sequence[str]:
        """The channels that its lines may be on."""
        return CHANNELS

    def probe(self, name: str) -> Probe:
        """What the sound of an item says of itself. Raises BadInput if it is not at hand."""
        return probe(self.place(name).audio)


def summary_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a list shows of an item's lines, which are in order; null is unknown.

    `confidence` is that of the least certain line, `rate` in words a second of speech.
    """
    texts: list[str] = []
    count, n_words, seconds = 0, 0, 0.0
    speakers: dict[str, None] = {}
    tags: dict[str, None] = {}
    buckets: dict[str, dict[str, int]] = {}
    confidence, language, empty, edited = None, None, 0, False
    for line in lines:
        count += 1
        text = line.get("text") or ""
        if text and sum(len(part) for part in texts) <= SHOWN_TEXT:
            texts.append(text)
        n_words += len(text.split())
        start, end = line.get("start"), line.get("end")
        if is_number(start) and is_number(end):
            seconds += max(0.0, end - start)
        speakers |= {line["speaker"]: None} if isinstance(line.get("speaker"), str) else {}
        tags |= {line["tag"]: None} if line.get("tag") else {}
        for kind in ("vad_bucket", "prosody_bucket"):
            for name, level in (line.get(kind) or {}).items():
                if isinstance(level, str) and level:
                    counts = buckets.setdefault(name, {})
                    counts[level] = counts.get(level, 0) + 1
        if is_number(line.get("confidence")):
            confidence = min(line["confidence"], 1.0 if confidence is None else confidence)
        language = language or line.get("language")
        empty += not text.strip()
        edited = edited or "edited_by" in line
    return {
        "n_lines": count,
        "n_words": n_words,
        "n_empty": empty,
        "text": " ".join(texts)[:SHOWN_TEXT],
        "speakers": [*speakers],
        "tags": [*tags],
        "buckets": {name: max(counts, key=counts.__getitem__) for name, counts in buckets.items()},
        "confidence": confidence,
        "rate": round(n_words / seconds, 3) if seconds > 0 else None,
        "language": language,
        "edited": edited,
    }


class TaggedLines(Editable):
    """A work folder, tagged or spoken: the lines are those of `transcript.jsonl`."""

    kind = "tagged"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._path = inside(root, RUN_TRANSCRIPT)

    def names(self) -> Sequence[str]:
        return [name for name in self._scanned if name]

    def summaries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((name, item.summary) for name, item in self._scanned.items() if name)

    def lines(self, name: str) -> Lines:
        numbered: Lines = {}
        for place, line in enumerate(self._parsed(name)):
            identity = line.get("utterance_id")
            if not isinstance(identity, str) or not identity or identity in numbered:
                identity = next(
                    key
                    for number in itertools.count(place)
                    if (key := f"{name}/{line['channel']}/{number:04d}") not in numbered
                )
            numbered[identity] = line
        return numbered

    def place(self, name: str) -> SoundPlace:
        if name not in self._entries:
            raise BadInput("the folder does not say where its recording is", "run dailytalk tag again")
        row = at_hand(self._base(name), None)
        return SoundPlace(row["audio"], row["offset"], row["duration"])

    def seconds(self, name: str) -> float | None:
        entry = self._entries.get(name)
        return entry[1].duration if entry else None

    def offset(self, name: str) -> float:
        return float(self._base(name)["offset"]) if name in self._entries else 0.0

    def file_of(self, name: str) -> str:
        return RUN_TRANSCRIPT

    def watched(self) -> Sequence[Path]:
        return [self._path]

    def write(self, file: str, changed: Mapping[str, Lines]) -> None:
        write_lines(self._path, self._written(changed))

    def reread(self) -> None:
        for name in ("_scanned", "_entries"):
            self.__dict__.pop(name, None)
        self._latest = (None, {})

    def _written(self, changed: Mapping[str, Lines]) -> Iterator[str]:
        """The pieces of the file: lines of items that did not change are as they were, except their number."""
        done: set[str] = set()
        count = 0
        fields: list[str] = []
        with self._path.open("rb") as file:
            for data in file:
                name, line = _item_of(data)
                fields = fields or [*line]
                if name not in changed:
                    yield _NUMBER.sub(rf'{{"segment_id": {count}', data.decode(), count=1)
                    count += bool(name)
                elif name not in done:
                    done.add(name)
                    for key, new in in_order(changed[name]):
                        ordered = {field: new.get(field) for field in fields if field in new or field in _OURS}
                        told = ordered | new | {"utterance_id": key}
                        yield json_text({**told, "segment_id": count} if "segment_id" in ordered else told)
                        count += 1

    @cached_property
    def _scanned(self) -> dict[str, "_Scanned"]:
        """Every conversation in the order of the file; lines of none are under ""."""
        places: dict[str, list[int]] = {}
        summaries: dict[str, dict[str, Any]] = {}
        at, latest = 0, ""
        block: list[SpokenLine] = []
        again: set[str] = set()
        with self._path.open("rb") as file:
            for data in file:
                name, line = _item_of(data)
                if name != latest:
                    summaries[latest] = summary_of(block)
                    latest, block = name, []
                    again |= {name} & summaries.keys()
                block.append(line)
                places.setdefault(name, []).append(at)
                at += len(data)
        summaries[latest] = summary_of(block)
        scanned = {name: _Scanned(numbers, summaries[name]) for name, numbers in places.items()}
        for name in again - {""}:
            scanned[name] = _Scanned(places[name], summary_of(self._read(places[name])))
        return scanned

    @cached_property
    def _entries(self) -> dict[str, tuple[Path, Entry]]:
        return ShardIndex(self.root / _TAGGED).entries

    _latest: tuple[Path | None, dict[str, dict[str, Any]]] = (None, {})

    def _base(self, name: str) -> dict[str, Any]:
        path = self._entries[name][0]
        if self._latest[0] != path:
            self._latest = path, read_rows(path, BASE)
        return tagged_row(self._latest[1].get(name))

    def _parsed(self, name: str) -> list[SpokenLine]:
        if not name or name not in self._scanned:
            raise BadInput(f"{as_text(self.root)!r} has no item {name[:200]!r}", "reload the page")
        return self._read(self._scanned[name].places)

    def _read(self, places: Iterable[int]) -> list[SpokenLine]:
        lines = []
        with self._path.open("rb") as file:
            for at in places:
                file.seek(at)
                line = parse_json(file.readline(), as_text(self._path), nan=True)
                lines.append({field: None if value != value else value for field, value in line.items()})
        return lines


class _Scanned(NamedTuple):
    """Where the lines of an item begin in its file, in bytes, and what a list shows of them."""

    places: list[int]
    summary: dict[str, Any]


#: How a line of a transcript begins: with the number that it has among all of them.
_NUMBER = re.compile(r'^\{"segment_id": \d+')

#: Fields that all lines of a transcript have.
_OURS = frozenset({"segment_id", "duration", "text_raw", "rule", "kind", "text_reason"})


def _item_of(data: bytes) -> tuple[str, SpokenLine]:
    """The conversation of a line, and the line; "" and nothing for one that is no line of a transcript."""
    try:
        line = parse_json(data, "", nan=True) if data.strip() else None
    except BadInput:
        line = None
    if not isinstance(line, dict) or line.get("channel") not in CHANNELS or not isinstance(line.get("text"), str):
        return "", {}
    if not is_number(line.get("start")) or not is_number(line.get("end")):
        return "", {}
    return str(line.get("conversation_id") or line.get("audio_file") or ""), line


# Opening a folder, and getting its edits into its files.


def open_editable(folder: Path) -> Editable | None:
    """The editable lines of a folder, or of a whisper.json; None for a folder of another kind."""
    if (folder / RUN_TRANSCRIPT).is_file():
        return TaggedLines(folder)
    return None


def settle(folder: Path) -> None:
    """Write the edits of a folder that are not in its files yet. Nothing is opened in a folder without any.

    Raises DailytalkError if the disk refuses, or the journal is damaged: what reads on would see less than the
    page showed.
    """
    if not has_journal(folder):
        return
    editable = open_editable(folder)
    if editable is None:
        return
    journal = EditJournal(folder)
    if not unsettled(editable, journal):
        return
    try:
        with journal.locked():
            settle_edits(editable, journal)
    except OSError as error:
        raise DailytalkError(
            f"edits of {as_text(folder)!r} can't be written into its files ({error.strerror})",
            "make room and make it writable, then run the same command again: no edit is lost",
        ) from error


def edits_by_file(editable: Editable, records: Iterable[Record]) -> dict[str, dict[str, list[Record]]]:
    """The records that change lines, by file and item."""
    files: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        if record["before"].get("lines"):
            by_item = files.setdefault(editable.file_of(record["item"]), {})
            by_item.setdefault(record["item"], []).append(record)
    return files


def unsettled(editable: Editable, journal: EditJournal) -> list[str]:
    """The files that lack edits, or that another program has written since."""
    files = edits_by_file(editable, journal.records.values())
    return [name for name, items in files.items() if not _stands(editable.root / name, journal, items)]


def _stands(path: Path, journal: EditJournal, items: Mapping[str, Sequence[Record]]) -> bool:
    record = journal.settled.get(as_text(path.relative_to(journal.folder)))
    last = max(records[-1]["number"] for records in items.values())
    if record is None or record["settled"] < last:
        return False
    return path.is_file() and sha256_of(path) == record["sha256"]


def settle_edits(editable: Editable, journal: EditJournal) -> None:
    """`settle` for a folder that is open; the caller holds the journal's lock. Raises OSError and BadInput."""
    for file, items in edits_by_file(editable, journal.records.values()).items():
        path = inside(editable.root, file)
        if _stands(path, journal, items) or not path.is_file():
            continue
        editable.reread()
        changed: dict[str, Lines] = {}
        for name, records in items.items():
            before = lines_or_none(editable, name)
            laid = lay_edits(before, records) if before is not None else None
            if laid and laid.lines != before:
                changed[name] = laid.lines
        if changed:
            keep_backup(path)
            editable.write(file, changed)
            editable.reread()
        journal.settle(file, sha256_of(path))


def lines_or_none(editable: Editable, name: str) -> Lines | None:
    """The lines of an item, or None if its file has lost it."""
    try:
        return editable.lines(name)
    except BadInput:
        return None


def laid_edits(editable: Editable, name: str, records: Sequence[Record]) -> Laid:
    """The lines of an item with its edits, whether its file has them or not. Raises BadInput without the item."""
    return lay_edits(editable.lines(name), [record for record in records if record["before"].get("lines")])


def keep_backup(path: Path) -> None:
    """Copy a file as it was before the first edit: once, and never again."""
    backup = path.with_name(f"{path.stem}_backup{path.suffix}")
    if not os.path.lexists(backup):
        write_bytes(backup, path.read_bytes())
