"""Loudness and room tone: pieces put at their places in a channel, levelled and limited."""

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.spans import touched_frames, true_runs

# Mixing the rebuilt conversation: pieces at their places in room tone, one loudness, no peak too high.
#
# Each channel has its own room tone, taken where neither speaker is audible, so that no voice stops in digital
# silence, not even a synthetic one between its words. A channel that is kept stays the recording between its
# events, too. Joins are faded over 10 ms outside of events: recorded speech is never touched.


#: Seconds of a fade.
FADE = 0.01

#: Seconds of a frame whose level and spectrum are measured.
FRAME = 0.02

#: Peak that the resynthesised channel may reach: the last 16-bit step up to −1 dBFS.
CEILING = math.floor(10 ** (-1 / 20) * 32768) / 32768


class Piece(NamedTuple):
    """Samples that begin at sample `start` of the rebuilt channel.

    `lead` and `tail` came before and after them in the source, for the fades; they are empty for silence. With
    `over` the samples are a voice without a room, and are laid over the tone instead of in its place.
    """

    start: int
    samples: Samples
    lead: Samples
    tail: Samples
    over: bool = False


def lay(pieces: Sequence[Piece], tone: Samples, sample_rate: int) -> Samples:
    """Lay pieces into room tone. Inside a piece the result is the piece, bit for bit, unless it is `over`.

    Where there is room, up to 10 ms of `lead` and `tail` are faded into the tone outside the piece.
    """
    channel = tone.copy()
    fade = round(FADE * sample_rate)
    ordered = sorted(pieces, key=lambda piece: piece.start)
    previous_end = 0
    next_starts = [piece.start for piece in ordered[1:]] + [len(channel)]
    for piece, next_start in zip(ordered, next_starts, strict=False):
        end = piece.start + len(piece.samples)
        space_before = (piece.start - previous_end) // 2
        space_after = (next_start - end) // 2
        n_lead = max(0, min(fade, space_before, len(piece.lead)))
        n_tail = max(0, min(fade, space_after))
        _fade_in(channel, piece.start, piece.lead[len(piece.lead) - n_lead :])
        _fade_out(channel, end, piece.tail[:n_tail])
        previous_end = end
    for piece in ordered:
        end = piece.start + len(piece.samples)
        window = slice(piece.start, end)
        channel[window] = tone[window] + piece.samples if piece.over else piece.samples
    return channel


def rearrange(
    recording: Samples,
    events: Sequence[tuple[int, int, int]],
    tone: Samples,
    length: int,
    sample_rate: int,
    replaced: Sequence[tuple[int, int]] = (),
) -> Samples:
    """Return `length` samples of a recording whose events begin elsewhere, with its own background between them.

    Events are the recording's, bit for bit. Between two of them so is the background, except around one point: a
    stretch that shrinks loses its quietest part, and one that grows by over two fades gets room tone at its
    quietest point (by less: a repetition). Seams are faded over 10 ms.

    Args:
        recording: float32, shape (n,).
        events: (start, end, new start) in samples. In the result they don't overlap, except where two that overlap
            in the recording keep their distance.
        tone: room tone, at least as long as the recording and the result.
        length: samples wanted.
        sample_rate: Hz.
        replaced: (start, end) in samples of the recording where room tone takes the place of the background, as it
            does where a gate has silenced the line.
    """
    fade = round(FADE * sample_rate)
    background = recording.copy()
    is_replaced = np.zeros(len(recording), bool)
    for start, end in [*replaced, *_gated(recording, sample_rate)]:
        is_replaced[max(0, start) : max(0, end)] = True
    for start, end, _ in events:
        is_replaced[start:end] = False
    for start, end in true_runs(is_replaced).tolist():
        steps = np.arange(1, end - start + 1, dtype=np.float32)
        ramp = np.minimum(1.0, steps / (fade + 1))
        # A fade of equal power, since the background and the tone have nothing in common.
        angle = np.float32(math.pi / 2) * np.minimum(ramp, ramp[::-1])
        room = tone[start:end]
        mixed = np.cos(angle) * background[start:end] + np.sin(angle) * room
        is_faded = ramp * ramp[::-1] < 1
        background[start:end] = np.where(is_faded, mixed, room)
    channel = np.empty(length, np.float32)
    position = 0  # in the recording
    new_position = 0  # in the result
    ordered = sorted(events, key=lambda event: (event[2], event[0]))
    ordered.append((len(recording), len(recording), length))
    for start, end, new_start in ordered:
        if new_start > new_position:
            gap_tone = tone[new_position:new_start]
            gap = _resized(background, position, max(position, start), gap_tone, fade)
            channel[new_position:new_start] = gap
        new_end = new_start + end - start
        channel[new_start:new_end] = recording[start:end]
        position = max(position, end)
        new_position = max(new_position, new_end)
    return channel


#: Seconds of the shortest stretch of quiet that room tone is taken from.
QUIET = 0.1

#: Seconds beside a channel's own events that are no room tone.
EDGE = 0.05

#: Percentile of the quiet frames that is the level of the room.
ROOM_SHARE = 25

#: dB over the level of the room up to which a frame is room tone. In steady noise 20 ms frames differ by less;
#: breaths and clicks exceed it.
STEADY_DB = 4.0

#: Largest sample of a frame of room tone over the RMS of the room. Noise exceeds it once in a million samples; a
#: tick that does would be audible again with every repetition.
PEAK = 5.0

#: Seconds of room tone below which noise with the same spectrum is made instead of repeating it.
#: Repetitions of noise are audible up to periods of about one second (Guttman & Julesz 1963, "Lower limits of
#: auditory periodicity analysis").
LEAST_BED = 1.0

#: The least number of frames from which a spectrum is taken.
LEAST_FRAMES = 10

#: Share of the frames that are softest in each frequency band, where the other speaker's leak covers every pause:
#: speech leaves each band free for longer than that.
SOFTEST = 0.1

#: RMS (−78 dBFS) of the noise in place of room tone where a channel has none (a gated line).
FAINT = 10 ** (-78 / 20)


def room_tone(
    channel: Samples,
    events: Sequence[tuple[int, int]],
    length: int,
    sample_rate: int,
    name: str,
    leaks: Sequence[tuple[int, int]] = (),
) -> Samples:
    """Return `length` samples of a channel's own room tone.

    Args:
        channel: float32, shape (n,).
        events: (start, end) in samples of everything that its own speaker does.
        length: samples wanted.
        sample_rate: Hz.
        name: seeds the noise, so that the same conversation always gets the same.
        leaks: (start, end) in samples of where the other speaker's voice leaks into this channel.

    Steady stretches in which nobody is audible are joined with fades, forwards and backwards. Where they
    are shorter than `LEAST_BED` in all, the tone is noise with their spectrum; without any, with the spectrum of
    the channel while its own speaker is silent, as far as the leak leaves it free. Stretches that a
    gate has silenced are no tone; a channel of which nothing is left gets noise of `FAINT`.
    """
    size = round(FRAME * sample_rate)
    whole = len(channel) // size * size
    frames = channel[:whole].reshape(-1, size)
    levels = frame_levels(frames.ravel(), size)
    margin = round(EDGE * sample_rate)
    own_events = [(start - margin, end + margin) for start, end in events]
    free = ~touched_frames(len(frames), [*own_events, *_gated(channel, sample_rate)], size)
    quiet = free & ~touched_frames(len(frames), leaks, size)
    steady = quiet.copy()
    if quiet.any():
        room = np.percentile(levels[quiet], ROOM_SHARE)
        steady &= levels <= room * 10 ** (STEADY_DB / 10)
        steady &= np.max(np.abs(frames), axis=1) <= PEAK * math.sqrt(room)
    stretches = []
    for start, end in true_runs(steady).tolist():
        if (end - start) * size >= QUIET * sample_rate:
            stretches.append(frames[start:end].ravel())
    if sum(map(len, stretches)) >= LEAST_BED * sample_rate:
        return _repeated(stretches, length, sample_rate)
    rng = np.random.default_rng(zlib.crc32(name.encode("utf-8")))
    if np.count_nonzero(steady) >= LEAST_FRAMES:
        power = _spectra(frames[steady]).mean(axis=0)
        return _noise(power, float(levels[steady].mean()), length, rng)
    if np.count_nonzero(free) >= LEAST_FRAMES:
        # The power of noise in a band is distributed exponentially: its mean follows from any quantile.
        softest = np.quantile(_spectra(frames[free]), SOFTEST, axis=0)
        power = softest / -math.log(1 - SOFTEST)
        softest_level = float(np.quantile(levels[free], SOFTEST))
        return _noise(power, min(float(power.mean()), softest_level), length, rng)
    faint = FAINT * rng.standard_normal(length)
    return faint.astype(np.float32)


class Levelled(NamedTuple):
    """Speech at its loudness: the pieces, the gain in dB that they got, and the dB that are still missing."""

    pieces: list[Samples]
    gain_db: float
    missing_db: float


#: dB that the limiter may take off a peak.
LIMIT_DB = 6.0


def level(pieces: Sequence[Samples], source_lufs: float, own_lufs: float, sample_rate: int) -> Levelled:
    """Bring synthesised speech to the loudness of the source by one gain for all pieces.

    One gain, so that what is shouted stays louder than what is whispered. Where peaks would pass −1 dBFS a
    look-ahead limiter takes at most `LIMIT_DB` off them; the rest is taken off the gain. The missing loudness is
    measured, as the limiter itself makes speech a little softer.
    """
    peaks = [float(np.max(np.abs(piece), initial=0.0)) for piece in pieces]
    peak = max(peaks, default=0.0)
    if not peak:
        return Levelled(list(pieces), 0.0, 0.0)
    # Where there was no speech before there is no loudness to match, but peaks are still too high.
    is_known = np.isfinite(source_lufs) and np.isfinite(own_lufs)
    wanted_db = source_lufs - own_lufs if is_known else 0.0
    over_db = 20 * np.log10(peak / CEILING) + wanted_db
    gain_db = float(wanted_db - max(0.0, over_db - LIMIT_DB))
    factor = np.float32(10 ** (gain_db / 20))
    levelled = [limit(piece * factor, sample_rate) for piece in pieces]
    reached_db = wanted_db
    if over_db > 0:
        reached_db = loudness(np.concatenate(levelled), sample_rate) - own_lufs
    missing_db = max(0.0, float(wanted_db - reached_db)) if np.isfinite(reached_db) else 0.0
    return Levelled(levelled, gain_db, missing_db)


#: Seconds that the limiter looks ahead.
LOOK_AHEAD = 0.005


def limit(samples: Samples, sample_rate: int) -> Samples:
    """Take peaks over −1 dBFS down, smoothly and beginning before they come; other samples stay as they are."""
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    magnitude = np.abs(samples)
    if not len(samples) or float(magnitude.max()) <= CEILING:
        return samples
    width = 2 * round(LOOK_AHEAD * sample_rate) + 1
    needed = CEILING / np.maximum(magnitude, CEILING)
    # The mean of a minimum over twice the width is nowhere above what the sample in its middle needs.
    smooth = uniform_filter1d(minimum_filter1d(needed, width), width)
    limited = samples * np.minimum(smooth, needed)
    return np.asarray(limited, np.float32)


def loudness(samples: Samples, sample_rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4, through pyloudnorm); −inf for silence.

    Samples shorter than the gating block of 0.4 s are repeated until they fill one.
    """
    import pyloudnorm

    gating_block = math.ceil(0.4 * sample_rate)
    enough = np.resize(samples, max(len(samples), gating_block))
    meter = pyloudnorm.Meter(sample_rate)
    return float(meter.integrated_loudness(enough.astype(np.float64)))


def _rising_ramp(width: int) -> Samples:
    """Return `width` steps between 0 and 1, without both."""
    return np.linspace(0, 1, width + 2, dtype=np.float32)[1:-1]


def _fade_in(channel: Samples, start: int, lead: Samples) -> None:
    """Fade the samples that come before `start` in the source into the channel."""
    ramp = _rising_ramp(len(lead))
    window = slice(start - len(lead), start)
    channel[window] = (1 - ramp) * channel[window] + ramp * lead


def _fade_out(channel: Samples, end: int, tail: Samples) -> None:
    """Fade the samples that come from `end` on in the source into the channel."""
    ramp = np.linspace(1, 0, len(tail) + 2, dtype=np.float32)[1:-1]
    window = slice(end, end + len(tail))
    channel[window] = (1 - ramp) * channel[window] + ramp * tail


def _resized(background: Samples, first: int, last: int, tone: Samples, fade: int) -> Samples:
    """Make the background from `first` to `last` as long as `tone`; its first and last samples stay."""
    gap = background[first:last]
    taken = len(gap) - len(tone)
    half = fade // 2
    if not taken:
        return gap
    low = half + max(0, -taken)
    high = min(len(gap), len(tone)) - half
    if taken > 0 or (taken >= -2 * fade and low <= high):
        cut = _quietest(gap, low, high, min(0, taken), max(0, taken), half)
        return _spliced(gap, taken, cut, half)
    point = _quietest(gap, fade, len(gap) - fade, 0, 0, half)
    end = point - taken
    width = min(fade, -taken // 2)
    seam = first + point
    resized = tone.copy()
    _fade_out(resized, point, background[seam : seam + width])
    _fade_in(resized, end, background[max(0, seam - width) : seam])
    resized[:point] = gap[:point]
    resized[end:] = gap[point:]
    return resized


def _spliced(gap: Samples, taken: int, cut: int, half: int) -> Samples:
    """Return a gap without the `taken` samples after `cut` (negative: with those before it twice), faded there."""
    spliced = np.concatenate((gap[:cut], gap[cut + taken :]))
    width = max(0, min(half, cut + min(0, taken), len(spliced) - cut))
    ramp = _rising_ramp(2 * width)
    before = gap[cut - width : cut + width]
    after = gap[cut + taken - width : cut + taken + width]
    spliced[cut - width : cut + width] = (1 - ramp) * before + ramp * after
    return spliced


def _quietest(gap: Samples, low: int, high: int, before: int, after: int, half: int) -> int:
    """Return the point from `low` to `high` with the least energy from `before` to `after` it, and `half` beside.

    It is found in steps of `half`, which is enough for a fade. Where `low` is over `high`, it is half-way between.
    """
    if low >= high:
        return (low + high) // 2
    blocks = frame_levels(gap, half).astype(np.float64)
    energy = np.concatenate(([0.0], np.cumsum(blocks)))
    points = np.arange(low, high + 1, half)
    starts = np.maximum((points + before - half) // half, 0)
    ends = np.minimum(-(-(points + after + half) // half), len(blocks))
    return int(points[np.argmin(energy[ends] - energy[starts])])


#: Seconds of room tone that are repeated.
BED = 4.0


def _repeated(stretches: list[Samples], length: int, sample_rate: int) -> Samples:
    """Return `length` samples of the longest stretches, end to end with fades, each forwards and backwards."""
    fade = round(FADE * sample_rate)
    bed: list[Samples] = []
    bed_length = 0
    for stretch in sorted(stretches, key=len, reverse=True):
        bed.append(stretch)
        bed.append(stretch[::-1])
        bed_length += len(stretch)
        if bed_length >= BED * sample_rate:
            break
    loop = _joined(bed, fade)
    period = _joined([loop, loop[::-1]], fade)
    return np.resize(period, length).astype(np.float32)


def _noise(power: NDArray[np.float64], level: float, length: int, rng: np.random.Generator) -> Samples:
    """Noise of a mean square `level` with a power spectrum at equal steps from 0 Hz to half the rate."""
    from scipy.signal import fftconvolve

    size = 2 * (len(power) - 1)
    response = np.fft.irfft(np.sqrt(power), size)
    kernel = np.roll(response, size // 2) * np.hanning(size + 1)[:-1]
    energy = max(float(np.sum(kernel**2)), np.finfo(np.float64).tiny)
    kernel *= math.sqrt(level / energy)
    white = rng.standard_normal(length + size - 1)
    return np.asarray(fftconvolve(white, kernel, mode="valid"), np.float32)


#: The greatest number of frames from which a spectrum is taken, evenly spread: an hour has 180,000.
MOST_FRAMES = 3000


def _spectra(frames: Samples) -> NDArray[np.float64]:
    """Power of frames in each band, shape (frames, bands); white noise has its mean square in every band."""
    step = -(-len(frames) // MOST_FRAMES)
    even_width = frames.shape[1] // 2 * 2
    chosen = frames[::step, :even_width]
    window = np.hanning(even_width)
    spectra = np.fft.rfft(chosen * window, axis=1)
    powers = np.abs(spectra) ** 2 / np.sum(window**2)
    return np.asarray(powers, np.float64)


#: Seconds of digital silence after which a line is taken to be gated there: no room is that quiet.
GATED = 0.01


def _gated(channel: Samples, sample_rate: int) -> list[tuple[int, int]]:
    """Return the runs of at least `GATED` seconds that are digital silence in 16 bits."""
    runs = true_runs(np.abs(channel) < 0.5 / 32768).tolist()
    shortest = GATED * sample_rate
    return [(start, end) for start, end in runs if end - start >= shortest]


def _joined(parts: Sequence[Samples], fade: int) -> Samples:
    """Join parts end to end, each faded into the next."""
    joined = parts[0]
    for part in parts[1:]:
        width = min(fade, len(joined) // 2, len(part) // 2)
        ramp = _rising_ramp(width)
        seam = len(joined) - width
        middle = joined[seam:] * (1 - ramp) + part[:width] * ramp
        joined = np.concatenate((joined[:seam], middle, part[width:]))
    return joined


# Loudness and true peak of a clip, and the one gain that brings it to −23 LUFS.
#
# Nothing but a gain is done to a performance: where −23 LUFS would break the ceiling of −1 dBTP the gain is
# lowered instead of limiting, because a limiter takes the attack from a shout and what is missing can be read
# from a column. Speech seldom gets there: its peaks are 12 to 20 dB over its loudness, the ceiling is 22 dB
# over the target.


#: LUFS (EBU R128, programme loudness).
TARGET_LUFS = -23.0

#: dBTP (EBU R128, maximum true-peak level).
CEILING_DBTP = -1.0

#: Seconds of the momentary window (EBU Tech 3341).
MOMENTARY = 0.4

#: Seconds from one momentary window to the next (ITU-R BS.1770-4's overlap of 75 %).
STEP = 0.1

#: Seconds under which a clip's loudness is its momentary maximum: of fewer than four blocks the gate of BS.1770
#: can't distinguish a pause from speech. Not more, although momentary loudness is also used for longer clips: on
#: the bundled conversations its maximum is 0.9 LU over the integrated loudness at 0.7 s but 2.6 LU at 3 s, so the
#: clips of a corpus on this side of 3 s would come out audibly softer than those on the other.
SHORT = 0.7

#: Oversampling at which true peaks are read (ITU-R BS.1770-4, Annex 2).
OVERSAMPLING = 4

#: dB of a step that is too small to be taken.
_SMALLEST_STEP_DB = 0.01

#: What rounding to 16 bits may add to a true peak: half a step a sample, summed by the interpolation.
_ROUNDING = 2 / 32768


class LevelledClip(NamedTuple):
    """A clip after its gain: its samples, the gain in dB, loudness in LUFS and true peak in dBTP."""

    samples: Samples
    gain_db: float
    lufs: float
    true_peak_dbtp: float


def clip_loudness(samples: Samples, sample_rate: int) -> float:
    """Loudness in LUFS of one channel of shape (n,) as a mono signal; −inf for silence or under the gate.

    It is integrated (ITU-R BS.1770-4); a clip shorter than `SHORT` has its momentary maximum.
    """
    if len(samples) >= SHORT * sample_rate:
        return loudness(samples, sample_rate)
    width = round(MOMENTARY * sample_rate)
    step = round(STEP * sample_rate)
    last = max(len(samples) - width, 0)
    windows = (samples[start : start + width] for start in range(0, last + 1, step))
    return max(loudness(window, sample_rate) for window in windows)


def true_peak_dbtp(samples: Samples, sample_rate: int) -> float:
    """Return the highest level between and at the samples of a channel, in dB of full scale; −inf for silence."""
    if not len(samples):
        return -math.inf
    between = soxr.resample(samples, sample_rate, OVERSAMPLING * sample_rate)
    peak_between = float(np.abs(between).max(initial=0.0))
    return decibels(max(peak_between, float(np.abs(samples).max())))


def levelled(samples: Samples, sample_rate: int, target_lufs: float, ceiling_dbtp: float) -> LevelledClip | None:
    """Bring one channel of shape (n,) to a loudness by one gain, as far as the ceiling for true peaks allows.

    None where it has no loudness (silence, or all of it under the absolute gate of −70 LUFS).
    """
    before = clip_loudness(samples, sample_rate)
    if not math.isfinite(before):
        return None
    peak_db = true_peak_dbtp(samples, sample_rate)
    ceiling = 10 ** (ceiling_dbtp / 20) - _ROUNDING
    room_db = decibels(ceiling) - peak_db
    gain_db = 0.0
    lufs = before
    louder = samples
    # What was under the absolute gate before may be over it now, so the loudness is not simply the sum.
    for _ in range(8):  # nearly always the first meets the target
        step_db = min(target_lufs - lufs, room_db - gain_db)
        if abs(step_db) < _SMALLEST_STEP_DB:
            break
        gain_db += step_db
        louder = samples * np.float32(10 ** (gain_db / 20))
        lufs = clip_loudness(louder, sample_rate)
    return LevelledClip(louder, gain_db, lufs, peak_db + gain_db)


def decibels(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
