"""A dataset on the Hub as a stream: recordings one after another, each fetched on demand.

For corpora larger than the disk: nothing goes into the caches of this package or of the Hub, and a recording is
where the caller says until dropped. Every recording comes with the position after it, from which a later run
resumes.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.sources.hub.audio_files import chosen_files, companions, fetch_file, names_of
from dailytalk_contiguous.sources.hub.fetching import is_in_tables
from dailytalk_contiguous.sources.hub.recording_rows import (
    StreamPosition,
    TablePlan,
    TableRow,
    plan_of,
    table_rows,
    write_row,
)
from dailytalk_contiguous.sources.hub.repository import Repository
from dailytalk_contiguous.sources.recordings.recording_files import Names, Recording, identities
from dailytalk_contiguous.store.hub import hub_errors


class PendingRecording(NamedTuple):
    """The next recording: `bring` puts it into a folder; `after` is the position behind it."""

    bring: Callable[[Path, Names], Recording | Reject]
    after: StreamPosition


def coming_recordings(repository: Repository, start: StreamPosition) -> Iterator[PendingRecording]:
    """Yield the recordings of a repository after a position, in its own order. Raises as `fetch` does."""
    if is_in_tables(repository):
        with hub_errors(repository.reference):
            plan = plan_of(repository)
            for row in table_rows(repository, plan, start):
                yield PendingRecording(partial(_bring_row, plan, row), row.after)
        return
    paths = chosen_files(repository)
    names = names_of(paths, repository.choice.split)
    ids = identities(names.values())
    beside = companions(paths, repository.files)
    for number, path in enumerate(paths[start.number :], start.number + 1):
        recording = Recording(Path(path), names[path], ids[names[path]])
        bring = partial(_bring_file, repository, recording, (path, *beside[path]))
        yield PendingRecording(bring, StreamPosition(number=number))


def _bring_file(
    repository: Repository, recording: Recording, files: Iterable[str], folder: Path, names: Names
) -> Recording:
    """Fetch the files of a recording, whose path is that in the repository."""
    del names  # all are known beforehand
    with hub_errors(repository.reference):
        for name in files:
            if not (folder / name).is_file():  # several may share a transcript
                fetch_file(repository, name, folder)
    return recording._replace(path=folder / recording.path)


def _bring_row(plan: TablePlan, row: TableRow, folder: Path, names: Names) -> Recording | Reject:
    written_row = write_row(plan, folder, row, names)
    if isinstance(written_row, Reject):
        return written_row
    name, path = written_row
    audio_file = path.relative_to(folder).as_posix()
    try:
        return Recording(path, audio_file, names.add(audio_file))
    except BadInput as error:
        path.unlink()
        return Reject(name, "Hub", error.reason, error.remedy)
