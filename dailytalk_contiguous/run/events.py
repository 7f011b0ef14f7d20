"""events.jsonl: a line of JSON for the start of a run, each of its shards and its end.

`dailytalk status`, the bar and the time left read nothing else. The parts of a `--shard` have a file each, because
appending from several hosts is not atomic on NFS (Linux NFS FAQ, A9). There is no word of a conversation in it,
and no secret. Readers skip a line that a crash or a full disk has cut off.
"""

import json
import logging
import os
import platform
import shlex
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from dailytalk_contiguous.core.documents import as_text, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.store.files import inside, leads_out, locked

if TYPE_CHECKING:
    from dailytalk_contiguous.run.local import RunPlan
    from dailytalk_contiguous.run.shard import Progress, ShardReport

log = logging.getLogger("dailytalk_contiguous")

EVENTS = "events.jsonl"

Event = dict[str, Any]

#: Kinds of events of a run: a plan of what it is to make (it begins with one), a shard, and its ends.
PLANNED, SHARD = "planned", "shard"
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
    return name == EVENTS or ("/" not in name and fnmatch(name, "events.*.jsonl"))


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
            event: Any = parse_json(line, EVENTS, surrogates=True)
            events += [event] if isinstance(event, dict) and "event" in event else []
    return events


def now() -> str:
    """The time, in UTC, as ISO 8601 to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Account:
    """How far a run is, and how its processes spent their time, in seconds.

    `stages` is wall time by stage, `audio` the audio that went through each. `outside` is what shards took outside
    stages (reading, types, writing); `planning` and `outputs` are what came before and after the shards. `done`
    and `whole` are seconds of audio in the shards that it made and was to make; `at` is the stage at hand.
    """

    stages: dict[str, float] = field(default_factory=dict)
    audio: dict[str, float] = field(default_factory=dict)
    outside: float = 0.0
    planning: float = 0.0
    outputs: float = 0.0
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


class Journal:
    """Writes the events of one run; a context manager that records how it ended. It logs a line a shard.

    Args:
        out: the work folder. kind: `tag`, `speak`, `corpus`, `split`, `transcribe`, `extract` or `encode`.
        shard: (i, N) of `--shard`. workers: processes.
        spent: returns the USD that the run has spent so far; None for a run that costs nothing.

    Attributes:
        account: how far the run is, and how it spent its time.
        rejects: how many rejects.jsonl lists at the end of the run, set by whoever writes it; None before.
    """

    def __init__(
        self,
        out: Path,
        kind: str,
        shard: tuple[int, int] = (1, 1),
        workers: int = 1,
        spent: Callable[[], float] | None = None,
    ) -> None:
        self._path = out / (EVENTS if shard == (1, 1) else f"events.{shard[0]}-of-{shard[1]}.jsonl")
        self.account = Account()
        self.rejects: int | None = None
        self._spent, self._kind = spent, kind
        self._about = {"kind": kind, "host": platform.node(), "pid": os.getpid(), "shard": [*shard]}
        self._about |= {"workers": workers, "version": version("dailytalk-contiguous")}
        self._run, self._begun = uuid.uuid4().hex[:12], False
        self._mark, self._n_made, self._n_planned = time.perf_counter(), 0, 0

    def __enter__(self) -> Self:
        return self

    def telling(self, progress: "Progress") -> "Progress":
        """A function that notes the stage at hand and passes on to `progress` what is not of a step inside one."""

        def pass_on(stage: str, audio: float, wall: float | None, step: str = "") -> None:
            self.account.at = f"{stage}, {step}" if step else stage
            if not step:
                progress(stage, audio, wall)

        return pass_on

    def planned(self, plan: "RunPlan", conversations: int, audio_seconds: float, stages: Sequence[str]) -> None:
        """Record and log what will be done; `conversations` and `audio_seconds` are those of the whole input.

        Nothing is written if nothing is to be done, unless an earlier run did not say how it ended.
        """
        if not self._n_planned and not self.account.planning:
            self.account.planning = time.perf_counter() - self._mark
        self._mark = time.perf_counter()
        self._n_planned += len(plan.tasks)
        self.account.whole += plan.seconds
        if plan.tasks:
            log.info(
                "%s %s: found %s, %s; %s, %d of them to make (%s)",
                *(now(), self._kind, counted(conversations, content_of(self._kind)), length_text(audio_seconds)),
                *(counted(len(plan.paths), "shard"), len(plan.tasks), length_text(plan.seconds)),
            )
        elif not self._begun and all(run.state == FINISHED for run in _known(self._path.parent)[-1:]):
            return
        self._begun = True
        hours = {"hours": audio_seconds / 3600, "hours_left": plan.seconds / 3600}
        self._write(
            PLANNED,
            **self._about,
            shards=len(plan.paths),
            shards_left=len(plan.tasks),
            **{name: round(value, 7) for name, value in hours.items()},
            stages=[*stages],
        )

    def made(self, made: "ShardReport") -> None:
        account = self.account
        self._n_made += 1
        account.done += made.audio_seconds
        for stage, took in made.stage_seconds.items():
            account.stages[stage] = account.stages.get(stage, 0.0) + took
            account.audio[stage] = account.audio.get(stage, 0.0) + made.stage_audio[stage]
        account.outside += made.outside_seconds
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
            *(now(), self._n_made, self._n_planned, made.path.name),
            *(counted(made.conversations, content_of(self._kind)), made.audio_seconds / 60, made.wall_seconds),
            *(
                account.done / 3600,
                account.whole / 3600,
                account.speed or 0.0,
                length(account.seconds_left or 0.0),
            ),
            f", {spent:.4f} USD spent" if spent else "",
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
        with suppress(OSError):  # the disk may be what failed; `error` is reported anyway
            if isinstance(error, KeyboardInterrupt | GeneratorExit):
                self._write(STOPPED, reason="stopped")
            elif isinstance(error, DailytalkError):
                self._write(FAILED, reason=f"{error.reason}: {error.remedy}")
            else:  # only its type, because the message of an unforeseen error may quote a conversation
                strerror = error.strerror if isinstance(error, OSError) else None
                self._write(FAILED, reason=strerror.lower() if strerror else type(error).__name__)

    def _write(self, event: str, **fields: Any) -> None:
        spent = {"spent": round(self._spent(), 6)} if self._spent else {}
        path = inside(self._path.parent, self._path.name)
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
        shards, audio_seconds: what it planned to make. done, audio_done: what it has made.
        rejects: conversations rejected among them; once the run is finished, all lines of rejects.jsonl.
        spent: USD; None for a run that costs nothing.
        state: `finished`, `stopped`, `failed`, `running`, or `gone` if it was killed. reason: why it failed.
    """

    run: str
    kind: str
    shard: tuple[int, int]
    host: str
    pid: int
    started: datetime
    last_event: datetime
    shards: int = 0
    audio_seconds: float = 0.0
    done: int = 0
    audio_done: float = 0.0
    rejects: int = 0
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
        """The run in `--json`: seconds of audio, `speed` times real time, the time left in seconds."""
        times = {name: getattr(self, name).isoformat(timespec="seconds") for name in ("started", "last_event")}
        pace = {"speed": self.speed, "seconds_left": self.left_seconds(at)}
        return asdict(self) | times | {name: value and round(value, 2) for name, value in pace.items()}


def runs_of(events: Iterable[Event]) -> list[Run]:
    """All runs, in the order in which they began.

    Events of a run whose start is missing are skipped, and those that somebody or another version has broken.
    """
    runs: dict[str, Run] = {}
    for event in events:
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            _take(runs, event)
    return list(runs.values())


def _take(runs: dict[str, Run], event: Event) -> None:
    moment = datetime.fromisoformat(event["time"]).astimezone(UTC)
    run = runs.get(event["run"])
    if event["event"] == PLANNED:
        shards, hours = int(event["shards_left"]), float(event["hours_left"])
        if run is None:
            number, count = map(int, event["shard"])
            about = str(event["kind"]), (number, count), str(event["host"]), int(event["pid"])
            for earlier in runs.values():  # the lock was free: it was killed
                earlier.state = GONE if earlier.state == RUNNING else earlier.state
            run = runs[event["run"]] = Run(event["run"], *about, moment, moment)
        run.shards, run.audio_seconds = run.shards + shards, run.audio_seconds + 3600 * hours
    elif run is None:
        return
    elif event["event"] == SHARD:
        rejects, audio = int(event["rejects"]), float(event["audio_seconds"])
        run.done, run.audio_done, run.rejects = run.done + 1, run.audio_done + audio, run.rejects + rejects
    elif event["event"] in ENDS:
        run.rejects = int(event.get("rejects", run.rejects))
        run.state, run.reason = event["event"], str(event.get("reason", ""))
    run.last_event, run.spent = moment, event.get("spent", run.spent)


def run_status(folder: Path, named: str = "") -> list[Run]:
    """The runs of a work folder that matter now: those that are running, and the last of each kind and `--shard`.

    `named`: the folder's name in an error; its path by default. Raises DailytalkError if no run was ever recorded.
    """
    runs = _known(folder)
    if not runs:
        raise DailytalkError(
            f"no run was recorded in {named or repr(str(folder))}",
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
    host only its events are known: a run there counts until it has said how it ended, or a person says that it is
    gone (`force`).

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
            remedy += f"; if it was killed, pass --force, or delete {EVENTS} there"
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


def _known(folder: Path) -> list[Run]:
    """All runs that the journals of a folder have, in the order in which they began, with their states now."""
    runs = [run for path in journals(folder) for run in runs_of(read_events(path))]
    for run in runs:
        if run.state == RUNNING and run.host == platform.node() and not _is_locked(_lock_of(folder, run.shard)):
            run.state = GONE
    return sorted(runs, key=lambda run: run.started)


def _lock_of(folder: Path, shard: tuple[int, int]) -> Path:
    return folder / (RUN_LOCK if shard == (1, 1) else f"{RUN_LOCK}-{shard[0]}-of-{shard[1]}")


def _is_locked(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0) if path.is_file() and not path.is_symlink() else nullcontext():
            return False
    except Timeout:
        return True
