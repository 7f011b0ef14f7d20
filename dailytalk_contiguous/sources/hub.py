"""Recordings from the Hub: a dataset repository as INPUT, brought to files and then treated as a folder.

One way through for all: whatever lies there as audio files, Parquet or WebDataset shards becomes one local file a
recording, fetched once. `hub_recordings` yields them one by one, so that a run over a corpus larger than the disk
can use and drop each before it asks for the next.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.reference import parse_reference
from dailytalk_contiguous.sources.hub_files import audio_files, fetch_files, missing_files
from dailytalk_contiguous.sources.hub_repository import HubChoice, Repository, open_repository
from dailytalk_contiguous.sources.hub_tables import TABLE_SUFFIXES, fetch_tables, missing_tables


class HubRecording(NamedTuple):
    """A recording on this machine: its file, and the folder that its name is told from."""

    path: Path
    root: Path


class Fetched(NamedTuple):
    """What a repository became: folders to read as any others, and the rows that could not be used."""

    folders: tuple[str, ...]
    problems: list[Reject]


class ToFetch(NamedTuple):
    """What is not on this machine yet: number of files and their bytes."""

    files: int
    size: int


def repository_of(inputs: Sequence[str], choice: HubChoice) -> Repository | None:
    """The repository that INPUT names, at its commit; None if it names files or folders.

    What exists on this machine is meant before a repository of that name. Raises DailytalkError for a repository
    beside other inputs (names would be told from what their folders have in common), and as `open_repository`.
    """
    named = [found for one in inputs if not os.path.lexists(one) and (found := parse_reference(one))]
    if not named:
        if options := choice.options():
            raise DailytalkError(f"{options[0]} is for datasets on the Hub", "leave it out for files and folders")
        return None
    if len(inputs) > 1:
        others = [one for one in inputs if parse_reference(one) != named[0]]
        raise DailytalkError(
            f"{named[0].repo!r} is no file or folder here, and a dataset on the Hub can't have inputs beside it "
            f"({', '.join(map(repr, others or inputs))})",
            "check the path, or give each dataset a run and an --out of its own",
        )
    try:
        return open_repository(named[0], choice)
    except DailytalkError as problem:  # it may have been meant as a path
        raise DailytalkError(
            f"there is no {inputs[0]!r} on this machine, and {problem.reason}", problem.remedy
        ) from None


def hub_recordings(repository: Repository) -> Iterator[HubRecording | Reject]:
    """Fetch the recordings one after another; a row whose audio is missing or has no name is a Reject.

    Raises DailytalkError if there is nothing to fetch, if a column, config or split has to be chosen, and for what
    the Hub, the network or the disk refuses.
    """
    if in_tables(repository):
        for found in fetch_tables(repository):
            yield found if isinstance(found, Reject) else HubRecording(*found)
    else:
        yield from (HubRecording(path, root) for path, root in fetch_files(repository))


def fetch(repository: Repository) -> Fetched:
    """Fetch all recordings. Raises as `hub_recordings` does."""
    folders: dict[str, None] = {}
    problems: list[Reject] = []
    for found in hub_recordings(repository):
        if isinstance(found, Reject):
            problems.append(found)
        else:
            folders[str(found.root)] = None
    return Fetched(tuple(folders), problems)


def to_fetch(repository: Repository) -> ToFetch:
    """What `fetch` would download, as far as sizes are known beforehand. Raises as `hub_recordings` does."""
    missing = missing_tables(repository) if in_tables(repository) else missing_files(repository)
    return ToFetch(len(missing), sum(repository.files[path].size for path in missing))


def in_tables(repository: Repository) -> bool:
    """Whether the recordings lie in tables: whichever holds more bytes, because either may come with samples of
    the other (a picture of a table, a few files to listen to). Raises DailytalkError if there are neither."""
    files = repository.files
    tables = sum(file.size for path, file in files.items() if path.lower().endswith(TABLE_SUFFIXES))
    audio = sum(files[path].size for path in audio_files(files))
    if not tables and not audio:
        raise DailytalkError(
            f"{repository.reference.repo} holds no audio files, no Parquet and no WebDataset shards",
            "name a dataset of recordings",
        )
    asked = repository.choice.config or repository.choice.audio_column or repository.choice.id_column
    return tables > audio or bool(tables and asked)
