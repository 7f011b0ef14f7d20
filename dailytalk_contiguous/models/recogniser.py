"""What a speech recogniser is to the rest of the package, and which one a name means."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.packing import Word

#: The recogniser of the embedded profile: its English model comes in its wheel.
POCKETSPHINX = "pocketsphinx"

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


def load_recogniser(
    model: str, device: str, compute_type: str, beam: int, batch_windows: int, short: bool = False
) -> Recogniser:
    """The recogniser that `model` names, loaded once per process. Raises ModelMissing.

    `short`: it sees a window as it is, where it has the choice (see `models.whisper`).
    """
    if model == POCKETSPHINX:
        from dailytalk_contiguous.models.sphinx import load_sphinx

        return load_sphinx()
    from dailytalk_contiguous.models.whisper import load_whisper

    return load_whisper(model, device, compute_type, beam, batch_windows, short)


def recognise_at(model: str, device: str, samples: Samples, sample_rate: int, language: str) -> list[Word]:
    """The words that `model` hears in samples of any rate, in their seconds; `und` has the language told first."""
    recogniser = load_recogniser(model, device, "auto", 5, 16)
    signal = np.asarray(soxr.resample(samples, sample_rate, ANALYSIS_RATE), np.float32)
    known = language if language != "und" else recogniser.detect_language(signal)
    return recogniser.transcribe([signal], [known])[0].words


def find_recogniser(model: str) -> None:
    """Make sure that the weights of `model` are on this machine, downloading them if need be.

    Raises ModelMissing.
    """
    if model != POCKETSPHINX:
        from dailytalk_contiguous.models.whisper import find_whisper

        find_whisper(model)
