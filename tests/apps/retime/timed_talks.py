"""Finished conversations with given offsets between their turns, made on the spot."""

from collections.abc import Sequence
from typing import Any

from built_conversations import built_row, write_dataset

__all__ = ["talk", "write_dataset"]


def talk(
    name: str,
    offsets: Sequence[float],
    lengths: Sequence[float] = (1.0,),
    rate: int = 8000,
    at: float = 0.5,
    **columns: Any,
) -> dict[str, Any]:
    """A conversation in which speakers alternate; an offset of 9 or more is a pause of so many seconds less 9."""
    lines = list[tuple[str, float, float, str]]()
    side = 0
    for number, offset in enumerate((0.0, *offsets)):
        length = lengths[number % len(lengths)]
        goes_on = offset >= 9.0
        side = side if goes_on or not number else 1 - side
        start = round(at + (offset - 9.0 if goes_on else offset), 4)
        lines.append((("left", "right")[side], start, round(start + length, 4), "yes indeed"))
        at = start + length
    return built_row(name, lines, seconds=round(at + 0.5, 3), rate=rate, **columns)
