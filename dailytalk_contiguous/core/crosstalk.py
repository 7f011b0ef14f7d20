"""Distinguishing a speaker from the other one's voice that leaked into the microphone.

A headset next to a loudspeaker picks up the other side, 20 to 30 dB down, and speech activity finds it there
because it does not care for loudness. The rule compares both channels: a frame of one channel is leakage when
the other channel is at least `MARGIN_DB` louder *and* one fixed filter of the other channel explains at least
`EXPLAINED` of its energy. The filter (a transfer function estimated over the conversation, so that the delay and
the colour of the room don't matter) can't explain words of the speaker's own, however soft. What remains of a leak
between such frames is judged as a whole, with a lower share, because a long stretch fluctuates less.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Pcm
from dailytalk_contiguous.core.spans import true_runs

#: Samples between frames: Silero's frame at 16 kHz, so that frames can be compared.
HOP = 512

#: Samples in a frame: 128 ms hold the delay and the tail of a leak within a room. Half of that lets three times as
#: much of a leak 30 dB down with a 40 ms tail pass for speech (telephone calls with such a leak mixed in).
WINDOW = 2048

#: dB by which the other channel must be louder. People who both speak differ by less, or are uncorrelated.
MARGIN_DB = 6.0

#: Share of a frame's energy that the filtered other channel must explain. Speech of one's own explains under
#: 0.2 by chance; a leak 30 dB down over room tone at -62 dBFS still explains 0.8.
EXPLAINED = 0.5

#: The same for a whole stretch of speech.
EXPLAINED_SPAN = 0.35

#: Share of the frames in which the other speaker is loud that are leakage if there is a leak at all: 0.02 at most
#: in calls without a leak, 0.8 with one 30 dB down.
LEAKY = 0.3

#: Frames on each side over which both measures are summed (0.3 s in all): single frames fluctuate.
SMOOTH = 4

#: Frames in which the other channel must be active before a filter is believed (1.6 s).
MIN_FRAMES = 50

#: Frames that are summed at once (8 s).
BLOCK = 250

#: Frames that are transformed at once, so that their spectra stay in the cache.
FFT_BLOCK = 50

#: Frequencies of a spectrum.
N_FREQUENCIES = WINDOW // 2 + 1

#: Energy of the faintest leak that matters, against its source (-50 dB): a gated microphone is digital silence
#: between words, and must not have all the weight.
FAINTEST = 1e-5

#: A stereo file whose channels explain each other this well, at nearly one level, is one signal twice.
SAME_SIGNAL = 0.98

#: Spectra of frames, shape (frames, `N_FREQUENCIES`), or one of that many frequencies.
Spectra = NDArray[np.complex64]

#: Energies of frames, shape (frames,), or of several channels.
Energies = NDArray[np.float32]


class Leakage(NamedTuple):
    """The leakage in one channel from the other.

    `mask`: which frames of the channel are leakage, shape (frames,). `level_db`: of the leak against its source,
    or None where there is none. `same`: whether both channels are one signal (a mono file saved as stereo).
    `energies`: of the channel, of the other, and of what the filter leaves unexplained, shape (3, frames).
    """

    mask: NDArray[np.bool_]
    level_db: float | None
    same: bool
    energies: NDArray[np.float32]

    def explains(self, first: int, last: int) -> bool:
        """Return whether frames `first` to `last` (exclusive) as a whole are leakage."""
        energy, source, unexplained = self.energies[:, first:last].sum(axis=1)
        is_quieter = source >= energy * 10 ** (MARGIN_DB / 10)
        is_explained = unexplained <= (1 - EXPLAINED_SPAN) * energy
        return bool(energy > 0 and is_explained and is_quieter)

    def predicted(self) -> NDArray[np.float64]:
        """Mean square of the leak in each frame (full scale is 1), as the other channel makes it.

        Unlike `mask` this does not depend on what else the channel holds: a leak is known beside its own speaker's
        words, too. Zeros where less than `LEAKY` of the other speaker's loud frames are leakage.
        """
        # By Parseval's theorem: half of a spectrum, of int16 samples under a Hann window.
        full_scale = 32768.0**2 * WINDOW / 2 * np.sum(np.hanning(WINDOW) ** 2)
        source = self.energies[1].astype(np.float64)
        return np.asarray(self._share * source / full_scale)

    @property
    def leak_db(self) -> float | None:
        """Level of the leak against its source in dB, where it is audible; None where `predicted` finds none."""
        return 10 * math.log10(self._share) if self._share > 0 else None

    @property
    def _share(self) -> float:
        """Power of the leak over that of its source; 0 without one."""
        energy, source, unexplained = self.energies.astype(np.float64)
        is_loud = source >= _threshold(self.energies[1])
        is_louder = source >= energy * 10 ** (MARGIN_DB / 10)
        alone = is_loud & is_louder
        if not alone.any() or np.mean(self.mask[alone]) < LEAKY:
            return 0.0
        explained = energy - unexplained
        return max(0.0, float(np.median(explained[alone] / source[alone])))


def leakage(left: Pcm, right: Pcm) -> tuple[Leakage, Leakage]:
    """Find what leaked from the right channel into the left one, and the other way round.

    Both 16 kHz int16, shape (n,). Both ways are found at once because they share their spectra, which are most of
    the work. They are made twice: kept, those of an hour would be 2 GB.
    """
    energies, transfers = _transfers(left, right)
    unexplained = _unexplained(left, right, energies, transfers)
    n_frames = energies.shape[1]
    verdicts: list[Leakage] = []
    for side, transfer in enumerate(transfers):
        source = 1 - side
        if transfer is not None:
            verdict = _verdict(energies[side], energies[source], unexplained[side])
        else:
            nothing = np.zeros((3, n_frames), np.float32)
            verdict = Leakage(np.zeros(n_frames, bool), None, False, nothing)
        verdicts.append(verdict)
    return verdicts[0], verdicts[1]


def leaked_spans(mask: NDArray[np.bool_], sample_rate: int) -> list[tuple[int, int]]:
    """(start, end) of every run of leaked frames, in samples at a rate in Hz."""
    frame = HOP / ANALYSIS_RATE * sample_rate
    runs = true_runs(mask).tolist()
    return [(round(start * frame), round(end * frame)) for start, end in runs]


def _verdict(energy: Energies, source: Energies, unexplained: Energies) -> Leakage:
    """Judge the energies of one channel, of the other, and of what the filter leaves unexplained."""
    mask, louder_db = _mask(energy, source, unexplained)
    whole_energy = energy.sum() + np.finfo(np.float32).tiny
    share_explained = 1.0 - unexplained.sum() / whole_energy
    loud = source >= _threshold(source)
    same = bool(share_explained >= SAME_SIGNAL and abs(np.median(louder_db[loud])) < MARGIN_DB)
    level = float(-np.median(louder_db[mask])) if mask.any() else None
    return Leakage(mask, level, same, np.stack((energy, source, unexplained)))


def _mask(
    energy: Energies, source: Energies, unexplained: Energies
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which frames are leakage, and by how many dB the other channel is louder around each."""
    box = np.ones(2 * SMOOTH + 1)
    tiny = np.finfo(np.float32).tiny
    energy_around = np.convolve(energy, box, mode="same")
    source_around = np.convolve(source, box, mode="same")
    unexplained_around = np.convolve(unexplained, box, mode="same")
    louder_db = 10.0 * np.log10((source_around + tiny) / (energy_around + tiny))
    is_explained_around = unexplained_around <= (1 - EXPLAINED) * energy_around
    mask = is_explained_around & (louder_db >= MARGIN_DB)
    # Next to the speaker's own words these sums are all of them, and a word would begin in the leak before it.
    is_near = np.convolve(mask, box, mode="same") > 0
    is_explained = unexplained <= (1 - EXPLAINED) * energy
    is_louder = source >= energy * 10 ** (MARGIN_DB / 10)
    return mask | (is_near & is_explained & is_louder & (energy > 0)), louder_db


def _transfers(left: Pcm, right: Pcm) -> tuple[Energies, list[Spectra | None]]:
    """Energies of both channels, shape (2, frames), and least-squares filters to the left and to the right one.

    A filter is one complex gain a frequency, None where there is too little sound of the source. Frames are
    weighted by the energy of the channel that the leak is in, which is noise as far as the leak is concerned: one
    word of its own speaker is a thousand times the energy of a leak 30 dB down, and would be fitted instead.
    """
    thresholds = [_threshold(_frame_energies(channel)) for channel in (left, right)]
    energies = np.zeros((2, _n_frames(left)), np.float32)
    fits = [_FilterFit(), _FilterFit()]
    for first, spectra in _both_spectra(left, right):
        frames = slice(first, first + len(spectra[0]))
        energies[:, frames] = [_energy(block) for block in spectra]
        for side, fit in enumerate(fits):
            energy = energies[side, frames]
            source = energies[1 - side, frames]
            active = source >= thresholds[1 - side]
            noise = np.maximum(energy, FAINTEST * source)
            weights = np.reciprocal(noise[active])
            fit.push(spectra[side], spectra[1 - side], active, weights)
    return energies, [fit.transfer() for fit in fits]


class _FilterFit:
    """One filter from frames that come in blocks: they are weighted and summed `BLOCK` at a time."""

    def __init__(self) -> None:
        self._cross = np.zeros(N_FREQUENCIES, np.complex128)
        self._power = np.zeros(N_FREQUENCIES, np.float64)
        # Frames that wait to be summed: spectra of the leak and of its source, and weights.
        self._leaked = np.empty((BLOCK, N_FREQUENCIES), np.complex64)
        self._source = np.empty((BLOCK, N_FREQUENCIES), np.complex64)
        self._weights = np.empty(BLOCK, np.float32)
        self._n_waiting = 0
        self._n_summed = 0
        self._n_seen = 0

    def push(self, leaked: Spectra, source: Spectra, active: NDArray[np.bool_], weights: Energies) -> None:
        """The next frames of both channels, and which of them count; `weights` are of these."""
        n_waiting = self._n_waiting + len(weights)
        free = slice(self._n_waiting, n_waiting)
        np.compress(active, leaked, axis=0, out=self._leaked[free])
        np.compress(active, source, axis=0, out=self._source[free])
        self._weights[free] = weights
        self._n_waiting = n_waiting
        self._n_seen += len(active)
        if self._n_seen % BLOCK == 0:
            self._sum_waiting()

    def transfer(self) -> Spectra | None:
        """The filter of all frames so far; None of fewer than `MIN_FRAMES`."""
        self._sum_waiting()
        if self._n_summed < MIN_FRAMES:
            return None
        transfer = np.zeros_like(self._cross)  # at frequencies where the source has nothing
        has_power = self._power > np.finfo(np.float64).tiny
        np.divide(self._cross, self._power, out=transfer, where=has_power)
        return np.asarray(transfer, np.complex64)

    def _sum_waiting(self) -> None:
        leaked = self._leaked[: self._n_waiting]
        source = self._source[: self._n_waiting]
        weights = self._weights[: self._n_waiting]
        power = source.real**2 + source.imag**2
        self._power += np.einsum("i,ij->j", weights, power)
        self._cross += np.einsum("i,ij,ij->j", weights, leaked, source.conj())
        self._n_summed += self._n_waiting
        self._n_waiting = 0


def _unexplained(left: Pcm, right: Pcm, energies: Energies, transfers: list[Spectra | None]) -> Energies:
    """Energy of each frame that the filter of the other channel doesn't explain, shape (2, frames)."""
    unexplained = energies.copy()
    if all(transfer is None for transfer in transfers):
        return unexplained
    block = np.empty((FFT_BLOCK, N_FREQUENCIES), np.complex64)
    for first, spectra in _both_spectra(left, right):
        count = len(spectra[0])
        residue = block[:count]
        for side, transfer in enumerate(transfers):
            if transfer is not None:
                np.multiply(transfer, spectra[1 - side], out=residue)
                np.subtract(spectra[side], residue, out=residue)
                unexplained[side, first : first + count] = _energy(residue)
    return unexplained


def _energy(spectra: Spectra) -> Energies:
    parts = spectra.view(np.float32)  # real and imaginary parts in turn
    return np.asarray(np.einsum("ij,ij->i", parts, parts), np.float32)


def _both_spectra(left: Pcm, right: Pcm) -> Iterator[tuple[int, tuple[Spectra, Spectra]]]:
    """Number of the first frame and windowed spectra of both channels, shape (frames, 1025), a few at a time.

    Frame k is centred on Silero's frame k.
    """
    from scipy import fft  # here: commands that read no sound can spare it

    window = np.hanning(WINDOW).astype(np.float32)
    piece = np.empty(_samples_of(FFT_BLOCK), np.float32)
    weighted = np.empty((FFT_BLOCK, WINDOW), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[::HOP]
    n_frames = _n_frames(left)

    def spectra(channel: Pcm, first: int, count: int) -> Spectra:
        _fill(piece, channel, first)
        np.multiply(frames[:count], window, out=weighted[:count])
        return np.asarray(fft.rfft(weighted[:count], axis=1), np.complex64)  # in single precision, unlike NumPy's

    for first in range(0, n_frames, FFT_BLOCK):
        count = min(FFT_BLOCK, n_frames - first)
        yield first, (spectra(left, first, count), spectra(right, first, count))


def _frame_energies(channel: Pcm) -> Energies:
    """Energy of each frame's spectrum by Parseval's theorem, without the spectrum, shape (frames,)."""
    window = np.hanning(WINDOW) ** 2
    weights = window.astype(np.float32).reshape(-1, HOP)
    parts = [np.zeros(0, np.float32)]
    n_frames = _n_frames(channel)
    for first in range(0, n_frames, BLOCK):
        count = min(BLOCK, n_frames - first)
        piece = np.empty(_samples_of(count), np.float32)
        _fill(piece, channel, first)
        hops = np.square(piece).reshape(-1, HOP) @ weights.T  # of each hop under each quarter of the window
        windows = np.lib.stride_tricks.sliding_window_view(hops, len(weights), axis=0)
        parts.append(np.einsum("ijj->i", windows) * np.float32(WINDOW / 2))
    return np.concatenate(parts)


def _n_frames(channel: Pcm) -> int:
    return -(-len(channel) // HOP)


def _samples_of(n_frames: int) -> int:
    return (n_frames - 1) * HOP + WINDOW


def _fill(piece: NDArray[np.float32], channel: Pcm, first: int) -> None:
    """Fill a piece with a channel's samples from where the window of frame `first` begins, zeros outside of it."""
    start = first * HOP - (WINDOW - HOP) // 2
    inside = channel[max(0, start) : start + len(piece)]
    before = max(0, -start)
    end = before + len(inside)
    piece[:before] = 0.0
    piece[before:end] = inside
    piece[end:] = 0.0


def _threshold(energies: Energies) -> float:
    """Energy of a frame within 20 dB of the loud ones (their 95th percentile)."""
    if not len(energies):
        return 1.0
    loud = float(np.percentile(energies, 95))
    return max(loud / 100.0, 1.0)
