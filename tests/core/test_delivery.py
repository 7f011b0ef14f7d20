import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dailytalk_contiguous.core.delivery import (
    Delivery,
    Performance,
    compare_delivery,
    performance_of,
    register_of,
    warp,
)

COSTS = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 2))
)


def melody(*hertz: float, level: float = -20.0) -> Performance:
    return Performance(np.array(hertz, float), np.full(len(hertz), level))


def compared(source: Performance, take: Performance) -> Delivery:
    registers = [register_of([performance]) for performance in (source, take)]
    assert None not in registers
    delivery = compare_delivery(source, registers[0], take, registers[1])  # type: ignore[arg-type]
    assert delivery is not None
    return delivery


def cheapest(costs: np.ndarray) -> float:
    """The definition, cell by cell."""
    best = np.full((costs.shape[0] + 1, costs.shape[1] + 1), math.inf)
    best[0, 0] = 0.0
    for row, column in itertools.product(*map(range, costs.shape)):
        cost, before = costs[row, column], best[row : row + 2, column : column + 2]
        best[row + 1, column + 1] = min(before[0, 0] + 2 * cost, before[0, 1] + cost, before[1, 0] + cost)
    return float(best[-1, -1]) / sum(costs.shape)


@given(COSTS)
def test_warp_finds_the_cheapest_way_and_says_where_it_goes(costs: np.ndarray) -> None:
    distance, path = warp(costs)
    assert distance == pytest.approx(cheapest(costs))
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [size - 1 for size in costs.shape]
    steps = np.diff(path, axis=0)
    assert {tuple(step) for step in steps.tolist()} <= {(0, 1), (1, 0), (1, 1)}
    weights = [2, *(2 if step.all() else 1 for step in steps)]
    walked = sum(weight * costs[row, column] for weight, (row, column) in zip(weights, path, strict=True))
    assert walked / sum(costs.shape) == pytest.approx(distance)


def test_neither_voice_nor_loudness_nor_pace_of_a_speaker_is_a_difference() -> None:
    rising = melody(*np.linspace(100, 140, 30))
    higher_and_slower = melody(*np.linspace(200, 280, 60), level=-35.0)
    assert compared(rising, higher_and_slower).distance < 0.02


def test_another_melody_is_further_than_the_same_and_its_semitones_are_told() -> None:
    rising, falling = melody(*np.linspace(100, 140, 30)), melody(*np.linspace(140, 100, 30))
    same, other = compared(rising, rising), compared(rising, falling)
    assert same == Delivery(0.0, 0.0, 0.0)
    assert other.distance > 0.2
    assert other.semitones is not None
    assert other.semitones > 1


def test_what_is_not_voiced_has_no_delivery() -> None:
    whisper, voice = melody(0.0, 0.0, 0.0), melody(100.0, 110.0)
    usual = register_of([whisper, voice])
    assert usual is not None
    assert compare_delivery(whisper, usual, voice, usual) is None
    assert register_of([whisper]) is None
    assert register_of([]) is None
    assert performance_of(np.zeros(0, np.float32)).f0.shape == (0,)
