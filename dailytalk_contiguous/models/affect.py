"""Affect models by name: where their files are, and the one that this process has loaded.

Kept apart from the network itself (`affect_network`), so that naming a model or asking whether it is here does
not import PyTorch and transformers.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.models.batching import within_memory
from dailytalk_contiguous.models.cuda import device_of, lacking

if TYPE_CHECKING:
    from dailytalk_contiguous.models.affect_network import AffectModel

#: Wagner et al. 2023, "Dawn of the transformer era in speech emotion recognition: closing the valence gap".
AUDEERING = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"

#: What a model is made of: its configuration, and one of two files of weights.
CONFIG_FILE = "config.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")

REMEDY = f"pass --affect-model with {AUDEERING} or a folder of that layout, or --profile embedded"


#: What weights may be held in.
PRECISIONS = ("float32", "bfloat16")

#: What Linux calls a CPU's instructions that multiply in bfloat16; one without them would only be slower.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


@lru_cache(maxsize=1)
def load_affect_model(name: str, device: str, precision: str = "float32") -> "AffectModel":
    """The model of this process; `device` is `cpu` or `cuda` (see `cuda.resolve_device`).

    Raises ModelMissing, or DailytalkError if it does not fit into memory.
    """
    from dailytalk_contiguous.models.affect_network import AffectModel

    # Every length of utterance is a shape of its own to oneDNN, whose cache of 1,024 compiled shapes took 2 MB a
    # conversation until it was full and was never of use.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    config, weights = find_affect_model(name)
    load = partial(AffectModel, config, weights, device, precision)
    # On a CPU where it will run: weights are computed on the way, and would differ with the number of threads.
    ready = partial(threads_of_one().submit(load).result) if device == "cpu" else load
    return within_memory(ready, f"the affect model {name!r}")


@lru_cache(maxsize=1)
def threads_of_one() -> ThreadPoolExecutor:
    """A thread for each core of this process, in which PyTorch itself uses no others.

    What PyTorch computes with two threads differs in the last bits from what it computes with one, and a row must
    be the same on a machine of many cores, in one of several workers, and on Ray. So batches run side by side
    instead. PyTorch's number of threads elsewhere in the process stays as it is.
    """
    import torch

    count = int(os.environ.get("OMP_NUM_THREADS") or 0) or cores()
    before, started = torch.get_num_threads(), Barrier(count)

    def begin() -> None:
        torch.get_num_threads()  # a thread takes up the process's number when it is first asked, and would later
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(count, "affect", begin)
    list(pool.map(lambda _: started.wait(), range(count)))  # a thread starts with its first task
    torch.set_num_threads(before)  # each thread keeps its own number; only this one's is that of later threads
    return pool


def fast_precision(device: str) -> str:
    """`bfloat16` where `device` (one of `cuda.DEVICES`) multiplies in it, else `float32`.

    A CUDA that is not on this machine, but in the cluster that will do the work, is taken to do so.
    """
    if device_of(device) == "cuda":
        if lacking():
            return "bfloat16"
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux: nothing is known, so nothing is risked
        return "float32"
    return "bfloat16" if BFLOAT16_FLAGS & set(told.split()) else "float32"


def available(name: str) -> bool:
    """Whether the files of a model (a folder, or a name on the Hub) are all here. Does not ask the network."""
    return _here(name) is not None


def find_affect_model(name: str) -> tuple[Path, Path]:
    """The configuration and the weights of a model: in the folder `name`, in the Hub's cache, or downloaded.

    Raises:
        ModelMissing: the folder lacks one of them, or the Hub can't be reached or has no such model.
    """
    found = _here(name)
    if found:
        return found
    if Path(name).is_dir():
        held = {path.name for path in Path(name).iterdir()}
        lacking = [] if CONFIG_FILE in held else [CONFIG_FILE]
        lacking += [] if held & set(WEIGHT_FILES) else [" or ".join(WEIGHT_FILES)]
        raise ModelMissing(f"{name} is no affect model: it has no {' and no '.join(lacking)}", REMEDY)
    try:
        return Path(hf_hub_download(name, CONFIG_FILE)), _download_weights(name)
    except LocalEntryNotFoundError as error:
        raise ModelMissing(
            f"the affect model {name!r} is not in the cache and the Hub can't be reached",
            "connect to the Hub once, or " + REMEDY,
        ) from error
    except (OSError, EntryNotFoundError, HFValidationError) as error:
        raise ModelMissing(
            f"{name!r} is neither a folder nor an affect model on the Hub ({type(error).__name__})", REMEDY
        ) from error


def _here(name: str) -> tuple[Path, Path] | None:
    """The files of a model that are on this machine already, or None if one lacks."""
    if Path(name).is_dir():
        found = {file: Path(name) / file for file in (CONFIG_FILE, *WEIGHT_FILES) if (Path(name) / file).is_file()}
    else:
        try:
            cached = {file: try_to_load_from_cache(name, file) for file in (CONFIG_FILE, *WEIGHT_FILES)}
        except HFValidationError:
            return None
        # The cache also answers with a marker for "known not to exist", which is no path.
        found = {file: Path(path) for file, path in cached.items() if isinstance(path, str)}
    weights = next((found[file] for file in WEIGHT_FILES if file in found), None)
    return (found[CONFIG_FILE], weights) if CONFIG_FILE in found and weights else None


def _download_weights(name: str) -> Path:
    try:
        return Path(hf_hub_download(name, WEIGHT_FILES[0]))
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:  # the repository has the older kind of file only
        return Path(hf_hub_download(name, WEIGHT_FILES[1]))
