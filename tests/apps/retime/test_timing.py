"""The timing of a corpus: what is drawn from it."""

import numpy as np
from timed_talks import talk

from dailytalk_contiguous import Timing, timing_of
from dailytalk_contiguous.apps.retime.units import Transition
from dailytalk_contiguous.core.turns.turn_ends import SHIFT


def drawn(timing: Timing, turn: float = 1.0, before: float | None = None, pace: float = 0.0) -> list[float]:
    chance = np.random.default_rng(0)
    transition = Transition(SHIFT, 0.4, turn)
    offsets = []
    for _ in range(200):
        offset = timing.draw_offset(transition, before, pace, -0.5, chance)
        if offset is not None:
            offsets.append(offset)
    return offsets


def test_nothing_is_drawn_beyond_the_percentiles_or_below_what_can_be_placed() -> None:
    ordered = np.linspace(-0.4, 1.6, 101)
    shuffled = np.random.default_rng(0).permutation(ordered)
    offsets = shuffled.round(3).tolist()
    timing = timing_of([talk("a", offsets)], "calls")
    unlimited = drawn(timing)
    assert min(unlimited) >= -0.3001
    assert max(unlimited) <= 1.5001
    chance = np.random.default_rng(0)
    transition = Transition(SHIFT, 0.4, 1.0)
    for _ in range(50):
        late = timing.draw_offset(transition, None, 0.0, 1.2, chance)
        assert late is not None
        assert late >= 1.2
    assert timing.draw_offset(transition, None, 0.0, 1.7, chance) is None


def test_offset_follows_the_one_before_it() -> None:
    offsets = [0.2] * 12 + [1.0] * 12
    in_halves = [talk(f"{n}", offsets) for n in range(10)]
    steady = timing_of(in_halves, "calls")
    after_a_short = np.mean(drawn(steady, before=0.2))
    after_a_long = np.mean(drawn(steady, before=1.0))
    assert after_a_short < 0.4
    assert after_a_long > 0.8
    in_pairs = talk("a", [0.2, 0.2, 1.0, 1.0] * 25)  # a second one like the first is seldom alone
    changing = timing_of([in_pairs], "calls")
    assert 0.4 < np.mean(drawn(changing, before=0.6)) < 0.8


def test_slowest_pair_gets_the_pace_of_the_slowest_pair_of_the_target() -> None:
    target = [talk(f"slow{n}", [1.0, 1.1] * 12) for n in range(3)]
    target.append(talk("fast", [0.1, 0.0] * 12))
    quick_talk = talk("quick", [0.4] * 10)
    late_talk = talk("late", [0.6] * 10)
    timing = timing_of([quick_talk, late_talk], "target", target)
    quick = [Transition(SHIFT, 0.4, 1.0)] * 10
    late = [Transition(SHIFT, 0.6, 1.0)] * 10
    pace_of_quick = timing.pace_for("quick", quick, 0.0, np.random.default_rng(0))
    pace_of_late = timing.pace_for("late", late, 0.0, np.random.default_rng(0))
    assert pace_of_quick < pace_of_late
    at_the_fastest = drawn(timing, pace=float(timing.paces[0]))
    at_the_slowest = drawn(timing, pace=float(timing.paces[-1]))
    assert np.median(at_the_fastest) < 0.3
    assert np.median(at_the_slowest) > 0.8
