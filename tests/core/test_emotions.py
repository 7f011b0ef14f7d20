"""Limits of confidence, from which on answers count."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from dailytalk_contiguous.core.style.emotions import LEAST_CONFIDENCE, fit_limit


def shares_of(confidences: list[float]) -> np.ndarray:
    """Probabilities of two classes, of which the first is the likelier."""
    return np.array([[confidence, 1 - confidence] for confidence in confidences])


def test_the_limit_is_the_least_confidence_at_which_answers_are_right_often_enough() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.5, 1, 400)
    labels = (rng.uniform(0, 1, 400) > confidences).astype(int)  # right as often as they are sure
    rate = IsotonicRegression().fit(confidences, labels == 0).predict(confidences)
    for right in (0.55, 0.7, 0.9):
        limit = fit_limit(shares_of(confidences.tolist()), labels, right)
        assert limit == confidences[rate >= right].min()
        assert limit == pytest.approx(right, abs=0.1)


def test_answers_that_are_always_right_all_count_and_those_that_never_are_do_not() -> None:
    shares = shares_of([0.6, 0.7, 0.8])
    assert fit_limit(shares, [0, 0, 0], 0.7) == 0.6
    assert fit_limit(shares, [1, 1, 1], 0.7) == 1
    assert fit_limit(shares, [1, 1, 0], 0.7) == 0.8
    assert fit_limit([], [], 0.7) == LEAST_CONFIDENCE
