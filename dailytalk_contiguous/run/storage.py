"""Work folders in object storage: copies on this machine, where the work is done, and the store, where it is kept.

Finished work is read from the store first and written to it as soon as it is done, so that any machine can
continue a killed run. Outputs follow at the end, run.json last of them, and only then are files removed that are
no longer part of the result. A transcript that somebody edited in the store meanwhile is never overwritten.
"""

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.run.events import is_journal, journals
from dailytalk_contiguous.sources.addresses import store_address
from dailytalk_contiguous.sources.remote import Mirror, Remote, is_plain, mirror_of
from dailytalk_contiguous.store.files import write_bytes
from dailytalk_contiguous.store.work_folder import NEW_TRANSCRIPT, RUN, TRANSCRIPT

#: What each command may remove from a store: only its own results.
OF_TAG = ("rated/shard-*.parquet", "tagged/shard-*.parquet", NEW_TRANSCRIPT)
OF_CORPUS = ("measured/shard-*.parquet", "clips/shard-*.parquet", "data/*")
OF_SPEAK = ("dataset/shard-*.parquet", "audio/*_edited.wav")

#: Shards of all kinds, by their names in a store.
_SHARDS = "*/shard-*.parquet"

#: Sound files that are made from the shards: work on the shards does not need them.
_LISTENED = "audio/"


@dataclass(frozen=True)
class WorkFolder:
    """The place of results: a folder on this machine and, for one in a store, the mirror that it belongs to.

    `began_with`: the objects of the store when it was opened.
    """

    folder: Path
    mirror: Mirror | None = None
    began_with: Mapping[str, Remote] = field(default_factory=dict)

    def gather(self) -> None:
        """Fetch the shards that other machines have finished. Files that this run is writing stay unchanged."""
        if self.mirror:
            self.mirror.pull(lambda name: fnmatch.fnmatch(name, _SHARDS))

    def keep(self, path: Path) -> None:
        if self.mirror:
            self.mirror.push(path)

    def tell(self) -> None:
        """Write the journals to the store, for `dailytalk status` on another machine."""
        for path in journals(self.folder) if self.mirror else ():
            if self.mirror and self.mirror.changed_here(path.name):
                self.mirror.push(path)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Write the journals to the store even if the block fails: else other machines would wait for the run."""
        try:
            yield
        except BaseException:
            with suppress(DailytalkError, OSError):  # the store may be what failed; its error is raised anyway
                self.tell()
            raise

    def settle(self, stale: Sequence[str] = ()) -> None:
        """Write what was made here to the store, then remove from it what matches `stale` and is not here."""
        if not self.mirror:
            return
        stored = self.mirror.listing()
        names = [
            path.relative_to(self.folder).as_posix() for path in sorted(self.folder.rglob("*")) if path.is_file()
        ]
        mine = [name for name in names if is_plain(name)]
        for name in sorted(mine, key=lambda name: (name == RUN, "/" not in name)):
            if not self.mirror.changed_here(name):
                continue  # the store has it, or a newer one
            path = self.folder / name
            if name == TRANSCRIPT and stored.get(name) not in (None, self.began_with.get(name)):
                path = self.folder / NEW_TRANSCRIPT
                write_bytes(path, (self.folder / name).read_bytes())
                mine.append(NEW_TRANSCRIPT)
            self.mirror.push(path)
        gone = (name for name in stored if any(fnmatch.fnmatch(name, pattern) for pattern in stale))
        self.mirror.drop([name for name in gone if name not in mine])


def folder_of(out: Path) -> Path:
    """The folder on this machine for `out`: itself, or its mirror. Contacts no store.

    Raises DailytalkError for an address that is not one of a store.
    """
    address = store_address(out)
    return mirror_of(address, cache_folder() / "work").folder if address else out


def open_work(out: Path) -> WorkFolder:
    """A work folder with its finished work, ready for a run; `out` is a folder, or an address in a store.

    Raises DailytalkError for a store that can't be read, and for an address that is not one of a store.
    """
    return _opened(out, lambda name: not name.startswith(_LISTENED))


def watched_store(out: Path) -> Path:
    """A folder with the journals of the runs in `out`: itself or, for one in a store, a copy of them.

    Raises as `open_work` does.
    """
    return _opened(out, is_journal).folder


def _opened(out: Path, wanted: Callable[[str], bool]) -> WorkFolder:
    address = store_address(out)
    if address is None:
        return WorkFolder(out)
    mirror = mirror_of(address, cache_folder() / "work")
    mirror.folder.mkdir(parents=True, exist_ok=True)
    # A journal that this machine has added to is kept: the store has only its beginning.
    there = mirror.pull(lambda name: wanted(name) and not (is_journal(name) and mirror.changed_here(name)))
    return WorkFolder(mirror.folder, mirror, there)
