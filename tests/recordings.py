"""Folders of short recordings, and runs of `tag` over them: for tests of sources, the engine and the command."""

import json
import os
from pathlib import Path
from typing import Any

import soundfile
from audio_files import Samples, example

from dailytalk_contiguous.models.whisper import resolve_whisper
from dailytalk_contiguous.run.run import RunOptions, RunOutcome
from dailytalk_contiguous.run.run import run as run_spec
from dailytalk_contiguous.run.tagging import TagSpec, list_conversations
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.transcribe import language_of
from dailytalk_contiguous.store.work_folder import RUN_LOCK

#: Seconds of an excerpt: one turn of each speaker.
EXCERPT = 6.0

#: The format of a file by its ending, as soundfile names it; WAV for every other ending.
FORMATS = {".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}


def excerpt(name: str = "weekend_trip", start: float = 0.0, seconds: float = EXCERPT) -> Samples:
    """Part of a bundled conversation, shape (n, 2)."""
    first = round(start * 16000)
    last = round((start + seconds) * 16000)
    return example(name)[first:last].copy()


def save(path: Path | str | bytes, samples: Samples | None = None, rate: int = 16000, **options: Any) -> Path:
    """Write a recording, by default an excerpt, under any name that the system takes."""
    path = Path(os.fsdecode(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    kind = FORMATS.get(suffix, "WAV")
    if samples is None:
        samples = excerpt()
    with path.open("wb") as file:
        soundfile.write(file, samples, rate, format=kind, **options)
    return path


def calls(folder: Path, *names: str) -> Path:
    """A folder of excerpts that differ from each other."""
    for number, name in enumerate(names):
        save(folder / f"{name}.wav", excerpt(start=2.0 * number))
    return folder


def nameless_whisper(folder: Path, size: str = "tiny.en") -> str:
    """Weights of Whisper in a folder: not by their name, by which tests recognise a sound once (`heard`)."""
    (folder / "whisper").symlink_to(resolve_whisper(size))
    return str(folder / "whisper")


def run(
    source: Path, out: Path, settings: Stages, found: dict[str, Any] | None = None, **options: Any
) -> RunOutcome:
    """One run of `dailytalk tag` in this process, with a shard for each conversation unless told otherwise."""
    all_options = {"shard_seconds": 1.0} | options
    chosen = RunOptions(**all_options)
    config = FolderConfig(
        channel=channel_of(settings),
        language=language_of(settings),
        **(found or {}),
    )
    inputs = open_inputs([str(source)])
    conversations = list_conversations(inputs, out, config, chosen.shard_seconds)
    spec = TagSpec(conversations, out, settings)
    return run_spec(spec, chosen)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every result under a folder, with what changes when it is written; not the lock of a run that works."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(RUN_LOCK):
            name = str(path.relative_to(folder))
            status = path.stat()
            files[name] = (status.st_mtime_ns, status.st_ino)
    return files


def results(out: Path) -> dict[str, Any]:
    """What a run left, without what tells how and when it ran."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    for path in sorted((out / "tagged").glob("*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return {
        "transcript": (out / "transcript.jsonl").read_bytes(),
        "rejects": (out / "rejects.jsonl").read_bytes(),
        "rows": {row["conversation_id"]: repr(row) for row in rows},  # as text, in which NaN equals itself
    }
