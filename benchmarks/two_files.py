"""Two mono files of one call, by the names that recorders give them: whether they become its two sides.

    python benchmarks/two_files.py

Each pair of files stands in a folder of its own, with another level on each side, so that exchanged sides are
seen. Names that must not be paired (takes, parts, three of a kind) stand beside them.
"""

import sys
import tempfile
from pathlib import Path

import measuring
import numpy as np
import soundfile

from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows

#: Names of the left and the right file.
PAIRED = [
    ("call.left", "call.right"),
    ("call_1", "call_2"),
    ("call.ch0", "call.ch1"),
    ("callL", "callR"),
    ("4711-agent", "4711-customer"),
    ("20260101_caller", "20260101_callee"),
    ("q-1509-1764-in", "q-1509-1764-out"),
    ("call7_rx", "call7_tx"),
    ("meeting_mic", "meeting_system"),
    ("local", "remote"),
    ("ep12.host", "ep12.guest"),
    ("call_leg1", "call_leg2"),
    ("call_spk0", "call_spk1"),
    ("call_speaker1", "call_speaker2"),
    ("call_channel_0", "call_channel_1"),
    ("call-track-1", "call-track-2"),
    ("1-anna", "2-ben"),
    ("anna_lee_riverside_audio", "ben_ort_riverside_audio"),
    ("audioAnnaLee11234567", "audioBenOrt21234567"),
    ("V00_S0644_I00000129_P0947", "V00_S0644_I00000129_P0948"),
]

#: Names of files none of which is a side of another.
APART = [
    ("take_1", "take_2"),
    ("part1", "part2"),
    ("call_1", "call_2", "call_3"),
    ("call_agent", "call_customer", "call_client"),
    ("monday", "tuesday"),
    ("take_P0947", "take_P0948"),
]

RATE = 16000
SECONDS = 3


def made(folder: Path, names: tuple[str, ...]) -> list[tuple[bool, list[float]]]:
    """Whether each recording of a folder with these mono files is rejected, and the levels of its channels."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number, name in enumerate(names):
        noise = generator.standard_normal(RATE * SECONDS) * 0.02 * 2**-number
        soundfile.write(folder / f"{name}.wav", noise, RATE)
    recordings = []
    for row in folder_rows(FolderConfig(inputs=(str(folder),), language="en")):
        levels: list[float] = []
        if not row["problem"]:
            pcm = read_pcm(row["audio"], 0.0, row["duration"])
            levels = np.abs(pcm.astype(np.float32)).mean(axis=0).tolist()
        recordings.append((bool(row["problem"]), levels))
    return recordings


def main() -> int:
    measuring.parser(__doc__).parse_args()
    n_paired = 0
    n_apart = 0
    with tempfile.TemporaryDirectory() as parent:
        for number, names in enumerate(PAIRED):
            recordings = made(Path(parent, f"paired-{number}"), names)
            levels = recordings[0][1]
            is_pair = len(recordings) == 1 and len(levels) == len(names) and levels[0] > levels[1]
            n_paired += is_pair
            if not is_pair:
                print(f"not the two sides of a call: {' and '.join(names)}")
        for number, names in enumerate(APART):
            recordings = made(Path(parent, f"apart-{number}"), names)
            is_apart = len(recordings) == len(names) and all(is_rejected for is_rejected, _ in recordings)
            n_apart += is_apart
            if not is_apart:
                print(f"taken for the two sides of a call: {', '.join(names)}")
    all_paired = n_paired == len(PAIRED)
    all_apart = n_apart == len(APART)
    measuring.judged(f"{n_paired} of {len(PAIRED)} pairs are one call, the first file left", all_paired)
    measuring.judged(f"{n_apart} of {len(APART)} groups stay apart", all_apart)
    return int(not (all_paired and all_apart))


if __name__ == "__main__":
    sys.exit(main())
