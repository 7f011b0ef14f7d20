"""Re-voice a transcript as the older tool of this name did, with its arguments.

Recordings are read from `--output-dir`, and results are written there. What was bought is kept in the user's cache
folder, so a run always goes on where it was stopped, whether or not `--resume` is given.

    export FISH_API_KEY=… FISH_AUDIO_REFERENCE_ID=…
    python builder_scripts/generate_tts.py --transcript transcript.jsonl --output-dir calls
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from dailytalk_contiguous.cli.errors import guarded
from dailytalk_contiguous.engine.speaking import read_script, speak
from dailytalk_contiguous.engine.spoken_outputs import SHIFTED
from dailytalk_contiguous.pipeline import SpeakSettings


def main() -> int:
    """Run it; the exit code is that of `dailytalk speak`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--transcript", required=True, type=Path, help="transcript.jsonl, as people may have edited it"
    )
    parser.add_argument("--output-dir", required=True, type=Path, help="folder of recordings, and of the results")
    parser.add_argument("--token", help="better: FISH_API_KEY or BEARER_TOKEN in the environment")
    parser.add_argument(
        "--voice",
        default="",
        help="id of a Fish Audio voice, instead of FISH_AUDIO_REFERENCE_ID; any: another one for every line",
    )
    parser.add_argument("--output-transcript", type=Path, help="where the shifted transcript goes as well")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top_p", type=float, default=0.7)
    parser.add_argument("--resume", action="store_true", help="accepted as before; a run always resumes")
    chosen = parser.parse_args()
    if token := os.environ.get("BEARER_TOKEN"):  # what the older tool called it
        os.environ.setdefault("FISH_API_KEY", token)
    # Whisper would only be asked where Fish gives no word times: words then share the voiced time instead.
    settings = SpeakSettings(
        profile="embedded",
        tts="fish",
        voice=chosen.voice,
        temperature=chosen.temperature,
        top_p=chosen.top_p,
    )
    script = read_script(chosen.output_dir, chosen.transcript, chosen.output_dir)
    outcome = speak(script, chosen.output_dir, settings, {"command": "generate_tts.py"})
    if chosen.output_transcript:
        shutil.copyfile(chosen.output_dir / SHIFTED, chosen.output_transcript)
    counts = outcome.record["counts"]
    print(f"{counts.get('spoken', 0)} utterances of {counts.get('conversations', 0)} conversations said anew")
    return 1 if not counts.get("conversations") else 3 if counts["rejects"] else 0


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
