"""Training of classifiers of emotion, by kind; their calibration, and their model card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.models.devices import DEVICES

if TYPE_CHECKING:
    from dailytalk_contiguous.learn.emotion_examples import EmotionExamples

#: What can be trained, from the quickest to the slowest.
KINDS = ("linear", "spectrogram", "ssl")


@dataclass(frozen=True)
class LinearSettings:
    """How `linear` is trained."""

    features: str = setting(
        "contours", "What is measured: {choices}.", panel="models", choices=("contours", "egemaps")
    )
    seed: int = setting(0, SEED)
    device: str = setting("auto", "Where models run: {choices}.", execution=True, panel="models", choices=DEVICES)


def fit_emotion(
    kind: str, examples: "EmotionExamples", settings: Any = None, device: str = "cpu", seed: int = 0
) -> TrainedEmotionModel:
    """A classifier trained on examples.

    Args:
        kind: of `KINDS`. settings: the dataclass of that kind, `LinearSettings` for `linear`; None: its defaults.
        device: `cpu` or `cuda`. seed: of all random choices.
    """
    raise NotImplementedError


def save_emotion(model: TrainedEmotionModel, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a model folder: `emotion.json` and `model.safetensors`; `load_emotion_model` reads it."""
    raise NotImplementedError


def calibrate_emotion(model: TrainedEmotionModel, examples: "EmotionExamples") -> float:
    """The temperature that fits examples of held-out speakers best; it is set in the model, too."""
    raise NotImplementedError
