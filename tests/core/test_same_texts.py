from random import Random

import pytest

from dailytalk_contiguous.core.words.same_texts import FEWEST_WORDS, hash_words, same_texts
from dailytalk_contiguous.core.words.word import Word

WORDS = [f"word{number}" for number in range(400)]
WEIGHTS = [1 / (number + 1) for number in range(400)]


def spoken(random: Random, count: int) -> list[str]:
    """Words of which a few are common, as in talk."""
    return random.choices(WORDS, WEIGHTS, k=count)


def misheard(random: Random, words: list[str], share: float) -> list[str]:
    """The words of which a share is others."""
    return [f"other{word}" if random.random() < share else word for word in words]


def pairs_of(texts: dict[str, list[str]]) -> list[tuple[str, str]]:
    hashes = {}
    for name, words in texts.items():
        hashes[name] = hash_words(Word(word, number, number + 1.0) for number, word in enumerate(words))
    return same_texts(hashes)


def test_copies_are_found_among_calls_with_one_announcement() -> None:
    random = Random(0)
    announcement = spoken(random, 80)
    texts = {f"call{number:03d}": announcement + spoken(random, 300) for number in range(300)}
    texts["hung up"] = announcement
    assert pairs_of(texts) == []
    copied = [f"call{number:03d}" for number in range(0, 300, 10)]
    for name in copied:
        texts[f"copy of {name}"] = misheard(random, texts[name], 0.03)
    assert pairs_of(texts) == [(name, f"copy of {name}") for name in copied]


def test_parts_of_a_call_are_found_in_it_however_many_there_are() -> None:
    random = Random(1)
    call = spoken(random, 900)
    texts = {"call": call, "other recorder": call[25:]}
    for start in range(0, 900, 75):
        texts[f"part{start}"] = call[start : start + 150]
    texts["clip"] = call[320:390]
    texts["other"] = spoken(random, 900)
    pairs = pairs_of(texts)
    assert {name for pair in pairs for name in pair} == texts.keys() - {"other"}


def test_words_that_two_calls_alone_share_are_found_and_of_three_are_an_announcement() -> None:
    random = Random(2)
    script = spoken(random, FEWEST_WORDS)
    calls = {f"call{number}": script + spoken(random, 200) for number in range(3)}
    assert pairs_of(calls) == []
    calls.popitem()
    assert pairs_of(calls) == [("call0", "call1")]


@pytest.mark.parametrize(("share", "is_found"), [(0.0, True), (0.05, True), (0.3, False)])
def test_some_words_may_be_misheard(share: float, is_found: bool) -> None:
    random = Random(3)
    call = spoken(random, 1000)
    part = misheard(random, call[300:700], share)
    assert bool(pairs_of({"call": call, "part": part})) == is_found


def test_order_of_words_counts_and_case_and_marks_do_not() -> None:
    words = [f"word{number}" for number in range(80)]
    written = [f"{word.upper()}," for word in words]
    texts = {"call": words, "backwards": words[::-1], "written": written}
    assert pairs_of(texts) == [("call", "written")]


def test_fewer_words_are_the_same_by_chance() -> None:
    words = [f"word{number}" for number in range(FEWEST_WORDS - 1)]
    assert pairs_of({"a": words, "b": words}) == []


def test_order_in_which_sides_overlap_does_not_count() -> None:
    left = [Word(f"left{number}", number, number + 1.0, speaker="left") for number in range(40)]
    right = [Word(f"right{number}", number + 0.5, number + 1.5, speaker="right") for number in range(40)]
    later = [Word(word.word, word.start + 0.6, word.end + 0.6, speaker="right") for word in right]
    texts = {}
    for name, words in (("call", left + right), ("other recorder", left + later)):
        texts[name] = hash_words(sorted(words, key=lambda word: word.start))
    assert same_texts(texts) == [("call", "other recorder")]
