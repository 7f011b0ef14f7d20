"""The common parts of classifiers of emotion: the guess that is none, and the folder of a trained one.

`emotion.json` says what a model is, `model.safetensors` holds its weights. Nothing in a folder is run.
"""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.documents import as_text, expect, quoted, read_json, shown
from dailytalk_contiguous.core.emotions import UNSURE
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.models.contracts import EmotionGuess, TrainedEmotionModel
from dailytalk_contiguous.store.files import inside, json_document, write_bytes, write_text

#: Seconds; of less nothing is said.
SHORTEST_SECONDS = 0.1

#: Files of a model folder, and its card.
ABOUT, WEIGHTS, CARD = "emotion.json", "model.safetensors", "README.md"

#: What is trained here, from the quickest to the slowest.
EMOTION_KINDS = ("linear", "spectrogram", "ssl")

#: Most classes, bytes of `emotion.json` and of weights: a large encoder in single precision has 2.6 GB.
MOST_CLASSES, MOST_ABOUT_BYTES, MOST_WEIGHT_BYTES = 100, 4 << 20, 8 << 30

FOLDER_REMEDY = "name a folder of `dailytalk emotion train`"

_SHAPE: dict[str, Any] = {
    "kind": str,
    "classes": [str],
    "temperature": float,
    "settings": dict,
    "facts": dict,
}


def why_unheard(sound: Samples) -> str:
    """Why nothing can be said of a sound; empty if something can."""
    if len(sound) < SHORTEST_SECONDS * ANALYSIS_RATE:
        return f"it has {len(sound) / ANALYSIS_RATE:.2f} s of sound"
    if not np.isfinite(sound).all():
        return "its sound holds what is no number"
    return "" if np.any(sound) else "it is silent"


def nothing_said(reason: str) -> EmotionGuess:
    nothing = np.zeros(0, np.float32)
    return EmotionGuess(nothing, nothing, reason)


@dataclass(frozen=True)
class EmotionFolder:
    """Read and check a model folder's description of its model. Its weights are not read yet.

    Attributes:
        name: of the folder, or of the repository with its version. about, weights_path: its two files.
        kind: of `EMOTION_KINDS`. classes: sorted. temperature: over 0. settings: of that kind.
        facts: what it was trained on, with which result.
    """

    name: str
    about: Path
    weights_path: Path
    kind: str
    classes: tuple[str, ...]
    temperature: float
    settings: dict[str, Any]
    facts: dict[str, Any]

    REMEDY: ClassVar[str] = "train it again with `dailytalk emotion train`"

    def weights(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """The weights of these names and shapes, float32.

        Raises ModelMissing as `models.stored_weights.read_weights` does.
        """
        from dailytalk_contiguous.models.stored_weights import read_weights  # and PyTorch

        weights = read_weights([self.weights_path], shapes, as_text(self.weights_path), self.REMEDY)
        # Copied out of the mapped file, where they may begin at any byte: products of such have other last bits.
        return {name: weight.numpy().copy() for name, weight in weights.items()}


def open_emotion_folder(folder: Path) -> EmotionFolder:
    """The description of a model in its folder.

    Raises ModelMissing, naming the file, for one that is missing, damaged, or says what can't be.
    """
    try:
        about, weights = inside(folder, ABOUT), inside(folder, WEIGHTS)
    except BadInput as error:
        raise ModelMissing(error.reason, FOLDER_REMEDY) from None
    return emotion_folder_of(folder.resolve().name, about, weights)


def emotion_folder_of(name: str, about: Path, weights: Path) -> EmotionFolder:
    """The same of its two files, which may be anywhere, under a name."""
    try:
        value = expect(read_json(about, EmotionFolder.REMEDY, MOST_ABOUT_BYTES), _SHAPE, shown(about))
    except BadInput as error:
        raise ModelMissing(error.reason, EmotionFolder.REMEDY) from None
    classes, temperature = value["classes"], value["temperature"]
    problem = None
    if value["kind"] not in EMOTION_KINDS:
        problem = f"kind is {quoted(value['kind'])}, none of {', '.join(EMOTION_KINDS)}"
    elif not 2 <= len(classes) <= MOST_CLASSES:
        problem = f"it has {len(classes)} classes, not 2 to {MOST_CLASSES}"
    elif classes != sorted(set(classes)) or "" in classes or UNSURE in classes:
        problem = f"classes are {quoted(classes)}: not sorted, not different, empty, or {UNSURE!r}"
    elif temperature <= 0:
        problem = f"temperature is {temperature:g}, not over 0"
    if problem:
        raise ModelMissing(f"{shown(about)}: {problem}", EmotionFolder.REMEDY)
    _check_file(weights, MOST_WEIGHT_BYTES)
    return EmotionFolder(
        name,
        about,
        weights,
        value["kind"],
        tuple(classes),
        float(temperature),
        value["settings"],
        value["facts"],
    )


def _check_file(path: Path, limit: int) -> None:
    """Raise ModelMissing for what is no regular file of at most `limit` bytes: a pipe would wait for ever."""
    try:
        status = path.stat()
    except OSError as error:
        reason = "it is not there" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise ModelMissing(f"{shown(path)}: {reason}", EmotionFolder.REMEDY) from None
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        raise ModelMissing(
            f"{shown(path)}: it is no file of at most {limit / (1 << 30):.0f} GiB", EmotionFolder.REMEDY
        )


def write_emotion_folder(model: TrainedEmotionModel, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a model folder. It counts as one once `emotion.json` is there, which is written last, whole.

    Raises DailytalkError for a folder that holds a model already, or is none; OSError as the disk does.
    """
    from safetensors.numpy import save

    check_new(folder)
    weights = {name: np.ascontiguousarray(array) for name, array in model.weights().items()}
    write_bytes(folder / WEIGHTS, save(weights))
    _write_about(folder, model.kind, model.classes, model.temperature, model.settings(), facts)


#: Where training keeps what it goes on from after a stop, in the folder of the model to be.
CHECKPOINTS = "checkpoints"


def check_new(folder: Path) -> None:
    """Raise DailytalkError for a file, and for a folder that holds a model, or what is no part of one."""
    if (folder / ABOUT).exists():
        raise DailytalkError(f"{as_text(folder)!r} holds a model already", "name a new folder")
    if folder.exists() and not folder.is_dir():
        raise DailytalkError(f"{as_text(folder)!r} is no folder", "name a new folder")
    others = {path.name for path in folder.iterdir()} - {WEIGHTS, CHECKPOINTS} if folder.is_dir() else set()
    if any(not name.startswith(".") for name in others):
        raise DailytalkError(f"{as_text(folder)!r} holds other things than a model", "name a new folder")


def set_temperature(folder: Path, temperature: float, facts: Mapping[str, Any]) -> None:
    """Give the model of a folder another temperature, with facts of how it was found; its weights stay."""
    known = open_emotion_folder(folder)
    merged = known.facts | dict(facts)
    _write_about(folder, known.kind, known.classes, temperature, known.settings, merged)


def _write_about(
    folder: Path,
    kind: str,
    classes: Sequence[str],
    temperature: float,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    about = {"kind": kind, "classes": [*classes], "temperature": temperature}
    about |= {"settings": dict(settings), "facts": dict(facts)}
    write_text(folder / ABOUT, json_document(about))
