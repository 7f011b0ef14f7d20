"""What `tag` does on CUDA beside the CPU of the same machine: words that are wrong, and how fast each stage is.

    python benchmarks/cuda.py [--copies 25] [--workers 1] [--fillers drop]

The bundled recordings are tagged under `--copies` names each, on CUDA and on the CPU with all its cores, in as
many processes as `tag` chooses, or in `--workers`. The goals are for two hours on an H100 or H200 with 16 cores; a
worker takes seconds to load its models, so fewer copies than 25 say little. The clock of a device starts after a
run that puts libraries and weights into the system's cache.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from measuring import EXAMPLES, bundled_sides, dailytalk, judged, parser, references
from real import error_rate, recognised_by_tag

#: How many times real time `tag` is to be, in as many processes as it chooses: with fillers, and without.
GOALS = {"keep": 250, "drop": 270}

#: The same with fillers in one process.
GOAL_OF_ONE = 80

#: The cards that the goals are for.
CARDS = ("H100", "H200")


def main() -> int:
    own = parser(__doc__)
    own.add_argument("--copies", type=int, default=25, help="names of each recording")
    own.add_argument("--workers", type=int, default=0, help="processes; what tag chooses by default")
    own.add_argument("--fillers", choices=[*GOALS], default="keep", help="as tag has it")
    own.add_argument("--no-cpu", action="store_true", help="leave the CPU out, which takes minutes")
    chosen = own.parse_args()
    has_cuda = torch.cuda.is_available()
    card = torch.cuda.get_device_name() if has_cuda else "no CUDA device"
    minutes = chosen.copies * sum(reference["duration"] for reference in references().values()) / 60
    print(f"{card}; {os.cpu_count()} cores; {minutes:.0f} minutes of recordings, Whisper base")
    met = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recordings").mkdir()
        for path in EXAMPLES.glob("*.flac"):
            for number in range(chosen.copies):
                shutil.copy(path, folder / "recordings" / f"{path.stem}-{number}.flac")
        if has_cuda:
            met = on_device(folder, "cuda", chosen.workers, chosen.fillers, minutes)
        if not chosen.no_cpu:
            on_device(folder, "cpu", chosen.workers, chosen.fillers, minutes)
    return 0 if met else 1


def on_device(folder: Path, device: str, workers: int, fillers: str, minutes: float) -> bool:
    """Tag the recordings on a device and print how fast and how well; whether the goal of the card is met."""
    settings = ["--profile", "embedded", "--language", "en", "--device", device, "--fillers", fillers]
    if workers:
        settings += ["--workers", str(workers)]
    work = folder / device
    dailytalk("tag", EXAMPLES / "old_friends.flac", "--out", folder / f"{device}-first", *settings)
    cost = dailytalk("tag", folder / "recordings", "--out", work, *settings)
    sides = bundled_sides()
    rate = error_rate([side.text for side in sides], recognised_by_tag(work, sides, "-0"))
    print(f"{device}: {rate.share:.1%} of {rate.words} words wrong")
    speed = 60 * minutes / cost.wall
    figure = f"{device}: {speed:.0f} x real time, {cost.wall:.0f} s, {cost.processor:.0f} s of processor time"
    met = True
    is_judged = device == "cuda" and any(card in torch.cuda.get_device_name() for card in CARDS)
    if is_judged and workers == 0:
        met = judged(f"{figure} (goal {GOALS[fillers]} x)", speed >= GOALS[fillers])
    elif is_judged and workers == 1 and fillers == "keep":
        met = judged(f"{figure} (goal {GOAL_OF_ONE} x)", speed >= GOAL_OF_ONE)
    else:
        print(figure)
    print_stages(work)
    return met


def print_stages(work: Path) -> None:
    stages = json.loads((work / "run.json").read_text())["time"]["stages"]
    for stage, took in stages.items():
        if took[0] >= 0.1:
            print(f"  {stage:16}{took[0]:8.1f} s")


if __name__ == "__main__":
    sys.exit(main())
