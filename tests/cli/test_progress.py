"""How far a run is, for a terminal and for a log."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.progress import Progress

from dailytalk_contiguous.cli.show import RunColumn, bar
from dailytalk_contiguous.run.events import Account
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.shard import Task

OUT = Path("/data")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    for name, value in (("COLUMNS", "80"), ("TERM", "xterm"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)


def test_what_a_run_says_without_a_terminal_is_on_stderr_once(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("dailytalk_contiguous")
    before = (log.level, log.propagate, [*log.handlers])
    with bar():
        log.info("shard 1 of 2")
    assert capsys.readouterr().err == "shard 1 of 2\n"
    assert caplog.records == []  # nor handed on to whoever prints what the root logger gets
    assert (log.level, log.propagate, [*log.handlers]) == before


def shown(account: Account, spent: Callable[[], float] | None = None) -> str:
    """What a bar shows, without the bar itself."""
    progress = Progress(disable=True)
    progress.add_task("", total=None, account=account, spent=spent)
    return RunColumn().render(progress.tasks[0]).plain


def test_bar_names_the_stage_that_works_and_no_time_before_the_first_shard() -> None:
    account = Account(whole=120.0)
    assert shown(account) == "starting  0.0 of 2.0 min"
    account.at = "Transcribe, 3 of 9 pieces"
    assert shown(account) == "Transcribe, 3 of 9 pieces  0.0 of 2.0 min"
    account.done, account.began = 60.0, time.monotonic() - 60.0
    assert shown(account).endswith("1.0 of 2.0 min  1.0× real time  60 s left")


@pytest.mark.usefixtures("terminal")
def test_nothing_of_a_bar_is_left_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with bar() as planned:
        planned(RunPlan([OUT], [Task(OUT, [{"duration": 60.0}])], 0), Account(whole=60.0))
        time.sleep(0.3)
    drawn = capsys.readouterr().err
    assert "of 1.0 min" in drawn
    assert drawn.endswith("\x1b[1A\x1b[2K")  # up to the bar's line, which is erased


def test_money_is_shown_where_any_is_spent() -> None:
    assert "0.0 of 2.0 h  0.2500 USD" in shown(Account(whole=7200.0), lambda: 0.25)
