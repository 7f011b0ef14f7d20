"""The probe of a dataset: how well each speaker's turns can be predicted, and how much of that from the other.

Conversations are divided so that no speaker who is known, no recording and no copy of one is on both sides; each
is judged once, by models that were trained on others. The contingency is what is predicted less what is predicted
where each side has the partner of another conversation, by models trained and judged in the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, NotRequired, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import AHEAD, ActivityFrames, with_other_partners
from dailytalk_contiguous.apps.probe.pairing import WAYS, Pairing, paired_in, pairings
from dailytalk_contiguous.apps.probe.probed import SHOWN_DIGITS
from dailytalk_contiguous.apps.probe.timelines import ActiveTalk
from dailytalk_contiguous.apps.probe.turn_predictor import (
    BOTH,
    OWN,
    PLACES,
    SOUND,
    PredictedBits,
    TurnPredictor,
    one_thread,
)
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.run.processes import in_processes

#: Divisions of the conversations.
FOLDS = 3

#: Groups of conversations that are needed.
FEWEST = 6

#: Hours of talk that are needed to tell something.
LEAST_HOURS = 2.0

#: How often conversations are drawn anew for an interval.
DRAWS = 1000

#: The model `BOTH` with partners of other conversations.
EXCHANGED = "exchanged"

#: The model `BOTH` with the conversations that have sound, where not all have.
OF_HEARD = "of_heard"

#: What is written of each figure, for those who read probe.json alone.
DEFINITIONS = {
    "own": "bits a second of the next two seconds of both speakers that are predicted from each one's own speech",
    "both": "the same from the speech of both",
    "exchanged": "the same as both, trained and judged with partners of other conversations",
    "sound": "the same as both, with pitch, power and voicing of both",
    "contingency": "both less exchanged: what is predicted of one speaker from what this other one does",
    "cues": "sound less both of the same conversations: what is heard, beyond when they speak",
    "cues_left": "cues in the half second after speech of the left has ended",
    "cues_right": "the same of the right, where none of the left has just ended",
    "cues_elsewhere": "cues at all other moments",
    "null": "too little: nothing was learnt, so the interval of the figure has no width",
    "curve": "both, by hours of training talk; of all of these 0 is what the rates of speech alone predict",
}


class Figure(TypedDict):
    """Bits a second, and the interval in which `INSIDE` of the draws are."""

    bits_a_second: float
    low: float
    high: float


class CurvePoint(TypedDict):
    """The bits a second of `BOTH` after so many hours of training talk."""

    hours: float
    bits_a_second: float


class TimelineRecord(TypedDict):
    """A timeline in probe.json; a figure is None if there is too little to tell (see `DEFINITIONS`)."""

    conversations: int
    hours: float
    hours_heard: float
    enough: bool
    own: Figure | None
    both: Figure | None
    exchanged: Figure | None
    sound: NotRequired[Figure | None]
    contingency: Figure | None
    cues: NotRequired[Figure | None]
    cues_left: NotRequired[Figure | None]
    cues_right: NotRequired[Figure | None]
    cues_elsewhere: NotRequired[Figure | None]
    curve: list[CurvePoint]
    found: list[Pairing]
    undecided: int


class Job(NamedTuple):
    """A model to train and to judge, and on which conversations; `full`: all that are not judged train it."""

    model: str
    train: list[int]
    judged: list[int]
    full: bool = True


#: What a model predicts, and the fits of the judged conversations in `pairing.WAYS`, if those are to be known.
JobResult = tuple[PredictedBits, NDArray[np.float64]]


class ProbedTalks(NamedTuple):
    """The conversations of a timeline, in order, and what is heard of each (`apps.probe.heard_voice`), or None."""

    talks: list[ActiveTalk]
    sounds: list[NDArray[np.float16] | None]

    def frames(self, numbers: Sequence[int], sees: str, seed: int) -> ActivityFrames:
        """The frames of some of them; `sees`: a model, or `EXCHANGED`."""
        active = [self.talks[number].active for number in numbers]
        if sees == EXCHANGED:
            groups = [self.talks[number].group for number in numbers]
            active = with_other_partners(active, groups, seed)
        sounds: list[NDArray[np.float16]] = []
        if sees == SOUND:
            for number in numbers:
                sound = self.sounds[number]
                if sound is not None:
                    sounds.append(sound)
        return ActivityFrames.from_conversations(active, sounds)

    def with_sound(self, numbers: Sequence[int]) -> list[int]:
        """Return the numbers of the conversations that have sound."""
        return [number for number in numbers if self.sounds[number] is not None]


def with_enough(source: str, timelines: Mapping[str, list[ActiveTalk]]) -> dict[str, list[ActiveTalk]]:
    """The timelines of a source with enough groups to hold some out. Raises DailytalkError if there are none."""
    n_groups: dict[str, int] = {}
    for name, talks in timelines.items():
        n_groups[name] = len({talk.group for talk in talks})
    if max(n_groups.values(), default=0) < FEWEST:
        name = max(n_groups, key=n_groups.__getitem__, default="")
        n_talks = len(timelines.get(name, ()))
        raise DailytalkError(
            f"{source!r} holds too little to tell: {counted(n_talks, 'conversation')} in which both speak, in "
            f"{counted(n_groups.get(name, 0), 'group')} without a speaker or a recording in common",
            f"add conversations, until there are {FEWEST} groups of people or more",
        )
    return {name: talks for name, talks in timelines.items() if n_groups[name] >= FEWEST}


#: Hours of training with which the learning curve begins; each point has twice those of the one before.
LEAST_CURVE_HOURS = 0.25


def jobs_of(probed: ProbedTalks, seed: int) -> Iterator[Job]:
    """The models to train and to judge: all kinds in each division, and those of the learning curve."""
    groups = [talk.group for talk in probed.talks]
    some_unheard = any(sound is None for sound in probed.sounds)
    for number, (train, judged) in enumerate(divisions(groups, FOLDS, seed)):
        for model in (BOTH, OWN, EXCHANGED):
            yield Job(model, train, judged)
        heard_train = probed.with_sound(train)
        heard_judged = probed.with_sound(judged)
        if len(heard_train) > 1 and heard_judged:
            yield Job(SOUND, heard_train, heard_judged)
            if some_unheard:
                yield Job(OF_HEARD, heard_train, heard_judged)
        order = np.random.default_rng(seed).permutation(train).tolist()
        hours = np.cumsum([probed.talks[index].hours for index in order])
        is_first_division = number == 0
        curve_hours = LEAST_CURVE_HOURS
        while is_first_division and curve_hours < 0.75 * hours[-1]:
            n_train = int(np.searchsorted(hours, curve_hours)) + 1
            yield Job(BOTH, order[:n_train], judged, full=False)
            curve_hours *= 2


def divisions(groups: Sequence[object], count: int, seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """Divisions of conversations into those to train on and those to judge, a group always on one side."""
    names = sorted({str(group) for group in groups})
    folds = np.random.default_rng(seed).permutation(len(names)) % count
    fold_of = dict(zip(names, folds, strict=True))
    for number in range(count):
        train: list[int] = []
        judged: list[int] = []
        for index, group in enumerate(groups):
            part = judged if fold_of[str(group)] == number else train
            part.append(index)
        if judged:
            yield train, judged


def train_and_judge(probed: ProbedTalks, seed: int, job: Job) -> JobResult:
    """Train the model of a job, and judge it."""
    train = probed.frames(job.train, job.model, seed)
    judged = probed.frames(job.judged, job.model, seed)
    sees = job.model if job.model in (OWN, SOUND) else BOTH
    fitted = job.judged if job.model == BOTH and job.full else []
    with one_thread():
        model = TurnPredictor(train, sees, seed)
        fits = [model.pairing_bits(paired_in(probed.talks[number].active)) for number in fitted]
        return model.predicted_bits(judged, len(job.judged)), np.array(fits)


#: The places of frames (`turn_predictor.PLACES`) of each figure of cues.
_CUES = {
    "cues": range(PLACES),
    "cues_left": [1],
    "cues_right": [2],
    "cues_elsewhere": [0],
}


class ProbedTimeline(NamedTuple):
    """The results of probing a timeline.

    Attributes:
        talks: its conversations.
        predicted: the bits that each model predicts of them; 0 where it has not judged one.
        curve: hours of training, and the bits a second of `both`.
        pairings: how the sides of each conversation fit.
    """

    talks: list[ActiveTalk]
    predicted: dict[str, PredictedBits]
    curve: list[tuple[float, float]]
    pairings: list[Pairing]

    def bootstrap_rates(self, seed: int) -> dict[str, NDArray[np.float64]]:
        """Bits a second by the names of `DEFINITIONS`: of all, and of draws of them, shape (1 + draws,)."""
        chance = np.random.default_rng(seed)
        count = len(self.talks)
        draws = chance.integers(count, size=(DRAWS, count))
        chosen = np.concatenate(([np.arange(count)], draws))

        def rate(model: str, places: Sequence[int] = range(PLACES)) -> NDArray[np.float64]:
            bits = self.predicted[model].bits[:, places].sum(axis=1)
            frames = self.predicted[model].frames[:, places].sum(axis=1)
            n_frames = np.maximum(frames[chosen].sum(axis=1), 1)
            return np.asarray(bits[chosen].sum(axis=1) / n_frames / AHEAD)

        rates = {model: rate(model) for model in self.predicted if model != OF_HEARD}
        rates["contingency"] = rates[BOTH] - rates[EXCHANGED]
        if SOUND in rates:
            silent = OF_HEARD if OF_HEARD in self.predicted else BOTH
            for name, places in _CUES.items():
                rates[name] = rate(SOUND, places) - rate(silent, places)
        return rates

    def record(self, seed: int) -> TimelineRecord:
        """The figures, each with its interval; None of which there is too little to tell."""
        hours = np.array([talk.hours for talk in self.talks])
        total_hours = float(hours.sum())
        hours_heard = 0.0
        if SOUND in self.predicted:
            is_heard = self.predicted[SOUND].frames.any(axis=1)
            hours_heard = float(hours @ is_heard)
        curve: list[CurvePoint] = []
        for point_hours, rate in self.curve:
            curve.append({"hours": round(point_hours, 3), "bits_a_second": round(rate, 4)})
        figures = {name: figure_if_learnt(values) for name, values in self.bootstrap_rates(seed).items()}
        record = {
            "conversations": len(self.talks),
            "hours": round(total_hours, 3),
            "hours_heard": round(hours_heard, 3),
            "enough": total_hours >= LEAST_HOURS,
            **figures,
            "curve": curve,
            "found": [pairing for pairing in self.pairings if pairing["kind"]],
            "undecided": sum(1 for pairing in self.pairings if pairing["kind"] is None),
        }
        return cast("TimelineRecord", record)


#: The share of the draws that is inside the interval.
INSIDE = 0.95


def figure(values: NDArray[np.float64]) -> Figure:
    """The first of the values, and the middle `INSIDE` of the others."""
    quantiles = ((1 - INSIDE) / 2, (1 + INSIDE) / 2)
    low, high = np.quantile(values[1:], quantiles).tolist()
    return {"bits_a_second": round(float(values[0]), 4), "low": round(low, 4), "high": round(high, 4)}


def figure_if_learnt(values: NDArray[np.float64]) -> Figure | None:
    """Return the figure of values; None if its interval has no width, because nothing was learnt."""
    result = figure(values)
    width = result["high"] - result["low"]
    return result if round(width, SHOWN_DIGITS) > 0 else None


def probe_timeline(probed: ProbedTalks, seed: int, workers: int) -> ProbedTimeline:
    """Train and judge all models, and return what each predicts."""
    talks = probed.talks
    jobs = list(jobs_of(probed, seed))
    work = partial(train_and_judge, probed, seed)
    results = in_processes(work, jobs, workers) if workers > 1 else map(work, jobs)
    shape = (len(talks), PLACES)
    totals: dict[str, PredictedBits] = {}
    fits = np.zeros((len(talks), len(WAYS)))
    curve: list[tuple[float, float]] = []
    for job, (predicted, job_fits) in zip(jobs, steps("models trained", results, len(jobs)), strict=True):
        if job.full:
            if job.model not in totals:
                totals[job.model] = PredictedBits(np.zeros(shape), np.zeros(shape, np.int64))
            totals[job.model].bits[job.judged] = predicted.bits
            totals[job.model].frames[job.judged] = predicted.frames
        if len(job_fits):
            fits[job.judged] = job_fits
        if job.model == BOTH and job.judged == jobs[0].judged:
            hours = sum(talks[number].hours for number in job.train)
            rate = predicted.bits.sum() / predicted.frames.sum() / AHEAD
            curve.append((hours, float(rate)))
    names = [talk.name for talk in talks]
    lengths = [len(talk.active) for talk in talks]
    return ProbedTimeline(talks, totals, sorted(curve), pairings(names, fits, lengths))
