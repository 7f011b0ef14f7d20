from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.exports.splits import SplitVoice, disjoint_in, split_conversations

#: Of an export, and of a version.
TWO = {"eval": 0.1}
THREE = {"validation": 0.05, "test": 0.05}

IDS = st.integers(0, 10**6).map(str)
SPEAKER = st.sampled_from([None, *"abcdefgh"])
SPEAKERS = st.lists(SPEAKER, min_size=1, max_size=2).map(tuple)
RECORDINGS = st.sampled_from("stuvwxyz")
VOICES = st.builds(SplitVoice, IDS, SPEAKERS, RECORDINGS, st.floats(1, 600))
CONVERSATIONS = st.lists(VOICES, min_size=1, max_size=40, unique_by=lambda voice: voice.id)


def voice(name: str, speaker: str | None, seconds: float = 60.0) -> SplitVoice:
    """A conversation that is a recording of its own."""
    return SplitVoice(name, (speaker,), name, seconds)


def many(count: int, speakers: int = 10**6) -> list[SplitVoice]:
    voices = []
    for n in range(count):
        speaker = f"person{n // 2 % speakers}"
        voices.append(SplitVoice(f"call{n:04d}", (speaker,), f"recording{n // 3}", 60.0))
    return voices


def many_recordings(count: int) -> list[SplitVoice]:
    """Many conversations, each of which is a recording of its own."""
    return [voice._replace(recording_id=voice.id) for voice in many(count)]


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
    assert set(split_of) == {voice.id for voice in voices}
    splits = ["train", *shares]
    filled = splits[: len(voices)]
    assert set(split_of.values()) == {*filled}
    speakers = defaultdict(set)
    recordings = defaultdict(set)
    for voice in voices:
        split = split_of[voice.id]
        recordings[voice.recording_id].add(split)
        for speaker in voice.kept_speakers:
            speakers[speaker].add(split)
    is_recording_divided = any(len(splits) > 1 for splits in recordings.values())
    assert (disjoint == "conversations") == is_recording_divided
    if disjoint == "speakers":
        assert None not in speakers
        assert all(len(splits) == 1 for splits in speakers.values())


@given(CONVERSATIONS, st.randoms())
def test_order_of_conversations_changes_no_split(voices: list[SplitVoice], random: Random) -> None:
    mixed = list(voices)
    random.shuffle(mixed)
    assert divided(mixed) == divided(voices)


@given(CONVERSATIONS, CONVERSATIONS)
def test_what_was_published_stays_in_its_split(first: list[SplitVoice], more: list[SplitVoice]) -> None:
    before, _ = divided(first)
    new = [voice for voice in more if voice.id not in before]
    after, _ = divided([*first, *new], before=before)
    assert {name: after[name] for name in before} == before


def test_many_speakers_are_kept_apart_near_the_shares() -> None:
    voices = many_recordings(600)
    split_of, disjoint = divided(voices)
    assert disjoint == "speakers"
    assert 0.04 <= share(split_of, "validation") <= 0.06
    assert 0.04 <= share(split_of, "test") <= 0.06
    split_of, _ = divided(voices, TWO)
    assert 0.08 <= share(split_of, "eval") <= 0.12


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
    voices = [voice(f"call{n}", "ab"[n % 2]) for n in range(50)]
    split_of, disjoint = divided(voices, TWO)
    assert disjoint == "recordings"
    assert share(split_of, "eval") == 0.1


def test_one_recording_in_all_is_divided_by_conversation_and_it_is_said() -> None:
    voices = [voice._replace(recording_id="r") for voice in many(100)]
    split_of, disjoint = divided(voices)
    assert disjoint == "conversations"
    assert share(split_of, "train") == 0.9
    assert share(split_of, "validation") == 0.05
    assert share(split_of, "test") == 0.05


def test_shortest_of_one_speakers_conversations_evaluates_the_first_by_id_of_equal_ones() -> None:
    voices = [voice("c", "x", 500.0), voice("b", "x", 10.0), voice("a", "x", 10.0)]
    split_of, _ = divided(voices, {"eval": 0.001})
    assert split_of == {"c": "train", "b": "train", "a": "eval"}


def test_group_after_which_the_share_is_as_far_off_as_before_evaluates_and_so_does_one_of_twice_the_share() -> (
    None
):
    quarter = {"eval": 0.25}
    six = [voice(f"call{number}", f"speaker{number}") for number in range(6)]
    split_of, _ = divided(six, quarter)
    assert share(split_of, "eval") == 2 / 6
    pair = [voice("a", "x", 200.0), voice("b", "y", 200.0)]
    splits = set()
    for seed in range(9):
        split_of, _ = divided(pair, quarter, seed=seed)
        splits.add(split_of["b"])
    assert splits == {"train", "eval"}


def test_more_conversations_move_few() -> None:
    voices = [voice(f"call{n}", f"s{n // 3}") for n in range(330)]
    before, _ = divided(voices[:300], TWO)
    after, _ = divided(voices, TWO)
    moved = [name for name in before if before[name] != after[name]]
    assert len(moved) <= 9


def test_new_conversation_of_a_published_speaker_joins_their_split() -> None:
    first = many_recordings(200)
    before, _ = divided(first)
    continued = first[::7]
    new = [SplitVoice(f"new{voice.id}", voice.kept_speakers, f"new{voice.id}", 60.0) for voice in continued]
    after, disjoint = divided([*first, *new], before=before)
    assert disjoint == "speakers"
    for earlier, later in zip(continued, new, strict=True):
        assert after[later.id] == before[earlier.id]


def copied(voices: Sequence[SplitVoice]) -> list[SplitVoice]:
    """Another recording of another person for each, with the same sound."""
    copies = []
    for first in voices:
        name = f"copy of {first.id}"
        copies.append(voice(name, None)._replace(sound_digest=first.sound_digest))
    return copies


def test_conversations_of_equal_sound_are_in_one_split_as_far_as_they_are_new() -> None:
    voices = [voice(f"call{n}", f"s{n}")._replace(sound_digest=str(n)) for n in range(60)]
    copies = copied(voices)
    split_of, _ = divided([*voices, *copies])
    assert set(split_of.values()) == {"train", *THREE}
    before, _ = divided(voices, seed=1)
    later, _ = divided([*voices, *copies], before=before)
    for first, copy in zip(voices, copies, strict=True):
        assert split_of[first.id] == split_of[copy.id]
        assert later[first.id] == later[copy.id] == before[first.id]


def test_copies_stay_where_an_earlier_version_has_them_and_speakers_are_still_apart() -> None:
    voices = [voice(f"call{n}", f"s{n // 2}")._replace(sound_digest=str(n)) for n in range(60)]
    copies = [copy._replace(kept_speakers=(f"t{n}",)) for n, copy in enumerate(copied(voices))]
    before = {"call0": "train", "copy of call0": "test"}
    split_of, disjoint = divided([*voices, *copies], before=before)
    assert disjoint == "speakers"
    assert {name: split_of[name] for name in before} == before
    for first, copy in zip(voices[1:], copies[1:], strict=True):
        assert split_of[first.id] == split_of[copy.id]


def test_parts_of_a_call_follow_it_and_published_ones_stay() -> None:
    voices = []
    parts = []
    for n in range(60):
        words = np.arange(200 * n, 200 * n + 200, dtype=np.uint32)
        voices.append(voice(f"call{n}", f"s{n}")._replace(words=words))
        parts.append(voice(f"part{n}", f"t{n}")._replace(words=words[90:]))
    split_of, disjoint = divided([*voices, *parts])
    assert set(split_of.values()) == {"train", *THREE}
    assert disjoint == "speakers"
    before, _ = divided(voices, seed=1)
    before["part0"] = "test" if before["call0"] == "train" else "train"
    later, _ = divided([*voices, *parts], before=before)
    assert {name: later[name] for name in before} == before
    for call, part in zip(voices[1:], parts[1:], strict=True):
        assert split_of[call.id] == split_of[part.id]
        assert later[part.id] == before[call.id]


@pytest.mark.parametrize("count", [2, 5])
def test_copies_alone_all_train(count: int) -> None:
    voices = [voice(f"call{n}", None)._replace(sound_digest="a") for n in range(count)]
    split_of, _ = divided(voices)
    assert set(split_of.values()) == {"train"}


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.1, -0.1), (0.5, 0.5)])
def test_shares_that_leave_a_split_nothing_are_refused(shares: tuple[float, float]) -> None:
    validation, test = shares
    with pytest.raises(DailytalkError, match="shares of"):
        divided(many(9), {"validation": validation, "test": test})


def test_new_conversation_beside_one_that_trained_validates_and_then_tests() -> None:
    voices = [voice("a", "a", 60.0), voice("b", "b", 50.0), voice("c", "c", 40.0)]
    for before, voices_now, expected in (
        ({"a": "train"}, voices[:2], {"a": "train", "b": "validation"}),
        ({"a": "train"}, voices, {"a": "train", "b": "test", "c": "validation"}),
        ({"a": "test"}, voices, {"a": "test", "b": "train", "c": "validation"}),
        ({"a": "validation"}, voices, {"a": "validation", "b": "train", "c": "test"}),
    ):
        split_of, _ = divided(voices_now, before=before)
        assert split_of == expected


def test_division_is_that_of_versions_that_are_published_already() -> None:
    split_of, _ = divided(many_recordings(60))
    evaluated = {name: split for name, split in split_of.items() if split != "train"}
    tested = ["call0006", "call0007", "call0038", "call0039"]
    validated = ["call0040", "call0041", "call0048", "call0049"]
    assert evaluated == dict.fromkeys(tested, "test") | dict.fromkeys(validated, "validation")
