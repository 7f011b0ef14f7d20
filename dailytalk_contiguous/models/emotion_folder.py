"""The parts that all classifiers of emotion share: the guess that says nothing, and the folder of a trained one.

`emotion.json` describes a model, `model.safetensors` holds its weights. Nothing in a folder is run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import Number, as_text, printable_path, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.style.emotions import UNSURE, ConfidenceLimits
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.models.contracts import EmotionGuess, TrainedEmotionModel
from dailytalk_contiguous.models.emotion_features import at_one_level
from dailytalk_contiguous.store.files import inside, json_document, write_bytes, write_text
from dailytalk_contiguous.store.owned_folder import README

#: Seconds of sound, without the silence at both ends; of less nothing is said.
SHORTEST_SECONDS = 0.1

#: The file of a model folder with its description.
ABOUT = "emotion.json"

#: The file of a model folder with its weights.
WEIGHTS = "model.safetensors"

#: The folder of training's checkpoints, in the folder of the model to be.
CHECKPOINTS = "checkpoints"

#: The kinds of models that are trained here, from the quickest to the slowest.
EMOTION_KINDS = ("linear", "spectrogram", "audio")

RETRAIN = "train it again with `dailytalk emotion train`"


class _About(TypedDict):
    kind: str
    classes: list[str]
    temperature: Number
    limits: dict[str, Number]
    settings: dict[str, Any]
    facts: dict[str, object]


class _AudioSettings(TypedDict):
    """The settings of the kind `audio`: those of its encoder, and whether it takes sound at unit variance."""

    config: dict[str, object]
    normalises: bool


def heard_part(sound: Samples) -> tuple[Samples, str]:
    """Return the audible part of 16 kHz mono sound, shape (n,), and why it can't be classified; empty if it can.

    Silence at both ends is left out: a click in silence is too short, however long the silence is.
    """
    if not np.isfinite(sound).all():
        return sound, "its sound holds a value that is not a number"
    heard = at_one_level(sound)
    if not len(heard) and len(sound) >= SHORTEST_SECONDS * ANALYSIS_RATE:
        return heard, "it is silent"
    seconds = min(len(sound), len(heard)) / ANALYSIS_RATE  # what is heard may be padded
    reason = f"it has {seconds:.2f} s of sound" if seconds < SHORTEST_SECONDS else ""
    return heard, reason


def why_unheard(sound: Samples) -> str:
    """Return why a sound can't be classified (see `heard_part`); empty if it can."""
    _, reason = heard_part(sound)
    return reason


def nothing_said(reason: str) -> EmotionGuess:
    return EmotionGuess(np.zeros(0, np.float32), reason)


@dataclass(frozen=True)
class EmotionFolder:
    """The description of a trained model. Its weights are not read yet.

    Attributes:
        kind: one of `EMOTION_KINDS`.
        classes: sorted.
        temperature: over 0.
        limits: the limits of its confidence.
        settings: the settings of its kind.
        facts: the facts about its training: its data and its results.
        name: the name of the folder, or of the repository with its version.
        about: the file with its description.
        weights_path: the file with its weights.
    """

    kind: str
    classes: tuple[str, ...]
    temperature: float
    limits: ConfidenceLimits
    settings: dict[str, Any]
    facts: dict[str, object]
    name: str
    about: Path
    weights_path: Path

    def weights(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """The weights of these names and shapes, float32.

        Raises ModelMissing as `models.stored_weights.read_weights` does.
        """
        from dailytalk_contiguous.models.stored_weights import read_weights  # and PyTorch

        path = self.weights_path
        weights = read_weights([path], shapes, as_text(path), RETRAIN)
        # Copied out of the mapped file, where they may begin at any byte: products of such have other last bits.
        return {name: weight.numpy().copy() for name, weight in weights.items()}


def open_emotion_folder(folder: Path) -> EmotionFolder:
    """The description of a model in its folder.

    Raises ModelMissing, naming the file, for one that is missing, damaged, or says what can't be.
    """
    try:
        about = inside(folder, ABOUT)
        weights = inside(folder, WEIGHTS)
    except BadInput as error:
        raise ModelMissing(error.reason, RETRAIN) from None
    return emotion_folder_of(folder.resolve().name, about, weights)


def emotion_folder_of(name: str, about: Path, weights: Path) -> EmotionFolder:
    """The description of a model by its two files, which may be anywhere, under a name.

    Raises ModelMissing as `open_emotion_folder` does.
    """
    path = printable_path(about)
    try:
        stored = read_json(about, RETRAIN)
        value = typed(stored, _About, path)
        if value["kind"] == "audio":
            typed(value["settings"], _AudioSettings, f"{path}, settings", RETRAIN)
    except BadInput as error:
        raise ModelMissing(error.reason, RETRAIN) from None
    kind = value["kind"]
    classes = value["classes"]
    temperature = value["temperature"]
    is_list = 2 <= len(classes) <= 100
    is_sorted = classes == sorted({*classes} - {"", UNSURE})
    limits = value["limits"]
    are_limits = limits.keys() == {*ConfidenceLimits._fields} and all(0 <= limit <= 1 for limit in limits.values())
    if kind not in EMOTION_KINDS or not is_list or not is_sorted or temperature <= 0 or not are_limits:
        raise ModelMissing(
            f"{path} describes no model: it needs a kind of {', '.join(EMOTION_KINDS)}, "
            "2 to 100 different classes in order, a temperature over 0, and limits from 0 to 1",
            RETRAIN,
        )
    settings = value["settings"]
    facts = value["facts"]
    return EmotionFolder(
        kind, tuple(classes), temperature, ConfidenceLimits(**limits), settings, facts, name, about, weights
    )


def check_new(folder: Path) -> None:
    """Raise DailytalkError for a folder that holds more than the checkpoints of a training, OSError for a file."""
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()}
    if names - {WEIGHTS, CHECKPOINTS, README}:
        content = "a model already" if (folder / ABOUT).exists() else "other things than a model"
        raise DailytalkError(f"{as_text(folder)!r} holds {content}", "name a new folder")


def write_emotion_folder(
    model: TrainedEmotionModel, folder: Path, facts: Mapping[str, object], card: str = ""
) -> None:
    """Write a model folder. It counts as one once `emotion.json` is there, which is written last, whole.

    `card` is the text of its README.md; none is written if it is empty. Raises DailytalkError as `check_new` does;
    OSError as the disk does.
    """
    from safetensors.numpy import save

    check_new(folder)
    weights = {name: np.array(array, order="C") for name, array in model.weights().items()}
    write_bytes(folder / WEIGHTS, save(weights))
    if card:
        write_text(folder / README, card)
    about: _About = {
        "kind": model.kind,
        "classes": [*model.classes],
        "temperature": model.temperature,
        "limits": model.limits._asdict(),
        "settings": model.settings(),
        "facts": dict(facts),
    }
    write_text(folder / ABOUT, json_document(about))
