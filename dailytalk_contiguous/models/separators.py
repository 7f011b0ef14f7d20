"""Separators of two voices by name: which kind one is, whether it is here, loading it, and long sounds in pieces.

Apart from the networks, so that naming a model or looking for its files imports none of their libraries.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import count, takewhile
from pathlib import Path

import numpy as np

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.checkpoints import find_files, find_first
from dailytalk_contiguous.models.contracts import Separator

#: SpeechBrain's SepFormers: at 16 kHz, for speech with noise and reverberation, and at 8 kHz, for clean speech.
SEPFORMER, SEPFORMER_8K = "speechbrain/sepformer-whamr16k", "speechbrain/sepformer-wsj02mix"

#: Alibaba's MossFormer2 at 16 kHz, in ONNX, and what a file of it may be called.
MOSSFORMER = "ipsilondev/MossFormer2-SS-16K-ONNX"
FILES = ("model.onnx", "model.int8.onnx")

#: Files of a SepFormer: its settings, and the weights of its parts.
SETTINGS = "hyperparams.yaml"
WEIGHTS = {"encoder": "encoder.ckpt", "masknet": "masknet.ckpt", "decoder": "decoder.ckpt"}

_REMEDY = (
    f"name a SepFormer ({SEPFORMER}), a MossFormer2 ({MOSSFORMER}), or a folder with their files: "
    f"{SETTINGS} and {', '.join(WEIGHTS.values())}, or {FILES[0]}"
)

#: Seconds that are separated at once, and of it those that two pieces share. SepFormers are trained on 4 s; one of
#: 16 kHz takes 1.1 GB for six.
LONGEST, SHARED = 6.0, 1.0


class Pieces:
    """A separator of sounds of any length, by one of `LONGEST`: what it separates is joined where pieces overlap.

    Voices are at the levels at which their sum is nearest to the sound.
    """

    def __init__(self, separate: Callable[[Samples], Samples], sample_rate: int) -> None:
        self._separate, self.sample_rate = separate, sample_rate

    def separate(self, samples: Samples) -> Samples:
        """Two voices, shape (2, n), of samples (n,) at its rate, in any order."""
        longest, shared = round(LONGEST * self.sample_rate), round(SHARED * self.sample_rate)
        voices, fade = np.zeros((2, len(samples)), np.float32), np.linspace(0, 1, shared, dtype=np.float32)
        starts = takewhile(lambda start: not start or start + shared < len(samples), count(0, longest - shared))
        for start in starts:
            interrupts.check_interrupt()
            piece = samples[start : start + longest]
            found = self._levelled(piece) if piece.any() else np.zeros((2, len(piece)), np.float32)
            if start:
                before = voices[:, start : start + shared]
                if _alike(before, found[::-1, :shared]) > _alike(before, found[:, :shared]):
                    found = found[::-1].copy()
                found[:, :shared] = before + fade * (found[:, :shared] - before)
            voices[:, start : start + longest] = found
        return voices

    def _levelled(self, samples: Samples) -> Samples:
        voices = self._separate(samples)
        # Not by a library of linear algebra, whose threads decide the last bits of a sum.
        powers = np.einsum("in,jn->ij", voices, voices, dtype=np.float64)
        shares = np.einsum("in,n->i", voices, samples, dtype=np.float64)
        levelled: Samples = (voices * np.linalg.lstsq(powers, shares)[0][:, None]).astype(np.float32)
        return levelled


def _alike(voices: Samples, others: Samples) -> float:
    """How much two pairs of voices are alike, whatever their levels: the sum of their correlations."""
    products, powers, other_powers = (
        np.einsum("in,in->i", left, right, dtype=np.float64)
        for left, right in ((voices, others), (voices, voices), (others, others))
    )
    return float((products / np.sqrt(np.maximum(powers * other_powers, 1e-24))).sum())


def find_separator(name: str, fetch: bool = True) -> dict[str, Path]:
    """The files of a separator by name, downloaded if need be and `fetch`: those of a SepFormer, or one of ONNX.

    Raises ModelMissing without them.
    """
    if settings := find_first(name, (SETTINGS,), fetch):
        paths = {SETTINGS: settings} | find_files(name, [*WEIGHTS.values()], fetch)
        if lacking := [file for file in WEIGHTS.values() if file not in paths]:
            raise ModelMissing(f"{name!r} lacks {lacking[0]}", "download it again")
        return paths
    if path := find_first(name, FILES, fetch):
        return {path.name: path}
    files = " and no ".join((SETTINGS, *FILES))
    raise ModelMissing(f"{name!r} is no separator that is known here: it has no {files}", _REMEDY)


def stored_separators() -> list[str]:
    """Those that are known by name and are on this machine."""
    stored = []
    for name in (SEPFORMER, SEPFORMER_8K, MOSSFORMER):
        with suppress(ModelMissing):
            find_separator(name, fetch=False)
            stored.append(name)
    return stored


def check_separator(name: str, fetch: bool = True) -> None:
    """Make sure that a separator is on this machine, downloading it if need be; its weights are not loaded.

    Without `fetch` nothing is downloaded, and what is not here is not missed. Raises ModelMissing.
    """
    if fetch or Path(name).is_dir():
        find_separator(name)


@lru_cache(maxsize=1)
def load_separator(name: str, device: str) -> Separator:
    """The separator of that name, once a process; `device` is `cpu` or `cuda`. Raises ModelMissing."""
    paths = find_separator(name)
    if SETTINGS in paths:
        from dailytalk_contiguous.models.sepformer import SepFormer

        weights = {part: paths[file] for part, file in WEIGHTS.items()}
        sepformer = SepFormer(name, paths[SETTINGS], weights, device, _REMEDY)
        return Pieces(sepformer.separate, sepformer.sample_rate)
    from dailytalk_contiguous.models.onnx_network import OnnxNetwork

    (path,) = paths.values()
    network = OnnxNetwork(name, path, device, ("inputs",), ("spk0", "spk1"), _REMEDY)

    def separate(samples: Samples) -> Samples:
        voices = network.run({"inputs": samples[None]})
        if any(voice.shape != (1, len(samples)) for voice in voices):
            raise network.unusable(f"it makes {voices[0].shape} of {len(samples)} samples")
        return np.concatenate(voices).astype(np.float32)

    return Pieces(separate, ANALYSIS_RATE)
