"""Which channel a clip is: a dead one is left out, the same twice is a mean, and two that differ are refused."""

import numpy as np
import pytest
from audio_files import Samples, room_tone, tones

from dailytalk_contiguous.core.audio import one_channel
from dailytalk_contiguous.core.errors import BadInput

VOICE, OTHER = tones(1.0).T
DEAD = room_tone(len(VOICE), -75.0)


def both(left: Samples, right: Samples) -> Samples:
    return np.stack((left, right), axis=1)


def test_one_channel_is_taken_as_it_is() -> None:
    samples, taken = one_channel(VOICE[:, None])
    assert taken == "mono"
    assert np.array_equal(samples, VOICE)


@pytest.mark.parametrize("dead", [DEAD, 0 * DEAD])
def test_a_dead_channel_is_left_out(dead: Samples) -> None:
    left, right = one_channel(both(VOICE, dead)), one_channel(both(dead, VOICE))
    assert (left.taken, right.taken) == ("left", "right")
    assert np.array_equal(left.samples, VOICE)
    assert np.array_equal(right.samples, VOICE)


def test_the_same_sound_twice_is_its_mean_also_with_noise_of_two_microphones() -> None:
    samples, taken = one_channel(both(VOICE + room_tone(len(VOICE), -50), VOICE + room_tone(len(VOICE), -50, 2)))
    assert taken == "mean"
    assert np.sqrt(np.mean((samples - VOICE) ** 2)) < 10 ** (-52 / 20)


def test_the_same_sound_turned_over_does_not_cancel() -> None:
    samples, taken = one_channel(both(VOICE, -VOICE))
    assert taken == "mean-inverted"
    assert np.array_equal(samples, VOICE)


def test_two_channels_that_differ_are_refused_with_the_figure() -> None:
    with pytest.raises(BadInput, match=r"two channels differ \(correlation 0\.01"):
        one_channel(both(VOICE, OTHER + np.float32(0.01) * VOICE))


def test_silence_on_both_channels_and_no_samples_at_all_are_silence() -> None:
    assert not one_channel(np.zeros((10, 2), np.float32)).samples.any()
    assert one_channel(np.zeros((0, 2), np.float32)).samples.shape == (0,)


@pytest.mark.parametrize(("under", "taken"), [(40.1, "left"), (39.9, "mean")])
def test_channel_is_dead_forty_decibels_under_the_other(under: float, taken: str) -> None:
    samples, found = one_channel(both(VOICE, np.float32(10 ** (-under / 20)) * VOICE))
    assert found == taken
    assert np.array_equal(samples, VOICE) == (taken == "left")


@pytest.mark.parametrize(("dbfs", "taken"), [(-79.9, "mean"), (-80.1, "left")])
def test_channel_is_dead_under_minus_eighty_decibels(dbfs: float, taken: str) -> None:
    faint = (VOICE / np.sqrt(np.mean(VOICE**2)) * 10 ** (dbfs / 20)).astype(np.float32)
    assert one_channel(both(np.float32(1.01) * faint, faint)).taken == taken
    assert one_channel(both(faint, faint)).taken == taken


@pytest.mark.parametrize(
    ("correlation", "refused"), [(0.949, True), (0.951, False), (-0.951, False), (-0.949, True)]
)
def test_channels_are_the_same_from_a_correlation_of_ninety_five_hundredths(
    correlation: float, refused: bool
) -> None:
    one = room_tone(4000, -20.0, 1)
    other = room_tone(4000, -20.0, 2)
    other -= one * np.mean(one * other) / np.mean(one**2)
    other *= np.sqrt(np.mean(one**2) / np.mean(other**2))
    mixed = np.float32(correlation) * one + np.float32(np.sqrt(1 - correlation**2)) * other
    if refused:
        with pytest.raises(
            BadInput, match=rf"channels differ \(correlation {correlation:.2f}, 0\.95 is the least"
        ):
            one_channel(both(one, mixed))
    else:
        assert one_channel(both(one, mixed)).taken == ("mean" if correlation > 0 else "mean-inverted")


def test_mean_is_half_of_both() -> None:
    one, other = np.float32([1.0, 0.5, -0.25, 0.75]), np.float32([0.98, 0.52, -0.25, 0.75])
    assert np.allclose(one_channel(both(one, other)).samples, [0.99, 0.51, -0.25, 0.75])
    assert np.allclose(one_channel(both(one, -other)).samples, [0.99, 0.51, -0.25, 0.75])
    for count in (0, 3):
        with pytest.raises(BadInput, match=f"it has {count} channels, not one or two: export it with one channel"):
            one_channel(np.zeros((10, count), np.float32))
