"""Recognition while a person speaks, made of any recogniser.

Pocketsphinx takes sound as it comes, so that hardly any work is left at a pause. It blocks all other threads of
its process meanwhile, and so has a process of its own in a conversation. Whisper recognises the turn so far at
each pause.
"""

import contextlib
import multiprocessing
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.hallucination import POCKETSPHINX
from dailytalk_contiguous.core.spans import cut_long, frame_levels
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.contracts import Recognised, Recogniser
from dailytalk_contiguous.models.recogniser import check_language, load_recogniser, new_decoder, words_of_decoder
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS

#: Seconds of a turn that a recogniser of windows gets at once; a longer turn is cut where it is quietest. At a
#: pause after them, the rest is a window of its own.
LONGEST_WINDOW = 24.0


class Listening(Protocol):
    """Recognises one turn after another; used by one thread at a time."""

    def begin(self) -> None:
        """Start a turn, and forget the one before."""

    def push(self, samples: Samples) -> None:
        """Take sound of the turn (16 kHz, [-1, 1]), in order."""

    def partial(self) -> str:
        """The text up to now, as far as it is known without waiting."""

    def words(self) -> list[Word]:
        """All words of the turn up to now, with times in its seconds: at a pause, after which more may come."""

    def close(self) -> None:
        """Release its resources."""


class SphinxListening:
    """Pocketsphinx, which searches while sound comes in."""

    def __init__(self) -> None:
        # Of 29 turns of examples/ 7.8 % of the words are wrong, against 9.3 % with its second pass and all of its
        # hypotheses, in 0.6 of the time; at the end of a turn 15 ms of work are left, and not 147.
        self._decoder: Any = new_decoder("live", fwdflat=False, maxhmmpf=3000)
        self._words: list[Word] = []
        self._opened = False
        self._samples = self._opened_at = 0

    def begin(self) -> None:
        if self._opened:
            self._decoder.end_utt()
        self._words, self._opened, self._samples = [], False, 0

    def push(self, samples: Samples) -> None:
        if not len(samples):
            return
        if not self._opened:
            self._decoder.start_utt()
            self._opened, self._opened_at = True, self._samples
        self._decoder.process_raw(to_pcm(samples).tobytes(), no_search=False, full_utt=False)
        self._samples += len(samples)

    def partial(self) -> str:
        guess = self._decoder.hyp() if self._opened else None
        known = "".join(word.text for word in self._words)
        return f"{known} {guess.hypstr if guess else ''}".strip()

    def words(self) -> list[Word]:
        if self._opened:
            self._decoder.end_utt()
            self._opened = False
            shift = self._opened_at / ANALYSIS_RATE
            new = [
                word._replace(start=word.start + shift, end=word.end + shift)
                for word in words_of_decoder(self._decoder)
            ]
            self._words += new
        return list(self._words)

    def close(self) -> None: ...


class ListeningProcess:
    """`SphinxListening` in a process of its own, which ends with this one. A dead one is started again."""

    def __init__(self) -> None:
        self._pipe: Connection | None = None
        self._start()

    def begin(self) -> None:
        if self._pipe is None:
            self._start()
        self._ask("begin")

    def push(self, samples: Samples) -> None:
        self._ask("push", samples)

    def partial(self) -> str:
        text: str = self._ask("partial")
        return text

    def words(self) -> list[Word]:
        words: list[Word] = self._ask("words")
        return words

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._process.join(1.0)
            self._process.kill()
            self._pipe = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_hear_for_another, args=(theirs,), daemon=True)
        with interrupts.starting_processes():
            self._process.start()
        theirs.close()

    def _ask(self, what: str, *values: Any) -> Any:
        try:
            if self._pipe is None:
                raise EOFError
            self._pipe.send((what, values))
            answer = self._pipe.recv() if what in _ANSWERED else None
        except (EOFError, OSError):
            self.close()
            raise DailytalkError("the recogniser's process has ended", "say it again") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


#: The methods that the process answers.
_ANSWERED = frozenset({"partial", "words"})


def _hear_for_another(pipe: Connection) -> None:
    listening = SphinxListening()
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, values = pipe.recv()
            try:
                answer = getattr(listening, what)(*values)
            except RuntimeError as error:  # Pocketsphinx's only one
                answer = error
            if what in _ANSWERED:
                pipe.send(answer)


class WindowListening:
    """A recogniser of windows: at each pause, it takes the window since the last full one."""

    def __init__(self, recogniser: Recogniser, language: str) -> None:
        self._recogniser, self._language = recogniser, language
        self.begin()

    def begin(self) -> None:
        self._settled: list[Word] = []
        self._latest: list[Word] = []
        self._blocks: list[Samples] = []
        self._before = 0.0
        self._known = 0

    def push(self, samples: Samples) -> None:
        self._blocks.append(samples)

    def partial(self) -> str:
        return "".join(word.text for word in (*self._settled, *self._latest)).strip()

    def words(self) -> list[Word]:
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
        recognised: list[Recognised] = self._recogniser.transcribe(windows, [self._language] * len(windows))
        words, start = [], self._before
        for window, answer in zip(windows, recognised, strict=True):
            words += [word._replace(start=word.start + start, end=word.end + start) for word in answer.words]
            start += len(window) / ANALYSIS_RATE
        return words

    def close(self) -> None: ...


def open_listening(model: str, language: str, device: str = "auto") -> Listening:
    """Open a recogniser (see `models.recogniser.load_recogniser`) for a language (ISO 639-1).

    Raises ModelMissing for a missing model, and DailytalkError for a language that it does not know.
    """
    check_language(model, language)
    if model == POCKETSPHINX:
        return ListeningProcess()
    return WindowListening(load_recogniser(model, device, "auto", 1, 1, short=True), language)
