"""Divisions of random corpora: nobody on two sides, shares and emotions as told."""

import itertools
import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.corpus_splits import (
    LEAST_SHARE,
    MOST_DIFFERENT,
    MOST_SHARE,
    CorpusSplit,
    split_corpus,
)
from dailytalk_contiguous.core.errors import DailytalkError

EMOTIONS = ("happy", "sad", "angry", "neutral", None)


def clip(name: str, seconds: float = 1.0, **columns: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(("speaker", "sentence", "emotion", "official_split"))
    return {"id": name, "seconds": seconds} | unknown | columns


def split(clips: list[dict[str, Any]], way: str = "speakers", seed: int = 0) -> CorpusSplit:
    return split_corpus(pd.DataFrame(clips), way, seed)


@st.composite
def corpora(draw: st.DrawFn) -> list[dict[str, Any]]:
    """1 to 150 clips of 1 to 40 speakers and 1 to 30 sentences, some not known."""
    seed = draw(st.integers(0, 2**32))
    chance = random.Random(seed)
    speakers = draw(st.integers(1, 40))
    sentences = draw(st.integers(1, 30))
    tells = draw(st.sampled_from([1.0, 0.9, 0.0]))
    n_clips = draw(st.integers(1, 150))
    clips = []
    for number in range(n_clips):
        seconds = chance.uniform(0.5, 12.0)
        row = clip(f"c/{number}", seconds)
        if chance.random() < tells:
            row["speaker"] = f"s{chance.randrange(speakers)}"
        if chance.random() < tells:
            row["sentence"] = f"t{chance.randrange(sentences)}"
        row["emotion"] = chance.choice(EMOTIONS)
        row["official_split"] = chance.choice(["train", "validation"])
        clips.append(row)
    return clips


def seconds_of(clips: list[dict[str, Any]], emotion: str | None) -> float:
    seconds = 0.0
    for clip in clips:
        if clip["emotion"] == emotion:
            seconds += clip["seconds"]
    return seconds


def figures(clips: list[dict[str, Any]], divided: CorpusSplit) -> tuple[float, float]:
    """Share and total variation distance, counted apart from the code that is tested."""
    validating = [clip for clip in clips if divided.side[clip["id"]] == "validation"]
    total = sum(clip["seconds"] for clip in clips)
    held = sum(clip["seconds"] for clip in validating)
    if held == 0:
        return 0.0, 1.0
    distance = 0.0
    for emotion in EMOTIONS:
        share_of_all = seconds_of(clips, emotion) / total
        share_of_held = seconds_of(validating, emotion) / held
        distance += abs(share_of_held - share_of_all) / 2
    return held / total, distance


def assert_apart(clips: list[dict[str, Any]], divided: CorpusSplit, field: str) -> None:
    """Nobody of this field is on two sides, and clips of nobody are not used to validate."""
    sides: dict[str, str] = {}
    for clip in clips:
        name = clip[field]
        side = divided.side[clip["id"]]
        if name is None:
            assert side != "validation"
        else:
            assert sides.setdefault(name, side) == side


@settings(max_examples=10)
@given(corpora(), st.sampled_from(["speakers", "sentences", "official"]), st.integers(0, 3), st.randoms())
def test_nothing_leaks_and_shares_and_emotions_are_as_told_in_any_order(
    clips: list[dict[str, Any]], by: str, seed: int, chance: random.Random
) -> None:
    divided = split(clips, by, seed)
    names = {clip["id"] for clip in clips}
    sides = set(divided.side.values())
    assert set(divided.side) == names
    assert sides <= {"train", "validation"}
    if divided.divided_by == "speakers":
        assert_apart(clips, divided, "speaker")
    if divided.divided_by == "sentences":
        assert_apart(clips, divided, "sentence")
    share, difference = figures(clips, divided)
    assert divided.share == pytest.approx(share)
    is_by_clips = divided.note is not None and "by clips " in divided.note
    if by != "official" and not is_by_clips:
        assert LEAST_SHARE - 1e-6 <= share <= MOST_SHARE + 1e-6
        assert difference <= MOST_DIFFERENT + 1e-6
        assert divided.note or divided.divided_by == by
    chance.shuffle(clips)
    again = split(clips, by, seed)
    assert again == divided


def acted(speakers: int, sentences: int, emotions: int = 6, seconds: float = 2.5) -> list[dict[str, Any]]:
    clips = []
    for s, t, e in itertools.product(range(speakers), range(sentences), range(emotions)):
        row = clip(f"{s}/{t}/{e}", seconds + 0.01 * s)
        about = {"speaker": f"s{s}", "sentence": f"t{t}", "emotion": f"e{e}"}
        clips.append(row | about)
    return clips


@pytest.mark.parametrize("speakers", [2, 4])
def test_few_speakers_give_way_to_sentences_and_the_note_says_why(speakers: int) -> None:
    clips = acted(speakers, 20)
    divided = split(clips)
    assert divided.divided_by == "sentences"
    note = "split by sentences instead of speakers: by speakers "
    assert str(divided.note).startswith(note)


def test_speakers_who_act_one_emotion_each_give_way_to_sentences() -> None:
    clips = []
    for s, t in itertools.product(range(8), range(20)):
        row = clip(f"{s}/{t}", 2.0)
        about = {"speaker": f"s{s}", "sentence": f"t{t}", "emotion": f"e{s}"}
        clips.append(row | about)
    divided = split(clips)
    assert divided.divided_by == "sentences"
    assert "differ in emotion" in str(divided.note)


def test_official_splits_are_kept() -> None:
    sides = ["train", "validation"]
    clips = []
    for n, side in enumerate(sides):
        row = clip(f"{n}", speaker=f"s{n}", emotion="sad", official_split=side)
        clips.append(row)
    divided = split(clips, "official")
    assert list(divided.side.values()) == sides
    assert divided.divided_by == "official"


@pytest.mark.parametrize("name", [None, "test"])
def test_clip_of_no_official_split_or_of_a_test_set_has_no_side(name: str | None) -> None:
    training = clip("a", official_split="train")
    without_side = clip("x", official_split=name)
    with pytest.raises(DailytalkError, match="the official split of the clip x is neither train nor"):
        split([training, without_side], "official")
