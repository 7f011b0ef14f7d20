"""When each of two speakers speaks, frame by frame, and what a model may know of that at a frame.

The future of a speaker is that of voice activity projection (Ekstedt and Skantze 2022, arXiv 2205.09812): whether
they speak for most of each of four stretches of the next two seconds.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.utterance import sounding_span

#: Frames a second, and those at which the stretches of the future begin and end (0, 0.2, 0.6, 1.2, 2 s).
RATE = 20
EDGES = (0, 4, 12, 24, 40)

#: Seconds of the future, and how many there are of it: speech or none in each stretch.
AHEAD = EDGES[-1] / RATE
FUTURES = 2 ** (len(EDGES) - 1)

#: Frames before now over which the share of speech is known: 1, 3, 10 and 30 s.
WINDOWS = (20, 60, 200, 600)

#: Centres, in powers of two of frames, by which the age of a state is known: 0.05 to 100 s.
AGES = np.arange(12, dtype=np.float32)

#: Frames after the end of a stretch of speech in which a listener must know whether that ended a turn: 0.5 s.
JUST_ENDED = 10

Activity = NDArray[np.bool_]


def activity_of(row: Mapping[str, Any], timeline: str = "") -> Activity:
    """Whether each side (left, right) speaks in each frame, shape (frames, 2); `timeline`: `source_`, or here."""
    spans = [
        (CHANNELS.index(said["channel"]), span)
        for said in row["utterances"] or ()
        if (timeline or said["status"] != "dropped") and (span := sounding_span(said, timeline))
    ]
    seconds = row["source_duration"] if timeline else row["duration"]
    active = np.zeros((int((seconds or 0.0) * RATE), 2), bool)
    for side, (start, end) in spans:
        active[max(0, round(start * RATE)) : max(0, round(end * RATE)), side] = True
    return active


class ActivityFrames(NamedTuple):
    """What is known at each frame of conversations, one after another; arrays of shape (frames, 2).

    Attributes:
        active: whether each side speaks. age: frames since that changed, this one included.
        speech, silence: frames of the last whole stretch of each before the present one; 0 if there was none.
        total: frames of speech so far, in this conversation.
        place: number of the frame in its conversation, shape (frames,).
        future: number of the future of each side, in `FUTURES`; −1 where it is not whole.
        number: that of the conversation, shape (frames,).
        sound: what is heard of each side (`heard_voice`), shape (frames, 2, 8), or (frames, 2, 0) without sound.
    """

    active: Activity
    age: NDArray[np.int32]
    speech: NDArray[np.int32]
    silence: NDArray[np.int32]
    total: NDArray[np.int32]
    place: NDArray[np.int32]
    future: NDArray[np.int8]
    number: NDArray[np.int32]
    sound: NDArray[np.float16]

    @classmethod
    def of(cls, conversations: Sequence[Activity], sounds: Sequence[NDArray[np.float16]] = ()) -> "ActivityFrames":
        parts = [_frames(active, number) for number, active in enumerate(conversations)]
        sound = np.concatenate(sounds) if sounds else np.empty((sum(map(len, conversations)), 2, 0), np.float16)
        return cls._make([*map(np.concatenate, zip(*parts, strict=True)), sound])

    @property
    def usable(self) -> NDArray[np.intp]:
        """The frames of which both futures are known."""
        return np.flatnonzero((self.future >= 0).all(axis=1))

    def just_ended(self, frames: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether speech of each side has ended by then, and `JUST_ENDED` before at most, shape (n, 2)."""
        is_new = self.age[frames] <= JUST_ENDED
        return np.asarray(~self.active[frames] & is_new & (self.total[frames] > 0))

    def known(self, frames: NDArray[np.intp], side: int) -> NDArray[np.float32]:
        """What is known of a side at frames, shape (n, width): ages of what it does, shares, last lengths."""
        active = self.active[frames, side]
        age = np.log2(self.age[frames, side]).astype(np.float32)
        ages = np.exp(-0.5 * np.square((age[:, None] - AGES) / 0.7), dtype=np.float32)
        shares = np.empty((len(frames), len(WINDOWS)), np.float32)
        for number, window in enumerate(WINDOWS):
            length = np.minimum(window, self.place[frames] + 1)
            before = np.where(length <= self.place[frames], self.total[frames - length, side], 0)
            shares[:, number] = (self.total[frames, side] - before) / length
        lasts = np.log2(1 + np.stack((self.speech[frames, side], self.silence[frames, side]), axis=1)) / 8
        return np.concatenate(
            (ages * active[:, None], ages * ~active[:, None], shares, lasts), axis=1, dtype=np.float32
        )


def _frames(active: Activity, number: int) -> tuple[NDArray[Any], ...]:
    count = len(active)
    at = np.arange(count, dtype=np.int32)
    age, speech, silence = (np.zeros((count, 2), np.int32) for _ in range(3))
    for side in (0, 1):
        changes = np.flatnonzero(np.diff(active[:, side])) + 1
        starts = np.concatenate(([0], changes)).astype(np.int32)
        run = np.searchsorted(starts, at, "right") - 1
        age[:, side] = at - starts[run] + 1
        lengths = np.concatenate(([0, 0], np.diff(starts))).astype(np.int32)  # of the run before, and before that
        before = lengths[run + 1]
        earlier = lengths[run]
        speech[:, side] = np.where(active[:, side], earlier, before)
        silence[:, side] = np.where(active[:, side], before, earlier)
    total = np.cumsum(active, axis=0, dtype=np.int32)
    future = np.full((count, 2), -1, np.int8)
    whole = count - EDGES[-1]
    if whole > 0:
        codes = np.zeros((whole, 2), np.int8)
        for bit, (first, last) in enumerate(pairwise(EDGES)):
            speaks = total[last : whole + last] - total[first : whole + first]
            codes |= np.int8(1 << bit) * (2 * speaks >= last - first)
        future[:whole] = codes
    return active, age, speech, silence, total, at, future, np.full(count, number, np.int32)


def with_other_partners(conversations: Sequence[Activity], groups: Sequence[int], seed: int) -> list[Activity]:
    """The left sides, each with the right side of another conversation, as long as the shorter of both.

    Conversations of like length change partners, so that little is cut off; where they can, those of different
    `groups`: variants of one recording are the same people at other times.
    """
    order = sorted(range(len(conversations)), key=lambda number: (len(conversations[number]), number))
    chance = np.random.default_rng(seed)
    partner = dict[int, int]()
    for group in np.array_split(order, max(1, len(order) // 8)):
        drawn = chance.permutation(group).tolist()
        turned = [[*zip(drawn, drawn[by:] + drawn[:by], strict=True)] for by in range(1, len(drawn))]
        partner |= dict(min(turned, key=lambda pairs: sum(groups[own] == groups[other] for own, other in pairs)))
    pairs = [(own, conversations[partner[number]]) for number, own in enumerate(conversations)]
    return [np.stack((own[: len(other), 0], other[: len(own), 1]), axis=1) for own, other in pairs]
