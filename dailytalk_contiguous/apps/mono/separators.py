"""Separators of two voices by name: finding one, loading it, and its use for long sounds."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.checkpoints import find_files
from dailytalk_contiguous.models.contracts import Separator
from dailytalk_contiguous.models.devices import resolve_device

#: SpeechBrain's SepFormer at 16 kHz, for speech with noise and reverberation, and what its files are called.
SEPFORMER = "speechbrain/sepformer-whamr16k"
SETTINGS = "hyperparams.yaml"
WEIGHTS = {part: f"{part}.ckpt" for part in ("encoder", "masknet", "decoder")}

_REMEDY = f"name a SepFormer of SpeechBrain for two voices, such as {SEPFORMER}, or a folder with its files"

#: Seconds that are separated at once, and of those the seconds that two pieces share.
LONGEST, SHARED = 6.0, 1.0


class JoinedPieces:
    """A separator of sounds of any length, by one of at most `LONGEST`: it joins pieces that overlap."""

    def __init__(self, separate: Callable[[Samples], Samples], sample_rate: int) -> None:
        self._separate, self.sample_rate = separate, sample_rate

    def separate(self, samples: Samples) -> Samples:
        """Two voices, shape (2, n), of samples (n,) at its rate, in any order."""
        longest, shared = round(LONGEST * self.sample_rate), round(SHARED * self.sample_rate)
        voices, fade = self._separate(samples[:longest]), np.linspace(0, 1, shared, dtype=np.float32)
        for start in range(longest - shared, len(samples) - shared, longest - shared):
            interrupts.check_interrupt()
            before, piece = voices[:, start:], self._separate(samples[start : start + longest])
            with np.errstate(invalid="ignore"):  # of a voice that is silent there
                likeness = np.nan_to_num(np.corrcoef(before, piece[:, :shared]))[:2, 2:]
            if likeness[::-1].trace() > likeness.trace():
                piece = piece[::-1]
            joined = before + fade * (piece[:, :shared] - before)
            voices = np.concatenate((voices[:, :start], joined, piece[:, shared:]), axis=1)
        return voices


def find_separator(name: str, fetch: bool = True) -> dict[str, Path]:
    """The files of a separator, downloaded if need be and `fetch`. Raises ModelMissing if one is missing."""
    paths = find_files(name, files := (SETTINGS, *WEIGHTS.values()), fetch)
    if missing := [file for file in files if file not in paths]:
        raise ModelMissing(f"{name!r} has no {missing[0]}", _REMEDY)
    return paths


def check_separator(name: str, fetch: bool = True) -> None:
    """`find_separator`; without `fetch`, one of the Hub that is not here is not missed."""
    if fetch or Path(name).is_dir():
        find_separator(name)


@lru_cache(maxsize=1)
def load_separator(name: str, device: str) -> Separator:
    """The separator of that name, once a process, on one of `devices.DEVICES`. Raises ModelMissing."""
    from dailytalk_contiguous.apps.mono.sepformer import load_sepformer  # and PyTorch

    paths = find_separator(name)
    weights = {part: paths[file] for part, file in WEIGHTS.items()}
    return JoinedPieces(*load_sepformer(name, paths[SETTINGS], weights, resolve_device(device), _REMEDY))
