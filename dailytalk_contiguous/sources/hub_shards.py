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

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.sources.hub_repository import Repository
from dailytalk_contiguous.sources.listing import AUDIO_SUFFIXES

PARQUET, TAR = ".parquet", ".tar"

#: Column with the name of a WebDataset sample, as `datasets` calls it.
KEY = "__key__"

#: Rows decoded at a time: recordings are large.
_ROWS = 2

#: Bytes of a column that are read at a time.
_BUFFER = 8 * 1024 * 1024

Row = dict[str, Any]


def columns_of(repository: Repository, path: str) -> tuple[list[str], list[str]]:
    """All columns of a shard, and those that hold audio. A WebDataset's are those of its first sample."""
    with _opened(repository, path) as file:
        if path.lower().endswith(PARQUET):
            schema = pq.read_schema(file)
            audio = [name for name, feature in Features.from_arrow_schema(schema).items() if _is_audio(feature)]
            return schema.names, audio
        first, _ = next(_samples(file), ({}, 0))
    return list(first), [name for name in first if _suffix(name) in AUDIO_SUFFIXES]


def rows_of(
    repository: Repository, path: str, columns: Sequence[str], start: int = 0
) -> Iterator[tuple[Row, int]]:
    """The rows of a shard with these columns as far as it has them; those of a WebDataset hold bytes.

    Each comes with the place behind it, from which `start` goes on without reading what was before: a number of
    rows in Parquet (whose row groups are read whole), of bytes in WebDataset.
    """
    with _opened(repository, path) as file:
        if not path.lower().endswith(PARQUET):
            if start and start >= file.seek(0, os.SEEK_END):
                return  # an empty rest is no tar
            file.seek(start)
            for sample, after in _samples(file):
                yield {name: sample.get(name) for name in columns}, start + after
            return
        parquet = pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
        known = [name for name in columns if name in parquet.schema_arrow.names]
        place, groups = _groups_from(parquet.metadata, start)
        for batch in parquet.iter_batches(_ROWS, row_groups=groups, columns=known, use_threads=False):
            if place + len(batch) > start:  # else it lies before the start in its row group
                for number, row in enumerate(pa.Table.from_batches([batch]).to_pylist(), place + 1):
                    if number > start:
                        yield row, number
            place += len(batch)


def _groups_from(metadata: pq.FileMetaData, start: int) -> tuple[int, list[int]]:
    """The row groups from that of row `start` on, and the number of rows before them."""
    before = 0
    for number in range(metadata.num_row_groups):
        n_rows = metadata.row_group(number).num_rows
        if before + n_rows > start:
            return before, list(range(number, metadata.num_row_groups))
        before += n_rows
    return before, []


@contextmanager
def _opened(repository: Repository, path: str) -> Iterator[BinaryIO]:
    repo = repository.reference.repo
    try:
        with HfFileSystem().open(f"datasets/{repo}@{repository.commit}/{path}", "rb") as file:
            yield file
    except (pa.ArrowInvalid, tarfile.TarError) as error:
        raise DailytalkError(f"{path} of {repo} is damaged ({error})", "choose another revision") from error


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
            sample |= {KEY: key, column.lower(): content.read() if content else None}
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    if sample:
        yield sample, end


def _is_audio(feature: Any) -> bool:
    return isinstance(feature, Audio) or (isinstance(feature, dict) and feature.keys() == {"bytes", "path"})


def _suffix(column: str) -> str:
    return PurePosixPath(f"_.{column}").suffix.lower()
