"""How far a run is, for a terminal and for a log."""

import io
import logging

import pytest
from rich.console import Console
from rich.progress import Progress

from dailytalk_contiguous.cli.progress import Rate, bar


def test_what_a_run_says_without_a_terminal_is_on_stderr_once(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("dailytalk_contiguous")
    before = (log.level, log.propagate, [*log.handlers])
    with bar(Console(file=io.StringIO()), quiet=True):
        log.info("shard 1 of 2")
    assert capsys.readouterr().err == "shard 1 of 2\n"
    assert caplog.records == []  # nor handed on to whoever prints what the root logger gets
    assert (log.level, log.propagate, [*log.handlers]) == before


@pytest.mark.parametrize(
    ("whole", "done", "spent", "text"),
    [
        (120.0, 60.0, None, "1.0 of 2.0 min  30.0× real time"),
        (3600.0, 1800.0, None, "0.5 of 1.0 h  900.0× real time"),
        (3599.0, 0.0, None, "0.0 of 60.0 min  "),
        (60.0, 30.0, 0.25, "0.5 of 1.0 min  15.0× real time  0.2500 USD"),
    ],
)
def test_rate_tells_what_is_done_how_fast_and_for_how_much(
    whole: float, done: float, spent: float | None, text: str
) -> None:
    clock = iter([0.0, *[2.0] * 99])
    progress = Progress(get_time=lambda: next(clock))
    task = progress.add_task("x", total=whole, spent=spent)
    progress.update(task, completed=done)
    assert Rate().render(progress.tasks[0]).plain == text
