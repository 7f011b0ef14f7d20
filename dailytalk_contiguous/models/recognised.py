"""What a speech recogniser is to the rest of the package: the contract that its adapters keep."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.packing import Word

Samples = NDArray[np.float32]


class Recognised(NamedTuple):
    """What was heard in a window: words with times in its seconds, and how sure the recogniser was of it.

    `avg_logprob` is the mean log probability of a token, `no_speech_prob` the probability that nobody speaks;
    NaN where a recogniser has no such number. `cut_off`: it can say no more about one window, so that words may
    lack at its end.
    """

    words: list[Word]
    avg_logprob: float
    no_speech_prob: float
    cut_off: bool = False


class Recogniser(Protocol):
    """Turns windows of speech into words.

    `packs`: whether it gains from several utterances in one window. `punctuates`: whether it writes marks.
    """

    packs: bool
    punctuates: bool

    def detect_language(self, samples: Samples) -> str:
        """ISO 639-1 code of the language of 16 kHz samples in [-1, 1]."""

    def transcribe(self, windows: Sequence[Samples], languages: Sequence[str]) -> list[Recognised]:
        """Words of each window (16 kHz, [-1, 1], at most 30 s), in the language of its code."""
