"""A small model of turn-taking: from the sound of both sides until now, whether each will speak in the next 2 s.

It is a recurrent network of 37,000 parameters on spectra, which projects the activity of both sides onto four
stretches of the future, as voice activity projection does (Ekstedt and Skantze 2022, arXiv 2205.09812); every
stretch of each side is a question of its own. It hears no words. Sides are interchangeable: a model learns each
talk from both.

A spectrum has semitones below 560 Hz, where a voice that falls moves along them, and mel bands above.
"""

from collections.abc import Sequence
from typing import NamedTuple

import librosa
import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from scipy.fft import rfft
from torch import Tensor, nn

from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.turns.turn_taking import Timed

#: Hz of the sound: telephone calls have no more, and studios nothing else that tells them apart.
SOUND_RATE = 8000

#: Frames a second.
FRAME_RATE = 25

#: Samples of the window of a spectrum (96 ms, which tells a voice's harmonics apart), and of its transform.
WINDOW = 768
TRANSFORM = 1024

#: Hz of the semitones of a spectrum, and its mel bands above them.
SEMITONES = 70.0 * 2 ** (np.arange(36) / 12)
MEL_BANDS = 16
BANDS = len(SEMITONES) + MEL_BANDS

#: Seconds at which the stretches of the future begin and end.
EDGES = (0.0, 0.2, 0.6, 1.2, 2.0)

#: The stretches of the future.
STRETCHES = len(EDGES) - 1

#: Frames of the future.
AHEAD = round(EDGES[-1] * FRAME_RATE)

#: Frames of a part that is learned from, parts of a step, and units of the network.
PART = 10 * FRAME_RATE
BATCH = 32
UNITS = 64

#: Frames that the first layer sees at once.
SEEN = 4

#: The largest learning rate, which rises and falls in the course of the steps.
LEARNING_RATE = 4e-3


class Talk(NamedTuple):
    """A conversation of two.

    Attributes:
        call: the recording that it is of: parts of one call are of the same people.
        spectra: log spectra of both sides, in standard deviations of each band, shape (frames, 2, `BANDS`).
        active: whether each side speaks, shape (frames, 2).
        timed: the speech of both, in seconds.
    """

    call: str
    spectra: NDArray[np.float16]
    active: NDArray[np.bool_]
    timed: list[Timed]


def talk_of(call: str, sound: Samples, sample_rate: int, timed: Sequence[Timed]) -> Talk:
    """Return a conversation by its sound, shape (n, 2), and the speech of `left` and `right` in it."""
    sides = [_spectra(sound[:, side], sample_rate) for side in (0, 1)]
    n_frames = min(len(side) for side in sides)
    spectra = np.stack([side[:n_frames] for side in sides], axis=1)
    active = np.zeros((n_frames, 2), bool)
    for speech in timed:
        side = 0 if speech.channel == "left" else 1
        first = round(speech.start * FRAME_RATE)
        last = round(speech.end * FRAME_RATE)
        active[first:last, side] = True
    return Talk(call, spectra, active, list(timed))


def _spectra(side: Samples, sample_rate: int) -> NDArray[np.float16]:
    """Log spectra of one side, shape (frames, `BANDS`); a frame hears nothing behind its own end.

    Level and band are no turn-taking: each band has mean 0 and deviation 1 in a talk.
    """
    samples = np.asarray(soxr.resample(side, sample_rate, SOUND_RATE), np.float32)
    hop = SOUND_RATE // FRAME_RATE
    before = np.zeros(WINDOW - hop, np.float32)
    frames = librosa.util.frame(np.concatenate([before, samples]), frame_length=WINDOW, hop_length=hop)
    windowed = frames.T * np.hanning(WINDOW).astype(np.float32)
    power = np.abs(rfft(windowed, TRANSFORM, axis=1)) ** 2
    decibels = np.log10(power @ _FILTERS + 1e-6)
    deviation = decibels.std(axis=0) + 1e-3
    normal = (decibels - decibels.mean(axis=0)) / deviation
    return np.asarray(normal, np.float16)


def _filters() -> NDArray[np.float32]:
    """Weights of the bands, shape (frequencies, `BANDS`)."""
    hertz = np.fft.rfftfreq(TRANSFORM, 1 / SOUND_RATE)
    # A semitone is read between the two frequencies that are nearest to it.
    apart = np.abs(hertz[:, None] - SEMITONES) / hertz[1]
    semitones = np.maximum(0.0, 1.0 - apart)
    mel = librosa.filters.mel(sr=SOUND_RATE, n_fft=TRANSFORM, n_mels=MEL_BANDS, fmin=400.0, fmax=SOUND_RATE / 2)
    return np.concatenate([semitones, mel.T], axis=1).astype(np.float32)


_FILTERS = _filters()


def futures_of(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each side speaks for most of each stretch behind each frame, shape (frames, 2, `STRETCHES`).

    The last `AHEAD` frames have none.
    """
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(active, axis=0)])
    n_frames = len(active) - AHEAD
    frames = np.arange(1, n_frames + 1)
    futures = np.zeros((n_frames, 2, STRETCHES), bool)
    for number in range(STRETCHES):
        first = round(EDGES[number] * FRAME_RATE)
        last = round(EDGES[number + 1] * FRAME_RATE)
        spoken = sums[frames + last] - sums[frames + first]
        futures[:, :, number] = 2 * spoken >= last - first
    return futures


class Projection(nn.Module):
    """Logits of the futures of both sides, shape (talks, frames, 2, `STRETCHES`), the first side first."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Sequential(
            nn.Linear(SEEN * (BANDS + 1), 48), nn.ReLU(), nn.Linear(48, UNITS // 2), nn.ReLU()
        )
        self.memory = nn.GRU(UNITS, UNITS, batch_first=True)
        self.futures = nn.Linear(UNITS, 2 * STRETCHES)

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs`: spectra and activity of both sides, shape (talks, frames, 2, `BANDS` + 1)."""
        n_frames = inputs.shape[1]
        padded = nn.functional.pad(inputs, (0, 0, 0, 0, SEEN - 1, 0))
        seen = torch.cat([padded[:, first : first + n_frames] for first in range(SEEN)], dim=-1)
        sides = self.side(seen).flatten(2)
        remembered, _ = self.memory(sides)
        logits: Tensor = self.futures(remembered)
        return logits.reshape(*logits.shape[:2], 2, STRETCHES)


def inputs_of(talk: Talk, first: int = 0, last: int | None = None) -> NDArray[np.float32]:
    """What the model hears of a talk from one frame to another, shape (frames, 2, `BANDS` + 1)."""
    spectra = talk.spectra[first:last].astype(np.float32)
    active = talk.active[first:last, :, None].astype(np.float32)
    return np.concatenate([spectra, active], axis=2)


def trained(talks: Sequence[Talk], seed: int, n_steps: int) -> Projection:
    """Return a model that has learned from these talks in so many steps of `BATCH` parts.

    Talks of less than `AHEAD` frames have no future. Raises ValueError where all are so short.
    """
    talks = [talk for talk in talks if len(talk.active) > AHEAD]
    if not talks:
        raise ValueError("there is nothing to learn from: all conversations are shorter than 2 s")
    chance = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Projection()
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=n_steps)
    futures = [futures_of(talk.active) for talk in talks]
    lengths = np.array([len(future) for future in futures])
    shares = lengths / lengths.sum()
    for _ in range(n_steps):
        heard = []
        comes = []
        for number in chance.choice(len(talks), BATCH, p=shares):
            first = int(chance.integers(max(1, lengths[number] - PART)))
            part = inputs_of(talks[number], first, first + PART)
            future = futures[number][first : first + PART]
            n_lacking = PART - min(len(part), len(future))
            part = np.pad(part[: len(future)], ((0, n_lacking), (0, 0), (0, 0)))
            future = np.pad(future, ((0, n_lacking), (0, 0), (0, 0)))
            if chance.random() < 0.5:
                part = part[:, ::-1]
                future = future[:, ::-1]
            heard.append(part)
            comes.append(future)
        logits = model(torch.from_numpy(np.stack(heard)))
        targets = torch.from_numpy(np.stack(comes).astype(np.float32))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model


@torch.no_grad()
def projected(model: Projection, talk: Talk) -> NDArray[np.float32]:
    """The logits of the futures at each frame of a talk, shape (frames, 2, `STRETCHES`); left first.

    The mean of both orders of the sides.
    """
    heard = inputs_of(talk)
    orders = np.stack([heard, heard[:, ::-1]])
    logits = model(torch.from_numpy(orders)).numpy()
    return np.asarray((logits[0] + logits[1][:, ::-1]) / 2, np.float32)
