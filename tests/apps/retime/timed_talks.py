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
    begins: float = 0.5,
    **columns: Any,
) -> dict[str, Any]:
    """A conversation in which speakers alternate; an offset of 9 or more is a pause of so many seconds less 9."""
    lines = list[tuple[str, float, float, str]]()
    side = 0
    end = begins
    for number, offset in enumerate((0.0, *offsets)):
        length = lengths[number % len(lengths)]
        goes_on = offset >= 9.0
        if number and not goes_on:
            side = 1 - side
        gap = offset - 9.0 if goes_on else offset
        start = round(end + gap, 4)
        channel = ("left", "right")[side]
        lines.append((channel, start, round(start + length, 4), "yes indeed"))
        end = start + length
    seconds = round(end + 0.5, 3)
    return built_row(name, lines, seconds=seconds, rate=rate, **columns)
