"""The local engine: shards one after another in this process, or in parallel in several.

Workers write shards by rename and send back only a short report of each, so that the parent stays small whatever
they hold.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets import Features

from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.models.engines import engine_named
from dailytalk_contiguous.run.forecast import Forecast
from dailytalk_contiguous.run.processes import VISIBLE, in_processes, tell
from dailytalk_contiguous.run.shard import Progress, ShardJob, ShardReport, Task, ahead, make_shard, resumed_at
from dailytalk_contiguous.shards import ShardIndex, chain_of, shard_path
from dailytalk_contiguous.stages.base import PerUtterance, Stage

# Which stages run a model on a device, and which GPU each worker of this machine takes.
#
# A GPU is given only to work that uses it: a profile without networks, or speech that a service makes, would else
# hold an idle GPU, or wait for one that does not exist.


def networks_device(stages: Iterable[Stage]) -> str | None:
    """The device (auto, cpu, cuda) of the stages with a model that can use a GPU; None if no stage has one."""
    inner = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in stages]
    engines = {stage.name: engine_named(stage.engine) for stage in inner if hasattr(stage, "engine")}
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

    count = ctranslate2.get_cuda_device_count()
    chosen = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    # CUDA ends a list at a name that it doesn't know, and counts only those before it.
    names = (chosen or [str(number) for number in range(count)])[:count]
    return names if len(names) > 1 else []


#: Called with the plan before it is carried out, and with a forecast that can be asked for the rest at any time.
Planned = Callable[["RunPlan", Forecast], None]


@dataclass(frozen=True)
class RunPlan:
    """The work of a run: all shards in order, and those of them that are not finished.

    `costs`: seconds that a second of audio took in each stage, by its place, in the runs that made the valid
    results; None for a stage without valid results.
    """

    paths: list[Path]
    tasks: list[Task]
    first_stage: int
    costs: tuple[float | None, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(task.seconds for task in self.tasks)

    def work(self, stages: Sequence[str]) -> dict[Path, dict[str, float]]:
        """Seconds of audio that each stage has to process, by its name, for each shard that is left."""
        work = {}
        for task in self.tasks:
            left = task.left or [task.seconds * (number >= self.first_stage) for number in range(len(stages))]
            work[task.path] = {name: audio for name, audio in zip(stages, left, strict=True) if audio}
        return work


def plan_run(
    index: ShardIndex,
    groups: Sequence[list[Row]],
    stages: Sequence[Stage],
    columns: Features = SOURCE,
    keeps: Features | None = None,
) -> RunPlan:
    """Compare the shards of an index with what they should be, without reading them.

    `columns` are those of the rows, `keeps` those of the shards (as in `Task`).
    """
    chain = chain_of(stages)
    known, folder = index.entries, index.folder
    paths, tasks, first = [], [], len(stages)
    wall, audio = [0.0] * len(stages), [0.0] * len(stages)
    for rows in groups:
        path = shard_path(folder, rows)
        paths.append(path)
        entries = {row["conversation_id"]: known.get(row["conversation_id"]) for row in rows}
        done = []
        left = [0.0] * len(stages)
        for row in rows:
            entry = entries[row["conversation_id"]]
            n_valid = entry[1].n_valid(row["input_digest"], chain) if entry else 0
            for number, took in zip(range(n_valid), entry[1].seconds if entry else (), strict=False):
                wall[number] += took
                audio[number] += row["duration"]
            needed = len(entry[1].chain) if entry and entry[1].reject else len(chain)
            if not entry or entry[0] != path or n_valid != needed:
                done.append(n_valid)
                for number in range(resumed_at(stages, n_valid, keeps), len(stages)):
                    left[number] += row["duration"]
        if done:
            first = min(first, *done)
            known_entries = {name: entry for name, entry in entries.items() if entry}
            tasks.append(Task(path, rows, known_entries, tuple(left), columns, keeps))
    costs = tuple(took / heard if heard else None for took, heard in zip(wall, audio, strict=True))
    return RunPlan(paths, tasks, first, costs)


def run_local(
    work: RunPlan,
    stages: Sequence[Stage],
    workers: int,
    batch_seconds: float,
    progress: Progress,
    finished: Callable[[ShardReport], None] = lambda made: None,
) -> Iterator[Path]:
    """Make what is left of a plan; yields each shard's file once it is on disk and `finished` was called.

    Raises whatever a stage raises except `BadInput`; shards in progress are then dropped, finished ones stay.
    """
    if workers <= 1:
        # On a device, the next shard is decoded while this one is processed.
        def prepared(task: Task) -> ShardJob:
            making = ShardJob(task, stages, batch_seconds, progress)
            return making.prepare() if batch_seconds else making

        with contextlib.closing(ahead(prepared, work.tasks, bool(batch_seconds))) as coming:
            for making in coming:
                made = making.finish()
                finished(made)
                yield made.path
    else:
        make = partial(make_shard, stages=tuple(stages), batch_seconds=batch_seconds, progress=tell)
        for made in in_processes(make, work.tasks, workers, gpus_to_share(stages), progress):
            finished(made)
            yield made.path
