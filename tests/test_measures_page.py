"""The figures that README states are those of docs/measures.md."""

import re

from audio_files import ROOT


def figures_in(text: str) -> list[str]:
    """The numbers of a text, except those in names of code and in links."""
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)
    return re.findall(r"\d+(?:[.,]\d+)*", prose)


def test_figures_of_readme_are_in_the_measures() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, section = readme.partition("## What was measured")
    table, _, _ = section.partition("\n## ")
    figures = figures_in(table)
    assert len(figures) > 40
    measures = figures_in((ROOT / "docs/measures.md").read_text(encoding="utf-8"))
    missing = [figure for figure in figures if figure not in measures]
    assert missing == []
