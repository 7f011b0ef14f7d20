"""The figures of all clips of a corpus: by label, and measures of quality beside their limits."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import fits, is_number, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import settings_of, with_settings
from dailytalk_contiguous.core.tables import TableMaker, Tables
from dailytalk_contiguous.core.tally import Tally
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.corpus_sections import CorpusFigures, QualityTally, quality_plots
from dailytalk_contiguous.publish.findings import Finding
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.plots import sheet
from dailytalk_contiguous.publish.render import Credit
from dailytalk_contiguous.publish.training_folder import record_of
from dailytalk_contiguous.publish.verdict import FitnessLimits, clip_findings
from dailytalk_contiguous.store.files import inside, write_bytes, write_text


def corpus_figures(items: Items, refused: list[Row]) -> tuple[CorpusFigures, Tables, list[Row]]:
    """Return the figures of all clips, their tables, and of each the labels by which samples are chosen.

    Rows that can't be used are added to `refused`.
    """
    record = record_of(items.folder) if items.folder else {}
    known = _known_limits(record.get("settings") or {}) or (planned_limits(items.folder) if items.folder else {})
    figures = CorpusFigures.of_run(
        record,
        tally=Tally(knows_rejects=items.kind != "version"),
        quality=QualityTally(with_settings((QualityLimits(),), known)[0]),
        unit="file" if items.kind == "mix" else "clip",
    )
    maker = TableMaker(knows_rejects=items.kind != "version")
    published: dict[Credit, None] = {}
    chosen_by = []
    for row in items.listed(refused):
        figures.tally.add(row)
        maker.add(row)
        labels = row["labels"]
        names = ("emotion", "style", "speaker", "augmented_from")
        chosen_by.append({"id": row["conversation_id"], **{name: labels[name] for name in names}})
        if items.kind == "version" and labels["corpus"]:
            published[Credit(labels["corpus"], labels["licence"] or "", "see the card of the dataset")] = None
    for row in items.measures():
        figures.quality.add(row)
    return replace(figures, credits=figures.credits or tuple(published)), maker.tables(), chosen_by


def findings_of_clips(
    clips: CorpusFigures, tables: Tables, run: Mapping[str, Any], limits: FitnessLimits | None = None
) -> list[Finding]:
    """Return the findings on clips and their labels, with the emotions that have too little to train on."""
    thin = {shortfall.emotion: clips.target - shortfall.seconds for shortfall in clips.shortfalls()}
    return clip_findings(tables, thin, clips.target, run, limits)


#: The picture, and the limits that are drawn in it, for a later look at the measures.
PLOT, LIMITS = "quality.png", "quality.json"


def plot_quality(rows: Iterable[Mapping[str, Any]], limits: QualityLimits, folder: Path) -> None:
    """Write `PLOT` of the measures of rows (null left out), with dashed lines at the limits, and `LIMITS`."""
    quality = QualityTally(limits)
    for row in rows:
        quality.add(row)
    overview = f"{counted(quality.measured, 'clip')} as they came, {quality.refused:,} beyond a limit"
    write_bytes(folder / PLOT, sheet(quality_plots(quality), title=f"{overview}; `dailytalk report` shows more"))
    write_text(folder / LIMITS, json.dumps(settings_of(limits), indent=1) + "\n")


def planned_limits(folder: Path) -> dict[str, Any]:
    """Return the limits of the last `--report-only`, by the names of their options; empty before one."""
    try:
        limits = read_json(inside(folder, LIMITS))
    except BadInput:
        return {}
    return _known_limits(limits) if fits(limits, dict) else {}


def _known_limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: settings[name] for name in settings_of(QualityLimits()) if name in settings}
    return values if all(value is None or is_number(value) for value in values.values()) else {}
