"""Laughs and breaths between utterances: what is found, what is not, and with what it moves."""

import numpy as np
import pytest
from audio_files import room_tone

from dailytalk_contiguous.core.sound.nonspeech_sounds import sound_blocks, sounds_outside_speech
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm
from dailytalk_contiguous.core.spans import touched_frames

Spans = list[tuple[float, float]]

#: Utterances of the channel that most tests listen to, in seconds.
UTTERANCES = [(1.0, 3.0), (7.0, 8.5)]
SECONDS = 10.0
SECONDS = 10.0
TONE = -62.0
SPEECH = -24.0


def burst(seconds: float, dbfs: float, seed: int = 3) -> np.ndarray:
    return room_tone(round(seconds * ANALYSIS_RATE), dbfs, seed)


def channel(*sounds: tuple[float, float, float], tone: float | None = TONE) -> Pcm:
    """Speech at `UTTERANCES` over room tone (None: digital zero), with bursts (start, seconds, dBFS)."""
    n_samples = round(SECONDS * ANALYSIS_RATE)
    silence = np.zeros(n_samples, np.float32)
    samples = silence if tone is None else room_tone(n_samples, tone)
    speech = [(start, end - start, SPEECH) for start, end in UTTERANCES]
    for seed, (start, seconds, dbfs) in enumerate([*speech, *sounds]):
        first = round(start * ANALYSIS_RATE)
        sound = burst(seconds, dbfs, seed)
        samples[first : first + len(sound)] += sound
    return np.rint(samples * 32767).astype(np.int16)


def assert_near(spans: Spans, expected: Spans) -> None:
    """The spans are the expected ones to a frame of 10 ms."""
    assert np.allclose(spans, expected, atol=0.011)


def test_a_laugh_between_utterances_is_found_where_it_is() -> None:
    laugh_and_breath = channel((4.0, 0.6, -40.0), (5.5, 0.15, -45.0))
    sounds = sounds_outside_speech(laugh_and_breath, UTTERANCES)
    assert_near(sounds, [(4.0, 4.6), (5.5, 5.65)])


def test_the_syllables_of_a_laugh_are_one_sound() -> None:
    syllables = []
    for number in range(5):
        start = 4.0 + 0.15 * number
        syllables.append((start, 0.07, -35.0))
    laugh = channel(*syllables)
    sounds = sounds_outside_speech(laugh, UTTERANCES)
    assert_near(sounds, [(4.0, 4.67)])


@pytest.mark.parametrize("tone", [TONE, -45.0, -85.0, None])
def test_room_tone_is_no_sound(tone: float | None) -> None:
    silent = channel(tone=tone)
    assert sounds_outside_speech(silent, UTTERANCES) == []


def test_a_breath_on_a_gated_line_is_found() -> None:
    breath = channel((4.0, 0.3, -45.0), tone=None)
    sounds = sounds_outside_speech(breath, UTTERANCES)
    assert_near(sounds, [(4.0, 4.3)])


def test_the_other_speakers_leak_is_no_sound() -> None:
    n_frames = round(SECONDS * 100)
    leaked = touched_frames(n_frames, [(4.0, 4.6)], 0.01)
    noisy = channel((4.0, 0.6, -40.0), (5.5, 0.4, -40.0))
    sounds = sounds_outside_speech(noisy, UTTERANCES, leaked)
    assert_near(sounds, [(5.5, 5.9)])


def test_sounds_never_reach_into_utterances() -> None:
    # a laugh that runs through a short utterance, and a breath that ends in one
    utterances = [(4.2, 4.25), *UTTERANCES]
    noisy = channel((4.0, 0.6, -30.0), (6.5, 0.6, -30.0))
    sounds = sounds_outside_speech(noisy, utterances)
    assert_near(sounds, [(4.0, 4.2), (4.25, 4.6), (6.5, 7.0)])
    for start, end in sounds:
        for first, last in utterances:
            assert end <= first or start >= last


@pytest.mark.parametrize(
    ("utterances", "sounds", "blocks"),
    [
        (
            [(1.0, 2.0, 3)],
            [(2.19, 2.5), (2.21, 2.5), (0.5, 0.81), (0.5, 0.79)],
            ([3], [3, 4, 3, 5]),
        ),
        ([(0.1, 0.3, 3)], [(0.5, 0.6)], ([3], [3])),
        ([(1.0, 2.0, -1), (4.0, 5.0, -1)], [], ([0, 1], [])),
        ([], [(1.0, 2.0), (3.0, 4.0)], ([], [0, 1])),
    ],
)
def test_block_of_a_sound_is_that_of_its_utterance_up_to_two_tenths_away(
    utterances: list[tuple[float, float, int]], sounds: Spans, blocks: tuple[list[int], list[int]]
) -> None:
    assert sound_blocks(utterances, sounds) == blocks
