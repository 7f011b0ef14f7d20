"""Figures of a dataset: queries of its tables, against what was planted in rows."""

import math
from typing import Any

import pytest
from built_conversations import built_row
from hypothesis import given
from hypothesis import strategies as st
from reports import tables_from

from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.utterance import SYNTHESIS, UTTERANCE


def utterance(channel: str, start: float, end: float, **fields: Any) -> dict[str, Any]:
    times = {"start": start, "end": end, "source_start": 2 * start, "source_end": 2 * end}
    about = {"channel": channel, "status": "kept", "text": ""}
    return dict.fromkeys(UTTERANCE) | about | times | fields


def conversation(*utterances: dict[str, Any], **columns: Any) -> dict[str, Any]:
    seconds = {"duration": 60.0, "source_duration": 120.0}
    row = built_row(alignments=[], utterances=[*utterances])
    return row | seconds | columns


def take(**fields: Any) -> dict[str, Any]:
    synthesis = dict.fromkeys(SYNTHESIS) | {"engine": "e"}
    return {"status": "spoken", "synthesis": synthesis | fields}


UNMEASURED = {
    "offset_distance": None,
    "overlap_kept": math.nan,
    "duration_ratio": None,
    "lost_speech_seconds": None,
    "lost_sound_seconds": 0.25,
}
MEASURED = {
    "offset_distance": 0.5,
    "overlap_kept": 0.25,
    "duration_ratio": 2.0,
    "lost_speech_seconds": 4.0,
    "lost_sound_seconds": 0.25,
}


def test_what_became_of_utterances_is_counted_and_what_could_not_be_lost_is_perfect() -> None:
    spoken = utterance("left", 0, 1, status="spoken")
    original = utterance("left", 0, 1, status="kept-original")
    word = {"word": "a", "start": 0, "end": 1, "speaker": "left", "source": "given", "probability": None}
    rows = []
    for timeline in (UNMEASURED, MEASURED):
        row = conversation(spoken, original, timeline=timeline, alignments=[word] * 3)
        rows.append(row)
    tables = tables_from(map(from_finished, rows))
    whole = figures.totals(tables)
    assert whole["conversations"] == 2
    assert whole["utterances"] == 4
    assert whole["words"] == 6
    assert whole["seconds"] == 120
    statuses = figures.counts(tables.utterances["status"])
    assert statuses == {"spoken": 2, "kept-original": 2}
    assert figures.word_sources(tables) == {"given": 6}
    means = {"offset_distance": 0.25, "overlap_kept": 0.625, "duration_ratio": 1.5}
    assert figures.timeline_means(tables) == means
    assert figures.lost_in_rebuild(tables) == {"speech": 4.0, "sound": 0.5}


PRICES = {"a": 0.25, "b": 0.5, "c": 0.75}


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None, ""]), st.integers(0, 9))))
def test_each_purchase_counts_once_and_each_without_a_key(bought: list[tuple[str | None, int]]) -> None:
    spoken = []
    expected = 0.0
    for n, (key, number) in enumerate(bought):
        cost = PRICES[key] if key else number / 4
        bought_take = take(cache_key=key, cost=cost)
        row = utterance("left", n, n + 1, **bought_take)
        spoken.append(row)
        if not key:
            expected += cost
    keys = {key for key, _ in bought if key}
    expected += sum(PRICES[key] for key in keys)
    row = conversation(*spoken)
    tables = tables_from([from_finished(row)])
    assert figures.cost(tables) == pytest.approx(expected)


def test_turn_taking_is_that_of_each_side_in_all_conversations() -> None:
    talk = conversation(
        utterance("left", 0, 2),
        utterance("right", 2.5, 5),
        utterance("left", 4.75, 7),
        utterance("right", 5.5, 6),
        utterance("left", 8, 9),
    )
    interrupted = conversation(utterance("left", 0, 6), utterance("right", 4, 10))
    alone = conversation(utterance("left", 0, 3))
    tables = tables_from(map(from_finished, [talk, talk, interrupted, alone]))
    left, right = figures.turn_taking(tables).to_dict("index").values()
    assert figures.offsets_of_side(tables, "left").tolist() == [-0.25, -0.25]
    assert figures.offsets_of_side(tables, "right").tolist() == [-2.0, 0.5, 0.5]
    assert left == pytest.approx(
        {
            "talk": 19.5 / 240,
            "offset": -0.25,
            "overlap": 3.5 / 19.5,
            "backchannels": 0.0,
            "interruptions": 0.0,
            "longest_turn": 6.0,
        }
    )
    assert right == pytest.approx(
        {
            "talk": 12 / 240,
            "offset": 0.5,
            "overlap": 3.5 / 12,
            "backchannels": 0.5,
            "interruptions": 0.25,
            "longest_turn": 6.0,
        }
    )
