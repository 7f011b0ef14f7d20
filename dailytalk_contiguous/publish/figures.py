"""Pictures of a dataset as PNG, by matplotlib: of the card, and of a corpus' quality."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import fits, is_number, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.publish.statistics import AFFECT_CELL, MEASURES, OFFSET_BINS, CardStatistics
from dailytalk_contiguous.store.files import inside, write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The plots of a card, as PNG files: a card on the Hub shows neither SVG nor scripts.
#
# Colours are Okabe and Ito's, distinct for any colour vision, and no plot needs colour alone.
# Nothing of the machine goes into a file (no date, no version, no style sheet of the user), so that the same data
# gives the same bytes and a push sends a plot only if it changed.


#: Okabe and Ito (2008), "Color Universal Design".
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#C4C4C4"

#: Tags that are drawn; the rest is one bar.
MOST_TAGS = 25

#: Seconds of the axis of floor-transfer offsets, and the width of its bins.
OFFSETS, OFFSET_BIN = (-2.0, 3.0), 0.1

#: `text.parse_math`: a tag is plain text.
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "text.parse_math": False,
}


def card_plots(stats: CardStatistics) -> dict[str, bytes]:
    """PNG files by name in the repository; a plot without data is left out."""
    drawn: dict[str, bytes | None] = {
        "assets/tags.png": _tags(stats),
        "assets/lengths.png": _lengths(stats),
        "assets/offsets.png": _offsets(stats),
        "assets/affect.png": _affect(stats),
    }
    return {name: png for name, png in drawn.items() if png is not None}


def _tags(stats: CardStatistics) -> bytes | None:
    seconds = {tag: (by.get("left", 0.0), by.get("right", 0.0)) for tag, by in stats.tags.items()}
    ranked = sorted(seconds, key=lambda tag: (-sum(seconds[tag]), tag))
    if not ranked:
        return None
    shown = [(tag, seconds[tag]) for tag in ranked[:MOST_TAGS]]
    rest = ranked[MOST_TAGS:]
    if rest:
        left, right = (math.fsum(seconds[tag][side] for tag in rest) for side in (0, 1))
        shown.append((f"{len(rest)} others", (left, right)))
    unit, name = _unit(sum(shown[0][1]))

    def draw(axes: Axes) -> None:
        places = np.arange(len(shown))
        left, right = (np.array([pair[side] for _, pair in shown]) / unit for side in (0, 1))
        axes.barh(places, left, color=BLUE, label="synthesised")
        axes.barh(places, right, left=left, color=ORANGE, label="recorded")
        axes.set_yticks(places, [_short(tag) for tag, _ in shown])
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.set(title="Speech by style tag", xlabel=f"{name} of speech")
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2)

    return _png(draw, height=1.3 + 0.24 * len(shown), left=1.75)


def _lengths(stats: CardStatistics) -> bytes | None:
    if not stats.lengths:
        return None
    longest = max(stats.lengths) + 1
    width = next(step for step in (1, 2, 5, 10, 30, 60, 120, 300, 600, 3600, 36000) if longest / step <= 30)
    scale, name = (60.0, "minutes") if longest > 300 else (1.0, "seconds")
    counts, edges = _binned(
        {float(at): n for at, n in stats.lengths.items()}, 0.0, math.ceil(longest / width), width
    )

    def draw(axes: Axes) -> None:
        axes.bar(edges / scale, counts, width=0.94 * width / scale, align="edge", color=BLUE)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title="Length of conversations", xlabel=name, ylabel="conversations")

    return _png(draw, height=3.0)


def _offsets(stats: CardStatistics) -> bytes | None:
    sides = (("source", stats.tally.before, GREY), ("this dataset", stats.tally.after, BLUE))
    if not any(side.offsets for _, side, _ in sides):
        return None
    n_bins = round((OFFSETS[1] - OFFSETS[0]) / OFFSET_BIN)

    def draw(axes: Axes) -> None:
        for name, side, colour in sides:
            total = sum(side.offsets.values())
            if total:
                seconds = {at / OFFSET_BINS: n for at, n in side.offsets.items()}
                counts, edges = _binned(seconds, OFFSETS[0], n_bins, OFFSET_BIN)
                ends = [*edges.tolist(), OFFSETS[1]]
                filled = side is stats.tally.before  # so that both are visible where they are equal
                axes.stairs(100 * counts / total, ends, color=colour, fill=filled, linewidth=1.8, label=name)
        axes.axvline(0, color="#999999", linewidth=0.8)
        axes.grid(axis="y")
        axes.set(title="Changes of speaker: overlap (below 0) and gap (above)", xlim=OFFSETS, ylim=(0, None))
        axes.set(xlabel="floor-transfer offset (seconds)", ylabel="share of changes (%)")
        axes.legend(frameon=False)

    return _png(draw, height=3.2)


def _affect(stats: CardStatistics) -> bytes | None:
    n = round(1 / AFFECT_CELL)
    cells = np.zeros((n, n))
    for (valence, arousal), by_tag in stats.tally.affect.items():
        cells[arousal, valence] = sum(by_tag.values())
    if not cells.any():
        return None

    def draw(axes: Axes) -> None:
        shown = np.ma.masked_equal(cells, 0)
        image = axes.imshow(shown, origin="lower", extent=(0, 1, 0, 1), cmap="cividis_r", vmin=0, aspect="equal")
        bar = axes.figure.colorbar(image, ax=axes, label="utterances")
        bar.locator = MaxNLocator(6, integer=True)
        bar.update_ticks()
        axes.grid(visible=True)
        axes.set(title="Affect of the source performance", xlabel="valence", ylabel="arousal")

    return _png(draw, height=4.6, width=5.6)


def _png(draw: Callable[[Axes], None], height: float, width: float = 7.2, left: float = 0.65) -> bytes:
    """Draw on one pair of axes, in inches at 120 dots each, with `left` of them for the labels of the y axis.

    Margins are fixed, since an automatic layout draws everything twice.
    """
    file = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        figure.subplots_adjust(left / width, 0.55 / height, 1 - 0.15 / width, 1 - 0.35 / height)
        draw(figure.add_subplot())
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return file.getvalue()


def _binned(
    counts: Mapping[float, int], low: float, n_bins: int, width: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Counts of bins and their lower edges, shape (n_bins,); what is beyond them is not shown."""
    binned = np.zeros(n_bins)
    for value, n in counts.items():
        index = math.floor((value - low) / width + 1e-6)
        if 0 <= index < n_bins:
            binned[index] += n
    return binned, low + width * np.arange(n_bins)


def _unit(seconds: float) -> tuple[float, str]:
    return next((unit for unit in ((3600.0, "hours"), (60.0, "minutes")) if seconds >= unit[0]), (1.0, "seconds"))


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


# Measures of a corpus's quality as histograms with the limits, to choose thresholds.
#
# One picture, because limits depend on each other: soft clips are noisy too. The scale of counts is
# logarithmic, or the few clips near a limit would be invisible beside thousands of good ones.


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
    for number, (name, measure) in enumerate(MEASURES.items(), 1):
        axes = figure.add_subplot(2, 3, number)
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
    """The limits of the last `--report-only`, by name; empty before one."""
    try:
        limits: dict[str, float | None] = read_json(inside(folder, LIMITS))
    except BadInput:
        return {}
    return (
        limits
        if fits(limits, dict) and all(limit is None or is_number(limit) for limit in limits.values())
        else {}
    )
