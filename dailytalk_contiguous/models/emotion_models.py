"""Classifiers of emotion by name, and the one that comes with the package: affect, mapped to classes."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.documents import shown
from dailytalk_contiguous.core.emotions import AFFECT_MAP, SIX, affect_probabilities
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.utterance import AFFECT
from dailytalk_contiguous.models.affect import estimate_affect
from dailytalk_contiguous.models.checkpoints import CONFIG, find_files
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel, TrainedEmotionModel
from dailytalk_contiguous.models.emotion_folder import (
    ABOUT,
    FOLDER_REMEDY,
    WEIGHTS,
    EmotionFolder,
    emotion_folder_of,
    nothing_said,
    open_emotion_folder,
    why_unheard,
)

#: Sounds of a speaker from which on he is compared with himself: the median of fewer is one of them, or near it.
LEAST_COMPARED = 5

#: What the estimate of affect is made of.
_MEASURED = ("rms", "f0_mean", "speech_rate")


#: Files that are pickles of whole models, and so can run whatever they hold when they are read.
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}


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
        return self.of_affect(self.affect(sounds, speakers), [why_unheard(sound) for sound in sounds])

    def affect(self, sounds: Sequence[Samples], speakers: Sequence[Hashable] | None = None) -> np.ndarray:
        """Valence, arousal and dominance of sounds by the acoustic estimate, shape (n, 3); NaN is not known.

        A speaker of `LEAST_COMPARED` sounds is compared with himself, any other with what is usual of people.
        """
        # Words are not known, so neither their rate nor what they mean counts.
        measured = [
            dict.fromkeys(_MEASURED, math.nan) if why_unheard(sound) else measure_prosody(sound, 0, 0.0)
            for sound in sounds
        ]
        rms, f0_mean, rate = (np.array([measures[name] for measures in measured]) for name in _MEASURED)
        heard = ~np.isnan(rms)
        counts = Counter(speaker for speaker, known in zip(speakers or (), heard, strict=False) if known)
        each = speakers or [None] * len(sounds)
        compared = np.array([counts[speaker] >= LEAST_COMPARED for speaker in each], np.bool_)
        affect = np.full((len(sounds), len(AFFECT)), np.nan)
        for own, groups in ((heard & ~compared, None), (heard & compared, speakers)):
            indices = np.flatnonzero(own).tolist()
            if indices:
                chosen = groups and [groups[index] for index in indices]
                texts = [None] * len(indices)
                rated = estimate_affect(rms[indices], f0_mean[indices], rate[indices], texts, chosen)
                affect[indices] = np.column_stack([rated[name] for name in AFFECT])
        return affect

    def of_affect(self, affect: np.ndarray, reasons: Sequence[str]) -> list[EmotionGuess]:
        """Guesses of known affect, shape (n, 3); none where there is a reason against one, or a NaN."""
        shares = affect_probabilities(affect, self.classes).astype(np.float32)
        return [
            nothing_said(reason or "its affect is not known")
            if reason or not np.isfinite(values).all()
            else EmotionGuess(share, values.astype(np.float32))
            for values, share, reason in zip(affect, shares, reasons, strict=True)
        ]


@lru_cache(maxsize=2)
def load_emotion_model(name: str, device: str = "cpu") -> EmotionModel:
    """The classifier of that name, once a process.

    Args:
        name: `affect-map`; a folder of `dailytalk emotion train`, or what it has published on the Hub, with @TAG
            for a version; or a checkpoint of transformers (`AutoModelForAudioClassification`).
        device: `cpu` or `cuda` (see `models.devices.resolve_device`).

    Raises ModelMissing for what is not there, is none, or is a pickle of a whole model, which is never run.
    """
    if name == AFFECT_MAP:
        return AffectMap()
    folder = _trained(name)
    if folder is None:
        from dailytalk_contiguous.models.emotion_networks import checkpoint_of

        return checkpoint_of(name, device)
    return _model_of(folder, device)


def emotion_facts(name: str) -> dict[str, Any]:
    """The facts of a model on its training (see `EmotionFolder.facts`); empty if it is not one of ours.

    Raises ModelMissing as `load_emotion_model` does.
    """
    folder = None if name == AFFECT_MAP else _trained(name)
    return {} if folder is None else folder.facts


def _trained(name: str) -> EmotionFolder | None:
    """A model of `dailytalk emotion train`, in a folder or on the Hub; None for another checkpoint."""
    path = Path(name)
    _refuse_pickles(path)
    if path.is_dir():
        return open_emotion_folder(path) if (path / ABOUT).exists() else None
    paths = find_files(name, (ABOUT, WEIGHTS))
    return emotion_folder_of(name, *paths.values()) if len(paths) == 2 else None


def model_of_folder(folder: Path, device: str = "cpu") -> TrainedEmotionModel:
    """The model of a folder of `dailytalk emotion train`. Raises ModelMissing as `load_emotion_model` does."""
    _refuse_pickles(folder)
    return _model_of(open_emotion_folder(folder), device)


def _model_of(folder: EmotionFolder, device: str) -> TrainedEmotionModel:
    if folder.kind == "linear":
        from dailytalk_contiguous.models.linear_emotion import LinearEmotion

        return LinearEmotion.of_folder(folder)
    from dailytalk_contiguous.models.emotion_networks import network_of

    return network_of(folder, device)


def _refuse_pickles(path: Path) -> None:
    """Raise ModelMissing for a file, and for a folder that has nothing but pickles to offer."""
    pickles = [path] if path.suffix.lower() in _PICKLES else []
    if path.is_dir() and not any((path / known).exists() for known in (ABOUT, CONFIG)):
        pickles = sorted(other for other in path.rglob("*.pt") if other.is_file())[:1]
        if not pickles:
            raise ModelMissing(f"{shown(path)} holds no {ABOUT}, so it is no model of emotion", FOLDER_REMEDY)
    if pickles:
        raise ModelMissing(
            f"{shown(pickles[0])} is a pickle, which can run anything when it is read, and one of YOLO needs "
            "ultralytics, whose licence (AGPL) would be that of all that is made with it",
            "train with `dailytalk emotion train --kind spectrogram`",
        )
    if path.is_file():
        raise ModelMissing(f"{shown(path)} is a file", "name the folder that it is in")
