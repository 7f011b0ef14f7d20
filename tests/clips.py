"""Clips of one speaker for tests of expressive corpora: lines of the bundled conversations, made quiet around."""

from functools import lru_cache
from typing import Any

import numpy as np
from audio_files import Samples, example, reference, struct_of, wav_bytes

RATE = 16000


@lru_cache(maxsize=None)
def line(name: str = "old_friends", channel: str = "left", number: int = 0, edge: float = 0.6) -> Samples:
    """One line of a speaker with `edge` seconds of digital silence before and after it, shape (n,)."""
    utterances = [utterance for utterance in reference(name) if utterance["channel"] == channel]
    utterance = utterances[number]
    first = round(utterance["start"] * RATE)
    last = round(utterance["end"] * RATE)
    side = ("left", "right").index(channel)
    spoken = example(name)[first:last, side]
    quiet = np.zeros(round(edge * RATE), np.float32)
    samples = np.concatenate((quiet, spoken, quiet))
    samples.setflags(write=False)
    return samples


def clips(*recordings: Samples | bytes, rate: int = RATE, **columns: list[Any]) -> dict[str, list[Any]]:
    """A batch of clips as an importer yields it, as far as conditioning needs it."""
    ids = []
    audios = []
    for number, recording in enumerate(recordings):
        ids.append(f"corpus/clip{number}")
        encoded = recording if isinstance(recording, bytes) else wav_bytes(recording, rate)
        audios.append(struct_of(encoded))
    return {"id": ids, "audio": audios} | columns
