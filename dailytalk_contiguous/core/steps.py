"""The progress of a long command, reported by its loop and shown by the listener, if there is one.

A run listens to the current stage, and its tracker (`run.progress`) reports the rest. As with logging, a loop need
not know whether there is a listener.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_T = TypeVar("_T")

#: Called with the name of the work, the steps that are done, and their total number; None where that is unknown.
StepListener = Callable[[str, int, int | None], None]

_listener: ContextVar[StepListener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: StepListener) -> Iterator[None]:
    """Call `listener` at each step in this block."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def steps(work: str, items: Iterable[_T], total: int | None = None) -> Iterator[_T]:
    """Yield the items, each of which is one step of `work`; `total` is their number, None if unknown.

    >>> with listening(print):
    ...     numbers = list(steps("numbers read", [5, 6], 2))
    numbers read 0 2
    numbers read 1 2
    numbers read 2 2
    """
    done = 0
    for item in items:
        step(work, done, total)
        yield item
        done += 1
    step(work, done, total)


def step(work: str, done: int, total: int | None = None) -> None:
    """Report that `done` steps of `work` are done, of `total`."""
    listener = _listener.get()
    if listener:
        listener(work, done, total)
