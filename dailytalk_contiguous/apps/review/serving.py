"""One run of `dailytalk review`: opens the folder, serves the page, and settles when it is ended."""

import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import uvicorn

from dailytalk_contiguous.apps.local_pages import PageServer, bound
from dailytalk_contiguous.apps.review.remembered import Remembered
from dailytalk_contiguous.apps.review.server import make_app
from dailytalk_contiguous.apps.review.session import END, Session
from dailytalk_contiguous.apps.review.viewing import Viewed
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.items import open_items
from dailytalk_contiguous.sources.editable import Editable, edited_root, open_editable, settle
from dailytalk_contiguous.sources.reindexing import finish_reindex
from dailytalk_contiguous.store.edit_journal import has_journal, why_not_writable
from dailytalk_contiguous.store.files import folder_locked, refuse_half_renamed

#: Threads that may still work on an item when all is saved: what they make can be made again.
BACKGROUND = ("listen", "peaks")


class Serving:
    """A folder, and where it is served."""

    def __init__(self, place: str, author: str, host: str, port: int, password: str | None) -> None:
        """Take the port. Raises DailytalkError if it is in use, or the place can't be reviewed."""
        self._author, self._host, self._password = author, host, password
        self.editable = _opened(place)
        where = self.editable.root.absolute() if self.editable.root.exists() else self.editable.root
        self._remembered = Remembered(str(where))
        self._socket = bound(host, port) if port else _bound_again(host, self._remembered.port)
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
            server = PageServer(
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


def _opened(place: str) -> Editable:
    """The items of a place, to edit or only to listen to. Raises DailytalkError if there are none."""
    path = Path(place)
    if path.exists():
        if why_not_writable(edited_root(path)) is None:
            finish_reindex(edited_root(path))
            settle(path)
        refuse_half_renamed(path)
    editable = (open_editable(path) if path.exists() else None) or Viewed(open_items(place))
    if not editable.names() and not has_journal(editable.root):
        raise DailytalkError(f"{as_text(place)!r} holds nothing to listen to", "name a folder with recordings")
    return editable


def _bound_again(host: str, port: int) -> socket.socket:
    """A socket on the port of the last time, so that an open page goes on; on a free one if that is taken."""
    with suppress(DailytalkError):
        return bound(host, port)
    return bound(host, 0)
