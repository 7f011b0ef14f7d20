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
    body = np.linspace(first, MIDDLE, 2 * RATE)
    ending = np.linspace(MIDDLE, last, round(0.3 * RATE))
    pitch = np.concatenate((body, ending))
    phase = np.cumsum(pitch) / RATE
    voice = sum(0.1 / n * np.sin(2 * np.pi * n * phase) for n in range(1, 8))
    index = np.arange(len(pitch))
    samples_to_edge = np.minimum(index, len(pitch) - index)
    fade = np.clip(samples_to_edge / (0.05 * RATE), 0, 1)
    silence = np.zeros(RATE // 10)
    samples = np.concatenate((voice * fade, silence))
    return samples.astype(np.float32)


class Speaker(Synthesiser):
    def __init__(self, chosen: VoiceSettings) -> None:
        pass

    def speak(self, line: Line, *_: Any) -> Spoken:
        first, last = TAKES[line.take % 2]
        return Spoken(said(first, last), RATE, None, 0.0)


ENGINE = Engine("speaker", Speaker, Licence("CC0-1.0", ""))
