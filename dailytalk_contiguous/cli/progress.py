"""What a person sees while a run works: a bar on a terminal, elsewhere a line a finished shard on stderr.

The lines are what the package logs at INFO, so that the log of a batch job tells how far it is; they never go to
stdout, which may be JSON.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dailytalk_contiguous.cli.terminal import Console, visible
from dailytalk_contiguous.engine.events import Account, log
from dailytalk_contiguous.engine.local import Plan


class Rate(ProgressColumn):
    """Audio done, how much faster than real time that is, and money."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        whole = task.total or 0.0
        unit, size = ("h", 3600) if whole >= 3600 else ("min", 60)
        speed = f"{task.completed / task.elapsed:.1f}× real time" if task.elapsed and task.completed else ""
        spent = task.fields.get("spent")
        money = "" if spent is None else f"  {spent:.4f} USD"
        return Text(f"{task.completed / size:.1f} of {whole / size:.1f} {unit}  {speed}{money}")


class Bar:
    """Feeds a rich progress bar from the events of an engine. A minute counts when all its stages are done."""

    def __init__(self, progress: Progress, spent: Callable[[], float] | None) -> None:
        self._progress = progress
        self._spent = spent
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
            spent = self._spent() if self._spent else None
            self._progress.update(self._task, advance=audio / self._stages, description=stage, spent=spent)


@contextmanager
def bar(console: Console, quiet: bool, spent: Callable[[], float] | None = None) -> Iterator[Bar]:
    """A progress bar on `console`, or lines on stderr if it is no terminal or `quiet`.

    `spent` gives the USD spent so far, where a run may spend any.
    """
    shown = console.is_terminal and not quiet
    columns = (TextColumn("{task.description:<16}"), BarColumn(), Rate(), TimeRemainingColumn())
    with (
        nullcontext() if shown else _logged(),
        Progress(
            *columns, console=console, transient=True, disable=not shown, get_time=time.monotonic
        ) as progress,
    ):
        yield Bar(progress, spent)


@contextmanager
def _logged() -> Iterator[None]:
    """Show on stderr what the package logs at INFO."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Visible())
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def profile_table(account: Account, wall_seconds: float) -> Table:
    """Where the seconds of a run went. Shares are of all seconds, which side by side are more than the clock's."""
    outside = {
        "planning": account.planning,
        "reading, writing shards": account.outside,
        "writing outputs": account.outputs,
    }
    whole = max(sum(account.stages.values()) + sum(outside.values()), 1e-9)
    table = Table(box=None, pad_edge=False)
    table.add_column("where the time went")
    for heading in ("seconds", "share", "real-time factor"):
        table.add_column(heading, justify="right")
    for name, took in (*account.stages.items(), *outside.items()):
        audio = account.audio.get(name)
        table.add_row(name, f"{took:.2f}", f"{took / whole:.1%}", f"{took / audio:.5f}" if audio else "")
    table.add_row("by the clock", f"{wall_seconds:.2f}", "", "")
    return table
