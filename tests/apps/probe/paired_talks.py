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
    start = 4
    side = 0
    while start < len(active):
        end = start + int(chance.integers(10, 40))
        active[start:end, side] = True
        start = end + int(chance.integers(4, 9))
        side = 1 - side
    return active


def row_of(name: str, active: NDArray[np.bool_], **columns: Any) -> dict[str, Any]:
    """A finished conversation of 8 kHz with these utterances, at the times that they had in its recording."""
    lines = []
    for side, channel in enumerate(("left", "right")):
        changes = np.diff(active[:, side], prepend=False, append=False)
        spans = np.flatnonzero(changes).reshape(-1, 2) / RATE
        lines += [(channel, start, end, "yes") for start, end in spans.tolist()]
    lines.sort(key=lambda line: line[1])
    row = built_row(name, lines, len(active) / RATE, 8000, **columns)
    for utterance in row["utterances"]:
        utterance["source_start"] = utterance["start"]
        utterance["source_end"] = utterance["end"]
    return row
