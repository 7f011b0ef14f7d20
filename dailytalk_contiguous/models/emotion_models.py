"""Classifiers of emotion by name, and the one that comes with the package: affect, mapped to classes."""

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.emotions import SIX, affect_probabilities
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.schema import AFFECT
from dailytalk_contiguous.models.affect import estimate_affect
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel

#: The classifier that needs no training and no download.
AFFECT_MAP = "affect-map"

#: Seconds; of less nothing is said.
SHORTEST_SECONDS = 0.1


class AffectMap:
    """Classes by the acoustic estimate of affect (`models.affect`), and `core.emotions.affect_probabilities`.

    It hears loudness and pitch alone: joy, anger and fear, which differ in valence, are alike to it, and what it
    says is mostly unsure. Its embedding is valence, arousal and dominance.
    """

    name = AFFECT_MAP
    is_estimate = True

    def __init__(self, classes: Sequence[str] = SIX) -> None:
        affect_probabilities([], classes)
        self.classes = tuple(classes)

    def classify(
        self, sounds: Sequence[Samples], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        # Words are not known, so neither their rate nor what they mean counts.
        measured = [measure_prosody(sound, 0, 0.0) for sound in sounds]
        rms, f0_mean, rate = (
            [measures[name] for measures in measured] for name in ("rms", "f0_mean", "speech_rate")
        )
        affect = estimate_affect(rms, f0_mean, rate, [None] * len(sounds), speakers)
        return self.of_affect(
            np.column_stack([affect[name] for name in AFFECT]), [why_unheard(sound) for sound in sounds]
        )

    def of_affect(self, affect: np.ndarray, reasons: Sequence[str]) -> list[EmotionGuess]:
        """Guesses of known affect, shape (n, 3); none where there is a reason against one, or a NaN."""
        shares = affect_probabilities(affect, self.classes).astype(np.float32)
        return [
            nothing_said(reason or "its affect is not known")
            if reason or not np.isfinite(values).all()
            else EmotionGuess(share, values.astype(np.float32))
            for values, share, reason in zip(affect, shares, reasons, strict=True)
        ]


def why_unheard(sound: Samples) -> str:
    """Why nothing can be said of a sound; empty if something can."""
    if len(sound) < SHORTEST_SECONDS * ANALYSIS_RATE:
        return f"it has {len(sound) / ANALYSIS_RATE:.2f} s of sound"
    if not np.isfinite(sound).all():
        return "its sound holds what is no number"
    return "" if np.any(sound) else "it is silent"


def nothing_said(reason: str) -> EmotionGuess:
    """A guess that is none, with its reason."""
    nothing = np.zeros(0, np.float32)
    return EmotionGuess(nothing, nothing, reason)


@lru_cache(maxsize=2)
def load_emotion_model(name: str, device: str = "cpu") -> EmotionModel:
    """The classifier of that name, once a process.

    Args:
        name: `affect-map`; a folder of `dailytalk emotion train`; or a checkpoint of transformers.
        device: `cpu` or `cuda` (see `models.devices.resolve_device`).

    Raises ModelMissing for what is not there, or is none.
    """
    if name == AFFECT_MAP:
        return AffectMap()
    raise ModelMissing(f"{name!r} is no classifier of emotion", f"name {AFFECT_MAP}")


class EmotionFolder(NamedTuple):
    """What a model folder says of its model, checked. Its weights are not read yet.

    Attributes:
        path: of the folder. kind: `linear`, `spectrogram` or `ssl`. classes: sorted. temperature: over 0.
        settings: of that kind. facts: what it was trained on, with which result.
    """

    path: Path
    kind: str
    classes: tuple[str, ...]
    temperature: float
    settings: dict[str, Any]
    facts: dict[str, Any]

    def weights(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """The weights of those names and shapes. Raises ModelMissing where the file has others, or no numbers."""
        raise NotImplementedError


# A kind that is made of networks has, in models/emotion_networks.py,
#     def network_of(folder: EmotionFolder, device: str) -> TrainedEmotionModel
# and, for any other name than a folder's,
#     def checkpoint_of(name: str, device: str) -> EmotionModel
# both imported when they are needed.
