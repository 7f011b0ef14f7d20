"""Making one shard: every conversation goes through the stages that it has not been through yet.

Every engine calls this code, on a laptop or on a cluster. Rows that an earlier run made are continued from the
last stage that is still valid. On a CPU a model's batch stays inside one conversation, so that a row does not
depend on its neighbours; on CUDA it spans conversations.
"""

import contextlib
import itertools
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import datasets
from datasets import Dataset, DatasetInfo, Features
from datasets.table import InMemoryTable

from dailytalk_contiguous import shards
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.machine import give_back_memory
from dailytalk_contiguous.core.schema import PROBLEM, SOURCE, Batch, Row
from dailytalk_contiguous.core.steps import listening
from dailytalk_contiguous.stages.base import Stage

#: Seconds of audio of the conversations that go through a stage together, if there is more than one: they share
#: the cost of a call of `Dataset.map`, and their decoded audio is a few hundred megabytes at most.
PORTION_SECONDS = 300.0

#: Seconds of audio after which freed memory is given back: one long conversation, or many short ones.
TIDY_SECONDS = 300.0

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


def resumed_at(stages: Sequence[Stage], n_valid: int, keeps: Container[str] | None) -> int:
    """How many stages a row need not go through again whose first `n_valid` are still valid.

    It goes on from its shard where that keeps all that these stages have added; otherwise from the beginning.
    """
    if keeps is None or n_valid == len(stages):
        return n_valid
    stored = (name for stage in stages[:n_valid] for name in stage.adds if name not in stage.transient)
    return n_valid if all(name in keeps for name in stored) else 0


@dataclass(frozen=True)
class Task:
    """A shard to make.

    Attributes:
        path: its file. rows: of the source, without problems.
        known: the shards and entries of earlier runs, by conversation id.
        left: seconds of audio that each stage has to process, by its place; empty if that is all of it.
        columns: the types of the source's columns; rows may lack some of them.
        keeps: the columns of the shard; None for all (`features_of`).
    """

    path: Path
    rows: list[Row]
    known: dict[str, tuple[Path, shards.Entry]]
    left: tuple[float, ...] = ()
    columns: Features = field(default_factory=lambda: SOURCE)
    keeps: Features | None = None

    @property
    def seconds(self) -> float:
        return float(sum(row["duration"] for row in self.rows))


@dataclass
class Portion:
    """Conversations that have been through the same stages: a `Dataset` in memory on its way through the others.

    Attributes:
        ids: of the conversations, in order. audio_seconds: in all of them.
        dataset: their columns so far; a row that a stage rejected has a `problem`.
        done: how many stages it has been through. seconds: in each of them, by conversation.
        rejects: of the rows with a problem, with the place of the stage that found it.
        unread: those of them whose recording could be read in an earlier run.
    """

    ids: list[str]
    audio_seconds: float
    dataset: Dataset
    done: int
    seconds: dict[str, list[float]]
    rejects: dict[str, tuple[int, Reject]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def rows(self, columns: Iterable[str]) -> Iterator[Row]:
        """The rows without a problem, with `columns`, of which missing ones are None."""
        chosen = [name for name in columns if name in self.dataset.column_names]
        table = self.dataset.select_columns(chosen).with_format("arrow")[:]
        for name, row in zip(self.ids, table.to_pylist(), strict=True):
            if name not in self.rejects:
                yield dict.fromkeys(columns) | row


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


class ShardJob:
    """The making of a shard: opened (results of earlier runs are read), prepared, finished (on disk).

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
        self.task = task
        self._stages, self._columns = stages, task.keeps or features_of(stages)
        self._progress = progress
        self._device_batches = batch_seconds > 0
        self._source = {row["conversation_id"]: row for row in task.rows}
        with interrupts.deferred():
            self._chain = shards.chain_of(stages)
            waiting, self._settled = _resume(task, stages, self._chain)
        self._waiting = _portions(waiting, batch_seconds or PORTION_SECONDS)
        self._finished: dict[str, Row] = {}
        self._ready: dict[int, Portion] = {}
        self._wall_seconds = 0.0
        self._stage_seconds: defaultdict[str, float] = defaultdict(float)
        self._stage_audio: defaultdict[str, float] = defaultdict(float)

    def prepare(self) -> "ShardJob":
        """Take the first conversations through the stages that need no device; returns the job itself."""
        started = time.perf_counter()
        if self._waiting:
            self._ready[0] = self._prepared(0)
        self._wall_seconds += time.perf_counter() - started
        return self

    def finish(self) -> ShardReport:
        """Take everything through all stages and write the shard. If it raises, there is no shard.

        A Ctrl-C is raised between two stages, between two batches of a model, or once the shard is written.
        """
        started, task, untidy = time.perf_counter(), self.task, 0.0
        with (
            interrupts.deferred(),
            quiet_datasets(),
            # On a device the next portion is prepared while this one is worked on.
            contextlib.closing(ahead(self._prepared, range(len(self._waiting)), self._device_batches)) as coming,
        ):
            for portion in coming:
                while portion.done < len(self._stages):
                    self._advance(portion)
                for name in portion.ids:
                    self._settled[name] = self._entry(portion, name)
                # Without the samples: the rows of a shard are kept until it is written, their samples are not.
                self._finished |= {row["conversation_id"]: row for row in portion.rows(self._columns)}
                untidy += portion.audio_seconds
                del portion  # before the next one is opened
                if untidy >= TIDY_SECONDS:
                    untidy = 0.0
                    give_back_memory()
            shard = shards.Shard(
                [self._finished[name] for name in self._source if name in self._finished],
                {name: self._settled[name] for name in self._source},
            )
            shards.write_shard(task.path, shard, self._columns)
        give_back_memory()
        self._wall_seconds += time.perf_counter() - started
        return ShardReport(
            task.path,
            len(task.rows),
            sum(entry.reject is not None for entry in shard.entries.values()),
            task.seconds,
            self._wall_seconds,
            dict(self._stage_seconds),
            dict(self._stage_audio),
            os.getpid(),
        )

    def _advance(self, portion: Portion) -> None:
        number, stage = portion.done, self._stages[portion.done]
        usable = [name for name in portion.ids if name not in portion.rejects]
        audio = sum(self._source[name]["duration"] for name in usable)
        alone = not self._device_batches and not stage.by_row and any(stage.models().values())
        options = {"keep_in_memory": True, "new_fingerprint": self._chain[number]}
        options |= {"batch_size": 1 if alone else len(portion.ids)}
        if usable:
            self._progress(stage.name, audio, None)
        started = time.perf_counter()
        with listening(lambda what, done, of: self._progress(stage.name, audio, None, f"{done} of {of} {what}")):
            portion.dataset = stage.map(portion.dataset, **options)
        wall = time.perf_counter() - started
        # From the table: reading a column of the dataset copies the description of all columns four times.
        problems = portion.dataset.data.select([*PROBLEM]).to_pydict()
        for name, problem, of_stage, remedy in zip(portion.ids, *problems.values(), strict=True):
            if problem is not None and name not in portion.rejects:
                portion.rejects[name] = number, Reject(name, of_stage, problem, remedy)
        for name in usable:
            if name not in portion.rejects:
                share = self._source[name]["duration"] / audio if audio else 0.0
                portion.seconds[name].append(wall * share)
        portion.done += 1
        if usable:
            self._stage_seconds[stage.name] += wall
            self._stage_audio[stage.name] += audio
            self._progress(stage.name, audio, wall)

    def _entry(self, portion: Portion, name: str) -> shards.Entry:
        row = self._source[name]
        number, reject = portion.rejects.get(name, (portion.done - 1, None))
        # A reject for a reason that may pass has no input digest: the next run tries again.
        passing = reject is not None and (self._stages[number].retried or name in portion.unread)
        return shards.Entry(
            "" if passing else row["input_digest"],
            # The chain of a reject ends with the stage that rejected it: only other code or settings try it again.
            self._chain[: number + 1],
            tuple(portion.seconds[name]) + ((0.0,) if reject else ()),
            row["recording_id"],
            row["duration"],
            reject,
        )

    def _prepared(self, number: int) -> Portion:
        """A portion, after the leading stages that need no device."""
        if number in self._ready:
            return self._ready.pop(number)
        portion = _opened(self._waiting[number], self._stages, self.task.columns)
        leading = len(list(itertools.takewhile(lambda stage: stage.prepares, self._stages)))
        if self._device_batches:
            with quiet_datasets():
                while portion.done < leading:
                    self._advance(portion)
        return portion


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


class _Waiting(NamedTuple):
    """A conversation that is not finished: its columns, how many stages it has been through, and their seconds."""

    row: Row
    done: int
    seconds: list[float]


def _resume(
    task: Task, stages: Sequence[Stage], chain: tuple[str, ...]
) -> tuple[list[_Waiting], dict[str, shards.Entry]]:
    """The work that is left, with the columns of earlier runs that are still valid; and valid rejects."""
    waiting: list[_Waiting] = []
    settled: dict[str, shards.Entry] = {}
    stored: dict[Path, dict[str, Row]] = {}
    columns = task.keeps or features_of(stages)
    for row in task.rows:
        name = row["conversation_id"]
        path, entry = task.known.get(name, (None, None))
        n_valid = entry.n_valid(row["input_digest"], chain) if entry else 0
        if entry is not None and entry.reject and n_valid == len(entry.chain):
            settled[name] = entry
            continue
        n_valid = resumed_at(stages, n_valid, task.keeps)
        if n_valid and path is not None and path not in stored:
            try:
                stored[path] = shards.read_rows(path, columns)
            except BadInput:  # damaged: its rows are made again
                stored[path] = {}
        # The source's columns are today's, as a recording may have been moved, unless a stage makes its own.
        made = {name for stage in stages[:n_valid] for name in stage.adds if name in columns}
        if path is None or not made <= stored.get(path, {}).get(name, {}).keys():
            n_valid = 0
        row = shards.expand_row(row)
        if n_valid and path is not None:
            row |= {column: value for column, value in stored[path][name].items() if column in made}
        waiting.append(_Waiting(row, n_valid, list(entry.seconds[:n_valid]) if entry else []))
    return waiting, settled


def _portions(waiting: Sequence[_Waiting], seconds: float) -> list[list[_Waiting]]:
    """Conversations in order, grouped by how many stages they have been through, up to `seconds` of audio each."""
    portions: list[list[_Waiting]] = []
    held = 0.0
    for conversation in waiting:
        duration = conversation.row["duration"]
        if not (portions and portions[-1][0].done == conversation.done and held + duration <= seconds):
            portions.append([])
            held = 0.0
        portions[-1].append(conversation)
        held += duration
    return portions


def _opened(waiting: Sequence[_Waiting], stages: Sequence[Stage], columns: Features) -> Portion:
    """A portion, with the transient columns of earlier stages if a stage that is left needs them."""
    ids, done = [conversation.row["conversation_id"] for conversation in waiting], waiting[0].done
    features = dict(columns | PROBLEM)
    for stage in stages[:done]:
        features |= stage.adds
    batch: Batch = {name: [None] * len(waiting) for name in PROBLEM}
    batch |= {
        name: [conversation.row[name] for conversation in waiting] for name in features if name in waiting[0].row
    }
    wanted = {name for stage in stages[done:] for name in (*stage.needs, *stage.uses)}
    rejects: dict[str, tuple[int, Reject]] = {}
    for stage_number, stage in enumerate(stages[:done]):
        if not wanted.intersection(stage.transient) - set(batch):
            continue
        made: Batch = {name: [None] * len(waiting) for name in stage.transient}
        for number, name in enumerate(ids):
            try:
                restored = stage.restore({column: [values[number]] for column, values in batch.items()})
            except BadInput as error:  # a recording that is gone, or can no longer be read
                rejects[name] = stage_number, Reject(name, stage.name, error.reason, error.remedy)
                for column, value in zip(PROBLEM, (error.reason, stage.name, error.remedy), strict=True):
                    batch[column][number] = value
            else:
                for column, values in restored.items():
                    made[column][number] = values[0]
        batch |= made
    kinds = Features({name: features[name] for name in batch})
    # Not `from_dict`, which reads all values once more for a fingerprint.
    table = InMemoryTable.from_pydict(batch, schema=kinds.arrow_schema)
    return Portion(
        ids,
        float(sum(conversation.row["duration"] for conversation in waiting)),
        Dataset(table, DatasetInfo(features=kinds), fingerprint="opened"),
        done,
        {name: conversation.seconds for name, conversation in zip(ids, waiting, strict=True)},
        rejects,
        set(rejects),
    )


_quiet_lock, _n_quiet, _had_bars = threading.Lock(), 0, False


@contextlib.contextmanager
def quiet_datasets() -> Iterator[None]:
    """Hide the progress bars of `Dataset.map` in this block: a run has one for all its stages."""
    global _n_quiet, _had_bars
    with _quiet_lock:
        if not _n_quiet:
            _had_bars = datasets.is_progress_bar_enabled()
            datasets.disable_progress_bars()
            # Even a hidden bar makes a lock for several processes by default. In a worker, Python's resource
            # tracker would print a warning about it when a Ctrl-C ends the run.
            datasets.utils.tqdm.set_lock(threading.RLock())
        _n_quiet += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _n_quiet -= 1
            if not _n_quiet and _had_bars:
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
