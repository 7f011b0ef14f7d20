"""One run of `dailytalk review`: opens the folder and serves the page."""

import hashlib
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from dailytalk_contiguous.apps.local_pages import Guard, PageServer, bound, new_secret
from dailytalk_contiguous.apps.review.edits import Json
from dailytalk_contiguous.apps.review.layouts import Editable, Viewed, open_editable
from dailytalk_contiguous.apps.review.server import OpenReview
from dailytalk_contiguous.core.apps import has_app
from dailytalk_contiguous.core.documents import as_text, expect, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.machine import PRIVATE, private_folder
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.store.files import json_document, write_text

if TYPE_CHECKING:
    from dailytalk_contiguous.apps.review.preparing import Preparation

#: Threads that may still work on an item when all is saved: their results can be computed again.
BACKGROUND = ("listen",)


class Serving:
    """A folder and its address: to be reviewed, or first to be prepared for that."""

    def __init__(
        self, source: str, author: str, host: str, port: int, password: str | None, as_is: bool = False
    ) -> None:
        """Take the port. Raises DailytalkError if it is in use, or the source can't be reviewed.

        `as_is`: whether sound that was not cut or transcribed is opened all the same.
        """
        self._author, self._host, self._password = author, host, password
        self._opened: Editable | Preparation
        preparation = None if as_is else _preparation(source, author)
        if preparation is not None and password is not None:
            raise DailytalkError(
                f"{as_text(source)!r} was not transcribed yet, and commands run for this machine alone",
                "leave --host and --password-env out, or pass --as-is",
            )
        self._opened = preparation or _opened(source)
        root = self._opened.root
        where = str(root.absolute() if root.exists() else root)
        self._state, self._last = _last_address(f"{where}\0prepared" if preparation else where)
        try:  # on the port of the last time, so that an open page goes on
            self._socket = bound(host, port or self._last["port"])
        except DailytalkError:
            if port:
                raise
            self._socket = bound(host, 0)
        self.port = int(self._socket.getsockname()[1])

    def run(self, ready: Callable[[str, str, str, int], None]) -> None:
        """Serve until a signal ends it.

        `ready` gets the address, one for a browser that is started with it, the kind of the folder and its items.
        """
        with self._socket:
            opened = self._opened
            site = OpenReview(opened, self._author) if isinstance(opened, Editable) else opened
            secret = "" if self._password else self._secret()
            guard = Guard(site.app, "dailytalk review", self._host, self.port, secret, self._password)
            config = uvicorn.Config(
                guard, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
            )
            address = self._address(f"/{secret}/" if secret else "/")
            browser_address = self._address(guard.hand_over())
            try:
                begun = partial(ready, address, browser_address, opened.kind, site.count)
                PageServer(config, begun, site.close).run(sockets=[self._socket])
            finally:
                site.close()

    def _secret(self) -> str:
        """The secret of the page: that of the last time only at the same port.

        An open page continues to ask at its port, so a program that listens there meanwhile learns it.
        """
        secret: str = self._last["secret"] if self._last["port"] == self.port else new_secret()
        with suppress(OSError):
            private_folder(self._state.parent).chmod(PRIVATE)  # before a secret is in it
            write_text(self._state, json_document({"port": self.port, "secret": secret}))
        return secret

    def _address(self, path: str) -> str:
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self._host, self._host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{path}"


def _preparation(source: str, author: str) -> "Preparation | None":
    """The first steps for recordings that were not cut or transcribed yet; otherwise None.

    They are commands of the app `clips`: without it, there are none.
    """
    if not has_app("clips"):
        return None
    from dailytalk_contiguous.apps.review.preparing import Preparation, is_unprepared

    return Preparation(Path(source), author) if is_unprepared(Path(source)) else None


def _last_address(source: str) -> tuple[Path, Json]:
    """The file with the port and the secret of the last review of a source, in the user's own folder of states."""
    states = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = private_folder(states / "dailytalk_contiguous") / "review"  # which only this user may enter
    path = folder / f"{hashlib.sha256(os.fsencode(source)).hexdigest()[:20]}.json"
    with suppress(BadInput, OSError):
        return path, expect(read_json(path), {"port": int, "secret": str}, "")
    return path, {"port": 0, "secret": ""}


def _opened(source: str) -> Editable:
    """The items of a source, to edit or only to listen to. Raises DailytalkError if there are none."""
    path = Path(source)
    editable = (open_editable(path) if path.exists() else None) or Viewed(open_items(source))
    if not editable.names():
        raise DailytalkError(f"{as_text(source)!r} holds nothing to listen to", "name a folder with recordings")
    return editable
