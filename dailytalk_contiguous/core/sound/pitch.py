"""Pitch by probabilistic YIN (Mauch and Dixon 2014): frame for frame librosa's `pyin`, six times faster.

librosa is the reference of this field, and the thresholds of the tags were measured with it, so the result stays
the same; a test compares them. Two things are done with less work. librosa transforms 2048 samples for each frame,
although frames overlap by seven eighths: here what is between two frames is correlated once, and a frame is a sum
of these. And its path through pitches (Viterbi) tries every pair of states: here only those that pitch can pass
between in 16 ms. Nothing is compiled at the first call.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE

FloatArray = NDArray[np.float64]

#: Hz: the lowest pitch that is looked for.
F0_MIN = 65.0

#: Hz: the highest pitch that is looked for.
F0_MAX = 500.0

#: Samples of a frame (128 ms).
F0_FRAME = 2048

#: Samples from one frame to the next (16 ms).
F0_HOP = 256

#: Pitches in a semitone.
STEPS = 5

#: Samples of the shortest period that is tried.
SHORTEST_PERIOD = int(ANALYSIS_RATE // F0_MAX)

_PITCHES_OF_RANGE = int(12 * STEPS * np.log2(F0_MAX / F0_MIN)) + 1

#: Hz: the pitches that the path goes through.
PITCHES = F0_MIN * 2 ** (np.arange(_PITCHES_OF_RANGE) / (12 * STEPS))

#: The chance that a voice begins or ends between two frames.
SWITCH = 0.01

#: In place of a chance of 0, which has no logarithm.
_TINY = float(np.finfo(np.float64).tiny)


def track_pitch(samples: NDArray[np.float32]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Pitch and voicing of an utterance.

    Args:
        samples: 16 kHz mono in [-1, 1], shape (n,). Silence is added to what is shorter than a frame.

    Returns:
        Hz, NaN where unvoiced, and whether voiced, both of shape (1 + n // 256,): frame i is the 128 ms around
        second 0.016 * i.
    """
    missing = max(0, F0_FRAME - len(samples))
    samples = np.pad(samples, (0, missing))
    chances = np.concatenate([_chances(differences) for differences in _difference(samples)])
    states = _path(chances)
    voiced = states < len(PITCHES)
    pitch = PITCHES[states % len(PITCHES)]
    return np.where(voiced, pitch, np.nan), voiced


#: Samples of the longest period that is tried.
LONGEST_PERIOD = int(np.ceil(ANALYSIS_RATE / F0_MIN))

#: Frames that are compared with all thresholds at once, for the sake of memory.
BLOCK_FRAMES = 2048


def _difference(samples: NDArray[np.float32]) -> list[FloatArray]:
    """YIN's difference function, normalised by its cumulative mean, of periods SHORTEST_PERIOD … LONGEST_PERIOD.

    Blocks have shape (frames, periods). See de Cheveigné and Kawahara 2002, equations 6 to 8; samples beyond a
    frame are not subtracted from its energy, as in librosa.
    """
    from scipy import fft  # here: commands that read no sound can spare it

    hops = F0_FRAME // F0_HOP
    count = 1 + len(samples) // F0_HOP
    whole = (count + hops) * F0_HOP
    padded = np.pad(samples, F0_FRAME // 2).astype(np.float32)
    missing = max(0, whole - len(padded))
    padded = np.pad(padded, (0, missing))[:whole]
    pieces = padded.reshape(-1, F0_HOP)
    blocks = []
    for first in range(0, count, BLOCK_FRAMES):
        frames = min(BLOCK_FRAMES, count - first)
        last = first + frames + hops
        current = pieces[first : last - 1]
        both = np.concatenate((current, pieces[first + 1 : last]), axis=1)
        # Twice a piece: no product of samples that are up to LONGEST_PERIOD apart wraps round.
        spectra = fft.rfft(current, 2 * F0_HOP)
        following = fft.rfft(both, 2 * F0_HOP)
        across = fft.irfft(spectra.conj() * following, 2 * F0_HOP)
        across = across[:, : LONGEST_PERIOD + 1].astype(np.float64)
        within = fft.irfft(spectra.real**2 + spectra.imag**2, 2 * F0_HOP)
        within = within[:, : LONGEST_PERIOD + 1]
        correlation = within[hops - 1 :].astype(np.float64)
        for piece in range(hops - 1):
            correlation += across[piece : piece + frames]
        beginnings = current[:frames, :LONGEST_PERIOD].astype(np.float64)
        begins = np.cumsum(beginnings**2, axis=1)
        difference = 2 * (correlation[:, :1] - correlation[:, 1:]) - begins
        mean = np.cumsum(difference, axis=1) / np.arange(1, LONGEST_PERIOD + 1)
        tried = slice(SHORTEST_PERIOD - 1, None)
        normaliser = mean[:, tried] + np.finfo(np.float32).tiny
        blocks.append(difference[:, tried] / normaliser)
    return blocks


#: Thresholds under which a dip of the difference function is a period.
THRESHOLDS = np.linspace(0, 1, 101)

#: The share that the lowest dip gets of the thresholds that no dip is under.
NO_TROUGH = 0.01


def _chances(difference: FloatArray) -> FloatArray:
    """Return the chance of each pitch in each frame, shape (frames, pitches); the rest to 1 is no voice."""
    from scipy.special import betainc  # here: commands that read no sound can spare it

    # How likely each threshold is: a beta distribution whose mean is 0.1, as in the authors' program.
    weights = np.diff(betainc(2, 18, THRESHOLDS))
    count = len(difference)
    dips = np.zeros(difference.shape, bool)
    dips[:, 0] = difference[:, 0] < difference[:, 1]
    dips[:, 1:] = difference[:, 1:] < difference[:, :-1]
    dips[:, 1:-1] &= difference[:, 1:-1] <= difference[:, 2:]
    frame, period = np.nonzero(dips)
    if not len(frame):
        return np.zeros((count, len(PITCHES)))
    depth = difference[frame, period]
    is_under = depth[:, None] < THRESHOLDS[1:]
    chance = np.zeros(len(frame))
    (low,) = np.nonzero(is_under[:, -1])
    if len(low):
        chance[low] = _likelihoods(is_under[low], frame[low]) @ weights
    order = np.lexsort((depth, frame))
    lowest = order[np.searchsorted(frame[order], np.unique(frame))]
    n_thresholds_below = (~is_under[lowest]).sum(axis=1)
    chance_below = np.append(0, np.cumsum(weights))[n_thresholds_below]
    chance[lowest] += NO_TROUGH * chance_below
    exact_period = SHORTEST_PERIOD + period + _shift(difference, frame, period)
    pitch = ANALYSIS_RATE / exact_period
    step = np.rint(12 * STEPS * np.log2(pitch / F0_MIN)).astype(int)
    chances = np.zeros((count, len(PITCHES) + 1))  # what is above the highest pitch falls into the last column
    likely = chance > 0
    column = np.clip(step[likely], 0, len(PITCHES))
    chances[frame[likely], column] = chance[likely]
    return chances[:, :-1]


#: By how much a longer period is less likely than the one before it (a Boltzmann distribution).
BOLTZMANN = 2.0


def _likelihoods(is_under: NDArray[np.bool_], frame: NDArray[np.intp]) -> FloatArray:
    """Return the likelihood of each dip by each threshold that it is under, shape (dips, thresholds).

    Earlier dips of a frame, whose periods are shorter, are likelier: a Boltzmann distribution.
    """
    # For each threshold: which dip of its frame under it this one is, and how many the frame has.
    number = np.cumsum(is_under, axis=0, dtype=np.int32)
    first = np.searchsorted(frame, frame)
    last = np.searchsorted(frame, frame, side="right") - 1
    before = np.where(first[:, None] > 0, number[first - 1], 0)
    rank = number - before - 1
    n_dips = number[last] - before
    falling = np.exp(-BOLTZMANN * np.arange(n_dips.max() + 1))
    share = np.append(0, (1 - falling[1]) / (1 - falling[1:]))
    likelihood = falling[np.maximum(rank, 0)] * share[n_dips]
    return np.asarray(np.where(is_under, likelihood, 0))


def _shift(difference: FloatArray, frame: NDArray[np.intp], period: NDArray[np.intp]) -> FloatArray:
    """Return the samples from a dip to the lowest point of the parabola through its neighbours; 0 at both ends."""
    shift = np.zeros(len(frame))
    last_period = difference.shape[1] - 1
    (inner,) = np.nonzero((period > 0) & (period < last_period))
    rows = frame[inner]
    columns = period[inner]
    left = difference[rows, columns - 1]
    middle = difference[rows, columns]
    right = difference[rows, columns + 1]
    curvature = left + right - 2 * middle
    slope = (right - left) / 2
    reaches = np.abs(slope) < np.abs(curvature)
    shift[inner[reaches]] = -slope[reaches] / curvature[reaches]
    return shift


class _Transitions(NamedTuple):
    """Logarithms of the chances from one state to the next.

    Attributes:
        near: of pitch j from pitch j - reach + i, shape (2 * reach + 1, pitches); `near_to` is it transposed.
        into: of every state from every state, shape (states, states): voiced pitches first, then unvoiced ones.
    """

    near: FloatArray
    near_to: FloatArray
    into: FloatArray
    reach: int


#: Octaves a second that pitch may change by.
MOST_CHANGE = 35.92


@lru_cache(maxsize=1)
def _transitions() -> _Transitions:
    # A triangle over the pitches that can be reached. Its 36 steps have no middle: as librosa's, it leans upwards.
    width = round(MOST_CHANGE * 12 * F0_HOP / ANALYSIS_RATE) * STEPS + 1
    count = len(PITCHES)
    offsets = np.abs(np.arange(width) - (width - 1) / 2)
    triangle = 1 - offsets / (width / 2)
    reach = width // 2 + 1
    space_before = (count - width) // 2
    space_after = -(-(count - width) // 2)
    padded = np.pad(triangle, (space_before, space_after))
    within = np.zeros((count, count))
    for pitch in range(count):
        row = np.roll(padded, count // 2 + pitch + 1)
        row[: max(0, pitch - width // 2)] = 0
        row[pitch + width // 2 + 1 :] = 0
        within[pitch] = row / row.sum()
    switch = np.array([[1 - SWITCH, SWITCH], [SWITCH, 1 - SWITCH]])
    logs = np.log(within + _TINY)
    origin = np.arange(-reach, reach + 1)[:, None] + np.arange(count)
    is_pitch = (origin >= 0) & (origin < count)
    clipped = np.clip(origin, 0, count - 1)
    near = np.where(is_pitch, logs[clipped, np.arange(count)], -np.inf)
    near_to = np.ascontiguousarray(near.T)
    into = np.log(np.kron(switch, within) + _TINY).T
    return _Transitions(near, near_to, np.ascontiguousarray(into), reach)


def _path(chances: FloatArray) -> NDArray[np.intp]:
    """Return the likeliest states, shape (frames,): a pitch, or the number of pitches plus an unvoiced one."""
    near, near_to, into, reach = _transitions()
    (count, pitches) = chances.shape
    stay = float(np.log(1 - SWITCH))
    switch = float(np.log(SWITCH))
    voiced_chance = np.clip(chances.sum(axis=1), 0, 1)
    unvoiced = np.log((1 - voiced_chance) / pitches + _TINY)
    frame, pitch = np.nonzero(chances)
    voiced = np.log(chances[frame, pitch])
    starts = np.searchsorted(frame, np.arange(count + 1)).tolist()
    best = np.full((count, 2, pitches), -np.inf)
    best[0, 0] = np.log(chances[0] + _TINY)
    best[0, 1] = unvoiced[0]
    edged = np.full(pitches + 2 * reach, -np.inf)
    middle = edged[reach:-reach]
    from_near = sliding_window_view(edged, pitches)
    to_pitch = sliding_window_view(edged, 2 * reach + 1)
    reached = np.empty(near.shape)
    other = np.empty(pitches)
    highest = np.empty(pitches)
    for number in range(1, count):
        voiced_before, unvoiced_before = best[number - 1]
        anywhere = best[number - 1].max() + np.log(_TINY)
        first, last = starts[number : number + 2]
        if first < last:
            np.add(unvoiced_before, switch, out=middle)
            np.add(voiced_before, stay, out=other)
            np.maximum(middle, other, out=middle)
            candidates = pitch[first:last]
            ways = np.maximum.reduce(to_pitch[candidates] + near_to[candidates], axis=1)
            best[number, 0, candidates] = np.maximum(ways, anywhere) + voiced[first:last]
        np.add(unvoiced_before, stay, out=middle)
        np.add(voiced_before, switch, out=other)
        np.maximum(middle, other, out=middle)
        np.add(from_near, near, out=reached)
        np.maximum.reduce(reached, axis=0, out=highest)
        np.maximum(highest, anywhere, out=highest)
        np.add(highest, unvoiced[number], out=best[number, 1])
    flat = best.reshape(count, -1)
    states = np.empty(count, np.intp)
    states[-1] = flat[-1].argmax()
    for number in range(count - 2, -1, -1):
        states[number] = (flat[number] + into[states[number + 1]]).argmax()
    return states
