"""Ray itself: connecting to a cluster, or starting one of this process and keeping it.

A Ray of one's own takes seconds to start and a process may need it twice, as `dailytalk build` does, so it stays
until the process ends; another cluster is left as soon as its work is done. Nothing is told to the outside.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cores

#: Seconds that a cluster may take to answer a knock.
SILENCE_SECONDS = 10.0


class _Own(NamedTuple):
    """A Ray of this process: the cores that it gives away, and the environment that its workers have."""

    cores: int
    environment: dict[str, str]


_own: _Own | None = None


@contextmanager
def connected(address: str, workers: int = 0) -> Iterator[Any]:
    """Ray, connected to the cluster at `address` for as long as the block lasts.

    Without an address it is one of this process, with room for `workers`, which stays until the process ends. A
    program that we are part of may have connected already: then that is the one, and it stays.

    Raises DailytalkError if Ray is not installed, or does not answer.
    """
    ray = _ray()
    if ray.is_initialized() and _own is None:
        yield ray
    elif not address:
        _keep(ray, max(workers, cores()))
        yield ray
    else:
        end()
        _refuse_silence(address)
        _begin(ray, address, address=address)
        try:
            yield ray
        finally:
            ray.shutdown()


def end() -> None:
    """End the Ray of this process, if there is one."""
    global _own
    if _own is not None:
        _own = None
        _ray().shutdown()


def has_gpus(address: str) -> bool:
    """Whether a cluster has GPUs. Raises as `connected` does."""
    with connected(address) as ray:
        return bool(ray.cluster_resources().get("GPU"))


def nodes(ray: Any) -> list[tuple[int, int]]:
    """Cores and GPUs of each node that is there."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(own.get("CPU", 0)), int(own.get("GPU", 0))) for own in alive]


def lost(ray: Any) -> tuple[type[Exception], ...]:
    """What is raised in place of the result of an actor that is gone: killed, out of memory, or with its node."""
    errors = ray.exceptions
    return (
        *(errors.RayActorError, errors.OutOfMemoryError, errors.NodeDiedError, errors.ObjectLostError),
        *(errors.WorkerCrashedError, errors.LocalRayletDiedError),
    )


def _keep(ray: Any, n_cores: int) -> None:
    """Start a Ray of this process, or keep that which is there if it is large enough and knows the environment."""
    global _own
    if _own and ray.is_initialized() and _own.cores >= n_cores and _own.environment == dict(os.environ):
        return
    end()
    _begin(ray, "", address="local", num_cpus=n_cores, include_dashboard=False)
    _own = _Own(n_cores, dict(os.environ))


def _begin(ray: Any, asked: str, **options: Any) -> None:
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise _no_answer(asked, error) from error


def _refuse_silence(address: str) -> None:
    """Raise DailytalkError where nobody listens at HOST:PORT: Ray itself would wait for minutes."""
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if sign and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), SILENCE_SECONDS).close()
        except OSError as error:
            raise _no_answer(address, error) from error


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
