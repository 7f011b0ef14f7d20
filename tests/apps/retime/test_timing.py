"""The timing of a corpus: what is drawn from it."""

import numpy as np
from timed_talks import talk

from dailytalk_contiguous import Timing, timing_of
from dailytalk_contiguous.apps.retime.units import Transition
from dailytalk_contiguous.core.turn_ends import SHIFT


def drawn(timing: Timing, turn: float = 1.0, before: float | None = None, pace: float = 0.0) -> list[float]:
    chance = np.random.default_rng(0)
    transition = Transition(SHIFT, 0.4, turn)
    offsets = [timing.drawn(transition, before, pace, -0.5, chance) for _ in range(200)]
    return [offset for offset in offsets if offset is not None]


def test_nothing_is_drawn_beyond_the_percentiles_or_below_what_can_be_placed() -> None:
    offsets = np.random.default_rng(0).permutation(np.linspace(-0.4, 1.6, 101)).round(3).tolist()
    timing = timing_of([talk("a", offsets)], "calls")
    found = drawn(timing)
    assert min(found) >= -0.3001
    assert max(found) <= 1.5001
    chance = np.random.default_rng(0)
    late = [timing.drawn(Transition(SHIFT, 0.4, 1.0), None, 0.0, 1.2, chance) for _ in range(50)]
    assert all(offset is not None and offset >= 1.2 for offset in late)
    assert timing.drawn(Transition(SHIFT, 0.4, 1.0), None, 0.0, 1.7, chance) is None


def test_offset_follows_the_one_before_it() -> None:
    timing = timing_of(
        [talk("a", [0.2, 0.2, 1.0, 1.0] * 25)], "calls"
    )  # a second one like the first is seldom alone
    fast = timing_of([talk(f"{n}", [0.2] * 12 + [1.0] * 12) for n in range(10)], "calls")
    assert np.mean(drawn(fast, before=0.2)) < 0.4 < 0.8 < np.mean(drawn(fast, before=1.0))
    assert 0.4 < np.mean(drawn(timing, before=0.6)) < 0.8


def test_slowest_pair_gets_the_pace_of_the_slowest_pair_of_the_target() -> None:
    target = [talk(f"slow{n}", [1.0, 1.1] * 12) for n in range(3)] + [talk("fast", [0.1, 0.0] * 12)]
    pairs = [talk("quick", [0.4] * 10), talk("late", [0.6] * 10)]
    timing = timing_of(pairs, "target", target)
    transitions = [[Transition(SHIFT, offset, 1.0)] * 10 for offset in (0.4, 0.6)]
    named = zip(("quick", "late"), transitions, strict=True)
    paces = [timing.pace_for(name, pair, 0.0, np.random.default_rng(0)) for name, pair in named]
    assert paces[0] < paces[1]
    assert np.median(drawn(timing, pace=float(timing.paces[0]))) < 0.3
    assert np.median(drawn(timing, pace=float(timing.paces[-1]))) > 0.8
