"""dataset_card/fields.md shows each field as the table of fields has it.

`python tests/test_fields_page.py` writes its tables again.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from dailytalk_contiguous.core.fields import Field, type_in_words
from dailytalk_contiguous.core.utterance import FIELDS

PAGE = Path(__file__).parents[1] / "dataset_card" / "fields.md"

#: The parts of the table by the headings under which the page shows them.
PARTS = {"## A line of transcript.jsonl": ("", "line"), "Fields of an utterance beside": ("built", "row")}


def table(fields: Iterator[Field]) -> str:
    lines = ["| field | type, unit, range | what |", "|---|---|---|"]
    for field in fields:
        kind = ", ".join(filter(None, (type_in_words(field.feature), field.unit)))
        name = ".".join(field.path)
        lines.append(f"| {name} | {kind} | {field.about} |")
    return "\n".join(lines) + "\n"


def renewed(page: str) -> str:
    for heading, parts in PARTS.items():
        before, _, after = page.partition(heading)
        old = re.search(r"\| field .*?\n(?=\n)", after, flags=re.DOTALL)
        assert old
        made = table(field for field in FIELDS if field.part in parts)
        page = before + heading + after[: old.start()] + made + after[old.end() :]
    return page


def test_page_shows_the_fields_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page)


def test_every_field_says_what_it_is() -> None:
    undocumented = [field.name for field in FIELDS if not field.about]
    assert undocumented == []


if __name__ == "__main__":
    page = renewed(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page, encoding="utf-8")
