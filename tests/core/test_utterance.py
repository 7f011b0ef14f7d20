"""The table of fields: what a stage may publish, and what a file from outside may say that one did."""

import functools
import math
import pickle
from typing import Any

import pytest
from datasets import List, Value
from msgspec.structs import replace

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Field
from dailytalk_contiguous.core.records.lines import from_line, line_problem, to_line
from dailytalk_contiguous.core.records.published_fields import described, published
from dailytalk_contiguous.core.records.utterance import FIELDS

OWN = (
    Field("n_words", Value("int32"), "its words", "words", required=True),
    Field("pace", Value("float32"), digits=2),
    Field("topics", List({"name": Value("string"), "sure": Value("bool")})),
)
ALL_FIELDS = (*FIELDS, *OWN)
LINE: dict[str, Any] = {"channel": "left", "start": 0.5, "end": 1.25, "text": "Yes.", "tag": "calm", "n_words": 1}


def test_fields_that_stages_publish_come_back_from_a_file() -> None:
    again = published(described(OWN), "run.json")
    assert described(again) == described(OWN)
    features = [field.feature for field in again]
    assert features == [field.feature for field in OWN]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n_words": None}, "n_words is missing"),
        ({"n_words": 1.5}, "n_words: Expected `int`, got `float`"),
        ({"pace": "fast"}, "pace: Expected `float`, got `str`"),
        ({"topics": ["x"]}, "topics: Expected `object`, got `str` - at `$[0]`"),
    ],
)
def test_line_with_another_type_than_a_stage_publishes_says_so(change: dict[str, Any], reason: str) -> None:
    problem = line_problem(LINE | change, ALL_FIELDS)
    assert problem is not None
    assert problem.reason == reason


#: Lists in lists, deeper than functions may call each other.
NESTED: Any = functools.reduce(lambda inner, _: [inner], range(5000), [0])


@pytest.mark.parametrize("name", ["speech rate", "", "class", "__init__", "__slots__", "a\0b"])
def test_objects_that_stages_publish_have_parts_of_any_name(name: str) -> None:
    described_rates = {"name": "rates", "type": {name: "float32"}}
    fields = (*FIELDS, *published([described_rates], "run.json"))
    good = LINE | {"rates": {name: 1.5}}
    bad = LINE | {"rates": {name: "fast"}}
    assert line_problem(good, fields) is None
    problem = line_problem(bad, fields)
    assert problem is not None
    assert problem.key == "rates"


@pytest.mark.parametrize(
    ("change", "is_taken"),
    [
        *(({key: math.nan}, True) for key in ("n_words", "pace", "vad", "vad_bucket", "models", "tag_said")),
        *(({key: math.nan}, False) for key in ("text", "topics", "joined")),
        (
            {"vad": {"valence": math.nan}, "vad_bucket": {"valence": math.nan}, "models": {"affect": math.nan}},
            True,
        ),
        ({"topics": [{"name": math.nan, "sure": math.nan}]}, True),
        ({"vad": {"valence": math.inf}}, False),
        ({"words": [{"word": "Yes", "start": 0.5, "end": 1.0, "probability": math.inf}]}, False),
        ({"vad": {"valence": NESTED}}, False),
    ],
)
def test_nan_of_the_older_tool_is_nothing_and_infinity_is_refused(change: dict[str, Any], is_taken: bool) -> None:
    n_words = Field("n_words", Value("int32"))  # which is not required here
    fields = [n_words if field.name == "n_words" else field for field in ALL_FIELDS]
    problem = line_problem(LINE | change, fields)
    assert (problem is None) == is_taken


def test_field_of_whole_numbers_goes_to_another_process_after_it_was_used() -> None:
    field = Field("n_words", Value("int32"))
    assert field.kind
    again = pickle.loads(pickle.dumps(field))
    assert described([again]) == described([field])
    assert again.kind == field.kind


def test_what_a_stage_publishes_goes_through_a_line_with_its_digits() -> None:
    topics = [{"name": "bicycles", "sure": True}]
    published_fields = {"pace": 2.34567, "topics": topics}
    utterance = from_line(LINE, ALL_FIELDS)
    utterance.channel = utterance.source_channel
    utterance.extra |= published_fields
    line = to_line(utterance, Conversation(conversation_id="call", audio_file="call.wav", offset=0.0), ALL_FIELDS)
    assert line["n_words"] == 1
    assert line["pace"] == 2.35
    assert line["topics"] == topics
    assert line_problem(line, ALL_FIELDS) is None
    utterance.extra["pace"] = 2.35
    assert replace(from_line(line, ALL_FIELDS), channel="left") == utterance
