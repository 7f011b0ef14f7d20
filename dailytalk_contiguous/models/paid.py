"""Requests over HTTP to services that cost money or take long, with limits and a pause that all threads share."""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.retries import backoff, retry_after
from dailytalk_contiguous.core.secrets import refuse_plain_http
from dailytalk_contiguous.models.contracts import UNUSABLE_ANSWERS, BrokenOff, NotAnswered, Reserve, free
from dailytalk_contiguous.models.pieces import Closed, Feed, Pieces, check_wanted

#: Seconds to connect.
CONNECT_SECONDS = 5.0

#: Seconds. A service that wants a longer rest than this is better left alone until another run.
LONGEST_RETRY_AFTER = 300.0

# Requests to a paid service from many threads: passing failures are retried; what a person must fix stops the run.
#
# Only 429, 5xx, timeouts, resets and answers that break off are retried; everything else would fail again, at
# a price. After an answer that a person must act on (400, 401, 402, 403, 404), or several lines in a row without
# any, no thread begins another request. Until an address has answered with 200, one request at a time goes there,
# so that such an answer is met once. The price of a request is reserved before it is sent. Errors have our own
# words and are raised outside of `except`: an exception of `requests` holds the request, and with it the token.
#
# An answer that comes as a stream of events goes the same way. Once a part of it was delivered it is not asked for
# again: the rest of another answer would not fit.


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

#: Characters that are shown of what a service says.
LONGEST_MESSAGE = 200

#: Types of answers that are no stream of events, whatever they hold.
_NO_STREAMS = ("text/html", "application/json", "application/xml", "text/xml")

_AGAIN = "run the same command again: what was bought is kept, and only the rest is asked for"
_CHECK_ADDRESS = "check that it runs, its address, and the network"

Value = TypeVar("Value")


class ShortRead(Exception):
    """An answer said 200 but is not whole: empty, cut short, or not what was asked for. Raised by readers."""


class NotServed(Exception):
    """The service has no such path (a status that the caller named as `absent`)."""


class Token(AuthBase):
    """A bearer token that shows itself to the service only. An empty one sends no header at all."""

    def __init__(self, token: str, variables: str) -> None:
        self._token = token.strip()
        self.variables = variables
        # requests would show what it can't send in its error message.
        if not (self._token.isascii() and self._token.isprintable()) or " " in self._token:
            raise DailytalkError("the token holds characters that no header can carry", f"set {variables} again")

    @classmethod
    def from_environment(cls, *variables: str) -> "Token":
        """The token in the first of these environment variables that is set and not empty."""
        token = next(filter(None, map(os.environ.get, variables)), "")
        return cls(token, " or ".join(variables))

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def __bool__(self) -> bool:
        return bool(self._token)

    def __reduce__(self) -> str:
        raise TypeError("a token is not pickled: it would end in a file")

    def hidden_in(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text


class Reply(NamedTuple):
    """A whole answer with status 200."""

    body: bytes
    content_type: str


class Answer(NamedTuple, Generic[Value]):
    """The value that a reader made of a reply, and how many answers began with 200: each may be charged for."""

    value: Value
    paid: int


class ServerEvent(NamedTuple):
    """An event of a stream: its type, empty where none is named, and its data, lines of text."""

    type: str
    data: str


@dataclass(eq=False)
class _Trouble(Exception):
    """Why a try gave nothing.

    `remedy` is empty where asking again is all that can be done. `after`: seconds that the service wants to be
    left alone. `slows`: all threads, not just this one. `paid`: the answer began with 200. `final`: no use in
    trying again. `everywhere`: any other request would meet it too. `begun`: a part of the answer was delivered.
    """

    reason: str
    remedy: str = ""
    after: float | None = None
    slows: bool = False
    paid: bool = False
    final: bool = False
    everywhere: bool = False
    begun: bool = False


class Client:
    """Sends requests to one service; any number of threads may use it at once.

    Args:
        service: its name, for messages.
        base_url: `http` or `https`, with no user name in it.
        token: sent as a bearer token; over plain http only to this machine (`refuse_plain_http`).
        read_seconds: the longest silence while an answer is read.
        total_seconds: time for one whole answer, however steadily it drips.
        most_at_once: requests at a time; other threads wait. Waits between tries take up no place.
        tries: requests for one answer, the first one included.
        chosen: what people chose of the service, and might have chosen wrongly, for messages.
        again: what to do about what may pass, for messages.
        sleep, clock: what a test puts in place of waiting and of `time.monotonic`.
    """

    def __init__(
        self,
        service: str,
        base_url: str,
        token: Token,
        read_seconds: float = 60.0,
        total_seconds: float = 300.0,
        most_at_once: int = 5,
        tries: int = 8,
        chosen: Sequence[str] = ("voice", "model"),
        again: str = _AGAIN,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            reason = f"the address of {service} is no plain http or https URL"
            raise DailytalkError(reason, "give it like https://host:port/path")
        self.service = service
        self.base_url = base_url.rstrip("/")
        if token:
            refuse_plain_http(service, self.base_url)
        self._token = token
        self._chosen = chosen
        self._again = again
        self._read_seconds = read_seconds
        self._total_seconds = total_seconds
        self._tries = tries
        self._stop: _Trouble | None = None
        self._sleep = sleep or self._rest
        self._clock = clock
        self._paused_until = 0.0
        self._places = threading.BoundedSemaphore(most_at_once)
        self._idle: list[_Connection] = []
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._turn = threading.Condition()
        self._asked_alone: set[str] = set()  # addresses that one thread asks while others wait for its answer
        self._open: set[str] = set()  # addresses that any number of threads may ask at a time
        self._reached = False
        self._unanswered = 0
        self._unusable: int | None = 0  # how many answers; None once there was a good one

    def is_of(self, domain: str) -> bool:
        """Whether the service is at a domain, or at a host of it, by whichever address."""
        return f".{urlsplit(self.base_url).hostname}".endswith(f".{domain}")

    @property
    def stopped(self) -> bool:
        """Whether no request will be sent any more: the service refused what a person must act on."""
        return self._stop is not None

    def post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        read: Callable[[Reply], Value],
        absent: frozenset[int] = frozenset(),
        price: float = 0.0,
        reserve: Reserve = free,
        about: str = "its request",
    ) -> Answer[Value]:
        """Return what `read` makes of the answer. `read` raises ShortRead where the request should be repeated.

        Each request that may be charged holds `price` (USD) in `reserve` while it is under way, and is charged if
        its answer began with 200, also where that broke off. `about` names it in messages.

        Raises:
            NotServed: the status is one of `absent`.
            NotAnswered: no whole answer after all tries.
            DailytalkError: no request can succeed before a person acts (400, 401, 402, 403, 404, other
                4xx, a service that can't be reached, gives no answer to `LINES_WITHOUT_ANSWER` lines in a row,
                begins with `UNUSABLE_ANSWERS` that can't be used, or wants a rest of over
                `LONGEST_RETRY_AFTER` seconds). From then on it is raised for every line.
                What `reserve` raises.
        """
        request = requests.Request("POST", self.base_url + path, dict(headers), data=body)
        return self._ask(lambda: self._read_whole(request, read, absent, about), price, reserve)

    def get(
        self, path: str, read: Callable[[Reply], Value], absent: frozenset[int] = frozenset()
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
        first_seconds: float | None = None,
    ) -> Pieces[Value]:
        """Return what `read` makes of an answer that comes as server-sent events, piece by piece, at no price.

        The request is sent at once, in a thread of its own, where `read` and the retries run too. `read` returns
        when the answer is whole, and raises ShortRead where it is not. Until its first piece the request is
        repeated as `post` would; from then on whatever ends the answer is an error behind the pieces that came.

        Args:
            path, body, headers: as in `post`.
            read: makes pieces of events.
            first_seconds: the longest silence, before the first piece as after it; None: `read_seconds`.

        Raises, from the iterator:
            BrokenOff: the answer ended in the middle.
            NotAnswered, DailytalkError: as `post` does.
        """
        request = requests.Request("POST", self.base_url + path, dict(headers), data=body)
        seconds = self._read_seconds if first_seconds is None else first_seconds

        def make(feed: Feed[Value]) -> None:
            self._ask(lambda: self._read_events(request, read, seconds, feed))

        return Pieces(make, f"stream of {self.service}")

    def _ask(self, attempt: Callable[[], Value], price: float = 0.0, reserve: Reserve = free) -> Answer[Value]:
        """Return the result of the first try that succeeds. Raises as `post` does."""
        paid = 0
        tried = 0
        while True:
            interrupts.check_interrupt()
            failure = None
            with reserve(price) as pay:
                try:
                    value = attempt()
                except _Trouble as error:
                    failure = error
                if failure is None or failure.paid:
                    paid += 1
                    pay(price)
            tried += 1
            if failure is None:
                self._unanswered = 0
                return Answer(value, paid)
            tries = self._tries if self._reached else min(self._tries, FIRST_TRIES)
            if self._stop or failure.final or tried >= tries:
                break
            wait = backoff(tried - 1, failure.after)
            if failure.slows:  # it counts the requests of an account, so all threads wait
                self._paused_until = max(self._paused_until, self._clock() + wait)
            else:
                self._sleep(wait)
        trouble = self._stop or self._given_up(failure)
        remedy = trouble.remedy or self._again
        if trouble.everywhere:
            raise DailytalkError(f"{self.service} {trouble.reason}", remedy)
        if trouble.begun:
            raise BrokenOff(f"{self.service} {trouble.reason}, after part of its answer had come", remedy)
        tries_told = f", at the last of {tried} tries" if tried > 1 else ""
        raise NotAnswered(f"{self.service} {trouble.reason}{tries_told}", remedy)

    def _given_up(self, trouble: _Trouble) -> _Trouble:
        """The error for a line without an answer: of this line, or of the whole service."""
        with self._lock:
            self._unanswered += 1
            if not trouble.everywhere and self._unanswered >= LINES_WITHOUT_ANSWER:
                reason = f"at {self.base_url} gave no answer to {self._unanswered} lines in a row"
                trouble = _Trouble(f"{reason} (the last time it {trouble.reason})", everywhere=True)
        if trouble.everywhere:
            self._end(trouble)
        return trouble

    def _end(self, trouble: _Trouble) -> None:
        with self._lock:
            self._stop = self._stop or trouble

    def _rest(self, seconds: float) -> None:
        """Wait until there is nothing to wait for. A Ctrl-C raises KeyboardInterrupt."""
        until = time.monotonic() + seconds
        while not self._stop and (left := until - time.monotonic()) > 0:
            interrupts.check_interrupt()
            check_wanted()
            time.sleep(min(left, 0.1))

    def _read_whole(
        self, request: requests.Request, read: Callable[[Reply], Value], absent: frozenset[int], about: str = ""
    ) -> Value:
        """One try for a whole answer. Raises _Trouble.

        `about` names a line that costs; without one, an answer that can't be used ends nothing.
        """
        with self._answer(request, absent) as (response, until):
            body = b"".join(self._parts(response, until, MOST_ANSWER_BYTES))
        try:
            value = read(Reply(body, response.headers.get("Content-Type", "")))
        except ShortRead as error:
            trouble = self._short(error)
            raise (self._unusable_answer(self._message(body), trouble, about) if about else trouble) from None
        self._unusable = None
        return value

    def _unusable_answer(self, message: str, trouble: _Trouble, about: str) -> _Trouble:
        """Why an answer with 200 can't be used, with what it says; the end, if none of the first could."""
        if message:
            trouble = replace(trouble, reason=f"answered 200 without what was asked for ({message})")
        with self._lock:
            if self._unusable is None:
                return trouble
            self._unusable += 1
            count = self._unusable
        if count < UNUSABLE_ANSWERS:
            return trouble
        reason = f"at {self.base_url} gave {count} answers of which none can be used: asked for {about}, it"
        stop = _Trouble(f"{reason} {trouble.reason}", _CHECK_ADDRESS, paid=True, final=True, everywhere=True)
        self._end(stop)
        return stop

    def _read_events(
        self,
        request: requests.Request,
        read: Callable[[Iterator[ServerEvent]], Iterator[Value]],
        seconds: float,
        feed: Feed[Value],
    ) -> None:
        """One try for a stream, which ends where nobody wants the rest.

        Raises _Trouble, and Closed where nobody wanted it before it began.
        """
        try:
            with self._answer(request, frozenset(), seconds, feed) as (response, until):
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                parts = self._parts(response, until, MOST_STREAM_BYTES)
                body = b"".join(parts) if kind in _NO_STREAMS else b""
                # The whole answer of a server that does not stream is its only event.
                events = iter([ServerEvent("", body.decode(errors="replace"))]) if body else server_events(parts)
                try:
                    for piece in read(events):
                        feed.put(piece)
                except Closed:
                    return
                except ShortRead as error:
                    short = self._short(error)
                    if body:
                        reason = f"answered with {kind}, not with a stream {self._message(body)}".rstrip()
                        short = _Trouble(reason, _CHECK_ADDRESS, final=True, everywhere=True)
                    raise short from None
        except _Trouble as trouble:
            if feed.closed:  # which is why it ended
                return
            if feed.n_pieces:
                raise replace(trouble, final=True, begun=True, everywhere=False) from None
            raise

    def _short(self, error: ShortRead) -> _Trouble:
        return _Trouble(f"gave an answer that is not whole ({self._on_one_line(str(error))})", paid=True)

    @contextmanager
    def _answer(
        self,
        request: requests.Request,
        absent: frozenset[int],
        seconds: float | None = None,
        feed: Feed[Any] | None = None,
    ) -> "Iterator[tuple[requests.Response, float]]":
        """One request, and an answer with status 200 to read in the block.

        Raises _Trouble in place of what `requests` does, there too, and NotServed.
        """
        status = 0
        address = str(request.url)
        try:
            with self._places, self._connection() as connection, self._first_alone(address):
                request.auth = self._token
                prepared = connection.session.prepare_request(request)
                while not self._stop and (wait := self._paused_until - self._clock()) > 0:
                    self._sleep(wait)
                if self._stop:
                    raise replace(self._stop)
                until = self._clock() + self._total_seconds
                with (
                    feed.cut_by(connection.cut) if feed else nullcontext(),
                    connection.session.send(
                        prepared,
                        timeout=(CONNECT_SECONDS, self._read_seconds if seconds is None else seconds),
                        allow_redirects=False,  # a redirected POST becomes a GET
                        stream=True,
                    ) as response,
                ):
                    self._reached = True
                    status = response.status_code
                    if status == 200:
                        self._let_all(address)
                        yield response, until
                        return
                    if status in absent:
                        raise NotServed(request.url)
                    body = b""
                    for part in self._parts(response, until, MOST_ANSWER_BYTES):
                        body += part
                        if len(body) >= MOST_REFUSAL_BYTES:  # the rest is dropped with its connection
                            break
                trouble = self._refusal(status, body[:MOST_REFUSAL_BYTES], response.headers)
                if trouble.everywhere:  # here, before this place is another thread's
                    self._end(trouble)
                raise trouble
        except _Trouble as trouble:
            trouble.paid = status == 200
            raise
        except (requests.RequestException, HTTPError) as error:
            self._let_all(address)  # what is silent refuses nothing
            raise self._connection_trouble(error, paid=status == 200) from None

    @contextmanager
    def _first_alone(self, address: str) -> Iterator[None]:
        """Wait until an address may be asked: one request at a time, until it has answered one with 200.

        So a refusal of what all requests have in common (the voice, the model, the token) meets one of them, and
        not as many as are sent at a time.
        """
        with self._turn:
            while address in self._asked_alone and address not in self._open and not self._stop:
                interrupts.check_interrupt()
                self._turn.wait(0.1)
            is_alone = address not in self._open
            if is_alone:
                self._asked_alone.add(address)
        try:
            yield
        finally:
            if is_alone:
                with self._turn:
                    self._asked_alone.discard(address)
                    self._turn.notify_all()

    def _let_all(self, address: str) -> None:
        """Let any number of threads ask an address at a time."""
        with self._turn:
            self._open.add(address)
            self._turn.notify_all()

    def _parts(self, response: requests.Response, until: float, most: int) -> Iterator[bytes]:
        """The bytes of an answer as they come, unpacked, `most` in all. Raises _Trouble for more, and after
        `until`.
        """
        size = 0
        # read1 gives what has come; iter_content would wait for a whole block, past every deadline.
        while part := response.raw.read1(1 << 16, decode_content=True):
            size += len(part)
            if size > most:
                raise _Trouble(f"gave an answer of over {most >> 20} MiB", _CHECK_ADDRESS, final=True)
            if self._clock() > until:
                raise _Trouble(f"took over {self._total_seconds:.0f} s to answer")
            yield part

    def _refusal(self, status: int, body: bytes, headers: Mapping[str, str]) -> _Trouble:
        message = self._message(body)
        reason = f"answered {status}" + (f" ({message})" if message else "")
        if status in (408, 429) or status >= 500:
            after = retry_after(headers.get("Retry-After"))
            if after is not None and after > LONGEST_RETRY_AFTER:
                remedy = f"wait {after / 60:.0f} minutes, then {self._again}"
                return _Trouble(f"asks for a rest of {after:.0f} s", remedy, final=True, everywhere=True)
            return _Trouble(reason, after=after, slows=status == 429 or after is not None)
        if status == 401:
            reason = "answered 401: it does not accept the token"  # some services repeat the token
        remedies = {
            401: f"check the token in {self._token.variables}",
            402: f"the account has no credit left; add some, and {self._again}",
        }
        remedy = remedies.get(status, f"check the {', the '.join(self._chosen)}, the settings and the address")
        return _Trouble(reason, remedy, final=True, everywhere=True)

    def _connection_trouble(self, error: requests.RequestException | HTTPError, paid: bool) -> _Trouble:
        cause = getattr(error.args[0] if error.args else None, "reason", None)
        unreachable = isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError)
        if unreachable or isinstance(cause, NewConnectionError):
            return _Trouble(f"at {self.base_url} can't be reached", _CHECK_ADDRESS, everywhere=True)
        if isinstance(error, requests.Timeout | ReadTimeoutError):
            # A service that has never answered counts as unreachable.
            never = not self._reached and not paid
            reason = f"at {self.base_url} accepts requests and answers none" if never else "fell silent"
            return _Trouble(reason, _CHECK_ADDRESS if never else "", paid=paid, everywhere=never)
        is_unsafe = isinstance(error, requests.exceptions.SSLError)
        if isinstance(error, requests.ConnectionError | HTTPError) and not is_unsafe:  # of urllib3: while reading
            return _Trouble("broke off its answer", paid=paid)
        reason = f"at {self.base_url} can't be asked ({type(error).__name__})"
        return _Trouble(reason, _CHECK_ADDRESS, final=True, everywhere=True)

    def _message(self, body: bytes) -> str:
        """The text of an error answer: `message` or `detail` of JSON; empty for other formats."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        for name in ("error", "message", "detail"):
            if isinstance(answer, dict):
                answer = answer.get(name, answer)
        return self._on_one_line(answer) if isinstance(answer, str) else ""

    def _on_one_line(self, text: str) -> str:
        """A service's message, without the token, on one short line; cut last, or half a token would be left."""
        return " ".join(self._token.hidden_in(text).split())[:LONGEST_MESSAGE].rstrip(".")

    @contextmanager
    def _connection(self) -> "Iterator[_Connection]":
        """A connection that no other request has meanwhile. A forked process must not write into its parent's."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._idle = []
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _Connection(self.base_url)
        connection.is_cut = False
        try:
            yield connection
        finally:
            self._idle.append(connection)


class _Connection(HTTPAdapter):
    """A connection for one request at a time, whose socket another thread can shut.

    `is_cut`: whether it was for this request; then no new socket stays open either.
    """

    def __init__(self, base_url: str) -> None:
        super().__init__()
        session = requests.Session()
        # Proxies and certificates of the environment are looked up once, not at every request.
        settings = session.merge_environment_settings(base_url, {}, None, None, None)
        session.proxies = settings["proxies"]
        session.verify = settings["verify"]
        session.cert = settings["cert"]
        session.trust_env = False
        self.session = session
        self.is_cut = False
        self._socket: socket.socket | None = None
        self.session.mount("https://", self)
        self.session.mount("http://", self)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if "ConnectionCls" not in vars(pool):
            pool.ConnectionCls = self._noting(pool.ConnectionCls)
        return pool

    def _noting(self, kind: Any) -> Any:
        class Noting(kind):  # type: ignore[misc]
            def connect(this) -> None:  # noqa: N805
                super().connect()
                self._socket = this.sock
                if self.is_cut:
                    self.cut()

        return Noting

    def cut(self) -> None:
        """End the request that is under way, from any thread: whoever reads its answer finds the end."""
        self.is_cut = True
        if self._socket is not None:
            with suppress(OSError):  # closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # under TLS, too, and without its farewell


def server_events(parts: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a stream that comes in parts of any size, by the rules of the HTML standard.

    (https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in CR, LF or both, an empty line
    ends an event, what begins with a colon is a comment, and what no empty line ends is no event.) Raises
    ShortRead for what is not UTF-8.
    """
    kind = ""
    data = list[str]()
    rest = b""
    for part in parts:
        *lines, rest = re.split(rb"\r\n|\n|\r(?!$)", rest + part)  # a CR at the end may be half of an end
        for line in lines:
            try:
                name, _, value = line.decode("utf-8-sig").partition(":")
            except UnicodeDecodeError:
                raise ShortRead("it is not UTF-8") from None
            if name == "data":
                data.append(value.removeprefix(" "))
            elif name == "event":
                kind = value.removeprefix(" ")
            elif not line:
                if data:
                    yield ServerEvent(kind, "\n".join(data))
                kind = ""
                data = []
