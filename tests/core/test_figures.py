"""Figures of a dataset: queries of its tables, against what was planted in rows."""

import math
from typing import Any

import pytest
from built_conversations import built_row
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.tables import TAKE, tables_from
from dailytalk_contiguous.core.utterance import SYNTHESIS, UTTERANCE


def utterance(channel: str, start: float, end: float, **fields: Any) -> dict[str, Any]:
    times = {"start": start, "end": end, "source_start": 2 * start, "source_end": 2 * end}
    return dict.fromkeys(UTTERANCE) | {"channel": channel, "status": "kept", "text": "", **times} | fields


def conversation(*utterances: dict[str, Any], **columns: Any) -> dict[str, Any]:
    return built_row(duration=60.0, source_duration=120.0, alignments=[], utterances=[*utterances]) | columns


def take(**fields: Any) -> dict[str, Any]:
    return {"status": "spoken", "synthesis": dict.fromkeys(SYNTHESIS) | {"engine": "e"} | fields}


def test_what_became_of_utterances_is_counted_and_what_could_not_be_lost_is_perfect() -> None:
    nothing = {"offset_distance": None, "overlap_kept": math.nan, "duration_ratio": None}
    lost = {"lost_speech_seconds": None, "lost_sound_seconds": 0.25}
    measured = {"offset_distance": 0.5, "overlap_kept": 0.25, "duration_ratio": 2.0, "lost_speech_seconds": 4.0}
    said = [utterance("left", 0, 1, status=status) for status in ("spoken", "kept-original")]
    words = [{"word": "a", "start": 0, "end": 1, "speaker": "left", "source": "given", "probability": None}] * 3
    tables = tables_from(
        [
            conversation(*said, timeline=nothing | lost, alignments=words),
            conversation(*said, timeline=lost | measured, alignments=words),
        ]
    )
    whole = figures.totals(tables)
    assert [whole[name] for name in ("conversations", "utterances", "words", "seconds")] == [2, 4, 6, 120]
    assert figures.counts(tables.utterances["status"]) == {"spoken": 2, "kept-original": 2}
    assert figures.word_sources(tables) == {"given": 6}
    assert figures.timeline_means(tables) == {
        "offset_distance": 0.25,
        "overlap_kept": 0.625,
        "duration_ratio": 1.5,
    }
    assert figures.lost_in_rebuild(tables) == {"speech": 4.0, "sound": 0.5}


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None, ""]), st.integers(0, 9))))
def test_each_purchase_counts_once_and_each_without_a_key(bought: list[tuple[str | None, int]]) -> None:
    price = {"a": 0.25, "b": 0.5, "c": 0.75}
    said = [
        utterance("left", n, n + 1, **take(cache_key=key, cost=price.get(key or "", number / 4)))
        for n, (key, number) in enumerate(bought)
    ]
    keyed = sum(price[key] for key in {key for key, _ in bought if key})
    keyless = sum(number / 4 for key, number in bought if not key)
    assert figures.cost(tables_from([conversation(*said)])) == pytest.approx(keyed + keyless)


def test_turn_taking_is_that_of_both_timelines() -> None:
    row = conversation(
        utterance("left", 0, 2), utterance("right", 2.5, 5), utterance("left", 4.75, 7), utterance("left", 8, 9)
    )
    tables = tables_from([row, row])
    after = tables.rebuilt
    before = tables.source
    assert after.seconds == 120.0
    assert {side: after.offsets(side).tolist() for side in ("left", "right", "both")} == {
        "left": [-0.25, -0.25],
        "right": [0.5, 0.5],
        "both": [-0.25, -0.25, 0.5, 0.5],
    }
    seconds = {name: 2 * after.pooled(name, "both") for name in ("speech", "pause", "gap", "overlap")}
    assert {name: value / 2 for name, value in seconds.items()} == {
        "speech": 7.75,
        "pause": 1.0,
        "gap": 0.5,
        "overlap": 0.25,
    }
    assert (before.pooled("speech", "left"), before.pooled("gap", "left")) == (5.25, 0.0)


def test_measures_of_a_tag_are_against_the_other_utterances_of_its_speaker() -> None:
    def said(channel: str, tag: str | None, rms: float, pitch: float | None, rate: float, **fields: Any) -> Any:
        return utterance(channel, 0, 1, tag=tag, rms=rms, f0_mean=pitch, speech_rate=rate, **fields)

    def voiced(voice: str, rms: float, pitch: float, rate: float) -> dict[str, Any]:
        return take(voice=voice, rms=rms, f0_mean=pitch, speech_rate=rate)

    table = figures.tag_measures(
        tables_from(
            [
                conversation(
                    said("left", "shouting", 0.2, 200.0, 4.0, **voiced("anna", 0.1, 110.0, 3.0)),
                    said("left", "calm", 0.02, 100.0, 2.0, **voiced("anna", 0.1, 110.0, 3.0)),
                    said("left", "calm", 0.02, None, 0.0, **voiced("ben", 0.5, 300.0, 9.0)),
                    said("right", "calm", 0.3, 400.0, 3.0),
                    said("right", None, 0.003, 100.0, 3.0),
                    said("left", "calm", 9.0, 900.0, 9.0, status="dropped"),
                )
            ]
        )
    )
    assert {*table.index} == {"shouting", "calm"}
    means = {
        "loudness": 40 / 3,
        "pitch": 6,
        "rate": 0.5,
        f"{TAKE}loudness": 0,
        f"{TAKE}pitch": 0,
        f"{TAKE}rate": 0,
    }
    for name, mean in means.items():
        assert table.loc["shouting", name] == pytest.approx(mean, abs=1e-5)
    assert table.loc["calm", "utterances"] == 3
    assert table.loc["calm", "loudness"] == pytest.approx((-20 / 3 - 20 / 3 + 20) / 3)
    assert table.loc["calm", "pitch"] == pytest.approx((-6 + 12) / 2)
    assert table.loc["calm", "rate"] == pytest.approx(-0.25)
    assert table.loc["calm", f"{TAKE}utterances"] == 1  # ben has said nothing else to compare it with
