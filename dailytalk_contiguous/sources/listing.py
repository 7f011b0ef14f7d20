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

    Args:
        inputs: files or folders (searched at any depth, through links; names that begin with a dot are hidden).
        exclude: a folder that is not searched, such as the one that results are written to.

    Raises:
        DailytalkError: an input does not exist.
    """
    given = [Path(one) for one in inputs]
    for path in given:
        if not path.exists():
            raise DailytalkError(f"the input {_text(path)!r} does not exist", "check the path")
    root = _root(given)
    paths = {path: None for one in given for path in ([one] if one.is_file() else _walk(one, exclude))}
    names = {path: _text(Path(os.path.relpath(path, root))) for path in paths}
    stems = Counter(_stem(name) for name in names.values())
    found = [
        Recording(path, name, _stem(name) if stems[_stem(name)] == 1 else name) for path, name in names.items()
    ]
    return sorted(found, key=lambda recording: recording.audio_file)


def _root(given: Sequence[Path]) -> Path:
    """The folder that names are relative to: the only folder given, or what all inputs have in common."""
    if len(given) == 1:
        return given[0] if given[0].is_dir() else given[0].parent
    return Path(os.path.commonpath([path.resolve() if path.is_dir() else path.resolve().parent for path in given]))


def _walk(folder: Path, exclude: Path | None) -> Iterator[Path]:
    barred = {os.path.realpath(exclude)} if exclude else set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in barred:
            folders.clear()
            continue
        barred.add(real)  # a link that leads back up would be walked for ever
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Path(parent, name)


def _text(path: Path) -> str:
    """A path as text with forward slashes; bytes that are not UTF-8 are shown as `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace(os.sep, "/")


def _stem(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + (last.rpartition(".")[0] or last)
