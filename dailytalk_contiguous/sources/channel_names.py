"""Channels by name: which channel of a recording the name of a file, a tier or a speaker means.

A wrong guess here swaps the speakers of a whole conversation, so names that explain themselves decide, others only
take the sides that are left, and anything else is rejected.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.sources.transcript_text import broken

_LEFT, _RIGHT = CHANNELS
_SIDES = {"left": _LEFT, "l": _LEFT, "a": _LEFT, "main": _LEFT}
_SIDES |= {"right": _RIGHT, "r": _RIGHT, "b": _RIGHT, "other": _RIGHT}

#: Names of parts that people play, the same in every recording: no person is called so.
ROLES = frozenset(
    """
    agent advisor assistant bot callee caller client customer doctor guest host interviewee interviewer me
    moderator operator patient speaker student system teacher them unknown user you
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

_KIND_OF_NUMBER = re.compile(r"(ch|chan|channel|s|spk|speaker|)[ _-]*(\d{1,2})")

_ANY_NUMBER = re.compile(r"(?:ch|chan|channel|s|spk|speaker|spkr|person)[ _-]*\d+")


def explains_itself(name: str) -> bool:
    """Whether a name alone says which of two sides is meant: left, R, A, ch0, Speaker 2, SPEAKER_01, main."""
    return _key(name) in _SIDES or _number(name) is not None


def person(name: str | None) -> str | None:
    """The name of a person, or None for what names a side, a number or a role in every recording."""
    name = " ".join((name or "").split())
    is_nobody = not re.search(r"[^\W\d_]", name) or explains_itself(name) or name.casefold() in ROLES
    # Recognisers count on past two: SPEAKER_07, spk3.
    return None if is_nobody or _ANY_NUMBER.fullmatch(name.casefold()) else name


def sides_of(names: Sequence[str], path: Path) -> dict[str, str]:
    """Channel of every speaker of one recording, by name.

    left, l, a, main and right, r, b, other mean what they say. Numbers count from 0 where one of them is 0, or
    none is 2 and one is like those that count from 0: ch1, and SPEAKER_01 as pyannote writes it. Otherwise from 1.
    Other names take the sides that are left, in the order in which they come. More than two raise BadInput.
    """
    numbers = {name: number for name in names if (number := _number(name)) is not None}
    values = {int(digits) for _, digits in numbers.values()}
    from_zero = 0 in values or (
        2 not in values and any(kind.startswith("ch") or digits[0] == "0" for kind, digits in numbers.values())
    )
    sides: dict[str, str] = {}
    for name in names:
        if _key(name) in _SIDES:
            sides[name] = _SIDES[_key(name)]
        elif name in numbers and (index := int(numbers[name][1]) - (not from_zero)) in (0, 1):
            sides[name] = CHANNELS[index]
    free = [channel for channel in CHANNELS if channel not in sides.values()]
    unplaced = [name for name in dict.fromkeys(names) if name not in sides]
    if len(unplaced) > len(free):
        raise broken(
            path,
            f"has more than two speakers or sides: {', '.join(map(quoted, [*dict.fromkeys(names)][:6]))}",
            "name two at most, A or left for the left channel and B or right for the right one",
        )
    sides |= dict(zip(unplaced, free, strict=False))
    if len(set(sides.values())) < len(sides):
        raise broken(path, f"names the same side twice: {', '.join([*sides][:6])}", "give each speaker one name")
    return sides


def _key(name: str) -> str:
    return re.sub(r"^(?:ch|chan|channel|spk|speaker)[ _-]+(?=[a-z])", "", name.strip().casefold())


def _number(name: str) -> tuple[str, str] | None:
    """Split a name such as "ch0", "Speaker 1", "2" into what is counted and its number."""
    match = _KIND_OF_NUMBER.fullmatch(name.strip().casefold())
    return (match[1], match[2]) if match and int(match[2]) <= 2 else None
