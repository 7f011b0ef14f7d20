"""Prosodic contours: six numbers for each frame of 16 ms, which describe how words are spoken, not the words.

Pitch is the best path through the peaks of each frame's autocorrelation, corrected for its window (Boersma 1993):
a single frame can't distinguish a pitch from its octave, its neighbours can. Formants are the roots of a linear
predictor, chosen in the same way. Frames are computed many at a time; how many bounds memory, and changes nothing.
Frame i is centred on second (i + 0.5) * hop: each sample belongs to one hop, and each hop to one frame.

`core.pitch` finds pitch, too: as librosa does, for the prosody of an utterance, whose thresholds were measured
with it. It says nothing of how strong a pitch is, and its steps of a fifth of a semitone are coarse for a contour.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, read_at, to_uri
from dailytalk_contiguous.core.documents import shown
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.librosa_import import import_librosa

Frames = NDArray[np.float64]

#: The contours by name, and what is 0 and what is 1 of each once they are normalised: Hz, Hz, Hz, Hz, dBFS, dB.
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

#: Hz between which pitch is looked for. More than `CONTOURS` keeps: what is beyond must not become its octave.
LOWEST_F0 = 65.0
HIGHEST_F0 = 500.0

#: Peaks of a frame that may be its pitch.
PITCH_PEAKS = 5

#: Boersma's costs with Praat's values: the correlation below which a frame is unvoiced, the level below which it
#: is silent (the loudest is 1), and what a lower octave, a leap of an octave in 10 ms, and a start or end cost.
VOICING = 0.45
QUIET = 0.03
OCTAVE = 0.01
OCTAVE_JUMP = 0.35
VOICE_CHANGE = 0.14

#: The `emphasize_ratio` of this package's own contours. By 0.9 F1 and F2 of synthetic vowels are found within 4.0
#: and 1.8 % (median), by the extractor's default of 0.7 within 5.8 and 2.3 %.
EMPHASIS = 0.9

#: Hz of a sound that holds the five lowest formants of any adult, and the order of its predictor: two a formant,
#: and two for the slope of the voice itself.
FORMANT_RATE = 10000
PREDICTOR = 12

#: What a pair of formants costs: a kHz away from the middle of the vowels (Hz), a width as large as the frequency,
#: a narrow resonance that is left out, an octave away from the pair before.
MIDDLE_F1 = 500.0
MIDDLE_F2 = 1600.0
DEVIATION = 1.0
WIDTH = 1.0
PASSED_OVER = 3.0
FORMANT_JUMP = 1.0

#: Hz: no formant is lower, one that is narrower is no slope of the spectrum, and the most that counts of a width.
LOWEST_FORMANT = 150.0
NARROW = 500.0
WIDEST = 3.0

#: Frames whose spectra are held at a time.
FRAMES_AT_ONCE = 2048

_TINY = 1e-20


@dataclass(frozen=True)
class ProsodicFeatureExtractor:
    """The six contours of a voice.

    Attributes:
        sample_rate: Hz of the samples that are passed; they are analysed at 16 kHz.
        frame_ms, hop_ms: length of a frame, and from one to the next.
        emphasize_ratio: how much of the sample before is subtracted from each before formants are looked for, in
            [0, 1].
        output_normalize: whether each contour is in [0, 1] by the ranges of `CONTOURS`, clipped, and 0 where
            unvoiced; otherwise it is in Hz or dB, and NaN where unvoiced.
        smoothing_level: of `SMOOTHING`.

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
        if (
            self.smoothing_level not in SMOOTHING
            or not 0 <= self.emphasize_ratio <= 1
            or not 0 < self.hop_ms <= self.frame_ms
            or self.frame_ms < shortest
        ):
            raise DailytalkError(
                f"no contours are made by {self}",
                f"choose a smoothing_level of {', '.join(SMOOTHING)}, an emphasize_ratio from 0 to 1, "
                f"a frame_ms of {shortest:.0f} or more, and a hop_ms that is no longer",
            )

    def load_audio(self, path: str | Path, loader: str = "soundfile") -> Samples:
        """A sound file as float32 at `sample_rate`: shape (n,), or (channels, n) of several.

        `extract` uses it if no samples are passed. `loader`: `soundfile`, which reads all formats of this
        package, or `librosa`, which gives the mean of the channels, (n,). Raises BadInput for a file that can't be
        read, DailytalkError for another loader.
        """
        if loader == "soundfile":
            samples = read_at({"path": to_uri(Path(path)), "bytes": None}, self.sample_rate).T
        elif loader == "librosa":
            try:
                with Path(path).open("rb") as file:  # of a path, librosa would try programs, too
                    samples = np.atleast_2d(import_librosa().load(file, sr=self.sample_rate)[0])
            except (OSError, soundfile.LibsndfileError) as error:
                raise BadInput(
                    f"librosa can't read {shown(Path(path))} ({error})", "take the loader soundfile"
                ) from None
        else:
            raise DailytalkError(f"the loader {loader!r} isn't known", "choose one of soundfile, librosa")
        self._loaded[:] = [samples[0] if len(samples) == 1 else np.ascontiguousarray(samples)]
        return self._loaded[0]

    def get_frames_count(self, n_samples: int) -> int:
        """Frames of so many samples: one for each hop that begins in them."""
        return math.ceil(round(n_samples * ANALYSIS_RATE / self.sample_rate) / self._hop)

    def extract(
        self, start_ms: float = 0, end_ms: float = -1, audio_tensor: ArrayLike | None = None
    ) -> dict[str, Frames]:
        """The contours of a part of a sound.

        Args:
            start_ms, end_ms: the part; an end of -1 is that of the sound.
            audio_tensor: samples in [-1, 1], an array or a tensor of shape (n,) or (channels, n); None for what
                `load_audio` gave last.

        Returns:
            By the names of `CONTOURS`: arrays of shape (frames,), or (channels, frames).

        Raises BadInput for samples that are not numbers, for another shape, and for a part that is not there.
        """
        samples = np.asarray(self._loaded[0] if audio_tensor is None else audio_tensor, np.float32)
        if samples.ndim not in (1, 2) or not np.isfinite(samples).all():
            raise BadInput("the samples are not finite, or not of one sound", "give (n,) or (channels, n)")
        length_ms = 1000 * samples.shape[-1] / self.sample_rate
        end_ms = length_ms if end_ms == -1 else end_ms
        if not 0 <= start_ms <= end_ms <= length_ms + 1:
            raise BadInput(f"{start_ms:g} to {end_ms:g} ms is no part of {length_ms:.0f} ms", "correct the times")
        first, last = (round(at * self.sample_rate / 1000) for at in (start_ms, end_ms))
        part = samples[..., first:last]
        if samples.ndim == 1:
            return self._contours(part)
        channels = [self._contours(channel) for channel in part]
        return {name: np.stack([channel[name] for channel in channels]) for name in CONTOURS}

    def plot_features(self, features: Mapping[str, Frames], save_path: str | Path) -> None:
        """Write a picture of the contours of one channel, in the format of the file's ending."""
        import matplotlib.figure

        figure = matplotlib.figure.Figure((9, 8), layout="constrained")
        axes = figure.subplots(len(CONTOURS), sharex=True)
        for axis, (name, limits) in zip(axes, CONTOURS.items(), strict=True):
            values = np.asarray(features[name], float)
            shown = np.where(values == 0, np.nan, values) if self.output_normalize else values
            axis.plot((np.arange(len(values)) + 0.5) * self.hop_ms / 1000, shown, ".-", markersize=3)
            axis.set(ylabel=name, ylim=(0, 1) if self.output_normalize else limits)
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
        seconds = self.frame_ms / 1000
        pitch = track_voice(samples, count, self._hop, round(seconds * ANALYSIS_RATE))
        voiced = pitch.f0 > 0
        first, second = track_formants(samples, voiced, self._hop / ANALYSIS_RATE, seconds, self.emphasize_ratio)
        contours = dict(zip(CONTOURS, (pitch.f0, pitch.width, first, second, pitch.power, pitch.snr), strict=True))
        return {name: self._finished(name, contour, voiced) for name, contour in contours.items()}

    def _finished(self, name: str, contour: Frames, voiced: NDArray[np.bool_]) -> Frames:
        """A contour smoothed over the voiced frames around each frame, in its unit or in [0, 1]."""
        smooth = smoothed(contour, voiced, SMOOTHING[self.smoothing_level])
        if not self.output_normalize:
            return np.where(voiced, smooth, np.nan)
        low, high = CONTOURS[name]
        return np.where(voiced, np.clip((smooth - low) / (high - low), 0, 1), 0.0)


def smoothed(contour: Frames, voiced: NDArray[np.bool_], frames: int) -> Frames:
    """A contour, shape (frames,), averaged over the voiced ones of `frames` around each; 0 where unvoiced."""
    from scipy.ndimage import uniform_filter1d

    weights = uniform_filter1d(voiced.astype(float), frames, mode="constant")
    sums = uniform_filter1d(np.where(voiced, contour, 0.0), frames, mode="constant")
    smooth: Frames = np.divide(sums, weights, out=np.zeros_like(sums), where=voiced)
    return smooth


def as_features(contours: Mapping[str, ArrayLike]) -> NDArray[np.float32]:
    """Normalised contours as one array, shape (frames, 6), in the order of `CONTOURS`; unvoiced frames are 0."""
    return np.stack([np.asarray(contours[name], np.float32) for name in CONTOURS], axis=-1)


def median_f0(features: NDArray[np.float32]) -> float:
    """The median pitch of the voiced frames of features (see `as_features`) in Hz; NaN where none is voiced."""
    pitch = features[features.any(axis=-1), 0].astype(np.float64)
    low, high = CONTOURS["f0"]
    return float(low + (high - low) * np.median(pitch)) if len(pitch) else math.nan


def relative_f0(features: NDArray[np.float32], reference: float) -> NDArray[np.float32]:
    """Features whose f0 is relative to a reference in Hz: 0.5 is there, 0 an octave below, 1 one above."""
    voiced = features.any(axis=-1)
    low, high = CONTOURS["f0"]
    hertz = low + (high - low) * features[voiced, 0].astype(np.float64)
    relative = features.copy()
    relative[voiced, 0] = np.clip(0.5 + np.log2(hertz / reference) / 2, 0, 1)
    return relative


class VoiceTrack(NamedTuple):
    """The voice of each frame, each of shape (frames,), 0 where unvoiced.

    Attributes:
        f0: Hz. width: Hz of the peak of the fundamental.
        power: dBFS of the periodic part. snr: dB of it over the rest (harmonics to noise).
    """

    f0: Frames
    width: Frames
    power: Frames
    snr: Frames


def track_voice(
    samples: Samples, count: int, hop: int, length: int, loudest: ArrayLike | None = None
) -> VoiceTrack:
    """Pitch of `count` frames of 16 kHz samples, and how strong it is.

    `hop` and `length` of frames are in samples. A frame is silent beside `loudest`, of which each may have one;
    by default it is the loudest of all samples. Boersma 1993: where the
    autocorrelation of a windowed frame is divided by that of the window, the height of its highest peak is the
    share of the periodic part.
    """
    from scipy import fft  # here: commands that read no sound can spare it

    samples = np.asarray(samples, np.float32)
    window, own = _window(length)
    size = fft.next_fast_len(round(1.5 * length), real=True)
    shortest = int(ANALYSIS_RATE / HIGHEST_F0)
    longest = math.ceil(ANALYSIS_RATE / LOWEST_F0)
    lags = np.arange(shortest, longest + 1)
    whole = float(np.abs(samples).max(initial=0)) or 1.0
    against = np.broadcast_to(np.asarray(whole if loudest is None else loudest, np.float64), (count,))
    scores = np.full((count, 1 + PITCH_PEAKS), -np.inf)
    pitches = np.zeros_like(scores)
    heights = np.zeros_like(scores)
    levels = np.zeros(count)
    for first in range(0, count, FRAMES_AT_ONCE):
        block = slice(first, min(first + FRAMES_AT_ONCE, count))
        frames = _cut(samples, np.arange(block.start, block.stop) * hop - (length - hop) // 2, length)
        centred = frames - frames.mean(axis=1, keepdims=True)
        peak = np.abs(centred).max(axis=1)
        spectrum = fft.rfft(centred * window, size)
        correlation = fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:, : longest + 2].astype(np.float64)
        levels[block] = correlation[:, 0] / own[0]
        correlation /= np.maximum(correlation[:, :1], _TINY) * (own[: longest + 2] / own[0])
        before, here, after = (correlation[:, shortest + step : longest + 1 + step] for step in (-1, 0, 1))
        is_peak = (here > before) & (here >= after) & (here > VOICING / 2)
        shift = (before - after) / 2 / np.where(is_peak, before - 2 * here + after, -1)
        height = here - (before - after) * shift / 4
        height = np.where(height > 1, 1 / np.maximum(height, 1), height)  # as Praat: a peak can't be above 1
        hertz = ANALYSIS_RATE / (lags + shift)
        score = np.where(is_peak, height - OCTAVE * np.log2(LOWEST_F0 / hertz), -np.inf)
        best = np.argpartition(-score, PITCH_PEAKS, axis=1)[:, :PITCH_PEAKS]
        for target, values in ((scores, score), (pitches, hertz), (heights, height)):
            target[block, 1:] = np.take_along_axis(values, best, axis=1)
        scores[block, 0] = VOICING + np.maximum(0, 2 - peak / against[block] * (1 + VOICING) / QUIET)
    voiced = np.isfinite(scores)
    voiced[:, 0] = False
    octaves = np.log2(np.where(voiced, pitches, 1))
    per_step = 0.01 * ANALYSIS_RATE / hop

    def changes(first: int, last: int) -> Frames:
        before = voiced[first:last, :, None]
        after = voiced[first + 1 : last + 1, None, :]
        leaps = OCTAVE_JUMP * np.abs(octaves[first:last, :, None] - octaves[first + 1 : last + 1, None, :])
        costs: Frames = -per_step * np.where(before & after, leaps, VOICE_CHANGE * (before != after))
        return costs

    frames_at = np.arange(count)
    chosen = best_path(scores, changes)
    is_voiced = chosen > 0
    f0 = np.where(is_voiced, pitches[frames_at, chosen], 0.0)
    share = np.where(is_voiced, np.clip(heights[frames_at, chosen], 1e-6, 1 - 1e-6), 0.5)
    power = np.where(is_voiced, 10 * np.log10(np.maximum(levels * share, _TINY)), 0.0)
    snr = np.where(is_voiced, 10 * np.log10(share / (1 - share)), 0.0)
    width = np.zeros(count)
    (heard,) = np.nonzero(is_voiced)
    for first in range(0, len(heard), FRAMES_AT_ONCE):
        some = heard[first : first + FRAMES_AT_ONCE]
        width[some] = _peak_width(_cut(samples, some * hop - (length - hop) // 2, length) * window, f0[some])
    return VoiceTrack(f0, width, power, snr)


def _cut(samples: NDArray[Any], starts: NDArray[np.intp], length: int) -> NDArray[Any]:
    """Stretches of `length` samples from each of `starts` on, shape (starts, length); silence beyond the ends."""
    stretches: NDArray[Any] = sliding_window_view(np.pad(samples, length), length)[starts + length]
    return stretches


@lru_cache(maxsize=4)
def _window(length: int) -> tuple[NDArray[np.float32], Frames]:
    """A Hann window, and its autocorrelation."""
    window = np.hanning(length + 2)[1:-1]
    spectrum = np.fft.rfft(window, 2 * length)
    return window.astype(np.float32), np.fft.irfft(np.abs(spectrum) ** 2, 2 * length)[:length]


def _peak_width(frames: NDArray[np.float32], f0: Frames) -> Frames:
    """Hz between the points around each frame's fundamental at which it has half of its amplitude (-6 dB).

    A pitch that moves within the frame is wider. At most as wide as two harmonics are apart.
    """
    from scipy import fft

    size = 4096
    spectrum = np.abs(fft.rfft(frames, size)).astype(np.float64)
    hertz = ANALYSIS_RATE / size
    middle = np.rint(f0 / hertz).astype(int)
    reach = int(HIGHEST_F0 / hertz / 2) + 2
    around = spectrum[np.arange(len(frames))[:, None], np.maximum(middle[:, None] + np.arange(-2, 3), 0)]
    middle += around.argmax(axis=1) - 2
    half = around.max(axis=1) / 2
    width = np.zeros(len(frames))
    for direction in (-1, 1):
        steps = np.arange(reach + 1)
        slope = spectrum[np.arange(len(frames))[:, None], np.abs(middle[:, None] + direction * steps)]
        below = slope < half[:, None]
        below[:, -1] = True
        at = np.maximum(below.argmax(axis=1), 1)
        rows = np.arange(len(frames))
        high = slope[rows, at - 1]
        low = slope[rows, at]
        width += at - np.clip((half - low) / np.maximum(high - low, _TINY), 0, 1)
    return np.minimum(width * hertz, f0)


def track_formants(
    samples: Samples, voiced: NDArray[np.bool_], hop_seconds: float, frame_seconds: float, emphasis: float
) -> tuple[Frames, Frames]:
    """The first two formants in Hz of the voiced frames of 16 kHz samples; 0 in the others.

    Roots of a linear predictor (autocorrelation method, Gaussian window) of the sound at 10 kHz. Which two of the
    lowest five roots are meant is decided over time.
    """
    (heard,) = np.nonzero(voiced)
    first = np.zeros(len(voiced))
    second = np.zeros(len(voiced))
    if not len(heard):
        return first, second
    narrow = soxr.resample(samples, ANALYSIS_RATE, FORMANT_RATE)
    length = round(frame_seconds * FORMANT_RATE)
    starts = np.rint((heard + 0.5) * hop_seconds * FORMANT_RATE - length / 2).astype(int)
    window = np.exp(-12 * ((np.arange(length) + 0.5) / length - 0.5) ** 2)
    hertz = np.empty((len(heard), 5))
    widths = np.empty((len(heard), 5))
    for start in range(0, len(heard), FRAMES_AT_ONCE):
        block = slice(start, start + FRAMES_AT_ONCE)
        frames = _cut(narrow, starts[block] - 1, length + 1)
        emphasised = (frames[:, 1:] - emphasis * frames[:, :-1]) * window
        hertz[block], widths[block] = _resonances(_predictor(emphasised))
    lower, upper = np.triu_indices(5, 1)
    share = np.minimum(widths / hertz, WIDEST)
    costs = DEVIATION * (np.abs(hertz[:, lower] - MIDDLE_F1) + np.abs(hertz[:, upper] - MIDDLE_F2)) / 1000
    costs += WIDTH * (share[:, lower] + share[:, upper])
    sharp = np.maximum(0, 1 - widths / NARROW)
    for pair, (low, high) in enumerate(zip(lower, upper, strict=True)):
        costs[:, pair] += PASSED_OVER * (sharp[:, :low].sum(axis=1) + sharp[:, low + 1 : high].sum(axis=1))
    octaves = np.log2(hertz)
    follows = np.diff(heard) == 1

    def changes(start: int, end: int) -> Frames:
        jumps = [
            np.abs(octaves[start:end, pair, None] - octaves[start + 1 : end + 1, None, pair])
            for pair in (lower, upper)
        ]
        penalties: Frames = -FORMANT_JUMP * follows[start:end, None, None] * (jumps[0] + jumps[1])
        return penalties

    chosen = best_path(-costs, changes)
    rows = np.arange(len(heard))
    first[heard] = hertz[rows, lower[chosen]]
    second[heard] = hertz[rows, upper[chosen]]
    return first, second


def _predictor(frames: Frames) -> Frames:
    """The linear predictor 1, a1, … of each frame (Levinson and Durbin), shape (frames, order + 1)."""
    from scipy import fft

    size = fft.next_fast_len(frames.shape[1] + PREDICTOR + 1, real=True)
    spectrum = fft.rfft(frames, size)
    correlation = fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:, : PREDICTOR + 1]
    correlation[:, 0] = correlation[:, 0] * (1 + 1e-9) + _TINY
    weights = np.zeros((len(frames), PREDICTOR + 1))
    weights[:, 0] = 1
    error = correlation[:, 0].copy()
    for order in range(1, PREDICTOR + 1):
        reflection = -np.einsum("ij,ij->i", weights[:, :order], correlation[:, order:0:-1]) / error
        weights[:, 1 : order + 1] += reflection[:, None] * weights[:, order - 1 :: -1][:, :order]
        error *= np.maximum(1 - reflection**2, 1e-12)
    return weights


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
    hertz, widths = (np.where(usable, values, FORMANT_RATE / 2) for values in (hertz, widths))
    lowest = np.argsort(hertz, axis=1, kind="stable")[:, :5]
    return np.take_along_axis(hertz, lowest, axis=1), np.take_along_axis(widths, lowest, axis=1)


def best_path(scores: Frames, changes: Callable[[int, int], Frames]) -> NDArray[np.intp]:
    """The choices whose scores and changes sum to most (Viterbi), shape (frames,).

    Args:
        scores: of each choice in each frame, shape (frames, choices).
        changes: of the steps from frame `first` up to frame `last` from a choice to another, shape
            (last - first, choices, choices).
    """
    count = len(scores)
    value = scores[0]
    came_from = np.empty(scores.shape, np.int8)
    for first in range(0, count - 1, FRAMES_AT_ONCE):
        steps = changes(first, min(first + FRAMES_AT_ONCE, count - 1))
        for frame, step in enumerate(steps, first + 1):
            ways = value[:, None] + step
            came_from[frame] = ways.argmax(axis=0)
            value = ways.max(axis=0) + scores[frame]
    path = np.empty(count, np.intp)
    path[-1] = value.argmax()
    for frame in range(count - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path
