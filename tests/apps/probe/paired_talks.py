"""Conversations in which the right speaker answers the left one, made on the spot."""

from typing import Any

import numpy as np
from built_conversations import built_row
from numpy.typing import NDArray

#: Frames a second.
RATE = 20


def paired(seconds: float, seed: int) -> NDArray[np.bool_]:
    """Both sides by turns of 0.5 to 2 s, each 0.2 to 0.4 s after the other; shape (frames, 2)."""
    chance = np.random.default_rng(seed)
    active = np.zeros((round(seconds * RATE), 2), bool)
    at = 4
    side = 0
    while at < len(active):
        end = at + int(chance.integers(10, 40))
        active[at:end, side] = True
        at = end + int(chance.integers(4, 9))
        side = 1 - side
    return active


def row_of(name: str, active: NDArray[np.bool_], **columns: Any) -> dict[str, Any]:
    """A finished conversation of 8 kHz with these utterances, at the times that they had in its recording."""
    lines = []
    for side, channel in enumerate(("left", "right")):
        edges = np.flatnonzero(np.diff(active[:, side], prepend=False, append=False)).reshape(-1, 2) / RATE
        lines += [(channel, start, end, "yes") for start, end in edges.tolist()]
    row = built_row(name, sorted(lines, key=lambda line: line[1]), len(active) / RATE, 8000, **columns)
    for said in row["utterances"]:
        said |= {"source_start": said["start"], "source_end": said["end"]}
    return row
