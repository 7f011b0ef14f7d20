"""The speech of the voice: sentences in order, word by word, which can pause, go on from a word, or stop."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from dailytalk_contiguous.apps.converse.dialogue import ReplySentence
from dailytalk_contiguous.apps.converse.sound_blocks import TALK_RATE
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.utterance import CUT_MARK
from dailytalk_contiguous.core.word_times import Word

#: Seconds in which a voice that is silenced fades.
_FADE = 0.01

#: The level at which a sound begins and ends, and seconds of quiet kept after it: a synthesiser's silence delays.
_AUDIBLE, _AFTER = 0.003, 0.15


@dataclass(eq=False)
class Saying:
    """A sentence that waits or is being spoken.

    Attributes:
        samples: at `TALK_RATE`.
        words: with times in seconds of `samples`.
        at: how many samples were played.
        start, end: of what was played, in seconds of the talk.
        spoken: the words that were begun, with times in seconds of the talk.
        stopped: whether nothing more of it will be played.
    """

    sentence: ReplySentence
    samples: Samples
    words: list[Word]
    at: int = 0
    start: float | None = None
    end: float = 0.0
    spoken: list[Word] = field(default_factory=list)
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether its last word is heard to its end, unless it is stopped yet."""
        last = self.words[-1].end if self.words else len(self.samples) / TALK_RATE
        return not self.stopped or self.at >= min(len(self.samples), last * TALK_RATE)

    @property
    def heard(self) -> str:
        """The text up to the word in which the voice stopped; an interrupted one ends in `CUT_MARK`."""
        if self.complete or not self.words:
            return self.sentence.text
        return " ".join([*(word.text for word in self.spoken), CUT_MARK])

    @property
    def timed(self) -> list[Word]:
        """The words in seconds of the talk: those that were spoken and, unless it is stopped, those to come."""
        if self.stopped:
            return [word._replace(end=min(word.end, self.end)) for word in self.spoken]
        return [*self.spoken, *self._from_now(self.words[len(self.spoken) :])]

    def _from_now(self, words: list[Word]) -> list[Word]:
        shift = self.end - self.at / TALK_RATE
        return [word._replace(start=word.start + shift, end=word.end + shift) for word in words]

    def move_to(self, at: int) -> None:
        """Go back to a sample: what is after it was not spoken."""
        self.at = at
        before = sum(word.start * TALK_RATE < at for word in self.words)
        self.spoken = self.spoken[:before]

    def play(self, count: int, time: float) -> Samples:
        """The next samples, `count` at most, which are played at a second of the talk."""
        played = self.samples[self.at : self.at + count]
        self.start = time if self.start is None else self.start
        self.end = time
        begun = [word for word in self.words[len(self.spoken) :] if word.start * TALK_RATE < self.at + len(played)]
        self.spoken += self._from_now(begun)
        self.at += len(played)
        self.end += len(played) / TALK_RATE
        return played


class Mouth:
    """Sentences that are spoken in order, in blocks."""

    def __init__(self) -> None:
        self._waiting: deque[Saying] = deque()
        self._count = 0
        self._tail = np.zeros(0, np.float32)
        self.paused = False

    @property
    def active(self) -> bool:
        """Whether a sentence is being spoken, waits, or is paused."""
        return bool(self._waiting)

    @property
    def saying(self) -> Saying | None:
        """The sentence that is being spoken."""
        return self._waiting[0] if self._waiting and self._waiting[0].start is not None else None

    @property
    def left(self) -> float:
        """Seconds that are left to say."""
        return sum(len(saying.samples) - saying.at for saying in self._waiting) / TALK_RATE

    def add(self, sentence: ReplySentence, samples: Samples, words: list[Word]) -> None:
        """Append a sentence, without the silence around it: samples at `TALK_RATE`, words in its seconds."""
        loud = np.flatnonzero(np.abs(samples) > _AUDIBLE)
        if len(loud):
            samples = samples[int(loud[0]) : int(loud[-1]) + round(_AFTER * TALK_RATE)]
            shift, end = int(loud[0]) / TALK_RATE, len(samples) / TALK_RATE
            edges = np.clip([(word.start - shift, word.end - shift) for word in words], 0.0, end).tolist()
            words = [word._replace(start=at[0], end=at[1]) for word, at in zip(words, edges, strict=True)]
        self._waiting.append(Saying(sentence, samples, words))

    def pull(self, count: int, hold: bool = False) -> tuple[Samples, list[Saying]]:
        """The next samples to play, and the sentences that end with them. `hold`: start no sentence."""
        out, done = np.zeros(count, np.float32), list[Saying]()
        filled = min(count, len(self._tail))
        out[:filled], self._tail = self._tail[:filled], np.zeros(0, np.float32)
        while filled < count and self._waiting and not self.paused and (self.saying or not hold):
            saying = self._waiting[0]
            played = saying.play(count - filled, (self._count + filled) / TALK_RATE)
            out[filled : filled + len(played)] = played
            filled += len(played)
            if saying.at >= len(saying.samples):
                done.append(self._waiting.popleft())
        self._count += count
        return out, done

    def pause(self, unheard: float) -> None:
        """Fall silent. `unheard`: seconds of sound that were dropped before they were audible."""
        saying = self.saying
        if saying is not None and not self.paused:
            tail = saying.samples[saying.at : saying.at + round(_FADE * TALK_RATE)]
            self._tail = tail * np.linspace(1, 0, len(tail), dtype=np.float32)
            if unheard:
                self._tail = np.zeros(0, np.float32)
                dropped = min(round(unheard * TALK_RATE), saying.at)
                saying.move_to(saying.at - dropped)
                saying.end -= dropped / TALK_RATE
        self.paused = True

    def go_on(self) -> None:
        """Go on with the word at which the voice paused, if it did."""
        saying, paused = self.saying, self.paused
        self.paused = False
        if saying is not None and paused:
            self._tail = np.zeros(0, np.float32)
            at = saying.at / TALK_RATE
            word = next((word for word in saying.words if word.start <= at < word.end), None)
            saying.move_to(int(word.start * TALK_RATE) if word else saying.at)

    def stop(self, unheard: float = 0.0) -> Saying | None:
        """Say nothing more. Returns the current sentence, if any; `unheard` as in `pause`."""
        self.pause(unheard)
        saying, self.paused = self.saying, False
        if saying is not None:
            saying.stopped = True
        self._waiting.clear()
        return saying
