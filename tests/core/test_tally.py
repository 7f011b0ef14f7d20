"""Accumulators against what NumPy says of the same values, and rows of conversations and clips in one tally."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.tally import UNKNOWN, CountGrid, Histogram, Purchases, Sum, Tally
from dailytalk_contiguous.core.utterance import UTTERANCE


@given(st.lists(st.integers(-500, 500), min_size=1), st.floats(0.01, 1))
def test_quantile_of_bins_is_that_of_the_values(values: list[int], share: float) -> None:
    histogram = Histogram(1.0)
    for value in values:
        histogram.add(value)
    assert histogram.quantile(share) == np.quantile(values, share, method="inverted_cdf")


def test_values_on_an_edge_are_in_the_bin_above_it_and_those_beyond_the_ends_in_the_outer_bins() -> None:
    histogram = Histogram(0.01, -30.0, 30.0, nearest=True)
    for value in (-7.0, -2.0, 0.0, 0.0, 0.1, 3.0, 12.0, 2.95):
        histogram.add(value)
    assert histogram.shares(-2.0, 3.0, 0.1) == {-2.0: 0.25, 0.0: 0.25, 0.1: 0.125, 2.9: 0.375}
    assert Histogram(0.5).shares(0.0, 1.0, 0.5) == {}
    assert math.isnan(Histogram(0.5).quantile(0.5))


def test_a_conversation_with_nothing_in_it_is_counted_as_one() -> None:
    tally = Tally()
    empty = dict.fromkeys(("duration", "source_duration", "language", "utterances", "alignments", "timeline"))
    tally.add(empty, "train")
    assert tally.total == tally.by["split"]["train"] == tally.by["language"][UNKNOWN] == Sum(1)
    assert tally.heard == Sum()


def test_what_became_of_utterances_is_counted_and_what_could_not_be_lost_is_perfect() -> None:
    nothing = {"offset_distance": None, "overlap_kept": math.nan, "duration_ratio": None}
    lost = {"lost_speech_seconds": None, "lost_sound_seconds": 0.25}
    measured = {"offset_distance": 0.5, "overlap_kept": 0.25, "duration_ratio": 2.0, "lost_speech_seconds": 4.0}
    utterance = dict.fromkeys(UTTERANCE) | {"channel": "left"}
    row = {"duration": 2.0, "source_duration": 2.0, "language": "en", "alignments": [{"source": "given"}] * 3}
    row["utterances"] = [utterance | {"status": status} for status in ("spoken", "kept-original")]
    tally = Tally()
    tally.add(row | {"timeline": nothing | lost})
    tally.add(row | {"timeline": lost | measured})
    assert tally.total == Sum(2, 4, 6, 4.0)
    assert tally.statuses == {"spoken": 2, "kept-original": 2}
    means = {name: moments.mean for name, moments in tally.timeline.items()}
    assert means == {"offset_distance": 0.25, "overlap_kept": 0.625, "duration_ratio": 1.5}
    assert tally.lost == {"speech": 4.0, "sound": 0.5}


@given(st.lists(st.integers(0, 9)))
def test_each_purchase_counts_once_however_often_it_is_said(said: list[int]) -> None:
    purchases = Purchases()
    for number in said:
        purchases.add(f"line {number}", 0.25 * number)
    assert purchases.total == sum(0.25 * number for number in set(said))


def test_purchases_without_a_key_count_each() -> None:
    purchases = Purchases()
    for key in ("a", None, None, "a"):
        purchases.add(key, 0.5)
    assert purchases.total == 1.5


def utterance(channel: str, start: float, end: float, **fields: Any) -> dict[str, Any]:
    return dict.fromkeys(UTTERANCE) | {
        "channel": channel,
        "start": start,
        "end": end,
        "source_start": 2 * start,
        "source_end": 2 * end,
        "status": "kept",
        "text": "",
        **fields,
    }


def conversation(*utterances: dict[str, Any], **columns: Any) -> dict[str, Any]:
    row = dict.fromkeys(("alignments", "timeline", "provenance"))
    return row | {"utterances": utterances, "duration": 60.0, "source_duration": 120.0, "language": "en"} | columns


def test_turn_taking_is_counted_by_who_takes_the_floor_and_by_whose_event_it_is() -> None:
    tally = Tally()
    row = conversation(
        utterance("left", 0, 2), utterance("right", 2.5, 5), utterance("left", 4.75, 7), utterance("left", 8, 9)
    )
    for _ in range(2):
        tally.add(row)
    after, before = tally.after, tally.before
    assert after.seconds == 120.0
    assert {side: after.offsets(side).tolist() for side in ("left", "right", "both")} == {
        "left": [-0.25, -0.25],
        "right": [0.5, 0.5],
        "both": [-0.25, -0.25, 0.5, 0.5],
    }
    seconds = {name: 2 * after.pooled(name, "both") for name in ("speech", "pause", "gap", "overlap")}
    assert seconds == {"speech": 15.5, "pause": 2.0, "gap": 1.0, "overlap": 0.5}
    assert (before.pooled("speech", "left"), before.pooled("gap", "left")) == (5.25, 0.0)
    assert not Tally().after.stats()


def test_measures_of_a_tag_are_against_the_other_utterances_of_its_speaker() -> None:
    def said(channel: str, tag: str | None, rms: float, pitch: float | None, rate: float, **fields: Any) -> Any:
        return utterance(channel, 0, 1, tag=tag, rms=rms, f0_mean=pitch, speech_rate=rate, **fields)

    def take(voice: str, rms: float, pitch: float | None, rate: float) -> dict[str, Any]:
        synthesis = {"engine": "e", "voice": voice, "rms": rms, "f0_mean": pitch, "speech_rate": rate}
        return {"status": "spoken", "synthesis": synthesis | dict.fromkeys(("cost", "tries", "word_error_rate"))}

    tally = Tally()
    tally.add(
        conversation(
            said("left", "shouting", 0.2, 200.0, 4.0, **take("anna", 0.1, 110.0, 3.0)),
            said("left", "calm", 0.02, 100.0, 2.0, **take("anna", 0.1, 110.0, 3.0)),
            said("left", "calm", 0.02, None, 0.0, **take("ben", 0.5, 300.0, 9.0)),
            said("right", "calm", 0.3, 400.0, 3.0),
            said("right", None, 0.003, 100.0, 3.0),
            said("left", "calm", 9.0, 900.0, 9.0, status="dropped"),
        )
    )
    assert tally.tag_measures.keys() == {"shouting", "calm"}
    shouting = {name: (moments.n, moments.mean) for name, moments in tally.tag_measures["shouting"].items()}
    assert shouting == {
        "loudness": (1, pytest.approx(40 / 3)),
        "pitch": (1, pytest.approx(6)),
        "rate": (1, pytest.approx(0.5)),
        "new_loudness": (1, pytest.approx(0)),
        "new_pitch": (1, pytest.approx(0)),
        "new_rate": (1, pytest.approx(0)),
    }
    calm = tally.tag_measures["calm"]
    assert calm["loudness"].n == 3
    assert calm["loudness"].mean == pytest.approx((-20 / 3 - 20 / 3 + 20) / 3)
    assert (calm["pitch"].n, calm["pitch"].mean) == (2, pytest.approx((-6 + 12) / 2))
    assert (calm["rate"].n, calm["rate"].mean) == (2, pytest.approx(-0.25))
    assert calm["new_pitch"].n == 1  # ben has said nothing else that it could be compared with


def test_means_of_a_speaker_are_those_of_one_conversation() -> None:
    tally = Tally()
    for rms in (0.1, 0.001):
        tally.add(conversation(*(utterance("left", at, at + 1, tag="sad", rms=rms) for at in (0, 2))))
    tally.add(conversation(utterance("left", 0, 1, tag="sad", rms=0.5)))
    loudness = tally.tag_measures["sad"]["loudness"]
    assert (loudness.n, loudness.mean, loudness.deviation) == (4, pytest.approx(0), pytest.approx(0))


def test_confidence_is_counted_where_it_is_known() -> None:
    tally = Tally()
    known = (None, 0.0, 0.07, 0.5, 1.0, math.nan)
    tally.add(conversation(*(utterance("left", at, at + 1, confidence=value) for at, value in enumerate(known))))
    assert tally.confidence.counts == {0: 1, 1: 1, 10: 1, 19: 1}


def test_deliveries_are_counted_by_tag_and_the_furthest_lines_are_named() -> None:
    def take(place: int, distance: float | None) -> Any:
        fields = {"delivery_distance": distance, "delivery_semitones": None, "delivery_decibels": 2.0}
        synthesis = dict.fromkeys(("cost", "tries", "word_error_rate", "cache_key")) | fields
        spoken = {"status": "spoken", "synthesis": synthesis, "tag": "sad" if place % 2 else "calm"}
        return utterance("left", place, place + 1, **spoken) | {"utterance_id": f"a/left/{place}"}

    tally = Tally()
    tally.add(conversation(*(take(place, place / 20) for place in range(12)), take(12, None)))
    assert tally.delivery.n == 12
    assert {tag: (of.n, of.mean) for tag, of in tally.delivery_of.items()} == {
        "sad": (6, pytest.approx(0.3)),
        "calm": (6, pytest.approx(0.25)),
    }
    named = [
        (distance, line.utterance["utterance_id"]) for distance, _, line in sorted(tally.furthest, reverse=True)
    ]
    assert named == [(place / 20, f"a/left/{place}") for place in range(11, 1, -1)]


@given(st.lists(st.tuples(st.floats(-1, 2), st.floats(-1, 2))))
def test_each_pair_is_in_a_cell_and_what_is_beyond_is_in_the_outer_ones(pairs: list[tuple[float, float]]) -> None:
    grid = CountGrid(0.04, 1.0)
    for x, y in pairs:
        grid.add(x, y)
    grid.add(None, 0.5)
    points = list(grid.points())
    assert grid.n == sum(n for _, _, n in points) == len(pairs)
    assert all(0 < x < 1 and 0 < y < 1 for x, y, _ in points)
