"""What a Ctrl-C costs: `tag` of one long conversation, stopped again and again, and gone on with.

The bundled recordings, one after the other until they are long enough, are one stereo file, and so one
conversation of one shard. It is tagged once to its end with models of real size and random weights, then in an
empty folder with a Ctrl-C after every so many seconds, until it is finished. The seconds of all these runs
together (each loads its models again), less those of the first one, are what the stops have lost. Goals: at most
two minutes a stop, and the same rows to the bit.

    python benchmarks/resumed.py [--minutes 15] [--whisper medium] [--every 90]      # a quarter of an hour
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the makers of random models serve tests and benchmarks alike

from tiny_models import make_affect, make_whisper  # noqa: E402

from dailytalk_contiguous.shards import ShardIndex, read_rows  # noqa: E402

PROGRAM = Path(sys.executable).with_name("dailytalk")

#: Seconds of work that a stop may lose.
GOAL = 120.0


def long_call(path: Path, minutes: float) -> None:
    """Write a stereo recording of so many minutes."""
    calls, rates = zip(
        *(soundfile.read(file) for file in sorted((ROOT / "examples/conversations").glob("*.flac"))),
        strict=True,
    )
    whole = np.concatenate(calls * 99)[: round(minutes * 60 * rates[0])]
    soundfile.write(path, whole, rates[0])


def seconds_of(command: list[str], stop_after: float | None) -> tuple[float, int]:
    """Run a command, with a Ctrl-C after some seconds; how long it took, and its exit code."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(stop_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
    return time.monotonic() - started, process.returncode


def rows_of(out: Path) -> str:
    """All rows of a work folder's shard, as text that is equal if every bit is."""
    [shard] = {path for path, _ in ShardIndex(out / "tagged").entries.values()}
    columns = ("start", "end", "channel", "text_raw", "words", "arousal", "valence", "dominance", "tagged_text")
    return repr(read_rows(shard, columns))


def main() -> int:
    """Tag with and without stops, and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0, help="of the conversation")
    parser.add_argument("--whisper", default="medium", choices=("tiny", "base", "small", "medium"))
    parser.add_argument("--every", type=float, default=90.0, help="seconds until a Ctrl-C, in each run")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "calls").mkdir()
        long_call(folder / "calls" / "long.wav", chosen.minutes)
        whisper, affect = make_whisper(folder / "w", chosen.whisper, n_words=70), make_affect(folder / "a")
        options = ["--asr-model", whisper, "--affect-model", affect, "--language", "en", "--device", "cpu"]
        options += ["--max-conversation", f"{chosen.minutes + 1}m"]

        def command(out: Path) -> list[str]:
            return list(map(str, [PROGRAM, "tag", folder / "calls", "--out", out, *options]))

        whole, code = seconds_of(command(folder / "whole"), None)
        if code:
            sys.exit(f"dailytalk tag ended with {code}")
        print(
            f"{chosen.minutes:g} minutes of talk, Whisper {chosen.whisper}: {whole:.0f} s without a stop",
            flush=True,
        )
        runs = []
        while not runs or runs[-1][1] == 130:
            runs.append(seconds_of(command(folder / "stopped"), chosen.every))
            print(f"  run {len(runs)}: {runs[-1][0]:.0f} s, exit code {runs[-1][1]}", flush=True)
        lost = (sum(seconds for seconds, _ in runs) - whole) / max(1, len(runs) - 1)
        same = runs[-1][1] == 0 and rows_of(folder / "stopped") == rows_of(folder / "whole")
    met = same and lost <= GOAL
    print(f"{len(runs) - 1} stops: {lost:.1f} s lost by each, goal {GOAL:.0f}: {'met' if met else 'MISSED'}")
    print(f"rows {'equal' if same else 'DIFFER'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
