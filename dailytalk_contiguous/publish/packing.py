"""Packs a work folder into the Parquet files of a version on this disk: all of a push except the Hub.

Every conversation is read twice: once without its audio, to decide its split and its file, and once with its
audio. The first pass (`index_folder`) rejects rows that can't be published, and keeps a few hundred bytes of a
conversation, so that a corpus of any length fits in memory. The second writes rows in the order of their ids,
split by split, and the files of all configs side by side. Threads cut and encode: decoding, encoding and hashing
release the interpreter lock.

A version that adds, changes or drops a few conversations moves the borders of files. Their content is cut into
chunks by what is in it (content-defined chunking of Parquet, and Xet's own), so the Hub gets the new chunks alone.
"""

import errno
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from datasets import Features

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.interaction import AFTER, CONTEXT
from dailytalk_contiguous.core.schema import CONFIGS, SPLITS, Row, kept_speakers, parent_of, published_features
from dailytalk_contiguous.core.utterance import FIELDS, heard_utterances
from dailytalk_contiguous.publish import opening
from dailytalk_contiguous.publish.interactivity import ClipChoice
from dailytalk_contiguous.publish.items import SMALL, Place, Shards
from dailytalk_contiguous.publish.manifest import DataFile, Packed
from dailytalk_contiguous.publish.published_rows import (
    PackedRecording,
    PublishedRows,
    RowOrigin,
    origin,
    published_rows,
    recording_of,
    recording_row,
    row_provenance,
)
from dailytalk_contiguous.publish.splits import SplitVoice, as_decided, split_three
from dailytalk_contiguous.shards import Shard, read_entries, read_rows, read_shard
from dailytalk_contiguous.sources.transcribed import BASE, tagged_row
from dailytalk_contiguous.store.files import locked, sha256_of, write_text
from dailytalk_contiguous.store.parquet import writing_parquet
from dailytalk_contiguous.store.work_folder import TAGGED

#: The stage that rejects of a push name.
STAGE = "push"

#: Bytes of a file at most: `datasets` and the viewer of the Hub are at ease with 100 to 250 MB.
SHARD_BYTES = 250_000_000

#: Bytes of audio behind which a row group ends; a reader of one row fetches as much.
ROW_GROUP_BYTES = 8_000_000

#: Bytes that are left free on the disk: for the footers of files, and for other programs.
_SPARE = 200_000_000

#: Name of the file that marks a folder as ours.
MARK = ".dailytalk-stage"


class Finished(NamedTuple):
    """A finished conversation, and where its row is.

    Attributes:
        voice: what decides its split. parent: what it was made of, or its own id.
        heard_seconds: total length of its audible utterances; None where it has none.
        chain: digest of each stage of the spoken half, from its shard; empty where the shard has none.
        split: of a clip; None of a conversation, whose split is still to be decided.
        place: where the row is.
        interactions: ids of the clips of interaction that are published of it.
    """

    voice: SplitVoice
    parent: str
    heard_seconds: float | None
    chain: tuple[str, ...]
    split: str | None
    place: Place
    interactions: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.voice.id


@dataclass(frozen=True)
class Index:
    """All finished conversations of a work folder.

    Attributes:
        items: their reader.
        conversations: sorted by id.
        sample_rate: Hz of all of them, or None where they differ.
        bytes_per_second: of their encoded audio, on average.
        rejects: rows that can't be published.
    """

    items: Shards
    conversations: tuple[Finished, ...]
    sample_rate: int | None
    bytes_per_second: float
    rejects: tuple[Reject, ...] = ()


def index_folder(folder: Path, per_kind: int = 0) -> Index:
    """Index the finished conversations of a work folder, reading no audio.

    `per_kind`: clips of interaction that are published of each kind, at most.

    Raises DailytalkError: there are none, a shard is damaged or of no finished dataset, or an id occurs twice.
    """
    items = opening.finished_items(folder)
    finished: dict[str, Finished] = {}
    rejects: list[Reject] = []
    rates: set[int] = set()
    chains: dict[tuple[str, ...], tuple[str, ...]] = {}  # most rows share one, and memory should too
    choice = ClipChoice(per_kind)
    for path in items.files:
        shard = read_shard(path) or Shard()
        for place, row in items.rows_of(path, SMALL):
            name = row["conversation_id"]
            try:
                _check(row)
            except BadInput as problem:
                rejects.append(Reject(name, STAGE, problem.reason, problem.remedy))
                continue
            if name in finished:
                raise DailytalkError(
                    f"the conversation {name!r} is in {finished[name].place.file} and in {path}",
                    "remove one of the two shards, or build the dataset again",
                )
            if per_kind:
                choice.add(row)
            rates.add(row["sample_rate"])
            audible = heard_utterances(row)
            chain = shard.digests if name in shard.entries else ()
            finished[name] = Finished(
                SplitVoice(name, kept_speakers(row), row["recording_id"], row["duration"]),
                parent_of(row),
                sum((part["end"] or 0.0) - (part["start"] or 0.0) for part in audible) if audible else None,
                chains.setdefault(chain, chain),
                row["split"] if row["labels"] else None,
                place,
            )
    if not finished:
        why = f" that can be published ({rejects[0].id}: {rejects[0].reason})" if rejects else ""
        raise DailytalkError(
            f"{folder} holds no finished conversations{why}",
            "see its rejects.jsonl, and run dailytalk speak again",
        )
    for clip_id in sorted(choice.ids):
        name = clip_id.rsplit("/", 2)[0]
        finished[name] = finished[name]._replace(interactions=(*finished[name].interactions, clip_id))
    seconds = sum(item.voice.seconds for item in finished.values())
    return Index(
        items,
        tuple(finished[name] for name in sorted(finished)),
        rates.pop() if len(rates) == 1 else None,
        max(items.audio_bytes(), 1) / max(seconds, 1e-3),
        tuple(rejects),
    )


def _check(row: Row) -> None:
    """Raise BadInput for a row that can't be published."""
    if row["problem"]:
        raise BadInput(row["problem"], row["remedy"])
    if not row["recording_id"] or not row["sample_rate"] or row["sample_rate"] < 1:
        raise BadInput("it has no recording_id or no sample_rate", "build the conversation again")
    if row["labels"] and row["split"] not in SPLITS:
        known = ", ".join(SPLITS)
        raise BadInput(f"its split is {row['split']!r}, not {known}", "run `dailytalk corpus` again")
    row_provenance(row)


def recordings(folder: Path, conversations: Iterable[Finished]) -> list[PackedRecording]:
    """Return the recordings of finished conversations, for the config `source`, by id.

    Raises DailytalkError if one is not known, and as `recording_of` does.
    """
    tagged: dict[str, Row] = {}
    for path in sorted((folder / TAGGED).glob("shard-*.parquet")):
        if read_entries(path) is not None:
            tagged |= read_rows(path, BASE)
    parts: dict[str, list[Row]] = {}
    for finished in conversations:
        if finished.id not in tagged:
            raise DailytalkError(
                f"{folder / 'tagged'} does not say from which recording {finished.id!r} is",
                "run dailytalk tag again, or push without --include-source",
            )
        parts.setdefault(finished.voice.recording_id, []).append(tagged_row(tagged[finished.id]))
    return [recording_of(name, parts[name]) for name in sorted(parts)]


def split_of(recording: PackedRecording, side: Mapping[str, str]) -> str:
    splits = {side[part["conversation_id"]] for part in recording.parts}
    return next(name for name in SPLITS if name in splits)


#: Called after each file with the file, how many are done, and how many there are.
PackProgress = Callable[[DataFile, int, int], None]


def pack_version(
    folder: Path,
    stage: Path,
    *,
    include_source: bool = False,
    per_kind: int = 0,
    splits_before: Mapping[str, str] = {},
    valid_share: float = 0.05,
    test_share: float = 0.05,
    seed: int = 0,
    shard_bytes: float = SHARD_BYTES,
    workers: int = 2,
    progress: PackProgress = lambda file, done, of: None,
) -> Packed:
    """Pack the finished conversations of a work folder into the files of one version.

    Args:
        folder: a work folder with `dataset/` (and `tagged/`, for the recordings).
        stage: where the files go, `CONFIG/SPLIT-00000-of-00004.parquet`. What an earlier push left there is
        removed. per_kind: clips of interaction of each kind at most, as the config `interactivity`. splits_before:
        conversation id to its split in the version before. valid_share, test_share, seed: as in
        `publish.splits.split_three`. Clips keep the split that they have. shard_bytes: bytes of a file at most.
        workers: threads that cut and encode. progress: called after each file.

    Raises DailytalkError: the folder holds no row that can be published, a recording is missing or another one
    than was tagged, the disk is too small, or the stage holds files that no push wrote.
    """
    index = index_folder(folder, per_kind)
    claim(stage)
    voices = [finished.voice for finished in index.conversations]
    if index.items.labelled:
        if include_source:
            raise DailytalkError("clips have no recordings to publish beside them", "leave out --include-source")
        given = {finished.id: finished.split for finished in index.conversations if finished.split}
        side, disjoint = as_decided(voices, given)
    else:
        parents = {finished.id: finished.parent for finished in index.conversations}
        side, disjoint = split_three(voices, splits_before, valid_share, test_share, seed, parents)
    if per_kind and not any(finished.interactions for finished in index.conversations):
        raise DailytalkError(f"nothing in {folder} can be a clip of interaction", "push with --clips 0")
    sources = recordings(folder, index.conversations) if include_source else []
    planned = [*_planned(index, sources, side, shard_bytes)]
    size = sum(file.size for file in planned)
    free = shutil.disk_usage(stage).free
    if size + _SPARE > free:
        raise DailytalkError(
            f"packing needs about {(size + _SPARE) / 1e9:.1f} GB in {stage}, and {free / 1e9:.1f} GB are free",
            "make room, or name a folder on another disk",
        )
    files: list[DataFile] = []
    try:
        for file in _packed(planned, stage, index, sources, origin(folder), workers):
            files.append(file)
            progress(file, len(files), len(planned))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DailytalkError(f"the disk of {stage} is full", "make room and push again") from None
    in_order = tuple(sorted(files, key=attrgetter("name")))
    return Packed(in_order, index.sample_rate, disjoint, index.rejects, index.items.fields)


class PlannedFile(NamedTuple):
    """A file of a version: its name, config and split, the ids of conversations or recordings, about its bytes."""

    name: str
    config: str
    split: str
    ids: tuple[str, ...]
    size: float


def _planned(
    index: Index, sources: Sequence[PackedRecording], side: Mapping[str, str], most: float
) -> Iterator[PlannedFile]:
    """The files of a version. A split without rows has none: `datasets` fails on one."""
    rate = index.bytes_per_second
    sizes: dict[tuple[str, str], dict[str, float]] = {}
    for finished in index.conversations:
        split, clips = side[finished.id], len(finished.interactions)
        # One speaker of two takes most of a second's bytes, so counts as both.
        of_config = {"conversations": rate * finished.voice.seconds}
        if finished.heard_seconds is not None:
            of_config["utterances"] = rate * finished.heard_seconds
        if clips:
            of_config["interactivity"] = rate * clips * (CONTEXT + AFTER)
        for config, size in of_config.items():
            sizes.setdefault((config, split), {})[finished.id] = size
    for recording in sources:
        sizes.setdefault(("source", split_of(recording, side)), {})[recording.id] = recording.size
    for (config, split), of_ids in sizes.items():
        files: list[tuple[list[str], float]] = []
        for name, size in of_ids.items():
            if not files or files[-1][1] + size > most:
                files.append(([], 0.0))
            files[-1][0].append(name)
            files[-1] = files[-1][0], files[-1][1] + size
        for number, (ids, size) in enumerate(files):
            # As `Dataset.push_to_hub` names it.
            path = f"{config}/{split}-{number:05d}-of-{len(files):05d}.parquet"
            yield PlannedFile(path, config, split, tuple(ids), size)


def _packed(
    planned: Sequence[PlannedFile],
    stage: Path,
    index: Index,
    sources: Sequence[PackedRecording],
    made_by: RowOrigin,
    workers: int,
) -> Iterator[DataFile]:
    """Write the files, and yield each when it is on disk."""
    from dailytalk_contiguous.sources.folder import side_by_side  # here, for it imports all that reads recordings

    conversations = {finished.id: finished for finished in index.conversations}
    by_id = {recording.id: recording for recording in sources}
    columns = {
        config: published_features(config, index.sample_rate, index.items.labelled, (*FIELDS, *index.items.fields))
        for config in CONFIGS
    }

    def make(read: tuple[Finished, Row]) -> tuple[str, PublishedRows]:
        finished, row = read
        heard = finished.heard_seconds is not None
        return finished.id, published_rows(row, finished.chain, made_by, finished.interactions, heard)

    for split in SPLITS:
        of_split = {
            config: [file for file in planned if (file.config, file.split) == (config, split)]
            for config in CONFIGS
        }
        for file in of_split.pop("source"):
            with _writing(stage, file, columns["source"]) as written:
                for name in file.ids:
                    written.add([(recording_row(by_id[name], made_by), by_id[name].seconds)])
            yield written.file()
        members = (conversations[name] for file in of_split["conversations"] for name in file.ids)
        with ExitStack() as opened:
            writing: dict[str, tuple[ExitStack, _File]] = {}
            for name, rows in side_by_side(make, _read_ahead(index, members), workers):
                for config, of_config in rows.items():
                    file = of_split[config][0]
                    if config not in writing:
                        stack = opened.enter_context(ExitStack())
                        writing[config] = stack, stack.enter_context(_writing(stage, file, columns[config]))
                    stack, written = writing[config]
                    written.add(of_config)
                    if name == file.ids[-1]:
                        stack.close()
                        yield written.file()
                        del writing[config], of_split[config][0]


def _read_ahead(index: Index, members: Iterable[Finished]) -> Iterator[tuple[Finished, Row]]:
    """Members with their rows, in this order.

    About as many as a published file holds are read at once, in the order of the folder: short conversations share
    row groups, and to read one of them is to read its neighbours.
    """
    some: list[Finished] = []
    size = 0.0
    for finished in members:
        some.append(finished)
        size += index.bytes_per_second * finished.voice.seconds
        if size >= SHARD_BYTES:
            yield from zip(some, _rows_of(index.items, some), strict=True)
            some, size = [], 0.0
    yield from zip(some, _rows_of(index.items, some), strict=True)


def _rows_of(items: Shards, members: Sequence[Finished]) -> list[Row]:
    by_place = sorted(members, key=attrgetter("place"))
    rows: dict[str, Row] = {}
    try:
        for finished, row in zip(by_place, items.rows_at([member.place for member in by_place]), strict=True):
            if row["conversation_id"] != finished.id or not (row["audio"] or {}).get("bytes"):
                raise BadInput("another row", "")
            rows[finished.id] = row
    except BadInput as problem:
        changed = by_place[len(rows)]
        raise DailytalkError(
            f"the conversation {changed.id!r} is not whole in {changed.place.file} any more ({problem.reason})",
            "wait until the run that writes there has ended, and push again",
        ) from None
    return [rows[finished.id] for finished in members]


class _File:
    """A file that is being written, its row groups cut behind `ROW_GROUP_BYTES` of audio."""

    def __init__(self, stage: Path, planned: PlannedFile, write: Callable[[Sequence[Row]], object]) -> None:
        self._path, self._planned, self._write = stage / planned.name, planned, write
        self._group: list[Row] = []
        self._bytes = self._rows = 0
        self._seconds = 0.0

    def add(self, rows: Iterable[tuple[Row, float]]) -> None:
        """Add rows, each with the seconds of its audio."""
        for row, seconds in rows:
            self._group.append(row)
            self._bytes += len(row["audio"]["bytes"])
            self._rows += 1
            self._seconds += seconds
            if self._bytes >= ROW_GROUP_BYTES:
                self.end_group()

    def end_group(self) -> None:
        if self._group:
            self._write(self._group)
        self._group, self._bytes = [], 0

    def file(self) -> DataFile:
        """What was written; only after its context."""
        name, config, split, *_ = self._planned
        size = self._path.stat().st_size
        return DataFile(name, self._path, config, split, sha256_of(self._path), size, self._rows, self._seconds)


@contextmanager
def _writing(stage: Path, planned: PlannedFile, features: Features) -> Iterator[_File]:
    with writing_parquet(stage / planned.name, features, audio="audio.bytes") as write:
        file = _File(stage, planned, write)
        yield file
        file.end_group()


def claim(stage: Path) -> None:
    """Empty the staging folder and mark it as ours, or raise DailytalkError for a folder with other files."""
    if (stage / MARK).is_file():
        for config in CONFIGS:
            shutil.rmtree(stage / config, ignore_errors=True)
    elif stage.exists() and (not stage.is_dir() or any(stage.iterdir())):
        raise DailytalkError(
            f"{stage} is there already and no stage of a push", "choose another folder, or empty this one"
        )
    write_text(stage / MARK, "Files of a version that waits to be pushed. Can be deleted at any time.\n")


@contextmanager
def exclusive(stage: Path) -> Iterator[None]:
    """Hold a stage for this process: two pushes would pack into, and remove, each other's files.

    Raises DailytalkError while another process holds it.
    """
    reason = f"another dailytalk push works on {str(stage.parent)!r}"
    with locked(stage.with_name(f"{stage.name}.lock"), reason, "wait until it is done, and run this again"):
        yield
