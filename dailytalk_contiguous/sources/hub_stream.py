"""A dataset on the Hub as a stream: recordings one after another, each brought when it is asked for.

For corpora larger than the disk: nothing goes into the caches of this package or of the Hub, a recording lies
where its user says until he drops it, and every recording comes with the place behind it, from which a later run
goes on. Names, rows and rejects are those of `sources.hub`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.sources.hub import in_tables
from dailytalk_contiguous.sources.hub_errors import hub_errors
from dailytalk_contiguous.sources.hub_files import chosen, companions, fetch_file, names_of
from dailytalk_contiguous.sources.hub_repository import Repository
from dailytalk_contiguous.sources.hub_shards import Row, rows_of
from dailytalk_contiguous.sources.hub_tables import Plan, plan_of, write_row
from dailytalk_contiguous.sources.listing import Recording
from dailytalk_contiguous.sources.naming import Names, identities


class Place(NamedTuple):
    """Where a source stands: in which shard of all, how far inside it (as `rows_of` counts), and how many
    recordings of the split, or of all files, came before."""

    shard: int = 0
    inside: int = 0
    number: int = 0


class Coming(NamedTuple):
    """The next recording: brought into a folder by `bring`; `after` is the place behind it."""

    bring: Callable[[Path, Names], Recording | Reject]
    after: Place


@dataclass(frozen=True)
class HubStream:
    """The recordings of a repository, in its own order.

    What is the same for all of them is asked of the Hub once. Raises as `hub_recordings` does.
    """

    repository: Repository

    def coming(self, start: Place) -> Iterator[Coming]:
        """The recordings from a place on."""
        return self._rows(start) if self._tables else self._files(start)

    @cached_property
    def _tables(self) -> bool:
        return in_tables(self.repository)

    @cached_property
    def _plan(self) -> Plan:
        with hub_errors(self.repository.reference):
            return plan_of(self.repository, Path())

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        """By path in the repository; their own paths are relative."""
        paths = chosen(self.repository)
        names = names_of(paths, self.repository.choice.split)
        called = identities(names.values())
        return {path: Recording(Path(path), names[path], called[names[path]]) for path in paths}

    @cached_property
    def _beside(self) -> dict[str, list[str]]:
        return companions(self._recordings, self.repository.files)

    def _files(self, start: Place) -> Iterator[Coming]:
        for number, path in enumerate(list(self._recordings)[start.number :], start.number + 1):
            yield Coming(partial(self._bring_file, path), Place(number=number))

    def _bring_file(self, path: str, folder: Path, names: Names) -> Recording:
        del names  # all are known beforehand
        with hub_errors(self.repository.reference):
            for one in (path, *self._beside[path]):
                if not (folder / one).is_file():  # several may share a transcript
                    fetch_file(self.repository, one, folder)
        return self._recordings[path]._replace(path=folder / path)

    def _rows(self, start: Place) -> Iterator[Coming]:
        shards = [(split, path) for split, paths in self._plan.shards.items() for path in paths]
        number = start.number
        with hub_errors(self.repository.reference):
            for index in range(start.shard, len(shards)):
                split, path = shards[index]
                if index > start.shard and split != shards[index - 1][0]:
                    number = 0
                inside = start.inside if index == start.shard else 0
                for row, after in rows_of(self.repository, path, self._plan.columns, inside):
                    bring = partial(self._bring_row, row, split, number)
                    number += 1
                    yield Coming(bring, Place(index, after, number))

    def _bring_row(
        self, row: Row | BadInput, split: str, number: int, folder: Path, names: Names
    ) -> Recording | Reject:
        plan = self._plan._replace(folder=folder)
        found = write_row(plan, row, split, number, names)
        if isinstance(found, Reject):
            return found
        name, path = found
        audio_file = path.relative_to(folder).as_posix()
        try:
            return Recording(path, audio_file, names.add(audio_file))
        except BadInput as error:
            path.unlink()
            return Reject(name, "Hub", error.reason, error.remedy)
