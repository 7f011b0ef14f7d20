"""How long to go on asking a server that fails: a few times, further and further apart, and never for ever.

What is worth another try is told by the answer's status, or by the connection having failed; anything else is an
answer. Requests that must not be made twice (a commit) are not for `retried`: see `publish.pushing.commit`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

Answer = TypeVar("Answer")

#: Statuses after which the same request may succeed: timeouts, too many requests, and failures of the server.
_PASSING = (408, 429, 500, 502, 503, 504)

#: What the client library raises for a connection that failed. Its HTTP library changed with huggingface_hub 2.0,
#: so it is named through the one error that all versions share.
_CONNECTION: type[Exception] = HfHubHTTPError.__bases__[0]

#: What may come of a request, for those who look at each failure themselves.
FAILURES = (_CONNECTION, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class Patience:
    """How often a request is made, and how long to wait in between.

    Attributes:
        tries: of one request, at least 1.
        first: seconds before the second try; each wait after it is twice as long.
        longest: seconds of a wait, also where a server asks for more (`Retry-After`).
        sleep: waits for some seconds.
    """

    tries: int = 5
    first: float = 1.0
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def waits(self, attempt: int, error: Exception) -> bool:
        """Wait before the next try, if there is to be one; `attempt` counts the failed tries from 1."""
        if attempt >= self.tries or not is_passing(error):
            return False
        self.sleep(min(self.longest, max(self.first * 2 ** (attempt - 1), _asked_for(error))))
        return True


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING
    return isinstance(error, FAILURES) and not isinstance(error, OfflineModeIsEnabled)


def retried(request: Callable[[], Answer], patience: Patience) -> Answer:
    """The answer to a request that may be made more than once. Raises what its last try raised."""
    attempt = 1
    while True:
        try:
            return request()
        except FAILURES as error:
            if not patience.waits(attempt, error):
                raise
            attempt += 1


def _asked_for(error: Exception) -> float:
    """Seconds that the server asks to be left alone for; 0 where it does not say, or names a date."""
    if not isinstance(error, HfHubHTTPError):
        return 0.0
    told = error.response.headers.get("Retry-After", "")
    return float(told) if told.isdecimal() else 0.0
