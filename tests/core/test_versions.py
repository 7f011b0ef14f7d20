import pytest
from datasets import Audio, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.changes import (
    BUMPS,
    SemanticVersion,
    added,
    breaking,
    is_version_tag,
    largest,
    latest,
    next_tag,
    parse_tag,
)
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS, published_features

NUMBERS = st.integers(0, 10**6)
VERSIONS = st.builds(SemanticVersion, NUMBERS, NUMBERS, NUMBERS)
TEXT = Value("string")


@given(VERSIONS)
def test_tag_of_a_version_reads_as_that_version(version: SemanticVersion) -> None:
    assert is_version_tag(str(version))
    assert parse_tag(str(version)) == version


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("v1", "v1.0.0"),
        ("1.0", "v1.0.0"),
        ("1.2.3", "v1.2.3"),
        ("V1.2.3", "v1.2.3"),
        ("v01.2.3", "v1.2.3"),
        ("final", "v1.0.0"),
        ("v1.2.3-rc1", "v1.0.0"),
        ("v1.2.3\n", "v1.0.0"),
        ("", "v1.0.0"),
    ],
)
def test_other_tag_is_refused_and_a_right_one_named(text: str, meant: str) -> None:
    assert not is_version_tag(text)
    with pytest.raises(DailytalkError) as error:
        parse_tag(text)
    assert repr(text) in error.value.reason
    assert meant in error.value.remedy


@given(st.lists(VERSIONS, min_size=1))
def test_latest_is_the_highest_number_and_not_the_last_letter(versions: list[SemanticVersion]) -> None:
    assert latest(["draft", *map(str, versions), "v999"]) == str(max(versions))


def test_latest_of_ten_is_above_nine() -> None:
    assert latest(["v1.9.0", "v1.10.0"]) == "v1.10.0"
    assert latest(["main", "v1"]) is None


@given(st.lists(VERSIONS, min_size=1), st.sampled_from(BUMPS[:3]))
def test_next_tag_is_above_all(versions: list[SemanticVersion], bump: str) -> None:
    assert parse_tag(next_tag(map(str, versions), bump)) > max(versions)


def test_next_tag_counts_up_what_the_change_calls_for() -> None:
    tags = ["v1.2.3", "v0.9.9", "old"]
    assert [next_tag(tags, bump) for bump in BUMPS] == ["v2.0.0", "v1.3.0", "v1.2.4", "v1.2.3"]
    assert next_tag([], "minor") == next_tag(["old"], "major") == "v1.0.0"


def test_largest_bump_wins() -> None:
    assert largest(["", "patch", "minor"]) == "minor"
    assert largest(["patch", "major", "minor"]) == "major"
    assert largest([]) == ""


def test_published_features_break_nothing_against_themselves() -> None:
    for config in CONFIGS:
        assert breaking(published_features(config, 24000), published_features(config, 24000)) == []
        assert added(published_features(config, 24000), published_features(config, 24000)) == []


def test_new_column_and_new_field_break_nobody() -> None:
    before = Features({"a": TEXT, "list": List({"x": TEXT})})
    after = Features({"list": List({"y": TEXT, "x": TEXT}), "new": {"z": TEXT}, "a": TEXT})
    assert breaking(before, after) == []
    assert added(before, after) == ["list.y", "new"]


def test_lost_column_and_lost_nested_field_are_told_once_each() -> None:
    before = Features({"a": TEXT, "list": List({"x": TEXT, "in": {"deep": TEXT}}), "gone": {"x": TEXT}})
    after = Features({"a": TEXT, "list": List({"in": {}})})
    assert breaking(before, after) == ["list.x is gone", "list.in.deep is gone", "gone is gone"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (TEXT, Value("int32"), "a was string and is int32"),
        (Value("float32"), Value("float64"), "a was float32 and is float64"),
        (TEXT, List(TEXT), "a was string and is a list of string"),
        (List(TEXT), List(Value("int8")), "a was a list of string and is a list of int8"),
        ({"x": TEXT}, List({"x": TEXT}), "a was a struct and is a list of a struct"),
        (
            Audio(sampling_rate=24000, num_channels=2),
            Audio(sampling_rate=16000, num_channels=2),
            "a was audio at 24000 Hz with 2 channel(s) and is audio at 16000 Hz with 2 channel(s)",
        ),
        (
            Audio(sampling_rate=24000),
            Audio(),
            "a was audio at 24000 Hz with any number of channel(s) and is audio at any rate with any number of "
            "channel(s)",
        ),
    ],
)
def test_changed_type_is_told_with_both(old: object, new: object, told: str) -> None:
    assert breaking(Features({"a": old}), Features({"a": new})) == [told]
    assert added(Features({"a": old}), Features({"a": new})) == []
