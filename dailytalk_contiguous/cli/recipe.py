"""The command line of a recipe in a file of its own: input, output, progress, outcome, exit code.

With it a recipe is a list of stages and one call.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from huggingface_hub.utils import logging as hub_logging

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import on_this_machine
from dailytalk_contiguous.cli.terminal import JSON, as_json, guarded, show_outcome
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Outcome, Rejected, exit_code, to_run
from dailytalk_contiguous.core.own_file import refuse_in_import
from dailytalk_contiguous.core.settings import PlacedSetting, settings_in
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.run.build import run_recipe
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store.work_folder import REJECTS, rejects_in


def main(
    about: str | None,
    tagging: Sequence[Stage],
    speaking: Sequence[Stage] = (),
    source: str | None = None,
    source_licence: str = "",
) -> NoReturn:
    """Run a recipe with the arguments of its command line and leave with the exit codes of `dailytalk`.

    Args:
        about: the recipe's docstring; its first line is what `--help` shows.
        tagging, speaking: the stages, as `run_recipe` takes them: a whole chain is one list.
        source: the input of a recipe for one dataset; else the first argument.
        source_licence: of that input.
    """
    refuse_in_import("starts a recipe")
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    if source is None:
        parser.add_argument("input", help="a recording, a folder of them, or a dataset on the Hub")
    parser.add_argument("out", type=Path, help="the work folder")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument(JSON, action="store_true", help="print the outcome as JSON")
    chosen = parser.parse_args()

    wording = RecipeWording((*tagging, *speaking))
    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]

    def command() -> int:
        on_this_machine("the work folder", chosen.out)
        try:
            with show.bar() as planned:
                inputs = source or chosen.input
                built = run_recipe(
                    inputs, chosen.out, tagging, speaking, chosen.workers, source_licence, planned=planned
                )
        except DailytalkError as error:
            raise type(error)(wording.text(error.reason), wording.remedy(error.remedy)) from error
        n_made = sum(half.run.done for half in (built.tagged, built.spoken) if half)
        show.write_readme(chosen.out, chosen.out.absolute().name, n_made)
        show.say_left_out(built.left_out)
        record = (built.spoken or built.tagged).record
        n_conversations = record["counts"]["conversations"] if record else 0
        rejects = [  # of the source and all stages
            reject | {"remedy": wording.remedy(reject["remedy"])} for reject in rejects_in(chosen.out)
        ]
        outcome = Outcome(
            record,
            f"{counted(n_conversations, 'conversation')} in {chosen.out}",
            exit_code(n_conversations, len(rejects)),
            rejected=[Rejected(f"{len(rejects):,}", rejects, f"in {chosen.out / REJECTS}")] if rejects else [],
            next=to_run("check" if built.spoken else "speak", chosen.out),
        )
        return show_outcome(outcome, as_json())

    sys.exit(guarded(Path(sys.argv[0]).stem, command))


#: Options that a recipe's command line has.
_OPTIONS = ("workers", "json")

#: Where a remedy goes on with another thing to do.
_BETWEEN = re.compile(r"; |, or ")

#: An option in a message, and the word after it, which may be its value.
_OPTION = re.compile(r"--([a-z][a-z-]*)(?: ([\w.]+))?")

#: Words that are values of options whose choices are not listed.
_VALUES = ("any", "none", "clone")


class RecipeWording:
    """Messages of `dailytalk` for a recipe: with fields of its stages in place of options, which it has not.

    Args:
        stages: of the recipe.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._settings: dict[str, list[PlacedSetting]] = {}
        for placed in settings_in(*stages):
            self._settings.setdefault(placed.option.replace("_", "-"), []).append(placed)

    def text(self, text: str) -> str:
        """A text with fields in place of the options that set them."""
        return _OPTION.sub(self._field, text)

    def remedy(self, remedy: str) -> str:
        """What to do about an error, without what is done by an option that no stage has."""
        possible = []
        for part in _BETWEEN.split(remedy):
            if all(self._takes(option, value) for option, value in _OPTION.findall(part)):
                possible.append(self.text(part))
        return ", or ".join(possible) or "change the list of the recipe"

    def _takes(self, option: str, word: str) -> bool:
        """Whether the recipe has an option, and may give it the value that follows in a message."""
        if option in _OPTIONS:
            return True
        choices = [placed.setting.choices for placed in self._settings.get(option, ())]
        is_any = not self._is_value(option, word) or word.isupper()
        return bool(choices) and (is_any or all(not known or word in known for known in choices))

    def _is_value(self, option: str, word: str) -> bool:
        """Whether the word after an option is its value: a name in capitals, a number, or a choice."""
        choices = {choice for placed in self._settings.get(option, ()) for choice in placed.setting.choices}
        return word.isupper() or word[:1].isdecimal() or word in {*_VALUES, *choices}

    def _field(self, named: re.Match[str]) -> str:
        option, word = named[1], named[2] or ""
        settings = self._settings.get(option)
        if settings is None:
            return named[0]
        is_value = self._is_value(option, word)
        value = f'="{word}"' if is_value else ""
        fields = " and ".join(f"{placed.name}{value} in {placed.kind.__name__}" for placed in settings)
        return fields if is_value else f"{fields} {word}".rstrip()
