"""Which speech recogniser a name means, and the one that this process has loaded."""

import numpy as np
import soxr

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.packing import Word
from dailytalk_contiguous.models.cuda import check_compute_type, compute_type_of, resolve_device
from dailytalk_contiguous.models.recognised import Recogniser, Samples

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
        from dailytalk_contiguous.models.sphinx import load_sphinx

        return load_sphinx()
    from dailytalk_contiguous.models.whisper import load_whisper

    # Settled here, so that who asks for `auto` and who names what it means share one loaded model.
    settled = resolve_device(device), compute_type_of(device, compute_type)
    return load_whisper(model, *settled, beam, batch_windows, short)


def settled_type(model: str, device: str, compute_type: str) -> str:
    """What `model` computes in, told before it is loaded: `auto` for one that has no choice.

    For a stage's settings, which must tell all that decides what it makes: the same text on every host that does
    the work, whatever `auto` would be there.
    """
    return compute_type_of(device, compute_type) if _is_whisper(model) else "auto"


def recognise_at(
    model: str, device: str, compute_type: str, samples: Samples, sample_rate: int, language: str
) -> list[Word]:
    """The words that `model` hears in samples of any rate, in their seconds; `und` has the language told first."""
    recogniser = load_recogniser(model, device, compute_type, 5, 16)
    signal = np.asarray(soxr.resample(samples, sample_rate, ANALYSIS_RATE), np.float32)
    known = language if language != "und" else recogniser.detect_language(signal)
    return recogniser.transcribe([signal], [known])[0].words


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
        from dailytalk_contiguous.models.sphinx import check_english

        check_english({language})


def _is_whisper(model: str) -> bool:
    return model not in ("", POCKETSPHINX)
