"""Conversations with the same words in the same order, such as a recording and its MP3, whose sound differs.

A text is compared with those that share runs of words with it. The runs with the least hashes stand for all of
them (Broder 1997, "On the resemblance and containment of documents"), and few texts are kept for a run, so the
time grows with the number of texts and not with its square.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from dailytalk_contiguous.core.words.word_times import normalise

#: Share of the words, of the longer text, that two texts have in the same order if they are the same.
SAME_TEXT = 0.9

#: Words of a text at least: people say fewer by chance.
FEWEST_WORDS = 30

#: Words of a run. Of texts that differ in every tenth word, 0.9 ** 5 = 59 % of the runs are equal.
RUN = 5

#: Runs that stand for a text; of those, one that is the same in nine words of ten has about seven in common.
_RUNS = 16

#: Runs that two texts must have in common to be compared.
_FEWEST_COMMON = 2

#: Texts that are kept for a run: many calls open with the same sentence.
_TEXTS_OF_RUN = 8

#: Odd factors of the hashes of a run's words, so that their order counts.
_FACTORS = 2 * np.arange(10**9, 10**9 + RUN, dtype=np.uint64) ** np.uint64(2) + np.uint64(1)


class _Hashes(dict[str, int]):
    """Hashes of words by their spelling, the same in every process; each is made once."""

    def __missing__(self, word: str) -> int:
        self[word] = crc32(normalise(word).encode())
        return self[word]


class SameTexts:
    """Finds texts that are the same among those that are added one by one.

    Attributes:
        pairs: names of an earlier text and of a later one that is the same.

    >>> texts = SameTexts()
    >>> texts.add("call", map(str, range(40)))
    >>> texts.add("other", map(str, range(40, 80)))
    >>> texts.add("copy", map(str, range(1, 40)))
    >>> texts.pairs
    [('call', 'copy')]
    """

    def __init__(self) -> None:
        self.pairs = list[tuple[str, str]]()
        self._hashes = _Hashes()
        self._words: dict[str, NDArray[np.uint32]] = {}
        self._names_of_run = defaultdict[int, list[str]](list)

    def add(self, name: str, words: Iterable[str]) -> None:
        """Add a text by its words in order, and compare it with the earlier ones."""
        hashes = np.array([self._hashes[word] for word in words], np.uint32)
        hashes = hashes[hashes != 0]  # of a word without letters
        if len(hashes) < FEWEST_WORDS:
            return
        runs = np.lib.stride_tricks.sliding_window_view(hashes.astype(np.uint64), RUN) @ _FACTORS
        least_runs: list[int] = np.unique(runs)[:_RUNS].tolist()
        n_common = Counter[str]()
        for run in least_runs:
            n_common.update(self._names_of_run[run])
        for earlier, count in n_common.most_common(3):
            if count < _FEWEST_COMMON:
                break
            share = LCSseq.normalized_similarity(hashes.tolist(), self._words[earlier].tolist())
            if share >= SAME_TEXT:
                self.pairs.append((earlier, name))
                return
        self._words[name] = hashes
        for run in least_runs:
            if len(self._names_of_run[run]) < _TEXTS_OF_RUN:
                self._names_of_run[run].append(name)
