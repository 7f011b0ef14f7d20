"""Requests that another thread can end while they are waited for.

urllib3 can shut the socket of an answer that has begun (`HTTPResponse.shutdown`), but not of one that is still
waited for, which is where a service that generates something spends its time. So a connection tells its socket.
"""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.response import HTTPResponse

Value = TypeVar("Value")


class StreamedAnswer(Generic[Value]):
    """Iterates over the pieces of an answer as they come, and reads them in the thread that wants them.

    Args:
        pieces: yields the pieces, and returns where the answer it is given is closed.

    Attributes:
        is_closed: whether nobody wants any more.
        socket: the socket of the request while it is under way.
    """

    def __init__(self, pieces: "Callable[[StreamedAnswer[Value]], Generator[Value]]") -> None:
        self.is_closed = False
        self.socket: socket.socket | None = None
        self._pieces = pieces(self)
        self._reading = threading.Lock()

    def __iter__(self) -> "StreamedAnswer[Value]":
        return self

    def __next__(self) -> Value:
        with self._reading:
            if self.is_closed:
                self._pieces.close()
            return next(self._pieces)

    def close(self) -> None:
        """End the request, from any thread; the iterator ends too. Nothing happens after the last piece."""
        self.is_closed = True
        self.cut()
        if self._reading.acquire(blocking=False):  # else a thread waits for a piece, and finds the end
            self._pieces.close()
            self._reading.release()

    def cut(self) -> None:
        """Shut the socket of the request: whoever waits for its answer finds the end."""
        open_socket = self.socket
        if open_socket is not None:
            with suppress(OSError):  # closed already
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)  # under TLS, too, without its farewell


#: The answer that may cut the request that this thread sends.
stream_of_request: ContextVar[StreamedAnswer[Any] | None] = ContextVar("stream_of_request", default=None)


class CuttableAdapter(HTTPAdapter):
    """Sends requests that `stream_of_request` can cut."""

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,
        proxies: dict[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> HTTPConnectionPool:
        """A pool of connections that tell their socket."""
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        plain = pool.ConnectionCls
        if not issubclass(plain, _SocketReporter):
            pool.ConnectionCls = type("CuttableConnection", (_SocketReporter, plain), {})
        return pool


class _SocketReporter(HTTPConnection):
    """Tells its socket once a request is sent."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        stream = stream_of_request.get()
        if stream is not None:
            stream.socket = self.sock
            if stream.is_closed:
                stream.cut()
        return super().getresponse()
