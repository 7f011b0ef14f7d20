"""The command `dailytalk`, and the list of its commands. `cli.terminal` has their exit codes.

Only the module of the command that is called is imported: others load datasets, PyTorch and more, which `--help`,
`--version` and `status` do not need.
"""

import ast
import gc
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from dailytalk_contiguous.cli.terminal import Console, Panel, guarded, printing
from dailytalk_contiguous.core.apps import additions
from dailytalk_contiguous.core.errors import BadValue
from dailytalk_contiguous.core.interrupts import STOPPED
from dailytalk_contiguous.core.own_file import is_own_file

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

#: Removed options, the commands that had them, and the remedy.
GONE = {
    "--corpus": (("plan",), "run dailytalk corpus NAME INPUT --out DIR --report-only, which measures the clips"),
}

#: New objects after which Python collects garbage. Its default of 700 took a tenth of the time of a run that has
#: nothing to do.
WASTE_AFTER = 10_000


class OneCommand(TyperCommand):
    """A command whose help has its options in panels, `--help` among them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return arguments, then options by panel; within a panel they keep their order."""
        panels = [None, *(panel.value for panel in Panel)]
        return sorted(
            super().get_params(ctx),
            key=lambda parameter: panels.index(getattr(parameter, "rich_help_panel", None)),
        )

    def get_help_option(self, ctx: Any) -> Any:
        if shown := super().get_help_option(ctx):
            shown.metavar, shown.rich_help_panel = "", Panel.RUN.value
        return shown


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
        # A person's own files must be read before the options can be: some may be theirs.
        words = [part for word in rest for part in (word.split("=", 1) if word.startswith("--") else [word])]
        named = [(word[2:], value) for word, value in pairwise(words) if word[:2] == "--" and is_own_file(value)]
        return name, command_of(f"{self.first}{name}", named), rest


def command_of(name: str, named: Sequence[tuple[str, str]] = ()) -> TyperCommand:
    """Return a command with all its options, those in a person's own files too; imports its module.

    `named` are options and the files that they name.
    """
    module = import_module(f"{_PACKAGE}.{COMMANDS[name]}")
    alone = typer.Typer(add_completion=False)
    function = next(
        getattr(module, function_name) for function_name in _functions(name) if hasattr(module, function_name)
    )
    about = "\n\n".join(_paragraphs(function.__doc__ or ""))
    if named:
        from dailytalk_contiguous.cli.options import with_own_options

        function = with_own_options(function, named)
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
    sys.exit(guarded("dailytalk", _command))


def _command() -> int:
    command = next((word for word in sys.argv[1:] if word in COMMANDS), "")
    for option, (commands, instead) in GONE.items():
        if command in commands and any(word.partition("=")[0] == option for word in sys.argv[1:]):
            raise BadValue(f"{command} no longer has {option}", instead)
    try:
        # An option of all commands, which may come after the command's name, too.
        words = [word for word in sys.argv[1:] if word != "--insecure"]
        insecure = len(words) < len(sys.argv) - 1
        code = app(["--insecure", *words] if insecure else words, standalone_mode=False)
    except Exception as error:
        if not (type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show")):
            raise
        if similar := getattr(error, "possibilities", None):
            error.possibilities = similar[:1]  # type: ignore[attr-defined]  # the nearest, which would be sorted away
        error.show()  # wrong usage: click prints its own message
        return int(error.exit_code)  # type: ignore[attr-defined]
    if code == STOPPED:
        raise KeyboardInterrupt  # typer takes Ctrl-C for itself, and says nothing
    return code if isinstance(code, int) else 0
