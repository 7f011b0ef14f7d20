"""Processor seconds of what only looks at things: commands from start to end, and the import of `load`.

Each is the least of several tries, because what else runs on the machine only ever adds to it. Python keeps the
bytecode of what it imports, as an installation has it. `load` is measured beside `datasets`, which it needs.

    python benchmarks/startup.py
"""

import sys
import tempfile
from pathlib import Path

from measuring import dailytalk, judged, parser, python

from dailytalk_contiguous.run.lock import Holder, lock_of

#: Commands, and the most processor seconds that each may take.
GOALS = {"--help": 0.4, "--version": 0.4, "build --help": 0.9, "status": 1.0, "doctor": 1.0}

#: The most processor seconds that the import of `load` may take, as a multiple of those of `datasets`.
LOAD_GOAL = 1.15

#: How often each is tried.
TRIES = 5

#: Switches on what some containers switch off.
WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}


def main() -> int:
    parser(__doc__).parse_args()
    code = 0
    with tempfile.TemporaryDirectory() as folder:
        lock = lock_of(Path(folder), (1, 1))
        lock.touch()
        Holder("tag", host="far").write(lock)
        for name, goal in GOALS.items():
            arguments = name.split()
            if name == "status":
                arguments.append(folder)
            least = min(dailytalk(*arguments, **WITH_BYTECODE).processor for _ in range(TRIES))
            figure = f"{name:<12} {least:.2f} s of processor time (goal: under {goal})"
            code |= not judged(figure, least < goal)
    of_load = []
    of_datasets = []
    for _ in range(TRIES):
        of_load.append(python("-c", "from dailytalk_contiguous import load", **WITH_BYTECODE).processor)
        of_datasets.append(python("-c", "import datasets", **WITH_BYTECODE).processor)
    ratio = min(of_load) / min(of_datasets)
    figure = f"import load  {ratio:.2f} times import datasets (goal: under {LOAD_GOAL})"
    code |= not judged(figure, ratio < LOAD_GOAL)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
