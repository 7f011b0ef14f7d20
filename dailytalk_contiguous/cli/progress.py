"""What a person sees while a run works: one bar on a terminal, nothing elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from dailytalk_contiguous.engine.local import Plan


class Rate(ProgressColumn):
    """Minutes of audio done, and how much faster than real time."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        done = task.completed / 60
        speed = f"{task.completed / task.elapsed:.1f}× real time" if task.elapsed and task.completed else ""
        return Text(f"{done:.1f} of {(task.total or 0) / 60:.1f} min  {speed}")


class Bar:
    """Feeds a rich progress bar from the events of an engine. A minute counts when all its stages are done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: Any = None
        self._stages = 1

    def planned(self, plan: Plan, n_stages: int) -> None:
        """Begin a bar for what is left of a plan."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._stages = max(1, n_stages - plan.first_stage)
        self._task = self._progress.add_task("starting", total=plan.seconds) if plan.tasks else None

    def progress(self, stage: str, audio: float, wall: float) -> None:
        """A stage went through `audio` seconds."""
        if self._task is not None:
            self._progress.update(self._task, advance=audio / self._stages, description=stage)


@contextmanager
def bar(console: Console, quiet: bool) -> Iterator[Bar]:
    """A progress bar on `console`, or one that shows nothing if it is no terminal or `quiet`."""
    shown = console.is_terminal and not quiet
    columns = (TextColumn("{task.description:<16}"), BarColumn(), Rate(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not shown, get_time=time.monotonic
    ) as progress:
        yield Bar(progress)
