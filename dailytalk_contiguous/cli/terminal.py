"""The output of a command: help, its outcome for people or as JSON, errors, and its exit code.

Lines while a command works go to stderr, its outcome to stdout. This is the only way to the terminal: text from
outside is shown there, and never obeyed. Names, transcripts, reasons and a server's messages may hold control
characters, which a terminal takes for commands (its title, its colours, its clipboard), and marks that reverse the
direction of writing, so that a line does not read as it is. Both are written out, `\\x1b` and `\\u202e`. In JSON
they are escapes, so that a program reads the original text. A line is printed whole, wherever it goes.

Exit codes: 0 all done; 3 done, but something was rejected; 1 nothing done; 2 wrong usage; 130 stopped by Ctrl-C.
An error is one sentence; with -v, one that we did not foresee has its traceback.
"""

import json
import logging
import os
import re
import shlex
import sys
import time
import webbrowser
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from typing import Any, TypedDict, Unpack

import typer
from rich import console as rich_console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError, ModelUnreachable, lacks_memory
from dailytalk_contiguous.core.records.outcome import Figures, Judgement, Outcome, Rejected
from dailytalk_contiguous.core.steps import listening
from dailytalk_contiguous.core.wording import counted, kind_of
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.extras import missing_extra
from dailytalk_contiguous.machine.interrupts import SENTENCE, STOPPED
from dailytalk_contiguous.machine.resources import unlimited_memory
from dailytalk_contiguous.store.addresses import as_given
from dailytalk_contiguous.store.full_disk import disk_problem


class Panel(StrEnum):
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


class OptionSettings(TypedDict, total=False):
    """Settings of an option or an argument, as typer takes them."""

    min: float
    max: float
    parser: Callable[[str], object]
    callback: Callable[..., object]
    show_default: bool | str
    is_eager: bool
    exists: bool
    dir_okay: bool
    file_okay: bool
    hidden: bool


def option(
    default: object, panel: Panel, text: str, *names: str, metavar: str = "", **settings: Unpack[OptionSettings]
) -> Any:
    """Return an option for typer, as the default of a parameter. At 80 columns the text has 45 or so.

    Args:
        default: its value where it is left out; `...` if it can't be.
        text: the help.
        names: `--json`; without any, the parameter's own name. A flag needs one, or typer adds a `--no-json`.
        metavar: shown in place of a value, as short as possible; empty for a flag.
        settings: of `typer.Option`: `min`, `max`, `parser`, `show_default`.
    """
    return typer.Option(default, *names, help=text, metavar=metavar, rich_help_panel=panel.value, **settings)


def argument(metavar: str, text: str, default: object = ..., **settings: Unpack[OptionSettings]) -> Any:
    return typer.Argument(default, metavar=metavar, help=text, **settings)


def as_json() -> bool:
    """Return whether the command line has --json, as that of any command may: the outcome is printed as JSON."""
    return JSON in sys.argv[1:]


def printing(command: Callable[..., Outcome]) -> Callable[..., int]:
    """Return the command, printing its outcome and returning the exit code.

    Where it can't download a model of its profile, the error names the profile that needs no download.
    """

    @wraps(command)
    def run(**values: object) -> int:
        with naming_profile(values.get("profile")):
            outcome = command(**values)
        return show_outcome(outcome, as_json())

    return run


@contextmanager
def naming_profile(profile: object) -> Iterator[None]:
    """Let the error of a model that can't be downloaded name the profile that needs no download."""
    try:
        yield
    except ModelUnreachable as error:
        from dailytalk_contiguous.models.profiles import EMBEDDED  # it imports NumPy, which the help does not

        if error.in_profile and profile not in (None, EMBEDDED):
            raise with_other_models(error, f"pass --profile {EMBEDDED}") from error
        raise


def with_other_models(error: ModelUnreachable, how: str) -> ModelUnreachable:
    """Return the error with a first remedy: `how` to choose the models that need no network."""
    return ModelUnreachable(error.reason, f"{how}, whose models need no network; or {error.remedy}")


#: C0 except tab and newline, DEL and C1; embeddings, overrides and isolates of direction; line and paragraph
#: separators; halves of surrogate pairs, which no terminal's encoding has.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

#: Flags of all commands for more lines, and for the traceback of an error.
VERBOSE = {"-v", "--verbose"}

#: Flag of all commands for their outcome as JSON.
JSON = "--json"

#: Columns of a line that does not go to a terminal, unless a width is set.
_WIDE = 10_000


def visible(text: str) -> str:
    def escape(character: re.Match[str]) -> str:
        code = ord(character[0])
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return _UNPRINTABLE.sub(escape, text)


def as_line(text: str) -> str:
    """Return a text as one line: what is from outside can't begin another."""
    return visible(as_given(text)).replace("\n", "\\n")


def command_line() -> str:
    return as_text(shlex.join(["dailytalk", *sys.argv[1:]]))


def say(text: str) -> None:
    """Print a line to stderr, at once."""
    print(as_line(text), file=sys.stderr, flush=True)


def print_json(value: object, one_line: bool = False) -> None:
    """Print a value as JSON, at once, by default a line for each field; control characters are escaped."""
    text = json.dumps(value, indent=None if one_line else 1, ensure_ascii=False)

    def escape(character: re.Match[str]) -> str:
        return f"\\u{ord(character[0]):04x}"

    print(_UNPRINTABLE.sub(escape, as_given(text)), flush=True)


class Console(rich_console.Console):
    """A console of rich that makes all text `visible`, in lines, tables and progress bars, and cuts no line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"highlight": False, "emoji": False} | options))
        if "width" not in options and not self.is_terminal:
            self.width = _WIDE

    def detail(self, detail: str | Judgement | Figures) -> None:
        if isinstance(detail, str):
            self.print(Text(as_line(detail)), soft_wrap=True)
        elif isinstance(detail, Judgement):
            colour = {True: "bold green", False: "bold red", None: "bold yellow"}[detail.is_good]
            self.print(Text(as_line(detail.text), colour), soft_wrap=True)
        else:
            table = Table(box=None, pad_edge=False, padding=(0, detail.gap, 0, 0))
            for heading in detail.head:
                right = heading.startswith(">")
                table.add_column(heading.removeprefix(">"), justify="right" if right else "left", overflow="fold")
            for row in detail.rows:
                table.add_row(*(Text(as_line(cell)) for cell in row))
            self.print(table)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


#: How many of a kind are shown; all of them are in a file or in --json.
SHOWN = 5


def show_outcome(outcome: Outcome, json_wanted: bool = False, stderr: bool = False) -> int:
    """Print the outcome of a command, or its record as JSON, and return the exit code.

    Last are always the headline, the rejects with their reasons, and the next command. Raises the outcome's error.
    """
    if json_wanted:
        if outcome.record is not None:
            print_json(outcome.record)
    else:
        headline = outcome.headline
        good = {0: True, 3: None}.get(outcome.code, False)
        judged = headline if isinstance(headline, Judgement) else Judgement(headline, good)
        rejected = [line for part in outcome.rejected for line in rejected_lines(part)]
        console = Console(stderr=stderr)
        for detail in [*outcome.details, judged, *outcome.after, *rejected]:
            console.detail(detail)
        if outcome.next and not outcome.error:
            console.detail(f"next: {outcome.next}")
    if outcome.error:
        raise outcome.error
    return outcome.code


def rejected_lines(rejected: Rejected) -> Iterator[str]:
    """Return the number of rejects, then a line for each kind of reason, the commonest first, with one example."""
    yield f"rejected: {rejected.share}, {rejected.where}"
    counts: Counter[str] = Counter()
    first: dict[str, Mapping[str, str]] = {}  # one of each kind, however many there are
    for reject in rejected.rejects:
        kind = kind_of(reject["reason"])
        counts[kind] += 1
        first.setdefault(kind, reject)
    for kind, count in counts.most_common(SHOWN):
        reject = first[kind]
        more = f" and {count - 1:,} more" if count > 1 else ""
        name = json.dumps(reject["id"], ensure_ascii=False)
        yield f"  {name}{more}: {reject['reason']}; {reject['remedy']}"
    if len(counts) > SHOWN:
        yield f"  … {counted(len(counts) - SHOWN, 'more reason')}"


#: Seconds between two lines on the steps of a command, where there is no terminal.
LINE_SECONDS = 30.0


@contextmanager
def shown_steps() -> Iterator[None]:
    """Show the steps of this block (`core.steps`): a bar on a terminal, elsewhere a line every half a minute."""
    from rich.progress import Progress  # no other command should load it

    console = Console(stderr=True)
    shown_at = time.monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def show(kind: str, done: int, total: int | None) -> None:
            nonlocal shown_at
            progress.update(task, description=as_line(kind), completed=done, total=total)
            if not console.is_terminal and time.monotonic() - shown_at >= LINE_SECONDS:
                shown_at = time.monotonic()
                share = "" if total is None else f" of {total:,}"
                say(f"{kind}: {done:,}{share}")

        with listening(show):
            yield


def quiet_libraries() -> None:
    """Let libraries print nothing of their own where we print one sentence on the outcome."""
    # The recogniser's and the tokenizer's own warnings about threads and forks mean nothing here.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # The Hub's client logs every failed try.
    verbosity = os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    if verbosity == "error" and "huggingface_hub" in sys.modules:  # it has read the environment already
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def guarded(program: str, command: Callable[[], int], has_verbose: bool = False) -> int:
    """Run a command and return its exit code. An error that a user can fix is one sentence on stderr.

    So is any other one of a program that `has_verbose`, the option -v, which shows its traceback.
    """

    quiet_libraries()

    def failed(sentence: str, code: int = 1) -> int:
        say(f"{program}: {sentence}.")
        return code

    try:
        with interrupts.watched():
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
        return failed(str(error), 2 if isinstance(error, BadValue) else 1)
    except ModuleNotFoundError as error:
        sentence = missing_extra(error)
        if not sentence or verbose():
            raise
        return failed(sentence, 1)
    except Exception as error:
        if verbose() or lacks_memory(error) or not has_verbose:
            raise
        reason = ", ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        of_disk = disk_problem(error)
        if of_disk:
            reason = str(of_disk)
        # As it is: the error of a full disk is about the copies on this machine.
        sentence = f"{program}: {reason} (-v shows where; what is finished is kept)."
        print(visible(sentence).replace("\n", "\\n"), file=sys.stderr, flush=True)
        return 1


def verbose() -> bool:
    """Return whether the command line has -v: more is shown, and an error has its traceback."""
    return not VERBOSE.isdisjoint(sys.argv[1:])


def opened(address: str) -> bool:
    try:
        with unlimited_memory():
            return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
