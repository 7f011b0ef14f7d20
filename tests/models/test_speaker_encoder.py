"""Vectors of voices: those of the package that the weights are of, from the weights alone."""

from pathlib import Path

import librosa
import numpy as np
import pytest
from audio_files import Samples, example

from dailytalk_contiguous.models.checkpoints import RESEMBLYZER, WHEELS, WheelFile, speaker_encoder_file
from dailytalk_contiguous.models.speaker_encoder import SpeakerEncoder, load_speaker_encoder, mel_spectrum

#: The first numbers of `VoiceEncoder().embed_utterance(sound)` of Resemblyzer 0.1.4, for `line` of these sides at
#: -30 dB: the channel, the start in seconds, and the numbers.
ORIGINAL = (
    (0, 5.0, [0.0579, 0.0, 0.2012, 0.0, 0.0275, 0.0015, 0.0, 0.0235, 0.0, 0.1773, 0.1394, 0.0573]),
    (1, 9.0, [0.1769, 0.0, 0.0528, 0.0, 0.0, 0.0143, 0.0, 0.0, 0.052, 0.2136, 0.0672, 0.0113]),
)


def line(channel: int, start: float) -> Samples:
    """Four seconds of a bundled recording."""
    first = round(start * 16000)
    return example("weekend_trip")[first : first + 64000, channel]


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    path = speaker_encoder_file()
    assert path is not None
    return load_speaker_encoder(path)


@pytest.mark.needs("resemblyzer")
@pytest.mark.parametrize(("channel", "start", "numbers"), ORIGINAL)
def test_vector_is_that_of_the_original_package(
    encoder: SpeakerEncoder, channel: int, start: float, numbers: list[float]
) -> None:
    (vector,) = encoder.embed([line(channel, start)])
    assert vector.shape == (256,)
    np.testing.assert_allclose(vector[: len(numbers)], numbers, atol=1e-4)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.needs("resemblyzer")
def test_level_makes_no_difference(encoder: SpeakerEncoder) -> None:
    sound = line(0, 5.0)
    quiet, loud = encoder.embed([0.05 * sound, 2.0 * sound])
    np.testing.assert_allclose(quiet, loud, atol=1e-5)


@pytest.mark.needs("resemblyzer")
def test_sounds_of_any_length_have_vectors_of_their_own(encoder: SpeakerEncoder) -> None:
    sounds = [line(0, 5.0), line(0, 5.0)[:800], line(1, 9.0)]
    together = encoder.embed(sounds)
    alone = [encoder.embed([sound]) for sound in sounds]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)
    assert encoder.embed([]).shape == (0, 256)


def test_spectrum_is_that_of_librosa() -> None:
    sound = line(0, 5.0)
    theirs = librosa.feature.melspectrogram(y=sound, sr=16000, n_fft=400, hop_length=160, n_mels=40)
    least = 1e-6 * theirs.max()
    np.testing.assert_allclose(mel_spectrum(sound), theirs.T, rtol=1e-4, atol=least)


def test_without_the_wheel_there_is_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path))
    absent = {}
    for name in WHEELS[RESEMBLYZER]:
        absent[name] = WheelFile((("no_such_package", name),), "")
    monkeypatch.setitem(WHEELS, RESEMBLYZER, absent)
    assert speaker_encoder_file() is None
