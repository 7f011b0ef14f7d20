"""Two channels of a recording of one, by the turns of its speakers.

A side has the recording's own samples during its speaker's turns, one for one; elsewhere it has room tone, which
is made of the recording's own quiet stretches. Sound in a pause belongs to the speaker who is nearer in time. In
overlaps a side has its voice of a separator, or the recording as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.schema import CHANNELS

#: Seconds over which a side changes between voice and room tone. They are outside of the speaker's own stretch.
RAMP_SECONDS = 0.005

#: Seconds of the pieces that room tone is made of, how many are kept, how far they are from speech, and of the
#: tone until it repeats.
PIECE_SECONDS, MOST_PIECES, FROM_SPEECH, TONE_SECONDS = 0.1, 400, 0.1, 20.0

#: Share of all pieces that are room tone where nobody ever pauses: the quietest.
QUIETEST = 0.05

#: Opens a recording from its beginning: blocks of its samples, shape (n,), int16 or int32.
Reopened = Callable[[], Iterator[NDArray[Any]]]

Stretches = list[tuple[int, int]]


class SeparatedVoices(NamedTuple):
    """Samples (n, 2) of both sides where both speak, on the scale of the recording, and where the first one is."""

    start: int
    voices: NDArray[np.floating]


def two_channels(
    reader: Reopened,
    sample_rate: int,
    turns: Sequence[Mapping[str, Any]],
    separated: Iterable[SeparatedVoices] = (),
) -> Iterator[NDArray[Any]]:
    """The blocks of a recording of one channel as blocks (n, 2) of the same type. It is read two times.

    Args:
        sample_rate: in Hz.
        turns: with the fields of `core.schema.SEPARATED_TURN`, in order of start, at least one.
        separated: the voices of the turns that are `separated`, in order. Each is taken when it is near.
    """
    tone = tone_of_pauses(reader, sample_rate, turns)
    ramp = round(RAMP_SECONDS * sample_rate)
    sides = own_stretches(turns, sample_rate)
    coming, near = iter(separated), list[SeparatedVoices]()
    ahead = next(coming, None)
    first = 0
    for block in reader():
        last = first + len(block)
        while ahead and ahead.start < last:
            near.append(ahead)
            ahead = next(coming, None)
        near = [voices for voices in near if first < voices.start + len(voices.voices)]
        places = np.arange(first, last)
        mixed = np.empty((len(block), 2), block.dtype)
        for side, stretches in enumerate(sides):
            weights = _weights(stretches, first, last, ramp)
            # The sides are half a tone apart, so that they have the same room and not the same noise.
            room = tone[(places + side * (len(tone) // 2)) % len(tone)]
            blended = weights * block + (1 - weights) * room
            for start, voices in near:
                low, high = max(first, start), min(last, start + len(voices))
                at = slice(low - first, high - first)
                voice = _weights([(start + ramp, start + len(voices) - ramp)], low, high, ramp)
                blended[at] = voice * voices[low - start : high - start, side] + (1 - voice) * blended[at]
            limits = np.iinfo(block.dtype)
            rounded = np.clip(np.round(blended), limits.min, limits.max).astype(block.dtype)
            mixed[:, side] = np.where(weights == 1, block, rounded)
        yield mixed
        first = last


def own_stretches(turns: Sequence[Mapping[str, Any]], sample_rate: int) -> tuple[Stretches, Stretches]:
    """The stretches of each side with the recording's own samples: [first, last) in order, pauses included."""
    open_end = np.iinfo(np.int64).max // 2
    sides: list[Stretches] = [[], []]
    last_end, last_side = 0, CHANNELS.index(turns[0]["channel"])
    for turn in turns:
        side = CHANNELS.index(turn["channel"])
        start, end = round(turn["start"] * sample_rate), round(turn["end"] * sample_rate)
        if start > last_end:
            middle = start if last_side == side else (last_end + start) // 2
            _extend(sides[last_side], last_end, middle)
            _extend(sides[side], middle, start)
        if turn["origin"] != "separated":
            _extend(sides[side], start, end)
        if end >= last_end:
            last_end, last_side = end, side
    _extend(sides[last_side], last_end, open_end)
    return sides[0], sides[1]


def _extend(stretches: Stretches, start: int, end: int) -> None:
    if stretches and start <= stretches[-1][1]:
        stretches[-1] = stretches[-1][0], max(stretches[-1][1], end)
    elif start < end:
        stretches.append((start, end))


def _weights(stretches: Stretches, first: int, last: int, ramp: int) -> NDArray[np.float64]:
    """1 inside of stretches, from 0 to 1 over `ramp` samples on both sides of them, for samples [first, last)."""
    weights = np.zeros(last - first)
    for start, end in stretches:
        if end + ramp <= first or start - ramp >= last:
            continue
        places = np.arange(max(first, start - ramp), min(last, end + ramp))
        distance = np.maximum(start - places, places - end + 1)
        at = slice(int(places[0]) - first, int(places[-1]) + 1 - first)
        weights[at] = np.maximum(weights[at], np.clip(1 - distance / (ramp + 1), 0, 1))
    return weights


def tone_of_pauses(reader: Reopened, sample_rate: int, turns: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Twenty seconds of the quiet of a recording of any length, on the scale of its samples, that can be repeated.

    In little memory; `core.loudness.room_tone` has the whole channel at once, and knows its leaks and gates.
    Of the pieces in pauses the softer half are taken, in random order; without pauses, the softest of all.
    """
    length = 2 * (round(PIECE_SECONDS * sample_rate) // 2)
    pieces = _pieces(reader, length, _pauses(turns, sample_rate))
    share = 0.5
    if len(pieces) < 2:
        pieces, share = _pieces(reader, length, [(0, np.iinfo(np.int64).max)]), QUIETEST
    if not len(pieces):
        return np.zeros(1)
    levels = np.square(pieces).mean(axis=1)
    quiet = pieces[levels <= np.quantile(levels, share)]
    level = float(quiet.mean())  # of a recording with an offset; without it each seam is a thump
    quiet = quiet - quiet.mean(axis=1, keepdims=True)
    # Halves of overlapping pieces are as loud as one: they are of different noise, and their powers add up to 1.
    window = np.sin(np.pi * (np.arange(length) + 0.5) / length)
    hop = length // 2
    order = np.random.default_rng(0).integers(len(quiet), size=round(TONE_SECONDS / PIECE_SECONDS * 2))
    tone: NDArray[np.float64] = np.zeros(len(order) * hop)
    for number, index in enumerate(order):
        tone[np.arange(number * hop, number * hop + length) % len(tone)] += quiet[index] * window
    return np.asarray(tone + level)


def _pauses(turns: Sequence[Mapping[str, Any]], sample_rate: int) -> Stretches:
    """The pauses of both between turns, at some distance from them."""
    distance, pauses, last_end = round(FROM_SPEECH * sample_rate), list[tuple[int, int]](), -1
    for turn in turns:
        start, end = round(turn["start"] * sample_rate), round(turn["end"] * sample_rate)
        if last_end >= 0 and start - last_end > 2 * distance:
            pauses.append((last_end + distance, start - distance))
        last_end = max(last_end, end)
    return pauses


def _pieces(reader: Reopened, length: int, stretches: Stretches) -> NDArray[np.float64]:
    """Pieces (n, length) of the stretches, at most `MOST_PIECES` of them, spread over all."""
    kept, step, count = list[NDArray[np.float64]](), 1, 0
    held, last, waiting = np.zeros(0), 0, list(stretches)
    for block in reader():
        held = np.concatenate((held[-length:], block))
        last += len(block)
        while waiting and waiting[0][0] + length <= last:
            start, end = waiting.pop(0)
            if start + length <= end:
                if count % step == 0:
                    at = len(held) - last + start
                    kept.append(held[at : at + length].astype(np.float64))
                if len(kept) > MOST_PIECES:
                    kept, step = kept[::2], 2 * step
                count += 1
                waiting.insert(0, (start + length, end))
    return np.stack(kept) if kept else np.zeros((0, length))
