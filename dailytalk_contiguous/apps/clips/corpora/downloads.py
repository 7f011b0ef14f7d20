"""Public downloads of corpora: which files there are, and how they are fetched and checked.

A file is written beside its path and renamed once its size and checksum are right, so that a stopped download
continues, and a reader never meets half a file. Servers are hostile: nothing is read beyond the promised size, and
no name leads out of the folder.
"""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text, expect, parse_json, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.retries import backoff, retry_after
from dailytalk_contiguous.store.files import inside

# A reader of a corpus imports this module, too, and asks no server.
if TYPE_CHECKING:
    import requests

#: Bytes of a list of files, and of an archive that holds nothing but the list and small tables.
MOST_LIST_BYTES = 128 << 20

#: Seconds to connect, and the longest silence.
TIMEOUTS = (10.0, 60.0)

#: Requests in a row that bring nothing, until a download ends; and files at a time.
TRIES, AT_A_TIME = 5, 4

#: Bytes that are read at a time.
_PIECE = 1 << 18

_AGAIN = "run the same command again: what has come is kept"

#: A file in Git LFS, as https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md has it.
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n"
)


class CorpusFile(NamedTuple):
    """A file to fetch: its path in the folder, its address, its bytes, and its checksum (`md5:…`, `sha256:…`)."""

    name: str
    address: str
    size: int
    checksum: str


#: A public download of a corpus: the files to fetch. Raises DailytalkError if none can be fetched.
Download = Callable[[], Sequence[CorpusFile]]


def dataverse_files(server: str, identifier: str) -> list[CorpusFile]:
    """All open files of a dataset on a Dataverse server, which gives their checksums."""
    address = f"{server}/api/datasets/:persistentId/versions/:latest-published/files"
    name = urlsplit(address).netloc
    document = parse_json(_document(f"{address}?persistentId={quote(identifier)}"), name)
    shape = {"id": int, "filename": str, "filesize": int, "checksum": {"type": str, "value": str}}
    answer = expect(document, {"data": [{"dataFile": shape, "restricted?": bool, "directoryLabel?": str}]}, name)
    return [
        CorpusFile(
            str(PurePosixPath(entry.get("directoryLabel") or "", file["filename"])),
            f"{server}/api/access/datafile/{file['id']}",
            file["filesize"],
            f"{file['checksum']['type'].lower().replace('-', '')}:{file['checksum']['value']}",
        )
        for entry in answer["data"]
        for file in [entry["dataFile"]]
        if not entry.get("restricted")
    ]


def git_lfs_files(archive: str, lfs: str, plain: str, folder: str, tables: Sequence[str]) -> list[CorpusFile]:
    """Files of a Git repository at a commit that are in Git LFS, whose pointers have their checksums, and tables.

    Args:
        archive: address of a zip of the commit, with the pointers.
        lfs, plain: addresses under which files in LFS, and others, are.
        folder: of the files in LFS. tables: the other files.
    """
    files = []
    try:
        with zipfile.ZipFile(io.BytesIO(_document(archive))) as packed:
            for member in packed.infolist():
                name = member.filename.partition("/")[2]
                is_pointer = name.startswith(f"{folder}/") and member.file_size < 1024
                if member.is_dir() or member.file_size > MOST_LIST_BYTES or not (is_pointer or name in tables):
                    continue
                content = packed.read(member)
                pointer = _POINTER.fullmatch(content)
                if pointer:
                    address, size, digest = lfs, int(pointer[2]), pointer[1].decode()
                else:
                    address, size, digest = plain, len(content), hashlib.sha256(content).hexdigest()
                files.append(CorpusFile(name, f"{address}/{quote(name)}", size, f"sha256:{digest}"))
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError) as error:
        raise DailytalkError(f"{archive} is no zip archive that can be read ({error})", _AGAIN) from None
    return files


def fetch_all(files: Sequence[CorpusFile], folder: Path, on_file: Callable[[int, int], None]) -> int:
    """Fetch the files that are not in a folder yet, and return how many were fetched.

    `on_file` is called after each with the bytes that have arrived, and the total. Raises DailytalkError for what
    a server doesn't deliver, or delivers wrong; OSError as the disk does.
    """
    import requests

    total = sum(file.size for file in files)
    arrived = n_fetched = 0
    with requests.Session() as session, ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            for file, came in zip(files, pool.map(lambda file: _fetch(session, file, folder), files), strict=True):
                arrived, n_fetched = arrived + file.size, n_fetched + came
                on_file(arrived, total)
        finally:
            pool.shutdown(cancel_futures=True)
    return n_fetched


def _fetch(session: "requests.Session", file: CorpusFile, folder: Path) -> bool:
    path = inside(folder, file.name)
    if path.is_file() and _matches(path, file.checksum):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")  # hidden: no reader takes it for a clip
    with part.open("ab") as target:
        _download(session, file.address, target, file.size)
    if not _matches(part, file.checksum):
        part.unlink()
        raise DailytalkError(
            f"{file.name!r} from {urlsplit(file.address).netloc} has another checksum than {file.checksum}",
            "run the same command again; if it says so again, tell those who publish the corpus",
        )
    os.replace(part, path)
    return True


def _document(address: str) -> bytes:
    import requests

    body = io.BytesIO()
    with requests.Session() as session:
        _download(session, address, body, None)
    return body.getvalue()


def _download(session: "requests.Session", address: str, target: BinaryIO, size: int | None) -> None:
    """Append to a file what it lacks of `size` bytes; None for a document of any size up to `MOST_LIST_BYTES`.

    An answer that breaks off is asked for again from there, as long as each brings something.
    """
    import requests
    from urllib3.exceptions import HTTPError

    host, tries, problem = urlsplit(address).netloc, 0, ""
    most = MOST_LIST_BYTES if size is None else size
    while (begun := target.tell()) != size:
        if tries == TRIES:
            raise DailytalkError(f"{host} {problem}", f"check the network, then {_AGAIN}")
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
        wait = None
        try:
            with session.get(address, headers=headers, stream=True, timeout=TIMEOUTS) as response:
                problem, code = f"does not give {quoted(address)} whole", response.status_code
                if address.startswith("https:") and not response.url.startswith("https:"):
                    raise DailytalkError(f"{host} leads to an address without TLS", "get it by hand")
                if code in (408, 429) or code >= 500:
                    wait = min(retry_after(response.headers.get("Retry-After")) or 1.0, 60.0)
                elif code not in (200, 206, 416):
                    remedy = "see the home page of the corpus, and get it by hand"
                    raise DailytalkError(f"{host} answered {code} for {quoted(address)}", remedy)
                else:
                    if code != 206:  # not from where it broke off: from the beginning
                        target.truncate(0)
                        target.seek(0)
                    while piece := response.raw.read(min(_PIECE, most - target.tell()), decode_content=False):
                        interrupts.check_interrupt()
                        target.write(piece)
                    if size is None:
                        return
        except (HTTPError, requests.ConnectionError, requests.Timeout):
            problem = problem or "can't be reached"
        tries = 0 if target.tell() > begun else tries + 1
        if target.tell() != size and tries < TRIES:
            interrupts.sleep(backoff(tries, None) if wait is None else wait)


def _matches(path: Path, checksum: str) -> bool:
    kind, _, value = checksum.partition(":")
    if kind not in ("md5", "sha1", "sha256", "sha512"):
        raise BadInput(f"{as_text(path)} has a checksum of an unknown kind, {quoted(checksum)}", "get it by hand")
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
            == value.lower()
        )
