"""The talks of `talk_law.py` in sound: voices with a vocal tract, which can be converted, and what a reader makes.

A voice is a train of pulses through three resonances (Peterson and Barney 1952, "Control methods used in a study
of the vowels", J. Acoust. Soc. Am. 24:175) that change with each syllable. Its pitch wanders by about a semitone,
and falls by six where a turn ends.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from talk_law import FALL, RATE, TalkLaw

from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.core.turns.turn_taking import Timed

#: Hz of the sound.
SAMPLE_RATE = 8000

#: Hz of the resonances of seven vowels, as a man says them (Peterson and Barney 1952).
VOWELS = np.array(
    [
        (270, 2290, 3010),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (300, 870, 2240),
        (490, 1350, 1690),
    ]
)

#: Hz of the width of each resonance.
WIDTHS = (60.0, 90.0, 120.0)

#: Hz of the pitch of both voices, and how much higher their resonances are than a man's.
PITCHES = (120.0, 210.0)
TRACTS = (0.95, 1.1)

#: Frames of a syllable at least and at most.
SYLLABLE = (3, 6)

#: Frames that a pipeline without a timeline leaves between lines: 0.4 s.
BETWEEN_LINES = 8


def timed_law(law: TalkLaw, states: NDArray[np.int64]) -> list[Timed]:
    """The speech of a talk, in seconds."""
    active = law.active[states]
    timed = []
    for side, channel in enumerate(("left", "right")):
        for first, last in true_runs(active[:, side]).tolist():
            timed.append(Timed(channel, first / RATE, last / RATE))
    return timed


def spoken(law: TalkLaw, states: NDArray[np.int64], chance: np.random.Generator) -> Samples:
    """A talk said by two voices, whose pitch is that of no other talk; shape (samples, 2), in [-1, 1]."""
    sides = []
    for side in (0, 1):
        hertz = PITCHES[side] * 2 ** (chance.normal(0.0, 1.0) / 12)
        sides.append(_voice(law, states, side, hertz, chance))
    samples = np.stack(sides, axis=1)
    noise = 0.0005 * chance.standard_normal(samples.shape)
    return (samples + noise).astype(np.float32)


def _voice(
    law: TalkLaw, states: NDArray[np.int64], side: int, hertz: float, chance: np.random.Generator
) -> NDArray[np.float64]:
    """One side of a talk, at 0.05 of the full scale while it speaks."""
    hop = SAMPLE_RATE // RATE
    frames = np.arange(len(states)) + 0.5
    moments = np.arange(len(states) * hop) / hop
    semitones = _wandering(len(states), chance) - law.fall[states, side]
    pitch = np.interp(moments, frames, hertz * 2 ** (semitones / 12))
    phase = np.cumsum(pitch / SAMPLE_RATE) % 1.0
    pulses = np.diff(phase, prepend=0.0)
    source = lfilter([1.0], [1.0, -0.95], pulses - pulses.mean())
    voice = np.zeros(len(source))
    first = 0
    while first < len(states):
        last = min(len(states), first + int(chance.integers(SYLLABLE[0], SYLLABLE[1] + 1)))
        resonances = VOWELS[chance.integers(len(VOWELS))] * TRACTS[side]
        voice[first * hop : last * hop] = _resounding(source[first * hop : last * hop], resonances)
        first = last
    loud = np.interp(moments, frames, law.active[states, side].astype(float))
    level = np.sqrt(np.mean(voice[loud > 0.5] ** 2)) if (loud > 0.5).any() else 1.0
    return np.asarray(0.05 * voice * loud / level)


def _wandering(n_frames: int, chance: np.random.Generator) -> NDArray[np.float64]:
    """Semitones by which a pitch wanders: what is left of the last frame's, and a little more."""
    steps = 0.6 * chance.standard_normal(n_frames)
    return np.asarray(lfilter([1.0], [1.0, -0.8], steps))


def _resounding(source: NDArray[np.float64], resonances: NDArray[np.float64]) -> NDArray[np.float64]:
    """A source through resonances, of those that the sample rate holds."""
    for hertz, width in zip(resonances, WIDTHS, strict=True):
        if hertz < 0.475 * SAMPLE_RATE:
            radius = np.exp(-np.pi * width / SAMPLE_RATE)
            angle = 2 * np.pi * hertz / SAMPLE_RATE
            poles = [1.0, -2 * radius * np.cos(angle), radius**2]
            source = np.asarray(lfilter([sum(poles)], poles, source))
    return source


def read_aloud(law: TalkLaw, states: NDArray[np.int64], keeps_sound: bool = False) -> NDArray[np.int64]:
    """The states of a talk whose lines are said one after another, 0.4 s apart, each as a sentence of its own.

    A line is a stretch of speech of one side, in order of start. Every line falls at its end, as a text that is
    read does; with `keeps_sound` only those fall that fell.
    """
    numbers = {state: number for number, state in enumerate(law.states)}
    lines = []
    for side in (0, 1):
        for first, last in true_runs(law.active[states, side]).tolist():
            lines.append((first, last, side))
    read = list[int]()
    for first, last, side in sorted(lines):
        falls = law.fall[states[first:last], side]
        if not keeps_sound:
            falls = np.zeros(last - first, int)
            n_falling = min(FALL, last - first)
            falls[len(falls) - n_falling :] = np.arange(FALL - n_falling, FALL) + 1
        for fall in falls.tolist():
            state = ("ends", side, fall, 0) if fall else ("speaks", side, 5, 0)
            read.append(numbers[state])
        read += [numbers["gap", side, 1, 0]] * BETWEEN_LINES
    return np.array(read)
