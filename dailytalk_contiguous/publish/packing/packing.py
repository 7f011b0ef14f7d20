"""From a work folder to the Parquet files of one version, on this disk: everything about a push but the Hub.

First a plan from all columns but the audio (who is in which split and file), then the files, several at once and
each on its own, so that a run that was stopped goes on with the first file that is missing. Threads are enough:
decoding, encoding and hashing let go of the interpreter.
"""

import errno
import hashlib
import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import soundfile

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.published import CONFIGS, SPLITS, features_of
from dailytalk_contiguous.publish.packing.indexing import Finished, Index, index_folder
from dailytalk_contiguous.publish.packing.packed import DataFile, Packed
from dailytalk_contiguous.publish.packing.parquet_files import write_rows
from dailytalk_contiguous.publish.packing.placing import SHARD_BYTES, position, shard_count, shard_of
from dailytalk_contiguous.publish.packing.provenance import Origin, origin
from dailytalk_contiguous.publish.packing.published_rows import OF_CONVERSATIONS
from dailytalk_contiguous.publish.packing.recordings import Recording, recording_rows, recordings, split_of
from dailytalk_contiguous.publish.packing.staging import claim, drop_stale, file_of, keep, refuse_full_disk, staged
from dailytalk_contiguous.publish.rows import Row
from dailytalk_contiguous.publish.splits import Heard, split_three

#: Version of what this code makes of a row; another one packs every file again.
_CODE = 1

#: Called after each file with the file, how many are done, and how many there are.
Progress = Callable[[DataFile, int, int], None]

Member = Finished | Recording


@dataclass(frozen=True)
class _Job:
    """A file to be: its name, config and split, what it is made from, in order, and about how many bytes."""

    name: str
    config: str
    split: str
    members: tuple[Member, ...]
    size: float
    key: str


def pack(
    folder: Path,
    stage: Path,
    *,
    include_source: bool = False,
    splits_before: Mapping[str, str] = {},
    shards_before: Mapping[str, int] = {},
    valid_share: float = 0.05,
    test_share: float = 0.05,
    seed: int = 0,
    shard_bytes: float = SHARD_BYTES,
    source: Mapping[str, Any] | None = None,
    workers: int = 2,
    progress: Progress = lambda file, done, of: None,
) -> Packed:
    """Pack the finished conversations of a work folder into the files of one version.

    Args:
        folder: a work folder with `dataset/` (and `tagged/`, for the recordings).
        stage: where the files go, `CONFIG/SPLIT-00000-of-00004.parquet`; those that stand are not made again.
        include_source: publish the recordings too, as config `source`.
        splits_before: conversation id to its split in the version before.
        shards_before: `CONFIG/SPLIT` to its number of files in the version before.
        valid_share, test_share, seed: as in `splits.split_three`.
        shard_bytes: bytes of a file at most, in the mean.
        source: `repository`, `revision` and `licence` of the recordings; None: what run.json says, if it does.
        workers: files that are made at once.
        progress: called after each file.

    Raises DailytalkError: the folder holds nothing that can be published, a recording is missing or another one
    than was tagged, the disk is too small, or the stage belongs to somebody else.
    """
    index = index_folder(folder)
    claim(stage)
    known = origin(folder, source)
    told = [Heard(one.id, one.kept_speaker, one.recording_id, one.seconds) for one in index.conversations]
    side, disjoint = split_three(told, splits_before, valid_share, test_share, seed)
    found = recordings(folder, index.conversations) if include_source else []
    jobs = list(_jobs(index, found, side, known, shards_before, shard_bytes))
    drop_stale(stage, [job.name for job in jobs])
    done = {job.name: file for job in jobs if (file := staged(stage, job.name, job.key))}
    missing = [job for job in jobs if job.name not in done]
    refuse_full_disk(stage, sum(job.size for job in missing))
    for number, file in enumerate(done.values(), 1):
        progress(file, number, len(jobs))
    try:
        # Closed at once, whatever is raised here: a traceback would keep it, and its threads, alive.
        with closing(_made(missing, stage, index, known, workers)) as files:
            for file in files:
                done[file.name] = file
                progress(file, len(done), len(jobs))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DailytalkError(
            f"the disk of {stage} is full", "make room and push again: what is packed already stays"
        ) from None
    return Packed(tuple(done[name] for name in sorted(done)), index.sample_rate, disjoint, index.rejects)


def _jobs(
    index: Index,
    found: Iterable[Recording],
    side: dict[str, str],
    known: Origin,
    before: Mapping[str, int],
    shard_bytes: float,
) -> Iterator[_Job]:
    """The files of a version. A split without rows has none: `datasets` fails on one."""
    parts: dict[tuple[str, str], list[Member]] = {}
    for one in index.conversations:
        parts.setdefault(("conversations", side[one.id]), []).append(one)
        if one.heard:
            parts.setdefault(("utterances", side[one.id]), []).append(one)
    for recording in found:
        parts.setdefault(("source", split_of(recording, side)), []).append(recording)
    for config, split in ((config, split) for config in CONFIGS for split in SPLITS):
        members = parts.get((config, split))
        if members:
            yield from _jobs_of(config, split, members, index, known, before.get(f"{config}/{split}"), shard_bytes)


def _jobs_of(
    config: str,
    split: str,
    members: Sequence[Member],
    index: Index,
    known: Origin,
    before: int | None,
    shard_bytes: float,
) -> Iterator[_Job]:
    sizes = {one.id: _size(one, config, index.bytes_per_second) for one in members}
    count = shard_count(sizes, sum(sizes.values()), before, shard_bytes)
    shards: list[list[Member]] = [[] for _ in range(count)]
    for one in sorted(members, key=lambda one: (position(one.id), one.id)):
        shards[shard_of(one.id, count)].append(one)
    about = [
        _CODE,
        pa.__version__,
        soundfile.__libsndfile_version__,
        str(features_of(config, index.sample_rate)),
        asdict(known),
    ]
    for number, shard in enumerate(shards):
        own = [[one.id, one.identity, one.parts] if isinstance(one, Recording) else one.digest for one in shard]
        key = hashlib.sha256(json.dumps([about, own]).encode()).hexdigest()
        size = sum(sizes[one.id] for one in shard)
        yield _Job(file_of(config, split, number, count), config, split, tuple(shard), size, key)


def _size(one: Member, config: str, bytes_per_second: float) -> float:
    """About the bytes of a member's rows. One speaker of two takes most of a second's bytes, so counts as both."""
    if isinstance(one, Recording):
        return one.size
    return bytes_per_second * (one.seconds if config == "conversations" else one.heard_seconds)


def _made(
    jobs: Sequence[_Job], stage: Path, index: Index, known: Origin, workers: int
) -> Generator[DataFile, None, None]:
    """Make files, several at once, and yield each when it is on disk; what fails or interrupts one stops all."""
    stopped = threading.Event()

    def make(job: _Job) -> DataFile:
        path = stage / job.name
        written = write_rows(path, features_of(job.config, index.sample_rate), _rows(job, known, stopped))
        with path.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        file = DataFile(job.name, path, job.config, job.split, sha256, path.stat().st_size, *written)
        keep(file, job.key)
        return file

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(make, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _rows(job: _Job, known: Origin, stopped: threading.Event) -> Iterator[tuple[Row, float]]:
    for one in job.members:
        if stopped.is_set():
            raise InterruptedError("packing was stopped")
        if isinstance(one, Recording):
            yield from recording_rows(one, known)
        else:
            yield from OF_CONVERSATIONS[job.config](one, known)
