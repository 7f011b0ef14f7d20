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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol
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


class Download(Protocol):
    """The public download of a corpus."""

    def files(self) -> Sequence[CorpusFile]:
        """The files to fetch. Raises DailytalkError if none can be fetched."""
        ...


@dataclass(frozen=True)
class KnownFiles:
    """Files whose sizes and checksums are known in advance."""

    listed: tuple[CorpusFile, ...]

    def files(self) -> Sequence[CorpusFile]:
        return self.listed


@dataclass(frozen=True)
class Dataverse:
    """All open files of a dataset on a Dataverse server, which gives their checksums."""

    server: str
    identifier: str

    def files(self) -> Sequence[CorpusFile]:
        address = f"{self.server}/api/datasets/:persistentId/versions/:latest-published/files"
        name = urlsplit(address).netloc
        document = parse_json(_document(f"{address}?persistentId={quote(self.identifier)}"), name)
        shape = {"id": int, "filename": str, "filesize": int, "checksum": {"type": str, "value": str}}
        answer = expect(
            document, {"data": [{"dataFile": shape, "restricted?": bool, "directoryLabel?": str}]}, name
        )
        return [
            CorpusFile(
                str(PurePosixPath(entry.get("directoryLabel") or "", file["filename"])),
                f"{self.server}/api/access/datafile/{file['id']}",
                file["filesize"],
                f"{file['checksum']['type'].lower().replace('-', '')}:{file['checksum']['value']}",
            )
            for entry in answer["data"]
            for file in [entry["dataFile"]]
            if not entry.get("restricted")
        ]


@dataclass(frozen=True)
class GitLfs:
    """Files of a Git repository at a commit that are in Git LFS, whose pointers have their checksums, and tables.

    Attributes:
        archive: address of a zip of the commit, with the pointers.
        lfs, plain: addresses under which files in LFS, and others, are.
        folder: of the files in LFS. tables: the other files.
    """

    archive: str
    lfs: str
    plain: str
    folder: str
    tables: tuple[str, ...]

    def files(self) -> Sequence[CorpusFile]:
        try:
            with zipfile.ZipFile(io.BytesIO(_document(self.archive))) as archive:
                return list(self._members(archive))
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError) as error:
            raise DailytalkError(f"{self.archive} is no zip archive that can be read ({error})", _AGAIN) from None

    def _members(self, archive: zipfile.ZipFile) -> Iterator[CorpusFile]:
        for member in archive.infolist():
            name = member.filename.partition("/")[2]
            if member.is_dir() or member.file_size > MOST_LIST_BYTES:
                continue
            if name in self.tables:
                content = archive.read(member)
                digest = hashlib.sha256(content).hexdigest()
                yield CorpusFile(name, f"{self.plain}/{quote(name)}", len(content), f"sha256:{digest}")
            elif name.startswith(f"{self.folder}/") and member.file_size < 1024:
                pointer = _POINTER.fullmatch(archive.read(member))
                if pointer:
                    digest = pointer[1].decode()
                    yield CorpusFile(name, f"{self.lfs}/{quote(name)}", int(pointer[2]), f"sha256:{digest}")


def fetch_all(files: Sequence[CorpusFile], folder: Path, on_file: Callable[[int, int], None]) -> int:
    """Fetch the files that are not in a folder yet, and return how many were fetched.

    `on_file` is called after each with the bytes that have arrived, and the total. Raises DailytalkError for what
    a server doesn't deliver, or delivers wrong; OSError as the disk does.
    """
    import requests

    total = sum(file.size for file in files)
    arrived = n_fetched = 0
    with requests.Session() as session, ThreadPoolExecutor(AT_A_TIME) as pool:
        session.max_redirects = 5
        try:
            for file, came in zip(files, pool.map(lambda file: _fetch(session, file, folder), files), strict=True):
                arrived, n_fetched = arrived + file.size, n_fetched + came
                on_file(arrived, total)
        finally:
            pool.shutdown(cancel_futures=True)
    return n_fetched


def _fetch(session: "requests.Session", file: CorpusFile, folder: Path) -> bool:
    path = inside(folder, file.name)
    if path.is_file() and path.stat().st_size == file.size and _matches(path, file.checksum):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")  # hidden: no reader takes it for a clip
    part.touch()
    tries = 0
    while (begun := part.stat().st_size) != file.size:
        wait = _more(session, file, part, begun, tries)
        tries = 0 if part.stat().st_size > begun else tries + 1
        if tries == TRIES:
            host = urlsplit(file.address).netloc
            raise DailytalkError(f"{host} does not give {file.name!r} whole, although asked {TRIES} times", _AGAIN)
        if part.stat().st_size != file.size:
            interrupts.sleep(wait if wait is not None else backoff(tries, None))
    if not _matches(part, file.checksum):
        part.unlink()
        raise DailytalkError(
            f"{file.name!r} from {urlsplit(file.address).netloc} has another checksum than {file.checksum}",
            "run the same command again; if it says so again, tell those who publish the corpus",
        )
    os.replace(part, path)
    return True


def _more(session: "requests.Session", file: CorpusFile, part: Path, begun: int, tries: int) -> float | None:
    """Append the content of one answer; returns the seconds that the server asks to wait."""
    headers = {"Range": f"bytes={begun}-"} if begun else {}
    with _passing(file.address, tries), _answer(session, file.address, headers) as response:
        if response.status_code == 416 or (
            response.status_code == 206
            and not response.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
        ):
            part.write_bytes(b"")  # not what was asked for: from the beginning
            return 0.0
        if response.status_code not in (200, 206):
            return _refused(response, file.name)
        whole = response.status_code == 200
        left = file.size if whole else file.size - begun
        with part.open("wb" if whole else "ab") as target:
            for piece in _pieces(response, left):
                target.write(piece)
    return None


def _document(address: str) -> bytes:
    import requests

    with requests.Session() as session:
        for tries in range(TRIES):
            wait: float | None = None
            with _passing(address, tries), _answer(session, address, {}) as response:
                if response.status_code == 200:
                    body = b"".join(_pieces(response, MOST_LIST_BYTES + 1))
                    if len(body) > MOST_LIST_BYTES:
                        raise DailytalkError(
                            f"{address} has over {MOST_LIST_BYTES >> 20} MiB", "check the address"
                        )
                    return body
                wait = _refused(response, address)
            interrupts.sleep(wait if wait is not None else backoff(tries, None))
    raise DailytalkError(f"{address} does not come whole, although asked for {TRIES} times", _AGAIN)


@contextmanager
def _answer(session: "requests.Session", address: str, headers: dict[str, str]) -> Iterator["requests.Response"]:
    plain = headers | {"Accept-Encoding": "identity"}
    with session.get(address, headers=plain, stream=True, timeout=TIMEOUTS) as response:
        if address.startswith("https:") and not response.url.startswith("https:"):
            raise DailytalkError(f"{urlsplit(address).netloc} leads to an address without TLS", "get it by hand")
        yield response


@contextmanager
def _passing(address: str, tries: int) -> Iterator[None]:
    """Leave an answer that breaks off, and a server that can't be reached, to the next try, if there is one."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HTTPError:
        pass
    except (requests.ConnectionError, requests.Timeout):
        if tries + 1 == TRIES:
            host = urlsplit(address).netloc
            raise DailytalkError(f"{host} can't be reached", f"check the network, then {_AGAIN}") from None
    except requests.RequestException as error:
        raise DailytalkError(f"the server can't be asked ({type(error).__name__})", "get it by hand") from None


def _pieces(response: "requests.Response", most: int) -> Iterator[bytes]:
    while most > 0 and (piece := response.raw.read(min(_PIECE, most), decode_content=False)):
        interrupts.check_interrupt()
        most -= len(piece)
        yield piece


def _refused(response: "requests.Response", what: str) -> float | None:
    """Seconds to wait before another try. Raises DailytalkError for a permanent status."""
    if response.status_code in (408, 429) or response.status_code >= 500:
        return min(retry_after(response.headers.get("Retry-After")) or 1.0, 60.0)
    raise DailytalkError(
        f"{urlsplit(response.url).netloc} answered {response.status_code} for {quoted(what)}",
        "see the home page of the corpus, and get it by hand",
    )


def _matches(path: Path, checksum: str) -> bool:
    kind, _, value = checksum.partition(":")
    if kind not in ("md5", "sha1", "sha256", "sha512"):
        raise BadInput(f"{as_text(path)} has a checksum of an unknown kind, {quoted(checksum)}", "get it by hand")
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
            == value.lower()
        )
