"""One run of `dailytalk review`: opens the folder and serves the page."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypedDict

import uvicorn

from dailytalk_contiguous.apps.local_pages import HOST, bound
from dailytalk_contiguous.apps.page_guard import Guard, new_secret
from dailytalk_contiguous.apps.review.layouts import AnyEditable, Editable, Viewed, open_editable
from dailytalk_contiguous.apps.review.server import OpenReview
from dailytalk_contiguous.core.documents import Whole, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.machine.apps import has_app
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.machine.resources import PRIVATE, private_folder
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.store.files import json_document, write_text

if TYPE_CHECKING:
    from dailytalk_contiguous.apps.review.preparing import Preparation


def serve(source: str, author: str, ready: Callable[[str, str], None], port: int = 0) -> None:
    """Serve a folder until a signal ends it: to be reviewed, or first to be prepared for that.

    Args:
        source: a folder, or a version.
        author: of edits.
        ready: gets the address, and one for a browser that is started with it.

    Raises DailytalkError if the port is in use, or the source can't be reviewed.
    """
    preparation = _preparation(source, author)
    editable: AnyEditable | None = None
    if not preparation and Path(source).exists():
        editable = open_editable(Path(source))
    opened = preparation or editable or Viewed(open_items(source))
    root = opened.root.absolute() if opened.root.exists() else opened.root
    where = str(root)
    state, last = _last_address(f"{where}\0prepared" if preparation else where)
    try:  # on the port of the last time, so that an open page goes on
        listening = bound(port or last["port"])
    except DailytalkError:
        if port:
            raise
        listening = bound(0)
    with listening:
        port = int(listening.getsockname()[1])
        site = OpenReview(opened, author) if isinstance(opened, Editable) else opened
        secret = _secret(state, last, port)
        guard = Guard(site.app, "dailytalk review", port, secret)
        config = uvicorn.Config(
            guard, log_level="critical", access_log=False, server_header=False, timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        address = f"http://{HOST}:{port}"
        with _ended_by_signals(server):
            try:
                ready(f"{address}/{secret}/", address + guard.hand_over())
                server.run(sockets=[listening])
            finally:
                site.close()


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """SIGTERM and Ctrl-C end a server in this thread, one that comes before it listens to them itself included.

    An exception that a signal raises in an import, as the start of the server has, can be lost (`importlib`),
    so the signal sets the server's own flag.
    """

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Address(TypedDict):
    port: Whole
    secret: str


def _secret(state: Path, last: _Address, port: int) -> str:
    """The secret of the page: that of the last time only at the same port.

    An open page continues to ask at its port, so a program that listens there meanwhile learns it.
    """
    secret = last["secret"] if last["port"] == port else new_secret()
    with suppress(OSError):
        private_folder(state.parent).chmod(PRIVATE)  # before a secret is in it
        write_text(state, json_document({"port": port, "secret": secret}))
    return secret


def _preparation(source: str, author: str) -> "Preparation | None":
    """The first steps for recordings that were not cut or transcribed yet; otherwise None.

    They are commands of the app `clips`: without it, there are none.
    """
    if not has_app("clips"):
        return None
    from dailytalk_contiguous.apps.review.preparing import Preparation, is_unprepared

    return Preparation(Path(source), author) if is_unprepared(Path(source)) else None


def _last_address(source: str) -> tuple[Path, _Address]:
    """The file with the port and the secret of the last review of a source, in the user's own folder of states."""
    states = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = private_folder(states / "dailytalk_contiguous") / "review"  # which only this user may enter
    digest = hashlib.sha256(os.fsencode(source)).hexdigest()[:20]
    path = folder / f"{digest}.json"
    with suppress(BadInput, OSError):
        return path, typed(read_json(path), _Address, "")
    return path, {"port": 0, "secret": ""}
