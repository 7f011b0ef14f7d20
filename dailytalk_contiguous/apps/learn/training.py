"""The loop that trains every network here: transformers' `Trainer`, made repeatable.

A batch follows from the seed and its number alone, so a training that continues after Ctrl-C, SIGKILL or a power
cut has the losses of one that was never stopped. A checkpoint counts once a mark is written into it, after all of
it is on the disk; the last one records whether the training is finished.
"""

import contextlib
import errno
import importlib.util
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch.utils.data import Dataset
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.devices import is_out_of_memory
from dailytalk_contiguous.store import files

#: The mark of a checkpoint that is whole.
WHOLE = "whole"

#: The messages of safetensors and PyTorch on a full disk.
_DISK_IS_FULL = ("No space left", "File too large", "failed writing")


def check_installed() -> None:
    if importlib.util.find_spec("accelerate") is None:
        raise DailytalkError("training needs accelerate", "pip install 'dailytalk-contiguous[train]'")


@contextlib.contextmanager
def disk_room(what: str, folder: Path) -> Iterator[None]:
    """Report in one sentence that the disk has no room for `what`; each writer has its own message."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if not is_full and not any(words in str(error) for words in _DISK_IS_FULL):
            raise
        raise DailytalkError(
            f"the disk has no room for {what} in {as_text(folder)!r}",
            "free some space and run the same command again: it goes on from the last checkpoint",
        ) from None


def seed_of(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0])


class Batches(Dataset[dict[str, Any]], ABC):
    """Batches, epoch after epoch: item i is batch i of all, and depends only on the seed and i.

    `in_epoch` is the number of batches that cover everything once, `n_batches` of all epochs.
    """

    def __init__(self, in_epoch: int) -> None:
        self.in_epoch = self.n_batches = in_epoch
        self._plan = lru_cache(maxsize=2)(self.plan)

    @abstractmethod
    def plan(self, epoch: int) -> Sequence[list[int]]:
        """The rows of each batch of an epoch."""

    @abstractmethod
    def batch(self, rows: list[int], number: int) -> dict[str, Any]:
        """Rows as batch `number` of all."""

    def __len__(self) -> int:
        return self.n_batches

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not 0 <= number < self.n_batches:
            raise IndexError(number)
        epoch, place = divmod(number, self.in_epoch)
        return self.batch(self._plan(epoch)[place], number)


class Watch(TrainerCallback):
    """Ends a training by Ctrl-C with a checkpoint, and if a loss is no number; reports each loss."""

    def __init__(self, rate_remedy: str, on_step: Callable[[int, int, float], None] | None = None) -> None:
        self._rate_remedy, self._on_step = rate_remedy, on_step
        self.interrupted = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        try:
            interrupts.check_interrupt()
        except KeyboardInterrupt:
            self.interrupted = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.interrupted:  # only now, since a checkpoint with this says that the training is finished
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        for name in ("loss", "eval_loss"):
            if name in (logs or {}) and not np.isfinite(logs[name]):
                raise DailytalkError(
                    f"the loss is {logs[name]} after {state.global_step} steps", self._rate_remedy
                )
        if self._on_step and "loss" in (logs or {}):
            self._on_step(state.global_step, state.max_steps, logs["loss"])


class RepeatableTrainer(Trainer, ABC):
    """`Trainer` on `Batches`, each an item, with one device a process.

    Args:
        folder: of its checkpoints. steps: updates of the weights. check_every: steps between two validations, each
            with a checkpoint. patience: validations without a smaller loss after which it stops.
        on_step: is called after each step with its number, the number of all, and its loss.
        arguments: others of `TrainingArguments`.
    """

    model: Any

    #: The remedies for a batch that does not fit into memory, and for a loss that is no number.
    memory_remedy = rate_remedy = ""

    def __init__(
        self,
        network: torch.nn.Module,
        batches: Batches,
        folder: Path,
        steps: int,
        check_every: int,
        patience: EarlyStoppingCallback,
        device: str,
        on_step: Callable[[int, int, float], None] | None = None,
        optimizers: Any = (None, None),
        **arguments: Any,
    ) -> None:
        self._folder, self._watch = folder, Watch(self.rate_remedy, on_step)
        every = min(check_every, steps)
        settings = TrainingArguments(
            output_dir=os.fspath(folder),
            per_device_train_batch_size=1,
            train_sampling_strategy="sequential",
            max_steps=steps,
            use_cpu=device == "cpu",
            eval_strategy="steps",
            save_strategy="steps",
            eval_steps=every,
            save_steps=every,
            save_total_limit=3,  # the best, the last, and the one before that, until the last has its mark
            load_best_model_at_end=True,
            metric_for_best_model="loss",
            restore_callback_states_from_checkpoint=True,
            logging_nan_inf_filter=False,
            remove_unused_columns=False,
            dataloader_pin_memory=device != "cpu",
            report_to="none",
            disable_tqdm=True,
            log_level="error",
            **arguments,
        )
        settings._n_gpu = min(settings.n_gpu, 1)  # several GPUs are several processes, each with its own batches
        super().__init__(
            network,
            settings,
            train_dataset=batches,
            eval_dataset=batches,
            data_collator=itemgetter(0),  # of one
            callbacks=[patience, self._watch],
            optimizers=optimizers,
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """The `loss` on the validation data, and other figures."""

    @torch.no_grad()
    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        self.model.eval()
        metrics = {f"eval_{name}": value for name, value in self.validate().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = self._folder / f"checkpoint-{self.state.global_step}"
            for path in folder.iterdir():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
            files.sync_folder(folder.parent)
            files.write_text(folder / WHOLE, "")

    def run(self) -> None:
        """Train from the last whole checkpoint, or from the beginning, to the model with the least loss."""
        last = self._last_checkpoint()
        if last is not None:
            state = TrainerState.load_from_json(os.fspath(last / TRAINER_STATE_NAME))
            if state.stateful_callbacks["TrainerControl"]["args"]["should_training_stop"]:
                state.best_model_checkpoint = os.fspath(self._folder / f"checkpoint-{state.best_global_step}")
                self.state = state
                self._load_best_model()
                return
        try:
            self.train(resume_from_checkpoint=os.fspath(last) if last else None)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise DailytalkError(
                f"a batch does not fit into memory ({str(error).splitlines()[0]})", self.memory_remedy
            ) from error
        if self._watch.interrupted:
            raise KeyboardInterrupt
        # Continuing needs files several times as large as the best weights.
        best = self._folder / f"checkpoint-{self.state.best_global_step}"
        for path in self._folder.glob("checkpoint-*/*") if self.args.should_save else ():
            if path.name not in (TRAINER_STATE_NAME, WHOLE) and (path.parent != best or path.suffix == ".pt"):
                path.unlink()

    def _last_checkpoint(self) -> Path | None:
        whole = []
        for path in self._folder.glob("checkpoint-*"):
            number = path.name.removeprefix("checkpoint-")
            if not number.isdecimal():
                continue
            if (path / WHOLE).is_file():
                whole.append((int(number), path))
            elif self.args.should_save:
                shutil.rmtree(path)
        return max(whole)[1] if whole else None
