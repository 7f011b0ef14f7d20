"""Tag a folder as the older tool of this name did: its arguments, its buckets, its table of tags, its transcript.

    python builder_scripts/process_all.py --input-dir calls --output transcript.jsonl --channel left --language en

As there: whole recordings, the left channel, English, speech of 0.8 to 12 s, tertiles over the recording, the
older table of tags (the presets `seed`). What is different, and why:

- A transcript beside the audio is never used in place of the recogniser: it may be what this script wrote.
- Speech under 0.8 s is counted on the screen and listed in `.OUTPUT.work/rejects.jsonl`, so that nothing goes away
  unseen. `--min-duration 0` keeps it: a short "yeah" is often an answer.
- Speech over 12 s is cut where it is quietest.
- A hurried line with HIGH arousal is `in a hurry tone`, as the table says. An example of the older tool has
  `excited` for one (arousal and dominance HIGH, 2.1 words/s), as `dailytalk tag` does, where hurry needs 3.5.
- The tag sets the mark at the end of a text (`excited` an exclamation mark, `curious` a question mark), but a `?`
  that the recogniser wrote stays, whatever the tag.
- What `generate_tts.py` wrote (`NAME_edited.wav`) is no recording, even in the same folder.
- A second run goes on where the first was stopped (`.OUTPUT.work` holds what it needs), and a transcript that
  somebody edited is never written over.
- A recording that can't be used is named with its reason, the others go on, and the exit code is 3.
- All settings of `dailytalk tag` are options here, too, such as `--affect-model none`.

`dailytalk check` and `export` of the folder that `transcript.jsonl` is in show what was tagged.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from command_settings import add_settings

from dailytalk_contiguous import DailytalkError, tag_stages
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.tag import TAG_SETTINGS
from dailytalk_contiguous.cli.terminal import guarded, naming_profile, show_outcome
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.records.outcome import Outcome, exit_code, rejected_of
from dailytalk_contiguous.run.run import RunOptions, run
from dailytalk_contiguous.run.tagging import TagSpec, list_conversations
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.store.files import write_text
from dailytalk_contiguous.store.work_folder import TRANSCRIPT, read_run, rejects_in


def main() -> int:
    """Run it; the exit code is that of `dailytalk tag`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-dir", required=True, help="folder of stereo recordings")
    parser.add_argument("--output", required=True, type=Path, help="the transcript to write (.jsonl)")
    parser.add_argument("--channel", default="left", choices=("left", "right", "both", "mix"))
    parser.add_argument("--language", default="en", help="ISO 639-1 code, or auto")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--profile", default="standard", help="embedded: without downloads")
    parser.add_argument(
        "--asr-model", default=argparse.SUPPRESS, help="Whisper size, folder in CTranslate2 format, or none"
    )
    parser.add_argument("--min-duration", type=float, default=0.8, help="seconds; shorter speech is left out")
    parser.add_argument("--prune", action="store_true", help="drop results of recordings that are gone")
    add_settings(parser, TAG_SETTINGS)
    chosen = parser.parse_args()
    own = {name: value for name, value in vars(chosen).items() if name in TAG_SETTINGS}
    stages = tag_stages(chosen.profile, **{"buckets": "seed", "rules": "seed", "punctuate": "always"} | own)
    output = chosen.output
    work = output.with_name(f".{output.name}.work")
    _refuse_edited(output, work)
    found = list_conversations(
        open_inputs([chosen.input_dir]),
        work,
        FolderConfig(channel=chosen.channel, max_conversation=0, given=False),
    )
    show.say_left_out(found.left_out)
    about = {"settings": {"profile": chosen.profile}}
    with show.bar() as planned, naming_profile(chosen.profile):
        done = run(TagSpec(found, work, stages, about), RunOptions(prune=chosen.prune), planned=planned)
    assert done.record is not None
    write_text(output, (work / TRANSCRIPT).read_text(encoding="utf-8"))
    counts = done.record["counts"]
    short = sum("--min-duration" in reject["reason"] for reject in rejects_in(work))
    note = f"{short} shorter than {chosen.min_duration:g} s left out (--min-duration 0 keeps them)"
    return show_outcome(
        Outcome(
            None,
            f"{counts['utterances']} utterances of {counts['conversations']} recordings in {as_text(output)}",
            exit_code(counts["conversations"], counts["rejects"] - short),
            [note] if short else [],
            rejected_of(done.rejects),
        )
    )


def _refuse_edited(output: Path, work: Path) -> None:
    """Raise DailytalkError if somebody changed the transcript since this script wrote it."""
    written = read_run(work).transcript_sha256
    digest = hashlib.sha256(output.read_bytes()).hexdigest() if output.is_file() else ""
    if digest and written and digest != written:
        raise DailytalkError(f"{as_text(output)} was edited", "move it away, or choose another --output")


if __name__ == "__main__":
    sys.exit(guarded("process_all", main))
