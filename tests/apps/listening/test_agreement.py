import pandas as pd
import pytest

from dailytalk_contiguous.apps.listening.agreement import against_labels, fleiss_kappa, scored

#: The example of Wikipedia's article on Fleiss' kappa: 14 raters put 10 subjects into 5 categories.
TEN_SUBJECTS = (
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
)


def table(ratings: dict[str, dict[str, str]], labels: dict[str, str] | None = None) -> pd.DataFrame:
    rows = [
        (clip, name, choice, (labels or {}).get(clip))
        for clip, of in ratings.items()
        for name, choice in of.items()
    ]
    return pd.DataFrame(rows, columns=["clip", "listener", "choice", "label"], dtype=object)


def counted(*lines: dict[str, int]) -> pd.DataFrame:
    """Ratings of clips by how often each category was chosen for each."""
    chosen = [[name for name, count in line.items() for _ in range(count)] for line in lines]
    return table({f"c{n}": {f"l{i}": choice for i, choice in enumerate(of)} for n, of in enumerate(chosen)})


def test_the_worked_example_comes_out_as_published() -> None:
    found = fleiss_kappa(counted(*(dict(zip("abcde", line, strict=True)) for line in TEN_SUBJECTS)))
    assert found["overall"] == pytest.approx(0.210, abs=5e-4)
    assert (found["n_clips"], found["n_ratings"]) == (10, 140)


RATINGS = {"c1": {"ann": "a", "bob": "a"}, "c2": {"ann": "a", "bob": "b"}, "c3": {"ann": "c"}, "c4": {}}
LABELS = {"c1": "a", "c2": "b", "c3": "b", "c4": "a"}


def test_ratings_are_held_against_the_labels() -> None:
    found = against_labels(table(RATINGS, LABELS))
    assert found["confusion"] == {"a": {"a": 2}, "b": {"a": 1, "b": 1, "c": 1}}
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["recall"] == pytest.approx({"a": 1.0, "b": 1 / 3})
    assert found["precision"] == pytest.approx({"a": 2 / 3, "b": 1.0})
    never = against_labels(table({"c2": {"ann": "a"}, "c1": {"ann": "b"}, "c9": {"ann": "x"}}, LABELS))
    assert (never["accuracy"], never["precision"]) == (0.0, {"a": 0.0, "b": 0.0})
    assert against_labels(table({})) == {"accuracy": None, "confusion": {}, "recall": {}, "precision": {}}


def test_interval_of_a_share_is_that_of_wilson() -> None:
    told = scored(pd.Series(list("abcdefghij")), pd.Series([1.0] * 8 + [0.0] * 2), 0.25)
    assert (told["mean"], told["chance"], told["n_clips"], told["n_ratings"]) == (0.8, 0.25, 10, 10)
    assert (told["low"], told["high"]) == pytest.approx((0.490, 0.943), abs=5e-4)
