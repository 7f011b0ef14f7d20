"""A synthesiser of a file of its own: it sings every line, each take with another melody."""

from typing import Any

import numpy as np

from dailytalk_contiguous import Engine, Licence, Line, Spoken, Synthesiser, VoiceSettings

RATE = 16000
#: Hz at the start and the end of each take.
MELODIES = ((150.0, 150.0), (110.0, 190.0), (190.0, 110.0))


def sung(first: float, last: float) -> np.ndarray:
    """A second of a voice whose pitch glides, and which dies away."""
    phase = np.cumsum(np.linspace(first, last, RATE)) / RATE
    voice = sum(0.1 / n * np.sin(2 * np.pi * n * phase) for n in range(1, 8))
    index = np.arange(RATE)
    samples_to_edge = np.minimum(index, RATE - index)
    fade = np.clip(samples_to_edge / (0.2 * RATE), 0, 1) ** 2
    silence = np.zeros(RATE // 10)
    samples = np.concatenate((voice * fade, silence))
    return samples.astype(np.float32)


class Singer(Synthesiser):
    def __init__(self, chosen: VoiceSettings) -> None:
        pass

    def speak(self, line: Line, *_: Any) -> Spoken:
        first, last = MELODIES[line.take % 3]
        return Spoken(sung(first, last), RATE, None, 0.0)


ENGINE = Engine("singer", Singer, Licence("CC0-1.0", ""))
