"""Words that both sides of a conversation say at once: one voice is on both sides, or was transcribed on both."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import attrgetter

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import normalise

#: Seconds within which a word that both sides say is one that is heard twice: an echo is up to 0.4 s late.
SAME_WORD_SECONDS = 0.5

#: Different words in a row that both sides say at once, from which on it is no chance.
FEWEST_IN_A_ROW = 4

#: Letters that these have in all: in Japanese and Chinese a word is a single one.
FEWEST_LETTERS = 8

#: Words, as `normalise` spells them, that people often say at once: goodbyes, numbers that are read back; or none.
SAID_TOGETHER = re.compile(
    r"(bye|good)?bye|.*\d.*|oh|zero|ten|eleven|twelve|(thir|four|fif|six|seven|eigh|nine)teen|hundred|thousand|"
    r"million|double|triple|((twen|thir|for|fif|six|seven|eigh|nine)ty)?(one|two|three|four|five|six|seven|eight|nine)?"
)


def runs_at_once(words: Iterable[Word]) -> list[list[Word]]:
    """Return the runs of words of a side that the other side has in the same order, each at the same time.

    Each is within `SAME_WORD_SECONDS` of its twin. Fillers, numbers and goodbyes neither break nor lengthen a run.
    It has at least `FEWEST_IN_A_ROW` different words. A run is there once for each side.
    """
    ordered: dict[str, list[Word]] = {channel: [] for channel in CHANNELS}
    plain: dict[str, list[Word]] = {channel: [] for channel in CHANNELS}
    places: dict[str, list[int]] = {channel: [] for channel in CHANNELS}  # of the plain words among all of a side
    for word in sorted(words, key=attrgetter("start")):
        if word.speaker not in ordered:
            continue
        text = normalise(word.word)
        if not word.filler and not SAID_TOGETHER.fullmatch(text):
            places[word.speaker].append(len(ordered[word.speaker]))
            plain[word.speaker].append(word.spelled(text))
        ordered[word.speaker].append(word)
    runs = []
    for side, other in (CHANNELS, CHANNELS[::-1]):
        starts = [word.start for word in plain[other]]
        last_of_run: dict[int, int] = {}  # by the first word of a run, the last one so far
        firsts: dict[int, int] = {}  # twins of the word before, and where the longest run to each begins
        for index, word in enumerate(plain[side]):
            earliest = bisect_left(starts, word.start - SAME_WORD_SECONDS)
            firsts_here = {}
            for twin in range(earliest, bisect_right(starts, word.start + SAME_WORD_SECONDS)):
                if plain[other][twin].word == word.word:
                    firsts_here[twin] = min(
                        (first for last, first in firsts.items() if last < twin), default=index
                    )
            firsts = firsts_here
            if firsts:
                last_of_run[min(firsts.values())] = index
        for first, last in last_of_run.items():
            different = {word.word for word in plain[side][first : last + 1]}
            if len(different) >= FEWEST_IN_A_ROW and len("".join(different)) >= FEWEST_LETTERS:
                runs.append(ordered[side][places[side][first] : places[side][last] + 1])
    return runs
