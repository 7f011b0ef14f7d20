"""Recognising a file that has not changed since it was read, without opening it."""

import os
import time
from pathlib import Path

#: Nanoseconds after a change in which a file may change again without a new time: FAT counts two seconds.
SETTLING = 2_000_000_000


def settled_stamp(path: Path, since: int | None = None) -> str:
    """Return a text that changes whenever a file does: its size, its number on the disk, and both of its times.

    It is empty for a file that changed less than two seconds before `since` (nanoseconds since 1970; by default
    now), or later, and where the system does not say when a file changed. Take it before the file is read. Raises
    OSError.
    """
    status = path.stat()
    before = (time.time_ns() if since is None else since) - SETTLING
    if os.name != "posix" or status.st_ctime_ns > before:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
