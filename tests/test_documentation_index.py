"""What a stranger opens first: the index of docs, and what the package says of itself in CITATION.cff."""

import re
import tomllib
from pathlib import Path

import yaml
from audio_files import ROOT

DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def links_of(page: Path) -> list[str]:
    """The links of a page to files, without their anchors."""
    links = re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8"))
    return [link for link in links if "://" not in link]


def test_index_lists_every_page_of_docs_once() -> None:
    pages = sorted(path.name for path in DOCS.glob("*.md") if path != INDEX)
    listed = sorted(link for link in links_of(INDEX) if (DOCS / link).parent == DOCS)
    assert listed == pages


def test_links_of_the_index_lead_to_files() -> None:
    assert [link for link in links_of(INDEX) if not (DOCS / link).is_file()] == []


def test_readme_leads_to_the_documents_for_a_stranger() -> None:
    links = links_of(ROOT / "README.md")
    wanted = ("docs/README.md", "examples/quickstart.ipynb", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff")
    assert [name for name in wanted if name not in links] == []


def test_citation_is_of_the_package_and_its_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert citation["title"].replace("_", "-") == PROJECT["name"]


def test_readme_is_read_in_two_minutes_and_docs_in_an_afternoon() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [page for page in DOCS.glob("*.md") if page.name != "options.md"]
    words = [word for page in pages for word in page.read_text(encoding="utf-8").split()]
    assert len(readme.splitlines()) <= 110
    assert len(words) <= 30_000
