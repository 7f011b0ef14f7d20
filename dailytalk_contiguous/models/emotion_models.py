"""Classifiers of emotion by name."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import shown
from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.checkpoints import CONFIG, find_files
from dailytalk_contiguous.models.contracts import EmotionModel, TrainedEmotionModel
from dailytalk_contiguous.models.emotion_folder import (
    ABOUT,
    FOLDER_REMEDY,
    WEIGHTS,
    EmotionFolder,
    emotion_folder_of,
    open_emotion_folder,
)

#: Files that are pickles of whole models, and so can run whatever they hold when they are read.
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}


@lru_cache(maxsize=2)
def load_emotion_model(name: str, device: str = "cpu") -> EmotionModel:
    """The classifier of that name, once a process.

    Args:
        name: `voice-linear`; a folder of `dailytalk emotion train`, or what it has published on the Hub, with @TAG
            for a version; or a checkpoint of transformers (`AutoModelForAudioClassification`).
        device: `cpu` or `cuda` (see `models.devices.resolve_device`).

    Raises ModelMissing for what is not there, is none, or is a pickle of a whole model, which is never run.
    """
    if name == VOICE_LINEAR:
        from dailytalk_contiguous.models.linear_emotion import bundled_voice

        return bundled_voice()
    folder = _trained(name)
    if folder is None:
        from dailytalk_contiguous.models.emotion_networks import checkpoint_of

        return checkpoint_of(name, device)
    return _model_of(folder, device)


def emotion_facts(name: str) -> dict[str, Any]:
    """The facts of a model on its training (see `EmotionFolder.facts`); empty if it is not one of ours.

    Raises ModelMissing as `load_emotion_model` does.
    """
    folder = None if name == VOICE_LINEAR else _trained(name)
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
