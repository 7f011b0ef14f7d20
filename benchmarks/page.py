"""The page of `dailytalk report` about few, many and very many conversations: what making and opening it takes.

    python benchmarks/page.py                     # 4, 500 and 20,000 conversations
    python benchmarks/page.py --counts 4 500

Conversations are made here: of 4 and 500 with 20 s of sound each and their recordings, of more without. A page is
made in a process of its own, whose memory is read. Its time is compared with that of reading: the rows and, where
the page has the sound of all, their sounds, decoded. It is opened in Chromium (`pip install playwright`),
without a network, until its table is there.

Goals: 500 with their sound in files beside the page: under 3 MB, open in under 2 s. Of 500 and more: made in at
most 3 times the time of reading, with memory that does not grow beyond what reading takes. (Four conversations
take as long as their sound takes to be compressed, for it goes into the page.) Where rows alone are read, one
thread does all, and processor time counts (`cpu_times`), the least of three rounds: others on the machine can only
add to it. Sound is written by several threads, so there it is the time by the clock (`times`).
"""

import argparse
import io
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from datasets import Features

from dailytalk_contiguous.core.audio import read_at
from dailytalk_contiguous.core.schema import ALIGNED_WORD, BUILT, SOURCE, TIMELINE
from dailytalk_contiguous.core.utterance import SYNTHESIS, UTTERANCE
from dailytalk_contiguous.publish.items import SMALL, open_items
from dailytalk_contiguous.publish.page import ALL, SHOWN, write_report
from dailytalk_contiguous.shards import Entry, Shard, write_shard
from dailytalk_contiguous.sources.transcribed import BASE, OF_UTTERANCES, identity_of
from dailytalk_contiguous.stages.segment import Segment

RATE, SECONDS = 24000, 20.0

#: Conversations up to which every one has sound, and rows in a file.
MOST_WITH_SOUND, ROWS_A_FILE = 500, 500

#: How often a page without sound is made and its rows are read, one after the other; the least of each counts.
ROUNDS = 3

WORDS = ("well", "I", "think", "we", "could", "go", "there", "on", "Sunday", "if", "it", "does", "not", "rain")


def conversation(number: int, sound: bytes | None) -> dict[str, Any]:
    """Ten utterances in 20 s, no two conversations the same."""
    random = np.random.default_rng(number)
    edges = np.sort(random.uniform(0.5, SECONDS - 0.5, 20)).reshape(10, 2)
    name = f"conversation-{number:06d}"
    utterances, words = [], []
    for place, (start, end) in enumerate(edges.tolist()):
        channel = ("left", "right")[place % 2]
        text = WORDS[: 3 + int(random.integers(8))]
        end += 0.3 * random.random()
        spoken = channel == "left"
        utterances.append(
            dict.fromkeys(UTTERANCE)
            | {"utterance_id": f"{name}/{channel}/{place:04d}", "channel": channel, "source_channel": channel}
            | {"start": start, "end": end, "source_start": start + 0.2, "source_end": end + 0.4 * random.random()}
            | {"kind": "speech", "status": "spoken" if spoken else "kept", "event": "turn"}
            | {"text": " ".join(text), "text_raw": " ".join(text), "tag": "calm", "rule": "grid"}
            | {"valence": random.random(), "arousal": random.random(), "dominance": random.random()}
            | {"confidence": random.random()}
            | {"synthesis": dict.fromkeys(SYNTHESIS) | {"engine": "espeak", "voice": "anna"} if spoken else None}
        )
        step = (end - start) / len(text)
        words += [
            dict.fromkeys(ALIGNED_WORD)
            | {"word": word, "start": start + at * step, "end": start + (at + 1) * step, "speaker": channel}
            | {"source": "recogniser", "probability": random.random()}
            for at, word in enumerate(text)
        ]
    return dict.fromkeys(BUILT) | {
        "conversation_id": name,
        "recording_id": name,
        "audio": {"bytes": sound, "path": None},
        "sample_rate": RATE,
        "duration": SECONDS,
        "source_duration": SECONDS + 1,
        "language": "en",
        "utterances": utterances,
        "alignments": sorted(words, key=lambda word: word["start"]),
        "sounds": [],
        "speakers": {"left": None, "right": f"speaker{number % 50}"},
        "timeline": dict.fromkeys(TIMELINE) | {"mode": "anchor"},
        "provenance": "{}",
    }


def speechlike() -> bytes:
    """Sound of 20 s that compresses as speech does: noise in bursts, stereo FLAC."""
    random = np.random.default_rng(0)
    bursts = np.repeat(random.random((50, 2)) ** 3, int(SECONDS * RATE / 50), axis=0)
    samples = 0.2 * bursts * random.standard_normal(bursts.shape)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def write_conversations(folder: Path, count: int) -> Path:
    """A work folder of finished conversations."""
    sound = speechlike() if count <= MOST_WITH_SOUND else None
    (folder / "dataset").mkdir(parents=True)
    for first in range(0, count, ROWS_A_FILE):
        rows = [conversation(number, sound) for number in range(first, min(first + ROWS_A_FILE, count))]
        table = pa.Table.from_pylist(rows, schema=BUILT.arrow_schema)
        pq.write_table(table, folder / "dataset" / f"shard-{first:06d}.parquet", row_group_size=20)
    if sound:
        write_recordings(folder, count, sound)
    return folder


def write_recordings(folder: Path, count: int, sound: bytes) -> None:
    """What `dailytalk tag` knows of the recordings of these conversations, which are one file."""
    recording = folder / "recording.flac"
    recording.write_bytes(sound)
    base = {"recording_id": "recording", "audio": {"bytes": None, "path": str(recording)}, "offset": 0.0}
    base |= {"audio_file": recording.name, "audio_identity": identity_of(recording), "duration": SECONDS}
    base |= {"sample_rate": RATE, "channels": 2, **{column: [] for column in OF_UTTERANCES}}
    rows = [{"conversation_id": f"conversation-{number:06d}"} | base for number in range(count)]
    entries = {row["conversation_id"]: Entry("in", ("c",), (0.1,), "recording", SECONDS) for row in rows}
    known = SOURCE | Segment.adds
    features = Features({name: known[name] for name in ("conversation_id", *BASE)})
    write_shard(folder / "tagged" / "shard-0.parquet", Shard(rows, entries), features)


def read_all(folder: Path, with_sound: bool) -> None:
    """Read all rows, with their sound decoded, and forget them."""
    for row in open_items(folder).rows([*SMALL, "audio"] if with_sound else SMALL):
        if with_sound:
            read_at(row["audio"], RATE)


def made(folder: Path, count: int) -> dict[str, Any]:
    """What it takes to make the page of a folder in this process, which does nothing else."""
    every = 4 < count <= MOST_WITH_SOUND
    audio = "none" if count > MOST_WITH_SOUND else "beside" if every else None
    rounds: list[list[float]] = []
    for _ in range(1 if count <= MOST_WITH_SOUND else ROUNDS):
        clocks = [(time.perf_counter(), time.process_time())]
        read_all(folder, every)
        if not rounds:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clocks.append((time.perf_counter(), time.process_time()))
        written = write_report(folder, shown=ALL if every else SHOWN, audio=audio)
        clocks.append((time.perf_counter(), time.process_time()))
        rounds.append(np.diff(clocks, axis=0).ravel().tolist())
    reading, reading_cpu, seconds, seconds_cpu = np.min(rounds, axis=0).tolist()
    files = [*written.files.iterdir()] if written.files else []
    return {
        "conversations": count,
        "page_mb": written.size / 1e6,
        "files": len(files),
        "files_mb": sum(file.stat().st_size for file in files) / 1e6,
        "read_s": reading,
        "made_s": seconds,
        "times": seconds / reading,
        "cpu_times": seconds_cpu / reading_cpu,
        "grown_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def opened(page: Path) -> dict[str, float]:
    """Seconds until the table is there, the median of three visits, and MB of the page's script."""
    from playwright.sync_api import sync_playwright

    seconds, heap = [], 0.0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(3):
            context = browser.new_context(offline=True)
            window = context.new_page()
            begin = time.perf_counter()
            window.goto(page.as_uri())
            window.locator("#table-body tr").first.wait_for()
            seconds.append(time.perf_counter() - begin)
            session = context.new_cdp_session(window)
            session.send("Performance.enable")
            metrics = session.send("Performance.getMetrics")["metrics"]
            heap = next(metric["value"] for metric in metrics if metric["name"] == "JSHeapUsedSize") / 1e6
            context.close()
        browser.close()
    return {"open_s": sorted(seconds)[1], "heap_mb": heap}


def figures(counts: list[int]) -> Iterator[dict[str, Any]]:
    """One line of figures for each count; each page is made in a process of its own."""
    for count in counts:
        with TemporaryDirectory() as scratch:
            folder = write_conversations(Path(scratch) / "work", count)
            command = [sys.executable, __file__, "--make", str(folder), "--counts", str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            yield json.loads(done.stdout) | opened(folder / "report.html")


def goals(line: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """What one page should be, with its figure, and whether it is."""
    count = line["conversations"]
    if count == MOST_WITH_SOUND:
        yield f"page under 3 MB: {line['page_mb']:.2f} MB", line["page_mb"] < 3
        yield f"open in under 2 s: {line['open_s']:.2f} s", line["open_s"] < 2
    if count >= MOST_WITH_SOUND:
        times = line["times" if count == MOST_WITH_SOUND else "cpu_times"]
        yield f"made in at most 3 times the time of reading: {times:.2f}", times <= 3
        yield f"memory grows by under 200 MB: {line['grown_mb']:.0f} MB", line["grown_mb"] < 200


def main() -> None:
    """Print the figures of each page, then the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[4, 500, 20_000])
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        print(json.dumps(made(options.make, options.counts[0])))
        return
    columns = {"conversations": ",", "page_mb": ".2f", "files": "d", "files_mb": ".0f", "read_s": ".2f"}
    columns |= {"made_s": ".2f", "times": ".2f", "cpu_times": ".2f", "grown_mb": ".0f"}
    columns |= {"open_s": ".2f", "heap_mb": ".1f"}
    print("  ".join(columns))
    lines = []
    for line in figures(options.counts):
        lines.append(line)
        print("  ".join(f"{line[name]:>{len(name)}{form}}" for name, form in columns.items()), flush=True)
    for line in lines:
        for goal, is_met in goals(line):
            print(f"{'met' if is_met else 'MISSED':<7} {line['conversations']:,}: {goal}")


if __name__ == "__main__":
    main()
