"""Whether the files of a version are those that its manifest names: by SHA-256, here or on the server.

What was downloaded is read and hashed; of what was not, the Hub tells the SHA-256 under which it stores it, so
that a stream can be checked without reading it. The manifest is read at the same commit as the files.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.packing.packed import MANIFEST
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.sources.hub_errors import hub_errors

_BLOCK_BYTES = 1 << 20


class Difference(NamedTuple):
    """A file that is not what the manifest says, and how."""

    name: str
    what: str


def verify(version: Version, config: str, token: str | None, download: bool) -> None:
    """Raise DailytalkError unless the data files of a config are those of the manifest.

    Args:
        version: on the Hub or in a folder.
        config: whose files.
        token: of the Hub; None for that of the environment or the login.
        download: fetch the files into the Hub's cache, as `load_dataset` does, and hash them there; otherwise ask
            the Hub for its SHA-256 of each.
    """
    found = next(differences(version, config, token, download), None)
    if found:
        raise DailytalkError(
            f"{found.name} of {version} is not what {MANIFEST} names: {found.what}",
            "delete it from the cache and load it again" if download else "load another version",
        )


def differences(
    version: Version, config: str | None = None, token: str | None = None, download: bool = False
) -> Iterator[Difference]:
    """Yield what is not as the manifest says, by name; arguments as in `verify`, and all configs for None.

    Raises DailytalkError if there is no manifest, or the Hub can't be read.
    """
    wanted = {name: told for name, told in _manifest_files(version).items() if config in (None, _config(name))}
    there = {
        name
        for own, splits in version.configs().items()
        if config in (None, own)
        for split in splits
        for name in version.files(own, split)
    }
    digest_of = (
        _local_digest(version, token) if download or version.commit is None else _hub_digest(version, token)
    )
    for name in sorted(wanted | dict.fromkeys(there)):
        if name not in wanted:
            yield Difference(name, "it names no such file")
        elif name not in there:
            yield Difference(name, "the file is missing")
        elif (found := digest_of(name)) != wanted[name].get("sha256"):
            yield Difference(name, f"its SHA-256 is {found}, not {wanted[name].get('sha256')}")


def _manifest_files(version: Version) -> Mapping[str, Mapping[str, Any]]:
    told = version.manifest()
    if told is None:
        raise DailytalkError(f"{version} has no {MANIFEST}", "load it without checking, or a version that has one")
    files = told.get("files")
    if not isinstance(files, dict) or not all(isinstance(one, dict) for one in files.values()):
        raise DailytalkError(f"the {MANIFEST} of {version} names no files", "publish this version again")
    return files


def _config(name: str) -> str:
    return name.partition("/")[0]


def _local_digest(version: Version, token: str | None) -> Callable[[str], str]:
    def digest(name: str) -> str:
        if isinstance(version.where, Path):
            path = version.path(name)
        else:
            with hub_errors(version):
                path = Path(
                    HfApi(token=token).hf_hub_download(
                        version.where.repo, name, repo_type="dataset", revision=version.commit
                    )
                )
        with path.open("rb") as file:
            return _sha256(file)

    return digest


def _hub_digest(version: Version, token: str | None) -> Callable[[str], str]:
    assert not isinstance(version.where, Path)
    with hub_errors(version):
        tree = HfApi(token=token).list_repo_tree(
            version.where.repo, recursive=True, revision=version.commit, repo_type="dataset"
        )
        stored = {one.path: one.lfs.sha256 for one in tree if isinstance(one, RepoFile) and one.lfs}

    def digest(name: str) -> str:
        if name in stored:
            return stored[name]
        with version.open(name) as file:  # a file that lies in git itself has no SHA-256 there
            return _sha256(file)

    return digest


def _sha256(file: BinaryIO) -> str:
    made = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        made.update(block)
    return made.hexdigest()
