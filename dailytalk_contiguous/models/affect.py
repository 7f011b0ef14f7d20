"""Affect models by name: where their files are, and what they are computed in.

Apart from the network (`models.affect_network`), so that naming a model or looking for its files does not import
PyTorch and transformers.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from dailytalk_contiguous.core.errors import ModelMissing, ModelUnreachable
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.models.checkpoints import StoredModel, resolve_checkpoint
from dailytalk_contiguous.models.devices import cpu_instructions, device_of, lacking, thread_count
from dailytalk_contiguous.models.forks import loaded_once

#: Wagner et al. 2023, "Dawn of the transformer era in speech emotion recognition: closing the valence gap".
AUDEERING = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"

#: Bytes of its weights.
AUDEERING_BYTES = 661_000_000

#: The encoder's types; `auto` is the one of them that suits the device (see `settled_precision`).
PRECISIONS = ("float32", "bfloat16", "float16")


@loaded_once
def threads_of_one() -> ThreadPoolExecutor:
    """A thread for each core of this process, in which PyTorch itself uses no others.

    PyTorch's results with two threads differ in the last bits from those with one, and a row must be the same on a
    machine of many cores, in one of several workers, and on Ray. So batches run side by side instead. PyTorch's
    number of threads elsewhere in the process stays as it is.
    """
    import torch

    count = thread_count()
    before = torch.get_num_threads()
    started = Barrier(count)

    def begin() -> None:
        torch.get_num_threads()  # a thread takes up the process's number when it is first asked, and would later
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(count, "affect", begin)
    list(pool.map(lambda _: started.wait(), range(count)))  # a thread starts with its first task
    torch.set_num_threads(before)  # each thread keeps its own number; only this one's is that of later threads
    return pool


def settled_precision(model: str, device: str, precision: str) -> str:
    """The type that `model` computes in, known before it is loaded; `auto` for the bundled one and for none.

    For a stage's settings, as `models.whisper.settled_type`. `auto` on a CPU is bfloat16 where it multiplies in
    it, else float32: on one that does, 5 s of audio took 1.2 s of a core in bfloat16 and 2.9 s in float32. On CUDA
    it is bfloat16, whose range can't overflow, on older cards float16, on those before Volta float32. A CUDA that
    is not on this machine, but in the cluster that will do the work, is taken to have bfloat16.
    """
    if model in ("", VOICE_LINEAR):
        return "auto"
    if precision != "auto":
        return precision
    best, *_ = fast_precisions(device)
    return best


#: Linux's names for a CPU's instructions that multiply in bfloat16, on x86 and on Arm.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}

#: The first major compute capability of CUDA cards that multiply faster in float16 than in float32.
FLOAT16_CAPABILITY = 7


def fast_precisions(device: str) -> tuple[str, ...]:
    """The members of `PRECISIONS` that `device` (one of `models.devices.DEVICES`) multiplies in, best first."""
    if device_of(device) == "cpu":
        return ("bfloat16", "float32") if BFLOAT16_FLAGS & cpu_instructions() else ("float32",)
    if lacking():
        return ("bfloat16", "float16", "float32")
    import torch

    precisions = []
    if torch.cuda.is_bf16_supported(including_emulation=False):
        precisions.append("bfloat16")
    capability, _ = torch.cuda.get_device_capability()
    if capability >= FLOAT16_CAPABILITY:
        precisions.append("float16")
    return (*precisions, "float32")


def is_available(name: str) -> bool:
    """Return whether the files of a model, a folder or a name on the Hub, are here. Uses no network."""
    try:
        resolve_checkpoint(name, fetch=False)
    except ModelMissing:
        return False
    return True


def resolve_affect_model(name: str) -> StoredModel:
    """Return the result of `resolve_checkpoint`.

    If the Hub can't be reached, the error's remedy names the model that needs no download.
    """
    try:
        return resolve_checkpoint(name)
    except ModelUnreachable as error:
        remedy = f"pass --affect-model {VOICE_LINEAR}, which needs no download; or {error.remedy}"
        raise ModelUnreachable(error.reason, remedy, in_profile=True) from None
