"""When a request may be sent: waits after failures, and the pace that all threads share once a service says 429.

Waits grow exponentially and are drawn with full jitter, between 0 and the longest
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter), so that threads that failed together do
not come back together. A 429 slows every thread, since a service counts the requests of an account.
"""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Seconds: the longest first wait, and the longest of all. Full jitter draws between 0 and that.
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 30.0

#: Seconds. A service that wants a longer rest than this is better left alone until another run.
LONGEST_RETRY_AFTER = 300.0

#: Seconds between two requests of all threads together: after a first 429, and at most.
FIRST_SPACING, LONGEST_SPACING = 0.05, 5.0


class Pace:
    """The pause that all threads share after a 429, and then a spacing that goes as the service answers again.

    `sleep` returns True where it was ended early because there is nothing to wait for any more.
    """

    def __init__(self, sleep: Callable[[float], object], clock: Callable[[], float]) -> None:
        self._sleep, self._clock = sleep, clock
        self._lock = threading.Lock()
        self._next, self._spacing, self._paused_until = 0.0, 0.0, 0.0

    def wait(self) -> None:
        """Return when this thread may send a request."""
        while True:
            with self._lock:
                now = self._clock()
                wait = self._next - now
                if wait <= 0:
                    self._next = now + self._spacing
                    return
            if self._sleep(wait) is True:
                return

    def slow(self, seconds: float) -> None:
        """Let no thread send anything for some seconds, and space what follows.

        Refusals that arrive during a pause answer requests sent before it: they may lengthen it, but say nothing
        new about the spacing.
        """
        with self._lock:
            now = self._clock()
            if now >= self._paused_until:
                self._spacing = min(max(2 * self._spacing, FIRST_SPACING), LONGEST_SPACING)
            self._paused_until = max(self._paused_until, now + seconds)
            self._next = max(self._next, self._paused_until)

    def ease(self) -> None:
        """Shorten the spacing: a request was served."""
        with self._lock:
            self._spacing = 0.8 * self._spacing if self._spacing >= FIRST_SPACING else 0.0


def backoff(attempt: int, after: float | None) -> float:
    """Seconds to wait after failed try number `attempt` (from 0), on top of what the service asks for."""
    return (after or 0.0) + random.uniform(0.0, min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**attempt))


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: a number, or a date); never below 0."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
