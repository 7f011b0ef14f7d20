"""Versions of a published dataset: how their tags are written, which comes next, and what a version breaks.

Tags are semantic versions (https://semver.org) with a `v` before them, said of readers: a column that went away or
changed its type is a major change, rows or columns that are new or different a minor one, all else a patch. There
is one way to write a tag, so that tags sort, and so that `v1` can later be neither v1.0.0 nor v1.9.3.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from datasets import Audio, Features, LargeList, List, Value

from dailytalk_contiguous.core.errors import DailytalkError

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


#: What is published first is meant to be read by others: it isn't a draft.
FIRST = SemanticVersion(1, 0, 0)


def parse_tag(text: str) -> SemanticVersion:
    """The version that a tag names, such as `v1.2.3`. Raises DailytalkError, naming a tag that would do."""
    found = _TAG.fullmatch(text)
    if found:
        return SemanticVersion(*map(int, found.groups()))
    almost = _ALMOST.fullmatch(text)
    if almost is None:
        raise DailytalkError(f"the tag {text!r} is no version", f"write v and three numbers, such as {FIRST}")
    meant = SemanticVersion(*(int(number or 0) for number in almost.groups()))
    raise DailytalkError(f"the tag {text!r} is no version", f"name it {meant}")


def is_version_tag(text: str) -> bool:
    """Whether a tag is one of ours to read, such as `v1.2.3`."""
    return _TAG.fullmatch(text) is not None


def latest(tags: Iterable[str]) -> str | None:
    """The tag of the highest version, or None if no tag is a version; other tags are passed over."""
    return max(filter(is_version_tag, tags), key=parse_tag, default=None)


def next_tag(tags: Iterable[str], bump: str) -> str:
    """The tag for a change of a size of `BUMPS` to the highest version; `FIRST` where there is none yet."""
    newest = latest(tags)
    return str(FIRST if newest is None else parse_tag(newest).bumped(bump))


def largest(bumps: Iterable[str]) -> str:
    """The largest of several sizes of change; "" for none."""
    return min(bumps, key=BUMPS.index, default="")


def breaking(before: Features, after: Features) -> list[str]:
    """One sentence for each column or field that a reader of `before` would miss, or find of another type.

    Fields of structs and lists are named by dots (`utterances.text`). New columns and another order break nobody;
    another sampling rate or number of channels of audio does, for its length in samples is another.
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
    """Fields of either, by name. What one lacks, or has of another type, is told whole, without its own fields."""
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        yield f"{prefix}{name}", old, new
        if old is not None and new is not None and _type(old) == _type(new):
            inner_old, inner_new = _fields(old), _fields(new)
            if inner_old is not None and inner_new is not None:
                yield from _paired(inner_old, inner_new, f"{prefix}{name}.")


def _fields(feature: Any) -> dict[str, Any] | None:
    """Fields of a struct, or of the structs in a list of any depth; None for anything else."""
    while _is_list(feature):
        feature = feature.feature
    return feature if isinstance(feature, dict) else None


def _type(feature: Any) -> str:
    """A type in words. Structs are all one type: their fields are compared one by one."""
    if _is_list(feature):
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


def _is_list(feature: Any) -> bool:
    return isinstance(feature, (List, LargeList))
