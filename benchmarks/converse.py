"""How a spoken conversation keeps up: with the embedded profile, by a file microphone in real time.

A person (flite's voice `slt`) says twenty turns to the listener; time counts from the end of speech to the first
sound of the answer. A chat server of this machine that streams 20 tokens a second is compared with one that sends
the same reply at its end. Somebody speaks over the voice, or says "mm-hm". Half an hour is simulated for memory.
Run it on a machine that does nothing else; flite and espeak are needed.

    python benchmarks/converse.py            # twenty minutes
    python benchmarks/converse.py --quick    # three
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import soundfile
import soxr

from dailytalk_contiguous.apps.converse.sound_blocks import BLOCK, BLOCK_SECONDS, TALK_RATE
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent, TalkParts, run_talk
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.apps.converse.talk_setup import INSTRUCTIONS, TalkModels, open_parts, open_voice
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.dialogue import TurnRules
from dailytalk_contiguous.models.chat import ChatSettings
from dailytalk_contiguous.models.hearing import SphinxListening

MEDIAN, NEARLY_ALL, OF_WHOLE, TO_SILENCE, FLAT = 1.5, 2.5, 0.4, 0.2, 0.1

TURNS = (
    "I lost my keys this morning and I was late for work.",
    "My sister is coming to visit me next week.",
    "I am so tired today, I could not sleep at all.",
    "We went to the mountains, and it was raining all day.",
    "What do you think I should do about it?",
    "My boss never listens to what I say.",
    "I have a new job, and I am happy about it.",
    "The doctor said that I should eat less sugar.",
    "I am afraid of the exam on Friday.",
    "My dog ran away, but he came back in the evening.",
    "I want to learn to play the piano.",
    "Nobody called me on my birthday.",
    "I had a long talk with my mother yesterday.",
    "We are moving to another town in the summer.",
    "I feel much better than last week.",
    "My neighbor plays music every night.",
    "I do not know what to say to him.",
    "It was the best holiday of my life.",
    "I forgot to buy some bread and milk.",
    "Thank you, that is all for today.",
)

#: What listeners say: espeak's phonemes in brackets, or words.
LISTENS = ("[[m'mh'm]]", "uh-huh", "yeah", "right", "okay", "[[m'm]]", "yes", "oh", "really", "I see")

REPLY = (
    "That sounds like a hard day for you. Tell me what happened then, and how you felt about it. I would like to "
    "know a little more. Take all the time that you need, and begin wherever you like. There is no hurry "
    "at all here."
)


def said(text: str, engine: str = "flite") -> Samples:
    """Speech of a text at the rate of a talk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        command = ["flite", "-voice", "slt", "-t", text, "-o", path]
        subprocess.run(command if engine == "flite" else ["espeak-ng", "-w", path, text], check=True)
        samples, rate = soundfile.read(path, dtype="float32")
    samples = np.asarray(soxr.resample(samples, rate, TALK_RATE), np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1] + 1]


class ScriptedMicrophone:
    """Sounds of a script, block by block, in real time or as fast as they are computed."""

    name, lag, echoes = "script", 0.0, False

    def __init__(self, script: Iterator[Samples], real_time: bool = True) -> None:
        self._blocks = self._cut(script)
        self._real_time, self._begun, self._count = real_time, 0.0, 0

    def _cut(self, script: Iterator[Samples]) -> Iterator[Samples]:
        for sound in script:
            padded = np.pad(sound, (0, -len(sound) % BLOCK))
            yield from (padded[at : at + BLOCK] for at in range(0, len(padded), BLOCK))

    def read(self) -> Samples | None:
        block = next(self._blocks, None)
        self._begun = self._begun or time.monotonic()
        self._count += 1
        if self._real_time:
            time.sleep(max(0.0, self._begun + self._count * BLOCK_SECONDS - time.monotonic()))
        return block

    def play(self, block: Samples) -> None: ...

    def hush(self) -> float:
        return 0.0

    def lateness(self) -> float:
        due = self._begun + self._count * BLOCK_SECONDS
        return max(0.0, time.monotonic() - due) if self._real_time else 0.0

    def close(self) -> None: ...


def quiet(seconds: float) -> Samples:
    """Silence."""
    return np.zeros(round(seconds * TALK_RATE), np.float32)


Script = Callable[[Callable[[], Talk]], Iterator[Samples]]


def talked(
    parts: TalkParts, script: Script, folder: Path | None = None, real_time: bool = True
) -> tuple[Talk, list[TalkEvent]]:
    """Hold a talk of which the script says what is heard; it may look at the talk."""
    talks: list[Talk] = []
    events: list[TalkEvent] = []
    microphone = ScriptedMicrophone(script(lambda: talks[0]), real_time)
    record = TalkRecord(folder, "talk", {}) if folder else None
    keep = lambda event: events.append(event) if event.kind not in ("level", "partial") else None  # noqa: E731
    talks.append(Talk(parts, microphone, keep, record, threaded=real_time))
    run_talk(talks[0], microphone)
    return talks[0], events


def turn_by_turn(turns: list[Samples]) -> Script:
    """Each turn, and silence until it is answered."""

    def script(talk: Callable[[], Talk]) -> Iterator[Samples]:
        for turn in turns:
            yield quiet(0.6)
            yield turn
            yield quiet(1.6)
            while not talk().idle:
                yield quiet(0.1)

    return script


def parts_of(chat: str = "listener") -> TalkParts:
    """What a talk of the embedded profile is made of."""
    models = TalkModels(chat=chat)
    voice = open_voice(models, "embedded", None, lambda question: False)
    return open_parts(models, ChatSettings(), TurnRules(), "embedded", voice, INSTRUCTIONS)


def told(what: str, figure: float, goal: float, unit: str = " s") -> bool:
    """Print a figure beside its goal, which it may reach at most."""
    print(
        f"  {what}: {figure:.2f}{unit}, goal {goal:g}{unit}: {'met' if figure <= goal else 'MISSED'}", flush=True
    )
    return figure <= goal


def latency(n_turns: int) -> bool:
    """Turns of a person, answered by the listener."""
    print(f"{n_turns} turns, from the end of speech to the first sound")
    talk, _ = talked(parts_of(), turn_by_turn([said(text) for text in TURNS[:n_turns]]))
    took = [steps["first_sound"] for steps in talk.latencies]
    if len(took) < n_turns:
        print(f"  only {len(took)} of {n_turns} turns were answered: MISSED")
        return False
    for step in ("endpoint", "text", "first_token"):
        print(f"  {step.replace('_', ' ')}: {np.median([steps[step] for steps in talk.latencies]):.2f} s (median)")
    met = told("first sound, median", float(np.median(took)), MEDIAN)
    return told("first sound, 95 %", float(np.percentile(took, 95)), NEARLY_ALL) and met


class ChatHandler(BaseHTTPRequestHandler):
    """Answers as OpenAI's API does: 20 tokens a second, each at once or all at the end."""

    streams = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        waiting = ""
        for word in REPLY.split():
            time.sleep(1 / 20)
            waiting += f"{word} "
            if self.streams:
                self._send(waiting)
                waiting = ""
        if waiting:
            self._send(waiting)
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, text: str) -> None:
        event = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def do_GET(self) -> None:
        body = json.dumps({"data": [{"id": "words"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def streaming(n_turns: int) -> bool:
    """A chat server that streams, and one that does not."""
    print("a chat server of 20 tokens a second: the first sentence while the others are written")
    first = {}
    for streams in (True, False):
        handler = type("Handler", (ChatHandler,), {"streams": streams})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        parts = parts_of(f"http://127.0.0.1:{server.server_port}")
        talk, _ = talked(parts, turn_by_turn([said(text) for text in TURNS[:n_turns]]))
        server.shutdown()
        first[streams] = float(np.median([steps["first_sound"] for steps in talk.latencies]))
    print(f"  first sound: {first[True]:.2f} s streamed, {first[False]:.2f} s at the end")
    return told("streamed, of the time at the end", first[True] / first[False], OF_WHOLE, "")


class LongTalker:
    """A chat model that has much to say."""

    name, service = "long", ""

    def preflight(self) -> None: ...

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def reply(self, messages: object, most_tokens: int) -> "LongReply":
        return LongReply()


class LongReply:
    """Its reply."""

    def __init__(self) -> None:
        self._pieces = iter([f"{REPLY} "] * 8)

    def __iter__(self) -> "LongReply":
        return self

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        self._pieces = iter(())


def interruptions(n_times: int) -> bool:
    """Speech over the voice, in the record of the talk."""
    print(f"{n_times} times somebody speaks over the voice")
    parts = replace(parts_of(), chat=LongTalker(), most_tokens=1000)
    begun: list[float] = []
    over = [said("No, wait, that is not what I said at all."), said("Stop, please, I want to say something.")]

    def script(talk: Callable[[], Talk]) -> Iterator[Samples]:
        yield quiet(0.5)
        yield said(TURNS[0])
        for number in range(n_times):
            while not talk()._mouth.begun:
                yield quiet(0.1)
            yield quiet(2.0 + 0.37 * number % 1)
            begun.append(talk().time)
            yield over[number % len(over)]
            yield quiet(1.0)
        talk().clear()
        yield quiet(0.1)

    with tempfile.TemporaryDirectory() as folder:
        _, events = talked(parts, script, Path(folder) / "talks")
        samples, rate = soundfile.read(Path(folder) / "talks" / "talk.wav", dtype="float32")
    took = []
    for time_begun in begun:
        right = samples[round(time_begun * rate) :, 1]
        onset = time_begun + np.flatnonzero(np.abs(right) > 0.02)[0] / rate
        left = np.abs(samples[round(onset * rate) : round((onset + 1.5) * rate), 0])
        loud = np.flatnonzero(left > 0.005)
        gaps = np.flatnonzero(np.diff(loud) > 0.4 * rate)
        last = loud[gaps[0]] if len(gaps) else loud[-1] if len(loud) else 0
        took.append(last / rate)
    stopped = sum(event.kind == "heard" for event in events)
    print(f"  {stopped - 1 if stopped > n_times else stopped} of {n_times} stopped the voice")
    return told("from the beginning of speech to silence, longest", max(took), TO_SILENCE)


def listening(n_times: int) -> bool:
    """Sounds of a listener, which must not stop the voice."""
    print(f'{n_times} times "mm-hm" and the like while the voice speaks')
    parts = replace(parts_of(), chat=LongTalker(), most_tokens=1000)
    sounds = [
        said(text, "espeak" if "[" in text or number % 2 else "flite") for number, text in enumerate(LISTENS)
    ]
    pauses = 0

    def script(talk: Callable[[], Talk]) -> Iterator[Samples]:
        nonlocal pauses
        yield quiet(0.5)
        yield said(TURNS[0])
        for sound in itertools.islice(itertools.cycle(sounds), n_times):
            while not talk()._mouth.begun or talk()._mouth.paused:
                yield quiet(0.1)
            yield quiet(2.0)
            for at in range(0, len(sound), BLOCK):
                yield sound[at : at + BLOCK]
            paused = False
            for _ in range(12):
                paused |= talk()._mouth.paused
                yield quiet(0.1)
            pauses += paused
        talk().clear()
        yield quiet(0.1)

    _, events = talked(parts, script)
    stops = sum(event.kind == "heard" for event in events)
    print(f"  {pauses} of {n_times} made it pause, after which it went on")
    return told("stops", float(stops - (stops > 0 and events[-1].kind == "cleared")), 0.0, "")


def memory(minutes: float) -> bool:
    """A long talk, faster than it is spoken."""
    print(f"{minutes:g} simulated minutes")
    parts = replace(parts_of(), listening=SphinxListening())
    turns = [said(text) for text in TURNS]
    sizes: list[tuple[float, float]] = []

    def script(talk: Callable[[], Talk]) -> Iterator[Samples]:
        for turn in itertools.cycle(turns):
            yield from turn_by_turn([turn])(talk)
            sizes.append((talk().time, resident()))
            if talk().time > 60 * minutes:
                return

    with tempfile.TemporaryDirectory() as folder:
        talked(parts, script, Path(folder) / "talks", real_time=False)
    after = next(size for at, size in sizes if at > 60 * minutes / 6)
    print(f"  {after:.0f} MB after a sixth of it, {sizes[-1][1]:.0f} MB at the end, {len(sizes)} turns")
    return told("growth", sizes[-1][1] / after - 1, FLAT, "")


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """Print each figure beside its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, and five simulated minutes")
    parser.add_argument("--only", default="", help="latency, streaming, interruptions, listening or memory")
    options = parser.parse_args()
    quick = options.quick
    parts: dict[str, Callable[[], bool]] = {
        "latency": lambda: latency(5 if quick else 20),
        "streaming": lambda: streaming(1 if quick else 3),
        "interruptions": lambda: interruptions(3 if quick else 10),
        "listening": lambda: listening(6 if quick else 20),
        "memory": lambda: memory(5 if quick else 30),
    }
    met = [run() for name, run in parts.items() if options.only in ("", name)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
