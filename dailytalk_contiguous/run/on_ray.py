"""The Ray engine: shards are tasks of a cluster, or of a Ray of this process.

A task (paths, small columns) is sent to a worker, and a report comes back; audio and rows stay on the disk or in
the store. Ray keeps the processes of workers, and so the models in them, and gives a shard whose worker or node is
lost to another one, once.
"""

import logging
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.run.processes import as_they_come
from dailytalk_contiguous.run.shard import RunPlan, ShardReport, Task, make_shard
from dailytalk_contiguous.sources.remote import Mirror
from dailytalk_contiguous.stages.base import Stages, stages_digest

#: Cores of a worker if the number of workers is not set: each holds all models in memory.
CORES_EACH = 2

#: Seconds that a cluster may take to accept a connection.
SILENCE_SECONDS = 10.0


def connected(address: str, workers: int = 0) -> Any:
    """Ray, connected to the cluster at `address`, or without one to a Ray of this process with room for `workers`.

    If this process is connected already, that cluster is used. Usage statistics are off.

    Raises DailytalkError if Ray is not installed, or does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise DailytalkError("Ray is not installed", "pip install 'dailytalk-contiguous[ray]'") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    own: dict[str, Any] = {} if address else {"num_cpus": max(workers, cores()), "include_dashboard": False}
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if not ray.is_initialized():
            if port.isdecimal():  # Ray itself would wait for minutes where nothing listens
                socket.create_connection((host, int(port)), SILENCE_SECONDS).close()
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise DailytalkError(
            f"no Ray cluster answers at {address!r} ({type(error).__name__})",
            "start one with `ray start --head`, or leave --address out; if it asks for a token, set RAY_AUTH_MODE "
            "and RAY_AUTH_TOKEN as it was started with",
        ) from error
    return ray


def has_gpus(address: str) -> bool:
    """Whether a cluster has GPUs. Raises as `connected` does."""
    return bool(connected(address).cluster_resources().get("GPU"))


def plan_workers(node_sizes: list[tuple[int, int]], workers: int, gpus: bool) -> tuple[int, int, float]:
    """How many workers, and the cores and GPUs of each, on nodes of these sizes: pairs of cores and GPUs.

    If `workers` is 0: one for each GPU, or one for two cores. If there are more workers than GPUs, several share
    one; if there are more than cores, they wait. Raises DailytalkError if there is no GPU.
    """
    n_gpus = sum(node[1] for node in node_sizes) if gpus else 0
    if gpus and not n_gpus:
        raise DailytalkError("the Ray cluster has no GPU", "pass --device cpu, or --device auto")
    able = [node[0] for node in node_sizes if node[1] or not n_gpus]
    wanted = workers or n_gpus or max(1, sum(able) // CORES_EACH)
    each = max(n for n in range(1, max(able) + 1) if n == 1 or sum(node // n for node in able) >= wanted)
    return wanted, each, 1 / -(-wanted // n_gpus) if n_gpus else 0.0


@dataclass(frozen=True)
class RayJob:
    """What all tasks of a run have in common.

    Attributes:
        stages, batch_seconds: as `make_shard` takes them. digest: that the stages must have there.
        work, inputs: mirrors of the work folder and of recordings, if they are in object storage.
        folder: where relative paths begin.
    """

    stages: Stages
    batch_seconds: float
    digest: str
    work: Mirror | None = None
    inputs: tuple[Mirror, ...] = ()
    folder: str = ""


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


def run_on_ray(
    plan: RunPlan,
    job: RayJob,
    address: str,
    workers: int,
    gpus: bool,
) -> Iterator[ShardReport]:
    """Make what is left of a plan; yields each shard once its file is here.

    Raises DailytalkError for a cluster that does not answer or has no room, for a shard that ends two workers, and
    for what a node lacks; else whatever a stage raises except `BadInput`. Finished shards stay.
    """
    ray = connected(address, workers)
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = [(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for resources in alive]
    at_once, cpus_each, gpus_each = plan_workers(sizes, workers, gpus)
    # By itself a worker with a GPU would end after each task, and load its models for the next one.
    options = {"num_cpus": cpus_each, "num_gpus": gpus_each, "max_retries": 1, "max_calls": 1 << 30}
    make, sent = ray.remote(**options)(make_there), ray.put(replace(job, folder=os.getcwd()))
    calls: dict[Future[ShardReport], Any] = {}
    unfinished: set[Future[ShardReport]] = set()

    def submit(task: Task) -> Future[ShardReport]:
        halfway = task.halfway.absolute() if task.halfway else None
        call = make.remote(replace(task, path=task.path.absolute(), halfway=halfway), sent)
        future: Future[ShardReport] = call.future()
        calls[future] = call  # Ray forgets what nothing refers to
        return future

    try:
        for future in as_they_come(submit, plan.tasks, at_once, unfinished):
            made = future.result()
            del calls[future]
            if job.work:
                job.work.ensure(made.path)
            if not made.path.exists():
                raise DailytalkError(
                    f"a worker has written {str(made.path)!r} where this machine does not see it",
                    "choose an --out on a file system that all nodes share, or in object storage (s3://…)",
                )
            yield made
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        raise DailytalkError(
            f"a worker was lost twice over one shard, perhaps for want of memory ({type(error).__name__})",
            "run the same command again (finished shards are kept), with fewer --workers",
        ) from error
    finally:
        for future in unfinished:
            ray.cancel(calls[future], force=True)
