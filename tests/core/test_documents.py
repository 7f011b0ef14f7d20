import gzip
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.documents import (
    MOST_FIELDS,
    Number,
    csv_lines,
    parse_json,
    parse_yaml,
    typed,
    unpack_gzip,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.machine.read_documents import json_lines

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(TEXTS, inner)


VALUES = st.recursive(SCALARS, nested)


@given(VALUES)
def test_json_that_anything_sensible_writes_is_read_as_it_is(value: Any) -> None:
    as_bytes = json.dumps(value).encode()
    with_mark = "\ufeff" + json.dumps(value, ensure_ascii=False)
    assert parse_json(as_bytes, "call.json") == value
    assert parse_json(with_mark, "call.json") == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"[NaN]", "NaN", id="not a number"),
        pytest.param('["süß"]'.encode("latin-1"), "utf-8", id="bytes of another encoding"),
        pytest.param(b'{"a":\n[1, ', "line 2 column", id="cut off"),
    ],
)
def test_json_that_cannot_be_used_is_one_sentence_naming_the_file(data: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        parse_json(data, "calls/call.json")
    reported = caught.value.reason
    assert reported.startswith("calls/call.json: ")
    assert len(reported) < 200


def test_bad_line_costs_itself_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    too_deep = b"[" * 5000
    too_long = b'{"a": ' + b" " * (9 << 20) + b"2}"
    lines = [b'{"a": 1}', b"[[", b"", too_deep, b'"text"', too_long, b'{"a": 3}']
    path.write_bytes(b"\n".join(lines))
    read = dict(json_lines(path))
    assert read[1] == {"a": 1}
    assert read[7] == {"a": 3}
    reasons = {}
    for number, line in read.items():
        if isinstance(line, BadInput):
            reasons[number] = str(line)
    assert set(reasons) == {2, 4, 5, 6}
    assert "recursion" in reasons[4]
    assert "more than 8.0 MiB" in reasons[6]


class Spoken(TypedDict):
    word: str


class Run(TypedDict):
    id: str
    seconds: Number
    words: list[Spoken]
    count: NotRequired[int | None]


WORDS = [{"word": "yes", "other": 1}]
GOOD: Any = {"id": "a", "seconds": 1, "count": None, "words": WORDS, "unknown": 2}


def test_what_has_the_type_comes_back_as_it_is() -> None:
    assert typed(GOOD, Run, "run.json") is GOOD
    assert GOOD["words"] == [{"word": "yes", "other": 1}]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"id": 5}, "Expected `str`, got `int` - at `$.id`"),
        ({"id": None}, "Expected `str`, got `null` - at `$.id`"),
        ({"words": {}}, "Expected `array`, got `object` - at `$.words`"),
        ({"words": [{"word": "a"}, {}]}, "Object missing required field `word` - at `$.words[1]`"),
        ({"seconds": True}, "Expected `float`, got `bool` - at `$.seconds`"),
        ({"seconds": math.nan}, "Expected `float` >= "),
        ({"seconds": math.inf}, "Expected `float` <= "),
    ],
)
def test_what_has_not_the_type_is_named_by_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(BadInput, match=r"^run\.json: ") as caught:
        typed(GOOD | change, Run, "run.json")
    assert place in caught.value.reason


def test_members_of_gzip_are_unpacked_one_after_the_other() -> None:
    data = gzip.compress(b"ab") * 2
    assert unpack_gzip(data, "x", limit=4) == b"abab"
    refusal = r"^x: unpacked it has 0\.0 MiB, more than 0\.0 MiB: again$"
    with pytest.raises(BadInput, match=refusal):
        unpack_gzip(data, "x", "again", limit=3)


#: Parses documents with a gigabyte of memory: the first takes more, and the next is small.
LIMITED = """
import resource
from dailytalk_contiguous.core.documents import MOST_BYTES, csv_lines, parse_json
from dailytalk_contiguous.core.errors import DailytalkError

resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
for item in ("[],", "{},"):
    try:
        parse_json(f"[{item * (MOST_BYTES // 3 - 2)}0]", "call.json")
    except DailytalkError as problem:
        print(problem.reason)
    print(parse_json(f"[{item}0]", "call.json"))
try:
    csv_lines("a,b\\n" * (MOST_BYTES // 4), "call.csv", ["a"], "")
except DailytalkError as problem:
    print(problem.reason)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_document_that_needs_more_memory_than_there_is_is_named_and_the_next_is_read() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    named = "call.json: it needs more memory than there is"
    of_table = "the table 'call.csv' needs more memory than there is"
    assert done.stdout.splitlines() == [named, "[[], 0]", named, "[{}, 0]", of_table]


def test_table_is_counted_with_the_fields_that_its_lines_lack() -> None:
    n_columns = 5000
    header = ",".join(f"c{number}" for number in range(n_columns))
    fitting = header + "\na" * (MOST_FIELDS // n_columns)
    lines = csv_lines(fitting, "t.csv", ["c0"], "again")
    assert lines[-1]["c0"] == "a"
    with pytest.raises(DailytalkError, match=r"^the table 't\.csv' has more than 10,000,000 fields: again$"):
        csv_lines(fitting + "\na", "t.csv", ["c0"], "again")


def test_yaml_that_would_take_a_minute_is_not_parsed() -> None:
    with pytest.raises(BadInput, match=r"^config\.yaml: it has 1\.0 MiB, more than 0\.2 MiB"):
        parse_yaml("a " * (1 << 19), "config.yaml")
