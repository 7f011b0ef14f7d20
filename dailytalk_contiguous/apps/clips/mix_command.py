"""`dailytalk mix`: several corpora and conversations as one training folder."""

from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.mixture import LICENCES, Mixed, Settings
from dailytalk_contiguous.apps.clips.mixture import mix_folders as write_mix
from dailytalk_contiguous.cli import options
from dailytalk_contiguous.cli.terminal import Panel, argument, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.outcome import Outcome, rejected_of, to_run
from dailytalk_contiguous.core.scorecard import measure_text, published_references
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.opening import reference_at
from dailytalk_contiguous.publish.training_folder import MIX_REJECTS
from dailytalk_contiguous.publish.version import version_or_path

#: Published corpora that a mix can approximate.
TOWARDS = [name for name, corpus in published_references().items() if not corpus.avoid]

MIX_SETTINGS = options.setting_options(Settings())


@options.with_options(MIX_SETTINGS)
def mix(
    folders: list[str] = argument(
        "DIR[:WEIGHT]",
        "What corpus, build or export --format moshi wrote, each with its share of the training hours.",
    ),
    out: Path = options.out_option(),
    towards: str | None = option(
        None,
        Panel.RESULT,
        "See each conversation 0 to 4 times, so that together they are as a published corpus is "
        f"({', '.join(TOWARDS)}), or as a work folder, a version or a corpus-stats.json.",
        metavar="CORPUS",
    ),
    **chosen: Any,
) -> Outcome:
    """Mix corpora and conversations into a training folder.

    For moshi-finetune. Audio is linked, never copied twice: a clip that is to be heard more often is named more
    often in train.jsonl.
    """
    options.on_this_machine("--out", out)
    reference = published_references().get(towards or "")
    if reference and reference.avoid:
        options.one_of("--towards", str(towards), TOWARDS)
    elif towards is not None and not reference:
        if "/" not in towards and not Path(towards).exists():
            options.one_of("--towards", towards, [*TOWARDS, "the path of a corpus-stats.json"])
        reference = reference_at(version_or_path(towards, None))
    settings = Settings(towards=reference, **options.chosen(chosen, MIX_SETTINGS))
    return mix_outcome(write_mix([weighted(folder) for folder in folders], out, settings), out)


def mix_outcome(done: Mixed, out: Path) -> Outcome:
    record, details = done.record, []
    total = sum(part.seconds_listed for part in done.parts)
    for part in done.parts:
        share = f"{part.seconds_listed / total:.1%}" if total else "–"
        there = record["folders"][part.name]["train_hours"]
        details.append(
            f"{part.name}: {part.seconds_listed / 3600:.2f} h of training ({share}), from {there:.2f} h"
        )
    if near := record.get("towards"):
        rarely = f"{near['lost']:.2f} h of {near['hours']:.2f} h are not seen"
        seen = ", ".join(f"{count:,} seen {counted(n, 'time')}" for n, count in near["seen"].items())
        details.append(f"towards {near['reference']}: {rarely}; of the conversations {seen}")
        for of in near["measures"]:
            name, side = of["measure"], "" if of["side"] == "both" else f" ({of['side']})"
            values = f"{measure_text(name, of['before'], with_unit=False)} → {measure_text(name, of['after'])}"
            missed = "" if of["low"] <= of["after"] <= of["high"] else ", not reached"
            band = measure_text(name, of["low"], of["high"])
            details.append(f"{TURN_MEASURES[name].title}{side}: {values}, to be {band}{missed}")
    details.append(f"licence: {record['licence']} ({LICENCES} tells all)")
    lines = f"{counted(record['lines']['train'], 'line')} to train on, {record['lines']['eval']} to evaluate on"
    known = ("lines", "folders", "licence", "asks", "warnings", "rejects", "towards")
    return Outcome(
        {"out": as_text(out), **{name: record.get(name) for name in known}},
        f"{lines} in {as_text(out)}",
        3 if done.rejects else 0,
        details + [f"warning: {warning}" for warning in record["warnings"]],
        rejected_of(done.rejects, where=f"in {as_text(out / MIX_REJECTS)}"),
        to_run("check", out),
    )


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
