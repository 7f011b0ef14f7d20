"""Plots as data, drawn twice: as SVG in a page, and by matplotlib as PNG, since a card on the Hub shows no SVG.

Each plot is declared once, with its title, its axes and what its colours mean. The SVG is drawn here and not by
matplotlib: its colours are classes, so that one drawing serves light, dark and forced colours, its text can be
selected and read aloud, and a page of twenty plots takes a millisecond each and a tenth of the bytes. It is drawn
for a card of about 360 px, so that its lettering stays legible on a phone.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.render import Html, TableCell, fill, joined

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Axis(NamedTuple):
    """What an axis shows: its title with the unit, its ends, and the distance of its ticks."""

    title: str
    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        return [self.low + i * self.step for i in range(math.floor((self.high - self.low) / self.step + 1e-6) + 1)]


class Series(NamedTuple):
    """What a colour means: its style (`left`, `right`, `before` or `after`) and its name."""

    style: str
    name: str


class Bar(NamedTuple):
    """A row of a bar plot: its name, one value a series, its cells in a table, and what is written behind it."""

    name: str
    values: tuple[float, ...]
    cells: tuple[str | int, ...]
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What all plots have: a title, a remark below it, and why it is not drawn where it shows nothing.

    `name` is that of its file, without an ending, where it is drawn as one.
    """

    title: str
    note: str = ""
    nothing: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class BarPlot(Plot):
    """Horizontal bars, the series of a row one after another, or one below the other if `grouped`.

    `head` are the names of the column of rows and of those of their cells; `axis` is the title with the unit.
    """

    head: tuple[str, ...]
    rows: Sequence[Bar]
    series: Sequence[Series]
    axis: str = ""
    grouped: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows)

    def table(self) -> list[tuple[TableCell, ...]]:
        """Its rows as those of a table below `head`."""
        return [(row.name, *row.cells) for row in self.rows]


@dataclass(frozen=True, kw_only=True)
class HistogramPlot(Plot):
    """Distributions over each other: of each series shares in [0, 1] of `of` by the lower edges of bins.

    `limits` are values at which a line is drawn.
    """

    series: Sequence[tuple[Series, Mapping[float, float]]]
    axis: Axis
    bin_width: float
    of: str
    limits: Sequence[float] = ()

    def __bool__(self) -> bool:
        return any(shares for _, shares in self.series)

    def outline(self, shares: Mapping[float, float]) -> list[float]:
        """The shares of all bins from end to end, 0 where there is none."""
        n_bins = round((self.axis.high - self.axis.low) / self.bin_width)
        edges = (round(self.axis.low + number * self.bin_width, 6) for number in range(n_bins))
        return [shares.get(edge, 0.0) for edge in edges]


@dataclass(frozen=True, kw_only=True)
class MapPlot(Plot):
    """Circles whose area grows with a count of `unit`: x, y and the count. `diagonal` draws where x is y."""

    points: Sequence[tuple[float, float, int]]
    x_axis: Axis
    y_axis: Axis
    unit: str
    diagonal: bool = False

    def __bool__(self) -> bool:
        return bool(self.points)

    @property
    def most(self) -> int:
        return max((n for _, _, n in self.points), default=1)


# SVG. Colours are classes that the page's style sheet fills.

#: Units of the drawing (about one CSS pixel each): its width, and the heights of a bar's row, a histogram, a map.
WIDTH, ROW, LOW, HIGH = 380, 22, 220, 300

#: Characters of a name that fit beside a bar, and the width of a letter.
NAME_CHARACTERS, LETTER_WIDTH = 17, 6.6


def svg(plot: Plot) -> Html:
    """A plot with its key as HTML."""
    if isinstance(plot, BarPlot):
        return _key(plot.series) + _svg_bars(plot)
    if isinstance(plot, HistogramPlot):
        return _key([series for series, _ in plot.series]) + _svg_histogram(plot)
    assert isinstance(plot, MapPlot)
    return _svg_map(plot)


def _key(series: Sequence[Series]) -> Html:
    """What the colours mean, where there are several."""
    items = joined(fill('<li><i class="{}"></i>{}</li>', style, name) for style, name in series)
    return fill('<ul class="key">{}</ul>', items) if len(series) > 1 else joined([])


def _svg_bars(plot: BarPlot) -> Html:
    labels = [row.label or " · ".join(map(str, row.cells)) for row in plot.rows]
    left, right = 112, 10 + LETTER_WIDTH * max(map(len, labels), default=0)
    lengths = [max(row.values) if plot.grouped else sum(row.values) for row in plot.rows]
    scale = max(40.0, WIDTH - left - right) / max([*lengths, 1e-9])
    parts = []
    for number, (row, label, length) in enumerate(zip(plot.rows, labels, lengths, strict=True)):
        y, x = number * ROW, float(left)
        parts.append(_text(left - 6, y + 15, shortened_name(row.name, NAME_CHARACTERS), "end", title=row.name))
        height = (ROW - 6) / (len(plot.series) if plot.grouped else 1)
        for place, (value, series) in enumerate(zip(row.values, plot.series, strict=True)):
            top = y + 3 + (place * height if plot.grouped else 0)
            parts.append(
                fill(
                    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"/>',
                    left if plot.grouped else x,
                    top,
                    max(0.0, value * scale),
                    height,
                    series.style,
                )
            )
            x += value * scale
        parts.append(_text(left + length * scale + 5, y + 15, label, style="soft"))
    return _svg(plot.title, max(1, len(plot.rows)) * ROW, parts)


def _svg_histogram(plot: HistogramPlot) -> Html:
    frame = _Frame(plot.axis, _share_axis(plot), LOW)
    parts = frame.axes(lambda value: f"{100 * value:.0f}")
    for number, (series, shares) in enumerate(plot.series):
        outline = [f"M{frame.x(plot.axis.low):.1f} {frame.y(0):.1f}"]
        for place, share in enumerate(plot.outline(shares), 1):
            outline.append(f"V{frame.y(share):.1f}H{frame.x(plot.axis.low + place * plot.bin_width):.1f}")
        # The first is filled, so that both are visible where they are equal.
        style = series.style if number else f"filled {series.style}"
        parts.append(fill('<path class="outline {}" d="{}V{:.1f}"/>', style, "".join(outline), frame.y(0)))
    if plot.axis.low < 0 < plot.axis.high:
        parts.append(_line(frame.x(0), frame.y(0), frame.x(0), 8, "zero"))
    parts += [_line(frame.x(value), frame.y(0), frame.x(value), 8, "limit") for value in plot.limits]
    return _svg(plot.title, LOW, parts)


def _share_axis(plot: HistogramPlot) -> Axis:
    top = max([share for _, shares in plot.series for share in shares.values()] + [0.01])
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if top / step <= 5)
    return Axis(f"share of {plot.of} (%)", 0, math.ceil(top / step - 1e-9) * step, step)


def _svg_map(plot: MapPlot) -> Html:
    frame = _Frame(plot.x_axis, plot.y_axis, HIGH)
    parts = frame.axes(lambda value: f"{value:g}")
    if plot.diagonal:
        low, high = _diagonal(plot)
        parts.append(_line(frame.x(low), frame.y(low), frame.x(high), frame.y(high), "zero"))
    for x, y, n in sorted(plot.points, key=lambda point: -point[2]):
        radius = 2.5 + 9.5 * math.sqrt(n / plot.most) * min(1.0, math.sqrt(plot.most / 8))
        parts.append(
            fill(
                '<circle class="bubble" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>',
                frame.x(x),
                frame.y(y),
                radius,
                counted(n, plot.unit),
            )
        )
    return _svg(plot.title, HIGH, parts)


def _diagonal(plot: MapPlot) -> tuple[float, float]:
    return max(plot.x_axis.low, plot.y_axis.low), min(plot.x_axis.high, plot.y_axis.high)


class _Frame:
    """Positions of values between two axes, in units of the drawing."""

    left, right, top, bottom = 46, 12, 8, 38

    def __init__(self, x_axis: Axis, y_axis: Axis, height: int) -> None:
        self.x_axis, self.y_axis, self.height = x_axis, y_axis, height

    def x(self, value: float) -> float:
        share = (value - self.x_axis.low) / (self.x_axis.high - self.x_axis.low)
        return self.left + share * (WIDTH - self.left - self.right)

    def y(self, value: float) -> float:
        share = (value - self.y_axis.low) / (self.y_axis.high - self.y_axis.low)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def axes(self, y_label: Callable[[float], str]) -> list[Html]:
        floor, middle = self.height - self.bottom, (self.height - self.bottom + self.top) / 2
        parts = []
        for value in self.y_axis.ticks():
            parts.append(_line(self.left, self.y(value), WIDTH - self.right, self.y(value), "grid"))
            parts.append(_text(self.left - 5, self.y(value) + 4, y_label(value), "end", "soft"))
        for value in self.x_axis.ticks():
            parts.append(_line(self.x(value), floor, self.x(value), floor + 4, "tick"))
            parts.append(_text(self.x(value), floor + 16, f"{value:g}".replace("-", "−"), "middle", "soft"))
        parts.append(_text((self.left + WIDTH - self.right) / 2, self.height - 5, self.x_axis.title, "middle"))
        turned = fill(
            '<text transform="translate(12 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>',
            middle,
            self.y_axis.title,
        )
        return [*parts, turned]


def _text(x: float, y: float, text: str, anchor: str = "start", style: str = "", title: str = "") -> Html:
    hint = fill("<title>{}</title>", title) if title and title != text else ""
    return fill(
        '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}{}</text>', x, y, anchor, style, text, hint
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Html:
    return fill('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>', x1, y1, x2, y2, style)


def shortened_name(name: str, longest: int) -> str:
    """A name of `longest` characters at most, the last an ellipsis where more were cut off.

    >>> shortened_name("whispering", 10), shortened_name("whispering", 9)
    ('whispering', 'whisperi…')
    """
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _svg(title: str, height: float, parts: Sequence[Html]) -> Html:
    return fill(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        WIDTH,
        height,
        title,
        joined(parts),
    )


# PNG. Colours are Okabe and Ito's, distinct for any colour vision, and no plot needs colour alone. Nothing of the
# machine goes into a file (no date, no version, no style sheet of the user), so that the same data gives the same
# bytes and a push sends a plot only if it changed. matplotlib takes a second to import and is imported here alone.

#: Okabe and Ito (2008), "Color Universal Design"; `vermillion` marks limits.
BLUE, ORANGE, GREY, VERMILLION = "#0072B2", "#E69F00", "#C4C4C4", "#D55E00"
COLOURS = {"left": BLUE, "after": BLUE, "right": ORANGE, "before": GREY}

#: Characters of a name beside a bar.
PNG_NAME_CHARACTERS = 24

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


def png(plot: Plot) -> bytes:
    """A plot as a file, 864 px wide (672 for a map)."""
    # Margins are fixed, since an automatic layout draws everything twice.
    width, height, left = 7.2, 3.2, 0.65
    if isinstance(plot, BarPlot):
        height, left = 1.3 + 0.24 * len(plot.rows) * (1.5 if plot.grouped else 1), 1.75
    elif isinstance(plot, MapPlot):
        width, height = 5.6, 4.6
    margins = (left / width, 0.55 / height, 1 - 0.15 / width, 1 - 0.35 / height)
    return _figure([plot], (width, height), 1, margins)


def sheet(plots: Sequence[Plot], columns: int = 3) -> bytes:
    """Several plots as one file. Counts are logarithmic: a few near a limit are visible beside thousands."""
    rows = math.ceil(len(plots) / columns)
    return _figure(plots, (11, 3 * rows), columns, None)


def _figure(
    plots: Sequence[Plot],
    size: tuple[float, float],
    columns: int,
    margins: tuple[float, float, float, float] | None,
) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=size, layout=None if margins else "constrained")
        FigureCanvasAgg(figure)
        if margins:
            figure.subplots_adjust(*margins)
        for number, plot in enumerate(plots, 1):
            axes = figure.add_subplot(math.ceil(len(plots) / columns), columns, number)
            axes.set_title(plot.title)
            _DRAW[type(plot)](axes, plot)
            if not margins and plot:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter("")
        figure.savefig(file, format="png", dpi=120 if margins else 100, metadata={"Software": None})
    return file.getvalue()


def _draw_bars(axes: "Axes", plot: BarPlot) -> None:
    height = 0.8 / len(plot.series) if plot.grouped else 0.8
    starts = [0.0] * len(plot.rows)
    for number, (style, name) in enumerate(plot.series):
        values = [row.values[number] for row in plot.rows]
        offset = (number - (len(plot.series) - 1) / 2) * height if plot.grouped else 0.0
        places = [place + offset for place in range(len(plot.rows))]
        axes.barh(places, values, height, left=starts, color=COLOURS[style], label=name)
        if not plot.grouped:
            starts = [start + value for start, value in zip(starts, values, strict=True)]
    axes.set_yticks(range(len(plot.rows)), [shortened_name(row.name, PNG_NAME_CHARACTERS) for row in plot.rows])
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(plot.axis)
    if len(plot.series) > 1:
        axes.legend(loc="lower right", framealpha=0.9, edgecolor="none")


def _draw_histogram(axes: "Axes", plot: HistogramPlot) -> None:
    axis = plot.axis
    for number, (series, shares) in enumerate(plot.series):
        values = [100 * share for share in plot.outline(shares)]
        edges = [axis.low + place * plot.bin_width for place in range(len(values) + 1)]
        # The first is filled, so that both are visible where they are equal.
        axes.stairs(values, edges, color=COLOURS[series.style], fill=not number, linewidth=1.8, label=series.name)
    if axis.low < 0 < axis.high:
        axes.axvline(0, color="#999999", linewidth=0.8)
    for limit in plot.limits:
        axes.axvline(limit, color=VERMILLION, linestyle="--")
    axes.grid(axis="y")
    axes.set(xlim=(axis.low, axis.high), xlabel=axis.title, ylabel=f"share of {plot.of} (%)")
    if len(plot.series) > 1:
        axes.legend(frameon=False)


def _draw_map(axes: "Axes", plot: MapPlot) -> None:
    from matplotlib.ticker import MaxNLocator

    xs, ys, counts = ([point[place] for point in plot.points] for place in range(3))
    sizes = [14 + 240 * n / plot.most * min(1.0, plot.most / 8) for n in counts]
    if plot.diagonal:
        axes.plot(_diagonal(plot), _diagonal(plot), color="#999999", linestyle="--", linewidth=0.8)
    dots = axes.scatter(xs, ys, sizes, counts, cmap="cividis_r", vmin=0, edgecolors="#444444", linewidths=0.4)
    bar = axes.figure.colorbar(dots, ax=axes, label=f"{plot.unit}s")
    bar.locator = MaxNLocator(6, integer=True)
    bar.update_ticks()
    axes.grid(visible=True)
    axes.set(xlim=plot.x_axis[1:3], xlabel=plot.x_axis.title, ylim=plot.y_axis[1:3], ylabel=plot.y_axis.title)


_DRAW: dict[type[Plot], Any] = {BarPlot: _draw_bars, HistogramPlot: _draw_histogram, MapPlot: _draw_map}
