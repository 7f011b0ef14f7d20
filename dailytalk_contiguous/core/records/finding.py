"""Findings: what is wrong or doubtful, a sentence about a file or a conversation, with its remedy."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from dailytalk_contiguous.core.errors import DailytalkError

Level = Literal["error", "advice"]


#: The weight of a finding for the verdict (see `publish.checks.verdict`).
Severity = Literal["bad", "doubtful", "note"]


class Finding(msgspec.Struct, frozen=True):
    """A problem of a file, of a conversation or of all of them, with its remedy.

    Attributes:
        level: `error` where a trainer would fail or silently learn garbage, `advice` otherwise.
        file: path in the checked folder, or the id of a conversation (the worst of several); `.` for all of it.
        problem: a sentence of one line, with figures; `what` in JSON.
        remedy: an imperative sentence that says how to fix it.
        kind: short name of the kind of finding, for programs.
        severity: its weight for the verdict; an error is always `bad`.
    """

    level: Level
    file: str
    problem: str = msgspec.field(name="what")
    remedy: str
    kind: str
    severity: Severity = "doubtful"

    @property
    def sentence(self) -> str:
        """The file and the problem; `.` is left out, and so is a conversation that the problem names already."""
        is_named = self.file == "." or f" in {self.file}" in self.problem
        return self.problem if is_named else f"{self.file}: {self.problem}"

    @property
    def shown_level(self) -> str:
        """`error`, or the severity of advice."""
        return "error" if self.level == "error" else self.severity

    def as_dict(self) -> dict[str, str]:
        """The finding as in JSON."""
        return dict(msgspec.to_builtins(self))


class NotChecked(DailytalkError):
    """An export that nobody checks, of the format `kind`: only the export writes it, and tests read that."""

    def __init__(self, kind: str) -> None:
        remedy = "check the folder that it was exported from"
        super().__init__(f"there is no check of this export ({kind})", remedy)
        self.kind = kind


def error(kind: str, file: str, problem: str, remedy: str) -> Finding:
    """Return a finding for which the exit code is 1."""
    return Finding("error", file, problem, remedy, kind, "bad")


def advice(kind: str, file: str, problem: str, remedy: str, severity: Severity = "doubtful") -> Finding:
    """Return a finding that the user may decide to ignore."""
    return Finding("advice", file, problem, remedy, kind, severity)


#: Limits by the names of their findings; None sets no limit (`publish.checks.verdict.LIMITS`).
FindingLimits = Mapping[str, float | None]


#: Findings, in the order of the files, and facts: names and counts.
Checked = tuple[list[Finding], dict[str, Any]]


def finding_on_examples(
    kind: str, file: str, examples: Sequence[str], clause: str, total: int, remedy: str, level: Level = "error"
) -> Finding | None:
    """Return a finding on examples: `3 of 120 words overlap: "yes" at 1.20 s, "no" at 2.00 s, …`; None if none."""
    if not examples:
        return None
    listed = ", ".join(map(str, examples[:2]))
    if len(examples) > 2:
        listed += ", …"
    problem = f"{len(examples)} of {total} {clause}: {listed}"
    # Advice: a problem of only a few words of one file says little of the data; of many words it is an error.
    if level == "error":
        return error(kind, file, problem, remedy)
    return advice(kind, file, problem, remedy, "note")
