"""What runs inside Ray's actors: a worker that makes shards, and the till that all of them pay from.

A node can lack what the driver has: the same code, the same environment, the recordings. Each is looked for before
anything is made, because a recording that a node can't see would else be set aside as a bad one.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.engine.local import Task
from dailytalk_contiguous.engine.making import Made, make
from dailytalk_contiguous.engine.shards import chain_of
from dailytalk_contiguous.models import engines
from dailytalk_contiguous.models.engines import Purse
from dailytalk_contiguous.sources.remote_files import Mirror
from dailytalk_contiguous.stages.base import Stage

#: Stage, seconds of audio, wall seconds: what a `Progress` is told.
Event = tuple[str, float, float]


@dataclass(frozen=True)
class Setup:
    """What a worker is given once: stages, how they are run, and where things are.

    Attributes:
        stages, batch_seconds: as `build_shard` takes them. mirrors: of what lies in object storage.
        chain: what the stages' digests must be there. folder: where relative paths begin. threads: its cores.
        till: an actor that keeps the money, if any may be spent. shared: a place that it must see then.
    """

    stages: tuple[Stage, ...]
    batch_seconds: float
    mirrors: tuple[Mirror, ...] = ()
    chain: tuple[str, ...] = ()
    folder: str = ""
    threads: int = 1
    till: Any = None
    shared: str = ""


class Worker:
    """An actor. `make` runs in one of its threads, and `told` in the other."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def ready(self) -> None:
        """Take up the driver's settings. Raises DailytalkError for what this node lacks."""
        if os.path.isdir(self._setup.folder):
            os.chdir(self._setup.folder)
        os.environ["OMP_NUM_THREADS"] = str(self._setup.threads)
        if torch := sys.modules.get("torch"):  # else it will read the variable
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
            engines.purses_from(lambda limit: SharedPurse(limit, till))

    def make(self, task: Task) -> tuple[Made, list[Event]]:
        """Make a shard, keep it, and return its account and what was not told yet."""
        self._bring(task)
        made = make(task.path, task.rows, self._setup.stages, task.known, self._setup.batch_seconds, self._note)
        for mirror in self._setup.mirrors:
            if mirror.name_of(task.path):
                mirror.push(task.path)
        return made, self.told()

    def told(self) -> list[Event]:
        """Events since the last call."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def _note(self, *event: Any) -> None:
        with self._lock:
            self._events.append(event)

    def _bring(self, task: Task) -> None:
        """See that what the task needs is on this machine."""
        recordings = [from_uri(row["audio"]["path"]) for row in task.rows if row["audio"]]
        for path in dict.fromkeys([*recordings, *(path for path, _ in task.known.values())]):
            for mirror in self._setup.mirrors:
                mirror.ensure(path)
            if not path.exists():
                raise DailytalkError(
                    f"the node {os.uname().nodename} does not see {str(path)!r}",
                    "use a file system that all nodes share, or object storage (s3://…)",
                )


class Till:
    """An actor that keeps the purse of a run: whoever buys something, on any node, asks here first.

    What a lost worker had asked for stays held back, since nobody knows whether it was charged.
    """

    def __init__(self, limit: float | None) -> None:
        self._purse = Purse(limit)
        self._held: dict[str, tuple[ExitStack, Callable[[float], None]]] = {}

    def hold(self, price: float) -> str:
        """Hold a price back. Raises as `Purse.paying` does."""
        stack = ExitStack()
        pay = stack.enter_context(self._purse.paying(price))
        ticket = uuid4().hex
        self._held[ticket] = (stack, pay)
        return ticket

    def pay(self, ticket: str, cost: float) -> None:
        """End what was held back with what it did cost."""
        stack, pay = self._held.pop(ticket)
        pay(cost)
        stack.close()

    def save(self, cost: float) -> None:
        """Note what something would have cost."""
        self._purse.save(cost)

    def totals(self) -> tuple[float, float]:
        """USD spent, and saved by the cache."""
        return self._purse.spent, self._purse.saved


class SharedPurse(Purse):
    """The purse of a worker, which is the till of all of them."""

    def __init__(self, limit: float | None, till: Any) -> None:
        super().__init__(limit)
        self._till = till

    @contextmanager
    def paying(self, price: float) -> Iterator[Callable[[float], None]]:
        ticket = self._ask(self._till.hold.remote(price))
        costs: list[float] = []
        try:
            yield costs.append
        finally:
            self._ask(self._till.pay.remote(ticket, sum(costs)))

    def save(self, cost: float) -> None:
        self._ask(self._till.save.remote(cost))

    def _ask(self, question: Any) -> Any:
        import ray

        try:
            return ray.get(question)
        except ray.exceptions.RayTaskError as error:
            raise (error.cause or error) from None
        except ray.exceptions.RayActorError:
            raise DailytalkError(
                "the till was lost with its node, and nothing may be bought without it",
                "run the same command again: what was bought is kept",
            ) from None
