"""Requests that another thread can end while they are waited for.

urllib3 can shut the socket of an answer that has begun (`HTTPResponse.shutdown`), but not of one that is still
waited for, which is where a service that generates something spends its time. So a connection tells its socket.
"""

import socket
from contextlib import suppress
from contextvars import ContextVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.response import HTTPResponse


class RequestCut:
    """Ends the request of one thread from any other.

    Attributes:
        is_done: whether the request was ended.
        socket: that of the request while it is under way.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.socket: socket.socket | None = None

    def __call__(self) -> None:
        """End the request: whoever waits for its answer finds the end, now or as soon as it is sent."""
        self.is_done = True
        open_socket = self.socket
        if open_socket is not None:
            with suppress(OSError):  # closed already
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)  # under TLS, too, without its farewell


#: What may cut the request that this thread sends.
cut_of_request: ContextVar[RequestCut | None] = ContextVar("cut_of_request", default=None)


class CuttableAdapter(HTTPAdapter):
    """Sends requests that `cut_of_request` can end."""

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
        cut = cut_of_request.get()
        if cut is not None:
            cut.socket = self.sock
            if cut.is_done:
                cut()
        return super().getresponse()
