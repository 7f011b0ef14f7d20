"""Crosstalk: the other speaker's leaked voice is no speech of this one, and what this one says always is."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import REAL_CALLS, conversations, example, reference

from dailytalk_contiguous.core.audio import pcm_to_float, to_pcm
from dailytalk_contiguous.core.crosstalk import separate_sides
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.stages.segment import Segment

Spans = list[tuple[float, float]]


def segmented(samples: np.ndarray, **settings: Any) -> tuple[dict[str, Spans], list[str]]:
    batch = conversations(samples.astype(np.float32))
    columns = Segment(**settings)(batch)
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
