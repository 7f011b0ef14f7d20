"""Whether rows stay the same however they are made, and what workers, Ray and a second run cost.

`rows`: digests of all columns (but the place of the recording) across engines, shard sizes and orders. `again`:
`tag` and `speak` once more over a thousand finished conversations, from start to end, with the bytecode that
Python keeps of a package (where it may keep none, each start would compile the package first). `workers` and
`ray`: wall time of shards being made by one worker with one thread (on one core), by one with two, by two with
one, and by two on Ray. Wall time means something on an idle machine alone, so the load is printed.

    python benchmarks/scaling.py [rows] [again] [workers] [ray]      # all: most of an hour
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# Read when the Hub's client is imported. The server on loopback has no Xet.
os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}

import pyarrow.parquet as pq
from measuring import dailytalk, judged, parser
from short_talks import short_talks

#: Conversations that differ; the others are copies of them.
DISTINCT = 10

#: Seconds by the clock that a second run of a thousand conversations may take.
AGAIN = 4.0


def rows(folder: Path, chosen: argparse.Namespace) -> bool:
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


def again(folder: Path, chosen: argparse.Namespace) -> bool:
    """A run that finds all done."""
    count = chosen.conversations
    calls = folder / "calls"
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


def workers(folder: Path, chosen: argparse.Namespace) -> bool:
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


def ray(folder: Path, chosen: argparse.Namespace) -> bool:
    """Two workers on Ray against two without it; its start counts in one of two figures."""
    two = _made(folder, chosen, "2 workers without Ray", "--workers", "2")
    ray = _made(folder, chosen, "2 workers on Ray", "--workers", "2", "--runner", "ray")
    long_enough = two >= 120
    if not long_enough:
        print("  the goal is for two minutes or more: give a higher --work")
    over = ray / two - 1
    return judged(f"  Ray, with its start: {over:+.1%}, goal under 10 %", over < 0.10 or not long_enough)


PARTS = {"rows": rows, "again": again, "workers": workers, "ray": ray}


def main() -> int:
    own = parser(__doc__)
    own.add_argument("what", nargs="*", choices=[*PARTS, []], help="by default, everything")
    own.add_argument("--conversations", type=int, default=1000, help="of `again`")
    own.add_argument("--work", type=int, default=300, help="conversations of `workers` and `ray`")
    chosen = own.parse_args()
    met = []
    with tempfile.TemporaryDirectory() as folder:
        for what in chosen.what or PARTS:
            print(f"{what}, load {os.getloadavg()[0]:.1f}", flush=True)
            met.append(PARTS[what](Path(folder), chosen))
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
