"""Sides of a recording that are out of step: shifts that are found, missed and wrong, and the cost of the search.

    python benchmarks/out_of_step.py [--calls FOLDER …]

One side of each recording is delayed by 0.3 to 10 s. Shifts are counted by their size, and by what tells them: a
leak of the other side (its own, or one that is mixed in), or a transcript of both. Limits were set on the bundled
conversations, and are reported on other calls. A call with an echo 0.14 s behind its source tells a shift that is
wrong by as much.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measuring
import numpy as np
from scipy.signal import fftconvolve
from sides import Clock

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, read_pcm, to_pcm
from dailytalk_contiguous.core.side_shift import shift_by_leak, shift_by_transcript
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.stages.segment import Segment

#: Seconds by which a side is delayed.
DELAYS = (0.3, 0.5, 1.0, 3.0, 10.0)

#: Seconds by which a shift that is found may be wrong.
TOLERANCE = 0.1

#: dB of leaks that are mixed in.
LEAKS_DB = (-20, -35, -50)

#: A call with a leak of its own: two microphones in one room.
LEAKY_CALL = "two_mics_bleed"

#: Least seconds of a recording that tells anything.
LEAST_SECONDS = 20.0


@dataclass
class Call:
    """A recording in step: its sound, 16 kHz int16, shape (n, 2), its cues, and the speech of each side."""

    name: str
    pcm: Any
    cues: list[dict[str, Any]]
    speech: dict[str, list[tuple[float, float]]]


@dataclass
class Count:
    """How often a shift was found within `TOLERANCE`, found wrong, and missed; in step, any is wrong."""

    found: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, measured: float | None, delay: float) -> None:
        """Count what was measured of sides that are out of step by `delay` seconds."""
        if measured is None:
            self.missed += 1
        elif abs(measured - delay) <= TOLERANCE and delay:
            self.found += 1
        else:
            self.wrong += 1


def call_of(row: dict[str, Any], clock: Clock) -> Call:
    """The call of a row of a folder."""
    with clock.timed("Segment"):
        segmented = Segment().row(row)
    pcm = read_pcm(row["audio"], row["offset"], row["duration"])
    with clock.timed("leak"):
        shift_by_leak(pcm[:, 0], pcm[:, 1])
    speech: dict[str, list[tuple[float, float]]] = {"left": [], "right": []}
    for channel, start, end in zip(segmented["channel"], segmented["start"], segmented["end"], strict=True):
        speech[channel].append((start, end))
    cues = row["given"]
    reference = measuring.references().get(row["conversation_id"])
    if reference:
        cues = [{"words": [], **utterance} for utterance in reference["utterances"]]
    return Call(row["conversation_id"], pcm, cues, speech)


def calls_in(folders: Sequence[Path], clock: Clock) -> list[Call]:
    """The recordings of folders that have two speakers and are long enough."""
    calls = []
    for folder in folders:
        for row in folder_rows(FolderConfig(inputs=(str(folder),), language="en", max_conversation=0.0)):
            if row["problem"] or row["duration"] < LEAST_SECONDS:
                print(f"  not used: {row['conversation_id']} ({row['problem'] or 'short'})")
                continue
            calls.append(call_of(row, clock))
    return calls


def delayed(pcm: Any, delay: float) -> Any:
    """A recording whose right side is later by `delay` seconds, or its left one, if that is below 0."""
    n_late = round(abs(delay) * ANALYSIS_RATE)
    left, right = ((0, n_late), (n_late, 0)) if delay > 0 else ((n_late, 0), (0, n_late))
    return np.stack((np.pad(pcm[:, 0], left), np.pad(pcm[:, 1], right)), axis=1)


def with_leak(pcm: Any, decibels: float, into: Sequence[int]) -> Any:
    """A recording with room tone, and in some of its sides (0 left, 1 right) the other one through a room."""
    generator = np.random.default_rng(0)
    room = generator.standard_normal(1920) * np.exp(-np.arange(1920) / 213)
    room /= np.sqrt(np.square(room).sum())
    sound = pcm / 32768.0
    mixed = sound + 3e-4 * generator.standard_normal(sound.shape)
    for side in into:
        leak = fftconvolve(sound[:, 1 - side], room)[: len(sound)]
        mixed[:, side] += 10 ** (decibels / 20) * leak
    return to_pcm(mixed.astype(np.float32))


def moved(speech: dict[str, list[tuple[float, float]]], delay: float) -> dict[str, list[tuple[float, float]]]:
    """The speech of both sides of a recording of which one is delayed, as `delayed` does."""
    later = {"left": max(0.0, -delay), "right": max(0.0, delay)}
    return {
        side: [(start + later[side], end + later[side]) for start, end in spans] for side, spans in speech.items()
    }


def count_shifts(calls: Sequence[Call]) -> dict[str, dict[float, Count]]:
    """Counts by what tells a shift, and by its size; 0 is in step."""
    counts: dict[str, dict[float, Count]] = defaultdict(lambda: defaultdict(Count))
    delays = (0.0, *DELAYS, *(-delay for delay in DELAYS))
    for call in calls:
        as_recorded = "as recorded"
        if call.name == LEAKY_CALL:
            as_recorded = "leak of two microphones in a room"
        leaking = {as_recorded: call.pcm}
        if call.name != LEAKY_CALL:
            for decibels in LEAKS_DB:
                leaking[f"leak {decibels} dB, both ways"] = with_leak(call.pcm, decibels, (0, 1))
                leaking[f"leak {decibels} dB, into the right side"] = with_leak(call.pcm, decibels, (1,))
        for delay in delays:
            for way, pcm in leaking.items():
                shifted = delayed(pcm, delay)
                measured = shift_by_leak(shifted[:, 0], shifted[:, 1])
                counts[way][delay].add(measured, delay)
            if call.cues:
                speech = moved(call.speech, delay)
                counts["transcript"][delay].add(shift_by_transcript(call.cues, speech), delay)
    return counts


def print_counts(counts: dict[str, dict[float, Count]]) -> None:
    for way, by_delay in counts.items():
        parts = []
        for delay, count in sorted(by_delay.items(), key=lambda item: (abs(item[0]), item[0])):
            if delay:
                parts.append(f"{delay:+g} s {count.found}/{count.missed}/{count.wrong}")
            else:
                parts.append(f"in step: {count.wrong} false of {count.wrong + count.missed}; found/missed/wrong:")
        print(f"  {way}: {' '.join(parts)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=Path, nargs="+", default=[], help="folders of other recordings in step")
    chosen = parser.parse_args()
    groups = {"bundled (limits were set on these)": [measuring.EXAMPLES], "others": chosen.calls}
    false = 0
    for title, folders in groups.items():
        clock = Clock()
        calls = calls_in(folders, clock)
        counts = count_shifts(calls)
        print(f"{title}: {', '.join(call.name for call in calls)}")
        print_counts(counts)
        false += sum(by_delay[0.0].wrong for by_delay in counts.values())
        if calls:
            spent = {name: round(seconds, 2) for name, seconds in clock.cpu.items()}
            print(f"  seconds of processor: {json.dumps(spent)}")
    return int(not measuring.judged(f"{false} false alarms (none allowed)", not false))


if __name__ == "__main__":
    sys.exit(main())
