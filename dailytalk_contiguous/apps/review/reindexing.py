"""Numbered recordings (`NAME_000007.wav`, `Audio001.wav`) renumbered without gaps, with all references.

Words may follow the number, as `dailytalk split --words` writes them (`NAME_000007-so-we-went.wav`); they stay.
The folder is copied with the new names, audio as hard links where the file system has them, and the copy takes the
place of the folder, which stays as the backup. So readers see the old names or the new ones, and never a mixture.
Discarded files, and names that are mentioned and whose files are missing, are numbered after the others: no file
loses its name to another.
"""

import json
import os
import posixpath
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.apps.review.history import HISTORY
from dailytalk_contiguous.apps.review.layouts import DISCARDED, DISCARDED_ENTRIES
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.sources.whisper_json import WHISPER_JSON
from dailytalk_contiguous.store import files

#: In a backup: the folder as it was.
_OLD = "folder"

#: In a backup: the documents of the folder above as they were.
_ABOVE = "above"

#: In a backup: the folder as it was before an undo.
UNDONE = "undone"

#: A name with words behind its number, which is padded: it begins with 0. A number at the end is the name's: of
#: call_000003-again_000012 it is 12.
_WORDED = re.compile(
    r"""
        (?! .* _[0-9]{6,} \Z )
        (?P<prefix> .+ _ )
        (?P<digits> 0 [0-9]{5,17} )
        (?P<words>
            (?: - | _ (?= .* [^\W\d_] ) )  # -so-we-went, or _words_behind, which has a letter
            [^.]+
        )
    """,
    re.DOTALL | re.VERBOSE,
)

#: A name that ends in its number.
_NUMBERED = re.compile("(?P<prefix>.+?)(?P<digits>[0-9]{1,18})(?P<words>)", re.DOTALL)


@dataclass
class Reindexed:
    """The renamed files, or those to rename.

    Attributes:
        names: new names without endings by old paths without them, including those that are only mentioned.
        files: how many files are renamed.
        documents: the changed ones.
        numbered: how many recordings have a number.
        unnamed: recordings without a number in their names, which stay as they are.
        backup: the folder as it was; None if nothing was renamed.
    """

    names: dict[str, str] = field(default_factory=dict)
    files: int = 0
    documents: list[str] = field(default_factory=list)
    numbered: int = 0
    unnamed: list[str] = field(default_factory=list)
    backup: Path | None = None


def reindex_folder(folder: Path, dry_run: bool = False) -> Reindexed:
    """Number the recordings of a folder without gaps, by number, from 1 (0 where the first one is 0).

    Each folder in it, and each beginning of names in that, is a series of its own. Files beside them of the same
    name follow, and so do the names in `_DOCUMENTS`, here or in the folder above. Recordings of one number that
    their words tell apart (`_left`, `_right`) get one number again. A series keeps its number of
    digits; numbers with words behind them have six or more.

    Args:
        folder: of the recordings.
        dry_run: rename nothing.

    Raises:
        DailytalkError: another command holds the folder, a document leads out of it, or a new name is
            taken. Nothing is renamed then.
        OSError: as the disk does; nothing is renamed then.
    """
    with _folder_locked(folder) as root:
        contents = _Contents(root)
        names = contents.numbered()
        documents = contents.renamed_documents(names)
        renamed = {path: new for path, new in names.items() if new != posixpath.basename(path)}
        result = Reindexed({posixpath.relpath(path, root.name): new for path, new in renamed.items()})
        result.files = sum(1 for path in contents.files if _new_path(names, path) != path)
        result.documents = sorted(posixpath.relpath(path, root.name) for path in documents)
        result.numbered = len(contents.items)
        result.unnamed = contents.unnamed
        if renamed and not dry_run:
            result.backup = _take_place(contents, names, documents)
        return result


#: In a backup: the documents of the folder above as they were before an undo.
_UNDONE_ABOVE = "undone-above"


def undo_reindex(folder: Path, dry_run: bool = False) -> Path:
    """Put the folder, and the documents above it, back as they were before the last `reindex_folder`.

    Their state until then is kept in the backup, which is returned. Raises DailytalkError if there is none.
    """
    with _folder_locked(folder) as root:
        backups = _backups(root)
        if not backups:
            raise DailytalkError(f"{as_text(folder)!r} has no reindex to undo", "leave --undo out")
        backup = backups[0]
        top = root.parent
        if not dry_run:
            old = {path.name: _whole(top, path.relative_to(top)) for path in (backup / _ABOVE).glob("*")}
            now = {name: _whole(top, Path(name)) for name in old if (top / name).exists()}
            for name, data in now.items():
                files.write_bytes(files.inside(top, backup.relative_to(top) / _UNDONE_ABOVE / name), data)
            for name, data in old.items():
                files.write_bytes(top / name, data)
            root.rename(backup / UNDONE)
            (backup / _OLD).rename(root)
        return backup


#: Bytes of a document that is read.
_LARGEST_DOCUMENT = 1 << 30


def _whole(root: Path, name: Path) -> bytes:
    """The content of a document. Raises BadInput for one that leads out of `root`, or can't be read."""
    return read_bytes(files.inside(root, name), "fix it, or move it away", _LARGEST_DOCUMENT)


@contextmanager
def _folder_locked(folder: Path) -> Iterator[Path]:
    """Hold a folder, and the one above if another command may."""
    root = Path(os.path.realpath(folder))
    if not os.path.lexists(root):
        backups = _backups(root)
        if backups:
            (backups[0] / _OLD).rename(root)  # a call was killed between its two renames
    if not root.is_dir():
        raise DailytalkError(f"{as_text(folder)!r} is not a folder", "name the folder of the recordings")
    with ExitStack() as stack:
        stack.enter_context(files.folder_locked(root))
        if os.path.lexists(root.parent / files.FOLDER_LOCK):
            stack.enter_context(files.folder_locked(root.parent))
        yield root


def _backups(root: Path) -> list[Path]:
    """The backups of a folder that can be put back, the latest first; a link is none, for it may lead anywhere."""
    backups: list[Path] = []
    for old in (root.parent / files.REINDEXED / root.name).glob(f"[0-9][0-9][0-9][0-9]/{_OLD}"):
        if old.is_dir() and not old.is_symlink() and files.is_inside(old, root.parent):
            backups.append(old.parent)
    return sorted(backups, reverse=True)


def _take_place(contents: "_Contents", names: Mapping[str, str], documents: Mapping[str, bytes]) -> Path:
    """Copy the folder with new names, put the copy in its place and return the backup."""
    top = contents.root.parent
    root = contents.root
    backups = top / files.REINDEXED / root.name
    if not files.is_inside(backups, top):
        raise DailytalkError(f"{as_text(backups)!r} leads out of its folder", f"delete {files.REINDEXED!r}")
    for killed in backups.glob("*/new"):  # before they had changed anything
        shutil.rmtree(killed, ignore_errors=True)
    number = max((int(path.name) for path in backups.glob("[0-9][0-9][0-9][0-9]")), default=0) + 1
    backup = backups / f"{number:04d}"
    copy = backup / "new"
    above = [path for path in documents if "/" not in path]
    try:
        _fill_copy(copy, contents, names, documents)
        for path in above:
            files.write_bytes(backup / _ABOVE / path, _whole(top, Path(path)))
        root.rename(backup / _OLD)
        copy.rename(root)
    except BaseException:
        if not os.path.lexists(root):
            (backup / _OLD).rename(root)
        shutil.rmtree(backup, ignore_errors=True)
        raise
    for path in above:
        files.write_bytes(top / path, documents[path])
    return backup / _OLD


def _fill_copy(
    copy: Path, contents: "_Contents", names: Mapping[str, str], documents: Mapping[str, bytes]
) -> None:
    """Make a copy of the folder with new names, in which `documents` replace files by their old paths.

    Audio is linked; what people edit is copied, since programs may write it in place. Raises DailytalkError if two
    files would have one name.
    """
    top = contents.root.parent
    for path in contents.folders:
        (copy / Path(path).relative_to(contents.root.name)).mkdir(parents=True)
    for path in contents.files:
        source = top / path
        target = copy / Path(_new_path(names, path)).relative_to(contents.root.name)
        if os.path.lexists(target):
            raise DailytalkError(f"the name {target.name!r} is taken", "move that file away")
        if path in documents:
            files.write_bytes(target, documents[path])
            continue
        if target.name == files.FOLDER_LOCK:
            continue
        if source.suffix.lower() in AUDIO_SUFFIXES and not source.is_symlink():
            with suppress(OSError):  # a file system without hard links
                os.link(source, target)
                continue
        shutil.copy2(source, target, follow_symlinks=False)
    for path in reversed(contents.folders):
        shutil.copymode(top / path, copy / Path(path).relative_to(contents.root.name))


class _Item(NamedTuple):
    """A numbered recording: its folder, and the parts of its name; `words` has its hyphen, and may be empty."""

    folder: str
    prefix: str
    digits: str
    words: str

    @property
    def path(self) -> str:
        return posixpath.join(self.folder, self.prefix + self.digits + self.words)

    @property
    def is_discarded(self) -> bool:
        return posixpath.basename(self.folder) == DISCARDED

    @property
    def series(self) -> tuple[str, str]:
        """The folder whose numbers it shares (a discarded item may be restored), and the start of its name."""
        folder = posixpath.dirname(self.folder) if self.is_discarded else self.folder
        return folder, self.prefix

    @property
    def rank(self) -> tuple[bool, int, str]:
        """The key of its position: discarded ones come last."""
        return self.is_discarded, int(self.digits), self.path


def _item(path: str) -> _Item | None:
    """The item of a path without an ending, which may have no recording; None without a number."""
    folder, stem = posixpath.split(path)
    match = _WORDED.fullmatch(stem) or _NUMBERED.fullmatch(stem)
    if match is None:
        return None
    return _Item(folder, match["prefix"], match["digits"], match["words"])


def _without_gaps(items: Sequence[_Item]) -> Iterator[tuple[_Item, int]]:
    """Yield the items of a series, in its order, with their new numbers.

    Items of one number share the new one if their words differ. A discarded item never shares that of another.
    """
    following = min(1, int(items[0].digits))
    shared: dict[tuple[bool, int], int] = {}
    words: set[tuple[int, str]] = set()
    for item in items:
        number = shared.get((item.is_discarded, int(item.digits)), following)
        if (number, item.words) in words:
            number = following
        if number == following:
            following += 1
        shared[item.is_discarded, int(item.digits)] = number
        words.add((number, item.words))
        yield item, number


def _recordings_beside(root: Path) -> dict[str, str]:
    """The folders of recordings by their names: of those in the folder above, and in the others in that."""
    folders: dict[str, str] = {}
    for folder in (root.parent, *root.parent.iterdir()):
        if folder != root and folder.is_dir():
            for recording in folder.glob("*"):
                if recording.suffix.lower() in AUDIO_SUFFIXES:
                    folders[recording.stem] = folder.name
    return folders


#: The documents that name recordings: those of `transcribe` and `split`, and two that `review` writes.
_DOCUMENTS = (WHISPER_JSON, "manifest.jsonl", DISCARDED_ENTRIES, HISTORY)

#: A string in a document.
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')

#: The fewest digits of a number that has words behind it.
_WORDED_DIGITS = 6


class _Contents:
    """The numbered recordings of a folder by their paths, its files, and the documents in and above it.

    Paths are relative to the folder above it; those of documents in that have no slash.
    """

    def __init__(self, root: Path) -> None:
        self.top = root.parent
        self.root = root
        self.folders: list[str] = []
        self.files: list[str] = []
        unreadable: list[OSError] = []
        for parent, folders, names in os.walk(root, onerror=unreadable.append):
            where = Path(parent).relative_to(self.top).as_posix()
            self.folders.append(where)
            links = [name for name in folders if Path(parent, name).is_symlink()]
            self.files += [posixpath.join(where, name) for name in sorted([*names, *links])]
        if unreadable:
            raise unreadable[0]
        self.items: dict[str, _Item] = {}
        self.unnamed: list[str] = []
        self._namesakes: defaultdict[str, list[_Item]] = defaultdict(list)
        for path in self.files:
            stem, suffix = posixpath.splitext(path)
            if suffix.lower() not in AUDIO_SUFFIXES or "/." in path:
                continue
            item = _item(stem)
            if item is None:
                self.unnamed.append(posixpath.relpath(path, root.name))
            elif item.path not in self.items:
                self.items[item.path] = item
                self._namesakes[posixpath.basename(stem)].append(item)
        self.series = {item.series for item in self.items.values()}
        self.documents: dict[str, str] = {}
        for path in self.files:
            is_link_inside = (self.top / path).is_symlink() and files.is_inside(self.top / path, root)
            if posixpath.basename(path) in _DOCUMENTS and not is_link_inside:  # it changes with what it names
                self._add_document(path, root)
        for name in _DOCUMENTS:
            if (self.top / name).is_file() and not (self.top / name).is_symlink():
                self._add_document(name, self.top)
        self._elsewhere = _recordings_beside(root)

    def _add_document(self, path: str, root: Path) -> None:
        """Read a document. Raises BadInput for one that can't be read."""
        data = _whole(root, (self.top / path).relative_to(root))
        self.documents[path] = data.decode("utf-8", "surrogateescape")

    def numbered(self) -> dict[str, str]:
        """New names of all items, and of names without a recording that are mentioned, by their paths."""
        series: defaultdict[tuple[str, str], list[_Item]] = defaultdict(list)
        for item in sorted(self.items.values(), key=lambda item: item.rank):
            series[item.series].append(item)
        widths: dict[tuple[str, str], int] = {}
        for name, items in series.items():  # of 08, 09, 10 two digits, of 8, 9, 10 one
            lengths = [len(item.digits) for item in items]
            padded = [len(item.digits) for item in items if item.digits.startswith("0") and len(item.digits) > 1]
            widths[name] = max(padded, default=min(lengths))
            if any(item.words for item in items):
                widths[name] = max(widths[name], _WORDED_DIGITS)
        for item in sorted(self._missing(), key=lambda item: item.rank):
            series[item.series].append(item)
        names: dict[str, str] = {}
        for name, items in series.items():
            for item, number in _without_gaps(items):
                width = max(widths[name], _WORDED_DIGITS if item.words else 0)
                names[item.path] = f"{item.prefix}{number:0{width}d}{item.words}"
        return names

    def _missing(self) -> set[_Item]:
        """Items of existing series that have no recording: of files of other kinds, and of names in documents."""
        missing: set[_Item] = set()
        for path in self.files:
            folder, name = posixpath.split(path)
            stem, _, _ = name.partition(".")
            item = _item(posixpath.join(folder, stem))
            if item and item.series in self.series:
                missing.add(item)
        for document in self.documents:
            named: set[_Item] = set()
            self._followed(document, named.add)
            # A document above may be about other recordings with similar names.
            if "/" in document or any(item.path in self.items for item in named):
                missing |= named
        return {item for item in missing if item.path not in self.items}

    def renamed_documents(self, names: Mapping[str, str]) -> dict[str, bytes]:
        """The documents that change, as they are with other names."""
        changed: dict[str, bytes] = {}
        for document, text in self.documents.items():
            followed = self._followed(document, lambda item: names.get(item.path))
            if followed != text:
                changed[document] = followed.encode("utf-8", "surrogateescape")
        return changed

    def _followed(self, document: str, rename: Callable[[_Item], str | None]) -> str:
        """A document with other names for its items; `rename` returns None where an item keeps its own."""

        def renamed(match: re.Match[str]) -> str:
            try:
                name = json.loads(match[0])
            except ValueError:
                return match[0]
            stem, suffix = posixpath.splitext(name)
            item = self._named(stem, document) if suffix.lower() in AUDIO_SUFFIXES else None
            new = rename(item) if item else None
            if new is None or new == posixpath.basename(stem):
                return match[0]
            renamed_path = posixpath.join(posixpath.dirname(stem), new + suffix)
            return json.dumps(renamed_path, ensure_ascii=match[0].isascii())

        return _STRING.sub(renamed, self.documents[document])

    def _named(self, name: str, document: str) -> _Item | None:
        """The item of a document's name without an ending; it may have no recording. Raises BadInput for two."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(document), name))
        if path in self.items:
            return self.items[path]
        namesakes = self._namesakes.get(name, [])
        namesakes = [item for item in namesakes if not item.is_discarded] or namesakes
        places = sorted(repr(item.path) for item in namesakes)
        if namesakes and "/" not in document and name in self._elsewhere:
            places = [repr(self.root.name), repr(self._elsewhere[name])]
        if len(places) > 1:
            raise BadInput(
                f"{document!r} names {name!r}, which is in {' and '.join(places)}",
                "write the folder before the names in it, or move it away",
            )
        item = namesakes[0] if namesakes else _item(path)
        if item is None or item.series in self.series:
            return item
        folders = [series_folder for series_folder, prefix in self.series if prefix == item.prefix]
        if "/" in name or name in self._elsewhere or len(folders) != 1:
            return None
        return item._replace(folder=folders[0])


def _new_path(names: Mapping[str, str], path: str) -> str:
    """The path of a file with the new name of the item that it belongs to."""
    dots = [match.start() for match in re.finditer(r"\.(?!.*/)", path)]
    for dot in reversed(dots):
        stem = path[:dot]
        if stem in names:
            return posixpath.join(posixpath.dirname(path), names[stem] + path[dot:])
    return path
