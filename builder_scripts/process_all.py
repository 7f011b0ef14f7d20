"""Tag a folder as the older tool of this name did: its arguments, its buckets, its table of tags, its transcript.

Whole recordings (its percentiles are per file), the left channel, the `seed` presets. What the run keeps to go on
after a stop lies beside the transcript, in a folder of its own.

    python builder_scripts/process_all.py --input-dir calls --output transcript.jsonl --language en
"""

import argparse
import shutil
import sys
from pathlib import Path

from dailytalk_contiguous import DailytalkError, TagSettings
from dailytalk_contiguous.engine.outputs import TRANSCRIPT
from dailytalk_contiguous.engine.tagging import Options, find, tag


def main() -> int:
    """Run it; the exit code is that of `dailytalk tag`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-dir", required=True, help="folder of stereo recordings")
    parser.add_argument("--output", required=True, type=Path, help="the transcript to write (.jsonl)")
    parser.add_argument("--channel", default="left", choices=("left", "right", "both", "mix"))
    parser.add_argument("--language", default="auto", help="ISO 639-1 code, or auto")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--profile", default="standard", help="standard, or embedded for a preview without downloads"
    )
    chosen = parser.parse_args()
    settings = TagSettings(
        profile=chosen.profile,
        channel=chosen.channel,
        language=chosen.language,
        device=chosen.device,
        buckets="seed",
        rules="seed",
    )
    work = chosen.output.with_name(f".{chosen.output.name}.work")
    found = find([chosen.input_dir], work, settings, Options(), max_conversation=0)
    outcome = tag(found, work, settings, Options(), {"command": "process_all.py"})
    for problem in outcome.problems:
        print(f"set aside: {problem.id}: {problem.reason}; {problem.remedy}", file=sys.stderr)
    shutil.copyfile(work / TRANSCRIPT, chosen.output)
    counts = outcome.record["counts"] if outcome.record else {"conversations": 0, "utterances": 0, "rejects": 0}
    print(f"{counts['utterances']} utterances of {counts['conversations']} recordings in {chosen.output}")
    return 1 if not counts["conversations"] else 3 if counts["rejects"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DailytalkError as error:
        sys.exit(f"process_all: {error.reason}: {error.remedy}.")
