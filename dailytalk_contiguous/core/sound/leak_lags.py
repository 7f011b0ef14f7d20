"""The lags of a leak: how late a voice is heard in the other channel.

Both channels, each frame brought to one level, are compared by generalised cross-correlation with phase transform
(Knapp and Carter 1976, "The generalized correlation method for estimation of time delay"). Two people have no lag
in common, whatever they say and whenever they say it.

Recorders may differ: one is 12 dB softer, or began 0.15 s later. Where both voices leak, that can be told from the
leaks (`recorder_difference`).
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.leak_filter import EARLIEST_LEAK, LATEST_LEAK
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples

#: Mean square (-100 dBFS) under which nothing is in a band: a gated line is digital zero.
NOTHING = 1e-10

#: Hz at which channels are compared: a telephone's band up to here is enough, at a quarter of the cost.
LAG_RATE = 4000

#: Samples at `LAG_RATE` of a frame that is brought to one level (64 ms).
LEVEL_FRAME = 256

#: dB by which a side must be louder to be the source of a leak.
LOUDER_DB = 3.0


#: Seconds by which lags of one path may differ.
SAME_LAG = 0.01

#: Seconds of its source in a window in which a leak is heard if there is one.
LEAST_HEARD = 2.0


class LeakLags(NamedTuple):
    """When a leak is heard, and how late.

    Attributes:
        section: its lags in seconds in the section, the strongest first; none where no leak is heard.
        windows: its lags in each window of the section.
        source_seconds: seconds in each window in which its source is louder than the channel.
    """

    section: list[float]
    windows: list[list[float]]
    source_seconds: list[float]

    @property
    def are_changing(self) -> bool:
        """Whether the leak becomes later or earlier, or is not heard in a window in which its source is."""
        n_lags = len(self.strongest())
        both = zip(self.windows, self.source_seconds, strict=True)
        has_gap = any(not lags and seconds >= LEAST_HEARD for lags, seconds in both)
        return n_lags > 1 or (n_lags == 1 and has_gap)

    def strongest(self) -> list[float]:
        """Return the strongest lag of each window, once where several are within `SAME_LAG` of each other."""
        strongest: list[float] = []
        for lags in self.windows:
            if lags and all(abs(lags[0] - other) > SAME_LAG for other in strongest):
                strongest.append(lags[0])
        return strongest

    def between(self, start: float, end: float) -> list[float]:
        """Return the lags of the windows between two times, as shares of the section."""
        n_windows = len(self.windows)
        lags_between: dict[float, None] = {}
        for number, lags in enumerate(self.windows):
            if number < end * n_windows and number + 1 > start * n_windows:
                lags_between |= dict.fromkeys(lags)
        return [*lags_between]


#: Seconds of a recording at least in which a leak is searched.
LEAST_SOUND = 10.0


def leak_lags(left: Samples, right: Samples) -> tuple[LeakLags, LeakLags]:
    """Return the lags of the leaks into the left and into the right side."""
    if len(left) < LEAST_SOUND * ANALYSIS_RATE:
        return LeakLags([], [], []), LeakLags([], [], [])
    levelled_left = levelled_frames(left)
    levelled_right = levelled_frames(right)
    left_speaks = levelled_left.louder_samples(levelled_right, LOUDER_DB)
    right_speaks = levelled_right.louder_samples(levelled_left, LOUDER_DB)
    in_left = _lags_of(levelled_right.samples * right_speaks, levelled_left.samples)
    in_right = _lags_of(levelled_left.samples * left_speaks, levelled_right.samples)
    return in_left, in_right


class LevelledFrames(NamedTuple):
    """A channel at `LAG_RATE` with its frames at one level, and the mean square that each of them had."""

    samples: Samples
    energies: NDArray[np.float32]

    def between(self, first: int, n_frames: int) -> "LevelledFrames":
        samples = self.samples[first * LEVEL_FRAME : (first + n_frames) * LEVEL_FRAME]
        return LevelledFrames(samples, self.energies[first : first + n_frames])

    def louder_samples(self, other: "LevelledFrames", least_db: float) -> NDArray[np.bool_]:
        """True for samples in frames that are louder than those of another channel by at least so many dB."""
        return np.repeat(self.energies > other.energies * 10 ** (least_db / 10), LEVEL_FRAME)


def levelled_frames(channel: Samples) -> LevelledFrames:
    step = ANALYSIS_RATE // LAG_RATE
    n_frames = len(channel) // (step * LEVEL_FRAME)
    whole = channel[: n_frames * step * LEVEL_FRAME]
    frames = whole.reshape(n_frames, LEVEL_FRAME, step).mean(axis=2)
    energies = np.square(frames).mean(axis=1)
    around = np.convolve(energies, np.full(3, 1 / 3, np.float32), "same")
    gains = 1 / np.sqrt(np.maximum(around, np.float32(NOTHING)))
    return LevelledFrames((frames * gains[:, np.newaxis]).ravel(), energies)


#: Samples at `LAG_RATE` that are compared at once (about 15 s), and the largest lag in both directions.
LAG_WINDOW = 60_000
FURTHEST_LAG = 5_536

#: Lags beyond this, in seconds, can't be those of a leak: they show what chance gives.
CHANCE_LAG = 0.6

#: How many times higher the squared correlation at the lag of a leak must be than any by chance. In calls without
#: a leak it is at most 1.7 times as high, with one of -40 dB at least 50 times.
CLEAR = 4.0

#: Lags whose squared correlation is at least this share of the highest belong to the leak: those of reflections,
#: and of a delay that changes.
SHARE_OF_HIGHEST = 0.02


#: As `CLEAR`, of one window alone, and of windows with nearly the same lag, in seconds. In windows of calls
#: without a leak it is at most 1.8, and once 4.2 beside a leak of the other direction.
SURE = 6.0
CLEAR_TOGETHER = 2.0
NEAR_LAG = 0.03


#: Samples at `LAG_RATE` by which a drift smears a lag in a window (6 ms, 400 ppm).
SMEARED = 24


def _lags_of(source: Samples, channel: Samples) -> LeakLags:
    """Return the lags of a source in a channel, both at `LAG_RATE`."""
    squares = np.zeros(2 * FURTHEST_LAG + 1)
    windows: list[list[float]] = []
    are_sure: list[bool] = []
    source_seconds: list[float] = []
    for window in _lag_windows(len(channel)):
        of_window = np.square(phase_correlation(source[window], channel[window], FURTHEST_LAG))
        squares += of_window
        source_seconds.append(float(np.count_nonzero(source[window])) / LAG_RATE)
        is_heard = source_seconds[-1] >= LEAST_HEARD
        if is_heard and not _clear_lags(of_window, CLEAR_TOGETHER):
            of_window = np.convolve(of_window, np.ones(SMEARED), "same")
        windows.append(_clear_lags(of_window, CLEAR_TOGETHER) if is_heard else [])
        are_sure.append(is_heard and bool(_clear_lags(of_window, SURE)))
    strongest = [lags[0] for lags in windows if lags]
    for number, lags in enumerate(windows):
        is_shared = bool(lags) and sum(abs(lags[0] - other) <= NEAR_LAG for other in strongest) > 1
        if not is_shared and not are_sure[number]:
            windows[number] = []
    return LeakLags(_clear_lags(squares, CLEAR), windows, source_seconds)


def _lag_windows(n_samples: int) -> list[slice]:
    # Of a short last window, all energy would be at short lags.
    n_windows = max(1, round(n_samples / LAG_WINDOW))
    edges = np.linspace(0, n_samples, n_windows + 1).astype(int).tolist()
    return [slice(start, end) for start, end in pairwise(edges)]


def _clear_lags(squares: NDArray[np.floating], clear: float) -> list[float]:
    """Return the lags in seconds at which a squared correlation is higher than by chance, the highest first."""
    lags = np.arange(-FURTHEST_LAG, FURTHEST_LAG + 1) / LAG_RATE
    least = clear * float(squares[np.abs(lags) > CHANCE_LAG].max())
    can_be_leak = (lags >= -EARLIEST_LEAK) & (lags <= LATEST_LEAK)
    leak_lags = lags[can_be_leak]
    heights = squares[can_be_leak]
    highest = float(heights.max())
    if highest == 0 or highest < least:
        return []
    is_high = heights >= max(least, SHARE_OF_HIGHEST * highest)
    order = np.argsort(-heights[is_high], kind="stable")
    return [float(lag) for lag in leak_lags[is_high][order]]


#: Hz from which on channels are compared: hum is below.
LOWEST_FREQUENCY = 200.0


def phase_correlation(source: Samples, channel: Samples, furthest: int) -> Samples:
    """Correlate two signals at lags of up to `furthest` samples either way, with all frequencies alike.

    Both are at `LAG_RATE`.
    """
    from scipy import fft  # here: commands that read no sound can spare it

    length = fft.next_fast_len(len(channel) + furthest, real=True)
    cross = fft.rfft(channel, length) * fft.rfft(source, length).conj()
    magnitudes = np.abs(cross)
    cross[: math.ceil(LOWEST_FREQUENCY * length / LAG_RATE)] = 0
    np.divide(cross, magnitudes, out=cross, where=magnitudes > 0)
    correlation = fft.irfft(cross, length)
    return np.concatenate((correlation[-furthest:], correlation[: furthest + 1]))


# Recorders that differ.


class RecorderDifference(NamedTuple):
    """The difference of the recorder of the right side from that of the left one.

    Attributes:
        louder_db: dB by which it is more sensitive.
        later: seconds by which its sound is later.
    """

    louder_db: float
    later: float


#: Seconds that a voice takes to the other microphone and back in one room: half a metre, or less, can't be told.
THERE_AND_BACK = (0.003, 0.04)

#: dB by which a voice must be louder on its own side for recorders to be as good as alike.
CLEARLY_LOUDER_DB = 6.0


def recorder_difference(left: Samples, right: Samples) -> RecorderDifference | None:
    """Tell how the recorders of two people in one room differ; None where it does not matter, or can't be told.

    What a voice loses on its way to the other microphone, and how long it takes, is nearly the same for both
    voices. The rest of what differs is the recorders'.
    """
    if len(left) < LEAST_SOUND * ANALYSIS_RATE:
        return None
    sides = levelled_frames(left), levelled_frames(right)
    common_lag = _clearest_lag(_squared_correlation(sides[0].samples, sides[1].samples))
    if common_lag is None:
        return None
    # Who speaks is told by the levels of sides that are in step.
    n_late = round(common_lag * LAG_RATE / LEVEL_FRAME)
    sides = aligned_frames(*sides, n_late)
    left_db, right_db = _speaking_levels(*sides)
    louder_db = (left_db + right_db) / 2
    lags = _lags_there_and_back(*sides, louder_db)
    if lags is None or not THERE_AND_BACK[0] <= sum(lags) <= THERE_AND_BACK[1]:
        return None
    in_left, in_right = lags
    later = n_late * LEVEL_FRAME / LAG_RATE + (in_right - in_left) / 2
    is_one_early = 2 * abs(later) > in_left + in_right
    is_one_softer = max(left_db, -right_db) > -CLEARLY_LOUDER_DB
    return RecorderDifference(louder_db, later) if is_one_early or is_one_softer else None


def aligned_frames(
    left: LevelledFrames, right: LevelledFrames, n_late: int
) -> tuple[LevelledFrames, LevelledFrames]:
    """Cut frames off both channels, so that they are in step if the right one is so many frames late."""
    n_frames = len(left.energies) - abs(n_late)
    return left.between(max(0, -n_late), n_frames), right.between(max(0, n_late), n_frames)


#: Times that two groups of frames are parted anew.
PARTED = 10


def _speaking_levels(left: LevelledFrames, right: LevelledFrames) -> tuple[float, float]:
    """Return the dB by which the right side is louder where the left speaker is heard, and where the right one is.

    These are the means of two groups of loud frames, parted at the middle between both.
    """
    is_loud = np.zeros(len(left.energies), bool)
    for side in (left, right):
        is_loud |= side.energies >= np.percentile(side.energies, 95) / 100
    ratios = np.maximum(right.energies, NOTHING) / np.maximum(left.energies, NOTHING)
    differences = 10 * np.log10(ratios[is_loud])
    left_db, right_db = np.percentile(differences, [10, 90])
    for _ in range(PARTED):
        is_right = differences > (left_db + right_db) / 2
        if is_right.all() or not is_right.any():
            break
        left_db = differences[~is_right].mean()
        right_db = differences[is_right].mean()
    return float(left_db), float(right_db)


def _lags_there_and_back(
    left: LevelledFrames, right: LevelledFrames, louder_db: float
) -> tuple[float, float] | None:
    """Return the lags of the leak into the left side and into the right one in seconds; None unless both leak."""
    left_speaks = left.louder_samples(right, LOUDER_DB - louder_db)
    right_speaks = right.louder_samples(left, LOUDER_DB + louder_db)
    in_left = _squared_correlation(right.samples * right_speaks, left.samples)
    in_right = _squared_correlation(left.samples * left_speaks, right.samples)
    lag_in_left = _clearest_lag(in_left)
    lag_in_right = _clearest_lag(in_right)
    if lag_in_left is None or lag_in_right is None:
        return None
    # What is as early on one side as it is late on the other is one leak, and not one there and one back.
    for squares, lag, other in ((in_left, lag_in_left, lag_in_right), (in_right, lag_in_right, lag_in_left)):
        if _height_at(squares, lag) < CLEAR * _height_at(squares, -other):
            return None
    return lag_in_left, lag_in_right


def _squared_correlation(source: Samples, channel: Samples) -> NDArray[np.floating]:
    """Return the sum of the squared correlations of windows at lags of up to `FURTHEST_LAG` either way."""
    squares = np.zeros(2 * FURTHEST_LAG + 1)
    for window in _lag_windows(len(channel)):
        squares += np.square(phase_correlation(source[window], channel[window], FURTHEST_LAG))
    return squares


def _clearest_lag(squares: NDArray[np.floating]) -> float | None:
    """Return the lag in seconds, early or late, at which a squared correlation is highest; None by chance."""
    lags = np.arange(-FURTHEST_LAG, FURTHEST_LAG + 1) / LAG_RATE
    highest = int(np.where(np.abs(lags) <= LATEST_LEAK, squares, 0).argmax())
    is_clear = squares[highest] >= CLEAR * float(squares[np.abs(lags) > CHANCE_LAG].max())
    return float(lags[highest]) if is_clear and squares[highest] > 0 else None


def _height_at(squares: NDArray[np.floating], lag: float) -> float:
    return float(squares[FURTHEST_LAG + round(lag * LAG_RATE)])
