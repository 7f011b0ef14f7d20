"""The page of `dailytalk converse --web`: a microphone, a loudspeaker and a screen, in a browser of this machine.

The page sends a block of its microphone every 32 ms over a WebSocket, and gets one of the voice back. So a page
that is closed stops the clock of the talk, and one that comes back continues it. The address holds a secret of
this run: without it nothing is served, not even the page.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import NotRequired, TypedDict

import uvicorn
import websockets  # noqa: F401 (uvicorn answers WebSockets with it)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from dailytalk_contiguous.apps.converse.sound_blocks import BLOCK, BLOCK_SECONDS
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent
from dailytalk_contiguous.apps.converse.talk_screen import aside_text
from dailytalk_contiguous.apps.local_pages import HOST, bound, page_file
from dailytalk_contiguous.apps.page_guard import Guard, new_secret
from dailytalk_contiguous.core.documents import as_text, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.sound.samples import Samples, pcm_to_float, to_pcm
from dailytalk_contiguous.core.wording import length_text
from dailytalk_contiguous.machine import interrupts

_ASSETS = files(__package__) / "assets"

#: The most events that a later page gets.
_HISTORY = 1000

#: The kinds of events that a later page gets.
_KEPT = ("user", "reply", "heard", "notice")


class _Event(TypedDict):
    """An event for the page; `soft` is the emotion of a turn, or the tag of a sentence."""

    kind: str
    text: NotRequired[str]
    soft: NotRequired[str]


class _Welcome(TypedDict):
    """The first message to a window: the note of the talk, its state, and what a page shows of it so far."""

    kind: str
    note: str
    state: str
    history: list[_Event]


#: A message to a window; None closes it.
_Message = _Event | _Welcome | bytes | None


class TalkPage:
    """A page as microphone and loudspeaker (`SoundBlocks`), and as a screen (`show`).

    The window that was opened last talks; the one before it gets a notice, and may take over. Blocks are read and
    played in the thread of the talk; the server has a thread of its own.

    Args:
        port: on this machine; 0 takes a free one.

    Raises DailytalkError if the port is taken.
    """

    name = "the one that you choose in the page"
    #: Three blocks wait in a page, so that none is late.
    lag = 3 * BLOCK_SECONDS
    #: The browser cancels the echo of the voice.
    echoes = False

    def __init__(self, port: int) -> None:
        self._socket = bound(port)
        self._secret = new_secret()
        self._port = int(self._socket.getsockname()[1])
        self.address = f"http://{HOST}:{self._port}/{self._secret}/"
        self._blocks: queue.SimpleQueue[Samples | None] = queue.SimpleQueue()
        self._history: deque[_Event] = deque(maxlen=_HISTORY)
        self._window: WebSocket | None = None
        self._waiting: asyncio.Queue[_Message] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve(self, talk: Talk, note: str) -> None:
        """Serve the page of a talk, with a note on where sound and words go, in a thread of its own."""
        self._talk = talk
        self._note = note
        self._state = ""
        ready = threading.Event()

        @asynccontextmanager
        async def begun(_: Starlette) -> AsyncIterator[None]:
            self._loop = asyncio.get_running_loop()
            ready.set()
            yield

        routes = [
            Route("/", self._file),
            Route("/assets/{name}", self._file),
            WebSocketRoute("/talk", self._serve_window),
        ]
        app = Starlette(routes=routes, lifespan=begun)
        self._guard = Guard(app, "dailytalk converse", self._port, self._secret)
        config = uvicorn.Config(
            self._guard,
            ws="websockets-sansio",
            ws_max_size=4096,  # bytes of a message of the page
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        serve = partial(self._server.run, [self._socket])
        self._thread = threading.Thread(target=serve, name="page", daemon=True)
        self._thread.start()
        if not ready.wait(30.0):
            raise DailytalkError("the page can't be served", "try again, or talk without --web")

    def hand_over(self) -> str:
        """The address for a browser that is started with it: it leads to the page once."""
        return f"http://{HOST}:{self._port}{self._guard.hand_over()}"

    # The sound, in the thread of the talk.

    def read(self, idle: bool) -> Samples | None:
        while True:
            interrupts.check_interrupt()
            try:
                return self._blocks.get(timeout=0.25)
            except queue.Empty:  # the page is closed, or its microphone off
                continue

    def play(self, block: Samples) -> None:
        self._send(to_pcm(block).astype("<i2").tobytes())

    def mute(self) -> None:
        self._send({"kind": "mute"})

    def close(self) -> None:
        if self._loop is None:
            self._socket.close()
            return
        path = self._talk.kept_sound
        kept = f"It is kept in {as_text(path)}." if path else "Nothing is kept."
        length = length_text(self._talk.time)
        self._send({"kind": "ended", "text": f"The talk has ended after {length}. {kept}"})
        self._send(None)
        deadline = time.monotonic() + 2.0
        while self._window and time.monotonic() < deadline:
            time.sleep(0.02)
        self._server.should_exit = True
        self._thread.join(5.0)

    def stop(self) -> None:
        """End the talk after the waiting blocks."""
        self._blocks.put(None)

    def show(self, event: TalkEvent) -> None:
        message: _Event = {"kind": event.kind, "text": event.text}
        if event.kind in ("user", "reply"):
            message["soft"] = aside_text(event)
        self._send(message)

    def _send(self, message: _Event | bytes | None) -> None:
        """Send a message to the window, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, message)

    # In the thread of the server.

    def _deliver(self, message: _Event | bytes | None) -> None:
        """Keep what a later window should show, and send a message to the window."""
        if isinstance(message, dict):
            if message["kind"] == "state":
                self._state = message["text"]
            elif message["kind"] in _KEPT:
                self._history.append(message)
        self._pass_on(message)

    def _pass_on(self, message: _Message) -> None:
        """Send a message to the window, if there is one."""
        if self._window:
            self._waiting.put_nowait(message)

    async def _file(self, request: Request) -> Response:
        return page_file(_ASSETS, request.path_params.get("name", "index.html"))

    async def _serve_window(self, socket: WebSocket) -> None:
        await socket.accept()
        self._pass_on({"kind": "elsewhere"})
        self._pass_on(None)
        self._waiting = asyncio.Queue()
        self._window = socket
        welcome: _Welcome = {
            "kind": "welcome",
            "note": self._note,
            "state": self._state,
            "history": list(self._history),
        }
        self._pass_on(welcome)
        sending = asyncio.create_task(self._send_waiting(socket, self._waiting))
        try:
            message = await socket.receive()
            while message["type"] != "websocket.disconnect":
                if socket is self._window:
                    self._take(message.get("bytes"), message.get("text") or "")
                message = await socket.receive()
        except BadInput:
            await socket.close(1008)
        except (WebSocketDisconnect, RuntimeError):  # it is gone
            pass
        finally:
            sending.cancel()
            if socket is self._window:
                self._window = None

    async def _send_waiting(self, socket: WebSocket, waiting: "asyncio.Queue[_Message]") -> None:
        message = await waiting.get()
        while message is not None:
            if isinstance(message, bytes):
                await socket.send_bytes(message)
            else:
                await socket.send_json(message)
            message = await waiting.get()
        await socket.close()

    def _take(self, sound: bytes | None, text: str) -> None:
        """Take a block of sound, or the request to end. Raises BadInput for what is neither."""
        if sound is not None and len(sound) == 2 * BLOCK:
            self._blocks.put(pcm_to_float(sound))
        elif parse_json(text, "the message") == {"kind": "end"}:
            self.stop()  # at once: while the microphone is off, no block comes
        else:
            raise BadInput("the message asks for nothing that this page knows", "reload the page")
