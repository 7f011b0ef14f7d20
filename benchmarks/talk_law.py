"""A law of talk at 20 frames a second, whose every probability is written here.

One of two has the floor. They speak; they stop for a pause and go on, or their pitch falls for six frames and they
end. After an end the other mostly takes the floor, around 0.3 s later or while the fall lasts; after a pause they
go on themselves, around 0.55 s later. While they speak the other may say a word and no more. So when they speak
tells much of what comes, and the fall, which can be heard and not seen, tells the rest.
"""

from bisect import bisect_right
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

#: Frames a second.
RATE = 20

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
    """The law as a Markov chain."""

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
