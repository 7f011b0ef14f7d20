"""The Ray engine: a pool of actors, on this machine or on a cluster, that make shards as local workers do.

What travels is a task (paths, small columns, what earlier runs made) and back its account; audio and rows stay on
the disk or in the store. A shard whose actor or node is lost is made again by another one, once: a shard that ends
two of them would end them all. Nothing is restarted behind our back, and nothing is told to the outside.
"""

import logging
import os
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.engine.build import Progress
from dailytalk_contiguous.engine.local import Plan, Task
from dailytalk_contiguous.engine.making import Made
from dailytalk_contiguous.engine.ray_share import Share, shared_out
from dailytalk_contiguous.engine.ray_worker import Setup, Till, Worker
from dailytalk_contiguous.engine.shards import chain_of
from dailytalk_contiguous.models.engines import Purse

#: Seconds between two looks at what actors tell.
POLL_SECONDS = 1.0

#: Seconds that a cluster may take to answer a knock.
SILENCE_SECONDS = 10.0

#: Times that a shard is begun, and actors that may be lost in a row before they have begun anything.
TRIES, LOST_AT_START = 2, 3

__all__ = ["Cluster", "Setup", "has_gpus", "run"]


@dataclass(frozen=True)
class Cluster:
    """Which one: its address, or empty for one of this process. `workers`: actors; 0 for all that have room."""

    address: str = ""
    workers: int = 0
    gpus: bool = False


def run(
    plan: Plan,
    setup: Setup,
    cluster: Cluster,
    progress: Progress,
    finished: Callable[[Made], None],
    money: Purse | None = None,
) -> Iterator[Path]:
    """Make what is left of a plan; yields each shard's file once it is here, and `finished` was told of it.

    `money` is kept in one place for all actors, and knows afterwards what was spent and saved.

    Raises DailytalkError for a cluster that is not there or has no room, for a shard that ends two actors, and for
    what a node lacks; else whatever a stage raises but for `BadInput`. Finished shards stay.
    """
    with connected(cluster.address, cluster.workers) as ray:
        share = shared_out(_nodes(ray), cluster.workers, cluster.gpus, len(plan.tasks))
        whole = replace(setup, chain=chain_of(setup.stages), folder=os.getcwd(), threads=share.cores)
        till = ray.remote(Till).options(num_cpus=0, max_concurrency=64).remote(money.limit) if money else None
        with _sign(setup.shared if money else "") as sign:
            pool = Pool(ray, replace(whole, till=till, shared=sign), share, progress)
            try:
                for made in pool.make(plan.tasks):
                    for mirror in setup.mirrors:
                        mirror.ensure(made.path)
                    _refuse_elsewhere(made)
                    finished(made)
                    yield made.path
            finally:
                pool.close()
                if money and till:
                    money.spent, money.saved = ray.get(till.totals.remote())


class Pool:
    """Actors, each with a shard at a time. What it needs of Ray is in here."""

    def __init__(self, ray: Any, setup: Setup, share: Share, progress: Progress) -> None:
        self._ray, self._setup, self._share, self._progress = ray, setup, share, progress
        self._busy: dict[Any, tuple[Any, Task | None]] = {}
        self._told: dict[Any, Any] = {}
        self._lost, self._asked = 0, 0.0

    def make(self, tasks: list[Task]) -> Iterator[Made]:
        """Make shards in any order."""
        waiting = deque(tasks)
        left, tries = len(tasks), dict.fromkeys((task.path for task in tasks), 0)
        for _ in range(self._share.actors):
            self._hire()
        while left:
            done, _ = self._ray.wait([*self._busy, *self._told], num_returns=1, timeout=POLL_SECONDS)
            self._hear([one for one in done if one in self._told])
            for one in (one for one in done if one in self._busy):
                actor, task = self._busy.pop(one)
                made = self._result(one, actor, task, tries)
                if made is LOST:
                    waiting.extendleft([task] if task else [])
                    self._hire()
                    continue
                if waiting:
                    following = waiting.popleft()
                    tries[following.path] += 1
                    self._busy[actor.make.remote(_absolute(following))] = (actor, following)
                if made is not None:
                    left -= 1
                    yield made

    def close(self) -> None:
        """End all actors. What they have in hand is a temporary file; the next run makes that shard again."""
        for actor, _ in self._busy.values():
            self._ray.kill(actor)
        self._busy.clear()

    def _hire(self) -> None:
        actor = (
            self._ray.remote(Worker)
            .options(num_cpus=self._share.cores, num_gpus=self._share.gpus, max_concurrency=2, max_restarts=0)
            .remote(self._setup)
        )
        self._busy[actor.ready.remote()] = (actor, None)

    def _result(self, one: Any, actor: Any, task: Task | None, tries: dict[Path, int]) -> Any:
        """What came of a shard; None for an actor that is ready for its first; LOST for one that is gone."""
        try:
            told = self._ray.get(one)
        except self._ray.exceptions.RayTaskError as error:
            self._ray.kill(actor)
            raise (error.cause or error) from error
        except self._ray.exceptions.RayActorError as error:
            self._refuse_to_go_on(task, tries, error)
            self._ray.kill(actor)
            return LOST
        self._lost = 0
        if task is None:
            return None
        made, events = told
        for event in events:
            self._progress(*event)
        return replace(made, path=task.path)

    def _refuse_to_go_on(self, task: Task | None, tries: dict[Path, int], error: Exception) -> None:
        self._lost += task is None
        if task is None and self._lost >= LOST_AT_START:
            raise DailytalkError(
                f"{self._lost} workers in a row ended before they had begun",
                "check that this version of dailytalk-contiguous is installed on every node of the cluster",
            ) from error
        if task is not None and tries[task.path] >= TRIES:
            names = ", ".join(repr(row["conversation_id"]) for row in task.rows[:3])
            raise DailytalkError(
                f"the shard of {names} ended {TRIES} workers one after another, perhaps for want of memory",
                "run the same command again (finished shards are kept) with fewer --workers or more memory",
            ) from error

    def _hear(self, done: list[Any]) -> None:
        """Pass on what actors have told, and ask those that have not been asked."""
        for one in done:
            self._told.pop(one)
            try:
                for event in self._ray.get(one):
                    self._progress(*event)
            except self._ray.exceptions.RayError:
                continue  # the actor is gone, as its shard will say
        if time.monotonic() - self._asked >= POLL_SECONDS:
            self._asked = time.monotonic()
            asked = set(map(id, self._told.values()))
            for actor, task in self._busy.values():
                if task is not None and id(actor) not in asked:
                    self._told[actor.told.remote()] = actor


#: In place of a result.
LOST = object()


@contextmanager
def connected(address: str, workers: int = 0) -> Iterator[Any]:
    """Ray, connected to a cluster or with one of this process, which is ended afterwards.

    Raises DailytalkError if Ray is not installed, or does not answer.
    """
    ray = _ray()
    options: dict[str, Any] = {"address": address}
    if not address:
        options = {"num_cpus": max(workers, cores()), "include_dashboard": False}
    if ray.is_initialized():
        yield ray  # by the program that we are part of, which will end it too
        return
    try:
        _refuse_silence(address)
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        where = f" at {address!r}" if address else ""
        raise DailytalkError(
            f"no Ray cluster answers{where} ({type(error).__name__})",
            "start one with `ray start --head`, or leave --address out; if it asks for a token, set RAY_AUTH_MODE "
            "and RAY_AUTH_TOKEN as it was started with",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would wait for minutes."""
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if sign and port.isdecimal():
        socket.create_connection((host, int(port)), SILENCE_SECONDS).close()


def has_gpus(address: str) -> bool:
    """Whether a cluster has GPUs. Raises as `connected` does."""
    with connected(address) as ray:
        return bool(ray.cluster_resources().get("GPU"))


def _absolute(task: Task) -> Task:
    """A task whose paths mean the same in every folder."""
    known = {name: (path.absolute(), entry) for name, (path, entry) in task.known.items()}
    return Task(task.path.absolute(), task.rows, known)


def _nodes(ray: Any) -> list[tuple[int, int]]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(own.get("CPU", 0)), int(own.get("GPU", 0))) for own in alive]


@contextmanager
def _sign(folder: str) -> Iterator[str]:
    """A file in a folder, there while a run lasts, by which other nodes know whether they see this folder."""
    if not folder:
        yield ""
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".shared-", dir=folder) as file:
        yield file.name


def _refuse_elsewhere(made: Made) -> None:
    if not made.path.exists():
        raise DailytalkError(
            f"a worker has written {str(made.path)!r} where this machine does not see it",
            "choose an --out on a file system that all nodes share, or in object storage (s3://…)",
        )


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise DailytalkError("Ray is not installed", "pip install 'dailytalk-contiguous[ray]'") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray
