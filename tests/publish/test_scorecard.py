"""corpus-stats.json."""

import json
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset

from dailytalk_contiguous.core.records.figures import corpus_stats
from dailytalk_contiguous.core.records.tables import Tables
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import open_items

#: A minute in which the right side says mm-hm four times into the left one's speech, and the left one never.
SILENT_PARTNER = [
    ("left", 0.0, 20.0, "I tell you all of it. " * 8),
    *(("right", start, start + 0.5, "Mm-hm.") for start in (3.0, 7.0, 11.0, 15.0)),
    ("right", 20.5, 40.5, "And I tell you more. " * 8),
    ("left", 41.0, 60.0, "So that is that, I say. " * 8),
]


def tables_in(folder: Path) -> Tables:
    return tables_of(open_items(folder))


def shifted(name: str, seconds: float) -> dict[str, Any]:
    """The conversation of a silent partner, later by some seconds."""
    lines = [(side, start + seconds, end + seconds, text) for side, start, end, text in SILENT_PARTNER]
    return built_row(name, lines)


def test_the_same_conversations_give_the_same_bytes_whatever_their_order(tmp_path: Path) -> None:
    rows = [shifted(f"call{n}", n / 7) for n in range(9)]
    in_order = write_dataset(tmp_path / "0", rows)
    mixed = write_dataset(tmp_path / "1", rows[4:], rows[:4])
    written = json.dumps(corpus_stats(tables_in(in_order)))
    assert json.dumps(corpus_stats(tables_in(mixed))) == written
    stats = json.loads(written)
    assert stats["conversations"] == 9
    backchannels = stats["timelines"]["rebuilt"]["backchannels"]["right"]
    assert backchannels.pop("conversations") == 9
    assert backchannels.keys() == {"pooled", "p5", "p25", "p50", "p75", "p95"}
    for share in backchannels.values():
        assert share == pytest.approx(40)
