"""Waits and the shared pace, on a clock that passes only while somebody sleeps."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from spending import Clock

from dailytalk_contiguous.core.retries import backoff, retry_after
from dailytalk_contiguous.models.paid import Pace


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock.sleep, clock)


def spacing(pace: Pace, clock: Clock) -> float:
    """Seconds between two requests that are sent as soon as they may."""
    pace.wait()
    before = clock.now
    pace.wait()
    return round(clock.now - before, 6)


def test_nothing_is_spaced_before_a_429(pace: Pace, clock: Clock) -> None:
    for _ in range(5):
        pace.wait()
    assert clock.slept == []


def test_each_429_after_a_pause_doubles_the_spacing_up_to_five_seconds(pace: Pace, clock: Clock) -> None:
    found = []
    for _ in range(9):
        pace.slow(1.0)
        found.append(spacing(pace, clock))
    assert found == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_refusals_during_a_pause_lengthen_it_and_say_nothing_new_about_the_spacing(
    pace: Pace, clock: Clock
) -> None:
    for seconds in (10.0, 2.0, 12.0, 3.0):
        pace.slow(seconds)
    pace.wait()
    assert clock.slept == [12.0]
    pace.wait()
    assert clock.slept == [12.0, 0.05]


def test_a_429_just_as_the_pause_ends_is_a_new_one(pace: Pace, clock: Clock) -> None:
    pace.slow(1.0)
    clock.now = 1.0
    pace.slow(1.0)
    assert spacing(pace, clock) == 0.1


def test_served_requests_shorten_the_spacing_by_a_fifth_until_there_is_none(pace: Pace, clock: Clock) -> None:
    for _ in range(2):
        pace.slow(1.0)
        clock.now += 1.0
    assert spacing(pace, clock) == 0.1
    found = []
    for _ in range(5):
        pace.ease()
        clock.now += 10.0
        found.append(spacing(pace, clock))
    assert found == [0.08, 0.064, 0.0512, 0.04096, 0.0]


@pytest.mark.parametrize(
    ("attempt", "longest"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (7, 30.0), (60, 30.0)]
)
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
