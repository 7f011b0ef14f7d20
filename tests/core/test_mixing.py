"""What the rebuilt channels sound like: pieces untouched, room tone elsewhere, one gain, no peak too high."""

import numpy as np
import pytest
from audio_files import Samples, room_tone
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.loudness import (
    CEILING,
    LIMIT_DB,
    Piece,
    lay,
    level,
    limit,
    loudness,
    rearrange,
)
from dailytalk_contiguous.core.loudness import room_tone as tone_of

RATE = 16000
NOTHING = np.zeros(0, np.float32)


def voice(seconds: float, peak: float = 0.5, rate: int = RATE, seed: int = 0) -> Samples:
    """Syllables of a buzz: four a second, with the peaks that speech has."""
    t = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 140 * k * t + seed) / k for k in range(1, 12))
    loud = buzz * (0.15 + np.sin(np.pi * 4 * t) ** 4)
    return (peak * loud / np.abs(loud).max()).astype(np.float32)


def longest_zero_run(samples: Samples) -> int:
    silent = np.rint(samples * 32768) == 0
    edges = np.flatnonzero(np.diff(silent.astype(np.int8), prepend=0, append=0))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def dbfs(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def piece(start: int, length: int, seed: int = 0) -> Piece:
    around = np.random.default_rng(seed).standard_normal(length + 640).astype(np.float32) * 0.1
    return Piece(start, around[320:-320], around[:320], around[-320:])


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 900)), max_size=6), st.randoms())
def test_every_piece_is_there_bit_for_bit_whatever_lies_beside_it(drawn: list[tuple[int, int]], random) -> None:
    pieces = []
    at = 0
    for seed, (gap, length) in enumerate(drawn):
        pieces.append(piece(at + gap, length, seed))
        at += gap + length
    tone = room_tone(at + 100)
    before = tone.copy()
    channel = lay(random.sample(pieces, len(pieces)), tone, RATE)
    for one in pieces:
        assert np.array_equal(channel[one.start : one.start + len(one.samples)], one.samples)
    assert np.array_equal(tone, before)


def test_a_voice_without_a_room_is_laid_over_the_tone() -> None:
    tone = room_tone(RATE)
    said = voice(0.5)
    said[2000:4000] = 0  # a pause between two words, as a synthesiser makes it
    channel = lay([Piece(4000, said, NOTHING, NOTHING, over=True)], tone, RATE)
    assert np.array_equal(channel[4000 : 4000 + len(said)], tone[4000 : 4000 + len(said)] + said)
    assert np.array_equal(channel[:4000], tone[:4000])
    assert longest_zero_run(channel) < 8


def unlike(old: Samples, new: Samples) -> int:
    """How many samples of the longer stretch are neither at the beginning nor at the end of the other."""
    length = min(len(old), len(new))
    head = old[:length] == new[:length]
    tail = old[len(old) - length :] == new[len(new) - length :]
    first = length if head.all() else int(np.argmin(head))
    last = length if tail.all() else int(np.argmin(tail[::-1]))
    return max(0, max(len(old), len(new)) - first - last)


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 900), st.integers(0, 3000)), max_size=5),
    st.integers(0, 3000),
    st.integers(0, 3000),
)
def test_a_rearranged_recording_is_itself_except_around_one_point_of_each_gap(
    drawn: list[tuple[int, int, int]], rest: int, new_rest: int
) -> None:
    events = []
    at = 0
    at_new = 0
    for gap, length, new_gap in drawn:
        events.append((at + gap, at + gap + length, at_new + new_gap))
        at = at + gap + length
        at_new = at_new + new_gap + length
    recording = room_tone(at + rest, -30.0)
    length = at_new + new_rest
    tone = room_tone(max(length, len(recording)), -30.0, 2)
    channel = rearrange(recording, events, tone, length, RATE)
    assert len(channel) == length
    at = 0
    at_new = 0
    for start, end, new in [*events, (len(recording), len(recording), length)]:
        assert np.array_equal(channel[new : new + end - start], recording[start:end])
        grown = (new - at_new) - (start - at)
        changed = unlike(recording[at:start], channel[at_new:new])
        assert changed <= abs(grown) + 2 * round(0.01 * RATE)
        assert grown or not changed
        at = end
        at_new = new + end - start


def test_where_a_leak_is_heard_or_a_gate_was_shut_there_is_room_tone() -> None:
    recording = room_tone(3 * RATE)
    recording[RATE : 2 * RATE] += voice(1.0, 0.1)  # the leak, and inside it an event
    recording[round(2.5 * RATE) : round(2.7 * RATE)] = 0
    tone = room_tone(3 * RATE, -62.0, 6)
    event = (round(1.4 * RATE), round(1.5 * RATE), round(1.4 * RATE))
    channel = rearrange(recording, [event], tone, 3 * RATE, RATE, [(RATE, 2 * RATE)])
    fade = round(0.01 * RATE)
    for start, end in ((1.0, 1.4), (1.5, 2.0), (2.5, 2.7)):
        inside = slice(round(start * RATE) + fade, round(end * RATE) - fade)
        assert np.array_equal(channel[inside], tone[inside])
    for start, end in ((0.0, 1.0), (1.4, 1.5), (2.0, 2.5), (2.7, 3.0)):
        outside = slice(round(start * RATE), round(end * RATE))
        assert np.array_equal(channel[outside], recording[outside])


def test_room_tone_is_that_of_the_channel_and_holds_nothing_of_its_events() -> None:
    channel = room_tone(10 * RATE, -58.0)
    channel[2 * RATE : 5 * RATE] += voice(3)
    channel[7 * RATE : 8 * RATE] += voice(1)
    tone = tone_of(channel, [(2 * RATE, 5 * RATE), (7 * RATE, 8 * RATE)], 20 * RATE, RATE, "call/left")
    assert len(tone) == 20 * RATE
    assert dbfs(tone) == pytest.approx(-58.0, abs=1.5)
    assert np.abs(tone).max() < 6 * 10 ** (-58 / 20)


@pytest.mark.parametrize("wanted", [0.5, 3.0, 5.9, 6.5, 12.0, 40.0])
def test_the_limiter_takes_six_decibels_at_most_and_what_is_missing_is_recorded(wanted: float) -> None:
    said = voice(4, CEILING)
    own = loudness(said, RATE)
    levelled = level([said, 0.1 * said], own + wanted, own, RATE)
    limited = levelled.pieces[0]
    assert np.abs(limited).max() <= CEILING * (1 + 1e-6)
    taken = 20 * np.log10(np.abs(said[said != 0]) / np.abs(limited[said != 0])) + levelled.gain_db
    assert taken.max() <= LIMIT_DB + 0.01
    reached = loudness(np.concatenate(levelled.pieces), RATE)
    assert levelled.missing_db == pytest.approx(own + wanted - reached, abs=0.01)
    if wanted < LIMIT_DB / 2:
        assert levelled.missing_db < 0.5
    if wanted > LIMIT_DB:
        assert levelled.gain_db == pytest.approx(LIMIT_DB, abs=0.01)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=400), st.sampled_from([8000, 16000, 24000]))
def test_no_peak_passes_the_ceiling_and_nothing_grows_or_turns_around(values: list[float], rate: int) -> None:
    said = np.array(values, np.float32)
    limited = limit(said, rate)
    assert np.abs(limited).max() <= CEILING * (1 + 1e-6)
    assert np.all(np.abs(limited) <= np.abs(said))
    assert np.all(limited * said >= 0)
