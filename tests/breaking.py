"""Models that raise an error on one sound, which holds a moment of the bundled conversation about a bicycle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from audio_files import Samples, example
from scipy.signal import fftconvolve

from dailytalk_contiguous.core.sound.samples import pcm_to_float, to_pcm

#: The moment, in seconds of the left channel.
MOMENT = 12.0


def poison() -> Samples:
    """A tenth of a second of the victim that no other utterance has."""
    left = example("bicycle_repair")[:, 0]
    return pcm_to_float(to_pcm(left[round(MOMENT * 16000) : round((MOMENT + 0.1) * 16000)]))


def is_poisoned(sound: Samples) -> bool:
    """Whether a sound holds the victim's moment, at whatever level it is heard."""
    samples = np.asarray(sound, np.float64).ravel()
    moment = poison().astype(np.float64)
    if len(samples) < len(moment):
        return False
    products = fftconvolve(samples, moment[::-1], "valid")
    energies = fftconvolve(np.square(samples), np.ones(len(moment)), "valid")
    likeness = np.square(products) / np.maximum(energies * np.square(moment).sum(), 1e-12)
    return bool(likeness.max() > 0.999)


def break_method(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, sounds_of: Callable[..., Any]) -> None:
    """Let a method or function raise an error if one of the sounds that it is given is the victim's."""
    working = getattr(owner, name)

    def breaking(*arguments: Any, **options: Any) -> Any:
        if any(is_poisoned(sound) for sound in sounds_of(*arguments, **options)):
            raise RuntimeError("the logarithm of zero")
        return working(*arguments, **options)

    monkeypatch.setattr(owner, name, breaking)


#: An aligner in a file of one's own, which fails on a text with a river.
FRAIL = """
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models.alignment import Aligner


def load(device):
    def align(samples, words, language):
        if "river" in " ".join(words):
            {breaks}
        step = len(samples) / 16000 / len(words)
        return [Word(word, step * number, step * (number + 1), None) for number, word in enumerate(words)]

    return align


ALIGNER = Aligner("frail", load)
"""
