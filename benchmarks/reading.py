"""How much there is to read: README, the pages of docs, the options, the package and its tests.

`python benchmarks/reading.py` (or `make check`) prints each figure with its goal, and fails if one is missed.
docs/options.md is left out of the words: nobody reads it from top to bottom. The goals of package and tests are
those of CONTRIBUTING.md.
"""

import ast
import io
import re
import sys
import tokenize
from pathlib import Path

from measuring import ROOT

DOCS = ROOT / "docs"

#: At most.
README_LINES = 110
DOCS_WORDS = 26_500
OPTIONS = 128


def readme_lines() -> int:
    return len((ROOT / "README.md").read_text(encoding="utf-8").splitlines())


def docs_words() -> int:
    """Return the number of words of all pages of docs except docs/options.md, as `wc -w` counts them."""
    pages = [page for page in DOCS.glob("*.md") if page.name != "options.md"]
    return sum(len(page.read_text(encoding="utf-8").split()) for page in pages)


def options() -> set[str]:
    """Return the names of the options that docs/options.md lists, each once."""
    page = (DOCS / "options.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(--[a-z0-9-]+)", page, re.MULTILINE))


#: Tokens that are no code.
NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def tokens(folder: Path) -> int:
    """Return the number of tokens of code in the Python files below a folder, without docstrings."""
    count = 0
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        lines_of_docs = docstring_lines(ast.parse(text))
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in NO_CODE and token.start[0] not in lines_of_docs:
                count += 1
    return count


def docstring_lines(module: ast.Module) -> set[int]:
    lines = set[int]()
    for node in ast.walk(module):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            lines.update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return lines


def budget() -> tuple[int, int]:
    """Return the most tokens of package and tests, as CONTRIBUTING.md says."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(r"([\d,]+) tokens of package, ([\d,]+) of\s+tests", text)
    if found is None:
        raise SystemExit("CONTRIBUTING.md does not say how many tokens package and tests may have")
    package, tests = found.groups()
    return int(package.replace(",", "")), int(tests.replace(",", ""))


def main() -> int:
    package, tests = budget()
    figures = (
        ("lines of README.md", readme_lines(), README_LINES),
        ("words of docs, without options.md", docs_words(), DOCS_WORDS),
        ("different options in docs/options.md", len(options()), OPTIONS),
        ("tokens of dailytalk_contiguous", tokens(ROOT / "dailytalk_contiguous"), package),
        ("tokens of tests", tokens(ROOT / "tests"), tests),
    )
    n_missed = 0
    for name, figure, goal in figures:
        is_missed = figure > goal
        n_missed += is_missed
        print(f"{name}: {figure:,} (goal {goal:,} at most: {'missed' if is_missed else 'met'})")
    return int(n_missed > 0)


if __name__ == "__main__":
    sys.exit(main())
