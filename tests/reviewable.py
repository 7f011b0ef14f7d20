"""Work folders that `dailytalk review` opens: recordings, tagged shards and a transcript, of any size."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import soundfile
from built_conversations import COLUMNS, tagged
from from_apps import from_app

from dailytalk_contiguous.shards import Entry, Shard, write_shard

RATE = 16000

#: Words of made texts.
WORDS = ("well", "I", "think", "we", "could", "go", "there", "on", "Sunday", "if", "it", "does", "not", "rain")


def spoken(path: Path, seconds: float) -> Path:
    """A stereo recording in which noise comes in bursts, as words do; written block by block, so of any length."""
    random = np.random.default_rng(0)
    block = 60
    levels = random.random((block * 4, 2)) ** 3
    bursts = np.repeat(levels, RATE // 4, axis=0)
    noise = 0.25 * bursts * random.standard_normal((block * RATE, 2))
    with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16", format="FLAC") as file:
        remaining = round(seconds * RATE)
        while remaining > 0:
            file.write(noise[:remaining])
            remaining -= len(noise)
    return path


def dialogue(name: str, seconds: float, n_words: int, offset: float = 0.0) -> list[dict[str, Any]]:
    """Lines of `transcript.jsonl` in which the two speakers take turns and fall into each other's words."""
    random = np.random.default_rng(len(name) + n_words)
    step = (seconds - 0.6) / n_words
    lines: list[dict[str, Any]] = []
    n_spoken = 0
    while n_spoken < n_words:
        count = min(int(random.integers(2, 10)), n_words - n_spoken)
        number = len(lines)
        channel = ("left", "right")[number % 2]
        tag = ("calm", "")[number % 2]
        overlap = 0.6 * step if lines else 0.0
        start = 0.2 + n_spoken * step - overlap
        words = []
        for index in range(count):
            word = {
                "word": WORDS[(n_spoken + index) % len(WORDS)],
                "start": round(offset + start + index * step, 3),
                "end": round(offset + start + (index + 0.8) * step, 3),
                "probability": 0.3 + 0.6 * random.random(),
            }
            words.append(word)
        lines.append(line(name, number, channel, words, tag=tag))
        n_spoken += count
    return lines


def line(name: str, number: int, channel: str, words: Sequence[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A line of `transcript.jsonl`."""
    return {
        "conversation_id": name,
        "audio_file": f"{name}.FLAC",
        "utterance_id": f"{name}/{channel}/{number:04d}",
        "channel": channel,
        "speaker": {"left": "Anna", "right": "Ben"}[channel],
        "kind": "speech",
        "start": words[0]["start"],
        "end": words[-1]["end"],
        "text": " ".join(word["word"] for word in words),
        "tag": "",
        "rule": "",
        "language": "en",
        "words": list(words),
    } | fields


def work_folder(
    folder: Path, items: Sequence[tuple[str, str, float, list[dict[str, Any]]]], rows_a_shard: int = 100
) -> Path:
    """A tagged work folder beside its recordings.

    Args:
        folder: gets `work` and the recordings.
        items: id, recording, seconds at which it begins there and lines of each; a recording is 60 s unless it
            is there already.
        rows_a_shard: conversations in a file of `tagged/`.
    """
    rows = []
    entries = {}
    lengths = {}
    for name, recording, offset, lines in items:
        path = folder / f"{recording}.FLAC"
        if not path.exists():
            spoken(path, 60.0)
        if path not in lengths:
            lengths[path] = soundfile.info(path).duration
        last_end = max((entry["end"] for entry in lines), default=offset + 5.0)
        duration = last_end - offset + 0.2
        duration = min(duration, lengths[path] - offset)
        row = tagged(folder, name, recording, offset, duration)
        row["sample_rate"] = RATE
        rows.append(row)
        entries[name] = Entry(recording, duration)
    work = folder / "work"
    for first in range(0, len(rows), rows_a_shard):
        part = rows[first : first + rows_a_shard]
        names = [row["conversation_id"] for row in part]
        shard = Shard(part, {name: entries[name] for name in names})
        write_shard(work / "tagged" / f"shard-{first:06d}.parquet", shard, COLUMNS)
    text = "".join(json.dumps(entry) + "\n" for *_, lines in items for entry in lines)
    (work / "transcript.jsonl").write_text(text, encoding="utf-8")
    return work


#: Where servers are forked from: a process that has loaded what they need, so that each starts in no time.
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["dailytalk_contiguous.apps.review.serving"])


class Server:
    """What `dailytalk review` runs, in a process of its own.

    As in all of these tests nobody waits for the disk: of a busy machine that may take longer than a test has.
    """

    def __init__(self, folder: Path, author: str = "Ada", port: int = 0) -> None:
        addresses, says = _FORKS.Pipe(duplex=False)
        self.process = _FORKS.Process(target=_serve, args=(str(folder), author, port, says))
        self.process.start()
        says.close()
        self.address: str = addresses.recv()  # EOFError from a server that did not start
        self.port = urlsplit(self.address).port

    def kill(self) -> None:
        """In the middle of whatever it does."""
        self.process.kill()
        self.process.join()

    def end(self) -> None:
        """As SIGTERM does."""
        self.process.terminate()
        self.process.join(30)
        exit_code = self.process.exitcode
        self.kill()  # one that did not end would be in the way of other tests
        assert exit_code == 0


def _serve(folder: str, author: str, port: int, says: Connection) -> None:
    from dailytalk_contiguous.apps.review.serving import serve

    os.fsync = lambda descriptor: None
    serve(folder, author, lambda address, *_: says.send(address), port=port)


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[Server]:
    """A server for a folder, ended afterwards."""
    from_app("review.serving")
    server = Server(folder, **options)
    try:
        yield server
    finally:
        server.end()
