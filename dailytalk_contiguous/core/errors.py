"""The few errors that a user is meant to read.

Each of them has a reason (the problem, with the value) and a remedy (the way out), as two short pieces of text, so
that a reject line, a terminal and a JSON consumer can each lay them out in their own way. Anything else that is
raised is a bug and keeps its traceback.

Both pieces name options as the command line does: `--max-cost` is `max_cost=` in Python.
"""

from dataclasses import asdict, dataclass

#: What libraries say without memory: the dynamic linker, torch, and an import in Python that fails without a word.
_NO_MEMORY = (
    "failed to map segment",
    "annot allocate memory",
    "can't start new thread",
    "can't allocate memory",
    "NULL without setting an exc",
    "ailed to allocate memory",
)

#: Characters of a reason. Libraries repeat the text that they can't read, which may be megabytes of a file.
MOST_REASON = 10_000


def lacks_memory(error: BaseException) -> bool:
    """Return whether this process, not a GPU, ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    message = str(error)
    return any(words in message for words in _NO_MEMORY)


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

    `row` is its position in the batch where it occurred, so that just that row can be taken out. A `reason` of
    more than `MOST_REASON` characters is cut.
    """

    def __init__(self, reason: str, remedy: str, row: int | None = None) -> None:
        if len(reason) > MOST_REASON:
            reason = f"{reason[:MOST_REASON]}…"
        super().__init__(reason, remedy)
        self.row = row


class TooLarge(BadInput):
    """A file of others that needs more memory than this process may have (`machine.resources.limit_memory`)."""

    @classmethod
    def for_input(cls, name: str) -> "TooLarge":
        remedy = "use fewer --workers, close other programs, or leave it out"
        return cls(f"{name} needs more memory than there is", remedy)


class BadValue(DailytalkError):
    """A value that an option or a setting can't have, whatever the input is: wrong usage."""


class HubUnreachable(DailytalkError):
    """The connection to the Hub failed."""


class ModelMissing(DailytalkError):
    """A model that the settings name can't be found, reached, or is not what it should be."""


class ModelUnreachable(ModelMissing):
    """A model that would have to be downloaded from the Hub, which can't be reached.

    `in_profile` says whether a profile (`models.profiles`) decides which model it is, so that another profile may
    need none.
    """

    def __init__(self, reason: str, remedy: str, in_profile: bool = False) -> None:
        super().__init__(reason, remedy)
        self.in_profile = in_profile


@dataclass(frozen=True)
class Reject:
    """A rejected row: `id` of the recording, conversation or utterance, the `stage`, the reason and the remedy."""

    id: str
    stage: str
    reason: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
