"""The filter by which a voice leaks into a channel: an echo, a room, the way from a loudspeaker to a microphone.

A *steady* leak has one long filter (`fitted_filter`). It explains the waveform of the leak, also beneath the words
of the channel's own speaker.

A leak that begins, ends or changes is *followed* (`followed_leak`). The filter of a moment is fitted to the speech
of its source some seconds around, without that moment, which would help to explain itself. What is left of it is a
gain, which follows the leak within a fifth of a second, as an automatic gain and an echo canceller change it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples

#: Samples of a frame at 16 kHz: Silero's, so that frames can be compared.
FRAME = 512

#: The longest delay that is searched, in seconds: leaks of real calls are 0 to 0.4 s late.
LATEST_LEAK = 0.5

#: Seconds by which it may be early: another way through the air, and rounding.
EARLIEST_LEAK = 0.01

#: Samples of a window that a filter is fitted to (1 s), and from one to the next.
FIT_WINDOW = 16_384
FIT_HOP = 4_096

#: The most windows that a filter is fitted to, those in which the source is loudest against the channel; and the
#: fewest.
MOST_WINDOWS = 120
FEWEST_WINDOWS = 8

#: The windows of each fit of a filter, whose weights follow from what the fit before left unexplained: first the
#: clearest, since a fit to words of the channel's own speaker is hard to leave again.
FITTED_WINDOWS = (30, 30, MOST_WINDOWS, MOST_WINDOWS)

#: Samples of a filter before and after lag zero.
EARLY_TAPS = round(EARLIEST_LEAK * ANALYSIS_RATE)
LATE_TAPS = round(LATEST_LEAK * ANALYSIS_RATE)

#: The share of a leak that a filter must explain: what explains less puts in a voice where it takes one out.
LEAST_EXPLAINED = 0.5


def fitted_filter(source: Samples, channel: Samples, lag: float) -> Samples | None:
    """Fit the filter by which a source leaks into a channel, with lags from `-EARLY_TAPS` to `LATE_TAPS` samples.

    It is fitted to spectra of windows by iteratively reweighted least squares, as words of the channel's own
    speaker are a thousand times stronger than a soft leak. It is None where the source has too little sound, and
    where no filter explains the leak.
    """
    delay = round(lag * ANALYSIS_RATE)
    starts = _fit_starts(source, channel, delay)
    if len(starts) < FEWEST_WINDOWS:
        return None
    heard = window_spectra(source, starts)
    leaked = window_spectra(channel, starts + delay)
    source_powers = squared_magnitudes(heard)
    remaining = leaked
    for count in FITTED_WINDOWS:
        weights = _weights(squared_magnitudes(remaining[:count]), source_powers[:count])
        cross = np.einsum("ij,ij,ij->j", weights, leaked[:count], heard[:count].conj())
        power = np.einsum("ij,ij->j", weights, source_powers[:count])
        transfer = cross / np.maximum(power, 1e-6 * power.max() + np.finfo(np.float32).tiny)
        remaining = leaked - transfer * heard
    unexplained = np.vdot(weights, squared_magnitudes(remaining)) / np.vdot(weights, squared_magnitudes(leaked))
    if unexplained > 1 - LEAST_EXPLAINED:
        return None
    return _impulse_response(transfer, delay)


#: dB under the mean of the source down to which a window of it is sound.
SOUND_DB = 10.0


def _fit_starts(source: Samples, channel: Samples, delay: int) -> NDArray[np.intp]:
    """Return the first samples of the windows of a source that a filter is fitted to, the clearest first.

    Its leak is `delay` samples later.
    """
    first = max(0, -delay)
    behind = len(source) - FIT_WINDOW - max(0, delay)
    starts = np.arange(first, max(first, behind), FIT_HOP)
    of_source = _window_levels(source, starts)
    of_channel = _window_levels(channel, starts + delay)
    is_sound = of_source > _least_sound(source)
    ratios = of_source[is_sound] / np.maximum(of_channel[is_sound], 1e-6 * of_source[is_sound])
    clearest_first = np.argsort(-ratios, kind="stable")
    return np.asarray(starts[is_sound][clearest_first[:MOST_WINDOWS]])


def _least_sound(source: Samples) -> float:
    return float(np.square(source).mean()) * 10 ** (-SOUND_DB / 10)


def _window_levels(channel: Samples, starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the mean square of windows of a channel, to the nearest frame."""
    summed = np.concatenate(([0.0], np.cumsum(frame_levels(channel, FRAME), dtype=np.float64)))
    frames = starts // FRAME
    n_frames = FIT_WINDOW // FRAME
    return np.asarray((summed[frames + n_frames] - summed[frames]) / n_frames)


def window_spectra(channel: Samples, starts: NDArray[np.intp]) -> NDArray[np.complex64]:
    from scipy import fft

    windows = np.lib.stride_tricks.sliding_window_view(channel, FIT_WINDOW)[starts]
    return np.asarray(fft.rfft(windows * np.hanning(FIT_WINDOW).astype(np.float32), axis=1), np.complex64)


def squared_magnitudes(spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
    return spectra.real**2 + spectra.imag**2


#: Frequencies that share a weight.
WEIGHT_BINS = 128


def _weights(remaining: NDArray[np.float32], source_powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight of each window at each frequency: one over the remaining power around it.

    Digital silence must not have all the weight, so that power counts as -60 dB of the source at least.
    """
    n_windows, n_bins = remaining.shape
    n_groups = n_bins // WEIGHT_BINS
    noise = np.maximum(remaining, 1e-6 * source_powers + np.finfo(np.float32).tiny)
    grouped = noise[:, : n_groups * WEIGHT_BINS].reshape(n_windows, n_groups, WEIGHT_BINS)
    weights = np.repeat(1 / grouped.mean(axis=2), WEIGHT_BINS, axis=1)
    n_lacking = n_bins - n_groups * WEIGHT_BINS
    return np.asarray(np.pad(weights, ((0, 0), (0, n_lacking)), mode="edge"), np.float32)


def _impulse_response(transfer: NDArray[np.complex64], delay: int) -> Samples:
    """Return the taps of a filter whose transfer function was fitted with the channel `delay` samples later.

    A window cuts off late sound in it, so that taps away from the delay are raised by the window's
    autocorrelation.
    """
    from scipy import fft

    response = fft.irfft(transfer, FIT_WINDOW)
    positions = np.arange(-EARLY_TAPS, LATE_TAPS) - delay
    return np.asarray(response[positions] / _share_kept(positions), np.float32)


def _share_kept(positions: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the share of a leak so many samples after its delay that is in the windows with it."""
    spectrum = np.abs(np.fft.rfft(np.hanning(FIT_WINDOW), 2 * FIT_WINDOW)) ** 2
    autocorrelation = np.fft.irfft(spectrum)
    return np.asarray(autocorrelation[np.abs(positions)] / autocorrelation[0])


def without_leaks(sides: Sequence[Samples], filters: Sequence[Samples | None]) -> list[Samples]:
    """Take the linear part of the leak, which came through its filter, out of both sides."""
    from scipy import signal

    separated = []
    for side, taps in enumerate(filters):
        samples = sides[side]
        if taps is not None:
            samples = samples - _filtered(sides[1 - side], taps, EARLY_TAPS)
        separated.append(samples)
    left_taps, right_taps = filters
    if left_taps is None or right_taps is None:
        return separated
    # What leaks both ways took this side's own voice with it, there and back; it is put back.
    there_and_back = signal.fftconvolve(left_taps, right_taps).astype(np.float32)
    return [samples + _filtered(samples, there_and_back, 2 * EARLY_TAPS) for samples in separated]


def _filtered(source: Samples, taps: Samples, n_early: int) -> Samples:
    """Filter a source; `n_early` taps of the filter are before lag zero."""
    from scipy import signal

    whole = signal.oaconvolve(source, taps)
    return np.asarray(whole[n_early : n_early + len(source)], np.float32)


# A leak that is followed.


#: Seconds around a moment whose windows its filter is not fitted to: an answer may be as late as an echo.
APART = 0.3

#: Windows with speech of the source on each side of a moment that its filter is fitted to: about five seconds.
NEAR_WINDOWS = 20

#: Times that filters are fitted, whose weights and gains follow from the fit before.
FOLLOWING_FITS = 3

#: dB under its source from which on what remains in a window counts alike, and under the strongest leak from which
#: on the leak does: windows without a leak, which are the quietest, must not decide.
REMAINS_DB = 30.0

#: Samples of a followed filter behind the delay of the leak: a room of a quarter of a second.
FOLLOWED_TAPS = ANALYSIS_RATE // 4

#: Frames over which the gain of a leak is measured (0.22 s).
GAIN_FRAMES = 7

#: Frames around a moment (4 s) in a tenth of which, where the source is heard, a filter must explain a leak.
TRUST_FRAMES = 125
TRUSTED_SHARE = 0.1

#: Cells that are filtered at once.
CELLS_AT_ONCE = 64


def followed_leak(source: Samples, channel: Samples, lags: Sequence[float]) -> Samples:
    """Return the leak of a source in a channel as it is heard; zero where no filter explains it.

    Each moment has the lag, of those in seconds, at which it is explained best.
    """
    n_frames = math.ceil(len(channel) / FRAME)
    followed = np.zeros_like(channel)
    most_explained = np.zeros(n_frames, np.float32)
    for lag in lags:
        predicted = _predicted(source, channel, round(lag * ANALYSIS_RATE))
        leak, explained = _with_gain(predicted, channel)
        is_better = explained > most_explained
        most_explained[is_better] = explained[is_better]
        followed = np.where(np.repeat(is_better, FRAME)[: len(channel)], leak, followed)
    return followed


class _Around(NamedTuple):
    """The windows around each window that are `APART` from it: `first` to `before`, and `behind` to `last`."""

    first: NDArray[np.intp]
    before: NDArray[np.intp]
    behind: NDArray[np.intp]
    last: NDArray[np.intp]

    @classmethod
    def each(cls, starts: NDArray[np.intp]) -> "_Around":
        apart = FIT_WINDOW + round(APART * ANALYSIS_RATE)
        before = np.searchsorted(starts, starts - apart, "right")
        behind = np.searchsorted(starts, starts + apart, "left")
        first = np.maximum(before - NEAR_WINDOWS, 0)
        last = np.minimum(behind + NEAR_WINDOWS, len(starts))
        return cls(first, before, behind, last)

    @property
    def counts(self) -> NDArray[np.intp]:
        return self.before - self.first + self.last - self.behind

    def sums(self, values: NDArray[np.inexact]) -> NDArray[np.inexact]:
        """Return the sum over the windows around each, of values of shape (windows, …)."""
        summed = np.zeros((len(values) + 1, *values.shape[1:]), values.dtype)
        np.cumsum(values, axis=0, out=summed[1:])
        return np.asarray(summed[self.before] - summed[self.first] + summed[self.last] - summed[self.behind])


def _predicted(source: Samples, channel: Samples, delay: int) -> Samples:
    """Return the leak of a source in a channel but for its gain, each moment by a filter fitted without it."""
    starts = np.arange(max(0, -delay), len(source) - FIT_WINDOW - max(0, delay), FIT_HOP)
    is_sound = _window_levels(source, starts) > _least_sound(source)
    starts = starts[is_sound]
    around = _Around.each(starts)
    if len(starts) < FEWEST_WINDOWS or around.counts.max() < FEWEST_WINDOWS:
        return np.zeros_like(channel)
    heard = window_spectra(source, starts)
    leaked = window_spectra(channel, starts + delay)
    transfers = _fitted_around(heard, leaked, around)
    transfers[around.counts < FEWEST_WINDOWS] = 0
    return _filtered_by_cells(source, transfers, starts, delay)


def _fitted_around(
    heard: NDArray[np.complex64], leaked: NDArray[np.complex64], around: _Around
) -> NDArray[np.complex64]:
    """Fit the transfer function of each window to those around it, which have a gain each.

    It is fitted by iteratively reweighted least squares to spectra of a source and its leak, (windows, bins).
    """
    tiny = np.finfo(np.float32).tiny
    source_powers = squared_magnitudes(heard)
    cross_spectra = leaked * heard.conj()
    least_remains = np.float32(10 ** (-REMAINS_DB / 10)) * source_powers
    least_gain = 10 ** (-REMAINS_DB / 20)
    weights = _weights(np.maximum(squared_magnitudes(leaked), least_remains), source_powers)
    gains = np.ones((len(heard), 1), np.float32)
    for _ in range(FOLLOWING_FITS - 1):
        transfers = _transfers(cross_spectra, source_powers, weights, gains, around)
        likeness = (weights * (cross_spectra * transfers.conj()).real).sum(axis=1, keepdims=True)
        weighted_powers = weights * source_powers
        predicted_power = (weighted_powers * squared_magnitudes(transfers)).sum(axis=1, keepdims=True)
        factors = np.maximum(likeness, 0) / np.maximum(predicted_power, tiny)
        levels = factors * np.sqrt(predicted_power / weighted_powers.sum(axis=1, keepdims=True))
        gains = np.maximum(levels / max(levels.max(), tiny), least_gain)
        remaining = leaked - factors * transfers * heard
        weights = _weights(np.maximum(squared_magnitudes(remaining), least_remains), source_powers)
    return _transfers(cross_spectra, source_powers, weights, gains, around)


def _transfers(
    cross_spectra: NDArray[np.complex64],
    source_powers: NDArray[np.float32],
    weights: NDArray[np.float32],
    gains: NDArray[np.float32],
    around: _Around,
) -> NDArray[np.complex64]:
    """Return the transfer function of each window that fits those around it best, with their weights and gains."""
    weighted = weights * gains
    cross = around.sums(weighted * cross_spectra)
    power = around.sums(weighted * gains * source_powers)
    least = 1e-6 * power.max(axis=1, keepdims=True) + np.finfo(np.float32).tiny
    return np.asarray(cross / np.maximum(power, least), np.complex64)


def _filtered_by_cells(
    source: Samples, transfers: NDArray[np.complex64], starts: NDArray[np.intp], delay: int
) -> Samples:
    """Filter each cell of `FIT_HOP` samples of a source by the transfer function of the window nearest to it."""
    from scipy import fft

    cells = np.arange(0, len(source), FIT_HOP)
    middles = starts + delay + FIT_WINDOW // 2
    nearest = np.searchsorted((middles[1:] + middles[:-1]) / 2, cells + FIT_HOP // 2)
    positions = np.arange(-EARLY_TAPS, FOLLOWED_TAPS)
    taps = fft.irfft(transfers, FIT_WINDOW, axis=1)[:, positions]
    taps /= _share_kept(positions).astype(np.float32)
    n_taps = len(positions)
    length = fft.next_fast_len(FIT_HOP + n_taps, real=True)
    filters = fft.rfft(taps, length, axis=1)
    beside = length + abs(delay)
    padded = np.pad(source, (beside, beside))
    heard = np.lib.stride_tricks.sliding_window_view(padded, length)[cells + beside - delay - FOLLOWED_TAPS + 1]
    filtered = np.empty((len(cells), FIT_HOP), np.float32)
    for first in range(0, len(cells), CELLS_AT_ONCE):
        block = slice(first, first + CELLS_AT_ONCE)
        spectra = fft.rfft(heard[block], axis=1) * filters[nearest[block]]
        filtered[block] = fft.irfft(spectra, length, axis=1)[:, n_taps - 1 : n_taps - 1 + FIT_HOP]
    return filtered.ravel()[: len(source)]


def _with_gain(predicted: Samples, channel: Samples) -> tuple[Samples, NDArray[np.float32]]:
    """Return a predicted leak with the gain it has in a channel, and the share of each frame that it explains."""
    likeness = _around_frames(predicted * channel, GAIN_FRAMES)
    power = _around_frames(predicted**2, GAIN_FRAMES)
    gains = np.maximum(likeness, 0) / np.maximum(power, np.finfo(np.float32).tiny)
    explained = gains * np.maximum(likeness, 0) / np.maximum(_around_frames(channel**2, GAIN_FRAMES), 1e-12)
    is_heard = power > power.mean() * 10 ** (-SOUND_DB / 10)
    n_heard = np.convolve(is_heard, np.ones(TRUST_FRAMES), "same")
    n_explained = np.convolve(is_heard & (explained > LEAST_EXPLAINED), np.ones(TRUST_FRAMES), "same")
    is_trusted = (n_explained > 0) & (n_explained >= TRUSTED_SHARE * n_heard)
    middles = (np.arange(len(gains)) + 0.5) * FRAME
    gain = np.interp(np.arange(len(channel)), middles, np.where(is_trusted, gains, 0))
    return predicted * gain.astype(np.float32), np.where(is_trusted, explained, np.float32(0))


def _around_frames(values: Samples, n_frames: int) -> NDArray[np.float32]:
    """Return the sum of values over so many frames around each."""
    starts = np.arange(0, len(values), FRAME)
    return np.asarray(np.convolve(np.add.reduceat(values, starts), np.ones(n_frames, np.float32), "same"))
