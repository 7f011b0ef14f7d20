"""The files of models by name: in a folder, in the Hub's cache, or downloaded.

Apart from the networks that are made of them, so that naming a model or looking for its files does not import
PyTorch and transformers.
"""

import importlib.util
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.documents import fits, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing

if TYPE_CHECKING:
    from dailytalk_contiguous.store.hub import Reference

#: Files of a checkpoint: its settings, how sound is prepared for it, and one of two files of weights.
CONFIG, PREPARATION = "config.json", "preprocessor_config.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")

#: What follows the name of a file of weights for the list of files that they are in, where these are several.
_LIST = ".index.json"

#: What a file in a list of weights may be called: nothing that leads to another folder.
_PART = re.compile(r"[\w-][\w.-]*")

#: Bytes that a JSON file of a checkpoint may have, and files that its weights may be in.
_MOST_JSON, _MOST_FILES = 16 << 20, 100

FIND_REMEDY = f"name a folder, or OWNER/NAME of the Hub, with {CONFIG} and {' or '.join(WEIGHT_FILES)}"

#: The package whose wheel brings the weights of a speaker encoder, and how to install it: without webrtcvad, which
#: needs a compiler and is of no use here.
RESEMBLYZER, INSTALL_RESEMBLYZER = "resemblyzer", "pip install --no-deps resemblyzer==0.1.4"

#: NVIDIA's streaming Sortformer v2, in ONNX, and what its file is called, there and in a folder.
SORTFORMER, FILE = "Recogment/sortformer-4spk-v2-onnx", "diar_streaming_sortformer_4spk-v2.onnx"


class StoredModel(NamedTuple):
    """Files of a model of transformers, and what its JSON says.

    Attributes:
        name: as it was asked for. config, preparation: values of `CONFIG` and `PREPARATION`, the latter empty if
            there is none. weights: paths of its files of weights.
    """

    name: str
    config: dict[str, Any]
    preparation: dict[str, Any]
    weights: list[Path]

    @property
    def model_type(self) -> str:
        """`wav2vec2`, `whisper`, …; empty if the configuration has none."""
        kind = self.config.get("model_type")
        return kind if isinstance(kind, str) else ""

    @property
    def normalises(self) -> bool:
        """Whether sound is brought to zero mean and unit variance. Raises ModelMissing for another rate."""
        rate = self.preparation.get("sampling_rate", ANALYSIS_RATE)
        if rate != ANALYSIS_RATE:
            raise ModelMissing(f"{self.name!r} hears {rate} Hz, not {ANALYSIS_RATE}", "name another model")
        return self.preparation.get("do_normalize", True) is True


def find_checkpoint(name: str, fetch: bool = True) -> StoredModel:
    """The model in a folder, or of the Hub: OWNER/NAME, with @TAG for a version.

    Its weights are those in safetensors, else in files of `torch.save`; in one file, else in several. What is
    whole on this machine is taken as it is, and without `fetch` nothing else is. Raises ModelMissing where it is
    not there, or has no weights.
    """
    try:
        return _checkpoint(name, stored_files)
    except ModelMissing:
        if not fetch or Path(name).is_dir():
            raise
    return _checkpoint(name, hub_files)


def _checkpoint(name: str, find: Callable[[str, Iterable[str]], dict[str, Path]]) -> StoredModel:
    paths = find(name, (CONFIG, PREPARATION))
    if CONFIG not in paths:
        raise ModelMissing(f"{name!r} is no model of transformers: it has no {CONFIG}", FIND_REMEDY)
    config = _read_object(name, paths[CONFIG])
    preparation = _read_object(name, paths[PREPARATION]) if PREPARATION in paths else {}
    for file in WEIGHT_FILES:
        if paths := find(name, (file,)):
            return StoredModel(name, config, preparation, [paths[file]])
        if listed := find(name, (file + _LIST,)):
            files = _listed(name, listed[file + _LIST], Path(file).suffix)
            paths = find(name, files)
            if lacking := sorted(set(files) - paths.keys()):
                raise ModelMissing(f"{name!r} lacks {lacking[0]}", "download it again")
            return StoredModel(name, config, preparation, [paths[part] for part in files])
    raise ModelMissing(f"{name!r} has no {' and no '.join(WEIGHT_FILES)}", f"download it again, or {FIND_REMEDY}")


def find_files(name: str, files: Collection[str], fetch: bool = True) -> dict[str, Path]:
    """Those of the files of a model that it has, by name: as they are on this machine, or else of the Hub.

    Raises ModelMissing as `hub_files` does.
    """
    paths = stored_files(name, files)
    return paths if len(paths) == len(files) or not fetch or Path(name).is_dir() else hub_files(name, files)


def stored_files(name: str, files: Iterable[str]) -> dict[str, Path]:
    """Those of the files of a model that are on this machine, in its folder or in the Hub's cache, by name."""
    if Path(name).is_dir():
        return {file: Path(name) / file for file in files if (Path(name) / file).is_file()}
    repo, _, revision = name.partition("@")
    try:
        cached = {file: try_to_load_from_cache(repo, file, revision=revision or None) for file in files}
    except HFValidationError:
        return {}
    # The cache also answers with a marker for "known not to exist", which is no path.
    return {file: Path(path) for file, path in cached.items() if isinstance(path, str)}


def hub_files(name: str, files: Iterable[str]) -> dict[str, Path]:
    """Those of the files that a repository of the Hub has, downloaded where they are not in the cache, by name.

    Raises ModelMissing for a name that is none or has no repository, and where the Hub can't be reached, unless
    `CONFIG` is in the cache: the file may then be one that the repository does not have.
    """
    paths = {}
    with _asking_hub(name) as (repo, revision):
        for file in files:
            try:
                paths[file] = Path(hf_hub_download(repo, file, revision=revision))
            except LocalEntryNotFoundError:
                if not stored_files(name, (CONFIG,)):
                    raise
            except EntryNotFoundError:
                pass
    return paths


def find_speaker_encoder() -> Path:
    """The weights of the speaker encoder of `RESEMBLYZER`, which is not imported. Raises ModelMissing."""
    package = importlib.util.find_spec(RESEMBLYZER)
    weights = Path(package.origin).parent / "pretrained.pt" if package and package.origin else None
    if weights is None or not weights.is_file():
        raise ModelMissing("the speaker encoder of resemblyzer is not installed", INSTALL_RESEMBLYZER)
    return weights


def find_folder(name: str, patterns: Sequence[str], others: Sequence[str]) -> str:
    """The folder of a model: itself, or a version on the Hub with the files of some patterns and not of others.

    Raises ModelMissing as `hub_files` does.
    """
    if Path(name).is_dir():
        return name
    with _asking_hub(name) as (repo, revision):
        folder: str = snapshot_download(
            repo, revision=revision, allow_patterns=[*patterns], ignore_patterns=[*others]
        )
    return folder


@contextmanager
def _asking_hub(name: str) -> Iterator["Reference"]:
    """The model on the Hub that a name means. Errors of the block, and of a name that is none, as ModelMissing."""
    from dailytalk_contiguous.store.hub import hub_errors, model_reference  # loads datasets, half a second

    try:
        with hub_errors(name, "model"):
            yield model_reference(name)
    except DailytalkError as error:
        raise ModelMissing(error.reason, error.remedy) from None
    except BrokenPipeError:  # of the reader of our output
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "set HF_HOME to a folder that can be written to"
        raise ModelMissing(f"{name!r} can't be downloaded ({reason})", remedy) from error


def _read_object(name: str, path: Path) -> dict[str, Any]:
    try:
        value = read_json(path, limit=_MOST_JSON)
    except BadInput as error:
        raise ModelMissing(f"{name!r} can't be loaded ({error.reason})", FIND_REMEDY) from None
    if not isinstance(value, dict):
        raise ModelMissing(f"{name!r} can't be loaded ({path.name} holds no object)", FIND_REMEDY)
    return value


def _listed(name: str, path: Path, suffix: str) -> list[str]:
    """The files with a suffix that a list of weights names, all beside it."""
    shards = _read_object(name, path).get("weight_map")
    named = [*shards.values()] if isinstance(shards, dict) else []
    files = sorted(set(named)) if fits(named, [str]) else []
    fitting = all(_PART.fullmatch(file) and file.endswith(suffix) for file in files)
    if not 0 < len(files) <= _MOST_FILES or not fitting:
        raise ModelMissing(
            f"{name!r} can't be loaded ({path.name} lists no {suffix} files beside it)", FIND_REMEDY
        )
    return files
