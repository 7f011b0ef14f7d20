"""The table of fields: what a stage may publish, and what a file from outside may say that one did."""

from typing import Any

import pytest
from datasets import List, Value

from dailytalk_contiguous.core.utterance import (
    FIELDS,
    Field,
    described,
    line_of,
    line_problem,
    published,
    sounding_span,
    utterance_of,
)

OWN = (
    Field("n_words", Value("int32"), "its words", "words", required=True),
    Field("pace", Value("float32"), digits=2),
    Field("topics", List({"name": Value("string"), "sure": Value("bool")})),
)
LINE: dict[str, Any] = {"channel": "left", "start": 0.5, "end": 1.25, "text": "Yes.", "tag": "calm", "n_words": 1}


def test_fields_that_stages_publish_come_back_from_a_file() -> None:
    again = published(described(OWN), "run.json")
    assert described(again) == described(OWN)
    assert [field.feature for field in again] == [field.feature for field in OWN]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n_words": None}, "n_words is missing"),
        ({"n_words": 1.5}, "n_words is 1.5, not a whole number"),
        ({"pace": "fast"}, "pace is 'fast', not a number"),
        ({"topics": ["x"]}, "topics.1 is 'x', not an object"),
    ],
)
def test_line_with_another_type_than_a_stage_publishes_says_so(change: dict[str, Any], reason: str) -> None:
    problem = line_problem(LINE | change, (*FIELDS, *OWN))
    assert (problem and problem.reason) == reason


def test_what_a_stage_publishes_goes_through_a_line_with_its_digits() -> None:
    fields, topics = (*FIELDS, *OWN), [{"name": "bicycles", "sure": True}]
    utterance = utterance_of(LINE, fields) | {"pace": 2.34567, "topics": topics}
    line = line_of(utterance, fields=fields)
    assert (line["n_words"], line["pace"], line["topics"]) == (1, 2.35, topics)
    assert line_problem(line, fields) is None
    assert utterance_of(line, fields) == utterance | {"pace": 2.35}


@pytest.mark.parametrize(
    ("trims", "span"),
    [
        ({}, (1.0, 2.0)),
        ({"start_trim": 0.1, "end_trim": None}, (1.1, 2.0)),
        ({"start_trim": -0.1, "end_trim": 0.2}, (0.9, 1.8)),
        ({"start_trim": 0.7, "end_trim": 0.7}, (1.0, 2.0)),
    ],
)
def test_an_utterance_sounds_within_its_trims_and_where_these_say_nothing_from_start_to_end(
    trims: dict[str, Any], span: tuple[float, float]
) -> None:
    assert sounding_span({"start": 1.0, "end": 2.0, **trims}) == pytest.approx(span)
    assert sounding_span({"start": None, "end": 2.0, **trims}) is None
