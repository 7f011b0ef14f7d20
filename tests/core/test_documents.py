import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.documents import (
    expect,
    json_lines,
    parse_json,
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
    "not a number": (b"[NaN]", "NaN"),
    "bytes of another encoding": ('["süß"]'.encode("latin-1"), "utf-8"),
    "cut off": (b'{"a":\n[1, ', "line 2 column"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_json_that_cannot_be_used_is_one_sentence_naming_the_file(case: str) -> None:
    data, reason = HOSTILE[case]
    with pytest.raises(BadInput, match=reason) as caught:
        parse_json(data, "calls/call.json")
    assert caught.value.reason.startswith("calls/call.json: ")
    assert len(caught.value.reason) < 200


def test_bad_line_costs_itself_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n[[\n\n' + b"[" * 5000 + b'\n"text"\n{"a": ' + b" " * (9 << 20) + b'2}\n{"a": 3}')
    lines = dict(json_lines(path))
    assert lines[1] == {"a": 1}
    assert lines[7] == {"a": 3}
    reasons = {number: str(line) for number, line in lines.items() if isinstance(line, BadInput)}
    assert set(reasons) == {2, 4, 5, 6}
    assert "recursion" in reasons[4]
    assert "more than 8.0 MiB" in reasons[6]


SHAPE = {"id": str, "seconds": float, "count?": int, "words": [{"word": str}], "models?": {str: {"name": str}}}
GOOD = {"id": "a", "seconds": 1, "count": None, "words": [{"word": "yes"}], "models": {"tts": {"name": "x"}}}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"id": 5}, "id is 5, not str"),
        ({"id": None}, "id is None, not str"),
        ({"words": {}}, "words is {}, not list"),
        ({"words": [{"word": "a"}, {}]}, "words.2.word is None, not str"),
        ({"models": {"tts": 1}}, "models.tts is 1, not dict"),
        ({"models": {"tts?": {"name": 2}}}, "models.tts?.name is 2, not str"),
    ],
)
def test_misfit_is_named_by_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(BadInput, match=r"^run\.json: ") as caught:
        expect(GOOD | change, SHAPE, "run.json")
    assert place in caught.value.reason


@pytest.mark.parametrize(("members", "zeros"), [(2, 0)])
def test_members_of_gzip_are_unpacked_one_after_the_other(members: int, zeros: int) -> None:
    data = gzip.compress(b"ab") * members + bytes(zeros)
    assert unpack_gzip(data, "x", limit=2 * members) == b"ab" * members
    with pytest.raises(BadInput, match=r"^x: unpacked it has 0\.0 MiB, more than 0\.0 MiB: again$"):
        unpack_gzip(data, "x", "again", limit=2 * members - 1)
