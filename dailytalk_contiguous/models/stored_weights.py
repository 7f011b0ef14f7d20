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

#: The remedy for a file that can't be read.
_UNREADABLE = "download it again, or name a version with model.safetensors, on the Hub often OWNER/NAME@refs/pr/1"


def load_weights(paths: Sequence[Path], module: nn.Module, name: str, remedy: str) -> None:
    """Give a module that was made on PyTorch's device `meta` the weights in files, as float32.

    Raises ModelMissing as `read_weights` does.
    """
    weights = read_weights(paths, shapes_of(module), name, remedy)
    module.load_state_dict(weights, assign=True)


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
        name: the name of the model, for errors.
        remedy: the remedy if the weights are those of another model.
        prefixes: possible prefixes of their names; the one with which most of them are there counts.
        strict: whether the files may have no others.

    Raises ModelMissing where a file can't be read, and where a weight is missing, too many, of another shape or no
    float.
    """
    stored: dict[str, Tensor] = {}
    for path in paths:
        try:
            stored |= load_file(path) if path.suffix == ".safetensors" else saved_tensors(path)
        except (SafetensorError, OSError, ValueError) as error:
            message = str(error).partition("\n")[0]
            reason = f"the weights of {name!r} can't be read ({path.name}: {message})"
            raise ModelMissing(reason, _UNREADABLE) from error
    # Checkpoints written before PyTorch 2 name the two halves of a normalised weight otherwise.
    renamed: dict[str, Tensor] = {}
    for key, weight in stored.items():
        key = key.replace("weight_g", "parametrizations.weight.original0")
        key = key.replace("weight_v", "parametrizations.weight.original1")
        renamed[key] = weight
    prefix = max(prefixes, key=lambda prefix: sum(prefix + key in renamed for key in shapes))
    weights: dict[str, Tensor] = {}
    for key, weight in renamed.items():
        if key.startswith(prefix):
            weights[key.removeprefix(prefix)] = weight
    floats = {key: tuple(weight.shape) for key, weight in weights.items() if weight.is_floating_point()}
    keys = {*shapes, *weights} if strict else {*shapes}
    misfits = [key for key in keys if floats.get(key) != shapes.get(key) and not key.endswith(_UNUSED)]
    if misfits:
        first = f"{min(misfits)[:99]!r} first, missing, too many or of another shape"
        raise ModelMissing(f"the weights of {name!r} are not those of its configuration ({first})", remedy)
    complete: dict[str, Tensor] = {}
    for key, shape in shapes.items():
        if key in weights:
            complete[key] = weights[key].float().contiguous()
        else:
            complete[key] = torch.zeros(shape)
    return complete


def saved_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of `torch.save` by name: those of a dict, or a single one with an empty name.

    PyTorch's restricted reader (`weights_only`) runs nothing. Raises ValueError for a file of anything else, a
    damaged one, one of PyTorch before 1.6, and one that unpacks to more bytes than it has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
            if unpacked_bytes > path.stat().st_size:
                raise ValueError("it unpacks to more bytes than it has")
        contents = torch.load(path, "cpu", weights_only=True, mmap=True)
    except Exception as error:  # zipfile and PyTorch raise whatever damaged bytes make them
        message = str(error).partition("\n")[0][:200]
        raise ValueError(f"its tensors can't be read ({message})") from None
    named = contents if isinstance(contents, dict) else {"": contents}
    return {str(name): weight.detach() for name, weight in named.items() if isinstance(weight, Tensor)}
