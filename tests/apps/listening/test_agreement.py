import pytest

from dailytalk_contiguous.apps.listening.agreement import against_labels, fleiss_kappa, raters, scored, tallied

#: The example of Wikipedia's article on Fleiss' kappa: 14 raters put 10 subjects into 5 categories.
TEN_SUBJECTS = (
    *((0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1)),
    *((7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7)),
)


def counts(*lines: tuple[int, ...]) -> list[dict[str, int]]:
    return [dict(zip("abcde", line, strict=False)) for line in lines]


def test_the_worked_example_comes_out_as_published() -> None:
    found = fleiss_kappa(counts(*TEN_SUBJECTS))
    assert found.overall == pytest.approx(0.210, abs=5e-4)
    assert (found.n_clips, found.n_ratings) == (10, 140)


def test_a_clip_with_one_rating_has_no_part_in_it() -> None:
    assert fleiss_kappa([*counts((2, 1), (0, 3)), {"c": 1}, {}]) == fleiss_kappa(counts((2, 1), (0, 3)))


def test_one_listener_alone_has_no_kappa_and_the_reason_is_told() -> None:
    assert fleiss_kappa([{"a": 1}, {"b": 1}]) == (None, {}, 0, 0, "no clip was rated by two listeners or more")
    assert fleiss_kappa([]) == fleiss_kappa([{}])


def test_where_everybody_always_says_the_same_chance_can_not_be_told() -> None:
    reason = "everybody always chose a, so agreement can't be distinguished from chance"
    assert fleiss_kappa([{"a": 3}, {"a": 2}]) == (None, {"a": None}, 2, 5, reason)


RATINGS = {"c1": {"ann": "a", "bob": "a"}, "c2": {"ann": "a", "bob": "b"}, "c3": {"ann": "c"}, "c4": {}}
LABELS = {"c1": "a", "c2": "b", "c3": "b", "c4": "a"}


def test_ratings_are_held_against_the_labels() -> None:
    found = against_labels(RATINGS, LABELS)
    assert found.confusion == {"a": {"a": 2}, "b": {"a": 1, "b": 1, "c": 1}}
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.recall == pytest.approx({"a": 1.0, "b": 1 / 3})
    assert found.precision == pytest.approx({"a": 2 / 3, "b": 1.0})


def test_choices_are_tallied_clip_by_clip() -> None:
    assert tallied(RATINGS) == [{"a": 2}, {"a": 1, "b": 1}, {"c": 1}, {}]


def test_kappa_of_a_few_clips_in_all_its_figures() -> None:
    found = fleiss_kappa([{"b": 1, "a": 2}, {"b": 3, "c": 0}, {"c": 1}, {"a": 1, "c": 1}])
    # p = 3/8, 4/8, 1/8; pairs alike 1/3, 1, 0; chance (9 + 16 + 1)/64
    assert found.overall == pytest.approx((4 / 9 - 26 / 64) / (1 - 26 / 64))
    assert found.by_category == pytest.approx(
        {"a": (2 / 5 - 3 / 8) / (5 / 8), "b": (6 / 8 - 1 / 2) / (1 / 2), "c": (0 - 1 / 8) / (7 / 8)}
    )
    assert [*found.by_category] == ["a", "b", "c"]
    assert (found.n_clips, found.n_ratings, found.reason) == (3, 8, "")


def test_labels_without_ratings_of_their_own_have_no_precision_or_recall() -> None:
    found = against_labels(
        {"c2": {"ann": "a"}, "c1": {"ann": "b"}, "c3": {}, "c9": {"ann": "x"}}, LABELS | {"c3": "c"}
    )
    assert found == (
        0.0,
        {"a": {"b": 1}, "b": {"a": 1}, "c": {}},
        {"a": 0.0, "b": 0.0, "c": None},
        {"a": 0.0, "b": 0.0, "c": None},
    )
    assert against_labels({}, LABELS) == (None, {}, {}, {})


def test_listeners_come_by_name_and_clips_without_a_label_count_for_nothing_but_agreement() -> None:
    found = raters({"c1": {"zoe": "a", "bob": "b", "ann": "a"}, "x": {"zoe": "c", "ann": "c"}}, LABELS)
    assert [*found] == ["ann", "bob", "zoe"]
    assert found == {
        "ann": (2, 1.0, pytest.approx(2 / 3)),
        "bob": (1, 0.0, 0.0),
        "zoe": (2, 1.0, pytest.approx(2 / 3)),
    }
    assert raters({"x": {"ann": "a"}}, LABELS)["ann"] == (1, None, None)


def test_interval_of_a_share_is_that_of_wilson() -> None:
    told = scored([[1.0]] * 8 + [[0.0]] * 2, 0.25)
    assert (told.mean, told.chance, told.n_clips, told.n_ratings) == (0.8, 0.25, 10, 10)
    assert (told.low, told.high) == pytest.approx((0.490, 0.943), abs=5e-4)
