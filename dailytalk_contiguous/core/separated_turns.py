"""Recordings that came with one channel: on which side each stretch is, whose samples it has, how sure that is.

`dailytalk separate` makes two channels of one and says so (`core.schema.SEPARATED_TURN`). Outside of its turns a
side is room tone, and where both speak without a separator both sides hold both voices, so that what holds for two
microphones (a leak, one signal twice, a measure of overlap) does not hold here.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.utterance import texts_of

#: The side of the other speaker.
OTHER_SIDE = dict(zip(CHANNELS, reversed(CHANNELS), strict=True))

#: What to do with a recording of one channel where two are needed.
ONE_CHANNEL = "pass --separate if two people speak in it, or --channel mix to take it as one speaker"

#: Whose samples a stretch has, from the recording's own to those of both voices. An utterance has its last one.
ORIGINS = ("recorded", "separated", "mixed")

#: A side is doubtful below this probability of being right: who checks all that is below finds a mistake in every
#: tenth line at the border. Of six recordings, clean and with noise, that are 7 % of all turns.
DOUBTFUL = 0.9


def turns_within(turns: Iterable[Mapping[str, Any]], offset: float, duration: float) -> list[dict[str, Any]]:
    """The parts of turns in [offset, offset + duration), in seconds from `offset`."""
    moved = (
        {**turn, "start": max(0.0, turn["start"] - offset), "end": min(duration, turn["end"] - offset)}
        for turn in turns
    )
    return [turn for turn in moved if turn["start"] < turn["end"]]


def frames_of(turns: Iterable[Mapping[str, Any]], n_frames: int, frame: float, pad: float) -> NDArray[np.bool_]:
    """Which frames of `frame` seconds are in a turn, or within `pad` seconds of one."""
    inside = np.zeros(n_frames, bool)
    for turn in turns:
        inside[max(0, int((turn["start"] - pad) / frame)) : math.ceil((turn["end"] + pad) / frame)] = True
    return inside


def side_of(turns: Iterable[Mapping[str, Any]], start: float, end: float) -> tuple[str | None, float | None]:
    """The origin of a stretch of a side that has these turns, and the mean of their confidence by time.

    None where it has none.
    """
    inside = [turn for turn in turns if turn["start"] < end and start < turn["end"]]
    if not inside:
        return None, None
    seconds = [min(turn["end"], end) - max(turn["start"], start) for turn in inside]
    confidence = np.average([turn["confidence"] for turn in inside], weights=seconds)
    return max((turn["origin"] for turn in inside), key=ORIGINS.index), float(confidence)


def is_doubtful(utterance: Mapping[str, Any]) -> bool:
    """Return whether an utterance, or its line, may be on the wrong side; False if a person has set its side.

    >>> is_doubtful({"side_confidence": 0.6}), is_doubtful({"side_confidence": 0.6, "edited_fields": ["channel"]})
    (True, False)
    """
    confidence, edited = utterance.get("side_confidence"), texts_of(utterance.get("edited_fields")) or ()
    return is_number(confidence) and confidence < DOUBTFUL and "channel" not in edited
