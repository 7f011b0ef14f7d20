"""Whether synthesised speech can be what it should be, from its samples, its text and the source's length alone.

A service may answer with silence, half a sentence or a minute of babble and call it a success; nothing of that may
enter a dataset. The limits are wide: they refuse what is broken, not what is slow or hasty. Speech rate is judged
in letters, since words a second would refuse "Mm-hm." and long single words.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Seconds over which loudness is measured: shorter than any speech sound.
FRAME_SECONDS = 0.01

#: A digit is said in about four letters (the mean of "zero" to "nine").
LETTERS_OF_A_DIGIT = 4

#: Full scale is taken to begin here, and this many samples in a row are a cut-off wave, not a peak.
FULL_SCALE, CLIPPED_RUN = 0.999, 3


@dataclass(frozen=True)
class Gate:
    """The limits.

    Attributes:
        silent_dbfs: speech whose loudest 10 ms have less RMS than this is silence.
        edge_db: what lies this far below the loudest 10 ms, at either end, is edge silence. Faint fricatives lie
            some 30-40 dB below the vowels of the same speaker.
        edge_kept: seconds of edge silence to keep, so that no onset is cut.
        clipped_share: of samples in clipped runs that is still good.
        shortest_ratio, longest_ratio: of its length to the source utterance's.
        slack: seconds by which it may be longer in any case: a short "Yeah" easily takes three times as long.
        slowest, fastest: letters per second. `slack` counts for `slowest` too.
    """

    silent_dbfs: float = -50.0
    edge_db: float = 45.0
    edge_kept: float = 0.025
    clipped_share: float = 0.001
    shortest_ratio: float = 0.4
    longest_ratio: float = 2.5
    slack: float = 0.8
    slowest: float = 2.0
    fastest: float = 25.0


class Judged(NamedTuple):
    """Speech without its edge silence, the seconds cut at its start, and why it can't be used (None: it can)."""

    samples: NDArray[np.float32]
    start: float
    reason: str | None


def judge(
    samples: NDArray[np.float32],
    sample_rate: int,
    text: str,
    source_seconds: float | None,
    gate: Gate | None = None,
) -> Judged:
    """Trim speech and say whether it can be `text`.

    Args:
        samples: mono in [-1, 1], shape (n,).
        sample_rate: Hz.
        text: what should be said, without its tag.
        source_seconds: length of the utterance that it replaces; None where there was none.
        gate: the limits; None for the defaults.
    """
    gate = gate or Gate()
    if not len(samples):
        return Judged(samples, 0.0, "it is empty")
    if not np.isfinite(samples).all():
        return Judged(samples, 0.0, "it holds samples that are not numbers")
    loudest = _frame_rms(samples, sample_rate).max()
    if loudest < _linear(gate.silent_dbfs):
        return Judged(samples, 0.0, f"it is silent (nothing above {gate.silent_dbfs:.0f} dBFS)")
    first, last = edges(samples, sample_rate, gate)
    trimmed = samples[first:last]
    seconds = len(trimmed) / sample_rate
    reason = _clipping(trimmed, gate) or _length(seconds, source_seconds, gate) or _rate(seconds, text, gate)
    return Judged(trimmed, first / sample_rate, reason)


def edges(samples: NDArray[np.float32], sample_rate: int, gate: Gate) -> tuple[int, int]:
    """First sample to keep and the one after the last: from the first loud frame to the last, and `edge_kept`."""
    loudness = _frame_rms(samples, sample_rate)
    loud = np.flatnonzero(loudness >= loudness.max() * _linear(-gate.edge_db))
    frame = _frame_samples(sample_rate)
    kept = round(gate.edge_kept * sample_rate)
    return max(0, int(loud[0]) * frame - kept), min(len(samples), (int(loud[-1]) + 1) * frame + kept)


def _clipping(samples: NDArray[np.float32], gate: Gate) -> str | None:
    full = np.abs(samples) >= FULL_SCALE
    bounds = np.flatnonzero(np.diff(full.astype(np.int8), prepend=0, append=0))
    runs = bounds[1::2] - bounds[::2]
    share = runs[runs >= CLIPPED_RUN].sum() / len(samples)
    return f"it is clipped ({share:.1%} of it)" if share > gate.clipped_share else None


def _length(seconds: float, source_seconds: float | None, gate: Gate) -> str | None:
    if source_seconds is None:
        return None
    told = f"{seconds:.2f} s in place of {source_seconds:.2f} s"
    if seconds < gate.shortest_ratio * source_seconds:
        return f"it is too short ({told})"
    if seconds > gate.longest_ratio * source_seconds and seconds >= source_seconds + gate.slack:
        return f"it is too long ({told})"
    return None


def _rate(seconds: float, text: str, gate: Gate) -> str | None:
    letters = sum(map(str.isalnum, text))
    spoken = letters + (LETTERS_OF_A_DIGIT - 1) * sum(map(str.isdecimal, text))
    if not letters:
        return None
    if letters / seconds > gate.fastest:
        return f"it is too short for its text ({letters} letters in {seconds:.2f} s)"
    if seconds > spoken / gate.slowest + gate.slack:
        return f"it is too long for its text ({letters} letters in {seconds:.2f} s)"
    return None


def _frame_samples(sample_rate: int) -> int:
    return max(1, round(FRAME_SECONDS * sample_rate))


def _frame_rms(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """RMS of each frame; the last one may be shorter."""
    frame = _frame_samples(sample_rate)
    starts = np.arange(0, len(samples), frame)
    sums = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    means: NDArray[np.float64] = np.sqrt(sums / np.diff(starts, append=len(samples)))
    return means


def _linear(decibels: float) -> float:
    return float(10.0 ** (decibels / 20.0))
