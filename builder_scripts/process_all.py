"""Tag a folder as the older tool of this name did: its arguments, its buckets, its table of tags, its transcript.

Whole recordings, the left channel, the `seed` presets, and always the recogniser: a transcript beside the audio
may be what this script wrote. What it needs to go on after a stop lies beside the transcript.

    python builder_scripts/process_all.py --input-dir calls --output transcript.jsonl --language en
"""

import argparse
import hashlib
import sys
from pathlib import Path

from dailytalk_contiguous import DailytalkError, TagSettings
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.errors import guarded
from dailytalk_contiguous.cli.progress import bar
from dailytalk_contiguous.cli.terminal import Console, say
from dailytalk_contiguous.engine.outputs import read_run
from dailytalk_contiguous.engine.tagging import Options, find, tag
from dailytalk_contiguous.files.writing import write_text
from dailytalk_contiguous.sources.listing import as_text


def main() -> int:
    """Run it; the exit code is that of `dailytalk tag`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-dir", required=True, help="folder of stereo recordings")
    parser.add_argument("--output", required=True, type=Path, help="the transcript to write (.jsonl)")
    parser.add_argument("--channel", default="left", choices=("left", "right", "both", "mix"))
    parser.add_argument("--language", default="auto", help="ISO 639-1 code, or auto")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--profile", default="standard", help="embedded: a preview without downloads")
    chosen = parser.parse_args()
    own = {name: getattr(chosen, name) for name in ("profile", "channel", "language", "device")}
    settings, output = TagSettings(**own, buckets="seed", rules="seed", punctuate="always"), chosen.output
    work = output.with_name(f".{output.name}.work")
    _refuse_edited(output, work)
    found = find([chosen.input_dir], work, settings, Options(), max_conversation=0, given=False)
    show.left_out(Console(stderr=True, soft_wrap=True), found.left_out)
    with bar(Console(stderr=True), quiet=False) as shown:
        outcome = tag(found, work, settings, Options(), {}, planned=shown.planned)
    assert outcome.record is not None
    for problem in outcome.problems:
        say(f"set aside: {as_text(problem.id)}: {problem.reason}; {problem.remedy}", stderr=True)
    write_text(output, (work / outcome.record["transcript"]).read_text(encoding="utf-8"))
    counts = outcome.record["counts"]
    say(f"{counts['utterances']} utterances of {counts['conversations']} recordings in {as_text(output)}")
    return 1 if not counts["conversations"] else 3 if counts["rejects"] else 0


def _refuse_edited(output: Path, work: Path) -> None:
    """Raise DailytalkError if somebody changed the transcript since this script wrote it."""
    before = read_run(work)
    there = hashlib.sha256(output.read_bytes()).hexdigest() if output.is_file() else ""
    if there and before and there != before["transcript_sha256"]:
        raise DailytalkError(f"{as_text(output)} was edited", "move it away, or choose another --output")


if __name__ == "__main__":
    sys.exit(guarded("process_all", main))
