"""Quality in figures: known ratios, clipping and bandwidths are found; failures name figure and limit."""

import math
from typing import Any

import numpy as np
import pytest
import soxr
from audio_files import Samples, room_tone
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.records.clip_records import QUALITY_MEASURES
from dailytalk_contiguous.core.sound.quality import (
    QualityLimits,
    SideMeter,
    bandwidth_hz,
    clipping_ratio,
    failures,
    measure_quality,
    snr_db,
)
from dailytalk_contiguous.core.sound.samples import to_pcm

RATE = 24000
GOOD = {
    "duration": 2.5,
    "snr_db": 30.0,
    "clipping_ratio": 0.0,
    "bandwidth_hz": 11000.0,
    "speech_ratio": 0.9,
    "silence_seconds": 0.2,
    "peak_dbfs": -3.0,
    "loudness_lufs": -20.0,
    "dc_offset": 0.0,
}


def voice(seconds: float, rate: int = RATE, peak: float = 0.5, seed: int = 0) -> Samples:
    """Syllables of a buzz whose pitch wanders, as a voice's does, with a hiss of fricatives in every fourth."""
    draw = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    wander = np.sin(2 * np.pi * 0.7 * t + seed)
    tremor = np.sin(2 * np.pi * 3.1 * t)
    pitch = 140 + 40 * wander + 10 * tremor
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    buzz = np.zeros(len(t))
    for k in range(1, 30):
        buzz += np.sin(k * phase + k * k) / k**1.5
    syllables = 0.05 + np.sin(np.pi * 4 * t) ** 2
    fricatives = np.sin(np.pi * t) ** 8
    hiss = 0.03 * draw.standard_normal(len(t)) * fricatives
    sound = buzz * syllables + hiss
    loudest = np.abs(sound).max()
    return np.asarray(peak * sound / loudest, np.float32)


def as_stored(samples: Samples) -> Samples:
    """Samples as a file of 16 bits has them."""
    return to_pcm(samples).astype(np.float32) / 32768


def coloured(count: int, brown: bool, seed: int) -> Samples:
    """White noise, or noise that falls with frequency as that of a room does; RMS 1."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(count)
    if brown:
        spectrum = np.fft.rfft(noise)
        frequencies = np.fft.rfftfreq(count, 1 / RATE)
        spectrum /= np.maximum(frequencies, 60.0)
        noise = np.fft.irfft(spectrum, count)
    power = np.mean(noise**2)
    scaled = noise / np.sqrt(power)
    return scaled.astype(np.float32)


@settings(max_examples=10)
@given(
    st.floats(5, 40),
    st.booleans(),
    st.floats(0.25, 1.5),
    st.floats(1, 6),
    st.floats(-0.2, 0.2),
    st.integers(0, 99),
)
def test_snr_is_found_within_three_decibels(
    wanted_db: float, brown: bool, edge: float, seconds: float, offset: float, seed: int
) -> None:
    spoken = voice(seconds, seed=seed)
    quiet = np.zeros(round(edge * RATE), np.float32)
    clean = np.concatenate((quiet, spoken, quiet))
    power = float(np.mean(spoken**2))
    rms = math.sqrt(power)
    noise = coloured(len(clean), brown, seed)
    level = rms * 10 ** (-wanted_db / 20)
    noisy = clean + level * noise + np.float32(offset)
    spans = [(edge, edge + seconds)]
    measured_db = snr_db(noisy, RATE, spans, spans)
    assert measured_db == pytest.approx(wanted_db, abs=3)


def test_a_gated_clip_and_one_without_speech_have_no_ratio() -> None:
    second = np.zeros(RATE, np.float32)
    empty = np.zeros(0, np.float32)
    gated = np.concatenate((second, voice(1.0), second))
    spoken = [(1, 2)]
    silent = room_tone(RATE, -40)
    assert snr_db(gated, RATE, spoken, spoken) is None
    assert snr_db(silent, RATE, [], []) is None
    assert snr_db(empty, RATE, [], []) is None


@settings(max_examples=10)
@given(st.floats(0.002, 0.1), st.floats(0.3, 1), st.booleans(), st.integers(0, 99))
def test_clipping_is_found_at_full_scale_and_after_it_was_turned_down(
    share: float, gain: float, one_sided: bool, seed: int
) -> None:
    spoken = voice(2.0, seed=seed)
    top = np.quantile(np.abs(spoken), 1 - share).item()
    if one_sided:
        is_clipped = spoken >= top
        clipped = np.clip(spoken, -1.0, top) / top
        clipped /= np.abs(clipped).max()
    else:
        is_clipped = np.abs(spoken) >= top
        clipped = np.clip(spoken, -top, top) / top
        clipped = np.clip(clipped, -1, 1)
    truth = float(np.mean(is_clipped))
    turned_down = clipped.astype(np.float32) * np.float32(gain)
    stored = as_stored(turned_down)
    ratio = clipping_ratio(stored)
    assert ratio == pytest.approx(truth, rel=0.5, abs=0.002)
    inverted = clipping_ratio(-stored)
    assert inverted == pytest.approx(ratio, rel=0.02, abs=1e-4)


@settings(max_examples=10)
@given(st.floats(0.0001, 1), st.sampled_from([8000, 16000, 24000, 48000]), st.integers(0, 99))
def test_speech_that_just_reaches_its_peak_is_not_clipped(peak: float, rate: int, seed: int) -> None:
    sound = voice(2.0, rate, peak, seed)
    stored = as_stored(sound)
    assert clipping_ratio(stored) == 0


@pytest.mark.parametrize("rate", [16000, 44100])
def test_telephone_speech_is_found_at_any_rate(rate: int) -> None:
    narrow = voice(2.0, 8000) + room_tone(16000, -60)
    stored = as_stored(soxr.resample(narrow, 8000, rate))
    bandwidth = bandwidth_hz(stored, rate)
    assert bandwidth is not None
    assert 3400 <= bandwidth <= 4200
    narrow_clip = GOOD | {"bandwidth_hz": bandwidth}
    (failure,) = failures(narrow_clip, QualityLimits())
    assert failure == f"its bandwidth is {bandwidth / 1000:.1f} kHz (at least 6.5 kHz)"


@pytest.mark.parametrize("count", [0, 1, 100, RATE])
def test_silence_of_any_length_has_no_measures_and_is_not_held_against_them(count: int) -> None:
    silence = np.zeros(count, np.float32)
    measures = measure_quality(silence, RATE, [], [])
    assert list(measures) == list(QUALITY_MEASURES)
    undefined = {name for name, value in measures.items() if value is None}
    assert undefined >= {"snr_db", "bandwidth_hz", "silence_seconds", "peak_dbfs", "loudness_lufs"}
    clip = measures | {"duration": 1.0}
    assert failures(clip, QualityLimits()) == ["0% of it is speech (at least 40%)"]


def metered(samples: Samples, rate: int, block: int) -> dict[str, Any]:
    """The measures of a side with speech in `SPOKEN` that is read in blocks of so many samples."""
    meter = SideMeter(rate, len(samples) / rate)
    for start in range(0, len(samples), block):
        meter.push(samples[start : start + block])
    return meter.measures(SPOKEN, SPOKEN)


SPOKEN = [(1.0, 3.0), (4.5, 6.5)]


def side_of_a_call(rate: int = RATE, offset: float = 0.0) -> Samples:
    """Eight seconds of room tone with speech in `SPOKEN`."""
    samples = room_tone(8 * rate, -60.0) + np.float32(offset)
    for seed, (start, end) in enumerate(SPOKEN):
        first = round(start * rate)
        last = round(end * rate)
        samples[first:last] += voice(end - start, rate, 0.4, seed)
    return samples


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("block", [997, 50_000])
def test_measures_of_a_side_are_those_of_the_whole_sound_in_blocks_of_any_size(rate: int, block: int) -> None:
    samples = side_of_a_call(rate, 0.01)
    measured = metered(samples, rate, block)
    whole = metered(samples, rate, len(samples))
    assert measured == pytest.approx(whole, rel=1e-3, abs=1e-6)
    ratio = snr_db(samples, rate, SPOKEN, SPOKEN)
    bandwidth = bandwidth_hz(samples, rate)
    assert measured["snr_db"] == pytest.approx(ratio, abs=0.1)
    assert measured["bandwidth_hz"] == pytest.approx(bandwidth, abs=rate / 100)
    assert measured["speech_seconds"] == 4.0
