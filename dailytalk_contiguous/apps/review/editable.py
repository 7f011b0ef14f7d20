"""Folders whose lines people correct: the items of each layout, and how their files are written.

`review` owns the files while it is open: it holds what it has read, and writes a file whole at every edit. If
another program has written the file meanwhile, `ChangedElsewhere` is raised before anything is written, and
`decide` keeps one of the two states beside the other.
"""

import itertools
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.apps.review.edits import Lines, SpokenLine, in_order
from dailytalk_contiguous.core.audio import read_header, to_uri
from dailytalk_contiguous.core.documents import (
    as_text,
    expect,
    is_number,
    parse_json,
    read_bytes,
    read_json,
    with_null,
)
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.utterance import HAS_TEXT, no_text_reason
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.shards import Entry, entries_in, read_rows
from dailytalk_contiguous.sources.transcribed import BASE, at_hand, tagged_row
from dailytalk_contiguous.store.files import inside, is_inside, json_document, json_text, write_bytes, write_text
from dailytalk_contiguous.store.work_folder import TAGGED, TRANSCRIPT

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


class ChangedElsewhere(BadInput):
    """Another program has written the file of an item since it was read; `file` is its name."""

    def __init__(self, item: str, path: Path) -> None:
        self.item, self.file = item, as_text(path.name)
        super().__init__(
            f"another program has changed {self.file!r} meanwhile", "take its state over, or keep yours"
        )


class Editable(ABC):
    """A folder whose lines can be edited.

    Attributes:
        root: the folder of its list of edits.
        kind: `tagged`, `moshi`, `clips`, or `version` for items that can only be listened to.
        why_not: why nothing can be changed; None if it can.
    """

    kind: str
    why_not: str | None = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[Path, Sequence[int] | None] = {}

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The ids of the items, with the discarded ones, in order. Nothing is opened for each of them."""

    @abstractmethod
    def lines(self, name: str) -> Lines:
        """The lines of an item, with times in seconds of the file. Raises BadInput."""

    @abstractmethod
    def stretch(self, name: str) -> SoundStretch:
        """The sound of an item. Raises BadInput if it is not at hand."""

    @abstractmethod
    def seconds(self, name: str) -> float | None:
        """Its duration, if that is known without opening its sound."""

    @abstractmethod
    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Every item with the `summary_of` its lines, in order; None if they are to be read."""

    def is_discarded(self, name: str) -> bool:
        return False

    def offset(self, name: str) -> float:
        """Seconds of the file at which an item begins: its lines have times of the file."""
        return 0.0

    def channels(self, name: str) -> Sequence[str]:
        """The channels that its lines may be on."""
        return CHANNELS

    def path_of(self, name: str) -> Path:
        """The file with the lines of an item."""
        raise NotImplementedError

    def content(self, name: str) -> bytes:
        """The content of `path_of(name)` that was read or written last."""
        raise NotImplementedError

    def write(self, name: str, lines: Lines) -> None:
        """Write the file of an item whole, with other lines of it. Raises OSError and BadInput."""
        raise NotImplementedError

    def refuse_discarding(self, name: str) -> None:  # noqa: B027 (most have nothing in the way)
        """Raise BadInput if an item can't be discarded."""

    def discard(self, names: Sequence[str], discarded: bool) -> None:
        """Move files and entries of items to the discarded ones, or back. Raises OSError and BadInput.

        Where it is stopped, an entry is in both files, never in none, and each sound in one place.
        """
        raise NotImplementedError

    def reread(self) -> None:
        """Read the files anew. Raises BadInput, and keeps what it has, for a file that can't be read."""
        raise NotImplementedError

    def signature(self, name: str) -> Sequence[int] | None:
        return signature_of(self.path_of(name))

    def refuse_changed(self, name: str) -> None:
        """Raise ChangedElsewhere if another program has written the file of an item."""
        path = self.path_of(name)
        if signature_of(path) != self._seen.get(path):
            raise ChangedElsewhere(name, path)

    def decide(self, name: str, mine: bool) -> Path:
        """Take over the file on the disk, or write what is held (`mine`); return where the other one is."""
        path = self.path_of(name)
        kept = next(
            free
            for number in itertools.count(1)
            if not os.path.lexists(free := path.with_name(f"{path.stem}_backup_{number}{path.suffix}"))
        )
        held = self.content(name)
        if mine:
            write_bytes(kept, read_bytes(path) if path.exists() else b"")
            self._write_file(path, held)
        else:
            write_bytes(kept, held)
            self.reread()
        return kept

    def _write_file(self, path: Path, data: bytes) -> None:
        """Write a file whole. What it was before the first edit is kept in a backup, and never written again."""
        backup = path.with_name(f"{path.stem}_backup{path.suffix}")
        if path.is_file() and not os.path.lexists(backup):
            write_bytes(backup, path.read_bytes())
        write_bytes(path, data)
        self._seen[path] = signature_of(path)

    def _drop(self, *names: str) -> None:
        for name in names:
            self.__dict__.pop(name, None)


def signature_of(path: Path) -> Sequence[int] | None:
    """A value that changes when a file does; None without a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def move_files(pairs: Iterable[tuple[Path, Path]], root: Path) -> None:
    """Rename files, each to its new path: nothing is overwritten, or leads out of `root`."""
    for source, target in pairs:
        stays_inside = is_inside(source, root) and is_inside(target, root)
        if stays_inside and source.is_file() and not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)


def read_discarded(folder: Path, shape: Any) -> dict[str, Any]:
    """The entries of discarded items, by item; none without their file. Raises BadInput."""
    path = inside(folder, Path(DISCARDED) / DISCARDED_ENTRIES)
    entries: dict[str, Any] = expect(read_json(path), {str: shape}, as_text(path)) if path.exists() else {}
    return entries


def write_discarded(folder: Path, entries: Mapping[str, Any]) -> None:
    write_text(inside(folder, Path(DISCARDED) / DISCARDED_ENTRIES), json_document(entries))


def summary_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise an item's lines, which are in order, for a list; null is unknown.

    `whole` is the whole text, `text` the beginning of it; `confidence` is that of the least certain line, `rate`
    in words a second of speech.
    """
    said = [*lines]
    texts = [line["text"] for line in said if line.get("text")]
    spans = [(line.get("start"), line.get("end")) for line in said]
    seconds = sum(max(0.0, end - start) for start, end in spans if is_number(start) and is_number(end))
    confidences = [line["confidence"] for line in said if is_number(line.get("confidence"))]
    buckets: dict[str, Counter[str]] = {}
    for line in said:
        for name, level in {**(line.get("vad_bucket") or {}), **(line.get("prosody_bucket") or {})}.items():
            if isinstance(level, str) and level:
                buckets.setdefault(name, Counter())[level] += 1

    def values(field: str) -> list[str]:
        return [*dict.fromkeys(line[field] for line in said if isinstance(line.get(field), str) and line[field])]

    whole = " ".join(texts)
    suspects = {suspect["kind"]: suspect for line in reversed(said) for suspect in line_suspects(line)}
    return {
        "n_lines": len(said),
        "whole": whole,
        "text": whole[:SHOWN_TEXT],
        "speakers": values("speaker"),
        "tags": values("tag"),
        "emotions": values("emotion_class"),
        "buckets": {name: counts.most_common(1)[0][0] for name, counts in buckets.items()},
        "confidence": min([1.0, *confidences]) if confidences else None,
        "rate": round(len(whole.split()) / seconds, 3) if seconds > 0 else None,
        "language": next((line["language"] for line in said if line.get("language")), None),
        "suspects": [*suspects.values()] if said else line_suspects({}),
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

    Discarding takes lines out of it; the recording is the user's, and is never moved.
    """

    kind = "tagged"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._path = inside(root, TRANSCRIPT)

    def names(self) -> Sequence[str]:
        return [*self._file.summaries, *(name for name in self._discarded if name not in self._file.summaries)]

    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        for name in self.names():
            yield name, self._file.summaries.get(name) or _summary_of(self.lines(name))

    def is_discarded(self, name: str) -> bool:
        return name in self._discarded and name not in self._file.summaries

    def lines(self, name: str) -> Lines:
        if self.is_discarded(name):
            texts = [text.encode() for text in self._discarded[name]]
        elif name in self._file.summaries or name in self._entries:
            texts = [self._file.rows[place][1] for place in self._file.places.get(name, ())]
        else:
            raise BadInput(f"{as_text(self.root)!r} has no item {name[:200]!r}", "reload the page")
        numbered: Lines = {}
        for index, text in enumerate(texts):
            line = with_null(parse_json(text, as_text(self._path), nan=True))
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

    def path_of(self, name: str) -> Path:
        return self._path

    def content(self, name: str) -> bytes:
        return b"".join(data for _, data in self._file.rows)

    def write(self, name: str, lines: Lines) -> None:
        fields = next(([*parse_json(data, "", nan=True)] for owner, data in self._file.rows if owner), [])
        self._write_rows({name: [*texts_of_fields(lines, fields)]})
        self._file.summaries[name] = _summary_of(lines)

    def discard(self, names: Sequence[str], discarded: bool) -> None:
        gone = self._discarded
        if discarded:
            places = self._file.places
            taken = {name: [self._file.rows[at][1].decode() for at in places.get(name, ())] for name in names}
            write_discarded(self.root, gone | taken)
            self._write_rows(dict.fromkeys(names, ()))
        else:
            back = {name: [text.encode() for text in gone[name]] for name in names if name in gone}
            self._write_rows(back)
            write_discarded(self.root, {name: texts for name, texts in gone.items() if name not in back})
        self._drop("_discarded")
        for name in names:
            if discarded:
                self._file.summaries.pop(name, None)
            elif name in back:
                self._file.summaries[name] = _summary_of(self.lines(name))

    def reread(self) -> None:
        self._file = self._read()
        self._drop("_entries", "_discarded")

    def _write_rows(self, changed: Mapping[str, Sequence[bytes]]) -> None:
        """Write the file with other lines of some items; all lines are numbered as they follow one another."""
        rows: list[tuple[str, bytes]] = []
        left = dict(changed)
        for owner, data in self._file.rows:
            rows += [(owner, text) for text in left.pop(owner, ())] if owner in changed else [(owner, data)]
        rows += [(owner, text) for owner, texts in left.items() for text in texts]
        count = itertools.count()
        rows = [
            (owner, _NUMBER.sub(b'{"segment_id": %d' % next(count), data, count=1) if owner else data)
            for owner, data in rows
        ]
        self._write_file(self._path, b"".join(data for _, data in rows))
        self._file = _Transcript(rows, self._file.summaries)

    @cached_property
    def _file(self) -> "_Transcript":
        return self._read()

    def _read(self) -> "_Transcript":
        seen = signature_of(self._path)
        rows: list[tuple[str, bytes]] = []
        summaries: dict[str, dict[str, Any]] = {}
        again: set[str] = set()
        with self._path.open("rb") as file:
            read = ((*_item_of(data), data) for data in file)
            for owner, block in itertools.groupby(read, key=lambda line: line[0]):
                lines = [*block]
                rows += [(owner, data if data.endswith(b"\n") else data + b"\n") for *_, data in lines]
                again |= {owner} & summaries.keys()
                if owner:
                    summaries[owner] = summary_of(line for _, line, _ in lines)
        for name in again:
            summaries[name] = summary_of(parse_json(data, "", nan=True) for owner, data in rows if owner == name)
        self._seen[self._path] = seen
        return _Transcript(rows, summaries)

    @cached_property
    def _discarded(self) -> dict[str, list[str]]:
        """The lines of discarded conversations, as they were."""
        return read_discarded(self.root, [str])

    @cached_property
    def _entries(self) -> dict[str, tuple[Path, Entry]]:
        return entries_in(self.root / TAGGED)

    _latest: tuple[Path | None, dict[str, dict[str, Any]]] = (None, {})

    def _base(self, name: str) -> dict[str, Any]:
        path = self._entries[name][0]
        if self._latest[0] != path:
            self._latest = path, read_rows(path, BASE)
        return tagged_row(self._latest[1].get(name))


@dataclass
class _Transcript:
    """The lines of a file, each with the conversation that it is of ("": it is no line of a transcript).

    `summaries` are those of the conversations, in the order of the file.
    """

    rows: list[tuple[str, bytes]]
    summaries: dict[str, dict[str, Any]]

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """The numbers of the lines of each conversation."""
        places: dict[str, list[int]] = {}
        for place, (owner, _) in enumerate(self.rows):
            places.setdefault(owner, []).append(place)
        return places


def _summary_of(lines: Lines) -> dict[str, Any]:
    return summary_of(line for _, line in in_order(lines))


def texts_of_fields(lines: Lines, fields: Sequence[str]) -> Iterator[bytes]:
    """Lines as a transcript has them, its fields in their order."""
    for key, line in in_order(lines):
        ordered = {field: line.get(field) for field in fields if field in line or field in _OURS}
        yield json_text(ordered | line | {"utterance_id": key}).encode()


#: The beginning of a line of a transcript: its number among all of them.
_NUMBER = re.compile(rb'^\{"segment_id": (?:\d+|null)')

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
