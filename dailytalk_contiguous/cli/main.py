"""The command `dailytalk`, and the list of its commands. `cli.terminal` has their exit codes.

Only the module of the command that is called is imported: others load datasets, PyTorch and more, which `--help`,
`--version` and `status` do not need.
"""

import ast
import gc
import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from dailytalk_contiguous.cli.terminal import JSON, VERBOSE, Panel, guarded, option, printing, quiet_libraries, say
from dailytalk_contiguous.core.settings import is_own_file
from dailytalk_contiguous.machine.apps import additions
from dailytalk_contiguous.machine.interrupts import STOPPED
from dailytalk_contiguous.machine.own_file import refuse_in_import
from dailytalk_contiguous.store.secrets import INSECURE

#: The commands that lead from recordings to a dataset and its readers.
MAIN_WAY = "The main way"

#: The commands that the apps add, by what a person wants, and the module of each.
_ADDED: dict[str, dict[str, str]] = {}
for _app, _purposes in additions("COMMANDS"):
    for _purpose, _commands in _purposes.items():
        _listed = _ADDED.setdefault(_purpose, {})
        for _name, _module in _commands.items():
            _listed[_name] = f"apps.{_app}.{_module}"

#: All commands by what a person wants, in the order in which they are listed, and the module of each. Those of two
#: words are listed under the first.
LISTED: dict[str, dict[str, str]] = {
    MAIN_WAY: {
        "build": "cli.speak",
        "tag": "cli.tag",
        "speak": "cli.speak",
        "check": "cli.check",
        **_ADDED.pop(MAIN_WAY, {}),
        "report": "cli.report",
        "export": "cli.export",
        "push": "cli.push",
    },
    "Build": {
        "demo": "cli.demo",
        "doctor": "cli.doctor",
        "status": "cli.status",
    },
    "Publish": {"versions": "cli.versions", "diff": "cli.versions"},
}
for _purpose, _commands in _ADDED.items():
    LISTED.setdefault(_purpose, {}).update(_commands)
COMMANDS = {name: module for commands in LISTED.values() for name, module in commands.items()}

#: Descriptions of commands of two words, by the first.
GROUPS = {name.split()[0]: "" for name in COMMANDS if " " in name}
GROUPS |= {name: about for _, groups in additions("GROUPS") for name, about in groups.items()}

#: What commands print before their imports, which take seconds on a busy machine: what they look for first.
FIRST_LINES = {
    "build": "looking for recordings …",
    "tag": "looking for recordings …",
    "speak": "reading the transcript …",
}
for _, _lines in additions("FIRST_LINES"):
    FIRST_LINES |= _lines

_PACKAGE = __name__.partition(".")[0]

#: Panels whose options `--help` leaves to `--help-all` where a command has many, so that its help is one screen.
SELDOM = {Panel.STYLE, Panel.QUALITY, Panel.RESULT, Panel.BALANCE, Panel.HUB, Panel.CLUSTER, Panel.RARE}

#: The most options and arguments that one screen has room for: `--help` shows all of a command with no more.
ON_ONE_SCREEN = 16


class OneCommand(TyperCommand):
    """A command whose help lists its options by panel: `--help` those of every day, `--help-all` all of them.

    Attributes:
        everyday: names of the options that `--help` shows; empty for those whose panel is not in `SELDOM`.
    """

    everyday: Collection[str] = ()

    def get_help_option(self, ctx: Any) -> Any:
        shown = super().get_help_option(ctx)
        if shown:
            shown.opts = ["--help", "--help-all"]
            shown.rich_help_panel = Panel.RUN.value
            shown.help = "Show this message, or all options, and exit."
        return shown

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        if "--help-all" not in sys.argv:
            self.help = (self.help or "").partition("\n\n")[0]
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str] | None]] = {"Arguments": []}
        for panel in Panel:
            panels[panel.value] = []
        listed = [parameter for parameter in self.get_params(ctx) if not getattr(parameter, "hidden", False)]
        shows_all = "--help-all" in sys.argv or len(listed) <= ON_ONE_SCREEN
        for parameter in listed:
            heading = getattr(parameter, "rich_help_panel", None) or "Arguments"
            if shows_all or self.is_everyday(parameter, heading):
                records = panels.setdefault(heading, [])  # own files have panels of their own
                records.append(parameter.get_help_record(ctx))
        for heading, records in panels.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def is_everyday(self, parameter: Any, heading: str) -> bool:
        """Return whether `--help` shows a parameter of a command with many."""
        if not self.everyday or heading == "Arguments":
            return heading not in SELDOM
        return parameter.name in self.everyday or parameter.name == "help"


class Commands(TyperGroup):
    """The group of all commands, or of those whose first word is `first`; each is imported when it is called."""

    first = ""

    def __init__(self, **attributes: Any) -> None:
        commands = {}
        for name in COMMANDS:
            if name.startswith(self.first):
                own_name = name.removeprefix(self.first)
                commands[own_name.split()[0]] = TyperCommand(own_name)
        super().__init__(**attributes | {"commands": commands})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command, those for one purpose below each other."""
        for purpose, names in LISTED.items():
            lines = {}
            for name in names:
                if not name.startswith(self.first):
                    continue
                word = name.removeprefix(self.first).split()[0]
                is_group = not self.first and word in GROUPS
                lines[word] = GROUPS[word] if is_group else command_summary(name)
            if lines:
                with formatter.section(purpose):
                    formatter.write_dl([*lines.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, words = super().resolve_command(ctx, args)
        if name in GROUPS and not self.first:
            kind = type("CommandsOfTwoWords", (Commands,), {"first": f"{name} "})
            group = kind(name=name, help=GROUPS[name], no_args_is_help=True, rich_markup_mode=None)
            return name, group, words
        return name, command_of(f"{self.first}{name}", words), words


def command_of(name: str, words: Sequence[str] = ()) -> TyperCommand:
    """Return a command with all its options; imports its module.

    `words`: of its command line. The settings of a person's own files that these name are options, too.
    """
    module = import_module(f"{_PACKAGE}.{COMMANDS[name]}")
    functions = [getattr(module, word) for word in _function_names(name) if hasattr(module, word)]
    function = functions[0]
    if hasattr(function, "own_files") and any(is_own_file(word) for word in words):
        from dailytalk_contiguous.cli.options import with_own_options  # here: it imports datasets

        function = with_own_options(function, name, words)
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    register = program.command(name.rpartition(" ")[2], cls=OneCommand, help=function.__doc__)
    register(printing(function))
    command = typer.main.get_command(program)
    assert isinstance(command, OneCommand)
    command.everyday = getattr(function, "everyday", ())
    return command


def _function_names(name: str) -> tuple[str, str]:
    """Names that a command's function may have: `emotion_evaluate`, where `evaluate` is taken, or `evaluate`."""
    return name.replace(" ", "_"), name.rpartition(" ")[2]


def command_summary(name: str) -> str:
    """Return the first paragraph of a command's docstring, read from its file without importing it."""
    package = Path(__file__).parents[1]
    path = package.joinpath(*COMMANDS[name].split(".")).with_suffix(".py")
    names = _function_names(name)
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            paragraph = (ast.get_docstring(node) or "").partition("\n\n")[0]
            return " ".join(paragraph.split())
    raise ValueError(f"{path} has no function of the command {name}")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"dailytalk-contiguous {version('dailytalk-contiguous')}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    help="Expressive, word-aligned speech datasets from recorded conversations.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _options(
    insecure: bool = option(False, Panel.RUN, "Send tokens over plain http, too, with any command.", "--insecure"),
    verbose: bool = option(
        False, Panel.RUN, "Say more, and show where an error is from, with any command.", "--verbose", "-v"
    ),
    as_json: bool = option(False, Panel.RUN, "Print the outcome as JSON, with any command.", JSON),
    version: bool = option(
        False, Panel.RUN, "Show the version and exit.", "--version", is_eager=True, callback=_print_version
    ),
) -> None:
    if insecure:
        os.environ[INSECURE] = "1"


#: New objects after which Python collects garbage. Its default of 700 took a tenth of the time of a run that has
#: nothing to do.
WASTE_AFTER = 10_000

#: Options that ask for the help of a command.
ASKS_HELP = {"--help", "--help-all"}


def run_command() -> NoReturn:
    """Run the command that `sys.argv` names, and print an expected error as one sentence."""
    refuse_in_import("runs the command dailytalk")
    quiet_libraries()
    words = sys.argv[1:]
    pairs = [" ".join(pair) for pair in pairwise(words)]
    names = [word for word in (*words, *pairs) if word in COMMANDS]
    if names:
        first_line = FIRST_LINES.get(names[0])
        if first_line and not ASKS_HELP.intersection(words):
            say(first_line)
        # While a Ctrl-C still ends the process at once.
        import_module(f"{_PACKAGE}.{COMMANDS[names[0]]}")
    if not gc.isenabled():  # as `__main__` begins
        gc.freeze()  # imported objects are never garbage
        gc.set_threshold(WASTE_AFTER)
        gc.enable()
    sys.exit(guarded("dailytalk", _command, has_verbose=True))


def _command() -> int:
    # Options of all commands, which may come after the command's name, too.
    everywhere = {"--insecure", JSON, *VERBOSE}
    first = [word for word in sys.argv[1:] if word in everywhere]
    words = [word for word in sys.argv[1:] if word not in everywhere]
    try:
        code = app([*first, *words], standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        say(f"dailytalk: {error.format_message()}")  # wrong usage, in the words of typer
        return int(error.exit_code)  # type: ignore[attr-defined]
    if code == STOPPED:
        raise KeyboardInterrupt  # typer takes Ctrl-C for itself, and says nothing
    return code if isinstance(code, int) else 0
