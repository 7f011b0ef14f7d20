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
    "--diarize",
    "--force-reinstall",
    "--index-url",
    "--head",
    "--array",
    "--mem",
    "--cpus-per-task",
    "--nproc-per-node",
    "--audio",
    "--output",
    "--sparse",
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
    "--dataset",
    "--repo-type",
    "--no-json",  # typer's, which we prevent
}

#: Settings that the documents' own files define, and are options beside them.
OF_OWN_FILES = {"--letters", "--longest", "--speaking-rate"}

#: Options of git in examples.
OF_GIT = {"--reset"}

#: Names of files that have two hyphens, and are no options.
FILE_NAMES = {"--rebuilt"}


def documents() -> list[Path]:
    """The pages of the documentation, except the changelog, which names older options."""
    paths = list[Path]()
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "dataset_card/*.md", ".github/**/*.md"):
        paths += [path for path in ROOT.glob(pattern) if path.name != "CHANGELOG.md"]
    return sorted(paths)


DOCUMENTS = documents()


def options_of(name: str) -> set[str]:
    """The options of a command, as they are written."""
    flags = set(EVERYWHERE)
    for parameter in command_of(name).params:
        flags.update(parameter.opts)
        flags.update(parameter.secondary_opts)
    return flags


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The options of all commands, and those of our scripts and benchmarks."""
    options = OF_OTHERS.union(FILE_NAMES, *map(options_of, COMMANDS))
    for folder in ("builder_scripts", "benchmarks"):
        for path in (ROOT / folder).glob("*.py"):
            code = path.read_text(encoding="utf-8")
            options.update(re.findall(r'"(--[a-z][a-z-]*)"', code))
    return options


def is_command(words: str) -> bool:
    """Whether words after `dailytalk` begin with the name of a command."""
    first = words.split()[0]
    return first in GROUPS or any(first == name.split()[0] for name in COMMANDS)


def foreign_options(text: str) -> list[str]:
    """Options that directly follow the name of a command in a text, and are not its own."""
    longest_first = sorted(map(re.escape, COMMANDS), key=len, reverse=True)
    followed = "|".join(longest_first)
    pairs = re.findall(rf"(?<![\w./-])({followed}) (--[a-z][a-z0-9-]*[a-z0-9])\b", text)
    return [f"{name} {option}" for name, option in pairs if option not in options_of(name)]


def texts_of_code() -> list[tuple[Path, int, str]]:
    texts = []
    for path in sorted((ROOT / "dailytalk_contiguous").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append((path, node.lineno, node.value))
    return texts


def line_of(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_options_that_the_code_names_are_there(known: set[str]) -> None:
    missing = []
    for path, line, text in texts_of_code():
        unknown = [option for option in OPTION.findall(text) if option not in known]
        missing += [f"{line_of(path, line)}: {option}" for option in unknown]
    assert missing == []


def test_option_that_the_code_names_with_a_command_is_of_that_command() -> None:
    foreign = []
    for path, line, text in texts_of_code():
        foreign += [f"{line_of(path, line)}: {pair}" for pair in foreign_options(text)]
    assert foreign == []


def test_commands_that_the_code_names_are_there() -> None:
    command = re.compile(r"(?:`|run |next: |the same )dailytalk ([a-z]+(?: [a-z]+)?)")
    missing = []
    for path, line, text in texts_of_code():
        unknown = [words for words in command.findall(text) if not is_command(words)]
        missing += [f"{line_of(path, line)}: {words}" for words in unknown]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_that_a_document_names_are_there(path: Path, known: set[str]) -> None:
    text = path.read_text(encoding="utf-8")
    allowed = known | OF_OWN_FILES | OF_GIT
    assert [option for option in OPTION.findall(text) if option not in allowed] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_of_an_example_belong_to_its_command(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    foreign = foreign_options(text)
    for line in re.findall(r"(?:^|`|\$ )dailytalk ([^`\n#]*)", text, re.MULTILINE):
        names = [name for name in COMMANDS if f"{line} ".startswith(f"{name} ")]
        if not names:
            continue
        name = max(names, key=len)
        allowed = options_of(name)
        if ".py" in line:
            allowed |= OF_OWN_FILES
        foreign += [f"{name} {option}" for option in OPTION.findall(line) if option not in allowed]
    assert foreign == []
