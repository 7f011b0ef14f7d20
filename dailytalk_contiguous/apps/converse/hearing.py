"""Recognition while a person speaks: at each pause, Whisper recognises the turn so far."""

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
    """Recognises one turn after another; used by one thread at a time."""

    def __init__(self, whisper: Whisper, language: str) -> None:
        self._whisper, self._language = whisper, language
        self.begin()

    def begin(self) -> None:
        """Start a turn, and forget the one before."""
        self._settled: list[Word] = []
        self._latest: list[Word] = []
        self._blocks: list[Samples] = []
        self._before = 0.0
        self._known = 0

    def push(self, samples: Samples) -> None:
        """Take sound of the turn (16 kHz, [-1, 1]), in order."""
        self._blocks.append(samples)

    def partial(self) -> str:
        """The text up to the last pause."""
        return "".join(word.text for word in (*self._settled, *self._latest)).strip()

    def words(self) -> list[Word]:
        """All words of the turn up to now, with times in its seconds: at a pause, after which more may come."""
        sound = np.concatenate([np.zeros(0, np.float32), *self._blocks])
        if len(sound) > self._known:
            self._latest, self._known = self._heard(sound), len(sound)
        if len(sound) > LONGEST_WINDOW * ANALYSIS_RATE:
            self._settled += self._latest
            self._before += len(sound) / ANALYSIS_RATE
            self._latest, self._blocks, self._known = [], [], 0
        return [*self._settled, *self._latest]

    def _heard(self, sound: Samples) -> list[Word]:
        frame = round(FRAME_SECONDS * ANALYSIS_RATE)
        whole = (0.0, len(sound) / ANALYSIS_RATE)
        pieces = cut_long([whole], frame_levels(sound, frame), FRAME_SECONDS, LONGEST_WINDOW)
        windows = np.split(sound, [round(piece.end * ANALYSIS_RATE) for piece in pieces[:-1]])
        recognised = self._whisper.transcribe(windows, [self._language] * len(windows))
        words, start = [], self._before
        for window, answer in zip(windows, recognised, strict=True):
            words += [word._replace(start=word.start + start, end=word.end + start) for word in answer.words]
            start += len(window) / ANALYSIS_RATE
        return words


def open_listening(model: str, language: str, device: str = "auto") -> Listening:
    """Load a recogniser (`models.whisper.load_whisper`) for a language (ISO 639-1).

    Raises ModelMissing for a missing model, and DailytalkError for a language that it does not know.
    """
    check_language(model, language)
    return Listening(load_whisper(model, device, beam=1), language)
