"""The only place that opens Parquet: rows by row group, by column or by place, footers, and the one writer.

Whatever is read gives plain Python values. A file that is damaged, wherever in it, is one sentence that names it;
errors of the disk and of the network stay what they are, because reading again may help. Nothing holds more than
a row group of the requested columns, and a row group that unpacks to far more than it has is not read.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from dailytalk_contiguous.core.documents import open_regular, shown
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import Row, wrong_type
from dailytalk_contiguous.store.files import Disk, replacing

#: Rows that are Python objects at a time.
BATCH = 64

#: Of each row group that is read: its file, its number and its columns, on the level of debugging.
log = logging.getLogger(__name__)

#: A row group is not read if its footer says that it has more bytes than this once it is unpacked, and more than
#: this many times its own: FLAC hardly shrinks, WAV to a tenth at most. A batch has fewer rows where its values
#: could have more.
LARGEST_UNPACKED, MOST_SHRUNK = 1 << 28, 25

#: Bytes of a value of a list once it is unpacked, at most: its offset or number, and its levels. Equal values are
#: counted in a file, and not written.
_LIST_BYTES = 12

#: What reading a damaged file raises; of OSError only Arrow's own, which carry no number of the system's.
PARQUET_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)


def cause(error: BaseException) -> str:
    """The first line of a library's message, or the kind of its error."""
    return (str(error) or type(error).__name__).splitlines()[0][:200]


class ParquetReader:
    """An open file, as `open_parquet` gives it.

    Attributes:
        schema: its columns, and its metadata as pairs of bytes.
        group_sizes: number of rows of each row group.
    """

    def __init__(self, file: pq.ParquetFile, name: str, remedy: str, is_local: bool) -> None:
        self._file = file
        self._name, self._remedy, self._is_local = name, remedy, is_local
        with self._reading():
            self.schema: pa.Schema = file.schema_arrow
            self.group_sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]

    def check(self, features: Features, required: Iterable[str], remedy: str = "") -> None:
        """Raise BadInput, with another `remedy` if there is one, unless the file has some columns of some types.

        Args:
            features: those of which a column must have the type (see `core.schema.wrong_type`), if it is there.
            required: names of columns that must be there.
            remedy: what to do if they are not as they must be; by default the same as about damage.
        """
        missing = sorted(set(required) - set(self.schema.names))
        wrong = wrong_type(self.schema, features, features)
        problem = f" has no column {', '.join(missing)}" if missing else f": {wrong}" if wrong else ""
        if problem:
            raise BadInput(f"{self._name}{problem}", remedy or self._remedy)

    def rows(self, columns: Iterable[str] | None = None, groups: Sequence[int] | None = None) -> Iterator[Row]:
        """The rows of some row groups, or of all, with these columns or all. Raises BadInput for damage."""
        for batch in self.batches(columns, groups):
            with self._reading():
                rows = batch.to_pylist()
            yield from rows

    def batches(
        self, columns: Iterable[str] | None = None, groups: Sequence[int] | None = None, size: int = BATCH
    ) -> Iterator[pa.RecordBatch]:
        """The same as record batches of at most `size` rows. Raises BadInput for what would fill memory, too.

        Only of a file on this disk, and without a column of audio, a batch may be of several row groups, because
        beginning each group separately takes several times as long.
        """
        names = None if columns is None else list(columns)
        wanted = list(range(len(self.group_sizes)) if groups is None else groups)
        is_heavy = any(_is_heavy(field.type) for field in self.schema if names is None or field.name in names)
        for run in [wanted] if self._is_local and not is_heavy else [[group] for group in wanted]:
            with self._reading():
                largest = max((self._largest_value(group, names) for group in run), default=0)
                n_rows = max(1, min(size, LARGEST_UNPACKED // max(largest, 1)))
                batches = self._file.iter_batches(n_rows, row_groups=run, columns=names, use_threads=False)
            for group in run:
                log.debug("read %s, row group %d: %s", self._name, group, names or self.schema.names)
            while True:
                with self._reading():
                    batch = next(batches, None)
                if batch is None:
                    break
                yield batch

    def row(self, group: int, index: int, columns: Iterable[str] | None = None) -> Row | None:
        """A row of a row group by its index; None where there is none. Raises BadInput for damage."""
        return next(self.rows_at([(group, index)], columns))

    def rows_at(
        self, positions: Iterable[tuple[int, int]], columns: Iterable[str] | None = None
    ) -> Iterator[Row | None]:
        """As `row` of each of some sorted positions, of which the row groups are read once."""
        for group, of_group in itertools.groupby(positions, key=itemgetter(0)):
            wanted = [index for _, index in of_group]
            n_rows = self.group_sizes[group] if group < len(self.group_sizes) else 0
            start = 0
            for batch in self.batches(columns, [group]) if wanted[0] < n_rows else ():
                for index in wanted:
                    if start <= index < start + batch.num_rows:
                        with self._reading():
                            row: Row = batch.slice(index - start, 1).to_pylist()[0]
                        yield row
                start += batch.num_rows
                if start > wanted[-1]:
                    break
            yield from (None for index in wanted if index >= n_rows)

    def _largest_value(self, group: int, names: Sequence[str] | None) -> int:
        """Bytes that no value of a row group exceeds. Raises BadInput if it unpacks to more than is read."""
        row_group = self._file.metadata.row_group(group)
        chunks = [row_group.column(number) for number in range(row_group.num_columns)]
        chunks = [chunk for chunk in chunks if names is None or chunk.path_in_schema.partition(".")[0] in names]
        sizes = [
            chunk.total_uncompressed_size
            + (_LIST_BYTES * chunk.num_values if ".list." in chunk.path_in_schema else 0)
            for chunk in chunks
        ]
        packed, unpacked = sum(chunk.total_compressed_size for chunk in chunks), sum(sizes)
        if unpacked > max(LARGEST_UNPACKED, MOST_SHRUNK * packed):
            raise BadInput(
                f"{self._name} has a row group of {packed:,} bytes that would be {unpacked / 1e9:.1f} GB unpacked",
                self._remedy,
            )
        return max(sizes, default=0)

    def plain_bytes(self) -> int:
        """Bytes of all columns before compression, from the footer."""
        metadata = self._file.metadata
        return sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except PARQUET_ERRORS as error:
            raise _damaged(error, self._name, self._remedy) from None


def _is_heavy(kind: pa.DataType) -> bool:
    """Whether a column may hold megabytes a row."""
    if pa.types.is_struct(kind):
        return any(_is_heavy(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


@contextmanager
def open_parquet(
    source: Path | BinaryIO, remedy: str, name: str = "", buffer_size: int = 0
) -> Iterator[ParquetReader]:
    """Open a file to read from it.

    Args:
        source: a path, or a file that is open for reading by ranges.
        remedy: what the user can do if the file is damaged.
        name: how a sentence about it calls it; by default the path.
        buffer_size: bytes of a column that are read at a time; 0 for those of a row group at once.

    Raises:
        BadInput: it is damaged.
        OSError: as the disk or the network does.
    """
    if isinstance(source, Path):
        name = name or shown(source)
        with open_regular(source) as opened:  # Arrow itself opens no path that is not UTF-8
            yield from _opened(opened, remedy, name, {"buffer_size": buffer_size}, is_local=True)
    else:
        options = {"buffer_size": buffer_size, "pre_buffer": not buffer_size}
        yield from _opened(source, remedy, name, options, is_local=False)


def _opened(
    file: BinaryIO, remedy: str, name: str, options: Mapping[str, Any], is_local: bool
) -> Iterator[ParquetReader]:
    try:
        parquet = pq.ParquetFile(file, **options)
    except PARQUET_ERRORS as error:
        raise _damaged(error, name, remedy) from None
    with parquet:
        yield ParquetReader(parquet, name, remedy, is_local)


def _damaged(error: Exception, name: str, remedy: str) -> BadInput:
    """The sentence about a damaged file. Raises `error` again if it is of the disk, the network or memory."""
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None)
    ):
        raise error
    return BadInput(f"{name} can't be read ({cause(error)})", remedy)


@contextmanager
def writing_parquet(
    path: Path, features: Features, metadata: Mapping[bytes, bytes] = {}, audio: str | None = None
) -> Iterator[Callable[[Sequence[Row]], pa.Table]]:
    """Write a file so that it is either there, whole and on disk, or not at all.

    Yields what writes some rows as a row group, and returns them as they are in the file. The same rows give the
    same bytes, on any run.

    Args:
        path: the file.
        features: its columns.
        metadata: of the file, beside that of the features.
        audio: path of the column of encoded audio (`audio.bytes`) of a file that is sent over the network: it is
            stored as it is, since it is compressed already, and pages are cut by their content, so that a chunk is
            recognised wherever it moves to. None: every column is compressed alike.

    Raises OSError as the disk does, and any error that the block raises.
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
    with writing_tables(path, schema, **options) as write_table:

        def write(rows: Sequence[Row]) -> pa.Table:
            columns = {name: pa.array([row[name] for row in rows], schema.field(name).type) for name in features}
            table = pa.table(columns, schema=schema)
            write_table(table)
            return table

        yield write


@contextmanager
def writing_tables(path: Path, schema: pa.Schema, **options: Any) -> Iterator[Callable[[pa.Table], None]]:
    """Write a file as `writing_parquet` does, of tables: each is a row group of at most a million rows.

    `options` are those of `pyarrow.parquet.ParquetWriter`.
    """
    options = {"compression": "zstd"} | options
    with replacing(path) as file, Disk(file) as disk, pq.ParquetWriter(disk, schema, **options) as writer:

        def write(table: pa.Table) -> None:
            writer.write_table(table)
            disk.check()

        yield write


def write_parquet(
    path: Path,
    features: Features,
    groups: Iterable[Sequence[Row]],
    metadata: Mapping[bytes, bytes] = {},
    audio: str | None = None,
) -> None:
    """Write the rows of each row group as `writing_parquet` does; one is in memory at a time."""
    with writing_parquet(path, features, metadata, audio) as write:
        for rows in groups:
            write(rows)


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
