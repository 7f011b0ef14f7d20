"""The loop that trains every network here: transformers' `Trainer`, which goes on after a stop."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from dailytalk_contiguous.cli.terminal import say


def arguments(folder: Path, device: str, **further: Any) -> TrainingArguments:
    """Arguments of a training whose checkpoints are in a folder, and that keeps the weights of the least loss."""
    result = TrainingArguments(
        output_dir=os.fspath(folder),
        use_cpu=device == "cpu",
        save_total_limit=2,
        load_best_model_at_end=True,
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        **further,
    )
    result._n_gpu = min(result.n_gpu, 1)
    return result


def run_folder(folder: Path, *facts: object) -> Path:
    """The folder of the checkpoints of a training with these facts, which are all that decides its result."""
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()
    return folder / digest[:16]


class _Progress(TrainerCallback):
    """Shows the losses of a training."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        losses = [f"{name} {value:.4f}" for name, value in (logs or {}).items() if name.endswith("loss")]
        if losses:
            say(f"step {state.global_step:,} of {state.max_steps:,}: {', '.join(losses)}")


class ResumingTrainer(Trainer):
    """`Trainer` that goes on after a stop.

    Args:
        network: to train.
        arguments: made by the function `arguments`.
        patience: validations without a smaller loss after which training ends. By 0 it does not end early, for a
            loss often falls only once the learning rate does.
        further: arguments of `Trainer`.
    """

    def __init__(
        self, network: torch.nn.Module, arguments: TrainingArguments, patience: int = 0, **further: Any
    ) -> None:
        callbacks: list[TrainerCallback] = [_Progress()]
        if patience:
            callbacks.insert(0, EarlyStoppingCallback(patience))
        super().__init__(network, arguments, callbacks=callbacks, **further)
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False

    def run(self) -> None:
        """Train from the last whole checkpoint, or from the beginning, to the network with the least loss."""
        folder = Path(str(self.args.output_dir))
        # The state is the last file of a checkpoint: one without it was not finished.
        whole: dict[int, str] = {}
        for path in folder.glob(f"checkpoint-*/{TRAINER_STATE_NAME}"):
            step = int(path.parent.name.removeprefix("checkpoint-"))
            whole[step] = os.fspath(path.parent)
        last = whole[max(whole)] if whole else None
        self.train(resume_from_checkpoint=last)
