import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from datasets import Features, Value

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.records.schema import SOURCE, Batch
from dailytalk_contiguous.machine import resources
from dailytalk_contiguous.machine.resources import cores
from dailytalk_contiguous.run import processes
from dailytalk_contiguous.run import run as run_module
from dailytalk_contiguous.run import workers as workers_module
from dailytalk_contiguous.run.run import Pass, RunOptions, make_shards
from dailytalk_contiguous.run.shard import RunPlan
from dailytalk_contiguous.shards import PendingConversation, read_rows
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class Where(Stage):
    """Adds its process, and the threads and the memory of that; `trouble` says what a conversation `bad` does."""

    trouble: str = ""
    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features(
        {"process": Value("int64"), "threads": Value("string"), "memory": Value("int64")}
    )

    def __call__(self, batch: Batch) -> Batch:
        if "bad" in batch["conversation_id"]:
            if self.trouble == "model":
                raise ModelMissing("the model is gone", "put it back")
            if self.trouble == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "slow":
                threading.Event().wait()
        n_rows = len(batch["conversation_id"])
        memory, _ = resource.getrlimit(resource.RLIMIT_DATA)
        return {
            "process": [os.getpid()] * n_rows,
            "threads": [os.environ.get("OMP_NUM_THREADS")] * n_rows,
            "memory": [memory] * n_rows,
        }


def plan(folder: Path, *names: str, stage: Stage | None = None) -> RunPlan:
    empty = dict.fromkeys(SOURCE) | {"cues": [], "input_digest": "d", "duration": 900.0}
    groups = list[list[PendingConversation]]()
    for name in names:
        row = empty | {"conversation_id": name, "recording_id": name}
        groups.append([PendingConversation.of_row(row)])
    return Pass(folder, groups, (stage or Where(),)).plan()


def run(work: RunPlan, workers: int, stage: Stage | None = None) -> list[Path]:
    shards = make_shards(work, [stage or Where()], RunOptions(workers))
    return [shard.path for shard in shards]


def values_of(column: str, paths: list[Path]) -> set[object]:
    values = set[object]()
    for path in paths:
        values.update(row[column] for row in read_rows(path, [column]).values())
    return values


def test_one_worker_is_this_process_and_two_are_others_which_share_cores_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded_once: Callable[..., int]
) -> None:
    """These are started as those of users; those of most tests are forked (`preloaded`)."""
    monkeypatch.setattr(util, "spawnv_passfds", loaded_once)
    monkeypatch.setattr(processes, "available_memory", lambda: 10 << 30)
    for workers in (1, 2):
        work = plan(tmp_path / str(workers), "a", "b", "c")
        paths = run(work, workers)
        assert len(paths) == 3
        is_this_process = values_of("process", paths) == {os.getpid()}
        assert is_this_process == (workers == 1)
    share = max(1, cores() // 2)
    assert values_of("threads", paths) == {str(share)}
    if sys.platform == "linux" and not any(path.exists() for path in resources._GPUS):
        assert values_of("memory", paths) == {5 << 30}
    assert multiprocessing.active_children() == []


@dataclass(frozen=True)
class OnGpu(Where):
    """`Where` with Whisper base on a GPU."""

    device: str = "auto"

    def models(self) -> dict[str, str]:
        return {"recogniser": "base"}


@pytest.mark.parametrize(
    ("n_cores", "free_bytes", "names", "is_this_process"),
    [
        (2, 80 * 10**9, "abc", False),
        (8, 80 * 10**9, "a", True),
        (8, 4 * 10**9, "abc", True),
        (1, 80 * 10**9, "abc", True),
    ],
)
def test_run_on_a_gpu_has_by_default_as_many_workers_as_fit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_cores: int,
    free_bytes: int,
    names: str,
    is_this_process: bool,
) -> None:
    # What a machine has: this one may have no GPU.
    monkeypatch.setattr(run_module, "device_of", lambda device: "cuda")
    monkeypatch.setattr(workers_module, "cores", lambda: n_cores)
    monkeypatch.setattr(workers_module, "available_memory", lambda: 64 * 10**9)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (free_bytes, free_bytes))
    paths = run(plan(tmp_path, *names, stage=OnGpu()), 0, OnGpu())
    assert len(paths) == len(names)
    processes = values_of("process", paths)
    assert (processes == {os.getpid()}) == is_this_process
    assert len(processes) <= 2


@pytest.mark.parametrize(
    ("trouble", "error", "told"),
    [
        ("model", ModelMissing, "the model is gone: put it back"),
        ("killed", DailytalkError, "a worker process ended"),
    ],
)
def test_trouble_in_a_worker_reaches_the_parent_and_leaves_no_process(
    tmp_path: Path, trouble: str, error: type[Exception], told: str
) -> None:
    stage = Where(trouble)
    with pytest.raises(error, match=told):
        run(plan(tmp_path, "bad", stage=stage), 2, stage)
    assert multiprocessing.active_children() == []
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())


def test_run_that_is_given_up_ends_its_workers_and_keeps_what_is_finished(tmp_path: Path) -> None:
    stage = Where("slow")
    work = plan(tmp_path, "good", "bad", stage=stage)
    made = make_shards(work, [stage], RunOptions(2))
    first = next(made).path
    made.close()
    assert multiprocessing.active_children() == []
    assert list(tmp_path.glob("*.parquet")) == [first]
