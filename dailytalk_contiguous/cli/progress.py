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

from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from dailytalk_contiguous.cli.terminal import Console, visible
from dailytalk_contiguous.engine.events import Account, length, log
from dailytalk_contiguous.engine.forecast import Forecast
from dailytalk_contiguous.engine.local import Plan


class Working(ProgressColumn):
    """The stage that works now."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        return Text(task.fields["forecast"].stage or "starting", no_wrap=True)


class WorkBar(ProgressColumn):
    """The share of the work that is done, in seconds of work; a bar that moves where that is not known yet."""

    def render(self, task: Task) -> ProgressBar:
        """The column's bar, as wide as the other columns leave it."""
        share = task.fields["forecast"].share
        return ProgressBar(1.0, share or 0.0, pulse=share is None, animation_time=task.get_time())


class Done(ProgressColumn):
    """Audio that is finished, and money."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        done, whole = task.fields["forecast"].audio
        unit, size = ("h", 3600) if whole >= 3600 else ("min", 60)
        spent = task.fields["spent"]
        money = f"  {spent():.4f} USD" if spent else ""
        return Text(f"{done / size:.1f} of {whole / size:.1f} {unit}{money}", no_wrap=True)


class Left(ProgressColumn):
    """How much faster than real time all of it goes, and how long the rest takes; empty without a basis."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        forecast: Forecast = task.fields["forecast"]
        left = forecast.seconds_left
        if left is None:
            return Text("")
        speed = forecast.audio[1] / max(forecast.elapsed + left, 1e-3)
        return Text(f"{speed:.1f}× real time  {length(left)} left", no_wrap=True)


class Bar:
    """Shows the forecast of a run from when it is planned."""

    def __init__(self, progress: Progress, spent: Callable[[], float] | None) -> None:
        self.progress, self._spent = progress, spent
        self._task: Any = None

    def planned(self, plan: Plan, forecast: Forecast) -> None:
        """Begin a bar, unless nothing is left of a plan or it is there already."""
        if self._task is None and plan.tasks:
            self._task = self.progress.add_task("", total=None, forecast=forecast, spent=self._spent)


@contextmanager
def bar(console: Console, quiet: bool, spent: Callable[[], float] | None = None) -> Iterator[Bar]:
    """A progress bar on `console`, or lines on stderr if it is no terminal or `quiet`.

    `spent` gives the USD spent so far, where a run may spend any.
    """
    shown = console.is_terminal and not quiet
    with (
        nullcontext() if shown else _logged(),
        Progress(
            *(Working(), WorkBar(table_column=Column(ratio=1)), Done(), Left()),
            console=console,
            expand=True,
            transient=True,
            disable=not shown,
            get_time=time.monotonic,
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
    whole = sum(account.stages.values()) + sum(outside.values())
    table = Table(box=None, pad_edge=False)
    table.add_column("where the time went")
    for heading in ("seconds", "share", "real-time factor"):
        table.add_column(heading, justify="right")
    for name, took in (*account.stages.items(), *outside.items()):
        audio = account.audio.get(name)
        share = f"{took / whole if whole else 0.0:.1%}"
        table.add_row(name, f"{took:.2f}", share, f"{took / audio:.5f}" if audio else "")
    table.add_row("by the clock", f"{wall_seconds:.2f}", "", "")
    return table
