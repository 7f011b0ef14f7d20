"""Conversations with the same words: a call and its parts, a clip of it, or the same call by another recorder.

Texts are compared if they share runs of words whose hash is 0 modulo a small number (Broder 1997, "On the
resemblance and containment of documents"), so the time grows with the number of texts and not with its square.
Then all their runs are. A part is in the whole, so shared words are counted, not their share of the longer text.
Announcements, which are in calls that differ otherwise, don't count.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import normalise

#: Hashes of the words of a text in their order.
Hashes = NDArray[np.uint32]

#: Those of no words.
NO_WORDS: Hashes = np.empty(0, np.uint32)

#: Hashes of the runs of a text, one for the first word of each.
Runs = NDArray[np.uint64]

#: Words that two texts of one call share at least.
FEWEST_WORDS = 60

#: Words that they share without a break at least: people repeat phrases, but not so many words.
FEWEST_IN_A_ROW = 20

#: Calls that differ otherwise, in which a run is an announcement or a phrase.
ANNOUNCED = 3

#: Share of a text's words that a longer text has if they are of one call. Of three parts of a call with a moment
#: in common, two share at least half of the shorter one, so a part is never taken for an announcement.
PART = 0.5

#: Words of a run.
RUN = 5

#: A run in so many is sampled: 14 of 60 words.
_SAMPLED = 4

#: Sampled runs that two texts have in common if they are compared.
_FEWEST_SAMPLED = 3

#: Different calls in which announcements are looked for.
_MOST_CALLS = 16

#: Odd factors of the hashes of a run's words, so that their order counts.
_FACTORS = 2 * np.arange(10**9, 10**9 + RUN, dtype=np.uint64) ** np.uint64(2) + np.uint64(1)


@lru_cache(1 << 16)
def _hash(word: str) -> int:
    return crc32(normalise(word).encode())


def hash_words(words: Iterable[Word]) -> Hashes:
    """Return the hashes of words side by side, the same in every process; of those with letters or digits.

    Where the sides overlap, recorders and recognisers differ in the order of their words.
    """
    by_side = sorted(words, key=lambda word: word.speaker)
    hashes = [_hash(word.word) for word in by_side]
    return np.array([word_hash for word_hash in hashes if word_hash], np.uint32)


def same_texts(texts: Mapping[str, Hashes]) -> list[tuple[str, str]]:
    """Return pairs of names of texts that are of one call, the longer text first.

    Of several texts of one call, pairs link all, but not each with each. The order of `texts` changes nothing.

    Args:
        texts: hashes of words, as `hash_words` returns them, by name.

    >>> words = np.arange(300, dtype=np.uint32)
    >>> same_texts({"call": words[:200], "part": words[100:200], "other": words[200:]})
    [('call', 'part')]
    """
    runs_of = {name: _runs(hashes) for name, hashes in texts.items() if len(hashes) >= FEWEST_WORDS}
    compared = _compared(runs_of)
    announced = np.empty(0, np.uint64)
    for longest, others in compared.items():
        announced = np.union1d(announced, _announced([runs_of[name] for name in (longest, *others)]))
    pairs = []
    for longest, others in compared.items():
        runs = np.setdiff1d(runs_of[longest], announced)
        for name in others:
            lengths = np.diff(true_runs(_is_shared(runs_of[name], runs)))
            if lengths.sum() >= FEWEST_WORDS and lengths.max() >= FEWEST_IN_A_ROW:
                pairs.append((longest, name))
    return sorted(pairs)


def _runs(hashes: Hashes) -> Runs:
    """Return the hashes of a text's runs of `RUN` words."""
    windows = np.lib.stride_tricks.sliding_window_view(hashes.astype(np.uint64), RUN)
    return windows @ _FACTORS


def _compared(runs_of: Mapping[str, Runs]) -> dict[str, list[str]]:
    """Return, by the longest text that has some sampled runs, the other texts that have them, longest first."""
    names = sorted(runs_of, key=lambda name: (-len(runs_of[name]), name))
    samples = [np.empty(0, np.uint64)]
    for name in names:
        runs = np.unique(runs_of[name])
        samples.append(runs[runs % _SAMPLED == 0])
    numbers = np.repeat(np.arange(-1, len(names)), [len(sample) for sample in samples])
    table = pd.DataFrame({"run": np.concatenate(samples), "text": numbers})
    table["longest"] = table.groupby("run").text.transform("min")
    counts = table[table.text > table.longest].groupby(["longest", "text"]).size()
    compared: dict[str, list[str]] = {}
    for longest, number in counts.index[counts >= _FEWEST_SAMPLED]:
        compared.setdefault(names[longest], []).append(names[number])
    return compared


def _announced(texts: Iterable[Runs]) -> Runs:
    """Return the runs that several different calls have among texts, which are longest first."""
    calls: list[Runs] = []
    for runs in texts:
        is_part = any(_is_shared(runs, call).mean() >= PART for call in calls)
        if not is_part:
            calls.append(np.unique(runs))
        if len(calls) == _MOST_CALLS:
            break
    runs, counts = np.unique(np.concatenate(calls), return_counts=True)
    return runs[counts >= ANNOUNCED]


def _is_shared(runs: Runs, others: Runs) -> NDArray[np.bool_]:
    """Return for each word of a text whether it is in a run that another text has."""
    is_run_shared = np.isin(runs, others)
    return np.convolve(is_run_shared, np.ones(RUN)) > 0.5
