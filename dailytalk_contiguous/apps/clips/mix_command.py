"""`dailytalk mix`: several corpora and conversations as one training folder."""

from pathlib import Path

from dailytalk_contiguous.apps.clips.mixture import LICENCES, Settings, mix_folders
from dailytalk_contiguous.cli import options
from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.records.outcome import Outcome, rejected_of, to_run
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.exports.training_folder import MIX_REJECTS

MIX_SETTINGS = options.setting_options(Settings())


@options.with_options(MIX_SETTINGS)
def mix(
    folders: list[str] = argument(
        "DIR[:WEIGHT]",
        "Folders of corpus, build or export --format moshi, each with its share of the training hours.",
    ),
    out: Path = options.out_option(),
    **chosen: object,
) -> Outcome:
    """Mix corpora and conversations into a training folder.

    It makes a folder for moshi-finetune. Audio is linked, never copied twice: a heavier clip is named more
    often in train.jsonl.
    """
    options.on_this_machine("--out", out)
    settings = Settings(**options.chosen(chosen, MIX_SETTINGS))
    parts = [weighted(folder) for folder in folders]
    record, rejects = mix_folders(parts, out, settings)
    folders_mixed = record["folders"]
    total = sum(part["train_hours_listed"] for part in folders_mixed.values())
    details = []
    for name, part in folders_mixed.items():
        listed = part["train_hours_listed"]
        share = f"{listed / total:.1%}" if total else "–"
        details.append(f"{name}: {listed:.2f} h of training ({share}), from {part['train_hours']:.2f} h")
    details.append(f"licence: {record['licence']} ({LICENCES} tells all)")
    details += [f"warning: {warning}" for warning in record["warnings"]]
    lines = record["lines"]
    listed_lines = f"{counted(lines['train'], 'line')} to train on, {lines['eval']} to evaluate on"
    headline = f"{listed_lines} in {as_text(out)}"
    rejected = rejected_of(rejects, where=f"in {as_text(out / MIX_REJECTS)}")
    summary = {
        "out": as_text(out),
        "lines": lines,
        "folders": folders_mixed,
        "licence": record["licence"],
        "asks": record["asks"],
        "warnings": record["warnings"],
        "rejects": record["rejects"],
    }
    return Outcome(summary, headline, 3 if rejects else 0, details, rejected, to_run("check", out))


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
