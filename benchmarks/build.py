"""`dailytalk build examples --profile embedded` as a newcomer runs it: once, and once more.

Prints the seconds of both runs, from the start of the program to its end. Goals on two cores: 60 s, and 5 s for
the second run.

    python benchmarks/build.py
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples/conversations"
GOALS = {"first run": 60.0, "second run": 5.0}


def main() -> int:
    """Run it twice in a temporary folder."""
    met = True
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dailytalk_contiguous", "build", str(EXAMPLES)]
        command += ["--out", str(Path(folder, "out")), "--profile", "embedded", "--language", "en"]
        command += ["--workers", "2", "--shard-minutes", "1", "--cache", str(Path(folder, "cache")), "--json"]
        for name, goal in GOALS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - started
            met &= seconds <= goal
            print(f"{name}: {seconds:.1f} s (goal: at most {goal:g} s)")
    print("goals met" if met else "goals MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
