"""A dataset repository as INPUT: fetched as files and then treated as a folder.

Audio files, Parquet and WebDataset shards all become one local file a recording, fetched once.
"""

from collections.abc import Sequence
from typing import NamedTuple

from huggingface_hub import try_to_load_from_cache

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.fields import Field
from dailytalk_contiguous.core.records.published_fields import published
from dailytalk_contiguous.sources.hub.audio_files import audio_files, folders_of_files, needed_files
from dailytalk_contiguous.sources.hub.recording_rows import (
    chosen_shards,
    finished_tables,
    tables_folder,
    written_tables,
)
from dailytalk_contiguous.sources.hub.repository import Repository
from dailytalk_contiguous.sources.hub.shard_rows import TABLE_SUFFIXES
from dailytalk_contiguous.store.hub import hub_errors


class Fetched(NamedTuple):
    """The result of fetching a repository: folders to read as any others, and rows that can't be used.

    `recordings`: of rows in tables, their paths in the one folder. `fields`: of finished conversations, their
    fields beside ours.
    """

    folders: tuple[str, ...]
    problems: list[Reject]
    recordings: Sequence[str] = ()
    fields: tuple[Field, ...] | None = None


class ToFetch(NamedTuple):
    """The files that are not on this machine yet: their number and bytes."""

    files: int
    size: int


def fetch(repository: Repository) -> Fetched:
    """Fetch all recordings; a row whose audio is missing or has no name is a Reject.

    Raises DailytalkError if there is nothing to fetch, if a column, config or split has to be chosen, and for what
    the Hub, the network or the disk refuses.
    """
    with hub_errors(repository.reference):
        if not is_in_tables(repository):
            return Fetched(tuple(map(str, folders_of_files(repository))), [])
        folder, record = written_tables(repository)
    folders = (str(folder),) if record["recordings"] else ()
    problems = [Reject(**problem) for problem in record["problems"]]
    described = record.get("fields")
    fields = None if described is None else published(described, folder.name)
    return Fetched(folders, problems, record["recordings"], fields)


def to_fetch(repository: Repository) -> ToFetch:
    """Return the files that `fetch` would download, as far as sizes are known. Raises as `fetch` does."""
    with hub_errors(repository.reference):
        missing = _missing_files(repository)
    return ToFetch(len(missing), sum(repository.files[path].size for path in missing))


def _missing_files(repository: Repository) -> list[str]:
    if is_in_tables(repository):
        if finished_tables(tables_folder(repository)) is not None:
            return []
        return [path for paths in chosen_shards(repository).values() for path in paths]
    repo = repository.reference.repo
    missing = []
    for path in needed_files(repository):
        local = try_to_load_from_cache(repo, path, repo_type="dataset", revision=repository.commit)
        if not isinstance(local, str):
            missing.append(path)
    return missing


def is_in_tables(repository: Repository) -> bool:
    """Whether the recordings are in tables and not in audio files.

    The kind that holds more bytes counts, because either may come with samples of the other (a picture of a table,
    a few files to listen to). Where an option for tables was given, they are meant.
    """
    files = repository.files
    tables = [file for path, file in files.items() if path.lower().endswith(TABLE_SUFFIXES)]
    table_bytes = sum(file.size for file in tables)
    audio_bytes = sum(files[path].size for path in audio_files(files))
    choice = repository.choice
    wants_tables = choice.config or choice.audio_column or choice.id_column
    return table_bytes > audio_bytes or bool(wants_tables)
