"""The folder in which a version waits to be sent: files that are done stay, so that no run packs them twice.

Beside each file lies a small record of what it was made from. A file with another record, or with none, was made
of something else or by a run that died, and is made again; a folder that holds anything of somebody else's is
refused before a byte is written.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dailytalk_contiguous.core.documents import expect, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.published import CONFIGS, SPLITS
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.writing import write_text
from dailytalk_contiguous.publish.packing.packed import DataFile

#: Name of the file that marks a folder as ours.
MARK = ".dailytalk-stage"

_DATA = re.compile(rf"({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")

#: Bytes that are left free on the disk beside what is written: the footers of files, and everybody else.
_SPARE = 200_000_000


def claim(stage: Path) -> None:
    """Make a folder the stage. Raises DailytalkError if it holds what no push wrote, or is a file."""
    if not (stage / MARK).is_file():
        if stage.exists() and (not stage.is_dir() or any(stage.iterdir())):
            raise DailytalkError(
                f"{stage} is there already and no stage of a push", "choose another folder, or empty this one"
            )
        write_text(stage / MARK, "Files of a version that waits to be pushed. Can be deleted at any time.\n")


@contextmanager
def alone(stage: Path) -> Iterator[None]:
    """Hold a stage for this process: two pushes would pack into, and remove, each other's files.

    Raises DailytalkError while another process holds it. A lock ends with its process, however that ends.
    """
    lock = FileLock(stage.with_name(f"{stage.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DailytalkError(
            f"another dailytalk push works on {str(stage.parent)!r}", "wait until it is done, and run this again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def file_of(config: str, split: str, number: int, count: int) -> str:
    """Name in the repository of file `number` of `count`, as `Dataset.push_to_hub` writes it."""
    return f"{config}/{split}-{number:05d}-of-{count:05d}.parquet"


_KEPT = {"key": str, "sha256": str, "size": int, "rows": int, "seconds": float}


def staged(stage: Path, name: str, key: str) -> DataFile | None:
    """The file of a name, if it is there and was made from what `key` stands for."""
    try:
        path = inside(stage, name)
        told = expect(read_json(inside(stage, _record(Path(name)))), _KEPT, path.name)
        if told["key"] != key or path.stat().st_size != told["size"]:
            return None
    except (BadInput, FileNotFoundError):  # not there, or damaged: it is made again
        return None
    config, split = name.split("/")[0], path.name.split("-")[0]
    return DataFile(name, path, config, split, told["sha256"], told["size"], told["rows"], told["seconds"])


def keep(file: DataFile, key: str) -> None:
    """Note what a file was made from. It must be whole and on disk by then."""
    told = {
        "key": key,
        "sha256": file.sha256,
        "size": file.size,
        "rows": file.rows,
        "seconds": file.seconds,
    }
    write_text(_record(file.path), json.dumps(told) + "\n")


def drop_stale(stage: Path, names: Iterable[str]) -> None:
    """Remove data files that are not among `names`, and what killed runs left half written."""
    wanted = {stage / name for name in names}
    for config in CONFIGS:
        for path in [*(stage / config).glob("*.parquet"), *(stage / config).glob(".*.tmp")]:
            if path.suffix == ".tmp" or (_DATA.fullmatch(path.name) and path not in wanted):
                _record(path).unlink(missing_ok=True)
                path.unlink(missing_ok=True)


def refuse_full_disk(stage: Path, needed: float) -> None:
    """Raise DailytalkError if `needed` bytes do not fit where the stage lies."""
    free = shutil.disk_usage(stage).free
    if needed and needed + _SPARE > free:
        raise DailytalkError(
            f"packing needs about {(needed + _SPARE) / 1e9:.1f} GB in {stage}, and {free / 1e9:.1f} GB are free",
            "make room, or name a folder on another disk",
        )


def _record(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")
