import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.core.expressive import CLIP
from dailytalk_contiguous.core.quality import NAMES
from dailytalk_contiguous.engine.corpus_describe import describe
from dailytalk_contiguous.engine.corpus_plan import plan, sift
from dailytalk_contiguous.engine.corpus_stages import CorpusSettings


def clip(name: str, speaker: str | None = "s", **columns: Any) -> dict[str, Any]:
    """A measured clip."""
    row: dict[str, Any] = dict.fromkeys((*CLIP, *NAMES))
    row |= {"id": name, "speaker": speaker, "emotion": "happy", "language": "en", "duration": 2.5, "audio": {}}
    row |= {"input_digest": name, "text_raw": "Hello.", "text_source": "given", "word_source": "proportional"}
    row |= {"rms": 0.1, "zcr": 0.1, "f0_mean": 150.0, "f0_std": 20.0, "speech_rate": 3.0, "voiced_fraction": 0.8}
    row |= dict.fromkeys(("valence", "arousal", "dominance"))
    return row | {"heard": [{"start": 0.2, "end": 2.0}], "words": []} | columns


def described(*rows: dict[str, Any], model: str = "acoustic-estimate") -> list[dict[str, Any]]:
    return describe(rows, model)


def test_affect_that_people_rated_is_kept_before_an_estimate() -> None:
    rated = {"given_valence": 0.9, "given_arousal": 0.1, "given_dominance": 0.4}
    first, second = described(clip("a", **rated), clip("b"))
    assert (first["valence"], first["arousal"], first["affect_source"]) == (0.9, 0.1, "raters")
    assert second["affect_source"] == "acoustic-estimate"


def test_without_ratings_and_model_affect_is_unknown() -> None:
    (row,) = described(clip("a"), model="")
    assert math.isnan(row["valence"])
    assert row["affect_source"] is None


def test_style_is_the_label_or_else_that_of_a_rule_which_says_so() -> None:
    speaker = [clip(f"s{number}", rms=0.05 + 0.002 * number) for number in range(8)]
    loud, sung = clip("loud", rms=0.9, f0_mean=230.0), clip("sung", style="sung")
    rows = {row["id"]: row for row in described(*speaker, loud, sung)}
    assert (rows["loud"]["style"], rows["loud"]["style_source"]) == ("shouted", "rule")
    assert (rows["sung"]["style"], rows["sung"]["style_source"]) == ("sung", "label")
    assert (rows["s4"]["style"], rows["s4"]["style_source"]) == ("normal", "rule")


def test_style_of_a_clip_that_could_not_be_measured_is_not_guessed() -> None:
    row, *_ = described(clip("a", rms=math.nan), *(clip(str(number)) for number in range(8)))
    assert (row["style"], row["style_source"]) == (None, None)


def test_rules_tell_no_style_of_a_speaker_with_few_clips() -> None:
    rows = described(*(clip(str(number), rms=0.1 * 2**number) for number in range(5)))
    assert {(row["style"], row["style_source"]) for row in rows} == {(None, None)}


def test_clips_of_unknown_speakers_are_not_compared_with_each_other() -> None:
    rows = described(*(clip(str(number), None, rms=0.01 * 1.5**number) for number in range(9)))
    assert {(row["energy_bucket"], row["style"]) for row in rows} == {("MID", None)}


def test_clip_of_another_language_is_set_aside() -> None:
    kept, rejects = sift([clip("a"), clip("b", language="zh")], CorpusSettings(profile="embedded", language="en"))
    assert [row["id"] for row in kept] == ["a"]
    assert rejects[0].reason == "its language is zh, not en"


def corpus(numbers: int) -> list[dict[str, Any]]:
    emotions = ("happy", "sad", "neutral")
    rows = [
        clip(f"c/{speaker}-{number}", f"s{speaker}", emotion=emotions[number % 3], f0_mean=100.0 + 9 * number)
        for speaker in range(6)
        for number in range(numbers)
    ]
    return described(*rows)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.randoms(use_true_random=False), st.sampled_from(["", "sample", "weights"]))
def test_plan_loses_nothing_and_knows_no_order(numbers: int, chance: random.Random, balance: str) -> None:
    rows = corpus(numbers)
    chosen = CorpusSettings(profile="embedded", augment=("noise", "pitch"), balance=balance, prompt_channel=True)
    planned = plan(rows, chosen)
    sources = [row["id"] for row in planned.rows if row["augmented_from"] is None]
    assert sorted([*sources, *(reject.id for reject in planned.rejects)]) == sorted(row["id"] for row in rows)
    splits = {row["id"]: row["split"] for row in planned.rows}
    for row in planned.rows:
        if row["augmented_from"] is not None:
            assert (row["split"], splits[row["augmented_from"]]) == ("train", "train")
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert plan(shuffled, chosen) == planned


def test_digest_changes_with_what_goes_into_a_clip() -> None:
    rows = corpus(3)
    chosen = CorpusSettings(profile="embedded")
    before = {row["id"]: row["input_digest"] for row in plan(rows, chosen).rows}
    rows[4] |= {"emotion": "calm"}
    after = {row["id"]: row["input_digest"] for row in plan(rows, chosen).rows}
    changed = {name for name, digest in after.items() if before[name] != digest}
    assert rows[4]["id"] in changed
    moved = [row | {"audio": {"bytes": None, "path": "/elsewhere"}} for row in rows]
    assert {row["id"]: row["input_digest"] for row in plan(moved, chosen).rows} == after


def test_nothing_kept_plans_nothing() -> None:
    planned = plan([], CorpusSettings(profile="embedded", balance="sample"))
    assert (planned.rows, planned.split, planned.balance) == ([], None, None)


@pytest.mark.parametrize(("copies", "expected"), [(0, 1), (3, 3)])
def test_without_balance_every_training_clip_has_its_copies(copies: int, expected: int) -> None:
    planned = plan(corpus(2), CorpusSettings(profile="embedded", augment=("noise",), copies=copies))
    trained = [row for row in planned.rows if row["split"] == "train" and row["augmented_from"] is None]
    assert len(planned.rows) - 12 == expected * len(trained)
