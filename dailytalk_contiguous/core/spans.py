"""Spans of time in which a speaker is audible: their arithmetic, the sound that a short one may borrow from its
neighbours, and sounds that are not speech.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Pcm

# Utterances from probabilities of speech: where they begin and end, and where a long one is cut.
#
# Starts and ends follow Silero's own rule (one threshold to begin, a lower one to end, padding on both sides), so
# that our segments are those of its authors. What comes after is ours: gaps that are no real pause are closed,
# and what is too long for a recogniser or a speech synthesiser is cut where it is quietest. Short utterances are
# never dropped here, because the "mm-hm"s are what full-duplex models learn from.


#: Silero's probability from which speech begins, and seconds of the shortest speech.
THRESHOLD = 0.5
MIN_SPEECH = 0.25

#: Silero's distance from the threshold that begins speech to the one that ends it.
HYSTERESIS = 0.15

#: Seconds of sound over which a cut looks for quiet: longer than the closure of a stop consonant (50-120 ms),
#: so that a pause between words wins over the middle of a word.
QUIET_SECONDS = 0.2

#: Even pieces are at most this share of the longest allowed: a length of just two pieces would leave only one
#: place to cut, even inside speech.
SLACK = 0.9

#: Seconds of a frame of synthesised speech; dB under the loud ones (their 95th percentile) at which one still
#: sounds: that keeps weak fricatives, which are 20-30 dB under vowels, and leaves out room tone. Seconds under
#: which a sound is a click.
VOICED_FRAME = 0.01
BELOW_LOUD_DB = 35.0
SHORTEST_SPAN = 0.02


def true_runs(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Start and end of every run of true values, shape (runs, 2)."""
    return np.flatnonzero(np.diff(flags, prepend=False, append=False)).reshape(-1, 2)


def touched_frames(count: int, spans: Iterable[tuple[float, float]], frame: float) -> NDArray[np.bool_]:
    """Which of `count` frames of a length any of the spans touches, in the same unit as these."""
    touched = np.zeros(count, bool)
    for start, end in spans:
        touched[max(0, int(start / frame)) : max(0, math.ceil(end / frame))] = True
    return touched


class Span(NamedTuple):
    """A stretch of one channel, in seconds. Pieces cut from one run of speech share its number `run`."""

    start: float
    end: float
    run: int


def speech_spans(
    probabilities: NDArray[np.float32],
    total: float,
    frame: float,
    threshold: float = THRESHOLD,
    min_speech: float = MIN_SPEECH,
    min_silence: float = 0.35,
    pad: float = 0.03,
) -> list[tuple[float, float]]:
    """Starts and ends of speech, in seconds, in order and without overlap.

    Args:
        probabilities: of speech, one a frame, in [0, 1], shape (frames,).
        total: seconds of the channel; nothing ends after it.
        frame: seconds that one probability covers.
        threshold: a run begins at a probability of at least this, and may end below it by `HYSTERESIS`.
        min_speech: seconds that a run (before padding) is longer than, or it is no speech.
        min_silence: seconds of silence that end a run; a shorter gap is closed, also one left after padding.
        pad: seconds added on both sides; where two runs are nearer than twice this they meet half-way.
    """
    runs = [
        (start, end)
        for start, end in _runs(probabilities, total, frame, threshold, min_silence)
        if end - start > min_speech
    ]
    spans: list[tuple[float, float]] = []
    for index, (start, end) in enumerate(runs):
        before = start - runs[index - 1][1] if index else math.inf
        after = runs[index + 1][0] - end if index + 1 < len(runs) else math.inf
        spans.append((max(0.0, start - min(pad, before / 2)), min(total, end + min(pad, after / 2))))
    return merge_gaps(spans, min_silence)


def merge_gaps(spans: Sequence[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Close every gap of at most `gap` seconds between spans that are in order."""
    merged: list[tuple[float, float]] = []
    for start, end in spans:
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def cut_long(
    spans: Sequence[tuple[float, float]], levels: NDArray[np.float32], frame: float, longest: float = 12.0
) -> list[Span]:
    """Cut spans longer than `longest` seconds at their quietest points; nothing is left out between pieces.

    Args:
        spans: starts and ends in seconds.
        levels: mean square of the channel in each frame, shape (frames,).
        frame: seconds a frame.
        longest: seconds.
    """
    width = max(1, round(QUIET_SECONDS / frame))
    smooth = np.convolve(levels, np.full(width, 1 / width, np.float32), mode="same").astype(np.float32)
    pieces: list[Span] = []
    for run, (start, end) in enumerate(spans):
        while end - start > longest:
            low, high = balanced_range(end - start, longest)
            cut = _quietest(smooth, frame, start + low, start + high)
            pieces.append(Span(start, cut, run))
            start = cut
        pieces.append(Span(start, end, run))
    return pieces


def balanced_range(length: float, longest: float) -> tuple[float, float]:
    """Where the first cut of `length` seconds may fall, from its beginning, for even pieces under `longest`.

    The rest must still fit into one piece fewer; within that, at most half a piece away from an even cut. There is
    always a choice: pieces are `SLACK` of the longest at most when they are even.
    """
    pieces = pieces_of(length, longest)
    even = length / pieces
    return max(length - (pieces - 1) * longest, 0.5 * even), min(longest, 1.5 * even)


def pieces_of(length: float, longest: float) -> int:
    """Into how many pieces `length` seconds are cut."""
    return math.ceil(length / (SLACK * longest)) if length > longest else 1


def frame_levels(samples: NDArray[np.float32], frame_samples: int) -> NDArray[np.float32]:
    """Mean square of each frame of a channel, shape (ceil(n / frame_samples),); the last is zero-padded."""
    padded = np.pad(samples, (0, -len(samples) % frame_samples)).reshape(-1, frame_samples)
    return np.asarray(np.einsum("ij,ij->i", padded, padded) / frame_samples, np.float32)


def pcm_levels(channel: Pcm, frame_samples: int) -> NDArray[np.float32]:
    """`frame_levels` of int16 samples, of which few are held as floats; full scale is 1."""
    step = 100 * frame_samples
    parts = [channel[start : start + step].astype(np.float32) for start in range(0, len(channel), step)]
    levels = [frame_levels(part / np.float32(32768), frame_samples) for part in parts]
    return np.concatenate([np.zeros(0, np.float32), *levels])


def voiced_spans(samples: NDArray[np.float32], sample_rate: int) -> list[tuple[float, float]]:
    """Where there is sound in clean, synthesised speech (mono in [-1, 1]): spans in seconds, in order.

    Empty for silence (nothing above -80 dBFS). For recorded speech use `speech_spans`.
    """
    if not len(samples):
        return []
    length = round(VOICED_FRAME * sample_rate)
    levels = 10 * np.log10(frame_levels(samples, length) + 1e-20)
    loud = float(np.percentile(levels[levels > levels.max() - 60], 95))
    runs = true_runs(levels > max(loud - BELOW_LOUD_DB, -80.0)) * length
    spans = runs.clip(max=len(samples)) / sample_rate
    return [(start, end) for start, end in spans.tolist() if end - start >= SHORTEST_SPAN]


def speech_seconds(
    span: tuple[float, float], probabilities: NDArray[np.float32], frame: float, threshold: float = THRESHOLD
) -> float:
    """Seconds of a span whose frames are speech; at most the span's length, and at least one frame of it."""
    first = int(span[0] / frame)
    last = max(int(span[0] / frame) + 1, math.ceil(span[1] / frame))
    spoken = float(np.count_nonzero(probabilities[first:last] >= threshold)) * frame
    return min(max(spoken, frame), span[1] - span[0])


def _runs(
    probabilities: NDArray[np.float32], total: float, frame: float, threshold: float, min_silence: float
) -> list[tuple[float, float]]:
    """Silero's hysteresis, without its padding and without its limit on length."""
    lower = max(threshold - HYSTERESIS, 0.01)
    runs: list[tuple[float, float]] = []
    start: int | None = None
    silent_since: int | None = None
    for index, probability in enumerate(probabilities.tolist()):
        if probability >= threshold:
            silent_since = None
            start = index if start is None else start
        elif probability < lower and start is not None:
            silent_since = index if silent_since is None else silent_since
            if (index - silent_since) * frame >= min_silence:
                runs.append((start * frame, silent_since * frame))
                start = None
                silent_since = None
    if start is not None:
        runs.append((start * frame, total))
    return runs


def _quietest(smooth: NDArray[np.float32], frame: float, low: float, high: float) -> float:
    first = math.ceil(low / frame)
    last = max(first + 1, math.floor(high / frame))
    window = smooth[first:last]
    if not len(window):
        return (low + high) / 2
    return min(max((first + int(np.argmin(window)) + 0.5) * frame, low), high)


# Speech that a short utterance may borrow from its own speaker's neighbouring speech.
#
# Models that rate affect are unreliable on less than about three seconds, and most utterances of a conversation
# are shorter than that. What is next to one, by the same speaker, was said in the same mood; what is further
# away may not have been, so the reach is short.


class Taken(NamedTuple):
    """A part of span number `span` of a list, by its start and end in seconds."""

    span: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def borrowed(
    spans: Sequence[tuple[float, float]], index: int, wanted: float, reach: float
) -> tuple[list[Taken], list[Taken]]:
    """The parts of a speaker's other spans that utterance `index` borrows, before and after it, in order.

    Args:
        spans: starts and ends of one speaker's utterances in seconds, in order and without overlap.
        index: of the utterance.
        wanted: seconds that it should have in all; one that is longer borrows nothing.
        reach: seconds from its edges within which speech is borrowed.

    Half of what is missing comes from each side; where one side has less, the other gives more.
    """
    start, end = spans[index]
    missing = wanted - (end - start)
    if missing <= 0:
        return [], []
    before = _clipped(spans, range(index), start - reach, start)
    after = _clipped(spans, range(index + 1, len(spans)), end, end + reach)
    from_before = min(_length(before), max(missing / 2, missing - _length(after)))
    from_after = min(_length(after), missing - from_before)
    return _last(before, from_before), _first(after, from_after)


def _clipped(spans: Sequence[tuple[float, float]], indices: range, low: float, high: float) -> list[Taken]:
    return [
        Taken(index, max(spans[index][0], low), min(spans[index][1], high))
        for index in indices
        if spans[index][1] > low and spans[index][0] < high
    ]


def _length(parts: Sequence[Taken]) -> float:
    return sum(part.seconds for part in parts)


def _first(parts: Sequence[Taken], seconds: float) -> list[Taken]:
    taken: list[Taken] = []
    for part in parts:
        if seconds <= 0:
            break
        taken.append(part._replace(end=min(part.end, part.start + seconds)))
        seconds -= part.seconds
    return taken


def _last(parts: Sequence[Taken], seconds: float) -> list[Taken]:
    taken: list[Taken] = []
    for part in reversed(parts):
        if seconds <= 0:
            break
        taken.append(part._replace(start=max(part.start, part.end - seconds)))
        seconds -= part.seconds
    return taken[::-1]


# What speech activity misses on the kept channel: laughter, breaths, coughs.
#
# A full-duplex model learns from them, so they are a separate kind of event: no text, no tag, never cut. A sound
# is a run that stands out of the channel's room tone and is not so soft, against its speech, that it would be the
# rustle of a sleeve; what leaked in from the other speaker is not his sound. Next to an utterance a short run is
# enough: what speech activity missed of a word.


#: Samples of a frame: 10 ms, so that a run of 80 ms differs from one of 60.
FRAME = 160
FRAME_SECONDS = FRAME / ANALYSIS_RATE

#: Seconds that stand out; less is a click, or two. dB above room tone; dB under the speech level.
SHORTEST = 0.08
ABOVE_TONE_DB = 12.0
UNDER_SPEECH_DB = 30.0

#: Seconds from an utterance within which less is enough, and how much: the release of a plosive 70 ms before the
#: vowel, the end of a breath.
NEAR = 0.15
SHORTEST_NEAR = 0.02

#: Seconds between two runs that are one sound (the syllables of a laugh), and from an utterance that it joins.
GAP = 0.1
JOIN = 0.2

#: Share of the quiet frames that count as room tone: the softest.
TONE_SHARE = 25

#: Mean square below which there is nothing (−90 dBFS): a gated telephone line is digital zero between words.
NOTHING = 1e-9


def find_sounds(
    channel: Pcm, utterances: Sequence[tuple[float, float]], leaked: NDArray[np.bool_] | None = None
) -> list[tuple[float, float]]:
    """Starts and ends, in seconds, of the sounds of a channel outside its utterances, in order.

    Args:
        channel: 16 kHz int16, shape (n,).
        utterances: starts and ends of its utterances in seconds.
        leaked: 10 ms frames that are the other speaker's leaked voice, or None.
    """
    levels = pcm_levels(channel, FRAME)
    spoken = touched_frames(len(levels), utterances, FRAME_SECONDS)
    if spoken.all():
        return []
    tone = max(float(np.percentile(levels[~spoken], TONE_SHARE)), NOTHING)
    speech = float(levels[spoken].mean()) if spoken.any() else 0.0
    floor = max(tone * 10 ** (ABOVE_TONE_DB / 10), speech / 10 ** (UNDER_SPEECH_DB / 10))
    loud = (levels >= floor) & ~spoken
    if leaked is not None:
        loud &= ~leaked[: len(loud)]
    runs = [
        (start * FRAME_SECONDS, min(end * FRAME_SECONDS, len(channel) / ANALYSIS_RATE))
        for start, end in true_runs(loud).tolist()
    ]
    sounds = outside(merge_gaps(runs, GAP), utterances)
    return [run for run in sounds if _lasts(run, loud, utterances)]


# Where an utterance sounds.
#
# Speech activity ends late (it waits for the voice to come back, and is padded) and may begin in the middle of a
# soft consonant. For a recogniser that is good, for the length of a gap it is not. The edges are those of the
# sound: from the first to the last of what is over the room and not far under the utterance's loudest moment.


#: Samples of a step: edges are known to 5 ms. Levels are those of two of them, which a low voice's period is in.
STEP = 80
STEP_SECONDS = STEP / ANALYSIS_RATE

#: dB under the loudest moment of an utterance from which nothing of it counts: what people trim speech at.
UNDER_PEAK_DB = 40.0

#: Standard deviations over a steady room from which sound is no chance, and dB over a changing one from which it
#: is sound in any case.
DEVIATIONS = 2.5
MOST_OVER_ROOM_DB = ABOVE_TONE_DB

#: Shares of the quiet moments, the softest first, and where they are in a normal distribution, by which a room's
#: level and its deviation are known, however much of what speech activity left out is sound.
ROOM_SHARES = (5, 25)
ROOM_PLACES = (-1.645, -0.674)

#: Seconds of the first and of the last of an utterance that a room hides for each dB that it is over what counts:
#: medians of phrases that nine readers say in silence, for 8 dB.
RISE = 0.0003
FADE = 0.001


def sounding(
    channel: Pcm,
    utterances: Sequence[tuple[float, float]],
    leaked: NDArray[np.bool_] | None = None,
) -> list[tuple[float, float]]:
    """From when to when each utterance sounds, in seconds; as it is where nothing of it is over the room.

    Args:
        channel: 16 kHz int16, shape (n,).
        utterances: starts and ends of its utterances in seconds, in order and without overlap.
        leaked: steps of 5 ms that are the other speaker's leaked voice, or None.
    """
    steps = pcm_levels(channel, STEP)
    if leaked is not None:
        steps = np.where(leaked[: len(steps)], np.float32(0), steps)
    levels = 10 * np.log10(np.maximum((steps + np.append(steps[1:], 0)) / 2, NOTHING))
    quiet = ~touched_frames(len(levels), utterances, STEP_SECONDS)
    if leaked is not None:
        quiet &= ~leaked[: len(levels)]
    low, high = np.percentile(levels[quiet], ROOM_SHARES) if quiet.any() else (-90.0, -90.0)
    deviation = (high - low) / (ROOM_PLACES[1] - ROOM_PLACES[0])
    over = high + min((DEVIATIONS - ROOM_PLACES[1]) * deviation, MOST_OVER_ROOM_DB)
    edges: list[tuple[float, float]] = []
    for number, (start, end) in enumerate(utterances):
        earliest = max(start - JOIN, utterances[number - 1][1] if number else 0.0)
        latest = min(end + JOIN, utterances[number + 1][0] if number + 1 < len(utterances) else math.inf)
        first = int(earliest / STEP_SECONDS)
        last = math.ceil(min(latest, len(levels) * STEP_SECONDS) / STEP_SECONDS)
        counts = levels[int(start / STEP_SECONDS) : math.ceil(end / STEP_SECONDS)].max() - UNDER_PEAK_DB
        least = max(over, counts)
        runs = [
            ((first + begin + 0.5) * STEP_SECONDS, (first + finish + 0.5) * STEP_SECONDS)
            for begin, finish in true_runs(levels[first:last] >= least).tolist()
            if (finish - begin + 1) * STEP_SECONDS >= SHORTEST_NEAR - 1e-6
        ]
        own = [run for run in merge_gaps(runs, GAP) if run[0] < end and run[1] > start]
        if not own:
            edges.append((start, end))
            continue
        hidden = float(least - counts)
        edges.append((max(earliest, own[0][0] - RISE * hidden), min(own[-1][1] + FADE * hidden, latest)))
    return edges


#: Probability of speech from which a frame before a start belongs to it, if it sounds: an "h", an "s" or a softly
#: begun word has little, and a breath less. Set on four speakers of TIMIT, and reported on four others, on planted
#: phrases and on readers (`benchmarks/edges.py`).
ONSET = 0.02

#: Seconds that an onset lasts at most.
LONGEST_ONSET = 0.3


def with_onsets(
    utterances: Sequence[tuple[float, float]],
    edges: Sequence[tuple[float, float]],
    probabilities: NDArray[np.float32],
    frame_seconds: float,
) -> list[tuple[float, float]]:
    """Utterances that begin where their sound does, if speech activity has heard something of it.

    Args:
        utterances: starts and ends in seconds, in order and without overlap.
        edges: from when to when each of them sounds (`sounding`).
        probabilities: of speech, of each frame of the channel.
        frame_seconds: length of a frame.
    """
    begun: list[tuple[float, float]] = []
    for (start, end), (sounds_from, _) in zip(utterances, edges, strict=True):
        earliest = max(start - LONGEST_ONSET, begun[-1][1] if begun else 0.0)
        frame = math.floor(start / frame_seconds)
        while frame > 0 and probabilities[frame - 1] >= ONSET:
            frame -= 1
        begins = max(frame * frame_seconds, sounds_from, earliest)
        begun.append((min(start, begins), end))
    return begun


def sound_blocks(
    utterances: Sequence[tuple[float, float, int]], sounds: Sequence[tuple[float, float]]
) -> tuple[list[int], list[int]]:
    """Which events of a kept channel move as one: block numbers of the utterances, and of the sounds.

    `utterances` are (start, end, run) in order: pieces of one run share a block; an utterance with a negative run
    (it was not cut) has its own. A sound within `JOIN` seconds of an utterance shares its block; others have
    their own. No block is negative.
    """
    free = max([-1, *(run for _, _, run in utterances)]) + 1
    numbers: list[int] = []
    for _, _, run in utterances:
        numbers.append(run if run >= 0 else free)
        free += run < 0
    blocks_of_sounds: list[int] = []
    for start, end in sounds:
        near = [
            (max(first - end, start - last, 0.0), number)
            for (first, last, _), number in zip(utterances, numbers, strict=True)
            if max(first - end, start - last) <= JOIN
        ]
        if near:
            blocks_of_sounds.append(min(near)[1])
        else:
            blocks_of_sounds.append(free)
            free += 1
    return numbers, blocks_of_sounds


def _lasts(run: tuple[float, float], loud: NDArray[np.bool_], utterances: Sequence[tuple[float, float]]) -> bool:
    """Whether a run is long enough for a sound: next to an utterance it is probably a part of it."""
    first_frame = round(run[0] / FRAME_SECONDS)
    last_frame = round(run[1] / FRAME_SECONDS)
    # Two clicks do not become a sound by the quiet between them.
    heard = float(np.count_nonzero(loud[first_frame:last_frame])) * FRAME_SECONDS
    seconds = min(run[1] - run[0], heard)
    if seconds > SHORTEST + 1e-6:
        return True
    away = min(max(first - run[1], run[0] - last) for first, last in (*utterances, (math.inf, math.inf)))
    return seconds >= SHORTEST_NEAR - 1e-6 and away <= NEAR + 1e-6


def outside(
    spans: Sequence[tuple[float, float]], utterances: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """The parts of spans that no utterance covers (merging may have bridged a short one); some have no length."""
    parts: list[tuple[float, float]] = []
    for start, end in spans:
        at = start
        for first, last in [*sorted(utterances), (end, end)]:
            parts.append((at, max(at, min(first, end))))
            at = max(at, last)
    return parts


# Whether two tracks are of one talk: people who talk wait for each other, and tracks that begin at different
# times, drift or lost buffers overlap as often as by chance.


#: Seconds of a frame, by which one side is moved against the other at most, and of speech that each side needs.
TALK_FRAME = 0.1
FURTHEST_TALK = 10.0
LEAST_SPEECH = 20.0

#: A talk is out of step if at least so much of the overlap that chance would give is there, if in less than so
#: many of the other places there is more, and if in the best place there is less than this share of it. Set on
#: the four examples: 0.14 to 0.24, in at least 98 %; moved by 3 or 8 s, drifting by 3 % or without a 20th of the
#: buffers 0.61 to 1.59, in at most 89 %. Two real calls (SpokenWOZ): 0.06 and 0.16, in at least 96 %; spoiled the
#: same way 0.37 to 1.17, in at most 90 %. By a delay of 1 s one of these two is not found.
BY_CHANCE = 0.35
ELSEWHERE = 0.93
LESS = 0.85


def out_of_step(left: Sequence[tuple[float, float]], right: Sequence[tuple[float, float]]) -> str | None:
    """How two sides of a conversation, as (start, end) in seconds, fail to wait for each other; None if they do,
    and where one of them has under `LEAST_SPEECH`.
    """
    count = int(max((end for _, end in (*left, *right)), default=0.0) / TALK_FRAME) + 1
    sides = np.zeros((2, count))
    for frames, spans in zip(sides, (left, right), strict=True):
        for start, end in spans:
            frames[max(0, round(start / TALK_FRAME)) : max(0, round(end / TALK_FRAME))] = 1.0
    spoken_left, spoken_right = sides.sum(axis=1)
    if min(spoken_left, spoken_right) * TALK_FRAME < LEAST_SPEECH:
        return None
    overlap = float(sides[0] @ sides[1]) * count / (spoken_left * spoken_right)
    if overlap < BY_CHANCE:
        return None
    furthest = round(FURTHEST_TALK / TALK_FRAME)
    earlier = np.arange(furthest, -furthest - 1, -1).clip(min=0)  # frames by which the right side begins earlier
    later = earlier[::-1]
    before = np.concatenate([np.zeros((2, 1)), sides.cumsum(axis=1)], axis=1)  # frames of speech before each
    spoken = (before[0, count - later] - before[0, earlier]) * (before[1, count - earlier] - before[1, later])
    together = np.correlate(np.pad(sides[1], furthest), sides[0], "valid")
    ratios = together / np.maximum(spoken / (count - earlier - later), 1e-9)
    best = int(np.argmin(ratios))
    more = float(np.mean(ratios > overlap))
    if more >= ELSEWHERE or ratios[best] >= LESS * overlap:
        return None
    moved = f"{abs(best - furthest) * TALK_FRAME:.1f} s {'earlier' if best > furthest else 'later'}"
    told = f"both speak at once {overlap:.0%} as often as by chance"
    return f"{told}, and {ratios[best]:.0%} with the right side {moved}"
