"""What `tag` does on CUDA beside the CPU of the same machine: words that are wrong, and how fast each stage is.

    python benchmarks/cuda.py [--whisper base] [--copies 24] [--workers 8]

The bundled recordings are tagged under `--copies` names each, on CUDA and on the CPU with all its cores, in as
many processes as `tag` chooses, or in `--workers`. The goal is 250 times real time on an H100 with 16 cores; a
worker takes seconds to load its models, so fewer copies than 24 say little. The clock of a device starts after a
run that puts libraries and weights into the system's cache. The precision of the affect model on CUDA is measured
by `benchmarks/affect.py --device cuda`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import torch
from measuring import EXAMPLES, dailytalk, judged, references
from real import error_rate, lines_of, said_in_recordings

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.run.workers import bytes_on_gpu, workers_here

#: How many times real time `tag` is to be on an H100.
GOAL = 250

#: Seconds between two looks at the free memory of a GPU.
LOOK_SECONDS = 0.1


class GpuMemory:
    """How much memory of the first GPU was in use at most in a block, beside what was in use before it."""

    def __init__(self) -> None:
        self.most_bytes = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        if not torch.cuda.is_available():
            yield
            return
        free_before, _ = torch.cuda.mem_get_info()
        ended = Event()

        def look() -> None:
            while not ended.wait(LOOK_SECONDS):
                free, _ = torch.cuda.mem_get_info()
                self.most_bytes = max(self.most_bytes, free_before - free)

        thread = Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whisper", default="base", help="a size, or a folder of CTranslate2's weights")
    parser.add_argument("--copies", type=int, default=24, help="names of each recording")
    parser.add_argument("--workers", type=int, default=0, help="processes; what tag chooses by default")
    parser.add_argument("--no-cpu", action="store_true", help="leave the CPU out, which takes minutes")
    chosen = parser.parse_args()
    has_cuda = torch.cuda.is_available()
    card = torch.cuda.get_device_name() if has_cuda else "no CUDA device"
    minutes = chosen.copies * sum(reference["duration"] for reference in references().values()) / 60
    whisper = Path(chosen.whisper).name
    print(f"{card}; {os.cpu_count()} cores; {minutes:.0f} minutes of recordings, Whisper {whisper}")
    met = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_recordings(folder / "recordings", chosen.copies)
        if has_cuda:
            met = on_device(folder, "cuda", chosen.whisper, chosen.workers, minutes)
        if not chosen.no_cpu:
            on_device(folder, "cpu", chosen.whisper, chosen.workers, minutes)
    return 0 if met else 1


def copy_recordings(source: Path, copies: int) -> None:
    """Copy each bundled recording under so many names."""
    source.mkdir()
    for path in EXAMPLES.glob("*.flac"):
        for number in range(copies):
            shutil.copy(path, source / f"{path.stem}-{number}.flac")


def on_device(folder: Path, device: str, whisper: str, workers: int, minutes: float) -> bool:
    """Tag the recordings on a device and print how fast and how well; whether the goal of an H100 is met."""
    settings = ["--profile", "embedded", "--language", "en", "--asr-model", whisper, "--device", device]
    if workers:
        settings += ["--workers", str(workers)]
    work = folder / device
    dailytalk("tag", EXAMPLES / "old_friends.flac", "--out", folder / f"{device}-first", *settings)
    memory = GpuMemory()
    with memory.watched():
        cost = dailytalk("tag", folder / "recordings", "--out", work, *settings)
    print_words(work, device)
    speed = 60 * minutes / cost.wall
    figure = f"{device}: {speed:.0f} x real time, {cost.wall:.0f} s, {cost.processor:.0f} s of processor time"
    met = True
    if device == "cuda" and "H100" in torch.cuda.get_device_name():
        met = judged(f"{figure} (goal {GOAL} x)", speed >= GOAL)
    else:
        print(figure)
    if device == "cuda":
        print_memory(work, whisper, workers, memory)
    print_stages(work)
    return met


def print_words(work: Path, device: str) -> None:
    texts = said_in_recordings()
    lines = lines_of(work)
    recognised = []
    for path, side in texts:
        of_side = [
            line for line in lines if (line["conversation_id"], line["channel"]) == (f"{path.stem}-0", side)
        ]
        recognised.append(" ".join(line["text_raw"] for line in of_side))
    rate = error_rate(texts.values(), recognised)
    print(f"{device}: {rate.share:.1%} of {rate.words} words wrong")


def print_memory(work: Path, whisper: str, workers: int, memory: GpuMemory) -> None:
    """Print what the workers took on the GPU beside what `run.workers` expects of each."""
    stages = tag_stages("embedded", asr_model=whisper, device="cuda")
    n_shards = len([*(work / "tagged").glob("*.parquet")])
    n_workers = workers or min(n_shards, workers_here(stages))
    each = memory.most_bytes / n_workers / 1e9
    expected = bytes_on_gpu(stages) / 1e9
    shared = f"{n_workers} workers for {n_shards} shards"
    print(f"{shared}, at most {each:.1f} GB of the GPU each (expected {expected:.1f})")


def print_stages(work: Path) -> None:
    stages = json.loads((work / "run.json").read_text())["time"]["stages"]
    for stage, took in stages.items():
        if took[0] >= 0.1:
            print(f"  {stage:16}{took[0]:8.1f} s")


if __name__ == "__main__":
    sys.exit(main())
