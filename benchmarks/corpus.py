"""`dailytalk corpus` over a look-alike of all of CREMA-D, killed once in the middle.

Makes clips with CREMA-D's names out of lines of the bundled recordings (2.5 s on average, as the corpus has), runs
the command without a recogniser and without an affect model (words share the voiced time), kills it when half of
the clips are measured, and runs it again. Goals on two cores: 7,442 clips in under 10 minutes in both runs
together, peak memory of all processes under 1 GB, nothing made twice, ids in = ids out + rejects. Memory is the
sum of proportional set sizes (shared pages count once).

    python benchmarks/corpus.py [--clips 7442] [--workers 2]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
RATE = 16000
GOAL_SECONDS, GOAL_MB, OF_CLIPS = 600.0, 1000.0, 7442
SENTENCES = ("TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "SAD")
LEVELS = ("LO", "MD", "HI")


class Used(NamedTuple):
    """What a run took: seconds by the clock and of all processors, and its peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def main() -> int:
    """Run it in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=OF_CLIPS)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name, "source"), Path(name, "out")
        seconds = make_corpus(source, chosen.clips)
        print(f"{chosen.clips} clips, {seconds / 3600:.2f} h, {chosen.workers} workers")
        command = [sys.executable, "-m", "dailytalk_contiguous", "corpus", "crema_d", str(source)]
        command += ["--out", str(out), "--profile", "embedded", "--asr-model", "none", "--affect-model", "none"]
        command += ["--workers", str(chosen.workers), "--json"]
        shards = max(1, round(seconds / 500 / 2))
        first = run(command, lambda: len(list((out / "measured").glob("shard-*.parquet"))) >= shards)
        before = times(out)
        second = run(command, lambda: False)
        made_twice = sum(times(out).get(path) != time for path, time in before.items())
        third = run(command, lambda: False)
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    counts = record["counts"]
    told = {"until it was killed": first, "from there to the end": second, "once more, with nothing to do": third}
    for what, used in told.items():
        print(f"{what}: {used.wall:.1f} s, {used.cpu / 60:.1f} CPU minutes, peak {used.peak:.0f} MB")
    goal = GOAL_SECONDS * chosen.clips / OF_CLIPS
    wall, peak = first.wall + second.wall, max(used.peak for used in told.values())
    return judge(
        {
            f"both runs {wall:.1f} s (goal: under {goal:.0f} s)": wall < goal,
            f"peak memory {peak:.0f} MB (goal: under {GOAL_MB:.0f} MB)": peak < GOAL_MB,
            f"{made_twice} of {len(before)} shards made twice (goal: none)": not made_twice and bool(before),
            f"{counts['clips']} clips + {counts['rejects']} rejects of {counts['read']} files (goal: all)": (
                counts["clips"] + counts["rejects"] == counts["read"] == chosen.clips
            ),
        }
    )


def judge(facts: dict[str, bool]) -> int:
    """Print each fact with whether its goal is met; the exit code."""
    for fact, met in facts.items():
        print(f"{fact}: {'met' if met else 'MISSED'}")
    return 0 if all(facts.values()) else 1


def make_corpus(folder: Path, count: int) -> float:
    """Write clips with CREMA-D's names, without its tables; their seconds together."""
    folder.mkdir()
    lines = spoken_lines()
    noise = np.random.default_rng(0)
    names = [f"{sentence}_{emotion}_XX" for sentence, emotion in product(SENTENCES, (*EMOTIONS, "NEU"))]
    names += [
        "IEO_NEU_XX",
        *(f"IEO_{emotion}_{level}" for emotion, level in product(EMOTIONS, ("LO", "MD", "HI"))),
    ]
    total = 0.0
    for number, (actor, name) in enumerate(product(range(1001, 1092), names)):
        if number == count:
            break
        samples = np.pad(lines[number % len(lines)], round(0.3 * RATE))
        samples = samples + 0.001 * noise.standard_normal(len(samples)).astype(np.float32)
        soundfile.write(folder / f"{actor}_{name}.wav", samples, RATE, subtype="PCM_16")
        total += len(samples) / RATE
    return total


def spoken_lines() -> list[np.ndarray]:
    """Lines of the bundled recordings, at most 2 s of each."""
    lines = []
    for path in sorted((ROOT / "examples/conversations").glob("*.reference.json")):
        samples, rate = soundfile.read(
            path.with_name(path.name.replace(".reference.json", ".flac")), dtype="float32"
        )
        assert rate == RATE
        for said in json.loads(path.read_text(encoding="utf-8"))["utterances"]:
            start, end = said["start"], min(said["end"], said["start"] + 2.0)
            if end - start >= 1.0:
                side = ("left", "right").index(said["channel"])
                lines.append(samples[round(start * RATE) : round(end * RATE), side])
    return lines


def run(command: list[str], enough: Callable[[], bool]) -> Used:
    """Run a command in a session of its own until it ends, or `enough()` says to kill all of it."""
    started, peak = time.perf_counter(), 0.0
    cpu: dict[int, float] = {}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None:
        held = 0.0
        for pid in members(process.pid):
            used = usage(pid)
            held += used[0]
            cpu[pid] = max(cpu.get(pid, 0.0), used[1])
        peak = max(peak, held)
        if enough():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            break
        time.sleep(0.25)
    else:
        if process.returncode not in (0, 3):
            raise SystemExit(f"the command failed with exit code {process.returncode}")
    return Used(time.perf_counter() - started, sum(cpu.values()), peak)


def members(session: int) -> list[int]:
    """Processes of a session."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[3]) == session:
                found.append(int(folder.name))
    return found


def usage(pid: int) -> tuple[float, float]:
    """Proportional set size in MB, and CPU seconds so far; zeros for a process that has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    pss = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return pss / 1024, (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def times(out: Path) -> dict[Path, int]:
    """When each shard was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("measured/shard-*.parquet")}


if __name__ == "__main__":
    sys.exit(main())
