"""Parallel processes: tasks are handed out as they are needed, and results returned as they come.

Workers are spawned, never forked (a forked torch hangs), each with its share of the cores and of the memory and,
if the machine has several GPUs, with one of them. They take tasks from a queue, leave Ctrl-C to the parent, and
end with it.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, resource_tracker
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.interrupts import check_interrupt
from dailytalk_contiguous.machine.resources import available_memory, cores, limit_memory

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

#: The variable that names the GPUs that a process sees.
VISIBLE = "CUDA_VISIBLE_DEVICES"

#: Tasks handed out for each worker, so that it never waits. All at once would copy the rows of a whole corpus.
QUEUED = 2

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def gpus_to_share() -> list[str]:
    """Return the GPUs of this machine that workers divide among them, as `CUDA_VISIBLE_DEVICES` names them.

    If the user has set that variable, only its GPUs count; with fewer than two there is nothing to divide.
    """
    import ctranslate2

    count = ctranslate2.get_cuda_device_count()
    # CUDA ends a list at a name that it doesn't know, and counts only those before it.
    names = os.environ.get(VISIBLE) or ",".join(map(str, range(count)))
    gpus = [name.strip() for name in names.split(",")][:count]
    return gpus if count > 1 else []


def in_processes(
    function: Callable[[_Task], _Result],
    tasks: Iterable[_Task],
    workers: int,
    gpus: Sequence[str] = (),
) -> Iterator[_Result]:
    """Yield the result of a function for each task, in the order in which they are done.

    Args:
        function: a function of a module, or a `partial` of one: it is sent to the workers.
        tasks: taken as they are needed.
        workers: the number of processes.
        gpus: the GPUs that the workers divide among them, as `CUDA_VISIBLE_DEVICES` names them.

    Raises whatever `function` raises, and DailytalkError if a worker is killed; tasks in progress are dropped.
    """
    context = multiprocessing.get_context("spawn")
    started = context.Value("i", 0)
    threads = max(1, cores() // workers)
    share = available_memory() // workers
    pool = ProcessPoolExecutor(workers, context, _start_worker, (threads, share, gpus, started))

    def submit(task: _Task) -> Future[_Result]:
        with _without_ctrl_c():
            return pool.submit(function, task)

    unfinished: set[Future[_Result]] = set()
    try:
        for future in as_they_come(submit, tasks, QUEUED * workers, unfinished):
            yield future.result()
    except BrokenProcessPool as error:
        raise DailytalkError(
            "a worker process ended, perhaps for lack of memory",
            "run the same command again (what is finished is kept), with fewer --workers if it recurs",
        ) from error
    finally:
        for process in list((pool._processes or {}).values()) if unfinished else ():
            process.terminate()  # what they hold is a temporary file; the next run makes it again
        pool.shutdown(wait=True, cancel_futures=True)


#: Seconds between two checks for a Ctrl-C.
POLL_SECONDS = 0.2


def as_they_come(
    submit: Callable[[_Task], Future[_Result]],
    tasks: Iterable[_Task],
    at_once: int,
    unfinished: set[Future[_Result]],
    check: Callable[[], None] = check_interrupt,
) -> Iterator[Future[_Result]]:
    """Submit tasks, so many at once, and yield each future that is done.

    `unfinished` has those that are not done, for who stops early. `check` is called several times a second, and
    raises what should end the wait; by default KeyboardInterrupt for a Ctrl-C.
    """
    coming = iter(tasks)
    while True:
        check()
        unfinished.update(map(submit, itertools.islice(coming, at_once - len(unfinished))))
        if not unfinished:
            return
        done, _ = wait(unfinished, POLL_SECONDS, FIRST_COMPLETED)
        unfinished -= done
        yield from done


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes that are started in this block never see a Ctrl-C, not even while they load."""
    resource_tracker.ensure_running()  # where it is started with the first process, it unblocks Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(threads: int, memory: int, gpus: Sequence[str], started: "Synchronized[int]") -> None:
    """Set up a worker: its share of cores, `memory` and `gpus`. The parent takes a Ctrl-C, and ends the worker.

    `started` counts the workers. All this happens before torch and CTranslate2 are imported, which read the
    environment once.
    """
    limit_memory(memory)
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with started.get_lock():
        number = started.value
        started.value += 1
    if gpus:
        os.environ[VISIBLE] = gpus[number % len(gpus)]


def _end_with_parent() -> None:
    """End this process when its parent is gone: if killed, it can't end workers, which would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
