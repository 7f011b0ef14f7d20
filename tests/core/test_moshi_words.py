"""The words beside a WAV: which entries are read, and which are refused."""

from typing import Any

import pytest

from dailytalk_contiguous.core.documents import LATEST
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.moshi_words import SaidWord, said_words
from dailytalk_contiguous.core.schema import MAIN, OTHER


@pytest.mark.parametrize(
    ("start", "end", "is_read"),
    [
        (0.1, 0.4, True),
        (0.4, 0.1, True),
        (-2 * LATEST, 0.1, False),
        (0.1, float("nan"), False),
        (None, 1.0, False),
    ],
)
def test_words_have_times_that_are_seconds_in_any_order(start: Any, end: Any, is_read: bool) -> None:
    alignments = [["so", [0.0, 0.1], OTHER], ["well", [start, end], MAIN]]
    if is_read:
        assert said_words(alignments, "a.json", "make it again") == [
            SaidWord("so", 0.0, 0.1, OTHER, 1), SaidWord("well", start, end, MAIN, 0),
        ]  # fmt: skip
    else:
        with pytest.raises(BadInput, match=r"a\.json is \['well', .*: make it again"):
            said_words(alignments, "a.json", "make it again")


@pytest.mark.parametrize("alignments", [None, {}, "so", 1.0])
def test_what_is_no_list_is_refused(alignments: Any) -> None:
    with pytest.raises(BadInput, match=r"a\.json is "):
        said_words(alignments, "a.json", "make it again")
