"""How good a clip's recording is, in figures, and which of them are out of bounds.

Measured is the file as it came, before anything is levelled or cut, and at its own rate. What can't be known is
None, never a guess: a clip with a gate has no noise floor between its words, so it has no signal-to-noise ratio.
Limits are apart from measures, so that they can be chosen from a plot of a corpus and changed without measuring
again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.loudness import clip_loudness, decibels

#: A measure and its value; None where it is not defined.
Measures = dict[str, float | None]

#: Starts and ends in seconds, in order.
Spans = Sequence[tuple[float, float]]

#: What `measure` returns.
NAMES = (
    *("snr_db", "clipping_ratio", "bandwidth_hz", "speech_ratio", "silence_seconds"),
    *("peak_dbfs", "loudness_lufs", "dc_offset"),
)

#: Seconds of a frame of energy; seconds around what is heard that are neither speech nor noise.
FRAME, MARGIN = 0.02, 0.05

#: Mean square under which a frame is digital silence: less than the rounding of 16 bits leaves (−101 dBFS).
NOTHING = 1e-10

#: Frames of noise that give a floor by themselves (0.2 s); with fewer it is the softest share of all frames.
ENOUGH_NOISE, SOFTEST = 10, 10

#: dB that stand for all that is worse.
LEAST_SNR_DB = -20.0

#: Full scale, and a hair under it. Samples in a run that are a flat top.
FULL_SCALE, TOP_RUN = 0.999, 3

#: Flat tops at one height under full scale that are clipping, not chance; the peak under which the steps of 16
#: bits themselves look flat; and how flat a top is, as a share of its height and in steps of 16 bits.
TOPS, LOWEST_TOP, FLAT_SHARE, FLAT_STEPS = 3, 0.05, 5e-4, 1.5

#: Seconds of a spectrum (resolution 31 Hz), and dB under the strongest that still are energy. With 65, lines of
#: the bundled 16 kHz conversations measure 7 to 8 kHz, and telephone calls that soxr, SciPy and librosa brought to
#: 24 and 44.1 kHz 3.8 to 4.6. With 60, lines without a fricative fall to 4.7; with 75, images at -70 dB count.
SPECTRUM, ENERGY_DB = 0.032, 65.0

#: Share of the frames of which the spectrum is taken: the loudest 2 % at each frequency, since a clip may hold but
#: one fricative.
LOUDEST = 98


@dataclass(frozen=True)
class QualityLimits:
    """What a clip must keep to; None sets no limit. Defaults are loose: they find the broken, not the poor.

    Attributes:
        shortest, longest: seconds of the clip.
        lowest_snr_db: estimated signal-to-noise ratio.
        most_clipping: share of samples that are clipped.
        lowest_bandwidth_hz: telephone speech ends at 3.4 to 4 kHz, what was recorded at 16 kHz at 7 to 8.
        lowest_speech_ratio: share of speech from the first to the last sound.
        longest_silence: seconds without a sound between two sounds.
    """

    shortest: float | None = 0.5
    longest: float | None = 30.0
    lowest_snr_db: float | None = 10.0
    most_clipping: float | None = 0.005
    lowest_bandwidth_hz: float | None = 6500.0
    lowest_speech_ratio: float | None = 0.4
    longest_silence: float | None = 1.5


def failures(measures: Mapping[str, float | None], limits: QualityLimits) -> list[str]:
    """Why a clip is out of bounds, one clause with the figure and the limit each; empty if it is not.

    Args:
        measures: those of `measure`, and `duration` in seconds. What is None is not held against a clip.
        limits: the thresholds. A value at its limit is within.
    """
    checks = (
        ("duration", "it is {} long", _seconds, limits.shortest, limits.longest),
        ("snr_db", "its signal-to-noise ratio is {}", "{:.1f} dB".format, limits.lowest_snr_db, None),
        ("clipping_ratio", "{} of it is clipped", "{:.2%}".format, None, limits.most_clipping),
        ("bandwidth_hz", "its bandwidth is {}", _kilohertz, limits.lowest_bandwidth_hz, None),
        ("speech_ratio", "{} of it is speech", "{:.0%}".format, limits.lowest_speech_ratio, None),
        ("silence_seconds", "it is silent for {} inside", _seconds, None, limits.longest_silence),
    )
    found = []
    for name, clause, shown, least, most in checks:
        value = measures[name]
        if value is None:
            continue
        if least is not None and value < least:
            found.append(f"{clause.format(shown(value))} (limit {shown(least)})")
        if most is not None and value > most:
            found.append(f"{clause.format(shown(value))} (limit {shown(most)})")
    return found


def measure(samples: Samples, sample_rate: int, speech: Spans, heard: Spans) -> Measures:
    """The measures of `NAMES` of one channel.

    `snr_db`, `clipping_ratio` and `bandwidth_hz` are those of the functions below; `speech_ratio` in [0, 1] is the
    share of speech between the first and the last sound, 0 without speech; `silence_seconds` the longest stretch
    between two sounds, 0 where there is none and None where nothing is heard; `peak_dbfs` the highest sample;
    `loudness_lufs` that of `core.loudness.clip_loudness`; `dc_offset` the mean sample in [-1, 1].

    Args:
        samples: float32 in [-1, 1], shape (n,).
        sample_rate: Hz.
        speech: spans of speech.
        heard: spans in which anything is heard, speech or not.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    return {
        "snr_db": snr_db(samples, sample_rate, speech, heard),
        "clipping_ratio": clipping_ratio(samples),
        "bandwidth_hz": bandwidth_hz(samples, sample_rate),
        "speech_ratio": _total(speech) / (heard[-1][1] - heard[0][0]) if speech else 0.0,
        "silence_seconds": _longest_gap(heard) if heard else None,
        "peak_dbfs": _finite(decibels(peak)),
        "loudness_lufs": _finite(clip_loudness(samples, sample_rate)),
        "dc_offset": float(np.mean(samples, dtype=np.float64)) if len(samples) else None,
    }


def snr_db(samples: Samples, sample_rate: int, speech: Spans, heard: Spans) -> float | None:
    """Estimated signal-to-noise ratio in dB: power in speech over power outside of all that is heard.

    The noise is the median energy of 20 ms frames away from every sound, so that a click between words does not
    count, and is taken off the power of speech (as in NIST's STNR and in ITU-T P.56's practice of measuring speech
    where it is active). WADA-SNR (Kim & Stern 2008) needs no speech activity, but fits a distribution of
    amplitudes, which a clip of two seconds does not fill. Where there is too little noise alone (tight cuts), the
    softest tenth of all frames stands in: the closures of stop consonants.

    None without speech, or with a gate (digital silence where the noise should be). `LEAST_SNR_DB` where noise
    drowns speech: of how much more no figure tells.
    """
    width = round(FRAME * sample_rate)
    frames = samples[: len(samples) - len(samples) % width].reshape(-1, width)
    if not len(frames):
        return None
    # An offset is no noise. It is the usual mean of a frame: a lopsided voice gives the whole clip another one.
    frames = frames - np.median(frames.mean(axis=1))
    levels = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / width
    spoken = _frames_in(speech, len(levels), 0.0) & (levels > NOTHING)
    quiet = ~_frames_in(heard, len(levels), MARGIN)
    if not spoken.any():
        return None
    noise = levels[quiet]
    floor = float(np.median(noise) if len(noise) >= ENOUGH_NOISE else np.percentile(levels, SOFTEST))
    signal = float(levels[spoken].mean()) - floor
    if floor <= NOTHING:
        return None
    return max(LEAST_SNR_DB, 10 * math.log10(signal / floor)) if signal > 0 else LEAST_SNR_DB


def clipping_ratio(samples: Samples) -> float:
    """Share of samples in [0, 1] that lie in flat tops: runs of at least three that stay at the highest value.

    At full scale one such run is clipping. Under it (clipped first and turned down later) there must be three at
    one height: speech comes to its own maximum once. Top and bottom are looked at apart, as an offset clips only
    one of them. What was resampled or coded lossily after it was clipped is no longer flat and is not found.
    """
    return sum(_flat_tops(side) for side in (samples, -samples)) / max(len(samples), 1)


def bandwidth_hz(samples: Samples, sample_rate: int) -> float | None:
    """The highest frequency in Hz with energy: within 65 dB of the strongest. None for silence.

    Speech that was kept at 8 kHz and upsampled ends at 4 kHz whatever its file's rate is. A resampler without a
    filter leaves mirror images above, which count as energy.
    """
    width = round(SPECTRUM * sample_rate)
    if len(samples) < width:
        return None
    level = samples - samples.mean(dtype=np.float64).astype(np.float32)  # an offset would leak into its neighbours
    frames = np.lib.stride_tricks.sliding_window_view(level, width)[:: width // 2]
    power = np.abs(np.fft.rfft(frames * np.hanning(width).astype(np.float32), axis=1)) ** 2
    rank = min(len(power) - 1, len(power) * LOUDEST // 100)
    loudest = np.partition(power, rank, axis=0)[rank]
    if float(loudest.max()) / width**2 < NOTHING / width:
        return None
    (energy,) = np.nonzero(loudest >= loudest.max() * 10 ** (-ENERGY_DB / 10))
    return float(energy[-1] * sample_rate / width)


def _flat_tops(side: Samples) -> int:
    """Samples of one polarity that lie in flat tops."""
    top = float(side.max(initial=0.0))
    if top >= FULL_SCALE:
        runs = _runs(side >= FULL_SCALE)
        return int(runs[runs >= TOP_RUN].sum())
    if top < LOWEST_TOP:
        return 0
    runs = _runs(side >= top - max(FLAT_STEPS / 32768, FLAT_SHARE * top))
    runs = runs[runs >= TOP_RUN]
    return int(runs.sum()) if len(runs) >= TOPS else 0


def _runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return np.asarray(edges[1::2] - edges[::2])


def _frames_in(spans: Spans, count: int, margin: float) -> NDArray[np.bool_]:
    """Which of `count` frames lie in spans, widened by `margin` seconds, at least in part."""
    inside = np.zeros(count, bool)
    for start, end in spans:
        inside[max(0, int((start - margin) / FRAME)) : max(0, math.ceil((end + margin) / FRAME))] = True
    return inside


def _total(spans: Spans) -> float:
    return sum(end - start for start, end in spans)


def _longest_gap(spans: Spans) -> float:
    return max((after[0] - before[1] for before, after in pairwise(spans)), default=0.0)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _kilohertz(value: float) -> str:
    return f"{value / 1000:.1f} kHz"
