"""Which files of the inputs are recordings, in which order, and under which names they go through the pipeline.

A recording's name is its path under the input, without the ending where that is unambiguous. So two files of
one name in different folders stay apart, and a dataset made from a moved folder keeps its names.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.sources.naming import identities

#: What libsndfile reads, and what ffmpeg may read. Other files in a folder are no recordings.
AUDIO_SUFFIXES = frozenset(
    """
    .wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64
    .m4a .m4b .aac .wma .amr .ac3 .mka .mp4 .m4v .mov .mkv .webm .avi
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)


class Recording(NamedTuple):
    """A file to read: where it is, its path under the input as text, and its name without the ending."""

    path: Path
    audio_file: str
    recording_id: str


def find_recordings(inputs: Sequence[str | Path], exclude: Path | None = None) -> list[Recording]:
    """All recordings of the given files and folders, sorted by name. Files named outright are always taken.

    What is called like a recording is one here, be it a pipe or a link to nowhere; so is a folder inside an input
    that can't be searched. Whoever reads them finds out, and says so.

    Args:
        inputs: files or folders (searched at any depth, through links; names that begin with a dot are hidden).
        exclude: a folder that is not searched, such as the one that results are written to.

    Raises:
        DailytalkError: an input does not exist, or two names differ only in how bytes that are no UTF-8 are shown.
    """
    given = [Path(one) for one in inputs]
    for path in given:
        try:
            path.stat()
        except OSError as error:
            why = "does not exist" if isinstance(error, FileNotFoundError) else f"can't be read ({error.strerror})"
            raise DailytalkError(f"the input {as_text(path)!r} {why}", "check the path") from None
    paths = dict(_relative(given, exclude))
    names = {path: as_text(relative) for relative, path in paths.items()}
    counts = Counter(names.values())
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DailytalkError(f"two recordings are both shown as {twice[0]!r}", "rename one of them")
    called = identities(names.values())
    found = [Recording(path, name, called[name]) for path, name in names.items()]
    return sorted(found, key=lambda recording: recording.audio_file)


def _relative(given: Sequence[Path], exclude: Path | None) -> Iterator[tuple[Path, Path]]:
    """Every recording by its path under the only folder given, or under what all inputs have in common."""
    tops = [path if path.is_dir() else path.parent for path in given]
    bases = [os.path.realpath(top) for top in tops]
    root = os.path.commonpath(bases) if bases else ""
    for one, top, base in zip(given, tops, bases, strict=True):
        for path in _walk(one, exclude) if one.is_dir() else [one]:
            yield Path(os.path.relpath(base, root), path.relative_to(top)), path


def _walk(folder: Path, exclude: Path | None) -> Iterator[Path]:
    barred = {os.path.realpath(exclude)} if exclude else set()
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append, followlinks=True):
        real = os.path.realpath(parent)
        if real in barred:
            folders.clear()
            continue
        barred.add(real)  # a link that leads back up would be walked for ever
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Path(parent, name)
    yield from (Path(error.filename) for error in unreadable)


def as_text(path: str | Path) -> str:
    """A path as text that any file and terminal takes: with forward slashes, and `\\xff` for what is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace(os.sep, "/")
