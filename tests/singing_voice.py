"""A synthesiser of a file of its own: it sings every line on one note."""

from typing import Any

import numpy as np

from dailytalk_contiguous import Engine, Licence, Line, Spoken, Synthesiser, VoiceSettings

RATE = 16000
HERTZ = 150.0


def sung() -> np.ndarray:
    """A second of a voice which dies away."""
    index = np.arange(RATE)
    phase = HERTZ * index / RATE
    voice = sum(0.1 / n * np.sin(2 * np.pi * n * phase) for n in range(1, 8))
    samples_to_edge = np.minimum(index, RATE - index)
    fade = np.clip(samples_to_edge / (0.2 * RATE), 0, 1) ** 2
    silence = np.zeros(RATE // 10)
    samples = np.concatenate((voice * fade, silence))
    return samples.astype(np.float32)


class Singer(Synthesiser):
    def __init__(self, chosen: VoiceSettings) -> None:
        pass

    def speak(self, line: Line, *_: Any) -> Spoken:
        return Spoken(sung(), RATE, None, 0.0)


ENGINE = Engine("singer", Singer, Licence("CC0-1.0", ""))
