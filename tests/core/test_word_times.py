"""Word times: the text's words in order, inside the sound, whatever the recogniser heard."""

from itertools import pairwise

import numpy as np
import pytest
from figures import figures
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core import word_times
from dailytalk_contiguous.core.word_times import (
    Word,
    by_edit_distance,
    by_proportion,
    normalise,
    sound_length,
    voiced_spans,
)

WORDS = st.lists(
    st.sampled_from(["Yes,", "the", "a", "—", "25", "Smith", "…", "naïve", "猫が", "don't"]), max_size=25
)
SECONDS = st.floats(0, 12, allow_nan=False)
SPANS = st.lists(st.tuples(SECONDS, SECONDS).map(lambda pair: tuple(sorted(pair))), max_size=6)
DURATION = st.floats(0.05, 10)


def at(text: str, start: float, end: float) -> Word:
    return Word(f" {text}", start, end, 0.75)


def assert_sound(found: list[Word], words: list[str], duration: float) -> None:
    assert [word.text for word in found] == words
    assert all(0 <= word.start < word.end <= duration for word in found)
    assert all(one.end <= two.start for one, two in pairwise(found))


@given(WORDS, SPANS, DURATION)
def test_proportional_words_keep_text_order_and_bounds(words, spans, duration) -> None:
    assert_sound(by_proportion(words, spans, duration), words, duration)


def test_matched_words_take_the_heard_times() -> None:
    heard = [at("well", 0.2, 0.5), at("isn't", 0.6, 0.9), at("it", 0.9, 1.0)]
    found = by_edit_distance(["“Well,", "isn’t", "it?”"], heard, 2.0)
    assert found == [Word("“Well,", 0.2, 0.5, 0.75), Word("isn’t", 0.6, 0.9, 0.75), Word("it?”", 0.9, 1.0, 0.75)]


def test_misheard_words_keep_the_text_and_take_its_room() -> None:
    heard = [at("my", 0.0, 0.2), at("brow", 0.5, 0.7), at("there", 0.7, 1.0), at("works", 1.0, 1.4)]
    found = by_edit_distance(["my", "brother", "works"], heard, 2.0)
    assert found is not None
    assert found[1] == Word("brother", 0.5, 1.0, 0.0)


def test_unheard_words_share_the_room_by_their_letters() -> None:
    heard = [at("we", 0.0, 0.2), at("home", 1.2, 1.5)]
    found = by_edit_distance(["we", "are", "practically", "home"], heard, 2.0)
    assert found is not None
    assert (found[1].start, found[2].end) == (0.2, 1.2)
    assert found[1].end == found[2].start
    assert found[2].end - found[2].start > 2 * (found[1].end - found[1].start)


@pytest.mark.parametrize(("duration", "end"), [(1.0, 1.0), (1.04, 1.04), (3.0, 3.0)])
def test_unheard_words_at_the_end_share_with_the_word_before_where_nothing_is_left(
    duration: float, end: float
) -> None:
    found = by_edit_distance(["we", "go", "home"], [at("we", 0.0, 0.4), at("go", 0.4, 1.0)], duration)
    assert found is not None
    assert found[0] == Word("we", 0.0, 0.4, 0.75)
    assert found[1].start == pytest.approx(0.4)
    assert found[2].end == pytest.approx(end)
    assert found[1].end == pytest.approx(found[2].start)
    shares = [word.end - word.start for word in found[1:]]
    assert min(shares) > 0.2


def test_a_swallowed_word_shares_with_both_neighbours_and_nobody_else() -> None:
    heard = [at("come", 0.0, 0.5), at("back", 0.5, 1.0), at("house", 1.0, 1.5), at("now", 1.5, 2.0)]
    found = by_edit_distance(["come", "back", "the", "house", "now"], heard, 2.0)
    assert found is not None
    assert (found[0], found[4]) == (Word("come", 0.0, 0.5, 0.75), Word("now", 1.5, 2.0, 0.75))
    assert (found[1].start, found[3].end) == (0.5, 1.5)
    assert found[1].end < 1.0 < found[3].start


@pytest.mark.parametrize("heard", [[], ["something", "else"], ["one", "x", "y", "z"]])
def test_too_little_heard_is_no_answer(heard: list[str]) -> None:
    words = [at(text, index, index + 0.5) for index, text in enumerate(heard)]
    assert by_edit_distance(["one", "two", "three"], words, 4.0) is None


def test_a_comma_says_which_word_comes_before_the_pause() -> None:
    spans = [(0.0, 0.5), (1.0, 2.0)]
    words = ["No,", "I", "shall", "stay", "here"]
    assert by_proportion(words, spans, 2.0)[0].end == pytest.approx(0.5)
    assert by_proportion(words, spans, 2.0)[1].start == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("word", "length"),
    [
        ("猫", 2.6),  # a sign without capitals is a syllable: 1.6 + 1.0
        ("ねこ", 5.2),
        ("бак", 3.0),  # a letter of an alphabet with capitals is 1.0
        ("ΓΗΣ", 3.0),
        ("ß", 1.0),  # compared as ss, the second of which adds nothing
        ("ø", 1.0),
        ("7", 4.5),
        ("%", 4.0),
        ("t", 1.0),
        ("a", 1.6),
        ("ea", 2.2),
        ("l", 0.8),
        ("th", 1.0),
        ("tt", 1.0),
        ("tate", 3.6),
        ("", 0.0),
    ],
)
def test_length_of_a_word_is_that_of_its_letters_and_six_tenths(word: str, length: float) -> None:
    assert sound_length(word) == pytest.approx(0.6 + length)


def test_marks_case_and_accents_make_no_difference() -> None:
    assert normalise(" “Café’s!") == normalise("CAFES") == "cafes"
    assert normalise("—") == ""


def test_swallowed_word_takes_of_its_neighbours_only_where_it_has_no_room_of_its_own() -> None:
    enough = by_edit_distance(["the", "house"], [at("house", 0.06, 0.5)], 1.0)
    assert enough == [Word("the", 0.0, 0.06, 0.0), Word("house", 0.06, 0.5, 0.75)]
    less = by_edit_distance(["the", "house"], [at("house", 0.05, 0.5)], 1.0)
    assert less is not None
    assert less[0].end == less[1].start > 0.1


@pytest.mark.parametrize(("text", "heard"), [
    (["a", "b", "c", "home"], ["home"]),
    (["home", "a", "b", "c"], ["home"]),
    (["home"], ["a", "b", "c", "home"]),
    (["home"], ["home", "a", "b", "c"]),
])  # fmt: skip
def test_words_are_found_whatever_comes_before_between_and_behind_them(
    text: list[str], heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_times, "MIN_MATCHED", 0.0)
    words = [at(word, place + 2.0, place + 2.5) for place, word in enumerate(heard)]
    found = by_edit_distance(text, words, 9.0)
    assert found is not None
    for word in found:
        start = heard.index("home") + 2.0
        assert word == Word("home", start, start + 0.5, 0.75) if word.text == "home" else word.probability == 0.0


LINE = [
    "Well,",
    "I",
    "never",
    "-",
    "she",
    "said",
    "it",
    "was",
    "25%",
    "off,",
    "didn't",
    "she?",
    "Yes:",
    "all",
    "of",
    "it.",
]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [32, 300.26869154, 98.023349645, 121.07496223]),
        ([(0.2, 1.1), (1.4, 2.6), (2.9, 4.1), (4.2, 5.0)], [32, 322.52706884, 103.12380585, 125.4645807]),
        ([(0.0, 0.3), (1.0, 5.5)], [32, 329.80686787, 105.08217684, 127.10015592]),
        ([(3.0, 3.2), (3.6, 3.7)], [32, 350.49486027, 107.95935952, 119.89616574]),
    ],
)
def test_words_are_laid_as_in_the_version_before(spans: list[tuple[float, float]], expected: list[float]) -> None:
    words = by_proportion(LINE, spans, 5.2)
    assert figures([(word.start, word.end) for word in words]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (
            "well i never she said it was twenty five percent off didn't she yes all of it",
            [48, 286.165, 104.62446809, 126.67188773],
        ),
        ("well never he said it off did she yes all of", [48, 134.09062213, 70.288056093, 85.577486213]),
        (
            "oh well i never ever she said that it was off she yes all it is",
            [48, 282.64, 104.81702127659574, 122.96422589406971],
        ),
    ],
)
def test_heard_words_give_their_times_as_in_the_version_before(
    heard: str, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_times, "MIN_MATCHED", 0.3)
    words = [at(text, 0.1 + 0.3 * n, 0.3 + 0.3 * n) for n, text in enumerate(heard.split())]
    found = by_edit_distance(LINE, words, 5.2, [(0.1, 2.0), (2.3, 4.9)])
    assert found is not None
    told = [(word.start, word.end, word.probability) for word in found]
    assert figures(told) == pytest.approx(expected, rel=1e-9)


def test_sound_is_as_in_the_version_before() -> None:
    rate = 8000
    levels = (-90, -20, -52, -90, -30, -90, -58, -90, -20, -90)
    counts = (20, 30, 10, 5, 2, 10, 10, 3, 1, 12)
    samples = np.concatenate([np.full(80 * n, 10 ** (db / 20)) for db, n in zip(levels, counts, strict=True)])
    samples = np.append(samples, np.full(30, 0.1)).astype(np.float32)
    assert np.allclose(voiced_spans(samples, rate), [(0.2, 0.6), (0.65, 0.67)])
    assert voiced_spans(np.full(800, 10 ** (-80.1 / 20), np.float32), rate) == []
    assert voiced_spans(np.full(800, 10 ** (-79.9 / 20), np.float32), rate) == [(0.0, 0.1)]
