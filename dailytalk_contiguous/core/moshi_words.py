"""Words as moshi-finetune has them: `{"alignments": [[word, [start, end], speaker], …]}` beside each WAV, and the
frames in which they begin.

The trainer gives every frame of Mimi (80 ms) one token of text. The tokens of a word fill the frames from its
first one on; where the next word begins, what is left of them is dropped. So of two words that begin in one frame
the first is lost, and a word of three tokens with one frame to the next one is cut. A start that moves by one
frame at most, inside its utterance, repairs nearly all of it, which is below the resolution of a codec of 80 ms a
frame.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from dailytalk_contiguous.core.documents import LATEST, is_number, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import MAIN


class SaidWord(NamedTuple):
    """A word of a file: its text, start and end in seconds, speaker, and that speaker's channel."""

    text: str
    start: float
    end: float
    speaker: str
    channel: int


def said_words(alignments: Any, where: str, remedy: str) -> list[SaidWord]:
    """The words beside a WAV of a Moshi folder, `[[word, [start, end], speaker], …]`, in their order.

    Times are any seconds up to `LATEST` before or after the start: which of them a trainer can use, `check` says.
    Raises BadInput with this remedy, naming `where`.
    """
    words = []
    for entry in alignments if isinstance(alignments, list) else [alignments]:
        match entry:
            case [str(text), [start, end], str(speaker)] if is_number(start, -LATEST, LATEST) and is_number(
                end, -LATEST, LATEST
            ):
                words.append(SaidWord(text, start, end, speaker, 0 if speaker == MAIN else 1))
            case _:
                problem = f"a word beside {where} is {quoted(entry)}, not [word, [start, end], speaker]"
                raise BadInput(problem, remedy)
    return words


#: Frames of Mimi in a second.
FRAME_RATE = 12.5

#: Seconds by which a start may move: one frame.
MOST_MOVED = 1 / FRAME_RATE

#: Seconds that a start keeps from the edge of its frame. It survives times that are written to six digits, and the
#: rounding of a trainer that takes the start of its window from them.
_INSIDE = 1e-6

#: Seconds that a word has at least after its start moved: the trainer drops those that have none.
_SHORTEST = 0.02


class SpokenWord(NamedTuple):
    """A word of one speaker, in seconds; `tokens` that it has; its start may move in [`first`, `last`)."""

    start: float
    end: float
    tokens: int
    first: float
    last: float


class FrameTimes(NamedTuple):
    """Start and end of each word in seconds; how many moved to another frame, are lost, and are cut."""

    times: list[tuple[float, float]]
    moved: int
    lost: int
    cut: int


def frame_of(start: float) -> int:
    """The frame in which a word that starts at these seconds begins."""
    return math.floor(start * FRAME_RATE + _INSIDE)


def place_words(words: Sequence[SpokenWord]) -> FrameTimes:
    """Give each word a frame of its own, or where there is room as many as it has tokens.

    Args:
        words: of one speaker, by start.

    A word moves by a frame at most, and only if the one before it needs its frame, or the one after it the next.
    Words stay in order; where one begins earlier, the one before it ends there.
    """
    own = [frame_of(word.start) for word in words]
    reach = [
        (
            frame - (frame > 0 and frame / FRAME_RATE - _INSIDE >= word.first),
            frame + ((frame + 1) / FRAME_RATE + _INSIDE < word.last),
        )
        for word, frame in zip(words, own, strict=True)
    ]
    latest: list[float] = [math.inf]  # frames in which words leave room for those after them
    for word, (first, last) in zip(reversed(words), reversed(reach), strict=True):
        latest.insert(0, max(first, min(last, latest[0] - word.tokens)))
    starts: list[float] = []
    at = -math.inf
    room = 1
    for word, frame, (first, last), limit in zip(words, own, reach, latest, strict=False):
        at = max(at, min(last, max(first, at + 1, min(max(frame, at + room), limit))))
        room = word.tokens
        edge = at / FRAME_RATE
        moved = edge + (MOST_MOVED - _INSIDE if at < frame else _INSIDE)
        starts.append(max(word.start, edge + _INSIDE) if at == frame else moved)
    times = []
    for index, (word, start) in enumerate(zip(words, starts, strict=True)):
        is_moved = frame_of(start) != own[index]
        end = max(word.end, start + _SHORTEST) if is_moved else word.end
        limit = starts[index + 1] if index + 1 < len(words) else end
        # What overlapped before is not hidden: `check` reports it.
        if start < limit < end and (is_moved or limit < words[index + 1].start):
            end = limit
        times.append((start, end))
    frames = [frame_of(start) for start in starts]
    rooms = [after - before for before, after in pairwise(frames)]
    return FrameTimes(
        times,
        sum(frame != before for frame, before in zip(frames, own, strict=True)),
        sum(room <= 0 for room in rooms),
        sum(0 < room < word.tokens for room, word in zip(rooms, words, strict=False)),
    )
