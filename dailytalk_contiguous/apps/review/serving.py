"""One run of `dailytalk review`: opens the folder, serves the page, and settles when it is ended."""

import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import uvicorn

from dailytalk_contiguous.apps.review.remembered import Remembered
from dailytalk_contiguous.apps.review.server import make_app
from dailytalk_contiguous.apps.review.session import END, Session
from dailytalk_contiguous.apps.review.viewing import Viewed
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.items import open_items
from dailytalk_contiguous.sources.editable import Editable, open_editable, settle
from dailytalk_contiguous.store.edit_journal import has_journal
from dailytalk_contiguous.store.files import folder_locked

#: Threads that may still be at work on an item when all is saved: they hold nothing that is not made again.
BACKGROUND = ("listen", "peaks")


class Serving:
    """A folder, and where it is served."""

    def __init__(self, place: str, author: str, host: str, port: int, password: str | None) -> None:
        """Take the port. Raises DailytalkError if that is taken, or the place is none that can be reviewed."""
        self._author, self._host, self._password = author, host, password
        self.editable = _opened(place)
        where = self.editable.root.absolute() if self.editable.root.exists() else self.editable.root
        self._remembered = Remembered(str(where))
        self._socket = _bound(host, port) if port else _bound_again(host, self._remembered.port)
        self.port = int(self._socket.getsockname()[1])

    def run(self, ready: Callable[[str, str, int], None]) -> None:
        """Serve until a signal ends it; `ready` gets the address, the kind of the folder and its items."""
        with ExitStack() as stack:
            stack.callback(self._socket.close)
            if self.editable.why_not is None:
                stack.enter_context(folder_locked(self.editable.root))
            session = Session(self.editable, self._author)
            app = make_app(session, self._remembered, self.port, self._host, self._password)
            self._remembered.served_at(self.port)
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
            )
            stack.callback(session.close)
            count = len(self.editable.names())
            server = _Server(
                config,
                ready=lambda: ready(self.address, self.editable.kind, count),
                ending=lambda: session.tell(END, {}),
            )
            server.run(sockets=[self._socket])

    @property
    def address(self) -> str:
        """The address of the page."""
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self._host, self._host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


class _Server(uvicorn.Server):
    """uvicorn's, that says when it is ready, and ends without a traceback at Ctrl-C."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._ending = ready, ending

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the server, and are done with: uvicorn would raise them again afterwards."""
        handled = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, before in handled.items():
                signal.signal(number, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        # Sounds that a page has not fetched to their end are broken off: nobody need read of that.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def _opened(place: str) -> Editable:
    """What a place has to be edited, or to be listened to. Raises DailytalkError if that is nothing."""
    path = Path(place)
    if path.exists():
        settle(path)
    editable = (open_editable(path) if path.exists() else None) or Viewed(open_items(place))
    if not editable.names() and not has_journal(editable.root):
        raise DailytalkError(f"{as_text(place)!r} holds nothing to listen to", "name a folder with recordings")
    return editable


def _bound_again(host: str, port: int) -> socket.socket:
    """The port of the last time, so that a page that is still open goes on; another one if that is taken."""
    with suppress(DailytalkError):
        return _bound(host, port)
    return _bound(host, 0)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise DailytalkError(f"port {port} is in use", "choose another --port, or 0 for a free one") from None
        said = error.strerror if isinstance(error, OSError) else error
        raise DailytalkError(
            f"{host}:{port} can't be served ({said})", "choose another --host or --port"
        ) from None
    return bound
