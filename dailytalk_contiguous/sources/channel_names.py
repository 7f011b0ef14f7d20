"""Channels and people by name: what the name of a file, a tier or a speaker means.

A wrong guess here swaps the speakers of a whole conversation. Names that explain themselves decide; the side of
any other is found in the sound (`stages.match_transcript`).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.schema import CHANNELS, OPEN
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

#: What programs write where they know no name, and for whoever speaks.
NO_NAMES = frozenset(["", "nan", "na", "n/a", "none", "null", "unknown", "unidentified", "undefined", "anonymous"])

# Words of names that are numbered or stand alone in every recording: Guest-1, Participant 1, Unidentified Speaker.
_NOBODY = ROLES | NO_NAMES | {"ch", "chan", "channel", "s", "spk", "spkr", "p", "participant", "person", "voice"}

_ZOOM_NAME = re.compile(r"^([^\W_][^:()\n]{0,40}) \([^()\n]{1,40}\):(?=\s)", re.MULTILINE)
_DASH = re.compile(r"^-\n(?: \n)?", re.MULTILINE)  # between two who speak in one subtitle
_MEET_NAME = re.compile(r"^\(([^\W_][^:()\n]{0,40})\)\n(?=.*\S)", re.MULTILINE)

# What we call a channel whose speaker has no name, `call/left`.
_OF_CHANNELS = tuple(f"/{channel}" for channel in CHANNELS)

_KIND_OF_NUMBER = re.compile(r"(ch|chan|channel|s|spk|speaker|)[ _-]*(\d{1,2})")


def explains_itself(name: str) -> bool:
    """Whether a name alone says which of two sides is meant: left, R, A, ch0, Speaker 2, SPEAKER_01, main."""
    return _key(name) in _SIDES or _number(name) is not None


def speaker_label(name: str | None) -> str | None:
    """The name that a file has for a speaker; None where it says that it knows none: NaN, Unknown Speaker."""
    words = re.findall(r"[^\W_]+", (name or "").casefold())
    is_unknown = any(word in NO_NAMES for word in words) and all(word in _NOBODY for word in words)
    return None if is_unknown or (name or "").strip().casefold() in NO_NAMES else name


def with_colons(subtitles: str) -> str:
    """Subtitles with a colon behind every name, as Zoom writes them after `Anna Lee (she/her)`.

    Google Meet has names on lines of their own, `(Anna Lee)`; they are such where half of the subtitles have one.
    """
    subtitles = _ZOOM_NAME.sub(r"\1:", _DASH.sub("", subtitles))
    is_meet = 2 * len(_MEET_NAME.findall(subtitles)) >= subtitles.count("-->")
    return _MEET_NAME.sub(r"\1:\n", subtitles) if is_meet else subtitles


def person(name: str | None) -> str | None:
    """The name of a person, or None for what names a side, a number, a role or nobody in every recording.

    >>> [person(name) for name in ("Anna", "Guest-1", "SPEAKER_07", "P2", "Speaker C", "Unidentified", "nan")]
    ['Anna', None, None, None, None, None, None]
    """
    name = " ".join((speaker_label(name) or "").split())
    words = re.findall(r"[^\W\d_]+", name.casefold())
    if words and words[-1].isascii() and len(words[-1]) == 1:  # diarisers go on after B
        words.pop()
    is_nobody = explains_itself(name) or name.endswith(_OF_CHANNELS) or all(word in _NOBODY for word in words)
    return None if is_nobody else name


def sides_of(names: Sequence[str], path: Path) -> dict[str, str]:
    """Channel of every speaker of one recording, by name.

    left, l, a, main and right, r, b, other mean what they say, and so do numbers of channels (1, ch0). They count
    from 0 where one of them is 0, or none is 2 and one is like those that count from 0 (ch1), otherwise from 1.
    One other name takes the side that is left; that of any further name is `core.schema.OPEN` and the name. Two
    names of one side raise BadInput, and so does a third name beside those of both sides.
    """
    numbers = {name: number for name in names if (number := _number(name)) and not number[0].startswith("s")}
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
    listed = ", ".join(map(quoted, [*dict.fromkeys(names)][:6]))
    others = [name for name in dict.fromkeys(names) if name not in sides]
    free = [channel for channel in CHANNELS if channel not in sides.values()]
    if len(set(sides.values())) < len(sides) or (others and not free):
        raise broken(
            path,
            f"has more than two speakers, or two of one side: {listed}",
            "name two at most, A or left for the left channel and B or right for the right one",
        )
    return sides | {name: free[0] if len(free) == len(others) == 1 else OPEN + name for name in others}


def _key(name: str) -> str:
    """A name without what it is a name of; speaker A of a diariser is on no side, and channel A on the left."""
    return re.sub(
        r"^(?:(?:ch|chan|channel)[ _-]+(?=[a-z])|(?:spk|speaker)[ _-]+(?=[a-z]{2}))", "", name.strip().casefold()
    )


def _number(name: str) -> tuple[str, str] | None:
    """Split a name such as "ch0", "Speaker 1", "2" into what is counted and its number."""
    match = _KIND_OF_NUMBER.fullmatch(name.strip().casefold())
    return (match[1], match[2]) if match and int(match[2]) <= 2 else None
