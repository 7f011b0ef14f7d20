"""Recognisers by name, and the one that comes with the package: pocketsphinx."""

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import soxr

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.contracts import Recognised, Recogniser
from dailytalk_contiguous.models.devices import check_compute_type, compute_type_of, resolve_device
from dailytalk_contiguous.store.checkpoint import checkpointed

# CMU Pocketsphinx: the recogniser of the embedded profile, which needs nothing but its wheel.
#
# A preview: it recognises clear readers of English well and telephone talk badly, and writes neither capitals nor
# marks. Cepstral means are taken over each utterance (`cmn=batch`) and its front end is set up again for each:
# otherwise a row would depend on the audio before it.


#: Seconds of one frame of its word times.
FRAME_SECONDS = 0.01

#: Variants of pronunciation are written `was(2)`.
_VARIANT = re.compile(r"\(\d+\)$")


class Sphinx:
    """Pocketsphinx with its US English model."""

    packs = False
    punctuates = False

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self._decoder: Any = Decoder(samprate=ANALYSIS_RATE, cmn="batch", loglevel="FATAL")

    def detect_language(self, samples: Samples) -> str:
        """English: the wheel holds no other model."""
        return "en"

    def transcribe(self, windows: Sequence[Samples], languages: Sequence[str]) -> list[Recognised]:
        """Words of each window. Raises DailytalkError for another language than English."""
        check_english(languages)
        recognise = checkpointed(self._recognise, Recognised.of_json)
        return [recognised for window in windows for recognised in recognise([window])]

    def _recognise(self, windows: Sequence[Samples]) -> list[Recognised]:
        return [self._recognise_window(window) for window in windows]

    def _recognise_window(self, window: Samples) -> Recognised:
        interrupts.check_interrupt()
        decoder = self._decoder
        decoder.reinit_feat()  # 0.2 ms; with `cmn=batch` alone, words of two in nine utterances still moved
        decoder.start_utt()
        decoder.process_raw(to_pcm(window).tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()
        words = []
        for segment in decoder.seg() or ():
            if segment.word[0] in "<[":  # silence, noise, sentence edges
                continue
            words.append(
                Word(
                    " " + _VARIANT.sub("", segment.word),
                    segment.start_frame * FRAME_SECONDS,
                    (segment.end_frame + 1) * FRAME_SECONDS,
                    None,  # its posteriors come to 1 for nearly every word, right or wrong
                )
            )
        return Recognised(words, math.nan, math.nan)


def check_english(languages: Iterable[str]) -> None:
    """Raise DailytalkError for languages other than English, of which the wheel holds no model."""
    foreign = sorted(set(languages) - {"en"})
    if foreign:
        raise DailytalkError(
            f"pocketsphinx understands English only, not {', '.join(foreign)}",
            "use --asr-model with a Whisper model, or --language en",
        )


@lru_cache(maxsize=1)
def load_sphinx() -> Sphinx:
    """The decoder of this process."""
    return Sphinx()


# Which speech recogniser a name means, and the one that this process has loaded.


#: The recogniser of the embedded profile: its English model comes in its wheel.
POCKETSPHINX = "pocketsphinx"

#: The size of Whisper that is used where none is named.
WHISPER = "medium"


def load_recogniser(
    model: str, device: str, compute_type: str, beam: int, batch_windows: int, short: bool = False
) -> Recogniser:
    """The recogniser that `model` names, loaded once per process. Raises ModelMissing, and DailytalkError for CUDA
    that is not there.

    `short`: it sees a window as it is, where it has the choice (see `models.whisper`).
    """
    if model == POCKETSPHINX:
        return load_sphinx()
    from dailytalk_contiguous.models.whisper import load_whisper

    # Settled here, so that who asks for `auto` and who names what it means share one loaded model.
    settled = resolve_device(device), compute_type_of(device, compute_type)
    return load_whisper(model, *settled, beam, batch_windows, short)


def settled_type(model: str, device: str, compute_type: str) -> str:
    """The compute type of `model`, known before it is loaded: `auto` for one that has no choice.

    For a stage's settings, which must include all that decides its output: the same text on every host that does
    the work, even if `auto` differs there.
    """
    return compute_type_of(device, compute_type) if _is_whisper(model) else "auto"


def recognise_at(
    model: str, device: str, compute_type: str, samples: Samples, sample_rate: int, language: str
) -> list[Word]:
    """The words that `model` hears in samples of any rate, in their seconds; `und`: detected first."""
    recogniser = load_recogniser(model, device, compute_type, 5, 16)
    signal = np.asarray(soxr.resample(samples, sample_rate, ANALYSIS_RATE), np.float32)
    spoken_language = language if language != "und" else recogniser.detect_language(signal)
    return recogniser.transcribe([signal], [spoken_language])[0].words


def check_recogniser(model: str, device: str, compute_type: str, fetch: bool = True) -> None:
    """Make sure that `model` (empty for none) is on this machine and can compute so, downloading it if need be.

    Without `fetch` nothing is downloaded, and a model that is not here is not missed. Raises ModelMissing, and
    DailytalkError for a type that the device can't compute in.
    """
    if _is_whisper(model):
        from dailytalk_contiguous.models.whisper import find_whisper

        check_compute_type(device, compute_type)
        find_whisper(model, fetch)


def check_language(model: str, language: str) -> None:
    """Raise DailytalkError for a language (ISO 639-1, or `auto`) that the recogniser `model` does not hear."""
    if model == POCKETSPHINX and language != "auto":
        check_english({language})


def _is_whisper(model: str) -> bool:
    return model not in ("", POCKETSPHINX)
