"""Shards on disk: Parquet files of whole conversations that know what they were made from.

Each file carries, beside its rows, the digest of every stage that made them, the digest of each row's input, the
seconds that each stage took for it, and the rows that were rejected. So a row can be trusted, used again after its
neighbours changed, and continued from the last stage that is still valid; and because results and rejects are in
one file, no crash can separate them.
"""

import contextlib
import hashlib
import itertools
import json
import os
import pickle
import re
import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Features

from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, expect, fits, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.schema import STRING, Row
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store.files import leads_out, write_lines
from dailytalk_contiguous.store.parquet import open_parquet, write_parquet

# Rows that wait: a few columns open for planning, all the others compressed until the row's turn comes.
#
# A transcript of a thousand hours takes 8 GB as rows of words, and a twentieth of that compressed. Compressed
# values never leave this process and its workers: nothing on disk is written in this form.


#: Columns of a conversation that can be read before it is expanded: those that a plan, or a worker that fetches
#: recordings, needs.
PLANNING_COLUMNS = ("conversation_id", "recording_id", "audio", "duration", "input_digest")

#: zlib's fastest level: higher ones take several times as long for a tenth less.
LEVEL = 1

#: The logarithm of zlib's window, and its `memLevel`, for a value within that window and for longer ones.
#: Allocating the default ones takes three times as long as compressing the row of a short conversation in them.
SMALL_WINDOW, LARGE_WINDOW = (13, 6), (zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)


class CompressedRow(dict[str, Any]):
    """A row of which only some columns are open; asking it for another column is a KeyError."""

    __slots__ = ("rest",)  # a million of them wait together
    rest: bytes


def compress(value: Any) -> bytes:
    """Any value of plain types, pickled and compressed."""
    plain = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    window = SMALL_WINDOW if len(plain) <= 1 << SMALL_WINDOW[0] else LARGE_WINDOW
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, *window)
    return stream.compress(plain) + stream.flush()


def expand(compressed: bytes) -> Any:
    """The value that `compress` took."""
    return pickle.loads(zlib.decompress(compressed))


def compress_row(row: Mapping[str, Any], at_hand: Iterable[str]) -> CompressedRow:
    """A row with only the columns `at_hand` open."""
    compressed = CompressedRow({name: row[name] for name in at_hand})
    compressed.rest = compress({name: value for name, value in row.items() if name not in compressed})
    return compressed


def expand_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A new row with all columns, whether it was compressed or not."""
    return {**row, **expand(row.rest)} if isinstance(row, CompressedRow) else dict(row)


#: The key of our record in a Parquet file's metadata, and the version of its layout.
METADATA_KEY = b"dailytalk_contiguous"
LAYOUT = 1

#: Bytes of encoded audio of a row group: a conversation has one to itself, clips share them.
_GROUP_BYTES = 1_000_000

_DAMAGED = "delete it and run the command that wrote it again"


@dataclass(frozen=True, slots=True)
class Entry:
    """The record of a shard on one conversation.

    Attributes:
        input_digest: of the input that it was made from.
        chain: digest after each stage that it went through; the last is of all of them together.
        seconds: wall time of each of these stages.
        recording_id: the recording that it belongs to.
        duration: seconds of audio.
        reject: why it was rejected by the stage after the last of `chain`; None if it has a row.
        audio: digest of the encoded audio in its row; empty where it has none, and in shards of older versions.
    """

    input_digest: str
    chain: tuple[str, ...]
    seconds: Sequence[float]
    recording_id: str
    duration: float
    reject: Reject | None = None
    audio: str = ""

    def __post_init__(self) -> None:
        # A plan holds a million of these: as separate numbers, their seconds would take as much as all the rest.
        object.__setattr__(self, "seconds", array("d", self.seconds))

    def n_valid(self, input_digest: str, chain: Sequence[str]) -> int:
        """For how many of the leading stages of `chain` this result is still valid; 0 for another input.

        A reject is valid as a whole or not at all: it has no row to continue from.
        """
        if input_digest != self.input_digest:
            return 0
        count = 0
        for ours, theirs in zip(self.chain, chain, strict=False):
            if ours != theirs:
                break
            count += 1
        return 0 if self.reject and count < len(self.chain) else count


@dataclass
class Shard:
    """The finished rows, and an entry for each conversation that went in, by its id."""

    rows: list[Row] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)


def chain_of(stages: Iterable[Stage]) -> tuple[str, ...]:
    """The digest after each stage: of that stage and all before it.

    Stages up to the last that `rewrites` columns have the digests of all of them in theirs: what a stage before it
    has left is gone once that one has run, so no row can go on from there with other stages behind it.
    """
    known = [(stage.digest, stage.rewrites) for stage in stages]
    rewritten = max((number for number, (_, rewrites) in enumerate(known, 1) if rewrites), default=0)
    digests, before = list[str](), "\0".join(digest for digest, _ in known[:rewritten])
    for digest, _ in known:
        before = hashlib.sha256(f"{before}\0{digest}".encode()).hexdigest()[:20]
        digests.append(before)
    return tuple(digests)


def group(rows: Iterable[Row], seconds: float) -> Iterator[list[Row]]:
    """Cut rows into shards of about `seconds` of audio.

    The end of a shard depends on the names in it too, so that after a recording was added or removed the shards
    further on are soon the same as before.
    """
    shard: list[Row] = []
    held = 0.0
    for row in rows:
        shard.append(row)
        held += row["duration"]
        border = int(hashlib.sha256(row["conversation_id"].encode()).hexdigest(), 16) % 4 == 0
        if held >= 2 * seconds or (held >= seconds and border):
            yield shard
            shard, held = [], 0.0
    if shard:
        yield shard


def shard_path(folder: Path, rows: Sequence[Row]) -> Path:
    """The file of a shard, named after the conversations in it, so that no other shard ever has its name."""
    names = "\0".join(row["conversation_id"] for row in rows)
    return folder / f"shard-{hashlib.sha256(names.encode()).hexdigest()[:16]}.parquet"


def write_shard(path: Path, shard: Shard, features: Features) -> None:
    """Write a shard so that its file is either complete on disk or does not exist."""
    sounds = {row["conversation_id"]: audio_digest(row) for row in shard.rows if "audio" in row}
    entries = {name: _entry_json(entry) | {"audio": sounds.get(name, "")} for name, entry in shard.entries.items()}
    record = {"layout": LAYOUT, "entries": entries}
    write_parquet(path, features, _row_groups(shard.rows), {METADATA_KEY: json.dumps(record).encode()})


def audio_digest(row: Row) -> str:
    """Digest of the encoded audio that a row holds: 20 hex digits; empty if it holds a path or none."""
    data = (row["audio"] or {}).get("bytes")
    return hashlib.sha256(data).hexdigest()[:20] if data else ""


def read_entries(path: Path) -> dict[str, Entry] | None:
    """The records of a shard on its conversations, read from the file's end; None for a file that isn't ours.

    A link to a file in another folder is not ours.
    """
    if not path.is_file() or leads_out(path, path.parent):
        return None
    try:
        with open_parquet(path, _DAMAGED) as file:
            metadata = file.schema.metadata or {}
        record = parse_json(metadata.get(METADATA_KEY, b"{}"), str(path), limit=MOST_OWN_BYTES)
    except BadInput:
        return None
    if not fits(record, {"layout": int, "entries": {str: _ENTRY}}) or record["layout"] != LAYOUT:
        return None
    chains: _Chains = {}
    return {name: _entry(name, stored, chains) for name, stored in record["entries"].items()}


def read_rows(path: Path, columns: Collection[str]) -> dict[str, Row]:
    """The rows of a shard by conversation id, with those of `columns` that it has.

    Raises BadInput for a shard that is damaged or has no ids, and where `columns` are Features for a column of
    another type.
    """
    with open_parquet(path, _DAMAGED) as file:
        wanted = ["conversation_id", *(name for name in columns if name in file.schema.names)]
        typed = columns if isinstance(columns, Features) else {}
        file.check(Features({"conversation_id": STRING, **typed}), ["conversation_id"])
        return {row["conversation_id"]: row for row in file.rows(dict.fromkeys(wanted))}


#: The file that records the entries of the shards in a folder, so that a run reads only the ends of new shards;
#: and the number of shards from which it is kept: reading the end of one takes about 2 ms.
INDEX, INDEX_FROM = ".index.jsonl", 50


#: Equal chains, as one object.
_Chains = dict[tuple[str, ...], tuple[str, ...]]


class _File(NamedTuple):
    """A shard as it was read: its size, its time of change in nanoseconds, and its entries."""

    size: int
    changed: int
    entries: dict[str, Entry]


class ShardIndex:
    """The entries of the shards in a folder.

    Each shard is read once, and most are not read at all: the folder's `.index.jsonl` lists their entries, which
    count as long as size and time of change are those of the list. It is only a shortcut, made again where it is
    missing, damaged or old: the shards decide.

    Attributes:
        entries: every conversation, with its shard; for one in several shards, the newest.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, tuple[Path, Entry]] = {}
        self._files: dict[str, _File] = {}
        self._noted: dict[str, _File] = {}
        self._unsaved: set[str] = set()
        self._n_lines = 0
        if folder.is_dir():
            self._read_noted()
        self.refresh()

    def refresh(self) -> None:
        """Read what this process and others have changed in the folder."""
        files = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as names:
            for item in names:
                with contextlib.suppress(FileNotFoundError):  # a part whose shard another host has just finished
                    if _SHARD.fullmatch(item.name) and item.is_file():
                        files[item.name] = self._file(self.folder / item.name, item.stat())
        if files != self._files:
            self._files = files
            self._unsaved &= files.keys()
            self.entries = {}
            for name in sorted(files, key=lambda name: (files[name].changed, name)):
                self._take(name)

    def reread(self, path: Path) -> None:
        """Read one shard that has just been written, which is the newest."""
        self._files.pop(path.name, None)
        self._files[path.name] = self._file(path, path.stat())
        self._take(path.name)

    def of(self, path: Path) -> dict[str, Entry]:
        """The entries of one shard; empty if there is no such shard of ours."""
        file = self._files.get(path.name)
        return file.entries if file else {}

    def save(self) -> None:
        """Record what was read since the last call, if the folder can be written to. Takes time only for that."""
        if len(self._files) < INDEX_FROM:
            return
        new = {name: self._files[name] for name in self._unsaved if self._files[name].entries}
        self._unsaved.clear()
        self._noted |= new
        path = self.folder / INDEX
        with contextlib.suppress(OSError):  # somebody else's folder, or a full disk: the next run reads the shards
            if self._n_lines + len(new) > 2 * len(self._files) + 100 or not path.is_file():
                noted = {name: file for name, file in self._noted.items() if name in self._files}
                write_lines(path, itertools.starmap(_index_line, noted.items()))
                self._n_lines = len(noted)
            elif not leads_out(path, self.folder):
                with path.open("a", encoding="utf-8") as lines:
                    lines.writelines(itertools.starmap(_index_line, new.items()))
                self._n_lines += len(new)

    def _read_noted(self) -> None:
        path = self.folder / INDEX
        if not path.is_file() or leads_out(path, self.folder):
            return
        chains: _Chains = {}
        with contextlib.suppress(BadInput):  # if it can't be read, the shards are
            for _, line in numbered_lines(path, limit=MOST_OWN_BYTES):
                if not line.isspace():
                    self._n_lines += 1
                    with contextlib.suppress(BadInput):  # cut off by a crash, or written by two hosts at once
                        name, file = _of_index(line, chains)
                        self._noted[name] = file

    def _file(self, path: Path, stat: os.stat_result) -> _File:
        for known in (self._files.get(path.name), self._noted.get(path.name)):
            if known and (known.size, known.changed) == (stat.st_size, stat.st_mtime_ns):
                return known
        self._unsaved.add(path.name)
        return _File(stat.st_size, stat.st_mtime_ns, read_entries(path) or {})

    def _take(self, name: str) -> None:
        path = self.folder / name
        for conversation, entry in self._files[name].entries.items():
            self.entries[conversation] = (path, entry)


#: Names of shards.
_SHARD = re.compile(r"shard-.*\.parquet", re.DOTALL)


def drop_stale(folder: Path, paths: Iterable[Path]) -> None:
    """Remove shards that are not among `paths`, the result, and what killed runs left half written."""
    wanted = {path.name for path in paths}
    for path in folder.glob("shard-*.parquet"):
        if path.name not in wanted and read_entries(path) is not None:
            path.unlink(missing_ok=True)  # another host may clear the same folder
    for name in (".shard-*.tmp",):
        for path in folder.glob(name):
            path.unlink(missing_ok=True)


def _row_groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in groups of `_GROUP_BYTES` of encoded audio, or a row more: what is read for one row."""
    group, held = list[Row](), 0
    for row in rows:
        group.append(row)
        held += len((row.get("audio") or {}).get("bytes") or b"")
        if held >= _GROUP_BYTES:
            yield group
            group, held = [], 0
    if group:  # `load_dataset` fails on a row group without rows, and not on a file without row groups
        yield group


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "input": entry.input_digest,
        "chain": entry.chain,
        "seconds": [round(value, 4) for value in entry.seconds],
        "recording": entry.recording_id,
        "duration": entry.duration,
        "reject": entry.reject.as_dict() if entry.reject else None,
        **({"audio": entry.audio} if entry.audio else {}),
    }


_ENTRY = {
    "input": str,
    "chain": [str],
    "seconds": [float],
    "recording": str,
    "duration": float,
    "reject?": {"id": str, "stage": str, "reason": str, "remedy": str},
    "audio?": str,
}
_INDEX_LINE = {
    "file": str,
    "size": int,
    "changed": int,
    "chains": [[str]],
    "entries": {str: _ENTRY | {"chain": int}},
}


def _index_line(name: str, file: _File) -> str:
    """A shard as a line of the index; the chain of an entry is its place in the shard's list of chains."""
    chains = list(dict.fromkeys(entry.chain for entry in file.entries.values()))
    entries = {
        conversation: _entry_json(entry) | {"chain": chains.index(entry.chain)}
        for conversation, entry in file.entries.items()
    }
    record = {"file": name, "size": file.size, "changed": file.changed, "chains": chains, "entries": entries}
    return f"\n{json.dumps(record)}\n"  # a line of its own whatever comes before: a crash may have cut that off


def _of_index(line: bytes, chains: _Chains) -> tuple[str, _File]:
    """The name and the shard of an `_index_line`. Raises BadInput for anything else."""
    record = expect(parse_json(line, INDEX, limit=MOST_OWN_BYTES), _INDEX_LINE, INDEX)
    shard_chains = record["chains"]
    if not all(0 <= entry["chain"] < len(shard_chains) for entry in record["entries"].values()):
        raise BadInput(f"{INDEX}: a chain is missing", "delete it: it is made again")
    entries = {
        name: _entry(name, entry | {"chain": shard_chains[entry["chain"]]}, chains)
        for name, entry in record["entries"].items()
    }
    return record["file"], _File(record["size"], record["changed"], entries)


def _entry(name: str, stored: Mapping[str, Any], chains: _Chains) -> Entry:
    """The entry of a conversation. Equal chains share one object, and so do equal ids of recording and row."""
    chain = tuple(stored["chain"])
    return Entry(
        stored["input"],
        chains.setdefault(chain, chain),
        stored["seconds"],
        name if stored["recording"] == name else stored["recording"],
        stored["duration"],
        Reject(**stored["reject"]) if stored.get("reject") else None,
        stored.get("audio") or "",
    )
