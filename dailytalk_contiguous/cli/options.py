"""Values and words that several commands share."""

from collections.abc import Iterable
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.sources.addresses import is_address
from dailytalk_contiguous.sources.listing import as_text


def one_of(option: str, value: str, choices: Iterable[str]) -> str:
    """The value, if it is one of the choices. Raises DailytalkError naming them otherwise."""
    known = list(choices)
    if value not in known:
        raise DailytalkError(f"{option} can't be {value!r}", f"choose one of {', '.join(filter(None, known))}")
    return value


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
