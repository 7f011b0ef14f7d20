"""The few errors that a user is meant to read.

Every one carries a reason (what is wrong, with the value) and a remedy (what to do), as two short pieces of
text, so that a reject line, a terminal and a JSON consumer can each lay them out in their own way. Anything
else that is raised is a bug and keeps its traceback.
"""

from dataclasses import dataclass


class DailytalkError(Exception):
    """A problem that the user can fix. Stops the run unless it is a `BadInput`.

    `reason` says what is wrong, `remedy` what to do about it; neither ends in a full stop.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}"


class BadInput(DailytalkError):
    """One recording, conversation or utterance that can't be used; it is rejected and the rest goes on.

    `row` is its place in the batch in which it was met, so that just that row can be taken out.
    """

    def __init__(self, reason: str, remedy: str, row: int | None = None) -> None:
        super().__init__(reason, remedy)
        self.row = row

    def at(self, row: int) -> "BadInput":
        return BadInput(self.reason, self.remedy, row)


class ModelMissing(DailytalkError):
    """A model that the settings name can't be found, reached, or is not what it should be."""


@dataclass(frozen=True)
class Reject:
    """What was rejected: `id` of the recording, conversation or utterance, the `stage` that met it, and why."""

    id: str
    stage: str
    reason: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        return {"id": self.id, "stage": self.stage, "reason": self.reason, "remedy": self.remedy}
