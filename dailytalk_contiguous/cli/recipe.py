"""The command line of a recipe in a file of its own: input, output, progress, outcome, exit code.

With it a recipe is a list of stages and one call.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import on_this_machine
from dailytalk_contiguous.cli.terminal import JSON, as_json, guarded, say, show_outcome, with_other_models
from dailytalk_contiguous.core.errors import DailytalkError, ModelUnreachable
from dailytalk_contiguous.core.records.outcome import Outcome, Rejected, exit_code, to_run
from dailytalk_contiguous.core.settings import settings_in
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.own_file import refuse_in_import
from dailytalk_contiguous.models.profiles import EMBEDDED
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
        tagging: the stages, as `run_recipe` takes them: a whole chain is one list.
        speaking: the stages of the second half, if there is one.
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

    stages = (*tagging, *speaking)
    messages: list[str] = []  # all that may name options, which a recipe has as fields of its stages

    def command() -> int:
        on_this_machine("the work folder", chosen.out)
        try:
            with show.bar() as planned:
                inputs = source or chosen.input
                built = run_recipe(
                    inputs, chosen.out, tagging, speaking, chosen.workers, source_licence, planned=planned
                )
        except DailytalkError as error:
            messages.append(str(error))
            if isinstance(error, ModelUnreachable) and error.in_profile:
                raise with_other_models(error, _EMBEDDED_STAGES) from error
            raise
        show.write_readme(chosen.out, chosen.out.absolute().name)
        show.say_left_out(built.left_out)
        record = (built.spoken or built.tagged).record
        n_conversations = record["counts"]["conversations"] if record else 0
        rejects = [*rejects_in(chosen.out)]  # of the source and all stages
        rejected = []
        if rejects:
            messages.extend(f"{reject['reason']}: {reject['remedy']}" for reject in rejects)
            rejected.append(Rejected(f"{len(rejects):,}", rejects, f"in {chosen.out / REJECTS}"))
        outcome = Outcome(
            record,
            f"{counted(n_conversations, 'conversation')} in {chosen.out}",
            exit_code(n_conversations, len(rejects)),
            rejected=rejected,
            next=to_run("check" if built.spoken else "speak", chosen.out),
        )
        return show_outcome(outcome, as_json())

    code = guarded(Path(sys.argv[0]).stem, command)
    for note in option_notes(" ".join(messages), stages):
        say(note)
    sys.exit(code)


#: What a recipe does in place of `--profile embedded`.
_EMBEDDED_STAGES = f'take the stages of tag_stages("{EMBEDDED}")'

#: An option in a message: `--asr-model`.
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def option_notes(text: str, stages: Sequence[Stage]) -> list[str]:
    """Return a line for each option that a text names and that a recipe has in its stages.

    For the option of a setting: `--language is Transcribe.language`. Options without a field have no line.
    """
    fields = {"profile": ["the argument of tag_stages and speak_stages"]}
    for placed in settings_in(*stages):
        option = placed.option.replace("_", "-")
        fields.setdefault(option, []).append(f"{placed.kind.__name__}.{placed.name}")
    notes = []
    for option in dict.fromkeys(_OPTION.findall(text)):
        if option in fields:
            names = dict.fromkeys(fields[option])
            notes.append(f"--{option} is {' and '.join(names)}")
    return notes
