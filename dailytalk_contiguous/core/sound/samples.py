"""Samples of sound: their rates, as integers and as floats, and the voice of a clip with one or two channels."""

import io
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput

#: Hz. The rate of all analysis (Silero, Whisper and wav2vec2 were trained at it).
ANALYSIS_RATE = 16000


#: Hz. Below this rate, speech has lost the consonants that recognisers need.
LOWEST_RATE = 8000


#: Hz. Sound of a lower rate is not resampled: a file of 100 kB whose header says 1 Hz would take 3 GB at 16 kHz.
#: No recording of speech has so low a rate.
LOWEST_RESAMPLED = 1000


#: Hz. Above this rate, a file is likely mislabelled.
HIGHEST_RATE = 96000


Samples = NDArray[np.float32]


Pcm = NDArray[np.int16]


def of_length(samples: Samples, length: int) -> Samples:
    """Cut one channel or fill it up with silence, float32: resampling may end a sample early or late."""
    missing = max(0, length - len(samples))
    return np.pad(samples[:length], (0, missing)).astype(np.float32)


def to_pcm(samples: Samples) -> Pcm:
    """Return float samples in [-1, 1] as int16; values outside are clipped."""
    scaled: Samples = samples * np.float32(32768)
    np.clip(np.rint(scaled, out=scaled), -32768, 32767, out=scaled)
    return scaled.astype(np.int16)


def encoded_sound(pcm: Pcm, sample_rate: int, container: Literal["FLAC", "WAV"]) -> bytes:
    """Encode samples as a file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, pcm, sample_rate, "PCM_16", format=container)
    return file.getvalue()


def pcm_to_float(pcm: Pcm | bytes) -> Samples:
    """Return int16 samples, or their little-endian bytes, as float32 in [-1, 1).

    Each call makes a new array: keeping it for the next stage would save next to nothing (0.04 % of the time).
    """
    integers = np.frombuffer(pcm, "<i2") if isinstance(pcm, bytes) else pcm
    samples = integers.astype(np.float32)
    samples /= 32768.0
    return samples


def mixed_down(pcm: Pcm) -> Pcm:
    """Return the mean of all channels, as `mean_of_channels`; a single channel stays as it is."""
    highest = np.iinfo(np.int16).max  # that of opposite channels may be 1 above it
    mixed: Pcm = np.minimum(mean_of_channels(pcm).round(), highest).astype(np.int16)
    return mixed


def excerpt(channel: Pcm, start: float, end: float) -> Pcm:
    """Return 16 kHz samples from one second to another; a start before the beginning counts as 0."""
    first = max(0, round(start * ANALYSIS_RATE))
    last = max(0, round(end * ANALYSIS_RATE))
    return channel[first:last]


#: Mean square of a channel that holds nothing (−80 dBFS).
SILENT = 1e-8


#: dB under the other channel at which one is dead: what leaks between the channels of a sound card is softer, and
#: a room behind close speech seldom is.
DEAD_DB = 40.0


#: Correlation above which two channels are the same sound: independent noise 13 dB under it is let pass.
SAME = 0.95


def mean_of_channels(samples: NDArray[Any]) -> NDArray[np.floating]:
    """Return the mean of channels of shape (n, channels), as floats of shape (n,).

    Of two that carry the same with opposite signs, the second is turned over, because the mean would cancel.
    """
    mean: NDArray[np.floating] = samples.mean(axis=1)
    if samples.shape[1] != 2:
        return mean
    # `einsum` takes int16 as float64 in small blocks, and starts no threads of BLAS.
    left_energy, right_energy = np.einsum("nc,nc->c", samples, samples, dtype=np.float64)
    product = np.einsum("n,n->", samples[:, 0], samples[:, 1], dtype=np.float64)
    is_opposite = product < -SAME * np.sqrt(left_energy * right_energy)
    return samples[:, 0] - mean if is_opposite else mean


class OneChannel(NamedTuple):
    """Samples of shape (n,), and how they were made: `mono`, `left`, `right`, `mean` or `mean-inverted`."""

    samples: Samples
    channel_taken: str


def one_channel(samples: Samples) -> OneChannel:
    """Return the voice of a clip, float32, shape (n, channels) in and (n,) out.

    A dead channel is left out; of two that carry the same the mean is taken, with the second turned over
    (`mean-inverted`) where it has the opposite sign, because the mean would cancel.

    Raises:
        BadInput: the two channels differ, or there are more than two.
    """
    n_channels = samples.shape[1]
    if n_channels == 1:
        return OneChannel(samples[:, 0], "mono")
    if n_channels != 2:
        raise BadInput(f"it has {n_channels} channels, not one or two", "export it with one channel")
    left, right = np.ascontiguousarray(samples.T)
    left_power = float(np.mean(left**2)) if len(left) else 0.0
    right_power = float(np.mean(right**2)) if len(right) else 0.0
    loud = max(left_power, right_power)
    soft = min(left_power, right_power)
    if soft < SILENT or soft < loud * 10 ** (-DEAD_DB / 10):
        if left_power >= right_power:
            return OneChannel(left, "left")
        return OneChannel(right, "right")
    correlation = float(np.mean(left * right)) / float(np.sqrt(loud * soft))
    if abs(correlation) < SAME:
        limit = f"{SAME:g} is the least for one voice on both"
        reason = f"its two channels differ (correlation {correlation:.2f}, {limit})"
        raise BadInput(reason, "export the channel of the speaker alone")
    if correlation < 0:
        return OneChannel((left - right) / 2, "mean-inverted")
    return OneChannel((left + right) / 2, "mean")
