"""From probabilities of speech to utterances: where they begin and end, and where a long one is cut.

Starts and ends follow Silero's own rule (one threshold to begin, a lower one to end, padding on both sides), so
that our segments are those of its authors. What comes after is ours: gaps that are no real pause are closed,
and what is too long for a recogniser or a speech synthesiser is cut where it is quietest. Short utterances are
never dropped here, because the "mm-hm"s are what full-duplex models learn from.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Silero's distance from the threshold that begins speech to the one that ends it.
HYSTERESIS = 0.15

#: Seconds of sound over which a cut looks for quiet: longer than the closure of a stop consonant (50-120 ms),
#: so that a pause between words wins over the middle of a word.
QUIET_SECONDS = 0.2

#: Even pieces are at most this share of the longest allowed: a length of just two pieces would leave only one
#: place to cut, whatever is said there.
SLACK = 0.9


class Span(NamedTuple):
    """A stretch of one channel, in seconds. Pieces cut from one run of speech share its number `run`."""

    start: float
    end: float
    run: int


def speech_spans(
    probabilities: NDArray[np.float32],
    total: float,
    frame: float,
    threshold: float = 0.5,
    min_speech: float = 0.25,
    min_silence: float = 0.35,
    pad: float = 0.03,
) -> list[tuple[float, float]]:
    """Starts and ends of speech, in seconds, in order and without overlap.

    Args:
        probabilities: of speech, one a frame, in [0, 1], shape (frames,).
        total: seconds of the channel; nothing ends after it.
        frame: seconds that one probability stands for.
        threshold: a run begins at a probability of at least this, and may end below it by `HYSTERESIS`.
        min_speech: seconds; a shorter run (before padding) is no speech.
        min_silence: seconds of silence that end a run; a shorter gap is closed, also one left after padding.
        pad: seconds added on both sides; where two runs are nearer than twice this they meet half-way.
    """
    runs = [
        (start, end)
        for start, end in _runs(probabilities, total, frame, threshold, min_silence)
        if end - start > min_speech
    ]
    spans: list[tuple[float, float]] = []
    for index, (start, end) in enumerate(runs):
        before = start - runs[index - 1][1] if index else math.inf
        after = runs[index + 1][0] - end if index + 1 < len(runs) else math.inf
        spans.append((max(0.0, start - min(pad, before / 2)), min(total, end + min(pad, after / 2))))
    return merge_gaps(spans, min_silence)


def merge_gaps(spans: Sequence[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Close every gap of at most `gap` seconds between spans that are in order."""
    merged: list[tuple[float, float]] = []
    for start, end in spans:
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def cut_long(
    spans: Sequence[tuple[float, float]], levels: NDArray[np.float32], frame: float, longest: float = 12.0
) -> list[Span]:
    """Cut spans longer than `longest` seconds at their quietest points; nothing is left out between pieces.

    Args:
        spans: starts and ends in seconds.
        levels: mean square of the channel in each frame, shape (frames,).
        frame: seconds a frame.
        longest: seconds.
    """
    width = max(1, round(QUIET_SECONDS / frame))
    smooth = np.convolve(levels, np.full(width, 1 / width, np.float32), mode="same").astype(np.float32)
    pieces: list[Span] = []
    for run, (start, end) in enumerate(spans):
        while end - start > longest:
            cut = _quietest(smooth, frame, *_cut_range(start, end, longest))
            pieces.append(Span(start, cut, run))
            start = cut
        pieces.append(Span(start, end, run))
    return pieces


def balanced_range(length: float, longest: float) -> tuple[float, float]:
    """Where the first cut of `length` seconds may fall, from its beginning, for even pieces under `longest`.

    The rest must still fit into one piece fewer; within that, at most half a piece away from an even cut. There is
    always a choice: pieces are `SLACK` of the longest at most when they are even.
    """
    pieces = pieces_of(length, longest)
    even = length / pieces
    return max(length - (pieces - 1) * longest, 0.5 * even), min(longest, 1.5 * even)


def pieces_of(length: float, longest: float) -> int:
    """Into how many pieces `length` seconds are cut."""
    return math.ceil(length / (SLACK * longest)) if length > longest else 1


def frame_levels(samples: NDArray[np.float32], frame_samples: int) -> NDArray[np.float32]:
    """Mean square of each frame of a channel, shape (ceil(n / frame_samples),); the last is zero-padded."""
    padded = np.pad(samples, (0, -len(samples) % frame_samples)).reshape(-1, frame_samples)
    return np.asarray(np.einsum("ij,ij->i", padded, padded) / frame_samples, np.float32)


def speech_seconds(
    span: tuple[float, float], probabilities: NDArray[np.float32], frame: float, threshold: float = 0.5
) -> float:
    """Seconds of a span whose frames are speech; at most the span's length, and at least one frame of it."""
    first, last = int(span[0] / frame), max(int(span[0] / frame) + 1, math.ceil(span[1] / frame))
    spoken = float(np.count_nonzero(probabilities[first:last] >= threshold)) * frame
    return min(max(spoken, frame), span[1] - span[0])


def _runs(
    probabilities: NDArray[np.float32], total: float, frame: float, threshold: float, min_silence: float
) -> list[tuple[float, float]]:
    """Silero's hysteresis, without its padding and without its limit on length."""
    lower = max(threshold - HYSTERESIS, 0.01)
    runs: list[tuple[float, float]] = []
    start: int | None = None
    silent_since: int | None = None
    for index, probability in enumerate(probabilities.tolist()):
        if probability >= threshold:
            silent_since = None
            start = index if start is None else start
        elif probability < lower and start is not None:
            silent_since = index if silent_since is None else silent_since
            if (index - silent_since) * frame >= min_silence:
                runs.append((start * frame, silent_since * frame))
                start = silent_since = None
    if start is not None:
        runs.append((start * frame, total))
    return runs


def _cut_range(start: float, end: float, longest: float) -> tuple[float, float]:
    low, high = balanced_range(end - start, longest)
    return start + low, start + high


def _quietest(smooth: NDArray[np.float32], frame: float, low: float, high: float) -> float:
    first = math.ceil(low / frame)
    last = max(first + 1, math.floor(high / frame))
    window = smooth[first:last]
    if not len(window):
        return (low + high) / 2
    return min(max((first + int(np.argmin(window)) + 0.5) * frame, low), high)
