"""Public downloads of corpora: which files there are, and how they are fetched and checked.

pooch writes a file beside its path and renames it once its checksum is right, so that a reader never meets half a
file, and the same command fetches what is missing after a stop.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NotRequired, TypedDict
from urllib.parse import quote, urlsplit

from dailytalk_contiguous.core.documents import Whole, parse_json, typed
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.resources import side_by_side
from dailytalk_contiguous.store.files import inside

#: Bytes of a list of files, and of an archive that holds nothing but the list and small tables.
MOST_LIST_BYTES = 128 << 20

#: Seconds to connect, and of the longest silence.
TIMEOUTS = (10.0, 60.0)

#: Times that a file is asked for again.
RETRIES = 3

#: Bytes that are read at a time.
_PIECE = 1 << 18

#: A file in Git LFS, as https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md has it.
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n"
)


class CorpusFile(NamedTuple):
    """A file to fetch: its path in the folder, its address, and its checksum (`md5:…`, `sha256:…`)."""

    name: str
    address: str
    checksum: str


#: A public download of a corpus: the files to fetch. Raises DailytalkError if none can be fetched.
Download = Callable[[], Sequence[CorpusFile]]


class _Checksum(TypedDict):
    type: str
    value: str


class _File(TypedDict):
    id: Whole
    filename: str
    checksum: _Checksum


class _Entry(TypedDict):
    dataFile: _File
    restricted: NotRequired[bool | None]
    directoryLabel: NotRequired[str | None]


class _Dataset(TypedDict):
    data: list[_Entry]


def dataverse_files(server: str, identifier: str) -> list[CorpusFile]:
    """All open files of a dataset on a Dataverse server, which gives their checksums."""
    address = f"{server}/api/datasets/:persistentId/versions/:latest-published/files"
    document = parse_json(_document(f"{address}?persistentId={quote(identifier)}"), server)
    dataset = typed(document, _Dataset, server)
    files = []
    for entry in dataset["data"]:
        if entry.get("restricted"):
            continue
        file = entry["dataFile"]
        path = PurePosixPath(entry.get("directoryLabel") or "", file["filename"])
        algorithm = file["checksum"]["type"].lower().replace("-", "")
        checksum = f"{algorithm}:{file['checksum']['value']}"
        files.append(CorpusFile(str(path), f"{server}/api/access/datafile/{file['id']}", checksum))
    return files


def git_lfs_files(archive: str, lfs: str, plain: str, folder: str, tables: Sequence[str]) -> list[CorpusFile]:
    """Files of a Git repository at a commit that are in Git LFS, whose pointers have their checksums, and tables.

    Args:
        archive: address of a zip of the commit, with the pointers.
        lfs: address of the files in LFS.
        plain: address of the other files.
        folder: of the files in LFS.
        tables: the other files.
    """
    files = []
    pointers = f"{folder}/"
    with zipfile.ZipFile(io.BytesIO(_document(archive))) as packed:
        for member in packed.infolist():
            name = member.filename.partition("/")[2]
            is_wanted = name in tables or name.startswith(pointers)
            if not is_wanted or member.file_size > MOST_LIST_BYTES:
                continue
            content = packed.read(member)
            pointer = _POINTER.fullmatch(content)
            if pointer:
                digest = pointer[1].decode()
                files.append(CorpusFile(name, f"{lfs}/{quote(name)}", f"sha256:{digest}"))
            elif name in tables:
                digest = hashlib.sha256(content).hexdigest()
                files.append(CorpusFile(name, f"{plain}/{quote(name)}", f"sha256:{digest}"))
    return files


#: Files that are fetched at a time.
AT_A_TIME = 4


def fetch_all(files: Sequence[CorpusFile], folder: Path) -> None:
    """Fetch the files that are not in a folder yet.

    Raises DailytalkError for what a server doesn't deliver, or delivers wrong, and for a name that leads out of
    the folder; OSError as the disk does.
    """
    fetched = side_by_side(partial(_fetch, folder=folder), files, AT_A_TIME)
    for _ in steps("files fetched", fetched, len(files)):
        interrupts.check_interrupt()


class _InterruptCheck:
    """Ends a download after a Ctrl-C; pooch takes it for a bar of progress."""

    total = 0

    def update(self, count: int) -> None:
        interrupts.check_interrupt()

    def reset(self) -> None: ...

    def close(self) -> None: ...


def _fetch(file: CorpusFile, folder: Path) -> None:
    import pooch
    import requests

    path = inside(folder, file.name)
    host = urlsplit(file.address).netloc
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=_InterruptCheck(), chunk_size=_PIECE, timeout=TIMEOUTS)
    store = pooch.create(
        path.parent,
        base_url="",
        registry={path.name: file.checksum},
        urls={path.name: file.address},
        retry_if_failed=RETRIES,
    )
    try:
        store.fetch(path.name, downloader=downloader)
    except (requests.RequestException, ValueError) as error:
        raise _unfetched(repr(file.name), host, error) from None


def _document(address: str) -> bytes:
    """The bytes at an address. Raises DailytalkError, also for more than `MOST_LIST_BYTES`."""
    import requests

    try:
        with requests.get(address, stream=True, timeout=TIMEOUTS) as response:
            response.raise_for_status()
            body = bytearray()
            for piece in response.iter_content(_PIECE):
                body += piece
                if len(body) > MOST_LIST_BYTES:
                    raise DailytalkError(f"{address} has over {MOST_LIST_BYTES} bytes", "get the corpus by hand")
    except requests.RequestException as error:
        raise _unfetched("the list of files", urlsplit(address).netloc, error) from None
    return bytes(body)


def _unfetched(name: str, host: str, error: Exception) -> DailytalkError:
    """The error for something that a host does not deliver, or that is not what it should be."""
    import requests

    if isinstance(error, requests.ConnectionError):
        remedy = "check the network, and run the same command again: whole files are kept"
        return DailytalkError(f"{name} could not be fetched: there is no connection to {host}", remedy)
    message = " ".join(str(error).split())
    reason = f"{name} could not be fetched from {host} ({message})"
    return DailytalkError(reason, "run the same command again: whole files are kept")
