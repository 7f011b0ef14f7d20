"""Pieces of an answer that one thread makes and another takes as they come, and either may end at any time.

Who listens to a service or runs a model waits inside calls that nobody can interrupt: for a socket, for a product
of matrices. So that runs in a thread of its own, and whoever wants the pieces only ever waits for a queue: a
Ctrl-C, or a person who speaks meanwhile, ends that at once, and cuts what the thread waits for.
"""

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from dailytalk_contiguous.core import interrupts

Value = TypeVar("Value")

#: Seconds after which a thread that waits for a piece looks for a Ctrl-C.
LOOK_SECONDS = 0.1

#: Seconds that the end of the program waits for the threads that make pieces: one that Python stops in the middle
#: of a library crashes the interpreter.
LAST_SECONDS = 5.0


class Closed(Exception):
    """Nobody wants the pieces any more. Ends the function that makes them, and is seen by nobody else."""


#: A piece, alone in a tuple; or the error, or None, that ends them.
_Item: TypeAlias = tuple[Value] | BaseException | None


class Feed(Generic[Value]):
    """The state of a function that makes pieces.

    Attributes:
        n_pieces: how many were delivered.
    """

    def __init__(self) -> None:
        self.n_pieces = 0
        self._queue: SimpleQueue[_Item[Value]] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._cut: Callable[[], None] | None = None

    @property
    def closed(self) -> bool:
        """Whether nobody wants any more."""
        return self._closed

    def put(self, piece: Value) -> None:
        """Deliver a piece. Raises Closed if nobody wants it."""
        if self._closed:
            raise Closed
        self.n_pieces += 1
        self._queue.put((piece,))

    def end(self, error: BaseException | None = None) -> None:
        """Let the pieces end here, or with an error."""
        self._queue.put(error)

    def take(self) -> _Item[Value]:
        """Wait for the next piece, alone in a tuple, or for the error or None that ends them."""
        while True:
            interrupts.check_interrupt()
            try:
                return self._queue.get(timeout=LOOK_SECONDS)
            except Empty:
                continue

    def close(self) -> None:
        """Nobody wants any more: cut what the function waits for, and wake whoever waits for a piece."""
        with self._lock:
            self._closed = True
            cut = self._cut
            if cut is not None:
                cut()
        self._queue.put(None)

    @contextmanager
    def cut_by(self, cut: Callable[[], None]) -> Iterator[None]:
        """`cut` ends what is waited for in this block, from any thread. Raises Closed if nobody wants it."""
        with self._lock:
            if self._closed:
                raise Closed
            self._cut = cut
        try:
            yield
        finally:
            with self._lock:
                self._cut = None


class Pieces(Generic[Value]):
    """Iterates over what `make` delivers, in a thread of its own that starts at once.

    >>> with Pieces(lambda feed: [feed.put(word) for word in ("how", "so")]) as pieces:
    ...     list(pieces)
    ['how', 'so']

    Args:
        make: delivers the pieces. What it raises is raised here behind the last one.
        name: of the thread.
    """

    def __init__(self, make: Callable[[Feed[Value]], object], name: str = "pieces") -> None:
        self._feed = Feed[Value]()
        self._ended = False
        thread = threading.Thread(target=_run, args=(make, self._feed), name=name, daemon=True)
        thread.start()

    def __iter__(self) -> "Pieces[Value]":
        return self

    def __next__(self) -> Value:
        if self._ended or self._feed.closed:
            self._ended = True
            raise StopIteration
        item = self._feed.take()
        is_wanted = not self._feed.closed
        if isinstance(item, tuple) and is_wanted:
            return item[0]
        self._ended = True
        if isinstance(item, BaseException) and is_wanted:
            raise item
        raise StopIteration

    def close(self) -> None:
        """End what makes the pieces, from any thread; the iterator ends too. Nothing happens after the last."""
        if not self._ended:
            self._feed.close()

    def __enter__(self) -> "Pieces[Value]":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _run(make: Callable[[Feed[Value]], object], feed: Feed[Value]) -> None:
    """Make the pieces of a feed, in the thread of its own."""
    _running[threading.current_thread()] = feed  # here, as a thread that has not started can't be waited for
    try:
        make(feed)
    except Closed:
        feed.end()
    except BaseException as error:  # also KeyboardInterrupt: it is for whoever waits
        feed.end(error)
    else:
        feed.end()
    finally:
        _running.pop(threading.current_thread(), None)


#: The feeds of the threads that make pieces now.
_running: dict[threading.Thread, Feed[Any]] = {}


def check_wanted() -> None:
    """Raise Closed in a thread whose pieces nobody wants any more; called where it waits for time to pass."""
    feed = _running.get(threading.current_thread())
    if feed is not None and feed.closed:
        raise Closed


@atexit.register
def _end_all() -> None:
    """End all threads that make pieces, at the end of the program."""
    deadline = time.monotonic() + LAST_SECONDS
    for thread, feed in [*_running.items()]:
        feed.close()
        thread.join(max(0.0, deadline - time.monotonic()))
