"""The files of a corpus as it is distributed: a folder at any depth, zip archives in it, or one zip archive.

Nothing is unpacked: a file in an archive is read on demand, so that neither the disk nor memory holds a corpus
twice. Unreadable files are listed too, because every file of a corpus has to be accounted for; only hidden names
and files that macOS and Windows leave behind are skipped. An archive may be hostile: the unpacked size is limited,
and members that lead out of it, that are links or encrypted, are rejected.
"""

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dailytalk_contiguous.core.audio import LFS_POINTER, LFS_REMEDY, to_uri
from dailytalk_contiguous.core.documents import as_text, utf8_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.sources.recordings import LARGEST
from dailytalk_contiguous.store.files import COPY_IT, LINK_OUT, leads_out

#: An archive is rejected if all its members have more bytes than this, and more than this many times its own.
#: Speech shrinks to a half or a third in a zip, tables to a tenth.
LARGEST_ARCHIVE, MOST_SHRUNK = 2_000_000_000, 100

#: Archives that are not read in place.
_PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")

_LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")

_CHECK, _UNPACK = "check the file and its permissions", "unpack the archive yourself if you trust it"


@dataclass(frozen=True)
class FoundFile:
    """A file of a corpus: its `name` is its path under the source, with `/` (through an archive's name, too).

    `path` is its file, or the archive that `member` is in. `problem` and `remedy` are set for a listed file that
    can't be read.
    """

    name: str
    path: Path
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None
    problem: str | None = None
    remedy: str = _CHECK

    @property
    def pure(self) -> PurePosixPath:
        return PurePosixPath(self.name)

    def read(self) -> bytes:
        """Return all its bytes. Raises BadInput, also for more than `LARGEST`."""
        self.check()
        try:
            packed = self.archive.open(self.member) if self.archive and self.member else None
            with packed or self.path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            raise BadInput(f"it can't be read ({error.strerror or error})", self.remedy) from error
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
            # Damage, and as RuntimeError a compression that zipfile does not know.
            raise BadInput(f"it can't be read from the archive ({error})", "download the archive again") from error
        if len(data) > LARGEST:
            raise BadInput(f"it has over {LARGEST / 1e9:g} GB, which is the most that is read", "split the file")
        return data

    def text(self) -> str:
        """Return its text. Raises BadInput if it can't be read, and for a Git LFS pointer."""
        data = self.read()
        if data.startswith(LFS_POINTER):
            raise BadInput("it is a Git LFS pointer, not the file itself", LFS_REMEDY)
        return utf8_text(data, self.name)

    def check(self) -> None:
        """Raise BadInput if it can't be read at all."""
        if self.problem:
            raise BadInput(self.problem, self.remedy)

    def located(self) -> dict[str, Any]:
        """A `{"bytes", "path"}` struct without bytes: a file in an archive has no path either."""
        return {"bytes": None, "path": None if self.archive else to_uri(self.path.absolute())}

    def audio(self) -> dict[str, Any]:
        """A `{"bytes", "path"}` struct: a file's path, or the bytes of a file in an archive. Raises BadInput."""
        self.check()
        return self.located() if self.archive is None else {"bytes": self.read(), "path": None}


@dataclass(frozen=True)
class Tree:
    """All files of a corpus, sorted by name."""

    files: tuple[FoundFile, ...]

    def named(self, name: str) -> FoundFile | None:
        """Return the file of this base name, in any case, that is least deep; None if there is none."""
        same = [file for file in self.files if file.pure.name.casefold() == name.casefold()]
        return min(same, key=lambda file: (len(file.pure.parts), file.name), default=None)


def open_tree(source: Path, stack: ExitStack) -> Tree:
    """List a source; archives stay open until `stack` closes.

    Raises DailytalkError if it is neither a folder nor a zip archive.
    """
    if source.is_dir():
        files = [file for found in walk(source) for file in _entries(found, stack)]
    elif source.is_file() and zipfile.is_zipfile(source):
        files = [*_members(FoundFile(source.name, source), "", stack)]
    else:
        raise DailytalkError(
            f"the corpus {as_text(source)!r} is neither a folder nor a zip archive", "give the folder it is in"
        )
    return Tree(tuple(sorted(files, key=lambda file: file.name)))


def walk(folder: Path) -> Iterator[FoundFile]:
    """Every file of a folder at any depth except hidden ones; links are followed to files, not to folders."""
    barred: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=barred.append):
        folders[:] = [name for name in folders if not _is_litter(name)]
        for path in (Path(parent, name) for name in (*folders, *files) if not _is_litter(name)):
            name, is_file = as_text(path.relative_to(folder)), path.is_file()
            if path.is_symlink() and leads_out(path, folder):
                yield FoundFile(name, path, problem=LINK_OUT, remedy=COPY_IT)
            elif is_file or not path.exists():
                yield FoundFile(
                    name, path, problem=None if is_file else "it is a link to a file that is not there"
                )
    for error in barred:
        path = Path(error.filename)
        yield FoundFile(as_text(path.relative_to(folder)), path, problem="it is a folder that can't be searched")


def _entries(file: FoundFile, stack: ExitStack) -> Iterator[FoundFile]:
    suffix = file.pure.suffix.lower()
    if file.problem or suffix not in (".zip", *_PACKED):
        yield file
    elif suffix == ".zip":
        yield from _members(file, f"{file.name}/", stack)
    else:
        yield FoundFile(file.name, file.path, problem=f"it is an archive ({suffix})", remedy="unpack it")


def _members(file: FoundFile, prefix: str, stack: ExitStack) -> Iterator[FoundFile]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(file.path))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        reason = f"it is no zip archive that can be read ({error})"
        yield FoundFile(file.name, file.path, problem=reason, remedy="download the archive again")
        return
    members = [(member, _refused(member)) for member in archive.infolist()]
    total = sum(member.file_size for member, problem in members if not problem)
    if total > max(LARGEST_ARCHIVE, MOST_SHRUNK * file.path.stat().st_size):
        reason = f"its files would be {total / 1e9:.1f} GB unpacked, over {MOST_SHRUNK} times its own size"
        yield FoundFile(file.name, file.path, problem=reason, remedy=_UNPACK)
        return
    for member, problem in members:
        parts = PurePosixPath(member.filename).parts
        if not member.is_dir() and not any(_is_litter(part) for part in parts if part != ".."):
            yield FoundFile(prefix + member.filename, file.path, archive, member, problem, _UNPACK)


def _refused(member: zipfile.ZipInfo) -> str | None:
    """Why a member of an archive is not read; None if it is."""
    parts = member.filename.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or parts[0][1:2] == ":":
        return "its name leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link in an archive"
    if member.flag_bits & 0x1:
        return "it is encrypted"
    if member.file_size > LARGEST:
        return f"it has {member.file_size / 1e9:.2f} GB unpacked, and {LARGEST / 1e9:g} GB are read at most"
    if member.filename.lower().endswith((".zip", *_PACKED)):
        return "it is an archive in an archive"
    return None


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER
