"""The fields of transcript.jsonl and rows, and the measures of conversations, as tables of dataset_card/fields.md.

`python benchmarks/fields_page.py` writes the tables again, from the fields (`core/records/utterance.py`) and the
measures (`core/records/measures.py`); the rest of the page is written by hand.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from dailytalk_contiguous.core.records.fields import Field, type_in_words
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.records.utterance import FIELDS

PAGE = Path(__file__).parents[1] / "dataset_card" / "fields.md"

#: The parts of the table by the headings under which the page shows them.
PARTS = {"## A line of transcript.jsonl": ("", "line"), "Fields of an utterance beside": ("built",)}


def table(fields: Iterable[Field]) -> str:
    lines = ["| field | type, unit, range | what |", "|---|---|---|"]
    for field in fields:
        kind = ", ".join(filter(None, (type_in_words(field.feature), field.unit)))
        name = ".".join(field.path)
        lines.append(f"| {name} | {kind} | {field.about} |")
    return "\n".join(lines) + "\n"


def measures() -> str:
    lines = ["| measure | unit, range | what |", "|---|---|---|"]
    for name, measure in CONVERSATION_MEASURES.items():
        unit = {100.0: "0 to 1", 0.001: "Hz"}.get(measure.factor, measure.unit)
        lines.append(f"| {name} | {unit} | {measure.about} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page as it is, with its tables made anew."""
    text = PAGE.read_text(encoding="utf-8")
    for heading, parts in PARTS.items():
        before, _, after = text.partition(heading)
        old = re.search(r"\| field .*?\n(?=\n)", after, flags=re.DOTALL)
        assert old
        made = table(field for field in FIELDS if field.part in parts)
        text = before + heading + after[: old.start()] + made + after[old.end() :]
    return re.sub(r"\| measure .*\n(?:\|.*\n)*", lambda _: measures(), text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
