"""Classifiers of emotion by name."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.models.checkpoints import CONFIG, resolve_files
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.models.emotion_folder import (
    ABOUT,
    WEIGHTS,
    EmotionFolder,
    emotion_folder_of,
    open_emotion_folder,
)
from dailytalk_contiguous.models.linear_emotion import LinearEmotion, bundled_voice


@lru_cache(maxsize=2)
def load_emotion_model(name: str, device: str = "cpu") -> EmotionModel:
    """The classifier of that name, once a process.

    Args:
        name: `voice-linear`; a folder of `dailytalk emotion train`, or what it has published on the Hub, with @TAG
            for a version; or a checkpoint of transformers (`AutoModelForAudioClassification`).
        device: `cpu` or `cuda` (see `models.devices.resolve_device`).

    Raises ModelMissing for a name without a model, and for a pickle of a whole model, which is never run.
    """
    if name == VOICE_LINEAR:
        return bundled_voice()
    folder = _trained(name)
    if folder is not None and folder.kind == "linear":
        return LinearEmotion.of_folder(folder)
    # Only here, as it imports PyTorch and transformers.
    from dailytalk_contiguous.models.emotion_networks import checkpoint_of, network_of

    if folder is not None:
        return network_of(folder, device)
    return checkpoint_of(name, device)


def emotion_facts(name: str) -> dict[str, Any]:
    """The facts of a model on its training (see `EmotionFolder.facts`); empty if it is not one of ours.

    Raises ModelMissing as `load_emotion_model` does.
    """
    folder = None if name == VOICE_LINEAR else _trained(name)
    return {} if folder is None else folder.facts


def _trained(name: str) -> EmotionFolder | None:
    """A model of `dailytalk emotion train`, in a folder or on the Hub; None for another checkpoint."""
    path = Path(name)
    if path.exists():
        is_checkpoint = (path / CONFIG).exists() and not (path / ABOUT).exists()
        return None if is_checkpoint else open_emotion_folder(path)  # a file lacks a description
    paths = resolve_files(name, (ABOUT, WEIGHTS))
    return emotion_folder_of(name, *paths.values()) if len(paths) == 2 else None
