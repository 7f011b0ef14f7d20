"""What `dailytalk plan` takes, and how near it comes to what `tag` and `speak` then take, on the same recordings.

The calls of FOLDER and two bundled recordings, about 11 minutes without transcripts. Plan and run alternate, each
a command of its own, so that a machine that is busy is busy for both; the load is printed. What is foreseen is
compared with the whole command, with the seconds in which it starts and loads models, which a plan leaves out.

    python benchmarks/plan.py FOLDER [--rounds 2]
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import measuring

#: The most seconds by the clock of a plan with `--speak`.
GOAL_SECONDS = 40.0

#: How far a foreseen time may be from that of the run.
GOAL_SHARE = 0.3

MODELS = ("--profile", "embedded", "--asr-model", "base", "--language", "en")


def main() -> int:
    parser = measuring.data_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=2, metavar="N")
    chosen = parser.parse_args()
    calls = [*measuring.calls(chosen.data), *measuring.english_calls(chosen.data)]
    bundled = [measuring.EXAMPLES / f"{name}.flac" for name in ("bicycle_repair", "burnt_dinner")]
    code = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DAILYTALK_CACHE"] = str(folder / "cache")
        recordings = measuring.sound_alone([*calls, *bundled], folder / "recordings")
        for number in range(chosen.rounds):
            print(f"round {number + 1}, load {os.getloadavg()[0]:.1f}", flush=True)
            code |= _round(recordings, folder / f"work{number}")
            shutil.rmtree(folder / "cache/speech")  # or `speak` would find in it what it has said
    return code


def _round(recordings: Path, work: Path) -> int:
    """Plan, tag and speak once; 1 if a goal is missed."""
    code = 0
    tag_plan = measuring.dailytalk("plan", recordings, *MODELS, "--json")
    print(f"  plan: {tag_plan.wall:.1f} s by the clock, {tag_plan.processor:.1f} s of processor time")
    plan = measuring.dailytalk("plan", recordings, *MODELS, "--speak", "--json")
    figure = f"  plan --speak: {plan.wall:.1f} s by the clock, {plan.processor:.1f} s of processor time"
    code |= not measuring.judged(f"{figure} (goal: at most {GOAL_SECONDS:g} s)", plan.wall <= GOAL_SECONDS)
    foreseen = json.loads(plan.printed)["quantities"]
    for half, arguments in {"tag": (recordings, "--out", work, *MODELS), "speak": (work,)}.items():
        run = measuring.dailytalk(half, *arguments)
        code |= _compare(f"  {half}, by the clock", foreseen[f"{half}_seconds"], run.wall)
        code |= _compare(f"  {half}, processor time", foreseen[f"{half}_processor_seconds"], run.processor)
    return code


def _compare(name: str, foreseen: float, real: float) -> int:
    """Print foreseen and real seconds; 1 if they are further apart than the goal."""
    share = foreseen / real - 1
    figure = f"{name}: foreseen {foreseen:.1f} s, took {real:.1f} s, {share:+.0%} (goal: within {GOAL_SHARE:.0%})"
    return not measuring.judged(figure, abs(share) <= GOAL_SHARE)


if __name__ == "__main__":
    sys.exit(main())
