"""Turns of speakers from embeddings of voices: the number of voices, and the voice of each moment.

Clustering finds the voices of a recording. The rest is learnt from the recording itself: stretches of certainly
one voice are the examples of each, and their full or partial mixtures are the examples of two at once. So
backchannels inside the other's speech are found with only an encoder of single voices, and the two voices are
compared in their room and over their line.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.spans import SpeakerTurn, intersection, true_runs

Array = NDArray[np.float32]

#: Cosine of two clusters' centres from which on they are one voice: where both have a quarter of the windows, and
#: where one has less. Two voices have up to 0.86; halves of one have 0.94, its oddest tenth 0.85 to 0.91 (readings
#: and telephone calls, half and half and a tenth of one voice). In noise at 10 dB one pair of voices has 0.93.
SAME_HALVES, SAME_SMALL = 0.9, 0.845

#: The same for a third voice and more, which must be another for sure: a conversation of three is rejected.
SAME_FURTHER = 0.845

#: Windows that are no nearer to any voice are of another, if so many are within a voice's width of their mean.
STRANGE, WIDTH = 0.75, 0.8

#: Windows that are clustered with one another, and the most voices that are looked for.
MOST_WINDOWS, MOST_VOICES = 1500, 6

#: The least number of windows that make a voice, and of those in which further voices are looked for.
LEAST_WINDOWS, LEAST_SPLIT = 8, 30

#: Shares of each window's neighbours that are none, and what their affinity is multiplied with. With the first,
#: voices that speak alike much are found, with the second one that speaks little.
_FAR, _FAINT = (0.7, 0.9), 0.01

#: Weight of the penalty on the classifier's weights; from 1 to 10 little changes (six recordings).
RIDGE = 3.0

#: Share of windows of a single voice that may be taken for two at once.
FALSE_OVERLAP = 0.01

#: Score of a second of a state, and what it costs to change between two voices, into an overlap or out of it,
#: and the share of that where nobody speaks.
SECOND, CHANGE, ENTER, IN_SILENCE = 80.0, 8.0, 3.0, 0.3

#: Seconds of silence between padded spans of speech that a speaker's turn may have, and its least length: those of
#: `stages.segment.Segment`, whose 0.35 s are without the padding of 0.03 on both sides.
MIN_SILENCE, MIN_SPEECH = 0.29, 0.25


def find_voices(embeddings: Array, count: int | None = None) -> Array:
    """The centres (voices, width) of the voices in embeddings (windows, width) of length 1, longest speech first.

    `count` is the number of voices, if it is known.
    """
    if count is not None:
        return _by_size(embeddings, _split(embeddings, count))
    centres = _voices_among(embeddings)
    while len(centres) > 1 and _likeness(centres) >= SAME_HALVES:
        first, second = np.unravel_index(int(np.triu(centres @ centres.T, 1).argmax()), (len(centres),) * 2)
        labels = (embeddings @ centres.T).argmax(axis=1)
        labels[labels == second] = first
        centres = _centres(embeddings, labels)
    while len(centres) < MOST_VOICES:
        strange = embeddings[(embeddings @ centres.T).max(axis=1) < STRANGE]
        if len(strange) < LEAST_WINDOWS:
            break
        other = _centres(strange, np.zeros(len(strange), np.intp))
        alike = strange[(strange @ other.T)[:, 0] >= WIDTH]
        if len(alike) < LEAST_WINDOWS or (other @ centres.T).max() >= SAME_FURTHER:
            break
        centres = np.concatenate((centres, _centres(alike, np.zeros(len(alike), np.intp))))
    return _by_size(embeddings, centres)


def _voices_among(embeddings: Array, is_part: bool = False) -> Array:
    """The centres of the voices; each half of what is of several is looked through again."""
    centres = _split(embeddings, 2) if len(embeddings) >= LEAST_SPLIT else embeddings[:1]
    labels = (embeddings @ centres.T).argmax(axis=1)
    shares = np.bincount(labels, minlength=2) / len(embeddings)
    same = SAME_FURTHER if is_part else SAME_HALVES if shares.min() >= 0.25 else SAME_SMALL
    if len(centres) < 2 or _likeness(centres) >= same:
        return _centres(embeddings, np.zeros(len(embeddings), np.intp))
    return np.concatenate([_voices_among(embeddings[labels == label], is_part=True) for label in (0, 1)])


def _split(embeddings: Array, count: int) -> Array:
    """The centres of so many clusters, the least alike that are found."""
    sample = embeddings[:: -(-len(embeddings) // MOST_WINDOWS)]
    affinity = sample @ sample.T
    found = []
    for share in _FAR:
        far = affinity < np.quantile(affinity, share, axis=1, keepdims=True)
        near = np.where(far, affinity * np.float32(_FAINT), affinity)
        near = np.maximum(near, near.T)
        roots = np.sqrt(near.sum(axis=1))
        _, vectors = np.linalg.eigh(near / roots[:, None] / roots)
        # In ratios to the first vector clusters are points (Shi and Malik 2000).
        points = vectors[:, -count:-1] / vectors[:, -1:]
        centres = _centres(sample, _k_means(points, min(count, len(sample))))
        for _ in range(3):
            centres = _centres(embeddings, (embeddings @ centres.T).argmax(axis=1))
        found.append(centres)
    return min(found, key=_likeness)


def _likeness(centres: Array) -> float:
    """The largest cosine between two of the centres; 1 of a single one."""
    return float(np.triu(centres @ centres.T, 1).max()) if len(centres) > 1 else 1.0


def _by_size(embeddings: Array, centres: Array) -> Array:
    """Those to which embeddings are nearest, the most of them first."""
    sizes = np.bincount((embeddings @ centres.T).argmax(axis=1), minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")
    return centres[order[sizes[order] > 0]]


def _centres(embeddings: Array, labels: NDArray[np.intp]) -> Array:
    sums = np.stack([embeddings[labels == label].sum(axis=0) for label in np.unique(labels)])
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)


def _k_means(points: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """Labels of points (n, width), from centres that are far from each other."""
    from scipy.cluster.vq import kmeans2  # half a second of imports

    chosen = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmax())]
    while len(chosen) < count:
        nearest = np.min([np.linalg.norm(points - points[index], axis=1) for index in chosen], axis=0)
        chosen.append(int(nearest.argmax()))
    return np.asarray(kmeans2(points, points[chosen], iter=50, minit="matrix")[1], np.intp)


def fit_states(embeddings: Array, states: NDArray[np.intp], count: int) -> Array:
    """Weights (width + 1, count) by which embeddings score states: ridge regression on examples of each.

    A score estimates the probability of its state, and is not bounded.
    """
    inputs = _with_ones(embeddings.astype(np.float64))
    normal = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(normal, inputs.T @ np.eye(count)[states]), np.float32)


def scores_of(embeddings: Array, weights: Array) -> Array:
    """Scores of each state (windows, count)."""
    return np.asarray(_with_ones(embeddings) @ weights, np.float32)


def overlap_bias(scores: Array) -> float:
    """The excess of the scores of the last state, the overlap, for windows of one voice."""
    margins = scores[:, -1] - scores[:, :-1].max(axis=1)
    return max(0.0, float(np.quantile(margins, 1 - FALSE_OVERLAP)))


def likeliest_states(scores: Array, speech: NDArray[np.bool_], hop: float) -> NDArray[np.intp]:
    """The likeliest state of each window (Viterbi). They are `hop` seconds apart, and count where `speech` is.

    Into the last state, the overlap, and out of it a change costs less.
    """
    n_states = scores.shape[1]
    cost = np.full((n_states, n_states), CHANGE)
    cost[-1], cost[:, -1] = ENTER, ENTER
    np.fill_diagonal(cost, 0.0)
    gains = scores.astype(np.float64) * (SECOND * hop) * speech[:, None]
    best, before = gains[0], np.zeros(scores.shape, np.int8)
    for index in range(1, len(gains)):
        paths = best[:, None] - (cost if speech[index] else cost * IN_SILENCE)
        before[index] = paths.argmax(axis=0)
        best = paths.max(axis=0) + gains[index]
    states = np.zeros(len(gains), np.intp)
    states[-1] = best.argmax()
    for index in range(len(gains) - 1, 0, -1):
        states[index - 1] = before[index, states[index]]
    return states


def turns_of(
    states: NDArray[np.intp], scores: Array, hop: float, speech: Sequence[tuple[float, float]]
) -> list[SpeakerTurn]:
    """The turns of each voice inside of spans of speech, sorted by start; the last state is both first voices.

    Confidence is the probability that the turn is that voice's, by the mean of its scores against the next best.
    """
    ranked = np.sort(scores, axis=1)
    chosen = np.take_along_axis(scores, states[:, None], axis=1)[:, 0]
    others = np.where(chosen >= ranked[:, -1], ranked[:, -2], ranked[:, -1])
    sure = np.clip((1 + chosen - others) / 2, 0, 1)
    turns = []
    for voice in range(scores.shape[1] - 1):
        is_heard = (states == voice) | ((states == scores.shape[1] - 1) & (voice < 2))
        heard = [(first * hop, last * hop) for first, last in true_runs(is_heard).tolist()]
        pieces: list[tuple[float, float]] = []
        for start, end in intersection(heard, speech):
            if pieces and start - pieces[-1][1] < MIN_SILENCE:
                pieces[-1] = pieces[-1][0], end
            else:
                pieces.append((start, end))
        for start, end in pieces:
            if end - start >= MIN_SPEECH:
                windows = np.flatnonzero(is_heard[int(start / hop) : int(end / hop) + 1]) + int(start / hop)
                turns.append(SpeakerTurn(voice, start, end, probability_of(float(sure[windows].mean()))))
    return by_first_heard(turns)


def probability_of(margin: float) -> float:
    """The probability that a turn is of its voice, by a mean margin of its scores in [0, 1], 0.5 for none.

    A logistic curve fitted to 314 turns of six recordings, clean and with noise at 10 dB: 85 % are right from 0.5
    to 0.6, 94 % to 0.75, 98 % above.
    """
    return 1 / (1 + math.exp(-(1.2 + 10 * (margin - 0.5))))


def by_first_heard(turns: Sequence[SpeakerTurn]) -> list[SpeakerTurn]:
    """Turns sorted by start, with speakers numbered in the order of their first turns."""
    ordered = sorted(turns, key=lambda turn: (turn.start, turn.speaker))
    numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(turn.speaker for turn in ordered))}
    return [turn._replace(speaker=numbers[turn.speaker]) for turn in ordered]


def _with_ones(embeddings: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.concatenate((embeddings, np.ones((len(embeddings), 1), embeddings.dtype)), axis=1)
