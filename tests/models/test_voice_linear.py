import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.emotions import SIX
from dailytalk_contiguous.models.linear_emotion import BUNDLED_WEIGHTS, bundled_voice

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data"
#: What clips of the Berlin database are, by the letter in their names.
BERLIN = {"W": "angry", "E": "disgusted", "A": "fearful", "F": "happy", "N": "neutral", "T": "sad"}


def read(path: Path) -> Samples:
    return soundfile.read(path, dtype="float32")[0]


def rated(sounds: list[Samples], speakers: list[str] | None = None) -> np.ndarray:
    voice = bundled_voice()
    return voice.affect_of([guess.probabilities for guess in voice.classify(sounds, speakers)])


@pytest.mark.needs("the Berlin clips")
def test_speakers_are_told_apart_from_their_own_usual_at_any_level() -> None:
    paths = [path for path in sorted((DATA / "emodb").glob("0[39]*")) if path.stem[5] in BERLIN]
    sounds = [read(path) for path in paths]
    speakers = [path.stem[:2] for path in paths]
    labels = np.array([BERLIN[path.stem[5]] for path in paths])
    gains = np.geomspace(0.05, 1.0, len(sounds))
    affect = rated([np.float32(gain) * sound for gain, sound in zip(gains, sounds, strict=True)], speakers)
    np.testing.assert_allclose(affect, rated(sounds, speakers), atol=0.02)
    valence, arousal, dominance = affect.T
    assert min(np.median(arousal[labels == name]) for name in ("angry", "fearful", "happy")) > 0.45
    assert max(np.median(arousal[labels == name]) for name in ("neutral", "sad")) < 0.4
    assert np.median(valence[labels == "happy"]) > np.median(valence[labels == "angry"]) + 0.1
    assert np.median(dominance[labels == "angry"]) > np.median(dominance[labels == "fearful"]) + 0.1


@pytest.mark.needs("the shouted lines", "the readers")
def test_shouted_english_is_more_aroused_than_reading_without_any_company() -> None:
    shouted = rated([read(path) for path in sorted((DATA / "shouted").glob("*.flac"))])[:, 1]
    reading = rated([read(next(path.glob("*.flac")))[:64000] for path in sorted((DATA / "readers").iterdir())])[
        :, 1
    ]
    assert np.median(shouted) > np.quantile(reading, 0.75)


def test_silence_has_no_affect() -> None:
    affect = rated(
        [np.zeros(16000, np.float32), np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)]
    )
    assert np.isnan(affect[0]).all()
    assert ((affect[1] >= 0) & (affect[1] <= 1)).all()
    assert bundled_voice().classes == SIX


@pytest.mark.nightly
@pytest.mark.needs("the Berlin clips")
def test_the_weights_can_be_made_again_to_the_byte(tmp_path: Path) -> None:
    script = ROOT / "benchmarks/voice_linear.py"
    subprocess.run([sys.executable, script, DATA / "emodb", "--out", tmp_path / "again"], check=True, cwd=ROOT)
    assert (tmp_path / "again").read_bytes() == BUNDLED_WEIGHTS.read_bytes()
