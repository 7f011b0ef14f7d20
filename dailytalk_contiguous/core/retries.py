"""How long to wait before a request that failed is made again: to a paid service, a corpus's server, the Hub.

Waits grow exponentially. With jitter they are drawn between 0 and the longest
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter), so that threads that failed together do
not come back together. Which failures pass, and what else ends the tries, depends on who is asked.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from dailytalk_contiguous.core.documents import LATEST


@dataclass(frozen=True)
class Backoff:
    """How long to wait between the tries of a request.

    Attributes:
        first: seconds of the longest first wait; each after it is twice as long.
        longest: seconds of a wait; without jitter also where a server asks for more (`Retry-After`).
        jitter: whether a wait is drawn, and comes on top of what a server asks for.
    """

    first: float = 1.0
    longest: float = 60.0
    jitter: bool = False

    def seconds(self, attempt: int, after: float | None) -> float:
        """Seconds to wait after failed try number `attempt` (from 0), where a server asks for `after`."""
        longest: float = min(self.longest, self.first * 2**attempt)
        if self.jitter:
            requested = after or 0.0
            return requested + random.uniform(0.0, longest)
        return min(self.longest, max(longest, after or 0.0))


#: Waits between the requests to paid services, and to the servers of corpora.
backoff = Backoff(first=0.5, longest=30.0, jitter=True).seconds


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: a number, or a date); never below 0."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return min(LATEST, float(header))
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):  # of a time zone that is no time
        return None
    if not date.tzinfo:
        date = date.replace(tzinfo=UTC)
    wait = date - datetime.now(UTC)
    return max(0.0, wait.total_seconds())
