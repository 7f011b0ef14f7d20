"""Folders in object storage (`s3://`, `gs://`) and their mirrors on this machine.

Everything here reads and writes local files; a mirror brings a folder of a store to the disk and back. An object
appears whole or not at all, so a mirror needs no temporary names there; of which object a local file is the copy
is noted beside it, so that nothing travels twice. The store's own library finds credentials; none is ever shown.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.engine.files import write_atomically
from dailytalk_contiguous.sources.hub_files import audio_files, companions
from dailytalk_contiguous.sources.hub_repository import modified_of
from dailytalk_contiguous.sources.listing import AUDIO_SUFFIXES

#: What an address begins with, and the extra of this package that reads it. The last two are for tests.
SCHEMES = {"s3": "s3", "gs": "gcs", "memory": "", "file": ""}

#: Also where pathlib made one slash of two.
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*)", re.DOTALL)

#: Beside the files of a mirror: one line for each that is known to equal an object.
NOTES = ".store.jsonl"

#: Files that travel at a time.
_AT_A_TIME = 8


class Remote(NamedTuple):
    """An object: bytes, a text that changes with its content, and when it was written (seconds since 1970)."""

    size: int
    token: str
    modified: float | None


@dataclass(frozen=True)
class Mirror:
    """A folder of a store, and where its copy lies. Pickles, and makes no connection until it is used.

    `stamped`: times of modification stand for contents (recordings are known by them); else they are the store's.
    """

    address: str
    folder: Path
    stamped: bool = False

    def listing(self) -> dict[str, Remote]:
        """All objects by their path under the address. Hidden ones are nobody's business."""
        with store_errors(self.address):
            files, root = self._open()
            files.invalidate_cache()
            found = files.find(root, detail=True)
            if not found and self.address.startswith(("s3:", "gs:")):
                files.info(root.partition("/")[0])  # an empty folder is a new one; a missing bucket is a mistake
        names = {name.removeprefix(root).strip("/"): told for name, told in found.items()}
        return {name: _remote(told) for name, told in sorted(names.items()) if _is_plain(name)}

    def pull(self, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Remote]:
        """Bring the wanted objects that are not here, and drop copies of those that are gone. Returns all."""
        there, notes = self.listing(), self._notes()
        missing = [name for name in there if wanted(name) and not self._is_copy(name, notes, there[name].token)]
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(lambda name: self._get(name, there[name]), missing))
        for name in notes.keys() - there.keys():
            if wanted(name) and self._is_copy(name, notes):
                (self.folder / name).unlink(missing_ok=True)
        return there

    def ensure(self, path: Path) -> None:
        """Bring one file if it belongs to this mirror and is not here."""
        name = self.name_of(path)
        if name is None or path.exists():
            return
        with store_errors(self.address):
            files, root = self._open()
            told = files.info(f"{root}/{name}")
        self._get(name, _remote(told))

    def push(self, path: Path, there: Remote | None = None) -> None:
        """Write one file to the store, unless it is known to be there as it is. `there`: its object, if listed."""
        name = str(self.name_of(path))
        if self._is_copy(name, self._notes(), there.token if there else None):
            return
        if there and there.size == path.stat().st_size and there.token in _md5(path):
            self._note(name, there)  # made here once more, to the same bytes
            return
        with store_errors(self.address):
            files, root = self._open()
            files.put_file(str(path), f"{root}/{name}")
            files.invalidate_cache()
            told = files.info(f"{root}/{name}")
        self._note(name, _remote(told))

    def drop(self, names: Sequence[str]) -> None:
        """Remove objects."""
        with store_errors(self.address):
            files, root = self._open()
            for name in names:
                files.rm_file(f"{root}/{name}")

    def name_of(self, path: Path) -> str | None:
        """What a local file is called under the address; None for one outside of the mirror."""
        absolute = path.absolute()
        return absolute.relative_to(self.folder).as_posix() if absolute.is_relative_to(self.folder) else None

    def changed_there(self, name: str, there: dict[str, Remote]) -> bool:
        """Whether an object is another one than this mirror last read or wrote."""
        note = self._notes().get(name)
        return name in there and (note is None or note["token"] != there[name].token)

    def _open(self) -> tuple[Any, str]:
        options = {"auto_mkdir": True} if self.address.startswith("file:") else {}
        files, root = fsspec.core.url_to_fs(self.address, **options)
        return files, str(root).rstrip("/")

    def _get(self, name: str, remote: Remote) -> None:
        local = self.folder / name
        with store_errors(self.address):
            files, root = self._open()
            write_atomically(local, lambda file: files.get_file(f"{root}/{name}", file.name))
        if local.stat().st_size != remote.size:
            local.unlink()
            raise DailytalkError(f"{self.address}/{name} changed while it was read", "run the same command again")
        stands_for = hashlib.sha256(remote.token.encode()).hexdigest()
        modified = float(modified_of(stands_for)) if self.stamped else remote.modified
        if modified is not None:
            os.utime(local, (modified, modified))
        self._note(name, remote)

    def _note(self, name: str, remote: Remote) -> None:
        status = (self.folder / name).stat()
        told = {"name": name, "token": remote.token, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        # One short write to the end of a file: processes that share a mirror don't get into each other's lines.
        with (self.folder / NOTES).open("ab", buffering=0) as file:
            file.write(json.dumps(told).encode() + b"\n")

    def _notes(self) -> dict[str, dict[str, Any]]:
        try:
            lines = (self.folder / NOTES).read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return {}
        notes: dict[str, dict[str, Any]] = {}
        for line in lines:
            with contextlib.suppress(
                ValueError
            ):  # half a line, of a process that was killed: its file travels again
                told = json.loads(line)
                notes[told["name"]] = told
        return notes

    def _is_copy(self, name: str, notes: dict[str, dict[str, Any]], token: str | None = None) -> bool:
        note, path = notes.get(name), self.folder / name
        if note is None or (token is not None and note["token"] != token) or not path.is_file():
            return False
        status = path.stat()
        return bool(note["size"] == status.st_size and note["mtime_ns"] == status.st_mtime_ns)


def address_of(path: str | Path) -> str | None:
    """The address in a store that a text or a path means; None for a place on this machine."""
    told = _ADDRESS.fullmatch(str(path))
    if not told:
        return None
    return f"{told[1]}://{'/' if told[1] == 'file' else ''}{told[2].rstrip('/')}"


def mirror_of(address: str, base: Path, stamped: bool = False) -> Mirror:
    """The mirror of an address, in a folder of its own inside `base`."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", PurePosixPath(address).name)[:40]
    folder = base / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    return Mirror(address, folder.absolute(), stamped)


def fetch_inputs(inputs: Iterable[str]) -> tuple[list[str], tuple[Mirror, ...]]:
    """Inputs as files and folders of this machine: recordings in a store are fetched once, with the transcripts
    beside them. And the mirrors that they lie in.

    Raises DailytalkError if there are no recordings, and as `store_errors` does.
    """
    local: list[str] = []
    mirrors: list[Mirror] = []
    for one in inputs:
        address = address_of(one)
        if address is None:
            local.append(one)
            continue
        single = PurePosixPath(address).suffix.lower() in AUDIO_SUFFIXES
        folder, _, last = address.rpartition("/") if single else (address, "", "")
        mirror = mirror_of(folder, cache_folder() / "recordings", stamped=True)
        names = mirror.listing()
        recordings = [name for name in audio_files(names) if not single or name == last]
        if not recordings:
            raise DailytalkError(f"there are no recordings at {address}", "check the address")
        beside = companions(recordings, names)
        needed = {*recordings, *(name for own in beside.values() for name in own)}
        mirror.pull(needed.__contains__)
        local.append(str(mirror.folder / last))
        mirrors.append(mirror)
    return local, tuple(mirrors)


@contextlib.contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Say in one sentence what a store refused, without its own words: they hold keys and request ids.

    Raises DailytalkError. What this machine's own disk refused passes through.
    """
    try:
        yield
    except ImportError:
        extra = SCHEMES[address.partition(":")[0]]
        raise DailytalkError(
            f"{address} needs a package that is not installed", f"pip install 'dailytalk-contiguous[{extra}]'"
        ) from None
    except FileNotFoundError as error:
        if error.filename is not None:
            raise
        raise DailytalkError(f"there is no bucket or no object at {address}", "check the address") from None
    except PermissionError as error:
        if error.filename is not None:
            raise
        raise _refused(address) from None
    except Exception as error:
        module, name = type(error).__module__.partition(".")[0], type(error).__name__
        if "Credentials" in name or "Auth" in name:
            raise _refused(address) from None
        unnamed = isinstance(error, OSError) and error.filename is None and error.errno in (None, 5)
        if unnamed or module in ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google"):
            raise DailytalkError(
                f"the store of {address} failed or can't be reached ({name})",
                "check the network and run the same command again: what is finished is kept",
            ) from None
        raise


def _refused(address: str) -> DailytalkError:
    return DailytalkError(
        f"the store refuses access to {address}",
        "set credentials that may read and write there (for s3://: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
    )


def _remote(told: dict[str, Any]) -> Remote:
    written = told.get("LastModified") or told.get("updated") or told.get("mtime") or told.get("created")
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    modified = written.timestamp() if isinstance(written, datetime) else written
    token = told.get("ETag") or told.get("md5Hash") or told.get("etag") or f"{told['size']} {modified}"
    return Remote(int(told["size"]), str(token).strip('"'), modified)


def _md5(path: Path) -> tuple[str, str]:
    """What S3 and Google call an object of these bytes, if it came in one piece."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
    return digest.hex(), base64.b64encode(digest).decode()


def _is_plain(name: str) -> bool:
    return bool(name) and not any(part.startswith(".") for part in name.split("/"))
