"""One run: what every command that makes shards does, from its rows to its record.

A `Spec` says what is particular to tagging, speaking, a corpus or a stream: its passes, each a list of stages
over groups of rows, and what it writes when all are made. The rest is `run`: the plan compared with the finished
shards, the checks before hours of work, the engine, the journal.
"""

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Features

from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError, ModelMissing, Reject
from dailytalk_contiguous.core.machine import side_by_side
from dailytalk_contiguous.core.own_file import refuse_in_import
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import failures
from dailytalk_contiguous.models.checkpoints import INSTALL_OFFLINE
from dailytalk_contiguous.models.devices import device_of, resolve_device
from dailytalk_contiguous.models.profiles import EMBEDDED, profile_named
from dailytalk_contiguous.models.whisper import lacking_whisper
from dailytalk_contiguous.run.events import Journal, Run, alone
from dailytalk_contiguous.run.shard import (
    Progress,
    RunPlan,
    ShardJob,
    ShardReport,
    Task,
    make_shard,
    quiet_datasets,
)
from dailytalk_contiguous.shards import (
    Entry,
    by_generation,
    drop_stale,
    expand_row,
    made_path,
    read_entries,
    read_rows,
    separate_rows,
    shard_files,
    shard_path,
)
from dailytalk_contiguous.stages.base import Stage, Stages, find_stage, stages_digest
from dailytalk_contiguous.stages.match_transcript import is_transcribed
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.transcribe import Transcribe

if TYPE_CHECKING:  # `tag` needs nothing of them
    from dailytalk_contiguous.models.budget import Budget
    from dailytalk_contiguous.run.storage import WorkFolder
    from dailytalk_contiguous.sources.remote import Mirror
    from dailytalk_contiguous.stages.convert import Convert
    from dailytalk_contiguous.stages.synthesis import Speak

log = logging.getLogger(__name__)

RUNNERS = ("local", "ray")

#: Seconds of conversations that a paid synthesiser gets at once, so that its concurrency is always used fully.
PAID_BATCH_SECONDS = 1800.0

#: Seconds between two copies of the journals in the store, for `dailytalk status` on another machine.
TELL_SECONDS = 120.0


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; none of it changes the results.

    Attributes:
        workers: processes; 0 is 1 here, and as many as there is room for on Ray.
        shard: (i, N) makes only every N-th shard, beginning with the i-th (from 1).
        shard_seconds: audio a shard. batch_seconds: audio that a batch of conversations may hold on CUDA.
        prune: whether results of recordings that are no longer in the input may be dropped.
        force: whether a run on another host that has not said how it ended is taken for one that was killed.
        runner: one of `RUNNERS`, which makes the shards.
        address: of a Ray cluster, which makes them then; empty for this machine.
        work: the folder of the results. inputs: mirrors of recordings that are in a store.

    Raises BadValue for an unknown runner.
    """

    workers: int = 0
    shard: tuple[int, int] = (1, 1)
    shard_seconds: float = 600.0
    batch_seconds: float = 900.0
    prune: bool = False
    force: bool = False
    runner: str = RUNNERS[0]
    address: str = ""
    work: "WorkFolder | None" = None
    inputs: "tuple[Mirror, ...]" = ()

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise BadValue(f"--runner can't be {self.runner!r}", f"choose one of {', '.join(RUNNERS)}")


def preflight(stages: Sequence[Stage], options: RunOptions = RunOptions(), fetch: bool = True) -> None:
    """Make sure that stages can run before hours of work; `fetch` as in `Stage`. Raises DailytalkError."""
    device = networks_device(stages)
    if device is not None and not options.address:
        resolve_device(device)
    if fetch and (lacking := lacking_weights(stages)):
        log.warning("to be downloaded once: %s", lacking)
    for stage in stages:
        stage.preflight(fetch)


def networks_device(stages: Iterable[Stage]) -> str | None:
    """The device (auto, cpu, cuda) of the first stage with a model that may use a GPU; None if none has one."""
    inner: list[Any] = [getattr(stage, "stage", stage) for stage in stages]
    devices = (stage.device for stage in inner if hasattr(stage, "device") and any(stage.models().values()))
    return next((device for device in devices if device != "cpu"), None)


def make_shards(
    plan: RunPlan, stages: Sequence[Stage], options: RunOptions, progress: Progress = lambda *event: None
) -> Iterator[ShardReport]:
    """Make what is left of a plan; yields each shard once it is on disk.

    Paid speech is requested for all conversations of a batch together, by one process of this machine.

    Raises whatever a stage raises except `BadInput`; shards in progress are then dropped, finished ones stay.
    """
    voice = speak_stage_of(stages)
    paid = paid_voice(stages)
    device = networks_device(stages)
    if options.address and not paid:  # this machine may have no GPU where the cluster has
        from dailytalk_contiguous.run.on_ray import connected

        on_cuda = device is not None and connected(options.address).cluster_resources().get("GPU", 0) >= 1
    else:
        on_cuda = device is not None and device_of(device) == "cuda"
    batch_seconds = PAID_BATCH_SECONDS if paid else options.batch_seconds if on_cuda and not voice else 0.0
    workers = 1 if paid else options.workers
    if not paid and (options.runner == "ray" or options.address):
        from dailytalk_contiguous.run.on_ray import RayJob, run_on_ray
        from dailytalk_contiguous.run.storage import WorkFolder

        work = options.work or WorkFolder(Path())
        job = RayJob(tuple(stages), batch_seconds, stages_digest(stages), work, options.inputs)
        yield from run_on_ray(plan, job, options.address, options.workers, on_cuda)
    elif workers > 1:
        from dailytalk_contiguous.run.processes import gpus_to_share, in_processes

        make = partial(make_shard, stages=tuple(stages), batch_seconds=batch_seconds)
        yield from in_processes(make, plan.tasks, workers, gpus_to_share() if device else [])
    elif batch_seconds:  # on a device, the next shard is decoded while this one is processed

        def prepared(task: Task) -> ShardJob:
            return ShardJob(task, stages, batch_seconds, progress).prepare()

        with quiet_datasets(), contextlib.closing(side_by_side(prepared, plan.tasks, 1, 1)) as coming:
            yield from (job.finish() for job in coming)
    else:
        yield from (make_shard(task, stages, progress=progress) for task in plan.tasks)


def lacking_weights(stages: Iterable[Stage]) -> str:
    """The weights that are not on this machine, in words."""
    missing = dict.fromkeys(missing for stage in stages for missing in stage.lacking())
    return " and ".join(f"{name} ({size / 1e9:.1f} GB)" if size else name for name, size in missing)


def refuse_downloads(profile: str, stages: Iterable[Stage]) -> None:
    """Raise ModelMissing if stages lack weights of the profile that downloads nothing.

    Those of a model that was chosen in place of the profile's may be downloaded.
    """
    from dailytalk_contiguous.models.contracts import VoiceSettings
    from dailytalk_contiguous.models.engines import load_synthesiser

    if profile != EMBEDDED:
        return
    models = profile_named(EMBEDDED).models
    voice = load_synthesiser(models["synthesiser"], VoiceSettings("", ""))
    bundled = [*lacking_whisper(models["recogniser"]), *voice.lacking()]
    lacking = dict.fromkeys(missing.name for stage in stages for missing in stage.lacking() if missing in bundled)
    if lacking:
        raise ModelMissing(
            f"the profile {EMBEDDED} downloads nothing and lacks {' and '.join(lacking)}", INSTALL_OFFLINE
        )


def paid_voice(stages: Iterable[Stage]) -> "Speak | None":
    """The stage that says utterances at a price; None if speech is free, or no stage says any."""
    voice = speak_stage_of(stages)
    return None if voice is None or voice.synthesiser().deterministic else voice


def speak_stage_of(stages: Iterable[Stage]) -> "Speak | None":
    """The stage that says utterances; None where `Keep` or `Convert` is in its place."""
    from dailytalk_contiguous.stages.synthesis import Speak  # here: `tag` needs nothing of it

    return find_stage(Speak, stages)


def voice_stage_of(stages: Iterable[Stage]) -> "Speak | Convert | None":
    """The stage that gives a speaker another voice; None where `Keep` is in its place."""
    from dailytalk_contiguous.stages.convert import Convert  # here, as `Speak` above

    stages = tuple(stages)
    return speak_stage_of(stages) or find_stage(Convert, stages)


@dataclass(frozen=True)
class Pass:
    """Stages over groups of rows, each of which is a shard in a folder.

    Attributes:
        folder: of the shards.
        groups: the rows of each shard. Of compressed rows, only `PLANNING_COLUMNS` are read.
        stages: in order.
        columns: those of the rows, which may lack some of them.
        keeps: the columns of the shards; None for all that are not transient.
        later: stages of the passes that follow, which must be able to run, too, before anything is made.
        halfway: the folder that keeps the rows after so many stages as well: others after these go on from there.
        keeps_finished: whether a conversation that is rejected now keeps the row that an earlier run has finished.
    """

    folder: Path
    groups: Sequence[list[Row]]
    stages: Stages
    columns: Features = field(default_factory=lambda: SOURCE)
    keeps: Features | None = None
    later: Stages = ()
    halfway: tuple[Path, int] | None = None
    keeps_finished: bool = False

    @cached_property
    def made_by(self) -> str:
        """The digest of the stages as they are when the pass is planned.

        It names the shards, so it must not change meanwhile: somebody may edit the file of a model.
        """
        return stages_digest(self.stages)

    @property
    def paths(self) -> list[Path]:
        """The files of the shards, once they are made."""
        return [made_path(shard_path(self.folder, rows, self.made_by)) for rows in self.groups]

    @property
    def entries(self) -> list[tuple[str, Entry]]:
        """The records of the shards on each conversation, by its id."""
        return [entry for path in self.paths for entry in read_entries(path).items()]

    @property
    def rejects(self) -> list[Reject]:
        return [entry.reject for _, entry in self.entries if entry.reject]

    def plan(self, shard: tuple[int, int] = (1, 1)) -> RunPlan:
        """Compare the shards with what they should be, by their names alone: what is left to make.

        For host i of N: every N-th shard, by its place among all.
        """
        there = {path.name for path in shard_files(self.folder)}
        tasks = list[Task]()
        first_stage = len(self.stages)
        n_halfway = self.halfway[1] if self.halfway else 0
        paths = [shard_path(self.folder, rows, self.made_by) for rows in self.groups]
        for number, (path, halfway, rows) in enumerate(zip(paths, self._halfway, self.groups, strict=True)):
            if path.name not in there and number % shard[1] == shard[0] - 1:
                first_stage = min(first_stage, n_halfway if halfway and halfway.exists() else 0)
                tasks.append(Task(path, rows, self.columns, self.keeps, halfway, n_halfway))
        return RunPlan(paths, self._after_others(tasks), first_stage)

    def _after_others(self, tasks: list[Task]) -> list[Task]:
        """These tasks, whose shards come after those of earlier runs that hold the same conversations."""
        results = {*self.paths}
        generations: dict[str, int] = {}
        others = [path for path in shard_files(self.folder) if path not in results] if tasks else []
        for _, shard in by_generation(others):
            generations |= dict.fromkeys(shard.entries, shard.generation)  # the highest is the last
        return [
            replace(task, generation=1 + max(generations.get(row["conversation_id"], -1) for row in task.rows))
            for task in tasks
        ]

    @cached_property
    def _halfway(self) -> Sequence[Path | None]:
        """The files that keep the rows of each shard halfway, if any do."""
        if not self.halfway:
            return [None] * len(self.groups)
        folder = self.halfway[0]
        made_by = stages_digest(self.stages[: self.halfway[1]])
        return [shard_path(folder, rows, made_by) for rows in self.groups]

    def rows(self, columns: Iterable[str]) -> Iterator[Row]:
        """The rows of all shards, a shard at a time, with the id and these columns."""
        for path in self.paths:
            yield from read_rows(path, tuple(columns)).values()

    def earlier(self) -> dict[str, Path]:
        """The conversations that were rejected now and keep their earlier row, and the shard that has it."""
        if not self.keeps_finished:
            return {}
        rejected = {name for name, entry in self.entries if entry.reject}
        if not rejected:
            return {}
        results = {*self.paths}
        return {
            name: path
            for path, shard in by_generation(path for path in shard_files(self.folder) if path not in results)
            for name, entry in shard.entries.items()
            if name in rejected and not entry.reject
        }

    def separate_earlier(self) -> None:
        """Give the rows of `earlier` shards of their own.

        No other row of their shards counts, and `datasets` reads whole files.
        """
        names_in: dict[Path, list[str]] = {}
        for name, path in self.earlier().items():
            names_in.setdefault(path, []).append(name)
        for path, names in names_in.items():
            separate_rows(path, names)

    def results(self) -> dict[Path, list[Path]]:
        """The files that belong to the result, by folder; all others of these folders may go."""
        halfway = {self.halfway[0]: [*filter(None, self._halfway)]} if self.halfway else {}
        return {self.folder: [*self.paths, *self.earlier().values()]} | halfway

    def gone(self, here: Iterable[str], of: Callable[[str, Entry], str]) -> set[str]:
        """The names that this pass would drop: `of` the conversations in other shards of its folder, if not
        `here`.

        An empty name is none.
        """
        paths = {*self.paths}
        others = (read_entries(path) for path in shard_files(self.folder) if path not in paths)
        return {of(*entry) for entries in others for entry in entries.items()} - {"", *here}


class Spec(ABC):
    """The description of a run. Subclasses hold the rows, the stages, and rejects that they find on the way.

    Attributes:
        kind: as the journal names it. out: the work folder. stages: of all passes.
        about: goes into run.json as it is; its `command` into the journal, too.
        rejects: of the source, and whatever else is rejected on the way.
        budget: what the run may spend; None if it costs nothing.
        drops: whether shards that are of no pass are dropped at the end.
    """

    kind: str
    out: Path
    stages: Stages
    about: Mapping[str, Any]
    rejects: list[Reject]
    budget: "Budget | None" = None
    drops: bool = True

    def check(self, options: RunOptions) -> None:  # noqa: B027
        """Raise DailytalkError for what can't be run."""

    @abstractmethod
    def passes(self, options: RunOptions) -> Generator[Pass]:
        """The passes in order. Each is made, and nothing of it lost, before the next one is asked for."""

    @abstractmethod
    def write(self, time_spent: Mapping[str, Any]) -> dict[str, Any] | None:
        """Write what people read, from the shards of all passes; returns what run.json holds.

        `time_spent`: by the run, as `Run.time_spent`.
        """

    def close(self) -> None:  # noqa: B027
        """Remove what is not needed once all is written and the journal is closed."""


@dataclass
class RunOutcome:
    """The result of a run.

    Attributes:
        run: what it planned and made, and how long its stages took.
        rejects: of the source, and what the spec has found on the way.
        wall_seconds: that it took.
        record: what run.json holds; None while shards of other hosts are missing, and if nothing was written.
        n_conversations, n_shards: that went into the last pass, and its shards. n_missing: those not there.
    """

    run: Run
    rejects: list[Reject]
    wall_seconds: float = 0.0
    record: dict[str, Any] | None = None
    n_conversations: int = 0
    n_shards: int = 0
    n_missing: int = 0

    @property
    def counts(self) -> dict[str, Any]:
        return dict((self.record or {}).get("counts", {}))


#: Called with the plan of each pass before it is carried out, and with how far the run is at any time.
Planned = Callable[[RunPlan, Run], None]


def run(
    spec: Spec,
    options: RunOptions = RunOptions(),
    progress: Progress = lambda *event: None,
    planned: Planned = lambda plan, run: None,
) -> RunOutcome:
    """Make what is missing of a spec in its work folder and, once all shards are finished, write its outputs.

    Args:
        spec: what is run. options: how.
        progress: called with every stage of every batch. planned: called with what is left to do of each pass,
            before it is done.

    Raises DailytalkError for what `Spec.check` refuses, for stages that can't run, if nothing can be written,
    while another run works in the folder, for shards that something has removed before the end, and while a
    person's file is being imported.
    """
    refuse_in_import(f"starts `{spec.kind}`")
    started = time.perf_counter()
    told = -TELL_SECONDS
    work = options.work
    budget = spec.budget
    spec.check(options)
    failures.record.clear()  # what models did in an earlier run of this process says nothing of this one
    journal = Journal(spec.out, spec.kind, options.shard, (lambda: budget.spent) if budget else None)
    outcome = RunOutcome(journal.run, spec.rejects)
    results = dict[Path, set[Path]]()
    with contextlib.ExitStack() as on_exit:
        if work:
            on_exit.enter_context(work)
        on_exit.enter_context(journal)
        passes = on_exit.enter_context(contextlib.closing(spec.passes(options)))
        for step in passes:
            plan = step.plan(options.shard)
            planned(plan, journal.run)
            if plan.tasks:
                preflight((*left_of(plan, step.stages), *step.later), options)
            spec.out.mkdir(parents=True, exist_ok=True)
            if not results:  # a run that is refused before leaves no trace
                on_exit.enter_context(alone(spec.out, spec.kind, options.shard, options.force))
            outcome.n_conversations, outcome.n_shards = sum(map(len, step.groups)), len(plan.paths)
            journal.planned(plan)
            if plan.tasks:
                for made in make_shards(plan, step.stages, options, journal.telling(progress)):
                    if work:
                        work.keep(made.path)
                    journal.made(made)
                    if work and time.perf_counter() - told >= TELL_SECONDS:
                        told = time.perf_counter()
                        work.tell()
                if work:
                    work.gather()  # what other hosts have made of this plan meanwhile
            outcome.n_missing = sum(not path.exists() for path in step.paths)
            if outcome.n_missing and options.shard == (1, 1):  # no other host makes them
                raise DailytalkError(
                    f"{counted(outcome.n_missing, 'shard')} of {len(step.paths):,} in {as_text(step.folder)!r} "
                    "disappeared during the run",
                    "let nothing remove files there, and run the same command again: finished shards are kept",
                )
            if outcome.n_missing:
                break
            if spec.drops:
                step.separate_earlier()
            for folder, paths in step.results().items():
                results.setdefault(folder, set()).update(paths)
        else:
            outcome.record = spec.write(journal.run.time_spent())
            journal.run.rejects = outcome.counts.get("rejects", 0)
            for folder, shards in results.items() if spec.drops else ():
                drop_stale(folder, shards)  # now that all rows are in other shards
    if not outcome.n_missing:
        spec.close()
    outcome.wall_seconds = time.perf_counter() - started
    return outcome


def intended(spec: Spec, options: RunOptions = RunOptions()) -> tuple[RunPlan, Stages]:
    """Return the plan of the first pass that `run` would not find finished, and the stages that are left.

    Writes and downloads nothing. Raises DailytalkError for whatever `run` would reject before its first shard.
    """
    spec.check(options)
    for step in spec.passes(options):
        plan = step.plan()
        if plan.tasks:
            break
    left = (*left_of(plan, step.stages), *step.later) if plan.tasks else ()
    preflight(left, options, fetch=False)
    return plan, left


def left_of(plan: RunPlan, stages: Sequence[Stage]) -> Stages:
    """The stages that are left; without the recogniser where people transcribed all that is left."""
    left = tuple(stages[plan.first_stage :])
    channel = channel_of(stages)
    recogniser = find_stage(Transcribe, left)
    rows = (expand_row(row) for task in plan.tasks for row in task.rows)
    if recogniser and all(is_transcribed(row.get("given") or (), channel) for row in rows):
        left = tuple(stage for stage in left if find_stage(Transcribe, [stage]) is None)
    return left


def refuse_loss(out: Path, gone: Iterable[str], noun: str) -> None:
    """Raise DailytalkError if results in `out` would be lost: those of `noun`s with these names."""
    names = sorted(gone)
    if names:
        shown = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
        raise DailytalkError(
            f"--out {as_text(out)!r} holds results of {counted(len(names), noun)} not in this input ({shown})",
            "choose another --out, or pass --prune to drop them",
        )


def refuse_mixing(out: Path) -> None:
    """Raise DailytalkError if results would be among recordings: the next run would take them for transcripts."""
    if out.is_dir() and any(path.suffix.lower() in AUDIO_SUFFIXES for path in out.iterdir()):
        raise DailytalkError(f"--out {as_text(out)!r} holds recordings", "choose a folder for the results alone")
