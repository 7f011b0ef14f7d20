"""Measures of sound by which clips are chosen, and the levels of a side of a conversation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.record import LeakSpan
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.crosstalk import Leak
from dailytalk_contiguous.core.sound.loudness import clip_loudness, decibels
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps, total_seconds, touched_frames, true_runs

# Quality of a clip's recording in figures, and which of them are out of bounds.
#
# The file is measured as it came, before anything is levelled or cut, and at its own rate. What can't be known is
# None, never a guess: a clip with a gate has no noise floor between its words, so it has no signal-to-noise
# ratio. Limits are apart from measures, so that they can be chosen from a plot of a corpus and changed without
# measuring again.


#: A measure and its value; None where it is not defined.
Measures = dict[str, float | None]

#: Mean squares of frames, shape (frames,), or powers.
Levels = NDArray[np.float64] | NDArray[np.float32]


#: Seconds of a frame of energy.
FRAME = 0.02

#: Seconds around sounds that are neither speech nor noise.
MARGIN = 0.05

#: Mean square under which a frame is digital silence (−100 dBFS): the rounding of 16 bits leaves −101.
NOTHING = 1e-10

#: Samples from here on are at full scale (a hair under 1).
FULL_SCALE = 0.999

#: Samples in a run that are a flat top.
TOP_RUN = 3

#: Seconds of a spectrum (resolution 31 Hz).
SPECTRUM = 0.032


#: What may be given in place of a limit, to set none.
NO_LIMIT: dict[str, float | None] = {"inf": None, "-inf": None}


def _limit(limit: float, about: str, option: str, metavar: str) -> float | None:
    field = setting(limit, about, option=option, panel="quality", words=NO_LIMIT, metavar=metavar, hidden=True)
    return cast(float | None, field)


@dataclass(frozen=True)
class QualityLimits:
    """The limits of a clip; None sets no limit. Defaults are loose: they find broken clips, not poor ones.

    Telephone speech ends at 3.4 to 4 kHz, a recording at 16 kHz at 7 to 8. The share of speech is that from the
    first to the last sound.
    """

    shortest_seconds: float | None = _limit(0.5, "Shortest clip; 0 sets no limit.", "min_seconds", "SECONDS")
    longest_seconds: float | None = _limit(30.0, "Longest clip; inf sets no limit.", "max_seconds", "SECONDS")
    lowest_snr_db: float | None = _limit(
        10.0, "Lowest signal-to-noise ratio; -inf sets no limit.", "min_snr", "DB"
    )
    most_clipping: float | None = _limit(
        0.005, "Share of clipped samples; inf sets no limit.", "max_clipping", "SHARE"
    )
    lowest_bandwidth_hz: float | None = _limit(6500.0, "Lowest bandwidth; 0 sets no limit.", "min_bandwidth", "HZ")
    lowest_speech_ratio: float | None = _limit(
        0.4, "Share of speech; 0 sets no limit.", "min_speech_ratio", "SHARE"
    )
    longest_silence_seconds: float | None = unlisted(1.5)


def failures(measures: Mapping[str, float | None], limits: QualityLimits) -> list[str]:
    """Return why a clip is out of bounds, one clause with the figure and the limit each; empty if it is within.

    Args:
        measures: those of `measure_quality`, and `duration` in seconds. A value of None is not held against a
            clip.
        limits: thresholds; a value at its limit is within.
    """

    def kilohertz(hertz: float) -> str:
        return f"{hertz / 1000:.1f} kHz"

    seconds = "{:.2f} s".format
    checks = (
        ("duration", "it is {} long", seconds, limits.shortest_seconds, limits.longest_seconds),
        ("snr_db", "its signal-to-noise ratio is {}", "{:.1f} dB".format, limits.lowest_snr_db, None),
        ("clipping_ratio", "{} of it is clipped", "{:.2%}".format, None, limits.most_clipping),
        ("bandwidth_hz", "its bandwidth is {}", kilohertz, limits.lowest_bandwidth_hz, None),
        ("speech_ratio", "{} of it is speech", "{:.0%}".format, limits.lowest_speech_ratio, None),
        ("silence_seconds", "it is silent for {} inside", seconds, None, limits.longest_silence_seconds),
    )
    reasons = []
    for name, clause, shown, least, most in checks:
        value = measures[name]
        if value is None:
            continue
        measured = clause.format(shown(value))
        if least is not None and value < least:
            reasons.append(f"{measured} (at least {shown(least)})")
        if most is not None and value > most:
            reasons.append(f"{measured} (at most {shown(most)})")
    return reasons


def measure_quality(
    samples: Samples, sample_rate: int, speech: Sequence[TimeSpan], heard: Sequence[TimeSpan]
) -> Measures:
    """Return the measures of `QUALITY_MEASURES` of one channel.

    `snr_db`, `clipping_ratio` and `bandwidth_hz` are those of the functions below; `speech_ratio` in [0, 1] is the
    share of speech between the first and the last sound, 0 without speech; `silence_seconds` the longest stretch
    between two sounds, 0 where there is none and None where nothing is audible; `peak_dbfs` the highest sample;
    `loudness_lufs` that of `core.sound.loudness.clip_loudness`; `dc_offset` the mean sample in [-1, 1].

    Args:
        samples: float32 in [-1, 1], shape (n,).
        sample_rate: Hz.
        speech: spans of speech.
        heard: spans in which anything is audible, speech or not.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    speech_ratio = 0.0
    if speech:
        heard_seconds = heard[-1][1] - heard[0][0]
        speech_ratio = total_seconds(speech) / heard_seconds
    longest_silence = None
    if heard:
        gaps = [after[0] - before[1] for before, after in pairwise(heard)]
        longest_silence = max(gaps, default=0.0)
    return {
        "snr_db": snr_db(samples, sample_rate, speech, heard),
        "clipping_ratio": clipping_ratio(samples),
        "bandwidth_hz": bandwidth_hz(samples, sample_rate),
        "speech_ratio": speech_ratio,
        "silence_seconds": longest_silence,
        "peak_dbfs": _finite(decibels(peak)),
        "loudness_lufs": _finite(clip_loudness(samples, sample_rate)),
        "dc_offset": float(np.mean(samples, dtype=np.float64)) if len(samples) else None,
    }


def snr_db(
    samples: Samples, sample_rate: int, speech: Sequence[TimeSpan], heard: Sequence[TimeSpan]
) -> float | None:
    """Estimated signal-to-noise ratio in dB: power in speech over power outside of all that is audible.

    The noise is the median energy of 20 ms frames away from every sound, so that a click between words does not
    count, and is taken off the power of speech (as in NIST's STNR and in ITU-T P.56's practice of measuring speech
    where it is active). WADA-SNR (Kim & Stern 2008) needs no speech activity, but fits a distribution of
    amplitudes, which a clip of two seconds does not fill. Where there is too little noise alone (tight cuts), the
    softest tenth of all frames is taken: the closures of stop consonants.

    It is None without speech, or with a gate (digital silence where the noise should be), and `LEAST_SNR_DB` where
    noise drowns speech, which can't be measured any further.
    """
    width = round(FRAME * sample_rate)
    whole = len(samples) - len(samples) % width
    frames = samples[:whole].reshape(-1, width)
    if not len(frames):
        return None
    # An offset is no noise. It is the usual mean of a frame: a lopsided voice gives the whole clip another one.
    frames = frames - np.median(frames.mean(axis=1))
    levels = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / width
    speech_frames = touched_frames(len(levels), speech, FRAME)
    heard_frames = touched_frames(len(levels), _with_margins(heard), FRAME)
    return _snr_db(levels, speech_frames, heard_frames)


#: Frames of noise that give a floor by themselves (0.2 s).
ENOUGH_NOISE = 10

#: Percentile of all frames that is the floor where there are fewer frames of noise.
SOFTEST = 10

#: dB: the lowest signal-to-noise ratio that is reported, also for anything worse.
LEAST_SNR_DB = -20.0


def _snr_db(levels: Levels, speech: NDArray[np.bool_], heard: NDArray[np.bool_]) -> float | None:
    """Return `snr_db` from the mean square of each frame and the frames of speech and of any sound but noise."""
    spoken = speech & (levels > NOTHING)
    if not spoken.any():
        return None
    noise = levels[~heard]
    is_enough = len(noise) >= ENOUGH_NOISE
    floor = float(np.median(noise) if is_enough else np.percentile(levels, SOFTEST))
    if floor <= NOTHING:
        return None
    signal = float(levels[spoken].mean()) - floor
    if signal <= 0:
        return LEAST_SNR_DB
    return max(LEAST_SNR_DB, 10 * math.log10(signal / floor))


def clipping_ratio(samples: Samples) -> float:
    """Share of samples in [0, 1] that are in flat tops: runs of at least three that stay at the highest value.

    At full scale one such run is clipping. Under it (clipped first and turned down later) there must be three at
    one height: speech comes to its own maximum once. Top and bottom are examined separately, as an offset clips
    only one of them. Sound that was resampled or coded lossily after it was clipped is no longer flat, so its
    clipping is not found.
    """
    tops = FlatTops()
    tops.push(samples)
    return tops.samples / max(len(samples), 1)


class _TopRuns(NamedTuple):
    """Runs of samples near a peak, each of shape (runs,): starts and ends in samples, and the lowest sample."""

    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    lowest: NDArray[np.float32]


#: Flat tops at one height under full scale that are clipping, not chance.
TOPS = 3

#: The peak under which the steps of 16 bits themselves look flat.
LOWEST_TOP = 0.05


class FlatTops:
    """Flat tops of samples that come in blocks, as `clipping_ratio` finds them.

    Memory grows only with clipped samples. Once a louder block comes, earlier runs count only if all of their
    samples reach its height.

    >>> tops = FlatTops()
    >>> tops.push(np.array([0.0, 1.0, 1.0], np.float32))
    >>> tops.push(np.array([1.0, -0.5], np.float32))
    >>> tops.samples
    3
    """

    def __init__(self) -> None:
        self._n_samples = 0
        self._peaks = [0.0, 0.0]  # the highest sample, and the lowest one without its sign
        self._runs: tuple[list[_TopRuns], list[_TopRuns]] = ([], [])  # above and below, of each block

    def push(self, samples: Samples) -> None:
        for side, upright in enumerate((samples, -samples)):
            peak = float(upright.max(initial=0.0))
            self._peaks[side] = max(self._peaks[side], peak)
            # What is under the lowest top that counts may never have been one.
            limit = _top_limit(max(self._peaks[side], LOWEST_TOP))
            if peak >= limit:
                runs = _runs_from(upright, limit, self._n_samples)
                self._runs[side].append(runs)
        self._n_samples += len(samples)

    @property
    def samples(self) -> int:
        """The number of samples so far that are in flat tops."""
        above, below = self._runs
        highest, lowest = self._peaks
        return self._flat(highest, above) + self._flat(lowest, below)

    @staticmethod
    def _flat(peak: float, blocks: Sequence[_TopRuns]) -> int:
        if peak < LOWEST_TOP:
            return 0
        starts = np.concatenate([runs.starts for runs in blocks])
        ends = np.concatenate([runs.ends for runs in blocks])
        lowest = np.concatenate([runs.lowest for runs in blocks])
        if not len(starts):
            return 0
        is_first = np.append(True, starts[1:] != ends[:-1])  # a run may go on in the next block
        is_last = np.append(is_first[1:], True)
        lengths = ends[is_last] - starts[is_first]
        reaches_top = np.minimum.reduceat(lowest, np.flatnonzero(is_first)) >= _top_limit(peak)
        lengths = lengths[reaches_top & (lengths >= TOP_RUN)]
        is_clipping = peak >= FULL_SCALE or len(lengths) >= TOPS
        return int(lengths.sum()) if is_clipping else 0


def _runs_from(samples: Samples, limit: float, offset: int) -> _TopRuns:
    """Return the runs of samples from `limit` up that may be flat; `offset` samples came before these."""
    is_top = samples >= limit
    starts, ends = true_runs(is_top).T
    lengths = ends - starts
    lowest = np.minimum.reduceat(samples[is_top], np.cumsum(lengths) - lengths)
    kept = (lengths >= TOP_RUN) | (starts == 0) | (ends == len(samples))
    return _TopRuns(starts[kept] + offset, ends[kept] + offset, lowest[kept])


#: How far under the peak samples of a flat top may be, as a share of its height.
FLAT_SHARE = 5e-4

#: How far under the peak samples of a flat top may be, in steps of 16 bits.
FLAT_STEPS = 1.5


def _top_limit(peak: float) -> float:
    """Return the height from which a sample is at the top, for the highest sample `peak`."""
    if peak >= FULL_SCALE:
        return float(np.float32(FULL_SCALE))
    tolerance = max(FLAT_STEPS / 32768, FLAT_SHARE * peak)
    return float(np.float32(peak - tolerance))


def bandwidth_hz(samples: Samples, sample_rate: int) -> float | None:
    """Return the highest frequency in Hz with energy within 65 dB of the strongest; None for silence.

    Speech that was kept at 8 kHz and upsampled ends at 4 kHz whatever its file's rate is. A resampler without a
    filter leaves mirror images above, which count as energy.
    """
    width = round(SPECTRUM * sample_rate)
    if len(samples) < width:
        return None
    offset = samples.mean(dtype=np.float64).astype(np.float32)
    level = samples - offset  # an offset would leak into its neighbours
    frames = np.lib.stride_tricks.sliding_window_view(level, width)[:: width // 2]
    window = np.hanning(width).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return _bandwidth_hz(power, sample_rate, width)


#: dB under the strongest frequency that still are energy. With 65, lines of the bundled 16 kHz conversations
#: measure 7 to 8 kHz, and telephone calls that soxr, SciPy and librosa brought to 24 and 44.1 kHz 3.8 to 4.6. With
#: 60, lines without a fricative fall to 4.7; with 75, images at -70 dB count.
ENERGY_DB = 65.0

#: Percentile of the frames that the spectrum is taken from: the loudest 2 % at each frequency, since a clip may
#: hold only one fricative.
LOUDEST = 98


def _bandwidth_hz(power: Levels, sample_rate: int, width: int) -> float | None:
    """Return `bandwidth_hz` from power spectra of frames of `width` samples, shape (frames, bins)."""
    if not len(power):
        return None
    rank = min(len(power) - 1, len(power) * LOUDEST // 100)
    loudest = np.partition(power, rank, axis=0)[rank]
    if float(loudest.max()) / width**2 < NOTHING / width:
        return None
    least_energy = loudest.max() * 10 ** (-ENERGY_DB / 10)
    (bins,) = np.nonzero(loudest >= least_energy)
    return float(bins[-1] * sample_rate / width)


def _with_margins(spans: Sequence[TimeSpan]) -> list[TimeSpan]:
    return [(start - MARGIN, end + MARGIN) for start, end in spans]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# One side of a conversation, measured while it is read.
#
# A conversation may last hours, so no more is kept of it than a figure a frame and some spectra. Its speech is
# found later than it is read: which frames count is asked at the end.


#: Spectra that are taken of a side, evenly spread, since each costs more than a second of all else. On the bundled
#: conversations and on telephone calls, at 8 to 44.1 kHz, they give the bandwidth of all frames within 0.06 kHz.
SPECTRA = 300

#: dB under the mean power of speech at which its pauses begin (the margin of ITU-T P.56, which takes the level of
#: active speech alone).
PAUSE_DB = 15.9

#: dBFS. A channel that never gets louder is silent: room tone of a quiet recording is at -60 and below.
SILENCE_DBFS = -60.0

#: Variance under which a frame carries no sound at all: that of noise of one step of 16 bits (-90 dBFS).
NO_SOUND = 1e-9

#: Share of frames without any sound before its end, up to which a channel is not gated.
MOST_GATED = 0.01

#: dB. A sound this far below the loudest moment of its channel is inaudible: whispers are 20 to 30 dB below
#: shouts.
BELOW_LOUDEST = 40.0


class SoundMeasures(TypedDict, total=False):
    """The fields of `core.records.record.Side` that follow from the sound of a channel, where they are known."""

    speech_seconds: float
    level_dbfs: float | None
    snr_db: float | None
    bandwidth_hz: float | None
    clipping_ratio: float | None
    leak_db: float | None
    leak_seconds: float | None
    leaks: list[LeakSpan] | None
    silent_end: float | None


class SideMeter:
    """Measures one channel that comes in blocks, at the rate of its file.

    >>> meter = SideMeter(8000, 1.0)
    >>> meter.push(np.tile(np.array([0.0, 0.5, 0.0, -0.5], np.float32), 2000))
    >>> round(meter.measures([(0.0, 1.0)], [(0.0, 1.0)])["level_dbfs"], 1)
    -9.0

    Args:
        sample_rate: Hz.
        seconds: length of the conversation, roughly.
    """

    def __init__(self, sample_rate: int, seconds: float) -> None:
        self._rate = sample_rate
        self._width = round(FRAME * sample_rate)
        self._window = np.hanning(round(SPECTRUM * sample_rate)).astype(np.float32)
        self._step = max(1, int(seconds / FRAME / SPECTRA))
        self._tops = FlatTops()
        self._n_samples = 0
        self._framed = 0
        self._unframed = np.zeros(0, np.float32)
        self._frames: list[NDArray[np.float64]] = []
        self._spectra: list[NDArray[np.float32]] = []

    def push(self, samples: Samples) -> None:
        from scipy import fft  # here: commands that read no sound can spare it

        signal = np.concatenate((self._unframed, samples))
        self._tops.push(signal[len(self._unframed) :])  # one after another in memory, unlike a channel of a block
        self._n_samples += len(samples)
        # A spectrum reaches past its frame, so the last frames wait for what comes next.
        count = max(0, len(signal) - len(self._window)) // self._width
        first = -self._framed % self._step
        end = count * self._width
        if first < count:
            windows = np.lib.stride_tricks.sliding_window_view(signal, len(self._window))
            chosen = windows[first * self._width : end : self._step * self._width]
            level = chosen - chosen.mean(axis=1, keepdims=True)  # an offset would leak into its neighbours
            spectra = fft.rfft(level * self._window, axis=1)
            self._spectra.append(spectra.real**2 + spectra.imag**2)
        self._frames.append(self._measured(signal[:end]))
        self._framed += count
        self._unframed = signal[end:]

    def measures(
        self, speech: Sequence[TimeSpan], heard: Sequence[TimeSpan], leak: Leak | None = None
    ) -> SoundMeasures:
        """Return the measures of the sound so far.

        `level_dbfs` is the mean power of speech without its pauses (`PAUSE_DB`). Only `speech_seconds` is known of
        a channel that never gets louder than `SILENCE_DBFS`.

        Args:
            speech: when this side's speaker speaks, as starts and ends in seconds, in any order.
            heard: when anything except noise is audible in this channel, speech included.
            leak: the other speaker's voice in this channel; None if there is none.
        """
        levels = self._levels()
        seconds = total_seconds(merge_gaps(sorted(speech), 0.0))
        if _dbfs(levels.max(initial=0.0)) < SILENCE_DBFS:
            return {"speech_seconds": seconds}
        frame = self._width / self._rate
        spoken = touched_frames(len(levels), speech, frame)
        audible = touched_frames(len(levels), _with_margins(heard), frame)
        no_spectrum = np.zeros((0, len(self._window) // 2 + 1), np.float32)
        spectra = np.concatenate([no_spectrum, *self._spectra])
        in_speech = spoken[:: self._step][: len(spectra)]
        return {
            "speech_seconds": seconds,
            "level_dbfs": _active_level_dbfs(levels[spoken]),
            "snr_db": _snr_db(levels, spoken, audible),
            "bandwidth_hz": _bandwidth_hz(spectra[in_speech], self._rate, len(self._window)),
            "clipping_ratio": self._tops.samples / self._n_samples,
            "leak_db": leak.level_db if leak else None,
            "leak_seconds": leak.delay if leak else None,
            "leaks": leak.spans if leak else None,
            "silent_end": self._silent_end(),
        }

    def audible(self) -> list[TimeSpan]:
        """Return the audible spans in seconds, in order: above silence, not too far under the loudest moment."""
        levels = self._levels()
        frame = self._width / self._rate
        least_of_loudest = levels.max(initial=0.0) * 10 ** (-BELOW_LOUDEST / 10)
        least = max(10 ** (SILENCE_DBFS / 10), least_of_loudest)
        runs = true_runs(levels >= least).tolist()
        return [(start * frame, end * frame) for start, end in runs]

    def _silent_end(self) -> float | None:
        """Return the seconds without any sound at the end; None where they say nothing, as in a gated channel."""
        variances, _ = self._all_frames()
        has_sound = variances >= NO_SOUND
        (sounding,) = np.nonzero(has_sound)
        if not len(sounding):
            return None
        behind = sounding[-1] + 1
        is_gated = np.mean(~has_sound[sounding[0] : behind]) > MOST_GATED
        return None if is_gated else float((len(has_sound) - behind) * self._width / self._rate)

    def _measured(self, samples: Samples) -> NDArray[np.float64]:
        """Return the variance and the mean of each frame, shape (2, frames)."""
        frames = samples.reshape(-1, self._width)
        means = frames.mean(axis=1)
        centred = frames - means[:, np.newaxis]
        variances = np.einsum("ij,ij->i", centred, centred) / np.float32(self._width)
        return np.array((variances, means), np.float64)

    def _levels(self) -> NDArray[np.float64]:
        """Return the mean square of each frame so far about the usual mean: an offset is no noise."""
        variances, means = self._all_frames()
        offset = float(np.median(means)) if len(means) else 0.0
        return np.asarray(variances + (means - offset) ** 2)

    def _all_frames(self) -> NDArray[np.float64]:
        """Return the variance and the mean of each whole frame so far, shape (2, frames)."""
        whole = len(self._unframed) // self._width * self._width
        last = self._measured(self._unframed[:whole])
        return np.concatenate([*self._frames, last], axis=1)


def _active_level_dbfs(powers: Levels) -> float | None:
    """Return the mean power of frames of speech without pauses (`PAUSE_DB`); None for no frames and silence."""
    if not len(powers):
        return None
    active = powers[powers >= powers.mean() * 10 ** (-PAUSE_DB / 10)]
    if not len(active):
        return None
    return _finite(_dbfs(active.mean()))


def _dbfs(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -math.inf
