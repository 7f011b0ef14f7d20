"""Masked tokens predicted by counts and by an encoder: counts are exact, and learn from other utterances alone."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.masked_scores import (
    digest_of,
    divide_known,
    score_predictions,
    split_sequences,
)
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder


def chain(step: NDArray[np.float64], frames: int, seed: int) -> NDArray[np.int16]:
    """A sequence in which each token is drawn by the one before it."""
    random = np.random.default_rng(seed)
    tokens = [0]
    while len(tokens) < frames:
        tokens.append(int(random.choice(len(step), p=step[tokens[-1]])))
    return np.array(tokens, np.int16)


def sticky(n_tokens: int, stay: float) -> NDArray[np.float64]:
    step = np.full((n_tokens, n_tokens), (1 - stay) / (n_tokens - 1))
    np.fill_diagonal(step, stay)
    return step


def encoder(n_tokens: int) -> ProsodicSequenceEncoder:
    torch.manual_seed(0)
    return ProsodicSequenceEncoder(vocab_size=n_tokens + 2, hidden_dim=16, num_layers=1, nhead=2).eval()


def test_what_repeats_is_predicted_by_what_is_around_it_and_what_is_drawn_anew_by_nobody() -> None:
    for stay, gains in ((0.95, True), (1 / 8, False)):
        sequences = [chain(sticky(8, stay), 120, seed) for seed in range(60)]
        speakers = [f"speaker{number % 6}" for number in range(30)]
        scores = {
            score.model: score for score in score_predictions(encoder(8), sequences[:30], sequences[30:], speakers)
        }
        assert list(scores) == ["encoder", "bigram", "unigram"]
        assert len({score.frames for score in scores.values()}) == 1
        assert scores["unigram"].perplexity.value == pytest.approx(8, rel=0.05)
        assert (scores["bigram"].perplexity.high < scores["unigram"].perplexity.low) == gains
        assert (scores["bigram"].accuracy.low > scores["unigram"].accuracy.high) == gains
        assert scores["encoder"].perplexity.value > 6  # it has learned nothing


def test_same_seed_gives_the_same_scores_and_long_utterances_are_seen_in_windows() -> None:
    sequences = [chain(sticky(8, 0.9), 300, seed) for seed in range(8)]
    model = ProsodicSequenceEncoder(vocab_size=10, hidden_dim=16, num_layers=1, nhead=2, pos_max_len=64).eval()
    first, second = (
        score_predictions(model, sequences[:4], sequences[4:], ["a", "a", "b", "c"], seed=5) for _ in range(2)
    )
    assert first == second
    assert first[0].frames > 1000


def test_encoder_is_scored_on_what_its_own_training_validated_on() -> None:
    sequences = [chain(sticky(8, 0.9), 40, seed) for seed in range(40)]
    speakers = [f"speaker{number % 4}" for number in range(40)]
    record = {"settings": {"valid_share": 0.1, "seed": 7}, "data": {"sha256": digest_of(sequences)}}
    known, scored, note = divide_known(sequences, speakers, record, 0)
    train, valid = split_sequences(sequences, 0.1, 7)
    assert [sequences[place].tolist() for place in scored] == [sequence.tolist() for sequence in valid]
    assert [sequences[place].tolist() for place in known] == [sequence.tolist() for sequence in train]
    assert "training kept to validate on" in note


@pytest.mark.parametrize(
    "record",
    [None, {"settings": {}, "data": {}}, {"settings": {"valid_share": 0.1, "seed": 7}, "data": {"sha256": "0"}}],
)
def test_speakers_are_kept_apart_where_nothing_is_known_of_the_training(record: dict[str, object] | None) -> None:
    sequences = [chain(sticky(8, 0.9), 40, seed) for seed in range(40)]
    speakers = [f"speaker{number % 10}" for number in range(40)]
    known, scored, note = divide_known(sequences, speakers, record, 0)
    assert sorted([*known, *scored]) == [*range(40)]
    assert len({speakers[place] for place in scored}) == 5
    assert not {speakers[place] for place in scored} & {speakers[place] for place in known}
    assert "is not known" in note
    few, many = ([f"{number % count}" for number in range(40)] for count in (4, 30))
    for names, expected in ((few, 2), (many, 6)):
        assert len({names[place] for place in divide_known(sequences, names, record, 0)[1]}) == expected
    alone = divide_known(sequences, ["ann"] * 40, record, 0)
    assert (len(alone[0]), len(alone[1])) == (32, 8)
