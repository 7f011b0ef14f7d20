"""Links between the documents lead somewhere."""

import re
from pathlib import Path

import pytest
from audio_files import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
PAGES += [ROOT / "dataset_card/fields.md", ROOT / "examples/README.md", ROOT / "examples/quickstart.ipynb"]
PAGES.sort()


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        leads_somewhere = target.exists() and (not anchor or anchor in anchors(target))
        if not leads_somewhere:
            broken.append(link)
    assert broken == []
