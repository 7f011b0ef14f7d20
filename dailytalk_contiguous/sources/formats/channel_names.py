"""Channels and people by name: what the name of a file, a tier or a speaker means.

A wrong guess here swaps the speakers of a whole conversation. Names that explain themselves decide; the side of
any other is found in the sound (`stages.match_transcript`).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dailytalk_contiguous.core.records.schema import CHANNELS, OPEN
from dailytalk_contiguous.sources.formats.private_names import is_private, shown_name
from dailytalk_contiguous.sources.formats.text_files import broken

_LEFT, _RIGHT = CHANNELS
_SIDES = {"left": _LEFT, "l": _LEFT, "a": _LEFT, "main": _LEFT}
_SIDES |= {"right": _RIGHT, "r": _RIGHT, "b": _RIGHT, "other": _RIGHT}

#: Names of parts that people play, the same in every recording: no person is called so. Those by which files are
#: called (`sources.recordings.pairs.ROLES`) are among them.
ROLES = frozenset(
    """
    adviser advisor agent assistant bot callee caller candidate client clinician consultant
    counsellor counselor csr customer doctor employee examinee examiner guest host instructor
    interviewee interviewer learner me moderator nurse operator patient physician prospect pupil
    receiver rep representative respondent robot seller speaker staff student support system teacher them
    therapist transfer_target tutor unknown user visitor you
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


def is_side_name(name: str) -> bool:
    """Whether a name alone says which of two sides is meant: left, R, A, ch0, Speaker 2, SPEAKER_01, main."""
    return _key(name) in _SIDES or _number(name) is not None


def speaker_label(name: str | None) -> str | None:
    """Return the name that a file has for a speaker; None for a text that means no name: NaN, Unknown Speaker.

    whisper.cpp writes `speaker ?` where both sides are equally loud.
    """
    text = (name or "").casefold()
    if text.endswith("?") and text.rstrip("? ") in ("speaker", ""):
        return None
    words = re.findall(r"[^\W_]+", text)
    is_unknown = any(word in NO_NAMES for word in words) and all(word in _NOBODY for word in words)
    if is_unknown or text.strip() in NO_NAMES:
        return None
    return name


def with_colons(subtitles: str) -> str:
    """Subtitles with a colon behind every name, as Zoom writes them after `Anna Lee (she/her)`.

    Google Meet has names on lines of their own, `(Anna Lee)`; they are such where half of the subtitles have one.
    """
    subtitles = _DASH.sub("", subtitles)
    subtitles = _ZOOM_NAME.sub(r"\1:", subtitles)
    is_meet = 2 * len(_MEET_NAME.findall(subtitles)) >= subtitles.count("-->")
    return _MEET_NAME.sub(r"\1:\n", subtitles) if is_meet else subtitles


def person(name: str | None) -> str | None:
    """Return the name of a person, or None for what names a side, a number, a role or nobody in every recording.

    A telephone number or an address is that of a person, too.

    >>> [person(name) for name in ("Anna", "Guest-1", "SPEAKER_07", "P2", "Speaker C", "Unidentified", "nan")]
    ['Anna', None, None, None, None, None, None]
    """
    name = " ".join((speaker_label(name) or "").split())
    if is_private(name):
        return name
    words = re.findall(r"[^\W\d_]+", name.casefold())
    if words and words[-1].isascii() and len(words[-1]) == 1:  # diarisers go on after B
        words.pop()
    is_nobody = is_side_name(name) or name.endswith(_OF_CHANNELS) or all(word in _NOBODY for word in words)
    return None if is_nobody else name


def sides_of(names: Sequence[str], path: Path) -> dict[str, str]:
    """Channel of every speaker of one recording, by name.

    left, l, a, main and right, r, b, other mean what they say, and so do numbers of channels (1, ch0). They count
    from 0 where one of them is 0, or none is 2 and one is like those that count from 0 (ch1), otherwise from 1.
    One other name takes the side that is left; that of any further name is `core.records.schema.OPEN` and the
    name. Two names of one side raise BadInput, and so does a third name beside those of both sides.
    """
    indices = _channel_indices(names)
    sides: dict[str, str] = {}
    for name in names:
        side = _SIDES.get(_key(name))
        if side:
            sides[name] = side
        elif indices.get(name) in (0, 1):
            sides[name] = CHANNELS[indices[name]]
    unique_names = list(dict.fromkeys(names))
    others = [name for name in unique_names if name not in sides]
    free = [channel for channel in CHANNELS if channel not in sides.values()]
    is_shared = len(set(sides.values())) < len(sides)
    if is_shared or (others and not free):
        listed = ", ".join(map(shown_name, unique_names[:6]))
        raise broken(
            path,
            f"has more than two speakers, or two of one side: {listed}",
            "name two at most, A or left for the left channel and B or right for the right one",
        )
    if len(free) == len(others) == 1:
        sides[others[0]] = free[0]
        return sides
    for name in others:
        sides[name] = OPEN + name
    return sides


def _channel_indices(names: Sequence[str]) -> dict[str, int]:
    """Return the numbers of channels in names, counted from 0.

    Numbers of speakers (spk1) are no numbers of channels.
    """
    numbers: dict[str, int] = {}
    looks_from_zero = False
    for name in names:
        number = _number(name)
        if number is None:
            continue
        kind, digits = number
        if not kind.startswith("s"):
            numbers[name] = int(digits)
            looks_from_zero = looks_from_zero or kind.startswith("ch") or digits[0] == "0"
    values = set(numbers.values())
    is_from_zero = 0 in values or (2 not in values and looks_from_zero)
    first = 0 if is_from_zero else 1
    return {name: number - first for name, number in numbers.items()}


#: `channel ` before a letter, and `speaker ` before a word.
_NOUN = re.compile(r"^(?:(?:ch|chan|channel)[ _-]+(?=[a-z])|(?:spk|speaker)[ _-]+(?=[a-z]{2}))")


def _key(name: str) -> str:
    """Return a name without its noun. `channel A` is on the left; a diariser's `speaker A` stays, on no side."""
    return _NOUN.sub("", name.strip().casefold())


_KIND_OF_NUMBER = re.compile(r"(ch|chan|channel|s|spk|speaker|)[ _-]*(\d{1,2})")


def _number(name: str) -> tuple[str, str] | None:
    """Split a name such as "ch0", "Speaker 1", "2" into what is counted and its number."""
    match = _KIND_OF_NUMBER.fullmatch(name.strip().casefold())
    if match is None or int(match[2]) > 2:
        return None
    return match[1], match[2]
