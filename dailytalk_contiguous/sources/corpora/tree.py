"""The files of a corpus as it was distributed: a folder at any depth, zip archives in it, or one zip archive.

Nothing is unpacked: a file in an archive is read when it is asked for, so that neither the disk nor memory holds a
corpus twice. Whatever lies there is listed, also what can't be read, because an importer has to account for all of
it; only hidden names that are no audio, and what macOS and Windows leave behind, are left out. An archive may come
from anybody: how much is unpacked of it is limited, and members that lead out of it, that are links or encrypted,
are rejected.
"""

import hashlib
import io
import json
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from dailytalk_contiguous.core.audio import LFS_POINTER, LFS_REMEDY, to_uri
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.files.inside import FOLLOW_LINKS, LINK_OUT, leads_out
from dailytalk_contiguous.sources.listing import LARGEST, is_recording
from dailytalk_contiguous.sources.recorded import identity_of

#: Bytes. A pointer is shorter than this by its specification.
_LONGEST_POINTER = 1024

#: An archive is rejected if all its members have more bytes than this, and more than so many times its own. Speech
#: shrinks to a half or a third in a zip, tables to a tenth.
LARGEST_ARCHIVE, MOST_SHRUNK = 2_000_000_000, 100

#: Bytes read from a file at a time.
_PIECE = 1 << 20

#: Archives that are not read in place.
_PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")

_LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")
_BLOCK = 64 * 1024


@dataclass(frozen=True)
class Found:
    """A file of a corpus: its `name` is its path under the source, with `/` (through an archive's name, too).

    `path` is where it lies, or the archive that `member` is in. `problem` and `remedy` are set for what was listed
    but can't be read.
    """

    name: str
    path: Path
    size: int = 0
    archive: zipfile.ZipFile | None = field(default=None, compare=False)
    member: zipfile.ZipInfo | None = field(default=None, compare=False)
    problem: str | None = None
    remedy: str = "check the file and its permissions"

    @property
    def pure(self) -> PurePosixPath:
        """The name, to take apart."""
        return PurePosixPath(self.name)

    def read(self) -> bytes:
        """All its bytes. Raises BadInput, also for more than `LARGEST`, and a Git LFS pointer in its place."""
        self.check()
        try:
            with self._opened() as file:
                data = _bytes_of(file)
        except OSError as error:
            raise BadInput(f"it can't be read ({error.strerror or error})", self.remedy) from error
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
            # Damage, and as RuntimeError a compression that zipfile does not know.
            raise BadInput(f"it can't be read from the archive ({error})", "download the archive again") from error
        if data.startswith(LFS_POINTER) and len(data) < _LONGEST_POINTER:
            raise BadInput("it is a Git LFS pointer, not the file itself", LFS_REMEDY)
        return data

    def _opened(self) -> IO[bytes]:
        if self.archive is None or self.member is None:
            return self.path.open("rb")
        return self.archive.open(self.member)

    def check(self) -> None:
        """Raise BadInput if it can't be read at all."""
        if self.problem:
            raise BadInput(self.problem, self.remedy)

    def audio(self) -> dict[str, Any]:
        """A `{"bytes", "path"}` struct: a file's path, the bytes of what is in an archive. Raises BadInput."""
        if self.archive is not None:
            return {"bytes": self.read(), "path": None}
        self.check()
        if self.size < _LONGEST_POINTER:
            self.read()
        return self.place()

    def place(self) -> dict[str, Any]:
        """As `audio`, but nothing is read: a file in an archive has neither bytes nor path."""
        return {"bytes": None, "path": None if self.archive else to_uri(self.path.absolute())}


@dataclass(frozen=True)
class Tree:
    """All files of a corpus, sorted by name."""

    files: tuple[Found, ...]

    def named(self, name: str) -> Found | None:
        """The file of this base name (capitals aside) that lies least deep; None if there is none."""
        same = [found for found in self.files if found.pure.name.casefold() == name.casefold()]
        return min(same, key=lambda found: (len(found.pure.parts), found.name), default=None)


def open_tree(source: Path, stack: ExitStack, follow_links: bool = False) -> Tree:
    """List a source; archives stay open until `stack` closes.

    Symbolic links that lead out of it are listed with a `problem` unless `follow_links`.

    Raises DailytalkError if it does not exist, or is a file but no zip archive.
    """
    if not os.path.lexists(source):
        raise DailytalkError(f"the corpus {as_text(source)!r} does not exist", "check the path")
    if source.is_dir():
        files = [found for one in _walk(source, follow_links) for found in _entries(one, stack)]
    elif source.is_file() and zipfile.is_zipfile(source):
        files = list(_members(Found(source.name, source), "", stack))
    else:
        raise DailytalkError(
            f"the corpus {as_text(source)!r} is neither a folder nor a zip archive", "give the folder it is in"
        )
    return Tree(tuple(sorted(files, key=lambda found: found.name)))


def stamp(source: Path, follow_links: bool = False) -> str:
    """Digest of names, sizes and times of all files, which tells a changed corpus from what a cache holds."""
    told: list[Any] = [str(source.absolute())]
    for one in _walk(source, follow_links) if source.is_dir() else [Found(source.name, source)]:
        status = os.lstat(one.path) if one.problem else one.path.stat()
        told.append([one.name, status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def identity_of_audio(audio: dict[str, Any], path: Path) -> str:
    """`sources.recorded.identity_of` of encoded audio, be it at `path` or in bytes: 20 hex digits."""
    data: bytes | None = audio["bytes"]
    if data is None:
        return identity_of(path)
    size = len(data)
    digest = hashlib.sha256(str(size).encode())
    for place in (0, (size - _BLOCK) // 2, size - _BLOCK):
        digest.update(data[max(0, place) :][:_BLOCK])
    return digest.hexdigest()[:20]


def _walk(folder: Path, follow_links: bool) -> Iterator[Found]:
    """Every file of a folder at any depth, never twice through one folder.

    Hidden names are left out, except what is called like a recording: that is listed with a `problem`.
    """
    seen: set[str] = set()
    barred: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=barred.append, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not _is_litter(name)]
        for path in [Path(parent, name) for name in (*folders, *files)]:
            name = as_text(path.relative_to(folder))
            if not follow_links and path.is_symlink() and leads_out(path, folder):
                folders[:] = [one for one in folders if one != path.name]
                yield Found(name, path, problem=LINK_OUT, remedy=FOLLOW_LINKS)
            elif path.name in folders:
                continue
            elif not _is_litter(path.name):
                yield on_disk(path, name)
            elif path.name.startswith(".") and is_recording(path.name):
                yield Found(name, path, problem="its name begins with a dot, which hides it", remedy="rename it")
    for error in barred:
        path = Path(error.filename)
        yield Found(as_text(path.relative_to(folder)), path, problem="it is a folder that can't be searched")


def on_disk(path: Path, name: str) -> Found:
    """A file of a disk, with a `problem` if it can't be read or is none."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return Found(name, path, problem=f"it can't be read ({error.strerror or error})")
    if not path.is_file():
        return Found(name, path, problem="it is not a file but a pipe, a socket or a device")
    return Found(name, path, size)


def _entries(found: Found, stack: ExitStack) -> Iterator[Found]:
    """A file itself, or the files in it if it is an archive."""
    suffix = found.pure.suffix.lower()
    if suffix == ".zip" and not found.problem:
        yield from _members(found, f"{found.name}/", stack)
    elif suffix in _PACKED and not found.problem:
        yield Found(found.name, found.path, found.size, problem=f"it is an archive ({suffix})", remedy="unpack it")
    else:
        yield found


def _members(found: Found, prefix: str, stack: ExitStack) -> Iterator[Found]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(found.path))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        reason = f"it is no zip archive that can be read ({error})"
        yield Found(found.name, found.path, problem=reason, remedy="download the archive again")
        return
    members = archive.infolist()
    total = sum(member.file_size for member in members if not _refused(member))
    if total > max(LARGEST_ARCHIVE, MOST_SHRUNK * found.path.stat().st_size):
        reason = f"its files would be {total / 1e9:.1f} GB unpacked, over {MOST_SHRUNK} times its own size"
        yield Found(found.name, found.path, problem=reason, remedy="unpack it yourself if you trust it")
        return
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if member.is_dir() or any(_is_litter(part) for part in parts if part != ".."):
            continue
        name = prefix + member.filename
        if problem := _refused(member):
            yield Found(name, found.path, problem=problem, remedy="unpack the archive yourself if you trust it")
        elif name.lower().endswith((".zip", *_PACKED)):
            yield Found(name, found.path, problem="it is an archive in an archive", remedy="unpack the outer one")
        else:
            yield Found(name, found.path, member.file_size, archive, member)


def _refused(member: zipfile.ZipInfo) -> str | None:
    """Why a member of an archive is not read; None if it may be."""
    parts = member.filename.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or parts[0][1:2] == ":":
        return "its name leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link in an archive"
    if member.flag_bits & 0x1:
        return "it is encrypted"
    if member.file_size > LARGEST:
        return f"it has {member.file_size / 1e9:.2f} GB unpacked, and {LARGEST / 1e9:g} GB are read at most"
    return None


def _bytes_of(file: IO[bytes]) -> bytes:
    """What a file holds, read in pieces and held once. Raises BadInput for more than `LARGEST`."""
    held = io.BytesIO()
    while piece := file.read(_PIECE):
        held.write(piece)
        if held.tell() > LARGEST:
            raise BadInput(f"it has over {LARGEST / 1e9:g} GB, which is the most that is read", "split the file")
    return held.getvalue()


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER
