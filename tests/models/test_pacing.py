"""How long is waited before a request that failed is made again."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from dailytalk_contiguous.core.retries import backoff, retry_after


@pytest.mark.parametrize(("attempt", "longest"), [(0, 0.5), (2, 2.0), (60, 30.0)])
def test_waits_are_drawn_from_nothing_to_a_longest_that_doubles_up_to_thirty_seconds(
    attempt: int, longest: float
) -> None:
    random.seed(0)
    drawn = [backoff(attempt, None) for _ in range(500)]
    assert 0.0 <= min(drawn) < 0.05 * longest
    assert 0.95 * longest < max(drawn) <= longest
    assert 7.0 <= backoff(attempt, 7.0) <= 7.0 + longest


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (" 300 ", 300.0), ("0", 0.0)])
def test_retry_after_in_seconds(header: str, seconds: float) -> None:
    assert retry_after(header) == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000", ""])
def test_retry_after_as_a_date_is_in_universal_time_whatever_it_says_of_its_zone(zone: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    assert retry_after(date.replace("GMT", zone).strip()) == pytest.approx(600, abs=5)


def test_retry_after_that_has_passed_asks_for_no_wait_and_what_is_no_time_for_nothing() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert [retry_after(header) for header in (None, "", "soon", "-7", "1.5")] == [None] * 5
