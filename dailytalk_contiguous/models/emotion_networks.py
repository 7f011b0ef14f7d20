"""Classifiers of emotion that are networks: on spectrograms, and those of transformers on encoders of speech.

A sound of more than `LONGEST_SECONDS` is cut into windows of about equal length, whose logits are averaged. On a
CPU each window is computed by itself, in one thread, so that a guess has the same bits in any company and on any
number of threads. On CUDA windows of like length share a batch, with padding left out of every norm, attention and
mean, so that they get what they get alone (to 1e-5).
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.documents import as_text, fits, shown
from dailytalk_contiguous.core.emotions import CLASS_OF_LABEL, class_of_label, softmax
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.librosa_import import import_librosa
from dailytalk_contiguous.models import speech_models
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.checkpoints import FIND_REMEDY, StoredModel, find_checkpoint
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel, TrainedEmotionModel
from dailytalk_contiguous.models.devices import SHORTEST, Room, run_batched
from dailytalk_contiguous.models.emotion_folder import RETRAIN, EmotionFolder, nothing_said, why_unheard
from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers, windows_of
from dailytalk_contiguous.models.stored_weights import load_weights

#: Seconds that a network hears at a time, unless it takes fewer.
LONGEST_SECONDS = 20.0

#: Seconds of padded audio in a batch: see `stages.rate_affect.BATCH_SECONDS`.
BATCH_SECONDS = {"cpu": SHORTEST, "cuda": 240.0}

#: Samples of a spectrogram's windows and of the transform that they are padded to, and samples between them (64,
#: 128 and 16 ms). A window so long tells the harmonics of a low voice apart, by which the network hears its pitch.
WINDOW, TRANSFORM, HOP = 1024, 2048, 256

#: Mel bands of a spectrogram, and Hz between which they are: 11 Hz wide up to 1 kHz, where the pitch is.
BANDS, LOWEST, HIGHEST = 256, 50.0, 7000.0

#: Harmonics that the network sees of a fundamental at once, and the lowest bands, whose harmonics are all there.
HARMONICS, FUNDAMENTALS = 5, 112

#: What is added to the power before its logarithm: -80 dB of a full-scale tone.
FLOOR = 1e-4

#: Channels of the convolutions on a spectrogram, width of the frames that they are brought to, and of what all
#: that is known of an utterance is brought to.
CHANNELS_OF_BLOCKS, FRAME_WIDTH, HIDDEN_WIDTH = (16, 32, 48, 64), 128, 64

#: Seconds that are seen of an utterance at a time in training: a longer one counts as one of this length.
CROP_SECONDS = 6.0

#: Spreads from the usual beyond which loudness and length count no more.
_FARTHEST = 4.0

#: Added to a variance over frames before its root, whose slope at 0 is infinite.
_LEAST_VARIANCE = 1e-4

#: Labels of a checkpoint at most, and those that are emotions at least.
_MOST_LABELS, _LEAST_EMOTIONS = 256, 2

#: Settings of a classifier on an encoder: no part of it is dropped or masked at random by itself, its layers are
#: summed by learned weights, and brought to so many numbers before they are averaged over time (Yang et al. 2021,
#: "SUPERB").
_CLASSIFIER = {
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "apply_spec_augment": False,
    "add_adapter": False,
    "use_weighted_layer_sum": True,
    "classifier_proj_size": 256,
}

_CHECKPOINT = "name a checkpoint of AutoModelForAudioClassification that was trained on emotion"


class NetworkEmotions:
    """The base of classifiers that are networks.

    Attributes:
        network: the module. temperature: over 0; its probabilities are the softmax of its logits over this.
        room: how large its batches may be, as far as is known.
    """

    def __init__(self, name: str, classes: Sequence[str], network: nn.Module, device: str) -> None:
        self.name, self.classes, self.device = name, tuple(classes), device
        self.network: Any = network.to(device).eval()
        self.longest = round(LONGEST_SECONDS * ANALYSIS_RATE)
        self.temperature = 1.0
        self.room = Room()

    def classify(
        self, sounds: Sequence[Samples], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        reasons = [why_unheard(sound) for sound in sounds]
        windows = [
            [] if reason else windows_of(sound, self.longest)
            for sound, reason in zip(sounds, reasons, strict=True)
        ]
        answers = iter(self._run([window for own in windows for window in own]))
        guesses = []
        for own, reason in zip(windows, reasons, strict=True):
            heard = [next(answers) for _ in own]
            if not heard:
                guesses.append(nothing_said(reason))
                continue
            logits, embedding = (np.mean(part, axis=0) for part in zip(*heard, strict=True))
            if np.isfinite(logits).all() and np.isfinite(embedding).all():
                shares = self.probabilities(logits).astype(np.float32)
                guesses.append(EmotionGuess(shares, embedding.astype(np.float32)))
            else:
                guesses.append(nothing_said("its sound is too loud for numbers"))
        return guesses

    def hear(self, windows: list[Samples]) -> tuple[Tensor, Tensor]:
        """Logits (n, labels) and embeddings (n, width) of windows as one batch."""
        raise NotImplementedError

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of `classes` by the logits of the network."""
        return softmax(logits, self.temperature)

    def _run(self, windows: Sequence[Samples]) -> list[tuple[NDArray[np.float64], NDArray[np.float32]]]:
        def call(batch: list[Samples]) -> list[Any]:
            # TF32 convolutions, cuDNN's default, would move results by more than 1e-5 from one batch to the next.
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                logits, embedded = self.hear(batch)
            return [*zip(logits.double().cpu().numpy(), embedded.float().cpu().numpy(), strict=True)]

        seconds = [len(window) / ANALYSIS_RATE for window in windows]
        pool = threads_of_one() if self.device == "cpu" else None
        return run_batched(windows, seconds, BATCH_SECONDS[self.device], call, self.room, pool=pool)

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """Its weights by name, float32."""
        return {name: weight.float().cpu().numpy() for name, weight in self.network.state_dict().items()}


class AttentivePooling(nn.Module):
    """Mean and spread over frames, each of which counts as much as a small network says.

    Okabe, Koshinaka & Shinoda 2018, "Attentive statistics pooling for deep speaker embedding".
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, frames: Tensor, inside: Tensor) -> Tensor:
        """Vectors (n, 2 width) of frames (n, frames, width), of which those `inside`, bool (n, frames), count."""
        scores = self.score(frames)[:, :, 0].masked_fill(~inside, -torch.inf)
        weights = scores.softmax(dim=1)[:, :, None]
        mean = (weights * frames).sum(dim=1)
        variance = (weights * (frames - mean[:, None]).square()).sum(dim=1)
        return torch.cat([mean, (variance + _LEAST_VARIANCE).sqrt()], dim=1)


def frames_inside(lengths: Tensor, n_frames: int) -> Tensor:
    """Which of `n_frames` are no padding, bool (n, n_frames), by the lengths (n,) in frames."""
    return torch.arange(n_frames, device=lengths.device) < lengths[:, None]


class LogMel:
    """Spectrograms of 16 kHz sound: natural logarithms of power in `BANDS` mel bands, every 16 ms.

    `librosa.feature.melspectrogram` computes the same on all of the process's threads, which decide its last bits.
    """

    def __init__(self) -> None:
        axis = {"sr": ANALYSIS_RATE, "n_fft": TRANSFORM, "n_mels": BANDS, "fmin": LOWEST, "fmax": HIGHEST}
        # Without a norm the triangles sum to 1, and all power between them counts once.
        self._filters = torch.from_numpy(import_librosa().filters.mel(**axis, norm=None).T.copy())
        self._window = torch.hann_window(WINDOW)

    def __call__(self, sound: Samples) -> NDArray[np.float32]:
        """Frames (n, `BANDS`) of samples: at least one, also of a sound that is shorter than a window."""
        samples = torch.from_numpy(np.ascontiguousarray(sound, np.float32))
        spectrum = torch.stft(
            samples, TRANSFORM, HOP, WINDOW, self._window, center=True, pad_mode="constant", return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        bands: NDArray[np.float32] = (power.T @ self._filters + FLOOR).log().numpy()
        return bands


@lru_cache
def harmonics_of_bands() -> Tensor:
    """The weight of each of `BANDS` in the harmonics of the lowest bands, (`BANDS`, `HARMONICS` * `FUNDAMENTALS`).

    A multiple of a band's frequency is between two bands, and gets its share of both. Bittner et al. 2017, "Deep
    salience representations for F0 estimation in polyphonic music".
    """
    librosa = import_librosa()
    frequencies = librosa.mel_frequencies(BANDS + 2, fmin=LOWEST, fmax=HIGHEST)[1:-1]
    numbers = np.arange(1, HARMONICS + 1)
    shares = librosa.interp_harmonics(np.eye(BANDS), freqs=frequencies, harmonics=numbers, axis=0)
    return torch.from_numpy(shares[:, :FUNDAMENTALS].reshape(-1, BANDS).T.astype(np.float32))


class MaskedBatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) in which padding does not count."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        """Images (n, channels, frames, bands); frames count that are 1 in `inside`, (n, 1, frames, 1)."""
        mean, variance = self.mean, self.variance
        if self.training:
            count = inside.sum() * hidden.shape[3]
            mean = (hidden * inside).sum(dim=(0, 2, 3)) / count
            centred = (hidden - mean[:, None, None]) * inside
            variance = centred.square().sum(dim=(0, 2, 3)) / count
            with torch.no_grad():
                self.mean.lerp_(mean.detach(), 0.1)
                self.variance.lerp_(variance.detach(), 0.1)
        scale = self.weight * torch.rsqrt(variance + 1e-5)
        return hidden * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


def loudness_and_length(bands: Tensor, lengths: Tensor) -> Tensor:
    """Natural logarithms (n, 2) of the mean power of spectrograms (n, frames, `BANDS`), and of their seconds.

    `lengths` (n,) are the frames of each that count. A length of more than `CROP_SECONDS` is that.
    """
    outside = ~frames_inside(lengths, bands.shape[1])
    power = bands.logsumexp(dim=2).masked_fill(outside, -torch.inf).logsumexp(dim=1) - lengths.log()
    seconds = (lengths * (HOP / ANALYSIS_RATE)).clamp(max=CROP_SECONDS)
    return torch.stack([power, seconds.log()], dim=1)


class SpectrogramNetwork(nn.Module):
    """A small convolutional network on spectrograms: four blocks, attentive pooling, two linear layers.

    It sees each band beside those of its harmonics, so that a pitch is a pattern in one place, in any voice.

    What is pooled is a mean over frames, which hardly shows how loud and how long an utterance is: the linear
    layers are given both.
    """

    def __init__(self, n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.usual: Tensor
        self.spread: Tensor
        self.usual_whole: Tensor
        self.spread_whole: Tensor
        self.register_buffer("usual", torch.zeros(BANDS))
        self.register_buffer("spread", torch.ones(BANDS))
        self.register_buffer("usual_whole", torch.zeros(2))
        self.register_buffer("spread_whole", torch.ones(2))
        self.harmonics: Tensor
        self.register_buffer("harmonics", harmonics_of_bands(), persistent=False)
        # Time is halved at once: frames every 32 ms show as much, and take half of the time.
        first = nn.Conv2d(HARMONICS, CHANNELS_OF_BLOCKS[0], 5, stride=(2, 1), padding=2, bias=False)
        pairs = pairwise(CHANNELS_OF_BLOCKS)
        others = [nn.Conv2d(own, out, 3, padding=1, bias=False) for own, out in pairs]
        self.convolutions = nn.ModuleList([first, *others])
        self.norms = nn.ModuleList(MaskedBatchNorm(out) for out in CHANNELS_OF_BLOCKS)
        bands = FUNDAMENTALS // 2 ** len(CHANNELS_OF_BLOCKS)
        self.to_frames = nn.Linear(CHANNELS_OF_BLOCKS[-1] * bands, FRAME_WIDTH)
        self.pooling = AttentivePooling(FRAME_WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.from_frames = nn.Linear(2 * FRAME_WIDTH, HIDDEN_WIDTH)
        self.from_whole = nn.Linear(2, HIDDEN_WIDTH)
        self.classifier = nn.Linear(HIDDEN_WIDTH, n_classes)

    def forward(self, bands: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and embeddings (n, `HIDDEN_WIDTH`) of spectrograms (n, frames, `BANDS`).

        `lengths` (n,) are the frames of each that count.
        """
        whole = (loudness_and_length(bands, lengths) - self.usual_whole) / self.spread_whole
        inside = frames_inside(lengths, bands.shape[1])[:, None, :, None].float()
        stacked = ((bands - self.usual) / self.spread) @ self.harmonics
        hidden = stacked.reshape(*stacked.shape[:2], HARMONICS, FUNDAMENTALS).transpose(1, 2) * inside
        for number, (convolve, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            hidden = convolve(hidden)
            if number == 0:
                lengths = (lengths + 1) // 2
                inside = frames_inside(lengths, hidden.shape[2])[:, None, :, None].float()
            hidden = functional.relu(norm(hidden, inside)) * inside
            # Time is halved thrice in all: a frame of 128 ms is short enough for a syllable. What is beyond an end
            # is 0, which is never more than what a ReLU gives.
            steps = 2 if number in (1, 2) else 1
            hidden = functional.max_pool2d(hidden, (steps, 2), ceil_mode=True)
            lengths = (lengths + steps - 1) // steps
            inside = frames_inside(lengths, hidden.shape[2])[:, None, :, None].float()
        frames = functional.relu(self.to_frames(hidden.permute(0, 2, 1, 3).flatten(2)))
        pooled = self.pooling(frames, inside[:, 0, :, 0] > 0)
        whole = self.from_whole(whole.clamp(-_FARTHEST, _FARTHEST))
        known = functional.relu(self.from_frames(self.dropout(pooled)) + whole)
        return self.classifier(self.dropout(known)), known


class SpectrogramEmotions(NetworkEmotions):
    """A `SpectrogramNetwork` as a classifier."""

    kind = "spectrogram"

    def __init__(self, name: str, classes: Sequence[str], network: nn.Module, device: str) -> None:
        super().__init__(name, classes, network, device)
        self._log_mel = LogMel()

    def settings(self) -> dict[str, Any]:
        return {}

    def hear(self, windows: list[Samples]) -> tuple[Tensor, Tensor]:
        bands, lengths = padded_frames([self._log_mel(window) for window in windows])
        logits, embedded = self.network(bands.to(self.device), lengths.to(self.device))
        return logits, embedded


def padded_frames(sequences: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Frames (n, longest, width) of sequences (frames, width) with zeros behind each, and their lengths."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence([torch.from_numpy(sequence) for sequence in sequences], batch_first=True), lengths


class TransformersEmotions(NetworkEmotions):
    """A model of `AutoModelForAudioClassification`: a checkpoint of others, or trained here as `ssl`.

    Args:
        labels: of the network's outputs. classes: of each label; the probabilities of equal ones are summed.
        checkpoint: tells how sound is prepared.
    """

    kind = "ssl"

    def __init__(
        self, checkpoint: StoredModel, labels: Sequence[str], classes: Sequence[str], network: Any, device: str
    ) -> None:
        super().__init__(checkpoint.name, sorted({*classes}), network, device)
        self._to_classes = np.array([[name == own for own in self.classes] for name in classes], float)
        self._type, self._normalises = checkpoint.model_type, checkpoint.normalises
        if self._type == "whisper":
            self.longest = min(self.longest, network.config.max_source_positions * speech_models.WHISPER_FRAME)
        else:
            base = getattr(network, network.base_model_prefix)
            base.feature_extractor = speech_models.PaddedFrames(base.feature_extractor)

    def settings(self) -> dict[str, Any]:
        own = speech_models.own_settings(self.network.config)
        return {"config": own | {"model_type": self._type}, "normalises": self._normalises}

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = super().probabilities(logits) @ self._to_classes
        return shares

    def inputs_of(self, windows: Sequence[Samples]) -> dict[str, Tensor]:
        """What the network takes for windows as one batch."""
        config = self.network.config
        if self._type == "whisper":
            inputs = {"input_features": speech_models.whisper_frames(windows, config)[0]}
        else:
            shortest = speech_models.receptive_field(config)
            samples, lengths = speech_models.padded_samples(windows, self._normalises, shortest)
            inside = frames_inside(lengths, samples.shape[1])
            inputs = {"input_values": samples, "attention_mask": inside.long()}
        return {name: value.to(self.device) for name, value in inputs.items()}

    def layers(self, windows: Sequence[Samples]) -> tuple[Tensor, Tensor]:
        """Logits (n, labels) of windows, and the means over time of all layers (n, layers, width)."""
        inputs = self.inputs_of(windows)
        out = self.network(**inputs, output_hidden_states=True)
        hidden = torch.stack(out.hidden_states, dim=1).float()
        if "attention_mask" not in inputs:
            return out.logits, hidden.mean(dim=2)
        inside = self.network._get_feature_vector_attention_mask(hidden.shape[2], inputs["attention_mask"])
        sums = hidden.masked_fill(~inside.bool()[:, None, :, None], 0).sum(dim=2)
        return out.logits, sums / inside.sum(dim=1)[:, None, None]

    def hear(self, windows: list[Samples]) -> tuple[Tensor, Tensor]:
        logits, means = self.layers(windows)
        return logits, means[:, -1]


def _labels(checkpoint: StoredModel) -> list[str]:
    """The labels of a checkpoint, in the order of its outputs."""
    stored = checkpoint.config.get("id2label")
    stored = stored if isinstance(stored, dict) else {}
    labels: list[Any] = [stored.get(str(index)) for index in range(len(stored))]
    if not fits(labels, [str]) or not 2 <= len({*map(str.casefold, labels)}) == len(labels) <= _MOST_LABELS:
        raise ModelMissing(f"{checkpoint.name!r} has no list of different labels", _CHECKPOINT)
    if sum(label.strip().lower() in CLASS_OF_LABEL for label in labels) < _LEAST_EMOTIONS:
        several = ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
        raise ModelMissing(f"{checkpoint.name!r} tells no emotions apart, but {several}", _CHECKPOINT)
    if checkpoint.config.get("problem_type") not in (None, "single_label_classification"):
        raise ModelMissing(f"{checkpoint.name!r} does not choose one of its labels", _CHECKPOINT)
    return labels


def _network(checkpoint: StoredModel, labels: Sequence[str]) -> Any:
    """The classifier of a checkpoint with all of its weights."""
    kind, config = _configured(checkpoint, checkpoint.config, labels, _CHECKPOINT)
    try:
        network: Any = speech_models.build_module(kind, config)
    except ValueError as error:
        raise ModelMissing(f"{checkpoint.name!r} can't be loaded ({error})", _CHECKPOINT) from None
    load_weights(checkpoint.weights, network, checkpoint.name, speech_models.WHOLE)
    return speech_models.multiplied_out(network)


def _configured(checkpoint: StoredModel, values: dict[str, Any], labels: Sequence[str], remedy: str) -> Any:
    """The class of a checkpoint's classifier, and its configuration for these labels."""
    kind = checkpoint.model_type
    if kind not in speech_models.ENCODERS:
        kinds = ", ".join(speech_models.ENCODERS)
        raise ModelMissing(f"{checkpoint.name!r} is {kind or 'nothing'!r}, no model of {kinds}", remedy)
    config_class = speech_models.ENCODERS[kind][0]
    try:
        config = speech_models.own_config(config_class, values, id2label=dict(enumerate(labels)))
    except ValueError as error:
        raise ModelMissing(f"{checkpoint.name!r} can't be loaded ({error})", remedy) from None
    classifiers: Any = MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING
    return classifiers[config_class], config


@quiet_transformers()
def classifier_on(encoder: str, classes: Sequence[str], device: str) -> TransformersEmotions:
    """A classifier on an encoder of speech (wav2vec2, HuBERT, WavLM, Whisper) whose head is not trained yet.

    Raises ModelMissing for an encoder that is not there, is of another kind, or lacks weights.
    """
    checkpoint = find_checkpoint(encoder)
    kind, config = _configured(checkpoint, checkpoint.config | _CLASSIFIER, classes, FIND_REMEDY)
    network = kind(config)
    base, prefixes = encoder_in(network), speech_models.ENCODERS[checkpoint.model_type][1]
    load_weights(checkpoint.weights, base, encoder, speech_models.WHOLE, prefixes, strict=False)
    return TransformersEmotions(checkpoint, classes, classes, network, device)


def encoder_in(network: Any) -> Any:
    """The encoder in a classifier of transformers."""
    return network.encoder if hasattr(network, "encoder") else getattr(network, network.base_model_prefix)


@quiet_transformers()
def checkpoint_of(name: str, device: str) -> EmotionModel:
    """A classifier of emotion of transformers: in a folder, or OWNER/NAME of the Hub, with @TAG for a version.

    Raises ModelMissing for what is not there, lacks weights, or is for something else.
    """

    def load() -> TransformersEmotions:
        checkpoint = find_checkpoint(name)
        labels = _labels(checkpoint)
        classes = [class_of_label(label) for label in labels]
        return TransformersEmotions(checkpoint, labels, classes, _network(checkpoint, labels), device)

    return speech_models.load_network(load, name, device)


@quiet_transformers()
def network_of(folder: EmotionFolder, device: str) -> TrainedEmotionModel:
    """The network in a model folder. Raises ModelMissing for one that does not fit its settings."""

    def load() -> NetworkEmotions:
        classes, settings = folder.classes, folder.settings
        if folder.kind == "spectrogram":
            with torch.device("meta"):
                network = SpectrogramNetwork(len(classes))
            load_weights([folder.weights_path], network, as_text(folder.weights_path), RETRAIN)
            return SpectrogramEmotions(folder.name, classes, network, device)
        if not fits(settings, {"config": dict, "normalises": bool}):
            raise ModelMissing(f"{shown(folder.about)}: its settings are not those of an encoder", RETRAIN)
        preparation = {"do_normalize": settings["normalises"]}
        checkpoint = StoredModel(folder.name, settings["config"], preparation, [folder.weights_path])
        return TransformersEmotions(checkpoint, classes, classes, _network(checkpoint, classes), device)

    model: Any = speech_models.load_network(load, folder.name, device)
    model.temperature = folder.temperature
    trained: TrainedEmotionModel = model
    return trained
