"""Resynthesise a transcript as the older tool of this name did, with its arguments.

    export FISH_API_KEY=… FISH_AUDIO_REFERENCE_ID=…
    python builder_scripts/generate_tts.py --transcript transcript.jsonl --output-dir calls

As there: recordings are read from `--output-dir`, and `NAME_edited.wav` is written beside them. What is different,
and why:

- The shifted transcript is beside them, too (`transcript_shifted.jsonl`), and not in the working directory, where
  the next folder's would replace it. `--output-transcript` puts it elsewhere.
- A voice is needed (`--voice`, or FISH_AUDIO_REFERENCE_ID): without one the service may take another for each
  line. `--voice any` accepts that.
- The token comes from FISH_API_KEY, or BEARER_TOKEN as before. `--token` is taken, but other users of the machine
  could read it from the list of processes, so the script starts again without it.
- A run always goes on where it was stopped, with or without `--resume`: what was bought is in the user's cache,
  and `.dailytalk` in `--output-dir` holds the finished rows.
- A conversation of which a line could not be said is held back with its reason, for the next run; no line is ever
  silence. The exit code is then 3.
- `--timeline anchor` keeps turn-taking as in the recording: who overlapped, overlaps. `sequential` puts one line
  after another. Results have 24 kHz, Moshi's rate; `--sample-rate source` is the recording's own.
- Files of that name which this script did not write are not touched.
- The side that is kept has lines, too; where a transcript leaves that side out, their `text` and `tag` are null.
- All settings of `dailytalk speak` are options here, too, such as `--on-failure keep-original`.

`audio_file` is the recording, as there, and its result is `NAME_edited.wav`. `dailytalk check` and `export` take
`--output-dir` as it is.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from command_settings import add_settings

from dailytalk_contiguous import DailytalkError
from dailytalk_contiguous.cli.speak import SPEAK_SETTINGS
from dailytalk_contiguous.cli.terminal import guarded, show_outcome
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.records.outcome import Outcome, Rejected, exit_code
from dailytalk_contiguous.core.turns.timeline import MODES
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.run.run import RunOptions, run
from dailytalk_contiguous.run.sound_files import wav_path
from dailytalk_contiguous.run.speaking import SpeakSpec, SynthesisInput, read_synthesis_input
from dailytalk_contiguous.store.files import write_bytes, write_text
from dailytalk_contiguous.store.owned_folder import made_from
from dailytalk_contiguous.store.work_folder import AUDIO, BESIDE, REJECTS, SHIFTED, rejects_in

#: Folder in `--output-dir` that holds what a later run goes on from.
WORK = BESIDE[0]

#: Fields of a line that are null where nobody tagged the side.
OF_TAGGED = ("tag", "text_raw", "text", "tagged_text")


def main() -> int:
    """Run it; the exit code is that of `dailytalk speak`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--transcript", required=True, type=Path, help="transcript.jsonl, as people may have edited it"
    )
    parser.add_argument(
        *("--output-dir", "--out"), required=True, type=Path, help="folder of recordings, and of the results"
    )
    parser.add_argument("--token", help="better: FISH_API_KEY or BEARER_TOKEN in the environment")
    parser.add_argument(
        "--voice",
        default="",
        help="id of a Fish Audio voice, instead of FISH_AUDIO_REFERENCE_ID; any: another one for every line",
    )
    parser.add_argument("--output-transcript", type=Path, help="where the shifted transcript goes instead")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top_p", type=float, default=0.7)
    parser.add_argument(
        "--timeline", choices=MODES, default="anchor", help="turn-taking as recorded, or one by one"
    )
    parser.add_argument("--resume", action="store_true", help="accepted as before; a run always resumes")
    parser.add_argument("--prune", action="store_true", help="drop results of conversations that are gone")
    add_settings(parser, SPEAK_SETTINGS)
    chosen = parser.parse_args()
    if token := os.environ.get("BEARER_TOKEN"):  # what the older tool called it
        os.environ.setdefault("FISH_API_KEY", token)
    if not os.environ.get("FISH_API_KEY") and not os.environ.get("FISH_AUDIO_BASE_URL"):
        raise DailytalkError("Fish Audio needs a token", "set BEARER_TOKEN (or FISH_API_KEY) in the environment")
    # Whisper would only be asked where Fish gives no word times: words then share the voiced time instead.
    stages = speak_stages(
        profile="embedded",
        tts="fish",
        **{name: value for name, value in vars(chosen).items() if name in SPEAK_SETTINGS},
    )
    folder: Path = chosen.output_dir
    script = read_synthesis_input(
        folder, chosen.transcript, folder, remedy="put it there: recordings are read from --output-dir"
    )
    refuse_others(script, folder)
    outcome = run(
        SpeakSpec(script, folder / WORK, stages, {"command": "generate_tts.py"}),
        RunOptions(prune=chosen.prune),
    )
    hand_out(script, folder, chosen.output_transcript or folder / SHIFTED)
    counts = outcome.counts
    n_conversations, n_rejects = counts.get("conversations", 0), counts["rejects"]
    headline = f"{counts.get('spoken', 0)} utterances of {n_conversations} conversations resynthesised"
    rejected = Rejected(f"{n_rejects:,}", rejects_in(folder / WORK), f"in {as_text(folder / WORK / REJECTS)}")
    code = exit_code(n_conversations, n_rejects)
    return show_outcome(Outcome(None, headline, code, rejected=(rejected,) if n_rejects else ()))


def results(script: SynthesisInput, folder: Path) -> list[tuple[Path, Path]]:
    """Of each conversation the file in the work folder, and its place in the folder of recordings."""
    names = [pending.conversation_id for pending in script.conversations]
    made = [wav_path(folder / WORK, name) for name in names]
    return [(path, folder / path.relative_to(folder / WORK / AUDIO)) for path in made]


def refuse_others(script: SynthesisInput, folder: Path) -> None:
    """Raise DailytalkError, before anything is bought, for a file of somebody else where a result goes."""
    for _, place in results(script, folder):
        if place.exists() and made_from(place.parent, place.name) is None:
            raise DailytalkError(f"{place} is no result of this script", "move it away")


def hand_out(script: SynthesisInput, folder: Path, transcript: Path) -> None:
    """Put the results where the older tool has them; one that is held back now is there no more."""
    for made, place in results(script, folder):
        if not made.is_file():
            place.unlink(missing_ok=True)
        elif made_from(made.parent, made.name) != made_from(place.parent, place.name):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, made.read_bytes())
    lines = [json.loads(line) for line in (folder / WORK / SHIFTED).read_text(encoding="utf-8").splitlines()]
    recordings = {pending.conversation_id: pending.row()["audio_file"] for pending in script.conversations}
    for line in lines:
        line["audio_file"] = recordings[line["conversation_id"]]
        line |= {name: line[name] or None for name in OF_TAGGED}
    write_text(transcript, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def hide_token() -> None:
    """Start anew without a token on the command line, where every user of the machine could read it."""
    for place, text in enumerate(sys.argv):
        name, sign, value = text.partition("=")
        if name == "--token":
            token = value if sign else sys.argv[place + 1] if place + 1 < len(sys.argv) else ""
            rest = sys.argv[:place] + sys.argv[place + (1 if sign else 2) :]
            os.execve(sys.executable, [sys.executable, *rest], os.environ | {"FISH_API_KEY": token})


if __name__ == "__main__":
    hide_token()
    sys.exit(guarded("generate_tts", main))
