import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from emotional_voices import drawn_voices

from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.style.emotions import SIX
from dailytalk_contiguous.models.linear_emotion import BUNDLED_WEIGHTS, bundled_voice

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data"
#: What clips of the Berlin database are, by the letter in their names.
BERLIN = {"W": "angry", "E": "disgusted", "A": "fearful", "F": "happy", "N": "neutral", "T": "sad"}


def read(path: Path) -> Samples:
    samples, _ = soundfile.read(path, dtype="float32")
    return samples


def rated(sounds: list[Samples], speakers: list[str] | None = None) -> np.ndarray:
    voice = bundled_voice()
    guesses = voice.classify(sounds, speakers)
    return voice.affect_of([guess.probabilities for guess in guesses])


@pytest.mark.needs("the Berlin clips")
def test_speakers_are_told_apart_from_their_own_usual_at_any_level() -> None:
    clips = sorted((DATA / "emodb").glob("0[39]*"))
    paths = [path for path in clips if path.stem[5] in BERLIN]
    sounds = [read(path) for path in paths]
    speakers = [path.stem[:2] for path in paths]
    labels = np.array([BERLIN[path.stem[5]] for path in paths])
    gains = np.geomspace(0.05, 1.0, len(sounds))
    scaled = [np.float32(gain) * sound for gain, sound in zip(gains, sounds, strict=True)]
    affect = rated(scaled, speakers)
    np.testing.assert_allclose(affect, rated(sounds, speakers), atol=0.02)
    medians = {label: np.median(affect[labels == label], axis=0) for label in set(labels)}
    valence = {label: median[0] for label, median in medians.items()}
    arousal = {label: median[1] for label, median in medians.items()}
    dominance = {label: median[2] for label, median in medians.items()}
    for label in ("angry", "fearful", "happy"):
        assert arousal[label] > 0.45
    for label in ("neutral", "sad"):
        assert arousal[label] < 0.4
    assert valence["happy"] > valence["angry"] + 0.1
    assert dominance["angry"] > dominance["fearful"] + 0.1


def test_a_manner_that_is_never_left_is_the_speakers_usual() -> None:
    sounds, _, _ = drawn_voices(1, 1)
    for sound in sounds:
        affect = rated([sound] * 10, ["the speaker"] * 10)
        np.testing.assert_allclose(affect, 0.5, atol=0.12)


def test_talk_that_varies_little_is_near_its_usual() -> None:
    voice = bundled_voice()
    weights = voice.weights()
    spread = weights["spread_relative"]
    rng = np.random.default_rng(0)
    own_usual = weights["usual"] + 2 * spread * rng.normal(size=len(spread))
    measured = own_usual + 0.3 * spread * rng.normal(size=(40, len(spread)))
    guesses = voice.of_measures(measured, ["the speaker"] * 40)
    affect = voice.affect_of([guess.probabilities for guess in guesses])
    np.testing.assert_allclose(affect, 0.5, atol=0.12)


def answers_of(sounds: list[Samples], speakers: list[str] | None) -> list[int]:
    return [int(guess.probabilities.argmax()) for guess in bundled_voice().classify(sounds, speakers)]


@pytest.mark.needs("the Berlin clips")
@pytest.mark.parametrize("decibels", [-24, 12])
def test_a_gain_over_all_that_a_speaker_says_changes_no_answer_and_silence_around_it_few(decibels: float) -> None:
    paths = sorted((DATA / "emodb").glob("0[38]*"))
    sounds = [read(path) for path in paths]
    speakers = [path.stem[:2] for path in paths]
    louder = [np.float32(10 ** (decibels / 20)) * sound for sound in sounds]
    silence = np.zeros(8000, np.float32)
    surrounded = [np.concatenate((silence, sound, silence)) for sound in louder]
    for company in (None, speakers):
        answers = answers_of(sounds, company)
        assert answers_of(louder, company) == answers
        assert np.mean(np.array(answers_of(surrounded, company)) == answers) >= 0.96


@pytest.mark.needs("the shouted lines", "the readers")
def test_shouted_english_is_more_aroused_than_reading_without_any_company() -> None:
    shouted_sounds = [read(path) for path in sorted((DATA / "shouted").glob("*.flac"))]
    read_sounds = []
    for folder in sorted((DATA / "readers").iterdir()):
        first = next(folder.glob("*.flac"))
        read_sounds.append(read(first)[:64000])
    shouted = rated(shouted_sounds)[:, 1]
    reading = rated(read_sounds)[:, 1]
    assert np.median(shouted) > np.quantile(reading, 0.75)


def test_silence_has_no_affect() -> None:
    silence = np.zeros(16000, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    of_silence, of_noise = rated([silence, noise.astype(np.float32)])
    assert np.isnan(of_silence).all()
    assert (of_noise >= 0).all()
    assert (of_noise <= 1).all()
    assert bundled_voice().classes == SIX


@pytest.mark.nightly
@pytest.mark.needs("the Berlin clips")
def test_the_weights_can_be_made_again_to_the_byte(tmp_path: Path) -> None:
    script = ROOT / "benchmarks/voice_linear.py"
    made = tmp_path / "again"
    command = [sys.executable, script, DATA / "emodb", "--out", made]
    subprocess.run(command, check=True, cwd=ROOT)
    assert made.read_bytes() == BUNDLED_WEIGHTS.read_bytes()
