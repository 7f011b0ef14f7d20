"""Separation of both sides of a conversation from the other speaker's voice, which leaks into them.

A telephone's echo, a loudspeaker beside a microphone, or two microphones in one room carry a voice into the other
channel, up to 0.5 s late. Both sides are decided together, in four steps:

1. **Is there a leak, and how late is it?** The lag that both channels have in common tells, and how two recorders
   in one room differ, which are made alike first (`core.sound.leak_lags`).
2. **Its linear part is taken away.** One long filter of the other channel, fitted where the other person speaks
   and this side is quietest, explains the waveform of an echo or a room, also beneath this side's own words.
3. **Does it change?** A leak that begins, ends, or becomes louder or later is followed: its filter is that of the
   speech some seconds around, its gain that of the moment (`core.sound.leak_filter`).
4. **What remains is judged by its power**, as that of a coded echo or a moving microphone. A frame is this side's
   own if its bands stand out of the room and of what remains of the leak. In doubt, speech is kept.

Each section of two minutes is decided by itself, and a leak that changes by stretches of 16 s. Where no leak is
heard, the samples stay as they came in. Limits were set on some calls and are reported on others
(`benchmarks/leaks.py`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.record import LeakSpan
from dailytalk_contiguous.core.sound.leak_filter import (
    EARLIEST_LEAK,
    FIT_HOP,
    FIT_WINDOW,
    FRAME,
    LATEST_LEAK,
    LEAST_EXPLAINED,
    fitted_filter,
    followed_leak,
    squared_magnitudes,
    window_spectra,
    without_leaks,
)
from dailytalk_contiguous.core.sound.leak_lags import (
    LOUDER_DB,
    NOTHING,
    SAME_LAG,
    LeakLags,
    RecorderDifference,
    leak_lags,
    recorder_difference,
)
from dailytalk_contiguous.core.sound.levels import frame_levels, offset_of
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm, Samples, pcm_to_float, to_pcm
from dailytalk_contiguous.core.spans import true_runs

#: Powers of the bands of frames as mean squares (full scale is 1), shape (frames, bands).
Bands = NDArray[np.float32]


class Leak(NamedTuple):
    """The other speaker's voice in a channel.

    Attributes:
        level_db: level of the leak against its source.
        delay: seconds after its source at which the leak is strongest.
        spans: when it is heard, and how loud and late it is then; one ends where the other speaker is silent for
            some seconds.
        power: mean square of the leak in each frame of `FRAME` samples, whatever else is there (full scale is 1).
        is_other: true for frames of the separated channel that hold the rest of the leak and nothing else.
    """

    level_db: float
    delay: float
    spans: list[LeakSpan]
    power: NDArray[np.float32]
    is_other: NDArray[np.bool_]

    @property
    def loud_frames(self) -> NDArray[np.bool_]:
        """True for frames with as much of the leak as in the other speaker's loud moments, down to `LOUD_DB`."""
        loud = float(np.percentile(self.power[self.power > 0], 95)) if self.power.any() else 0.0
        return (self.power > 0) & (self.power >= loud * 10 ** (-LOUD_DB / 10))


class SeparatedSides(NamedTuple):
    """Both sides of a recording, the left one first.

    Attributes:
        channels: channels without the other speaker's voice, 16 kHz int16, shape (n,). A channel into which
            nothing leaks is the array that came in.
        leaks: the leak into each channel; None where nothing is heard of the other speaker.
        is_one_signal: whether both channels are one signal (a mono file saved as stereo), which is not separated.
    """

    channels: tuple[Pcm, Pcm]
    leaks: tuple[Leak | None, Leak | None]
    is_one_signal: bool


class _Part(NamedTuple):
    """A section of a channel.

    Attributes:
        power: power of the leak in each frame.
        is_other: as in `Leak`.
        source: mean square of its source in each frame, at its delay; 0 where that is not loud.
        delays: delay of the leak in each frame.
        samples: samples without the leak; None where nothing leaks.
        is_changing: whether the leak begins, ends or changes.
        delay: delay of the leak in seconds, where it is strongest.
        leak_power: sum of the power of the leak over the frames in which the other speaker is alone.
        source_power: sum of the power of its source over the same frames.
    """

    power: NDArray[np.float32]
    is_other: NDArray[np.bool_]
    source: NDArray[np.float32]
    delays: NDArray[np.float64]
    samples: Pcm | None = None
    is_changing: bool = False
    delay: float = 0.0
    leak_power: float = 0.0
    source_power: float = 0.0


#: Seconds of a section at most.
LONGEST_SECTION = 120.0


def separate_sides(left: Pcm, right: Pcm) -> SeparatedSides:
    """Take the other speaker's voice out of each channel, and say where some of it remains.

    Both are 16 kHz int16, shape (n,). One gain for both, or an offset, makes no difference.
    """
    recorded = (left, right)
    offsets = [np.float32(offset_of(channel) / 32768) for channel in recorded]
    if _is_one_signal(recorded, offsets):
        return SeparatedSides(recorded, (None, None), is_one_signal=True)
    difference = _difference_by_stretches(recorded, offsets)
    if difference is None:
        return _separated(recorded, offsets, None)
    n_late = round(difference.later * ANALYSIS_RATE)
    n_beside = math.ceil(abs(n_late) / FRAME) * FRAME
    before = (max(0, n_late), max(0, -n_late))
    in_step = []
    for channel, offset, n_before in zip(recorded, offsets, before, strict=True):
        silence = np.int16(round(float(offset) * 32768))
        in_step.append(np.pad(channel, (n_before, n_beside - n_before), constant_values=silence))
    separated = _separated((in_step[0], in_step[1]), offsets, difference)
    own_left, in_left = _as_recorded(left, separated.channels[0], separated.leaks[0], before[0])
    own_right, in_right = _as_recorded(right, separated.channels[1], separated.leaks[1], before[1])
    return SeparatedSides((own_left, own_right), (in_left, in_right), is_one_signal=False)


def _as_recorded(recorded: Pcm, separated: Pcm, leak: Leak | None, n_before: int) -> tuple[Pcm, Leak | None]:
    """Return a side that was separated with so many samples before it, and its leak, as it was recorded."""
    if leak is None:
        return recorded, None
    first = round(n_before / FRAME)
    frames = slice(first, first + math.ceil(len(recorded) / FRAME))
    samples = separated[n_before : n_before + len(recorded)]
    spans = []
    for span in leak.spans:
        start = max(0.0, span.start - n_before / ANALYSIS_RATE)
        end = min(len(recorded), span.end * ANALYSIS_RATE - n_before) / ANALYSIS_RATE
        if start < end:
            spans.append(LeakSpan(start, end, span.leak_db, span.leak_seconds))
    return samples, leak._replace(spans=spans, power=leak.power[frames], is_other=leak.is_other[frames])


def _separated(
    recorded: tuple[Pcm, Pcm], offsets: Sequence[np.float32], difference: RecorderDifference | None
) -> SeparatedSides:
    """Separate sides that are in step, whose recorders may have other gains."""
    left, right = recorded
    n_sections = max(1, math.ceil(len(left) / (LONGEST_SECTION * ANALYSIS_RATE)))
    length = max(FRAME, math.ceil(len(left) / n_sections / FRAME) * FRAME)
    left_parts: list[_Part] = []
    right_parts: list[_Part] = []
    for start in range(0, len(left), length):
        end = min(start + length, len(left))
        left_part, right_part = _separate_section(recorded, offsets, difference, start, end)
        left_parts.append(left_part)
        right_parts.append(right_part)
    return SeparatedSides(
        channels=(_joined(left, left_parts), _joined(right, right_parts)),
        leaks=(_whole_leak(left_parts), _whole_leak(right_parts)),
        is_one_signal=False,
    )


#: Samples of a stretch by which recorders are compared (15 s), and the most of them, spread over the recording.
COMPARED_STRETCH = 240_000
MOST_STRETCHES = 8


def _difference_by_stretches(
    recorded: tuple[Pcm, Pcm], offsets: Sequence[np.float32]
) -> RecorderDifference | None:
    n_samples = len(recorded[0])
    if n_samples < COMPARED_STRETCH / 2:
        return None
    n_stretches = min(MOST_STRETCHES, math.ceil(n_samples / COMPARED_STRETCH))
    starts = np.linspace(0, max(0, n_samples - COMPARED_STRETCH), n_stretches).astype(int).tolist()
    sides = []
    for channel, offset in zip(recorded, offsets, strict=True):
        stretches = [pcm_to_float(channel[start : start + COMPARED_STRETCH]) - offset for start in starts]
        sides.append(np.concatenate(stretches))
    return recorder_difference(sides[0], sides[1])


def leaked_spans(frames: NDArray[np.bool_], sample_rate: int) -> list[tuple[int, int]]:
    """Return (start, end) of every run of true frames, in samples at a rate in Hz."""
    frame = FRAME / ANALYSIS_RATE * sample_rate
    return [(round(start * frame), round(end * frame)) for start, end in true_runs(frames).tolist()]


#: Samples before a section that its leaks may come from: there and back.
BEFORE_SECTION = math.ceil(2 * LATEST_LEAK * ANALYSIS_RATE / FRAME) * FRAME


def _separate_section(
    recorded: tuple[Pcm, Pcm],
    offsets: Sequence[np.float32],
    difference: RecorderDifference | None,
    start: int,
    end: int,
) -> tuple[_Part, _Part]:
    """Separate both sides of a section, which are judged from `start` to `end`; offsets and levels are kept."""
    left_gain = np.float32(10 ** (difference.louder_db / 40) if difference else 1)
    gains = (left_gain, 1 / left_gain)
    first = max(0, start - BEFORE_SECTION)
    n_before = (start - first) // FRAME
    sides = []
    for channel, offset, gain in zip(recorded, offsets, gains, strict=True):
        sides.append((pcm_to_float(channel[first:end]) - offset) * gain)
    lags = leak_lags(sides[0], sides[1])
    steady = _without_steady_leaks(sides, lags)
    followed = sides if difference else _without_followed_leaks(sides, steady, lags)
    changing = _changing_parts(sides, steady, followed, lags)
    separated = [followed[side] if side in changing else steady[side] for side in (0, 1)]
    n_frames = math.ceil((end - start) / FRAME)
    parts = []
    for side in (0, 1):
        part = changing.get(side)
        if part is None:
            part = _judged_section(sides[side], separated[side], separated[1 - side], lags[side])
        elif separated[1 - side] is not followed[1 - side]:  # the other side's leak does not change
            part = _judged_stretches(sides[side], separated[side], separated[1 - side], lags[side])
        if part is None:
            nothing = np.zeros(n_frames, np.float32)
            parts.append(_Part(nothing, np.zeros(n_frames, bool), nothing, np.zeros(n_frames)))
            continue
        in_section = part._replace(
            power=part.power[n_before:] / gains[side] ** 2,
            is_other=part.is_other[n_before:],
            source=part.source[n_before:] / gains[1 - side] ** 2,
            delays=part.delays[n_before:],
            samples=to_pcm(separated[side][n_before * FRAME :] / gains[side] + offsets[side]),
            leak_power=part.leak_power / float(gains[side]) ** 2,
            source_power=part.source_power / float(gains[1 - side]) ** 2,
        )
        parts.append(in_section)
    return parts[0], parts[1]


def _changing_parts(
    sides: Sequence[Samples], steady: Sequence[Samples], followed: Sequence[Samples], lags: Sequence[LeakLags]
) -> dict[int, _Part]:
    """Return the sides into which a leak is heard that changes, as judged where it is taken out of both sides."""
    changing = {}
    for side in (0, 1):
        if followed[side] is sides[side]:
            continue
        if lags[side].are_changing or _explains_more(sides, steady, followed, side):
            part = _judged_stretches(sides[side], followed[side], followed[1 - side], lags[side])
            if part is not None:
                changing[side] = part
    return changing


def _without_steady_leaks(sides: Sequence[Samples], lags: Sequence[LeakLags]) -> Sequence[Samples]:
    """Take the linear part of a leak that stays the same for the section out of both sides."""
    if not any(of_side.section for of_side in lags):
        return sides
    filters: list[Samples | None] = [None, None]
    for side in (0, 1):
        if lags[side].section:
            filters[side] = fitted_filter(sides[1 - side], sides[side], lags[side].section[0])
    return without_leaks(sides, filters)


#: Seconds: twice `EARLIEST_LEAK`, by which filters of both ways may be early.
ONE_ROOM = 2 * EARLIEST_LEAK


def _without_followed_leaks(
    sides: Sequence[Samples], separated: Sequence[Samples], lags: Sequence[LeakLags]
) -> Sequence[Samples]:
    """Take the linear part of a leak that changes within the section out of both sides.

    Its source is the other side without a steady leak: with one, the source would hold this side's own voice. Of
    two microphones in one room, whose leaks are there and back within `ONE_ROOM`, that can't be told apart.
    """
    strongest_lags = [of_side.strongest() for of_side in lags]
    if all(strongest_lags) and sum(map(min, strongest_lags)) <= ONE_ROOM:
        return sides
    followed = []
    for side, samples in enumerate(sides):
        if strongest_lags[side] and _is_partly_left(sides, separated, side):
            samples = samples - followed_leak(separated[1 - side], samples, strongest_lags[side])
        followed.append(samples)
    return followed


#: Seconds in which a leak that is followed is compared with a steady one, by frames that tell of a leak: in which
#: the other speaker is alone, or which the followed leak explains by half.
COMPARED = 8.0

#: The share of the power of a frame that is better explained, and the share of those frames from which on the leak
#: changes. In 144 steady leaks of one way it is less, in those that begin, end or change 0.5 at least.
MORE_EXPLAINED = 0.05
BETTER_SHARE = 0.4


def _is_partly_left(sides: Sequence[Samples], steady: Sequence[Samples], side: int) -> bool:
    """Whether some of a leak is heard in some seconds of a side where a steady one is taken out."""
    recorded, steady_remaining, other_alone = _compared_frames(sides, steady, side)
    room = np.percentile(recorded, ROOM_SHARE) / ROOM_RATIO
    is_heard = recorded >= room * 10 ** (AUDIBLE_DB / 10)
    return _is_often(other_alone & is_heard & (steady_remaining >= MORE_EXPLAINED), other_alone)


def _explains_more(
    sides: Sequence[Samples], steady: Sequence[Samples], followed: Sequence[Samples], side: int
) -> bool:
    """Whether a leak that is followed explains some seconds of a side better than a steady one."""
    recorded, steady_remaining, other_alone = _compared_frames(sides, steady, side)
    remaining = frame_levels(followed[side], FRAME) / recorded
    is_told = other_alone | (remaining < 1 - LEAST_EXPLAINED)
    return _is_often(is_told & (steady_remaining - remaining >= MORE_EXPLAINED), is_told)


def _compared_frames(
    sides: Sequence[Samples], steady: Sequence[Samples], side: int
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.bool_]]:
    """Return the power of each frame, the share of it without a steady leak, and whether the other is alone."""
    recorded = np.maximum(frame_levels(sides[side], FRAME), NOTHING)
    other = frame_levels(steady[1 - side], FRAME)
    is_loud = other >= np.percentile(other, 95) * 10 ** (-LOUD_DB / 10)
    other_alone = is_loud & (other >= recorded * 10 ** (LOUDER_DB / 10))
    return recorded, frame_levels(steady[side], FRAME) / recorded, other_alone


def _is_often(is_better: NDArray[np.bool_], is_told: NDArray[np.bool_]) -> bool:
    """Whether frames are better in `BETTER_SHARE` of those that tell within some `COMPARED` seconds."""
    around = np.ones(round(COMPARED * ANALYSIS_RATE / FRAME))
    n_told = np.convolve(is_told, around, "same")
    n_better = np.convolve(is_better, around, "same")
    return bool((n_better >= BETTER_SHARE * np.maximum(n_told, len(around) / 8)).any())


def _joined(channel: Pcm, parts: Sequence[_Part]) -> Pcm:
    """Return a channel with the samples of its separated parts in place of the recorded ones."""
    if all(part.samples is None for part in parts):
        return channel
    joined = channel.copy()
    start = 0
    for part in parts:
        if part.samples is not None:
            joined[start : start + len(part.samples)] = part.samples
        start += len(part.power) * FRAME
    return joined


def _whole_leak(parts: Sequence[_Part]) -> Leak | None:
    """Combine the leaks of a channel's parts."""
    if all(part.samples is None for part in parts):
        return None
    leak_power = math.fsum(part.leak_power for part in parts)
    source_power = math.fsum(part.source_power for part in parts)
    strongest = max(parts, key=lambda part: part.leak_power)
    return Leak(
        level_db=10 * math.log10(leak_power / source_power),
        delay=strongest.delay,
        spans=_leak_spans(parts),
        power=np.concatenate([part.power for part in parts]),
        is_other=np.concatenate([part.is_other for part in parts]),
    )


#: dB by which a leak may differ in the next stretch, and be the same.
SAME_LEAK_DB = 3.0

#: dB under its level in the section down to which a leak is heard: what is judged there may be softer still.
SOFTEST_DB = 25.0


def _leak_spans(parts: Sequence[_Part]) -> list[LeakSpan]:
    """Say when a leak is heard, and how loud and late it is then."""
    spans: list[LeakSpan] = []
    is_over = True
    part_start = 0
    for part in parts:
        n_frames = len(part.power)
        mean_share = part.leak_power / max(part.source_power, NOTHING)
        for first in range(0, n_frames, STRETCH_HOP):
            source = part.source[first : first + STRETCH_HOP]
            heard = np.flatnonzero(source)
            share = mean_share
            if part.is_changing and len(heard):
                share = float(part.power[first : first + STRETCH_HOP][heard].sum() / source.sum())
            if len(heard) < FEWEST_ALONE or share <= mean_share * 10 ** (-SOFTEST_DB / 10):
                is_over = True
                continue
            start = (part_start + first + int(heard[0])) * FRAME / ANALYSIS_RATE
            end = (part_start + first + int(heard[-1]) + 1) * FRAME / ANALYSIS_RATE
            level_db = 10 * math.log10(share)
            delay = float(part.delays[first])
            if not is_over and _is_same_leak(spans[-1], level_db, delay):
                spans[-1].end = end
            else:
                spans.append(LeakSpan(start, end, level_db, delay))
            is_over = False
        part_start += n_frames
    return spans


def _is_same_leak(span: LeakSpan, level_db: float, delay: float) -> bool:
    return abs(span.leak_db - level_db) <= SAME_LEAK_DB and abs(span.leak_seconds - delay) <= SAME_LAG


# What remains of a leak, by its power.


#: dB under the loud moments of the other speaker's voice (their 95th percentile) down to which it is loud.
LOUD_DB = 20.0

#: Percentile of the powers of a band where the other speaker is not loud, and its ratio to the mean of noise.
ROOM_SHARE = 10
ROOM_RATIO = 0.5

#: Percentile of the ratios of the power in a band to that of its source that is the level of what remains of a
#: leak. With a higher one, people who talk at once lose words; with a lower one, a microphone that moves makes
#: some.
REMAINS_SHARE = 60

#: A leak is heard where its loudest quarter of the bands is so many dB over the room.
LOUD_BANDS = 75
AUDIBLE_DB = 3.0


def _judged_section(recorded: Samples, separated: Samples, other: Samples, lags: LeakLags) -> _Part | None:
    """Judge what remains of a steady leak in a side; None where no leak is heard.

    `recorded` is the side as it came in; `separated` is without the linear part of the leak, as is the `other`
    side.
    """
    if not lags.section:
        return None
    return _judged_part(_whole_stretch(recorded, separated, other, lags.section), is_changing=False)


#: Frames of a stretch of a leak that changes (16 s), and from one to the next.
STRETCH = 500
STRETCH_HOP = 125


def _judged_stretches(recorded: Samples, separated: Samples, other: Samples, lags: LeakLags) -> _Part | None:
    """Judge what remains of a leak that changes in a side, as `_judged_section`.

    A frame is the other speaker's if one of the stretches with it says so.
    """
    whole = _whole_stretch(recorded, separated, other, lags.section)
    n_frames = len(whole.bands)
    power = np.zeros(n_frames, np.float32)
    is_other = np.zeros(n_frames, bool)
    delays = np.zeros(n_frames)
    parts = []
    for first in range(0, max(1, n_frames - STRETCH + STRETCH_HOP), STRETCH_HOP):
        last = min(first + STRETCH, n_frames)
        lags_there = lags.between(first / n_frames, last / n_frames)
        part = _judged_part(whole.between(first, last, lags_there), is_changing=True) if lags_there else None
        if part is not None:
            power[first:last] = np.maximum(power[first:last], part.power)
            is_other[first:last] |= part.is_other
            delays[first:last] = part.delay
            parts.append(part)
    if not parts:
        return None
    delay = max(parts, key=lambda part: part.leak_power).delay
    return _Part(
        power=power,
        is_other=is_other,
        source=_loud_source(whole.source, delay),
        delays=delays,
        is_changing=True,
        delay=delay,
        leak_power=math.fsum(part.leak_power for part in parts),
        source_power=math.fsum(part.source_power for part in parts),
    )


class _Stretch(NamedTuple):
    """Frames of a side that are judged together.

    Attributes:
        bands: powers of the side without the linear part of a leak.
        source: powers of the other side without its own.
        removed: powers of what was taken out.
        removed_levels: mean square of what was taken out in each frame.
        lags: of the leak in seconds.
    """

    bands: Bands
    source: Bands
    removed: Bands
    removed_levels: NDArray[np.floating]
    lags: Sequence[float]

    def between(self, first: int, last: int, lags: Sequence[float]) -> "_Stretch":
        frames = slice(first, last)
        bands, source, removed, levels = (values[frames] for values in self[:4])
        return _Stretch(bands, source, removed, levels, lags)


def _whole_stretch(recorded: Samples, separated: Samples, other: Samples, lags: Sequence[float]) -> _Stretch:
    removed = recorded - separated
    bands = _band_powers(separated)
    source = _band_powers(other)
    return _Stretch(bands, source, _band_powers(removed), frame_levels(removed, FRAME), lags)


#: Frames in which the other speaker is alone by which a stretch is judged (0.5 s).
FEWEST_ALONE = 16


def _judged_part(stretch: _Stretch, is_changing: bool) -> _Part | None:
    """Judge what remains of a leak in a stretch of a side; None where no leak is heard."""
    bands, source, linear, linear_levels, lags = stretch
    expected = _where_expected(source, lags)
    other_level = expected.sum(axis=1)
    if not other_level.any():
        return None
    loudest = np.percentile(other_level[other_level > 0], 95)
    is_loud = other_level >= loudest * 10 ** (-LOUD_DB / 10)
    other_alone = is_loud & (other_level >= bands.sum(axis=1) * 10 ** (LOUDER_DB / 10))
    if np.count_nonzero(other_alone) < (FEWEST_ALONE if is_changing else 1):
        return None
    soft = bands if is_loud.all() else bands[~is_loud]
    room = np.maximum(np.percentile(soft, ROOM_SHARE, axis=0) / ROOM_RATIO, NOTHING)
    remains = _remains(bands, expected, room, other_alone)
    if is_changing:  # what remains of a leak becomes louder and softer with what was taken out
        remains = np.maximum(remains, _remains(bands, linear, room, other_alone, most=1.0))
    leak = linear + remains
    if np.median(_heard_db(leak[other_alone], room)) < AUDIBLE_DB:
        return None
    is_other = _leak_only_frames(bands, remains, room)
    power = linear_levels + remains.sum(axis=1)
    linear_power = float(linear[other_alone].sum())
    remaining_power = float(remains[other_alone].sum())
    if linear_power > 0:  # more is this side's own voice: a filter explains the larger part of a leak
        remaining_power = min(remaining_power, linear_power)
    delay = max(0.0, lags[0])
    at_delay = _later(source, round(lags[0] * ANALYSIS_RATE / FRAME))
    return _Part(
        power=power.astype(np.float32),
        is_other=is_other,
        source=_loud_source(source, delay),
        delays=np.full(len(power), delay),
        delay=delay,
        leak_power=linear_power + remaining_power,
        source_power=float(at_delay[other_alone].sum()),
    )


#: dB under the loudest frame of a source within which its loud moments are: of who says little, all else is noise.
NEAR_LOUDEST_DB = 30.0


def _loud_source(source: Bands, delay: float) -> NDArray[np.float32]:
    """Return the mean square of a source in each frame so many seconds later, and 0 where it is not loud."""
    levels = _later(source, round(delay * ANALYSIS_RATE / FRAME)).sum(axis=1)
    near_loudest = levels[levels >= levels.max() * 10 ** (-NEAR_LOUDEST_DB / 10)]
    is_loud = levels >= np.percentile(near_loudest, 95) * 10 ** (-LOUD_DB / 10)
    return np.where(is_loud, levels, np.float32(0))


def _remains(
    bands: Bands, source: Bands, room: Bands, other_alone: NDArray[np.bool_], most: float = math.inf
) -> Bands:
    """Return the power of what remains of a leak: a source with one gain for each band."""
    ratios = (bands[other_alone] - room) / np.maximum(source[other_alone], NOTHING)
    gains = np.clip(np.percentile(ratios, REMAINS_SHARE, axis=0), 0.0, most)
    return np.asarray(gains * source)


#: Edges in Hz of the bands of a frame.
BAND_EDGES = np.geomspace(150.0, 4000.0, 14)

#: Samples of the window of a frame's spectrum.
BAND_WINDOW = 1024

#: Frames that are transformed at once, so that their spectra stay in the cache.
FRAMES_AT_ONCE = 256


def _band_powers(samples: Samples) -> Bands:
    """Return the power in each band of each frame of a channel; windows are centred on their frames."""
    from scipy import fft

    n_frames = math.ceil(len(samples) / FRAME)
    beside = (BAND_WINDOW - FRAME) // 2
    padded = np.pad(samples, (beside, beside + n_frames * FRAME - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, BAND_WINDOW)[::FRAME]
    window = np.hanning(BAND_WINDOW).astype(np.float32)
    scale = np.float32(2 / (BAND_WINDOW * np.sum(window**2)))  # by Parseval's theorem
    edges = np.round(BAND_EDGES / ANALYSIS_RATE * BAND_WINDOW).astype(int)
    powers = np.empty((n_frames, len(edges) - 1), np.float32)
    for first in range(0, n_frames, FRAMES_AT_ONCE):
        block = slice(first, first + FRAMES_AT_ONCE)
        spectra = fft.rfft(windows[block] * window, axis=1)[:, : edges[-1]]
        powers[block] = np.add.reduceat(squared_magnitudes(spectra), edges[:-1], axis=1) * scale
    return powers


#: dB by which a leak fades from a frame to the next: a room whose sound falls by 60 dB in half a second.
FADE_DB = 4.0

#: Frames in which it fades.
FADING_FRAMES = 12


def _where_expected(source: Bands, lags: Sequence[float]) -> Bands:
    """Return the power of a source where its leak is expected: at these lags, and fading behind them."""
    frames = np.array(lags) * ANALYSIS_RATE / FRAME
    delays = sorted({int(delay) for delay in (*np.floor(frames), *np.ceil(frames))})
    expected = np.zeros_like(source)
    for delay in range(delays[0], delays[-1] + FADING_FRAMES):
        nearest = max(earlier for earlier in delays if earlier <= delay)
        faded = _later(source, delay) * np.float32(10 ** (-FADE_DB * (delay - nearest) / 10))
        np.maximum(expected, faded, out=expected)
    return expected


def _later(frames: Bands, n_frames: int) -> Bands:
    """Move frames so many frames later, or earlier if below 0, with zeros in place of missing ones."""
    moved = np.zeros_like(frames)
    if n_frames >= 0:
        moved[n_frames:] = frames[: len(frames) - n_frames]
    else:
        moved[:n_frames] = frames[-n_frames:]
    return moved


#: dB over the room and what remains of a leak from which the bands of a frame are its speaker's own.
OWN_DB = 5.0

#: Frames on each side over which that is judged (0.16 s in all).
AROUND = 2


def _leak_only_frames(bands: Bands, remains: Bands, room: Bands) -> NDArray[np.bool_]:
    """True for frames in which the rest of a leak is heard, and most bands around hold nothing else."""
    over_leak = _decibels(bands / (room + remains))
    padded = np.pad(over_leak, ((AROUND, AROUND), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND + 1, axis=0)
    stands_out = np.median(windows, axis=(1, 2))
    is_heard = _heard_db(remains, room) >= AUDIBLE_DB
    return np.asarray(is_heard & (stands_out < OWN_DB))


def _heard_db(leak: Bands, room: Bands) -> NDArray[np.floating]:
    """Return the dB by which frames of a leak stand out of the room."""
    return np.asarray(np.percentile(_decibels(leak / room), LOUD_BANDS, axis=1))


def _decibels(ratios: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(10 * np.log10(np.maximum(ratios, np.finfo(np.float32).tiny)))


# One signal on both channels.


#: A stereo file whose channels explain each other this well, at nearly one level, is one signal twice.
SAME_SIGNAL = 0.98

#: dB by which the two may differ in level.
SAME_LEVEL_DB = 6.0

#: Windows by which this is decided: any two channels explain each other in one.
FEWEST_SAME_WINDOWS = 4
SAME_WINDOWS = 60


def _is_one_signal(recorded: tuple[Pcm, Pcm], offsets: Sequence[np.float32]) -> bool:
    """Whether two channels are one signal, except for a gain, a filter or some milliseconds."""
    starts = np.arange(0, len(recorded[0]) - FIT_WINDOW, FIT_HOP)
    if len(starts) < FEWEST_SAME_WINDOWS:
        return False
    every = math.ceil(len(starts) / SAME_WINDOWS)
    spectra = []
    for channel, offset in zip(recorded, offsets, strict=True):
        windows = [pcm_to_float(channel[start : start + FIT_WINDOW]) - offset for start in starts[::every]]
        first_samples = np.arange(len(windows)) * FIT_WINDOW
        spectra.append(window_spectra(np.concatenate(windows), first_samples))
    left_power, right_power = (float(squared_magnitudes(spectrum).sum()) for spectrum in spectra)
    if min(left_power, right_power) == 0:
        return False
    cross = np.einsum("ij,ij->j", spectra[1], spectra[0].conj())
    source_power = np.maximum(squared_magnitudes(spectra[0]).sum(axis=0), np.finfo(np.float32).tiny)
    explained = float((squared_magnitudes(cross) / source_power).sum()) / right_power
    difference_db = 10 * math.log10(left_power / right_power)
    return explained >= SAME_SIGNAL and abs(difference_db) < SAME_LEVEL_DB
