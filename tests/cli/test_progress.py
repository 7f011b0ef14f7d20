"""How far a run is, for a terminal and for a log."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.progress import Progress

from dailytalk_contiguous.cli.show import Left, StageProgress, Working, bar
from dailytalk_contiguous.run.forecast import Forecast
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


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def columns(forecast: Forecast, spent: Callable[[], float] | None = None) -> list[str]:
    """What a bar shows, without the bar itself."""
    progress = Progress(disable=True)
    progress.add_task("", total=None, forecast=forecast, spent=spent)
    (task,) = progress.tasks
    return [column.render(task).plain for column in (Working(), StageProgress(), Left())]


def test_bar_names_the_stage_that_works_and_no_time_before_there_is_a_basis(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({OUT: {"Segment": 120.0, "Transcribe": 120.0}}, {})
    assert columns(forecast) == ["starting", "0.0 of 2.0 min", ""]
    forecast.progress("Segment", 60.0, None)
    forecast.progress("Segment", 60.0, 1.0)
    forecast.progress("Transcribe", 60.0, None)
    clock.now = 60.0
    assert columns(forecast) == ["Transcribe", "0.0 of 2.0 min", ""]
    forecast.progress("Transcribe", 60.0, 59.0)
    assert columns(forecast) == ["Transcribe", "1.0 of 2.0 min", "1.0× real time  60 s left"]


@pytest.mark.usefixtures("terminal")
def test_nothing_of_a_bar_is_left_on_the_terminal(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({OUT: {"Tag": 60.0}}, {"Tag": 0.05})
    with bar() as shown:
        shown.planned(RunPlan([OUT], [Task(OUT, [{"duration": 60.0}], {})], 0), forecast)
        shown.progress.refresh()
    drawn = capsys.readouterr().err
    assert "of 1.0 min" in drawn
    assert drawn.endswith("\x1b[1A\x1b[2K")  # up to the bar's line, which is erased


def test_hours_are_shown_as_hours_and_money_where_any_is_spent(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({OUT: {"Speak": 7200.0}}, {"Speak": 1.0})
    assert columns(forecast, lambda: 0.25)[1:] == ["0.0 of 2.0 h  0.2500 USD", "1.0× real time  2.0 h left"]


@pytest.mark.parametrize(
    ("whole", "left", "told"),
    [
        (3000.0, 1500.0, "25.0 of 50.0 min"),
        (3599.0, 3599.0, "0.0 of 60.0 min"),
        (3600.0, 1800.0, "0.5 of 1.0 h"),
        (1800_000.0, 900_000.0, "250.0 of 500.0 h"),
    ],
)
def test_audio_that_is_done_is_told_in_minutes_below_an_hour(whole: float, left: float, told: str) -> None:
    progress = Progress(disable=True)
    progress.add_task("", forecast=SimpleNamespace(audio=(whole - left, whole)), spent=None)
    assert StageProgress().render(progress.tasks[0]).plain == told
