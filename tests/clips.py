"""Clips of one speaker for tests of expressive corpora: lines of the bundled conversations, made quiet around."""

from functools import lru_cache
from typing import Any

import numpy as np
from audio_files import Samples, example, reference, struct_of, wav_bytes

RATE = 16000


@lru_cache(maxsize=None)
def line(name: str = "old_friends", channel: str = "left", number: int = 0, edge: float = 0.6) -> Samples:
    """One line of a speaker with `edge` seconds of digital silence before and after it, shape (n,)."""
    own = [one for one in reference(name) if one["channel"] == channel]
    start, end = (round(own[number][key] * RATE) for key in ("start", "end"))
    quiet = np.zeros(round(edge * RATE), np.float32)
    samples = np.concatenate((quiet, example(name)[start:end, ("left", "right").index(channel)], quiet))
    samples.setflags(write=False)
    return samples


def clips(*recordings: Samples | bytes, rate: int = RATE, **columns: list[Any]) -> dict[str, list[Any]]:
    """A batch of clips as an importer yields it, as far as conditioning needs it."""
    encoded = [one if isinstance(one, bytes) else wav_bytes(one, rate) for one in recordings]
    return {
        "id": [f"corpus/clip{number}" for number in range(len(encoded))],
        "audio": [struct_of(one) for one in encoded],
    } | columns
