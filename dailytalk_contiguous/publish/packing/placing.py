"""In which file a row lies, and where files are cut inside: by the ids of the rows, never by their neighbours.

A version that adds, changes or drops a few conversations must leave most bytes where they were, because only new
content is sent. So a row's file and its place there follow from a hash of its id; the number of files is a power
of two, which keeps its value while it is bearable, and where it doubles each file is cut in two.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

#: Bytes of a file at most, in the mean of its split, when their number is chosen anew: what `datasets` and the
#: viewer of the Hub are at ease with (100-250 MB, see the measures in `benchmarks/publish.py`).
SHARD_BYTES = 250_000_000

#: A number of files that was published stays while their mean size is within these times the wanted size.
LEAST, MOST = 0.3, 1.3

#: Bytes of audio in a row group: below the first never cut unless the next row would pass the last; in between cut
#: with a chance that makes `_BETWEEN` bytes of it the mean. What a reader of one row has to fetch.
ROW_GROUP_LOW, ROW_GROUP_HIGH = 6_000_000, 16_000_000
_BETWEEN = 4_000_000

Item = TypeVar("Item")


def position(name: str) -> int:
    """Where an id lies: the first 64 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")


def shard_of(name: str, count: int) -> int:
    """Number of the file, from 0, of an id where there are `count`."""
    return position(name) * count >> 64


def shard_count(names: Iterable[str], size: float, before: int | None, shard_bytes: float = SHARD_BYTES) -> int:
    """How many files a split is cut into: a power of two, and no more than leave none of them without a row.

    Args:
        names: ids of what decides the place of rows; at least one.
        size: bytes of all rows.
        before: number in the version before, or None. Kept while the mean size allows it.
        shard_bytes: bytes of a file at most, in the mean.
    """
    known = list(names)
    count = before or 0
    if not _bearable(count, size, shard_bytes):
        count = 1
        while size / count > shard_bytes:
            count *= 2
    # An empty file is legal Parquet, and a puzzle to whoever opens it.
    count = min(count, 1 << max(0, len(known).bit_length() - 1))
    while len({shard_of(name, count) for name in known}) < count:
        count //= 2
    return count


def _bearable(count: int, size: float, shard_bytes: float) -> bool:
    if count < 1 or count & (count - 1):  # none before, or a number that is not ours
        return False
    return (count == 1 or size / count >= LEAST * shard_bytes) and size / count <= MOST * shard_bytes


def row_groups(rows: Iterable[tuple[Item, str, int]]) -> Iterator[list[Item]]:
    """Cut rows, given with their ids and bytes of audio, into row groups of 6 to 16 MB; a larger row is alone.

    Whether a group ends after a row depends on the row, so that behind a change the old borders soon come back.
    """
    group: list[Item] = []
    held = 0
    for row, name, size in rows:
        if group and held + size > ROW_GROUP_HIGH:
            yield group
            group, held = [], 0
        group.append(row)
        held += size
        # Other bits than those that sort the rows, which are much the same in neighbours.
        chance = int.from_bytes(hashlib.sha256(b"border\0" + name.encode("utf-8", "surrogateescape")).digest()[:8])
        if held >= ROW_GROUP_LOW and chance * _BETWEEN < size << 64:
            yield group
            group, held = [], 0
    if group:
        yield group
