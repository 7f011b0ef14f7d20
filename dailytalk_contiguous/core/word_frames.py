"""When each word begins, so that Moshi's trainer keeps it.

moshi-finetune gives every frame of Mimi (80 ms) one token of text. The tokens of a word fill the frames from its
first one on; where the next word begins, what is left of them is dropped. So of two words that begin in one
frame the first is lost, and a word of three tokens with one frame to the next one is cut. A start that moves by
one frame at most, inside its utterance, mends nearly all of it, and no codec of 80 ms a frame could tell.
"""

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

#: Frames of Mimi in a second.
FRAME_RATE = 12.5

#: Seconds by which a start may move: one frame.
MOST_MOVED = 1 / FRAME_RATE

#: Seconds that a start keeps from the edge of its frame. It survives times that are written to six digits, and the
#: rounding of a trainer that takes the start of its window from them.
_INSIDE = 1e-6

#: Words lost, of a way to place them that would change their order: more than any conversation has.
_NEVER = sys.maxsize

#: Seconds that a word has at least after its start moved: the trainer drops those that have none.
_SHORTEST = 0.02


class Spoken(NamedTuple):
    """A word of one speaker, in seconds; `tokens` that it has; its start may move in [`first`, `last`)."""

    start: float
    end: float
    tokens: int
    first: float
    last: float


class Placed(NamedTuple):
    """Start and end of each word in seconds; how many moved to another frame, are lost, and are cut."""

    times: list[tuple[float, float]]
    moved: int
    lost: int
    cut: int


class _Choice(NamedTuple):
    """A frame in which a word may begin, and the start there."""

    frame: int
    start: float
    moved: float


def frame_of(start: float) -> int:
    """The frame in which a word that starts at these seconds begins."""
    return math.floor(start * FRAME_RATE + _INSIDE)


def place_words(words: Sequence[Spoken]) -> Placed:
    """The starts with which the fewest words are lost, then the fewest cut, then the least is moved.

    Args:
        words: of one speaker, by start.

    Words stay in order. One that neither has to move nor is in another's way keeps its times; where a word begins
    earlier, the one before it ends there.
    """
    if not words:
        return Placed([], 0, 0, 0)
    choices = [_choices(word) for word in words]
    costs = [[(0, 0, choice.moved) for choice in choices[0]]]
    came_from: list[list[int]] = [[0] * len(choices[0])]
    for before, after, word in zip(choices, choices[1:], words, strict=False):
        reached, origins = [], []
        for choice in after:
            ways = [
                _sum(costs[-1][place], _lost_and_cut(earlier, choice, word.tokens), choice)
                for place, earlier in enumerate(before)
            ]
            best = min(range(len(ways)), key=ways.__getitem__)
            reached.append(ways[best])
            origins.append(best)
        costs.append(reached)
        came_from.append(origins)
    place = min(range(len(costs[-1])), key=costs[-1].__getitem__)
    lost, cut, _ = costs[-1][place]
    chosen: list[_Choice] = []
    for options, origins in zip(reversed(choices), reversed(came_from), strict=True):
        chosen.append(options[place])
        place = origins[place]
    chosen.reverse()
    moved = sum(choice.frame != frame_of(word.start) for choice, word in zip(chosen, words, strict=True))
    return Placed(_times(words, chosen), moved, lost, cut)


def _choices(word: Spoken) -> list[_Choice]:
    """Its own frame, then the neighbours that its start may move to."""
    frame = frame_of(word.start)
    edge = frame / FRAME_RATE
    choices = [_Choice(frame, max(word.start, edge + _INSIDE), 0.0)]
    for other, start in ((frame - 1, edge - _INSIDE), (frame + 1, edge + MOST_MOVED + _INSIDE)):
        if other >= 0 and word.first <= start < word.last:
            choices.append(_Choice(other, start, abs(start - word.start)))
    return choices


def _lost_and_cut(before: _Choice, after: _Choice, tokens: int) -> tuple[int, int]:
    """Whether a word of so many tokens is lost, and whether it is cut, by the one after it."""
    if after.start < before.start:
        return _NEVER, 0
    room = after.frame - before.frame
    return int(room <= 0), int(0 < room < tokens)


def _sum(cost: tuple[int, int, float], more: tuple[int, int], choice: _Choice) -> tuple[int, int, float]:
    return cost[0] + more[0], cost[1] + more[1], cost[2] + choice.moved


def _times(words: Sequence[Spoken], chosen: Sequence[_Choice]) -> list[tuple[float, float]]:
    times = []
    for place, (word, choice) in enumerate(zip(words, chosen, strict=True)):
        end = max(word.end, choice.start + _SHORTEST) if choice.moved else word.end
        if place + 1 < len(words):
            following, limit = words[place + 1], chosen[place + 1].start
            # What overlapped before is not hidden: `check` tells of it.
            if choice.start < limit < end and (choice.moved or limit < following.start):
                end = limit
        times.append((choice.start, end))
    return times
