"""events.jsonl: a line of JSON at the start of a run, after each shard and at its end: the run as it is then.

`dailytalk status`, the bar and the time left read nothing else, and of a run only its last line. The parts of a
`--shard` have a file each, because appending from several hosts is not atomic on NFS (Linux NFS FAQ, A9). There is
no word of a conversation in it, and no secret. Readers skip a line that a crash or a full disk has cut off.
"""

import json
import logging
import os
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict

from filelock import FileLock, Timeout

from dailytalk_contiguous.core.documents import as_text, json_lines
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.store.files import locked

if TYPE_CHECKING:
    from dailytalk_contiguous.run.shard import Progress, RunPlan, ShardReport, StageEvent

log = logging.getLogger("dailytalk_contiguous")

EVENTS = "events.jsonl"

#: The state of a run that works.
RUNNING = "running"

#: The state of a run that was killed.
GONE = "gone"

#: The state of a run that has written its results.
FINISHED = "finished"

#: The state of a run that somebody stopped.
STOPPED = "stopped"

#: The state of a run that an error ended.
FAILED = "failed"

#: What a run holds in its work folder while it works; a part of `--shard` has its own.
RUN_LOCK = ".dailytalk-run"


@dataclass
class Run:
    """A run, as a line of events.jsonl has it.

    Attributes:
        run: its id.
        kind: such as `tag` or `speak`.
        host: the machine of its process.
        pid: the number of its process there.
        started: when it began (ISO 8601, UTC).
        time: when this line was written.
        shard: (i, N) of `--shard`.
        shards: shards that it planned to make.
        audio_seconds: seconds of audio in them.
        done: shards that it has made.
        audio_done: seconds of audio in those.
        rejects: conversations rejected among them; once the run is finished, all that it rejected.
        spent: USD; None for a run that costs nothing.
        stages: by name, wall seconds and the seconds of audio that went through it, of all processes together.
        outside: seconds that shards took outside stages.
        state: `finished`, `stopped`, `failed`, `running`, or `gone` if it was killed.
        reason: why it failed.
        at: the stage that works now.
    """

    run: str
    kind: str
    host: str
    pid: int
    started: str
    time: str
    shard: list[int] = field(default_factory=lambda: [1, 1])
    shards: int = 0
    audio_seconds: float = 0.0
    done: int = 0
    audio_done: float = 0.0
    rejects: int = 0
    spent: float | None = None
    stages: dict[str, list[float]] = field(default_factory=dict)
    outside: float = 0.0
    state: str = RUNNING
    reason: str = ""
    at: str = ""

    def age(self, at: datetime) -> float:
        """Seconds since its last line."""
        return max(0.0, (at - datetime.fromisoformat(self.time)).total_seconds())

    @property
    def speed(self) -> float | None:
        """Seconds of audio a second, up to its last line; None before its first shard."""
        took = datetime.fromisoformat(self.time) - datetime.fromisoformat(self.started)
        return self.audio_done / max(took.total_seconds(), 1e-3) if self.done else None

    def left_seconds(self, at: datetime) -> float | None:
        """Wall seconds that a running run still needs, by its speed so far; None if that is not known."""
        if self.state != RUNNING or not self.speed:
            return None
        return max(0.0, (self.audio_seconds - self.audio_done) / self.speed - self.age(at))

    def progress(self, at: datetime) -> str:
        """What is done, how fast, what it has cost, and the time left: for the bar, the log and `status`."""
        unit = "min"
        size = 60
        if self.audio_seconds >= 3600:
            unit = "h"
            size = 3600
        parts = [
            f"{self.done} of {counted(self.shards, 'shard')}",
            f"{self.audio_done / size:.1f} of {self.audio_seconds / size:.1f} {unit}",
        ]
        if self.speed:
            parts.append(f"{self.speed:.1f}× real time")
        left = self.left_seconds(at)
        if left is not None:
            parts.append(f"{length_text(left)} left")
        if self.spent:
            parts.append(f"{self.spent:.4f} USD spent")
        return ", ".join(parts)

    def time_spent(self) -> "TimeSpent":
        """The wall seconds of its processes, for run.json; those of a stage with the seconds of audio."""
        return {"stages": self.stages, "outside_stages": round(self.outside, 3)}


class TimeSpent(TypedDict):
    """The wall seconds of the processes of a run, as run.json has them."""

    stages: dict[str, list[float]]
    outside_stages: float


def append(path: Path, line: Mapping[str, object]) -> None:
    """Add a line, which is on the disk when this returns. Raises OSError."""
    text = json.dumps(line, allow_nan=False).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(max(0, file.tell() - 1))
        is_torn = file.read() not in (b"", b"\n")  # what a crash cut off stays a line of its own
        line_end = b"\n" if is_torn else b""
        file.write(line_end + text)
        file.flush()
        os.fsync(file.fileno())


def journals(folder: Path) -> list[Path]:
    """The files of events in a work folder."""
    return sorted(folder.glob("events.*jsonl"))


def read_runs(path: Path) -> list[Run]:
    """The runs of a file of events, in the order in which they began, each as its last line has it.

    All but the last have ended: where one began after a run that has not said so, that one was killed.
    """
    runs = dict[str, Run]()
    if not path.is_file():
        return []
    for _, line in json_lines(path):
        if isinstance(line, dict):  # else it was cut off
            with suppress(TypeError):  # it is of another version
                run = Run(**line)
                runs[run.run] = run
    in_order = list(runs.values())
    for run in in_order[:-1]:
        if run.state == RUNNING:
            run.state = GONE
    return in_order


def now() -> str:
    """The time, in UTC, as ISO 8601 to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """Writes the lines of one run; a context manager that records how it ended. It logs a line a shard.

    Args:
        out: the work folder.
        kind: `tag`, `speak`, `corpus`, `extract` or `encode`.
        shard: (i, N) of `--shard`.
        spent: returns the USD that the run has spent so far; None for a run that costs nothing.

    Attributes:
        run: how far it is.
    """

    def __init__(
        self,
        out: Path,
        kind: str,
        shard: tuple[int, int] = (1, 1),
        spent: Callable[[], float] | None = None,
    ) -> None:
        self._path = out / (EVENTS if shard == (1, 1) else f"events.{shard[0]}-of-{shard[1]}.jsonl")
        self._spent = spent
        self._is_begun = False
        self.run = Run(
            run=uuid.uuid4().hex[:12],
            kind=kind,
            host=platform.node(),
            pid=os.getpid(),
            started=now(),
            time=now(),
            shard=[*shard],
        )

    def __enter__(self) -> Self:
        return self

    def telling(self, progress: "Progress") -> "Progress":
        """A function that notes the stage at hand and passes on to `progress`."""

        def pass_on(event: "StageEvent") -> None:
            self.run.at = event.stage
            if event.kind:
                self.run.at += f", {event.done} of {event.total} {event.kind}"
            progress(event)

        return pass_on

    def planned(self, plan: "RunPlan") -> None:
        """Record and log what will be done.

        Nothing is written if nothing is to be done, unless an earlier run did not say how it ended.
        """
        earlier = _runs_in(self._path.parent)
        has_ended = not earlier or earlier[-1].state == FINISHED
        if not plan.tasks and not self._is_begun and has_ended:
            return
        self._is_begun = True
        self.run.shards += len(plan.tasks)
        self.run.audio_seconds += plan.seconds
        self._write()

    def made(self, made: "ShardReport") -> None:
        run = self.run
        run.done += 1
        run.audio_done += made.audio_seconds
        run.rejects += made.rejects
        in_stages = sum(wall for wall, _ in made.stages.values())
        run.outside += max(0.0, made.wall_seconds - in_stages)
        for name, (wall, audio) in made.stages.items():
            wall_before, audio_before = run.stages.get(name, (0.0, 0.0))
            run.stages[name] = [round(wall_before + wall, 3), round(audio_before + audio, 3)]
        self._write()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run = self.run
        if not self._is_begun:
            return
        if error is None:
            run.state = FINISHED
        elif isinstance(error, KeyboardInterrupt | GeneratorExit):
            run.state = STOPPED
            run.reason = STOPPED
        elif isinstance(error, DailytalkError):
            run.reason = as_text(f"{error.reason}: {error.remedy}")
            run.state = FAILED
        else:  # only its type, because the message of an unforeseen error may quote a conversation
            run.reason = getattr(error, "strerror", None) or type(error).__name__
            run.state = FAILED
        with suppress(OSError) if error else nullcontext():  # the disk may be what failed
            self._write()

    def _write(self) -> None:
        self.run.time = now()
        self.run.spent = round(self._spent(), 6) if self._spent else None
        append(self._path, asdict(self.run))
        if self.run.state == RUNNING:
            progress = self.run.progress(datetime.now(UTC))
            log.info("%s %s: %s", self.run.time, self.run.kind, progress)


def run_status(folder: Path, named: str = "") -> list[Run]:
    """The runs of a work folder that matter now: the last of each kind and `--shard`.

    Raises DailytalkError, in which the folder is `named` so, if no run was ever recorded.
    """
    shown = dict[tuple[str | int, ...], Run]()
    for run in _runs_in(folder):
        if run.state == FINISHED and run.shard == [1, 1]:  # it replaces all earlier ones of its kind
            shown = {key: earlier for key, earlier in shown.items() if earlier.kind != run.kind}
        shown[run.kind, *run.shard] = run
    if not shown:
        raise DailytalkError(
            f"no run was recorded in {named or folder}",
            "name the work folder of a run",
        )
    return [*shown.values()]


@contextmanager
def alone(folder: Path, kind: str, shard: tuple[int, int], force: bool = False) -> Iterator[None]:
    """Hold a work folder for a run. Parts of one `--shard` go together, anything else does not.

    On this host a lock of the operating system says whether a run works, and ends with its process. Of another
    host only its events are known: a run there counts until it has said how it ended, or a person says that it is
    gone (`force`).

    Raises DailytalkError, naming the run, while another one works in the folder.
    """
    shown = repr(as_text(folder))
    for run in _runs_in(folder):
        elsewhere = run.host != platform.node()
        is_same_work = run.kind == kind and run.shard[1] == shard[1]
        is_other_part = is_same_work and run.shard[0] != shard[0]
        if run.state != RUNNING or is_other_part or (elsewhere and force):
            continue
        remedy = "wait until it ends (dailytalk status says how far it is), or take another --out"
        if elsewhere:
            remedy += "; if it was killed, pass --force"
        raise DailytalkError(
            f"{run.kind} works in {shown} already: on {run.host}, process {run.pid}, since {run.started}", remedy
        )
    lock = _lock_of(folder, shard)
    with locked(lock, f"another run begins or ends in {shown}", "run this again in a minute"):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                lock.unlink()


def _runs_in(folder: Path) -> list[Run]:
    """All runs that the journals of a folder have, in the order in which they began, with their states now."""
    runs = [run for path in journals(folder) for run in read_runs(path)]
    for run in runs:
        lock = _lock_of(folder, run.shard)
        if run.state == RUNNING and run.host == platform.node():
            with suppress(Timeout), FileLock(lock, timeout=0) if lock.is_file() else nullcontext():
                run.state = GONE
    return sorted(runs, key=lambda run: run.started)


def _lock_of(folder: Path, shard: Sequence[int]) -> Path:
    number, count = shard
    return folder / (RUN_LOCK if count == 1 else f"{RUN_LOCK}-{number}-of-{count}")
