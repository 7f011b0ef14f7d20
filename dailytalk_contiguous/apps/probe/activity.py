"""When each of two speakers speaks, frame by frame, and what a model may know of that at a frame.

The future of a speaker is that of voice activity projection (Ekstedt and Skantze 2022, arXiv 2205.09812): whether
they speak for most of each of four stretches of the next two seconds.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.words.word import Span

#: Frames a second.
RATE = 20

#: Frames at which the stretches of the future begin and end (0, 0.2, 0.6, 1.2, 2 s).
EDGES = (0, 4, 12, 24, 40)

#: Seconds of the future.
AHEAD = EDGES[-1] / RATE

#: The number of possible futures: speech or none in each stretch.
FUTURES = 2 ** (len(EDGES) - 1)

#: Frames before now over which the share of speech is known: 1, 3, 10 and 30 s.
WINDOWS = (20, 60, 200, 600)

#: Centres, in powers of two of frames, by which the age of a state is known: 0.05 to 100 s.
AGES = np.arange(12, dtype=np.float32)

#: Frames after the end of a stretch of speech in which a listener must know whether that ended a turn: 0.5 s.
JUST_ENDED = 10

Activity = NDArray[np.bool_]


def activity_of(talk: Conversation) -> Activity:
    """Whether each side (left, right) of the result speaks in each frame, shape (frames, 2)."""
    spans = [(utterance.channel, utterance.new_sounding) for utterance in talk.audible_utterances]
    return _activity(talk.built_duration, spans)


def recorded_activity(talk: Conversation) -> Activity:
    """The same at the times of the recording."""
    timed = [utterance for utterance in talk.utterances if utterance.has_recorded_times]
    return _activity(talk.duration, [(utterance.channel, utterance.sounding) for utterance in timed])


def _activity(seconds: float | None, spans: Iterable[tuple[str, Span | None]]) -> Activity:
    n_frames = 0 if seconds is None else int(seconds * RATE)
    active = np.zeros((n_frames, 2), bool)
    for channel, span in spans:
        if span is not None:
            first = max(0, round(span.start * RATE))
            last = max(0, round(span.end * RATE))
            active[first:last, CHANNELS.index(channel)] = True
    return active


class ActivityFrames(NamedTuple):
    """The state of both sides at each frame of conversations, one after another; arrays of shape (frames, 2).

    Attributes:
        active: whether each side speaks.
        age: frames since that changed, this one included.
        speech: frames of the last whole stretch of speech before the present stretch; 0 if there was none.
        silence: frames of the last whole silence before the present stretch; 0 if there was none.
        total: frames of speech so far, in this conversation.
        position: number of the frame in its conversation, shape (frames,).
        future: number of the future of each side, in `FUTURES`; −1 where it is not whole.
        number: that of the conversation, shape (frames,).
        sound: what is heard of each side (`heard_voice`), shape (frames, 2, 8), or (frames, 2, 0) without sound.
    """

    active: Activity
    age: NDArray[np.int32]
    speech: NDArray[np.int32]
    silence: NDArray[np.int32]
    total: NDArray[np.int32]
    position: NDArray[np.int32]
    future: NDArray[np.int8]
    number: NDArray[np.int32]
    sound: NDArray[np.float16]

    @classmethod
    def from_conversations(
        cls, conversations: Sequence[Activity], sounds: Sequence[NDArray[np.float16]] = ()
    ) -> "ActivityFrames":
        """Return the frames of conversations, with the sound of each where `sounds` has it."""
        parts: list[ActivityFrames] = []
        for number, active in enumerate(conversations):
            sound = sounds[number] if sounds else np.empty((len(active), 2, 0), np.float16)
            parts.append(_frames(active, number, sound))
        return cls._make(map(np.concatenate, zip(*parts, strict=True)))

    @property
    def usable(self) -> NDArray[np.intp]:
        """The frames of which both futures are known."""
        return np.flatnonzero((self.future >= 0).all(axis=1))

    def just_ended(self, frames: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether speech of each side has ended by then, and `JUST_ENDED` before at most, shape (n, 2)."""
        is_new = self.age[frames] <= JUST_ENDED
        has_spoken = self.total[frames] > 0
        return np.asarray(~self.active[frames] & is_new & has_spoken)

    def features(self, frames: NDArray[np.intp], side: int) -> NDArray[np.float32]:
        """Return the features of a side at frames, shape (n, width): ages of its state, shares, last lengths."""
        active = self.active[frames, side]
        age = np.log2(self.age[frames, side]).astype(np.float32)
        deviations = (age[:, None] - AGES) / 0.7
        ages = np.exp(-0.5 * np.square(deviations), dtype=np.float32)
        shares = np.empty((len(frames), len(WINDOWS)), np.float32)
        for number, window in enumerate(WINDOWS):
            length = np.minimum(window, self.position[frames] + 1)
            total_before = self.total[frames - length, side]
            before = np.where(length <= self.position[frames], total_before, 0)
            shares[:, number] = (self.total[frames, side] - before) / length
        last_speech = self.speech[frames, side]
        last_silence = self.silence[frames, side]
        last_lengths = np.stack((last_speech, last_silence), axis=1)
        lasts = np.log2(1 + last_lengths) / 8
        ages_of_speech = ages * active[:, None]
        ages_of_silence = ages * ~active[:, None]
        return np.concatenate((ages_of_speech, ages_of_silence, shares, lasts), axis=1, dtype=np.float32)


def _frames(active: Activity, number: int, sound: NDArray[np.float16]) -> ActivityFrames:
    """The frames of the conversation of this number."""
    count = len(active)
    positions = np.arange(count, dtype=np.int32)
    age = np.zeros((count, 2), np.int32)
    speech = np.zeros((count, 2), np.int32)
    silence = np.zeros((count, 2), np.int32)
    for side in (0, 1):
        changes = np.flatnonzero(np.diff(active[:, side])) + 1
        starts = np.concatenate(([0], changes)).astype(np.int32)
        run = np.searchsorted(starts, positions, "right") - 1
        age[:, side] = positions - starts[run] + 1
        lengths = np.concatenate(([0, 0], np.diff(starts))).astype(np.int32)
        before = lengths[run + 1]  # of the run before this one
        earlier = lengths[run]  # of the run before that one
        speech[:, side] = np.where(active[:, side], earlier, before)
        silence[:, side] = np.where(active[:, side], before, earlier)
    total = np.cumsum(active, axis=0, dtype=np.int32)
    return ActivityFrames(
        active=active,
        age=age,
        speech=speech,
        silence=silence,
        total=total,
        position=positions,
        future=_futures(total),
        number=np.full(count, number, np.int32),
        sound=sound,
    )


def _futures(total: NDArray[np.int32]) -> NDArray[np.int8]:
    """The number of the future of each side at each frame, by its frames of speech so far; −1 near the end."""
    count = len(total)
    future = np.full((count, 2), -1, np.int8)
    n_whole = count - EDGES[-1]
    if n_whole > 0:
        codes = np.zeros((n_whole, 2), np.int8)
        for bit, (first, last) in enumerate(pairwise(EDGES)):
            spoken = total[last : n_whole + last] - total[first : n_whole + first]
            speaks = 2 * spoken >= last - first
            codes |= np.int8(1 << bit) * speaks
        future[:n_whole] = codes
    return future


def with_other_partners(conversations: Sequence[Activity], groups: Sequence[int], seed: int) -> list[Activity]:
    """The left sides, each with the right side of another conversation, as long as the shorter of both.

    Conversations of like length change partners, so that little is cut off; where they can, those of different
    `groups`: variants of one recording are the same people at other times.
    """
    order = sorted(range(len(conversations)), key=lambda number: (len(conversations[number]), number))
    chance = np.random.default_rng(seed)
    partners: dict[int, int] = {}
    for batch in np.array_split(order, max(1, len(order) // 8)):
        drawn = chance.permutation(batch).tolist()
        exchanges: list[tuple[int, list[tuple[int, int]]]] = []  # each with its number of pairs of one group
        for turn in range(1, len(drawn)):
            turned = drawn[turn:] + drawn[:turn]
            pairs = [*zip(drawn, turned, strict=True)]
            n_alike = sum(1 for number, partner in pairs if groups[number] == groups[partner])
            exchanges.append((n_alike, pairs))
        _, exchange = min(exchanges, key=itemgetter(0))
        partners.update(exchange)
    exchanged: list[Activity] = []
    for number, active in enumerate(conversations):
        other = conversations[partners[number]]
        length = min(len(active), len(other))
        left = active[:length, 0]
        right = other[:length, 1]
        exchanged.append(np.stack((left, right), axis=1))
    return exchanged
