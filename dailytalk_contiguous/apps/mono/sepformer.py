"""SepFormer: two voices out of one signal, in plain PyTorch, with the weights that SpeechBrain publishes.

A filter bank that is learnt, a mask for each voice, and the filter bank backwards; the masks are of transformers
that look within short chunks and across them in turn. Subakan et al. 2021, "Attention is All You Need in Speech
Separation". Modules are named as in SpeechBrain's checkpoints, except inside of PyTorch's transformers.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.devices import within_memory
from dailytalk_contiguous.models.stored_weights import read_weights, saved_tensors, shapes_of

#: Voices; frames of a chunk; heads of attention; places in the code of places. All that SpeechBrain publishes have
#: these; other sizes are those of the weights.
VOICES, CHUNK, HEADS, PLACES = 2, 250, 8, 2500

#: Names in SpeechBrain's transformers that differ from PyTorch's.
_NAMES = {"self_attn.": "self_att.att.", "linear1.": "pos_ffn.ffn.0.", "linear2.": "pos_ffn.ffn.3."}
_NAMES |= {f"{name}.": f"{name}.norm." for name in ("norm1", "norm2", "mdl.norm")}


def load_sepformer(
    name: str, settings: Path, weights: Mapping[str, Path], device: str, remedy: str
) -> tuple[Callable[[Samples], Samples], int]:
    """Load a function that separates samples (n,) into two voices (2, n), all at once, and its rate in Hz.

    Raises ModelMissing if the weights, by part of the network, or the settings are those of another.
    """
    try:
        with settings.open("rb") as file:
            rate = re.search(rb"(?m)^sample_rate: (8000|16000)\b", file.read(1 << 20))
        if not rate:
            raise ValueError(f"{settings.name} has no sample_rate of 8000 or 16000")
        sizes = sizes_of(saved_tensors(weights["encoder"]), saved_tensors(weights["masknet"]))
    except (ValueError, LookupError, OSError) as error:
        raise ModelMissing(f"{name!r} is no SepFormer ({error})", remedy) from None

    def load() -> Network:
        with torch.device("meta"):
            network = Network(*sizes)
        for part, path in weights.items():
            module: nn.Module = getattr(network, part)
            shapes = shapes_of(module)
            renamed = {_stored_name(key): shape for key, shape in shapes.items()}
            stored = read_weights([path], renamed, f"{name}/{path.name}", remedy)
            module.load_state_dict({key: stored[_stored_name(key)] for key in shapes}, assign=True)
        return network.to(device).eval()

    def run(call: Callable[[], Any], what: str) -> Any:
        """Return the result of `call`, on a CPU by one thread: two compute other last bits."""
        ready = (lambda: threads_of_one().submit(call).result()) if device == "cpu" else call
        return within_memory(ready, what)

    network: Network = run(load, f"the model {name!r}")
    kernel = sizes.kernel

    def separate(samples: Samples) -> Samples:
        length = max(len(samples), kernel)
        padded = np.pad(samples, (0, length - len(samples) + -length % (kernel // 2)))
        sound = torch.from_numpy(padded).to(device)
        voices: Tensor = run(lambda: network(sound).cpu(), f"a sound of {len(samples):,} samples")
        return voices[:, : len(samples)].numpy()

    return separate, int(rate[1])


class NetworkSizes(NamedTuple):
    """Samples of a filter, filters, pairs of transformers, layers of each, and hidden units of a layer."""

    kernel: int
    width: int
    n_pairs: int
    n_layers: int
    hidden: int


def sizes_of(encoder: Mapping[str, Tensor], masknet: Mapping[str, Tensor]) -> NetworkSizes:
    """The sizes of stored weights. Raises ValueError or LookupError if there are none."""
    width, _, kernel = encoder["conv1d.weight"].shape
    if kernel not in range(2, 1025, 2) or width not in range(HEADS, 4097, HEADS):
        raise ValueError(f"{width} filters of {kernel} samples")
    hidden = masknet["dual_mdl.0.intra_mdl.mdl.layers.0.pos_ffn.ffn.0.bias"].numel()
    n_pairs = sum(name.endswith(".intra_norm.bias") for name in masknet)
    n_layers = sum(name.endswith(".pos_ffn.ffn.0.bias") for name in masknet) // (2 * n_pairs or 1)
    return NetworkSizes(kernel, width, n_pairs, n_layers, hidden)


def _stored_name(name: str) -> str:
    for ours, theirs in _NAMES.items():
        name = name.replace(ours, theirs)
    return name


class Network(nn.Module):
    """Two voices (2, n) of samples (n,), n a whole number of half filters."""

    def __init__(self, kernel: int, width: int, n_pairs: int, *layers: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"conv1d": nn.Conv1d(1, width, kernel, kernel // 2, bias=False)})
        self.masknet = Masks(width, n_pairs, *layers)
        self.decoder = nn.ConvTranspose1d(width, 1, kernel, kernel // 2, bias=False)

    @torch.inference_mode()
    def forward(self, samples: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 has ten bits of a number
            frames = functional.relu(self.encoder["conv1d"](samples[None, None]))
            voices: Tensor = self.decoder(frames * self.masknet(frames))
        return voices[:, 0]


class Masks(nn.Module):
    """A mask for each voice, (2, width, n), of frames (1, width, n)."""

    def __init__(self, width: int, n_pairs: int, *layers: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width, eps=1e-8)
        self.conv1d = nn.Conv1d(width, width, 1, bias=False)
        self.dual_mdl = nn.ModuleList(DualPath(width, *layers) for _ in range(n_pairs))
        self.prelu = nn.PReLU()
        self.conv2d = nn.Conv2d(width, VOICES * width, 1)
        self.output = nn.Sequential(nn.Conv1d(width, width, 1), nn.Tanh())
        self.output_gate = nn.Sequential(nn.Conv1d(width, width, 1), nn.Sigmoid())
        self.end_conv1x1 = nn.Conv1d(width, width, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        half, n_frames = CHUNK // 2, frames.shape[2]
        gap = CHUNK - (half + n_frames % CHUNK) % CHUNK
        padded = functional.pad(self.conv1d(self.norm(frames)), (half, gap + half))
        chunks = padded.unfold(2, CHUNK, half).transpose(2, 3)  # (1, width, frames of a chunk, chunks)
        for block in self.dual_mdl:
            chunks = block(chunks)
        voices = self.conv2d(self.prelu(chunks)).view(VOICES, -1, chunks.shape[3])
        overlapped = functional.fold(voices, (1, padded.shape[2]), (1, CHUNK), stride=(1, half))
        masks = overlapped[:, :, 0, half : half + n_frames]
        return functional.relu(self.end_conv1x1(self.output(masks) * self.output_gate(masks)))


class DualPath(nn.Module):
    """Chunks (1, width, frames, chunks) looked at within each, then across all of them."""

    def __init__(self, width: int, *layers: int) -> None:
        super().__init__()
        self.intra_mdl, self.inter_mdl = Transformer(width, *layers), Transformer(width, *layers)
        self.intra_norm, self.inter_norm = (nn.GroupNorm(1, width, eps=1e-8) for _ in range(2))

    def forward(self, chunks: Tensor) -> Tensor:
        within = self.intra_mdl(chunks[0].permute(2, 1, 0)).permute(2, 1, 0)[None]
        chunks = chunks + self.intra_norm(within)
        across = self.inter_mdl(chunks[0].permute(1, 2, 0)).permute(2, 0, 1)[None]
        summed: Tensor = chunks + self.inter_norm(across)
        return summed


class Transformer(nn.Module):
    """Sequences (batch, n, width) with the code of their places, through layers and a last normalisation."""

    def __init__(self, width: int, n_layers: int, hidden: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, HEADS, hidden, layer_norm_eps=1e-6, batch_first=True, norm_first=True
        )
        last = nn.LayerNorm(width, eps=1e-6)
        self.mdl = nn.TransformerEncoder(layer, n_layers, last, enable_nested_tensor=False)
        self.pos_enc = nn.Module()
        self.pos_enc.register_buffer("pe", torch.zeros(1, PLACES, width))

    def forward(self, sequences: Tensor) -> Tensor:
        places: Any = self.pos_enc.pe
        coded: Tensor = self.mdl(sequences + places[:, : sequences.shape[1]])
        return coded
