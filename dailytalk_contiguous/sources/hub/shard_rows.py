"""The rows of one shard on the Hub, Parquet or WebDataset, read over the network without a copy of the shard.

Read with pyarrow and tarfile, and not with `load_dataset(streaming=True)`: that may abort the process where it is
left before the end (datasets 5.2 with pyarrow 26; apache/arrow#45214), resumes by reading a shard from its
beginning, loses all of a shard after a damaged row group, and fails on some WebDataset members (see
`sources.hub.webdataset_samples`). Audio is never decoded.
"""

import os
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

#: What Arrow and tarfile raise for damage; as OSError they raise its plain class. Damage may ask for all memory.
_DAMAGE = (pa.ArrowException, tarfile.TarError, OSError, MemoryError)


def columns_of(repository: Repository, path: str) -> Features:
    """Return the columns of a shard. A WebDataset has those of its first usable sample, of audio or else of text.

    Raises BadInput for one that is damaged, or has no usable sample.
    """
    problem = None
    try:
        with _opened(repository, path) as file:
            if path.lower().endswith(PARQUET):
                with _parquet(repository, path, file) as parquet:
                    return _features(parquet.schema)
            for sample, _ in samples_in(file, _shard_name(repository, path)):
                problem = _problem_of(sample)
                if problem is None:
                    return Features({name: Audio() if is_audio_column(name) else STRING for name in sample})
    except _DAMAGE as error:
        raise _damaged(repository, path, error) from error
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
    """Yield the rows of a shard with these columns as far as it has them; those of a WebDataset hold bytes.

    In place of a row that can't be read there is a BadInput that says why; one BadInput stands for everything
    after a damaged position of a tar or of a row group of Parquet.

    Each comes with the position after it, at which `start` resumes without reading what was before: a number of
    rows in Parquet (whose row groups are read whole), of bytes in WebDataset.
    """
    with _opened(repository, path) as file:
        if path.lower().endswith(PARQUET):
            try:
                with _parquet(repository, path, file) as parquet:
                    subject = f"{_shard_name(repository, path)}, unpacked,"
                    quota = unpacked_quota(subject, repository.files[path].size, _REMEDY)
                    yield from _rows_of_groups(parquet, columns, start, quota)
            except BadInput as problem:
                if not start:  # else it was reported at the start of the shard
                    yield problem, 1
            return
        size = file.seek(0, os.SEEK_END)
        if start and start >= size:
            return  # what is left is empty, and no tar
        file.seek(start)
        try:
            for sample, after in samples_in(file, _shard_name(repository, path)):
                row = {name: sample.get(name) for name in columns}
                yield _problem_of(sample) or row, start + after
        except _DAMAGE as error:
            yield _damaged(repository, path, error), size


#: Rows decoded at a time: recordings are large.
_ROWS = 2


def _rows_of_groups(
    parquet: ParquetReader, columns: Sequence[str], start: int, quota: Quota
) -> Iterator[tuple[Row | BadInput, int]]:
    """Yield the rows after `start`; a BadInput for the rest of a row group, or of a shard that is too large."""
    present = [name for name in columns if name in parquet.schema.names]
    n_before = 0
    for group, size in enumerate(parquet.group_sizes):
        end = n_before + size
        try:
            batches = parquet.batches(present, [group], _ROWS) if end > start else ()
            for batch in batches:
                quota.take(batch.nbytes)
                for index in range(len(batch)):
                    number = n_before + index + 1
                    if number > start:
                        yield _row(batch, index), number
                n_before += len(batch)
        except BadInput as problem:
            if quota.is_exceeded or isinstance(problem, TooLarge):
                yield problem, sum(parquet.group_sizes)
                return
            yield problem, end
        n_before = end


def _problem_of(sample: Row) -> BadInput | None:
    problems = [value for value in sample.values() if isinstance(value, BadInput)]
    return problems[0] if problems else None


def _shard_name(repository: Repository, path: str) -> str:
    return f"{path} of {repository.reference.repo}"


#: Bytes of a column that are read at a time.
_BUFFER = 8 << 20


def _parquet(repository: Repository, path: str, file: BinaryIO) -> AbstractContextManager[ParquetReader]:
    return open_parquet(file, _REMEDY, _shard_name(repository, path), _BUFFER)


def _row(batch: pa.RecordBatch, index: int) -> Row | BadInput:
    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[index].as_py()
        except (ValueError, OverflowError) as error:  # text that is not UTF-8; a date that Python has not
            return BadInput(f"its {name} can't be read ({error})", "correct the row, and publish it again")
    return row


def _damaged(repository: Repository, path: str, error: Exception) -> BadInput:
    """Why nothing more can be read. Raises `error` again if it is of the network or the disk."""
    if isinstance(error, MemoryError):
        return TooLarge.for_input(_shard_name(repository, path))
    is_plain = not isinstance(error, OSError) or type(error) is OSError
    if not is_plain or getattr(error, "errno", None) is not None:
        raise error
    message = str(error) or type(error).__name__
    reason = f"{_shard_name(repository, path)} is damaged from here on ({message.splitlines()[0]})"
    return BadInput(reason, _REMEDY)


def _opened(repository: Repository, path: str) -> AbstractContextManager[BinaryIO]:
    path = f"datasets/{repository.reference.repo}@{repository.commit}/{path}"
    opened: AbstractContextManager[BinaryIO] = HfFileSystem().open(path, "rb")
    return opened
