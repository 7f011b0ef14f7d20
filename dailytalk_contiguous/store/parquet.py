"""The only place that opens Parquet: rows by row group, by column or by place, footers, and the one writer.

Whatever is read gives plain Python values. A file that is damaged, wherever in it, is one sentence that names it;
errors of the disk and of the network stay what they are, because reading again may help. Nothing holds more than
a row group of the requested columns, and a row group that unpacks to far more than it has is not read.
"""

import itertools
import logging
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Features

from dailytalk_contiguous.core.documents import shown
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.own_file import refuse_in_import
from dailytalk_contiguous.core.quotas import Quota
from dailytalk_contiguous.core.regular_files import open_regular
from dailytalk_contiguous.core.schema import Row, wrong_type
from dailytalk_contiguous.store.files import Disk, replacing
from dailytalk_contiguous.store.parquet_pages import (
    LARGEST_UNPACKED,
    VALUE_BYTES,
    Chunk,
    CountedFile,
    Leaf,
)

#: Rows that are Python objects at a time.
BATCH = 64

#: Of each row group that is read: its file, its number and its columns, on the level of debugging.
log = logging.getLogger(__name__)

#: How many times as large as in the file a file or row group may be that is larger than `LARGEST_UNPACKED`: FLAC
#: hardly shrinks, WAV to a tenth at most, texts and measures hardly more.
_MOST_SHRUNK = 25

#: Bytes of a row, unpacked, that may have a single byte in the file: a hundred columns, most of which are null or
#: the same in all rows. The table of utterances has 81.
_REPETITIVE_ROW_BYTES = 1200

#: Rows of a row group that libraries write unless they are asked for others.
_USUAL_ROWS = 1 << 20

#: Bytes of a column of texts in a row group that are not counted: a hundred such columns have `LARGEST_UNPACKED`.
_FEW_BYTES = LARGEST_UNPACKED // 100

#: Bytes of the rows of a batch, about.
_BATCH_BYTES = 1 << 26

#: Rows of a batch in which rows are looked for: only these become Python objects.
_SEARCHED_ROWS = 1 << 16

#: Items of a list in the footer: columns and row groups. Arrow takes a kilobyte and more for each column.
_MOST_COLUMNS = 100_000

#: What reading a damaged file raises; of OSError only Arrow's own, which carry no number of the system's. An
#: IndexError is of a file that has become another one since its rows were counted.
PARQUET_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError, IndexError)


def cause(error: BaseException) -> str:
    """The first line of a library's message, or the kind of its error."""
    return (str(error) or type(error).__name__).splitlines()[0][:200]


class _Group(NamedTuple):
    """A row group: its number, rows and requested columns, bytes of all columns, and of these once unpacked."""

    number: int
    n_rows: int
    chunks: list[Chunk]
    packed: int
    unpacked: int


class ParquetReader:
    """An open file, as `open_parquet` gives it.

    Attributes:
        schema: its columns, and its metadata as pairs of bytes.
        group_sizes: number of rows of each row group.
    """

    def __init__(self, file: pq.ParquetFile, source: CountedFile, name: str, remedy: str, is_local: bool) -> None:
        self._file = file
        self._source = source
        self._name = name
        self._remedy = remedy
        self._is_local = is_local
        self.schema: pa.Schema = file.schema_arrow
        self._leaves = _leaves_of(file.schema)
        self.group_sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]

    def check(self, features: Features, required: Iterable[str]) -> None:
        """Raise BadInput unless the file has some columns of some types.

        Args:
            features: those of which a column must have the type (see `core.schema.wrong_type`), if it is there.
            required: names of columns that must be there.
        """
        missing = sorted(set(required) - set(self.schema.names))
        wrong = wrong_type(self.schema, features, features)
        if missing:
            raise BadInput(f"{self._name} has no column {', '.join(missing)}", self._remedy)
        if wrong:
            raise BadInput(f"{self._name}: {wrong}", self._remedy)

    def check_size(self, columns: Iterable[str] | None = None) -> None:
        """Raise BadInput if another reader, which takes a row group at once, would fill memory with these columns.

        Pages are counted by their headers, and not read.
        """
        names = self.schema.names if columns is None else list(columns)
        for number in range(len(self.group_sizes)):
            subject = f"{self._name}: row group {number}, unpacked,"
            with _reading(self._name, self._remedy):
                group = self._group(number, names)
                self._source.count_pages(group.chunks, self._quota(subject, group.packed))
                rows = unpacked_quota(subject, min(group.packed, self._source.size), self._remedy)
                self._count_repeated(group, [chunk for chunk in group.chunks if chunk.column.is_text], rows)

    def rows(self, columns: Iterable[str] | None = None) -> Iterator[Row]:
        """The rows, with these columns or all. Raises BadInput for damage."""
        for batch in self.batches(columns):
            with _reading(self._name, self._remedy):
                rows = batch.to_pylist()
            yield from rows

    def batches(
        self, columns: Iterable[str] | None = None, groups: Sequence[int] | None = None, size: int = BATCH
    ) -> Iterator[pa.RecordBatch]:
        """The same, of some row groups, as record batches of at most `size` rows, fewer where rows are large.

        Of a file on this disk, a batch may be of several row groups, because beginning each group separately takes
        several times as long; of one on the network, all of them would be fetched at once. The values of a
        dictionary come as plain ones.
        """
        names = self.schema.names if columns is None else list(columns)
        numbers = range(len(self.group_sizes)) if groups is None else groups
        with _reading(self._name, self._remedy):
            wanted = [self._group(number, names) for number in numbers]
        packed = sum(group.packed for group in wanted)
        quota = unpacked_quota(f"{self._name}, unpacked,", min(packed, self._source.size), self._remedy)
        for run in _runs(wanted, self._is_local):
            log.debug("read %s, row groups %s: %s", self._name, [group.number for group in run], names)
            with _reading(self._name, self._remedy):
                for batch in self._batches_of(run, names, size):
                    quota.take(batch.nbytes)
                    yield batch

    def rows_at(self, positions: Iterable[tuple[int, int]], columns: Iterable[str] | None = None) -> Iterator[Row]:
        """The rows at sorted positions, each a row group and an index in it.

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
        """Bytes in the file of each row group, from the footer."""
        sizes = []
        for number in range(self._file.num_row_groups):
            group = self._file.metadata.row_group(number)
            columns = [group.column(column) for column in range(group.num_columns)]
            sizes.append(sum(column.total_compressed_size for column in columns))
        return sizes

    def plain_bytes(self) -> int:
        """Bytes of all columns before compression, from the footer."""
        groups = range(self._file.num_row_groups)
        return sum(self._file.metadata.row_group(group).total_byte_size for group in groups)

    def _group(self, number: int, names: Iterable[str]) -> _Group:
        """What the footer says about columns of a row group. Raises BadInput if it can't be, or is too much.

        A batch has few values of a column with one in each row, and all values of a list: only these count as
        much as what is in the pages.
        """
        metadata = self._file.metadata.row_group(number)
        chunks = []
        packed = 0
        in_pages = 0
        in_rows = 0
        for leaf, column in enumerate(self._leaves):
            stored = metadata.column(leaf)
            packed += stored.total_compressed_size
            if not column.names.isdisjoint(names):
                chunk = self._chunk(stored, column)
                chunks.append(chunk)
                in_pages += chunk.unpacked + chunk.n_values * column.counted_bytes
                in_rows += 0 if column.is_repeated else chunk.n_values * VALUE_BYTES
        subject = f"{self._name}: row group {number}, unpacked,"
        self._quota(subject, packed).take(in_pages)
        unpacked = in_pages + in_rows
        unpacked_quota(subject, min(packed, self._source.size), self._remedy).take(unpacked)
        return _Group(number, metadata.num_rows, chunks, packed, unpacked)

    def _chunk(self, stored: pq.ColumnChunkMetaData, column: Leaf) -> Chunk:
        start = stored.data_page_offset
        dictionary = stored.dictionary_page_offset
        if dictionary is not None and 0 < dictionary < start:
            start = dictionary
        end = start + stored.total_compressed_size
        unpacked = stored.total_uncompressed_size
        n_values = stored.num_values
        if not 0 <= start <= end <= self._source.size or unpacked < 0 or n_values < 0:
            raise BadInput(f"{self._name} can't be read ({column.path} is not inside it)", self._remedy)
        has_deltas = column.is_text and "DELTA_BYTE_ARRAY" in stored.encodings
        return Chunk(start, end, column, n_values, unpacked, has_deltas, stored.compression)

    def _batches_of(self, run: Sequence[_Group], names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """The batches of row groups that are read together. Raises BadInput for more than these may have."""
        subject = f"{self._name}: row group {run[0].number}, unpacked,"
        quota = self._quota(subject, sum(group.packed for group in run))
        self._source.expect([chunk for group in run for chunk in group.chunks], quota)
        row_bytes = max(self._shared_bytes(group, quota) for group in run)
        n_rows = sum(group.n_rows for group in run)
        n_bytes = sum(group.unpacked for group in run)
        size = min(size, _BATCH_BYTES * n_rows // max(n_bytes, 1), _BATCH_BYTES // max(row_bytes, 1))
        numbers = [group.number for group in run]
        batches = self._file.iter_batches(max(1, size), row_groups=numbers, columns=names, use_threads=False)
        for batch in batches:
            yield _without_dictionaries(batch)

    def _shared_bytes(self, group: _Group, quota: Quota) -> int:
        """Bytes that each row may have beside what is written for it: values that are written once for many rows.

        Those inside lists are counted against the quota.
        """
        row_bytes = 0
        in_lists = []
        for chunk in group.chunks:
            if chunk.column.is_repeated:
                in_lists.append(chunk)
            else:
                row_bytes += self._largest_value(chunk)
        self._count_repeated(group, in_lists, quota)
        return row_bytes

    def _largest_value(self, chunk: Chunk) -> int:
        """Bytes of the largest value that may be written once for many; 0 where all together are few."""
        if not chunk.column.is_text or chunk.n_values * chunk.unpacked < _FEW_BYTES:
            return 0
        return chunk.unpacked if chunk.has_deltas else self._source.largest_value(chunk)

    def _count_repeated(self, group: _Group, chunks: Iterable[Chunk], quota: Quota) -> None:
        """Count the texts of columns as often as they are named, unless all of them are few. Raises BadInput."""
        bounds = [(chunk, chunk.n_values * self._largest_value(chunk)) for chunk in chunks]
        if sum(bound for _, bound in bounds) <= LARGEST_UNPACKED:
            return
        for chunk, bound in bounds:
            if bound:
                quota.take(bound if chunk.has_deltas else self._named_bytes(group, chunk.column))

    def _named_bytes(self, group: _Group, column: Leaf) -> int:
        """Bytes of the values of a column, counted as often as they are named, of which each is read once."""
        metadata = self._file.metadata
        n_bytes = 0
        with pq.ParquetFile(self._source, metadata=metadata, read_dictionary=[column.path]) as file:
            batches = file.iter_batches(row_groups=[group.number], columns=[column.path], use_threads=False)
            for batch in batches:
                values = batch.column(0)
                while not pa.types.is_dictionary(values.type):
                    values = values.flatten()
                    if isinstance(values, list):  # the parts of a struct
                        values = values[0]
                lengths = pc.binary_length(values.dictionary)
                n_bytes += pc.sum(lengths.take(values.indices)).as_py() or 0
        return n_bytes

    def _quota(self, subject: str, packed: int) -> Quota:
        """How much may come out of pages that have so many bytes in the file."""
        most = _MOST_SHRUNK * min(packed, self._source.size)
        return Quota(subject, max(LARGEST_UNPACKED, most), "bytes", self._remedy)


#: The columns of the files that were opened last, by the text of their schema: those of a dataset have the same.
_LEAVES: dict[str, list[Leaf]] = {}
_MOST_SCHEMAS = 32


def _leaves_of(schema: pq.ParquetSchema) -> list[Leaf]:
    _, _, description = str(schema).partition("\n")  # the first line says where the object is in memory
    leaves = _LEAVES.get(description)
    if leaves is None:
        leaves = [_leaf_of(schema.column(number)) for number in range(len(schema))]
        if len(_LEAVES) >= _MOST_SCHEMAS:
            _LEAVES.clear()
        _LEAVES[description] = leaves
    return leaves


def _leaf_of(column: pq.ColumnSchema) -> Leaf:
    kind = column.physical_type
    value_bytes = column.length if kind == "FIXED_LEN_BYTE_ARRAY" else 0
    parts = column.path.split(".")
    names = frozenset(itertools.accumulate(parts, "{}.{}".format))
    return Leaf(column.path, names, value_bytes, kind == "BYTE_ARRAY", column.max_repetition_level > 0)


def unpacked_quota(subject: str, packed: int, remedy: str) -> Quota:
    """Return the quota of what may come out of so many bytes of a Parquet file, a batch at a time."""
    repetitive = _REPETITIVE_ROW_BYTES * min(packed, _USUAL_ROWS)
    return Quota(subject, max(LARGEST_UNPACKED, _MOST_SHRUNK * packed, repetitive), "bytes", remedy)


def _runs(groups: Iterable[_Group], joined: bool) -> Iterator[list[_Group]]:
    """Row groups that are read together: none with others unless `joined`, and no more than may be in memory."""
    run = list[_Group]()
    n_bytes = 0
    for group in groups:
        n_bytes += group.unpacked
        if run and (not joined or n_bytes > LARGEST_UNPACKED):
            yield run
            run = []
            n_bytes = group.unpacked
        run.append(group)
    if run:
        yield run


def _without_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with plain columns: a dictionary of Arrow, which a file may ask for, counts its values once."""
    for number, field in enumerate(batch.schema):
        if pa.types.is_dictionary(field.type):
            batch = batch.set_column(number, field.name, batch.column(number).dictionary_decode())
    return batch


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
        BadInput: it is damaged, or would fill memory.
        OSError: as the disk or the network does.
    """
    is_local = isinstance(source, Path)
    name = name or shown(source)
    # Arrow itself opens no path that is not UTF-8.
    with open_regular(source) if isinstance(source, Path) else nullcontext(source) as file:
        with _reading(name, remedy):
            counted = CountedFile(file, name, remedy)
            parquet = pq.ParquetFile(
                counted,
                buffer_size=buffer_size,
                pre_buffer=not (is_local or buffer_size),
                thrift_container_size_limit=_MOST_COLUMNS,
            )
            reader = ParquetReader(parquet, counted, name, remedy, is_local)
        with parquet:
            yield reader


@contextmanager
def _reading(name: str, remedy: str) -> Iterator[None]:
    """Raise BadInput for a damaged file; errors of the disk, the network and memory stay what they are."""
    try:
        yield
    except PARQUET_ERRORS as error:
        is_of_system = isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None)
        if isinstance(error, MemoryError) or is_of_system:
            raise
        raise BadInput(f"{name} can't be read ({cause(error)})", remedy) from None


@contextmanager
def writing_tables(path: Path, schema: pa.Schema, **options: object) -> Iterator[Callable[[pa.Table], None]]:
    """Write a file so that it is either there, whole and on disk, or not at all.

    Yields what writes a table as a row group of at most a million rows. `options` are those of
    `pyarrow.parquet.ParquetWriter`. Raises OSError as the disk does, any error that the block raises, and
    DailytalkError while a person's file is being imported.
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
        path: the file.
        features: its columns.
        groups: the rows of each row group.
        metadata: of the file, beside that of the features.
        audio: the columns of encoded audio of a file that is sent over the network: their `bytes` are stored as
            they are, since they are compressed already, and pages are cut by their content, so that a chunk is
            recognised wherever it moves to. Without any, every column is compressed alike.

    Raises OSError as the disk does.
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
    """Rows in the groups that `write_parquet` takes, each of so many bytes of encoded audio, or a row more.

    `audio`: the columns that hold it. The groups decide what is read for one row. There is no empty group:
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
