"""Sends Ctrl-C at random moments of `tag`, `speak`, `corpus` and a stream, and reads what each of them says.

Each command is run once to its end, which is timed; then it is begun again and again in an empty folder and gets
one SIGINT, with all processes of its group as on a terminal, at a moment drawn from its whole length. A run that
ended before is drawn again. `tag` has one worker and two in turn; `speak` has espeak and a loopback service; the
stream comes from a Hub on loopback. Goal: exit code 130 and one sentence, each time, and no process left.

    python benchmarks/interrupts.py [--signals 100] [--jobs 2] [--seed 0]      # five minutes on two cores

A signal that comes before the program's first line (the first hundredths of a second) is Python's own: it dies of
it, which shells report as 130, also with a traceback of the console script alone, or says that it could not import
`site`. Those are counted apart.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import measuring

os.environ["HF_HUB_DISABLE_XET"] = "1"  # which the Hub on loopback has none of; read at the import

from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, HfApi
from short_talks import short_talks
from spoken_corpora import crema_d
from tts_server import TOKEN, TtsServer

#: The console script, as a user calls it.
PROGRAM = Path(sys.executable).with_name("dailytalk")

#: The sentences of a stop.
SENTENCES = (
    "dailytalk: stopped. Every finished conversation is kept; run the same command again to go on.",
    "dailytalk: stopped before anything was done.",
)

#: Seconds after which a run is taken to hang.
PATIENCE = 120.0

QUICK = ("--profile", "embedded", "--language", "en", "--device", "cpu", "--shard-minutes", "0.2")


@dataclass
class Struck:
    """What became of a run that got a signal: after how many seconds, and how long it went on."""

    command: str
    moment: float
    code: int
    err: str
    seconds: float
    left: list[str]

    @property
    def sentences(self) -> list[str]:
        """What it said, except the lines on its progress."""
        progress = re.compile(r"\d{4}-\d\d-\d\dT|looking for |streaming ")
        return [line for line in self.err.splitlines() if not progress.match(line)]

    @property
    def ended_before(self) -> bool:
        """Whether it had done its work."""
        return self.code in (0, 3)

    @property
    def too_early(self) -> bool:
        """Whether Python was still on its way to the program's first line."""
        files = re.findall(r'^  File "(.+)", line', self.err, re.MULTILINE)
        pythons_own = not self.err or set(files) == {str(PROGRAM)}
        return (self.code == -signal.SIGINT and pythons_own) or "init_import_site" in self.err

    @property
    def as_promised(self) -> bool:
        """Whether the code and the sentence are those of a stop, and nothing of it is left."""
        return self.code == 130 and len(self.sentences) == 1 and self.sentences[0] in SENTENCES and not self.left


@dataclass
class Toll:
    """The runs of one command."""

    took: float
    struck: list[Struck] = field(default_factory=list)
    ended_before: int = 0

    @property
    def broken(self) -> list[Struck]:
        """Runs that did not keep the promise."""
        return [run for run in self.struck if not run.too_early and not run.as_promised]


class Arena:
    """The inputs of all commands, and the servers that they ask."""

    def __init__(self, folder: Path, tts: TtsServer, hub: HubServer) -> None:
        self._folder = folder
        self._environment = os.environ | {
            **hub.environment(folder / "hf_home"),
            "DAILYTALK_CACHE": str(folder / "cache"),
            "FISH_API_KEY": TOKEN,
            "FISH_AUDIO_REFERENCE_ID": "a-voice",
            "FISH_AUDIO_BASE_URL": tts.url,
            "OMP_NUM_THREADS": "1",
        }
        self._calls = folder / "calls"
        talks = short_talks(self._calls, 3, 3)
        crema_d(folder / "crema_d", actors=(1001, 1002))
        api = HfApi(endpoint=hub.url, token=self._environment["HF_TOKEN"])
        api.create_repo("tester/talks", repo_type="dataset", exist_ok=True)
        added = [CommitOperationAdd(path.name, path.read_bytes()) for path in talks]
        api.create_commit("tester/talks", added, commit_message="talks", repo_type="dataset")
        self._script = folder / "tagged" / "work"
        self.start("tag", 0, self._script).communicate(timeout=PATIENCE)

    def start(self, command: str, number: int, out: Path) -> "subprocess.Popen[str]":
        """Begin a command whose results go to `out`; `number` chooses among its forms."""
        cache = str(out.with_suffix(".cache"))
        arguments: dict[str, Sequence[object]] = {
            "tag": ("tag", self._calls, "--out", out, *QUICK, "--workers", 1 + number % 2),
            "speak": ("speak", self._script, "--out", out, "--profile", "embedded", "--cache", cache)
            + (("--tts", "fish", "--concurrency", 2) if number % 2 else ()),
            "corpus": ("corpus", "crema_d", self._folder / "crema_d", "--out", out, "--profile", "embedded"),
            "stream": ("tag", "hf://datasets/tester/talks", "--streaming", "--out", out, *QUICK),
        }
        return subprocess.Popen(
            [str(PROGRAM), *map(str, arguments[command])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
        )

    def whole(self, command: str) -> float:
        """Seconds of an uninterrupted run."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            process = self.start(command, 0, Path(folder) / "out")
            _, err = process.communicate(timeout=PATIENCE)
        if process.returncode not in (0, 3):
            raise SystemExit(f"the uninterrupted {command} failed: {err}")
        return time.monotonic() - started

    def strike(self, command: str, number: int, moment: float) -> Struck:
        """Run a command and send it Ctrl-C after `moment` seconds."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            process = self.start(command, number, Path(folder) / "out")
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGINT)
            sent = time.monotonic()
            try:
                _, err = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                _, err = process.communicate()
            seconds = time.monotonic() - sent
        return Struck(command, moment, process.returncode, err, seconds, _left(process.pid))


def _left(session: int) -> list[str]:
    """What still runs of a session, after a moment for it to end."""
    until = time.monotonic() + 2.0
    while (left := list(_of_session(session))) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def _of_session(session: int) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                yield path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue


@contextmanager
def arena() -> Iterator[Arena]:
    """Inputs in a temporary folder, and running servers."""
    with (
        tempfile.TemporaryDirectory(prefix="dailytalk-interrupts-") as name,
        TtsServer(latency=0.3) as tts,
        HubServer(Path(name) / "hub") as hub,
    ):
        yield Arena(Path(name), tts, hub)


def _tell(command: str, toll: Toll) -> None:
    seconds = sorted(run.seconds for run in toll.struck)
    early = sum(run.too_early for run in toll.struck)
    print(
        f"{command}: {len(toll.struck)} signals over {toll.took:.1f} s, {len(toll.broken)} not as promised, "
        f"{early} before the first line, {toll.ended_before} runs ended before and were drawn again; "
        f"seconds to the end: median {seconds[len(seconds) // 2]:.2f}, most {seconds[-1]:.2f}",
        flush=True,
    )
    for run in toll.broken:
        told = {"moment": round(run.moment, 3), "code": run.code, "err": run.err[-2000:], "left": run.left}
        print(json.dumps(told, indent=1), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signals", type=int, default=100, help="of all commands together")
    parser.add_argument("--commands", default="tag,speak,corpus,stream", help="by comma")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    # What a shell runs in the background ignores Ctrl-C, and so would the commands.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    drawn = random.Random(chosen.seed)
    commands = chosen.commands.split(",")
    with arena() as ring, ThreadPoolExecutor(chosen.jobs) as pool:
        tolls: dict[str, Toll] = {}
        for command in commands:
            # As many at a time as there will be, or the moments would all lie in the first part of a run.
            tolls[command] = toll = Toll(max(pool.map(ring.whole, [command] * chosen.jobs)))
            wanted = chosen.signals // len(commands)
            while missing := wanted - len(toll.struck):
                moments = [drawn.uniform(0.0, toll.took) for _ in range(missing)]
                for run in pool.map(lambda pair, name=command: ring.strike(name, *pair), enumerate(moments)):
                    if run.ended_before:
                        toll.ended_before += 1
                    else:
                        toll.struck.append(run)
            _tell(command, toll)
    broken = sum(len(toll.broken) for toll in tolls.values())
    sys.exit(not measuring.judged(f"{broken} runs without 130 and one sentence (goal: 0)", not broken))


if __name__ == "__main__":
    main()
