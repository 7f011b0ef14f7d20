"""The clock of a transcript that is not that of its recording: late, too fast or slow, or with jumps.

A path of offsets is searched along which words fit speech, by dynamic programming (Viterbi) over stretches of the
transcript. The words of both sides share one clock. If a path of both fits each side as well as one of that side
alone, the clock is the transcript's; if not, the sides differ (`core.sound.side_shift`).
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.spans import TimeSpan, rounded_frames
from dailytalk_contiguous.core.words.cues import FRAME, shared_time, spoken_spans

#: The words of a side, and the speech of the side that they may be, by rising start.
SideTimes = tuple[Sequence[TimeSpan], Sequence[TimeSpan]]

#: Seconds of the transcript that have one offset, and the frames by which the next one may drift away: 5 %.
STRETCH = 5.0
MOST_DRIFT = 5

#: Seconds by which a transcript may be late or early.
FURTHEST = 900.0

#: What a jump of the clock costs, in frames that fit wholly instead of half; a drift costs 1 a frame.
JUMP_COST = 100.0

#: The weight of a frame without a word beside one of a word: people breathe, laugh, and say what is not written.
WEIGHT_OF_PAUSE = 0.6

#: The share of their time that the words of each side share with its speech on the clock that was found, and by
#: how much less than on a clock of the side alone. Set on the four examples: on 15 other clocks at least 0.94, and
#: at most 0.01 less; other transcripts share at most 0.82, and sides that are 0.5 s apart at least 0.04 less.
LEAST_FIT = 0.85
NEARLY_EQUAL = 0.03

#: The same for words that are compared once, as nobody says on which side they are: others share up to 0.95.
LEAST_FIT_AS_ONE = 0.97

#: Seconds by which lines are elsewhere, as people mark them up to 0.3 s early, and the share of such stretches.
LEAST_LATE = 0.4
LEAST_STRETCHES = 0.1

#: How much more of their time the words must share with the speech on another clock.
CLEARLY_MORE = 0.02

#: Seconds by which stretches may be off the line of a steady clock, and off each other between two jumps.
OFF_LINE = 0.3

#: Jumps that are named, from the first on.
JUMPS_SHOWN = 3


class TranscriptClock(NamedTuple):
    """The times of a transcript compared with those of its recording.

    Attributes:
        stretches: the start and the end of each stretch, in seconds of the transcript, shape (n, 2).
        lateness: seconds by which the words of each stretch are later than their speech; below 0, earlier.
        is_exchanged: whether the words of each side are in the speech of the other one.
    """

    stretches: NDArray[np.float64]
    lateness: NDArray[np.float64]
    is_exchanged: bool = False


def transcript_clock(cues: Sequence[Cue], speech: Mapping[str, Sequence[TimeSpan]]) -> TranscriptClock | None:
    """Return the clock of a transcript if it, or its sides, clearly differ from those of the recording.

    Args:
        cues: cues of one channel or of two; two whose sides are open are those of both sides, in either order.
        speech: starts and ends of the speech of each channel, in seconds.
    """
    words: dict[str, list[TimeSpan]] = {}
    for channel in sorted({cue.channel for cue in cues if cue.text}):
        words[channel] = spoken_spans(cue for cue in cues if cue.channel == channel)
    is_open = not words.keys() <= speech.keys()
    channels = CHANNELS if is_open else tuple(words)
    if len(words) != len(channels):
        words = {"": spoken_spans(cues)}
        channels = ("",)
        speech = {"": sorted(itertools.chain.from_iterable(speech.values()))}
    for order in (channels, channels[::-1]):
        sides = [(spans, speech[channel]) for spans, channel in zip(words.values(), order, strict=True)]
        clock = _common_clock(sides)
        if clock is None:
            continue
        clock = clock._replace(is_exchanged=order != channels and not is_open)
        is_elsewhere = np.mean(np.abs(clock.lateness) >= LEAST_LATE) >= LEAST_STRETCHES
        is_better = fit_on_clock(sides, clock) >= shared_time(sides) + CLEARLY_MORE
        return clock if clock.is_exchanged or (is_elsewhere and is_better) else None
    return None


def _common_clock(sides: Sequence[SideTimes]) -> TranscriptClock | None:
    """Return the clock of all sides; None if one of them fits badly, or better on a clock of its own."""
    clock = best_clock(sides)
    least = LEAST_FIT if len(sides) > 1 else LEAST_FIT_AS_ONE
    for side in sides:
        fit = fit_on_clock([side], clock)
        own_fit = fit_on_clock([side], best_clock([side]))
        if fit < least or fit < own_fit - NEARLY_EQUAL:
            return None
    return clock


def fit_on_clock(sides: Sequence[SideTimes], clock: TranscriptClock) -> float:
    """Return the time that words on the clock of the recording share with its speech (`shared_time`)."""
    moved: list[SideTimes] = []
    for words, speech in sides:
        spans = np.array(words, np.float64).reshape(-1, 2)
        # The frame of a start may begin a little after it.
        stretches = np.searchsorted(clock.stretches[:, 0], spans[:, 0] + FRAME, side="right") - 1
        spans -= clock.lateness[stretches, np.newaxis]
        moved.append(([(start, end) for start, end in spans.tolist()], speech))
    return shared_time(moved)


def best_clock(sides: Sequence[SideTimes], furthest_seconds: float = FURTHEST) -> TranscriptClock:
    """Search the offsets of stretches at which the words of all sides together fit their speech best."""
    from scipy.signal import correlate

    stretches = _stretches(sides)
    n_frames = stretches[-1][1]
    furthest = round(furthest_seconds / FRAME)
    signals = []
    for words, speech in sides:
        is_word = rounded_frames(n_frames, words, FRAME)
        is_speech = rounded_frames(n_frames + 2 * furthest, speech, FRAME, -furthest_seconds)
        signals.append((np.where(is_word, 1.0, -WEIGHT_OF_PAUSE), np.where(is_speech, 0.5, -0.5)))
    scores = np.zeros(2 * furthest + 1)
    offsets = np.arange(len(scores))
    origins = []
    for first, last in stretches:
        origin = np.full(len(scores), scores.argmax())
        best = np.full(len(scores), scores.max() - JUMP_COST)
        for drift in sorted(range(-MOST_DRIFT, MOST_DRIFT + 1), key=abs):
            before = (offsets - drift).clip(0, len(scores) - 1)
            drifted = scores[before] - abs(drift)
            is_better = drifted > best
            best[is_better] = drifted[is_better]
            origin[is_better] = before[is_better]
        origins.append(origin)
        scores = best
        for weight, activity in signals:
            scores = scores + correlate(activity[first : last + 2 * furthest], weight[first:last], "valid", "fft")
    index = int(scores.argmax())
    late = []
    for origin in reversed(origins):
        late.append((furthest - index) * FRAME)
        index = int(origin[index])
    return TranscriptClock(np.array(stretches) * FRAME, np.array(late[::-1]))


def _stretches(sides: Sequence[SideTimes]) -> list[tuple[int, int]]:
    """Return the first frame of each stretch of a transcript and that after its last word."""
    stretches: list[tuple[int, int]] = []
    for start, end in sorted(itertools.chain.from_iterable(words for words, _ in sides)):
        first = round(start / FRAME)
        last = max(first + 1, round(end / FRAME))
        if stretches and first - stretches[-1][0] < STRETCH / FRAME:
            first = stretches[-1][0]
            last = max(last, stretches.pop()[1])
        stretches.append((first, last))
    return stretches


class SteadyClock(NamedTuple):
    """Seconds by which a transcript is late at its second 0, and by which it becomes later in each second."""

    lateness: float
    slope: float


def steady_clock(clock: TranscriptClock) -> SteadyClock | None:
    """Return the line on which a clock is, level where it comes to little; None for a clock that jumps."""
    from scipy.stats import theilslopes

    times = clock.stretches.mean(axis=1)
    slope, late = theilslopes(clock.lateness, times)[:2]
    off_line = np.abs(clock.lateness - late - slope * times)
    if np.percentile(off_line, 95) > OFF_LINE:
        return None
    if abs(slope) * np.ptp(times) < LEAST_LATE:
        return SteadyClock(float(np.median(clock.lateness)), 0.0)
    return SteadyClock(float(late), float(slope))


def clock_problem(clock: TranscriptClock) -> tuple[str, str]:
    """Return in words what is wrong with the times or the sides of a transcript, and what to do with it."""
    problems: list[str] = []
    remedies: list[str] = []
    if clock.is_exchanged:
        problems.append("the words of each side are in the speech of the other one")
        remedies.append("exchange left and right")
    steady = steady_clock(clock)
    if steady is None:
        for start, late in _jumps(clock)[:JUMPS_SHOWN]:
            direction = "late" if late > 0 else "early"
            problems.append(f"it is {abs(late):.1f} s {direction} from {start:.0f} s on")
            remedies.append(f"shift its lines from {start:.0f} s on by {-late:+.1f} s")
    elif steady.slope:
        rate = 1 - steady.slope
        pace = "fast" if rate < 1 else "slow"
        problems.append(f"its clock runs {100 * abs(1 / rate - 1):.2g} % {pace}")
        remedies.append(f"multiply its times by {rate:.4f}")
        if abs(steady.lateness) >= LEAST_LATE:
            remedies.append(f"shift them by {-steady.lateness:+.1f} s")
    elif abs(steady.lateness) >= LEAST_LATE:
        direction = "earlier" if steady.lateness > 0 else "later"
        problems.append(f"every line fits {abs(steady.lateness):.1f} s {direction}")
        remedies.append(f"shift it by {-steady.lateness:+.1f} s")
    return ", ".join(problems), ", ".join(remedies)


def _jumps(clock: TranscriptClock) -> list[tuple[float, float]]:
    """Return where a clock becomes late, or early, by so many seconds."""
    edges = [0]
    for number, late in enumerate(clock.lateness.tolist()):
        if abs(late - clock.lateness[edges[-1]]) > OFF_LINE:
            edges.append(number)
    jumps = [(0.0, 0.0)]
    for first, late in zip(edges, np.split(clock.lateness, edges[1:]), strict=True):
        level = float(np.median(late))
        if abs(level - jumps[-1][1]) >= LEAST_LATE:
            jumps.append((float(clock.stretches[first, 0]), level))
    return jumps[1:]
