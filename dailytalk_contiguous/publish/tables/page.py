"""The report: one HTML page to look at and listen to, of conversations or of clips, alone or beside others.

The page forbids every connection, needs no network and can be sent by mail. Rows are read once, one at a time, for
the tables that its figures are of (`core.records.tables`), and judged. Examples are chosen by their measures;
these, and those that the user names, are read once more for the player, with their sound.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.records.finding import FindingLimits
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.publish.checks import verdict as judging
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables.displays import SHOWN, OtherDataset, displays_of
from dailytalk_contiguous.publish.tables.tabular import Table
from dailytalk_contiguous.publish.tables.templates import page
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.files import write_lines
from dailytalk_contiguous.store.work_folder import TABLES

#: The page's name in its folder.
REPORT = "report.html"

#: Rejects that are listed with their remedies.
EXAMPLES = 30


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        size: its bytes.
        number: its conversations, recorded clips or files of a mix.
        unit: noun for one of these.
        examples: the ids of those that can be heard.
        verdict: None where no clip is finished.
    """

    path: Path
    size: int
    number: int
    unit: str
    examples: tuple[str, ...]
    verdict: judging.Verdict | None


def write_report(
    where: Path | Version,
    out: Path | None = None,
    shown: int | Sequence[str] = SHOWN,
    limits: FindingLimits = judging.LIMITS,
    other: Items | None = None,
    *,
    defaults: Mapping[str, object],
) -> WrittenReport:
    """Write the report of conversations or clips. The rows of a version are read one by one over the network.

    Args:
        where: as `open_items` takes it: a work folder, a folder of finished shards, a mix, or a version.
        out: the file; by default `report.html` in the folder.
        shown: how many examples to choose, or the ids of conversations. Clips are always chosen by the page.
        limits: beyond which conversations are remarked on.
        other: conversations or clips to compare labels, lengths and levels with.
        defaults: of `cli.defaults.default_settings`.

    Raises DailytalkError if it is empty or can't be read, an id is not in it, or `shown` is given for clips.
    """
    if out is None:
        # `load_dataset` fails on any other file among shards.
        if isinstance(where, Version) or any(path.name not in TABLES for path in where.glob("*.parquet")):
            raise DailytalkError(f"the page can't be put into {where}", "name a file with --out")
        out = where / REPORT
    items = open_items(where)
    beside = None
    if other:
        unusable: list[Row] = []
        tables_beside = tables_of(other, unusable)
        beside = OtherDataset(other.name, tables_beside, len(unusable))
    refused: list[Row] = []
    show = displays_of(items).from_items(items, refused, defaults=defaults, other_dataset=beside)
    heard, context = show.contents(items, shown, limits)
    text = page(items.name, show.report, show.package, show=show, rejects=_rejects(items, refused), **context)
    write_lines(out, text)
    number = int(show.whole["conversations"])
    return WrittenReport(out, out.stat().st_size, number, show.row_unit, heard, context["verdict"])


def _rejects(items: Items, refused: Sequence[Row]) -> list[Table]:
    """The first rejects, with what to do: rows that can't be used, then those of the run."""
    head = ("id", "stage", "reason", "remedy")
    of_rows = [
        Reject(row["conversation_id"], "report", row["problem"], row["remedy"]).as_dict() for row in refused
    ]
    first = itertools.islice(itertools.chain(of_rows, items.rejects()), EXAMPLES)
    rows = [itemgetter(*head)(reject) for reject in first]
    return [Table("The first of them, and what to do", head, rows, folded=True)] if rows else []
