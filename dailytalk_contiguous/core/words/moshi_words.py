"""Words in the form of moshi-finetune, `{"alignments": [[word, [start, end], speaker], …]}` beside each WAV, and
the frames in which they begin.

The trainer gives every frame of Mimi (80 ms) one token of text. The tokens of a word fill the frames from its
first one on; where the next word begins, the rest of them is dropped. So the first of two words that begin in one
frame is lost, and a word of three tokens with one frame to the next one is cut. A start that moves by one
frame at most, inside its utterance, repairs nearly all of it, which is below the resolution of a codec of 80 ms a
frame.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from dailytalk_contiguous.core.documents import LATEST, is_number, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quotas import MOST_WORDS, Quota
from dailytalk_contiguous.core.records.schema import MAIN, OTHER
from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.words.word import Word


def said_words(alignments: object, where: str, remedy: str) -> list[Word]:
    """Read the words beside a WAV of a Moshi folder, `[[word, [start, end], speaker], …]`, in their order.

    Their `side` is the speaker in the file: `MAIN` is Moshi, on the left, and all others are on the right. Times
    are any seconds up to `LATEST` before or after the start; `check` says which of them a trainer can use. Raises
    BadInput with this remedy, naming `where`.
    """
    entries = alignments if isinstance(alignments, list) else [alignments]
    Quota(f"the text beside {where}", MOST_WORDS, "words", remedy).take(len(entries))
    words: list[Word] = []
    for entry in entries:
        word: Word | None = None
        match entry:
            case [str(text), [start, end], str(speaker)]:
                if is_number(start, -LATEST, LATEST) and is_number(end, -LATEST, LATEST):
                    word = Word(text, start, end, speaker=speaker)
        if word is None:
            problem = f"a word beside {where} is {quoted(entry)}, not [word, [start, end], speaker]"
            raise BadInput(problem, remedy)
        words.append(word)
    return words


def alignments_of(words: Iterable[Word]) -> list[tuple[str, list[float], str]]:
    """Write the words of a conversation with Moshi on the left, in the form that `said_words` reads."""
    alignments = []
    for word in words:
        times = [round(word.start, 6), round(word.end, 6)]
        alignments.append((word.word, times, MAIN if word.speaker == "left" else OTHER))
    return alignments


#: Frames of Mimi in a second.
FRAME_RATE = 12.5

#: Seconds that a start keeps from the edge of its frame. It survives times that are written to six digits, and the
#: rounding of a trainer that takes the start of its window from them.
_INSIDE = 1e-6

#: Seconds that a word has at least after its start moved: the trainer drops those that have none.
_SHORTEST = 0.02


class SpokenWord(NamedTuple):
    """A word of one speaker, in seconds, with its number of `tokens`; its start may move in [`first`, `last`)."""

    start: float
    end: float
    tokens: int
    first: float
    last: float


class FrameTimes(NamedTuple):
    """Start and end of each word in seconds, and numbers of words that moved to another frame, are lost or cut."""

    times: list[TimeSpan]
    moved: int
    lost: int
    cut: int


def frame_of(start: float) -> int:
    """Return the frame in which a word that starts at these seconds begins."""
    return math.floor(start * FRAME_RATE + _INSIDE)


def place_words(words: Sequence[SpokenWord]) -> FrameTimes:
    """Give each word a frame of its own, or where there is room as many as it has tokens.

    Args:
        words: words of one speaker, by start.

    A word moves by a frame at most, and only if the one before it needs its frame, or the one after it the next.
    Words stay in order; where one begins earlier, the one before it ends there.
    """
    source_frames = [frame_of(word.start) for word in words]
    frames = _frames_in_reach(words, source_frames)
    starts: list[float] = []
    for word, frame, source_frame in zip(words, frames, source_frames, strict=True):
        starts.append(_start_in(word, frame, source_frame))
    times: list[TimeSpan] = []
    moved = 0
    for index, (word, start) in enumerate(zip(words, starts, strict=True)):
        is_moved = frame_of(start) != source_frames[index]
        moved += int(is_moved)
        end = max(word.end, start + _SHORTEST) if is_moved else word.end
        if index + 1 < len(words):
            # An overlap of the source is not hidden: `check` reports it.
            limit = starts[index + 1]
            is_new_overlap = is_moved or limit < words[index + 1].start
            if start < limit < end and is_new_overlap:
                end = limit
        times.append((start, end))
    placed_frames = [frame_of(start) for start in starts]
    rooms = [after - before for before, after in pairwise(placed_frames)]
    lost = 0
    cut = 0
    for room, word in zip(rooms, words, strict=False):
        if room <= 0:
            lost += 1
        elif room < word.tokens:
            cut += 1
    return FrameTimes(times, moved, lost, cut)


def _frames_in_reach(words: Sequence[SpokenWord], source_frames: Sequence[int]) -> list[float]:
    """Return the frame of each word, at most one away from that of its source; frames rise where there is room."""
    reach: list[tuple[int, int]] = []  # the first and the last frame that each word can have
    for word, frame in zip(words, source_frames, strict=True):
        can_move_left = frame > 0 and frame / FRAME_RATE - _INSIDE >= word.first
        can_move_right = (frame + 1) / FRAME_RATE + _INSIDE < word.last
        first = frame - 1 if can_move_left else frame
        last = frame + 1 if can_move_right else frame
        reach.append((first, last))
    limits: list[float] = [math.inf]  # frames in which words leave room for those after them, from the last on
    for word, (first, last) in zip(reversed(words), reversed(reach), strict=True):
        leaves_room = limits[-1] - word.tokens
        limits.append(max(first, min(last, leaves_room)))
    limits.reverse()
    frames: list[float] = []
    previous = -math.inf
    room = 1
    for word, source_frame, (first, last), limit in zip(words, source_frames, reach, limits, strict=False):
        behind_tokens = max(source_frame, previous + room)
        wished = max(first, previous + 1, min(behind_tokens, limit))
        previous = max(previous, min(last, wished))
        room = word.tokens
        frames.append(previous)
    return frames


#: Seconds by which a start may move: one frame.
MOST_MOVED = 1 / FRAME_RATE


def _start_in(word: SpokenWord, frame: float, source_frame: int) -> float:
    """Return the seconds at which a word starts in a frame, as near to its own start as possible."""
    edge = frame / FRAME_RATE
    if frame == source_frame:
        return max(word.start, edge + _INSIDE)
    if frame < source_frame:
        return edge + (MOST_MOVED - _INSIDE)
    return edge + _INSIDE
