"""Whether `dailytalk probe` finds the bits that are in talk, and what is wrong with conversations.

Talks of five minutes are made by a law of which it is known what can be foreseen (`talk_law.py`). 20 hours of
them are probed, with the curve of learning; 10 hours in which sides of two recordings are paired, and in which the
clock of one is half a second off at the end (drift), among others; and those in which nothing can be foreseen of
one from the other: partners exchanged, stretches shuffled, and metronomes. What can be heard (a fall of pitch
where turns end) is in 10 hours of sound, and not in 3. At last two real calls (`--calls`, a speaker a channel).

The margins of `apps.probe.pairing` were chosen on talks of other seeds.

    python benchmarks/probe.py [--calls FOLDER]   # about half an hour
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import dailytalk, judged
from numpy.typing import NDArray
from talk_law import TalkLaw

from dailytalk_contiguous.apps.probe.activity import RATE, Activity
from dailytalk_contiguous.apps.probe.pairing import SHIFTED, UNPAIRED
from dailytalk_contiguous.core.audio import encoded_sound, to_pcm
from dailytalk_contiguous.core.schema import AS_RECORDED, BUILT, CHANNELS, TIMELINE
from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.core.utterance import UTTERANCE

ROOT = Path(__file__).parents[1]

#: Seconds of a talk, Hz of its sound, and seconds of the drift.
SECONDS = 300
SAMPLE_RATE = 8000
DRIFT = 0.5

#: Goals: the share of what can be foreseen by which `both` may be off, of wrong talks that are found and of right
#: ones that are named, and minutes and MB of 10 hours.
OFF = 0.05
FOUND = 0.95
NAMED = 0.02
MINUTES = 15
PEAK = 2048


def row_of(name: str, active: Activity, sound: bytes | None = None) -> dict[str, Any]:
    """A finished conversation as it was recorded, with an utterance for each stretch of speech."""
    utterances = [
        dict.fromkeys(UTTERANCE)
        | {"utterance_id": f"{name}/{channel}/{number:04d}", "channel": channel, "source_channel": channel}
        | {"start": first / RATE, "end": last / RATE, "source_start": first / RATE, "source_end": last / RATE}
        | {"kind": "speech", "status": "kept", "event": "turn", "text": "", "text_raw": ""}
        for side, channel in enumerate(CHANNELS)
        for number, (first, last) in enumerate(true_runs(active[:, side]).tolist())
    ]
    seconds = len(active) / RATE
    return dict.fromkeys(BUILT) | {
        "conversation_id": name,
        "recording_id": name,
        "audio": {"bytes": sound, "path": None},
        "sample_rate": SAMPLE_RATE,
        "duration": seconds,
        "source_duration": seconds,
        "language": "en",
        "utterances": sorted(utterances, key=lambda said: said["start"]),
        "alignments": [],
        "sounds": [],
        "speakers": {"left": None, "right": None},
        "provenance": "{}",
        "timeline": dict.fromkeys(TIMELINE) | {"mode": AS_RECORDED},
    }


def write(folder: Path, talks: Sequence[Activity], sounds: Sequence[bytes] = ()) -> Path:
    (folder / "dataset").mkdir(parents=True)
    with pq.ParquetWriter(folder / "dataset" / "shard-0.parquet", BUILT.arrow_schema) as writer:
        for number, active in enumerate(talks):
            row = row_of(f"talk{number:03d}", active, sounds[number] if sounds else None)
            writer.write_table(pa.Table.from_pylist([row], schema=BUILT.arrow_schema))
    return folder


def probed(folder: Path, *options: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(dailytalk("probe", folder, "--json", "--workers", "2", *options).printed)
    return record


def holds_zero(figure: dict[str, float] | None) -> bool:
    return figure is None or figure["low"] <= 0 <= figure["high"]


def shown(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "too little"
    return f"{figure['bits_a_second']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def drifted(active: Activity, seconds: float) -> Activity:
    """The right side is late by nothing at the start, and by so many seconds at the end."""
    at = np.arange(len(active))
    source = np.clip(np.rint(at - seconds * RATE * at / len(at)).astype(int), 0, len(at) - 1)
    return np.stack((active[:, 0], active[source, 1]), axis=1)


def shuffled(active: Activity, chance: np.random.Generator) -> Activity:
    """Each side's own stretches of speech and of silence, in another order."""
    sides = []
    for side in (0, 1):
        edges = np.concatenate(([0], np.flatnonzero(np.diff(active[:, side])) + 1, [len(active)]))
        lengths = np.diff(edges)
        speaks = bool(active[0, side])
        lengths[0::2], lengths[1::2] = chance.permutation(lengths[0::2]), chance.permutation(lengths[1::2])
        sides.append(np.repeat((np.arange(len(lengths)) % 2 == 0) == speaks, lengths))
    return np.stack(sides, axis=1)


def metronome(frames: int, chance: np.random.Generator) -> Activity:
    """Two who speak for 2 s in every 4.4, each from a moment of their own on."""
    at = np.arange(frames)[:, None] + chance.integers(88, size=2)
    return np.asarray(at % 88 < 40)


def exchanged(talks: Sequence[Activity], step: int = 1) -> list[Activity]:
    return [np.stack((own[:, 0], talks[(n + step) % len(talks)][:, 1]), axis=1) for n, own in enumerate(talks)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=Path, default=ROOT.parent / "shared/data/spokenwoz")
    calls = parser.parse_args().calls
    law = TalkLaw()
    chance = np.random.default_rng(2026)
    frames = SECONDS * RATE

    def talks(hours: float) -> list[NDArray[np.int64]]:
        return [law.talk(frames, chance) for _ in range(round(hours * 3600 / SECONDS))]

    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        states = talks(20)
        of_law = [law.active[each] for each in states]
        record = probed(write(work / "law", of_law))["timelines"]["recorded"]
        known = record["both"]["bits_a_second"]
        best = law.foreseeable(states)[0]
        print(f"own {shown(record['own'])}, both {shown(record['both'])}, exchanged {shown(record['exchanged'])}")
        judged(
            f"20 h: both {known:.3f} of {best:.3f} bits a second that can be foreseen, {known / best:.1%} (95%)",
            abs(known / best - 1) <= OFF,
        )
        curve = [f"{point['hours']:.2g} h {point['bits_a_second'] / best:.1%}" for point in record["curve"]]
        print(f"by hours of training: {', '.join(curve)}")
        named = len(record["found"])
        judged(f"right talks named: {named} of {len(states)} (2% at most)", named <= NAMED * len(states))

        clean = [law.active[each] for each in talks(10)]
        count = len(clean) // 10
        wrong = exchanged(clean[:count])
        off = [drifted(active, DRIFT * (-1) ** number) for number, active in enumerate(clean[count : 2 * count])]
        record = probed(write(work / "wrong", [*wrong, *off, *clean[2 * count :]]))["timelines"]["recorded"]
        kinds = {int(found["id"].removeprefix("talk")): found["kind"] for found in record["found"]}
        for what, kind, numbers in (
            ("sides of two recordings", UNPAIRED, range(count)),
            (f"a drift of {DRIFT} s", SHIFTED, range(count, 2 * count)),
        ):
            found = sum(kinds.get(number) == kind for number in numbers)
            judged(f"{what}: {found} of {count} found (95%)", found >= FOUND * count)
        named = sum(number >= 2 * count for number in kinds)
        right = len(clean) - 2 * count
        judged(f"right talks among them named: {named} of {right} (2% at most)", named <= NAMED * right)

        some = [law.active[each] for each in talks(3)]
        for name, control in {
            # With those far away: the probe exchanges neighbours, and would bring some of them together again.
            "partners exchanged": exchanged(some, len(some) // 2),
            "stretches shuffled": [shuffled(active, chance) for active in some],
            "metronomes, random partners": [metronome(frames, chance) for _ in some],
        }.items():
            figure = probed(write(work / name, control))["timelines"]["recorded"]["contingency"]
            judged(f"{name}: contingency {shown(figure)} (0 is inside)", holds_zero(figure))

        for falls, hours in ((True, 10.0), (False, 3.0)):
            states = talks(hours)
            sounds = [
                encoded_sound(to_pcm(law.sound(each, SAMPLE_RATE, falls, chance)), SAMPLE_RATE, "FLAC")
                for each in states
            ]
            folder = write(work / f"falls-{falls}", [law.active[each] for each in states], sounds)
            cost = dailytalk("probe", folder, "--json", "--workers", "2")
            record = json.loads(cost.printed)["timelines"]["recorded"]
            cues = record["cues"]
            figures = f"left ends {shown(record['cues_left'])}, elsewhere {shown(record['cues_elsewhere'])}"
            if falls:
                activity, all_told = law.foreseeable(states)
                share = cues["bits_a_second"] / (all_told - activity)
                judged(
                    f"a fall at each end: cues {shown(cues)}, {share:.0%} of what it tells; {figures} (above 0)",
                    cues["low"] > 0,
                )
                minutes = cost.wall / 60
                judged(f"10 h with sound: {minutes:.1f} minutes on 2 cores ({MINUTES})", minutes <= MINUTES)
                judged(
                    f"10 h with sound: {cost.peak:,.0f} MB in the largest process ({PEAK:,})", cost.peak <= PEAK
                )
            else:
                judged(f"no fall: cues {shown(cues)}; {figures} (0 is inside)", holds_zero(cues))

        if calls.is_dir():
            options = (
                "--profile",
                "embedded",
                "--asr-model",
                "none",
                "--revoice",
                "none",
                "--sample-rate",
                "source",
            )
            dailytalk("build", calls, "--out", work / "calls", *options)
            command = [sys.executable, "-m", "dailytalk_contiguous", "probe", str(work / "calls")]
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            print(f"calls: {(said.stdout or said.stderr).strip().splitlines()[-1]}")


if __name__ == "__main__":
    main()
