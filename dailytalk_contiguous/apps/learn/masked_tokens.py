"""Training of the encoder of prosodic tokens: it predicts masked spans of frames from their surroundings.

The loop is that of `learn.training`. A batch and its masks follow from the seed and the batch's number alone.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional
from transformers import EarlyStoppingCallback

from dailytalk_contiguous.apps.learn import training
from dailytalk_contiguous.apps.learn.masked_scores import digest_of, score_predictions, split_sequences
from dailytalk_contiguous.apps.learn.model_cards import DataSource, card_opening, source_lines
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, as_text, expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.settings import SEED, check_values, setting
from dailytalk_contiguous.models import prosodic_encoder
from dailytalk_contiguous.models.affect import fast_precisions
from dailytalk_contiguous.models.devices import DEVICES, plan_batches, resolve_device
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

#: The most losses in the record: of a long training, means of several steps.
MOST_LOSSES = 10_000

#: Sequences for counts, and scored ones, for a training's record: enough for a percent.
_MOST_COUNTED, _MOST_SCORED = 5000, 400

#: How much longer than the shortest the longest sequence of a batch may be.
_LIKE_LENGTHS = 1.1

_RECORD_SHAPE = {"settings": dict, "data": dict, "finished": bool, "result": dict}


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of an encoder's training. Raises DailytalkError for a value out of range."""

    size: str = setting(
        "default", "Of the encoder: {choices}.", panel="models", choices=tuple(prosodic_encoder.SIZES)
    )
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
        nats a masked frame; that of the saved encoder. valid_accuracy: share of masked frames that it predicts.
        losses: as in `LOSSES`. accuracy: shares of invisible frames that `encoder`, `bigram` (which token follows
        which) and `unigram` (how frequent each is) predict; empty in a process that writes nothing.
        stopped_early: whether `patience` ended it. done_before: whether it was finished before.
    """

    out: Path
    steps: int
    planned: int
    valid_loss: float
    valid_accuracy: float
    losses: list[dict[str, float]]
    accuracy: dict[str, float]
    stopped_early: bool
    done_before: bool = False


def train_encoder(
    sequences: Sequence[ArrayLike],
    out: Path,
    settings: TrainingSettings | None = None,
    n_tokens: int = 120,
    prosody_model: str = "",
    sources: Sequence[DataSource] = (),
    on_step: Callable[[int, int, float], None] | None = None,
) -> TrainingOutcome:
    """Train an encoder on sequences of tokens, and save it, ready for `from_pretrained`.

    The same sequences and settings give the same encoder on the same machine, also when the training was stopped
    and called again. Under `torchrun` each process calls this and trains on its share of every step's batches.

    Args:
        sequences: of whole numbers from 0 to `n_tokens` - 1. Those longer than the encoder sees at a time are cut
            into windows of about equal length.
        out: a new or empty folder, or the one of a training to continue.
        n_tokens: of the codebook. prosody_model: its name, which the encoder's config keeps.
        sources: the data in the model card.
        on_step: is called after each step with its number, the number of all, and its loss.

    Raises:
        BadInput: a token out of range, with its sequence and frame.
        DailytalkError: fewer than two sequences, a folder of something else or of another training, a disk without
            room, too little memory, losses that are no numbers, or the extra `train` is missing.
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
    with torch.random.fork_rng(devices=[]), prosodic_encoder.quiet_transformers():
        torch.manual_seed(settings.seed)
        encoder = prosodic_encoder.ProsodicSequenceEncoder.of_size(
            settings.size, vocab_size=n_tokens + 2, mask_prob=settings.mask_prob, prosody_model=prosody_model
        )
    train, valid = split_sequences(arrays, settings.valid_share, settings.seed)
    execution = {field.name for field in fields(settings) if field.metadata.get("execution")}
    record = {
        # Those that affect the encoder.
        "settings": {name: value for name, value in asdict(settings).items() if name not in execution},
        "data": {
            "sha256": digest_of(arrays),
            "sequences": len(arrays),
            "frames": sum(map(len, arrays)),
            "valid_sequences": len(valid),
            "n_tokens": n_tokens,
            "prosody_model": prosody_model,
            "sources": [source._asdict() for source in sources],
        },
    }
    batches, checks = (
        TokenBatches(
            [
                window
                for array in side
                for window in prosodic_encoder.windows_of(array, encoder.config.pos_max_len)
            ],
            settings.frames_per_batch,
            settings.seed + number,
        )
        for number, side in enumerate((train, valid))
    )
    main = is_main_process()
    with _held(out) if main else contextlib.nullcontext():
        if (finished := _begun(out, record, main)) is not None:
            return finished
        megabytes = 3 * 4 * encoder.num_parameters() / 1e6
        with (
            training.disk_room(f"a checkpoint of {megabytes:,.0f} MB", out),
            interrupts.deferred(),
            prosodic_encoder.quiet_transformers(),
        ):
            trainer = _trainer(encoder, batches, checks, out, settings, on_step)
            trainer.run()
            interrupts.check_interrupt()
            result = _result(trainer)
            if main:
                encoder.eval()  # type: ignore[no-untyped-call]
                counted = train[:: -(-len(train) // _MOST_COUNTED)]
                scored = valid[:: -(-len(valid) // _MOST_SCORED)]
                people = [str(place) for place in range(len(scored))]
                predictions = score_predictions(encoder, counted, scored, people, settings.seed)
                accuracy = {prediction.model: prediction.accuracy.value for prediction in predictions}
                result["accuracy"] = {model: round(accuracy[model], 4) for model in prosodic_encoder.MASKED_MODELS}
                _finish(encoder, out, record, result)
    return _outcome(out, result, False)


def is_main_process() -> bool:
    """Whether this process is the one of `torchrun`'s that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


class TokenBatches(training.Batches):
    """Padded batches of sequences of like length, epoch after epoch without end: item i is batch i of all.

    Each item has `x` (batch, frames), `lengths` (batch,) and `seed`, of its masks.
    """

    def __init__(self, sequences: Sequence[NDArray[Any]], frames_per_batch: int, seed: int) -> None:
        self._sequences, self._frames_per_batch, self._seed = sequences, frames_per_batch, seed
        powers = np.ceil(np.log([len(sequence) for sequence in sequences]) / np.log(_LIKE_LENGTHS))
        self._steps_of_length = np.round(_LIKE_LENGTHS**powers).astype(int)
        super().__init__(len(plan_batches(self._steps_of_length.tolist(), frames_per_batch)))

    def batch(self, rows: list[int], number: int) -> dict[str, Any]:
        x, lengths = prosodic_encoder.padded([self._sequences[row] for row in rows], -100)
        return {"x": x, "lengths": lengths, "seed": training.seed_of(self._seed, number)}

    def plan(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng((self._seed, 1, epoch))
        order = rng.permutation(len(self._sequences))
        batches = plan_batches(self._steps_of_length[order].tolist(), self._frames_per_batch)
        return [order[batches[place]].tolist() for place in rng.permutation(len(batches))]


class _MaskedTrainer(training.RepeatableTrainer):
    memory_remedy = "pass fewer --frames-per-batch and as many times more to --accumulate, or a smaller --size"
    rate_remedy = "begin again in another folder with a lower --learning-rate, or with --precision float32"

    def __init__(self, *args: Any, checks: TokenBatches, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._checks = checks

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        predicted, truth = _masked(model, inputs)
        loss = functional.cross_entropy(predicted, truth)
        return (loss, {"logits": predicted}) if return_outputs else loss

    def validate(self) -> dict[str, float]:
        """Loss in nats and accuracy of the masked frames of all validation sequences, always masked alike."""
        loss, right, count = 0.0, 0, 0
        for place in range(self._checks.in_epoch):
            predicted, truth = _masked(self.model, self._prepare_inputs(self._checks[place]))
            loss += float(functional.cross_entropy(predicted, truth, reduction="sum"))
            right += int((predicted.argmax(dim=-1) == truth).sum())
            count += len(truth)
        return {"loss": loss / count, "accuracy": right / count}


def _masked(model: Any, inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(inputs["seed"])
    logits, _, targets, original = model(inputs["x"], inputs["lengths"], training=True, generator=generator)
    return logits[targets].float(), original[targets]


def _trainer(
    encoder: prosodic_encoder.ProsodicSequenceEncoder,
    batches: TokenBatches,
    checks: TokenBatches,
    out: Path,
    settings: TrainingSettings,
    on_step: Callable[[int, int, float], None] | None,
) -> _MaskedTrainer:
    device = resolve_device(settings.device)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    step = settings.accumulate * processes  # batches of one
    steps = settings.steps or -(-settings.epochs * batches.in_epoch // step)
    batches.n_batches = steps * step
    auto = "bfloat16" if fast_precisions(device)[0] == "bfloat16" else "float32"
    return _MaskedTrainer(
        encoder,
        batches,
        out / CHECKPOINTS,
        steps,
        settings.check_every,
        EarlyStoppingCallback(settings.patience),
        device,
        on_step,
        checks=checks,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup_share * steps),
        weight_decay=settings.weight_decay,
        bf16=(auto if settings.precision == "auto" else settings.precision) == "bfloat16",
        ddp_backend="gloo" if device == "cpu" and processes > 1 else None,
        logging_steps=max(1, steps // MOST_LOSSES),
        seed=settings.seed,
    )


def _result(trainer: _MaskedTrainer) -> dict[str, Any]:
    names = {"loss": "loss", "learning_rate": "learning_rate"}
    names |= {"eval_loss": "valid_loss", "eval_accuracy": "valid_accuracy"}
    losses: dict[int, dict[str, float]] = {}
    for entry in trainer.state.log_history:
        row = losses.setdefault(int(entry["step"]), {"step": entry["step"]})
        row |= {names[name]: value for name, value in entry.items() if name in names}
    rows = [losses[step] for step in sorted(losses)]
    best = min((row for row in rows if "valid_loss" in row), key=lambda row: row["valid_loss"])
    return {
        "steps": trainer.state.global_step,
        "planned": trainer.state.max_steps,
        "valid_loss": best["valid_loss"],
        "valid_accuracy": best["valid_accuracy"],
        "losses": rows,
        "accuracy": {},
    }


def _finish(encoder: Any, out: Path, record: dict[str, Any], result: dict[str, Any]) -> None:
    """Write the encoder, its losses and its card; then the record, which marks it as finished."""
    encoder.config.masked_accuracy = [*result["accuracy"].values()]
    encoder.save_pretrained(out)
    files.write_text(out / LOSSES, files.json_document(result["losses"]))
    _draw_losses(result["losses"], out / CURVES)
    result = {name: value for name, value in result.items() if name != "losses"}
    result["parameters"] = encoder.num_parameters()
    files.write_text(out / "README.md", encoder_card(record | {"result": result}))
    files.write_text(out / RECORD, files.json_document(record | {"finished": True, "result": result}))
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def _outcome(out: Path, result: dict[str, Any], done_before: bool) -> TrainingOutcome:
    figures = {name: value for name, value in result.items() if name in TrainingOutcome._fields}
    stopped_early = result["steps"] < result["planned"]
    return TrainingOutcome(out, **figures, stopped_early=stopped_early, done_before=done_before)


def _begun(out: Path, record: dict[str, Any], main: bool) -> TrainingOutcome | None:
    """The outcome of a finished training; None for one to start or continue.

    Raises DailytalkError for a folder of something else, or of a training of other data or settings.
    """
    if (out / RECORD).is_file():
        known = read_record(out)
        for what in ("settings", "data"):
            new, begun = record[what], known[what]
            if changed := sorted(name for name in new.keys() | begun.keys() if new.get(name) != begun.get(name)):
                raise DailytalkError(
                    f"{as_text(out)!r} is of a training with other {what} ({', '.join(changed)})",
                    "name another folder, or pass what it was begun with",
                )
        if known["finished"]:
            losses = parse_json((out / LOSSES).read_bytes(), LOSSES, limit=MOST_OWN_BYTES)
            return _outcome(out, known["result"] | {"losses": losses}, True)
    elif main:
        if any(path.name != files.FOLDER_LOCK for path in out.iterdir()):
            raise DailytalkError(f"{as_text(out)!r} holds something else", "name a new folder")
        files.write_text(out / RECORD, files.json_document(record | {"finished": False, "result": {}}))
    return None


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a training. Raises DailytalkError for a folder that holds none."""
    remedy = "name a folder of `dailytalk tokens train`"
    try:
        record = parse_json((folder / RECORD).read_bytes(), RECORD, limit=MOST_OWN_BYTES)
        expect(record, _RECORD_SHAPE, RECORD, remedy)
    except (OSError, BadInput) as error:
        raise DailytalkError(f"{as_text(folder / RECORD)!r} can't be read ({error})", remedy) from None
    return dict(record)


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DailytalkError(f"{as_text(out)!r} can't be made ({error.strerror})", "name another folder") from None
    busy = f"{as_text(out)!r} is trained by another command"
    with files.locked(out / files.FOLDER_LOCK, busy, "wait until that has ended"):
        yield


def _draw_losses(losses: list[dict[str, float]], path: Path) -> None:
    import matplotlib.figure  # takes a second

    figure = matplotlib.figure.Figure((8, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss (nats a masked frame)")
    for name, label in (("loss", "training"), ("valid_loss", "validation")):
        axes.plot(*zip(*((row["step"], row[name]) for row in losses if name in row), strict=True), label=label)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def encoder_card(record: dict[str, Any]) -> str:
    data, settings, result = record["data"], record["settings"], record["result"]
    sources = [DataSource(source["name"], source["licence"]) for source in data["sources"]]
    shares = "\n".join(f"| {model} | {share:.1%} |" for model, share in result["accuracy"].items())
    opening = "\n".join(card_opening("Encoder of prosodic tokens", sources, ("prosody", "speech", "embeddings")))
    table = "\n".join(source_lines(sources))
    return f"""{opening}
A transformer of size {settings["size"]} ({result["parameters"] / 1e6:.1f} million parameters) that turns the prosodic tokens of an
utterance ({data["n_tokens"]}, one every 16 ms) into one embedding of how it is said. Words are not part of it.

```python
from dailytalk_contiguous import ProsodicSequenceEncoder

encoder = ProsodicSequenceEncoder.from_pretrained("OWNER/NAME")
embeddings = encoder.embed([[0, 17, 17, 40], [0, 3]])  # float32, an embedding a sequence
```

## Data

{data["sequences"]:,} utterances, {data["frames"] * 0.016 / 3600:,.2f} hours of tokens; {data["valid_sequences"]:,} of them only to validate on.

{table}
## Training

Spans of 10, 5, 3 and 1 frames are masked ({settings["mask_prob"]:.0%} of all frames) and predicted. {result["steps"]:,} of
{result["planned"]:,} planned steps with AdamW (learning rate {settings["learning_rate"]:g}, seed {settings["seed"]}); the weights with the
smallest validation loss are kept.

![Losses]({CURVES})

| on utterances that were not trained on | |
|---|---|
| loss of a masked frame | {result["valid_loss"]:.4f} nats |
| perplexity | {np.exp(result["valid_loss"]):.2f} of {data["n_tokens"]} |
| of frames of which only the mask is seen, predicted by | |
{shares}

## Limits

Tokens of another codebook mean something else: encode with the one that this was trained with. An embedding holds
traces of who speaks, and is no proof of what somebody feels.
"""  # noqa: E501 (lines of the card)
