"""Speech activity: blocks are as good as the whole, the model is Silero's, and torch keeps its threads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import silero_vad
import soundfile
import torch
from audio_files import EXAMPLES, Samples, example
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, resample_poly, sosfilt

from dailytalk_contiguous.models.speech_activity import FRAME, SpeechActivity, is_narrow, speech_probabilities

SIGNAL = example("bicycle_repair")[: 6 * 16000 + 77, 1].copy()
WHOLE = speech_probabilities(SIGNAL)
READERS = sorted((EXAMPLES.parents[2] / "shared/data/readers/2033").glob("*.flac"))


def telephone(signal: Samples) -> Samples:
    """A signal at 16 kHz as a telephone transmits it: 300 to 3,400 Hz."""
    band_pass = butter(8, [300, 3400], "bandpass", fs=16000, output="sos")
    at_8_khz = resample_poly(sosfilt(band_pass, signal), 1, 2)
    at_16_khz = resample_poly(at_8_khz, 2, 1)
    return np.asarray(at_16_khz[: len(signal)], np.float32)


NARROW = telephone(SIGNAL)
WHOLE_NARROW = speech_probabilities(NARROW)


@pytest.mark.parametrize("narrow", [False, True])
@settings(max_examples=15)
@given(sizes=st.lists(st.integers(1, 3 * FRAME) | st.just(FRAME), max_size=30))
def test_blocks_of_any_size_give_the_same_bits_as_the_whole(narrow: bool, sizes: list[int]) -> None:
    signal = NARROW if narrow else SIGNAL
    expected = WHOLE_NARROW if narrow else WHOLE
    activity = SpeechActivity(narrow)
    pieces = np.split(signal, np.cumsum(sizes))
    probabilities = [activity.push(piece) for piece in pieces]
    probabilities.append(activity.flush())
    np.testing.assert_array_equal(np.concatenate(probabilities), expected)
    assert activity.flush().shape == (0,)  # nothing remains


@pytest.mark.needs("the readers")
def test_a_voice_on_the_telephone_is_heard_as_it_is_in_full_band() -> None:
    """Silero at 16 kHz loses up to 18 % of the speech of these."""
    for path in READERS:
        wide, _ = soundfile.read(path, dtype="float32")
        narrow = telephone(wide)
        assert not is_narrow(wide)
        assert is_narrow(narrow)
        spoken = speech_probabilities(wide) >= 0.5
        heard = speech_probabilities(narrow) >= 0.5
        assert np.mean(heard[spoken]) > 0.9, path


def test_probabilities_are_those_of_silero_itself() -> None:
    threads = torch.get_num_threads()
    for name, channel in (("bicycle_repair", 1), ("weekend_trip", 0)):
        signal = example(name)[: 20 * 16000, channel].copy()
        theirs = silero_vad.load_silero_vad(sequence=True).audio_forward(signal, 16000)
        ours = speech_probabilities(signal)
        np.testing.assert_array_equal(ours, np.asarray(theirs).reshape(-1))
    torch.set_num_threads(threads)


def test_nobody_is_told_that_speech_was_looked_for(tmp_path: Path) -> None:
    """onnxruntime keeps a device id in the home folder and sends it with what it ran, unless it is told not to."""
    code = """
import numpy
from dailytalk_contiguous.models.speech_activity import speech_probabilities
speech_probabilities(numpy.zeros(16000, numpy.int16))
"""
    silencing = ("CI", "ORT_DISABLE_TELEMETRY")  # where these are set it is silent by itself
    environment = {name: value for name, value in os.environ.items() if name not in silencing}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    names = [path.name for path in tmp_path.rglob("*")]
    assert not any("onnxruntime" in name for name in names)
    assert not any("deviceid" in name for name in names)
