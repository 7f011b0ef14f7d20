"""Figures as readers see them: amounts of money and shares."""

import pytest

from dailytalk_contiguous.core.wording import money, percent


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        (0.0, "0.00 USD"),
        (0.00004, "0.0000 USD"),
        (0.0999, "0.0999 USD"),
        (0.1, "0.10 USD"),
        (1234.5, "1,234.50 USD"),
    ],
)
def test_amount_under_ten_cents_has_four_decimals(dollars: float, text: str) -> None:
    assert money(dollars) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 0, "–"),
        (0, 9, "0 %"),
        (1, 10_000, "0.01 %"),
        (1, 300, "0.3 %"),
        (1, 200, "0.5 %"),
        (1, 199, "1 %"),
        (1, 3, "33 %"),
        (9, 9, "100 %"),
    ],
)
def test_share_is_in_whole_per_cent_and_a_rare_one_is_not_shown_as_none(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text
