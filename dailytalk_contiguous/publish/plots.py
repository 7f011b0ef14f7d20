"""The plots of a report as inline SVG, drawn here because a self-contained page can load no plotting library.

Each is drawn for a card of about 360 px, so that its lettering stays legible on a phone and several fit side
by side on a desk. Colours are classes that the page's style sheet fills, in light and in dark.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from dailytalk_contiguous.publish.render import Html, fill, joined

#: Units of the drawing across a plot, about one CSS pixel each.
WIDTH = 380

#: Height of a bar's row, and of the plots with two axes.
ROW, HEIGHT = 22, 300

#: Characters of a name that fit beside a bar.
NAME_CHARACTERS = 17


class Axis(NamedTuple):
    """What an axis shows: its title with the unit, its ends, and the distance of its ticks."""

    title: str
    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        """Values of the ticks."""
        return [self.low + i * self.step for i in range(math.floor((self.high - self.low) / self.step + 1e-6) + 1)]


class Bar(NamedTuple):
    """A row of a bar plot: its name, one value a series, and what is written behind it."""

    name: str
    values: tuple[float, ...]
    label: str


def bars(title: str, rows: Sequence[Bar], classes: Sequence[str], grouped: bool = False) -> Html:
    """Horizontal bars, the series of a row one after another, or one below the other if `grouped`.

    Args:
        title: for screen readers.
        rows: from top to bottom.
        classes: style of each series.
    """
    left, right = 112, 84
    reach = [max(row.values) if grouped else sum(row.values) for row in rows]
    scale = (WIDTH - left - right) / max([*reach, 1e-9])
    parts = []
    for row_number, (row, longest) in enumerate(zip(rows, reach, strict=True)):
        y, x = row_number * ROW, float(left)
        parts.append(_text(left - 6, y + 15, _short(row.name), "end", title=row.name))
        for number, (value, style) in enumerate(zip(row.values, classes, strict=True)):
            height = (ROW - 6) / len(classes) if grouped else ROW - 6
            top = y + 3 + (number * height if grouped else 0)
            parts.append(_rect(left if grouped else x, top, value * scale, height, style))
            x += value * scale
        parts.append(_text(left + longest * scale + 5, y + 15, row.label, style="soft"))
    return _svg(title, max(1, len(rows)) * ROW, parts)


def shares(title: str, rows: Sequence[tuple[str, Sequence[int]]], classes: Sequence[str]) -> Html:
    """One full-width bar a row, cut into shares of its sum, each with its percentage where it fits."""
    left = 92
    parts = []
    for number, (name, values) in enumerate(rows):
        y, x, total = number * ROW, float(left), max(1, sum(values))
        parts.append(_text(left - 6, y + 15, _short(name), "end", title=name))
        for value, style in zip(values, classes, strict=True):
            width = (WIDTH - left) * value / total
            parts.append(_rect(x, y + 3, width, ROW - 6, style))
            if width > 34:
                parts.append(_text(x + width / 2, y + 15, f"{100 * value / total:.0f} %", "middle", f"on-{style}"))
            x += width
    return _svg(title, max(1, len(rows)) * ROW, parts)


def histogram(
    title: str,
    series: Sequence[tuple[str, Mapping[float, float]]],
    axis: Axis,
    bin_width: float,
    of: str = "changes",
    limits: Sequence[float] = (),
) -> Html:
    """Shares of distributions over each other: the outline of each, in the style it names.

    Args:
        title: for screen readers.
        series: style, and the share in [0, 1] of each bin by its lower edge.
        axis: of the values.
        bin_width: in units of the axis.
        of: what the shares are shares of.
        limits: values at which a line is drawn.
    """
    top = max([share for _, values in series for share in values.values()] + [0.01])
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if top / step <= 5)
    frame = _Frame(axis, Axis(f"share of {of} (%)", 0, math.ceil(top / step - 1e-9) * step, step), 220)
    parts = frame.axes(lambda value: f"{100 * value:.0f}")
    n_bins = round((axis.high - axis.low) / bin_width)
    for style, values in series:
        outline = [f"M{frame.x(axis.low):.1f} {frame.y(0):.1f}"]
        for number in range(n_bins):
            edge = axis.low + number * bin_width
            share = values.get(round(edge, 6), 0.0)
            outline.append(f"V{frame.y(share):.1f}H{frame.x(edge + bin_width):.1f}")
        parts.append(fill('<path class="outline {}" d="{}V{:.1f}"/>', style, "".join(outline), frame.y(0)))
    if axis.low < 0 < axis.high:
        parts.append(_line(frame.x(0), frame.y(0), frame.x(0), 8, "zero"))
    parts += [_line(frame.x(value), frame.y(0), frame.x(value), 8, "limit") for value in limits]
    return _svg(title, 220, parts)


def bubbles(
    title: str, cells: Sequence[tuple[float, float, int, str]], x_axis: Axis, y_axis: Axis, diagonal: bool = False
) -> Html:
    """Circles whose area grows with a count: x, y, the count, and its tooltip.

    `diagonal` draws the line on which both values are the same.
    """
    frame = _Frame(x_axis, y_axis, HEIGHT)
    parts = frame.axes(lambda value: f"{value:g}")
    if diagonal:
        ends = max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high)
        parts.append(_line(frame.x(ends[0]), frame.y(ends[0]), frame.x(ends[1]), frame.y(ends[1]), "zero"))
    most = max([n for _, _, n, _ in cells] + [1])
    for x, y, n, hint in sorted(cells, key=lambda cell: -cell[2]):
        radius = 2.5 + 9.5 * math.sqrt(n / most) * min(1.0, math.sqrt(most / 8))
        parts.append(
            fill(
                '<circle class="bubble" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>',
                frame.x(x),
                frame.y(y),
                radius,
                hint,
            )
        )
    return _svg(title, HEIGHT, parts)


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

    def axes(self, say_y: Callable[[float], str]) -> list[Html]:
        """Grid lines, ticks and titles of both axes."""
        floor, middle = self.height - self.bottom, (self.height - self.bottom + self.top) / 2
        parts = []
        for value in self.y_axis.ticks():
            parts.append(_line(self.left, self.y(value), WIDTH - self.right, self.y(value), "grid"))
            parts.append(_text(self.left - 5, self.y(value) + 4, say_y(value), "end", "soft"))
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


def _rect(x: float, y: float, width: float, height: float, style: str) -> Html:
    return fill(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"/>',
        x,
        y,
        max(0.0, width),
        height,
        style,
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Html:
    return fill('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>', x1, y1, x2, y2, style)


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"


def _svg(title: str, height: float, parts: Sequence[Html]) -> Html:
    return fill(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        WIDTH,
        height,
        title,
        joined(parts),
    )
