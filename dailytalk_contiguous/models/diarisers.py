"""Diarisers by name: which kind one is, whether it is here, and loading it.

Apart from the networks, so that naming a model or looking for its files imports none of their libraries.
"""

from functools import lru_cache
from pathlib import Path

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.checkpoints import RESEMBLYZER, find_first, find_speaker_encoder
from dailytalk_contiguous.models.contracts import Diariser

#: NVIDIA's streaming Sortformer v2, in ONNX: it hears up to four speakers.
SORTFORMER = "Recogment/sortformer-4spk-v2-onnx"

#: What a Sortformer's file may be called, and what to do without one.
FILES = ("model.onnx", "diar_streaming_sortformer_4spk-v2.onnx", "diar_streaming_sortformer_4spk-v2.1.onnx")
_REMEDY = (
    f"name {RESEMBLYZER}, or a Sortformer: {SORTFORMER}, or a folder or OWNER/NAME of the Hub with {FILES[0]}"
)


def find_diariser(name: str, fetch: bool = True) -> Path:
    """The file of a diariser's weights, downloaded if need be and `fetch`. Raises ModelMissing without one."""
    if name == RESEMBLYZER:
        return find_speaker_encoder()
    if name.startswith("pyannote/"):
        raise ModelMissing(
            f"{name!r} can't be used: its weights are pickles that run what they hold, and its package reports "
            "each use to its makers",
            _REMEDY,
        )
    if path := find_first(name, FILES, fetch):
        return path
    raise ModelMissing(f"{name!r} is no diariser that is known here: it has no {' and no '.join(FILES)}", _REMEDY)


def check_diariser(name: str, fetch: bool = True) -> None:
    """Make sure that a diariser is on this machine, downloading it if need be; its weights are not loaded.

    Without `fetch` nothing is downloaded, and what is not here is not missed. Raises ModelMissing.
    """
    if fetch or name == RESEMBLYZER or Path(name).is_dir():
        find_diariser(name)


@lru_cache(maxsize=1)
def load_diariser(name: str, device: str) -> Diariser:
    """The diariser of that name, once a process; `device` is `cpu` or `cuda`. Raises ModelMissing."""
    path = find_diariser(name)
    if name == RESEMBLYZER:
        from dailytalk_contiguous.models.speaker_turns import EmbeddedDiariser

        return EmbeddedDiariser(device)
    from dailytalk_contiguous.models.sortformer import Sortformer

    return Sortformer(name, path, device, _REMEDY)
