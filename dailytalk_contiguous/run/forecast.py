"""How far a run is, and how long the rest will take, from what its stages have taken so far.

Minutes of audio say little: when all stages except the recogniser have processed a minute, nearly all of its work
is still to do. So every stage counts by its cost, the seconds that a second of audio takes in it in one process.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

#: Seconds of work after which earlier measurements count half: the load by other programs changes.
HALF_LIFE = 60.0

#: Seconds of audio below which nothing is left: the rounding errors of sums.
_NOTHING = 1e-6


class Forecast:
    """Learns of a run's plan, each stage of each batch, and each shard; can be asked at any time, from any thread.

    Args:
        workers: processes that share the work; 1 if that is not known.
        clock: seconds, never going back.
    """

    def __init__(self, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers, self._clock = workers, clock
        self._lock = threading.Lock()
        self._before: dict[str, float] = {}
        self._shards: dict[Path, dict[str, float]] = {}
        self._pending: defaultdict[str, float] = defaultdict(float)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._audio: defaultdict[str, float] = defaultdict(float)
        self._running: list[tuple[str, float, float]] = []
        self._whole = self._worked = 0.0
        self._began = clock()
        self._stage = ""
        self._steps: dict[str, str] = {}

    def planned(self, shards: Mapping[Path, Mapping[str, float]], costs: Mapping[str, float]) -> None:
        """Add work: seconds of audio by stage, for each shard. `costs` are those of the last run.

        If all earlier work is done, shares begin at 0 again: in a second pass, or in the next window of a stream.
        """
        with self._lock:
            if self._left_audio() < _NOTHING:
                self._whole, self._worked, self._began = 0.0, 0.0, self._clock()
            self._before |= costs
            for path, stages in shards.items():
                self._shards[path] = dict(stages)
                self._whole += max(stages.values(), default=0.0)
                for stage, audio in stages.items():
                    self._pending[stage] += audio

    def progress(self, stage: str, audio: float, wall: float | None, step: str = "") -> None:
        """A stage begins a batch of `audio` seconds (`wall` is None), is at a `step`, or took `wall` seconds."""
        with self._lock:
            self._steps[stage] = step
            if step:
                return
            if wall is None:
                self._stage = stage
                self._running.append((stage, audio, self._clock()))
                return
            begun = next((work for work in self._running if work[:2] == (stage, audio)), None)
            if begun:
                self._running.remove(begun)
            older = 0.5 ** (wall / HALF_LIFE)
            self._seconds[stage] = older * self._seconds[stage] + wall
            self._audio[stage] = older * self._audio[stage] + audio
            self._pending[stage] -= audio
            self._worked += wall

    def made(self, path: Path, stage_audio: Mapping[str, float]) -> None:
        """A shard is on disk. What its rejected conversations would have taken is no longer to do."""
        with self._lock:
            for stage, audio in self._shards.pop(path, {}).items():
                self._pending[stage] -= audio - stage_audio.get(stage, 0.0)

    @property
    def stage(self) -> str:
        """The stage that began last of those that are running; empty before the first."""
        with self._lock:
            return self._running[-1][0] if self._running else self._stage

    @property
    def at(self) -> str:
        """The stage, and how far it is in its batch: "Transcribe, 3 of 9 pieces of sound"."""
        return ", ".join(filter(None, (self.stage, self._steps.get(self.stage))))

    @property
    def audio(self) -> tuple[float, float]:
        """Seconds of audio that all stages have finished, and those of the whole plan."""
        with self._lock:
            return max(0.0, self._whole - self._left_audio()), self._whole

    @property
    def elapsed(self) -> float:
        return self._clock() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last shard is made; None before a plan, and while the cost of a stage is not known."""
        with self._lock:
            work = self._work_left()
            if work is None:
                return None
            lanes = min(max(self._workers, len(self._running), 1), max(len(self._shards), 1))
            return work / lanes

    @property
    def share(self) -> float | None:
        """How much of the work is done, from 0 to 1, in seconds of work; None when `seconds_left` is."""
        with self._lock:
            work = self._work_left()
            if work is None:
                return None
            done = self._worked + sum(self._clock() - since for _, _, since in self._running)
            return done / (done + work) if done + work else 0.0

    def _left_audio(self) -> float:
        return max(self._pending.values(), default=0.0)

    def _work_left(self) -> float | None:
        """Seconds of work, in one process, without what the running stages have taken already."""
        if not self._whole:
            return None  # nothing is planned yet
        now, work = self._clock(), 0.0
        slow: defaultdict[str, float] = defaultdict(float)  # the costs that running stages have already reached
        for stage, audio, since in self._running:
            slow[stage] = max(slow[stage], (now - since) / audio if audio else 0.0)
        for stage, audio in self._pending.items():
            if audio < _NOTHING:
                continue
            cost = self._cost(stage)
            if cost is None:
                return None
            work += max(cost, slow[stage]) * audio
        for stage, audio, since in self._running:
            took = now - since
            # A batch that takes longer than forecast is expected to go on for as long as it is late already.
            work += max(0.0, took - (self._cost(stage) or 0.0) * audio) - took
        return max(0.0, work)

    def _cost(self, stage: str) -> float | None:
        """Seconds of work for a second of audio; None if that is not known."""
        audio = self._audio.get(stage, 0.0)
        return self._seconds[stage] / audio if audio else self._before.get(stage)
