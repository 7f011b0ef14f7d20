"""Training of the networks that classify emotion: on spectrograms, and on encoders of speech, frozen or not.

Held-out speakers decide when the learning rate is halved and when to stop. A frozen encoder hears each utterance
once: the head of transformers' classifiers is linear before its mean over time, so the mean of each layer over
time is all that it needs.
"""

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dailytalk_contiguous.apps.learn import training
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import (
    SETTINGS_OF_KIND,
    EncoderSettings,
    NetworkSettings,
    SpectrogramSettings,
)
from dailytalk_contiguous.apps.learn.probes import divided
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.emotions import fit_temperature, softmax
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.librosa_import import import_librosa
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_networks as networks
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers
from dailytalk_contiguous.store.files import file_name
from dailytalk_contiguous.store.owned_folder import OwnedFolder

log = logging.getLogger(__name__)

#: The highest learning rate without a setting: of a spectrogram's network, of the head on an encoder, and of an
#: encoder.
SPECTROGRAM_RATE, HEAD_RATE, ENCODER_RATE = 3e-3, 1e-3, 2e-5

#: The least spread of loudness and length (natural logarithms) in the training: similar clips are no scale.
_LEAST_SPREADS = (0.5, 0.05)

#: dB of a natural logarithm of power.
_DB = 10 / np.log(10)

#: Mel bands of a picture of a spectrogram, and dB between its softest and its loudest.
_PICTURE_BANDS, _PICTURE_DB = 128, 80.0

#: An example's place, and whether it is seen in training or to validate.
View = tuple[int, bool]


def fit_network(
    kind: str,
    examples: EmotionExamples,
    settings: NetworkSettings | None = None,
    device: str = "cpu",
    seed: int = 0,
    work: Path | None = None,
) -> TrainedEmotionModel:
    """Train a network on examples, and calibrate it on the held-out speakers among them.

    Args:
        kind: `spectrogram` or `ssl`. settings: of that kind; None: its defaults, with `seed`.
        device: `cpu` or `cuda`.
        work: a folder for checkpoints, from which a training that was stopped goes on; None: nothing is kept.

    Raises:
        DailytalkError: nothing can be held out, a disk or memory without room, losses that are no numbers, or the
            extra `train` is missing.
        ModelMissing: an encoder is missing, or lacks weights.
    """
    training.check_installed()
    settings = settings or SETTINGS_OF_KIND[kind](seed=seed)
    with contextlib.ExitStack() as stack:
        folder = work or Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(interrupts.deferred())
        stack.enter_context(quiet_transformers())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(settings.seed)
        if device == "cpu":  # small products take longer by several threads
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        train, valid = held_out(examples, settings.valid_share, settings.seed)
        task: Any
        if isinstance(settings, SpectrogramSettings):
            task = _Spectrograms(examples, train, settings, device)
        else:
            assert isinstance(settings, EncoderSettings)
            task = _Encoder(examples, settings, device)
        trainer = _EmotionTrainer(task, examples, train, valid, settings, folder, device)
        trainer.run()
        answers: Any = trainer.predict(trainer.eval_dataset)  # type: ignore[arg-type]
        model: TrainedEmotionModel = task.model
        task.model.network.eval()
        model.temperature = fit_temperature(softmax(answers.predictions.astype(float)), answers.label_ids)
    return model


def held_out(examples: EmotionExamples, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the examples to train on, and of about that share to validate on, of other speakers.

    Equal sound is never on two sides, and altered copies are not validated on. If no speaker can be held out, or
    speakers are `mixed` on purpose, utterances are held out. Raises DailytalkError if not one utterance can be.
    """
    units = [examples.groups]
    if not examples.mixed:
        units = [joined_groups([*zip(examples.speakers, examples.groups, strict=True)]), examples.groups]
    for number, groups in enumerate(units):
        with contextlib.suppress(BadInput):
            train, valid = divided(examples.labels, groups, max(2, round(1 / share)), seed)[0]
            valid = valid[~examples.copies[valid]]
            is_whole = {*examples.labels[train]} == {*examples.labels}
            if len(valid) and is_whole:
                if number:
                    log.warning("no speaker can be held out to tell when to stop, so utterances of the same are")
                return train, valid
    raise DailytalkError(
        f"none of {counted(len(examples), 'utterance')} can be held out to tell when to stop",
        "add utterances: two of each class, of two speakers, are the least",
    )


class _Spectrograms:
    """Spectrograms, cut, coloured and masked anew at each view."""

    def __init__(
        self, examples: EmotionExamples, train: NDArray[np.intp], settings: SpectrogramSettings, device: str
    ) -> None:
        self._settings, self._sounds, self._log_mel = settings, examples.sounds, networks.LogMel()
        network = networks.SpectrogramNetwork(len(examples.classes), settings.dropout)
        count, sums, squares, wholes = 0, np.zeros(1), np.zeros(1), []
        for place in train.tolist():
            interrupts.check_interrupt()
            bands = self._log_mel(self._sounds[place])
            wholes.append(networks.loudness_and_length(*networks.padded_frames([bands]))[0].double().numpy())
            bands = bands.astype(np.float64)
            count, sums, squares = count + len(bands), sums + bands.sum(axis=0), squares + (bands**2).sum(axis=0)
        usual = sums / count
        network.usual.copy_(torch.from_numpy(usual))
        network.spread.copy_(torch.from_numpy(np.sqrt(np.maximum(squares / count - usual**2, 1e-4))))
        network.usual_whole.copy_(torch.from_numpy(np.mean(wholes, axis=0)))
        network.spread_whole.copy_(torch.from_numpy(np.maximum(np.std(wholes, axis=0), _LEAST_SPREADS)))
        self._usual = usual.astype(np.float32)
        self.model = networks.SpectrogramEmotions("spectrogram", examples.classes, network, device)
        self.network: nn.Module = network
        self.groups = [{"params": network.parameters(), "lr": settings.learning_rate or SPECTROGRAM_RATE}]

    def inputs(self, places: Sequence[int], is_training: bool) -> dict[str, Tensor]:
        bands, lengths = networks.padded_frames([self._view(place, is_training) for place in places])
        return {"bands": bands, "lengths": lengths}

    def _view(self, place: int, is_training: bool) -> NDArray[np.float32]:
        bands = self._log_mel(self._sounds[place])
        if not is_training:
            return bands[: round(networks.LONGEST_SECONDS * ANALYSIS_RATE / networks.HOP)]
        rng = np.random.default_rng(int(torch.randint(1 << 62, ())))  # a checkpoint keeps PyTorch's state
        longest = round(networks.CROP_SECONDS * ANALYSIS_RATE / networks.HOP)
        start = int(rng.integers(0, max(0, len(bands) - longest) + 1))
        return self._masked(coloured(bands[start : start + longest], self._settings, rng), rng)

    def _masked(self, bands: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """A view with a span of frames and one of bands at their usual value (SpecAugment)."""
        most = int(self._settings.time_share * len(bands)), self._settings.most_bands
        height, width = (int(rng.integers(0, length + 1)) for length in most)
        top, left = int(rng.integers(len(bands) - height + 1)), int(rng.integers(networks.BANDS - width + 1))
        bands[top : top + height] = self._usual
        bands[:, left : left + width] = self._usual[left : left + width]
        return bands


def coloured(
    bands: NDArray[np.float32], settings: SpectrogramSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A spectrogram (n, `BANDS`) as by another voice, or another microphone: as loud, and with the same pitch.

    Its bands get gains on a line through random points (FilterAugment: Nam, Kim & Park 2022), less their mean over
    all power.
    """
    n_points = -(-networks.BANDS // settings.gain_bands) + 2
    places = np.arange(networks.BANDS) / settings.gain_bands + rng.random()
    drawn = rng.normal(0.0, settings.gain_spread / _DB, n_points)
    other = bands + np.interp(places, np.arange(n_points), drawn)
    before, after = (np.log(np.exp(power.astype(np.float64)).sum()) for power in (bands, other))
    return np.asarray(other + before - after, np.float32)


class _Encoder:
    """An encoder of speech: its frozen layers, or sounds for an encoder that is trained, too."""

    def __init__(self, examples: EmotionExamples, settings: EncoderSettings, device: str) -> None:
        self.model = networks.classifier_on(settings.encoder, examples.classes, device)
        classifier, self._examples = self.model.network, examples
        rate = settings.learning_rate
        self._layers: NDArray[np.float16] | None = None
        if settings.fine_tune:
            encoder = networks.encoder_in(classifier)
            convolutions = (
                [encoder.conv1, encoder.conv2] if hasattr(encoder, "conv1") else [encoder.feature_extractor]
            )
            for part in convolutions:
                part.requires_grad_(False)
            own = {id(weight) for weight in encoder.parameters()}
            head = [weight for weight in classifier.parameters() if id(weight) not in own]
            tuned = [weight for weight in encoder.parameters() if weight.requires_grad]
            self.network: nn.Module = classifier
            self.groups = [{"params": tuned, "lr": rate or ENCODER_RATE}, {"params": head, "lr": HEAD_RATE}]
            return
        self._layers = examples.measured(f"{settings.encoder} {device}", self._means)
        self.network = _Head(classifier, settings.dropout)
        self.groups = [{"params": self.network.parameters(), "lr": rate or HEAD_RATE}]

    @torch.inference_mode()
    def _means(self, sound: Samples) -> NDArray[np.float16]:
        _, means = self.model.layers([sound[: self.model.longest]])
        return means[0].half().cpu().numpy()

    def inputs(self, places: Sequence[int], is_training: bool) -> dict[str, Tensor]:
        if self._layers is not None:
            return {"layers": torch.from_numpy(self._layers[[*places]].astype(np.float32))}
        return self.model.inputs_of([self._examples.sounds[place][: self.model.longest] for place in places])


class _Head(nn.Module):
    """The head of a classifier of transformers on the means of an encoder's layers, with dropout."""

    def __init__(self, classifier: Any, dropout: float) -> None:
        super().__init__()
        self.layer_weights, self.dropout = classifier.layer_weights, nn.Dropout(dropout)
        self.projector, self.classifier = classifier.projector, classifier.classifier

    def forward(self, layers: Tensor) -> Tensor:
        summed = (layers * self.layer_weights.softmax(dim=0)[:, None]).sum(dim=1)
        logits: Tensor = self.classifier(self.projector(self.dropout(summed)))
        return logits


class _EmotionTrainer(training.CheckedTrainer):
    """Trains by cross-entropy, in which each class has its weight; validates on held-out utterances."""

    memory_remedy = "pass a smaller --batch, or a smaller --speech-encoder"
    rate_remedy = "pass a lower --learning-rate"

    def __init__(
        self,
        task: Any,
        examples: EmotionExamples,
        train: NDArray[np.intp],
        valid: NDArray[np.intp],
        settings: NetworkSettings,
        folder: Path,
        device: str,
    ) -> None:
        self._task = task
        self._targets = np.eye(len(examples.classes), dtype=np.float32)[examples.labels]
        if examples.votes is not None:
            self._targets = examples.votes
        mass = self._targets[train].sum(axis=0)
        facts = (asdict(settings), device, examples.ids.tolist(), self._targets.tolist(), train.tolist())
        self._weights = np.where(mass > 0, mass.sum() / (len(mass) * np.maximum(mass, 1e-6)), 0).astype(np.float32)
        arguments = training.arguments(
            training.run_folder(folder, *facts),
            device,
            per_device_train_batch_size=settings.batch,
            per_device_eval_batch_size=settings.batch,
            num_train_epochs=settings.epochs,
            eval_strategy="epoch",
            save_strategy="epoch",
            logging_strategy="epoch",
            metric_for_best_model="valid_loss",
            lr_scheduler_type="reduce_lr_on_plateau",
            lr_scheduler_kwargs={"factor": 0.5, "patience": 1},
            max_grad_norm=5.0,
            label_names=["labels"],
            seed=settings.seed,
        )
        super().__init__(
            task.network,
            arguments,
            settings.patience,
            train_dataset=[(int(place), True) for place in train],
            eval_dataset=[(int(place), False) for place in valid],
            data_collator=self._collated,
            compute_metrics=self._metrics,
            optimizers=(torch.optim.AdamW(task.groups, weight_decay=settings.weight_decay), None),
        )

    def _collated(self, items: Sequence[View]) -> dict[str, Tensor]:
        places = [place for place, _ in items]
        inputs: dict[str, Tensor] = self._task.inputs(places, items[0][1])
        return inputs | {"labels": torch.from_numpy(self._targets[places])}

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross-entropy in nats; soft labels count by their shares."""
        labels = inputs.pop("labels")
        logits = model(**inputs)
        logits = logits if isinstance(logits, Tensor) else logits[0]
        targets = labels * torch.from_numpy(self._weights).to(labels.device)
        loss = -(targets * logits.float().log_softmax(dim=1)).sum() / targets.sum()
        return (loss, (loss, logits)) if return_outputs else loss

    def _metrics(self, answers: Any) -> dict[str, float]:
        """The loss at the best temperature: at its own, a network becomes surer as it learns."""
        logits = answers.predictions.astype(float)
        shares = softmax(logits, fit_temperature(softmax(logits), answers.label_ids))
        weights = answers.label_ids * self._weights
        return {"valid_loss": float(-(weights * np.log(np.maximum(shares, 1e-30))).sum() / weights.sum())}


def save_spectrograms(examples: EmotionExamples, folder: Path, share: float, seed: int) -> int:
    """Write `SPLIT/CLASS/NAME.png` for each example: its log-mel spectrogram, low bands below, 80 dB of range.

    The splits are `train` and `validation`: a network with this `seed` holds out the same `share` (`held_out`).
    Altered copies of examples in `validation` are in neither.

    Returns how many were written. Raises DailytalkError for a folder of something else, and as `held_out` does.
    """
    import matplotlib.image  # takes a second

    train, valid = held_out(examples, share, seed)
    splits = dict.fromkeys(train.tolist(), "train") | dict.fromkeys(valid.tolist(), "validation")
    target, librosa = OwnedFolder(folder, "spectrograms", ()), import_librosa()
    axis = {"sr": ANALYSIS_RATE, "n_fft": networks.TRANSFORM, "hop_length": networks.HOP, "n_mels": _PICTURE_BANDS}
    for place, split in splits.items():
        interrupts.check_interrupt()
        power = librosa.feature.melspectrogram(y=examples.sounds[place], win_length=networks.WINDOW, **axis)
        decibels = librosa.power_to_db(power, ref=np.max, top_db=_PICTURE_DB)
        picture = io.BytesIO()
        matplotlib.image.imsave(picture, decibels, cmap="magma", origin="lower", format="png")
        names = map(file_name, (examples.classes[examples.labels[place]], examples.ids[place]))
        target.write_bytes("/".join((split, *names)) + ".png", picture.getvalue())
    target.finish({})
    return len(splits)
