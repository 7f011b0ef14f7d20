"""Plots as data, drawn once: as marks that are SVG in a page, and pixels on a card, since the Hub shows no SVG.

Each plot is declared once, with its title, its axes and the meaning of its colours. The SVG is not matplotlib's:
its colours are classes, so that one drawing serves light, dark and forced colours, its text can be selected and
read aloud, and a page of twenty plots takes a millisecond each and a tenth of the bytes. A drawing is made for a
card of about 360 px, so that its lettering stays legible on a phone; marks are in units of about one CSS pixel,
from the upper left corner. Nothing of the machine goes into a PNG (no date, no version, no style sheet of the
user), so that the same data gives the same bytes and a push sends a plot only if it changed. matplotlib takes a
second to import and is imported for a PNG alone.
"""

import io
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.render import Html, TableCell, fill, joined, percent


class Axis(NamedTuple):
    """An axis: its title with the unit, its ends, and the distance of its ticks."""

    title: str
    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        return [self.low + i * self.step for i in range(math.floor((self.high - self.low) / self.step + 1e-6) + 1)]


class Series(NamedTuple):
    """The meaning of a colour: its style, one of `COLOURS`, and its name."""

    style: str
    name: str


class Bar(NamedTuple):
    """A row of a bar plot: its name, one value a series, its cells in a table, and the label behind it."""

    name: str
    values: tuple[float, ...]
    cells: tuple[str | int, ...]
    label: str = ""


class Limit(NamedTuple):
    """A value beyond which clips are rejected: the side, `below` or `above`, and how many of how many."""

    value: float
    side: str
    n: int = 0
    of: int = 0

    @property
    def label(self) -> str:
        share = f" ({percent(self.n, self.of)})" if self.n else ""
        return f"{'◂' if self.side == 'below' else '▸'} rejects {self.n:,} of {self.of:,}{share}"


class Reach(NamedTuple):
    """The values of a measure in another corpus, `low` to `high`; a single value where both are the same."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Plot:
    """The base of all plots: a title, a note below it, and `nothing`, why an empty plot is not drawn.

    `name` is that of its file, without an ending. `head` are the names of the columns of its table: that of the
    rows, and those of their cells.
    """

    title: str
    note: str = ""
    nothing: str = ""
    name: str = ""
    head: tuple[str, ...] = ()

    def table(self) -> list[tuple[TableCell, ...]]:
        """Return its figures as rows below `head`; empty for plots without a table."""
        return []

    def words(self) -> str:
        """Return its figures in one sentence without a full stop, for readers who can't see it."""
        return "; ".join(" ".join(str(cell) for cell in row if cell != "") for row in self.table())


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
    reaches: Sequence[Reach] = ()

    def __bool__(self) -> bool:
        return any(values for _, values in self.series)

    def outline(self, values: Mapping[float, float]) -> list[float]:
        """Return the values of all bins from end to end, 0 where there is none."""
        n_bins = round((self.axis.high - self.axis.low) / self.bin_width)
        edges = (round(self.axis.low + number * self.bin_width, 6) for number in range(n_bins))
        return [values.get(edge, 0.0) for edge in edges]

    def words(self) -> str:
        sides = []
        for (_, name), values in self.series:
            low, middle, high = (_quantile(values, share) + self.bin_width / 2 for share in (0.1, 0.5, 0.9))
            side = f"median about {middle:.3g}, 80 % from {low:.3g} to {high:.3g}"
            sides.append(f"{name}: {side}" if name else side)
        limits = [f"limit {limit.value:g}: {limit.n:,} of {limit.of:,} are {limit.side}" for limit in self.limits]
        others = [
            f"{name}: {low:.3g}" + (f" to {high:.3g}" if high > low else "") for name, low, high in self.reaches
        ]
        return "; ".join([f"{self.axis.title}: {', '.join(sides)}", *limits, *others])


def _quantile(values: Mapping[float, float], share: float) -> float:
    whole, reached = math.fsum(values.values()), 0.0
    for edge in sorted(values):
        reached += values[edge]
        if reached >= share * whole - 1e-9:
            return edge
    return math.nan


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
class MatrixPlot(Plot):
    """Counts by row and column, shaded by their share of the row. `head[0]` is the name of the rows."""

    rows: Sequence[tuple[str, tuple[int, ...]]]
    columns: tuple[str, ...]

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
    return f"{plot.title}. {plot.words()}." if plot else plot.title


#: One meaning each, the same on the page in light mode, on cards, and beside another folder: `left`, `right`: the
#: channels. `before`: as recorded. `after`: as it is in this folder. `other`: another folder. They have the hues
#: of Okabe and Ito (2008, "Color Universal Design"), which any colour vision distinguishes, darkened until
#: lettering in them is legible on white; the style sheets of the page have them too, and lighter ones in the dark.
COLOURS = {"left": "#0067a3", "right": "#a84e00", "before": "#8b95a3", "after": "#00795a", "other": "#a0407c"}

#: Lettering and limits, lines of axes, of the grid, and the side beyond a limit.
INK, SOFT, FAINT, BEYOND = "#1b2330", "#566070", "#dcdfe4", "#ececec"


class Rect(NamedTuple):
    """A rectangle; as in all marks, `style` is a class of the page's style sheets."""

    x: float
    y: float
    width: float
    height: float
    style: str
    opacity: float = 1.0


class Polyline(NamedTuple):
    points: Sequence[tuple[float, float]]
    style: str


class Circle(NamedTuple):
    x: float
    y: float
    radius: float
    style: str
    hint: str = ""


class Lettering(NamedTuple):
    """A line of text on its base line; `anchor` is `start`, `middle` or `end`, and `angle` is clockwise."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    style: str = ""
    hint: str = ""
    angle: float = 0.0


Mark = Rect | Polyline | Circle | Lettering


class Drawing(NamedTuple):
    width: float
    height: float
    marks: Sequence[Mark]


#: Width of a drawing, and the heights of a bar's row, a histogram, a map.
WIDTH, ROW, LOW, HIGH = 380, 22, 220, 300

#: Height of the line above a histogram on which another corpus is named.
LANE = 18

#: The width of a letter of 12 pixels, in the widest of the usual fonts (DejaVu Sans).
LETTER_WIDTH = 7.2

#: The left edge of rows: at most this share of the width is for their names.
NAMES_SHARE = 0.5

#: Radius of the largest circle, and the least count that it has: a few points stay small.
RADIUS, FULL_COUNT = 12.0, 8

#: Side of a small map on a page, how large its circles are beside those of a large one, and maps side by side in a
#: picture.
SMALL_SIDE, SMALL_SCALE, PANELS = 190, 0.6, 3

#: The count at which a logarithmic axis begins, so that one has a height.
LEAST_COUNT = 0.5

#: How far right a character of a slanted head reaches.
_SLANTED_CHARACTER = 5.6


def _drawing(plot: Plot) -> Drawing:
    if isinstance(plot, BarPlot):
        return _bars(plot)
    if isinstance(plot, HistogramPlot):
        return _histogram(plot)
    if isinstance(plot, MatrixPlot):
        return _matrix(plot)
    assert isinstance(plot, MapPlot)
    frame = _Frame(plot.x_axis, plot.y_axis, HIGH)
    marks = frame.axes(lambda value: f"{value:g}")
    if plot.diagonal:
        low, high = max(plot.x_axis.low, plot.y_axis.low), min(plot.x_axis.high, plot.y_axis.high)
        marks.append(Polyline([(frame.x(low), frame.y(low)), (frame.x(high), frame.y(high))], "zero"))
    return Drawing(WIDTH, HIGH, [*marks, *_circles(plot.points, frame, plot.most, plot.style, plot.unit)])


def _bars(plot: BarPlot) -> Drawing:
    labels = [row.label or " · ".join(map(str, row.cells)) for row in plot.rows]
    lengths = [max(row.values) if plot.grouped else sum(row.values) for row in plot.rows]
    height = max(1, len(plot.rows)) * ROW + 38
    left = _names_width(row.name for row in plot.rows)
    right = min(10 + LETTER_WIDTH * max(map(len, labels), default=0), WIDTH - left - 40.0)
    most = max(lengths, default=0.0) or 1.0
    axis = Axis(plot.axis, 0, most, _tick_step(most, 1e-6))
    frame = _Frame(axis, Axis("", 0, 1, 1), height, left=left, right=right, top=0)
    marks = frame.axes(None)
    for number, (row, label, length) in enumerate(zip(plot.rows, labels, lengths, strict=True)):
        y, start = number * ROW, 0.0
        marks.append(_row_name(row.name, y + 15, left))
        depth = (ROW - 6) / (len(plot.series) if plot.grouped else 1)
        for place, (value, series) in enumerate(zip(row.values, plot.series, strict=True)):
            top = y + 3 + (place * depth if plot.grouped else 0)
            marks.append(Rect(frame.x(start), top, frame.x(max(0.0, value)) - frame.x(0), depth, series.style))
            start += 0 if plot.grouped else value
        marks.append(Lettering(frame.x(length) + 5, y + 15, label, style="soft"))
    return Drawing(WIDTH, height, marks)


def _names_width(names: Iterable[str]) -> int:
    return math.ceil(min(12 + LETTER_WIDTH * max(map(len, names), default=0), NAMES_SHARE * WIDTH))


def _row_name(name: str, y: float, left: int) -> Lettering:
    return Lettering(left - 6, y, shortened_name(name, int((left - 6) / LETTER_WIDTH)), "end", hint=name)


def _histogram(plot: HistogramPlot) -> Drawing:
    most = max([value for _, values in plot.series for value in values.values()] + [0.01])
    if plot.counted:
        y_axis = Axis(f"{plot.of}, logarithmic", 0, max(2 * most, 10.0), 1)
    else:
        step = _tick_step(most, 0.01)
        y_axis = Axis(f"share of {plot.of} (%)", 0, math.ceil(most / step - 1e-9) * step, step)
    above = LANE * len(plot.reaches) + 4 if plot.reaches else 24 if plot.limits else 8
    height = LOW + LANE * len(plot.reaches)
    frame = _Frame(plot.axis, y_axis, height, top=above, is_log=plot.counted)
    top, floor = frame.y(y_axis.high), frame.y(0)
    marks: list[Mark] = []
    for lane, reach in enumerate(plot.reaches):
        left, right = (frame.x(min(max(edge, plot.axis.low), plot.axis.high)) for edge in reach[1:])
        line, is_left = LANE * (lane + 1), left + right < WIDTH
        marks.append(Rect(left, line, right - left, floor - line, "other", 0.15))
        ends = [(left, floor), (left, line), (right, line), (right, floor)]
        marks.append(Polyline(ends, "outline other"))
        marks.append(Lettering(left if is_left else right, line - 4, reach.name, "start" if is_left else "end"))
    for limit in plot.limits:
        edges = (plot.axis.low, limit.value) if limit.side == "below" else (limit.value, plot.axis.high)
        first, last = (frame.x(min(max(edge, plot.axis.low), plot.axis.high)) for edge in edges)
        marks.append(Rect(first, top, last - first, floor - top, "beyond"))
    marks += frame.axes(lambda value: f"{value:,.0f}" if plot.counted else f"{100 * value:.0f}")
    for number, (series, values) in enumerate(plot.series):
        outline, edge = [(frame.x(plot.axis.low), floor)], plot.axis.low
        for value in plot.outline(values):
            outline += [(frame.x(edge), frame.y(value)), (frame.x(edge + plot.bin_width), frame.y(value))]
            edge += plot.bin_width
        # The first is filled, so that both are visible where they are equal.
        style = f"outline {series.style}" if number else f"outline filled {series.style}"
        marks.append(Polyline([*outline, (frame.x(edge), floor)], style))
    if plot.axis.low < 0 < plot.axis.high:
        marks.append(Polyline([(frame.x(0), floor), (frame.x(0), top)], "zero"))
    for limit in plot.limits:
        x = frame.x(limit.value)
        marks.append(Polyline([(x, floor), (x, top)], "limit"))
        is_left = x < WIDTH / 2
        marks.append(Lettering(x if is_left else x + 2, top - 6, limit.label, "start" if is_left else "end"))
    return Drawing(WIDTH, height, marks)


def _tick_step(most: float, least: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(most, least)) - 1)
    steps = (factor * power * scale for scale in (1, 10) for factor in (1, 2, 5))
    return next(step for step in steps if most / step <= 5 and step >= 0.99 * least)


def _circles(
    points: Points, frame: "_Frame", most: int, style: str, unit: str, scale: float = 1.0
) -> Iterator[Circle]:
    for x, y, n in sorted(points, key=lambda point: -point[2]):
        hint = counted(n, unit) if unit else ""
        yield Circle(frame.x(x), frame.y(y), scale * circle_radius(n, most), f"bubble {style}", hint)


def circle_radius(n: int, most: int) -> float:
    """Return the radius of the circle of a count where `most` is the largest; its area is proportional to it.

    >>> circle_radius(8, 8) / circle_radius(2, 8)
    2.0
    """
    return RADIUS * math.sqrt(n / max(most, FULL_COUNT))


def size_steps(most: int) -> list[int]:
    """Return the counts whose circles a key shows.

    >>> size_steps(1), size_steps(40)
    ([1], [1, 10, 40])
    """
    return sorted({1, max(1, round(most / 4)), most})


def _panels(plot: MultiplesPlot, side: int) -> Iterator[Drawing]:
    everything = [(x, y, 1) for _, points in plot.panels for x, y, _ in points]
    scale = SMALL_SCALE * side / SMALL_SIDE
    for _, points in plot.panels:
        frame = _Frame(plot.x_axis, plot.y_axis, side, side, left=30, bottom=20)
        marks = frame.axes(lambda value: f"{value:g}", titles=False)
        marks += _circles(everything, frame, 4 * FULL_COUNT, "before", "", scale)
        marks += _circles(points, frame, plot.most, "after", plot.unit, scale)
        yield Drawing(side, side, marks)


def _matrix(plot: MatrixPlot) -> Drawing:
    left, top, side = _names_width(name for name, _ in plot.rows), 74, 26
    width = (WIDTH - left) / max(1, len(plot.columns))
    # A slanted head of the last column may be longer than half of it.
    last = shortened_name(plot.columns[-1], 12) if plot.columns else ""
    width -= max(0.0, _SLANTED_CHARACTER * len(last) - width / 2) / max(1, len(plot.columns))
    marks: list[Mark] = [
        Lettering(left + (number + 0.5) * width, top - 6, shortened_name(name, 12), hint=name, angle=-40)
        for number, name in enumerate(plot.columns)
    ]
    for row_number, (name, counts) in enumerate(plot.rows):
        y, whole = top + row_number * side, max(1, sum(counts))
        marks.append(_row_name(name, y + 17, left))
        for number, n in enumerate(counts):
            x = left + number * width
            marks.append(Rect(x + 0.5, y, width - 1, side - 1, "cell", 0.5 * n / whole))
            if n:
                marks.append(Lettering(x + width / 2, y + 17, f"{n:,}", "middle"))
    return Drawing(WIDTH, top + side * len(plot.rows) + 2, marks)


@dataclass(frozen=True)
class _Frame:
    x_axis: Axis
    y_axis: Axis
    height: int
    width: int = WIDTH
    left: int = 46
    right: float = 12
    top: int = 8
    bottom: int = 38
    is_log: bool = False

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

    def axes(self, y_label: Callable[[float], str] | None, titles: bool = True) -> list[Mark]:
        """Return lines, figures and titles of both axes; of the one across alone without `y_label`."""
        floor, end = self.height - self.bottom, self.width - self.right
        marks: list[Mark] = []
        for value in self.y_ticks() if y_label else ():
            y = self.y(value)
            marks.append(Polyline([(self.left, y), (end, y)], "grid"))
            marks.append(Lettering(self.left - 5, y + 4, y_label(value) if y_label else "", "end", "soft"))
        for value in self.x_axis.ticks():
            x = self.x(value)
            marks.append(Polyline([(x, floor), (x, floor + 4)], "tick"))
            marks.append(Lettering(x, floor + 16, f"{value:g}".replace("-", "−"), "middle", "soft"))
        if titles:
            marks.append(Lettering((self.left + end) / 2, self.height - 5, self.x_axis.title, "middle"))
        if titles and y_label:
            marks.append(Lettering(12, (floor + self.top) / 2, self.y_axis.title, "middle", angle=-90))
        return marks


def shortened_name(name: str, longest: int) -> str:
    """Return a name of `longest` characters at most, the last an ellipsis where more were cut off.

    >>> shortened_name("whispering", 10), shortened_name("whispering", 9)
    ('whispering', 'whisperi…')
    """
    return name if len(name) <= longest else name[: longest - 1] + "…"


class KeyItem(NamedTuple):
    style: str
    name: str
    radius: float = 0.0


def _key(plot: Plot) -> list[KeyItem]:
    """The key of the areas of circles, or of the colours where there are several."""
    if isinstance(plot, MapPlot | MultiplesPlot):
        style, scale = (plot.style, 1.0) if isinstance(plot, MapPlot) else ("after", SMALL_SCALE)
        most = plot.most
        return [KeyItem(style, counted(n, plot.unit), scale * circle_radius(n, most)) for n in size_steps(most)]
    series: Sequence[Series] = ()
    if isinstance(plot, HistogramPlot):
        series = [series for series, _ in plot.series]
    elif isinstance(plot, BarPlot):
        series = plot.series
    return [KeyItem(*item) for item in series] if len(series) > 1 else []


def svg(plot: Plot) -> Html:
    items = _key(plot)
    key = fill('<ul class="key">{}</ul>', joined(map(_svg_key_item, items))) if items else joined([])
    if isinstance(plot, MultiplesPlot):
        panels = []
        for (name, points), drawing in zip(plot.panels, _panels(plot, SMALL_SIDE), strict=True):
            caption = _caption(name, points)
            picture = _svg(f"{caption}: {_map_words(points, plot.x_axis, plot.y_axis)}", drawing)
            panels.append(fill("<figure><figcaption>{}</figcaption>{}</figure>", caption, picture))
        axes = fill('<p class="soft">{}</p>', _axes_in_words(plot))
        return fill('<div class="multiples">{}</div>', joined(panels)) + axes + key
    picture = _svg(alternative(plot), _drawing(plot))
    return picture + key if isinstance(plot, MapPlot) else key + picture


def _caption(name: str, points: Points) -> str:
    return f"{name} ({sum(n for *_, n in points):,})"


def _axes_in_words(plot: MultiplesPlot) -> str:
    return f"Across: {plot.x_axis.title}. Up: {plot.y_axis.title}."


def _svg_key_item(item: KeyItem) -> Html:
    if not item.radius:
        return fill('<li><i class="{}"></i>{}</li>', item.style, item.name)
    side = round(2 * RADIUS + 2)
    size = fill('width="{0}" height="{0}" viewBox="0 0 {0} {0}"', side)
    circle = _svg_mark(Circle(side / 2, side / 2, item.radius, f"bubble {item.style}"))
    return fill('<li><svg class="size" {} aria-hidden="true">{}</svg>{}</li>', size, circle, item.name)


def _svg(words: str, drawing: Drawing) -> Html:
    return fill(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        drawing.width,
        drawing.height,
        words,
        joined(map(_svg_mark, drawing.marks)),
    )


def _svg_mark(mark: Mark) -> Html:
    match mark:
        case Rect(x, y, width, height, style, opacity):
            shade = fill(' fill-opacity="{:.3f}"', opacity) if opacity < 1 else ""
            return fill(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"{}/>',
                *(x, y, width, height, style, shade),
            )
        case Polyline(points, style):
            return fill('<path class="{}" d="M{}"/>', style, "L".join(f"{x:.1f} {y:.1f}" for x, y in points))
        case Circle(x, y, radius, style, hint):
            return fill(
                '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.2f}">{}</circle>',
                *(style, x, y, radius, fill("<title>{}</title>", hint) if hint else ""),
            )
        case Lettering(x, y, text, anchor, style, hint, angle):
            at = fill('transform="translate({:.1f} {:.1f}) rotate({:g})"', x, y, angle)
            return fill(
                '<text {} text-anchor="{}" class="{}">{}{}</text>',
                at if angle else fill('x="{:.1f}" y="{:.1f}"', x, y),
                *(anchor, style, text, fill("<title>{}</title>", hint) if hint and hint != text else ""),
            )


#: Pixels of the width of a plot, and of several.
PNG_PIXELS, SHEET_PIXELS = 810, 1100

#: Height of letters in units of the drawing, and that of titles: a fortieth of the width, so that lettering is
#: legible where the Hub shows a picture 400 px wide.
FONT_SIZE, _SIZES = 10.6, {"title": 11.1, "heading": 15.0}

#: Characters of a line of a title.
TITLE_CHARACTERS = 52

#: Colour, unless it is that of a series, width and dashes of lines.
_LINES: dict[str, tuple[str, float, tuple[float, ...]]] = {
    "grid": (FAINT, 1.0, ()),
    "tick": (SOFT, 1.0, ()),
    "zero": (SOFT, 1.0, (4.0, 3.0)),
    "limit": (INK, 1.5, (5.0, 3.0)),
    "outline": ("", 2.0, ()),
}

_FILLS = COLOURS | {"beyond": BEYOND, "cell": COLOURS["after"]}

#: `text.parse_math`: a tag is plain text.
_STYLE: dict[Any, Any] = {"font.family": "DejaVu Sans", "text.parse_math": False}

#: Marks with the place of their upper left corner, across and down.
_Placed = tuple[float, float, Sequence[Mark]]


def png(plot: Plot) -> bytes:
    return sheet([plot], 1, width=PNG_PIXELS)


def sheet(plots: Sequence[Plot], columns: int = 3, title: str = "", width: int = SHEET_PIXELS) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import Affine2D

    titled, above = [_titled(plot) for plot in plots], 40 if title else 0
    depth, scale = 8 + max(height for height, _ in titled), width / (columns * WIDTH)
    height = round(scale * (above + depth * math.ceil(len(plots) / columns)))
    placed: list[_Placed] = [(0, 0, [Lettering(8, 26, title, style="heading")])]
    for number, (_, parts) in enumerate(titled):
        row, column = divmod(number, columns)
        placed += [(column * WIDTH + x, above + row * depth + y, marks) for x, y, marks in parts]
    file = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure((width / 72, height / 72), dpi=72)  # a point is a pixel
        FigureCanvasAgg(figure)
        for x, y, marks in placed:
            at = Affine2D().translate(x, y).scale(scale, -scale).translate(0, height)
            for artist in _artists(marks, scale, at):
                artist.set_zorder(len(figure.artists))
                figure.add_artist(artist)
        figure.savefig(file, format="png", dpi=72, metadata={"Software": None})
    return file.getvalue()


def _titled(plot: Plot) -> tuple[float, list[_Placed]]:
    """The height of a plot below its title and its key, and their marks."""
    lines = textwrap.wrap(plot.title, TITLE_CHARACTERS) or [""]
    marks: list[Mark] = [Lettering(8, 15 + 14.4 * n, line, style="title") for n, line in enumerate(lines)]
    x, y = 8.0, 10 + 14.4 * len(lines)
    items = _key(plot)
    depth = max([20.0, *(2 * item.radius + 4 for item in items)]) if items else 0.0
    for item in items:
        middle, radius = y + depth / 2, item.radius or 6.0
        if item.radius:
            marks.append(Circle(x + radius, middle, radius, f"bubble {item.style}"))
        else:
            marks.append(Rect(x, middle - radius, 2 * radius, 2 * radius, item.style))
        marks.append(Lettering(x + 2 * radius + 5, middle + 4, item.name))
        x += 2 * radius + 17 + LETTER_WIDTH * len(item.name)
    y += depth
    if not isinstance(plot, MultiplesPlot):
        drawing = _drawing(plot)
        return y + drawing.height, [(0, 0, marks), (0, y, drawing.marks)]
    side = WIDTH // PANELS
    parts: list[_Placed] = [(0, 0, marks)]
    for number, ((name, points), drawing) in enumerate(zip(plot.panels, _panels(plot, side), strict=True)):
        row, column = divmod(number, PANELS)
        top = y + row * (side + 16)
        marks.append(Lettering(column * side + 8, top + 11, _caption(shortened_name(name, 13), points)))
        parts.append((column * side, top + 10, drawing.marks))
    y += math.ceil(len(plot.panels) / PANELS) * (side + 16)
    marks.append(Lettering(8, y + 10, _axes_in_words(plot), style="soft"))
    return y + 18, parts


def _artists(marks: Sequence[Mark], scale: float, at: Any) -> Iterator[Any]:
    """Marks as matplotlib draws them; circles of a style as one, since maps have thousands."""
    from matplotlib.collections import CircleCollection
    from matplotlib.patches import Polygon, Rectangle
    from matplotlib.text import Text

    for circles, group in groupby(marks, lambda mark: mark.style if isinstance(mark, Circle) else ""):
        if circles:
            dots = [mark for mark in group if isinstance(mark, Circle)]
            areas = [math.pi * (scale * dot.radius) ** 2 for dot in dots]
            alpha = 0.55 if "bubble" in circles else 1.0
            options: dict[str, Any] = {"facecolors": _colour(circles), "alpha": alpha, "linewidths": 0}
            yield CircleCollection(areas, offsets=[dot[:2] for dot in dots], offset_transform=at, **options)
            continue
        for mark in group:
            match mark:
                case Rect(x, y, width, height, style, opacity):
                    options = {"facecolor": _colour(style), "alpha": opacity, "linewidth": 0}
                    yield Rectangle((x, y), width, height, transform=at, **options)
                case Polyline(points, style):
                    colour, thick, dashes = _LINES[style.split()[0]]
                    options = {"color": colour or _colour(style), "fill": "filled" in style}
                    options["linewidth"] = 0 if "filled" in style else scale * thick
                    if dashes:
                        options["linestyle"] = (0, [length / thick for length in dashes])
                    yield Polygon(points, closed=False, capstyle="butt", transform=at, **options)
                case Lettering(x, y, text, anchor, style, _, angle):
                    colour, size = SOFT if style == "soft" else INK, scale * _SIZES.get(style, FONT_SIZE)
                    options = {"color": colour, "size": size, "weight": "bold" if style == "title" else "normal"}
                    ha = {"start": "left", "middle": "center", "end": "right"}[anchor]
                    options |= {"ha": ha, "va": "baseline", "rotation": -angle, "rotation_mode": "anchor"}
                    yield Text(x, y, text, transform=at, **options)


def _colour(style: str) -> str:
    return next(_FILLS[word] for word in style.split() if word in _FILLS)
