import logging
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import fsspec
import pytest
from datasets import Features, Value
from hypothesis import given
from hypothesis import strategies as st
from recordings import calls, results, run
from scripted import folder, loopback, say, settings, talk

from dailytalk_contiguous.core.audio import from_uri, to_uri
from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.schema import SOURCE, Batch
from dailytalk_contiguous.models import engines
from dailytalk_contiguous.models.engines import Budget, open_budget
from dailytalk_contiguous.models.whisper import load_whisper
from dailytalk_contiguous.pipelines import tag_stages
from dailytalk_contiguous.run import local, on_ray
from dailytalk_contiguous.run.on_ray import (
    ActorResources,
    BudgetActor,
    Cluster,
    RemoteResult,
    SharedBudget,
    Worker,
    WorkerConfig,
    plan_actors,
    ray_get,
    remote_task,
)
from dailytalk_contiguous.run.run import Runner, RunOptions
from dailytalk_contiguous.run.shard import Task
from dailytalk_contiguous.shards import ShardIndex, chain_of, read_entries, read_rows
from dailytalk_contiguous.sources.remote import Mirror
from dailytalk_contiguous.stages.base import Stage, Stages

#: Starting Ray costs seconds of all cores: where tests run side by side, these stay in one process.
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.needs("ray")]

pytest_plugins = ["ray_cluster"]


@dataclass(frozen=True)
class Trouble(Stage):
    """Adds the process that it runs in; a conversation named `bad` ends it as often as `times`, or has a bug."""

    notes: str = ""
    times: int = 0
    error: str = ""
    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"process": Value("int64")})

    def __call__(self, batch: Batch) -> Batch:
        if "bad" in batch["conversation_id"]:
            if self.error == "model":
                raise ModelMissing("the model is gone", "put it back")
            if self.error == "bug":
                raise KeyError("a bug")
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

    A purchase lasts until there is a note that it may come.
    """

    place: str = ""
    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"bought": Value("bool")})

    def __call__(self, batch: Batch) -> Batch:
        for number in range(3) if "slow" in batch["conversation_id"] else ():
            with open_budget(None).paying(0.5) as pay:
                Path(self.place, f"asked {number}").touch()
                while not Path(self.place, "come").exists():
                    time.sleep(0.02)
                pay(0.5)
            Path(self.place, f"bought {number}").touch()
        return {"bought": [True] * len(batch["conversation_id"])}


@dataclass(frozen=True)
class Says(Stage):
    """Adds `said`: its setting."""

    what: str = ""
    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"said": Value("string")})

    def __call__(self, batch: Batch) -> Batch:
        return {"said": [self.what] * len(batch["conversation_id"])}


@dataclass(frozen=True)
class Repeats(Stage):
    """Adds `again`: what was said."""

    needs: ClassVar[tuple[str, ...]] = ("said",)
    adds: ClassVar[Features] = Features({"again": Value("string")})

    def __call__(self, batch: Batch) -> Batch:
        return {"again": batch["said"]}


@dataclass(frozen=True)
class Heard(Stage):
    """Adds `heard`: the recording, which is a text here."""

    needs: ClassVar[tuple[str, ...]] = ("audio",)
    adds: ClassVar[Features] = Features({"heard": Value("string")})

    def __call__(self, batch: Batch) -> Batch:
        return {"heard": [from_uri(audio["path"]).read_text() for audio in batch["audio"]]}


def plan(place: Path, *names: str, stage: Stage | Stages) -> local.RunPlan:
    empty = dict.fromkeys(SOURCE) | {"given": [], "input_digest": "d", "duration": 2.0}
    groups: list[list[dict[str, Any]]] = [
        [empty | {"conversation_id": name, "recording_id": name}] for name in names
    ]
    return local.plan_run(ShardIndex(place), groups, stage if isinstance(stage, tuple) else [stage])


@contextmanager
def when_logged(words: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as the package logs these words."""

    def see(record: logging.LogRecord) -> bool:
        if words in record.getMessage():
            act()
        return True

    on_ray.log.addFilter(see)
    try:
        yield
    finally:
        on_ray.log.removeFilter(see)


def make(work: local.RunPlan, stage: Stage, address: str, told: list[str] | None = None) -> list[Path]:
    def note(name: str, audio: float, wall: float | None) -> None:
        if told is not None and wall is not None:
            told.append(name)

    return list(Runner("ray", address).run(work, [stage], RunOptions(2), note))


# What each worker gets


def test_actors_are_as_many_as_asked_and_get_what_fits_on_every_node() -> None:
    assert plan_actors([(8, 0), (4, 0)], 3, False, 99) == ActorResources(3, 4, 0.0)
    assert plan_actors([(8, 0), (4, 0)], 0, False, 99) == ActorResources(6, 2, 0.0)
    assert plan_actors([(1, 0)], 0, False, 99) == ActorResources(1, 1, 0.0)
    assert plan_actors([(16, 0)], 4, False, 2).actors == 2  # no more than there are shards


def test_gpus_are_given_whole_or_in_equal_parts() -> None:
    assert plan_actors([(16, 2), (64, 0)], 0, True, 99) == ActorResources(2, 8, 1.0)
    assert plan_actors([(16, 2)], 4, True, 99) == ActorResources(4, 4, 0.5)
    assert plan_actors([(16, 2)], 3, True, 99) == ActorResources(3, 5, 0.5)


@given(st.lists(st.tuples(st.integers(0, 16), st.just(0)), min_size=1, max_size=5), st.integers(0, 20))
def test_actors_never_need_more_than_there_is(nodes: list[tuple[int, int]], workers: int) -> None:
    try:
        share = plan_actors(nodes, workers, False, 1000)
    except DailytalkError:
        assert workers > sum(cores for cores, _ in nodes) or not any(cores for cores, _ in nodes)
        return
    assert share.actors == workers or not workers
    assert sum(cores // share.cores for cores, _ in nodes) >= share.actors


def test_cluster_without_gpu_or_room_is_said() -> None:
    with pytest.raises(DailytalkError, match="has no GPU"):
        plan_actors([(4, 0)], 0, True, 1)
    with pytest.raises(DailytalkError, match="too few for 5 workers"):
        plan_actors([(4, 0)], 5, False, 1)


def test_missing_ray_is_one_sentence_that_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DailytalkError, match=re.escape("pip install 'dailytalk-contiguous[ray]'")):
        make(plan(tmp_path, "a", stage=Trouble()), Trouble(), "")


def test_finished_plan_starts_no_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert make(plan(tmp_path, stage=Trouble()), Trouble(), "") == []


# On a cluster


def test_rows_of_a_cluster_are_those_of_a_process_of_more_threads_bit_for_bit(
    tmp_path: Path, cluster: str, tiny_whisper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these actors has one thread. CTranslate2 in int8 would round differently with three."""
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    source = calls(tmp_path / "in", "a", "b", "c")
    chosen = tag_stages(profile="embedded", language="en", asr_model=tiny_whisper)
    with monkeypatch.context() as environment:
        environment.setenv("OMP_NUM_THREADS", "3")
        load_whisper.cache_clear()
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


def test_shard_that_ends_two_actors_is_said_and_the_others_stay(tmp_path: Path, cluster: str) -> None:
    stage = Trouble(str(tmp_path / "notes"), times=9)
    work = plan(tmp_path / "out", "a", "bad", stage=stage)
    with pytest.raises(DailytalkError, match="the shard of 'bad' ended 2 workers"):
        make(work, stage, cluster)
    assert len((tmp_path / "notes").read_text().split()) == 2
    assert list((tmp_path / "out").glob("*.parquet")) == work.paths[:1]


@pytest.mark.parametrize(("error", "kind"), [("model", ModelMissing), ("bug", KeyError)])
def test_trouble_in_an_actor_arrives_as_it_is(
    tmp_path: Path, cluster: str, error: str, kind: type[Exception]
) -> None:
    stage = Trouble(error=error)
    with pytest.raises(kind):
        make(plan(tmp_path, "bad", stage=stage), stage, cluster)
    assert list(tmp_path.glob("*.parquet")) == []


def test_recording_that_a_node_can_not_see_is_said_and_not_rejected(tmp_path: Path, cluster: str) -> None:
    work = plan(tmp_path, "a", stage=Trouble())
    work.tasks[0].rows[0]["audio"] = {"path": str(tmp_path / "nowhere.wav"), "bytes": None}
    with pytest.raises(DailytalkError, match="does not see"):
        make(work, Trouble(), cluster)


def test_what_is_awaited_is_said(
    tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(on_ray, "AWAITED_SECONDS", 1.0)
    work, told = plan(tmp_path, "a", stage=Trouble()), list[str]()
    with on_ray.connected(cluster) as ray:
        holder = ray.remote(BudgetActor).options(num_cpus=2).remote(None)
        ray.get(holder.held_back.remote())
        with when_logged("no worker has begun yet", lambda: ray.kill(holder)):
            assert make(work, Trouble(), cluster, told) == work.paths
    assert told == ["Trouble"]  # what the bar counts
    assert "each waits for 1 CPU and 0 GPU of one node; 0 and 0 are free" in caplog.text


# On another node


@pytest.fixture
def store(tmp_path: Path) -> Mirror:
    return Mirror(f"memory://{uuid4().hex}", tmp_path / "mirror", stamped=True)


def put(mirror: Mirror, text: str) -> None:
    files, root = fsspec.core.url_to_fs(mirror.address)
    files.pipe_file(f"{root}/a.wav", text.encode())


def on_a_node(mirror: Mirror, state: Path) -> None:
    """Let this machine be one whose mirror is as it was when `state` was copied from it."""
    shutil.rmtree(mirror.folder)
    shutil.copytree(state, mirror.folder)


def rows_of(done: RemoteResult, column: str) -> list[Any]:
    return [row[column] for row in read_rows(done.made.path, [column]).values()]


def test_recording_is_the_one_that_was_planned_or_rejected(tmp_path: Path, store: Mirror) -> None:
    stage = Heard()
    put(store, "old")
    store.pull()
    shutil.copytree(store.folder, tmp_path / "node")
    put(store, "new")
    store.pull()
    work = plan(tmp_path / "out", "a", stage=stage)
    work.tasks[0].rows[0]["audio"] = {"path": to_uri(store.folder / "a.wav"), "bytes": None}
    setup = WorkerConfig((stage,), 0.0, inputs=(store,), chain=chain_of([stage]))
    ordered = remote_task(work.tasks[0], setup)
    on_a_node(store, tmp_path / "node")
    assert rows_of(Worker(setup).make(ordered), "heard") == ["new"]
    on_a_node(store, tmp_path / "node")
    put(store, "yet another")
    done = Worker(setup).make(ordered)
    assert (done.made.rejects, rows_of(done, "heard")) == (1, [])
    reject = (read_entries(done.made.path) or {})["a"].reject
    assert reject is not None
    assert "a.wav changed during this run" in reject.reason
    again = plan(tmp_path / "out", "a", stage=stage)
    assert len(again.tasks) == 1  # the old recording may come back


def test_shard_is_continued_from_the_one_that_was_planned(tmp_path: Path, store: Mirror) -> None:
    def made(*stages: Stage) -> RemoteResult:
        work = plan(store.folder, "a", stage=stages)
        setup = WorkerConfig(stages, 0.0, store, chain=chain_of(stages))
        ordered = remote_task(work.tasks[0], setup)
        if len(stages) == 2:
            on_a_node(store, tmp_path / "node")
        return Worker(setup).make(ordered)

    store.folder.mkdir()
    first = made(Says("old"))
    shutil.copytree(store.folder, tmp_path / "node")
    second = made(Says("new"))
    assert first.made.path == second.made.path
    assert first.token != second.token
    assert rows_of(made(Says("new"), Repeats()), "again") == ["new"]


def test_shard_that_never_reached_the_store_is_brought_there_for_the_node(tmp_path: Path, store: Mirror) -> None:
    list(Runner().run(plan(store.folder, "a", stage=Says("x")), [Says("x")], RunOptions()))
    stages = (Says("x"), Repeats())
    work = plan(store.folder, "a", stage=stages)
    ordered = remote_task(work.tasks[0], WorkerConfig(stages, 0.0, store))
    assert store.listing()[work.paths[0].name].token == ordered.tokens[work.paths[0]]


@pytest.fixture
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a worker takes over from its driver is this process's own again."""
    import torch

    threads, here = torch.get_num_threads(), os.getcwd()
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    yield
    torch.set_num_threads(threads)
    os.chdir(here)
    engines.budgets_from(Budget)


def test_worker_takes_over_the_folder_the_threads_and_the_purse_of_its_driver(
    tmp_path: Path, as_it_was: None
) -> None:
    import torch

    stages = (Says("x"),)
    setup = WorkerConfig(stages, 0.0, chain=chain_of(stages), folder=str(tmp_path), threads=3, till=object())
    assert type(open_budget(None)) is Budget
    Worker(setup).ready()
    assert (os.getcwd(), os.environ["OMP_NUM_THREADS"]) == (str(tmp_path), "3")
    assert torch.get_num_threads() == 3
    assert isinstance(open_budget(None), SharedBudget)  # not the one that was open


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"chain": ("other",)}, "has other code, models or settings .*install the same version everywhere"),
        ({"shared": "/nowhere/speech"}, "does not see the cache '/nowhere'.*--cache"),
    ],
)
def test_node_that_would_make_other_rows_or_buy_twice_is_refused_by_name(
    changes: dict[str, Any], told: str, as_it_was: None
) -> None:
    stages = (Says("x"),)
    setup = replace(WorkerConfig(stages, 0.0, chain=chain_of(stages), folder="/nowhere"), **changes)
    with pytest.raises(DailytalkError, match=f"the node {re.escape(os.uname().nodename)} {told}"):
        Worker(setup).ready()


# Money


def test_nothing_is_bought_without_the_till(cluster: str) -> None:
    with on_ray.connected(cluster) as ray:
        till = ray.remote(BudgetActor).remote(1.0)
        assert ray_get(till.held_back.remote()) == 0
        ray.kill(till)
        assert any(_is_gone(ray, till) for _ in range(1000))  # it ends a moment after it was killed
        with pytest.raises(DailytalkError, match=r"the till was lost .*what was bought is kept"):
            ray_get(till.hold.remote(0.25))


def _is_gone(ray: Any, till: Any) -> bool:
    try:
        ray.get(till.held_back.remote())
    except ray.exceptions.RayActorError:
        return True
    return False


def test_closed_till_refuses_and_knows_what_is_being_bought() -> None:
    till = BudgetActor(1.0)
    ticket = till.hold(0.25)
    till.close()
    with pytest.raises(DailytalkError, match="the run is being stopped"):
        till.hold(0.25)
    assert till.held_back() == 1
    till.pay(ticket, 0.2)
    assert (till.held_back(), till.totals()) == (0, (0.2, 0.0))


def test_run_that_is_stopped_waits_for_what_is_being_bought_and_begins_to_buy_nothing(
    tmp_path: Path, cluster: str
) -> None:
    stage = Buys(str(tmp_path))
    work, money = plan(tmp_path / "out", "quick", "slow", stage=stage), Budget(None)
    ran = on_ray.run_on_ray(
        work, WorkerConfig((stage,), 0.0), Cluster(cluster, 2), lambda *event: None, lambda made: None, money
    )
    assert next(ran) == work.paths[0]
    while not (tmp_path / "asked 0").exists():
        time.sleep(0.05)
    with when_logged("waiting for speech that is being paid for", (tmp_path / "come").touch):
        ran.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["asked 0", "bought 0", "come"]
    assert money.spent == 0.5


# Without a cluster


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


def test_shard_of_an_actor_that_ran_out_of_memory_is_that_of_a_lost_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray ends the workers of a node that it takes to be full, by a limit in the environment of this run alone."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.0")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    with pytest.raises(DailytalkError, match="workers in a row ended before they had begun") as caught:
        make(plan(tmp_path, "a", stage=Trouble()), Trouble(), "")
    assert type(caught.value.__cause__).__name__ == "OutOfMemoryError"
    on_ray.stop_ray()


def test_no_cluster_at_an_address_is_one_sentence(tmp_path: Path) -> None:
    told = "no Ray cluster answers at '127.0.0.1:1'"
    with pytest.raises(DailytalkError, match=told), on_ray.connected("127.0.0.1:1"):
        pass


# A Ray that answers by a script


class Scripted:
    """What the pool asks Ray and the till, answered from a list: an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.exceptions = import_module("ray").exceptions
        self.answers = [*answers]
        self.close = self.held_back = self

    def remote(self, *asked: Any) -> None:
        pass

    def kill(self, actor: Any) -> None:
        pass

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 3.0}

    def get(self, one: Any) -> Any:
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def wait(self, busy: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
        return [], busy


def pool_of(ray: Scripted) -> on_ray.Pool:
    return on_ray.Pool(ray, WorkerConfig((), 0.0, till=ray), ActorResources(1, 1, 0.0), lambda *event: None)


def test_workers_that_are_lost_end_a_run_only_where_none_begins_between_them() -> None:
    gone = Scripted().exceptions.RayActorError()
    pool = pool_of(Scripted(gone, gone, "ready", gone, gone, "ready", gone, gone, gone))
    for result in (on_ray.LOST, on_ray.LOST, None) * 2 + (on_ray.LOST, on_ray.LOST):
        assert pool._result("one", "actor", None, {}) is result
    with pytest.raises(DailytalkError, match="3 workers in a row ended before they had begun"):
        pool._result("one", "actor", None, {})


@pytest.mark.parametrize(
    ("held", "looks", "warnings"), [([0, 0, 7], 2, 0), ([1, 0, 1, 0, 0, 7], 5, 1), ([2, 1, 0, 0, 7], 4, 1)]
)
def test_what_is_being_bought_is_over_once_two_looks_find_nothing(
    held: list[int], looks: int, warnings: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ray = Scripted("closed", *held)
    monkeypatch.setattr(on_ray, "ray_get", ray.get)
    pool = pool_of(ray)
    pool._busy = {"asked": ("actor", Task(Path("shard"), [], {})), "ready": ("other", None)}
    pool.close()
    assert (len(held) - len(ray.answers), len(caplog.records), pool._busy) == (looks, warnings, {})


def test_stop_waits_for_purchases_no_longer_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "GRACE_SECONDS", 0.0)
    ray = Scripted("closed", 1)
    monkeypatch.setattr(on_ray, "ray_get", ray.get)
    pool = pool_of(ray)
    pool._busy = {"asked": ("actor", Task(Path("shard"), [], {}))}
    pool.close()
    assert ray.answers == [1]


def test_nothing_is_waited_for_where_no_worker_has_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Scripted("closed")
    monkeypatch.setattr(on_ray, "ray_get", ray.get)
    pool = pool_of(ray)
    pool._busy = {"ready": ("actor", None)}
    pool.close()
    assert ray.answers == ["closed"]


def test_what_is_awaited_is_said_now_and_then_until_a_worker_has_begun(caplog: pytest.LogCaptureFixture) -> None:
    pool = pool_of(Scripted("ready"))
    pool._say_what_is_awaited()  # not yet
    assert caplog.messages == []
    pool._say_at = time.monotonic() - 1
    for _ in range(2):
        pool._say_what_is_awaited()
    told = "no worker has begun yet: each waits for 1 CPU and 0 GPU of one node; 3 and 0 are free in all"
    assert caplog.messages == [told]
    assert pool._result("one", "actor", None, {}) is None
    assert pool._say_at is None
    pool._say_what_is_awaited()
    assert caplog.messages == [told]
