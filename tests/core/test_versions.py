import pytest
from datasets import Audio, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core import changes
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS, published_features

NUMBERS = st.integers(0, 10**6)
VERSIONS = st.builds(changes.SemanticVersion, NUMBERS, NUMBERS, NUMBERS)
TEXT = Value("string")


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
    assert not changes.is_version_tag(text)
    with pytest.raises(DailytalkError) as error:
        changes.parse_tag(text)
    assert repr(text) in error.value.reason
    assert meant in error.value.remedy


@given(st.lists(VERSIONS, min_size=1))
def test_latest_is_the_highest_number_and_not_the_last_letter(versions: list[changes.SemanticVersion]) -> None:
    assert changes.latest(["draft", *map(str, versions), "v999"]) == str(max(versions))


def test_latest_of_ten_is_above_nine() -> None:
    assert changes.latest(["v1.9.0", "v1.10.0"]) == "v1.10.0"
    assert changes.latest(["main", "v1"]) is None


def test_next_tag_counts_up_what_the_change_calls_for() -> None:
    tags = ["v1.2.3", "v0.9.9", "old"]
    assert [changes.next_tag(tags, bump) for bump in changes.BUMPS] == ["v2.0.0", "v1.3.0", "v1.2.4", "v1.2.3"]
    assert changes.next_tag([], "minor") == changes.next_tag(["old"], "major") == "v1.0.0"


def test_largest_bump_wins() -> None:
    assert changes.largest(["", "patch", "minor"]) == "minor"
    assert changes.largest(["patch", "major", "minor"]) == "major"
    assert changes.largest([]) == ""


def test_published_features_break_nothing_against_themselves() -> None:
    for config in CONFIGS:
        assert changes.breaking(published_features(config, 24000), published_features(config, 24000)) == []
        assert changes.added(published_features(config, 24000), published_features(config, 24000)) == []


def test_new_column_and_new_field_break_nobody() -> None:
    before = Features({"a": TEXT, "list": List({"x": TEXT})})
    after = Features({"list": List({"y": TEXT, "x": TEXT}), "new": {"z": TEXT}, "a": TEXT})
    assert changes.breaking(before, after) == []
    assert changes.added(before, after) == ["list.y", "new"]


def test_lost_column_and_lost_nested_field_are_told_once_each() -> None:
    before = Features({"a": TEXT, "list": List({"x": TEXT, "in": {"deep": TEXT}}), "gone": {"x": TEXT}})
    after = Features({"a": TEXT, "list": List({"in": {}})})
    assert changes.breaking(before, after) == ["list.x is gone", "list.in.deep is gone", "gone is gone"]


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
    assert changes.breaking(Features({"a": old}), Features({"a": new})) == [told]
    assert changes.added(Features({"a": old}), Features({"a": new})) == []
