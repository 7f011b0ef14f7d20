"""Spans of sound in clean, synthesised speech, found by level alone."""

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.levels import frame_levels, loud_db
from dailytalk_contiguous.core.spans import TimeSpan, true_runs

#: Seconds of a frame of synthesised speech.
VOICED_FRAME = 0.01

#: dB under the loud frames (their 95th percentile) down to which a frame still sounds. That keeps weak fricatives,
#: which are 20-30 dB under vowels, and leaves out room tone.
BELOW_LOUD_DB = 35.0

#: Seconds under which a sound is a click.
SHORTEST_SPAN = 0.02

#: dBFS under which there is silence.
SILENCE_DB = -80.0


def voiced_spans(samples: NDArray[np.float32], sample_rate: int) -> list[TimeSpan]:
    """Return the spans of sound in clean, synthesised speech (mono in [-1, 1]), in seconds and in order.

    There are none in silence (nothing above -80 dBFS). For recorded speech use `speech_spans`.
    """
    if not len(samples):
        return []
    length = round(VOICED_FRAME * sample_rate)
    levels = 10 * np.log10(frame_levels(samples, length) + 1e-20)
    floor = max(loud_db(levels) - BELOW_LOUD_DB, SILENCE_DB)
    runs = true_runs(levels > floor) * length
    spans = runs.clip(max=len(samples)) / sample_rate
    return [(start, end) for start, end in spans.tolist() if end - start >= SHORTEST_SPAN]
