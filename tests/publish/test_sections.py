"""What pages and cards list one by one, and from how many on the rest is added up or left out."""

import pytest
from finished_corpora import clip_row

from dailytalk_contiguous.core.tally import Sum, Tally
from dailytalk_contiguous.publish.plots import MapPlot
from dailytalk_contiguous.publish.sections import (
    Compared,
    CorpusFigures,
    conversation_facts,
    durations_plot,
    label_plot,
    lengths_plot,
    made_parts,
    missing_table,
    ranked,
    synthesis_table,
)


def tally_of(label: str, count: int) -> Tally:
    """Values `v00`, `v01` ... of a label, each of one utterance more than the next."""
    tally = Tally()
    for number in range(count):
        share = Sum(1, count - number, 0, float(count - number))
        tally.by[label][f"v{number:02d}"].add(share)
        tally.heard.add(share)
    return tally


@pytest.mark.parametrize(("count", "named", "rest"), [(25, 25, ""), (26, 26, ""), (27, 25, "2 others")])
def test_values_of_a_label_are_named_up_to_25_and_one_more_is_no_rest(count: int, named: int, rest: str) -> None:
    tally = tally_of("style", count)
    names = [f"v{number:02d}" for number in range(named)] + [rest] * bool(rest)
    assert [name for name, _ in ranked(tally.by["style"])] == names
    side = Compared("a", "clips", tally)
    plot = label_plot(side, side, "style")
    assert [bar.name for bar in plot.rows] == names
    assert sum(bar.values[0] for bar in plot.rows) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("count", "named"), [(4, "v00, v01, v02, v03"), (5, "v00, v01, v02, v03 and 1 more"), (1, "v00")]
)
def test_four_languages_are_named(count: int, named: str) -> None:
    assert conversation_facts(tally_of("language", count), {}).figures[0] == ("conversations", "0", named)


@pytest.mark.parametrize(
    ("new", "reach", "edge"),
    [
        (0.25, 3.0, False),
        (2.75, 3.0, False),
        (3.25, 6.0, False),
        (5.75, 6.0, False),
        (6.25, 12.0, True),
        (60.0, 12.0, True),
    ],
)
def test_lengths_are_drawn_up_to_3_6_or_12_seconds(new: float, reach: float, edge: bool) -> None:
    tally = Tally()
    tally.lengths.add(0.1, new)
    tally.ratios.add(new / 0.1)
    plot = lengths_plot(tally)
    assert isinstance(plot, MapPlot)
    assert plot.x_axis[1:] == plot.y_axis[1:] == (0, reach, reach / 6)
    assert ("what is longer than 12 s counts at the edge" in plot.note) == edge


@pytest.mark.parametrize(
    ("seconds", "axis", "width"),
    [
        (29.0, ("length (s)", 0.0, 30.0, 5.0), 1.0),
        (30.0, ("length (s)", 0.0, 32.0, 6.0), 2.0),
        (299.0, ("length (s)", 0.0, 300.0, 50.0), 10.0),
        (300.0, ("length (min)", 0.0, 5.5, 1.0), 0.5),
    ],
)
def test_lengths_of_conversations_are_in_seconds_up_to_five_minutes(
    seconds: float, axis: tuple[str, float, float, float], width: float
) -> None:
    tally = Tally()
    tally.durations.add(seconds)
    plot = durations_plot(tally)
    assert (tuple(plot.axis), plot.bin_width) == (axis, width)


def test_ten_voices_and_fifteen_reasons_are_listed() -> None:
    tally = Tally()
    for number in range(17):
        tally.voices[f"voice {number:02d}"] += 1
        tally.reasons[f"reason {number:02d}"] += 20 - number
    settings = made_parts(tally, {})[1]
    assert settings.rows[-1] == ("voice", " or ".join(f"voice {number:02d}" for number in range(10)))  # type: ignore[union-attr]
    why = [name for name, *_ in synthesis_table(tally, {}).rows if str(name).startswith("why not: ")]
    assert why == [f"why not: reason {number:02d}" for number in range(15)]


def test_nothing_is_missing_where_no_clip_trains() -> None:
    figures = CorpusFigures()
    figures.tally.add_clip(clip_row("s1-0", split="validation"))
    table = missing_table(figures)
    assert (figures.shortfalls(), table.rows, table.nothing) == ([], [], "no clip trains")
