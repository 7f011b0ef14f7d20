"""Work folders in object storage: a mirror on this machine, where the work is done, and the store, where it is
kept.

Finished work is read from the store first and written to it as soon as it is done, so that any machine can
continue a killed run. Outputs follow at the end, run.json last of them, and only then are files removed that are
no longer part of the result. What changed in the store meanwhile, such as a transcript that somebody edited, is
never overwritten, nor are the journals of runs in the mirror.
"""

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.run.events import is_journal, journals
from dailytalk_contiguous.sources.addresses import store_address
from dailytalk_contiguous.sources.remote import Mirror, is_plain, mirror_of
from dailytalk_contiguous.sources.store_notes import NOTES
from dailytalk_contiguous.store.files import write_bytes
from dailytalk_contiguous.store.work_folder import NEW_TRANSCRIPT, RUN, TRANSCRIPT

#: What each command may remove from a store: only its own results.
OF_TAG = ("tagged/shard-*.parquet", NEW_TRANSCRIPT)
OF_CORPUS = ("measured/shard-*.parquet", "clips/shard-*.parquet", "data/*")
OF_SPEAK = ("dataset/shard-*.parquet", "audio/*_edited.wav")

#: Shards of all kinds, by their names in a store.
_SHARDS = "*/shard-*.parquet"

#: Sound files that are made from the shards: work on the shards does not need them.
_LISTENED = "audio/"


@dataclass(frozen=True)
class WorkFolder:
    """The place of results: a folder on this machine and, for one in a store, the mirror that it belongs to."""

    folder: Path
    mirror: Mirror | None = None

    def refresh(self) -> None:
        """Fetch all that other machines have finished, at the start of a run."""
        self._bring(lambda name: not name.startswith(_LISTENED))

    def gather(self) -> None:
        """Fetch the shards that other machines have finished. Files that this run is writing stay unchanged."""
        self._bring(lambda name: fnmatch.fnmatch(name, _SHARDS))

    def listen(self) -> None:
        """Fetch the journals of runs on other machines."""
        self._bring(is_journal)

    def _bring(self, wanted: Callable[[str], bool]) -> None:
        if self.mirror:
            mirror = self.mirror
            # A journal that this machine has added to is kept: the store has only its beginning.
            mirror.pull(lambda name: wanted(name) and not (is_journal(name) and mirror.changed_here(name)))

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
        files = [
            path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and is_plain(path.relative_to(self.folder).as_posix())
        ]
        for path in sorted(files, key=lambda file: (file.name == RUN, file.parent == self.folder)):
            if not self.mirror.changed_here(str(self.mirror.name_of(path))):
                continue  # the store has it, or a newer one
            if path == self.folder / TRANSCRIPT and self.mirror.changed_there(TRANSCRIPT, stored):
                write_bytes(self.folder / NEW_TRANSCRIPT, path.read_bytes())
                self.mirror.push(self.folder / NEW_TRANSCRIPT)
            else:
                self.mirror.push(path, stored.get(str(self.mirror.name_of(path))))
        mine = {self.mirror.name_of(path) for path in files}
        gone = [
            name
            for name in stored
            if any(fnmatch.fnmatch(name, pattern) for pattern in stale) and name not in mine
        ]
        self.mirror.drop(gone)


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
    address = store_address(out)
    if address is None:
        return WorkFolder(out)
    work = _mirrored(address)
    work.refresh()
    return work


def watched_store(out: Path) -> Path:
    """A folder with the journals of the runs in `out`: itself or, for one in a store, a copy of them.

    Raises as `open_work` does.
    """
    address = store_address(out)
    if address is None:
        return out
    work = _mirrored(address)
    work.listen()
    return work.folder


def _mirrored(address: str) -> WorkFolder:
    mirror = mirror_of(address, cache_folder() / "work")
    mirror.folder.mkdir(parents=True, exist_ok=True)
    (mirror.folder / NOTES).touch()  # by which a run knows that other machines write to this place too
    return WorkFolder(mirror.folder, mirror)
