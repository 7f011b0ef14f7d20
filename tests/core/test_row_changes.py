import copy
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.changes import (
    MOVED,
    Shifts,
    add_utterance_shifts,
    add_word_shifts,
    changed_fields,
    tag_moves,
    utterance_counts,
)

LEAVES = st.none() | st.integers() | st.text(max_size=3) | st.floats()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def utterance(name: str, start: float | None = 0.0, tag: str | None = "calm", **fields: Any) -> dict[str, Any]:
    return {"utterance_id": name, "start": start, "tag": tag} | fields


def words(*told: tuple[str, float], speaker: str = "left") -> list[dict[str, Any]]:
    return [{"word": word, "start": start, "speaker": speaker} for word, start in told]


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_row_differs_in_nothing_from_its_copy(row: dict[str, Any]) -> None:
    assert changed_fields(row, copy.deepcopy(row)) == set()


def test_not_a_number_is_no_change() -> None:
    assert changed_fields({"a": math.nan}, {"a": float("nan")}) == set()
    assert changed_fields({"a": [1.0, math.nan]}, {"a": [1.0, float("nan")]}) == set()
    assert changed_fields({"a": math.nan}, {"a": 0.0}) == {"a"}
    assert changed_fields({"a": 1, "b": [{"c": 2}]}, {"a": 1.0, "b": [{"c": 2.0}]}) == set()  # the same number


def test_fields_are_named_by_dots_and_only_where_both_have_them() -> None:
    old = {"timeline": {"mode": "anchor", "old": 1}, "gone": 1, "same": 2}
    new = {"timeline": {"mode": "sequential", "new": 1}, "added": 1, "same": 2}
    assert changed_fields(old, new) == {"timeline.mode"}


def test_utterances_are_matched_by_id_and_a_lost_one_is_told_as_such() -> None:
    old = {"utterances": [utterance("a", text="x"), utterance("b", text="y")]}
    assert changed_fields(old, {"utterances": [utterance("b", text="y")]}) == {"utterances"}
    assert changed_fields(old, {"utterances": [utterance("b", text="z")]}) == {
        "utterances",
        "utterances.text",
    }
    assert changed_fields(old, {"utterances": []}) == {"utterances"}
    assert changed_fields(old, {"utterances": None}) == {"utterances"}


def test_list_without_ids_is_compared_in_order_while_it_is_as_long() -> None:
    old = {"alignments": words(("so", 0.0), ("well", 1.0))}
    assert changed_fields(old, {"alignments": words(("so", 0.0), ("well", 1.5))}) == {"alignments.start"}
    assert changed_fields(old, {"alignments": words(("so", 0.0))}) == {"alignments"}


def test_tags_move_by_utterance_id_whatever_the_order() -> None:
    old = {"utterances": [utterance("a", tag="calm"), utterance("b", tag=None), utterance("c", tag="sad")]}
    new = {"utterances": [utterance("c", tag="sad"), utterance("b", tag="angry"), utterance("a", tag="sad")]}
    assert tag_moves(old, new) == {("calm", "sad"): 1, ("", "angry"): 1}


def test_only_utterances_with_a_time_in_both_are_counted() -> None:
    shifts = Shifts()
    old = {"utterances": [utterance("a", 1.0), utterance("b", None), utterance("c", 2.0)]}
    add_utterance_shifts(shifts, old, {"utterances": [utterance("a", 1.5), utterance("b", 1.0)]})
    assert (shifts.matched, shifts.moved.total(), shifts.median, shifts.largest) == (1, 1, 0.5, 0.5)


def test_word_is_never_matched_twice() -> None:
    shifts = Shifts()
    one, two = words(("no", 0.0)), words(("no", 0.0), ("no", 1.0))
    add_word_shifts(shifts, {"alignments": one}, {"alignments": two})
    assert shifts.matched == 1


def test_shift_of_ten_milliseconds_is_none_and_the_next_is_one() -> None:
    shifts = Shifts()
    for shift in (0.0, MOVED, 0.011, 0.0124, 0.02):
        shifts.add(0.0, -shift)
    assert shifts.as_dict() == {
        "matched": 5,
        "share_moved": 0.6,
        "median_seconds": 0.012,
        "largest_seconds": 0.02,
    }


def test_utterances_that_only_one_row_has_are_counted_as_added_and_removed() -> None:
    old = {"utterances": [utterance("a"), utterance("b"), utterance("c"), {"start": 1.0}]}
    new = {"utterances": [utterance("d"), utterance("a")]}
    assert utterance_counts(old, new) == (1, 2)
    assert utterance_counts({}, new) == (2, 0)
    assert utterance_counts({"utterances": None}, {"utterances": None}) == (0, 0)


def test_words_of_both_speakers_and_both_ends_are_counted_and_those_without_a_time_are_not() -> None:
    shifts = Shifts()
    old = words(("a", 0.0), ("b", 1.0), ("c", 2.0), ("d", 3.0)) + words(("e", 0.0), speaker="right")
    new = words(("a", 0.1), ("x", 1.0), ("d", 3.2)) + words(("e", 0.4), speaker="right")
    add_word_shifts(shifts, {"alignments": old}, {"alignments": new})
    assert (shifts.matched, dict(shifts.moved)) == (3, {100: 1, 200: 1, 400: 1})
    add_word_shifts(shifts, {"alignments": [{"word": "a", "speaker": "left"}]}, {"alignments": old})
    add_word_shifts(shifts, {"alignments": None}, {"alignments": old})
    assert shifts.matched == 3


def test_list_of_structs_is_named_itself_where_its_order_or_length_changed() -> None:
    one, two = utterance("a", text="x"), utterance("b", text="y")
    assert changed_fields({"utterances": [one, two]}, {"utterances": [two, one]}) == {"utterances"}
    assert changed_fields({"utterances": [one]}, {"utterances": [{"start": 5.0}]}) == {"utterances.start"}
    assert changed_fields({"a": [1, 2]}, {"a": [1, 3]}) == changed_fields({"a": [1]}, {"a": {"b": 1}}) == {"a"}
    assert changed_fields({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"b": 1}]}) == {"a"}
    assert changed_fields({"a": {"b": {"c": [1]}}}, {"a": {"b": {"c": [2]}}}) == {"a.b.c"}
