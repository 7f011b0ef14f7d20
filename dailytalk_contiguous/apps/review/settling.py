"""Opening a folder that people edit, writing its edits into its files, and reading it with pending edits.

Reading writes nothing.
"""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from dailytalk_contiguous.apps.review.clips_lines import ClipsLines, audio_below
from dailytalk_contiguous.apps.review.editable import (
    DISCARDED,
    Editable,
    TaggedLines,
    keep_backup,
    log,
    signature_of,
)
from dailytalk_contiguous.apps.review.edits import Item, Laid, Lines, lay_edits
from dailytalk_contiguous.apps.review.moshi_lines import MANIFESTS, MoshiLines
from dailytalk_contiguous.core.documents import Edited, Readable, as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import AUDIO_FOLDER
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.store.edit_journal import JOURNAL, EditJournal, Record, has_journal
from dailytalk_contiguous.store.files import inside, sha256_of
from dailytalk_contiguous.store.work_folder import CLIPS, DATASET, MEASURED, RUN, TAGGED, TRANSCRIPT


def open_editable(folder: Path) -> Editable | None:
    """The editable lines of a folder, or of a whisper.json; None for a place of another kind.

    Raises BadInput for a folder whose links lead out of it, or a JSON whose folder has another one.
    """
    if folder.is_file() and folder.suffix.lower() == ".json":
        meant = whisper_json.clips_folder(folder.parent).json
        if meant is not None and meant != folder:
            raise BadInput(
                f"the texts of {as_text(folder.parent)!r} are those of {meant.name!r}",
                f"move {meant.name!r} elsewhere to edit {folder.name!r}",
            )
        return ClipsLines(folder)
    if not folder.is_dir():
        return None
    if (folder / TRANSCRIPT).is_file():
        return TaggedLines(folder)
    if (folder / "mix.json").is_file():
        return None
    if (folder / MANIFESTS[0]).is_file() or (folder / AUDIO_FOLDER).is_dir():
        return MoshiLines(folder)
    if any((folder / name).exists() for name in (TAGGED, DATASET, CLIPS, MEASURED, RUN)):
        return None
    clips = whisper_json.clips_folder(folder)
    if clips.json is not None or audio_below(clips.audio, skip=DISCARDED):
        return ClipsLines(folder)
    return None


def edited_root(path: Path) -> Path:
    """The folder whose journal has the edits of a path: that of a whisper.json, or of the audio beside it."""
    beside = path.is_file() or (path.name in whisper_json.AUDIO_FOLDERS and has_journal(path.parent))
    return path.parent if beside else path


def settle(folder: Path) -> None:
    """Write the edits of a folder that are not in its files yet. Nothing is opened in a folder without edits.

    The caller holds the folder. Raises DailytalkError if the disk refuses, or the journal is damaged.
    """
    root = edited_root(folder)
    editable = open_editable(root) if has_journal(root) else None
    if editable is None:
        return
    journal = EditJournal(root)
    if not unsettled(editable, journal):
        return
    try:
        settle_edits(editable, journal)
    except OSError as error:
        raise DailytalkError(
            f"edits of {as_text(root)!r} can't be written into its files ({error.strerror})",
            "make room and make it writable, then run the same command again: no edit is lost",
        ) from error


def edits_by_file(editable: Editable, records: Iterable[Record]) -> dict[str, dict[str, list[Record]]]:
    """The records that change lines, by file and item, except those of files that lead out of the folder."""
    files: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        if record["before"].get("lines"):
            by_item = files.setdefault(editable.file_of(record["item"]), {})
            by_item.setdefault(record["item"], []).append(record)
    for file in list(files):
        try:
            inside(editable.root, file)
        except BadInput:
            del files[file]
    return files


def unsettled(editable: Editable, journal: EditJournal) -> list[str]:
    """The files that lack edits, or that another program has written since."""
    files = edits_by_file(editable, journal.records.values())
    left = [name for name, items in files.items() if not _stands(editable.root / name, journal, items)]
    return left + ([DISCARDED] if unsettled_moves(journal) else [])


def _stands(path: Path, journal: EditJournal, items: Mapping[str, Sequence[Record]]) -> bool:
    record = journal.settled.get(as_text(path.relative_to(journal.folder)))
    last = max(records[-1]["number"] for records in items.values())
    if record is None or record["settled"] < last:
        return False
    return path.is_file() and sha256_of(path) == record["sha256"]


def unsettled_moves(journal: EditJournal) -> list[Record]:
    """The records that discard or restore and are not settled: of the others a person may have moved the files."""
    settled = journal.settled.get(DISCARDED, {"settled": 0})["settled"]
    moves = [record for record in journal.records.values() if "discarded" in record["after"]]
    return [record for record in moves if record["number"] > settled]


def settle_edits(editable: Editable, journal: EditJournal) -> None:
    """`settle` for a folder that is open. Raises OSError and BadInput."""
    editable.reread()
    for file, items in edits_by_file(editable, journal.records.values()).items():
        path = inside(editable.root, file)
        if _stands(path, journal, items):
            continue
        if changed := _changed(editable, items):
            keep_backup(path)
            editable.write(file, changed)
            editable.reread()
        if path.is_file():
            journal.settle(file, sha256_of(path))
    if moves := unsettled_moves(journal):
        editable.put_aside(_states(moves))
        editable.reread()
        for file in edits_by_file(editable, journal.records.values()):
            if (path := inside(editable.root, file)).is_file():
                journal.settle(file, sha256_of(path))
        journal.settle(DISCARDED, "")


def _changed(editable: Editable, items: Mapping[str, Sequence[Record]]) -> dict[str, Lines]:
    """The new lines of items of a file, if the file has others."""
    changed: dict[str, Lines] = {}
    for name, records in items.items():
        with suppress(BadInput):  # its file has lost it: its edits are open
            pending = laid_edits(editable, name, records)
            if pending.lines != in_file(editable, name):
                changed[name] = pending.lines
    return changed


def _states(moves: Iterable[Record]) -> dict[str, bool]:
    return {record["item"]: bool(record["after"]["discarded"]) for record in moves}


@dataclass(frozen=True)
class PendingEdits:
    """A folder, the lines by item that its files lack, by file, and the items that are to be moved."""

    editable: Editable
    changed: dict[str, dict[str, Lines]]
    states: dict[str, bool]


def pending_file(path: Path, folder: Path) -> Readable | None:
    """`store.edit_journal.with_pending_edits` for a file of a folder with a journal; None if it lacks no edit."""
    pending = _pending(folder)
    if pending is None:
        return None
    file = as_text(path.absolute().relative_to(folder))
    if file in pending.changed or (pending.states and file in pending.editable.listing()):
        changed = pending.changed.get(file, {})
        return Edited(path, partial(pending.editable.content, file, changed, pending.states))
    return next(
        (source for source, target in pending.editable.moves(pending.states) if target == folder / file), path
    )


def journal_moves(path: Path) -> dict[Path, Path]:
    """The files of a folder of clips that its journal discards or restores, with their new paths.

    They stay in their old paths until `review` or `reindex` moves them. Raises BadInput for a damaged journal.
    """
    root = edited_root(path).absolute()
    pending = _pending(root) if has_journal(root) else None
    return dict(pending.editable.moves(pending.states)) if pending else {}


def _pending(root: Path) -> PendingEdits | None:
    with _READING:
        # Files are replaced, never written in place: then the folder changes, too.
        return _pending_now(root, signature_of(root / JOURNAL), signature_of(root))


#: Recordings are read in parallel, and pending edits are reported once.
_READING = threading.Lock()


@lru_cache(maxsize=8)
def _pending_now(root: Path, *_: tuple[int, int, int] | None) -> PendingEdits | None:
    editable = open_editable(root)
    if editable is None:
        return None
    journal = EditJournal(root)
    try:
        files = edits_by_file(editable, journal.records.values())
        lacking = {file: items for file, items in files.items() if not _stands(inside(root, file), journal, items)}
        changed = {file: lines for file, items in lacking.items() if (lines := _changed(editable, items))}
        states = _states(moves := unsettled_moves(journal))
    except OSError as error:
        raise BadInput(f"{as_text(root)!r} can't be read ({error.strerror})", "check its files") from None
    if not changed and not moves:
        return None
    count = sum(len(lacking[file][name]) for file, lines in changed.items() for name in lines) + len(moves)
    log.warning(
        "%r is read with %s that its files do not have yet; dailytalk review writes them",
        as_text(root),
        counted(count, "edit"),
    )
    return PendingEdits(editable, changed, states)


def in_file(editable: Editable, name: str) -> Lines:
    """The lines of an item in its file; none if it has none."""
    try:
        return editable.lines(name)
    except BadInput:
        return {}


def laid_edits(editable: Editable, name: str, records: Sequence[Record]) -> Laid:
    """The lines of an item with its edits, whether its file has them or not. Raises BadInput without the item."""
    try:
        lines = editable.lines(name)
    except BadInput:
        if not any("discarded" in record["after"] for record in records):
            raise
        lines = {}  # discarding took them out of their file
    return lay_edits(lines, [record for record in records if record["before"].get("lines")])


def bounds(editable: Editable, name: str, lines: Lines, records: Iterable[Record], tags: Collection[str]) -> Item:
    """The limits of an edit of an item; `lines` and `records` are its current ones."""
    offset = editable.offset(name)
    try:
        seconds = editable.stretch(name).seconds
    except (BadInput, OSError):
        seconds = editable.seconds(name) or max((line["end"] - offset for line in lines.values()), default=0.0)
    used = {key for record in records for key in record["before"].get("lines", {})}
    end = max([offset + seconds, *(line["end"] for line in lines.values())])
    return Item(offset, end, editable.channels(name), tags, used)
