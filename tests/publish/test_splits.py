from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.splits import SplitVoice, disjoint_in, split_conversations

#: Of an export, and of a version.
TWO = {"eval": 0.1}
THREE = {"validation": 0.05, "test": 0.05}

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


def voice(name: str, speaker: str | None, seconds: float = 60.0) -> SplitVoice:
    """A conversation that is a recording of its own."""
    return SplitVoice(name, (speaker,), name, seconds)


def many(count: int, speakers: int = 10**6) -> list[SplitVoice]:
    return [
        SplitVoice(f"call{n:04d}", (f"person{n // 2 % speakers}",), f"recording{n // 3}", 60.0)
        for n in range(count)
    ]


def divided(
    voices: Sequence[SplitVoice], shares: Mapping[str, float] = THREE, **options: object
) -> tuple[dict[str, str], str]:
    split_of = split_conversations(voices, shares, **options)  # type: ignore[arg-type]
    return split_of, disjoint_in(voices, split_of)


def share(split_of: Mapping[str, str], split: str) -> float:
    return [*split_of.values()].count(split) / len(split_of)


@pytest.mark.parametrize("shares", [TWO, THREE])
@given(CONVERSATIONS, st.integers(0, 3))
def test_splits_are_full_and_disjoint_as_they_say(
    shares: Mapping[str, float], voices: list[SplitVoice], seed: int
) -> None:
    split_of, disjoint = divided(voices, shares, seed=seed)
    assert set(split_of) == {one.id for one in voices}
    assert set(split_of.values()) == {*["train", *shares][: len(voices)]}
    speakers = defaultdict(set)
    recordings = defaultdict(set)
    for one in voices:
        for speaker in one.kept_speakers:
            speakers[speaker].add(split_of[one.id])
        recordings[one.recording_id].add(split_of[one.id])
    assert (disjoint == "conversations") == any(len(found) > 1 for found in recordings.values())
    if disjoint == "speakers":
        assert None not in speakers
        assert all(len(found) == 1 for found in speakers.values())


@given(CONVERSATIONS, st.randoms())
def test_order_of_conversations_changes_no_split(voices: list[SplitVoice], random: Random) -> None:
    mixed = list(voices)
    random.shuffle(mixed)
    assert divided(mixed) == divided(voices)


@given(CONVERSATIONS, CONVERSATIONS)
def test_what_was_published_stays_in_its_split(first: list[SplitVoice], more: list[SplitVoice]) -> None:
    before, _ = divided(first)
    after, _ = divided([*first, *(one for one in more if one.id not in before)], before=before)
    assert {name: after[name] for name in before} == before


def test_many_speakers_are_kept_apart_near_the_shares() -> None:
    chains = [one._replace(recording_id=one.id) for one in many(600)]
    split_of, disjoint = divided(chains)
    assert disjoint == "speakers"
    assert 0.04 <= share(split_of, "validation") <= 0.06
    assert 0.04 <= share(split_of, "test") <= 0.06
    assert 0.08 <= share(divided(chains, TWO)[0], "eval") <= 0.12


def test_groups_are_linked_through_speakers_and_recordings() -> None:
    linked = [
        SplitVoice("a", ("ann", "bea"), "r1", 9.0),
        SplitVoice("b", (None,), "r1", 9.0),
        SplitVoice("c", ("carl", "ann"), "r2", 9.0),
    ]
    for seed in range(20):
        split_of, _ = divided([*linked, *many(200)], seed=seed)
        assert split_of["a"] == split_of["b"] == split_of["c"]


def test_two_speakers_in_all_are_divided_by_recording_and_it_is_said() -> None:
    split_of, disjoint = divided(many(300, speakers=2))
    assert disjoint == "recordings"
    assert 0.03 <= share(split_of, "test") <= 0.07
    split_of, disjoint = divided([voice(f"call{n}", "ab"[n % 2]) for n in range(50)], TWO)
    assert (disjoint, share(split_of, "eval")) == ("recordings", 0.1)


def test_one_recording_in_all_is_divided_by_conversation_and_it_is_said() -> None:
    split_of, disjoint = divided([one._replace(recording_id="r") for one in many(100)])
    assert disjoint == "conversations"
    assert [share(split_of, split) for split in ("train", "validation", "test")] == [0.9, 0.05, 0.05]


def test_shortest_of_one_speakers_conversations_evaluates_the_first_by_id_of_equal_ones() -> None:
    voices = [voice("c", "x", 500.0), voice("b", "x", 10.0), voice("a", "x", 10.0)]
    assert divided(voices, {"eval": 0.001})[0] == {"c": "train", "b": "train", "a": "eval"}


def test_group_after_which_the_share_is_as_far_off_as_before_evaluates_and_so_does_one_of_twice_the_share() -> (
    None
):
    six = [voice(f"call{number}", f"speaker{number}") for number in range(6)]
    assert share(divided(six, {"eval": 0.25})[0], "eval") == 2 / 6
    pair = [voice("a", "x", 200.0), voice("b", "y", 200.0)]
    assert {divided(pair, {"eval": 0.25}, seed=seed)[0]["b"] for seed in range(9)} == {"train", "eval"}


def test_more_conversations_move_few() -> None:
    before, after = (
        divided([voice(f"call{n}", f"s{n // 3}") for n in range(count)], TWO)[0] for count in (300, 330)
    )
    assert sum(before[name] != after[name] for name in before) <= 9


def test_new_conversation_of_a_published_speaker_joins_their_split() -> None:
    first = [one._replace(recording_id=one.id) for one in many(200)]
    before, _ = divided(first)
    new = [SplitVoice(f"new{one.id}", one.kept_speakers, f"new{one.id}", 60.0) for one in first[::7]]
    after, disjoint = divided([*first, *new], before=before)
    assert disjoint == "speakers"
    assert all(after[f"new{one.id}"] == before[one.id] for one in first[::7])


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.1, -0.1), (0.5, 0.5)])
def test_shares_that_leave_a_split_nothing_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(DailytalkError, match="shares of"):
        divided(many(9), dict(zip(THREE, shares, strict=True)))


def test_new_conversation_beside_one_that_trained_validates_and_then_tests() -> None:
    voices = [voice("a", "a", 60.0), voice("b", "b", 50.0), voice("c", "c", 40.0)]
    for before, given_voices, wanted in (
        ({"a": "train"}, voices[:2], {"a": "train", "b": "validation"}),
        ({"a": "train"}, voices, {"a": "train", "b": "test", "c": "validation"}),
        ({"a": "test"}, voices, {"a": "test", "b": "train", "c": "validation"}),
        ({"a": "validation"}, voices, {"a": "validation", "b": "train", "c": "test"}),
    ):
        assert divided(given_voices, before=before)[0] == wanted


def test_variants_follow_their_parent_and_the_version_that_had_it() -> None:
    parents = {f"{name}.retimed-{n}": name for name in "abcdefgh" for n in (1, 2)}
    voices = [SplitVoice(name, (None,), parent, 60.0, parent) for name, parent in parents.items()]
    for before in ({}, {"a": "test", "b": "train", "c": "validation"}, {"a.retimed-1": "test"}):
        split_of, _ = divided(voices, before=before)
        assert all(split_of[f"{name}.retimed-1"] == split_of[f"{name}.retimed-2"] for name in "abcdefgh")
        for name, split in before.items():
            assert split_of[f"{name.partition('.')[0]}.retimed-2"] == split
    assert {*divided(voices[:6], TWO)[0].values()} == {"train", "eval"}
