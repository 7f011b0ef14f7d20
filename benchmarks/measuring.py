"""What benchmarks share: what is said in the bundled recordings, commands and their cost, and goals."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
for part in ("tests/apps/learn", "tests"):
    sys.path.insert(0, str(ROOT / part))  # what makes recordings, models and servers serves benchmarks, too
EXAMPLES = ROOT / "examples/conversations"


class Cost(NamedTuple):
    """What a command printed, and what it took with all its processes: seconds, and the largest of them in MB."""

    printed: str
    wall: float
    processor: float
    peak: float


def dailytalk(*arguments: object, **environment: str) -> Cost:
    """Run a command in a process of its own. Ends this one unless all, or all except rejects, went well."""
    command = [sys.executable, "-m", "dailytalk_contiguous", *map(str, arguments)]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        printed, complaints = (file.seek(0) or file.read() for file in (out, err))
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command[3:])} failed:\n{complaints[-2000:]}")
    return Cost(printed, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def references() -> dict[str, dict[str, Any]]:
    """What is said in each bundled recording, by its name: its duration and its utterances, with exact times."""
    files = sorted(EXAMPLES.glob("*.reference.json"))
    return {path.name.partition(".")[0]: json.loads(path.read_text(encoding="utf-8")) for path in files}


def texts(least_words: int = 1) -> list[str]:
    """The lines of the bundled recordings that have so many words, each once."""
    lines = [line["text"] for reference in references().values() for line in reference["utterances"]]
    return [line for line in dict.fromkeys(lines) if len(line.split()) >= least_words]


def judged(figure: str, met: object) -> bool:
    """Print a figure beside its goal, and whether it is met, which is given back."""
    print(f"{figure}: {'met' if met else 'MISSED'}", flush=True)
    return bool(met)
