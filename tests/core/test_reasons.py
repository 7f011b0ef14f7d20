"""Errors that people read."""

import pickle
import re

import pytest

from dailytalk_contiguous import DailytalkError, Segment
from dailytalk_contiguous.core.errors import BadValue

OPTION = re.compile(r"--[a-z]")


def test_error_is_its_reason_and_its_remedy_in_another_process_too() -> None:
    error = DailytalkError("--out 'a--b' is taken", "raise --max-cost")
    assert str(error) == "--out 'a--b' is taken: raise --max-cost"
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)


def test_what_is_wrong_at_construction_is_one_sentence_of_python() -> None:
    with pytest.raises(BadValue, match="give both, left, right, mix") as refused:
        Segment(channel="top")
    assert not OPTION.search(str(refused.value))
