"""What pages and cards list one by one, and from how many on the rest is added up or left out."""

import pytest
from built_conversations import built_row
from reports import shown, tables_of

from dailytalk_contiguous.publish.tables.displays import Displays
from dailytalk_contiguous.publish.tables.sections import PARTS
from dailytalk_contiguous.publish.tables.tabular import Table


def test_a_table_that_is_empty_for_no_reason_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def pace(show: Displays) -> Table:
        return Table("Pace", ("tag", "pace"), [("calm", None), ("sad", show.tables.n)], "Of all.")

    def moods(_: Displays) -> Table:
        return Table("Moods", ("tag", "mood"), (), "Of none.")

    monkeypatch.setitem(PARTS, "pace", [pace, moods])
    text = shown("pace", tables_of(built_row()))
    assert "**Pace**" in text
    assert "| calm | – |" in text
    assert "| sad | 1 |" in text
    assert "Of all." in text
    assert "Moods" not in text
    assert "Of none." not in text


def test_turn_taking_has_a_column_for_each_side_that_speaks() -> None:
    text = shown("turns", tables_of(built_row()))
    assert "| measure | left | right |" in text
    assert "| speech (of the time) | 40 % | 35 % |" in text
    assert "| median floor-transfer offset | 0.20 s | −0.10 s |" in text
    assert "| overlap (of its speech) | 8 % | 10 % |" in text
    alone = shown("turns", tables_of(built_row(lines=[("left", 0.0, 1.0, "Hello.")])))
    assert "| measure | left |\n" in alone
    assert "| median floor-transfer offset | – |" in alone
