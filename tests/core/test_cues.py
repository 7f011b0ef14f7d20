from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.cues import match_words, shared_time
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
