"""One published Parquet file: the same rows give the same bytes, on any run.

Audio is stored as it is, since it is compressed already, so that a chunk of it is found again wherever it comes to
lie; the other columns are small and packed. Pages are cut by content (Parquet's content-defined chunking), and the
features stand in the file itself, so that `load_dataset` decodes the audio of a lone file too.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from dailytalk_contiguous.files.writing import write_atomically
from dailytalk_contiguous.publish.packing.placing import row_groups
from dailytalk_contiguous.publish.rows import Row

#: The column of a file, by its path, that is neither compressed nor given a dictionary.
_AUDIO = "audio.bytes"


class Written(NamedTuple):
    """What a file holds: rows, and seconds of audio."""

    rows: int
    seconds: float


def write_rows(path: Path, features: Features, rows: Iterable[tuple[Row, float]]) -> Written:
    """Write a file so that it is either there, whole and on disk, or not at all.

    Args:
        path: the file.
        features: its columns, the first of which is the id of a row.
        rows: each with the seconds of its audio; a few of them are in memory at a time.

    Raises OSError as the disk does, and whatever `rows` raises.
    """
    schema = features.arrow_schema
    names = _leaves(schema)
    packed = [name for name in names if name != _AUDIO]
    key = next(iter(features))
    count, seconds = 0, 0.0

    def counted() -> Iterator[tuple[Row, str, int]]:
        nonlocal count, seconds
        for row, length in rows:
            count += 1
            seconds += length
            yield row, row[key], len(row["audio"]["bytes"])

    def write(file: BinaryIO) -> None:
        disk = _Disk(file)
        with pq.ParquetWriter(
            disk,
            schema,
            compression={name: "NONE" if name == _AUDIO else "ZSTD" for name in names},
            use_dictionary=packed,
            # Statistics of audio would be its first bytes, twice for every row group.
            write_statistics=packed,
            write_page_index=True,
            use_content_defined_chunking=True,
        ) as writer:
            for group in row_groups(counted()):
                table = pa.table(
                    {name: pa.array([row[name] for row in group], schema.field(name).type) for name in features},
                    schema=schema,
                )
                writer.write_table(table)  # one row group, for far fewer than a million rows fit
                disk.check()
        disk.check()

    write_atomically(path, write)
    return Written(count, seconds)


class _Disk:
    """A file whose errors are kept until `check` raises them.

    Where a write fails in the midst of content-defined chunking, Arrow ends the whole process (pyarrow 26).
    """

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._failed: OSError | None = None

    def write(self, data: Any) -> None:
        if self._failed is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._failed = error

    def flush(self) -> None:
        """Nothing: whoever opened the file flushes it."""

    def check(self) -> None:
        if self._failed is not None:
            raise self._failed


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of the columns of a file, as Parquet numbers them."""
    sink: Any = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema).close()
    parquet = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [parquet.column(number).path for number in range(len(parquet))]
