"""Word error rate against its definition."""

from itertools import product

import pytest

from dailytalk_contiguous.stages.take_verdicts import compare_words


def brute(expected: list[str], heard: list[str]) -> int:
    """Levenshtein by its recursion."""
    if not expected or not heard:
        return len(expected) + len(heard)
    deletion = brute(expected[1:], heard) + 1
    insertion = brute(expected, heard[1:]) + 1
    substitution = brute(expected[1:], heard[1:])
    if expected[0] != heard[0]:
        substitution += 1
    return min(deletion, insertion, substitution)


def test_it_is_the_cheapest_way_for_all_short_texts() -> None:
    texts: list[list[str]] = []
    for size in range(4):
        texts += map(list, product("ab", repeat=size))
    for expected, heard in product(texts, texts):
        rate, _ = compare_words(expected, heard)
        errors = rate * max(1, len(expected))
        fewest = brute(expected, heard)
        assert errors == pytest.approx(fewest)


@pytest.mark.parametrize(
    ("expected", "heard", "missing"),
    [
        ("we meet at seven", "we meet at", True),
        ("we meet at seven", "we meet at heaven", False),
        ("we meet at seven", "meet at seven", False),
        ("seven", "", True),
    ],
)
def test_last_word_is_missing_only_where_nothing_is_heard_in_its_place(
    expected: str, heard: str, missing: bool
) -> None:
    true_words = expected.split()
    heard_words = heard.split()
    _, last_missing = compare_words(true_words, heard_words)
    assert last_missing is missing
