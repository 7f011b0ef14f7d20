"""Weights of models in files of others: safetensors, or what `torch.save` wrote, read in one way.

A file of `torch.save` is a zip of numbers, with a pickle that says which of them are which weight. A pickle can
run anything; PyTorch's own restricted reader (`weights_only`) runs nothing, but makes an array of any size that a
few bytes ask for. So the zip's sizes and the pickle's instructions are checked first: only those pass that make a
dict of tensors. As with safetensors, a file takes little more memory than it has bytes.
"""

import os
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.wording import counted

#: What weights may be stored in.
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

#: Used in pretraining only; checkpoints have it or not.
_UNUSED = "masked_spec_embed"

#: Checkpoints written before PyTorch 2 name the two halves of a normalised weight so.
_OLDER_NAMES = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}

#: Bytes of a zip's list of members, and of a pickle. WavLM-large, with 488 weights, has 30 and 90 kB. The worst
#: that a pickle so long can make on the way takes 75 MB.
_MOST_LIST = _MOST_PICKLE = 1 << 20

#: Tuples in a pickle: four of a weight.
_MOST_TUPLES = 10_000

#: The instructions of a pickle of tensors by name, and what it may ask for.
_INSTRUCTIONS = frozenset(
    """
    PROTO BINUNICODE BININT BININT1 BININT2 LONG1 BINFLOAT NONE NEWTRUE NEWFALSE EMPTY_DICT EMPTY_TUPLE
    BINPUT LONG_BINPUT BINGET LONG_BINGET MARK TUPLE TUPLE1 TUPLE2 TUPLE3
    GLOBAL REDUCE BINPERSID SETITEM SETITEMS BUILD STOP
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)
_STORED = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_NAMES = frozenset(
    ("collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter")
) | {f"torch {kind}Storage" for kind in _STORED}

#: What Python's zipfile raises for what is damaged, encrypted, or made to mislead it.
_NO_ZIP = (zipfile.BadZipFile, EOFError, OSError, OverflowError, RuntimeError, IndexError, struct.error)

#: What PyTorch raises for a pickle of other things, or of tensors whose numbers are not all there.
_NO_TENSORS = (
    *(pickle.UnpicklingError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, EOFError),
    *(AssertionError, OSError, OverflowError),
)

_UNREADABLE = "download it again, or name a version with model.safetensors, on the Hub often OWNER/NAME@refs/pr/1"


def load_weights(
    paths: Sequence[Path],
    module: nn.Module,
    name: str,
    remedy: str,
    prefixes: Sequence[str] = ("",),
    strict: bool = True,
) -> None:
    """Give a module that was made on PyTorch's device `meta` the weights in files, as float32.

    Raises ModelMissing as `read_weights` does.
    """
    module.load_state_dict(read_weights(paths, shapes_of(module), name, remedy, prefixes, strict), assign=True)


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The weights of a module by name, and their shapes."""
    return {key: tuple(weight.shape) for key, weight in module.state_dict().items()}


def read_weights(
    paths: Sequence[Path],
    shapes: Mapping[str, tuple[int, ...]],
    name: str,
    remedy: str,
    prefixes: Sequence[str] = ("",),
    strict: bool = True,
) -> dict[str, Tensor]:
    """The weights of these names and shapes in files, as float32.

    Args:
        name: of the model, in errors. remedy: what to do where the weights are those of another.
        prefixes: what may stand before their names; that counts with which most of them are there.
        strict: whether the files may have no others at all; else none of the parts that the module has.

    Raises ModelMissing where a file can't be read, and where a weight lacks, is too many, has another shape, is no
    float or is no number.
    """
    try:
        stored: dict[str, Tensor] = {}
        for path in paths:
            own = _tensors_in(path)
            if twice := sorted(own.keys() & stored.keys()):
                raise ValueError(f"{path.name}: it holds {quoted(twice[0])}, as another file does")
            stored |= own
    except ValueError as error:
        raise ModelMissing(f"the weights of {name!r} can't be read ({error})", _UNREADABLE) from error
    own = max((_with_prefix(stored, prefix) for prefix in prefixes), key=lambda o: len(shapes.keys() & o))
    if differences := _differences(own, shapes, strict):
        raise ModelMissing(f"the weights of {name!r} are not those of its configuration ({differences})", remedy)
    weights = {key: torch.zeros(shapes[key]) for key in shapes.keys() - own.keys()}
    weights |= {key: weight.float().contiguous() for key, weight in own.items() if key in shapes}
    wrong = [key for key, weight in sorted(weights.items()) if not weight.isfinite().all()]
    if wrong:
        raise ModelMissing(f"the weights of {name!r} are damaged: {wrong[0]} is no number", remedy)
    return weights


def _with_prefix(stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Weights whose names begin with the prefix, by the rest of these, as modules of today have it."""
    own: dict[str, Tensor] = {}
    for name, weight in stored.items():
        if name.startswith(prefix):
            current = name.removeprefix(prefix)
            for older, newer in _OLDER_NAMES.items():
                newest = current.removesuffix(older) + newer
                if current.endswith(older) and prefix + newest not in stored:
                    current = newest
            own[current] = weight
    return own


def _differences(own: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], strict: bool) -> str:
    """How weights differ from those of a module, in words; empty if they don't."""
    parts = {name.partition(".")[0] for name in shapes}
    others = (name for name in own.keys() - shapes.keys() if strict or name.partition(".")[0] in parts)
    both = sorted(shapes.keys() & own.keys())
    problems = {
        "missing": sorted(name for name in shapes.keys() - own.keys() if not name.endswith(_UNUSED)),
        "unexpected": sorted(name for name in others if not name.endswith(_UNUSED)),
        "of another shape": [name for name in both if own[name].shape != shapes[name]],
        "no floats": [name for name in both if own[name].dtype not in FLOATS],
    }
    words = (
        f"{counted(len(names), 'weight')} {kind}, {quoted(names[0])} first"
        for kind, names in problems.items()
        if names
    )
    return "; ".join(words)


def _tensors_in(path: Path) -> dict[str, Tensor]:
    """The tensors in a file; their numbers stay on the disk until they are used. Raises ValueError, naming it."""
    try:
        return load_file(path) if path.suffix == ".safetensors" else saved_tensors(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {(str(error) or type(error).__name__).splitlines()[0]}") from error


def saved_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of `torch.save` by name: those of a flat dict, or a single one with an empty name.

    A text or a number among them is an empty tensor of booleans. Raises ValueError for a file of anything else, a
    damaged one, one of PyTorch before 1.6, and one whose tensors have more bytes than it; nothing in it is run.
    """
    size = _checked_zip(path)
    try:
        contents = torch.load(path, "cpu", weights_only=True, mmap=True)
    except _NO_TENSORS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"its tensors can't be read ({reason})") from None
    weights: dict[str, Tensor] = {}
    for name, value in contents.items() if isinstance(contents, dict) else (("", contents),):
        if not isinstance(name, str):
            raise ValueError("its pickle holds more than tensors by name")
        if not isinstance(value, Tensor | str | int | float):
            raise ValueError(f"{quoted(name)} in it is no tensor")
        weights[name] = value.detach() if isinstance(value, Tensor) else torch.empty(0, dtype=torch.bool)
    if sum(weight.numel() * weight.element_size() for weight in weights.values()) > size:
        raise ValueError("its tensors have more bytes than it, as they share their numbers")
    return weights


def _checked_zip(path: Path) -> int:
    """The bytes of a zip that holds what PyTorch may read. Raises ValueError for any other file, and OSError."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 22))
        try:
            if file.read(4) != b"PK\5\6":  # so that PyTorch finds the same list of members as Python's zipfile
                raise zipfile.BadZipFile("it does not end as one")
            archive = zipfile.ZipFile(_Frugal(file))
            members = archive.infolist()
            if (unpacked := sum(member.file_size for member in members)) > size:
                raise ValueError(f"it unpacks to {unpacked:,} bytes, but has {size:,}")
            if packed := next((member for member in members if member.compress_type != zipfile.ZIP_STORED), None):
                raise ValueError(f"{quoted(packed.filename)} in it is compressed")
            pickles = [name for name in archive.namelist() if re.fullmatch(r"[^/]*/data\.pkl", name)]
            names = {name.casefold() for name in archive.namelist()}  # PyTorch does not tell capitals apart
            if (
                len(pickles) != 1
                or len(names) < len(members)
                or len({name.partition("/")[0] for name in names}) > 1
            ):
                raise ValueError("it is a zip, but not of torch.save")
            if (pickle_size := archive.getinfo(pickles[0]).file_size) > _MOST_PICKLE:
                raise ValueError(f"{quoted(pickles[0])} in it has {pickle_size:,} bytes")
            if damaged := archive.testzip():
                raise ValueError(f"{quoted(damaged)} in it is damaged")
            _check_pickle(archive.read(pickles[0]))
        except _NO_ZIP as error:
            problem = f"it is no zip of torch.save (PyTorch 1.6 or newer), or it is cut off ({error})"
            raise ValueError(problem) from None
    return size


class _Frugal:
    """A file that zipfile can read, but not at once a list of members that fills memory."""

    seekable = staticmethod(lambda: True)

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _MOST_LIST:
            raise zipfile.BadZipFile("its list of members is too long")
        return self._file.read(_MOST_LIST if size is None or size < 0 else size)


def _check_pickle(pickled: bytes) -> None:
    """Raise ValueError for a pickle that could make anything else than tensors by name, take memory, or time.

    PyTorch uses what it makes as names of a dict, and hashes it: of a tuple that is used twice, or of a deep one,
    that would take for ever, or crash.
    """
    tuples, n_tuples, is_tuple = set[Any](), 0, False
    for instruction, value, _ in pickletools.genops(pickled):
        name = instruction.name
        if name not in _INSTRUCTIONS:
            raise ValueError(f"its pickle has the instruction {name}, which no dict of tensors needs")
        if name == "GLOBAL" and value not in _NAMES:
            raise ValueError(f"its pickle asks for {quoted(str(value).replace(' ', '.'))}, which is no tensor")
        if name in ("BINPUT", "LONG_BINPUT"):
            (tuples.add if is_tuple else tuples.discard)(value)
            continue
        is_tuple = name.startswith("TUPLE")
        n_tuples += is_tuple
        if (value in tuples and name in ("BINGET", "LONG_BINGET")) or n_tuples > _MOST_TUPLES:
            raise ValueError("its pickle makes more than plain tensors")
