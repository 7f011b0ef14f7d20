import math
import random
import re

import pytest
from figures import figures
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sampling import Weighted, goals, times

lengths = st.lists(st.floats(0.5, 30.0), min_size=1, max_size=40)


def clips(seconds: list[float], weights: list[float] | None = None) -> list[Weighted]:
    given = weights or [1.0] * len(seconds)
    return [Weighted(f"clip{n}", *pair) for n, pair in enumerate(zip(seconds, given, strict=True))]


def listed(own: list[Weighted], found: dict[str, int]) -> float:
    return math.fsum(found[one.id] * one.seconds for one in own)


@given(lengths, st.floats(0.05, 8.0), st.integers(0, 5))
def test_the_hours_come_out_to_half_of_the_longest_clip(seconds: list[float], share: float, seed: int) -> None:
    own = clips(seconds)
    wanted = share * math.fsum(seconds)
    assert abs(listed(own, times(own, wanted, seed)) - wanted) <= max(seconds) / 2 + 1e-6


@given(lengths, st.floats(0.05, 8.0))
def test_no_clip_is_listed_more_than_once_more_or_less_than_its_share(seconds: list[float], share: float) -> None:
    found = times(clips(seconds), share * math.fsum(seconds))
    assert all(math.floor(share - 1e-6) <= number <= math.ceil(share + 1e-6) for number in found.values())


@given(lengths, st.integers(1, 4))
def test_whole_shares_list_every_clip_alike(seconds: list[float], share: int) -> None:
    assert set(times(clips(seconds), share * math.fsum(seconds)).values()) == {share}


@given(lengths, st.floats(0.05, 8.0), st.randoms())
def test_the_order_of_the_clips_changes_nothing(seconds: list[float], share: float, random) -> None:
    own = clips(seconds)
    mixed = random.sample(own, len(own))
    wanted = share * math.fsum(seconds)
    assert times(mixed, wanted) == times(own, wanted)


def test_one_clip_more_or_less_brings_the_seconds_out_exactly() -> None:
    clips = [
        Weighted(name, seconds) for name, seconds in {"a": 1.0, "b": 2.0, "c": 2.0, "d": 6.0, "e": 3.0}.items()
    ]
    for seed in range(8):
        counts = times(clips, 21.0, seed)
        assert sum(counts[clip.id] * clip.seconds for clip in clips) == 21.0


def test_another_seed_lists_other_clips() -> None:
    own = clips([1.0] * 40)
    assert times(own, 20.0, 0) != times(own, 20.0, 1)


def test_a_clip_that_wants_to_be_seen_twice_is_listed_twice() -> None:
    assert times(clips([1.0, 1.0], [2.0, 0.0]), 2.0) == {"clip0": 2, "clip1": 0}


def test_weights_are_shares_of_the_hours_that_are_there() -> None:
    assert goals({"a": 300.0, "b": 100.0}, {"a": 1.0, "b": 3.0}, None) == {"a": 100.0, "b": 300.0}


def test_folders_without_clips_and_weights_get_no_seconds() -> None:
    assert goals({"a": 0.0, "b": 0.0}, {"a": None, "b": None}, None) == {"a": 0.0, "b": 0.0}
    assert goals({"a": 0.0}, {"a": None}, 1.0) == {"a": 0.0}


def test_without_weights_every_folder_keeps_its_hours() -> None:
    assert goals({"a": 300.0, "b": 100.0}, {"a": None, "b": None}, None) == {"a": 300.0, "b": 100.0}


def test_hours_are_those_of_all_folders_together() -> None:
    assert goals({"a": 300.0, "b": 100.0}, {"a": None, "b": None}, 0.1) == pytest.approx({"a": 270.0, "b": 90.0})


@pytest.mark.parametrize(
    ("held", "weights", "hours", "word"),
    [
        ({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": None}, None, "b has no weight"),
        ({"a": 1.0}, {"a": 0.0}, None, "a can't have the weight 0"),
        ({"a": 1.0}, {"a": math.nan}, None, "a can't have the weight nan"),
        ({"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 1.0}, None, "b has nothing to train on"),
        ({"a": 1.0}, {"a": None}, 0.0, "--hours 0"),
    ],
)
def test_weights_that_can_not_be_met_are_refused(held, weights, hours, word: str) -> None:
    with pytest.raises(DailytalkError, match=word):
        goals(held, weights, hours)


@given(st.lists(st.floats(1.0, 5.0), min_size=40, max_size=60), st.floats(0.3, 3.9), st.integers(0, 3))
def test_every_group_gets_its_own_seconds(seconds: list[float], weight: float, seed: int) -> None:
    """Six emotions in hash order would lend each other what rounding leaves over."""
    own = [Weighted(f"c{n}", held, weight, f"emotion{n % 6}") for n, held in enumerate(seconds)]
    found = times(own, weight * math.fsum(seconds), seed)
    for group in {one.group for one in own}:
        members = [one for one in own if one.group == group]
        wanted = weight * math.fsum(one.seconds for one in members)
        assert abs(listed(members, found) - wanted) <= max(one.seconds for one in members) / 2 + 1e-6


def test_emotions_of_a_corpus_come_out_within_a_hundredth() -> None:
    """As many clips as CREMA-D has for 30 minutes each; rounded all as one they were -3.0 to +4.7 % off."""
    own = [Weighted(f"c{n}", 1.5 + (n * 37 % 100) / 50, 0.679, f"emotion{n % 6}") for n in range(6440)]
    found = times(own, math.fsum(one.seconds * one.weight for one in own))
    for group in {one.group for one in own}:
        members = [one for one in own if one.group == group]
        wanted = math.fsum(one.seconds * one.weight for one in members)
        assert listed(members, found) == pytest.approx(wanted, rel=0.001)


@pytest.mark.parametrize("hours", [0.0, -1.0, math.inf, math.nan])
def test_hours_that_can_not_be_mixed_are_refused(hours: float) -> None:
    with pytest.raises(DailytalkError, match="can't be mixed: give a number above 0"):
        goals({"a": 1.0}, {"a": 1.0}, hours)
    with pytest.raises(DailytalkError, match="a can't have the weight"):
        goals({"a": 1.0}, {"a": hours}, 1.0)


def test_clips_are_listed_as_in_the_version_before() -> None:
    chance = random.Random(5)
    own = [
        Weighted(f"c{n}", chance.uniform(0.5, 9.0), chance.choice([0.5, 1.0, 2.2]), chance.choice("ab"))
        for n in range(60)
    ]
    listed_times = [list(times(own, 60.0 * step * step, seed).values()) for step, seed in ((1, 0), (3, 1), (6, 2))]
    assert [figures(numbers) for numbers in listed_times] == [
        pytest.approx(expected)
        for expected in (
            [60, 18, 18.288135593, 20.444268888],
            [60, 282, 112.3220339, 121.60873312],
            [60, 4516, 462.01694915, 509.3099684],
        )
    ]
    assert {type(number) for numbers in listed_times for number in numbers} == {int}


def test_nothing_is_listed_of_clips_that_nobody_wants() -> None:
    assert times([Weighted("a", 2.0, 0.0), Weighted("b", 3.0, 0.0)], 10.0) == {"a": 0, "b": 0}
    assert Weighted("a", 2.0) == ("a", 2.0, 1.0, "")


@pytest.mark.parametrize(
    ("held", "weights", "hours", "reason"),
    [
        ({"a": 1.0}, {"a": None}, 0.0, "--hours 0 can't be mixed"),
        ({"a": 1.0}, {"a": None}, math.inf, "--hours inf can't be mixed"),
        ({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": None}, None, "b has no weight, and others have"),
        ({"a": 1.0}, {"a": 0.0}, None, "a can't have the weight 0"),
        ({"a": 1.0}, {"a": math.inf}, None, "a can't have the weight inf"),
        ({"a": 0.0}, {"a": 2.0}, None, "a has nothing to train on, and a weight"),
    ],
)
def test_shares_that_can_not_be_mixed_are_refused(
    held: dict[str, float], weights: dict[str, float | None], hours: float | None, reason: str
) -> None:
    with pytest.raises(DailytalkError, match=f"^{re.escape(reason)}: "):
        goals(held, weights, hours)
