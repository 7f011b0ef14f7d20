"""The tag stage: columns in, tags and reasons out, alone and lifted to conversations."""

import math
from typing import Any

from stage_calls import columns_after

from dailytalk_contiguous.stages.style import BUCKETS, Tag

#: Measures that no rule notices.
UNMEASURED = {
    "rms_gain_db": math.nan,
    "f0_ratio": math.nan,
    "rate_ratio": math.nan,
    "speech_rate": math.nan,
    "voiced_fraction": math.nan,
}


def utterance(text_raw: str | None = "", **columns: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(BUCKETS.values(), "MID")
    row |= UNMEASURED
    row["text_raw"] = text_raw
    return row | columns


def batch_of(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    batch: dict[str, list[Any]] = {}
    for name in rows[0]:
        batch[name] = [row[name] for row in rows]
    return batch


def test_every_column_reaches_the_rules() -> None:
    rows = [
        utterance(energy_bucket="LOW", zcr_bucket="HIGH", voiced_fraction=0.1),
        utterance(energy_bucket="HIGH", arousal_bucket="HIGH", valence_bucket="LOW", f0_ratio=1.7),
        utterance(energy_bucket="HIGH", arousal_bucket="HIGH", rms_gain_db=7.0),
        utterance(rate_bucket="HIGH", rate_ratio=1.5, speech_rate=4.0),
        utterance("What?"),
        utterance(valence_bucket="HIGH", dominance_bucket="HIGH", pitch_var_bucket="HIGH"),
    ]
    made = columns_after(Tag(), batch_of(*rows))
    assert made["tag"] == ["whispering", "screaming", "shouting", "in a hurry tone", "curious", "proud"]
    assert made["rule"][2] == "T3 shouting"
    assert made["rule"][5] == "grid: arousal MID, valence HIGH, dominance HIGH, pitch_var HIGH"


def test_question_column_decides_where_there_is_one() -> None:
    marked = utterance("what is it", question=True)
    unmarked = utterance("what?", question=False)
    made = columns_after(Tag(), batch_of(marked, unmarked))
    assert made["rule"] == ["question: curious", "grid: arousal MID, valence MID, dominance MID"]


#: An utterance whose affect is as usual.
RATED = {
    "valence_bucket": "LOW",
    "arousal_bucket": "LOW",
    "valence": 0.49,
    "arousal": 0.48,
    "dominance": 0.5,
    "affect_model": "voice-linear",
}


def test_careful_rules_say_nothing_of_affect_that_its_model_cannot_tell_from_the_usual() -> None:
    def felt(valence: float, arousal: float, text: str = "Fine.", **columns: Any) -> dict[str, Any]:
        rated = RATED | {"valence": valence, "arousal": arousal} | columns
        return utterance(text, **rated)

    rows = batch_of(
        felt(0.49, 0.48),
        felt(0.2, 0.48),
        felt(0.2, 0.2),
        felt(0.49, 0.48, "What?"),
        felt(0.49, 0.48, affect_model="audeering/model"),
    )
    standard = columns_after(Tag(), rows)
    assert standard["tag"] == ["sad", "sad", "sad", "doubtful", "sad"]
    careful = columns_after(Tag("careful"), rows)
    assert careful["tag"] == ["", "disappointed", "sad", "curious", "sad"]
    assert careful["rule"][0] == "affect as usual"


def test_every_line_has_the_tag_of_its_own_buckets_by_the_older_rules() -> None:
    usual = utterance("Fine.", dominance_bucket="MID", **RATED)
    made = columns_after(Tag("seed"), batch_of(usual))
    assert made["rule"] == ["seed grid: arousal LOW, valence LOW, dominance MID"]
    assert made["tag"] == ["sad"]
