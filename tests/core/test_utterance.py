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
        ({"n_words": 1.5}, "n_words: Expected `int | null`, got `float`"),
        ({"pace": "fast"}, "pace: Expected `float | null`, got `str`"),
        ({"topics": ["x"]}, "topics: Expected `object`, got `str` - at `$[0]`"),
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
