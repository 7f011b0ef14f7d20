"""Rows of one shard on the Hub, Parquet or WebDataset, read over the network without a copy of the shard.

Read with pyarrow and tarfile, and not with `load_dataset(streaming=True)`: that reads all columns to get at one,
fails on WebDataset members in Moshi's JSON (lists of mixed types are no Arrow type), and may abort the process
where it is left before the end (apache/arrow#45214). Audio is never decoded.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Audio, Features
from huggingface_hub import HfFileSystem

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.hub_repository import Repository
from dailytalk_contiguous.sources.listing import AUDIO_SUFFIXES, LARGEST

PARQUET, TAR = ".parquet", ".tar"

#: Column with the name of a WebDataset sample, as `datasets` calls it.
KEY = "__key__"

#: Rows decoded at a time: recordings are large.
_ROWS = 2

#: Bytes of a column that are read at a time.
_BUFFER = 8 << 20

#: What Arrow and tarfile raise for damage; as OSError they raise its plain class.
_DAMAGE = (pa.ArrowException, tarfile.TarError, OSError)

Row = dict[str, Any]


def columns_of(repository: Repository, path: str) -> tuple[list[str], list[str]]:
    """All columns of a shard, and those that hold audio. A WebDataset's are those of its first sample.

    Raises BadInput for one that is damaged.
    """
    try:
        with _opened(repository, path) as file:
            if path.lower().endswith(PARQUET):
                schema = pq.read_schema(file)
                return schema.names, [name for name, feature in _features(schema).items() if _is_audio(feature)]
            first, _ = next(_samples(file), ({}, 0))
    except _DAMAGE as error:
        raise _damaged(repository, path, error) from error
    return list(first), [name for name in first if _suffix(name) in AUDIO_SUFFIXES]


def rows_of(
    repository: Repository, path: str, columns: Sequence[str], start: int = 0
) -> Iterator[tuple[Row | BadInput, int]]:
    """The rows of a shard with these columns as far as it has them; those of a WebDataset hold bytes.

    A row that can't be read is the BadInput that says why, as is all that is left of a tar, or of a row group of
    Parquet, from where it is damaged on.

    Each comes with the place behind it, from which `start` goes on without reading what was before: a number of
    rows in Parquet (whose row groups are read whole), of bytes in WebDataset.
    """
    with _opened(repository, path) as file:
        if path.lower().endswith(PARQUET):
            yield from _parquet_rows(repository, path, file, columns, start)
            return
        size = file.seek(0, os.SEEK_END)
        if start and start >= size:
            return  # an empty rest is no tar
        file.seek(start)
        try:
            for sample, after in _samples(file):
                bad = next((value for value in sample.values() if isinstance(value, BadInput)), None)
                yield bad or {name: sample.get(name) for name in columns}, start + after
        except _DAMAGE as error:
            yield _damaged(repository, path, error), size


def _parquet_rows(
    repository: Repository, path: str, file: BinaryIO, columns: Sequence[str], start: int
) -> Iterator[tuple[Row | BadInput, int]]:
    try:
        parquet = pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
        known = [name for name in columns if name in parquet.schema_arrow.names]
        sizes = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
    except _DAMAGE as error:
        if not start:  # else it was said when the shard was begun
            yield _damaged(repository, path, error), 1
        return
    place = 0
    for group, size in enumerate(sizes):
        end = place + size
        try:
            batches = parquet.iter_batches(_ROWS, row_groups=[group], columns=known, use_threads=False)
            for batch in batches if end > start else ():
                for number in range(place + 1, place + len(batch) + 1):
                    if number > start:
                        yield _row(batch, number - place - 1), number
                place += len(batch)
        except _DAMAGE as error:
            yield _damaged(repository, path, error), end
        place = end


def _row(batch: pa.RecordBatch, number: int) -> Row | BadInput:
    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[number].as_py()
        except (ValueError, OverflowError) as error:  # text that is not UTF-8; a date that Python has not
            return BadInput(f"its {name} can't be read ({error})", "correct the row, and publish it again")
    return row


def _damaged(repository: Repository, path: str, error: Exception) -> BadInput:
    """Why the rest can't be read. Raises `error` again if it is of the network or the disk."""
    if (isinstance(error, OSError) and type(error) is not OSError) or getattr(error, "errno", None) is not None:
        raise error
    cause = (str(error) or type(error).__name__).splitlines()[0]
    return BadInput(
        f"{path} of {repository.reference.repo} is damaged from here on ({cause})", "choose another revision"
    )


@contextmanager
def _opened(repository: Repository, path: str) -> Iterator[BinaryIO]:
    with HfFileSystem().open(f"datasets/{repository.reference.repo}@{repository.commit}/{path}", "rb") as file:
        yield file


def _features(schema: pa.Schema) -> Features:
    """The columns as `datasets` has them; without what the schema's metadata say of them if that is damaged."""
    try:
        return Features.from_arrow_schema(schema)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Features.from_arrow_schema(schema.remove_metadata())


def _samples(file: BinaryIO) -> Iterator[tuple[Row, int]]:
    """Members of a tar that share a name up to its first dot, as WebDataset has it. With the bytes read."""
    sample: Row = {}
    end = 0
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            folder, slash, name = member.name.rpartition("/")
            stem, dot, column = name.partition(".")
            if not member.isfile() or not stem or not dot:
                continue
            key = folder + slash + stem
            if sample and sample[KEY] != key:
                yield sample, end
                sample = {}
            content = tar.extractfile(member)
            if content is None or member.size > LARGEST:  # a sparse one takes no room in the tar
                size = f"{member.size / 1e9:.1f} GB, and {LARGEST / 1e9:g} GB are read at most"
                value: bytes | BadInput = BadInput(f"its {column} has {size}", "publish it in shorter parts")
            else:
                value = content.read()
            sample |= {KEY: key, column.lower(): value}
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    if sample:
        yield sample, end


def _is_audio(feature: Any) -> bool:
    return isinstance(feature, Audio) or (isinstance(feature, dict) and feature.keys() == {"bytes", "path"})


def _suffix(column: str) -> str:
    return PurePosixPath(f"_.{column}").suffix.lower()
