"""Which channel a clip is: a dead one is left out, the same twice is a mean, and two that differ are refused."""

import numpy as np
import pytest
from audio_files import Samples, room_tone, tones

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sound.samples import one_channel

VOICE, OTHER = tones(1.0).T
DEAD = room_tone(len(VOICE), -75.0)


def both(left: Samples, right: Samples) -> Samples:
    return np.stack((left, right), axis=1)


@pytest.mark.parametrize("dead", [DEAD, 0 * DEAD])
def test_a_dead_channel_is_left_out(dead: Samples) -> None:
    left = one_channel(both(VOICE, dead))
    right = one_channel(both(dead, VOICE))
    assert left.channel_taken == "left"
    assert right.channel_taken == "right"
    assert np.array_equal(left.samples, VOICE)
    assert np.array_equal(right.samples, VOICE)


def test_the_same_sound_twice_is_its_mean_also_with_noise_of_two_microphones() -> None:
    left = VOICE + room_tone(len(VOICE), -50)
    right = VOICE + room_tone(len(VOICE), -50, 2)
    samples, taken = one_channel(both(left, right))
    noise = samples - VOICE
    rms = np.sqrt(np.mean(noise**2))
    assert taken == "mean"
    assert rms < 10 ** (-52 / 20)


def test_the_same_sound_turned_over_does_not_cancel() -> None:
    samples, taken = one_channel(both(VOICE, -VOICE))
    assert taken == "mean-inverted"
    assert np.array_equal(samples, VOICE)


def test_two_channels_that_differ_are_refused_with_the_figure() -> None:
    leak = np.float32(0.01) * VOICE
    samples = both(VOICE, OTHER + leak)
    with pytest.raises(BadInput, match=r"two channels differ \(correlation 0\.01"):
        one_channel(samples)


def test_silence_on_both_channels_and_no_samples_at_all_are_silence() -> None:
    silent = one_channel(np.zeros((10, 2), np.float32))
    empty = one_channel(np.zeros((0, 2), np.float32))
    assert not silent.samples.any()
    assert empty.samples.shape == (0,)
