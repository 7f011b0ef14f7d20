"""An HTTP server on loopback that plays a language model behind OpenAI's chat completions, and fails on cue."""

import json
import re
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPLY = "(calm) That sounds like a long day. What was the best part of it?"


class ChatServer(ThreadingHTTPServer):
    """Serves from construction until the end of a `with`.

    Args:
        models: what `/v1/models` lists; None: there is no such path.
        plan: faults (or "") for the next answers.

    Attributes:
        asked: bodies of the requests for answers. `came`: has one for each. `headers`: of all requests, as
            (path, headers).
        left: set when a client hangs up before an answer is whole.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        models: Sequence[str] | None = ("tiny", "other"),
        plan: Sequence[str] = (),
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models = models
        self.plan = list(plan)
        self.asked: list[dict[str, Any]] = []
        self.came = threading.Semaphore(0)
        self.headers: list[tuple[str, dict[str, str]]] = []
        self.left = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ChatServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.headers.append((self.path, dict(self.headers)))
        if self.path != "/v1/models" or self.server.models is None:
            self._send(404, "application/json", b'{"error": {"message": "no such path"}}')
            return
        listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]}
        self._send(200, "application/json", json.dumps(listed).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append((self.path, dict(self.headers)))
        self.server.asked.append(body)
        self.server.came.release()
        fault = self.server.plan.pop(0) if self.server.plan else ""
        try:
            self._answer(body, fault)
        except OSError:
            self.server.left.set()
            self.close_connection = True

    def _answer(self, body: dict[str, Any], fault: str) -> None:
        if fault.isdecimal():
            message = f"as planned, and the token is {self.headers.get('Authorization', 'none')}"
            self._send(int(fault), "application/json", json.dumps({"error": {"message": message}}).encode())
        elif fault == "html":
            self._send(200, "text/html; charset=utf-8", b"<html><b>Welcome</b></html>")
        elif fault == "hangs":
            self._hang()
        else:
            self._stream(body, fault)

    def _stream(self, body: dict[str, Any], fault: str) -> None:
        tokens = re.findall(r"\s*\S+\s*$|\s*\S+", REPLY)
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        reason = "stop"
        if limit and len(tokens) > limit:
            tokens = tokens[:limit]
            reason = "length"
        self._head()
        self._event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        for number, token in enumerate(tokens):
            self._event({"choices": [{"index": 0, "delta": {"content": token}, "finish_reason": None}]})
            if number == 2 and self._interrupted(fault):
                return
        if fault != "no-reason":
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        self._event({"choices": [], "usage": {"completion_tokens": len(tokens)}})
        if fault != "no-reason":
            self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _interrupted(self, fault: str) -> bool:
        """What happens after the third token; whether that was the end."""
        if fault == "dies":
            self._reset()
        elif fault == "falls-silent":
            self._hang()
        elif fault == "fails":
            self._event({"error": {"message": "out of memory", "code": 500}})
            self.wfile.write(b"0\r\n\r\n")
        else:
            return False
        self.close_connection = True
        return True

    def _head(self) -> None:
        kind = "Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked"
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{kind}\r\n\r\n".encode())

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(f"data: {json.dumps(value)}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _send(self, status: int, kind: str, data: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *headers, "", ""]
        self.wfile.write("\r\n".join(lines).encode() + data)

    def _hang(self) -> None:
        """Until the client hangs up."""
        self.connection.settimeout(30.0)
        with suppress(OSError):
            if not self.connection.recv(1):
                self.server.left.set()
        self.close_connection = True

    def _reset(self) -> None:
        """Close with a reset in place of a goodbye."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            self.connection.close()
        self.close_connection = True


def and_error(iterator: Any) -> Iterator[Any]:
    """What an iterator gives before it raises, and then the error."""
    try:
        yield from iterator
    except Exception as error:
        yield error
