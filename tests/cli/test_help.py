"""What `dailytalk COMMAND --help` shows: options in panels, one text an option, readable at 80 columns."""

import re
from collections import defaultdict
from typing import Any

import pytest
from command import Command
from rich.cells import cell_len

from dailytalk_contiguous.cli.main import COMMANDS, GROUPS, LISTED, command_of
from dailytalk_contiguous.cli.terminal import Panel

#: Options of which a word of the help, the values or the default differ between commands, and why. All others say
#: the same of themselves wherever they are.
DIFFERENT = {
    # They mean something else.
    "--language": "corpus leaves out clips in others; converse has no conversation in which to find it",
    "--out": "a folder, which for work may be in a store; or a file, which has a name of its own",
    "--fillers": "of tag whether they are looked for; of export whether they are written",
    "--format": "check sees what a folder is, unless a format is named",
    "--rules": "of tag by which a style is chosen; of export which events are clips",
    "--overwrite": "convert replaces files, push what others have published",
    "--pairs": "of tag which two files are a call; of report which kind of listening test is made",
    "--split": "corpus makes the splits; what reads the Hub chooses one, and tag a folder of audio files, too",
    "--valid-share": "of the time of a dataset, of its utterances, or of its speakers",
    "--variants": "of speak takes of one text, of retime variants of a conversation",
    "--workers": "probe takes the cores, for it loads no model",
    "--tts": "doctor says one line with it, and has none by default",
    "--voice": "converse has voices by gender and asks for consent; speak may clone who speaks",
    "--steps": "tokens train makes so many, check says what a trainer of others shows in so many",
    "--batch": "the same",
    # Another default suits the command.
    "--affect-model": "emotion predict has no profile",
    "--emotion": "converse always guesses, what makes datasets only where it is asked to",
    "--epochs": "each training has its own",
    "--learning-rate": "each training has its own",
    "--model": "emotion evaluate trains one where none is named",
    "--profile": "speak goes on with that of tag",
    "--prosodic-tokens": "the commands of tokens are for nothing else",
    "--sample-rate": "each format has its own; speak may keep that of the recording",
    "--seed": "of retime, other offsets are drawn",
}


def options_of(name: str) -> list[Any]:
    parameters = command_of(name).params
    return [option for option in parameters if option.param_type_name == "option"]


def help_of(dailytalk: Command, name: str, flag: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.argv", ["dailytalk", *name.split(), flag])
    return dailytalk(name, flag).out.splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_panel_and_a_sentence(name: str) -> None:
    panels = [*Panel]
    for option in options_of(name):
        assert option.rich_help_panel in panels, option.opts
        assert option.help.endswith((".", "…")), option.opts


def test_option_says_the_same_in_every_command(dailytalk: Command) -> None:
    texts: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name in COMMANDS:
        for option in options_of(name):
            default = option.show_default
            if not isinstance(default, str):
                default = str(option.default)
            values = re.sub("[()]", "", f"{option.metavar} {default}")
            texts[option.opts[0]].add((option.help, values))
    different = {option for option, versions in texts.items() if len(versions) > 1}
    assert different == {*DIFFERENT}


def test_list_of_commands_is_one_screen(dailytalk: Command) -> None:
    lines = dailytalk("--help").out.splitlines()
    assert len(lines) <= 50
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_one_screen(name: str, dailytalk: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = help_of(dailytalk, name, "--help", 80, monkeypatch)
    assert len(lines) <= 50
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_help_all_has_every_option_with_its_whole_sentence(
    name: str, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = help_of(dailytalk, name, "--help-all", 80, monkeypatch)
    assert max(map(cell_len, lines)) <= 80
    text = re.sub(r"[-\s]", "", "".join(lines))
    for option in options_of(name):
        assert re.sub(r"[-\s]", "", option.help) in text
    titles = [line[:-1] for line in lines if line[:1].isalpha() and line.endswith(":")]
    order = ["Arguments", *Panel]
    assert titles == sorted(set(titles), key=order.index)


@pytest.mark.parametrize("name", ["convert", "silences", "split", "transcribe", "reindex"])
def test_help_of_a_command_with_few_options_shows_them_all(name: str, dailytalk: Command) -> None:
    words = dailytalk(name, "--help").out.split()
    shown = {word.strip(",") for word in words if word.startswith("--")}
    assert {option.opts[0] for option in options_of(name)} <= shown


def listed(lines: list[str]) -> list[str]:
    """Names of commands in a help."""
    return re.findall(r"(?m)^  ([a-z]+) ", "\n".join(lines))


def test_commands_are_listed_by_what_a_person_wants(dailytalk: Command) -> None:
    lines = dailytalk("--help").out.splitlines()
    headings = [line[:-1] for line in lines if re.fullmatch(r"[A-Z]\w+:", line)]
    assert headings == ["Options", *LISTED]
    first_words = [name.partition(" ")[0] for name in COMMANDS]
    assert listed(lines) == list(dict.fromkeys(first_words))


def test_commands_of_two_words_are_listed_under_the_first(dailytalk: Command) -> None:
    for first in GROUPS:
        lines = dailytalk(first, "--help").out.splitlines()
        assert max(map(cell_len, lines)) <= 80
        shown = [f"{first} {second}" for second in listed(lines)]
        assert shown == [name for name in COMMANDS if name.startswith(first)]
        unknown = dailytalk(first, f"{first}s")
        assert f"No such command '{first}s'" in unknown.err
