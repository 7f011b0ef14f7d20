import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from typing import Any, ClassVar

import pytest
from datasets import Features, Value

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.schema import SOURCE, Batch
from dailytalk_contiguous.run import local, processes
from dailytalk_contiguous.shards import ShardIndex, read_rows
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class Where(Stage):
    """Adds the process that it runs in and its threads; `trouble` says what a conversation named `bad` does."""

    trouble: str = ""
    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"process": Value("int64"), "threads": Value("string")})

    def __call__(self, batch: Batch) -> Batch:
        if "bad" in batch["conversation_id"]:
            if self.trouble == "model":
                raise ModelMissing("the model is gone", "put it back")
            if self.trouble == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "bug":
                raise KeyError("a bug")
            if self.trouble == "slow":
                time.sleep(600)
        return {"process": [os.getpid()], "threads": [os.environ.get("OMP_NUM_THREADS")]}


def plan(folder: Path, *names: str, stage: Stage | None = None) -> local.RunPlan:
    empty = dict.fromkeys(SOURCE) | {"given": [], "input_digest": "d", "duration": 2.0}
    groups: list[list[dict[str, Any]]] = [
        [empty | {"conversation_id": name, "recording_id": name}] for name in names
    ]
    return local.plan_run(ShardIndex(folder), groups, [stage or Where()])


def run(work: local.RunPlan, workers: int, stage: Stage | None = None) -> list[Path]:
    told: list[str] = []
    return list(
        local.run_local(work, [stage or Where()], workers, 0.0, lambda name, audio, wall: told.append(name))
    )


def test_plan_of_an_empty_folder_is_everything(tmp_path: Path) -> None:
    work = plan(tmp_path, "a", "b")
    assert [task.path for task in work.tasks] == work.paths
    assert (work.seconds, work.first_stage) == (4.0, 0)


def test_plan_after_the_run_is_empty_and_reads_no_rows(tmp_path: Path) -> None:
    run(plan(tmp_path, "a", "b"), 1)
    work = plan(tmp_path, "a", "b")
    assert (work.tasks, len(work.paths), work.first_stage) == ([], 2, 1)


def threads_of(paths: list[Path]) -> set[str]:
    return {row["threads"] for path in paths for row in read_rows(path, ["threads"]).values()}


def test_one_worker_is_this_process_and_two_are_others_which_share_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded_once: Callable[..., int]
) -> None:
    """These are started as those of users; those of most tests are forked (`preloaded`)."""
    monkeypatch.setattr(util, "spawnv_passfds", loaded_once)
    monkeypatch.setattr(processes, "cores", lambda: 5)
    for workers in (1, 2):
        paths = run(plan(tmp_path / str(workers), "a", "b", "c"), workers)
        assert len(paths) == 3
        made_by = {row["process"] for path in paths for row in read_rows(path, ["process"]).values()}
        assert (made_by == {os.getpid()}) == (workers == 1)
    assert threads_of(paths) == {"2"}
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("trouble", "error", "told"),
    [
        ("model", ModelMissing, "the model is gone: put it back"),
        ("killed", DailytalkError, "a worker process was killed"),
        ("bug", KeyError, "a bug"),
    ],
)
def test_trouble_in_a_worker_reaches_the_parent_and_leaves_no_process(
    tmp_path: Path, trouble: str, error: type[Exception], told: str
) -> None:
    stage = Where(trouble)
    with pytest.raises(error, match=told):
        run(plan(tmp_path, "bad", stage=stage), 2, stage)
    assert multiprocessing.active_children() == []
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


def test_run_that_is_given_up_ends_its_workers_and_keeps_what_is_finished(tmp_path: Path) -> None:
    stage = Where("slow")
    made = local.run_local(plan(tmp_path, "good", "bad", stage=stage), [stage], 2, 0.0, lambda *event: None)
    first = next(made)
    made.close()
    assert multiprocessing.active_children() == []
    assert list(tmp_path.glob("*.parquet")) == [first]


def test_shards_are_handed_out_as_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever plans a million shards does not have all of them copied for the workers before the first is made."""
    monkeypatch.setattr(processes, "cores", lambda: 1)
    handed: list[str] = []

    class Seen(list[local.Task]):
        def __iter__(self) -> Iterator[local.Task]:
            for task in list.__iter__(self):
                handed.append(task.path.name)
                yield task

    work = plan(tmp_path, *map(str, range(12)))
    made = local.run_local(local.RunPlan(work.paths, Seen(work.tasks), 0), [Where()], 2, 0.0, lambda *event: None)
    next(made)
    assert len(handed) <= 2 * processes.QUEUED
    assert len(list(made)) == 11
    assert threads_of(work.paths) == {"1"}  # of a core that two workers share
    assert handed == [path.name for path in work.paths]


def test_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """A parent in a process of its own is killed while its worker is busy; the worker then goes by itself."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    parent = context.Process(target=_parent, args=(send,))
    parent.start()
    send.close()  # a parent that dies before it tells is an error, not a wait for ever
    worker = receive.recv()
    os.kill(parent.pid or 0, signal.SIGKILL)
    parent.join()
    for _ in range(300):
        if _gone(worker):
            break
        time.sleep(0.1)
    else:
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker outlived its parent by 30 s")


def _parent(send: Any) -> None:
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_busy)
    child.start()
    send.send(child.pid)
    child.join()


def _busy() -> None:
    processes._start_worker(1, None, (), multiprocessing.Value("i", 0))
    threading.Event().wait()


def _gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
