"""Prosody: known signals give their known loudness, pitch and rate, and what has no pitch has none."""

import math
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.prosody import MIN_VOICED, compiled_folder, measure_prosody

RATE = 16000


def voiced(f0: float, seconds: float, level: float = 0.1) -> np.ndarray:
    """A harmonic complex with a falling spectrum, as voices have."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * f0 * k * t) / k for k in range(1, 20) if f0 * k < RATE / 2)
    return (level * tone / np.abs(tone).max()).astype(np.float32)


def test_rms_of_a_sine_is_its_amplitude_over_root_two() -> None:
    sine = (0.3 * np.sin(2 * np.pi * 250 * np.arange(RATE) / RATE)).astype(np.float32)
    measured = measure_prosody(sine, 3, 1.0)
    assert measured["rms"] == pytest.approx(0.3 / math.sqrt(2), rel=1e-3)
    assert measured["zcr"] == pytest.approx(2 * 250 / RATE, rel=0.03)


@pytest.mark.parametrize("f0", [75, 110, 205, 330, 470])
def test_pitch_of_a_voiced_tone_is_found(f0: float) -> None:
    measured = measure_prosody(voiced(f0, 0.6), 1, 0.6)
    assert measured["f0_mean"] == pytest.approx(f0, rel=0.02)
    assert measured["f0_std"] < 0.02 * f0
    assert measured["voiced_fraction"] > 0.9


def test_a_moving_pitch_has_a_spread() -> None:
    t = np.arange(RATE) / RATE
    phase = 2 * np.pi * np.cumsum(150 + 40 * np.sin(2 * np.pi * 2 * t)) / RATE
    glide = (0.1 * sum(np.sin(k * phase) / k for k in range(1, 10))).astype(np.float32)
    measured = measure_prosody(glide, 1, 1.0)
    assert measured["f0_mean"] == pytest.approx(150, rel=0.03)
    assert measured["f0_std"] == pytest.approx(40 / math.sqrt(2), rel=0.15)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    for signal in (noise, np.zeros(RATE, np.float32)):
        measured = measure_prosody(signal, 1, 1.0)
        assert math.isnan(measured["f0_mean"])
        assert math.isnan(measured["f0_std"])
        assert measured["voiced_fraction"] < 0.1
    assert measure_prosody(noise, 1, 1.0)["zcr"] == pytest.approx(0.5, abs=0.02)


def test_too_few_voiced_frames_give_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, RATE).astype(np.float32)
    for seconds, known in ((0.02, False), (0.4, True)):
        signal = noise.copy()
        signal[:8000] = 0
        tone = voiced(200, seconds, 0.5)
        signal[2000 : 2000 + len(tone)] += tone
        measured = measure_prosody(signal, 1, 1.0)
        assert math.isfinite(measured["f0_mean"]) is known
        n_frames = 1 + RATE // 256
        assert (measured["voiced_fraction"] * n_frames >= MIN_VOICED - 0.5) is known


@pytest.mark.parametrize("n_samples", [1, 100, 1023, 1024, 1500, 2047])
def test_very_short_input_is_measured(n_samples: int) -> None:
    measured = measure_prosody(voiced(200, 1.0)[:n_samples], 1, 0.05)
    assert 0 <= measured["rms"] < 0.1
    assert 0 <= measured["voiced_fraction"] <= 1


def test_no_samples_have_a_rate_and_nothing_else() -> None:
    measured = measure_prosody(np.zeros(0, np.float32), 2, 0.5)
    assert measured.pop("speech_rate") == 4.0
    assert len(measured) == 5
    assert all(math.isnan(value) for value in measured.values())
    assert math.isnan(measure_prosody(np.zeros(0, np.float32), 0, 0.0)["speech_rate"])


TRACK = (
    "import numpy as np; from dailytalk_contiguous.core.prosody import track_pitch;"
    "track_pitch(np.zeros(4096, np.float32)); import numba; print(numba.config.CACHE_DIR)"
)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An empty temporary folder, and no folder chosen."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return monkeypatch


def test_numba_keeps_what_it_compiles_in_our_folder_with_the_lock() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    told = subprocess.run(
        [sys.executable, "-c", TRACK], env=environment, capture_output=True, text=True, check=True
    )
    folder = Path(told.stdout.strip())
    assert folder.parent == Path(tempfile.gettempdir())
    assert list(folder.rglob("*.nbc"))
    assert (folder / "dailytalk.lock").exists()


@pytest.mark.usefixtures("alone")
def test_compiled_code_is_kept_for_this_host_and_user_alone() -> None:
    folder = compiled_folder()
    assert platform.node() in folder.name
    if hasattr(os, "getuid"):
        assert folder.name.endswith(f"-{os.getuid()}")
        assert folder.stat().st_mode & 0o077 == 0
    assert compiled_folder() == folder


def test_a_folder_that_the_user_chose_is_taken_or_refused_in_words(
    alone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert compiled_folder() == tmp_path / "mine"
    (tmp_path / "file").touch()
    alone.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DailytalkError, match=r"can't be kept in '.*file': set NUMBA_CACHE_DIR"):
        compiled_folder()


@pytest.mark.usefixtures("alone")
@pytest.mark.needs("root")
def test_a_folder_that_another_user_has_laid_there_is_refused() -> None:
    os.chown(compiled_folder(), 12345, -1)
    with pytest.raises(DailytalkError, match="another user's"):
        compiled_folder()


def test_prosody_is_measured_as_in_the_version_before() -> None:
    tone = np.concatenate([voiced(140, 0.3), np.zeros(2000, np.float32), voiced(190, 0.25, 0.03)])
    measured = measure_prosody(tone, 3, 0.55)
    assert [*measured.values()] == pytest.approx(
        [0.02874862, 0.01621676, 162.4408, 25.35053, 0.9767442, 5.454545], rel=1e-4
    )
