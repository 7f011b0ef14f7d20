"""Names in place of those that may not be written: a number or an address becomes `caller-1`, `caller-2` ….

Meeting programs and telephone services write the number or the e-mail address of whoever has no name. Such a name
tells the speakers of a recording apart, and one caller in several recordings is one person, but it stays out of
every row, error and log.
"""

import hashlib
import json
from collections.abc import Iterable

from msgspec.structs import replace

from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.records.rows import cues_of_row, rows_of_cues
from dailytalk_contiguous.core.records.schema import OPEN, Row
from dailytalk_contiguous.sources.channel_names import person
from dailytalk_contiguous.sources.private_names import is_private, private_part


def without_private_names(cues: Iterable[Cue]) -> list[Cue]:
    """Return the cues with a placeholder for every name that may not be written; for a digest."""
    masked: list[Cue] = []
    for cue in cues:
        channel = OPEN if is_private(_name_of(cue.channel)) else cue.channel
        speaker = None if is_private(_name_of(cue.speaker)) else cue.speaker
        masked.append(replace(cue, channel=channel, speaker=speaker))
    return masked


class CallerNames:
    """Gives `caller-1`, `caller-2` … to names that may not be written, in the order in which they come.

    The same number has the same name in all recordings of a run.

    Args:
        of_everybody: whether names of people are replaced, too.
        count: how many names were given before.
    """

    def __init__(self, of_everybody: bool = False, count: int = 0) -> None:
        self._of_everybody = of_everybody
        self._names: dict[str, str] = {}
        self.count = count

    def replaced(self, row: Row) -> Row:
        """Return a row of a source with the names in its `given` cues replaced, and a digest that says which."""
        cues = cues_of_row(row)
        renamed: list[Cue] = []
        for cue in cues:
            channel = cue.channel
            if channel.startswith(OPEN):
                channel = OPEN + self._name(_name_of(channel))
            speaker = self._name(cue.speaker) if cue.speaker else cue.speaker
            renamed.append(replace(cue, channel=channel, speaker=speaker))
        if renamed == cues:
            return row
        names = [[cue.channel, cue.speaker] for cue in renamed]
        facts = json.dumps([row["input_digest"], names])
        digest = hashlib.sha256(facts.encode()).hexdigest()[:20]
        return row | {"cues": rows_of_cues(renamed), "input_digest": digest}

    def _name(self, name: str) -> str:
        key = private_part(name)
        if key is None and self._of_everybody and person(name) is not None:
            key = " ".join(name.casefold().split())
        if key is None:
            return name
        if key not in self._names:
            self.count += 1
            self._names[key] = f"caller-{self.count}"
        return self._names[key]


def _name_of(label: str | None) -> str:
    """Return the name of a speaker or of a channel whose side is open."""
    return (label or "").removeprefix(OPEN)
