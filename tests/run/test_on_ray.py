import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from command import EMBEDDED, start, until
from datasets import Features, Value
from ray_head import end_node, started_head
from recordings import calls, nameless_whisper, results, run
from scripted import folder, loopback, say, settings, talk

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.records.schema import SOURCE, Batch
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.on_ray import RayJob, make_there
from dailytalk_contiguous.run.run import Pass, RunOptions, make_shards
from dailytalk_contiguous.run.shard import RunPlan, Task
from dailytalk_contiguous.run.storage import WorkFolder
from dailytalk_contiguous.shards import PendingConversation, read_rows
from dailytalk_contiguous.stages.base import Stage

pytestmark = pytest.mark.needs("ray")
pytest_plugins = ["ray_cluster"]


@dataclass(frozen=True)
class Trouble(Stage):
    """Adds the process that it runs in; `bad` ends it as often as `times`, or has no model."""

    notes: str = ""
    times: int = 0
    lacking: bool = False
    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"process": Value("int64")})

    def __call__(self, batch: Batch) -> Batch:
        if "bad" in batch["conversation_id"]:
            if self.lacking:
                raise ModelMissing("the model is gone", "put it back")
            with Path(self.notes).open("a+") as file:
                file.seek(0)
                if len(file.read().split()) < self.times:
                    file.write(f"{os.getpid()} ")
                    file.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
        return {"process": [os.getpid()] * len(batch["conversation_id"])}


#: `dailytalk` that waits for the head of a cluster for a shorter time.
HASTY = """
from dailytalk_contiguous.run import on_ray
on_ray.HEAD_SECONDS = 3.0
from dailytalk_contiguous.__main__ import entry_point
entry_point()
"""


def plan(place: Path, *names: str, stage: Stage) -> RunPlan:
    empty = dict.fromkeys(SOURCE) | {"cues": [], "input_digest": "d", "duration": 2.0}
    groups = list[list[PendingConversation]]()
    for name in names:
        row = empty | {"conversation_id": name, "recording_id": name}
        groups.append([PendingConversation.of_row(row)])
    return Pass(place, groups, (stage,)).plan()


def make(work: RunPlan, stage: Stage, address: str) -> list[Path]:
    options = RunOptions(2, runner="ray", address=address)
    return [shard.path for shard in make_shards(work, [stage], options)]


# What each worker gets


def test_missing_ray_is_one_sentence_that_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DailytalkError, match=re.escape("pip install '.[ray]'")):
        make(plan(tmp_path, "a", stage=Trouble()), Trouble(), "")


# On a cluster


def test_rows_of_a_cluster_are_those_of_a_process_of_more_threads_bit_for_bit(
    tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these actors has one thread. CTranslate2 in int8 would round differently with three."""
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    source = calls(tmp_path / "in", "a", "b", "c")
    chosen = tag_stages(profile="embedded", language="en", asr_model=nameless_whisper(tmp_path))
    with monkeypatch.context() as environment:
        environment.setenv("OMP_NUM_THREADS", "3")
        run(source, tmp_path / "here", chosen)
    outcome = run(source, tmp_path / "there", chosen, workers=2, address="auto")
    assert outcome.run.done == 3
    assert results(tmp_path / "there") == results(tmp_path / "here")
    assert run(source, tmp_path / "there", chosen).run.done == 0


def test_shard_of_a_killed_actor_is_made_again_once(tmp_path: Path, cluster: str) -> None:
    """By which of the others is a matter of time."""
    stage = Trouble(str(tmp_path / "notes"), times=1)
    work = plan(tmp_path / "out", "a", "bad", "c", stage=stage)
    assert sorted(make(work, stage, cluster)) == sorted(work.paths)
    [killed] = (tmp_path / "notes").read_text().split()
    assert read_rows(work.paths[1], ["process"])["bad"]["process"] != int(killed)


def test_end_of_the_cluster_is_one_sentence_and_the_same_command_goes_on(tmp_path: Path) -> None:
    source = calls(tmp_path / "in", "a", "b", "c", "d")
    command = ("tag", source, "--out", tmp_path / "out", *EMBEDDED, "--asr-model", "tiny.en")
    command += ("--shard-minutes", "0.1")
    with started_head() as (address, head):
        running = start(*command, "--address", address, "--workers", "1", program=(sys.executable, "-c", HASTY))
        until(lambda: [*tmp_path.glob("out/tagged/*.parquet")], running)
        end_node(head)
        _, err = running.communicate(timeout=300)
    assert running.returncode == 1
    assert "Traceback" not in err
    [sentence] = [line for line in err.splitlines() if line.startswith("dailytalk: ")]
    assert "the Ray cluster ended during the run" in sentence
    assert "start it again, and run the same command again" in sentence
    finished = {path.name for path in tmp_path.glob("out/tagged/*.parquet")}
    again = start(*command)
    again.communicate(timeout=300)
    assert again.returncode == 0
    assert finished <= {path.name for path in tmp_path.glob("out/tagged/*.parquet")}


# On another node


def test_node_that_would_make_other_rows_is_refused_by_name() -> None:
    reason = "has another version, models or settings .*install the same version everywhere"
    job = RayJob((Trouble(),), 0.0, "other", WorkFolder(Path()), folder="/nowhere")
    with pytest.raises(DailytalkError, match=f"the node {re.escape(os.uname().nodename)} {reason}"):
        make_there(Task(Path("shard-1.parquet"), []), job)


# Without a cluster


def test_paid_speech_is_bought_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = folder(tmp_path / "work", **{name: talk(f"call {name}", 4) for name in ("one", "two")})
    with loopback(monkeypatch) as server:
        outcome = say(work, settings(tmp_path), tmp_path / "out", workers=2, runner="ray")
        assert set(server.purchases.values()) == {1}
    assert outcome.record["counts"]["conversations"] == 2
