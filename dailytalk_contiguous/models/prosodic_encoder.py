"""The encoder of prosodic tokens: an embedding of how an utterance is said, learned from masked tokens alone.

The network is transformers' `ModernBertForMaskedLM`: norms come before attention and feed-forward layers, and
positions are rotations of queries and keys, so only distances between frames count. On a grammar of 12 tokens,
each of which stays or is followed by the next or by any, it comes within 5 % of the known entropy in 500 steps;
`BertForMaskedLM` stays 46 % above.
There is no dropout: the masks differ each time.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoConfig,
    AutoModel,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.checkpoints import resolve_folder
from dailytalk_contiguous.models.devices import plan_batches
from dailytalk_contiguous.models.prosodic_sequences import check_tokens
from dailytalk_contiguous.models.stored_weights import read_weights, shapes_of

_Scalar = TypeVar("_Scalar", bound=np.generic)

#: Named sizes, as settings of the encoder: 2.8, 16, 48 and 127 million parameters. The smallest is
#: for little speech, and sees each utterance often, so it masks more.
SIZES: dict[str, dict[str, float | int]] = {
    "tiny": {"hidden_dim": 256, "num_layers": 4, "nhead": 4, "mask_prob": 0.3},
    "small": {"hidden_dim": 512, "num_layers": 6, "nhead": 8},
    "default": {"hidden_dim": 768, "num_layers": 8, "nhead": 8},
    "large": {"hidden_dim": 1024, "num_layers": 12, "nhead": 16},
}

#: The lengths of masked spans, in frames.
SPANS = (10, 5, 3, 1)

#: The share of spans with each of these lengths.
SPAN_SHARES = (0.5, 0.25, 0.15, 0.1)

#: Frames in a batch of `ProsodicSequenceEncoder.embed`: few, so that sequences of like length share one.
FRAMES_PER_BATCH = 2048

#: Least and largest of each size: a configuration that came with a checkpoint must not fill memory.
_RANGES = {
    "vocab_size": (3, 1 << 20),
    "hidden_dim": (1, 1 << 14),
    "num_layers": (1, 256),
    "nhead": (1, 256),
    "pos_max_len": (1, 1 << 20),
    "mask_prob": (0, 1),
}

#: Fields of `ProsodicEncoderConfig`.
_SETTINGS = (*_RANGES, "padding_token_id", "prosody_model")

#: Arguments of `from_pretrained` that say where files are.
_SOURCE_OPTIONS = ("cache_dir", "revision", "token", "local_files_only")

_RETRAIN = "name a folder that `dailytalk tokens train` made"


@strict
class ProsodicEncoderConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Settings of a `ProsodicSequenceEncoder`; its vocabulary ends in the padding token and the mask token.

    `prosody_model` is the name of the codebook whose tokens it was trained on, empty where that is not known.

    Raises DailytalkError for a value out of range, with its name.
    """

    model_type = "prosodic-sequence-encoder"

    vocab_size: int = 122
    hidden_dim: int = 768
    num_layers: int = 8
    nhead: int = 8
    pos_max_len: int = 2000
    padding_token_id: int = -100
    mask_prob: float | int = 0.15
    prosody_model: str = ""

    def __post_init__(self, **kwargs: object) -> None:
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise DailytalkError(f"{name} is {value}", f"give {least} to {most:,}")
        padding = self.padding_token_id
        if 0 <= padding < self.n_tokens or padding == self.vocab_size - 1:
            raise DailytalkError(f"padding_token_id {padding} is another token, too", "give -100")

    def validate_token_ids(self) -> None:
        """Nothing to warn of: `padding_token_id` is no entry of the vocabulary, on purpose."""

    @property
    def n_tokens(self) -> int:
        """Tokens that a sequence is made of: the clusters of the codebook."""
        return self.vocab_size - 2


class ProsodicSequenceEncoder(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Bidirectional encoder of sequences of prosodic tokens, one a frame of 16 ms.

    The vocabulary is that of the codebook (0 to 119), then padding (120) and mask (121).

    >>> from dailytalk_contiguous import ProsodicSequenceEncoder
    >>> encoder = ProsodicSequenceEncoder(hidden_dim=64, num_layers=2, nhead=2)
    >>> encoder.embed([[0, 17, 17, 40], [0, 3]]).shape
    (2, 64)

    Args:
        config: as `from_pretrained` passes it; without one, `settings` make it.
        settings: fields of `ProsodicEncoderConfig`: vocab_size (122), hidden_dim (768), num_layers (8), nhead (8);
            pos_max_len (2000), frames that the encoder sees at a time; padding_token_id (-100), which may be in
            `x` in place of 120; mask_prob (0.15), share of frames that are masked in training.

    Raises DailytalkError for a setting out of range or of another type.
    """

    config_class = ProsodicEncoderConfig
    base_model_prefix = ""
    main_input_name = "x"
    _supports_sdpa = True

    def __init__(self, config: ProsodicEncoderConfig | None = None, **settings: Any) -> None:
        unknown = sorted(settings.keys() - {*_SETTINGS})
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {unknown[0]!r}")
        config = config or _config_of(settings)
        super().__init__(config)
        self.network = ModernBertForMaskedLM(_network_config(config))
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def of_size(cls, size: str, **settings: Any) -> "ProsodicSequenceEncoder":
        """An encoder of a named size, one of `SIZES`, with further settings."""
        all_settings = SIZES[size] | settings
        return cls(**all_settings)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | PathLike[str], *args: object, **kwargs: Any
    ) -> "ProsodicSequenceEncoder":
        """An encoder from a folder of `save_pretrained` or from the Hub, ready to embed.

        Takes `cache_dir`, `revision`, `token` and `local_files_only` as other models do. Only safetensors are
        read, and of `config.json` only what this class has. No memory is taken before weights are known to fit.

        Raises ModelMissing if it isn't there, can't be read, is another model, or has weights of another size.
        """
        name = str(pretrained_model_name_or_path)
        source = {key: kwargs[key] for key in _SOURCE_OPTIONS if key in kwargs}
        try:
            config_path = cached_file(name, CONFIG_NAME, **source)
            stored = read_json(Path(config_path), _RETRAIN) if config_path else None
            if not isinstance(stored, dict) or stored.get("model_type") != ProsodicEncoderConfig.model_type:
                raise ModelMissing(f"{name!r} is not an encoder of prosodic tokens", _RETRAIN)
            config = _config_of({key: stored[key] for key in _SETTINGS if key in stored})
            with torch.device("meta"):
                shapes = shapes_of(cls(config))
            path = Path(str(cached_file(name, SAFE_WEIGHTS_NAME, **source)))
            weights = read_weights([path], shapes, name, _RETRAIN)
        except ModelMissing:
            raise
        except (DailytalkError, OSError, ValueError) as error:
            message: str = getattr(error, "reason", str(error))
            first_line, *_ = message.strip().split("\n")
            reason = first_line.rstrip(".")
            raise ModelMissing(f"{name!r} can't be loaded ({reason})", _RETRAIN) from error
        encoder = cls(config)
        encoder.load_state_dict(weights)
        encoder.train(False)
        return encoder

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | Sequence[int] | None = None,
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor | tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return embeddings of sequences; or with `training`, the tensors for a masked-token loss.

        Args:
            x: tokens, integers of shape (batch, frames), with `padding_token_id` or 120 after each sequence.
            lengths: frames of each sequence, at least 1, shape (batch,); later frames are ignored. None: all
                frames up to the padding.
            training: whether to mask spans, and predict them.
            generator: draws the masks, on the CPU whatever the device; None: PyTorch's own.

        Returns:
            Embeddings, float32 of shape (batch, hidden_dim): the mean of the last layer over the frames that are
            not padding. A sequence of more than `pos_max_len` frames is cut into the fewest windows of about equal
            length that fit, each seen by itself, and the mean is that over all frames of all windows.

            With `training`: logits (batch, frames, vocab_size); the last layer (batch, frames, hidden_dim); which
            frames are to be predicted, bool (batch, frames); the tokens before masking, with `padding_token_id`
            after each sequence (batch, frames).

        Raises:
            BadInput: a token out of range or padding within a sequence, with its row and frame; a row without
                tokens; in training one that has masks already.
        """
        config = self.config
        if lengths is None:
            lengths = self._lengths(x)
        counts = torch.as_tensor(lengths).tolist()
        rows: list[NDArray[np.int64]] = []
        for tokens, count in zip(x.numpy(force=True), counts, strict=True):
            rows.append(self._tokens(len(rows), tokens[:count], may_mask=not training))
        if not training:
            return self._means(rows)
        batch, sizes = padded(rows, config.n_tokens)
        masked, targets = mask_spans(batch, sizes, config.mask_prob, config.vocab_size, generator)
        hidden = self._encode(masked.to(self.device), sizes.to(self.device))
        logits = self.network.decoder(self.network.head(hidden))
        original = batch.masked_fill(batch == config.n_tokens, config.padding_token_id)
        return logits, hidden, targets.to(self.device), original.to(self.device)

    def _lengths(self, x: Tensor) -> Tensor:
        """The frames of each row up to its padding, shape (batch,)."""
        n_frames = x.shape[1]
        if not n_frames:
            return x.new_zeros(len(x))
        is_token = (x != self.config.padding_token_id) & (x != self.config.n_tokens)
        ends = torch.arange(1, n_frames + 1, device=x.device)
        lengths: Tensor = (is_token * ends).amax(dim=1)
        return lengths

    def update_mask_prob(self, prob: float) -> None:
        """Mask another share of the frames in training, from now on. Raises DailytalkError if not in [0, 1]."""
        checked = ProsodicEncoderConfig(mask_prob=prob)
        self.config.mask_prob = checked.mask_prob

    def embed(self, sequences: Sequence[ArrayLike]) -> NDArray[np.float32]:
        """Embeddings (n, hidden_dim) of n sequences of any lengths, in their order.

        Sequences of like length are batched together. On a CPU batches run side by side, a thread each, so that
        embeddings are the same on any number of threads.

        Raises BadInput as `forward` does, and DailytalkError for an encoder whose weights are damaged, so that an
        embedding would not be of numbers.
        """
        rows = [self._tokens(row, sequence) for row, sequence in enumerate(sequences)]

        @torch.inference_mode()
        def means(batch: list[int]) -> NDArray[np.float32]:
            means_of_batch = self._means([rows[row] for row in batch])
            vectors: NDArray[np.float32] = means_of_batch.cpu().numpy()
            return vectors

        embeddings = np.zeros((len(rows), self.config.hidden_dim), np.float32)
        batches = plan_batches([len(row) for row in rows], FRAMES_PER_BATCH)
        run = threads_of_one().map if self.device.type == "cpu" else map
        for batch, vectors in zip(batches, run(means, batches), strict=True):
            embeddings[batch] = vectors
        if not np.isfinite(embeddings).all():
            raise DailytalkError("the encoder's embeddings hold NaN or infinity", "train another encoder")
        return embeddings

    def _tokens(self, row: int, tokens: ArrayLike, may_mask: bool = True) -> NDArray[np.int64]:
        """A sequence as an array. Raises BadInput, with its row and frame, for one that can't be embedded."""
        mask = self.config.vocab_size - 1 if may_mask else 0
        check_tokens(tokens, self.config.n_tokens, f"row {row}", row, mask)
        array = np.asarray(tokens, np.int64)
        if not len(array):
            raise BadInput(f"row {row} has no tokens", "leave it out", row)
        return array

    def _encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The last layer (n, frames, hidden_dim) of padded sequences (n, frames)."""
        inside = _inside(tokens, lengths)
        mask = None if inside.all() else inside.long()
        hidden: Tensor = self.network.model(tokens, attention_mask=mask).last_hidden_state
        return hidden

    def _means(self, rows: Sequence[NDArray[np.int64]]) -> Tensor:
        """Embeddings (n, hidden_dim) of sequences, window by window."""
        windows: list[NDArray[np.int64]] = []
        owners: list[int] = []
        for row, sequence in enumerate(rows):
            parts = windows_of(sequence, self.config.pos_max_len)
            windows += parts
            owners += [row] * len(parts)
        sums = torch.zeros(len(rows), self.config.hidden_dim, device=self.device)
        for batch in plan_batches([len(window) for window in windows], FRAMES_PER_BATCH):
            tokens, lengths = padded([windows[index] for index in batch], self.config.n_tokens)
            tokens = tokens.to(self.device)
            lengths = lengths.to(self.device)
            inside = _inside(tokens, lengths)
            hidden = self._encode(tokens, lengths).float() * inside[:, :, None]
            batch_owners = torch.tensor([owners[index] for index in batch], device=self.device)
            sums = sums.index_add(0, batch_owners, hidden.sum(dim=1))
        n_frames = torch.tensor([len(sequence) for sequence in rows], device=self.device)
        return sums / n_frames[:, None]


def _inside(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Which frames of padded sequences (n, frames) are within their lengths (n,): bool (n, frames)."""
    frames = torch.arange(tokens.shape[1], device=tokens.device)
    return frames < lengths[:, None]


#: The base of the wavelengths of positions, that of RoFormer (Su et al. 2021). By ModernBERT's 160,000, which is
#: for texts of 8,192 tokens, four trainings on a grammar of 12 tokens came within 5.0 % of its known
#: entropy on average (4.1 to 5.5), by this within 4.4 % (4.2 to 4.9).
ROPE_BASE = 10_000.0


def _network_config(config: ProsodicEncoderConfig) -> ModernBertConfig:
    """The settings of the network of an encoder."""
    rope: Any = {"full_attention": {"rope_type": "default", "rope_theta": ROPE_BASE}}
    return ModernBertConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_dim,
        intermediate_size=2 * config.hidden_dim,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.nhead,
        max_position_embeddings=config.pos_max_len,
        layer_types=["full_attention"] * config.num_layers,
        rope_parameters=rope,
        initializer_range=config.hidden_dim**-0.5,  # by 0.02, the default, narrow networks hardly learn
        tie_word_embeddings=False,
        pad_token_id=config.n_tokens,
        cls_token_id=None,
        sep_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )


def _config_of(settings: dict[str, Any]) -> ProsodicEncoderConfig:
    """The configuration of these settings. Raises DailytalkError for one of another type or out of range."""
    try:
        return ProsodicEncoderConfig(**settings)
    except StrictDataclassError as error:
        raise DailytalkError(" ".join(str(error).split()), "correct that setting") from None


#: The share of masked frames that become the mask token.
MASK_SHARE = 0.8

#: The share of masked frames that become a random token; the remaining ones keep their own.
RANDOM_SHARE = 0.1


def mask_spans(
    x: Tensor,
    lengths: Tensor,
    mask_prob: float,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Mask spans of frames. Returns the masked tokens, and which frames are masked, both of shape (batch, frames).

    Spans begin anywhere with equal probability and may overlap or reach over an end, so each frame is masked with
    probability `mask_prob`. A row in which none would be gets one masked frame, unless `mask_prob` is 0. Masked
    frames become the mask token (80 %) or a random token (10 %), or keep their own (10 %). The same generator
    state gives the same masks on every device.
    """
    batch, n_frames = x.shape
    before = max(SPANS) - 1  # spans that begin before the first frame reach into it
    draws = torch.rand(4, batch, before + n_frames, generator=generator)
    frames = torch.arange(before + n_frames)
    shares = torch.tensor(SPAN_SHARES).cumsum(0)[:-1]
    spans = torch.tensor(SPANS)[torch.bucketize(draws[1], shares, right=True)]
    begins = draws[0] < _start_probability(mask_prob)
    ends = torch.where(begins, frames + spans, 0).cummax(dim=1).values
    inside = torch.arange(n_frames) < lengths.cpu()[:, None]
    targets = (ends > frames)[:, before:] & inside
    if mask_prob > 0:
        unmasked = ~targets.any(dim=1)
        drawn = (torch.rand(batch, generator=generator) * lengths.cpu()).long()
        targets[unmasked, drawn[unmasked]] = True
    kinds = draws[2, :, before:]
    random_tokens = (draws[3, :, before:] * (vocab_size - 2)).long()
    replacements = torch.where(kinds < MASK_SHARE, vocab_size - 1, random_tokens).to(x.device)
    is_replaced = targets & (kinds < MASK_SHARE + RANDOM_SHARE)
    masked = torch.where(is_replaced.to(x.device), replacements, x)
    return masked, targets.to(x.device)


@lru_cache(maxsize=64)
def _start_probability(mask_prob: float) -> float:
    """Return the probability with which spans begin at a frame, so that each frame is masked with `mask_prob`.

    A frame stays unless one of the spans that began up to nine frames before reaches it.
    """
    reaching: list[float] = []
    for distance in range(max(SPANS)):
        shares = [share for span, share in zip(SPANS, SPAN_SHARES, strict=True) if span > distance]
        reaching.append(sum(shares))
    low = 0.0
    high = 1.0
    for _ in range(60):
        middle = (low + high) / 2
        unmasked = math.prod(1 - middle * share for share in reaching)
        if 1 - unmasked < mask_prob:
            low = middle
        else:
            high = middle
    return high if mask_prob > 0 else 0.0


def windows_of(sequence: NDArray[_Scalar], longest: int) -> list[NDArray[_Scalar]]:
    """The fewest windows of about equal length, at most `longest`, that a sequence, or a sound, is cut into.

    >>> import numpy as np
    >>> [window.tolist() for window in windows_of(np.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    return np.array_split(sequence, math.ceil(len(sequence) / longest))


def padded(sequences: Sequence[NDArray[np.integer]], padding: int) -> tuple[Tensor, Tensor]:
    """Sequences of integers as a tensor (n, frames of the longest), `padding` after each, and their lengths."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    tensors = [torch.from_numpy(sequence.astype(np.int64)) for sequence in sequences]
    batch = pad_sequence(tensors, batch_first=True, padding_value=padding)
    return batch, lengths


def open_encoder(name: str) -> ProsodicSequenceEncoder:
    """The encoder in a folder, or of the Hub: OWNER/NAME, with @TAG for a version.

    Raises DailytalkError for what is neither, and ModelMissing as `from_pretrained`.
    """
    folder = resolve_folder(name, (CONFIG_NAME, SAFE_WEIGHTS_NAME))
    return ProsodicSequenceEncoder.from_pretrained(folder)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Turn off the warnings and progress bars of transformers, which are settings of the whole process."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


AutoConfig.register(ProsodicEncoderConfig.model_type, ProsodicEncoderConfig)
AutoModel.register(ProsodicEncoderConfig, ProsodicSequenceEncoder)
