"""Folders whose lines people correct, one class a layout: tagged work folders, and clips.

`review` owns the file with the lines while it is open: it holds what it has read, and writes the file whole at
every edit. If another program has written it meanwhile, `ChangedElsewhere` is raised before anything is written,
and `decide` keeps one of the two states beside the other.

Undoing an edit gives the bytes of before. An edit is known by the `EntryText` of its item before and after it,
which has all that the lines don't show: fields, order, spacing. The file around the entry is normalised by the
first edit; once all edits are undone, it is again the file that was read, or that is kept in the backup.
"""

import hashlib
import itertools
import json
import os
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar, cast

from dailytalk_contiguous.apps.review.edits import (
    EditChange,
    EntryState,
    Lines,
    SpokenLine,
    in_order,
    is_state,
)
from dailytalk_contiguous.apps.review.sound import SoundStretch, whole_sound
from dailytalk_contiguous.core.documents import Number, as_text, fits, is_number, parse_json, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.fields import finite
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.lines import to_shifted_line
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER, CHANNELS, Row
from dailytalk_contiguous.core.words.word_times import join_words
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES, read_header
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.publish.items import SMALL, Items
from dailytalk_contiguous.publish.tagged_items import recordings_of
from dailytalk_contiguous.shards import CurrentRows, StoredEntry, read_rows, shard_files
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.sources.transcribed import BASE, tagged_row, with_recording
from dailytalk_contiguous.store.addresses import copied_from
from dailytalk_contiguous.store.files import inside, is_inside, json_text, write_bytes, write_text
from dailytalk_contiguous.store.work_folder import (
    CLIPS,
    DATASET,
    MEASURED,
    RUN,
    TAGGED,
    TRANSCRIPT,
    refuse_links_out,
)

#: An object of JSON of others: an entry or a segment of a whisper.json.
Json = dict[str, Any]

#: What the file of a layout has of an item.
EntryT = TypeVar("EntryT")

#: A folder of any layout.
AnyEditable: TypeAlias = "Editable[Any]"

#: The folder of discarded audio.
DISCARDED = "Discarded Audios"

#: The file in the folder of discarded audio with its entries.
DISCARDED_ENTRIES = "discarded_entries.json"


class ChangedElsewhere(BadInput):
    """Another program has written the file since it was read; `file` is its name."""

    def __init__(self, path: Path) -> None:
        self.file = as_text(path.name)
        super().__init__(
            f"another program has changed {self.file!r} meanwhile", "take its state over, or keep yours"
        )


class EntryText(NamedTuple):
    """The entry of an item, to the letter, as JSON.

    Attributes:
        head: what it has beside its parts; None if the item has no entry.
        parts: its lines or segments, in the order of the file.
    """

    head: str | None
    parts: list[str]


def entry_states(before: EntryText, after: EntryText) -> tuple[EntryState, EntryState]:
    """The states of an entry before and after a change, without the parts that are equal at both ends.

    Each state has the `head`, the `count` of all parts, and the `parts` from the one at index `at` on.
    """
    n_first = _n_equal(before.parts, after.parts)
    n_last = _n_equal(before.parts[n_first:][::-1], after.parts[n_first:][::-1])

    def state(entry: EntryText) -> EntryState:
        count = len(entry.parts)
        parts = entry.parts[n_first : count - n_last]
        return {"head": entry.head, "count": count, "at": n_first, "parts": parts}

    return state(before), state(after)


def _n_equal(old_parts: Sequence[str], new_parts: Sequence[str]) -> int:
    """Count the equal parts with which both begin."""
    count = 0
    for old, new in zip(old_parts, new_parts, strict=False):
        if old != new:
            break
        count += 1
    return count


def entry_changed(entry: EntryText, before: EntryState, after: EntryState) -> EntryText | None:
    """An entry in the state `before`, put into the state `after`; None if it is in another state."""
    first = before["at"]
    last = before["at"] + len(before["parts"])
    is_before = entry.head == before["head"] and len(entry.parts) == before["count"]
    if not is_before or entry.parts[first:last] != before["parts"]:
        return None
    parts = [*entry.parts[:first], *after["parts"], *entry.parts[last:]]
    return EntryText(after["head"], parts)


class Editable(ABC, Generic[EntryT]):
    """A folder with items, whose lines can be edited.

    Attributes:
        root: the folder of its list of edits.
        path: the file with the lines of all items.
        why_not: why nothing can be changed; None if it can.
        entries: what the file has of each item; discarding moves it to `gone`.
        follows: for items that left the file, the item before each in it; None before the first one.
    """

    why_not: str | None = None
    entries: dict[str, EntryT]

    def __init__(self, root: Path, audio: Path, path: Path) -> None:
        self.root = root
        self._audio = audio
        self.path = path
        self.follows: dict[str, str | None] = {}
        self.reread()

    def reread(self) -> None:
        """Read the file anew. Raises BadInput, and keeps what it has, for a file that can't be read."""
        signature = self.signature()
        self.entries = self._read(self.path)
        self._read_signature = signature
        self._originals: dict[bytes, bytes] | None = None

    @abstractmethod
    def _read(self, path: Path) -> dict[str, EntryT]:
        """The entries of the file, or of its backup."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The ids of the items, with the discarded ones, in order."""

    def predecessors(self) -> dict[str, str | None]:
        """The item before each one in the file; None before the first one."""
        names = self.names()
        return dict(zip(names, [None, *names], strict=False))

    def lines(self, name: str) -> Lines:
        """The lines of an item, with times in seconds of the file. Raises BadInput."""
        key = self._key(name)
        return self._lines_in(name, self.entries.get(key, self.discarded_entries.get(key)))

    @abstractmethod
    def _lines_in(self, name: str, entry: EntryT | None) -> Lines:
        """The lines of an entry; none if it is None. Raises BadInput."""

    @abstractmethod
    def stretch(self, name: str) -> SoundStretch:
        """The sound of an item. Raises BadInput if it is not at hand."""

    def all_lines(self) -> Iterator[tuple[str, Lines]]:
        """The lines of every item; none of one that can't be read."""
        for name in self.names():
            try:
                yield name, self.lines(name)
            except BadInput:
                yield name, {}

    def seconds(self, name: str) -> float | None:
        """Its duration, if that is known without opening its sound."""
        return None

    def offset(self, name: str) -> float:
        """Seconds of the file at which an item begins: its lines have times of the file."""
        return 0.0

    def channels(self, name: str) -> Sequence[str]:
        """The channels that its lines may be on."""
        return CHANNELS

    def write(self, name: str, entry: EntryText) -> None:
        """Write the file whole, with another entry of an item. Raises OSError and BadInput."""
        key = self._key(name)
        entries = dict(self.entries)
        new_entry = self._entry_in(entry)
        if entry.head is None or new_entry is None:
            entries.pop(key, None)
        else:
            entries[key] = new_entry
        self._save(entries if key in self.entries else self._placed(entries))

    def text(self, name: str) -> EntryText:
        """The entry of an item, as it is in the file."""
        return self._text_of(self.entries.get(self._key(name)))

    def changed(self, name: str, change: EditChange) -> EntryText | None:
        """The entry of an item after a change that knows it to the letter.

        None if the change doesn't know it, or if another program has changed the entry since.
        """
        before = change.before.get("entry")
        after = change.after.get("entry")
        if not before or not after:
            return None
        text = entry_changed(self.text(name), before, after)
        if text is None:
            return None
        try:
            lines = self._lines_in(name, self._entry_in(text))
        except BadInput:  # a list of edits that somebody else has written
            return None
        return text if is_state(lines, change.after) else None

    @abstractmethod
    def with_lines(self, name: str, lines: Lines) -> EntryText:
        """The entry of an item with other lines; what it has of lines that stay as they are is unchanged."""

    @abstractmethod
    def _text_of(self, entry: EntryT | None) -> EntryText:
        """The text of an entry; None is no entry."""

    @abstractmethod
    def _entry_in(self, text: EntryText) -> EntryT | None:
        """The entry of a text; None is no entry. Raises BadInput for one that can't be an entry."""

    @abstractmethod
    def _document(self, entries: dict[str, EntryT]) -> bytes:
        """The file, with these entries."""

    def _placed(self, entries: dict[str, EntryT]) -> dict[str, EntryT]:
        """Entries in the order of the file."""
        return entries

    @property
    def _backup(self) -> Path:
        """The copy of the file as it was before the first edit; empty if there was none."""
        return self.path.with_name(f"{self.path.stem}_backup{self.path.suffix}")

    def _save(self, entries: dict[str, EntryT]) -> None:
        """Write the file with these entries, which become `entries`."""
        if entries != self.entries:
            if self._originals is None:
                self._originals = self._read_originals()
            document = self._document(entries)
            original = self._originals.get(hashlib.sha256(document).digest(), document)
            if original or not document:
                self._write(original)
            else:  # no document is empty: there was no file
                self.path.unlink(missing_ok=True)
                self._read_signature = self.signature()
        self.entries = entries

    def _read_originals(self) -> dict[bytes, bytes]:
        """The backup and the file as it was read, by the digest of what `_document` makes of their entries.

        A file that doesn't exist is empty.
        """
        originals: dict[bytes, bytes] = {}
        paths = [self._backup, self.path] if self._backup.is_file() else [self.path]
        for path in paths:
            data = path.read_bytes() if path.is_file() else b""
            with suppress(BadInput):  # a backup that somebody has damaged
                document = self._document(self._read(path) if data else {})
                originals[hashlib.sha256(document).digest()] = data
        return originals

    def _write(self, data: bytes) -> None:
        """Write the file whole. A backup keeps its content before the first edit, and is never written again."""
        if not os.path.lexists(self._backup):
            write_bytes(self._backup, self.path.read_bytes() if self.path.is_file() else b"")
        write_bytes(self.path, data)
        self._read_signature = self.signature()

    def _key(self, name: str) -> str:
        """The key of the entry of an item."""
        return name

    @cached_property
    def discarded_entries(self) -> dict[str, EntryT]:
        """The entries of discarded items. Raises BadInput."""
        path = inside(self._audio, Path(DISCARDED) / DISCARDED_ENTRIES)
        if not path.exists():
            return {}
        limit = whisper_json.MOST_WHISPER_BYTES
        value = parse_json(read_bytes(path, limit=limit), as_text(path), limit=limit, nan=True)
        return typed(value, Json, as_text(path))

    def is_discarded(self, name: str) -> bool:
        return name not in self.entries and name in self.discarded_entries

    def discard(self, names: Sequence[str], discarded: bool) -> None:
        """Move sounds and entries of items to the discarded ones, or back. Raises OSError and BadInput.

        Where it is stopped, an entry is in both files, never in none, and each sound in one place.
        """
        source = self.entries if discarded else self.discarded_entries
        moved = {key: source[key] for key in map(self._key, names) if key in source}
        if discarded:
            self._write_discarded(self.discarded_entries | moved)
            self._move_sounds(names, discarded)
            self._save({key: entry for key, entry in self.entries.items() if key not in moved})
        else:
            self._save(self._placed(moved | self.entries))
            self._move_sounds(names, discarded)
            self._write_discarded(
                {key: entry for key, entry in self.discarded_entries.items() if key not in moved}
            )

    def _write_discarded(self, entries: dict[str, EntryT]) -> None:
        if entries != self.discarded_entries:
            path = inside(self._audio, Path(DISCARDED) / DISCARDED_ENTRIES)
            write_text(path, whisper_json.whisper_json_text(entries))
            self.discarded_entries = entries

    def _move_sounds(self, names: Sequence[str], discarded: bool) -> None:
        return None  # a recording of the user's is never moved

    def signature(self) -> list[int] | None:
        """A value that changes when the file does; None without a file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return [status.st_ino, status.st_size, status.st_mtime_ns]

    def refuse_changed(self) -> None:
        """Raise ChangedElsewhere if another program has written the file."""
        if self.signature() != self._read_signature:
            raise ChangedElsewhere(self.path)

    def decide(self, mine: bool) -> Path:
        """Take over the file on the disk, or write what is held (`mine`); return where the other one is."""
        held = self._document(self.entries)
        names = (f"{self.path.stem}_backup_{number}{self.path.suffix}" for number in itertools.count(1))
        paths = (self.path.with_name(name) for name in names)
        kept = next(path for path in paths if not os.path.lexists(path))
        if mine:
            write_bytes(kept, read_bytes(self.path) if self.path.exists() else b"")
            self._write(held)
        else:
            write_bytes(kept, held)
            self.reread()
        return kept


class TaggedLines(Editable[list[str]]):
    """A work folder, tagged or spoken: the lines are those of `transcript.jsonl`.

    Its entries are the lines of each conversation, as they are in the file; those of "" are no lines of a
    transcript. Discarding takes lines out of it; the recording is the user's, and is never moved.
    """

    def __init__(self, root: Path) -> None:
        self._shard: tuple[Path | None, dict[str, Row]] = (None, {})
        super().__init__(root, root, inside(root, TRANSCRIPT))

    def _read(self, path: Path) -> dict[str, list[str]]:
        entries: dict[str, list[str]] = {}
        with path.open("rb") as file:
            for data in file:
                text = data.decode("utf-8", "surrogateescape").removesuffix("\n") + "\n"
                entries.setdefault(_conversation_of(text), []).append(text)
        return entries

    def names(self) -> Sequence[str]:
        return [name for name in self.predecessors() if name]

    def predecessors(self) -> dict[str, str | None]:
        emptied = [name for name in self.follows if name in self._tagged]
        names = self._in_file_order([*self.entries, *self.discarded_entries, *emptied])
        return dict(zip(names, [None, *names], strict=False))

    def _in_file_order(self, names: Sequence[str]) -> list[str]:
        """Names in the order of the file; those that left it come after the name that they followed, or last.

        A name that left the file may have followed another one that left it.
        """
        followers: defaultdict[str | None, list[str]] = defaultdict(list)
        unplaced: list[str] = []
        for name in dict.fromkeys(names):
            if name in self.entries:
                continue
            if name in self.follows:
                followers[self.follows[name]].append(name)
            else:
                unplaced.append(name)
        ordered: list[str] = []
        for name in [*followers.pop(None, []), *self.entries]:
            stack = [name]  # the next one is the last of it; what followed a name comes right after it
            while stack:
                following = stack.pop()
                ordered.append(following)
                stack.extend(reversed(followers.pop(following, [])))
        for names_left in followers.values():  # they followed what is nowhere now
            ordered += names_left
        return [*ordered, *unplaced]

    def _placed(self, entries: dict[str, list[str]]) -> dict[str, list[str]]:
        return {name: entries[name] for name in self.predecessors() if name in entries} | entries

    def lines(self, name: str) -> Lines:
        discarded = filter(_conversation_of, self.discarded_entries.get(name, ()))
        return self._lines_in(name, self.entries.get(name) or [*discarded])

    def _lines_in(self, name: str, entry: list[str] | None) -> Lines:
        return {key: line for key, _, line in self._numbered(name, entry or ())}

    def _numbered(self, name: str, texts: Sequence[str]) -> Iterator[tuple[str, str, SpokenLine]]:
        """Each line of a transcript by its id, as text and as it is shown; a line may lack an id of its own."""
        seen = set[str]()
        for index, text in enumerate(texts):
            line = finite(json.loads(text))
            key = line.get("utterance_id")
            if not isinstance(key, str) or not key or key in seen:
                key = f"{name}/{line['channel']}/{index:04d}+"
            seen.add(key)
            yield key, text, line

    def stretch(self, name: str) -> SoundStretch:
        if name not in self._tagged:
            raise BadInput("the folder does not say where its recording is", "run dailytalk tag again")
        row = with_recording(self._row(name), None)
        return SoundStretch(row["audio"], row["offset"], row["duration"])

    def seconds(self, name: str) -> float | None:
        return self._tagged[name][1].duration if name in self._tagged else None

    def offset(self, name: str) -> float:
        return float(self._row(name)["offset"]) if name in self._tagged else 0.0

    @cached_property
    def _tagged(self) -> dict[str, StoredEntry]:
        return CurrentRows(shard_files(self.root / TAGGED)).entries

    def _row(self, name: str) -> Row:
        path, _ = self._tagged[name]
        if self._shard[0] != path:
            self._shard = path, read_rows(path, BASE)
        return tagged_row(self._shard[1].get(name))

    def with_lines(self, name: str, lines: Lines) -> EntryText:
        """Lines that stay as they are keep their texts; the others have their fields in the order of the file."""
        fields: list[str] = []  # of the first line of the transcript, in its order
        for owner, lines_of_item in self.entries.items():
            if owner and lines_of_item:
                fields = [*json.loads(lines_of_item[0])]
                break
        before: dict[str, tuple[str, SpokenLine]] = {}
        for key, text, line in self._numbered(name, self.entries.get(name, ())):
            before[key] = text, line
        texts: list[str] = []
        for key, line in in_order(lines):
            if key in before and line.get("utterance_id") == key:
                text, shown = before[key]
                if line == shown:
                    texts.append(text)
                    continue
            ordered: dict[str, object] = {}
            for field in fields:
                if field in line or field in _IN_ALL_LINES:
                    ordered[field] = line.get(field)
            texts.append(json_text({**ordered, **line, "utterance_id": key}))
        return self._text_of(texts)

    def _text_of(self, entry: list[str] | None) -> EntryText:
        """Without the numbers of lines, which follow from the lines before them."""
        return EntryText("", [_NUMBER.sub('{"segment_id": null', text) for text in entry or ()])

    def _entry_in(self, text: EntryText) -> list[str]:
        if not all(part.endswith("\n") and _conversation_of(part) for part in text.parts):
            raise BadInput("this is not a line of a transcript", "put the list of edits back")
        return text.parts

    def _document(self, entries: dict[str, list[str]]) -> bytes:
        """A transcript whose lines are numbered as they follow one another."""
        numbers = itertools.count()
        document: list[str] = []
        for name, texts in entries.items():
            for text in texts:
                if name:
                    text = _NUMBER.sub(lambda _: f'{{"segment_id": {next(numbers)}', text)
                document.append(text)
        return "".join(document).encode("utf-8", "surrogateescape")


#: The beginning of a line of a transcript: its number among all of them.
_NUMBER = re.compile(r'^\{"segment_id": (?:\d+|null)')

#: Fields that all lines of a transcript have.
_IN_ALL_LINES = frozenset({"segment_id", "duration", "text_raw", "rule", "kind", "text_reason"})


class _Line(TypedDict):
    channel: Literal["left", "right"]
    text: str
    start: Number
    end: Number


def _conversation_of(text: str) -> str:
    """The conversation of a line of a transcript; "" if it is none."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not fits(line, _Line):
        return ""
    return str(line.get("conversation_id") or line.get("audio_file") or "")


class ClipsLines(Editable[Json]):
    """A folder of clips and the JSON with their texts; lines are its segments. Unknown fields are kept."""

    def __init__(self, path: Path) -> None:
        folder = whisper_json.clips_folder(path)
        root = path if path.is_dir() else path.parent
        super().__init__(root, folder.audio, folder.json or root / whisper_json.WHISPER_JSON)

    def reread(self) -> None:
        super().reread()
        self._keys = whisper_json.match_names([*self.entries, *self.discarded_entries], self._names).keys

    def _read(self, path: Path) -> dict[str, Json]:
        return whisper_json.read_whisper_json(inside(self.root, path.name)).entries if path.exists() else {}

    def names(self) -> Sequence[str]:
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        names = {*audio_below(self._audio, skip=DISCARDED)}
        discarded = self._audio / DISCARDED
        if is_inside(discarded, self._audio):
            names |= {*audio_below(discarded)}
        return sorted(names, key=counted_order)

    def _key(self, name: str) -> str:
        return self._keys.get(name, name)

    def _lines_in(self, name: str, entry: Json | None) -> Lines:
        entry = finite(entry)
        if entry is None:
            return {}
        problem = whisper_json.entry_problem(self.path.name, name, entry)
        if problem:
            raise problem
        if entry.get("segments") is None:
            text = whisper_json.text_of(entry)
            seconds = max(self.stretch(name).seconds, 0.01)
            if not text:
                return {}
            return {"0": _clip_line({"start": 0.0, "end": round(seconds, 3), "text": text})}
        return {key: _clip_line(segment) for key, segment in _segments(entry).items()}

    def stretch(self, name: str) -> SoundStretch:
        aside = Path(DISCARDED) if self.is_discarded(name) else Path()
        return whole_sound(inside(self._audio, aside / name))

    def channels(self, name: str) -> Sequence[str]:
        return CHANNELS[:1]

    def with_lines(self, name: str, lines: Lines) -> EntryText:
        entry = _clip_entry(self.entries.get(self._key(name)), lines)
        return self._text_of(entry)

    def _text_of(self, entry: Json | None) -> EntryText:
        if entry is None:
            return EntryText(None, [])
        segments = entry.get("segments")
        if not isinstance(segments, list):
            return EntryText(json.dumps(entry, sort_keys=True), [])
        head = json.dumps({**entry, "segments": []}, sort_keys=True)
        return EntryText(head, [json.dumps(segment, sort_keys=True) for segment in segments])

    def _entry_in(self, text: EntryText) -> Json | None:
        if text.head is None:
            return None
        entry: Json = parse_json(text.head, self.path.name, nan=True)
        segments = [parse_json(part, self.path.name, nan=True) for part in text.parts]
        if isinstance(entry, dict) and isinstance(entry.get("segments"), list):
            entry["segments"] = segments
        problem = whisper_json.entry_problem(self.path.name, "", entry)
        if problem:
            raise problem
        return entry

    def _document(self, entries: dict[str, Json]) -> bytes:
        return whisper_json.whisper_json_text(entries).encode("utf-8", "surrogatepass")

    def is_discarded(self, name: str) -> bool:
        aside = self._audio / DISCARDED / name
        return not (self._audio / name).exists() and is_inside(aside, self._audio) and aside.exists()

    def discard(self, names: Sequence[str], discarded: bool) -> None:
        for name in names if discarded else ():
            if (self._audio / name).exists() and os.path.lexists(self._audio / DISCARDED / name):
                raise BadInput(f"{DISCARDED} has another {name!r} already", "move that one elsewhere")
        super().discard(names, discarded)

    def _move_sounds(self, names: Sequence[str], discarded: bool) -> None:
        """Nothing is overwritten, or leads out of the folder."""
        source_folder = self._audio
        target_folder = self._audio / DISCARDED
        if not discarded:
            source_folder, target_folder = target_folder, source_folder
        for name in names:
            source = source_folder / name
            target = target_folder / name
            stays_inside = is_inside(source, self._audio) and is_inside(target, self._audio)
            if stays_inside and source.is_file() and not os.path.lexists(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)


def audio_below(folder: Path, skip: str = "") -> list[str]:
    """Audio files below a folder, in natural order; no links, and no hidden files."""
    names: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != skip and not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in AUDIO_SUFFIXES and not path.is_symlink():
                names.append(as_text(path.relative_to(folder)))
    return sorted(names, key=counted_order)


def counted_order(name: str) -> list[tuple[bool, int, str]]:
    """A key by which `clip2` comes before `clip10`."""
    parts = re.split(r"(\d{1,18})", name.casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _segments(entry: Json) -> dict[str, Json]:
    """The segments of an entry by their ids, which may be missing or double."""
    segments: dict[str, Json] = {}
    for index, segment in enumerate(entry.get("segments") or ()):
        segment_id = segment.get("id")
        key = str(segment_id if isinstance(segment_id, int | str) else index)
        while key in segments:
            key = f"{key}+{index}"
        segments[key] = segment
    return segments


def _clip_line(segment: Json) -> SpokenLine:
    words = segment.get("words")
    line = {"channel": CHANNELS[0], **segment, "text": str(segment["text"]).strip()}
    line.pop("id", None)  # its key says it
    line["end"] = max(line["end"], line["start"] + 0.001)
    if isinstance(words, list):
        is_timed = all(is_number(word.get("start")) and is_number(word.get("end")) for word in words)
        line["words"] = [{**word, "word": word["word"].strip()} for word in words] if is_timed else []
    return cast("SpokenLine", line)


def _clip_entry(entry: Json | None, lines: Lines) -> Json:
    """The entry of a clip with other lines."""
    before = _segments(entry or {})
    is_led = not before or any(segment["text"].startswith(" ") for segment in before.values())
    segments: list[Json] = []
    for key, line in in_order(lines):
        segment = _changed_segment(before.get(key), line, is_led)
        if str(segment.get("id")) != key:
            segment["id"] = int(key) if key.isdecimal() else key
        segments.append(segment)
    texts_before = [str(segment["text"]).strip() for segment in before.values()]
    texts = [str(segment["text"]).strip() for segment in segments]
    if entry and texts == texts_before:
        return {**entry, "segments": segments}
    text = join_words(filter(None, texts))
    return {**(entry or {"language": None}), "text": text, "segments": segments}


def _changed_segment(segment: Json | None, line: SpokenLine, is_led: bool) -> Json:
    """A segment with the fields of its line that were edited; all others stay as they are in the file.

    Args:
        segment: as it is in the file; None for a line that has none there.
        line: as it has to be.
        is_led: whether texts begin with a space, as Whisper writes them.
    """
    shown: Json = {**_clip_line(finite(segment))} if segment else {}
    segment = segment or _NEW_SEGMENT
    changed: Json = {}
    for name, value in line.items():
        is_of_segments = name in segment or name not in _NO_SEGMENTS
        if is_of_segments and (name not in shown or shown[name] != value):
            changed[name] = value
    if is_led and "text" in changed:
        changed["text"] = f" {line['text']}"
    words_before = segment.get("words") or []
    if "words" in changed and any(word["word"].startswith(" ") for word in words_before):
        changed["words"] = [{**word, "word": f" {word['word']}"} for word in line.get("words") or ()]
    unchanged = {name: value for name, value in segment.items() if name in line or name not in shown}
    return unchanged | changed


#: A segment with the fields that Whisper writes.
_NEW_SEGMENT: Json = {
    "avg_logprob": None,
    "compression_ratio": None,
    "no_speech_prob": None,
    "seek": 0,
    "temperature": 0.0,
    "tokens": [],
    "text": "",
}

#: Fields of a line that no segment has.
_NO_SEGMENTS = frozenset({"channel", "duration", "tagged_text", "kind"})


#: What follows a conversation's id in the name of its recording, where both can be heard.
_AS_RECORDED = " (as recorded)"


class Viewed(Editable[float]):
    """Items to listen to alone: versions, mixes, finished corpora, conversations without a transcript."""

    #: Why each kind can't be edited, and what to do.
    _WHY: ClassVar[dict[str, str]] = {
        "version": "a published version never changes: correct its work folder, and push that again",
        "mix": "a mix is made of other folders: review those, and mix again",
        "clips": "finished clips are made of their corpus: review that, and run dailytalk corpus again",
        "conversations": "its transcript.jsonl is missing: review the folder that dailytalk tag wrote",
    }

    def __init__(self, items: Items) -> None:
        self._items = items
        self._recordings: Items | None = None
        self.why_not = self._WHY.get(items.kind, "it can only be listened to")
        recordings = recordings_of(items)
        if recordings and recordings.has_transcript:
            self._recordings = recordings
            self.why_not = f"its lines are in {as_text(str(recordings.where))!r}: review that"
        root = items.folder or Path(items.name)
        super().__init__(root, root, root)

    def _read(self, path: Path) -> dict[str, float]:
        return {name: row["duration"] for name, row in self._rows()}

    def _rows(self) -> Iterator[tuple[str, Row]]:
        """The rows that can be heard, by the names of their items: conversations, then their recordings."""
        for row in self._items.rows(SMALL):
            if not row["problem"]:
                yield row["conversation_id"], row
        if self._recordings:
            for row in self._recordings.rows():
                yield f"{row['conversation_id']}{_AS_RECORDED}", row

    def _source_of(self, name: str) -> tuple[Items, str]:
        """The items that have an item, and its name among them."""
        if self._recordings and name.endswith(_AS_RECORDED):
            return self._recordings, name.removesuffix(_AS_RECORDED)
        return self._items, name

    def names(self) -> Sequence[str]:
        return [*self.entries]

    def all_lines(self) -> Iterator[tuple[str, Lines]]:
        return ((name, lines_of(row)) for name, row in self._rows())

    def lines(self, name: str) -> Lines:
        items, name_there = self._source_of(name)
        return lines_of(items.row(name_there))

    def stretch(self, name: str) -> SoundStretch:
        items, name_there = self._source_of(name)
        sound = items.sound(name_there)
        remaining = read_header(sound.audio).seconds - sound.offset
        seconds = min(remaining, self.seconds(name) or remaining)
        return SoundStretch(sound.audio, sound.offset, seconds)

    def seconds(self, name: str) -> float | None:
        return self.entries[name]

    def _lines_in(self, name: str, entry: float | None) -> Lines:
        raise self._refusal

    def with_lines(self, name: str, lines: Lines) -> EntryText:
        raise self._refusal

    def _text_of(self, entry: float | None) -> EntryText:
        raise self._refusal

    def _entry_in(self, text: EntryText) -> float | None:
        raise self._refusal

    def _document(self, entries: dict[str, float]) -> bytes:
        raise self._refusal

    @property
    def _refusal(self) -> BadInput:
        return BadInput("nothing can be changed here", self.why_not or "")


def lines_of(row: Row) -> Lines:
    """The audible utterances of a row as lines by their ids, with the words that are in them."""
    lines: Lines = {}
    talk = from_finished(row)
    for number, utterance in enumerate(talk.utterances):
        if not utterance.new_span:
            continue
        key = utterance.utterance_id or ""
        if not key or key in lines:
            key = f"{number:06d}"
        line = to_shifted_line(utterance, talk)
        line["text"] = line["text"] or ""
        lines[key] = cast("SpokenLine", line)
    return lines


def open_editable(folder: Path) -> TaggedLines | ClipsLines | None:
    """The editable lines of a folder, or of a whisper.json; None for a place of another kind.

    Raises BadInput for a folder whose links lead out of it, a JSON whose folder has another one, and the copy of a
    folder in a store, to which no edit would come back.
    """
    address = copied_from(folder)
    if address:
        raise BadInput(
            f"{as_text(folder)!r} is a copy of {address} on this machine",
            f"download {address}/{TRANSCRIPT}, edit it, and put it back; dailytalk review {address} shows it",
        )
    if folder.is_file() and folder.suffix.lower() == ".json":
        meant = whisper_json.clips_folder(folder.parent).json
        if meant is not None and meant != folder:
            raise BadInput(
                f"the texts of {as_text(folder.parent)!r} are those of {meant.name!r}",
                f"move {meant.name!r} elsewhere to edit {folder.name!r}",
            )
        return ClipsLines(folder)
    refuse_links_out(folder)
    if (folder / TRANSCRIPT).is_file():
        return TaggedLines(folder)
    if not folder.is_dir() or (folder / "mix.json").is_file():
        return None
    if any((folder / name).exists() for name in (TAGGED, DATASET, CLIPS, MEASURED, RUN, AUDIO_FOLDER)):
        return None
    clips = ClipsLines(folder)
    return clips if clips.entries or clips.names() else None
