"""Opening of regular files alone: a read of a pipe may wait for ever, and a device may have no end."""

import stat
from pathlib import Path
from typing import BinaryIO

from dailytalk_contiguous.core.errors import BadInput

#: What is wrong with anything else, and what to do about it.
NO_FILE = "it is a pipe, a socket or a device, not a file"
SAVE_IT = "save what it holds as a file, or take it out of the folder"


def open_regular(path: Path, prefix: str = "") -> BinaryIO:
    """Open a file for reading its bytes.

    Raises BadInput, whose sentence begins with `prefix`, for anything but a file or a folder, and OSError.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder, the system's own message
        raise BadInput(prefix + NO_FILE, SAVE_IT)
    return path.open("rb")
