"""Types of columns: what a reader can take fits, whatever wrote it, and what it can't is named."""

import pyarrow as pa
import pytest
from datasets import Features, List, Value

from dailytalk_contiguous.core.schema import own_seconds, wrong_type

FEATURES = Features(
    {
        "text": Value("string"),
        "sound": Value("binary"),
        "count": Value("int32"),
        "seconds": Value("float64"),
        "words": List({"word": Value("string"), "start": Value("float64")}),
    }
)
WORDS = pa.list_(pa.struct([("word", pa.string()), ("start", pa.float64())]))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("text", pa.large_string()),
        ("text", pa.dictionary(pa.int32(), pa.string())),
        ("text", pa.null()),
        ("sound", pa.large_binary()),
        ("count", pa.int64()),
        ("seconds", pa.float32()),
        ("seconds", pa.int16()),
        ("words", WORDS),
        ("words", pa.large_list(pa.struct([("word", pa.string())]))),
        ("unheard of", pa.bool_()),
    ],
)
def test_type_that_a_reader_can_take_fits(column: str, kind: pa.DataType) -> None:
    assert wrong_type(pa.schema([(column, kind)]), FEATURES, [column, "not in the file", "seconds"]) is None


@pytest.mark.parametrize(
    ("column", "kind", "problem"),
    [
        ("text", pa.int64(), "text is of the type int64, not string"),
        ("text", pa.dictionary(pa.int32(), pa.int64()), "text is of the type int64, not string"),
        ("sound", pa.string(), "sound is of the type string, not binary"),
        ("count", pa.float64(), "count is of the type double, not int32"),
        ("seconds", pa.string(), "seconds is of the type string, not double"),
        ("words", pa.string(), "words is of the type string, not list<"),
        (
            "words",
            pa.list_(pa.struct([("word", pa.string()), ("start", pa.string())])),
            "words.start is of the type string, not double",
        ),
    ],
)
def test_type_that_no_reader_can_take_is_named_with_its_column(
    column: str, kind: pa.DataType, problem: str
) -> None:
    schema = pa.schema([("first", pa.bool_()), (column, kind)])
    assert str(wrong_type(schema, FEATURES, FEATURES)).startswith(problem)
    assert wrong_type(schema, FEATURES, ["first"]) is None


@pytest.mark.parametrize(
    ("conditioning", "seconds"),
    [
        ({}, 5.0),
        ({"conditioning": None}, 5.0),
        ({"conditioning": {"clip_start": None}}, 5.0),
        ({"conditioning": {"clip_start": 2.0}}, 3.0),
    ],
)
def test_length_of_a_finished_clip_is_without_the_prompt_before_it(conditioning: dict, seconds: float) -> None:
    assert own_seconds({"duration": 5.0, "labels": conditioning}) == seconds
