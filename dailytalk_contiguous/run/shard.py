"""Making shards: their conversations go through the stages, and each file is written when all of its own are done.

Every engine calls this code, on a laptop or on a cluster. Conversations that go through the stages together are a
portion: on a CPU one conversation, or some short ones, of one shard; on CUDA, and where a service says the lines,
conversations of neighbouring shards, too.
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets import Features

from dailytalk_contiguous import shards
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, Reject, TooLarge
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.judged import read_published
from dailytalk_contiguous.core.records.rows import as_stored, assign, from_row, has_column, to_row
from dailytalk_contiguous.core.records.schema import SOURCE, Row
from dailytalk_contiguous.core.records.utterance import is_set
from dailytalk_contiguous.core.steps import listening
from dailytalk_contiguous.machine.audio import from_uri
from dailytalk_contiguous.machine.interrupts import check_interrupt
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_bytes
from dailytalk_contiguous.machine.resources import give_back_memory, side_by_side
from dailytalk_contiguous.shards import Entry, PendingConversation, StoredEntry, audio_seconds_of
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class StageEvent:
    """A stage at work on conversations that go through it together.

    Attributes:
        stage: its name.
        conversations: their ids.
        audio: seconds of their audio.
        wall: seconds that the stage took; None before, and meanwhile.
        kind: the kind of the steps inside it, such as "lines", where it reports them; empty before and after.
        steps_done: how many steps are done.
        total: how many steps there are; None if that is unknown.
    """

    stage: str
    conversations: tuple[str, ...]
    audio: float
    wall: float | None = None
    kind: str = ""
    steps_done: int = 0
    total: int | None = None


#: Called before and after each stage of each portion, and at the steps inside one.
Progress = Callable[[StageEvent], None]


def features_of(stages: Sequence[Stage]) -> Features:
    """Return the columns of a shard: the source's and all that the stages add, except the transient ones."""
    columns = dict(SOURCE)
    for stage in stages:
        added = stage.columns if "utterance_id" in columns else stage.adds
        columns |= {name: feature for name, feature in added.items() if name not in stage.transient}
    return Features(columns)


@dataclass(frozen=True)
class Task:
    """A shard to make.

    Attributes:
        path: its file.
        conversations: conversations of the source, without problems.
        columns: the types of the columns that their rows have before the stages; they may lack some of them.
        keeps: the columns of the shard.
        made_by: the digest of the stages, also of those before.
        before: the shard of the pass before, which has the rows after its stages; None for none.
        made_before: the columns that the stages before have made.
        retried: the stages, also of those before, whose rejects may be fine in another run.
        finished: by id, conversations that other files of the folder have, finished from the same input by the
            same stages: they are copied, and only the others go through the stages.
        earlier_rows: by id, the finished rows in other files that conversations keep if they are rejected now.
        generation: the generation of the shard (`shards.Shard`).
    """

    path: Path
    conversations: list[PendingConversation]
    columns: Features = field(default_factory=lambda: SOURCE)
    keeps: Features = field(default_factory=lambda: SOURCE)
    made_by: str = ""
    before: Path | None = None
    made_before: Set[str] = frozenset()
    retried: Set[str] = frozenset()
    finished: dict[str, StoredEntry] = field(default_factory=dict)
    earlier_rows: dict[str, StoredEntry] = field(default_factory=dict)
    generation: int = 0

    @property
    def left(self) -> list[PendingConversation]:
        """The conversations that go through stages."""
        unfinished = [pending for pending in self.conversations if not pending.is_finished]
        return [pending for pending in unfinished if pending.conversation_id not in self.finished]

    @property
    def seconds(self) -> float:
        """Seconds of audio that go through stages."""
        return audio_seconds_of(self.left)

    def read_files(self) -> list[Path]:
        """Return the files that are read to make it: of finished rows, and of those after the pass before."""
        files = [path for path, _ in (*self.finished.values(), *self.earlier_rows.values())]
        if self.before and self.left:
            files.append(self.before)
        return [*dict.fromkeys(files)]


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
        """The number of conversations that go through stages."""
        return sum(len(task.left) for task in self.tasks)


@dataclass(frozen=True)
class ShardReport:
    """A shard that was made, small enough to be sent back by a worker.

    Attributes:
        path: its file.
        wall_seconds: seconds of work since the shard before it was on disk.
        stages: by each stage that was run meanwhile, wall seconds (a model is loaded in its first call)
            and the seconds of audio that went through it. Portions may span shards: only sums over all shards say
            how long a stage took.
    """

    path: Path
    wall_seconds: float
    stages: Mapping[str, tuple[float, float]]


class ShardInProgress:
    """A shard on its way to its file, which is written when all of its conversations are done.

    Attributes:
        task: the shard to make.
        left: the conversations that go through stages.
        copied_seconds: seconds of audio of the others, which wait in memory.
    """

    def __init__(self, task: Task, stages: Sequence[Stage]) -> None:
        self.task = task
        self._rows: dict[str, Row] = {}
        self._entries: dict[str, Entry] = {}
        self._rows_before: dict[str, Row] = {}
        self.left: list[PendingConversation] = []
        made_columns = task.made_before | {name for stage in stages for name in stage.columns}
        finished_rows = self._finished_rows()
        rejects = _rejects_in({name: stored.entry for name, stored in task.finished.items()})
        if task.before and len(finished_rows) + len(rejects) < len(task.conversations):
            self._rows_before = shards.read_rows(task.before, task.columns)
            rejects = _rejects_in(shards.read_shard(task.before).entries) | rejects
        for pending in task.conversations:
            name = pending.conversation_id
            if name in finished_rows:
                self.put(pending, finished_rows[name] | columns_of_today(pending.row(), made_columns), None)
            elif name in rejects:
                self.put(pending, None, rejects[name])
            elif pending.is_finished:
                sound = read_bytes(from_uri(pending.sound_uri), "run the same command again", MOST_OWN_BYTES)
                row = read_published(pending.row()["published"])
                self.put(pending, row | {"audio": {"bytes": sound, "path": None}}, None)
            else:
                self.left.append(pending)
        self.copied_seconds = audio_seconds_of(task.conversations) - audio_seconds_of(self.left)

    def _finished_rows(self) -> dict[str, Row]:
        """Read finished conversations from other files; what can't be read is left to be made again."""
        rows: dict[str, Row] = {}
        try:
            rows.update(shards.stored_rows(self.task.finished, self.task.keeps))
        except TooLarge:  # it is not damaged: what it has is not to be made, or bought, again
            raise
        except BadInput:
            if self.task.before and not self.task.before.exists():
                raise
        return rows

    @property
    def is_whole(self) -> bool:
        return len(self._entries) == len(self.task.conversations)

    def open(self, pending: PendingConversation) -> Conversation:
        """Return a conversation of `left`, as the pass before has left it."""
        row = pending.row()
        if self.task.before:
            if pending.conversation_id not in self._rows_before:
                reason = f"{as_text(self.task.before)!r} lacks {pending.conversation_id!r}"
                raise BadInput(reason, "delete it, and run the same command again")
            row = self._rows_before.pop(pending.conversation_id) | columns_of_today(row, self.task.made_before)
        return open_talk(row, self.task.columns)

    def put(self, pending: PendingConversation, row: Row | None, reject: Reject | None) -> None:
        """Add a conversation: its finished row, or its reject."""
        sound = row and (row.get("audio") or {}).get("bytes")
        self._entries[pending.conversation_id] = Entry(
            recording_id=pending.recording_id,
            duration=pending.duration,
            reject=reject,
            audio=hashlib.sha256(sound).hexdigest()[:20] if sound else "",
            key=shards.conversation_key(pending, self.task.made_by),
        )
        if row is not None:
            self._rows[pending.conversation_id] = row

    def put_talk(self, pending: PendingConversation, talk: Conversation) -> None:
        """Add a conversation as the stages have left it, or the reject that it has become."""
        if talk.problem:
            stage = talk.problem_stage or ""
            self.put(pending, None, Reject(pending.conversation_id, stage, talk.problem, talk.remedy or ""))
            return
        self.put(pending, to_row(talk, [name for name in self.task.keeps if has_column(talk, name)]), None)

    def write(self) -> Path:
        """Write the shard, under another name if one of its conversations is to be tried again."""
        check_interrupt()  # what compiled code has made of one may be a reject
        task = self.task
        earlier = {name: stored for name, stored in task.earlier_rows.items() if self._entries[name].reject}
        self._rows.update(shards.stored_rows(earlier, task.keeps))
        shard = shards.Shard(generation=task.generation)
        shard.earlier_entries = {name: stored.entry for name, stored in earlier.items()}
        for pending in task.conversations:
            shard.entries[pending.conversation_id] = self._entries[pending.conversation_id]
            if pending.conversation_id in self._rows:
                row = self._rows[pending.conversation_id]
                shard.rows.append({column: row.get(column) for column in task.keeps})
        path = task.path
        if any(reject.stage in task.retried for reject in _rejects_in(shard.entries).values()):
            path = path.with_stem(f"{path.stem}-{task.generation:04}")
        shards.write_shard(path, shard, task.keeps)
        return path


def _rejects_in(entries: Mapping[str, Entry]) -> dict[str, Reject]:
    """Return the rejects among entries, by conversation."""
    return {name: entry.reject for name, entry in entries.items() if entry.reject}


def columns_of_today(row: Row, made_columns: Container[str]) -> Row:
    """Return the columns of today's row that no stage makes: a recording may have been moved."""
    return {name: value for name, value in row.items() if name not in made_columns}


@dataclass
class TalkInProgress:
    """A conversation that goes through the stages.

    Attributes:
        shard: the shard that it belongs to.
        pending: the conversation before the stages.
        talk: the conversation as it is now.
    """

    shard: ShardInProgress
    pending: PendingConversation
    talk: Conversation


@dataclass
class Portion:
    """Conversations that go through the stages together.

    Attributes:
        talks: the conversations.
        stages_done: how many stages they have been through.
    """

    talks: list[TalkInProgress]
    stages_done: int = 0


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
        n_together: how many stages a portion goes through before its conversations go on one by one; None for all.
        progress: called before and after each stage of each portion.
    """

    stages: Sequence[Stage]
    batch_seconds: float = 0.0
    n_together: int | None = None
    progress: Progress = lambda event: None
    _stage_times: dict[str, tuple[float, float]] = field(default_factory=dict)
    _stage_times_lock: threading.Lock = field(default_factory=threading.Lock)
    _reported_at: float = 0.0

    def make(self, tasks: Iterable[Task]) -> Iterator[ShardReport]:
        """Make shards; yields each once it is on disk. If this raises, the work on unfinished shards is lost.

        On a device, the next portion is decoded by a thread while this one is processed.
        """
        self._reported_at = time.perf_counter()
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
        """Yield portions of the work left of the tasks, in order, and shards that could be copied whole."""
        waiting: list[TalkInProgress] = []
        for task in tasks:
            shard = ShardInProgress(task, self.stages)
            if not shard.left:
                yield self._report(shard)
            for pending in shard.left:
                current = TalkInProgress(shard, pending, shard.open(pending))
                if waiting and not _go_together([*waiting, current], self.batch_seconds):
                    yield Portion(waiting)
                    waiting = []
                waiting.append(current)
        if waiting:
            yield Portion(waiting)

    def _prepared(self, step: Portion | ShardReport) -> Portion | ShardReport:
        """Take a portion through the first stages, which need no model's device."""
        if isinstance(step, Portion):
            for stage in self.stages:
                if not stage.prepares:
                    break
                self._advance(step, stage)
        return step

    def _finish(self, portion: Portion) -> Iterator[ShardReport]:
        """Take a portion through the stages left; yields the shards that it completes."""
        for stage in self.stages[portion.stages_done : self.n_together]:
            self._advance(portion, stage)
        for current in portion.talks:
            single = Portion([current], portion.stages_done)
            for stage in self.stages[portion.stages_done :]:
                self._advance(single, stage)
            current.shard.put_talk(current.pending, current.talk)
            if current.shard.is_whole:
                yield self._report(current.shard)

    def _report(self, shard: ShardInProgress) -> ShardReport:
        """Write a shard, and report it with the work since the last report."""
        path = shard.write()
        now = time.perf_counter()
        with self._stage_times_lock:  # a thread prepares the next portion meanwhile
            stage_times = self._stage_times
            self._stage_times = {}
        report = ShardReport(path, now - self._reported_at, stage_times)
        self._reported_at = now
        return report

    def _advance(self, portion: Portion, stage: Stage) -> None:
        talks = [current.talk for current in portion.talks]
        audio = audio_seconds_of(current.pending for current in portion.talks)
        one_by_one = not self.batch_seconds and not stage.by_row and any(stage.models().values())
        names = tuple(current.pending.conversation_id for current in portion.talks)
        event = StageEvent(stage.name, names, audio)

        def show_step(kind: str, done: int, total: int | None) -> None:
            self.progress(replace(event, kind=kind, steps_done=done, total=total))

        self.progress(event)
        started = time.perf_counter()
        with listening(show_step):
            batches = [[talk] for talk in talks] if one_by_one else [talks]
            after = [talk for batch in batches for talk in after_stage(stage, batch)]
        wall = time.perf_counter() - started
        for current, talk in zip(portion.talks, after, strict=True):
            current.talk = talk
        portion.stages_done += 1
        with self._stage_times_lock:
            wall_before, audio_before = self._stage_times.get(stage.name, (0.0, 0.0))
            self._stage_times[stage.name] = (wall_before + wall, audio_before + audio)
        self.progress(replace(event, wall=wall))


def open_talk(row: Row, features: Features) -> Conversation:
    """Return the conversation of a row, which has some of these columns."""
    stored = as_stored({name: row[name] for name in features if name in row}, features)
    return from_row(stored, features)


def after_stage(stage: Stage, talks: Sequence[Conversation]) -> list[Conversation]:
    """Conversations after a stage, with values as a file would hold them."""
    after = stage.apply(talks)
    for talk in after:
        columns = stage.columns if is_set(talk.utterances) else stage.adds
        names = [name for name in columns if name not in stage.transient]
        if not talk.problem:
            assign(talk, as_stored(to_row(talk, names), columns), columns)
    return after


#: Seconds of audio of conversations that go through the stages together on a CPU, if there is more than one.
PORTION_SECONDS = 60.0


def _go_together(talks: Sequence[TalkInProgress], batch_seconds: float) -> bool:
    """Whether conversations go through the stages together.

    A portion spans no shards that have copied more audio than it may have itself: it would fill memory.
    """
    owners = {current.shard for current in talks}
    copied_seconds = sum(shard.copied_seconds for shard in owners)
    may_span = batch_seconds > 0 and copied_seconds <= batch_seconds
    seconds = audio_seconds_of(current.pending for current in talks)
    fits = seconds <= (batch_seconds or PORTION_SECONDS)
    return fits and (may_span or len(owners) == 1)


def neighbours(tasks: Sequence[Task], seconds: float, workers: int) -> Iterator[list[Task]]:
    """Tasks in lists of up to so many seconds of audio that goes through stages; each alone where that is 0.

    None has more than half of what each worker would get of what is left. So lists become shorter towards the end,
    and all workers end at about the same time.
    """
    seconds_left = sum(task.seconds for task in tasks)
    batch = list[Task]()
    total = 0.0
    for task in tasks:
        most = min(seconds, seconds_left / workers / 2)
        is_full = not seconds or total + task.seconds > most
        if batch and is_full:
            yield batch
            seconds_left -= total
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
