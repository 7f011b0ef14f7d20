from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import SPLITS
from dailytalk_contiguous.publish.splits import SplitVoice, split_three

CONVERSATIONS = st.lists(
    st.builds(
        SplitVoice,
        st.integers(0, 10**6).map(str),
        st.lists(st.sampled_from([None, *"abcdefgh"]), min_size=1, max_size=2).map(tuple),
        st.sampled_from("stuvwxyz"),
        st.floats(1, 600),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda one: one.id,
)


def many(count: int, first: int = 0, speakers: int = 10**6) -> list[SplitVoice]:
    return [
        SplitVoice(f"call{n:04d}", (f"person{n // 2 % speakers}",), f"recording{n // 3}", 60.0)
        for n in range(first, first + count)
    ]


def shares(side: dict[str, str]) -> dict[str, float]:
    held = list(side.values())
    return {split: held.count(split) / len(held) for split in SPLITS}


@given(CONVERSATIONS, st.integers(0, 3))
def test_three_splits_are_full_and_disjoint_as_they_say(given_ones: list[SplitVoice], seed: int) -> None:
    side, disjoint = split_three(given_ones, {}, seed=seed)
    assert set(side) == {one.id for one in given_ones}
    assert set(side.values()) == set(SPLITS[: len(given_ones)])
    speakers, recordings = defaultdict(set), defaultdict(set)
    for one in given_ones:
        for speaker in one.kept_speakers:
            speakers[speaker].add(side[one.id])
        recordings[one.recording_id].add(side[one.id])
    assert (disjoint == "conversations") == any(len(found) > 1 for found in recordings.values())
    if disjoint == "speakers":
        assert None not in speakers
        assert all(len(found) == 1 for found in speakers.values())


@given(CONVERSATIONS, st.randoms())
def test_order_of_conversations_changes_no_split(given_ones: list[SplitVoice], random) -> None:
    mixed = list(given_ones)
    random.shuffle(mixed)
    assert split_three(mixed, {}) == split_three(given_ones, {})


@given(CONVERSATIONS, CONVERSATIONS)
def test_what_was_published_stays_in_its_split(first: list[SplitVoice], more: list[SplitVoice]) -> None:
    before = split_three(first, {}).side
    known = {one.id for one in first}
    after = split_three([*first, *(one for one in more if one.id not in known)], before).side
    assert {name: after[name] for name in before} == before


def test_many_speakers_are_kept_apart_near_the_shares() -> None:
    chains = [one._replace(recording_id=one.id) for one in many(600)]
    side, disjoint = split_three(chains, {})
    assert disjoint == "speakers"
    assert 0.04 <= shares(side)["validation"] <= 0.06
    assert 0.04 <= shares(side)["test"] <= 0.06


def test_groups_are_linked_through_speakers_and_recordings() -> None:
    linked = [
        SplitVoice("a", ("ann", "bea"), "r1", 9.0),
        SplitVoice("b", (None,), "r1", 9.0),
        SplitVoice("c", ("carl", "ann"), "r2", 9.0),
    ]
    for seed in range(20):
        side = split_three([*linked, *many(200)], {}, seed=seed).side
        assert side["a"] == side["b"] == side["c"]


def test_two_speakers_in_all_are_divided_by_recording_and_it_is_said() -> None:
    side, disjoint = split_three(many(300, speakers=2), {})
    assert disjoint == "recordings"
    assert 0.03 <= shares(side)["test"] <= 0.07


def test_one_recording_in_all_is_divided_by_conversation_and_it_is_said() -> None:
    one_recording = [one._replace(recording_id="r") for one in many(100)]
    side, disjoint = split_three(one_recording, {})
    assert disjoint == "conversations"
    assert shares(side) == {"train": 0.9, "validation": 0.05, "test": 0.05}


@pytest.mark.parametrize(("count", "splits"), [(1, {"train"}), (2, {"train", "validation"}), (3, set(SPLITS))])
def test_few_conversations_fill_train_first(count: int, splits: set[str]) -> None:
    assert set(split_three(many(count), {}).side.values()) == splits


def test_new_conversation_of_a_published_speaker_joins_their_split() -> None:
    first = [one._replace(recording_id=one.id) for one in many(200)]
    before = split_three(first, {}).side
    new = [SplitVoice(f"new{one.id}", one.kept_speakers, f"new{one.id}", 60.0) for one in first[::7]]
    after, disjoint = split_three([*first, *new], before)
    assert disjoint == "speakers"
    assert all(after[f"new{one.id}"] == before[one.id] for one in first[::7])


@pytest.mark.parametrize("wrong", [(0.0, 0.1), (0.1, -0.1), (0.5, 0.5)])
def test_shares_that_leave_a_split_nothing_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(DailytalkError, match="shares of"):
        split_three(many(9), {}, *wrong)


def test_seed_decides_which_of_two_validates_where_both_are_within_the_share() -> None:
    two = [SplitVoice("a", ("p",), "r", 60.0), SplitVoice("b", ("q",), "s", 50.0)]
    sides = {split_three(two, {}, 0.4, 0.05, seed).side["a"] for seed in range(20)}
    assert sides == {"train", "validation"}


def test_new_conversation_beside_one_that_trained_validates_and_then_tests() -> None:
    voices = [
        SplitVoice(name, (name,), name, seconds) for name, seconds in (("a", 60.0), ("b", 50.0), ("c", 40.0))
    ]
    assert split_three(voices[:2], {"a": "train"}).side == {"a": "train", "b": "validation"}
    assert split_three(voices, {"a": "train"}).side == {"a": "train", "b": "test", "c": "validation"}
    assert split_three(voices, {"a": "test"}).side == {"a": "test", "b": "train", "c": "validation"}
    assert split_three(voices, {"a": "validation"}).side == {"a": "validation", "b": "train", "c": "test"}


def test_variants_follow_their_parent_and_the_version_that_had_it() -> None:
    parents = {f"{name}.retimed-{n}": name for name in "abcdefgh" for n in (1, 2)}
    voices = [SplitVoice(name, (None,), parent, 60.0) for name, parent in parents.items()]
    for before in ({}, {"a": "test", "b": "train", "c": "validation"}, {"a.retimed-1": "test"}):
        side = split_three(voices, before, parents=parents).side
        assert all(side[f"{name}.retimed-1"] == side[f"{name}.retimed-2"] for name in "abcdefgh")
        for name, split in before.items():
            assert side[f"{name.partition('.')[0]}.retimed-2"] == split
