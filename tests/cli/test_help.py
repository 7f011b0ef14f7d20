"""What `dailytalk COMMAND --help` shows: options in panels, one text an option, readable at 80 columns."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from command import Command
from rich.cells import cell_len
from rich.text import Text

from dailytalk_contiguous.cli.main import COMMANDS, GROUPS, LISTED, command_of
from dailytalk_contiguous.cli.terminal import Panel

#: Options of which a word of the help, the values or the default differ between commands, and why. All others say
#: the same of themselves wherever they are.
DIFFERENT = {
    # They mean something else.
    "--language": "corpus leaves out clips in others; converse has no conversation in which to find it",
    "--out": "a folder, which for work may be in a store; or a file, which has a name of its own",
    "--format": "check sees what a folder is, unless a format is named",
    "--force": "of split to cut where nobody is silent; of a run beside one of another host",
    "--timeline": "of annotations whose times they have; of speak how turns are placed",
    "--rules": "of tag by which a style is chosen; of export which events are clips",
    "--split": "corpus makes the splits; what reads the Hub chooses one, and tag a folder of audio files, too",
    "--valid-share": "of the time of a dataset, of its utterances, or of its speakers",
    "--tts": "doctor tries one, the others speak with it",
    "--variants": "of speak takes of one text, of retime variants of a conversation",
    "--workers": "probe takes the cores, for it loads no model",
    "--voice": "converse has voices by gender and asks for consent; speak may clone who speaks",
    # Another default suits the command.
    "--affect-model": "emotion predict has no profile",
    "--emotion": "converse always guesses, what makes datasets only where it is asked to",
    "--emotion-confidence": "converse reacts to what is surer",
    "--epochs": "each training has its own",
    "--folds": "networks take hours for one",
    "--learning-rate": "each training has its own",
    "--model": "emotion evaluate trains one where none is named",
    "--patience": "each training has its own",
    "--profile": "speak goes on with that of tag",
    "--prosodic-tokens": "the commands of tokens are for nothing else",
    "--sample-rate": "each format has its own; speak may keep that of the recording",
    "--seed": "converse is random unless one is given",
}


def options_of(name: str) -> list[Any]:
    return [option for option in command_of(name).params if option.param_type_name == "option"]


def lines_of(dailytalk: Command, name: str) -> list[str]:
    return Text.from_ansi(dailytalk(name, "--help").out).plain.splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_panel_and_a_sentence(name: str) -> None:
    assert [option.opts for option in options_of(name) if option.rich_help_panel not in [*Panel]] == []
    assert [option.opts for option in options_of(name) if option.help[-1:] not in (".", "…")] == []


def test_option_says_the_same_in_every_command(dailytalk: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name in COMMANDS:
        shown = shown_behind(dailytalk, name, monkeypatch)
        for option in options_of(name):
            values = re.sub(r" ?\[required\]|[()]", "", shown[option.opts[0]])
            said[option.opts[0]].add((option.help, values))
    assert {option for option, words in said.items() if len(words) > 1} == {*DIFFERENT}


def test_list_of_commands_is_one_screen(dailytalk: Command) -> None:
    lines = dailytalk("--help").out.splitlines()
    assert len(lines) <= 45
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_panels_come_once_each_and_in_one_order(name: str, dailytalk: Command) -> None:
    titles = [line.strip("╭─╮ ") for line in lines_of(dailytalk, name) if line.startswith("╭─")]
    order = ["Arguments", *Panel]
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


def listed(lines: list[str]) -> list[str]:
    return [match[1] for line in lines if (match := re.match(r"(?:[A-Z]\w+ {2,}| {10})([a-z]+) ", line))]


def test_commands_are_listed_by_what_a_person_wants(dailytalk: Command) -> None:
    lines = dailytalk("--help").out.splitlines()
    titles = [match[1] for line in lines if (match := re.match(r"([A-Z]\w+) {2,}[a-z-]+ +", line))]
    assert titles == [*LISTED, "Options"]
    assert listed(lines) == list(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))


def test_commands_of_two_words_are_listed_under_the_first(dailytalk: Command) -> None:
    for first in GROUPS:
        lines = dailytalk(first, "--help").out.splitlines()
        assert max(map(cell_len, lines)) <= 80
        assert [f"{first} {second}" for second in listed(lines)] == [
            name for name in COMMANDS if name.startswith(first)
        ]
        assert f"No such command '{first}s'" in dailytalk(first, f"{first}s").err
