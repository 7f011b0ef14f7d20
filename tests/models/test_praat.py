"""Pitch and pace: they move by what is asked for, and the voice stays the same, bit for bit, every time."""

import importlib.metadata
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soxr
from audio_files import EXAMPLES
from vowels import OPEN, RATE, formants_of, vowel

from dailytalk_contiguous.core.audio import read_at
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.pitch import track_pitch
from dailytalk_contiguous.models.voice_effects import SHORTEST, praat_version, shift_pitch, stretch

MID = ((500.0, 70.0), (1700.0, 90.0), (2500.0, 120.0), (3500.0, 150.0))
CLOSE = ((300.0, 60.0), (2200.0, 100.0), (2900.0, 130.0), (3600.0, 160.0))


def semitones_between(before: np.ndarray, after: np.ndarray) -> float:
    """By how much pitch moved, over the moments at which both have one."""
    (low, _), (high, _) = (track_pitch(soxr.resample(samples, RATE, 16000)) for samples in (before, after))
    return float(np.nanmedian(12 * np.log2(high / low)))


@pytest.mark.parametrize("formants", [OPEN, MID])
@pytest.mark.parametrize("semitones", [-2.0, -0.7, 1.3, 2.0])
def test_formants_stay_where_pitch_moves(semitones: float, formants: tuple[tuple[float, float], ...]) -> None:
    before = vowel(110, 2.0, formants)
    after = shift_pitch(before, RATE, semitones, seed=1)
    assert semitones_between(before, after) == pytest.approx(semitones, abs=0.15)
    assert np.abs(formants_of(after) / formants_of(before) - 1).max() < 0.03
    assert after.shape == before.shape


def test_the_low_formant_of_a_close_vowel_moves_by_a_third_of_its_width_at_most() -> None:
    before = vowel(110, 2.0, CLOSE)
    for semitones in (-2.0, -0.7, 1.3, 2.0):
        moved = formants_of(shift_pitch(before, RATE, semitones, seed=1)) - formants_of(before)
        assert abs(moved[0]) < 20  # Hz, a third of the formant's own width
        assert np.abs(moved[1:] / formants_of(before)[1:]).max() < 0.03


def test_a_shift_of_the_whole_spectrum_would_be_seen() -> None:
    before = vowel(110)
    played_faster = soxr.resample(before, RATE, RATE / 2 ** (2 / 12)).astype(np.float32)
    assert np.abs(formants_of(played_faster) / formants_of(before) - 1).min() > 0.08


@pytest.mark.parametrize("factor", [0.9, 0.97, 1.03337, 1.1])
def test_a_stretched_voice_keeps_pitch_and_formants_and_is_as_long_as_said(factor: float) -> None:
    before = vowel(110)[:-7]
    after = stretch(before, RATE, factor, seed=1)
    assert len(after) == round(len(before) * factor)
    low, high = (track_pitch(soxr.resample(samples, RATE, 16000))[0] for samples in (before, after))
    assert np.nanmedian(high) == pytest.approx(np.nanmedian(low), rel=0.02)
    assert np.abs(formants_of(after) / formants_of(before) - 1).max() < 0.03


def test_an_octave_and_twice_the_length_are_shifts_like_any_other() -> None:
    before = vowel(110)
    assert semitones_between(before, shift_pitch(before, RATE, 12.0, seed=1)) == pytest.approx(12.0, abs=0.15)
    assert len(stretch(before, RATE, 2.0, seed=1)) == 2 * len(before)


def test_what_was_at_a_time_is_at_that_time_stretched() -> None:
    gap = np.zeros(RATE // 2, np.float32)
    sound = np.concatenate([gap, vowel(120, 0.5), gap, vowel(140, 0.5), gap])
    loud = np.abs(stretch(sound, RATE, 1.1, seed=3)) > 0.03
    inside = np.convolve(loud, np.ones(600), "same") > 0  # half a period of silence is no pause
    begins = np.flatnonzero(np.diff(inside.astype(int)) == 1) / RATE
    assert begins == pytest.approx([0.5 * 1.1, 1.5 * 1.1], abs=0.02)


def test_the_same_seed_gives_the_same_bits_in_any_thread_and_order() -> None:
    speech = read_at({"bytes": None, "path": str(EXAMPLES / "bicycle_repair.flac")}, RATE, 1.0, 4.0)[:, 0]
    wanted = [stretch(speech, RATE, 0.93, seed).tobytes() for seed in range(4)]
    assert len(set(wanted)) > 1  # Praat does throw dice
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda seed: stretch(speech, RATE, 0.93, seed).tobytes(), [3, 1, 0, 2]))
    assert again == [wanted[seed] for seed in (3, 1, 0, 2)]


def test_tenth_of_a_second_is_long_enough_and_a_sample_less_is_not() -> None:
    least = vowel(seconds=0.5)[: RATE // 10]
    assert shift_pitch(least, RATE, 1.0, seed=0).shape == least.shape
    with pytest.raises(BadInput) as caught:
        shift_pitch(least[:-1], RATE, 1.0, seed=0)
    assert caught.value.remedy == "leave out clips of less than 0.1 s"


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_seed_of_any_size_counts_by_its_last_31_bits(seed: int) -> None:
    speech = read_at({"bytes": None, "path": str(EXAMPLES / "bicycle_repair.flac")}, RATE, 1.0, 2.0)[:, 0]
    wanted = stretch(speech, RATE, 0.93, seed).tobytes()
    assert stretch(speech, RATE, 0.93, seed + 2**31).tobytes() == wanted
    assert stretch(speech, RATE, 0.93, seed + 2**40).tobytes() == wanted


def test_what_is_too_short_is_refused() -> None:
    with pytest.raises(BadInput, match="too short"):
        shift_pitch(vowel(seconds=SHORTEST / 2), RATE, 1.0, seed=0)


def test_silence_stays_silent() -> None:
    assert not shift_pitch(np.zeros(RATE, np.float32), RATE, 1.0, seed=0).any()


@pytest.mark.parametrize("more", [-3, -2, 2, 3])
def test_two_samples_more_or_less_are_mended_and_three_are_a_fault(
    more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import parselmouth

    before, call = vowel(seconds=0.5), parselmouth.praat.call

    def other_length(*given: Any) -> Any:
        made = call(*given)
        if given[1] != "Get resynthesis (overlap-add)":
            return made
        values = np.resize(made.values[0], len(before) + more)
        return SimpleNamespace(values=values[None])

    monkeypatch.setattr(parselmouth.praat, "call", other_length)
    if abs(more) == 3:
        with pytest.raises(ValueError, match=f"Praat made {len(before) + more} samples instead of {len(before)}"):
            shift_pitch(before, RATE, 1.0, seed=0)
    else:
        assert shift_pitch(before, RATE, 1.0, seed=0).shape == before.shape


def test_a_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(DailytalkError, match=r"\[augment\]"):
        praat_version()
