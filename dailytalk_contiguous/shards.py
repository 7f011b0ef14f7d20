"""Shards on disk: Parquet files of whole conversations whose names say what they were made from.

A shard is a file of conversations that are done. `shard-NAME-KEY.parquet`: NAME is a hash of the
conversations in it, KEY of their inputs and of the stages that made it. A file is written under another name and
renamed, so that a shard that exists is done, and nothing else says so. Its rejects are in it, so that no crash can
separate them from its rows. The record of a conversation has the key of its row, so that shards of other
conversations can take it over.

A run that was stopped leaves the shards of the run before it beside its own. If a conversation is in several
shards, the row of the highest generation counts. A shard has its generation in it, since its time of modification
changes with a copy, or in a store.
"""

import hashlib
import json
import os
import pickle
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from datasets import Features

from dailytalk_contiguous.core.documents import Whole, parse_json, printable_path, typed
from dailytalk_contiguous.core.errors import BadInput, Reject, TooLarge
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.core.records.schema import SOURCE, STRING, Row
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES
from dailytalk_contiguous.store.files import leads_out
from dailytalk_contiguous.store.parquet import open_parquet, row_groups, write_parquet

# Conversations that wait for their turn are compressed: a transcript of a thousand hours takes 8 GB as
# rows of words, and a twentieth of that compressed. Compressed values never leave this process and its workers: no
# file has them.


#: zlib's fastest level: higher ones take several times as long for a tenth less.
_LEVEL = 1

#: Logarithm of zlib's window: allocating the default one and the default memory takes ten times as long as
#: compressing a short conversation.
_WINDOW = 13

#: zlib's `memLevel`, smaller than the default as `_WINDOW` is.
_MEMORY = 6

#: The bytes that zlib has seen before: a recording without a transcript is little more than the names of columns.
_SEEN = pickle.dumps(
    dict.fromkeys(SOURCE) | {"offset": 0.0, "sample_rate": 16000, "channels": 2, "cues": [], "transcripts": []},
    pickle.HIGHEST_PROTOCOL,
)


def compress(value: object) -> bytes:
    """Any value of plain types, pickled and compressed."""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _SEEN)
    pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return stream.compress(pickled) + stream.flush()


def expand(compressed: bytes) -> Any:
    """The value that `compress` took."""
    stream = zlib.decompressobj(zdict=_SEEN)
    return pickle.loads(stream.decompress(compressed))


class PendingConversation(msgspec.Struct, frozen=True):
    """A conversation that waits for its turn.

    Attributes:
        id: its `conversation_id`.
        recording_id: as in its row, for the plan and for workers that fetch recordings.
        audio: as in its row.
        duration: as in its row, in seconds.
        input_digest: as in its row.
        compressed: all other columns; empty where they are not known.
        is_finished: whether its finished row is the one that was published, in the column `published`.
    """

    id: str
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
        return cls(
            id=others.pop("conversation_id"),
            recording_id=others.pop("recording_id"),
            audio=others.pop("audio"),
            duration=others.pop("duration"),
            input_digest=others.pop("input_digest"),
            is_finished=others.pop("is_finished", False),
            compressed=compress(others),
        )

    @property
    def sound_uri(self) -> str:
        """The path or URI of the file of its sound; empty where there is none."""
        path = self.audio["path"] if self.audio else None
        return path or ""

    def row(self) -> Row:
        """A new row with all columns that are known."""
        row: Row = {
            "conversation_id": self.id,
            "recording_id": self.recording_id,
            "audio": self.audio,
            "duration": self.duration,
            "input_digest": self.input_digest,
        }
        if self.compressed:
            row |= expand(self.compressed)
        return row


#: The key of our record in a Parquet file's metadata.
METADATA_KEY = b"dailytalk_contiguous"

#: The version of the layout of our record. It is a part of the names: a file of another one is not taken for done.
LAYOUT = 5

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

#: The end of the name of a shard that the next run tries again: some of its conversations were rejected for a
#: reason that may pass.
_HELD = ".held.parquet"


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


class _ShardRecord(msgspec.Struct):
    """Our record in a Parquet file's metadata."""

    layout: Whole
    generation: Whole
    entries: dict[str, Entry]


@dataclass
class Shard:
    """The finished rows, and an entry for each conversation that went in, by its id.

    `generation` is one more than that of any shard with the same conversations that was there before it; 0 if
    there was none.
    """

    rows: list[Row] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    generation: int = 0


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
        seconds = seconds_of_a_shard(sum(pending.duration for pending in every))
    hashes = [_hash(pending.id) for pending in every]

    def cut(first: int, last: int) -> Iterator[list[PendingConversation]]:
        part = every[first:last]
        if len(part) == 1 or sum(pending.duration for pending in part) <= 2 * seconds:
            yield part
            return
        border = min(range(first + 1, last), key=hashes.__getitem__)
        yield from cut(first, border)
        yield from cut(border, last)

    if every:
        yield from cut(0, len(every))


def shard_path(folder: Path, conversations: Sequence[PendingConversation], made_by: str = "") -> Path:
    """The file of a shard of these conversations, made by stages with the digest `made_by`."""
    names = _hash(*(pending.id for pending in conversations))
    inputs = _hash(str(LAYOUT), made_by, *(pending.input_digest for pending in conversations))
    return folder / f"shard-{names}-{inputs}.parquet"


def conversation_key(pending: PendingConversation, made_by: str) -> str:
    """Return a key of all that decides the row of a conversation: its id, its input, and the stages' digest."""
    return _hash(pending.id, pending.input_digest, made_by)


def held_path(path: Path) -> Path:
    """The file of a shard that the next run tries again."""
    return path.with_name(f"{path.stem}{_HELD}")


def is_held(path: Path) -> bool:
    return path.name.endswith(_HELD)


def made_path(path: Path) -> Path:
    """The file of a shard that was made: its own, or the one that the next run tries again."""
    return path if path.exists() else held_path(path)


def shard_files(folder: Path) -> list[Path]:
    """The files in a folder that are called like shards, by name; none if there is no such folder."""
    names = os.listdir(folder) if folder.is_dir() else []
    return [folder / name for name in sorted(names) if name.startswith("shard-") and name.endswith(".parquet")]


#: Bytes of encoded audio of a row group: a conversation has one to itself, clips share them.
_GROUP_BYTES = 1_000_000


def write_shard(path: Path, shard: Shard, features: Features) -> None:
    """Write a shard so that its file is either complete on disk or does not exist."""
    entries = {name: asdict(replace(entry, audio="")) for name, entry in shard.entries.items()}
    for row in shard.rows:
        audio = row.get("audio") or {}
        sound = audio.get("bytes")
        entry = entries.get(row["conversation_id"])
        if sound and entry is not None:
            entry["audio"] = hashlib.sha256(sound).hexdigest()[:20]
    record = {"layout": LAYOUT, "generation": shard.generation, "entries": entries}
    metadata = {METADATA_KEY: json.dumps(record).encode()}
    write_parquet(path, features, row_groups(shard.rows, _GROUP_BYTES), metadata)


def read_shard(path: Path) -> Shard | None:
    """A shard without its rows, read from the file's end; None for a file that isn't ours.

    A link to a file in another folder is not ours. Raises BadInput for a record of ours that can't be so.
    """
    if not path.is_file() or leads_out(path, path.parent):
        return None
    try:
        with open_parquet(path, _DAMAGED) as file:
            metadata = file.schema.metadata or {}
        record = parse_json(metadata.get(METADATA_KEY, b"{}"), str(path), limit=MOST_OWN_BYTES)
    except TooLarge:  # it is not damaged: what it has is not to be made, or bought, again
        raise
    except BadInput:
        return None
    if not isinstance(record, dict) or record.get("layout") != LAYOUT:  # somebody else's, or of another version
        return None
    typed(record, _ShardRecord, printable_path(path), _DAMAGED)
    stored = msgspec.convert(record, _ShardRecord)
    return Shard([], stored.entries, stored.generation)


def read_entries(path: Path) -> dict[str, Entry]:
    """The records of a shard on its conversations; none for a file that isn't ours."""
    return (read_shard(path) or Shard()).entries


def by_generation(paths: Iterable[Path]) -> list[tuple[Path, Shard]]:
    """The shards of these files without their rows, the oldest generation first; empty ones for files not ours."""
    read = [(path, read_shard(path) or Shard()) for path in paths]
    return sorted(read, key=lambda pair: (pair[1].generation, pair[0].name))


class EarlierRows(NamedTuple):
    """The rows of some conversations in the files of earlier runs, by the ids of the conversations.

    Attributes:
        files: the file of the row, or of the reject, that the conversation would have again.
        generations: the highest generation of other rows of the conversation.
    """

    files: dict[str, Path]
    generations: dict[str, int]


def earlier_rows(paths: Iterable[Path], keys: Mapping[str, str], retried: Collection[str]) -> EarlierRows:
    """Look for conversations in files.

    Args:
        paths: the files.
        keys: the keys of the rows that the conversations should have, by their ids.
        retried: the stages whose rejects may be fine in another run: such a conversation is to be made again.
    """
    earlier = EarlierRows({}, {})
    for path, shard in by_generation(paths):
        for name, entry in shard.entries.items():
            if name not in keys:
                continue
            if entry.key != keys[name]:
                earlier.generations[name] = shard.generation  # the highest is the last
            elif entry.reject is None or entry.reject.stage not in retried:
                earlier.files[name] = path
    return earlier


def entries_in(folder: Path) -> dict[str, tuple[Path, Entry]]:
    """Every conversation in the shards of a folder, with the last shard that has it."""
    entries = {}
    for path, shard in by_generation(shard_files(folder)):
        for name, entry in shard.entries.items():
            entries[name] = (path, entry)
    return entries


class CurrentShards(NamedTuple):
    """The files of a folder with rows that count, and the rows that don't.

    Files are in the order of their first conversations, whatever they are called.

    `replaced` has the ids of conversations by file: a newer file has these rows, too.
    """

    files: list[Path]
    replaced: dict[Path, set[str]]


def current_shards(paths: Sequence[Path]) -> CurrentShards:
    """Choose among shards that may hold the same conversations: the row of the highest generation counts.

    Files that are not named like shards are taken as they are, before all others.
    """
    files = [*paths]
    replaced: dict[Path, set[str]] = {}
    counted: set[str] = set()
    first_names: dict[Path, str] = {}
    named = [path for path in paths if fnmatch(path.name, _NAMES)]
    for path, shard in reversed(by_generation(named)):
        first_names[path] = min(shard.entries, default="")
        ids = {name for name, entry in shard.entries.items() if not entry.reject}
        again = ids & counted
        if again:
            replaced[path] = again
            if again == ids:
                files.remove(path)
        counted |= ids
    files.sort(key=lambda path: first_names.get(path, ""))
    return CurrentShards(files, replaced)


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


def separate_rows(path: Path, names: Collection[str]) -> None:
    """Replace a shard by one that has the rows of these conversations alone, in their order."""
    shard = read_shard(path) or Shard()
    if {name for name, entry in shard.entries.items() if not entry.reject} == {*names}:
        return
    with open_parquet(path, _DAMAGED) as file:
        features = Features.from_arrow_schema(file.schema)
    rows_by_id = read_rows(path, features)
    wanted = {*names}
    kept = [name for name in shard.entries if name in wanted]
    entries = {name: shard.entries[name] for name in kept}
    rows = [rows_by_id[name] for name in kept]
    separate = path.with_name(f"shard-{_hash(*kept)}-{_hash(path.stem)}.parquet")
    write_shard(separate, Shard(rows, entries, shard.generation), features)
    path.unlink(missing_ok=True)  # another host may do the same


def read_whole(path: Path, columns: Features) -> Shard | None:
    """A shard with these columns of its rows; None for a file that is damaged, or isn't ours."""
    shard = read_shard(path)
    if shard is None:
        return None
    try:
        rows = read_rows(path, columns)
    except TooLarge:
        raise
    except BadInput:
        return None
    return replace(shard, rows=[*rows.values()])


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
