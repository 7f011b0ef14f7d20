"""The last stage: exactly the columns of a finished conversation."""

import json
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset
from revoicing import Said, columns, recording

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.schema import BUILT, SIDE
from dailytalk_contiguous.core.utterance import UTTERANCE
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.reconstruct import Reconstruct

SAID = (
    Said("left", 0.5, 2.0, 0.8, text="Hello there"),
    Said("left", 2.5, 3.0, status="dropped"),
    Said("right", 3.5, 5.0, text="Good morning"),
)
PROVENANCE = json.dumps({"tool": "test", "models": {}})
BUCKETS = [name for name in UTTERANCE if name.endswith("_bucket")]


def transcript(count: int) -> dict[str, list[Any]]:
    """What a transcript brings along."""
    texts = {"speaker": "call/x", "kind": "speech", "text_raw": "raw", "tagged_text": "(sad) raw", "tag": "sad"}
    texts |= {"rule": "grid", "recogniser": "base", "language": "en", **dict.fromkeys(BUCKETS, "HIGH")}
    measures = (
        "valence",
        "arousal",
        "dominance",
        "rms",
        "zcr",
        "f0_mean",
        "f0_std",
        "speech_rate",
        "voiced_fraction",
    )
    return {
        **{name: [[value] * count] for name, value in texts.items()},
        **{name: [[0.25] * count] for name in measures},
        "words": [[[] for _ in range(count)]],
        "models": [[{"recogniser": "base", "affect": "acoustic"}] * count],
        "confidence": [[0.5] * count],
        "context_seconds": [[2.0] * count],
        "text_reason": [[None] * count],
        "edited_by": [[["Ann"]] * count],
        "edited_fields": [[["text"]] * count],
        "spoken_words": [[[] for _ in range(count)]],
        "synthesis": [[None] * count],
        "main_language": ["en"],
    }


def finished(
    revoice: str = "left", said: tuple[Said, ...] = SAID, samples: Samples | None = None
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    samples = recording(said, 6.0, 16000) if samples is None else samples
    batch = columns(said, samples, 16000, 0, revoice) | transcript(len(said))
    for stage in (Reconstruct(sample_rate=0, revoice=revoice), Align(revoice=revoice)):
        batch |= stage(batch)
    row = {name: values[0] for name, values in Finish(revoice, PROVENANCE)(batch).items()}
    return row, batch


def test_a_finished_conversation_has_exactly_the_columns_of_built() -> None:
    row, _ = finished()
    assert list(row) == list(BUILT)
    assert all(list(one) == list(UTTERANCE) for one in row["utterances"])
    written = pa.Table.from_pylist([row], schema=BUILT.arrow_schema)
    assert Dataset(written).features == BUILT
    assert written.to_pylist()[0]["utterances"][0]["text_raw"] == "raw"


@pytest.mark.parametrize(
    ("named", "person"),
    [
        (["anna", "anna"], "anna"),
        (["anna", "call/left"], "anna"),
        (["anna", "zoe"], None),
        (["call/left", "call/left"], None),
    ],
)
def test_speaker_is_told_where_all_that_is_named_on_a_channel_is_one_person(
    named: list[str | None], person: str | None
) -> None:
    _, batch = finished()
    batch["speaker"] = [[*named, "ben"]]
    row = {name: values[0] for name, values in Finish()(batch).items()}
    assert row["speakers"] == {"left": person, "right": "ben"}


def test_the_revoiced_speaker_is_left_whatever_side_he_was_on() -> None:
    row, _ = finished()
    assert [one["channel"] for one in row["utterances"]] == ["left", "left", "right"]
    row, _ = finished("right", (SAID[0], SAID[2]))
    assert [one["channel"] for one in row["utterances"]] == ["right", "left"]
    assert [one["source_channel"] for one in row["utterances"]] == ["left", "right"]
    assert {one["word"]: one["speaker"] for one in row["alignments"]} == {
        "Hello": "right",
        "there": "right",
        "Good": "left",
        "morning": "left",
    }


def test_words_where_nothing_is_heard_are_counted_on_their_side() -> None:
    _, batch = finished()
    (word, *_), *_ = batch["alignments"]
    left, _ = batch["built_sides"][0]
    assert left["audible"] == [pytest.approx({"start": 0.5, "end": 1.7}, abs=0.03)]
    times = [("left", 0.1, 0.4), ("left", 0.3, 0.6), ("left", 1.0, 1.1), ("left", 3.9, 4.1), ("right", 0.6, 0.9)]
    words = [word | {"speaker": side, "start": start, "end": end} for side, start, end in times]
    row = {name: values[0] for name, values in Finish()(batch | {"alignments": [words]}).items()}
    assert [side["unheard_words"] for side in row["sides"]] == [2, 1]
    assert [list(side) for side in row["sides"]] == 2 * [list(SIDE)]
    assert {name: row["sides"][0][name] for name in SIDE if name != "unheard_words"} == {
        name: left[name] for name in SIDE if name != "unheard_words"
    }
    row, _ = finished()
    assert [side["unheard_words"] for side in row["sides"]] == [0, 0]
