"""The settings of a command of `dailytalk` as options of a script that has arguments of its own."""

import argparse
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import typer


def add_settings(parser: argparse.ArgumentParser, settings: Mapping[str, inspect.Parameter]) -> None:
    """Take the options of a command that the parser lacks, without help; those that are left out are missing."""
    known = {action.dest for action in parser._actions}
    for name, parameter in settings.items():
        if name in known:
            continue
        parse = parameter.default.parser

        def value(text: str, parse: Callable[[str], Any] = parse) -> Any:
            try:
                return parse(text)
            except typer.BadParameter as error:
                raise argparse.ArgumentTypeError(error.message) from None

        taken: dict[str, Any] = {"type": value} if parse else {"action": "store_true"}
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **taken)
