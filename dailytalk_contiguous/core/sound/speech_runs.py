"""Spans of speech from a model's probabilities of speech.

Starts and ends follow Silero's own rule (one threshold to begin, a lower one to end, padding on both sides), so
that segments are those of its authors. Closing gaps that are no real pause is an addition. Short utterances are
never dropped here, because the "mm-hm"s are what full-duplex models learn from.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps

#: Silero's probability from which speech begins.
THRESHOLD = 0.5

#: Seconds of Silero's shortest speech.
MIN_SPEECH = 0.25

#: Silero's distance from the threshold that begins speech to the one that ends it.
HYSTERESIS = 0.15

#: The lowest threshold that ends speech, in Silero's rule.
LOWEST_END = 0.01


def speech_spans(
    probabilities: NDArray[np.float32],
    total: float,
    frame: float,
    threshold: float = THRESHOLD,
    min_speech: float = MIN_SPEECH,
    min_silence: float = 0.35,
    pad: float = 0.03,
) -> list[TimeSpan]:
    """Return the starts and ends of speech, in seconds, in order and without overlap.

    Args:
        probabilities: probability of speech in each frame, in [0, 1], shape (frames,).
        total: seconds of the channel; nothing ends after it.
        frame: seconds that one probability covers.
        threshold: a run begins at a probability of at least this, and may end below it by `HYSTERESIS`.
        min_speech: seconds that a run (before padding) has to exceed to be speech.
        min_silence: seconds of silence that end a run; a shorter gap is closed, also one left after padding.
        pad: seconds added on both sides; where two runs are nearer than twice this they meet half-way.
    """
    all_runs = _runs(probabilities, total, frame, threshold, min_silence)
    runs = [(start, end) for start, end in all_runs if end - start > min_speech]
    spans: list[TimeSpan] = []
    ends_before = [-math.inf, *(end for _, end in runs)]
    starts_after = [*(start for start, _ in runs[1:]), math.inf]
    for (start, end), end_before, start_after in zip(runs, ends_before, starts_after, strict=False):
        silence_before = start - end_before
        silence_after = start_after - end
        padded_start = max(0.0, start - min(pad, silence_before / 2))
        padded_end = min(total, end + min(pad, silence_after / 2))
        spans.append((padded_start, padded_end))
    return merge_gaps(spans, min_silence)


def _runs(
    probabilities: NDArray[np.float32], total: float, frame: float, threshold: float, min_silence: float
) -> list[TimeSpan]:
    """Apply Silero's hysteresis, without its padding and without its limit on length."""
    lower = max(threshold - HYSTERESIS, LOWEST_END)
    runs: list[TimeSpan] = []
    start: int | None = None
    silent_since: int | None = None
    for index, probability in enumerate(probabilities.tolist()):
        if probability >= threshold:
            silent_since = None
            if start is None:
                start = index
        elif probability < lower and start is not None:
            if silent_since is None:
                silent_since = index
            silence = (index - silent_since) * frame
            if silence >= min_silence:
                runs.append((start * frame, silent_since * frame))
                start = None
                silent_since = None
    if start is not None:
        runs.append((start * frame, total))
    return runs


def speech_seconds(
    span: TimeSpan, probabilities: NDArray[np.float32], frame: float, threshold: float = THRESHOLD
) -> float:
    """Return the seconds of a span's frames with speech: at least one frame, at most the span's length."""
    start, end = span
    first = int(start / frame)
    last = max(first + 1, math.ceil(end / frame))
    is_speech = probabilities[first:last] >= threshold
    spoken = float(np.count_nonzero(is_speech)) * frame
    return min(max(spoken, frame), end - start)
