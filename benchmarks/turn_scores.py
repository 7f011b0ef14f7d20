"""How well a model of turn-taking does on a conversation, and its figures over many, with intervals over calls.

Two questions are asked of each frame-by-frame projection (`turn_projection.projected`):

- *pauses*: 0.2 s after a side fell silent, does the other speak next (shift) or the same (hold)?
- *next speaker*: 0.5 s before the next one begins after such a silence, is it the other?

Both are areas under the curve (chance 0.5), of pairs within the same call: models of several folds need not agree
on a threshold. The ends are those of `core.turns.turn_ends`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from turn_projection import FRAME_RATE, Talk

from dailytalk_contiguous.core.turns.turn_ends import CONFIDENCE, DRAWS, HOLD, SHIFT, turn_ends
from dailytalk_contiguous.core.turns.turn_taking import Timed

PAUSES = "shift against hold at pauses"
NEXT = "next speaker, 0.5 s ahead"
QUESTIONS = (PAUSES, NEXT)

#: Seconds into a silence at which it is judged, and before an event at which that is foreseen.
INTO_PAUSE = 0.2
BEFORE_EVENT = 0.5

#: Seconds of the longest pause that counts.
LONGEST_PAUSE = 5.0

#: Events of a kind without which nothing is said.
FEWEST = 10


class TalkScores(NamedTuple):
    """What a model made of a talk.

    Attributes:
        call: the call that the talk is of.
        won, pairs: by question, pairs that are in order (equal ones count half), and all pairs.
        answers: by question, how often the answer is yes, and how often no, shape (2, 2).
    """

    call: str
    won: NDArray[np.float64]
    pairs: NDArray[np.float64]
    answers: NDArray[np.int64]


def scores_of(talk: Talk, logits: NDArray[np.float32]) -> TalkScores:
    """Ask all questions of a talk. `logits`: as `turn_projection.projected` gives them."""
    turns_to_left = (logits[:, 0] - logits[:, 1]).mean(axis=1)
    pauses = _pauses(talk.timed)
    won = np.zeros(len(QUESTIONS))
    pairs = np.zeros(len(QUESTIONS))
    answers = np.zeros((len(QUESTIONS), 2), np.int64)
    questions = (
        _asked(turns_to_left, pauses, [pause.end + INTO_PAUSE for pause in pauses]),
        _asked(turns_to_left, pauses, [pause.next_start - BEFORE_EVENT for pause in pauses]),
    )
    for number, (scores, is_true) in enumerate(questions):
        apart = scores[is_true][:, None] - scores[~is_true][None, :]
        won[number] = (apart > 0).sum() + 0.5 * (apart == 0).sum()
        pairs[number] = apart.size
        answers[number] = (is_true.sum(), (~is_true).sum())
    return TalkScores(talk.call, won, pairs, answers)


class _Pause(NamedTuple):
    """A silence of both: whose speech ended, its seconds, and whether the other speaks next."""

    channel: str
    end: float
    next_start: float
    is_shift: bool


def _pauses(timed: Sequence[Timed]) -> list[_Pause]:
    starts = sorted(speech.start for speech in timed)
    pauses = []
    for end in turn_ends(timed):
        next_start = starts[bisect_left(starts, end.time)]
        if end.transition == SHIFT or next_start - end.time <= LONGEST_PAUSE:
            channel = timed[end.utterance].channel
            pauses.append(_Pause(channel, end.time, next_start, end.transition != HOLD))
    return pauses


def _frame(seconds: float, n_frames: int) -> int:
    """The last frame that hears nothing behind a moment."""
    return min(max(0, round(seconds * FRAME_RATE) - 1), n_frames - 1)


def _asked(
    turns_to_left: NDArray[np.float32], pauses: Sequence[_Pause], moments: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How much the model awaits the other at these moments, and whether the other comes; shape (pauses,)."""
    scores = np.zeros(len(pauses))
    for number, (pause, moment) in enumerate(zip(pauses, moments, strict=True)):
        score = turns_to_left[_frame(moment, len(turns_to_left))]
        scores[number] = score if pause.channel == "right" else -score
    return scores, np.array([pause.is_shift for pause in pauses], bool)


class Figure(NamedTuple):
    """A figure, and that of each draw of calls, shape (`DRAWS`,); NaN where nothing can be said, as by one call.

    `yes`, `no`: how many events it rests on.
    """

    value: float
    draws: NDArray[np.float64]
    yes: int
    no: int

    @property
    def interval(self) -> tuple[float, float]:
        """The percentiles between which `CONFIDENCE` of the draws are."""
        outside = (1 - CONFIDENCE) / 2
        draws = self.draws[~np.isnan(self.draws)]
        if not len(draws):
            return float("nan"), float("nan")
        low, high = np.quantile(draws, [outside, 1 - outside])
        return float(low), float(high)

    def minus(self, other: "Figure") -> "Figure":
        return Figure(self.value - other.value, self.draws - other.draws, self.yes, self.no)


def mean_figure(figures: Sequence[Figure]) -> Figure:
    """The mean of the figures of several seeds, on the same draws."""
    value = np.mean([figure.value for figure in figures])
    draws = np.mean([figure.draws for figure in figures], axis=0)
    return Figure(float(value), draws, figures[0].yes, figures[0].no)


def figures_of(scores: Sequence[TalkScores]) -> dict[str, Figure]:
    """The figures of one model, by question: of all talks, and of draws of calls with replacement."""
    calls = sorted({score.call for score in scores})
    weights = _draws(len(calls))
    if len(calls) == 1:
        weights[1:] = np.nan  # draws of one call are all alike, which would look certain
    by_call = [[score for score in scores if score.call == call] for call in calls]
    won = np.array([np.sum([score.won for score in talks], axis=0) for talks in by_call])
    pairs = np.array([np.sum([score.pairs for score in talks], axis=0) for talks in by_call])
    answers = np.sum([score.answers for score in scores], axis=0)
    figures = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for number, question in enumerate(QUESTIONS):
            areas = (weights @ won[:, number]) / (weights @ pairs[:, number])
            yes, no = answers[number].tolist()
            if min(yes, no) < FEWEST:
                areas[:] = np.nan
            figures[question] = Figure(float(areas[0]), areas[1:], yes, no)
    return figures


def _draws(n_calls: int) -> NDArray[np.float64]:
    """How often each call is in each draw, shape (1 + `DRAWS`, calls); all once in the first, the same always."""
    random = np.random.default_rng(0)
    numbers = random.integers(n_calls, size=(DRAWS, n_calls))
    weights = np.stack([np.bincount(drawn, minlength=n_calls) for drawn in numbers])
    return np.concatenate([np.ones((1, n_calls)), weights.astype(float)])
