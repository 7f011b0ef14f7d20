"""Plots as data, drawn once by matplotlib: as SVG in a page, and as PNG on a card, since the Hub shows no SVG.

The SVG is an image of its own in the page, so that nothing in it can run or restyle the page. Nothing of the
machine goes into a picture (no date, no version, no style sheet of the user): the same data gives the same bytes,
and a push sends a plot only if it changed. matplotlib takes a second to import and is imported where something is
drawn.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: One meaning each, the same on pages, on cards, and beside another folder: `left`, `right`: the channels.
#: `before`: as recorded. `after`: as it is in this folder. `other`: another folder. They have the hues of Okabe
#: and Ito (2008, "Color Universal Design"), which any colour vision distinguishes, darkened until lettering in
#: them is legible on white.
COLOURS = {"left": "#0067a3", "right": "#a84e00", "before": "#8b95a3", "after": "#00795a", "other": "#a0407c"}

#: Lettering and limits, ticks, lines of the grid, and the side beyond a limit.
INK, SOFT, FAINT, BEYOND = "#1b2330", "#566070", "#dcdfe4", "#ececec"

#: Characters of a name beside a bar or a row.
LONGEST_NAME = 24


class Series(NamedTuple):
    """The meaning of a colour, one of `COLOURS`, and its name."""

    colour: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """The base of all plots: a title, a note below it, and `nothing`, why an empty plot is not drawn.

    `name` is that of its file, without an ending; `axis` the title of the axis across, with its unit.
    """

    title: str
    name: str = ""
    note: str = ""
    nothing: str = ""
    axis: str = ""

    @property
    def height(self) -> float:
        """Height in inches."""
        return 2.7

    def draw(self, axes: "Axes") -> None:
        raise NotImplementedError

    def words(self) -> str:
        """Return its figures in one sentence without a full stop, for readers who can't see it."""
        raise NotImplementedError


class Bar(NamedTuple):
    """A row of a bar plot: its name, one value a series, and the label behind it."""

    name: str
    values: Sequence[float]
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class BarPlot(Plot):
    """Horizontal bars, the series of a row one after another, or one below the other if `grouped`."""

    rows: Sequence[Bar]
    series: Sequence[Series]
    grouped: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def height(self) -> float:
        return 0.75 + 0.26 * len(self.rows)

    def draw(self, axes: "Axes") -> None:
        places = np.arange(len(self.rows), dtype=float)
        values = np.array([row.values for row in self.rows]).reshape(len(self.rows), len(self.series))
        ends = values.max(axis=1) if self.grouped else values.sum(axis=1)
        depth = 0.72 / (len(self.series) if self.grouped else 1)
        start = np.zeros(len(self.rows))
        for number, series in enumerate(self.series):
            shift = (number - (len(self.series) - 1) / 2) * depth if self.grouped else 0.0
            axes.barh(
                places + shift, values[:, number], depth, start, color=COLOURS[series.colour], label=series.name
            )
            start = start if self.grouped else start + values[:, number]
        for place, end, row in zip(places, ends, self.rows, strict=True):
            axes.annotate(row.label, (end, place), (4, 0), textcoords="offset points", va="center", color=SOFT)
        longest = max((len(row.label) for row in self.rows), default=0)
        axes.set_xlim(0, (float(ends.max(initial=0.0)) or 1.0) * (1.05 + 0.022 * longest))
        axes.set_yticks(places, [shortened_name(row.name) for row in self.rows])
        axes.set_ylim(len(self.rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(self.axis)

    def words(self) -> str:
        labels = [row.label or " · ".join(f"{value:g}" for value in row.values) for row in self.rows]
        return "; ".join(f"{row.name} {label}" for row, label in zip(self.rows, labels, strict=True))


class Limit(NamedTuple):
    """A value beyond which clips are rejected: the side, `below` or `above`, and how many of how many."""

    value: float
    side: str
    n: int = 0
    of: int = 0


class ReferenceRange(NamedTuple):
    """The values of a measure in another corpus, `low` to `high`; a single value where both are the same."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class HistogramPlot(Plot):
    """Distributions over each other, in per cent of `of`, before the bands of other corpora.

    Values beyond `span` count at its ends; without one, it holds all but one in a hundred values at either end. If
    `counted`, the axis upwards is numbers, and logarithmic, so that a single one is visible.
    """

    series: Sequence[tuple[Series, ArrayLike]]
    of: str
    span: tuple[float, float] | None = None
    limits: Sequence[Limit] = ()
    bands: Sequence[ReferenceRange] = ()
    counted: bool = False

    def __bool__(self) -> bool:
        return any(np.size(values) for _, values in self.series)

    def edges(self) -> tuple[float, float]:
        if self.span:
            return self.span
        known = [np.asarray(values, float) for _, values in self.series if np.size(values)]
        ends = [float(end) for values in known for end in np.quantile(values, (0.01, 0.99))]
        ends += [end for band in self.bands for end in (band.low, band.high)]
        low, high = min(ends), max(ends)
        margin = 0.05 * (high - low) or 0.5
        return (0.0 if low >= 0 and low < high / 2 else low - margin), high + margin

    def draw(self, axes: "Axes") -> None:
        low, high = self.edges()
        for band in self.bands:
            axes.axvspan(band.low, band.high, color=COLOURS["other"], alpha=0.15)
            axes.axvline((band.low + band.high) / 2, color=COLOURS["other"], linewidth=1, label=band.name)
        for limit in self.limits:
            axes.axvspan(*((low, limit.value) if limit.side == "below" else (limit.value, high)), color=BEYOND)
            rejected = f"limit: rejects {limit.n:,} of {limit.of:,}"
            axes.axvline(limit.value, color=INK, linestyle="--", linewidth=1.2, label=rejected)
        for number, (series, values) in enumerate(self.series):
            inside = np.clip(np.asarray(values, float), low, high)
            weights = None if self.counted else np.full(len(inside), 100 / max(1, len(inside)))
            colour = COLOURS[series.colour]
            # The first is filled, so that both are visible where they are equal.
            axes.hist(
                inside,
                bins=int(np.clip(2 * math.sqrt(len(inside)), 8, 30)),
                range=(low, high),
                weights=weights,
                color=colour,
                label=series.name or None,
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
        sides = []
        for (_, name), values in self.series:
            if np.size(values):
                low, middle, high = np.quantile(np.asarray(values, float), (0.1, 0.5, 0.9))
                sides.append(
                    f"{name + ': ' if name else ''}median {middle:.3g}, 80 % from {low:.3g} to {high:.3g}"
                )
        limits = [f"limit {limit.value:g}: {limit.n:,} of {limit.of:,} are {limit.side}" for limit in self.limits]
        others = [
            f"{name}: {low:.3g}" + (f" to {high:.3g}" if high > low else "") for name, low, high in self.bands
        ]
        return "; ".join([f"{self.axis}: {', '.join(sides)}", *limits, *others])


@dataclass(frozen=True, kw_only=True)
class MapPlot(Plot):
    """How dense points of [0, 1] are, across and up, and where the means of their groups lie.

    `points` has the shape (n, 2); `groups` names the group of each, and is empty for none; so is the name of a
    point that is in no group.
    """

    points: ArrayLike
    groups: Sequence[str] = ()
    up: str = ""
    colour: str = "before"

    def __bool__(self) -> bool:
        return bool(np.size(self.points))

    @property
    def height(self) -> float:
        return 3.6

    def means(self) -> dict[str, tuple[float, float]]:
        """Return the mean of each group, the largest first."""
        points, groups = np.asarray(self.points, float), np.array(self.groups, object)
        names, counts = np.unique(groups[groups != ""].astype(str), return_counts=True)
        ordered = names[np.lexsort((names, -counts))]
        return {name: tuple(points[groups.astype(str) == name].mean(axis=0).tolist()) for name in ordered.tolist()}

    def draw(self, axes: "Axes") -> None:
        from matplotlib.colors import LinearSegmentedColormap

        points = np.asarray(self.points, float)
        shades = LinearSegmentedColormap.from_list("density", [f"{COLOURS[self.colour]}30", COLOURS[self.colour]])
        axes.hexbin(
            points[:, 0], points[:, 1], gridsize=16, extent=(0, 1, 0, 1), mincnt=1, bins="log", cmap=shades
        )
        for name, (x, y) in self.means().items():
            axes.plot(x, y, "o", color=INK, markersize=4)
            axes.annotate(shortened_name(name), (x, y), (4, 3), textcoords="offset points", color=INK)
        (left, bottom), (right, top) = points.min(axis=0) - 0.05, points.max(axis=0) + 0.05
        axes.set(xlim=(max(0, left), min(1, right)), ylim=(max(0, bottom), min(1, top)))
        axes.set(xlabel=self.axis, ylabel=self.up)

    def words(self) -> str:
        x, y = np.asarray(self.points, float).mean(axis=0)
        groups = [f"{name} {across:.2f}, {up:.2f}" for name, (across, up) in self.means().items()]
        return "; ".join([f"{self.axis}: mean {x:.2f}, {self.up}: mean {y:.2f}", *groups])


@dataclass(frozen=True, kw_only=True)
class MatrixPlot(Plot):
    """Counts by row and column, shaded by their share of the row."""

    rows: Mapping[str, Sequence[int]]
    columns: Sequence[str]

    def __bool__(self) -> bool:
        return any(any(counts) for counts in self.rows.values())

    @property
    def height(self) -> float:
        return 1.1 + 0.3 * len(self.rows)

    def draw(self, axes: "Axes") -> None:
        from matplotlib.colors import LinearSegmentedColormap

        counts = np.array(list(self.rows.values()), float).reshape(len(self.rows), len(self.columns))
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        shades = LinearSegmentedColormap.from_list("share", [f"{COLOURS['after']}00", f"{COLOURS['after']}90"])
        axes.pcolormesh(shares, cmap=shades, vmin=0, vmax=1)
        for (row, column), n in np.ndenumerate(counts):
            if n:
                axes.text(column + 0.5, row + 0.5, f"{n:,.0f}", ha="center", va="center")
        names = [shortened_name(name, 14) for name in self.columns]
        axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=40, ha="left", rotation_mode="anchor")
        axes.set_yticks(np.arange(len(self.rows)) + 0.5, [shortened_name(name) for name in self.rows])
        axes.set_ylim(len(self.rows), 0)
        axes.xaxis.tick_top()
        axes.grid(visible=False)

    def words(self) -> str:
        rows = []
        for name, counts in self.rows.items():
            cells = (f"{column} {n:,}" for column, n in zip(self.columns, counts, strict=True) if n)
            rows.append(f"{name}: {', '.join(cells) or 'none'}")
        return "; ".join(rows)


def shortened_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name of `longest` characters at most, the last an ellipsis where more were cut off.

    >>> shortened_name("whispering", 10), shortened_name("whispering", 9)
    ('whispering', 'whisperi…')
    """
    return name if len(name) <= longest else name[: longest - 1] + "…"


def alternative(plot: Plot) -> str:
    """Return the text for readers who can't see a plot: its title, and its figures."""
    return f"{plot.title}. {plot.words()}." if plot else plot.title


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
    return _drawn([plot], 1, "", "svg", titled=False)


def png(plot: Plot) -> bytes:
    return _drawn([plot], 1, "", "png")


def sheet(plots: Sequence[Plot], columns: int = 3, title: str = "") -> bytes:
    """Return several plots as one PNG, with a title above them."""
    return _drawn(plots, columns, title, "png")


def _drawn(plots: Sequence[Plot], columns: int, title: str, kind: str, titled: bool = True) -> bytes:
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
        figure = Figure((columns * WIDTH, sum(heights) + 0.4 * bool(title)))
        figures = figure.subfigures(rows, columns, squeeze=False, height_ratios=heights).ravel()
        for part, plot in zip(figures, plots, strict=False):
            part.set_facecolor("none")
            axes = part.subplots()
            handles: Sequence[Any] = ()
            if plot:
                plot.draw(axes)
                handles, names = axes.get_legend_handles_labels()
                if len(handles) == 1 and isinstance(plot, BarPlot):
                    handles = ()  # what they are, the title says
            else:
                axes.text(0.5, 0.5, plot.nothing, ha="center", color=SOFT)
            heading = plot.title if titled else ""
            if handles:
                key = part.legend(handles, names, loc="outside upper left", ncols=2, fontsize=8.5, title=heading)
                key.set(alignment="left")
                key.get_title().set(fontsize=9.5, fontweight="bold")
            elif heading:
                part.suptitle(heading, x=0.02, ha="left", fontsize=9.5, fontweight="bold")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        options: dict[str, Any] = {"metadata": {"Software": None}, "dpi": DPI / min(columns, 2)}
        if kind == "svg":
            metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            options = {"metadata": metadata, "transparent": True}
        figure.savefig(file, format=kind, **options)
    return file.getvalue()
