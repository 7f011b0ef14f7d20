"""The progress of a long command, reported by its loop and shown by the listener, if there is one.

A run listens to the stage at hand, and its journal (`run.events`) says the rest. As with logging, a loop need not
know whether there is a listener.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_T = TypeVar("_T")

#: Called with what is done, how much of it is done, and of how much; None where that is not known.
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


def steps(what: str, items: Iterable[_T], of: int | None = None) -> Iterator[_T]:
    """The items, each of which is a step of `what`, of which there are `of`.

    >>> with listening(print):
    ...     numbers = list(steps("numbers read", [5, 6], 2))
    numbers read 0 2
    numbers read 1 2
    numbers read 2 2
    """
    done = 0
    for item in items:
        step(what, done, of)
        yield item
        done += 1
    step(what, done, of)


def step(what: str, done: int, of: int | None = None) -> None:
    """Report that so many steps of `what` are done."""
    listener = _listener.get()
    if listener:
        listener(what, done, of)
