"""Classifiers of emotion that are networks: of pictures of spectrograms, and of audio.

Networks hear every sound at one level, without the silence at both ends. A sound that is longer than the network
hears at a time is cut into windows of about equal length, whose logits are averaged. On a CPU each window is
computed by itself, in one thread, so that a guess has the same bits in any company and on any number of threads.
On CUDA windows of like length share a batch, with padding left out of every norm, attention and mean, so that they
get what they get alone (to 1e-5).
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING
from transformers.modeling_outputs import ImageClassifierOutput

from dailytalk_contiguous.core.documents import as_text, fits, quoted
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.style.emotions import CLASS_OF_LABEL, DEFAULT_LIMITS, class_of_label, softmax
from dailytalk_contiguous.machine.librosa_import import import_librosa
from dailytalk_contiguous.models import speech_models
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.checkpoints import FIND_REMEDY, StoredModel, resolve_checkpoint
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel, TrainedEmotionModel
from dailytalk_contiguous.models.devices import SHORTEST, run_batched
from dailytalk_contiguous.models.emotion_folder import RETRAIN, EmotionFolder, heard_part, nothing_said
from dailytalk_contiguous.models.linear_emotion import usual_of
from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers, windows_of
from dailytalk_contiguous.models.stored_weights import load_weights, read_weights, shapes_of

#: Seconds that a network of audio hears at a time, unless it takes fewer.
LONGEST_SECONDS = 20.0

#: Seconds of padded audio in a batch: see `stages.rate_affect.BATCH_SECONDS`.
BATCH_SECONDS = {"cpu": SHORTEST, "cuda": 240.0}

#: Samples of the transform that a window is padded to (128 ms).
TRANSFORM = 2048

#: Samples from one window to the next (16 ms).
HOP = 256

#: Mel bands of a picture.
BANDS = 128

_CHECKPOINT = "name a checkpoint of AutoModelForAudioClassification that was trained on emotion"


class NetworkEmotions:
    """The base of classifiers that are networks.

    Attributes:
        network: a module that returns `logits`.
        rate: rows a second of what `prepared` returns.
        longest: rows that it hears at a time.
        temperature: over 0; its probabilities are the softmax of its logits over this.
        limits: the limits of its confidence.
    """

    compares = False

    def __init__(self, name: str, classes: Sequence[str], network: nn.Module, device: str) -> None:
        self.name = name
        self.classes = tuple(classes)
        self.device = device
        self.network: Any = network.to(device).eval()
        self.rate = float(ANALYSIS_RATE)
        self.longest = round(LONGEST_SECONDS * ANALYSIS_RATE)
        self.temperature = 1.0
        self.limits = DEFAULT_LIMITS

    def prepared(self, sound: Samples) -> NDArray[np.float32]:
        """Prepare a sound of `at_one_level`, not empty, for the network; windows are cut from the result."""
        return sound

    def inputs(self, windows: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """The arguments of the network for windows as one batch."""
        raise NotImplementedError

    def compared(
        self, prepared: Sequence[NDArray[np.float32]], speakers: Sequence[Hashable] | None
    ) -> list[NDArray[np.float32]]:
        """Prepared sounds as they differ from others of the same speakers; the same if nothing is compared."""
        return list(prepared)

    def classify(
        self, sounds: Sequence[Samples], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        heard_parts = [heard_part(sound) for sound in sounds]
        guesses = [nothing_said(reason) for _, reason in heard_parts]
        audible = [index for index, guess in enumerate(guesses) if not guess.reason]
        heard = [heard_parts[index][0] for index in audible]

        def prepare(batch: list[Samples]) -> list[NDArray[np.float32]]:
            return [self.prepared(sound) for sound in batch]

        seconds = [len(sound) / ANALYSIS_RATE for sound in heard]
        prepared = run_batched(heard, seconds, SHORTEST, prepare, pool=threads_of_one())
        heard_speakers = None if speakers is None else [speakers[index] for index in audible]
        windows: list[NDArray[np.float32]] = []
        ends: list[int] = []
        for rows in self.compared(prepared, heard_speakers):
            windows += windows_of(rows, self.longest)
            ends.append(len(windows))
        answers = self._run(windows)
        start = 0
        for index, end in zip(audible, ends, strict=True):
            logits = np.mean(answers[start:end], axis=0)
            guesses[index] = EmotionGuess(self.probabilities(logits).astype(np.float32))
            start = end
        return guesses

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of `classes` by the logits of the network."""
        return softmax(logits, self.temperature)

    def _run(self, windows: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        def call(batch: list[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
            # TF32 convolutions, cuDNN's default, would move results by more than 1e-5 from one batch to the next.
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                inputs = {name: value.to(self.device) for name, value in self.inputs(batch).items()}
                logits = self.network(**inputs).logits
                return list(logits.double().cpu().numpy())

        seconds = [len(window) / self.rate for window in windows]
        pool = threads_of_one() if self.device == "cpu" else None
        return run_batched(windows, seconds, BATCH_SECONDS[self.device], call, pool=pool)

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """Its weights by name, float32."""
        return {name: weight.float().cpu().numpy() for name, weight in self.network.state_dict().items()}


#: Hz of the lower end of the lowest band.
LOWEST = 50.0

#: Hz of the upper end of the highest band.
HIGHEST = 7000.0


@lru_cache(maxsize=1)
def _mel_filters() -> Tensor:
    # Without a norm the triangles sum to 1, and all power between them counts once.
    filters = import_librosa().filters.mel(
        sr=ANALYSIS_RATE, n_fft=TRANSFORM, n_mels=BANDS, fmin=LOWEST, fmax=HIGHEST, norm=None
    )
    return torch.from_numpy(filters.T.copy())


#: Samples of a spectrogram's window (64 ms). A window so long tells the harmonics of a low voice apart, by which a
#: network hears its pitch.
WINDOW = 1024

#: Power that is added before the logarithm is taken: -80 dB of a full-scale tone.
FLOOR = 1e-4


def log_mel(sound: Samples) -> Tensor:
    """The spectrogram of 16 kHz sound: natural logarithms of power, (frames, `BANDS`), at least one frame.

    `librosa.feature.melspectrogram` computes the same on all of the process's threads, which decide its last bits.
    """
    samples = torch.from_numpy(np.ascontiguousarray(sound, np.float32))
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(samples, TRANSFORM, HOP, WINDOW, window, pad_mode="constant", return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    bands = power.T @ _mel_filters()
    return (bands + FLOOR).log()


#: Channels of a `SpectrogramNetwork`.
_CHANNELS = 64

#: Frames of the kernel of each of its convolutions, and the distance between them: together they span 15 frames.
_KERNELS = ((5, 1), (3, 2), (3, 3))

#: The share of its statistics that is hidden at random in training.
_DROPOUT = 0.3

#: The least variance of a channel over time.
_LEAST_VARIANCE = 1e-3


class SpectrogramNetwork(nn.Module):
    """Convolutions over time, each of all bands, then the mean and spread of each channel over time.

    A band has weights of its own, so a pitch is a place. Pooling of statistics is that of Snyder et al. 2018.

    Attributes:
        usual: the mean picture of the training set over time, shape (`BANDS`,).
    """

    usual: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("usual", torch.zeros(BANDS))
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        n_inputs = BANDS
        for width, distance in _KERNELS:
            padding = distance * (width // 2)
            convolution = nn.Conv1d(n_inputs, _CHANNELS, width, padding=padding, dilation=distance, bias=False)
            self.convolutions.append(convolution)
            self.norms.append(nn.BatchNorm1d(_CHANNELS))
            n_inputs = _CHANNELS
        self.dropout = nn.Dropout(_DROPOUT)
        self.classifier = nn.Linear(2 * _CHANNELS, n_classes)

    def forward(self, pixel_values: Tensor, attention_mask: Tensor) -> ImageClassifierOutput:
        """Logits of pictures, shape (n, classes).

        Args:
            pixel_values: shape (n, frames, `BANDS`), 0 after the end of a shorter picture.
            attention_mask: 1 inside of a picture, 0 after its end, shape (n, frames).
        """
        inside = attention_mask[:, None]
        channels = pixel_values.transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            channels = norm(convolution(channels)).relu() * inside
        n_frames = inside.sum(dim=2)
        mean = channels.sum(dim=2) / n_frames
        offsets = (channels - mean[:, :, None]) * inside
        variance = offsets.square().sum(dim=2) / n_frames
        spread = (variance + _LEAST_VARIANCE).sqrt()
        statistics = torch.cat((mean, spread), dim=1)
        return ImageClassifierOutput(logits=self.classifier(self.dropout(statistics)))


#: Frames of a picture at most (3 s).
FRAMES = 188

#: The usual logarithm of power in a band of speech: a picture is brought to a mean of about 0.
USUAL = -4.0

#: The spread of that logarithm: a picture is brought to a spread of about 1.
SPREAD = 5.0


class SpectrogramEmotions(NetworkEmotions):
    """A `SpectrogramNetwork` on pictures of spectrograms, (frames, `BANDS`).

    A speaker's mean picture is replaced by that of the training set: the more of his pictures are classified
    together, the more of it (`linear_emotion.own_share`).
    """

    kind = "spectrogram"
    compares = True

    def __init__(self, name: str, classes: Sequence[str], network: nn.Module, device: str) -> None:
        super().__init__(name, classes, network, device)
        self.rate = ANALYSIS_RATE / HOP
        self.longest = FRAMES

    def settings(self) -> dict[str, object]:
        return {}

    def prepared(self, sound: Samples) -> NDArray[np.float32]:
        """The picture of a sound, shape (frames, `BANDS`): about 0 on average, with a spread of about 1."""
        powers = log_mel(sound)
        return ((powers - USUAL) / SPREAD).numpy()

    def compared(
        self, prepared: Sequence[NDArray[np.float32]], speakers: Sequence[Hashable] | None
    ) -> list[NDArray[np.float32]]:
        if not prepared:
            return []
        means = np.stack([picture.mean(axis=0) for picture in prepared])
        offsets = self.voice_offsets(means, speakers)
        return [picture - offset for picture, offset in zip(prepared, offsets, strict=True)]

    def voice_offsets(
        self, means: NDArray[np.float32], speakers: Sequence[Hashable] | None
    ) -> NDArray[np.float32]:
        """Return the offset to subtract from each picture, shape (n, `BANDS`); 0 for the only one of its speaker.

        Args:
            means: the mean of each picture over time, shape (n, `BANDS`).
            speakers: the speaker of each picture; None if they are unknown.
        """
        usual = self.network.usual.double().cpu().numpy()
        usuals, _ = usual_of(means, speakers, usual)
        return np.asarray(usuals - usual, np.float32)

    def inputs(self, windows: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        pictures = [torch.from_numpy(window) for window in windows]
        masks = [torch.ones(len(window)) for window in windows]
        return {
            "pixel_values": pad_sequence(pictures, batch_first=True),
            "attention_mask": pad_sequence(masks, batch_first=True),
        }


class AudioEmotions(NetworkEmotions):
    """A model of `AutoModelForAudioClassification`: a checkpoint of others, or trained here.

    Args:
        checkpoint: tells how sound is prepared.
        classes: the class of each output of the network; the probabilities of equal ones are summed.
    """

    kind = "audio"

    def __init__(self, checkpoint: StoredModel, classes: Sequence[str], network: Any, device: str) -> None:
        super().__init__(checkpoint.name, sorted({*classes}), network, device)
        columns = [self.classes.index(name) for name in classes]
        self._to_classes = np.eye(len(self.classes))[columns]
        self._type = checkpoint.model_type
        self._normalises = checkpoint.normalises
        if self._type == "whisper":
            most = network.config.max_source_positions * speech_models.WHISPER_FRAME
            self.longest = min(self.longest, most)
        else:
            base = getattr(network, network.base_model_prefix)
            base.feature_extractor = speech_models.PaddedFrames(base.feature_extractor)

    def settings(self) -> dict[str, object]:
        config = speech_models.own_settings(self.network.config)
        config = config | {"model_type": self._type}
        return {"config": config, "normalises": self._normalises}

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = super().probabilities(logits) @ self._to_classes
        return shares

    def inputs(self, windows: Sequence[Samples]) -> dict[str, Tensor]:
        config = self.network.config
        if self._type == "whisper":
            frames, *_ = speech_models.whisper_frames(windows, config)
            return {"input_features": frames}
        shortest = speech_models.receptive_field(config)
        samples, lengths = speech_models.padded_samples(windows, self._normalises, shortest)
        inside = torch.arange(samples.shape[1]) < lengths[:, None]
        return {"input_values": samples, "attention_mask": inside.long()}


#: Labels of a checkpoint that are emotions at least.
_LEAST_EMOTIONS = 2


def _labels(checkpoint: StoredModel) -> list[str]:
    """The labels of a checkpoint, in the order of its outputs."""
    stored = checkpoint.config.get("id2label")
    labels: list[Any] = []
    if isinstance(stored, dict):
        labels = [stored.get(str(index)) for index in range(len(stored))]
    names: set[str] = set()
    if fits(labels, list[str]):
        names = {label.strip().lower() for label in labels}
    is_list = 2 <= len(names) == len(labels)
    n_emotions = len(names & CLASS_OF_LABEL.keys())
    problem = checkpoint.config.get("problem_type")
    is_choice = problem in (None, "single_label_classification")
    if not is_list or n_emotions < _LEAST_EMOTIONS or not is_choice:
        outputs = quoted([*labels[:5], problem])
        raise ModelMissing(
            f"{checkpoint.name!r} does not choose one of several emotions, but {outputs}", _CHECKPOINT
        )
    return labels


def _network(checkpoint: StoredModel, labels: Sequence[str]) -> Any:
    """The classifier of a checkpoint with all of its weights."""
    kind, config = _configured(checkpoint, checkpoint.config, labels, _CHECKPOINT)
    network = _without_memory(checkpoint, kind, config, _CHECKPOINT)
    load_weights(checkpoint.weights, network, checkpoint.name, speech_models.WHOLE)
    return speech_models.multiplied_out(network)


def _without_memory(checkpoint: StoredModel, kind: Any, config: Any, remedy: str) -> Any:
    """The classifier of a checkpoint without memory for its weights. Raises ModelMissing as `checkpoint_of`."""
    try:
        return speech_models.build_module(kind, config)
    except ValueError as error:
        raise ModelMissing(f"{checkpoint.name!r} can't be loaded ({error})", remedy) from None


def _configured(checkpoint: StoredModel, values: dict[str, Any], labels: Sequence[str], remedy: str) -> Any:
    """The class of a checkpoint's classifier, and its configuration for these labels."""
    kind = checkpoint.model_type
    if kind not in speech_models.ENCODERS:
        kinds = ", ".join(speech_models.ENCODERS)
        raise ModelMissing(f"{checkpoint.name!r} is {kind or 'nothing'!r}, no model of {kinds}", remedy)
    config_class, _ = speech_models.ENCODERS[kind]
    by_index = dict(enumerate(labels))
    try:
        config = speech_models.own_config(config_class, values, id2label=by_index)
    except ValueError as error:
        raise ModelMissing(f"{checkpoint.name!r} can't be loaded ({error})", remedy) from None
    classifiers: Any = MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING
    return classifiers[config_class], config


#: Settings of an encoder that is trained further, whatever its own are.
_FIXED = {
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "apply_spec_augment": False,
    "add_adapter": False,
}


@quiet_transformers()
def classifier_on(encoder: str, classes: Sequence[str], device: str) -> AudioEmotions:
    """A classifier on an encoder of speech (wav2vec2, HuBERT, WavLM, Whisper) whose head is not trained yet.

    Raises ModelMissing for an encoder that is not there, is of another kind, or lacks weights.
    """
    checkpoint = resolve_checkpoint(encoder)
    values = checkpoint.config | _FIXED
    kind, config = _configured(checkpoint, values, classes, FIND_REMEDY)
    # Its weights are compared with its settings before these take memory.
    shapes = shapes_of(encoder_in(_without_memory(checkpoint, kind, config, FIND_REMEDY)))
    _, prefixes = speech_models.ENCODERS[checkpoint.model_type]
    weights = read_weights(checkpoint.weights, shapes, encoder, speech_models.WHOLE, prefixes, strict=False)
    network = kind(config)
    encoder_in(network).load_state_dict(weights, assign=True)
    return AudioEmotions(checkpoint, classes, network, device)


def encoder_in(network: Any) -> Any:
    """The encoder in a classifier of transformers."""
    if hasattr(network, "encoder"):
        return network.encoder
    return getattr(network, network.base_model_prefix)


@quiet_transformers()
def checkpoint_of(name: str, device: str) -> EmotionModel:
    """A classifier of emotion of transformers: in a folder, or OWNER/NAME of the Hub, with @TAG for a version.

    Raises ModelMissing for what is not there, lacks weights, or is for something else.
    """

    def load() -> AudioEmotions:
        checkpoint = resolve_checkpoint(name)
        labels = _labels(checkpoint)
        classes = [class_of_label(label) for label in labels]
        return AudioEmotions(checkpoint, classes, _network(checkpoint, labels), device)

    return speech_models.load_network(load, name, device)


@quiet_transformers()
def network_of(folder: EmotionFolder, device: str) -> TrainedEmotionModel:
    """The network in a model folder. Raises ModelMissing for one that does not fit its settings."""

    def load() -> TrainedEmotionModel:
        classes = folder.classes
        weights = folder.weights_path
        if folder.kind == "spectrogram":
            with torch.device("meta"):
                network = SpectrogramNetwork(len(classes))
            load_weights([weights], network, as_text(weights), RETRAIN)
            return SpectrogramEmotions(folder.name, classes, network, device)
        preparation = {"do_normalize": folder.settings["normalises"]}
        checkpoint = StoredModel(folder.name, folder.settings["config"], preparation, [weights])
        return AudioEmotions(checkpoint, classes, _network(checkpoint, classes), device)

    model = speech_models.load_network(load, folder.name, device)
    model.temperature = folder.temperature
    model.limits = folder.limits
    return model
