"""Weights of models in files of others: safetensors, or what `torch.save` wrote, read without running a pickle."""

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

#: Used in pretraining only; checkpoints have it or not.
_UNUSED = "masked_spec_embed"

#: Checkpoints written before PyTorch 2 name the two halves of a normalised weight so.
_OLDER_NAMES = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}

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

    Raises ModelMissing where a file can't be read, and where a weight is missing, too many, of another shape or no
    float.
    """
    stored: dict[str, Tensor] = {}
    for path in paths:
        try:
            stored |= load_file(path) if path.suffix == ".safetensors" else saved_tensors(path)
        except (SafetensorError, OSError, ValueError) as error:
            reason = f"the weights of {name!r} can't be read ({path.name}: {str(error).partition(chr(10))[0]})"
            raise ModelMissing(reason, _UNREADABLE) from error
    own = max((_with_prefix(stored, prefix) for prefix in prefixes), key=lambda o: len(shapes.keys() & o))
    parts = {key.partition(".")[0] for key in shapes}
    checked = [key for key in {**shapes, **own} if key in shapes or strict or key.partition(".")[0] in parts]
    floats = {key: weight.shape for key, weight in own.items() if weight.is_floating_point()}
    wrong = sorted(
        key for key in checked if floats.get(key) != shapes.get(key, "none") and not key.endswith(_UNUSED)
    )
    if wrong:
        reason = f"{counted(len(wrong), 'weight')} missing, too many or of another shape, {quoted(wrong[0])} first"
        raise ModelMissing(f"the weights of {name!r} are not those of its configuration ({reason})", remedy)
    return {
        key: own[key].float().contiguous() if key in own else torch.zeros(shape) for key, shape in shapes.items()
    }


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
    except Exception as error:  # zipfile and PyTorch raise whatever damaged bytes make them
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"its tensors can't be read ({reason})") from None
    named = contents if isinstance(contents, dict) else {"": contents}
    return {str(name): weight.detach() for name, weight in named.items() if isinstance(weight, Tensor)}
