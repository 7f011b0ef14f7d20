"""What pages and cards list one by one, and from how many on the rest is added up or left out."""

from typing import Any

import pytest
from built_conversations import built_row
from dailytalk_contiguous.publish.sections import ranked
from finished_corpora import clip_row, measures

from dailytalk_contiguous.core.tally import Histogram, Moments, Sum, Tally
from dailytalk_contiguous.publish.comparison_sections import Compared, label_plot
from dailytalk_contiguous.publish.conversation_sections import (
    conversation_facts,
    durations_plot,
    follows_source,
    lengths_plot,
    synthesis_table,
    tag_measures_table,
    tags_plot,
)
from dailytalk_contiguous.publish.corpus_sections import (
    CorpusFigures,
    QualityTally,
    crossed_plot,
    missing_table,
    perceived_plot,
)
from dailytalk_contiguous.publish.plots import MapPlot


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
        (6.25, 9.0, False),
        (9.25, 12.0, True),
        (60.0, 12.0, True),
    ],
)
def test_lengths_are_drawn_up_to_3_6_9_or_12_seconds(new: float, reach: float, edge: bool) -> None:
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
    tally.durations.add(0.0)
    plot = durations_plot(tally)
    assert (tuple(plot.axis), plot.bin_width) == (axis, width)


def test_axis_of_lengths_that_are_much_alike_begins_near_them() -> None:
    tally = Tally()
    for seconds in (61.0, 65.0, 68.0):
        tally.durations.add(seconds)
    assert tuple(durations_plot(tally).axis)[1:] == (60.0, 70.0, 5.0)


def lengths(*seconds: float) -> Histogram:
    histogram = Histogram(0.05, nearest=True)
    for length in seconds:
        histogram.add(length)
    return histogram


def moments(*values: float) -> Moments:
    found = Moments()
    for value in values:
        found.add(value)
    return found


def tagged_tally(follows: float = 1.0) -> Tally:
    tally = Tally()
    for number, tag in enumerate(("calm", "sad", "shouting", "soft tone")):
        source = {"loudness": 3.0 * number, "pitch": -1.0 * number, "rate": 0.1 * number}
        tally.tag_measures[tag] = {name: moments(value, value, value) for name, value in source.items()}
        new = {f"new_{name}": moments(*(follows * value,) * 2) for name, value in source.items()}
        tally.tag_measures[tag] |= new
    return tally


def test_a_voice_that_does_the_reverse_or_nothing_is_said_so() -> None:
    assert follows_source(tagged_tally(-1.0), "loudness") == pytest.approx(-1.0)
    assert follows_source(tagged_tally(0.0), "loudness") is None
    few = tagged_tally()
    del few.tag_measures["sad"], few.tag_measures["calm"]
    assert follows_source(few, "pitch") is None
    assert "Too few to say." in tag_measures_table(few).note


def test_a_voice_without_tags_is_not_compared_with_the_source_of_its_tags() -> None:
    row = built_row(lines=[("left", at, at + 0.8, "Hello.") for at in range(12)], seconds=13.0)
    for number, said in enumerate(row["utterances"]):
        said |= {"tag": ("calm", "sad", "shouting")[number % 3], "rms": 0.1 + number / 100, "tag_said": False}
        said["synthesis"] |= {"rms": 0.1 + number / 100}
    tally = Tally()
    tally.add(row)
    assert follows_source(tally, "loudness") is None
    assert tag_measures_table(tally).note.endswith("No tag was sent with 12 of 12 utterances.")
    assert "left, resynthesised without tags" in [series.name for series in tags_plot(tally).series]


def test_money_is_shown_where_some_was_spent_or_saved() -> None:
    for cost, saved, shown in ((0.0, 0.0, False), (0.5, 0.0, True), (0.0, 0.25, True)):
        tally = Tally()
        tally.purchases.add("a", cost)
        run = {"speak": {"money": {"spent": cost, "saved_by_cache": saved}}}
        table = synthesis_table(tally, run)
        assert any("USD" in str(row[1]) for row in table.rows) == shown
        names = [name for name, *_ in conversation_facts(tally, run).figures]
        assert ("spent on speech" in names) == shown


def emotions(*clips: tuple[str, str | None, str, str], **run: Any) -> CorpusFigures:
    figures = CorpusFigures(**run)
    for number, (emotion, perceived, speaker, gender) in enumerate(clips):
        figures.tally.add(
            clip_row(f"c-{number}", emotion, perceived=perceived, speaker=speaker, gender=gender, agreement=0.75)
        )
    return figures


def test_speakers_beyond_fifteen_are_one_row_and_labels_of_one_value_no_matrix() -> None:
    clips = [(emotion, None, f"s{n:02d}", "female") for n in range(20) for emotion in ("happy", "sad")]
    figures = emotions(*clips)
    plot = crossed_plot(figures, "speaker", "emotion", "Emotion by speaker")
    assert len(plot.rows) == 16
    assert plot.rows[-1] == ("5 others", (5, 5))
    assert not crossed_plot(figures, "gender", "emotion", "Emotion by gender")
    assert not perceived_plot(figures)


def test_advice_that_is_the_same_for_all_emotions_is_given_once() -> None:
    figures = emotions(("happy", None, "a", "female"), ("sad", None, "b", "male"), ("angry", None, "c", "male"))
    table = missing_table(figures)
    assert len(table.rows) == 3
    assert table.head == ("emotion", "recorded", "seen", "lacks")
    assert table.note.startswith("What helps: another corpus")


def test_clips_beyond_a_limit_to_hear_are_of_every_reason_and_six_at_most() -> None:
    quality = QualityTally()
    for number in range(20):
        quality.add(measures(duration=31.0 + number) | {"conversation_id": f"long{number}"})
    quality.add(measures() | {"conversation_id": "good"})
    quality.add(measures(snr_db=3.0) | {"conversation_id": "noisy"})
    assert [name for name, _ in quality.to_hear()] == ["long0", "noisy", "long1", "long2", "long3", "long4"]
    assert quality.to_hear()[1][1] == "its signal-to-noise ratio is 3.0 dB (at least 10.0 dB)"
