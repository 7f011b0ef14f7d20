"""Comparing what was heard with what should have been said, for telling whether a synthesiser said it."""

from collections.abc import Sequence


def compare_words(expected: Sequence[str], heard: Sequence[str]) -> tuple[float, bool]:
    """The word error rate, and whether the last expected word is missing.

    The rate is insertions, deletions and substitutions over the number of expected words (Levenshtein, unit
    costs): 0 for nothing expected and nothing heard, and the number of words heard where nothing was expected. The
    last word is missing if leaving it out accounts for one of these errors; another word in its place is not.

    Words are compared as they are: bring both to one spelling first.
    """
    row = list(range(len(heard) + 1))
    before = row[-1]
    for i, word in enumerate(expected, 1):
        before = row[-1]
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / max(1, len(expected)), bool(expected) and row[-1] == before + 1
