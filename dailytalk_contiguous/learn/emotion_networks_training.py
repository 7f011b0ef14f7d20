"""Training of the networks that classify emotion: on spectrograms, and on encoders of speech, frozen or not.

The loop is plain, so that it can be repeated: what a step sees (which utterances, which masks, noise and dropout)
follows from the seed and the number of the step alone, and a CPU computes in one thread. So a training that goes
on after Ctrl-C or a power cut has the losses of one that was never stopped. A checkpoint is one file of
safetensors, written whole or not at all. When to stop is told by speakers who are held out.
"""

import contextlib
import errno
import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.emotions import fit_temperature, softmax
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.librosa_import import import_librosa
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.learn.emotion_settings import (
    SETTINGS_OF_KIND,
    EncoderSettings,
    NetworkSettings,
    SpectrogramSettings,
)
from dailytalk_contiguous.learn.feature_store import FeatureStore
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
from dailytalk_contiguous.store.files import sha256_of, write_bytes
from dailytalk_contiguous.store.owned_folder import OwnedFolder, file_name

log = logging.getLogger(__name__)

#: The highest learning rate where the settings leave it open, by kind; of an encoder that is fine-tuned, and how
#: many times larger that of its head is.
LEARNING_RATES, FINE_TUNED_RATE, HEAD_FACTOR = {"spectrogram": 3e-3, "ssl": 1e-3}, 2e-5, 25.0

#: Validations without a smaller loss after which the learning rate is halved, and again after as many more.
HALVED_AFTER = 2

#: Batches among whose utterances those of like length are put together.
POOL = 16

#: Seconds between checkpoints within an epoch.
CHECKPOINT_SECONDS = 600.0

#: Disk that spectrograms may take: those of 174 hours, at 32 kB a second.
_SPECTROGRAM_BYTES = 20e9

#: The least spread of loudness and length (natural logarithms) in what is trained on: alike clips are no scale.
_LEAST_SPREADS = (0.5, 0.05)

#: dB of a natural logarithm of power.
_DB = 10 / np.log(10)

#: Mel bands of a picture of a spectrogram, and dB between its softest and its loudest.
_PICTURE_BANDS, _PICTURE_DB = 128, 80.0

#: Part of the seeds of what is drawn: so that no two draws are one.
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
    """A network trained on examples, and calibrated on the speakers among them who were held out.

    The same examples, settings and device give the same network, also when the training was stopped and called
    again. Its `training` says what came of it.

    Args:
        kind: `spectrogram` or `ssl`. settings: of that kind; None: its defaults, with `seed`.
        device: `cpu` or `cuda`.
        work: a folder for features and checkpoints, which several trainings may share; None: nothing is kept.
        on_epoch: is called after each epoch with its number, the number of all at most, the mean loss of its
            steps, and the loss on held-out speakers, both in nats.

    Raises:
        DailytalkError: nothing that can be held out, a disk or memory without room, or losses that are no numbers.
        ModelMissing: an encoder that is not there, or lacks weights.
    """
    settings = settings or SETTINGS_OF_KIND[kind](seed=seed)
    with contextlib.ExitStack() as stack:
        folder = work if work is not None else Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(interrupts.deferred())
        stack.enter_context(quiet_transformers())
        stack.enter_context(_disk_room(folder))
        if device == "cpu":  # in one thread: with two, PyTorch gives other last bits
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        train, valid = held_out(examples, settings.valid_share, settings.seed)
        task: _Task
        if isinstance(settings, EncoderSettings):
            encoder = _Sounds if settings.fine_tune else _Layers
            task = encoder(examples, settings, device, folder)
        elif isinstance(settings, SpectrogramSettings):
            task = _Spectrograms(examples, settings, train, folder)
        else:
            raise TypeError(f"{settings!r} is for no kind of network")
        training = _Training(task, examples, settings, device, folder, train, valid, on_epoch)
        training.run()
        return training.model()


@contextlib.contextmanager
def _disk_room(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise DailytalkError(
            f"the disk has no room for features and checkpoints in {as_text(folder)!r}",
            "free some space and run the same command again: it goes on from the last checkpoint",
        ) from None


def held_out(examples: EmotionExamples, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the examples to train on, and of those to validate on: about that share, of other speakers.

    Equal sound is never on two sides, altered copies are not validated on, and each class stays in training.
    Where no speaker can be spared, or speakers are `mixed` on purpose, utterances are held out.

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
    """Which examples are in units that are drawn until they are about a share of all; none where none can be."""
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


# What a network is trained on.


class _Task(Protocol):
    """What is trained, and what it is shown.

    Attributes:
        network: what is trained. lengths: of each example, in any unit. digest: of all that decides what is shown.
        rate: the highest learning rate where the settings leave it open.
    """

    network: nn.Module
    lengths: NDArray[np.intp]
    digest: str
    rate: float

    def batch(self, places: Sequence[int], rng: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        """Inputs of the network for examples, altered by `rng` in training."""
        ...

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameters and their learning rates."""
        return [{"params": list(self.network.parameters()), "lr": rate}]

    def model(self, classes: tuple[str, ...], device: str) -> TrainedNetwork:
        """The classifier that the trained network is."""
        ...


class _Spectrograms(_Task):
    """Spectrograms, cut, coloured and masked anew at each view."""

    rate = LEARNING_RATES["spectrogram"]

    def __init__(
        self, examples: EmotionExamples, settings: SpectrogramSettings, train: NDArray[np.intp], folder: Path
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
        network = SpectrogramNetwork(len(examples.classes), settings.dropout)
        self._set_statistics(network, train)
        self._usual = network.usual.numpy().copy()
        self.network: nn.Module = network

    def _set_statistics(self, network: SpectrogramNetwork, train: NDArray[np.intp]) -> None:
        """Set what is usual over all frames of the examples to train on, and over these as wholes."""
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
        cropped = [_cropped(bands, longest, rng) for bands in views]
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

    def model(self, classes: tuple[str, ...], device: str) -> TrainedNetwork:
        return SpectrogramEmotions(SpectrogramEmotions.kind, classes, self.network, device)


def coloured(
    bands: NDArray[np.float32], settings: SpectrogramSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A spectrogram (n, `BANDS`) as by another voice, or another microphone: as loud, and with the same pitch.

    Its bands get gains on a line through random points (FilterAugment: Nam, Kim & Park 2022), of which the mean
    over all power is taken away.
    """
    n_points = -(-BANDS // settings.gain_bands) + 2
    places = np.arange(BANDS) / settings.gain_bands + rng.random()
    drawn = rng.normal(0.0, settings.gain_spread / _DB, n_points)
    other = bands + np.interp(places, np.arange(n_points), drawn).astype(np.float32)
    return np.asarray(other + np.float32(_log_power(bands) - _log_power(other)), np.float32)


def _log_power(bands: NDArray[np.float32]) -> float:
    return float(np.log(np.exp(bands.astype(np.float64)).sum()))


def _cropped(frames: NDArray[np.float32], longest: int, rng: np.random.Generator) -> NDArray[np.float32]:
    start = int(rng.integers(0, max(0, len(frames) - longest) + 1))
    return frames[start : start + longest]


class _Encoder(_Task):
    """What trainings of encoders share: the loaded encoder with a head that knows nothing yet."""

    def __init__(self, examples: EmotionExamples, settings: EncoderSettings, device: str) -> None:
        self._settings, self._device = settings, device
        checkpoint = find_checkpoint(settings.encoder)
        encoder = load_speech_encoder(checkpoint)
        head = LayersHead(encoder.n_layers, encoder.width, len(examples.classes), settings.dropout)
        self.whole = EncoderNetwork(encoder, head)
        name = Path(settings.encoder).name if Path(settings.encoder).is_dir() else settings.encoder
        self.classifier = EncoderEmotions(EncoderEmotions.kind, examples.classes, self.whole, device, name)
        auto = "bfloat16" if fast_precisions(device)[0] == "bfloat16" else "float32"
        self.precision = auto if settings.precision == "auto" else settings.precision
        files = " ".join(sha256_of(path) for path in checkpoint.weights)
        self.digest = f"{files} {json.dumps(self.classifier.settings(), sort_keys=True)} {self.precision}"

    def computing(self) -> Any:
        """The encoder computes in its precision in this block."""
        return torch.autocast(self._device, torch.bfloat16, enabled=self.precision == "bfloat16")

    def heard(self, sound: Samples) -> Samples:
        """What is heard of a sound: its first window."""
        return sound[: self.classifier.longest]

    def model(self, classes: tuple[str, ...], device: str) -> TrainedNetwork:
        del classes, device
        self.whole.eval()
        return self.classifier


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
        self.network: nn.Module = self.whole.head

    def _copies(self, examples: EmotionExamples, copy: int) -> Iterator[Samples]:
        for sound in examples.sounds():
            if copy:
                # By the sound itself, so that each training that shares the folder has the same copy.
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
        self.network: nn.Module = _Computing(self.whole, self.computing)

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
    """A network of which the encoder computes in its precision."""

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


# The loop.


@dataclass
class _State:
    """How far a training has come: `step` is the next, `losses` those of the steps of this epoch.

    `halvings` says how often the learning rate was halved.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)
    best: float = float("inf")
    since_best: int = 0
    halvings: int = 0
    finished: bool = False


class _Training:
    """One training: from its last checkpoint, or from the beginning, to the best network."""

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
        self._task, self._examples, self._settings, self._device = task, examples, settings, device
        self._train, self._valid, self._on_epoch = train, valid, on_epoch
        self._targets = np.eye(len(examples.classes), dtype=np.float32)[examples.labels]
        if examples.votes is not None:
            self._targets = np.asarray(examples.votes, np.float32)
        mass = self._targets[train].sum(axis=0)
        weights = mass.sum() / (len(mass) * np.maximum(mass, 1e-6))
        self._weights = torch.from_numpy(np.where(mass > 0, weights, 0.0).astype(np.float32))
        if not settings.class_weights:
            self._weights = torch.ones(len(mass))
        self._in_epoch = -(-len(train) // settings.batch)
        self._planned = settings.epochs * self._in_epoch
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed(settings.seed, _WEIGHTS))
            for name, part in task.network.named_modules():
                # What is new, so that it follows from the seed; an encoder keeps its own weights.
                if "encoder" not in name.split(".") and isinstance(part, nn.Linear | nn.Conv2d):
                    part.reset_parameters()
        self._network: nn.Module = task.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimiser = torch.optim.AdamW(
            task.groups(settings.learning_rate or task.rate), weight_decay=settings.weight_decay
        )
        self._rates = [group["lr"] for group in self._optimiser.param_groups]
        self._part = settings.batch
        self._plan = lru_cache(maxsize=1)(self._plan_epoch)
        execution = ("encoder", "cache_gigabytes")  # an encoder counts by its weights
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
        self._path = folder / f"training-{_digest_of([json.dumps(facts)])[:16]}.safetensors"
        self._state, self._best = _State(), dict[str, Tensor]()

    def run(self) -> None:
        """Train until all epochs are done, or the loss on held-out speakers falls no more."""
        self._resume()
        saved = time.monotonic()
        while not self._state.finished:
            try:
                interrupts.check_interrupt()
            except KeyboardInterrupt:
                self._save()
                raise
            self._state.losses.append(self._step())
            self._state.step += 1
            if self._state.step % self._in_epoch == 0:
                self._end_epoch()
                self._save()
                saved = time.monotonic()
            elif time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = time.monotonic()

    def model(self) -> TrainedNetwork:
        """The best network as a classifier, calibrated on the speakers who were held out."""
        self._network.load_state_dict(self._best)
        self._network.eval()
        logits = self._answers()
        model = self._task.model(self._examples.classes, self._device)
        targets = self._targets[self._valid]
        model.temperature = fit_temperature(softmax(logits), targets)
        predicted, truth = logits.argmax(axis=1), self._examples.labels[self._valid]
        recalls = [float(np.mean(predicted[truth == label] == label)) for label in np.unique(truth)]
        model.training = {
            "epochs": self._state.epochs,
            "stopped_early": self._state.step < self._planned,
            "valid_loss": self._state.best,
            "valid_recall": float(np.mean(recalls)),
            "train_utterances": len(self._train),
            "valid_utterances": len(self._valid),
            "parameters": sum(weight.numel() for weight in self._network.parameters() if weight.requires_grad),
        }
        return model

    def _plan_epoch(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch: utterances of like length together, as far as chance has put them near."""
        rng = np.random.default_rng((self._settings.seed, _EPOCH, epoch))
        order, size = rng.permutation(self._train), self._settings.batch
        pools = [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]
        ordered = np.concatenate([pool[np.argsort(self._task.lengths[pool], kind="stable")] for pool in pools])
        batches = [ordered[start : start + size].tolist() for start in range(0, len(ordered), size)]
        return [batches[place] for place in rng.permutation(len(batches))]

    def _step(self) -> float:
        """One update of the weights. Returns the loss, in nats."""
        epoch, place = divmod(self._state.step, self._in_epoch)
        batch = self._plan(epoch)[place]
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * self._rate_at(self._state.step)
        while True:
            try:
                loss = self._gradients(batch)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self._device == "cpu" or self._part == 1:
                    raise DailytalkError(
                        f"an utterance does not fit into memory ({str(error).splitlines()[0]})",
                        "pass a smaller --batch, or a smaller --speech-encoder",
                    ) from error
            self._part = -(-self._part // 2)
            log.warning("a batch did not fit into memory; going on with %d utterances at a time", self._part)
            torch.cuda.empty_cache()
        if not np.isfinite(loss):
            raise DailytalkError(
                f"the loss is {loss} after {self._state.step} steps", "pass a lower --learning-rate"
            )
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
        self._optimiser.step()
        return loss

    def _gradients(self, batch: list[int]) -> float:
        """Leave the gradients of a batch in the network, in parts that fit into memory. Returns its loss."""
        self._network.train()
        self._optimiser.zero_grad(set_to_none=True)
        devices = [torch.cuda.current_device()] if self._device == "cuda" else []
        total = float((torch.from_numpy(self._targets[batch]) * self._weights).sum())
        loss = 0.0
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(_seed(self._settings.seed, _STEP, self._state.step))
            rng = np.random.default_rng((self._settings.seed, _STEP, self._state.step))
            for start in range(0, len(batch), self._part):
                part = batch[start : start + self._part]
                logits, targets = self._logits(part, rng)
                # Cross-entropy in nats, each class with its weight; soft labels count by their shares.
                own = -(targets * self._weights.to(self._device) * logits.log_softmax(dim=1)).sum() / total
                own.backward()  # type: ignore[no-untyped-call]
                loss += float(own.detach())
        return loss

    def _logits(self, places: list[int], rng: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        inputs, lengths = self._task.batch(places, rng)
        logits, _ = self._network(inputs.to(self._device), lengths.to(self._device))
        return logits.float(), torch.from_numpy(self._targets[places]).to(self._device)

    def _rate_at(self, step: int) -> float:
        """Share of the learning rate: it rises over the warm-up, then falls to 0 as a cosine.

        It is halved wherever the loss stays. Else a training that stops early would never see a low rate.
        """
        share = 0.5**self._state.halvings
        warmup = max(1, round(self._settings.warmup_share * self._planned))
        if step < warmup:
            return share * (step + 1) / warmup
        return share * 0.5 * (1 + float(np.cos(np.pi * (step - warmup) / max(1, self._planned - warmup))))

    def _answers(self) -> NDArray[np.float64]:
        """Logits (n, classes) of the utterances that are held out."""
        self._network.eval()
        order = self._valid[np.argsort(self._task.lengths[self._valid], kind="stable")]
        places = {place: number for number, place in enumerate(self._valid.tolist())}
        logits = np.zeros((len(order), len(self._examples.classes)))
        with torch.inference_mode():
            for start in range(0, len(order), self._part):
                interrupts.check_interrupt()
                part = order[start : start + self._part].tolist()
                logits[[places[place] for place in part]] = self._logits(part, None)[0].cpu().numpy()
        return logits

    def _held_out_loss(self) -> float:
        """The loss on the utterances that are held out, at the temperature that suits them best, as in the end.

        At its own temperature a network is surer with each epoch, and its loss rises while it still learns.
        """
        logits, targets = self._answers(), self._targets[self._valid]
        shares = softmax(logits, fit_temperature(softmax(logits), targets))
        weights = targets * self._weights.numpy()
        return float(-(weights * np.log(np.maximum(shares, 1e-30))).sum() / max(weights.sum(), 1e-12))

    def _end_epoch(self) -> None:
        state = self._state
        loss = self._held_out_loss()
        state.epochs.append({"loss": float(np.mean(state.losses)), "valid_loss": loss})
        state.losses = []
        state.since_best += 1
        if loss < state.best or not self._best:
            state.best, state.since_best = loss, 0
            self._best = {
                name: weight.detach().cpu().clone() for name, weight in self._network.state_dict().items()
            }
        elif state.since_best % HALVED_AFTER == 0:
            state.halvings += 1
        state.finished = state.step >= self._planned or state.since_best >= self._settings.patience
        if self._on_epoch:
            self._on_epoch(len(state.epochs), self._settings.epochs, state.epochs[-1]["loss"], loss)

    def _save(self) -> None:
        """Write all that it takes to go on; of a training that is finished its result."""
        tensors = {f"best.{name}": weight for name, weight in self._best.items()}
        if not self._state.finished:
            tensors |= {f"network.{name}": weight.cpu() for name, weight in self._network.state_dict().items()}
            for number, values in self._optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{name}": value.cpu() for name, value in values.items()}
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_bytes(self._path, save(tensors, {"state": json.dumps(asdict(self._state))}))

    def _resume(self) -> None:
        """Take up the last checkpoint, if there is one; what can't be read is as if it were not there."""
        if not self._path.is_file():
            return
        try:
            with safe_open(self._path, "pt") as file:
                state = _State(**json.loads(file.metadata()["state"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, TypeError, KeyError):
            self._path.unlink(missing_ok=True)
            return
        self._state = state
        self._best = _named(tensors, "best.")
        if state.finished:
            return
        self._network.load_state_dict(_named(tensors, "network."))
        optimiser = self._optimiser.state_dict()
        for name, value in _named(tensors, "optimiser.").items():
            number, _, name = name.partition(".")
            optimiser["state"].setdefault(int(number), {})[name] = value
        self._optimiser.load_state_dict(optimiser)


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): own for name, own in tensors.items() if name.startswith(prefix)}


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0])


def _digest_of(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


# Pictures of spectrograms, as classifiers of pictures take them.


def save_spectrograms(examples: EmotionExamples, folder: Path, share: float, seed: int) -> int:
    """Write `SPLIT/CLASS/NAME.png` for each example: its log-mel spectrogram, low bands below, 80 dB of range.

    The splits are `train` and `validation`: what a network with this `seed` holds out a `share` of (`held_out`).
    Altered copies of what is in `validation` are in neither.

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
