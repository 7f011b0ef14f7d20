"""How cost grows with conversations, workers and Ray; whether rows stay the same; what a second run costs.

Seven measurements, each with its goal. `rows`: digests of all columns (but the place of the recording) across
engines, shard sizes and orders. `growth`: processor time of whole runs of `tag` in one process that has begun
before, over 10 to 1,000 short conversations whose words are given, per conversation: finding, all stages,
shards, outputs. `again`: the command once more over the finished thousand, and `speak`, from start to end, with
the bytecode that Python keeps of a package (where it may keep none, each start would compile the package first).
`workers` and `ray`: wall time of shards being made by one worker with one thread (on one core), by one with two,
by two with one, and by two on Ray, with a Whisper of the size of `base` with random weights. `plan`: what a second
run over a large folder takes before its first shard: the listing of the shards (empty files), the grouping of a
million conversations and their names. `second`: `tag` and `speak` with nothing to do over a folder of
`--second-run` conversations that `large_folder` makes: of five minutes, a recording each, and of ten seconds, a
hundred of a recording; processor time, and memory beside that of a hundred. Wall time means something on an idle
machine alone, so the load is printed.

    python benchmarks/scaling.py [rows] [growth] [again] [workers] [ray] [plan] [second]      # all: two hours
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Read when the Hub's client is imported. The server on loopback has no Xet.
os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}

import pyarrow.parquet as pq
from measuring import ROOT, Cost, dailytalk, judged
from short_talks import short_talks

WHAT = ("rows", "growth", "again", "workers", "ray", "plan", "second")

#: Conversations that differ in `growth`; the others are copies, so that all sizes have the same to do on average.
DISTINCT = 10

#: Seconds by the clock that a second run of a thousand conversations may take.
AGAIN = 2.5

#: Seconds of processor time that a second run may take besides, for each thousand more.
A_THOUSAND = 0.275

#: Kilobytes of memory that each conversation may take in a second run.
EACH_KB = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*WHAT, []], help="by default, everything")
    parser.add_argument("--conversations", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--work", type=int, default=300, help="conversations of `workers` and `ray`")
    parser.add_argument("--shards", type=int, default=100_000, help="of `plan`, ten conversations each")
    parser.add_argument("--second-run", type=int, default=20_000, help="conversations of `second`")
    parser.add_argument("--planned", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--finished", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.finished:
        _finished(chosen.finished, chosen.seconds)
        return 0
    if chosen.planned:
        _planned(chosen.planned, chosen.shards)
        return 0
    measures = {
        "rows": _rows,
        "growth": _growth,
        "again": _again,
        "workers": _workers,
        "ray": _ray,
        "plan": _plan,
        "second": _second,
    }
    met = True
    with tempfile.TemporaryDirectory() as folder:
        for what in chosen.what or WHAT:
            print(f"{what}, load {os.getloadavg()[0]:.1f}", flush=True)
            met &= measures[what](Path(folder), chosen)
    return 0 if met else 1


def _rows(folder: Path, chosen: argparse.Namespace) -> bool:
    """The same rows whoever makes them."""
    from hub.server import HubServer
    from huggingface_hub import HfApi
    from tiny_models import make_tiny_affect

    calls = folder / "unlike"
    for path in short_talks(calls, 8, 8):
        path.with_suffix(".json").unlink()  # so that the recogniser has something to do
    models = ["--asr-model", "tiny.en", "--affect-model", make_tiny_affect(folder / "a")]
    same = ["--language", "en", "--device", "cpu", *models]
    ways: dict[str, Sequence[Sequence[str]]] = {
        "local": [()],
        "two workers": [("--workers", "2")],
        "shards of 0.1 min": [("--shard-minutes", "0.1")],
        "second half, then first": [("--shard", "2/2", "--shard-minutes", "0.1"), ("--shard-minutes", "0.1")],
        "Ray": [("--runner", "ray", "--shard-minutes", "0.1")],
    }
    digests = {}
    for way, runs in ways.items():
        for options in runs:
            dailytalk("tag", calls, "--out", folder / way, *same, *options)
        digests[way] = stages_digest(folder / way)
        print(f"  {digests[way]}  {way}", flush=True)
    with HubServer(folder / "hub") as server:
        api = HfApi(server.url, token=server.write_token)
        api.create_repo("tester/calls", repo_type="dataset")
        api.upload_folder(repo_id="tester/calls", repo_type="dataset", folder_path=calls, path_in_repo="train")
        around: Mapping[str, str] = server.environment(folder / "home") | {"DAILYTALK_CACHE": f"{folder}/cache"}
        for way, extra in {"Hub": (), "Hub, streaming": ("--streaming", "--shard-minutes", "0.1")}.items():
            dailytalk("tag", "tester/calls", "--out", folder / way, *same, *extra, **around)
            digests[way] = stages_digest(folder / way)
            print(f"  {digests[way]}  {way}", flush=True)
    folders = {digests[way] for way in ways}
    hub = {digests["Hub"], digests["Hub, streaming"]}
    met = judged(f"  rows of a folder: {len(folders)} digests, goal 1", len(folders) == 1)
    return judged(f"  rows of a dataset on the Hub: {len(hub)} digests, goal 1", len(hub) == 1) and met


def stages_digest(out: Path) -> str:
    """Digest of all rows of `tagged`, by id, without the place of the recording."""
    rows = [row for path in (out / "tagged").glob("shard-*.parquet") for row in pq.read_table(path).to_pylist()]
    told = sorted(repr({**row, "audio": None}) for row in rows)  # as text, in which NaN equals itself
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _growth(folder: Path, chosen: argparse.Namespace) -> bool:
    """The same time for each conversation, however many there are."""
    from dailytalk_contiguous.pipelines.to_text import tag_stages
    from dailytalk_contiguous.run.run import run as run_spec
    from dailytalk_contiguous.run.tagging import TagSpec, find
    from dailytalk_contiguous.sources.inputs import open_inputs

    stages = tag_stages(profile="embedded", language="en", device="cpu")

    def run(count: int, number: int) -> tuple[float, float]:
        """Processor and wall seconds a conversation, in a work folder of its own."""
        calls = folder / f"calls{count}"
        out = folder / f"tagged{number}"
        if not calls.exists():
            short_talks(calls, count, DISTINCT)
        wall = time.perf_counter()
        spent = time.process_time()
        run_spec(TagSpec(find(open_inputs([str(calls)]), out), out, stages))
        return (time.process_time() - spent) / count, (time.perf_counter() - wall) / count

    run(DISTINCT, -1)  # loads the models
    counts = sorted(chosen.conversations)
    each: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    # Up and down again, so that a machine that becomes slower or faster meanwhile does so for all; and of few
    # conversations several runs, for they are soon done.
    for place, count in enumerate((*counts, *reversed(counts[:-1]))):
        each[count] += [run(count, 100 * place + number) for number in range(max(1, 100 // count))]
    found = []
    for count, runs in each.items():
        spent, wall = (sum(one[place] for one in runs) / len(runs) for place in (0, 1))
        found.append(spent)
        print(
            f"  {count:>6} conversations: {1000 * spent:.0f} ms of processor time each, "
            f"{1000 * wall:.0f} by the clock"
        )
    off = max(found) / min(found) - 1
    return judged(f"  most over least processor time: {off:.1%} more, goal at most 10 %", off <= 0.10)


def _again(folder: Path, chosen: argparse.Namespace) -> bool:
    """A run that finds all done."""
    count = max(chosen.conversations)
    calls = folder / f"calls{count}"
    out = folder / "again"
    short_talks(calls, count, DISTINCT)
    commands: dict[str, tuple[object, ...]] = {
        "tag": ("tag", calls, "--out", out, "--profile", "embedded", "--language", "en"),
        "speak": ("speak", out, "--profile", "embedded"),
    }
    met = True
    # Of this run alone, and not left in the package.
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    for name, command in commands.items():
        dailytalk(*command, **bytecode)
        took = min((dailytalk(*command, **bytecode) for _ in range(3)), key=lambda cost: cost.wall)
        told = f"{took.wall:.2f} s by the clock, {took.processor:.2f} s of processor time"
        met &= judged(f"  second {name} of {count}: {told}, goal {AGAIN} s", took.wall <= AGAIN)
    return met


def _made(folder: Path, chosen: argparse.Namespace, name: str, *options: str, threads: int = 1) -> float:
    """Seconds of tagging the conversations of `workers` and `ray`, without their transcripts."""
    calls = folder / "work"
    if not calls.exists():
        for path in short_talks(calls, chosen.work, DISTINCT):
            path.with_suffix(".json").unlink()
    models = ["--asr-model", "base", "--affect-model", "voice-linear"]
    options = ("--out", folder / name, "--language", "en", "--shard-minutes", "0.5", *models, *options, "--json")
    took = dailytalk("tag", calls, *options, OMP_NUM_THREADS=f"{threads}")
    run: float = json.loads(took.printed)["wall_seconds"]
    print(f"  {name}: {run:.1f} s of {took.wall:.1f} s by the clock; {took.processor:.1f} s of processor time")
    return run


def _workers(folder: Path, chosen: argparse.Namespace) -> bool:
    """Two workers against one."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(every)[:1])
    one = _made(folder, chosen, "1 worker, 1 thread")
    os.sched_setaffinity(0, sorted(every)[:2])
    both = _made(folder, chosen, "1 worker, 2 threads", threads=2)
    two = _made(folder, chosen, "2 workers, 1 thread", "--workers", "2")
    os.sched_setaffinity(0, every)
    met = judged(f"  2 workers over 1, a thread each: {one / two:.2f} times, goal 1.7", one / two >= 1.7)
    return judged(f"  2 workers over 1 with 2 threads: {both / two:.2f} times, goal 1", two <= both) and met


def _ray(folder: Path, chosen: argparse.Namespace) -> bool:
    """Two workers on Ray against two without it; its start counts in one of two figures."""
    two = _made(folder, chosen, "2 workers without Ray", "--workers", "2")
    ray = _made(folder, chosen, "2 workers on Ray", "--workers", "2", "--runner", "ray")
    long_enough = two >= 120
    if not long_enough:
        print("  the goal is for two minutes or more: give a higher --work")
    over = ray / two - 1
    return judged(f"  Ray, with its start: {over:+.1%}, goal under 10 %", over < 0.10 or not long_enough)


def _plan(folder: Path, chosen: argparse.Namespace) -> bool:
    """What a second run takes until it knows that nothing is to be done; a process of its own, for its memory."""
    told = subprocess.run(
        [sys.executable, __file__, "--planned", str(folder / "tagged"), "--shards", str(chosen.shards)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, memory, left = map(float, told.stdout.split())
    took = f"{seconds:.1f} s, {left:.0f} shards left to make, goal 40"
    met = judged(f"  plan of a second run: {took}", seconds <= 40)
    return judged(f"  memory: {memory:.2f} GB, goal 2", memory <= 2) and met


def _second(folder: Path, chosen: argparse.Namespace) -> bool:
    """A run that finds all done in a large folder, for recordings of one conversation and of a hundred."""
    met = True
    count = chosen.second_run
    for name, pieces, seconds in (("a recording each", 1, 300.0), ("a hundred a recording", 100, 10.0)):
        few = _nothing_to_do(folder / f"few {name}", 100, pieces, seconds)
        many = _nothing_to_do(folder / f"many {name}", count, pieces, seconds)
        goal = AGAIN + A_THOUSAND * count / 1000
        for command, cost in many.items():
            each = 1000 * (cost.peak - few[command].peak) / count
            time_taken = f"{cost.processor:.1f} s of processor time, {cost.wall:.1f} by the clock, goal {goal:.1f}"
            memory = f"{cost.peak:.0f} MB, {each:.2f} kB each, goal {EACH_KB}"
            met &= judged(f"  second {command} of {count}, {name}: {time_taken}", cost.processor <= goal)
            met &= judged(f"    memory: {memory}", each <= EACH_KB)
    return met


def _nothing_to_do(folder: Path, count: int, pieces: int, seconds: float) -> dict[str, Cost]:
    """The cost of each command with nothing to do, over a folder that is made for it, and removed.

    Processes of their own run them: the memory of a process counts that of the one that it was begun by.
    """
    environment = os.environ | {"DAILYTALK_CACHE": str(folder / "cache")}
    sizes = ("--recordings", str(count // pieces), "--pieces", str(pieces), "--seconds", str(seconds))
    script = ROOT / "benchmarks" / "large_folder.py"
    subprocess.run([sys.executable, script, folder, *sizes], check=True, env=environment)
    measured = subprocess.run(
        [sys.executable, __file__, "--finished", str(folder), "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    shutil.rmtree(folder)
    costs: dict[str, list[Any]] = json.loads(measured.stdout)
    return {name: Cost(*cost) for name, cost in costs.items()}


def finished_by(folder: Path, seconds: float) -> dict[str, tuple[object, ...]]:
    """The commands that a folder of `large_folder` is finished by; `seconds` of a conversation."""
    tag = ("tag", folder / "calls", "--out", folder / "work", "--profile", "embedded", "--language", "en")
    return {
        "tag": (*tag, "--max-conversation", f"{seconds}s"),
        "speak": ("speak", folder / "work", "--profile", "embedded"),
    }


def _finished(folder: Path, seconds: float) -> None:
    """Print the cost of each command over a finished folder."""
    print(json.dumps({name: dailytalk(*command) for name, command in finished_by(folder, seconds).items()}))


def _sham_rows(number: int) -> list[dict[str, Any]]:
    from dailytalk_contiguous.shards import PLANNING_COLUMNS, compress_row

    rows = []
    for place in range(10):
        name = f"calls/{number:06d}-{place}"
        audio = {"bytes": None, "path": f"file:///data/{name}.wav"}
        row = {"conversation_id": name, "recording_id": name, "audio": audio, "duration": 60.0, "offset": 0.0}
        rows.append(compress_row(row | {"input_digest": f"{number:018d}{place:02d}"}, PLANNING_COLUMNS))
    return rows


def _planned(folder: Path, n_shards: int) -> None:
    """Print the seconds and the gigabytes of a plan, and how many shards it leaves. The shards are empty files."""
    from dailytalk_contiguous.pipelines.to_text import tag_stages
    from dailytalk_contiguous.run.run import RunOptions
    from dailytalk_contiguous.run.tagging import FoundRecordings, TagSpec
    from dailytalk_contiguous.shards import group, shard_path
    from dailytalk_contiguous.stages.base import stages_digest

    rows = [row for number in range(n_shards) for row in _sham_rows(number)]
    stages = tag_stages(profile="embedded", language="en", device="cpu")
    folder.mkdir()
    for part in group(rows, 600.0):
        shard_path(folder, part, stages_digest(stages)).touch()
    started = time.perf_counter()
    recordings = FoundRecordings(list(group(rows, 600.0)), [])
    (step,) = TagSpec(recordings, folder.parent, stages).passes(RunOptions())
    plan = step.plan()
    missing = sum(not path.exists() for path in step.paths)
    seconds = time.perf_counter() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, len(plan.tasks) + missing)


if __name__ == "__main__":
    sys.exit(main())
