"""The speech of the voice: sentences in order, word by word, which can pause, go on from a word, or stop."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.apps.converse.dialogue import ReplySentence, heard_part
from dailytalk_contiguous.apps.converse.sound_blocks import TALK_RATE
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.word_times import Word

#: Seconds in which a voice that is silenced fades.
_FADE = 0.01

#: The level at which a sound begins and ends, and seconds of quiet kept after it: a synthesiser's silence delays.
_AUDIBLE, _AFTER = 0.003, 0.15


class Said(NamedTuple):
    """A spoken sentence: its span in seconds of the talk, its words, and whether it was completed."""

    number: int
    sentence: ReplySentence
    start: float
    end: float
    words: list[Word]
    heard: str
    complete: bool


class _Saying:
    """A sentence that waits or is being spoken; `pieces` are (sample of the talk, first, last sample of it)."""

    def __init__(self, number: int, sentence: ReplySentence, samples: Samples, words: Sequence[Word]) -> None:
        self.number, self.sentence, self.samples, self.words = number, sentence, samples, list(words)
        self.at = 0
        self.pieces: list[list[int]] = []

    def planned(self) -> Said:
        begin = self.pieces[0][0] / TALK_RATE
        words = [word._replace(start=begin + word.start, end=begin + word.end) for word in self.words]
        end = words[-1].end if words else begin + len(self.samples) / TALK_RATE
        return Said(self.number, self.sentence, begin, end, words, self.sentence.text, False)

    def said(self) -> Said:
        at, words = self.at / TALK_RATE, []
        for word in self.words:
            if word.start < at:
                sample = round(word.start * TALK_RATE)
                piece = next(piece for piece in reversed(self.pieces) if piece[1] <= sample)
                start = (piece[0] + sample - piece[1]) / TALK_RATE
                words.append(word._replace(start=start, end=start + min(word.end, at) - word.start))
        first, last = self.pieces[0], self.pieces[-1]
        complete = self.at >= len(self.samples) or (bool(self.words) and at >= self.words[-1].end)
        spoken = [(word.text, word.start, word.end) for word in self.words]
        heard = self.sentence.text if complete or not spoken else heard_part(spoken, at)
        end = (last[0] + last[2] - last[1]) / TALK_RATE
        if complete and words:
            end = min(end, words[-1].end)
        return Said(self.number, self.sentence, first[0] / TALK_RATE, end, words, heard, complete)


class Mouth:
    """Sentences that are spoken in order, in blocks."""

    def __init__(self) -> None:
        self._waiting: deque[_Saying] = deque()
        self._clock = 0
        self._tail = np.zeros(0, np.float32)
        self.paused = False

    @property
    def active(self) -> bool:
        """Whether a sentence is being spoken, waits, or is paused."""
        return bool(self._waiting)

    @property
    def begun(self) -> bool:
        """Whether a part of the current sentence was played."""
        return bool(self._waiting) and bool(self._waiting[0].pieces)

    @property
    def left(self) -> float:
        """Seconds that are left to say."""
        return sum(len(saying.samples) - saying.at for saying in self._waiting) / TALK_RATE

    @property
    def saying(self) -> ReplySentence | None:
        return self._waiting[0].sentence if self.begun else None

    @property
    def planned(self) -> Said | None:
        """The current sentence, to its end."""
        return self._waiting[0].planned() if self.begun else None

    def add(self, number: int, sentence: ReplySentence, samples: Samples, words: Sequence[Word]) -> None:
        """Append a sentence: samples at `TALK_RATE`, words in its seconds."""
        samples, words = _without_silence(samples, words)
        self._waiting.append(_Saying(number, sentence, samples, words))

    def pull(self, count: int, hold: bool = False) -> tuple[Samples, list[Said]]:
        """The next samples to play, and the sentences that end with them. `hold`: start no sentence."""
        out, done = np.zeros(count, np.float32), list[Said]()
        filled = min(count, len(self._tail))
        out[:filled], self._tail = self._tail[:filled], np.zeros(0, np.float32)
        while filled < count and self._waiting and not self.paused:
            saying = self._waiting[0]
            if hold and not saying.pieces:
                break
            taken = min(count - filled, len(saying.samples) - saying.at)
            out[filled : filled + taken] = saying.samples[saying.at : saying.at + taken]
            if not saying.pieces or saying.pieces[-1][2] != saying.at:
                saying.pieces.append([self._clock + filled, saying.at, saying.at])
            saying.at += taken
            saying.pieces[-1][2] = saying.at
            filled += taken
            if saying.at >= len(saying.samples):
                done.append(saying.said())
                self._waiting.popleft()
        self._clock += count
        return out, done

    def pause(self) -> None:
        self._fade()
        self.paused = True

    def unsay(self, seconds: float) -> None:
        """Take back the end of the current sentence, which was dropped before it was audible."""
        if seconds > 0 and self.begun:
            saying = self._waiting[0]
            taken = min(round(seconds * TALK_RATE), saying.pieces[-1][2] - saying.pieces[-1][1])
            saying.at -= taken
            saying.pieces[-1][2] -= taken
            self._tail = np.zeros(0, np.float32)

    def go_on(self) -> None:
        """Go on with the word at which the voice paused."""
        self.paused, self._tail = False, np.zeros(0, np.float32)
        if self.begun:
            saying = self._waiting[0]
            at = saying.at / TALK_RATE
            word = next((word for word in saying.words if word.start <= at < word.end), None)
            saying.at = round(word.start * TALK_RATE) if word else saying.at

    def stop(self, unheard: float = 0.0) -> Said | None:
        """Say nothing more. Returns the current sentence, if any, without its part that was not played.

        `unheard`: seconds of sound that were dropped; of a voice that pauses they were silence.
        """
        if not self.paused:
            self._fade()
            self.unsay(unheard)
        said = self._waiting[0].said() if self.begun else None
        self._waiting.clear()
        self.paused = False
        return said

    def _fade(self) -> None:
        if self.begun and not self.paused:
            saying = self._waiting[0]
            tail = saying.samples[saying.at : saying.at + round(_FADE * TALK_RATE)]
            self._tail = tail * np.linspace(1, 0, len(tail), dtype=np.float32)


def _without_silence(samples: Samples, words: Sequence[Word]) -> tuple[Samples, list[Word]]:
    loud = np.flatnonzero(np.abs(samples) > _AUDIBLE)
    if not len(loud):
        return samples, list(words)
    first = max(0, int(loud[0]) - round(_FADE * TALK_RATE))
    last = min(len(samples), int(loud[-1]) + round(_AFTER * TALK_RATE))
    shift, end = first / TALK_RATE, (last - first) / TALK_RATE
    moved = [
        word._replace(start=min(end, max(0.0, word.start - shift)), end=min(end, max(0.0, word.end - shift)))
        for word in words
    ]
    return samples[first:last], moved
