"""Templates place what Python made: they call macros and filters alone, and compute nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import nodes

import dailytalk_contiguous
from dailytalk_contiguous.publish.tables.templates import environment

PACKAGE = Path(dailytalk_contiguous.__file__).parent
TEMPLATES = sorted(
    path
    for folder in PACKAGE.rglob("assets")
    for path in folder.iterdir()
    if path.suffix in (".html", ".md", ".jinja") and "{" in path.read_text("utf-8")
)
ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow, nodes.Neg)

#: What places something: a file beside the template, a picture on a card, text of the caller, macros that an
#: including template imported, the list of the sections of a page, and the tables and plots of sections.
PLACING = {"asset", "draw", "caller", "part", "toc", "parts_of"}


def macros(tree: nodes.Template) -> set[str]:
    imported = {node.target for node in tree.find_all(nodes.Import)}
    return {node.name for node in tree.find_all(nodes.Macro)} | imported | PLACING


def programs(tree: nodes.Template) -> Iterator[str]:
    for call in tree.find_all(nodes.Call):
        called = call.node
        while isinstance(called, nodes.Getattr):
            called = called.node
        if not isinstance(called, nodes.Name) or called.name not in macros(tree):
            yield f"line {call.lineno}: a call"
    for node in tree.find_all(ARITHMETIC):
        yield f"line {node.lineno}: arithmetic"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_template_computes_nothing(path: Path) -> None:
    tree = environment().parse(path.read_text("utf-8"))
    assert [*programs(tree)] == []
