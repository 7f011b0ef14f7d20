"""Weights of models in files of others: safetensors, or what `torch.save` wrote, read in one way.

A file of `torch.save` is a zip of numbers, with a pickle that says which of them are which weight. A pickle can
run anything; PyTorch's own restricted reader (`weights_only`) runs nothing, but makes an array of any size that a
few bytes ask for. So the pickle is not run at all: it is read as a list of instructions, of which those are known
that make a dict of tensors, and they give names, shapes and places. As with safetensors, all of these are known
before memory is taken, and a file takes little more of it than it has bytes.
"""

import math
import os
import pickletools
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.wording import counted

Result = TypeVar("Result")

#: What weights may be stored in, as safetensors names it.
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

#: What `torch.save` calls them.
_STORAGES = {"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16"}

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

#: Bytes of a zip that are read at a time, at most `_MOST_LIST`.
_AT_ONCE = 1 << 20

#: Dimensions of a tensor, and the bound of their numbers, which torch keeps in 64 bits with a sign.
_MOST_DIMENSIONS, _BOUND = 64, 1 << 63

#: How files of PyTorch before 1.6 begin: with a pickled number.
_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

#: What Python's zipfile raises for what is damaged, encrypted, or made to mislead it.
_NO_ZIP = (
    *(zipfile.BadZipFile, EOFError, OSError, OverflowError, RuntimeError, ValueError, IndexError),
    struct.error,
)

_UNREADABLE = "download it again, or name a version with model.safetensors, on the Hub often OWNER/NAME@refs/pr/1"


class StoredWeight(NamedTuple):
    """A weight in a file, not read yet.

    Attributes:
        shape: its size in each dimension. kind: one of `FLOATS`, or what else it is stored in.
        read: gives it, of that type and shape, while its file is open; once. Raises ValueError where the file is
            damaged, or is not of `FLOATS`.
    """

    shape: tuple[int, ...]
    kind: str
    read: Callable[[], Tensor]


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
        with ExitStack() as files:
            stored: dict[str, StoredWeight] = {}
            for path in paths:
                own = _naming(path, _weights_in, path, files)
                if twice := sorted(own.keys() & stored.keys()):
                    raise ValueError(f"{path.name}: it holds {quoted(twice[0])}, as another file does")
                for key, weight in own.items():
                    stored[key] = weight._replace(read=partial(_naming, path, weight.read))
            own = max((_with_prefix(stored, prefix) for prefix in prefixes), key=lambda o: len(shapes.keys() & o))
            if differences := _differences(own, shapes, strict):
                raise ModelMissing(
                    f"the weights of {name!r} are not those of its configuration ({differences})", remedy
                )
            weights = {key: torch.zeros(shapes[key]) for key in shapes.keys() - own.keys()}
            weights |= {key: weight.read().float() for key, weight in own.items() if key in shapes}
    except ValueError as error:
        raise ModelMissing(f"the weights of {name!r} can't be read ({error})", _UNREADABLE) from error
    wrong = [key for key, weight in sorted(weights.items()) if not weight.isfinite().all()]
    if wrong:
        raise ModelMissing(f"the weights of {name!r} are damaged: {wrong[0]} is no number", remedy)
    return weights


def _with_prefix(stored: Mapping[str, StoredWeight], prefix: str) -> dict[str, StoredWeight]:
    """Weights whose names begin with the prefix, by the rest of these, as modules of today have it."""
    own: dict[str, StoredWeight] = {}
    for name, weight in stored.items():
        if name.startswith(prefix):
            current = name.removeprefix(prefix)
            for older, newer in _OLDER_NAMES.items():
                newest = current.removesuffix(older) + newer
                if current.endswith(older) and prefix + newest not in stored:
                    current = newest
            own[current] = weight
    return own


def _differences(own: Mapping[str, StoredWeight], shapes: Mapping[str, tuple[int, ...]], strict: bool) -> str:
    """How weights differ from those of a module, in words; empty if they don't."""
    parts = {name.partition(".")[0] for name in shapes}
    others = (name for name in own.keys() - shapes.keys() if strict or name.partition(".")[0] in parts)
    both = sorted(shapes.keys() & own.keys())
    problems = {
        "missing": sorted(name for name in shapes.keys() - own.keys() if not name.endswith(_UNUSED)),
        "unexpected": sorted(name for name in others if not name.endswith(_UNUSED)),
        "of another shape": [name for name in both if own[name].shape != shapes[name]],
        "no floats": [name for name in both if own[name].kind not in FLOATS],
    }
    words = (
        f"{counted(len(names), 'weight')} {kind}, {quoted(names[0])} first"
        for kind, names in problems.items()
        if names
    )
    return "; ".join(words)


def _weights_in(path: Path, files: ExitStack) -> dict[str, StoredWeight]:
    """The weights in a file, which can be read until `files` are closed."""
    if path.suffix != ".safetensors":
        return saved_tensors(files.enter_context(path.open("rb")))
    file = files.enter_context(safe_open(path, "pt"))
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    return {
        name: StoredWeight(tuple(part.get_shape()), part.get_dtype(), partial(file.get_tensor, name))
        for name, part in slices.items()
    }


def _naming(path: Path, call: Callable[..., Result], *arguments: Any) -> Result:
    """What `call` returns. Raises ValueError, naming the file, for what can't be read."""
    try:
        return call(*arguments)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {(str(error) or type(error).__name__).splitlines()[0]}") from error


@dataclass(frozen=True)
class _Storage:
    """Numbers of one kind in a member of the zip."""

    key: str
    kind: str
    count: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.count * FLOATS[self.kind].itemsize


@dataclass(frozen=True)
class _View:
    """A tensor: which numbers of a storage it has, all counted in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_inside(self) -> bool:
        """Whether its storage has all of them."""
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return 0 in self.shape or self.offset + last < self.storage.count


class _Known(Enum):
    """What a pickle of tensors may ask for."""

    DICT = "collections OrderedDict"
    TENSOR = "torch._utils _rebuild_tensor_v2"
    PARAMETER = "torch._utils _rebuild_parameter"


def saved_tensors(file: BinaryIO) -> dict[str, StoredWeight]:
    """The tensors in a file of `torch.save` by name: those of a flat dict, or a single one with an empty name.

    They can be read while the file is open. Raises ValueError for a file of anything else, a damaged one, one of
    PyTorch before 1.6, and one that would unpack to more than it has bytes; nothing in it is run.
    """
    return _SavedFile(file).tensors()


class _Frugal:
    """A file that zipfile can read, but not at once a list of members that fills memory."""

    seekable = staticmethod(lambda: True)

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _MOST_LIST:
            raise zipfile.BadZipFile("its list of members is too long")
        return self._file.read(_MOST_LIST if size is None or size < 0 else size)


class _SavedFile:
    """A zip as `torch.save` writes it, opened."""

    def __init__(self, file: BinaryIO) -> None:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if file.read(len(_BEFORE_1_6)) == _BEFORE_1_6:
            raise ValueError("it is in the format of PyTorch before 1.6")
        try:
            self._zip = zipfile.ZipFile(_Frugal(file))
        except _NO_ZIP as error:
            raise ValueError(f"it is no file of torch.save, or it is cut off ({error})") from None
        unpacked = sum(member.file_size for member in self._zip.infolist())
        if unpacked > size:
            raise ValueError(f"it unpacks to {unpacked:,} bytes, but has {size:,}")
        self._members = {member.filename: member for member in self._zip.infolist()}
        pickles = [name for name in self._members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(self._members) < len(self._zip.infolist()):
            raise ValueError("it is a zip, but not of torch.save")
        self._folder = pickles[0].removesuffix("data.pkl")
        self._taken: Counter[str] = Counter()
        self._held: tuple[str, bytearray] = ("", bytearray())

    def tensors(self) -> dict[str, StoredWeight]:
        """Those in the file, grouped by where their numbers are."""
        order = f"{self._folder}byteorder"
        if order in self._members and self._bytes(order, 16) != b"little":
            raise ValueError("its numbers have their bytes in another order")
        contents = _contents(bytes(self._bytes(f"{self._folder}data.pkl", _MOST_PICKLE)))
        views = {
            name: self._checked(name, value)
            for name, value in (contents.items() if isinstance(contents, dict) else (("", contents),))
        }
        return {
            name: StoredWeight(view.shape, view.storage.kind, partial(self._read, view))
            for name, view in sorted(views.items(), key=lambda item: item[1].storage.key)
        }

    def _checked(self, name: str, value: Any) -> _View:
        """A tensor whose numbers are there; those of no floats are never read. Raises ValueError for others."""
        if isinstance(value, str | int | float):
            return _View(_Storage("", type(value).__name__, 0), 0, (), ())
        if not isinstance(value, _View):
            raise ValueError(f"{quoted(name)} in it is no tensor")
        if value.storage.kind in FLOATS:
            member = self._members.get(self._place(value.storage))
            if member is None or member.file_size != value.storage.size or not value.is_inside:
                raise ValueError(f"the numbers of {quoted(name)} are not all in it")
        return value

    def _place(self, storage: _Storage) -> str:
        return f"{self._folder}data/{storage.key}"

    def _read(self, view: _View) -> Tensor:
        storage, dtype = view.storage, FLOATS.get(view.storage.kind)
        if dtype is None:
            raise ValueError(f"it holds {quoted(storage.kind)}, no floats")
        n_bytes = math.prod(view.shape) * dtype.itemsize
        self._taken[storage.key] += n_bytes
        if self._taken[storage.key] > storage.size:  # else a few bytes could fill memory by being many weights
            raise ValueError("weights in it share their numbers")
        if not n_bytes:
            return torch.empty(view.shape, dtype=dtype)
        if self._held[0] != storage.key:
            self._held = (storage.key, self._bytes(self._place(storage), storage.size))
        numbers = torch.frombuffer(self._held[1], dtype=dtype)
        weight = numbers.as_strided(view.shape, view.strides, view.offset).contiguous()
        return weight if n_bytes == storage.size else weight.clone()

    def _bytes(self, name: str, limit: int) -> bytearray:
        """A member of the zip. Raises ValueError for one of more bytes, and one that is compressed or damaged."""
        member = self._members[name]
        if member.file_size > limit or member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{quoted(name)} in it has {member.file_size:,} bytes, or is compressed")
        data = bytearray(member.file_size)
        try:
            with self._zip.open(member) as file, memoryview(data) as view:
                for start in range(0, len(data), _AT_ONCE):
                    part = view[start : start + _AT_ONCE]
                    part[:] = file.read(len(part))
        except _NO_ZIP:
            raise ValueError(f"{quoted(name)} in it is damaged") from None
        return data


def _instructions(pickled: bytes) -> Iterator[tuple[str, Any]]:
    """The instructions of a pickle by name, each with its value."""
    try:
        for instruction, value, _ in pickletools.genops(pickled):
            yield instruction.name, value
    except ValueError:
        raise ValueError("its pickle is damaged") from None


def _contents(pickled: bytes) -> Any:
    """What a pickle of tensors would make: a `_View`, or a dict of them by name.

    Raises ValueError for instructions that make anything else. What they make on the way is never called, and is
    looked at by its type alone: a tuple of a few bytes can take for ever to print or to hash.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        first = marks.pop()
        items = stack[first:]
        del stack[first:]
        return items

    def put(items: list[Any]) -> None:
        named = all(isinstance(key, str) for key in items[::2])
        if not isinstance(stack[-1], dict) or len(items) % 2 or not named:
            raise ValueError("its pickle holds more than tensors by name")
        stack[-1].update(zip(items[::2], items[1::2], strict=True))

    try:
        for instruction, value in _instructions(pickled):
            match instruction:
                case "PROTO":
                    pass
                case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                    stack.append(value)
                case "NONE" | "NEWTRUE" | "NEWFALSE":
                    stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction])
                case "EMPTY_DICT" | "EMPTY_TUPLE":
                    stack.append({} if instruction == "EMPTY_DICT" else ())
                case "BINPUT" | "LONG_BINPUT":
                    memo[value] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[value])
                case "MARK":
                    marks.append(len(stack))
                case "TUPLE":
                    stack.append(tuple(since_mark()))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    size = int(instruction[-1])
                    stack[-size:] = [tuple(stack[-size:])]
                case "GLOBAL":
                    stack.append(_known(str(value)))
                case "REDUCE":
                    arguments = stack.pop()
                    stack.append(_made(stack.pop(), arguments))
                case "BINPERSID":
                    stack.append(_storage(stack.pop()))
                case "SETITEM":
                    item = stack[-2:]
                    del stack[-2:]
                    put(item)
                case "SETITEMS":
                    put(since_mark())
                case "BUILD":  # what a state_dict says of the versions of its modules
                    stack.pop()
                    put([])
                case "STOP":
                    return stack.pop()
                case other:
                    raise ValueError(f"its pickle has the instruction {other}, which no dict of tensors needs")
    except (IndexError, KeyError):
        raise ValueError("its pickle is damaged") from None


def _known(name: str) -> _Known | str:
    """What a pickle asks for by its name; the kind of a storage is a text."""
    module, _, own = name.partition(" ")
    if module == "torch" and own.endswith("Storage"):
        return _STORAGES.get(own, own)
    try:
        return _Known(name)
    except ValueError:
        raise ValueError(f"its pickle asks for {quoted(name.replace(' ', '.'))}, which is no tensor") from None


def _made(what: Any, arguments: Any) -> Any:
    match what, arguments:
        case _Known.DICT, ():
            return {}
        case _Known.PARAMETER, (_View() as view, *_):
            return view
        case _Known.TENSOR, (_Storage() as storage, offset, tuple(shape), tuple(strides), _, _, *marks):
            numbers = (offset, *shape, *strides)
            plain = all(type(number) is int and 0 <= number < _BOUND for number in numbers)
            plain = plain and len(shape) == len(strides) <= _MOST_DIMENSIONS
            if plain and not any(marks):  # a mark would say that the numbers are to be negated
                return _View(storage, offset, shape, strides)
    raise ValueError("its pickle makes something else than plain tensors")


def _storage(place: Any) -> _Storage:
    match place:
        case ("storage", str(kind), str(key), _, int(count)) if count >= 0:
            return _Storage(key, kind, count)
    raise ValueError("its pickle has no plain numbers")
