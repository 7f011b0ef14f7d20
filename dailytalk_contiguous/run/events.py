"""events.jsonl: a line of JSON for the start of a run, each of its shards and its end.

`dailytalk status`, the bar and the time left read nothing else. The parts of a `--shard` have a file each, because
appending from several hosts is not atomic on NFS (Linux NFS FAQ, A9). There is no word of a conversation in it,
and no secret. Readers skip a line that a crash or a full disk has cut off.
"""

import fnmatch
import json
import logging
import os
import platform
import shlex
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from dailytalk_contiguous.core.documents import MOST_LINE_BYTES, as_text, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.store.files import inside, leads_out, locked

if TYPE_CHECKING:
    from dailytalk_contiguous.run.local import RunPlan
    from dailytalk_contiguous.run.shard import Progress, ShardReport

log = logging.getLogger("dailytalk_contiguous")

EVENTS, _OF_PARTS = "events.jsonl", "events.*.jsonl"

Event = dict[str, Any]

#: Kinds of events of a run: its start, a further plan, a shard, and its ends.
STARTED, PLANNED, SHARD = "started", "planned", "shard"
FINISHED, STOPPED, FAILED = ENDS = ("finished", "stopped", "failed")

#: States of a run beside its ends; one that is gone was killed.
RUNNING, GONE = "running", "gone"

#: What a run holds in its work folder while it works; a part of `--shard` has its own.
RUN_LOCK = ".dailytalk-run"


def append(path: Path, event: Event, sync: bool = False) -> None:
    """Add an event in one write; with `sync`, it is on the disk when this returns. Raises OSError."""
    line = json.dumps(event, allow_nan=False).encode() + b"\n"  # ASCII: names may hold what is no UTF-8
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line  # what a crash cut off stays a line of its own
        file.write(line)
        if sync:
            os.fsync(file.fileno())


def is_journal(name: str) -> bool:
    """Whether a path relative to a work folder names a file of events."""
    return name == EVENTS or ("/" not in name and fnmatch.fnmatch(name, _OF_PARTS))


def journals(folder: Path) -> list[Path]:
    """The files of events in a work folder, except links out of it."""
    return sorted(
        path for path in folder.glob("events*.jsonl") if is_journal(path.name) and not leads_out(path, folder)
    )


def read_events(path: Path) -> list[Event]:
    """The events of a file, without lines that a crash cut off."""
    events = list[Event]()
    for _, line in numbered_lines(path) if path.is_file() else ():
        with suppress(BadInput):
            event: Any = parse_json(line, EVENTS, limit=MOST_LINE_BYTES, surrogates=True)
            events += [event] if isinstance(event, dict) and "event" in event else []
    return events


def now() -> str:
    """The time, in UTC, as ISO 8601 to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Account:
    """How the processes of a run spent their time, in seconds.

    `stages` is wall time by stage, `audio` the audio that went through each. `outside` is what shards took outside
    stages (reading, types, writing); `planning` and `outputs` are what came before and after the shards.
    """

    stages: dict[str, float]
    audio: dict[str, float]
    outside: float = 0.0
    planning: float = 0.0
    outputs: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The account in run.json and --json, to a millisecond. `outputs` is left out until it is known."""
        totals = {"planning": self.planning, "outside_stages": self.outside}
        totals |= {"outputs": self.outputs} if self.outputs else {}
        return {
            "stages": {
                name: {"seconds": round(took, 3), "audio_seconds": round(self.audio[name], 2)}
                for name, took in self.stages.items()
            }
        } | {f"{name}_seconds": round(took, 3) for name, took in totals.items()}


@dataclass
class RunPace:
    """How far a run is: seconds of audio in the shards that it made and was to make, and the stage at hand."""

    done: float = 0.0
    whole: float = 0.0
    at: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def speed(self) -> float | None:
        """Seconds of audio a second; None before the first shard."""
        return self.done / max(time.monotonic() - self.began, 1e-3) if self.done else None

    @property
    def seconds_left(self) -> float | None:
        return (self.whole - self.done) / self.speed if self.speed else None


class Journal:
    """Writes the events of one run; a context manager that records how it ended. It logs a line a shard.

    Args:
        out: the work folder. kind: `tag`, `speak`, `corpus`, `split`, `transcribe`, `extract` or `encode`.
        digest: of the stages that are run.
        command: the command line, as in run.json. shard: (i, N) of `--shard`. workers: processes.
        spent: returns the USD that the run has spent so far; None for a run that costs nothing.

    Attributes:
        pace: how far the run is.
        rejects: how many rejects.jsonl lists at the end of the run, set by whoever writes it; None before.
    """

    def __init__(
        self,
        out: Path,
        kind: str,
        digest: str,
        command: str = "",
        shard: tuple[int, int] = (1, 1),
        workers: int = 1,
        spent: Callable[[], float] | None = None,
    ) -> None:
        self._out = out
        self._name = EVENTS if shard == (1, 1) else _OF_PARTS.replace("*", f"{shard[0]}-of-{shard[1]}")
        self.account, self.pace = Account({}, {}), RunPace()
        self.rejects: int | None = None
        self._spent, self._run = spent, uuid.uuid4().hex[:12]
        self._about: dict[str, Any] = {
            "kind": kind,
            "command": command,
            "version": version("dailytalk-contiguous"),
            "digest": digest,
            "shard": list(shard),
            "workers": workers,
        }
        self._planned = self._begun = False
        self._mark = time.perf_counter()
        self._done = self._of = 0

    def __enter__(self) -> Self:
        return self

    def telling(self, progress: "Progress") -> "Progress":
        """A function that notes the stage at hand and passes on to `progress` what is not of a step inside one."""

        def pass_on(stage: str, audio: float, wall: float | None, step: str = "") -> None:
            self.pace.at = f"{stage}, {step}" if step else stage
            if not step:
                progress(stage, audio, wall)

        return pass_on

    def found(self, plan: "RunPlan", conversations: int, audio_seconds: float) -> None:
        """Log what the input has and what is to be made of it; nothing if all is made."""
        if plan.tasks:
            log.info(
                "%s %s: found %s, %s; %s, %d of them to make (%s)",
                *(now(), self._about["kind"], counted(conversations, content_of(self._about["kind"]))),
                *(length_text(audio_seconds), counted(len(plan.paths), "shard"), len(plan.tasks)),
                length_text(plan.seconds),
            )

    def planned(self, plan: "RunPlan", audio_seconds: float, stages: Sequence[str]) -> None:
        """Record what will be done; `audio_seconds` are those of the whole input.

        Nothing is written if nothing is to be done, unless an earlier run did not say how it ended.
        """
        if not self._planned:
            self.account.planning = time.perf_counter() - self._mark
        self._planned, self._mark = True, time.perf_counter()
        self._of += len(plan.tasks)
        self.pace.whole += plan.seconds
        if not plan.tasks and not self._begun and all(run.state == FINISHED for run in _known(self._out)[-1:]):
            return
        summary = {
            "shards": len(plan.paths),
            "shards_left": len(plan.tasks),
            "hours": round(audio_seconds / 3600, 7),
            "hours_left": round(plan.seconds / 3600, 7),
            "stages": list(stages),
        }
        if self._begun:
            self._write(PLANNED, plan=summary)
        else:
            self._begun = True
            self._write(STARTED, host=platform.node(), pid=os.getpid(), **self._about, plan=summary)

    def made(self, made: "ShardReport") -> None:
        self._done += 1
        self.pace.done += made.audio_seconds
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
        )
        spent = self._spent and self._spent()
        log.info(
            "%s shard %d of %d: %s, %s, %.1f min in %.1f s; %.2f of %.2f h at %.1f× real time, %s left%s",
            *(now(), self._done, self._of, made.path.name),
            *(counted(made.conversations, content_of(self._about["kind"])), made.audio_seconds / 60),
            *(made.wall_seconds, self.pace.done / 3600, self.pace.whole / 3600, self.pace.speed or 0.0),
            *(length(self.pace.seconds_left or 0.0), f", {spent:.4f} USD spent" if spent else ""),
        )
        self._mark = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.account.outputs = time.perf_counter() - self._mark
        if not self._begun:
            return
        if error is None:
            self._write(FINISHED, **({} if self.rejects is None else {"rejects": self.rejects}))
            return
        stopped = isinstance(error, KeyboardInterrupt | GeneratorExit)
        with suppress(OSError):  # the disk may be what failed; `error` is reported anyway
            if stopped:
                self._write(STOPPED, reason="stopped")
            elif isinstance(error, DailytalkError):
                self._write(FAILED, reason=f"{error.reason}: {error.remedy}")
            else:  # only its type, because the message of an unforeseen error may quote a conversation
                strerror = error.strerror if isinstance(error, OSError) else None
                self._write(FAILED, reason=strerror.lower() if strerror else type(error).__name__)

    def _write(self, event: str, **fields: Any) -> None:
        spent = {"spent": round(self._spent(), 6)} if self._spent else {}
        path = inside(self._out, self._name)
        append(path, {"event": event, "time": now(), "run": self._run, **fields, **spent})


def content_of(kind: str) -> str:
    kinds = {"corpus": "clip", "transcribe": "clip", "split": "recording"}
    return kinds.get(kind, "conversation")


def length(seconds: float) -> str:
    """A duration for people: `12 s`, `3.5 min`, `7.2 h`, `4.1 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.1f} days"


@dataclass
class Run:
    """One run, as far as it is known from its events.

    Attributes:
        run: its id. kind: `tag` or `speak`. shard: (i, N) of `--shard`. host, pid: its process.
        started, last_event: times.
        shards_all: of the whole work folder. shards, audio_seconds: what it planned to make.
        done, audio_done: what it has made.
        rejects: conversations rejected among them; once rejects.jsonl is written (`explained`), all of its lines.
        stages: wall seconds by stage, over all workers.
        workers: ids of the processes that made its shards. spent: USD; None for a run that costs nothing.
        state: `finished`, `stopped`, `failed`, `running`, or `gone` if it was killed.
        reason: why it failed.
    """

    run: str
    kind: str
    shard: tuple[int, int]
    host: str
    pid: int
    started: datetime
    last_event: datetime
    shards_all: int = 0
    shards: int = 0
    audio_seconds: float = 0.0
    done: int = 0
    audio_done: float = 0.0
    rejects: int = 0
    explained: bool = False
    stages: Counter[str] = field(default_factory=Counter)
    workers: set[int] = field(default_factory=set)
    spent: float | None = None
    state: str = RUNNING
    reason: str = ""

    @property
    def speed(self) -> float | None:
        """Seconds of audio a second of this run, up to its last event; None before its first shard."""
        if not self.done:
            return None
        return self.audio_done / max((self.last_event - self.started).total_seconds(), 1e-3)

    def left_seconds(self, at: datetime) -> float | None:
        """Wall seconds that a running run still needs, by its speed so far; None if that is not known."""
        if self.state != RUNNING or not self.speed:
            return None
        due = (self.audio_seconds - self.audio_done) / self.speed
        return max(0.0, due - (at - self.last_event).total_seconds())

    def as_dict(self, at: datetime) -> dict[str, Any]:
        """The run in `--json`: hours of audio, `speed` times real time, the age and the time left in seconds."""
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
            "speed": None if self.speed is None else round(self.speed, 2),
            "seconds_left": None if left is None else round(left, 1),
            "spent": self.spent,
            "workers": len(self.workers),
            "stage_seconds": {stage: round(took, 2) for stage, took in self.stages.items()},
        }


def run_status(folder: Path, named: str = "") -> list[Run]:
    """The runs of a work folder that matter now: those that are running, and the last of each kind and `--shard`.

    `named`: the folder's name in an error; its path by default. Raises DailytalkError if no run was ever recorded.
    """
    runs = _known(folder)
    if not runs:
        why = f"its {EVENTS} lists none" if journals(folder) else f"there is no {EVENTS} in it"
        raise DailytalkError(
            f"no run was recorded in {named or repr(str(folder))} ({why})",
            "name the folder that a run was given with --out",
        )
    shown: list[Run] = []
    for run in runs:
        # A whole run that finished replaces all earlier ones of its kind.
        whole = run.state == FINISHED and run.shard == (1, 1)
        shown = [
            earlier
            for earlier in shown
            if earlier.state == RUNNING or earlier.kind != run.kind or not (whole or earlier.shard == run.shard)
        ]
        shown.append(run)
    return shown


@contextmanager
def alone(folder: Path, kind: str, shard: tuple[int, int], force: bool = False) -> Iterator[None]:
    """Hold a work folder for a run. Parts of one `--shard` go together, anything else does not.

    On this host a lock of the operating system says whether a run works, and ends with its process. Of another
    host
    only its events are known: a run there counts until it has said how it ended, or a person says that it is gone
    (`force`).

    Raises DailytalkError, naming the run, while another one works in the folder.
    """
    shown = repr(as_text(folder))
    for run in _known(folder):
        elsewhere = run.host != platform.node()
        is_part = run.kind == kind and run.shard[1] == shard[1] and run.shard[0] != shard[0]
        if run.state != RUNNING or is_part or (elsewhere and force):
            continue
        remedy = f"wait until it ends (dailytalk status {shlex.quote(as_text(folder))}), or take another --out"
        if elsewhere:
            can_force = kind in ("tag", "speak", "build")
            remedy += f"; if it was killed, {'pass --force' if can_force else f'delete {EVENTS} there'}"
        since, host = f"{run.started:%Y-%m-%d %H:%M:%S} UTC", " ".join(run.host.split())
        raise DailytalkError(
            f"{run.kind} works in {shown} already: on {host}, process {run.pid}, since {since}", remedy
        )
    lock = _lock_of(folder, shard)
    with locked(lock, f"another run begins or ends in {shown}", "run this again in a minute"):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                lock.unlink()


def runs_of(events: Iterable[Event]) -> list[Run]:
    """All runs, in the order in which they began.

    Events of a run whose start is missing are skipped, and those that somebody or another version has broken.
    """
    runs: dict[str, Run] = {}
    for event in events:
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            moment = datetime.fromisoformat(event["time"]).astimezone(UTC)
            if event["event"] == STARTED:
                where = (str(event["host"]), int(event["pid"]))
                number, count = map(int, event["shard"])
                new = Run(event["run"], str(event["kind"]), (number, count), *where, moment, moment)
                for earlier in runs.values():  # the lock was free: it was killed
                    earlier.state = GONE if earlier.state == RUNNING else earlier.state
                runs[event["run"]] = new
            _note(runs[event["run"]], event, moment)
    return list(runs.values())


def _known(folder: Path) -> list[Run]:
    """All runs that the journals of a folder have, in the order in which they began, with their states now."""
    runs = [run for path in journals(folder) for run in runs_of(read_events(path))]
    for run in runs:
        if run.state == RUNNING and run.host == platform.node() and not _is_locked(_lock_of(folder, run.shard)):
            run.state = GONE
    return sorted(runs, key=lambda run: run.started)


def _note(run: Run, event: Event, moment: datetime) -> None:
    run.spent = float(event["spent"]) if "spent" in event else run.spent
    if event["event"] in (STARTED, PLANNED):
        plan = event["plan"]
        run.shards_all, hours = int(plan["shards"]), float(plan["hours_left"])
        run.shards += int(plan["shards_left"])
        run.audio_seconds += 3600 * hours
    elif event["event"] == SHARD:
        rejects, audio = int(event["rejects"]), float(event["audio_seconds"])
        run.stages += Counter({name: float(took) for name, took in event["stages"].items()})
        run.workers.add(int(event["worker"]))
        run.done, run.audio_done, run.rejects = run.done + 1, run.audio_done + audio, run.rejects + rejects
    elif event["event"] in ENDS:
        run.state = event["event"]
        run.rejects, run.explained = int(event.get("rejects", run.rejects)), "rejects" in event
        run.reason = str(event.get("reason", ""))
    run.last_event = moment


def _lock_of(folder: Path, shard: tuple[int, int]) -> Path:
    return folder / (RUN_LOCK if shard == (1, 1) else f"{RUN_LOCK}-{shard[0]}-of-{shard[1]}")


def _is_locked(path: Path) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
