"""Prosodic contours: six numbers for each frame of 16 ms, which describe how words are spoken, not the words.

Pitch is the best path through the peaks of each frame's autocorrelation, corrected for its window (Boersma 1993):
a single frame can't distinguish a pitch from its octave, its neighbours can. Formants are the roots of a linear
predictor, chosen in the same way. Frames are computed many at a time; how many bounds memory, and changes nothing.
Frame i is centred on second (i + 0.5) * hop: each sample belongs to one hop, and each hop to one frame.

`core.sound.pitch` finds pitch, too: as librosa does, for the prosody of an utterance, whose thresholds were
measured with it. It says nothing of how strong a pitch is, and its steps of a fifth of a semitone are coarse for a
contour.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import soundfile
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.documents import printable_path
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.machine.audio import read_at, to_uri
from dailytalk_contiguous.machine.librosa_import import import_librosa

Frames = NDArray[np.float64]

#: The contours by name, with the values that become 0 and 1 when they are normalised: Hz, except `power` (dBFS)
#: and `snr` (dB).
CONTOURS = {
    "f0": (80.0, 400.0),
    "f0_width": (0.0, 50.0),
    "f1": (200.0, 1200.0),
    "f2": (800.0, 3500.0),
    "power": (-60.0, 0.0),
    "snr": (0.0, 40.0),
}

#: Frames over which a contour is averaged within a voiced stretch, by the level of smoothing.
SMOOTHING = {"light": 3, "medium": 5, "heavy": 9}

#: Hz: the lowest pitch that is looked for. Lower than `CONTOURS` keeps: a pitch beyond must not become its octave.
LOWEST_F0 = 65.0

#: Hz: the highest pitch that is looked for, higher than `CONTOURS` keeps for the same reason.
HIGHEST_F0 = 500.0

#: Peaks of a frame that may be its pitch.
PITCH_PEAKS = 5

# Boersma's costs with Praat's values.

#: The correlation below which a frame is unvoiced.
VOICING = 0.45

#: The level below which a frame is silent; the loudest is 1.
QUIET = 0.03

#: The cost of a lower octave.
OCTAVE = 0.01

#: The cost of a leap of an octave in 10 ms.
OCTAVE_JUMP = 0.35

#: The cost of a start or an end of voice.
VOICE_CHANGE = 0.14

#: The `emphasize_ratio` of this package's own contours. By 0.9 F1 and F2 of synthetic vowels are found within 4.0
#: and 1.8 % (median), by the extractor's default of 0.7 within 5.8 and 2.3 %.
EMPHASIS = 0.9

#: Hz: the rate of a sound that holds the five lowest formants of any adult.
FORMANT_RATE = 10000

#: Frames whose spectra are held at a time.
FRAMES_AT_ONCE = 2048

#: In place of 0, where something is divided by it or its logarithm is taken.
_TINY = 1e-20

#: Samples of the shortest period of a pitch, and of the longest.
_SHORTEST_PERIOD = int(ANALYSIS_RATE / HIGHEST_F0)
_LONGEST_PERIOD = math.ceil(ANALYSIS_RATE / LOWEST_F0)


@dataclass(frozen=True)
class ProsodicFeatureExtractor:
    """The six contours of a voice.

    Attributes:
        sample_rate: Hz of the samples that are passed; they are analysed at 16 kHz.
        frame_ms: length of a frame.
        hop_ms: time from one frame to the next.
        emphasize_ratio: share of the previous sample that is subtracted from each sample before formants are
            looked for, in [0, 1].
        output_normalize: whether each contour is in [0, 1] by the ranges of `CONTOURS`, clipped, and 0 where
            unvoiced; otherwise it is in Hz or dB, and NaN where unvoiced.
        smoothing_level: one of `SMOOTHING`.

    Raises DailytalkError for a setting that makes no sense.

    >>> import numpy as np
    >>> from dailytalk_contiguous import ProsodicFeatureExtractor
    >>> pulses = np.tile(np.eye(1, 80, dtype=np.float32)[0], 200)
    >>> contours = ProsodicFeatureExtractor(output_normalize=False).extract(audio_tensor=pulses)
    >>> float(np.nanmedian(contours["f0"]).round())
    200.0
    """

    sample_rate: int = ANALYSIS_RATE
    frame_ms: float = 50.0
    hop_ms: float = 16.0
    emphasize_ratio: float = 0.7
    output_normalize: bool = True
    smoothing_level: str = "medium"
    _loaded: list[Samples] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shortest = 2000 / LOWEST_F0  # of a frame that holds two periods of the lowest pitch
        knows_smoothing = self.smoothing_level in SMOOTHING
        is_ratio = 0 <= self.emphasize_ratio <= 1
        is_hop = 0 < self.hop_ms <= self.frame_ms
        if not (knows_smoothing and is_ratio and is_hop and self.frame_ms >= shortest):
            remedy = (
                f"choose a smoothing_level of {', '.join(SMOOTHING)}, an emphasize_ratio from 0 to 1, "
                f"a frame_ms of {shortest:.0f} or more, and a hop_ms that is no longer"
            )
            raise DailytalkError(f"no contours can be made with {self}", remedy)

    def load_audio(self, path: str | Path, loader: str = "librosa") -> Samples:
        """A sound file as float32 at `sample_rate`: shape (n,), or (channels, n) of several.

        `extract` uses it if no samples are passed. `loader` is `librosa`, which gives the mean of the channels,
        (n,), or `soundfile`, which reads all formats of this package and keeps the channels. Raises BadInput for a
        file that can't be read, DailytalkError for another loader.
        """
        if loader == "soundfile":
            audio = {"path": to_uri(Path(path)), "bytes": None}
            channels = read_at(audio, self.sample_rate).T
        elif loader == "librosa":
            channels = self._load_by_librosa(Path(path))
        else:
            raise DailytalkError(f"the loader {loader!r} isn't known", "choose one of soundfile, librosa")
        samples = channels[0] if len(channels) == 1 else np.ascontiguousarray(channels)
        self._loaded[:] = [samples]
        return samples

    def _load_by_librosa(self, path: Path) -> Samples:
        """The mean of the channels of a file, shape (1, n)."""
        librosa = import_librosa()
        try:
            with path.open("rb") as file:  # of a path, librosa would try programs, too
                samples, _ = librosa.load(file, sr=self.sample_rate)
        except (OSError, soundfile.LibsndfileError) as error:
            reason = f"librosa can't read {printable_path(path)} ({error})"
            raise BadInput(reason, "take the loader soundfile") from None
        return np.atleast_2d(samples)

    def get_frames_count(self, n_samples: int) -> int:
        """Frames of so many samples: one for each hop that begins in them."""
        analysed = round(n_samples * ANALYSIS_RATE / self.sample_rate)
        return math.ceil(analysed / self._hop)

    def extract(
        self, start_ms: float = 0, end_ms: float = -1, audio_tensor: ArrayLike | None = None
    ) -> dict[str, Frames]:
        """The contours of a part of a sound.

        Args:
            start_ms: where the part begins.
            end_ms: where it ends; -1 for the end of the sound.
            audio_tensor: samples in [-1, 1], an array or a tensor of shape (n,) or (channels, n); None for what
                `load_audio` gave last.

        Returns:
            By the names of `CONTOURS`: arrays of shape (frames,), or (channels, frames).

        Raises BadInput for samples that are not numbers, for another shape, and for a part that is not there.
        """
        sound = self._loaded[0] if audio_tensor is None else audio_tensor
        samples = np.asarray(sound, np.float32)
        if samples.ndim not in (1, 2) or not np.isfinite(samples).all():
            raise BadInput("the samples are not finite, or not of one sound", "give (n,) or (channels, n)")
        length_ms = 1000 * samples.shape[-1] / self.sample_rate
        end_ms = length_ms if end_ms == -1 else end_ms
        if not 0 <= start_ms <= end_ms <= length_ms + 1:
            raise BadInput(
                f"{start_ms:g} to {end_ms:g} ms is not a part of {length_ms:.0f} ms", "correct the times"
            )
        first = round(start_ms * self.sample_rate / 1000)
        last = round(end_ms * self.sample_rate / 1000)
        part = samples[..., first:last]
        if samples.ndim == 1:
            return self._contours(part)
        channels = [self._contours(channel) for channel in part]
        stacked = {}
        for name in CONTOURS:
            stacked[name] = np.stack([channel[name] for channel in channels])
        return stacked

    def plot_features(self, features: Mapping[str, Frames], save_path: str | Path) -> None:
        """Write a picture of the contours of one channel, in the format of the file's ending."""
        import matplotlib.figure

        figure = matplotlib.figure.Figure((9, 8), layout="constrained")
        axes = figure.subplots(len(CONTOURS), sharex=True)
        for axis, (name, limits) in zip(axes, CONTOURS.items(), strict=True):
            values = np.asarray(features[name], float)
            if self.output_normalize:
                values = np.where(values == 0, np.nan, values)
                limits = (0, 1)
            seconds = (np.arange(len(values)) + 0.5) * self.hop_ms / 1000
            axis.plot(seconds, values, ".-", markersize=3)
            axis.set(ylabel=name, ylim=limits)
        axes[-1].set_xlabel("seconds")
        figure.savefig(save_path)

    @property
    def _hop(self) -> int:
        return max(1, round(self.hop_ms * ANALYSIS_RATE / 1000))

    def _contours(self, samples: Samples) -> dict[str, Frames]:
        count = self.get_frames_count(len(samples))
        if not count:
            return {name: np.zeros(0) for name in CONTOURS}
        if self.sample_rate != ANALYSIS_RATE:
            samples = soxr.resample(samples, self.sample_rate, ANALYSIS_RATE)
        frame_seconds = self.frame_ms / 1000
        hop_seconds = self._hop / ANALYSIS_RATE
        frame = round(frame_seconds * ANALYSIS_RATE)
        voice = track_voice(samples, count, self._hop, frame)
        voiced = voice.f0 > 0
        width = track_widths(samples, voice.f0, self._hop, frame)
        f1, f2 = track_formants(samples, voiced, hop_seconds, frame_seconds, self.emphasize_ratio)
        return {
            "f0": self._finished("f0", voice.f0, voiced),
            "f0_width": self._finished("f0_width", width, voiced),
            "f1": self._finished("f1", f1, voiced),
            "f2": self._finished("f2", f2, voiced),
            "power": self._finished("power", voice.power, voiced),
            "snr": self._finished("snr", voice.snr, voiced),
        }

    def _finished(self, name: str, contour: Frames, voiced: NDArray[np.bool_]) -> Frames:
        """A contour smoothed over the voiced frames around each frame, in its unit or in [0, 1]."""
        smooth = smoothed(contour, voiced, SMOOTHING[self.smoothing_level])
        if not self.output_normalize:
            return np.where(voiced, smooth, np.nan)
        low, high = CONTOURS[name]
        normalised = np.clip((smooth - low) / (high - low), 0, 1)
        return np.where(voiced, normalised, 0.0)


def smoothed(contour: Frames, voiced: NDArray[np.bool_], frames: int) -> Frames:
    """A contour, shape (frames,), averaged over the voiced ones of `frames` around each; 0 where unvoiced."""
    from scipy.ndimage import uniform_filter1d

    weights = uniform_filter1d(voiced.astype(float), frames, mode="constant")
    sums = uniform_filter1d(np.where(voiced, contour, 0.0), frames, mode="constant")
    smooth: Frames = np.divide(sums, weights, out=np.zeros_like(sums), where=voiced)
    return smooth


def as_features(contours: Mapping[str, ArrayLike]) -> NDArray[np.float32]:
    """Normalised contours as one array, shape (frames, 6), in the order of `CONTOURS`; unvoiced frames are 0."""
    columns = [np.asarray(contours[name], np.float32) for name in CONTOURS]
    return np.stack(columns, axis=-1)


def median_f0(features: NDArray[np.float32]) -> float:
    """The median pitch of the voiced frames of features (see `as_features`) in Hz; NaN where none is voiced."""
    pitch = features[features.any(axis=-1), 0].astype(np.float64)
    if not len(pitch):
        return math.nan
    low, high = CONTOURS["f0"]
    return float(low + (high - low) * np.median(pitch))


def relative_f0(features: NDArray[np.float32], reference: float) -> NDArray[np.float32]:
    """Features whose f0 is relative to a reference in Hz: 0.5 is there, 0 an octave below, 1 one above."""
    voiced = features.any(axis=-1)
    low, high = CONTOURS["f0"]
    hertz = low + (high - low) * features[voiced, 0].astype(np.float64)
    relative = features.copy()
    octaves = np.log2(hertz / reference)
    relative[voiced, 0] = np.clip(0.5 + octaves / 2, 0, 1)
    return relative


class VoiceTrack(NamedTuple):
    """The voice of each frame, each of shape (frames,), 0 where unvoiced.

    Attributes:
        f0: pitch in Hz.
        power: level of the periodic part in dBFS.
        snr: its level over that of the rest (harmonics to noise) in dB.
    """

    f0: Frames
    power: Frames
    snr: Frames


def track_voice(samples: Samples, count: int, hop: int, length: int) -> VoiceTrack:
    """Pitch of `count` frames of 16 kHz samples, and how strong it is.

    `hop` and `length` of frames are in samples. Boersma 1993: where the autocorrelation of a windowed frame is
    divided by that of the window, the height of its highest peak is the share of the periodic part.
    """
    samples = np.asarray(samples, np.float32)
    window, window_correlation = _window(length)
    lead = (length - hop) // 2
    whole_peak = float(np.abs(samples).max(initial=0)) or 1.0
    scores = np.full((count, 1 + PITCH_PEAKS), -np.inf)
    pitches = np.zeros_like(scores)
    heights = np.zeros_like(scores)
    levels = np.zeros(count)
    for first in range(0, count, FRAMES_AT_ONCE):
        block = slice(first, min(first + FRAMES_AT_ONCE, count))
        starts = np.arange(block.start, block.stop) * hop - lead
        frames = _cut(samples, starts, length)
        centred = frames - frames.mean(axis=1, keepdims=True)
        peak = np.abs(centred).max(axis=1).astype(np.float64)
        correlation = _correlation(centred * window)
        levels[block] = correlation[:, 0] / window_correlation[0]
        scale = window_correlation[: correlation.shape[1]] / window_correlation[0]
        correlation /= np.maximum(correlation[:, :1], _TINY) * scale
        candidates = _pitch_candidates(correlation)
        scores[block, 1:] = candidates.scores
        pitches[block, 1:] = candidates.hertz
        heights[block, 1:] = candidates.heights
        loudness = peak / whole_peak
        scores[block, 0] = VOICING + np.maximum(0, 2 - loudness * (1 + VOICING) / QUIET)
    voiced = np.isfinite(scores)
    voiced[:, 0] = False
    octaves = np.log2(np.where(voiced, pitches, 1))
    per_step = 0.01 * ANALYSIS_RATE / hop

    def changes(first: int, last: int) -> Frames:
        before = voiced[first:last, :, None]
        after = voiced[first + 1 : last + 1, None, :]
        octaves_before = octaves[first:last, :, None]
        octaves_after = octaves[first + 1 : last + 1, None, :]
        leaps = OCTAVE_JUMP * np.abs(octaves_before - octaves_after)
        starts_or_ends = VOICE_CHANGE * np.not_equal(before, after)
        costs: Frames = -per_step * np.where(before & after, leaps, starts_or_ends)
        return costs

    rows = np.arange(count)
    chosen = best_path(scores, changes)
    is_voiced = chosen > 0
    f0 = np.where(is_voiced, pitches[rows, chosen], 0.0)
    height = np.clip(heights[rows, chosen], 1e-6, 1 - 1e-6)
    share = np.where(is_voiced, height, 0.5)
    periodic = np.maximum(levels * share, _TINY)
    power = np.where(is_voiced, 10 * np.log10(periodic), 0.0)
    snr = np.where(is_voiced, 10 * np.log10(share / (1 - share)), 0.0)
    return VoiceTrack(f0, power, snr)


def track_widths(samples: Samples, f0: Frames, hop: int, length: int) -> Frames:
    """Hz of the peak of the fundamental of each frame of `track_voice`, shape (frames,), 0 where unvoiced."""
    samples = np.asarray(samples, np.float32)
    window, _ = _window(length)
    lead = (length - hop) // 2
    width = np.zeros(len(f0))
    (voiced_frames,) = np.nonzero(f0)
    for first in range(0, len(voiced_frames), FRAMES_AT_ONCE):
        numbers = voiced_frames[first : first + FRAMES_AT_ONCE]
        frames = _cut(samples, numbers * hop - lead, length)
        width[numbers] = _peak_width(frames * window, f0[numbers])
    return width


def _correlation(frames: NDArray[np.float32]) -> Frames:
    """The autocorrelation of each frame up to two samples beyond the longest period, shape (frames, lags)."""
    from scipy import fft  # here: commands that read no sound can spare it

    size = fft.next_fast_len(round(1.5 * frames.shape[1]), real=True)
    spectrum = fft.rfft(frames, size)
    correlation: NDArray[np.float32] = fft.irfft(spectrum.real**2 + spectrum.imag**2, size)
    return correlation[:, : _LONGEST_PERIOD + 2].astype(np.float64)


class _PitchCandidates(NamedTuple):
    """The peaks of each frame that may be its pitch, each of shape (frames, PITCH_PEAKS).

    `scores` is minus infinity where there is no peak.
    """

    scores: Frames
    hertz: Frames
    heights: Frames


def _pitch_candidates(correlation: Frames) -> _PitchCandidates:
    """The best peaks of normalised autocorrelations, shape (frames, lags); a parabola finds the top of each."""
    lags = np.arange(_SHORTEST_PERIOD, _LONGEST_PERIOD + 1)
    before = correlation[:, _SHORTEST_PERIOD - 1 : _LONGEST_PERIOD]
    middle = correlation[:, _SHORTEST_PERIOD : _LONGEST_PERIOD + 1]
    after = correlation[:, _SHORTEST_PERIOD + 1 : _LONGEST_PERIOD + 2]
    is_peak = (middle > before) & (middle >= after) & (middle > VOICING / 2)
    curvature = np.where(is_peak, before - 2 * middle + after, -1)
    shift = (before - after) / 2 / curvature
    height = middle - (before - after) * shift / 4
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)  # as Praat: a peak can't be above 1
    hertz = ANALYSIS_RATE / (lags + shift)
    score = np.where(is_peak, height - OCTAVE * np.log2(LOWEST_F0 / hertz), -np.inf)
    best = np.argpartition(-score, PITCH_PEAKS, axis=1)[:, :PITCH_PEAKS]
    return _PitchCandidates(
        scores=np.take_along_axis(score, best, axis=1),
        hertz=np.take_along_axis(hertz, best, axis=1),
        heights=np.take_along_axis(height, best, axis=1),
    )


_Number = TypeVar("_Number", bound=np.generic)


def _cut(samples: NDArray[_Number], starts: NDArray[np.intp], length: int) -> NDArray[_Number]:
    """Stretches of `length` samples from each of `starts` on, shape (starts, length); silence beyond the ends."""
    padded = np.pad(samples, length)
    stretches: NDArray[_Number] = sliding_window_view(padded, length)[starts + length]
    return stretches


@lru_cache(maxsize=4)
def _window(length: int) -> tuple[NDArray[np.float32], Frames]:
    """A Hann window, and its autocorrelation."""
    window = np.hanning(length + 2)[1:-1]
    spectrum = np.fft.rfft(window, 2 * length)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, 2 * length)[:length]
    return window.astype(np.float32), correlation


def _peak_width(frames: NDArray[np.float32], f0: Frames) -> Frames:
    """Hz between the points around each frame's fundamental at which it has half of its amplitude (-6 dB).

    A pitch that moves within the frame is wider. At most as wide as two harmonics are apart.
    """
    from scipy import fft

    size = 4096
    spectrum = np.abs(fft.rfft(frames, size)).astype(np.float64)
    hertz = ANALYSIS_RATE / size
    middle = np.rint(f0 / hertz).astype(int)
    rows = np.arange(len(frames))
    near_bins = np.maximum(middle[:, None] + np.arange(-2, 3), 0)
    near = spectrum[rows[:, None], near_bins]
    middle += near.argmax(axis=1) - 2
    half = near.max(axis=1) / 2
    reach = int(HIGHEST_F0 / hertz / 2) + 2
    steps = np.arange(reach + 1)
    width = np.zeros(len(frames))
    for direction in (-1, 1):
        bins = np.abs(middle[:, None] + direction * steps)
        slope = spectrum[rows[:, None], bins]
        is_below = slope < half[:, None]
        is_below[:, -1] = True
        crossing = np.maximum(is_below.argmax(axis=1), 1)
        high = slope[rows, crossing - 1]
        low = slope[rows, crossing]
        share_below = (half - low) / np.maximum(high - low, _TINY)
        width += crossing - np.clip(share_below, 0, 1)
    return np.minimum(width * hertz, f0)


#: The cost of a pair of formants that is an octave away from the pair before.
FORMANT_JUMP = 1.0


def track_formants(
    samples: Samples, voiced: NDArray[np.bool_], hop_seconds: float, frame_seconds: float, emphasis: float
) -> tuple[Frames, Frames]:
    """The first two formants in Hz of the voiced frames of 16 kHz samples; 0 in the others.

    Roots of a linear predictor (autocorrelation method, Gaussian window) of the sound at 10 kHz. Which two of the
    lowest five roots are meant is decided over time.
    """
    (voiced_frames,) = np.nonzero(voiced)
    count = len(voiced_frames)
    f1 = np.zeros(len(voiced))
    f2 = np.zeros(len(voiced))
    if not count:
        return f1, f2
    narrow = soxr.resample(samples, ANALYSIS_RATE, FORMANT_RATE)
    length = round(frame_seconds * FORMANT_RATE)
    middles = (voiced_frames + 0.5) * hop_seconds * FORMANT_RATE
    starts = np.rint(middles - length / 2).astype(int)
    positions = (np.arange(length) + 0.5) / length
    window = np.exp(-12 * (positions - 0.5) ** 2)
    hertz = np.empty((count, 5))
    widths = np.empty((count, 5))
    for start in range(0, count, FRAMES_AT_ONCE):
        block = slice(start, start + FRAMES_AT_ONCE)
        frames = _cut(narrow, starts[block] - 1, length + 1)
        emphasised = (frames[:, 1:] - emphasis * frames[:, :-1]) * window
        hertz[block], widths[block] = _resonances(_predictor(emphasised))
    lower, upper = np.triu_indices(5, 1)
    costs = _formant_costs(hertz, widths, lower, upper)
    octaves = np.log2(hertz)
    follows = np.diff(voiced_frames) == 1

    def jumps(start: int, end: int, formants: NDArray[np.intp]) -> Frames:
        before = octaves[start:end, formants, None]
        after = octaves[start + 1 : end + 1, None, formants]
        distances: Frames = np.abs(before - after)
        return distances

    def changes(start: int, end: int) -> Frames:
        both = jumps(start, end, lower) + jumps(start, end, upper)
        penalties: Frames = -FORMANT_JUMP * follows[start:end, None, None] * both
        return penalties

    chosen = best_path(-costs, changes)
    rows = np.arange(count)
    f1[voiced_frames] = hertz[rows, lower[chosen]]
    f2[voiced_frames] = hertz[rows, upper[chosen]]
    return f1, f2


#: Hz: the first formant in the middle of the vowels.
MIDDLE_F1 = 500.0

#: Hz: the second formant in the middle of the vowels.
MIDDLE_F2 = 1600.0

#: The cost of a formant that is a kHz away from the middle.
DEVIATION = 1.0

#: The cost of a formant that is as wide as its frequency is high.
WIDTH = 1.0

#: The cost of a narrow resonance that is left out.
PASSED_OVER = 3.0

#: Hz: a resonance that is narrower is no slope of the spectrum.
NARROW = 500.0

#: The most that counts of a width, as a multiple of the frequency.
WIDEST = 3.0


def _formant_costs(hertz: Frames, widths: Frames, lower: NDArray[np.intp], upper: NDArray[np.intp]) -> Frames:
    """The cost of each pair of resonances as the formants of each frame, shape (frames, pairs).

    `lower` and `upper` are the numbers of the resonances of each pair.
    """
    deviation_f1 = np.abs(hertz[:, lower] - MIDDLE_F1)
    deviation_f2 = np.abs(hertz[:, upper] - MIDDLE_F2)
    costs: Frames = DEVIATION * (deviation_f1 + deviation_f2) / 1000
    share = np.minimum(widths / hertz, WIDEST)
    costs += WIDTH * (share[:, lower] + share[:, upper])
    sharpness = np.maximum(0, 1 - widths / NARROW)
    for pair, (low, high) in enumerate(zip(lower, upper, strict=True)):
        below = sharpness[:, :low].sum(axis=1)
        between = sharpness[:, low + 1 : high].sum(axis=1)
        costs[:, pair] += PASSED_OVER * (below + between)
    return costs


#: The order of the predictor of formants: two a formant, and two for the slope of the voice itself.
PREDICTOR = 12


def _predictor(frames: Frames) -> Frames:
    """The linear predictor 1, a1, … of each frame (Levinson and Durbin), shape (frames, order + 1)."""
    from scipy import fft

    size = fft.next_fast_len(frames.shape[1] + PREDICTOR + 1, real=True)
    spectrum = fft.rfft(frames, size)
    power = spectrum.real**2 + spectrum.imag**2
    correlation = fft.irfft(power, size)[:, : PREDICTOR + 1]
    correlation[:, 0] = correlation[:, 0] * (1 + 1e-9) + _TINY
    weights = np.zeros((len(frames), PREDICTOR + 1))
    weights[:, 0] = 1
    error = correlation[:, 0].copy()
    for order in range(1, PREDICTOR + 1):
        backwards = correlation[:, order:0:-1]
        reflection = -np.einsum("ij,ij->i", weights[:, :order], backwards) / error
        reversed_weights = weights[:, order - 1 :: -1][:, :order]
        weights[:, 1 : order + 1] += reflection[:, None] * reversed_weights
        error *= np.maximum(1 - reflection**2, 1e-12)
    return weights


#: Hz: no formant is lower.
LOWEST_FORMANT = 150.0


def _resonances(weights: Frames) -> tuple[Frames, Frames]:
    """The five lowest resonances of each predictor, and their widths, in Hz; what is missing is high and wide."""
    order = weights.shape[1] - 1
    companions = np.zeros((len(weights), order, order))
    companions[:, 0] = -weights[:, 1:]
    companions[:, np.arange(1, order), np.arange(order - 1)] = 1
    roots = np.linalg.eigvals(companions)
    hertz = np.angle(roots) * FORMANT_RATE / (2 * np.pi)
    widths = -np.log(np.maximum(np.abs(roots), _TINY)) * FORMANT_RATE / np.pi
    usable = (hertz > LOWEST_FORMANT) & (hertz < FORMANT_RATE / 2 - 100)
    hertz = np.where(usable, hertz, FORMANT_RATE / 2)
    widths = np.where(usable, widths, FORMANT_RATE / 2)
    lowest = np.argsort(hertz, axis=1, kind="stable")[:, :5]
    lowest_hertz = np.take_along_axis(hertz, lowest, axis=1)
    return lowest_hertz, np.take_along_axis(widths, lowest, axis=1)


def best_path(scores: Frames, changes: Callable[[int, int], Frames]) -> NDArray[np.intp]:
    """The choices whose scores and changes sum to most (Viterbi), shape (frames,).

    Args:
        scores: the score of each choice in each frame, shape (frames, choices).
        changes: returns the scores of the steps from frame `first` up to frame `last` from a choice to another,
            shape (last - first, choices, choices).
    """
    count = len(scores)
    value = scores[0]
    came_from = np.empty(scores.shape, np.int8)
    for first in range(0, count - 1, FRAMES_AT_ONCE):
        last = min(first + FRAMES_AT_ONCE, count - 1)
        steps = changes(first, last)
        for frame, step in enumerate(steps, first + 1):
            ways = value[:, None] + step
            came_from[frame] = ways.argmax(axis=0)
            value = ways.max(axis=0) + scores[frame]
    path = np.empty(count, np.intp)
    path[-1] = value.argmax()
    for frame in range(count - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path
