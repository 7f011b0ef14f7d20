"""The error of a full disk, and its sentence with the folder and the remedy.

The error of a failed write names no file, so the code that writes adds the name (`name_file`).
"""

import errno
import os
from pathlib import Path

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError

#: Errors of a write that gets no room: the disk is full, a quota is used up, or the disk takes no file so large.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def name_file(error: OSError, path: str | Path) -> None:
    """Give the error of a full disk the name of a file or folder on it, unless it has one.

    Other errors are left as they are.
    """
    if error.errno in _NO_ROOM and error.filename is None:
        error.filename = os.fspath(path)


def full_disk(error: BaseException | None) -> DailytalkError | None:
    """Return the error of a full disk as a sentence with its folder and a remedy; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in _NO_ROOM:
        return None
    again = "and run the same command again"
    if error.filename is None:
        reason = f"a disk has no room left ({error.strerror})"
        return DailytalkError(reason, f"make room for the output, the caches and temporary files, {again}")
    written = error.filename2 or error.filename  # a copy writes the second
    path = Path(os.fsdecode(written))
    folder = path if path.is_dir() else path.parent
    reason = f"{as_text(folder)!r} has no room left ({error.strerror})"
    return DailytalkError(reason, f"make room there, or name a folder on another disk, {again}")
