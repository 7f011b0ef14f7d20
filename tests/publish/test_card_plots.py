"""The plots of a card and of quality, read back from their pixels: what is drawn, where, and how large."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray

from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.tally import Sum, Tally
from dailytalk_contiguous.publish.clip_figures import LIMITS, PLOT, planned_limits, plot_quality
from dailytalk_contiguous.publish.plots import (
    BEYOND,
    COLOURS,
    FONT_SIZE,
    INK,
    PNG_PIXELS,
    WIDTH,
    Axis,
    MapPlot,
    alternative,
    circle_radius,
    png,
    shortened_name,
    svg,
)
from dailytalk_contiguous.publish.render import template
from dailytalk_contiguous.publish.sections import (
    MEASURES,
    QualityTally,
    affect_map,
    affect_plot,
    durations_plot,
    offsets_plot,
    quality_plots,
    tags_plot,
)

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


def test_lengths_of_conversations_are_as_high_as_their_share() -> None:
    blue = mask(png(durations_plot(durations(0, 0, 0, 0, 2, 2, 5, 29, 29, 29))), AFTER)
    bars = runs(blue.any(axis=0))
    unit = (bars[-1][0] - bars[0][0]) / 29
    assert [round((first - bars[0][0]) / unit) for first, _ in bars] == [0, 2, 5, 29]
    assert all(last - first == pytest.approx(unit, abs=2) for first, last in bars)
    heights = [int(blue[:, first:last].any(axis=1).sum()) for first, last in bars]
    assert [round(4 * height / heights[0]) for height in heights] == [4, 2, 1, 3]


@pytest.mark.parametrize(
    ("seconds", "edges", "end"),
    [
        ((0, 30), [0, 30], 32),
        ((0, 59), [0, 58], 60),
        ((0, 60), [0, 60], 65),
        ((0, 60, 119, 301), [0, 1.0, 1.5, 5.0], 5.5),
        ((0, 3000), [0, 50], 52),
    ],
)
def test_lengths_are_in_thirty_bins_at_most_in_whatever_unit(
    seconds: tuple[float, ...], edges: list[float], end: float
) -> None:
    plot = durations_plot(durations(*seconds))
    [(_, shares)] = plot.series
    assert list(shares) == pytest.approx(edges, abs=1e-6)
    assert plot.axis.high == pytest.approx(end)
    assert len(plot.outline(shares)) <= 31
    assert sum(plot.outline(shares)) == pytest.approx(1.0)


@pytest.mark.parametrize("plot", [tags_plot, durations_plot, offsets_plot, affect_plot])
def test_a_plot_without_data_says_that_there_is_none(plot: Any) -> None:
    empty = plot(Tally())
    assert not empty
    assert empty.nothing


def test_speech_by_tag_is_drawn_by_side_the_longest_first_and_the_rest_as_one() -> None:
    found = Tally()
    for number in range(28):
        left, right = 59.0 - 2 * number, 59.0 - number
        found.by["tag"][f"tag{number:02}"].add(Sum(0, 1, 0, left + right, left=left, right=right))
    plot = tags_plot(found)
    assert [bar.name for bar in plot.rows][-2:] == ["tag24", "3 others"]
    picture = png(plot)
    blue, orange = mask(picture, LEFT), mask(picture, RIGHT)
    rows = [(first + last) // 2 for first, last in runs(blue.any(axis=1))]
    assert len(rows) == 26
    lengths = [(int(blue[row].sum()), int(orange[row].sum())) for row in rows]
    second = lengths[0][0] / 59.0
    wanted = [(59.0 - 2 * n, 59.0 - n) for n in range(25)] + [(9.0 + 7.0 + 5.0, 34.0 + 33.0 + 32.0)]
    for number, (drawn, expected) in enumerate(zip(lengths[:20], wanted[:20], strict=True)):
        assert drawn == pytest.approx((expected[0] * second, expected[1] * second), abs=3), number
    assert plot.rows[-1].values == pytest.approx([value / 60 for value in wanted[-1]])
    for row in rows[:20]:
        [(_, end)], [(start, _)] = runs(blue[row]), runs(orange[row])
        assert abs(start - end) <= 2


@pytest.mark.parametrize(
    ("seconds", "axis"),
    [(59.9, "seconds of speech"), (60.0, "minutes of speech"), (3600.0, "hours of speech")],
)
def test_unit_of_an_axis_is_the_largest_that_is_filled(seconds: float, axis: str) -> None:
    found = Tally()
    found.by["tag"]["calm"].add(Sum(0, 1, 0, seconds))
    assert tags_plot(found).axis == axis


@pytest.mark.parametrize(("length", "shown"), [(24, "x" * 24), (25, "x" * 23 + "…")])
def test_a_name_is_cut_where_it_is_longer_than_the_space_for_it(length: int, shown: str) -> None:
    assert shortened_name("x" * length, 24) == shown


def test_offsets_of_the_left_are_filled_by_their_share() -> None:
    found = Tally(rebuilt=False)
    offsets = found.before.offsets_of
    offsets["left"].add(-0.5, 0.0, 0.0, 0.0, 1.0)
    picture = png(offsets_plot(found))
    grey = mask(picture, LEFT)
    bars = runs(grey[: int(0.8 * len(grey))].any(axis=0))
    heights = [int(grey[:, (first + last) // 2].sum()) for first, last in bars]
    tallest = max(range(len(bars)), key=lambda n: heights[n])
    zero = bars[tallest]
    width = zero[1] - zero[0]
    # A line is at 0, where that bin begins.
    places = {
        round((first - zero[0]) / (width + 1)): height / heights[tallest]
        for (first, _), height in zip(bars, heights, strict=True)
    }
    assert {place for place, share in places.items() if share > 0.1} == {-5, 0, 10}
    assert places[-5] == pytest.approx(1 / 3, abs=0.05)
    assert not mask(picture, RIGHT).any()
    offsets["right"].add(0.0)
    assert mask(png(offsets_plot(found)), RIGHT).any()


def test_affect_is_drawn_with_valence_across_and_arousal_up() -> None:
    found = Tally()
    found.affect["calm"].counts.update({(0, 24): 1, (24, 0): 1})
    found.affect["sad"].counts.update({(24, 0): 8})
    picture = png(affect_map("Affect", found.all_affect(), "utterance"))
    pixels = imread(io.BytesIO(picture), format="png")[114:, :, :3]  # above it is the key
    coloured = (pixels.max(axis=-1) - pixels.min(axis=-1)) > 0.15
    [top, bottom] = runs(coloured.any(axis=1))
    [left, right] = runs(coloured.any(axis=0))
    blocks = [coloured[slice(*rows), slice(*columns)].any() for rows in (top, bottom) for columns in (left, right)]
    assert blocks == [True, False, False, True]
    assert bottom[1] - bottom[0] > top[1] - top[0]


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


def test_few_points_are_small_and_one_does_not_fill_the_drawing() -> None:
    assert circle_radius(1, 1) < circle_radius(8, 8) / 2


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


def test_what_is_rejected_is_shaded_and_counted_and_a_single_clip_is_visible() -> None:
    quality = QualityTally(QualityLimits(lowest_snr_db=20.0))
    for value in (*(45.0,) * 400, 12.0, 70.0):
        quality.add(dict.fromkeys(MEASURES) | {"snr_db": value})
    plot = next(plot for plot in quality_plots(quality) if plot.name == "snr_db")
    assert [limit.label for limit in plot.limits] == ["◂ rejects 1 of 402 (0.2 %)"]
    drawing = svg(plot)
    assert "rejects 1 of 402" in drawing
    [shade] = re.findall(r'<rect x="([\d.]+)"[^>]* width="([\d.]+)"[^>]* class="beyond"/>', drawing)
    frame = (WIDTH - 46 - 12) / 90
    assert (float(shade[0]), float(shade[1])) == pytest.approx((46, 30 * frame), abs=0.2)
    grey = mask(png(plot), BEFORE)
    heights = [int(grey[:, (first + last) // 2].sum()) for first, last in runs(grey.any(axis=0))]
    assert len(heights) == 3
    assert min(heights) > 0.08 * max(heights)


def test_a_plot_says_its_figures_to_who_can_not_see_it() -> None:
    quality = QualityTally(QualityLimits(lowest_snr_db=20.0))
    for value in (12.0, 40.0, 40.0):
        quality.add(dict.fromkeys(MEASURES) | {"snr_db": value})
    plot = next(plot for plot in quality_plots(quality) if plot.name == "snr_db")
    words = "signal-to-noise ratio (dB): median about 41, 80 % from 13 to 41; limit 20: 1 of 3 are below"
    assert alternative(plot) == f"Signal-to-noise ratio of 3 clips. {words}."
    assert f'role="img" aria-label="{alternative(plot)}"' in svg(plot)


def test_title_of_a_measure_says_of_how_many_clips_it_is_unknown() -> None:
    quality = QualityTally()
    known = dict.fromkeys(MEASURES, 0.5)
    for row in (known, known, known | {"snr_db": None}):
        quality.add(row)
    titles = [plot.title for plot in quality_plots(quality)]
    assert [title for title in titles if "unknown" in title] == ["Signal-to-noise ratio of 2 clips, 1 unknown"]


@pytest.mark.parametrize("text", ["", "[]", '{"min_snr": "20"}', '{"min_snr": true}'])
def test_limits_that_are_none_are_not_used(tmp_path: Path, text: str) -> None:
    assert planned_limits(tmp_path) == {}
    (tmp_path / LIMITS).write_text(text)
    assert planned_limits(tmp_path) == {}
    (tmp_path / LIMITS).write_text(json.dumps({"max_seconds": None, "min_snr": 1}))
    assert planned_limits(tmp_path) == {"max_seconds": None, "min_snr": 1}


def test_lettering_of_a_card_is_legible_where_it_is_400_pixels_wide() -> None:
    pixels = imread(io.BytesIO(png(durations_plot(durations(1, 2)))), format="png").shape[1]
    assert pixels == PNG_PIXELS
    assert FONT_SIZE * 400 / WIDTH > 11
