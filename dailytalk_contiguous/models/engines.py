"""Which synthesiser a name means, and what a run may spend on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.synthesiser import Synthesiser

#: Engines by name, with the model each takes if none is named and what its tags are written for.
ENGINES = {"fish": "s1", "openai": "gpt-4o-mini-tts", "espeak": "", "flite": ""}

#: The voice that means: the conversation's own speaker.
CLONE = "clone"


@lru_cache(maxsize=4)
def load_synthesiser(
    engine: str, model: str, voice: str, temperature: float, top_p: float, sample_rate: int, concurrency: int
) -> Synthesiser:
    """The synthesiser of this process. Raises DailytalkError for settings that it does not have."""
    if engine == "fish":
        from dailytalk_contiguous.models.fish import Fish

        return Fish(model or ENGINES[engine], voice, None, temperature, top_p, sample_rate, concurrency)
    if engine == "openai":
        from dailytalk_contiguous.models.openai_speech import OpenAISpeech

        return OpenAISpeech(model or ENGINES[engine], voice or "alloy", None, 1.0, concurrency)
    if engine == "espeak":
        from dailytalk_contiguous.models.espeak import Espeak

        return Espeak(voice)
    if engine == "flite":
        from dailytalk_contiguous.models.flite import Flite

        return Flite(voice or "slt")
    raise DailytalkError(f"there is no speech synthesiser {engine!r}", f"choose one of {', '.join(ENGINES)}")


class Purse:
    """What this process has spent, what the cache has saved it, and where it must stop."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.spent = 0.0
        self.saved = 0.0
        self._reserved = 0.0
        self._lock = Lock()

    @contextmanager
    def paying(self, price: float) -> Iterator[None]:
        """Hold `price` back while something is bought. Raises DailytalkError if the limit would be passed."""
        with self._lock:
            if self.limit is not None and self.spent + self._reserved + price > self.limit:
                raise DailytalkError(
                    f"the next utterance would pass the spending limit of {self.limit:g} USD "
                    f"({self.spent:.4f} USD are spent)",
                    "raise --max-cost and run the same command again: what was bought is kept",
                )
            self._reserved += price
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= price

    def pay(self, cost: float) -> None:
        """Note what something did cost."""
        with self._lock:
            self.spent += cost

    def save(self, cost: float) -> None:
        """Note what something would have cost."""
        with self._lock:
            self.saved += cost


@lru_cache(maxsize=1)
def purse(limit: float | None) -> Purse:
    """The purse of this run; `purse.cache_clear()` opens a new one."""
    return Purse(limit)
