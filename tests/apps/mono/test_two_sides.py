"""Two channels of one: every sample of a recording is on the side of who speaks, and nothing else is."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.mono.two_sides import RAMP_SECONDS, SeparatedVoices, own_stretches, two_channels

RATE = 1000


def reader(samples: np.ndarray, size: int = 700) -> Any:
    def read() -> Iterator[np.ndarray]:
        for first in range(0, len(samples), size):
            yield samples[first : first + size]

    return read


def turn(channel: str, start: float, end: float, origin: str = "recorded") -> dict[str, Any]:
    return {"channel": channel, "start": start, "end": end, "origin": origin, "confidence": 1.0}


def composed(
    samples: np.ndarray, turns: list[dict[str, Any]], *voices: SeparatedVoices, size: int = 700
) -> np.ndarray:
    return np.concatenate([*two_channels(reader(samples, size), RATE, turns, voices)])


EDGES = st.lists(st.floats(0, 9.9), min_size=2, max_size=16, unique=True).map(sorted)


@given(EDGES, st.lists(st.sampled_from(("left", "right")), min_size=16, max_size=16), st.integers(50, 3000))
def test_every_sample_is_on_a_side_whoever_speaks_and_however_it_is_read(
    edges: list[float], channels: list[str], size: int
) -> None:
    samples = np.random.default_rng(1).integers(-3000, 3000, 10_000, np.int16)
    turns = [
        turn(channel, start, end)
        for channel, start, end in zip(channels, edges[::2], edges[1::2], strict=False)
        if round(start * RATE) < round(end * RATE)
    ]
    assume(turns)
    sides = composed(samples, turns, size=size)
    assert sides.dtype == samples.dtype
    assert (sides == samples[:, None]).any(axis=1).all()
    for heard in turns:
        part = slice(round(heard["start"] * RATE), round(heard["end"] * RATE))
        side = ("left", "right").index(heard["channel"])
        assert (sides[part, side] == samples[part]).all()
    assert (sides == composed(samples, turns)).all()


def test_other_side_has_the_room_of_the_recording_and_not_the_voice() -> None:
    random = np.random.default_rng(2)
    samples = random.normal(0, 30, 20_000)
    samples[2000:8000] += random.normal(0, 6000, 6000)
    samples[12000:18000] += random.normal(0, 6000, 6000)
    sides = composed(samples.astype(np.int16), [turn("left", 2, 8), turn("right", 12, 18)])
    quiet = sides[2100:7900, 1].astype(float)
    assert 15 < quiet.std() < 60  # neither digital silence nor a voice
    assert abs(np.corrcoef(quiet, samples[2100:7900])[0, 1]) < 0.1
    assert abs(np.corrcoef(sides[13000:17000, 0], samples[13000:17000])[0, 1]) < 0.1


def test_pause_belongs_to_who_is_nearer_and_its_middle_is_where_sides_change() -> None:
    left, right = own_stretches([turn("left", 1, 2), turn("right", 4, 5), turn("right", 6, 7)], RATE)
    assert (left, right[0][0], len(right)) == ([(0, 3000)], 3000, 1)


def test_voices_of_a_separator_are_on_their_sides_and_fade_in() -> None:
    samples = np.full(6000, 100, np.int16)
    turns = [
        turn("left", 0, 2),
        turn("left", 2, 3, "separated"),
        turn("right", 2, 3, "separated"),
        turn("right", 3, 6),
    ]
    voices = SeparatedVoices(2000, np.tile([500.0, -500.0], (1000, 1)))
    sides = composed(samples, turns, voices)
    ramp = round(RAMP_SECONDS * RATE) + 1
    assert (sides[:2000, 0] == 100).all()
    assert (sides[3000:, 1] == 100).all()
    assert (sides[2000 + ramp : 3000 - ramp] == [500, -500]).all()
    assert np.abs(np.diff(sides[1990:2010].astype(int), axis=0)).max() < 250


def test_recording_without_a_pause_has_its_softest_moments_as_room() -> None:
    samples = np.random.default_rng(3).normal(0, 3000, 20_000)
    samples[5000:7000] /= 100
    sides = composed(samples.astype(np.int16), [turn("left", 0, 10), turn("right", 10, 20)])
    assert sides[2000:9000, 1].std() < 100


def test_room_tone_has_the_offset_of_the_recording() -> None:
    samples = np.random.default_rng(4).normal(2000, 20, 20_000)
    sides = composed(samples.astype(np.int16), [turn("left", 2, 8), turn("right", 12, 18)])
    assert abs(sides[2100:7900, 1].mean() - 2000) < 10
