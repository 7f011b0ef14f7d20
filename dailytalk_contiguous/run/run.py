"""One run: what every command that makes shards does, from its rows to its record.

A `Spec` says what is particular to tagging, speaking, a corpus or a stream: its passes, each a list of stages
over groups of rows, and what it writes when all are made. The rest is `run`: the plan compared with the finished
shards, the checks before hours of work, the engine, the journal.
"""

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Features

from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import BadValue, DailytalkError, ModelMissing, Reject
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.checkpoints import INSTALL_OFFLINE, Missing
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
    ahead,
    make_shard,
    quiet_datasets,
)
from dailytalk_contiguous.shards import (
    Entry,
    drop_stale,
    expand_row,
    made_path,
    read_entries,
    read_rows,
    shard_files,
    shard_path,
)
from dailytalk_contiguous.stages.base import PerUtterance, Stage, Stages, find_stage, stages_digest
from dailytalk_contiguous.stages.match_transcript import is_transcribed
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store import work_folder

if TYPE_CHECKING:  # `tag` needs nothing of them
    from dailytalk_contiguous.models.budget import Budget
    from dailytalk_contiguous.run.storage import WorkFolder
    from dailytalk_contiguous.sources.remote import Mirror
    from dailytalk_contiguous.stages.synthesis import Speak

log = logging.getLogger(__name__)

RUNNERS = ("local", "ray")

#: Seconds between two copies of the journal of a run to the store, which takes it only as a whole.
TELL_SECONDS = 120.0

#: Seconds of conversations that a paid synthesiser gets at once, so that its concurrency is always used fully.
PAID_BATCH_SECONDS = 1800.0


@dataclass(frozen=True)
class Runner:
    """Which engine makes shards, and where they are kept. What plans the work knows neither.

    Attributes:
        name: one of `RUNNERS`. address: of a Ray cluster; empty for one of this process.
        work: the folder of the results. inputs: mirrors of recordings that are in a store.

    Raises DailytalkError for an unknown name, or an address without Ray.
    """

    name: str = "local"
    address: str = ""
    work: "WorkFolder | None" = None
    inputs: "tuple[Mirror, ...]" = ()

    def __post_init__(self) -> None:
        if self.name not in RUNNERS:
            raise BadValue(f"--runner can't be {self.name!r}", f"choose one of {', '.join(RUNNERS)}")
        if self.address and self.name != "ray":
            raise DailytalkError("--address is that of a Ray cluster", "add --runner ray, or leave it out")

    @property
    def few(self) -> int:
        """The default number of workers: 1, or 0 on Ray for as many as there is room for."""
        return 0 if self.name == "ray" else 1

    @property
    def elsewhere(self) -> bool:
        """Whether other machines do the work; they may have GPUs that this one lacks."""
        return self.name == "ray" and bool(self.address)

    def device(self, device: str) -> str:
        """`device` (auto, cpu, cuda) for the settings of a run; on a cluster, `auto` depends on its GPUs."""
        if device != "auto" or not self.elsewhere:
            return device
        from dailytalk_contiguous.run import on_ray

        return "cuda" if on_ray.has_gpus(self.address) else "cpu"

    def on_cuda(self, stages: Iterable[Stage]) -> bool:
        """Whether any of the stages will run a network on a GPU, here or in the cluster."""
        device = networks_device(stages)
        return device is not None and device_of(self.device(device)) == "cuda"

    def preflight(self, stages: Sequence[Stage], fetch: bool = True) -> None:
        """Make sure that stages can run before hours of work; `fetch` as in `Stage`. Raises DailytalkError."""
        device = networks_device(stages)
        if device is not None and not self.elsewhere:
            resolve_device(device)
        if fetch and (lacking := lacking_weights(stages)):
            log.warning("to be downloaded once: %s", lacking)
        for stage in stages:
            stage.preflight(fetch)

    def run(
        self,
        plan: RunPlan,
        stages: Sequence[Stage],
        options: "RunOptions",
        progress: Progress = lambda *event: None,
    ) -> Iterator[ShardReport]:
        """Make what is left of a plan; yields each shard once it is on disk.

        Paid speech is requested for all conversations of a batch together, by one process of this machine.
        """
        if not plan.tasks:
            return iter(())
        paid = paid_voice(stages)
        batch_seconds = PAID_BATCH_SECONDS if paid else 0.0
        if self.on_cuda(stages) and not _voice(stages):
            batch_seconds = options.batch_seconds
        if self.name == "local" or paid:
            workers = 1 if paid else max(1, options.workers)
            return run_local(plan, stages, workers, batch_seconds, progress)
        from dailytalk_contiguous.run import on_ray

        mirror = self.work.mirror if self.work else None
        job = on_ray.RayJob(tuple(stages), batch_seconds, stages_digest(stages), mirror, self.inputs)
        return on_ray.run_on_ray(plan, job, self.address, options.workers, self.on_cuda(stages))


def networks_device(stages: Iterable[Stage]) -> str | None:
    """The device (auto, cpu, cuda) of the stages with a model that can use a GPU; None if no stage has one."""
    inner = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in stages]
    engines = {}
    for stage in inner:
        if hasattr(stage, "engine"):
            from dailytalk_contiguous.models.engines import engine_named  # here: `tag` needs none

            engines[stage.name] = engine_named(stage.engine)
    # Of an engine that gives the times of words hardly any speech is left for the recogniser of `Align`.
    timed = any(engine.tells_words for engine in engines.values())
    for stage in inner:
        device: str = getattr(stage, "device", "cpu")
        if device != "cpu" and not (timed and stage.name == "Align"):
            models = {name for role, name in stage.models().items() if role != "synthesiser"}
            speaks = stage.name in engines and engines[stage.name].network
            if speaks or models - {"", VOICE_LINEAR}:
                return device
    return None


def run_local(
    plan: RunPlan, stages: Sequence[Stage], workers: int, batch_seconds: float, progress: Progress
) -> Iterator[ShardReport]:
    """Make what is left of a plan, in this process or in several; yields each shard once it is on disk.

    Raises whatever a stage raises except `BadInput`; shards in progress are then dropped, finished ones stay.
    """
    if workers <= 1:
        # On a device, the next shard is decoded while this one is processed.
        def prepared(task: Task) -> ShardJob:
            making = ShardJob(task, stages, batch_seconds, progress)
            return making.prepare() if batch_seconds else making

        with quiet_datasets(), contextlib.closing(ahead(prepared, plan.tasks, bool(batch_seconds))) as coming:
            yield from (making.finish() for making in coming)
    else:
        from dailytalk_contiguous.run.processes import gpus_to_share, in_processes, tell

        make = partial(make_shard, stages=tuple(stages), batch_seconds=batch_seconds, progress=tell)
        gpus = gpus_to_share() if networks_device(stages) else []
        yield from in_processes(make, plan.tasks, workers, gpus, progress)


def lacking_weights(stages: Iterable[Stage], among: Container[Missing] | None = None) -> str:
    """The weights that are not on this machine, in words: each with its size and the stages that load it.

    `among`: only these; None for all.
    """
    users: dict[Missing, list[str]] = {}
    for stage in stages:
        for missing in stage.lacking():
            if among is None or missing in among:
                users.setdefault(missing, []).append(stage.name)
    sizes = {missing: f"{missing.size / 1e9:.1f} GB, " if missing.size else "" for missing in users}
    return " and ".join(
        f"{missing.name} ({sizes[missing]}for {' and '.join(of)})" for missing, of in users.items()
    )


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
    if lacking := lacking_weights(stages, bundled):
        raise ModelMissing(f"the profile {EMBEDDED} downloads nothing and lacks {lacking}", INSTALL_OFFLINE)


def paid_voice(stages: Iterable[Stage]) -> "Speak | None":
    """The stage that says utterances at a price; None if speech is free, or no stage says any."""
    voice = _voice(stages)
    return None if voice is None or voice.synthesiser().deterministic else voice


def _voice(stages: Iterable[Stage]) -> "Speak | None":
    from dailytalk_contiguous.stages.synthesis import Speak  # here: `tag` needs nothing of it

    return find_stage(Speak, stages)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; none of it changes the results.

    Attributes:
        workers: processes; 0 is 1 here, and as many as there is room for on Ray.
        shard: (i, N) makes only every N-th shard, beginning with the i-th (from 1).
        shard_seconds: audio a shard. batch_seconds: audio that a batch of conversations may hold on CUDA.
        prune: whether results of recordings that are no longer in the input may be dropped.
        force: whether a run on another host that has not said how it ended is taken for one that was killed.
        runner: which engine makes the shards, and where they are kept.
    """

    workers: int = 1
    shard: tuple[int, int] = (1, 1)
    shard_seconds: float = 600.0
    batch_seconds: float = 900.0
    prune: bool = False
    force: bool = False
    runner: Runner = Runner()


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
        others: shards in the folder that belong to the result, too: those of earlier runs of a stream.
    """

    folder: Path
    groups: Sequence[list[Row]]
    stages: Stages
    columns: Features = field(default_factory=lambda: SOURCE)
    keeps: Features | None = None
    later: Stages = ()
    halfway: tuple[Path, int] | None = None
    others: Sequence[Path] = ()

    @property
    def paths(self) -> list[Path]:
        """The files of the shards, once they are made."""
        made_by = stages_digest(self.stages)
        return [made_path(shard_path(self.folder, rows, made_by)) for rows in self.groups]

    @property
    def entries(self) -> list[tuple[str, Entry]]:
        """The records of the shards on each conversation, by its id."""
        return [entry for path in self.paths for entry in (read_entries(path) or {}).items()]

    @property
    def rejects(self) -> list[Reject]:
        return [entry.reject for _, entry in self.entries if entry.reject]

    def plan(self, shard: tuple[int, int] = (1, 1)) -> RunPlan:
        """Compare the shards with what they should be, by their names alone: what is left to make.

        For host i of N: every N-th shard, by its place among all.
        """
        there = {path.name for path in shard_files(self.folder)}
        made_by, tasks, first = stages_digest(self.stages), list[Task](), len(self.stages)
        folder, n_halfway = self.halfway or (self.folder, 0)
        made_halfway = stages_digest(self.stages[:n_halfway])
        there_halfway = {path.name for path in shard_files(folder)} if n_halfway else set()
        paths = [shard_path(self.folder, rows, made_by) for rows in self.groups]
        for number, (path, rows) in enumerate(zip(paths, self.groups, strict=True)):
            if path.name in there or number % shard[1] != shard[0] - 1:
                continue
            halfway = shard_path(folder, rows, made_halfway) if n_halfway else None
            first = min(first, n_halfway if halfway and halfway.name in there_halfway else 0)
            tasks.append(Task(path, rows, self.columns, self.keeps, halfway, n_halfway))
        return RunPlan(paths, tasks, first)

    def rows(self, columns: Iterable[str]) -> Iterator[Row]:
        """The rows of all shards, a shard at a time, with the id and these columns."""
        for path in self.paths:
            yield from read_rows(path, tuple(columns)).values()

    def outputs(self) -> list[Path]:
        """The shards; if there are none, one without rows, or `load_dataset` would not open the folder."""
        if self.groups:
            return self.paths
        path = shard_path(self.folder, [])
        if not path.exists():
            make_shard(Task(path, [], keeps=self.keeps), self.stages)
        return [path]

    def results(self) -> dict[Path, list[Path]]:
        """The files that belong to the result, by folder; all others of these folders may go."""
        # Without any rows, the shard that `outputs` makes.
        results = {self.folder: [*self.others, *(self.paths or [shard_path(self.folder, [])])]}
        if self.halfway:
            folder, made_by = self.halfway[0], stages_digest(self.stages[: self.halfway[1]])
            results[folder] = [shard_path(folder, rows, made_by) for rows in self.groups]
        return results

    def gone(self, here: Container[str], of: Callable[[str, Entry], str]) -> set[str]:
        """The names that this pass would drop: `of` the conversations in other shards of its folder, if not
        `here`.

        An empty name is none.
        """
        paths = {path.name for path in self.paths}
        others = [path for path in shard_files(self.folder) if path.name not in paths]
        names = {of(*entry) for path in others for entry in (read_entries(path) or {}).items()}
        return {name for name in names if name and name not in here}


class Spec(ABC):
    """The description of a run. Subclasses hold the rows, the stages, and rejects that they find on the way.

    Attributes:
        kind: as the journal names it. out: the work folder. stages: of all passes.
        about: goes into run.json as it is; its `command` into the journal, too.
        rejects: of the source, and whatever else is rejected on the way.
        budget: what the run may spend; None if it costs nothing.
    """

    kind: str
    out: Path
    stages: Stages
    about: Mapping[str, Any]
    rejects: list[Reject]
    budget: "Budget | None" = None

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
        rejects: of the source, and what the spec has found on the way.
        wall_seconds: that it took. time: how it spent them (`Run.time_spent`).
        record: what run.json holds; None while shards of other hosts are missing, and if nothing was written.
        n_conversations, n_shards: that went into the last pass, and its shards.
        n_made, n_missing: shards made by this run, and still missing after it.
        audio_seconds: of the conversations in the shards made.
    """

    rejects: list[Reject]
    wall_seconds: float = 0.0
    time: Mapping[str, Any] = field(default_factory=dict)
    record: dict[str, Any] | None = None
    n_conversations: int = 0
    n_shards: int = 0
    n_made: int = 0
    n_missing: int = 0
    audio_seconds: float = 0.0

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

    Raises DailytalkError for what `Spec.check` refuses, for stages that can't run, if nothing can be written, and
    while another run works in the folder.
    """
    started, told = time.perf_counter(), -TELL_SECONDS
    spec.check(options)
    runner, budget = options.runner, spec.budget
    spent = (lambda: budget.spent) if budget else None
    results: dict[Path, set[Path]] = {}
    with (
        Journal(spec.out, spec.kind, options.shard, options.workers, spent) as journal,
        contextlib.closing(spec.passes(options)) as passes,
        contextlib.ExitStack() as on_exit,
    ):
        outcome, telling = RunOutcome(spec.rejects), journal.telling(progress)
        for step in passes:
            plan = step.plan(options.shard)
            planned(plan, journal.run)
            if plan.tasks:
                runner.preflight((*left_of(plan, step.stages), *step.later))
            spec.out.mkdir(parents=True, exist_ok=True)
            if not results:  # a run that is refused before leaves no trace
                on_exit.enter_context(alone(spec.out, spec.kind, options.shard, options.force))
            outcome.n_conversations, outcome.n_shards = sum(map(len, step.groups)), len(step.paths)
            whole = sum(row["duration"] for rows in step.groups for row in rows)
            journal.planned(plan, outcome.n_conversations, whole)
            for made in runner.run(plan, step.stages, options, telling):
                if runner.work:
                    runner.work.keep(made.path)
                journal.made(made)
                outcome.n_made += 1
                outcome.audio_seconds += made.audio_seconds
                if runner.work and time.perf_counter() - told >= TELL_SECONDS:
                    told = time.perf_counter()
                    runner.work.tell()
            if runner.work and plan.tasks:
                runner.work.gather()  # what other hosts have made of this plan meanwhile
            outcome.n_missing = sum(not path.exists() for path in step.paths)
            if outcome.n_missing:
                break
            for folder, paths in step.results().items():
                results.setdefault(folder, set()).update(paths)
        else:
            outcome.record = spec.write(journal.run.time_spent())
            journal.rejects = None if outcome.record is None else work_folder.count_rejects(spec.out)
            for folder, shards in results.items():
                drop_stale(folder, shards)  # now that all rows are in other shards
    if not outcome.n_missing:
        spec.close()
    outcome.wall_seconds, outcome.time = time.perf_counter() - started, journal.run.time_spent()
    return outcome


def intended(spec: Spec, options: RunOptions = RunOptions()) -> tuple[RunPlan, Stages]:
    """Return the plan of the first pass that `run` would not find finished, and the stages that are left.

    Writes and downloads nothing. Raises DailytalkError for whatever `run` would reject before its first shard.
    """
    spec.check(options)
    for step in spec.passes(options):
        plan = step.plan(options.shard)
        if (plan if options.shard == (1, 1) else step.plan()).tasks:
            break
    left = (*left_of(plan, step.stages), *step.later) if plan.tasks else ()
    options.runner.preflight(left, fetch=False)
    return plan, left


def left_of(plan: RunPlan, stages: Sequence[Stage]) -> Stages:
    """The stages that are left; without the recogniser's model where people transcribed all that is left."""
    left, channel = tuple(stages[plan.first_stage :]), channel_of(stages)
    recogniser = find_stage(Transcribe, left)
    if not recogniser or not recogniser.model:
        return left
    rows = (expand_row(row) for task in plan.tasks for row in task.rows)
    if not all(is_transcribed(row.get("given") or (), channel) for row in rows):
        return left
    return tuple(
        with_settings([stage], {"asr_model": ""})[0]
        if recogniser in (stage, getattr(stage, "stage", None))
        else stage
        for stage in left
    )


def refuse_loss(gone: Iterable[str], before: str, noun: str, after: str, remedy: str) -> None:
    """Raise DailytalkError if results of some ids would be lost: `before` 2 `noun`s `after` (the first ids)."""
    names = sorted(gone)
    if names:
        shown = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
        raise DailytalkError(f"{before} {counted(len(names), noun)} {after} ({shown})", remedy)


def refuse_mixing(out: Path) -> None:
    """Raise DailytalkError if results would be among recordings: the next run would take them for transcripts."""
    if out.is_dir() and any(path.suffix.lower() in AUDIO_SUFFIXES for path in out.iterdir()):
        raise DailytalkError(f"--out {as_text(out)!r} holds recordings", "choose a folder for the results alone")
