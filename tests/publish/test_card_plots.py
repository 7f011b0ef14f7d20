"""The plots of a card and of quality, read back from their pixels: what is drawn, where, and how large."""

import io
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray

from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.publish.figures import (
    BLUE,
    GREY,
    LIMITS,
    ORANGE,
    PLOT,
    _binned,
    _drawn,
    _unit,
    card_plots,
    planned_limits,
    plot_quality,
)
from dailytalk_contiguous.publish.statistics import MEASURES, CardStatistics

Mask = NDArray[np.bool_]


def mask(png: bytes, colour: str) -> Mask:
    """Where a picture has just this colour, without the margin above the axes, where the legend is."""
    pixels = imread(io.BytesIO(png), format="png")[..., :3]
    found: Mask = (abs(pixels - np.array(to_rgb(colour))) < 0.5 / 255).all(axis=-1)
    found[:44] = False
    return found


def legend(png: bytes, colour: str) -> Mask:
    """Where the margin above the axes has just this colour."""
    pixels = imread(io.BytesIO(png), format="png")[:44, :, :3]
    found: Mask = (abs(pixels - np.array(to_rgb(colour))) < 0.5 / 255).all(axis=-1)
    return found


def runs(line: Mask) -> list[tuple[int, int]]:
    """First and last + 1 of each stretch of a line that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(int)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def test_bars_of_lengths_are_as_high_as_their_counts_and_a_little_narrower_than_their_bins() -> None:
    found = CardStatistics(lengths=Counter({0: 4, 1: 2, 5: 1, 29: 3}))
    blue = mask(card_plots(found)["assets/lengths.png"], BLUE)
    bars = runs(blue.any(axis=0))
    unit = bars[1][0] - bars[0][0]
    assert [round((first - bars[0][0]) / unit) for first, _ in bars] == [0, 1, 5, 29]
    assert all(last - first == pytest.approx(0.94 * unit, abs=1.5) for first, last in bars)
    heights = [int(blue[:, first:last].any(axis=1).sum()) for first, last in bars]
    assert [round(4 * height / heights[0]) for height in heights] == [4, 2, 1, 3]


@pytest.mark.parametrize(
    ("seconds", "bins"),
    [
        ((0, 30), [0, 15]),
        ((0, 59), [0, 29]),
        ((0, 60), [0, 12]),
        ((0, 60, 119, 3000), [0, 25]),
        ((0, 301), [0, 10]),
    ],
)
def test_lengths_are_in_thirty_bins_at_most_in_whatever_unit(seconds: tuple[int, ...], bins: list[int]) -> None:
    blue = mask(card_plots(CardStatistics(lengths=Counter(seconds)))["assets/lengths.png"], BLUE)
    bars = runs(blue.any(axis=0))
    width = (bars[0][1] - bars[0][0]) / 0.94
    assert [round((first - bars[0][0]) / width, 0) for first, _ in bars] == pytest.approx(bins, abs=0.6)


def test_a_plot_without_data_is_left_out() -> None:
    assert card_plots(CardStatistics()) == {}


def test_speech_by_tag_is_drawn_by_side_the_longest_first_and_the_rest_as_one() -> None:
    found = CardStatistics()
    for number in range(27):
        found.tags[f"tag{number:02}"].update(left=200.0 - 5 * number, right=100.0 - 2 * number)
    png = card_plots(found)["assets/tags.png"]
    blue, orange = mask(png, BLUE), mask(png, ORANGE)
    rows = [(first + last) // 2 for first, last in runs(blue.any(axis=1))]
    assert len(rows) == 26
    assert max(after - before for before, after in pairwise(rows)) <= 32
    assert int(np.diff(rows).min()) >= 27
    lengths = [(int(blue[row].sum()), int(orange[row].sum())) for row in rows]
    second = lengths[0][0] / 200.0
    wanted = [(200.0 - 5 * n, 100.0 - 2 * n) for n in range(25)] + [(75.0 + 70.0, 50.0 + 48.0)]
    for drawn, told in zip(lengths, wanted, strict=True):
        assert drawn == pytest.approx((told[0] * second, told[1] * second), abs=3)
    for row in rows:
        [(_, end)], [(start, _)] = runs(blue[row]), runs(orange[row])
        assert abs(start - end) <= 2


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [(0.0, (1.0, "seconds")), (59.9, (1.0, "seconds")), (60.0, (60.0, "minutes")), (3600.0, (3600.0, "hours"))],
)
def test_unit_of_an_axis_is_the_largest_that_is_filled(seconds: float, unit: tuple[float, str]) -> None:
    assert _unit(seconds) == unit


def test_bins_hold_what_is_between_their_edges_and_nothing_outside() -> None:
    values = {-2.1: 1, -2.0: 2, -1.9: 4, 0.0: 8, 2.99: 16, 3.0: 32}
    counts, edges = _binned(values, -2.0, 50, 0.1)
    assert {round(float(edges[at]), 6): int(counts[at]) for at in np.flatnonzero(counts)} == {
        -2.0: 2,
        -1.9: 4,
        0.0: 8,
        2.9: 16,
    }


def test_offsets_of_the_source_are_filled_by_their_share() -> None:
    found = CardStatistics()
    found.tally.before.offsets.update({-50: 1, 0: 3, 100: 1, 1000: 5})
    png = card_plots(found)["assets/offsets.png"]
    grey = mask(png, GREY)
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
    assert not mask(png, BLUE).any()
    found.tally.after.offsets.update({0: 1})
    assert mask(card_plots(found)["assets/offsets.png"], BLUE).any()


def test_affect_is_drawn_with_valence_across_and_arousal_up() -> None:
    found = CardStatistics()
    found.tally.affect[0, 24].update(calm=1)
    found.tally.affect[24, 0].update(calm=1, sad=2)
    pixels = imread(io.BytesIO(card_plots(found)["assets/affect.png"]), format="png")[..., :3]
    pixels = pixels[:, :550]  # beside it is the scale
    coloured = (pixels.max(axis=-1) - pixels.min(axis=-1)) > 0.05
    [top, bottom] = runs(coloured.any(axis=1))
    [left, right] = runs(coloured.any(axis=0))
    blocks = [coloured[slice(*rows), slice(*columns)].any() for rows in (top, bottom) for columns in (left, right)]
    assert blocks == [True, False, False, True]
    assert bottom[1] - top[0] == pytest.approx(right[1] - left[0], abs=2)
    assert pixels[sum(top) // 2, sum(left) // 2].sum() > pixels[sum(bottom) // 2, sum(right) // 2].sum()


def test_quality_is_drawn_measure_by_measure_with_limits_where_something_is_known(tmp_path: Path) -> None:
    at = {name: (one.axis.low, (one.axis.high - one.axis.low) / one.factor) for name, one in MEASURES.items()}
    rows: list[dict[str, Any]] = [
        {name: low / MEASURES[name].factor + share * width for name, (low, width) in at.items()}
        for share in (0.1, 0.5, 0.5, 0.9)
    ]
    rows = [row | {"snr_db": None} for row in rows]
    limits = QualityLimits(lowest_snr_db=20.0)
    plot_quality(rows, limits, tmp_path)
    png = (tmp_path / PLOT).read_bytes()
    pixels = imread(io.BytesIO(png), format="png")[..., :3]
    assert pixels.shape == (600, 1100, 3)
    high, wide = len(pixels) // 2, pixels.shape[1] // 3
    bars, lines = ((abs(pixels - np.array(to_rgb(one))) < 2 / 255).all(axis=-1) for one in ("#4c72b0", "#c44e52"))
    for place, (name, measure) in enumerate(MEASURES.items()):
        row, column = divmod(place, 3)
        part = slice(row * high, (row + 1) * high), slice(column * wide, (column + 1) * wide)
        assert bars[part].any() == (name != "snr_db"), name
        drawn = runs(lines[part].sum(axis=0) > high / 4)
        assert len(drawn) == len(measure.limits(limits)), name
    assert planned_limits(tmp_path)["lowest_snr_db"] == 20.0


def test_axis_of_a_measure_says_of_how_many_clips_it_is_unknown() -> None:
    known = dict.fromkeys(MEASURES, 0.5)
    figure = _drawn([known, known, known | {"snr_db": None}], QualityLimits())
    assert [axes.get_xlabel() for axes in figure.axes] == [
        f"{one.axis.title}, 1 unknown" if name == "snr_db" else one.axis.title for name, one in MEASURES.items()
    ]


def test_legend_of_the_tags_is_one_line_above_the_bars() -> None:
    found = CardStatistics()
    found.tags["calm"].update(left=2.0, right=1.0)
    png = card_plots(found)["assets/tags.png"]
    blue, orange = (legend(png, colour) for colour in (BLUE, ORANGE))
    assert runs(blue.any(axis=1)) == runs(orange.any(axis=1))
    assert runs(blue.any(axis=0))[-1] < runs(orange.any(axis=0))[0]


@pytest.mark.parametrize("text", ["", "[]", '{"lowest_snr_db": "20"}', '{"lowest_snr_db": true}'])
def test_limits_that_are_none_are_not_used(tmp_path: Path, text: str) -> None:
    assert planned_limits(tmp_path) == {}
    (tmp_path / LIMITS).write_text(text)
    assert planned_limits(tmp_path) == {}
    (tmp_path / LIMITS).write_text(json.dumps({"longest": None, "lowest_snr_db": 1}))
    assert planned_limits(tmp_path) == {"longest": None, "lowest_snr_db": 1}


@pytest.mark.parametrize(("count", "ticks"), [(1, 2), (2, 3), (3, 4)])
def test_numbers_of_conversations_are_whole(count: int, ticks: int) -> None:
    png = card_plots(CardStatistics(lengths=Counter({0: count})))["assets/lengths.png"]
    pixels = imread(io.BytesIO(png), format="png")[..., :3]
    left = round(0.65 * 120)
    assert len(runs((pixels[:, left - 4 : left - 2] < 0.5).all(axis=(1, 2)))) == ticks
