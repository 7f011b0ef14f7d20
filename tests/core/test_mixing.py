"""What the rebuilt channels sound like: pieces untouched, room tone elsewhere, one gain, no peak too high."""

import numpy as np
import pytest
from audio_files import Samples, room_tone
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.sound.loudness import (
    CEILING,
    LIMIT_DB,
    Piece,
    lay,
    level,
    limit,
    loudness,
    rearrange,
)
from dailytalk_contiguous.core.sound.loudness import room_tone as tone_of

RATE = 16000
NOTHING = np.zeros(0, np.float32)


def voice(seconds: float, peak: float = 0.5, rate: int = RATE, seed: int = 0) -> Samples:
    """Syllables of a buzz: four a second, with the peaks that speech has."""
    t = np.arange(round(seconds * rate)) / rate
    buzz = np.zeros(len(t))
    for k in range(1, 12):
        phase = 2 * np.pi * 140 * k * t + seed
        buzz += np.sin(phase) / k
    syllables = np.sin(np.pi * 4 * t) ** 4
    loud = buzz * (0.15 + syllables)
    scaled = peak * loud / np.abs(loud).max()
    return scaled.astype(np.float32)


def longest_zero_run(samples: Samples) -> int:
    is_silent = np.rint(samples * 32768) == 0
    flags = is_silent.astype(np.int8)
    changes = np.diff(flags, prepend=0, append=0)
    edges = np.flatnonzero(changes)
    lengths = edges[1::2] - edges[::2]
    return int(np.max(lengths, initial=0))


def dbfs(samples: Samples) -> float:
    power = np.mean(samples.astype(np.float64) ** 2)
    return float(10 * np.log10(power))


def piece(start: int, length: int, seed: int = 0) -> Piece:
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(length + 640)
    around = noise.astype(np.float32) * 0.1
    samples = around[320:-320]
    return Piece(start, samples, around[:320], around[-320:])


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 900)), max_size=6), st.randoms())
def test_every_piece_is_there_bit_for_bit_whatever_lies_beside_it(drawn: list[tuple[int, int]], random) -> None:
    pieces = []
    end = 0
    for seed, (gap, length) in enumerate(drawn):
        pieces.append(piece(end + gap, length, seed))
        end += gap + length
    tone = room_tone(end + 100)
    before = tone.copy()
    shuffled = random.sample(pieces, len(pieces))
    channel = lay(shuffled, tone, RATE)
    for laid in pieces:
        piece_end = laid.start + len(laid.samples)
        heard = channel[laid.start : piece_end]
        assert np.array_equal(heard, laid.samples)
    assert np.array_equal(tone, before)


def test_a_voice_without_a_room_is_laid_over_the_tone() -> None:
    tone = room_tone(RATE)
    spoken = voice(0.5)
    spoken[2000:4000] = 0  # a pause between two words, as a synthesiser makes it
    without_room = Piece(4000, spoken, NOTHING, NOTHING, over=True)
    channel = lay([without_room], tone, RATE)
    inside = slice(4000, 4000 + len(spoken))
    mixed = tone[inside] + spoken
    heard = channel[inside]
    assert np.array_equal(heard, mixed)
    before = channel[:4000]
    assert np.array_equal(before, tone[:4000])
    assert longest_zero_run(channel) < 8


def n_alike(old: Samples, new: Samples) -> int:
    """How many samples of two stretches of one length are alike before the first that differ."""
    is_alike = old == new
    return len(is_alike) if is_alike.all() else int(np.argmin(is_alike))


def unlike(old: Samples, new: Samples) -> int:
    """How many samples of the longer stretch are neither at the beginning nor at the end of the other."""
    shorter = min(len(old), len(new))
    longer = max(len(old), len(new))
    first = n_alike(old[:shorter], new[:shorter])
    old_tail = old[len(old) - shorter :]
    new_tail = new[len(new) - shorter :]
    last = n_alike(old_tail[::-1], new_tail[::-1])
    return max(0, longer - first - last)


GAP_LENGTHS = st.integers(0, 3000)
DRAWN_EVENTS = st.lists(st.tuples(GAP_LENGTHS, st.integers(1, 900), GAP_LENGTHS), max_size=5)


@given(DRAWN_EVENTS, GAP_LENGTHS, GAP_LENGTHS)
def test_a_rearranged_recording_is_itself_except_around_one_point_of_each_gap(
    drawn: list[tuple[int, int, int]], rest: int, new_rest: int
) -> None:
    events = []
    end = 0
    new_end = 0
    for gap, length, new_gap in drawn:
        start = end + gap
        new_start = new_end + new_gap
        end = start + length
        new_end = new_start + length
        events.append((start, end, new_start))
    recording = room_tone(end + rest, -30.0)
    new_length = new_end + new_rest
    longer = max(new_length, len(recording))
    tone = room_tone(longer, -30.0, 2)
    channel = rearrange(recording, events, tone, new_length, RATE)
    assert len(channel) == new_length
    end = 0
    new_end = 0
    border = (len(recording), len(recording), new_length)
    for start, next_end, new_start in [*events, border]:
        next_new_end = new_start + next_end - start
        event = recording[start:next_end]
        assert np.array_equal(channel[new_start:next_new_end], event)
        grown = (new_start - new_end) - (start - end)
        gap = recording[end:start]
        changed = unlike(gap, channel[new_end:new_start])
        assert changed <= abs(grown) + 2 * round(0.01 * RATE)
        assert grown or not changed
        end = next_end
        new_end = next_new_end


def samples_at(seconds: float) -> int:
    return round(seconds * RATE)


def test_where_a_leak_is_heard_or_a_gate_was_shut_there_is_room_tone() -> None:
    recording = room_tone(3 * RATE)
    recording[RATE : 2 * RATE] += voice(1.0, 0.1)  # the leak, and inside it an event
    recording[samples_at(2.5) : samples_at(2.7)] = 0
    tone = room_tone(3 * RATE, -62.0, 6)
    event = (samples_at(1.4), samples_at(1.5), samples_at(1.4))
    leak = (RATE, 2 * RATE)
    channel = rearrange(recording, [event], tone, 3 * RATE, RATE, [leak])
    fade = samples_at(0.01)
    for start, end in ((1.0, 1.4), (1.5, 2.0), (2.5, 2.7)):
        first = samples_at(start) + fade
        last = samples_at(end) - fade
        heard = channel[first:last]
        assert np.array_equal(heard, tone[first:last])
    for start, end in ((0.0, 1.0), (1.4, 1.5), (2.0, 2.5), (2.7, 3.0)):
        first = samples_at(start)
        last = samples_at(end)
        heard = channel[first:last]
        assert np.array_equal(heard, recording[first:last])


def test_room_tone_is_that_of_the_channel_and_holds_nothing_of_its_events() -> None:
    channel = room_tone(10 * RATE, -58.0)
    channel[2 * RATE : 5 * RATE] += voice(3)
    channel[7 * RATE : 8 * RATE] += voice(1)
    events = [(2 * RATE, 5 * RATE), (7 * RATE, 8 * RATE)]
    tone = tone_of(channel, events, 20 * RATE, RATE, "call/left")
    assert len(tone) == 20 * RATE
    assert dbfs(tone) == pytest.approx(-58.0, abs=1.5)
    limit_of_tone = 6 * 10 ** (-58 / 20)
    assert np.abs(tone).max() < limit_of_tone


@pytest.mark.parametrize("wanted", [0.5, 3.0, 5.9, 6.5, 12.0, 40.0])
def test_the_limiter_takes_six_decibels_at_most_and_what_is_missing_is_recorded(wanted: float) -> None:
    spoken = voice(4, CEILING)
    usual = loudness(spoken, RATE)
    levelled = level([spoken, 0.1 * spoken], usual + wanted, usual, RATE)
    limited = levelled.pieces[0]
    assert np.abs(limited).max() <= CEILING * (1 + 1e-6)
    is_sound = spoken != 0
    before = np.abs(spoken[is_sound])
    after = np.abs(limited[is_sound])
    taken_db = 20 * np.log10(before / after) + levelled.gain_db
    assert taken_db.max() <= LIMIT_DB + 0.01
    whole = np.concatenate(levelled.pieces)
    reached = loudness(whole, RATE)
    missing_db = usual + wanted - reached
    assert levelled.missing_db == pytest.approx(missing_db, abs=0.01)
    if wanted < LIMIT_DB / 2:
        assert levelled.missing_db < 0.5
    if wanted > LIMIT_DB:
        assert levelled.gain_db == pytest.approx(LIMIT_DB, abs=0.01)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=400), st.sampled_from([8000, 16000, 24000]))
def test_no_peak_passes_the_ceiling_and_nothing_grows_or_turns_around(values: list[float], rate: int) -> None:
    samples = np.array(values, np.float32)
    limited = limit(samples, rate)
    assert np.abs(limited).max() <= CEILING * (1 + 1e-6)
    is_no_louder = np.abs(limited) <= np.abs(samples)
    assert is_no_louder.all()
    assert np.all(limited * samples >= 0)
