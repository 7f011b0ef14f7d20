"""`dailytalk mix`: several corpora and conversations as one training folder."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dailytalk_contiguous.cli import options
from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, HelpPanel, option, print_json, show_rejected
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.items import MIX_REJECTS
from dailytalk_contiguous.publish.mixture import LICENCES, Mixed, Settings, mix_summary
from dailytalk_contiguous.publish.mixture import mix_folders as write_mix


def mix(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR[:WEIGHT]",
            help="What corpus, build or export --format moshi wrote, each with its share of the training hours.",
        ),
    ],
    out: options.TrainingOutOption,
    commercial: Annotated[
        bool,
        option(HelpPanel.RESULT, "Leave out what may not surely be used commercially.", "--commercial"),
    ] = False,
    hours: Annotated[
        float | None,
        option(
            HelpPanel.RESULT,
            "Hours of training, all folders together.",
            metavar="N",
            show_default="as many as there are",
        ),
    ] = Settings.hours,
    text_conditions: options.TextConditionsOption = False,
    eval_share: Annotated[float, options.eval_share_option()] = Settings.eval_share,
    as_json: AsJsonOption = False,
    seed: Annotated[int, options.seed_option()] = Settings.seed,
) -> None:
    """Mix corpora and conversations into one folder for moshi-finetune.

    Audio is linked, never copied twice: a clip that is to be heard more often is named more often in train.jsonl.
    """
    options.on_this_machine("--out", out)
    settings = Settings(commercial, hours, seed, eval_share, text_conditions)
    done = write_mix([weighted(folder) for folder in folders], out, settings)
    if as_json:
        summary = {
            "out": as_text(out),
            "lines": done.lines,
            "folders": {part.place: mix_summary(part) for part in done.parts},
            "licence": done.licence.licence,
            "asks": done.licence.asks,
            "warnings": done.warnings,
            "rejects": len(done.rejects),
        }
        print_json(summary)
    else:
        _show(done, out)
    raise typer.Exit(3 if done.rejects else 0)


def weighted(text: str) -> tuple[Path, float | None]:
    """The folder and the weight of `DIR[:WEIGHT]`; without a weight if a folder has the whole name.

    >>> weighted("esd:0.5")
    (PosixPath('esd'), 0.5)
    """
    path, colon, weight = text.rpartition(":")
    if colon and path and not Path(text).exists():
        try:
            return Path(path), float(weight)
        except ValueError:
            pass  # no number: the colon belongs to the name
    return Path(text), None


def _show(done: Mixed, out: Path) -> None:
    console = Console()
    lines = f"{counted(done.lines['train'], 'line')} to train on, {done.lines['eval']} to evaluate on"
    console.print(f"{lines} in {escape(as_text(out))}")
    total = sum(part.seconds_listed() for part in done.parts)
    for part in done.parts:
        seconds = part.seconds_listed()
        share = f"{seconds / total:.1%}" if total else "–"
        listed = f"{seconds / 3600:.2f} h of training ({share}), from {part.seconds('train') / 3600:.2f} h"
        console.print(f"  {escape(part.place)}: {listed}")
    console.print(f"licence: {escape(done.licence.licence)} ({LICENCES} tells all)")
    for warning in done.warnings:
        console.print(f"warning: {escape(warning)}")
    show_rejected(console, done.rejects, f"in {as_text(out / MIX_REJECTS)}")
