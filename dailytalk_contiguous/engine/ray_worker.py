"""What runs inside Ray's actors: a worker that makes shards.

A node can lack what the driver has (the same code, the same environment, the recordings), or have it as it was.
Each is looked for before anything is made: a recording that a node can't see would else be rejected as a bad one,
and another of its name be cut at times that mean nothing in it.
"""

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.folded import unfolded
from dailytalk_contiguous.engine.local import Task
from dailytalk_contiguous.engine.making import Made, make
from dailytalk_contiguous.engine.ray_till import SharedPurse
from dailytalk_contiguous.models import engines
from dailytalk_contiguous.shards import Entry, Row, chain_of
from dailytalk_contiguous.sources.remote_files import Mirror
from dailytalk_contiguous.stages.base import Stage

#: Stage, seconds of audio, wall seconds: what a `Progress` is told.
Event = tuple[str, float, float]


@dataclass(frozen=True)
class Setup:
    """What a worker is given once: stages, how they are run, and where things are.

    Attributes:
        stages, batch_seconds: as `build_shard` takes them.
        work, inputs: mirrors of the work folder and of recordings, where they lie in object storage.
        chain: what the stages' digests must be there. folder: where relative paths begin. threads: its cores.
        till: an actor that keeps the money, if any may be spent. shared: a place that it must see then.
    """

    stages: tuple[Stage, ...]
    batch_seconds: float
    work: Mirror | None = None
    inputs: tuple[Mirror, ...] = ()
    chain: tuple[str, ...] = ()
    folder: str = ""
    threads: int = 1
    till: Any = None
    shared: str = ""


@dataclass(frozen=True)
class Order:
    """A task, with absolute paths, and what those of its files must be that lie in a store: tokens by path."""

    task: Task
    tokens: dict[Path, str]


@dataclass(frozen=True)
class Done:
    """What came of an order: `token` of the shard in the store, if there is one; `events` not told before."""

    made: Made
    token: str
    events: list[Event]


def order(task: Task, setup: Setup) -> Order:
    """What a worker is told of a task, by the machine that has planned it, for the files as they are there."""
    known = {name: (path.absolute(), entry) for name, (path, entry) in task.known.items()}
    task = Task(task.path.absolute(), task.rows, known)
    shards = dict.fromkeys(path for path, _ in known.values())
    for path in shards if setup.work else ():
        if setup.work and setup.work.name_of(path):
            setup.work.push(path)  # a killed run may have left one that is nowhere else
    tokens = {
        path: token
        for mirror in _mirrors(setup)
        for path in (*shards, *_recordings(task.rows))
        if (token := mirror.token_of(path))
    }
    return Order(task, tokens)


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

    def make(self, ordered: Order) -> Done:
        """Make a shard and keep it."""
        task, setup = self._brought(ordered), self._setup
        made = make(task.path, task.rows, setup.stages, task.known, setup.batch_seconds, self._note)
        if setup.work:
            setup.work.push(task.path)
        return Done(made, setup.work.token_of(task.path) if setup.work else "", self.told())

    def told(self) -> list[Event]:
        """Events since the last call."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def _note(self, *event: Any) -> None:
        with self._lock:
            self._events.append(event)

    def _brought(self, ordered: Order) -> Task:
        """The task, once what it needs is on this machine; with rejects for recordings that are others by now."""
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

    def _bring(self, path: Path, ordered: Order) -> None:
        for mirror in _mirrors(self._setup):
            mirror.ensure(path, ordered.tokens.get(path, ""))
        if not path.exists():
            raise DailytalkError(
                f"the node {os.uname().nodename} does not see {str(path)!r}",
                "use a file system that all nodes share, or object storage (s3://…)",
            )

    def _without(self, task: Task, refused: dict[Path, BadInput]) -> Task:
        """The task with the conversations of some recordings settled already, as rejects of the first stage.

        A recording that was replaced gives other conversations when it is tagged again. For speech the old one may
        come back under the same digest: its reject is of no input, so that the next run tries again.
        """
        first, rows, known = self._setup.stages[0].name, [], dict(task.known)
        for row in task.rows:
            where = _recording(row)
            if where in refused:
                name, digest = row["conversation_id"], "" if self._setup.stages[-1].final else row["input_digest"]
                reject = Reject(name, first, refused[where].reason, "run dailytalk tag again")
                about = (row["recording_id"], row["duration"], reject)
                known[name] = (task.path, Entry(digest, self._setup.chain[:1], (0.0,), *about))
                row = unfolded(row) | {"input_digest": digest}
            rows.append(row)
        return Task(task.path, rows, known)


def _mirrors(setup: Setup) -> tuple[Mirror, ...]:
    return (*((setup.work,) if setup.work else ()), *setup.inputs)


def _recording(row: Row) -> Path | None:
    return from_uri(row["audio"]["path"]) if row["audio"] else None


def _recordings(rows: list[Row]) -> list[Path]:
    return list(dict.fromkeys(path for row in rows if (path := _recording(row))))
