"""Telling a speaker from the other one's voice that leaked into the microphone.

A headset next to a loudspeaker picks up the other side, 20 to 30 dB down, and speech activity finds it there
because it does not care for loudness. The rule compares both channels: a frame of one channel is leakage when
the other channel is at least `MARGIN_DB` louder *and* one fixed filter of the other channel explains at least
`EXPLAINED` of its energy. The filter (a transfer function estimated over the conversation, so that the delay and
the colour of the room don't matter) can't explain words that the speaker says himself, however soft. What is left
of a leak between such frames is judged as a whole, with a lower share, because a long stretch fluctuates less.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Pcm

#: Samples between frames and in one frame. The hop is Silero's frame at 16 kHz, so that frames can be compared;
#: 128 ms hold the delay and the tail of a leak within a room. Half of that lets three times as much of a leak
#: 30 dB down with a 40 ms tail pass for speech (telephone calls with such a leak mixed in).
HOP, WINDOW = 512, 2048

#: dB by which the other channel must be louder. People who both speak differ by less, or are uncorrelated.
MARGIN_DB = 6.0

#: Share of a frame's energy that the filtered other channel must explain. Speech of one's own explains under
#: 0.2 by chance; a leak 30 dB down over room tone at -62 dBFS still explains 0.8.
EXPLAINED = 0.5

#: The same for a whole stretch of speech.
EXPLAINED_SPAN = 0.35

#: Frames on each side over which both measures are summed (0.3 s in all): single frames fluctuate.
SMOOTH = 4

#: Frames in which the other channel must be active before a filter is believed (1.6 s).
MIN_FRAMES = 50

#: Frames a block: 8 s, or 2 MB of spectra a channel.
BLOCK = 250

#: Energy of the faintest leak that matters, against its source (-50 dB): a gated microphone is digital silence
#: between words, and must not have all the weight.
FAINTEST = 1e-5

#: A stereo file whose channels explain each other this well, at nearly one level, is one signal twice.
SAME_SIGNAL = 0.98

Spectra = NDArray[np.complex64]


class Leakage(NamedTuple):
    """What one channel holds of the other.

    `mask`: which frames of the channel are leakage, shape (frames,). `level_db`: of the leak against its source,
    or None where there is none. `same`: whether both channels are one signal (a mono file saved as stereo).
    `energies`: of the channel, of the other, and of what the filter leaves unexplained, shape (3, frames).
    """

    mask: NDArray[np.bool_]
    level_db: float | None
    same: bool
    energies: NDArray[np.float32]

    def explains(self, first: int, last: int) -> bool:
        """Whether frames `first` to `last` (exclusive) as a whole are leakage."""
        own, source, rest = self.energies[:, first:last].sum(axis=1)
        quieter = source >= own * 10 ** (MARGIN_DB / 10)
        return bool(own > 0 and rest <= (1 - EXPLAINED_SPAN) * own and quieter)


def leakage(channel: NDArray[np.int16], other: NDArray[np.int16]) -> Leakage:
    """Find what of `other` leaked into `channel`; both 16 kHz int16, shape (n,)."""
    n_frames = -(-len(channel) // HOP)
    transfer = _transfer(channel, other)
    if transfer is None:
        return Leakage(np.zeros(n_frames, bool), None, False, np.zeros((3, n_frames), np.float32))
    own, source, rest = (np.concatenate(parts) for parts in zip(*_energies(channel, other, transfer), strict=True))
    mask, louder_db = _mask(own, source, rest)
    tiny = np.finfo(np.float32).tiny
    total_explained = 1.0 - rest.sum() / (own.sum() + tiny)
    same = bool(total_explained >= SAME_SIGNAL and abs(np.median(louder_db[_active(source)])) < MARGIN_DB)
    level = float(-np.median(louder_db[mask])) if mask.any() else None
    return Leakage(mask, level, same, np.stack((own, source, rest)))


def _mask(
    own: NDArray[np.float32], source: NDArray[np.float32], rest: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which frames are leakage, and by how many dB the other channel is louder around each."""
    box = np.ones(2 * SMOOTH + 1)
    tiny = np.finfo(np.float32).tiny
    own_sum, source_sum, rest_sum = (np.convolve(energy, box, mode="same") for energy in (own, source, rest))
    louder_db = 10.0 * np.log10((source_sum + tiny) / (own_sum + tiny))
    mask = (rest_sum <= (1 - EXPLAINED) * own_sum) & (louder_db >= MARGIN_DB)
    # Next to the speaker's own words these sums are all his, and a word would begin in the leak before it.
    near = np.convolve(mask, box, mode="same") > 0
    alone = (rest <= (1 - EXPLAINED) * own) & (source >= own * 10 ** (MARGIN_DB / 10))
    return mask | (near & alone & (own > 0)), louder_db


def _transfer(channel: Pcm, other: Pcm) -> Spectra | None:
    """Least-squares filter from `other` to `channel`, one complex gain a frequency; None if too little is heard.

    Frames are weighted by the energy of `channel`, which is noise as far as the leak is concerned: one word of its
    own speaker is a thousand times the energy of a leak 30 dB down, and would be fitted instead.
    """
    cross = np.zeros(WINDOW // 2 + 1, np.complex128)
    power = np.zeros(WINDOW // 2 + 1, np.float64)
    count = 0
    threshold = _activity_threshold(other)
    for ours, theirs in zip(_spectra(channel), _spectra(other), strict=True):
        energy = np.einsum("ij,ij->i", theirs, theirs.conj()).real
        active = energy >= threshold
        own = np.einsum("ij,ij->i", ours, ours.conj()).real
        weights = 1.0 / np.maximum(own, FAINTEST * energy)[active, None]
        cross += (weights * ours[active] * theirs[active].conj()).sum(axis=0)
        power += (weights * np.abs(theirs[active]) ** 2).sum(axis=0)
        count += int(active.sum())
    if count < MIN_FRAMES:
        return None
    return np.asarray(cross / np.maximum(power, 1e-12 * power.max()), np.complex64)


def _energies(channel: Pcm, other: Pcm, transfer: Spectra) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Per frame: energy of the channel, of the other, and of what the filter leaves unexplained."""
    for ours, theirs in zip(_spectra(channel), _spectra(other), strict=True):
        yield tuple(
            np.einsum("ij,ij->i", part, part.conj()).real for part in (ours, theirs, ours - transfer * theirs)
        )


def _spectra(channel: Pcm) -> Iterator[Spectra]:
    """Windowed spectra in blocks, shape (frames, 1025). Frame k is centred on Silero's frame k."""
    from scipy import fft  # here: commands that read no sound can spare it

    n_frames = -(-len(channel) // HOP)
    edge = (WINDOW - HOP) // 2
    window = np.hanning(WINDOW).astype(np.float32)
    for first in range(0, n_frames, BLOCK):
        count = min(BLOCK, n_frames - first)
        start, end = first * HOP - edge, (first + count) * HOP + edge
        piece = channel[max(0, start) : end].astype(np.float32)
        piece = np.pad(piece, (max(0, -start), 0))
        piece = np.pad(piece, (0, end - start - len(piece)))
        frames = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[::HOP]
        yield np.asarray(fft.rfft(frames * window, axis=1), np.complex64)  # in single precision, unlike NumPy's


def _activity_threshold(channel: Pcm) -> float:
    """Energy of a spectrum within 20 dB of the channel's loud frames (their 95th percentile)."""
    energies = [np.einsum("ij,ij->i", block, block.conj()).real for block in _spectra(channel)]
    loud = float(np.percentile(np.concatenate(energies), 95)) if energies else 0.0
    return max(loud / 100.0, 1.0)


def _active(energy: NDArray[np.float32]) -> NDArray[np.bool_]:
    return energy >= max(float(np.percentile(energy, 95)) / 100.0, 1.0)
