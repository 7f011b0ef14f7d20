"""Whether the measured delivery tells the right tag from a wrong one, and from a flat reading.

Forty lines are said by one synthesiser, each with a style tag: the source. Another voice says each line with the
same tag, and with another; the take with the right tag should be nearer to the source. Then the tags are those
whose pitch moves, and the other take is a flat reading: without any tag, and on one note with the pace and
loudness of the right one. The voices are those of this machine that follow tags in pitch and loudness, with
flite's `rms` beside them, which has no pitch to set. What the measure counts was chosen by espeak's voices among
themselves; the other pairs test it. Time is compared with that of the prosody that `Speak` measures of every take.

    python benchmarks/delivery.py
"""

import itertools
import random
import sys
import time

import numpy as np
import soxr
from flite import Flite
from numpy.typing import NDArray

from dailytalk_contiguous.core.delivery import Performance, compare_delivery, performance_of, register_of
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.models.contracts import Line, Synthesiser
from dailytalk_contiguous.models.synthesisers.espeak import Espeak

#: Goals: of lines with a wrong tag, and of flat readings.
RATE = 16000
LINES = 40
GOAL = 0.92
FLAT_GOAL = 0.8

#: The most different of the tags in rate, pitch and loudness.
TAGS = ("angry", "depressed", "delighted", "in a hurry tone", "soft tone", "screaming")

#: Those whose pitch moves more than usual.
MOVING = ("angry", "delighted", "surprised", "screaming", "excited", "shouting", "happy", "frustrated")

STARTS = (
    "I found the letter",
    "We walked home",
    "They opened the window",
    "My brother called",
    "She sold the piano",
)
ENDS = (
    "after the long winter",
    "before anybody else was up",
    "because nobody had told us",
    "in the rain last night",
    "and then it was quiet again",
    "with a big bag of apples",
    "when the train had left",
    "without saying a word",
)

#: Source and new voice, and whether the goal counts for them.
PAIRS: tuple[tuple[Synthesiser, Synthesiser, bool], ...] = (
    (Espeak("en-us"), Flite("slt"), True),
    (Flite("slt"), Espeak("en-us+f3"), True),
    (Espeak("+m3"), Espeak("en-us+f3"), True),
    (Flite("kal"), Flite("slt"), True),
    (Flite("slt"), Flite("awb"), True),
    (Espeak("en-us"), Flite("rms"), False),
)


def main() -> int:
    """Print the share of lines of each pair of voices, and whether the goal is met."""
    lines = [f"{start} {end}." for end in ENDS for start in STARTS][:LINES]
    met = True
    print(
        f"of {LINES} lines, those whose right take is nearer to the source than one with a wrong tag "
        f"(goal {GOAL:.0%}), one without a tag, and one on one note (goals {FLAT_GOAL:.0%})"
    )
    for source, voice, counts in PAIRS:
        shares = (_right(source, voice, lines), *_livelier(source, voice, lines))
        reached = all(share >= goal for share, goal in zip(shares, (GOAL, FLAT_GOAL, FLAT_GOAL), strict=True))
        met &= reached or not counts
        verdict = ("met" if reached else "MISSED") if counts else "(does not follow pitch)"
        shown = ", ".join(f"{share:.0%}" for share in shares)
        print(f"  {source.engine} {source.voice} by {voice.engine} {voice.voice}: {shown} {verdict}", flush=True)
    _speed(Espeak("en-us"), lines)
    return 0 if met else 1


def _right(source: Synthesiser, voice: Synthesiser, lines: list[str]) -> float:
    """The share of lines whose take with the right tag is nearer than that with a wrong one."""
    draw = random.Random(0)
    tags = [TAGS[number % len(TAGS)] for number in range(len(lines))]
    others = [draw.choice([name for name in TAGS if name != tag]) for tag in tags]
    sources = _said(source, lines, tags)
    right = _said(voice, lines, tags)
    wrong = _said(voice, lines, others)
    return _nearer(sources, right, wrong)


def _livelier(source: Synthesiser, voice: Synthesiser, lines: list[str]) -> tuple[float, float]:
    """The shares of lines whose take with the right tag is nearer than one without a tag, and one on one note."""
    tags = [MOVING[number % len(MOVING)] for number in range(len(lines))]
    sources = _said(source, lines, tags)
    right = _said(voice, lines, tags)
    untagged = _said(voice, lines, [""] * LINES)
    notes = [
        Performance(np.where(take.f0 > 0, np.median(take.f0[take.f0 > 0]), 0.0), take.level) for take in right
    ]
    return _nearer(sources, right, untagged), _nearer(sources, right, notes)


def _said(speaker: Synthesiser, lines: list[str], tags: list[str]) -> list[Performance]:
    return [performance_of(_sound(speaker, line, tag)) for line, tag in zip(lines, tags, strict=True)]


def _nearer(sources: list[Performance], right: list[Performance], others: list[Performance]) -> float:
    registers = register_of(sources), register_of(right)
    nearer = 0
    for performance, *takes in zip(sources, right, others, strict=True):
        distances = [_distance(performance, registers[0], take, registers[1]) for take in takes]
        nearer += distances[0] < distances[1]
    return nearer / len(sources)


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
