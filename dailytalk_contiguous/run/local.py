"""The local engine: shards one after another in this process, or side by side in several.

Workers are spawned, never forked (a forked torch hangs), each with its share of the cores and, where the machine
has several GPUs, with one of them. They take shards from a queue and write them by rename; all that they send back
is what a shard knows of its rows, so that the parent stays small whatever they hold.
"""

import contextlib
import itertools
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from threading import Thread
from typing import Any

from datasets import Features

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE
from dailytalk_contiguous.models.recogniser import POCKETSPHINX
from dailytalk_contiguous.run.forecast import Forecast
from dailytalk_contiguous.run.shard import Progress, ShardReport, Task, TimedShardJob, ahead, make_shard
from dailytalk_contiguous.shards import Entry, ShardIndex, chain_of, shard_path
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.base import PerUtterance, Stage, Stages
from dailytalk_contiguous.stages.synthesis import Speak

# Which stages run a model on a device, and which GPU each worker of this machine takes.
#
# A GPU is given only to work that has a use for it: a profile without networks, or speech that a service makes,
# would else hold one that nothing runs on, or wait for one that nobody has.


#: Engines that tell when they say each word: of their speech hardly any is left for the recogniser of `Align`.
TELL_WORDS = ("fish", "espeak", "flite")

#: What `CUDA_VISIBLE_DEVICES` names the GPUs by that a process sees.
VISIBLE = "CUDA_VISIBLE_DEVICES"


def networks_device(stages: Iterable[Stage]) -> str | None:
    """The device (auto, cpu, cuda) of the stages that run a model that a GPU is for; None where none does."""
    inner = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in stages]
    timed = any(isinstance(stage, Speak) and stage.engine in TELL_WORDS for stage in inner)
    devices = (stage.device for stage in inner if not (timed and isinstance(stage, Align)) if _uses_device(stage))  # type: ignore[attr-defined]
    return next(devices, None)


def _uses_device(stage: Stage) -> bool:
    if getattr(stage, "device", "cpu") == "cpu":
        return False
    models = {name for role, name in stage.models().items() if role != "synthesiser"}
    return bool(models - {"", POCKETSPHINX, ACOUSTIC_ESTIMATE})


def gpus_to_share(stages: Iterable[Stage]) -> list[str]:
    """The GPUs of this machine that workers divide among them, as `CUDA_VISIBLE_DEVICES` names them.

    Those that the user has set in it, if any; none where there are not several, or where no stage uses one.
    """
    if networks_device(stages) is None:
        return []
    import ctranslate2

    count = ctranslate2.get_cuda_device_count()
    chosen = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    # CUDA ends a list at a name that it doesn't know, and counts those before it.
    names = (chosen or [str(number) for number in range(count)])[:count]
    return names if len(names) > 1 else []


#: Told what is to be done, before it is, and asked for what is left of it at any time.
Planned = Callable[["RunPlan", Forecast], None]

#: Seconds between two looks at what workers tell.
POLL_SECONDS = 0.2

#: Shards handed out for each worker, which never waits for one. All at once would copy a whole corpus' rows.
QUEUED = 2


@dataclass(frozen=True)
class RunPlan:
    """What a run has to do: all shards in order, and those of them that are not finished.

    `costs`: seconds that a second of audio took in each stage, by its place, in the runs that made what stands;
    None for a stage that nothing stands of.
    """

    paths: list[Path]
    tasks: list[Task]
    first_stage: int
    costs: tuple[float | None, ...] = ()

    @property
    def seconds(self) -> float:
        """Audio in the shards that are left."""
        return sum(task.seconds for task in self.tasks)

    def work(self, stages: Sequence[str]) -> dict[Path, dict[str, float]]:
        """Seconds of audio that are to go through each stage, by its name, for each shard that is left."""
        work = {}
        for task in self.tasks:
            left = task.left or [task.seconds * (place >= self.first_stage) for place in range(len(stages))]
            work[task.path] = {name: audio for name, audio in zip(stages, left, strict=True) if audio}
        return work


def plan_run(
    index: ShardIndex, groups: Sequence[list[Row]], stages: Sequence[Stage], columns: Features = SOURCE
) -> RunPlan:
    """Compare the shards of an index with what they should be. Reads nothing. `columns` are those of the rows."""
    chain = chain_of(stages)
    known, folder = index.entries, index.folder
    paths, tasks, first = [], [], len(stages)
    wall, audio = [0.0] * len(stages), [0.0] * len(stages)
    for rows in groups:
        path = shard_path(folder, rows)
        paths.append(path)
        own = {row["conversation_id"]: known.get(row["conversation_id"]) for row in rows}
        done = []
        left = [0.0] * len(stages)
        for row in rows:
            entry = own[row["conversation_id"]]
            standing = entry[1].standing(row["input_digest"], chain) if entry else 0
            for place, took in zip(range(standing), entry[1].seconds if entry else (), strict=False):
                wall[place] += took
                audio[place] += row["duration"]
            if not _finished(entry, path, row, chain):
                done.append(standing)
                for place in range(0 if stages[-1].final and standing < len(stages) else standing, len(stages)):
                    left[place] += row["duration"]
        if done:
            first = min(first, *done)
            standing_rows = {name: entry for name, entry in own.items() if entry}
            tasks.append(Task(path, rows, standing_rows, tuple(left), columns))
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
    """Make what is left of a plan; yields each shard's file once it is on disk, and `finished` was told of it.

    Raises whatever a stage raises but for `BadInput`; shards in flight are then dropped, finished ones stay.
    """
    if workers <= 1:
        # On a device, the next shard is decoded while this one is worked on.
        def prepared(task: Task) -> TimedShardJob:
            making = TimedShardJob(task, stages, batch_seconds, progress)
            return making.prepare() if batch_seconds else making

        with contextlib.closing(ahead(prepared, work.tasks, bool(batch_seconds))) as coming:
            for making in coming:
                made = making.finish()
                finished(made)
                yield made.path
    else:
        for made in _in_processes(work.tasks, stages, workers, batch_seconds, progress):
            finished(made)
            yield made.path


def _finished(found: tuple[Path, Entry] | None, path: Path, row: Row, chain: tuple[str, ...]) -> bool:
    if found is None or found[0] != path:
        return False
    entry = found[1]
    return entry.standing(row["input_digest"], chain) == (len(entry.chain) if entry.reject else len(chain))


def _in_processes(
    tasks: Sequence[Task], stages: Sequence[Stage], workers: int, batch_seconds: float, progress: Progress
) -> Iterator[ShardReport]:
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    gpus, started = gpus_to_share(stages), context.Value("i", 0)
    threads = max(1, cores() // workers)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (threads, told, gpus, started))
    coming = iter(tasks)
    waiting: set[Future[ShardReport]] = set()
    processes: dict[int, Any] = {}
    try:
        while True:
            interrupts.check_interrupt()
            for task in itertools.islice(coming, QUEUED * workers - len(waiting)):
                with interrupts.starting_processes():
                    waiting.add(pool.submit(_work, task, tuple(stages), batch_seconds))
            processes |= pool._processes or {}
            if not waiting:
                return
            done, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
            _pass_on(told, progress)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise _broken(list(processes.values())) from error
    finally:
        for future in waiting:
            future.cancel()
        for process in list((pool._processes or {}).values()):
            if waiting:
                process.terminate()  # what they hold is a temporary file; the next run makes that shard again
        pool.shutdown(wait=True, cancel_futures=True)


def _broken(processes: Sequence[Any]) -> DailytalkError:
    """Why the pool broke, as far as the ends of its processes tell: the system kills where memory runs out."""
    codes = {process.exitcode for process in processes} - {None, 0, 1, -signal.SIGTERM}
    crashed = sorted(-code for code in codes if code < 0 and code != -signal.SIGKILL)
    if crashed:
        return DailytalkError(
            f"a worker process crashed (signal {crashed[0]}, {signal.strsignal(crashed[0])})",
            "run it again with PYTHONFAULTHANDLER=1 to see where, and report it (finished shards are kept)",
        )
    return DailytalkError(
        "a worker process was killed, perhaps for want of memory",
        "run the same command again (finished shards are kept), with fewer --workers if it recurs",
    )


def _pass_on(told: Any, progress: Progress) -> None:
    while True:
        try:
            stage, audio, wall = told.get_nowait()
        except queue.Empty:
            return
        progress(stage, audio, wall)


_told: Any = None


def _start_worker(threads: int, told: Any, gpus: Sequence[str], started: Any) -> None:
    """Set up a worker: its share of the cores and of `gpus`, and Ctrl-C left to the parent, which ends it.

    `started` counts the workers. All this is before torch and CTranslate2 are imported: they read the environment
    once.
    """
    global _told
    _told = told
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with started.get_lock():
        number = started.value
        started.value += 1
    if gpus:
        os.environ[VISIBLE] = gpus[number % len(gpus)]


def _end_with_parent() -> None:
    """End this process when its parent is gone: killed, it could not tell, and the worker would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(task: Task, stages: Stages, batch_seconds: float) -> ShardReport:
    return make_shard(task, stages, batch_seconds, lambda *event: _told.put(event))
