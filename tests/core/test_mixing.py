"""What the rebuilt channels sound like: pieces untouched, room tone elsewhere, one gain, no peak too high."""

import numpy as np
import pyloudnorm
import pytest
from audio_files import Samples, room_tone
from figures import figures
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import fftconvolve

from dailytalk_contiguous.core.loudness import (
    CEILING,
    FAINT,
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
    pieces, at = [], 0
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
    head, tail = old[:length] == new[:length], old[len(old) - length :] == new[len(new) - length :]
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
    events, at, at_new = [], 0, 0
    for gap, length, new_gap in drawn:
        events.append((at + gap, at + gap + length, at_new + new_gap))
        at, at_new = at + gap + length, at_new + new_gap + length
    recording = room_tone(at + rest, -30.0)
    length = at_new + new_rest
    tone = room_tone(max(length, len(recording)), -30.0, 2)
    channel = rearrange(recording, events, tone, length, RATE)
    assert len(channel) == length
    at = at_new = 0
    for start, end, new in [*events, (len(recording), len(recording), length)]:
        assert np.array_equal(channel[new : new + end - start], recording[start:end])
        grown = (new - at_new) - (start - at)
        changed = unlike(recording[at:start], channel[at_new:new])
        assert changed <= abs(grown) + 2 * round(0.01 * RATE)
        assert grown or not changed
        at, at_new = end, new + end - start


def test_a_gap_that_grows_does_so_by_room_tone_at_its_quietest_point() -> None:
    recording = room_tone(3 * RATE, -40.0)
    recording[round(1.3 * RATE) : round(1.4 * RATE)] *= 0.1
    tone = room_tone(5 * RATE, -60.0, 5)
    channel = rearrange(recording, [(0, RATE, 0), (2 * RATE, 3 * RATE, 4 * RATE)], tone, 5 * RATE, RATE)
    assert np.array_equal(channel[: round(1.3 * RATE)], recording[: round(1.3 * RATE)])
    assert dbfs(channel[round(1.42 * RATE) : round(3.28 * RATE)]) == pytest.approx(-60.0, abs=0.5)
    assert np.array_equal(channel[-round(1.6 * RATE) :], recording[-round(1.6 * RATE) :])


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


def match(stretch: Samples, voice: Samples) -> float:
    """The largest normalised correlation of a stretch with a voice at any time."""
    product = fftconvolve(voice, stretch[::-1], "valid")
    energies = fftconvolve(voice**2, np.ones(len(stretch), np.float32), "valid")
    return float(np.max(np.abs(product) / np.sqrt(np.maximum(energies, 1e-6) * np.sum(stretch**2))))


def hissing(seconds: float, seed: int) -> Samples:
    """A voice of noise in syllables, never twice the same, peak under 0.3."""
    noise = room_tone(round(seconds * RATE), -20.0, seed)
    return noise * np.sin(np.arange(len(noise)) * 12 / RATE).astype(np.float32) ** 4


@pytest.mark.parametrize("leak_db", [-20.0, -30.0])
def test_what_leaks_from_the_other_side_is_not_repeated_in_room_tone(leak_db: float) -> None:
    other = np.zeros(20 * RATE, np.float32)
    spans = [(second * RATE, (second + 2) * RATE) for second in range(1, 19, 3)]
    for seed, (start, end) in enumerate(spans):
        other[start:end] = hissing(2.0, seed)
    channel = room_tone(20 * RATE, -62.0, 40) + np.float32(10 ** (leak_db / 20)) * other
    # speech activity begins late and ends early
    heard = [(start + RATE // 8, end - RATE // 8) for start, end in spans]
    tone = tone_of(channel, [(19 * RATE, 20 * RATE)], 20 * RATE, RATE, "call/left", heard)
    levels = [dbfs(tone[at : at + 800]) for at in range(0, len(tone) - 800, 800)]
    assert max(levels) < -62.0 + 6.0
    assert np.median(levels) == pytest.approx(-62.0, abs=1.0)
    assert max(match(tone[at : at + 4000], other) for at in range(0, len(tone) - 4000, 16000)) < 0.2


def test_where_the_other_side_leaks_all_the_time_room_tone_is_noise_of_the_same_colour() -> None:
    # Between syllables the channel is free of the leak, but never for as long as a stretch of room tone takes.
    noise = np.convolve(room_tone(30 * RATE, -50.0, 7), [0.5, 0.5], "same").astype(np.float32)
    other = hissing(30.0, 8)
    channel = noise + np.float32(0.2) * other
    tone = tone_of(channel, [], 10 * RATE, RATE, "call/left", [(0, 30 * RATE)])
    assert dbfs(tone) == pytest.approx(dbfs(noise), abs=4.0)
    assert dbfs(tone) < dbfs(channel) - 6.0
    low, high = (
        np.mean(np.abs(np.fft.rfft(tone)[band]) ** 2) for band in (slice(2000, 9000), slice(70000, 79000))
    )
    assert low > 20 * high  # as in the noise, whose highest frequencies are gone
    assert match(tone[:4000], other) < 0.2
    again = tone_of(channel, [], 10 * RATE, RATE, "call/left", [(0, 30 * RATE)])
    assert np.array_equal(tone, again)


@pytest.mark.parametrize("length", [0, 1, 37, 5 * RATE + 11])
def test_room_tone_is_as_long_as_asked_for(length: int) -> None:
    quiet = room_tone(RATE)
    for channel in (quiet, np.zeros(RATE, np.float32), quiet[:10], NOTHING):
        tone = tone_of(channel, [], length, RATE, "call/left")
        assert tone.shape == (length,)
        assert tone.dtype == np.float32


def test_a_channel_that_speaks_all_the_time_gets_faint_noise() -> None:
    tone = tone_of(voice(3), [(0, 3 * RATE)], RATE, RATE, "call/left")
    assert dbfs(tone) == pytest.approx(20 * np.log10(FAINT), abs=0.5)


def test_loudness_is_that_of_bs_1770() -> None:
    # A full-scale sine of 997 Hz on one channel reads -3.01 LUFS (ITU-R BS.1770-4, annex 1).
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * 48000) / 48000).astype(np.float32)
    assert loudness(sine, 48000) == pytest.approx(-3.01, abs=0.05)
    assert loudness(sine[:4800], 48000) == pytest.approx(-3.01, abs=0.3)  # shorter than one gating block


@pytest.mark.parametrize("samples", [NOTHING, np.zeros(RATE, np.float32)])
def test_silence_has_no_loudness(samples: Samples) -> None:
    assert loudness(samples, RATE) == float("-inf")


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


@pytest.mark.parametrize("source", [float("-inf"), float("nan")])
def test_without_a_loudness_to_match_speech_keeps_its_own_and_its_peaks_are_limited(source: float) -> None:
    said = voice(1, 1.0)
    levelled = level([said], source, loudness(said, RATE), RATE)
    assert (levelled.gain_db, np.abs(levelled.pieces[0]).max() <= CEILING * (1 + 1e-6)) == (0.0, True)


def test_no_speech_needs_no_gain() -> None:
    assert level([], -20.0, float("-inf"), RATE) == ([], 0.0, 0.0)


def test_far_from_a_peak_no_sample_changes() -> None:
    said = voice(2, 0.8)
    said[16000:16004] = [1.0, -1.2, 1.3, 1.0]
    limited = limit(said, RATE)
    changed = np.flatnonzero(limited != said)
    assert changed.min() >= 16000 - 0.0101 * RATE
    assert changed.max() <= 16003 + 0.0101 * RATE
    assert np.abs(limited).max() == pytest.approx(CEILING, rel=1e-5)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=400), st.sampled_from([8000, 16000, 24000]))
def test_no_peak_passes_the_ceiling_and_nothing_grows_or_turns_around(values: list[float], rate: int) -> None:
    said = np.array(values, np.float32)
    limited = limit(said, rate)
    assert np.abs(limited).max() <= CEILING * (1 + 1e-6)
    assert np.all(np.abs(limited) <= np.abs(said))
    assert np.all(limited * said >= 0)


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.399])
def test_what_is_shorter_than_a_gating_block_is_as_loud_as_its_repetition_to_one_block(seconds: float) -> None:
    rising = (np.linspace(0.1, 1.0, round(seconds * RATE)) ** 2).astype(np.float32) * voice(seconds, 0.9)
    block = np.resize(rising, round(0.4 * RATE)).astype(np.float64)
    assert loudness(rising, RATE) == pytest.approx(pyloudnorm.Meter(RATE).integrated_loudness(block))


SLOW = 8000


def call() -> tuple[Samples, list[tuple[int, int]], list[tuple[int, int]]]:
    """Seven seconds of a channel at 8 kHz: its events, and those of the other side with their leak."""
    channel = room_tone(7 * SLOW, -55.0, 11) * np.linspace(0.9, 1.1, 7 * SLOW, dtype=np.float32)
    events = [(round(at * SLOW), round((at + 0.83) * SLOW)) for at in (0.51, 3.03, 5.5)]
    others = [(round(at * SLOW), round((at + 0.7) * SLOW)) for at in (1.6, 4.4)]
    for seed, (start, end) in enumerate(events):
        channel[start:end] += voice((end - start) / SLOW, 0.005, SLOW, seed)
    for start, end in others:
        channel[start:end] += voice((end - start) / SLOW, 0.01, SLOW, 9)
    channel[2 * SLOW + 4000 : 2 * SLOW + 4100] = 0.0
    channel[2 * SLOW + 4200 : 2 * SLOW + 4280] = 0.4 / 32768
    channel[round(6.8 * SLOW)] = 0.02
    return channel, events, others


@pytest.mark.parametrize(
    ("seconds", "others", "expected"),
    [
        (7.0, "some", [24000, 0.074991594188, 34.263380825, 18.755333742]),
        (2.4, "some", [24000, 0.063621956994, 31.042901871, 16.683153299]),
        (7.0, "all", [24000, 0.062931081589, 30.864684255, 16.617749831]),
        (0.15, "all", [24000, 0.00038315967582, 2.4098550394, 1.2946695716]),
    ],
    ids=["repeated", "noise of its quiet", "noise beside a leak", "faint"],
)
def test_room_tone_is_made_as_in_the_version_before(seconds: float, others: str, expected: list[float]) -> None:
    channel, events, leaks = call()
    heard = leaks if others == "some" else [(0, len(channel))]
    part = channel[: round(seconds * SLOW)]
    tone = tone_of(part, events, 3 * SLOW, SLOW, "call/left", heard)
    assert figures(tone) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ((0.51, 3.03, 5.5), [60000, 0.20241877922, 87.355981409, 47.076967984]),
        ((0.2, 2.5, 5.6), [60800, 0.20419274277, 88.015620015, 47.331962535]),
        ((0.52, 3.06, 5.54), [60320, 0.20287343381, 87.691976386, 47.2392072]),
        ((1.0, 4.5, 6.0), [64000, 0.21034104293, 92.639973289, 50.410236886]),
    ],
    ids=["nothing moves", "gaps shrink", "gaps grow a little", "gaps grow"],
)
def test_rearranged_recording_is_made_as_in_the_version_before(
    starts: tuple[float, ...], expected: list[float]
) -> None:
    channel, events, leaks = call()
    tone = room_tone(9 * SLOW, -56.0, 12)
    moved = [(start, end, round(new * SLOW)) for (start, end), new in zip(events, starts, strict=True)]
    made = rearrange(channel, moved, tone, moved[-1][2] + 2 * SLOW, SLOW, leaks)
    assert figures(made) == pytest.approx(expected, rel=1e-7)


def test_pieces_are_laid_as_in_the_version_before() -> None:
    channel, events, _ = call()
    pieces = [
        Piece(at, channel[start:end], channel[start - 300 : start], channel[end : end + length], over)
        for at, (start, end), length, over in zip(
            (100, 6800, 13600), events, (300, 50, 300), (False, True, False), strict=True
        )
    ]
    made = lay(pieces[::-1], room_tone(20300, -56.0, 12), SLOW)
    assert figures(made) == pytest.approx([20300, 0.10233442636, 35.83375166, 19.389722974], rel=1e-7)


@pytest.mark.parametrize(
    ("wanted", "expected", "gain_db", "missing_db"),
    [
        (3.0, [16000, 929.41053667, 2419.0918086, 1219.3952047], 3.0, 0.959675),
        (9.0, [16000, 1215.6938396, 2957.095991, 1489.5471018], 6.938048, 5.812405),
    ],
)
def test_speech_is_levelled_as_in_the_version_before(
    wanted: float, expected: list[float], gain_db: float, missing_db: float
) -> None:
    said = [voice(1.0, 0.8, SLOW, seed) for seed in (0, 1)]
    own = loudness(np.concatenate(said), SLOW)
    made = level(said, own + wanted, own, SLOW)
    assert figures(np.concatenate(made.pieces)) == pytest.approx(expected, rel=1e-5)
    assert (made.gain_db, made.missing_db) == pytest.approx((gain_db, missing_db), abs=1e-4)


def test_events_that_change_places_are_laid_in_their_new_order() -> None:
    recording = np.arange(1, 3001, dtype=np.float32) / 10_000
    tone = np.full(3000, 0.5, np.float32)
    made = rearrange(recording, [(500, 1000, 2000), (1500, 2000, 500)], tone, 3000, SLOW)
    assert np.array_equal(made[2000:2500], recording[500:1000])
    assert np.array_equal(made[500:1000], recording[1500:2000])
    assert np.array_equal(made[:500], rearrange(recording, [(1500, 2000, 500)], tone, 3000, SLOW)[:500])
    assert made[1100:1900] == pytest.approx(0.5)


@pytest.mark.parametrize("grown", [158, 159, 160, 161, 162])
def test_gap_that_grows_by_up_to_two_fades_repeats_its_background_and_by_more_gets_room_tone(grown: int) -> None:
    """At 8 kHz a fade is 80 samples."""
    recording = room_tone(3000, -40.0)
    loud_tone = np.full(9000, 0.9, np.float32)
    made = rearrange(recording, [(0, 1000, 0), (2000, 3000, 2000 + grown)], loud_tone, 3000 + grown, SLOW)
    assert (np.abs(made).max() > 0.5) == (grown > 160)
