"""Making shards: their conversations go through the stages, and each file is written when all of its own are done.

Every engine calls this code, on a laptop or on a cluster. What goes through the stages together is a portion: on a
CPU one conversation, or some short ones, of one shard; on CUDA, and where a service says the lines, conversations
of neighbouring shards, too.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from datasets import Features

from dailytalk_contiguous import shards
from dailytalk_contiguous.core.conversation import (
    Conversation,
    as_stored,
    assign,
    from_row,
    has_column,
    to_row,
)
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.interrupts import check_interrupt
from dailytalk_contiguous.core.machine import give_back_memory, side_by_side
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.core.steps import listening
from dailytalk_contiguous.stages.base import Stage

#: Seconds of audio of conversations that go through the stages together on a CPU, if there is more than one.
PORTION_SECONDS = 60.0


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


#: Called before and after each stage of each portion, and at the steps inside one.
Progress = Callable[[StageEvent], None]


def features_of(stages: Sequence[Stage]) -> Features:
    """The columns of a shard: those of the source and all that the stages add, except the transient ones."""
    columns = dict(SOURCE)
    for stage in stages:
        columns |= {name: feature for name, feature in stage.adds.items() if name not in stage.transient}
    return Features(columns)


def retried_by(stages: Iterable[Stage]) -> set[str]:
    """The names of the stages whose rejects may be fine in another run."""
    return {stage.name for stage in stages if stage.retried}


@dataclass(frozen=True)
class Task:
    """A shard to make.

    Attributes:
        path: its file.
        rows: of the source, without problems.
        columns: the types of the columns that the rows have before the stages; they may lack some of them.
        keeps: the columns of the shard; None for all (`features_of`).
        made_by: the digest of the stages, also of those before.
        before: the shard of the pass before, which has the rows after its stages; None for none.
        made_before: the columns that the stages before have made.
        retried: the stages, also of those before, whose rejects may be fine in another run.
        earlier: by id, the files of the conversations that other shards of the folder have, finished from the same
            input by the same stages: they are copied, and only the others go through the stages.
        generation: of the shard (`shards.Shard`).
    """

    path: Path
    rows: list[Row]
    columns: Features = field(default_factory=lambda: SOURCE)
    keeps: Features | None = None
    made_by: str = ""
    before: Path | None = None
    made_before: Set[str] = frozenset()
    retried: Set[str] = frozenset()
    earlier: Mapping[str, Path] = field(default_factory=dict)
    generation: int = 0

    @property
    def left(self) -> list[Row]:
        """The rows that go through stages."""
        return [row for row in self.rows if row["conversation_id"] not in self.earlier]

    @property
    def seconds(self) -> float:
        """Seconds of audio that go through stages."""
        return float(sum(row["duration"] for row in self.left))

    def read_files(self) -> list[Path]:
        """The files that are read to make it: of finished rows, and of those after the pass before."""
        files = [*self.earlier.values()]
        if self.before and self.left:
            files.append(self.before)
        return [*dict.fromkeys(files)]

    def absolute(self) -> "Task":
        """The task with absolute paths, for a worker that is in another folder."""
        earlier = {name: path.absolute() for name, path in self.earlier.items()}
        before = self.before.absolute() if self.before else None
        return replace(self, path=self.path.absolute(), earlier=earlier, before=before)


@dataclass(frozen=True)
class RunPlan:
    """The work of a run.

    Attributes:
        paths: all shards, in order.
        tasks: the shards that do not exist.
        has_results: whether the shards are results, and not those of a pass that another one goes on from.
    """

    paths: list[Path]
    tasks: list[Task]
    has_results: bool = True

    @property
    def seconds(self) -> float:
        """Seconds of audio that go through stages."""
        return sum(task.seconds for task in self.tasks)

    @property
    def conversations(self) -> int:
        """How many conversations go through stages."""
        return sum(len(task.left) for task in self.tasks)


@dataclass(frozen=True)
class ShardReport:
    """A shard that was made, small enough to be sent back by a worker.

    Attributes:
        path: of its file.
        name: of the file by its own name, whether it is held or not.
        rejects: how many of its conversations were rejected.
        wall_seconds: seconds of work since the shard before it was on disk.
        stages: of each stage that was run meanwhile, by name, wall seconds (a model is loaded in its first call)
            and the seconds of audio that went through it. Portions may span shards: only sums over all shards say
            how long a stage took.
    """

    path: Path
    name: str
    rejects: int
    wall_seconds: float
    stages: Mapping[str, tuple[float, float]]


class ShardInProgress:
    """A shard on its way to its file, which is written when all of its conversations are done.

    Attributes:
        task: what is made.
        left: the rows that go through stages, as the pass before has left them.
        copied_seconds: seconds of audio of the others, which wait in memory.
        rejects: of its conversations.
    """

    def __init__(self, task: Task, stages: Sequence[Stage]) -> None:
        self.task = task
        self._keeps = task.keeps or features_of(stages)
        self._rows: dict[str, Row] = {}
        self._entries: dict[str, shards.Entry] = {}
        sources = {row["conversation_id"]: row for row in task.rows}
        self._copy(sources, task.made_before | {name for stage in stages for name in stage.adds})
        if task.before and len(self._entries) < len(sources):
            sources = self._after_pass_before(task.before)
        self.left = [row for name, row in sources.items() if name not in self._entries]
        seconds = sum(row["duration"] for row in self.left)
        self.copied_seconds = float(sum(row["duration"] for row in task.rows) - seconds)

    @property
    def rejects(self) -> list[Reject]:
        return [entry.reject for entry in self._entries.values() if entry.reject]

    @property
    def is_whole(self) -> bool:
        return len(self._entries) == len(self.task.rows)

    def _after_pass_before(self, path: Path) -> dict[str, Row]:
        """The rows after the pass before, by id; its rejects are rejected here, too."""
        stored = shards.read_rows(path, self.task.columns)
        entries = shards.read_entries(path)
        rows: dict[str, Row] = {}
        for row in self.task.rows:
            name = row["conversation_id"]
            if name in self._entries:
                continue
            if name not in entries:
                raise BadInput(f"{as_text(path)!r} lacks {name!r}", "delete it, and run the same command again")
            reject = entries[name].reject
            if reject:
                self.put(row, None, reject)
            else:
                rows[name] = stored[name] | columns_of_today(row, self.task.made_before)
        return rows

    def _copy(self, sources: Mapping[str, Row], made_columns: Container[str]) -> None:
        """Copy finished conversations from other files; what can't be read is left to be made again."""
        names_in: dict[Path, list[str]] = {}
        for name, path in self.task.earlier.items():
            if name in sources:
                names_in.setdefault(path, []).append(name)
        for path, names in names_in.items():
            shard = shards.read_whole(path, self._keeps)
            if shard is None and self.task.before and not self.task.before.exists():
                remedy = "delete it if it is there, and run the same command again"
                raise BadInput(f"{as_text(path)!r} can't be read", remedy)
            if shard is None:
                continue
            stored = {row["conversation_id"]: row for row in shard.rows}
            for name in names:
                entry = shard.entries.get(name)
                if entry and entry.reject:
                    self.put(sources[name], None, entry.reject)
                elif name in stored:
                    self.put(sources[name], stored[name] | columns_of_today(sources[name], made_columns), None)

    def put(self, source: Row, row: Row | None, reject: Reject | None) -> None:
        """Add a conversation: its finished row, or its reject."""
        name = source["conversation_id"]
        key = shards.conversation_key(source, self.task.made_by)
        self._entries[name] = shards.Entry(source["recording_id"], source["duration"], reject, key=key)
        if row is not None:
            self._rows[name] = {column: row.get(column) for column in self._keeps}

    def put_talk(self, source: Row, talk: Conversation) -> None:
        """Add a conversation as the stages have left it, or the reject that it has become."""
        if talk.problem:
            stage = talk.problem_stage or ""
            self.put(source, None, Reject(source["conversation_id"], stage, talk.problem, talk.remedy or ""))
            return
        self.put(source, to_row(talk, [name for name in self._keeps if has_column(talk, name)]), None)

    def write(self) -> Path:
        """Write the shard; it is held if one of its conversations may not be rejected the next time."""
        check_interrupt()  # what compiled code has made of one may be a reject
        path = self.task.path
        held = shards.held_path(path)
        if any(reject.stage in self.task.retried for reject in self.rejects):
            path = held
        names = [row["conversation_id"] for row in self.task.rows]
        rows = [self._rows[name] for name in names if name in self._rows]
        entries = {name: self._entries[name] for name in names}
        shards.write_shard(path, shards.Shard(rows, entries, self.task.generation), self._keeps)
        if path != held:
            held.unlink(missing_ok=True)
        return path


def columns_of_today(row: Row, made_columns: Container[str]) -> Row:
    """The columns of a row that no stage makes, as they are today: a recording may have been moved."""
    return {name: value for name, value in shards.expand_row(row).items() if name not in made_columns}


class Source(NamedTuple):
    """A row that goes through the stages, and the shard that it belongs to."""

    shard: ShardInProgress
    row: Row


@dataclass
class Portion:
    """Conversations that go through the stages together.

    Attributes:
        sources: their rows before the stages.
        talks: as they are now, in the same order.
        done: how many stages they have been through.
    """

    sources: Sequence[Source]
    talks: list[Conversation]
    done: int = 0

    @property
    def seconds(self) -> float:
        """Seconds of their audio."""
        return float(sum(source.row["duration"] for source in self.sources))


@dataclass
class ShardMaker:
    """Makes shards: takes conversations through the stages, and writes each file when all of its own are done.

    Between two stages values are as a file would hold them, so that rows are those of a user who calls `Stage.map`
    of one stage after another. On a CPU a model's batch is one conversation, so that a row does not depend on its
    neighbours.

    Attributes:
        stages: in order.
        batch_seconds: seconds of audio of a portion that may span shards, all of which is one batch of a model; 0
            on a CPU, where a portion is a conversation, or short ones of one shard.
        n_together: how many stages such a portion goes through before it is divided as on a CPU; None for all.
        progress: called before and after each stage of each portion.
    """

    stages: Sequence[Stage]
    batch_seconds: float = 0.0
    n_together: int | None = None
    progress: Progress = lambda event: None
    _taken: dict[str, tuple[float, float]] = field(default_factory=dict)
    _taking: threading.Lock = field(default_factory=threading.Lock)
    _since: float = 0.0

    def make(self, tasks: Iterable[Task]) -> Iterator[ShardReport]:
        """Make shards; yields each once it is on disk. If this raises, what is in no whole shard is dropped.

        On a device, the next portion is decoded by a thread while this one is processed.
        """
        self._since = time.perf_counter()
        steps: Generator[Portion | ShardReport] = self._steps(tasks)
        if self.batch_seconds:
            steps = side_by_side(self._prepared, steps, 1, 1)
        with contextlib.closing(steps):
            for step in steps:
                if isinstance(step, ShardReport):
                    yield step
                else:
                    yield from self._finish(step)
                del step  # before the next one is opened
                give_back_memory()

    def _steps(self, tasks: Iterable[Task]) -> Generator[Portion | ShardReport]:
        """Portions of what is left of the tasks, in order, and shards of which all could be copied."""
        waiting: list[Source] = []
        for task in tasks:
            shard = ShardInProgress(task, self.stages)
            if not shard.left:
                yield self._report(shard, shard.write())
            for row in shard.left:
                source = Source(shard, row)
                if waiting and not _go_together([*waiting, source], self.batch_seconds):
                    yield open_portion(waiting)
                    waiting = []
                waiting.append(source)
        if waiting:
            yield open_portion(waiting)

    def _prepared(self, step: Portion | ShardReport) -> Portion | ShardReport:
        """A portion that has been through the first of the stages that need no model's device."""
        if isinstance(step, Portion):
            for stage in itertools.takewhile(lambda stage: stage.prepares, self.stages[step.done :]):
                self._advance(step, stage)
        return step

    def _finish(self, portion: Portion) -> Iterator[ShardReport]:
        """Take a portion through the stages left; yields the shards that it completes."""
        is_divided = self.n_together is not None
        self._run(portion, self.n_together or 0)
        for piece in _pieces(portion) if is_divided else [portion]:
            self._run(piece, len(self.stages))
            owners = {id(source.shard): source.shard for source in piece.sources}
            for source, talk in zip(piece.sources, piece.talks, strict=True):
                source.shard.put_talk(source.row, talk)
            for shard in owners.values():
                if shard.is_whole:
                    yield self._report(shard, shard.write())

    def _run(self, portion: Portion, until: int) -> None:
        """Take a portion through the stages up to this one."""
        while portion.done < until:
            self._advance(portion, self.stages[portion.done])

    def _report(self, shard: ShardInProgress, path: Path) -> ShardReport:
        """Report a shard that is on disk, with what was worked since the last report."""
        now = time.perf_counter()
        with self._taking:  # a thread prepares the next portion meanwhile
            taken = self._taken
            self._taken = {}
        report = ShardReport(
            path=path,
            name=shard.task.path.name,
            rejects=len(shard.rejects),
            wall_seconds=now - self._since,
            stages=taken,
        )
        self._since = now
        return report

    def _advance(self, portion: Portion, stage: Stage) -> None:
        audio = portion.seconds
        has_model = any(stage.models().values())
        is_divided = self.n_together is not None and portion.done >= self.n_together
        spans_conversations = self.batch_seconds > 0 and not is_divided
        one_by_one = not spans_conversations and not stage.by_row and has_model

        names = tuple(source.row["conversation_id"] for source in portion.sources)
        event = StageEvent(stage.name, names, audio)

        def show_step(kind: str, done: int, total: int | None) -> None:
            self.progress(replace(event, kind=kind, done=done, total=total))

        self.progress(event)
        started = time.perf_counter()
        with listening(show_step):
            batches = [[talk] for talk in portion.talks] if one_by_one else [portion.talks]
            portion.talks = [talk for talks in batches for talk in after_stage(stage, talks)]
        wall = time.perf_counter() - started
        portion.done += 1
        with self._taking:
            wall_before, audio_before = self._taken.get(stage.name, (0.0, 0.0))
            self._taken[stage.name] = (wall_before + wall, audio_before + audio)
        self.progress(replace(event, wall=wall))


def open_talk(row: Row, features: Features) -> Conversation:
    """The conversation of a row that may be compressed, which has some of these columns."""
    expanded = shards.expand_row(row)
    stored = as_stored({name: expanded[name] for name in features if name in expanded}, features)
    return from_row(stored, features)


def after_stage(stage: Stage, talks: Sequence[Conversation]) -> list[Conversation]:
    """Conversations after a stage, with values as a file would hold them."""
    after = stage.apply(talks)
    names = [name for name in stage.adds if name not in stage.transient]
    for talk in after:
        if not talk.problem:
            assign(talk, as_stored(to_row(talk, names), stage.adds), stage.adds)
    return after


def open_portion(sources: Sequence[Source]) -> Portion:
    """A portion of the conversations of these rows."""
    talks = [open_talk(source.row, source.shard.task.columns) for source in sources]
    return Portion(sources, talks)


def _go_together(sources: Sequence[Source], batch_seconds: float) -> bool:
    """Whether conversations go through the stages together.

    A portion spans no shards that have copied more audio than it may have itself: it would fill memory.
    """
    owners = {id(source.shard): source.shard for source in sources}
    copied_seconds = sum(shard.copied_seconds for shard in owners.values())
    may_span = batch_seconds > 0 and copied_seconds <= batch_seconds
    seconds = sum(source.row["duration"] for source in sources)
    fits = seconds <= (batch_seconds or PORTION_SECONDS)
    return fits and (may_span or len(owners) == 1)


def _pieces(portion: Portion) -> Iterator[Portion]:
    """A portion divided as on a CPU."""
    first = 0
    sources = portion.sources
    for end in range(1, len(sources) + 1):
        if end < len(sources) and _go_together(sources[first : end + 1], 0.0):
            continue
        yield Portion(sources[first:end], portion.talks[first:end], portion.done)
        first = end


def neighbours(tasks: Iterable[Task], seconds: float) -> Iterator[list[Task]]:
    """Tasks in lists of up to so many seconds of audio that goes through stages; each alone where that is 0."""
    batch = list[Task]()
    total = 0.0
    for task in tasks:
        is_full = not seconds or total + task.seconds > seconds
        if batch and is_full:
            yield batch
            batch = []
            total = 0.0
        batch.append(task)
        total += task.seconds
    if batch:
        yield batch


def make_shards_of(
    tasks: Sequence[Task], stages: Sequence[Stage], batch_seconds: float = 0.0
) -> list[ShardReport]:
    """Make the shards of some tasks in a worker, as `ShardMaker` does."""
    return [*ShardMaker(stages, batch_seconds).make(tasks)]
