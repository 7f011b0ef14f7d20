"""A real HTTP server on loopback that plays Fish Audio (both paths) and OpenAI, and fails as they do, on demand.

It speaks in harmonic tones with the rhythm of syllables, as long as the text has letters for. Which answer fails
is drawn from the seed, the text and how often that text was asked for, so that a run with faults can be repeated
whatever the order of its requests.

    python tests/tts_server.py --port 8123 --latency 0.05      # prints its address, serves until it is killed
"""

import argparse
import base64
import email
import json
import random
import re
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import msgpack
import numpy as np

TOKEN = "loopback-token-0123456789"

FISH = "/v1/tts"
FISH_TIMES = "/v1/tts/stream/with-timestamp"
OPENAI = "/v1/audio/speech"

#: Faults that give no audio, by name. `timeout` hangs, `reset` cuts the connection.
STATUSES = {str(status): status for status in (400, 401, 402, 403, 404, 422, 429, 500, 503)}
RETRY_AFTER = {"429-seconds", "429-date", "503-seconds"}
#: Faults that say 200. `streaming-header` is no fault for whoever can read it.
SPOILED = {"empty", "truncated", "cut-off", "json", "silence"}
BENIGN = {"streaming-header"}

#: 30 % of all answers, and 1 % that say there is no credit.
MIX = {
    "429": 0.04, "429-seconds": 0.03, "500": 0.03, "503": 0.03, "timeout": 0.02, "reset": 0.04, "empty": 0.03,
    "truncated": 0.03, "streaming-header": 0.03, "silence": 0.02,
}  # fmt: skip
NO_CREDIT = {"402": 0.01}

#: One period of the voice and of its loudness.
_PHASE = 2 * np.pi * np.arange(4096) / 4096
VOICE = 0.15 * sum(np.sin(harmonic * _PHASE) / harmonic for harmonic in range(1, 8))
SYLLABLE = 0.6 - 0.4 * np.cos(_PHASE)

LETTERS_PER_SECOND = 14.0
EDGE_SECONDS = 0.1


class Asked(NamedTuple):
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


class TtsServer(ThreadingHTTPServer):
    """Serves from construction until `close` (or the end of a `with`).

    Args:
        latency: seconds from a request to its answer (nothing is sent earlier).
        faults: share of answers by kind of fault.
        seed: of the draw.
        hang_seconds: how long `timeout` hangs at most; it ends when the client hangs up.
        retry_after: seconds that the Retry-After headers ask for.
        timestamps: whether there is a path for word times.
        most_at_once: more requests than this at a time are answered 429.
        token: that every request has to carry; empty for none.

    Attributes:
        plan: faults (or "" for none) for the next answers, before any are drawn. lists: what is at other paths.
        before_answer: what it waits for before each answer.
        purchases: whole, audible answers by text. `spoiled`: other answers that said 200, by text.
        answers: answers by kind of fault; "" for none.
        asked: all requests. `busiest`: the most at a time.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        latency: float = 0.0,
        faults: Mapping[str, float] | None = None,
        seed: int = 0,
        hang_seconds: float = 30.0,
        retry_after: int = 1,
        timestamps: bool = True,
        most_at_once: int = 0,
        port: int = 0,
        token: str = TOKEN,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.faults = dict(faults or {})
        kinds = STATUSES.keys() | RETRY_AFTER | SPOILED | BENIGN | {"timeout", "reset"}
        unknown = self.faults.keys() - kinds
        if unknown:
            raise ValueError(f"unknown faults {unknown}")
        self.latency = latency
        self.seed = seed
        self.hang_seconds = hang_seconds
        self.retry_after = retry_after
        self.timestamps = timestamps
        self.most_at_once = most_at_once
        self.token = token
        self.before_answer: Callable[[], object] = lambda: None
        self.plan: list[str] = []
        self.lists: dict[str, Any] = {}
        self.purchases: Counter[str] = Counter()
        self.spoiled: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.asked: list[Asked] = []
        self.busiest = 0
        self._times_asked: Counter[str] = Counter()
        self._busy = 0
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the play."""

    def enter(self, asked: Asked, text: str) -> str:
        """Note a request; the fault that it meets."""
        with self._lock:
            self.asked.append(asked)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            attempt = self._times_asked[text]
            self._times_asked[text] += 1
            fault = self.plan.pop(0) if self.plan else self._drawn(text, attempt)
            if self.most_at_once and self._busy > self.most_at_once:
                fault = "429"
            self.answers[fault] += 1
            return fault

    def leave(self) -> None:
        with self._lock:
            self._busy -= 1

    def sold(self, text: str, whole: bool) -> None:
        with self._lock:
            counts = self.purchases if whole else self.spoiled
            counts[text] += 1

    def sound(self, text: str, rate: int) -> tuple[np.ndarray, int, tuple[tuple[str, float, float], ...]]:
        """What it says: samples, rate in Hz, and words with their times."""
        return speech(text, rate)

    def share_said(self, text: str) -> float:
        """How much of a text is said; a model that stops early says less, in an answer that is otherwise whole."""
        return 1.0

    def refusal(self, text: str, body: dict[str, Any]) -> int:
        """The status with which the voice that a request asks for is refused; 0 if it is said."""
        return 0

    def keep(self, path: str, form: dict[str, bytes]) -> int:
        """The status that a form gets."""
        return 404

    def _drawn(self, text: str, attempt: int) -> str:
        drawn = random.Random(f"{self.seed}\0{text}\0{attempt}").random()
        for fault, share in self.faults.items():
            drawn -= share
            if drawn < 0:
                return fault
        return ""


#: Of servers that keep voices: the path of their form, and its fields for the name and the sample.
FORMS = {
    "form": ("/v1/audio/voices", "name", "audio_sample"),
    "forgetful": ("/v1/audio/voices", "name", "audio_sample"),
    "chatterbox": ("/v1/voices", "voice_name", "voice_file"),
}


class OwnServer(TtsServer):
    """A server of one's own, which needs no token, and speaks in its own voice where it clones none.

    Args:
        dialect: how it clones: `request`, as vLLM-Omni; `form`, as that if it read no samples in requests;
            `chatterbox`, as chatterbox-tts-api; `forgetful`, by a form of which nothing is kept; or not at all.
        rejected: status for what is no sample of a voice.

    Attributes:
        said: texts, with the sample in whose voice each was said. uploads: how many samples came by a form.
    """

    def __init__(self, dialect: str = "", rejected: int = 400) -> None:
        self.dialect = dialect
        self.rejected = rejected
        self.uploads = 0
        self.voices: dict[str, bytes] = {}
        self.said: list[tuple[str, bytes]] = []
        super().__init__(timestamps=False, token="")

    def refusal(self, text: str, body: dict[str, Any]) -> int:
        sample = self.voices.get(str(body.get("voice")), b"")
        if self.dialect == "request" and body.get("ref_text"):
            _, _, encoded = body["ref_audio"].partition("data:audio/wav;base64,")
            sample = base64.b64decode(encoded)
        if self.dialect in ("request", "form") and not sample:
            return self.rejected
        self.said.append((text, sample))
        return 0

    def keep(self, path: str, form: dict[str, bytes]) -> int:
        door, name, sample = FORMS.get(self.dialect, ("", "", ""))
        if path != door:
            return 405
        self.uploads += 1
        if self.dialect != "forgetful":
            self.voices[form[name].decode()] = form[sample]
        kept_voices = [{"name": voice} for voice in self.voices]
        self.lists["/v1/audio/voices"] = {"voices": ["alloy", *kept_voices]}
        return 201 if self.dialect == "chatterbox" else 200


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: TtsServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._left = True
        self._due = 0.0
        listed = self.server.lists.get(self.path)
        self._send(200 if listed else 404, "application/json", json.dumps(listed).encode())

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart"):
            self._left = True
            self._due = 0.0
            message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
            form = {}
            for part in message.get_payload():
                name = str(part.get_param("name", header="content-disposition"))
                form[name] = part.get_payload(decode=True)
            status = self.server.keep(self.path, form)
            self._send(status, "application/json", b"{}")
            return
        packed = self.headers.get("Content-Type") == "application/msgpack"
        body = msgpack.unpackb(raw) if packed else json.loads(raw)
        text = body["input" if self.path == OPENAI else "text"]
        self._left = False
        self._due = time.monotonic() + self.server.latency
        asked = Asked(self.path, dict(self.headers), body)
        fault = self.server.enter(asked, text)
        self.server.before_answer()
        try:
            self._answer(text, body, fault)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Before the answer is out: who reads it may ask again before this thread goes on."""
        if not self._left:
            self._left = True
            self.server.leave()

    def _answer(self, text: str, body: dict[str, Any], fault: str) -> None:
        paths = [FISH, OPENAI]
        if self.server.timestamps:
            paths.append(FISH_TIMES)
        token = self.server.token
        authorization = self.headers.get("Authorization")
        if self.path not in paths:
            self._refuse(404, "not found")
        elif token and authorization != f"Bearer {token}":
            self._refuse(401, f"invalid token {authorization}")
        elif fault:
            self._fail(text, body, fault)
        else:
            status = self.server.refusal(text, body)
            if status:
                self._refuse(status, "this voice is not here")
            else:
                self._sell(text, body, "")

    def _fail(self, text: str, body: dict[str, Any], fault: str) -> None:
        if fault in STATUSES:
            self._refuse(STATUSES[fault], f"as planned: {fault}")
        elif fault in RETRY_AFTER:
            self._refuse(int(fault[:3]), f"as planned: {fault}", self._retry_after(fault))
        elif fault == "timeout":
            self._hang()
        elif fault == "reset":
            self._reset()
        else:
            self._sell(text, body, fault)

    def _sell(self, text: str, body: dict[str, Any], fault: str) -> None:
        samples, rate, words = self.server.sound(text, body.get("sample_rate", 24000))
        spoken_share = self.server.share_said(text)
        if spoken_share < 1:  # in a file that is whole by its header
            samples = samples[: round(spoken_share * len(samples))]
            words = tuple(word for word in words if word[2] <= len(samples) / rate)
        if fault == "silence":
            samples = np.zeros_like(samples)
        data = wav(samples, rate, streaming=fault == "streaming-header")
        if fault == "empty":
            data = b""
        if fault == "truncated":
            data = data[: len(data) // 2]
        kind = "audio/wav"
        if self.path == FISH_TIMES:
            kind = "text/event-stream"
            data = events(text, data, words, len(samples) / rate)
        if fault == "json":
            kind = "application/json"
            data = b'{"status": 200, "message": "nothing to say"}'
        if self._hung_up():
            self.close_connection = True
            return
        self.server.sold(text, whole=fault not in SPOILED)
        sent = len(data) // 2 if fault == "cut-off" else None
        self._send(200, kind, data, sent=sent)

    def _retry_after(self, fault: str) -> str:
        if fault.endswith("date"):
            seconds = self.server.retry_after + 1  # a date has whole seconds
            date = datetime.now(UTC) + timedelta(seconds=seconds)
            return format_datetime(date, usegmt=True)
        return str(self.server.retry_after)

    def _refuse(self, status: int, message: str, retry_after: str = "") -> None:
        answer = json.dumps({"status": status, "message": message}).encode()
        headers = {"Retry-After": retry_after} if retry_after else {}
        self._send(status, "application/json", answer, headers)

    def _send(
        self,
        status: int,
        kind: str,
        data: bytes,
        headers: Mapping[str, str] | None = None,
        sent: int | None = None,
    ) -> None:
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}", f"Content-Type: {kind}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(data)}", "", ""]
        threading.Event().wait(self._due - time.monotonic())
        self._leave()
        self.wfile.write("\r\n".join(lines).encode() + data[:sent])
        if sent is not None:
            self.close_connection = True

    def _hung_up(self) -> bool:
        """Whether the client lost its patience: on a busy machine an answer can come too late to be a purchase."""
        with suppress(BlockingIOError):
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        return False

    def _hang(self) -> None:
        self.connection.settimeout(self.server.hang_seconds)
        with suppress(OSError):
            self.connection.recv(1)  # returns when the client hangs up
        self.close_connection = True

    def _reset(self) -> None:
        """Close with a reset in place of a goodbye."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            self.connection.close()
        self.close_connection = True


def _wave(period: np.ndarray, hertz: float, seconds: np.ndarray) -> np.ndarray:
    positions = (seconds * (hertz * len(period))).astype(np.int64)
    return period[positions % len(period)]


@lru_cache(maxsize=4096)
def speech(text: str, rate: int) -> tuple[np.ndarray, int, tuple[tuple[str, float, float], ...]]:
    """Something like speech: samples, rate in Hz, and its words with their times in seconds. Tags are not said."""
    without_tag = re.sub(r"^(\([^)]*\)|\[[^]]*\]) ", "", text)
    pitch = 100.0 + zlib.crc32(text.encode()) % 100
    edge = np.zeros(round(EDGE_SECONDS * rate))
    gap = np.zeros(round(0.02 * rate))
    pieces = [edge]
    timed = []
    start = EDGE_SECONDS
    for word in without_tag.split():
        letters = max(2, sum(map(str.isalnum, word)))
        n_samples = round(letters / LETTERS_PER_SECOND * rate)
        seconds = np.arange(n_samples) / rate
        loudness = _wave(SYLLABLE, 5.0, seconds)
        pieces.append(_wave(VOICE, pitch, seconds) * loudness)
        pieces.append(gap)
        timed.append((word, start, start + n_samples / rate))
        start += (n_samples + len(gap)) / rate
    pieces.append(edge)
    samples = np.concatenate(pieces).astype(np.float32)
    return samples, rate, tuple(timed)


def wav(samples: np.ndarray, rate: int, streaming: bool = False) -> bytes:
    """A 16-bit WAV file; with sizes that nobody knew yet if it is streamed."""
    audio = np.rint(samples * 32767).astype("<i2").tobytes()
    riff_size = 0xFFFFFFFF if streaming else 36 + len(audio)
    data_size = 0xFFFFFFFF if streaming else len(audio)
    riff = b"RIFF" + struct.pack("<I", riff_size)
    shape = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    data = b"data" + struct.pack("<I", data_size) + audio
    return riff + b"WAVEfmt " + shape + data


def events(text: str, data: bytes, words: Sequence[tuple[str, float, float]], seconds: float) -> bytes:
    """Audio in two events, with a first snapshot of the alignment that a third event without audio puts right."""
    segments = [{"text": word, "start": start, "end": end} for word, start, end in words]
    snapshot = [{**segment, "end": segment["start"]} for segment in segments[:1]]
    first = {"audio_duration": seconds, "segments": snapshot}
    last = {"audio_duration": seconds, "segments": segments}
    half = len(data) // 2
    parts = ((data[:half], first), (data[half:], None), (b"", last))
    stream = ""
    for audio, alignment in parts:
        event = {
            "audio_base64": base64.b64encode(audio).decode(),
            "content": text,
            "chunk_seq": 0,
            "chunk_audio_offset_sec": 0.0,
            "alignment": alignment,
        }
        stream += f"event: message\ndata: {json.dumps(event)}\n\n"
    return stream.encode()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--faulty", action="store_true", help="fail in 30 %% of the answers")
    chosen = parser.parse_args()
    faults = MIX | NO_CREDIT if chosen.faulty else None
    server = TtsServer(chosen.latency, faults, port=chosen.port)
    print(server.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
