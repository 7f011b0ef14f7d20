"""Where each finished conversation lies, known before a byte of its audio is read.

Publishing needs every conversation twice: once to decide its split and its file, once to copy it there. The first
pass reads all but the audio, rejects what can't be published, and keeps a few hundred bytes of a conversation, so
that a corpus of any length fits in memory.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from dailytalk_contiguous.core.audio import embedded
from dailytalk_contiguous.core.built import BUILT
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.publish.rows import Row, judged, opened_shard, provenance_of, shards
from dailytalk_contiguous.shards import Entry, read_entries

#: Columns of the first pass.
_SMALL = [name for name in BUILT if name != "audio"]

#: What rejects of a push name as their stage.
STAGE = "push"


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
        rejects: rows that can't be published.
    """

    conversations: tuple[Finished, ...]
    sample_rate: int | None
    bytes_per_second: float
    rejects: tuple[Reject, ...] = ()


def index_folder(folder: Path) -> Index:
    """Index the finished conversations of a work folder, reading no audio.

    Raises:
        DailytalkError: there are none, a shard can't be read or is no finished dataset's, or an id occurs twice.
    """
    found: dict[str, Finished] = {}
    rejects: list[Reject] = []
    rates: set[int] = set()
    audio_bytes = 0
    for path in shards(folder):
        with opened_shard(path) as file:
            audio_bytes += _audio_bytes(file)
            rows = list(_rows_of(path, file))
        for rate, one in rows:
            if isinstance(one, Reject):
                rejects.append(one)
                continue
            if one.id in found:
                raise DailytalkError(
                    f"the conversation {one.id!r} is in {found[one.id].shard} and in {path}",
                    "remove one of the two shards, or build the dataset again",
                )
            found[one.id] = one
            rates.add(rate)
    if not found:
        why = f" that can be published ({rejects[0].id}: {rejects[0].reason})" if rejects else ""
        raise DailytalkError(
            f"{folder} holds no finished conversations{why}",
            "see its rejects.jsonl, and run dailytalk speak again",
        )
    seconds = sum(one.seconds for one in found.values())
    return Index(
        tuple(found[name] for name in sorted(found)),
        rates.pop() if len(rates) == 1 else None,
        float(f"{max(audio_bytes, 1) / max(seconds, 1e-3):.1e}"),
        tuple(rejects),
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


def _rows_of(path: Path, file: pq.ParquetFile) -> Iterator[tuple[int, Finished | Reject]]:
    """The sampling rate and the entry of each row of a shard, or why it can't be published."""
    entries = read_entries(path) or {}
    stat = path.stat()
    chains: dict[tuple[str, ...], tuple[str, ...]] = {}  # most rows share one, and memory should too
    for number, (group, place, read) in enumerate(_places(file), 1):
        row = judged(read, f"row {number} of {path.name}")
        try:
            _refuse_unfit(row)
        except BadInput as problem:
            yield 0, Reject(row["conversation_id"], STAGE, problem.reason, problem.remedy)
            continue
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


def _refuse_unfit(row: Row) -> None:
    """Raise BadInput for a row that can't be published."""
    if row["problem"]:
        raise BadInput(row["problem"], row["remedy"])
    if not row["recording_id"] or not row["sample_rate"] or row["sample_rate"] < 1:
        raise BadInput("it has no recording_id or no sample_rate", "build the conversation again")
    provenance_of(row)


def _places(file: pq.ParquetFile) -> Iterator[tuple[int, int, Row]]:
    """Row group, place in it and columns of each row."""
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group, columns=_SMALL).to_pylist()
        yield from ((group, place, row) for place, row in enumerate(rows))


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
