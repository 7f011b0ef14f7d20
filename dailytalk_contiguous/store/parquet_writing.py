"""The one writer of Parquet: rows in row groups, of the same bytes on any run, whole on disk or not at all."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.store.files import Disk, replacing


@contextmanager
def writing_tables(path: Path, schema: pa.Schema, **options: Any) -> Iterator[Callable[[pa.Table], None]]:
    """Write a file so that it is either there, whole and on disk, or not at all.

    Yields what writes a table as a row group of at most a million rows. `options` are those of
    `pyarrow.parquet.ParquetWriter`. Raises OSError as the disk does, and any error that the block raises.
    """
    options = {"compression": "zstd"} | options
    with replacing(path) as file, Disk(file) as disk, pq.ParquetWriter(disk, schema, **options) as writer:
        yield writer.write_table


def write_parquet(
    path: Path,
    features: Features,
    groups: Iterable[Sequence[Row]],
    metadata: Mapping[bytes, bytes] = {},
    audio: str | None = None,
) -> None:
    """Write the rows of each row group as `writing_tables` does; one is in memory at a time.

    The same rows give the same bytes, on any run.

    Args:
        path: the file. features: its columns. groups: the rows of each row group.
        metadata: of the file, beside that of the features.
        audio: path of the column of encoded audio (`audio.bytes`) of a file that is sent over the network: it is
            stored as it is, since it is compressed already, and pages are cut by their content, so that a chunk is
            recognised wherever it moves to. None: every column is compressed alike.

    Raises OSError as the disk does.
    """
    schema = features.arrow_schema  # built at each access
    schema = schema.with_metadata({**(schema.metadata or {}), **metadata})
    options: dict[str, Any] = {}
    if audio is not None:
        sink: Any = pa.BufferOutputStream()
        pq.ParquetWriter(sink, schema).close()
        parquet = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
        leaves = [parquet.column(number).path for number in range(len(parquet))]
        packed = [name for name in leaves if name != audio]
        options = {
            "compression": {name: "NONE" if name == audio else "ZSTD" for name in leaves},
            "use_dictionary": packed,
            # Statistics of audio would be its first bytes, twice for every row group.
            "write_statistics": packed,
            "write_page_index": True,
            "use_content_defined_chunking": True,
        }
    with writing_tables(path, schema, **options) as write:
        for rows in groups:
            columns = {name: pa.array([row[name] for row in rows], schema.field(name).type) for name in features}
            write(pa.table(columns, schema=schema))


def row_groups(rows: Iterable[Row], audio_bytes: int) -> Iterator[list[Row]]:
    """Rows in the groups that `write_parquet` takes, each of so many bytes of encoded audio, or a row more.

    They decide what is read for one row. There is no empty group: `load_dataset` fails on a row group without
    rows, and not on a file without row groups.
    """
    group, size = list[Row](), 0
    for row in rows:
        group.append(row)
        size += len((row.get("audio") or {}).get("bytes") or b"")
        if size >= audio_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group
