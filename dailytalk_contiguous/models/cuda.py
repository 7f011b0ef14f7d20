"""Where models run (CPU or CUDA), what Whisper computes in there, and the libraries that it opens for that.

PyTorch and CTranslate2 each find CUDA in a way of their own; one function decides for both, so that the models of
a run never lie on two devices. CTranslate2's wheel opens the cuBLAS of CUDA 12 by name at its first product (and,
since 4.8, no cuDNN), while PyTorch brings that of CUDA 13 (OpenNMT/CTranslate2#1933): the extra `cuda` installs
the former, and what was opened by its path, as here, is found by its name afterwards.
"""

import ctypes
import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files, version

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing

#: Where models may be asked to run. `auto` is CUDA where both libraries can use it.
DEVICES = ("auto", "cpu", "cuda")

#: What Whisper computes in where nobody says. int8 on a CPU and float16 on CUDA were measured to cost next to no
#: accuracy. Of CUDA the first that the card has: float16 from Volta on; int8, as on a CPU, from Pascal on (compute
#: capability 6.1); float32 on all. See CTranslate2's documentation, "Quantization and reduced precision".
CPU_TYPE = "int8"
CUDA_TYPES = ("float16", "int8", "float32")

#: What CTranslate2 opens, and before it what cuBLAS opens itself, by the package that brings it.
CUBLAS_PACKAGE, CUBLAS = "nvidia-cublas-cu12", "libcublas.so.12"
LIBRARIES = {"nvidia-cuda-nvrtc-cu12": "libnvrtc.so.12", CUBLAS_PACKAGE: CUBLAS}

_INSTALL = "pip install 'dailytalk-contiguous[cuda]', or pass --device cpu"

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def lacking() -> str:
    """Why models can't run on CUDA on this machine; empty where they can. PyTorch is not imported for no GPU."""
    import ctranslate2

    if not ctranslate2.get_cuda_device_count():
        return "CTranslate2 finds no CUDA device (no GPU, a driver older than CUDA 12, or a build without CUDA)"
    import torch

    if torch.cuda.is_available():
        return ""
    built = built_for(torch.version.cuda)
    log.warning("the GPU of this machine is not used: PyTorch is built for %s", built)
    return f"PyTorch, built for {built}, finds no CUDA device"


def built_for(cuda: str | None) -> str:
    """What a PyTorch of this `torch.version.cuda` was built for, as a sentence about a missing GPU says it."""
    return f"CUDA {cuda}, which may ask for a newer driver" if cuda else "CPU only"


def device_of(device: str) -> str:
    """`cpu` or `cuda` for one of `DEVICES`, whether or not that is here. Raises DailytalkError for others."""
    if device not in DEVICES:
        raise DailytalkError(f"there is no device {device!r}", f"pass --device with one of {', '.join(DEVICES)}")
    if device != "auto":
        return device
    return "cpu" if lacking() else "cuda"


def resolve_device(device: str) -> str:
    """`device_of`, and raises DailytalkError where that is `cuda` and can't be used on this machine."""
    chosen = device_of(device)
    if chosen == "cuda" and lacking():
        raise DailytalkError(f"there is no CUDA here: {lacking()}", "pass --device auto or cpu, or mend that")
    return chosen


def compute_type_of(device: str, compute_type: str) -> str:
    """What Whisper computes in: `compute_type`, or what suits one of `DEVICES` if that is `auto`.

    For a CUDA that is not on this machine, but in the cluster that will do the work, the first of `CUDA_TYPES`.
    """
    if compute_type != "auto":
        return compute_type
    if device_of(device) == "cpu":
        return CPU_TYPE
    return CUDA_TYPES[0] if lacking() else preferred_type(_supported("cuda"))


def preferred_type(supported: Collection[str]) -> str:
    """The first of `CUDA_TYPES` that a card supports; all support the last."""
    return next(name for name in CUDA_TYPES if name in supported)


def check_compute_type(device: str, compute_type: str) -> None:
    """Raise DailytalkError if Whisper can't compute in a type (not `auto`) on a device that is on this machine."""
    chosen = device_of(device)
    if chosen == "cuda" and lacking():
        return  # the work is done elsewhere
    supported = _supported(chosen)
    if compute_type not in supported:
        raise DailytalkError(
            f"Whisper can't compute in {compute_type!r} on the {chosen.upper()} here",
            f"pass --compute-type with one of auto, {', '.join(sorted(supported))}",
        )


def _supported(device: str) -> set[str]:
    import ctranslate2

    found: set[str] = ctranslate2.get_supported_compute_types(device)
    return found


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
                raise ModelMissing(
                    f"{path} can't be opened ({error})", f"pip install --force-reinstall {package}"
                ) from error


def cublas() -> str:
    """Where the cuBLAS that CTranslate2 opens is from, in words; empty where there is none."""
    open_libraries()
    try:
        ctypes.CDLL(CUBLAS)
    except OSError:
        return ""
    try:
        return f"{CUBLAS_PACKAGE} {version(CUBLAS_PACKAGE)}"
    except PackageNotFoundError:
        return "this system's"


@contextmanager
def naming_libraries() -> Iterator[None]:
    """Turn CTranslate2's error for a library of CUDA that it can't open into ModelMissing."""
    try:
        yield
    except RuntimeError as error:
        told = re.search(r"Library (\S+) is not found or cannot be loaded", str(error))
        if not told:
            raise
        raise ModelMissing(f"Whisper needs {told[1]} to run on CUDA, which is not here", _INSTALL) from error
