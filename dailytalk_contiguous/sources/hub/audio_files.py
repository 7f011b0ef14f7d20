"""The audio files of a repository on the Hub: one file a recording, with or without its transcript beside it.

Such repositories are `kyutai/DailyTalkContiguous` (`data_stereo/NAME.wav` and `NAME.json`) and those of
AudioFolder. The files stay in the Hub's own cache, which other programs share, and are used from there as a local
folder would be.
"""

import os
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.core.documents import composed
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.machine.resources import side_by_side
from dailytalk_contiguous.sources.hub.repository import Repository, download, modified_of
from dailytalk_contiguous.sources.recordings.pairs import common_names
from dailytalk_contiguous.sources.transcripts.recording_transcripts import LISTS, OF_MANY, stems_of
from dailytalk_contiguous.store.hub import hub_errors
from dailytalk_contiguous.store.owned_folder import RECORD


def audio_files(paths: Iterable[str]) -> list[str]:
    """Return the recordings among paths of a repository, sorted; none is hidden, or in one of `made_folders`."""
    names = set(paths)
    made = tuple(made_folders(names))
    recordings = []
    for path in sorted(names):
        is_hidden = "/." in f"/{path}"
        is_audio = PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES
        if is_audio and not is_hidden and not path.startswith(made):
            recordings.append(path)
    return recordings


def made_folders(paths: Collection[str]) -> list[str]:
    """Folders among paths of a repository that we made, ending in `/`; none if we made all of it."""
    if RECORD in paths:
        return []
    records = [path for path in paths if path.endswith(f"/{RECORD}")]
    return sorted(record.removesuffix(RECORD) for record in records)


def companions(recordings: Iterable[str], paths: Iterable[str]) -> dict[str, list[str]]:
    """For each recording, the files beside it that may be its transcript."""
    keys: dict[str, list[tuple[str, str]]] = {}  # folder and stem of each recording
    beside: dict[tuple[str, str], list[str]] = {}
    for path in recordings:
        folder, _, name = path.rpartition("/")
        stem = composed(PurePosixPath(name).stem)
        keys[path] = [(folder, stem)]
        keys[path] += [(folder, name) for name in common_names(stem)]  # it may be one side of a pair
        beside |= {key: [] for key in keys[path]}
    shared: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        folder, _, name = path.rpartition("/")
        stems = stems_of(name)
        matches = [(folder, stem) for stem in stems if (folder, stem) in beside]
        if matches:
            beside[matches[0]].append(path)
        elif OF_MANY in stems:
            shared[folder].append(path)
    files: dict[str, list[str]] = {}
    for path, path_keys in keys.items():
        folder, _ = path_keys[0]
        files[path] = [*chain.from_iterable(beside[key] for key in path_keys), *shared[folder]]
    return files


def unread_lists(paths: Collection[str], in_tables: bool) -> list[str]:
    """Return the lists and tables of a repository that are no recordings and no transcripts of them, sorted.

    `in_tables`: whether its recordings are in tables.
    """
    kinds = LISTS if in_tables else (*LISTS, ".json", ".parquet")
    beside = companions(audio_files(paths), paths)
    used = set[str]().union(*beside.values())
    made = tuple(made_folders(paths))
    lists = [path for path in paths if path.lower().endswith(kinds) and not path.startswith(made)]
    return sorted({*lists} - used)


def needed_files(repository: Repository) -> list[str]:
    """Return the recordings that the choice asks for, each with what may be its transcript."""
    recordings = chosen_files(repository)
    beside = companions(recordings, repository.files)
    needed: dict[str, None] = {}  # keeps the order, and each once
    for path in recordings:
        needed[path] = None
        needed |= dict.fromkeys(beside[path])
    return list(needed)


def chosen_files(repository: Repository) -> list[str]:
    """Return the recordings that the choice asks for. Raises DailytalkError if there are none."""
    split = repository.choice.split
    files = audio_files(repository.files)
    chosen = [path for path in files if not split or split in path.split("/")[:-1]]
    if not chosen:
        folders = sorted({part for path in files for part in path.split("/")[:-1]})
        where = f" in a folder {split!r}" if split else ", no Parquet and no WebDataset shards"
        remedy = f"choose --split from {', '.join(folders)}" if folders else "name a dataset of recordings"
        raise DailytalkError(f"{repository.reference.repo} has no audio files{where}", remedy)
    return chosen


#: Files that are fetched at a time: the Hub's own client takes as many.
_AT_A_TIME = 8


def fetch_files(repository: Repository, paths: Collection[str]) -> dict[str, Path]:
    """Fetch files into the Hub's cache, several at a time."""
    fetched = side_by_side(partial(fetch_file, repository), paths, _AT_A_TIME)
    return dict(zip(paths, fetched, strict=True))


def fetch_file(repository: Repository, path: str, folder: Path | None = None) -> Path:
    """Fetch a file, and give it a time that identifies its content."""
    local = download(repository, path, folder)
    seconds = modified_of(repository.files[path].digest)
    if int(local.stat().st_mtime) != seconds:
        # A cache of another user keeps its own times, which don't change either.
        with suppress(PermissionError):
            os.utime(local, (seconds, seconds))
    return local


def fetch_tree(repository: Repository, suffixes: Collection[str]) -> Path:
    """Fetch all files with these endings, and give the folder that they are in, as they are in the repository.

    The files are links into the Hub's cache. Raises DailytalkError if there are none.
    """
    paths = [path for path in sorted(repository.files) if PurePosixPath(path).suffix.lower() in suffixes]
    if not paths:
        endings = ", ".join(sorted(suffixes))
        raise DailytalkError(f"{repository.reference} has no file of the kinds {endings}", "name another dataset")
    with hub_errors(repository.reference):
        local = fetch_files(repository, paths)
    return local[paths[0]].parents[paths[0].count("/")]


def folders_of_files(repository: Repository) -> list[Path]:
    """Fetch the recordings that the choice asks for, and give the folders in which they begin, each once."""
    local = fetch_files(repository, needed_files(repository))
    roots: dict[Path, None] = {}
    for path in chosen_files(repository):
        levels = path.count("/") - _root_depth(path, repository.choice.split)
        roots[local[path].parents[levels]] = None
    return list(roots)


def names_of(recordings: Collection[str], split: str) -> dict[str, str]:
    """File names for the recordings of a repository: their paths below the folder that they have in common."""
    roots = []
    for path in recordings:
        parts = path.split("/")
        roots.append("/".join(parts[: _root_depth(path, split)]))
    shared = posixpath.commonpath(roots)
    return {path: path[len(shared) :].lstrip("/") for path in recordings}


def _root_depth(path: str, split: str) -> int:
    """Number of parts of a path above the root of names."""
    if not split:
        return 0
    return path.split("/").index(split) + 1
