"""How soon a talk ends when the person speaks over it, or presses Ctrl-C: beside the code of another commit.

A chat server and a speech server on loopback, both slow, answer a question of two seconds. The person interrupts
at two moments: while the server has not begun its answer, and between two of its words, while the voice speaks.
Milliseconds from the moment at which the talk notices speech until its voice is silent, and from the one at which
it gives up its reply until the chat server sees that its client is gone; both from the signal of a Ctrl-C. Goal:
neither is over 25 ms later than before, by which equal moments differ.

    python benchmarks/barge_in.py --base COMMIT [--rounds 5]          # two minutes
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import measuring
import numpy as np
from talking import QUESTION, WAIT, ears
from tts_server import TtsServer

from dailytalk_contiguous.apps.converse.chat import ChatServer
from dailytalk_contiguous.apps.converse.dialogue import ReplySentence
from dailytalk_contiguous.apps.converse.sound_blocks import BLOCK, BLOCK_SECONDS
from dailytalk_contiguous.apps.converse.talk import Talk, TalkParts
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models.contracts import Line, Spoken
from dailytalk_contiguous.models.synthesisers.openai import OpenAISpeech

#: The moments at which the person interrupts.
MOMENTS = ("before the answer", "between two words")

#: The person's means.
MEANS = ("speech", "Ctrl-C")

#: Seconds before the first word of an answer, where the person interrupts before it, and between its words.
SLOW = 20.0

#: Milliseconds by which two equal moments differ here; more is later.
NOISE = 25.0

FIRST_WORDS = "I will tell you a long story about a bicycle that made a noise every morning. It"


class SlowChat(ThreadingHTTPServer):
    """Answers with one sentence and then a word every `SLOW` seconds, the first after `delay` seconds.

    `asked` is set by the first request; `left` is the time at which its client was gone.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, delay: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.delay = delay
        self.asked = threading.Event()
        self.left = 0.0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: SlowChat

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        is_first = not self.server.asked.is_set()
        self.server.asked.set()
        delay = self.server.delay if is_first else SLOW
        if self._client_leaves_within(delay, is_first):
            return
        with suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            for word in (FIRST_WORDS, " was", " not", " new"):
                event = {"choices": [{"index": 0, "delta": {"content": word}}]}
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                if self._client_leaves_within(SLOW, is_first):
                    return

    def _client_leaves_within(self, seconds: float, is_first: bool) -> bool:
        self.connection.settimeout(max(seconds, 0.001))
        try:
            self.connection.recv(1)
        except TimeoutError:
            return False
        except OSError:
            pass
        if is_first:
            self.server.left = time.perf_counter()
        return True


class Person:
    """A microphone and a loudspeaker: a person who asks, and interrupts once it is time to.

    `noticed`: when the talk first silenced its voice; `silent`: when a block without sound was played after that;
    `stopped`: when it last did, with the reply.
    """

    name = "person"
    lag = 0.0
    echoes = False

    def __init__(self, chat: SlowChat, moment: str, means: str) -> None:
        self._chat = chat
        self._moment = moment
        self._means = means
        self._blocks = self._script()
        self._due = time.monotonic()
        self._speaks = False
        self.noticed = 0.0
        self.silent = 0.0
        self.stopped = 0.0

    def _script(self) -> Iterator[Samples]:
        yield from _blocks(QUESTION)
        while not (self._chat.asked.is_set() if self._moment == MOMENTS[0] else self._speaks):
            yield np.zeros(BLOCK, np.float32)
        for _ in range(8):
            yield np.zeros(BLOCK, np.float32)
        if self._means == "Ctrl-C":
            self.noticed = time.perf_counter()
            self.stopped = self.noticed
            os.kill(os.getpid(), signal.SIGINT)
        yield from _blocks(WAIT)
        end = time.monotonic() + 2 * SLOW
        while not self._chat.left and time.monotonic() < end:
            yield np.zeros(BLOCK, np.float32)
        yield np.zeros(BLOCK, np.float32)

    def read(self, idle: bool) -> Samples | None:
        self._due += BLOCK_SECONDS
        time.sleep(max(0.0, self._due - time.monotonic()))
        return next(self._blocks, None)

    def play(self, block: Samples) -> None:
        self._speaks = bool(block.any())
        if self.noticed and not self.silent and not self._speaks:
            self.silent = time.perf_counter()

    def mute(self) -> None:
        if self._means == "speech" and not self._chat.left:
            self.stopped = time.perf_counter()
            self.noticed = self.noticed or self.stopped

    def close(self) -> None:
        self.silent = self.silent or time.perf_counter()


def _blocks(sound: Samples) -> Iterator[Samples]:
    padded = np.pad(sound, (0, -len(sound) % BLOCK))
    yield from padded.reshape(-1, BLOCK)


def measure(moment: str, means: str) -> tuple[float, float]:
    """Milliseconds until the voice is silent, and until the request has ended, in one talk."""
    delay = SLOW if moment == MOMENTS[0] else 0.0
    with TtsServer(latency=0.2, token="") as voice, SlowChat(delay) as chat:
        speech = OpenAISpeech(base_url=voice.url)

        def speak(sentence: ReplySentence) -> Spoken:
            return speech.speak(Line(sentence.text, "", "en", 0))

        answers = ChatServer(f"http://127.0.0.1:{chat.server_address[1]}#slow")
        parts = TalkParts(ears(["tell me a story", "wait a minute please"]), None, answers, speak, "You listen.")
        person = Person(chat, moment, means)
        talk = Talk(TalkSettings(), parts, person, lambda event: None)
        with suppress(KeyboardInterrupt), interrupts.watched():
            talk.run()
        end = time.monotonic() + 2 * SLOW
        while not chat.left and time.monotonic() < end:
            time.sleep(0.001)
        chat.shutdown()
    return 1000 * (person.silent - person.noticed), 1000 * (chat.left - person.stopped)


def measured(package: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """What `measure` finds in processes that import the package from a folder."""
    command = [sys.executable, __file__, "--measure", "--rounds", str(rounds)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(package)}, capture_output=True, check=True)
    times: dict[str, list[tuple[float, float]]] = json.loads(done.stdout)
    return times


def main() -> int:
    """Print a line for each moment and means; 1 if something ends later than before."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--base", required="--measure" not in sys.argv, help="commit of the code to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
        times = {}
        for moment in MOMENTS:
            for means in MEANS:
                times[f"{means} {moment}"] = [measure(moment, means) for _ in range(chosen.rounds)]
        print(json.dumps(times))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "base.tar")
        archive = ["git", "archive", "-o", str(packed), chosen.base, "dailytalk_contiguous"]
        subprocess.run(archive, cwd=measuring.ROOT, check=True)
        with tarfile.open(packed) as files:
            files.extractall(folder, filter="data")
        before = measured(Path(folder), chosen.rounds)
    after = measured(measuring.ROOT, chosen.rounds)
    code = 0
    for name in after:
        for index, end in enumerate(("silence", "end of the request")):
            old = statistics.median(times[index] for times in before[name])
            new = statistics.median(times[index] for times in after[name])
            figure = f"{name:<26} {end:<19} before {old:7.1f} ms, after {new:7.1f} ms, ratio {new / old:.2f}"
            code |= not measuring.judged(figure, new <= old + NOISE)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
