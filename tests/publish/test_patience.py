"""How often a server is asked and how long apart, without waiting for it."""

import httpx2 as httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError

from dailytalk_contiguous.publish.pushing import RetryPolicy, is_passing, with_retries


def answer(status: int, retry_after: str | None = None) -> HfHubHTTPError:
    request = httpx.Request("GET", "https://huggingface.co")
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return HfHubHTTPError("no", response=httpx.Response(status, headers=headers, request=request))


def slept(error: Exception, **options: int) -> tuple[list[float], int]:
    """The waits before a request is given up that always fails so, and how often it was made."""
    waits: list[float] = []
    made = []

    def request() -> None:
        made.append(1)
        raise error

    with pytest.raises(type(error)):
        with_retries(request, RetryPolicy(sleep=waits.append, **options))
    return waits, len(made)


@pytest.mark.parametrize("error", [ConnectionError(), TimeoutError(), answer(503), answer(429, "soon")])
def test_waits_double_from_one_second_over_five_tries(error: Exception) -> None:
    assert slept(error) == ([1.0, 2.0, 4.0, 8.0], 5)


def test_no_wait_is_over_a_minute() -> None:
    assert slept(ConnectionError(), tries=9) == ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0], 9)
    assert slept(answer(429, "3600"), tries=2) == ([60.0], 2)
    assert slept(answer(429, "7"), tries=5) == ([7.0, 7.0, 7.0, 8.0], 5)


@pytest.mark.parametrize("error", [answer(404), answer(501), answer(403), ValueError()])
def test_what_would_fail_again_is_not_asked_again(error: Exception) -> None:
    assert slept(error) == ([], 1)


def test_statuses_that_pass() -> None:
    assert [status for status in range(400, 600) if is_passing(answer(status))] == [408, 429, 500, 502, 503, 504]
