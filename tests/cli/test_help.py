"""What `dailytalk COMMAND --help` shows: options in panels, one text an option, readable at 80 columns."""

import re
from collections import defaultdict
from typing import Any

import pytest
from audio_files import ROOT
from command import Command
from rich.cells import cell_len

from dailytalk_contiguous.cli.main import COMMANDS, GROUPS, LISTED, command_of
from dailytalk_contiguous.cli.terminal import Panel

#: Options of which a word of the help, the values or the default differ between commands, and why. All others say
#: the same of themselves wherever they are.
DIFFERENT = {
    "--out": "a folder, which for work may be in a store; or a file, which has a name of its own",
    "--sample-rate": "of an export the trainer's, of a copy the source's; speak may keep that of the recording",
    "--voice": "converse has voices by gender and asks for consent; speak may clone who speaks",
}

#: The most options that all commands together list, and the most that they take besides.
MOST_LISTED = 128
MOST_HIDDEN = 20

#: The most options that `--help` of these shows, besides itself; their `--help-all` shows the rest.
MOST_SHOWN = {"build": 12, "tag": 14, "speak": 14}

#: Options that documents use with commands that have many.
USED = {
    "build": ("--profile", "--revoice", "--language", "--sample-rate", "--tts", "--voice"),
    "tag": (
        "--channel",
        "--language",
        "--device",
        "--rules",
        "--stage",
        "--streaming",
        "--profile",
        "--asr-model",
    ),
    "speak": ("--timeline", "--sample-rate", "--on-failure", "--profile", "--tts", "--voice", "--recordings"),
    "corpus": ("--augment", "--balance", "--balance-by", "--target-minutes", "--reduce-noise-under", "--split-by"),
    "split": ("--words", "--silence", "--min", "--max", "--asr-model"),
    "export": ("--format", "--main", "--tokenizer", "--eval-share"),
    "emotion train": ("--kind", "--save-spectrograms", "--speech-encoder", "--epochs"),
    "emotion predict": ("--model", "--emotion-confidence", "--say-to", "--speakers"),
    "converse": ("--chat", "--input", "--tts", "--voice", "--consent", "--web"),
}


def options_of(name: str) -> list[Any]:
    parameters = command_of(name).params
    return [option for option in parameters if option.param_type_name == "option"]


def listed_options_of(name: str) -> list[Any]:
    return [option for option in options_of(name) if not option.hidden]


def shown_options(lines: list[str]) -> list[str]:
    """The options that the lines of a help begin with."""
    found = re.findall(r"(?m)^  (--[a-z-]+)", "\n".join(lines))
    return [option for option in found if option != "--help"]


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
    for option in listed_options_of(name):
        assert re.sub(r"[-\s]", "", option.help) in text
    titles = [line[:-1] for line in lines if line[:1].isalpha() and line.endswith(":")]
    order = ["Arguments", *Panel]
    assert titles == sorted(set(titles), key=order.index)


@pytest.mark.parametrize("name", ["convert", "silences", "split", "transcribe", "reindex"])
def test_help_of_a_command_with_few_options_shows_them_all(name: str, dailytalk: Command) -> None:
    shown = shown_options(dailytalk(name, "--help").out.splitlines())
    assert {*shown} == {option.opts[0] for option in listed_options_of(name)}


def test_few_options_are_listed() -> None:
    listed = {option.opts[0] for name in COMMANDS for option in listed_options_of(name)}
    assert len(listed) <= MOST_LISTED
    hidden = {option.opts[0] for name in COMMANDS for option in options_of(name) if option.hidden}
    assert len(hidden) <= MOST_HIDDEN


@pytest.mark.parametrize("name", MOST_SHOWN)
def test_help_of_a_command_with_many_options_shows_those_of_every_day(
    name: str, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = shown_options(help_of(dailytalk, name, "--help", 80, monkeypatch))
    assert 8 <= len(shown) <= MOST_SHOWN[name]
    in_full = shown_options(help_of(dailytalk, name, "--help-all", 80, monkeypatch))
    assert {*shown} < {*in_full} == {option.opts[0] for option in listed_options_of(name)}


@pytest.mark.parametrize("name", USED)
def test_help_shows_the_options_that_documents_use(
    name: str, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = shown_options(help_of(dailytalk, name, "--help", 80, monkeypatch))
    assert {*USED[name]} <= {*shown}


@pytest.mark.parametrize("name", COMMANDS)
def test_option_that_no_help_lists_is_named_by_a_page_or_a_message(name: str) -> None:
    pages = [path for path in (ROOT / "docs").glob("*.md") if path.name != "options.md"]
    texts = [path.read_text(encoding="utf-8") for path in [*pages, *(ROOT / "dailytalk_contiguous").rglob("*.md")]]
    for option in options_of(name):
        if option.hidden:
            named = re.compile(rf"{option.opts[0]}\b")
            assert any(map(named.search, texts)), option.opts


def test_help_of_build_names_that_of_its_halves(dailytalk: Command) -> None:
    sentence = " ".join(dailytalk("build", "--help").out.split())
    assert "tag, then speak (see their --help)" in sentence


def listed(lines: list[str]) -> list[str]:
    """Names of commands in a help."""
    return re.findall(r"(?m)^  ([a-z]+) ", "\n".join(lines))


def test_commands_are_listed_by_what_a_person_wants(dailytalk: Command) -> None:
    lines = dailytalk("--help").out.splitlines()
    headings = [line[:-1] for line in lines if re.fullmatch(r"[A-Z][\w ]+:", line)]
    assert headings == ["Options", *LISTED]
    first_words = [name.partition(" ")[0] for name in COMMANDS]
    assert listed(lines) == list(dict.fromkeys(first_words))


def test_commands_of_the_main_way_come_first(dailytalk: Command) -> None:
    first_eight = listed(dailytalk("--help").out.splitlines())[:8]
    assert first_eight == ["build", "tag", "speak", "check", "review", "report", "export", "push"]


def test_commands_of_two_words_are_listed_under_the_first(dailytalk: Command) -> None:
    for first in GROUPS:
        lines = dailytalk(first, "--help").out.splitlines()
        assert max(map(cell_len, lines)) <= 80
        shown = [f"{first} {second}" for second in listed(lines)]
        assert shown == [name for name in COMMANDS if name.startswith(first)]
        unknown = dailytalk(first, f"{first}s")
        assert f"No such command '{first}s'" in unknown.err
