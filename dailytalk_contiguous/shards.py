"""Shards on disk: Parquet files of whole conversations whose names say what they were made from.

A shard is a file of conversations that are done. `shard-NAME-KEY.parquet`: NAME is a hash of the
conversations in it, KEY of their inputs and of the stages that made it. A file is written under another name and
renamed, so that a shard that exists is done and never changes, and nothing else says so. Its rejects are in it, so
that no crash can separate them from its rows. The record of a conversation has the key of its row, so that shards
of other conversations can take it over. Where a conversation was rejected for a reason that may pass, the file has
its generation behind KEY: the next run does not find the shard, and makes it of that file.

Of each conversation in the files of a folder, the row in the file of the highest generation counts
(`current_entries`): a run that was stopped leaves the shards of the run before it beside its own. A shard has its
generation in it, since its time of modification changes with a copy, or in a store.
"""

import hashlib
import json
import pickle
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from datasets import Features

from dailytalk_contiguous.core.documents import Whole, parse_json, printable_path, typed
from dailytalk_contiguous.core.errors import BadInput, Reject, TooLarge
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.core.records.schema import STRING, Row
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES
from dailytalk_contiguous.store.files import leads_out
from dailytalk_contiguous.store.parquet import open_parquet, row_groups, write_parquet


def compress(value: object) -> bytes:
    """Any value of plain types, pickled and compressed.

    Conversations that wait for their turn are compressed: a transcript of a thousand hours takes 8 GB as rows of
    words, and a twentieth of that compressed. Compressed values never leave this process and its workers: no file
    has them.
    """
    return zlib.compress(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), level=1)  # the others take much longer


def expand(compressed: bytes) -> Any:
    """The value that `compress` took."""
    return pickle.loads(zlib.decompress(compressed))


#: The columns that a plan reads.
_PLANNED = ("conversation_id", "recording_id", "audio", "duration", "input_digest")


class PendingConversation(msgspec.Struct, frozen=True):
    """A conversation that waits for its turn.

    Attributes:
        conversation_id: as in its row, as are all columns that a plan or a worker that fetches recordings reads.
        recording_id: as in its row.
        audio: as in its row.
        duration: as in its row, in seconds.
        input_digest: as in its row.
        compressed: all other columns; empty where nobody asks for the row.
        is_finished: whether its finished row is the one that was published, in the column `published`.
    """

    conversation_id: str
    recording_id: str
    audio: EncodedAudio | None
    duration: float
    input_digest: str
    compressed: bytes = b""
    is_finished: bool = False

    @classmethod
    def of_row(cls, row: Row) -> "PendingConversation":
        """The conversation of a row. Raises KeyError for a row without the columns that a plan reads."""
        others = dict(row)
        planned = {name: others.pop(name) for name in _PLANNED}
        is_finished = others.pop("is_finished", False)
        return cls(**planned, is_finished=is_finished, compressed=compress(others))

    @property
    def sound_uri(self) -> str:
        """The path or URI of the file of its sound; empty where there is none."""
        path = self.audio["path"] if self.audio else None
        return path or ""

    def row(self) -> Row:
        """A new row with all columns."""
        row: Row = {name: getattr(self, name) for name in _PLANNED}
        row |= expand(self.compressed)
        return row


#: The key of our record in a Parquet file's metadata.
METADATA_KEY = b"dailytalk_contiguous"

#: The version of the layout of our record. It is a part of the names: a file of another one is not taken for done.
LAYOUT = 6

#: Seconds of audio in a shard of a small corpus: a conversation is a shard by itself.
LEAST_SECONDS = 30.0

#: Seconds of audio in a shard of a large corpus.
MOST_SECONDS = 600.0

#: How many shards a corpus may have before its shards have more audio.
MOST_SHARDS = 1000

_DAMAGED = "delete it and run the command that wrote it again"

#: Seconds of a conversation: a month, which none takes.
_MOST_RECORDED = 31 * 86400.0

#: The names that `shard_path` gives.
_NAMES = "shard-????????????????-????????????????*.parquet"

#: Characters of such a name without its ending.
_NAME_LENGTH = 39


@dataclass(frozen=True, slots=True)
class Entry:
    """The record of a shard on one conversation.

    Attributes:
        recording_id: the recording that it belongs to.
        duration: seconds of audio.
        reject: why it was rejected; None if it has a row.
        audio: digest of the encoded audio in its row; empty if it has none.
        key: the key of its row (`conversation_key`).
    """

    recording_id: str
    duration: Annotated[float, msgspec.Meta(ge=0.0, le=_MOST_RECORDED)]
    reject: Reject | None = None
    audio: str = ""
    key: str = ""


class _ShardRecord(msgspec.Struct, omit_defaults=True):
    """Our record in a Parquet file's metadata."""

    layout: Whole
    generation: Whole
    entries: dict[str, Entry]
    earlier_entries: dict[str, Entry] = {}


@dataclass
class Shard:
    """A shard, whole or without its rows.

    Attributes:
        rows: the finished rows.
        entries: by its id, the entry of each conversation that went in.
        generation: one more than that of every file that was in the folder when it was planned, except those of
            the same plan; 0 if there was none.
        earlier_entries: of conversations that were rejected, the entries of the rows that earlier runs have
            finished; these rows are among `rows`.
    """

    rows: list[Row] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    generation: int = 0
    earlier_entries: dict[str, Entry] = field(default_factory=dict)

    def all_entries(self) -> Iterator[tuple[str, Entry]]:
        """Return each entry after the id of its conversation."""
        return chain(self.entries.items(), self.earlier_entries.items())


def audio_seconds_of(conversations: Iterable[PendingConversation]) -> float:
    """Seconds of audio of conversations."""
    return float(sum(pending.duration for pending in conversations))


def seconds_of_a_shard(corpus_seconds: float) -> float:
    """Seconds of audio that a shard of a corpus of so many should have.

    They depend on nothing else, so that all hosts of a run agree.
    """
    seconds = LEAST_SECONDS
    while seconds < MOST_SECONDS and corpus_seconds > MOST_SHARDS * seconds:
        seconds *= 2
    return min(seconds, MOST_SECONDS)


def group(
    conversations: Iterable[PendingConversation], seconds: float = 0.0
) -> Iterator[list[PendingConversation]]:
    """Cut conversations into shards of about `seconds` of audio, and of at most twice that if they hold several.

    Where `seconds` is 0 they are those of `seconds_of_a_shard`.

    A group that is too long is cut at the conversation whose id has the least hash. So an added or removed
    recording changes the shard that it is in, and seldom a neighbour.
    """
    every = list(conversations)
    if not seconds:
        seconds = seconds_of_a_shard(audio_seconds_of(every))
    hashes = [_hash(pending.conversation_id) for pending in every]

    def cut(first: int, last: int) -> Iterator[list[PendingConversation]]:
        part = every[first:last]
        if len(part) == 1 or audio_seconds_of(part) <= 2 * seconds:
            yield part
            return
        border = min(range(first + 1, last), key=hashes.__getitem__)
        yield from cut(first, border)
        yield from cut(border, last)

    if every:
        yield from cut(0, len(every))


def shard_path(folder: Path, conversations: Sequence[PendingConversation], made_by: str = "") -> Path:
    """The file of a shard of these conversations, made by stages with the digest `made_by`."""
    names = _hash(*(pending.conversation_id for pending in conversations))
    inputs = _hash(str(LAYOUT), made_by, *(pending.input_digest for pending in conversations))
    return folder / f"shard-{names}-{inputs}.parquet"


def conversation_key(pending: PendingConversation, made_by: str) -> str:
    """Return a key of all that decides the row of a conversation: its id, its input, and the stages' digest."""
    return _hash(pending.conversation_id, pending.input_digest, made_by)


def own_name(path: Path) -> str:
    """The name of a shard, NAME and KEY; behind it is the generation of one that is to be tried again."""
    return path.stem[:_NAME_LENGTH]


def shard_files(folder: Path) -> list[Path]:
    """The files in a folder that are called like shards, by name; none if there is no such folder."""
    return sorted(folder.glob("shard-*.parquet"))


#: Bytes of encoded audio of a row group: a conversation has one to itself, clips share them.
_GROUP_BYTES = 1_000_000


def write_shard(path: Path, shard: Shard, features: Features) -> None:
    """Write a shard so that its file is either complete on disk or does not exist."""
    record = _ShardRecord(LAYOUT, shard.generation, shard.entries, shard.earlier_entries)
    metadata = {METADATA_KEY: json.dumps(msgspec.to_builtins(record)).encode()}
    write_parquet(path, features, row_groups(shard.rows, _GROUP_BYTES), metadata)


def read_shard(path: Path) -> Shard:
    """A shard without its rows, read from the file's end; without entries for a file that isn't ours.

    A link to a file in another folder is not ours. Raises BadInput for a record of ours that can't be so.
    """
    if not path.is_file() or leads_out(path, path.parent):
        return Shard()
    try:
        with open_parquet(path, _DAMAGED) as file:
            metadata = file.schema.metadata or {}
        record = parse_json(metadata.get(METADATA_KEY, b"{}"), str(path), limit=MOST_OWN_BYTES)
    except TooLarge:  # it is not damaged: what it has is not to be made, or bought, again
        raise
    except BadInput:
        return Shard()
    if not isinstance(record, dict) or record.get("layout") != LAYOUT:  # somebody else's, or of another version
        return Shard()
    typed(record, _ShardRecord, printable_path(path), _DAMAGED)
    stored = msgspec.convert(record, _ShardRecord)
    return Shard([], stored.entries, stored.generation, stored.earlier_entries)


def by_generation(paths: Iterable[Path]) -> list[tuple[Path, Shard]]:
    """The shards of these files, as `read_shard` reads them, the oldest generation first."""
    read = [(path, read_shard(path)) for path in paths]
    return sorted(read, key=lambda pair: (pair[1].generation, pair[0].name))


class StoredEntry(NamedTuple):
    """An entry, and the file with its row."""

    path: Path
    entry: Entry


def current_entries(
    shards: Iterable[tuple[Path, Shard]], keys: Mapping[str, str] | None = None
) -> dict[str, StoredEntry]:
    """The entry of each conversation that counts: that of the last row or, where there is none, the last reject.

    Args:
        shards: in the order of `by_generation`.
        keys: by conversation, the only key that counts; None if every one does.
    """
    current: dict[str, StoredEntry] = {}
    for path, shard in shards:
        for name, entry in shard.all_entries():
            replaces = name not in current or current[name].entry.reject or not entry.reject
            if replaces and (keys is None or entry.key == keys.get(name)):
                current[name] = StoredEntry(path, entry)
    return current


class CurrentRows:
    """The rows that count of files that may hold the same conversations.

    Attributes:
        entries: those of `current_entries`.
        files: the files in which something counts, and those that are no shards, which go first; in the order of
            their first conversations, whatever they are called.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        shards = dict(by_generation(paths))
        self.entries = current_entries(shards.items())
        others = [path for path in paths if not shards[path].entries]
        ordered = [self.entries[name].path for name in sorted(self.entries)]
        self.files = [*others, *dict.fromkeys(ordered)]

    def counts(self, path: Path, name: str | None) -> bool:
        """Whether the row of a conversation in one of the files counts."""
        return name not in self.entries or self.entries[name].path == path


def read_rows(path: Path, columns: Collection[str]) -> dict[str, Row]:
    """The rows of a shard by conversation id, with those of `columns` that it has.

    Raises BadInput for a shard that is damaged or has no ids, and where `columns` are Features for a column of
    another type.
    """
    with open_parquet(path, _DAMAGED) as file:
        wanted = ["conversation_id", *(name for name in columns if name in file.schema.names)]
        typed = columns if isinstance(columns, Features) else {}
        file.check(Features({"conversation_id": STRING, **typed}), ["conversation_id"])
        rows = file.rows(dict.fromkeys(wanted))
        return {row["conversation_id"]: row for row in rows}


def stored_rows(entries: Mapping[str, StoredEntry], columns: Features) -> Iterator[tuple[str, Row]]:
    """Yield the rows of conversations by their ids, a file at a time. Raises BadInput as `read_rows`."""
    for path in dict.fromkeys(path for path, _ in entries.values()):
        for name, row in read_rows(path, columns).items():
            if name in entries and entries[name].path == path:
                yield name, row


def drop_stale(folder: Path, paths: Iterable[Path]) -> None:
    """Remove shards that are not among `paths`, the result, and what killed runs left half written."""
    wanted = {*paths}
    for path in folder.glob(_NAMES):
        if path not in wanted:
            path.unlink(missing_ok=True)  # another host may clear the same folder
    for path in folder.glob(".shard-*.tmp"):
        path.unlink(missing_ok=True)


def _hash(*parts: str) -> str:
    text = "\0".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
