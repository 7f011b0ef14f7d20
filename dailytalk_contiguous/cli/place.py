"""What a command was given to read: a folder of this machine first, else a dataset on the Hub; and recordings."""

import os
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.published import CONFIGS
from dailytalk_contiguous.core.reference import Reference, parse_reference
from dailytalk_contiguous.engine.outputs import RECORDINGS, read_run
from dailytalk_contiguous.engine.storage import fetched
from dailytalk_contiguous.engine.tagging import TAGGED
from dailytalk_contiguous.publish.version import Version, open_version
from dailytalk_contiguous.sources.recorded import some_gone
from dailytalk_contiguous.sources.remote_files import Mirror, fetch_inputs, input_mirror


def place(given: str, revision: str | None) -> Path | Version:
    """A path of this machine (a store's folder is copied), or a version: on the Hub, or downloaded.

    Args:
        given: a path that is there, else `OWNER/NAME` or `OWNER/NAME@REVISION`. What is neither is a path.
        revision: of `--revision`.

    Raises:
        DailytalkError: a revision is given twice or for a path, or the version can't be opened.
    """
    path = fetched(Path(given))
    named = None if path.exists() else parse_reference(given)
    if named is None:
        if revision is not None:
            raise DailytalkError(f"--revision {revision!r} goes with a dataset on the Hub only", "leave it out")
        return _downloaded(path) or path
    if revision is not None and named.revision is not None:
        raise DailytalkError(f"{given} names a revision, and so does --revision {revision!r}", "give one of them")
    try:
        return open_version(Reference(named.repo, revision or named.revision))
    except DailytalkError as problem:
        raise DailytalkError(f"there is no folder {given!r} here, and {problem.reason}", problem.remedy) from None


def recordings_of(given: Path | None, folder: Path) -> tuple[Path | None, tuple[Mirror, ...]]:
    """Where the recordings of a work folder are looked for beside their old place, and the mirrors they lie in.

    `given`: of `--recordings`. Without it those that `tag` read from a store are fetched once more where they are
    gone: the transcript may have been made on another machine.
    """
    if given is not None:
        (place,), mirrors = fetch_inputs([str(given)])
        return Path(place), mirrors
    addresses = (read_run(folder) or {}).get(RECORDINGS, [])
    if not addresses:
        return None, ()
    mirrors = tuple(input_mirror(address)[0] for address in addresses)
    if some_gone(folder / TAGGED):
        mirrors = fetch_inputs(addresses)[1]
    return Path(os.path.commonpath([mirror.folder for mirror in mirrors])), mirrors


def _downloaded(path: Path) -> Version | None:
    """The repository that lies in a folder, if it is one of ours."""
    version = open_version(path) if path.is_dir() else None
    return version if version and CONFIGS[0] in version.configs() else None
