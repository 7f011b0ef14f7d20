"""One run of `dailytalk review`: opens the folder, serves the page, and settles when it is ended."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import uvicorn

from dailytalk_contiguous.apps.local_pages import Guard, PageServer, bound
from dailytalk_contiguous.apps.review.preparing import Preparation, is_unprepared
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
    """A folder, and where it is served: to be reviewed, or first to be prepared for that."""

    def __init__(
        self, place: str, author: str, host: str, port: int, password: str | None, as_is: bool = False
    ) -> None:
        """Take the port. Raises DailytalkError if it is in use, or the place can't be reviewed.

        `as_is`: whether sound that was not cut or transcribed is opened all the same.
        """
        self._author, self._host, self._password = author, host, password
        self._opened: Editable | Preparation
        if as_is or not is_unprepared(Path(place)):
            self._opened = _opened(place)
            root = self._opened.root
            where = str(root.absolute() if root.exists() else root)
        elif password is not None:
            raise DailytalkError(
                f"{as_text(place)!r} was not transcribed yet, and commands run for this machine alone",
                "leave --host and --password-env out, or pass --as-is",
            )
        else:
            self._opened = Preparation(Path(place), author)
            where = f"{self._opened.folder}\0prepared"
        self._remembered = Remembered(where)
        try:  # on the port of the last time, so that an open page goes on
            self._socket = bound(host, port or self._remembered.port)
        except DailytalkError:
            if port:
                raise
            self._socket = bound(host, 0)
        self.port = int(self._socket.getsockname()[1])

    def run(self, ready: Callable[[str, str, str, int], None]) -> None:
        """Serve until a signal ends it.

        `ready` gets the address, one for a browser that is started with it, the kind of the folder and its items.
        """
        with ExitStack() as stack:
            stack.callback(self._socket.close)
            opened, ending = self._opened, lambda: None
            if isinstance(opened, Preparation):
                stack.callback(opened.close)
                app, count = opened.app(), opened.n_recordings
            else:
                if (opened.why_not or why_not_writable(opened.root)) is None:
                    stack.enter_context(folder_locked(opened.root))
                session = Session(opened, self._author)
                stack.callback(session.close)
                app, count = make_app(session, self._remembered), len(opened.names())
                ending = partial(session.tell, END, {})
            secret = self._remembered.served_at(self.port)
            secret = "" if self._password else secret
            guard = Guard(app, "dailytalk review", self._host, self.port, secret, self._password)
            config = uvicorn.Config(
                guard, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
            )
            address = self._address(f"/{secret}/" if secret else "/")
            browser_address = self._address(guard.hand_over())
            server = PageServer(config, lambda: ready(address, browser_address, opened.kind, count), ending)
            server.run(sockets=[self._socket])

    def _address(self, path: str) -> str:
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self._host, self._host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{path}"


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
