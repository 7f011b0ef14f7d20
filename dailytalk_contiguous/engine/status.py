"""What the runs in a work folder are doing, told from its events alone, during a run or after any end.

A run that was killed writes no end. On its own host that is seen by its process, which is gone; on another host
only by its silence, which is called that and no more.
"""

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.engine.event_files import (
    ENDS,
    EVENTS,
    FINISHED,
    PLANNED,
    PROGRESS,
    SHARD,
    STARTED,
    Event,
    is_whole,
    journals,
    read_events,
)
from dailytalk_contiguous.engine.events import birth

RUNNING, GONE, SILENT = "running", "gone", "silent"

#: A run on another host is silent after so many seconds without an event, and so many times its longest shard.
SILENT_SECONDS = 600.0
SILENT_SHARDS = 3.0


@dataclass
class Run:
    """One run, as far as its events tell.

    Attributes:
        run: its id. kind: `tag` or `speak`. shard: (i, N) of `--shard`. host, pid, born: its process.
        started, last_event, last_shard: times; None before the first shard.
        shards_all: of the whole work folder. shards, audio_seconds: what it set out to make.
        done, audio_done: what it has made.
        rejects: conversations rejected among them; once rejects.jsonl was written (`explained`), all in it.
        stages: wall seconds by stage, over all workers. longest: wall seconds of its longest shard.
        stage, share, seconds_left: what worked at its last event, how much of the work was done then (0 to 1, in
            seconds of work), and how long the rest would take; empty and None where that was not known.
        workers: ids of the processes that made its shards. spent: USD, or None where nothing costs.
        state: `finished`, `stopped`, `failed`, `running`, `gone` (its process is), or `silent`.
        reason: why it failed.
    """

    run: str
    kind: str
    shard: tuple[int, int]
    host: str
    pid: int
    born: str
    started: datetime
    last_event: datetime
    last_shard: datetime | None = None
    shards_all: int = 0
    shards: int = 0
    audio_seconds: float = 0.0
    done: int = 0
    audio_done: float = 0.0
    rejects: int = 0
    explained: bool = False
    stage: str = ""
    share: float | None = None
    seconds_left: float | None = None
    stages: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    workers: set[int] = field(default_factory=set)
    spent: float | None = None
    state: str = RUNNING
    reason: str = ""

    @property
    def speed(self) -> float | None:
        """Seconds of audio a second of this run, up to its last shard; None before that."""
        if self.last_shard is None:
            return None
        return self.audio_done / max((self.last_shard - self.started).total_seconds(), 1e-3)

    def left_seconds(self, at: datetime) -> float | None:
        """Wall seconds that a running run still needs; None if that is not known.

        As its own last event has it, if that is not over yet; of a run that says nothing of it, by its speed.
        """
        if self.state != RUNNING:
            return None
        if self.seconds_left is not None:
            left = self.seconds_left - (at - self.last_event).total_seconds()
            return left if left > 0 else None
        if self.stage or not self.speed or self.last_shard is None:
            return None
        due = (self.audio_seconds - self.audio_done) / self.speed
        return max(0.0, due - (at - self.last_shard).total_seconds())

    def as_dict(self, at: datetime) -> dict[str, Any]:
        """As `--json` has it. Hours are of audio, `speed` is times real time, the age and what is left seconds."""
        left = self.left_seconds(at)
        return {
            "run": self.run,
            "kind": self.kind,
            "shard": f"{self.shard[0]}/{self.shard[1]}",
            "host": self.host,
            "pid": self.pid,
            "state": self.state,
            "reason": self.reason,
            "started": self.started.isoformat(timespec="seconds"),
            "last_event_age": round((at - self.last_event).total_seconds(), 1),
            "shards": {"all": self.shards_all, "done": self.done, "left": self.shards - self.done},
            "hours": {
                "done": round(self.audio_done / 3600, 4),
                "left": round(max(0.0, self.audio_seconds - self.audio_done) / 3600, 4),
            },
            "rejects": self.rejects,
            "stage": self.stage if self.state == RUNNING else "",
            "share": self.share,
            "speed": None if self.speed is None else round(self.speed, 2),
            "seconds_left": None if left is None else round(left, 1),
            "spent": self.spent,
            "workers": len(self.workers),
            "stage_seconds": {stage: round(took, 2) for stage, took in self.stages.items()},
        }


def status(
    folder: Path,
    at: datetime | None = None,
    lives: Callable[[int, str], bool] | None = None,
    named: str = "",
) -> list[Run]:
    """The runs of a work folder that matter now: those that go on, and the last of each kind and `--shard`.

    Args:
        folder: the work folder.
        at: the time; now by default. lives: whether a process of this host (its id, its birth) is still there.
        named: what the folder is called in an error, if not by its path.

    Raises DailytalkError if no run was ever recorded there.
    """
    found = journals(folder)
    runs = sorted((run for path in found for run in runs_of(read_events(path))), key=lambda run: run.started)
    if not runs:
        why = f"its {EVENTS} tells of none" if found else f"there is no {EVENTS} in it"
        raise DailytalkError(
            f"no run was recorded in {named or repr(str(folder))} ({why})",
            "name the folder that a run was given with --out",
        )
    for run in runs:
        if run.state == RUNNING:
            run.state = _state(run, at or datetime.now(UTC), lives or process_lives)
    return _that_matter(runs)


def runs_of(events: Iterable[Event]) -> list[Run]:
    """All runs, in the order in which they began.

    Damaged events, and those of a run whose beginning is missing, are passed over.
    """
    runs: dict[str, Run] = {}
    for event in filter(is_whole, events):
        time = datetime.fromisoformat(event["time"])
        if event["event"] == STARTED:
            number, count = event["shard"]
            where = (event["host"], event["pid"], event["born"])
            runs[event["run"]] = Run(event["run"], event["kind"], (number, count), *where, time, time)
        run = runs.get(event["run"])
        if run is not None:
            _note(run, event, time)
    return list(runs.values())


def _note(run: Run, event: Event, time: datetime) -> None:
    run.last_event = time
    run.spent = event.get("spent", run.spent)
    if event["event"] in (PROGRESS, SHARD):
        run.stage = event.get("stage", run.stage)
        run.share, run.seconds_left = event.get("share"), event.get("seconds_left")
    if event["event"] in (STARTED, PLANNED):
        run.shards_all = event["plan"]["shards"]
        run.shards += event["plan"]["shards_left"]
        run.audio_seconds += 3600 * event["plan"]["hours_left"]
    elif event["event"] == SHARD:
        run.last_shard = time
        run.done += 1
        run.audio_done += event["audio_seconds"]
        run.rejects += event["rejects"]
        run.longest = max(run.longest, event["wall_seconds"])
        run.workers.add(event["worker"])
        for stage, took in event["stages"].items():
            run.stages[stage] += took
    elif event["event"] in ENDS:
        run.state = event["event"]
        run.rejects, run.explained = event.get("rejects", run.rejects), "rejects" in event
        run.reason = event.get("reason", "")


def process_lives(pid: int, born: str) -> bool:
    """Whether a process of this host is still there, and is not a later one of the same number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's: it is there
    return birth(pid) == born


def _state(run: Run, at: datetime, lives: Callable[[int, str], bool]) -> str:
    if run.host == platform.node():
        return RUNNING if lives(run.pid, run.born) else GONE
    quiet = (at - run.last_event).total_seconds()
    return SILENT if quiet > max(SILENT_SECONDS, SILENT_SHARDS * run.longest) else RUNNING


def _that_matter(runs: Sequence[Run]) -> list[Run]:
    """Later runs stand for earlier ones of their kind and `--shard`, and a whole one that finished for all."""
    shown: list[Run] = []
    for run in runs:
        whole = run.state == FINISHED and run.shard == (1, 1)
        shown = [
            one
            for one in shown
            if one.state == RUNNING or one.kind != run.kind or not (whole or one.shard == run.shard)
        ]
        shown.append(run)
    return shown
