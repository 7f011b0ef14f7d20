"""Types of columns: what a reader can take fits, whatever wrote it, and what it can't is named."""

import pyarrow as pa
import pytest
from datasets import Features, List, Value

from dailytalk_contiguous.core.records.schema import wrong_type

FEATURES = Features(
    {
        "text": Value("string"),
        "sound": Value("binary"),
        "count": Value("int32"),
        "seconds": Value("float64"),
        "words": List({"word": Value("string"), "start": Value("float64")}),
    }
)


@pytest.mark.parametrize(
    ("column", "kind", "problem"),
    [
        ("text", pa.int64(), "text is of the type int64, not string"),
        ("sound", pa.string(), "sound is of the type string, not binary"),
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
    first = ("first", pa.bool_())
    schema = pa.schema([first, (column, kind)])
    reported = wrong_type(schema, FEATURES, FEATURES)
    assert str(reported).startswith(problem)
    assert wrong_type(schema, FEATURES, ["first"]) is None
