"""The tag stage: columns in, tags and reasons out, alone and lifted to conversations."""

import math
from typing import Any

from dailytalk_contiguous.stages.style import BUCKETS, Tag


def utterance(text_raw: str | None = "", **columns: Any) -> dict[str, Any]:
    measures = dict.fromkeys(("rms_gain_db", "f0_ratio", "rate_ratio", "speech_rate", "voiced_fraction"), math.nan)
    return {**dict.fromkeys(BUCKETS.values(), "MID"), **measures, "text_raw": text_raw, **columns}


def batch_of(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_every_column_reaches_the_rules() -> None:
    made = Tag()(
        batch_of(
            utterance(energy_bucket="LOW", zcr_bucket="HIGH", voiced_fraction=0.1),
            utterance(energy_bucket="HIGH", arousal_bucket="HIGH", valence_bucket="LOW", f0_ratio=1.7),
            utterance(energy_bucket="HIGH", arousal_bucket="HIGH", rms_gain_db=7.0),
            utterance(rate_bucket="HIGH", rate_ratio=1.5, speech_rate=4.0),
            utterance("What?"),
            utterance(valence_bucket="HIGH", dominance_bucket="HIGH", pitch_var_bucket="HIGH"),
        )
    )
    assert made["tag"] == ["whispering", "screaming", "shouting", "in a hurry tone", "curious", "proud"]
    assert made["rule"][2] == "T3 shouting"
    assert made["rule"][5] == "grid: arousal MID, valence HIGH, dominance HIGH, pitch_var HIGH"


def test_a_class_of_emotion_has_a_vote_where_no_measure_stands_out() -> None:
    rows = [
        utterance(emotion_class="sad"),
        utterance(emotion_class="sad", arousal_bucket="LOW"),
        utterance("What?", emotion_class="sad"),
        utterance(emotion_class="angry", rate_bucket="HIGH", rate_ratio=1.5, speech_rate=4.0),
        utterance(emotion_class="fearful", dominance_bucket="LOW"),
        *(utterance(emotion_class=name) for name in ("neutral", "unsure", "bewildered", None)),
    ]
    for preset in ("standard", "seed"):
        plain = Tag(preset)(batch_of(*rows))
        voted = Tag(preset, emotion_vote=True)(batch_of(*rows))
        changed = [place for place in range(len(rows)) if plain["rule"][place] != voted["rule"][place]]
        assert changed == ([0, 4] if preset == "standard" else [0, 2, 4])  # the older rules know no questions
        assert (voted["tag"][0], voted["rule"][0]) == ("sad", "emotion: sad")
        assert (voted["tag"][4], voted["rule"][4]) == ("scared", "emotion: fearful")
        assert Tag(preset, emotion_vote=True)(batch_of(utterance("Fine."))) == Tag(preset)(
            batch_of(utterance("Fine."))
        )
    Tag(emotion_vote=True).preflight()


def test_question_column_decides_where_there_is_one() -> None:
    made = Tag()(batch_of(utterance("what is it", question=True), utterance("what?", question=False)))
    assert made["rule"] == ["question: curious", "grid: arousal MID, valence MID, dominance MID"]


def test_careful_rules_say_nothing_of_affect_that_its_model_cannot_tell_from_the_usual() -> None:
    def felt(valence: float, arousal: float, text: str = "Fine.", **columns: Any) -> dict[str, Any]:
        rated = {"valence": valence, "arousal": arousal, "dominance": 0.5, "affect_model": "voice-linear"}
        return utterance(text, valence_bucket="LOW", arousal_bucket="LOW", **rated | columns)

    rows = batch_of(
        felt(0.49, 0.48),
        felt(0.2, 0.48),
        felt(0.2, 0.2),
        felt(0.49, 0.48, "What?"),
        felt(0.49, 0.48, affect_model="audeering/model"),
    )
    assert Tag()(rows)["tag"] == ["sad", "sad", "sad", "doubtful", "sad"]
    careful = Tag("careful")(rows)
    assert careful["tag"] == ["", "disappointed", "sad", "curious", "sad"]
    assert careful["rule"][0] == "affect as usual"


def test_every_line_has_the_tag_of_its_own_buckets_by_the_older_rules() -> None:
    rated = {"valence": 0.49, "arousal": 0.48, "dominance": 0.5, "affect_model": "voice-linear"}
    usual = utterance("Fine.", valence_bucket="LOW", arousal_bucket="LOW", dominance_bucket="MID", **rated)
    made = Tag("seed")(batch_of(usual))
    assert made["rule"] == ["seed grid: arousal LOW, valence LOW, dominance MID"]
    assert made["tag"] == ["sad"]
