"""events.jsonl: a line of JSON at the start of a run, after each shard and at its end: the run as it is then.

`dailytalk status`, the bar and the time left read nothing else, and of a run only its last line. The parts of a
`--shard` have a file each, because appending from several hosts is not atomic on NFS (Linux NFS FAQ, A9). There is
no word of a conversation in it, and no secret. Readers skip a line that a crash or a full disk has cut off.
"""

import json
import logging
import os
import platform
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from dailytalk_contiguous.core.documents import as_text, fits, json_lines
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.store.files import inside, leads_out, locked

if TYPE_CHECKING:
    from dailytalk_contiguous.run.shard import Progress, RunPlan, ShardReport

log = logging.getLogger("dailytalk_contiguous")

EVENTS = "events.jsonl"

#: States of a run. A run that is gone was killed.
RUNNING, GONE, FINISHED, STOPPED, FAILED = "running", "gone", "finished", "stopped", "failed"

#: What a run holds in its work folder while it works; a part of `--shard` has its own.
RUN_LOCK = ".dailytalk-run"


@dataclass
class Run:
    """A run, as a line of events.jsonl has it.

    Attributes:
        run: its id. kind: such as `tag` or `speak`. host, pid: its process.
        started, time: when it began, and when this line was written (ISO 8601, UTC).
        shard: (i, N) of `--shard`. workers: processes. version: of this package.
        shards, audio_seconds: what it planned to make. done, audio_done: what it has made.
        rejects: conversations rejected among them; once the run is finished, all lines of rejects.jsonl.
        spent: USD; None for a run that costs nothing.
        stages: by name, wall seconds and the seconds of audio that went through it, of all processes together.
        outside: what shards took outside stages. planning, outputs: what came before and after the shards.
        state: `finished`, `stopped`, `failed`, `running`, or `gone` if it was killed. reason: why it failed.
        at: the stage at hand.
    """

    run: str
    kind: str
    host: str
    pid: int
    started: str
    time: str
    shard: list[int] = field(default_factory=lambda: [1, 1])
    workers: int = 1
    version: str = ""
    shards: int = 0
    audio_seconds: float = 0.0
    done: int = 0
    audio_done: float = 0.0
    rejects: int = 0
    spent: float | None = None
    stages: dict[str, list[float]] = field(default_factory=dict)
    outside: float = 0.0
    planning: float = 0.0
    outputs: float = 0.0
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

    def time_spent(self) -> dict[str, Any]:
        """How its processes spent their time, in seconds, for run.json. `outputs` is there once it is known."""
        totals = {"planning": self.planning, "outside_stages": self.outside, "outputs": self.outputs}
        return {
            "stages": {
                name: {"seconds": took, "audio_seconds": round(audio, 2)}
                for name, (took, audio) in self.stages.items()
            }
        } | {f"{name}_seconds": round(took, 3) for name, took in totals.items() if took or name != "outputs"}

    def as_dict(self, at: datetime) -> dict[str, Any]:
        """The run in `--json`: `speed` times real time, the time left in seconds."""
        pace = {"speed": self.speed, "seconds_left": self.left_seconds(at)}
        return asdict(self) | {name: value and round(value, 2) for name, value in pace.items()}


#: What readers rely on in a line.
_LINE = dict.fromkeys(("run", "kind", "host", "started", "time", "state", "reason"), str)
_NUMBERS = dict.fromkeys(("pid", "shards", "done", "rejects"), int)
_SHAPE = {**_LINE, **_NUMBERS, "shard": [int], "audio_seconds": float, "audio_done": float}


def append(path: Path, line: dict[str, Any], sync: bool = False) -> None:
    """Add a line in one write; with `sync`, it is on the disk when this returns. Raises OSError."""
    text = json.dumps(line, allow_nan=False).encode() + b"\n"  # ASCII: names may hold what is no UTF-8
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = b"\n" + text  # what a crash cut off stays a line of its own
        file.write(text)
        if sync:
            os.fsync(file.fileno())


def is_journal(name: str) -> bool:
    """Whether a path relative to a work folder names a file of events."""
    return name.startswith("events.") and name.endswith(".jsonl") and "/" not in name


def journals(folder: Path) -> list[Path]:
    """The files of events in a work folder, except links out of it."""
    return sorted(path for path in folder.glob("events.*jsonl") if not leads_out(path, folder))


def read_runs(path: Path) -> list[Run]:
    """The runs of a file of events, in the order in which they began, each as its last line has it.

    All but the last have ended: where one began after a run that has not said so, that one was killed.
    """
    runs = dict[str, Run]()
    for _, line in json_lines(path) if path.is_file() else ():
        if isinstance(line, dict) and fits(line, _SHAPE):
            with suppress(TypeError, ValueError):  # somebody or another version has written it
                run = Run(**line)
                if all(datetime.fromisoformat(at).tzinfo for at in (run.started, run.time)):
                    runs[run.run] = run
    for run in list(runs.values())[:-1]:
        run.state = GONE if run.state == RUNNING else run.state
    return list(runs.values())


def now() -> str:
    """The time, in UTC, as ISO 8601 to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """Writes the lines of one run; a context manager that records how it ended. It logs a line a shard.

    Args:
        out: the work folder. kind: `tag`, `speak`, `corpus`, `split`, `transcribe`, `extract` or `encode`.
        shard: (i, N) of `--shard`. workers: processes.
        spent: returns the USD that the run has spent so far; None for a run that costs nothing.

    Attributes:
        run: how far it is.
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
        from importlib.metadata import version

        self._path = out / (EVENTS if shard == (1, 1) else f"events.{shard[0]}-of-{shard[1]}.jsonl")
        self.rejects: int | None = None
        self._spent, self._is_begun, self._mark = spent, False, time.perf_counter()
        about = platform.node(), os.getpid(), now(), now(), [*shard], workers, version("dailytalk-contiguous")
        self.run = Run(uuid.uuid4().hex[:12], kind, *about)

    def __enter__(self) -> Self:
        return self

    def telling(self, progress: "Progress") -> "Progress":
        """A function that notes the stage at hand and passes on to `progress` what is not of a step inside one."""

        def pass_on(stage: str, audio: float, wall: float | None, step: str = "") -> None:
            self.run.at = f"{stage}, {step}" if step else stage
            if not step:
                progress(stage, audio, wall)

        return pass_on

    def planned(self, plan: "RunPlan", conversations: int, audio_seconds: float) -> None:
        """Record and log what will be done; `conversations` and `audio_seconds` are those of the whole input.

        Nothing is written if nothing is to be done, unless an earlier run did not say how it ended.
        """
        run = self.run
        run.planning = run.planning or time.perf_counter() - self._mark
        self._mark = time.perf_counter()
        if plan.tasks:
            log.info(
                "%s %s: found %s, %s; %s, %d of them to make (%s)",
                *(now(), run.kind, counted(conversations, content_of(run.kind)), length_text(audio_seconds)),
                *(counted(len(plan.paths), "shard"), len(plan.tasks), length_text(plan.seconds)),
            )
        elif not self._is_begun and all(run.state == FINISHED for run in _known(self._path.parent)[-1:]):
            return
        self._is_begun = True
        run.shards += len(plan.tasks)
        run.audio_seconds += plan.seconds
        self._write()

    def made(self, made: "ShardReport") -> None:
        run = self.run
        run.done += 1
        run.audio_done += made.audio_seconds
        run.rejects += made.rejects
        run.outside += made.outside_seconds
        for name, (took, audio) in made.stages.items():
            before, heard = run.stages.get(name, (0.0, 0.0))
            run.stages[name] = [round(before + took, 3), round(heard + audio, 3)]
        self._write()
        log.info(
            "%s shard %d of %d: %s, %s, %.1f min in %.1f s; %.2f of %.2f h at %.1f× real time, %s left%s",
            *(run.time, run.done, run.shards, made.path.name),
            *(counted(made.conversations, content_of(run.kind)), made.audio_seconds / 60, made.wall_seconds),
            *(run.audio_done / 3600, run.audio_seconds / 3600, run.speed or 0.0),
            length_text(run.left_seconds(datetime.now(UTC)) or 0.0),
            f", {run.spent:.4f} USD spent" if run.spent else "",
        )
        self._mark = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run = self.run
        run.outputs = time.perf_counter() - self._mark
        if not self._is_begun:
            return
        run.rejects = run.rejects if self.rejects is None else self.rejects
        if error is None:
            run.state = FINISHED
        elif isinstance(error, KeyboardInterrupt | GeneratorExit):
            run.state, run.reason = STOPPED, STOPPED
        elif isinstance(error, DailytalkError):
            run.state, run.reason = FAILED, as_text(f"{error.reason}: {error.remedy}")
        else:  # only its type, because the message of an unforeseen error may quote a conversation
            strerror = error.strerror if isinstance(error, OSError) else None
            run.state, run.reason = FAILED, strerror.lower() if strerror else type(error).__name__
        with suppress(OSError) if error else nullcontext():  # the disk may be what failed
            self._write()

    def _write(self) -> None:
        self.run.time = now()
        self.run.spent = round(self._spent(), 6) if self._spent else None
        append(inside(self._path.parent, self._path.name), asdict(self.run))


def content_of(kind: str) -> str:
    kinds = {"corpus": "clip", "transcribe": "clip", "split": "recording"}
    return kinds.get(kind, "conversation")


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
        whole = run.state == FINISHED and run.shard == [1, 1]
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
        host = " ".join(run.host.split())
        raise DailytalkError(
            f"{run.kind} works in {shown} already: on {host}, process {run.pid}, since {run.started}", remedy
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
    runs = [run for path in journals(folder) for run in read_runs(path)]
    for run in runs:
        if run.state == RUNNING and run.host == platform.node() and not _is_locked(_lock_of(folder, run.shard)):
            run.state = GONE
    return sorted(runs, key=lambda run: run.started)


def _lock_of(folder: Path, shard: Sequence[int]) -> Path:
    number, count = shard
    return folder / (RUN_LOCK if count == 1 else f"{RUN_LOCK}-{number}-of-{count}")


def _is_locked(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0) if path.is_file() and not path.is_symlink() else nullcontext():
            return False
    except Timeout:
        return True
