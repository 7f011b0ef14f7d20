"""Writing files so that a reader, or the next run after a power cut, sees the old one or the new one, whole."""

import json
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a file under a temporary name beside `path`, flush it to disk, and rename it.

    The temporary name begins with a dot, so that nothing that lists the folder takes it for a result. It is
    removed if writing fails. Raises OSError as the disk does (full, read-only).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never longer than 178 bytes: a name that the disk takes must not fail for the temporary one.
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """`write_atomically` for text, as UTF-8."""
    write_lines(path, [text])


def write_bytes(path: Path, data: bytes) -> None:
    """`write_atomically` for bytes."""

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_atomically(path, write)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """`write_atomically` for pieces of text, one after another as they come, as UTF-8."""

    def write(file: BinaryIO) -> None:
        file.writelines(line.encode("utf-8") for line in lines)

    write_atomically(path, write)


def json_text(value: object) -> str:
    """A value as one line of JSON with its line break; what is no number is refused."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system knows how (Windows does not)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
