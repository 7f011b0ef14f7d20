"""Values and words that several commands share."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.sources.addresses import is_address


def one_of(option: str, value: str, choices: Iterable[str]) -> str:
    """The value, if it is one of the choices. Raises DailytalkError naming them otherwise."""
    known = list(choices)
    if value not in known:
        raise DailytalkError(f"{option} can't be {value!r}", f"choose one of {', '.join(filter(None, known))}")
    return value


#: Seconds of each unit that a time may have on the command line.
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

#: What the help shows in place of a time.
TIME = "TIME"


def time_of(option: str, words: Mapping[str, float], least: float = 0.0) -> Callable[[str | float], float]:
    """A parser of times for typer: `15m`, `900s`, `1.5 h`, `300ms` in seconds. Defaults, which are floats, stay.

    A number without a unit is refused, except 0 where that is allowed: whoever writes 15 may mean minutes or
    seconds. The parser raises DailytalkError.

    Args:
        option: its name, for the error.
        words: what may be given in place of a time, such as `never`, and how many seconds that is.
        least: the shortest time in seconds.

    >>> time_of("--max-length", {"never": 0.0})("1.5m")
    90.0
    """

    def parse(text: str | float) -> float:
        if isinstance(text, float):
            return text
        bare = text.strip().lower()
        if bare in words:
            return words[bare]
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([a-z]*)", bare)
        if match and not match[2] and float(match[1]):
            raise DailytalkError(
                f"{option} {bare} has no unit", f"give {bare}m for minutes or {bare}s for seconds"
            )
        seconds = float(match[1]) * UNITS.get(match[2] or "s", math.nan) if match else math.nan
        if not seconds >= least:
            remedy = " or ".join(filter(None, ("give a time such as 15m, 90s or 1h", ", ".join(words))))
            raise DailytalkError(f"{option} can't be {text!r}", remedy)
        return seconds

    return parse


def on_this_machine(option: str, path: Path | None) -> None:
    """Raise DailytalkError for an address in a store or on the Web, where a command writes to a disk alone."""
    if path is not None and is_address(path):
        raise DailytalkError(
            f"{option} can't be {as_text(path)!r}", "name a folder of this machine, and copy it after"
        )


def size_text(count: int) -> str:
    """A number of bytes as people read it: `1.8 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def rate_of(text: str) -> int:
    """The Hz that `--sample-rate` asks for; 0 for `source`, the recording's own. Raises DailytalkError."""
    if text == "source":
        return 0
    if not text.isdecimal() or not LOWEST_RATE <= int(text) <= HIGHEST_RATE:
        raise DailytalkError(
            f"--sample-rate can't be {text!r}", f"give {LOWEST_RATE} to {HIGHEST_RATE}, or source"
        )
    return int(text)
