"""Models of affect by name, and the one that comes with the package: an estimate from acoustic measures."""

import math
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.checkpoints import StoredModel, find_checkpoint
from dailytalk_contiguous.models.devices import device_of, lacking, thread_count

# An estimate of affect from loudness, pitch, speech rate and words: no weights, nothing to download.
#
# It is what the embedded profile rates with. It follows what is known of how voices show emotion (Banse & Scherer
# 1996, "Acoustic profiles in vocal emotion expression"; Juslin & Laukka 2003, "Communication of emotions in vocal
# expression and music performance"): arousal shows in energy, pitch and rate; dominance in a loud, low voice;
# valence hardly shows in them at all and is read from the words (VADER, Hutto & Gilbert 2014, English only). The
# weights are ours, chosen by hand and not fitted to ratings: read the numbers as a ranking within one speaker.


#: The name that is in `affect_model`.
ACOUSTIC_ESTIMATE = "acoustic-estimate"

#: What counts as ordinary where no other speech of the speaker is known: -26 dB below full scale, the nominal
#: level of ITU-T P.56 practice; a pitch between the usual means of men (120 Hz) and women (210 Hz; Traunmüller &
#: Eriksson 1995); 200 words a minute, between interviews and conversations (Tauroza & Allison 1990).
REFERENCE = {"rms": 0.05, "f0_mean": 160.0, "speech_rate": 3.3}

#: A difference that counts as one unit: decibels of energy, semitones of pitch, octaves (doublings) of rate.
UNIT = {"rms": 6.0, "f0_mean": 4.0, "speech_rate": 0.5}

#: Units beyond which a difference counts no more (a click, an octave error of the pitch tracker, no words).
LIMIT = 3.0

#: What one unit adds before squashing. `words` is VADER's compound score in [-1, 1].
WEIGHTS = {
    "arousal": {"rms": 0.9, "f0_mean": 0.6, "speech_rate": 0.5},
    "dominance": {"rms": 0.8, "f0_mean": -0.6},
    "valence": {"words": 2.0, "f0_mean": 0.2},
}

_PER_OCTAVE = {"rms": 20 * math.log10(2), "f0_mean": 12.0, "speech_rate": 1.0}

Floats = NDArray[np.float64]


def estimate_affect(
    rms: ArrayLike,
    f0_mean: ArrayLike,
    speech_rate: ArrayLike,
    texts: Sequence[str | None],
    groups: Sequence[Hashable] | None,
) -> dict[str, Floats]:
    """Valence, arousal and dominance of utterances, all of shape (n,) and in [0, 1]; 0.5 is the speaker's usual.

    Each measure is taken as a ratio to the median of its group. Arousal never falls when energy, pitch or rate
    rises; dominance never falls with energy nor rises with pitch; valence never falls with VADER's score of the
    text or with pitch (all else, medians included, being equal).

    Args:
        rms: linear, shape (n,). f0_mean: Hz. speech_rate: words a second. NaN counts as the median.
        texts: what was said; None counts as nothing.
        groups: who is speaking where (a speaker in a conversation). None: compare with `REFERENCE`, so that what
            an utterance gets does not depend on which others happen to be beside it.
    """
    units = {
        name: _units(np.asarray(values, np.float64), name, groups)
        for name, values in (("rms", rms), ("f0_mean", f0_mean), ("speech_rate", speech_rate))
    }
    units["words"] = np.array([_analyser().polarity_scores(text or "")["compound"] for text in texts], np.float64)
    return {
        name: 1 / (1 + np.exp(-sum(weight * units[of] for of, weight in WEIGHTS[name].items())))
        for name in ("valence", "arousal", "dominance")
    }


def _units(values: Floats, name: str, groups: Sequence[Hashable] | None) -> Floats:
    """How far values are from the usual, in units of their measure, within `LIMIT`."""
    if groups is None:
        usual = np.full(len(values), REFERENCE[name])
    else:  # the median of each value's group; NaN where the group has no finite value
        members: dict[Hashable, list[float]] = {}
        for group, value in zip(groups, values, strict=True):
            members.setdefault(group, []).extend([float(value)] if np.isfinite(value) else [])
        medians = {group: float(np.median(known)) if known else np.nan for group, known in members.items()}
        usual = np.array([medians[group] for group in groups], np.float64)
    span = 2.0 ** (LIMIT * UNIT[name] / _PER_OCTAVE[name])
    # Limited as a ratio, before the logarithm, so that silence (0) counts as very low and not as minus infinity.
    with np.errstate(over="ignore"):  # infinite beside a speaker who is all but silent: limited like the rest
        ratio = np.divide(values, usual, out=np.ones(len(values)), where=usual > 0)
    ratio = np.clip(np.where(np.isnan(ratio), 1.0, ratio), 1 / span, span)
    units: Floats = np.log2(ratio) * _PER_OCTAVE[name] / UNIT[name]
    return units


@lru_cache(maxsize=1)
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


# Affect models by name: where their files are, and what they are computed in.
#
# Apart from the network (`models.affect_network`), so that naming a model or looking for its files does not import
# PyTorch and transformers.


#: Wagner et al. 2023, "Dawn of the transformer era in speech emotion recognition: closing the valence gap".
AUDEERING = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"

#: Bytes of its weights.
AUDEERING_BYTES = 661_000_000

#: What the encoder may compute in; `auto` is the one of them that suits the device (see `settled_precision`).
PRECISIONS = ("float32", "bfloat16", "float16")

#: What Linux calls a CPU's instructions that multiply in bfloat16, on x86 and on Arm.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}

#: The first major compute capability of CUDA cards that multiply faster in float16 than in float32.
FLOAT16_CAPABILITY = 7


@lru_cache(maxsize=1)
def threads_of_one() -> ThreadPoolExecutor:
    """A thread for each core of this process, in which PyTorch itself uses no others.

    What PyTorch computes with two threads differs in the last bits from what it computes with one, and a row must
    be the same on a machine of many cores, in one of several workers, and on Ray. So batches run side by side
    instead. PyTorch's number of threads elsewhere in the process stays as it is.
    """
    import torch

    count = thread_count()
    before, started = torch.get_num_threads(), Barrier(count)

    def begin() -> None:
        torch.get_num_threads()  # a thread takes up the process's number when it is first asked, and would later
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(count, "affect", begin)
    list(pool.map(lambda _: started.wait(), range(count)))  # a thread starts with its first task
    torch.set_num_threads(before)  # each thread keeps its own number; only this one's is that of later threads
    return pool


def settled_precision(model: str, device: str, precision: str) -> str:
    """The type that `model` computes in, known before it is loaded; `auto` for the estimate and for none.

    For a stage's settings, as `models.whisper.settled_type`. `auto` on a CPU is bfloat16 where it multiplies in
    it, else float32: on one that does, 5 s of audio took 1.2 s of a core in bfloat16 and 2.9 s in float32. On CUDA
    it is bfloat16, whose range can't overflow, on older cards float16, on those before Volta float32. A CUDA that
    is not on this machine, but in the cluster that will do the work, is taken to have bfloat16.
    """
    if model in ("", ACOUSTIC_ESTIMATE):
        return "auto"
    return fast_precisions(device)[0] if precision == "auto" else precision


def fast_precisions(device: str) -> tuple[str, ...]:
    """The members of `PRECISIONS` that `device` (one of `models.devices.DEVICES`) multiplies in, best first."""
    if device_of(device) == "cpu":
        try:
            instructions = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
        except OSError:  # nothing is known, so nothing is risked
            instructions = set()
        fast = {"bfloat16": BFLOAT16_FLAGS & instructions, "float32": True}
        return tuple(precision for precision, is_fast in fast.items() if is_fast)
    if lacking():
        return ("bfloat16", "float16", "float32")
    import torch

    fast = {
        "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
        "float16": torch.cuda.get_device_capability()[0] >= FLOAT16_CAPABILITY,
        "float32": True,
    }
    return tuple(precision for precision, is_fast in fast.items() if is_fast)


def available(name: str) -> bool:
    """Whether the files of a model (a folder, or a name on the Hub) are all here. Does not ask the network."""
    try:
        find_checkpoint(name, fetch=False)
    except ModelMissing:
        return False
    return True


def find_affect_model(name: str) -> StoredModel:
    """`find_checkpoint`, with what to do without a model."""
    try:
        return find_checkpoint(name)
    except ModelMissing as error:
        raise ModelMissing(
            error.reason, f"{error.remedy}, or pass --affect-model {ACOUSTIC_ESTIMATE} (an estimate) or none"
        ) from error
