"""What packing a version takes whose voices were never heard, beside one whose voices are known.

The bundled recordings, and the calls of FOLDER where it is given, are built with the embedded profile and packed
in turns: once with an empty cache of voices, and once with what the turn before has heard.

    python benchmarks/packing.py [FOLDER]
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command `dailytalk` sets it, read when NumPy is loaded

import measuring

from dailytalk_contiguous.publish.hub.packing import pack_version
from dailytalk_contiguous.publish.items import Shards
from dailytalk_contiguous.publish.opening import finished_items

#: The most that hearing the voices may take, as a multiple of packing without it.
GOAL = 2.0

#: How often each is packed: about an hour of conversations with the calls.
TRIES = 5


def main() -> int:
    chosen = measuring.data_parser(__doc__, optional=True).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DAILYTALK_CACHE"] = str(folder / "cache")
        built = folder / "built"
        calls = [*measuring.calls(chosen.data), *measuring.english_calls(chosen.data)]
        options = ("--profile", "embedded", "--asr-model", "base", "--language", "en")
        measuring.dailytalk("build", measuring.EXAMPLES, *calls, "--out", built, *options)
        items = finished_items(str(built))
        assert isinstance(items, Shards)
        _pack(items, folder)  # loads what is loaded once
        unheard = Seconds(0.0, 0.0)
        known = Seconds(0.0, 0.0)
        for _ in range(TRIES):
            shutil.rmtree(folder / "cache/voices")
            unheard = unheard.plus(_pack(items, folder))
            known = known.plus(_pack(items, folder))
    print(f"voices known: {known.processor:.2f} s of processor time, {known.clock:.2f} s by the clock")
    ratio = unheard.processor / known.processor
    by_clock = unheard.clock / known.clock
    figure = f"voices never heard: {ratio:.2f} times the processor time, {by_clock:.2f} times the clock's"
    met = measuring.judged(f"{figure} (goal: at most {GOAL:g})", ratio <= GOAL)
    return int(not met)


class Seconds(NamedTuple):
    """Seconds by the clock, and of processor time."""

    clock: float
    processor: float

    def plus(self, other: "Seconds") -> "Seconds":
        return Seconds(self.clock + other.clock, self.processor + other.processor)


def _pack(items: Shards, folder: Path) -> Seconds:
    """Seconds by the clock and of processor time that packing takes."""
    stage = folder / "stage"
    started = time.perf_counter()
    processor = time.process_time()
    pack_version(items, stage)
    seconds = Seconds(time.perf_counter() - started, time.process_time() - processor)
    shutil.rmtree(stage)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
