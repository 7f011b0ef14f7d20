"""The measures of quality of a corpus as histograms, with the limits in them: where thresholds are chosen.

One picture, because a limit is a trade between measures: what is soft is noisy too. The scale of counts is
logarithmic, or the few clips that a limit is about would not be seen beside thousands of good ones.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dailytalk_contiguous.core.documents import fits, is_number, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.writing import write_bytes, write_text
from dailytalk_contiguous.publish.reporting.expressive_tally import MEASURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The picture, and the limits that are drawn in it, for who looks at the measures later.
PLOT, LIMITS = "quality.png", "quality.json"


def plot_quality(rows: Sequence[Mapping[str, Any]], limits: QualityLimits, folder: Path) -> None:
    """Write `PLOT` of the measures of rows (null left out), with dashed lines at the limits, and `LIMITS`."""
    file = io.BytesIO()
    _drawn(rows, limits).savefig(file, format="png")
    write_bytes(folder / PLOT, file.getvalue())
    write_text(folder / LIMITS, json.dumps(asdict(limits), indent=1) + "\n")


def _drawn(rows: Sequence[Mapping[str, Any]], limits: QualityLimits) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    for place, (name, measure) in enumerate(MEASURES.items(), 1):
        axes = figure.add_subplot(2, 3, place)
        values = [row[name] * measure.factor for row in rows if row[name] is not None]
        label = measure.axis.title
        if values:
            axes.hist(values, bins=40, color="#4c72b0")
            axes.set_yscale("log")
        axes.set_xlabel(f"{label}, {len(rows) - len(values)} unknown" if len(values) < len(rows) else label)
        for limit in measure.limits(limits):
            axes.axvline(limit, color="#c44e52", linestyle="--")
    return figure


def planned_limits(folder: Path) -> dict[str, float | None]:
    """The limits that were looked at last, by name; none where nobody did."""
    try:
        found: dict[str, float | None] = read_json(inside(folder, LIMITS))
    except BadInput:
        return {}
    return found if fits(found, dict) and all(one is None or is_number(one) for one in found.values()) else {}
