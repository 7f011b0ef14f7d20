"""The last stage: exactly the columns of a finished conversation."""

import json
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset
from revoicing import Said, columns, recording
from stage_calls import columns_after

from dailytalk_contiguous.core.records.schema import BUILT, SIDE
from dailytalk_contiguous.core.records.utterance import UTTERANCE
from dailytalk_contiguous.core.sound.samples import Samples
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


#: What a transcript brings along for each utterance.
TRANSCRIPT = {
    "speaker": "call/x",
    "kind": "speech",
    "text_raw": "raw",
    "tagged_text": "(sad) raw",
    "tag": "sad",
    "rule": "grid",
    "recogniser": "base",
    "language": "en",
    "valence": 0.25,
    "arousal": 0.25,
    "dominance": 0.25,
    "rms": 0.25,
    "zcr": 0.25,
    "f0_mean": 0.25,
    "f0_std": 0.25,
    "speech_rate": 0.25,
    "voiced_fraction": 0.25,
    "words": [],
    "models": {"recogniser": "base", "affect": "acoustic"},
    "confidence": 0.5,
    "context_seconds": 2.0,
    "text_reason": None,
    "edited_by": ["Ann"],
    "edited_fields": ["text"],
    "spoken_words": [],
    "synthesis": None,
} | dict.fromkeys(BUCKETS, "HIGH")


def transcript(count: int) -> dict[str, list[Any]]:
    """`TRANSCRIPT` for each utterance of a conversation in English."""
    batch: dict[str, list[Any]] = {name: [[value] * count] for name, value in TRANSCRIPT.items()}
    batch["main_language"] = ["en"]
    return batch


def finish(batch: dict[str, list[Any]], revoice: str = "left") -> dict[str, Any]:
    """The one row of a batch, finished."""
    made = columns_after(Finish(revoice, PROVENANCE), batch)
    return {name: values[0] for name, values in made.items()}


def finished(
    revoice: str = "left", said: tuple[Said, ...] = SAID, samples: Samples | None = None
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    if samples is None:
        samples = recording(said, 6.0, 16000)
    batch = columns(said, samples, 16000, 0, revoice)
    batch |= transcript(len(said))
    batch |= columns_after(Reconstruct(sample_rate=0, revoice=revoice), batch)
    batch |= columns_after(Align(revoice=revoice), batch)
    return finish(batch, revoice), batch


def test_a_finished_conversation_has_exactly_the_columns_of_built() -> None:
    row, _ = finished()
    assert list(row) == list(BUILT)
    for utterance in row["utterances"]:
        assert list(utterance) == list(UTTERANCE)
    schema = BUILT.arrow_schema
    written = pa.Table.from_pylist([row], schema=schema)
    assert Dataset(written).features == BUILT
    (read,) = written.to_pylist()
    assert read["utterances"][0]["text_raw"] == "raw"


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
    made = columns_after(Finish(), batch)
    (speakers,) = made["speakers"]
    assert speakers == {"left": person, "right": "ben"}


def test_silent_speaker_keeps_their_name() -> None:
    _, batch = finished()
    batch["speaker"] = [["call/left"] * len(batch["speaker"][0])]
    batch["source_channel"] = [["left"] * len(batch["source_channel"][0])]
    batch["silent_speakers"] = [{"left": None, "right": "ben"}]
    (speakers,) = columns_after(Finish(), batch)["speakers"]
    assert speakers == {"left": None, "right": "ben"}


def channels(row: dict[str, Any], name: str) -> list[str]:
    return [utterance[name] for utterance in row["utterances"]]


def test_the_revoiced_speaker_is_left_whatever_side_he_was_on() -> None:
    row, _ = finished()
    assert channels(row, "channel") == ["left", "left", "right"]
    hello, _, morning = SAID
    row, _ = finished("right", (hello, morning))
    assert channels(row, "channel") == ["right", "left"]
    assert channels(row, "source_channel") == ["left", "right"]
    speakers = {word["word"]: word["speaker"] for word in row["alignments"]}
    assert speakers == {
        "Hello": "right",
        "there": "right",
        "Good": "left",
        "morning": "left",
    }


def unheard(sides: list[dict[str, Any]]) -> list[int]:
    return [side["unheard_words"] for side in sides]


def test_words_where_nothing_is_heard_are_counted_on_their_side() -> None:
    row, batch = finished()
    assert unheard(row["sides"]) == [0, 0]
    (word, *_), *_ = batch["alignments"]
    left, _ = batch["built_sides"][0]
    audible = pytest.approx({"start": 0.5, "end": 1.7}, abs=0.03)
    assert left["audible"] == [audible]
    times = [
        ("left", 0.1, 0.4),
        ("left", 0.3, 0.6),
        ("left", 1.0, 1.1),
        ("left", 3.9, 4.1),
        ("right", 0.6, 0.9),
    ]
    words = [word | {"speaker": side, "start": start, "end": end} for side, start, end in times]
    batch["alignments"] = [words]
    left["leaks"] = [{"start": 0.5, "end": 1.0, "leak_db": -20.0, "leak_seconds": 0.06}]
    made = columns_after(Finish(), batch)
    (sides,) = made["sides"]
    assert unheard(sides) == [2, 1]
    for side in sides:
        assert list(side) == list(SIDE)
    for name in SIDE:
        if name != "unheard_words":
            assert sides[0][name] == left[name]
