"""The Ray engine: a pool of actors, on this machine or on a cluster, that make shards as local workers do.

What travels is a task (paths, small columns, what earlier runs made) and back its account; audio and rows stay on
the disk or in the store. A shard whose actor or node is lost is made again by another one, once: a shard that ends
two of them would end them all. Nothing is restarted behind our back.
"""

import logging
import math
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import private_folder
from dailytalk_contiguous.engine.build import Progress
from dailytalk_contiguous.engine.local import Plan, Task
from dailytalk_contiguous.engine.making import Made
from dailytalk_contiguous.engine.ray_cluster import connected, has_gpus, lost, nodes
from dailytalk_contiguous.engine.ray_share import Share, shared_out
from dailytalk_contiguous.engine.ray_till import Till, answer
from dailytalk_contiguous.engine.ray_worker import Done, Setup, Worker, order
from dailytalk_contiguous.models.engines import Purse
from dailytalk_contiguous.shards import chain_of

#: Seconds between two looks at what actors tell.
POLL_SECONDS = 1.0

#: Seconds without any worker after which is said what is awaited, and said again.
AWAITED_SECONDS = 20.0

#: Seconds that what is being paid for may take to come, when a run is stopped: the longest silence of a service
#: (`models.http`), and as much again.
GRACE_SECONDS = 120.0

#: Times that a shard is begun, and actors that may be lost in a row before they have begun anything.
TRIES, LOST_AT_START = 2, 3

__all__ = ["Cluster", "Setup", "has_gpus", "run"]

log = logging.getLogger("dailytalk_contiguous")


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
        share = shared_out(nodes(ray), cluster.workers, cluster.gpus, len(plan.tasks))
        whole = replace(setup, chain=chain_of(setup.stages), folder=os.getcwd(), threads=share.cores)
        till = ray.remote(Till).options(num_cpus=0, max_concurrency=64).remote(money.limit) if money else None
        with _sign(setup.shared if money else "") as sign:
            pool = Pool(ray, replace(whole, till=till, shared=sign), share, progress)
            try:
                for done in pool.make(plan.tasks):
                    if setup.work:
                        setup.work.ensure(done.made.path, done.token)
                    _refuse_elsewhere(done.made)
                    finished(done.made)
                    yield done.made.path
            finally:
                pool.close()
                if money and till:
                    money.spent, money.saved = answer(till.totals.remote())
                    ray.kill(till)


class Pool:
    """Actors, each with a shard at a time. What it needs of Ray is in here."""

    def __init__(self, ray: Any, setup: Setup, share: Share, progress: Progress) -> None:
        self._ray, self._setup, self._share, self._progress = ray, setup, share, progress
        self._busy: dict[Any, tuple[Any, Task | None]] = {}
        self._told: dict[Any, Any] = {}
        self._lost, self._asked = 0, -math.inf
        self._say_at: float | None = time.monotonic() + AWAITED_SECONDS

    def make(self, tasks: list[Task]) -> Iterator[Done]:
        """Make shards in any order."""
        waiting = deque(tasks)
        left, tries = len(tasks), dict.fromkeys((task.path for task in tasks), 0)
        for _ in range(self._share.actors):
            self._hire()
        while left:
            interrupts.check()
            done, _ = self._ray.wait([*self._busy, *self._told], num_returns=1, timeout=POLL_SECONDS)
            self._hear([one for one in done if one in self._told])
            self._say_what_is_awaited()
            for one in (one for one in done if one in self._busy):
                actor, task = self._busy.pop(one)
                result = self._result(one, actor, task, tries)
                if result is LOST:
                    waiting.extendleft([task] if task else [])
                    self._hire()
                    continue
                if waiting:
                    following = waiting.popleft()
                    tries[following.path] += 1
                    ordered = order(following, self._setup)
                    self._busy[actor.make.remote(ordered)] = (actor, following)
                if result is not None:
                    left -= 1
                    yield result

    def close(self) -> None:
        """End all actors. What they have in hand is a temporary file; the next run makes that shard again."""
        try:
            if self._setup.till is not None and any(task for _, task in self._busy.values()):
                self._let_pay()
        finally:
            for actor, _ in self._busy.values():
                self._ray.kill(actor)
            self._busy.clear()

    def _let_pay(self) -> None:
        """Let nobody buy any more, and wait until what is being bought lies in the cache: else it is bought twice.

        At most `GRACE_SECONDS`. Twice nothing held back is nothing on its way: between the till and the cache are
        milliseconds.
        """
        till, busy = self._setup.till, [one for one, (_, task) in self._busy.items() if task]
        answer(till.close.remote())
        until, quiet, said = time.monotonic() + GRACE_SECONDS, 0, False
        while busy and quiet < 2 and time.monotonic() < until:
            _, busy = self._ray.wait(busy, num_returns=len(busy), timeout=POLL_SECONDS)
            held = answer(till.held_back.remote())
            quiet = 0 if held else quiet + 1
            if held and not said:
                said = True
                log.warning("waiting for speech that is being paid for, %g s at most", GRACE_SECONDS)

    def _hire(self) -> None:
        actor = (
            self._ray.remote(Worker)
            .options(num_cpus=self._share.cores, num_gpus=self._share.gpus, max_concurrency=2, max_restarts=0)
            .remote(self._setup)
        )
        self._busy[actor.ready.remote()] = (actor, None)

    def _say_what_is_awaited(self) -> None:
        """While no worker has begun: others may hold what it needs, or no node may have it together."""
        if self._say_at is None or time.monotonic() < self._say_at:
            return
        self._say_at = time.monotonic() + AWAITED_SECONDS
        free = self._ray.available_resources()
        log.warning(
            "no worker has begun yet: each waits for %d CPU and %g GPU of one node; %g and %g are free in all",
            *(self._share.cores, self._share.gpus, free.get("CPU", 0), free.get("GPU", 0)),
        )

    def _result(self, one: Any, actor: Any, task: Task | None, tries: dict[Path, int]) -> Any:
        """What came of a shard; None for an actor that is ready for its first; LOST for one that is gone."""
        try:
            done = self._ray.get(one)
        except self._ray.exceptions.RayTaskError as error:
            self._ray.kill(actor)
            raise (error.cause or error) from error
        except lost(self._ray) as error:
            self._refuse_to_go_on(task, tries, error)
            self._ray.kill(actor)
            return LOST
        self._lost, self._say_at = 0, None
        if task is None:
            return None
        for event in done.events:
            self._progress(*event)
        return replace(done, made=replace(done.made, path=task.path))

    def _refuse_to_go_on(self, task: Task | None, tries: dict[Path, int], error: Exception) -> None:
        self._lost += task is None
        if task is None and self._lost >= LOST_AT_START:
            raise DailytalkError(
                f"{self._lost} workers in a row ended before they had begun",
                "check that every node of the cluster has this version of dailytalk-contiguous, and memory for it",
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
def _sign(folder: str) -> Iterator[str]:
    """A file in a folder, there while a run lasts, by which other nodes know whether they see this folder."""
    if not folder:
        yield ""
        return
    private_folder(Path(folder))
    with tempfile.NamedTemporaryFile(prefix=".shared-", dir=folder) as file:
        yield file.name


def _refuse_elsewhere(made: Made) -> None:
    if not made.path.exists():
        raise DailytalkError(
            f"a worker has written {str(made.path)!r} where this machine does not see it",
            "choose an --out on a file system that all nodes share, or in object storage (s3://…)",
        )
