"""Divisions of random corpora: nobody on two sides, shares and emotions as told."""

import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sampling import LEAST_SHARE, MOST_DIFFERENT, MOST_SHARE, CorpusSplit, split_corpus

EMOTIONS = ("happy", "sad", "angry", "neutral", None)


def clip(name: str, seconds: float = 1.0, **columns: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(("speaker", "sentence", "emotion", "official_split"))
    return {"id": name, "seconds": seconds} | unknown | columns


def split(clips: list[dict[str, Any]], by: str = "speakers", seed: int = 0) -> CorpusSplit:
    return split_corpus(pd.DataFrame(clips), by, seed)


@st.composite
def corpora(draw: st.DrawFn) -> list[dict[str, Any]]:
    """1 to 150 clips of 1 to 40 speakers and 1 to 30 sentences, some not known."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    speakers = draw(st.integers(1, 40))
    sentences = draw(st.integers(1, 30))
    tells = draw(st.sampled_from([1.0, 0.9, 0.0]))
    return [
        clip(
            f"c/{number}",
            chance.uniform(0.5, 12.0),
            speaker=f"s{chance.randrange(speakers)}" if chance.random() < tells else None,
            sentence=f"t{chance.randrange(sentences)}" if chance.random() < tells else None,
            emotion=chance.choice(EMOTIONS),
            official_split=chance.choice(["train", "validation"]),
        )
        for number in range(draw(st.integers(1, 150)))
    ]


def figures(clips: list[dict[str, Any]], found: CorpusSplit) -> tuple[float, float]:
    """Share and total variation distance, counted apart from the code that is tested."""
    total = sum(clip["seconds"] for clip in clips)
    validating = [clip for clip in clips if found.side[clip["id"]] == "validation"]
    held = sum(clip["seconds"] for clip in validating)
    distance = 0.0
    for emotion in EMOTIONS:
        whole = sum(clip["seconds"] for clip in clips if clip["emotion"] == emotion) / total
        own = sum(clip["seconds"] for clip in validating if clip["emotion"] == emotion) / held if held else 0.0
        distance += abs(own - whole) / 2
    return held / total, distance if held else 1.0


@settings(max_examples=10)
@given(corpora(), st.sampled_from(["speakers", "sentences", "official"]), st.integers(0, 3), st.randoms())
def test_nothing_leaks_and_shares_and_emotions_are_as_told_in_any_order(
    clips: list[dict[str, Any]], by: str, seed: int, chance: random.Random
) -> None:
    found = split(clips, by, seed)
    assert set(found.side) == {clip["id"] for clip in clips}
    assert set(found.side.values()) <= {"train", "validation"}
    for way, field in (("speakers", "speaker"), ("sentences", "sentence")):
        if found.by == way:
            sides = {(clip[field], found.side[clip["id"]]) for clip in clips if clip[field] is not None}
            assert len(sides) == len({name for name, _ in sides})
            assert "validation" not in {found.side[clip["id"]] for clip in clips if clip[field] is None}
    share, different = figures(clips, found)
    assert found.share == pytest.approx(share)
    if by != "official" and (found.note is None or "by clips " not in found.note):
        assert LEAST_SHARE - 1e-6 <= share <= MOST_SHARE + 1e-6
        assert different <= MOST_DIFFERENT + 1e-6
        assert found.note or found.by == by
    chance.shuffle(clips)
    assert split(clips, by, seed) == found


def acted(speakers: int, sentences: int, emotions: int = 6, seconds: float = 2.5) -> list[dict[str, Any]]:
    return [
        clip(f"{s}/{t}/{e}", seconds + 0.01 * s, speaker=f"s{s}", sentence=f"t{t}", emotion=f"e{e}")
        for s in range(speakers)
        for t in range(sentences)
        for e in range(emotions)
    ]


@pytest.mark.parametrize("speakers", [2, 4])
def test_few_speakers_give_way_to_sentences_and_the_note_says_why(speakers: int) -> None:
    found = split(acted(speakers, 20))
    assert found.by == "sentences"
    note = "split by sentences instead of speakers: by speakers "
    assert str(found.note).startswith(note)


def test_speakers_who_act_one_emotion_each_give_way_to_sentences() -> None:
    clips = [
        clip(f"{s}/{t}", 2.0, speaker=f"s{s}", sentence=f"t{t}", emotion=f"e{s}")
        for s in range(8)
        for t in range(20)
    ]
    found = split(clips)
    assert found.by == "sentences"
    assert "differ in emotion" in str(found.note)


def test_official_splits_are_kept() -> None:
    sides = ["train", "validation"]
    clips = [clip(f"{n}", speaker=f"s{n}", emotion="sad", official_split=side) for n, side in enumerate(sides)]
    found = split(clips, "official")
    assert (list(found.side.values()), found.by) == (sides, "official")


@pytest.mark.parametrize("name", [None, "test"])
def test_clip_of_no_official_split_or_of_a_test_set_has_no_side(name: str | None) -> None:
    clips = [clip("a", official_split="train"), clip("x", official_split=name)]
    with pytest.raises(DailytalkError, match="the official split of the clip x is neither train nor"):
        split(clips, "official")
