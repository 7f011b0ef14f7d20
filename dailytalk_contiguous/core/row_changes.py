"""What is different between two rows of the same conversation: which fields, whose tags, and times by how much.

Utterances are matched by their id, for a person may have dropped one. Words have no id: those of a speaker are
matched in order from both ends, and what lies between the first and the last difference is left out, which keeps
this linear. Shifts are counted in whole milliseconds, so that any number of them takes little memory.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from dailytalk_contiguous.core.schema import CHANNELS

#: Seconds by which a time has to shift to count as moved; less is not heard, and is within a frame of any aligner.
MOVED = 0.010


@dataclass
class Shifts:
    """Shifts of the starts of what was matched; `moved` counts those beyond `MOVED` by their milliseconds."""

    matched: int = 0
    largest: float = 0.0
    moved: Counter[int] = field(default_factory=Counter)

    def add(self, before: float, after: float) -> None:
        """Count a start, in seconds before and after."""
        shift = abs(after - before)
        self.matched += 1
        self.largest = max(self.largest, shift)
        if shift > MOVED:
            self.moved[round(1000 * shift)] += 1

    @property
    def share(self) -> float:
        """Share in [0, 1] of the matched that moved; 0 where nothing was matched."""
        return self.moved.total() / self.matched if self.matched else 0.0

    @property
    def median(self) -> float:
        """Median shift in seconds of those that moved, to a millisecond (the lower of two); 0 where none did."""
        left = (self.moved.total() + 1) // 2
        for milliseconds in sorted(self.moved):
            left -= self.moved[milliseconds]
            if left <= 0:
                return milliseconds / 1000
        return 0.0

    def as_dict(self) -> dict[str, float]:
        """The numbers for a manifest."""
        return {
            "matched": self.matched,
            "share_moved": round(self.share, 6),
            "median_seconds": self.median,
            "largest_seconds": round(self.largest, 6),
        }


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Dotted names (`utterances.text`, `timeline.mode`) of what both rows, as read from JSON, have and differ in.

    A list of structs that has others, or in another order, is named itself (`utterances`).
    """
    return set(_fields(before, after, ""))


def utterance_counts(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[int, int]:
    """How many utterances only the row after has, and only the row before: added and removed, by id."""
    old, new = (_by_id(row.get("utterances") or ()).keys() for row in (before, after))
    return len(new - old), len(old - new)


def tag_moves(before: Mapping[str, Any], after: Mapping[str, Any]) -> Counter[tuple[str, str]]:
    """Tags of utterances in both rows that changed, from and to; no tag is ""."""
    pairs = ((old.get("tag") or "", new.get("tag") or "") for old, new in _matched_utterances(before, after))
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def add_utterance_shifts(shifts: Shifts, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Count the starts of the utterances of both rows. Those that were dropped have none."""
    for old, new in _matched_utterances(before, after):
        _add(shifts, old, new)


def add_word_shifts(shifts: Shifts, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Count the starts of the words of both rows."""
    for channel in CHANNELS:
        old, new = (
            [word for word in row.get("alignments") or () if word.get("speaker") == channel]
            for row in (before, after)
        )
        head = sum(1 for _ in takewhile(_same_word, zip(old, new, strict=False)))
        rest = zip(reversed(old[head:]), reversed(new[head:]), strict=False)
        for pair in [*zip(old[:head], new[:head], strict=True), *takewhile(_same_word, rest)]:
            _add(shifts, *pair)


def _add(shifts: Shifts, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    if old.get("start") is not None and new.get("start") is not None:
        shifts.add(old["start"], new["start"])


def _same_word(pair: tuple[Mapping[str, Any], Mapping[str, Any]]) -> bool:
    return bool(pair[0].get("word") == pair[1].get("word"))


def _matched_utterances(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    known = _by_id(before.get("utterances") or ())
    for name, new in _by_id(after.get("utterances") or ()).items():
        if name in known:
            yield known[name], new


def _by_id(utterances: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["utterance_id"]: one for one in utterances if "utterance_id" in one}


def _fields(before: Any, after: Any, name: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() & after.keys():
            yield from _fields(before[key], after[key], f"{name}.{key}" if name else key)
    elif _structs(before) and _structs(after):
        yield from _list_fields(before, after, name)
    elif json.dumps(before) != json.dumps(after):  # a NaN equals none, itself included; its text does
        yield name


def _list_fields(before: Sequence[Any], after: Sequence[Any], name: str) -> Iterator[str]:
    old, new = _by_id(before), _by_id(after)
    if old and new:
        if list(old) != list(new):
            yield name
        pairs = [(old[key], new[key]) for key in old.keys() & new.keys()]
    elif len(before) == len(after):
        pairs = list(zip(before, after, strict=True))
    else:
        yield name
        return
    for pair in pairs:
        yield from _fields(*pair, name)


def _structs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)
