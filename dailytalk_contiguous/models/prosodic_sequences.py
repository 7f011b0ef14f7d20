"""Sequences of prosodic tokens: of sound, as runs, and by word.

A sound gives the same tokens alone and in a batch; its frames are computed some at a time, and the pitch's path
goes through all of them.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core import contours
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, HIGHEST_RATE, LOWEST_RATE, Samples
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records import WordRow
from dailytalk_contiguous.models.codebook import Codebook, FeatureArray, Tokens
from dailytalk_contiguous.models.devices import resolve_device

#: Seconds from one token to the next.
HOP_SECONDS = 0.016

#: Voiced frames that a slope is fitted to; fewer give none.
_LEAST_FOR_SLOPE = 4


class ProsodicClusterSequences:
    """Prosodic tokens of sound, by a codebook.

    Args:
        prosodic_cluster_model_dir: folder of a codebook; None for the bundled one.
        max_duration: seconds of the longest sound; None for any length.
        device: of PyTorch, for the distances: auto, cpu or cuda; tokens are the same on all.

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
        batch = np.zeros((len(sounds), max(map(len, sounds), default=0)), np.float32)
        for row, sound in zip(batch, sounds, strict=True):
            row[: len(sound)] = sound
        like: Any = audio[0] if isinstance(audio, Sequence) and len(audio) else audio
        return (like.new_tensor(batch) if hasattr(like, "new_tensor") else batch), list(map(len, sounds))

    def extract_cluster_sequences(
        self,
        audio: ArrayLike | Sequence[ArrayLike],
        lengths: ArrayLike | None = None,
        return_distances: bool = False,
    ) -> Any:
        """The tokens of each sound; arguments and errors as of `prepare_audio_batch`.

        With `return_distances` a pair: these, and of each token the weighted distance of its frame to the centre.
        f0 that is relative to the speaker is so to the sound: it is taken as all that its speaker says.
        """
        sequences = []
        distances = []
        for sound in self._sounds(audio, lengths):
            features = contours.as_features(self.codebook.extractor.extract(audio_tensor=sound))
            seen = seen_by(self.codebook, features, contours.median_f0(features))
            tokens, apart = self.codebook.assign(seen, self.device)
            sequences.append(tokens.tolist())
            distances.append(apart.tolist())
        return (sequences, distances) if return_distances else sequences

    def _sounds(self, audio: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None) -> Iterator[Samples]:
        several: Any = audio
        if not isinstance(audio, Sequence):
            several = np.atleast_2d(np.asarray(audio, np.float32))
        elif len(audio) and np.ndim(several[0]) == 0:
            several = [audio]
        sounds = [np.asarray(sound, np.float32) for sound in several]
        counts = list(map(len, sounds)) if lengths is None else np.asarray(lengths, int).tolist()
        for place, (sound, count) in enumerate(zip(sounds, counts, strict=True)):
            if sound.ndim != 1 or not 0 <= count <= len(sound):
                reason = f"sound {place} has the shape {sound.shape}, and {count} samples of it are asked for"
                raise BadInput(reason, "give (n,) each, a channel at a time, and lengths within them")
            if self.max_duration is not None and count > self.max_duration * ANALYSIS_RATE:
                raise BadInput(
                    f"sound {place} has {count / ANALYSIS_RATE:g} s",
                    f"cut it into parts of at most {self.max_duration:g} s, or set a larger max_duration",
                )
            yield sound[:count]


def seen_by(codebook: Codebook, features: FeatureArray, speaker_f0: float) -> FeatureArray:
    """Features as a codebook was trained on: with f0 relative to the speaker's median in Hz, where it is."""
    return contours.relative_f0(features, speaker_f0) if codebook.speaker_relative and speaker_f0 > 0 else features


def check_tokens(
    tokens: ArrayLike, n_clusters: int, sequence: str, row: int | None = None, mask: int = 0
) -> NDArray[np.int64]:
    """Tokens of a codebook as an array, or also the token `mask`.

    Raises BadInput, naming the sequence and the frame, for a token that the codebook has not.
    """
    array = np.asarray(tokens)
    if array.ndim != 1 or (len(array) and not np.issubdtype(array.dtype, np.integer)):
        raise BadInput(f"{sequence} is no sequence of whole numbers ({array.dtype})", "encode it again", row)
    is_token = (array >= 0) & (array < n_clusters) | (array == mask)
    if not is_token.all():
        frame = int(is_token.argmin())
        raise BadInput(
            f"{sequence} has the token {array[frame]} at frame {frame}, not one of 0 to {n_clusters - 1}",
            "encode it again, or name the codebook that it was encoded with",
            row,
        )
    return array.astype(np.int64)


class TokenRun(NamedTuple):
    token: int
    frames: int


def to_runs(tokens: Sequence[int] | Tokens) -> list[TokenRun]:
    """Tokens in run-length form.

    >>> to_runs([0, 0, 7])
    [TokenRun(token=0, frames=2), TokenRun(token=7, frames=1)]
    """
    return [TokenRun(int(token), sum(1 for _ in same)) for token, same in itertools.groupby(tokens)]


class SpeakerLevels(NamedTuple):
    """The usual values of a speaker, NaN where unknown.

    Attributes:
        f0: median pitch of voiced frames, Hz. power: of their power, dBFS.
        word_seconds: median length of a word.
    """

    f0: float
    power: float
    word_seconds: float


def speaker_levels(
    features: Sequence[FeatureArray], words: Sequence[Sequence[Mapping[str, Any]]]
) -> SpeakerLevels:
    """Compute a speaker's usual values from utterances: their features, and their words with `start` and `end`."""
    spoken = np.concatenate([np.zeros((0, len(contours.CONTOURS)), np.float32), *features])
    heard = spoken[spoken.any(axis=1)]
    lengths = [word["end"] - word["start"] for utterance in words for word in utterance]
    return SpeakerLevels(
        contours.median_f0(spoken),
        float(np.median(_decibels(heard))) if len(heard) else math.nan,
        float(np.median(lengths)) if lengths else math.nan,
    )


def word_prosody(
    words: Sequence[WordRow],
    tokens: Sequence[int] | Tokens,
    features: FeatureArray,
    usual: SpeakerLevels,
    origin: float = 0.0,
) -> list[dict[str, Any]]:
    """How each word is said: its tokens, and what a model of text can read.

    Args:
        words: with `word`, `start` and `end` in seconds.
        tokens, features: of the frames of the utterance, which begins at second `origin` of the words' time.
        usual: of the speaker.

    Returns:
        Of each word `word`, `start`, `end`; `tokens` of the frames whose middle it holds; `pitch` in semitones
        above the speaker's median, `slope` in semitones a second, `energy` in dB above the speaker's median, and
        `duration` as a ratio to that of the speaker's words. What can't be known is None.
    """
    middles = origin + (np.arange(len(tokens)) + 0.5) * HOP_SECONDS
    rows = []
    for word in words:
        first, last = np.searchsorted(middles, (word["start"], word["end"]))
        own = features[first:last]
        heard = own.any(axis=1)
        low, high = contours.CONTOURS["f0"]
        semitones = 12 * np.log2((low + (high - low) * own[heard, 0].astype(np.float64)) / usual.f0)
        seconds = middles[first:last][heard]
        slope = None
        if len(seconds) >= _LEAST_FOR_SLOPE:
            centred = seconds - seconds.mean()
            slope = float(np.sum(centred * (semitones - semitones.mean())) / np.sum(centred**2))
        ratio = (word["end"] - word["start"]) / usual.word_seconds if usual.word_seconds > 0 else None
        rows.append(
            {
                "word": word["word"],
                "start": word["start"],
                "end": word["end"],
                "tokens": [int(token) for token in tokens[first:last]],
                "pitch": float(np.median(semitones)) if len(semitones) else None,
                "slope": slope,
                "duration": ratio,
                "energy": float(np.median(_decibels(own[heard]))) - usual.power if heard.any() else None,
            }
        )
    return rows


def _decibels(features: FeatureArray) -> Any:
    low, high = contours.CONTOURS["power"]
    return low + (high - low) * features[:, [*contours.CONTOURS].index("power")].astype(np.float64)
