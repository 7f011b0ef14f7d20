import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.words.cues import are_word_times, cues_within, match_words, shared_time
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import SHORTEST_WORD, join_words, split_words

SECONDS = st.floats(0, 60, allow_nan=False)
WORD_TIMES = st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=6)
TEXTS = st.text("ab 1.?-日本「」。", max_size=30)


def cue(text: str, start: float, end: float, *words: Word) -> Cue:
    return Cue("left", start, end, text, [*words])


def cue_with_edges(text: str, *edges: float) -> Cue:
    """A cue whose words follow each other without a pause, with these edges in seconds."""
    words = []
    for name, (start, end) in zip(text.split(), itertools.pairwise(edges), strict=True):
        words.append(Word(name, start, end))
    return cue(text, edges[0], edges[-1], *words)


def texts_of(words: list[Word]) -> list[str]:
    return [item.word for item in words]


@st.composite
def utterances(draw: st.DrawFn) -> list[tuple[float, float]]:
    hundredths = st.lists(st.integers(0, 6000), max_size=12, unique=True)
    drawn = sorted(draw(hundredths))
    edges = [edge / 100 for edge in drawn]
    starts = edges[::2]
    ends = edges[1::2]
    return [*zip(starts, ends, strict=False)]


@st.composite
def cues(draw: st.DrawFn) -> list[Cue]:
    made = []
    for number in range(draw(st.integers(0, 6))):
        times = (draw(SECONDS), draw(SECONDS))
        start, end = sorted(times)
        if draw(st.booleans()):
            made.append(cue(draw(TEXTS), start, end))
            continue
        words = []
        spans = sorted(sorted(pair) for pair in draw(WORD_TIMES))
        for index, span in enumerate(spans):
            name = f"w{number}.{index}"
            words.append(Word(name, *span))
        text = join_words(item.word for item in words)
        made.append(cue(text, start, end, *words))
    return made


@given(cues(), utterances(), st.floats(0, 5))
def test_every_word_is_in_one_utterance_or_left_over(given_cues, spans, distance) -> None:
    matched = match_words(given_cues, spans, distance)
    got = []
    for words in matched.words:
        got += texts_of(words)
    for _, words in matched.unmatched:
        got += texts_of(words)
    expected = []
    for item in given_cues:
        timed = [timed_word.word for timed_word in item.words]
        expected += timed or split_words(item.text)
    assert sorted(got) == sorted(expected)


@given(cues(), utterances(), st.floats(0, 5))
def test_words_lie_inside_their_utterance_in_order_and_apart(given_cues, spans, distance) -> None:
    matched = match_words(given_cues, spans, distance)
    for words, (start, end) in zip(matched.words, spans, strict=True):
        earliest = start
        for item in words:
            share = (end - start) / len(words)
            shortest = min(SHORTEST_WORD, share)
            assert earliest <= item.start < item.end <= end
            assert item.span.seconds >= shortest - 1e-9
            earliest = item.end


def test_word_near_no_utterance_is_left_over_with_its_own_times() -> None:
    near = Word("near", 1.8, 2.0)
    far = Word("far", 2.1, 2.3)
    spoken = cue("near far", 0, 9, near, far)
    matched = match_words([spoken], [(0.0, 1.0)], 1.0)
    assert matched.texts == ["near"]
    assert matched.unmatched == [(0, [Word("far", 2.1, 2.3)])]


def test_utterance_with_all_of_a_cue_has_the_text_of_the_cue() -> None:
    hello = Word("hello", 0, 1)
    world = Word("world", 1, 2)
    spoken = cue("Hello,  world!", 0, 2, hello, world)
    utterance = (0.0, 2.0)
    whole = match_words([spoken], [utterance], 1.0)
    assert whole.texts == ["Hello, world!"]
    halves = [(0.0, 1.0), (1.0, 2.0)]
    divided = match_words([spoken], halves, 1.0)
    assert divided.texts == ["hello", "world"]


def times_of(words: list[Word]) -> list[tuple[float, float]]:
    return [item.span for item in words]


def test_words_of_a_cue_that_reaches_beyond_the_speech_are_scaled_into_it_together() -> None:
    spoken = cue_with_edges("a b c", 0.0, 1.2, 2.6, 4.0)
    matched = match_words([spoken], [(0.5, 3.5)], 1.0)
    (words,) = matched.words
    scaled = [(0.5, 1.4), (1.4, 2.45), (2.45, 3.5)]
    assert times_of(words) == pytest.approx(scaled)
    assert all(item.fitted for item in words)


def test_word_that_reaches_a_little_beyond_the_speech_is_clipped_and_the_others_keep_their_times() -> None:
    spoken = cue_with_edges("a b c", 0.0, 1.2, 2.6, 4.0)
    matched = match_words([spoken], [(0.1, 3.9)], 1.0)
    (words,) = matched.words
    clipped = [(0.1, 1.2), (1.2, 2.6), (2.6, 3.9)]
    fitted = [item.fitted for item in words]
    assert times_of(words) == clipped
    assert fitted == [True, None, True]


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
    spoken = cue_with_edges("a b", 1.0, 2.0, 3.0)
    matched = match_words([spoken], [utterance], 2.0)
    (words,) = matched.words
    expected = [pytest.approx(span) for span in times]
    assert times_of(words) == expected


def test_scaling_the_words_of_a_cue_leaves_those_of_another_as_they_are() -> None:
    yes = Word("yes", 0.2, 0.9)
    before = cue("yes", 0, 1, yes)
    spoken = cue_with_edges("a b", 1.0, 2.4, 4.0)
    utterance = (0.0, 3.0)
    matched = match_words([before, spoken], [utterance], 1.0)
    (words,) = matched.words
    border = 1.0 + 2 * 1.4 / 3
    assert words[0] == Word("yes", 0.2, 0.9)
    first, second = times_of(words)[1:]
    assert first == pytest.approx((1.0, border))
    assert second == pytest.approx((border, 3.0))


SPEECH = [(1.0, 2.0), (3.5, 4.0), (7.0, 9.5)]


@pytest.mark.parametrize(("late", "share"), [(0.0, 1.0), (0.5, 1 / 3), (1.5, 0.0)])
def test_time_in_common_is_that_of_the_text_that_falls_on_speech(late: float, share: float) -> None:
    spoken = [(start + late, end + late) for start, end in SPEECH[:2]]
    shared = shared_time([(spoken, SPEECH)])
    assert shared == pytest.approx(share, abs=0.1)
    assert shared_time([([], [])]) == 0.0


def are_fitted(*words: Word) -> list[bool]:
    spoken = cue("a b c", 0.5, 3.5, *words)
    matched = match_words([spoken], [(0.0, 4.0)], 0.5)
    (placed,) = matched.words
    return [item.fitted is True for item in placed]


def test_times_that_nobody_has_given_to_single_words_are_said_to_be_fitted() -> None:
    evenly = cue_with_edges("a b c", 0.5, 1.5, 2.5, 3.5)
    single = [Word("a", 0.5, 1.4), Word("b", 1.5, 2.7), Word("c", 2.8, 3.4)]
    assert are_fitted() == [True] * 3
    assert are_fitted(*evenly.words) == [True] * 3
    assert are_fitted(*single) == [False] * 3


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
    words = [Word("so", start, start + 0.2) for start in starts]
    assert are_word_times(words, 1.0, 3.0) is believed


# Cutting


def part_cue(start: float, end: float, text: str, *times: tuple[float, float], channel: str = "left") -> Cue:
    words = []
    for name, span in zip(text.split(), times, strict=False):
        words.append(Word(name, *span))
    return Cue(channel, start, end, text, words)


def test_cue_with_words_is_cut_at_their_midpoints() -> None:
    whole = part_cue(8, 12, "a b c", (8, 9), (9.6, 10.2), (10.2, 12))
    first = part_cue(8, 10, "a b", (8, 9), (9.6, 10))
    assert cues_within([whole], 0, 10) == [first]
    start = pytest.approx(0.2)
    second = part_cue(start, 2, "c", (start, 2))
    assert cues_within([whole], 10, 5) == [second]


@pytest.mark.parametrize(
    ("whole", "start", "part"),
    [
        (part_cue(8, 11, "a b"), 0, part_cue(8, 10, "a b")),
        (part_cue(9, 12, "a b"), 10, part_cue(0, 2, "a b")),
        (part_cue(9, 12, "a b"), 0, part_cue(0, 10, "")),
    ],
)
def test_cue_without_words_goes_to_the_side_of_its_midpoint(whole: Cue, start: float, part: Cue) -> None:
    assert cues_within([whole], start, 10) == [part]


def test_what_lies_past_the_end_of_the_recording_belongs_to_the_last_conversation() -> None:
    whole = part_cue(21, 22, "late")
    part = part_cue(11, 12, "late")
    parts = cues_within([whole], 10, 10, last=True)
    assert parts == [part]


def test_channel_that_is_silent_here_stays_marked_as_transcribed() -> None:
    spoken = part_cue(1, 2, "a")
    elsewhere = part_cue(15, 16, "b", channel="right")
    silent = part_cue(0, 10, "", channel="right")
    parts = cues_within([spoken, elsewhere], 0, 10)
    assert parts == [silent, spoken]
    assert cues_within([], 0, 10) == []


TENTHS = st.integers(0, 400).map(lambda tenths: tenths / 10)
TIMES = st.tuples(TENTHS, TENTHS).map(lambda pair: tuple(sorted(pair)))


@given(
    st.lists(st.tuples(TIMES, st.lists(TIMES, max_size=4).map(sorted)), max_size=6),
    st.lists(st.integers(1, 29), max_size=3, unique=True).map(sorted),
)
def test_conversations_share_out_every_word_once(drawn, borders) -> None:
    cues = []
    for number, (span, times) in enumerate(drawn):
        n_words = len(times) or 2
        names = [f"w{number}.{index}" for index in range(n_words)]
        text = " ".join(names)
        cues.append(part_cue(*span, text, *times))
    edges = [0, *borders, 30]
    got = []
    for start, end in itertools.pairwise(edges):
        is_last = end == 30
        for part in cues_within(cues, start, end - start, last=is_last):
            got += part.text.split()
            assert 0 <= part.start <= part.end
            assert is_last or part.end <= end - start
    expected = []
    for whole in cues:
        expected += whole.text.split()
    assert sorted(got) == sorted(expected)
