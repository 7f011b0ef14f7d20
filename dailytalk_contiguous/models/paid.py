"""The client of a service that costs money or takes long, with limits that all its threads share.

Passing failures are retried; what a person must fix stops the run. After an answer that a person must act on (400,
401, 402, 403, 404), or several lines in a row without any, no thread begins another request. The first line of a
`ServedSynthesiser` goes alone, so that such an answer is met once. The price of a request is reserved before it is
sent. Errors have our own words and are raised outside of `except`: an exception of `requests` holds the request,
and with it the token.

An answer that comes as a stream of events is asked for once, and read in the thread that wants it.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models.contracts import (
    UNUSABLE_ANSWERS,
    BrokenOff,
    Line,
    NotAnswered,
    Reserve,
    Spoken,
    Synthesiser,
    VoiceSample,
    free,
)
from dailytalk_contiguous.models.cuttable_connection import CuttableAdapter, StreamedAnswer, stream_of_request
from dailytalk_contiguous.models.event_streams import ServerEvent, server_events
from dailytalk_contiguous.models.request_failures import (
    CHECK_ADDRESS,
    Advice,
    AnswerRejected,
    NotServed,
    RequestFailure,
    ServiceRefused,
    ServiceUnreachable,
    ShortRead,
    connection_failure,
    failure_of,
    service_message,
    short_answer,
)
from dailytalk_contiguous.models.service_token import Token
from dailytalk_contiguous.store.secrets import refuse_plain_http

#: Seconds to connect.
CONNECT_SECONDS = 5.0

#: Seconds between two tries at most, on top of what the service asks for.
LONGEST_WAIT = 30.0

#: Lines in a row without an answer, after which the service is taken to be down.
LINES_WITHOUT_ANSWER = 5

#: Requests to a service that has never answered anything: its address is wrong, or it does not run.
FIRST_TRIES = 3

#: Bytes of an answer once it is unpacked: over twenty minutes of speech, and no line has a minute. An answer is
#: held in memory, and 1.5 MB of gzip can hold gigabytes of zeros.
MOST_ANSWER_BYTES = 64 << 20

#: Bytes of an answer with another status, unpacked: more is not needed to say what is wrong.
MOST_REFUSAL_BYTES = 64 << 10

#: Bytes of a stream, unpacked. A token of text takes about 250 as an event.
MOST_STREAM_BYTES = 16 << 20

#: Bytes that are read of an answer at a time.
_PART_BYTES = 1 << 16

#: Types of answers that are no stream of events, whatever they hold.
_NO_STREAMS = ("text/html", "application/json", "application/xml", "text/xml")

Value = TypeVar("Value")


class Answer(NamedTuple, Generic[Value]):
    """The value that a reader made of an answer, and how many answers began with 200: each may be charged for."""

    value: Value
    paid: int


class Purchase(NamedTuple):
    """The purchase that a request makes.

    Attributes:
        price: the highest cost in USD, held in `reserve` while the request is under way.
        reserve: the reserve of the budget that pays.
        about: the name of the purchase, for messages.
    """

    price: float = 0.0
    reserve: Reserve = free
    about: str = "its request"


#: The purchase of a request that costs nothing.
NO_PURCHASE = Purchase()


class RequestLimits(NamedTuple):
    """Limits of time and number for the requests to a service.

    Attributes:
        read_seconds: the longest silence while an answer is read.
        total_seconds: time for one whole answer, however steadily it drips.
        most_at_once: requests at a time; other threads wait. Waits between tries take up no place.
        tries: requests for one answer, the first one included.
        first_wait: seconds before the second try at most; before each later one twice as many, up to
            `LONGEST_WAIT`. They are drawn, so that threads that failed together do not come back together.
    """

    read_seconds: float = 60.0
    total_seconds: float = 300.0
    most_at_once: int = 5
    tries: int = 8
    first_wait: float = 0.5


DEFAULT_LIMITS = RequestLimits()
DEFAULT_ADVICE = Advice()


class Client:
    """Sends requests to one service; any number of threads may use it at once.

    Args:
        service: its name, for messages.
        base_url: `http` or `https`, with no user name in it.
        token: sent as a bearer token; over plain http only to this machine (`refuse_plain_http`).
        limits: limits of time and number for its requests.
        advice: the advice in its messages.
    """

    def __init__(
        self,
        service: str,
        base_url: str,
        token: Token,
        limits: RequestLimits = DEFAULT_LIMITS,
        advice: Advice = DEFAULT_ADVICE,
    ) -> None:
        parts = urlsplit(base_url)
        is_http = parts.scheme in ("http", "https")
        if not is_http or not parts.hostname or "@" in parts.netloc:
            reason = f"the address of {service} is not a plain http or https URL"
            raise DailytalkError(reason, "give it like https://host:port/path")
        self.service = service
        self.base_url = base_url.rstrip("/")
        if token:
            refuse_plain_http(service, self.base_url)
        self._token = token
        self._limits = limits
        self._advice = advice
        self._stop: RequestFailure | None = None
        self._places = threading.BoundedSemaphore(limits.most_at_once)
        self._lock = threading.Lock()
        self._connect()
        self._has_answered = False
        self._n_unanswered = 0  # lines in a row
        self._n_unusable: int | None = 0  # answers; None once there was a good one

    def _connect(self) -> None:
        """Make the connections of this process. A forked one must not write into those of its parent."""
        self._process = os.getpid()
        session = requests.Session()
        adapter = CuttableAdapter(pool_maxsize=self._limits.most_at_once)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        # Proxies and certificates of the environment count, but no password of a netrc file.
        settings = session.merge_environment_settings(self.base_url, {}, None, None, None)
        session.proxies = settings["proxies"]
        session.verify = settings["verify"]
        session.cert = settings["cert"]
        session.trust_env = False
        self._session = session

    def is_of(self, domain: str) -> bool:
        """Whether the service is at a domain, or at a host of it, by whichever address."""
        host = urlsplit(self.base_url).hostname
        return f".{host}".endswith(f".{domain}")

    @property
    def has_stopped(self) -> bool:
        """Whether no request will be sent any more, since the service refused one in a way that needs a person."""
        return self._stop is not None

    def post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        read: Callable[[bytes], Value],
        absent: frozenset[int] = frozenset(),
        purchase: Purchase = NO_PURCHASE,
    ) -> Answer[Value]:
        """Return what `read` makes of the body. `read` raises ShortRead where the request should be repeated.

        Each request that may be charged holds the price of `purchase` while it is under way, and is charged if its
        answer began with 200, also where that broke off.

        Raises:
            NotServed: the status is one of `absent`.
            NotAnswered: no whole answer after all tries.
            DailytalkError: no request can succeed before a person acts (400, 401, 402, 403, 404, other
                4xx, a service that can't be reached, gives no answer to `LINES_WITHOUT_ANSWER` lines in a row,
                begins with `UNUSABLE_ANSWERS` that can't be used, or wants a rest of over
                `LONGEST_RETRY_AFTER` seconds). From then on it is raised for every line.
                Any error that `reserve` raises.
        """
        request = requests.Request("POST", self.base_url + path, dict(headers), data=body)
        return self._ask(lambda: self._read_whole(request, read, absent, purchase.about), purchase)

    def get(
        self, path: str, read: Callable[[bytes], Value], absent: frozenset[int] = frozenset()
    ) -> Answer[Value]:
        """Return what `read` makes of the content of a path, which costs nothing. Raises as `post` does."""
        request = requests.Request("GET", self.base_url + path)
        return self._ask(lambda: self._read_whole(request, read, absent))

    def stream(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        read: Callable[[Iterator[ServerEvent]], Iterator[Value]],
    ) -> StreamedAnswer[Value]:
        """Return what `read` makes of an answer that comes as server-sent events, piece by piece, at no price.

        The request is sent when the first piece is asked for, and once. `read` returns when the answer is whole,
        and raises ShortRead where it is not.

        Args:
            path: as in `post`.
            body: as in `post`.
            headers: as in `post`.
            read: makes pieces of events.

        Raises, from the iterator:
            BrokenOff: the answer ended in the middle.
            NotAnswered: as `post` does.
            DailytalkError: as `post` does.
        """
        request = requests.Request("POST", self.base_url + path, dict(headers), data=body)
        return StreamedAnswer(lambda stream: self._pieces(request, read, stream))

    def _ask(self, attempt: Callable[[], Value], purchase: Purchase = NO_PURCHASE) -> Answer[Value]:
        """Return the result of the first try that succeeds. Raises as `post` does."""
        n_paid = 0
        tried = 0
        while True:
            interrupts.check_interrupt()
            failure: RequestFailure | None = None
            with purchase.reserve(purchase.price) as pay:
                try:
                    value = attempt()
                except RequestFailure as error:
                    failure = error
                if failure is None or failure.paid:
                    n_paid += 1
                    pay(purchase.price)
            tried += 1
            if failure is None:
                self._n_unanswered = 0
                return Answer(value, n_paid)
            tries = self._limits.tries
            if not self._has_answered:
                tries = min(tries, FIRST_TRIES)
            if self._stop or not failure.can_retry or tried >= tries:
                break
            longest = min(LONGEST_WAIT, self._limits.first_wait * 2 ** (tried - 1))
            self._wait(failure.retry_seconds + random.uniform(0.0, longest))
        raise self._error(self._stop or self._given_up(failure), tried)

    def _error(self, failure: RequestFailure, tried: int) -> DailytalkError:
        """The error of a line that has no answer after so many tries."""
        remedy = failure.remedy or self._advice.retry_remedy
        reason = f"{self.service} {failure.reason}"
        if failure.ends_run:
            return DailytalkError(reason, remedy)
        if tried > 1:
            reason += f", at the last of {tried} tries"
        return NotAnswered(reason, remedy)

    def _given_up(self, failure: RequestFailure) -> RequestFailure:
        """The failure of a line without an answer: of this line, or of the whole service."""
        with self._lock:
            self._n_unanswered += 1
            if not failure.ends_run and self._n_unanswered >= LINES_WITHOUT_ANSWER:
                reason = f"at {self.base_url} gave no answer to {self._n_unanswered} lines in a row"
                failure = ServiceUnreachable(f"{reason} (the last time it {failure.reason})")
        if failure.ends_run:
            self._end(failure)
        return failure

    def _end(self, failure: RequestFailure) -> None:
        """Let no request begin any more. The first reason counts."""
        with self._lock:
            self._stop = self._stop or failure

    def _wait(self, seconds: float) -> None:
        """Wait, unless no request may begin any more. A Ctrl-C raises KeyboardInterrupt."""
        end = time.monotonic() + seconds
        remaining = seconds
        while not self._stop and remaining > 0:
            interrupts.check_interrupt()
            time.sleep(min(remaining, 0.1))
            remaining = end - time.monotonic()

    def _read_whole(
        self, request: requests.Request, read: Callable[[bytes], Value], absent: frozenset[int], about: str = ""
    ) -> Value:
        """One try for a whole answer. Raises RequestFailure.

        `about` names a line that costs; without one, an answer that can't be used ends nothing.
        """
        with self._answer(request, absent) as (response, seconds):
            body = b"".join(self._parts(response, seconds, MOST_ANSWER_BYTES))
        try:
            value = read(body)
        except ShortRead as error:
            failure = short_answer(error, self._token)
            if about:
                message = service_message(body[:MOST_REFUSAL_BYTES], self._token)
                failure = self._count_unusable(failure, message, about)
            raise failure from None
        self._n_unusable = None
        return value

    def _count_unusable(self, failure: RequestFailure, message: str, about: str) -> RequestFailure:
        """Why an answer with 200 can't be used, with what it says; the end, if none of the first could."""
        if message:
            failure = RequestFailure(f"answered 200 without what was asked for ({message})", paid=True)
        with self._lock:
            if self._n_unusable is None:
                return failure
            self._n_unusable += 1
            count = self._n_unusable
        if count < UNUSABLE_ANSWERS:
            return failure
        reason = f"at {self.base_url} gave {count} answers of which none can be used: asked for {about}, it"
        stop = ServiceRefused(f"{reason} {failure.reason}", CHECK_ADDRESS, paid=True)
        self._end(stop)
        return stop

    def _pieces(
        self,
        request: requests.Request,
        read: Callable[[Iterator[ServerEvent]], Iterator[Value]],
        stream: StreamedAnswer[Value],
    ) -> Generator[Value]:
        """Yield the pieces of a stream. Raises as `stream` says."""
        has_begun = False
        failure: RequestFailure | None = None
        try:
            with self._answer(request, frozenset(), stream) as (response, seconds):
                for piece in self._read_events(response, seconds, read):
                    has_begun = True
                    yield piece
        except RequestFailure as error:
            failure = error
        if stream.is_closed:
            return
        if failure is None:
            self._n_unanswered = 0
        elif has_begun:
            reason = f"{self.service} {failure.reason}, after part of its answer had come"
            raise BrokenOff(reason, failure.remedy or self._advice.retry_remedy)
        else:
            raise self._error(self._stop or self._given_up(failure), 1)

    def _read_events(
        self,
        response: requests.Response,
        seconds: float,
        read: Callable[[Iterator[ServerEvent]], Iterator[Value]],
    ) -> Iterator[Value]:
        """Yield what `read` makes of the events of an answer. Raises RequestFailure."""
        header = response.headers.get("Content-Type", "")
        content_type = header.partition(";")[0].strip().lower()
        if content_type in _NO_STREAMS:
            message = self._message(response, seconds)
            reason = f"answered with {content_type}, not with a stream {message}".rstrip()
            raise ServiceRefused(reason, CHECK_ADDRESS)
        try:
            yield from read(server_events(self._parts(response, seconds, MOST_STREAM_BYTES)))
        except ShortRead as error:
            raise short_answer(error, self._token) from None

    @contextmanager
    def _answer(
        self,
        request: requests.Request,
        absent: frozenset[int],
        stream: StreamedAnswer[Value] | None = None,
    ) -> "Iterator[tuple[requests.Response, float]]":
        """One request, and an answer with status 200 to read in the block, within the seconds beside it.

        `stream` ends it from another thread.

        Raises RequestFailure in place of what `requests` does, there too, and NotServed.
        """
        status = 0
        try:
            with self._places:
                if self._stop:
                    raise ServiceRefused(self._stop.reason, self._stop.remedy)
                sent = time.monotonic()
                with self._send(request, stream) as response:
                    self._has_answered = True
                    status = response.status_code
                    seconds = self._limits.total_seconds - (time.monotonic() - sent)
                    if status == 200:
                        yield response, seconds
                        return
                    if status in absent:
                        raise NotServed(request.url)
                    message = self._message(response, seconds)
                failure = failure_of(response, message, self._advice, self._token)
                if failure.ends_run:  # here, before this place is another thread's
                    self._end(failure)
                raise failure
        except RequestFailure as failure:
            failure.paid = status == 200
            raise
        except (requests.RequestException, HTTPError) as error:
            paid = status == 200
            raise connection_failure(error, self.base_url, self._has_answered, paid) from None
        finally:
            if stream is not None:
                stream.socket = None  # the next request may have its connection

    def _send(self, request: requests.Request, stream: StreamedAnswer[Value] | None) -> requests.Response:
        """Send a request once. Return its answer, of which no more than the header was read."""
        if self._process != os.getpid():
            self._connect()
        request.auth = self._token
        prepared = self._session.prepare_request(request)
        outer = stream_of_request.set(stream)
        try:
            return self._session.send(
                prepared,
                timeout=(CONNECT_SECONDS, self._limits.read_seconds),
                allow_redirects=False,  # a redirected POST becomes a GET
                stream=True,
            )
        finally:
            stream_of_request.reset(outer)

    def _message(self, response: requests.Response, seconds: float) -> str:
        """Read the service's message in place of an answer; only the beginning is read."""
        body = b""
        for part in self._parts(response, seconds, MOST_ANSWER_BYTES):
            body += part
            if len(body) >= MOST_REFUSAL_BYTES:  # the rest is dropped with its connection
                break
        return service_message(body[:MOST_REFUSAL_BYTES], self._token)

    def _parts(self, response: requests.Response, seconds: float, most_bytes: int) -> Iterator[bytes]:
        """The bytes of an answer as they come, unpacked.

        Raises RequestFailure for more than `most_bytes` in all, and if they are waited for longer than `seconds`.
        """
        size = 0
        while True:
            # read1 gives what has come; iter_content would wait for a whole block, past every deadline.
            began = time.monotonic()
            part = response.raw.read1(_PART_BYTES, decode_content=True)
            seconds -= time.monotonic() - began  # without the time in which parts are used
            if not part:
                return
            size += len(part)
            if size > most_bytes:
                raise AnswerRejected(f"gave an answer of over {most_bytes >> 20} MiB", CHECK_ADDRESS)
            if seconds < 0:
                raise RequestFailure(f"took over {self._limits.total_seconds:.0f} s to answer")
            yield part


class ServedSynthesiser(Synthesiser):
    """A `Synthesiser` behind an address: that of a public service, or of a server of one's own.

    A class that inherits it has to define `_say`, which says a line as `speak` does.

    Args:
        service: its name, for messages.
        base_url: as in `Client`.
        token: as in `Client`.
        domain: the domain of the public service.
        concurrency: requests at a time.
        client: a client to use in place of a new one.
    """

    def __init__(
        self, service: str, base_url: str, token: Token, domain: str, concurrency: int, client: Client | None
    ) -> None:
        self.concurrency = concurrency
        self._token = token
        limits = RequestLimits(most_at_once=concurrency)
        self._client = client or Client(service, base_url, token, limits)
        self.server = self._client.base_url
        self._is_public = self._client.is_of(domain)
        self._first = threading.Lock()
        self._was_asked = False
        self._has_spoken = False

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line: the first one by itself, so that a refusal of what all have in common meets one."""
        with self._first:
            if not self._was_asked:
                try:
                    return self._spoken(line, samples, reserve)
                finally:
                    self._was_asked = True
        return self._spoken(line, samples, reserve)

    def _spoken(self, line: Line, samples: Sequence[VoiceSample], reserve: Reserve) -> Spoken:
        spoken = self._say(line, samples, reserve)
        self._has_spoken = True
        return spoken

    def _say(self, line: Line, samples: Sequence[VoiceSample], reserve: Reserve) -> Spoken:
        raise NotImplementedError

    @property
    def served_by(self) -> str:
        return "public" if self._is_public else super().served_by
