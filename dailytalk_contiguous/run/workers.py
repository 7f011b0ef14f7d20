"""The number of processes that make shards on the GPUs of this machine where `--workers` gives none.

Speech activity, pitch and the search for fillers run on the CPU, and take longer than Whisper base on a GPU. So
there is a process for each core: while some wait for the GPU, others compute. On an H100 with 16 cores and Whisper
base, before that search was added, `tag` was 138 times real time with one worker, 256 with four and 300 with eight
(docs/measures.md). Sixteen were not measured.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.resources import available_memory, cores
from dailytalk_contiguous.models.checkpoints import WEIGHT_FILES, is_model_folder, stored_files
from dailytalk_contiguous.models.whisper import SIZES
from dailytalk_contiguous.stages.base import Stage

log = logging.getLogger(__name__)

#: Bytes of main memory, and of a GPU, for a process, whatever its models: a CUDA context, libraries, and a batch
#: of a small model. On a CPU, a process that tags with Whisper base uses 0.7 GB of main memory.
PROCESS_BYTES = 2_000_000_000

#: Bytes on a GPU for each byte of weights: those, and what the largest batch adds. By the shapes of the networks
#: in float16, 16 windows of Whisper with a beam of 5 add up to 8 GB to the 1.5 GB of medium, and 13 GB to the 3.1
#: GB of large; 240 s of sound add 3 GB to the 0.7 GB of audEERING's model. The 2 GB that windows add to base,
#: which has 0.15 GB, are in `PROCESS_BYTES`. Not measured on a GPU.
BYTES_A_WEIGHT_BYTE = 6


def fitting_workers(n_cores: int, n_gpus: int, free_on_gpu: int, free_memory: int, weights: int) -> int:
    """Return the number of workers that a machine has room for: one for each core if memory allows; at least 1.

    Args:
        n_cores: cores that this process may use.
        n_gpus: GPUs that it may use.
        free_on_gpu: free bytes of the fullest of them, since workers take them in turn.
        free_memory: free bytes of main memory.
        weights: bytes of the weights that a worker has on its GPU.
    """
    on_a_gpu = free_on_gpu // (PROCESS_BYTES + BYTES_A_WEIGHT_BYTE * weights)
    in_memory = free_memory // (PROCESS_BYTES + weights)
    return max(1, min(n_cores, n_gpus * on_a_gpu, in_memory))


def workers_here(stages: Iterable[Stage]) -> int:
    """Return the number of workers that this machine, whose CUDA works, has room for; 1 if no model uses a GPU."""
    weights = weights_on_gpu(stages)
    if not weights:
        return 1
    import torch  # only with models on CUDA, which import it in any case

    n_gpus = torch.cuda.device_count()
    free_on_gpu = min(map(free_gpu_bytes, range(n_gpus)))
    free_memory = available_memory()
    n_cores = cores()
    workers = fitting_workers(n_cores, n_gpus, free_on_gpu, free_memory, weights)
    log.info(
        "%s for %s, %s with %.1f GB free and %.1f GB of free memory; --workers sets another number",
        counted(workers, "worker"),
        counted(n_cores, "core"),
        counted(n_gpus, "GPU"),
        free_on_gpu / 1e9,
        free_memory / 1e9,
    )
    return workers


def free_gpu_bytes(number: int) -> int:
    """Free memory of a GPU; 0 for one that can't be used, as where another program has it to itself."""
    import torch

    try:
        free, _ = torch.cuda.mem_get_info(number)
    except (AssertionError, RuntimeError) as error:  # a PyTorch without CUDA asserts that it has it
        log.info("GPU %d can't be used (%s)", number, error)
        return 0
    return free


def weights_on_gpu(stages: Iterable[Stage]) -> int:
    """Bytes of the weights that a process has on a GPU for the models of stages; 0 if none of them runs on one."""
    models = set[str]()
    for stage in stages:
        if getattr(stage, "device", "cpu") == "cpu":
            continue
        for names in stage.models().values():
            models.update(names.split(", "))  # aligners are listed
    return sum(map(weights_bytes, models))


#: Endings of files of weights in a folder.
_WEIGHTS = {".bin", ".safetensors", ".pt", ".onnx"}


def weights_bytes(model: str) -> int:
    """Bytes of the weights of a model for a GPU: a Whisper size, a folder, or a name on the Hub.

    0 for a model that is not on this machine, and for one that runs on a CPU alone and has no such name.
    """
    if model in SIZES:
        return SIZES[model]
    if is_model_folder(model, "recogniser"):
        files = [path for path in Path(model).iterdir() if path.suffix in _WEIGHTS]
    else:
        files = [*stored_files(model, ("model.bin", *WEIGHT_FILES)).values()]
    return sum(path.stat().st_size for path in files)
