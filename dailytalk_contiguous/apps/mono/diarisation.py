"""Turns of speakers from embeddings of voices: how many voices there are, and the voice of each moment.

Windows of speech of two lengths are clustered: long ones tell voices apart best, short ones hold short turns,
too. The rest is learnt from the recording itself: stretches of certainly one voice are the examples of each, and
their full or partial mixtures are the examples of two at once. So backchannels inside the other's speech are found
with only an encoder of single voices, and the two voices are compared in their room and over their line.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.spans import SpeakerTurn, intersection, true_runs

Array = NDArray[np.float32]

#: What to do with a recording in which one voice is heard.
ONE_SPEAKER = "pass --n-speakers 2 if two people speak, or tag it with --channel mix as one speaker"

#: Windows that are clustered with one another, the least number of them that are, and that make a voice.
MOST_WINDOWS, LEAST_SPLIT, LEAST_WINDOWS = 1500, 8, 3

#: Share of each window's neighbours that are none, and what their affinity is multiplied with.
_FAR, _FAINT = 0.9, 0.01

#: What the second voice of a conversation is known by: weights of the likeness of both voices, of the logarithms
#: of how often the second one begins to speak and of its seconds, and what is added. `benchmarks/separate.py` fits
#: them to readers in all conditions (logistic regression), and judges each reader by weights fitted to others.
SECOND_VOICE = (-48.4, 1.3, 5.1, 35.8)

#: More of these say nothing: a second voice that comes back is there.
MOST_RETURNS, MOST_SECONDS = 2, 4.0

#: The largest likeness of a third voice and another, the number of windows among which it is looked for, and the
#: share of a stretch of so many windows that is its own.
FURTHER, FURTHER_AMONG, STRETCH, OWN_SHARE = 0.845, 30, 10, 0.8

#: Weight of the penalty on the classifier's weights.
RIDGE = 3.0

#: Share of windows of a single voice that may be taken for two at once.
FALSE_OVERLAP = 0.01

#: Score of a second of a state, and what it costs to change between two voices, into an overlap or out of it,
#: and the share of that where nobody speaks.
SECOND, CHANGE, ENTER, IN_SILENCE = 80.0, 8.0, 3.0, 0.3

#: The logistic curve from margins to the probability of a turn, fitted to turns of readers as `SECOND_VOICE` is.
CURVE = (-0.3, 16.6)

#: Seconds of silence between padded spans of speech that a speaker's turn may have, and its least length: those of
#: `stages.segment.Segment`, whose 0.35 s are without the padding of 0.03 on both sides.
MIN_SILENCE, MIN_SPEECH = 0.29, 0.25


class VoiceWindows(NamedTuple):
    """Windows of speech around moments in order, each of a short and a long stretch.

    Attributes:
        seconds: the moments, shape (n,).
        short, long: embeddings (n, width) of unit length; a long one is 0 where it is not speech enough.
    """

    seconds: NDArray[np.float64]
    short: Array
    long: Array

    def where(self, chosen: NDArray[Any]) -> "VoiceWindows":
        return VoiceWindows(*(values[chosen] for values in self))

    @property
    def has_long(self) -> NDArray[np.bool_]:
        return np.asarray(self.long.any(axis=1))


class SecondVoice(NamedTuple):
    """What speaks for a second voice beside the main one.

    `likeness`: the mean cosine of both voices' centres, by short windows and by long ones. `returns`: how often
    the one that speaks less begins to. `seconds`: for how long it speaks in windows of certainly one voice.
    """

    likeness: float
    returns: int
    seconds: float

    @property
    def features(self) -> tuple[float, float, float, float]:
        """What the weights of `SECOND_VOICE` are for."""
        returns, seconds = min(self.returns, MOST_RETURNS), min(self.seconds, MOST_SECONDS)
        return self.likeness, math.log(max(returns, 1)), math.log(max(seconds, 0.1)), 1.0

    @property
    def is_there(self) -> bool:
        return float(np.dot(self.features, SECOND_VOICE)) > 0


def two_voices(windows: VoiceWindows) -> NDArray[np.intp] | None:
    """Labels of windows, 0 for the voice that speaks more and 1 for the other, as if there were two.

    Of the ways to part them that clustering finds, it is the one with the least likeness of both. None if there
    are too few windows.
    """
    with_long = windows.has_long
    found: list[tuple[float, NDArray[np.intp]]] = []
    starts = [nearest_voice(windows.short, centres) for centres in _centres_of_two(windows.short)]
    for centres in _centres_of_two(windows.long[with_long]):
        labels = _settled(windows.long[with_long], nearest_voice(windows.long[with_long], centres))
        starts.append(nearest_voice(windows.short, centres_of(windows.short[with_long], labels)))
    for start in starts:
        labels = _settled(windows.short, start)
        sizes = np.bincount(labels, minlength=2)
        if sizes.min() >= LEAST_WINDOWS:
            by_size = labels if sizes[0] >= sizes[1] else 1 - labels
            found.append((_likeness(centres_of(windows.short, labels)), by_size))
    return min(found, key=lambda each: each[0])[1] if found else None


def second_voice(windows: VoiceWindows, labels: NDArray[np.intp]) -> SecondVoice:
    """What speaks for the second of the voices that `two_voices` has found."""
    alike, with_long = [_likeness(centres_of(windows.short, labels))], windows.has_long
    if len(set(labels[with_long].tolist())) == 2:
        alike.append(_likeness(centres_of(windows.long[with_long], labels[with_long])))
    stretches = true_runs(labels == 1)
    returns = int(np.count_nonzero(stretches[:, 1] - stretches[:, 0] >= LEAST_WINDOWS))
    step = float(np.median(np.diff(windows.seconds)))
    return SecondVoice(float(np.mean(alike)), returns, float(labels.sum()) * step)


def all_voices(windows: VoiceWindows, labels: NDArray[np.intp]) -> Array:
    """The centres (voices, width) of short windows, of the two that `two_voices` has found and of further ones.

    A further voice is unlike the others, and has a stretch of its own: what is heard here and there is another way
    to speak of one of the two. Longest speech first.
    """
    centres = np.stack([part for label in (0, 1) for part in _parts(windows.where(labels == label))])
    sizes = np.bincount(nearest_voice(windows.short, centres), minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")
    return centres[order[sizes[order] > 0]]


def _parts(windows: VoiceWindows) -> list[Array]:
    """The centre of the windows of a voice, or those of several; each half is looked through again."""
    labels = two_voices(windows) if len(windows.short) >= FURTHER_AMONG else None
    if labels is not None:
        filled = np.convolve(labels, np.full(STRETCH, 1 / STRETCH), "valid")
        if _likeness(centres_of(windows.short, labels)) < FURTHER and filled.max(initial=0.0) >= OWN_SHARE:
            return [part for label in (0, 1) for part in _parts(windows.where(labels == label))]
    return [centres_of(windows.short, np.zeros(len(windows.short), np.intp))[0]]


def _centres_of_two(embeddings: Array) -> list[Array]:
    """The centres of two clusters, by the graph of likeness and by the first component; none of too few."""
    if len(embeddings) < LEAST_SPLIT:
        return []
    sample = embeddings[:: -(-len(embeddings) // MOST_WINDOWS)]
    affinity = sample @ sample.T
    far = affinity < np.quantile(affinity, _FAR, axis=1, keepdims=True)
    near = np.where(far, affinity * np.float32(_FAINT), affinity)
    near = np.maximum(near, near.T)
    roots = np.sqrt(near.sum(axis=1))
    _, vectors = np.linalg.eigh(near / roots[:, None] / roots)
    # In ratios to the first vector clusters are points (Shi and Malik 2000).
    points = vectors[:, -2] / vectors[:, -1]
    by_graph = (points > (points.min() + points.max()) / 2).astype(np.intp)
    centred = sample - sample.mean(axis=0)
    by_component = (centred @ np.linalg.svd(centred, full_matrices=False)[2][0] > 0).astype(np.intp)
    return [centres_of(sample, labels) for labels in (by_graph, by_component)]


def _settled(embeddings: Array, labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Labels by the nearest centre, three times over."""
    for _ in range(3):
        labels = nearest_voice(embeddings, centres_of(embeddings, labels))
    return labels


def nearest_voice(embeddings: Array, centres: Array) -> NDArray[np.intp]:
    return np.asarray((embeddings @ centres.T).argmax(axis=1))


def _likeness(centres: Array) -> float:
    """The largest cosine between two of the centres; 1 of a single one."""
    return float(np.triu(centres @ centres.T, 1).max()) if len(centres) > 1 else 1.0


def centres_of(embeddings: Array, labels: NDArray[np.intp]) -> Array:
    sums = np.stack([embeddings[labels == label].sum(axis=0) for label in np.unique(labels)])
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)


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
    """The probability that a turn is of its voice, by a mean margin of its scores in [0, 1], 0.5 for none."""
    return 1 / (1 + math.exp(-(CURVE[0] + CURVE[1] * (margin - 0.5))))


def by_first_heard(turns: Sequence[SpeakerTurn]) -> list[SpeakerTurn]:
    """Turns sorted by start, with speakers numbered in the order of their first turns."""
    ordered = sorted(turns, key=lambda turn: (turn.start, turn.speaker))
    numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(turn.speaker for turn in ordered))}
    return [turn._replace(speaker=numbers[turn.speaker]) for turn in ordered]


def _with_ones(embeddings: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.concatenate((embeddings, np.ones((len(embeddings), 1), embeddings.dtype)), axis=1)
