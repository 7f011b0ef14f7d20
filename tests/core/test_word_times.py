"""Word times: the text's words in order, inside the sound, whatever the recogniser heard."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import (
    by_edit_distance,
    by_proportion,
    fit_within,
    sound_length,
    split_words,
    with_times,
    within_sound,
)

WORDS = st.lists(
    st.sampled_from(["Yes,", "the", "a", "—", "25", "Smith", "…", "naïve", "猫が", "don't"]), max_size=25
)
SECONDS = st.floats(0, 12, allow_nan=False)
SPAN = st.tuples(SECONDS, SECONDS).map(lambda pair: tuple(sorted(pair)))
SPANS = st.lists(SPAN, max_size=6)
DURATION = st.floats(0.05, 10)
STARTS = st.floats(-2, 32)
LENGTHS = st.floats(0, 3)
HEARD_TIMES = st.lists(st.tuples(STARTS, LENGTHS), max_size=30)


def heard_words(times: list[tuple[float, float]]) -> list[Word]:
    """Words of a recogniser, by their starts and lengths in seconds."""
    words = []
    for number, (start, length) in enumerate(times):
        word = Word(f" w{number}", start, start + length, 0.5)
        words.append(word)
    return words


def at(text: str, start: float, end: float) -> Word:
    return Word(f" {text}", start, end, 0.75)


def assert_sound(placed: list[Word], words: list[str], duration: float) -> None:
    assert [word.word for word in placed] == words
    for word in placed:
        assert 0 <= word.start < word.end <= duration
    for word, following in pairwise(placed):
        assert word.end <= following.start


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- Well ... 100 % yes !", ["-Well...", "100%", "yes!"]),
        ("...", ["..."]),
        ("  ", []),
        ("今日は「いい」ね。OK", ["今", "日", "は", "「い", "い」", "ね。", "OK"]),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        ("25", "to"),  # two words
        ("&", "a"),
        ("uh", "th"),
        ("ah", "rh"),
        ("tub", "rub"),
        ("猫", "c"),
        ("I", ""),
    ],
)
def test_word_of_which_more_is_spoken_is_longer(longer: str, shorter: str) -> None:
    assert sound_length(longer) > sound_length(shorter) > 0


@pytest.mark.parametrize(
    ("written", "spoken"), [("made", "mad"), ("write", "rit"), ("knock", "nok"), ("egg!", "EG")]
)
def test_letters_that_nobody_says_take_no_time(written: str, spoken: str) -> None:
    assert sound_length(written) == sound_length(spoken)


@given(HEARD_TIMES.map(heard_words), st.floats(0.05, 30))
def test_fitted_words_are_sorted_inside_apart_and_all_there(heard: list[Word], length: float) -> None:
    ordered = sorted(heard, key=lambda word: (word.start, word.end))
    words = [word.word for word in ordered]
    placed = fit_within(heard, length)
    assert_sound(placed, words, length)


@given(WORDS, SPANS, DURATION)
@example(["the"] * 20, [], 0.01)  # less than `SHORTEST_WORD` for each
def test_proportional_words_keep_text_order_and_bounds(words, spans, duration) -> None:
    placed = by_proportion(words, spans, duration)
    assert_sound(placed, words, duration)


@pytest.mark.parametrize(("first_part", "n_before"), [(0.7, 1), (0.8, 2), (1.2, 2), (1.3, 3)])
def test_word_that_would_straddle_a_pause_goes_to_the_side_where_more_of_it_is(
    first_part: float, n_before: int
) -> None:
    spans = [(0.0, first_part), (first_part + 1.0, 3.0)]  # 2 s of sound, half a second for each word
    placed = by_proportion(["so"] * 4, spans, 3.0)
    are_before = [word.start < first_part for word in placed]
    assert len(placed) == 4
    assert all(are_before[:n_before])
    assert not any(are_before[n_before:])
    assert placed[n_before - 1].end == pytest.approx(first_part)
    assert placed[n_before].start == pytest.approx(first_part + 1.0)
    assert placed[-1].end == 3.0


def test_matched_words_take_the_heard_times() -> None:
    heard = [at("well", 0.2, 0.5), at("isn't", 0.6, 0.9), at("it", 0.9, 1.0)]
    placed = by_edit_distance(["“Well,", "isn’t", "it?”"], heard, 2.0)
    assert placed is not None
    well, is_not, it = placed
    assert well == Word("“Well,", 0.2, 0.5, 0.75)
    assert is_not == Word("isn’t", 0.6, 0.9, 0.75)
    assert it == Word("it?”", 0.9, 1.0, 0.75)


def test_misheard_words_keep_the_text_and_take_its_room() -> None:
    heard = [at("my", 0.0, 0.2), at("brow", 0.5, 0.7), at("there", 0.7, 1.0), at("works", 1.0, 1.4)]
    placed = by_edit_distance(["my", "brother", "works"], heard, 2.0)
    assert placed is not None
    assert placed[1] == Word("brother", 0.5, 1.0, 0.0)


def test_unheard_words_share_the_room_by_their_letters() -> None:
    heard = [at("we", 0.0, 0.2), at("home", 1.2, 1.5)]
    placed = by_edit_distance(["we", "are", "practically", "home"], heard, 2.0)
    assert placed is not None
    _, short, long, _ = placed
    assert short.start == 0.2
    assert short.end == long.start
    assert long.end == 1.2
    short_length = short.end - short.start
    long_length = long.end - long.start
    assert long_length > 2 * short_length


def test_unheard_words_that_are_equally_long_have_half_of_the_room_up_to_the_next_word_each() -> None:
    heard = [at("we", 0.0, 0.2), at("home", 1.2, 1.5)]
    found = by_edit_distance(["we", "are", "are", "home"], heard, 2.0)
    assert found is not None
    spans = [(0.0, 0.2), (0.2, 0.7), (0.7, 1.2), (1.2, 1.5)]
    assert [(word.start, word.end) for word in found] == [pytest.approx(span) for span in spans]


@pytest.mark.parametrize(("duration", "end"), [(1.0, 1.0), (1.04, 1.04), (3.0, 3.0)])
def test_unheard_words_at_the_end_share_with_the_word_before_where_nothing_is_left(
    duration: float, end: float
) -> None:
    heard = [at("we", 0.0, 0.4), at("go", 0.4, 1.0)]
    placed = by_edit_distance(["we", "go", "home"], heard, duration)
    assert placed is not None
    we, go, home = placed
    assert we == Word("we", 0.0, 0.4, 0.75)
    assert go.start == pytest.approx(0.4)
    assert go.end == pytest.approx(home.start)
    assert home.end == pytest.approx(end)
    assert go.end - go.start > 0.2
    assert home.end - home.start > 0.2


@pytest.mark.parametrize("heard", [[], ["something", "else"], ["one", "x", "y", "z"]])
def test_too_little_heard_is_no_answer(heard: list[str]) -> None:
    words = []
    for index, text in enumerate(heard):
        words.append(at(text, index, index + 0.5))
    placed = by_edit_distance(["one", "two", "three"], words, 4.0)
    assert placed is None


def test_words_behind_one_that_the_text_lacks_keep_their_own_times() -> None:
    heard = [Word("Well", 0.0, 0.4, 0.9), Word("hello", 0.5, 0.9, 0.8), Word("there", 1.0, 1.5, 0.6)]
    timed = by_edit_distance(["Hello", "there."], heard, 2.0)
    assert timed == [Word("Hello", 0.5, 0.9, 0.8), Word("there.", 1.0, 1.5, 0.6)]


def test_words_without_a_time_take_that_of_others_within_the_room_that_is_left() -> None:
    texts = ["one", "two", "three", "four"]
    placed = [Word("one", 0.0, 1.0, None), Word("two", 1.0, 2.0, None), None, Word("four", 3.0, 3.5, None)]
    others = [Word(text, 0.75 * n, 0.75 * n + 0.9, 0.5 + n / 10) for n, text in enumerate(texts)]
    timed = with_times(texts, placed, others, 4.0)
    spans = [(0.0, 1.0), (1.0, 2.0), (2.0, 2.4), (3.0, 3.5)]
    assert [(word.start, word.end) for word in timed] == [pytest.approx(span) for span in spans]
    assert [word.probability for word in timed] == [0.5, 0.6, 0.7, 0.8]


def test_words_of_which_others_know_nothing_in_the_room_share_it() -> None:
    placed = [Word("Hello", 0.0, 1.0, None), None, None]
    others = [Word(text, 0.0, 1.0, None) for text in ("Hello", "there", "there")]
    timed = with_times(["Hello", "there", "there"], placed, others, 2.0)
    spans = [(0.0, 1.0), (1.0, 1.5), (1.5, 2.0)]
    assert [(word.start, word.end) for word in timed] == [pytest.approx(span) for span in spans]


def test_word_loses_the_silence_at_its_edges_unless_all_of_it_is_silent() -> None:
    words = [Word("loud", 1.0, 3.0, 0.5), Word("silent", 4.0, 5.0, 0.5)]
    assert within_sound(words, [(1.25, 1.5), (2.0, 2.5), (6.0, 7.0)]) == [
        Word("loud", 1.25, 2.5, 0.5), Word("silent", 4.0, 5.0, 0.5),
    ]  # fmt: skip
