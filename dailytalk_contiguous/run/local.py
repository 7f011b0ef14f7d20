"""The plan of a run, and the engines of this machine: shards one after another in this process, or in several.

Workers write shards by rename and send back only a short report of each, so that the parent stays small whatever
they hold.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets import Features

from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.run.shard import Progress, ShardJob, ShardReport, Task, ahead, make_shard, quiet_datasets
from dailytalk_contiguous.shards import shard_files, shard_path
from dailytalk_contiguous.stages.base import PerUtterance, Stage, stages_digest

# Which stages run a model on a device, and which GPU each worker of this machine takes.
#
# A GPU is given only to work that uses it: a profile without networks, or speech that a service makes, would else
# hold an idle GPU, or wait for one that does not exist.


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


def gpus_to_share(stages: Iterable[Stage]) -> list[str]:
    """The GPUs of this machine that workers divide among them, as `CUDA_VISIBLE_DEVICES` names them.

    Those that the user has set in it, if any; none if there are not several, or if no stage uses one.
    """
    if networks_device(stages) is None:
        return []
    import ctranslate2

    from dailytalk_contiguous.run.processes import VISIBLE

    count = ctranslate2.get_cuda_device_count()
    chosen = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    # CUDA ends a list at a name that it doesn't know, and counts only those before it.
    names = (chosen or [str(number) for number in range(count)])[:count]
    return names if len(names) > 1 else []


@dataclass(frozen=True)
class RunPlan:
    """The work of a run: all shards in order, those that are not there, and the first stage that is left."""

    paths: list[Path]
    tasks: list[Task]
    first_stage: int

    @property
    def seconds(self) -> float:
        return sum(task.seconds for task in self.tasks)


def plan_run(
    folder: Path,
    groups: Sequence[list[Row]],
    stages: Sequence[Stage],
    columns: Features = SOURCE,
    keeps: Features | None = None,
    halfway: tuple[Path, int] | None = None,
) -> RunPlan:
    """Compare the shards in a folder with what they should be, by their names alone.

    `columns` are those of the rows, `keeps` those of the shards (as in `Task`). `halfway`: the folder that keeps
    rows after so many stages.
    """
    made_by, paths, tasks, first = stages_digest(stages), list[Path](), list[Task](), len(stages)
    there = {path.name for path in shard_files(folder)}
    made_halfway = stages_digest(stages[: halfway[1]]) if halfway else ""
    there_halfway = {path.name for path in shard_files(halfway[0])} if halfway else set()
    for rows in groups:
        path = shard_path(folder, rows, made_by)
        paths.append(path)
        if path.name in there:
            continue
        between = shard_path(halfway[0], rows, made_halfway) if halfway else None
        goes_on = between is not None and between.name in there_halfway
        first = min(first, halfway[1] if halfway and goes_on else 0)
        tasks.append(Task(path, rows, columns, keeps, between, halfway[1] if halfway else 0))
    return RunPlan(paths, tasks, first)


def run_local(
    work: RunPlan,
    stages: Sequence[Stage],
    workers: int,
    batch_seconds: float,
    progress: Progress,
) -> Iterator[ShardReport]:
    """Make what is left of a plan; yields each shard once it is on disk.

    Raises whatever a stage raises except `BadInput`; shards in progress are then dropped, finished ones stay.
    """
    if workers <= 1:
        # On a device, the next shard is decoded while this one is processed.
        def prepared(task: Task) -> ShardJob:
            making = ShardJob(task, stages, batch_seconds, progress)
            return making.prepare() if batch_seconds else making

        with quiet_datasets(), contextlib.closing(ahead(prepared, work.tasks, bool(batch_seconds))) as coming:
            yield from (making.finish() for making in coming)
    else:
        from dailytalk_contiguous.run.processes import in_processes, tell

        make = partial(make_shard, stages=tuple(stages), batch_seconds=batch_seconds, progress=tell)
        yield from in_processes(make, work.tasks, workers, gpus_to_share(stages), progress)
