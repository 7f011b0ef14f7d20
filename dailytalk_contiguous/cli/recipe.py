"""The command line of a recipe in a file of its own: input, output, progress, outcome, exit code.

With it a recipe is a list of stages and one call.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from huggingface_hub import HfApi

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.options import on_this_machine
from dailytalk_contiguous.cli.push import quiet_clients
from dailytalk_contiguous.cli.terminal import guarded, show_outcome
from dailytalk_contiguous.core.outcome import Outcome, Rejected, exit_code, to_run
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.opening import finished_items
from dailytalk_contiguous.publish.pushing import PushSettings, check_request, push_version
from dailytalk_contiguous.publish.release_card import card_of_release
from dailytalk_contiguous.run.build import Built, run_recipe
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store.hub import reference
from dailytalk_contiguous.store.work_folder import REJECTS, rejects_in


def main(
    about: str | None,
    tagging: Sequence[Stage],
    speaking: Sequence[Stage] = (),
    source: str | None = None,
    source_licence: str = "",
    publish: bool = False,
) -> NoReturn:
    """Run a recipe with the arguments of its command line and leave with the exit codes of `dailytalk`.

    Args:
        about: the recipe's docstring; its first line is what `--help` shows.
        tagging, speaking: the stages, as `run_recipe` takes them: a whole chain is one list.
        source: the input of a recipe for one dataset; else the first argument.
        source_licence: of that input.
        publish: whether the arguments name a dataset on the Hub and a version to publish it as.
    """
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    if source is None:
        parser.add_argument("input", help="a recording, a folder of them, or a dataset on the Hub")
    parser.add_argument("out", type=Path, help="the work folder")
    if publish:
        parser.add_argument("repo", help="OWNER/NAME on the Hub; made if it isn't there")
        parser.add_argument("tag", help="the version, v1.0.0, or auto")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    chosen = parser.parse_args()

    def command() -> int:
        on_this_machine("the work folder", chosen.out)
        repo, settings = "", PushSettings(create=True)
        if publish:  # what the Hub would refuse is said before hours of work
            repo, settings = reference(chosen.repo).repo, replace(settings, tag=chosen.tag)
            check_request(HfApi(), repo, settings)
        with show.bar() as planned:
            inputs = source or chosen.input
            built = run_recipe(
                inputs, chosen.out, tagging, speaking, chosen.workers, source_licence, planned=planned
            )
        n_made = sum(half.run.done for half in (built.tagged, built.spoken) if half)
        show.write_readme(chosen.out, chosen.out.absolute().name, n_made)
        show.say_left_out(built.left_out)
        outcome = recipe_outcome(built, chosen.out)
        if repo and outcome.code != 1:
            quiet_clients()
            items = finished_items(chosen.out)
            done = push_version(items, repo, settings, partial(card_of_release, items, default_settings()))
            outcome = replace(outcome, details=[f"{repo} {done.tag} {done.url or 'is there already'}"], next="")
        return show_outcome(outcome, chosen.json)

    sys.exit(guarded(Path(sys.argv[0]).stem, command))


def recipe_outcome(built: Built, out: Path) -> Outcome:
    done = built.spoken or built.tagged
    counts = done.record["counts"] if done.record else {"utterances": 0, "conversations": 0, "rejects": 0}
    n_conversations, rejects = counts["conversations"], list(rejects_in(out))  # of the source and all stages
    utterances, conversations = (
        counted(counts["utterances"], "utterance"),
        counted(n_conversations, "conversation"),
    )
    return Outcome(
        done.record,
        f"{utterances} of {conversations} in {out}",
        exit_code(n_conversations, counts["rejects"]),
        rejected=[Rejected(f"{len(rejects):,}", rejects, f"in {out / REJECTS}")] if rejects else [],
        next=to_run("check" if built.spoken else "speak", out),
    )
