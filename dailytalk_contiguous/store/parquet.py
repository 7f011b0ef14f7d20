"""The only place that opens Parquet: rows by row group, by column or by place, footers, and the one writer.

Reading gives plain Python values. Damage anywhere in a file becomes one sentence that names the file; errors of
the disk and of the network stay as they are, because reading again may help. Nothing holds more than a row group
of the requested columns. A row group whose footer says that it unpacks to far more than its bytes is not read, and
a file that unpacks to more than its limit is read no further.
"""

import itertools
import logging
import os
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from dailytalk_contiguous.core.documents import printable_path
from dailytalk_contiguous.core.errors import BadInput, TooLarge
from dailytalk_contiguous.core.quotas import Quota
from dailytalk_contiguous.core.records.schema import Row, wrong_type
from dailytalk_contiguous.machine.own_file import refuse_in_import
from dailytalk_contiguous.machine.regular_files import open_regular
from dailytalk_contiguous.store.files import Disk, replacing

#: Rows that are Python objects at a time.
BATCH = 64

#: Of each row group that is read: its file, its number and its columns, on the level of debugging.
log = logging.getLogger(__name__)

#: Bytes that a row group may unpack to, however small it is in the file.
_UNPACKED_BYTES = 1 << 28

#: How many times as large as in the file a file or row group may be that is larger than that: FLAC hardly shrinks,
#: WAV to a tenth at most, texts and measures hardly more.
_MOST_SHRUNK = 25

#: Bytes of a row, unpacked, that may have a single byte in the file: a hundred columns, most of which are null or
#: the same in all rows. The table of utterances has 81.
_REPETITIVE_ROW_BYTES = 1200

#: Rows of a row group that libraries write unless they are asked for others.
_USUAL_ROWS = 1 << 20

#: Bytes of the rows of a batch, about.
_BATCH_BYTES = 1 << 26

#: Rows of a batch in which rows are looked for: only these become Python objects.
_SEARCHED_ROWS = 1 << 16

#: What reading a damaged file raises; of OSError only Arrow's own, which carry no number of the system's. An
#: IndexError is of a file that has become another one since its rows were counted.
PARQUET_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError, IndexError)


def cause(error: BaseException) -> str:
    """Return the first line of a library's message, or the kind of its error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


class _Group(NamedTuple):
    """A row group by the footer: its number, rows, bytes of all columns, and unpacked bytes of requested ones."""

    number: int
    n_rows: int
    packed: int
    unpacked: int


class ParquetReader:
    """An open file from `open_parquet`.

    Attributes:
        schema: columns, and metadata as pairs of bytes.
        group_sizes: number of rows of each row group.
    """

    def __init__(self, file: pq.ParquetFile, n_bytes: int, name: str, remedy: str, is_local: bool) -> None:
        self._file = file
        self._n_bytes = n_bytes
        self._name = name
        self._remedy = remedy
        self._is_local = is_local
        self.schema: pa.Schema = file.schema_arrow
        self.group_sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]

    def check(self, features: Features, required: Iterable[str]) -> None:
        """Raise BadInput unless the file has some columns of some types.

        Args:
            features: types that columns must have if they are there (see `core.records.schema.wrong_type`).
            required: names of columns that must be there.
        """
        missing = sorted(set(required) - set(self.schema.names))
        wrong = wrong_type(self.schema, features, features)
        if missing:
            raise BadInput(f"{self._name} has no column {', '.join(missing)}", self._remedy)
        if wrong:
            raise BadInput(f"{self._name}: {wrong}", self._remedy)

    def check_size(self, columns: Iterable[str] | None = None) -> None:
        """Raise BadInput if the footer says that these columns, or all, unpack to far more than their bytes."""
        names = self.schema.names if columns is None else list(columns)
        self._groups(names, range(len(self.group_sizes)))

    def rows(self, columns: Iterable[str] | None = None) -> Iterator[Row]:
        """Yield the rows, with these columns or all. Raises BadInput for damage."""
        for batch in self.batches(columns):
            with _reading(self._name, self._remedy):
                rows = batch.to_pylist()
            yield from rows

    def batches(
        self, columns: Iterable[str] | None = None, groups: Sequence[int] | None = None, size: int = BATCH
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of some row groups as record batches of at most `size` rows, fewer where rows are large.

        A batch of a file on this disk may have rows of several row groups, because beginning each group separately
        takes several times as long; over the network, all of them would be fetched at once. Dictionary values
        become plain ones.
        """
        names = self.schema.names if columns is None else list(columns)
        numbers = range(len(self.group_sizes)) if groups is None else groups
        wanted = self._groups(names, numbers)
        quota = self._quota(f"{self._name}, unpacked,", sum(group.packed for group in wanted))
        for run in _runs(wanted, self._is_local):
            log.debug("read %s, row groups %s: %s", self._name, [group.number for group in run], names)
            with _reading(self._name, self._remedy):
                for batch in self._batches_of(run, names, size):
                    quota.take(batch.nbytes)
                    yield batch

    def rows_at(self, positions: Iterable[tuple[int, int]], columns: Iterable[str] | None = None) -> Iterator[Row]:
        """Yield the rows at sorted positions, each a row group and an index in it.

        A row group is read once, up to its last such row. Raises BadInput for damage, and where there is no such
        row.
        """
        names = self.schema.names if columns is None else list(columns)
        for group, of_group in itertools.groupby(positions, key=itemgetter(0)):
            indices = [index for _, index in of_group]
            start = 0
            for batch in self.batches(names, [group], _SEARCHED_ROWS):
                end = start + len(batch)
                n_inside = bisect_left(indices, end)
                for index in indices[:n_inside]:
                    with _reading(self._name, self._remedy):
                        row = batch.slice(index - start, 1).to_pylist()[0]
                    yield row
                del indices[:n_inside]
                if not indices:
                    break
                start = end
            if indices:
                raise BadInput(f"{self._name} can't be read (it has no row {indices[0]} there)", self._remedy)

    def stored_bytes(self) -> list[int]:
        """The bytes in the file of each row group, from the footer."""
        sizes = []
        for number in range(self._file.num_row_groups):
            group = self._file.metadata.row_group(number)
            columns = [group.column(column) for column in range(group.num_columns)]
            sizes.append(sum(column.total_compressed_size for column in columns))
        return sizes

    def footer(self) -> bytes:
        """Return the footer: the columns, the metadata, and the sizes and bounds in each row group."""
        footer = pa.BufferOutputStream()
        self._file.metadata.write_metadata_file(footer)
        return bytes(footer.getvalue())

    def plain_bytes(self) -> int:
        """The bytes of all columns before compression, from the footer."""
        groups = range(self._file.num_row_groups)
        return sum(self._file.metadata.row_group(group).total_byte_size for group in groups)

    def _groups(self, names: Sequence[str], numbers: Iterable[int]) -> list[_Group]:
        """Return row groups by the footer. Raises BadInput for one that is impossible or unpacks to far more."""
        inside = tuple(f"{name}." for name in names)
        groups = []
        for number in numbers:
            with _reading(self._name, self._remedy):
                group = self._file.metadata.row_group(number)
                columns = [group.column(index) for index in range(group.num_columns)]
            packed = sum(column.total_compressed_size for column in columns)
            unpacked = 0
            for column in columns:
                path = column.path_in_schema
                if path in names or path.startswith(inside):
                    unpacked += column.total_uncompressed_size
            self._quota(f"{self._name}: row group {number}, unpacked,", packed).take(unpacked)
            groups.append(_Group(number, group.num_rows, packed, unpacked))
        return groups

    def _batches_of(self, run: Sequence[_Group], names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Yield the batches of row groups that are read together."""
        n_rows = sum(group.n_rows for group in run)
        n_bytes = sum(group.unpacked for group in run)
        size = min(size, _BATCH_BYTES * n_rows // max(n_bytes, 1))
        numbers = [group.number for group in run]
        batches = self._file.iter_batches(max(1, size), row_groups=numbers, columns=names, use_threads=False)
        for batch in batches:
            # A dictionary of Arrow, which a file may ask for, counts its values once.
            for column, field in enumerate(batch.schema):
                if pa.types.is_dictionary(field.type):
                    plain = batch.column(column).dictionary_decode()
                    batch = batch.set_column(column, field.name, plain)
            yield batch

    def _quota(self, subject: str, packed: int) -> Quota:
        return unpacked_quota(subject, min(packed, self._n_bytes), self._remedy)


def unpacked_quota(subject: str, packed: int, remedy: str) -> Quota:
    """Return the quota to which so many bytes of a Parquet file may unpack, a batch at a time."""
    repetitive = _REPETITIVE_ROW_BYTES * min(packed, _USUAL_ROWS)
    return Quota(subject, max(_UNPACKED_BYTES, _MOST_SHRUNK * packed, repetitive), "bytes", remedy)


def _runs(groups: Iterable[_Group], joined: bool) -> Iterator[list[_Group]]:
    """Yield runs of row groups that are read together: single ones unless `joined`, within a limit of memory."""
    run = list[_Group]()
    n_bytes = 0
    for group in groups:
        n_bytes += group.unpacked
        if run and (not joined or n_bytes > _UNPACKED_BYTES):
            yield run
            run = []
            n_bytes = group.unpacked
        run.append(group)
    if run:
        yield run


@contextmanager
def open_parquet(
    source: Path | BinaryIO, remedy: str, name: str = "", buffer_size: int = 0
) -> Iterator[ParquetReader]:
    """Open a file to read from it.

    Args:
        source: path, or a file that is open for reading by ranges.
        remedy: remedy if the file is damaged.
        name: name of the file in a sentence; by default the path.
        buffer_size: bytes of a column that are read at a time; 0 for those of a row group at once.

    Raises:
        BadInput: it is damaged, or there is too little memory for it.
        OSError: the disk or the network fails.
    """
    is_local = isinstance(source, Path)
    name = name or printable_path(source)
    # Arrow itself opens no path that is not UTF-8.
    with open_regular(source) if isinstance(source, Path) else nullcontext(source) as file:
        with _reading(name, remedy):
            n_bytes = file.seek(0, os.SEEK_END)
            parquet = pq.ParquetFile(file, buffer_size=buffer_size, pre_buffer=not (is_local or buffer_size))
            reader = ParquetReader(parquet, n_bytes, name, remedy, is_local)
        with parquet:
            yield reader


@contextmanager
def _reading(name: str, remedy: str) -> Iterator[None]:
    """Raise BadInput for damage and for a lack of memory; errors of the disk and the network stay as they are."""
    try:
        yield
    except MemoryError:
        raise TooLarge.for_input(name) from None
    except PARQUET_ERRORS as error:
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise
        raise BadInput(f"{name} can't be read ({cause(error)})", remedy) from None


@contextmanager
def writing_tables(path: Path, schema: pa.Schema, **options: object) -> Iterator[Callable[[pa.Table], None]]:
    """Write a file that is either whole and on disk, or absent.

    Yields a function that writes a table as a row group of at most a million rows. `options` are those of
    `pyarrow.parquet.ParquetWriter`. Raises the disk's OSError, any error that the block raises, and DailytalkError
    while the user's file is being imported.
    """
    refuse_in_import("writes a file")
    options = {"compression": "zstd"} | options
    with replacing(path) as file, Disk(file) as disk, pq.ParquetWriter(disk, schema, **options) as writer:
        yield writer.write_table


def write_parquet(
    path: Path,
    features: Features,
    groups: Iterable[Sequence[Row]],
    metadata: Mapping[bytes, bytes] = {},
    audio: Collection[str] = (),
) -> None:
    """Write the rows of each row group as `writing_tables` does; one is in memory at a time.

    The same rows give the same bytes, on any run.

    Args:
        path: path of the file.
        features: columns of the file.
        groups: rows of each row group.
        metadata: metadata of the file, beside that of the features.
        audio: columns of encoded audio of a file that is sent over the network: their `bytes` are stored as they
            are, since they are compressed already, and pages are cut by their content, so that a chunk is
            recognised wherever it moves to. Without any, every column is compressed alike.

    Raises the disk's OSError.
    """
    schema = features.arrow_schema  # built at each access
    schema = schema.with_metadata({**(schema.metadata or {}), **metadata})
    options: dict[str, object] = {}
    if audio:
        sounds = {f"{name}.bytes" for name in audio}
        sink = pa.BufferOutputStream()
        pq.ParquetWriter(sink, schema).close()
        parquet = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
        leaves = [parquet.column(number).path for number in range(len(parquet))]
        packed = [name for name in leaves if name not in sounds]
        options = {
            "compression": {name: "NONE" if name in sounds else "ZSTD" for name in leaves},
            "use_dictionary": packed,
            # Statistics of audio would be its first bytes, twice for every row group.
            "write_statistics": packed,
            "write_page_index": True,
            "use_content_defined_chunking": True,
        }
    with writing_tables(path, schema, **options) as write:
        for rows in groups:
            columns = {}
            for name in features:
                values = [row[name] for row in rows]
                columns[name] = pa.array(values, schema.field(name).type)
            write(pa.table(columns, schema=schema))


def row_groups(rows: Iterable[Row], audio_bytes: int, audio: Collection[str] = ("audio",)) -> Iterator[list[Row]]:
    """Group rows for `write_parquet`, each group with so many bytes of encoded audio, or a row more.

    `audio` has the columns of audio. The groups decide how much is read for one row. There is no empty group:
    `load_dataset` fails on a row group without rows, and not on a file without row groups.
    """
    group = list[Row]()
    size = 0
    for row in rows:
        group.append(row)
        for name in audio:
            size += len((row.get(name) or {}).get("bytes") or b"")
        if size >= audio_bytes:
            yield group
            group = []
            size = 0
    if group:
        yield group
