"""Plots as data, drawn twice: as SVG in a page, and by matplotlib as PNG, since a card on the Hub shows no SVG.

Each plot is declared once, with its title, its axes and what its colours mean. The SVG is drawn here and not by
matplotlib: its colours are classes, so that one drawing serves light, dark and forced colours, its text can be
selected and read aloud, and a page of twenty plots takes a millisecond each and a tenth of the bytes. It is drawn
for a card of about 360 px, so that its lettering stays legible on a phone.
"""

import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.render import Html, TableCell, fill, joined, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle


class Axis(NamedTuple):
    """What an axis shows: its title with the unit, its ends, and the distance of its ticks."""

    title: str
    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        return [self.low + i * self.step for i in range(math.floor((self.high - self.low) / self.step + 1e-6) + 1)]


class Series(NamedTuple):
    """What a colour means: its style, one of `COLOURS`, and its name."""

    style: str
    name: str


class Bar(NamedTuple):
    """A row of a bar plot: its name, one value a series, its cells in a table, and what is written behind it."""

    name: str
    values: tuple[float, ...]
    cells: tuple[str | int, ...]
    label: str = ""


class RangeRow(NamedTuple):
    """A row of a range plot: its name, and of each series least, middle and most, or None where unknown."""

    name: str
    values: tuple[tuple[float, float, float] | None, ...]


class Limit(NamedTuple):
    """A value beyond which something is rejected: on which side, `below` or `above`, and how many of how many."""

    value: float
    side: str
    n: int = 0
    of: int = 0

    @property
    def label(self) -> str:
        share = f" ({percent(self.n, self.of)})" if self.n else ""
        return f"{'◂' if self.side == 'below' else '▸'} rejects {self.n:,} of {self.of:,}{share}"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What all plots have: a title, a remark below it, and why it is not drawn where it shows nothing.

    `name` is that of its file, without an ending, where it is drawn as one. `head` are the names of the columns of
    its table: that of the rows, and those of their cells.
    """

    title: str
    note: str = ""
    nothing: str = ""
    name: str = ""
    head: tuple[str, ...] = ()

    def table(self) -> list[tuple[TableCell, ...]]:
        """Its figures as rows below `head`; empty where a table of them would say nothing."""
        return []

    def words(self) -> str:
        """Its figures in one sentence without a full stop, for readers who can't see it."""
        rows = (" ".join(str(cell) for cell in row if cell != "") for row in self.table())
        return "; ".join(rows)


@dataclass(frozen=True, kw_only=True)
class BarPlot(Plot):
    """Horizontal bars, the series of a row one after another, or one below the other if `grouped`.

    `axis` is the title with the unit.
    """

    rows: Sequence[Bar]
    series: Sequence[Series]
    axis: str = ""
    grouped: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows)

    def table(self) -> list[tuple[TableCell, ...]]:
        return [(row.name, *row.cells) for row in self.rows]


@dataclass(frozen=True, kw_only=True)
class HistogramPlot(Plot):
    """Distributions over each other: of each series shares in [0, 1] of `of` by the lower edges of bins.

    If `counted`, they are numbers instead, and drawn on a logarithmic axis on which a single one is visible.
    """

    series: Sequence[tuple[Series, Mapping[float, float]]]
    axis: Axis
    bin_width: float
    of: str
    limits: Sequence[Limit] = ()
    counted: bool = False

    def __bool__(self) -> bool:
        return any(values for _, values in self.series)

    def outline(self, values: Mapping[float, float]) -> list[float]:
        """The values of all bins from end to end, 0 where there is none."""
        n_bins = round((self.axis.high - self.axis.low) / self.bin_width)
        edges = (round(self.axis.low + number * self.bin_width, 6) for number in range(n_bins))
        return [values.get(edge, 0.0) for edge in edges]

    def words(self) -> str:
        sides = []
        for (_, name), values in self.series:
            low, middle, high = (_bin_of(values, share) + self.bin_width / 2 for share in (0.1, 0.5, 0.9))
            side = f"median about {middle:.3g}, 80 % from {low:.3g} to {high:.3g}"
            sides.append(f"{name}: {side}" if name else side)
        return "; ".join(
            [f"{self.axis.title}: {', '.join(sides)}", *(_limit_words(limit) for limit in self.limits)]
        )


def _bin_of(values: Mapping[float, float], share: float) -> float:
    whole, reached = math.fsum(values.values()), 0.0
    for edge in sorted(values):
        reached += values[edge]
        if reached >= share * whole - 1e-9:
            return edge
    return math.nan


def _limit_words(limit: Limit) -> str:
    return f"limit {limit.value:g}: {limit.n:,} of {limit.of:,} are {limit.side}"


#: x, y and the count of each circle of a map.
Points = Sequence[tuple[float, float, int]]


@dataclass(frozen=True, kw_only=True)
class MapPlot(Plot):
    """Circles whose area is a count of `unit`: x, y and the count. `diagonal` draws where x is y.

    `full`: the count of the largest circle, of maps that are to be compared; that of its own points where it is 0.
    """

    points: Points
    x_axis: Axis
    y_axis: Axis
    unit: str
    diagonal: bool = False
    style: str = "after"
    full: int = 0

    def __bool__(self) -> bool:
        return bool(self.points)

    @property
    def most(self) -> int:
        return self.full or max((n for _, _, n in self.points), default=1)

    def words(self) -> str:
        return _map_words(self.points, self.x_axis, self.y_axis)


@dataclass(frozen=True, kw_only=True)
class MultiplesPlot(Plot):
    """Small maps with the same axes, each before all points in grey, so that they can be compared."""

    panels: Sequence[tuple[str, Points]]
    x_axis: Axis
    y_axis: Axis
    unit: str

    def __bool__(self) -> bool:
        return bool(self.panels)

    @property
    def most(self) -> int:
        return max((n for _, points in self.panels for *_, n in points), default=1)

    def words(self) -> str:
        return "; ".join(f"{name}: {_map_words(points, self.x_axis, self.y_axis)}" for name, points in self.panels)


def _map_words(points: Points, x_axis: Axis, y_axis: Axis) -> str:
    whole = max(1, sum(n for *_, n in points))
    means = [math.fsum(point[place] * point[2] for point in points) / whole for place in (0, 1)]
    return ", ".join(f"{axis.title}: mean {mean:.2f}" for axis, mean in zip((x_axis, y_axis), means, strict=True))


@dataclass(frozen=True, kw_only=True)
class RangePlot(Plot):
    """Least, middle and most of each row and series as a line with a dot; a dashed line at `middle`, if any."""

    rows: Sequence[RangeRow]
    series: Sequence[Series]
    axis: Axis
    middle: float | None = None

    def __bool__(self) -> bool:
        return any(value for row in self.rows for value in row.values)

    def words(self) -> str:
        rows = []
        for row in self.rows:
            sides = [
                f"{name} {value[1]:.2f} ({value[0]:.2f} to {value[2]:.2f})"
                for (_, name), value in zip(self.series, row.values, strict=True)
                if value
            ]
            rows.append(f"{row.name}: {', '.join(sides) or 'unknown'}")
        return f"{self.axis.title}: {'; '.join(rows)}"


@dataclass(frozen=True, kw_only=True)
class MatrixPlot(Plot):
    """Counts by row and column, shaded by their share of the row. `head[0]` says what rows are."""

    rows: Sequence[tuple[str, tuple[int, ...]]]
    columns: tuple[str, ...]
    axis: str = ""

    def __bool__(self) -> bool:
        return any(any(counts) for _, counts in self.rows)

    def table(self) -> list[tuple[TableCell, ...]]:
        return [(name, *counts) for name, counts in self.rows]

    def words(self) -> str:
        rows = []
        for name, counts in self.rows:
            cells = (f"{column} {n:,}" for column, n in zip(self.columns, counts, strict=True) if n)
            rows.append(f"{name}: {', '.join(cells) or 'none'}")
        return "; ".join(rows)


def alternative(plot: Plot) -> str:
    """What a plot shows in words: its title and its figures."""
    return f"{plot.title}. {plot.words()}." if plot else plot.title


# Colours: one meaning each, the same on the page in light mode, on cards, and beside another folder. They have the
# hues of Okabe and Ito (2008, "Color Universal Design"), which any colour vision distinguishes, darkened until
# lettering in them is legible on white; the style sheets of the page have them too, and lighter ones in the dark.


#: `left`, `right`: the channels. `before`: as recorded. `after`: as it is in this folder. `other`: another folder.
COLOURS = {"left": "#0067a3", "right": "#a84e00", "before": "#8b95a3", "after": "#00795a", "other": "#a0407c"}

#: Lettering and limits, lines of axes, of the grid, and what is rejected.
INK, SOFT, FAINT, BEYOND = "#1b2330", "#566070", "#dcdfe4", "#ececec"


# SVG. Colours are classes that the page's style sheet fills.

#: Units of the drawing (about one CSS pixel each): its width, and the heights of a bar's row, a histogram, a map.
WIDTH, ROW, LOW, HIGH = 380, 22, 220, 300

#: Characters of a name that fit beside a bar, and the width of a letter.
NAME_CHARACTERS, LETTER_WIDTH = 17, 6.6

#: Radius of the largest circle, and the least count that it has: a few points stay small.
RADIUS, FULL_COUNT = 12.0, 8

#: Side of a small map, and how large its circles are beside those of a large one.
SMALL_SIDE, SMALL_SCALE = 190, 0.6

#: The count at which a logarithmic axis begins, so that one has a height.
LEAST_COUNT = 0.5


def svg(plot: Plot) -> Html:
    """A plot with its key as HTML."""
    if isinstance(plot, BarPlot):
        return _key(plot.series) + _svg_bars(plot)
    if isinstance(plot, HistogramPlot):
        return _key([series for series, _ in plot.series]) + _svg_histogram(plot)
    if isinstance(plot, RangePlot):
        return _key(plot.series) + _svg_ranges(plot)
    if isinstance(plot, MatrixPlot):
        return _svg_matrix(plot)
    if isinstance(plot, MultiplesPlot):
        return _svg_multiples(plot)
    assert isinstance(plot, MapPlot)
    frame = _Frame(plot.x_axis, plot.y_axis, HIGH)
    parts = frame.axes(lambda value: f"{value:g}")
    if plot.diagonal:
        low, high = _diagonal(plot)
        parts.append(_line(frame.x(low), frame.y(low), frame.x(high), frame.y(high), "zero"))
    parts += _circles(plot.points, frame, plot.most, plot.style, plot.unit)
    return _svg(plot, HIGH, parts) + _size_key(plot.most, plot.unit, plot.style)


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
            start = left if plot.grouped else x
            parts.append(_rect(start, top, max(0.0, value * scale), height, series.style))
            x += value * scale
        parts.append(_text(left + length * scale + 5, y + 15, label, style="soft"))
    return _svg(plot, max(1, len(plot.rows)) * ROW, parts)


def _svg_histogram(plot: HistogramPlot) -> Html:
    frame = _Frame(plot.axis, _height_axis(plot), LOW, top=24 if plot.limits else 8, is_log=plot.counted)
    top = frame.y(frame.y_axis.high)
    parts = []
    for limit in plot.limits:
        edges = (plot.axis.low, limit.value) if limit.side == "below" else (limit.value, plot.axis.high)
        first, last = (frame.x(min(max(edge, plot.axis.low), plot.axis.high)) for edge in edges)
        parts.append(_rect(first, top, last - first, frame.y(0) - top, "beyond"))
    parts += frame.axes(lambda value: f"{value:g}" if plot.counted else f"{100 * value:.0f}")
    for number, (series, values) in enumerate(plot.series):
        outline = [f"M{frame.x(plot.axis.low):.1f} {frame.y(0):.1f}"]
        for place_number, value in enumerate(plot.outline(values), 1):
            edge = plot.axis.low + place_number * plot.bin_width
            outline.append(f"V{frame.y(value):.1f}H{frame.x(edge):.1f}")
        # The first is filled, so that both are visible where they are equal.
        style = series.style if number else f"filled {series.style}"
        parts.append(fill('<path class="outline {}" d="{}V{:.1f}"/>', style, "".join(outline), frame.y(0)))
    if plot.axis.low < 0 < plot.axis.high:
        parts.append(_line(frame.x(0), frame.y(0), frame.x(0), top, "zero"))
    for limit in plot.limits:
        x = frame.x(limit.value)
        parts.append(_line(x, frame.y(0), x, top, "limit"))
        is_left = x < WIDTH / 2
        parts.append(_text(x if is_left else x + 2, top - 6, limit.label, "start" if is_left else "end"))
    return _svg(plot, LOW, parts)


def _height_axis(plot: HistogramPlot) -> Axis:
    """The axis of shares or numbers, with five ticks at most."""
    most = max([value for _, values in plot.series for value in values.values()] + [0.01])
    if plot.counted:
        return Axis(f"{plot.of}, logarithmic", 0, max(2 * most, 10.0), 1)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if most / step <= 5)
    return Axis(f"share of {plot.of} (%)", 0, math.ceil(most / step - 1e-9) * step, step)


def _circles(points: Points, frame: "_Frame", most: int, style: str, unit: str, scale: float = 1.0) -> list[Html]:
    """Circles with a constant area a count, the largest first."""
    return [
        fill(
            '<circle class="bubble {}" cx="{:.1f}" cy="{:.1f}" r="{:.2f}">{}</circle>',
            style,
            frame.x(x),
            frame.y(y),
            scale * circle_radius(n, most),
            fill("<title>{}</title>", counted(n, unit)) if unit else "",
        )
        for x, y, n in sorted(points, key=lambda point: -point[2])
    ]


def circle_radius(n: int, most: int) -> float:
    """Radius of the circle of a count where `most` is the largest: its area grows with the count and nothing else.

    >>> circle_radius(8, 8) / circle_radius(2, 8)
    2.0
    """
    return RADIUS * math.sqrt(n / max(most, FULL_COUNT))


def size_steps(most: int) -> list[int]:
    """Counts whose circles a key shows.

    >>> size_steps(1), size_steps(40)
    ([1], [1, 10, 40])
    """
    return sorted({1, max(1, round(most / 4)), most})


def _size_key(most: int, unit: str, style: str, scale: float = 1.0) -> Html:
    """What the areas mean."""
    items = joined(
        fill(
            '<li><svg class="size" width="{0}" height="{0}" viewBox="0 0 {0} {0}" aria-hidden="true">'
            '<circle class="bubble {1}" cx="{2}" cy="{2}" r="{3:.2f}"/></svg>{4}</li>',
            round(2 * RADIUS + 2),
            style,
            round(RADIUS + 1),
            scale * circle_radius(n, most),
            counted(n, unit),
        )
        for n in size_steps(most)
    )
    return fill('<ul class="key">{}</ul>', items)


def _svg_multiples(plot: MultiplesPlot) -> Html:
    everything = [point for _, points in plot.panels for point in points]
    most = max(plot.most, 1)
    panels = []
    for name, points in plot.panels:
        frame = _Frame(plot.x_axis, plot.y_axis, SMALL_SIDE, SMALL_SIDE, left=30, bottom=20)
        parts = frame.axes(lambda value: f"{value:g}", titles=False)
        parts += _circles([(x, y, 1) for x, y, _ in everything], frame, 4 * FULL_COUNT, "before", "", SMALL_SCALE)
        parts += _circles(points, frame, most, "after", plot.unit, SMALL_SCALE)
        caption = f"{name} ({sum(n for *_, n in points):,})"
        words = f"{caption}: {_map_words(points, plot.x_axis, plot.y_axis)}"
        drawing = _drawing(words, SMALL_SIDE, SMALL_SIDE, parts)
        panels.append(fill("<figure><figcaption>{}</figcaption>{}</figure>", caption, drawing))
    axes = fill('<p class="soft">Across: {}. Up: {}.</p>', plot.x_axis.title, plot.y_axis.title)
    key = _size_key(most, plot.unit, "after", SMALL_SCALE)
    return fill('<div class="multiples">{}</div>', joined(panels)) + axes + key


def _svg_ranges(plot: RangePlot) -> Html:
    step = 8 + 8 * len(plot.series)
    height = len(plot.rows) * step + 46
    frame = _Frame(plot.axis, Axis("", 0, 1, 1), height, left=112)
    parts = frame.axes(None)
    if plot.middle is not None:
        parts.append(_line(frame.x(plot.middle), frame.y(0), frame.x(plot.middle), 8, "zero"))
    for number, row in enumerate(plot.rows):
        top = 8 + number * step
        name = shortened_name(row.name, NAME_CHARACTERS)
        parts.append(_text(106, top + step / 2 + 4, name, "end", title=row.name))
        for place, (series, value) in enumerate(zip(plot.series, row.values, strict=True)):
            if value is None:
                continue
            y = top + 8 + 8 * place
            low, middle, high = (frame.x(min(max(point, plot.axis.low), plot.axis.high)) for point in value)
            parts.append(_line(low, y, high, y, f"range {series.style}"))
            parts.append(fill('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="4"/>', series.style, middle, y))
    return _svg(plot, height, parts)


#: How far right a character of a slanted head reaches, in units of the drawing.
_CHARACTER = 5.0


def _svg_matrix(plot: MatrixPlot) -> Html:
    left, top, side = 96, 74, 26
    width = (WIDTH - left) / max(1, len(plot.columns))
    # A slanted head of the last column may be longer than half of it.
    beyond = _CHARACTER * len(shortened_name(plot.columns[-1], 12)) - width / 2 if plot.columns else 0.0
    width -= max(0.0, beyond) / max(1, len(plot.columns))
    parts = []
    for number, name in enumerate(plot.columns):
        x = left + (number + 0.5) * width
        parts.append(
            fill(
                '<text transform="translate({:.1f} {}) rotate(-40)">{}<title>{}</title></text>',
                x,
                top - 6,
                shortened_name(name, 12),
                name,
            )
        )
    for row_number, (name, counts) in enumerate(plot.rows):
        y, whole = top + row_number * side, max(1, sum(counts))
        parts.append(_text(left - 6, y + 17, shortened_name(name, 14), "end", title=name))
        for number, n in enumerate(counts):
            x = left + number * width
            parts.append(
                fill(
                    '<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" class="cell" fill-opacity="{:.3f}"/>',
                    x + 0.5,
                    y,
                    width - 1,
                    side - 1,
                    0.5 * n / whole,
                )
            )
            if n:
                parts.append(_text(x + width / 2, y + 17, f"{n:,}", "middle"))
    return _svg(plot, top + side * len(plot.rows) + 2, parts)


def _diagonal(plot: MapPlot) -> tuple[float, float]:
    return max(plot.x_axis.low, plot.y_axis.low), min(plot.x_axis.high, plot.y_axis.high)


class _Frame:
    """Positions of values between two axes, in units of the drawing."""

    right = 12

    def __init__(
        self,
        x_axis: Axis,
        y_axis: Axis,
        height: int,
        width: int = WIDTH,
        left: int = 46,
        top: int = 8,
        bottom: int = 38,
        is_log: bool = False,
    ) -> None:
        self.x_axis, self.y_axis, self.height, self.width, self.is_log = x_axis, y_axis, height, width, is_log
        self.left, self.top, self.bottom = left, top, bottom

    def x(self, value: float) -> float:
        share = (value - self.x_axis.low) / (self.x_axis.high - self.x_axis.low)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        if self.is_log:
            share = math.log(max(value, LEAST_COUNT) / LEAST_COUNT) / math.log(self.y_axis.high / LEAST_COUNT)
        else:
            share = (value - self.y_axis.low) / (self.y_axis.high - self.y_axis.low)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def y_ticks(self) -> list[float]:
        if not self.is_log:
            return self.y_axis.ticks()
        return [10.0**power for power in range(math.floor(math.log10(self.y_axis.high)) + 1)]

    def axes(self, y_label: Callable[[float], str] | None, titles: bool = True) -> list[Html]:
        """Lines, figures and titles of both axes; of the one across alone without `y_label`."""
        floor, middle = self.height - self.bottom, (self.height - self.bottom + self.top) / 2
        parts = []
        for value in self.y_ticks() if y_label else ():
            parts.append(_line(self.left, self.y(value), self.width - self.right, self.y(value), "grid"))
            parts.append(_text(self.left - 5, self.y(value) + 4, y_label(value) if y_label else "", "end", "soft"))
        for value in self.x_axis.ticks():
            parts.append(_line(self.x(value), floor, self.x(value), floor + 4, "tick"))
            parts.append(_text(self.x(value), floor + 16, f"{value:g}".replace("-", "−"), "middle", "soft"))
        if not titles:
            return parts
        across = (self.left + self.width - self.right) / 2
        parts.append(_text(across, self.height - 5, self.x_axis.title, "middle"))
        return (
            [
                *parts,
                fill(
                    '<text transform="translate(12 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>',
                    middle,
                    self.y_axis.title,
                ),
            ]
            if y_label
            else parts
        )


def _text(x: float, y: float, text: str, anchor: str = "start", style: str = "", title: str = "") -> Html:
    hint = fill("<title>{}</title>", title) if title and title != text else ""
    return fill(
        '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}{}</text>', x, y, anchor, style, text, hint
    )


def _rect(x: float, y: float, width: float, height: float, style: str) -> Html:
    return fill(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"/>', x, y, width, height, style
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Html:
    return fill('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>', x1, y1, x2, y2, style)


def shortened_name(name: str, longest: int) -> str:
    """A name of `longest` characters at most, the last an ellipsis where more were cut off.

    >>> shortened_name("whispering", 10), shortened_name("whispering", 9)
    ('whispering', 'whisperi…')
    """
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _svg(plot: Plot, height: float, parts: Sequence[Html]) -> Html:
    return _drawing(alternative(plot), WIDTH, height, parts)


def _drawing(words: str, width: float, height: float, parts: Sequence[Html]) -> Html:
    return fill(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        width,
        height,
        words,
        joined(parts),
    )


# PNG. Nothing of the machine goes into a file (no date, no version, no style sheet of the user), so that the same
# data gives the same bytes and a push sends a plot only if it changed. Lettering is a fortieth of the width high,
# so that it is legible where the Hub shows a picture 400 px wide. matplotlib takes a second to import and is
# imported here alone.


#: Characters of a name beside a bar.
PNG_NAME_CHARACTERS = 17

#: Inches, and pixels of one: 810 px. Points of lettering.
PNG_WIDTH, PNG_DPI, FONT_SIZE = 4.5, 180, 9

#: Characters of a line of a title.
TITLE_CHARACTERS = 52

#: `text.parse_math`: a tag is plain text.
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "text.color": INK,
    "grid.color": FAINT,
    "text.parse_math": False,
}


def png(plot: Plot) -> bytes:
    """A plot as a file, 810 px wide."""
    # Margins are fixed, since an automatic layout draws everything twice. Inches: height of the axes, margins.
    title = _title_lines(plot)
    inside, left, right, bottom = 2.3, 0.62, 0.15, 0.5
    top = 0.16 + 0.17 * len(title)
    if isinstance(plot, BarPlot):
        inside, left = 0.12 + 0.24 * len(plot.rows) * (1.5 if plot.grouped else 1), 1.42
        top += 0.2 if len(plot.series) > 1 else 0.0
    elif isinstance(plot, RangePlot):
        inside, left = 0.12 + len(plot.rows) * (0.14 + 0.13 * len(plot.series)), 1.42
        top += 0.2 if len(plot.series) > 1 else 0.0
    elif isinstance(plot, MatrixPlot):
        inside, left, top, bottom = 0.05 + 0.27 * len(plot.rows), 1.42, top + 0.85, 0.1
    elif isinstance(plot, HistogramPlot):
        top += 0.2 * (len(plot.series) > 1) + 0.2 * bool(plot.limits)
    elif isinstance(plot, MapPlot):
        inside, top = 3.1, top + 0.3
    elif isinstance(plot, MultiplesPlot):
        inside, top = 1.42 * math.ceil(len(plot.panels) / _PANELS), top + 0.5
    height = inside + top + bottom
    margins = (left / PNG_WIDTH, bottom / height, 1 - right / PNG_WIDTH, 1 - top / height)
    return _figure([plot], (PNG_WIDTH, height), 1, margins)


def _title_lines(plot: Plot) -> list[str]:
    return textwrap.wrap(plot.title, TITLE_CHARACTERS) or [""]


def sheet(plots: Sequence[Plot], columns: int = 3, title: str = "") -> bytes:
    """Several plots as one file with a title over them."""
    rows = math.ceil(len(plots) / columns)
    return _figure(plots, (11, 3 * rows + (0.4 if title else 0)), columns, None, title)


def _figure(
    plots: Sequence[Plot],
    size: tuple[float, float],
    columns: int,
    margins: tuple[float, float, float, float] | None,
    title: str = "",
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
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        for number, plot in enumerate(plots, 1):
            if isinstance(plot, MultiplesPlot):
                _draw_multiples(figure, plot)
                continue
            axes = figure.add_subplot(math.ceil(len(plots) / columns), columns, number)
            _DRAW[type(plot)](axes, plot)
            if margins:
                _put_title(figure, plot)
            else:
                axes.set_title(plot.title, pad=18 if isinstance(plot, HistogramPlot) and plot.limits else None)
        figure.savefig(file, format="png", dpi=PNG_DPI if margins else 100, metadata={"Software": None})
    return file.getvalue()


def _put_title(figure: "Figure", plot: Plot) -> None:
    """The title in the upper left corner, over the names of rows too."""
    text = "\n".join(_title_lines(plot))
    height = figure.get_size_inches()[1]
    figure.text(0.02, 1 - 0.08 / height, text, ha="left", va="top", fontsize=9.5, fontweight="bold")


def _legend(axes: "Axes", n: int, height: float = 1.0) -> None:
    """The key of several series, above the axes and from the left edge of the picture."""
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(axes.figure.transFigure, axes.transAxes)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, height),
        bbox_transform=place,
        ncols=n,
        frameon=False,
        borderaxespad=0.1,
        handlelength=1.2,
        columnspacing=1.2,
    )


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
        _legend(axes, len(plot.series))


def _draw_histogram(axes: "Axes", plot: HistogramPlot) -> None:
    axis = plot.axis
    for limit in plot.limits:
        low, high = (axis.low, limit.value) if limit.side == "below" else (limit.value, axis.high)
        axes.axvspan(low, high, color=BEYOND, zorder=0)
    for number, (series, numbers) in enumerate(plot.series):
        values = [value if plot.counted else 100 * value for value in plot.outline(numbers)]
        edges = [axis.low + place * plot.bin_width for place in range(len(values) + 1)]
        # The first is filled, so that both are visible where they are equal.
        filled, colour = not number, COLOURS[series.style]
        baseline = LEAST_COUNT / 2 if plot.counted else 0
        axes.stairs(values, edges, baseline=baseline, color=colour, fill=filled, linewidth=1.5, label=series.name)
    if axis.low < 0 < axis.high:
        axes.axvline(0, color=SOFT, linewidth=0.8)
    for limit in plot.limits:
        axes.axvline(limit.value, color=INK, linestyle="--", linewidth=1.5)
        is_left = limit.value < (axis.low + axis.high) / 2
        side = "left" if is_left else "right"
        across = axes.get_xaxis_transform()
        axes.text(limit.value, 1.01, limit.label, transform=across, ha=side, va="bottom", fontsize=8)
    axes.grid(axis="y")
    axes.set(xlim=(axis.low, axis.high), xlabel=axis.title, ylabel=_height_axis(plot).title)
    if plot.counted:
        axes.set_yscale("log")
        axes.set_ylim(LEAST_COUNT, _height_axis(plot).high)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_formatter("")
    if len(plot.series) > 1:
        _legend(axes, len(plot.series))


def _draw_map(axes: "Axes", plot: MapPlot) -> None:
    if plot.diagonal:
        axes.plot(_diagonal(plot), _diagonal(plot), color=SOFT, linestyle="--", linewidth=0.8)
    _scatter(axes, plot.points, plot.most, plot.style)
    _size_legend(axes, plot.most, plot.unit, plot.style)
    axes.grid(visible=True)
    axes.set(xlim=plot.x_axis[1:3], xlabel=plot.x_axis.title, ylim=plot.y_axis[1:3], ylabel=plot.y_axis.title)


def _scatter(axes: "Axes", points: Points, most: int, style: str, label: str = "", scale: float = 1.0) -> None:
    """Circles whose area, in square points, grows with the count and nothing else."""
    xs, ys = ([point[place] for point in points] for place in (0, 1))
    sizes = [(scale * _POINTS * circle_radius(n, most)) ** 2 for *_, n in points]
    axes.scatter(xs, ys, sizes, color=COLOURS[style], alpha=0.55, linewidths=0, label=label or None)


def _size_legend(axes: "Axes", most: int, unit: str, style: str, scale: float = 1.0, height: float = 1.0) -> None:
    for n in size_steps(most):
        _scatter(axes, [(math.nan, math.nan, n)], most, style, counted(n, unit), scale)
    _legend(axes, 3, height)


#: Points of the diameter of a circle for a unit of its radius in SVG, and small maps side by side.
_POINTS, _PANELS = 1.3, 3


def _draw_multiples(figure: "Figure", plot: MultiplesPlot) -> None:
    everything = [(x, y, 1) for _, points in plot.panels for x, y, _ in points]
    rows = math.ceil(len(plot.panels) / _PANELS)
    figure.subplots_adjust(left=0.12, right=0.98, hspace=0.45, wspace=0.12)
    for number, (name, points) in enumerate(plot.panels, 1):
        axes = figure.add_subplot(rows, _PANELS, number)
        _scatter(axes, everything, 4 * FULL_COUNT, "before", "", SMALL_SCALE)
        _scatter(axes, points, plot.most, "after", "", SMALL_SCALE)
        title = f"{shortened_name(name, 14)} ({sum(n for *_, n in points):,})"
        axes.set_title(title, fontsize=8.5, pad=4)
        if number == 1:
            _size_legend(axes, plot.most, plot.unit, "after", SMALL_SCALE, 1.2)
        axes.set(xlim=plot.x_axis[1:3], ylim=plot.y_axis[1:3])
        axes.tick_params(
            labelsize=8, labelleft=number % _PANELS == 1, labelbottom=number > len(plot.panels) - _PANELS
        )
    figure.supxlabel(plot.x_axis.title, fontsize=9)
    figure.supylabel(plot.y_axis.title, fontsize=9)
    _put_title(figure, plot)


def _draw_ranges(axes: "Axes", plot: RangePlot) -> None:
    height = 0.55 / len(plot.series)
    if plot.middle is not None:
        axes.axvline(plot.middle, color=SOFT, linestyle="--", linewidth=0.8)
    for number, (style, name) in enumerate(plot.series):
        offset = (number - (len(plot.series) - 1) / 2) * height
        known = [(place + offset, row.values[number]) for place, row in enumerate(plot.rows)]
        for place, value in known:
            if value is not None:
                axes.plot(value[::2], (place, place), color=COLOURS[style], linewidth=2.2, solid_capstyle="butt")
        dots = [(value[1], place) for place, value in known if value is not None]
        axes.plot(*zip(*dots, strict=True), "o", color=COLOURS[style], markersize=5, label=name) if dots else None
    axes.set_yticks(range(len(plot.rows)), [shortened_name(row.name, PNG_NAME_CHARACTERS) for row in plot.rows])
    axes.set_ylim(len(plot.rows) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(plot.axis.low, plot.axis.high), xlabel=plot.axis.title)
    if len(plot.series) > 1:
        _legend(axes, len(plot.series))


def _draw_matrix(axes: "Axes", plot: MatrixPlot) -> None:
    from matplotlib.colors import to_rgba

    for row_number, (_, counts) in enumerate(plot.rows):
        whole = max(1, sum(counts))
        for number, n in enumerate(counts):
            corner = (number - 0.48, row_number - 0.46)
            axes.add_patch(_cell(corner, to_rgba(COLOURS["after"], 0.6 * n / whole)))
            if n:
                axes.text(number, row_number, f"{n:,}", ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.5, len(plot.columns) - 0.5), ylim=(len(plot.rows) - 0.5, -0.5))
    axes.set_yticks(range(len(plot.rows)), [shortened_name(name, PNG_NAME_CHARACTERS) for name, _ in plot.rows])
    names = [shortened_name(name, 12) for name in plot.columns]
    axes.set_xticks(range(len(plot.columns)), names, rotation=40, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _cell(corner: tuple[float, float], colour: tuple[float, float, float, float]) -> "Rectangle":
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 0.96, 0.92, facecolor=colour, edgecolor="none")


_DRAW: dict[type[Plot], Any] = {
    BarPlot: _draw_bars,
    HistogramPlot: _draw_histogram,
    MapPlot: _draw_map,
    RangePlot: _draw_ranges,
    MatrixPlot: _draw_matrix,
}
