"""Laughs and breaths between utterances: what is found, what is not, and with what it moves."""

import numpy as np
import pytest
from audio_files import room_tone

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Pcm
from dailytalk_contiguous.core.nonspeech_sounds import find_sounds, sound_blocks
from dailytalk_contiguous.core.spans import touched_frames

#: Utterances of the channel that most tests listen to, in seconds.
UTTERANCES = [(1.0, 3.0), (7.0, 8.5)]
SECONDS = 10.0
TONE = -62.0
SPEECH = -24.0


def burst(seconds: float, dbfs: float, seed: int = 3) -> np.ndarray:
    return room_tone(round(seconds * ANALYSIS_RATE), dbfs, seed)


def channel(*sounds: tuple[float, float, float], tone: float | None = TONE) -> Pcm:
    """Speech at `UTTERANCES` over room tone (None: digital zero), with bursts (start, seconds, dBFS)."""
    n_samples = round(SECONDS * ANALYSIS_RATE)
    samples = np.zeros(n_samples, np.float32) if tone is None else room_tone(n_samples, tone)
    for seed, (start, seconds, dbfs) in enumerate([(s, e - s, SPEECH) for s, e in UTTERANCES] + list(sounds)):
        first = round(start * ANALYSIS_RATE)
        one = burst(seconds, dbfs, seed)
        samples[first : first + len(one)] += one
    return np.rint(samples * 32767).astype(np.int16)


def test_a_laugh_between_utterances_is_found_where_it_is() -> None:
    found = find_sounds(channel((4.0, 0.6, -40.0), (5.5, 0.15, -45.0)), UTTERANCES)
    assert np.allclose(found, [(4.0, 4.6), (5.5, 5.65)], atol=0.011)


def test_the_syllables_of_a_laugh_are_one_sound() -> None:
    laugh = channel(*((4.0 + 0.15 * syllable, 0.07, -35.0) for syllable in range(5)))
    assert np.allclose(find_sounds(laugh, UTTERANCES), [(4.0, 4.67)], atol=0.011)


@pytest.mark.parametrize("tone", [TONE, -45.0, -85.0, None])
def test_room_tone_is_no_sound(tone: float | None) -> None:
    assert find_sounds(channel(tone=tone), UTTERANCES) == []


def test_a_breath_on_a_gated_line_is_found() -> None:
    assert np.allclose(find_sounds(channel((4.0, 0.3, -45.0), tone=None), UTTERANCES), [(4.0, 4.3)], atol=0.011)


def test_the_other_speakers_leak_is_no_sound() -> None:
    leaked = touched_frames(round(SECONDS * 100), [(4.0, 4.6)], 0.01)
    noisy = channel((4.0, 0.6, -40.0), (5.5, 0.4, -40.0))
    assert np.allclose(find_sounds(noisy, UTTERANCES, leaked), [(5.5, 5.9)], atol=0.011)


def test_sounds_never_reach_into_utterances() -> None:
    # a laugh that runs through a short utterance, and a breath that ends in one
    utterances = [(4.2, 4.25), *UTTERANCES]
    found = find_sounds(channel((4.0, 0.6, -30.0), (6.5, 0.6, -30.0)), utterances)
    assert np.allclose(found, [(4.0, 4.2), (4.25, 4.6), (6.5, 7.0)], atol=0.011)
    for start, end in found:
        assert all(end <= first or start >= last for first, last in utterances)


def test_block_of_a_sound_is_that_of_its_utterance_up_to_two_tenths_away() -> None:
    assert sound_blocks([(1.0, 2.0, 3)], [(2.19, 2.5), (2.21, 2.5), (0.5, 0.81), (0.5, 0.79)]) == (
        [3],
        [3, 4, 3, 5],
    )
    assert sound_blocks([(0.1, 0.3, 3)], [(0.5, 0.6)]) == ([3], [3])
    assert sound_blocks([(1.0, 2.0, -1), (4.0, 5.0, -1)], []) == ([0, 1], [])
    assert sound_blocks([], [(1.0, 2.0), (3.0, 4.0)]) == ([], [0, 1])
