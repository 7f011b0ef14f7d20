"""A section for the report of a work folder."""

from pathlib import Path

from dailytalk_contiguous.core.records.figures import sums
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables.tabular import Table
from dailytalk_contiguous.publish.tables.templates import Section, rendered


def languages(folder: Path) -> list[Section]:
    spoken = sums(tables_of(open_items(folder)), "language")
    rows = [(str(name), int(n)) for name, n in spoken["conversations"].items()]
    table = Table("Languages", ("language", "conversations"), rows, nothing="there is no conversation")
    return [Section("languages", "Languages", rendered("cards.html", cards=[table]))]


if __name__ == "__main__":
    print(languages(Path("work"))[0].html)
