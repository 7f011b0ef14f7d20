"""What a command prints: help, text on a terminal, JSON, rejects and errors."""

import errno
import json
import os
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich import console as rich_console
from rich.cells import cell_len
from rich.console import ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.interrupts import SENTENCE, STOPPED
from dailytalk_contiguous.core.steps import LOG_SECONDS, listening
from dailytalk_contiguous.core.wording import counted, kind_of, length_text


class HelpPanel(StrEnum):
    """The panels of the help, from top to bottom."""

    INPUT = "Input and output"
    MODELS = "Models"
    STYLE = "Style"
    VOICE = "Voice"
    QUALITY = "Quality"
    BALANCE = "Balance and copies"
    RESULT = "Result"
    SPLITS = "Splits"
    VERSION = "Version"
    CARD = "Card"
    RUN = "Run"
    HUB = "Datasets on the Hub"
    CLUSTER = "Clusters and stores"
    RARE = "Rarely needed"


def option(panel: HelpPanel, text: str, *names: str, metavar: str = "", **settings: Any) -> Any:
    """An option for typer. At 80 columns the text has 45 or so, as long as metavars are short.

    Args:
        panel: where it is shown.
        text: the help.
        names: `--json`; without any, the parameter's own name. A flag needs one, or typer adds a `--no-json`.
        metavar: what the help shows in place of a value; empty for a flag.
        settings: of `typer.Option`: `min`, `max`, `parser`, `show_default`.
    """
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=panel.value, **settings)


#: `--json`, which all commands have.
AsJsonOption = Annotated[bool, option(HelpPanel.RUN, "Print the outcome as JSON.", "--json")]


# The only way to the terminal: text from outside is shown there, and never obeyed.
#
# Names, transcripts, reasons and a server's messages may hold control characters, which a terminal takes for
# commands (its title, its colours, its clipboard), and marks that reverse the direction of writing, so that a line
# does not read as it is. Both are written out, `\x1b` and `\u202e`. In JSON they are escapes, so that a program
# reads the original text. On a terminal lines are broken between words, and never inside a path; a file or a pipe
# gets each of them whole, because logs are searched line by line.


#: C0 except tab and newline, DEL and C1; embeddings, overrides and isolates of direction; line and paragraph
#: separators; halves of surrogate pairs, which no terminal's encoding has.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

#: Columns of a line that does not go to a terminal, unless a width is set.
_WIDE = 10_000

#: Styles of the labels that begin a line, where there are colours.
_COLOURS = {"error": "bold red", "bad": "bold red", "advice": "yellow", "rejected": "yellow", "note": "cyan"}


def visible(text: str) -> str:
    """A text with its control characters written out."""
    return _UNPRINTABLE.sub(_escape, text)


def command_line() -> str:
    """The command line of this process, for the record of a run."""
    return as_text(shlex.join(["dailytalk", *sys.argv[1:]]))


def say(text: str, stderr: bool = False, end: str = "\n") -> None:
    """Print a text without markup."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        Console(stderr=stderr).print(text, markup=False, end=end)
    else:
        print(visible(text), end=end, file=stream)


def print_json(value: Any, one_line: bool = False) -> None:
    """Print a value as JSON, at once, by default a line for each field; control characters are escaped."""
    text = json.dumps(value, indent=None if one_line else 1, ensure_ascii=False)
    print(_UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text), flush=True)


def plain_table(*headings: str, padding: tuple[int, int, int, int] = (0, 1, 0, 1)) -> Table:
    """A table without lines; a heading with `>` before it is of numbers."""
    table = Table(box=None, pad_edge=False, padding=padding)
    for heading in headings:
        table.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left")
    return table


class Console(rich_console.Console):
    """rich's console; all text is made `visible`, in lines, tables and progress bars."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"highlight": False, "emoji": False} | options))
        if "width" not in options and not self.is_terminal:
            self.width = _WIDE

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does; a single text is broken between words on a terminal, and elsewhere not at all.

        A table that is wider than the terminal is printed a row at a time, a line for each of its cells.
        """
        alone = objects[0] if len(objects) == 1 else None
        if isinstance(alone, Table) and self.is_terminal:
            wide = self.options.update(max_width=_WIDE)
            if Measurement.get(self, wide, alone).maximum > self.width:
                self._print_stacked(alone)
                return
        if isinstance(alone, str | Text):
            text = alone
            if isinstance(text, str):
                markup = options.pop("markup", self._markup)
                text = Text.from_markup(text, emoji=False) if markup else Text(text)
            objects = (_broken(text, self.width) if self.is_terminal else text,)
            options = {"soft_wrap": True} | options
        super().print(*objects, **options)

    def _print_stacked(self, table: Table) -> None:
        heads = [column.header for column in table.columns]
        for row in zip(*(column.cells for column in table.columns), strict=True):
            for number, (head, cell) in enumerate(zip(heads, row, strict=True)):
                if cell not in ("", None):
                    self.print(f"  {head}: {cell}" if number and head else f"{'  ' if number else ''}{cell}")

    def labelled(self, label: str, text: str) -> None:
        """Print `label: text`, the label (`error`, `advice`, `rejected`, `note`) in its colour."""
        self.print(Text.assemble((label, _COLOURS.get(label.strip(), "")), ": ", text))

    def verdict(self, good: bool | None, text: str) -> None:
        """Print a verdict in its colour: `good` is green, not good red, None (with reservations) yellow."""
        self.print(Text(text, {True: "bold green", False: "bold red", None: "bold yellow"}[good]))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def _broken(text: Text, width: int) -> Text:
    """A text with line breaks where a word would pass the width; a word that is longer than a line stays whole.

    The rest of an indented line is indented further.
    """
    lines = Text()
    for line in text.split("\n", allow_blank=True):
        breaks: list[int] = []
        start = 0
        moved_in = len(line.plain) - len(line.plain.lstrip(" "))
        hanging = " " * (moved_in + 2 if moved_in else 0)
        for word in re.finditer(r"\S+", line.plain):
            room = width - (len(hanging) if breaks else 0)
            if cell_len(line.plain[start : word.end()]) > room and line.plain[start : word.start()].strip():
                start = word.start()
                breaks.append(start)
        for number, part in enumerate(line.divide(breaks)):
            part.rstrip()
            lines = lines + (hanging if number else "") + part + "\n"
    return lines[:-1]


def _escape(character: re.Match[str]) -> str:
    code = ord(character[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


#: How many of a kind are shown; all of them are in a file or in --json.
SHOWN = 5

#: Whether a run is good, and what to say of it, by its exit code.
_VERDICTS: dict[int, tuple[bool | None, str]] = {
    0: (True, "done"),
    1: (False, "nothing was done"),
    3: (None, "done, except for what was rejected"),
}

#: Ids of one kind that are named.
NAMED = 3


def show_rejected(
    console: Console, rejects: Sequence[Reject], where: str = "all with --json", of: str = ""
) -> None:
    """Print how many were rejected, if any, as `show_rejects` does; `of`: what they are."""
    if rejects:
        share = counted(len(rejects), of) if of else f"{len(rejects):,}"
        show_rejects(console, share, where, (reject.as_dict() for reject in rejects))


def show_rejects(console: Console, share: str, where: str, rejects: Iterable[Mapping[str, str]]) -> None:
    """Print how much was rejected, then a line for each kind of reason, the commonest first.

    A line has the first ids of its kind, and the reason and remedy of the first of them.

    Args:
        share: `5`, or `5 of 20 conversations`.
        where: where all of them are: `in work/rejects.jsonl`, `all with --json`.
        rejects: with `id`, `reason` and `remedy`.
    """
    console.labelled("rejected", f"{share}, {where}")
    counts: Counter[str] = Counter()
    first: dict[str, list[Mapping[str, str]]] = {}  # a few of each kind, however many there are
    for reject in rejects:
        kind = kind_of(reject["reason"])
        counts[kind] += 1
        if counts[kind] <= NAMED:
            first.setdefault(kind, []).append(reject)
    for kind, count in counts.most_common(SHOWN):
        names = ", ".join(json.dumps(reject["id"], ensure_ascii=False) for reject in first[kind])
        more = f" and {count - NAMED:,} more" if count > NAMED else ""
        console.labelled("  rejected", f"{names}{more}: {first[kind][0]['reason']}; {first[kind][0]['remedy']}")
    if others := counts.total() - sum(count for _, count in counts.most_common(SHOWN)):
        console.print(f"  … {others:,} for other reasons")


@contextmanager
def shown_steps(quiet: bool) -> Iterator[None]:
    """Show the steps of this block (`core.steps`): as a bar on a terminal, else or if `quiet` a line a minute."""
    from rich.progress import Progress  # no other command should load it

    console = Console(stderr=True)
    shown = console.is_terminal and not quiet
    said = time.monotonic()
    with Progress(console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=None)

        def show(what: str, done: int, of: int | None) -> None:
            nonlocal said
            progress.update(task, description=what, completed=done, total=of)
            if not shown and time.monotonic() - said >= LOG_SECONDS:
                said = time.monotonic()
                say(f"{what}: {done:,}" + (f" of {of:,}" if of else ""), stderr=True)

        with listening(show):
            yield


def exit_code(done: int, rejected: int) -> int:
    """The exit code of a run that has done so much, and rejected so much."""
    return 1 if not done else 3 if rejected else 0


def show_verdict(console: Console, code: int) -> None:
    """Print on a terminal what the exit code of a run means."""
    if console.is_terminal:
        console.verdict(*_VERDICTS[code])


def show_judgement(console: Console, level: str, headline: str) -> None:
    """Print the verdict on data: green if it is good, red if it is bad, else yellow."""
    console.verdict({"good": True, "bad": False}.get(level), headline)


def share_text(record: Mapping[str, Any]) -> str:
    """How much a run rejected: `3 (1 recording; 1 of 2 conversations, 119.8 of 202.7 s)`.

    Recordings that can't be used are no conversations of the run: their length is not known. `record` is its
    run.json.
    """
    count, rejected = record["counts"]["rejects"], record.get("rejected") or {}
    parts = []
    if recordings := record["counts"].get("recordings_rejected"):
        parts.append(counted(recordings, "recording"))
    if rejected.get("conversations"):
        seconds, whole = rejected["seconds"], rejected["of_seconds"]
        lengths = (
            f"{seconds:.1f} of {whole:.1f} s" if whole < 600 else f"{length_text(seconds)} of {length_text(whole)}"
        )
        parts.append(
            f"{rejected['conversations']:,} of {counted(rejected['of_conversations'], 'conversation')}, {lengths}"
        )
    return f"{count:,} ({'; '.join(parts)})" if parts else f"{count:,}"


# What every command does with an error: one sentence for what a user can mend, a traceback for a bug.
#
# Exit codes: 0 all done; 3 done, but something was rejected; 1 nothing done; 2 wrong usage; 130 stopped by
# Ctrl-C.


#: What the disk says, and what to do about it.
_DISK: dict[int | None, str] = {
    errno.ENOSPC: "free some space and run the same command again: what is finished is kept",
    errno.EDQUOT: "free some space and run the same command again: what is finished is kept",
    errno.EFBIG: "raise the limit on the size of files and run the same command again: what is finished is kept",
    errno.EIO: "check the disk and run the same command again: what is finished is kept",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "choose a place that you may write to",
    errno.EPERM: "choose a place that you may write to",
    errno.ENAMETOOLONG: "shorten that name, or choose a place with a shorter path",
    errno.ELOOP: "take out the symbolic link that leads back to itself",
    errno.E2BIG: "shorten the text of the longest utterance",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run the same command again",
    errno.ENFILE: "close other programs and run the same command again",
    errno.ENOMEM: "free some memory, or use fewer --workers, and run the same command again",
    errno.ENOENT: "check the path; if another program removed it, run the same command again",
    errno.ENOTDIR: "choose another path: a file is where a folder should be",
    errno.EISDIR: "choose another path: a folder is where a file should be",
    errno.EEXIST: "choose another path: it is taken",
}

#: What to do about any other error of a system call (ESTALE of a network disk, ENXIO of a socket, …).
_ANYTHING = "check the disk and the path, and run the same command again: what is finished is kept"


def guarded(program: str, command: Callable[[], int]) -> int:
    """Run a command; gives its exit code. Errors that a user can mend go to stderr, as a sentence of `program`."""

    def failed(sentence: str, code: int = 1) -> int:
        say(f"{program}: {sentence}.", stderr=True)
        return code

    try:
        with interrupts.watched(program):
            code = command()
            sys.stdout.flush()  # here, where a reader that has gone can still be handled
        return code
    except typer.Exit as leave:
        return leave.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return failed(SENTENCE, STOPPED)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; nothing more can be printed, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except DailytalkError as error:
        return failed(f"{error.reason}: {error.remedy}")
    except OSError as error:
        if error.errno is None:  # raised by Python code, not by the system
            raise
        where = f" ({as_text(error.filename)})" if error.filename else ""
        return failed(
            f"{(error.strerror or 'the disk failed').lower()}{where}: {_DISK.get(error.errno, _ANYTHING)}"
        )
