"""Training of the networks that classify emotion: on pictures of spectrograms, and on an encoder of speech.

Speakers that are held out decide which epoch is kept, and set the temperature and the limits of confidence.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from dailytalk_contiguous.apps.learn import training
from dailytalk_contiguous.apps.learn.emotion_evaluation import guesses_alone, guesses_of
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.folds import check_installed, divided
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.style.emotions import (
    CARE,
    RIGHT_ALONE,
    RIGHT_BESIDE,
    ConfidenceLimits,
    fit_limit,
    fit_temperature,
    softmax,
)
from dailytalk_contiguous.core.style.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models import emotion_networks as networks
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.models.emotion_features import at_one_level
from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers
from dailytalk_contiguous.store.files import file_name
from dailytalk_contiguous.store.owned_folder import OwnedFolder

#: The highest learning rate of each kind.
RATES = {"spectrogram": 3e-3, "audio": 2e-5}

#: The index of an example, and whether it is seen in training or to validate.
View = tuple[int, bool]

#: A classifier that is trained here.
_Network = networks.SpectrogramEmotions | networks.AudioEmotions


def fit_network(
    kind: str,
    examples: EmotionExamples,
    settings: NetworkSettings,
    device: str = "cpu",
    work: Path | None = None,
) -> TrainedEmotionModel:
    """Train a network on examples, and calibrate it on the held-out speakers among them.

    Args:
        kind: `spectrogram` or `audio`.
        examples: to train on, and to calibrate on.
        settings: of the training.
        device: `cpu` or `cuda`.
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
        model = _untrained(kind, examples.classes, settings, device)
        trainer = _EmotionTrainer(model, examples, train, valid, settings, folder)
        trainer.run()
        answers: Any = trainer.predict(trainer.eval_dataset)  # type: ignore[arg-type]
        model.network.eval()
        shares = softmax(answers.predictions.astype(float))
        model.temperature = CARE * fit_temperature(shares, answers.label_ids)
        model.limits = _limits_of(model, examples.take(valid))
    return model


def _limits_of(model: TrainedEmotionModel, held_out: EmotionExamples) -> ConfidenceLimits:
    """The limits of a trained network's confidence; of one that compares nothing there is one."""
    together = guesses_of(model, held_out)
    alone = guesses_alone(model, held_out, together)
    shares = [guess.probabilities for guess in together]
    shares_alone = [guess.probabilities for guess in alone]
    limit_alone = fit_limit(shares_alone, held_out.labels, RIGHT_ALONE)
    if not model.compares:
        return ConfidenceLimits(limit_alone, limit_alone)
    return ConfidenceLimits(limit_alone, fit_limit(shares, held_out.labels, RIGHT_BESIDE))


def _untrained(kind: str, classes: Sequence[str], settings: NetworkSettings, device: str) -> _Network:
    """A classifier that is not trained yet."""
    if kind == "spectrogram":
        network = networks.SpectrogramNetwork(len(classes))
        return networks.SpectrogramEmotions(kind, classes, network, device)
    model = networks.classifier_on(settings.encoder, classes, device)
    for name, weight in model.network.named_parameters():
        if "feature_extractor" in name:  # the convolutions of wav2vec2 are not tuned
            weight.requires_grad_(False)
    return model


def held_out(examples: EmotionExamples, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the examples to train on, and of about that share to validate on, of other speakers.

    Equal sound is never on two sides, and altered copies are not validated on. If no speaker can be held out,
    utterances are. Raises DailytalkError if not one utterance can be.
    """
    by_speaker = joined_groups([*zip(examples.speakers, examples.groups, strict=True)])
    n_folds = max(2, round(1 / share))
    labels = set(examples.labels.tolist())
    for groups in (by_speaker, examples.groups):
        with contextlib.suppress(BadInput):
            folds = divided(examples.labels, groups, n_folds, seed)
            train, valid = folds[0]
            valid = valid[~examples.copies[valid]]
            if len(valid) and set(examples.labels[train].tolist()) == labels:
                return train, valid
    raise DailytalkError(
        f"none of {counted(len(examples), 'utterance')} can be held out to tell when to stop",
        "add utterances: at least two of each class, of two speakers",
    )


#: Epochs of each kind without a setting.
EPOCHS = {"spectrogram": 40, "audio": 15}

#: The slowest and the fastest that a sound is played, which moves its pitch and formants alike.
_SPEEDS = (0.9, 1.1)

#: The share of views in training in which a voice is compared with its own other utterances.
_COMPARED = 0.5


class _EmotionTrainer(training.ResumingTrainer):
    """Trains by cross-entropy, in which each class has the same weight; validates on held-out utterances."""

    def __init__(
        self,
        model: _Network,
        examples: EmotionExamples,
        train: NDArray[np.intp],
        valid: NDArray[np.intp],
        settings: NetworkSettings,
        folder: Path,
    ) -> None:
        self._model = model
        self._examples = examples
        self._offsets = _voice_offsets(model, examples, train)
        counts = np.bincount(examples.labels[train], minlength=len(examples.classes))
        weights = len(train) / (len(counts) * np.maximum(counts, 1))
        self._weights = torch.tensor(weights, dtype=torch.float32)
        ids = examples.ids.tolist()
        labels = examples.labels.tolist()
        run = training.run_folder(folder, asdict(settings), model.kind, ids, labels, train.tolist())
        arguments = training.arguments(
            run,
            model.device,
            per_device_train_batch_size=settings.batch,
            per_device_eval_batch_size=settings.batch,
            num_train_epochs=settings.epochs or EPOCHS[model.kind],
            eval_strategy="epoch",
            save_strategy="epoch",
            logging_strategy="epoch",
            metric_for_best_model="loss",
            learning_rate=RATES[model.kind],
            lr_scheduler_type="cosine",
            warmup_steps=0.1,
            weight_decay=0.01,
            label_names=["labels"],
            seed=settings.seed,
        )
        super().__init__(
            model.network,
            arguments,
            train_dataset=[(index, True) for index in train.tolist()],
            eval_dataset=[(index, False) for index in valid.tolist()],
            data_collator=self._collated,
        )

    def _collated(self, items: Sequence[View]) -> dict[str, Tensor]:
        """A batch: of each sound a window, in training at random, and the labels."""
        _, is_training = items[0]
        indices = [index for index, _ in items]
        longest = self._model.longest
        windows: list[NDArray[np.float32]] = []
        for index in indices:
            sound = at_one_level(self._examples.sound(index))
            rows = self._varied(sound, index) if is_training else self._model.prepared(sound)
            start = 0
            if is_training:  # a checkpoint keeps PyTorch's state of random numbers
                n_starts = max(0, len(rows) - longest) + 1
                start = int(torch.randint(n_starts, ()))
            windows.append(rows[start : start + longest])
        inputs = self._model.inputs(windows)
        inputs["labels"] = torch.from_numpy(self._examples.labels[indices])
        return inputs

    def _varied(self, sound: Samples, index: int) -> NDArray[np.float32]:
        """Return the input that the network gets of an example in training: a picture is at another speed."""
        if self._model.kind != "spectrogram":
            return self._model.prepared(sound)
        slowest, fastest = _SPEEDS
        speed = slowest + (fastest - slowest) * float(torch.rand(()))
        changed = soxr.resample(sound, ANALYSIS_RATE * speed, ANALYSIS_RATE)
        picture = self._model.prepared(at_one_level(changed))
        if float(torch.rand(())) < _COMPARED:
            picture = picture - self._offsets[index]
        vary_picture(torch.from_numpy(picture))
        return picture

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Cross-entropy in nats."""
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        weights = self._weights.to(labels.device)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels, weights)
        return (loss, (loss, logits)) if return_outputs else loss


def _voice_offsets(
    model: _Network, examples: EmotionExamples, train: NDArray[np.intp]
) -> dict[int, NDArray[np.float32]]:
    """Return, for each example to train on, by how much its speaker's usual picture differs from everybody's.

    The result is empty for a network that compares no pictures.
    """
    if not isinstance(model, networks.SpectrogramEmotions):
        return {}
    rows: list[NDArray[np.float32]] = []
    for index in train.tolist():
        interrupts.check_interrupt()
        rows.append(model.prepared(at_one_level(examples.sound(index))).mean(axis=0))
    means = np.stack(rows)
    model.network.usual.copy_(torch.from_numpy(means.mean(axis=0)))
    offsets = model.voice_offsets(means, examples.speakers[train].tolist())
    return dict(zip(train.tolist(), offsets, strict=True))


#: Points of the random gains of bands, whose spread is 1 (4.3 dB).
_GAIN_POINTS = 9


def vary_picture(picture: Tensor) -> None:
    """Change a picture (frames, bands) as another voice or microphone would, and hide a part of it.

    Bands get gains on a line through random points (FilterAugment: Nam, Kim & Park 2022), and together the power
    that they had. A span of frames and one of bands become the usual, 0 (SpecAugment: Park et al. 2019).
    """
    powers = picture * networks.SPREAD
    points = torch.randn(1, 1, _GAIN_POINTS)
    gains = torch.nn.functional.interpolate(points, picture.shape[1], mode="linear", align_corners=True)
    coloured = powers + gains[0]
    loudness = powers.flatten().logsumexp(0) - coloured.flatten().logsumexp(0)
    picture.copy_((coloured + loudness) / networks.SPREAD)
    for axis in (0, 1):
        length = picture.shape[axis]
        width = int(torch.randint(length // 10 + 1, ()))
        start = int(torch.randint(length - width + 1, ()))
        picture.narrow(axis, start, width).zero_()


#: dB between the softest and the loudest of a picture of a spectrogram.
_PICTURE_DB = 80.0


def save_spectrograms(examples: EmotionExamples, folder: Path, share: float, seed: int) -> int:
    """Write `SPLIT/CLASS/NAME.png` for each example: its log-mel spectrogram, low bands below, 80 dB of range.

    Pictures are of sounds at one level, without silence at both ends, as `SpectrogramEmotions` hears them.

    The splits are `train` and `validation`: a network with this `seed` holds out the same `share` (`held_out`).
    Altered copies of examples in `validation` are in neither.

    Returns how many were written. Raises DailytalkError for a folder of something else, and as `held_out` does.
    """
    import matplotlib.image  # takes a second

    train, valid = held_out(examples, share, seed)
    splits = dict.fromkeys(train.tolist(), "train")
    splits.update(dict.fromkeys(valid.tolist(), "validation"))
    target = OwnedFolder(folder, "spectrograms", ())
    for index, split in splits.items():
        interrupts.check_interrupt()
        spectrogram = networks.log_mel(at_one_level(examples.sound(index))).numpy()
        decibels = spectrogram.T * (10 / np.log(10))
        softest = float(decibels.max()) - _PICTURE_DB
        picture = io.BytesIO()
        matplotlib.image.imsave(picture, decibels, vmin=softest, cmap="magma", origin="lower", format="png")
        class_name = file_name(examples.classes[examples.labels[index]])
        name = file_name(examples.ids[index])
        target.write_bytes(f"{split}/{class_name}/{name}.png", picture.getvalue())
    target.finish({})
    return len(splits)
