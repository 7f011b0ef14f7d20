"""Time and money of requests to a service, both of which only the tests spend."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Reserve = Callable[[float], AbstractContextManager[Callable[[float], None]]]


class Clock:
    """Time that passes only while somebody sleeps: in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-9)


def reserving(reserved: list[float], charged: list[float]) -> Reserve:
    """What a run reserves its money with: notes what is reserved and what is charged."""

    @contextmanager
    def reserve(price: float) -> Iterator[Callable[[float], None]]:
        reserved.append(price)
        yield charged.append

    return reserve
