"""SepFormer: two voices out of one signal, in plain PyTorch, with the weights that SpeechBrain publishes.

A filter bank that is learnt, a mask for each voice, and the filter bank backwards; the masks are of transformers
that look within short chunks and across them in turn. Subakan et al. 2021, "Attention is All You Need in Speech
Separation". Modules are named as in SpeechBrain's checkpoints, of which each has three files.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.documents import expect, parse_yaml, read_bytes, utf8_text
from dailytalk_contiguous.core.errors import BadInput, ModelMissing
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.devices import within_memory
from dailytalk_contiguous.models.speech_models import load_network
from dailytalk_contiguous.models.stored_weights import load_weights

#: Voices that are separated, and places in the position code of a checkpoint.
VOICES, PLACES = 2, 2500

#: What its settings must say; the largest number of them, and the most layers.
_SETTINGS: dict[str, Any] = {
    "sample_rate": int,
    "Encoder": {"kernel_size": int, "out_channels": int},
    "SBtfintra": {"num_layers": int, "nhead": int, "d_ffn": int},
    "SBtfinter": dict,
    "MaskNet": {"num_layers": int, "K": int},
}
_MOST, _MOST_LAYERS = 4096, 64

#: Bytes that its settings may have. Those of training have 6 kB.
_MOST_SETTINGS = 1 << 20

_OTHER = "name another model"


class Sizes(NamedTuple):
    """Of a SepFormer: Hz; samples of a filter, filters, and frames of a chunk; layers and blocks of them; heads of
    attention, and hidden units of a layer.
    """

    sample_rate: int
    kernel: int
    width: int
    chunk: int
    n_layers: int
    n_blocks: int
    n_heads: int
    hidden: int

    @classmethod
    def of_settings(cls, path: Path) -> "Sizes":
        """Those in a file of SpeechBrain. Raises BadInput where it describes another network."""
        text = utf8_text(read_bytes(path, limit=_MOST_SETTINGS), path.name)
        # A tag, as `!new:speechbrain.lobes…`, names what SpeechBrain would run; without them it is plain YAML.
        values = parse_yaml(re.sub(r"!\S+", "", text), path.name)
        expect(values, _SETTINGS, path.name)
        intra, masknet = values["SBtfintra"], values["MaskNet"]
        sizes = cls(
            *(values["sample_rate"], values["Encoder"]["kernel_size"], values["Encoder"]["out_channels"]),
            *(masknet["K"], intra["num_layers"], masknet["num_layers"], intra["nhead"], intra["d_ffn"]),
        )
        block = {key: intra[key] for key in _SETTINGS["SBtfintra"]} | {"d_model": sizes.width}
        block |= {"use_positional_encoding": True, "norm_before": True}
        plain = {"norm": "ln", "linear_layer_after_inter_intra": False, "skip_around_intra": True}
        for part, setting in (("SBtfintra", block), ("SBtfinter", block), ("MaskNet", plain)):
            for key, value in setting.items():
                if values[part].get(key) != value:
                    raise BadInput(f"{path.name}: {key} of {part} is not {value}", _OTHER)
        even = (sizes.kernel, sizes.width, sizes.chunk)
        if (
            not all(0 < size <= _MOST for size in (*even, sizes.n_heads, sizes.hidden))
            or not all(0 < number <= _MOST_LAYERS for number in (sizes.n_layers, sizes.n_blocks))
            or any(size % 2 for size in even)
            or sizes.width % sizes.n_heads
            or sizes.chunk > PLACES
            or sizes.sample_rate not in range(8000, 48001)
        ):
            raise BadInput(f"{path.name}: its sizes are not those of a SepFormer", _OTHER)
        return sizes


class SepFormer:
    """A SepFormer on `cpu` or `cuda`; `weights` by part. Raises ModelMissing for files of another network."""

    def __init__(self, name: str, settings: Path, weights: Mapping[str, Path], device: str, remedy: str) -> None:
        try:
            sizes = Sizes.of_settings(settings)
        except BadInput as error:
            raise ModelMissing(f"{name!r} is no SepFormer for two voices ({error.reason})", remedy) from None
        self.sample_rate = sizes.sample_rate
        self._device, self._kernel = device, sizes.kernel

        def load() -> Network:
            with torch.device("meta"):
                network = Network(sizes)
            for part, path in weights.items():
                load_weights([path], getattr(network, part), f"{name}/{path.name}", remedy)
            return network.to(device).eval()

        self._network = load_network(load, name, device)

    def separate(self, samples: Samples) -> Samples:
        """Two voices (2, n) of samples (n,) at its rate, which have to fit into memory at once."""
        length = max(len(samples), self._kernel)
        padded = np.pad(samples, (0, length - len(samples) + -length % (self._kernel // 2)))

        def run() -> Samples:
            # TF32, cuDNN's default, would keep ten bits of each number.
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                voices: Samples = self._network(torch.from_numpy(padded).to(self._device)).cpu().numpy()
            return voices

        ready = (lambda: threads_of_one().submit(run).result()) if self._device == "cpu" else run
        voices = within_memory(ready, f"{len(samples) / self.sample_rate:.1f} s of sound")
        return voices[:, : len(samples)]


class Network(nn.Module):
    """Two voices (2, n) of samples (n,), n a whole number of half filters."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        kernel, step = sizes.kernel, sizes.kernel // 2
        self.encoder = nn.ModuleDict({"conv1d": nn.Conv1d(1, sizes.width, kernel, step, bias=False)})
        self.masknet = Masks(sizes)
        self.decoder = nn.ConvTranspose1d(sizes.width, 1, kernel, step, bias=False)

    def forward(self, samples: Tensor) -> Tensor:
        frames = functional.relu(self.encoder["conv1d"](samples[None, None]))
        voices: Tensor = self.decoder(frames * self.masknet(frames))
        return voices[:, 0]


class Masks(nn.Module):
    """A mask for each voice, (2, width, n), of frames (1, width, n)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, self._chunk = sizes.width, sizes.chunk
        self.norm = nn.GroupNorm(1, width, eps=1e-8)
        self.conv1d = nn.Conv1d(width, width, 1, bias=False)
        self.dual_mdl = nn.ModuleList(DualPath(sizes) for _ in range(sizes.n_blocks))
        self.prelu = nn.PReLU()
        self.conv2d = nn.Conv2d(width, VOICES * width, 1)
        self.output = nn.Sequential(nn.Conv1d(width, width, 1), nn.Tanh())
        self.output_gate = nn.Sequential(nn.Conv1d(width, width, 1), nn.Sigmoid())
        self.end_conv1x1 = nn.Conv1d(width, width, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        half, n_frames = self._chunk // 2, frames.shape[2]
        gap = self._chunk - (half + n_frames % self._chunk) % self._chunk
        padded = functional.pad(self.conv1d(self.norm(frames)), (half, gap + half))
        chunks = padded.unfold(2, self._chunk, half).transpose(2, 3)  # (1, width, chunk, chunks)
        for block in self.dual_mdl:
            chunks = block(chunks)
        voices = self.conv2d(self.prelu(chunks)).view(VOICES, -1, chunks.shape[3])
        overlapped = functional.fold(voices, (1, padded.shape[2]), (1, self._chunk), stride=(1, half))
        masks = overlapped[:, :, 0, half : half + n_frames]
        return functional.relu(self.end_conv1x1(self.output(masks) * self.output_gate(masks)))


class DualPath(nn.Module):
    """Chunks (1, width, frames, chunks) looked at within each, then across all of them."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.intra_mdl, self.inter_mdl = Transformer(sizes), Transformer(sizes)
        self.intra_norm, self.inter_norm = (nn.GroupNorm(1, sizes.width, eps=1e-8) for _ in range(2))

    def forward(self, chunks: Tensor) -> Tensor:
        within = self.intra_mdl(chunks[0].permute(2, 1, 0)).permute(2, 1, 0)[None]
        chunks = chunks + self.intra_norm(within)
        across = self.inter_mdl(chunks[0].permute(1, 2, 0)).permute(2, 0, 1)[None]
        summed: Tensor = chunks + self.inter_norm(across)
        return summed


class Transformer(nn.Module):
    """Sequences (batch, n, width) with the code of their places, through layers and a last normalisation."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.n_layers))
        self.mdl = nn.ModuleDict({"layers": layers, "norm": _norm(sizes)})
        self.pos_enc = nn.Module()
        self.pos_enc.register_buffer("pe", torch.zeros(1, PLACES, sizes.width))

    def forward(self, sequences: Tensor) -> Tensor:
        places: Any = self.pos_enc.pe
        sequences = sequences + places[:, : sequences.shape[1]]
        for layer in self.mdl["layers"].children():
            sequences = layer(sequences)
        normalised: Tensor = self.mdl["norm"]["norm"](sequences)  # type: ignore[index]
        return normalised


class Layer(nn.Module):
    """Attention of all to all, and a network for each; both are added to what they see normalised."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        attention = nn.MultiheadAttention(sizes.width, sizes.n_heads, batch_first=True)
        self.self_att = nn.ModuleDict({"att": attention})
        hidden = nn.Linear(sizes.width, sizes.hidden), nn.ReLU()
        ffn = nn.Sequential(*hidden, nn.Identity(), nn.Linear(sizes.hidden, sizes.width))
        self.pos_ffn = nn.ModuleDict({"ffn": ffn})
        self.norm1, self.norm2 = _norm(sizes), _norm(sizes)

    def forward(self, sequences: Tensor) -> Tensor:
        normalised = self.norm1["norm"](sequences)
        sequences = sequences + self.self_att["att"](*[normalised] * 3, need_weights=False)[0]
        summed: Tensor = sequences + self.pos_ffn["ffn"](self.norm2["norm"](sequences))
        return summed


def _norm(sizes: Sizes) -> nn.ModuleDict:
    return nn.ModuleDict({"norm": nn.LayerNorm(sizes.width, eps=1e-6)})
