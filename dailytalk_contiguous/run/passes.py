"""One run: passes of stages over the rows of a work folder, whatever makes their shards and wherever they are
kept.

Tagging is one pass, or two if a stage must know all rows first; speaking is one, an expressive corpus two, a
stream two for each window. What they share is here: the plan compared with the finished shards, the checks before
hours of work, the engine, and the check that nothing is lost.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from datasets import Features

from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.devices import device_of, resolve_device
from dailytalk_contiguous.models.engines import open_budget
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.run import local, on_ray
from dailytalk_contiguous.run.events import Journal
from dailytalk_contiguous.run.shard import Progress, ShardReport, Task, make_shard
from dailytalk_contiguous.run.storage import WorkFolder
from dailytalk_contiguous.shards import ShardIndex, chain_of, read_rows, shard_path
from dailytalk_contiguous.sources.remote import Mirror
from dailytalk_contiguous.stages.base import Stage, Stages, find_stage
from dailytalk_contiguous.stages.synthesis import Speak

# Which engine makes the shards of a plan, and where they are kept: only this code chooses between this machine and
# Ray. The code that plans the work knows neither.


RUNNERS = ("local", "ray")

#: Seconds between two copies of the journal of a run to the store, which takes it only as a whole.
TELL_SECONDS = 120.0

#: Seconds of conversations that a paid synthesiser gets at once, so that its concurrency is always used fully.
PAID_BATCH_SECONDS = 1800.0

_ELSEWHERE = "choose a folder that you may write to"


@dataclass(frozen=True)
class Runner:
    """How shards are made.

    Attributes:
        name: one of `RUNNERS`. address: of a Ray cluster; empty for one of this process.
        work: the folder of the results. inputs: mirrors of recordings that are in a store.
    """

    name: str = "local"
    address: str = ""
    work: WorkFolder | None = None
    inputs: tuple[Mirror, ...] = ()

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
        return "cuda" if on_ray.has_gpus(self.address) else "cpu"

    def on_cuda(self, stages: Iterable[Stage]) -> bool:
        """Whether any of the stages will run a network on a GPU, here or in the cluster."""
        device = local.networks_device(stages)
        return device is not None and device_of(self.device(device)) == "cuda"

    def preflight(self, stages: Sequence[Stage], fetch: bool = True) -> None:
        """Make sure that stages can run before hours of work; `fetch` as in `Stage`. Raises DailytalkError."""
        device = local.networks_device(stages)
        if device is not None and not self.elsewhere:
            resolve_device(device)
        for stage in stages:
            stage.preflight(fetch)

    def run(
        self,
        plan: local.RunPlan,
        stages: Sequence[Stage],
        options: "RunOptions",
        progress: Progress = lambda stage, audio, wall: None,
        finished: Callable[[ShardReport], None] = lambda made: None,
    ) -> Iterator[Path]:
        """Make what is left of a plan; yields each shard once it is on disk, in the store, and `finished` was
        called.

        Paid speech is requested for all conversations of a batch together. On this machine one process makes all
        of them; on Ray, every worker asks one budget before it buys, and finds what others bought in the cache.
        """
        if not plan.tasks:
            return
        workers, batch_seconds, paid = options.workers, 0.0, paid_voice(stages)
        if paid:
            workers, batch_seconds = workers if self.name == "ray" else 1, PAID_BATCH_SECONDS
        elif self.on_cuda(stages) and not find_stage(Speak, stages):
            batch_seconds = options.batch_seconds
        kept = self._keeping(finished)
        if self.name == "ray":
            mirror = self.work.mirror if self.work else None
            cache = SpeechCache(Path(paid.cache) if paid.cache else None) if paid else None
            shared = str(cache.folder.absolute()) if cache else ""
            setup = on_ray.WorkerConfig(tuple(stages), batch_seconds, mirror, self.inputs, shared=shared)
            cluster = on_ray.Cluster(self.address, workers, self.on_cuda(stages))
            budget = open_budget(paid.max_cost) if paid else None
            yield from on_ray.run_on_ray(plan, setup, cluster, progress, kept, budget)
        else:
            yield from local.run_local(plan, stages, max(1, workers), batch_seconds, progress, kept)
        if self.work:
            self.work.gather()  # what other hosts have made of this plan meanwhile

    def _keeping(self, finished: Callable[[ShardReport], None]) -> Callable[[ShardReport], None]:
        last_update = -math.inf

        def kept(made: ShardReport) -> None:
            nonlocal last_update
            if self.work:
                self.work.keep(made.path)
            finished(made)
            if self.work and time.monotonic() - last_update >= TELL_SECONDS:
                last_update = time.monotonic()
                self.work.tell()

        return kept


def runner_of(name: str, address: str, work: WorkFolder, inputs: tuple[Mirror, ...] = ()) -> Runner:
    """The runner that a user asks for. Raises DailytalkError for an unknown name, or an address without Ray."""
    if name not in RUNNERS:
        raise DailytalkError(f"--runner can't be {name!r}", f"choose one of {', '.join(RUNNERS)}")
    if address and name != "ray":
        raise DailytalkError("--address is that of a Ray cluster", "add --runner ray, or leave it out")
    return Runner(name, address, work, inputs)


def paid_voice(stages: Iterable[Stage]) -> Speak | None:
    """The stage that says utterances at a price; None if speech is free, or no stage says any."""
    voice = find_stage(Speak, stages)
    return None if voice is None or voice.synthesiser().deterministic else voice


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; none of it changes the results.

    Attributes:
        workers: processes; 0 is 1 here, and as many as there is room for on Ray.
        shard: (i, N) makes only every N-th shard, beginning with the i-th (from 1).
        shard_seconds: audio a shard. batch_seconds: audio that a batch of conversations may hold on CUDA.
        prune: whether results of recordings that are no longer in the input may be dropped.
        runner: which engine makes the shards, and where they are kept.
    """

    workers: int = 1
    shard: tuple[int, int] = (1, 1)
    shard_seconds: float = 600.0
    batch_seconds: float = 900.0
    prune: bool = False
    runner: Runner = Runner()


class Pass:
    """Stages over groups of rows, each of which is a shard in the folder of `index`.

    Attributes:
        index: of the shards there; read once, and passed on to later passes in the same folder.
        groups: the rows of each shard. Of compressed rows, only `PLANNING_COLUMNS` are read.
        stages: in order.
        columns: those of the rows, which may lack some of them.
    """

    def __init__(
        self, index: ShardIndex, groups: Sequence[list[Row]], stages: Sequence[Stage], columns: Features = SOURCE
    ) -> None:
        self.index, self.groups, self.stages, self.columns = index, groups, tuple(stages), columns

    @property
    def folder(self) -> Path:
        """The folder of the shards."""
        return self.index.folder

    @property
    def digest(self) -> str:
        """The digest of all stages together."""
        return chain_of(self.stages)[-1]

    @cached_property
    def paths(self) -> list[Path]:
        """The files of the shards, one a group."""
        return [shard_path(self.folder, rows) for rows in self.groups]

    def plan(self, shard: tuple[int, int] = (1, 1)) -> local.RunPlan:
        """What is left to make, for host i of N: every N-th shard, by its place among all."""
        plan = local.plan_run(self.index, self.groups, self.stages, self.columns)
        number, count = shard
        mine = set(plan.paths[number - 1 :: count])
        return replace(plan, tasks=[task for task in plan.tasks if task.path in mine]) if count > 1 else plan

    def rows(self, columns: Iterable[str]) -> Iterator[Row]:
        """The rows of all shards, a shard at a time, with the id and these columns."""
        for path in self.paths:
            yield from read_rows(path, tuple(columns)).values()

    def check_nothing_lost(self) -> None:
        """Every conversation that went in has a row or a reject. A failure here is a bug, and stops everything."""
        pairs = zip(self.paths, self.groups, strict=True)
        lost = [
            row["conversation_id"]
            for path, rows in pairs
            for row in rows
            if row["conversation_id"] not in self.index.of(path)
        ]
        if lost:
            raise RuntimeError(f"{len(lost)} conversations are neither in the shards nor rejected: {lost[:5]}")

    def outputs(self) -> list[Path]:
        """The shards; if there are none, one without rows, or `load_dataset` would not open the folder."""
        if self.paths:
            return self.paths
        path = shard_path(self.folder, [])
        if not path.exists():
            make_shard(Task(path, [], {}), self.stages)
        return [path]


class Passes:
    """The passes of one run, which are recorded in `journal` and shown on the screen, and what they have made.

    Attributes:
        n_made: shards. audio_seconds: of the conversations in them.
    """

    def __init__(
        self,
        options: RunOptions,
        journal: Journal,
        progress: Progress = lambda stage, audio, wall: None,
        planned: local.Planned = lambda plan, forecast: None,
    ) -> None:
        self.options, self.journal = options, journal
        self.n_made, self.audio_seconds = 0, 0.0
        self._progress, self._planned = progress, planned

    def plan(self, todo: Pass, later: Sequence[Stage] = ()) -> local.RunPlan:
        """This host's part of what is left of a pass, after a check that its stages can run.

        `later` are stages of the passes that follow, which must be able to run, too, before anything is made.

        Raises DailytalkError if a stage can't run.
        """
        plan = todo.plan(self.options.shard)
        self._planned(plan, self.journal.forecast)
        if plan.tasks:
            self.options.runner.preflight((*todo.stages[plan.first_stage :], *later))
        return plan

    def make(self, todo: Pass, plan: local.RunPlan) -> int:
        """Make what is planned of a pass; returns how many shards of other hosts are missing then.

        Raises DailytalkError if nothing can be written.
        """
        options = self.options
        make_writable(todo.folder)
        audio_seconds = sum(row["duration"] for rows in todo.groups for row in rows)
        self.journal.planned(plan, audio_seconds, [stage.name for stage in todo.stages])
        seconds = {task.path: task.seconds for task in plan.tasks}
        telling = self.journal.telling(self._progress)
        for path in options.runner.run(plan, todo.stages, options, telling, self.journal.made):
            if path.exists():  # else another machine made it, and it stays in the store until all are made
                todo.index.reread(path)
            self.n_made += 1
            self.audio_seconds += seconds[path]
        left = 0
        in_a_store = options.runner.work and options.runner.work.mirror
        if in_a_store or options.shard != (1, 1):
            todo.index.refresh()  # what other machines and hosts have made
        if options.shard != (1, 1):
            left = len(todo.plan().tasks)
        todo.index.save()
        return left


def fittable(stages: Sequence[Stage]) -> Stages:
    """The stages before the first that must be fitted to all rows; all stages if there is none."""
    return tuple(stages[: next((place for place, stage in enumerate(stages) if stage.unfitted), len(stages))])


def refuse_loss(gone: Iterable[str], before: str, noun: str, after: str, remedy: str) -> None:
    """Raise DailytalkError if results of some ids would be lost: `before` 2 `noun`s `after` (the first ids)."""
    names = sorted(gone)
    if names:
        shown = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
        raise DailytalkError(f"{before} {counted(len(names), noun)} {after} ({shown})", remedy)


def make_writable(folder: Path) -> None:
    """Create the work folder of a folder of shards. Raises DailytalkError if nothing can be written there."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        a_file = folder.parent.exists()
        why = "not a directory" if a_file else (error.strerror or "it can't be created").lower()
        raise DailytalkError(f"--out {as_text(folder.parent)!r} can't be used ({why})", _ELSEWHERE) from error
    refuse_unwritable(folder)


def refuse_unwritable(folder: Path) -> None:
    """Raise DailytalkError if nothing can be written to a folder of shards, or it can't be created."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise DailytalkError(f"--out {as_text(folder.parent)!r} can't be written to", _ELSEWHERE)


def refuse_mixing(out: Path) -> None:
    """Raise DailytalkError if results would be among recordings: the next run would take them for transcripts."""
    if out.is_dir() and any(path.suffix.lower() in AUDIO_SUFFIXES for path in out.iterdir()):
        raise DailytalkError(f"--out {as_text(out)!r} holds recordings", "choose a folder for the results alone")
