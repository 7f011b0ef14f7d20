"""How far a run is, for a terminal and for a log."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import PROGRAM

from dailytalk_contiguous.cli.show import RunLines, bar
from dailytalk_contiguous.cli.terminal import Console
from dailytalk_contiguous.run.progress import Run
from dailytalk_contiguous.run.shard import RunPlan, Task
from dailytalk_contiguous.shards import PendingConversation

OUT = Path("/data")

#: An id that is longer than any terminal of these tests is wide.
LONG = "first-" + "-".join(map(str, range(100))) + "-last"


def running(conversation: str = "call") -> Run:
    run = Run("tag", started=time.monotonic() - 88, last_made=time.monotonic())
    run.conversations = 4
    run.conversations_done = 2
    run.audio_seconds = 420.0
    run.audio_done = 186.0
    run.conversation = conversation
    run.at = "Transcribe, 3 of 12 pieces of sound"
    return run


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
    plan = RunPlan([OUT], [Task(OUT, [PendingConversation("a", "a", None, 60.0, "")])])
    run = Run("tag", audio_seconds=60, conversations=1)
    with bar() as planned:
        planned(plan, run)
    drawn = capsys.readouterr().err
    assert "of 1.0 min" in drawn
    assert drawn.endswith("\x1b[1A\x1b[2K")  # up to the bar's line, which is erased


@pytest.mark.usefixtures("terminal")
def test_bar_is_there_before_a_run_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    with bar():
        pass
    assert "looking for what is left to do" in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("conversation", ["call", LONG])
def test_no_figure_is_hidden_on_a_terminal_of_any_width(
    capsys: pytest.CaptureFixture[str], width: int, conversation: str
) -> None:
    Console(width=width, force_terminal=True, color_system=None).print(RunLines(running(conversation)))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= width for line in lines)
    first, *others = lines
    figures = " ".join(line.strip() for line in others)
    assert figures.startswith("tag: 44 %, 3.1 of 7.0 min, 2 of 4 conversations, 2.1× real time, 2 min left")
    if width >= 60:
        assert ": Transcribe, 3 of 12 pieces of sound" in first
    if conversation == LONG and width >= 60:
        assert first.startswith("first")
        assert "last: " in first


def test_spent_money_is_shown() -> None:
    run = running()
    run.spent = lambda: 0.0123
    assert run.progress().endswith(", 0.0123 USD spent")


@pytest.mark.parametrize("command", ["tag", "build", "speak", "corpus"])
def test_first_line_is_printed_before_anything_heavy_is_imported(command: str, tmp_path: Path) -> None:
    (tmp_path / "datasets.py").write_text("raise SystemExit('datasets is imported')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    words = [*PROGRAM, command, str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    first, second = done.stderr.splitlines()
    assert first.endswith(" …")
    assert second == "datasets is imported"


def test_help_has_no_first_line() -> None:
    done = subprocess.run([*PROGRAM, "tag", "--help"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
