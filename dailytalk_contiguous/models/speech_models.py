"""Speech models of transformers, loaded with care: wav2vec2, HuBERT, WavLM, Whisper's encoder, and classifiers.

transformers fills what a checkpoint lacks with random numbers under a mere warning, and obeys much that a
`config.json` says. Here a model is built from the settings of its own class alone, and each of its weights must be
in the checkpoint, with the shape that it should have: what lacks, is too many or differs is an error, found before
memory is taken (`models.stored_weights`). Nothing that comes with a checkpoint is run: no code, and no pickle.
"""

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from transformers import (
    HubertConfig,
    PreTrainedConfig,
    Wav2Vec2Config,
    WavLMConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.devices import within_memory

#: Encoders by the `model_type` of their configuration: its class, and prefixes that the names of weights may have.
ENCODERS: dict[str, tuple[type[PreTrainedConfig], tuple[str, ...]]] = {
    "wav2vec2": (Wav2Vec2Config, ("", "wav2vec2.")),
    "hubert": (HubertConfig, ("", "hubert.")),
    "wavlm": (WavLMConfig, ("", "wavlm.")),
    "whisper": (WhisperConfig, ("", "model.encoder.", "encoder.")),
}

#: Samples of a frame of Whisper's encoder.
WHISPER_FRAME = 320

#: Errors that building a module by settings that don't fit together raises.
_MISFITS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    ZeroDivisionError,
    StrictDataclassError,
)

# WavLM hands PyTorch two masks of different types, which is of no consequence here.
warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask")

Config = TypeVar("Config", bound=PreTrainedConfig)
Module = TypeVar("Module", bound=nn.Module)
Loaded = TypeVar("Loaded")

#: Layers of a network: several times those of the largest encoders of speech.
_MOST_LAYERS = 256

#: The remedy for weights of another model.
WHOLE = "name a checkpoint that is whole; what lacks would be random"


def own_config(kind: type[Config], values: Mapping[str, object], **further: Any) -> Config:
    """A configuration of that class, with those of the values that are its own settings.

    Raises ValueError for a setting that is out of range or of another type, and for more than 256 layers.
    """
    names = _own_names(kind)
    settings: dict[str, Any] = {}
    for name, value in values.items():
        # Old files have null for what they have no use for, which not every version of transformers takes.
        if name not in names or value is None:
            continue
        # All layers are built before a missing weight is noticed; a list such as `conv_dim` has a value a layer.
        n_layers = len(value) if isinstance(value, list) else 0
        if name.endswith("layers") and isinstance(value, int):
            n_layers = value
        if n_layers > _MOST_LAYERS:
            raise ValueError(f"{name} is of {n_layers} layers, and {_MOST_LAYERS} are built at most")
        settings[name] = value
    try:
        return kind(**settings, **further)
    except _MISFITS as error:
        raise ValueError(_first_line(error)) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def own_settings(config: PreTrainedConfig) -> dict[str, object]:
    """The settings from which `own_config` makes this configuration again: JSON."""
    values = config.to_dict()
    usual = type(config)().to_dict()
    settings: dict[str, object] = {}
    for name in sorted(_own_names(type(config)) & values.keys()):
        value = values[name]
        if value != usual.get(name):
            settings[name] = list(value) if isinstance(value, tuple) else value
    return settings


def _own_names(kind: type[PreTrainedConfig]) -> set[str]:
    """The settings of a configuration's class, without those that all models of transformers have."""
    shared = {field.name for field in fields(PreTrainedConfig)}
    return {field.name for field in fields(kind)} - shared


def build_module(kind: Callable[[Config], Module], config: Config) -> Module:
    """A module without memory for its weights. Raises ValueError for settings that don't fit together."""
    try:
        with torch.device("meta"):  # nothing is drawn at random, so nothing random can be left
            return kind(config)
    except _MISFITS as error:
        raise ValueError(_first_line(error)) from None


def multiplied_out(module: Module) -> Module:
    """The module with its normalised weights multiplied out: checkpoints store them as direction and length."""
    for part in module.modules():
        if is_parametrized(part, "weight"):
            remove_parametrizations(part, "weight")
    return module


def normalised(samples: Samples) -> Samples:
    """Samples, at least one, at zero mean and unit variance, as the encoder was trained on."""
    wide = samples.astype(np.float64)
    deviation = np.sqrt(wide.var() + 1e-7)
    scaled: NDArray[np.float64] = (wide - wide.mean()) / deviation
    return scaled.astype(np.float32)


def receptive_field(config: Wav2Vec2Config) -> int:
    """Samples that the encoder's convolutions need for one frame (400, 25 ms, in the real model)."""
    samples = 1
    layers = list(zip(config.conv_kernel, config.conv_stride, strict=True))
    for kernel, stride in reversed(layers):
        samples = (samples - 1) * stride + kernel
    return samples


def load_network(load: Callable[[], Loaded], name: str, device: str) -> Loaded:
    """Return the result of `load` on `cpu` or `cuda`. Raises DailytalkError if it does not fit into memory."""
    # Every length of utterance is a separate shape to oneDNN, whose cache of 1,024 compiled shapes took 2 MB a
    # conversation until it was full and was never of use; nor is PyTorch's own of what it asks of oneDNN.
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(cache, "64")
    if device != "cpu":
        return within_memory(load, f"the model {name!r}")
    # In the thread where it will run: weights are computed on the way, and would differ with the threads.
    return within_memory(lambda: threads_of_one().submit(load).result(), f"the model {name!r}")


def padded_samples(sounds: Sequence[Samples], normalises: bool, shortest: int) -> tuple[Tensor, Tensor]:
    """Samples (n, longest) of sounds of 16 kHz, each with NaN behind it, and their lengths (n,).

    One of fewer than `shortest` samples is filled up to them with zeros.
    """
    lengths = [max(len(sound), shortest) for sound in sounds]
    padded = np.full((len(sounds), max(lengths)), np.nan, np.float32)
    for row, sound, length in zip(padded, sounds, lengths, strict=True):
        row[:length] = 0
        row[: len(sound)] = normalised(sound) if normalises else sound
    return torch.from_numpy(padded), torch.tensor(lengths)


def whisper_frames(sounds: Sequence[Samples], config: WhisperConfig) -> tuple[Tensor, Tensor]:
    """Log-mel frames (n, mels, 3000) of 16 kHz sounds as Whisper takes them, and their lengths in samples (n,)."""
    n_frames = 2 * config.max_source_positions
    seconds = math.ceil(config.max_source_positions * WHISPER_FRAME / ANALYSIS_RATE)
    extractor: Any = WhisperFeatureExtractor
    extract = extractor(feature_size=config.num_mel_bins, chunk_length=seconds)
    mels: list[Tensor] = []
    for sound in sounds:
        features = extract(sound, sampling_rate=ANALYSIS_RATE, return_tensors="pt")
        mels.append(features.input_features[:, :, :n_frames])
    lengths = [max(1, len(sound)) for sound in sounds]
    return torch.cat(mels), torch.tensor(lengths)


class PaddedFrames(nn.Module):
    """The convolutions of a wav2vec2-like encoder, for batches: what is NaN in a row is padding.

    Some of these encoders normalise each channel over time, padding included, so that transformers gives a sound
    in a batch other frames than alone. Here the padding is left out. It is marked in the samples themselves,
    because transformers hands this part nothing else.
    """

    def __init__(self, frames: Any) -> None:
        super().__init__()
        self.conv_layers = frames.conv_layers

    def forward(self, samples: Tensor) -> Tensor:
        """Frames (n, channels, frames) of samples (n, longest), each row's followed by NaN."""
        padding = samples.isnan()
        lengths = (~padding).sum(dim=1)
        has_padding = bool(padding.any())
        hidden = samples.masked_fill(padding, 0.0)[:, None]
        for layer in self.conv_layers:
            (kernel,) = layer.conv.kernel_size
            (stride,) = layer.conv.stride
            lengths = (lengths - kernel) // stride + 1
            norm = getattr(layer, "layer_norm", None)
            if has_padding and isinstance(norm, nn.GroupNorm):
                normalised_channels = _normalised_channels(layer.conv(hidden), lengths, norm)
                hidden = layer.activation(normalised_channels)
            else:
                hidden = layer(hidden)
        return hidden


def _normalised_channels(hidden: Tensor, lengths: Tensor, norm: nn.GroupNorm) -> Tensor:
    """A group norm of a channel a group, over the frames of each row that are not padding."""
    wide = hidden.float()
    frames = torch.arange(wide.shape[2], device=wide.device)
    counted = (frames < lengths[:, None])[:, None]
    n_counted = lengths[:, None, None]
    mean = (wide * counted).sum(dim=2, keepdim=True) / n_counted
    squares = ((wide - mean) * counted).square()
    variance = squares.sum(dim=2, keepdim=True) / n_counted
    scaled = (wide - mean) * torch.rsqrt(variance + norm.eps)
    weighted = scaled * norm.weight[:, None] + norm.bias[:, None]
    return weighted.to(hidden.dtype)


def encoder_config(kind: str, values: Mapping[str, object]) -> PreTrainedConfig:
    """The configuration of an encoder: nothing in it is dropped or masked at random.

    Raises ValueError as `own_config`.
    """
    config_class, _ = ENCODERS[kind]
    fixed = {"layerdrop": 0.0, "apply_spec_augment": False, "add_adapter": False, "encoder_layerdrop": 0.0}
    names = {field.name for field in fields(config_class)}
    fixed_here = {name: value for name, value in fixed.items() if name in names}
    return own_config(config_class, {**values, **fixed_here})
