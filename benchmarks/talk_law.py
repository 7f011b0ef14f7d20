"""A law of talk at 20 frames a second, whose every probability is written here, and what can be foreseen of it.

One of two has the floor. They speak; they stop for a pause and go on, or their pitch falls for six frames and they
end. After an end the other mostly takes the floor, around 0.3 s later or while the fall lasts; after a pause they
go on themselves, around 0.55 s later. While they speak the other may say a word and no more. So when they speak
tells much of what comes, and the fall, which can be heard and not seen, tells the rest.

It is a Markov chain, so the probability of each future (`apps.probe.activity`) is a sum over its states, which is
made backwards over the frames, exactly; what is foreseen by someone who knows the activity alone is that of the
states by the forward algorithm (Rabiner 1989).
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dailytalk_contiguous.apps.probe.activity import AHEAD, EDGES, FUTURES, RATE, Activity, ActivityFrames

#: Frames up to which the age of a state counts, of the fall before an end, and that any speech lasts.
OLDEST = 40
FALL = 6
SHORTEST = 8

#: Chances a frame, while somebody speaks: of the fall, of a pause, of a word of the other. In the second half of
#: the fall the other may begin; after it the same one may, and so may the other in a pause.
ENDS = 0.016
PAUSES = 0.012
ANSWERS = 0.008
OVERLAPS = 0.05
OTHERWISE = 0.01

#: Chance a frame by age that a word of the other ends, from the fifth frame on.
WORD_ENDS = 0.25

#: What somebody does who has the floor, which of both they are, for how many frames, and those of overlap.
State = tuple[str, int, int, int]


def _begins(middle: float, width: float) -> NDArray[np.float64]:
    """The chance a frame, by age, that silence ends: it rises around `middle` frames."""
    return 0.02 + 0.35 / (1 + np.exp(-(np.arange(1, OLDEST + 1) - middle) / width))


GAP = _begins(6, 1.0)
PAUSE = _begins(11, 1.5)


def after(state: State) -> list[tuple[float, State]]:
    """The law: each state that may follow, with its probability."""
    does, who, age, overlap = state
    other = 1 - who
    older = min(age + 1, OLDEST)
    goes_on = (does, who, older, overlap)
    if does == "speaks":
        if older <= SHORTEST:
            return [(1.0, goes_on)]
        leaves = [(ENDS, ("ends", who, 1, 0)), (PAUSES, ("pause", who, 1, 0)), (ANSWERS, ("answered", who, 1, 0))]
        return [*leaves, (1 - ENDS - PAUSES - ANSWERS, goes_on)]
    if does == "ends" and overlap:
        return [(1.0, ("speaks", other, overlap + 1, 0) if age == FALL else ("ends", who, age + 1, overlap + 1))]
    if does == "ends":
        if age == FALL:
            return [(1.0, ("gap", who, 1, 0))]
        begins = OVERLAPS * (age >= FALL // 2)
        return [(begins, ("ends", who, age + 1, 1)), (1 - begins, ("ends", who, age + 1, 0))]
    if does == "answered":
        ends = WORD_ENDS * (age >= 4)
        return [(ends, ("speaks", who, SHORTEST + 1, 0)), (1 - ends, goes_on)]
    likely, first, second = (GAP, other, who) if does == "gap" else (PAUSE, who, other)
    chance = float(likely[age - 1])
    begin = [(chance, ("speaks", first, 1, 0)), (OTHERWISE, ("speaks", second, 1, 0))]
    return [*begin, (1 - chance - OTHERWISE, goes_on)]


class TalkLaw:
    """The chain, and what follows from it."""

    def __init__(self) -> None:
        numbers: dict[State, int] = {("speaks", 0, 1, 0): 0}
        self.states: list[State] = [*numbers]
        entries = list[tuple[float, int, int]]()
        for number, state in enumerate(self.states):  # which grows
            for chance, new in after(state):
                if chance and new not in numbers:
                    numbers[new] = len(self.states)
                    self.states.append(new)
                if chance:
                    entries.append((chance, number, numbers[new]))
        chances, rows, columns = zip(*entries, strict=True)
        self.steps = csr_matrix((chances, (rows, columns)), shape=(len(self.states),) * 2)
        speaks = [
            [
                does not in ("gap", "pause") and (side == who or overlap > 0 or does == "answered")
                for side in (0, 1)
            ]
            for does, who, _, overlap in self.states
        ]
        self.active = np.array(speaks)
        self.fall = np.array(
            [
                [age if does == "ends" and side == who else 0 for side in (0, 1)]
                for does, who, age, _ in self.states
            ]
        )

    @cached_property
    def usual(self) -> NDArray[np.float64]:
        """How often each state is met."""
        often = np.full(len(self.states), 1 / len(self.states))
        for _ in range(20_000):
            often = self.steps.T @ often
        return np.asarray(often / often.sum())

    @cached_property
    def futures(self) -> NDArray[np.float64]:
        """The probability of each future of each side by state, shape (2, futures, states)."""
        return np.stack([self._futures(self.active[:, side]) for side in (0, 1)])

    def _futures(self, speaks: NDArray[np.bool_]) -> NDArray[np.float64]:
        later = {0: np.ones(len(speaks))}  # by the bits of the stretches from here on
        for bit, (first, last) in reversed([*enumerate(pairwise(EDGES))]):
            length = last - first
            now = dict[int, NDArray[np.float64]]()
            for code, chance in later.items():
                for is_speech in (0, 1):
                    # By frames of speech so far, of which the last column is never reached.
                    counts = np.zeros((len(speaks), length + 2))
                    counts[:, [n for n in range(length + 1) if (2 * n >= length) == is_speech]] = chance[:, None]
                    for _ in range(length):
                        counts = self.steps @ np.where(speaks[:, None], np.roll(counts, -1, axis=1), counts)
                    now[code | is_speech << bit] = counts[:, 0]
            later = now
        return np.stack([later[code] for code in range(FUTURES)])

    def talk(self, frames: int, chance: np.random.Generator) -> NDArray[np.int64]:
        """The states of a talk."""
        steps = self.steps
        numbers = np.empty(frames, np.int64)
        rows = [slice(*steps.indptr[row : row + 2]) for row in range(len(self.states))]
        summed = [(np.cumsum(steps.data[row]).tolist(), steps.indices[row].tolist()) for row in rows]
        at = int(chance.choice(len(self.states), p=self.usual))
        for frame, drawn in enumerate(chance.random(frames).tolist()):
            sums, following = summed[at]
            at = following[min(bisect_right(sums, drawn), len(following) - 1)]
            numbers[frame] = at
        return numbers

    def foreseeable(self, talks: list[NDArray[np.int64]]) -> tuple[float, float]:
        """Bits a second of talks foreseen by who knows the activity until then, and by who knows the states."""
        base = np.log2(self.futures @ self.usual)
        totals = np.zeros(2)
        frames = 0
        for states in talks:
            known = ActivityFrames.of([self.active[states]])
            at = known.usable
            by_activity = np.stack([*self._told(known.active)])[at]
            for side in (0, 1):
                comes = known.future[at, side]
                seen = by_activity[np.arange(len(at)), side, comes], self.futures[side, comes, states[at]]
                totals += [float((np.log2(each) - base[side, comes]).sum()) for each in seen]
            frames += len(at)
        activity, both = (totals / frames / AHEAD).tolist()
        return activity, both

    def _told(self, active: Activity) -> Iterator[NDArray[np.float64]]:
        """The probability of each future at each frame, given the activity until then, shape (2, futures)."""
        belief = self.usual
        back = self.steps.T.tocsr()
        flat = self.futures.reshape(-1, len(self.states))
        for frame, speaks in enumerate(active):
            belief = (back @ belief if frame else belief) * (self.active == speaks).all(axis=1)
            belief /= belief.sum()
            yield (flat @ belief).reshape(2, FUTURES)

    def sound(
        self, states: NDArray[np.int64], sample_rate: int, falls: bool, chance: np.random.Generator
    ) -> NDArray[np.float32]:
        """A talk as two voices of six harmonics, whose pitch wanders by about a semitone; shape (samples, 2).

        `falls`: whether it falls by six semitones where a turn ends.
        """
        hop = sample_rate // RATE
        samples = 0.001 * chance.standard_normal((len(states) * hop, 2))
        for side, hertz in enumerate((120.0, 210.0)):
            wandering = 0.0
            semitones = np.empty(len(states))
            for frame, step in enumerate(chance.standard_normal(len(states)).tolist()):
                wandering = 0.8 * wandering + 0.6 * step
                semitones[frame] = wandering
            pitch = hertz * 2 ** ((semitones - falls * self.fall[states, side]) / 12)
            phase = 2 * np.pi * np.cumsum(np.repeat(pitch, hop)) / sample_rate
            voice = sum(np.sin(number * phase) / number for number in range(1, 7))
            samples[:, side] += 0.1 * voice * np.repeat(self.active[states, side], hop)
        return samples.astype(np.float32)
