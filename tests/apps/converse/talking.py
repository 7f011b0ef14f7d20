"""Talks that are simulated: real speech from examples/, an ear and a mind that are scripted, a voice of tones."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.apps.converse.dialogue import ReplySentence, TurnEmotion
from dailytalk_contiguous.apps.converse.sound_blocks import BLOCK, TALK_RATE
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent, TalkParts
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.models.contracts import ChatMessage, Spoken

EXAMPLES = Path(__file__).parents[3] / "examples/conversations"


def example(name: str, start: float, end: float, channel: int) -> Samples:
    """Speech out of an example, at the rate of a talk."""
    audio = {"bytes": None, "path": str(EXAMPLES / f"{name}.flac")}
    return read_at(audio, TALK_RATE, start, end - start)[:, channel]


#: A question of two seconds and a half, "Right.", and an interruption of three.
QUESTION = example("old_friends", 19.4 - 7.3, 13.8, 1)
RIGHT = example("bicycle_repair", 12.06, 12.55, 1)
WAIT = example("bicycle_repair", 41.45, 44.6, 1)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * TALK_RATE), np.float32)


def ears(texts: Iterable[str]) -> Callable[[Samples], list[Word]]:
    """Recognises in each turn what a list says. A turn that goes on begins as it was before."""
    coming = itertools.chain(texts, itertools.repeat("something"))
    before = silence(0.0)
    text = ""

    def recognise(turn: Samples) -> list[Word]:
        nonlocal before, text
        n_before = len(before)
        goes_on = 0 < n_before < len(turn) and np.array_equal(turn[:n_before], before)
        before = turn
        text = text if goes_on else next(coming)
        return [Word(f" {word}", 0.3 + 0.2 * i, 0.5 + 0.2 * i, None) for i, word in enumerate(text.split())]

    return recognise


class Pieces:
    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self.closed = False

    def __iter__(self) -> "Pieces":
        return self

    def __next__(self) -> str:
        if self.closed:
            raise StopIteration
        return next(self._pieces)

    def close(self) -> None:
        self.closed = True


class ScriptedMind:
    """Answers by a function of the messages; remembers what it was asked."""

    name = "scripted"
    service = ""

    def __init__(self, answer: Callable[[Sequence[ChatMessage]], Iterable[str]]) -> None:
        self.answer = answer
        self.asked: list[list[tuple[str, str]]] = []

    def preflight(self) -> None: ...

    def reply(self, messages: Sequence[ChatMessage], most_tokens: int) -> Pieces:
        self.asked.append([tuple(message) for message in messages])  # type: ignore[misc]
        return Pieces(self.answer(messages))


def tones(sentence: ReplySentence) -> Spoken:
    """A tone of 0.3 s for each word."""
    words = sentence.text.split()
    n = round(0.3 * TALK_RATE)
    tone = 0.2 * np.sin(np.arange(n) * 0.06)
    samples = np.tile(tone, len(words)).astype(np.float32)
    timed = [Word(word, 0.3 * index, 0.3 * (index + 1), 1.0) for index, word in enumerate(words)]
    return Spoken(samples, TALK_RATE, timed, 0.0)


class Microphone:
    """Blocks for a simulated talk, and what it played."""

    name = "simulated"
    lag = 0.0
    echoes = False

    def read(self, idle: bool) -> Samples | None:
        return None

    def play(self, block: Samples) -> None: ...

    def mute(self) -> None: ...

    def close(self) -> None: ...


class Simulation:
    """A simulated talk: `events` by kind, `played` as one signal."""

    def __init__(
        self,
        heard: Sequence[str],
        answer: Callable[[Sequence[ChatMessage]], Iterable[str]] | str = "I hear you. Tell me more about it.",
        folder: Path | None = None,
        speak: Callable[[ReplySentence], Spoken] = tones,
        recognise: Callable[[Samples], list[Word]] | None = None,
        feel: Callable[[Samples, float], TurnEmotion | None] | None = None,
        threaded: bool = False,
        settings: TalkSettings | None = None,
        **modes: Any,
    ) -> None:
        self.mind = ScriptedMind((lambda messages: [str(answer)]) if isinstance(answer, str) else answer)
        about = {"language": "en", "speakers": {}, "provenance": {}, "synthesis": {}}
        self.record = TalkRecord(folder, "talk", about) if folder else None
        self.events: list[TalkEvent] = []
        parts = TalkParts(recognise or ears(heard), feel, self.mind, speak, "You listen.")
        self.microphone = Microphone()
        self.talk = Talk(
            settings or TalkSettings(), parts, self.microphone, self._told, self.record, threaded=threaded, **modes
        )
        self._played: list[Samples] = []

    def _told(self, event: TalkEvent) -> None:
        self.events.append(event)

    def hear(self, *sounds: Samples) -> "Simulation":
        """Play sounds to the microphone, up to a whole block."""
        signal = np.concatenate(sounds)
        signal = np.pad(signal, (0, -len(signal) % BLOCK))
        for start in range(0, len(signal), BLOCK):
            self._played.append(self.talk.step(signal[start : start + BLOCK]))
        return self

    def until_idle(self, seconds: float = 30.0) -> "Simulation":
        for _ in itertools.takewhile(lambda _: not self.talk.idle, range(round(seconds * TALK_RATE / BLOCK))):
            self.hear(silence(BLOCK / TALK_RATE))
        return self

    @property
    def played(self) -> Samples:
        return np.concatenate(self._played)

    def of(self, kind: str) -> list[str]:
        return [event.text for event in self.events if event.kind == kind]
