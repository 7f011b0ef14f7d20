"""Probes of sets whose truth is known: what features hold is found, and knowing the speaker is no help."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn import probes as probing
from dailytalk_contiguous.apps.learn.probes import (
    LinearProbe,
    contour_statistics,
    divided,
    label_of,
    probe_all,
    speaker_share,
)
from dailytalk_contiguous.core.errors import BadInput

EMOTIONS = ("angry", "happy", "neutral", "sad")


def row(
    number: int, speaker: str, text: str | None = None, tag: str | None = None, **labels: Any
) -> dict[str, Any]:
    facts = {"id": f"clip{number}", "conversation_id": f"clip{number}", "channel": "left", "speaker": speaker}
    return facts | {"text": text, "language": "en", "tag": tag, "labels": labels or None}


def corpus(speakers: int = 12, each: int = 16) -> list[dict[str, Any]]:
    """Every speaker says every emotion as often."""
    return [
        row(number, f"speaker{number // each}", emotion=EMOTIONS[number % len(EMOTIONS)])
        for number in range(speakers * each)
    ]


def noise(count: int, width: int = 8, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def only(probes: list[LinearProbe], target: str, features: str = "features") -> LinearProbe:
    (probe,) = (probe for probe in probes if (probe.target, probe.features) == (target, features))
    return probe


def test_label_that_features_hold_is_found_in_speakers_never_heard() -> None:
    rows = corpus()
    held = noise(len(rows))
    held[:, 0] += [3.0 * EMOTIONS.index(own["labels"]["emotion"]) for own in rows]
    probes, notes = probe_all(rows, {"features": held, "noise": noise(len(rows), seed=1)})
    found, by_chance = only(probes, "emotion"), only(probes, "emotion", "noise")
    assert found.recall.value > 0.75
    assert found.recall.low > 0.25
    assert (found.classes, found.utterances, found.speakers) == (EMOTIONS, 192, 12)
    assert by_chance.recall.low <= 0.25 <= by_chance.recall.high
    assert notes == [
        f"{target}: there is nothing to distinguish, with 0 labels" for target in ("tag", "sentence", "gender")
    ]


def test_where_only_speakers_differ_emotion_is_at_chance_and_the_speaker_is_known() -> None:
    """Each speaker says one emotion most of the time: who knows the speaker could guess it."""
    random = np.random.default_rng(0)
    voices = random.normal(size=(12, 8)) * 5
    rows, features = [], []
    for number in range(12 * 20):
        speaker = number // 20
        emotion = EMOTIONS[speaker % 4 if random.random() < 0.7 else random.integers(4)]
        rows.append(row(number, f"speaker{speaker:02d}", emotion=emotion))
        features.append(voices[speaker] + random.normal(size=8))
    vectors = np.array(features, np.float32)
    probes, _ = probe_all(rows, {"features": vectors})
    emotion, speaker = only(probes, "emotion"), only(probes, "speaker")
    assert emotion.recall.low <= 0.25 <= emotion.recall.high
    assert speaker.recall.value > 0.95
    assert len(speaker.classes) == 12


def test_each_thing_that_can_not_be_probed_is_one_sentence_and_the_rest_goes_on() -> None:
    rows = [
        row(
            number,
            f"speaker{number % 3}",
            "Really?" if number % 2 else "Fine.",
            "calm",
            emotion=emotion,
            gender=gender,
        )
        for number, (emotion, gender) in enumerate(
            [
                *((("happy", "sad")[number // 3 % 2], ("f", "m", "m")[number % 3]) for number in range(60)),
                ("fear", "m"),
            ]
        )
    ]
    probes, notes = probe_all(rows, {"features": noise(len(rows))})
    assert [probe.target for probe in probes] == ["emotion", "sentence", "speaker"]
    assert notes == [
        "emotion: 'fear' left out, of fewer than 5 utterances or 2 speakers",
        "tag: there is nothing to distinguish, with 1 labels",
        "gender: 'f' left out, of fewer than 5 utterances or 2 speakers",
        "gender: there is nothing to distinguish, with 1 labels",
    ]
    assert {(probe.recall.low, probe.recall.high) for probe in probes} == {(None, None)}
    assert probe_all([row(0, "ann")], {"features": noise(1)})[0] == []


def test_labels_are_those_of_the_row() -> None:
    asks = row(0, "ann", "Are you coming?", "curious", emotion="happy", gender="female")
    assert [label_of(target, asks) for target in probing.TARGETS] == [
        "happy",
        "curious",
        "question",
        "female",
        "ann",
    ]
    states = row(0, "ann", "No way!") | {"labels": {"tag": "calm"}}
    assert [label_of(target, states) for target in ("tag", "sentence")] == ["calm", None]
    assert label_of("sentence", row(0, "ann", "I will be there.")) == "statement"


def test_copies_of_a_clip_do_not_give_its_speaker_away() -> None:
    assert label_of("speaker", row(0, "ann", augmented_from="clip1", emotion="sad")) is None
    assert label_of("emotion", row(0, "ann", augmented_from="clip1", emotion="sad")) == "sad"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=8, max_size=60), st.integers(0, 9))
def test_no_speaker_is_on_both_sides_of_a_fold_and_every_utterance_is_tested_once(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    labels, speakers = (np.array(column) for column in zip(*pairs, strict=True))
    if len(np.unique(speakers)) < 2 or len(np.unique(labels)) < 2:
        return
    try:
        folds = divided(labels, speakers, 5, seed)
    except BadInput:
        return
    assert sorted(place for _, test in folds for place in test) == [*range(len(labels))]
    for train, test in folds:
        assert not {*speakers[train]} & {*speakers[test]}


def test_share_of_the_speaker_is_all_none_and_what_was_put_in() -> None:
    speakers = [f"speaker{number // 40}" for number in range(400)]
    voices = np.repeat(noise(10), 40, axis=0)
    apart = noise(400, seed=2)
    all_of_it, nothing, half = (speaker_share(each, speakers) for each in (voices, apart, voices + apart))
    assert all_of_it is not None
    assert nothing is not None
    assert half is not None
    assert all_of_it == pytest.approx(1.0)
    assert nothing < 0.01
    expected = voices.var(axis=0) / (voices + apart).var(axis=0)
    assert half == pytest.approx(expected.mean(), abs=0.08)
    assert speaker_share(apart[:10], speakers[:10]) is None
    assert speaker_share(apart[:2], ["ann", "ben"]) is None


def test_statistics_of_contours_are_of_voiced_frames_and_find_a_slope() -> None:
    contours = np.zeros((100, 6), np.float32)
    contours[20:80] = np.linspace(0.2, 0.8, 60)[:, None]
    statistics = contour_statistics(contours)
    assert statistics.shape == (38,)
    assert statistics[:6] == pytest.approx(0.5, abs=1e-6)  # means
    assert statistics[30:36] == pytest.approx(0.6 / (59 * 0.016), rel=1e-4)  # slopes a second
    assert statistics[36] == pytest.approx(0.6)
    assert statistics[37] == pytest.approx(math.log(1.6))
    for silent in (np.zeros((50, 6), np.float32), np.zeros((0, 6), np.float32)):
        assert np.isfinite(contour_statistics(silent)).all()
        assert not contour_statistics(silent)[:36].any()
