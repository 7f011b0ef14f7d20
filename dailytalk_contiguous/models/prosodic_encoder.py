"""The encoder of prosodic tokens: an embedding of how an utterance is said, learned from masked tokens alone.

A transformer of the usual modern kind: norms come before attention and feed-forward layers, and positions are
rotations of queries and keys (Su et al. 2021, "RoFormer"), so only distances between frames count. Products have
no bias, which would cost a pass over memory beside the norms' own. There is no dropout: what is masked differs
each time, which keeps it from learning utterances by heart. Inside, sequences follow one another without
padding, so nothing is computed for it. It is a `PreTrainedModel`, saved and loaded as any other, except that a
checkpoint whose weights don't all fit is an error, where transformers draws what it lacks at random, and that
nothing in its `config.json` but the settings of this class is obeyed.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.documents import is_number, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.checkpoints import find_folder
from dailytalk_contiguous.models.devices import plan_batches
from dailytalk_contiguous.models.prosodic_sequences import ProsodicClusterSequences
from dailytalk_contiguous.models.stored_weights import read_weights, shapes_of

#: Named sizes, as settings of the encoder: 3.2, 19, 57 and 151 million parameters.
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_dim": 256, "num_layers": 4, "nhead": 4},
    "small": {"hidden_dim": 512, "num_layers": 6, "nhead": 8},
    "default": {"hidden_dim": 768, "num_layers": 8, "nhead": 8},
    "large": {"hidden_dim": 1024, "num_layers": 12, "nhead": 16},
}

#: Frames of a masked span, and how often a span has so many.
SPANS, SPAN_SHARES = (10, 5, 3, 1), (0.5, 0.25, 0.15, 0.1)

#: Of masked frames, how many become the mask token and how many a random token; the rest keep their own.
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1

#: Frames in a batch of `ProsodicSequenceEncoder.embed`: few enough for a small machine, enough to keep it busy.
FRAMES_PER_BATCH = 8192

#: Largest of each size that a configuration may ask for: one that came with a checkpoint must not fill memory.
_MOST = {"vocab_size": 1 << 20, "hidden_dim": 1 << 14, "num_layers": 256, "nhead": 256, "pos_max_len": 1 << 20}

#: Fields of `ProsodicEncoderConfig`.
_SETTINGS = (*_MOST, "padding_token_id", "mask_prob", "prosody_model", "masked_accuracy")

#: What predicts masked frames, in the order of `masked_accuracy`: the encoder, which token follows which, and how
#: frequent each is.
MASKED_MODELS = ("encoder", "bigram", "unigram")

#: Share of the frames by which an encoder that is better than counting is better at least.
_BETTER = 0.01

#: Bytes that a `config.json` may have; one of ours has about 600.
_MOST_CONFIG_BYTES = 1 << 20

_RETRAIN = "name a folder that `dailytalk tokens train` made"

#: Arguments of `from_pretrained` that say where to look.
_WHERE = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")

_OWN_SETTINGS = "load it with the settings in its own config.json"


class ProsodicEncoderConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Settings of a `ProsodicSequenceEncoder`; its vocabulary ends in the padding token and the mask token.

    `prosody_model` is the name of the codebook whose tokens it was trained on, empty where that is not known;
    `masked_accuracy` the shares of masked frames that `MASKED_MODELS` predicted when it was trained, or none.

    Raises DailytalkError for a value out of range, with its name.
    """

    model_type = "prosodic-sequence-encoder"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "hidden_dim",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "nhead",
        "max_position_embeddings": "pos_max_len",
    }

    vocab_size: int = 122
    hidden_dim: int = 768
    num_layers: int = 8
    nhead: int = 8
    pos_max_len: int = 2000
    padding_token_id: int = -100
    mask_prob: float = 0.15
    prosody_model: str = ""
    masked_accuracy: list[float] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        for name, most in _MOST.items():
            least = 3 if name == "vocab_size" else 1
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise DailytalkError(f"{name} is {value!r}", f"give a whole number from {least} to {most:,}")
        if self.hidden_dim % (2 * self.nhead):
            raise DailytalkError(
                f"hidden_dim {self.hidden_dim} can't be divided among {self.nhead} heads of an even width",
                f"make it a multiple of {2 * self.nhead}",
            )
        if isinstance(self.padding_token_id, bool) or not isinstance(self.padding_token_id, int):
            raise DailytalkError(f"padding_token_id is {self.padding_token_id!r}", "give a whole number")
        if 0 <= self.padding_token_id < self.n_tokens or self.padding_token_id == self.vocab_size - 1:
            raise DailytalkError(f"padding_token_id {self.padding_token_id} is another token, too", "give -100")
        if not is_number(self.mask_prob, 0, 1):
            raise DailytalkError(f"mask_prob is {self.mask_prob!r}", "give a share of the frames between 0 and 1")
        if not isinstance(self.prosody_model, str):
            raise DailytalkError(f"prosody_model is {self.prosody_model!r}", "give the name of a codebook")
        if self.masked_accuracy is not None and not is_masked_accuracy(self.masked_accuracy):
            raise DailytalkError(
                f"masked_accuracy is {self.masked_accuracy!r}",
                f"give {len(MASKED_MODELS)} shares, or leave it out",
            )

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

    Raises:
        DailytalkError: a setting out of range. TypeError: a setting that doesn't exist, or one beside a `config`.
    """

    config_class = ProsodicEncoderConfig
    base_model_prefix = ""
    main_input_name = "x"
    _supports_sdpa = True

    def __init__(self, config: ProsodicEncoderConfig | None = None, **settings: Any) -> None:
        if config is None:
            unknown = sorted(settings.keys() - {*_SETTINGS})
            if unknown:
                raise TypeError(f"{type(self).__name__} has no setting {unknown[0]!r}")
            config = ProsodicEncoderConfig(**settings)
        elif settings:
            raise TypeError(f"{min(settings)} is a setting of the config that is passed: change it there")
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_dim)
        self.layers = nn.ModuleList(
            EncoderLayer(config.hidden_dim, config.nhead) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.head = nn.Linear(config.hidden_dim, config.vocab_size)
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def of_size(cls, size: str, **settings: Any) -> "ProsodicSequenceEncoder":
        """An encoder of a named size, one of `SIZES`, with further settings. Raises DailytalkError for another."""
        if size not in SIZES:
            raise DailytalkError(f"there is no size {size!r}", f"choose among {', '.join(SIZES)}")
        return cls(**SIZES[size] | settings)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | PathLike[str], *args: Any, **kwargs: Any
    ) -> "ProsodicSequenceEncoder":
        """An encoder from a folder of `save_pretrained` or from the Hub, ready to embed.

        Takes the arguments of transformers. Only safetensors are read, never a pickle, and of `config.json` only
        what this class has: transformers obeys much more. No memory is taken before the weights are known to fit.

        Raises:
            ModelMissing: it isn't there, can't be read, is another model, or has weights of another size.
        """
        name = str(pretrained_model_name_or_path)
        where = {option: kwargs[option] for option in _WHERE if option in kwargs}
        try:
            config = kwargs.pop("config", None)
            if config is None:
                file = cached_file(name, CONFIG_NAME, **where, _raise_exceptions_for_missing_entries=False)
                stored = read_json(Path(file), _RETRAIN, _MOST_CONFIG_BYTES) if file else None
                if not isinstance(stored, dict) or stored.get("model_type") != ProsodicEncoderConfig.model_type:
                    raise ModelMissing(f"{name!r} is no encoder of prosodic tokens", _RETRAIN)
                known = {key: stored[key] for key in _SETTINGS if key in stored}
                known |= {key: kwargs.pop(key) for key in _SETTINGS if key in kwargs}
                config = ProsodicEncoderConfig(**known)
            with torch.device("meta"):
                shapes = shapes_of(cls(config))
            path = Path(str(cached_file(name, SAFE_WEIGHTS_NAME, **where)))
            kwargs |= {"config": config, "state_dict": read_weights([path], shapes, name, _OWN_SETTINGS)}
            with quiet_transformers():
                encoder: Any = super().from_pretrained(None, *args, **kwargs)
        except ModelMissing:
            raise
        except DailytalkError as error:
            raise ModelMissing(f"{name!r} can't be loaded ({error.reason})", _RETRAIN) from None
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise ModelMissing(f"{name!r} can't be loaded ({reason})", _RETRAIN) from error
        return cast(ProsodicSequenceEncoder, encoder)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | Sequence[int] | None = None,
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor | tuple[Tensor, Tensor, Tensor, Tensor]:
        """Embeddings of sequences; or with `training`, what a masked-token loss needs.

        Args:
            x: tokens, integers of shape (batch, frames). What follows a sequence is `padding_token_id` or 120.
            lengths: frames of each sequence, at least 1, shape (batch,); what follows them is not looked at.
                None: up to the padding.
            training: mask spans, and predict them.
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
                tokens; in training a sequence longer than `pos_max_len`, or one that has masks already.
        """
        x, lengths = self._checked(x, lengths, training)
        inside = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        if not training:
            return self._means(x[inside], lengths.tolist())
        if x.shape[1] > self.config.pos_max_len:
            row = int(lengths.argmax())
            raise BadInput(
                f"row {row} has {x.shape[1]} frames, more than the {self.config.pos_max_len} of this encoder",
                "cut it into windows to train on",
                row,
            )
        masked, targets = mask_spans(x, lengths, self.config.mask_prob, self.config.vocab_size, generator)
        encoded = self._encode(masked[inside], lengths.tolist())
        hidden = encoded.new_zeros(*x.shape, encoded.shape[-1])
        hidden[inside] = encoded
        return self.head(hidden), hidden, targets, x.masked_fill(~inside, self.config.padding_token_id)

    def update_mask_prob(self, prob: float) -> None:
        """Mask another share of the frames in training, from now on. Raises DailytalkError if not in [0, 1]."""
        self.config.mask_prob = ProsodicEncoderConfig(mask_prob=prob).mask_prob

    def embed(self, sequences: Sequence[ArrayLike]) -> NDArray[np.float32]:
        """Embeddings (n, hidden_dim) of n sequences of any lengths, in their order: `forward` in padded batches.

        Sequences of like length are batched together. On a CPU batches run side by side, a thread each, so that
        embeddings are the same on any number of threads.

        Raises BadInput as `forward` does, with the sequence's place among all, and DailytalkError for an encoder
        whose weights are damaged, so that an embedding would not be of numbers.
        """
        arrays = [np.asarray(sequence) for sequence in sequences]

        @torch.inference_mode()
        def embed_batch(batch: list[int]) -> NDArray[np.float32]:
            x, lengths = padded([arrays[row] for row in batch], self.config.padding_token_id)
            embedded: NDArray[np.float32] = self(x.to(self.device), lengths.to(self.device)).cpu().numpy()
            return embedded

        embeddings = np.zeros((len(arrays), self.config.hidden_dim), np.float32)
        batches = plan_batches([len(array) for array in arrays], FRAMES_PER_BATCH)
        embedded = (threads_of_one().map if self.device.type == "cpu" else map)(embed_batch, batches)
        for batch in batches:
            try:
                embeddings[batch] = next(embedded)
            except BadInput as error:
                if error.row is None:
                    raise
                row = batch[error.row]
                reason = error.reason.replace(f"row {error.row} ", f"row {row} ", 1)
                raise BadInput(reason, error.remedy, row) from None
        if not np.isfinite(embeddings).all():
            row = int((~np.isfinite(embeddings).all(axis=1)).argmax())
            raise DailytalkError(
                f"the encoder's embedding of row {row} holds what is no number", "train another encoder"
            )
        return embeddings

    def _checked(self, x: Tensor, lengths: Tensor | Sequence[int] | None, training: bool) -> tuple[Tensor, Tensor]:
        """Tokens (batch, frames of the longest), with 120 for padding, and their lengths."""
        if x.ndim != 2 or x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise BadInput(f"tokens of shape {tuple(x.shape)} and {x.dtype}", "give integers (batch, frames)")
        x = x.long()
        n_tokens, padding = self.config.n_tokens, self.config.vocab_size - 2
        frames = torch.arange(x.shape[1], device=x.device)
        if lengths is None:
            is_token = (x != self.config.padding_token_id) & (x != padding)
            lengths = torch.where(is_token, frames + 1, 0).amax(dim=1) if x.shape[1] else x.new_zeros(len(x))
        else:
            lengths = torch.as_tensor(lengths, device=x.device).long()
            if lengths.shape != x.shape[:1] or (lengths > x.shape[1]).any():
                raise BadInput(
                    f"lengths {lengths.tolist()} for tokens of shape {tuple(x.shape)}",
                    "give the frames of each row",
                )
        if (empty := lengths < 1).any():
            row = int(empty.nonzero()[0])
            raise BadInput(f"row {row} has no tokens", "leave it out", row)
        inside = frames < lengths[:, None]
        wrong = inside & ((x < 0) | (x >= n_tokens)) & (training | (x != self.config.vocab_size - 1))
        if wrong.any():
            row, frame = (int(index) for index in wrong.nonzero()[0])
            token = int(x[row, frame])
            what = "padding" if token in (padding, self.config.padding_token_id) else f"the token {token}"
            raise BadInput(
                f"row {row} has {what} at frame {frame}, and tokens of this encoder are 0 to {n_tokens - 1}",
                "encode it with the codebook that the encoder was trained with",
                row,
            )
        longest = int(lengths.max()) if len(lengths) else 0
        return x.masked_fill(~inside, padding)[:, :longest], lengths

    def _encode(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """The last layer (frames, hidden_dim) of sequences (frames,) that follow one another."""
        frames = torch.cat([torch.arange(length, device=tokens.device) for length in lengths])
        hidden = self.embedding(tokens)
        width = self.config.hidden_dim // self.config.nhead
        frequencies = 10_000.0 ** (-torch.arange(0, width, 2, device=tokens.device) / width)
        angles = (frames[:, None] * frequencies)[:, None, None]
        # Complex numbers (frames, 1, 1, width / 2) of length 1, by which pairs in queries and keys are multiplied.
        rotation = torch.polar(torch.ones_like(angles), angles)
        for layer in self.layers:
            hidden = layer(hidden, rotation, lengths)
        return cast(Tensor, self.norm(hidden))

    def _means(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Embeddings (n, hidden_dim) of n sequences that follow one another, window by window."""
        cuts = [window_sizes(length, self.config.pos_max_len) for length in lengths]
        sums, start = [], 0
        for windows in _groups([size for sizes in cuts for size in sizes], FRAMES_PER_BATCH):
            hidden = self._encode(tokens[start : start + sum(windows)], windows)
            sums.append(_sums(hidden.float(), windows))
            start += sum(windows)
        if not sums:
            return torch.zeros(0, self.config.hidden_dim, device=tokens.device)
        return _sums(torch.cat(sums), list(map(len, cuts))) / torch.tensor(lengths, device=tokens.device)[:, None]


class EncoderLayer(nn.Module):
    """Attention over all frames, then a feed-forward network four times as wide; each normalises what it reads."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, hidden: Tensor, rotation: Tensor, lengths: Sequence[int]) -> Tensor:
        """Frames (n, width) of sequences of `lengths` that follow one another."""
        projected = self.query_key_value(self.attention_norm(hidden)).view(len(hidden), 3, self.n_heads, -1)
        values = projected[:, 2]
        pairs = projected[:, :2].float()
        pairs = torch.view_as_complex(pairs.view(*pairs.shape[:-1], -1, 2)) * rotation
        queries, keys = torch.view_as_real(pairs).flatten(-2).to(values.dtype).unbind(1)
        attended = _attend(queries, keys, values, lengths)
        hidden = self.attention_out(attended.flatten(1)).add_(hidden)
        widened = self.up(self.feed_forward_norm(hidden))
        # Without gradients in place: newly allocated memory costs more than the activation itself.
        activated = functional.gelu(widened) if widened.requires_grad else torch.ops.aten.gelu_(widened)
        return cast(Tensor, self.down(activated).add_(hidden))


def _attend(queries: Tensor, keys: Tensor, values: Tensor, lengths: Sequence[int]) -> Tensor:
    """Attention within each of the sequences that follow one another, all of shape (frames, heads, width).

    Sequences of different lengths go to a GPU all at once, padded, with a mask: it would wait for each of many
    small calls. On a CPU every sequence is a call of its own, and no time goes into padding.
    """
    attend = functional.scaled_dot_product_attention
    if len(set(lengths)) == 1:
        shape = (len(lengths), lengths[0], *queries.shape[1:])
        query, key, value = (each.view(shape).transpose(1, 2) for each in (queries, keys, values))
        return attend(query, key, value).transpose(1, 2).flatten(0, 1)
    if queries.device.type != "cpu":
        sizes = torch.tensor(lengths, device=queries.device)
        inside = torch.arange(max(lengths), device=queries.device) < sizes[:, None]
        empty = queries.new_zeros(*inside.shape, *queries.shape[1:])
        query, key, value = (empty.index_put((inside,), each).transpose(1, 2) for each in (queries, keys, values))
        return attend(query, key, value, attn_mask=inside[:, None, None]).transpose(1, 2)[inside]
    parts = (torch.split(each.transpose(0, 1)[None], list(lengths), dim=2) for each in (queries, keys, values))
    attended = [attend(query, key, value) for query, key, value in zip(*parts, strict=True)]
    return torch.cat(attended, dim=2)[0].transpose(0, 1)


def mask_spans(
    x: Tensor,
    lengths: Tensor,
    mask_prob: float,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Tokens with spans of frames masked, and which frames that were, both (batch, frames).

    Spans begin anywhere with equal probability and may overlap or reach over an end, so each frame is masked with
    probability `mask_prob`. A row in which none would be gets one masked frame, unless `mask_prob` is 0. Of masked
    frames 80 % become the mask token, 10 % a random token and 10 % keep their own. The same generator state gives
    the same masks on every device.
    """
    batch, n_frames = x.shape
    before = max(SPANS) - 1  # spans that begin before the first frame reach into it
    draws = torch.rand(4, batch, before + n_frames, generator=generator)
    frames = torch.arange(before + n_frames)
    shares = torch.tensor(SPAN_SHARES).cumsum(0)[:-1]
    spans = torch.tensor(SPANS)[torch.bucketize(draws[1], shares, right=True)]
    ends = torch.where(draws[0] < _start_probability(mask_prob), frames + spans, 0).cummax(dim=1).values
    inside = torch.arange(n_frames) < lengths.cpu()[:, None]
    targets = (ends > frames)[:, before:] & inside
    if mask_prob > 0:
        lone = ~targets.any(dim=1)
        drawn = (torch.rand(batch, generator=generator) * lengths.cpu()).long()
        targets[lone, drawn[lone]] = True
    kinds, random = draws[2, :, before:], (draws[3, :, before:] * (vocab_size - 2)).long()
    becomes = torch.where(kinds < MASK_SHARE, vocab_size - 1, random).to(x.device)
    changed = (targets & (kinds < MASK_SHARE + RANDOM_SHARE)).to(x.device)
    return torch.where(changed, becomes, x), targets.to(x.device)


@lru_cache(maxsize=64)
def _start_probability(mask_prob: float) -> float:
    """How probable a span must be to begin at a frame for each frame to be masked with `mask_prob`.

    A frame stays unless one of the spans that began up to nine frames before reaches it.
    """
    reaching = [
        sum(share for span, share in zip(SPANS, SPAN_SHARES, strict=True) if span > distance)
        for distance in range(max(SPANS))
    ]
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if 1 - math.prod(1 - middle * share for share in reaching) < mask_prob:
            low = middle
        else:
            high = middle
    return high if mask_prob > 0 else 0.0


def window_sizes(length: int, longest: int) -> list[int]:
    """Frames of the fewest windows of about equal length, at most `longest`, that a sequence is cut into.

    >>> window_sizes(5, 2)
    [2, 2, 1]
    """
    size = math.ceil(length / math.ceil(length / longest))
    return [min(size, length - start) for start in range(0, length, size)]


def windows_of(sequence: NDArray[Any], longest: int) -> list[NDArray[Any]]:
    """The windows of `window_sizes` that a sequence, or a sound, is cut into."""
    return np.split(sequence, np.cumsum(window_sizes(len(sequence), longest))[:-1])


def _groups(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Sizes, in order, in lists that sum up to at most so many, or are one that is larger."""
    group: list[int] = []
    for size in sizes:
        if group and sum(group) + size > most:
            yield group
            group = []
        group.append(size)
    if group:
        yield group


def padded(sequences: Sequence[NDArray[Any]], padding: int) -> tuple[Tensor, Tensor]:
    """Sequences of integers as a tensor (n, frames of the longest) with `padding` after each, and their lengths.

    Raises BadInput for what is no sequence of integers, with its row.
    """
    for row, sequence in enumerate(sequences):
        if sequence.ndim != 1 or (len(sequence) and not np.issubdtype(sequence.dtype, np.integer)):
            raise BadInput(
                f"row {row} is no sequence of whole numbers ({sequence.dtype}, shape {sequence.shape})",
                "give the tokens of each utterance as integers",
                row,
            )
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    x = np.full((len(sequences), int(lengths.max()) if len(sequences) else 0), padding, np.int64)
    for filled, sequence in zip(x, sequences, strict=True):
        filled[: len(sequence)] = sequence
    return torch.from_numpy(x), lengths


def _sums(rows: Tensor, lengths: Sequence[int]) -> Tensor:
    """The sum (n, width) of each of n groups of rows that follow one another."""
    sizes = torch.tensor(lengths, device=rows.device)
    return torch.segment_reduce(rows, "sum", lengths=sizes, axis=0)


@lru_cache(maxsize=2)
def load_encoder(name: str) -> ProsodicSequenceEncoder:
    """`open_encoder`, once per process."""
    return open_encoder(name)


def open_encoder(name: str) -> ProsodicSequenceEncoder:
    """The encoder in a folder, or of the Hub: OWNER/NAME, with @TAG for a version.

    Raises DailytalkError for what is neither, and ModelMissing as `from_pretrained`.
    """
    folder = find_folder(name, (CONFIG_NAME, SAFE_WEIGHTS_NAME), ())
    return ProsodicSequenceEncoder.from_pretrained(folder)


def is_masked_accuracy(value: Any) -> bool:
    """Whether a value, maybe of somebody else's file, is a share of the frames for each of `MASKED_MODELS`."""
    return (
        isinstance(value, list)
        and len(value) == len(MASKED_MODELS)
        and all(is_number(share, 0.0, 1.0) for share in value)
    )


def too_little_learned(masked_accuracy: Sequence[float] | None) -> str:
    """A sentence about an encoder that has not learned more than counting knows; empty for any other.

    >>> too_little_learned([0.6, 0.4, 0.2])
    ''
    """
    if masked_accuracy is None:
        return ""
    encoder, bigram, unigram = masked_accuracy
    if encoder > max(bigram, unigram) + _BETTER:
        return ""
    less = "less than" if encoder > unigram + _BETTER else "nothing beyond"
    return (
        f"the encoder has learned {less} what counting knows: it predicts {encoder:.1%} of masked frames, "
        f"which token follows which {bigram:.1%}, and how frequent each is {unigram:.1%}; train it for longer, "
        "or on more speech"
    )


def embed_sounds(name: str, codebook: str, sounds: Sequence[Samples]) -> NDArray[np.float32]:
    """How 16 kHz sounds, each of shape (n,), are said: embeddings (sounds, hidden_dim), 0 for one without a frame.

    Args:
        name: of the encoder. codebook: `bundled` or a folder, that which the encoder was trained with.

    Raises DailytalkError if it was trained with another.
    """
    encoder, sequences = load_encoder(name), ProsodicClusterSequences(codebook)
    trained_with, own = encoder.config.prosody_model, sequences.codebook.name
    if trained_with and own != trained_with:
        raise DailytalkError(
            f"the encoder {name!r} was trained with the codebook {trained_with}, not with {own}",
            "name its codebook with --prosodic-tokens",
        )
    tokens = sequences.extract_cluster_sequences(sounds)
    vectors = np.zeros((len(sounds), encoder.config.hidden_dim), np.float32)
    heard = [index for index, sequence in enumerate(tokens) if sequence]
    if heard:
        vectors[heard] = encoder.embed([tokens[index] for index in heard])
    return vectors


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the warnings and progress bars of transformers, which are settings of the whole process."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
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
