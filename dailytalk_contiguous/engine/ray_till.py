"""The till of a run on Ray: one purse for all workers, whichever nodes they are on.

A limit on money holds for them together only if each asks one place before it buys. That place also knows what is
being bought, so that a run that is stopped can wait for it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.engine.ray_cluster import lost
from dailytalk_contiguous.models.engines import Purse


class Till:
    """An actor that keeps the purse of a run: whoever buys something, on any node, asks here first.

    What a lost worker had asked for stays held back, since nobody knows whether it was charged.
    """

    def __init__(self, limit: float | None) -> None:
        self._purse = Purse(limit)
        self._held: dict[str, tuple[ExitStack, Callable[[float], None]]] = {}
        self._closed = False

    def hold(self, price: float) -> str:
        """Hold a price back. Raises as `Purse.paying` does, and DailytalkError once the till is closed."""
        if self._closed:
            raise DailytalkError("the run is being stopped", "run the same command again: what was bought is kept")
        stack = ExitStack()
        pay = stack.enter_context(self._purse.paying(price))
        ticket = uuid4().hex
        self._held[ticket] = (stack, pay)
        return ticket

    def pay(self, ticket: str, cost: float) -> None:
        """End what was held back with what it did cost."""
        stack, pay = self._held.pop(ticket)
        pay(cost)
        stack.close()

    def save(self, cost: float) -> None:
        """Note what something would have cost."""
        self._purse.save(cost)

    def close(self) -> None:
        """Refuse whatever is asked for from now on."""
        self._closed = True

    def held_back(self) -> int:
        """How many things are being bought."""
        return len(self._held)

    def totals(self) -> tuple[float, float]:
        """USD spent, and saved by the cache."""
        return self._purse.spent, self._purse.saved


class SharedPurse(Purse):
    """The purse of a worker, which is the till of all of them."""

    def __init__(self, limit: float | None, till: Any) -> None:
        super().__init__(limit)
        self._till = till

    @contextmanager
    def paying(self, price: float) -> Iterator[Callable[[float], None]]:
        self._refuse_if_halted()
        ticket = answer(self._till.hold.remote(price))
        costs: list[float] = []
        try:
            yield costs.append
        finally:
            answer(self._till.pay.remote(ticket, sum(costs)))

    def save(self, cost: float) -> None:
        answer(self._till.save.remote(cost))


def answer(question: Any) -> Any:
    """What the till says. Raises what it raises, and DailytalkError if it is gone."""
    import ray

    try:
        return ray.get(question)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except lost(ray):
        raise DailytalkError(
            "the till was lost with its node, and nothing may be bought without it",
            "run the same command again: what was bought is kept",
        ) from None
