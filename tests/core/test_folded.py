"""Folded rows: nothing of a row is lost by folding it, and nothing is guessed before it is unfolded."""

import math
import pickle

import pytest

from dailytalk_contiguous.shards import compress, compress_row, expand, expand_row

ROW = {"id": "a", "seconds": 1.5, "words": [{"word": "ach, schön", "start": 0.1, "probability": None}], "runs": []}


def test_a_row_unfolds_to_itself_also_after_it_was_sent_to_a_worker() -> None:
    sent = pickle.loads(pickle.dumps(compress_row(ROW, ("id", "seconds"))))
    assert expand_row(sent) == ROW
    assert expand_row(ROW) == ROW
    assert math.isnan(expand(compress(math.nan)))


def test_columns_at_hand_need_no_unfolding_and_others_are_no_guess() -> None:
    row = compress_row(ROW, ("id",))
    assert row["id"] == "a"
    with pytest.raises(KeyError, match="words"):
        row["words"]
