"""Processor seconds of the commands that only look at things, from start to end: the least of several tries.

The least, because what else runs on the machine only ever adds to it.

    python benchmarks/startup.py
"""

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from measuring import dailytalk, judged, parser

from dailytalk_contiguous.run.events import EVENTS, Run, append, now

#: Commands, and the most processor seconds that each may take.
GOALS = {"--help": 0.4, "--version": 0.4, "status": 1.0, "doctor": 1.0}

#: A run that has begun, for `status`.
STARTED = asdict(Run("r", "tag", "far", 1, now(), now(), shards=2))


def main() -> int:
    parser(__doc__).parse_args()
    code = 0
    with tempfile.TemporaryDirectory() as folder:
        append(Path(folder) / EVENTS, STARTED)
        for name, goal in GOALS.items():
            arguments = (name, folder) if name == "status" else (name,)
            least = min(dailytalk(*arguments).processor for _ in range(5))
            code |= not judged(f"{name:<10} {least:.2f} s of processor time (goal: under {goal})", least < goal)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
