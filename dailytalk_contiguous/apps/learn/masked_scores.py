"""Scores of the prediction of masked tokens: by an encoder, and by simpler counts.

All get the same utterances with the same spans masked, and are scored on frames that are never visible. Counts are
of other utterances than the scored ones: how frequent a token is (unigram), which follows which (bigram, from both
sides of a gap and exact: a chain of tokens between its two known neighbours), and that a frame is like the nearest
that is known (neighbour).
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
from dailytalk_contiguous.models import prosodic_encoder
from dailytalk_contiguous.models.devices import plan_batches

#: The reach of a bigram and a neighbour in frames; farther frames count as this far.
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
    """Counts of tokens.

    Args:
        sequences: of whole numbers from 0 to `n_tokens` - 1, to learn from.
        n_tokens: of the codebook.
    """

    def __init__(self, sequences: Sequence[NDArray[np.integer]], n_tokens: int) -> None:
        counts = np.bincount(np.concatenate(sequences), minlength=n_tokens) + 1.0
        self.unigram: NDArray[np.float64] = counts / counts.sum()
        pairs = np.zeros((n_tokens, n_tokens))
        near = np.zeros((2, FARTHEST + 1))
        for sequence in sequences:
            np.add.at(pairs, (sequence[:-1], sequence[1:]), 1)
            for distance in range(1, min(FARTHEST, len(sequence) - 1) + 1):
                same = sequence[distance:] == sequence[:-distance]
                near[:, distance] += same.sum(), len(same)
        step = (pairs + self.unigram) / (pairs.sum(axis=1, keepdims=True) + 1)
        self._steps = [np.eye(n_tokens), step]
        for _ in range(FARTHEST - 1):
            self._steps.append(self._steps[-1] @ step)
        self._alike = (near[0] + 1) / (near[1] + 2)

    def predict(self, sequence: NDArray[np.integer], known: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        """The probability of each token at each unknown frame, by model, each (frames, n_tokens)."""
        places = np.arange(len(sequence))
        before = np.maximum.accumulate(np.where(known, places, -1))
        after = np.minimum.accumulate(np.where(known, places, len(sequence))[::-1])[::-1]
        hidden = np.flatnonzero(~known)
        bigram = np.empty((len(hidden), len(self.unigram)))
        neighbour = np.empty_like(bigram)
        for row, place in enumerate(hidden):
            left, right = before[place], after[place]
            to_left = min(place - left, FARTHEST) if left >= 0 else 0
            to_right = min(right - place, FARTHEST) if right < len(sequence) else 0
            chain = self._steps[to_left][sequence[left]] if to_left else self.unigram
            bigram[row] = chain * self._steps[to_right][:, sequence[right]] if to_right else chain
            neighbour[row] = self._near(sequence, left, right, to_left, to_right)
        bigram /= bigram.sum(axis=1, keepdims=True)
        unigram = np.broadcast_to(self.unigram, bigram.shape)
        return {"unigram": unigram, "bigram": bigram, "neighbour": neighbour}

    def _near(
        self, sequence: NDArray[np.integer], left: int, right: int, to_left: int, to_right: int
    ) -> NDArray[np.float64]:
        if not to_left and not to_right:
            return self.unigram
        is_left = bool(to_left) and (not to_right or to_left <= to_right)
        token, alike = sequence[left if is_left else right], self._alike[to_left if is_left else to_right]
        probabilities: NDArray[np.float64] = self.unigram * (1 - alike) / (1 - self.unigram[token])
        probabilities[token] = alike
        return probabilities


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
    encoder: prosodic_encoder.ProsodicSequenceEncoder,
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
    n_tokens, longest = encoder.config.n_tokens, encoder.config.pos_max_len
    counts = Counts(known, n_tokens)
    windows, owners = [], []
    for place, sequence in enumerate(scored):
        parts = prosodic_encoder.windows_of(sequence, longest)
        windows += parts
        owners += [place] * len(parts)
    people, owner_of = np.unique(np.asarray(speakers), return_inverse=True)
    models = ("encoder", "bigram", "neighbour", "unigram")
    sums = np.zeros((len(models), len(people), 3))  # frames, correct ones, nats
    lengths = [len(window) for window in windows]
    rounds = max(1, min(MOST_ROUNDS, MOST_SCORED // len(scored)))
    batches = [batch for _ in range(rounds) for batch in plan_batches(lengths, prosodic_encoder.FRAMES_PER_BATCH)]
    for number, batch in enumerate(batches):
        interrupts.check_interrupt()
        sequences = [windows[place] for place in batch]
        targets, masked, probabilities = _encoded(encoder, sequences, seed + number)
        for row, place in enumerate(batch):
            sequence = sequences[row]
            hidden, asked = targets[row, : len(sequence)], masked[row, : len(sequence)]
            predicted = probabilities[row, : len(sequence)][hidden]
            by_model = counts.predict(sequence, ~hidden) | {"encoder": predicted}
            truth, is_asked = sequence[hidden], asked[hidden]
            person = owner_of[owners[place]]
            for model, name in enumerate(models):
                drawn = by_model[name][is_asked]
                right = drawn.argmax(axis=1) == truth[is_asked] if len(drawn) else np.zeros(0, bool)
                nats = -np.log(np.maximum(drawn[np.arange(len(drawn)), truth[is_asked]], 1e-12))
                sums[model, person] += len(drawn), right.sum(), nats.sum()
    return [_prediction(name, by_person, seed) for name, by_person in zip(models, sums, strict=True)]


def _encoded(
    encoder: prosodic_encoder.ProsodicSequenceEncoder, sequences: Sequence[NDArray[np.integer]], seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """Predict a padded batch.

    Returns masks of the predicted frames and of the invisible ones among them, and the probability of each token.
    """
    x, lengths = prosodic_encoder.padded(sequences, encoder.config.vocab_size - 2)
    settings = encoder.config.mask_prob, encoder.config.vocab_size
    masked, targets = prosodic_encoder.mask_spans(x, lengths, *settings, torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        logits, _, drawn, _ = encoder(
            x.to(encoder.device),
            lengths.to(encoder.device),
            training=True,
            generator=torch.Generator().manual_seed(seed),
        )
    assert torch.equal(drawn.cpu(), targets)
    probabilities = logits[..., : encoder.config.n_tokens].double().softmax(dim=-1).cpu().numpy()
    only_mask = targets & (masked == encoder.config.vocab_size - 1)
    return targets.numpy(), only_mask.numpy(), probabilities


def _prediction(model: str, sums: NDArray[np.float64], seed: int) -> Prediction:
    frames, right, nats = sums.T

    def accuracy(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((weights @ right) / np.maximum(weights @ frames, 1))

    def perplexity(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.exp((weights @ nats) / np.maximum(weights @ frames, 1)))

    people = len(sums)
    scores = drawn_score(accuracy, people, seed), drawn_score(perplexity, people, seed)
    return Prediction(model, *scores, frames=int(frames.sum()))
