"""Word error rate, for telling whether a synthesiser said what it was given."""

from collections.abc import Sequence


def word_error_rate(expected: Sequence[str], heard: Sequence[str]) -> float:
    """Insertions, deletions and substitutions over the number of expected words (Levenshtein, unit costs).

    Words are compared as they are: bring both to one spelling first. 0 for nothing expected and nothing heard, and
    the number of words heard where nothing was expected.
    """
    row = list(range(len(heard) + 1))
    for i, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / max(1, len(expected))
