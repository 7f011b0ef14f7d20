"""The audEERING network: valence, arousal and dominance of speech.

Its regression head is not one that transformers knows, which puts a random head in its place under a mere
warning; so the module is our own, and a checkpoint that lacks a weight, brings one too many or has one of
another shape is rejected by name. A padded batch gives what its utterances give one by one (to 1e-5): padding is
masked in the encoder and left out of the mean. The encoder may run in bfloat16 or float16, where that is to about
a hundredth; mean and head are float32 always.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2Model
from transformers.activations import GELUActivation

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.models.affect import AUDEERING, resolve_affect_model
from dailytalk_contiguous.models.checkpoints import StoredModel
from dailytalk_contiguous.models.devices import Room
from dailytalk_contiguous.models.speech_models import (
    build_module,
    encoder_config,
    load_network,
    multiplied_out,
    normalised,
    receptive_field,
)
from dailytalk_contiguous.models.stored_weights import load_weights

_REMEDY = f"pass --affect-model with {AUDEERING} or a folder of that layout"


class Affect(NamedTuple):
    """The affect of an utterance, each value in [0, 1]; NaN without sound."""

    valence: float
    arousal: float
    dominance: float


class AffectModel:
    """A loaded model on one device, its encoder in `precision` (one of `models.affect.PRECISIONS`).

    Attributes:
        room: the room for its batches, as far as is known.
    """

    def __init__(self, checkpoint: StoredModel, device: str, precision: str = "float32") -> None:
        config, labels = _read_config(checkpoint)
        self._columns = [labels.index(name) for name in Affect._fields]
        self._shortest = receptive_field(config)
        self._device = torch.device(device)
        try:
            module = build_module(partial(Regressor, n_outputs=len(Affect._fields)), config)
        except ValueError as error:
            raise ModelMissing(f"{checkpoint.name!r} can't be loaded ({error})", _REMEDY) from None
        load_weights(checkpoint.weights, module, checkpoint.name, _REMEDY)
        self._module = multiplied_out(module).to(self._device).eval()
        if device == "cpu" and config.feat_extract_norm == "layer":
            encoder = self._module.wav2vec2
            encoder.feature_extractor = FrameEncoder(encoder.feature_extractor)  # type: ignore[assignment]
        self._module.wav2vec2.to(getattr(torch, precision))
        if device == "cpu" and precision == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
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
            batch = torch.from_numpy(padded).to(self._device)
            out = self._module(batch, torch.tensor(lengths, device=self._device))
        if not out.isfinite().all():
            raise DailytalkError(
                f"the affect model's numbers overflowed in {self._precision}",
                "pass another --affect-model, or tag from Python with affect_precision='float32'",
            )
        rated = out[:, self._columns].clamp(0.0, 1.0).cpu().tolist()
        return [Affect(*row) for row in rated]


@lru_cache(maxsize=1)
def load_affect_model(name: str, device: str, precision: str = "float32") -> AffectModel:
    """The model of this process; `device` is `cpu` or `cuda` (see `models.devices.resolve_device`).

    Raises ModelMissing, or DailytalkError if it does not fit into memory.
    """
    checkpoint = resolve_affect_model(name)
    return load_network(lambda: AffectModel(checkpoint, device, precision), name, device)


class Regressor(nn.Module):
    """Encoder, mean over the frames that are not padding, and a head of two layers, named as in the checkpoint."""

    def __init__(self, config: Wav2Vec2Config, n_outputs: int) -> None:
        super().__init__()
        self.wav2vec2 = Wav2Vec2Model(config)
        self.classifier = Head(config.hidden_size, n_outputs)

    def forward(self, samples: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Outputs (batch, outputs) of padded samples (batch, n), of which `lengths` (batch,) are valid."""
        valid = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
        encoded = self.wav2vec2(samples.to(self.wav2vec2.dtype), attention_mask=valid.long())
        hidden = encoded.last_hidden_state.float()
        n_frames = lengths
        config = self.wav2vec2.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            n_frames = (n_frames - kernel) // stride + 1
        frames = torch.arange(hidden.shape[1], device=hidden.device)
        is_sound = frames < n_frames[:, None]
        total = (hidden * is_sound[:, :, None]).sum(dim=1)
        mean = total / n_frames[:, None]
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
    (kernel,) = conv.kernel_size
    (stride,) = conv.stride
    with torch.device("meta"):  # what is drawn here at random is replaced
        flat = nn.Conv2d(conv.in_channels, conv.out_channels, (1, kernel), (1, stride), bias=False)
    weight = conv.weight[:, :, None].contiguous(memory_format=torch.channels_last)
    flat.weight = nn.Parameter(weight)
    flat.bias = conv.bias
    return flat


class PackedLinear(nn.Module):
    """A linear layer whose weight is stored as oneDNN multiplies it, and the GELU after it, if there is one.

    PyTorch's own layer rearranges the weight at every call. Without GELU the bits are those of PyTorch's layer;
    with it (`gelu`), the values between layer and GELU are not rounded to bfloat16.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.bias = linear.bias
        approximation = "none" if activation == "gelu" else ""
        self._activation: tuple[str, list[float], str] = (activation, [], approximation)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (…, out) of inputs (…, in)."""
        multiply = torch.ops.mkldnn._linear_pointwise
        outputs: torch.Tensor = multiply(inputs, self.weight, self.bias, *self._activation)
        return outputs


class PackedConvolution(nn.Module):
    """`PackedLinear` for a convolution in two dimensions."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self._geometry = (conv.padding, conv.stride, conv.dilation, conv.groups)
        weight = conv.weight.detach()
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._geometry, None)
        self.bias = conv.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (batch, channels out, 1, n out) of inputs (batch, channels in, 1, n)."""
        convolve = torch.ops.mkldnn._convolution_pointwise
        outputs: torch.Tensor = convolve(inputs, self.weight, self.bias, *self._geometry, "none", [], "")
        return outputs


def _prepack(encoder: Wav2Vec2Model) -> None:
    """Lay the weights of an encoder out for a CPU, once: in bfloat16 3 to 8 s of speech take it 6 to 10 % less."""
    layers: Any = encoder.encoder.layers
    for layer in layers:
        attention = layer.attention
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear = getattr(attention, name)
            setattr(attention, name, PackedLinear(linear))
        feed_forward = layer.feed_forward
        if isinstance(feed_forward.intermediate_act_fn, GELUActivation):
            feed_forward.intermediate_dense = PackedLinear(feed_forward.intermediate_dense, "gelu")
            feed_forward.intermediate_act_fn = nn.Identity()
        feed_forward.output_dense = PackedLinear(feed_forward.output_dense)
    frames = encoder.feature_extractor
    if isinstance(frames, FrameEncoder):
        first, *others = frames.convolutions  # the first, of a single channel, costs next to nothing
        unpacked: list[Any] = others
        packed = [PackedConvolution(convolution) for convolution in unpacked]
        frames.convolutions = nn.ModuleList([first, *packed])


class Head(nn.Module):
    """The regression head; its dropout only mattered in training."""

    def __init__(self, width: int, n_outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, n_outputs)

    def forward(self, mean: torch.Tensor) -> torch.Tensor:
        return self.out_proj(torch.tanh(self.dense(mean)))  # type: ignore[no-any-return]


def _read_config(checkpoint: StoredModel) -> tuple[Wav2Vec2Config, list[str]]:
    """The configuration of a checkpoint, and its outputs. Raises ModelMissing if it is not for rating affect."""
    stored = checkpoint.config.get("id2label")
    kind = checkpoint.model_type
    labels: list[str] = []
    if isinstance(stored, dict):
        labels = [str(stored.get(str(number))) for number in range(len(stored))]
    if kind != "wav2vec2" or sorted(labels) != sorted(Affect._fields):
        raise ModelMissing(
            f"{checkpoint.name!r} is not an affect model: it is {kind!r} with the outputs {quoted(labels)}",
            _REMEDY,
        )
    try:
        config = encoder_config(kind, checkpoint.config)
    except ValueError as error:
        raise ModelMissing(f"{checkpoint.name!r} can't be loaded ({error})", _REMEDY) from None
    assert isinstance(config, Wav2Vec2Config)  # as its kind is wav2vec2
    return config, labels
