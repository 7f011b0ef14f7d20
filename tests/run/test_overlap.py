import threading
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import pytest
from datasets import Features, Value

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import SOURCE, Batch
from dailytalk_contiguous.run import local
from dailytalk_contiguous.run.shard import ShardJob, Task, ahead
from dailytalk_contiguous.shards import ShardIndex, read_entries, read_rows
from dailytalk_contiguous.stages.base import Stage

#: Conversations that were decoded, as they come.
decoded = {name: Event() for name in "abcd"}


@pytest.fixture(autouse=True)
def _nothing_decoded() -> None:
    for event in decoded.values():
        event.clear()


@dataclass(frozen=True)
class Decode(Stage):
    prepares: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    transient: ClassVar[tuple[str, ...]] = ("samples",)
    adds: ClassVar[Features] = Features({"samples": Value("string")})

    def __call__(self, batch: Batch) -> Batch:
        for place, name in enumerate(batch["conversation_id"]):
            decoded[name].set()
            if name == "b":
                raise BadInput("cut short", "copy it again", place)
        return self.restore(batch)

    def restore(self, batch: Batch) -> Batch:
        return {"samples": [name * 2 for name in batch["conversation_id"]]}


@dataclass(frozen=True)
class OnDevice(Stage):
    """Will not end on `a` before `c` was decoded."""

    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "samples")
    adds: ClassVar[Features] = Features({"heard": Value("string")})

    def __call__(self, batch: Batch) -> Batch:
        if "a" in batch["conversation_id"]:
            assert decoded["c"].wait(20.0), "nothing was decoded while the device was busy"
        return {"heard": [samples.upper() for samples in batch["samples"]]}


def rows(names: str) -> list[dict[str, Any]]:
    told = {"input_digest": "d", "duration": 10.0, "given": []}
    return [dict.fromkeys(SOURCE) | told | {"conversation_id": name, "recording_id": name} for name in names]


@pytest.mark.parametrize("groups", [("abcd",), ("ab", "cd")], ids=["batches of a shard", "shards"])
def test_the_next_conversations_are_decoded_while_the_device_is_busy(
    tmp_path: Path, groups: tuple[str, ...]
) -> None:
    stages = (Decode(), OnDevice())
    plan = local.plan_run(ShardIndex(tmp_path), [rows(names) for names in groups], stages)
    paths = list(local.run_local(plan, stages, 1, 20.0, lambda stage, audio, wall: None))
    assert paths == plan.paths
    heard = {name: row["heard"] for path in paths for name, row in read_rows(path, ["heard"]).items()}
    assert heard == {"a": "AA", "c": "CC", "d": "DD"}
    rejects = [entry.reject for path in paths for entry in (read_entries(path) or {}).values() if entry.reject]
    assert [(one.id, one.stage, one.reason) for one in rejects] == [("b", "Decode", "cut short")]


def test_shard_took_as_long_as_its_preparing_and_its_finishing(tmp_path: Path) -> None:
    began = time.perf_counter()
    task = Task(tmp_path / "shard.parquet", rows("acd"), {})
    job = ShardJob(task, (Decode(), OnDevice()), 20.0, lambda *event: None)
    made = job.prepare().finish()
    elapsed = time.perf_counter() - began
    # Stages may run side by side: together they may take longer than the shard, each alone can't.
    assert all(0.0 < seconds <= made.wall_seconds <= elapsed for seconds in made.stage_seconds.values())
    outside = made.wall_seconds - sum(made.stage_seconds.values())
    assert made.outside_seconds == pytest.approx(max(0.0, outside))
    assert made.stage_audio == {"Decode": 30.0, "OnDevice": 30.0}
    assert (made.conversations, made.rejects, made.audio_seconds) == (3, 0, 30.0)


def test_what_is_prepared_ahead_comes_in_order_and_raises_in_its_turn() -> None:
    coming = ahead(lambda number: 12 // number, [4, 3, 0, 1])
    assert [next(coming), next(coming)] == [3, 4]
    with pytest.raises(ZeroDivisionError):
        next(coming)


@dataclass(frozen=True)
class Broken(Stage):
    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "samples")
    adds: ClassVar[Features] = Features({"heard": Value("string")})

    def __call__(self, batch: Batch) -> Batch:
        raise DailytalkError("the service is gone", "start it")


def test_run_that_stops_leaves_no_thread_to_the_garbage_collector(tmp_path: Path) -> None:
    """Collected inside the start of another thread, it would wait for ever."""
    plan = local.plan_run(ShardIndex(tmp_path), [rows("ac"), rows("d")], (Decode(), Broken()))
    with pytest.raises(DailytalkError) as stopped:
        list(local.run_local(plan, (Decode(), Broken()), 1, 60.0, lambda stage, audio, wall: None))
    assert stopped.value.reason == "the service is gone"  # its traceback still holds all frames
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")] == []
