"""The Ray engine: shards are tasks of a cluster, or of a Ray of this process.

A task (paths, small columns) is sent to a worker, and a report comes back; audio and rows stay on the disk or in
the store. Ray keeps the processes of workers, and so the models in them, and gives a shard whose worker or node is
lost to another one, once.
"""

import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.audio import from_uri
from dailytalk_contiguous.machine.interrupts import check_interrupt
from dailytalk_contiguous.machine.resources import cores
from dailytalk_contiguous.run.processes import as_they_come
from dailytalk_contiguous.run.shard import RunPlan, ShardReport, Task, make_shards_of, neighbours
from dailytalk_contiguous.run.storage import WorkFolder
from dailytalk_contiguous.run.workers import fitting_workers, free_gpu_bytes, weights_on_gpu
from dailytalk_contiguous.sources.remote import Mirror
from dailytalk_contiguous.stages.base import Stages, stages_digest

#: Cores of a worker, which holds all models in memory; fewer where several share a GPU.
CORES_EACH = 2


#: Seconds that a cluster may take to accept a connection.
SILENCE_SECONDS = 10.0

#: Seconds between two looks at the cluster during a run.
LOOK_SECONDS = 2.0

#: Seconds without an answer of the head. One with a store of its own may begin again within 60, when Ray gives up.
HEAD_SECONDS = 45.0

#: Seconds without a node that has cores: a cluster that grows and shrinks may replace its nodes.
NODES_SECONDS = 120.0


def connected(address: str, workers: int = 0) -> Any:
    """Ray, connected to the cluster at `address`, or without one to a Ray of this process with room for `workers`.

    If this process is connected already, that cluster is used. Usage statistics are off.

    Raises DailytalkError if Ray is not installed, or does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise DailytalkError(
            "Ray is not installed", "pip install '.[ray]' in a checkout of dailytalk_contiguous"
        ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    settings: dict[str, Any] = {}
    if not address:
        settings = {"num_cpus": max(workers, cores()), "include_dashboard": False}
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if not ray.is_initialized():
            if port.isdecimal():  # Ray itself would wait for minutes where nothing listens
                socket.create_connection((host, int(port)), SILENCE_SECONDS).close()
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **settings)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise DailytalkError(
            f"no Ray cluster answers at {address!r} ({type(error).__name__})",
            "start one with `ray start --head`, or leave --address out; if it asks for a token, set RAY_AUTH_MODE "
            "and RAY_AUTH_TOKEN as it was started with",
        ) from error
    return ray


class ClusterWatch:
    """Notices the end of a cluster while tasks run on it. Ray says nothing, and after 60 s ends this process."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        is_client = ray.util.client.ray.is_connected()
        # A client has no connection to the head's registry, and its calls raise a ConnectionError.
        self._registry = "" if is_client else ray.get_runtime_context().gcs_address
        self._looked_at = time.monotonic()
        self._answered_at = self._looked_at
        self._had_cores_at: float | None = None

    def check(self) -> None:
        """Look at the cluster every few seconds.

        Raises DailytalkError if its head doesn't answer or its last node is gone, and KeyboardInterrupt for a
        Ctrl-C.
        """
        check_interrupt()
        now = time.monotonic()
        if not self._registry or now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if not _accepts(self._registry):
            if now - self._answered_at > HEAD_SECONDS:
                raise cluster_gone("its head does not answer")
            return
        self._answered_at = now
        if self._ray.cluster_resources().get("CPU"):
            self._had_cores_at = now
        elif self._had_cores_at is not None and now - self._had_cores_at > NODES_SECONDS:
            raise cluster_gone("its last node with cores is gone")


def _accepts(address: str) -> bool:
    """Whether something accepts connections at `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), LOOK_SECONDS).close()
    except OSError:
        return False
    return True


def cluster_gone(why: str) -> DailytalkError:
    """Return the error of a cluster that ended during a run."""
    return DailytalkError(
        f"the Ray cluster ended during the run ({why})",
        "start it again, and run the same command again (what is finished is kept)",
    )


@dataclass(frozen=True)
class RayJob:
    """The settings that all tasks of a run have in common.

    Attributes:
        stages: as `ShardMaker` takes them.
        batch_seconds: as `ShardMaker` takes them; also how much audio a worker gets at once.
        digest: the digest that the stages must have on the worker.
        work: the folder of the results.
        inputs: mirrors of recordings that are in object storage.
        folder: the folder in which relative paths begin.
    """

    stages: Stages
    batch_seconds: float
    digest: str
    work: WorkFolder
    inputs: tuple[Mirror, ...] = ()
    folder: str = ""


def default_workers(ray: Any, job: RayJob, n_gpus: int) -> int:
    """Return the number of workers of a job on a cluster; `n_gpus`: 0 if none is used.

    Without GPUs, one for two cores. On GPUs as many as `run.workers` has on a machine, and one for each at least:
    one GPU is asked for its free memory, and the others are taken to have as much.
    """
    resources = ray.cluster_resources()
    n_cores = int(resources.get("CPU", 1))
    if not n_gpus:
        return max(1, n_cores // CORES_EACH)
    weights = weights_on_gpu(job.stages)
    says_lines = not job.batch_seconds
    if says_lines or not weights:  # models of an unknown size
        return n_gpus
    free_on_gpu = ray.get(ray.remote(num_cpus=0, num_gpus=1)(free_gpu_bytes).remote(0))
    return max(n_gpus, fitting_workers(n_cores, n_gpus, free_on_gpu, int(resources["memory"]), weights))


def make_there(tasks: Sequence[Task], job: RayJob) -> list[ShardReport]:
    """Make the shards of neighbouring tasks in a worker.

    Raises DailytalkError for what its node lacks, before anything is made: a recording that a node can't see would
    else be rejected as damaged.
    """
    if os.path.isdir(job.folder):
        os.chdir(job.folder)
    node = f"the node {os.uname().nodename}"
    if stages_digest(job.stages) != job.digest:
        raise DailytalkError(
            f"{node} has another version, models or settings in its environment",
            "install the same version everywhere, and set the same variables before `ray start`",
        )
    needs_sound = any("audio" in (*stage.needs, *stage.uses) for stage in job.stages)
    uris = set[str]()
    if needs_sound:
        conversations = chain.from_iterable(task.left for task in tasks)
        uris = {pending.sound_uri for pending in conversations}
    for uri in uris - {""}:
        path = from_uri(uri)
        for mirror in job.inputs:
            mirror.ensure(path)
        if not path.exists():
            raise DailytalkError(
                f"{node} does not see {str(path)!r}",
                "use a file system that all nodes share, or object storage (s3://…)",
            )
    for task in tasks:
        for file in task.read_files():
            if job.work.mirror:
                job.work.mirror.ensure(file)
    reports = make_shards_of(tasks, job.stages, job.batch_seconds)
    for report in reports:
        job.work.keep(report.path)
    return reports


def run_on_ray(plan: RunPlan, job: RayJob, address: str, workers: int, gpus: bool) -> Iterator[ShardReport]:
    """Make what is left of a plan; yields each shard once its file is here.

    Raises DailytalkError for a cluster that does not answer, has no room or ends, for a shard that ends two
    workers, and for what a node lacks; else whatever a stage raises except `BadInput`. Finished shards stay.
    """
    ray = connected(address, workers)
    resources = ray.cluster_resources()
    cpus = int(resources.get("CPU", 1))
    n_gpus = int(resources.get("GPU", 0)) if gpus else 0
    at_once = workers or default_workers(ray, job, n_gpus)
    cpus_each = max(1, min(CORES_EACH, cpus // at_once))
    gpus_each = 1 / math.ceil(at_once / n_gpus) if n_gpus else 0.0  # several workers may share one
    # By itself a worker with a GPU would end after each task, and load its models for the next one.
    limits = {"num_cpus": cpus_each, "num_gpus": gpus_each, "max_retries": 1, "max_calls": 1 << 30}
    make = ray.remote(**limits)(make_there)
    sent = ray.put(replace(job, folder=os.getcwd()))
    calls: dict[Future[list[ShardReport]], object] = {}
    unfinished: set[Future[list[ShardReport]]] = set()
    watch = ClusterWatch(ray)
    pieces = neighbours(plan.tasks, job.batch_seconds, at_once)

    def submit(tasks: list[Task]) -> Future[list[ShardReport]]:
        for task in tasks:
            for file in task.read_files():
                job.work.keep(file)
        call = make.remote(tasks, sent)
        future: Future[list[ShardReport]] = call.future()
        calls[future] = call  # Ray forgets what nothing refers to
        return future

    try:
        for future in as_they_come(submit, pieces, at_once, unfinished, watch.check):
            reports = future.result()
            del calls[future]
            for report in reports:
                if job.work.mirror:
                    job.work.mirror.ensure(report.path)
                if not report.path.exists():
                    raise DailytalkError(
                        f"a worker has written {str(report.path)!r} where this machine does not see it",
                        "choose an --out on a file system that all nodes share, or in object storage (s3://…)",
                    )
                yield report
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except (ray.exceptions.LocalRayletDiedError, ray.exceptions.RaySystemError) as error:
        raise cluster_gone(f"the node of this machine is gone: {type(error).__name__}") from error
    except ray.exceptions.RayError as error:
        raise DailytalkError(
            f"a worker was lost twice over one shard, perhaps for lack of memory ({type(error).__name__})",
            "run the same command again (what is finished is kept), with fewer --workers",
        ) from error
    except ConnectionError as error:  # as a client has it; that of a worker is the cause of a RayTaskError
        raise cluster_gone("the connection to it broke off") from error
    finally:
        with suppress(ray.exceptions.RayError, ConnectionError):  # a cluster that is gone cancels nothing
            for future in unfinished:
                ray.cancel(calls[future], force=True)
