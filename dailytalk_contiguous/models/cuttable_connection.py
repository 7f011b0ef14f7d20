"""A connection for one request at a time, which another thread can cut.

urllib3 can shut the socket of an answer that has begun (`HTTPResponse.shutdown`), but not of one that is still
waited for, which is where a service that generates something spends its time. So a connection tells us its socket.
"""

import socket
from contextlib import suppress

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool


class CuttableConnection(HTTPAdapter):
    """A connection for one request at a time, whose socket another thread can shut.

    Attributes:
        session: sends requests over it.
        is_cut: whether it was cut for this request; then no new socket stays open either.
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

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,
        proxies: dict[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> HTTPConnectionPool:
        """A pool of connections that tell us their socket."""
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if "ConnectionCls" not in vars(pool):
            bases = (_SocketReporter, pool.ConnectionCls)
            pool.ConnectionCls = type("CuttableHTTPConnection", bases, {"owner": self})
        return pool

    def opened(self, new_socket: socket.socket) -> None:
        """Keep the socket of this connection, or shut it if the request was cut meanwhile."""
        self._socket = new_socket
        if self.is_cut:
            self.cut()

    def cut(self) -> None:
        """End the request that is under way, from any thread: whoever reads its answer finds the end."""
        self.is_cut = True
        if self._socket is not None:
            with suppress(OSError):  # closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # under TLS, too, and without its farewell


class _SocketReporter(HTTPConnection):
    """Tells its owner the socket of each connection that is made."""

    owner: CuttableConnection

    def connect(self) -> None:
        super().connect()
        self.owner.opened(self.sock)
