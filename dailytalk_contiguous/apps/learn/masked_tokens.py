"""Training of the encoder of prosodic tokens: it predicts masked spans of frames from their surroundings."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional

from dailytalk_contiguous.apps.learn import training
from dailytalk_contiguous.apps.learn.folds import check_installed
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import SEED, VALID_SHARE, check_values, setting, unlisted
from dailytalk_contiguous.machine.own_file import refuse_in_import
from dailytalk_contiguous.models.affect import fast_precisions
from dailytalk_contiguous.models.devices import DEVICES, resolve_device
from dailytalk_contiguous.models.prosodic_encoder import (
    SIZES,
    ProsodicSequenceEncoder,
    padded,
    quiet_transformers,
    windows_of,
)
from dailytalk_contiguous.models.prosodic_sequences import check_tokens
from dailytalk_contiguous.store import files

#: The file of a finished training: data, settings, losses and result.
RECORD = "training.json"

#: The highest learning rate of each size.
LEARNING_RATES = {"tiny": 6e-4, "small": 3e-4, "default": 3e-4, "large": 3e-4}

#: Folder of checkpoints while a training runs.
CHECKPOINTS = "checkpoints"

#: The tokens of an utterance, or of a window of it.
_Sequence = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of an encoder's training. Raises DailytalkError for a value out of range."""

    size: str = setting("default", "Size of the encoder: {choices}.", panel="models", choices=tuple(SIZES))
    epochs: int = unlisted(10, "Times that every utterance is seen.", panel="result", least=1)
    steps: int = setting(
        0, "Updates of the weights.", panel="result", least=0, shown="what ten times through the utterances need"
    )
    batch: int = setting(32, "Utterances in one update of the weights.", least=1, most=4096, hidden=True)
    valid_share: float = setting(0.05, replace(VALID_SHARE, least=0.001))
    check_every: int = unlisted(200, "Steps between two validations, each with a checkpoint.", least=1)
    patience: int = unlisted(
        5, "Validations without a smaller loss after which training stops.", panel="result", least=1
    )
    seed: int = setting(0, SEED)
    device: str = setting("auto", "Where models run: {choices}.", execution=True, panel="models", choices=DEVICES)

    def __post_init__(self) -> None:
        check_values(self)


class TrainingOutcome(NamedTuple):
    """The result of a training.

    Attributes:
        out: the folder of the encoder.
        steps: updates of the weights.
        planned: updates that were planned.
        valid_loss: the smallest, in nats a masked frame; that of the saved encoder.
        unigram_loss: the loss of a guess that only knows how frequent each token is.
    """

    out: Path
    steps: int
    planned: int
    valid_loss: float
    unigram_loss: float


def train_encoder(
    sequences: Sequence[ArrayLike],
    out: Path,
    settings: TrainingSettings | None = None,
    n_tokens: int = 120,
    prosody_model: str = "",
) -> TrainingOutcome:
    """Train an encoder on sequences of tokens, and save it, ready for `from_pretrained`.

    A training that was stopped goes on from its last checkpoint when it is called again.

    Args:
        sequences: of whole numbers from 0 to `n_tokens` - 1. Longer ones than the encoder sees at a time are cut
            into windows of about equal length.
        out: a new or empty folder, or the one of a training to continue.
        settings: of the training; None for the defaults.
        n_tokens: of the codebook.
        prosody_model: the name of the codebook, which the encoder's config keeps.

    Raises:
        BadInput: a token out of range, with its sequence and frame.
        DailytalkError: fewer than two sequences, a folder of something else or of a finished training, or the
            extra `train` is missing.
    """
    refuse_in_import("trains an encoder")
    check_installed("accelerate", "train")
    settings = settings or TrainingSettings()
    arrays = _usable(sequences, n_tokens)
    _check_new(out)
    train, valid = _divided(arrays, settings)
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoder = ProsodicSequenceEncoder.of_size(
            settings.size, vocab_size=n_tokens + 2, prosody_model=prosody_model
        )
        facts = asdict(settings) | {"device": ""}
        all_tokens = [array.tolist() for array in arrays]
        run = training.run_folder(out / CHECKPOINTS, facts, prosody_model, all_tokens)
        trainer = _trainer(encoder, train, valid, run, settings)
        trainer.run()
        encoder.save_pretrained(out)
    counts = np.bincount(np.concatenate(train), minlength=n_tokens) + 1.0
    logarithms = np.log(counts / counts.sum())
    unigram_loss = -float(logarithms[np.concatenate(valid)].mean())
    state = trainer.state
    outcome = TrainingOutcome(
        out,
        steps=state.global_step,
        planned=state.max_steps,
        valid_loss=float(state.best_metric or 0),
        unigram_loss=unigram_loss,
    )
    n_frames = sum(len(array) for array in arrays)
    result = outcome._asdict()
    result["out"] = as_text(out)
    result["parameters"] = encoder.num_parameters()
    record = {
        "settings": asdict(settings),
        "data": {"sequences": len(arrays), "frames": n_frames, "prosody_model": prosody_model},
        "result": result,
        "losses": state.log_history,
    }
    files.write_text(out / RECORD, files.json_document(record))
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return outcome


def _usable(sequences: Sequence[ArrayLike], n_tokens: int) -> list[_Sequence]:
    """The sequences that are not empty.

    Raises BadInput for a token out of range, and DailytalkError for fewer than two sequences.
    """
    arrays: list[_Sequence] = []
    for index, sequence in enumerate(sequences):
        check_tokens(sequence, n_tokens, f"sequence {index}", index)
        array = np.asarray(sequence, np.int64)
        if len(array):
            arrays.append(array)
    if len(arrays) < 2:
        raise DailytalkError(
            f"there are {len(arrays)} sequences to train on", "give two or more, because one is for validation"
        )
    return arrays


def _check_new(out: Path) -> None:
    """Raise DailytalkError for a folder that holds more than the checkpoints of a training."""
    if not out.exists():
        return
    names = {path.name for path in out.iterdir()}
    if names - {CHECKPOINTS}:
        content = "an encoder already" if (out / RECORD).exists() else "something else"
        raise DailytalkError(f"{as_text(out)!r} holds {content}", "name a new folder")


def _divided(
    sequences: Sequence[_Sequence], settings: TrainingSettings
) -> tuple[list[_Sequence], list[_Sequence]]:
    """The sequences to train on and those to validate on, drawn by the seed; at least one each."""
    order = np.random.default_rng(settings.seed).permutation(len(sequences))
    wanted = max(1, round(settings.valid_share * len(sequences)))
    n_valid = min(len(sequences) - 1, wanted)
    train = [sequences[index] for index in order[n_valid:]]
    valid = [sequences[index] for index in order[:n_valid]]
    return train, valid


class _Example(TypedDict):
    """A window of tokens, by the name by which `Trainer` measures its length."""

    input_ids: _Sequence


class _MaskedTrainer(training.ResumingTrainer):
    """Trains by cross-entropy of the masked frames."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:
        # Validation masks the same frames each time.
        generator = None if model.training else torch.Generator().manual_seed(self.args.seed)
        outputs = model(inputs["x"], inputs["lengths"], training=True, generator=generator)
        logits, _, targets, original = outputs
        loss = functional.cross_entropy(logits[targets].float(), original[targets])
        return (loss, {"logits": logits}) if return_outputs else loss


def _collated(items: Sequence[_Example]) -> dict[str, torch.Tensor]:
    x, lengths = padded([item["input_ids"] for item in items], -100)
    return {"x": x, "lengths": lengths}


def _examples(sequences: Sequence[_Sequence], longest: int) -> list[_Example]:
    """The windows of sequences, at most so many frames each."""
    examples: list[_Example] = []
    for sequence in sequences:
        examples += [{"input_ids": window} for window in windows_of(sequence, longest)]
    return examples


def _trainer(
    encoder: ProsodicSequenceEncoder,
    train: Sequence[_Sequence],
    valid: Sequence[_Sequence],
    folder: Path,
    settings: TrainingSettings,
) -> _MaskedTrainer:
    device = resolve_device(settings.device)
    precision, *_ = fast_precisions(device)
    longest = encoder.config.pos_max_len
    examples = _examples(train, longest)
    checks = _examples(valid, longest)
    steps_of_epoch = math.ceil(len(examples) / settings.batch)
    steps = settings.steps or settings.epochs * steps_of_epoch
    every = min(settings.check_every, steps)
    arguments = training.arguments(
        folder,
        device,
        train_sampling_strategy="group_by_length",
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch,
        prediction_loss_only=True,
        max_steps=steps,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=every,
        save_steps=every,
        logging_steps=every,
        metric_for_best_model="loss",
        label_names=["x"],
        learning_rate=LEARNING_RATES[settings.size],
        lr_scheduler_type="cosine",
        warmup_steps=0.06,
        weight_decay=0.01,
        adam_beta2=0.98,  # RoBERTa's: by 0.999 a short training's loss depends more on the seed
        adam_epsilon=1e-6,
        bf16=precision == "bfloat16",
        seed=settings.seed,
    )
    return _MaskedTrainer(
        encoder,
        arguments,
        settings.patience,
        train_dataset=examples,
        eval_dataset=checks,
        data_collator=_collated,
    )
