"""How far a run is, for a terminal and for a log."""

import logging
from pathlib import Path

import pytest

from dailytalk_contiguous.cli.show import bar
from dailytalk_contiguous.run.events import Run, now
from dailytalk_contiguous.run.shard import RunPlan, Task

OUT = Path("/data")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    for name, value in (("COLUMNS", "80"), ("TERM", "xterm"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)


def test_what_a_run_says_without_a_terminal_is_on_stderr_once(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with bar():
        logging.getLogger("dailytalk_contiguous").info("shard 1 of 2")
    assert capsys.readouterr().err == "shard 1 of 2\n"
    assert caplog.records == []  # nor handed on to whoever prints what the root logger gets


@pytest.mark.usefixtures("terminal")
def test_nothing_of_a_bar_is_left_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    plan = RunPlan([OUT], [Task(OUT, [{"duration": 60.0}])], 0)
    run = Run("r", "tag", "h", 1, now(), now(), audio_seconds=60)
    with bar() as planned:
        planned(plan, run)
    drawn = capsys.readouterr().err
    assert "of 1.0 min" in drawn
    assert drawn.endswith("\x1b[1A\x1b[2K")  # up to the bar's line, which is erased
