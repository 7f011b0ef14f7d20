"""The errors of a full disk and of a folder that can't be written to, as sentences with the folder and the remedy.

The error of a failed write names no file, so the code that writes adds the name (`name_file`).
"""

import errno
import os
from pathlib import Path

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError

#: Errors of a write that gets no room: the disk is full, a quota is used up, or the disk takes no file so large.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: Errors of a path at which this user may not write: no permission, a read-only disk, a file or a loop on the way.
_NO_WAY = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP)


def name_file(error: OSError, path: str | Path) -> None:
    """Give the error of a full disk the name of a file or folder on it, unless it has one.

    Other errors are left as they are.
    """
    if error.errno in _NO_ROOM and error.filename is None:
        error.filename = os.fspath(path)


def disk_problem(error: BaseException | None) -> DailytalkError | None:
    """Return the error of a full disk, or of a path that is closed to this user, as a sentence; else None."""
    if not isinstance(error, OSError):
        return None
    if error.errno in _NO_WAY and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
        reason = f"{as_text(path)!r} can't be opened or written ({error.strerror})"
        return DailytalkError(reason, "name another folder, or see that you may read and write there")
    if error.errno not in _NO_ROOM:
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
