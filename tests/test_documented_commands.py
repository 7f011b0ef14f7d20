"""Every command on a page can be typed: it exists, and takes the options and values that the page gives it."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from audio_files import ROOT
from command import EVERYWHERE

from dailytalk_contiguous.cli.main import COMMANDS, command_of

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "examples/README.md"]
PAGES += [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("dataset_card/*.md"))]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

#: A line of a block that types a command: before it may be variables, behind it a comment.
TYPED = re.compile(r"^(?:\w+=\S* )*dailytalk (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")

#: Options of other programs that the pages name.
OF_OTHERS = {
    "--api-key": "Fish's server",
    "--diarize": "whisper.cpp",
    "--room": "benchmarks/mutants.py",
}


def text_of(page: Path) -> str:
    """The text of a page. What a template puts into it is one word."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"\{\{.*?\}\}", "WORD", text)


def command_and_arguments(words: list[str]) -> tuple[str, list[str]]:
    """The name of a command, which may be two words, and what follows it."""
    pair = " ".join(words[:2])
    if pair in COMMANDS:
        return pair, words[2:]
    return words[0], words[1:]


def typed_commands(page: Path) -> list[list[str]]:
    """The words behind `dailytalk` in the code blocks of a page."""
    commands = []
    for block in BLOCK.findall(text_of(page)):
        joined = re.sub(r"\\\n\s*", "", block)
        commands += [shlex.split(line, comments=True) for line in TYPED.findall(joined)]
    return commands


def parse(words: list[str]) -> None:
    """Raise an exception if the command can't be typed. Files that it reads need not exist."""
    name, arguments = command_and_arguments(words)
    own = [word for word in arguments if word not in EVERYWHERE]
    with pytest.MonkeyPatch.context() as patch:
        command = command_of(name, own)
        for parameter in command.params:
            patch.setattr(parameter.type_descriptor.parameter_info, "exists", False)
        command.make_context(name, own)


@cache
def options_of(name: str) -> set[str]:
    options = {*EVERYWHERE}
    for parameter in command_of(name).params:
        options |= {*parameter.opts, *parameter.secondary_opts}
    return options


@cache
def options_of_all() -> set[str]:
    return {*OF_OTHERS}.union(*map(options_of, COMMANDS))


def allowed_options(span: str) -> set[str]:
    """Options that inline code may have: those of the command that it begins with, or, as `--option`, of any.

    A person's own file has options of its own.
    """
    name, _ = command_and_arguments(span.removeprefix("dailytalk ").split())
    if name in COMMANDS and ".py" not in span:
        return options_of(name)
    if span.startswith("-"):
        return options_of_all()
    return {*OPTION.findall(span)}  # of another program


@EACH_PAGE
def test_commands_of_a_page_can_be_typed(page: Path) -> None:
    wrong = []
    for words in typed_commands(page):
        try:
            parse(words)
        except Exception as error:
            wrong.append(f"dailytalk {shlex.join(words)}: {error}")
    assert wrong == []


@EACH_PAGE
def test_options_in_the_sentences_of_a_page_exist(page: Path) -> None:
    sentences = BLOCK.sub("", text_of(page))
    unknown = []
    for span in re.findall(r"`([^`\s][^`]*)`", sentences):
        allowed = allowed_options(span)
        unknown += [f"{option} in `{span}`" for option in OPTION.findall(span) if option not in allowed]
    assert unknown == []


def test_pages_type_commands() -> None:
    names = {command_and_arguments(words)[0] for page in PAGES for words in typed_commands(page)}
    assert len(names) > 20
