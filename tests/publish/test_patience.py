"""How often a server is asked and how long apart, without waiting for it."""

import httpx2 as httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError

from dailytalk_contiguous.publish.pushing import RetryPolicy, is_passing, with_retries
from dailytalk_contiguous.store.hub import hub_error


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


def test_request_that_succeeds_at_last_gives_its_answer() -> None:
    failures = [ConnectionError(), ConnectionError()]

    def request() -> str:
        if failures:
            raise failures.pop()
        return "here"

    assert with_retries(request, RetryPolicy(tries=3, sleep=lambda seconds: None)) == "here"


@pytest.mark.parametrize(
    ("status", "reason", "remedy"),
    [
        (401, "does not accept the token", "make a new one in your settings"),
        (403, "the token has no right to do this with a/b", "write access"),
        (409, "a/b already has what was to be made", "name another tag"),
        (412, "somebody else published to a/b meanwhile", "look at what they changed"),
        (413, "a file is too large for ", "make smaller shards"),
        (429, "asks to go slower", "wait some minutes"),
        (500, "failed with 500", "in some minutes"),
        (418, "refused what was asked of a/b with 418", "mend what it names"),
    ],
)
def test_each_refusal_of_the_hub_is_a_sentence_with_what_to_do(status: int, reason: str, remedy: str) -> None:
    error = hub_error(answer(status), "a/b")
    assert reason in error.reason
    assert remedy in error.remedy
