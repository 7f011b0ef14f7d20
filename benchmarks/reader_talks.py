"""Conversations with a known timeline, made of people who read aloud, for benchmarks/separate.py.

A reading is cut into phrases at its pauses, and phrases of two readers become turns: with gaps, with overlaps at
the end, with pauses inside, with turns of under a second, and with short sounds inside the other's speech, as
backchannels are. No phrase is used twice in a conversation.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.copies import coloured_noise, in_room, room_response, with_noise
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.spans import cut_long, frame_levels, merge_gaps, speech_spans
from dailytalk_contiguous.core.turns import Timed
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, speech_probabilities

#: Root mean square of a reader's speech, and dB by which two may differ.
LEVEL, DIFFERENCE = 0.05, 8.0

#: Seconds of a long reading, of one that is enough for a conversation, and pairs of one sex, and of two, in a
#: group.
LONG, ABLE, PAIRS = 40.0, 8.0, 4

#: Seconds in which a room falls silent by 60 dB.
ECHO = 0.4

#: Hz of the mean pitch that is between those of men and of women.
BETWEEN_SEXES = 165.0

#: Seconds of a phrase at most, of a gap, of an overlap, of a pause inside a turn, and of a short sound.
PHRASE, GAP, OVERLAP, PAUSE, SHORT = 3.5, (0.1, 0.8), (0.2, 1.0), (0.3, 0.8), (0.35, 0.8)

#: The share of turns that begin before the other's end, go on after a pause, and are short; of phrases that are
#: long enough into which the other says something, with so many seconds before and after it.
OVERLAPPING, HELD, SHORT_TURNS, ANSWERED, MARGIN = 0.3, 0.3, 0.25, 0.5, 0.6

#: The share of conversations in which the right one mostly listens, and then of the left one's turns that go on,
#: and of the right one's that are short.
LISTENING, HELD_LONG, SHORT_MOSTLY = 0.3, 0.75, 0.7


class Reader(NamedTuple):
    """Phrases of one voice at 16 kHz; `pitch` is their mean in Hz."""

    name: str
    phrases: list[Samples]
    pitch: float

    @property
    def seconds(self) -> float:
        return sum(map(len, self.phrases)) / ANALYSIS_RATE


class Placed(NamedTuple):
    """Where a phrase is said, in samples."""

    side: int
    start: int
    sound: Samples

    @property
    def end(self) -> int:
        return self.start + len(self.sound)


def readers_of(folder: Path) -> list[Reader]:
    """The readers of a folder that has a folder for each, in the order of their names."""
    return [_reader(path) for path in sorted(folder.iterdir()) if path.is_dir()]


def _reader(folder: Path) -> Reader:
    phrases, pitches = list[Samples](), list[float]()
    for path in sorted(folder.glob("*.flac")):
        samples, rate = soundfile.read(path, dtype="float32")
        if rate != ANALYSIS_RATE:
            raise SystemExit(f"{path} has {rate} Hz, not {ANALYSIS_RATE}")
        total = len(samples) / rate
        found = speech_spans(speech_probabilities(samples), total, FRAME_SECONDS, min_silence=0.2, pad=0.05)
        levels = frame_levels(samples, 160)
        for start, end, _ in cut_long(found, levels, 0.01, PHRASE):
            phrases.append(_faded(samples[round(start * rate) : round(end * rate)]))
        pitches.append(measure_prosody(samples, 0, total)["f0_mean"])
    scale = LEVEL / np.sqrt(np.mean(np.concatenate(phrases) ** 2))
    return Reader(folder.name, [phrase * np.float32(scale) for phrase in phrases], float(np.nanmean(pitches)))


def _faded(sound: Samples) -> Samples:
    """A piece of speech that begins and ends softly, over 10 ms."""
    ramp = np.linspace(0, 1, 160, dtype=np.float32)
    sound = sound.copy()
    sound[:160] *= ramp
    sound[-160:] *= ramp[::-1]
    return sound


def _short(phrase: Samples, chance: np.random.Generator) -> tuple[Samples, Samples]:
    """A short sound from the beginning of a phrase, cut where it is softest, and the rest."""
    levels = np.convolve(frame_levels(phrase, 160), np.ones(3), "same")
    low, high = (round(seconds * 100) for seconds in SHORT)
    earliest = int(chance.integers(low, high - 10))
    at = (earliest + int(levels[earliest:high].argmin())) * 160
    return _faded(phrase[:at]), _faded(phrase[at:])


def conversation(readers: Sequence[Reader], chance: np.random.Generator) -> tuple[Samples, list[Timed]]:
    """Voices (n, 2) of two readers at 16 kHz, and their speech, until one of them has no more to read."""
    queues = [deque(reader.phrases) for reader in readers]
    gains = 10 ** (np.array([0.5, -0.5]) * chance.uniform(-DIFFERENCE, DIFFERENCE) / 20)
    placed = list[Placed]()
    side, at, before = int(chance.integers(2)), round(0.5 * ANALYSIS_RATE), -1
    listens = chance.random() < LISTENING
    held = (HELD_LONG, 0.0) if listens else (HELD, HELD)
    short = (0.0, SHORT_MOSTLY) if listens else (SHORT_TURNS, SHORT_TURNS)

    def drawn(low: float, high: float) -> int:
        return round(chance.uniform(low, high) * ANALYSIS_RATE)

    while all(queues):
        is_short = chance.random() < short[side] and len(queues[side][0]) > 2 * SHORT[1] * ANALYSIS_RATE
        phrase = queues[side].popleft()
        if is_short:
            phrase, rest = _short(phrase, chance)
            queues[side].appendleft(rest)
        if before == side:
            start = at + drawn(*PAUSE)
        elif placed and chance.random() < OVERLAPPING and min(len(phrase), len(placed[-1].sound)) > 32000:
            start = at - drawn(*OVERLAP)
        else:
            start = at + drawn(*GAP)
        placed.append(Placed(side, start, phrase))
        other, room = queues[1 - side], len(phrase) / ANALYSIS_RATE - 2 * MARGIN - SHORT[1]
        if room > 0 and other and len(other[0]) > 2 * SHORT[1] * ANALYSIS_RATE and chance.random() < ANSWERED:
            sound, rest = _short(other.popleft(), chance)
            other.appendleft(rest)
            placed.append(Placed(1 - side, start + drawn(MARGIN, MARGIN + room), sound))
        at, before = start + len(phrase), side
        if is_short or chance.random() >= held[side]:
            side = 1 - side
    voices = np.zeros((max(each.end for each in placed) + ANALYSIS_RATE // 2, 2), np.float32)
    for each in placed:
        voices[each.start : each.end, each.side] += np.float32(gains[each.side]) * each.sound
    return voices, utterances_of(voices)


def monologue(reader: Reader, chance: np.random.Generator) -> Samples:
    """A reading with pauses of a talk between its phrases, shape (n, 1)."""
    parts = [np.zeros(4800, np.float32)]
    for phrase in reader.phrases:
        parts += [phrase, np.zeros(round(chance.uniform(0.15, 0.8) * ANALYSIS_RATE), np.float32)]
    return np.concatenate(parts)[:, None]


def folds_of(readers: Sequence[Reader]) -> list[list[Reader]]:
    """Five groups of readers: those who read for long in the first ones, two and two, the others in turn."""
    long = sorted((reader for reader in readers if reader.seconds > LONG), key=lambda reader: reader.pitch)
    short = [reader for reader in readers if reader not in long]
    return [long[2 * number : 2 * number + 2] + short[number::5] for number in range(5)]


def pairs_of(fold: Sequence[Reader], chance: np.random.Generator) -> list[tuple[Reader, Reader]]:
    """Pairs of a group who read for long enough: those of long readings, and as many of one sex as of two."""
    able = [reader for reader in fold if reader.seconds > ABLE]
    pairs = list(combinations(able, 2))
    long = [pair for pair in pairs if min(reader.seconds for reader in pair) > LONG]
    chosen = list(long)
    for same in (True, False):
        left = [
            (one, other)
            for one, other in pairs
            if (one, other) not in long and ((one.pitch < BETWEEN_SEXES) == (other.pitch < BETWEEN_SEXES)) == same
        ]
        chosen += [left[index] for index in chance.permutation(len(left))[:PAIRS]]
    return chosen


def utterances_of(voices: Samples) -> list[Timed]:
    """What `Segment` finds on each side of two voices (n, 2) that are a channel each, by start."""
    found, total = list[Timed](), len(voices) / ANALYSIS_RATE
    for side, channel in enumerate(CHANNELS):
        speech = speech_spans(speech_probabilities(np.ascontiguousarray(voices[:, side])), total, FRAME_SECONDS)
        found += [Timed(channel, start, end) for start, end in speech]
    return sorted(found, key=lambda span: span.start)


def interrupted(
    voices: Samples, speech: Sequence[Timed], guest: Reader, seconds: float
) -> tuple[Samples, list[Timed], tuple[float, float]]:
    """A conversation with a third voice in a pause nearest to its middle, for about so many seconds.

    Returns its sound as one of three voices, shape (n, 3), the speech of the two, and when the third one speaks.
    """
    spoken = merge_gaps(sorted((span.start, span.end) for span in speech), 0.0)
    middle = len(voices) / ANALYSIS_RATE / 2
    at = min((end for _, end in spoken[:-1]), key=lambda end: abs(end - middle)) + 0.1
    parts = list[Samples]()
    for phrase in guest.phrases:
        if sum(map(len, parts)) < seconds * ANALYSIS_RATE:
            parts += [phrase, np.zeros(3200, np.float32)]
    sound = np.concatenate(parts)
    first, lasts = round(at * ANALYSIS_RATE), len(sound) / ANALYSIS_RATE
    longer = np.zeros((len(voices) + len(sound) + 1600, 3), np.float32)
    longer[:first, :2] = voices[:first]
    longer[first : first + len(sound), 2] = sound
    longer[first + len(sound) + 1600 :, :2] = voices[first:]
    moved = [
        span if span.start < at else span._replace(start=span.start + lasts + 0.1, end=span.end + lasts + 0.1)
        for span in speech
    ]
    return longer, moved, (at, at + lasts)


def in_pink_noise(mono: Samples, rate: int, decibels: float) -> Samples:
    """A sound with pink noise so far below its speech."""
    noise = coloured_noise(len(mono), rate, "pink", np.random.default_rng(4))
    return with_noise(mono, rate, noise, decibels)


def each_in_a_room(voices: Samples, rate: int) -> Samples:
    """Voices (n, voices), each from a place of its own, in a room of its own."""
    chance = np.random.default_rng(3)
    return np.stack([in_room(voice, rate, room_response(rate, ECHO, chance)) for voice in voices.T], axis=1)


def active(spans: Iterable[Timed], count: int, rate: float) -> NDArray[np.bool_]:
    """Whether each side speaks in each of so many frames or samples, shape (2, count)."""
    frames = np.zeros((2, count), bool)
    for channel, start, end, _ in spans:
        frames[int(channel == "right"), round(start * rate) : round(end * rate)] = True
    return frames
