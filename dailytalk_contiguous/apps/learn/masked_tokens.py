"""Training of the encoder of prosodic tokens: it predicts masked spans of frames from their surroundings.

At the end it is compared with counting, on frames that are never visible of utterances that it was not trained on:
how frequent a token is (unigram), and which follows which (bigram, exact and from both sides of a gap).
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional
from torch.utils.data import Dataset

from dailytalk_contiguous.apps.learn import training
from dailytalk_contiguous.apps.learn.model_cards import DataSource, model_card
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import SEED, check_values, setting
from dailytalk_contiguous.models.affect import fast_precisions
from dailytalk_contiguous.models.devices import DEVICES, plan_batches, resolve_device
from dailytalk_contiguous.models.prosodic_encoder import (
    SIZES,
    ProsodicSequenceEncoder,
    mask_spans,
    padded,
    quiet_transformers,
    windows_of,
)
from dailytalk_contiguous.models.prosodic_sequences import check_tokens
from dailytalk_contiguous.store import files

#: Files of a finished training: data, settings and results; the losses, as numbers and as a picture.
RECORD, LOSSES, CURVES = "training.json", "losses.json", "losses.png"

#: The published files.
PUBLISHED = ("README.md", "config.json", "model.safetensors", RECORD, LOSSES, CURVES)

#: Folder of checkpoints while a training runs.
CHECKPOINTS = "checkpoints"

#: The precisions of the training; `auto` is bfloat16 if the device multiplies in it.
PRECISIONS = ("auto", "float32", "bfloat16")

#: Sequences that are counted, and that are scored, at the end: enough for a percent.
_MOST_COUNTED, _MOST_SCORED = 5000, 400

#: How much longer than the shortest the longest sequence of a batch may be.
_LIKE_LENGTHS = 1.1


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of an encoder's training. Raises DailytalkError for a value out of range."""

    size: str = setting("default", "Of the encoder: {choices}.", panel="models", choices=tuple(SIZES))
    epochs: int = setting(10, "Times that every utterance is seen.", panel="result", least=1)
    steps: int = setting(
        0, "Updates of the weights, in place of epochs.", panel="result", least=0, shown="what the epochs need"
    )
    mask_prob: float = setting(0.15, "Share of the frames that are masked.", least=0.01, most=0.9)
    frames_per_batch: int = setting(16_384, "Frames that a GPU, or the CPU, sees at a time.", least=1)
    accumulate: int = setting(1, "Batches that make an update of the weights.", least=1)
    learning_rate: float = setting(3e-4, "The highest, after the warm-up.", least=1e-7, most=1.0)
    warmup_share: float = setting(0.06, "Of the steps, while the learning rate rises.", least=0.0, most=1.0)
    weight_decay: float = setting(0.01, "Of AdamW.", least=0.0, most=1.0)
    valid_share: float = setting(0.05, "Of the utterances, to validate on.", least=0.001, most=0.5)
    check_every: int = setting(200, "Steps between two validations, each with a checkpoint.", least=1)
    patience: int = setting(
        5, "Validations without a smaller loss after which training stops.", panel="result", least=1
    )
    seed: int = setting(0, SEED)
    precision: str = setting(
        "auto", "What is computed in: {choices}.", execution=True, panel="models", choices=PRECISIONS
    )
    device: str = setting("auto", "Where models run: {choices}.", execution=True, panel="models", choices=DEVICES)

    def __post_init__(self) -> None:
        check_values(self)


class TrainingOutcome(NamedTuple):
    """The result of a training.

    Attributes:
        out: the folder of the encoder. steps: updates of the weights, of `planned`. valid_loss: the smallest, in
        nats a masked frame; that of the saved encoder. accuracy: shares of invisible frames that `encoder`,
        `bigram` (which token follows which) and `unigram` (how frequent each is) predict; empty in a process that
        writes nothing.
    """

    out: Path
    steps: int
    planned: int
    valid_loss: float
    accuracy: dict[str, float]


def train_encoder(
    sequences: Sequence[ArrayLike],
    out: Path,
    settings: TrainingSettings | None = None,
    n_tokens: int = 120,
    prosody_model: str = "",
    sources: Sequence[DataSource] = (),
) -> TrainingOutcome:
    """Train an encoder on sequences of tokens, and save it, ready for `from_pretrained`.

    A training that was stopped goes on from its last checkpoint when it is called again. Under `torchrun` each
    process calls this and trains on its share of every step's batches.

    Args:
        sequences: of whole numbers from 0 to `n_tokens` - 1. Those longer than the encoder sees at a time are cut
            into windows of about equal length.
        out: a new or empty folder, or the one of a training to continue.
        n_tokens: of the codebook. prosody_model: its name, which the encoder's config keeps.
        sources: the data in the model card.

    Raises:
        BadInput: a token out of range, with its sequence and frame.
        DailytalkError: fewer than two sequences, a folder of something else or of a finished training, a disk
            without room, too little memory, losses that are no numbers, or the extra `train` is missing.
    """
    training.check_installed()
    settings = settings or TrainingSettings()
    arrays = [
        check_tokens(sequence, n_tokens, f"sequence {place}", place) for place, sequence in enumerate(sequences)
    ]
    arrays = [array for array in arrays if len(array)]
    if len(arrays) < 2:
        raise DailytalkError(
            f"there are {len(arrays)} sequences to train on", "give two or more, for one is to validate on"
        )
    order = np.random.default_rng(settings.seed).permutation(len(arrays))
    n_valid = min(len(arrays) - 1, max(1, round(settings.valid_share * len(arrays))))
    valid, train = ([arrays[place] for place in part] for part in np.split(order, [n_valid]))
    execution = {field.name for field in fields(settings) if field.metadata.get("execution")}
    record: dict[str, Any] = {
        # Those that affect the encoder.
        "settings": {name: value for name, value in asdict(settings).items() if name not in execution},
        "data": {
            "sequences": len(arrays),
            "frames": sum(map(len, arrays)),
            "valid_sequences": n_valid,
            "n_tokens": n_tokens,
            "prosody_model": prosody_model,
            "sources": [source._asdict() for source in sources],
        },
    }
    main = is_main_process()
    with contextlib.ExitStack() as stack:
        if main:
            stack.enter_context(_held(out))
        stack.enter_context(interrupts.deferred())
        stack.enter_context(quiet_transformers())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(settings.seed)
        encoder = ProsodicSequenceEncoder.of_size(
            settings.size, vocab_size=n_tokens + 2, mask_prob=settings.mask_prob, prosody_model=prosody_model
        )
        folder = training.run_folder(out / CHECKPOINTS, record, [array.tolist() for array in arrays])
        trainer = _trainer(encoder, train, valid, folder, settings)
        trainer.run()
        state, accuracy = trainer.state, dict[str, float]()
        if main:
            encoder.eval()  # type: ignore[no-untyped-call]
            counted, scored = (
                side[:: -(-len(side) // most)] for side, most in ((train, _MOST_COUNTED), (valid, _MOST_SCORED))
            )
            accuracy = masked_accuracy(encoder, counted, scored, settings.seed)
        outcome = TrainingOutcome(out, state.global_step, state.max_steps, float(state.best_metric or 0), accuracy)
        if main:
            _finish(encoder, record, outcome, state.log_history)
    return outcome


def is_main_process() -> bool:
    """Whether this process is the one of `torchrun`'s that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


class _Batches(Dataset[dict[str, torch.Tensor]]):
    """Padded batches `x` (batch, frames) with `lengths` (batch,), of sequences of like length, in random order.

    Each of `rounds` holds every sequence once, in other batches than the round before.
    """

    def __init__(
        self, sequences: Sequence[NDArray[Any]], longest: int, frames_per_batch: int, seed: int, rounds: int = 1
    ) -> None:
        self._windows = [window for sequence in sequences for window in windows_of(sequence, longest)]
        known = pd.Series([len(window) for window in self._windows])
        powers = np.ceil(np.log(known) / np.log(_LIKE_LENGTHS))
        lengths = known.groupby(powers).transform("max").to_numpy()  # of all that may share a batch
        self._batches: list[NDArray[np.intp]] = []
        rng = np.random.default_rng(seed)
        for _ in range(rounds):
            order = rng.permutation(len(lengths))
            batches = plan_batches(lengths[order].tolist(), frames_per_batch)
            self._batches += [order[batches[place]] for place in rng.permutation(len(batches))]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        x, lengths = padded([self._windows[place] for place in self._batches[number]], -100)
        return {"x": x, "lengths": lengths}


class _MaskedTrainer(training.CheckedTrainer):
    memory_remedy = "pass fewer --frames-per-batch and as many times more to --accumulate, or a smaller --size"
    rate_remedy = "begin again in another folder with a lower --learning-rate, or with --precision float32"

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        # Validation masks the same frames each time.
        generator = None if model.training else torch.Generator().manual_seed(self.args.seed)
        logits, _, targets, original = model(inputs["x"], inputs["lengths"], training=True, generator=generator)
        loss = functional.cross_entropy(logits[targets].float(), original[targets])
        return (loss, {"logits": logits}) if return_outputs else loss


def _trainer(
    encoder: ProsodicSequenceEncoder,
    train: Sequence[NDArray[Any]],
    valid: Sequence[NDArray[Any]],
    folder: Path,
    settings: TrainingSettings,
) -> _MaskedTrainer:
    device = resolve_device(settings.device)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    shape = encoder.config.pos_max_len, settings.frames_per_batch
    checks, batches = _Batches(valid, *shape, settings.seed), _Batches(train, *shape, settings.seed)
    in_step = settings.accumulate * processes
    steps = settings.steps or settings.epochs * -(-len(batches) // in_step)
    batches = _Batches(train, *shape, settings.seed, -(-steps * in_step // len(batches)))
    every = min(settings.check_every, steps)
    auto = "bfloat16" if fast_precisions(device)[0] == "bfloat16" else "float32"
    arguments = training.arguments(
        folder,
        device,
        train_sampling_strategy="sequential",
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        max_steps=steps,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=every,
        save_steps=every,
        logging_steps=every,
        metric_for_best_model="loss",
        label_names=["x"],
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup_share * steps),
        weight_decay=settings.weight_decay,
        adam_beta2=0.98,  # RoBERTa's: by 0.999 a short training's loss depends more on the seed
        adam_epsilon=1e-6,
        bf16=(auto if settings.precision == "auto" else settings.precision) == "bfloat16",
        ddp_backend="gloo" if device == "cpu" and processes > 1 else None,
        seed=settings.seed,
    )
    return _MaskedTrainer(
        encoder,
        arguments,
        settings.patience,
        train_dataset=batches,
        eval_dataset=checks,
        data_collator=itemgetter(0),  # of one batch
    )


def masked_accuracy(
    encoder: ProsodicSequenceEncoder,
    known: Sequence[NDArray[np.integer]],
    scored: Sequence[NDArray[np.integer]],
    seed: int = 0,
) -> dict[str, float]:
    """Shares of masked frames of `scored` that `encoder` predicts, and counts of `known`.

    `bigram` knows which token follows which, `unigram` how frequent each is. Only frames count of which nothing
    but the mask is seen. `seed` is of the masks.
    """
    config = encoder.config
    n_tokens = config.n_tokens
    counts = np.bincount(np.concatenate(known), minlength=n_tokens) + 1.0
    unigram = counts / counts.sum()
    pairs = np.zeros((n_tokens, n_tokens))
    for sequence in known:
        np.add.at(pairs, (sequence[:-1], sequence[1:]), 1)
    step = (pairs + unigram) / (pairs.sum(axis=1, keepdims=True) + 1)
    right, n_frames = dict.fromkeys(("encoder", "bigram", "unigram"), 0), 0
    generator = torch.Generator().manual_seed(seed)
    for window in (window for sequence in scored for window in windows_of(sequence, config.pos_max_len)):
        interrupts.check_interrupt()
        x, lengths = padded([window], n_tokens)
        masked, targets = mask_spans(x, lengths, config.mask_prob, config.vocab_size, generator)
        hidden = targets[0].numpy()
        asked = hidden & (masked[0] == config.vocab_size - 1).numpy()
        with torch.inference_mode():
            logits = encoder.network(masked.to(encoder.device)).logits[0, :, :n_tokens].float().cpu().numpy()
        # Forward and backward along the chain of tokens, from each side of a gap.
        likelihood = np.where(hidden[:, None], 1.0, np.eye(n_tokens)[window])
        before, after = np.tile(unigram, (len(window), 1)), np.ones_like(likelihood)
        for frame in range(1, len(window)):
            before[frame] = (before[frame - 1] * likelihood[frame - 1]) @ step
            before[frame] /= before[frame].sum()
        for frame in range(len(window) - 2, -1, -1):
            after[frame] = step @ (after[frame + 1] * likelihood[frame + 1])
            after[frame] /= after[frame].sum()
        predicted = {
            "encoder": logits[asked].argmax(axis=1),
            "bigram": (before * after)[asked].argmax(axis=1),
            "unigram": np.full(asked.sum(), unigram.argmax()),
        }
        n_frames += int(asked.sum())
        for name, tokens in predicted.items():
            right[name] += int((tokens == window[asked]).sum())
    return {name: round(number / max(1, n_frames), 4) for name, number in right.items()}


def _finish(
    encoder: Any, record: dict[str, Any], outcome: TrainingOutcome, history: list[dict[str, float]]
) -> None:
    """Write the encoder, its losses and its card; then the record, without which it is not finished."""
    out = outcome.out
    encoder.save_pretrained(out)
    losses = pd.DataFrame(history).groupby("step").first().reindex(columns=["loss", "eval_loss", "learning_rate"])
    losses = losses.rename(columns={"eval_loss": "valid_loss"})
    files.write_text(out / LOSSES, losses.reset_index().to_json(orient="records", double_precision=15, indent=1))
    axes = losses[["loss", "valid_loss"]].plot(marker=".", grid=True, ylabel="loss (nats a masked frame)")
    axes.figure.savefig(out / CURVES, dpi=120)
    result = {name: value for name, value in outcome._asdict().items() if name != "out"}
    record = record | {"result": result | {"parameters": encoder.num_parameters()}}
    sources = [DataSource(**source) for source in record["data"]["sources"]]
    title, tags = "Encoder of prosodic tokens", ("prosody", "speech", "embeddings")
    card = model_card("encoder_card.md", title, sources, tags, **record | {"curves": CURVES})
    files.write_text(out / "README.md", card)
    files.write_text(out / RECORD, files.json_document(record))
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold the folder of a training. Raises DailytalkError for one that holds more than checkpoints."""
    out.mkdir(parents=True, exist_ok=True)
    busy = f"{as_text(out)!r} is trained by another command"
    with files.locked(out / files.FOLDER_LOCK, busy, "wait until that has ended"):
        if {path.name for path in out.iterdir()} - {files.FOLDER_LOCK, CHECKPOINTS, *PUBLISHED}:
            raise DailytalkError(f"{as_text(out)!r} holds something else", "name a new folder")
        if (out / RECORD).exists():
            raise DailytalkError(f"{as_text(out)!r} holds an encoder already", "name a new folder")
        yield
