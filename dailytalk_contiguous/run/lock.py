"""The lock of a work folder: a file that a run holds, and in which it says who it is and how far.

It stays after a kill, so that `dailytalk status` can tell, and so that a host that can't see the processes of
another one does not begin beside them. There is no word of a conversation in it.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dailytalk_contiguous.core.documents import as_text, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.machine.read_documents import MOST_LINE_BYTES
from dailytalk_contiguous.run.progress import now
from dailytalk_contiguous.store.files import locked, open_own
from dailytalk_contiguous.store.full_disk import name_file
from dailytalk_contiguous.store.work_folder import RUN_LOCK

if TYPE_CHECKING:
    from dailytalk_contiguous.run.storage import WorkFolder

#: Bytes at the start of the file that only the lock itself uses: Windows lets no other handle read or write them.
LOCKED_BYTES = 1


@dataclass
class Holder:
    """A run that holds a work folder, as its lock file has it.

    Attributes:
        kind: such as `tag` or `speak`.
        command: its command line.
        shard: (i, N) of `--shard`.
        host: the machine of its process.
        pid: the number of its process there.
        started: when it began (ISO 8601, UTC).
        step: the folder of the pass that it makes; empty before the first.
        shards_made: how many of the shards of that pass it has made.
        shards: how many of them it planned to make.
    """

    kind: str
    command: str = ""
    shard: tuple[int, int] = (1, 1)
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=now)
    step: str = ""
    shards_made: int = 0
    shards: int = 0

    def is_gone(self, lock: Path) -> bool:
        """Whether it was killed: it began on this host, and holds its lock no more."""
        if self.host != platform.node():
            return False
        try:
            with locked(lock, "", ""):
                return True
        except DailytalkError:
            return False

    def write(self, lock: Path) -> None:
        """Write it into a lock that this process holds. Raises BadInput for a symbolic link, and OSError."""
        text = json.dumps(asdict(self)).encode() + b"\n"
        try:
            with open_own(lock, "rb+") as file:
                file.seek(LOCKED_BYTES)
                file.write(text)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())  # other hosts of a network disk see it
        except FileNotFoundError:  # somebody has removed it, and the run goes on
            return
        except OSError as error:
            name_file(error, lock)
            raise


def holders(folder: Path) -> Iterator[tuple[Path, Holder]]:
    """Yield the locks in a work folder, each with the run of which it tells; a link is none of ours."""
    for lock in sorted(folder.glob(f"{RUN_LOCK}*")):
        if lock.is_symlink() or not lock.is_file():
            continue
        with lock.open("rb") as file:
            file.seek(LOCKED_BYTES)
            line = file.readline(MOST_LINE_BYTES)
        try:
            holder = msgspec.convert(parse_json(line, RUN_LOCK, limit=MOST_LINE_BYTES), Holder)
        except (BadInput, msgspec.ValidationError):  # its run is about to write it, or it is of another version
            continue
        yield lock, holder


def lock_of(folder: Path, shard: tuple[int, int]) -> Path:
    """Return what a run holds in its work folder; a part of `--shard` has its own."""
    number, count = shard
    return folder / (RUN_LOCK if count == 1 else f"{RUN_LOCK}-{number}-of-{count}")


@contextmanager
def hold_folder(work: "WorkFolder", holder: Holder, force: bool = False) -> Iterator[Path]:
    """Hold a work folder for a run, and yield its lock. Only the parts of one `--shard` may work in it together.

    On this host the operating system knows whether a run holds its lock, which ends with its process. A run on
    another host counts as long as its lock is there, or until a person says that it is gone (`force`).

    Raises DailytalkError, naming the run, while another one works in the folder.
    """
    shown = repr(as_text(work.folder))
    own_lock = lock_of(work.folder, holder.shard)
    for lock, other in holders(work.folder):
        is_same_work = other.kind == holder.kind and other.shard[1] == holder.shard[1]
        if is_same_work and other.shard[0] != holder.shard[0]:
            continue
        elsewhere = other.host != platform.node()
        if not other.is_gone(lock) and not (elsewhere and force):
            remedy = "wait until it ends (dailytalk status says how far it is), or take another --out"
            if elsewhere:
                remedy += "; if it was killed, pass --force"
            process = f"on {other.host}, process {other.pid}, since {other.started}"
            raise DailytalkError(f"{other.kind} works in {shown} already: {process}", remedy)
        if lock != own_lock:
            work.drop(lock)
    with locked(own_lock, f"another run begins or ends in {shown}", "run this again in a minute"):
        holder.write(own_lock)
        try:
            yield own_lock
        finally:
            work.drop(own_lock)
