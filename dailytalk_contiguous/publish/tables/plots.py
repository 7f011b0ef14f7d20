"""Plots as data, drawn once by matplotlib: as SVG in a page, and as PNG on a card, since the Hub shows no SVG.

The SVG is an image of its own in the page, so that nothing in it can run or restyle the page. Nothing of the
machine goes into a picture (no date, no version, no style sheet of the user): the same data gives the same bytes,
and a push sends a plot only if it changed. matplotlib takes a second to import and is imported where something is
drawn.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.publish.tables.tabular import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Lettering, ticks, and lines of the grid.
INK = "#1b2330"
SOFT = "#566070"
FAINT = "#dcdfe4"

#: One meaning each, the same on pages and cards. `left`, `right`: the channels. `before`: as recorded. `after`:
#: as it is in this folder. They have the hues of Okabe and Ito (2008, "Color Universal Design"), which any colour
#: vision distinguishes, darkened until lettering in them is legible on white.
COLOURS = {"left": "#0067a3", "right": "#a84e00", "before": "#8b95a3", "after": "#00795a"}


class Plot(NamedTuple):
    """A plot that can be drawn.

    Attributes:
        title: its title.
        draw: draws it into axes; None where there are no values.
        words: its figures in one sentence without a full stop, for readers who can't see it.
        name: of its file, without an ending.
        note: what to know of it, below it.
        nothing: why there are no values.
    """

    title: str
    draw: "Callable[[Axes], None] | None" = None
    words: str = ""
    name: str = ""
    note: str = ""
    nothing: str = ""

    def __bool__(self) -> bool:
        return self.draw is not None


#: The functions that make the tables and plots of a dataset's `Displays`, by the section that shows them.
SectionParts = Mapping[str, Sequence[Callable[[Any], Table | Plot]]]


def histogram(
    plot: Plot,
    series: Sequence[tuple[str, str, ArrayLike]],
    axis: str,
    of: str,
    span: tuple[float, float] | None = None,
    limits: Sequence[tuple[str, float]] = (),
) -> Plot:
    """Return a plot with distributions over each other, in per cent of `of`.

    Args:
        series: a colour of `COLOURS`, the name of what it means, and values, each.
        axis: the title of the axis across, with its unit.
        span: values beyond it count at its ends; without one, it holds all but one in a hundred at either end.
        limits: lines, each with its name.
    """
    present = [(colour, name, np.asarray(values, float)) for colour, name, values in series if np.size(values)]
    if not present:
        return plot
    low, high = span or _ends_of([values for *_, values in present])

    def draw(axes: "Axes") -> None:
        for name, limit in limits:
            axes.axvline(limit, color=INK, linewidth=1, label=name)
        for number, (colour, name, values) in enumerate(present):
            is_first = number == 0  # it is filled, so that both are visible where they are equal
            n_bins = int(np.clip(2 * math.sqrt(len(values)), 8, 30))
            per_cent = np.full(len(values), 100 / len(values))
            axes.hist(
                np.clip(values, low, high),
                bins=n_bins,
                range=(low, high),
                weights=per_cent,
                color=COLOURS[colour],
                label=name or None,
                histtype="stepfilled" if is_first else "step",
                linewidth=0 if is_first else 1.8,
                alpha=0.6 if is_first else 1.0,
            )
        axes.set(xlim=(low, high), xlabel=axis, ylabel=f"% of {of}")

    words = []
    for _, name, values in present:
        least, middle, most = np.quantile(values, (0.1, 0.5, 0.9))
        words.append(f"{name or axis}: median {middle:.3g}, 80 % from {least:.3g} to {most:.3g}")
    words += [name for name, _ in limits]
    return plot._replace(draw=draw, words="; ".join(words))


def _ends_of(distributions: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The ends of an axis that holds all but one value in a hundred at either end, and 0 if it is near."""
    ends = np.array([np.quantile(values, (0.01, 0.99)) for values in distributions])
    low = float(ends.min())
    high = float(ends.max())
    margin = 0.05 * (high - low) or 0.5
    is_near_zero = 0 <= low < high / 2
    return 0.0 if is_near_zero else low - margin, high + margin


#: Inches across of a plot, and pixels of an inch in a PNG: 810 pixels.
WIDTH = 4.5
HEIGHT = 2.7
DPI = 180

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a name is plain text
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
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    return _draw_image(plot, "", format="svg", metadata=metadata, transparent=True)


def png(plot: Plot) -> bytes:
    return _draw_image(plot, plot.title, format="png", metadata={"Software": None}, dpi=DPI)


def _draw_image(plot: Plot, heading: str, **options: Any) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    assert plot.draw
    file = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        figure = Figure((WIDTH, HEIGHT + 0.25 * bool(heading)))
        axes = figure.subplots()
        plot.draw(axes)
        figure.suptitle(heading, x=0.02, ha="left", fontsize=9.5, fontweight="bold")
        handles, names = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, names, loc="outside upper left", ncols=2, fontsize=8.5)
        figure.savefig(file, **options)
    return file.getvalue()
