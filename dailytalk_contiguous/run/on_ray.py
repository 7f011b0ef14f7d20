"""The Ray engine: a pool of actors, on this machine or on a cluster, that make shards as local workers do.

A task (paths, small columns, what earlier runs made) is sent to an actor, and a report comes back; audio and rows
stay on the disk or in the store. A shard whose actor or node is lost is made again by another one, once: a shard
that ends two actors would end them all. Ray itself restarts nothing.
"""

import logging
import math
import os
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores, private_folder
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.models import budget
from dailytalk_contiguous.models.budget import Budget
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.shard import Progress, ShardReport, Task, make_shard
from dailytalk_contiguous.shards import Entry, chain_of, expand_row
from dailytalk_contiguous.sources.remote import Mirror
from dailytalk_contiguous.stages.base import Stages

# Ray itself: connecting to a cluster, or starting one of this process and keeping it.
#
# A Ray of this process takes seconds to start and may be needed twice, as in `dailytalk build`, so it stays until
# the process ends; another cluster is left as soon as its work is done. Usage statistics are off.


#: Seconds that a cluster may take to accept a connection.
SILENCE_SECONDS = 10.0


class _Own(NamedTuple):
    """A Ray of this process: the cores that it has for workers, and the environment of its workers."""

    cores: int
    environment: dict[str, str]


_own: _Own | None = None


@contextmanager
def connected(address: str, workers: int = 0) -> Iterator[Any]:
    """Ray, connected to the cluster at `address` for as long as the block lasts.

    Without an address it is one of this process, with room for `workers`, which stays until the process ends. If
    the program that uses this package has connected already, that cluster is used, and stays.

    Raises DailytalkError if Ray is not installed, or does not answer.
    """
    global _own
    ray = _ray()
    if ray.is_initialized() and _own is None:
        yield ray
    elif not address:
        n_cores = max(workers, cores())
        # The present one stays if it is large enough and has the same environment.
        kept = _own if _own and ray.is_initialized() and _own.cores >= n_cores else None
        if kept is None or kept.environment != dict(os.environ):
            stop_ray()
            _begin(ray, "", address="local", num_cpus=n_cores, include_dashboard=False)
            _own = _Own(n_cores, dict(os.environ))
        yield ray
    else:
        stop_ray()
        host, sign, port = address.removeprefix("ray://").rpartition(":")
        if sign and port.isdecimal():  # Ray itself would wait for minutes where nothing listens
            try:
                socket.create_connection((host, int(port)), SILENCE_SECONDS).close()
            except OSError as error:
                raise _no_answer(address, error) from error
        _begin(ray, address, address=address)
        try:
            yield ray
        finally:
            ray.shutdown()


def stop_ray() -> None:
    global _own
    if _own is not None:
        _own = None
        _ray().shutdown()


def has_gpus(address: str) -> bool:
    """Whether a cluster has GPUs. Raises as `connected` does."""
    with connected(address) as ray:
        return bool(ray.cluster_resources().get("GPU"))


def nodes(ray: Any) -> list[tuple[int, int]]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for resources in alive]


def lost(ray: Any) -> tuple[type[Exception], ...]:
    """The errors that Ray raises for the result of a lost actor: killed, out of memory, or lost with its node."""
    errors = ray.exceptions
    return (
        *(errors.RayActorError, errors.OutOfMemoryError, errors.NodeDiedError, errors.ObjectLostError),
        *(errors.WorkerCrashedError, errors.LocalRayletDiedError),
    )


def _begin(ray: Any, asked: str, **options: Any) -> None:
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise _no_answer(asked, error) from error


def _no_answer(address: str, error: Exception) -> DailytalkError:
    where = f" at {address!r}" if address else ""
    return DailytalkError(
        f"no Ray cluster answers{where} ({type(error).__name__})",
        "start one with `ray start --head`, or leave --address out; if it asks for a token, set RAY_AUTH_MODE and "
        "RAY_AUTH_TOKEN as it was started with",
    )


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise DailytalkError("Ray is not installed", "pip install 'dailytalk-contiguous[ray]'") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


# How a Ray cluster is divided: the number of actors, and what each of them gets.
#
# The same arithmetic serves a laptop and a cluster of unequal nodes. It doesn't use Ray, so that it can be tested
# without a cluster, and without a GPU.


#: Cores of an actor if the number of actors is not set: each holds all models in memory.
CORES_EACH = 2


@dataclass(frozen=True)
class ActorResources:
    """The resources of each of `actors`: whole cores, and a GPU, a part of one, or none."""

    actors: int
    cores: int
    gpus: float


def plan_actors(node_sizes: list[tuple[int, int]], workers: int, gpus: bool, tasks: int) -> ActorResources:
    """How many actors, and what each gets, on nodes of these sizes: pairs of cores and GPUs.

    Never more actors than `tasks`. If `workers` is 0: one for each GPU, or one for two cores. If there are more
    workers than GPUs, several share one. Raises DailytalkError if there is no room for one actor, or for so many.
    """
    n_gpus = sum(node[1] for node in node_sizes) if gpus else 0
    able = [node for node in node_sizes if node[1]] if n_gpus else node_sizes
    if gpus and not n_gpus:
        raise DailytalkError("the Ray cluster has no GPU", "pass --device cpu, or --device auto")
    total = sum(node[0] for node in able)
    if not total:
        raise DailytalkError("the Ray cluster has no cores to give away", "start it with `ray start --num-cpus N`")
    wanted = workers or n_gpus or max(1, total // CORES_EACH)
    if wanted > total:
        raise DailytalkError(f"the Ray cluster has {total} cores, too few for {wanted} workers", "ask for fewer")
    per_core = next(
        each for each in range(total // wanted, 0, -1) if sum(node[0] // each for node in able) >= wanted
    )
    on_each = -(-wanted // n_gpus) if n_gpus else 0
    return ActorResources(max(1, min(wanted, tasks)), per_core, 1 / on_each if on_each else 0.0)


# The till of a run on Ray: one budget for all workers, whichever nodes they are on.
#
# A limit on spending holds for all workers together only if each asks one actor before it buys. That actor also
# knows what is being bought, so that a run that is stopped can wait for it.


class BudgetActor:
    """An actor that keeps the budget of a run: a worker on any node asks it before it buys something.

    What a lost worker had asked for stays reserved, since nobody knows whether it was charged.
    """

    def __init__(self, limit: float | None) -> None:
        self._budget = Budget(limit)
        self._held: dict[str, tuple[ExitStack, Callable[[float], None]]] = {}
        self._closed = False

    def hold(self, price: float) -> str:
        """Reserve a price; returns its ticket. Raises as `Budget.paying`, and DailytalkError once closed."""
        if self._closed:
            raise DailytalkError("the run is being stopped", "run the same command again: what was bought is kept")
        stack = ExitStack()
        pay = stack.enter_context(self._budget.paying(price))
        ticket = uuid4().hex
        self._held[ticket] = (stack, pay)
        return ticket

    def pay(self, ticket: str, cost: float) -> None:
        """Replace a reserved price by the real cost."""
        stack, pay = self._held.pop(ticket)
        pay(cost)
        stack.close()

    def save(self, cost: float) -> None:
        self._budget.save(cost)

    def close(self) -> None:
        self._closed = True

    def held_back(self) -> int:
        return len(self._held)

    def totals(self) -> tuple[float, float]:
        return self._budget.spent, self._budget.saved


class SharedBudget(Budget):
    """The budget of a worker, which asks the till that all workers share."""

    def __init__(self, limit: float | None, till: Any) -> None:
        super().__init__(limit)
        self._till = till

    @contextmanager
    def paying(self, price: float) -> Iterator[Callable[[float], None]]:
        self.check_halted()
        ticket = ray_get(self._till.hold.remote(price))
        costs: list[float] = []
        try:
            yield costs.append
        finally:
            ray_get(self._till.pay.remote(ticket, sum(costs)))

    def save(self, cost: float) -> None:
        ray_get(self._till.save.remote(cost))


def ray_get(question: Any) -> Any:
    """The till's answer. Raises what the till raises, and DailytalkError if it is gone."""
    import ray

    try:
        return ray.get(question)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except lost(ray):
        raise DailytalkError(
            "the till was lost with its node, and nothing may be bought without it",
            "run the same command again: what was bought is kept",
        ) from None


# What runs inside Ray's actors: a worker that makes shards.
#
# A node can lack what the driver has (the same code, the same environment, the recordings), or have an older
# version. All of it is checked before anything is made: a recording that a node can't see would else be rejected
# as damaged, and another one with its name cut at times that mean nothing in it.


#: Stage, seconds of audio, wall seconds: the arguments of a `Progress`.
StageEvent = tuple[str, float, float]


@dataclass(frozen=True)
class WorkerConfig:
    """The configuration that a worker gets once: stages, how they are run, and where files are.

    Attributes:
        stages, batch_seconds: as `make_shard` takes them.
        work, inputs: mirrors of the work folder and of recordings, if they are in object storage.
        chain: the digests that the stages must have there. folder: where relative paths begin. threads: its cores.
        till: the actor that keeps the budget, if money may be spent. shared: a file that it must see then.
    """

    stages: Stages
    batch_seconds: float
    work: Mirror | None = None
    inputs: tuple[Mirror, ...] = ()
    chain: tuple[str, ...] = ()
    folder: str = ""
    threads: int = 1
    till: Any = None
    shared: str = ""


@dataclass(frozen=True)
class RemoteTask:
    """A task, with absolute paths, and the versions of those of its files that are in a store: tokens by path."""

    task: Task
    tokens: dict[Path, str]


@dataclass(frozen=True)
class RemoteResult:
    """The result of a task: the `token` of the shard in the store, if any, and events not yet passed on."""

    made: ShardReport
    token: str
    events: list[StageEvent]


def remote_task(task: Task, setup: WorkerConfig) -> RemoteTask:
    """A task as it is sent to a worker by the machine that planned it, with the versions of files seen there."""
    known = {name: (path.absolute(), entry) for name, (path, entry) in task.known.items()}
    task = replace(task, path=task.path.absolute(), known=known)
    shards = dict.fromkeys(path for path, _ in known.values())
    for path in shards if setup.work else ():
        if setup.work and setup.work.name_of(path):
            setup.work.push(path)  # a killed run may have left one that is only here
    tokens = {
        path: token
        for mirror in _mirrors(setup)
        for path in (*shards, *_recordings(task.rows))
        if (token := mirror.token_of(path))
    }
    return RemoteTask(task, tokens)


class Worker:
    """An actor. `make` runs in one of its threads, and `take_events` in the other."""

    def __init__(self, setup: WorkerConfig) -> None:
        self._setup = setup
        self._events: list[StageEvent] = []
        self._lock = threading.Lock()

    def ready(self) -> None:
        """Apply the driver's settings. Raises DailytalkError for what this node lacks."""
        if os.path.isdir(self._setup.folder):
            os.chdir(self._setup.folder)
        os.environ["OMP_NUM_THREADS"] = str(self._setup.threads)
        if torch := sys.modules.get("torch"):  # if it is not loaded yet, it will read the variable
            torch.set_num_threads(self._setup.threads)
        if chain_of(self._setup.stages) != self._setup.chain:
            raise DailytalkError(
                f"the node {os.uname().nodename} has other code, models or settings in its environment",
                "install the same version everywhere, and set the same variables before `ray start`",
            )
        if self._setup.shared and not os.path.exists(self._setup.shared):
            raise DailytalkError(
                f"the node {os.uname().nodename} does not see the cache {os.path.dirname(self._setup.shared)!r}",
                "name a folder that all nodes share with --cache: what was bought must be found by all of them",
            )
        if self._setup.till is not None:
            till = self._setup.till
            budget.budgets_from(lambda limit: SharedBudget(limit, till))

    def make(self, ordered: RemoteTask) -> RemoteResult:
        task, setup = self._brought(ordered), self._setup

        def note(*event: Any) -> None:
            with self._lock:
                self._events.append(event)

        made = make_shard(task, setup.stages, setup.batch_seconds, note)
        if setup.work:
            setup.work.push(task.path)
        return RemoteResult(made, setup.work.token_of(task.path) if setup.work else "", self.take_events())

    def take_events(self) -> list[StageEvent]:
        with self._lock:
            events, self._events = self._events, []
        return events

    def _brought(self, ordered: RemoteTask) -> Task:
        """Fetch what a task needs to this machine; returns it with rejects for recordings that were replaced."""
        task = ordered.task
        refused: dict[Path, BadInput] = {}
        for path in dict.fromkeys(path for path, _ in task.known.values()):
            self._bring(path, ordered)
        for path in _recordings(task.rows):
            try:
                self._bring(path, ordered)
            except BadInput as error:
                refused[path] = error
        return self._without(task, refused) if refused else task

    def _bring(self, path: Path, ordered: RemoteTask) -> None:
        for mirror in _mirrors(self._setup):
            mirror.ensure(path, ordered.tokens.get(path, ""))
        if not path.exists():
            raise DailytalkError(
                f"the node {os.uname().nodename} does not see {str(path)!r}",
                "use a file system that all nodes share, or object storage (s3://…)",
            )

    def _without(self, task: Task, refused: dict[Path, BadInput]) -> Task:
        """The task with the conversations of some recordings rejected already, by the first stage.

        The old recording may come back: the rejects have no input digest, so that the next run tries again.
        """
        first, rows, known = self._setup.stages[0].name, [], dict(task.known)
        for row in task.rows:
            where = _recording(row)
            if where in refused:
                name = row["conversation_id"]
                reject = Reject(name, first, refused[where].reason, "run dailytalk tag again")
                about = (row["recording_id"], row["duration"], reject)
                known[name] = (task.path, Entry("", self._setup.chain[:1], (0.0,), *about))
                row = expand_row(row) | {"input_digest": ""}
            rows.append(row)
        return replace(task, rows=rows, known=known)


def _mirrors(setup: WorkerConfig) -> tuple[Mirror, ...]:
    return (*((setup.work,) if setup.work else ()), *setup.inputs)


def _recording(row: Row) -> Path | None:
    return from_uri(row["audio"]["path"]) if row["audio"] else None


def _recordings(rows: list[Row]) -> list[Path]:
    return list(dict.fromkeys(path for row in rows if (path := _recording(row))))


#: Seconds between two checks for events of actors.
POLL_SECONDS = 1.0

#: Seconds without any worker after which a warning says what the run is waiting for, and says it again.
AWAITED_SECONDS = 20.0

#: Seconds that a stopped run waits for purchases under way: the longest silence of a service (`models.paid`), and
#: as much again.
GRACE_SECONDS = 120.0

#: How often a shard is begun, and how many actors in a row may be lost before they have begun anything.
TRIES, LOST_AT_START = 2, 3


log = logging.getLogger("dailytalk_contiguous")


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster: its address, empty for one of this process. `workers`: actors; 0 for all that have room."""

    address: str = ""
    workers: int = 0
    gpus: bool = False


def run_on_ray(
    plan: RunPlan,
    setup: WorkerConfig,
    cluster: Cluster,
    progress: Progress,
    finished: Callable[[ShardReport], None],
    money: Budget | None = None,
) -> Iterator[Path]:
    """Make what is left of a plan; yields each shard's file once it is here and `finished` was called.

    `money` is shared by all actors, and holds afterwards what was spent and saved.

    Raises DailytalkError for a cluster that does not answer or has no room, for a shard that ends two actors, and
    for what a node lacks; else whatever a stage raises except `BadInput`. Finished shards stay.
    """
    with connected(cluster.address, cluster.workers) as ray:
        share = plan_actors(nodes(ray), cluster.workers, cluster.gpus, len(plan.tasks))
        whole = replace(setup, chain=chain_of(setup.stages), folder=os.getcwd(), threads=share.cores)
        till = (
            ray.remote(BudgetActor).options(num_cpus=0, max_concurrency=64).remote(money.limit) if money else None
        )
        with _sign(setup.shared if money else "") as sign:
            pool = Pool(ray, replace(whole, till=till, shared=sign), share, progress)
            try:
                for done in pool.make(plan.tasks):
                    if setup.work:
                        setup.work.ensure(done.made.path, done.token)
                    if not done.made.path.exists():
                        raise DailytalkError(
                            f"a worker has written {str(done.made.path)!r} where this machine does not see it",
                            "choose an --out on a file system that all nodes share, or in object storage (s3://…)",
                        )
                    finished(done.made)
                    yield done.made.path
            finally:
                pool.close()
                if money and till:
                    money.spent, money.saved = ray_get(till.totals.remote())
                    ray.kill(till)


class Pool:
    def __init__(self, ray: Any, setup: WorkerConfig, share: ActorResources, progress: Progress) -> None:
        self._ray, self._setup, self._share, self._progress = ray, setup, share, progress
        self._busy: dict[Any, tuple[Any, Task | None]] = {}
        self._event_calls: dict[Any, Any] = {}
        self._lost, self._asked = 0, -math.inf
        self._say_at: float | None = time.monotonic() + AWAITED_SECONDS

    def make(self, tasks: list[Task]) -> Iterator[RemoteResult]:
        waiting = deque(tasks)
        left, tries = len(tasks), dict.fromkeys((task.path for task in tasks), 0)
        for _ in range(self._share.actors):
            self._hire()
        while left:
            interrupts.check_interrupt()
            done, _ = self._ray.wait([*self._busy, *self._event_calls], num_returns=1, timeout=POLL_SECONDS)
            self._hear([call for call in done if call in self._event_calls])
            self._say_what_is_awaited()
            for call in (call for call in done if call in self._busy):
                actor, task = self._busy.pop(call)
                result = self._result(call, actor, task, tries)
                if result is LOST:
                    waiting.extendleft([task] if task else [])
                    self._hire()
                    continue
                if waiting:
                    following = waiting.popleft()
                    tries[following.path] += 1
                    ordered = remote_task(following, self._setup)
                    self._busy[actor.make.remote(ordered)] = (actor, following)
                if result is not None:
                    left -= 1
                    yield result

    def close(self) -> None:
        """End all actors. Unfinished shards are temporary files; the next run makes them again."""
        try:
            if self._setup.till is not None and any(task for _, task in self._busy.values()):
                self._let_pay()
        finally:
            for actor, _ in self._busy.values():
                self._ray.kill(actor)
            self._busy.clear()

    def _let_pay(self) -> None:
        """Refuse new purchases, and wait until those under way are in the cache: else they would be made twice.

        It waits at most `GRACE_SECONDS`. Two checks without purchases under way mean that there are none: a result
        gets from the till to the cache within milliseconds.
        """
        till, busy = self._setup.till, [call for call, (_, task) in self._busy.items() if task]
        ray_get(till.close.remote())
        until, quiet, said = time.monotonic() + GRACE_SECONDS, 0, False
        while busy and quiet < 2 and time.monotonic() < until:
            _, busy = self._ray.wait(busy, num_returns=len(busy), timeout=POLL_SECONDS)
            held = ray_get(till.held_back.remote())
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
        """Warn while no worker has begun: others may hold what it needs, or no node may have all of it."""
        if self._say_at is None or time.monotonic() < self._say_at:
            return
        self._say_at = time.monotonic() + AWAITED_SECONDS
        free = self._ray.available_resources()
        log.warning(
            "no worker has begun yet: each waits for %d CPU and %g GPU of one node; %g and %g are free in all",
            *(self._share.cores, self._share.gpus, free.get("CPU", 0), free.get("GPU", 0)),
        )

    def _result(self, call: Any, actor: Any, task: Task | None, tries: dict[Path, int]) -> Any:
        """The result of a call: a shard's, None from an actor that is ready, LOST from a lost one."""
        try:
            done = self._ray.get(call)
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
        """Pass on the events of actors, and ask for events those that have not been asked."""
        for call in done:
            self._event_calls.pop(call)
            try:
                for event in self._ray.get(call):
                    self._progress(*event)
            except self._ray.exceptions.RayError:
                continue  # the actor is gone, as its shard will say
        if time.monotonic() - self._asked >= POLL_SECONDS:
            self._asked = time.monotonic()
            asked = set(map(id, self._event_calls.values()))
            for actor, task in self._busy.values():
                if task is not None and id(actor) not in asked:
                    self._event_calls[actor.take_events.remote()] = actor


#: The result of a call to a lost actor.
LOST = object()


@contextmanager
def _sign(folder: str) -> Iterator[str]:
    """A file in a folder while a run lasts, by which other nodes know whether they see the same folder."""
    if not folder:
        yield ""
        return
    private_folder(Path(folder))
    with tempfile.NamedTemporaryFile(prefix=".shared-", dir=folder) as file:
        yield file.name
