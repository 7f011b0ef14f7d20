"""Who speaks when, from embeddings that are made for it."""

import numpy as np
import pytest

from dailytalk_contiguous.apps.mono.diarisation import (
    find_voices,
    fit_states,
    likeliest_states,
    scores_of,
    turns_of,
)


def voice(number: int, count: int, spread: float = 0.25, seed: int = 0) -> np.ndarray:
    """Embeddings (count, 64) of one voice, of unit length."""
    random = np.random.default_rng(seed + 17 * number)
    centre = np.zeros(64)
    centre[number * 8 : number * 8 + 8] = 1
    points = np.abs(centre / 8**0.5 + random.normal(0, spread / 8, (count, 64)))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("counts", [(300,), (300, 200), (400, 60), (300, 200, 150), (2000, 1500)])
def test_as_many_voices_are_found_as_speak(counts: tuple[int, ...]) -> None:
    embeddings = np.concatenate([voice(number, count) for number, count in enumerate(counts)])
    centres = find_voices(embeddings)
    assert len(centres) == len(counts)
    labels = (embeddings @ centres.T).argmax(axis=1)
    assert np.bincount(labels).tolist() == sorted(counts, reverse=True)


def test_known_number_of_voices_is_taken() -> None:
    assert len(find_voices(np.concatenate([voice(0, 200), voice(1, 100), voice(2, 80)]), 2)) == 2


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
