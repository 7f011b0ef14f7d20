"""What a run tells of itself in events.jsonl: its plan, each shard, its end, and where its seconds went.

There is a line a shard and now and then one that says how far the run is, never one a stage or an utterance, and a
run that finds nothing to do adds none. Nothing that was said in a conversation is in it, and no secret.
"""

import hashlib
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.engine.event_files import (
    FAILED,
    FINISHED,
    PLANNED,
    PROGRESS,
    SHARD,
    STARTED,
    STOPPED,
    append,
    journal_of_host,
    last_event,
)
from dailytalk_contiguous.engine.forecast import Forecast

if TYPE_CHECKING:  # `status` reads events without what makes shards
    from dailytalk_contiguous.engine.build import Progress
    from dailytalk_contiguous.engine.local import Plan
    from dailytalk_contiguous.engine.making import Made

log = logging.getLogger("dailytalk_contiguous")

#: Seconds between two events that say how far a run is; later, this share of what it has taken.
TELL_SECONDS, TELL_SHARE = 10.0, 0.01


def now() -> str:
    """The time, in UTC, as ISO 8601 to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def birth(pid: int) -> str:
    """When a process of this host began, in ticks since the host did; empty where the system does not tell.

    Tells a process from a later one of its number, and from one that has ended but was not waited for (fields 22
    and 3 of /proc/PID/stat, proc(5)).
    """
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = told.rpartition(")")[2].split()  # from the third: a program's name may hold anything
    return "ended" if fields[0] == "Z" else fields[19]


@dataclass
class Account:
    """Where the seconds of a run went, in all its processes.

    `stages` are seconds by stage, `audio` those of what went through each. `outside` is what shards took outside
    stages (reading, types, writing); `planning` and `outputs` are what came before and after the shards.
    """

    stages: dict[str, float]
    audio: dict[str, float]
    outside: float = 0.0
    planning: float = 0.0
    outputs: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As run.json and --json have it; seconds to a millisecond. `outputs` is left out until it is known."""
        told = {"planning": self.planning, "outside_stages": self.outside}
        told |= {"outputs": self.outputs} if self.outputs else {}
        return {
            "stages": {
                name: {"seconds": round(took, 3), "audio_seconds": round(self.audio[name], 2)}
                for name, took in self.stages.items()
            }
        } | {f"{name}_seconds": round(took, 3) for name, took in told.items()}


class Journal:
    """Writes the events of one run and logs a line a finished shard; a context manager that tells how it ended.

    Args:
        out: the work folder. kind: `tag` or `speak`.
        settings: a dataclass; only its digest is written.
        command: the command line, as run.json has it. shard: (i, N) of `--shard`. workers: processes.
        spent: USD that the run has spent so far, where it may spend any.

    Attributes:
        forecast: how far the run is, and what is left of it.
        rejects: how many the rejects.jsonl that the run left tells of, for whoever writes it to set; None before.
    """

    def __init__(
        self,
        out: Path,
        kind: str,
        settings: Any,
        command: str = "",
        shard: tuple[int, int] = (1, 1),
        workers: int = 1,
        spent: Callable[[], float] | None = None,
    ) -> None:
        self._out = out
        self._path: Path | None = None
        self.account = Account({}, {})
        self.forecast = Forecast(workers)
        self._ended = threading.Event()
        self._teller = threading.Thread(target=self._tell_progress, name="journal", daemon=True)
        self.rejects: int | None = None
        self._spent = spent
        self._run = uuid.uuid4().hex[:12]
        self._about: dict[str, Any] = {
            "kind": kind,
            "command": command,
            "version": version("dailytalk-contiguous"),
            "settings": hashlib.sha256(json.dumps(asdict(settings), default=str).encode()).hexdigest()[:12],
            "shard": list(shard),
            "workers": workers,
        }
        self._planned = self._begun = False
        self._entered = self._mark = time.perf_counter()
        self._done = self._of = 0
        self._audio = self._audio_left = 0.0

    def __enter__(self) -> Self:
        self._teller.start()
        return self

    def telling(self, progress: "Progress") -> "Progress":
        """`progress`, with the forecast told of the same."""

        def told(stage: str, audio: float, wall: float | None) -> None:
            self.forecast.progress(stage, audio, wall)
            progress(stage, audio, wall)

        return told

    def planned(self, plan: "Plan", audio_seconds: float, stages: Sequence[str]) -> None:
        """Tell what is to be done, before it is: `audio_seconds` of all that the run is about.

        Nothing is written where nothing is to be done, unless an earlier run still stands there without its end.
        """
        if not self._planned:
            self.account.planning = time.perf_counter() - self._mark
        self._planned = True
        costs = {name: cost for name, cost in zip(stages, plan.costs, strict=False) if cost is not None}
        self.forecast.planned(plan.work(stages), costs)
        self._mark = time.perf_counter()
        self._of += len(plan.tasks)
        self._audio_left += plan.seconds
        last = None if plan.tasks or self._begun else last_event(self._out)
        if not plan.tasks and not self._begun and (last is None or last["event"] == FINISHED):
            return
        told = {
            "shards": len(plan.paths),
            "shards_left": len(plan.tasks),
            "hours": round(audio_seconds / 3600, 7),
            "hours_left": round(plan.seconds / 3600, 7),
            "stages": list(stages),
        }
        if self._begun:
            self._write(PLANNED, plan=told)
        else:
            self._begun = True
            where = {"host": platform.node(), "pid": os.getpid(), "born": birth(os.getpid())}
            self._write(STARTED, **where, **self._about, plan=told)

    def made(self, made: "Made") -> None:
        """Tell of a shard that is on disk."""
        self._done += 1
        self.forecast.made(made.path, made.stage_audio)
        self._audio += made.audio_seconds
        for stage, took in made.stage_seconds.items():
            self.account.stages[stage] = self.account.stages.get(stage, 0.0) + took
            self.account.audio[stage] = self.account.audio.get(stage, 0.0) + made.stage_audio[stage]
        self.account.outside += made.outside_seconds
        self._write(
            SHARD,
            shard=made.path.name,
            conversations=made.conversations,
            rejects=made.rejects,
            audio_seconds=round(made.audio_seconds, 3),
            wall_seconds=round(made.wall_seconds, 3),
            stages={stage: round(took, 3) for stage, took in made.stage_seconds.items()},
            worker=made.pid,
            **self._left(),
        )
        self._log(made)
        self._mark = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._teller.join()
        self.account.outputs = time.perf_counter() - self._mark
        if not self._begun:
            return
        if error is None:
            self._write(FINISHED, **({} if self.rejects is None else {"rejects": self.rejects}))
            return
        stopped = isinstance(error, KeyboardInterrupt | GeneratorExit)
        with suppress(OSError):  # the disk may be what failed; `error` is on its way to whoever is to read it
            self._write(STOPPED if stopped else FAILED, reason="stopped" if stopped else _reason(error))

    def _tell_progress(self) -> None:
        """Until the run ends: write how far it is."""
        began = time.monotonic()
        while not self._ended.wait(max(TELL_SECONDS, TELL_SHARE * (time.monotonic() - began))):
            if self._begun and self.forecast.stage:
                with suppress(OSError):  # a full disk ends the run where it writes what matters
                    self._write(PROGRESS, stage=self.forecast.stage, **self._left())

    def _left(self) -> dict[str, float]:
        """How much of the work is done and how long the rest takes, if there is a basis to tell."""
        share, left = self.forecast.share, self.forecast.seconds_left
        return {} if share is None or left is None else {"share": round(share, 4), "seconds_left": round(left, 1)}

    def _write(self, event: str, **told: Any) -> None:
        spent = {"spent": round(self._spent(), 6)} if self._spent else {}
        self._path = self._path or journal_of_host(self._out)  # not before: a run may have nothing to tell
        append(self._path, {"event": event, "time": now(), "run": self._run, **told, **spent})

    def _log(self, made: "Made") -> None:
        wall = time.perf_counter() - self._entered
        speed = self._audio / wall
        left = self.forecast.seconds_left
        money = f", {self._spent():.4f} USD spent" if self._spent else ""
        log.info(
            "%s shard %d of %d: %s, %d %s, %.1f min in %.1f s; %.2f of %.2f h at %.1f× real time, %s",
            *(now(), self._done, self._of, made.path.name),
            *(made.conversations, contents(self._about["kind"]), made.audio_seconds / 60),
            *(made.wall_seconds, self._audio / 3600, self._audio_left / 3600, speed),
            f"{'unknown' if left is None else length(left)} left{money}",
        )


def contents(kind: str) -> str:
    """What the shards of a kind of run hold."""
    return "clips" if kind == "corpus" else "conversations"


def length(seconds: float) -> str:
    """A length of time for people: `12 s`, `3.5 min`, `7.2 h`, `4.1 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.1f} days"


def _reason(error: BaseException | None) -> str:
    """One sentence; of an error that nobody foresaw only its kind, because its words may be a conversation's."""
    if isinstance(error, DailytalkError):
        return f"{error.reason}: {error.remedy}"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return type(error).__name__
