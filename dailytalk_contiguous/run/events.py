"""The progress of a run as lines of JSON: at its start, every half a minute, after shards, and at its end.

`dailytalk status`, the bar and the time left read only the last line of a run in `events.jsonl`. Each line says at
which byte its run begins, so that readers go back from run to run, however many lines a run has. The parts of a
`--shard` have a file each, because appending from several hosts is not atomic on NFS (Linux NFS FAQ, A9). There is
no word of a conversation in it, and no secret. Readers skip a line that a crash or a full disk has cut off.
"""

import json
import logging
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self, TypedDict

from dailytalk_contiguous.core.documents import as_text, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.wording import counted, model_name, public, rough_length
from dailytalk_contiguous.machine.read_documents import MOST_LINE_BYTES
from dailytalk_contiguous.store.files import locked, open_own
from dailytalk_contiguous.store.full_disk import name_file

if TYPE_CHECKING:
    from dailytalk_contiguous.run.shard import Progress, RunPlan, ShardReport, StageEvent, Task
    from dailytalk_contiguous.stages.base import Stage

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

#: Seconds after which a line is written and logged, whatever happens.
LINE_SECONDS = 30.0

#: The fewest seconds between a line and one that is written for a shard: the disk has to confirm each.
SHARD_LINE_SECONDS = 2.0


@dataclass
class Run:
    """A run, as a line of events.jsonl has it.

    Attributes:
        run: its id.
        kind: such as `tag` or `speak`.
        host: the machine of its process.
        pid: the number of its process there.
        started: when it began (ISO 8601, UTC).
        time: when it was as this line says.
        shard: (i, N) of `--shard`.
        begins: the byte of the file at which its first line begins; None if unknown.
        conversations: how many it planned to make.
        conversations_done: how many of them have been through the first pass that they need.
        audio_seconds: seconds of audio in those that it planned.
        audio_done: seconds of audio in these.
        shards: shards of results that it planned to make.
        done: how many of them it has made.
        last_made: when it made the last of them (ISO 8601, UTC); empty before the first.
        rejects: conversations rejected among them; once the run is finished, all that it rejected.
        spent: USD; None for a run that costs nothing.
        stages: by name, wall seconds and the seconds of audio that went through it, of all processes together.
        outside: seconds that shards took outside stages.
        state: `finished`, `stopped`, `failed`, `running`, or `gone` if it was killed.
        reason: why it failed.
        conversation: the id of the conversation that is worked on, or how many there are.
        at: the stage that works now and its step, or other work of the run.
    """

    run: str
    kind: str
    host: str
    pid: int
    started: str
    time: str
    shard: list[int] = field(default_factory=lambda: [1, 1])
    begins: int | None = None
    conversations: int = 0
    conversations_done: int = 0
    audio_seconds: float = 0.0
    audio_done: float = 0.0
    shards: int = 0
    done: int = 0
    last_made: str = ""
    rejects: int = 0
    spent: float | None = None
    stages: dict[str, list[float]] = field(default_factory=dict)
    outside: float = 0.0
    state: str = RUNNING
    reason: str = ""
    conversation: str = ""
    at: str = ""

    def age(self, at: datetime) -> float:
        """Seconds since its last line."""
        return max(0.0, (at - datetime.fromisoformat(self.time)).total_seconds())

    @property
    def wall_seconds(self) -> float:
        """Seconds from its start to its last line."""
        return seconds_between(self.started, self.time)

    @property
    def share(self) -> float:
        """Share of its audio that is done, from 0 to 1; 0 if it has planned nothing."""
        return round(self.audio_done / self.audio_seconds, 4) if self.audio_seconds else 0.0

    @property
    def speed(self) -> float | None:
        """Seconds of audio a second, up to the last shard; None before a conversation is done."""
        if not self.last_made or not self.audio_done:
            return None
        return self.audio_done / max(seconds_between(self.started, self.last_made), 1e-3)

    def left_seconds(self, at: datetime) -> float | None:
        """Estimate the wall seconds that a running run still needs at a time, at its speed so far.

        None before a conversation is done, once all are, and when the rest has taken longer than that.
        """
        speed = self.speed
        if self.state != RUNNING or speed is None:
            return None
        since = (at - datetime.fromisoformat(self.last_made)).total_seconds()
        left = (self.audio_seconds - self.audio_done) / speed - since
        return left if left > 0 else None

    def progress(self, at: datetime) -> str:
        """Return the share done, speed, time left and cost as a text for the bar, the log and `status`."""
        if not self.conversations:
            return "copies finished conversations" if self.shards else "nothing to do"
        unit = "min"
        size = 60
        if self.audio_seconds >= 3600:
            unit = "h"
            size = 3600
        parts = [
            f"{int(100 * self.share)} %",
            f"{self.audio_done / size:.1f} of {self.audio_seconds / size:.1f} {unit}",
            f"{self.conversations_done:,} of {counted(self.conversations, 'conversation')}",
        ]
        if self.speed:
            parts.append(f"{self.speed:.1f}× real time")
        left = self.left_seconds(at)
        if left is not None:
            parts.append(f"{rough_length(left)} left")
        if self.spent:
            parts.append(f"{self.spent:.4f} USD spent")
        return ", ".join(parts)

    @property
    def current_work(self) -> str:
        """The conversation that is worked on, and the stage and its step; empty if neither is known."""
        return ": ".join(filter(None, (self.conversation, self.at)))

    def time_spent(self) -> "TimeSpent":
        """Return the wall seconds of its processes, for run.json; those of a stage with the seconds of audio."""
        return {"stages": self.stages, "outside_stages": round(self.outside, 3)}


class TimeSpent(TypedDict):
    """The wall seconds of the processes of a run, as run.json has them."""

    stages: dict[str, list[float]]
    outside_stages: float


def append(path: Path, line: Mapping[str, object]) -> None:
    """Add a line, which is on the disk when this returns. Raises BadInput for a symbolic link, and OSError."""
    text = json.dumps(line, allow_nan=False).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_own(path, "ab+") as file:
            if is_torn(file):  # what a crash cut off stays a line of its own
                text = b"\n" + text
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        name_file(error, path)
        raise


def is_torn(file: BinaryIO) -> bool:
    """Whether the last line of a file has no end. The file is read up to its end."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    return file.read() not in (b"", b"\n")


def next_line_at(path: Path) -> int:
    """Return the byte at which the next line of a file begins."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        n_ends_missing = 1 if is_torn(file) else 0
        return file.tell() + n_ends_missing


def journals(folder: Path) -> list[Path]:
    """Return the files of events in a work folder; a link is none of ours."""
    return sorted(path for path in folder.glob("events.*jsonl") if not path.is_symlink())


def runs_back(path: Path) -> Iterator[Run]:
    """Yield the runs of a file of events, from the last one that began to the first, each as its last line has it.

    All but the last have ended: where one began after a run that has not said so, that one was killed. It reads
    two lines of a run, however many there are.
    """
    if not path.is_file():
        return
    seen = set[str]()
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            end, line = line_before(file, end)
            run = run_of(line)
            if run is None or run.run in seen:
                continue
            if seen and run.state == RUNNING:
                run.state = GONE
            seen.add(run.run)
            end = first_byte(file, run, end)
            yield run


#: Bytes that are read at a time, from the end of a file.
BLOCK_BYTES = 1 << 13


def line_before(file: BinaryIO, end: int) -> tuple[int, bytes]:
    """Return the start of the line that ends at byte `end`, and the line; only its end if it is too long."""
    line = b""
    start = end
    while start > 0 and len(line) <= MOST_LINE_BYTES:
        block_start = max(0, start - BLOCK_BYTES)
        file.seek(block_start)
        line = file.read(start - block_start) + line
        start = block_start
        newline = line.rfind(b"\n", 0, -1)  # the last byte is the end of the line itself
        if newline >= 0:
            return start + newline + 1, line[newline + 1 :]
    return start, line


def run_of(line: bytes) -> Run | None:
    """Return the run of a line; None if the line was cut off, or is of another version."""
    try:
        return Run(**parse_json(line, "", limit=MOST_LINE_BYTES))
    except (BadInput, TypeError):
        return None


def first_byte(file: BinaryIO, run: Run, start: int) -> int:
    """Return the byte at which a run with a line at byte `start` begins; `start` if its lines do not say so."""
    if run.begins is None or not 0 <= run.begins < start:
        return start
    file.seek(run.begins)
    first = run_of(file.readline(MOST_LINE_BYTES))
    has_first = first is not None and first.run == run.run  # else somebody has changed the file
    return run.begins if has_first else start


def now() -> str:
    """Return the time, in UTC, as ISO 8601 to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_between(start: str, end: str) -> float:
    """Seconds from one time to another, both in ISO 8601."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


class Journal:
    """Writes and logs the lines of one run; a context manager that records how it ended.

    A thread writes and logs a line each half a minute, even if a stage reports nothing for long.

    Args:
        out: the work folder.
        kind: `tag`, `speak`, `corpus`, `extract` or `encode`.
        shard: (i, N) of `--shard`.
        spent: returns the USD that the run has spent so far; None for a run that costs nothing.

    Attributes:
        run: the run and its progress.
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
        self._is_announced = False
        self._has_results = True
        self._counted: set[str] = set()
        self._planned: dict[str, tuple[int, float]] = {}
        self._written_at = 0.0
        self._lock = Lock()  # of all above and of `run`
        self._has_ended = Event()
        self._ticker = Thread(target=self._tick, daemon=True)
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
        self._ticker.start()
        return self

    def tracking(self, progress: "Progress") -> "Progress":
        """Return a function that notes the work of a stage and calls `progress`."""

        def pass_on(event: "StageEvent") -> None:
            n_conversations = len(event.conversations)
            with self._lock:
                self.run.conversation = f"{n_conversations:,} conversations"
                if n_conversations == 1:
                    self.run.conversation = event.conversations[0]
                self.run.at = step_text(event)
            progress(event)

        return pass_on

    def record_plan(self, plan: "RunPlan", stages: Sequence["Stage"] = ()) -> None:
        """Record and log the work that `stages` will do.

        Nothing is written if there is no work, unless an earlier run did not say how it ended.
        """
        with self._lock:
            is_first = not self._is_begun
            run = self.run
            if is_first:
                earlier = _last_runs(self._path.parent)
                has_ended = not earlier or earlier[-1].state == FINISHED
                if not plan.tasks and has_ended:
                    return
                self._is_begun = True
                run.begins = next_line_at(self._path)
            self._has_results = plan.has_results
            if plan.has_results:
                run.shards += len(plan.tasks)
            is_later_pass = bool(self._counted)
            for task in plan.tasks:
                self._count(task, is_later_pass)
            run.conversation = ""
            run.at = loading_text(stages) if plan.tasks else ""
            self._write_in_time()
            if plan.tasks and not self._is_announced:
                self._is_announced = True
                self._log(run.at)

    def _count(self, task: "Task", is_later_pass: bool) -> None:
        """Count the conversations of a task that no pass before it has counted in this run.

        Those of a later pass were heard by an earlier run, and count as done: the share never falls.
        """
        new = [pending for pending in task.left if pending.id not in self._counted]
        self._counted |= {pending.id for pending in new}
        seconds = float(sum(pending.duration for pending in new))
        self._planned[task.path.name] = (0, 0.0) if is_later_pass else (len(new), seconds)
        if is_later_pass:
            self.run.conversations_done += len(new)
            self.run.audio_done += seconds
        self.run.conversations += len(new)
        self.run.audio_seconds += seconds

    def record_shard(self, report: "ShardReport") -> None:
        """Record a shard of the latest plan that is on the disk."""
        with self._lock:
            run = self.run
            n_conversations, seconds = self._planned[report.name]
            run.last_made = now()
            run.conversations_done += n_conversations
            run.audio_done += seconds
            if self._has_results:
                run.done += 1
                run.rejects += report.rejects
            in_stages = sum(wall for wall, _ in report.stages.values())
            run.outside += max(0.0, report.wall_seconds - in_stages)
            for name, (wall, audio) in report.stages.items():
                wall_before, audio_before = run.stages.get(name, (0.0, 0.0))
                run.stages[name] = [round(wall_before + wall, 3), round(audio_before + audio, 3)]
            run.conversation = ""
            is_last = self._has_results and run.done == run.shards
            run.at = "writing the results" if is_last else ""
            self._write_in_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._has_ended.set()
        self._ticker.join()
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
        run.conversation = ""
        run.at = ""
        with suppress(OSError) if error else nullcontext():  # the disk may be what failed
            self._write()
        if error is None:  # else the command says what happened
            self._log(f"{FINISHED} in {rough_length(run.wall_seconds)}")

    def _tick(self) -> None:
        """Until the run ends, write and log a line each half a minute."""
        while not self._has_ended.wait(LINE_SECONDS):
            with self._lock:
                if not self._is_begun:
                    continue
                with suppress(OSError):  # the next line, which is not written by this thread, raises it
                    self._write()
                self._log(self.run.current_work)

    def _write_in_time(self) -> None:
        """Write a line if the last one is old enough."""
        if not self._written_at or time.monotonic() - self._written_at >= SHARD_LINE_SECONDS:
            self._write()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        self.run.time = now()
        self.run.spent = round(self._spent(), 6) if self._spent else None
        append(self._path, asdict(self.run))

    def _log(self, what: str) -> None:
        progress = self.run.progress(datetime.now(UTC))
        log.info("%s %s: %s", now(), self.run.kind, "; ".join(filter(None, (progress, what))))


def loading_text(stages: Sequence["Stage"]) -> str:
    """Return, for people, the models of a run, whose first stage may report nothing for minutes (`--workers`)."""
    models: dict[str, str] = {}
    for stage in stages:
        models |= stage.models()
    names = []
    for role, model in models.items():
        if model:
            names.append(f"{role.replace('_', ' ')} {public(model_name(model))}")
    return f"at work with {', '.join(names)}" if names else ""


def step_text(event: "StageEvent") -> str:
    """Return the stage of an event, and how many of the steps inside it are done, for people."""
    if not event.steps_done or event.total == 1:
        return event.stage
    if event.total is None:
        return f"{event.stage}, {event.kind}: {event.steps_done:,}"
    return f"{event.stage}, {event.steps_done:,} of {event.total:,} {event.kind}"


def run_status(folder: Path, named: str = "") -> list[Run]:
    """Return the runs of a work folder that matter now: the last of each kind and `--shard`.

    Raises DailytalkError, in which the folder is `named` so, if no run was ever recorded.
    """
    shown = dict[tuple[str | int, ...], Run]()
    runs = [_as_it_is_now(run, folder) for path in journals(folder) for run in runs_back(path)]
    for run in sorted(runs, key=lambda run: run.started):
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
def hold_folder(folder: Path, kind: str, shard: tuple[int, int], force: bool = False) -> Iterator[None]:
    """Hold a work folder for a run. Only the parts of one `--shard` may work in it together.

    On this host a lock of the operating system shows whether a run works, and ends with its process. On another
    host only its events show it: a run there counts until it has recorded how it ended, or a person says that it
    is gone (`force`).

    Raises DailytalkError, naming the run, while another one works in the folder.
    """
    shown = repr(as_text(folder))
    for run in _last_runs(folder):
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


def _last_runs(folder: Path) -> list[Run]:
    """Return the last run of each journal of a folder, with its state now: all others have ended."""
    runs = []
    for path in journals(folder):
        run = next(runs_back(path), None)
        if run is not None:
            runs.append(_as_it_is_now(run, folder))
    return sorted(runs, key=lambda run: run.started)


def _as_it_is_now(run: Run, folder: Path) -> Run:
    """Return the run, which is gone if it was running on this host and holds the folder no more."""
    lock = _lock_of(folder, run.shard)
    if run.state == RUNNING and run.host == platform.node():
        with suppress(DailytalkError), locked(lock, "", "") if lock.is_file() else nullcontext():
            run.state = GONE
    return run


#: What a run holds in its work folder while it works; a part of `--shard` has its own.
RUN_LOCK = ".dailytalk-run"


def _lock_of(folder: Path, shard: Sequence[int]) -> Path:
    number, count = shard
    return folder / (RUN_LOCK if count == 1 else f"{RUN_LOCK}-{number}-of-{count}")
