"""Recognisers by name, and the one that comes with the package: pocketsphinx."""

import math
import re
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import soxr

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.hallucination import POCKETSPHINX
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
    """Pocketsphinx with its US English model: one decoder, which hears one window after another."""

    packs = False
    punctuates = False

    def __init__(self) -> None:
        self._decoder = new_decoder("batch")
        self._lock = threading.Lock()  # it fails when two threads use it

    def detect_languages(self, windows: Sequence[Samples]) -> list[str]:
        """English: the wheel holds no other model."""
        return ["en"] * len(windows)

    def transcribe(self, windows: Sequence[Samples], languages: Sequence[str]) -> list[Recognised]:
        """Words of each window. Raises DailytalkError for another language than English."""
        check_english(languages)
        recognise = checkpointed(self._recognise, Recognised.of_json)
        return [recognised for window in windows for recognised in recognise([window])]

    def _recognise(self, windows: Sequence[Samples]) -> list[Recognised]:
        with self._lock:
            return [self._recognise_window(window) for window in windows]

    def _recognise_window(self, window: Samples) -> Recognised:
        interrupts.check_interrupt()
        self._decoder.reinit_feat()  # 0.2 ms; with `cmn=batch` alone, words of two in nine utterances still moved
        self._decoder.start_utt()
        self._decoder.process_raw(to_pcm(window).tobytes(), no_search=False, full_utt=True)
        self._decoder.end_utt()
        return Recognised(words_of_decoder(self._decoder), math.nan, math.nan)


def new_decoder(cmn: str, **options: Any) -> Any:
    """A decoder of Pocketsphinx with its US English model; cepstral means by `batch` or `live`."""
    from pocketsphinx import Decoder

    return Decoder(samprate=ANALYSIS_RATE, cmn=cmn, loglevel="FATAL", **options)


def words_of_decoder(decoder: Any) -> list[Word]:
    """The words of the utterance that a decoder has ended, in its seconds."""
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
    return words


def check_english(languages: Iterable[str]) -> None:
    """Raise DailytalkError for languages other than English, of which the wheel holds no model."""
    foreign = sorted(set(languages) - {"en"})
    if foreign:
        raise DailytalkError(
            f"pocketsphinx understands English only, not {', '.join(foreign)}",
            "use --asr-model with a Whisper model, or --language en",
        )


load_sphinx = lru_cache(maxsize=1)(Sphinx)


#: The size of Whisper that is used where none is named.
WHISPER = "medium"


_loading = threading.Lock()


def load_recogniser(
    model: str, device: str, compute_type: str, beam: int, batch_windows: int, short: bool = False
) -> Recogniser:
    """The recogniser that `model` names, loaded once per process. Raises ModelMissing, and DailytalkError for CUDA
    that is not there.

    `short`: it sees a window as it is, where it has the choice (see `models.whisper`).
    """
    with _loading:  # threads that all come first would load one each
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


class RecogniserInput(NamedTuple):
    """Speech to recognise: samples (n,) in [-1, 1], their rate in Hz, and ISO 639-1 code, or `und` if unknown."""

    samples: Samples
    sample_rate: int
    language: str


def recognise_at(
    model: str, device: str, compute_type: str, utterances: Sequence[RecogniserInput]
) -> list[list[Word]]:
    """The words that `model` hears in each utterance, in its seconds. An unknown language is detected first."""
    recogniser = load_recogniser(model, device, compute_type, 5, 16)
    windows = [
        np.asarray(soxr.resample(utterance.samples, utterance.sample_rate, ANALYSIS_RATE), np.float32)
        for utterance in utterances
    ]
    languages = [utterance.language for utterance in utterances]
    unknown = [index for index, language in enumerate(languages) if language == "und"]
    detected = recogniser.detect_languages([windows[index] for index in unknown])
    for index, language in zip(unknown, detected, strict=True):
        languages[index] = language
    return [recognised.words for recognised in recogniser.transcribe(windows, languages)]


def check_name(model: str) -> None:
    """Raise ModelMissing for a name that no recogniser has, whatever is on this machine or the Hub."""
    if _is_whisper(model) and model != WHISPER:  # the default is known without an import
        from dailytalk_contiguous.models.whisper import check_whisper_name

        check_whisper_name(model)


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
