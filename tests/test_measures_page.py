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
    rows = [row for row in table.splitlines() if row.startswith("| ") and figures_in(row)]
    assert len(rows) == 3
    head, *sections = (ROOT / "docs/measures.md").read_text(encoding="utf-8").split("\n## ")
    for row in rows:
        figures = {*figures_in(row)}
        assert any(figures <= {*figures_in(head + section)} for section in sections), row
