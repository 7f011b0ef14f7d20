"""Work folders in object storage: a mirror here, where the work is done, and the store, where it is kept.

What is finished is read from the store first and written to it as soon as it is done, so that a killed run goes on
from there on any machine. Outputs follow at the end, run.json last of them, and only then is removed what
is no part of the result any more. What changed in the store meanwhile, such as a transcript that somebody edited,
is never written over, and neither is here what a run has told of itself.
"""

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cache_folder, private_folder
from dailytalk_contiguous.run.events import is_journal, journals
from dailytalk_contiguous.run.outputs import NEW_TRANSCRIPT, RUN, TRANSCRIPT
from dailytalk_contiguous.sources.addresses import address_of, store_address
from dailytalk_contiguous.sources.remote import Mirror, is_plain, mirror_of
from dailytalk_contiguous.sources.store_notes import NOTES
from dailytalk_contiguous.store.files import write_bytes

#: What a command may remove from a store: its own results alone.
OF_TAG = ("tagged/shard-*.parquet", NEW_TRANSCRIPT)
OF_CORPUS = ("measured/shard-*.parquet", "clips/shard-*.parquet", "data/*")
OF_SPEAK = ("dataset/shard-*.parquet", "audio/*_edited.wav")

#: Shards of all kinds, by their names in a store.
_SHARDS = "*/shard-*.parquet"

#: Sound files that are made from the shards: whoever works on the shards does not need them.
_LISTENED = "audio/"


@dataclass(frozen=True)
class WorkFolder:
    """Where results lie: a folder of this machine and, for one in a store, the mirror that it belongs to."""

    folder: Path
    mirror: Mirror | None = None

    def refresh(self) -> None:
        """Bring all that others have finished, as a run begins."""
        self._bring(lambda name: not name.startswith(_LISTENED))

    def gather(self) -> None:
        """Bring the shards that others have finished. What this run itself is writing stays as it is."""
        self._bring(lambda name: fnmatch.fnmatch(name, _SHARDS))

    def listen(self) -> None:
        """Bring what runs on other machines tell of themselves."""
        self._bring(is_journal)

    def _bring(self, wanted: Callable[[str], bool]) -> None:
        if self.mirror:
            mirror = self.mirror
            # A journal that this machine has added to goes on here: the store's is but its beginning.
            mirror.pull(lambda name: wanted(name) and not (is_journal(name) and mirror.changed_here(name)))

    def keep(self, path: Path) -> None:
        """A file is finished."""
        if self.mirror:
            self.mirror.push(path)

    def tell(self) -> None:
        """Let the store know what has happened so far, for `dailytalk status` on another machine."""
        for path in journals(self.folder) if self.mirror else ():
            if self.mirror and self.mirror.changed_here(path.name):
                self.mirror.push(path)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Let the store know how a run ended also where it failed: who looks from elsewhere would wait for it."""
        try:
            yield
        except BaseException:
            with suppress(DailytalkError, OSError):  # the store may be what failed; the error is on its way
                self.tell()
            raise

    def settle(self, stale: Sequence[str] = ()) -> None:
        """Write what was made here to the store, then remove what matches `stale` there and is not here."""
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
                continue  # there as it is, or newer
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


def folder_of(out: Path, scratch: Path | None = None) -> Path:
    """The folder on this machine that stands for `out`: itself, or its mirror. Asks no store.

    Raises DailytalkError for an address that is none of a store.
    """
    address = store_address(out)
    return mirror_of(address, scratch or cache_folder() / "work").folder if address else out


def open_work(out: Path, scratch: Path | None = None) -> WorkFolder:
    """A work folder with what is finished in it, ready to be worked on.

    Args:
        out: a folder, or an address in a store.
        scratch: where mirrors lie; by default, the user's cache folder.

    Raises DailytalkError for a store that can't be read, and for an address that is none of a store.
    """
    address = store_address(out)
    if address is None:
        return WorkFolder(out)
    work = _mirrored(address, scratch)
    work.refresh()
    return work


def watched_store(out: Path) -> Path:
    """A folder that tells of the runs in `out`: itself or, for one in a store, a copy of what its runs tell.

    Raises as `open_work` does.
    """
    address = store_address(out)
    if address is None:
        return out
    work = _mirrored(address)
    work.listen()
    return work.folder


def _mirrored(address: str, scratch: Path | None = None) -> WorkFolder:
    mirror = mirror_of(address, private_folder(scratch) if scratch else cache_folder() / "work")
    mirror.folder.mkdir(parents=True, exist_ok=True)
    (mirror.folder / NOTES).touch()  # by which a run knows that other machines write to this place too
    return WorkFolder(mirror.folder, mirror)


def fetched(path: Path, sounds: bool = False) -> Path:
    """A folder to be read: itself, or the copy of one in a store; with its sound files if they are asked for."""
    if address_of(path) is None:
        return path
    work = open_work(path)
    if sounds and work.mirror:
        work.mirror.pull()
    return work.folder
