"""The index of finished conversations: what a version's files are planned by."""

from pathlib import Path

import pytest
from built_conversations import LINES, built_row, write_dataset

from dailytalk_contiguous.publish.packing.indexing import index_folder


def test_heard_seconds_are_those_of_the_utterances_that_are_not_dropped(tmp_path: Path) -> None:
    row = built_row("call")
    row["utterances"][1] |= {"status": "dropped", "start": None, "end": None}
    (found,) = index_folder(write_dataset(tmp_path, [row])).conversations
    kept = [(start, end) for number, (_, start, end, _) in enumerate(LINES) if number != 1]
    assert (found.heard, found.seconds) == (3, 6.0)
    assert found.heard_seconds == pytest.approx(sum(end - start for start, end in kept))
