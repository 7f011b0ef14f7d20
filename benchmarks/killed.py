"""Kill each command that makes shards at three moments, run it again, and compare that with an unbroken run.

`tag`, `speak`, `build`, `corpus`, `split`, `transcribe`, `tokens encode` and a stream from a loopback Hub are
killed (SIGKILL) after their first stage, after their first shard, and before the first file that they leave for
people. With `--before`, the unbroken runs are those of another checkout: both are compared.

    python benchmarks/killed.py [--before CHECKOUT] [--only NAME ...]      # ten minutes
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile
from same_outputs import Comparison
from short_talks import ROOT, short_talks

sys.path.insert(0, str(ROOT / "tests"))

from hub.server import HubServer

#: `dailytalk` that kills itself: after a stage, after a shard, or before a file that people read has its name.
KILLED = """
import os, signal, sys
from dailytalk_contiguous.__main__ import entry_point
from dailytalk_contiguous.run.events import Journal
from dailytalk_contiguous.run.forecast import Forecast

moment, end = sys.argv.pop(1), lambda: os.kill(os.getpid(), signal.SIGKILL)
progress, made, replace = Forecast.progress, Journal.made, os.replace

def after_stage(forecast, stage, audio, wall):
    progress(forecast, stage, audio, wall)
    if wall is not None:
        end()

def after_shard(journal, report):
    made(journal, report)
    end()

def before_file(source, target, **options):
    name = os.path.basename(target)
    if name.endswith((".jsonl", ".json", ".wav")) and not name.startswith("."):
        end()
    replace(source, target, **options)

if moment == "stage":
    Forecast.progress = after_stage
elif moment == "shard":
    Journal.made = after_shard
else:
    os.replace = before_file
entry_point()
"""

MOMENTS = ("stage", "shard", "file")

#: Each command with `{}` for its results, and the result that it begins with, if any.
EMBEDDED = "--profile embedded --workers 1"
COMMANDS = {
    "tag": (f"tag calls --out {{}} --language en {EMBEDDED} --shard-minutes 0.2", ""),
    "speak": (f"speak {{}} {EMBEDDED} --shard-minutes 0.2", "tag"),
    "build": (f"build calls --out {{}} --language en {EMBEDDED} --shard-minutes 0.2", ""),
    "split": ("split calls --out {} --profile embedded", ""),
    "transcribe": ("transcribe {} --profile embedded", "clips"),
    "corpus": ("corpus clips clips --out {} --profile embedded --asr-model none --shard-minutes 0.1", ""),
    "tokens encode": ("tokens encode calls --out {}", ""),
    "stream": (
        f"build tester/calls --streaming --out {{}} --language en --source-licence CC0-1.0 {EMBEDDED} "
        "--shard-minutes 0.2",
        "",
    ),
}


def make_inputs(folder: Path) -> None:
    """Two-channel calls with their words, clips of one speaker, and a dataset on the Hub."""
    short_talks(folder / "calls", 6, 6)
    (folder / "clips").mkdir()
    texts = {}
    for path in sorted((folder / "calls").glob("*.wav")):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(folder / "clips" / path.name, samples[:, 0], rate)
        texts[path.name] = {"text": "This is what was said.", "language": "en"}
    shutil.copytree(folder / "clips", folder / "results" / "clips")
    (folder / "clips/whisper.json").write_text(json.dumps(texts))


def publish(folder: Path) -> None:
    """Upload the calls to the Hub that the environment names."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()
    api.create_repo("tester/calls", repo_type="dataset")
    api.upload_folder(folder_path=folder / "calls", repo_id="tester/calls", repo_type="dataset")


def main() -> int:
    """Print what differs; the exit code is 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, default=ROOT, help="another checkout, with its .venv")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=[*COMMANDS])
    options = parser.parse_args()
    before = str(options.before.resolve() / ".venv/bin/dailytalk")
    failed = 0
    with tempfile.TemporaryDirectory() as name, HubServer(Path(name) / "hub") as hub:
        folder = Path(name)
        make_inputs(folder)
        os.environ |= {**hub.environment(folder / "home"), "DAILYTALK_CACHE": str(folder / "cache")}
        publish(folder)

        def run(command: list[str], begins: str) -> int:
            """Run a command in `work`; its exit code."""
            if begins and not (folder / "work").exists():
                shutil.copytree(folder / "results" / begins, folder / "work")
            return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode

        for command in dict.fromkeys(["tag", *options.only]):
            line, begins = COMMANDS[command]
            words = line.format("work").split()
            codes = [run([before, *words], begins)]
            whole = folder / "results" / command
            (folder / "work").rename(whole)
            for moment in MOMENTS if command in options.only else ():
                killed = run([sys.executable, "-c", KILLED, moment, *words], begins)
                codes += [killed, run([sys.executable, "-m", "dailytalk_contiguous", *words], begins)]
                again = (folder / "work").rename(folder / "results" / "again")
                for half_written in again.rglob(".*.tmp"):
                    half_written.unlink()  # hidden, and in nobody's way
                comparison = Comparison(whole, again)
                del comparison.counts["position.jsonl: size"]  # of shards, which hold how long their stages took
                good = killed == -9 and codes[-1] == codes[0] in (0, 3) and not comparison.counts
                print(
                    f"{command:<14} killed at {moment:<6} {'the same' if good else f'DIFFERS {codes}'}", flush=True
                )
                if not good:
                    comparison.print()
                    failed += 1
                shutil.rmtree(again)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
