"""Scores of the prediction of masked tokens: by an encoder, and by counts.

All get the same utterances with the same spans masked, and are scored on frames that are never visible. Counts are
of other utterances than the scored ones: how frequent a token is (unigram), and which follows which (bigram, exact
and from both sides of a gap: a chain of tokens between its two known neighbours).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.probes import LEAST_DRAWN, Score, drawn_score
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import fits
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.devices import plan_batches
from dailytalk_contiguous.models.prosodic_encoder import (
    FRAMES_PER_BATCH,
    MASKED_MODELS,
    ProsodicSequenceEncoder,
    mask_spans,
    padded,
    windows_of,
)

#: The reach of a bigram in frames; farther frames count as this far.
FARTHEST = 64

#: The most scored utterances, drawn from more; fewer are masked several times, up to the rounds.
MOST_SCORED, MOST_ROUNDS = 2000, 20


class Prediction(NamedTuple):
    """The score of a prediction: `accuracy` in [0, 1], and `perplexity` in tokens, both with intervals."""

    model: str
    accuracy: Score
    perplexity: Score
    frames: int


class Counts:
    """Counts of tokens in sequences of whole numbers from 0 to `n_tokens` - 1."""

    def __init__(self, sequences: Sequence[NDArray[np.integer]], n_tokens: int) -> None:
        counts = np.bincount(np.concatenate(sequences), minlength=n_tokens) + 1.0
        self.unigram: NDArray[np.float64] = counts / counts.sum()
        pairs = np.zeros((n_tokens, n_tokens))
        for sequence in sequences:
            np.add.at(pairs, (sequence[:-1], sequence[1:]), 1)
        step = (pairs + self.unigram) / (pairs.sum(axis=1, keepdims=True) + 1)
        self._steps = np.array([np.linalg.matrix_power(step, distance) for distance in range(FARTHEST + 1)])

    def bigram(self, sequence: NDArray[np.integer], known: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The probability of each token at each unknown frame, (frames, n_tokens)."""
        places, hidden, last = np.arange(len(sequence)), np.flatnonzero(~known), len(sequence) - 1
        before = np.maximum.accumulate(np.where(known, places, -1))[hidden]
        after = np.minimum.accumulate(np.where(known, places, last + 1)[::-1])[::-1][hidden]
        chain = self._steps[np.minimum(hidden - before, FARTHEST), sequence[np.maximum(before, 0)]]
        chain[before < 0] = self.unigram
        onward = self._steps[np.minimum(after - hidden, FARTHEST), :, sequence[np.minimum(after, last)]]
        onward[after > last] = 1.0
        product: NDArray[np.float64] = chain * onward
        product /= product.sum(axis=1, keepdims=True)
        return product


def split_sequences(
    arrays: Sequence[NDArray[Any]], valid_share: float, seed: int
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Sequences to train and to validate on, drawn by the seed; at least one of each."""
    n_valid = min(len(arrays) - 1, max(1, round(valid_share * len(arrays))))
    order = np.random.default_rng((seed, len(arrays))).permutation(len(arrays))
    chosen = set(order[:n_valid].tolist())
    train = [array for place, array in enumerate(arrays) if place not in chosen]
    return train, [arrays[place] for place in sorted(chosen)]


def digest_of(arrays: Sequence[NDArray[Any]]) -> str:
    """Digest of sequences of tokens, in their order; independent of their integer type."""
    digest = hashlib.sha256(np.array([len(array) for array in arrays], "<i8").tobytes())
    for array in arrays:
        digest.update(array.astype("<i4").tobytes())
    return digest.hexdigest()


def divide_known(
    sequences: Sequence[NDArray[np.integer]], speakers: Sequence[str], record: Mapping[str, Any] | None, seed: int
) -> tuple[list[int], list[int], str]:
    """Indices of the sequences for counts, and of those to score, and a sentence on the division.

    If the encoder was trained on these sequences, they are its training and validation sequences. Otherwise a
    fifth of the speakers is scored, but at least as many as an interval needs if that leaves half of them; of one
    speaker, so much of the utterances. `record` is of the encoder's training (`learn.masked_tokens.read_record`);
    None without one.
    """
    random = np.random.default_rng((seed, len(sequences)))
    settings = (record or {}).get("settings") or {}
    is_known = fits(settings, {"valid_share": float, "seed": int})
    if record and is_known and record["data"].get("sha256") == digest_of(sequences):
        places = [np.array([place]) for place in range(len(sequences))]
        known, scored = (
            [int(place[0]) for place in side]
            for side in split_sequences(places, settings["valid_share"], settings["seed"])
        )
        note = "masked tokens are predicted on the utterances that the encoder's training kept to validate on"
    else:
        people = np.unique(np.asarray(speakers))
        groups = np.asarray(speakers) if len(people) > 1 else np.arange(len(sequences)).astype(str)
        names = random.permutation(np.unique(groups))
        n_scored = max(1, len(names) // 5, min(LEAST_DRAWN, len(names) // 2))
        drawn = np.isin(groups, names[:n_scored])
        known, scored = np.flatnonzero(~drawn).tolist(), np.flatnonzero(drawn).tolist()
        note = "whether the encoder was trained on the utterances whose masked tokens it predicts is not known"
    if len(scored) > MOST_SCORED:
        scored = np.sort(random.choice(scored, MOST_SCORED, replace=False)).tolist()
    return known, scored, note


def score_predictions(
    encoder: ProsodicSequenceEncoder,
    known: Sequence[NDArray[np.integer]],
    scored: Sequence[NDArray[np.integer]],
    speakers: Sequence[str],
    seed: int = 0,
) -> list[Prediction]:
    """Score an encoder, which was not trained on `scored`, and counts of `known` on its masked frames.

    `speakers`: of each of `scored`. `seed`: of the masks, and of the draws of speakers for intervals. Raises
    DailytalkError if one side is empty.
    """
    if not known or not scored:
        raise DailytalkError(
            f"{len(known)} utterances to learn from and {len(scored)} to predict", "encode more of them"
        )
    config, counts = encoder.config, Counts(known, encoder.config.n_tokens)
    people, owners = np.unique(np.asarray(speakers), return_inverse=True)
    windows = [
        (owner, window)
        for owner, sequence in zip(owners, scored, strict=True)
        for window in windows_of(sequence, config.pos_max_len)
    ]
    sums = np.zeros((len(MASKED_MODELS), len(people), 3))  # frames, correct ones, nats
    rounds = max(1, min(MOST_ROUNDS, MOST_SCORED // len(scored)))
    batches = rounds * plan_batches([len(window) for _, window in windows], FRAMES_PER_BATCH)
    for number, batch in enumerate(batches):
        interrupts.check_interrupt()
        x, lengths = padded([windows[place][1] for place in batch], config.n_tokens)
        generator = torch.Generator().manual_seed(seed + number)
        masked, targets = mask_spans(x, lengths, config.mask_prob, config.vocab_size, generator)
        inside = torch.arange(x.shape[1]) < lengths[:, None]
        with torch.inference_mode():
            logits = encoder.network(masked.to(encoder.device), inside.long().to(encoder.device)).logits
        predicted = logits[..., : config.n_tokens].double().softmax(dim=-1).cpu().numpy()
        for row, place in enumerate(batch):
            person, window = windows[place]
            hidden = targets[row, : len(window)].numpy()
            asked = (masked[row, : len(window)] == config.vocab_size - 1).numpy()[hidden]
            truth = window[hidden][asked]
            by_model = {
                "encoder": predicted[row, : len(window)][hidden],
                "bigram": counts.bigram(window, ~hidden),
                "unigram": np.broadcast_to(counts.unigram, (len(asked), config.n_tokens)),
            }
            for model, name in enumerate(MASKED_MODELS):
                drawn = by_model[name][asked]
                nats = -np.log(np.maximum(drawn[np.arange(len(truth)), truth], 1e-12))
                sums[model, person] += len(truth), (drawn.argmax(axis=1) == truth).sum(), nats.sum()
    return [_prediction(name, by_person, seed) for name, by_person in zip(MASKED_MODELS, sums, strict=True)]


def _prediction(model: str, sums: NDArray[np.float64], seed: int) -> Prediction:
    frames, right, nats = sums.T

    def mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((weights @ values) / np.maximum(weights @ frames, 1))

    accuracy = drawn_score(lambda weights: mean(right, weights), len(sums), seed)
    perplexity = drawn_score(lambda weights: np.exp(mean(nats, weights)), len(sums), seed)
    return Prediction(model, accuracy, perplexity, int(frames.sum()))
