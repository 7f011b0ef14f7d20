"""What a speech service may cost: faults, limits, repeated runs, and takes that are refused rightly or wrongly.

Three parts, each with goals; exits with 1 if one is missed.

1. A loopback service with every fault in turn says 54 lines: requests a line, USD charged (by the service's own
   count) against `--max-cost`, and requests that began after the client knew of a refusal that somebody must mend.
   Goals: never more than the limit, no request after such a refusal, no line asked for more than 8 times.
2. Ten runs of one command over lines of which some are always refused. Goal: the purchases of one run.
3. The bundled recordings, and the two-channel calls in a folder that is named, with espeak, flite and the
   imitation of Fish (also with a real voice, flite's, behind it). Goals: no conversation held back; takes cut off
   somewhere between a fifth and four fifths, in a file that is whole by its header, all noticed where there are
   word times. Without them, and for sentences that end early but calmly, the shares are printed.

    python benchmarks/money.py [--calls FOLDER]       # three to seven minutes, with two short calls
"""

import argparse
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partialmethod
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import soxr
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the loopback server serves tests and benchmarks alike

import tts_server  # noqa: E402
from scripted import folder, talk  # noqa: E402
from tts_server import MIX, TOKEN, Asked, TtsServer  # noqa: E402

from dailytalk_contiguous.core.errors import DailytalkError  # noqa: E402
from dailytalk_contiguous.core.quality import Gate, Voice, incomplete, trim, voice_of  # noqa: E402
from dailytalk_contiguous.core.retries import Backoff  # noqa: E402
from dailytalk_contiguous.models import paid  # noqa: E402
from dailytalk_contiguous.models.contracts import Line, Spoken, Synthesiser  # noqa: E402
from dailytalk_contiguous.models.engines import load_synthesiser  # noqa: E402
from dailytalk_contiguous.models.fish import MODELS  # noqa: E402
from dailytalk_contiguous.models.offline_voices import Flite  # noqa: E402
from dailytalk_contiguous.pipelines import speak_stages, tag_stages  # noqa: E402
from dailytalk_contiguous.run.outputs import TRANSCRIPT  # noqa: E402
from dailytalk_contiguous.run.run import run  # noqa: E402
from dailytalk_contiguous.run.speaking import SpeakSpec, read_synthesis_input  # noqa: E402
from dailytalk_contiguous.run.tagging import TagSpec, find  # noqa: E402
from dailytalk_contiguous.stages.base import Stages  # noqa: E402

#: Conversations and turns of them; half of these are said: 54 lines.
CONVERSATIONS, TURNS = 6, 18

#: Faults that every answer has, one run each; and what is mixed of all of them.
FAULTS = ("429", "500", "503", "reset", "timeout", "empty", "truncated", "cut-off", "json", "silence")
FINAL = ("400", "401", "402", "403", "404")

#: Tries of one answer (`models.paid.Client`), and runs of the second part.
TRIES, RUNS = 8, 10

USD_PER_BYTE = MODELS["s1"][1] / 1e6


class Watched(TtsServer):
    """Counts requests by text, what it charges, and requests that begin after a final refusal has been read."""

    def __init__(self, **options: Any) -> None:
        self.by_text: Counter[str] = Counter()
        self.refused_at: float | None = None
        self.late = 0
        self.share = 1.0
        super().__init__(**options)

    def enter(self, asked: Asked, text: str) -> str:
        now = time.monotonic()
        fault = super().enter(asked, text)
        self.by_text[text] += 1
        # What was under way together with the first refusal may still arrive while that is on its way back.
        if self.refused_at is not None and now > self.refused_at + self.latency + 0.1:
            self.late += 1
        if fault in FINAL and self.refused_at is None:
            self.refused_at = now
        return fault

    def share_said(self, text: str) -> float:
        return self.share

    @property
    def charged(self) -> float:
        """USD: every answer that began with 200 is charged by the bytes of its text."""
        sold = self.purchases + self.spoiled
        return sum(count * len(text.encode()) for text, count in sold.items()) * USD_PER_BYTE


@contextmanager
def served(server: "Watched", read_seconds: float = 60.0) -> Iterator["Watched"]:
    """A server that this process takes for Fish Audio, and waits for no longer than this."""
    impatient = partialmethod(paid.Client.__init__, read_seconds=read_seconds)
    with server, patch.object(paid.Client, "__init__", impatient):
        os.environ["FISH_AUDIO_BASE_URL"] = server.url
        load_synthesiser.cache_clear()
        yield server


def settings(place: Path, **chosen: Any) -> Stages:
    """Fish speaks, nothing recognises."""
    return speak_stages(**({"profile": "embedded", "tts": "fish", "cache": str(place / "cache")} | chosen))


def attempt(work: Path, chosen: Stages) -> tuple[dict[str, Any], str]:
    """One run: its counts, and the sentence with which it stopped."""
    try:
        outcome = run(SpeakSpec(read_synthesis_input(work), work, chosen))
    except DailytalkError as error:
        return {}, str(error)
    return outcome.record["counts"], ""


def faults(place: Path, max_cost: float) -> bool:
    """Print what each fault costs; whether the goals are met."""
    lines = CONVERSATIONS * TURNS // 2
    print(f"1. {lines} lines")
    print(
        f"{'fault':<18}{'--max-cost':>10}{'requests':>9}{'a line':>8}{'charged USD':>13}{'noted USD':>10}"
        f"{'late':>6}  how it ended"
    )
    good = True
    cases: list[tuple[str, dict[str, Any], float]] = [
        (fault, {"faults": {fault: 1.0}}, limit)
        for fault in (*FAULTS, *FINAL)
        for limit in ((max_cost, 1.0) if fault in tts_server.SPOILED else (1.0,))
    ]
    cases += [
        ("402 after 20", {}, 1.0),
        ("mixed", {"faults": MIX}, 1.0),
        ("none", {}, max_cost),
        ("none", {}, 1.0),
    ]
    for name, options, limit in cases:
        work = talks(place / f"{name} {limit}")
        # Who waits for the others as briefly buys again what a busy machine is late to answer.
        patience = 0.5 if name in ("timeout", "mixed") else 60.0
        with served(Watched(latency=0.02, retry_after=0, **options), patience) as server:
            if name == "402 after 20":
                server.plan = [""] * 20 + ["402"] * 500
            counts, stopped = attempt(work, settings(work, max_cost=limit))
            noted = spent(work)
        most = max(server.by_text.values(), default=0)
        ended = stopped[:60] or f"{counts.get('spoken', 0)} said, {counts['rejects']} conversations held back"
        print(
            f"{name:<18}{limit:>10}{len(server.asked):>9}{most:>8}{server.charged:>13.5f}{noted:>10.5f}{server.late:>6}"
            f"  {ended}"
        )
        # A cut connection may hide from either side whether the other counts an answer; otherwise both agree.
        exact = name in ("reset", "cut-off", "timeout", "mixed") or abs(noted - server.charged) < 1e-6
        # The path with word times and the plain one are asked for an unknown voice.
        takes = 3 if name == "silence" else 1
        good &= server.charged <= limit + 1e-9 and not server.late and most <= TRIES * takes and exact
    work = talks(place / "unreachable")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.environ["FISH_AUDIO_BASE_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
    began = time.perf_counter()
    _, stopped = attempt(work, settings(work))
    named = os.environ["FISH_AUDIO_BASE_URL"] in stopped
    print(f"{'unreachable':<18}stopped after {time.perf_counter() - began:.1f} s: {stopped}")
    return verdict("no charge over the limit, none after a final refusal, 8 requests a line", good and named)


def repeats(place: Path) -> bool:
    """Print what ten runs of one command buy; whether it is what one buys."""
    work = talks(place / "repeats")
    with served(Stuck()) as server:
        bought = []
        for _ in range(RUNS):
            counts, _ = attempt(work, settings(work))
            bought.append((server.purchases + server.spoiled).total())
    print(
        f"\n2. purchases after each of {RUNS} runs: {', '.join(map(str, bought))} ({counts['rejects']} held back)"
    )
    return verdict("ten runs buy what one buys", len(set(bought)) == 1)


class Stuck(Watched):
    """Is always silent for some lines."""

    def _drawn(self, text: str, attempt: int) -> str:
        return "silence" if "line 4" in text else ""


def takes(place: Path, calls: Path | None) -> bool:
    """Print how many takes are refused rightly and wrongly; whether the goals are met."""
    folders = {"examples": ROOT / "examples/conversations"} | ({"calls": calls} if calls else {})
    good = True
    print(
        f"\n3. {'':<10}{'engine':<12}{'conversations':>14}{'held back':>10}{'cut takes noticed':>19}"
        f"{'half said':>11}"
    )
    for name, recordings in folders.items():
        work = place / name
        tagging = tag_stages(profile="embedded", language="en")
        run(TagSpec(find([str(recordings)], work), work, tagging))
        for engine, voice in (("espeak", ""), ("flite", "slt"), ("flite", "rms"), ("flite", "kal16")):
            counts, _ = attempt(work, settings(work, tts=engine, voice=voice))
            caught = planted(work, load_synthesiser(engine, "", voice, 0.7, 0.7, 24000, 5), None)
            good &= show(name, f"{engine} {voice}", counts, caught)
        for imitation, speech in (("fish", tts_server.speech), ("fish (flite)", with_a_voice)):
            for timed in (True, False):
                work_of = work / f"{imitation} {timed}"
                with served(Watched(timestamps=timed)) as server:
                    tts_server_speech(speech)
                    counts, _ = attempt(copied(work, work_of), settings(work_of))
                    engine_of = load_synthesiser("fish", "", "", 0.7, 0.7, 24000, 5)
                    caught = planted(work, engine_of, server)
                    tts_server_speech(ORIGINAL)
                good &= show(name, f"{imitation}{'' if timed else ', no times'}", counts, caught, must_catch=timed)
    return verdict("no conversation held back, all cut takes noticed where words have times", good)


def show(
    name: str, engine: str, counts: dict[str, Any], caught: dict[str, list[bool]], must_catch: bool = True
) -> bool:
    """Print a line of the third part; whether its goals are met."""
    cut, half = caught["cut"], caught["half"]
    print(
        f"   {name:<10}{engine:<20}{counts.get('conversations', 0):>6}{counts['rejects']:>10}"
        f"{sum(cut):>12} of {len(cut):<4}{sum(half):>6} of {len(half)}"
    )
    return counts["rejects"] == 0 and (all(cut) or not must_catch)


def planted(work: Path, engine: Synthesiser, server: Watched | None) -> dict[str, list[bool]]:
    """Whether takes that were cut off, and takes of half the text, are noticed, with the habits of each voice.

    A service says less than it was asked for, and its word times end there too; what an engine of this machine
    says is cut here.
    """
    draw = random.Random(0)
    gate = Gate()
    caught: dict[str, list[bool]] = {"cut": [], "half": []}
    conversations: dict[str, list[dict[str, Any]]] = {}
    for text in (work / TRANSCRIPT).read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["text"].strip() and line["channel"] == "left":
            conversations.setdefault(line["conversation_id"], []).append(line)
    for lines in conversations.values():
        said = [engine.speak(Line(line["text"], line["tag"], "en", 0)) for line in lines]
        takes = [trim(spoken.samples, spoken.sample_rate, gate) for spoken in said]
        voice = voice_of([(line["text"], take) for line, take in zip(lines, takes, strict=True)])
        for line, whole, take in zip(lines, said, takes, strict=True):
            source = sum(word["end"] - word["start"] for word in line["words"]) or line["end"] - line["start"]

            def noticed(
                spoken: Spoken, line: dict[str, Any] = line, source: float = source, voice: Voice = voice
            ) -> bool:
                text, fades = line["text"], server is not None
                samples, rate, words, _ = spoken
                cut = trim(samples, rate, gate)
                return bool(cut.reason or incomplete(cut, text, source, words, gate, voice, fades))

            # Within its words: what is cut off after the last of them is no loss.
            rate = whole.sample_rate
            rendered = f"({line['tag']}) {line['text']}"
            finish = tts_server.speech(rendered, rate)[2][-1][2] if server else (whole.words or [])[-1].end
            last = round((take.start + draw.uniform(0.2, 0.8) * (finish - take.start)) * rate)
            if server:
                server.share = last / len(whole.samples)
                caught["cut"].append(noticed(engine.speak(Line(line["text"], line["tag"], "en", 0))))
                server.share = 1.0
            else:
                caught["cut"].append(noticed(whole._replace(samples=whole.samples[:last])))
            words = line["text"].split()
            if len(words) > 1:
                half = " ".join(words[: (len(words) + 1) // 2])
                caught["half"].append(noticed(engine.speak(Line(half, line["tag"], "en", 0))))
    return caught


ORIGINAL = tts_server.speech


def tts_server_speech(speech: Any) -> None:
    """What the loopback server says from now on."""
    tts_server.speech = speech


@lru_cache(maxsize=4096)
def with_a_voice(text: str, rate: int) -> tuple[NDArray[np.float32], int, tuple[tuple[str, float, float], ...]]:
    """`tts_server.speech` with the sound and the words of flite, whose voice is one of real sounds and pauses."""
    tag_name, _, words = text.removeprefix("(").partition(") ")
    spoken = Flite("slt").speak(Line(words, tag_name, "en", 0))
    samples = np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, rate), np.float32)
    return samples, rate, tuple((word.text, word.start, word.end) for word in spoken.words or ())


def talks(place: Path) -> Path:
    """A tagged work folder of conversations in which no two lines are alike."""
    return folder(place, **{f"call{number}": talk(f"call {number}", TURNS) for number in range(CONVERSATIONS)})


def copied(work: Path, place: Path) -> Path:
    """A work folder with the transcript and the shards of another."""
    shutil.copytree(work / "tagged", place / "tagged")
    shutil.copy(work / TRANSCRIPT, place)
    return place


def spent(work: Path) -> float:
    """USD that run.json says were spent, by a run that ended or stopped."""
    record = json.loads((work / "run.json").read_text(encoding="utf-8"))
    return float((record.get("stopped") or record["speak"])["money"]["spent"])


def verdict(goal: str, met: bool) -> bool:
    """Print a goal and whether it is met."""
    print(f"   goal: {goal}: {'met' if met else 'MISSED'}")
    return met


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all three parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=Path, help="folder of two-channel calls with their words beside them")
    parser.add_argument("--max-cost", type=float, default=0.005, help="USD")
    chosen = parser.parse_args(arguments)
    os.environ |= {"FISH_API_KEY": TOKEN, "FISH_AUDIO_REFERENCE_ID": "loopback-voice"}
    # What is measured is what is asked for, not how long it is waited for.
    paid.backoff = Backoff(0.005, 0.02, jitter=True).seconds
    paid.FIRST_SPACING, paid.LONGEST_SPACING = 0.001, 0.005
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        met = [faults(place / "faults", chosen.max_cost), repeats(place), takes(place / "takes", chosen.calls)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
