"""The budget of a run, and the one place where it is spent.

A line is bought only if it is not in the cache, by one thread of one process, and is stored before anything else
happens to it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from threading import Lock

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.contracts import Line, Synthesiser, VoiceSample
from dailytalk_contiguous.models.engines import synthesise
from dailytalk_contiguous.models.speech_cache import CacheEntry, SpeechCache, cache_key

#: USD by which sums of prices may differ by rounding.
ROUNDING = 1e-9

#: The remedy for a run that was stopped.
_KEPT = "run the same command again: what was bought is kept"


class SpendingLimit(DailytalkError):
    """The next request would pass the limit of what a run may spend."""


class Budget:
    """The spending of this process, what the cache has saved it, and its limit.

    Attributes:
        limit: USD; None for no limit.
        spent: USD.
        saved: USD.
        bought: the keys in the cache of the lines that were bought, of engines that are not deterministic.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.spent = 0.0
        self.saved = 0.0
        self.bought = set[str]()
        self._reserved = 0.0
        self._halted = False
        self._lock = Lock()

    @contextmanager
    def paying(self, price: float) -> Iterator[Callable[[float], None]]:
        """Reserve `price` while something is bought; the function that this yields takes what it did cost.

        Raises SpendingLimit if the limit would be passed, and DailytalkError while purchases are halted.
        """
        if self._halted:
            raise DailytalkError("the run is being stopped", _KEPT)
        with self._lock:
            total = self.spent + self._reserved + price
            if self.limit is not None and total > self.limit + ROUNDING:
                raise SpendingLimit(
                    f"the next utterance would pass the spending limit of {self.limit:g} USD "
                    f"({self.spent:.4f} USD are spent)",
                    f"raise --max-cost and {_KEPT}",
                )
            self._reserved += price
        costs: list[float] = []
        try:
            yield costs.append
        finally:
            with self._lock:  # in one step: in between, another thread would see it twice, or not at all
                self._reserved -= price
                self.spent += sum(costs)

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Let no purchase begin while those that are under way come to their end."""
        self._halted = True
        try:
            yield
        finally:
            self._halted = False

    def save(self, cost: float) -> None:
        with self._lock:
            self.saved += cost

    def as_dict(self) -> dict[str, float | str]:
        """The figures of a run's record."""
        return {"spent": round(self.spent, 6), "saved_by_cache": round(self.saved, 6), "unit": "USD"}


@lru_cache(maxsize=1)
def open_budget(limit: float | None) -> Budget:
    """The budget of this run; `open_budget.cache_clear()` opens a new one."""
    return Budget(limit)


def obtain(
    synthesiser: Synthesiser, line: Line, samples: Sequence[VoiceSample], cache: SpeechCache, money: Budget
) -> tuple[str, CacheEntry]:
    """The key and the entry of a line: from the cache, or bought and put there.

    Raises as `Synthesiser.speak` and `SpeechCache` do.
    """
    key = cache_key(synthesiser, line, samples)
    entry = cache.get(key)
    if entry is None:
        with cache.buying(key):
            entry = cache.get(key)  # another process may have bought it while this one waited
            if entry is None:
                reserved: list[float] = []

                def reserve(price: float) -> AbstractContextManager[Callable[[float], None]]:
                    reserved.append(price)
                    return money.paying(price)

                spoken = synthesise(synthesiser, line, samples, reserve)
                if not synthesiser.deterministic:
                    money.bought.add(key)
                entry = cache.put(key, spoken)
                if spoken.cost and not reserved:  # a person's own engine that reserves nothing is charged, too
                    with money.paying(spoken.cost) as pay:
                        pay(spoken.cost)
                return key, entry
    money.save(entry.spoken.cost)
    return key, entry
