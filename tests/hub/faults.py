"""Faults of the server on demand: which request fails, and how.

A fault is armed for the n-th request that fits, counted from then on, and lasts for a number of such requests.
`times=math.inf` is a server that is gone for good.
"""

import re
import threading
from dataclasses import dataclass, field

#: Kinds of fault. die_before: the connection is closed before the request is handled; die_after: after it was
#: handled, without an answer; cut: half of the answer's body is sent and the connection closed. A number is the
#: status of the answer to a request that is not handled.
KINDS = frozenset({"die_before", "die_after", "cut", "429", "500", "502", "503", "504"})


@dataclass(eq=False)
class Fault:
    """Fails the requests number `nth` to `nth + times - 1` (from 1) of those that fit.

    Attributes:
        method, path: regular expressions; the path's is searched for in the path with its query, as it was sent.
        seen: requests that fitted since it was armed.
        struck: how often it struck.
    """

    kind: str
    nth: int = 1
    times: float = 1
    method: str = ".*"
    path: str = ""
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; there are {', '.join(sorted(KINDS))}")

    def strikes(self, method: str, path: str) -> bool:
        if not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        self.seen += 1
        hit = self.nth <= self.seen < self.nth + self.times
        self.struck += hit
        return hit


class Faults:
    """The faults of a server. Those armed first come first; a request that meets one is not seen by the others."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._lock = threading.Lock()

    def arm(
        self,
        kind: str,
        nth: int = 1,
        times: float = 1,
        method: str = ".*",
        path: str = "",
    ) -> Fault:
        fault = Fault(kind, nth, times, method, path)
        with self._lock:
            self._armed.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def meet(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._armed if fault.strikes(method, path)), None)
