"""The probe of a dataset: how much of what each speaker does can be foreseen, and how much of it from the other.

Conversations are divided so that no speaker who is known, and no recording, is on both sides; each is judged once,
by models that were trained on others. The contingency is what is foreseen less what is foreseen where each side
has the partner of another conversation, by models trained and judged in the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import AHEAD, ActivityFrames, with_other_partners
from dailytalk_contiguous.apps.probe.foresight import BOTH, OWN, PLACES, SOUND, Foreseen, Foresight, one_thread
from dailytalk_contiguous.apps.probe.pairing import WAYS, paired_in, pairings
from dailytalk_contiguous.apps.probe.probed import SHOWN_DIGITS
from dailytalk_contiguous.apps.probe.timelines import ActiveTalk
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.run.processes import in_processes

#: Divisions, groups of conversations that are needed, and hours of talk under which nothing is told.
FOLDS = 3
FEWEST = 6
LEAST_HOURS = 2.0

#: Hours of training with which the learning curve begins; each point has twice those of the one before.
LEAST_CURVE_HOURS = 0.25

#: How often conversations are drawn anew for an interval, and the share of the draws that is inside it.
DRAWS = 1000
INSIDE = 0.95

#: `BOTH` with partners of other conversations; and, where not all have sound, with the conversations that do.
EXCHANGED = "exchanged"
OF_HEARD = "of_heard"

#: What is written of each figure, for those who read probe.json alone.
DEFINITIONS = {
    "own": "bits a second of the next two seconds of both speakers that are foreseen from each one's own speech",
    "both": "the same from the speech of both",
    "exchanged": "the same as both, trained and judged with partners of other conversations",
    "sound": "the same as both, with pitch, power and voicing of both",
    "contingency": "both less exchanged: what is foreseen of one speaker from what this other one does",
    "cues": "sound less both of the same conversations: what is heard, beyond when they speak",
    "cues_left": "cues in the half second after speech of the left has ended",
    "cues_right": "the same of the right, where none of the left has just ended",
    "cues_elsewhere": "cues at all other moments",
    "null": "too little: nothing was learnt, so that the interval of the figure has no width",
    "curve": "both, by hours of training talk; of all of these 0 is what the rates of speech alone foresee",
}


class Job(NamedTuple):
    """A model to train and to judge, and on which conversations; `full`: all that are not judged train it."""

    model: str
    train: list[int]
    judged: list[int]
    full: bool = True


#: What a model foresees, and the fits of the judged conversations in `pairing.WAYS`, if those are to be known.
JobResult = tuple[Foreseen, NDArray[np.float64]]


class ProbedTalks(NamedTuple):
    """The conversations of a timeline, in order, and what is heard of each (`apps.probe.heard_voice`), or None."""

    talks: list[ActiveTalk]
    sounds: list[NDArray[np.float16] | None]

    def frames(self, numbers: Sequence[int], sees: str, seed: int) -> ActivityFrames:
        """Of some of them; `sees`: a model, or `EXCHANGED`."""
        active = [self.talks[number].active for number in numbers]
        if sees == EXCHANGED:
            active = with_other_partners(active, [self.talks[number].group for number in numbers], seed)
        sounds = [self.sounds[number] for number in numbers] if sees == SOUND else []
        return ActivityFrames.of(active, [sound for sound in sounds if sound is not None])


def with_enough(source: str, timelines: Mapping[str, list[ActiveTalk]]) -> dict[str, list[ActiveTalk]]:
    """Those of a source of which conversations can be held out. Raises DailytalkError if there are none."""
    groups = {name: len({talk.group for talk in talks}) for name, talks in timelines.items()}
    if max(groups.values(), default=0) < FEWEST:
        name = max(groups, key=groups.__getitem__, default="")
        talks = counted(len(timelines.get(name, ())), "conversation")
        raise DailytalkError(
            f"{source!r} holds too little to tell: {talks} in which both speak, in "
            f"{counted(groups.get(name, 0), 'group')} without a speaker or a recording in common",
            f"add conversations, until there are {FEWEST} groups of people or more",
        )
    return {name: talks for name, talks in timelines.items() if groups[name] >= FEWEST}


def jobs_of(probed: ProbedTalks, seed: int) -> Iterator[Job]:
    groups = [talk.group for talk in probed.talks]
    for number, (train, judged) in enumerate(divisions(groups, FOLDS, seed)):
        for model in (BOTH, OWN, EXCHANGED):
            yield Job(model, train, judged)
        heard = [[index for index in part if probed.sounds[index] is not None] for part in (train, judged)]
        if len(heard[0]) > 1 and heard[1]:
            some = any(sound is None for sound in probed.sounds)
            for model in (SOUND, OF_HEARD) if some else (SOUND,):
                yield Job(model, heard[0], heard[1])
        order = np.random.default_rng(seed).permutation(train).tolist()
        hours = np.cumsum([probed.talks[index].hours for index in order])
        wanted = LEAST_CURVE_HOURS if number == 0 else hours[-1]
        while wanted < 0.75 * hours[-1]:
            yield Job(BOTH, order[: int(np.searchsorted(hours, wanted)) + 1], judged, full=False)
            wanted *= 2


def divisions(groups: Sequence[object], count: int, seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """Divisions of conversations into those to train on and those to judge, a group always on one side."""
    names = sorted({str(group) for group in groups})
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % count, strict=True))
    for number in range(count):
        judged = [index for index, group in enumerate(groups) if fold[str(group)] == number]
        if judged:
            yield [index for index, group in enumerate(groups) if fold[str(group)] != number], judged


def done(probed: ProbedTalks, seed: int, job: Job) -> JobResult:
    """The result of a job."""
    train, judged = (probed.frames(part, job.model, seed) for part in (job.train, job.judged))
    fitted = job.judged if job.model == BOTH and job.full else []
    with one_thread():
        model = Foresight(train, job.model if job.model in (OWN, SOUND) else BOTH, seed)
        fits = [model.fit(paired_in(probed.talks[number].active)) for number in fitted]
        return model.foreseen(judged, len(job.judged)), np.array(fits)


class ProbedTimeline(NamedTuple):
    """What was found of a timeline.

    Attributes:
        talks: its conversations.
        known: what each model foresees of them; 0 where it has not judged one.
        curve: hours of training, and the bits a second of `both`. pairings: as `pairing.pairings` gives them.
    """

    talks: list[ActiveTalk]
    known: dict[str, Foreseen]
    curve: list[tuple[float, float]]
    pairings: list[dict[str, Any]]

    def drawn(self, seed: int) -> dict[str, NDArray[np.float64]]:
        """Bits a second by the names of `DEFINITIONS`: of all, and of draws of them, shape (1 + draws,)."""
        chance = np.random.default_rng(seed)
        count = len(self.talks)
        chosen = np.concatenate(([np.arange(count)], chance.integers(count, size=(DRAWS, count))))

        def rate(model: str, places: Sequence[int] = range(PLACES)) -> Any:
            bits, frames = (each[:, places].sum(axis=1) for each in self.known[model])
            return bits[chosen].sum(axis=1) / np.maximum(frames[chosen].sum(axis=1), 1) / AHEAD

        rates = {model: rate(model) for model in self.known if model != OF_HEARD}
        rates["contingency"] = rates[BOTH] - rates[EXCHANGED]
        if SOUND in rates:
            silent = OF_HEARD if OF_HEARD in self.known else BOTH
            for name, places in (("", range(PLACES)), ("_left", [1]), ("_right", [2]), ("_elsewhere", [0])):
                rates[f"cues{name}"] = rate(SOUND, places) - rate(silent, places)
        return rates

    def record(self, seed: int) -> dict[str, Any]:
        """The figures, each with its interval; None of which there is too little to tell."""
        hours = np.array([talk.hours for talk in self.talks])
        heard = self.known[SOUND].frames.any(axis=1) if SOUND in self.known else np.zeros(len(hours))
        return {
            "conversations": len(self.talks),
            "hours": round(float(hours.sum()), 3),
            "hours_heard": round(float(hours @ heard), 3),
            "enough": bool(hours.sum() >= LEAST_HOURS),
            **{name: told(values) for name, values in self.drawn(seed).items()},
            "curve": [{"hours": round(hours, 3), "bits_a_second": round(rate, 4)} for hours, rate in self.curve],
            "found": [pairing for pairing in self.pairings if pairing["kind"]],
            "undecided": sum(pairing["kind"] is None for pairing in self.pairings),
        }


def figure(values: NDArray[np.float64]) -> dict[str, float]:
    """The first of the values, and the middle `INSIDE` of the others."""
    low, high = np.quantile(values[1:], ((1 - INSIDE) / 2, (1 + INSIDE) / 2)).tolist()
    return {"bits_a_second": round(float(values[0]), 4), "low": round(low, 4), "high": round(high, 4)}


def told(values: NDArray[np.float64]) -> dict[str, float] | None:
    """Their figure; None if its interval has no width: too little, for nothing was learnt."""
    result = figure(values)
    return result if round(result["high"] - result["low"], SHOWN_DIGITS) > 0 else None


def probe_timeline(probed: ProbedTalks, seed: int, workers: int) -> ProbedTimeline:
    """Train and judge all models, and say what each foresees."""
    talks = probed.talks
    jobs = list(jobs_of(probed, seed))
    work = partial(done, probed, seed)
    results = in_processes(work, jobs, workers) if workers > 1 else map(work, jobs)
    known: dict[str, Foreseen] = {}
    fits = np.zeros((len(talks), len(WAYS)))
    curve = list[tuple[float, float]]()
    for job, (seen, fit) in zip(jobs, steps("models trained", results, len(jobs)), strict=True):
        if job.full:
            shape = (len(talks), PLACES)
            of_all = known.setdefault(job.model, Foreseen(np.zeros(shape), np.zeros(shape, np.int64)))
            of_all.bits[job.judged], of_all.frames[job.judged] = seen
        if len(fit):
            fits[job.judged] = fit
        if job.model == BOTH and job.judged == jobs[0].judged:
            hours = sum(talks[number].hours for number in job.train)
            curve.append((hours, float(seen.bits.sum() / seen.frames.sum() / AHEAD)))
    found = pairings([talk.name for talk in talks], fits, [len(talk.active) for talk in talks])
    return ProbedTimeline(talks, known, sorted(curve), found)
