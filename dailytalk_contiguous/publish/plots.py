"""Plots as data, drawn once by matplotlib: as SVG in a page, and as PNG on a card, since the Hub shows no SVG.

The SVG is an image of its own in the page, so that nothing in it can run or restyle the page. Nothing of the
machine goes into a picture (no date, no version, no style sheet of the user): the same data gives the same bytes,
and a push sends a plot only if it changed. matplotlib takes a second to import and is imported where something is
drawn.
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from dailytalk_contiguous.core.scorecard import Comparison, TurnTaking
from dailytalk_contiguous.core.tables import UNKNOWN
from dailytalk_contiguous.core.turns import SIDES, TURN_MEASURES
from dailytalk_contiguous.core.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Lettering, ticks, and lines of the grid.
INK, SOFT, FAINT = "#1b2330", "#566070", "#dcdfe4"

#: One meaning each, the same on pages, on cards, and beside another folder: `left`, `right`: the channels.
#: `before`: as recorded. `after`: as it is in this folder. `other`: another folder or corpus. `limit`: of quality.
#: They have the hues of Okabe and Ito (2008, "Color Universal Design"), which any colour vision distinguishes,
#: darkened until lettering in them is legible on white.
COLOURS = {
    "left": "#0067a3",
    "right": "#a84e00",
    "before": "#8b95a3",
    "after": "#00795a",
    "other": "#a0407c",
    "limit": INK,
}


#: Characters of a name beside a point, and the labels whose means are drawn.
LONGEST_NAME, MOST_MEANS = 24, 12


@dataclass(frozen=True, kw_only=True)
class Plot(ABC):
    """The base of all plots: a title, a note below it, and `nothing`, why an empty plot is not drawn.

    `name` is that of its file, without an ending; `axis` the title of the axis across, with its unit.
    """

    title: str
    name: str = ""
    note: str = ""
    nothing: str = ""
    axis: str = ""

    #: Inches.
    height: ClassVar[float] = 2.7

    @abstractmethod
    def draw(self, axes: "Axes") -> None:
        """Draw it."""

    @abstractmethod
    def words(self) -> str:
        """Return its figures in one sentence without a full stop, for readers who can't see it."""


class Mark(NamedTuple):
    """What values are drawn before: a limit with what is beyond it, or the range of another corpus.

    `line` is a value of `low` to `high`, either of which may be infinite; `colour` one of `COLOURS`.
    """

    name: str
    low: float
    high: float
    line: float
    colour: str


@dataclass(frozen=True, kw_only=True)
class HistogramPlot(Plot):
    """Distributions over each other, in per cent of `of`, before marks.

    Each of `series` is a colour of `COLOURS`, the name of what it means, and values.
    Values beyond `span` count at its ends; without one, it holds all but one in a hundred values at either end. If
    `counted`, the axis upwards is numbers, and logarithmic, so that a single one is visible.
    """

    series: Sequence[tuple[str, str, ArrayLike]]
    of: str
    span: tuple[float, float] | None = None
    marks: Sequence[Mark] = ()
    counted: bool = False

    def __bool__(self) -> bool:
        return any(np.size(values) for *_, values in self.series)

    def edges(self) -> tuple[float, float]:
        if self.span:
            return self.span
        known = [np.asarray(values, float) for *_, values in self.series if np.size(values)]
        ends = [np.quantile(values, (0.01, 0.99)) for values in known]
        ends += [np.array((mark.low, mark.high)) for mark in self.marks]
        low, high = float(np.min(ends)), float(np.max(ends))
        margin = 0.05 * (high - low) or 0.5
        return (0.0 if low >= 0 and low < high / 2 else low - margin), high + margin

    def draw(self, axes: "Axes") -> None:
        low, high = self.edges()
        for mark in self.marks:
            axes.axvspan(max(low, mark.low), min(high, mark.high), color=COLOURS[mark.colour], alpha=0.15)
            axes.axvline(mark.line, color=COLOURS[mark.colour], linewidth=1, label=mark.name)
        for number, (colour, name, values) in enumerate(self.series):
            inside = np.clip(np.asarray(values, float), low, high)
            weights = None if self.counted else np.full(len(inside), 100 / max(1, len(inside)))
            # The first is filled, so that both are visible where they are equal.
            axes.hist(
                inside,
                bins=int(np.clip(2 * math.sqrt(len(inside)), 8, 30)),
                range=(low, high),
                weights=weights,
                color=COLOURS[colour],
                label=name or None,
                histtype="step" if number else "stepfilled",
                linewidth=1.8 if number else 0,
                alpha=1.0 if number else 0.6,
            )
        if self.counted:
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.5)
            axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlim(low, high)
        axes.set_xlabel(self.axis)
        axes.set_ylabel(self.of if self.counted else f"% of {self.of}")

    def words(self) -> str:
        parts = []
        for _, name, values in self.series:
            if np.size(values):
                low, middle, high = np.quantile(np.asarray(values, float), (0.1, 0.5, 0.9))
                of = f"{name}, {self.axis}" if name else self.axis
                parts.append(f"{of}: median {middle:.3g}, 80 % from {low:.3g} to {high:.3g}")
        for name, low, high, *_ in self.marks:
            is_range = -math.inf < low < high < math.inf
            parts.append(f"{name}: {low:.3g} to {high:.3g}" if is_range else name)
        return "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class MapPlot(Plot):
    """How dense points of [0, 1] are, across and up, and where the means of the commonest labels lie.

    `points` has two columns of numbers and one of labels.
    """

    points: pd.DataFrame
    up: str = ""

    height: ClassVar[float] = 3.6

    def __bool__(self) -> bool:
        return not self.points.empty

    def means(self) -> pd.DataFrame:
        """The mean of each of the `MOST_MEANS` commonest labels."""
        across, up, label = self.points.columns
        common = self.points[label].value_counts().drop(UNKNOWN, errors="ignore").index[:MOST_MEANS]
        labelled = self.points[self.points[label].isin(common)].astype({label: str})
        return labelled.groupby(label)[[across, up]].mean()

    def draw(self, axes: "Axes") -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colour, points = COLOURS["before"], self.points.iloc[:, :2].to_numpy(float)
        shades = LinearSegmentedColormap.from_list("density", [f"{colour}30", colour])
        axes.hexbin(*points.T, gridsize=16, extent=(0, 1, 0, 1), mincnt=1, bins="log", cmap=shades)
        for name, x, y in self.means().itertuples():
            axes.plot(x, y, "o", color=INK, markersize=4)
            axes.annotate(shortened_name(name), (x, y), (4, 3), textcoords="offset points", color=INK)
        (left, bottom), (right, top) = points.min(axis=0) - 0.05, points.max(axis=0) + 0.05
        axes.set(xlim=(max(0, left), min(1, right)), ylim=(max(0, bottom), min(1, top)))
        axes.set(xlabel=self.axis, ylabel=self.up)

    def words(self) -> str:
        x, y = self.points.iloc[:, :2].mean()
        means = [f"{name} {across:.2f}, {up:.2f}" for name, across, up in self.means().itertuples()]
        return "; ".join([f"{self.axis}: mean {x:.2f}, {self.up}: mean {y:.2f}", *means])


def shortened_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name of `longest` characters at most, the last an ellipsis where more were cut off.

    >>> shortened_name("whispering", 10), shortened_name("whispering", 9)
    ('whispering', 'whisperi…')
    """
    return name if len(name) <= longest else name[: longest - 1] + "…"


def alternative(plot: Plot) -> str:
    """Return the text for readers who can't see a plot: its title, and its figures."""
    return f"{plot.title}. {plot.words()}." if plot else plot.title


def measure_plots(taken: TurnTaking, comparisons: Sequence[Comparison]) -> list[HistogramPlot]:
    """Plot each measure that other corpora publish: its values over conversations, before the published ones."""
    plots = []
    colours = dict(zip(SIDES, ("left", "right", "after"), strict=True))
    for name, measure in TURN_MEASURES.items():
        own = [comparison for comparison in comparisons if comparison.band.measure == name]
        compared = {comparison.side for comparison in own}
        known = {
            side: values for side in measure.sides if side in compared and len(values := taken.values(name, side))
        }
        if not known or measure.quantile not in (None, 0.5):
            continue  # of the quantiles of offsets, the median is enough: their own plot has all
        scale, unit = (100.0, "%") if measure.unit == "share" else (1.0, measure.unit)
        marks = {}
        for corpus, band, *_ in own:
            ends = (band.middle if end is None else end for end in (band.low, band.high, band.middle))
            low, high, middle = (scale * end for end in ends)
            title = f"{corpus.name}, {'a side' if len(band.sides) > 1 else band.sides[0]}"
            marks[title] = Mark(title, low, high, middle, "other")
        n = max(map(len, known.values()))
        plots.append(
            HistogramPlot(
                title=f"{measure.title[0].upper()}{measure.title[1:]} ({counted(n, 'conversation')})",
                series=[(colours[side], side, scale * values) for side, values in known.items()],
                axis=unit,
                of="conversations",
                note=measure.about,
                name=f"measure_{name}",
                marks=list(marks.values()),
            )
        )
    return plots


#: Inches across of a plot, and pixels of an inch in a PNG: 810 pixels.
WIDTH, DPI = 4.5, 180

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a tag is plain text
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "ytick.left": False,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "dailytalk",
    "figure.constrained_layout.use": True,
}


def svg(plot: Plot) -> bytes:
    """Return a plot without its title, on the ground of the page."""
    return _drawn([plot], 1, "svg", titled=False)


def png(plot: Plot) -> bytes:
    return _drawn([plot], 1, "png")


def sheet(plots: Sequence[Plot], columns: int) -> bytes:
    """Return several plots as one PNG."""
    return _drawn(plots, columns, "png")


def _drawn(plots: Sequence[Plot], columns: int, kind: str, titled: bool = True) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    rows = math.ceil(len(plots) / columns)
    # A row is as high as its highest plot, with its title.
    parts = [plots[row * columns : (row + 1) * columns] for row in range(rows)]
    heights = [max(plot.height for plot in part) + 0.25 * titled for part in parts]
    file = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        figure = Figure((columns * WIDTH, sum(heights)))
        figures = figure.subfigures(rows, columns, squeeze=False, height_ratios=heights).ravel()
        for part, plot in zip(figures, plots, strict=False):
            part.set_facecolor("none")
            axes = part.subplots()
            handles: Sequence[Any] = ()
            if plot:
                plot.draw(axes)
                handles, names = axes.get_legend_handles_labels()
            else:
                axes.text(0.5, 0.5, plot.nothing, ha="center", color=SOFT)
            heading = plot.title if titled else ""
            if handles:
                key = part.legend(handles, names, loc="outside upper left", ncols=2, fontsize=8.5, title=heading)
                key.set(alignment="left")
                key.get_title().set(fontsize=9.5, fontweight="bold")
            elif heading:
                part.suptitle(heading, x=0.02, ha="left", fontsize=9.5, fontweight="bold")
        options: dict[str, Any] = {"metadata": {"Software": None}, "dpi": DPI / min(columns, 2)}
        if kind == "svg":
            metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            options = {"metadata": metadata, "transparent": True}
        figure.savefig(file, format=kind, **options)
    return file.getvalue()
