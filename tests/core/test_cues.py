import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.cues import are_word_times, cues_within, match_words, shared_time
from dailytalk_contiguous.core.word_times import SHORTEST_WORD, join_words, split_words

SECONDS = st.floats(0, 60, allow_nan=False)
TEXTS = st.text("ab 1.?-日本「」。", max_size=30)


def word(text: str, start: float, end: float) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end, "probability": None}


def cue(text: str, start: float, end: float, *words: dict[str, Any]) -> dict[str, Any]:
    return {"channel": "left", "start": start, "end": end, "text": text, "words": list(words)}


@st.composite
def utterances(draw: st.DrawFn) -> list[tuple[float, float]]:
    edges = sorted(draw(st.lists(st.integers(0, 6000), max_size=12, unique=True)))
    return [(a / 100, b / 100) for a, b in zip(edges[::2], edges[1::2], strict=False)]


@st.composite
def cues(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for number in range(draw(st.integers(0, 6))):
        start, end = sorted((draw(SECONDS), draw(SECONDS)))
        if draw(st.booleans()):
            made.append(cue(draw(TEXTS), start, end))
        else:
            times = [sorted(pair) for pair in draw(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=6))]
            words = [word(f"w{number}.{place}", *pair) for place, pair in enumerate(sorted(times))]
            made.append(cue(join_words(w["word"] for w in words), start, end, *words))
    return made


@given(cues(), utterances(), st.floats(0, 5))
def test_every_word_is_in_one_utterance_or_left_over(given_cues, spans, distance) -> None:
    matched = match_words(given_cues, spans, distance)
    got = [w["word"] for words in matched.words for w in words]
    got += [w["word"] for _, words in matched.left_over for w in words]
    expected = [w for c in given_cues for w in ([x["word"] for x in c["words"]] or split_words(c["text"]))]
    assert sorted(got) == sorted(expected)


@given(cues(), utterances(), st.floats(0, 5))
def test_words_lie_inside_their_utterance_in_order_and_apart(given_cues, spans, distance) -> None:
    matched = match_words(given_cues, spans, distance)
    for words, (start, end) in zip(matched.words, spans, strict=True):
        at = start
        for item in words:
            assert at <= item["start"] < item["end"] <= end
            assert item["end"] - item["start"] >= min(SHORTEST_WORD, (end - start) / len(words)) - 1e-9
            at = item["end"]


def test_word_near_no_utterance_is_left_over_with_its_own_times() -> None:
    said = cue("near far", 0, 9, word("near", 1.8, 2.0), word("far", 2.1, 2.3))
    matched = match_words([said], [(0.0, 1.0)], 1.0)
    assert matched.texts == ["near"]
    assert matched.left_over == [(0, [word("far", 2.1, 2.3)])]


def test_utterance_with_all_of_a_cue_has_the_text_of_the_cue() -> None:
    said = cue("Hello,  world!", 0, 2, word("hello", 0, 1), word("world", 1, 2))
    assert match_words([said], [(0.0, 2.0)], 1.0).texts == ["Hello, world!"]
    assert match_words([said], [(0.0, 1.0), (1.0, 2.0)], 1.0).texts == ["hello", "world"]


def times_of(words: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(item["start"], item["end"]) for item in words]


def test_words_of_a_cue_that_reaches_beyond_the_speech_are_scaled_into_it_together() -> None:
    said = cue("a b c", 0, 4, word("a", 0.0, 1.2), word("b", 1.2, 2.6), word("c", 2.6, 4.0))
    (words,) = match_words([said], [(0.5, 3.5)], 1.0).words
    assert times_of(words) == pytest.approx([(0.5, 1.4), (1.4, 2.45), (2.45, 3.5)])
    assert all(item["fitted"] for item in words)


def test_word_that_reaches_a_little_beyond_the_speech_is_clipped_and_the_others_keep_their_times() -> None:
    said = cue("a b c", 0, 4, word("a", 0.0, 1.2), word("b", 1.2, 2.6), word("c", 2.6, 4.0))
    (words,) = match_words([said], [(0.1, 3.9)], 1.0).words
    assert times_of(words) == [(0.1, 1.2), (1.2, 2.6), (2.6, 3.9)]
    assert [item.get("fitted") for item in words] == [True, None, True]


@pytest.mark.parametrize(
    ("utterance", "times"),
    [
        ((0.0, 1.3), [(0.3, 0.8), (0.8, 1.3)]),
        ((2.7, 4.0), [(2.7, 3.2), (3.2, 3.7)]),
        ((1.9, 2.1), [(1.9, 2.0), (2.0, 2.1)]),  # there is no room for more
    ],
)
def test_words_mostly_outside_the_speech_keep_half_their_length(
    utterance: tuple[float, float], times: list[tuple[float, float]]
) -> None:
    said = cue("a b", 1, 3, word("a", 1.0, 2.0), word("b", 2.0, 3.0))
    (words,) = match_words([said], [utterance], 2.0).words
    assert times_of(words) == [pytest.approx(span) for span in times]


def test_scaling_the_words_of_a_cue_leaves_those_of_another_as_they_are() -> None:
    before = cue("yes", 0, 1, word("yes", 0.2, 0.9))
    said = cue("a b", 1, 4, word("a", 1.0, 2.4), word("b", 2.4, 4.0))
    (words,) = match_words([before, said], [(0.0, 3.0)], 1.0).words
    assert words[0] == word("yes", 0.2, 0.9)
    assert times_of(words)[1:] == [
        pytest.approx((1.0, 1.0 + 2 * 1.4 / 3)),
        pytest.approx((1.0 + 2 * 1.4 / 3, 3.0)),
    ]


SPEECH = [(1.0, 2.0), (3.5, 4.0), (7.0, 9.5)]


@pytest.mark.parametrize(("late", "share"), [(0.0, 1.0), (0.5, 1 / 3), (1.5, 0.0)])
def test_time_in_common_is_that_of_the_text_that_falls_on_speech(late: float, share: float) -> None:
    said = [cue("yes", start + late, end + late) for start, end in SPEECH[:2]]
    assert shared_time([(said, SPEECH)]) == pytest.approx(share, abs=0.1)
    assert shared_time([([], [])]) == 0.0


def test_times_that_nobody_has_given_to_single_words_are_said_to_be_fitted() -> None:
    spans = [(0.0, 4.0)]

    def fitted(*words: dict) -> list[bool]:
        ((found,),) = [match_words([cue("a b c", 0.5, 3.5, *words)], spans, 0.5).words]
        return [one.get("fitted") is True for one in found]

    assert fitted() == [True] * 3
    assert fitted(word("a", 0.5, 1.5), word("b", 1.5, 2.5), word("c", 2.5, 3.5)) == [True] * 3
    assert fitted(word("a", 0.5, 1.4), word("b", 1.5, 2.7), word("c", 2.8, 3.4)) == [False] * 3


@pytest.mark.parametrize(
    ("starts", "believed"),
    [
        ((), True),
        ((1.0, 1.5, 2.0), True),
        ((1.0, 1.5, 1.5), True),
        ((1.0, 1.0), False),  # not more than half of the times are different
        ((1.5, 1.0, 2.0), False),  # not in the order of the text
        ((0.1, 1.5), True),
        ((-0.1, 1.5), False),  # more than a second before the cue
        ((1.0, 3.8), True),
        ((1.0, 3.9), False),
    ],
)
def test_times_of_words_that_cannot_be_theirs_are_not_believed(starts: tuple[float, ...], believed: bool) -> None:
    words = [word("so", start, start + 0.2) for start in starts]
    assert are_word_times(words, 1.0, 3.0) is believed


# Cutting


def part_cue(
    start: float, end: float, text: str, *times: tuple[float, float], channel: str = "left"
) -> dict[str, Any]:
    words = [
        {"word": word, "start": a, "end": b, "probability": None}
        for word, (a, b) in zip(text.split(), times, strict=False)
    ]
    about = dict.fromkeys(("language", "speaker", "mark", "mark_kind"))
    return about | {"channel": channel, "start": start, "end": end, "text": text, "words": words}


def test_cue_with_words_is_cut_at_their_midpoints() -> None:
    whole = part_cue(8, 12, "a b c", (8, 9), (9.6, 10.2), (10.2, 12))
    assert cues_within([whole], 0, 10) == [part_cue(8, 10, "a b", (8, 9), (9.6, 10))]
    assert cues_within([whole], 10, 5) == [part_cue(pytest.approx(0.2), 2, "c", (pytest.approx(0.2), 2))]


def test_cue_without_words_goes_to_the_side_of_its_midpoint() -> None:
    assert cues_within([part_cue(8, 11, "a b")], 0, 10) == [part_cue(8, 10, "a b")]
    assert cues_within([part_cue(9, 12, "a b")], 10, 10) == [part_cue(0, 2, "a b")]
    assert cues_within([part_cue(9, 12, "a b")], 0, 10) == [part_cue(0, 10, "")]


def test_what_lies_past_the_end_of_the_recording_belongs_to_the_last_conversation() -> None:
    assert cues_within([part_cue(21, 22, "late")], 10, 10, last=True) == [part_cue(11, 12, "late")]


def test_channel_that_is_silent_here_stays_marked_as_transcribed() -> None:
    cues = [part_cue(1, 2, "a"), part_cue(15, 16, "b", channel="right")]
    assert cues_within(cues, 0, 10) == [part_cue(0, 10, "", channel="right"), part_cue(1, 2, "a")]
    assert cues_within([], 0, 10) == []


TIMES = st.tuples(st.integers(0, 400), st.integers(0, 400)).map(lambda pair: tuple(t / 10 for t in sorted(pair)))


@given(
    st.lists(st.tuples(TIMES, st.lists(TIMES, max_size=4).map(sorted)), max_size=6),
    st.lists(st.integers(1, 29), max_size=3, unique=True).map(sorted),
)
def test_conversations_share_out_every_word_once(drawn, borders) -> None:
    cues = [
        part_cue(*span, " ".join(f"w{n}.{k}" for k in range(len(times) or 2)), *times)
        for n, (span, times) in enumerate(drawn)
    ]
    edges = [0, *borders, 30]
    got = []
    for start, end in itertools.pairwise(edges):
        for part in cues_within(cues, start, end - start, last=end == 30):
            got += part["text"].split()
            assert 0 <= part["start"] <= part["end"]
            assert end == 30 or part["end"] <= end - start
    assert sorted(got) == sorted(word for whole in cues for word in whole["text"].split())
