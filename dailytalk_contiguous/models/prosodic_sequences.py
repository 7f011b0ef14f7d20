"""Sequences of prosodic tokens: of sound, as runs, and by word.

A sound gives the same tokens alone and in a batch; its frames are computed some at a time, and the pitch's path
goes through all of them.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.utterance import ProsodicWord, TokenRun
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, HIGHEST_RATE, LOWEST_RATE, Samples
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models import contours
from dailytalk_contiguous.models.codebook import Codebook, FeatureArray, Tokens
from dailytalk_contiguous.models.devices import resolve_device

#: Seconds from one token to the next.
HOP_SECONDS = 0.016


class ProsodicClusterSequences:
    """Prosodic tokens of sound, by a codebook.

    Args:
        prosodic_cluster_model_dir: folder of a codebook; None for the bundled one.
        max_duration: seconds of the longest sound; None for any length.
        device: the device for the distances: auto, cpu or cuda; tokens are the same on all.

    Raises DailytalkError for a folder without a codebook, and for CUDA where there is none.

    >>> import numpy as np
    >>> from dailytalk_contiguous import ProsodicClusterSequences
    >>> ProsodicClusterSequences().extract_cluster_sequences(np.zeros((1, 1600), np.float32))
    [[0, 0, 0, 0, 0, 0, 0]]
    """

    def __init__(
        self,
        prosodic_cluster_model_dir: str | Path | None = None,
        max_duration: float | None = None,
        device: str = "cpu",
    ) -> None:
        self.max_duration = max_duration
        self.device = resolve_device(device)
        self.codebook = Codebook.load(prosodic_cluster_model_dir)

    def resample_waveform(self, audio: ArrayLike, sr: int) -> Any:
        """Samples of `sr` Hz at 16 kHz, shape (n,) or (channels, n): of a tensor a tensor, else an array."""
        samples = np.asarray(audio, np.float32)
        if not LOWEST_RATE <= sr <= HIGHEST_RATE:
            raise BadInput(f"the sample rate is {sr}", f"give sound at {LOWEST_RATE} to {HIGHEST_RATE} Hz")
        if sr != ANALYSIS_RATE:
            samples = np.ascontiguousarray(soxr.resample(samples.T, sr, ANALYSIS_RATE).T)
        return audio.new_tensor(samples) if hasattr(audio, "new_tensor") else samples

    def prepare_audio_batch(
        self, audio: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None
    ) -> tuple[Any, list[int]]:
        """Sounds of 16 kHz with silence behind the shorter ones, shape (sounds, samples), and the samples of each.

        Args:
            audio: one sound, shape (n,); an array, shape (sounds, n); or sounds of several lengths. Tensors give
                a tensor, else it is an array.
            lengths: samples of each sound, what follows is left out; None for all.

        Raises BadInput for a sound of another shape or longer than `max_duration`, and for lengths that are not of
        these sounds.
        """
        sounds = list(self._sounds(audio, lengths))
        counts = [len(sound) for sound in sounds]
        batch = np.zeros((len(sounds), max(counts, default=0)), np.float32)
        for row, sound in zip(batch, sounds, strict=True):
            row[: len(sound)] = sound
        example: Any = audio[0] if isinstance(audio, Sequence) and len(audio) else audio
        if hasattr(example, "new_tensor"):
            return example.new_tensor(batch), counts
        return batch, counts

    def extract_cluster_sequences(
        self,
        audio: ArrayLike | Sequence[ArrayLike],
        lengths: ArrayLike | None = None,
        return_distances: bool = False,
    ) -> Any:
        """The tokens of each sound; arguments and errors as of `prepare_audio_batch`.

        With `return_distances` a pair: the tokens, and the weighted distance of each one's frame to its centre.
        For an f0 that is relative to the speaker, a sound is taken as all that its speaker says.
        """
        sequences: list[list[int]] = []
        distances: list[list[float]] = []
        for sound in self._sounds(audio, lengths):
            values = self.codebook.extractor.extract(audio_tensor=sound)
            features = contours.as_features(values)
            adapted = seen_by(self.codebook, features, contours.median_f0(features))
            tokens, to_centres = self.codebook.assign(adapted, self.device)
            sequences.append(tokens.tolist())
            distances.append(to_centres.tolist())
        return (sequences, distances) if return_distances else sequences

    def _sounds(self, audio: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None) -> Iterator[Samples]:
        several: Any = audio
        if not isinstance(audio, Sequence):
            several = np.atleast_2d(np.asarray(audio, np.float32))
        elif len(audio) and np.ndim(several[0]) == 0:
            several = [audio]
        sounds = [np.asarray(sound, np.float32) for sound in several]
        counts = [len(sound) for sound in sounds]
        if lengths is not None:
            counts = np.asarray(lengths, int).tolist()
        for index, (sound, count) in enumerate(zip(sounds, counts, strict=True)):
            if sound.ndim != 1 or not 0 <= count <= len(sound):
                reason = f"sound {index} has the shape {sound.shape}, and {count} samples of it are asked for"
                raise BadInput(reason, "give (n,) each, a channel at a time, and lengths within them")
            if self.max_duration is not None and count > self.max_duration * ANALYSIS_RATE:
                raise BadInput(
                    f"sound {index} has {count / ANALYSIS_RATE:g} s",
                    f"cut it into parts of at most {self.max_duration:g} s, or set a larger max_duration",
                )
            yield sound[:count]


def seen_by(codebook: Codebook, features: FeatureArray, speaker_f0: float) -> FeatureArray:
    """Features as a codebook was trained on: with f0 relative to the speaker's median in Hz, where it is."""
    if codebook.speaker_relative and speaker_f0 > 0:
        return contours.relative_f0(features, speaker_f0)
    return features


def check_tokens(tokens: ArrayLike, n_clusters: int, sequence: str, row: int | None = None, mask: int = 0) -> None:
    """Raise BadInput, with the sequence and the frame, for a token that is not in the codebook and not `mask`."""
    array = np.asarray(tokens)
    if array.ndim != 1 or (len(array) and not np.issubdtype(array.dtype, np.integer)):
        raise BadInput(f"{sequence} is not a sequence of whole numbers ({array.dtype})", "encode it again", row)
    is_token = (array >= 0) & (array < n_clusters) | (array == mask)
    if not is_token.all():
        frame = int(is_token.argmin())
        raise BadInput(
            f"{sequence} has the token {array[frame]} at frame {frame}, not one of 0 to {n_clusters - 1}",
            "encode it again, or name the codebook that it was encoded with",
            row,
        )


def to_runs(tokens: Sequence[int] | Tokens) -> list[TokenRun]:
    """Tokens in run-length form.

    >>> to_runs([0, 0, 7])
    [TokenRun(token=0, frames=2), TokenRun(token=7, frames=1)]
    """
    runs: list[TokenRun] = []
    for token, frames in itertools.groupby(tokens):
        runs.append(TokenRun(int(token), len(list(frames))))
    return runs


class SpeakerLevels(NamedTuple):
    """The usual values of a speaker, NaN where unknown.

    Attributes:
        f0: median pitch of voiced frames, Hz.
        power: median power of voiced frames, dBFS.
        word_seconds: median length of a word.
    """

    f0: float
    power: float
    word_seconds: float


def speaker_levels(features: Sequence[FeatureArray], words: Sequence[Sequence[Word]]) -> SpeakerLevels:
    """Compute a speaker's usual values from utterances: their features, and their words."""
    no_frames = np.zeros((0, len(contours.CONTOURS)), np.float32)
    spoken = np.concatenate([no_frames, *features])
    voiced = spoken[spoken.any(axis=1)]
    lengths = [word.end - word.start for utterance in words for word in utterance]
    power = float(np.median(_decibels(voiced))) if len(voiced) else math.nan
    word_seconds = float(np.median(lengths)) if lengths else math.nan
    return SpeakerLevels(contours.median_f0(spoken), power, word_seconds)


#: Voiced frames that a slope is fitted to; fewer give none.
_LEAST_FOR_SLOPE = 4


def word_prosody(
    words: Sequence[Word],
    tokens: Sequence[int] | Tokens,
    features: FeatureArray,
    usual: SpeakerLevels,
    origin: float = 0.0,
) -> list[ProsodicWord]:
    """Describe how each word is said: by its tokens, and in numbers that a model of text can read.

    Args:
        words: the words of the utterance, with times in seconds.
        tokens: the tokens of the frames of the utterance.
        features: the features of the frames of the utterance.
        usual: the usual values of the speaker.
        origin: the second of the words' time at which the utterance begins.
    """
    middles = origin + (np.arange(len(tokens)) + 0.5) * HOP_SECONDS
    prosodic_words: list[ProsodicWord] = []
    for word in words:
        first, last = np.searchsorted(middles, (word.start, word.end))
        frames = features[first:last]
        is_voiced = frames.any(axis=1)
        voiced = frames[is_voiced]
        word_tokens = [int(token) for token in tokens[first:last]]
        prosodic = ProsodicWord(word.word, word.start, word.end, word_tokens)
        if usual.word_seconds > 0:
            prosodic.duration = (word.end - word.start) / usual.word_seconds
        if len(voiced):
            low, high = contours.CONTOURS["f0"]
            hertz = low + (high - low) * voiced[:, 0].astype(np.float64)
            semitones = 12 * np.log2(hertz / usual.f0)
            prosodic.pitch = float(np.median(semitones))
            times = middles[first:last][is_voiced]
            if len(times) >= _LEAST_FOR_SLOPE:  # a line through the pitch, in semitones a second
                centred = times - times.mean()
                product = centred * (semitones - semitones.mean())
                prosodic.slope = float(np.sum(product) / np.sum(centred**2))
            prosodic.energy = float(np.median(_decibels(voiced))) - usual.power
        prosodic_words.append(prosodic)
    return prosodic_words


def _decibels(features: FeatureArray) -> NDArray[np.float64]:
    """The power of frames, in dBFS."""
    column = [*contours.CONTOURS].index("power")
    low, high = contours.CONTOURS["power"]
    power = features[:, column].astype(np.float64)
    decibels: NDArray[np.float64] = low + (high - low) * power
    return decibels
