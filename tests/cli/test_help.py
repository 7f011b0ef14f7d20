"""What `dailytalk COMMAND --help` shows: options in panels, one text an option, readable at 80 columns."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from command import Command
from rich.cells import cell_len
from rich.text import Text

from dailytalk_contiguous.cli.main import COMMANDS, GROUPS, LISTED, command_of
from dailytalk_contiguous.cli.terminal import HelpPanel

#: Options that mean something else in some of the commands: of recordings, clips, a page, a published dataset.
OF_EACH_COMMAND = {"--language", "--out", "--private", "--sample-rate", "--split", "--valid-share"}


@pytest.fixture
def dailytalk(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("COLUMNS", "80")
    return Command(monkeypatch, capfd)


def options_of(name: str) -> list[Any]:
    return [option for option in command_of(name).params if option.param_type_name == "option"]


def lines_of(dailytalk: Command, name: str) -> list[str]:
    return Text.from_ansi(dailytalk(name, "--help").out).plain.splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_panel_and_a_sentence(name: str) -> None:
    assert [option.opts for option in options_of(name) if option.rich_help_panel not in [*HelpPanel]] == []
    assert [option.opts for option in options_of(name) if option.help[-1:] not in (".", "…")] == []


def test_option_has_the_same_text_and_panel_in_every_command() -> None:
    seen: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name in COMMANDS:
        for option in options_of(name):
            seen[option.opts[0]].add((option.help, option.rich_help_panel))
    assert {option for option, texts in seen.items() if len(texts) > 1} == OF_EACH_COMMAND


@pytest.mark.parametrize("name", COMMANDS)
def test_panels_come_once_each_and_in_one_order(name: str, dailytalk: Command) -> None:
    titles = [line.strip("╭─╮ ") for line in lines_of(dailytalk, name) if line.startswith("╭─")]
    order = ["Arguments", *HelpPanel]
    assert titles == sorted(set(titles), key=order.index)
    assert "Run" in titles  # with --json and --help


@pytest.mark.parametrize("name", COMMANDS)
def test_text_of_an_option_is_whole_and_wide_at_80_columns(name: str, dailytalk: Command) -> None:
    lines = lines_of(dailytalk, name)
    assert max(map(cell_len, lines)) == 80
    for option in options_of(name):
        names = " +".join((*option.opts, *option.secondary_opts))
        row = next(place for place, line in enumerate(lines) if re.match(rf"│ [ *]*{names} ", line))
        start = lines[row].index(" ".join(option.help.split()[:2]))
        text = " ".join(" ".join(line[start:-1].split()) for line in lines[row : row + 9])
        assert text.startswith(option.help)
        assert 78 - start >= 30


def shown_behind(dailytalk: Command, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of each option of a command, in its order: its panel, and what its help shows beside the sentence.

    That is the metavar, the range and the default.
    """
    monkeypatch.setenv("COLUMNS", "500")
    lines = lines_of(dailytalk, name)
    shown = {}
    for option in options_of(name):
        names = " +".join((*option.opts, *option.secondary_opts))
        (line,) = (line for line in lines if re.match(rf"│ [ *]*{names} ", line))
        before, _, behind = line.partition(option.help)
        metavar = re.sub(rf"│ [ *]*{names} ", "", before)
        shown[option.opts[0]] = " ".join(f"{option.rich_help_panel}: {metavar} {behind.strip('│ ')}".split())
    return shown


def test_ranges_and_defaults_that_the_help_shows_are_these(
    dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = json.loads(Path(__file__).with_name("shown_in_help.json").read_text(encoding="utf-8"))
    shown = {name: shown_behind(dailytalk, name, monkeypatch) for name in COMMANDS}
    assert shown == known
    assert {name: list(options) for name, options in shown.items()} == {name: list(known[name]) for name in known}


def test_list_of_commands_is_in_panels_and_fits_80_columns(dailytalk: Command) -> None:
    lines = Text.from_ansi(dailytalk("--help").out).plain.splitlines()
    assert max(map(cell_len, lines)) == 80
    assert [line.strip("╭─╮ ") for line in lines if line.startswith("╭─")] == ["Options", *LISTED]
    listed = [match[1] for line in lines if (match := re.match(r"│ ([a-z]+) ", line))]
    assert listed == list(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))


def test_commands_of_two_words_are_listed_under_the_first(dailytalk: Command) -> None:
    for first in GROUPS:
        lines = Text.from_ansi(dailytalk(first, "--help").out).plain.splitlines()
        listed = [match[1] for line in lines if (match := re.match(r"│ ([a-z]+) ", line))]
        assert [f"{first} {second}" for second in listed] == [name for name in COMMANDS if name.startswith(first)]
        assert f"No such command '{first}s'" in dailytalk(first, f"{first}s").err


def test_options_are_made_without_asking_a_model_s_library_what_a_device_can_do() -> None:
    modules = ", ".join(f"dailytalk_contiguous.cli.{name}" for name in ("tag", "speak", "corpus", "plan"))
    code = f"import sys, {modules}; print({{'torch', 'ctranslate2'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
