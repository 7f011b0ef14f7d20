"""Making shards: their conversations go through the stages, and each file is written when all of its own are done.

Every engine calls this code, on a laptop or on a cluster. What goes through the stages together is a portion: on a
CPU one conversation, or some short ones, of one shard; on CUDA, and where a service says the lines, conversations
of neighbouring shards, too. Until a shard is whole, each portion of it is kept in a file of its own.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets import Features

from dailytalk_contiguous import shards
from dailytalk_contiguous.core.conversation import (
    Conversation,
    as_stored,
    assign,
    forget,
    from_row,
    has_column,
    to_row,
)
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.interrupts import check_interrupt
from dailytalk_contiguous.core.machine import give_back_memory, side_by_side
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.core.steps import listening
from dailytalk_contiguous.stages.base import Stage

#: Seconds of audio of conversations that go through the stages together on a CPU, if there is more than one: short
#: ones share the cost of `Dataset.map`, and no stop loses more than they take.
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
class Halfway:
    """The shard that keeps the rows of a task after its first stages.

    Attributes:
        path: its file.
        n_stages: how many stages the rows have been through.
        made_by: the digest of these stages.
        earlier: as in `Task`.
    """

    path: Path
    n_stages: int
    made_by: str = ""
    earlier: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A shard to make.

    Attributes:
        path: its file.
        rows: of the source, without problems.
        columns: the types of the source's columns; rows may lack some of them.
        keeps: the columns of the shard; None for all (`features_of`).
        made_by: the digest of the stages.
        earlier: by id, the files of the conversations that other shards of the folder have, finished from the same
            input by the same stages: they are copied, and only the others go through the stages.
        halfway: the shard of the first stages; None for none.
        generation: of the shard (`shards.Shard`).
    """

    path: Path
    rows: list[Row]
    columns: Features = field(default_factory=lambda: SOURCE)
    keeps: Features | None = None
    made_by: str = ""
    earlier: Mapping[str, Path] = field(default_factory=dict)
    halfway: Halfway | None = None
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
        """The files that are read to make it: of finished rows, and of those after the first stages."""
        files = [*self.earlier.values()]
        if self.halfway:
            files += [self.halfway.path] if self.is_halfway else self.halfway.earlier.values()
        return [*dict.fromkeys(files)]

    def absolute(self) -> "Task":
        """The task with absolute paths, for a worker that is in another folder."""
        earlier = {name: path.absolute() for name, path in self.earlier.items()}
        halfway = self.halfway
        if halfway:
            of_halfway = {name: path.absolute() for name, path in halfway.earlier.items()}
            halfway = replace(halfway, path=halfway.path.absolute(), earlier=of_halfway)
        return replace(self, path=self.path.absolute(), earlier=earlier, halfway=halfway)

    @property
    def is_halfway(self) -> bool:
        """Whether the shard of the first stages is there."""
        return self.halfway is not None and self.halfway.path.exists()

    @property
    def first_stage(self) -> int | None:
        """The index of the first stage that is left for a row; None if all rows are copied."""
        left = self.left
        if not left:
            return None
        if self.halfway is None:
            return 0
        heard = self.halfway.earlier
        if self.is_halfway or all(row["conversation_id"] in heard for row in left):
            return self.halfway.n_stages
        return 0


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
        rejects: how many of its conversations were rejected.
        audio_seconds: seconds of its conversations that went through stages now; others were copied.
        wall_seconds: seconds of work since the shard before it was on disk.
        stages: of each stage that was run meanwhile, by name, wall seconds (a model is loaded in its first call)
            and the seconds of audio that went through it. Portions may span shards: only sums over all shards say
            how long a stage took.
        conversations: how many of its conversations went through stages now.
    """

    path: Path
    rejects: int
    audio_seconds: float
    wall_seconds: float
    stages: Mapping[str, tuple[float, float]]
    conversations: int = 0


class GrowingShard:
    """A shard on its way to its file.

    Args:
        path: of the file.
        task: whose conversations it will have.
        stages: that make its rows.
        made_by: their digest.
        keeps: the columns of its rows.

    Attributes:
        keeps: the columns of its rows.
        rows: finished ones, by the conversation's id.
        entries: the records of conversations that are finished or rejected.
    """

    def __init__(self, path: Path, task: Task, stages: Sequence[Stage], made_by: str, keeps: Features) -> None:
        self.keeps = keeps
        self.rows: dict[str, Row] = {}
        self.entries: dict[str, shards.Entry] = {}
        self._path = path
        self._task = task
        self._made_by = made_by
        self._retried = retried_by(stages)
        self._made_columns = {name for stage in stages for name in stage.adds}
        self._on_disk = set[str]()
        self._parts: list[Path] = []

    @property
    def rejects(self) -> list[Reject]:
        return [entry.reject for entry in self.entries.values() if entry.reject]

    @property
    def is_whole(self) -> bool:
        return len(self.entries) == len(self._task.rows)

    def take(self, files: Mapping[str, Path]) -> None:
        """Copy conversations by id from the files that have them; what can't be read is left to be made again."""
        names_in: dict[Path, set[str]] = {}
        for name, path in files.items():
            names_in.setdefault(path, set()).add(name)
        sources = {row["conversation_id"]: row for row in self._task.rows}
        for path, names in names_in.items():
            shard = shards.read_whole(path, self.keeps)
            if shard is None:
                continue
            stored = {row["conversation_id"]: row for row in shard.rows}
            for name in names & shard.entries.keys():
                reject = shard.entries[name].reject
                if reject:
                    self.put(sources[name], None, reject)
                elif name in stored:
                    self.put(sources[name], self._with_source(stored[name], sources[name]), None)
            self._on_disk |= names & self.entries.keys()
            if shards.is_part(path) and shard.entries.keys() <= sources.keys():
                self._parts.append(path)

    def _with_source(self, stored: Row, source: Row) -> Row:
        """A stored row with today's columns of the source: a recording may have been moved."""
        row = dict(stored)
        for name, value in shards.expand_row(source).items():
            if name in self.keeps and name not in self._made_columns:
                row[name] = value
        return row

    def put(self, source: Row, row: Row | None, reject: Reject | None) -> None:
        """Add a conversation: its finished row, or its reject."""
        name = source["conversation_id"]
        key = shards.conversation_key(source, self._made_by)
        self.entries[name] = shards.Entry(source["recording_id"], source["duration"], reject, key=key)
        if row is not None:
            self.rows[name] = {column: row.get(column) for column in self.keeps}

    def write(self) -> Path | None:
        """Write the shard if it is whole, else a part of it with the conversations that are in no file yet.

        A shard is held if one of its conversations may not be rejected the next time. Returns the file of a shard
        that is whole.
        """
        check_interrupt()  # what compiled code has made of one may be a reject
        names = [row["conversation_id"] for row in self._task.rows]
        if not self.is_whole:
            self._write_part([name for name in names if name in self.entries and name not in self._on_disk])
            return None
        path = self._path
        held = shards.held_path(path)
        if any(reject.stage in self._retried for reject in self.rejects):
            path = held
        self._write(path, names)
        if path != held:
            held.unlink(missing_ok=True)
        for part in self._parts:
            part.unlink(missing_ok=True)
        return path

    def _write_part(self, names: Sequence[str]) -> None:
        if not names:
            return
        rows = [row for row in self._task.rows if row["conversation_id"] in names]
        path = shards.part_path(shards.shard_path(self._path.parent, rows, self._made_by))
        self._write(path, names)
        self._parts.append(path)
        self._on_disk.update(names)

    def _write(self, path: Path, names: Sequence[str]) -> None:
        rows = [self.rows[name] for name in names if name in self.rows]
        entries = {name: self.entries[name] for name in names}
        shards.write_shard(path, shards.Shard(rows, entries, self._task.generation), self.keeps)


class ShardInProgress:
    """A task on its way.

    Attributes:
        task: what is made.
        shard: its shard.
        halfway: the shard of the first stages; None if there is none, and if its file is written.
        left: the conversations that go through stages.
        copied_seconds: seconds of audio of the others, whose rows wait in memory until the shard is whole.
    """

    def __init__(self, task: Task, stages: Sequence[Stage]) -> None:
        self.task = task
        self.shard = GrowingShard(task.path, task, stages, task.made_by, task.keeps or features_of(stages))
        self.shard.take(task.earlier)
        self.halfway: GrowingShard | None = None
        self.left: list[Waiting] = []
        if task.halfway:
            self._open_halfway(task.halfway, stages[: task.halfway.n_stages])
        names = {*self.shard.entries, *(waiting.row["conversation_id"] for waiting in self.left)}
        for row in task.rows:
            if row["conversation_id"] not in names:
                self.left.append(Waiting(self, row, 0))
        left_seconds = sum(waiting.row["duration"] for waiting in self.left)
        self.copied_seconds = float(sum(row["duration"] for row in task.rows) - left_seconds)

    def _open_halfway(self, halfway: Halfway, stages: Sequence[Stage]) -> None:
        """Read what has been through the first stages from their file, or from other shards of its folder."""
        growing = GrowingShard(halfway.path, self.task, stages, halfway.made_by, features_of(stages))
        if halfway.path.exists():
            names = [row["conversation_id"] for row in self.task.rows]
            growing.take(dict.fromkeys(names, halfway.path))
        if not growing.is_whole:
            growing.take(halfway.earlier)
            if growing.is_whole:
                growing.write()
            else:
                self.halfway = growing
        for row in self.task.rows:
            name = row["conversation_id"]
            if name in self.shard.entries or name not in growing.entries:
                continue
            reject = growing.entries[name].reject
            if reject:
                self.shard.put(row, None, reject)
            else:
                made = shards.expand_row(row) | growing.rows[name]
                self.left.append(Waiting(self, made, halfway.n_stages))


@dataclass(frozen=True)
class Waiting:
    """A conversation that waits for stages.

    Attributes:
        shard: that it belongs to.
        row: of the source, with what the first stages have made.
        done: how many stages it has been through.
    """

    shard: ShardInProgress
    row: Row
    done: int


@dataclass
class Portion:
    """Conversations that go through the stages together.

    Attributes:
        conversations: as they wait.
        talks: as they are now, in the same order.
        done: how many stages they have been through.
    """

    conversations: Sequence[Waiting]
    talks: list[Conversation]
    done: int

    @property
    def seconds(self) -> float:
        """Seconds of their audio."""
        return float(sum(waiting.row["duration"] for waiting in self.conversations))


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
        """Make shards; yields each once it is on disk. If this raises, the conversations that are done are kept.

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
        waiting = list[Waiting]()
        for task in tasks:
            shard = ShardInProgress(task, self.stages)
            if not shard.left:
                yield self._report(shard, shard.shard.write())
                continue
            for conversation in shard.left:
                if waiting and not self._goes_with(waiting, conversation, self.batch_seconds):
                    yield self._opened(waiting)
                    waiting = []
                waiting.append(conversation)
        if waiting:
            yield self._opened(waiting)

    def _goes_with(self, before: Sequence[Waiting], conversation: Waiting, batch_seconds: float) -> bool:
        """Whether a conversation goes through the stages together with those before it.

        A portion spans no shards that have copied more audio than it may have itself: it would fill memory.
        """
        first = before[0]
        owners = {id(waiting.shard): waiting.shard for waiting in (*before, conversation)}
        copied_seconds = sum(owner.copied_seconds for owner in owners.values())
        may_span = batch_seconds > 0 and copied_seconds <= batch_seconds
        may_join = may_span or first.shard is conversation.shard
        seconds = sum(waiting.row["duration"] for waiting in (*before, conversation))
        fits = seconds <= (batch_seconds or PORTION_SECONDS)
        return may_join and fits and first.done == conversation.done

    def _opened(self, waiting: Sequence[Waiting]) -> Portion:
        """A portion of conversations that have been through the same stages."""
        done = waiting[0].done
        features = dict(waiting[0].shard.task.columns)
        for stage in self.stages[:done]:
            features |= stage.adds
        talks = [open_talk(conversation.row, Features(features)) for conversation in waiting]
        return Portion(waiting, talks, done)

    def _prepared(self, step: Portion | ShardReport) -> Portion | ShardReport:
        """A portion that has been through the first of the stages that need no model's device."""
        if isinstance(step, Portion):
            for stage in itertools.takewhile(lambda stage: stage.prepares, self.stages[step.done :]):
                self._advance(step, stage)
        return step

    def _finish(self, portion: Portion) -> Iterator[ShardReport]:
        """Take a portion through the stages left; yields the shards that it completes."""
        n_together = self.n_together
        if n_together is not None:
            self._run(portion, n_together)
        pieces = [portion] if n_together is None else self._pieces(portion)
        for piece in pieces:
            self._run(piece, len(self.stages))
            owners = {id(waiting.shard): waiting.shard for waiting in piece.conversations}
            for waiting, talk in zip(piece.conversations, piece.talks, strict=True):
                put_talk(waiting.shard.shard, waiting.row, talk)
            for owner in owners.values():
                path = owner.shard.write()
                if path:
                    yield self._report(owner, path)

    def _pieces(self, portion: Portion) -> Iterator[Portion]:
        """A portion divided as on a CPU."""
        first = 0
        conversations = portion.conversations
        for end in range(1, len(conversations) + 1):
            piece = conversations[first:end]
            if end < len(conversations) and self._goes_with(piece, conversations[end], 0.0):
                continue
            yield Portion(piece, portion.talks[first:end], portion.done)
            first = end

    def _run(self, portion: Portion, until: int) -> None:
        """Take a portion through the stages up to this one; what the first stages have made is kept on the way."""
        while portion.done < until:
            self._advance(portion, self.stages[portion.done])
            halfway = portion.conversations[0].shard.task.halfway
            if halfway and halfway.n_stages == portion.done:
                self._keep_halfway(portion)

    def _keep_halfway(self, portion: Portion) -> None:
        """Write what the first stages have made, and drop what is too large to be kept."""
        heavy = {name for stage in self.stages[: portion.done] for name in stage.transient}
        growing: dict[int, GrowingShard] = {}
        for waiting, talk in zip(portion.conversations, portion.talks, strict=True):
            forget(talk, heavy)
            if waiting.shard.halfway:
                growing[id(waiting.shard)] = waiting.shard.halfway
                put_talk(waiting.shard.halfway, waiting.row, talk)
        for shard in growing.values():
            shard.write()

    def _report(self, shard: ShardInProgress, path: Path | None) -> ShardReport:
        """Report a shard that is on disk, with what was worked since the last report."""
        now = time.perf_counter()
        with self._taking:  # a thread prepares the next portion meanwhile
            taken = self._taken
            self._taken = {}
        report = ShardReport(
            path=path or shard.task.path,
            rejects=len(shard.shard.rejects),
            audio_seconds=float(sum(waiting.row["duration"] for waiting in shard.left)),
            wall_seconds=now - self._since,
            stages=taken,
            conversations=len(shard.left),
        )
        self._since = now
        return report

    def _advance(self, portion: Portion, stage: Stage) -> None:
        audio = portion.seconds
        has_model = any(stage.models().values())
        is_divided = self.n_together is not None and portion.done >= self.n_together
        spans_conversations = self.batch_seconds > 0 and not is_divided
        one_by_one = not spans_conversations and not stage.by_row and has_model

        names = tuple(waiting.row["conversation_id"] for waiting in portion.conversations)
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


def put_talk(shard: GrowingShard, source: Row, talk: Conversation) -> None:
    """Put a conversation into a shard as the stages have left it, or the reject that it has become."""
    if talk.problem:
        shard.put(
            source,
            None,
            Reject(source["conversation_id"], talk.problem_stage or "", talk.problem, talk.remedy or ""),
        )
        return
    shard.put(source, to_row(talk, [name for name in shard.keeps if has_column(talk, name)]), None)


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
