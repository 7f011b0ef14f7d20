"""A dataset on the Hub as a source: audio files, tables and shards, whole or as a stream."""

import hashlib
import itertools
import json
import os
import posixpath
import re
import tarfile
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import astuple, dataclass
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, TypedDict

import pyarrow as pa
from datasets import Audio, Features, get_dataset_config_names, load_dataset_builder
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, try_to_load_from_cache
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import tqdm

from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, read_json, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cache_folder, side_by_side
from dailytalk_contiguous.core.schema import CONFIGS as PUBLISHED
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.sources.addresses import HubChoice
from dailytalk_contiguous.sources.channel_names import ROLES, explains_itself
from dailytalk_contiguous.sources.recordings import LARGEST, Names, Recording, common_name, identities, shortened
from dailytalk_contiguous.sources.transcripts import OF_MANY, stems_of
from dailytalk_contiguous.store.files import inside, write_bytes, write_text
from dailytalk_contiguous.store.hub import TIMEOUTS, Reference, hub_errors, parse_reference
from dailytalk_contiguous.store.owned_folder import RECORD
from dailytalk_contiguous.store.parquet import ParquetReader, open_parquet

# A dataset repository on the Hub at one commit: its files, and the licence in its card.
#
# The revision is resolved to a commit once, and all that follows names that commit, so that a push in the
# meantime can't mix two versions.


class HubFile(NamedTuple):
    """A file of the repository: its size in bytes, and a digest of its content in hexadecimal."""

    size: int
    digest: str


@dataclass(frozen=True)
class Repository:
    """A dataset repository at one commit. `licence`: what its card names, or None; `files`: by path."""

    reference: Reference
    commit: str
    licence: str | None
    files: dict[str, HubFile]
    choice: HubChoice

    def about(self) -> dict[str, Any]:
        return {"repository": self.reference.repo, "revision": self.commit, "licence": self.licence}

    @property
    def revoiced(self) -> bool:
        """Whether what is read of it is what `push` wrote of finished conversations, not their recordings."""
        folders = {path.partition("/")[0] for path in self.files if "/" in path}
        return {*PUBLISHED[:2]} <= folders and self.choice.config in (None, PUBLISHED[0])


def open_repository(reference: Reference, choice: HubChoice) -> Repository:
    """Resolve the revision and list the files. Raises DailytalkError as `hub_errors` does."""
    api = HfApi()
    with hub_errors(reference):
        info = api.dataset_info(reference.repo, revision=reference.revision, timeout=TIMEOUTS)
        commit = str(info.sha)
        tree = api.list_repo_tree(reference.repo, recursive=True, revision=commit, repo_type="dataset")
        files = {
            entry.path: HubFile(entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
            for entry in tree
            if isinstance(entry, RepoFile)
        }
    return Repository(reference, commit, _licence(info.card_data), files, choice)


def download(repository: Repository, path: str, folder: Path | None = None) -> Path:
    """A file of the repository in the Hub's own cache on this machine; fetched once, and resumed after a stop.

    With `folder` it is put there instead, for a caller that drops it after use.
    """
    local = hf_hub_download(
        repository.reference.repo,
        path,
        repo_type="dataset",
        revision=repository.commit,
        local_dir=folder,
        tqdm_class=_Silent,
    )
    return Path(local)


def modified_of(digest: str) -> int:
    """A time of modification that identifies a content: its digest's first 31 bits as seconds since 1970.

    A recording is identified by its name, size and time. With the time of its download, clearing the cache would
    redo all the work on recordings that did not change.
    """
    return int(digest[:8], 16) >> 1


def _licence(card: object) -> str | None:
    """The licence that the Hub read in a card: `cc-by-4.0`, or for `other` its name and link."""
    licence = getattr(card, "license", None)
    named = licence if isinstance(licence, list) else [licence]
    if licence == "other":
        named = [getattr(card, "license_name", None), getattr(card, "license_link", None)]
    texts = [text for text in named if text and isinstance(text, str)]
    text = " ".join(texts) or licence if licence == "other" else ", ".join(texts)
    # JSON can spell halves of characters, which no file that we write could hold.
    return text.encode("utf-8", "backslashreplace").decode() or None


class _Silent(tqdm):
    """No progress bar for each of thousands of files."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **(named | {"disable": True}))  # type: ignore[no-untyped-call]


# Repositories of audio files: one file a recording, with or without its transcript beside it.
#
# Such are `kyutai/DailyTalkContiguous` (`data_stereo/NAME.wav` and `NAME.json`) and AudioFolder. The files stay
# in the Hub's own cache, which other programs share, and are used from there as a local folder would be.


#: Files that are fetched at a time: the Hub's own client takes as many.
_AT_A_TIME = 8


def audio_files(paths: Iterable[str]) -> list[str]:
    """The recordings among paths of a repository, sorted, without hidden ones and those in `made_folders`."""
    names = set(paths)
    ours = set(made_folders(names))
    return sorted(
        path
        for path in names
        if PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES
        and not any(part.startswith(".") for part in path.split("/"))
        and ours.isdisjoint(f"{parent}/" for parent in PurePosixPath(path).parents)
    )


def made_folders(paths: Collection[str]) -> list[str]:
    """Folders among paths of a repository that we made, ending in `/`; none if we made all of it."""
    marks = [path for path in paths if path.endswith(f"/{RECORD}")]
    return [] if RECORD in paths else sorted(mark.removesuffix(RECORD) for mark in marks)


def companions(recordings: Iterable[str], paths: Iterable[str]) -> dict[str, list[str]]:
    """For each recording, the files beside it that may be its transcript."""
    keys = {}  # folder and stem of a recording and, if it may be one side of a pair, of the pair
    for path in recordings:
        folder = str(PurePosixPath(path).parent)
        stem = PurePosixPath(path).stem
        pair = common_name(stem)
        keys[path] = [(folder, stem)] + ([(folder, pair)] if pair else [])
    beside: dict[tuple[str, str], list[str]] = {key: [] for of_path in keys.values() for key in of_path}
    shared: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        folder = str(PurePosixPath(path).parent)
        name = PurePosixPath(path).name
        known = next((stem for stem in stems_of(name) if (folder, stem) in beside), None)
        if known is not None:
            beside[folder, known].append(path)
        elif OF_MANY in stems_of(name):
            shared[folder].append(path)
    return {
        path: [name for key in of_path for name in beside[key]] + shared[of_path[0][0]]
        for path, of_path in keys.items()
    }


def needed_files(repository: Repository) -> list[str]:
    """The recordings that the choice asks for, each with what may be its transcript."""
    recordings = chosen_files(repository)
    beside = companions(recordings, repository.files)
    return list(dict.fromkeys(path for name in recordings for path in (name, *beside[name])))


def fetch_files(repository: Repository, paths: Iterable[str]) -> dict[str, Path]:
    """Fetch files into the Hub's cache, several at a time."""
    paths = list(paths)
    fetched = side_by_side(partial(fetch_file, repository), paths, _AT_A_TIME)
    return dict(zip(paths, fetched, strict=True))


def fetch_tree(repository: Repository, suffixes: Collection[str]) -> Path:
    """Fetch all files with these endings, and give the folder that they are in, as they are in the repository.

    The files are links into the Hub's cache. Raises DailytalkError if there are none.
    """
    paths = [path for path in sorted(repository.files) if PurePosixPath(path).suffix.lower() in suffixes]
    if not paths:
        endings = ", ".join(sorted(suffixes))
        raise DailytalkError(f"{repository.reference} has no file of the kinds {endings}", "name another dataset")
    with hub_errors(repository.reference):
        local = fetch_files(repository, paths)
    return local[paths[0]].parents[paths[0].count("/")]


def chosen_files(repository: Repository) -> list[str]:
    """The recordings that the choice asks for. Raises DailytalkError if there are none."""
    choice = repository.choice
    files = audio_files(repository.files)
    chosen = [path for path in files if not choice.split or choice.split in path.split("/")[:-1]]
    if not chosen:
        folders = sorted({part for path in files for part in path.split("/")[:-1]})
        where = f" in a folder {choice.split!r}" if choice.split else ", no Parquet and no WebDataset shards"
        raise DailytalkError(
            f"{repository.reference.repo} has no audio files{where}",
            f"choose --split from {', '.join(folders)}" if folders else "name a dataset of recordings",
        )
    return chosen


def _depth(path: str, split: str) -> int:
    """Number of parts of a path above the root of names."""
    return path.split("/").index(split) + 1 if split else 0


def fetch_file(repository: Repository, path: str, folder: Path | None = None) -> Path:
    """Fetch a file, and give it a time that identifies its content."""
    local = download(repository, path, folder)
    seconds = modified_of(repository.files[path].digest)
    if int(local.stat().st_mtime) != seconds:
        # A cache of another user keeps its own times, which don't change either.
        with suppress(PermissionError):
            os.utime(local, (seconds, seconds))
    return local


def names_of(recordings: Collection[str], split: str) -> dict[str, str]:
    """File names for the recordings of a repository: their paths below the folder that they have in common."""
    shared = posixpath.commonpath(["/".join(path.split("/")[: _depth(path, split)]) for path in recordings])
    return {path: path[len(shared) :].lstrip("/") for path in recordings}


# Reading the rows of one shard, Parquet or WebDataset, over the network without a copy of the shard.
#
# Read with pyarrow and tarfile, and not with `load_dataset(streaming=True)`: that reads all columns to get at
# one, fails on WebDataset members in Moshi's JSON (lists of mixed types are no Arrow type), and may abort the
# process where it is left before the end (apache/arrow#45214). Audio is never decoded.


PARQUET = ".parquet"
TAR = ".tar"

#: Column with the name of a WebDataset sample, as `datasets` calls it.
KEY = "__key__"

#: The column in a member's name: from its first dot, without a number or a space behind it (call 1.0.flac).
_COLUMN = re.compile(r"\.((?:[A-Za-z_][\w-]*\.)*[\w-]+)$")

#: Rows decoded at a time: recordings are large.
_ROWS = 2

#: Bytes of a column that are read at a time.
_BUFFER = 8 << 20

#: What Arrow and tarfile raise for damage; as OSError they raise its plain class.
_DAMAGE = (pa.ArrowException, tarfile.TarError, OSError)


def columns_of(repository: Repository, path: str) -> tuple[list[str], list[str]]:
    """All columns of a shard, and those that hold audio. A WebDataset's are those of its first sample.

    Raises BadInput for one that is damaged.
    """
    try:
        with _opened(repository, path) as file:
            if path.lower().endswith(PARQUET):
                with _parquet(repository, path, file) as parquet:
                    try:
                        features = Features.from_arrow_schema(parquet.schema)
                    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # of its metadata
                        features = Features.from_arrow_schema(parquet.schema.remove_metadata())
                    audio = [
                        name
                        for name, kind in features.items()
                        if isinstance(kind, Audio) or (isinstance(kind, dict) and kind.keys() == {"bytes", "path"})
                    ]
                    return parquet.schema.names, audio
            first, _ = next(_samples(file), ({}, 0))
    except _DAMAGE as error:
        raise _damaged(repository, path, error) from error
    return list(first), [name for name in first if _is_audio(name)]


def rows_of(
    repository: Repository, path: str, columns: Sequence[str], start: int = 0
) -> Iterator[tuple[Row | BadInput, int]]:
    """The rows of a shard with these columns as far as it has them; those of a WebDataset hold bytes.

    A row that can't be read is the BadInput that says why, and so is the rest of a tar, or of a row group of
    Parquet, after a damaged position.

    Each comes with the position after it, at which `start` resumes without reading what was before: a number of
    rows in Parquet (whose row groups are read whole), of bytes in WebDataset.
    """
    with _opened(repository, path) as file:
        if path.lower().endswith(PARQUET):
            try:
                with _parquet(repository, path, file) as parquet:
                    yield from _rows_of_groups(parquet, columns, start)
            except BadInput as problem:
                if not start:  # else it was reported at the start of the shard
                    yield problem, 1
            return
        size = file.seek(0, os.SEEK_END)
        if start and start >= size:
            return  # an empty rest is no tar
        file.seek(start)
        try:
            for sample, after in _samples(file):
                bad = next((value for value in sample.values() if isinstance(value, BadInput)), None)
                yield bad or {name: sample.get(name) for name in columns}, start + after
        except _DAMAGE as error:
            yield _damaged(repository, path, error), size


def _rows_of_groups(
    parquet: ParquetReader, columns: Sequence[str], start: int
) -> Iterator[tuple[Row | BadInput, int]]:
    present = [name for name in columns if name in parquet.schema.names]
    n_before = 0
    for group, size in enumerate(parquet.group_sizes):
        end = n_before + size
        try:
            for batch in parquet.batches(present, [group], _ROWS) if end > start else ():
                for number in range(n_before + 1, n_before + len(batch) + 1):
                    if number > start:
                        yield _row(batch, number - n_before - 1), number
                n_before += len(batch)
        except BadInput as problem:
            yield problem, end
        n_before = end


def _parquet(repository: Repository, path: str, file: BinaryIO) -> AbstractContextManager[ParquetReader]:
    name = f"{path} of {repository.reference.repo}"
    return open_parquet(file, "choose another revision", name, _BUFFER)


def _row(batch: pa.RecordBatch, number: int) -> Row | BadInput:
    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[number].as_py()
        except (ValueError, OverflowError) as error:  # text that is not UTF-8; a date that Python has not
            return BadInput(f"its {name} can't be read ({error})", "correct the row, and publish it again")
    return row


def _damaged(repository: Repository, path: str, error: Exception) -> BadInput:
    """Why the rest can't be read. Raises `error` again if it is of the network or the disk."""
    if (isinstance(error, OSError) and type(error) is not OSError) or getattr(error, "errno", None) is not None:
        raise error
    cause = (str(error) or type(error).__name__).splitlines()[0]
    return BadInput(
        f"{path} of {repository.reference.repo} is damaged from here on ({cause})", "choose another revision"
    )


def _opened(repository: Repository, path: str) -> AbstractContextManager[BinaryIO]:
    path = f"datasets/{repository.reference.repo}@{repository.commit}/{path}"
    opened: AbstractContextManager[BinaryIO] = HfFileSystem().open(path, "rb")
    return opened


class _Member(NamedTuple):
    """A file of a tar: the name of its sample, its column, its content, and the byte behind it."""

    key: str
    column: str
    value: bytes | BadInput
    end: int

    @property
    def part(self) -> str:
        """What is between the first dot and the last: left of call.left.wav."""
        return self.column.rpartition(".")[0]


def _samples(file: BinaryIO) -> Iterator[tuple[Row, int]]:
    """Members of a tar that share a name, as WebDataset names samples. With the bytes read."""
    members: list[_Member] = []
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            folder, slash, name = member.name.rpartition("/")
            match = _COLUMN.search(name)
            if not member.isfile() or not match or name.startswith("."):
                continue
            key = folder + slash + name[: match.start()]
            column = match[1]
            if members and members[0].key != key:
                yield from _samples_of(members)
                members = []
            content = tar.extractfile(member)
            if content is None or member.size > LARGEST:  # a sparse one takes no room in the tar
                size = f"{member.size / 1e9:.1f} GB, and {LARGEST / 1e9:g} GB are read at most"
                value: bytes | BadInput = BadInput(f"its {column} has {size}", "publish it in shorter parts")
            else:
                value = content.read()
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            members.append(_Member(key, column.lower(), value, end))
    if members:
        yield from _samples_of(members)


def _samples_of(members: Sequence[_Member]) -> Iterator[tuple[Row, int]]:
    """The sample of members that share a name up to its first dot; or, where each name up to the last dot has one
    audio file and is no side (mr.smith.wav, mr.jones.wav), those of these names.
    """
    pieces = [(part, [*piece]) for part, piece in itertools.groupby(members, key=attrgetter("part"))]
    names = [part for part, _ in pieces]
    is_sides = any(explains_itself(name := part.rpartition(".")[2]) or name in ROLES for part in names)
    one_each = all(sum(_is_audio(member.column) for member in piece) == 1 for _, piece in pieces)
    if is_sides or not one_each or len(set(names)) < len(names):
        yield {KEY: members[0].key} | {member.column: member.value for member in members}, members[-1].end
        return
    for part, piece in pieces:
        columns = {member.column.rpartition(".")[2]: member.value for member in piece}
        yield {KEY: f"{members[0].key}.{part}" if part else members[0].key} | columns, piece[-1].end


def _is_audio(column: str) -> bool:
    return PurePosixPath(f"_.{column}").suffix.lower() in AUDIO_SUFFIXES


# Repositories of tables: a row a recording, in Parquet or WebDataset shards.
#
# Each row's encoded audio is written once, as it is, to a file of this machine's cache, named by the row's id,
# with the row's word times beside it where it has some. A list of the written files is written last, so that a
# finished folder is never fetched again and an unfinished one never used.


TABLE_SUFFIXES = (PARQUET, TAR)

#: Columns that name a recording; and the configs to take where several are.
ID_COLUMNS = ("conversation_id", "recording_id", "id")
CONFIGS = ("conversations", "default")

#: Columns with the words of a recording and their times: our own, WebDataset's member, and what others call it.
WORD_COLUMNS = ("alignments", "json", "transcript")

_DONE = ".complete.json"

#: What encoded audio begins with, at which byte.
_MAGIC = (
    (0, b"RIFF", ".wav"),
    (0, b"RF64", ".wav"),
    (0, b"fLaC", ".flac"),
    (28, b"OpusHead", ".opus"),
    (0, b"OggS", ".ogg"),
    (0, b"ID3", ".mp3"),
    (0, b"FORM", ".aiff"),
    (0, b"caff", ".caf"),
    (4, b"ftyp", ".m4a"),
    (0, b".snd", ".au"),
    (0, b"\x1aE\xdf\xa3", ".mka"),
    *((0, start, ".mp3") for start in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa")),
)

#: Characters that some systems forbid in file names, and a leading dot, which would hide the file.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|%\ud800-\udfff]|^\.')

#: Bytes of a file's name that leave room for an ending and the temporary name that it is written under.
_LONGEST_NAME = 200


class TablePlan(NamedTuple):
    """Shards by split, the columns to read, and the folder that recordings are written to."""

    shards: dict[str, list[str]]
    audio: str
    named_by: str
    words: list[str]
    folder: Path

    @property
    def columns(self) -> list[str]:
        return [name for name in dict.fromkeys([self.audio, self.named_by, *self.words]) if name]


def table_file_name(name: str) -> str:
    """A recording's name as a path without an ending: what no file may be called is percent-encoded.

    Slashes make folders. Different names stay different; one that is too long ends in a digest.
    """
    parts = [_UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", part) or "%" for part in name.split("/")]
    return shortened("/".join(parts), _LONGEST_NAME)


def suffix_of(data: bytes) -> str:
    """The ending for encoded audio, by what it begins with. Raises BadInput if it is nothing known."""
    for offset, start, suffix in _MAGIC:
        if data[offset : offset + len(start)] == start:
            return suffix
    raise BadInput("its audio is in no known format", "check that the column holds encoded audio, such as FLAC")


def write_row(
    plan: TablePlan, row: Row | BadInput, split: str, number: int, written: Container[str]
) -> tuple[str, Path] | Reject:
    """Write a row's recording into the plan's folder: its name and its file. An unusable one is a Reject.

    `number` is its index in the split. `written` are the names of the rows before it.
    """
    name = f"{split}-{number:06d}"
    numbered = name
    if isinstance(row, BadInput):
        return Reject(name, "Hub", row.reason, row.remedy)
    try:
        own_id = _name(row, plan, split) or numbered
        if own_id in written:
            raise BadInput(f"its id {own_id!r} was another row's already", "choose another --id-column")
        name = own_id
        return name, _write(plan, name, row)
    except BadInput as error:
        return Reject(name, "Hub", error.reason, error.remedy)


def _write_all(plan: TablePlan, repository: Repository) -> dict[str, Any]:
    """Write the recordings of all rows, and then the list of them and of the rows that can't be used."""
    written: dict[str, Path] = {}
    problems: list[Reject] = []
    for split, shards in plan.shards.items():
        rows = (row for shard in shards for row, _ in rows_of(repository, shard, plan.columns))
        for number, row in enumerate(rows):
            written_row = write_row(plan, row, split, number, written)
            if isinstance(written_row, Reject):
                problems.append(written_row)
            else:
                written[written_row[0]] = written_row[1]
    record = {
        "recordings": [path.relative_to(plan.folder).as_posix() for path in written.values()],
        "problems": [problem.as_dict() for problem in problems],
    }
    write_text(plan.folder / _DONE, json.dumps(record, indent=1, ensure_ascii=False))
    return record


def _name(row: Row, plan: TablePlan, split: str) -> str | None:
    """The name of a row's recording; None where nothing names it. File names begin with their split."""
    if plan.named_by and plan.named_by != KEY:
        own = row.get(plan.named_by)
        return None if own in (None, "") else table_file_name(str(own))
    value = row.get(plan.audio)
    path = row.get(KEY) or (value.get("path") if isinstance(value, dict) else None)
    if not path:
        return None
    stem = str(path) if plan.named_by else re.sub(r"\.[^./]*$", "", str(path).rpartition("/")[2])
    return table_file_name(f"{split}/{stem}" if len(plan.shards) > 1 else stem)


def _write(plan: TablePlan, name: str, row: Row) -> Path:
    value = row.get(plan.audio)
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes) or not data:
        path_only = f": only the path {value['path']!r}" if isinstance(value, dict) and value.get("path") else ""
        raise BadInput(f"it has no audio{path_only}", "embed the audio in the dataset")
    path = plan.folder / (name + suffix_of(data))
    seconds = modified_of(hashlib.sha256(data).hexdigest())
    words = next((transcript for column in plan.words if (transcript := _words(row.get(column)))), None)
    if words:
        write_bytes(plan.folder / f"{name}.json", words)
    write_bytes(path, data)
    os.utime(path, (seconds, seconds))
    return path


def _words(value: Any) -> bytes | None:
    """A transcript as the content of a JSON file, which `sources.transcripts` reads or passes over."""
    if isinstance(value, list | dict):
        # What JSON has no word for (a date, bytes) is no part of a transcript, and its text harms none.
        return json.dumps(value, ensure_ascii=False, default=str).encode() if value else None
    data = value.encode() if isinstance(value, str) else value
    return data if data and data.lstrip()[:1] in (b"{", b"[") else None


def plan_of(repository: Repository, folder: Path) -> TablePlan:
    """Choose what to read of which shards. Raises DailytalkError if a column, config or split must be chosen."""
    shards = _shards(repository)
    names, audio = _first_columns(repository, [path for paths in shards.values() for path in paths])
    named_by = next((name for name in (*ID_COLUMNS, KEY) if name in names), "")
    id_column = repository.choice.id_column
    if id_column:
        named_by = _one_of(names, id_column, "column", "--id-column", repository)
    words = [name for name in WORD_COLUMNS if name in names]
    column = _audio_column(repository, names, audio)
    return TablePlan(shards, column, named_by, words, folder)


def _first_columns(repository: Repository, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """`columns_of` the first shard that can be read. Raises BadInput if none can."""
    for path in paths:
        try:
            return columns_of(repository, path)
        except BadInput as error:
            problem = error
    raise problem


def _audio_column(repository: Repository, names: list[str], audio: list[str]) -> str:
    chosen = repository.choice.audio_column
    if chosen:
        return _one_of(names, chosen, "column", "--audio-column", repository)
    if len(audio) != 1:
        columns = f"{'several columns' if audio else 'no column'} with audio ({', '.join(audio or names)})"
        raise DailytalkError(
            f"{repository.reference.repo} has {columns}", "choose one with --audio-column, or another --config"
        )
    return audio[0]


def _shards(repository: Repository) -> dict[str, list[str]]:
    """Shards by split, of the config and split that are meant. Raises DailytalkError if there are none."""
    repo = repository.reference.repo
    choice = repository.choice
    builder = load_dataset_builder(repo, _config(repository), revision=repository.commit)
    before = f"hf://datasets/{repo}@{repository.commit}/"
    shards = {
        str(split): [path.removeprefix(before) for path in paths if path.lower().endswith(TABLE_SUFFIXES)]
        for split, paths in (builder.config.data_files or {}).items()
    }
    splits = [_one_of(shards, choice.split, "split", "--split", repository)] if choice.split else shards
    chosen = {split: shards[split] for split in splits if shards[split]}
    if not chosen:
        raise DailytalkError(f"{repo} has no Parquet or WebDataset shards there", "choose another --config")
    return chosen


def _config(repository: Repository) -> str:
    configs = get_dataset_config_names(repository.reference.repo, revision=repository.commit)
    chosen = repository.choice.config
    if chosen:
        return _one_of(configs, chosen, "config", "--config", repository)
    guess = configs[0] if len(configs) == 1 else next((name for name in CONFIGS if name in configs), None)
    if guess is None:
        raise DailytalkError(
            f"{repository.reference.repo} has several configs", f"choose --config from {', '.join(configs)}"
        )
    return str(guess)


def _one_of(available: Collection[str], name: str, kind: str, option: str, repository: Repository) -> str:
    """The name that an option gives. Raises DailytalkError for one that there is not."""
    if name not in available:
        raise DailytalkError(
            f"{repository.reference.repo} has no {kind} {name!r}", f"choose {option} from {', '.join(available)}"
        )
    return name


def _tables_folder(repository: Repository) -> Path:
    digest = hashlib.sha256(json.dumps(astuple(repository.choice)).encode()).hexdigest()[:8]
    return cache_folder() / "hub" / repository.reference.repo.replace("/", "--") / repository.commit / digest


class _Problem(TypedDict):
    id: str
    stage: str
    reason: str
    remedy: str


class _List(TypedDict):
    recordings: list[str]
    problems: list[_Problem]


def _finished(folder: Path) -> _List | None:
    """The list that closes a folder; None if it is not finished, or if files were taken out of it since."""
    try:
        record = typed(read_json(inside(folder, _DONE), limit=MOST_OWN_BYTES), _List, _DONE)
    except BadInput:
        return None
    return record if all((folder / name).is_file() for name in record["recordings"]) else None


# A dataset repository as INPUT: fetched as files and then treated as a folder.
#
# Audio files, Parquet and WebDataset shards all become one local file a recording, fetched once.


class Fetched(NamedTuple):
    """The result of fetching a repository: folders to read as any others, and rows that can't be used."""

    folders: tuple[str, ...]
    problems: list[Reject]


class ToFetch(NamedTuple):
    """The files that are not on this machine yet: their number and bytes."""

    files: int
    size: int


def repository_of(inputs: Sequence[str], choice: HubChoice) -> Repository | None:
    """The repository that INPUT names, at its commit; None if it names files or folders.

    A local path takes precedence over a repository of that name. Raises DailytalkError for a repository
    beside other inputs (names would depend on what their folders have in common), and as `open_repository`.
    """
    named = [ref for name in inputs if not os.path.lexists(name) and (ref := parse_reference(name))]
    if not named:
        options = choice.options()
        if options:
            raise DailytalkError(f"{options[0]} is for datasets on the Hub", "leave it out for files and folders")
        return None
    if len(inputs) > 1:
        others = [name for name in inputs if parse_reference(name) != named[0]]
        raise DailytalkError(
            f"{named[0].repo!r} is no file or folder here, and a dataset on the Hub can't have inputs beside it "
            f"({', '.join(map(repr, others or inputs))})",
            "check the path, or give each dataset a run and an --out of its own",
        )
    try:
        return open_repository(named[0], choice)
    except DailytalkError as problem:  # it may have been meant as a path
        raise DailytalkError(
            f"there is no {inputs[0]!r} on this machine, and {problem.reason}", problem.remedy
        ) from None


def fetch(repository: Repository) -> Fetched:
    """Fetch all recordings; a row whose audio is missing or has no name is a Reject.

    Raises DailytalkError if there is nothing to fetch, if a column, config or split has to be chosen, and for what
    the Hub, the network or the disk refuses.
    """
    with hub_errors(repository.reference):
        if in_tables(repository):
            folder = _tables_folder(repository)
            record = _finished(folder) or _write_all(plan_of(repository, folder), repository)
            folders = (str(folder),) if record["recordings"] else ()
            return Fetched(folders, [Reject(**problem) for problem in record["problems"]])
        local = fetch_files(repository, needed_files(repository))
        roots = (
            local[path].parents[path.count("/") - _depth(path, repository.choice.split)]
            for path in chosen_files(repository)
        )
        return Fetched(tuple(dict.fromkeys(map(str, roots))), [])


def to_fetch(repository: Repository) -> ToFetch:
    """The files that `fetch` would download, as far as sizes are known. Raises as `fetch` does."""
    with hub_errors(repository.reference):
        if not in_tables(repository):
            kind = {"repo_type": "dataset", "revision": repository.commit}
            missing = [
                path
                for path in needed_files(repository)
                if not isinstance(try_to_load_from_cache(repository.reference.repo, path, **kind), str)
            ]
        elif _finished(_tables_folder(repository)) is not None:
            missing = []
        else:
            missing = [path for paths in _shards(repository).values() for path in paths]
    return ToFetch(len(missing), sum(repository.files[path].size for path in missing))


def in_tables(repository: Repository) -> bool:
    """Whether the recordings are in tables: whichever holds more bytes, because either may come with samples of
    the other (a picture of a table, a few files to listen to)."""
    files = repository.files
    tables = sum(file.size for path, file in files.items() if path.lower().endswith(TABLE_SUFFIXES))
    audio = sum(files[path].size for path in audio_files(files))
    wants_tables = repository.choice.config or repository.choice.audio_column or repository.choice.id_column
    return tables > audio or bool(wants_tables)


# A dataset on the Hub as a stream: recordings one after another, each fetched on demand.
#
# For corpora larger than the disk: nothing goes into the caches of this package or of the Hub, a recording is
# where the caller says until dropped, and every recording comes with the position after it, from which a later
# run resumes.


class StreamPosition(NamedTuple):
    """The position in a source: the shard, the position in it (as `rows_of` counts), and how many
    recordings of the split, or of all files, came before."""

    shard: int = 0
    inside: int = 0
    number: int = 0


class PendingRecording(NamedTuple):
    """The next recording: brought into a folder by `bring`; `after` is the place behind it."""

    bring: Callable[[Path, Names], Recording | Reject]
    after: StreamPosition


@dataclass(frozen=True)
class HubStream:
    """The recordings of a repository, in its own order.

    What is the same for all of them is asked of the Hub once. Raises as `fetch` does.
    """

    repository: Repository

    def coming(self, start: StreamPosition) -> Iterator[PendingRecording]:
        if in_tables(self.repository):
            return self._rows(start)
        paths = list(self._recordings)[start.number :]
        return (
            PendingRecording(partial(self._bring_file, path), StreamPosition(number=number))
            for number, path in enumerate(paths, start.number + 1)
        )

    @cached_property
    def _plan(self) -> TablePlan:
        with hub_errors(self.repository.reference):
            return plan_of(self.repository, Path())

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        """By path in the repository; their own paths are relative."""
        paths = chosen_files(self.repository)
        names = names_of(paths, self.repository.choice.split)
        called = identities(names.values())
        return {path: Recording(Path(path), names[path], called[names[path]]) for path in paths}

    @cached_property
    def _beside(self) -> dict[str, list[str]]:
        return companions(self._recordings, self.repository.files)

    def _bring_file(self, path: str, folder: Path, names: Names) -> Recording:
        del names  # all are known beforehand
        with hub_errors(self.repository.reference):
            for name in (path, *self._beside[path]):
                if not (folder / name).is_file():  # several may share a transcript
                    fetch_file(self.repository, name, folder)
        return self._recordings[path]._replace(path=folder / path)

    def _rows(self, start: StreamPosition) -> Iterator[PendingRecording]:
        shards = [(split, path) for split, paths in self._plan.shards.items() for path in paths]
        number = start.number
        with hub_errors(self.repository.reference):
            for index in range(start.shard, len(shards)):
                split, path = shards[index]
                if index > start.shard and split != shards[index - 1][0]:
                    number = 0
                inside = start.inside if index == start.shard else 0
                for row, after in rows_of(self.repository, path, self._plan.columns, inside):
                    bring = partial(self._bring_row, row, split, number)
                    number += 1
                    yield PendingRecording(bring, StreamPosition(index, after, number))

    def _bring_row(
        self, row: Row | BadInput, split: str, number: int, folder: Path, names: Names
    ) -> Recording | Reject:
        plan = self._plan._replace(folder=folder)
        written_row = write_row(plan, row, split, number, names)
        if isinstance(written_row, Reject):
            return written_row
        name, path = written_row
        audio_file = path.relative_to(folder).as_posix()
        try:
            return Recording(path, audio_file, names.add(audio_file))
        except BadInput as error:
            path.unlink()
            return Reject(name, "Hub", error.reason, error.remedy)
