"""Making one shard: its conversations go through the stages, and are written into one file.

Every engine calls this code, on a laptop or on a cluster. On a CPU a model's batch stays inside one conversation,
so that a row does not depend on its neighbours; on CUDA it spans conversations.
"""

import contextlib
import itertools
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import datasets
from datasets import Dataset, DatasetInfo, Features
from datasets.table import InMemoryTable

from dailytalk_contiguous import shards
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.interrupts import check_interrupt
from dailytalk_contiguous.core.machine import give_back_memory
from dailytalk_contiguous.core.schema import PROBLEM, SOURCE, Batch, Row
from dailytalk_contiguous.core.steps import listening
from dailytalk_contiguous.stages.base import Stage

#: Seconds of audio of the conversations that go through a stage together, if there is more than one: they share
#: the cost of a call of `Dataset.map`, and their decoded audio is a few hundred megabytes at most.
PORTION_SECONDS = 300.0

_Item = TypeVar("_Item")
_Ready = TypeVar("_Ready")

#: Called before and after each stage of each portion of a shard with the stage's name, seconds of audio, and wall
#: seconds (None before); meanwhile also with a text such as "3 of 9 lines" after these.
Progress = Callable[..., None]


def features_of(stages: Sequence[Stage]) -> Features:
    """The columns of a shard: those of the source and all that the stages add, except the transient ones."""
    columns = dict(SOURCE)
    for stage in stages:
        columns |= {name: feature for name, feature in stage.adds.items() if name not in stage.transient}
    return Features(columns)


@dataclass(frozen=True)
class Task:
    """A shard to make.

    Attributes:
        path: its file. rows: of the source, without problems.
        columns: the types of the source's columns; rows may lack some of them.
        keeps: the columns of the shard; None for all (`features_of`).
        halfway: the file that keeps the rows after the first `n_halfway` stages: where it exists, the others go on
            from it. None for no such file.
    """

    path: Path
    rows: list[Row]
    columns: Features = field(default_factory=lambda: SOURCE)
    keeps: Features | None = None
    halfway: Path | None = None
    n_halfway: int = 0

    @property
    def seconds(self) -> float:
        return float(sum(row["duration"] for row in self.rows))


@dataclass(frozen=True)
class ShardReport:
    """A shard that was made, small enough to be sent back by a worker.

    Attributes:
        path: of its file. conversations, rejects: how many went in, and how many of them were rejected.
        audio_seconds: of its conversations. wall_seconds: of work on it, until it was on disk.
        stage_seconds: wall seconds of each stage that was run now, by name; a model is loaded in its first call.
        stage_audio: seconds of audio that went through each of these stages now.
        pid: of the process that made it.
    """

    path: Path
    conversations: int
    rejects: int
    audio_seconds: float
    wall_seconds: float
    stage_seconds: dict[str, float]
    stage_audio: dict[str, float]
    pid: int

    @property
    def outside_seconds(self) -> float:
        """Wall seconds outside stages: reading earlier results, converting types, writing."""
        return max(0.0, self.wall_seconds - sum(self.stage_seconds.values()))


@dataclass
class Portion:
    """Conversations on their way through the stages: a `Dataset` in memory, and how many stages it has been
    through.

    `rejects`: of the rows with a problem. `held`: those of them that the next run tries again.
    """

    rows: Sequence[Row]
    dataset: Dataset
    done: int
    rejects: dict[str, Reject] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)


class ShardJob:
    """The making of a shard: prepared, finished (on disk).

    Each stage is `Stage.map` over a `Dataset` of up to `PORTION_SECONDS` of conversations, as if a user called the
    stages one after another. On a CPU a model's batch is one conversation, so that a row does not depend on its
    neighbours; on a device it is all of them, up to `batch_seconds`.

    `prepare` takes the first conversations through the stages that need no model's device (`Stage.prepares`), so
    that a thread can do it for the next shard while a GPU works on this one. Calling it is never needed.
    """

    def __init__(
        self,
        task: Task,
        stages: Sequence[Stage],
        batch_seconds: float = 0.0,
        progress: Progress = lambda *event: None,
    ) -> None:
        self._task, self._stages, self._progress = task, stages, progress
        self._on_device = batch_seconds > 0
        self._portion_seconds = batch_seconds or PORTION_SECONDS
        self._taken: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._wall_seconds = 0.0
        self._ready: Portion | None = None

    def prepare(self) -> "ShardJob":
        """Take the first conversations through the stages that need no device; returns the job itself."""
        started, halfway = time.perf_counter(), self._task.halfway
        if self._task.rows and not (halfway and halfway.exists()):
            self._ready = self._opened(_portions(self._task.rows, self._portion_seconds)[0], 0)
            for _ in itertools.takewhile(lambda stage: stage.prepares, self._stages):
                self._advance(self._ready)
        self._wall_seconds += time.perf_counter() - started
        return self

    def finish(self) -> ShardReport:
        """Take everything through all stages and write the shard. If it raises, there is no shard."""
        started, task = time.perf_counter(), self._task
        keeps, rows, known = task.keeps or features_of(self._stages), task.rows, None
        with quiet_datasets():
            if task.halfway:
                first = features_of(self._stages[: task.n_halfway])
                known, rows = self._read_halfway(task.halfway, first)
                if known:
                    self._ready = None  # another host has made it meanwhile
                else:
                    known, _ = self._made(task.rows, 0, task.n_halfway, first)
                    shards.write_shard(task.halfway, known, first)
                    rows, known.rows = self._going_on({row["conversation_id"]: row for row in known.rows}), []
            made, held = self._made(rows, task.n_halfway if known else 0, len(self._stages), keeps)
        if known:
            made.seconds, made.entries = known.seconds | made.seconds, known.entries | made.entries
        names = [row["conversation_id"] for row in task.rows]
        if lost := [name for name in names if name not in made.entries]:
            raise RuntimeError(f"{len(lost)} conversations are neither in the shard nor rejected: {lost[:5]}")
        made.entries = {name: made.entries[name] for name in names}
        path = shards.held_path(task.path) if held else task.path
        shards.write_shard(path, made, keeps)
        if not held:
            shards.held_path(task.path).unlink(missing_ok=True)
        give_back_memory()
        self._wall_seconds += time.perf_counter() - started
        return ShardReport(
            path,
            len(task.rows),
            sum(entry.reject is not None for entry in made.entries.values()),
            task.seconds,
            self._wall_seconds,
            {name: took for name, (took, _) in self._taken.items()},
            {name: audio for name, (_, audio) in self._taken.items()},
            os.getpid(),
        )

    def _read_halfway(self, path: Path, columns: Features) -> tuple[shards.Shard | None, list[Row]]:
        """The shard of the first stages, and the rows that are to go on; None if it is not there, or damaged."""
        known = shards.read_shard(path)
        try:
            stored = shards.read_rows(path, columns) if known else {}
        except BadInput:
            return None, []
        return known, self._going_on(stored) if known else []

    def _going_on(self, stored: Mapping[str, Row]) -> list[Row]:
        """The rows of the task that the first stages have made, with what they added, by conversation id."""
        # The source's columns are today's, as a recording may have been moved, unless a stage makes its own.
        made = {name for stage in self._stages[: self._task.n_halfway] for name in stage.adds}
        return [
            shards.expand_row(row) | {name: value for name, value in stored[key].items() if name in made}
            for row in self._task.rows
            if (key := row["conversation_id"]) in stored
        ]

    def _made(self, rows: Sequence[Row], first: int, last: int, keeps: Features) -> tuple[shards.Shard, set[str]]:
        """The shard of rows that have been through the `first` stages, after the `last`; and the ids held."""
        made, held = shards.Shard(digests=tuple(stage.digest for stage in self._stages[:last])), set[str]()
        for waiting in _portions(rows, self._portion_seconds):
            portion, self._ready = self._ready or self._opened(waiting, first), None
            while portion.done < last:
                self._advance(portion)
            chosen = [name for name in keeps if name in portion.dataset.column_names]
            table = portion.dataset.select_columns(chosen).with_format("arrow")[:]
            for source, row in zip(portion.rows, table.to_pylist(), strict=True):
                name = source["conversation_id"]
                reject = portion.rejects.get(name)
                made.entries[name] = shards.Entry(source["recording_id"], source["duration"], reject)
                if not reject:
                    made.rows.append(dict.fromkeys(keeps) | row)
            held |= portion.held
            del portion, table  # before the next one is opened
            give_back_memory()
        of_these = [stage.name for stage in self._stages[first:last] if stage.name in self._taken]
        made.seconds = {name: (self._taken[name][0], self._taken[name][1]) for name in of_these}
        check_interrupt()  # what compiled code has made of one may be a reject
        return made, held

    def _advance(self, portion: Portion) -> None:
        stage = self._stages[portion.done]
        usable = [row for row in portion.rows if row["conversation_id"] not in portion.rejects]
        audio = float(sum(row["duration"] for row in usable))
        alone = not self._on_device and not stage.by_row and any(stage.models().values())
        options = {"keep_in_memory": True, "new_fingerprint": f"{stage.name}-{portion.done}"}
        options |= {"batch_size": 1 if alone else len(portion.rows)}
        if usable:
            self._progress(stage.name, audio, None)
        started = time.perf_counter()
        with listening(lambda what, done, of: self._progress(stage.name, audio, None, f"{done} of {of} {what}")):
            portion.dataset = stage.map(portion.dataset, **options)
        wall = time.perf_counter() - started
        # From the table: reading a column of the dataset copies the description of all columns four times.
        problems = portion.dataset.data.select([*PROBLEM]).to_pydict()
        for row, problem, of_stage, remedy in zip(portion.rows, *problems.values(), strict=True):
            name = row["conversation_id"]
            if problem is not None and name not in portion.rejects:
                portion.rejects[name] = Reject(name, of_stage, problem, remedy)
                portion.held |= {name} if stage.retried else set()
        portion.done += 1
        if usable:
            self._taken[stage.name][0] += wall
            self._taken[stage.name][1] += audio
            self._progress(stage.name, audio, wall)

    def _opened(self, waiting: Sequence[Row], done: int) -> Portion:
        """A portion that has been through so many stages, with the transient columns that a later one needs."""
        rows = [shards.expand_row(row) for row in waiting]
        features = dict(self._task.columns | PROBLEM)
        for stage in self._stages[:done]:
            features |= stage.adds
        batch: Batch = {name: [None] * len(rows) for name in PROBLEM}
        batch |= {name: [row[name] for row in rows] for name in features if name in rows[0]}
        wanted = {name for stage in self._stages[done:] for name in (*stage.needs, *stage.uses)}
        rejects: dict[str, Reject] = {}
        for stage in self._stages[:done]:
            if wanted.intersection(stage.transient) - set(batch):
                rejects |= _restore(stage, batch)
        kinds = Features({name: features[name] for name in batch})
        # Not `from_dict`, which reads all values once more for a fingerprint.
        table = InMemoryTable.from_pydict(batch, schema=kinds.arrow_schema)
        dataset = Dataset(table, DatasetInfo(features=kinds), fingerprint="opened")
        small = [{name: row[name] for name in ("conversation_id", "recording_id", "duration")} for row in rows]
        return Portion(small, dataset, done, rejects, set(rejects))


def _restore(stage: Stage, batch: Batch) -> dict[str, Reject]:
    """Add the transient columns of a stage to a batch; returns rejects of rows whose recordings can't be read."""
    names, rejects = batch["conversation_id"], dict[str, Reject]()
    made: Batch = {name: [None] * len(names) for name in stage.transient}
    for number, name in enumerate(names):
        try:
            restored = stage.restore({column: [values[number]] for column, values in batch.items()})
        except BadInput as error:
            rejects[name] = Reject(name, stage.name, error.reason, error.remedy)
            for column, value in zip(PROBLEM, (error.reason, stage.name, error.remedy), strict=True):
                batch[column][number] = value
        else:
            for column, values in restored.items():
                made[column][number] = values[0]
    batch |= made
    return rejects


def ahead(prepare: Callable[[_Item], _Ready], items: Iterable[_Item], overlap: bool = True) -> Generator[_Ready]:
    """`map` in order; with `overlap`, a thread prepares one item while the caller works on the one before.

    Only one item is prepared at a time, so that memory holds two at most. What `prepare` raises is raised in its
    item's turn. Close it (`contextlib.closing`): the garbage collector would wait for the thread wherever it
    happens to run, even inside the start of another thread, which is a deadlock.
    """
    if not overlap:
        yield from map(prepare, items)
        return
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming: Future[_Ready] | None = None
        for item in items:
            following = pool.submit(prepare, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


def _portions(rows: Sequence[Row], seconds: float) -> list[list[Row]]:
    """Conversations in order, in groups of up to `seconds` of audio each."""
    portions: list[list[Row]] = []
    held = 0.0
    for row in rows:
        if not portions or held + row["duration"] > seconds:
            portions.append([])
            held = 0.0
        portions[-1].append(row)
        held += row["duration"]
    return portions


@contextlib.contextmanager
def quiet_datasets() -> Iterator[None]:
    """Hide the progress bars of `Dataset.map` in this block: a run has one for all its stages."""
    had_bars = datasets.is_progress_bar_enabled()
    if had_bars:
        datasets.disable_progress_bars()
        # Even a hidden bar makes a lock for several processes by default. In a worker, Python's resource tracker
        # would print a warning about it when a Ctrl-C ends the run.
        datasets.utils.tqdm.set_lock(threading.RLock())
    try:
        yield
    finally:
        if had_bars:
            datasets.enable_progress_bars()


def make_shard(
    task: Task,
    stages: Sequence[Stage],
    batch_seconds: float = 0.0,
    progress: Progress = lambda *event: None,
) -> ShardReport:
    """Run `stages` over the rows of a task, write its shard, and report what it took.

    Args:
        task: the shard. stages: in order.
        batch_seconds: audio that a model's batch of conversations may hold; 0 for one conversation a batch.
        progress: called before and after each stage of each portion of the shard.

    A conversation that a stage can't use becomes a reject in the shard; any other error stops the shard, and
    nothing is written.
    """
    return ShardJob(task, stages, batch_seconds, progress).finish()
