import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.documents import (
    MOST_LEVELS,
    MOST_LINE_BYTES,
    expect,
    fits,
    json_lines,
    parse_json,
    parse_yaml,
    quoted,
    read_json,
)
from dailytalk_contiguous.core.errors import BadInput

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(VALUES)
def test_json_that_anything_sensible_writes_is_read_as_it_is(value: Any) -> None:
    assert parse_json(json.dumps(value).encode(), "call.json") == value
    assert parse_json("\ufeff" + json.dumps(value, ensure_ascii=False), "call.json") == value


HOSTILE = {
    "levels that no parser walks": (b"[" * 100_000, "nested deeper"),
    "levels that a parser walks and nothing after it": (b"[" * 500 + b"]" * 500, "nested deeper"),
    "number of 5,000 digits": (b'{"start": ' + b"9" * 5000 + b"}", "more than 64 bits"),
    "number beyond 64 bits": (b"[18446744073709551616]", "more than 64 bits"),
    "float beyond all floats": (b"[1e999]", "too large"),
    "half a character": (rb'{"text": "well\ud800"}', "lone surrogate"),
    "half a character in a name": (rb'{"\udfff": 1}', "lone surrogate"),
    "not a number": (b"[NaN]", "NaN"),
    "infinity": (b"[-Infinity]", "Infinity"),
    "same name twice": (b'{"text": "a", "text": "b"}', "'text' twice"),
    "bytes of another encoding": ('["süß"]'.encode("latin-1"), "line 1 is not UTF-8"),
    "cut off": (b'{"a":\n[1, ', "line 2 is not JSON"),
    "nothing": (b"", "is not JSON"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_json_that_cannot_be_used_is_one_sentence_naming_the_file(case: str) -> None:
    data, reason = HOSTILE[case]
    with pytest.raises(BadInput, match=reason) as caught:
        parse_json(data, "calls/call.json")
    assert caught.value.reason.startswith("calls/call.json: ")
    assert len(caught.value.reason) < 200


@pytest.mark.parametrize("case", sorted(HOSTILE.keys() - {"not a number", "infinity"}))
def test_json_that_may_hold_nan_is_refused_for_everything_else(case: str) -> None:
    data, reason = HOSTILE[case]
    with pytest.raises(BadInput, match=reason):
        parse_json(data, "calls/call.json", nan=True)
    assert parse_json(b"[Infinity]", "calls/call.json", nan=True) == [math.inf]


@pytest.mark.parametrize(("letters", "shown"), [(118, "'" + 118 * "a" + "'"), (119, "'" + 119 * "a" + "…")])
def test_value_is_quoted_up_to_120_characters(letters: int, shown: str) -> None:
    assert quoted(letters * "a") == shown


def test_surrogate_pair_is_a_character() -> None:
    assert parse_json(rb'"\ud83d\ude00"', "x") == "😀"


def test_levels_up_to_the_limit_are_read() -> None:
    assert parse_json("[" * MOST_LEVELS + "]" * MOST_LEVELS, "x")


def test_document_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(BadInput, match="more than"):
        parse_json(b"[" + b" " * 100 + b"]", "x", limit=50)


def test_pipe_in_place_of_a_file_is_refused_and_not_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "call.json")
    for reading in (read_json, lambda path: list(json_lines(path))):
        with pytest.raises(BadInput, match="not a regular file"):
            reading(tmp_path / "call.json")


def test_bad_line_costs_itself_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n[[\n\n' + b"[" * 5000 + b'\n"text"\n{"a": ' + b" " * (9 << 20) + b'2}\n{"a": 3}')
    lines = dict(json_lines(path))
    assert lines[1] == {"a": 1}
    assert lines[7] == {"a": 3}
    reasons = {number: str(line) for number, line in lines.items() if isinstance(line, BadInput)}
    assert set(reasons) == {2, 4, 5, 6}
    assert "nested deeper" in reasons[4]
    assert "more than 8.0 MiB" in reasons[6]


@pytest.mark.parametrize("text", ["[" * 5000, "a: {b: [", "x: " + "9" * 5000, "2020-99-99", "? {a: b}\n: c"])
def test_yaml_that_cannot_be_used_is_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match=r"^moshi\.yaml: "):
        parse_yaml(text, "moshi.yaml")


SHAPE = {"id": str, "seconds": float, "count?": int, "words": [{"word": str}], "models?": {str: {"name": str}}}
GOOD = {"id": "a", "seconds": 1, "count": None, "words": [{"word": "yes"}], "models": {"tts": {"name": "x"}}}


def test_value_of_the_shape_is_given_back() -> None:
    assert expect(GOOD, SHAPE, "x") is GOOD
    assert fits(GOOD, SHAPE)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"id": 5}, "id is 5, not text"),
        ({"id": None}, "id is missing"),
        ({"seconds": "1"}, "seconds is '1', not a number"),
        ({"seconds": True}, "seconds is True"),
        ({"seconds": 10**400}, "seconds is 1000"),
        ({"count": 1.5}, "count is 1.5, not a whole number"),
        ({"words": {}}, "words is {}, not a list"),
        ({"words": [{"word": "a"}, {}]}, "words.2.word is missing"),
        ({"models": {"tts": 1}}, "models.tts is 1, not an object"),
    ],
)
def test_misfit_is_named_by_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(BadInput, match=r"^run\.json: ") as caught:
        expect(GOOD | change, SHAPE, "run.json")
    assert place in caught.value.reason


def test_file_of_lines_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"lines\.jsonl: it can't be read \(No such file or directory\)"):
        list(json_lines(tmp_path / "lines.jsonl"))


def test_yaml_is_read_up_to_the_limit_of_a_line_and_no_further() -> None:
    text = "a: 1 #" + "x" * (MOST_LINE_BYTES - 6)
    assert parse_yaml(text, "moshi.yaml") == {"a": 1}
    with pytest.raises(BadInput, match=r"moshi\.yaml: it has 8\.0 MiB, more than 8\.0 MiB"):
        parse_yaml(text + "x", "moshi.yaml")


def test_line_is_read_up_to_the_limit_and_no_further(tmp_path: Path) -> None:
    whole = b'{"a": 1}' + b" " * (MOST_LINE_BYTES - 9) + b"\n"
    (tmp_path / "lines.jsonl").write_bytes(whole + whole.replace(b"\n", b" \n") + b'{"a": 2}')
    first, second, third = (line for _, line in json_lines(tmp_path / "lines.jsonl"))
    assert (first, third) == ({"a": 1}, {"a": 2})
    assert isinstance(second, BadInput)
