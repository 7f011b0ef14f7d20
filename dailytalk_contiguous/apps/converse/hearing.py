"""Recognition while a person speaks: at each pause, Whisper recognises the turn so far."""

from collections.abc import Callable
from functools import partial

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.spans import cut_long, frame_levels
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS
from dailytalk_contiguous.models.whisper import Whisper, check_language, load_whisper

#: Seconds of a turn that a recogniser gets at once; a longer turn is cut where it is quietest. At a pause after
#: them, the rest is a window of its own.
LONGEST_WINDOW = 24.0


class Listening:
    """Recognises one turn; used by one thread at a time."""

    def __init__(self, whisper: Whisper, language: str) -> None:
        self._whisper, self._language = whisper, language
        self._settled: list[Word] = []
        self._before = 0

    def words(self, turn: Samples) -> list[Word]:
        """All words of the turn so far (16 kHz, [-1, 1]), with times in its seconds: at a pause; more may come."""
        sound = turn[self._before :]
        if not len(sound):
            return self._settled
        frame = round(FRAME_SECONDS * ANALYSIS_RATE)
        whole = (0.0, len(sound) / ANALYSIS_RATE)
        pieces = cut_long([whole], frame_levels(sound, frame), FRAME_SECONDS, LONGEST_WINDOW)
        windows = np.split(sound, [round(piece.end * ANALYSIS_RATE) for piece in pieces[:-1]])
        recognised = self._whisper.transcribe(windows, [self._language] * len(windows))
        words, start = [*self._settled], self._before / ANALYSIS_RATE
        for window, answer in zip(windows, recognised, strict=True):
            words += [word._replace(start=word.start + start, end=word.end + start) for word in answer.words]
            start += len(window) / ANALYSIS_RATE
        if whole[1] > LONGEST_WINDOW:
            self._settled, self._before = words, len(turn)
        return words


def open_listening(model: str, language: str, device: str = "auto") -> Callable[[], Listening]:
    """Load a recogniser (`models.whisper.load_whisper`) for a language (ISO 639-1); returns what begins a turn.

    Raises ModelMissing for a missing model, and DailytalkError for a language that it does not know.
    """
    check_language(model, language)
    return partial(Listening, load_whisper(model, device, beam=1), language)
