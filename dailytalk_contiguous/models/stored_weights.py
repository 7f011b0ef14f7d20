"""Weights of models in files of others: safetensors, or what `torch.save` wrote, read without running a pickle."""

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

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

#: What zipfile and PyTorch raise for a file that is damaged, or holds other things than tensors.
_NOT_READ = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, ValueError, TypeError, LookupError),
    *(AttributeError, EOFError, AssertionError, OverflowError),
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
    parts = {name.partition(".")[0] for name in shapes}
    problems = {
        "missing": [key for key in shapes if key not in own],
        "unexpected": [key for key in own if key not in shapes and (strict or key.partition(".")[0] in parts)],
        "of another shape": [key for key in own if key in shapes and own[key].shape != shapes[key]],
        "no floats": [key for key in own if key in shapes and own[key].dtype not in FLOATS],
    }
    for kind, keys in problems.items():
        if keys := sorted(key for key in keys if not key.endswith(_UNUSED)):
            differences = f"{counted(len(keys), 'weight')} {kind}, {quoted(keys[0])} first"
            raise ModelMissing(
                f"the weights of {name!r} are not those of its configuration ({differences})", remedy
            )
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


def _tensors_in(path: Path) -> dict[str, Tensor]:
    """The tensors in a file; their numbers stay on the disk until they are used. Raises ValueError, naming it."""
    try:
        return load_file(path) if path.suffix == ".safetensors" else saved_tensors(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {(str(error) or type(error).__name__).splitlines()[0]}") from error


def saved_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of `torch.save` by name: those of a dict, or a single one with an empty name.

    PyTorch's restricted reader (`weights_only`) runs nothing. Raises ValueError for a file of anything else, a
    damaged one, one of PyTorch before 1.6, and one that unpacks to more bytes than it has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked, size = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        if unpacked > size:
            raise ValueError(f"it unpacks to {unpacked:,} bytes, but has {size:,}")
        contents = torch.load(path, "cpu", weights_only=True, mmap=True)
    except _NOT_READ as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"its tensors can't be read ({reason})") from None
    named = contents if isinstance(contents, dict) else {"": contents}
    return {str(name): weight.detach() for name, weight in named.items() if isinstance(weight, Tensor)}
