"""Classifiers of emotion by name, and the one that comes with the package: affect, mapped to classes."""

import math
import stat
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.documents import as_text, expect, quoted, read_json, shown
from dailytalk_contiguous.core.emotions import SIX, UNSURE, affect_probabilities
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.schema import AFFECT
from dailytalk_contiguous.models.affect import estimate_affect
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel, TrainedEmotionModel
from dailytalk_contiguous.store.files import inside, json_document, write_bytes, write_text
from dailytalk_contiguous.store.hub import parse_reference

#: The classifier that needs no training and no download.
AFFECT_MAP = "affect-map"

#: Sounds of a speaker from which on he is compared with himself: the median of fewer is one of them, or near it.
LEAST_COMPARED = 5

#: What the estimate of affect is made of.
_MEASURED = ("rms", "f0_mean", "speech_rate")

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
            places = np.flatnonzero(own).tolist()
            if places:
                chosen = groups and [groups[place] for place in places]
                texts = [None] * len(places)
                rated = estimate_affect(rms[places], f0_mean[places], rate[places], texts, chosen)
                affect[places] = np.column_stack([rated[name] for name in AFFECT])
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


# A model folder: `emotion.json` says what it is, `model.safetensors` holds its weights. Nothing in it is run.


#: Files of a model folder, and its card.
ABOUT, WEIGHTS, CARD = "emotion.json", "model.safetensors", "README.md"

#: What is trained here, from the quickest to the slowest.
EMOTION_KINDS = ("linear", "spectrogram", "ssl")

#: Most classes, bytes of `emotion.json` and of weights: a large encoder in single precision has 2.6 GB.
MOST_CLASSES, MOST_ABOUT_BYTES, MOST_WEIGHT_BYTES = 100, 4 << 20, 8 << 30

#: What weights may be stored in.
_FLOATS = ("F16", "F32", "F64")

#: Files that are pickles of whole models, and so can run whatever they hold when they are read.
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}

_REMEDY = "name a folder of `dailytalk emotion train`"

_SHAPE: dict[str, Any] = {
    "kind": str,
    "classes": [str],
    "temperature": float,
    "settings": dict,
    "facts": dict,
}


@dataclass(frozen=True)
class EmotionFolder:
    """What a model folder says of its model, checked. Its weights are not read yet.

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

        Raises ModelMissing where the file has others, or numbers that are none. Nothing is read before its size is
        known.
        """
        from safetensors import SafetensorError, safe_open

        def refuse(reason: str) -> NoReturn:
            raise ModelMissing(f"{shown(self.weights_path)}: {reason}", self.REMEDY) from None

        _check_file(self.weights_path, MOST_WEIGHT_BYTES)
        weights = {}
        try:
            with safe_open(self.weights_path, "numpy") as file:
                names = set(file.keys())
                if names != set(shapes):
                    odd = min(names ^ set(shapes))
                    refuse(f"it {'lacks' if odd in shapes else 'has'} {quoted(odd)}")
                for name, shape in shapes.items():
                    part = file.get_slice(name)
                    if tuple(part.get_shape()) != shape or part.get_dtype() not in _FLOATS:
                        own = f"{list(part.get_shape())} of {part.get_dtype()}"
                        refuse(f"{quoted(name)} is {own}, not {list(shape)} of floats")
                    weights[name] = np.asarray(file.get_tensor(name), np.float32)
                    if not np.isfinite(weights[name]).all():
                        refuse(f"{quoted(name)} holds what is no number")
        except (SafetensorError, OSError) as error:
            reason = str(error).partition("\n")[0].strip()
            refuse(f"it is no file of safetensors that can be read ({reason})")
        return weights


def open_emotion_folder(folder: Path) -> EmotionFolder:
    """What a model folder says of its model.

    Raises ModelMissing, naming the file, for one that is missing, damaged, or says what can't be.
    """
    try:
        about, weights = inside(folder, ABOUT), inside(folder, WEIGHTS)
    except BadInput as error:
        raise ModelMissing(error.reason, _REMEDY) from None
    return _folder_of(folder.resolve().name, about, weights)


def _folder_of(name: str, about: Path, weights: Path) -> EmotionFolder:
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


# Models by name.


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
    """What a model says of its training (see `EmotionFolder.facts`); nothing where it is not one of ours.

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
    return _on_hub(name)


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
    if path.is_dir() and not any((path / known).exists() for known in (ABOUT, "config.json")):
        pickles = sorted(other for other in path.rglob("*.pt") if other.is_file())[:1]
        if not pickles:
            raise ModelMissing(f"{shown(path)} holds no {ABOUT}, so it is no model of emotion", _REMEDY)
    if pickles:
        raise ModelMissing(
            f"{shown(pickles[0])} is a pickle, which can run anything when it is read, and one of YOLO needs "
            "ultralytics, whose licence (AGPL) would be that of all that is made with it",
            "train with `dailytalk emotion train --kind spectrogram`",
        )
    if path.is_file():
        raise ModelMissing(f"{shown(path)} is a file", "name the folder that it is in")


def _on_hub(name: str) -> EmotionFolder | None:
    """The model folder of a repository; None for a repository that has none.

    Raises ModelMissing for a name that is none, or can't be reached.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    reference = parse_reference(name)
    if reference is None:
        raise ModelMissing(
            f"{name!r} is no classifier of emotion", f"name {AFFECT_MAP}, a folder, or a model on the Hub"
        )
    repo, revision = reference
    try:
        about, weights = (Path(hf_hub_download(repo, file, revision=revision)) for file in (ABOUT, WEIGHTS))
    except LocalEntryNotFoundError:
        if isinstance(try_to_load_from_cache(repo, "config.json", revision=revision), str):
            return None
        raise ModelMissing(
            f"the model {name!r} is not in the cache and the Hub can't be reached",
            f"connect to the Hub once, or name {AFFECT_MAP}",
        ) from None
    except EntryNotFoundError:
        return None
    except (OSError, HFValidationError) as error:
        raise ModelMissing(
            f"{name!r} is neither a folder nor a model on the Hub ({type(error).__name__})", _REMEDY
        ) from None
    return _folder_of(name, about, weights)
