"""The outcome of a command: one value, printed for people or as JSON by `cli.terminal.show_outcome`.

The code that does the work returns it. Text is plain, without markup, and a table is its headings and its rows, so
that no room below the command line needs to know how a terminal shows them.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.wording import counted

#: Where to find all rejects of a command that writes no file of them.
WITH_JSON = "all with --json"


class Figures(NamedTuple):
    """A table. A heading with `>` before it is that of numbers; `gap` is the number of spaces between columns."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    gap: int = 2


class Judgement(NamedTuple):
    """A sentence that is shown in green if it is good, in red if not, in yellow with reservations (None)."""

    text: str
    is_good: bool | None


class Rejected(NamedTuple):
    """The rejects of a command.

    Attributes:
        share: `5`, or `5 of 20 conversations`.
        rejects: each with `id`, `reason` and `remedy`; read once, and only if they are shown.
        where: place of all of them: `in work/rejects.jsonl`.
    """

    share: str
    rejects: Iterable[Mapping[str, str]]
    where: str = WITH_JSON


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command.

    Attributes:
        record: value that `--json` prints; None where it is printed already.
        headline: result, and its place.
        code: exit code: 0 if everything is done, 3 if some of it was rejected, 1 if nothing was done.
        details: lines and tables shown before the headline.
        rejected: rejects, in as many parts as have a place or a stage of their own.
        next: command to run next, or another thing to do.
        error: obstacle to a run that was only planned; raised once the rest is printed.
        after: lines and tables shown after the headline.
    """

    record: object
    headline: str | Judgement
    code: int = 0
    details: Sequence[str | Judgement | Figures] = ()
    rejected: Sequence[Rejected] = ()
    next: str = ""
    error: DailytalkError | None = None
    after: Sequence[str | Judgement | Figures] = ()


def exit_code(done: int, rejected: int) -> int:
    """Return the exit code of a run with so many rows done and so many rejected.

    >>> exit_code(2, 0), exit_code(2, 1), exit_code(0, 1)
    (0, 3, 1)
    """
    if not done:
        return 1
    return 3 if rejected else 0


def rejected_of(rejects: Sequence[Reject], noun: str = "", where: str = WITH_JSON) -> tuple[Rejected, ...]:
    """Return rejects, which `noun` names, as a part of an outcome; none if there are none."""
    if not rejects:
        return ()
    share = counted(len(rejects), noun) if noun else f"{len(rejects):,}"
    lines = (reject.as_dict() for reject in rejects)
    return (Rejected(share, lines, where),)


def to_run(*words: str | Path) -> str:
    """Write the line of a command, for `next`.

    >>> to_run("speak", "my calls")
    "dailytalk speak 'my calls'"
    """
    return shlex.join(["dailytalk", *map(str, words)])
