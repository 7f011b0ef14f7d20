"""The plots of a card and of quality, read back from their pixels: what is drawn, where, and how large."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dailytalk_contiguous.publish.render import template
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray

from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.tally import Sum, Tally
from dailytalk_contiguous.publish.clip_figures import LIMITS, PLOT, planned_limits, plot_quality
from dailytalk_contiguous.publish.corpus_sections import MEASURES, QualityTally, quality_plots
from dailytalk_contiguous.publish.plots import BEYOND, COLOURS, INK, Axis, MapPlot, alternative, svg

Mask = NDArray[np.bool_]


LEFT, RIGHT, BEFORE, AFTER = (COLOURS[name] for name in ("left", "right", "before", "after"))


def mask(picture: bytes, colour: str) -> Mask:
    """Where a picture has just this colour, without the margin above the axes, where the key is."""
    pixels = imread(io.BytesIO(picture), format="png")[..., :3]
    found: Mask = (abs(pixels - np.array(to_rgb(colour))) < 0.5 / 255).all(axis=-1)
    found[:92] = False
    return found


def runs(line: Mask) -> list[tuple[int, int]]:
    """First and last + 1 of each stretch of a line that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(int)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def durations(*seconds: float) -> Tally:
    found = Tally()
    for length in seconds:
        found.durations.add(length)
    found.total.add(Sum(len(seconds)))
    return found


def test_quality_is_drawn_measure_by_measure_with_limits_where_something_is_known(tmp_path: Path) -> None:
    at = {name: (one.axis.low, (one.axis.high - one.axis.low) / one.factor) for name, one in MEASURES.items()}
    rows: list[dict[str, Any]] = [
        {name: low / MEASURES[name].factor + share * width for name, (low, width) in at.items()}
        for share in (0.1, 0.5, 0.5, 0.9)
    ]
    rows = [row | {"snr_db": None} for row in rows]
    limits = QualityLimits(lowest_snr_db=20.0)
    plot_quality(rows, limits, tmp_path)
    pixels = imread(io.BytesIO((tmp_path / PLOT).read_bytes()), format="png")[..., :3]
    assert pixels.shape[1] == 1100
    pixels = pixels[40:]  # above them is the title
    high, wide = len(pixels) // 2, pixels.shape[1] // 3
    bars, lines = ((abs(pixels - np.array(to_rgb(one))) < 2 / 255).all(axis=-1) for one in (BEFORE, INK))
    for place, (name, measure) in enumerate(MEASURES.items()):
        row, column = divmod(place, 3)
        part = slice(row * high, (row + 1) * high), slice(column * wide, (column + 1) * wide)
        assert (bars[part].sum() > 100) == (name != "snr_db"), name  # letters have grey edges
        drawn = runs(lines[part].sum(axis=0) > high / 5)
        assert len(drawn) == len(measure.sides(limits)), name
    assert planned_limits(tmp_path)["min_snr"] == 20.0


def test_area_of_a_circle_is_its_count_and_nothing_else() -> None:
    points = [(0.1, 0.1, 1), (0.5, 0.5, 8), (0.9, 0.9, 32)]
    whole = Axis("x", 0, 1, 0.5)
    drawing = svg(MapPlot(title="t", points=points, x_axis=whole, y_axis=whole, unit="clip"))
    radii = sorted({float(radius) for radius in re.findall(r'<circle[^>]* r="([\d.]+)"', drawing)})
    assert [(radius / radii[0]) ** 2 for radius in radii] == pytest.approx([1, 8, 32], rel=0.02)
    assert re.findall(r"</svg>([\d,]+ clips?)</li>", drawing) == ["1 clip", "8 clips", "32 clips"]  # the key


def test_one_colour_has_one_meaning_on_page_and_card() -> None:
    page = template("report.html")
    light = (
        page.partition("@media (prefers-color-scheme: dark)")[0]
        + page.partition("/* Plots.")[2].partition("@media")[0]
    )
    variables = dict(re.findall(r"--([\w]+): (#\w+);", light))
    names = {"before": "grey"}
    assert {name: variables[names.get(name, name)] for name in COLOURS} == COLOURS
    assert (variables["beyond"], variables["ink"]) == (BEYOND, INK)
    assert len({*COLOURS.values()}) == len(COLOURS)


def test_a_plot_says_its_figures_to_who_can_not_see_it() -> None:
    quality = QualityTally(QualityLimits(lowest_snr_db=20.0))
    for value in (12.0, 40.0, 40.0):
        quality.add(dict.fromkeys(MEASURES) | {"snr_db": value})
    plot = next(plot for plot in quality_plots(quality) if plot.name == "snr_db")
    words = "signal-to-noise ratio (dB): median about 41, 80 % from 13 to 41; limit 20: 1 of 3 are below"
    assert alternative(plot) == f"Signal-to-noise ratio of 3 clips. {words}."
    assert f'role="img" aria-label="{alternative(plot)}"' in svg(plot)


@pytest.mark.parametrize("text", ["", "[]", '{"min_snr": "20"}', '{"min_snr": true}'])
def test_limits_that_are_none_are_not_used(tmp_path: Path, text: str) -> None:
    assert planned_limits(tmp_path) == {}
    (tmp_path / LIMITS).write_text(text)
    assert planned_limits(tmp_path) == {}
    (tmp_path / LIMITS).write_text(json.dumps({"max_seconds": None, "min_snr": 1}))
    assert planned_limits(tmp_path) == {"max_seconds": None, "min_snr": 1}
