"""A dataset on the Hub as a stream: recordings one after another, each fetched on demand.

For corpora larger than the disk: nothing goes into the caches of this package or of the Hub, and a recording is
where the caller says until dropped. Every recording comes with the position after it, from which a later run
resumes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
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


@dataclass(frozen=True)
class HubStream:
    """The recordings of a repository, in its own order.

    Facts that all of them share are read from the Hub once. Raises as `fetch` does.
    """

    repository: Repository

    def coming(self, start: StreamPosition) -> Iterator[PendingRecording]:
        if is_in_tables(self.repository):
            yield from self._rows(start)
            return
        beside = companions(self._recordings, self.repository.files)
        paths = list(self._recordings)[start.number :]
        for number, path in enumerate(paths, start.number + 1):
            bring = partial(self._bring_file, path, beside[path])
            yield PendingRecording(bring, StreamPosition(number=number))

    @cached_property
    def _plan(self) -> TablePlan:
        with hub_errors(self.repository.reference):
            return plan_of(self.repository, Path())

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        """The recordings by their path in the repository; their own paths are relative."""
        paths = chosen_files(self.repository)
        names = names_of(paths, self.repository.choice.split)
        ids = identities(names.values())
        recordings = {}
        for path in paths:
            name = names[path]
            recordings[path] = Recording(Path(path), name, ids[name])
        return recordings

    def _bring_file(self, path: str, beside: Sequence[str], folder: Path, names: Names) -> Recording:
        del names  # all are known beforehand
        with hub_errors(self.repository.reference):
            for name in (path, *beside):
                if not (folder / name).is_file():  # several may share a transcript
                    fetch_file(self.repository, name, folder)
        return self._recordings[path]._replace(path=folder / path)

    def _rows(self, start: StreamPosition) -> Iterator[PendingRecording]:
        with hub_errors(self.repository.reference):
            for row in table_rows(self.repository, self._plan, start):
                yield PendingRecording(partial(self._bring_row, row), row.after)

    def _bring_row(self, row: TableRow, folder: Path, names: Names) -> Recording | Reject:
        written_row = write_row(self._plan._replace(folder=folder), row, names)
        if isinstance(written_row, Reject):
            return written_row
        name, path = written_row
        audio_file = path.relative_to(folder).as_posix()
        try:
            return Recording(path, audio_file, names.add(audio_file))
        except BadInput as error:
            path.unlink()
            return Reject(name, "Hub", error.reason, error.remedy)
