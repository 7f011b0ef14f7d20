"""Numbered recordings (`NAME_000007.wav`) renumbered without gaps, with all that names them, and back again.

All or nothing: what is to be renamed is on the disk before the first rename, every file goes through a name of its
own in between, and whoever opens the folder after a kill finishes what was begun. One rename of the plan itself
marks a step as done. Discarded files, and names that are mentioned and whose files are gone, are numbered after
the others: nothing loses its name to another, so that the way back is the same with old and new exchanged.
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import as_text, expect, parse_json, read_bytes
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.store.files import (
    folder_locked,
    inside,
    is_inside,
    remove_unfinished,
    sync_folder,
    write_bytes,
    write_text,
)

#: In a folder that was renumbered: for each time the plan, and the transcripts and manifests as they were.
PLANS = ".dailytalk-reindex"

#: What a plan is called while nothing is renamed for sure, while all files have the names in between, and after.
_PLANNED, _STAGED, _DONE = "planned.json", "staged.json", "done.json"

#: Folders whose numbers are those of the folder above them: what split and review make of one folder.
SHARED_SERIES = ("Usable", "Non Usable", "Discarded Audios")

#: Of them, that of files which no longer belong to the data: they are numbered after the others.
DISCARDED = SHARED_SERIES[-1]

#: Files without an ending of their own that name recordings: what an export owns, and the journal of edits.
_OWNED, _EDITS = ".dailytalk-export", ".dailytalk-edits.jsonl"

#: Words in the names of JSON files that are kept as somebody left them.
_KEPT = ("backup", "unsanitized")

#: Fields of a manifest or transcript that name a recording, and those that hold an id made of its name.
FILE_FIELDS = ("file", "path", "audio_file", "audio", "audio_filepath", "wav")
ID_FIELDS = ("id", "item", "conversation_id", "recording_id", "utterance_id")

#: Bytes of a document that is read.
LARGEST_DOCUMENT = 1 << 30

#: Files with a row a line whose first column names a recording.
_TABLES = frozenset({".csv", ".tsv", ".list", ".lst", ".txt"})

_NUMBERED = re.compile(r"(.+)_(\d{1,18})", re.DOTALL)
_FIRST_COLUMN = re.compile(r'("?)([^|,\t"\r\n]+)(?=["|,\t])')

_PLAN: dict[str, Any] = {"renames": [[str]], "names": [[str]], "documents": {str: str}, "undoes?": int}


@dataclass
class Reindexed:
    """What was renamed, or would be.

    Attributes:
        names: new names without endings by old paths without them, those that are only mentioned among them.
        files: how many files are renamed.
        documents: transcripts, manifests and tables that follow.
        backup: the folder in which these are as they were; None where there are none.
    """

    names: dict[str, str] = field(default_factory=dict)
    files: int = 0
    documents: list[str] = field(default_factory=list)
    backup: Path | None = None


def reindex_folder(folder: Path, digits: int = 6, dry_run: bool = False) -> Reindexed:
    """Number the recordings of a folder without gaps, by name, from 1 (0 where the first one is 0).

    Files beside them of the same name, and transcripts, manifests and tables that name them, follow. What a call
    that was killed has begun is finished first.

    Raises:
        DailytalkError: another command holds the folder, what follows is damaged or a link out of it, or a new
            name is taken. Nothing is renamed then.
        OSError: as the disk does; the next call goes on.
    """
    with _opened(folder, dry_run):
        contents = _Contents(folder)
        return _carry_out(contents, _numbered(contents, digits), dry_run)


def undo_reindex(folder: Path, dry_run: bool = False) -> Reindexed:
    """Give the files the names that they had before the last `reindex_folder` that was not undone.

    Transcripts and manifests that nobody has changed since are as they were, to the byte; in others the names are.
    Files that are gone stay gone. Raises as `reindex_folder` does, and DailytalkError where nothing can be undone.
    """
    with _opened(folder, dry_run):
        plans = {number: _read_plan(folder, number, _DONE) for number in _plans(folder)}
        undone = {plan["undoes"] for plan in plans.values() if "undoes" in plan}
        done = [number for number, plan in plans.items() if number not in undone and "undoes" not in plan]
        if not done:
            raise DailytalkError(f"{as_text(folder)!r} has no reindex to undo", "leave --undo out")
        contents, (last, plan) = _Contents(folder), (done[-1], plans[done[-1]])
        return _carry_out(contents, _undone(contents, plan["names"]), dry_run, (last, plan))


def finish_reindex(folder: Path) -> None:
    """Finish what a `reindex` that was killed has begun in a folder; whoever reads the folder calls this first.

    Raises DailytalkError while a reindex is at work, and OSError where the folder can't be written to.
    """
    if _unfinished(folder):
        with folder_locked(folder):
            _finish(folder)


@contextmanager
def _opened(folder: Path, dry_run: bool) -> Iterator[None]:
    """Hold a folder in which nothing is half done."""
    if not folder.is_dir():
        raise DailytalkError(f"{as_text(folder)!r} is no folder", "name the folder of the recordings")
    with folder_locked(folder):
        if dry_run and _unfinished(folder):
            raise DailytalkError("a reindex of it was stopped half way", "run it again without --dry-run")
        _finish(folder)
        yield


# What is in a folder: numbered recordings with the files beside them, and documents that name them.


@dataclass
class _Item:
    """A numbered recording: the folder it is in, its name and number, and its files, by their names."""

    folder: str
    name: str
    number: int
    stem: str
    files: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Its path under the folder, without ending."""
        return posixpath.join(self.folder, self.stem)

    @property
    def series(self) -> str:
        """The folder whose numbers it shares."""
        return _series(self.folder)

    @property
    def rank(self) -> tuple[bool, int, str, str]:
        """Its place: discarded ones come last."""
        return posixpath.basename(self.folder) == DISCARDED, self.number, self.stem, self.folder


def _series(folder: str) -> str:
    while posixpath.basename(folder) in SHARED_SERIES:
        folder = posixpath.dirname(folder)
    return folder


class _Contents:
    """The numbered items of a folder by their paths, the documents in it, and the paths of all its files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.items: dict[str, _Item] = {}
        self.orphans: list[_Item] = []
        self.documents: dict[str, bytes] = {}
        self.files: set[str] = set()
        others: list[tuple[str, str]] = []
        for parent, folders, names in os.walk(root, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            relative = Path(parent).relative_to(root).as_posix()
            place = "" if relative == "." else relative
            self.files.update(posixpath.join(place, name) for name in names)
            for name in sorted(names):
                match = _NUMBERED.fullmatch(Path(name).stem)
                if name.startswith(".") or Path(name).suffix.lower() not in AUDIO_SUFFIXES or not match:
                    others.append((place, name))
                    continue
                item = _Item(place, match[1], int(match[2]), Path(name).stem)
                self.items.setdefault(item.path, item).files.append(name)
        self.names = {(item.series, item.name) for item in self.items.values()}
        for place, name in others:
            self._take(place, name)

    def _take(self, place: str, name: str) -> None:
        """Take a file that is no numbered recording: one beside a recording, or a document."""
        if not name.startswith("."):
            for dot in (match.start() for match in re.finditer(r"\.", name)):
                if item := self.items.get(posixpath.join(place, name[:dot])):
                    item.files.append(name)
                    return
            match = _NUMBERED.fullmatch(name.partition(".")[0])
            if match and (_series(place), match[1]) in self.names:
                self.orphans.append(_Item(place, match[1], int(match[2]), match[0], [name]))
        if _is_document(name):
            self.documents[posixpath.join(place, name)] = b""

    def read_documents(self) -> None:
        """Read the documents that may name an item, and forget the others. Raises BadInput."""
        hints = {hint for _, name in self.names for hint in (f"{name}_".encode(), json.dumps(name)[1:-1].encode())}
        for path in list(self.documents):
            data = read_bytes(inside(self.root, path), "mend it, or move it away", LARGEST_DOCUMENT)
            if path.endswith(_EDITS) or any(hint in data for hint in hints):
                self.documents[path] = data
            else:
                del self.documents[path]


def _raise(error: OSError) -> None:
    raise error


def _is_document(name: str) -> bool:
    if name in (_OWNED, _EDITS):
        return True
    kind = Path(name).suffix.lower()
    kept = any(word in name.lower() for word in _KEPT)
    return not name.startswith(".") and not kept and (kind in (".json", ".jsonl") or kind in _TABLES)


def _numbered(contents: _Contents, digits: int) -> dict[str, str]:
    """New names of all items, and of what documents mention and no file has, by their paths."""
    contents.read_documents()
    series: defaultdict[tuple[str, str], list[_Item]] = defaultdict(list)
    for item in sorted(contents.items.values(), key=lambda item: item.rank):
        series[item.series, item.name].append(item)
    for item in _mentioned(contents):
        series[item.series, item.name].append(item)
    orphans: defaultdict[tuple[str, str], list[_Item]] = defaultdict(list)
    known = {item.path: item for items in series.values() for item in items}
    for item in contents.orphans:
        if item.path in known:
            known[item.path].files += item.files
        else:
            known[item.path] = item
            orphans[item.series, item.name].append(item)
    renamed = {}
    for (folder, name), items in series.items():
        first = min(1, items[0].number)
        width = max(digits, len(str(first + len(items))))
        taken = {f"{name}_{first + place:0{width}d}" for place in range(len(items) + len(orphans[folder, name]))}
        items = [*items, *(item for item in orphans[folder, name] if item.stem in taken)]
        for place, item in enumerate(items):
            contents.items[item.path] = item
            renamed[item.path] = f"{name}_{first + place:0{width}d}"
    return renamed


def _mentioned(contents: _Contents) -> list[_Item]:
    """Items that documents mention, of names that there are, and that have no file."""
    names = _Names(contents.root, {path: item.stem for path, item in contents.items.items()})
    missing: dict[str, _Item] = {}

    def note(mention: str, place: str) -> None:
        last = posixpath.basename(mention)
        stem = last.removesuffix(Path(last).suffix) if Path(last).suffix.lower() in AUDIO_SUFFIXES else last
        match = _NUMBERED.fullmatch(stem)
        if match is None:
            return
        where = posixpath.normpath(posixpath.join(place, posixpath.dirname(mention)))
        where = "" if where == "." else where
        if (_series(where), match[1]) not in contents.names:
            elsewhere = [series for series, name in contents.names if name == match[1]]
            if len(elsewhere) != 1 or "/" in mention:
                return
            where = elsewhere[0]
        item = _Item(where, match[1], int(match[2]), stem)
        missing.setdefault(item.path, item)

    for path, data in contents.documents.items():
        place = posixpath.dirname(path)

        def seen(mention: str, place: str = place, path: str = path) -> str | None:
            if names.find(mention, place, path) is None:
                note(mention, place)
            return None

        _followed(path, data, seen, {})
    return sorted(missing.values(), key=lambda item: item.rank)


def _undone(contents: _Contents, names: Iterable[list[str]]) -> dict[str, str]:
    """Old names of all items that a plan has renamed, by the paths that they have now."""
    contents.read_documents()
    before: dict[str, str] = {}
    moved: dict[tuple[str, str], str] = {}
    for old, new in names:
        folder, stem = posixpath.split(old)
        before[posixpath.join(folder, new)] = stem
        moved[_series(folder), new] = stem
    for path, item in contents.items.items():
        if path not in before and (item.series, item.stem) in moved:
            before[path] = moved[item.series, item.stem]  # discarded or restored since
    for item in contents.orphans:
        if item.path in before:
            known = contents.items.setdefault(item.path, _Item(item.folder, item.name, item.number, item.stem))
            known.files += item.files
    return before


# What names an item, and what it becomes.


class _Names:
    """Finds the item that a text means."""

    def __init__(self, root: Path, renamed: Mapping[str, str]) -> None:
        self._root, self._renamed = os.path.realpath(root), renamed
        self._bare: defaultdict[str, list[str]] = defaultdict(list)
        for path in renamed:
            self._bare[_folded(posixpath.basename(path))].append(path)

    def find(self, mention: str, place: str, document: str, any_ending: bool = False) -> tuple[str, str] | None:
        """The path of an item without ending, and what follows its name in the text: an ending, a line's number.

        Raises BadInput for a name that two items have.
        """
        for end in _ends(mention, any_ending):
            if path := self._path(mention[:end], place, document):
                return path, mention[end:]
        return None

    def renamed(self, mention: str, place: str, document: str, any_ending: bool = False) -> str | None:
        """The text with the item's new name; None where it means none."""
        match = self.find(mention, place, document, any_ending)
        if match is None:
            return None
        folder, slash, _ = mention.removesuffix(match[1]).rpartition("/")
        return f"{folder}{slash}{self._renamed[match[0]]}{match[1]}"

    def _path(self, bare: str, place: str, document: str) -> str | None:
        if posixpath.isabs(bare):
            bare = os.path.relpath(bare, os.path.join(self._root, place))
        path = posixpath.normpath(posixpath.join(place, bare))
        if path in self._renamed:
            return path
        if "/" in bare:
            return None
        namesakes = self._bare.get(_folded(bare), [])
        namesakes = [item for item in namesakes if posixpath.basename(item) == bare] or namesakes
        of_discarded = posixpath.basename(document).startswith("discarded")
        fitting = [item for item in namesakes if (DISCARDED in item.split("/")) == of_discarded] or namesakes
        if len(fitting) > 1:
            raise BadInput(
                f"{document!r} names {bare!r}, which is in {' and '.join(sorted(map(repr, fitting)))}",
                "reindex these folders one by one",
            )
        return fitting[0] if fitting else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _ends(mention: str, any_ending: bool) -> Iterator[int]:
    """Where the name of a recording may end in a text, the longest first."""
    yield len(mention)
    last = posixpath.basename(mention)
    if Path(last).suffix.lower() in AUDIO_SUFFIXES or re.search(r"\.\d{3,}\Z", last):
        yield mention.rindex(".")
    if any_ending:
        yield from sorted((match.start() for match in re.finditer(r"\.(?!.*/)", mention)), reverse=True)
    yield from sorted((match.start() for match in re.finditer("/", mention)), reverse=True)


# Documents: the same with other names in them.


def _followed(path: str, data: bytes, rename: Callable[[str], str | None], digests: Mapping[str, str]) -> bytes:
    """A document with other names: keys of objects, fields that name recordings, the first column of a table.

    Args:
        path: of the document, by which its kind is known.
        data: what is in it.
        rename: the new text for one that may name a recording; None for no other one.
        digests: of other documents, new by old: the journal of edits knows which state it was written into.

    Raises BadInput for a document that can't be read.
    """
    name = posixpath.basename(path)
    if name == _OWNED or Path(name).suffix.lower() in _TABLES:
        pattern = re.compile(r"()(.+)") if name == _OWNED else _FIRST_COLUMN
        rows = re.split(r"(?<=\n)", data.decode("utf-8", "surrogateescape"))
        return "".join(_other_column(row, pattern, rename) for row in rows).encode("utf-8", "surrogateescape")
    if name.endswith(".jsonl"):
        return b"".join(_other_line(path, line, rename, digests) for line in data.splitlines(keepends=True))
    try:
        value = parse_json(data, path, limit=len(data), nan=True)
    except BadInput:
        lines = data.splitlines(keepends=True)  # NeMo calls lines of JSON so, too
        if len(lines) < 2:
            raise
        return b"".join(_other_line(path, line, rename, digests) for line in lines)
    other = _other(value, rename, digests)
    if other == value:
        return data
    return (json.dumps(other, indent=4, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _other_column(line: str, pattern: re.Pattern[str], rename: Callable[[str], str | None]) -> str:
    match = pattern.match(line)
    other = rename(match[2]) if match else None
    return line if match is None or other is None else line[: match.start(2)] + other + line[match.end(2) :]


def _other_line(path: str, line: bytes, rename: Callable[[str], str | None], digests: Mapping[str, str]) -> bytes:
    if not line.strip():
        return line
    try:
        value = parse_json(line, path, limit=len(line), nan=True)
    except BadInput:
        if line.endswith(b"\n"):
            raise
        return line  # cut short by a crash: its reader drops it
    other = _other(value, rename, digests)
    return line if other == value else (json.dumps(other, ensure_ascii=False) + "\n").encode()


def _other(value: Any, rename: Callable[[str], str | None], digests: Mapping[str, str]) -> Any:
    """A value with other names in its objects, at any depth."""
    if isinstance(value, list):
        nested = any(isinstance(part, dict) for part in value)
        return [_other(part, rename, digests) for part in value] if nested else value
    if not isinstance(value, dict):
        return value
    other = {}
    for key, part in value.items():
        if isinstance(part, str) and key in (*FILE_FIELDS, *ID_FIELDS):
            other[key] = rename(part) or part
        elif isinstance(part, str) and key == "sha256":
            other[key] = digests.get(part, part)
        else:
            other[rename(key) or key] = _other(part, rename, digests)
    return other


# Carrying a plan out.


def _carry_out(
    contents: _Contents, names: dict[str, str], dry_run: bool, undoes: tuple[int, dict[str, Any]] | None = None
) -> Reindexed:
    """Write the plan of new names by old paths, and follow it. `undoes`: number and plan of what is taken back."""
    root = contents.root
    renames = []
    for path, item in contents.items.items():
        for file in item.files if path in names else ():
            new = names[path] + file.removeprefix(item.stem)
            if new != file:
                renames.append([posixpath.join(item.folder, file), posixpath.join(item.folder, new)])
    documents = _new_documents(contents, names, undoes)
    _refuse_taken(contents, renames)
    _refuse_above(root, names)
    changed = {path: new for path, new in names.items() if new != posixpath.basename(path)}
    result = Reindexed(changed, len(renames), sorted(documents))
    if not changed or dry_run:
        return result
    number = max(_plans(root), default=0) + 1
    plan_folder = root / PLANS / f"{number:04d}"
    for path, data in documents.items():
        write_bytes(plan_folder / "backup" / path, contents.documents[path])
        write_bytes(plan_folder / "after" / path, data)
    plan: dict[str, Any] = {"renames": renames, "names": [[path, new] for path, new in names.items()]}
    plan["documents"] = {path: _digest(data) for path, data in documents.items()}
    if undoes:
        plan["undoes"] = undoes[0]
    write_text(plan_folder / _PLANNED, json.dumps(plan, indent=1) + "\n")
    _finish(root)
    result.backup = plan_folder / "backup" if documents else None
    return result


def _new_documents(
    contents: _Contents, names: Mapping[str, str], undoes: tuple[int, dict[str, Any]] | None
) -> dict[str, bytes]:
    """The documents that change, the journal of edits last: it has the digests of the others."""
    texts = _Names(contents.root, names)
    documents: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    for path, data in sorted(contents.documents.items(), key=lambda item: item[0].endswith(_EDITS)):
        place, owned = posixpath.dirname(path), path.endswith(_OWNED)

        def rename(mention: str, place: str = place, path: str = path, owned: bool = owned) -> str | None:
            return texts.renamed(mention, place, path, owned)

        if undoes and _digest(data) == undoes[1]["documents"].get(path):
            new = (contents.root / PLANS / f"{undoes[0]:04d}" / "backup" / path).read_bytes()
        else:
            new = _followed(path, data, rename, digests)
        if new != data:
            documents[path] = new
            digests[_digest(data)] = _digest(new)
    return documents


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _refuse_taken(contents: _Contents, renames: Iterable[list[str]]) -> None:
    """Raise DailytalkError if a file that is not renamed has a new name already."""
    new = {new for _, new in renames}
    if taken := sorted(new & (contents.files - {old for old, _ in renames})):
        raise DailytalkError(f"the name {taken[0]!r} is taken", "move that file away")


def _refuse_above(root: Path, names: Mapping[str, str]) -> None:
    """Raise DailytalkError if documents of the folder above name files of this one: they would not follow."""
    above = root.absolute().parent
    texts = _Names(root, names)
    for path in sorted(above.iterdir()) if os.access(above, os.R_OK) else ():
        if path.suffix.lower() not in (".json", ".jsonl") or not _is_document(path.name) or not path.is_file():
            continue

        def rename(mention: str, name: str = path.name) -> str | None:
            folder, _, bare = mention.rpartition("/")
            if posixpath.basename(folder) not in ("", root.absolute().name):
                return None
            return texts.renamed(bare, "", name)

        try:
            data = read_bytes(path)
            follows = _followed(path.name, data, rename, {}) != data
        except BadInput:
            continue
        if follows:
            raise DailytalkError(
                f"{as_text(path)!r} names files of {as_text(root)!r}",
                f"run it on {as_text(above)!r}, so that it follows",
            )


def _plans(folder: Path) -> list[int]:
    """The numbers of the plans of a folder, in order."""
    plans = folder / PLANS
    names = os.listdir(plans) if os.path.isdir(plans) and not os.path.islink(plans) else []
    numbered = [name for name in names if re.fullmatch(r"\d{4,18}", name) and not (plans / name).is_symlink()]
    return sorted(map(int, numbered))


def _unfinished(folder: Path) -> bool:
    return any(not (folder / PLANS / f"{number:04d}" / _DONE).exists() for number in _plans(folder))


def _read_plan(folder: Path, number: int, state: str) -> dict[str, Any]:
    """A plan, whose paths are all of files under the folder. Raises BadInput."""
    name = f"{PLANS}/{number:04d}/{state}"
    data = read_bytes(inside(folder, name), limit=LARGEST_DOCUMENT)
    plan: dict[str, Any] = expect(parse_json(data, name, limit=LARGEST_DOCUMENT, surrogates=True), _PLAN, name)
    paths = [path for pair in plan["renames"] for path in pair] + list(plan["documents"])
    if any(len(pair) != 2 for pair in (*plan["renames"], *plan["names"])):
        raise BadInput(f"{name} is damaged", "put it back as it was")
    for path in paths:
        if not is_inside((folder / path).parent, folder) or ".." in PurePosixPath(path).parts:
            raise BadInput(f"{name} names {path!r}, which is outside of the folder", "delete that folder of plans")
    return plan


def _finish(folder: Path) -> None:
    """Carry out what is planned and not done; of what was not even planned whole nothing stays."""
    for number in _plans(folder):
        plan_folder = folder / PLANS / f"{number:04d}"
        if (plan_folder / _PLANNED).exists():
            plan = _read_plan(folder, number, _PLANNED)
            for place, (old, _) in enumerate(plan["renames"]):
                between = _between(folder, old, place)
                if os.path.lexists(folder / old) and not os.path.lexists(between):
                    os.rename(folder / old, between)
            _settle(folder, plan, plan_folder / _PLANNED, plan_folder / _STAGED)
        if (plan_folder / _STAGED).exists():
            plan = _read_plan(folder, number, _STAGED)
            for place, (old, new) in enumerate(plan["renames"]):
                between = _between(folder, old, place)
                if os.path.lexists(between):
                    if os.path.lexists(folder / new):
                        raise DailytalkError(
                            f"the name {new!r} is taken", "move that file away, and run this again"
                        )
                    os.rename(between, folder / new)
            for path, digest in plan["documents"].items():
                remove_unfinished((folder / path).parent)
                _replace(folder, plan_folder, path, digest)
            shutil.rmtree(plan_folder / "after", ignore_errors=True)
            _settle(folder, plan, plan_folder / _STAGED, plan_folder / _DONE)
        if not (plan_folder / _DONE).exists():
            shutil.rmtree(plan_folder)


def _between(folder: Path, old: str, place: int) -> Path:
    return (folder / old).with_name(f"{PLANS}-{place}.tmp")


def _replace(folder: Path, plan_folder: Path, path: str, digest: str) -> None:
    """Give a document its new content. Raises DailytalkError if somebody else has changed it meanwhile."""
    document = Path(os.path.realpath(inside(folder, path)))
    before, after = (
        inside(folder, plan_folder.relative_to(folder) / state / path) for state in ("backup", "after")
    )
    now = document.read_bytes() if document.exists() else b""
    if _digest(now) == digest:
        return
    if now != before.read_bytes():
        raise DailytalkError(
            f"{path!r} was changed while its files were renamed",
            f"put back what is in {as_text(before)!r}, and run this again",
        )
    write_bytes(document, after.read_bytes())


def _settle(folder: Path, plan: Mapping[str, Any], state: Path, next_state: Path) -> None:
    """Make the renames last, and then say that they are done."""
    for parent in {(folder / old).parent for old, _ in plan["renames"]}:
        sync_folder(parent)
    os.rename(state, next_state)
    sync_folder(state.parent)
