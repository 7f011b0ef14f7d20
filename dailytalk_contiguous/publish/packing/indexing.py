"""Where each finished conversation lies, known before a byte of its audio is read.

Publishing needs every conversation twice: once to decide its split and its file, once to copy it there. The first
pass reads small columns alone, and what it keeps of a conversation is a few hundred bytes, so that a corpus of
any length fits in memory.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from dailytalk_contiguous.core.audio import embedded
from dailytalk_contiguous.core.built import BUILT
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.rows import Row, opened_shard, shards
from dailytalk_contiguous.shards import Entry, read_entries

#: Columns of the first pass, by their paths in the file.
_SMALL = (
    "conversation_id",
    "recording_id",
    "sample_rate",
    "duration",
    "speakers.right",
    "utterances.list.element.status",
    "utterances.list.element.start",
    "utterances.list.element.end",
)


class Finished(NamedTuple):
    """A finished conversation and its place.

    Attributes:
        id, recording_id: of the conversation.
        kept_speaker: name of the speaker whose own voice it is, or None.
        seconds: of audio. heard: number of utterances that can be heard. heard_seconds: theirs, together.
        chain: digest after each stage of the spoken half, as its shard tells it; empty where it tells nothing.
        digest: changes whenever the row may have.
        shard, row_group, place: where the row lies.
    """

    id: str
    recording_id: str
    kept_speaker: str | None
    seconds: float
    heard: int
    heard_seconds: float
    chain: tuple[str, ...]
    digest: str
    shard: Path
    row_group: int
    place: int


@dataclass(frozen=True)
class Index:
    """All finished conversations, by id.

    Attributes:
        conversations: sorted by id.
        sample_rate: Hz of all of them, or None where they differ.
        bytes_per_second: of their encoded audio, to two digits: the mean hardly hangs on how shards are laid out,
            and rounded it does not at all but for a rare border.
    """

    conversations: tuple[Finished, ...]
    sample_rate: int | None
    bytes_per_second: float


def index_folder(folder: Path) -> Index:
    """Index the finished conversations of a work folder, reading no audio.

    Raises:
        DailytalkError: there are none, a shard can't be read or is no finished dataset's, or an id occurs twice.
    """
    found: dict[str, Finished] = {}
    rates: set[int] = set()
    audio_bytes = 0
    for path in shards(folder):
        with opened_shard(path) as file:
            audio_bytes += _audio_bytes(file)
            rows = list(_rows_of(path, file))
        for rate, one in rows:
            if one.id in found:
                raise DailytalkError(
                    f"the conversation {one.id!r} is in {found[one.id].shard} and in {path}",
                    "remove one of the two shards, or build the dataset again",
                )
            found[one.id] = one
            rates.add(rate)
    if not found:
        raise DailytalkError(
            f"{folder} holds no finished conversations", "see its rejects.jsonl, and run dailytalk speak again"
        )
    seconds = sum(one.seconds for one in found.values())
    return Index(
        tuple(found[name] for name in sorted(found)),
        rates.pop() if len(rates) == 1 else None,
        float(f"{max(audio_bytes, 1) / max(seconds, 1e-3):.1e}"),
    )


def read_row(one: Finished) -> Row:
    """The row of a conversation, with the columns of `core.built.BUILT`. Raises DailytalkError if it changed."""
    with opened_shard(one.shard) as file:
        there = one.row_group < file.num_row_groups
        table = file.read_row_group(one.row_group, columns=list(BUILT)) if there else None
    row: Row | None = next(iter(table.slice(one.place, 1).to_pylist()), None) if table is not None else None
    audio = embedded(row["audio"]) if row else None
    if row is None or row["conversation_id"] != one.id or not audio or not audio["bytes"]:
        raise DailytalkError(
            f"the conversation {one.id!r} is not whole in {one.shard} any more",
            "wait until the run that writes there has ended, and push again",
        )
    return row | {"audio": audio}


def _rows_of(path: Path, file: pq.ParquetFile) -> Iterator[tuple[int, Finished]]:
    """The sampling rate and the entry of each row of a shard."""
    entries = read_entries(path) or {}
    stat = path.stat()
    chains: dict[tuple[str, ...], tuple[str, ...]] = {}  # most rows share one, and memory should too
    rows = file.read(columns=list(_SMALL)).to_pylist()
    for (group, place), row in zip(_places(file), rows, strict=True):
        heard = [one for one in row["utterances"] or () if one["status"] != "dropped"]
        entry = entries.get(row["conversation_id"])
        told = f"{row['conversation_id']} {stat.st_size} {stat.st_mtime_ns} {group} {place} {_of_entry(entry)}"
        chain = entry.chain if entry else ()
        yield (
            row["sample_rate"],
            Finished(
                row["conversation_id"],
                row["recording_id"],
                _named(row["speakers"]),
                row["duration"],
                len(heard),
                sum((one["end"] or 0.0) - (one["start"] or 0.0) for one in heard),
                chains.setdefault(chain, chain),
                hashlib.sha256(told.encode()).hexdigest()[:16],
                path,
                group,
                place,
            ),
        )


def _places(file: pq.ParquetFile) -> Iterator[tuple[int, int]]:
    for group in range(file.num_row_groups):
        yield from ((group, place) for place in range(file.metadata.row_group(group).num_rows))


def _of_entry(entry: Entry | None) -> str:
    return f"{entry.input_digest} {entry.chain[-1]}" if entry and entry.chain else ""


def _named(speakers: Mapping[str, Any] | None) -> str | None:
    """The kept speaker's name; a side is no name."""
    name: str | None = (speakers or {}).get("right")
    return None if name in (None, "", "left", "right") else name


def _audio_bytes(file: pq.ParquetFile) -> int:
    """Bytes of encoded audio in a shard, from its footer."""
    columns = file.metadata.num_columns
    return sum(
        group.column(column).total_uncompressed_size
        for group in (file.metadata.row_group(number) for number in range(file.num_row_groups))
        for column in range(columns)
        if group.column(column).path_in_schema == "audio.bytes"
    )
