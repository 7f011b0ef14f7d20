import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.clip_plan import (
    PlannedClips,
    corpus_pipeline,
    describe,
    plan_clips,
)
from dailytalk_contiguous.apps.clips.clip_source import CLIP
from dailytalk_contiguous.core.records.clip_records import QUALITY_MEASURES
from dailytalk_contiguous.models.emotion_features import MEASURES

#: The measures of a voice: as usual, and higher, more varied and brighter.
USUAL = [1.0] * len(MEASURES)


def clip(name: str, speaker: str | None = "s", **columns: Any) -> dict[str, Any]:
    """A measured clip."""
    row: dict[str, Any] = dict.fromkeys((*CLIP, *QUALITY_MEASURES, "valence", "arousal", "dominance"))
    row |= {"id": name, "speaker": speaker, "input_digest": name}
    row |= {"emotion": "happy", "language": "en", "duration": 2.5, "audio": {}}
    row |= {"text_raw": "Hello.", "text_source": "given", "word_sources": ["proportional"]}
    row |= {"rms": 0.1, "zcr": 0.1, "f0_mean": 150.0, "f0_std": 20.0}
    row |= {"speech_rate": 3.0, "voiced_fraction": 0.8, "voice": USUAL}
    row |= {"heard": [{"start": 0.2, "end": 2.0}], "words": []}
    return row | columns


def plan(rows: Sequence[dict[str, Any]], **chosen: Any) -> PlannedClips:
    (_, finishing), wanted = corpus_pipeline("embedded", **chosen)
    return plan_clips(rows, wanted, finishing)


def described(*rows: dict[str, Any], model: str = "voice-linear") -> list[dict[str, Any]]:
    return describe(rows, model)


def corpus(numbers: int) -> list[dict[str, Any]]:
    emotions = ("happy", "sad", "neutral")
    rows = []
    for speaker in range(6):
        for number in range(numbers):
            emotion = emotions[number % 3]
            pitch = 100.0 + 9 * number
            row = clip(f"c/{speaker}-{number}", f"s{speaker}", emotion=emotion, f0_mean=pitch)
            rows.append(row)
    return described(*rows)


@settings(max_examples=25)
@given(
    st.integers(1, 7), st.randoms(use_true_random=False), st.booleans(), st.sampled_from([("noise", "pitch"), ()])
)
def test_plan_loses_nothing_and_knows_no_order(
    numbers: int, chance: random.Random, balance: bool, copies: bool
) -> None:
    rows = corpus(numbers)
    chosen: dict[str, Any] = {"balance": balance, "prompt_channel": True}
    if copies:
        chosen["augment"] = ("noise", "pitch")
    planned = plan(rows, **chosen)
    kept = [row["id"] for row in planned.rows if row["labels"]["augmented_from"] is None]
    rejected = [reject.id for reject in planned.rejects]
    assert sorted(kept + rejected) == sorted(row["id"] for row in rows)
    splits = {row["id"]: row["split"] for row in planned.rows}
    for row in planned.rows:
        source = row["labels"]["augmented_from"]
        if source is not None:
            assert row["split"] == "train"
            assert splits[source] == "train"
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert plan(shuffled, **chosen) == planned


def test_minutes_are_equal_for_the_combinations_that_are_named() -> None:
    clips = []
    for speaker in range(6):
        for number in range(20):
            emotion = "sad" if number % 2 else "happy"
            text = "I am coming." if number % 5 else "Are you coming?"
            row = clip(f"c/{speaker}-{number}", f"s{speaker}", emotion=emotion, text_raw=text)
            clips.append(row)
    rows = described(*clips)
    planned = plan(rows, balance_by=("emotion", "type"), target_minutes=0.1)
    assert planned.balance is not None
    assert {*planned.balance.after} == {
        "happy, declarative",
        "happy, interrogative",
        "sad, declarative",
        "sad, interrogative",
    }
    for seconds in planned.balance.after.values():
        assert abs(seconds - 6.0) <= 1.0
    seen = Counter[str]()
    for row in planned.rows:
        labels = row["labels"]
        if row["split"] == "train":
            seen[f"{labels['emotion']}, {labels['sentence_type']}"] += labels["weight"]
    assert max(seen.values()) - min(seen.values()) <= 1
    reasons = {reject.reason for reject in planned.rejects}
    assert "there is more of happy, declarative than wanted" in reasons
    by_emotion = plan(rows, balance=True, target_minutes=0.1).balance
    assert by_emotion is not None
    assert {*by_emotion.after} == {"happy", "sad"}


def test_clips_of_an_official_test_set_are_rejected_and_only_by_the_official_split() -> None:
    sets = ("train", "validation", "test")
    clips = [clip(name, name, official_split=name) for name in sets]
    rows = described(*clips)
    planned = plan(rows, split_by="official")
    splits = {row["id"]: row["split"] for row in planned.rows}
    assert splits == {"train": "train", "validation": "validation"}
    (reject,) = planned.rejects
    assert reject.id == "test"
    assert reject.stage == "Split"
    by_speakers = plan(rows)
    assert by_speakers.rejects == []
    assert {row["labels"]["official_split"] for row in by_speakers.rows} == set(sets)
