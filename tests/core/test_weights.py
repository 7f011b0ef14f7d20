import math

from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.sampling import Weighted, times


def listed(own: list[Weighted], found: dict[str, int]) -> float:
    return math.fsum(found[one.id] * one.seconds for one in own)


@given(st.lists(st.floats(0.5, 30.0), min_size=1, max_size=60), st.floats(0.05, 8.0), st.integers(0, 5))
def test_every_group_gets_its_seconds_to_half_of_its_longest_clip(
    seconds: list[float], weight: float, seed: int
) -> None:
    """Six emotions in hash order would lend each other what rounding leaves over."""
    own = [Weighted(f"c{n}", held, weight, f"emotion{n % 6}", f"{n % 4}") for n, held in enumerate(seconds)]
    found = times(own, seed)
    assert all(abs(count - weight) < 1 and type(count) is int for count in found.values())
    for group in {one.group for one in own}:
        members = [one for one in own if one.group == group]
        wanted = weight * math.fsum(one.seconds for one in members)
        assert abs(listed(members, found) - wanted) <= max(one.seconds for one in members) / 2 + 1e-6


def test_another_seed_lists_other_clips() -> None:
    own = [Weighted(f"c{n}", 1.0, 0.5) for n in range(40)]
    assert times(own, 0) != times(own, 1)


def test_whole_weights_are_kept() -> None:
    assert times([Weighted("a", 1.0, 2.0), Weighted("b", 1.0, 0.0)]) == {"a": 2, "b": 0}
