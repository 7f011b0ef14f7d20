"""Numbered recordings (`NAME_000007.wav`, `Audio001.wav`) renumbered without gaps, with all references.

The folder is copied with the new names, audio as hard links where the file system has them, and the copy takes the
place of the folder, which stays as the backup. So readers see the old names or the new ones, and never a mixture.
Discarded files, and names that are mentioned and whose files are missing, are numbered after the others: no file
loses its name to another.
"""

import hashlib
import json
import os
import posixpath
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.review.editable import DISCARDED, signature_of
from dailytalk_contiguous.apps.review.history import HISTORY
from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import as_text, expect, parse_json, read_bytes, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.sources.whisper_json import clips_folder
from dailytalk_contiguous.store import files
from dailytalk_contiguous.store.owned_folder import RECORD

#: In a backup: the old folder, the old documents of the folder above, and the state that both were left in.
_OLD, _ABOVE, _STATE = "folder", "above", "state.json"

#: Words in the names of JSON files that are never changed.
_KEPT = ("backup", "unsanitized")

#: Fields of a manifest or transcript that name a recording, and those that hold an id made of its name.
FILE_FIELDS = ("file", "path", "audio_file", "audio", "audio_filepath", "wav")
ID_FIELDS = ("id", "item", "conversation_id", "recording_id", "utterance_id")

#: Bytes of a document that is read.
LARGEST_DOCUMENT = 1 << 30

#: Files with a row a line whose first column names a recording.
_TABLES = frozenset({".csv", ".tsv", ".list", ".lst", ".txt"})

#: The text before a number, the number, and the words after it that `dailytalk split --words` writes.
_WITH_WORDS = re.compile(r"(.+_)([0-9]{6,18})(-(?=[^_]*[^\W\d_])[^_]+)", re.DOTALL)
_NUMBERED = re.compile(r"(.*?)([0-9]{1,18})()", re.DOTALL)
_FIRST_COLUMN = re.compile(r'("?)([^|,\t"\r\n]+)(?=["|,\t])')


@dataclass
class Reindexed:
    """The renamed files, or those to rename.

    Attributes:
        names: new names without endings by old paths without them, including those that are only mentioned.
        files: how many files are renamed.
        documents: changed transcripts, manifests and tables.
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


def reindex_folder(folder: Path, digits: int | None = None, dry_run: bool = False) -> Reindexed:
    """Number the recordings of a folder without gaps, by number, from 1 (0 where the first one is 0).

    Each folder in it, and each beginning of names in that, is a series of its own. Files beside them of the same
    name, and transcripts, manifests and tables that name them, here or in the folder above, follow.

    Args:
        folder: of the recordings.
        digits: of a number; as many as it had if None.
        dry_run: rename nothing.

    Raises:
        DailytalkError: another command holds the folder, a document is damaged or a link out of it, or a new name
            is taken. Nothing is renamed then.
        OSError: as the disk does; nothing is renamed then.
    """
    with _held(folder) as root:
        contents = _Contents(root)
        names = _numbered(contents, digits)
        documents = _changed_documents(contents, names)
        renamed = {path: new for path, new in names.items() if new != posixpath.basename(path)}
        result = Reindexed({posixpath.relpath(path, root.name): new for path, new in renamed.items()})
        result.files = sum(_new_path(names, path) != path for path in contents.files)
        result.documents = sorted(posixpath.relpath(path, root.name) for path in documents)
        result.numbered, result.unnamed = len(contents.items), contents.unnamed
        if renamed and not dry_run:
            result.backup = _take_place(contents, names, documents)
        return result


def undo_reindex(folder: Path, dry_run: bool = False) -> Path:
    """Put the folder, and the documents above it, back as they were before the last `reindex_folder`.

    Returns the backup that it was. Raises DailytalkError if there is none, or if anything was changed since.
    """
    with _held(folder) as root:
        backup = _last_backup(root)
        if backup is None:
            raise DailytalkError(f"{as_text(folder)!r} has no reindex to undo", "leave --undo out")
        shape = {"files": {str: [int]}, "above": {str: str}}
        path = backup / _STATE
        state = expect(read_json(path, limit=LARGEST_DOCUMENT), shape, as_text(path))
        old_above = {
            name: read_bytes(files.inside(root.parent, (backup / _ABOVE / name).relative_to(root.parent)))
            for name in state["above"]
        }
        above = {name: read_bytes(files.inside(root.parent, name)) for name in old_above}
        is_same = all(
            _digest(above[name]) == digest or above[name] == old_above[name]
            for name, digest in state["above"].items()
        )
        if not is_same or _signatures(root) != state["files"]:
            raise DailytalkError(
                f"{as_text(folder)!r} was changed since it was reindexed",
                f"take what you need out of {as_text(backup / _OLD)!r}, or reindex it as it is now",
            )
        if not dry_run:
            root.rename(backup / "undone")
            (backup / _OLD).rename(root)
            for name, data in old_above.items():
                files.write_bytes(root.parent / name, data)
            shutil.rmtree(backup)
        return backup


@contextmanager
def _held(folder: Path) -> Iterator[Path]:
    """Hold a folder, and the one above if another command may."""
    root = Path(os.path.realpath(folder))
    backup = _last_backup(root)
    if backup and not os.path.lexists(root):
        (backup / _OLD).rename(root)  # a call was killed between its two renames
        shutil.rmtree(backup)
    if not root.is_dir():
        raise DailytalkError(f"{as_text(folder)!r} is no folder", "name the folder of the recordings")
    with ExitStack() as stack:
        for place in (root, root.parent):
            if place == root or os.path.lexists(place / files.FOLDER_LOCK):
                stack.enter_context(files.folder_locked(place))
        yield root


def _last_backup(root: Path) -> Path | None:
    """The latest backup of a folder; a link is none, for it may lead anywhere."""
    folders = sorted((root.parent / files.REINDEXED / root.name).glob("[0-9][0-9][0-9][0-9]"), reverse=True)
    whole = (path for path in folders if (path / _OLD).is_dir() and not (path / _OLD).is_symlink())
    return next((path for path in whole if files.is_inside(path, root.parent)), None)


def _take_place(contents: "_Contents", names: Mapping[str, str], documents: Mapping[str, bytes]) -> Path:
    """Copy the folder with new names, put the copy in its place and return the backup."""
    root, top = contents.folder, contents.folder.parent
    last = _last_backup(root)
    backup = top / files.REINDEXED / root.name / f"{int(last.name) + 1 if last else 1:04d}"
    above = {path: data for path, data in documents.items() if path in contents.above}
    copy = backup / "new"
    made: list[tuple[str, Path]] = []
    if not files.is_inside(backup, top):
        raise DailytalkError(f"{as_text(backup)!r} leads out of its folder", f"delete {files.REINDEXED!r}")
    shutil.rmtree(backup, ignore_errors=True)  # of a call that was killed before it changed anything
    try:
        for parent, folders, found in os.walk(root, onerror=_raise):
            where = Path(parent).relative_to(top).as_posix()
            target = copy / Path(parent).relative_to(root)
            target.mkdir(parents=True)
            made.append((parent, target))
            for name in [*found, *(name for name in folders if (Path(parent) / name).is_symlink())]:
                path = posixpath.join(where, name)
                to = target / posixpath.basename(_new_path(names, path))
                if os.path.lexists(to):
                    raise DailytalkError(f"the name {to.name!r} is taken", "move that file away")
                if path in documents:
                    files.write_bytes(to, documents[path])
                elif name != files.FOLDER_LOCK:
                    _copy(top / path, to)
        for parent, target in reversed(made):
            shutil.copymode(parent, target)
        for name in above:
            files.write_bytes(backup / _ABOVE / name, contents.documents[name])
        state = {"files": _signatures(copy), "above": {name: _digest(data) for name, data in above.items()}}
        files.write_text(backup / _STATE, json.dumps(state))
        root.rename(backup / _OLD)
        copy.rename(root)
    except BaseException:
        if not os.path.lexists(root):
            (backup / _OLD).rename(root)
        if not (backup / _OLD).exists():
            shutil.rmtree(backup, ignore_errors=True)
        raise
    for name, data in above.items():
        files.write_bytes(top / name, data)
    return backup / _OLD


def _copy(source: Path, target: Path) -> None:
    """Audio is linked; what people edit is copied, since programs may write it in place."""
    if source.suffix.lower() in AUDIO_SUFFIXES and not source.is_symlink():
        with suppress(OSError):  # a file system without hard links
            os.link(source, target)
            return
    shutil.copy2(source, target, follow_symlinks=False)


def _signatures(root: Path) -> dict[str, Any]:
    """The signature of every file below a folder, except the lock."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != files.FOLDER_LOCK]
    return {as_text(path.relative_to(root)): signature_of(path) for path in paths}


@dataclass
class _Item:
    """A numbered recording: its folder, and the parts of its name."""

    folder: str
    prefix: str
    digits: str
    tail: str

    @property
    def number(self) -> int:
        return int(self.digits)

    @property
    def path(self) -> str:
        return posixpath.join(self.folder, self.prefix + self.digits + self.tail)

    @property
    def series(self) -> tuple[str, str]:
        """The folder whose numbers it shares (a discarded item may be restored), and the start of its name."""
        is_discarded = posixpath.basename(self.folder) == DISCARDED
        return posixpath.dirname(self.folder) if is_discarded else self.folder, self.prefix

    @property
    def rank(self) -> tuple[bool, int, str]:
        """The key of its position: discarded ones come last."""
        return posixpath.basename(self.folder) == DISCARDED, self.number, self.path


def _item(folder: str, stem: str) -> _Item | None:
    match = _WITH_WORDS.fullmatch(stem) or _NUMBERED.fullmatch(stem)
    return _Item(folder, match[1], match[2], match[3]) if match else None


class _Contents:
    """The numbered items of a folder by their paths, its files, and the documents in and above it.

    Paths are relative to the folder above it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.top = folder, folder.parent
        self.items: dict[str, _Item] = {}
        self.files: list[str] = []
        self.unnamed: list[str] = []
        for parent, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            where = Path(parent).relative_to(self.top).as_posix()
            self.files += [posixpath.join(where, name) for name in sorted(names)]
        for path in self.files:
            where, name = posixpath.split(path)
            if name.startswith(".") or Path(name).suffix.lower() not in AUDIO_SUFFIXES:
                continue
            if item := _item(where, Path(name).stem):
                self.items.setdefault(item.path, item)
            else:
                self.unnamed.append(posixpath.relpath(path, folder.name))
        self.series = {item.series for item in self.items.values()}
        self.documents = {path: data for path in self.files if (data := self._read(path, self.folder))}
        self.above: set[str] = set()
        for name in sorted(os.listdir(self.top)):
            with suppress(BadInput):  # another program's, such as a link in a home folder
                if not (self.top / name).is_symlink() and (data := self._read(name, self.top)):
                    self.documents[name] = data
                    self.above.add(name)

    def _read(self, path: str, root: Path) -> bytes | None:
        """A document that may name an item. Raises BadInput for one that can't be read."""
        place, name = self.top / path, posixpath.basename(path)
        is_table = Path(name).suffix.lower() in (".json", ".jsonl", *_TABLES)
        if name not in (RECORD, HISTORY) and (
            name.startswith(".") or not is_table or any(word in name.lower() for word in _KEPT)
        ):
            return None
        if place.is_symlink() and files.is_inside(place, root):
            return None  # it changes with what it names
        data = read_bytes(
            files.inside(root, place.relative_to(root)), "mend it, or move it away", LARGEST_DOCUMENT
        )
        forms = {form for _, prefix in self.series for form in (prefix, json.dumps(prefix)[1:-1])}
        return data if any(form.encode("utf-8", "surrogateescape") in data for form in forms) else None

    def named(self, mention: str, document: str) -> tuple[_Item, str] | None:
        """The item that a document names, and the rest of the text: an ending, a line's number. None for no item.

        Raises BadInput for a name that two items have.
        """
        for end in (len(mention), *reversed([match.start() for match in re.finditer(r"[./]", mention)])):
            if item := self._present(mention[:end], document):
                return item, mention[end:]
        suffix = Path(mention).suffix if Path(mention).suffix.lower() in AUDIO_SUFFIXES else ""
        item = self._gone(mention.removesuffix(suffix), document)
        return (item, suffix) if item else None

    def _present(self, bare: str, document: str) -> _Item | None:
        folder = posixpath.dirname(document)
        if posixpath.isabs(bare):
            bare = os.path.relpath(bare, self.top / folder)
        path = posixpath.normpath(posixpath.join(folder, bare))
        if path in self.items:
            return self.items[path]
        namesakes = self._namesakes.get(bare, [])
        if not namesakes or not self.is_ours(bare, document):
            return None
        of_discarded = posixpath.basename(document).startswith("discarded")
        fitting = [item for item in namesakes if item.rank[0] == of_discarded] or namesakes
        if len(fitting) > 1:
            raise BadInput(
                f"{document!r} names {bare!r}, which is in {' and '.join(sorted(repr(o.path) for o in fitting))}",
                "write the folder before the names in it, or reindex these folders one by one",
            )
        return fitting[0]

    def _gone(self, bare: str, document: str) -> _Item | None:
        """The item of an existing series whose file is gone."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(document), bare))
        item = _item(*posixpath.split(path))
        if item is None or item.series in self.series:
            return item
        others = [folder for folder, prefix in self.series if prefix == item.prefix]
        if len(others) != 1 or "/" in bare or not self.is_ours(bare, document):
            return None
        return replace(item, folder=others[0])

    @cached_property
    def _namesakes(self) -> dict[str, list[_Item]]:
        """The items by their names alone."""
        namesakes: defaultdict[str, list[_Item]] = defaultdict(list)
        for path, item in self.items.items():
            namesakes[posixpath.basename(path)].append(item)
        return namesakes

    def is_ours(self, bare: str, document: str) -> bool:
        """Whether a name without a folder, in a document, is that of a recording of this folder.

        Raises BadInput if another folder has one of the same name.
        """
        if document not in self.above or document == HISTORY:
            return True
        with suppress(BadInput):
            audio, texts = clips_folder(self.top)
            if texts is not None and document == texts.name:
                return audio == self.folder
        if others := sorted(name for name, stems in self._siblings.items() if bare in stems):
            both = f"{self.folder.name!r} and {others[0]!r}"
            raise BadInput(
                f"{as_text(self.top / document)!r} names {bare!r}, which is in {both}",
                "write the folder before the names in it, or move it away",
            )
        return True

    @cached_property
    def _siblings(self) -> dict[str, set[str]]:
        """The names without endings of recordings in the folder above, and in the others in that."""
        stems: dict[str, set[str]] = {}
        for place in (self.top, *files.folders_in(self.top)):
            if place != self.folder:
                with suppress(OSError):
                    names = (path.name for path in place.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
                    stems["." if place == self.top else place.name] = {Path(name).stem for name in names}
        return stems


def _raise(error: OSError) -> None:
    raise error


def _numbered(contents: _Contents, digits: int | None) -> dict[str, str]:
    """New names of all items, and of names without a recording that are mentioned, by their paths."""
    series: defaultdict[tuple[str, str], list[_Item]] = defaultdict(list)
    for item in sorted(contents.items.values(), key=lambda item: item.rank):
        series[item.series].append(item)
    widths: dict[tuple[str, str], int] = {}
    for name, items in series.items():  # of 08, 09, 10 two digits, of 8, 9, 10 one
        padded = [len(item.digits) for item in items if item.digits.startswith("0") and len(item.digits) > 1]
        widths[name] = digits or max(padded, default=min(len(item.digits) for item in items))
    for item in sorted(_missing(contents).values(), key=lambda item: item.rank):
        series[item.series].append(item)
    return {
        item.path: f"{item.prefix}{number:0{widths[name]}d}{item.tail}"
        for name, items in series.items()
        for number, item in enumerate(items, min(1, items[0].number))
    }


def _missing(contents: _Contents) -> dict[str, _Item]:
    """Items of existing series that have no recording: of files of other kinds, and of names in documents."""
    present = {path: path for path in contents.items}
    missing: dict[str, _Item] = {}
    for path in contents.files:
        where, name = posixpath.split(path)
        item = _item(where, name.partition(".")[0])
        if item and item.series in contents.series and item.path not in present:
            missing[item.path] = item
    for path, data in contents.documents.items():
        mentioned: dict[str, _Item] = {}

        def note(mention: str, path: str = path, mentioned: dict[str, _Item] = mentioned) -> None:
            if found := contents.named(mention, path):
                mentioned[found[0].path] = found[0]

        with suppress(*([_Unread] if path in contents.above else [])):
            _followed(path, data, note)
        # A document above may be about other recordings with similar names.
        if path not in contents.above or mentioned.keys() & present.keys():
            missing |= {path: item for path, item in mentioned.items() if path not in present}
    return missing


def _new_path(names: Mapping[str, str], path: str) -> str:
    """The path of a file with the new name of the item that it belongs to."""
    for dot in sorted((match.start() for match in re.finditer(r"\.(?!.*/)", path)), reverse=True):
        if path[:dot] in names:
            return posixpath.join(posixpath.dirname(path), posixpath.basename(names[path[:dot]]) + path[dot:])
    return path


class _Unread(BadInput):
    """A document has another content than its name says: above the folder it may be another program's."""


def _changed_documents(contents: _Contents, names: Mapping[str, str]) -> dict[str, bytes]:
    documents: dict[str, bytes] = {}
    for path, data in contents.documents.items():

        def rename(mention: str, path: str = path) -> str | None:
            found = contents.named(mention, path)
            if found is None or found[0].path not in names:
                return None
            item, rest = found
            before, slash, _ = mention.removesuffix(rest).rpartition("/")
            return f"{before}{slash}{names[item.path]}{rest}"

        with suppress(*([_Unread] if path in contents.above else [])):
            new = _followed(path, data, rename)
            if new != data:
                documents[path] = new
    return documents


_Rename = Callable[[str], str | None]


def _followed(path: str, data: bytes, rename: _Rename) -> bytes:
    """A document with other names: keys of objects, fields that name recordings, the first column of a table.

    `rename` returns the new text for one that names a recording, otherwise None. Raises BadInput for a document
    that can't be read.
    """
    name = posixpath.basename(path)
    if name == RECORD or Path(name).suffix.lower() in _TABLES:
        pattern = re.compile(r"()(.+)") if name == RECORD else _FIRST_COLUMN
        rows = re.split(r"(?<=\n)", data.decode("utf-8", "surrogateescape"))
        for number, row in enumerate(rows):
            match = pattern.match(row)
            if match and (other := rename(match[2])) is not None:
                rows[number] = row[: match.start(2)] + other + row[match.end(2) :]
        return "".join(rows).encode("utf-8", "surrogateescape")
    lines = data.splitlines(keepends=True)
    if name == HISTORY or name.endswith(".jsonl"):
        return b"".join(_other_line(path, line, rename) for line in lines)
    try:
        value = parse_json(data, path, limit=len(data), nan=True)
    except BadInput as error:
        if len(lines) < 2:  # NeMo calls lines of JSON so, too
            raise _Unread(error.reason, error.remedy) from None
        return b"".join(_other_line(path, line, rename) for line in lines)
    other = _other(value, rename)
    text = json.dumps(other, indent=4, sort_keys=True, ensure_ascii=False) + "\n"
    return data if other == value else text.encode()


def _other_line(path: str, line: bytes, rename: _Rename) -> bytes:
    if not line.strip():
        return line
    try:
        value = parse_json(line, path, limit=len(line), nan=True)
    except BadInput as error:
        if line.endswith(b"\n"):
            raise _Unread(error.reason, error.remedy) from None
        return line  # cut short by a crash: its reader drops it
    other = _other(value, rename)
    return line if other == value else (json.dumps(other, ensure_ascii=False) + "\n").encode()


def _other(value: Any, rename: _Rename) -> Any:
    """A value with other names in its objects, at any depth. A number alone is no name."""
    if isinstance(value, list):
        nested = any(isinstance(part, dict) for part in value)
        return [_other(part, rename) for part in value] if nested else value
    if not isinstance(value, dict):
        return value
    other = {}
    for key, part in value.items():
        if isinstance(part, str) and key in (*FILE_FIELDS, *ID_FIELDS):
            other[key] = (None if part.isdecimal() else rename(part)) or part
        else:
            other[(None if key.isdecimal() else rename(key)) or key] = _other(part, rename)
    return other


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
