"""Who speaks when, from embeddings that are made for it."""

import numpy as np
import pytest

from dailytalk_contiguous.apps.mono.diarisation import (
    VoiceWindows,
    all_voices,
    fit_states,
    likeliest_states,
    nearest_voice,
    scores_of,
    second_voice,
    turns_of,
    two_voices,
)


def voice(number: int, count: int, spread: float = 0.25, seed: int = 0) -> np.ndarray:
    """Embeddings (count, 64) of one voice, of unit length."""
    random = np.random.default_rng(seed + 17 * number)
    centre = np.zeros(64)
    centre[number * 8 : number * 8 + 8] = 1
    points = np.abs(centre / 8**0.5 + random.normal(0, spread / 8, (count, 64)))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def windows(*stretches: tuple[int, int]) -> VoiceWindows:
    """Windows of voices one after another, each a number and a count, every 0.2 s."""
    short, long = (
        np.concatenate(
            [voice(number, count, seed=7 * index + 40 * kind) for index, (number, count) in enumerate(stretches)]
        )
        for kind in (0, 1)
    )
    return VoiceWindows(0.2 * np.arange(len(short)), short, long)


@pytest.mark.parametrize("counts", [(300, 200), (400, 60), (20, 10), (2000, 1500)])
def test_two_voices_are_parted_and_the_one_that_speaks_more_is_the_first(counts: tuple[int, int]) -> None:
    both = windows((1, counts[1]), (0, counts[0]))
    labels = two_voices(both)
    assert labels is not None
    assert labels.tolist() == [1] * counts[1] + [0] * counts[0]


def test_of_a_second_voice_its_likeness_its_returns_and_its_seconds_are_known() -> None:
    talk = windows((0, 50), (1, 5), (0, 40), (1, 2), (0, 30), (1, 20))
    second = second_voice(talk, np.repeat([0, 1, 0, 1, 0, 1], [50, 5, 40, 2, 30, 20]))
    assert second.likeness == pytest.approx(0.1, abs=0.2)
    assert (second.returns, round(second.seconds, 3)) == (2, 5.4)  # two windows are too few to be sure of
    assert second.is_there


@pytest.mark.parametrize("count", [40, 300])
def test_two_halves_of_one_voice_are_no_two_voices(count: int) -> None:
    alone = windows((0, count))
    labels = two_voices(alone)
    assert labels is not None
    second = second_voice(alone, labels)
    assert second.likeness > 0.9
    assert not second.is_there


def test_too_few_windows_are_no_voices() -> None:
    assert two_voices(windows((0, 4))) is None


@pytest.mark.parametrize("third", [0, 30, 150])
def test_a_third_voice_is_one_that_speaks_in_a_stretch_of_its_own(third: int) -> None:
    talk = windows((0, 150), (1, 100), (2, third), (0, 150), (1, 100))
    labels = two_voices(talk)
    assert labels is not None
    voices = all_voices(talk, labels)
    assert len(voices) == 2 + (third > 0)
    sizes = np.bincount(nearest_voice(talk.short, voices)).tolist()
    assert sizes == sorted((300, 200, third), reverse=True)[: len(voices)]


def test_turns_have_a_backchannel_inside_of_the_other_turn_and_know_when_they_are_unsure() -> None:
    both = voice(0, 200) + voice(1, 200)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    examples = np.concatenate([voice(0, 200), voice(1, 200), both])
    weights = fit_states(examples, np.repeat([0, 1, 2], 200), 3)
    hop = 0.05
    parts = [voice(1, 60, seed=1), voice(0, 60, seed=2), both[:10], voice(0, 50, seed=3), voice(1, 40, seed=4)]
    scores = scores_of(np.concatenate(parts).astype(np.float32), weights)
    states = likeliest_states(scores, np.ones(len(scores), bool), hop)
    turns = turns_of(states, scores, hop, [(0.0, 11.0)])
    assert [(turn.speaker, round(turn.start, 1), round(turn.end, 1)) for turn in turns] == [
        (0, 0.0, 3.0),
        (1, 3.0, 9.0),
        (0, 6.0, 6.5),
        (0, 9.0, 11.0),
    ]
    assert min(turn.confidence for turn in turns) > 0.9


def test_nobody_is_heard_in_silence_and_a_short_pause_ends_no_turn() -> None:
    scores = np.tile(np.float32([1, 0, 0]), (200, 1))
    states = np.zeros(200, np.intp)
    turns = turns_of(states, scores, 0.05, [(1.0, 2.0), (2.2, 3.0), (6.0, 8.0), (9.0, 9.1)])
    assert [(turn.start, turn.end) for turn in turns] == [(1.0, 3.0), (6.0, 8.0)]
