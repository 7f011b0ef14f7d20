"""Windows of a stream: recordings brought to this machine until they hold as much audio as a shard should.

What a window holds follows from where it starts and how long it should be, so that one that is brought again
after a crash is the same. The next one is brought while one is worked on, and never a third: a stream takes the
room of two windows, whatever its length.
"""

import itertools
import shutil
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.engine.positions import Finished
from dailytalk_contiguous.shards import Row
from dailytalk_contiguous.sources.folder import FolderConfig, recording_rows
from dailytalk_contiguous.sources.hub_stream import Coming, HubStream, Place
from dailytalk_contiguous.sources.naming import Names, stem


@dataclass
class Window:
    """Conversations on this machine, and where the source stood before and after them.

    `folder` holds the recordings, `root` is the folder in it that their names are told from. `last`: the source
    ended with it. `whole`: it is as long as it should be, and not cut off by a stop.
    """

    number: int
    start: Place
    end: Place
    folder: Path
    root: Path
    last: bool = False
    whole: bool = False
    rows: list[Row] = field(default_factory=list)
    problems: list[Reject] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @property
    def audio_seconds(self) -> float:
        """Of its conversations."""
        return float(sum(row["duration"] for row in self.rows))

    @property
    def size(self) -> int:
        """Bytes of what lies in its folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def drop(self) -> None:
        """Remove its recordings from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Windows:
    """Brings the windows of a source, one after another. Raises as `HubStream` does.

    Args:
        source: of recordings. scratch: the folder that they are brought to.
        config: how they become conversations; its inputs mean nothing.
        seconds: audio after which a window is full.
    """

    def __init__(self, source: HubStream, scratch: Path, config: FolderConfig, seconds: float) -> None:
        self._source, self._scratch, self._config, self._seconds = source, scratch, config, seconds
        self._coming: Iterator[Coming] = iter(())
        self._place: Place | None = None
        self._stop = Event()

    def again(self, done: Finished, before: list[Finished]) -> Window:
        """The recordings of a window that was done; `before` are those before it."""
        self._place = None
        names = Names(name for one in before for name in one.names)
        return self._bring(done.window, done.start, names, done.end)

    def all_from(self, number: int, start: Place, names: Names) -> Iterator[Window]:
        """Window `number` and those after it, up to the end of the source."""
        while True:
            window = self._bring(number, start, names, None)
            yield window
            if window.last or not window.whole:
                return
            number, start = number + 1, window.end

    def stop(self) -> None:
        """Let what is being brought be the last recording. For another thread."""
        self._stop.set()

    def _bring(self, number: int, start: Place, names: Names, end: Place | None) -> Window:
        if self._place != start:  # else what was read ahead of the last window is not read again
            self._coming = self._source.coming(start)
        folder = self._scratch / f"{number:06d}"
        window = Window(number, start, start, folder, folder)
        held = 0.0
        while not self._stop.is_set():
            one = next(self._coming, None)
            if one is None:
                window.last = window.whole = True
                break
            held += self._take(one, window, names)
            self._place = window.end = one.after
            if one.after == end or (end is None and held >= self._seconds):
                window.whole, window.last = True, self._is_at_end()
                break
        return window

    def _is_at_end(self) -> bool:
        """Whether nothing comes any more: a last window that is full must not be followed by an empty one."""
        following = next(self._coming, None)
        if following is not None:
            self._coming = itertools.chain([following], self._coming)
        return following is None

    def _take(self, coming: Coming, window: Window, names: Names) -> float:
        """Bring a recording into a window; the seconds of its conversations."""
        found = coming.bring(window.folder, names)
        if isinstance(found, Reject):
            window.problems.append(found)
            return 0.0
        if stem(found.audio_file) in names:  # else the source knew all names beforehand
            window.names.append(found.audio_file)
        window.root = Path(str(found.path)[: -len(found.audio_file)])
        rows = list(recording_rows(found, self._config))
        usable = [row for row in rows if not row["problem"]]
        window.rows += usable
        window.problems += [
            Reject(row["conversation_id"], "Folder", row["problem"], row["remedy"])
            for row in rows
            if row["problem"]
        ]
        if not usable:
            found.path.unlink(missing_ok=True)  # a thousand of them must not fill the disk
        return float(sum(row["duration"] for row in usable))


def ahead(windows: Iterator[Window], stop: Callable[[], None], may_begin: Callable[[], bool]) -> Generator[Window]:
    """Yield windows while the next one is brought by a thread; each is dropped once the next is asked for.

    Args:
        windows: to be taken. stop: makes them end soon.
        may_begin: asked before each one is handed over, and before any is brought; no ends it all.
    """
    window: Window | None = None
    with ThreadPoolExecutor(1, "stream") as pool:
        if not may_begin():
            return
        coming = pool.submit(next, windows, None)
        try:
            while (window := coming.result()) is not None and window.whole and may_begin():
                coming = pool.submit(next, windows, None)
                yield window
                window.drop()
        finally:
            stop()
            for left in (window, coming.result() if not coming.cancel() and not coming.exception() else None):
                if left is not None:
                    left.drop()
