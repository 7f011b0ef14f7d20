"""The Ray engine: shards are tasks of a cluster, or of a Ray of this process.

A task (paths, small columns) is sent to a worker, and a report comes back; audio and rows stay on the disk or in
the store. Ray keeps the processes of workers, and so the models in them, and gives a shard whose worker or node is
lost to another one, once.
"""

import itertools
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cores, private_folder
from dailytalk_contiguous.models import budget
from dailytalk_contiguous.models.budget import Budget
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.shard import ShardReport, Task, make_shard
from dailytalk_contiguous.shards import stages_digest
from dailytalk_contiguous.sources.remote import Mirror
from dailytalk_contiguous.stages.base import Stages

#: Cores of a worker if the number of workers is not set: each holds all models in memory.
CORES_EACH = 2

#: Seconds between two checks for a Ctrl-C.
POLL_SECONDS = 1.0

#: Seconds that a stopped run waits for purchases under way: the longest silence of a service (`models.paid`), and
#: as much again.
GRACE_SECONDS = 120.0

#: Seconds that a cluster may take to accept a connection.
SILENCE_SECONDS = 10.0

#: The address, the cores and the environment with which this process has connected; None before that.
_connected_with: tuple[str, int, dict[str, str]] | None = None


def connected(address: str, workers: int = 0) -> Any:
    """Ray, connected to the cluster at `address`, or without one to a Ray of this process with room for `workers`.

    It stays until the process ends or another one is asked for: a Ray of this process takes seconds to start. If
    the program that uses this package has connected already, that cluster is used. Usage statistics are off.

    Raises DailytalkError if Ray is not installed, or does not answer.
    """
    global _connected_with
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise DailytalkError("Ray is not installed", "pip install 'dailytalk-contiguous[ray]'") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    wanted = (address, max(workers, cores()), dict(os.environ))
    if ray.is_initialized() and _connected_with in (None, wanted):
        return ray
    ray.shutdown()
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    own: dict[str, Any] = {} if address else {"num_cpus": wanted[1], "include_dashboard": False}
    try:
        if sign and port.isdecimal():  # Ray itself would wait for minutes where nothing listens
            socket.create_connection((host, int(port)), SILENCE_SECONDS).close()
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        where = f" at {address!r}" if address else ""
        raise DailytalkError(
            f"no Ray cluster answers{where} ({type(error).__name__})",
            "start one with `ray start --head`, or leave --address out; if it asks for a token, set RAY_AUTH_MODE "
            "and RAY_AUTH_TOKEN as it was started with",
        ) from error
    _connected_with = (*wanted[:2], dict(os.environ))
    return ray


def has_gpus(address: str) -> bool:
    """Whether a cluster has GPUs. Raises as `connected` does."""
    return bool(connected(address).cluster_resources().get("GPU"))


def nodes(ray: Any) -> list[tuple[int, int]]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for resources in alive]


class WorkerResources(NamedTuple):
    """How many workers, and what each of them gets: whole cores, and a GPU, a part of one, or none."""

    workers: int
    cores: int
    gpus: float


def plan_workers(node_sizes: list[tuple[int, int]], workers: int, gpus: bool) -> WorkerResources:
    """How many workers, and what each gets, on nodes of these sizes: pairs of cores and GPUs.

    If `workers` is 0: one for each GPU, or one for two cores. If there are more workers than GPUs, several share
    one. Raises DailytalkError if there is no room for one worker, or for so many.
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
    return WorkerResources(wanted, per_core, 1 / on_each if on_each else 0.0)


class Till:
    """An actor that keeps the budget of a run: a worker on any node asks it before it buys something.

    What a lost worker had asked for stays reserved, since nobody knows whether it was charged.
    """

    def __init__(self, limit: float | None) -> None:
        self._budget = Budget(limit)
        self._held: dict[str, tuple[ExitStack, Callable[[float], None]]] = {}

    def hold(self, price: float) -> str:
        """Reserve a price; returns its ticket. Raises as `Budget.paying`."""
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


def ray_get(call: Any) -> Any:
    """The result of a call. Raises what was raised there, and DailytalkError if the worker or the till is lost."""
    import ray

    try:
        return ray.get(call)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        raise DailytalkError(
            f"a worker was lost twice over one shard, perhaps for want of memory ({type(error).__name__})",
            "run the same command again (finished shards and what was bought are kept), with fewer --workers",
        ) from error


@dataclass(frozen=True)
class RayJob:
    """What all tasks of a run have in common.

    Attributes:
        stages, batch_seconds: as `make_shard` takes them.
        work, inputs: mirrors of the work folder and of recordings, if they are in object storage.
        digest: that the stages must have there. folder: where relative paths begin.
        till: the actor that keeps the budget, if money may be spent. shared: a file that it must see then.
    """

    stages: Stages
    batch_seconds: float
    work: Mirror | None = None
    inputs: tuple[Mirror, ...] = ()
    digest: str = ""
    folder: str = ""
    till: Any = None
    shared: str = ""


def make_there(task: Task, job: RayJob) -> ShardReport:
    """Make a shard in a worker. Raises DailytalkError for what its node lacks, before anything is made.

    A recording that a node can't see would else be rejected as damaged.
    """
    if os.path.isdir(job.folder):
        os.chdir(job.folder)
    node = f"the node {os.uname().nodename}"
    if stages_digest(job.stages) != job.digest:
        raise DailytalkError(
            f"{node} has another version, models or settings in its environment",
            "install the same version everywhere, and set the same variables before `ray start`",
        )
    if job.shared and not os.path.exists(job.shared):
        raise DailytalkError(
            f"{node} does not see the cache {os.path.dirname(job.shared)!r}",
            "name a folder that all nodes share with --cache: what was bought must be found by all of them",
        )
    if job.till is not None:
        budget.budgets_from(lambda limit: SharedBudget(limit, job.till))
    for path in {from_uri(row["audio"]["path"]) for row in task.rows if row["audio"]}:
        for mirror in job.inputs:
            mirror.ensure(path)
        if not path.exists():
            raise DailytalkError(
                f"{node} does not see {str(path)!r}",
                "use a file system that all nodes share, or object storage (s3://…)",
            )
    if job.work and task.halfway:
        with suppress(DailytalkError):  # nobody has made it yet
            job.work.ensure(task.halfway)
    made = make_shard(task, job.stages, job.batch_seconds)
    for file in (task.halfway, made.path):
        if job.work and file and job.work.changed_here(str(job.work.name_of(file))):
            job.work.push(file)
    return made


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster: its address, empty for one of this process. `workers`: 0 for all that have room."""

    address: str = ""
    workers: int = 0
    gpus: bool = False


def run_on_ray(
    plan: RunPlan,
    job: RayJob,
    cluster: Cluster,
    finished: Callable[[ShardReport], None],
    money: Budget | None = None,
) -> Iterator[ShardReport]:
    """Make what is left of a plan; yields each shard once its file is here and `finished` was called.

    `money` is shared by all workers, and holds afterwards what was spent and saved.

    Raises DailytalkError for a cluster that does not answer or has no room, for a shard that ends two workers, and
    for what a node lacks; else whatever a stage raises except `BadInput`. Finished shards stay.
    """
    ray = connected(cluster.address, cluster.workers)
    with _sign(job.shared if money else "") as sign:
        share = plan_workers(nodes(ray), cluster.workers, cluster.gpus)
        till = ray.remote(Till).options(num_cpus=0, max_concurrency=64).remote(money.limit) if money else None
        job = replace(job, digest=stages_digest(job.stages), folder=os.getcwd(), till=till, shared=sign)
        # By itself a worker with a GPU would end after each task, and load its models for the next one.
        options = {"num_cpus": share.cores, "num_gpus": share.gpus, "max_retries": 1, "max_calls": 1 << 30}
        make, sent = ray.remote(**options)(make_there), ray.put(job)
        coming, calls = iter(plan.tasks), list[Any]()
        try:
            while True:
                interrupts.check_interrupt()
                for task in itertools.islice(coming, share.workers - len(calls)):
                    calls.append(make.remote(_absolute(task), sent))
                if not calls:
                    return
                done, calls = ray.wait(calls, num_returns=1, timeout=POLL_SECONDS)
                for made in map(ray_get, done):
                    if job.work:
                        job.work.ensure(made.path)
                    if not made.path.exists():
                        raise DailytalkError(
                            f"a worker has written {str(made.path)!r} where this machine does not see it",
                            "choose an --out on a file system that all nodes share, or in object storage (s3://…)",
                        )
                    finished(made)
                    yield made
        finally:
            for call in calls:
                ray.cancel(call, force=till is None)  # else purchases under way come to their end first
            if till is not None:
                if calls:
                    ray.wait(calls, num_returns=len(calls), timeout=GRACE_SECONDS)
                if money:
                    money.spent, money.saved = ray_get(till.totals.remote())
                ray.kill(till)


def _absolute(task: Task) -> Task:
    halfway = task.halfway.absolute() if task.halfway else None
    return replace(task, path=task.path.absolute(), halfway=halfway)


@contextmanager
def _sign(folder: str) -> Iterator[str]:
    """A file in a folder while a run lasts, by which other nodes know whether they see the same folder."""
    if not folder:
        yield ""
        return
    private_folder(Path(folder))
    with tempfile.NamedTemporaryFile(prefix=".shared-", dir=folder) as file:
        yield file.name
