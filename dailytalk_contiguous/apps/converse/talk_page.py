"""The page of `dailytalk converse --web`: a microphone, a loudspeaker and a screen, in a browser of this machine.

The page sends a block of its microphone every 32 ms over a WebSocket, and gets one of the voice back. So a page
that is closed stops the clock of the talk, and one that comes back continues it. The address holds a secret of
this run: without it nothing is served, not even the page.
"""

import asyncio
import json
import queue
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any

import uvicorn
import websockets  # noqa: F401 (uvicorn answers WebSockets with it)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from dailytalk_contiguous.apps.converse.sound_blocks import BLOCK, BLOCK_SECONDS, TALK_RATE
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent
from dailytalk_contiguous.apps.converse.talk_screen import latency_text, median_steps
from dailytalk_contiguous.apps.local_pages import Guard, PageServer, bound, new_secret, page_file
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import Samples, pcm_to_float, to_pcm
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError

#: The host of the page, for this machine alone.
_HOST = "127.0.0.1"

_ASSETS = files(__package__) / "assets"

#: The most events that a later page gets, and those that are shown as they are.
_HISTORY = 1000
_KEPT = ("user", "reply", "heard", "latency", "notice")

#: Messages that may wait for a window.
_MOST_MESSAGES = 2000

#: The header before the samples of a block: how many samples of the voice the page has played, or dropped.
_HEADER = struct.Struct("<I")

#: Bytes of a message from the page, at most.
_MOST_BYTES = 4096

#: Seconds without sound after which the terminal says that the talk waits.
_WAITS_AFTER = 3.0


class _Window:
    """An open page: its waiting messages, and the samples of the voice that it got and has finished."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.waiting: asyncio.Queue[str | bytes | None] = asyncio.Queue(_MOST_MESSAGES)
        self.sent = self.done = 0
        self.sending = asyncio.create_task(self._pass_on())

    def send(self, message: Mapping[str, Any] | bytes | None) -> None:
        """Queue a message, in order; None closes the window's connection."""
        data = message if message is None or isinstance(message, bytes) else json.dumps(message)
        try:
            self.waiting.put_nowait(data)
        except asyncio.QueueFull:  # a page that sleeps: it connects again when it wakes
            while not self.waiting.empty():
                self.waiting.get_nowait()
            self.waiting.put_nowait(None)

    async def _pass_on(self) -> None:
        while (data := await self.waiting.get()) is not None:
            if isinstance(data, bytes):
                await self.socket.send_bytes(data)
            else:
                await self.socket.send_text(data)
        await self.socket.close()


class TalkPage:
    """A page as microphone and loudspeaker (`SoundBlocks`), and as a screen (`show`).

    One window talks; another one gets a notice, and may take over. Blocks are read and played in the thread of the
    talk; the server has a thread of its own.

    Args:
        port: on this machine; 0 takes a free one.
        notify: gets sentences for the terminal, in the thread of the talk.

    Raises DailytalkError if the port is taken.
    """

    name = "the one that you choose in the page"
    #: Three blocks wait in a page, so that none is late.
    lag = 3 * BLOCK_SECONDS
    #: The browser cancels the echo of the voice.
    echoes = False

    def __init__(self, port: int, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._socket = bound(_HOST, port)
        self._secret = new_secret()
        self._port = int(self._socket.getsockname()[1])
        self.address = f"http://{_HOST}:{self._port}/{self._secret}/"
        self._ring: queue.SimpleQueue[tuple[Samples, float] | None] = queue.SimpleQueue()
        self._arrived = time.monotonic()
        self._history: deque[dict[str, Any]] = deque(maxlen=_HISTORY)
        self._windows: list[_Window] = []
        self._current: _Window | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._talk: Talk | None = None
        self._about: dict[str, Any] = {}
        self._ending: Callable[[], str] = str

    def serve(self, talk: Talk, note: str, push_to_talk: bool, ending: Callable[[], str]) -> None:
        """Serve the page, in a thread of its own.

        Args:
            talk: gets the requests of the page.
            note: the page's note on where sound and words go.
            push_to_talk: whether a person marks the start and end of turns, until that is changed in the page.
            ending: the page's text when the talk has ended.
        """
        self._talk, self._ending = talk, ending
        self._about = {"note": note, "push": push_to_talk, "state": ""}
        app = Starlette(
            routes=[
                Route("/", self._file),
                Route("/assets/{name}", self._file),
                WebSocketRoute("/talk", self._window),
            ]
        )
        self._guard = Guard(app, "dailytalk converse", _HOST, self._port, self._secret)
        config = uvicorn.Config(
            self._guard,
            ws="websockets-sansio",
            ws_max_size=_MOST_BYTES,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        ready = threading.Event()

        def started() -> None:
            self._loop = asyncio.get_running_loop()
            ready.set()

        self._server = PageServer(config, started, lambda: None)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="page", daemon=True
        )
        self._thread.start()
        if not ready.wait(30.0):
            raise DailytalkError("the page can't be served", "try again, or talk without --web")

    def hand_over(self) -> str:
        """The address for a browser that is started with it: it leads to the page once."""
        return f"http://{_HOST}:{self._port}{self._guard.hand_over()}"

    def read(self) -> Samples | None:
        waits_since = time.monotonic()
        had_window = self._current is not None
        while True:
            interrupts.check_interrupt()
            try:
                arrived = self._ring.get(timeout=0.25)
            except queue.Empty:
                if had_window and self._current is None and time.monotonic() - waits_since > _WAITS_AFTER:
                    had_window = False
                    self._notify("the page is closed: the talk waits until you open it again; Ctrl-C ends it")
                had_window = had_window or self._current is not None
                continue
            if arrived is None:
                return None
            block, self._arrived = arrived
            return block

    def play(self, block: Samples) -> None:
        data = to_pcm(block).astype("<i2").tobytes()

        def send() -> None:
            if self._current is not None:
                self._current.send(data)
                self._current.sent += BLOCK

        self._do(send)

    def hush(self) -> float:
        window = self._current

        def tell() -> None:
            if self._current is not None:
                self._current.send({"kind": "hush"})

        self._do(tell)
        return min(max(0, window.sent - window.done), TALK_RATE) / TALK_RATE if window else 0.0

    def lateness(self) -> float:
        return max(0.0, time.monotonic() - self._arrived)

    def close(self) -> None:
        if self._loop is None:
            self._socket.close()
            return
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(self._ending()), self._loop).result(5.0)
        self._server.should_exit = True
        self._thread.join(5.0)

    def stop(self) -> None:
        """End the talk after the waiting blocks."""
        self._ring.put(None)

    def show(self, event: TalkEvent) -> None:
        if event.kind == "level":  # the page has its own
            return
        message = {**event.data, "kind": event.kind, "time": event.time, "text": event.text}
        if event.kind == "latency":
            assert self._talk is not None
            message |= {
                "text": latency_text(event.data),
                "medians": latency_text(median_steps(self._talk.latencies)),
            }
        self._do(lambda: self._pass_event(message))

    def _do(self, task: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(task)

    def _pass_event(self, message: dict[str, Any]) -> None:
        if message["kind"] == "cleared":
            self._history.clear()
        elif message["kind"] == "state":
            self._about["state"] = message["text"]
        elif message["kind"] in _KEPT:
            self._history.append(message)
        if self._current is not None:
            self._current.send(message)

    async def _end(self, text: str) -> None:
        windows = list(self._windows)
        for window in windows:
            window.send({"kind": "ended", "text": text})
            window.send(None)
        if windows:
            await asyncio.wait([window.sending for window in windows], timeout=2.0)

    async def _file(self, request: Request) -> Response:
        return page_file(_ASSETS, request.path_params.get("name", "index.html"))

    async def _window(self, socket: WebSocket) -> None:
        await socket.accept()
        window = _Window(socket)
        self._windows.append(window)
        if self._current is None:
            self._give(window)
        else:
            window.send({"kind": "elsewhere"})
        try:
            await self._listen(window)
        except BadInput:
            await socket.close(1008)
        except (WebSocketDisconnect, RuntimeError):  # it is gone
            pass
        finally:
            window.sending.cancel()
            self._windows.remove(window)
            if window is self._current:
                self._current = None
                self._let_go()
                if self._windows:
                    self._give(self._windows[0])

    def _give(self, window: _Window) -> None:
        if self._current is not None:
            self._current.send({"kind": "elsewhere"})
            self._let_go()
        self._current = window
        window.sent = window.done = 0
        window.send({"kind": "welcome", **self._about, "history": list(self._history)})

    def _let_go(self) -> None:
        """End the turn of a window that is gone while a person held its button."""
        if self._talk is not None and self._about["push"]:
            self._talk.press(False)

    async def _listen(self, window: _Window) -> None:
        while True:
            message = await window.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if (data := message.get("bytes")) is None:
                self._obey(window, message.get("text") or "")
            elif len(data) != _HEADER.size + 2 * BLOCK:
                raise BadInput("that is no block of sound", "reload the page")
            elif window is self._current:
                window.done = min(_HEADER.unpack_from(data)[0], window.sent)
                self._ring.put((pcm_to_float(data[_HEADER.size :]), time.monotonic()))

    def _obey(self, window: _Window, text: str) -> None:
        wanted = parse_json(text.encode(), "the message", limit=_MOST_BYTES)
        kind = expect(wanted, {"kind": str}, "the message")["kind"]
        is_so = wanted.get("is_so") is True
        assert self._talk is not None
        if kind == "take":
            if window is not self._current:
                self._give(window)
        elif window is not self._current:
            return
        elif kind == "clear":
            self._talk.clear()
        elif kind == "press":
            self._talk.press(is_so)
        elif kind == "push":
            self._about["push"] = is_so
            self._talk.push_to_talk(is_so)
        elif kind == "end":
            self.stop()
        else:
            raise BadInput("the message asks for nothing that is known", "reload the page")
