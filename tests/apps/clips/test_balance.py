"""Balance: every emotion reaches its target, whatever the order; speakers are even; what is lacking is told."""

import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.balance import Balance, cell_of, plan_balance

EMOTIONS = ("happy", "sad", "angry")

Clips = list[dict[str, Any]]


def clip(name: str, emotion: str | None = "sad", seconds: float = 4.0, **columns: Any) -> dict[str, Any]:
    cell = cell_of({"emotion": emotion})
    usual = {"cell": cell, "emotion": emotion, "speaker": "ann", "most": 1}
    return {"id": name, "seconds": seconds} | usual | columns


def balance(clips: Clips, *options: Any, **named: Any) -> Balance:
    return plan_balance(pd.DataFrame(clips), *options, **named)


@st.composite
def corpora(draw: st.DrawFn, most: int = 1) -> Clips:
    """Up to 120 clips of 0.5 to 10 s, unevenly spread over emotions and speakers."""
    seed = draw(st.integers(0, 2**32))
    chance = random.Random(seed)
    shares = [chance.random() ** 3 + 0.01 for _ in EMOTIONS]
    emotions = [*EMOTIONS, None, "other"]
    weights = [*shares, 0.05, 0.05]
    clips = []
    for number in range(draw(st.integers(1, 120))):
        name = f"c/{number:04}"
        (emotion,) = chance.choices(emotions, weights)
        seconds = chance.uniform(0.5, 10.0)
        speaker = chance.choice([f"speaker {number % 5}", None])
        row = clip(name, emotion, seconds, speaker=speaker, most=most)
        clips.append(row)
    return clips


@given(corpora(most=4), st.floats(0.001, 0.3), st.integers(0, 3))
def test_samples_reach_the_target_to_half_a_clip(clips: Clips, hours: float, seed: int) -> None:
    plan = balance(clips, hours, seed)
    target = 3600 * hours
    for emotion, before in plan.before.items():
        clips_of_emotion = [clip for clip in clips if clip["emotion"] == emotion]
        lengths = [clip["seconds"] for clip in clips_of_emotion]
        times = [plan.times[clip["id"]] for clip in clips_of_emotion]
        assert before == pytest.approx(sum(lengths))
        sampled = 0.0
        for count, seconds in zip(times, lengths, strict=True):
            sampled += count * seconds
        assert plan.after[emotion] == pytest.approx(sampled)
        if emotion in plan.shortfalls:
            assert sampled == pytest.approx(4 * before)
            shortfall = plan.shortfalls[emotion]
            assert shortfall == pytest.approx(target - before)
        else:
            half_a_clip = max(lengths) / 2
            assert abs(sampled - target) <= half_a_clip + 1e-6
        least, most = (1, 4) if before < target else (0, 1)
        assert min(times) >= least
        assert max(times) <= most


def test_without_a_target_emotions_become_equal_to_the_smallest_with_half_an_hour_or_to_what_all_can_have() -> (
    None
):
    minutes = {"happy": 600, "sad": 40, "angry": 20, "calm": 5}
    clips = []
    for name, count in minutes.items():
        for number in range(count):
            row = clip(f"{name}/{number}", name, 60.0, most=4)
            clips.append(row)
    plan = balance(clips)
    assert plan.target == 20 * 60.0  # of calm, with each clip four times
    assert plan.limited_by == "calm"
    assert plan.after == dict.fromkeys(minutes, 1200.0)
    assert plan.failure() == ""
    plan = balance(clips, 40 / 60)
    before = {name: 60.0 * count for name, count in minutes.items()}
    after = {"happy": 2400.0, "sad": 2400.0, "angry": 2400.0, "calm": 1200.0}
    assert plan.before == before
    assert plan.after == pytest.approx(after)
    assert plan.shortfalls == {"calm": 35 * 60}
    failure = "not balanced: largest to smallest emotion 120.0 → 2.0; --target-minutes 20 makes them equal"
    assert plan.failure() == failure
    without_calm = [clip for clip in clips if clip["emotion"] != "calm"]
    equal = balance(without_calm)
    assert equal.target == 40 * 60.0
    assert equal.limited_by == ""
    assert equal.shortfalls == {}
    assert equal.failure() == ""


def test_copies_that_some_clips_do_not_allow_leave_no_emotion_further_behind() -> None:
    copied = [clip(f"happy/{number}", "happy", 10.0, most=5) for number in range(4)]
    single = clip("sad/0", "sad", 9.0)
    plan = balance([*copied, single], 200 / 3600)
    assert plan.after == plan.before == {"happy": 40.0, "sad": 9.0}
    assert set(plan.times.values()) == {1}
    assert plan.failure().startswith("not balanced: largest to smallest emotion 4.4 → 4.4; --target-minutes 0.15 ")


def test_combinations_of_labels_share_the_half_hour_of_an_emotion() -> None:
    minutes = {"happy, short": 60, "happy, long": 20, "sad, short": 16, "sad, long": 4}
    clips = []
    for cell, count in minutes.items():
        for number in range(count):
            row = clip(f"{cell}/{number}", seconds=60.0, most=4, cell=cell)
            clips.append(row)
    plan = balance(clips)
    assert plan.target == 16 * 60.0  # of the smallest that has a quarter of an hour or more
    assert plan.after == dict.fromkeys(minutes, 960.0)


LABELS = {"emotion": "happy", "style": "whispered", "sentence_type": "interrogative", "length": None}


def test_a_clip_without_one_of_the_labels_has_no_cell() -> None:
    cell = cell_of(LABELS, ["style", "emotion", "type"])
    assert cell == "whispered, happy, interrogative"
    assert cell_of(LABELS, ["emotion", "length"]) is None
    other = LABELS | {"emotion": "other"}
    assert cell_of(other, ["style", "emotion"]) is None


def test_a_target_that_can_not_be_reached_says_by_how_much() -> None:
    repeated = clip("a", seconds=60.0, most=2)
    single = clip("b", seconds=30.0, speaker="bea")
    plan = balance([repeated, single], 0.5, cells=["sad", "calm"])
    lacking = pytest.approx(1800 - 90)  # a repetition is no recording
    assert plan.shortfalls == {"calm": 1800, "sad": lacking}
