"""Devices that models run on: CUDA, its precision, and batches that fit into memory."""

import ctypes
import gc
import itertools
import logging
import math
import os
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.steps import step
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.resources import cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Where models run (CPU or CUDA), Whisper's compute type there, and the libraries that it opens for that.
#
# PyTorch and CTranslate2 find CUDA in different ways; one function decides for both, so that the models
# of a run never be on two devices. CTranslate2's wheel opens the cuBLAS of CUDA 12 by name at its first product
# (and, since 4.8, no cuDNN), while PyTorch brings that of CUDA 13 (OpenNMT/CTranslate2#1933): the extra `cuda`
# installs the former, and what was opened by its path, as here, is found by its name afterwards.


#: The devices that models may be asked to run on. `auto` is CUDA where both libraries can use it.
DEVICES = ("auto", "cpu", "cuda")

#: Whisper's default compute type on CUDA is the first of these that the card has: float16, which costs next to no
#: accuracy, from Volta on; int8, as on a CPU, from Pascal on (compute capability 6.1); float32 on all. See
#: CTranslate2's documentation, "Quantization and reduced precision".
CUDA_TYPES = ("float16", "int8", "float32")

#: The package that brings the cuBLAS that CTranslate2 opens.
CUBLAS_PACKAGE = "nvidia-cublas-cu12"

#: The file of that cuBLAS.
CUBLAS = "libcublas.so.12"

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def lacking() -> str:
    """Return the reason why models can't run on CUDA on this machine; empty if they can.

    PyTorch is not imported without a GPU.
    """
    try:
        import ctranslate2
    except ModuleNotFoundError:
        return "CTranslate2 is not installed"
    if not ctranslate2.get_cuda_device_count():
        return "CTranslate2 finds no CUDA device (no GPU, a driver older than CUDA 12, or a build without CUDA)"
    import torch

    if torch.cuda.is_available():
        return ""
    built = built_for(torch.version.cuda)
    log.warning("the GPU of this machine is not used: PyTorch is built for %s", built)
    return f"PyTorch, built for {built}, finds no CUDA device"


def built_for(cuda: str | None) -> str:
    """The target of a PyTorch of this `torch.version.cuda`, in the words of a sentence about a missing GPU."""
    if not cuda:
        return "CPU only"
    return f"CUDA {cuda}, which may ask for a newer driver"


def device_of(device: str) -> str:
    """`cpu` or `cuda` for one of `DEVICES`, whether or not that is here."""
    if device != "auto":
        return device
    return "cpu" if lacking() else "cuda"


def resolve_device(device: str) -> str:
    """`device_of`, and raises DailytalkError where that is `cuda` and can't be used on this machine."""
    chosen = device_of(device)
    if chosen == "cuda" and lacking():
        raise DailytalkError(f"there is no CUDA here: {lacking()}", "pass --device auto or cpu, or correct that")
    return chosen


#: Whisper's default compute type on a CPU, which was measured to cost next to no accuracy.
CPU_TYPE = "int8"


def compute_type_of(device: str, compute_type: str) -> str:
    """The type that Whisper computes in: `compute_type`, or the one for a device of `DEVICES` if that is `auto`.

    For a CUDA that is not on this machine, but in the cluster that will do the work, the first of `CUDA_TYPES`.
    """
    if compute_type != "auto":
        return compute_type
    if device_of(device) == "cpu":
        return CPU_TYPE
    if lacking():
        return CUDA_TYPES[0]
    import ctranslate2

    return preferred_type(ctranslate2.get_supported_compute_types("cuda"))


def preferred_type(supported: Collection[str]) -> str:
    """The first of `CUDA_TYPES` that a card supports; all support the last."""
    return next(name for name in CUDA_TYPES if name in supported)


@lru_cache(maxsize=1)
def cpu_instructions() -> frozenset[str]:
    """Return the names, as Linux has them, of this CPU's instruction sets; empty on other systems."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()


#: With these instructions ONNX Runtime multiplies int8 exactly. Without them its sums on x86 saturate at 16 bits,
#: unless a session asks for precision: that gives the same bits, and Smart Turn then takes half as long again.
EXACT_INT8 = "avx512_vnni"


def open_onnx(network: Path | bytes) -> "InferenceSession":
    """A session of ONNX Runtime on the CPU for a network in a file, or in memory.

    Raises what ONNX Runtime does for one that it can't run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()  # one thread: what is computed must not depend on how many there are
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    if EXACT_INT8 not in cpu_instructions():
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 4  # what fails is raised
    source = str(network) if isinstance(network, Path) else network
    # The fallback prints what it does.
    return onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"], enable_fallback=0)


#: Libraries by the package that brings them: the cuBLAS, and before it the one that cuBLAS opens itself.
LIBRARIES = {"nvidia-cuda-nvrtc-cu12": "libnvrtc.so.12", CUBLAS_PACKAGE: CUBLAS}


def open_libraries() -> None:
    """Open what is installed of `LIBRARIES`, for CTranslate2 to find. Raises ModelMissing if one is broken."""
    for package, library in LIBRARIES.items():
        try:
            paths = [file.locate() for file in files(package) or () if file.name == library]
        except PackageNotFoundError:
            continue  # the system may have it
        for path in paths:
            try:
                ctypes.CDLL(str(path))
            except OSError as error:
                remedy = f"pip install --force-reinstall {package}"
                raise ModelMissing(f"{path} can't be opened ({error})", remedy) from error


def cublas() -> str:
    """Describe where the cuBLAS that CTranslate2 opens is from; empty if there is none."""
    open_libraries()
    try:
        ctypes.CDLL(CUBLAS)
    except OSError:
        return ""
    try:
        return f"{CUBLAS_PACKAGE} {version(CUBLAS_PACKAGE)}"
    except PackageNotFoundError:
        return "this system's"


#: The remedy for a missing library of CUDA.
_INSTALL = "pip install '.[cuda]' in a checkout of dailytalk_contiguous, or pass --device cpu"


@contextmanager
def naming_libraries() -> Iterator[None]:
    """Turn CTranslate2's error for a library of CUDA that it can't open into ModelMissing."""
    try:
        yield
    except RuntimeError as error:
        match = re.search(r"Library (\S+) is not found or cannot be loaded", str(error))
        if not match:
            raise
        reason = f"Whisper needs {match[1]} to run on CUDA, and it is not here"
        raise ModelMissing(reason, _INSTALL) from error


# Batches bounded by seconds of audio, and halved when one does not fit into memory.
#
# Audio of a batch is padded to its longest item, so what a batch costs is its longest item times its count; a
# fixed number of items would waste memory on short ones and run out of it on long ones. How much fits is only
# known by trying: a batch that does not fit is cut in half, and so are those after it. A batch of one
# item is tried once more with the caches freed.


#: The fewest seconds that an item counts: a budget of nothing would hold any number of items of no length.
SHORTEST = 1e-3

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Room:
    """The room in memory for a model's batches: `seconds` of padded audio, as far as is known."""

    seconds: float = math.inf


def plan_batches(
    seconds: Sequence[float], budget: float, kinds: Sequence[Hashable] | None = None
) -> list[list[int]]:
    """Group items into batches whose longest item times their count is at most `budget` seconds.

    An item that is longer than the budget is a batch by itself. Longest items come first, so that what does
    not fit shows at once; items of the same length keep their order. Items of different `kinds` share no batch.

    Returns:
        The indices of the items, each in exactly one batch.
    """
    batches: list[list[int]] = []
    latest: dict[Hashable, list[int]] = {}
    for index in sorted(range(len(seconds)), key=lambda index: (-seconds[index], index)):
        kind = kinds[index] if kinds else None
        batch = latest.get(kind)
        if batch and seconds[batch[0]] * (len(batch) + 1) <= budget:
            batch.append(index)
        else:
            latest[kind] = [index]
            batches.append(latest[kind])
    return batches


def run_batched(
    items: Sequence[Item],
    seconds: Sequence[float],
    budget: float,
    call: Callable[[list[Item]], Sequence[Result]],
    room: Room | None = None,
    kinds: Sequence[Hashable] | None = None,
    pool: Executor | None = None,
) -> list[Result]:
    """Call `call` on batches of `items` and return its results in the order of `items`.

    Args:
        items: anything; `call` gets a list of them and returns one result for each, in the same order.
        seconds: length of each item.
        budget: seconds of padded audio in a batch, as in `plan_batches`.
        call: run once a batch. If it runs out of memory, that batch and the rest are run in halves.
        room: the room for the model that `call` runs. No batch is larger; it shrinks if one does not fit.
        kinds: the kinds of the items, as in `plan_batches`.
        pool: the pool for `run_side_by_side`, on a CPU.

    Raises DailytalkError if a single item does not fit into memory.
    """
    if pool is not None:
        return run_side_by_side(items, seconds, budget, call, pool, kinds)
    seconds = [max(length, SHORTEST) for length in seconds]
    room = room or Room()
    results: dict[int, Result] = {}
    step("pieces of sound", 0, len(items))
    waiting = plan_batches(seconds, min(budget, room.seconds), kinds)
    while waiting:
        interrupts.check_interrupt()
        batch = waiting.pop(0)
        run = partial(call, [items[index] for index in batch])
        longest = seconds[batch[0]]
        if len(batch) == 1:
            outcome: Sequence[Result] | None = within_memory(run, f"{longest:.1f} s of audio")
        else:
            outcome = _attempt(run)
        if outcome is None:
            log.warning("a batch of %d items did not fit into memory; going on with halves of it", len(batch))
            room.seconds = longest * len(batch) / 2
            remaining = sorted(itertools.chain(batch, *waiting))
            seconds_left = [seconds[index] for index in remaining]
            kinds_left = [kinds[index] for index in remaining] if kinds else None
            waiting = []
            for part in plan_batches(seconds_left, room.seconds, kinds_left):
                waiting.append([remaining[position] for position in part])
            continue
        results.update(zip(batch, outcome, strict=True))
        step("pieces of sound", len(results), len(items))
    return [results[index] for index in range(len(items))]


def run_side_by_side(
    items: Sequence[Item],
    seconds: Sequence[float],
    budget: float,
    call: Callable[[list[Item]], Sequence[Result]],
    pool: Executor,
    kinds: Sequence[Hashable] | None = None,
) -> list[Result]:
    """`run_batched` on a CPU: the same batches, several at a time. Which ones does not depend on how many.

    That, and one thread a batch, is why rows are the same to the bit on any number of threads: models compute
    other last bits with two threads than with one (PyTorch, and CTranslate2: in int8 on one processor, where words
    moved by 20 ms, and in float32 on another). It is also the faster way: threads that share a product wait for
    each other.

    Raises DailytalkError as `run_batched` does, and any error of `call`.
    """
    lengths = [max(length, SHORTEST) for length in seconds]
    batches = plan_batches(lengths, budget, kinds)
    results: dict[int, Result] = {}
    step("pieces of sound", 0, len(items))

    def run(batch: list[int]) -> Sequence[Result]:
        interrupts.check_interrupt()
        longest = max(seconds[index] for index in batch)
        run_call = partial(call, [items[index] for index in batch])
        return within_memory(run_call, f"{longest:.1f} s of audio")

    outcomes = pool.map(run, batches)
    for batch, batch_results in zip(batches, outcomes, strict=True):
        results.update(zip(batch, batch_results, strict=True))
        step("pieces of sound", len(results), len(items))
    return [results[index] for index in range(len(items))]


def thread_count() -> int:
    """Threads that models may use on a CPU: `OMP_NUM_THREADS`, as runs set it for their workers, or the cores."""
    return int(os.environ.get("OMP_NUM_THREADS") or 0) or cores()


def within_memory(call: Callable[[], Result], subject: str) -> Result:
    """Return the result of `call`, which is not None. Out of memory, it is called once more with the caches freed.

    Raises:
        DailytalkError: `subject` does not fit into memory the second time either.
    """
    for _ in range(2):
        outcome = _attempt(call)
        if outcome is not None:
            return outcome
    remedy = "run fewer --workers, name a smaller model, or pass --device cpu"
    raise DailytalkError(f"{subject} does not fit into memory", remedy)


#: How PyTorch (besides its own class), CTranslate2 and cuBLAS say that memory ran out; in lower case.
OUT_OF_MEMORY = ("out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch (an own class) or CTranslate2 (a plain RuntimeError) means that memory ran out."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    message = str(error).lower()
    return any(text in message for text in OUT_OF_MEMORY)


def _attempt(call: Callable[[], Result]) -> Result | None:
    """Return the result of `call`, or None if it ran out of memory."""
    try:
        return call()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Only here, with the exception gone, are the tensors that its traceback held free to be given back.
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where no GPU was used
    return None
