"""Quality in figures: known ratios, clipping and bandwidths are found; failures name figure and limit."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import soxr
from audio_files import Samples, room_tone
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.quality import (
    LEAST_SNR_DB,
    NAMES,
    QualityLimits,
    SideMeter,
    bandwidth_hz,
    clipping_ratio,
    failures,
    measure_quality,
    snr_db,
)

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
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.7 * t + seed) + 10 * np.sin(2 * np.pi * 3.1 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    loud = sum(np.sin(k * phase + k * k) / k**1.5 for k in range(1, 30)) * (0.05 + np.sin(np.pi * 4 * t) ** 2)
    loud += 0.03 * draw.standard_normal(len(t)) * (np.sin(np.pi * t) ** 8)
    return np.asarray(peak * loud / np.abs(loud).max(), np.float32)


def coloured(count: int, brown: bool, seed: int) -> Samples:
    """White noise, or noise that falls with frequency as that of a room does; RMS 1."""
    noise = np.random.default_rng(seed).standard_normal(count)
    if brown:
        spectrum = np.fft.rfft(noise)
        spectrum /= np.maximum(np.fft.rfftfreq(count, 1 / RATE), 60.0)
        noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), np.float32)


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
    said, quiet = voice(seconds, seed=seed), np.zeros(round(edge * RATE), np.float32)
    clean = np.concatenate((quiet, said, quiet))
    level = math.sqrt(float(np.mean(said**2))) * 10 ** (-wanted_db / 20)
    noisy = clean + level * coloured(len(clean), brown, seed) + np.float32(offset)
    spans = [(edge, edge + seconds)]
    assert snr_db(noisy, RATE, spans, spans) == pytest.approx(wanted_db, abs=3)


def test_snr_of_a_tight_cut_comes_from_its_softest_moments() -> None:
    said = voice(3.0) * np.repeat([1.0, 0.0, 1.0, 0.0, 1.0, 1.0], RATE // 2).astype(np.float32)
    noisy = said + room_tone(len(said), -45)
    truth = 10 * math.log10(float(np.mean(said**2))) + 45
    assert snr_db(noisy, RATE, [(0, 3)], [(0, 3)]) == pytest.approx(truth, abs=3)


def test_a_gated_clip_and_one_without_speech_have_no_ratio() -> None:
    gated = np.concatenate((np.zeros(RATE, np.float32), voice(1.0), np.zeros(RATE, np.float32)))
    assert snr_db(gated, RATE, [(1, 2)], [(1, 2)]) is None
    assert snr_db(room_tone(RATE, -40), RATE, [], []) is None
    assert snr_db(np.zeros(0, np.float32), RATE, [], []) is None


@settings(max_examples=10)
@given(st.floats(0.002, 0.1), st.floats(0.3, 1), st.booleans(), st.integers(0, 99))
def test_clipping_is_found_at_full_scale_and_after_it_was_turned_down(
    share: float, gain: float, one_sided: bool, seed: int
) -> None:
    said = voice(2.0, seed=seed)
    top = float(np.quantile(np.abs(said), 1 - share))
    clipped = np.clip(said, -1.0 if one_sided else -top, top) / top
    clipped = np.clip(clipped, -1, 1) if not one_sided else clipped / np.abs(clipped).max()
    truth = float(np.mean(np.abs(said) >= top)) if not one_sided else float(np.mean(said >= top))
    stored = to_pcm(clipped.astype(np.float32) * np.float32(gain)).astype(np.float32) / 32768
    assert clipping_ratio(stored) == pytest.approx(truth, rel=0.5, abs=0.002)
    assert clipping_ratio(-stored) == pytest.approx(clipping_ratio(stored), rel=0.02, abs=1e-4)


@settings(max_examples=10)
@given(st.floats(0.0001, 1), st.sampled_from([8000, 16000, 24000, 48000]), st.integers(0, 99))
def test_speech_that_just_reaches_its_peak_is_not_clipped(peak: float, rate: int, seed: int) -> None:
    stored = to_pcm(voice(2.0, rate, peak, seed)).astype(np.float32) / 32768
    assert clipping_ratio(stored) == 0


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
def test_telephone_speech_is_found_at_any_rate(rate: int) -> None:
    narrow = voice(2.0, 8000) + room_tone(16000, -60)
    stored = to_pcm(soxr.resample(narrow, 8000, rate)).astype(np.float32) / 32768
    found = bandwidth_hz(stored, rate)
    assert found is not None
    assert 3400 <= found <= 4200
    (failure,) = failures(GOOD | {"bandwidth_hz": found}, QualityLimits())
    assert failure == f"its bandwidth is {found / 1000:.1f} kHz (at least 6.5 kHz)"


@pytest.mark.parametrize("rate", [16000, 24000, 44100])
def test_wide_speech_is_wide_however_soft_it_is(rate: int) -> None:
    wide = voice(2.0, rate)
    for gain in (1.0, 0.01):
        found = bandwidth_hz(to_pcm(gain * wide).astype(np.float32) / 32768, rate)
        assert found is not None
        assert found > 0.9 * rate / 2


def test_ratio_and_silence_go_by_what_is_heard() -> None:
    found = measure_quality(voice(6.0), RATE, [(2.0, 3.0), (4.5, 5.0)], [(1.0, 1.5), (2.0, 3.0), (4.5, 5.0)])
    assert found["speech_ratio"] == pytest.approx(1.5 / 4.0)
    assert found["silence_seconds"] == pytest.approx(1.5)


def test_peak_offset_and_loudness_are_those_of_the_file() -> None:
    samples = voice(2.0, peak=0.25)
    samples += np.float32(0.1) - samples.mean()
    found = measure_quality(samples, RATE, [(0, 2)], [(0, 2)])
    assert found["dc_offset"] == pytest.approx(0.1, abs=1e-4)
    assert found["peak_dbfs"] == pytest.approx(20 * math.log10(np.abs(samples).max()))
    assert -40 < (found["loudness_lufs"] or 0) < -15


@pytest.mark.parametrize("count", [0, 1, 100, RATE])
def test_silence_of_any_length_has_no_measures_and_is_not_held_against_them(count: int) -> None:
    found = measure_quality(np.zeros(count, np.float32), RATE, [], [])
    assert list(found) == list(NAMES)
    undefined = {name for name, value in found.items() if value is None}
    assert undefined >= {"snr_db", "bandwidth_hz", "silence_seconds", "peak_dbfs", "loudness_lufs"}
    assert failures(found | {"duration": 1.0}, QualityLimits()) == ["0% of it is speech (at least 40%)"]


def test_every_failure_tells_the_figure_and_the_limit() -> None:
    bad = {
        "duration": 0.4,
        "snr_db": 3.21,
        "clipping_ratio": 0.031,
        "bandwidth_hz": 3900.0,
        "speech_ratio": 0.25,
        "silence_seconds": 2.0,
    }
    assert failures(bad, QualityLimits()) == [
        "it is 0.40 s long (at least 0.50 s)",
        "its signal-to-noise ratio is 3.2 dB (at least 10.0 dB)",
        "3.10% of it is clipped (at most 0.50%)",
        "its bandwidth is 3.9 kHz (at least 6.5 kHz)",
        "25% of it is speech (at least 40%)",
        "it is silent for 2.00 s inside (at most 1.50 s)",
    ]
    assert failures(GOOD | {"duration": 31.0}, QualityLimits()) == ["it is 31.00 s long (at most 30.00 s)"]


def test_a_value_at_its_limit_is_within_and_no_limit_lets_all_pass() -> None:
    limits = QualityLimits()
    at = {
        "duration": limits.shortest,
        "snr_db": limits.lowest_snr_db,
        "clipping_ratio": limits.most_clipping,
        "bandwidth_hz": limits.lowest_bandwidth_hz,
        "speech_ratio": limits.lowest_speech_ratio,
        "silence_seconds": limits.longest_silence,
    }
    assert failures(at, limits) == []
    assert failures(at | {"duration": limits.longest}, limits) == []
    none = QualityLimits(**{field.name: None for field in dataclasses.fields(QualityLimits)})
    assert failures(dict.fromkeys(at, 0.0) | {"clipping_ratio": 1.0, "silence_seconds": 99.0}, none) == []


@pytest.mark.parametrize(
    ("rate", "spans", "expected"),
    [
        (
            16000,
            [(0.3, 1.2), (1.5, 2.5)],
            (35.9011525, 4 / 44960 + 7 / 44960, 8000.0, 1.9 / 2.31, 0.3, -15.3846351, 0.00300837661),
        ),
        (24000, [(0.05, 2.75)], (18.9030542, 11 / 67440, 12000.0, 2.7 / 2.81, 0.0, -14.3513861, 0.00311134037)),
    ],
    ids=["with noise around it", "cut tight"],
)
def test_measures_are_those_of_the_version_before(
    rate: int, spans: list[tuple[float, float]], expected: tuple[float, ...]
) -> None:
    samples = 0.9 * room_tone(round(2.81 * rate), -48.0, 4) + np.float32(0.003)
    for seed, (start, end) in enumerate(spans):
        samples[round(start * rate) : round(end * rate)] += voice(end - start, rate, 0.7, seed)
    samples[5000:5004] = samples[7000:7007] = 1.0
    samples[9000:9002] = -1.0
    heard = [*spans[:-1], (spans[-1][0], spans[-1][1] + 0.11)]
    found = measure_quality(np.clip(samples, -0.999, 0.999), rate, spans, heard)
    assert found.pop("peak_dbfs") == pytest.approx(20 * math.log10(0.999), abs=1e-6)
    assert [*found.values()] == pytest.approx(expected, rel=1e-5)


def test_noise_is_measured_from_fifty_milliseconds_beside_what_is_heard() -> None:
    samples = room_tone(RATE, -60.0)
    samples[: RATE // 2] = voice(0.5)
    near = samples.copy()
    near[RATE // 2 + 1440 : RATE // 2 + 9000] *= 100.0  # 60 to 375 ms after what is heard: most of the noise
    beside = samples.copy()
    beside[RATE // 2 : RATE // 2 + 960] *= 100.0  # no more than 40 ms after it: neither speech nor noise
    spans = [(0.0, 0.5)]
    clean = snr_db(samples, RATE, spans, spans)
    assert snr_db(beside, RATE, spans, spans) == pytest.approx(clean, abs=0.02)
    assert snr_db(near, RATE, spans, spans) == pytest.approx(clean - 40, abs=3)


@pytest.mark.parametrize(("seconds", "softest"), [(0.22, False), (0.2, True)])
def test_noise_of_less_than_two_tenths_is_too_little_to_be_the_floor(seconds: float, softest: bool) -> None:
    said = room_tone(3 * RATE, -20.0)
    said[:14400] *= 0.1  # a fifth of the speech is soft: under the tenth that is softest
    samples = np.concatenate((said, room_tone(1200 + round(seconds * RATE), -60.0)))
    found = snr_db(samples, RATE, [(0.0, 3.0)], [(0.0, 3.0)])
    assert found is not None
    assert (found > 35) != softest


def test_samples_in_three_flat_tops_of_three_samples_are_clipped_and_in_fewer_are_not() -> None:
    def ratio(*tops: tuple[int, int], height: float = 0.4) -> float:
        samples = 0.3 * np.sin(np.arange(1000) / 9).astype(np.float32)
        for place, count in tops:
            samples[place : place + count] = height
        return clipping_ratio(samples) * 1000

    assert ratio((100, 3), (300, 4), (500, 5)) == pytest.approx(12)
    assert ratio((100, 3), (300, 4), (500, 2)) == 0
    assert ratio((100, 3), (300, 4)) == 0
    assert ratio((100, 3), height=1.0) == pytest.approx(3)
    assert ratio((100, 3), height=0.999) == pytest.approx(3)
    assert ratio((100, 3), height=0.998) == 0
    assert ratio((100, 2), (200, 2), (300, 2), height=1.0) == 0
    assert clipping_ratio(np.full(9, 0.0501, np.float32)) == 0  # one top
    comb = np.tile(np.float32([1, 1, 1, 0]), 9)
    assert clipping_ratio(np.float32(0.05) * comb) == pytest.approx(27 / 36)
    assert clipping_ratio(np.float32(0.0499) * comb) == 0


def metered(
    samples: Samples, rate: int = RATE, spans: list[tuple[float, float]] | None = None, block: int = RATE
) -> dict[str, Any]:
    """The measures of a side that is read in blocks, all of it speech by default."""
    meter = SideMeter(rate, len(samples) / rate)
    for start in range(0, len(samples), block):
        meter.push(samples[start : start + block])
    spans = [(0.0, len(samples) / rate)] if spans is None else spans
    return meter.measures(spans, spans)


SPOKEN = [(1.0, 3.0), (4.5, 6.5)]


def side_of_a_call(rate: int = RATE, offset: float = 0.0) -> Samples:
    """Eight seconds of room tone with speech in `SPOKEN`."""
    samples = room_tone(8 * rate, -60.0) + np.float32(offset)
    for seed, (start, end) in enumerate(SPOKEN):
        samples[round(start * rate) : round(end * rate)] += voice(end - start, rate, 0.4, seed)
    return samples


@pytest.mark.parametrize("rate", [8000, 11025, 24000, 44100])
@pytest.mark.parametrize("block", [997, 50_000])
def test_measures_of_a_side_are_those_of_the_whole_sound_in_blocks_of_any_size(rate: int, block: int) -> None:
    samples = side_of_a_call(rate, 0.01)
    found = metered(samples, rate, SPOKEN, block)
    assert found == pytest.approx(metered(samples, rate, SPOKEN, len(samples)), rel=1e-3, abs=1e-6)
    assert found["snr_db"] == pytest.approx(snr_db(samples, rate, SPOKEN, SPOKEN), abs=0.1)
    assert found["bandwidth_hz"] == pytest.approx(bandwidth_hz(samples, rate), abs=rate / 100)
    assert found["speech_seconds"] == 4.0


def test_level_of_a_side_is_that_of_its_speech_without_the_pauses_in_it() -> None:
    samples = side_of_a_call()
    level = metered(samples, spans=SPOKEN)["level_dbfs"]
    assert metered(10 ** (-12 / 20) * samples, spans=SPOKEN)["level_dbfs"] == pytest.approx(level - 12, abs=0.05)
    assert metered(samples, spans=[(0.5, 7.5)])["level_dbfs"] == pytest.approx(level, abs=0.6)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    assert metered(tone)["level_dbfs"] == pytest.approx(-9.03, abs=0.01)


def test_silent_side_has_no_measures_of_its_sound() -> None:
    unknown = dict.fromkeys(("level_dbfs", "snr_db", "bandwidth_hz", "clipping_ratio", "leak_db"))
    for samples in (np.zeros(RATE, np.float32), room_tone(RATE, -75.0), np.zeros(0, np.float32)):
        assert metered(samples, spans=[]) == {"speech_seconds": 0.0, **unknown}
    assert metered(room_tone(RATE, -40.0), spans=[]) == {"speech_seconds": 0.0, **unknown, "clipping_ratio": 0.0}


def test_clipped_side_says_what_share_of_it_is_clipped() -> None:
    found = metered(np.clip(4 * side_of_a_call(), -1, 1), spans=SPOKEN)["clipping_ratio"]
    assert found == pytest.approx(clipping_ratio(np.clip(4 * side_of_a_call(), -1, 1)))
    assert found > 0.01


def test_seconds_of_speech_that_overlap_on_one_side_are_counted_once() -> None:
    assert metered(side_of_a_call(), spans=[(4.0, 5.0), (1.0, 2.0), (1.5, 3.0)])["speech_seconds"] == 3.0


def test_what_is_heard_of_a_side_is_over_silence_and_near_its_loudest_moment() -> None:
    samples = np.zeros(10 * RATE, np.float32)
    for second, dbfs in ((1, -10.0), (3, -45.0), (5, -55.0), (7, -70.0)):
        samples[second * RATE : (second + 1) * RATE] = room_tone(RATE, dbfs)
    for gain, expected in ((1.0, [(1, 2), (3, 4)]), (0.25, [(1, 2), (3, 4)]), (0.1, [(1, 2)])):
        meter = SideMeter(RATE, 10.0)
        meter.push(gain * samples)
        assert meter.audible() == [pytest.approx(span, abs=1e-6) for span in expected]


def test_speech_that_noise_drowns_has_the_least_ratio_and_fails() -> None:
    drowned = np.concatenate((room_tone(RATE, -10), 0.01 * voice(1.0), room_tone(RATE, -10)))
    found = snr_db(drowned, RATE, [(1, 2)], [(1, 2)])
    assert found == LEAST_SNR_DB
    (failure,) = failures(GOOD | {"snr_db": found}, QualityLimits())
    assert failure == "its signal-to-noise ratio is -20.0 dB (at least 10.0 dB)"
