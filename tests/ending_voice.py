"""A synthesiser of a file of its own: it says every line alike, and each take ends in another way."""

from typing import Any

import numpy as np

from dailytalk_contiguous import Engine, Licence, Line, Spoken, Synthesiser, VoiceSettings

RATE = 16000

#: Hz at the start of the body of each take, which falls to `MIDDLE`, and at the end of its last 0.3 s.
MIDDLE = 130.0
TAKES = ((140.0, 105.0), (180.0, 165.0))


def said(first: float, last: float) -> np.ndarray:
    """Two seconds of a voice that falls, and 0.3 s in which it goes on to fall, or rises; then it dies away."""
    pitch = np.concatenate((np.linspace(first, MIDDLE, 2 * RATE), np.linspace(MIDDLE, last, round(0.3 * RATE))))
    phase = np.cumsum(pitch) / RATE
    voice = sum(0.1 / n * np.sin(2 * np.pi * n * phase) for n in range(1, 8))
    count = len(pitch)
    fade = np.clip(np.minimum(np.arange(count), count - np.arange(count)) / (0.05 * RATE), 0, 1)
    return np.concatenate((voice * fade, np.zeros(RATE // 10))).astype(np.float32)


class Speaker(Synthesiser):
    def __init__(self, chosen: VoiceSettings) -> None:
        pass

    def speak(self, line: Line, *_: Any) -> Spoken:
        return Spoken(said(*TAKES[line.take % 2]), RATE, None, 0.0)


ENGINE = Engine("speaker", Speaker, Licence("CC0-1.0", ""))
