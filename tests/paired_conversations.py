"""A work folder of finished conversations whose recordings are at hand."""

from pathlib import Path
from typing import Any

import numpy as np
from built_conversations import COLUMNS, built_row, flac, tagged, write_dataset

from dailytalk_contiguous.shards import Entry, Shard, write_shard

TAGS = ("calm", "excited", "sad", "whispering", "angry")

#: Seconds by which the recording is later than what was rebuilt of it, and Hz of the tone that is in it.
LATER = 1.0
RECORDED_HZ = 880.0


def rebuilt(name: str, tag: str | None, **columns: Any) -> dict[str, Any]:
    row = built_row(name, **columns)
    for utterance in row["utterances"]:
        utterance["tag"] = tag
        utterance["source_start"] = utterance["start"] + LATER
        utterance["source_end"] = utterance["end"] + LATER
    return row


def work_folder(folder: Path, count: int = 4, tags: tuple[str | None, ...] = TAGS) -> Path:
    """Finished conversations `secret0`, …, each with its recording: a higher tone, quieter, where they speak."""
    names = [f"secret{number}" for number in range(count)]
    time = np.arange(7 * 24000) / 24000
    is_spoken = (time > 1.5) & (time < 6.0)
    tone = 0.02 * np.sin(2 * np.pi * RECORDED_HZ * time) * is_spoken
    samples = np.stack([tone, tone], 1)
    recording = flac(np.rint(samples * 32767).astype(np.int16), 24000)
    for name in names:
        (folder / f"{name}.FLAC").write_bytes(recording)
    rows = [tagged(folder, name, name, 0.0, 7.0) for name in names]
    entries = {row["conversation_id"]: Entry(row["recording_id"], 7.0) for row in rows}
    work = folder / "work"
    write_shard(work / "tagged" / "shard-0.parquet", Shard(rows, entries), COLUMNS)
    finished = [rebuilt(name, tags[number % len(tags)]) for number, name in enumerate(names)]
    return write_dataset(work, finished)
