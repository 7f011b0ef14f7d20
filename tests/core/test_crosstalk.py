"""Crosstalk: the other speaker's leaked voice is no speech of this one, and what this one says always is."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import REAL_CALLS, conversations, example, reference, wav_bytes
from stage_calls import columns_after

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sound.crosstalk import separate_sides
from dailytalk_contiguous.core.sound.samples import pcm_to_float, to_pcm
from dailytalk_contiguous.stages.segment import Segment

Spans = list[tuple[float, float]]


def segmented(samples: np.ndarray, **settings: Any) -> tuple[dict[str, Spans], list[str]]:
    batch = conversations(samples.astype(np.float32))
    columns = columns_after(Segment(**settings), batch)
    channels = columns["channel"][0]
    starts = columns["start"][0]
    ends = columns["end"][0]
    spans: dict[str, Spans] = {"left": [], "right": []}
    for channel, start, end in zip(channels, starts, ends, strict=True):
        spans[channel].append((start, end))
    return spans, columns["notes"][0]


def at_db(level_db: float) -> float:
    """The factor of a level in dB."""
    return 10 ** (level_db / 20)


@lru_cache(maxsize=None)
def clean(name: str) -> dict[str, Spans]:
    spans, notes = segmented(example(name))
    assert notes == []
    return spans


def seconds(spans: Spans) -> float:
    return sum(end - start for start, end in spans)


def leaked(samples: np.ndarray, into: int, level_db: float, delay: int = 0) -> np.ndarray:
    """The samples with the channel that is not `into` leaked into it."""
    mixed = samples.copy()
    source = samples[: len(samples) - delay, 1 - into]
    mixed[delay:, into] += at_db(level_db) * source
    return mixed


@pytest.mark.parametrize(
    ("name", "into", "level_db", "delay"),
    [
        ("burnt_dinner", 0, -30, 0),
        ("old_friends", 1, -20, 80),
        pytest.param("bicycle_repair", 0, -20, 0, marks=pytest.mark.nightly),
        pytest.param("weekend_trip", 0, -30, 80, marks=pytest.mark.nightly),
    ],
)
def test_leakage_makes_no_utterances_and_the_note_says_so(
    name: str, into: int, level_db: float, delay: int
) -> None:
    samples = leaked(example(name), into, level_db, delay)
    spans, notes = segmented(samples)
    unleaked = clean(name)
    for channel in ("left", "right"):
        n_expected = len(unleaked[channel])
        assert len(spans[channel]) == n_expected
        # Where the leak runs up to a word, the word begins some frames early.
        expected = seconds(unleaked[channel])
        assert seconds(spans[channel]) == pytest.approx(expected, rel=0.06)
    leaking, channel = ("right", "left") if into == 0 else ("left", "right")
    (note,) = notes
    assert f"leaked into the {channel} channel at -" in note
    _, after_at = note.split(" at ")
    noted_db = float(after_at.partition(" dB")[0])
    assert noted_db == pytest.approx(level_db, abs=2)
    noted_seconds = float(note.partition(" s of ")[0])
    assert 0.5 < noted_seconds < 1.1 * seconds(unleaked[leaking])


def seconds_within(spans: Spans, first: float, last: float) -> float:
    """The seconds that spans have in common with the time from `first` to `last`."""
    shared = 0.0
    for start, end in spans:
        common_start = max(start, first)
        common_end = min(end, last)
        shared += max(0.0, common_end - common_start)
    return shared


@pytest.mark.parametrize(("name", "level_db"), [("bicycle_repair", None), ("old_friends", -20)])
def test_a_soft_backchannel_while_the_other_speaks_stays(name: str, level_db: float | None) -> None:
    backchannels = [row for row in reference(name) if row["event"] == "backchannel"]
    samples = example(name).copy()
    for row in backchannels:
        first = round(row["start"] * 16000) - 800
        last = round(row["end"] * 16000) + 800
        column = ("left", "right").index(row["channel"])
        samples[first:last, column] *= at_db(-9)
    if level_db is not None:
        for into in (0, 1):
            samples = leaked(samples, into, level_db)
    without, _ = segmented(samples, crosstalk=False)
    spans, _ = segmented(samples)
    for row in backchannels:
        channel = row["channel"]
        kept = seconds_within(spans[channel], row["start"], row["end"])
        whole = seconds_within(without[channel], row["start"], row["end"])
        assert kept >= 0.7 * whole
        assert whole > 0


@pytest.mark.parametrize("gain_db", [0.0, -4.0])
def test_one_signal_on_both_channels_is_refused_with_the_way_on(gain_db: float) -> None:
    recording = example("bicycle_repair")[: 20 * 16000]
    mixed = recording.sum(axis=1)
    samples = np.stack((mixed, at_db(gain_db) * mixed), axis=1)
    refusal = r"both channels carry the same sound.*call.left.wav.*--channel mix"
    with pytest.raises(BadInput, match=refusal) as caught:
        segmented(samples)
    assert caught.value.row == 0


def test_a_gated_microphone_still_shows_its_leakage() -> None:
    """Digital silence between words must not make the leak under the words look small."""
    samples = leaked(example("old_friends"), 0, -20)
    window = np.ones(320) / 320
    loudness = np.convolve(np.abs(samples[:, 0]), window, mode="same")
    is_quiet = loudness < at_db(-58)
    samples[is_quiet, 0] = 0
    spans, notes = segmented(samples)
    unleaked = clean("old_friends")
    n_expected = len(unleaked["left"])
    assert len(spans["left"]) == n_expected
    assert len(notes) == 1


@pytest.mark.needs("the real calls")
def test_in_real_calls_nothing_is_lost_and_a_leak_with_a_tail_is_found() -> None:
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(320)
    times = np.arange(320)
    decay = np.exp(-times / 80.0)
    tail = noise * decay
    power = tail**2
    tail /= np.sqrt(power.sum())
    tail = tail.astype(np.float32)
    for path in REAL_CALLS:
        recording, _ = soundfile.read(path, dtype="float32")
        samples = soxr.resample(recording[: 60 * 8000], 8000, 16000)
        without = segmented(samples, crosstalk=False)
        assert segmented(samples) == without
        leak = np.convolve(samples[:, 0], tail)[: len(samples)]
        samples[:, 1] += 0.1 * leak
        spans, _ = segmented(samples)
        unleaked, _ = without
        n_expected = len(unleaked["right"])
        assert len(spans["right"]) == n_expected
        expected = seconds(unleaked["right"])
        assert seconds(spans["right"]) == pytest.approx(expected, rel=0.05)


def test_level_of_a_leak_is_known_in_each_frame_and_over_all() -> None:
    """As mean square of full scale, 20 dB under the voice that leaks."""
    samples = example("old_friends").copy()
    samples[:, 1] = 0.001 * np.random.default_rng(0).standard_normal(len(samples))
    mixed = to_pcm(leaked(samples, 1, -20, delay=1600))
    _, leak = separate_sides(mixed[:, 0], mixed[:, 1]).leaks
    assert leak is not None
    assert leak.level_db == pytest.approx(-20.0, abs=0.5)
    assert leak.delay == pytest.approx(0.1, abs=0.001)
    source = pcm_to_float(mixed[:, 0])
    assert float(np.mean(leak.power)) == pytest.approx(0.01 * float(np.mean(source**2)), rel=0.15)


@pytest.mark.parametrize(
    ("name", "leaks"),
    [
        ("bicycle_repair", [(1, -10, 0.1)]),
        ("old_friends", [(1, -20, 0.4)]),
        ("burnt_dinner", [(0, -14, 0.23), (1, -14, 0.23)]),
    ],
)
def test_an_echo_is_no_speech_and_nothing_of_ones_own_is_lost(
    name: str, leaks: list[tuple[int, float, float]]
) -> None:
    samples = example(name).copy()
    for into, level_db, late in leaks:
        delay = round(late * 16000)
        samples[delay:, into] += at_db(level_db) * example(name)[:-delay, 1 - into]
    columns = columns_after(Segment(), conversations(samples))
    spans: dict[str, Spans] = {"left": [], "right": []}
    for channel, start, end in zip(*(columns[key][0] for key in ("channel", "start", "end")), strict=True):
        spans[channel].append((start, end))
    for channel, unleaked in clean(name).items():
        kept = sum(seconds_within(spans[channel], start, end) for start, end in unleaked)
        assert kept >= 0.98 * seconds(unleaked)
        assert seconds(spans[channel]) - kept < 0.5
    for side in columns["sides"][0]:
        expected = [
            (level_db, late) for into, level_db, late in leaks if ("left", "right")[into] == side["channel"]
        ]
        for level_db, late in expected:
            assert side["leak_db"] == pytest.approx(level_db, abs=3)
            assert side["leak_seconds"] == pytest.approx(late, abs=0.03)
        if not expected:
            assert side["leak_db"] is None


def echo_of(source: np.ndarray, late: float, seed: int = 3) -> np.ndarray:
    """A voice as a microphone hears it in a room of 0.25 s, so many seconds late."""
    generator = np.random.default_rng(seed)
    n_taps = 4000
    taps = generator.standard_normal(n_taps) * np.exp(-6.9 * np.arange(n_taps) / n_taps)
    taps[0] = 3
    heard = np.convolve(source, taps / np.sqrt(np.square(taps).sum()))
    return np.pad(heard, (round(late * 16000), 0))[: len(source)]


def gain_of(how: str, n_samples: int) -> np.ndarray:
    """The gain of a leak at each sample, from the start of a call to its end."""
    share = np.arange(n_samples) / n_samples
    gains = {
        "begins": np.where(share >= 0.5, at_db(-8), 0),
        "ends": np.where(share < 0.3, at_db(-20), 0),
        "a step": np.where(share < 0.5, at_db(-20), at_db(-8)),
        "a ramp": 10 ** ((-24 + 16 * share) / 20),
    }
    return gains[how]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("weekend_trip", "begins"),
        ("burnt_dinner", "ends"),
        ("bicycle_repair", "a step"),
        pytest.param("burnt_dinner", "a ramp", marks=pytest.mark.nightly),
    ],
)
def test_a_leak_that_begins_ends_or_changes_is_no_speech(name: str, how: str) -> None:
    samples = example(name).copy()
    samples[:, 1] += gain_of(how, len(samples)) * echo_of(samples[:, 0], 0.06)
    spans, notes = segmented(samples)
    for channel, unleaked in clean(name).items():
        kept = sum(seconds_within(spans[channel], start, end) for start, end in unleaked)
        assert kept >= 0.98 * seconds(unleaked)
        assert seconds(spans[channel]) - kept < 0.5
    (note,) = notes
    assert "leaked into the right channel" in note


def test_a_side_says_when_it_holds_a_leak_and_how_loud_that_is() -> None:
    samples = example("weekend_trip").copy()
    samples[:, 1] += gain_of("begins", len(samples)) * echo_of(samples[:, 0], 0.06)
    _, leak = separate_sides(*to_pcm(samples).T).leaks
    assert leak is not None
    half = len(samples) / 16000 / 2
    assert half - 4 < leak.spans[0].start < half + 8
    seconds_at = [(span.end - span.start, span.leak_db) for span in leak.spans]
    assert max(seconds_at)[1] == pytest.approx(-8, abs=3)


def test_a_leak_of_two_stretches_is_told_in_two() -> None:
    samples = np.tile(example("weekend_trip"), (5, 1))
    echo = echo_of(samples[:, 0], 0.06)
    n_samples = len(samples)
    section = n_samples // 3
    samples[:section, 1] += at_db(-10) * echo[:section]
    samples[2 * section :, 1] += at_db(-10) * echo[2 * section :]
    _, leak = separate_sides(*to_pcm(samples).T).leaks
    assert leak is not None
    between = [
        span for span in leak.spans if span.end * 16000 > 1.1 * section and span.start * 16000 < 1.9 * section
    ]
    assert leak.spans
    assert between == []


def test_a_leak_whose_way_changes_and_an_automatic_gain_are_followed() -> None:
    samples = example("burnt_dinner").copy()
    half = len(samples) // 2
    near = echo_of(samples[:, 0], 0.06)
    far = echo_of(samples[:, 0], 0.11, seed=9)
    samples[:, 1] += at_db(-12) * np.concatenate((near[:half], far[half:]))
    samples[:, 1] *= np.where(np.arange(len(samples)) % 96000 < 48000, 1.0, at_db(-12))
    unleaked, _ = segmented(example("burnt_dinner"), crosstalk=False)
    spans, _ = segmented(samples)
    kept = sum(seconds_within(spans["right"], start, end) for start, end in unleaked["right"])
    assert kept >= 0.95 * seconds(unleaked["right"])
    assert seconds(spans["right"]) - kept < 1.0


@pytest.mark.parametrize("leak_db", [None, -12])
def test_an_answer_of_one_word_that_comes_as_late_as_an_echo_stays(leak_db: float | None) -> None:
    samples = np.zeros((40 * 16000, 2), np.float32)
    samples += np.random.default_rng(0).normal(0, 3e-4, samples.shape).astype(np.float32)
    talk = example("weekend_trip")[:, 0]
    words = example("old_friends")[:, 1]
    samples[: 12 * 16000, 0] += talk[: 12 * 16000]
    answers = []
    starts = [row["start"] + 0.1 for row in reference("old_friends") if row["channel"] == "right"]
    for number, start in enumerate(starts[:8]):
        asked = 14 + 3 * number
        question = talk[round((1 + number) * 16000) :][:6400]
        samples[asked * 16000 :, 0][:6400] += question
        answered = asked + 0.4 + 0.05 * number
        samples[round(answered * 16000) :, 1][:5600] += words[round(start * 16000) :][:5600]
        answers.append((answered, answered + 0.35))
    without, _ = segmented(samples, crosstalk=False)
    if leak_db is not None:
        samples[:, 1] += at_db(leak_db) * echo_of(samples[:, 0], 0.06)
    spans, _ = segmented(samples)
    heard = [span for span in answers if seconds_within(without["right"], *span) > 0.2]
    assert len(heard) >= 6
    for start, end in heard:
        assert seconds_within(spans["right"], start, end) >= 0.5 * seconds_within(without["right"], start, end)


def test_people_who_speak_at_once_keep_their_words_with_and_without_a_leak() -> None:
    samples = example("weekend_trip").copy()
    samples[:, 1] = np.roll(samples[:, 1], 17 * 16000)
    unleaked, _ = segmented(samples, crosstalk=False)
    searched, _ = segmented(samples)
    assert searched == unleaked
    spans, _ = segmented(leaked(samples, 1, -12, 2400))
    for channel in ("left", "right"):
        kept = sum(seconds_within(spans[channel], start, end) for start, end in unleaked[channel])
        assert kept >= 0.95 * seconds(unleaked[channel])


@pytest.mark.parametrize(("softer_db", "late"), [(12, 0.0), (0, 0.15), (16, -0.015)])
def test_recorders_in_one_room_that_differ_tell_who_speaks(softer_db: float, late: float) -> None:
    """Each voice is on the other side, too, 8 dB softer and 4 ms late."""
    samples = example("bicycle_repair")
    n_late = round(late * 16000)

    def recorded(level_db: float) -> np.ndarray:
        in_room = samples.copy()
        in_room[64:] += at_db(level_db) * samples[:-64, ::-1]
        left, right = in_room.T
        padded_left = np.pad(left, (max(0, -n_late), 0))[: len(left)]
        padded_right = np.pad(right, (max(0, n_late), 0))[: len(right)]
        return np.stack([at_db(-softer_db) * padded_left, padded_right], axis=1)

    spans, notes = segmented(recorded(-8))
    assert ["4 ms late" in note for note in notes] == [True, True]
    own, _ = segmented(recorded(-100), crosstalk=False)
    for side in ("left", "right"):
        common = sum(seconds_within(spans[side], start, end) for start, end in own[side])
        assert seconds(spans[side]) == pytest.approx(common, abs=1)
        assert seconds(own[side]) == pytest.approx(common, abs=1)


@pytest.mark.parametrize(("gain", "offset"), [(0.1, 0.0), (3.0, 0.0), (1.0, 0.005), (1.0, 0.1)])
def test_level_and_offset_of_a_recording_change_nothing_that_is_heard(gain: float, offset: float) -> None:
    samples = example("old_friends")
    heard = []
    for sound in (samples, samples * np.float32(gain) + np.float32(offset)):
        columns = columns_after(Segment(), conversations(wav_bytes(sound, subtype="FLOAT")))
        heard.append((columns["channel"][0], columns["start"][0], columns["end"][0]))
        assert not any("leaked" in note for note in columns["notes"][0])
    assert heard[0][0] == heard[1][0]
    near = np.isclose(heard[0][1:], heard[1][1:], atol=0.01)
    assert near.mean() >= 0.95


def test_one_side_alone_is_heard_with_what_is_known_of_the_other() -> None:
    samples = leaked(example("old_friends"), 0, -10, 1600)
    of_both, _ = segmented(samples)
    of_left, _ = segmented(samples, channel="left")
    assert of_left["left"] == of_both["left"]
    assert of_left["right"] == []


def test_a_short_last_window_is_no_leak() -> None:
    """In 0.26 s behind 45 s all that is alike is at short lags, as a noise that rises with the other voice."""
    call = example("weekend_trip")[: round(45.256 * 16000)]
    generator = np.random.default_rng(0)
    sounding = np.abs(call[:, 0]) > 0.02
    speaks = np.convolve(sounding, np.ones(1600), "same") > 0
    noise = 0.004 * generator.standard_normal(len(call)) * speaks
    pcm = to_pcm((call + np.stack((np.zeros(len(call)), noise), axis=1)).astype(np.float32))
    assert separate_sides(pcm[:, 0], pcm[:, 1]).leaks == (None, None)


@pytest.mark.parametrize("n_samples", [17000, 19000])
def test_two_voices_of_a_second_are_not_one_signal(n_samples: int) -> None:
    sides = []
    for name in ("old_friends", "weekend_trip"):
        voice = example(name)[16000 : 16000 + n_samples, 0]
        at_one_level = 0.1 * voice / np.sqrt(np.square(voice).mean())
        sides.append(to_pcm(at_one_level))
    assert not separate_sides(*sides).is_one_signal
