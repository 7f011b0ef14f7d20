"""One run: what every command that makes shards does, from its rows to its record.

A `Spec` says what is particular to tagging, speaking, a corpus or a stream: its passes, each a list of stages
over groups of rows, and what it writes when all are made. The rest is `run`: the plan compared with the finished
shards, the checks before hours of work, the engine, the lock of the folder.
"""

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Features

from dailytalk_contiguous.core.documents import JsonObject, as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError, ModelMissing, Reject
from dailytalk_contiguous.core.records.rows import cues_of_row
from dailytalk_contiguous.core.records.schema import SOURCE, Row
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.machine.own_file import refuse_in_import
from dailytalk_contiguous.models import failures
from dailytalk_contiguous.models.budget import Budget
from dailytalk_contiguous.models.checkpoints import INSTALL_OFFLINE
from dailytalk_contiguous.models.contracts import VoiceSettings
from dailytalk_contiguous.models.devices import device_of, resolve_device
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.profiles import EMBEDDED, profile_named
from dailytalk_contiguous.models.whisper import lacking_whisper
from dailytalk_contiguous.run.lock import Holder, hold_folder
from dailytalk_contiguous.run.on_ray import RayJob, connected, run_on_ray
from dailytalk_contiguous.run.processes import gpus_to_share, in_processes
from dailytalk_contiguous.run.progress import Run, TimeSpent, Tracker
from dailytalk_contiguous.run.shard import (
    Progress,
    RunPlan,
    ShardMaker,
    ShardReport,
    Task,
    features_of,
    make_shards_of,
    neighbours,
)
from dailytalk_contiguous.run.storage import WorkFolder
from dailytalk_contiguous.run.workers import workers_here
from dailytalk_contiguous.shards import (
    Entry,
    PendingConversation,
    Shard,
    by_generation,
    conversation_key,
    current_entries,
    drop_stale,
    own_name,
    read_rows,
    read_shard,
    shard_files,
    shard_path,
)
from dailytalk_contiguous.sources.remote import Mirror
from dailytalk_contiguous.stages.base import Stage, Stages, find_stage, stages_digest
from dailytalk_contiguous.stages.convert import Convert
from dailytalk_contiguous.stages.match_transcript import is_transcribed
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.take_published import PUBLISHED
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store.files import remove_unfinished

log = logging.getLogger(__name__)

RUNNERS = ("local", "ray")


@dataclass(frozen=True)
class RunOptions:
    """Options for carrying out a run; none of them changes the results.

    Attributes:
        workers: processes; 0 is 1, or as many as this machine has room for where models run on its GPUs
            (`run.workers`), and on Ray as many as there is room for.
        shard: (i, N) makes only every N-th shard, beginning with the i-th (from 1).
        shard_seconds: seconds of audio in a shard; 0 for `shards.seconds_of_a_shard`.
        batch_seconds: seconds of audio that a batch of conversations may hold on CUDA.
        prune: whether results of recordings that are no longer in the input may be dropped.
        force: whether a run on another host that holds the folder is taken for one that was killed.
        runner: one of `RUNNERS`, which makes the shards.
        address: the address of a Ray cluster that makes them; empty for this machine.
        work: the folder of the results, as `open_work` opens it; None for one that is on this machine alone.
        dry_run: whether the run is only planned: nothing is written and nothing downloaded.

    Raises BadValue for an unknown runner.
    """

    workers: int = 0
    shard: tuple[int, int] = (1, 1)
    shard_seconds: float = 0.0
    batch_seconds: float = 900.0
    prune: bool = False
    force: bool = False
    runner: str = RUNNERS[0]
    address: str = ""
    work: WorkFolder | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise BadValue(f"--runner can't be {self.runner!r}", f"choose one of {', '.join(RUNNERS)}")


def preflight(stages: Sequence[Stage], options: RunOptions = RunOptions(), fetch: bool = True) -> None:
    """Make sure that stages can run before hours of work; `fetch` as in `Stage`. Raises DailytalkError."""
    device = networks_device(stages)
    if device is not None and not options.address:
        resolve_device(device)
    lacking = lacking_weights(stages) if fetch else ""
    if lacking:
        log.warning("to be downloaded once: %s", lacking)
    for stage in stages:
        stage.preflight(fetch)


def networks_device(stages: Iterable[Stage]) -> str | None:
    """Return the device (auto, cpu, cuda) of the first stage whose model may use a GPU; None if there is none."""
    for stage in stages:
        device: str = getattr(stage, "device", "cpu")
        if device != "cpu" and any(stage.models().values()):
            return device
    return None


#: Seconds of conversations that a paid synthesiser gets at once, so that its concurrency is always used fully.
PAID_BATCH_SECONDS = 1800.0


def make_shards(
    plan: RunPlan,
    stages: Sequence[Stage],
    options: RunOptions,
    progress: Progress = lambda event: None,
    mirrors: tuple[Mirror, ...] = (),
) -> Iterator[ShardReport]:
    """Make what is left of a plan; yields each shard once it is on disk.

    Paid speech is requested for all conversations of a batch together, by one process of this machine.

    Args:
        plan: the shards to make.
        stages: in order.
        options: the options by which they are made.
        progress: called with every stage of every batch.
        mirrors: the mirrors of the recordings that are in a store, for workers on other machines.

    Raises whatever a stage raises except `BadInput`; shards in progress are then dropped, finished ones stay.
    """
    device = networks_device(stages)
    voice = paid_voice(stages)
    if voice:
        n_together = stages.index(voice) + 1
        yield from ShardMaker(stages, PAID_BATCH_SECONDS, n_together, progress).make(plan.tasks)
        return
    is_on_ray = options.runner == "ray" or options.address != ""
    on_cuda = False
    if device is not None and options.address:  # this machine may have no GPU where the cluster has
        n_gpus: float = connected(options.address).cluster_resources().get("GPU", 0)
        on_cuda = n_gpus >= 1
    elif device is not None:
        on_cuda = device_of(device) == "cuda"
    batch_seconds = options.batch_seconds if on_cuda and not find_stage(Speak, stages) else 0.0
    if is_on_ray:
        work = options.work or WorkFolder(Path())
        job = RayJob(tuple(stages), batch_seconds, stages_digest(stages), work, mirrors)
        yield from run_on_ray(plan, job, options.address, options.workers, on_cuda)
        return
    workers = options.workers
    if not workers and on_cuda and len(plan.tasks) > 1 and not voice_stage_of(stages):
        workers = min(len(plan.tasks), workers_here(stages))
    if workers > 1:
        make = partial(make_shards_of, stages=tuple(stages), batch_seconds=batch_seconds)
        batches = neighbours(plan.tasks, batch_seconds, workers)
        gpus = gpus_to_share() if device else []
        for reports in in_processes(make, batches, workers, gpus):
            yield from reports
    else:
        yield from ShardMaker(stages, batch_seconds, progress=progress).make(plan.tasks)


def lacking_weights(stages: Iterable[Stage]) -> str:
    """Return the weights that are not on this machine, in words."""
    missing = dict.fromkeys(missing for stage in stages for missing in stage.lacking())
    return " and ".join(f"{name} ({size / 1e9:.1f} GB)" if size else name for name, size in missing)


def refuse_downloads(profile: str, stages: Iterable[Stage]) -> None:
    """Raise ModelMissing if stages lack weights of the profile that downloads nothing.

    Weights of a model that was chosen in place of the profile's may be downloaded.
    """
    if profile != EMBEDDED:
        return
    models = profile_named(EMBEDDED).models
    voice = load_synthesiser(models["synthesiser"], VoiceSettings("", ""))
    bundled = [*lacking_whisper(models["recogniser"]), *voice.lacking()]
    missing = [weights for stage in stages for weights in stage.lacking()]
    names = dict.fromkeys(weights.name for weights in missing if weights in bundled)
    if names:
        raise ModelMissing(
            f"the profile {EMBEDDED} downloads nothing and lacks {' and '.join(names)}", INSTALL_OFFLINE
        )


def paid_voice(stages: Iterable[Stage]) -> Speak | None:
    """Return the stage that says utterances at a price; None if speech is free, or no stage says any."""
    voice = find_stage(Speak, stages)
    if voice is None or voice.synthesiser().deterministic:
        return None
    return voice


def voice_stage_of(stages: Sequence[Stage]) -> Speak | Convert | None:
    """Return the stage that gives a speaker another voice; None where `Keep` is in its place."""
    return find_stage(Speak, stages) or find_stage(Convert, stages)


@dataclass
class Pass:
    """Stages over groups of conversations, each of which is a shard in a folder.

    Attributes:
        folder: the folder of the shards.
        groups: the conversations of each shard.
        stages: the stages, in order.
        columns: the columns of their rows if no pass is before it; rows may lack some of them.
        keeps: the columns of the shards; None for all that are not transient.
        later: stages of the passes that follow, which must be able to run, too, before anything is made.
        before: the pass whose shards have the rows; None for the source.
        has_results: whether the shards are results. Else another pass goes on from those that it needs, and does
            not wait for those of other hosts.
        needed_shards: the numbers of the shards that are made.
        keeps_finished: whether a conversation that is rejected now keeps the row that an earlier run has finished.
        is_window: whether it is a window of a stream, whose conversations no other shard has.
    """

    folder: Path
    groups: Sequence[list[PendingConversation]]
    stages: Stages
    columns: Features = field(default_factory=lambda: Features({**SOURCE, **PUBLISHED}))
    keeps: Features | None = None
    later: Stages = ()
    before: "Pass | None" = None
    has_results: bool = True
    needed_shards: Set[int] = field(init=False)
    keeps_finished: bool = False
    is_window: bool = False

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()  # a worker may be in another folder
        self.needed_shards = {*range(len(self.groups))}

    @cached_property
    def made_by(self) -> str:
        """The digest of the stages so far, as they are when the pass is planned.

        It names the shards, so it must not change meanwhile: somebody may edit the file of a model.
        """
        return stages_digest(self.stages_so_far)

    @property
    def stages_so_far(self) -> Stages:
        """Its stages, and those of the passes before."""
        return (*self.before.stages_so_far, *self.stages) if self.before else self.stages

    @property
    def paths(self) -> list[Path]:
        """The files of the shards, once they are made: of one that is to be tried again, the last."""
        files = {own_name(path): path for path in shard_files(self.folder)}
        return [files.get(own_name(path), path) for path in self.shard_paths]

    @property
    def missing(self) -> list[Path]:
        """The shards that are to be made, and that no host has made."""
        paths = self.paths
        return [paths[number] for number in sorted(self.needed_shards) if not paths[number].exists()]

    @cached_property
    def shard_paths(self) -> list[Path]:
        """The files of the shards by their own names."""
        return [shard_path(self.folder, conversations, self.made_by) for conversations in self.groups]

    @property
    def entries(self) -> list[tuple[str, Entry]]:
        """The records of the shards on each conversation, by its id."""
        return [entry for path in self.paths for entry in read_shard(path).entries.items()]

    @property
    def rejects(self) -> list[Reject]:
        return [entry.reject for _, entry in self.entries if entry.reject]

    def plan(self, shard: tuple[int, int] = (1, 1)) -> RunPlan:
        """Plan the shards that are left to make: those whose names are not in the folder.

        Host i of N makes every N-th shard, by its position among all. Other shards of the folder are read only
        where something is left, for the conversations that need not be made again.
        """
        host, n_hosts = shard
        needed = [number for number in self._absent() if number in self.needed_shards]
        numbers = [number for number in needed if number % n_hosts == host - 1]
        return RunPlan(self.shard_paths, self._tasks(numbers) if numbers else [], self.has_results)

    def _tasks(self, numbers: Sequence[int]) -> list[Task]:
        """Return shards to make. Rows that are in other files of the folder are not made again."""
        others = self._other_shards()
        finished = current_entries(others, self._keys(numbers))
        earlier = current_entries(others) if self.keeps_finished else {}
        retried = {stage.name for stage in self.stages_so_far if stage.retried}
        generation = 1 + max((shard.generation for _, shard in others), default=-1)
        before = self.before
        paths_before = before.paths if before else []
        stages_before = before.stages_so_far if before else ()
        columns = features_of(stages_before) if before else self.columns
        keeps = self.keeps or features_of(self.stages_so_far)
        made_before = {name for stage in stages_before for name in stage.columns}
        tasks: list[Task] = []
        for number in numbers:
            task = Task(
                path=self.shard_paths[number],
                conversations=self.groups[number],
                columns=columns,
                keeps=keeps,
                made_by=self.made_by,
                before=paths_before[number] if before else None,
                made_before=made_before,
                retried=retried,
                generation=generation,
            )
            for pending in task.conversations:
                stored = finished.get(pending.conversation_id)
                row = earlier.get(pending.conversation_id)
                if stored and not (stored.entry.reject and stored.entry.reject.stage in retried):
                    task.finished[pending.conversation_id] = stored
                if row and not row.entry.reject:
                    task.earlier_rows[pending.conversation_id] = row
            tasks.append(task)
        return tasks

    def pass_before(self) -> "Pass":
        """Return the pass before, as far as this one needs it: for shards that it can't copy whole.

        This one waits for no shard of another host.
        """
        assert self.before
        left = {task.path for task in self.plan().tasks if task.left}
        self.before.later = self.stages
        self.before.has_results = False
        self.before.needed_shards = {number for number, path in enumerate(self.shard_paths) if path in left}
        return self.before

    def _absent(self) -> list[int]:
        """Return the numbers of the shards that are not in the folder under their own names."""
        existing = {*shard_files(self.folder)}
        return [number for number, path in enumerate(self.shard_paths) if path not in existing]

    def _keys(self, numbers: Iterable[int]) -> dict[str, str]:
        """Return the keys of the rows of shards, by conversation."""
        conversations = chain.from_iterable(self.groups[number] for number in numbers)
        return {pending.conversation_id: conversation_key(pending, self.made_by) for pending in conversations}

    def _other_shards(self) -> list[tuple[Path, Shard]]:
        """Return the other shards of the folder that may have conversations of this pass, without their rows."""
        others = {*shard_files(self.folder)} - {*self.shard_paths}
        if self.is_window:
            names = {own_name(path) for path in self.shard_paths}
            others = {path for path in others if own_name(path) in names}
        return by_generation(others)

    def rows(self, columns: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of all shards, a shard at a time, with the id and these columns."""
        for path in self.paths:
            yield from read_rows(path, tuple(columns)).values()

    def drop_stale(self) -> None:
        """Remove the shards of the folder that don't belong to the result.

        In place of a shard that was not needed, files that have some of its conversations stay.
        """
        absent = self._absent()
        stored = current_entries(self._other_shards(), self._keys(absent)) if absent else {}
        drop_stale(self.folder, {*self.shard_paths, *(path for path, _ in stored.values())})

    def other_entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield the records of shards that this pass, or one before, would drop, after the ids of conversations.

        A run that was stopped may have left only shards of a pass before.
        """
        if self.before:
            yield from self.before.other_entries()
        for _, shard in self._other_shards():
            yield from shard.all_entries()


class Spec(ABC):
    """The description of a run. Subclasses hold conversations, stages, and the rejects that they find on the way.

    Attributes:
        kind: its name, such as `tag`.
        out: the work folder.
        stages: the stages of all passes.
        about: facts for run.json, as they are; its `command` goes into the lock, too.
        rejects: rejects of the source, and of all work on the way.
        budget: the limit of what the run may spend; None if it costs nothing.
        mirrors: the mirrors of the recordings that are in a store.
    """

    kind: str
    out: Path
    stages: Stages
    about: Mapping[str, Any]
    rejects: list[Reject]
    budget: Budget | None = None
    mirrors: tuple[Mirror, ...] = ()

    def check(self, options: RunOptions) -> None:  # noqa: B027
        """Raise DailytalkError for what can't be run. Called before anything else, it may read what that needs."""

    @abstractmethod
    def passes(self, options: RunOptions) -> Generator[Pass]:
        """Return the passes in order.

        Each is made before the next one is asked for; by all hosts, if it has results.
        """

    @abstractmethod
    def write(self, time_spent: TimeSpent) -> JsonObject | None:
        """Write what people read, from the shards of all passes; returns what run.json holds.

        `time_spent`: by the run, as `Run.time_spent`.
        """

    def drop_stale(self, steps: Sequence[Pass]) -> None:
        """Remove shards that are not needed once all rows are in others; `steps`: all passes."""
        for step in steps:
            step.drop_stale()


@dataclass
class RunOutcome:
    """The result of a run.

    Attributes:
        run: its plan, its progress, and how long its stages took.
        rejects: rejects of the source, and those that the spec has found on the way.
        out: the work folder.
        title: the name by which people know the work folder: where it is in a store, of the folder there.
        wall_seconds: seconds that the run took.
        record: the content of run.json; None while shards of other hosts are missing, and if nothing was written.
        n_conversations: conversations that went into the last pass.
        n_missing: how many of its shards do not exist.
        plan: the plan of the last pass.
        left: the stages that a dry run found to be left.
    """

    run: Run
    rejects: list[Reject]
    out: Path
    title: str
    wall_seconds: float = 0.0
    record: JsonObject | None = None
    n_conversations: int = 0
    n_missing: int = 0
    plan: RunPlan = field(default_factory=lambda: RunPlan([], []))
    left: Stages = ()

    @property
    def counts(self) -> JsonObject:
        record = self.record or {}
        return dict(record.get("counts", {}))


#: Seconds between two copies of the lock in the store, for `dailytalk status` on another machine.
LOCK_SECONDS = 120.0

#: Called with the plan of each pass before it is carried out, and with how far the run is at any time.
Planned = Callable[[RunPlan, Run], None]


def run(
    spec: Spec,
    options: RunOptions = RunOptions(),
    progress: Progress = lambda event: None,
    planned: Planned = lambda plan, run: None,
) -> RunOutcome:
    """Make what is missing of a spec in its work folder and, once all shards are finished, write its outputs.

    A dry run (`RunOptions.dry_run`) is refused as the run would be, and says what is left to make.

    Args:
        spec: the description of the run.
        options: the options for carrying it out.
        progress: called with every stage of every batch.
        planned: called with what is left to do of each pass, before it is done.

    Raises DailytalkError for what `Spec.check` refuses, for stages that can't run, if nothing can be written,
    while another run works in the folder, for shards that something has removed before the end, and while a
    person's file is being imported.
    """
    refuse_in_import(f"starts `{spec.kind}`")
    started = time.perf_counter()
    spec.check(options)
    failures.record.clear()  # what models did in an earlier run of this process says nothing of this one
    budget = spec.budget
    tracker = Tracker(Run(spec.kind, spent=(lambda: budget.spent) if budget else None))
    work = options.work or WorkFolder(spec.out)
    outcome = RunOutcome(tracker.run, spec.rejects, spec.out, work.title)
    if options.dry_run:
        _plan(spec, options, outcome)
        return outcome
    with contextlib.ExitStack() as on_exit:
        on_exit.enter_context(tracker)
        holder = Holder(spec.kind, spec.about.get("command", ""), options.shard)
        lock: Path | None = None
        lock_stored_at = -LOCK_SECONDS
        steps: list[Pass] = []
        for step in on_exit.enter_context(contextlib.closing(spec.passes(options))):
            plan = step.plan(options.shard)
            left = stages_left(plan, step.stages)
            planned(plan, tracker.run)
            if plan.tasks:
                preflight((*left, *step.later), options)
            spec.out.mkdir(parents=True, exist_ok=True)
            if lock is None:  # a run that is refused before leaves no trace
                lock = on_exit.enter_context(hold_folder(work, holder, options.force))
                if options.shard == (1, 1):  # no other host writes here
                    for folder in (spec.out, *spec.out.iterdir()):
                        remove_unfinished(folder)
            tracker.record_plan(plan, left)
            outcome.n_conversations = sum(map(len, step.groups))
            outcome.plan = plan
            holder = replace(holder, step=step.folder.name, shards_made=0, shards=len(plan.tasks))
            holder.write(lock)
            reports = make_shards(plan, step.stages, options, tracker.tracking(progress), spec.mirrors)
            for report in reports if plan.tasks else []:
                work.keep(report.path)
                holder.shards_made += 1
                holder.write(lock)
                if time.perf_counter() - lock_stored_at >= LOCK_SECONDS:
                    lock_stored_at = time.perf_counter()
                    work.keep(lock)
                tracker.record_shard(report)
            if plan.tasks and step.has_results:
                work.gather()  # what other hosts have made of this plan meanwhile
            outcome.n_missing = len(step.missing)
            if outcome.n_missing and options.shard == (1, 1):  # no other host makes them
                raise DailytalkError(
                    f"{counted(outcome.n_missing, 'shard')} of {len(plan.paths):,} in {as_text(step.folder)!r} "
                    "disappeared during the run",
                    "let nothing remove files there, and run the same command again: finished shards are kept",
                )
            if outcome.n_missing and step.has_results:
                break
            steps.append(step)
        if not outcome.n_missing:
            outcome.record = spec.write(tracker.run.time_spent())
            spec.drop_stale(steps)
    outcome.wall_seconds = time.perf_counter() - started
    return outcome


def _plan(spec: Spec, options: RunOptions, outcome: RunOutcome) -> None:
    """Plan the passes up to the first unfinished one that the next waits for; note the stages that are left."""
    with contextlib.closing(spec.passes(options)) as passes:
        for step in passes:
            outcome.plan = step.plan()
            outcome.left += stages_left(outcome.plan, step.stages)
            if outcome.plan.tasks and step.has_results:
                outcome.left += step.later
                return


def stages_left(plan: RunPlan, stages: Sequence[Stage]) -> Stages:
    """Return the stages that are left; without the recogniser where people transcribed all that is left."""
    left = tuple(stages) if plan.conversations else ()
    if find_stage(Transcribe, left) is None:
        return left
    channel = channel_of(stages)
    for task in plan.tasks:
        for pending in task.left:
            if not is_transcribed(cues_of_row(pending.row()), channel):
                return left
    return tuple(stage for stage in left if not isinstance(stage, Transcribe))


def refuse_loss(out: Path, lost: Iterable[str], noun: str) -> None:
    """Raise DailytalkError if results in `out` would be lost: the results of `noun`s with these names."""
    names = sorted(lost)
    if not names:
        return
    shown = ", ".join(map(repr, names[:3]))
    if len(names) > 3:
        shown += ", …"
    raise DailytalkError(
        f"--out {as_text(out)!r} holds results of {counted(len(names), noun)} not in this input ({shown})",
        "choose another --out, or pass --prune to drop them",
    )


def refuse_mixing(out: Path) -> None:
    """Raise DailytalkError if results would be among recordings: the next run would take them for transcripts."""
    if out.is_dir() and any(path.suffix.lower() in AUDIO_SUFFIXES for path in out.iterdir()):
        raise DailytalkError(f"--out {as_text(out)!r} holds recordings", "choose a folder for the results alone")
