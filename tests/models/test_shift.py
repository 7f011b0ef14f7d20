"""`--tts shift`: another timbre, and everything else as it was recorded, sample for sample in time."""

import numpy as np
import pytest
from audio_files import Samples
from numpy.typing import NDArray
from recordings import excerpt
from scipy import signal

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.contracts import Line, VoiceConverter, VoiceSettings
from dailytalk_contiguous.models.engines import convert_side, load_converter

RATES = (8000, 11025, 16000, 24000, 48000)


def shift(voice: str = "0.8") -> VoiceConverter:
    return load_converter("shift", VoiceSettings("", voice))


def through_resonance(excitation: NDArray[np.floating], rate: int, resonance: float = 700.0) -> Samples:
    """An excitation through one resonance in Hz."""
    pole = 0.5 ** (400.0 / rate) * np.exp(2j * np.pi * resonance / rate)
    feedback = np.poly([pole, pole.conjugate()]).real
    sound = signal.lfilter([1.0], feedback, excitation)
    peak = np.abs(sound).max()
    return np.asarray(0.5 * sound / peak, np.float32)


def vowel(rate: int, seconds: float, pitch: float = 125.0, begins: float = 0.0) -> Samples:
    """A buzz of a pitch in Hz that begins at a second, before which there is digital silence."""
    pulses = np.zeros(round(seconds * rate))
    first = round(begins * rate)
    period = round(rate / pitch)
    pulses[first::period] = 1.0
    return through_resonance(pulses, rate)


def peak_hz(sound: NDArray[np.floating], rate: int, low: float, high: float) -> float:
    """Where a smoothed spectrum is highest."""
    hertz, power = signal.welch(sound, rate, nperseg=round(0.02 * rate))
    within = (hertz >= low) & (hertz <= high)
    highest = np.argmax(power[within])
    return float(hertz[within][highest])


def levels_db(sound: NDArray[np.floating], rate: int, seconds: float = 0.1) -> NDArray[np.floating]:
    size = round(seconds * rate)
    n_frames = len(sound) // size
    samples = np.asarray(sound, np.float64)[: n_frames * size]
    powers = np.mean(samples.reshape(n_frames, size) ** 2, axis=1)
    return 10 * np.log10(powers + 1e-10)


def onset(sound: Samples) -> int:
    """The first sample over a tenth of the loudest."""
    levels = np.abs(sound)
    loud = np.flatnonzero(levels > 0.1 * levels.max())
    return int(loud[0])


@pytest.mark.parametrize("rate", RATES)
def test_every_onset_stays_where_it_was_within_a_millisecond(rate: int) -> None:
    sound = vowel(rate, 1.0, begins=0.4321)
    converted = shift().convert(sound, rate, "ann")
    assert converted.shape == sound.shape
    assert converted.dtype == np.float32
    assert abs(onset(converted) - onset(sound)) <= 0.001 * rate


@pytest.mark.parametrize("rate", RATES)
def test_a_resonance_moves_to_the_same_frequency_at_every_rate(rate: int) -> None:
    noise = np.random.default_rng(0).standard_normal(4 * rate)
    whisper = through_resonance(noise, rate)
    converted = shift("0.8").convert(whisper, rate, "ann")
    hz_of_a_radian = 16000 / (2 * np.pi)
    expected = (700 / hz_of_a_radian) ** 0.8 * hz_of_a_radian
    assert expected == pytest.approx(906, abs=1)
    assert peak_hz(whisper, rate, 300, 2000) == pytest.approx(700, abs=60)
    assert peak_hz(converted, rate, 300, 2000) == pytest.approx(expected, abs=60)


@pytest.mark.parametrize("rate", RATES)
def test_the_pitch_stays(rate: int) -> None:
    sound = vowel(rate, 2.0)
    period = round(rate / 125)
    converted = shift().convert(sound, rate, "ann")
    lags = np.arange(round(0.7 * period), round(1.3 * period))
    for samples in (sound, converted):
        alike = [float(samples[:-lag] @ samples[lag:]) for lag in lags]
        most_alike = int(lags[np.argmax(alike)])
        assert abs(most_alike - period) <= 1


@pytest.mark.parametrize("rate", RATES)
def test_silence_stays_silence(rate: int) -> None:
    silence = np.zeros(rate, np.float32)
    converter = shift()
    assert not converter.convert(silence, rate, "ann").any()
    for n_samples in (0, 7):
        converted = converter.convert(silence[:n_samples], rate, "ann")
        assert converted.shape == (n_samples,)


def test_speech_is_as_loud_as_it_was_at_every_moment() -> None:
    speech = excerpt()[:, 0]
    converted = shift().convert(speech, 16000, "ann")
    before = levels_db(speech, 16000)
    after = levels_db(converted, 16000)
    changes = np.abs(after - before)
    assert changes[before > -50].max() < 2.5
    assert np.abs(converted - speech).max() > 0.1


def test_what_lies_above_6_khz_stays_as_it_is() -> None:
    high_pass = signal.butter(8, 7000, "high", fs=48000, output="sos")
    noise = np.random.default_rng(0).standard_normal(48000)
    hiss = np.asarray(0.1 * signal.sosfilt(high_pass, noise), np.float32)
    side = excerpt(seconds=1.0)[:, 1]
    speech = signal.resample_poly(side, 3, 1).astype(np.float32)
    sound = speech + hiss
    converted = shift().convert(sound, 48000, "ann")
    high_change = signal.sosfilt(high_pass, converted - sound)
    high_hiss = signal.sosfilt(high_pass, hiss)
    assert np.std(high_change) < 0.02 * np.std(high_hiss)


def test_a_speaker_has_one_voice_and_two_speakers_have_two() -> None:
    speech = excerpt()[:, 0]
    drawn = shift("")
    voices = {drawn.voice_of(f"speaker {number}") for number in range(30)}
    assert len(voices) > 15
    assert all(0.5 < float(voice) < 1.0 for voice in voices)
    ann = drawn.convert(speech, 16000, "ann")
    again = load_converter("shift", VoiceSettings("", ""))
    np.testing.assert_array_equal(ann, again.convert(speech, 16000, "ann"))
    voice_of_ann = drawn.voice_of("ann")
    other = next(name for name in ("bob", "cid", "dan") if drawn.voice_of(name) != voice_of_ann)
    assert not np.array_equal(ann, drawn.convert(speech, 16000, other))


def test_a_voice_fixes_the_coefficient_of_everybody_and_1_changes_nothing() -> None:
    speech = excerpt()[:, 0]
    fixed = shift("0.8")
    assert fixed.voice_of("ann") == "0.8"
    assert fixed.voice_of("bob") == "0.8"
    ann = fixed.convert(speech, 16000, "ann")
    bob = fixed.convert(speech, 16000, "bob")
    np.testing.assert_array_equal(ann, bob)
    unchanged = shift("1").convert(speech, 16000, "ann")
    np.testing.assert_allclose(unchanged, speech, atol=1e-6)


@pytest.mark.parametrize("voice", ["nonsense", "0", "-1", "nan", "2"])
def test_a_voice_that_is_no_coefficient_is_refused_in_a_sentence(voice: str) -> None:
    with pytest.raises(DailytalkError, match=r"coefficient from 0\.5 to 1\.5"):
        shift(voice)


def test_it_says_no_text() -> None:
    with pytest.raises(DailytalkError, match="converts recorded sound"):
        shift().speak(Line("Hello.", "", "en", 0))


def test_a_part_of_a_side_sounds_as_it_does_in_the_whole() -> None:
    sides = [excerpt(start=start)[:, 1] for start in (0.0, 6.0, 12.0, 18.0)]
    speech = np.concatenate(sides)
    first = 9 * 16000
    whole = convert_side(shift(), speech, 16000, "ann")
    part = convert_side(shift(), speech[first:], 16000, "ann")
    # A frame begins at a multiple of 10 ms in both.
    np.testing.assert_allclose(whole[first + 160 :], part[160:], atol=1e-5)
