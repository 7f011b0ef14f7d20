"""How fast a version is packed, how little of the next one is new, and what a stream reads before its first row.

Synthetic conversations: speech-like bursts of noise by turns, 2 to 3 MB of FLAC a minute. 214 of 20 s are checked
and packed; 2 of them are resynthesised and packed again; new content-defined chunks (what Xet sends) and changed
files (what plain LFS sends) are counted over all files. 1,000 are packed without and with the findings of `check`.
Then the first row of 100 files of one-minute conversations is streamed from a Hub on loopback. Then `report` of
1,000 conversations, and the tables and every figure of 100,000. Exits with 1 if a goal is missed. Takes seven
minutes, and 4 GB of disk.

    python benchmarks/publish.py
"""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import measuring
import numpy as np
from built_conversations import built_row, flac
from hub.server import HubServer
from numpy.typing import NDArray

from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.schema import BUILT
from dailytalk_contiguous.core.tables import TableMaker
from dailytalk_contiguous.publish import verdict
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.opening import finished_items
from dailytalk_contiguous.publish.packing import pack_version
from dailytalk_contiguous.publish.page import write_report
from dailytalk_contiguous.publish.row_check import JudgedRow, RowChecks
from dailytalk_contiguous.publish.version import Packed
from dailytalk_contiguous.shards import Shard, shard_path, write_shard

SAMPLE_RATE = 24000
CONVERSATIONS = 214
SECONDS = 20.0
CHANGED = 2

#: Seconds of a file: as many rows as one-minute conversations have in a file of an hour.
FILE_SECONDS = 1200.0

SPEED_GOAL = 300.0
NEW_GOAL = 0.05
#: Processor time of packing with the findings of `check`, as a multiple of that without.
FINDINGS_GOAL = 1.3
FIRST_GOAL = 60e6
WITHOUT_AUDIO_GOAL = 2e6
#: Seconds of processor time, and MB.
REPORT_GOAL = 12.0
TABLES_GOAL = 60.0
MEMORY_GOAL = 2000.0

#: Chunks by a gear hash over 64 bytes, of whose 16 highest bits none is set where one ends: 64 KiB in the mean,
#: with the least and most of Xet. The table of the hash is our own: chunks differ in place, not in number.
LEAST_CHUNK = 8 * 1024
MOST_CHUNK = 128 * 1024
_MASK = np.uint64(0xFFFF << 48)
_WINDOW = 64
_BLOCK = 4 << 20
_GEAR = np.random.default_rng(1).integers(0, 2**64, 256, np.uint64)

_UPLOAD = """
import sys
from huggingface_hub import CommitOperationAdd, HfApi
api = HfApi()
api.create_repo("me/calls", repo_type="dataset")
names = [f"conversations/train-{n:05d}-of-00100.parquet" for n in range(100)]
files = [CommitOperationAdd(name, sys.argv[2] if number else sys.argv[1]) for number, name in enumerate(names)]
card = b"---\\nconfigs:\\n- config_name: conversations\\n  data_files: conversations/train-*\\n---\\n"
files.append(CommitOperationAdd("README.md", card))
api.create_commit("me/calls", files, commit_message="add", repo_type="dataset")
"""

_STREAM = """
import os, sys
from dailytalk_contiguous.publish.loading import load
columns = sys.argv[1].split(",") if sys.argv[1] else None
rows = load("me/calls", split="train", streaming=True, columns=columns)
print(next(iter(rows))["conversation_id"], flush=True)
os._exit(0)  # threads that still read would keep it
"""


def chunks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Digest and number of bytes of each chunk of a file, in order."""
    data = np.fromfile(path, np.uint8)
    start = 0
    for border in [*_borders(data), len(data)]:
        while border - start > MOST_CHUNK:
            yield _chunk(data[start : start + MOST_CHUNK])
            start += MOST_CHUNK
        if border - start >= LEAST_CHUNK or (border == len(data) and border > start):
            yield _chunk(data[start:border])
            start = border


def _borders(data: NDArray[np.uint8]) -> Iterator[int]:
    """Places behind which the hash of the last 64 bytes says that a chunk ends."""
    for begin in range(0, len(data), _BLOCK):
        before = min(begin, _WINDOW)
        hashes = _GEAR[data[begin - before : begin + _BLOCK]]
        width = 1
        while width < _WINDOW:  # the hash of 2n bytes from those of n and n
            hashes[width:] += hashes[:-width] << np.uint64(width)
            width *= 2
        yield from (np.flatnonzero((hashes[before:] & _MASK) == 0) + begin + 1).tolist()


def _chunk(data: NDArray[np.uint8]) -> tuple[bytes, int]:
    return hashlib.blake2b(data.tobytes(), digest_size=16).digest(), len(data)


def main() -> int:
    """Measure all and compare with the goals."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = [*_versions(folder), *_findings(folder), *_streams(folder), *_report(folder)]
    return 0 if all(good) else 1


def _versions(folder: Path) -> Iterable[bool]:
    names = [f"call{number:04d}" for number in range(CONVERSATIONS)]
    _work_folder(folder / "work", names, SECONDS)
    check_folder(folder / "work")  # which hears the voices, where there is a speaker encoder
    started = time.perf_counter()
    first = pack_version(finished_items(folder / "work"), folder / "first", file_seconds=FILE_SECONDS)
    speed = CONVERSATIONS * SECONDS / (time.perf_counter() - started)
    size = sum(file.size for file in first.files)
    print(f"packed {CONVERSATIONS} conversations of {SECONDS:g} s: {len(first.files)} files, {size / 1e6:.0f} MB")
    yield measuring.judged(
        f"packing: {speed:.0f} times real time (goal: at least {SPEED_GOAL:g})", speed >= SPEED_GOAL
    )
    _work_folder(folder / "work", names, SECONDS, resynthesised=names[:: CONVERSATIONS // CHANGED])
    second = pack_version(finished_items(folder / "work"), folder / "second", file_seconds=FILE_SECONDS)
    new, whole = _new_share(first, second)
    text = f"{new:.2%} of the bytes (whole files that changed, which plain LFS sends: {whole:.0%})"
    yield measuring.judged(f"new chunks: {text} (goal: at most {NEW_GOAL:.0%})", new <= NEW_GOAL)


def _findings(folder: Path) -> Iterable[bool]:
    """Pack 1,000 conversations that were checked before, without and with the findings of `check`."""
    work = folder / "checked"
    write_shard(work / "dataset/shard-0.parquet", Shard(_thousand(SECONDS)), BUILT)
    check_folder(work)
    with patch.object(RowChecks, "judge", lambda *_: JudgedRow([])):
        without = _processor_time(work, folder / "without")
    with_findings = _processor_time(work, folder / "with")
    ratio = with_findings / without
    times = f"{with_findings:.1f} s of processor time, {without:.1f} s without"
    yield measuring.judged(
        f"packing 1,000 with the findings of check: {times}: {ratio:.2f} times (goal: at most {FINDINGS_GOAL:g})",
        ratio <= FINDINGS_GOAL,
    )


def _processor_time(work: Path, stage: Path) -> float:
    """Seconds of the processor that packing a work folder takes."""
    started = time.process_time()
    pack_version(finished_items(work), stage)
    seconds = time.process_time() - started
    shutil.rmtree(stage)
    return seconds


def _new_share(first: Packed, second: Packed) -> tuple[float, float]:
    """Shares of the second version's bytes: in chunks that the first has not, and in files that it has not."""
    known = {digest for file in first.files for digest, _ in chunks(file.path)}
    sent = 0
    for file in second.files:
        for digest, size in chunks(file.path):
            sent += 0 if digest in known else size
            known.add(digest)
    total = sum(file.size for file in second.files)
    there = {file.sha256 for file in first.files}
    return sent / total, sum(file.size for file in second.files if file.sha256 not in there) / total


def _streams(folder: Path) -> Iterable[bool]:
    """100 files, of which a stream sees the first before its first row: only that one has its full size."""
    _work_folder(folder / "minutes", [f"minute{number:03d}" for number in range(40)], 60.0)
    packed = pack_version(finished_items(folder / "minutes"), folder / "stage")
    (shard,) = packed.configs["conversations"]["train"]
    (small,) = packed.configs["conversations"]["test"]
    with HubServer(folder / "hub") as hub:
        environment = {**os.environ, **hub.environment(folder / "home")}
        _run(_UPLOAD, [str(shard.path), str(small.path)], environment)
        for name, columns, goal in (
            ("first row", "", FIRST_GOAL),
            ("first row, no audio", "conversation_id,duration,utterances,alignments", WITHOUT_AUDIO_GOAL),
        ):
            hub.requests.clear()
            _run(_STREAM, [columns], environment)
            read = sum(one.bytes_sent for one in hub.requests)
            text = f"{read / 1e6:.2f} MB in {len(hub.requests)} requests, of a file of {shard.size / 1e6:.0f} MB"
            yield measuring.judged(f"{name}: {text} (goal: at most {goal / 1e6:g} MB)", read <= goal)


def _report(folder: Path) -> Iterable[bool]:
    rows = _thousand(60.0)
    write_shard(folder / "thousand/dataset/shard-0.parquet", Shard(rows), BUILT)
    seconds = []
    for _ in range(4):  # the first also imports
        started = time.process_time()
        write_report(folder / "thousand", defaults={})
        seconds.append(time.process_time() - started)
    text = f"report of 1,000: {min(seconds):.1f} s of processor time (goal: at most {REPORT_GOAL:g} s)"
    yield measuring.judged(text, min(seconds) <= REPORT_GOAL)
    told = subprocess.run(
        [sys.executable, __file__, "tables"], check=True, text=True, stdout=subprocess.PIPE, env=os.environ
    ).stdout
    made, asked, held = map(float, told.split())
    text = f"{made + asked:.0f} s ({made:.0f} s the tables, {asked:.1f} s every figure), {held:.0f} MB at most"
    goals = f"{TABLES_GOAL:g} s and {MEMORY_GOAL:,g} MB"
    yield measuring.judged(
        f"100,000 conversations, 2.4 million utterances: {text} (goal: at most {goals})",
        made + asked <= TABLES_GOAL and held <= MEMORY_GOAL,
    )


def _thousand(seconds: float) -> list[dict[str, Any]]:
    rows = [_conversation(f"talk{number:04d}", seconds, False) for number in range(8)]
    return [row | {"conversation_id": f"{row['conversation_id']}-{copy}"} for copy in range(125) for row in rows]


def _tables() -> None:
    """Print the seconds of making the tables and of asking for each figure, and the most memory, in MB."""
    rows = _thousand(60.0)
    started = time.process_time()
    maker = TableMaker()
    for hundred in range(100):
        for row in rows:
            maker.add(row | {"conversation_id": f"{row['conversation_id']}-{hundred}", "audio": None})
    tables = maker.tables()
    made = time.process_time()
    for label in ("language", "split", "tag", "style", "person", "synthetic_voice"):
        figures.sums(tables, label)
    for figure in (
        figures.corpus_stats,
        figures.totals,
        figures.heard,
        figures.word_sources,
        figures.without_text,
        figures.reasons,
        figures.corrections,
        figures.moments,
        figures.affect,
        figures.tag_measures,
        figures.length_ratios,
        figures.cost,
        figures.timeline_means,
        figures.lost_in_rebuild,
        figures.origins,
        figures.sources,
    ):
        figure(tables)
    verdict.all_findings(tables)
    asked = time.process_time()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(made - started, asked - made, held)


def _run(script: str, arguments: list[str], environment: dict[str, str]) -> None:
    """Run a script in a process of its own, which takes its Hub from the environment, without progress bars."""
    environment = environment | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", script, *arguments]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def _work_folder(folder: Path, names: list[str], seconds: float, resynthesised: Iterable[str] = ()) -> None:
    """Finished conversations in shards as `dailytalk speak` writes them, 20 each."""
    anew = set(resynthesised)
    for start in range(0, len(names), 20):
        own = names[start : start + 20]
        path = shard_path(folder / "dataset", [{"conversation_id": name, "input_digest": ""} for name in own])
        if path.exists() and not anew.intersection(own):
            continue
        rows = [_conversation(name, seconds, name in anew) for name in own]
        write_shard(path, Shard(rows), BUILT)


def _conversation(name: str, seconds: float, anew: bool) -> dict[str, Any]:
    number = int(name[-4:].lstrip("e") or 0)
    rng = np.random.default_rng([number, anew])
    turns = np.arange(0.3, seconds - 2.5, 2.4)
    words = np.array(["so", "then", "we", "went", "down", "to", "the", "old", "river", "and", "it", "was"])
    lines = [
        ("left" if place % 2 else "right", float(at), float(at) + 2.5, " ".join(rng.permutation(words)[:8]))
        for place, at in enumerate(turns)
    ]
    samples = rng.normal(0, 5, (round(seconds * SAMPLE_RATE), 2))
    for channel, begin, end, _ in lines:
        part = slice(round(begin * SAMPLE_RATE), round(end * SAMPLE_RATE))
        samples[part, int(channel == "right")] *= 200
    audio = {"bytes": flac(samples.clip(-32768, 32767).astype(np.int16), SAMPLE_RATE), "path": f"{name}.flac"}
    row = built_row(name, lines, 1.0, kept_speaker=f"person{number // 2}")
    for said in row["utterances"]:
        said |= {f"source_{edge}": said[edge] for edge in ("start", "end")}
    return row | {"audio": audio, "duration": seconds, "source_duration": seconds}


if __name__ == "__main__":
    sys.exit(main() if sys.argv[1:] != ["tables"] else _tables())
