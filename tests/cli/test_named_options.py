"""Options and commands that messages and documents name are there, and those of an example are of its command."""

import ast
import re
from pathlib import Path

import pytest
from audio_files import ROOT

from dailytalk_contiguous.cli.main import COMMANDS, GROUPS, command_of

#: An option in a text.
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]\b")

#: Options of every command.
EVERYWHERE = {"--help", "--help-all", "--version", "--json", "--verbose", "--insecure"}

#: Options of other programs that we name: pip, ray, SLURM, torchrun, trainers' scripts, servers of speech.
OF_OTHERS = {
    "--no-deps",
    "--force-reinstall",
    "--index-url",
    "--head",
    "--array",
    "--mem",
    "--cpus-per-task",
    "--nproc-per-node",
    "--audio",
    "--output",
    "--word",
    "--no",
    "--tokenizer",
    "--jsonl",
    "--omni",
    "--listen",
    "--llama-checkpoint-path",
    "--decoder-checkpoint-path",
    "--decoder-config-name",
    "--half",
    "--api-key",
    "--compile",
    "--no-json",  # typer's, which we prevent
}

#: Settings that the documents' own files define, and are options beside them.
OF_OWN_FILES = {"--letters", "--shortest", "--speaking-rate"}

#: Names of files that have two hyphens, and are no options.
FILE_NAMES = {"--rebuilt"}

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "dataset_card/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)


def options_of(name: str) -> set[str]:
    """The options of a command, as they are written."""
    parameters = command_of(name).params
    return {flag for parameter in parameters for flag in (*parameter.opts, *parameter.secondary_opts)} | EVERYWHERE


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The options of all commands, and those of our scripts and benchmarks."""
    options = OF_OTHERS.union(FILE_NAMES, *map(options_of, COMMANDS))
    for folder in ("builder_scripts", "benchmarks"):
        for path in (ROOT / folder).glob("*.py"):
            options |= set(re.findall(r'"(--[a-z][a-z-]*)"', path.read_text(encoding="utf-8")))
    return options


def is_command(words: str) -> bool:
    """Whether words after `dailytalk` begin with the name of a command."""
    first = words.split()[0]
    return first in GROUPS or any(first == name.split()[0] for name in COMMANDS)


def foreign_options(text: str) -> list[str]:
    """Options that directly follow the name of a command in a text, and are not its own."""
    followed = "|".join(sorted(map(re.escape, COMMANDS), key=len, reverse=True))
    pairs = re.findall(rf"(?<![\w./-])({followed}) (--[a-z][a-z0-9-]*[a-z0-9])\b", text)
    return [f"{name} {option}" for name, option in pairs if option not in options_of(name)]


def texts_of_code() -> list[tuple[Path, int, str]]:
    texts = []
    for path in sorted((ROOT / "dailytalk_contiguous").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append((path, node.lineno, node.value))
    return texts


def test_options_that_the_code_names_are_there(known: set[str]) -> None:
    missing = [
        f"{path.relative_to(ROOT)}:{line}: {option}"
        for path, line, text in texts_of_code()
        for option in OPTION.findall(text)
        if option not in known
    ]
    assert missing == []


def test_option_that_the_code_names_with_a_command_is_of_that_command() -> None:
    foreign = [
        f"{path.relative_to(ROOT)}:{line}: {pair}"
        for path, line, text in texts_of_code()
        for pair in foreign_options(text)
    ]
    assert foreign == []


def test_commands_that_the_code_names_are_there() -> None:
    missing = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path, line, text in texts_of_code()
        for words in re.findall(r"(?:`|run |next: |the same )dailytalk ([a-z]+(?: [a-z]+)?)", text)
        if not is_command(words)
    ]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_that_a_document_names_are_there(path: Path, known: set[str]) -> None:
    text = path.read_text(encoding="utf-8")
    assert [option for option in OPTION.findall(text) if option not in known | OF_OWN_FILES] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_of_an_example_belong_to_its_command(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    foreign = foreign_options(text)
    for line in re.findall(r"(?:^|`|\$ )dailytalk ([^`\n#]*)", text, re.MULTILINE):
        name = max((name for name in COMMANDS if f"{line} ".startswith(f"{name} ")), key=len, default="")
        if not name:
            continue
        allowed = options_of(name) | (OF_OWN_FILES if ".py" in line else set())
        foreign += [f"{name} {option}" for option in OPTION.findall(line) if option not in allowed]
    assert foreign == []
