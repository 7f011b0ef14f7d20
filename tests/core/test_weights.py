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


def test_hours_are_those_of_all_folders_together() -> None:
    assert goals({"a": 300.0, "b": 100.0}, {"a": None, "b": None}, 0.1) == pytest.approx({"a": 270.0, "b": 90.0})


@given(st.lists(st.floats(1.0, 5.0), min_size=40, max_size=60), st.floats(0.3, 3.9), st.integers(0, 3))
def test_every_group_gets_its_own_seconds(seconds: list[float], weight: float, seed: int) -> None:
    """Six emotions in hash order would lend each other what rounding leaves over."""
    own = [Weighted(f"c{n}", held, weight, f"emotion{n % 6}") for n, held in enumerate(seconds)]
    found = times(own, weight * math.fsum(seconds), seed)
    for group in {one.group for one in own}:
        members = [one for one in own if one.group == group]
        wanted = weight * math.fsum(one.seconds for one in members)
        assert abs(listed(members, found) - wanted) <= max(one.seconds for one in members) / 2 + 1e-6


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
        ({"a": 1.0}, {"a": None}, 0.0, "`hours=` 0 can't be mixed"),
        ({"a": 1.0}, {"a": None}, math.inf, "`hours=` inf can't be mixed"),
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
