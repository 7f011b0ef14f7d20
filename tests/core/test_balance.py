"""Balance: every emotion reaches its target, whatever the order; speakers are even; what is lacking is told."""

import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.sampling import Balance, cell_of, plan_balance

EMOTIONS = ("happy", "sad", "angry")

Clips = list[dict[str, Any]]


def clip(name: str, emotion: str | None = "sad", seconds: float = 4.0, **columns: Any) -> dict[str, Any]:
    known = {"speaker": "ann", "most": 1}
    of = {"cell": cell_of({"emotion": emotion}), "emotion": emotion}
    return {"id": name, "seconds": seconds} | of | known | columns


def balance(clips: Clips, *options: Any, **named: Any) -> Balance:
    return plan_balance(pd.DataFrame(clips), *options, **named)


@st.composite
def corpora(draw: st.DrawFn, most: int = 1) -> Clips:
    """Up to 120 clips of 0.5 to 10 s, unevenly spread over emotions and speakers."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    shares = [chance.random() ** 3 + 0.01 for _ in EMOTIONS]
    return [
        clip(
            f"c/{number:04}",
            chance.choices([*EMOTIONS, None, "other"], [*shares, 0.05, 0.05])[0],
            chance.uniform(0.5, 10.0),
            speaker=chance.choice([f"speaker {number % 5}", None]),
            most=most,
        )
        for number in range(draw(st.integers(1, 120)))
    ]


@given(corpora(most=4), st.floats(0.001, 0.3), st.integers(0, 3))
def test_samples_reach_the_target_to_half_a_clip(clips: Clips, hours: float, seed: int) -> None:
    plan = balance(clips, hours, seed)
    target = 3600 * hours
    short = plan.shortfalls
    for emotion, before in plan.before.items():
        own = [clip for clip in clips if clip["emotion"] == emotion]
        assert before == pytest.approx(sum(clip["seconds"] for clip in own))
        seen = sum(plan.times[clip["id"]] * clip["seconds"] for clip in own)
        assert plan.after[emotion] == pytest.approx(seen)
        if emotion in short:
            assert seen == pytest.approx(4 * before)
            assert short[emotion] == pytest.approx(target - before)
        else:
            assert abs(seen - target) <= max(clip["seconds"] for clip in own) / 2 + 1e-6
        least, most = (1, 4) if before < target else (0, 1)
        assert all(least <= plan.times[clip["id"]] <= most for clip in own)


def test_without_a_target_emotions_become_equal_to_the_smallest_that_has_half_an_hour() -> None:
    minutes = {"happy": 600, "sad": 40, "angry": 20, "calm": 5}
    clips = [clip(f"{name}/{n}", name, 60.0, most=4) for name, count in minutes.items() for n in range(count)]
    plan = balance(clips)
    assert plan.before == {name: 60.0 * count for name, count in minutes.items()}
    assert plan.after == pytest.approx({"happy": 2400.0, "sad": 2400.0, "angry": 2400.0, "calm": 1200.0})
    assert plan.shortfalls == {"calm": 35 * 60}
    assert plan.failure() == "not balanced: largest to smallest emotion 120.0 → 2.0"
    equal = balance([clip for clip in clips if clip["emotion"] != "calm"])
    assert (equal.shortfalls, equal.failure()) == ({}, "")


def test_combinations_of_labels_share_the_half_hour_of_an_emotion() -> None:
    minutes = {"happy, short": 60, "happy, long": 20, "sad, short": 16, "sad, long": 4}
    clips = [
        clip(f"{cell}/{number}", seconds=60.0, most=4, cell=cell)
        for cell, count in minutes.items()
        for number in range(count)
    ]
    plan = balance(clips)
    assert plan.target == 16 * 60.0  # of the smallest that has a quarter of an hour or more
    assert plan.after == {"happy, short": 960.0, "happy, long": 960.0, "sad, short": 960.0, "sad, long": 960.0}


def test_a_clip_without_one_of_the_labels_has_no_cell() -> None:
    labels = {"emotion": "happy", "style": "whispered", "sentence_type": "interrogative", "length": None}
    assert cell_of(labels, ["style", "emotion", "type"]) == "whispered, happy, interrogative"
    assert cell_of(labels, ["emotion", "length"]) is None
    assert cell_of(labels | {"emotion": "other"}, ["style", "emotion"]) is None


def test_a_target_that_can_not_be_reached_says_by_how_much() -> None:
    clips = [clip("a", seconds=60.0, most=2)]
    clips += [clip("b", seconds=30.0, speaker="bea")]
    lacks = balance(clips, cells=["sad", "calm"]).shortfalls
    assert lacks == {"calm": 1800, "sad": pytest.approx(1800 - 90)}  # a repetition is no recording
