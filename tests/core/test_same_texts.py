from random import Random

import pytest

from dailytalk_contiguous.core.words.same_texts import FEWEST_WORDS, SameTexts

WORDS = [f"word{number}" for number in range(400)]
WEIGHTS = [1 / (number + 1) for number in range(400)]


def spoken(random: Random, count: int) -> list[str]:
    """Words of which a few are common, as in talk."""
    return random.choices(WORDS, WEIGHTS, k=count)


def misheard(random: Random, words: list[str], share: float) -> list[str]:
    """The words of which a share is others."""
    return [f"other{word}" if random.random() < share else word for word in words]


def test_copies_are_found_among_calls_that_open_with_the_same_words() -> None:
    random = Random(0)
    opening = spoken(random, 40)
    calls = {f"call{number}": opening + spoken(random, 300) for number in range(300)}
    texts = SameTexts()
    for name, words in calls.items():
        texts.add(name, words)
    assert texts.pairs == []
    for number in range(0, 300, 10):
        texts.add(f"copy{number}", misheard(random, calls[f"call{number}"], 0.06))
    assert texts.pairs == [(f"call{number}", f"copy{number}") for number in range(0, 300, 10)]


@pytest.mark.parametrize(("share", "found"), [(0.0, True), (0.05, True), (0.2, False), (0.5, False)])
def test_nine_of_ten_words_are_the_same(share: float, found: bool) -> None:
    random = Random(1)
    texts = SameTexts()
    words = spoken(random, 1000)
    texts.add("call", words)
    texts.add("copy", misheard(random, words, share))
    assert bool(texts.pairs) == found


def test_order_of_words_counts_and_case_and_marks_do_not() -> None:
    texts = SameTexts()
    words = [f"word{number}" for number in range(50)]
    texts.add("call", words)
    texts.add("backwards", words[::-1])
    texts.add("part", words[:40])
    assert texts.pairs == []
    texts.add("written", [f"{word.upper()}," for word in words])
    assert texts.pairs == [("call", "written")]


def test_a_few_words_are_the_same_by_chance() -> None:
    texts = SameTexts()
    for name in ("a", "b"):
        texts.add(name, ["yes"] * (FEWEST_WORDS - 1))
    assert texts.pairs == []
