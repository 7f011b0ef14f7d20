"""The loop that trains every network here: transformers' `Trainer`, which goes on after a stop."""

import errno
import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from dailytalk_contiguous.cli.terminal import say
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.devices import is_out_of_memory

#: The messages of safetensors and PyTorch on a full disk.
_DISK_IS_FULL = ("No space left", "File too large", "failed writing")


def check_installed() -> None:
    if importlib.util.find_spec("accelerate") is None:
        raise DailytalkError("training needs accelerate", "pip install 'dailytalk-contiguous[train]'")


def arguments(folder: Path, device: str, **further: Any) -> TrainingArguments:
    """Arguments of a training whose checkpoints are in a folder, and that keeps the best weights."""
    made = TrainingArguments(
        output_dir=os.fspath(folder),
        use_cpu=device == "cpu",
        save_total_limit=2,
        load_best_model_at_end=True,
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        **further,
    )
    made._n_gpu = min(made.n_gpu, 1)  # several GPUs are several processes, each with its own batches
    return made


def run_folder(folder: Path, *facts: Any) -> Path:
    """The folder of the checkpoints of a training with these facts, of all that decides what comes out."""
    return folder / hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


class _Watch(TrainerCallback):
    """Ends a training by Ctrl-C with a checkpoint, and if a loss is no number; prints each validation."""

    def __init__(self, rate_remedy: str) -> None:
        self._rate_remedy, self.interrupted = rate_remedy, False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        try:
            interrupts.check_interrupt()
        except KeyboardInterrupt:
            self.interrupted = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.interrupted:  # only now, since a checkpoint with this says that the training is finished
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        losses = {name: value for name, value in (logs or {}).items() if name.endswith("loss")}
        if not np.isfinite([*losses.values()]).all():
            raise DailytalkError(f"the loss is no number after {state.global_step} steps", self._rate_remedy)
        if losses and state.is_world_process_zero:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
            say(f"step {state.global_step:,} of {state.max_steps:,}: {shown}")


class CheckedTrainer(Trainer):
    """`Trainer` whose errors are sentences, and that goes on from its last whole checkpoint.

    Args:
        arguments: of `arguments`. patience: validations without a smaller loss after which it stops.
        further: arguments of `Trainer`.
    """

    #: The remedies for a batch that does not fit into memory, and for a loss that is no number.
    memory_remedy = rate_remedy = ""

    def __init__(self, network: Any, arguments: TrainingArguments, patience: int, **further: Any) -> None:
        self._watch = _Watch(self.rate_remedy)
        callbacks = [EarlyStoppingCallback(patience), self._watch]
        super().__init__(network, arguments, callbacks=callbacks, **further)
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False

    def run(self) -> None:
        """Train from the last whole checkpoint, or from the beginning, to the network with the least loss.

        Raises DailytalkError if the disk or memory has no room, or a loss is no number.
        """
        folder = Path(str(self.args.output_dir))
        # The state is the last file of a checkpoint: one without it was not finished.
        whole = [path.parent for path in folder.glob(f"checkpoint-*/{TRAINER_STATE_NAME}")]
        last = max(whole, key=lambda path: int(path.name.partition("-")[2]), default=None)
        try:
            self.train(resume_from_checkpoint=os.fspath(last) if last else None)
        except (OSError, RuntimeError, SafetensorError) as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise DailytalkError("a batch does not fit into memory", self.memory_remedy) from error
            is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            if not is_full and not any(words in str(error) for words in _DISK_IS_FULL):
                raise
            raise DailytalkError(
                f"the disk has no room for a checkpoint in {as_text(folder)!r}",
                "make room, and run the same command again: it goes on",
            ) from error
        if self._watch.interrupted:
            raise KeyboardInterrupt
