"""Pages, cards and folders as the commands write them: with the settings that nobody chose."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.run_record import NO_RUN
from dailytalk_contiguous.core.records.tables import TableMaker, Tables
from dailytalk_contiguous.publish.exports import writing
from dailytalk_contiguous.publish.hub import packing, pushing
from dailytalk_contiguous.publish.opening import finished_items
from dailytalk_contiguous.publish.tables import card, page
from dailytalk_contiguous.publish.tables.displays import Displays
from dailytalk_contiguous.publish.tables.readme import readme
from dailytalk_contiguous.publish.tables.sections import parts_of
from dailytalk_contiguous.publish.tables.templates import environment
from dailytalk_contiguous.publish.version import Packed

write_report = partial(page.write_report, defaults=default_settings())
render_card = partial(card.render_card, defaults=default_settings())
export_with_readme = partial(
    writing.write_export, readme=partial(readme, "data", run=NO_RUN, defaults=default_settings())
)


def tables_from(talks: Iterable[Conversation], finished: bool = True) -> Tables:
    """Make the tables of conversations."""
    maker = TableMaker(finished)
    for talk in talks:
        maker.add(talk)
    return maker.tables()


def pack_version(folder: Path, stage: Path, **options: Any) -> Packed:
    """Pack a work folder."""
    return packing.pack_version(finished_items(folder), stage, **options)


def push_version(folder: Path, *arguments: Any, **options: Any) -> pushing.Release:
    """Push a work folder."""
    items = finished_items(folder)
    return pushing.push_version(items, *arguments, default_settings(), **options)


def shown(section: str, tables: Any = None, **about: Any) -> str:
    """What the tables and plots of a section say in Markdown."""
    parts = parts_of(Displays(tables, run=NO_RUN, defaults={}, **about), section)
    source = '{% import "parts.md" as part with context %}{{ part.each(parts) }}'
    return environment(markdown=True).from_string(source).render(parts=parts)


def tables_of(*rows: Any, **options: Any) -> Tables:
    """The tables of rows, with the options of their maker."""
    maker = TableMaker(**options)
    for row in rows:
        maker.add(from_finished(row))
    return maker.tables()
