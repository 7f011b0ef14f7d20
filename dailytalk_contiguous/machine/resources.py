"""Resources of this machine: packages, cores, memory, and a cache folder."""

import ctypes
import hashlib
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Rights of a folder that its owner alone may enter.
PRIVATE = 0o700

#: Where Linux says what processes may have, and its control groups.
_PROCESSES = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")

#: Packages whose versions decide what comes out.
PACKAGES = (
    "datasets",
    "faster-whisper",
    "silero-vad",
    "transformers",
    "torch",
    "numpy",
    "scipy",
)


def cores() -> int:
    """Return the number of cores that this process may use (a container or a batch system may limit them)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Return the bytes of memory that Linux can still give out; elsewhere `sys.maxsize`.

    The limit of a control group of this process (a container, a batch job) counts if it is lower.
    """
    if sys.platform != "linux":
        return sys.maxsize
    available = [sys.maxsize]
    groups = ""
    with suppress(OSError, ValueError):  # a sandbox may lack them
        facts = (_PROCESSES / "meminfo").read_text()
        kilobytes = re.findall(r"^(?:MemAvailable|SwapFree): +(\d+) kB$", facts, re.MULTILINE)
        available.append(sum(map(int, kilobytes)) << 10)
        groups = (_PROCESSES / "self/cgroup").read_text()
    for line in groups.splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        folder = _GROUPS / controllers / group.lstrip("/")
        for parent in (folder, *folder.parents):
            with suppress(OSError, ValueError):  # it is not there, or says "max"
                available.append(int((parent / name).read_text()))
    return min(available)


#: Bytes of memory that a process may always ask for. One that tags with Whisper base asks for 0.9 GB and uses
#: 0.7 GB of them; on a machine with many cores it asks for more, 8 MB for each thread.
LEAST_MEMORY = 4 << 30

#: What the drivers of NVIDIA and AMD have on Linux, and those of Windows' Subsystem for Linux.
_GPUS = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))


def limit_memory(n_bytes: int) -> None:
    """Limit the memory of this process and of those that it starts: a request for more raises MemoryError.

    A file whose header lies would otherwise fill the machine, and Linux would kill some process. At least
    `LEAST_MEMORY` stay, and a lower limit of the user's stays. Call it before there are threads. It does nothing
    on macOS and Windows, and on a machine with a GPU, where CUDA maps the memory of the machine.
    """
    if sys.platform != "linux" or any(path.exists() for path in _GPUS):
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = max(LEAST_MEMORY, n_bytes)
    if soft == resource.RLIM_INFINITY or limit < soft:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


@contextmanager
def unlimited_memory() -> Iterator[None]:
    """Let processes that start in this block have as much memory as the user allows, as a browser that stays."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def give_back_memory() -> None:
    """Return freed memory to the system: that of Arrow and, with glibc, of everything else.

    Threads leave it in many half-used pieces: after six conversations of three minutes a process held 1,013 MB
    without this, and 907 MB with it. Arrow keeps the memory of its former tables: 100 MB for five minutes of
    resynthesised conversations.
    """
    arrow = sys.modules.get("pyarrow")
    if arrow:
        arrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def cache_folder() -> Path:
    """Return the folder of this package's cache: `DAILYTALK_CACHE`, or one in the user's cache folder.

    Voices, transcripts and recordings of private runs are in it, so it is made for its owner alone. An existing
    one keeps its rights, since people share such a folder on purpose.
    """
    chosen = os.environ.get("DAILYTALK_CACHE")
    if chosen:
        return private_folder(Path(chosen))
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return private_folder(base / "dailytalk_contiguous")


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner may enter, and return it; an existing one keeps its rights.

    A read-only disk is no error here; writing there will raise it.
    """
    with suppress(OSError):
        folder.mkdir(mode=PRIVATE, parents=True)
    return folder


@cache
def code_digest() -> str:
    """Return a digest of this package's code: results that other code has cached may be wrong for this one."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int | None = None
) -> Generator[Result]:
    """`map` in order, by so many threads, so many items `ahead` of the caller: by default two for each thread.

    It is for work that releases the interpreter, as decoding and ONNX Runtime do. An error is raised in the turn
    of its item; then, and where the caller stops early, no further item is begun. Close it (`contextlib.closing`)
    where the caller may: the garbage collector would wait for the threads wherever it happens to run, even inside
    the start of another thread, which is a deadlock.
    """
    pool = ThreadPoolExecutor(threads, "side-by-side")
    pending: deque[Future[Result]] = deque()
    source = iter(items)
    end = None
    most_pending = 2 * threads if ahead is None else ahead
    try:
        while end is None:
            try:
                pending.append(pool.submit(work, next(source)))
            except Exception as error:  # also that there are no more
                end = error
            while pending and (end is not None or len(pending) > most_pending):
                yield pending.popleft().result()
        if not isinstance(end, StopIteration):
            raise end
    finally:
        pool.shutdown(cancel_futures=True)
