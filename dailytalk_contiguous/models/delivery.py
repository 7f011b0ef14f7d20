"""Delivery: how alike two performances of a line are in melody, loudness and ending, for any speakers and rates.

Each is compared with its own speaker: pitch in semitones and level in dB from the medians of all that they say.
Time is warped (dynamic time warping, Sakoe and Chiba 1978, IEEE Trans. ASSP 26:43, symmetric, without a band), so
that a slower performance with the same rises and falls is alike. Frame by frame a melody on one note is nearer to
any than another one is, so how far pitch moves at all is compared, too.

Endings say whether a speaker has finished, and are a small part of a line, so they are compared once more by
themselves: how pitch moves, how long the last syllable is held, and how loud it is.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.machine.librosa_import import import_librosa
from dailytalk_contiguous.models.contours import Frames, track_voice

#: Seconds from a frame to the next.
HOP_SECONDS = 0.032

#: Seconds of a frame.
FRAME_SECONDS = 0.05

#: Semitones that are as far apart as can be counted, which is 1.
MOST_SEMITONES = 6.0

#: dB that are as far apart as can be counted, which is 1.
MOST_DB = 12.0

#: The cost of voiced against unvoiced.
VOICING_COST = 0.5

#: dB below its speaker's level from which a frame is silence, so that noise of a recording is no delivery.
SILENCE_DB = -30.0

#: Frames of a performance; the rest of a longer one is not compared: a minute.
MOST_FRAMES = round(60 / HOP_SECONDS)


class Performance(NamedTuple):
    """Pitch in Hz (0 where unvoiced) and level in dBFS of frames `HOP_SECONDS` apart, each of shape (frames,)."""

    f0: Frames
    level: Frames

    @property
    def voiced(self) -> NDArray[np.bool_]:
        return self.f0 > 0


class Register(NamedTuple):
    """The usual values of a speaker, as medians.

    Attributes:
        f0: median pitch of voiced frames, in Hz.
        level: median level of voiced frames, in dBFS.
        semitones: over which pitch moves in a performance.
        syllable: seconds of a syllable that is not the last of its performance.
    """

    f0: float
    level: float
    semitones: float
    syllable: float


class Ending(NamedTuple):
    """The end of a performance.

    Attributes:
        rise: semitones by which pitch rises in `ENDING_SECONDS`, by the median slope of its last voiced frames
            (Sen 1968, "Estimates of the regression coefficient based on Kendall's tau", JASA 63:1379); less than 0
            where it falls, None where too few are voiced.
        lengthening: the length of the last syllable over the usual one of its speaker, in doublings; less than 0
            where it is shorter.
        level: level of the last `ENDING_SECONDS` over the usual one of its speaker, in dB.
    """

    rise: float | None
    lengthening: float
    level: float


class Delivery(NamedTuple):
    """The distance of two performances.

    Attributes:
        distance: in [0, 2.3]; 0 is alike. Pitch and level contribute up to 1 each, and the range of pitch up to
            0.3.
        semitones: mean difference of pitch where both are voiced; None if they never are.
        decibels: mean difference of level where either is voiced.
        cosine: cosine of the embeddings of both, in [-1, 1], if an encoder was chosen; 1 is alike.
        ending: distance of their ends (`compare_endings`), in [0, 1], if they were compared; 0 is alike.
    """

    distance: float
    semitones: float | None
    decibels: float
    cosine: float | None = None
    ending: float | None = None


_HOP = round(HOP_SECONDS * ANALYSIS_RATE)
_FRAME = round(FRAME_SECONDS * ANALYSIS_RATE)


def performance_of(samples: Samples) -> Performance:
    """The performance in 16 kHz samples of shape (n,), at most a minute of it."""
    count = min(-(-len(samples) // _HOP), MOST_FRAMES)
    if not count:
        return Performance(np.zeros(0), np.zeros(0))
    samples = np.asarray(samples[: count * _HOP], np.float32)
    squares = samples.astype(np.float64) ** 2
    power = np.add.reduceat(squares, np.arange(count) * _HOP)
    level = 10 * np.log10(np.maximum(power / _HOP, 1e-12))
    f0 = track_voice(samples, count, _HOP, _FRAME).f0
    return Performance(f0, level)


def register_of(performances: Iterable[Performance]) -> Register | None:
    """Return the usual values of the speaker of these performances; None where nothing is voiced."""
    spoken = list(performances)
    voiced = [performance for performance in spoken if performance.voiced.any()]
    if not voiced:
        return None
    pitches = np.concatenate([performance.f0[performance.voiced] for performance in voiced])
    levels = np.concatenate([performance.level[performance.voiced] for performance in voiced])
    movements = [_movement(performance) for performance in voiced]
    level = float(np.median(levels))
    syllables: list[float] = []
    last_syllables: list[float] = []
    for performance in spoken:
        lengths = _syllables(_sounding(performance, level).level)
        syllables += lengths[:-1]
        last_syllables += lengths[-1:]
    # A syllable that is the only one is the last one, too, and says the most that is known.
    usual = syllables or last_syllables
    return Register(
        f0=float(np.median(pitches)),
        level=level,
        semitones=float(np.median(movements)),
        syllable=float(np.median(usual)),
    )


#: The most that is added for a melody that moves less, or more, than its source.
RANGE_COST = 0.3

#: Doublings by which a melody moves farther for `RANGE_COST` to be added in full.
MOST_OCTAVES = 2.0


def compare_delivery(
    source: Performance, source_register: Register, take: Performance, take_register: Register
) -> Delivery | None:
    """Compare a take with its source, each against its own speaker; None if either is not voiced at all.

    >>> rising = Performance(np.linspace(100, 150, 20), np.full(20, -20.0))
    >>> faster = Performance(np.linspace(200, 300, 10), np.full(10, -30.0))
    >>> low, high = register_of([rising]), register_of([faster])
    >>> round(compare_delivery(rising, low, faster, high).distance, 1)
    0.0
    """
    if not source.voiced.any() or not take.voiced.any():
        return None
    tones, levels = _relative(source, source_register)
    take_tones, take_levels = _relative(take, take_register)
    # Each frame of the source with each one of the take, shape (n, m).
    voiced = source.voiced[:, None]
    both_voiced = voiced & take.voiced
    apart = np.abs(tones[:, None] - take_tones)
    louder = np.abs(levels[:, None] - take_levels)
    pitch_costs = np.minimum(apart / MOST_SEMITONES, 1.0)
    voicing_differs = voiced != take.voiced
    voicing_costs = VOICING_COST * voicing_differs
    costs = np.where(both_voiced, pitch_costs, voicing_costs)
    costs += np.minimum(louder / MOST_DB, 1.0)
    distance, path = warp(costs)
    # A voice that always moves more than the source's speaker is not further from its source for it; one that
    # always moves less is.
    livelier = max(_octaves(take_register.semitones, source_register.semitones), 0.0)
    octaves = abs(_octaves(_movement(take), _movement(source)) - livelier)
    distance += RANGE_COST * min(octaves / MOST_OCTAVES, 1.0)
    rows, columns = path.T
    are_both_voiced = both_voiced[rows, columns]
    is_either_voiced = source.voiced[rows] | take.voiced[columns]
    semitones = None
    if are_both_voiced.any():
        semitones = float(apart[rows, columns][are_both_voiced].mean())
    decibels = float(louder[rows, columns][is_either_voiced].mean())
    return Delivery(distance, semitones, decibels)


#: Seconds at the end in which pitch and level of an ending are measured.
ENDING_SECONDS = 0.3

#: The fewest voiced frames of these seconds that tell how pitch moves.
FEWEST_VOICED = 4


def measure_ending(performance: Performance, register: Register) -> Ending | None:
    """Measure the end of a performance by its speaker's usual values; None if silent or over a minute long."""
    from scipy.stats import theilslopes  # half a second, which commands that say nothing can spare

    sounding = _sounding(performance, register.level)
    if len(performance.level) >= MOST_FRAMES or not len(sounding.level):
        return None
    n_last = round(ENDING_SECONDS / HOP_SECONDS)
    voiced = np.flatnonzero(sounding.voiced)
    if len(voiced):
        # The last sound may be a consonant without voice.
        voiced = voiced[voiced > voiced[-1] - n_last]
    rise = None
    if len(voiced) >= FEWEST_VOICED:
        tones = 12 * np.log2(sounding.f0[voiced])
        # A least-squares line would follow the single frames that are an octave off in a creaky end.
        slope = theilslopes(tones, voiced * HOP_SECONDS)[0]
        rise = float(slope * ENDING_SECONDS)
    last_syllable = _syllables(sounding.level)[-1]
    lengthening = math.log2(last_syllable / register.syllable)
    powers = 10 ** (sounding.level[-n_last:] / 10)
    level = 10 * math.log10(float(np.mean(powers)))
    return Ending(rise, lengthening, level - register.level)


#: Doublings by which a last syllable is longer that count as the greatest distance.
MOST_LENGTHENING = 1.0


def compare_endings(source: Ending, take: Ending) -> float:
    """Return the distance of two endings, in [0, 1]: the mean of their differences in pitch, length and level.

    `MOST_SEMITONES` in pitch, `MOST_LENGTHENING` in length and `MOST_DB` in level are as far as can be counted, 1
    each. Where one has a pitch and the other none, that counts as `VOICING_COST`.

    >>> falling = Ending(rise=-3.0, lengthening=0.5, level=-6.0)
    >>> compare_endings(falling, falling), compare_endings(falling, Ending(3.0, -0.5, 6.0))
    (0.0, 1.0)
    """
    if source.rise is not None and take.rise is not None:
        pitch = min(abs(source.rise - take.rise) / MOST_SEMITONES, 1.0)
    elif source.rise is None and take.rise is None:
        pitch = 0.0
    else:
        pitch = VOICING_COST
    length = min(abs(source.lengthening - take.lengthening) / MOST_LENGTHENING, 1.0)
    level = min(abs(source.level - take.level) / MOST_DB, 1.0)
    return (pitch + length + level) / 3


def _sounding(performance: Performance, level: float) -> Performance:
    """A performance without the silence at its ends; `level` is what is usual for its speaker."""
    sounding = np.flatnonzero(performance.level > level + SILENCE_DB)
    if not len(sounding):
        return Performance(performance.f0[:0], performance.level[:0])
    frames = slice(sounding[0], sounding[-1] + 1)
    return Performance(performance.f0[frames], performance.level[frames])


#: dB by which the level falls between two syllables.
SYLLABLE_DB = 3.0


def _syllables(level: Frames) -> list[float]:
    """Seconds of each syllable: between the lowest levels that part two peaks of loudness."""
    from scipy.signal import find_peaks

    padded = np.concatenate(([-np.inf], level, [-np.inf]))
    peaks = find_peaks(padded, prominence=SYLLABLE_DB)[0] - 1
    borders = [0]
    for first, following in pairwise(peaks):
        borders.append(int(first + np.argmin(level[first:following])))
    borders.append(len(level))
    return [HOP_SECONDS * (end - start) for start, end in pairwise(borders)]


def _movement(performance: Performance) -> float:
    """Semitones between the low and the high pitches of a performance that is voiced: a tenth is beyond each."""
    low, high = np.percentile(performance.f0[performance.voiced], (10, 90))
    return float(12 * np.log2(high / low))


#: Semitones that are added to both: less than that is no movement. Chosen on lines that voices of espeak say with
#: one tag and with another.
STILL_SEMITONES = 0.5


def _octaves(semitones: float, others: float) -> float:
    """Return by how many doublings a melody moves farther than another one."""
    return math.log2((semitones + STILL_SEMITONES) / (others + STILL_SEMITONES))


def _relative(performance: Performance, register: Register) -> tuple[Frames, Frames]:
    """Semitones (0 where unvoiced) and dB from what is usual."""
    pitches = np.where(performance.voiced, performance.f0, register.f0)
    tones = 12 * np.log2(pitches / register.f0)
    levels = np.maximum(performance.level - register.level, SILENCE_DB)
    return tones, levels


def cosine(first: ArrayLike, second: ArrayLike) -> float | None:
    """The cosine of two embeddings of one size; None where either is all 0.

    >>> cosine([1, 0], [2, 0])
    1.0
    """
    first = np.asarray(first, float)
    second = np.asarray(second, float)
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size else None


def warp(costs: Frames) -> tuple[float, NDArray[np.intp]]:
    """The cheapest way through costs of shape (n, m), and the pairs of frames on it, shape (steps, 2).

    A step forward in both counts twice, and the sum is divided by n + m, so that no way is cheaper for its length.
    """
    steps = np.array([[1, 1], [1, 0], [0, 1]])
    weights = np.array([2.0, 1.0, 1.0])
    dtw = import_librosa().sequence.dtw
    sums, path = dtw(C=costs, step_sizes_sigma=steps, weights_mul=weights)
    total = float(sums[-1, -1] + costs[0, 0])
    return total / sum(costs.shape), path[::-1]
