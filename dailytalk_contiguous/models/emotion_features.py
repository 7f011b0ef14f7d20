"""Acoustic features of an utterance that depend on emotion: statistics of contours, loudness and spectrum.

Studies of emotional voices agree on the families (Banse & Scherer 1996; Juslin & Laukka 2003), and Eyben et al.
2016 chose a small set of them, eGeMAPS, on purpose. These are of the same families, by our own definitions:
pitch and its strength from `models.contours`; the range and the slopes of loudness; the shape of the spectrum
and how it moves; pauses and the lengths of voiced stretches, but not how long the utterance is, which its sentence
and its cutting decide. Nothing depends on what is around a sound, or on how loud it was recorded: `at_one_level`
comes first. Measures of pitch in sound that is never voiced are missing (NaN), not zero.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.levels import loud_db
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.models.contours import SMOOTHING, VoiceTrack, smoothed, track_voice

#: Samples of a frame for loudness and spectrum (32 ms).
FRAME = 512

#: Samples from one frame to the next (16 ms, as in contours).
HOP = 256

#: Decibels under the loudest frames (their 95th percentile) down to which a frame is sound and no pause.
PAUSE_DB = 35.0

#: Decibels below full scale that every sound is brought to (its loud frames), so that no answer depends on a gain.
LEVEL = -20.0

#: Mel bands.
BANDS = 26

#: Coefficients of the cosine transform of the bands' logarithms. Higher ones describe the voice and the words:
#: where speaker, sex and sentences are new, six classes have a better recall without them (70.6, not 67.2 %).
COSINES = 7

#: Contours of the voice. Formants and the width of the fundamental are none of them: they took half of the time,
#: and emotions of speakers left out of the Berlin database are recognised as well without them.
_TRACKED = ("f0", "power", "snr")

#: Statistics of a contour, as `_statistics` gives them. No standard deviation: a frame at the edge of a voiced
#: stretch, or a level set by 16 bits, moves it more than what lies between the quartiles.
_STATISTICS = ("mean", "low", "high", "range", "change", "slope")

#: Figures of the shape of a spectrum.
_SHAPES = ("alpha", "hammarberg", "centroid")


def _with_parts(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """`NAME_PART` of each name and part."""
    return [f"{name}_{part}" for name in names for part in parts]


#: The numbers of the voice by name.
_VOICE = _with_parts(_TRACKED, _STATISTICS)

#: The numbers of the level by name.
_LEVEL = _with_parts(["level"], [*_STATISTICS, "rise", "fall"])

#: The numbers of the spectrum by name.
_SPECTRAL = (
    *(f"cosine_{number}_mean" for number in range(1, COSINES)),
    *(f"cosine_{number}_spread" for number in range(1, COSINES)),
    *(f"cosine_{number}_change" for number in range(COSINES)),
    *_with_parts([*_SHAPES, "flux"], ["mean", "spread"]),
)

#: The numbers of an utterance by name, in their order.
MEASURES: tuple[str, ...] = (
    *_VOICE,
    *_LEVEL,
    *_SPECTRAL,
    "voiced_share",
    "voiced_rate",
    "voiced_mean",
    "voiced_spread",
    "pause_share",
    "pause_rate",
    "peak_rate",
)

#: Measures that tell speakers apart more than emotions: they count beside other utterances of the speaker only.
OF_SPEAKER = ("f0_mean", "f0_low", "f0_high")


#: Samples of a frame in which pitch is looked for (50 ms).
_PITCH_FRAME = 800


def emotion_features(sound: Samples) -> NDArray[np.float32]:
    """The numbers of `MEASURES` of an utterance; NaN where one is missing.

    Args:
        sound: as `at_one_level` gives it, not empty.

    Pitch is in semitones, levels are in dB of a sound whose loud frames are at `LEVEL`, rates in 1/s; slopes are a
    second, changes a frame of 16 ms.
    """
    measures = dict.fromkeys(MEASURES, math.nan)
    frames = _spectra(sound)
    sounding = frames.level > LEVEL - PAUSE_DB
    seconds = len(sounding) * HOP / ANALYSIS_RATE
    voice = track_voice(sound, math.ceil(len(sound) / HOP), HOP, _PITCH_FRAME)
    voiced = voice.f0 > 0
    measures |= _voice_measures(voice, voiced)
    measures |= _measures_of_frames(frames, sounding)
    measures |= _time_measures(voiced, sounding, frames.level, seconds)
    return np.array([measures[name] for name in MEASURES], np.float32)


#: Decibels under the loudest frame down to which frames count in how loud a sound is: silence around it does not.
LOUDNESS_DB = 40.0

#: Decibels below full scale under which even the loudest frame is nothing to be heard: 16 bits hold no less.
INAUDIBLE_DB = -90.0

#: Samples between the places where sound may begin and end (1 ms).
EDGE_HOP = 16

#: The power of silence, far under all that is heard: the last bits of 64.
_SILENCE = 1e-14


def at_one_level(samples: Samples) -> Samples:
    """A sound without the silence at both ends, its loud frames brought to `LEVEL`; empty for one without any.

    Sound below `RUMBLE_HZ`, such as an offset of the recorder, is removed first. Loud frames are the 95th
    percentile of those within `LOUDNESS_DB` of the loudest; sound begins and ends with a frame within `PAUSE_DB`
    of that. A gain over the sound changes nothing but the last bits, and silence around it moves its beginning by
    some milliseconds. Peaks may be over 1.

    Args:
        samples: 16 kHz mono, finite, shape (n,).
    """
    if not len(samples):
        return np.zeros(0, np.float32)
    length = max(FRAME, math.ceil(len(samples) / EDGE_HOP) * EDGE_HOP)
    padded = np.zeros(length)
    padded[: len(samples)] = _without_rumble(samples)
    hops = padded.reshape(-1, EDGE_HOP)
    squares = np.einsum("ij,ij->i", hops, hops)
    energy = np.concatenate(([0.0], np.cumsum(squares)))
    hops_of_frame = FRAME // EDGE_HOP
    mean_square = (energy[hops_of_frame:] - energy[:-hops_of_frame]) / FRAME
    level = 10 * np.log10(np.maximum(mean_square, _SILENCE))
    if level.max() < INAUDIBLE_DB:
        return np.zeros(0, np.float32)
    loud = loud_db(level, LOUDNESS_DB)
    (sounding,) = np.nonzero(level > loud - PAUSE_DB)
    start = sounding[0] * EDGE_HOP
    end = sounding[-1] * EDGE_HOP + FRAME
    gain = 10 ** ((LEVEL - loud) / 20)
    return np.asarray(padded[start:end] * gain, np.float32)


#: Hz below which there is no voice: the lowest pitch that is looked for is 65 Hz.
RUMBLE_HZ = 40.0


def _without_rumble(samples: Samples) -> NDArray[np.float64]:
    """Samples without what is below `RUMBLE_HZ`, shape (n,), as if the first one had lasted before they begin."""
    from scipy import signal  # here: commands that read no sound can spare it

    sections = signal.butter(2, RUMBLE_HZ, "highpass", fs=ANALYSIS_RATE, output="sos")
    at_rest = signal.sosfilt_zi(sections)  # after a long 1
    sound = np.asarray(samples, np.float64)
    filtered, _ = signal.sosfilt(sections, sound, zi=at_rest * sound[0])
    return np.asarray(filtered)


class _Spectra(NamedTuple):
    """Figures of the frames of an utterance.

    Attributes:
        level: dB, shape (frames,).
        cosines: the cosine transform of the mel bands, shape (frames, COSINES).
        alpha: the alpha ratio in dB, shape (frames,).
        hammarberg: the Hammarberg index in dB, shape (frames,).
        centroid: octaves over 1 kHz, shape (frames,).
    """

    level: NDArray[np.float64]
    cosines: NDArray[np.float64]
    alpha: NDArray[np.float64]
    hammarberg: NDArray[np.float64]
    centroid: NDArray[np.float64]


#: Frames whose spectra are held at a time.
_AT_ONCE = 2048


def _spectra(samples: Samples) -> _Spectra:
    """Figures of frames `HOP` apart; silence is added to a sound shorter than a frame."""
    missing = max(0, FRAME - len(samples))
    padded = np.pad(np.asarray(samples, np.float32), (0, missing))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    parts: list[_Spectra] = []
    for start in range(0, len(frames), _AT_ONCE):
        parts.append(_spectra_of_frames(frames[start : start + _AT_ONCE]))
    return _Spectra(*(np.concatenate(column) for column in zip(*parts, strict=True)))


#: Hz: two bands whose power is compared (alpha ratio): tense voices have more above 1 kHz.
_ALPHA = ((50.0, 1000.0), (1000.0, 5000.0))

#: Hz: two bands whose peaks are compared (Hammarberg index): tense voices have more above 2 kHz.
_HAMMARBERG = ((0.0, 2000.0), (2000.0, 5000.0))

#: The weakest power that counts: 70 dB under `LEVEL`, so that what 16 bits add to a soft sound is hardly heard.
_FLOOR = 1e-9


def _spectra_of_frames(frames: NDArray[np.float32]) -> _Spectra:
    from scipy import fft  # here: commands that read no sound can spare it

    window = np.hanning(FRAME + 2)[1:-1].astype(np.float32)
    hertz = np.fft.rfftfreq(FRAME, 1 / ANALYSIS_RATE)
    power = np.abs(fft.rfft(frames * window, axis=1)) ** 2
    power = power.astype(np.float64) / (FRAME * FRAME / 8) + _FLOOR / len(hertz)
    # No product of matrices: one of this size is summed by as many threads as there are.
    band_power = np.einsum("ij,kj->ik", power, _mel_filters())
    bands = np.log(np.maximum(band_power, _FLOOR / BANDS))
    mean_square = np.einsum("ij,ij->i", frames, frames) / FRAME
    low, high = (power[:, _within(hertz, band)].sum(axis=1) for band in _ALPHA)
    low_peak, high_peak = (power[:, _within(hertz, band)].max(axis=1) for band in _HAMMARBERG)
    level = 10 * np.log10(np.maximum(mean_square, _FLOOR)).astype(float)
    cosines = fft.dct(bands)[:, :COSINES] / math.sqrt(2 * BANDS)
    alpha = 10 * np.log10(high / low)
    hammarberg = 10 * np.log10(low_peak / high_peak)
    centroid_hz = (power * hertz).sum(axis=1) / power.sum(axis=1)
    centroid = np.log2(np.maximum(centroid_hz, 1.0) / 1000)
    return _Spectra(level, cosines, alpha, hammarberg, centroid)


#: Hz: the lower edge of the lowest band.
LOWEST_HZ = 60.0

#: Hz: the upper edge of the highest band.
HIGHEST_HZ = 7600.0


@lru_cache(maxsize=1)
def _mel_filters() -> NDArray[np.float64]:
    """Return the weight of each bin in each mel band, shape (BANDS, bins).

    The triangles are those of `librosa.filters.mel(htk=True, norm=None)`, on the scale of O'Shaughnessy (1987).
    Importing librosa takes longer than rating a minute of speech, and twenty seconds the first time on a machine.
    """
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (LOWEST_HZ, HIGHEST_HZ))
    mel_edges = np.linspace(low, high, BANDS + 2)
    edges = 700 * (10 ** (mel_edges / 2595) - 1)
    hertz = np.fft.rfftfreq(FRAME, 1 / ANALYSIS_RATE)
    triangle = (0.0, 1.0, 0.0)
    filters = [np.interp(hertz, edges[band : band + 3], triangle) for band in range(BANDS)]
    return np.stack(filters)


def _within(hertz: NDArray[np.floating], edges: tuple[float, float]) -> NDArray[np.bool_]:
    low, high = edges
    return (hertz >= low) & (hertz < high)


def _statistics(values: NDArray[np.float64], frames: NDArray[np.intp]) -> NDArray[np.float64]:
    """The numbers of `_STATISTICS` of columns of values, shape (n, 6).

    `values` has shape (frames, n), and `frames` are the numbers of these frames in the utterance.

    Mean, 10th and 90th percentile, what is between the quartiles; the mean change from one frame to the next; the
    slope of the straight line through them, a second.
    """
    low, quarter, three_quarters, high = np.quantile(values, (0.1, 0.25, 0.75, 0.9), axis=0)
    mean = values.mean(axis=0)
    offsets = values - mean
    is_next = np.diff(frames) == 1
    moves = np.abs(np.diff(values, axis=0))[is_next]
    change = moves.mean(axis=0) if len(moves) else np.zeros_like(mean)
    times = frames * (HOP / ANALYSIS_RATE)
    times = times - times.mean()
    square = float(times @ times)
    slope = times @ offsets / square if square > 0 else np.zeros_like(mean)
    between_quartiles = three_quarters - quarter
    return np.stack((mean, low, high, between_quartiles, change, slope), axis=1)


def _mean_or_zero(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else 0.0


#: Voiced frames below which a voice is not measured.
LEAST_VOICED = 3

#: Hz that are 0 semitones: as ratios, changes of pitch are alike for high and low voices.
_REFERENCE_HZ = 100.0


def _voice_measures(voice: VoiceTrack, voiced: NDArray[np.bool_]) -> dict[str, float]:
    (frames,) = np.nonzero(voiced)
    if len(frames) < LEAST_VOICED:
        return {}
    contours = [voice.f0, voice.power, voice.snr]
    smooth = [smoothed(contour, voiced, SMOOTHING["medium"])[frames] for contour in contours]
    values = np.stack(smooth, axis=1)
    values[:, 0] = 12 * np.log2(values[:, 0] / _REFERENCE_HZ)
    statistics = _statistics(values, frames).ravel().tolist()
    return dict(zip(_VOICE, statistics, strict=True))


def _measures_of_frames(frames: _Spectra, sounding: NDArray[np.bool_]) -> dict[str, float]:
    (numbers,) = np.nonzero(sounding)
    statistics = _statistics(frames.level[numbers, None], numbers)[0].tolist()
    steps = np.diff(frames.level)
    rise = _mean_or_zero(steps[steps > 0])
    fall = _mean_or_zero(steps[steps < 0])
    of_level = dict(zip(_LEVEL, [*statistics, rise, fall], strict=True))
    cosines = frames.cosines
    moves = np.zeros((1, COSINES))
    if len(cosines) > 1:
        moves = np.abs(np.diff(cosines, axis=0))
    sounding_cosines = cosines[sounding]
    flux = np.sqrt((moves**2).sum(axis=1))
    columns = [getattr(frames, name)[sounding] for name in _SHAPES]
    shapes = np.stack(columns, axis=1)
    pairs = np.stack((shapes.mean(axis=0), shapes.std(axis=0)), axis=1)
    values = (
        *sounding_cosines.mean(axis=0)[1:],
        *sounding_cosines.std(axis=0)[1:],
        *moves.mean(axis=0),
        *pairs.ravel(),
        flux.mean(),
        flux.std(),
    )
    return of_level | dict(zip(_SPECTRAL, map(float, values), strict=True))


#: Seconds of a stretch without sound that is a pause.
PAUSE_SECONDS = 0.15


def _time_measures(
    voiced: NDArray[np.bool_], sounding: NDArray[np.bool_], level: NDArray[np.float64], seconds: float
) -> dict[str, float]:
    from scipy.signal import find_peaks  # here: commands that read no sound can spare it

    voices = _run_seconds(voiced)
    pauses = _run_seconds(~sounding)
    pauses = pauses[pauses >= PAUSE_SECONDS]
    # Syllables, roughly: peaks of the level, smoothed over 80 ms, that rise 2 dB over what is around them.
    smooth = np.convolve(level, np.ones(5) / 5, "same") if len(level) >= 5 else level
    peaks, _ = find_peaks(smooth, prominence=2.0)
    return {
        "voiced_share": _mean_or_zero(voiced),
        "voiced_rate": len(voices) / seconds,
        "voiced_mean": _mean_or_zero(voices),
        "voiced_spread": float(voices.std()) if len(voices) else 0.0,
        "pause_share": float(pauses.sum()) / seconds,
        "pause_rate": len(pauses) / seconds,
        "peak_rate": len(peaks) / seconds,
    }


def _run_seconds(flags: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Seconds of each run of true frames, shape (runs,)."""
    runs = true_runs(flags)
    seconds: NDArray[np.float64] = np.diff(runs)[:, 0] * (HOP / ANALYSIS_RATE)
    return seconds
