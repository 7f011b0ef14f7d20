"""Loudness and true peak of a clip, and the one gain that brings it to −23 LUFS.

Nothing but a gain is done to a performance: where −23 LUFS would break the ceiling of −1 dBTP the gain is lowered
instead of limiting, because a limiter takes the attack from a shout and what is missing can be read from a column.
Speech seldom gets there: its peaks lie 12 to 20 dB over its loudness, the ceiling lies 22 dB over the target.
"""

import math
from typing import NamedTuple

import numpy as np
import soxr

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.mixing import loudness

#: LUFS (EBU R128, programme loudness) and dBTP (EBU R128, maximum true-peak level).
TARGET_LUFS, CEILING_DBTP = -23.0, -1.0

#: Seconds of the momentary window (EBU Tech 3341), and between two of them (ITU-R BS.1770-4's overlap of 75 %).
MOMENTARY, STEP = 0.4, 0.1

#: Seconds under which a clip's loudness is its momentary maximum: of fewer than four blocks the gate of BS.1770
#: can't tell a pause from speech. Not more, although momentary loudness is also used for longer clips: on the
#: bundled conversations its maximum lies 0.9 LU over the integrated loudness at 0.7 s but 2.6 LU at 3 s, so the
#: clips of a corpus on this side of 3 s would come out audibly softer than those on the other.
SHORT = 0.7

#: Oversampling at which true peaks are read (ITU-R BS.1770-4, Annex 2).
OVERSAMPLING = 4

#: Steps in which a gain is found, and the last of them in dB: nearly always the first meets the target.
_MOST_STEPS, _SMALLEST_STEP_DB = 8, 0.01

#: What rounding to 16 bits may add to a true peak: half a step a sample, summed by the interpolation.
_ROUNDING = 2 / 32768


class Levelled(NamedTuple):
    """A clip after its gain: samples, the gain in dB, loudness in LUFS and true peak in dBTP."""

    samples: Samples
    gain_db: float
    lufs: float
    true_peak_dbtp: float


def clip_loudness(samples: Samples, sample_rate: int) -> float:
    """Loudness in LUFS of one channel of shape (n,) as a mono signal; −inf for silence or under the gate.

    Integrated (ITU-R BS.1770-4); the momentary maximum of what is shorter than `SHORT`.
    """
    if len(samples) >= SHORT * sample_rate:
        return loudness(samples, sample_rate)
    width, step = round(MOMENTARY * sample_rate), round(STEP * sample_rate)
    starts = range(0, max(len(samples) - width, 0) + 1, step)
    return max(loudness(samples[start : start + width], sample_rate) for start in starts)


def true_peak_dbtp(samples: Samples, sample_rate: int) -> float:
    """The highest level between and at the samples of one channel, in dB of full scale; −inf for silence."""
    if not len(samples):
        return -math.inf
    between = soxr.resample(samples, sample_rate, OVERSAMPLING * sample_rate)
    return decibels(max(float(np.abs(between).max(initial=0.0)), float(np.abs(samples).max())))


def levelled(samples: Samples, sample_rate: int, target_lufs: float, ceiling_dbtp: float) -> Levelled | None:
    """Bring one channel of shape (n,) to a loudness by one gain, as far as the ceiling for true peaks allows.

    None where it has no loudness (silence, or all of it under the absolute gate of −70 LUFS).
    """
    before = clip_loudness(samples, sample_rate)
    if not math.isfinite(before):
        return None
    peak_db = true_peak_dbtp(samples, sample_rate)
    room_db = decibels(10 ** (ceiling_dbtp / 20) - _ROUNDING) - peak_db
    gain_db, lufs, louder = 0.0, before, samples
    # What was under the absolute gate before may be over it now, so the loudness is not simply the sum.
    for _ in range(_MOST_STEPS):
        step_db = min(target_lufs - lufs, room_db - gain_db)
        if abs(step_db) < _SMALLEST_STEP_DB:
            break
        gain_db += step_db
        louder = samples * np.float32(10 ** (gain_db / 20))
        lufs = clip_loudness(louder, sample_rate)
    return Levelled(louder, gain_db, lufs, peak_db + gain_db)


def decibels(amplitude: float) -> float:
    """An amplitude in dB of full scale; −inf for 0."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
