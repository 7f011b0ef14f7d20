"""Work folders in object storage: a mirror here, where the work is done, and the store, where it is kept.

What is finished is read from the store first and written to it as soon as it is done, so that a killed run goes on
from there on any machine. Outputs follow at the end, run.json last of them, and only then is removed what
is no part of the result any more. A transcript that somebody edited in the store meanwhile is never written over.
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.engine.files import write_bytes
from dailytalk_contiguous.engine.outputs import NEW_TRANSCRIPT, RUN, TRANSCRIPT
from dailytalk_contiguous.sources.remote_files import Mirror, address_of, mirror_of

#: What a command may remove from a store: its own results alone.
OF_TAG = ("tagged/shard-*.parquet", NEW_TRANSCRIPT)
OF_SPEAK = ("dataset/shard-*.parquet", "audio/*_edited.wav")

#: Sound files that are made from the shards: whoever works on the shards does not need them.
_LISTENED = "audio/"


@dataclass(frozen=True)
class WorkFolder:
    """Where results lie: a folder of this machine and, for one in a store, the mirror that it belongs to."""

    folder: Path
    mirror: Mirror | None = None

    def refresh(self) -> None:
        """Bring what others have finished."""
        if self.mirror:
            self.mirror.pull(lambda name: not name.startswith(_LISTENED))

    def keep(self, path: Path) -> None:
        """A file is finished."""
        if self.mirror:
            self.mirror.push(path)

    def settle(self, stale: Sequence[str] = ()) -> None:
        """Write everything to the store, then remove what matches `stale` there and is not here any more."""
        if not self.mirror:
            return
        there = self.mirror.listing()
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and not self._hidden(path)]
        for path in sorted(files, key=lambda file: (file.name == RUN, file.parent == self.folder)):
            if path == self.folder / TRANSCRIPT and self.mirror.changed_there(TRANSCRIPT, there):
                write_bytes(self.folder / NEW_TRANSCRIPT, path.read_bytes())
                self.mirror.push(self.folder / NEW_TRANSCRIPT)
            else:
                self.mirror.push(path, there.get(str(self.mirror.name_of(path))))
        mine = {self.mirror.name_of(path) for path in files}
        gone = [name for name in there if any(fnmatch.fnmatch(name, one) for one in stale) and name not in mine]
        self.mirror.drop(gone)

    def _hidden(self, path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(self.folder).parts)


def folder_of(out: Path, scratch: Path | None = None) -> Path:
    """The folder on this machine that stands for `out`: itself, or its mirror. Asks no store."""
    address = address_of(out)
    return mirror_of(address, scratch or cache_folder() / "work").folder if address else out


def open_work(out: Path, scratch: Path | None = None) -> WorkFolder:
    """A work folder with what is finished in it, ready to be worked on.

    Args:
        out: a folder, or an address in a store.
        scratch: where mirrors lie; by default, the user's cache folder.

    Raises DailytalkError for a store that can't be read.
    """
    address = address_of(out)
    if address is None:
        return WorkFolder(out)
    mirror = mirror_of(address, scratch or cache_folder() / "work")
    mirror.folder.mkdir(parents=True, exist_ok=True)
    work = WorkFolder(mirror.folder, mirror)
    work.refresh()
    return work


def fetched(path: Path, sounds: bool = False) -> Path:
    """A folder to be read: itself, or the copy of one in a store; with its sound files if they are asked for."""
    if address_of(path) is None:
        return path
    work = open_work(path)
    if sounds and work.mirror:
        work.mirror.pull()
    return work.folder
