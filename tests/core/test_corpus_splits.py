"""Divisions of random corpora: nobody on two sides, no copy apart from its source, shares and emotions as told."""

import itertools
import random
from collections import defaultdict

import numpy as np
import pytest
from figures import figures as figures_of
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sampling import (
    LEAST_SHARE,
    MOST_DIFFERENT,
    MOST_SHARE,
    CorpusSplit,
    SplitItem,
    split_corpus,
)

EMOTIONS = ("happy", "sad", "angry", "neutral", None)


@st.composite
def corpora(draw: st.DrawFn) -> list[SplitItem]:
    """1 to 150 clips of 1 to 40 speakers and 1 to 30 sentences, some not known."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    speakers, sentences = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    tells = draw(st.sampled_from([1.0, 0.9, 0.0]))
    clips = []
    for number in range(draw(st.integers(1, 150))):
        clip = SplitItem(
            f"c/{number}",
            chance.uniform(0.5, 12.0),
            f"s{chance.randrange(speakers)}" if chance.random() < tells else None,
            f"t{chance.randrange(sentences)}" if chance.random() < tells else None,
            chance.choice(EMOTIONS),
            chance.choice(["train", "validation"]),
        )
        clips.append(clip)
    return clips


def fields(clips: list[SplitItem], split: CorpusSplit, field: str) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        if (name := getattr(clip, field)) is not None:
            sides[name].add(split.side[clip.id])
    return sides


def figures(clips: list[SplitItem], split: CorpusSplit) -> tuple[float, float]:
    """Share and total variation distance, counted apart from the code that is tested."""
    total = sum(clip.seconds for clip in clips)
    validating = [clip for clip in clips if split.side[clip.id] == "validation"]
    held = sum(clip.seconds for clip in validating)
    distance = 0.0
    for emotion in EMOTIONS:
        whole = sum(clip.seconds for clip in clips if clip.emotion == emotion) / total
        own = sum(clip.seconds for clip in validating if clip.emotion == emotion) / held if held else 0.0
        distance += abs(own - whole) / 2
    return held / total, distance if held else 1.0


@given(corpora(), st.sampled_from(["speakers", "sentences", "official"]), st.integers(0, 3))
def test_nothing_leaks_from_one_side_to_the_other(clips: list[SplitItem], by: str, seed: int) -> None:
    split = split_corpus(clips, by, seed)
    assert set(split.side) == {clip.id for clip in clips}
    assert set(split.side.values()) <= {"train", "validation"}
    for way, field in (("speakers", "speaker"), ("sentences", "sentence")):
        if split.disjoint_in == way:
            assert all(len(sides) == 1 for sides in fields(clips, split, field).values())
            assert "validation" not in {split.side[one.id] for one in clips if getattr(one, field) is None}
    if by != "official" and split.note is None:
        assert split.disjoint_in == by or split.disjoint_in == "speakers"


@given(corpora(), st.sampled_from(["speakers", "sentences"]))
def test_shares_and_emotions_are_as_told(clips: list[SplitItem], by: str) -> None:
    split = split_corpus(clips, by)
    assert (split.share, split.different) == pytest.approx(figures(clips, split))
    if split.note is None or split.note.startswith("split by"):
        assert LEAST_SHARE - 1e-6 <= split.share <= MOST_SHARE + 1e-6
        assert split.different <= MOST_DIFFERENT


@given(corpora(), st.randoms())
def test_the_order_of_clips_changes_nothing(clips: list[SplitItem], chance: random.Random) -> None:
    shuffled = list(clips)
    chance.shuffle(shuffled)
    assert split_corpus(shuffled) == split_corpus(clips)


def acted(speakers: int, sentences: int, emotions: int = 6, seconds: float = 2.5) -> list[SplitItem]:
    return [
        SplitItem(f"{s}/{t}/{e}", seconds + 0.01 * s, f"s{s}", f"t{t}", f"e{e}")
        for s in range(speakers)
        for t in range(sentences)
        for e in range(emotions)
    ]


def test_ninety_one_speakers_are_parted_by_speakers() -> None:
    split = split_corpus(acted(91, 12))
    assert (split.disjoint_in, split.note) == ("speakers", None)
    assert split.share == pytest.approx(0.15, abs=0.02)
    assert split.different < 0.01


def badness(share: float, different: float) -> float:
    """What a division is judged by: whether it is acceptable, then its emotions, then how near 15 % it is."""
    outside = max(LEAST_SHARE - share, share - MOST_SHARE, 0.0)
    unacceptable = outside > 1e-9 or different > MOST_DIFFERENT
    return unacceptable + 100 * outside + different + 0.01 * abs(share - 0.15)


@pytest.mark.parametrize("seed", [0, 48])
def test_of_twelve_speakers_the_best_of_all_divisions_is_found(seed: int) -> None:
    chance = random.Random(seed)
    seconds = np.array([[chance.expovariate(0.1) + 0.1 for _ in range(3)] for _ in range(12)])
    clips = [
        SplitItem(f"{s}/{e}", seconds[s, e], f"s{s}", None, EMOTIONS[e]) for s, e in np.ndindex(*seconds.shape)
    ]
    whole = seconds.sum(axis=0)
    least = float("inf")
    for chosen in itertools.product((False, True), repeat=12):
        held = seconds[list(chosen)].sum(axis=0)
        if any(chosen) and not all(chosen):
            mix = np.abs(held / held.sum() - whole / whole.sum()).sum() / 2
            least = min(least, badness(held.sum() / whole.sum(), mix))
    split = split_corpus(clips)
    assert split.disjoint_in == "speakers"
    assert badness(*figures(clips, split)) == pytest.approx(least)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_tenth_of_the_seconds_with_emotions_a_tenth_apart_is_still_accepted(scale: float) -> None:
    seconds = {("s0", "sad"): 1, ("s0", "angry"): 1, ("s1", "sad"): 7, ("s1", "angry"): 10, ("s1", "happy"): 1}
    split = split_corpus(SplitItem(f"{s}/{e}", scale * n, s, None, e) for (s, e), n in seconds.items())
    assert (split.disjoint_in, split.share, split.different, split.note) == ("speakers", 0.1, 0.1, None)


@pytest.mark.parametrize("speakers", [2, 4])
def test_few_speakers_give_way_to_sentences_and_the_note_says_why(speakers: int) -> None:
    split = split_corpus(acted(speakers, 20))
    assert split.disjoint_in == "sentences"
    assert split.note is not None
    assert split.note.startswith(
        "split by sentences instead of speakers: by speakers no share between 10 and 20 %"
    )


def test_speakers_who_act_one_emotion_each_give_way_to_sentences() -> None:
    clips = [SplitItem(f"{s}/{t}", 2.0, f"s{s}", f"t{t}", f"e{s}") for s in range(8) for t in range(20)]
    split = split_corpus(clips)
    assert split.disjoint_in == "sentences"
    assert "emotions would differ" in str(split.note)


def test_one_clip_trains() -> None:
    split = split_corpus([SplitItem("a", 1.0, "s", "t", "sad")])
    assert set(split.side.values()) == {"train"}
    assert split.share == 0


def test_official_splits_are_kept() -> None:
    clips = [SplitItem(f"{n}", 1.0, f"s{n}", None, "sad", name) for n, name in enumerate(["train", "validation"])]
    split = split_corpus(clips, "official")
    assert list(split.side.values()) == ["train", "validation"]
    assert split.disjoint_in == "speakers"


@pytest.mark.parametrize("name", [None, "test"])
def test_clip_of_no_official_split_or_of_a_test_set_has_no_side(name: str | None) -> None:
    clips = [SplitItem("a", 1.0, official_split="train"), SplitItem("x", 1.0, official_split=name)]
    with pytest.raises(DailytalkError, match=f"the official split of the clip x is {name!r}, not train or valid"):
        split_corpus(clips, "official")


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(DailytalkError, match="no clip"):
        split_corpus([])
    for seconds in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(DailytalkError, match="no length"):
            split_corpus([SplitItem("a", seconds)])


@pytest.mark.parametrize(
    ("by", "seed", "expected"),
    [
        ("speakers", 0, [152, 24.027178695, 22.728461006, 23.796280929]),
        ("speakers", 3, [152, 31.039424244, 32.46862726, 36.174081406]),
        ("sentences", 0, [152, 29.03577335, 28.437576061, 30.080804688]),
        ("official", 0, [152, 66.199591891, 67.975426163, 75.653356787]),
    ],
)
def test_clips_are_divided_as_in_the_version_before(by: str, seed: int, expected: list[float]) -> None:
    chance = random.Random(9)
    clips = [
        SplitItem(
            f"c{n}", chance.uniform(1, 9), f"s{chance.randrange(25)}", f"t{chance.randrange(30)}",
            chance.choice(EMOTIONS), chance.choice(["train", "validation"]),
        )
        for n in range(150)
    ]  # fmt: skip
    split = split_corpus(clips, by, seed)
    sides = [split.side[clip.id] == "validation" for clip in clips]
    assert split.note is None
    assert figures_of([*sides, split.share, split.different]) == pytest.approx(expected, rel=1e-9)


def test_note_tells_every_reason_in_full() -> None:
    alone = split_corpus([SplitItem(f"c{n}", 1.0, "s", "t" if n else None, "sad") for n in range(4)])
    assert (alone.note, alone.disjoint_in, alone.share) == (
        "by speakers there is but one; by sentences no share between 10 and 20 % was found (nearest: 75%); "
        "by clips no share between 10 and 20 % was found (nearest: 25%)",
        "clips",
        0.25,
    )
    unknown = split_corpus([SplitItem(f"c{n}", 1.0) for n in range(10)])
    assert unknown.note == (
        "split by clips instead of speakers: by speakers there is no known one; by sentences there is no known one"
    )
