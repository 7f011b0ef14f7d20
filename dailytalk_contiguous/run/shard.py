"""Making one shard: its conversations go through the stages, and are written into one file.

Every engine calls this code, on a laptop or on a cluster. On a CPU a model's batch stays inside one conversation,
so that a row does not depend on its neighbours; on CUDA it spans conversations.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import datasets
from datasets import Dataset, DatasetInfo, Features
from datasets.table import InMemoryTable

from dailytalk_contiguous import shards
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.interrupts import check_interrupt
from dailytalk_contiguous.core.machine import give_back_memory
from dailytalk_contiguous.core.schema import PROBLEM, SOURCE, Batch, Row
from dailytalk_contiguous.core.steps import listening
from dailytalk_contiguous.stages.base import Stage

#: Seconds of audio of the conversations that go through a stage together, if there is more than one: they share
#: the cost of a call of `Dataset.map`, and their decoded audio is a few hundred megabytes at most.
PORTION_SECONDS = 300.0


@dataclass(frozen=True)
class StageEvent:
    """A stage at work on conversations that go through it together.

    Attributes:
        stage: its name.
        conversations: their ids.
        audio: seconds of their audio.
        wall: seconds that the stage took; None before, and meanwhile.
        kind: of the steps inside it, such as "lines", where it tells them; empty before and after.
        done: how many steps are done.
        total: how many there are; None if that is unknown.
    """

    stage: str
    conversations: tuple[str, ...]
    audio: float
    wall: float | None = None
    kind: str = ""
    done: int = 0
    total: int | None = None


#: Called before and after each stage of each portion of a shard, and at the steps inside one.
Progress = Callable[[StageEvent], None]


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
        path: its file.
        rows: of the source, without problems.
        columns: the types of the source's columns; rows may lack some of them.
        keeps: the columns of the shard; None for all (`features_of`).
        halfway: the file that keeps the rows after the first `n_halfway` stages: where it exists, the others go on
            from it. None for no such file.
        generation: of the shard (`shards.Shard`).
    """

    path: Path
    rows: list[Row]
    columns: Features = field(default_factory=lambda: SOURCE)
    keeps: Features | None = None
    halfway: Path | None = None
    n_halfway: int = 0
    generation: int = 0

    @property
    def seconds(self) -> float:
        return float(sum(row["duration"] for row in self.rows))


@dataclass(frozen=True)
class RunPlan:
    """The work of a run.

    Attributes:
        paths: all shards, in order.
        tasks: the shards that do not exist.
        first_stage: the index of the first stage that is left.
    """

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
        path: of its file.
        rejects: how many of its conversations were rejected.
        audio_seconds: seconds of its conversations.
        wall_seconds: seconds of work on it, until it was on disk.
        stages: of each stage that was run now, by name, wall seconds (a model is loaded in its first call) and the
            seconds of audio that went through it.
    """

    path: Path
    rejects: int
    audio_seconds: float
    wall_seconds: float
    stages: Mapping[str, tuple[float, float]]


@dataclass
class Portion:
    """Conversations on their way through the stages, as a `Dataset` in memory.

    `done`: how many stages it has been through.
    """

    rows: Sequence[Row]
    dataset: Dataset
    done: int


@dataclass
class ShardJob:
    """The making of a shard: prepared, finished (on disk).

    Each stage is `Stage.map` over a `Dataset` of up to `PORTION_SECONDS` of conversations, as if a user called the
    stages one after another. On a CPU a model's batch is one conversation, so that a row does not depend on its
    neighbours; on a device it is all of them, up to `batch_seconds`.

    `prepare` takes the first conversations through the stages that need no model's device (`Stage.prepares`), so
    that a thread can do it for the next shard while a GPU works on this one. Calling it is never needed.
    """

    task: Task
    stages: Sequence[Stage]
    batch_seconds: float = 0.0
    progress: Progress = lambda event: None
    taken: dict[str, tuple[float, float]] = field(default_factory=dict)
    _wall_seconds: float = 0.0
    _ready: Portion | None = None

    def prepare(self) -> "ShardJob":
        """Take the first conversations through the stages that need no device; returns the job itself."""
        started = time.perf_counter()
        halfway = self.task.halfway
        if self.task.rows and not (halfway and halfway.exists()):
            self._ready = self._opened(next(self._portions(self.task.rows)), 0)
            for stage in itertools.takewhile(lambda stage: stage.prepares, self.stages):
                self._advance(self._ready, stage)
        self._wall_seconds += time.perf_counter() - started
        return self

    def finish(self) -> ShardReport:
        """Take everything through all stages and write the shard. If it raises, there is no shard."""
        started = time.perf_counter()
        task = self.task
        made = shards.Shard()
        rows = task.rows
        done = 0
        with quiet_datasets():
            if task.halfway:
                made, rows = self._halfway(task.halfway)
                done = task.n_halfway
            keeps = task.keeps or features_of(self.stages)
            for part in self._portions(rows):
                portion = self._ready or self._opened(part, done)
                self._ready = None
                self._finish(portion, made, keeps)
                del portion  # before the next one is opened
                give_back_memory()
        check_interrupt()  # what compiled code has made of one may be a reject
        # A conversation that is neither in the shard nor rejected is a KeyError.
        names = [row["conversation_id"] for row in task.rows]
        made.entries = {name: made.entries[name] for name in names}
        made.generation = task.generation
        rejects = [entry.reject for entry in made.entries.values() if entry.reject]
        path = self._write(made, rejects, keeps)
        self._wall_seconds += time.perf_counter() - started
        return ShardReport(path, len(rejects), task.seconds, self._wall_seconds, self.taken)

    def _write(self, made: shards.Shard, rejects: Sequence[Reject], keeps: Features) -> Path:
        """Write the shard; it is held if one of its conversations may not be rejected the next time."""
        retried = {stage.name for stage in self.stages if stage.retried}
        held = shards.held_path(self.task.path)
        if any(reject.stage in retried for reject in rejects):
            shards.write_shard(held, made, keeps)
            return held
        shards.write_shard(self.task.path, made, keeps)
        held.unlink(missing_ok=True)
        return self.task.path

    def _halfway(self, path: Path) -> tuple[shards.Shard, list[Row]]:
        """The shard of the first stages without its rows, and those: it may be there, or is made now.

        The rows have today's columns of the source, as a recording may have been moved, unless a stage makes its
        own.
        """
        stages = self.stages[: self.task.n_halfway]
        task = self.task
        columns = features_of(stages)
        shard = shards.read_whole(path, columns)
        if shard is None:
            first_half = replace(task, path=path, keeps=None, halfway=None, generation=0)
            replace(self, task=first_half, stages=stages).finish()
            shard = shards.read_whole(path, columns) or shards.Shard()
        self._ready = None
        made = {name for stage in stages for name in stage.adds}
        stored = {row["conversation_id"]: row for row in shard.rows}
        rows = []
        for row in task.rows:
            stored_row = stored.get(row["conversation_id"])
            if stored_row is not None:
                made_columns = {name: value for name, value in stored_row.items() if name in made}
                rows.append(shards.expand_row(row) | made_columns)
        return replace(shard, rows=[]), rows

    def _portions(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Conversations in order, in groups of as much audio as goes through a stage at once."""
        most_seconds = self.batch_seconds or PORTION_SECONDS
        portion = list[Row]()
        seconds = 0.0
        for row in rows:
            if portion and seconds + row["duration"] > most_seconds:
                yield portion
                portion = []
                seconds = 0.0
            portion.append(row)
            seconds += row["duration"]
        if portion:
            yield portion

    def _opened(self, rows: Sequence[Row], done: int) -> Portion:
        """A portion that has been through so many stages."""
        expanded = [shards.expand_row(row) for row in rows]
        features = dict(self.task.columns | PROBLEM)
        for stage in self.stages[:done]:
            features |= stage.adds
        batch: Batch = {name: [None] * len(rows) for name in PROBLEM}
        for name in features:
            if name in expanded[0]:
                batch[name] = [row[name] for row in expanded]
        kinds = Features({name: features[name] for name in batch})
        # Not `from_dict`, which reads all values once more for a fingerprint.
        table = InMemoryTable.from_pydict(batch, schema=kinds.arrow_schema)
        dataset = Dataset(table, DatasetInfo(features=kinds), fingerprint="opened")
        return Portion(rows, dataset, done)

    def _advance(self, portion: Portion, stage: Stage) -> None:
        audio = float(sum(row["duration"] for row in portion.rows))
        has_model = any(stage.models().values())
        one_by_one = not self.batch_seconds and not stage.by_row and has_model

        event = StageEvent(stage.name, tuple(row["conversation_id"] for row in portion.rows), audio)

        def show_step(kind: str, done: int, total: int | None) -> None:
            self.progress(replace(event, kind=kind, done=done, total=total))

        self.progress(event)
        started = time.perf_counter()
        with listening(show_step):
            portion.dataset = stage.map(
                portion.dataset,
                keep_in_memory=True,
                new_fingerprint=f"{stage.name}-{portion.done}",
                batch_size=1 if one_by_one else len(portion.rows),
            )
        wall = time.perf_counter() - started
        portion.done += 1
        wall_before, audio_before = self.taken.get(stage.name, (0.0, 0.0))
        self.taken[stage.name] = (wall_before + wall, audio_before + audio)
        self.progress(replace(event, wall=wall))

    def _finish(self, portion: Portion, made: shards.Shard, keeps: Features) -> None:
        """Take a portion through the stages left, into a shard."""
        for stage in self.stages[portion.done :]:
            self._advance(portion, stage)
        chosen = [name for name in {**keeps, **PROBLEM} if name in portion.dataset.column_names]
        table = portion.dataset.select_columns(chosen).with_format("arrow")[:]
        rows = table.to_pylist()
        for source, row in zip(portion.rows, rows, strict=True):
            name = source["conversation_id"]
            problem = row["problem"]
            reject = None if problem is None else Reject(name, row["problem_stage"], problem, row["remedy"])
            made.entries[name] = shards.Entry(source["recording_id"], source["duration"], reject)
            if reject is None:
                made.rows.append({column: row.get(column) for column in keeps})


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
    progress: Progress = lambda event: None,
) -> ShardReport:
    """Run `stages` over the rows of a task, write its shard, and report what it took.

    Args:
        task: the shard.
        stages: in order.
        batch_seconds: seconds of audio that a model's batch of conversations may hold; 0 for one conversation a
            batch.
        progress: called before and after each stage of each portion of the shard.

    A conversation that a stage can't use becomes a reject in the shard; any other error stops the shard, and
    nothing is written.
    """
    return ShardJob(task, stages, batch_seconds, progress).finish()
