"""Acoustic features of an utterance that depend on emotion: statistics of contours, loudness and spectrum.

Studies of emotional voices agree on the families (Banse & Scherer 1996; Juslin & Laukka 2003), and Eyben et al.
2016 chose a small set of them, eGeMAPS, on purpose. These are of the same families, by our own definitions:
pitch and its strength from `core.contours`; loudness, its range and its slopes; the shape of the
spectrum and how it moves; pauses and the lengths of voiced stretches. Nothing depends on what is around a sound:
silence at both ends is cut off first, and what was never voiced is missing (NaN), not zero.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.contours import SMOOTHING, Frames, smoothed, track_voice
from dailytalk_contiguous.core.spans import true_runs

#: Samples of a frame and between frames for loudness and spectrum (32 ms, 16 ms, as contours have it).
FRAME = 512
HOP = 256

#: Decibels under the loudest frames (their 95th percentile) down to which a frame is sound and no pause.
PAUSE_DB = 35.0

#: Voiced frames below which nothing is said of a voice.
LEAST_VOICED = 3

#: Seconds of a stretch without sound that is a pause.
PAUSE_SECONDS = 0.15

#: Mel bands, from 60 Hz to 7.6 kHz, and the cosines that their logarithms are written in.
BANDS = 26
LOWEST_HZ = 60.0
HIGHEST_HZ = 7600.0
COSINES = 13

#: Hz that are 0 semitones: as ratios, changes of pitch are alike for high and low voices.
_REFERENCE_HZ = 100.0

#: Samples of a frame in which pitch is looked for (50 ms).
_PITCH_FRAME = 800

#: Bands whose levels are compared: tense voices have more above 1 kHz (alpha ratio) and above 2 kHz (Hammarberg).
_ALPHA = ((50.0, 1000.0), (1000.0, 5000.0))
_HAMMARBERG = ((0.0, 2000.0), (2000.0, 5000.0))

#: Frames whose spectra are held at a time.
_AT_ONCE = 2048

#: The weakest power that counts, of a sample in [-1, 1]: -100 dB.
_FLOOR = 1e-10

#: What is tracked of the voice. Formants are not: they took half of the time, and speakers left out of the Berlin
#: database are told as well without them (recall 83.9 and 84.4 %).
_TRACKED = ("f0", "f0_width", "power", "snr")
_SPREADS = ("mean", "spread", "low", "high", "range")
_MOVES = ("change", "slope")
_SHAPES = ("alpha", "hammarberg", "centroid")
_SPECTRAL = (
    *(f"cosine_{number}_mean" for number in range(1, COSINES)),
    *(f"cosine_{number}_spread" for number in range(1, COSINES)),
    *(f"cosine_{number}_change" for number in range(COSINES)),
    *(f"{name}_{part}" for name in (*_SHAPES, "flux") for part in ("mean", "spread")),
)

#: The numbers of an utterance by name, in their order.
MEASURES: tuple[str, ...] = (
    *(f"{name}_{part}" for name in _TRACKED for part in (*_SPREADS, *_MOVES)),
    *(f"level_{part}" for part in (*_SPREADS, *_MOVES, "rise", "fall")),
    *_SPECTRAL,
    "voiced_share",
    "voiced_rate",
    "voiced_mean",
    "voiced_spread",
    "pause_share",
    "pause_rate",
    "peak_rate",
    "log_seconds",
)


def emotion_features(samples: Samples) -> NDArray[np.float32]:
    """The numbers of `MEASURES` of an utterance; NaN where one is missing, and all NaN for silence.

    Args:
        samples: 16 kHz mono in [-1, 1], finite, shape (n,).

    Pitch is in semitones, levels in dB, rates in 1/s; slopes are a second, changes a frame of 16 ms.
    """
    measures = dict.fromkeys(MEASURES, math.nan)
    frames = _spectra(samples)
    level = frames.level
    loud = float(np.percentile(level[level > 10 * math.log10(_FLOOR)], 95)) if (level > -99).any() else -math.inf
    sounding = level > max(loud - PAUSE_DB, -90.0)
    if not sounding.any():
        return np.array([*measures.values()], np.float32)
    first = int(sounding.argmax())
    last = len(sounding) - int(sounding[::-1].argmax())
    inner = sounding[first:last]
    seconds = (last - first) * HOP / ANALYSIS_RATE
    part = np.ascontiguousarray(samples[first * HOP : (last + 1) * HOP])
    voice = track_voice(part, math.ceil(len(part) / HOP), HOP, _PITCH_FRAME)
    voiced = voice.f0 > 0
    measures |= _of_voice([voice.f0, voice.width, voice.power, voice.snr], voiced)
    measures |= _of_levels(level[first:last], inner)
    measures |= _of_spectra(frames, first, last, inner)
    measures |= _of_times(voiced, inner, level[first:last], seconds)
    return np.array([measures[name] for name in MEASURES], np.float32)


class _Spectra(NamedTuple):
    """Frames of an utterance: their level in dB, shape (frames,); cosines of their mel bands, (frames, COSINES);
    alpha ratio and Hammarberg index in dB, centroid in octaves over 1 kHz, each (frames,).
    """

    level: NDArray[np.float64]
    cosines: NDArray[np.float64]
    alpha: NDArray[np.float64]
    hammarberg: NDArray[np.float64]
    centroid: NDArray[np.float64]


def _spectra(samples: Samples) -> _Spectra:
    from scipy import fft  # here: commands that read no sound can spare it

    padded = np.pad(np.asarray(samples, np.float32), (0, max(0, FRAME - len(samples))))
    views = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    window = np.hanning(FRAME + 2)[1:-1].astype(np.float32)
    hertz = np.fft.rfftfreq(FRAME, 1 / ANALYSIS_RATE)
    filters = _mel_filters()
    parts = []
    for start in range(0, len(views), _AT_ONCE):
        frames = views[start : start + _AT_ONCE]
        power = np.abs(fft.rfft(frames * window, axis=1)) ** 2
        power = power.astype(np.float64) / (FRAME * FRAME / 8) + _FLOOR / len(hertz)
        # No product of matrices: one of this size is summed by as many threads as there are.
        bands = np.log(np.maximum(np.einsum("ij,kj->ik", power, filters), _FLOOR / BANDS))
        low, high = (power[:, _within(hertz, band)].sum(axis=1) for band in _ALPHA)
        parts.append(
            _Spectra(
                10 * np.log10(np.maximum(np.einsum("ij,ij->i", frames, frames) / FRAME, _FLOOR)).astype(float),
                fft.dct(bands)[:, :COSINES] / math.sqrt(2 * BANDS),
                10 * np.log10(high / low),
                10 * np.log10(np.divide(*(power[:, _within(hertz, band)].max(axis=1) for band in _HAMMARBERG))),
                np.log2(np.maximum((power * hertz).sum(axis=1) / power.sum(axis=1), 1.0) / 1000),
            )
        )
    return _Spectra(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@lru_cache(maxsize=1)
def _mel_filters() -> NDArray[np.float64]:
    """Of each band, how much of each bin belongs to it, shape (BANDS, bins).

    The triangles are those of `librosa.filters.mel(htk=True, norm=None)`, on the scale of O'Shaughnessy (1987).
    Importing librosa takes longer than rating a minute of speech, and twenty seconds the first time on a machine.
    """
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(FRAME, 1 / ANALYSIS_RATE)
    return np.stack([np.interp(hertz, edges[band : band + 3], (0.0, 1.0, 0.0)) for band in range(BANDS)])


def _within(hertz: NDArray[np.floating[Any]], ends: tuple[float, float]) -> NDArray[np.bool_]:
    return (hertz >= ends[0]) & (hertz < ends[1])


def _statistics(values: NDArray[np.float64], frames: NDArray[np.intp]) -> NDArray[np.float64]:
    """`_SPREADS` and `_MOVES` of columns (frames, n) of frames of those numbers, shape (n, 7).

    Mean, standard deviation, 10th and 90th percentile, what is between the quartiles; the mean change from one
    frame to the next; the slope of the straight line through them, a second.
    """
    low, quarter, three_quarters, high = np.quantile(values, (0.1, 0.25, 0.75, 0.9), axis=0)
    mean = values.mean(axis=0)
    offsets = values - mean
    spread = np.sqrt((offsets**2).mean(axis=0))
    moves = np.abs(np.diff(values, axis=0))[np.diff(frames) == 1]
    change = moves.mean(axis=0) if len(moves) else np.zeros_like(mean)
    times = frames * (HOP / ANALYSIS_RATE)
    times = times - times.mean()
    square = float(times @ times)
    slope = times @ offsets / square if square > 0 else np.zeros_like(mean)
    return np.stack((mean, spread, low, high, three_quarters - quarter, change, slope), axis=1)


def _of_voice(contours: list[Frames], voiced: NDArray[np.bool_]) -> dict[str, float]:
    (frames,) = np.nonzero(voiced)
    if len(frames) < LEAST_VOICED:
        return {}
    values = np.stack([smoothed(contour, voiced, SMOOTHING["medium"])[frames] for contour in contours], axis=1)
    values[:, 0] = 12 * np.log2(values[:, 0] / _REFERENCE_HZ)
    names = [f"{name}_{part}" for name in _TRACKED for part in (*_SPREADS, *_MOVES)]
    return dict(zip(names, _statistics(values, frames).ravel().tolist(), strict=True))


def _of_levels(level: NDArray[np.float64], sounding: NDArray[np.bool_]) -> dict[str, float]:
    (heard,) = np.nonzero(sounding)
    steps = np.diff(level)
    rising = steps[steps > 0]
    falling = steps[steps < 0]
    parts = (
        *_statistics(level[heard, None], heard)[0].tolist(),
        float(rising.mean()) if len(rising) else 0.0,
        float(falling.mean()) if len(falling) else 0.0,
    )
    names = (*_SPREADS, *_MOVES, "rise", "fall")
    return {f"level_{part}": value for part, value in zip(names, parts, strict=True)}


def _of_spectra(frames: _Spectra, first: int, last: int, sounding: NDArray[np.bool_]) -> dict[str, float]:
    cosines = frames.cosines[first:last]
    moves = np.abs(np.diff(cosines, axis=0)) if len(cosines) > 1 else np.zeros((1, COSINES))
    heard = cosines[sounding]
    flux = np.sqrt((moves**2).sum(axis=1))
    shapes = np.stack([getattr(frames, name)[first:last][sounding] for name in _SHAPES], axis=1)
    pairs = np.stack((shapes.mean(axis=0), shapes.std(axis=0)), axis=1)
    values = (
        *heard.mean(axis=0)[1:],
        *heard.std(axis=0)[1:],
        *moves.mean(axis=0),
        *pairs.ravel(),
        flux.mean(),
        flux.std(),
    )
    return dict(zip(_SPECTRAL, map(float, values), strict=True))


def _of_times(
    voiced: NDArray[np.bool_], sounding: NDArray[np.bool_], level: NDArray[np.float64], seconds: float
) -> dict[str, float]:
    from scipy.signal import find_peaks

    step = HOP / ANALYSIS_RATE
    voices, pauses = (np.diff(true_runs(flags))[:, 0] * step for flags in (voiced, ~sounding))
    pauses = pauses[pauses >= PAUSE_SECONDS]
    # Syllables, roughly: peaks of the level, smoothed over 80 ms, that rise 2 dB over what is around them.
    smooth = np.convolve(level, np.ones(5) / 5, "same") if len(level) >= 5 else level
    return {
        "voiced_share": float(voiced.mean()) if len(voiced) else 0.0,
        "voiced_rate": len(voices) / seconds,
        "voiced_mean": float(voices.mean()) if len(voices) else 0.0,
        "voiced_spread": float(voices.std()) if len(voices) else 0.0,
        "pause_share": float(pauses.sum()) / seconds,
        "pause_rate": len(pauses) / seconds,
        "peak_rate": len(find_peaks(smooth, prominence=2.0)[0]) / seconds,
        "log_seconds": math.log(seconds),
    }
