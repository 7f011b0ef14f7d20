"""Kills `build` at random moments, over and over, and compares what it leaves with an uninterrupted run.

Short conversations are tagged, and resynthesised by a loopback server that counts what it sells. A kill ends the
whole process group; with two workers, every other one ends a single worker. The same work is begun again until it
is done, and a new round begins in an empty folder until there were enough kills. Goals: the same bytes and rows in
every round, no shard made again that was on disk, nothing bought again that was in the cache. Half of the
conversations are telephone calls in which each speaker leaks into the other's channel, and every start draws its
number of threads, so that values which depend on threads, or on what was made before, would differ.

    python benchmarks/crash.py [--kills 100] [--conversations 12] [--seed 0]      # ten to twenty minutes
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import measuring
import numpy as np
import pyarrow.parquet as pq
import soundfile
import soxr
from short_talks import short_talks
from tts_server import TOKEN, TtsServer

from dailytalk_contiguous.store.work_folder import RUN_LOCK

#: Seconds of audio in a shard: one or two conversations, so that a run has many.
SHARD_SECONDS = 8.0

#: Seconds after which a run is taken to hang.
PATIENCE = 120.0

#: Threads of a run at most.
MOST_THREADS = 4

#: dB of a voice in the other speaker's channel against its own, in calls.
LEAK_DB = -25.0

#: What an uninterrupted run and an interrupted one must have alike, to the byte.
FILES = ("transcript.jsonl", "transcript_shifted.jsonl", "rejects.jsonl", "audio/*.wav")


@dataclass
class Toll:
    """What the kills did.

    `remade` are shards that were made although they were on disk, `bought_again` lines that were in the cache.
    `differing` names what came out otherwise.
    """

    kills: int = 0
    of_workers: int = 0
    rounds: int = 0
    remade: int = 0
    bought_again: int = 0
    differing: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Whether all goals are met."""
        return not (self.remade or self.bought_again or self.differing)


class Torment:
    """Runs and kills in one folder.

    Args:
        folder: empty. conversations: how many are made. workers: that tag them.
        seed: of the moments and of whom the kills meet.
    """

    def __init__(self, folder: Path, conversations: int, workers: int, seed: int) -> None:
        self._folder = folder
        self._workers = workers
        self._drawn = random.Random(seed)
        for number, path in enumerate(short_talks(folder / "calls", conversations, conversations)):
            if number % 2:
                over_the_telephone(path)
        self._server = TtsServer(latency=0.05)
        self._environment = os.environ | {
            "FISH_API_KEY": TOKEN,
            "FISH_AUDIO_REFERENCE_ID": "loopback-voice",
            "FISH_AUDIO_BASE_URL": self._server.url,
        }

    def run(self, kills: int) -> Toll:
        """An uninterrupted run, then as many rounds as it takes for so many kills."""
        toll = Toll()
        with self._server:
            wanted, begun, took = self._uninterrupted()
            while toll.kills < kills:
                toll.rounds += 1
                self._round(toll, kills, begun, took)
                found = _results(self._work(toll.rounds))
                differing = {name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)}
                toll.differing += [f"{self._work(toll.rounds).name}/{name}" for name in sorted(differing)]
        return toll

    def _uninterrupted(self) -> tuple[dict[str, str], float, float]:
        """What comes of it, and the seconds until it holds its folder and until its end."""
        started = time.monotonic()
        process = self._start(0)
        lock = self._work(0) / RUN_LOCK
        while not lock.exists() and process.poll() is None:
            time.sleep(0.01)
        begun = time.monotonic() - started
        if process.wait(PATIENCE):
            raise SystemExit("the uninterrupted run failed")
        took = time.monotonic() - started
        lines = (self._work(0) / "transcript_shifted.jsonl").read_text(encoding="utf-8").splitlines()
        told = [line for line in map(json.loads, lines) if line["synthesis"]]
        bought: dict[str, str] = {}
        for line in told:  # the utterances of a turn are bought together
            key = line["synthesis"]["cache_key"]
            is_first = line["synthesis"]["take_part"] in (None, 1)
            bought[key] = line["tagged_text"] if is_first else f"{bought[key]} {line['text']}"
        self._keys = {text: key for key, text in bought.items()}
        if dict(self._server.purchases) != dict.fromkeys(self._keys, 1):
            raise SystemExit("the uninterrupted run did not buy each line once")
        return _results(self._work(0)), begun, took

    def _round(self, toll: Toll, kills: int, begun: float, took: float) -> None:
        """Begin the same work again and again until it is done."""
        done = False
        while not done:
            shards = _shards(self._work(toll.rounds))
            cached = self._cached(toll.rounds)
            bought = Counter(self._server.purchases)
            process = self._start(toll.rounds)
            if toll.kills < kills:
                done = self._strike(process, self._drawn.uniform(begun, took), toll)
            else:
                done = process.wait(PATIENCE) == 0
            time.sleep(2 * self._server.latency)  # the server may be about to answer somebody who is gone
            after = _shards(self._work(toll.rounds))
            toll.remade += sum(after[path] != stamp for path, stamp in shards.items() if path in after)
            sold = Counter(self._server.purchases) - bought
            toll.bought_again += sum(count for text, count in sold.items() if text in cached)

    def _strike(self, process: "subprocess.Popen[bytes]", seconds: float, toll: Toll) -> bool:
        """Kill a run after so many seconds, or one of its workers; whether it was done before."""
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            pass
        workers = _workers(process.pid)
        toll.kills += 1
        if workers and self._drawn.random() < 1 / 2:
            toll.of_workers += 1
            os.kill(self._drawn.choice(workers), signal.SIGKILL)
            return process.wait(PATIENCE) == 0
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        """Begin the work of a round in a process group of its own."""
        command = [sys.executable, __file__, "--work", str(self._work(number)), "--workers", str(self._workers)]
        environment = self._environment | {"OMP_NUM_THREADS": str(self._drawn.randint(1, MOST_THREADS))}
        with (self._folder / f"run{number}.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def _work(self, number: int) -> Path:
        return self._folder / f"work{number}"

    def _cached(self, number: int) -> set[str]:
        """The lines that are in the cache of a round."""
        there = {path.stem for path in (self._folder / f"work{number}.cache").rglob("*.json")}
        return {text for text, key in self._keys.items() if key in there}


def over_the_telephone(path: Path) -> None:
    """Turn a recording into a call: 8 kHz, mu-law, noise, and some of each voice in the other channel."""
    samples, rate = soundfile.read(path)
    leaked = samples + 10 ** (LEAK_DB / 20) * samples[:, ::-1]
    noise = np.random.default_rng(len(samples)).normal(0, 0.001, leaked.shape)
    soundfile.write(path, soxr.resample(leaked + noise, rate, 8000), 8000, "ULAW")


def build(work: Path, workers: int) -> None:
    """Tag and speak the conversations beside a work folder, as `dailytalk build` does, in small shards."""
    from dailytalk_contiguous.pipelines.to_sound import speak_stages
    from dailytalk_contiguous.pipelines.to_text import tag_stages
    from dailytalk_contiguous.run.run import RunOptions, run
    from dailytalk_contiguous.run.speaking import SpeakSpec, read_synthesis_input
    from dailytalk_contiguous.run.tagging import TagSpec, list_conversations
    from dailytalk_contiguous.sources.inputs import open_inputs

    settings = tag_stages(profile="embedded", language="en", device="cpu")
    options = RunOptions(workers=workers, shard_seconds=SHARD_SECONDS)
    found = list_conversations(open_inputs([str(work.parent / "calls")]), work, shard_seconds=SHARD_SECONDS)
    run(TagSpec(found, work, settings), options)
    said = speak_stages(profile="embedded", tts="fish", cache=f"{work}.cache", device="cpu")
    script = read_synthesis_input(work, shard_seconds=SHARD_SECONDS)
    run(SpeakSpec(script, work, said))


def _workers(pid: int) -> list[int]:
    """Worker processes of a run; not the tracker that Python itself starts beside them."""
    found = []
    for told in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, told.read_text().split()):
            called = Path(f"/proc/{child}/cmdline").read_bytes()
            found += [child] if b"spawn_main" in called else []
    return sorted(found)


def _shards(work: Path) -> dict[Path, tuple[int, int]]:
    """The finished shards, with what changes when one is made again."""
    status = {path: path.stat() for path in work.glob("*/shard-*.parquet")}
    return {path: (one.st_ino, one.st_mtime_ns) for path, one in status.items()}


def _results(work: Path) -> dict[str, str]:
    """Digests of all that must be alike, by name: files by their bytes, shards by their rows."""
    files = [path for pattern in FILES for path in work.glob(pattern)]
    found = {str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    for path in work.glob("*/shard-*.parquet"):
        # As text, in which NaN equals itself.
        rows = repr(pq.read_table(path).to_pylist()).encode()
        found[str(path.relative_to(work))] = hashlib.sha256(rows).hexdigest()
    return found


def report(toll: Toll) -> None:
    """Print what happened, beside its goals."""
    print(f"{toll.kills} kills ({toll.of_workers} of single workers) in {toll.rounds} rounds")
    for difference in toll.differing[:10]:
        print(difference)
    counts = {
        "outputs that differ from the uninterrupted run's": len(toll.differing),
        "finished shards made again": toll.remade,
        "cached lines bought again": toll.bought_again,
    }
    for name, count in counts.items():
        measuring.judged(f"{name}: {count} (goal 0)", count == 0)


def main() -> int:
    """Kill, compare, and print what came of it, for one worker and for two."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--conversations", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)  # what the runs that are killed are
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        build(chosen.work, chosen.workers)
        return 0
    survived = True
    for workers, kills in ((1, chosen.kills - chosen.kills // 2), (2, chosen.kills // 2)):
        with tempfile.TemporaryDirectory() as folder:
            toll = Torment(Path(folder), chosen.conversations, workers, chosen.seed).run(kills)
        print(f"workers: {workers}")
        report(toll)
        survived &= toll.survived
    return 0 if survived else 1


if __name__ == "__main__":
    sys.exit(main())
