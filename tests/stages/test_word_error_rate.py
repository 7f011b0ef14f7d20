"""Word error rate against its definition."""

from itertools import product

import pytest

from dailytalk_contiguous.stages.take_choice import compare_words


def brute(expected: list[str], heard: list[str]) -> int:
    """Levenshtein by its recursion."""
    if not expected or not heard:
        return len(expected) + len(heard)
    return min(
        brute(expected[1:], heard) + 1,
        brute(expected, heard[1:]) + 1,
        brute(expected[1:], heard[1:]) + (expected[0] != heard[0]),
    )


def test_it_is_the_cheapest_way_for_all_short_texts() -> None:
    texts = [list(text) for size in range(4) for text in product("ab", repeat=size)]
    for expected, heard in product(texts, texts):
        assert compare_words(expected, heard)[0] * max(1, len(expected)) == pytest.approx(brute(expected, heard))


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
    assert compare_words(expected.split(), heard.split())[1] is missing
