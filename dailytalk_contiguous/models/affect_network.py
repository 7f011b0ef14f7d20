"""The audEERING network: valence, arousal and dominance of speech.

Its regression head is not one that transformers knows, which puts a random head in its place under a mere
warning; so the module is our own, and a checkpoint that lacks a weight, brings one too many or has one of
another shape is rejected by name. A padded batch gives what its utterances give one by one (to 1e-5): padding is
masked in the encoder and left out of the mean. The encoder may run in bfloat16 or float16, where that is to about
a hundredth; mean and head are float32 always.
"""

import os
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.parametrize import remove_parametrizations
from transformers import Wav2Vec2Config, Wav2Vec2Model
from transformers.activations import GELUActivation

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.models.affect import AUDEERING, find_affect_model, threads_of_one
from dailytalk_contiguous.models.checkpoints import StoredModel
from dailytalk_contiguous.models.devices import Room, within_memory
from dailytalk_contiguous.models.stored_weights import load_weights

_REMEDY = f"pass --affect-model with {AUDEERING} or a folder of that layout, or --profile embedded"


class Affect(NamedTuple):
    """What was heard in an utterance, each in [0, 1]; NaN if there was nothing to hear."""

    valence: float
    arousal: float
    dominance: float


class AffectModel:
    """A loaded model on one device, its encoder in `precision` (one of `models.affect.PRECISIONS`).

    Attributes:
        room: how large its batches may be, as far as is known.
    """

    def __init__(self, checkpoint: StoredModel, device: str, precision: str = "float32") -> None:
        config = _read_config(checkpoint)
        self._columns = [config.id2label.index(name) for name in Affect._fields]
        self._shortest = receptive_field(config.encoder)
        self._device = torch.device(device)
        self._module = _load_module(config, checkpoint).to(self._device).eval()
        if device == "cpu" and config.encoder.feat_extract_norm == "layer":
            encoder = self._module.wav2vec2
            encoder.feature_extractor = FrameEncoder(encoder.feature_extractor)  # type: ignore[assignment]
        self._module.wav2vec2.to(getattr(torch, precision))
        if device == "cpu" and precision == "bfloat16" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            _prepack(self._module.wav2vec2)
        self._precision = precision
        self.room = Room()

    def rate(self, utterances: Sequence[Samples]) -> list[Affect]:
        """Rate utterances of 16 kHz samples in [-1, 1], shape (n,) each, as one padded batch.

        Each is normalised by itself, over its own samples. One shorter than the encoder's first frame (25 ms) is
        padded to it with zeros.

        Raises:
            ValueError: an utterance has no samples.
            DailytalkError: the numbers overflowed, which float16 may.
        """
        if not utterances:
            return []
        lengths = [max(len(samples), self._shortest) for samples in utterances]
        padded = np.zeros((len(utterances), max(lengths)), np.float32)
        for row, samples in zip(padded, utterances, strict=True):
            row[: len(samples)] = normalised(samples)
        # TF32 convolutions, cuDNN's default, would move results by more than 1e-5 from one batch to the next.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            out = self._module(
                torch.from_numpy(padded).to(self._device), torch.tensor(lengths, device=self._device)
            )
        if not out.isfinite().all():
            raise DailytalkError(
                f"the affect model's numbers overflowed in {self._precision}",
                "pass --affect-precision float32, or another --affect-model if that is what it computes in",
            )
        rated = out[:, self._columns].clamp(0.0, 1.0).cpu().tolist()
        return [Affect(*row) for row in rated]


@lru_cache(maxsize=1)
def load_affect_model(name: str, device: str, precision: str = "float32") -> AffectModel:
    """The model of this process; `device` is `cpu` or `cuda` (see `models.devices.resolve_device`).

    Raises ModelMissing, or DailytalkError if it does not fit into memory.
    """
    # Every length of utterance is a separate shape to oneDNN, whose cache of 1,024 compiled shapes took 2 MB a
    # conversation until it was full and was never of use; nor is PyTorch's own of what it asks of oneDNN.
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(cache, "64")
    load = partial(AffectModel, find_affect_model(name), device, precision)
    # On a CPU where it will run: weights are computed on the way, and would differ with the number of threads.
    ready = partial(threads_of_one().submit(load).result) if device == "cpu" else load
    return within_memory(ready, f"the affect model {name!r}")


class Regressor(nn.Module):
    """Encoder, mean over the frames that are not padding, and a head of two layers; named as the checkpoint is."""

    def __init__(self, config: Wav2Vec2Config, n_outputs: int) -> None:
        super().__init__()
        self.wav2vec2 = Wav2Vec2Model(config)
        self.classifier = Head(config.hidden_size, n_outputs)

    def forward(self, samples: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Outputs (batch, outputs) of padded samples (batch, n), of which `lengths` (batch,) are valid."""
        valid = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
        encoded = self.wav2vec2(samples.to(self.wav2vec2.dtype), attention_mask=valid.long())
        hidden = encoded.last_hidden_state.float()
        n_frames, config = lengths, self.wav2vec2.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            n_frames = (n_frames - kernel) // stride + 1
        counted = torch.arange(hidden.shape[1], device=hidden.device) < n_frames[:, None]
        mean = (hidden * counted[:, :, None]).sum(dim=1) / n_frames[:, None]
        return self.classifier(mean)  # type: ignore[no-any-return]


class FrameEncoder(nn.Module):
    """The encoder's convolutions with channels in the last dimension, made of those of transformers.

    These have time there, and copy all frames for each layer's normalisation and back. Without that 3 to 6 s of
    speech take a CPU 6 to 10 % less time in bfloat16, and up to 6 % less in float32 (measured on the real shape).
    """

    def __init__(self, first_in_time: nn.Module) -> None:
        super().__init__()
        layers: Any = first_in_time.conv_layers
        self.activations = [layer.activation for layer in layers]
        self.norms = nn.ModuleList(layer.layer_norm for layer in layers)
        self.convolutions = nn.ModuleList(_over_time(layer.conv) for layer in layers)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Frames (batch, channels, frames) of samples (batch, n)."""
        hidden = samples[:, None, None]
        for convolve, norm, activate in zip(self.convolutions, self.norms, self.activations, strict=True):
            frames = convolve(hidden).permute(0, 2, 3, 1)
            hidden = activate(norm(frames)).permute(0, 3, 1, 2)
        return hidden[:, :, 0]


def _over_time(conv: nn.Conv1d) -> nn.Conv2d:
    """A convolution in two dimensions, for which PyTorch has a layout with channels last, of height 1."""
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    with torch.device("meta"):  # what is drawn here at random is replaced
        flat = nn.Conv2d(conv.in_channels, conv.out_channels, (1, kernel), (1, stride), bias=False)
    flat.weight = nn.Parameter(conv.weight[:, :, None].contiguous(memory_format=torch.channels_last))
    flat.bias = conv.bias
    return flat


class PackedLinear(nn.Module):
    """A linear layer, and the GELU after it if `activation` is `gelu`, whose weight is stored as oneDNN multiplies
    it.

    PyTorch's own layer rearranges it at every call. Without GELU the bits are those of PyTorch's; with it, what
    is between both is not rounded to bfloat16.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.bias = linear.bias
        self._after: tuple[str, list[float], str] = (activation, [], "none" if activation == "gelu" else "")

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (…, out) of inputs (…, in)."""
        outputs: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, *self._after)
        return outputs


class PackedConvolution(nn.Module):
    """`PackedLinear` for a convolution in two dimensions."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self._how = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach(), *self._how, None)
        self.bias = conv.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (batch, channels out, 1, n out) of inputs (batch, channels in, 1, n)."""
        outputs: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            inputs, self.weight, self.bias, *self._how, "none", [], ""
        )
        return outputs


def _prepack(encoder: Wav2Vec2Model) -> None:
    """Lay the weights of an encoder in bfloat16 out for a CPU, once: 3 to 8 s of speech take it 6 to 10 % less."""
    layers: Any = encoder.encoder.layers
    for attention, feed_forward in ((layer.attention, layer.feed_forward) for layer in layers):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(attention, name, PackedLinear(getattr(attention, name)))
        if isinstance(feed_forward.intermediate_act_fn, GELUActivation):
            feed_forward.intermediate_dense = PackedLinear(feed_forward.intermediate_dense, "gelu")
            feed_forward.intermediate_act_fn = nn.Identity()
        feed_forward.output_dense = PackedLinear(feed_forward.output_dense)
    frames = encoder.feature_extractor
    if isinstance(frames, FrameEncoder):
        frames.convolutions = nn.ModuleList(map(PackedConvolution, frames.convolutions))  # type: ignore[arg-type]


class Head(nn.Module):
    """The regression head; its dropout only mattered in training."""

    def __init__(self, width: int, n_outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, n_outputs)

    def forward(self, mean: torch.Tensor) -> torch.Tensor:
        """Outputs (batch, outputs) of mean frames (batch, width)."""
        return self.out_proj(torch.tanh(self.dense(mean)))  # type: ignore[no-any-return]


def normalised(samples: Samples) -> Samples:
    """Samples at zero mean and unit variance, as the encoder was trained on. Raises ValueError for none."""
    if not len(samples):
        raise ValueError("an utterance without samples can't be rated")
    wide = samples.astype(np.float64)
    scaled: NDArray[np.float64] = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-7)
    return scaled.astype(np.float32)


class _Config(NamedTuple):
    encoder: Wav2Vec2Config
    id2label: list[str]


def _read_config(checkpoint: StoredModel) -> _Config:
    """The configuration of a checkpoint. Raises ModelMissing if it is not for rating affect."""
    fields = checkpoint.config
    labels = [label for _, label in sorted((int(key), label) for key, label in fields.get("id2label", {}).items())]
    kind = checkpoint.model_type
    if kind != "wav2vec2" or sorted(labels) != sorted(Affect._fields):
        raise ModelMissing(
            f"{checkpoint.name!r} is no affect model: it is {kind!r} with the outputs {labels}", _REMEDY
        )
    # The real one says `"vocab_size": null`, having no use for one; not every transformers takes that.
    return _Config(Wav2Vec2Config(**{key: value for key, value in fields.items() if value is not None}), labels)


def _load_module(config: _Config, checkpoint: StoredModel) -> Regressor:
    """The module with the checkpoint's weights, all of them and no others. Raises ModelMissing."""
    with torch.device("meta"):  # nothing is drawn at random, so nothing random can be left
        module = Regressor(config.encoder, len(config.id2label))
    load_weights(checkpoint.weights, module, checkpoint.name, _REMEDY)
    # The positional convolution's weight is stored as direction and length; multiplied out once, not every call.
    remove_parametrizations(module.wav2vec2.encoder.pos_conv_embed.conv, "weight")
    return module


def receptive_field(config: Wav2Vec2Config) -> int:
    """Samples that the encoder's convolutions need for one frame (400, 25 ms, in the real model)."""
    samples = 1
    for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
        samples = (samples - 1) * stride + kernel
    return samples
