"""The user's table of who speaks on which channel of which recording: names for splits, gender, language.

A channel without a name counts as a separate person, so the same speaker may train and evaluate. An invalid table
stops the run, as that of a corpus does: it is one file, and the user can fix it. Names go into the
transcript's lines and not into what models have computed, so another table makes no stage run again.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.documents import composed, csv_lines, printable_path, quoted, utf8_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.machine.read_documents import read_bytes

#: Columns that a table must have.
NEEDED = ("recording", "channel", "speaker")

#: Columns that a table may have.
KNOWN = ("gender", "language")

_SIDES = dict.fromkeys(("left", "l", "a", "1"), "left")
_SIDES |= dict.fromkeys(("right", "r", "b", "2"), "right")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_REMEDY = "correct the table"


class Person(NamedTuple):
    """A speaker's name; gender (any word) and language (an ISO 639 code), empty where the table has none."""

    speaker: str
    gender: str = ""
    language: str = ""


#: People by recording (what the table calls it) and channel.
People = Mapping[tuple[str, str], Person]


def read_people(path: Path) -> dict[tuple[str, str], Person]:
    """Read the people of a CSV table: recording, channel, speaker, and gender and language if it has them.

    Channels are left, l, a, 1 and right, r, b, 2. Raises DailytalkError, naming the line, for a table that is no
    CSV or no UTF-8, and for a line without a name or with another person than an earlier line.
    """
    text = utf8_text(read_bytes(path, _REMEDY), printable_path(path))
    people: dict[tuple[str, str], Person] = {}
    for number, line in enumerate(csv_lines(text, printable_path(path), NEEDED, _REMEDY), 2):
        try:
            recording, channel, person = _entry(line)
            if people.setdefault((recording, channel), person) != person:
                raise ValueError(
                    f"the {channel} channel of {quoted(recording)} has another speaker in a line before"
                )
        except ValueError as error:
            raise DailytalkError(f"line {number} of {printable_path(path)!r}: {error}", _REMEDY) from None
    return people


def people_of(
    people: People, recordings: Iterable[tuple[str, str]]
) -> tuple[dict[tuple[str, str], Person], list[str]]:
    """People by the id of their recording and channel, and the names in the table that are no recording here.

    `recordings` are ids and paths (`audio_file`); a table may name either. Raises DailytalkError if it names none.
    """
    ids: dict[str, str] = {}
    for identity, audio_file in recordings:
        ids[composed(audio_file)] = identity
        ids[composed(identity)] = identity
    named: dict[tuple[str, str], Person] = {}
    unmatched: dict[str, None] = {}  # keeps the order, and each once
    for (name, channel), person in people.items():
        if name in ids:
            named[ids[name], channel] = person
        else:
            unmatched[name] = None
    unmatched_names = list(unmatched)
    if people and not named:
        first = ", ".join(map(quoted, unmatched_names[:3]))
        raise DailytalkError(
            f"the table of speakers names no recording of this input, but {first}",
            "name each by its path under INPUT, with or without its ending",
        )
    return named, unmatched_names


def _entry(line: Mapping[str, str | None]) -> tuple[str, str, Person]:
    """Return the recording, the channel and the person of a line. Raises ValueError."""
    values = {name: (line.get(name) or "").strip() for name in (*NEEDED, *KNOWN)}
    language = values["language"]
    is_right = {
        "recording": bool(values["recording"]),
        "channel": values["channel"].lower() in _SIDES,
        "speaker": values["speaker"].lower() not in ("", *CHANNELS),
        "language": not language or _LANGUAGE.fullmatch(language) is not None,
    }
    for name, right in is_right.items():
        if not right:
            raise ValueError(f"its {name} is {quoted(values[name])}, which can't be one")
    recording = composed(values["recording"]).replace("\\", "/").removeprefix("./")
    channel = _SIDES[values["channel"].lower()]
    return recording, channel, Person(values["speaker"], values["gender"], language)
