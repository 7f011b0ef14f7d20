"""Which side of a conversation is whose voice, by vectors that are made up."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.voice_likeness import (
    FIRST_LOOK,
    LONGEST_SIDE,
    ConversationVoices,
    halves_of_speech,
    match_voices,
    voiced_side,
)

LEAST = 0.72
N_PEOPLE = 12


def voice_of(person: int, seed: int = 0) -> NDArray[np.float32]:
    """Two halves of a person's speech, which are alike by over 0.9; any two people are by about 0.5."""
    generator = np.random.default_rng(seed)
    drawn = generator.random((2, N_PEOPLE))
    vectors = 0.2 + 0.05 * drawn
    vectors[:, person] = 1.0
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / norms, np.float32)


def talk(name: str, left: int, right: int, voice: str = "joe", seconds: float = 20.0) -> ConversationVoices:
    left_voice = voice_of(left, seed=1)
    right_voice = voice_of(right, seed=2)
    left_side = voiced_side(left_voice, seconds)
    right_side = voiced_side(right_voice, seconds)
    sides = {"left": left_side, "right": right_side}
    return ConversationVoices(name, 60.0, voice, sides)


def judged(*conversations: ConversationVoices) -> tuple[set[str], set[str]]:
    """The conversations whose sides are exchanged, and those with another voice on the left."""
    matches = match_voices(conversations, LEAST)
    exchanged = set()
    others = set()
    for match in matches:
        name = match.conversation.conversation_id
        if match.is_exchanged:
            exchanged.add(name)
        if match.is_other(LEAST):
            others.add(name)
    return exchanged, others


def test_one_voice_with_many_people_is_neither_exchanged_nor_another() -> None:
    conversations = [talk("a", 0, 1), talk("b", 0, 2), talk("c", 0, 1)]
    exchanged, others = judged(*conversations)
    assert exchanged == set()
    assert others == set()


@pytest.mark.parametrize("person", [1, 2])
def test_exchanged_conversation_is_named_whoever_talks_in_the_others(person: int) -> None:
    wrong = talk("b", 2, 0)
    exchanged, others = judged(talk("a", 0, 1), wrong, talk("c", 0, person))
    assert exchanged == {"b"}
    assert others == set()


def test_voice_is_found_where_most_conversations_are_exchanged() -> None:
    wrong = [talk(f"talk {person}", person, 0) for person in range(1, 6)]
    exchanged, others = judged(*wrong, talk("right", 0, 7))
    names = {f"talk {person}" for person in range(1, 6)}
    assert exchanged == names
    assert others == set()


def test_kept_speaker_of_all_conversations_is_not_taken_for_the_voice() -> None:
    conversations = []
    for name, person in (("a", 3), ("b", 4), ("c", 5)):
        unlike = voice_of(0) + 0.3 * voice_of(person)
        left = voiced_side(unlike, 20.0)
        right = voiced_side(voice_of(1), 20.0)
        sides = {"left": left, "right": right}
        conversations.append(ConversationVoices(name, 60.0, "joe", sides))
    exchanged, others = judged(*conversations)
    assert exchanged == set()
    assert others == set()


def test_another_voice_on_the_left_is_not_an_exchange() -> None:
    another = talk("b", 3, 2)
    exchanged, others = judged(talk("a", 0, 1), another, talk("c", 0, 1))
    assert exchanged == set()
    assert others == {"b"}


def test_kept_speaker_who_is_a_little_like_the_voice_is_no_exchange() -> None:
    usual = [talk(name, 0, 1) for name in "acd"]
    alike = voiced_side(voice_of(0) + voice_of(5), 20.0)
    other = talk("b", 3, 1)
    sides = {"left": other.sides["left"], "right": alike}
    exchanged, others = judged(*usual, other._replace(sides=sides))
    assert exchanged == set()
    assert others == {"b"}


def test_voices_of_other_names_are_compared_with_their_own() -> None:
    of_joe = [talk("a", 0, 1), talk("b", 0, 2)]
    of_amy = [talk("c", 3, 1, "amy"), talk("d", 3, 2, "amy")]
    exchanged, others = judged(*of_joe, *of_amy)
    assert exchanged == set()
    assert others == set()


def test_voice_of_a_single_conversation_and_a_nameless_one_are_not_compared() -> None:
    single = talk("a", 0, 1)
    nameless = [talk("b", 1, 2, ""), talk("c", 2, 3, "")]
    assert match_voices([single, *nameless], LEAST) == []


@pytest.mark.parametrize(("right", "expected"), [(0, {"b"}), (4, set())])
def test_side_of_three_seconds_may_be_exchanged_and_is_no_other_voice(right: int, expected: set[str]) -> None:
    short = talk("b", 3, right, seconds=3.0)
    exchanged, others = judged(talk("a", 0, 1), talk("c", 0, 2), short)
    assert exchanged == expected
    assert others == set()


def test_likeness_of_sides_needs_speech_enough() -> None:
    long = talk("a", 0, 0)
    short = talk("a", 0, 0, seconds=3.0)
    assert long.likeness_of_sides == pytest.approx(1.0, abs=0.01)
    assert short.likeness_of_sides is None


def test_steadiness_is_of_sides_that_should_be_one_voice() -> None:
    first, _ = voice_of(0)
    second, _ = voice_of(1)
    halves = np.stack([first, second])
    likeness = voiced_side(halves, 20.0).steadiness
    assert likeness is not None
    assert likeness < LEAST
    of_two = voiced_side(halves, 20.0, is_one_voice=False)
    single = voiced_side(halves[:1], 7.0)
    assert of_two.steadiness is None
    assert single.steadiness is None


def test_long_side_is_heard_from_its_beginning_to_its_end() -> None:
    starts = [10.0 * number for number in range(100)]
    spans = [(start, start + 5.0) for start in starts]
    first, second = halves_of_speech(spans)
    heard = [*first, *second]
    seconds = sum(end - start for start, end in heard)
    assert seconds == pytest.approx(LONGEST_SIDE)
    assert first[0][0] == 0.0
    assert second[-1][1] == 995.0
    end_of_first = max(end for _, end in first)
    start_of_second = min(start for start, _ in second)
    assert end_of_first <= start_of_second
    for start, end in heard:
        assert any(low <= start < end <= high for low, high in spans)


def test_first_look_is_short_and_reaches_from_the_beginning_to_the_end() -> None:
    first, second = halves_of_speech([(0.0, 500.0), (600.0, 1100.0)], FIRST_LOOK)
    seconds = sum(end - start for start, end in [*first, *second])
    assert seconds == pytest.approx(FIRST_LOOK)
    assert first[0][0] == 0.0
    assert second[-1][1] == 1100.0
    assert all(end <= 500.0 for _, end in first)


def test_all_of_a_side_that_is_short_is_heard_at_first_sight() -> None:
    spans = [(0.0, 5.0), (6.0, 12.0)]
    assert halves_of_speech(spans, FIRST_LOOK) == halves_of_speech(spans) == [spans]


def with_likenesses(steadiness: float, of_sides: float) -> ConversationVoices:
    """A conversation whose left halves, and whose sides, are as alike as these."""
    turned = np.sqrt(1 - steadiness**2)
    left = np.array([[1.0, 0.0, 0.0], [steadiness, turned, 0.0]], np.float32)
    left_side = voiced_side(left, 20.0)
    right = of_sides * left_side.vector + np.sqrt(1 - of_sides**2) * np.array([0.0, 0.0, 1.0], np.float32)
    sides = {"left": left_side, "right": voiced_side(right[None], 20.0)}
    return ConversationVoices("a", 60.0, "", sides)


@pytest.mark.parametrize(
    ("steadiness", "of_sides", "least", "most", "is_clear"),
    [
        (0.95, 0.6, 0.72, 0.93, True),
        (0.75, 0.6, 0.72, 0.93, False),
        (0.5, 0.6, 0.72, 0.93, False),
        (0.95, 0.9, 0.72, 0.93, False),
        (0.95, 0.98, 0.72, 0.93, False),
        (0.95, 0.6, 0.9, 0.93, False),
        (0.5, 0.98, None, None, True),
    ],
)
def test_what_is_near_a_limit_or_beyond_it_is_not_clear(
    steadiness: float, of_sides: float, least: float | None, most: float | None, is_clear: bool
) -> None:
    assert with_likenesses(steadiness, of_sides).is_clear(least, most) == is_clear


def test_side_of_a_second_is_not_heard() -> None:
    assert halves_of_speech([(3.0, 4.0)]) == []
    assert halves_of_speech([]) == []
