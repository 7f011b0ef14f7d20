"""What pages and cards list one by one, and from how many on the rest is added up or left out."""

import pytest
from built_conversations import built_row
from reports import shown, tables_of

from dailytalk_contiguous.core.records.figures import follows_source, tag_measures
from dailytalk_contiguous.core.records.tables import Tables
from dailytalk_contiguous.publish.tables.displays import Displays
from dailytalk_contiguous.publish.tables.sections import PARTS
from dailytalk_contiguous.publish.tables.tabular import Table

TAGS = ("calm", "sad", "shouting", "soft tone")


def spoken(follows: float = 1.0, tags: int = 4) -> Tables:
    """Lines whose loudness differs by tag, and takes in which it does so by as many times."""
    lines = [("left", start, start + 0.8, "Hello.") for start in range(12)]
    row = built_row(lines=lines, seconds=13.0)
    for number, utterance in enumerate(row["utterances"]):
        loudness = number % tags
        utterance["tag"] = TAGS[loudness]
        utterance["rms"] = 0.1 * 2.0**loudness
        utterance["synthesis"]["rms"] = 0.1 * 2.0 ** (follows * loudness)
    return tables_of(row)


def test_a_voice_that_does_the_reverse_or_nothing_is_said_so() -> None:
    assert follows_source(tag_measures(spoken()), "loudness") == pytest.approx(1.0)
    assert follows_source(tag_measures(spoken(-1.0)), "loudness") == pytest.approx(-1.0)
    assert follows_source(tag_measures(spoken(0.0)), "loudness") is None
    assert follows_source(tag_measures(spoken(tags=2)), "loudness") is None
    assert "Too few to say." in shown("style", spoken(tags=2))


def test_a_table_that_is_empty_for_no_reason_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def pace(show: Displays) -> Table:
        return Table("Pace", ("tag", "pace"), [("calm", None), ("sad", show.tables.n)], "Of all.")

    def moods(_: Displays) -> Table:
        return Table("Moods", ("tag", "mood"), (), "Of none.")

    monkeypatch.setitem(PARTS, "pace", [pace, moods])
    text = shown("pace", spoken())
    assert "**Pace**" in text
    assert "| calm | – |" in text
    assert "| sad | 1 |" in text
    assert "Of all." in text
    assert "Moods" not in text
    assert "Of none." not in text
