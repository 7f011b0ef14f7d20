"""Folded rows: nothing of a row is lost by folding it, and nothing is guessed before it is unfolded."""

import math
import pickle

import pytest

from dailytalk_contiguous.core.folded import fold, folded, unfold, unfolded

ROW = {"id": "a", "seconds": 1.5, "words": [{"word": "ach, schön", "start": 0.1, "probability": None}], "runs": []}


def test_a_row_unfolds_to_itself_also_after_it_was_sent_to_a_worker() -> None:
    sent = pickle.loads(pickle.dumps(folded(ROW, ("id", "seconds"))))
    assert unfolded(sent) == ROW
    assert unfolded(ROW) == ROW
    assert math.isnan(unfold(fold(math.nan)))


def test_columns_at_hand_need_no_unfolding_and_others_are_no_guess() -> None:
    row = folded(ROW, ("id",))
    assert row["id"] == "a"
    with pytest.raises(KeyError, match="words"):
        row["words"]
