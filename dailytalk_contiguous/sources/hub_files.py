"""Repositories on the Hub that hold audio files: one file a recording, with its transcript beside it or not.

Such are `kyutai/DailyTalkContiguous` (`data_stereo/NAME.wav` and `NAME.json`) and AudioFolder. The files stay in
the Hub's own cache, which other programs share, and are used from there as a local folder would be.
"""

import contextlib
import os
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from huggingface_hub import try_to_load_from_cache

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.files.owned_folder import RECORD
from dailytalk_contiguous.sources.hub_errors import hub_errors
from dailytalk_contiguous.sources.hub_repository import Repository, download, modified_of
from dailytalk_contiguous.sources.listing import AUDIO_SUFFIXES
from dailytalk_contiguous.sources.pairs import common_name
from dailytalk_contiguous.sources.transcripts import is_shared, stems_of

#: Recordings that are fetched together, and how many files at a time: the Hub's own client takes as many.
_TOGETHER, _AT_A_TIME = 32, 8


def audio_files(paths: Iterable[str]) -> list[str]:
    """The recordings among paths of a repository, sorted, without hidden ones and those in `made_folders`."""
    names = set(paths)
    made = set(made_folders(names))
    return sorted(
        path
        for path in names
        if PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES
        and not any(map(_hidden, path.split("/")))
        and made.isdisjoint(f"{parent}/" for parent in PurePosixPath(path).parents)
    )


def made_folders(paths: Collection[str]) -> list[str]:
    """Folders among paths of a repository that we made, ending in `/`; none if we made all of it."""
    marks = [path for path in paths if path.endswith(f"/{RECORD}")]
    return [] if RECORD in paths else sorted(mark.removesuffix(RECORD) for mark in marks)


def companions(recordings: Iterable[str], paths: Iterable[str]) -> dict[str, list[str]]:
    """For each recording, the files beside it that `sources.transcripts` may read as its transcript."""
    wanted: dict[tuple[str, str], list[str]] = {}
    recordings = list(recordings)
    for path in recordings:
        for place in _places(path):
            wanted[place] = []
    whole: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        folder, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
        stem = next((stem for stem in stems_of(name) if (folder, stem) in wanted), None)
        if stem is not None:
            wanted[folder, stem].append(path)
        elif is_shared(name, ""):
            whole[folder].append(path)
    return {
        path: [name for place in _places(path) for name in wanted[place]] + whole[_place(path)[0]]
        for path in recordings
    }


def fetch_files(repository: Repository) -> Iterator[tuple[Path, Path]]:
    """Fetch the recordings, several at a time, and yield each with the folder that its name is told from."""
    recordings = chosen(repository)
    beside = companions(recordings, repository.files)
    with hub_errors(repository.reference), ThreadPoolExecutor(_AT_A_TIME) as pool:
        for first in range(0, len(recordings), _TOGETHER):
            own = recordings[first : first + _TOGETHER]
            needed = list(dict.fromkeys(path for name in own for path in (name, *beside[name])))
            local = dict(zip(needed, pool.map(lambda path: fetch_file(repository, path), needed), strict=True))
            for path in own:
                yield local[path], _folder(local[path], path, repository.choice.split)


def missing_files(repository: Repository) -> list[str]:
    """Files that `fetch_files` would have to download."""
    recordings = chosen(repository)
    beside = companions(recordings, repository.files)
    needed = dict.fromkeys(path for name in recordings for path in (name, *beside[name]))
    return [path for path in needed if not _is_here(repository, path)]


def chosen(repository: Repository) -> list[str]:
    """The recordings that the choice asks for. Raises DailytalkError if there are none."""
    choice, found = repository.choice, audio_files(repository.files)
    of_tables = [option for option in choice.options() if option != "--split"]
    if of_tables:
        raise DailytalkError(
            f"{repository.reference.repo} holds audio files and no tables, so {of_tables[0]} means nothing there",
            "leave it out",
        )
    wanted = [path for path in found if not choice.split or choice.split in path.split("/")[:-1]]
    if not wanted:
        folders = sorted({part for path in found for part in path.split("/")[:-1]})
        raise DailytalkError(
            f"{repository.reference.repo} has no folder {choice.split!r} with audio files",
            f"choose --split from {', '.join(folders)}" if folders else "leave --split out",
        )
    return wanted


def _folder(local: Path, path: str, split: str) -> Path:
    """The folder of the repository, or of the split in it, that a fetched file lies in."""
    return local.parents[len(path.split("/")) - 1 - _depth(path, split)]


def _depth(path: str, split: str) -> int:
    """Parts of a path that lead to the folder that names are told from."""
    return path.split("/").index(split) + 1 if split else 0


def fetch_file(repository: Repository, path: str, folder: Path | None = None) -> Path:
    """`download` a file, and give it a time that stands for its content."""
    local, seconds = download(repository, path, folder), modified_of(repository.files[path].digest)
    if int(local.stat().st_mtime) != seconds:
        # A cache that belongs to somebody else keeps its own times; they stay as long as it does.
        with contextlib.suppress(PermissionError):
            os.utime(local, (seconds, seconds))
    return local


def names_of(recordings: Collection[str], split: str) -> dict[str, str]:
    """What recordings of a repository are called as files: their paths in what their folders have in common."""
    shared = posixpath.commonpath(["/".join(path.split("/")[: _depth(path, split)]) for path in recordings])
    return {path: path[len(shared) :].lstrip("/") for path in recordings}


def _is_here(repository: Repository, path: str) -> bool:
    found = try_to_load_from_cache(
        repository.reference.repo, path, repo_type="dataset", revision=repository.commit
    )
    return isinstance(found, str)


def _places(path: str) -> list[tuple[str, str]]:
    """Folder and stem of a recording and, if it may be one side of a pair, of the pair."""
    folder, stem = _place(path)
    both = common_name(stem)
    return [(folder, stem)] + ([(folder, both)] if both else [])


def _place(path: str) -> tuple[str, str]:
    """Folder of a path, and its name without the ending."""
    pure = PurePosixPath(path)
    return str(pure.parent), pure.stem


def _hidden(part: str) -> bool:
    return part.startswith(".")
