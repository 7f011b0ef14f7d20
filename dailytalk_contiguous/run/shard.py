"""Making one shard: its conversations go through the stages, and are written into one file.

Every engine calls this code, on a laptop or on a cluster. On a CPU a model's batch stays inside one conversation,
so that a row does not depend on its neighbours; on CUDA it spans conversations.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
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
class RunPlan:
    """The work of a run: all shards in order, those that are not there, and the first stage that is left."""

    paths: list[Path]
    tasks: list[Task]
    first_stage: int

    @property
    def seconds(self) -> float:
        return sum(task.seconds for task in self.tasks)


@dataclass(frozen=True)
class ShardReport:
    """A shard that was made, small enough to be sent back by a worker.

    Attributes:
        path: of its file. conversations, rejects: how many went in, and how many of them were rejected.
        audio_seconds: of its conversations. wall_seconds: of work on it, until it was on disk.
        stages: of each stage that was run now, by name, wall seconds (a model is loaded in its first call) and the
            seconds of audio that went through it.
    """

    path: Path
    conversations: int
    rejects: int
    audio_seconds: float
    wall_seconds: float
    stages: Mapping[str, tuple[float, float]]

    @property
    def outside_seconds(self) -> float:
        """Wall seconds outside stages: reading earlier results, converting types, writing."""
        return max(0.0, self.wall_seconds - sum(took for took, _ in self.stages.values()))


@dataclass
class Portion:
    """Conversations on their way through the stages, as a `Dataset` in memory.

    `done`: how many stages it has been through. `is_held`: whether the next run tries some of them again.
    """

    rows: Sequence[Row]
    dataset: Dataset
    done: int
    is_held: bool = False


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
        self._batch_seconds = batch_seconds
        self._taken: dict[str, tuple[float, float]] = {}
        self._wall_seconds = 0.0
        self._ready: Portion | None = None

    def prepare(self) -> "ShardJob":
        """Take the first conversations through the stages that need no device; returns the job itself."""
        started, halfway = time.perf_counter(), self._task.halfway
        if self._task.rows and not (halfway and halfway.exists()):
            self._ready = self._opened(next(self._portions(self._task.rows)), 0)
            for stage in itertools.takewhile(lambda stage: stage.prepares, self._stages):
                self._advance(self._ready, stage)
        self._wall_seconds += time.perf_counter() - started
        return self

    def finish(self) -> ShardReport:
        """Take everything through all stages and write the shard. If it raises, there is no shard."""
        started, task = time.perf_counter(), self._task
        made, rows, done, is_held = shards.Shard(), task.rows, 0, False
        with quiet_datasets():
            if task.halfway:
                known, path = self._halfway(task.halfway)
                made, rows, done, is_held = (
                    replace(known, rows=[]),
                    known.rows,
                    task.n_halfway,
                    shards.is_held(path),
                )
            keeps = task.keeps or features_of(self._stages)
            for part in self._portions(rows):
                portion, self._ready = self._ready or self._opened(part, done), None
                is_held |= self._finish(portion, made, keeps)
                del portion  # before the next one is opened
                give_back_memory()
        check_interrupt()  # what compiled code has made of one may be a reject
        names = [row["conversation_id"] for row in task.rows]
        if lost := [name for name in names if name not in made.entries]:
            raise RuntimeError(f"{len(lost)} conversations are neither in the shard nor rejected: {lost[:5]}")
        made.entries = {name: made.entries[name] for name in names}
        made.digests = tuple(stage.digest for stage in self._stages)
        path = shards.held_path(task.path) if is_held else task.path
        shards.write_shard(path, made, keeps)
        if not is_held:
            shards.held_path(task.path).unlink(missing_ok=True)
        self._wall_seconds += time.perf_counter() - started
        n_rejects = sum(entry.reject is not None for entry in made.entries.values())
        return ShardReport(path, len(names), n_rejects, task.seconds, self._wall_seconds, self._taken)

    def _halfway(self, path: Path) -> tuple[shards.Shard, Path]:
        """The shard of the first stages and its file: another host may have made it meanwhile; or it is made now.

        Its rows are those that go on: with today's columns of the source, as a recording may have been moved,
        unless a stage makes its own.
        """
        task, stages = self._task, self._stages[: self._task.n_halfway]
        columns = features_of(stages)
        if (known := shards.read_whole(path, columns)) is None:
            first = ShardJob(
                replace(task, path=path, keeps=None, halfway=None), stages, self._batch_seconds, self._progress
            )
            first._ready, first._taken = self._ready, self._taken
            path = first.finish().path
            known = shards.read_whole(path, columns) or shards.Shard()
        self._ready = None
        made = {name for stage in stages for name in stage.adds}
        stored = {row["conversation_id"]: row for row in known.rows}
        known.rows = [
            shards.expand_row(row) | {name: value for name, value in stored[key].items() if name in made}
            for row in task.rows
            if (key := row["conversation_id"]) in stored
        ]
        return known, path

    def _portions(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Conversations in order, in groups of as much audio as goes through a stage at once."""
        portion, held = list[Row](), 0.0
        for row in rows:
            if portion and held + row["duration"] > (self._batch_seconds or PORTION_SECONDS):
                yield portion
                portion, held = [], 0.0
            portion.append(row)
            held += row["duration"]
        if portion:
            yield portion

    def _opened(self, rows: Sequence[Row], done: int) -> Portion:
        """A portion that has been through so many stages, with the transient columns that a later one needs."""
        expanded = [shards.expand_row(row) for row in rows]
        features = dict(self._task.columns | PROBLEM)
        for stage in self._stages[:done]:
            features |= stage.adds
        batch: Batch = {name: [None] * len(rows) for name in PROBLEM}
        batch |= {name: [row[name] for row in expanded] for name in features if name in expanded[0]}
        wanted, is_held = {name for stage in self._stages[done:] for name in (*stage.needs, *stage.uses)}, False
        for stage in self._stages[:done]:
            if wanted.intersection(stage.transient) - set(batch):
                is_held |= _restore(stage, batch)
        kinds = Features({name: features[name] for name in batch})
        # Not `from_dict`, which reads all values once more for a fingerprint.
        table = InMemoryTable.from_pydict(batch, schema=kinds.arrow_schema)
        dataset = Dataset(table, DatasetInfo(features=kinds), fingerprint="opened")
        return Portion(rows, dataset, done, is_held)

    def _advance(self, portion: Portion, stage: Stage) -> None:
        # From the table: reading a column of the dataset copies the description of all columns four times.
        problems = portion.dataset.data.column("problem").to_pylist()
        usable = [row for row, problem in zip(portion.rows, problems, strict=True) if problem is None]
        audio = float(sum(row["duration"] for row in usable))
        alone = not self._batch_seconds and not stage.by_row and any(stage.models().values())
        options = {"keep_in_memory": True, "new_fingerprint": f"{stage.name}-{portion.done}"}
        options |= {"batch_size": 1 if alone else len(portion.rows)}
        if usable:
            self._progress(stage.name, audio, None)
        started = time.perf_counter()
        with listening(lambda what, done, of: self._progress(stage.name, audio, None, f"{done} of {of} {what}")):
            portion.dataset = stage.map(portion.dataset, **options)
        wall = time.perf_counter() - started
        portion.done += 1
        if usable:
            took, heard = self._taken.get(stage.name, (0.0, 0.0))
            self._taken[stage.name] = (took + wall, heard + audio)
            self._progress(stage.name, audio, wall)

    def _finish(self, portion: Portion, made: shards.Shard, keeps: Features) -> bool:
        """Take a portion through the stages left, into a shard; whether some of it is to be tried again."""
        for stage in self._stages[portion.done :]:
            self._advance(portion, stage)
        chosen = [name for name in {**keeps, **PROBLEM} if name in portion.dataset.column_names]
        rows = portion.dataset.select_columns(chosen).with_format("arrow")[:].to_pylist()
        is_held, retried = portion.is_held, {stage.name for stage in self._stages if stage.retried}
        for source, row in zip(portion.rows, rows, strict=True):
            name, problem, of_stage = source["conversation_id"], row["problem"], row["problem_stage"]
            reject = None if problem is None else Reject(name, of_stage, problem, row["remedy"])
            made.entries[name] = shards.Entry(source["recording_id"], source["duration"], reject)
            is_held |= of_stage in retried
            if reject is None:
                made.rows.append({column: row.get(column) for column in keeps})
        return is_held


def _restore(stage: Stage, batch: Batch) -> bool:
    """Add the transient columns of a stage to a batch; whether there are recordings that can't be read."""
    n_rows, some_gone = len(batch["conversation_id"]), False
    made: Batch = {name: [None] * n_rows for name in stage.transient}
    for number in range(n_rows):
        try:
            restored = stage.restore({column: [values[number]] for column, values in batch.items()})
        except BadInput as error:
            some_gone = True
            for column, value in zip(PROBLEM, (error.reason, stage.name, error.remedy), strict=True):
                batch[column][number] = value
        else:
            for column, values in restored.items():
                made[column][number] = values[0]
    batch |= made
    return some_gone


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
