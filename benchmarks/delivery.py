"""Whether the measured delivery tells the right tag from a wrong one.

Forty lines are said by one synthesiser, each with a style tag: the source. Another voice says each line twice,
with the same tag and with another; the take with the right tag should be nearer to the source. The voices are
those of this machine that follow tags in pitch and loudness, with flite's `rms` beside them, which has no pitch to
set. Time is compared with that of the prosody that `Speak` measures of every take.

    python benchmarks/delivery.py
"""

import itertools
import random
import sys
import time

import numpy as np
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.delivery import Performance, compare_delivery, performance_of, register_of
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.models.contracts import Line, Synthesiser
from dailytalk_contiguous.models.offline_voices import Espeak, Flite

RATE, LINES, GOAL = 16000, 40, 0.8

#: The most different of the tags in rate, pitch and loudness.
TAGS = ("angry", "depressed", "delighted", "in a hurry tone", "soft tone", "screaming")

STARTS = (
    "I found the letter",
    "We walked home",
    "They opened the window",
    "My brother called",
    "She sold the piano",
)
ENDS = (
    *(
        "after the long winter",
        "before anybody else was up",
        "because nobody had told us",
        "in the rain last night",
    ),
    *(
        "and then it was quiet again",
        "with a big bag of apples",
        "when the train had left",
        "without saying a word",
    ),
)

#: Source and new voice, and whether the goal counts for them.
PAIRS: tuple[tuple[Synthesiser, Synthesiser, bool], ...] = (
    (Espeak("en-us"), Flite("slt"), True),
    (Flite("slt"), Espeak("en-us+f3"), True),
    (Espeak("+m3"), Espeak("en-us+f3"), True),
    (Espeak("en-us"), Flite("rms"), False),
)


def main() -> int:
    """Print the share of lines of each pair of voices, and whether the goal is met."""
    lines = [f"{start} {end}." for end in ENDS for start in STARTS][:LINES]
    met = True
    print(
        f"of {LINES} lines, those whose take with the right tag is nearer to the source than that with a wrong one"
    )
    for source, voice, counts in PAIRS:
        share = _right(source, voice, lines)
        goal = (
            f", goal {GOAL:.0%}: {'met' if share >= GOAL else 'MISSED'}" if counts else " (does not follow pitch)"
        )
        met &= share >= GOAL or not counts
        print(f"  {source.engine} {source.voice} by {voice.engine} {voice.voice}: {share:.0%}{goal}")
    _speed(Espeak("en-us"), lines)
    return 0 if met else 1


def _right(source: Synthesiser, voice: Synthesiser, lines: list[str]) -> float:
    draw = random.Random(0)
    sources, right, wrong = [], [], []
    for number, line in enumerate(lines):
        tag = TAGS[number % len(TAGS)]
        other = draw.choice([name for name in TAGS if name != tag])
        for performances, speaker, style in ((sources, source, tag), (right, voice, tag), (wrong, voice, other)):
            performances.append(performance_of(_sound(speaker, line, style)))
    registers = register_of(sources), register_of(right)
    nearer = 0
    for performance, *takes in zip(sources, right, wrong, strict=True):
        distances = [_distance(performance, registers[0], take, registers[1]) for take in takes]
        nearer += distances[0] < distances[1]
    return nearer / len(lines)


def _distance(source: Performance, usual: object, take: Performance, voice_usual: object) -> float:
    delivery = compare_delivery(source, usual, take, voice_usual)  # type: ignore[arg-type]
    return delivery.distance if delivery else np.inf


def _sound(speaker: Synthesiser, line: str, tag: str) -> NDArray[np.float32]:
    spoken = speaker.speak(Line(line, tag, "en", 0))
    return np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, RATE), np.float32)


def _speed(speaker: Synthesiser, lines: list[str]) -> None:
    sounds = [_sound(speaker, line, TAGS[0]) for line in lines]
    begun = time.process_time()
    performances = [performance_of(sound) for sound in sounds]
    usual = register_of(performances)
    for performance, other in itertools.pairwise(performances):
        _distance(performance, usual, other, usual)
    own = time.process_time() - begun
    begun = time.process_time()
    for sound, line in zip(sounds, lines, strict=True):
        measure_prosody(sound, len(line.split()), len(sound) / RATE)
    other = time.process_time() - begun
    seconds = sum(map(len, sounds)) / RATE
    costs = [1000 * cost / seconds for cost in (own, other)]
    print("processor time a second of speech: {:.1f} ms; prosody of takes {:.1f} ms".format(*costs))


if __name__ == "__main__":
    sys.exit(main())
