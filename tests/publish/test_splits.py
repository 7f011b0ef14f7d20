from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.splits import Speakers, as_given, split_two

CONVERSATIONS = st.lists(
    st.tuples(
        st.integers(0, 10**6).map(str),
        st.lists(st.sampled_from([None, *"abcdefgh"]), min_size=1, max_size=2).map(tuple),
        st.floats(1, 600, allow_nan=False),
    ),
    min_size=2,
    max_size=40,
    unique_by=lambda one: one[0],
)


@given(CONVERSATIONS, st.sampled_from([0.05, 0.1, 0.3, 0.5]), st.integers(0, 3))
def test_both_sides_have_conversations_and_the_claim_about_speakers_is_true(conversations, share, seed):
    side, disjoint = split_two(conversations, share, seed)
    assert set(side) == {name for name, _, _ in conversations}
    assert set(side.values()) == {"train", "eval"}
    sides = defaultdict(set)
    for name, speakers, _ in conversations:
        for speaker in speakers:
            sides[speaker].add(side[name])
    sides.pop(None, None)
    assert disjoint == all(len(found) == 1 for found in sides.values())


@given(CONVERSATIONS, st.randoms())
def test_the_order_of_conversations_changes_nothing(conversations, random):
    mixed = list(conversations)
    random.shuffle(mixed)
    assert split_two(mixed).side == split_two(conversations).side


def many(count: int, first: int = 0) -> list[tuple[str, Speakers, float]]:
    return [(f"call{number}", (f"speaker{number // 3}",), 60.0) for number in range(first, count)]


def test_many_speakers_are_divided_disjointly_near_the_share() -> None:
    side, disjoint = split_two(many(300), 0.1)
    assert disjoint
    assert 0.08 <= list(side.values()).count("eval") / 300 <= 0.12


def test_everybody_whose_own_voice_is_in_a_conversation_is_kept_on_one_side() -> None:
    pairs = [(f"call{n}", (f"p{n // 4}", f"q{n // 4}")[:: 1 if n % 2 else -1], 60.0) for n in range(200)]
    side, disjoint = split_two(pairs, 0.1)
    assert disjoint
    assert all(side[f"call{n}"] == side[f"call{n - n % 4}"] for n in range(200))


def test_two_speakers_in_all_are_divided_by_conversation_and_it_is_said() -> None:
    conversations = [(f"call{number}", ("ab"[number % 2],), 60.0) for number in range(50)]
    side, disjoint = split_two(conversations, 0.1)
    assert not disjoint
    assert list(side.values()).count("eval") == 5


def test_two_conversations_of_one_speaker_give_one_to_each_side() -> None:
    assert sorted(split_two([("a", ("x",), 10.0), ("b", ("x",), 500.0)]).side.values()) == ["eval", "train"]


def test_shortest_of_one_speakers_conversations_evaluates_the_first_by_id_of_equal_ones() -> None:
    side = split_two([("c", ("x",), 500.0), ("b", ("x",), 10.0), ("a", ("x",), 10.0)], 0.001).side
    assert side == {"c": "train", "b": "train", "a": "eval"}


def test_group_after_which_the_share_is_as_far_off_as_before_evaluates_and_so_does_one_of_twice_the_share() -> (
    None
):
    six = [(f"call{number}", (f"speaker{number}",), 60.0) for number in range(6)]
    assert list(split_two(six, 0.25).side.values()).count("eval") == 2
    sides = {split_two([("a", ("x",), 200.0), ("b", ("y",), 200.0)], 0.25, seed).side["b"] for seed in range(9)}
    assert sides == {"train", "eval"}


def test_one_conversation_trains() -> None:
    assert split_two([("a", (None,), 10.0)]) == ({"a": "train"}, True)


def test_more_conversations_move_few() -> None:
    before, after = split_two(many(300)).side, split_two(many(330)).side
    assert sum(before[name] != after[name] for name in before) <= 9


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0])
def test_a_share_outside_zero_and_one_is_refused(share: float) -> None:
    with pytest.raises(DailytalkError, match="eval share"):
        split_two(many(9), share)


def test_settled_division_is_taken_as_it_is_and_needs_something_to_train_on() -> None:
    given = [("a", ("x",), 10.0), ("b", ("x",), 20.0)]
    assert as_given(given, {"a": "train", "b": "eval", "c": "eval"}) == ({"a": "train", "b": "eval"}, False)
    assert as_given(given, {"a": "train", "b": "train"}).disjoint
    with pytest.raises(DailytalkError, match="no conversation is left to train on"):
        as_given(given, {"a": "eval", "b": "eval"})


def test_variants_of_a_conversation_are_on_one_side_however_few_there_are() -> None:
    parents = {f"{name}{n}": name for name in "abc" for n in range(3)}
    for seed in range(5):
        side = split_two([(name, (None,), 60.0) for name in parents], 0.1, seed, parents).side
        assert all(len({side[each] for each in parents if parents[each] == name}) == 1 for name in "abc")
        assert set(side.values()) == {"train", "eval"}
