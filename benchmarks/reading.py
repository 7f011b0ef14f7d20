"""How much there is to read before and beside the code: README, the pages of docs, and the options.

`python benchmarks/reading.py` (or `make pages`) prints each figure with its goal. docs/options.md is left out of
the words: nobody reads it from top to bottom.
"""

import re

from measuring import ROOT

DOCS = ROOT / "docs"

#: At most.
README_LINES = 110
DOCS_WORDS = 30_000
OPTIONS = 140


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


def main() -> None:
    figures = (
        ("lines of README.md", readme_lines(), README_LINES),
        ("words of docs, without options.md", docs_words(), DOCS_WORDS),
        ("different options in docs/options.md", len(options()), OPTIONS),
    )
    for name, figure, goal in figures:
        verdict = "met" if figure <= goal else "missed"
        print(f"{name}: {figure:,} (goal {goal:,} at most: {verdict})")


if __name__ == "__main__":
    main()
