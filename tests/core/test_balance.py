"""Balance: every emotion reaches its target, whatever the order; cells are even; what is lacking is told."""

import math
import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sampling import MOST_WEIGHT, Balance, BalanceItem, plan_balance
from dailytalk_contiguous.core.sentences import LENGTHS, SENTENCE_TYPES

EMOTIONS = ("happy", "sad", "angry")


@st.composite
def corpora(draw: st.DrawFn, copies: int = 0) -> list[BalanceItem]:
    """Up to 120 clips of 0.5 to 10 s, unevenly spread over emotions, types, lengths and speakers."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 120))
    shares = [chance.random() ** 3 + 0.01 for _ in EMOTIONS]
    return [
        BalanceItem(
            f"c/{number:04}",
            chance.choices([*EMOTIONS, None, "other"], [*shares, 0.05, 0.05])[0],
            chance.choice(["normal", None]),
            chance.choices(SENTENCE_TYPES, [8, 2, 1])[0],
            chance.choice(LENGTHS),
            f"speaker {chance.randrange(5)}",
            seconds := chance.uniform(0.5, 10.0),
            tuple(seconds * chance.uniform(0.9, 1.1) for _ in range(copies)),
        )
        for number in range(count)
    ]


def seconds_of(clips: list[BalanceItem], plan: Balance) -> dict[str, float]:
    """What a reader of a plan of samples would make: whole clips and their first copies."""
    total: dict[str, float] = defaultdict(float)
    for clip in clips:
        if times := int(plan.times[clip.id]):
            total[str(clip.emotion)] += clip.seconds + sum(clip.copies[: times - 1])
    return total


def weighed(clips: list[BalanceItem], plan: Balance) -> dict[str, float]:
    """What a reader of a plan of weights would make: every clip and every copy, times the weight of the clip."""
    total: dict[str, float] = defaultdict(float)
    for clip in clips:
        total[str(clip.emotion)] += plan.times[clip.id] * (clip.seconds + sum(clip.copies))
    return total


@given(corpora(copies=3), st.floats(0.001, 0.3), st.integers(0, 3))
def test_samples_reach_the_target_and_no_more_than_they_must(
    clips: list[BalanceItem], hours: float, seed: int
) -> None:
    plan = plan_balance(clips, hours, "sample", seed)
    target = 3600 * hours
    seen = seconds_of(clips, plan)
    short = {one.emotion: one.seconds for one in plan.shortfalls}
    for emotion, before in plan.before.items():
        own = [clip for clip in clips if clip.emotion == emotion]
        assert plan.after[emotion] == pytest.approx(seen[emotion])
        reachable = sum(clip.seconds + sum(clip.copies) for clip in own)
        if emotion in short:
            assert reachable < target
            assert short[emotion] == pytest.approx(target - before)
            continue
        assert seen[emotion] >= target * (1 - 1e-9)
        over = seen[emotion] - target
        if before >= target:
            could_go = [clip.seconds for clip in own if plan.times[clip.id] == 1]
        else:
            could_go = [clip.copies[int(plan.times[clip.id]) - 2] for clip in own if plan.times[clip.id] > 1]
        assert over < max(0.02 * target, max(could_go, default=0) + 1e-6)
        if max((max(clip.seconds, *clip.copies) for clip in own), default=0) < 0.02 * target:
            assert over < 0.02 * target


@given(st.integers(0, 3).flatmap(corpora), st.floats(0.001, 0.3))
def test_weights_of_clips_and_copies_add_up_to_the_target_exactly(clips: list[BalanceItem], hours: float) -> None:
    plan = plan_balance(clips, hours, "weights")
    short = {one.emotion for one in plan.shortfalls}
    for emotion, seconds in weighed(clips, plan).items():
        if emotion in plan.before:
            there = sum(clip.seconds + sum(clip.copies) for clip in clips if clip.emotion == emotion)
            assert plan.after[emotion] == pytest.approx(seconds)
            assert seconds == pytest.approx(MOST_WEIGHT * there if emotion in short else 3600 * hours, rel=1e-6)
    assert all(0 <= weight <= MOST_WEIGHT for weight in plan.times.values())


@pytest.mark.parametrize("mode", ["sample", "weights"])
def test_without_a_target_emotions_become_equal_to_the_smallest_that_has_half_an_hour(mode: str) -> None:
    minutes = {"happy": 600, "sad": 40, "angry": 20, "calm": 5}
    clips = [
        BalanceItem(f"{emotion}/{number}", emotion, "normal", "declarative", "medium", "ann", 60.0)
        for emotion, count in minutes.items()
        for number in range(count)
    ]
    if mode == "sample":  # as much as weights up to 4
        clips = [clip._replace(copies=(60.0,) * 3) if minutes[clip.emotion or ""] < 30 else clip for clip in clips]
    plan = plan_balance(clips, mode=mode)
    assert plan.before == {name: 60.0 * count for name, count in minutes.items()}
    assert plan.after == pytest.approx({"happy": 2400.0, "sad": 2400.0, "angry": 2400.0, "calm": 1200.0})
    assert [(one.emotion, one.seconds) for one in plan.shortfalls] == [("calm", 35 * 60)]
    assert plan.failure() == "not balanced: largest to smallest emotion 120.0 → 2.0"
    equal = plan_balance([clip for clip in clips if clip.emotion != "calm"], mode=mode)
    assert (equal.shortfalls, equal.failure()) == ([], "")


def test_weights_without_a_target_are_one_where_copies_make_it_half_an_hour() -> None:
    plan = plan_balance([clip("a", seconds=1000.0, copies=(1000.0,))], mode="weights")
    assert plan.times == {"a": 1.0}
    assert (plan.before, plan.after) == ({"sad": 1000.0}, {"sad": 2000.0})


@given(corpora(copies=2), st.sampled_from([None, 0.01, 0.1]), st.sampled_from(["weights", "sample"]), st.randoms())
def test_the_order_of_clips_changes_nothing(
    clips: list[BalanceItem], hours: float | None, mode: str, chance: random.Random
) -> None:
    shuffled = list(clips)
    chance.shuffle(shuffled)
    assert plan_balance(shuffled, hours, mode) == plan_balance(clips, hours, mode)


def clip(name: str, emotion: str | None = "sad", seconds: float = 4.0, **other: object) -> BalanceItem:
    return BalanceItem(name, emotion, "normal", "declarative", "medium", "ann", seconds)._replace(**other)  # type: ignore[arg-type]


def test_a_rare_voice_is_kept_whole_while_a_frequent_one_is_thinned() -> None:
    clips = [clip(f"a{n:03}") for n in range(100)] + [clip(f"b{n:03}", speaker="bea") for n in range(20)]
    plan = plan_balance(clips, 200 / 3600, "sample")
    kept = [sum(plan.times[one.id] for one in clips if one.speaker == name) for name in ("ann", "bea")]
    assert kept == [30, 20]
    assert plan.after == {"sad": 200}


def test_copies_go_first_to_the_thin_cells() -> None:
    clips = [clip(f"a{n:03}", copies=(4.0, 4.0)) for n in range(20)]
    clips += [clip(f"b{n:03}", speaker="bea", copies=(4.0, 4.0)) for n in range(10)]
    plan = plan_balance(clips, 160 / 3600, "sample")
    seen = [sum(plan.times[one.id] for one in clips if one.speaker == name) for name in ("ann", "bea")]
    assert seen == [20, 20]


def test_a_target_that_can_not_be_reached_says_by_how_much_and_what_to_record() -> None:
    clips = [clip("a", seconds=60.0, copies=(60.0,)), clip("b", seconds=30.0, speaker="bea", length="long")]
    plan = plan_balance(clips, emotions=["sad", "calm"])
    calm, sad = plan.shortfalls
    assert calm.seconds == 1800
    assert sad.seconds == pytest.approx(1800 - 90)  # copies are no recordings
    assert sad.to_record() == "sad lacks 28.5 minutes of recordings: record more of it, or add another corpus"


def test_advice_names_what_an_emotion_lacks_beside_the_others() -> None:
    """Nobody records questions here, so that none is missing; sad has no long sentence, and calm no medium one."""
    clips = [clip("a", seconds=60.0, sentence_type="exclamatory"), clip("b", "calm", seconds=60.0, length="long")]
    calm, sad = plan_balance(clips).shortfalls
    assert (calm.sentence_type, calm.length) == ("exclamatory", "medium")
    assert (sad.sentence_type, sad.length) == ("declarative", "long")
    assert "record long declarative sentences of it" in sad.to_record()


def test_emotions_that_copies_do_not_bring_to_one_size_are_said_not_to_be_balanced() -> None:
    clips = [clip("a", seconds=80.0, copies=(80.0,) * 4), clip("b", "calm", seconds=40.0, copies=(40.0,) * 4)]
    assert plan_balance(clips).failure() == "not balanced: largest to smallest emotion 2.0 → 2.0"
    assert plan_balance(clips, 100 / 3600).failure() == ""


def test_clips_without_a_clear_emotion_are_seen_once() -> None:
    plan = plan_balance([clip("a", None), clip("b", "other")], 0.0001)
    assert plan.times == {"a": 1, "b": 1}
    assert plan.shortfalls == []


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(DailytalkError, match="no length"):
        plan_balance([clip("a", seconds=math.nan)])
