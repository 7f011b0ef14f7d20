"""Why a request to a service gave no usable answer, in words for people, and whether another try may help.

Only 429, 5xx, timeouts, resets and answers that break off are worth another try; everything else would fail again,
at a price. The reason of a failure is the rest of a sentence that begins with the name of the service.
"""

import json
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import requests
from urllib3.exceptions import HTTPError, InvalidHeader, NewConnectionError, ReadTimeoutError
from urllib3.util import Retry

from dailytalk_contiguous.models.service_token import Token

#: Characters that are shown of what a service says.
LONGEST_MESSAGE = 200

#: The remedy for an address at which nothing answers as it should.
CHECK_ADDRESS = "check that it runs, its address, and the network"


class ShortRead(Exception):
    """An answer said 200 but is not whole: empty, cut short, or not what was asked for. Raised by readers."""


class LongRead(ShortRead):
    """An answer said 200 and holds more than the request can need."""


class NotServed(Exception):
    """The service has no such path (a status that the caller named as `absent`)."""


class RequestFailure(Exception):
    """One try of a request gave no usable answer; the next try may.

    Attributes:
        reason: what the service did.
        remedy: what a person can do; empty if they can only try again.
        paid: whether the answer began with 200, so that it may be charged.
        retry_seconds: seconds that the service wants to be left alone, at least.
        can_retry: whether another try may succeed.
        ends_run: whether any other request would fail in the same way.
    """

    can_retry: ClassVar[bool] = True
    ends_run: ClassVar[bool] = False

    def __init__(self, reason: str, remedy: str = "", paid: bool = False, retry_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.paid = paid
        self.retry_seconds = retry_seconds


class AnswerRejected(RequestFailure):
    """The answer can't be used, and would be the same again. Other requests may have better ones."""

    can_retry = False


class ServiceUnreachable(RequestFailure):
    """Nothing answers at the address. That may pass; if it doesn't, no request has an answer."""

    ends_run = True


class ServiceRefused(RequestFailure):
    """No request can succeed before a person acts."""

    can_retry = False
    ends_run = True


class Advice(NamedTuple):
    """Advice to the user in messages about a service.

    Attributes:
        chosen: the settings of the service that the user chose, perhaps wrongly.
        retry_remedy: the remedy for a failure that may pass.
    """

    chosen: Sequence[str] = ("voice", "model")
    retry_remedy: str = "run the same command again: what was bought is kept, and only the rest is asked for"


#: Seconds. A service that wants a longer rest than this is better left alone until another run.
LONGEST_RETRY_AFTER = 300.0


def failure_of(response: requests.Response, message: str, advice: Advice, token: Token) -> RequestFailure:
    """Return the failure of an answer with a status other than 200; `message` is the service's message."""
    status = response.status_code
    reason = f"answered {status} ({message})" if message else f"answered {status}"
    if status in (408, 429) or status >= 500:
        try:
            seconds = Retry().get_retry_after(response.raw) or 0.0
        except (ValueError, OverflowError, InvalidHeader):  # neither a number nor a date
            seconds = 0.0
        if seconds > LONGEST_RETRY_AFTER:
            remedy = f"wait {seconds / 60:.0f} minutes, then {advice.retry_remedy}"
            return ServiceRefused(f"asks for a rest of {seconds:.0f} s", remedy)
        return RequestFailure(reason, retry_seconds=seconds)
    if status == 401:
        # Some services repeat the token in their message.
        return ServiceRefused(
            "answered 401: it does not accept the token", f"check the token in {token.variables}"
        )
    if status == 402:
        return ServiceRefused(reason, f"the account has no credit left; add some, and {advice.retry_remedy}")
    choices = ", the ".join(advice.chosen)
    return ServiceRefused(reason, f"check the {choices}, the settings and the address")


def connection_failure(
    error: requests.RequestException | HTTPError, base_url: str, has_answered: bool, paid: bool
) -> RequestFailure:
    """The failure of a request that ended in an error of the connection.

    Args:
        error: an error of requests, or of urllib3 while an answer is read.
        base_url: address of the service, for messages.
        has_answered: whether the service has ever answered a request.
        paid: whether this answer began with 200.
    """
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    is_unreachable = isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError)
    if is_unreachable or isinstance(cause, NewConnectionError):
        return ServiceUnreachable(f"at {base_url} can't be reached", CHECK_ADDRESS)
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        if has_answered or paid:
            return RequestFailure("fell silent", paid=paid)
        # A service that has never answered counts as unreachable.
        return ServiceUnreachable(f"at {base_url} accepts requests and answers none", CHECK_ADDRESS)
    is_unsafe = isinstance(error, requests.exceptions.SSLError)
    if isinstance(error, requests.ConnectionError | HTTPError) and not is_unsafe:
        return RequestFailure("broke off its answer", paid=paid)
    return ServiceRefused(f"at {base_url} can't be asked ({type(error).__name__})", CHECK_ADDRESS)


def short_answer(error: ShortRead, token: Token) -> RequestFailure:
    """The failure of an answer with status 200 that is not whole, or too long."""
    fault = "gave an answer that is not whole"
    if isinstance(error, LongRead):
        fault = "gave an answer that is too long"
    return RequestFailure(f"{fault} ({on_one_line(str(error), token)})", paid=True)


def service_message(body: bytes, token: Token) -> str:
    """The text of an error answer: `message` or `detail` of JSON; empty for other formats."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for name in ("error", "message", "detail"):
        if isinstance(answer, dict):
            answer = answer.get(name, answer)
    if not isinstance(answer, str):
        return ""
    return on_one_line(answer, token)


def on_one_line(text: str, token: Token) -> str:
    """A service's message, without the token, on one short line; cut last, or half a token would be left."""
    words = token.hidden_in(text).split()
    return " ".join(words)[:LONGEST_MESSAGE].rstrip(".")
