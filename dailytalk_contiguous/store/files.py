"""Files: written whole or not at all, and never read by a name that leads out of their folder."""

import filecmp
import hashlib
import json
import os
import re
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self, cast

from filelock import FileLock, Timeout

from dailytalk_contiguous.core.documents import as_text, composed, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.machine.own_file import refuse_in_import
from dailytalk_contiguous.store.full_disk import name_file

# Writing files so that a reader, or the next run after a power cut, sees the old one or the new one, whole.


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file under a temporary name beside `path`; where the block ends, it is flushed to disk and renamed.

    A file with the same content stays as it is, with its time.

    The temporary name begins with a dot, so that nothing that lists the folder takes it for a result. It is
    removed if writing fails. Raises the disk's OSError (full, read-only); that of a full disk names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never longer than 178 bytes: a name that the disk takes must not fail for the temporary one.
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        is_file = path.is_file() and not path.is_symlink()
        if not is_file or not filecmp.cmp(temporary, path, shallow=False):
            temporary.replace(path)
    except OSError as error:
        name_file(error, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def open_own(path: Path, mode: str, buffering: int = -1) -> BinaryIO:
    """Open a file of a folder of results to write or append bytes, as `open` does, but never through a link.

    The author of a folder from elsewhere may have put a link there, whose target would be written.

    Raises BadInput for a symbolic link, and OSError.
    """
    if path.is_symlink():
        raise BadInput(f"{as_text(path)!r} is a symbolic link, and its target is never written", "remove the link")
    return cast(BinaryIO, path.open(mode, buffering))


class Disk:
    """A file whose errors are kept until `check` raises them, as its end as a context manager does.

    It is for libraries that handle a full disk badly: Arrow ends the whole process in the midst of content-defined
    chunking (pyarrow 26), and libsndfile hides the reason.
    """

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._failed: OSError | None = None
        self.tell = file.tell

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.check()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write as any binary file does; nothing is written after an error."""
        try:
            return len(data) if self._failed else self._file.write(data)
        except OSError as error:
            self._failed = error
            return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek as any binary file does; a buffered one writes before it moves."""
        try:
            return offset if self._failed else self._file.seek(offset, whence)
        except OSError as error:
            self._failed = error
            return offset

    def flush(self) -> None:
        """Do nothing: the code that opened the file flushes it."""

    def check(self) -> None:
        """Raise the first error."""
        if self._failed is not None:
            raise self._failed


#: What `replacing` calls what it has not finished.
_UNFINISHED = re.compile(r"\..{1,40}\.[0-9a-f]{12}\.tmp", re.DOTALL)


def remove_unfinished(folder: Path) -> None:
    """Remove unfinished files of killed processes in a folder that no other process writes to now."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name) and path.is_file():
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text whole, as UTF-8. Raises as `write_lines`."""
    write_lines(path, [text])


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes whole, as `replacing` does. Raises DailytalkError while the user's file is being imported."""
    refuse_in_import("writes a file")
    with replacing(path) as file:
        file.write(data)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write pieces of text whole, one after another as they come, as UTF-8.

    Raises DailytalkError while the user's file is being imported.
    """
    refuse_in_import("writes a file")
    with replacing(path) as file:
        file.writelines(line.encode("utf-8") for line in lines)


def json_text(value: object) -> str:
    """Write a value as one line of JSON with its line break; NaN and infinity are rejected."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def json_document(value: object) -> str:
    """Write a value as JSON for people to read, with its line break."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system knows how (Windows does not)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Holding a folder, so that two commands never change it at the same time.


#: In a folder whose files are changed in place: held by `review` while it is open, by `reindex` and by `convert`.
FOLDER_LOCK = ".dailytalk-lock"


@contextmanager
def locked(lock: Path, reason: str, remedy: str) -> Iterator[None]:
    """Hold a lock file for this process. A lock ends with its process, however that ends.

    Raises DailytalkError with this reason and remedy while another process holds it, and BadInput for a symbolic
    link in its place.
    """
    open_own(lock, "ab").close()
    held = FileLock(lock, thread_local=False)  # a server takes and releases it in different threads
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise DailytalkError(reason, remedy) from None
    try:
        yield
    finally:
        held.release()


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Hold a folder whose files this command changes. Raises DailytalkError while another one holds it."""
    reason = f"{as_text(folder)!r} is open in another command (dailytalk review, reindex or convert)"
    with locked(folder / FOLDER_LOCK, reason, "close that, and run this again"):
        yield


#: In the folder above one that `reindex` has renumbered: by its name and the number of the time, how it was.
REINDEXED = ".dailytalk-reindex"


# Resolving a file name from a manifest, a table or a transcript: only to files inside the folder that it came
# with.
#
# The author of the name may not be the user of the command. A name that leads elsewhere, by `..`, as an absolute
# path or through a symbolic link, would copy a stranger's choice of the user's files into a dataset that is to be
# shared.


#: Why a link that leads out of a folder of recordings is not followed.
LINK_OUT = "it is a symbolic link that leads out of the input"

#: What to do about a link that leads out of a folder of recordings.
COPY_IT = "copy it into the folder"


def inside(root: Path, name: str | Path) -> Path:
    """Return the path of `name` under `root`, which need not exist.

    Raises BadInput for a name that leads out of `root`, also through a symbolic link, for one that no path can
    have, and for anything there that is no regular file: opening a pipe waits for ever.
    """
    path = root / name
    try:
        is_file = is_inside(path, root) and (path.is_file() or not path.exists())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can be called so"
        raise BadInput(f"the path {quoted(str(name))} can't be used ({reason})", "correct it") from None
    if not is_file:
        reason = f"the path {quoted(str(name))} leads out of its folder, or is not a regular file"
        raise BadInput(reason, "copy the file into the folder")
    return path


def on_disk(path: Path) -> Path:
    """Return the path, or an existing one with the same names in another normal form of Unicode; no link."""
    if str(path).isascii() or path.exists() or not path.name:
        return path
    folder = on_disk(path.parent)
    with suppress(OSError):
        for name in sorted(os.listdir(folder)):
            alike = folder / name
            if composed(name) == composed(path.name) and not alike.is_symlink():
                return alike
    return path


def refuse_inside(path: Path, folder: Path) -> None:
    """Raise DailytalkError for a path that is a folder of inputs, or in it: results would become input."""
    if path.resolve().is_relative_to(folder.resolve()):
        reason = f"{as_text(path)!r} is in {as_text(folder)!r}"
        raise DailytalkError(reason, "name each folder once, and an --out outside of them")


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path is, or is reached through, a symbolic link out of `root`. A loop of links leads nowhere."""
    return path.exists() and not is_inside(path, root)


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, with all symbolic links followed, is `root` or under it; a loop of links is where it begins.

    A download of huggingface_hub (`REPOSITORY/snapshots/COMMIT` of its cache) has its files in `REPOSITORY/blobs`,
    which belongs to it, unless that is a link itself.
    """
    real = os.path.realpath(path)
    top = os.path.realpath(root)
    blobs = [str(folder.with_name("blobs")) for folder in Path(top).parents if folder.name == "snapshots"]
    if real == top:
        return True
    return any(real.startswith(folder.rstrip(os.sep) + os.sep) for folder in (top, *blobs))


# The names of files that are made for conversations.

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(\.[a-z0-9_-]+){0,3}")


def file_name(conversation_id: str) -> str:
    """Return a file name without ending for a conversation: a plain id as it is, others readable with a digest.

    A plain id has only characters that every file system, shell and URL accepts: small letters, digits, `_`, `-`
    and inner dots, and no `--`, which is for the pieces of a conversation. Every other id gets ten hex digits of
    its SHA-256, so that two ids never share a name.
    """
    is_plain = _PLAIN.fullmatch(conversation_id) and len(conversation_id) <= 100 and "--" not in conversation_id
    if is_plain:
        return conversation_id
    ascii_text = unicodedata.normalize("NFKD", conversation_id).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", ascii_text).strip("-_")[:60] or "conversation"
    digest = hashlib.sha256(conversation_id.encode("utf-8", "surrogateescape")).hexdigest()[:10]
    return f"{readable}-{digest}"
