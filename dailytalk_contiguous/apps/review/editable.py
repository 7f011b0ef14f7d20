"""Folders whose lines people correct: what each layout has of an item, and how edits get into its files.

Edits are saved in a journal (`store.edit_journal`). `review` and `reindex` write those that are not in the files
yet (`settle`). Whoever else reads such a folder writes nothing: `laid_over` gives what a file will hold, so that
no command sees less than the page showed.
"""

import itertools
import logging
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.apps.review.edits import Item, Laid, Lines, SpokenLine, in_order, lay_edits, shown_words
from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES, probe, to_uri
from dailytalk_contiguous.core.documents import (
    Edited,
    Readable,
    as_text,
    expect,
    fits,
    is_number,
    json_lines,
    numbered_lines,
    parse_json,
    quoted,
    read_json,
    with_null,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.moshi_words import said_words
from dailytalk_contiguous.core.schema import AUDIO_FOLDER, CHANNELS, MAIN, OTHER
from dailytalk_contiguous.core.separated_turns import is_doubtful
from dailytalk_contiguous.core.utterance import NOT_SILENT, why_silent
from dailytalk_contiguous.core.word_times import join_words, split_words
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.shards import Entry, ShardIndex, read_rows
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.sources.separated import moved_lines
from dailytalk_contiguous.sources.transcribed import BASE, at_hand, tagged_row
from dailytalk_contiguous.store.edit_journal import JOURNAL, EditJournal, Record, has_journal
from dailytalk_contiguous.store.files import (
    inside,
    is_inside,
    json_document,
    json_text,
    replacing,
    sha256_of,
    write_bytes,
    write_lines,
    write_text,
)
from dailytalk_contiguous.store.work_folder import CLIPS, DATASET, MEASURED, RUN, TAGGED, TRANSCRIPT

log = logging.getLogger("dailytalk_contiguous")

#: The folder of discarded audio, and the file in it with the entries that were about it.
DISCARDED, DISCARDED_ENTRIES = "Discarded Audios", "discarded_entries.json"

#: Characters of a text that a list shows.
SHOWN_TEXT = 200


class SoundStretch(NamedTuple):
    """The sound of an item: encoded audio as `core.audio` takes it, and the seconds of it that the item fills."""

    audio: dict[str, Any]
    start: float
    seconds: float


def whole_sound(path: Path) -> SoundStretch:
    """All of a file. Raises BadInput if it is none, or can't be read."""
    audio = {"bytes": None, "path": to_uri(path.absolute())}
    return SoundStretch(audio, 0.0, probe(audio).seconds)


class Editable(ABC):
    """A folder whose lines can be edited.

    Attributes:
        root: where its journal is.
        kind: `tagged`, `moshi`, `clips`, or `version` for what can only be listened to.
        why_not: why nothing can be changed, if that is so.
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
        """The file that has the lines of an item, by its path under the root."""
        raise NotImplementedError

    def write(self, file: str, changed: Mapping[str, Lines]) -> None:
        """Write a file whole, with other lines of some of its items. Raises OSError and BadInput."""
        raise NotImplementedError

    def content(self, file: str, changed: Mapping[str, Lines], states: Mapping[str, bool]) -> Iterable[bytes]:
        """The lines of a file with other lines of some of its items, and without what is discarded.

        What `write` and `put_aside` make of it; `states` are those of `put_aside`. Raises BadInput.
        """
        raise NotImplementedError

    def refuse_discarding(self, name: str) -> None:  # noqa: B027 (most have nothing in the way)
        """Raise BadInput if an item can't be put aside."""

    def put_aside(self, states: Mapping[str, bool]) -> None:  # noqa: B027 (where nothing is moved)
        """Have files and entries of items where they belong: among the discarded (True), or in their place.

        It ends alike however often it was begun: a program that is stopped in it does the rest the next time.
        Raises OSError and BadInput.
        """

    def listing(self) -> Sequence[str]:
        """The files that name the items, and change when one is discarded."""
        return []

    def moves(self, states: Mapping[str, bool]) -> Iterator[tuple[Path, Path]]:
        """The files that `put_aside` moves, each with the place where it belongs then."""
        return iter(())

    @abstractmethod
    def reread(self) -> None:
        """Forget what was read of the files."""

    def _drop(self, *names: str) -> None:
        for name in names:
            self.__dict__.pop(name, None)

    @abstractmethod
    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Every item with what `summary_of` says of its lines in the file, in order; None: they are to be read."""

    def offset(self, name: str) -> float:
        """Seconds of the file at which an item begins: its lines have times of the file."""
        return 0.0

    def moved(self, name: str, lines: Lines) -> set[str]:
        """The ids of lines that are on another side than their sound, since a person moved them."""
        return set()

    def channels(self, name: str) -> Sequence[str]:
        """The channels that its lines may be on."""
        return CHANNELS


def summary_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a list shows of an item's lines, which are in order; null is unknown.

    `whole` is all that is said, `text` the beginning of it; `confidence` is that of the least certain line, `rate`
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
    """What a line says may be wrong with it: `kind` (side, empty, fast, slow) and `why`, a doubtful side first."""
    sides = []
    if is_doubtful(line):
        why = f"the other speaker may say it: its side is {line['side_confidence']:.0%} sure"
        sides = [{"kind": "side", "why": why}]
    text = (line.get("text") or "").strip()
    start, end = line.get("start"), line.get("end")
    seconds = end - start if is_number(start) and is_number(end) else 0.0
    n_words = len(text.split())
    if not text:
        return [*sides, {"kind": "empty", "why": why_silent(line) or "it has no text"}]
    if seconds > 0 and n_words >= FEWEST_WORDS and n_words / seconds > FAST:
        why = f"{n_words / seconds:.1f} words a second: is all of it said here?"
        return [*sides, {"kind": "fast", "why": why}]
    if seconds > SHORTEST_SLOW and n_words / seconds < SLOW:
        why = f"only {counted(n_words, 'word')} in {seconds:.1f} s: listen for words that are missing"
        return [*sides, {"kind": "slow", "why": why}]
    return sides


class TaggedLines(Editable):
    """A work folder, tagged or spoken: the lines are those of `transcript.jsonl`.

    Discarding takes lines out as any edit does; the recording belongs to somebody else, and stays where it is.
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

    def moved(self, name: str, lines: Lines) -> set[str]:
        return moved_lines(self._base(name), lines) if name in self._entries else set()

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

        `after` gets where the lines of each item begin then.
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
                    yield from lines(name, _texts(changed[name], fields, count), _summary_of(changed[name]))
        for name in changed.keys() - names.values():  # what was discarded, and is restored
            yield from lines(name, _texts(changed[name], fields, count), _summary_of(changed[name]))

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
        return ShardIndex(self.root / TAGGED).entries

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


def _texts(lines: Lines, fields: Sequence[str], count: int) -> Iterator[bytes]:
    """Lines as a transcript has them, its fields in their order; `count` lines are before them."""
    for number, (key, line) in enumerate(in_order(lines), count):
        ordered = {field: line.get(field) for field in fields if field in line or field in _OURS}
        record = ordered | line | {"utterance_id": key}
        yield json_text({**record, "segment_id": number} if "segment_id" in ordered else record).encode()


class _Scanned(NamedTuple):
    """Where the lines of an item begin in its file, in bytes, and what a list shows of them."""

    offsets: list[int]
    summary: dict[str, Any]


#: How a line of a transcript begins: with the number that it has among all of them.
_NUMBER = re.compile(rb'^\{"segment_id": \d+')

#: Fields that all lines of a transcript have.
_OURS = frozenset({"segment_id", "duration", "text_raw", "rule", "kind", *NOT_SILENT})


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


# Clips with a whisper.json, and training folders for Moshi.


class ClipsLines(Editable):
    """A folder of clips and the JSON with their texts; lines are its segments. What we don't know stays."""

    kind = "clips"

    def __init__(self, path: Path) -> None:
        folder = whisper_json.clips_folder(path)
        super().__init__(path if path.is_dir() else path.parent)
        self._audio = folder.audio
        self._path = folder.json or self.root / whisper_json.WHISPER_JSON
        self._folder, self._signature = signature_of(self._audio), signature_of(self._path)

    def names(self) -> Sequence[str]:
        return self._listed.here

    def lines(self, name: str) -> Lines:
        entry = self._entry(name)
        if entry is None:
            return {}
        entry = with_null(entry)
        problem = whisper_json.entry_problem(self._path.name, name, entry)
        if problem:
            raise problem
        segments = entry.get("segments")
        if segments is None:
            text = whisper_json.text_of(entry)
            return {"0": _clip_line({"start": 0.0, "end": self._length(name), "text": text})} if text else {}
        lines: Lines = {}
        for index, segment in enumerate(segments):
            number = segment.get("id")
            key = str(number) if isinstance(number, int) and str(number) not in lines else str(index)
            while key in lines:
                key = str(int(key) + len(segments))
            lines[key] = _clip_line(segment)
        return lines

    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        for name in self.names():
            entry = self._entry(name)
            if isinstance(entry, dict) and isinstance(entry.get("segments"), list):
                segments = [part for part in entry["segments"] if isinstance(part, dict)]
                summary = summary_of(
                    {"text": "", **part} for part in segments if isinstance(part.get("text"), str)
                )
            else:
                text = entry.get("text") if isinstance(entry, dict) else None
                summary = summary_of([{"text": text}] if isinstance(text, str) else [])
            language = entry.get("language") if isinstance(entry, dict) else None
            yield name, summary | {"language": language if isinstance(language, str) else None}

    def stretch(self, name: str) -> SoundStretch:
        if name not in self._listed.both:
            raise BadInput(f"{as_text(self._audio)!r} has no clip {name[:200]!r}", "reload the page")
        path = inside(self._audio, name)
        path = path if path.exists() else inside(self.aside, name)
        return whole_sound(path)

    def seconds(self, name: str) -> float | None:
        return None

    def channels(self, name: str) -> Sequence[str]:
        return CHANNELS[:1]

    def file_of(self, name: str) -> str:
        return self._path.name

    def write(self, file: str, changed: Mapping[str, Lines]) -> None:
        texts, aside = self._changed(changed)
        if aside != self._discarded:
            whisper_json.write_whisper_json(self._aside_path, aside)
            self._drop("_discarded", "_keys_aside")
        if texts != self._texts:
            self._write_texts(texts)

    def content(self, file: str, changed: Mapping[str, Lines], states: Mapping[str, bool]) -> Iterable[bytes]:
        texts = self._put_aside(states, *self._changed(changed))[0]
        return whisper_json.whisper_json_text(texts).encode("utf-8", "surrogatepass").splitlines(keepends=True)

    def listing(self) -> Sequence[str]:
        return [self._path.name]

    def _changed(self, changed: Mapping[str, Lines]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The entries of the file, and of what is discarded, with other lines of some of them."""
        texts, aside = dict(self._texts), dict(self._discarded)
        for name, lines in changed.items():
            is_aside = name in self._keys_aside and name not in self._keys
            entries, key = (aside, self._keys_aside[name]) if is_aside else (texts, self._keys.get(name, name))
            entries[key] = _clip_entry(entries.get(key), lines)
        return texts, aside

    def _put_aside(
        self, states: Mapping[str, bool], texts: dict[str, Any], aside: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The entries after items were discarded, or restored; those of restored ones are in both."""
        for name, discarded in states.items():
            if discarded and name in self._keys:
                aside[self._keys[name]] = texts.pop(self._keys[name])
            elif not discarded and name in self._keys_aside:
                texts.setdefault(self._keys_aside[name], aside[self._keys_aside[name]])
        return texts, aside

    def _write_texts(self, texts: dict[str, Any]) -> None:
        """Write the entries. The text of those that did not change is copied: to encode all takes far longer."""
        changed = {name for name, entry in texts.items() if self._texts.get(name) is not entry}
        pieces = whisper_json.entry_texts(self._path, texts.keys() - changed) if self._path.exists() else None
        if pieces is None:
            whisper_json.write_whisper_json(self._path, texts)
            self._drop("_texts", "_keys")
            return
        pieces |= {name: whisper_json.encoded_entry(name, texts[name]) for name in changed}
        data = "{\n" + ",\n".join(pieces[name] for name in sorted(texts)) + "\n}\n" if texts else "{}\n"
        write_bytes(self._path, data.encode("utf-8", "surrogatepass"))
        self._drop("_keys")
        self._texts, self._signature = texts, signature_of(self._path)

    def reread(self) -> None:
        if self._folder != (now := signature_of(self._audio)):
            self._folder = now
            self._drop("_listed", "_discarded", "_keys", "_keys_aside")
        if self._signature != (now := signature_of(self._path)):
            self._signature = now
            self._drop("_texts", "_keys")

    @property
    def aside(self) -> Path:
        return self._audio / DISCARDED

    def refuse_discarding(self, name: str) -> None:
        if os.path.lexists(self.aside / name) and os.path.lexists(self._audio / name):
            raise BadInput(f"{DISCARDED} has another {name!r} already", "move that one elsewhere")

    def put_aside(self, states: Mapping[str, bool]) -> None:
        texts, aside = self._put_aside(states, dict(self._texts), dict(self._discarded))
        # Who stops here leaves an entry in both files, never in none.
        if aside != self._discarded:
            self.aside.mkdir(exist_ok=True)
            whisper_json.write_whisper_json(self._aside_path, aside)
        if texts != self._texts:
            keep_backup(self._path)
            self._write_texts(texts)
        for source, target in self.moves(states):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        back = {self._keys_aside[name] for name, gone in states.items() if not gone and name in self._keys_aside}
        if back:
            whisper_json.write_whisper_json(
                self._aside_path, {key: entry for key, entry in aside.items() if key not in back}
            )
        self._drop("_listed", "_discarded", "_keys", "_keys_aside")

    def moves(self, states: Mapping[str, bool]) -> Iterator[tuple[Path, Path]]:
        for name, discarded in states.items():
            pair = (self._audio / name, self.aside / name)
            yield from may_move(*(pair if discarded else pair[::-1]), self._audio)

    @property
    def _aside_path(self) -> Path:
        return inside(self._audio, Path(DISCARDED) / DISCARDED_ENTRIES)

    def _length(self, name: str) -> float:
        try:
            return round(max(self.stretch(name).seconds, 0.01), 3)
        except (BadInput, OSError):
            return 1.0

    def _entry(self, name: str) -> Any:
        if name not in self._listed.both:
            raise BadInput(f"{as_text(self._audio)!r} has no clip {name[:200]!r}", "reload the page")
        if name in self._keys:
            return self._texts[self._keys[name]]
        return self._discarded.get(self._keys_aside.get(name, ""))

    @cached_property
    def _listed(self) -> "_Listed":
        here = _audio_below(self._audio, skip=DISCARDED)
        aside = _audio_below(self.aside) if is_inside(self.aside, self._audio) else []
        return _Listed(here, {*here, *aside})

    @cached_property
    def _texts(self) -> dict[str, Any]:
        """The entries of the file. Each is checked when it is looked at: to check all takes long."""
        if not self._path.exists():
            return {}
        return whisper_json.quick_entries(inside(self.root, self._path.name))

    @cached_property
    def _discarded(self) -> dict[str, Any]:
        return whisper_json.read_whisper_json(self._aside_path).entries if self._aside_path.exists() else {}

    @cached_property
    def _keys(self) -> dict[str, str]:
        return _matched(self._texts, self._listed.both)

    @cached_property
    def _keys_aside(self) -> dict[str, str]:
        return _matched(self._discarded, self._listed.both)


def _matched(keys: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """The key of the entry about each audio file; most are called alike."""
    if keys.keys() == {*names}:
        return {name: name for name in names}
    return whisper_json.match_names(keys, names).keys


class _Listed(NamedTuple):
    """The clips of a folder by their paths under it: those in their place in order, and also the discarded."""

    here: list[str]
    both: set[str]


def _audio_below(folder: Path, skip: str = "") -> list[str]:
    """Audio files below a folder, in the order that people count in; no links, and nothing hidden."""
    names: list[str] = []
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = [*os.scandir(folder / below)]
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if os.path.splitext(entry.name)[1].lower() in AUDIO_SUFFIXES and entry.is_file():
                names.append(as_text(below + entry.name))
            elif entry.name != skip and entry.is_dir():
                waiting.append(f"{below}{entry.name}/")
    return sorted(names, key=counted_order)


def counted_order(name: str) -> list[tuple[bool, int, str]]:
    """A key by which `clip2` comes before `clip10`."""
    parts = re.split(r"(\d{1,18})", name.casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _clip_line(segment: Mapping[str, Any]) -> SpokenLine:
    """A segment as a line: its other fields stay in it."""
    words = segment.get("words")
    line = {"channel": CHANNELS[0], **segment, "text": str(segment["text"]).strip()}
    line.pop("id", None)  # its key says it
    line["end"] = max(line["end"], line["start"] + 0.001)
    if isinstance(words, list):
        timed = all(is_number(word.get("start")) and is_number(word.get("end")) for word in words)
        line["words"] = [{**word, "word": word["word"].strip()} for word in words] if timed else []
    return line


def _clip_entry(entry: Mapping[str, Any] | None, lines: Lines) -> dict[str, Any]:
    """An entry with lines as its segments, and their text as its own."""
    old: dict[str, Mapping[str, Any]] = {}
    for index, segment in enumerate((entry or {}).get("segments") or []):
        number = segment.get("id")
        old[str(number) if isinstance(number, int) and str(number) not in old else str(index)] = segment
    is_led = not old or any(segment["text"].startswith(" ") for segment in old.values())
    segments = []
    for key, line in in_order(lines):
        before = old.get(key, {})
        segment = dict.fromkeys(_WHISPER_FIELDS) | {"seek": 0, "temperature": 0.0, "tokens": []}
        segment = {**(segment if not before else {}), **line, "id": int(key) if key.isdecimal() else key}
        for name in _CLIP_OURS - before.keys():
            segment.pop(name, None)
        if before.get("text", "").strip() == line["text"]:
            segment["text"] = before["text"]
        else:
            segment["text"] = f" {line['text']}" if is_led else line["text"]
        if "words" in segment and any(word["word"].startswith(" ") for word in before.get("words") or []):
            segment["words"] = [{**word, "word": f" {word['word']}"} for word in segment["words"]]
        segments.append(segment)
    text = join_words(filter(None, (line["text"].strip() for _, line in in_order(lines))))
    return {"language": None, **(entry or {}), "text": text, "segments": segments}


#: Fields of a segment that Whisper writes, and fields of a line that none has.
_WHISPER_FIELDS = ("avg_logprob", "compression_ratio", "no_speech_prob")
_CLIP_OURS = frozenset({"channel", "duration", "tagged_text", "kind"})


class MoshiLines(Editable):
    """A training folder for Moshi: the words of each WAV are in the JSON beside it.

    It has no lines until somebody edits them: words of one speaker without a longer pause are one. Edited lines
    are kept in the same JSON as `lines`, which the trainer does not read, beside the `alignments` that it does.
    """

    kind = "moshi"

    def names(self) -> Sequence[str]:
        return [*self._named]

    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        return ((name, None) for name in self.names())

    def lines(self, name: str) -> Lines:
        document = self._document(name)
        words = []
        for word in said_words(document["alignments"], name, "make that folder again"):
            timed = {"word": word.text, "start": word.start, "end": word.end, "probability": None}
            words.append((CHANNELS[word.channel], timed))
        lines = _kept_lines(document.get("lines"), words)
        return lines if lines is not None else _turns(words)

    def stretch(self, name: str) -> SoundStretch:
        return whole_sound(self._beside(name, ""))

    def seconds(self, name: str) -> float | None:
        return self._named.get(name)

    def file_of(self, name: str) -> str:
        return as_text(Path(name).with_suffix(".json"))

    def write(self, file: str, changed: Mapping[str, Lines]) -> None:
        *_, name = changed
        write_bytes(self._beside(name, ".json"), b"".join(self.content(file, changed, {})))

    def content(self, file: str, changed: Mapping[str, Lines], states: Mapping[str, bool]) -> Iterable[bytes]:
        if file in _MANIFESTS:
            return [line.encode() for _, line in self._put_aside(states)[1].get(file, [])]
        *_, (name, lines) = changed.items()  # of two sounds with one JSON the last
        words = [(word, line["channel"]) for _, line in in_order(lines) for word in shown_words(line)]
        words.sort(key=lambda pair: (pair[0]["start"], pair[0]["end"]))
        document = self._document(name) | {
            "alignments": [
                [word["word"], [word["start"], word["end"]], MAIN if channel == CHANNELS[0] else OTHER]
                for word, channel in words
            ],
            "lines": [
                {"id": key, **{field: value for field, value in line.items() if field != "words"}}
                | {"n_words": len(shown_words(line))}
                for key, line in in_order(lines)
            ],
        }
        return [json_text(document).encode()]

    def listing(self) -> Sequence[str]:
        return _MANIFESTS

    def reread(self) -> None:
        self._drop("_named")

    @property
    def aside(self) -> Path:
        return self.root / AUDIO_FOLDER / DISCARDED

    def refuse_discarding(self, name: str) -> None:
        for suffix in (Path(name).suffix, ".json"):
            path = self._moved(name).with_suffix(suffix)
            if os.path.lexists(path) and os.path.lexists((self.root / name).with_suffix(suffix)):
                raise BadInput(f"{DISCARDED} has another {path.name!r} already", "move that one elsewhere")

    def put_aside(self, states: Mapping[str, bool]) -> None:
        path, (kept, after) = self._aside_path, self._put_aside(states)
        # Who stops here leaves an entry in both files, never in none.
        if kept != self._kept_lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json_document(kept))
        for side, lines in after.items():
            if lines != self._manifest(side):
                keep_backup(inside(self.root, side))
                write_lines(inside(self.root, side), (line for _, line in lines))
        for source, target in self.moves(states):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        if back := {name for name, discarded in states.items() if not discarded and name in kept}:
            write_text(path, json_document({name: entry for name, entry in kept.items() if name not in back}))
        self.reread()

    def moves(self, states: Mapping[str, bool]) -> Iterator[tuple[Path, Path]]:
        for name, discarded in states.items():
            for suffix in (Path(name).suffix, ".json"):
                pair = (self.root / Path(name).with_suffix(suffix), self._moved(name).with_suffix(suffix))
                yield from may_move(*(pair if discarded else pair[::-1]), self.root)

    @property
    def _aside_path(self) -> Path:
        return inside(self.root, Path(AUDIO_FOLDER) / DISCARDED / DISCARDED_ENTRIES)

    @property
    def _kept_lines(self) -> dict[str, dict[str, list[str]]]:
        """The lines of discarded items, by item and manifest. Raises BadInput for a manifest that is none."""
        path = self._aside_path
        if not path.exists():
            return {}
        shape = {str: {f"{name}?": [str] for name in _MANIFESTS}}
        kept: dict[str, dict[str, list[str]]] = expect(read_json(path), shape, as_text(path))
        if strange := next((side for sides in kept.values() for side in sides if side not in _MANIFESTS), None):
            raise BadInput(f"{as_text(path)}: {quoted(strange)} is no manifest of the folder", "delete that entry")
        return kept

    def _put_aside(
        self, states: Mapping[str, bool]
    ) -> tuple[dict[str, dict[str, list[str]]], dict[str, list[tuple[str, str]]]]:
        """The lines of discarded items, and those of each manifest, after items were discarded, or restored."""
        kept = self._kept_lines
        after = {name: self._manifest(name) for name in _MANIFESTS if (self.root / name).is_file()}
        for name, discarded in states.items():
            if discarded:
                named = {side: [line for item, line in lines if item == name] for side, lines in after.items()}
                if any(named.values()):
                    kept[name] = named
                after = {side: [pair for pair in lines if pair[0] != name] for side, lines in after.items()}
            elif name in kept:
                for side, lines in kept[name].items():
                    if not any(item == name for item, _ in after.setdefault(side, [])):
                        after[side] += [(name, line) for line in lines]
        return kept, after

    def _moved(self, name: str) -> Path:
        parts = Path(name).parts
        return self.aside.joinpath(*(parts[1:] if parts[0] == AUDIO_FOLDER else parts))

    def _manifest(self, name: str) -> list[tuple[str, str]]:
        """The lines of a manifest with their breaks, each after the path that it names; none of a missing one."""
        lines: list[tuple[str, str]] = []
        if not (self.root / name).is_file():
            return lines
        for _, data in numbered_lines(inside(self.root, name)):
            try:
                line = parse_json(data, "")
            except BadInput:
                line = None
            path = line.get("path") if isinstance(line, dict) else None
            lines.append((path if isinstance(path, str) else "", data.decode("utf-8", "replace")))
        return lines

    @cached_property
    def _named(self) -> dict[str, float | None]:
        """The WAVs that the manifests name or, without any, that there are, with their seconds."""
        named: dict[str, float | None] = {}
        for manifest in _MANIFESTS:
            if (self.root / manifest).is_file():
                for _, line in json_lines(inside(self.root, manifest)):
                    if isinstance(line, dict) and isinstance(line.get("path"), str):
                        seconds = line.get("duration")
                        named[line["path"]] = float(seconds) if is_number(seconds, 0) else None
        if not named:
            below = _audio_below(self.root / AUDIO_FOLDER, skip=DISCARDED)
            named = dict.fromkeys((f"{AUDIO_FOLDER}/{name}" for name in below), None)
        return named

    def _beside(self, name: str, suffix: str) -> Path:
        """The WAV of an item, or the JSON beside it."""
        path = Path(name).with_suffix(suffix or Path(name).suffix)
        present = inside(self.root, path)
        if not present.exists():
            moved = self._moved(name).with_suffix(path.suffix)
            if name not in self._named and not moved.exists():
                raise BadInput(f"{as_text(self.root)!r} has no item {name[:200]!r}", "reload the page")
            present = inside(self.root, moved.relative_to(self.root)) if moved.exists() else present
        return present

    def _document(self, name: str) -> dict[str, Any]:
        path = self._beside(name, ".json")
        document: dict[str, Any] = expect(read_json(path), {"alignments": list}, as_text(path))
        return document


#: Manifests of a training folder; seconds of a pause that ends a line of one.
_MANIFESTS, _TURN_SECONDS = ("train.jsonl", "eval.jsonl"), 0.8


def _kept_lines(kept: Any, words: Sequence[tuple[str, dict[str, Any]]]) -> Lines | None:
    """The lines that an edit left, with their words; None if the words are not theirs any more."""
    if not fits(kept, [{"id": str, "channel": str, "start": float, "end": float, "text": str, "n_words": int}]):
        return None
    left = {channel: [word for side, word in words if side == channel] for channel in CHANNELS}
    lines: Lines = {}
    for line in kept:
        if line["channel"] not in left or len(left[line["channel"]]) < line["n_words"] or line["n_words"] < 0:
            return None
        line_words = left[line["channel"]][: line["n_words"]]
        if line["text"] and split_words(line["text"]) != [word["word"] for word in line_words]:
            return None
        del left[line["channel"]][: line["n_words"]]
        lines[line["id"]] = {name: value for name, value in line.items() if name not in ("id", "n_words")}
        lines[line["id"]]["words"] = line_words
    return None if any(left.values()) or len(lines) != len(kept) else lines


def _turns(words: Sequence[tuple[str, dict[str, Any]]]) -> Lines:
    """Lines of words that no longer pause parts; a line ends when the other speaker has begun one, too."""
    lines: Lines = {}
    for channel in CHANNELS:
        channel_words = sorted(
            (word for side, word in words if side == channel), key=lambda word: (word["start"], word["end"])
        )
        groups: list[list[dict[str, Any]]] = []
        for word in channel_words:
            if groups and word["start"] - max(other["end"] for other in groups[-1]) < _TURN_SECONDS:
                groups[-1].append(word)
            else:
                groups.append([word])
        for number, group in enumerate(groups):
            start, end = group[0]["start"], max(word["end"] for word in group)
            lines[f"{channel}/{number:04d}"] = {
                "channel": channel,
                "start": start,
                "end": max(end, start + 0.001),
                "text": join_words(word["word"].strip() for word in group),
                "words": [{**word, "word": word["word"].strip()} for word in group],
            }
    return lines


def may_move(source: Path, target: Path, root: Path) -> Iterator[tuple[Path, Path]]:
    """The two paths, if the first is a file that belongs at the second: nothing is overwritten, or leads out."""
    if is_inside(source, root) and is_inside(target, root) and source.is_file() and not os.path.lexists(target):
        yield source, target


# Opening a folder, and getting its edits into its files.


def open_editable(folder: Path) -> Editable | None:
    """The editable lines of a folder, or of a whisper.json; None for a place of another kind.

    Raises BadInput for a folder whose links lead out of it, or a JSON whose folder has another one.
    """
    if folder.is_file() and folder.suffix.lower() == ".json":
        meant = whisper_json.clips_folder(folder.parent).json
        if meant is not None and meant != folder:
            raise BadInput(
                f"the texts of {as_text(folder.parent)!r} are those of {meant.name!r}",
                f"move {meant.name!r} elsewhere to edit {folder.name!r}",
            )
        return ClipsLines(folder)
    if not folder.is_dir():
        return None
    if (folder / TRANSCRIPT).is_file():
        return TaggedLines(folder)
    if (folder / "mix.json").is_file():
        return None
    if (folder / _MANIFESTS[0]).is_file() or (folder / AUDIO_FOLDER).is_dir():
        return MoshiLines(folder)
    if any((folder / name).exists() for name in (TAGGED, DATASET, CLIPS, MEASURED, RUN)):
        return None
    clips = whisper_json.clips_folder(folder)
    if clips.json is not None or _audio_below(clips.audio, skip=DISCARDED):
        return ClipsLines(folder)
    return None


def edited_root(path: Path) -> Path:
    """The folder whose journal has the edits of a path: that of a whisper.json, or of the audio beside it."""
    beside = path.is_file() or (path.name in whisper_json.AUDIO_FOLDERS and has_journal(path.parent))
    return path.parent if beside else path


def settle(folder: Path) -> None:
    """Write the edits of a folder that are not in its files yet. Nothing is opened in a folder without any.

    The caller holds the folder. Raises DailytalkError if the disk refuses, or the journal is damaged.
    """
    root = edited_root(folder)
    editable = open_editable(root) if has_journal(root) else None
    if editable is None:
        return
    journal = EditJournal(root)
    if not unsettled(editable, journal):
        return
    try:
        settle_edits(editable, journal)
    except OSError as error:
        raise DailytalkError(
            f"edits of {as_text(root)!r} can't be written into its files ({error.strerror})",
            "make room and make it writable, then run the same command again: no edit is lost",
        ) from error


def edits_by_file(editable: Editable, records: Iterable[Record]) -> dict[str, dict[str, list[Record]]]:
    """The records that change lines, by file and item; those of files that lead out of the folder are left out."""
    files: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        if record["before"].get("lines"):
            by_item = files.setdefault(editable.file_of(record["item"]), {})
            by_item.setdefault(record["item"], []).append(record)
    for file in list(files):
        try:
            inside(editable.root, file)
        except BadInput:
            del files[file]
    return files


def unsettled(editable: Editable, journal: EditJournal) -> list[str]:
    """The files that lack edits, or that another program has written since."""
    files = edits_by_file(editable, journal.records.values())
    left = [name for name, items in files.items() if not _stands(editable.root / name, journal, items)]
    return left + ([DISCARDED] if _moves(journal) else [])


def _stands(path: Path, journal: EditJournal, items: Mapping[str, Sequence[Record]]) -> bool:
    record = journal.settled.get(as_text(path.relative_to(journal.folder)))
    last = max(records[-1]["number"] for records in items.values())
    if record is None or record["settled"] < last:
        return False
    return path.is_file() and sha256_of(path) == record["sha256"]


def _moves(journal: EditJournal) -> list[Record]:
    """The records that discard or restore, if any of them is not settled."""
    moves = [record for record in journal.records.values() if "discarded" in record["after"]]
    settled = journal.settled.get(DISCARDED, {"settled": 0})["settled"]
    return moves if moves and moves[-1]["number"] > settled else []


def settle_edits(editable: Editable, journal: EditJournal) -> None:
    """`settle` for a folder that is open. Raises OSError and BadInput."""
    editable.reread()
    for file, items in edits_by_file(editable, journal.records.values()).items():
        path = inside(editable.root, file)
        if _stands(path, journal, items):
            continue
        if changed := _changed(editable, items):
            keep_backup(path)
            editable.write(file, changed)
            editable.reread()
        if path.is_file():
            journal.settle(file, sha256_of(path))
    if moves := _moves(journal):
        editable.put_aside(_states(moves))
        editable.reread()
        for file in edits_by_file(editable, journal.records.values()):
            if (path := inside(editable.root, file)).is_file():
                journal.settle(file, sha256_of(path))
        journal.settle(DISCARDED, "")


def _changed(editable: Editable, items: Mapping[str, Sequence[Record]]) -> dict[str, Lines]:
    """The lines that items of a file get by their edits, where the file has others."""
    changed: dict[str, Lines] = {}
    for name, records in items.items():
        with suppress(BadInput):  # its file has lost it: its edits are open
            laid = laid_edits(editable, name, records)
            if laid.lines != in_file(editable, name):
                changed[name] = laid.lines
    return changed


def _states(moves: Iterable[Record]) -> dict[str, bool]:
    """By item whether it is discarded at last."""
    return {record["item"]: bool(record["after"]["discarded"]) for record in moves}


# Reading a folder with its edits, whether its files have them or not. Nothing is written.


@dataclass(frozen=True)
class _Laid:
    """A folder, the lines by item that its files lack, by file, and the items that are to be moved."""

    editable: Editable
    changed: dict[str, dict[str, Lines]]
    states: dict[str, bool]


def laid_file(path: Path, folder: Path) -> Readable | None:
    """`store.edit_journal.laid_over` for a file of a folder with a journal; None where its files lack nothing."""
    laid = _laid(folder)
    if laid is None:
        return None
    file = as_text(path.absolute().relative_to(folder))
    if file in laid.changed or (laid.states and file in laid.editable.listing()):
        changed = laid.changed.get(file, {})
        return Edited(path, partial(laid.editable.content, file, changed, laid.states))
    return next((source for source, target in laid.editable.moves(laid.states) if target == folder / file), path)


def journal_moves(path: Path) -> dict[Path, Path]:
    """Where files of a folder of clips are that its journal discards or puts back, with the places for them.

    They are where they were until `review` or `reindex` moves them. Raises BadInput for a damaged journal.
    """
    root = edited_root(path).absolute()
    laid = _laid(root) if has_journal(root) else None
    return dict(laid.editable.moves(laid.states)) if laid else {}


def _laid(root: Path) -> _Laid | None:
    """What the files of a folder lack; None if they have all edits."""
    with _LAYING:
        # Files are replaced, never written in place: then the folder changes, too.
        return _laid_now(root, signature_of(root / JOURNAL), signature_of(root))


#: Recordings are read side by side, and what is laid over is said once.
_LAYING = threading.Lock()


@lru_cache(maxsize=8)
def _laid_now(root: Path, *_: tuple[int, int, int] | None) -> _Laid | None:
    editable = open_editable(root)
    if editable is None:
        return None
    journal = EditJournal(root)
    try:
        files = edits_by_file(editable, journal.records.values())
        lacking = {file: items for file, items in files.items() if not _stands(inside(root, file), journal, items)}
        changed = {file: lines for file, items in lacking.items() if (lines := _changed(editable, items))}
        states = _states(moves := _moves(journal))
    except OSError as error:
        raise BadInput(f"{as_text(root)!r} can't be read ({error.strerror})", "check its files") from None
    if not changed and not moves:
        return None
    count = sum(len(lacking[file][name]) for file, lines in changed.items() for name in lines) + len(moves)
    log.warning(
        "%r is read with %s laid over its files; dailytalk review writes such edits into them",
        as_text(root),
        counted(count, "edit"),
    )
    return _Laid(editable, changed, states)


def in_file(editable: Editable, name: str) -> Lines:
    """The lines of an item as its file has them; none of one that is not there."""
    try:
        return editable.lines(name)
    except BadInput:
        return {}


def laid_edits(editable: Editable, name: str, records: Sequence[Record]) -> Laid:
    """The lines of an item with its edits, whether its file has them or not. Raises BadInput without the item."""
    try:
        lines = editable.lines(name)
    except BadInput:
        if not any("discarded" in record["after"] for record in records):
            raise
        lines = {}  # discarding took them out of their file
    return lay_edits(lines, [record for record in records if record["before"].get("lines")])


def bounds(editable: Editable, name: str, lines: Lines, records: Iterable[Record], tags: Collection[str]) -> Item:
    """What an edit of an item must keep to; `lines` and `records` are those that it has now."""
    offset = editable.offset(name)
    try:
        seconds = editable.stretch(name).seconds
    except (BadInput, OSError):
        seconds = editable.seconds(name) or max((line["end"] - offset for line in lines.values()), default=0.0)
    used = {key for record in records for key in record["before"].get("lines", {})}
    end = max([offset + seconds, *(line["end"] for line in lines.values())])
    return Item(offset, end, editable.channels(name), tags, used)


def keep_backup(path: Path) -> None:
    """Copy a file as it was before the first edit: once, and never again."""
    backup = path.with_name(f"{path.stem}_backup{path.suffix}")
    if path.is_file() and not os.path.lexists(backup):
        write_bytes(backup, path.read_bytes())
