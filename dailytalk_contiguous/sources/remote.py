"""Folders in object storage: their errors, and the copies of their files on this machine."""

import base64
import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec

from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.sources.addresses import address_of
from dailytalk_contiguous.sources.hub_repository import audio_files, companions, made_folders, modified_of
from dailytalk_contiguous.sources.store_notes import notes_of
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.owned_folder import RECORD

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
    except ImportError:
        extra = EXTRAS[address.partition(":")[0]]
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
        status = getattr(getattr(error, "response", None), "status_code", None)  # of the Hub's client
        if "Credentials" in name or "Auth" in name or status in (401, 403):
            raise _refused(address) from None
        unnamed = isinstance(error, OSError) and error.filename is None and error.errno in (None, 5)
        if unnamed or module in CLIENTS:
            raise DailytalkError(
                f"the store of {address} failed or can't be reached ({name})",
                "check the network and run the same command again: what is finished is kept",
            ) from None
        raise


def _refused(address: str) -> DailytalkError:
    return DailytalkError(
        f"the store refuses access to {address}",
        "set credentials that may read and write there "
        "(for s3://: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; for hf://: HF_TOKEN)",
    )


# Folders in object storage (`s3://`, `gs://`, `hf://`) and their mirrors on this machine.
#
# Everything here reads and writes local files; a mirror brings a folder of a store to the disk and back. An object
# appears whole or not at all, so a mirror needs no temporary names there. Notes beside the files say of which
# object each is a copy, so that nothing is transferred twice. The store's own library finds credentials; none is
# ever shown.


#: Files that travel at a time.
_AT_A_TIME = 8


class Remote(NamedTuple):
    """An object: bytes, a text that changes with its content, and when it was written (seconds since 1970)."""

    size: int
    token: str
    modified: float | None


@dataclass(frozen=True)
class Mirror:
    """A folder of a store, and where its copy is. Pickles, and makes no connection until it is used.

    `stamped`: times of modification identify contents (of recordings); else they are the store's.
    """

    address: str
    folder: Path
    stamped: bool = False

    def listing(self) -> dict[str, Remote]:
        """All objects by their path under the address. Hidden ones are skipped, except our marks."""
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
        objects, notes = self.listing(), notes_of(self.folder)
        missing = [name for name in objects if wanted(name) and notes.copied(name) != objects[name].token]
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(lambda name: self._get(name, objects[name]), missing))
        for name in notes.names() - objects.keys():
            if wanted(name) and notes.copied(name):
                with contextlib.suppress(FileNotFoundError):  # another process may share the mirror
                    (self.folder / name).unlink()
        return objects

    def ensure(self, path: Path, token: str = "") -> None:
        """Bring one file if it belongs to this mirror and is not here, or is a copy of another object.

        `token`: of the object that it must be; empty for any. Raises BadInput if the store has another one by now.
        """
        name = self.name_of(path)
        if name is None or (notes_of(self.folder).copied(name) == token if token else path.exists()):
            return
        remote = self._look(name)
        if token and remote.token != token:
            raise BadInput(f"{self.address}/{name} changed during this run", "run the same command again")
        self._get(name, remote)

    def token_of(self, path: Path) -> str:
        """The token of the object that a file of this machine is known to equal; empty if none is known."""
        name = self.name_of(path)
        return notes_of(self.folder).copied(name) if name else ""

    def push(self, path: Path, stored: Remote | None = None) -> None:
        """Write one file to the store, unless it is unchanged there. `stored`: its object, if known."""
        name = str(self.name_of(path))
        copied = notes_of(self.folder).copied(name)
        if copied and (stored is None or copied == stored.token):
            return
        if stored and stored.size == path.stat().st_size:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
            # What Google and S3 call an object of these bytes, if it came in one piece: made again here.
            if stored.token in (digest.hex(), base64.b64encode(digest).decode()):
                notes_of(self.folder).add(name, stored.token)
                return
        status = path.stat()
        with store_errors(self.address):
            files, root = self._open()
            files.put_file(str(path), f"{root}/{name}")
        notes_of(self.folder).add(name, self._look(name).token, status)

    def drop(self, names: Sequence[str]) -> None:
        with store_errors(self.address):
            files, root = self._open()
            for name in names:
                files.rm_file(f"{root}/{name}")

    def name_of(self, path: Path) -> str | None:
        """The name of a local file under the address; None for one outside of the mirror."""
        absolute = path.absolute()
        return absolute.relative_to(self.folder).as_posix() if absolute.is_relative_to(self.folder) else None

    def changed_there(self, name: str, objects: dict[str, Remote]) -> bool:
        return name in objects and notes_of(self.folder).token(name) != objects[name].token

    def changed_here(self, name: str) -> bool:
        """Whether a file is here as this machine made it, and not as the store was last known to have it."""
        return (self.folder / name).is_file() and not notes_of(self.folder).copied(name)

    def _look(self, name: str) -> Remote:
        """An object as it is now. Without a refresh, a client would answer from an earlier listing."""
        with store_errors(self.address):
            files, root = self._open()
            files.invalidate_cache()
            return _remote(files.info(f"{root}/{name}"))

    def _open(self) -> tuple[Any, str]:
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
        stands_for = hashlib.sha256(remote.token.encode()).hexdigest()
        modified = float(modified_of(stands_for)) if self.stamped else remote.modified
        if modified is not None:
            os.utime(local, (modified, modified))
        notes_of(self.folder).add(name, remote.token)


def mirror_of(address: str, base: Path, stamped: bool = False) -> Mirror:
    """The mirror of an address, in a separate folder inside `base`."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", PurePosixPath(address).name)[:40]
    folder = base / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    return Mirror(address, folder.absolute(), stamped)


def input_mirror(address: str) -> tuple[Mirror, str]:
    """The mirror of recordings in a store, and the name of the one that is meant; empty for all. Asks no store."""
    single = PurePosixPath(address).suffix.lower() in AUDIO_SUFFIXES
    folder, _, last = address.rpartition("/") if single else (address, "", "")
    return mirror_of(folder, cache_folder() / "recordings", stamped=True), last


def fetch_inputs(inputs: Iterable[str]) -> tuple[list[str], tuple[Mirror, ...]]:
    """Inputs as files and folders of this machine: recordings in a store are fetched once, with the transcripts
    beside them. And their mirrors.

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
        beside = companions(recordings, names)
        needed = {*recordings, *marks, *(name for files in beside.values() for name in files)}
        mirror.pull(needed.__contains__)
        local.append(str(mirror.folder / last))
        mirrors.append(mirror)
    return local, tuple(mirrors)


def _remote(info: dict[str, Any]) -> Remote:
    written = info.get("LastModified") or info.get("updated") or info.get("mtime") or info.get("created")
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    modified = written.timestamp() if isinstance(written, datetime) else written
    named = (info.get(name) for name in ("ETag", "md5Hash", "etag", "xet_hash", "blob_id"))
    token = next(filter(None, named), None) or f"{info['size']} {modified}"
    return Remote(int(info["size"]), str(token).strip('"'), modified)


def is_plain(name: str) -> bool:
    """Whether an object is no hidden one, or the mark of a folder that we made."""
    hidden = [part for part in name.split("/") if part.startswith(".")]
    return bool(name) and (not hidden or hidden == [RECORD] == [name.rpartition("/")[2]])
