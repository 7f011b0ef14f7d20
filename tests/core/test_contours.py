"""Contours: what was synthesised is measured, and a part measures as the whole does."""

import math

import numpy as np
import pytest
import scipy.signal
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.models.contours import CONTOURS, SMOOTHING, ProsodicFeatureExtractor

RATE = 16000
IN_UNITS = ProsodicFeatureExtractor(output_normalize=False, smoothing_level="light", emphasize_ratio=0.9)


def vowel(f0: float, formants: tuple[float, ...], seconds: float = 0.6, snr_db: float = 30.0) -> np.ndarray:
    """Pulses through resonances, with noise."""
    rate = 48000
    samples = np.arange(round(rate * seconds))
    cycles = np.floor(samples * f0 / rate)
    pulses = np.diff(cycles, prepend=0)
    sound = scipy.signal.lfilter([1], [1, -0.98], pulses)
    centres = (*formants, 3500, 4500)
    for centre, width in zip(centres, (60, 90, 120, 150, 200), strict=False):
        radius = np.exp(-np.pi * width / rate)
        cosine = np.cos(2 * np.pi * centre / rate)
        resonance = [1, -2 * radius * cosine, radius**2]
        sound = scipy.signal.lfilter([1], resonance, sound)
    sound = soxr.resample(sound, rate, RATE)
    sound /= np.sqrt(np.mean(sound**2))
    generator = np.random.default_rng(0)
    noise = generator.normal(size=len(sound))
    noisy = sound + noise * 10 ** (-snr_db / 20)
    return (0.1 * noisy).astype(np.float32)


@pytest.mark.parametrize("f0", [80, 220])
@pytest.mark.parametrize("formants", [(280, 2300, 2950), (750, 1250, 2500), (480, 850, 2450), (500, 1500, 2500)])
def test_a_vowel_has_its_pitch_and_formants(f0: float, formants: tuple[float, ...]) -> None:
    sound = vowel(f0, formants)
    contours = IN_UNITS.extract(audio_tensor=sound)
    middle = slice(4, -4)
    pitch = contours["f0"][middle]
    first = contours["f1"][middle]
    second = contours["f2"][middle]
    is_unvoiced = np.isnan(pitch)
    assert not is_unvoiced.any()
    assert np.median(pitch) == pytest.approx(f0, rel=0.005)
    first_formant, second_formant, _ = formants
    assert np.median(first) == pytest.approx(first_formant, rel=0.2)
    assert np.median(second) == pytest.approx(second_formant, rel=0.1)


@pytest.mark.parametrize("snr_db", [5.0, 15.0, 25.0])
def test_harmonics_stand_out_of_noise_by_what_was_mixed(snr_db: float) -> None:
    noisy = vowel(150, (500, 1500, 2500), snr_db=snr_db)
    contours = IN_UNITS.extract(audio_tensor=noisy)
    snr = np.nanmedian(contours["snr"])
    power = np.nanmedian(contours["power"])
    assert snr == pytest.approx(snr_db, abs=2)
    assert power == pytest.approx(-20, abs=1)


@pytest.mark.parametrize("samples", [np.zeros(8000), np.random.default_rng(0).normal(0, 0.1, 8000), np.ones(1)])
def test_silence_noise_and_one_sample_have_no_voice(samples: np.ndarray) -> None:
    contours = IN_UNITS.extract(audio_tensor=samples)
    pitch = contours["f0"]
    is_voiced = ~np.isnan(pitch)
    assert is_voiced.mean() < 0.1
    extractor = ProsodicFeatureExtractor(smoothing_level="light")
    normalised = extractor.extract(audio_tensor=samples)
    for contour in normalised.values():
        assert (contour[~is_voiced] == 0).all()


@given(st.integers(0, 40_000), st.sampled_from([8000, 16000, 22050, 44100]), st.sampled_from(sorted(SMOOTHING)))
@settings(max_examples=10)
def test_every_hop_has_a_frame_and_normalised_contours_are_from_0_to_1(n: int, rate: int, level: str) -> None:
    extractor = ProsodicFeatureExtractor(sample_rate=rate, smoothing_level=level)
    phase = np.arange(n) * 2 * np.pi * 130 / rate
    contours = extractor.extract(audio_tensor=np.sin(phase) / 3)
    n_frames = extractor.get_frames_count(n)
    assert set(contours) == set(CONTOURS)
    for contour in contours.values():
        assert contour.shape == (n_frames,)
        assert (contour >= 0).all()
        assert (contour <= 1).all()
    n_resampled = round(n * RATE / rate)
    assert n_frames == math.ceil(n_resampled / 256)
