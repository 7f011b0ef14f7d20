"""The files of a corpus as it is distributed: a folder at any depth, zip archives in it, or one zip archive.

Unreadable files are listed too, because every file of a corpus has to be accounted for; only hidden names and
files that macOS and Windows leave behind are skipped. Archives are unpacked once, into the user's cache. They may
be hostile: members that lead out of it, links and encrypted ones are not unpacked, nor is an archive that is far
smaller than what it holds.
"""

import hashlib
import lzma
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.core.documents import as_text, utf8_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.quotas import MOST_ROW_BYTES
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.machine.audio import LFS_POINTER, LFS_REMEDY, audio_at
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.machine.regular_files import NO_FILE, SAVE_IT
from dailytalk_contiguous.machine.resources import cache_folder
from dailytalk_contiguous.sources.recordings.recording_files import chosen_links
from dailytalk_contiguous.store.files import COPY_IT, LINK_OUT, leads_out

_CHECK = "check the file and its permissions"
_UNPACK = "unpack the archive yourself if you trust it"


@dataclass(frozen=True)
class FoundFile:
    """A file of a corpus: its `name` is its path under the source, with `/` (through an archive's name, too).

    `problem` is set for a listed file that can't be read.
    """

    name: str
    path: Path
    problem: BadInput | None = None

    @property
    def pure(self) -> PurePosixPath:
        return PurePosixPath(self.name)

    def text(self) -> str:
        """Return its text. Raises BadInput if it can't be read, and for a Git LFS pointer."""
        data = read_bytes(self.path, _CHECK, MOST_ROW_BYTES)
        if data.startswith(LFS_POINTER):
            raise BadInput("it is a Git LFS pointer, not the file itself", LFS_REMEDY)
        return utf8_text(data, self.name)

    @property
    def audio(self) -> EncodedAudio:
        return audio_at(self.path)


@dataclass
class Tree:
    """All files of a corpus in the folder or archive `source`, sorted by name."""

    source: Path
    files: list[FoundFile]

    def named(self, name: str) -> FoundFile | None:
        """Return the file of this base name, in any case, that is least deep; None if there is none."""
        folded = name.casefold()
        same = [file for file in self.files if file.pure.name.casefold() == folded]
        same.sort(key=lambda file: (len(file.pure.parts), file.name))
        return same[0] if same else None

    def table(self, name: str) -> FoundFile:
        """Return the file of this base name. Raises DailytalkError if there is none."""
        table = self.named(name)
        if table is None:
            raise DailytalkError(f"{name} is not in {str(self.source)!r}", "give the whole folder of the corpus")
        return table


def open_tree(source: str | Path) -> Tree:
    """List a source. Raises DailytalkError if it is neither a folder nor a zip archive."""
    path = Path(source)
    if not str(source) or not path.exists():
        raise DailytalkError(f"the corpus {str(source)!r} does not exist", "give its folder or its zip archive")
    if path.is_dir():
        files: list[FoundFile] = []
        listed = [*_walk(path)]
        chosen = chosen_links(file.path for file in listed)
        for file in listed:
            files += _opened(replace(file, problem=None) if file.path in chosen else file, f"{file.name}/")
    elif path.is_file() and zipfile.is_zipfile(path):
        files = [*_opened(FoundFile(f"{path.stem}.zip", path), "")]
    else:
        raise DailytalkError(
            f"the corpus {as_text(path)!r} is neither a folder nor a zip archive", "give the folder it is in"
        )
    return Tree(path, sorted(files, key=lambda file: file.name))


def _walk(folder: Path) -> Iterator[FoundFile]:
    """Every file of a folder at any depth except hidden ones; links are followed to files, not to folders."""
    barred: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=barred.append):
        folders[:] = [name for name in folders if not _is_litter(name)]
        for base_name in (*folders, *files):
            if _is_litter(base_name):
                continue
            path = Path(parent, base_name)
            name = as_text(path.relative_to(folder))
            if path.is_symlink() and leads_out(path, folder):
                yield FoundFile(name, path, BadInput(LINK_OUT, COPY_IT))
            elif path.is_file():
                yield FoundFile(name, path)
            elif not path.exists():
                yield FoundFile(name, path, BadInput("it is a link to a file that is not there", _CHECK))
            elif not path.is_dir():
                yield FoundFile(name, path, BadInput(NO_FILE, SAVE_IT))
    for error in barred:
        path = Path(error.filename)
        problem = BadInput("it is a folder that can't be searched", _CHECK)
        yield FoundFile(as_text(path.relative_to(folder)), path, problem)


_LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER


#: What `zipfile` raises for damage, encryption and a compression that it does not know.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, struct.error)


def _opened(file: FoundFile, prefix: str) -> Iterator[FoundFile]:
    """The file, or what it holds if it is a zip archive."""
    if file.problem or file.pure.suffix.lower() != ".zip":
        yield file
        return
    try:
        with zipfile.ZipFile(file.path) as archive:
            usable = []
            refused: dict[str, str] = {}
            for member in archive.infolist():
                if member.is_dir():
                    continue
                refusal = _refusal(member)
                if refusal:
                    refused[member.filename] = refusal
                else:
                    usable.append(member)
            # An archive may hold a name twice: neither is unpacked if one of them is refused.
            usable = [member for member in usable if member.filename not in refused]
            folder = _unpacked(archive, file.path, usable)
    except _DAMAGE as error:
        reason = f"it is not a readable zip archive ({error})"
        yield FoundFile(file.name, file.path, BadInput(reason, "download the archive again"))
    except BadInput as problem:
        yield FoundFile(file.name, file.path, problem)
    else:
        for unpacked in _walk(folder):
            yield FoundFile(prefix + unpacked.name, unpacked.path, unpacked.problem)
        for name, refusal in refused.items():
            yield FoundFile(prefix + name, file.path, BadInput(refusal, _UNPACK))


def _refusal(member: zipfile.ZipInfo) -> str:
    """Why a member of an archive is not unpacked; empty if it is."""
    parts = member.filename.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or ":" in parts[0]:
        return "its name leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link in an archive"
    if member.flag_bits & 0x1:
        return "it is encrypted"
    if member.file_size > MOST_ROW_BYTES:
        size = f"{member.file_size / 1e9:.2f} GB"
        return f"it has {size} unpacked, and {MOST_ROW_BYTES / 1e9:g} GB are read at most"
    return ""


#: Bytes that the members of an archive may have in any case.
LARGEST_ARCHIVE = 2_000_000_000

#: How many times an archive's own bytes its members may have beyond that. Speech shrinks to a half or a third in a
#: zip, tables to a tenth.
MOST_SHRUNK = 100


def _unpacked(archive: zipfile.ZipFile, path: Path, members: list[zipfile.ZipInfo]) -> Path:
    """The folder of the user's cache in which members of a zip archive are, unpacked there once.

    Raises BadInput for an archive that is far larger than itself, what `zipfile` raises, and OSError as the disk.
    """
    status = path.stat()
    key = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:20]
    folder = cache_folder() / "archives" / digest
    if folder.is_dir():
        return folder
    total = sum(member.file_size for member in members)
    if total > max(LARGEST_ARCHIVE, MOST_SHRUNK * status.st_size):
        reason = f"its files would be {total / 1e9:.1f} GB unpacked, over {MOST_SHRUNK} times its own size"
        raise BadInput(reason, _UNPACK)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent, ignore_cleanup_errors=True) as part:
        unpacked = Path(part, "files")
        unpacked.mkdir()  # of an archive without files, too
        archive.extractall(unpacked, members)
        unpacked.rename(folder)
    return folder
