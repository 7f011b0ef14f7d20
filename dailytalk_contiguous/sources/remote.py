"""Folders in object storage: their errors, and the copies of their files on this machine."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.sources.hub.audio_files import audio_files, companions, made_folders
from dailytalk_contiguous.sources.hub.repository import modified_of
from dailytalk_contiguous.store.addresses import address_of, copies_folder, note_copies
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.owned_folder import RECORD
from dailytalk_contiguous.store.work_folder import RUN_LOCK

#: The extra of this package that reads addresses of a scheme.
EXTRAS = {"s3": "s3", "gs": "gcs"}

#: Packages whose exceptions are a store's.
CLIENTS = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "huggingface_hub", "httpx")


@contextlib.contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Raise a store's errors in one sentence, without its own words, which hold keys and request ids.

    Raises DailytalkError. Errors of this machine's disk pass through.
    """
    try:
        yield
    except Exception as error:
        problem = _problem_of(error, address)
        if problem is None:
            raise
        raise problem from None


def _problem_of(error: Exception, address: str) -> DailytalkError | None:
    """Return the sentence for an error of a store; None for an error of this machine."""
    name = type(error).__name__
    is_of_file = isinstance(error, OSError) and error.filename is not None
    status = getattr(getattr(error, "response", None), "status_code", None)  # of the Hub's client
    if isinstance(error, ImportError):
        extra = EXTRAS[address.partition(":")[0]]
        return DailytalkError(
            f"{address} needs a package that is not installed",
            f"pip install '.[{extra}]' in a checkout of dailytalk_contiguous",
        )
    if isinstance(error, FileNotFoundError) and not is_of_file:
        return DailytalkError(f"there is no bucket or no object at {address}", "check the address")
    is_denied = isinstance(error, PermissionError) and not is_of_file
    if is_denied or "Credentials" in name or "Auth" in name or status in (401, 403):
        return DailytalkError(
            f"the store refuses access to {address}",
            "set credentials that may read and write there "
            "(for s3://: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; for hf://: HF_TOKEN)",
        )
    is_cut_off = isinstance(error, OSError) and not is_of_file and error.errno in (None, 5)
    if is_cut_off or type(error).__module__.partition(".")[0] in CLIENTS:
        return DailytalkError(
            f"the store of {address} failed or can't be reached ({name})",
            "check the network and run the same command again: what is finished is kept",
        )
    return None


# Folders in object storage (`s3://`, `gs://`, `hf://`) and the copies of their files on this machine.
#
# Decoders, Arrow and people's tools read files; fsspec brings them to the disk and back. An object appears whole
# or not at all, so a copy needs no temporary name there. Nothing is noted of a copy: its time of modification
# stands for its object, in whole seconds, which no file has that this machine wrote. The store's own library finds
# credentials; none is ever shown.


#: Files that travel at a time.
_AT_A_TIME = 8

_SECOND_NS = 1_000_000_000


class Remote(NamedTuple):
    """An object: bytes, and a text that changes with its content."""

    size: int
    token: str


@dataclass(frozen=True)
class Mirror:
    """A folder of a store, and where copies of its files are. Makes no connection until it is used."""

    address: str
    folder: Path

    def listing(self) -> dict[str, Remote]:
        """Return all objects by their path under the address. Hidden ones are skipped, except our marks."""
        with store_errors(self.address):
            files, root = self._open()
            files.invalidate_cache()
            objects = files.find(root, detail=True)
            if not objects and self.address.startswith(("s3:", "gs:")):
                files.info(root.partition("/")[0])  # an empty folder is a new one; a missing bucket is a mistake
        names = {name.removeprefix(root).strip("/"): info for name, info in objects.items()}
        return {name: _remote(info) for name, info in sorted(names.items()) if is_plain(name)}

    def pull(self, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Remote]:
        """Fetch the wanted objects that are not here, and drop copies of those that are gone. Returns all."""
        objects = self.listing()
        missing = [name for name, remote in objects.items() if wanted(name) and not self.has_copy(name, remote)]
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(lambda name: self._get(name, objects[name]), missing))
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            is_copy = is_plain(name) and path.is_file() and not self.was_changed_here(name)
            if is_copy and name not in objects and wanted(name):
                path.unlink(missing_ok=True)  # another process may share the copies
        return objects

    def ensure(self, path: Path) -> None:
        """Bring one file if it belongs to this mirror and is not here."""
        name = self.name_of(path)
        if name is not None and not path.exists():
            self._get(name, self._look(name))

    def push(self, path: Path) -> None:
        """Write one file to the store."""
        name = str(self.name_of(path))
        with store_errors(self.address):
            files, root = self._open()
            files.put_file(str(path), f"{root}/{name}")
        _stamp(path, self._look(name))

    def drop(self, names: Sequence[str]) -> None:
        with store_errors(self.address):
            files, root = self._open()
            for name in names:
                files.rm_file(f"{root}/{name}")

    def name_of(self, path: Path) -> str | None:
        """Return the name of a local file under the address; None for one outside of the mirror."""
        absolute = path.absolute()
        if not absolute.is_relative_to(self.folder):
            return None
        return absolute.relative_to(self.folder).as_posix()

    def has_copy(self, name: str, remote: Remote) -> bool:
        """Whether the file here is a copy of an object."""
        try:
            status = (self.folder / name).stat()
        except FileNotFoundError:
            return False
        return (status.st_size, status.st_mtime_ns) == (remote.size, _time_of(remote))

    def was_changed_here(self, name: str) -> bool:
        """Whether a file is here as this machine wrote it."""
        path = self.folder / name
        return path.is_file() and path.stat().st_mtime_ns % _SECOND_NS != 0

    def _look(self, name: str) -> Remote:
        """Return an object as it is now. Without a refresh, a client would answer from an earlier listing."""
        with store_errors(self.address):
            files, root = self._open()
            files.invalidate_cache()
            return _remote(files.info(f"{root}/{name}"))

    def _open(self) -> tuple[fsspec.AbstractFileSystem, str]:
        options = {"auto_mkdir": True} if self.address.startswith("file:") else {}
        files, root = fsspec.core.url_to_fs(self.address, **options)
        return files, str(root).rstrip("/")

    def _get(self, name: str, remote: Remote) -> None:
        local = self.folder / name
        with store_errors(self.address):
            files, root = self._open()
            with replacing(local) as file:
                files.get_file(f"{root}/{name}", file.name)
        if local.stat().st_size != remote.size:
            local.unlink()
            raise DailytalkError(f"{self.address}/{name} changed while it was read", "run the same command again")
        _stamp(local, remote)


def _time_of(remote: Remote) -> int:
    digest = hashlib.sha256(remote.token.encode()).hexdigest()
    return modified_of(digest) * _SECOND_NS


def _stamp(path: Path, remote: Remote) -> None:
    time = _time_of(remote)
    os.utime(path, ns=(time, time))


def mirror_of(address: str, kind: str) -> Mirror:
    """Return the mirror of an address; `kind`: "work" folders, or "recordings"."""
    folder = copies_folder(address, kind)
    note_copies(folder, address)
    return Mirror(address, folder)


def input_mirror(address: str) -> tuple[Mirror, str]:
    """Return the mirror of recordings in a store, and the name of the one that is meant; empty for all.

    Asks no store.
    """
    is_file = PurePosixPath(address).suffix.lower() in AUDIO_SUFFIXES
    if not is_file:
        return mirror_of(address, "recordings"), ""
    folder, _, last = address.rpartition("/")
    return mirror_of(folder, "recordings"), last


def fetch_inputs(inputs: Iterable[str]) -> tuple[list[str], tuple[Mirror, ...]]:
    """Inputs as files and folders of this machine, and the mirrors of those in a store.

    Recordings in a store are fetched once, with the transcripts beside them.

    Raises DailytalkError if there are no recordings, and as `store_errors` does.
    """
    local: list[str] = []
    mirrors: list[Mirror] = []
    for text in inputs:
        address = address_of(text)
        if address is None:
            local.append(text)
            continue
        mirror, last = input_mirror(address)
        names = mirror.listing()
        recordings = [name for name in audio_files(names) if not last or name == last]
        marks = [name for name in names if PurePosixPath(name).name == RECORD]  # by which the search names them
        if not recordings:
            made = ", ".join(f"{address}/{folder}" for folder in made_folders(names)[:3])
            remedy = f"name what dailytalk made there to take it: {made}" if made else "check the address"
            raise DailytalkError(f"there are no recordings at {address}", remedy)
        needed = {*recordings, *marks}
        for files in companions(recordings, names).values():
            needed.update(files)
        mirror.pull(needed.__contains__)
        local.append(str(mirror.folder / last))
        mirrors.append(mirror)
    return local, tuple(mirrors)


def _remote(info: Mapping[str, Any]) -> Remote:
    token = _first_value(info, ("ETag", "md5Hash", "etag", "xet_hash", "blob_id"))
    if token is None:
        written = _first_value(info, ("LastModified", "updated", "mtime", "created"))
        token = f"{info['size']} {written}"
    return Remote(int(info["size"]), str(token).strip('"'))


def _first_value(info: Mapping[str, Any], names: Sequence[str]) -> object:
    """Return the first value under these names that is not empty, or None."""
    for name in names:
        if info.get(name):
            return info[name]
    return None


def is_plain(name: str) -> bool:
    """Whether an object is not hidden, or is the mark of a folder that we made, or the lock of a run in it."""
    if not name:
        return False
    *folders, last = name.split("/")
    in_hidden_folder = any(folder.startswith(".") for folder in folders)
    return not in_hidden_folder and (last == RECORD or last.startswith(RUN_LOCK) or not last.startswith("."))
