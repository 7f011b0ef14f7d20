"""Docstrings: sentences with a subject; their examples are run as a reader would type them."""

import ast
import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from clips import line
from recordings import excerpt, save

import dailytalk_contiguous


def examples() -> list[doctest.DocTest]:
    """The docstrings with examples of what the package names, without what these take from elsewhere."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = []
    for name in dailytalk_contiguous.__all__:
        value = getattr(dailytalk_contiguous, name)
        module = inspect.getmodule(value)
        tests += [test for test in finder.find(value, name, module, globs={}) if test.examples]
    return sorted(tests, key=lambda test: test.name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples are typed: a folder of calls, one of clips, and a finished one."""
    save(tmp_path / "calls/monday.wav", excerpt())
    save(tmp_path / "calls/tuesday.wav", excerpt()[:, 0])
    save(tmp_path / "clips/hello.wav", line())
    write_dataset(tmp_path / "work", [built_row()])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_example_in_a_docstring_shows_what_happens(test: doctest.DocTest) -> None:
    failures: list[str] = []
    assert not any(doctest.SKIP in example.options for example in test.examples)
    doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    assert not failures, "".join(failures)


def test_calls_that_are_not_obvious_have_an_example() -> None:
    shown = {test.name for test in examples()}
    names = ("Folder", "Stage.map", "add_speech", "load", "moshi_windows", "speak_stages", "tag_stages")
    assert shown >= set(names)


def docstrings() -> Iterator[tuple[str, str]]:
    """All docstrings of the package, each with where it is."""
    package = Path(dailytalk_contiguous.__file__).parent
    documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = ast.get_docstring(node) if isinstance(node, documented) else None
            if text:
                yield f"{path.relative_to(package)}: {text[:60]}", text


def test_docstring_is_a_sentence_with_a_subject() -> None:
    telegram = re.compile(r"[a-z]|(What|Of|Those|Whose|Where|How|Passed|By|From|At|On|With)\b")
    assert [place for place, text in docstrings() if telegram.match(text)] == []


def test_attributes_and_arguments_of_docstrings_have_a_line_each() -> None:
    several = re.compile(r"^ +\w+(, \w+)+: ", re.MULTILINE)
    assert [place for place, text in docstrings() if several.search(text)] == []
