"""Values that options of several commands share."""

from collections.abc import Iterable

from dailytalk_contiguous.core.errors import DailytalkError


def one_of(option: str, value: str, choices: Iterable[str]) -> str:
    """The value, if it is one of the choices. Raises DailytalkError naming them otherwise."""
    known = list(choices)
    if value not in known:
        raise DailytalkError(f"{option} can't be {value!r}", f"choose one of {', '.join(filter(None, known))}")
    return value
