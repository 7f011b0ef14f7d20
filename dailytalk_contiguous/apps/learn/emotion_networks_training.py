"""Training of the networks that classify emotion: on spectrograms, and on encoders of speech, frozen or not.

The loop is that of `learn.training`: the view of a step (which utterances, which masks, noise and dropout) follows
from the seed and the number of the step alone, and a CPU computes in one thread. Held-out speakers decide when to
stop.
"""

import contextlib
import hashlib
import io
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import EarlyStoppingCallback

from dailytalk_contiguous.apps.learn import training
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import (
    SETTINGS_OF_KIND,
    EncoderSettings,
    NetworkSettings,
    SpectrogramSettings,
)
from dailytalk_contiguous.apps.learn.feature_store import FeatureStore
from dailytalk_contiguous.apps.learn.probes import recall_of
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.emotions import fit_temperature, softmax
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.librosa_import import import_librosa
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.affect import fast_precisions
from dailytalk_contiguous.models.checkpoints import find_checkpoint
from dailytalk_contiguous.models.devices import is_out_of_memory
from dailytalk_contiguous.models.emotion_networks import (
    BANDS,
    CROP_SECONDS,
    HIGHEST,
    HOP,
    LONGEST_SECONDS,
    LOWEST,
    TRANSFORM,
    WINDOW,
    EncoderEmotions,
    EncoderNetwork,
    LayersHead,
    LogMel,
    SpectrogramEmotions,
    SpectrogramNetwork,
    TrainedNetwork,
    loudness_and_length,
    padded_frames,
    pooled_layers,
)
from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers
from dailytalk_contiguous.models.speech_models import load_speech_encoder
from dailytalk_contiguous.store.files import sha256_of
from dailytalk_contiguous.store.owned_folder import OwnedFolder, file_name

log = logging.getLogger(__name__)

#: The highest learning rate without a setting, by kind; of a fine-tuned encoder, and how many times larger that of
#: its head is.
LEARNING_RATES, FINE_TUNED_RATE, HEAD_FACTOR = {"spectrogram": 3e-3, "ssl": 1e-3}, 2e-5, 25.0

#: Validations without a smaller loss after which the learning rate is halved, and again after as many more.
HALVED_AFTER = 2

#: Batches within which utterances are sorted by length.
POOL = 16

#: The most bytes of spectrograms on disk: those of 174 hours, at 32 kB a second.
_SPECTROGRAM_BYTES = 20e9

#: The least spread of loudness and length (natural logarithms) in the training: similar clips are no scale.
_LEAST_SPREADS = (0.5, 0.05)

#: dB of a natural logarithm of power.
_DB = 10 / np.log(10)

#: Mel bands of a picture of a spectrogram, and dB between its softest and its loudest.
_PICTURE_BANDS, _PICTURE_DB = 128, 80.0

#: Part of the seeds of draws, so that no two draws are the same.
_HELD_OUT, _EPOCH, _STEP, _WEIGHTS = range(4)


def fit_network(
    kind: str,
    examples: EmotionExamples,
    settings: NetworkSettings | None = None,
    device: str = "cpu",
    seed: int = 0,
    work: Path | None = None,
    on_epoch: Callable[[int, int, float, float], None] | None = None,
) -> TrainedNetwork:
    """Train a network on examples, and calibrate it on the held-out speakers among them.

    The same examples, settings and device give the same network, also when the training was stopped and called
    again. Its `training` has the results.

    Args:
        kind: `spectrogram` or `ssl`. settings: of that kind; None: its defaults, with `seed`.
        device: `cpu` or `cuda`.
        work: a folder for features and checkpoints, which several trainings may share; None: nothing is kept.
        on_epoch: is called after each epoch with its number, the number of all at most, the mean loss of its
            steps, and the loss on held-out speakers, both in nats.

    Raises:
        DailytalkError: nothing can be held out, a disk or memory without room, losses that are no numbers, or the
            extra `train` is missing.
        ModelMissing: an encoder is missing, or lacks weights.
    """
    training.check_installed()
    settings = settings or SETTINGS_OF_KIND[kind](seed=seed)
    with contextlib.ExitStack() as stack:
        folder = work if work is not None else Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(interrupts.deferred())
        stack.enter_context(quiet_transformers())
        stack.enter_context(training.disk_room("features and checkpoints", folder))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        if device == "cpu":  # in one thread: with two, PyTorch gives other last bits
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        train, valid = held_out(examples, settings.valid_share, settings.seed)
        task: _Task
        if isinstance(settings, EncoderSettings):
            encoder = _Sounds if settings.fine_tune else _Layers
            task = encoder(examples, settings, device, folder)
        elif isinstance(settings, SpectrogramSettings):
            task = _Spectrograms(examples, settings, train, device, folder)
        else:
            raise TypeError(f"{settings!r} is for no kind of network")
        trainer = _EmotionTrainer(task, examples, settings, device, folder, train, valid, on_epoch)
        trainer.run()
        return trainer.classifier()


def held_out(examples: EmotionExamples, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the examples to train on, and of about that share to validate on, of other speakers.

    Equal sound is never on two sides, altered copies are not validated on, and each class stays in training. If no
    speaker can be held out, or speakers are `mixed` on purpose, utterances are held out.

    Raises DailytalkError if not one utterance can be.
    """
    units = examples.groups
    if not examples.mixed:
        units = joined_groups(list(zip(examples.speakers.tolist(), examples.groups.tolist(), strict=True)))
    taken = _drawn(examples, units, share, seed)
    if not taken.any() and not examples.mixed:
        taken = _drawn(examples, examples.groups, share, seed)
        log.warning("no speaker can be held out to tell when to stop, so utterances of the same speakers are")
    valid = np.flatnonzero(taken & ~examples.copies)
    if not len(valid):
        raise DailytalkError(
            f"none of {counted(len(examples), 'utterance')} can be held out to tell when to stop",
            "add utterances: two of each class, of two speakers, are the least",
        )
    return np.flatnonzero(~taken), valid


def _drawn(examples: EmotionExamples, units: NDArray[np.intp], share: float, seed: int) -> NDArray[np.bool_]:
    """A mask of the examples in drawn units, about a share of all; none if no unit can be drawn."""
    left = np.bincount(examples.labels, minlength=len(examples.classes))
    taken = np.zeros(len(examples), bool)
    wanted = share * len(examples)
    numbers = np.unique(units)
    for unit in numbers[np.random.default_rng((seed, _HELD_OUT)).permutation(len(numbers))]:
        own = units == unit
        counts = np.bincount(examples.labels[own], minlength=len(examples.classes))
        too_many = taken.any() and taken.sum() + own.sum() > 1.5 * wanted
        if too_many or ((left - counts <= 0) & (left > 0)).any() or examples.copies[own].all():
            continue
        taken |= own
        left = left - counts
        if taken.sum() >= wanted:
            break
    return taken


class _Task(ABC):
    """A training: its classifier, its network and its data.

    Attributes:
        classifier: the result. network: its trained part. lengths: of each example, in any unit.
        digest: of everything that decides the batches.
        rate: the highest learning rate without a setting.
    """

    classifier: TrainedNetwork
    network: nn.Module
    lengths: NDArray[np.intp]
    digest: str
    rate: float

    @abstractmethod
    def batch(self, places: Sequence[int], rng: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        """Inputs of the network for examples, altered by `rng` in training."""

    def groups(self, rate: float) -> list[dict[str, Any]]:
        return [{"params": list(self.network.parameters()), "lr": rate}]


class _Spectrograms(_Task):
    """Spectrograms, cut, coloured and masked anew at each view."""

    rate = LEARNING_RATES["spectrogram"]

    def __init__(
        self,
        examples: EmotionExamples,
        settings: SpectrogramSettings,
        train: NDArray[np.intp],
        device: str,
        folder: Path,
    ) -> None:
        self._settings = settings
        log_mel = LogMel()
        self._store = FeatureStore(
            folder / "features",
            f"log mel 1 {BANDS} {LOWEST} {HIGHEST} {WINDOW} {HOP}",
            _SPECTROGRAM_BYTES,
            "train on fewer utterances",
        )
        self._keys = self._store.keys(examples.sounds(), lambda sounds: [log_mel(sound) for sound in sounds])
        self.lengths = np.array([self._store.shape(key)[0] for key in self._keys])
        self.digest = _digest_of(self._keys)
        torch.manual_seed(training.seed_of(settings.seed, _WEIGHTS))
        network = SpectrogramNetwork(len(examples.classes), settings.dropout)
        self._set_statistics(network, train)
        self._usual = network.usual.numpy().copy()
        self.classifier = SpectrogramEmotions(SpectrogramEmotions.kind, examples.classes, network, device)
        self.network = self.classifier.network

    def _set_statistics(self, network: SpectrogramNetwork, train: NDArray[np.intp]) -> None:
        count, sums, squares, wholes = 0, np.zeros(1), np.zeros(1), []
        for place in train.tolist():
            stored = self._store[self._keys[place]]
            bands = stored.astype(np.float64)
            count, sums, squares = count + len(bands), sums + bands.sum(axis=0), squares + (bands**2).sum(axis=0)
            wholes.append(loudness_and_length(*padded_frames([stored]))[0].double().numpy())
        usual = sums / count
        network.usual.copy_(torch.from_numpy(usual))
        network.spread.copy_(torch.from_numpy(np.sqrt(np.maximum(squares / count - usual**2, 1e-4))))
        network.usual_whole.copy_(torch.from_numpy(np.mean(wholes, axis=0)))
        network.spread_whole.copy_(torch.from_numpy(np.maximum(np.std(wholes, axis=0), _LEAST_SPREADS)))

    def batch(self, places: Sequence[int], rng: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        views = [self._store[self._keys[place]].astype(np.float32) for place in places]
        if rng is None:
            return padded_frames([bands[: round(LONGEST_SECONDS * ANALYSIS_RATE / HOP)] for bands in views])
        longest = round(CROP_SECONDS * ANALYSIS_RATE / HOP)
        cropped = []
        for bands in views:
            start = int(rng.integers(0, max(0, len(bands) - longest) + 1))
            cropped.append(bands[start : start + longest])
        return padded_frames([self._masked(coloured(bands, self._settings, rng), rng) for bands in cropped])

    def _masked(self, bands: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """A view with spans of frames and of bands at their usual value (SpecAugment, without warping of time)."""
        n_frames, n_bands = bands.shape
        for _ in range(self._settings.time_masks):
            width = int(rng.integers(0, int(self._settings.time_share * n_frames) + 1))
            start = int(rng.integers(0, n_frames - width + 1))
            bands[start : start + width] = self._usual
        for _ in range(self._settings.band_masks):
            width = int(rng.integers(0, self._settings.most_bands + 1))
            start = int(rng.integers(0, n_bands - width + 1))
            bands[:, start : start + width] = self._usual[start : start + width]
        return bands


def coloured(
    bands: NDArray[np.float32], settings: SpectrogramSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A spectrogram (n, `BANDS`) as by another voice, or another microphone: as loud, and with the same pitch.

    Its bands get gains on a line through random points (FilterAugment: Nam, Kim & Park 2022), less their mean over
    all power.
    """
    n_points = -(-BANDS // settings.gain_bands) + 2
    places = np.arange(BANDS) / settings.gain_bands + rng.random()
    drawn = rng.normal(0.0, settings.gain_spread / _DB, n_points)
    other = bands + np.interp(places, np.arange(n_points), drawn).astype(np.float32)
    return np.asarray(other + np.float32(_log_power(bands) - _log_power(other)), np.float32)


def _log_power(bands: NDArray[np.float32]) -> float:
    return float(np.log(np.exp(bands.astype(np.float64)).sum()))


class _Encoder(_Task):
    """The common part of trainings of encoders: the loaded encoder with an untrained head."""

    def __init__(self, examples: EmotionExamples, settings: EncoderSettings, device: str) -> None:
        self._settings, self._device = settings, device
        checkpoint = find_checkpoint(settings.encoder)
        encoder = load_speech_encoder(checkpoint)
        torch.manual_seed(training.seed_of(settings.seed, _WEIGHTS))
        head = LayersHead(encoder.n_layers, encoder.width, len(examples.classes), settings.dropout)
        self.whole = EncoderNetwork(encoder, head)
        name = Path(settings.encoder).name if Path(settings.encoder).is_dir() else settings.encoder
        self.classifier = EncoderEmotions(EncoderEmotions.kind, examples.classes, self.whole, device, name)
        auto = "bfloat16" if fast_precisions(device)[0] == "bfloat16" else "float32"
        self.precision = auto if settings.precision == "auto" else settings.precision
        files = " ".join(sha256_of(path) for path in checkpoint.weights)
        self.digest = f"{files} {json.dumps(self.classifier.settings(), sort_keys=True)} {self.precision}"

    def computing(self) -> Any:
        return torch.autocast(self._device, torch.bfloat16, enabled=self.precision == "bfloat16")

    def heard(self, sound: Samples) -> Samples:
        return sound[: self.classifier.longest]


class _Layers(_Encoder):
    """The layers of a frozen encoder, computed once, also those of altered copies; the head is trained."""

    rate = LEARNING_RATES["ssl"]

    def __init__(self, examples: EmotionExamples, settings: EncoderSettings, device: str, folder: Path) -> None:
        super().__init__(examples, settings, device)
        self._store = FeatureStore(
            folder / "features",
            f"layers 1 {self.digest}",
            settings.cache_gigabytes * 1e9,
            "pass a larger --cache-gigabytes, fewer --noisy-copies, or another --speech-encoder",
        )
        self._keys = [self._store.keys(self._copies(examples, 0), self._layers)]
        for copy in range(1, settings.augment + 1):
            self._keys.append(self._store.keys(self._copies(examples, copy), self._layers))
        self.lengths = np.array([self._store.shape(key)[1] for key in self._keys[0]])
        self.digest = _digest_of([key for keys in self._keys for key in keys])
        self.network = self.whole.head

    def _copies(self, examples: EmotionExamples, copy: int) -> Iterator[Samples]:
        for sound in examples.sounds():
            if copy:
                # By the sound itself, so that each training in the folder has the same copy.
                drawn = hashlib.sha256(np.ascontiguousarray(sound, "<f4").tobytes()).digest()
                rng = np.random.default_rng((int.from_bytes(drawn[:8]), copy))
                sound = altered(sound, self._settings, rng)
            yield self.heard(sound)

    def _layers(self, sounds: list[Samples]) -> list[NDArray[np.float16]]:
        def compute(batch: list[Samples]) -> list[NDArray[np.float16]]:
            inputs, lengths = self.whole.encoder.prepare(batch)
            with self.computing():
                layers, counts = self.whole.encoder(inputs.to(self._device), lengths.to(self._device))
            pooled, counts = pooled_layers(layers, counts)
            rows = zip(pooled.half().cpu().numpy(), counts.tolist(), strict=True)
            return [row[:, :count] for row, count in rows]

        return self.classifier.run(sounds, compute)

    def batch(self, places: Sequence[int], rng: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        copies = [0 if rng is None else int(rng.integers(len(self._keys))) for _ in places]
        return padded_frames(
            [self._store[self._keys[copy][place]] for copy, place in zip(copies, places, strict=True)]
        )


class _Sounds(_Encoder):
    """Sounds themselves, altered anew at each view: encoder and head are trained, except its convolutions."""

    rate = FINE_TUNED_RATE

    def __init__(self, examples: EmotionExamples, settings: EncoderSettings, device: str, folder: Path) -> None:
        del folder
        super().__init__(examples, settings, device)
        self._examples, digests, lengths = examples, [self.digest], []
        for sound in examples.sounds():
            interrupts.check_interrupt()
            digests.append(hashlib.sha256(np.ascontiguousarray(sound, "<f4").tobytes()).hexdigest())
            lengths.append(len(self.heard(sound)))
        self.lengths, self.digest = np.array(lengths), _digest_of(digests)
        encoder: Any = self.whole.encoder.encoder
        convolutions = [encoder.conv1, encoder.conv2] if hasattr(encoder, "conv1") else [encoder.feature_extractor]
        for part in convolutions:
            part.requires_grad_(False)
        for name, weight in encoder.named_parameters():  # Whisper's positions are those of a formula
            if name.endswith(("embed_positions.weight", "masked_spec_embed")):
                weight.requires_grad_(False)
        self.network = _Computing(self.whole, self.computing)

    def batch(self, places: Sequence[int], rng: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        sounds = list(self._examples.source.sounds([int(self._examples.numbers[place]) for place in places]))
        if rng is not None and self._settings.augment:
            sounds = [altered(sound, self._settings, rng) for sound in sounds]
        inputs: tuple[Tensor, Tensor] = self.whole.encoder.prepare([self.heard(sound) for sound in sounds])
        return inputs

    def groups(self, rate: float) -> list[dict[str, Any]]:
        encoder = [weight for weight in self.whole.encoder.parameters() if weight.requires_grad]
        head = list(self.whole.head.parameters())
        return [{"params": encoder, "lr": rate}, {"params": head, "lr": min(1.0, HEAD_FACTOR * rate)}]


class _Computing(nn.Module):
    def __init__(self, whole: EncoderNetwork, computing: Callable[[], Any]) -> None:
        super().__init__()
        self.whole, self._computing = whole, computing

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with self._computing():
            layers, counts = self.whole.encoder(inputs, lengths)
        pooled, counts = pooled_layers(layers, counts)
        logits, embedded = self.whole.head(pooled, counts)
        return logits, embedded


def altered(sound: Samples, settings: EncoderSettings, rng: np.random.Generator) -> Samples:
    """A sound with noise, and at another speed, which changes its pitch, too.

    The speed is drawn from `least_speed` to its inverse, the ratio of sound to noise from `least_snr` to 20 dB
    more, and the noise from white to pink.
    """
    speed = float(np.exp(rng.uniform(-1, 1) * np.log(settings.least_speed)))
    faster = soxr.resample(sound, round(ANALYSIS_RATE * speed), ANALYSIS_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(len(faster)))
    spectrum /= np.sqrt(np.arange(1, len(spectrum) + 1)) ** rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, len(faster))
    ratio = 10 ** (rng.uniform(settings.least_snr, settings.least_snr + 20) / 20)
    level = np.sqrt(np.mean(np.square(faster, dtype=np.float64)) / max(np.mean(noise**2), 1e-30)) / ratio
    return np.asarray(faster + level * noise, np.float32)


class _EmotionBatches(training.Batches):
    """Batches of utterances of similar length within a random pool, with the label of each."""

    def __init__(
        self, task: _Task, targets: NDArray[np.float32], train: NDArray[np.intp], settings: NetworkSettings
    ) -> None:
        super().__init__(-(-len(train) // settings.batch))
        self.n_batches = settings.epochs * self.in_epoch
        self._task, self._targets, self._train, self._settings = task, targets, train, settings

    def plan(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng((self._settings.seed, _EPOCH, epoch))
        order, size = rng.permutation(self._train), self._settings.batch
        pools = [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]
        ordered = np.concatenate([pool[np.argsort(self._task.lengths[pool], kind="stable")] for pool in pools])
        batches = [ordered[start : start + size].tolist() for start in range(0, len(ordered), size)]
        return [batches[place] for place in rng.permutation(len(batches))]

    def batch(self, rows: list[int], number: int) -> dict[str, Any]:
        step = (self._settings.seed, _STEP, number)
        inputs, lengths = self._task.batch(rows, np.random.default_rng(step))
        targets = torch.from_numpy(self._targets[rows])
        return {"inputs": inputs, "lengths": lengths, "targets": targets, "seed": training.seed_of(*step)}


class _Patience(EarlyStoppingCallback):
    """Halves the learning rate whenever the loss stays: an early stop would come before any low rate."""

    def on_evaluate(  # type: ignore[override]
        self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any
    ) -> None:
        super().on_evaluate(args, state, control, metrics, **kwargs)  # type: ignore[no-untyped-call]
        if self.early_stopping_patience_counter and self.early_stopping_patience_counter % HALVED_AFTER == 0:
            scheduler = kwargs["lr_scheduler"]
            scheduler.base_lrs = [rate / 2 for rate in scheduler.base_lrs]
            for group in kwargs["optimizer"].param_groups:
                group["lr"] /= 2


class _EmotionTrainer(training.RepeatableTrainer):
    """Trains by cross-entropy, in which each class has its weight; validates on held-out utterances."""

    memory_remedy = "pass a smaller --batch, or a smaller --speech-encoder"
    rate_remedy = "pass a lower --learning-rate"

    def __init__(
        self,
        task: _Task,
        examples: EmotionExamples,
        settings: NetworkSettings,
        device: str,
        folder: Path,
        train: NDArray[np.intp],
        valid: NDArray[np.intp],
        on_epoch: Callable[[int, int, float, float], None] | None,
    ) -> None:
        self._task, self._examples, self._device, self._on_epoch = task, examples, device, on_epoch
        self._train, self._valid, self._epochs, self._part = train, valid, settings.epochs, settings.batch
        self._targets = np.eye(len(examples.classes), dtype=np.float32)[examples.labels]
        if examples.votes is not None:
            self._targets = np.asarray(examples.votes, np.float32)
        mass = self._targets[train].sum(axis=0)
        weights = mass.sum() / (len(mass) * np.maximum(mass, 1e-6))
        self._weights = torch.from_numpy(np.where(mass > 0, weights, 0.0).astype(np.float32))
        if not settings.class_weights:
            self._weights = torch.ones(len(mass))
        execution = ("encoder", "cache_gigabytes")  # an encoder is identified by its weights
        facts = {
            "settings": {name: value for name, value in asdict(settings).items() if name not in execution},
            "device": device,
            "classes": examples.classes,
            "ids": examples.ids,
            "targets": hashlib.sha256(self._targets.tobytes()).hexdigest(),
            "train": train.tolist(),
            "valid": valid.tolist(),
            "shown": task.digest,
        }
        batches = _EmotionBatches(task, self._targets, train, settings)
        planned, warmup = len(batches), max(1, round(settings.warmup_share * len(batches)))

        def share(step: int) -> float:
            """Of the learning rate: it rises over the warm-up, then falls to 0 as a cosine."""
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + float(np.cos(np.pi * (step - warmup) / max(1, planned - warmup))))

        groups = task.groups(settings.learning_rate or task.rate)
        optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        super().__init__(
            task.network,
            batches,
            folder / f"training-{_digest_of([json.dumps(facts)])[:16]}",
            planned,
            batches.in_epoch,
            _Patience(settings.patience),
            device,
            optimizers=(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, share)),
            max_grad_norm=5.0,
            logging_steps=1,
            seed=settings.seed,
        )

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """The gradients of a batch, in parts that fit into memory. Returns its loss in nats."""
        model.train()
        batch, seed = self._prepare_inputs(inputs), inputs["seed"]
        weights = batch["targets"] * self._weights.to(self._device)
        total = float(weights.cpu().sum())
        while True:
            torch.manual_seed(seed)
            loss = torch.zeros((), device=self._device)
            try:
                for start in range(0, len(weights), self._part):
                    part = slice(start, start + self._part)
                    logits, _ = model(batch["inputs"][part], batch["lengths"][part])
                    # Cross-entropy in nats; soft labels count by their shares.
                    share = -(weights[part] * logits.float().log_softmax(dim=1)).sum() / total
                    self.accelerator.backward(share)
                    loss += share.detach()
                return loss
            except RuntimeError as error:
                if not is_out_of_memory(error) or self._device == "cpu" or self._part == 1:
                    raise
            model.zero_grad()
            self._part = -(-self._part // 2)
            log.warning("a batch did not fit into memory; going on with %d utterances at a time", self._part)
            torch.cuda.empty_cache()

    def validate(self) -> dict[str, float]:
        """The loss at the best temperature of the answers, as in the end, and that of the epoch's steps.

        At its own temperature a network becomes surer with each epoch, and its loss rises while it still learns.
        """
        logits, targets = self._answers(), self._targets[self._valid]
        shares = softmax(logits, fit_temperature(softmax(logits), targets))
        weights = targets * self._weights.numpy()
        valid_loss = float(-(weights * np.log(np.maximum(shares, 1e-30))).sum() / max(weights.sum(), 1e-12))
        loss = float(np.mean([entry["loss"] for entry in self.state.log_history if "loss" in entry]))
        # Single steps are not kept, since every checkpoint holds this.
        self.state.log_history = [entry for entry in self.state.log_history if "eval_loss" in entry]
        if self._on_epoch:
            self._on_epoch(len(self.state.log_history) + 1, self._epochs, loss, valid_loss)
        return {"loss": valid_loss, "train_loss": loss}

    def _answers(self) -> NDArray[np.float64]:
        self.model.eval()
        order = np.argsort(self._task.lengths[self._valid], kind="stable")
        logits = np.zeros((len(order), len(self._examples.classes)))
        with torch.inference_mode():
            for start in range(0, len(order), self._part):
                interrupts.check_interrupt()
                part = order[start : start + self._part]
                inputs, lengths = self._task.batch(self._valid[part].tolist(), None)
                answer, _ = self.model(inputs.to(self._device), lengths.to(self._device))
                logits[part] = answer.float().cpu().numpy()
        return logits

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # safetensors requires contiguous weights, and convolutions with channels last are not.
        weights = self.model.state_dict()
        super()._save(output_dir, {name: weight.contiguous() for name, weight in weights.items()})

    def classifier(self) -> TrainedNetwork:
        """The best network as a classifier, calibrated on the held-out speakers."""
        logits = self._answers()
        model = self._task.classifier
        model.network.eval()
        model.temperature = fit_temperature(softmax(logits), self._targets[self._valid])
        epochs = [entry for entry in self.state.log_history if "eval_loss" in entry]
        model.training = {
            "epochs": [{"loss": epoch["eval_train_loss"], "valid_loss": epoch["eval_loss"]} for epoch in epochs],
            "stopped_early": self.state.global_step < self.state.max_steps,
            "valid_loss": self.state.best_metric,
            "valid_recall": recall_of(self._examples.labels[self._valid], logits.argmax(axis=1)),
            "train_utterances": len(self._train),
            "valid_utterances": len(self._valid),
            "parameters": sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad),
        }
        return model


def _digest_of(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


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
    for place, sound in enumerate(examples.sounds()):
        interrupts.check_interrupt()
        if place not in splits:
            continue
        power = librosa.feature.melspectrogram(
            y=sound, sr=ANALYSIS_RATE, n_fft=TRANSFORM, win_length=WINDOW, hop_length=HOP, n_mels=_PICTURE_BANDS
        )
        decibels = librosa.power_to_db(power, ref=np.max, top_db=_PICTURE_DB)
        picture = io.BytesIO()
        matplotlib.image.imsave(
            picture, decibels, vmin=-_PICTURE_DB, vmax=0, cmap="magma", origin="lower", format="png"
        )
        names = map(file_name, (examples.classes[examples.labels[place]], examples.ids[place]))
        target.write_bytes("/".join((splits[place], *names)) + ".png", picture.getvalue())
    target.finish({})
    return len(splits)
