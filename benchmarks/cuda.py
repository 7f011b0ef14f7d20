"""What `tag` does on CUDA beside the CPU of the same machine: words that are wrong, and how fast each stage is.

    python benchmarks/cuda.py [--whisper base] [--copies 8]

The bundled recordings are tagged under `--copies` names each, on CUDA and on the CPU with all its cores. The clock
of a device starts after a run that loads libraries and weights once. The precision of the affect model on CUDA is
measured by `benchmarks/affect.py --device cuda`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from measuring import EXAMPLES, dailytalk, references
from real import error_rate, lines_of, said_in_recordings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whisper", default="base", help="a size, or a folder of CTranslate2's weights")
    parser.add_argument("--copies", type=int, default=8)
    chosen = parser.parse_args()
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    minutes = chosen.copies * sum(reference["duration"] for reference in references().values()) / 60
    print(
        f"{card}; {os.cpu_count()} cores; {minutes:.0f} minutes of recordings, Whisper {Path(chosen.whisper).name}"
    )
    texts = said_in_recordings()
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "recordings"
        source.mkdir()
        for path in EXAMPLES.glob("*.flac"):
            for number in range(chosen.copies):
                shutil.copy(path, source / f"{path.stem}-{number}.flac")
        for device in ("cuda", "cpu")[not torch.cuda.is_available() :]:
            work = Path(name) / device
            options = (
                "--profile",
                "embedded",
                "--language",
                "en",
                "--asr-model",
                chosen.whisper,
                "--device",
                device,
            )
            dailytalk("tag", EXAMPLES / "old_friends.flac", "--out", Path(name) / f"{device}-first", *options)
            cost = dailytalk("tag", source, "--out", work, *options)
            lines = lines_of(work)
            found = [
                " ".join(
                    line["text_raw"]
                    for line in lines
                    if (line["conversation_id"], line["channel"]) == (f"{path.stem}-0", side)
                )
                for path, side in texts
            ]
            rate = error_rate(texts.values(), found)
            speed = 60 * minutes / cost.wall
            print(f"{device}: {speed:.0f} x real time, {rate.share:.1%} of {rate.words} words wrong")
            stages = json.loads((work / "run.json").read_text())["time"]["stages"]
            for stage, took in stages.items():
                if took[0] >= 0.1:
                    print(f"  {stage:16}{took[0]:8.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
