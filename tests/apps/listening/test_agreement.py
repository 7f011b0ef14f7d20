import pandas as pd
import pytest

from dailytalk_contiguous.apps.listening.agreement import against_labels, fleiss_kappa

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
    label_of = labels or {}
    rows = []
    for clip, choices in ratings.items():
        for listener, choice in choices.items():
            rows.append((clip, listener, choice, label_of.get(clip)))
    columns = ["clip", "listener", "choice", "label"]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def counted(*lines: tuple[int, ...]) -> pd.DataFrame:
    """Ratings of clips by how often each category was chosen for each."""
    ratings = {}
    for n, counts in enumerate(lines):
        choices = list[str]()
        for category, count in zip("abcde", counts, strict=True):
            choices += [category] * count
        ratings[f"c{n}"] = {f"l{i}": choice for i, choice in enumerate(choices)}
    return table(ratings)


def test_the_worked_example_comes_out_as_published() -> None:
    kappa = fleiss_kappa(counted(*TEN_SUBJECTS))
    assert kappa["overall"] == pytest.approx(0.210, abs=5e-4)
    assert kappa["n_clips"] == 10
    assert kappa["n_ratings"] == 140


RATINGS = {
    "c1": {"ann": "a", "bob": "a"},
    "c2": {"ann": "a", "bob": "b"},
    "c3": {"ann": "c"},
    "c4": {},
}
LABELS = {"c1": "a", "c2": "b", "c3": "b", "c4": "a"}
#: The first clip is given the label of the second, and the other way round.
NEVER_RIGHT = {"c2": {"ann": "a"}, "c1": {"ann": "b"}, "c9": {"ann": "x"}}


def test_ratings_are_held_against_the_labels() -> None:
    result = against_labels(table(RATINGS, LABELS))
    confusion = result["confusion"]
    assert set(confusion) == {"a", "b"}
    assert confusion["a"] == {"a": 2}
    assert confusion["b"] == {"a": 1, "b": 1, "c": 1}
    assert result["accuracy"] == pytest.approx(3 / 5)
    recall = {"a": 1.0, "b": 1 / 3}
    precision = {"a": 2 / 3, "b": 1.0}
    assert result["recall"] == pytest.approx(recall)
    assert result["precision"] == pytest.approx(precision)
    never = against_labels(table(NEVER_RIGHT, LABELS))
    assert never["accuracy"] == 0.0
    assert never["precision"] == {"a": 0.0, "b": 0.0}
    nothing = {"accuracy": None, "confusion": {}, "recall": {}, "precision": {}}
    assert against_labels(table({})) == nothing
