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

from dailytalk_contiguous.core.machine import give_back_memory
from dailytalk_contiguous.engine.build import Job, Progress
from dailytalk_contiguous.shards import Entry, Row
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class Made:
    """A shard that was made.

    Attributes:
        path: of its file. conversations, rejects: how many went in, and how many of them were rejected.
        audio_seconds: of its conversations. wall_seconds: of work on it, until it was on disk.
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


class Making:
    """A `Job` with its own account of the seconds. Takes what `build_shard` takes."""

    def __init__(
        self,
        path: Path,
        rows: Sequence[Row],
        stages: Sequence[Stage],
        known: Mapping[str, tuple[Path, Entry]],
        batch_seconds: float,
        progress: Progress,
    ) -> None:
        self._stage_seconds: defaultdict[str, float] = defaultdict(float)
        self._stage_audio: defaultdict[str, float] = defaultdict(float)
        self._wall_seconds = 0.0

        def told(stage: str, audio: float, wall: float | None) -> None:
            if wall is not None:
                self._stage_seconds[stage] += wall
                self._stage_audio[stage] += audio
            progress(stage, audio, wall)

        self._job = Job(path, rows, stages, known, batch_seconds, told)

    def prepare(self) -> "Making":
        """`Job.prepare`; returns this."""
        started = time.perf_counter()
        self._job.prepare()
        self._wall_seconds += time.perf_counter() - started
        return self

    def finish(self) -> Made:
        """`Job.finish`, and what it all took. Raises as it does."""
        started = time.perf_counter()
        shard = self._job.finish()
        give_back_memory()
        self._wall_seconds += time.perf_counter() - started
        return Made(
            self._job.path,
            len(self._job.rows),
            sum(entry.reject is not None for entry in shard.entries.values()),
            float(sum(row["duration"] for row in self._job.rows)),
            self._wall_seconds,
            dict(self._stage_seconds),
            dict(self._stage_audio),
            os.getpid(),
        )


def make(
    path: Path,
    rows: Sequence[Row],
    stages: Sequence[Stage],
    known: Mapping[str, tuple[Path, Entry]],
    batch_seconds: float,
    progress: Progress,
) -> Made:
    """`build_shard`, and what it took. Raises as it does."""
    return Making(path, rows, stages, known, batch_seconds, progress).finish()
