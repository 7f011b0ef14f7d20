"""Shards on disk: Parquet files of whole conversations that know what they were made from.

Each file carries, beside its rows, the digest of every stage that made them, the digest of each row's input, the
seconds that each stage took for it, and the rows that were rejected. So a row can be trusted, taken up again
after its neighbours changed, and continued from the last stage that still stands; and because results and
rejects are one file, no crash can part them.
"""

import contextlib
import hashlib
import json
import pickle
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Features

from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, fits, parse_json
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.schema import STRING, Row
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store.files import leads_out
from dailytalk_contiguous.store.parquet import open_parquet, write_parquet

# Rows that wait: a few columns at hand for planning, all the others compressed until the row's turn comes.
#
# A transcript of a thousand hours takes 8 GB as rows of words, and a twentieth of that folded. Folded values
# never leave this process and its workers: nothing on disk is written so.


#: Columns that a conversation shows before it is unfolded: what a plan, or a worker that fetches recordings, asks
#: for.
PLANNING_COLUMNS = ("conversation_id", "recording_id", "audio", "duration", "input_digest")

#: zlib's fastest level: higher ones take several times as long for a tenth less.
LEVEL = 1


class CompressedRow(dict[str, Any]):
    """A row whose items are the columns at hand; asking it for another column is a KeyError."""

    rest: bytes


def compress(value: Any) -> bytes:
    """Any plain value, compressed."""
    return zlib.compress(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), LEVEL)


def expand(folded: bytes) -> Any:
    """The value that `fold` was given."""
    return pickle.loads(zlib.decompress(folded))


def compress_row(row: Mapping[str, Any], at_hand: Iterable[str]) -> CompressedRow:
    """A row with only the columns `at_hand` open."""
    found = CompressedRow({name: row[name] for name in at_hand})
    found.rest = compress({name: value for name, value in row.items() if name not in found})
    return found


def expand_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A new row with all columns, whether it was folded or not."""
    return {**row, **expand(row.rest)} if isinstance(row, CompressedRow) else dict(row)


#: The key of our record in a Parquet file's metadata, and the version of its layout.
METADATA_KEY = b"dailytalk_contiguous"
LAYOUT = 1

_DAMAGED = "delete it and run the command that wrote it again"


@dataclass(frozen=True)
class Entry:
    """What a shard knows of one conversation.

    Attributes:
        input_digest: of what it was made from.
        chain: digest after each stage that it went through; the last is of all of them together.
        seconds: wall time of each of these stages.
        recording_id: the recording that it belongs to.
        duration: seconds of audio.
        reject: why it was rejected by the stage after the last of `chain`; None if it has a row.
        audio: digest of the encoded audio in its row; empty where it has none, and in shards of older versions.
    """

    input_digest: str
    chain: tuple[str, ...]
    seconds: tuple[float, ...]
    recording_id: str
    duration: float
    reject: Reject | None = None
    audio: str = ""

    def standing(self, input_digest: str, chain: Sequence[str]) -> int:
        """How many of the leading stages of `chain` this result still holds for; 0 for another input.

        A reject stands or falls as a whole: it has no row to go on from.
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
    """Rows that were made, and an entry for each conversation that went in, by its id."""

    rows: list[Row] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)


def chain_of(stages: Iterable[Stage]) -> tuple[str, ...]:
    """One digest after each stage, of it and of all before it."""
    digests: list[str] = []
    for stage in stages:
        before = digests[-1] if digests else ""
        digests.append(hashlib.sha256(f"{before}\0{stage.digest}".encode()).hexdigest()[:20])
    return tuple(digests)


def group(rows: Iterable[Row], seconds: float) -> Iterator[list[Row]]:
    """Cut rows into shards of about `seconds` of audio.

    Where a shard ends depends on the names in it too, so that after a recording was added or taken away the
    shards further on are soon the same as before.
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
    """The file of a shard: named after the conversations in it, so that no other shard ever has its name."""
    told = "\0".join(row["conversation_id"] for row in rows)
    return folder / f"shard-{hashlib.sha256(told.encode()).hexdigest()[:16]}.parquet"


def part_path(path: Path) -> Path:
    """Where the finished rows of a shard are kept while the others are made. Hidden: readers want whole shards."""
    return path.with_name(f".{path.stem}.part")


def write_shard(path: Path, shard: Shard, features: Features) -> None:
    """Write a shard so that it is either there, whole and on disk, or not at all."""
    sounds = {row["conversation_id"]: audio_digest(row) for row in shard.rows if "audio" in row}
    entries = {name: _entry_json(entry) | {"audio": sounds.get(name, "")} for name, entry in shard.entries.items()}
    record = {"layout": LAYOUT, "entries": entries}
    # `load_dataset` fails on a row group without rows, and not on a file without row groups.
    groups = [[row] for row in shard.rows] if _holds_audio(shard) else [shard.rows] if shard.rows else []
    write_parquet(path, features, groups, {METADATA_KEY: json.dumps(record).encode()})


def audio_digest(row: Row) -> str:
    """Digest of the encoded audio that a row holds: 20 hex digits; empty if it holds a path or none."""
    data = (row["audio"] or {}).get("bytes")
    return hashlib.sha256(data).hexdigest()[:20] if data else ""


def read_entries(path: Path) -> dict[str, Entry] | None:
    """What a shard knows of its conversations, from the file's end alone; None for a file that isn't ours.

    A link to a file in another folder is none of ours.
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
    return {name: _entry(told) for name, told in record["entries"].items()}


def read_rows(path: Path, columns: Collection[str]) -> dict[str, Row]:
    """The rows of a shard by conversation id, with such of `columns` as it has.

    Raises BadInput for one that is damaged, has no ids, or of whose columns one has not its type, where `columns`
    are Features.
    """
    with open_parquet(path, _DAMAGED) as file:
        wanted = ["conversation_id", *(name for name in columns if name in file.schema.names)]
        typed = columns if isinstance(columns, Features) else {}
        file.check(Features({"conversation_id": STRING, **typed}), ["conversation_id"])
        return {row["conversation_id"]: row for row in file.rows(dict.fromkeys(wanted))}


def index(folder: Path) -> dict[str, tuple[Path, Entry]]:
    """Every conversation that the shards in a folder know of, and the parts that stopped runs left.

    One in several is taken from the newest.
    """
    found: dict[str, tuple[Path, Entry]] = {}
    names = ("shard-*.parquet", ".shard-*.part")
    paths: list[tuple[int, str, Path]] = []
    for path in (path for name in names for path in folder.glob(name) if path.is_file()):
        with contextlib.suppress(FileNotFoundError):  # another host has just finished the shard of this part
            paths.append((path.stat().st_mtime_ns, path.name, path))
    for *_, path in sorted(paths):
        for name, entry in (read_entries(path) or {}).items():
            found[name] = (path, entry)
    return found


def drop_stale(folder: Path, paths: Sequence[Path]) -> None:
    """Remove shards that are not among `paths`, the result, and what killed runs left half written."""
    wanted = {path.name for path in paths}
    for path in folder.glob("shard-*.parquet"):
        if path.name not in wanted and read_entries(path) is not None:
            path.unlink(missing_ok=True)  # another host may clear the same folder
    for name in (".shard-*.tmp", ".shard-*.part"):
        for path in folder.glob(name):
            path.unlink(missing_ok=True)


def _holds_audio(shard: Shard) -> bool:
    """Whether rows carry encoded audio, as finished ones do: who wants one then must not have to read others."""
    return any((row.get("audio") or {}).get("bytes") for row in shard.rows)


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "input": entry.input_digest,
        "chain": entry.chain,
        "seconds": [round(value, 4) for value in entry.seconds],
        "recording": entry.recording_id,
        "duration": entry.duration,
        "reject": entry.reject.as_dict() if entry.reject else None,
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


def _entry(told: Mapping[str, Any]) -> Entry:
    return Entry(
        told["input"],
        tuple(told["chain"]),
        tuple(told["seconds"]),
        told["recording"],
        told["duration"],
        Reject(**told["reject"]) if told.get("reject") else None,
        told.get("audio") or "",
    )
