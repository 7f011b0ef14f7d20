"""A Hub on loopback: real HTTP for the real clients, with faults on demand and a log of what was asked.

It serves what huggingface_hub and datasets call for a dataset (publish, tag, read in whole or in part) and keeps
it in a folder, so that it can be stopped, killed and started again. It has no Xet: clients need
HF_HUB_DISABLE_XET=1.

    PYTHONPATH=tests python -m hub.server --port 8080 --folder out/hub      # serves until Ctrl-C
"""

import argparse
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from hub import contents, repositories  # noqa: F401  (they note their endpoints)
from hub.calls import READ_TOKEN, STRANGER_TOKEN, WRITE_TOKEN, Answer, Call, answer, told
from hub.faults import Faults
from hub.store import Store


@dataclass
class Request:
    """A request as the log has it: bytes are those of the bodies; status 0 is no answer."""

    method: str
    path: str
    status: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class HubServer:
    """Serves a folder from construction until `stop` (or the end of a `with`); `start` goes on where it was.

    Args:
        folder: where repositories are kept; made if it is not there.
        port: 0 for any that is free.

    Attributes:
        faults: arm faults here (`hub.faults.arm("die_after", nth=3, path="/commit/")`).
        requests: all requests so far, in the order in which they came; clear it at will.
    """

    write_token = WRITE_TOKEN
    read_token = READ_TOKEN
    stranger_token = STRANGER_TOKEN

    def __init__(self, folder: Path | str, port: int = 0) -> None:
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(self.folder)
        self.faults = Faults()
        self.requests: list[Request] = []
        self.port = port
        self._listener: _Listener | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, home: Path | str, token: str | None = WRITE_TOKEN) -> dict[str, str]:
        """What a process has to have in its environment to talk to this server, its caches in `home`."""
        variables = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        }
        return variables | ({"HF_TOKEN": token} if token else {})

    def start(self) -> None:
        if self._listener is None:
            self._listener = _Listener(self, self.port)
            self.port = self._listener.server_address[1]

    def stop(self) -> None:
        """Go away at once: no new connections, and those that are open are cut."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def __enter__(self) -> "HubServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, hub: HubServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.hub = hub
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the play; anything else is a mistake here and is printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def log_message(self, format: str, *args: object) -> None:
        pass

    def serve(self) -> None:
        hub = self.server.hub
        self._noted = Request(self.command, self.path)
        hub.requests.append(self._noted)
        fault = hub.faults.meet(self.command, self.path)
        kind = fault.kind if fault else ""
        if kind == "die_before":
            self.close_connection = True
            return
        sent = self._chunks()
        if fault and kind.isdigit():
            reply = told({"error": f"as planned: {kind}"}, int(kind))
        else:
            reply = answer(Call(self.command, self.path, self.headers, sent, hub.url, hub.store))
        for _ in sent:  # what was not read would be taken for the next request
            pass
        if kind == "die_after":
            self.close_connection = True
            return
        self._send(reply, cut=kind == "cut")

    do_GET = serve  # noqa: N815
    do_HEAD = serve  # noqa: N815
    do_POST = serve  # noqa: N815
    do_PUT = serve  # noqa: N815
    do_DELETE = serve  # noqa: N815

    def _chunks(self) -> Iterator[bytes]:
        """The body, whichever way it comes."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            size = self._chunk_size()
            while size:
                yield from self._read(size)
                self.rfile.readline()
                size = self._chunk_size()
            while self.rfile.readline().strip():
                pass
        else:
            size = int(self.headers.get("Content-Length") or 0)
            yield from self._read(size)

    def _chunk_size(self) -> int:
        line = self.rfile.readline()
        return int(line.split(b";")[0], 16)

    def _read(self, left: int) -> Iterator[bytes]:
        while left:
            chunk = self.rfile.read(min(left, 1 << 16))
            if not chunk:
                raise ConnectionResetError("the client hung up within the body")
            left -= len(chunk)
            self._noted.bytes_received += len(chunk)
            yield chunk

    def _send(self, reply: Answer, cut: bool) -> None:
        self._noted.status = reply.status
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(reply.size))
        self.end_headers()
        left = 0 if self.command == "HEAD" else reply.size // 2 if cut else reply.size
        self.close_connection = self.close_connection or cut
        for chunk in reply.chunks():
            if left <= 0:
                break
            self._noted.bytes_sent += len(chunk[:left])
            self.wfile.write(chunk[:left])
            left -= len(chunk)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A Hub on loopback")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--folder", default="out/hub", help="where datasets are kept")
    chosen = parser.parse_args()
    try:
        hub = HubServer(chosen.folder, chosen.port)
    except OSError as busy:
        parser.error(f"port {chosen.port} cannot be listened on ({busy.strerror}); choose another with --port")
    with hub, suppress(KeyboardInterrupt):
        for name, value in hub.environment(hub.folder / ".client").items():
            print(f"export {name}={value}")
        print("# your name there is tester: push to tester/NAME")
        print(f"# serving {hub.folder} at {hub.url} until Ctrl-C", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
