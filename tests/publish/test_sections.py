"""What pages and cards list one by one, and from how many on the rest is added up or left out."""

from typing import Any

import pytest
from finished_corpora import clip_row, measures
from rich_conversations import rich_row

from dailytalk_contiguous.core.sampling import plan_balance
from dailytalk_contiguous.core.tally import Histogram, Moments, Sum, Tally
from dailytalk_contiguous.publish.plots import BarPlot, MapPlot
from dailytalk_contiguous.publish.sections import (
    Compared,
    CorpusFigures,
    QualityTally,
    Table,
    Text,
    balance_plot,
    buckets_table,
    confidence_plot,
    conversation_facts,
    conversation_sections,
    crossed_plot,
    durations_plot,
    follows_source,
    indicators_plot,
    indicators_table,
    label_parts,
    label_plot,
    lengths_plot,
    made_parts,
    missing_table,
    offsets_plot,
    perceived_plot,
    ranked,
    synthesis_table,
    tag_affect_plot,
    tag_measures_plots,
    tag_measures_table,
    time_plot,
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
    figures.tally.add(clip_row("s1-0", split="validation"))
    table = missing_table(figures)
    assert (figures.shortfalls(), table.rows, table.nothing) == ([], [], "no clip trains")


def spoken(*rows: dict[str, Any], rebuilt: bool = True) -> Tally:
    tally = Tally(rebuilt)
    for row in rows:
        tally.add(row)
    return tally


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


def cells_of(table: Table) -> dict[str, list[Any]]:
    return {str(row[0]): list(row[1:]) for row in table.rows}


def test_who_waits_for_whom_is_drawn_by_who_takes_the_floor() -> None:
    tally = Tally()
    for channel, offsets in {"left": (0.4, 0.5, 0.6), "right": (-0.2, -0.3)}.items():
        for offset in offsets:
            tally.after.offsets_of[channel].add(offset)
    plot = offsets_plot(tally)
    assert plot.title == "Who waits for whom (5 changes of speaker)"
    assert [series.style for series, _ in plot.series] == ["left", "right"]
    assert plot.note == (
        "In the middle left starts 0.50 s after the end of right and right starts 0.30 s before the end of left."
    )
    assert (plot.axis.low, plot.axis.high) == (-0.5, 1.0)


def test_axis_of_offsets_fits_them_and_says_what_is_outside() -> None:
    tally = Tally(rebuilt=False)
    for channel, offset in (("left", -7.0), ("right", 20.0)):
        tally.before.offsets_of[channel].add(offset)
    plot = offsets_plot(tally)
    assert (plot.axis.low, plot.axis.high) == (-2.0, 3.0)
    assert plot.note.endswith("What is outside is counted at the ends.")


def test_timing_indicators_are_counted_by_the_minute_for_each_speaker_before_and_after() -> None:
    tally = Tally()
    for side, seconds, factor in ((tally.before, 120.0, 2.0), (tally.after, 60.0, 1.0)):
        side.seconds = seconds
        side.indicators["ipu"] = {
            "left": lengths(*(factor * one for one in (0.5, 1.0, 1.5))),
            "right": lengths(2.0),
        }
        side.indicators["gap"]["left"].add(0.2)
    rows = {(row[0], row[1]): row[2:] for row in indicators_table(tally).rows}
    assert len(rows) == 8
    assert rows["inter-pausal units", "left"] == ["1.5", "2.00 s (1.00 to 3.00)", "3.0", "1.00 s (0.50 to 1.50)"]
    assert rows["overlaps", "right"] == ["0.0", "–", "0.0", "–"]
    plot = indicators_plot(tally)
    assert [row.name for row in plot.rows][:3] == ["unit, left", "unit, right", "pause, left"]
    assert plot.rows[0].values == (pytest.approx((1.0, 2.0, 3.0)), pytest.approx((0.5, 1.0, 1.5)))
    assert plot.rows[2].values == (None, None)
    assert [series.style for series in plot.series] == ["before", "after"]
    assert not indicators_table(Tally())
    assert not indicators_plot(Tally())


def test_time_in_which_one_both_and_nobody_speak_adds_up_to_the_length() -> None:
    tally = spoken(rich_row("a"), rich_row("b", 0.5))
    bars = {bar.name: bar for bar in time_plot(tally).rows}
    for side in (0, 1):
        parts = [bars[name].values[side] for name in ("one speaks", "both speak", "nobody speaks")]
        assert sum(parts) == pytest.approx(bars["whole length"].values[side])
    assert bars["whole length"].label == "14.5 s → 13.0 s (−10 %)"
    assert "of the overlap that the new lengths allow" in time_plot(tally).note.lower()
    tagged = time_plot(spoken(rich_row("a"), rebuilt=False))
    assert [series.style for series in tagged.series] == ["before"]
    assert "→" not in tagged.rows[0].label


def tagged_tally(follows: float = 1.0) -> Tally:
    tally = Tally()
    for number, tag in enumerate(("calm", "sad", "shouting", "soft tone")):
        source = {"loudness": 3.0 * number, "pitch": -1.0 * number, "rate": 0.1 * number}
        tally.tag_measures[tag] = {name: moments(value, value, value) for name, value in source.items()}
        new = {f"new_{name}": moments(*(follows * value,) * 2) for name, value in source.items()}
        tally.tag_measures[tag] |= new
    return tally


def test_what_a_tag_sounds_like_is_shown_of_source_and_synthesis_with_their_numbers() -> None:
    table = tag_measures_table(tagged_tally(0.5))
    assert cells_of(table)["shouting"] == [3, 2, "+6.0 dB", "+3.0 dB", "−2.0 st", "−1.0 st", "×1.15", "×1.07"]
    assert cells_of(table)["calm"][2:4] == ["±0.0 dB", "±0.0 dB"]
    assert "loudness r = 1.00, pitch r = 1.00, rate r = 1.00" in table.note
    plots = tag_measures_plots(tagged_tally())
    assert [plot.name for plot in plots] == ["tags_loudness", "tags_pitch", "tags_rate"]
    assert [series.name for series in plots[0].series] == ["source", "synthesis"]


def test_a_voice_that_does_the_reverse_or_nothing_is_said_so() -> None:
    assert follows_source(tagged_tally(-1.0), "loudness") == pytest.approx(-1.0)
    assert follows_source(tagged_tally(0.0), "loudness") is None
    few = tagged_tally()
    del few.tag_measures["sad"], few.tag_measures["calm"]
    assert follows_source(few, "pitch") is None
    assert "Too few to say." in tag_measures_table(few).note


def test_what_was_only_tagged_has_no_column_for_a_synthesis() -> None:
    tally = tagged_tally()
    tally.rebuilt = False
    table = tag_measures_table(tally)
    assert table.head == ("tag", "utterances, source", "loudness, source", "pitch, source", "rate, source")
    assert len(tag_measures_plots(tally)[0].series) == 1


def test_confidence_is_drawn_where_the_recogniser_says_it() -> None:
    tally = Tally()
    assert not confidence_plot(tally)
    tally.total.add(Sum(utterances=4))
    for value in (0.9, 0.92, 0.4):
        tally.confidence.add(value)
    plot = confidence_plot(tally)
    assert plot.title == "Confidence of the recogniser (3 of 4 utterances)"
    assert plot.note == "Of the others it is not known."
    assert not any(part is plot for section in conversation_sections(Tally(), {}, ()) for part in section.parts)


def test_money_is_shown_where_some_was_spent_or_saved() -> None:
    for cost, saved, shown in ((0.0, 0.0, False), (0.5, 0.0, True), (0.0, 0.25, True)):
        tally = Tally()
        tally.purchases.add("a", cost)
        run = {"speak": {"money": {"spent": cost, "saved_by_cache": saved}}}
        table = synthesis_table(tally, run)
        assert any("USD" in str(row[1]) for row in table.rows) == shown
        names = [name for name, *_ in conversation_facts(tally, run).figures]
        assert ("spent on speech" in names) == shown


def test_how_much_faster_the_new_voice_speaks_is_a_figure_at_the_top() -> None:
    tally = Tally()
    tally.ratios.add(0.62)
    assert ("new voice", "×1.61 as fast", "median length 0.62 of the recorded") in conversation_facts(
        tally, {}
    ).figures


def test_buckets_are_listed_where_they_are_not_thirds() -> None:
    tally = Tally()
    tally.buckets["arousal"].update(LOW=32, MID=31, HIGH=37)
    tally.buckets["pitch_var"].update(LOW=16, MID=66, HIGH=18)
    assert cells_of(buckets_table(tally)) == {"pitch variation": ["16 %", "66 %", "18 %"]}


def test_affect_of_each_tag_is_drawn_on_axes_that_fit_all_of_it() -> None:
    tally = Tally()
    for tag, valence in (("calm", 0.5), ("sad", 0.42)):
        for _ in range(3 if tag == "sad" else 1):
            tally.affect[tag].add(valence, 0.3)
    plot = tag_affect_plot(tally)
    assert [name for name, _ in plot.panels] == ["sad", "calm"]
    assert (plot.x_axis.low, plot.x_axis.high) == pytest.approx((0.3, 0.7))
    assert plot.title == "Affect by tag (4 utterances)"


def emotions(*clips: tuple[str, str | None, str, str], **run: Any) -> CorpusFigures:
    figures = CorpusFigures(**run)
    for number, (emotion, perceived, speaker, gender) in enumerate(clips):
        figures.tally.add(
            clip_row(f"c-{number}", emotion, perceived=perceived, speaker=speaker, gender=gender, agreement=0.75)
        )
    return figures


def test_what_was_meant_is_set_against_what_raters_heard() -> None:
    figures = emotions(
        ("happy", "happy", "a", "female"),
        ("happy", "neutral", "a", "female"),
        ("sad", "sad", "b", "male"),
        ("sad", None, "b", "male"),
    )
    plot = perceived_plot(figures)
    assert plot.columns == ("happy", "neutral", "sad", "unknown")
    assert dict(plot.rows) == {"happy": (1, 1, 0, 0), "sad": (0, 0, 1, 1)}
    assert "They agree in 2 of 3 (67 %)" in plot.note
    assert "75 % of the raters" in plot.note
    by_gender = crossed_plot(figures, "gender", "emotion", "Emotion by gender")
    assert (by_gender.columns, dict(by_gender.rows)) == (("happy", "sad"), {"female": (2, 0), "male": (0, 2)})


def test_speakers_beyond_fifteen_are_one_row_and_labels_of_one_value_no_matrix() -> None:
    clips = [(emotion, None, f"s{n:02d}", "female") for n in range(20) for emotion in ("happy", "sad")]
    figures = emotions(*clips)
    plot = crossed_plot(figures, "speaker", "emotion", "Emotion by speaker")
    assert len(plot.rows) == 16
    assert plot.rows[-1] == ("5 others", (5, 5))
    assert not crossed_plot(figures, "gender", "emotion", "Emotion by gender")
    assert not perceived_plot(figures)


def test_dimension_with_one_value_is_a_sentence_and_no_plot() -> None:
    parts = label_parts(emotions(("happy", None, "a", "female"), ("sad", None, "b", "female")))
    assert isinstance(parts[0], Text)
    assert "corpus acted" in parts[0].text
    assert "gender female" in parts[0].text
    assert [part.name for part in parts[1:] if isinstance(part, BarPlot)] == ["emotion", "speaker"]


def test_what_could_not_be_balanced_is_named() -> None:
    clips = (("happy", None, "a", "female"), ("sad", None, "b", "male"))
    plot = balance_plot(emotions(*clips, before={"happy": 60.0, "sad": 1.0}))
    assert plot.title == "Minutes of training, before and after balancing"
    assert plot.note == "Largest to smallest emotion: 60.0 as recorded, 1.0 as seen."
    skewed = emotions(*clips, ("happy", None, "a", "female"), before={"happy": 60.0, "sad": 1.0})
    assert "2.0 as seen: not balanced." in balance_plot(skewed).note
    assert "do not bring sad up to the others" in balance_plot(skewed).note
    assert balance_plot(emotions(*clips)).title == "Minutes of training, recorded and seen"


def test_advice_that_is_the_same_for_all_emotions_is_given_once() -> None:
    figures = emotions(("happy", None, "a", "female"), ("sad", None, "b", "male"), ("angry", None, "c", "male"))
    table = missing_table(figures)
    assert len(table.rows) == 3
    assert table.head == ("emotion", "recorded", "seen", "lacks")
    assert table.note.startswith("What helps: another corpus")


def test_what_an_emotion_lacks_is_the_figure_of_the_run() -> None:
    figures = emotions(("happy", None, "a", "female"), ("sad", None, "b", "male"))
    planned = {one.emotion: one.seconds for one in plan_balance(figures.tally.trained, 0.5).shortfalls}
    assert {one.emotion: one.seconds for one in figures.shortfalls()} == pytest.approx(planned)


def test_clips_beyond_a_limit_to_hear_are_of_every_reason_and_six_at_most() -> None:
    quality = QualityTally()
    for number in range(20):
        quality.add(measures(duration=31.0 + number) | {"conversation_id": f"long{number}"})
    quality.add(measures() | {"conversation_id": "good"})
    quality.add(measures(snr_db=3.0) | {"conversation_id": "noisy"})
    assert [name for name, _ in quality.to_hear()] == ["long0", "noisy", "long1", "long2", "long3", "long4"]
    assert quality.to_hear()[1][1] == "its signal-to-noise ratio is 3.0 dB (at least 10.0 dB)"
