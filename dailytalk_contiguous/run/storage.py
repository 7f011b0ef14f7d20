"""Work folders in object storage: copies on this machine, where the work is done, and the store, where it is kept.

Finished work is read from the store first and written to it as soon as it is done, so that any machine can
continue a killed run. Outputs follow at the end, run.json last of them, and only then are files removed that are
no longer part of the result. A transcript that somebody edited in the store meanwhile is never overwritten.
"""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.sources.remote import Mirror, Remote, is_plain, mirror_of
from dailytalk_contiguous.store.addresses import STORE_RECORD, copied_from, store_address
from dailytalk_contiguous.store.files import write_bytes, write_text
from dailytalk_contiguous.store.work_folder import NEW_TRANSCRIPT, RUN, RUN_LOCK, TRANSCRIPT, refuse_links_out

#: What `tag` may remove from a store: only its own results.
OF_TAG = ("rated/shard-*.parquet", "tagged/shard-*.parquet", NEW_TRANSCRIPT)

#: What `corpus` may remove from a store.
OF_CORPUS = ("measured/shard-*.parquet", "clips/shard-*.parquet", "data/*")

#: What `speak` may remove from a store.
OF_SPEAK = ("dataset/shard-*.parquet", "audio/*_edited.wav")

#: Shards of all kinds, by their names in a store.
_SHARDS = "*/shard-*.parquet"


@dataclass(frozen=True)
class WorkFolder:
    """The place of results: a folder on this machine and, for one in a store, the mirror that it belongs to.

    Attributes:
        folder: the folder on this machine.
        mirror: the mirror of the folder in a store; None if it is in none.
        began_with: the objects of the store when it was opened.
        opened_as: the path that people named, such as an address in a store; None for `folder`.

    Raises BadInput as `refuse_links_out`.
    """

    folder: Path
    mirror: Mirror | None = None
    began_with: Mapping[str, Remote] = field(default_factory=dict)
    opened_as: Path | None = None

    def __post_init__(self) -> None:
        refuse_links_out(self.folder)

    @property
    def title(self) -> str:
        """The name of the folder, as people named it."""
        return (self.opened_as or self.folder).absolute().name

    def gather(self) -> None:
        """Fetch the shards that other machines have finished. Files that this run is writing stay unchanged."""
        if self.mirror:
            self.mirror.pull(lambda name: fnmatch.fnmatch(name, _SHARDS))

    def keep(self, path: Path) -> None:
        """Write a file that was made here to the store, unless it is there."""
        if self.mirror and self.mirror.was_changed_here(str(self.mirror.name_of(path))):
            self.mirror.push(path)

    def drop(self, lock: Path) -> None:
        """Remove the lock of a run that has ended, here and in the store, where others would wait for it."""
        with suppress(DailytalkError, OSError):  # the store may have failed; Windows removes no open file
            lock.unlink()
            if self.mirror and lock.name in self.mirror.listing():
                self.mirror.drop([lock.name])

    def settle(self, stale: Sequence[str] = ()) -> None:
        """Write the files made here to the store, then remove its files that match `stale` and are not here."""
        if not self.mirror:
            return
        stored = self.mirror.listing()
        own_names = []
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and is_plain(name):
                own_names.append(name)
        for name in sorted(own_names, key=lambda name: (name == RUN, "/" not in name)):
            path = self.folder / name
            is_edited_there = stored.get(name) not in (None, self.began_with.get(name))
            if name == TRANSCRIPT and is_edited_there and self.mirror.was_changed_here(name):
                path = self.folder / NEW_TRANSCRIPT
                write_bytes(path, (self.folder / name).read_bytes())
                own_names.append(NEW_TRANSCRIPT)
            self.keep(path)
        stale_names = []
        for name in stored:
            is_stale = any(fnmatch.fnmatch(name, pattern) for pattern in stale)
            if is_stale and name not in own_names:
                stale_names.append(name)
        self.mirror.drop(stale_names)


#: Sound files that are made from the shards: work on the shards does not need them.
_LISTENED = "audio/"


def open_work(
    out: Path, wanted: Callable[[str], bool] = lambda name: not name.startswith(_LISTENED)
) -> WorkFolder:
    """Return a work folder with its finished work, ready for a run.

    `out` is a folder, an address in a store, or the copy of one on this machine, which stands for its address.
    `wanted`: which objects of a store are fetched. Raises DailytalkError for a store that can't be read, and for
    an address that is not one of a store.
    """
    address = store_address(out)
    if address is None:
        return WorkFolder(out)
    mirror = mirror_of(address, "work")
    mirror.folder.mkdir(parents=True, exist_ok=True)
    write_text(mirror.folder / STORE_RECORD, address)

    def is_fetched(name: str) -> bool:
        # A run of this machine may hold its lock, of which the store has an earlier copy.
        is_own_lock = name.startswith(RUN_LOCK) and mirror.was_changed_here(name)
        return wanted(name) and not is_own_lock

    stored = mirror.pull(is_fetched)
    return WorkFolder(mirror.folder, mirror, stored, opened_as=out)


def keep_in_store(folder: Path, name: str) -> None:
    """Write a file of a work folder to the store that the folder is a copy of; other folders are left alone."""
    address = copied_from(folder)
    if address is None:
        return
    with suppress(DailytalkError):  # a store that may only be read: the copy on this machine has the file
        mirror_of(address, "work").push(folder / name)
