"""events.jsonl: the record of a run while it lasts, which `dailytalk status` reads."""

import fnmatch
import json
import logging
import os
import platform
import re
import shlex
import threading
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

from dailytalk_contiguous.core.documents import MOST_LINE_BYTES, as_text, fits, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.steps import LOG_SECONDS
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.forecast import Forecast
from dailytalk_contiguous.sources.store_notes import NOTES
from dailytalk_contiguous.store.files import inside, leads_out, locked

if TYPE_CHECKING:
    from dailytalk_contiguous.run.local import RunPlan
    from dailytalk_contiguous.run.shard import Progress, ShardReport

# The files of events in a work folder, for `dailytalk status` and for anyone who looks later.
#
# The processes of a host append to one file, each event in one write, so that lines never mix; every further host
# has its own file beside it, because appending from several hosts is atomic neither on NFS (Linux NFS FAQ, A9) nor
# in a store. Readers skip a line that a crash or a full disk has cut off.


#: The file of the host that came first, and those of further ones.
EVENTS, _FURTHER = "events.jsonl", "events.{host}.jsonl"

#: Bytes at the end of a file that are searched for the last event.
TAIL_BYTES = 1 << 16

Event = dict[str, Any]

#: Kinds of events of a run: its start, a further plan, its progress, a shard, and its ends.
STARTED, PLANNED, PROGRESS, SHARD = "started", "planned", "progress", "shard"
FINISHED, STOPPED, FAILED = ENDS = ("finished", "stopped", "failed")

_EVENT = {"event": str, "time": str, "run": str, "spent?": float}
_PLAN = {"plan": {"shards": int, "shards_left": int, "hours_left": float}}
_MORE: dict[str, dict[str, Any]] = {
    STARTED: {"kind": str, "shard": [int], "host": str, "pid": int, "born": str, **_PLAN},
    PLANNED: _PLAN,
    PROGRESS: {"stage": str, "share?": float, "seconds_left?": float},
    SHARD: {"audio_seconds": float, "wall_seconds": float, "rejects": int, "worker": int, "stages": {str: float}},
    **{end: {"rejects?": int, "reason?": str} for end in ENDS},
}


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
    return fnmatch.fnmatch(name, _FURTHER.format(host="*")) or name == EVENTS


def journals(folder: Path) -> list[Path]:
    """The files of events in a work folder, one a host, except links out of it."""
    return sorted(
        path for path in folder.glob("events*.jsonl") if is_journal(path.name) and not leads_out(path, folder)
    )


def journal_of_host(folder: Path, host: str | None = None) -> Path:
    """The file that a host (by default, this one) adds its events to, in a work folder that need not be there yet.

    That is `events.jsonl` for the host that created it. In the mirror of a folder in a store, every host has a
    file under its own name: there nobody knows which host was first. Raises BadInput if the path is a link out of
    the folder, or not a file.
    """
    host = host or platform.node()
    own = folder / _FURTHER.format(host=re.sub(r"[^A-Za-z0-9-]+", "-", host))
    if own.exists() or (folder / NOTES).exists():
        return inside(folder, own.name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / EVENTS).touch(exist_ok=False)
    except FileExistsError:
        with inside(folder, EVENTS).open("rb") as file:
            first = next(_events([file.readline(MOST_LINE_BYTES + 1)]), {})
        return folder / EVENTS if first.get("host") == host else own
    return folder / EVENTS


def read_events(path: Path) -> list[Event]:
    return list(_events(line for _, line in numbered_lines(path))) if path.is_file() else []


def _events(lines: Iterable[bytes]) -> Iterator[Event]:
    for line in lines:
        with suppress(BadInput):  # cut off by a crash, or no event
            event = parse_json(line, EVENTS, limit=MOST_LINE_BYTES, surrogates=True) if line.strip() else None
            if isinstance(event, dict) and "event" in event:
                yield event


def is_whole(event: Event) -> bool:
    """Whether an event of a run has what readers rely on: an edit or another version may have broken it."""
    if not fits(event, _EVENT) or not fits(event, _MORE.get(event["event"], {})):
        return False
    try:
        moment = datetime.fromisoformat(event["time"])
    except ValueError:
        return False
    is_process = event["event"] != STARTED or (len(event["shard"]) == 2 and 0 < event["pid"] < 1 << 31)
    return moment.tzinfo is not None and is_process


def last_event(folder: Path) -> Event | None:
    """The last event of all hosts; None if there are no events."""
    latest = []
    for path in journals(folder):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            latest += list(_events(file.read().split(b"\n")))[-1:]
    return max(latest, key=lambda event: str(event.get("time")), default=None)


# What a run writes to events.jsonl: its plan, each shard, its end, and how long everything took.
#
# There is a line a shard and now and then one with the progress, never one a stage or an utterance, and a run that
# has nothing to do adds none. It holds no word of a conversation, and no secret.


log = logging.getLogger("dailytalk_contiguous")

#: Seconds between two events of progress; in a long run, this share of the time that it has taken.
TELL_SECONDS, TELL_SHARE = 10.0, 0.01


def now() -> str:
    """The time, in UTC, as ISO 8601 to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def birth(pid: int) -> str:
    """When a process of this host began, in ticks since the host's start; empty if the system does not say.

    It distinguishes a process from a later one with the same id, and "ended" is one that nobody has waited for
    (fields 22 and 3 of /proc/PID/stat, proc(5)).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # from the third: a program's name may hold anything
    return "ended" if fields[0] == "Z" else fields[19]


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


class Journal:
    """Writes the events of one run; a context manager that records how it ended.

    It logs a line at once, one a finished shard, and one a minute with the progress where none is finished for so
    long.

    Args:
        out: the work folder. kind: `tag`, `speak`, `corpus`, `split`, `transcribe`, `extract` or `encode`.
        digest: of the stages that are run.
        command: the command line, as in run.json. shard: (i, N) of `--shard`. workers: processes.
        spent: returns the USD that the run has spent so far; None for a run that costs nothing.

    Attributes:
        forecast: how far the run is, and how long the rest will take.
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
            "digest": digest,
            "shard": list(shard),
            "workers": workers,
        }
        self._planned = self._begun = False
        self._entered = self._mark = self._logged = time.perf_counter()
        self._names_status = not (
            out / NOTES
        ).exists()  # the mirror of a folder in a store has a path that nobody knows
        self._done = self._of = 0
        self._audio = self._audio_left = 0.0

    def __enter__(self) -> Self:
        self._teller.start()
        return self

    def telling(self, progress: "Progress") -> "Progress":
        """A function that passes the same on to the forecast and to `progress`."""

        def pass_on(*event: Any) -> None:
            self.forecast.progress(*event)
            if len(event) == 3:  # not of a step inside a stage
                progress(*event)

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

        Nothing is written if nothing is to be done, unless the events of an earlier run lack its end.
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
            where = {"host": platform.node(), "pid": os.getpid(), "born": birth(os.getpid())}
            self._write(STARTED, **where, **self._about, plan=summary)

    def made(self, made: "ShardReport") -> None:
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
        with suppress(OSError):  # the disk may be what failed; `error` is reported anyway
            if stopped:
                self._write(STOPPED, reason="stopped")
            elif isinstance(error, DailytalkError):
                self._write(FAILED, reason=f"{error.reason}: {error.remedy}")
            else:  # only its type, because the message of an unforeseen error may quote a conversation
                strerror = error.strerror if isinstance(error, OSError) else None
                self._write(FAILED, reason=strerror.lower() if strerror else type(error).__name__)

    def _tell_progress(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(max(TELL_SECONDS, TELL_SHARE * (time.monotonic() - began))):
            if self._begun and self.forecast.stage:
                with suppress(OSError):  # a full disk ends the run where it writes what matters
                    self._write(PROGRESS, stage=self.forecast.at, **self._left())
                if time.perf_counter() - self._logged >= LOG_SECONDS:
                    self._log_progress()

    def _left(self) -> dict[str, float]:
        """How much of the work is done and how long the rest takes, if that is known."""
        share, left = self.forecast.share, self.forecast.seconds_left
        return {} if share is None or left is None else {"share": round(share, 4), "seconds_left": round(left, 1)}

    def _write(self, event: str, **fields: Any) -> None:
        spent = {"spent": round(self._spent(), 6)} if self._spent else {}
        self._path = self._path or journal_of_host(self._out)  # not before: a run may have no events
        append(self._path, {"event": event, "time": now(), "run": self._run, **fields, **spent})

    def _log_progress(self) -> None:
        self._logged = time.perf_counter()
        done, whole = self.forecast.audio
        far = f"{self.forecast.at}; {length(done)} of {length(whole)} through all stages"
        if known := self._left():
            far += f", {known['share']:.0%} of the work done, {length(known['seconds_left'])} left"
        else:
            far += f" after {length(self.forecast.elapsed)}, the time left is not known yet"
        status = f"; `dailytalk status {as_text(self._out)}` says it at any time" if self._names_status else ""
        self._names_status = False
        log.info("%s %s%s", now(), far, status)

    def _log(self, made: "ShardReport") -> None:
        self._logged = time.perf_counter()
        wall = time.perf_counter() - self._entered
        speed = self._audio / wall
        left = self.forecast.seconds_left
        spent = self._spent and self._spent()
        money = f", {spent:.4f} USD spent" if spent else ""
        log.info(
            "%s shard %d of %d: %s, %s, %.1f min in %.1f s; %.2f of %.2f h at %.1f× real time, %s",
            *(now(), self._done, self._of, made.path.name),
            *(counted(made.conversations, content_of(self._about["kind"])), made.audio_seconds / 60),
            *(made.wall_seconds, self._audio / 3600, self._audio_left / 3600, speed),
            f"{'unknown' if left is None else length(left)} left{money}",
        )


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


# What the runs in a work folder are doing, known from its events alone, during a run or after any end.
#
# A run that was killed writes no end. On its own host that is known because its process is gone; on another host
# there is only silence, and it is called no more than that.


RUNNING, GONE, SILENT = "running", "gone", "silent"

#: A run on another host is silent after so many seconds without an event, or so many times its longest shard if
#: that is longer.
SILENT_SECONDS = 600.0
SILENT_SHARDS = 3.0


@dataclass
class Run:
    """One run, as far as it is known from its events.

    Attributes:
        run: its id. kind: `tag` or `speak`. shard: (i, N) of `--shard`. host, pid, born: its process.
        started, last_event, last_shard: times; None before the first shard.
        shards_all: of the whole work folder. shards, audio_seconds: what it planned to make.
        done, audio_done: what it has made.
        rejects: conversations rejected among them; once rejects.jsonl is written (`explained`), all of its lines.
        stages: wall seconds by stage, over all workers. longest: wall seconds of its longest shard.
        stage, share, seconds_left: the stage at its last event, how much of the work was done then (0 to 1, in
            seconds of work), and how long the rest would take; empty and None if that was not known.
        workers: ids of the processes that made its shards. spent: USD; None for a run that costs nothing.
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

        From its last event, if that time is not over yet; without one in the events, from its speed.
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
            "stage": self.stage if self.state == RUNNING else "",
            "share": self.share,
            "speed": None if self.speed is None else round(self.speed, 2),
            "seconds_left": None if left is None else round(left, 1),
            "spent": self.spent,
            "workers": len(self.workers),
            "stage_seconds": {stage: round(took, 2) for stage, took in self.stages.items()},
        }


def run_status(
    folder: Path,
    at: datetime | None = None,
    lives: Callable[[int, str], bool] | None = None,
    named: str = "",
) -> list[Run]:
    """The runs of a work folder that matter now: those that are running, and the last of each kind and `--shard`.

    Args:
        folder: the work folder.
        at: the time; now by default. lives: whether a process of this host (its id, its birth) still runs.
        named: the folder's name in an error; its path by default.

    Raises DailytalkError if no run was ever recorded.
    """
    runs = _known(folder, at, lives)
    if not runs:
        why = f"its {EVENTS} lists none" if journals(folder) else f"there is no {EVENTS} in it"
        raise DailytalkError(
            f"no run was recorded in {named or repr(str(folder))} ({why})",
            "name the folder that a run was given with --out",
        )
    return _that_matter(runs)


def _known(folder: Path, at: datetime | None, lives: Callable[[int, str], bool] | None) -> list[Run]:
    """All runs that the journals of a folder have, in the order in which they began, with their states now."""
    events = (read_events(path) for path in journals(folder))
    runs = sorted((run for of_host in events for run in runs_of(of_host)), key=lambda run: run.started)
    for run in runs:
        if run.state == RUNNING:
            if run.host == platform.node():
                run.state = RUNNING if (lives or process_lives)(run.pid, run.born) else GONE
            elif ((at or datetime.now(UTC)) - run.last_event).total_seconds() > max(
                SILENT_SECONDS, SILENT_SHARDS * run.longest
            ):
                run.state = SILENT
    return runs


#: What a run holds in its work folder while it works; a part of `--shard` has its own.
RUN_LOCK = ".dailytalk-run"

#: Seconds by which clocks of hosts, or what they see of a file on NFS, may be apart.
_APART_SECONDS = 60.0

#: The most seconds between two events of a run that works.
_MOST_BETWEEN = 3600.0


@contextmanager
def alone(folder: Path, kind: str, shard: tuple[int, int], at: datetime | None = None) -> Iterator[None]:
    """Hold a work folder for a run. Parts of one `--shard` go together, anything else does not.

    On this host that is a lock, which ends with its process. A lock may not reach to another host, so a run there
    counts while its events come: one that was killed is no longer waited for after two that are missing.

    Raises DailytalkError, naming the run, while another one works in the folder.
    """
    now, shown = at or datetime.now(UTC), repr(as_text(folder))
    for run in _known(folder, now, None):
        is_part = run.kind == kind and run.shard[1] == shard[1] and run.shard[0] != shard[0]
        if run.state != RUNNING or is_part or (run.host, run.pid) == (platform.node(), os.getpid()):
            continue
        remedy = f"wait until it ends (dailytalk status {shlex.quote(as_text(folder))}), or take another --out"
        if run.host != platform.node():
            worked, silent = run.last_event - run.started, (now - run.last_event).total_seconds()
            between = max(TELL_SECONDS, min(TELL_SHARE * worked.total_seconds(), _MOST_BETWEEN))
            left = 2 * between + _APART_SECONDS - silent
            if left < 0 or silent < -_APART_SECONDS:  # nobody can say when an event of the future was
                continue
            remedy += f"; if it was killed, run this again in {length(left)}"
        since, host = f"{run.started:%Y-%m-%d %H:%M:%S} UTC", " ".join(run.host.split())
        raise DailytalkError(
            f"{run.kind} works in {shown} already: on {host}, process {run.pid}, since {since}", remedy
        )
    lock = folder / (RUN_LOCK if shard == (1, 1) else f"{RUN_LOCK}-{shard[0]}-of-{shard[1]}")
    with locked(lock, f"another run begins or ends in {shown}", "run this again in a minute"):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                lock.unlink()


def runs_of(events: Iterable[Event]) -> list[Run]:
    """All runs, in the order in which they began.

    Damaged events, and those of a run whose start is missing, are skipped.
    """
    runs: dict[str, Run] = {}
    for event in filter(is_whole, events):
        moment = datetime.fromisoformat(event["time"])
        if event["event"] == STARTED:
            number, count = event["shard"]
            where = (event["host"], event["pid"], event["born"])
            runs[event["run"]] = Run(event["run"], event["kind"], (number, count), *where, moment, moment)
        run = runs.get(event["run"])
        if run is not None:
            _note(run, event, moment)
    return list(runs.values())


def _note(run: Run, event: Event, moment: datetime) -> None:
    run.last_event = moment
    run.spent = event.get("spent", run.spent)
    if event["event"] in (PROGRESS, SHARD):
        run.stage = event.get("stage", run.stage)
        run.share, run.seconds_left = event.get("share"), event.get("seconds_left")
    if event["event"] in (STARTED, PLANNED):
        run.shards_all = event["plan"]["shards"]
        run.shards += event["plan"]["shards_left"]
        run.audio_seconds += 3600 * event["plan"]["hours_left"]
    elif event["event"] == SHARD:
        run.last_shard = moment
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
    """Whether a process of this host still runs, and is not a later one with the same id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's: it exists
    return birth(pid) == born


def _that_matter(runs: Sequence[Run]) -> list[Run]:
    """Later runs replace earlier ones of their kind and `--shard`; a whole one that finished replaces all."""
    shown: list[Run] = []
    for run in runs:
        whole = run.state == FINISHED and run.shard == (1, 1)
        shown = [
            earlier
            for earlier in shown
            if earlier.state == RUNNING or earlier.kind != run.kind or not (whole or earlier.shard == run.shard)
        ]
        shown.append(run)
    return shown
