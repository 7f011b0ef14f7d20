"""The facts of a page, a card, findings or rows, a line each: figures with what they are about, links and anchors.

Wording is no fact: a sentence may be written anew. A figure that changes is, and so is whatever is missing, since
elements, headings and columns are counted.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

import yaml

#: A number as people write it, with a sign, commas and a point, and the dash where there is none.
NUMBER = re.compile(r"[-−+×]?\d+(?:[.,]\d+)*|–")

#: Elements whose figures belong together.
BLOCKS = {"button", "dt", "figcaption", "h1", "h2", "h3", "li", "option", "p", "summary", "title", "tr"}

#: Elements that are counted.
COUNTED = BLOCKS | {
    "audio", "canvas", "code", "dd", "details", "img", "input", "section", "select", "svg", "table",
}  # fmt: skip

#: Attributes with figures that a page or a reader's program works with.
WITH_FIGURES = ("data-value", "value", "title", "min", "max")

#: Attributes with the address of something.
ADDRESSES = ("href", "src")


def numbers_in(text: str) -> str:
    """The numbers of a text, in order, to six digits behind the point."""
    numbers = NUMBER.findall(text)
    return " ".join(f"{float(number):.6f}" if len(number) > 12 else number for number in numbers)


def row_facts(cells: Sequence[str]) -> str:
    """The first cell and one more without a number, which name the row, and the numbers of the others."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    names = filled[:1]
    for cell in filled[1:2]:
        if not NUMBER.search(cell):
            names.append(cell)
    return f"{' / '.join(names)} | {numbers_in(' '.join(filled[len(names) :]))}"


class Page(HTMLParser):
    """The facts of an HTML page: elements by their number, anchors, links, and figures by section."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.figures: list[str] = []
        self._section = "page"
        self._cells: list[str] = []
        self._label = ""
        self._in_row = False
        self._in_program = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self._in_program = tag in ("script", "style")
        if tag in COUNTED:
            self.elements[tag] += 1
        if "id" in known:
            self.anchors.append(known["id"])
        self.links.extend(known[name] for name in ADDRESSES if name in known and "base64" not in known[name])
        if tag == "section":
            self._end_block()
            self._section = known.get("id", "section")
        if tag == "tr":
            self._end_block()
            self._in_row = True
        elif tag in BLOCKS and not self._in_row:
            self._end_block()
        if tag in ("td", "th", "dd"):
            self._cells.append("")
        figures = " ".join(known[name] for name in WITH_FIGURES if name in known)
        if figures and tag != "meta":
            self.handle_data(f" {numbers_in(figures)} ")

    def handle_endtag(self, tag: str) -> None:
        self._in_program = False
        if tag == "tr":
            self._in_row = False
        if tag in (BLOCKS | {"dl"}) - {"dt"} and not self._in_row:
            self._end_block()

    def handle_data(self, data: str) -> None:
        if self._in_program:
            return
        if not self._cells:
            self._cells.append("")
        self._cells[-1] += data

    def _end_block(self) -> None:
        """Note the figures of a row or a block, if it has any."""
        cells = [" ".join(cell.split()) for cell in self._cells]
        self._cells = []
        if len(cells) > 1:
            self.figures.append(f"{self._section}: {row_facts(cells)}")
        elif numbers_in("".join(cells)):
            self.figures.append(f"{self._section}: {numbers_in(''.join(cells))}")


def page_facts(text: str) -> str:
    """The facts of an HTML page."""
    page = Page()
    page.feed(text)
    page.close()
    counts = ", ".join(f"{name} {count}" for name, count in sorted(page.elements.items()))
    lines = [f"elements: {counts}", f"anchors: {' '.join(page.anchors)}", f"links: {' '.join(page.links)}"]
    return "\n".join([*lines, *page.figures]) + "\n"


def anchor_of(heading: str) -> str:
    """The anchor that a heading of Markdown has on the Hub."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def card_facts(text: str) -> str:
    """The facts of a dataset card: what its front matter says, headings, links, code, and figures by heading."""
    _, front, body = text.split("---\n", 2)
    lines = [*front_facts(yaml.safe_load(front))]
    anchor = "card"
    in_code = False
    for line in body.splitlines():
        if line.startswith("```"):
            in_code = not in_code
            lines.append(line)
        elif in_code:
            lines.append(line)
        elif line.startswith("#"):
            level, _, heading = line.partition(" ")
            anchor = anchor_of(heading)
            lines.append(f"{level} {anchor}")
        elif line.startswith("| ---"):
            continue
        elif line.startswith("|"):
            lines.append(row_facts(line.strip("|").split("|")))
        else:
            links = re.findall(r"\]\(([^)]+)\)|(?:href|src)=\"([^\"]+)\"", line)
            lines.extend(f"link {first or second}" for first, second in links)
            if numbers_in(line):
                lines.append(f"{anchor}: {numbers_in(line)}")
    return "\n".join(line for line in lines if line) + "\n"


def front_facts(front: Mapping[str, Any]) -> Iterator[str]:
    """What the front matter of a card says; of each configuration how many columns it has."""
    for name, value in front.items():
        if name == "dataset_info":
            for part in value:
                splits = ", ".join(f"{split['name']} {split['num_examples']}" for split in part["splits"])
                fields = json.dumps(part["features"]).count('"name"')
                yield f"{part['config_name']}: {len(part['features'])} columns, {fields} fields; {splits}"
        else:
            yield f"{name}: {json.dumps(value, ensure_ascii=False)}"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values inside a value, each with the names that lead to it."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


def column_facts(rows: Iterable[Any]) -> str:
    """Of each column, nested ones too: how many values, their sum or letters, and a checksum of them in order."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for path, value in leaves(row):
            columns.setdefault(path, []).append(value)
    lines = []
    empty = []
    for path, every in columns.items():
        values = [value for value in every if value is not None]
        checksum = zlib.crc32(json.dumps(every, ensure_ascii=False, default=str).encode())
        if not values:
            empty.append(path)
        elif all(isinstance(value, int | float) for value in values):
            lines.append(f"{path}: {len(values)}, sum {sum(values):.6g}, {checksum:08x}")
        else:
            letters = sum(len(str(value)) for value in values)
            lines.append(f"{path}: {len(values)}, letters {letters}, {checksum:08x}")
    return "\n".join([*lines, f"null: {' '.join(empty)}"]) + "\n"


def finding_facts(findings: Iterable[Mapping[str, Any]]) -> str:
    """Of each finding its level, severity, kind and file, and the figures of its sentence."""
    lines = []
    for finding in findings:
        about = " ".join(str(finding.get(name)) for name in ("level", "severity", "kind", "file"))
        lines.append(f"{about}: {numbers_in(finding['what'])} > {numbers_in(finding['remedy'])}")
    return "\n".join(lines) + "\n"


def figure_facts(facts: Mapping[str, Any]) -> str:
    """The values of a record, a line for each name; a list of records is a line for each of them."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, list | tuple):
            lines.extend(f"{name}: {row_facts([str(leaf) for _, leaf in leaves(part)])}" for part in value)
        else:
            lines.append(f"{name}: {' '.join(str(leaf) for _, leaf in leaves(value))}")
    return "\n".join(lines) + "\n"
