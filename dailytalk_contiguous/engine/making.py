"""Making one shard and saying what it took.

What every engine runs in its workers: `build_shard`, with its own account of the seconds, small enough to be sent
back to whoever keeps the run's record.
"""

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.engine.build import Progress, build_shard
from dailytalk_contiguous.engine.shards import Entry, Row
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class Made:
    """A shard that was made.

    Attributes:
        path: of its file. conversations, rejects: how many went in, and how many of them were set aside.
        audio_seconds: of its conversations. wall_seconds: from its first stage until it was on disk.
        stage_seconds: of them in each stage that was run now, by name; a model is loaded in its first call.
        stage_audio: seconds of audio that went through each of these stages now.
        pid: process that made it.
    """

    path: Path
    conversations: int
    rejects: int
    audio_seconds: float
    wall_seconds: float
    stage_seconds: dict[str, float]
    stage_audio: dict[str, float]
    pid: int

    @property
    def outside_seconds(self) -> float:
        """Spent on reading what was there, on types, and on writing: in no stage."""
        return max(0.0, self.wall_seconds - sum(self.stage_seconds.values()))


def make(
    path: Path,
    rows: Sequence[Row],
    stages: Sequence[Stage],
    known: Mapping[str, tuple[Path, Entry]],
    batch_seconds: float,
    progress: Progress,
) -> Made:
    """`build_shard`, and what it took. Raises as it does."""
    stage_seconds: defaultdict[str, float] = defaultdict(float)
    stage_audio: defaultdict[str, float] = defaultdict(float)

    def told(stage: str, audio: float, wall: float) -> None:
        stage_seconds[stage] += wall
        stage_audio[stage] += audio
        progress(stage, audio, wall)

    started = time.perf_counter()
    shard = build_shard(path, rows, stages, known, batch_seconds, told)
    return Made(
        path,
        len(rows),
        sum(entry.reject is not None for entry in shard.entries.values()),
        float(sum(row["duration"] for row in rows)),
        time.perf_counter() - started,
        dict(stage_seconds),
        dict(stage_audio),
        os.getpid(),
    )
