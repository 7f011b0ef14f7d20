"""How many words of an export the trainer of Moshi loses.

Builds conversations from each FOLDER of recordings (the bundled ones unless given; the embedded profile and its
voice; a work folder is taken as it is), exports either side, and reads the export by the contract of moshi-
finetune: every 80 ms frame holds one token, and the next word takes over in the frame of its own start. Prints the
words lost as they are in the dataset, and after an export. Exits with 1 where an export loses a word.

    python benchmarks/moshi_words.py [FOLDER ...]
"""

import json
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import EXAMPLES, dailytalk, judged, parser, print_table

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import open_items

#: Frames of Mimi in a second, and the label of Moshi's side.
FRAME_RATE = 12.5
MAIN = "SPEAKER_MAIN"

#: A word as it is in an export: text, start and end in seconds, speaker.
Aligned = tuple[str, tuple[float, float], str]


def main() -> int:
    own = parser(__doc__)
    own.add_argument("folders", nargs="*", type=Path, default=[EXAMPLES], metavar="FOLDER")
    chosen = own.parse_args()
    rows = []
    n_lost = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number, folder in enumerate(chosen.folders):
            work = folder if (folder / "dataset").is_dir() else build(folder, Path(scratch) / f"work{number}")
            for side, how in zip(CHANNELS, ("resynthesised", "kept"), strict=True):
                out = Path(scratch) / f"{number}-{side}"
                write_export(open_items(work).rows(), out, MOSHI, main=side)
                total, lost_before = read(unplaced(work, side))
                _, lost = read(exported(out))
                rows.append([f"{folder.resolve().name}, {how}", str(total), str(lost_before), str(lost)])
                n_lost += lost
    print_table(("side", "words", "lost as built", "lost as exported"), rows)
    return int(not judged(f"words lost by exports: {n_lost} (goal 0)", n_lost == 0))


def build(recordings: Path, work: Path) -> Path:
    """A work folder of finished conversations."""
    options = ("--profile", "embedded", "--language", "en", "--on-failure", "keep-original")
    dailytalk("build", recordings, "--out", work, *options)
    return work


def unplaced(work: Path, side: str) -> Iterator[list[Aligned]]:
    """The words of Moshi's side of each conversation, as they are in the dataset."""
    for row in open_items(work).rows():
        words = [word for word in row["alignments"] if word["speaker"] == side]
        yield [(word["word"], (round(word["start"], 6), round(word["end"], 6)), MAIN) for word in words]


def exported(data: Path) -> Iterator[list[Aligned]]:
    """The words of each file of a training folder."""
    for path in sorted(data.rglob("data_stereo/*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))["alignments"]


def read(files: Iterator[list[Aligned]]) -> tuple[int, int]:
    """Words, and those of which the trainer sees no token."""
    total = 0
    lost = 0
    for words in files:
        own = [word for word in words if word[2] == MAIN and word[1][0] < word[1][1]]
        n_words = sum(word[2] == MAIN for word in words)
        total += n_words
        seen = set[int]()
        newest = -1
        place = 0
        for frame in range(math.ceil(own[-1][1][1] * FRAME_RATE) + 100 if own else 0):
            while place < len(own) and own[place][1][0] * FRAME_RATE < frame + 1:
                newest = place
                place += 1
            if newest >= 0:
                seen.add(newest)
        lost += n_words - len(seen)
    return total, lost


if __name__ == "__main__":
    sys.exit(main())
