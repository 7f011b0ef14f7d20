"""What the checker says: a finding, and the words for many of one kind.

A file with a thousand bad words has one finding of that kind, with the number and the first of them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["error", "advice"]


@dataclass(frozen=True)
class Finding:
    """Something about a file.

    Attributes:
        level: `error` where a trainer would fail or silently learn garbage, `advice` otherwise.
        file: path relative to what was checked; `.` for all of it.
        what: what is wrong, with figures.
        remedy: what to do about it.
        kind: short name of the kind of finding, for programs.
    """

    level: Level
    file: str
    what: str
    remedy: str
    kind: str

    def as_dict(self) -> dict[str, str]:
        """The finding as JSON."""
        return asdict(self)


def error(kind: str, file: str, what: str, remedy: str) -> Finding:
    """A finding for which the exit code is 1."""
    return Finding("error", file, what, remedy, kind)


def advice(kind: str, file: str, what: str, remedy: str) -> Finding:
    """A finding that the user may well decide against."""
    return Finding("advice", file, what, remedy, kind)


def several(examples: Sequence[str], what: str, total: int) -> str:
    """`3 of 120 words overlap: "yes" at 1.20 s, "no" at 2.00 s, …`"""
    shown = ", ".join(examples[:2]) + (", …" if len(examples) > 2 else "")
    return f"{len(examples)} of {total} {what}: {shown}"
