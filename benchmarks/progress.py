"""Whether the time left that a run shows is true: the bundled recordings tagged on a terminal, each look recorded.

What the bar shows is read from a pseudo-terminal, and `dailytalk status` is asked beside it. Once the run has
ended, every time left that was shown from the second minute on is held against the truth: it must be within a
factor of two of it, or within five seconds, where what is left is hardly more than that.

    python benchmarks/progress.py --copies 4
"""

import argparse
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from select import select
from typing import NamedTuple

from dailytalk_contiguous.cli.terminal import Console

ROOT = Path(__file__).resolve().parents[1]

#: Seconds of a run in which nothing is judged, and between two looks of `status`.
FIRST, PAUSE = 60.0, 5.0

#: How far from the truth a time left may be: a factor, or seconds.
FACTOR, SLACK = 2.0, 5.0

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_LEFT = re.compile(r"([\d.]+) (s|min|h) left")


class Look(NamedTuple):
    """A time left that was shown, in seconds, and when, in seconds since the start. `where`: bar or status."""

    where: str
    at: float
    left: float


def record(command: list[str], out: Path) -> tuple[list[Look], float]:
    """Run a command on a terminal of 100 columns; what it showed, and the seconds that it took."""
    looks: list[Look] = []
    leader, follower = pty.openpty()
    environment = os.environ | {"COLUMNS": "100", "LINES": "30", "TERM": "xterm"}
    start = asked = time.monotonic()
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    while process.poll() is None:
        if select([leader], [], [], 0.5)[0]:
            try:
                shown = os.read(leader, 1 << 16).decode("utf-8", "replace")
            except OSError:  # the other end is closed
                break
            at = time.monotonic() - start
            looks += [Look("bar", at, float(left) * _UNITS[unit]) for left, unit in _LEFT.findall(shown)[-1:]]
        if time.monotonic() - asked > PAUSE:
            asked = time.monotonic()
            looks += ask(out, start)
    process.wait()
    os.close(leader)
    return looks, time.monotonic() - start


def ask(out: Path, start: float) -> list[Look]:
    """What `dailytalk status` says of the run that works now."""
    command = [sys.executable, "-m", "dailytalk_contiguous", "status", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    runs = json.loads(done.stdout)["runs"] if done.returncode == 0 else []
    at = time.monotonic() - start
    lefts = [run["seconds_left"] for run in runs if run["state"] == "running"]
    return [Look("status", at, left) for left in lefts if left is not None]


def judge(looks: list[Look], took: float) -> int:
    """Print how far from the truth the looks were, a line a minute; 1 if one was too far."""
    wrong = 0
    for where in ("bar", "status"):
        judged = [look for look in looks if look.where == where and look.at >= FIRST]
        if not judged:
            Console().text(f"{where}: no time left was shown from the second minute on")
            continue
        ratios = [(look.left / max(took - look.at, 1e-3), look) for look in judged]
        false = [look for ratio, look in ratios if not is_true(look, took)]
        wrong += len(false)
        worst = [ratio for ratio, look in ratios if abs(look.left - (took - look.at)) > SLACK] or [1.0]
        Console().text(
            f"{where}: {len(judged)} times, from {judged[0].at:.0f} s on; {min(worst):.2f} to {max(worst):.2f} "
            f"of the truth where it is more than {SLACK:g} s off; {len(false)} outside of a factor of {FACTOR:g}"
        )
        for look in false[:5]:
            Console().text(f"  at {look.at:.0f} s: {look.left:.0f} s, and it was {took - look.at:.0f} s")
    return int(wrong > 0)


def is_true(look: Look, took: float) -> bool:
    """Whether a time left is within a factor of the truth, or near enough."""
    truth = took - look.at
    return truth / FACTOR <= look.left <= truth * FACTOR or abs(look.left - truth) <= SLACK


def main() -> int:
    """Record a run and judge it."""
    options = argparse.ArgumentParser(description="Whether the time left that a run shows is true.")
    options.add_argument("--copies", type=int, default=2, help="times that the bundled recordings are tagged")
    options.add_argument("--workers", type=int, default=1)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="progress-") as folder:
        source, out = Path(folder) / "in", Path(folder) / "out"
        source.mkdir()
        for path in sorted((ROOT / "examples/conversations").glob("*.flac")) + sorted(
            (ROOT / "examples/conversations").glob("*.wav")
        ):
            for copy in range(chosen.copies):
                shutil.copyfile(path, source / f"{path.stem}-{copy}{path.suffix}")
        command = [sys.executable, "-m", "dailytalk_contiguous", "tag", str(source), "--out", str(out)]
        command += ["--profile", "embedded", "--language", "en", "--workers", str(chosen.workers)]
        looks, took = record(command, out)
        Console().text(
            f"{len(list(source.iterdir()))} recordings tagged in {took:.0f} s with --workers {chosen.workers}"
        )
        return judge(looks, took)


if __name__ == "__main__":
    sys.exit(main())
