"""The progress of a run, for the bar of a terminal, and as a line each half a minute for a log."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict

from dailytalk_contiguous.core.wording import counted, model_name, public, rough_length

if TYPE_CHECKING:
    from dailytalk_contiguous.run.shard import Progress, RunPlan, ShardReport, StageEvent, Task
    from dailytalk_contiguous.stages.base import Stage

log = logging.getLogger("dailytalk_contiguous")

#: Seconds between two lines of the log.
LINE_SECONDS = 30.0


@dataclass
class Run:
    """A run and its progress.

    Attributes:
        kind: such as `tag` or `speak`.
        started: when it began, as `time.monotonic` says it.
        conversations: how many it planned to make.
        conversations_done: how many of them have been through the first pass that they need.
        audio_seconds: seconds of audio in those that it planned.
        audio_done: seconds of audio in these.
        shards: shards of results that it planned to make.
        done: how many of them it has made.
        last_made: when it made the last of them; None before the first.
        spent: returns the USD that it has spent so far; None for a run that costs nothing.
        stages: by name, wall seconds and the seconds of audio that went through it, of all processes together.
        outside: seconds that shards took outside stages.
        conversation: the id of the conversation that is worked on, or how many there are.
        at: the stage that works now and its step, or other work of the run.
    """

    kind: str
    started: float = field(default_factory=time.monotonic)
    conversations: int = 0
    conversations_done: int = 0
    audio_seconds: float = 0.0
    audio_done: float = 0.0
    shards: int = 0
    done: int = 0
    last_made: float | None = None
    spent: Callable[[], float] | None = None
    stages: dict[str, list[float]] = field(default_factory=dict)
    outside: float = 0.0
    conversation: str = ""
    at: str = ""

    @property
    def share(self) -> float:
        """Share of its audio that is done, from 0 to 1; 0 if it has planned nothing."""
        return round(self.audio_done / self.audio_seconds, 4) if self.audio_seconds else 0.0

    @property
    def speed(self) -> float | None:
        """Seconds of audio a second, up to the last shard; None before a conversation is done."""
        if self.last_made is None or not self.audio_done:
            return None
        return self.audio_done / max(self.last_made - self.started, 1e-3)

    @property
    def seconds_left(self) -> float | None:
        """The wall seconds that the run still needs, at its speed so far.

        None before a conversation is done, once all are, and when the rest has taken longer than that.
        """
        speed = self.speed
        if speed is None or self.last_made is None:
            return None
        since = time.monotonic() - self.last_made
        left = (self.audio_seconds - self.audio_done) / speed - since
        return left if left > 0 else None

    def progress(self) -> str:
        """Return the share done, speed, time left and cost as a text for the bar and the log."""
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
        left = self.seconds_left
        if left is not None:
            parts.append(f"{rough_length(left)} left")
        spent = self.spent() if self.spent else 0.0
        if spent:
            parts.append(f"{spent:.4f} USD spent")
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


class Tracker:
    """Follows a run, and logs a line at its start, at its end and each half a minute; a context manager.

    A thread logs, even if a stage reports nothing for long. There is no word of a conversation in a line.

    Args:
        run: what is followed; its progress is kept here.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._is_begun = False
        self._has_results = True
        self._counted: set[str] = set()
        self._planned: dict[str, tuple[int, float]] = {}
        self._lock = Lock()  # of all above
        self._has_ended = Event()
        self._ticker = Thread(target=self._tick, daemon=True)

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
        """Count the work that `stages` will do, and log it if it is the first."""
        with self._lock:
            run = self.run
            self._has_results = plan.has_results
            if plan.has_results:
                run.shards += len(plan.tasks)
            is_later_pass = bool(self._counted)
            for task in plan.tasks:
                self._count(task, is_later_pass)
            run.conversation = ""
            run.at = loading_text(stages) if plan.tasks else ""
            if plan.tasks and not self._is_begun:
                self._is_begun = True
                self._log(run.at)

    def _count(self, task: "Task", is_later_pass: bool) -> None:
        """Count the conversations of a task that no pass before it has counted in this run.

        Those of a later pass were heard by an earlier run, and count as done: the share never falls.
        """
        new = [pending for pending in task.left if pending.conversation_id not in self._counted]
        self._counted |= {pending.conversation_id for pending in new}
        seconds = float(sum(pending.duration for pending in new))
        self._planned[task.path.stem] = (0, 0.0) if is_later_pass else (len(new), seconds)
        if is_later_pass:
            self.run.conversations_done += len(new)
            self.run.audio_done += seconds
        self.run.conversations += len(new)
        self.run.audio_seconds += seconds

    def record_shard(self, report: "ShardReport") -> None:
        """Count a shard of the latest plan that is on the disk."""
        from dailytalk_contiguous.shards import own_name  # `status` needs none of its libraries

        with self._lock:
            run = self.run
            n_conversations, seconds = self._planned[own_name(report.path)]
            run.last_made = time.monotonic()
            run.conversations_done += n_conversations
            run.audio_done += seconds
            if self._has_results:
                run.done += 1
            in_stages = sum(wall for wall, _ in report.stages.values())
            run.outside += max(0.0, report.wall_seconds - in_stages)
            for name, (wall, audio) in report.stages.items():
                wall_before, audio_before = run.stages.get(name, (0.0, 0.0))
                run.stages[name] = [round(wall_before + wall, 3), round(audio_before + audio, 3)]
            run.conversation = ""
            is_last = self._has_results and run.done == run.shards
            run.at = "writing the results" if is_last else ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._has_ended.set()
        self._ticker.join()
        if self._is_begun and error is None:  # else the command says what happened
            self._log(f"finished in {rough_length(time.monotonic() - self.run.started)}")

    def _tick(self) -> None:
        """Until the run ends, log a line each half a minute."""
        while not self._has_ended.wait(LINE_SECONDS):
            with self._lock:
                if self._is_begun:
                    self._log(self.run.current_work)

    def _log(self, what: str) -> None:
        log.info("%s %s: %s", now(), self.run.kind, "; ".join(filter(None, (self.run.progress(), what))))


def now() -> str:
    """Return the time, in UTC, as ISO 8601 to a second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


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
