"""Folders whose lines people correct: the items of each layout, and how edits are written into its files.

Edits are saved in a journal (`store.edit_journal`). `review` and `reindex` write those that are not in the files
yet (`settle`). Other readers of such a folder write nothing: `with_pending_edits` returns the future content of a
file, so that no command sees less than the page showed.
"""

import itertools
import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.apps.review.edits import Lines, SpokenLine, in_order
from dailytalk_contiguous.core.audio import read_header, to_uri
from dailytalk_contiguous.core.documents import as_text, is_number, parse_json, with_null
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.utterance import HAS_TEXT, no_text_reason
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.shards import Entry, entries_in, read_rows
from dailytalk_contiguous.sources.transcribed import BASE, at_hand, tagged_row
from dailytalk_contiguous.store.files import inside, is_inside, json_text, replacing, write_bytes
from dailytalk_contiguous.store.work_folder import TAGGED, TRANSCRIPT

log = logging.getLogger("dailytalk_contiguous")

#: The folder of discarded audio, and the file in it with its entries.
DISCARDED, DISCARDED_ENTRIES = "Discarded Audios", "discarded_entries.json"

#: Characters of a text that a list shows.
SHOWN_TEXT = 200


class SoundStretch(NamedTuple):
    """The sound of an item: encoded audio as `core.audio` takes it, and its start and length in seconds."""

    audio: dict[str, Any]
    start: float
    seconds: float


def whole_sound(path: Path) -> SoundStretch:
    """All of a file. Raises BadInput if it is no sound, or can't be read."""
    audio = {"bytes": None, "path": to_uri(path.absolute())}
    return SoundStretch(audio, 0.0, read_header(audio).seconds)


class Editable(ABC):
    """A folder whose lines can be edited.

    Attributes:
        root: the folder of its journal.
        kind: `tagged`, `moshi`, `clips`, or `version` for items that can only be listened to.
        why_not: why nothing can be changed; None if it can.
    """

    kind: str
    why_not: str | None = None

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The ids of the items, in order. Nothing is opened for each of them."""

    @abstractmethod
    def lines(self, name: str) -> Lines:
        """The lines of an item as its file has them, with times in seconds of the file. Raises BadInput."""

    @abstractmethod
    def stretch(self, name: str) -> SoundStretch:
        """The sound of an item. Raises BadInput if it is not at hand."""

    @abstractmethod
    def seconds(self, name: str) -> float | None:
        """Its duration, if that is known without opening its sound."""

    def file_of(self, name: str) -> str:
        """The file with the lines of an item, by its path under the root."""
        raise NotImplementedError

    def write(self, file: str, changed: Mapping[str, Lines]) -> None:
        """Write a whole file, with other lines of some of its items. Raises OSError and BadInput."""
        raise NotImplementedError

    def content(self, file: str, changed: Mapping[str, Lines], states: Mapping[str, bool]) -> Iterable[bytes]:
        """The lines of a file with other lines of some of its items, and without discarded ones.

        They are the result of `write` and `put_aside`; `states` are those of `put_aside`. Raises BadInput.
        """
        raise NotImplementedError

    def refuse_discarding(self, name: str) -> None:  # noqa: B027 (most have nothing in the way)
        """Raise BadInput if an item can't be discarded."""

    def put_aside(self, states: Mapping[str, bool]) -> None:  # noqa: B027 (where nothing is moved)
        """Move files and entries of items to the discarded ones (True), or back.

        The result is the same however often it is called: a program that is stopped in it does the rest the next
        time. Raises OSError and BadInput.
        """

    def listing(self) -> Sequence[str]:
        """The files that name the items, and change when one is discarded."""
        return []

    def moves(self, states: Mapping[str, bool]) -> Iterator[tuple[Path, Path]]:
        """The files that `put_aside` moves, each with its new path."""
        return iter(())

    @abstractmethod
    def reread(self) -> None:
        """Forget what was read of the files."""

    def _drop(self, *names: str) -> None:
        for name in names:
            self.__dict__.pop(name, None)

    @abstractmethod
    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Every item with the `summary_of` its lines in the file, in order; None if they are to be read."""

    def offset(self, name: str) -> float:
        """Seconds of the file at which an item begins: its lines have times of the file."""
        return 0.0

    def channels(self, name: str) -> Sequence[str]:
        """The channels that its lines may be on."""
        return CHANNELS


def summary_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise an item's lines, which are in order, for a list; null is unknown.

    `whole` is the whole text, `text` the beginning of it; `confidence` is that of the least certain line, `rate`
    in words a second of speech.
    """
    texts: list[str] = []
    count, n_words, seconds = 0, 0, 0.0
    speakers: dict[str, None] = {}
    tags: dict[str, None] = {}
    emotions: dict[str, None] = {}
    buckets: dict[str, dict[str, int]] = {}
    confidence, language = None, None
    suspects: dict[str, dict[str, Any]] = {}
    for line in lines:
        count += 1
        text = line.get("text") or ""
        if text:
            texts.append(text)
        n_words += len(text.split())
        start, end = line.get("start"), line.get("end")
        if is_number(start) and is_number(end):
            seconds += max(0.0, end - start)
        speakers |= {line["speaker"]: None} if isinstance(line.get("speaker"), str) else {}
        tags |= {line["tag"]: None} if line.get("tag") else {}
        emotions |= {line["emotion_class"]: None} if isinstance(line.get("emotion_class"), str) else {}
        for kind in ("vad_bucket", "prosody_bucket"):
            for name, level in (line.get(kind) or {}).items():
                if isinstance(level, str) and level:
                    counts = buckets.setdefault(name, {})
                    counts[level] = counts.get(level, 0) + 1
        if is_number(line.get("confidence")):
            confidence = min(line["confidence"], 1.0 if confidence is None else confidence)
        language = language or line.get("language")
        for suspect in line_suspects(line):
            suspects.setdefault(suspect["kind"], suspect)
    whole = " ".join(texts)
    return {
        "n_lines": count,
        "whole": whole,
        "text": whole[:SHOWN_TEXT],
        "speakers": [*speakers],
        "tags": [*tags],
        "emotions": [*emotions],
        "buckets": {name: max(counts, key=counts.__getitem__) for name, counts in buckets.items()},
        "confidence": confidence,
        "rate": round(n_words / seconds, 3) if seconds > 0 else None,
        "language": language,
        "suspects": [*suspects.values()] if count else line_suspects({}),
    }


#: Words a second of a line beyond which it is fast or slow, and the words (the seconds) that it needs for that:
#: conversations have 2 to 5 a second, in lines of a few words up to 7.
FAST, SLOW, FEWEST_WORDS, SHORTEST_SLOW = 7.0, 0.5, 4, 3.0


def line_suspects(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Possible errors of a line by its fields: `kind` (empty, fast, slow) and `why`."""
    text = (line.get("text") or "").strip()
    start, end = line.get("start"), line.get("end")
    seconds = end - start if is_number(start) and is_number(end) else 0.0
    n_words = len(text.split())
    if not text:
        return [{"kind": "empty", "why": no_text_reason(line) or "it has no text"}]
    if seconds > 0 and n_words >= FEWEST_WORDS and n_words / seconds > FAST:
        why = f"{n_words / seconds:.1f} words a second: is all of it said here?"
        return [{"kind": "fast", "why": why}]
    if seconds > SHORTEST_SLOW and n_words / seconds < SLOW:
        why = f"only {counted(n_words, 'word')} in {seconds:.1f} s: listen for words that are missing"
        return [{"kind": "slow", "why": why}]
    return []


class TaggedLines(Editable):
    """A work folder, tagged or spoken: the lines are those of `transcript.jsonl`.

    Discarding takes lines out as any edit does; the recording is the user's, and is never moved.
    """

    kind = "tagged"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._path = inside(root, TRANSCRIPT)
        self._signature = signature_of(self._path)

    def names(self) -> Sequence[str]:
        return [name for name in self._scanned if name]

    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        return ((name, item.summary) for name, item in self._scanned.items() if name)

    def lines(self, name: str) -> Lines:
        numbered: Lines = {}
        if not name or name not in self._scanned:
            raise BadInput(f"{as_text(self.root)!r} has no item {name[:200]!r}", "reload the page")
        for index, line in enumerate(self._read(self._scanned[name].offsets)):
            identity = line.get("utterance_id")
            if not isinstance(identity, str) or not identity or identity in numbered:
                identity = next(
                    key
                    for number in itertools.count(index)
                    if (key := f"{name}/{line['channel']}/{number:04d}") not in numbered
                )
            numbered[identity] = line
        return numbered

    def stretch(self, name: str) -> SoundStretch:
        if name not in self._entries:
            raise BadInput("the folder does not say where its recording is", "run dailytalk tag again")
        row = at_hand(self._base(name), None)
        return SoundStretch(row["audio"], row["offset"], row["duration"])

    def seconds(self, name: str) -> float | None:
        entry = self._entries.get(name)
        return entry[1].duration if entry else None

    def offset(self, name: str) -> float:
        return float(self._base(name)["offset"]) if name in self._entries else 0.0

    def file_of(self, name: str) -> str:
        return TRANSCRIPT

    def write(self, file: str, changed: Mapping[str, Lines]) -> None:
        after: dict[str, _Scanned] = {}
        with replacing(self._path) as target:
            target.writelines(self._written(changed, after))
        self._scanned, self._signature = after, signature_of(self._path)

    def content(self, file: str, changed: Mapping[str, Lines], states: Mapping[str, bool]) -> Iterable[bytes]:
        return self._written(changed, {})

    def reread(self) -> None:
        if self._signature != (now := signature_of(self._path)):
            self._signature = now
            self._drop("_scanned", "_entries")
            self._latest = (None, {})

    def _written(self, changed: Mapping[str, Lines], after: dict[str, "_Scanned"]) -> Iterator[bytes]:
        """The pieces of the file: lines of items that did not change are as they were, except their number.

        `after` gets the positions of the lines of each item in the new file.
        """
        names = {at: name for name, item in self._scanned.items() for at in item.offsets}
        count = at = written = 0
        fields: list[str] = []

        def lines(name: str, texts: Iterable[bytes], summary: dict[str, Any]) -> Iterator[bytes]:
            nonlocal written, count
            for text in texts:
                after.setdefault(name, _Scanned([], summary)).offsets.append(written)
                written += len(text)
                count += bool(name)
                yield text

        with self._path.open("rb") as file:
            for data in file:
                name = names[at]
                at += len(data)
                data = data if data.endswith(b"\n") else data + b"\n"
                fields = fields or [*_item_of(data)[1]]
                if name not in changed:
                    texts = [_NUMBER.sub(b'{"segment_id": %d' % count, data, count=1)]
                    yield from lines(name, texts, self._scanned[name].summary)
                elif name not in after:
                    yield from lines(
                        name, texts_of_fields(changed[name], fields, count), _summary_of(changed[name])
                    )
        for name in changed.keys() - names.values():  # what was discarded, and is restored
            yield from lines(name, texts_of_fields(changed[name], fields, count), _summary_of(changed[name]))

    @cached_property
    def _scanned(self) -> dict[str, "_Scanned"]:
        """Every conversation in the order of the file; lines of none are under ""."""
        offsets: dict[str, list[int]] = {}
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
                offsets.setdefault(name, []).append(at)
                at += len(data)
        summaries[latest] = summary_of(block)
        scanned = {name: _Scanned(numbers, summaries[name]) for name, numbers in offsets.items()}
        for name in again - {""}:
            scanned[name] = _Scanned(offsets[name], summary_of(self._read(offsets[name])))
        return scanned

    @cached_property
    def _entries(self) -> dict[str, tuple[Path, Entry]]:
        return entries_in(self.root / TAGGED)

    _latest: tuple[Path | None, dict[str, dict[str, Any]]] = (None, {})

    def _base(self, name: str) -> dict[str, Any]:
        path = self._entries[name][0]
        if self._latest[0] != path:
            self._latest = path, read_rows(path, BASE)
        return tagged_row(self._latest[1].get(name))

    def _read(self, offsets: Iterable[int]) -> list[SpokenLine]:
        lines = []
        with self._path.open("rb") as file:
            for at in offsets:
                file.seek(at)
                lines.append(with_null(parse_json(file.readline(), as_text(self._path), nan=True)))
        return lines


def _summary_of(lines: Lines) -> dict[str, Any]:
    return summary_of(line for _, line in in_order(lines))


def signature_of(path: Path) -> tuple[int, int, int] | None:
    """A value that changes when a file does; None without a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def texts_of_fields(lines: Lines, fields: Sequence[str], count: int) -> Iterator[bytes]:
    """Lines as a transcript has them, its fields in their order; `count` lines are before them."""
    for number, (key, line) in enumerate(in_order(lines), count):
        ordered = {field: line.get(field) for field in fields if field in line or field in _OURS}
        record = ordered | line | {"utterance_id": key}
        yield json_text({**record, "segment_id": number} if "segment_id" in ordered else record).encode()


class _Scanned(NamedTuple):
    """The positions of an item's lines in its file, in bytes, and its summary."""

    offsets: list[int]
    summary: dict[str, Any]


#: The beginning of a line of a transcript: its number among all of them.
_NUMBER = re.compile(rb'^\{"segment_id": \d+')

#: Fields that all lines of a transcript have.
_OURS = frozenset({"segment_id", "duration", "text_raw", "rule", "kind", *HAS_TEXT})


def _item_of(data: bytes) -> tuple[str, SpokenLine]:
    """The conversation of a line, and the line; "" and nothing if it is no line of a transcript."""
    try:
        line = parse_json(data, "", nan=True) if data.strip() else None
    except BadInput:
        line = None
    if not isinstance(line, dict) or line.get("channel") not in CHANNELS or not isinstance(line.get("text"), str):
        return "", {}
    if not is_number(line.get("start")) or not is_number(line.get("end")):
        return "", {}
    return str(line.get("conversation_id") or line.get("audio_file") or ""), line


def may_move(source: Path, target: Path, root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the two paths if the first is a file that may move to the second: nothing is overwritten, or leads
    out."""
    if is_inside(source, root) and is_inside(target, root) and source.is_file() and not os.path.lexists(target):
        yield source, target


def keep_backup(path: Path) -> None:
    """Copy a file as it was before the first edit: once, and never again."""
    backup = path.with_name(f"{path.stem}_backup{path.suffix}")
    if path.is_file() and not os.path.lexists(backup):
        write_bytes(backup, path.read_bytes())
