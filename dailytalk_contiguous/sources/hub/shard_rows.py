"""The rows of one shard on the Hub, Parquet or WebDataset, read over the network without a copy of the shard.

Read with pyarrow and tarfile, and not with `load_dataset(streaming=True)`: that may abort the process where it is
left before the end (datasets 5.2 with pyarrow 26; apache/arrow#45214), resumes by reading a shard from its
beginning, loses all of a shard after a damaged row group, and fails on some WebDataset members (see
`sources.hub.webdataset_samples`). Audio is never decoded.
"""

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

import pyarrow as pa
from datasets import Audio, Features
from huggingface_hub import HfFileSystem

from dailytalk_contiguous.core.errors import BadInput, TooLarge
from dailytalk_contiguous.core.quotas import Quota
from dailytalk_contiguous.core.records.schema import STRING, Row
from dailytalk_contiguous.sources.hub.repository import Repository
from dailytalk_contiguous.sources.hub.webdataset_samples import is_audio_column, samples_in
from dailytalk_contiguous.store.parquet import ParquetReader, open_parquet, unpacked_quota

#: The endings of shards of both kinds.
PARQUET = ".parquet"
TAR = ".tar"
TABLE_SUFFIXES = (PARQUET, TAR)

_REMEDY = "choose another revision"

#: Bytes of a column that are read at a time.
_BUFFER = 8 << 20

#: What Arrow and tarfile raise for damage; as OSError they raise its plain class. Damage may ask for all memory.
_DAMAGE = (pa.ArrowException, tarfile.TarError, OSError, MemoryError)


def columns_of(repository: Repository, path: str) -> Features:
    """Return the columns of a shard. A WebDataset has those of its first usable sample, of audio or else of text.

    Raises BadInput for one that is damaged, or has no usable sample.
    """
    name = _shard_name(repository, path)
    problem = None
    try:
        with _opened(repository, path) as file:
            if path.lower().endswith(PARQUET):
                with open_parquet(file, _REMEDY, name, _BUFFER) as parquet:
                    return _features(parquet.schema)
            for sample, _ in samples_in(file, name):
                if not isinstance(sample, BadInput):
                    return Features({column: Audio() if is_audio_column(column) else STRING for column in sample})
                problem = sample
    except _DAMAGE as error:
        raise _damaged(name, error) from error
    if problem:
        raise problem
    return Features({})


def _features(schema: pa.Schema) -> Features:
    try:
        return Features.from_arrow_schema(schema)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # of its metadata
        return Features.from_arrow_schema(schema.remove_metadata())


def rows_of(
    repository: Repository, path: str, columns: Sequence[str], start: int = 0
) -> Iterator[tuple[Row | BadInput, int]]:
    """Yield the rows of a shard with those of the columns that it has; a WebDataset's hold bytes.

    A row that can't be read is a BadInput, and so is all that follows a damaged position of a tar or of a row
    group of Parquet. Each comes with the position after it, at which `start` resumes without reading what was
    before: a number of rows in Parquet (whose row groups are read whole), of bytes in WebDataset.
    """
    name = _shard_name(repository, path)
    shard_bytes = repository.files[path].size
    with _opened(repository, path) as file:
        if path.lower().endswith(PARQUET):
            try:
                with open_parquet(file, _REMEDY, name, _BUFFER) as parquet:
                    quota = unpacked_quota(f"{name}, unpacked,", shard_bytes, _REMEDY)
                    yield from _rows_of_groups(parquet, columns, start, quota)
            except BadInput as problem:
                if not start:  # else it was reported at the start of the shard
                    yield problem, 1
            return
        try:
            for sample, after in samples_in(file, name, start):
                if not isinstance(sample, BadInput):
                    sample = {column: sample.get(column) for column in columns}
                yield sample, start + after
        except _DAMAGE as error:
            yield _damaged(name, error), shard_bytes


#: Rows decoded at a time: recordings are large.
_ROWS = 2


def _rows_of_groups(
    parquet: ParquetReader, columns: Sequence[str], start: int, quota: Quota
) -> Iterator[tuple[Row | BadInput, int]]:
    """Yield the rows after `start`; a BadInput for the rest of a row group, or of a shard that is too large."""
    present = [name for name in columns if name in parquet.schema.names]
    number = 0
    for group, size in enumerate(parquet.group_sizes):
        end = number + size
        try:
            batches = parquet.batches(present, [group], _ROWS) if end > start else ()
            for batch in batches:
                quota.take(batch.nbytes)
                for index in range(len(batch)):
                    number += 1
                    if number > start:
                        yield _row(batch, index), number
        except BadInput as problem:
            if quota.is_exceeded or isinstance(problem, TooLarge):
                yield problem, sum(parquet.group_sizes)
                return
            yield problem, end
        number = end


def _shard_name(repository: Repository, path: str) -> str:
    return f"{path} of {repository.reference.repo}"


def _row(batch: pa.RecordBatch, index: int) -> Row | BadInput:
    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[index].as_py()
        except (ValueError, OverflowError) as error:  # text that is not UTF-8; a date that Python has not
            return BadInput(f"its {name} can't be read ({error})", "correct the row, and publish it again")
    return row


def _damaged(name: str, error: Exception) -> BadInput:
    """Why nothing more can be read. Raises `error` again if it is of the network or the disk."""
    if isinstance(error, MemoryError):
        return TooLarge.for_input(name)
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        raise error
    message = str(error) or type(error).__name__
    return BadInput(f"{name} is damaged from here on ({message.splitlines()[0]})", _REMEDY)


def _opened(repository: Repository, path: str) -> AbstractContextManager[BinaryIO]:
    path = f"datasets/{repository.reference.repo}@{repository.commit}/{path}"
    opened: AbstractContextManager[BinaryIO] = HfFileSystem().open(path, "rb")
    return opened
