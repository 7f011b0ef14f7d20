"""The command `dailytalk`, and the list of its commands. `cli.terminal` has their exit codes.

Only the module of the command that is called is imported: others load datasets, PyTorch and more, which `--help`,
`--version` and `status` do not need.
"""

import ast
import gc
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from dailytalk_contiguous.cli.terminal import VERBOSE, Console, Panel, guarded, printing, say
from dailytalk_contiguous.core.apps import additions
from dailytalk_contiguous.core.interrupts import STOPPED

#: The commands by what a person wants, in the order in which they are listed, and the module of each: of the core,
#: in `cli`, and what the apps add. Those of two words are listed under the first.
LISTED = {
    "Build": {
        "demo": "demo",
        "build": "speak",
        "tag": "tag",
        "speak": "speak",
        "plan": "plan",
        "status": "status",
        "doctor": "doctor",
    },
    "Look": {"check": "check", "report": "report"},
    "Correct": {},
    "Publish": {"push": "push", "versions": "versions", "diff": "versions", "export": "export"},
}
LISTED = {purpose: {name: f"cli.{module}" for name, module in own.items()} for purpose, own in LISTED.items()}
for _app, _purposes in additions("COMMANDS"):
    for _purpose, _own in _purposes.items():
        _modules = {name: f"apps.{_app}.{module}" for name, module in _own.items()}
        LISTED[_purpose] = LISTED.get(_purpose, {}) | _modules
COMMANDS = {name: module for commands in LISTED.values() for name, module in commands.items()}

#: Descriptions of commands of two words, by the first.
GROUPS = {name.split()[0]: "" for name in COMMANDS if " " in name}
GROUPS |= {name: about for _, groups in additions("GROUPS") for name, about in groups.items()}

_PACKAGE = __name__.partition(".")[0]

#: New objects after which Python collects garbage. Its default of 700 took a tenth of the time of a run that has
#: nothing to do.
WASTE_AFTER = 10_000


#: Panels whose options `--help` leaves to `--help-all`, so that a command's help is one screen.
SELDOM = {Panel.STYLE, Panel.QUALITY, Panel.RESULT, Panel.BALANCE, Panel.HUB, Panel.CLUSTER, Panel.RARE}


class OneCommand(TyperCommand):
    """A command whose help lists its options by panel: `--help` those of every day, `--help-all` all of them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return arguments, then options by panel; within a panel they keep their order."""
        panels = [None, *(panel.value for panel in Panel)]
        return sorted(
            super().get_params(ctx),
            key=lambda parameter: panels.index(getattr(parameter, "rich_help_panel", None)),
        )

    def get_help_option(self, ctx: Any) -> Any:
        if shown := super().get_help_option(ctx):
            shown.opts, shown.metavar, shown.rich_help_panel = ["--help", "--help-all"], "", Panel.RUN.value
            shown.help = "Show this message, or all options, and exit."
        return shown

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, what the command does, and a list of options for each panel, in plain text."""
        whole = "--help-all" in sys.argv
        self.format_usage(ctx, formatter)
        about = (self.help or "").split("\n\n")
        with formatter.indentation():
            for paragraph in about if whole else about[:1]:
                formatter.write_paragraph()
                formatter.write_text(paragraph)
        by_panel: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            panel = getattr(parameter, "rich_help_panel", None) or "Arguments"
            if record := help_record(parameter, ctx):
                by_panel.setdefault(panel, []).append(record)
        for panel, records in by_panel.items():
            if whole or panel not in SELDOM:
                with formatter.section(panel):
                    formatter.write_dl(records)
        formatter.write_paragraph()
        formatter.write_text("In brackets: what holds if the option is left out, and its range.")
        if not whole and (left_out := [panel for panel in by_panel if panel in SELDOM]):
            formatter.write_text(f"--help-all also shows: {', '.join(left_out)}.")


def help_record(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    """Return the names of an option and its help, which ends with the default and the range in brackets."""
    record = parameter.get_help_record(ctx)
    return record and (record[0], re.sub(r"\[default: \(*(.*?)\)*(; [x\d][^;]*)?]$", r"[\1\2]", record[1]))


class Commands(TyperGroup):
    """The group of all commands, or of those whose first word is `first`; each is imported when it is called."""

    first = ""

    def __init__(self, **attributes: Any) -> None:
        names = [name.removeprefix(self.first) for name in COMMANDS if name.startswith(self.first)]
        super().__init__(**attributes | {"commands": {name.split()[0]: TyperCommand(name) for name in names}})

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command, those for one purpose below each other, and a line for each option."""
        formatter.write(f"{ctx.get_usage()}\n\n{self.help}\n")
        for purpose, names in LISTED.items():
            own = [name.removeprefix(self.first) for name in names if name.startswith(self.first)]
            lines = {
                name: command_summary(f"{self.first}{name}") if self.first or name not in GROUPS else GROUPS[name]
                for name in dict.fromkeys(name.split()[0] for name in own)
            }
            self._write(formatter, "Commands" if self.first else purpose, lines)
        self._write(
            formatter, "Options", {option.opts[0]: getattr(option, "help", "") for option in self.get_params(ctx)}
        )

    def _write(self, formatter: Any, title: str, lines: Mapping[str, str]) -> None:
        for number, (name, about) in enumerate(lines.items()):
            formatter.write(f"{' ' * 10 if number else f'{chr(10)}{title:<10}'}{name:<12}{about}\n")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        if name in GROUPS and not self.first:
            kind = type("CommandsOfTwoWords", (Commands,), {"first": f"{name} "})
            return name, kind(name=name, help=GROUPS[name], no_args_is_help=True), rest
        return name, command_of(f"{self.first}{name}"), rest


def command_of(name: str) -> TyperCommand:
    """Return a command with all its options; imports its module."""
    module = import_module(f"{_PACKAGE}.{COMMANDS[name]}")
    alone = typer.Typer(add_completion=False)
    function = next(
        getattr(module, function_name) for function_name in _functions(name) if hasattr(module, function_name)
    )
    about = "\n\n".join(_paragraphs(function.__doc__ or ""))
    alone.command(name.rpartition(" ")[2], cls=OneCommand, help=about)(printing(function))
    command = typer.main.get_command(alone)
    assert isinstance(command, TyperCommand)
    return command


def _functions(name: str) -> tuple[str, str]:
    """Names that a command's function may have: `emotion_evaluate`, where `evaluate` is taken, or `evaluate`."""
    return name.replace(" ", "_"), name.rpartition(" ")[2]


def command_summary(name: str) -> str:
    """Return the first paragraph of a command's docstring, read from its file without importing it."""
    path = Path(__file__).parents[1].joinpath(*COMMANDS[name].split(".")).with_suffix(".py")
    functions = (node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef))
    docstring = next(ast.get_docstring(node) for node in functions if node.name in _functions(name))
    return next(_paragraphs(docstring or ""), "")


def _paragraphs(docstring: str) -> Iterator[str]:
    return (" ".join(paragraph.split()) for paragraph in inspect.cleandoc(docstring).split("\n\n"))


def _print_version(wanted: bool) -> None:
    if wanted:
        Console().text(f"dailytalk-contiguous {version('dailytalk-contiguous')}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    help="Expressive, word-aligned speech datasets from recorded two-person conversations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _options(
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            metavar="",
            help="Send tokens over plain http, too; of any command.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", metavar="", help="Say more, and show where an error is from; of any command."
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", is_eager=True, callback=_print_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    if insecure:
        from dailytalk_contiguous.core.machine import INSECURE

        os.environ[INSECURE] = "1"


def run_command() -> NoReturn:
    """Run the command that `sys.argv` names, and print an expected error as one sentence."""
    # The recogniser's and the tokenizer's own warnings about threads and forks mean nothing here.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # The Hub's client logs every failed try; we print one sentence on the outcome.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    words = [*sys.argv[1:], *map(" ".join, pairwise(sys.argv[1:]))]
    if name := next((word for word in words if word in COMMANDS), None):
        # While a Ctrl-C still ends the process at once.
        import_module(f"{_PACKAGE}.{COMMANDS[name]}")
    if not gc.isenabled():  # as `__main__` begins
        gc.freeze()  # imported objects are never garbage
        gc.set_threshold(WASTE_AFTER)
        gc.enable()
    sys.exit(guarded("dailytalk", _command, has_verbose=True))


def _command() -> int:
    # Options of all commands, which may come after the command's name, too.
    everywhere = {"--insecure", *VERBOSE}
    words = [word for word in sys.argv[1:] if word not in everywhere]
    try:
        code = app([*(word for word in sys.argv[1:] if word in everywhere), *words], standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if similar := getattr(error, "possibilities", None):
            error.possibilities = similar[:1]  # type: ignore[attr-defined]  # the nearest
        say(f"dailytalk: {error.format_message()}")  # wrong usage, in the words of typer
        return int(error.exit_code)  # type: ignore[attr-defined]
    if code == STOPPED:
        raise KeyboardInterrupt  # typer takes Ctrl-C for itself, and says nothing
    return code if isinstance(code, int) else 0
