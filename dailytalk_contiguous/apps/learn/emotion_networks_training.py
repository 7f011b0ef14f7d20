"""Training of the networks that classify emotion: on pictures of spectrograms, and on an encoder of speech.

Speakers that are held out decide which epoch is kept, and set the temperature.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dailytalk_contiguous.apps.learn import training
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.folds import check_installed, divided
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.emotions import fit_temperature, softmax
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_networks as networks
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers
from dailytalk_contiguous.store.files import file_name
from dailytalk_contiguous.store.owned_folder import OwnedFolder

#: The highest learning rate of each kind without a setting.
RATES = {"spectrogram": 3e-3, "audio": 2e-5}

#: Points of the random gains of bands, whose spread is 1 (4.3 dB).
_GAIN_POINTS = 9

#: dB between the softest and the loudest of a picture of a spectrogram.
_PICTURE_DB = 80.0

#: An example's place, and whether it is seen in training or to validate.
View = tuple[int, bool]


def fit_network(
    kind: str,
    examples: EmotionExamples,
    settings: NetworkSettings,
    device: str = "cpu",
    work: Path | None = None,
) -> TrainedEmotionModel:
    """Train a network on examples, and calibrate it on the held-out speakers among them.

    Args:
        kind: `spectrogram` or `audio`. device: `cpu` or `cuda`.
        work: a folder for checkpoints, from which a training that was stopped goes on; None: nothing is kept.

    Raises:
        DailytalkError: nothing can be held out, or the extra `train` is missing.
        ModelMissing: an encoder is missing, or lacks weights.
    """
    check_installed("accelerate", "train")
    with contextlib.ExitStack() as stack:
        folder = work or Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(quiet_transformers())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(settings.seed)
        if device == "cpu":  # small products take longer by several threads
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        train, valid = held_out(examples, settings.valid_share, settings.seed)
        model: Any
        if kind == "spectrogram":
            network = networks.spectrogram_network(len(examples.classes))
            model = networks.SpectrogramEmotions(kind, examples.classes, network, device)
        else:
            model = networks.classifier_on(settings.encoder, examples.classes, device)
            for name, weight in model.network.named_parameters():
                if "feature_extractor" in name:  # the convolutions of wav2vec2 are not tuned
                    weight.requires_grad_(False)
        trainer = _EmotionTrainer(model, examples, train, valid, settings, folder)
        trainer.run()
        answers: Any = trainer.predict(trainer.eval_dataset)  # type: ignore[arg-type]
        model.network.eval()
        model.temperature = fit_temperature(softmax(answers.predictions.astype(float)), answers.label_ids)
    trained: TrainedEmotionModel = model
    return trained


def held_out(examples: EmotionExamples, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the examples to train on, and of about that share to validate on, of other speakers.

    Equal sound is never on two sides, and altered copies are not validated on. If no speaker can be held out,
    utterances are. Raises DailytalkError if not one utterance can be.
    """
    for groups in (joined_groups([*zip(examples.speakers, examples.groups, strict=True)]), examples.groups):
        with contextlib.suppress(BadInput):
            train, valid = divided(examples.labels, groups, max(2, round(1 / share)), seed)[0]
            valid = valid[~examples.copies[valid]]
            if len(valid) and {*examples.labels[train]} == {*examples.labels}:
                return train, valid
    raise DailytalkError(
        f"none of {counted(len(examples), 'utterance')} can be held out to tell when to stop",
        "add utterances: two of each class, of two speakers, are the least",
    )


class _EmotionTrainer(training.ResumingTrainer):
    """Trains by cross-entropy, in which each class has the same weight; validates on held-out utterances."""

    def __init__(
        self,
        model: Any,
        examples: EmotionExamples,
        train: NDArray[np.intp],
        valid: NDArray[np.intp],
        settings: NetworkSettings,
        folder: Path,
    ) -> None:
        self._model = model
        self._examples = examples
        counts = np.bincount(examples.labels[train], minlength=len(examples.classes))
        self._weights = torch.tensor(len(train) / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)
        facts = (asdict(settings), model.kind, examples.ids.tolist(), examples.labels.tolist(), train.tolist())
        arguments = training.arguments(
            training.run_folder(folder, *facts),
            model.device,
            per_device_train_batch_size=settings.batch,
            per_device_eval_batch_size=settings.batch,
            num_train_epochs=settings.epochs,
            eval_strategy="epoch",
            save_strategy="epoch",
            logging_strategy="epoch",
            metric_for_best_model="loss",
            learning_rate=settings.learning_rate or RATES[model.kind],
            lr_scheduler_type="cosine",
            warmup_steps=0.1,
            weight_decay=0.01,
            label_names=["labels"],
            seed=settings.seed,
        )
        super().__init__(
            model.network,
            arguments,
            train_dataset=[(int(place), True) for place in train],
            eval_dataset=[(int(place), False) for place in valid],
            data_collator=self._collated,
        )

    def _collated(self, items: Sequence[View]) -> dict[str, Tensor]:
        sounds = [self._examples.sound(place) for place, _ in items]
        is_training = items[0][1]
        starts = [0] * len(sounds)
        if is_training:  # a checkpoint keeps PyTorch's state of random numbers
            starts = [int(torch.randint(max(0, len(sound) - self._model.longest) + 1, ())) for sound in sounds]
        windows = [sound[start : start + self._model.longest] for sound, start in zip(sounds, starts, strict=True)]
        inputs: dict[str, Tensor] = self._model.inputs(windows)
        if is_training and self._model.kind == "spectrogram":
            for picture in inputs["pixel_values"][:, :1]:
                vary_picture(picture)
        return inputs | {"labels": torch.from_numpy(self._examples.labels[[place for place, _ in items]])}

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross-entropy in nats."""
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.float(), labels, self._weights.to(labels.device))
        return (loss, (loss, logits)) if return_outputs else loss


def vary_picture(picture: Tensor) -> None:
    """Change a picture (1, frames, bands) as another voice or microphone would, and hide a part of it.

    Bands get gains on a line through random points (FilterAugment: Nam, Kim & Park 2022), and together the power
    that they had. A span of frames and one of bands become the usual, 0 (SpecAugment: Park et al. 2019).
    """
    powers = picture * networks.SPREAD
    gains = torch.nn.functional.interpolate(
        torch.randn(1, 1, _GAIN_POINTS), picture.shape[2], mode="linear", align_corners=True
    )
    coloured = powers + gains
    loudness = powers.flatten().logsumexp(0) - coloured.flatten().logsumexp(0)
    picture.copy_((coloured + loudness) / networks.SPREAD)
    for axis in (1, 2):
        length = picture.shape[axis]
        width = int(torch.randint(length // 10, ()))
        picture.narrow(axis, int(torch.randint(length - width, ())), width).zero_()


def save_spectrograms(examples: EmotionExamples, folder: Path, share: float, seed: int) -> int:
    """Write `SPLIT/CLASS/NAME.png` for each example: its log-mel spectrogram, low bands below, 80 dB of range.

    The splits are `train` and `validation`: a network with this `seed` holds out the same `share` (`held_out`).
    Altered copies of examples in `validation` are in neither.

    Returns how many were written. Raises DailytalkError for a folder of something else, and as `held_out` does.
    """
    import matplotlib.image  # takes a second

    train, valid = held_out(examples, share, seed)
    splits = dict.fromkeys(train.tolist(), "train") | dict.fromkeys(valid.tolist(), "validation")
    target = OwnedFolder(folder, "spectrograms", ())
    for place, split in splits.items():
        interrupts.check_interrupt()
        decibels = networks.log_mel(examples.sound(place)).numpy().T * (10 / np.log(10))
        picture = io.BytesIO()
        loudest = float(decibels.max())
        matplotlib.image.imsave(
            picture, decibels, vmin=loudest - _PICTURE_DB, cmap="magma", origin="lower", format="png"
        )
        names = map(file_name, (examples.classes[examples.labels[place]], examples.ids[place]))
        target.write_bytes("/".join((split, *names)) + ".png", picture.getvalue())
    target.finish({})
    return len(splits)
