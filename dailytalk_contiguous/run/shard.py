"""Making one shard: every conversation goes through the stages that it has not been through yet.

This is the one function that every engine calls, on a laptop or on a cluster. Rows that an earlier run made are
continued from the last stage that still stands. On a CPU a model's batch stays inside one conversation, so that a
row does not depend on its neighbours; on CUDA it spans conversations.
"""

import contextlib
import itertools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
from datasets import Features

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.machine import give_back_memory
from dailytalk_contiguous.core.schema import SOURCE, Batch, Row
from dailytalk_contiguous.shards import (
    Entry,
    Shard,
    chain_of,
    checkpoint_path,
    expand_row,
    part_path,
    read_rows,
    write_shard,
)
from dailytalk_contiguous.stages.base import Stage, as_stored
from dailytalk_contiguous.store.checkpoint import Checkpoint

#: Seconds of work after which what is made of a shard is saved. A kill loses that; of the stage in hand, only what
#: was no batch of a model.
SAVE_SECONDS = 60.0

#: Seconds of audio after which freed memory is given back: one long conversation, or many short ones.
TIDY_SECONDS = 300.0

_Item = TypeVar("_Item")
_Ready = TypeVar("_Ready")

#: Told before and after each stage of each batch: the stage's name, seconds of audio, wall seconds (None before).
Progress = Callable[[str, float, float | None], None]


@dataclass
class Work:
    """A conversation on its way: its columns so far, how many stages it has been through, and their seconds."""

    row: Row
    done: int
    seconds: list[float]

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.row["conversation_id"])


def features_of(stages: Sequence[Stage]) -> Features:
    """The columns of a shard: those of the source and all that the stages add, but for the transient ones.

    Where the last stage is `final`, its columns alone.
    """
    if stages and stages[-1].final:
        return stages[-1].adds
    columns = dict(SOURCE)
    for stage in stages:
        columns |= {name: feature for name, feature in stage.adds.items() if name not in stage.transient}
    return Features(columns)


class Step(NamedTuple):
    """A stage, and what takes longer to ask for than some stages do: Arrow's types of its columns, its digest."""

    stage: Stage
    types: dict[str, pa.DataType]
    digest: str

    def attempt(self, batch: Batch) -> tuple[Batch, dict[int, BadInput]]:
        """`Stage.attempt`, with values as they are read back: the next stage sees the same in this run and others.

        Raises what Arrow does for a value of another type than the stage declares.
        """
        columns, problems = self.stage.attempt(batch)
        return as_stored(columns, self.types), problems


def steps_of(stages: Sequence[Stage]) -> list[Step]:
    """The stages, each with the types of its columns."""
    return [Step(stage, stage.stored_types(), stage.digest) for stage in stages]


class ShardJob:
    """A shard on its way: opened (what earlier runs left is read back), prepared, finished (on disk).

    `prepare` takes the first conversations through the stages that need no model's device (`Stage.prepares`), so
    that a thread can do it for the next shard while a GPU works on this one. Calling it is never needed.
    """

    def __init__(
        self,
        path: Path,
        rows: Sequence[Row],
        stages: Sequence[Stage],
        known: Mapping[str, tuple[Path, Entry]],
        batch_seconds: float = 0.0,
        progress: Progress = lambda stage, audio, wall: None,
    ) -> None:
        self.path = path
        self.rows = rows
        self._stages, self._steps = stages, steps_of(stages)
        self._progress = progress
        self._checkpoint = Checkpoint(checkpoint_path(path))
        self._overlaps = batch_seconds > 0
        with interrupts.deferred():
            self._chain = chain_of(stages)
            works, self._settled = _resume(rows, stages, self._chain, known)
        self._batches = _batches(works, batch_seconds)
        self._finished: dict[str, Row] = {}
        self._saved = time.monotonic()
        self._ready: dict[int, list[tuple[Work, Reject | None]]] = {}

    def prepare(self) -> "ShardJob":
        """Take the first batch as far as it goes without a device; returns the job itself."""
        if self._batches:
            self._ready[0] = self._prepared(0)
        return self

    def finish(self) -> Shard:
        """Take everything through all stages and write the shard. What it raises leaves no shard.

        What is made by then is saved beside it every `SAVE_SECONDS`, and before a Ctrl-C is raised: conversations
        that are finished, and the stages that those in hand have been through. Of the stage in hand, the answers
        of its model are kept as they come (`store.checkpoint`). The next run goes on from there. So what is lost
        is measured in work, not in audio, whatever the machine's speed.

        A Ctrl-C is raised between two stages, between two batches of a model, or once the shard is written.
        """
        with interrupts.deferred():
            return self._finish()

    def _finish(self) -> Shard:
        columns = features_of(self._stages)
        untidy = 0.0
        with contextlib.closing(self._coming()) as coming:
            for batch in coming:
                untidy += sum(work.row["duration"] for work, _ in batch)
                refused = [(work, reject) for work, reject in batch if reject]
                left = [work for work, reject in batch if not reject]
                for work, reject in [*refused, *self._through(left)]:
                    self._settled[work.name] = _entry(work, self._chain, reject)
                    if reject is None:
                        # Without the samples: a shard's rows are kept until it is written, its audio is not.
                        self._finished[work.name] = {name: work.row[name] for name in columns}
                    work.row = {"conversation_id": work.name}
                if untidy >= TIDY_SECONDS:
                    untidy = 0.0
                    give_back_memory()
                self._save_in_time([])
        names = [row["conversation_id"] for row in self.rows]
        shard = Shard(
            [self._finished[name] for name in names if name in self._finished],
            {name: self._settled[name] for name in names},
        )
        write_shard(self.path, shard, columns)
        part_path(self.path).unlink(missing_ok=True)
        self._checkpoint.remove()
        return shard

    def _through(self, works: list[Work]) -> list[tuple[Work, Reject | None]]:
        """`_run`, with what it has made by then saved in time, and before a Ctrl-C is raised."""
        try:
            return self._run(works, self._steps, self._save_in_time)
        except KeyboardInterrupt:
            self._save(works)
            raise

    def _run(
        self,
        works: list[Work],
        steps: Sequence[Step],
        after: Callable[[list[Work]], None] = lambda works: None,
    ) -> list[tuple[Work, Reject | None]]:
        """Take a batch through the stages that are left. Rows that a stage can't use leave with their reject.

        `works` holds the rows that are in it still, and `after` is given them once they are through a stage.
        """
        results: list[tuple[Work, Reject | None]] = []
        if not works:
            return results
        done = works[0].done
        if done < len(steps):
            stages = [step.stage for step in steps]
            _restore(works, stages[:done], stages[done:])
        for step in steps[done:]:
            if not works:
                break
            stage = step.stage
            audio = sum(work.row["duration"] for work in works)
            self._progress(stage.name, audio, None)
            started = time.perf_counter()
            with self._checkpoint.during(step.digest):
                columns, problems = step.attempt(_batch(works, stage))
            for place, error in problems.items():
                work = works[place]
                if error.retry:
                    work.row["input_digest"] = ""  # of no input: the next run tries again
                results.append((work, Reject(work.name, stage.name, error.reason, error.remedy)))
            wall = time.perf_counter() - started
            usable = [(place, work) for place, work in enumerate(works) if place not in problems]
            works[:] = [work for _, work in usable]
            for place, work in usable:
                work.row |= {name: values[place] for name, values in columns.items()}
                work.seconds.append(wall * work.row["duration"] / audio if audio else 0.0)
                work.done += 1
            self._progress(stage.name, audio, wall)
            after(works)
        return results + [(work, None) for work in works]

    def _save_in_time(self, in_hand: list[Work]) -> None:
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._save(in_hand)

    def _save(self, in_hand: list[Work]) -> None:
        columns = features_of(self._stages)
        # Nothing between the first stage and a final one has columns to be kept in.
        begun = [] if self._stages[-1].final else [work for work in in_hand if work.done]
        rows = [{name: work.row.get(name) for name in columns} for work in begun]
        entries = {work.name: _entry(work, self._chain, None) for work in begun}
        write_shard(
            part_path(self.path), Shard([*self._finished.values(), *rows], self._settled | entries), columns
        )
        self._saved = time.monotonic()

    def _prepared(self, place: int) -> list[tuple[Work, Reject | None]]:
        """What `_run` gives for a batch, of the leading stages that need no device."""
        if place in self._ready:
            return self._ready.pop(place)
        works = self._batches[place]
        leading = list(itertools.takewhile(lambda step: step.stage.prepares, self._steps))
        return self._run(works, leading) if works[0].done < len(leading) else [(work, None) for work in works]

    def _coming(self) -> Generator[list[tuple[Work, Reject | None]]]:
        """The batches, prepared; on a device the next one while the caller works on this one."""
        return ahead(self._prepared, range(len(self._batches)), self._overlaps)


def build_shard(
    path: Path,
    rows: Sequence[Row],
    stages: Sequence[Stage],
    known: Mapping[str, tuple[Path, Entry]],
    batch_seconds: float = 0.0,
    progress: Progress = lambda stage, audio, wall: None,
) -> Shard:
    """Run `stages` over `rows` of a source and write the shard to `path`.

    Args:
        path: of the Parquet file.
        rows: of the source, without problems.
        stages: in order.
        known: what earlier runs made, by conversation id.
        batch_seconds: audio that a batch of conversations may hold; 0 takes them one by one.
        progress: is told of each stage of each batch.

    A conversation that a stage can't use becomes a reject in the shard; any other error stops the shard, and
    nothing is written.
    """
    return ShardJob(path, rows, stages, known, batch_seconds, progress).finish()


def ahead(prepare: Callable[[_Item], _Ready], items: Iterable[_Item], overlap: bool = True) -> Generator[_Ready]:
    """`map` in order; with `overlap`, a thread prepares one item while the caller works on the one before.

    One and no more, so that memory holds two whatever comes. What `prepare` raises is raised in its item's turn.
    Close it (`contextlib.closing`): left to the garbage collector it waits for its thread wherever that happens to
    run, also inside the start of another thread, where neither can go on.
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


def _resume(
    rows: Sequence[Row],
    stages: Sequence[Stage],
    chain: tuple[str, ...],
    known: Mapping[str, tuple[Path, Entry]],
) -> tuple[list[Work], dict[str, Entry]]:
    """What is left to do, with the columns that still stand read back; and rejects that stand as they are."""
    works: list[Work] = []
    settled: dict[str, Entry] = {}
    stored: dict[Path, dict[str, Row]] = {}
    columns = features_of(stages)
    for row in rows:
        name = row["conversation_id"]
        path, entry = known.get(name, (None, None))
        standing = entry.standing(row["input_digest"], chain) if entry else 0
        if entry is not None and entry.reject and standing == len(entry.chain):
            settled[name] = entry
            continue
        if stages[-1].final and standing < len(stages):
            standing = 0  # what lies between was not kept
        if standing and path is not None and path not in stored:
            try:
                stored[path] = read_rows(path, columns)
            except BadInput:  # damaged: its rows are made again
                stored[path] = {}
        # The source's columns are today's: a recording may have been moved.
        made = set(features_of(stages[:standing])) - (set() if stages[-1].final else set(SOURCE))
        if path is None or not made <= stored.get(path, {}).get(name, {}).keys():
            standing = 0
        work = Work(expand_row(row), standing, list(entry.seconds[:standing]) if entry else [])
        if standing and path is not None:
            work.row |= {column: value for column, value in stored[path][name].items() if column in made}
        works.append(work)
    return works, settled


def _batches(works: Sequence[Work], batch_seconds: float) -> list[list[Work]]:
    """Conversations that are equally far, in order, up to `batch_seconds` of audio together."""
    batches: list[list[Work]] = []
    held = 0.0
    for work in works:
        fits = batches and batches[-1][0].done == work.done and held + work.row["duration"] <= batch_seconds
        if not fits:
            batches.append([])
            held = 0.0
        batches[-1].append(work)
        held += work.row["duration"]
    return batches


def _restore(works: list[Work], done: Sequence[Stage], left: Sequence[Stage]) -> None:
    """Make the transient columns of stages that are done again, if a stage that is left asks for them."""
    wanted = {name for stage in left for name in (*stage.needs, *stage.uses)}
    for stage in done:
        if wanted.intersection(stage.transient) - set(works[0].row):
            restored = stage.restore({name: [work.row[name] for work in works] for name in works[0].row})
            for position, work in enumerate(works):
                work.row |= {name: values[position] for name, values in restored.items()}


def _batch(works: Sequence[Work], stage: Stage) -> Batch:
    there = [name for name in (*stage.needs, *stage.uses) if name in works[0].row]
    return {name: [work.row[name] for work in works] for name in there}


def _entry(work: Work, chain: tuple[str, ...], reject: Reject | None) -> Entry:
    row = work.row
    return Entry(
        row["input_digest"],
        # A reject keeps the stage that refused it: it is refused again only by other code or settings.
        chain[: work.done + (reject is not None)],
        tuple(work.seconds) + ((0.0,) if reject else ()),
        row["recording_id"],
        row["duration"],
        reject,
    )


# Making one shard and saying what it took.
#
# What every engine runs in its workers: `build_shard`, with its own account of the seconds, small enough to be
# sent back to whoever keeps the run's record.


@dataclass(frozen=True)
class ShardReport:
    """A shard that was made.

    Attributes:
        path: of its file. conversations, rejects: how many went in, and how many of them were rejected.
        audio_seconds: of its conversations. wall_seconds: of work on it, until it was on disk.
        stage_seconds: of them in each stage that was run now, by name; a model is loaded in its first call.
        stage_audio: seconds of audio that went through each of these stages now.
        pid: process that made it.
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
        """Spent on reading what was there, on types, and on writing: in no stage."""
        return max(0.0, self.wall_seconds - sum(self.stage_seconds.values()))


class TimedShardJob:
    """A `Job` with its own account of the seconds. Takes what `build_shard` takes."""

    def __init__(
        self,
        path: Path,
        rows: Sequence[Row],
        stages: Sequence[Stage],
        known: Mapping[str, tuple[Path, Entry]],
        batch_seconds: float,
        progress: Progress,
    ) -> None:
        self._stage_seconds: defaultdict[str, float] = defaultdict(float)
        self._stage_audio: defaultdict[str, float] = defaultdict(float)
        self._wall_seconds = 0.0

        def told(stage: str, audio: float, wall: float | None) -> None:
            if wall is not None:
                self._stage_seconds[stage] += wall
                self._stage_audio[stage] += audio
            progress(stage, audio, wall)

        self._job = ShardJob(path, rows, stages, known, batch_seconds, told)

    def prepare(self) -> "TimedShardJob":
        """`Job.prepare`; returns this."""
        started = time.perf_counter()
        self._job.prepare()
        self._wall_seconds += time.perf_counter() - started
        return self

    def finish(self) -> ShardReport:
        """`Job.finish`, and what it all took. Raises as it does."""
        started = time.perf_counter()
        shard = self._job.finish()
        give_back_memory()
        self._wall_seconds += time.perf_counter() - started
        return ShardReport(
            self._job.path,
            len(self._job.rows),
            sum(entry.reject is not None for entry in shard.entries.values()),
            float(sum(row["duration"] for row in self._job.rows)),
            self._wall_seconds,
            dict(self._stage_seconds),
            dict(self._stage_audio),
            os.getpid(),
        )


def make_shard(
    path: Path,
    rows: Sequence[Row],
    stages: Sequence[Stage],
    known: Mapping[str, tuple[Path, Entry]],
    batch_seconds: float,
    progress: Progress,
) -> ShardReport:
    """`build_shard`, and what it took. Raises as it does."""
    return TimedShardJob(path, rows, stages, known, batch_seconds, progress).finish()
