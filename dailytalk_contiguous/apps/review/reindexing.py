"""Numbered recordings (`NAME_000007.wav`, `Audio001.wav`) renumbered without gaps, with all references.

All or nothing: the plan is on the disk before the first rename, every file has a temporary name in between, and
the next `reindex` or `review` of the folder finishes a plan that was begun before a kill. One rename of the plan
itself marks a step as done. Discarded files, and names that are mentioned and whose files are missing, are
numbered after the others: no file loses its name to another, so that an undo is the same with old and new
exchanged.

A plan may be a stranger's: it is checked when it is read, and each of its paths again when it is used.
"""

import hashlib
import json
import os
import posixpath
import re
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.apps.review.editable import DISCARDED
from dailytalk_contiguous.apps.review.settling import settle
from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import as_text, expect, parse_json, read_bytes
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.sources.whisper_json import clips_folder
from dailytalk_contiguous.store import files
from dailytalk_contiguous.store.edit_journal import JOURNAL, has_journal
from dailytalk_contiguous.store.owned_folder import RECORD

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

_PLAN: dict[str, Any] = {
    "folder": str,
    "renames": [[str]],
    "names": [[str]],
    "documents": {str: str},
    "undoes?": int,
}


@dataclass
class Reindexed:
    """The renamed files, or those to rename.

    Attributes:
        names: new names without endings by old paths without them, including those that are only mentioned.
        files: how many files are renamed.
        documents: changed transcripts, manifests and tables.
        numbered: how many recordings have a number.
        unnamed: recordings without a number in their names, which stay as they are.
        backup: the folder with the old documents; None without any.
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
    name, and transcripts, manifests and tables that name them, here or in the folder above, follow. First a call
    that was killed is finished, and the edits of `review` are written into their files.

    Args:
        folder: of the recordings.
        digits: of a number; as many as it had if None.
        dry_run: rename nothing.

    Raises:
        DailytalkError: another command holds the folder, a document is damaged or a link out of it, or a new name
            is taken. Nothing is renamed then.
        OSError: as the disk does; the next call goes on.
    """
    with _opened(folder, dry_run) as held:
        contents = _Contents(held.folder)
        return _carry_out(held, contents, _numbered(contents, digits), dry_run)


def undo_reindex(folder: Path, dry_run: bool = False) -> Reindexed:
    """Restore the names that the files had before the last `reindex_folder` that was not undone.

    Transcripts and manifests without changes since are restored to the byte; in others the names are. Missing
    files stay missing. Raises as `reindex_folder` does, and DailytalkError if nothing can be undone.
    """
    with _opened(folder, dry_run) as held:
        plans = []  # of the folder above, those of the folder that is held
        for root in (held.folder, held.top):
            for number in _plans(root):
                if os.path.lexists(root / _folder(number) / files.DONE):
                    content = _read_plan(root, number, files.DONE)
                    if root == held.folder or content["folder"] == held.folder.name:
                        plans.append(_Plan(root, number, content))
        undone = {plan.content["undoes"] for plan in plans if "undoes" in plan.content}
        done = [plan for plan in plans if plan.number not in undone and "undoes" not in plan.content]
        if not done:
            raise DailytalkError(f"{as_text(folder)!r} has no reindex to undo", "leave --undo out")
        contents, last = _Contents(held.folder), max(done, key=lambda plan: plan.number)
        return _carry_out(held, contents, _undone(contents, last.names(held)), dry_run, last)


def finish_reindex(folder: Path) -> None:
    """Finish a killed `reindex` of a folder, or of one in it.

    Raises DailytalkError while a reindex is at work, and OSError if the folder can't be written to.
    """
    real = Path(os.path.realpath(folder))
    for root, name in ((real, ""), (real.parent, real.name), *((inner, "") for inner in files.folders_in(real))):
        if files.unfinished_plans(root):
            with files.folder_locked(root):
                _finish(root, name)


class _Held(NamedTuple):
    """A folder that this command holds, and the one above it, whose documents may name its files."""

    folder: Path
    stack: ExitStack
    locked: list[Path]

    @property
    def top(self) -> Path:
        return self.folder.parent

    def lock(self, root: Path) -> None:
        if root not in self.locked:
            self.stack.enter_context(files.folder_locked(root))
            self.locked.append(root)


@contextmanager
def _opened(folder: Path, dry_run: bool) -> Iterator[_Held]:
    """Hold a folder after all unfinished changes in it are finished."""
    if not folder.is_dir():
        raise DailytalkError(f"{as_text(folder)!r} is no folder", "name the folder of the recordings")
    with ExitStack() as stack:
        held = _Held(Path(os.path.realpath(folder)), stack, [])
        held.lock(held.folder)
        if any(os.path.lexists(held.top / name) for name in (files.PLANS, files.FOLDER_LOCK)):
            held.lock(held.top)
        if dry_run:
            files.refuse_half_renamed(held.folder)
        else:
            _finish(held.folder)
            _finish(held.top, held.folder.name)
        for root in (held.folder, held.top) if not dry_run else ():
            if has_journal(root):
                settle(root)
        yield held


@dataclass
class _Item:
    """A numbered recording: its folder, the parts of its name, and its files, by their names."""

    folder: str
    prefix: str
    digits: str
    tail: str
    files: list[str] = field(default_factory=list)

    @property
    def stem(self) -> str:
        return self.prefix + self.digits + self.tail

    @property
    def number(self) -> int:
        return int(self.digits)

    @property
    def path(self) -> str:
        return posixpath.join(self.folder, self.stem)

    @property
    def series(self) -> tuple[str, str]:
        """The folder whose numbers it shares, and the beginning of its name."""
        return _series(self.folder), self.prefix

    @property
    def rank(self) -> tuple[bool, int, str, str]:
        """The key of its position: discarded ones come last."""
        return posixpath.basename(self.folder) == DISCARDED, self.number, self.stem, self.folder


def _item(folder: str, stem: str) -> _Item | None:
    match = _WITH_WORDS.fullmatch(stem) or _NUMBERED.fullmatch(stem)
    return _Item(folder, match[1], match[2], match[3]) if match else None


def _series(folder: str) -> str:
    """The folder whose numbers the items of a folder share: a discarded item may be restored."""
    return posixpath.dirname(folder) if posixpath.basename(folder) == DISCARDED else folder


class _Contents:
    """The numbered items of a folder by their paths, the documents in and above it, and the paths of its files.

    Paths are relative to the folder above it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder.parent
        self.items: dict[str, _Item] = {}
        self.orphans: list[_Item] = []
        self.documents: dict[str, bytes] = {}
        self.above: set[str] = set()
        self.files: set[str] = set()
        self.unnamed: list[str] = []
        others: list[tuple[str, str]] = []
        for parent, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            relative = Path(parent).relative_to(self.root).as_posix()
            where = "" if relative == "." else relative
            self.files.update(posixpath.join(where, name) for name in names)
            for name in sorted(names):
                if name.startswith(".") or Path(name).suffix.lower() not in AUDIO_SUFFIXES:
                    others.append((where, name))
                elif item := _item(where, Path(name).stem):
                    self.items.setdefault(item.path, item).files.append(name)
                else:
                    self.unnamed.append(posixpath.join(where, name))
                    others.append((where, name))
        self.series = {item.series for item in self.items.values()}
        for where, name in others:
            self._take(where, name)
        if self.root != folder:
            self.above = {name for name in _listed(self.root) if _is_document(name)}

    def _take(self, where: str, name: str) -> None:
        if not name.startswith("."):
            for dot in (match.start() for match in re.finditer(r"\.", name)):
                if item := self.items.get(posixpath.join(where, name[:dot])):
                    item.files.append(name)
                    return
            item = _item(where, name.partition(".")[0])
            if item and item.series in self.series:
                item.files.append(name)
                self.orphans.append(item)
        path = self.root / where / name
        # A link to a document of the folder changes with that.
        if _is_document(name) and not (path.is_symlink() and files.is_inside(path, self.folder)):
            self.documents[posixpath.join(where, name)] = b""

    def read_documents(self) -> None:
        """Read the documents that may name an item, and forget the others. Raises BadInput."""
        prefixes = {prefix for _, prefix in self.series}
        hints = {
            form
            for prefix in prefixes  # as it is, and in JSON that holds nothing but ASCII
            for form in (prefix.encode("utf-8", "surrogateescape"), json.dumps(prefix)[1:-1].encode())
        }
        hint = re.compile(b"(?:" + b"|".join(map(re.escape, sorted(hints))) + b")[0-9]") if hints else None
        for path in [*self.documents, *self.above]:
            is_above = path in self.above and path not in self.documents
            try:
                root = self.root if is_above else self.folder
                document = files.inside(root, (self.root / path).relative_to(root))
                if is_above and document.is_symlink():
                    raise BadInput(f"{path!r} is a link", "leave it")
                data = read_bytes(document, "mend it, or move it away", LARGEST_DOCUMENT)
            except BadInput:
                if not is_above:
                    raise
                data = b""  # another program's, such as a link in a home folder
            if hint and (hint.search(data) or (path.endswith(JOURNAL) and not is_above)):
                self.documents[path] = data
            else:
                self.documents.pop(path, None)
        self.above &= self.documents.keys()

    def means_us(self, bare: str, document: str) -> bool:
        """Whether a name without a folder, in a document above, is of a recording of this folder.

        Raises BadInput if another folder has one of the same name.
        """
        if document == JOURNAL or document == self._clips[1]:
            return self._clips[0]
        stems = {bare, bare.removesuffix(Path(bare).suffix)}
        if others := sorted(folder for folder, names in self._siblings.items() if stems & names):
            both = f"{self.folder.name!r} and {others[0]!r}"
            raise BadInput(
                f"{as_text(self.root / document)!r} names {bare!r}, which is in {both}",
                "write the folder before the names in it, or move it away",
            )
        return True

    @cached_property
    def _clips(self) -> tuple[bool, str]:
        """Whether this is the folder of the clips of the folder above, and the document that has their texts."""
        with suppress(BadInput):
            audio, texts = clips_folder(self.root)
            return audio == self.folder, texts.name if texts else ""
        return False, ""

    @cached_property
    def _siblings(self) -> dict[str, set[str]]:
        """The names without endings of recordings in the folder above, and in the others in that."""
        folders = {".": self.root} | {
            name: self.root / name for name in _listed(self.root) if name != self.folder.name
        }
        return {
            name: {Path(file).stem for file in _listed(folder) if Path(file).suffix.lower() in AUDIO_SUFFIXES}
            for name, folder in folders.items()
        }


def _listed(folder: Path) -> list[str]:
    """The names in a folder, in order; none if it can't be read, or is no folder."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _raise(error: OSError) -> None:
    raise error


def _is_document(name: str) -> bool:
    if name in (RECORD, JOURNAL):
        return True
    kind = Path(name).suffix.lower()
    kept = any(word in name.lower() for word in _KEPT)
    return not name.startswith(".") and not kept and (kind in (".json", ".jsonl") or kind in _TABLES)


def _numbered(contents: _Contents, digits: int | None) -> dict[str, str]:
    """New names of all items, and of mentioned names without a file, by their paths."""
    contents.read_documents()
    series: defaultdict[tuple[str, str], list[_Item]] = defaultdict(list)
    for item in sorted(contents.items.values(), key=lambda item: item.rank):
        series[item.series].append(item)
    widths: dict[tuple[str, str], int] = {}
    for name, items in series.items():  # of 08, 09, 10 two digits, of 8, 9, 10 one
        padded = [len(item.digits) for item in items if item.digits.startswith("0") and len(item.digits) > 1]
        widths[name] = digits or max(padded, default=min(len(item.digits) for item in items))
    for item in _mentioned(contents):
        series[item.series].append(item)
    orphans: defaultdict[tuple[str, str], list[_Item]] = defaultdict(list)
    known = {item.path: item for items in series.values() for item in items}
    for item in contents.orphans:
        if item.path in known:
            known[item.path].files += item.files
        else:
            known[item.path] = item
            orphans[item.series].append(item)
    renamed = {}
    for name, items in series.items():
        first, width = min(1, items[0].number), widths[name]
        taken = range(first, first + len(items) + len(orphans[name]))
        in_the_way = (item for item in orphans[name] if item.number in taken and len(item.digits) == width)
        for number, item in enumerate([*items, *in_the_way], first):
            contents.items[item.path] = item
            renamed[item.path] = f"{item.prefix}{number:0{width}d}{item.tail}"
    return renamed


def _mentioned(contents: _Contents) -> list[_Item]:
    """Items that documents mention, of existing series, that have no file."""
    names = _Names(contents, {path: item.stem for path, item in contents.items.items()})
    missing: dict[str, _Item] = {}
    for path, data in contents.documents.items():
        folder = posixpath.dirname(path)
        mentions: list[str] = []
        with suppress(*([_Unread] if path in contents.above else [])):
            _followed(path, data, mentions.append, {})
        unmatched = [mention for mention in mentions if names.find(mention, folder, path) is None]
        noted = [item for mention in unmatched if (item := _missing(contents, mention, folder, path))]
        # A document above may be about other recordings with similar names.
        if len(unmatched) < len(mentions) or path not in contents.above:
            missing |= {item.path: item for item in noted if item.path not in missing}
    return sorted(missing.values(), key=lambda item: item.rank)


def _missing(contents: _Contents, mention: str, folder: str, document: str) -> _Item | None:
    """The item of an existing series that a document mentions; None for anything else."""
    last = posixpath.basename(mention)
    stem = last.removesuffix(Path(last).suffix) if Path(last).suffix.lower() in AUDIO_SUFFIXES else last
    where = posixpath.normpath(posixpath.join(folder, posixpath.dirname(mention)))
    item = _item("" if where == "." else where, stem)
    if item is None or item.series in contents.series:
        return item
    elsewhere = [folder for folder, prefix in contents.series if prefix == item.prefix]
    if (
        len(elsewhere) != 1
        or "/" in mention
        or (document in contents.above and not contents.means_us(last, document))
    ):
        return None
    item.folder = elsewhere[0]
    return item


class _Unread(BadInput):
    """A document has another content than its name says: above the folder it may be another program's."""


def _undone(contents: _Contents, names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Old names of all items that a plan has renamed, by their current paths."""
    contents.read_documents()
    before: dict[str, str] = {}
    moved: dict[tuple[str, str], str] = {}
    for old, new in names:
        folder, stem = posixpath.split(old)
        before[posixpath.join(folder, new)] = stem
        moved[_series(folder), new] = stem
    for path, item in contents.items.items():
        if path not in before and (item.series[0], item.stem) in moved:
            before[path] = moved[item.series[0], item.stem]  # discarded or restored since
    for item in contents.orphans:
        if item.path in before:
            contents.items.setdefault(item.path, _Item(item.folder, item.prefix, item.digits, item.tail))
            contents.items[item.path].files += item.files
    return before


class _Names:
    def __init__(self, contents: _Contents, renamed: Mapping[str, str]) -> None:
        self._contents, self._renamed = contents, renamed
        self._bare: defaultdict[str, list[str]] = defaultdict(list)
        for path in renamed:
            self._bare[_folded(posixpath.basename(path))].append(path)

    def find(self, mention: str, folder: str, document: str, any_ending: bool = False) -> tuple[str, str] | None:
        """The path of an item without ending, and the rest of the text after its name: an ending, a line's number.

        Raises BadInput for a name that two items have.
        """
        for end in _ends(mention, any_ending):
            if path := self._path(mention[:end], folder, document):
                return path, mention[end:]
        return None

    def renamed(self, mention: str, folder: str, document: str, any_ending: bool = False) -> str | None:
        """The text with the item's new name; None if it names no item."""
        match = self.find(mention, folder, document, any_ending)
        if match is None:
            return None
        before, slash, _ = mention.removesuffix(match[1]).rpartition("/")
        return f"{before}{slash}{self._renamed[match[0]]}{match[1]}"

    def _path(self, bare: str, folder: str, document: str) -> str | None:
        if posixpath.isabs(bare):
            bare = os.path.relpath(bare, os.path.join(self._contents.root, folder))
        path = posixpath.normpath(posixpath.join(folder, bare))
        if path in self._renamed:
            return path
        if "/" in bare:
            return None
        namesakes = self._bare.get(_folded(bare), [])
        if namesakes and document in self._contents.above and not self._contents.means_us(bare, document):
            return None
        namesakes = [item for item in namesakes if posixpath.basename(item) == bare] or namesakes
        of_discarded = posixpath.basename(document).startswith("discarded")
        fitting = [item for item in namesakes if (DISCARDED in item.split("/")) == of_discarded] or namesakes
        if len(fitting) > 1:
            raise BadInput(
                f"{document!r} names {bare!r}, which is in {' and '.join(sorted(map(repr, fitting)))}",
                "write the folder before the names in it, or reindex these folders one by one",
            )
        return fitting[0] if fitting else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _ends(mention: str, any_ending: bool) -> Iterator[int]:
    """Possible ends of the name of a recording in a text, the longest first."""
    yield len(mention)
    last = posixpath.basename(mention)
    if Path(last).suffix.lower() in AUDIO_SUFFIXES or re.search(r"\.\d{3,}\Z", last):
        yield mention.rindex(".")
    if any_ending:
        yield from sorted((match.start() for match in re.finditer(r"\.(?!.*/)", mention)), reverse=True)
    yield from sorted((match.start() for match in re.finditer("/", mention)), reverse=True)


def _followed(path: str, data: bytes, rename: Callable[[str], str | None], digests: Mapping[str, str]) -> bytes:
    """A document with other names: keys of objects, fields that name recordings, the first column of a table.

    Args:
        path: of the document, by which its kind is known.
        data: its content.
        rename: returns the new text for one that names a recording, otherwise None.
        digests: of other documents, new by old: the journal of edits has the digest of each settled document.

    Raises BadInput for a document that can't be read.
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
    if name == JOURNAL or name.endswith(".jsonl"):
        return b"".join(_other_line(path, line, rename, digests) for line in data.splitlines(keepends=True))
    try:
        value = parse_json(data, path, limit=len(data), nan=True)
    except BadInput as error:
        lines = data.splitlines(keepends=True)  # NeMo calls lines of JSON so, too
        if len(lines) < 2:
            raise _Unread(error.reason, error.remedy) from None
        return b"".join(_other_line(path, line, rename, digests) for line in lines)
    other = _other(value, rename, digests)
    if other == value:
        return data
    return (json.dumps(other, indent=4, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _other_line(path: str, line: bytes, rename: Callable[[str], str | None], digests: Mapping[str, str]) -> bytes:
    if not line.strip():
        return line
    try:
        value = parse_json(line, path, limit=len(line), nan=True)
    except BadInput as error:
        if line.endswith(b"\n"):
            raise _Unread(error.reason, error.remedy) from None
        return line  # cut short by a crash: its reader drops it
    other = _other(value, rename, digests)
    return line if other == value else (json.dumps(other, ensure_ascii=False) + "\n").encode()


def _other(value: Any, rename: Callable[[str], str | None], digests: Mapping[str, str]) -> Any:
    """A value with other names in its objects, at any depth. A number alone is no name."""
    if isinstance(value, list):
        nested = any(isinstance(part, dict) for part in value)
        return [_other(part, rename, digests) for part in value] if nested else value
    if not isinstance(value, dict):
        return value
    other = {}
    for key, part in value.items():
        if isinstance(part, str) and key in (*FILE_FIELDS, *ID_FIELDS):
            other[key] = (None if part.isdecimal() else rename(part)) or part
        elif isinstance(part, str) and key == "sha256":
            other[key] = digests.get(part, part)
        else:
            other[(None if key.isdecimal() else rename(key)) or key] = _other(part, rename, digests)
    return other


class _Plan(NamedTuple):
    root: Path
    number: int
    content: dict[str, Any]

    def names(self, held: _Held) -> Iterator[tuple[str, str]]:
        """New names without endings, after the old paths under the folder above the held one."""
        prefix = os.path.relpath(self.root, held.top)
        return ((posixpath.normpath(posixpath.join(prefix, old)), new) for old, new in self.content["names"])

    def documents(self, held: _Held) -> dict[str, tuple[str, Path]]:
        """By path, as in `names`: the digest of a changed document, and the file with its old content."""
        prefix = os.path.relpath(self.root, held.top)
        return {
            posixpath.normpath(posixpath.join(prefix, path)): (digest, _folder(self.number) / "backup" / path)
            for path, digest in self.content["documents"].items()
        }


def _folder(number: int) -> Path:
    return Path(files.PLANS, f"{number:04d}")


def _carry_out(
    held: _Held, contents: _Contents, names: dict[str, str], dry_run: bool, undoes: _Plan | None = None
) -> Reindexed:
    """Write the plan of new names by old paths, and execute it. `undoes` is the plan that is undone."""
    renames = []
    for path, item in contents.items.items():
        for file in item.files if path in names else ():
            new = names[path] + file.removeprefix(item.stem)
            if new != file:
                renames.append([posixpath.join(item.folder, file), posixpath.join(item.folder, new)])
    documents = _new_documents(held, contents, names, undoes)
    old_names, new_names = {old for old, _ in renames}, {new for _, new in renames}
    if taken := sorted(new_names & (contents.files - old_names)):
        raise DailytalkError(f"the name {taken[0]!r} is taken", "move that file away")
    changed = {path: new for path, new in names.items() if new != posixpath.basename(path)}
    below = held.folder.name

    def shown(path: str) -> str:
        return posixpath.relpath(path, below) if below else path

    result = Reindexed({shown(path): new for path, new in changed.items()}, len(renames))
    result.numbered = len(contents.items)
    result.documents, result.unnamed = sorted(map(shown, documents)), sorted(map(shown, contents.unnamed))
    if not changed or dry_run:
        return result
    # The plan is in a folder above all its files: no plan leads out of its folder.
    root = held.top if documents.keys() & contents.above else held.folder
    held.lock(root)
    number = max((plan for folder in (held.folder, held.top) for plan in _plans(folder)), default=0) + 1

    def path_in(path: str) -> str:
        return path if root == held.top else shown(path)

    for path, data in documents.items():
        for state, content in (("backup", contents.documents[path]), ("after", data)):
            files.write_bytes(_unlinked(root, _folder(number) / state / path_in(path)), content)
    plan: dict[str, Any] = {"folder": path_in(below) if root == held.top else ""}
    plan["renames"] = [[path_in(old), path_in(new)] for old, new in renames]
    plan["names"] = [[path_in(path), new] for path, new in names.items()]
    plan["documents"] = {path_in(path): _digest(data) for path, data in documents.items()}
    if undoes:
        plan["undoes"] = undoes.number
    files.write_text(_unlinked(root, _folder(number) / files.PLANNED), json.dumps(plan, indent=1) + "\n")
    _finish(root, held.folder.name if root != held.folder else "")
    result.backup = root / _folder(number) / "backup" if documents else None
    return result


def _new_documents(
    held: _Held, contents: _Contents, names: Mapping[str, str], undoes: _Plan | None
) -> dict[str, bytes]:
    """The documents that change, the journal of edits last: it has the digests of the others."""
    texts = _Names(contents, names)
    documents: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    kept = undoes.documents(held) if undoes else {}
    for path, data in sorted(contents.documents.items(), key=lambda item: item[0].endswith(JOURNAL)):
        folder, owned = posixpath.dirname(path), path.endswith(RECORD)
        rename = partial(texts.renamed, folder=folder, document=path, any_ending=owned)
        new = data
        if undoes and path in kept and _digest(data) == kept[path][0]:
            new = read_bytes(_document(undoes.root, kept[path][1]), limit=LARGEST_DOCUMENT)
        else:
            with suppress(*([_Unread] if path in contents.above else [])):
                new = _followed(path, data, rename, digests)
        if new != data:
            documents[path] = new
            digests[_digest(data)] = _digest(new)
    return documents


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _plans(root: Path) -> list[int]:
    return sorted(int(name) for name in _listed(root / files.PLANS) if re.fullmatch(r"[0-9]{4,18}", name))


def _read_plan(root: Path, number: int, state: str) -> dict[str, Any]:
    """Read a plan. Raises BadInput for one that `reindex` has not written."""
    name = f"{files.PLANS}/{number:04d}/{state}"
    remedy = f"delete the folder {files.PLANS!r}: nothing else needs it"
    data = read_bytes(_document(root, name), limit=LARGEST_DOCUMENT)
    plan: dict[str, Any] = expect(
        parse_json(data, name, limit=LARGEST_DOCUMENT, surrogates=True), _PLAN, name, remedy
    )
    if any(len(pair) != 2 for pair in (*plan["renames"], *plan["names"])):
        raise BadInput(f"{name} is damaged", remedy)
    below = f"{plan['folder']}/" if plan["folder"] else ""
    for old, new in plan["renames"]:
        is_rename = posixpath.dirname(old) == posixpath.dirname(new) and old.startswith(below)
        if not is_rename or not (_is_plain(old) and _is_plain(new)):
            raise BadInput(f"{name} moves {old!r} to {new!r}, which is no rename of a recording", remedy)
    if strange := next((new for _, new in plan["names"] if "/" in new or not _is_plain(new)), None):
        raise BadInput(f"{name} names {strange!r}, which is no name of a recording", remedy)
    for path in plan["documents"]:
        if not _is_plain(path, of_ours=True) or not (path.startswith(below) or "/" not in path):
            raise BadInput(f"{name} names {path!r}, which is no document of the folder", remedy)
    return plan


def _is_plain(path: str, of_ours: bool = False) -> bool:
    """Whether a path leads down to a file that is not hidden, except the two `of_ours`."""
    *folders, name = path.split("/")
    parts = folders if of_ours and name in (RECORD, JOURNAL) else [*folders, name]
    return "\0" not in path and all(part and not part.startswith(".") for part in parts)


def _unlinked(root: Path, path: str | Path) -> Path:
    """A path under a folder, checked just before its use. Raises BadInput if a link is on the way to it."""
    target = root / path
    if os.path.realpath(target.parent) != os.path.join(os.path.realpath(root), os.path.dirname(path)).rstrip("/"):
        raise BadInput(f"{as_text(target)!r} is reached through a symbolic link", "put the folder itself there")
    return target


def _document(root: Path, path: str | Path) -> Path:
    """`_unlinked` for a file that is read or written whole and is no link itself."""
    document = _unlinked(root, path)
    if document.is_symlink():
        raise BadInput(f"{as_text(document)!r} is a symbolic link", "put the file itself there")
    return document


def _finish(root: Path, only: str = "") -> None:
    """Execute every plan that is not done; plans that were not written whole are deleted.

    `only`: of the plans of a folder above, those of the folder of this name; others are other folders' plans.
    """
    for number in _plans(root):
        plan_folder = root / _folder(number)
        if plan_folder.is_symlink() or os.path.lexists(plan_folder / files.DONE):
            continue
        state = next((name for name in (files.PLANNED, files.STAGED) if os.path.lexists(plan_folder / name)), None)
        if only and (state is None or _read_plan(root, number, state)["folder"] != only):
            continue
        if os.path.lexists(plan_folder / files.PLANNED):
            plan = _read_plan(root, number, files.PLANNED)
            for index, (old, _) in enumerate(plan["renames"]):
                source, between = _unlinked(root, old), _between(root, old, index)
                if os.path.lexists(source) and not os.path.lexists(between):
                    os.rename(source, between)
            _mark(root, plan, plan_folder / files.PLANNED, plan_folder / files.STAGED)
        if os.path.lexists(plan_folder / files.STAGED):
            plan = _read_plan(root, number, files.STAGED)
            for index, (old, new) in enumerate(plan["renames"]):
                between, target = _between(root, old, index), _unlinked(root, new)
                if os.path.lexists(between):
                    if os.path.lexists(target):
                        raise DailytalkError(
                            f"the name {new!r} is taken", "move that file away, and run this again"
                        )
                    os.rename(between, target)
            for path, digest in plan["documents"].items():
                document = _document(root, path)
                before, after = (_document(root, _folder(number) / side / path) for side in ("backup", "after"))
                files.remove_unfinished(document.parent)
                now = read_bytes(document, limit=LARGEST_DOCUMENT) if document.exists() else b""
                if _digest(now) == digest:
                    continue
                if now != read_bytes(before, limit=LARGEST_DOCUMENT):
                    raise DailytalkError(
                        f"{path!r} was changed while its files were renamed",
                        f"put back what is in {as_text(before)!r}, and run this again",
                    )
                files.write_bytes(document, read_bytes(after, limit=LARGEST_DOCUMENT))
            _mark(root, plan, plan_folder / files.STAGED, plan_folder / files.DONE)
            shutil.rmtree(plan_folder / "after", ignore_errors=True)
        if not os.path.lexists(plan_folder / files.DONE):
            shutil.rmtree(_unlinked(root, _folder(number)))


def _between(root: Path, old: str, index: int) -> Path:
    return _unlinked(root, old).with_name(f"{files.PLANS}-{index}.tmp")


def _mark(root: Path, plan: Mapping[str, Any], state: Path, next_state: Path) -> None:
    """Sync the renames to the disk, and then mark them as done."""
    for parent in {_unlinked(root, old).parent for old, _ in plan["renames"]}:
        if parent.is_dir():
            files.sync_folder(parent)
    os.rename(state, next_state)
    files.sync_folder(state.parent)
