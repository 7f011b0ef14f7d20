"""The differences between two versions of a dataset, and the number that the new version gets for them."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from datasets import Audio, Features, LargeList, List, Value

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS

# Versions of a published dataset: their tags, the next version, and what a version breaks.
#
# Tags are semantic versions (https://semver.org) with a `v` before them, from the view of readers: a column that
# went away or changed its type is a major change, rows or columns that are new or different a minor one, all else
# a patch. There is one way to write a tag, so that tags sort, and so that `v1` can later be neither v1.0.0 nor
# v1.9.3.


#: What can change, the largest first; "" is nothing.
BUMPS = ("major", "minor", "patch", "")

_TAG = re.compile(r"v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")

#: What people write instead of a tag; missing numbers are taken as 0 for the remedy.
_ALMOST = re.compile(r"[vV]?\.?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?")


class SemanticVersion(NamedTuple):
    """A version; compares by number. `str` gives its tag."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"

    def bumped(self, bump: str) -> "SemanticVersion":
        """The version after this one for a change of a size of `BUMPS`; for "" it is this one."""
        if bump == "major":
            return SemanticVersion(self.major + 1, 0, 0)
        if bump == "minor":
            return SemanticVersion(self.major, self.minor + 1, 0)
        return SemanticVersion(self.major, self.minor, self.patch + (bump == "patch"))


#: The first version is published for others to read: it isn't a draft.
FIRST = SemanticVersion(1, 0, 0)


def parse_tag(text: str) -> SemanticVersion:
    """The version that a tag names, such as `v1.2.3`. Raises DailytalkError, naming a tag that would do."""
    match = _TAG.fullmatch(text)
    if match:
        return SemanticVersion(*map(int, match.groups()))
    almost = _ALMOST.fullmatch(text)
    if almost is None:
        raise DailytalkError(f"the tag {text!r} is no version", f"write v and three numbers, such as {FIRST}")
    meant = SemanticVersion(*(int(number or 0) for number in almost.groups()))
    raise DailytalkError(f"the tag {text!r} is no version", f"name it {meant}")


def is_version_tag(text: str) -> bool:
    """Return whether a tag names a version, such as `v1.2.3`."""
    return _TAG.fullmatch(text) is not None


def latest(tags: Iterable[str]) -> str | None:
    """The tag of the highest version, or None if no tag is a version; other tags are skipped."""
    return max(filter(is_version_tag, tags), key=parse_tag, default=None)


def next_tag(tags: Iterable[str], bump: str) -> str:
    """The tag for a change of a size of `BUMPS` to the highest version; `FIRST` where there is none yet."""
    newest = latest(tags)
    return str(FIRST if newest is None else parse_tag(newest).bumped(bump))


def largest(bumps: Iterable[str]) -> str:
    return min(bumps, key=BUMPS.index, default="")


def breaking(before: Features, after: Features) -> list[str]:
    """One sentence for each column or field that a reader of `before` would miss, or find of another type.

    Fields of structs and lists are named by dots (`utterances.text`). New columns and another order are harmless;
    another sampling rate or number of audio channels is not, because it changes the length in samples.
    """
    return [
        f"{name} is gone" if new is None else f"{name} was {_type(old)} and is {_type(new)}"
        for name, old, new in _paired(before, after)
        if old is not None and (new is None or _type(old) != _type(new))
    ]


def added(before: Features, after: Features) -> list[str]:
    """The columns and fields, by dotted name, that only `after` has."""
    return [name for name, old, _ in _paired(before, after) if old is None]


def _paired(before: Any, after: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Fields of either by name. One that the other lacks, or has in another type, is listed without its fields."""
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        yield f"{prefix}{name}", old, new
        if old is not None and new is not None and _type(old) == _type(new):
            inner_old, inner_new = _struct_fields(old), _struct_fields(new)
            if inner_old is not None and inner_new is not None:
                yield from _paired(inner_old, inner_new, f"{prefix}{name}.")


def _struct_fields(feature: Any) -> dict[str, Any] | None:
    """Fields of a struct, or of the structs in a list of any depth; None for anything else."""
    while isinstance(feature, (List, LargeList)):
        feature = feature.feature
    return feature if isinstance(feature, dict) else None


def _type(feature: Any) -> str:
    """A type in words. Structs are all one type: their fields are compared one by one."""
    if isinstance(feature, (List, LargeList)):
        fixed = isinstance(feature, List) and feature.length >= 0
        return f"a list of {_type(feature.feature)}" + (f" ({feature.length} each)" if fixed else "")
    if isinstance(feature, dict):
        return "a struct"
    if isinstance(feature, Value):
        return str(feature.dtype)
    if isinstance(feature, Audio):
        rate = "any rate" if feature.sampling_rate is None else f"{feature.sampling_rate} Hz"
        channels = "any number of" if feature.num_channels is None else feature.num_channels
        return f"audio at {rate} with {channels} channel(s)"
    return repr(feature)


# Differences between two rows of the same conversation: fields, tags, and shifts of times.
#
# Utterances are matched by their id, because a person may have dropped one. Words have no id: those of a speaker
# are matched in order from both ends, and what is between the first and the last difference is left out, which
# keeps this linear. Shifts are counted in whole milliseconds, so that any number of them takes little memory.


#: Seconds by which a time has to shift to count as moved; less is inaudible, and within a frame of any aligner.
MOVED = 0.010


@dataclass
class Shifts:
    """Shifts of the starts of what was matched; `moved` counts those beyond `MOVED` by their milliseconds."""

    matched: int = 0
    largest: float = 0.0
    moved: Counter[int] = field(default_factory=Counter)

    def add(self, before: float, after: float) -> None:
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
    return set(_changed(before, after, ""))


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
    before_by_id = _by_id(before.get("utterances") or ())
    for name, new in _by_id(after.get("utterances") or ()).items():
        if name in before_by_id:
            yield before_by_id[name], new


def _by_id(utterances: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {utterance["utterance_id"]: utterance for utterance in utterances if "utterance_id" in utterance}


def _changed(before: Any, after: Any, name: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() & after.keys():
            yield from _changed(before[key], after[key], f"{name}.{key}" if name else key)
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
        yield from _changed(*pair, name)


def _structs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
