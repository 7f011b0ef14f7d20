"""Weights of models in files of others: safetensors, or what `torch.save` wrote, read without running a pickle."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dailytalk_contiguous.core.errors import ModelMissing

#: Used in pretraining only; checkpoints have it or not.
_UNUSED = "masked_spec_embed"

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
        strict: whether the files may have no others.

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
    # Checkpoints written before PyTorch 2 name the two halves of a normalised weight otherwise.
    for older, newer in (("weight_g", "original0"), ("weight_v", "original1")):
        stored = {key.replace(older, f"parametrizations.weight.{newer}"): part for key, part in stored.items()}
    prefix = max(prefixes, key=lambda prefix: sum(prefix + key in stored for key in shapes))
    own = {key.removeprefix(prefix): part for key, part in stored.items() if key.startswith(prefix)}
    floats = {key: tuple(part.shape) for key, part in own.items() if part.is_floating_point()}
    keys = {*shapes, *own} if strict else {*shapes}
    wrong = sorted(key for key in keys if floats.get(key) != shapes.get(key) and not key.endswith(_UNUSED))
    if wrong:
        first = f"{wrong[0][:99]!r} first, missing, too many or of another shape"
        raise ModelMissing(f"the weights of {name!r} are not those of its configuration ({first})", remedy)
    return {
        key: own[key].float().contiguous() if key in own else torch.zeros(shape) for key, shape in shapes.items()
    }


def saved_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of `torch.save` by name: those of a dict, or a single one with an empty name.

    PyTorch's restricted reader (`weights_only`) runs nothing. Raises ValueError for a file of anything else, a
    damaged one, one of PyTorch before 1.6, and one that unpacks to more bytes than it has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                raise ValueError("it unpacks to more bytes than it has")
        contents = torch.load(path, "cpu", weights_only=True, mmap=True)
    except Exception as error:  # zipfile and PyTorch raise whatever damaged bytes make them
        raise ValueError(f"its tensors can't be read ({str(error).partition(chr(10))[0][:200]})") from None
    named = contents if isinstance(contents, dict) else {"": contents}
    return {str(name): weight.detach() for name, weight in named.items() if isinstance(weight, Tensor)}
