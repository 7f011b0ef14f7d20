"""The tables of conversations or clips (`core.records.tables`), read once and without audio."""

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.tables import TableMaker, Tables
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.publish.items import Items


def tables_of(items: Items, refused: list[Row] | None = None) -> Tables:
    """Make the tables of all rows that can be used.

    A row that can't be used counts as a reject of the stage `report`, and is added to `refused`. Raises
    DailytalkError as `Items.rows` does.
    """
    refused = [] if refused is None else refused
    maker = TableMaker(items.rebuilt, items.fields, items.knows_rejects)
    for row in steps("conversations read", items.listed(refused)):
        maker.add(from_finished(row))
    for row in refused:
        reject = Reject(row["conversation_id"], "report", row["problem"], row["remedy"])
        maker.add_reject(reject.as_dict())
    for line in items.rejects():
        maker.add_reject(line)
    return maker.tables()
