"""The untouched recordings of a finished dataset, for those who may publish them: the config `source`.

A recording is taken from where it was tagged, and only if it is still the one that was: published beside
conversations that were made from another, it would be a false source.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dailytalk_contiguous.core.audio import from_uri, probe
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.published import SPLITS
from dailytalk_contiguous.publish.packing.indexing import Finished
from dailytalk_contiguous.publish.packing.provenance import Origin
from dailytalk_contiguous.publish.packing.published_rows import encoded
from dailytalk_contiguous.publish.rows import Row
from dailytalk_contiguous.shards import read_entries, read_rows
from dailytalk_contiguous.sources.recorded import BASE, at_hand, tagged_row

#: Bytes of a recording at most. Arrow counts the bytes of a column in 31 bits.
LARGEST_BYTES = 1_900_000_000


class Recording(NamedTuple):
    """A recording that finished conversations were cut from.

    Attributes:
        id: its `recording_id`.
        path: where it lies. size: bytes. seconds: of its audio.
        identity: its digest (see `sources.recorded`).
        told: what a tagged row knows of it.
        parts: `conversation_id`, `offset` and `duration` of the conversations that were tagged in it and finished.
    """

    id: str
    path: Path
    size: int
    seconds: float
    identity: str
    told: Row
    parts: tuple[dict[str, Any], ...]


def recordings(folder: Path, conversations: Iterable[Finished]) -> list[Recording]:
    """The recordings of finished conversations, by id.

    Raises DailytalkError if one is not known, gone, not the one that was tagged, or too large for Parquet.
    """
    tagged: dict[str, Row] = {}
    for path in sorted((folder / "tagged").glob("shard-*.parquet")):
        if read_entries(path) is not None:
            tagged |= read_rows(path, BASE)
    parts: dict[str, list[Row]] = {}
    for one in conversations:
        if one.id not in tagged:
            raise DailytalkError(
                f"{folder / 'tagged'} does not tell from which recording {one.id!r} is",
                "run dailytalk tag again, or push without --include-source",
            )
        parts.setdefault(one.recording_id, []).append(tagged_row(tagged[one.id]))
    return [_recording(name, parts[name]) for name in sorted(parts)]


def split_of(one: Recording, side: dict[str, str]) -> str:
    """The split of a recording: that of its conversations, and where they differ the first of `SPLITS`."""
    found = {side[part["conversation_id"]] for part in one.parts}
    return next(name for name in SPLITS if name in found)


def recording_rows(one: Recording, known: Origin) -> Iterator[tuple[Row, float]]:
    """The row of config `source`, with its seconds. Raises DailytalkError if the recording changed meanwhile."""
    data = one.path.read_bytes()
    if len(data) != one.size:
        raise DailytalkError(f"the recording {one.told['audio_file']!r} changed just now", "push again")
    row = {
        "recording_id": one.id,
        "audio": encoded(one.id, data, PurePosixPath(one.told["audio_file"]).suffix.lower()),
        "audio_sha256": hashlib.sha256(data).hexdigest(),
        "audio_file": one.told["audio_file"],
        "sample_rate": one.told["sample_rate"],
        "channels": one.told["channels"],
        "conversations": list(one.parts),
        "source": known.source,
        "source_licence": known.source_licence,
    }
    yield row, one.seconds


def _recording(name: str, rows: list[Row]) -> Recording:
    first, *others = rows
    try:
        for other in others:  # parts of one recording that say different things of it
            if other["audio_identity"] != first["audio_identity"]:
                raise BadInput("its parts were tagged in different versions of it", "run dailytalk tag again")
        here = at_hand(first, None)
        path = from_uri(here["audio"]["path"])
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise BadInput(
                f"it has {size / 1e9:.2f} GB, and a row of Parquet can hold {LARGEST_BYTES / 1e9:.1f}",
                "convert it to FLAC and run dailytalk tag again, or push without --include-source",
            )
        seconds = probe(here["audio"]).seconds
    except BadInput as error:
        raise DailytalkError(
            f"the recording {first['audio_file']!r} can't be published ({error.reason})", error.remedy
        ) from None
    parts = sorted(rows, key=lambda row: (row["offset"], row["conversation_id"]))
    return Recording(
        name,
        path,
        size,
        seconds,
        first["audio_identity"],
        first,
        tuple({part: row[part] for part in ("conversation_id", "offset", "duration")} for row in parts),
    )
