"""Tracks that are not of one talk, or out of step: people who talk wait for each other, while such tracks overlap
as often as by chance.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.spans import TimeSpan, rounded_frames

#: Seconds of a frame.
TALK_FRAME = 0.1

#: Seconds by which one side is moved against the other at most.
FURTHEST_TALK = 10.0

#: Seconds of speech that each side needs.
LEAST_SPEECH = 20.0

#: Share of the overlap that chance would give from which a talk may be out of step. This limit and the next two
#: are set on the four examples: 0.14 to 0.24, with more overlap in at least 98 % of the other places; moved by 3
#: or 8 s, drifting by 3 % or without a 20th of the buffers 0.61 to 1.59, in at most 89 %. Two real calls
#: (SpokenWOZ): 0.06 and 0.16, in at least 96 %; spoiled the same way 0.37 to 1.17, in at most 90 %. By a delay of
#: 1 s one of these two is not found.
BY_CHANCE = 0.35

#: A talk is in step if at least this share of the other places has more overlap.
ELSEWHERE = 0.93

#: A talk is in step unless the best place has less than this share of its overlap.
LESS = 0.85


def out_of_step(left: Sequence[TimeSpan], right: Sequence[TimeSpan]) -> str | None:
    """Describe how two sides of a conversation, as (start, end) in seconds, fail to wait for each other.

    The result is None if they do wait, and where one of them has under `LEAST_SPEECH`.
    """
    ends = [end for _, end in (*left, *right)]
    last_end = max(ends, default=0.0)
    count = int(last_end / TALK_FRAME) + 1
    sides = np.stack([rounded_frames(count, spans, TALK_FRAME) for spans in (left, right)]).astype(np.float64)
    spoken_left, spoken_right = sides.sum(axis=1)
    if min(spoken_left, spoken_right) * TALK_FRAME < LEAST_SPEECH:
        return None
    overlap = float(sides[0] @ sides[1]) * count / (spoken_left * spoken_right)
    if overlap < BY_CHANCE:
        return None
    ratios = _overlaps_when_moved(sides)
    best = int(np.argmin(ratios))
    elsewhere = float(np.mean(ratios > overlap))
    if elsewhere >= ELSEWHERE or ratios[best] >= LESS * overlap:
        return None
    frames_earlier = best - round(FURTHEST_TALK / TALK_FRAME)
    direction = "earlier" if frames_earlier > 0 else "later"
    moved = f"{abs(frames_earlier) * TALK_FRAME:.1f} s {direction}"
    both_speak = f"both speak at once {overlap:.0%} as often as by chance"
    return f"{both_speak}, and {ratios[best]:.0%} with the right side {moved}"


def _overlaps_when_moved(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the overlap against chance with the right side moved by up to `FURTHEST_TALK` later and earlier."""
    count = sides.shape[1]
    furthest = round(FURTHEST_TALK / TALK_FRAME)
    earlier = np.arange(furthest, -furthest - 1, -1).clip(min=0)  # frames by which the right side begins earlier
    later = earlier[::-1]
    # Frames of speech before each frame.
    left_before, right_before = np.concatenate([np.zeros((2, 1)), sides.cumsum(axis=1)], axis=1)
    spoken_left = left_before[count - later] - left_before[earlier]
    spoken_right = right_before[count - earlier] - right_before[later]
    left, right = sides
    together = np.correlate(np.pad(right, furthest), left, "valid")
    by_chance = spoken_left * spoken_right / (count - earlier - later)
    return np.asarray(together / np.maximum(by_chance, 1e-9))
