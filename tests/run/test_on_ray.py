import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from command import until
from datasets import Features, Value
from recordings import calls, nameless_whisper, results, run
from scripted import folder, loopback, say, settings, talk

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.schema import SOURCE, Batch
from dailytalk_contiguous.models.budget import Budget, open_budget
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run import local, on_ray
from dailytalk_contiguous.run.on_ray import Cluster, RayJob, Till, WorkerResources, make_there, plan_workers
from dailytalk_contiguous.run.run import Runner, RunOptions
from dailytalk_contiguous.run.shard import Task
from dailytalk_contiguous.shards import read_rows, stages_digest
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


@dataclass(frozen=True)
class Buys(Stage):
    """Buys three things one after another for a conversation named `slow`, each with a note before and after.

    A purchase lasts until there is a note that it may come, and is made in a thread, as `Speak` does.
    """

    place: str = ""
    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"bought": Value("bool")})

    def __call__(self, batch: Batch) -> Batch:
        if "slow" in batch["conversation_id"]:
            with ThreadPoolExecutor(1) as pool:
                bought = pool.submit(self.buy)
                try:
                    bought.result()
                except BaseException:
                    with open_budget(None).halted():
                        Path(self.place, "come").touch()
                        wait([bought])
                    raise
        return {"bought": [True] * len(batch["conversation_id"])}

    def buy(self) -> None:
        for number in range(3):
            with open_budget(None).paying(0.5) as pay:
                Path(self.place, f"asked {number}").touch()
                until(Path(self.place, "come").exists)
                pay(0.5)
            Path(self.place, f"bought {number}").touch()


def plan(place: Path, *names: str, stage: Stage) -> local.RunPlan:
    empty = dict.fromkeys(SOURCE) | {"given": [], "input_digest": "d", "duration": 2.0}
    groups: list[list[dict[str, Any]]] = [
        [empty | {"conversation_id": name, "recording_id": name}] for name in names
    ]
    return local.plan_run(place, groups, [stage])


def make(work: local.RunPlan, stage: Stage, address: str) -> list[Path]:
    return [made.path for made in Runner("ray", address).run(work, [stage], RunOptions(2))]


# What each worker gets


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "share"),
    [
        ([(8, 0), (4, 0)], 3, False, WorkerResources(3, 4, 0.0)),
        ([(8, 0), (4, 0)], 0, False, WorkerResources(6, 2, 0.0)),
        ([(1, 0)], 0, False, WorkerResources(1, 1, 0.0)),
        ([(16, 2), (64, 0)], 0, True, WorkerResources(2, 8, 1.0)),
        ([(16, 2)], 4, True, WorkerResources(4, 4, 0.5)),
        ([(16, 2)], 3, True, WorkerResources(3, 5, 0.5)),
    ],
)
def test_workers_are_as_many_as_asked_and_get_what_fits_on_every_node(
    nodes: list[tuple[int, int]], workers: int, gpus: bool, share: WorkerResources
) -> None:
    assert plan_workers(nodes, workers, gpus) == share


@pytest.mark.parametrize(
    ("workers", "gpus", "told"), [(0, True, "has no GPU"), (5, False, "too few for 5 workers")]
)
def test_cluster_without_gpu_or_room_is_said(workers: int, gpus: bool, told: str) -> None:
    with pytest.raises(DailytalkError, match=told):
        plan_workers([(4, 0)], workers, gpus)


def test_missing_ray_is_one_sentence_that_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DailytalkError, match=re.escape("pip install 'dailytalk-contiguous[ray]'")):
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
    outcome = run(source, tmp_path / "there", chosen, workers=2, runner=Runner("ray", "auto"))
    assert outcome.n_made == 3
    assert results(tmp_path / "there") == results(tmp_path / "here")
    assert outcome.account.as_dict().keys()
    assert run(source, tmp_path / "there", chosen).n_made == 0


def test_shard_of_a_killed_actor_is_made_again_once(tmp_path: Path, cluster: str) -> None:
    """By which of the others is a matter of time."""
    stage = Trouble(str(tmp_path / "notes"), times=1)
    work = plan(tmp_path / "out", "a", "bad", "c", stage=stage)
    assert sorted(make(work, stage, cluster)) == sorted(work.paths)
    [killed] = (tmp_path / "notes").read_text().split()
    assert read_rows(work.paths[1], ["process"])["bad"]["process"] != int(killed)


@pytest.mark.nightly
def test_shard_that_ends_two_actors_is_said_and_the_others_stay(tmp_path: Path, cluster: str) -> None:
    stage = Trouble(str(tmp_path / "notes"), times=9)
    work = plan(tmp_path / "out", "a", "bad", stage=stage)
    with pytest.raises(DailytalkError, match="a worker was lost twice over one shard"):
        make(work, stage, cluster)
    assert len((tmp_path / "notes").read_text().split()) == 2
    assert list((tmp_path / "out").glob("*.parquet")) == work.paths[:1]


@pytest.mark.nightly
def test_trouble_in_an_actor_arrives_as_it_is(tmp_path: Path, cluster: str) -> None:
    stage = Trouble(lacking=True)
    with pytest.raises(ModelMissing):
        make(plan(tmp_path, "bad", stage=stage), stage, cluster)
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.nightly
def test_recording_that_a_node_can_not_see_is_said_and_not_rejected(tmp_path: Path, cluster: str) -> None:
    work = plan(tmp_path, "a", stage=Trouble())
    work.tasks[0].rows[0]["audio"] = {"path": str(tmp_path / "nowhere.wav"), "bytes": None}
    with pytest.raises(DailytalkError, match="does not see"):
        make(work, Trouble(), cluster)


# On another node


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"digest": "other"}, "has another version, models or settings .*install the same version everywhere"),
        ({"shared": "/nowhere/speech"}, "does not see the cache '/nowhere'.*cache="),
    ],
)
def test_node_that_would_make_other_rows_or_buy_twice_is_refused_by_name(
    changes: dict[str, Any], told: str
) -> None:
    stages = (Trouble(),)
    job = replace(RayJob(stages, 0.0, digest=stages_digest(stages), folder="/nowhere"), **changes)
    with pytest.raises(DailytalkError, match=f"the node {re.escape(os.uname().nodename)} {told}"):
        make_there(Task(Path("shard-1.parquet"), []), job)


# Money


@pytest.mark.nightly
def test_run_that_is_stopped_waits_for_what_is_being_bought_and_begins_to_buy_nothing(
    tmp_path: Path, cluster: str
) -> None:
    stage = Buys(str(tmp_path))
    work, money = plan(tmp_path / "out", "quick", "slow", stage=stage), Budget(None)
    ran = on_ray.run_on_ray(work, RayJob((stage,), 0.0), Cluster(cluster, 2), lambda made: None, money)
    assert next(ran).path == work.paths[0]
    until((tmp_path / "asked 0").exists)
    ran.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["asked 0", "bought 0", "come"]
    assert money.spent == 0.5


def test_till_counts_what_is_reserved_paid_and_saved() -> None:
    till = Till(1.0)
    first = till.hold(0.75)
    with pytest.raises(DailytalkError):
        till.hold(0.5)
    till.pay(first, 0.25)
    till.save(0.125)
    assert till.totals() == (0.25, 0.125)
    assert till.hold(0.5)


# Without a cluster


@pytest.mark.nightly  # a Ray of its own takes as long as all that is above
def test_limit_on_money_holds_for_all_workers_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("one", "two", "three", "four")
    work = folder(tmp_path / "work", **{name: talk(f"call {name}", 8) for name in names})
    with loopback(monkeypatch) as server:
        free = settings(tmp_path)
        whole = say(work, settings(tmp_path, cache=str(tmp_path / "other")), tmp_path / "local")
        bought, price = sum(server.purchases.values()), whole.record["money"]["spent"]
        limit = price / 2
        with pytest.raises(DailytalkError, match="would pass the spending limit"):
            say(work, settings(tmp_path, max_cost=limit), tmp_path / "ray", workers=2, runner=Runner("ray"))
        node = sys.modules["ray"].nodes()[0]["NodeID"]
        spent = sum(server.purchases.values()) - bought
        assert 0 < spent <= bought / 2 + 1
        outcome = say(work, free, tmp_path / "ray", workers=2, runner=Runner("ray"))
        assert sum(server.purchases.values()) == 2 * bought
        assert max(server.purchases.values()) == 2  # once for either cache
        assert sys.modules["ray"].nodes()[0]["NodeID"] == node  # one Ray for both runs
    assert outcome.record["money"]["spent"] == pytest.approx(price * (bought - spent) / bought, rel=0.2)
    assert outcome.record["cost"] == pytest.approx(price)


def test_no_cluster_at_an_address_is_one_sentence(tmp_path: Path) -> None:
    told = "no Ray cluster answers at '127.0.0.1:1'"
    with pytest.raises(DailytalkError, match=told):
        on_ray.connected("127.0.0.1:1")
