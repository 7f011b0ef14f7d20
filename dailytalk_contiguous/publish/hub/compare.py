"""Compares two versions of a dataset: conversations, fields, columns, tags, times.

Each version is read once, without its audio, whose digest says whether it changed; a file that both have is read
for its ids alone. Memory holds a short entry of each conversation, and the order of neither version matters. The
rows that differ are read again, and compared value by value.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import CONFIGS, Row
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.publish.checks.plain_load import CARD
from dailytalk_contiguous.publish.items import Place, VersionItems
from dailytalk_contiguous.publish.version import Version

#: Seconds by which a start has to shift to count as moved; less is inaudible, and within a frame of any aligner.
MOVED = 0.010

_ID = "conversation_id"

#: The column of how a row was made: another version of the tool writes another one, and nothing is lost with it.
_PROVENANCE = "provenance"

#: The key of the name by which a word is compared; no column has it.
_NAME = " name"


@dataclass
class Changes:
    """The changes of a version. Ids are of conversations, sorted.

    Attributes:
        previous: the tag, branch or commit of the older version; None without one.
        added: ids that only the newer version has.
        removed: ids that only the older version has.
        changed: ids with another value in a field that both versions have.
        moved: the split before and after of each id that changed it.
        fields: in how many conversations a field changed, by dotted name (`utterances.tag`, `audio`). A list that
            has other items, or in another order, is named itself (`utterances`).
        broken: by config, a sentence on each split or column that a reader of the previous version would miss.
        columns: by config, columns and fields that are new.
        tags: how many utterances went from one tag to another; no tag is "".
        utterance_times: seconds by which the start of each utterance shifted in changed conversations. Utterances
            are matched by id.
        word_times: seconds by which the start of each word shifted in changed conversations. Words are matched by
            their text and speaker, in order.
        repacked: whether the files or the card differ, even if the rows do not.
    """

    previous: str | None = None
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    moved: dict[str, tuple[str, str]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    broken: dict[str, list[str]] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    tags: Counter[tuple[str, str]] = field(default_factory=Counter)
    utterance_times: "array[float]" = field(default_factory=lambda: array("d"))
    word_times: "array[float]" = field(default_factory=lambda: array("d"))
    repacked: bool = False

    @property
    def has_same_rows(self) -> bool:
        """Whether both versions have the same rows, splits and columns."""
        differences = (self.added, self.removed, self.changed, self.moved, self.broken, self.columns)
        return not any(differences)

    @property
    def bump(self) -> str:
        """The part of the version's number that counts up: `major`, `minor`, `patch`, or an empty text for none.

        Readers miss a conversation, split or column that is gone, and a column of another type breaks them: major.
        New or different rows or columns are minor, all else is a patch.
        """
        values = any(name.partition(".")[0] != _PROVENANCE for name in self.fields)
        if self.broken or self.removed:
            return "major"
        if self.added or self.moved or self.columns or values:
            return "minor"
        return "patch" if self.fields or self.repacked else ""

    def as_dict(self) -> dict[str, object]:
        """Return the changes in numbers."""
        return {
            "previous": self.previous,
            "added": len(self.added),
            "removed": len(self.removed),
            "changed": len(self.changed),
            "moved": len(self.moved),
            "fields": dict(sorted(self.fields.items())),
            "broken": self.broken,
            "columns": self.columns,
            "tags": [{"from": a, "to": b, "count": count} for (a, b), count in self.tags.most_common()],
            "utterance_times": shifts(self.utterance_times),
            "word_times": shifts(self.word_times),
            "bump": self.bump,
        }


def shifts(seconds: Sequence[float]) -> dict[str, float]:
    """Return how many starts were matched, the share that moved, the median of those, and the largest shift."""
    all_shifts = np.asarray(seconds)
    moved = all_shifts[all_shifts > MOVED]
    share = len(moved) / max(1, len(all_shifts))
    middle = float(np.median(moved)) if len(moved) else 0.0
    largest = float(all_shifts.max(initial=0.0))
    return {
        "matched": len(all_shifts),
        "share_moved": round(share, 6),
        "median_seconds": round(middle, 3),
        "largest_seconds": round(largest, 6),
    }


def compare_versions(before: Version | None, after: Version, whole: bool = True) -> Changes:
    """Return the changes of `after` against `before`; without `before`, or with an empty one, all of it is added.

    `whole`: whether other configs, files and cards are compared, too; otherwise only conversations are.

    Raises DailytalkError: a version holds no conversations, holds one twice or without an id, or can't be read.
    """
    new_items = VersionItems(after)
    columns = after.columns_without_sound(CONFIGS[0])
    if before is None or not before.configs:
        return Changes(added=sorted(_entries_of(new_items, columns, ())))
    old_items = VersionItems(before)
    changes = Changes(before.manifest.version or before.commit)
    configs = dict.fromkeys([*before.configs, *after.configs]) if whole else CONFIGS[:1]
    _compare_columns(before, after, changes, configs)
    old_columns = before.columns_without_sound(CONFIGS[0])
    columns = [name for name in columns if name in old_columns]
    shared = {*before.digests.values()} & {*after.digests.values()}
    old = _entries_of(old_items, columns, shared)
    new = _entries_of(new_items, columns, shared)
    changes.added = sorted(new.keys() - old.keys())
    changes.removed = sorted(old.keys() - new.keys())
    differing = []
    for name in sorted(old.keys() & new.keys()):
        if old[name].split != new[name].split:
            changes.moved[name] = (old[name].split, new[name].split)
        if old[name].digest != new[name].digest:
            differing.append(name)
    differing.sort(key=lambda name: new[name].row_place)  # row groups are read once
    n_at_once = 64
    for first in range(0, len(differing), n_at_once):
        names = differing[first : first + n_at_once]
        old_places = sorted(old[name].row_place for name in names)
        new_places = [new[name].row_place for name in names]
        old_rows = {row[_ID]: row for row in old_items.rows_at(old_places, columns)}
        for new_row in new_items.rows_at(new_places, columns):
            old_row = old_rows.pop(new_row[_ID])
            _name_words(old_row, new_row)
            _compare_rows(old_row, new_row, columns, changes)
    changes.changed.sort()
    if whole:
        cards = {version.read(CARD) for version in (before, after) if CARD in version.names}
        changes.repacked = before.digests != after.digests or len(cards) > 1
    return changes


def _compare_columns(before: Version, after: Version, changes: Changes, configs: Iterable[str]) -> None:
    """Compare the splits and columns of each config. Fields in structs and lists are named by dots."""
    for config in configs:
        if config not in after.configs:
            changes.broken[config] = ["all of it is gone"]
            continue
        new = after.types(config)
        old = before.types(config)
        splits = before.configs.get(config, ())
        broken = [f"the split {split} is gone" for split in splits if split not in after.configs[config]]
        for name in old:
            if name not in new:
                broken.append(f"{name} is gone")
            elif old[name] != new[name]:
                broken.append(f"{name} was {old[name]} and is {new[name]}")
        added = [name for name in new if name not in old]
        if broken:
            changes.broken[config] = broken
        if added:
            changes.columns[config] = added


class VersionEntry(NamedTuple):
    """A conversation of a version: its split, the place of its row, and the digest of what is compared of it."""

    split: str
    row_place: Place
    digest: bytes


def _entries_of(items: VersionItems, columns: Sequence[str], shared: Collection[str]) -> dict[str, VersionEntry]:
    """Return the conversations of a version by id; of the files with `shared` digests only the ids are read."""
    entries: dict[str, VersionEntry] = {}
    digests = items.version.digests
    for file, split in items.split_of.items():
        compared = [] if digests.get(str(file)) in shared else columns
        for row_place, row in items.rows_of(file, {_ID, *compared}):
            name = row[_ID]
            if not name or name in entries:
                raise DailytalkError(
                    f"{items.version} holds the conversation {name!r} twice, or without an id", "publish it again"
                )
            values = {column: row[column] for column in compared if row[column] is not None}
            text = json.dumps(values, default=str)
            digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
            entries[name] = VersionEntry(split, row_place, digest)
    return entries


def _compare_rows(old_row: Row, new_row: Row, columns: Sequence[str], changes: Changes) -> None:
    old = dict(_values({name: old_row[name] for name in columns}))
    new = dict(_values({name: new_row[name] for name in columns}))
    common = [key for key in old if key in new]
    differing = []
    for key in common:
        are_nan = old[key] != old[key] and new[key] != new[key]  # a NaN equals none, itself included
        if old[key] != new[key] and not are_nan:
            differing.append(key)
    if not differing:  # only one of them has the fields that differ
        return
    changes.changed.append(new_row[_ID])
    changes.fields.update({"audio" if field == "audio_sha256" else field for field, _ in differing})
    for key in differing:
        tags = (old[key] or "", new[key] or "")
        if key[0] == "utterances.tag" and any(tags):
            changes.tags[tags] += 1
    times_of = {"utterances.start": changes.utterance_times, "alignments.start": changes.word_times}
    for key in common:
        if key[0] in times_of and old[key] is not None and new[key] is not None:
            times_of[key[0]].append(abs(new[key] - old[key]))


def _name_words(old_row: Row, new_row: Row) -> None:
    """Give the words of two rows of a conversation that are the same word the same name, and sort them alike.

    The words of each speaker are matched in the order of their times, whatever their case and punctuation.
    """
    old_words: list[Row] = old_row.get("alignments") or []
    new_words: list[Row] = new_row.get("alignments") or []
    for words in (old_words, new_words):
        words.sort(key=lambda word: (str(word["speaker"]), float(word["start"])))
    for speaker in {word["speaker"] for word in old_words}:
        old = [word for word in old_words if word["speaker"] == speaker]
        new = [word for word in new_words if word["speaker"] == speaker]
        for index, word in enumerate(old):
            word[_NAME] = f"{speaker} {index}"
        for index, word in enumerate(new):
            word[_NAME] = f"{speaker} {word['word']} new {index}"
        old_texts = [normalise(word["word"]) for word in old]
        new_texts = [normalise(word["word"]) for word in new]
        for block in Levenshtein.opcodes(old_texts, new_texts).as_matching_blocks():
            for index in range(block.size):
                new[block.b + index][_NAME] = f"{speaker} {block.a + index}"


def _values(value: object, field: str = "", item: str = "") -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield all values in a row, each with the dotted name of its field and the item of a list that it is in.

    An item is named by its id, a word by `_name_words`. The value of a list is the names of its items.
    """
    if isinstance(value, dict):
        yield (field, item), True
        for name, part in value.items():
            if name == _NAME:
                continue
            yield from _values(part, f"{field}.{name}" if field else name, item)
    elif isinstance(value, list) and all(isinstance(part, dict) for part in value):
        seen: Counter[str] = Counter()
        names = []
        for part in value:
            key = part.get("utterance_id") or part.get(_NAME) or f"{part.get('speaker')} {part.get('word')}"
            names.append(f"{key} {seen[key]}")
            seen[key] += 1
            yield from _values(part, field, f"{item} {names[-1]}")
        yield (field, item), names
    else:
        yield (field, item), value


def diff_in_words(changes: Mapping[str, object]) -> str:
    """Return the changed conversations of `Changes.as_dict` in words: `2 added, 1 changed`.

    >>> diff_in_words({"previous": "v1.1.0", "removed": 2})
    '2 removed'
    """
    if not changes.get("previous"):
        return "first version"
    kinds = ("added", "removed", "changed", "moved")
    counts = [f"{changes[kind]} {kind}" for kind in kinds if changes.get(kind)]
    return ", ".join(counts) or "the same conversations"
