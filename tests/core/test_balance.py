"""Balance: every emotion reaches its target, whatever the order; speakers are even; what is lacking is told."""

import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.sampling import MOST_WEIGHT, Balance, plan_balance

EMOTIONS = ("happy", "sad", "angry")

Clips = list[dict[str, Any]]


def clip(name: str, emotion: str | None = "sad", seconds: float = 4.0, **columns: Any) -> dict[str, Any]:
    known = {"speaker": "ann", "copies": 0, "copied": 0.0}
    return {"id": name, "emotion": emotion, "seconds": seconds} | known | columns


def balance(clips: Clips, *options: Any, **named: Any) -> Balance:
    return plan_balance(pd.DataFrame(clips), *options, **named)


@st.composite
def corpora(draw: st.DrawFn, copies: int = 0) -> Clips:
    """Up to 120 clips of 0.5 to 10 s, unevenly spread over emotions and speakers."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    shares = [chance.random() ** 3 + 0.01 for _ in EMOTIONS]
    return [
        clip(
            f"c/{number:04}",
            chance.choices([*EMOTIONS, None, "other"], [*shares, 0.05, 0.05])[0],
            seconds := chance.uniform(0.5, 10.0),
            speaker=chance.choice([f"speaker {number % 5}", None]),
            copies=copies,
            copied=copies * seconds,
        )
        for number in range(draw(st.integers(1, 120)))
    ]


@given(corpora(copies=3), st.floats(0.001, 0.3), st.integers(0, 3))
def test_samples_reach_the_target_to_half_a_clip(clips: Clips, hours: float, seed: int) -> None:
    plan, target = balance(clips, hours, "sample", seed), 3600 * hours
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


@given(st.integers(0, 3).flatmap(corpora), st.floats(0.001, 0.3))
def test_weights_of_clips_and_copies_add_up_to_the_target_exactly(clips: Clips, hours: float) -> None:
    plan = balance(clips, hours, "weights")
    short = plan.shortfalls
    for emotion in plan.before:
        own = [clip for clip in clips if clip["emotion"] == emotion]
        there = sum(clip["seconds"] + clip["copied"] for clip in own)
        seconds = sum(plan.times[clip["id"]] * (clip["seconds"] + clip["copied"]) for clip in own)
        assert plan.after[emotion] == pytest.approx(seconds)
        assert seconds == pytest.approx(MOST_WEIGHT * there if emotion in short else 3600 * hours, rel=1e-6)
    assert all(0 <= weight <= MOST_WEIGHT for weight in plan.times.values())


@pytest.mark.parametrize("mode", ["sample", "weights"])
def test_without_a_target_emotions_become_equal_to_the_smallest_that_has_half_an_hour(mode: str) -> None:
    minutes = {"happy": 600, "sad": 40, "angry": 20, "calm": 5}
    clips = [clip(f"{name}/{n}", name, 60.0) for name, count in minutes.items() for n in range(count)]
    if mode == "sample":  # as much as weights up to 4
        more = {"copies": 3, "copied": 180.0}
        clips = [clip | more if minutes[clip["emotion"]] < 30 else clip for clip in clips]
    plan = balance(clips, mode=mode)
    assert plan.before == {name: 60.0 * count for name, count in minutes.items()}
    assert plan.after == pytest.approx({"happy": 2400.0, "sad": 2400.0, "angry": 2400.0, "calm": 1200.0})
    assert plan.shortfalls == {"calm": 35 * 60}
    assert plan.failure() == "not balanced: largest to smallest emotion 120.0 → 2.0"
    equal = balance([clip for clip in clips if clip["emotion"] != "calm"], mode=mode)
    assert (equal.shortfalls, equal.failure()) == ({}, "")


@settings(max_examples=10)
@given(corpora(copies=2), st.sampled_from([None, 0.01, 0.1]), st.sampled_from(["weights", "sample"]), st.randoms())
def test_the_order_of_clips_changes_nothing(
    clips: Clips, hours: float | None, mode: str, chance: random.Random
) -> None:
    shuffled = list(clips)
    chance.shuffle(shuffled)
    assert balance(shuffled, hours, mode) == balance(clips, hours, mode)


def test_a_rare_voice_is_kept_whole_while_a_frequent_one_is_thinned_and_another_seed_keeps_others() -> None:
    clips = [clip(f"a{n:03}") for n in range(100)] + [clip(f"b{n:03}", speaker="bea") for n in range(20)]
    plan = balance(clips, 200 / 3600, "sample")
    kept = [sum(plan.times[one["id"]] for one in clips if one["speaker"] == name) for name in ("ann", "bea")]
    assert (kept, plan.after) == ([30, 20], {"sad": 200})
    assert balance(clips, 200 / 3600, "sample", 1).times != plan.times


def test_copies_go_first_to_the_voices_with_the_least() -> None:
    more = {"copies": 2, "copied": 8.0}
    clips = [clip(f"a{n:03}", **more) for n in range(20)]
    clips += [clip(f"b{n:03}", speaker="bea", **more) for n in range(10)]
    plan = balance(clips, 160 / 3600, "sample")
    seen = [sum(plan.times[one["id"]] for one in clips if one["speaker"] == name) for name in ("ann", "bea")]
    assert seen == [20, 20]


def test_a_target_that_can_not_be_reached_says_by_how_much() -> None:
    clips = [clip("a", seconds=60.0, copies=1, copied=60.0)]
    clips += [clip("b", seconds=30.0, speaker="bea")]
    lacks = balance(clips, emotions=["sad", "calm"]).shortfalls
    assert lacks == {"calm": 1800, "sad": pytest.approx(1800 - 90)}  # copies are no recordings


def test_clips_without_a_clear_emotion_are_seen_once() -> None:
    plan = balance([clip("a", None), clip("b", "other")], 0.0001)
    assert (plan.times, plan.shortfalls) == ({"a": 1, "b": 1}, {})
