"""Sound of the rebuilt conversation: pieces at their places in room tone, one loudness, no peak too high.

Each channel lies in room tone of its own, made of its quietest moments, so that nothing steps from a voice into
digital silence, a synthetic voice between its words neither. Joins are faded over 10 ms on the outside of a piece:
what a person said is never touched.
"""

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

#: Seconds of a fade, and of the shortest stretch of quiet that room tone is taken from.
FADE, QUIET = 0.01, 0.1

#: Seconds of room tone that are laid again and again; at least so long that it does not sound like a loop.
BED = 4.0

#: RMS (−78 dBFS) of the noise that stands in where a channel has no room tone of its own (a gated line).
FAINT = 10 ** (-78 / 20)

#: Seconds of digital silence after which a line is taken to be gated there: no room is that quiet.
GATED = 0.01

#: Peak that the re-voiced channel may reach (the last 16-bit step up to −1 dBFS), and dB that the limiter may take
#: off a peak.
CEILING, LIMIT_DB = math.floor(10 ** (-1 / 20) * 32768) / 32768, 6.0

#: Seconds that the limiter looks ahead.
LOOK_AHEAD = 0.005


class Piece(NamedTuple):
    """Samples that begin at sample `start` of the rebuilt channel.

    `lead` and `tail` are what came before and after them in the source, for the fades; empty for silence. `over`:
    the samples are a voice without a room, and are laid over the tone instead of in its place.
    """

    start: int
    samples: Samples
    lead: Samples
    tail: Samples
    over: bool = False


def lay(pieces: Sequence[Piece], tone: Samples, sample_rate: int) -> Samples:
    """Lay pieces into room tone. Inside a piece the result is the piece, bit for bit, unless it lies `over`.

    Where there is room, up to 10 ms of `lead` and `tail` are faded into the tone outside the piece.
    """
    channel = tone.copy()
    fade = round(FADE * sample_rate)
    ordered = sorted(pieces, key=lambda piece: piece.start)
    for index, piece in enumerate(ordered):
        end = piece.start + len(piece.samples)
        before = ordered[index - 1].start + len(ordered[index - 1].samples) if index else 0
        after = ordered[index + 1].start if index + 1 < len(ordered) else len(channel)
        _fade_in(channel, piece, min(fade, (piece.start - before) // 2, len(piece.lead)))
        _fade_out(channel, piece, end, min(fade, (after - end) // 2, len(piece.tail)))
    for piece in ordered:
        place = slice(piece.start, piece.start + len(piece.samples))
        channel[place] = tone[place] + piece.samples if piece.over else piece.samples
    return channel


def room_tone(
    channel: Samples, events: Sequence[tuple[int, int]], length: int, sample_rate: int, name: str
) -> Samples:
    """`length` samples of a channel's own room tone.

    Args:
        channel: float32, shape (n,).
        events: (start, end) in samples of everything that is not quiet.
        length: samples wanted.
        sample_rate: Hz.
        name: seeds the noise of a channel that has none, so that a conversation is always made alike.

    The softest half of the stretches between events is laid end to end with fades, forwards and backwards. What a
    gate has silenced is no tone.
    """
    stretches = _quiet(channel, [*events, *_gated(channel, sample_rate)], sample_rate)
    stretches.sort(key=lambda part: float(np.mean(part**2)))
    bed: list[Samples] = []
    for part in stretches[: max(1, (len(stretches) + 1) // 2)]:
        bed.append(part)
        if sum(map(len, bed)) >= BED * sample_rate:
            break
    if not bed:
        noise = np.random.default_rng(zlib.crc32(name.encode("utf-8"))).standard_normal(length)
        return (FAINT * noise).astype(np.float32)
    loop = _joined([one for part in bed for one in (part, part[::-1])], round(FADE * sample_rate))
    return np.resize(_joined([loop, loop[::-1]], round(FADE * sample_rate)), length).astype(np.float32)


class Levelled(NamedTuple):
    """Speech at its loudness: the pieces, the gain in dB that they got, and the dB that are still missing."""

    pieces: list[Samples]
    gain_db: float
    missing_db: float


def level(pieces: Sequence[Samples], source_lufs: float, own_lufs: float, sample_rate: int) -> Levelled:
    """Bring synthesised speech to the loudness of the source by one gain for all pieces.

    One gain, so that what is shouted stays louder than what is whispered. Where peaks would pass −1 dBFS a
    look-ahead limiter takes at most `LIMIT_DB` off them; what it can't is taken off the gain. What is missing is
    measured: the limiter itself makes speech a little softer.
    """
    peak = max((float(np.max(np.abs(piece), initial=0.0)) for piece in pieces), default=0.0)
    if not peak:
        return Levelled(list(pieces), 0.0, 0.0)
    # Where there was no speech before there is no loudness to match, but peaks are still too high.
    wanted = source_lufs - own_lufs if np.isfinite(source_lufs) and np.isfinite(own_lufs) else 0.0
    over_db = 20 * np.log10(peak / CEILING) + wanted
    gain_db = float(wanted - max(0.0, over_db - LIMIT_DB))
    levelled = [limit(piece * np.float32(10 ** (gain_db / 20)), sample_rate) for piece in pieces]
    reached = loudness(np.concatenate(levelled), sample_rate) - own_lufs if over_db > 0 else wanted
    return Levelled(levelled, gain_db, max(0.0, float(wanted - reached)) if np.isfinite(reached) else 0.0)


def limit(samples: Samples, sample_rate: int) -> Samples:
    """Take peaks over −1 dBFS down, smoothly and beginning before they come; other samples stay as they are."""
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    magnitude = np.abs(samples)
    if not len(samples) or float(magnitude.max()) <= CEILING:
        return samples
    width = 2 * round(LOOK_AHEAD * sample_rate) + 1
    needed = np.minimum(1.0, CEILING / np.maximum(magnitude, 1e-9))
    # The mean of a minimum over twice the width is nowhere above what the sample in its middle needs.
    smooth = uniform_filter1d(minimum_filter1d(needed, width), width)
    return np.asarray(samples * np.minimum(smooth, needed), np.float32)


def loudness(samples: Samples, sample_rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4, through pyloudnorm); −inf for silence.

    What is shorter than the gating block of 0.4 s is repeated until it fills one.
    """
    import pyloudnorm

    if not len(samples) or not np.any(samples):
        return float("-inf")
    block = round(0.4 * sample_rate) + 1
    enough = samples if len(samples) >= block else np.resize(samples, block)
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(enough.astype(np.float64)))


def _fade_in(channel: Samples, piece: Piece, width: int) -> None:
    if width > 0:
        ramp = np.linspace(0, 1, width + 2, dtype=np.float32)[1:-1]
        place = slice(piece.start - width, piece.start)
        channel[place] = (1 - ramp) * channel[place] + ramp * piece.lead[len(piece.lead) - width :]


def _fade_out(channel: Samples, piece: Piece, end: int, width: int) -> None:
    if width > 0:
        ramp = np.linspace(1, 0, width + 2, dtype=np.float32)[1:-1]
        place = slice(end, end + width)
        channel[place] = (1 - ramp) * channel[place] + ramp * piece.tail[:width]


def _quiet(channel: Samples, events: Sequence[tuple[int, int]], sample_rate: int) -> list[Samples]:
    """The stretches between events, without 50 ms at their edges, in pieces of at most half a second."""
    margin, shortest, longest = round(0.05 * sample_rate), round(QUIET * sample_rate), sample_rate // 2
    parts: list[Samples] = []
    at = 0
    for start, end in [*sorted(events), (len(channel), len(channel))]:
        low, high = at + margin, start - margin
        for first in range(low, high - shortest, longest):
            parts.append(channel[first : min(first + longest, high)])
        at = max(at, end)
    return [part for part in parts if len(part) >= shortest]


def _gated(channel: Samples, sample_rate: int) -> list[tuple[int, int]]:
    """Runs of at least `GATED` seconds that are nothing at all in 16 bits."""
    silent = np.abs(channel) < 0.5 / 32768
    edges = np.flatnonzero(np.diff(silent.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return [(start, end) for start, end in edges.tolist() if end - start >= GATED * sample_rate]


def _joined(parts: Sequence[Samples], fade: int) -> Samples:
    """Parts end to end, each faded into the next."""
    joined = parts[0]
    for part in parts[1:]:
        width = min(fade, len(joined) // 2, len(part) // 2)
        ramp = np.linspace(0, 1, width + 2, dtype=np.float32)[1:-1]
        middle = joined[len(joined) - width :] * (1 - ramp) + part[:width] * ramp
        joined = np.concatenate((joined[: len(joined) - width], middle, part[width:]))
    return joined
