import gzip
import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.audio import read_header
from dailytalk_contiguous.core.documents import (
    as_text,
    expect,
    fits,
    is_number,
    json_lines,
    parse_json,
    parse_yaml,
    read_json,
    shown,
    unpack_gzip,
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
    "levels that no parser walks": (b"[" * 100_000, "nested too deep"),
    "number of 5,000 digits": (b'{"start": ' + b"9" * 5000 + b"}", "5000 digits"),
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


@pytest.mark.parametrize(
    "reading",
    [read_json, lambda path: list(json_lines(path)), lambda path: read_header({"bytes": None, "path": str(path)})],
)
def test_pipe_in_a_folder_that_somebody_sent_is_not_waited_for(tmp_path: Path, reading: Any) -> None:
    os.mkfifo(tmp_path / "call")
    with pytest.raises((BadInput, OSError), match="not a regular file"):
        reading(tmp_path / "call")


def test_bad_line_costs_itself_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n[[\n\n' + b"[" * 5000 + b'\n"text"\n{"a": ' + b" " * (9 << 20) + b'2}\n{"a": 3}')
    lines = dict(json_lines(path))
    assert lines[1] == {"a": 1}
    assert lines[7] == {"a": 3}
    reasons = {number: str(line) for number, line in lines.items() if isinstance(line, BadInput)}
    assert set(reasons) == {2, 4, 5, 6}
    assert "nested too deep" in reasons[4]
    assert "more than 8.0 MiB" in reasons[6]


@pytest.mark.parametrize("text", ["[" * 999, "a: {b: [", "x: " + "9" * 5000, "2020-99-99", "? {a: b}\n: c"])
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


def test_document_of_just_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'["ab"]')
    assert parse_json(b'["ab"]', "x", limit=6) == read_json(path, limit=6) == ["ab"]
    with pytest.raises(BadInput, match=r"^x: it has 0\.0 MiB, more than 0\.0 MiB: correct it or save"):
        parse_json(b'["ab"]', "x", limit=5)
    with pytest.raises(BadInput, match=r"a\.json: it has 0\.0 MiB, more than 0\.0 MiB: again$"):
        read_json(path, "again", limit=5)
    with pytest.raises(BadInput, match=r"b\.json: it is not there: again$"):
        read_json(tmp_path / "b.json", "again")


def test_half_a_character_may_stay_where_the_caller_says_so() -> None:
    assert parse_json(rb'"\udcff"', "x", surrogates=True) == "\udcff"
    with pytest.raises(BadInput, match=r"^it holds half a character \('\\udcff', a lone surrogate\)"):
        parse_json(rb'"\udcff"', "")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"[1,\n2,\n\xff]", 1, "line 3 is not UTF-8"),
        (b"[1,\n2,\n\xff]", 5, "line 7 is not UTF-8"),
        (b"[1,\n2,\n?]", 1, "line 3 is not JSON (Expecting value)"),
        (b"[1,\n2,\n?]", 5, "line 7 is not JSON (Expecting value)"),
    ],
)
def test_place_of_an_error_is_its_line(text: bytes, line: int, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_json(text, "x", line=line)
    assert caught.value.reason == f"x: {reason}"
    with pytest.raises(BadInput) as caught:
        parse_json(text, "", line=line)
    assert caught.value.reason == "it is not" + reason.partition(" is not")[2]


@pytest.mark.parametrize(("members", "zeros"), [(1, 0), (2, 0), (3, 512)])
def test_members_of_gzip_are_unpacked_one_after_the_other(members: int, zeros: int) -> None:
    data = gzip.compress(b"ab") * members + bytes(zeros)
    assert unpack_gzip(data, "x", limit=2 * members) == b"ab" * members
    with pytest.raises(BadInput, match=r"^x: it holds more than 0\.0 MiB: again$"):
        unpack_gzip(data, "x", "again", limit=2 * members - 1)


def test_gzip_that_can_not_be_used_is_one_sentence() -> None:
    whole = gzip.compress(b"ab")
    for data, reason in (
        (whole[:-1], "it is gzip that breaks off"),
        (whole + whole[:5], "it is gzip that breaks off"),
        (whole + b"xy", "it is not gzip, or it is damaged"),
        (zlib.compress(b"ab"), "it is not gzip, or it is damaged"),
        (b"abc", "it is not gzip, or it is damaged"),
    ):
        with pytest.raises(BadInput, match=f"^x: {reason}: again$"):
            unpack_gzip(data, "x", "again")
    assert unpack_gzip(b"", "x") == b""


def test_lines_have_numbers_from_one_and_blank_ones_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\n{"a": 1}\n \t\n{"b": NaN}\n[]\n')
    (second, one), (fourth, number), (fifth, lines) = json_lines(path)
    assert (second, one, fourth, fifth) == (2, {"a": 1}, 4, 5)
    assert str(number) == "NaN is not a number: mend or delete the line"
    assert str(lines) == "it is not a JSON object: mend or delete the line"
    assert math.isnan(dict(json_lines(path, nan=True))[4]["b"])


@pytest.mark.parametrize(
    ("value", "low", "high", "is_one"),
    [(1, 1, 2, True), (2, 1, 2, True), (0.99, 1, 2, False), (2.01, 1, 2, False), (True, 0, 2, False),
     (math.nan, 0, 2, False), ("1", 0, 2, False), (10**400, 0, math.inf, False), (-5, -math.inf, 0, True)],
)  # fmt: skip
def test_number_is_finite_between_both_ends_and_no_truth(
    value: Any, low: float, high: float, is_one: bool
) -> None:
    assert is_number(value, low, high) == is_one
    assert is_number(value) == (is_one or value in (0.99, 2.01))


def test_path_in_a_sentence_shows_bytes_that_are_no_text() -> None:
    path = Path(os.fsdecode(b"a/caf\xe9"))
    assert shown(Path("a/café")) == as_text("a/café") == "a/café"
    assert as_text(path) == r"a/caf\xe9"
    assert shown(path) == r"a/caf\udce9"
