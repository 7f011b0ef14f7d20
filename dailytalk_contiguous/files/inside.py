"""Which file a name in a manifest, a table or a transcript means: one inside the folder that it came with.

Whoever wrote the name may not be whoever runs the command. A name that leads elsewhere, by `..`, as an absolute
path or through a symbolic link, would copy a stranger's choice of our files into a dataset that is to be shared.
"""

import os
import stat
from pathlib import Path

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import BadInput

#: Why a link that leads out of a folder of recordings is not followed, and what to do about it.
LINK_OUT = "it is a symbolic link that leads out of the input"
FOLLOW_LINKS = "copy it into the folder, or pass --follow-links if you trust whoever made the link"


def inside(root: Path, name: str | Path) -> Path:
    """The path of `name` under `root`; whether it exists is for the caller to see.

    Raises BadInput for a name that leads out of `root`, also through a symbolic link, for one that no path can be,
    and for what is there and is no regular file: opening a pipe waits for ever.
    """
    path = root / name
    try:
        leads_out = not is_inside(path, root)
        mode = path.lstat().st_mode if not leads_out else 0
        if stat.S_ISLNK(mode):
            mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can be called so"
        raise BadInput(f"the path {quoted(str(name))} can't be used ({reason})", "correct it") from None
    if leads_out:
        lexical = os.path.normpath(path)
        named = Path(lexical).is_relative_to(os.path.normpath(root))
        how = "is a symbolic link that leads" if named else "leads"
        raise BadInput(f"the path {quoted(str(name))} {how} out of its folder", "copy the file into the folder")
    if not stat.S_ISREG(mode):
        raise BadInput(f"{quoted(str(name))} is not a regular file", "name a file")
    return path


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path is, or is reached through, a symbolic link out of `root`. A loop of links leads nowhere."""
    return path.exists() and not is_inside(path, root)


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, all symbolic links followed, is `root` or under it; a loop of links is where it begins.

    What huggingface_hub downloaded (`REPOSITORY/snapshots/COMMIT` of its cache) has its files in
    `REPOSITORY/blobs`, which belongs to it, unless that is a link itself.
    """
    real, top = os.path.realpath(path), os.path.realpath(root)
    blobs = [str(folder.with_name("blobs")) for folder in Path(top).parents if folder.name == "snapshots"]
    return real == top or any(real.startswith(folder.rstrip(os.sep) + os.sep) for folder in (top, *blobs))
