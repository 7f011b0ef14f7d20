"""The index of finished conversations: what a version's files are planned by."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from built_conversations import LINES, built_row, write_dataset

from dailytalk_contiguous.publish.items import finished_items, problem_of
from dailytalk_contiguous.publish.packing import index_folder
from dailytalk_contiguous.store.parquet import cause


def test_heard_seconds_are_those_of_the_utterances_that_are_not_dropped(tmp_path: Path) -> None:
    row = built_row("call")
    row["utterances"][1] |= {"status": "dropped", "start": None, "end": None}
    (found,) = index_folder(write_dataset(tmp_path, [row])).conversations
    kept = [(start, end) for number, (_, start, end, _) in enumerate(LINES) if number != 1]
    assert (found.heard, found.seconds) == (3, 6.0)
    assert found.heard_seconds == pytest.approx(sum(end - start for start, end in kept))


def test_index_reads_no_audio(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, [built_row("call")]) / "dataset/shard-0.parquet"
    footer = pq.read_metadata(path).row_group(0)
    columns = [footer.column(number) for number in range(footer.num_columns)]
    [audio] = [column for column in columns if column.path_in_schema == "audio.bytes"]
    data = bytearray(path.read_bytes())
    first = audio.dictionary_page_offset or audio.data_page_offset
    data[first : first + audio.total_compressed_size] = b"\xff" * audio.total_compressed_size
    path.write_bytes(data)
    assert [one.id for one in index_folder(tmp_path).conversations] == ["call"]


def test_shards_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = [f"{place:03}" for place in (7, 3, 11, 0, 23, 5, 19, 2, 13, 17, 1, 29)]
    folder = write_dataset(tmp_path, [built_row("call")]) / "dataset"
    for name in names:
        (folder / f"{name}.parquet").write_bytes((folder / "shard-0.parquet").read_bytes())
    assert [path.stem for path in finished_items(tmp_path).files] == [*sorted(names), "shard-0"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 200 + "y"), "x" * 200),
    ],
)
def test_cause_is_the_first_line_of_what_a_library_says(error: Exception, told: str) -> None:
    assert cause(error) == told


def test_row_says_what_is_wrong_with_it_and_where() -> None:
    word = {"word": "a", "start": 0.0, "end": 1.0, "speaker": "left", "source": None, "probability": None}
    for change, column, reason in (
        ({"conversation_id": " "}, "conversation_id", "it has no conversation_id"),
        ({"duration": None}, "duration", "its duration is None, no length in seconds"),
        ({"duration": -0.1}, "duration", "its duration is -0.1, no length in seconds"),
        ({"duration": 31 * 86400.0 + 1}, "duration", "its duration is 2678401.0, no length in seconds"),
        ({"source_duration": -1.0}, "source_duration", "its source_duration is -1.0, no length in seconds"),
        ({"alignments": [word, None]}, "alignments", "its word 2 is empty"),
        ({"alignments": [{"word": "a"}]}, "alignments", "its word 1 has no end, probability, source, speaker, st"),
        ({"alignments": [word | {"speaker": "up"}]}, "alignments", "its word 1 names a channel 'up', not left or"),
        ({"alignments": [word | {"end": None}]}, "alignments", "its word 1 has the end None, no time in seconds"),
        ({"alignments": [word | {"start": 2.7e6}]}, "alignments", "its word 1 has the start 2700000.0, no time"),
        ({"sounds": [{"channel": "right"}]}, "sounds", "its sound 1 has no end, source_end, source_start, start"),
    ):
        found = problem_of(built_row("call") | change)
        assert found is not None, change
        assert (found.column, found.reason[: len(reason)]) == (column, reason)
    fine = {"source_duration": None, "alignments": None, "duration": 31 * 86400.0}
    assert problem_of(built_row("call") | fine) is None
    row = built_row("call", alignments=[word | {"start": -1.0, "end": -2.0}])
    row["utterances"][0] |= {"status": "dropped", "start": None, "end": None}
    assert problem_of(row) is None


def test_conversations_are_indexed_by_id_whatever_the_order_of_the_shards(tmp_path: Path) -> None:
    shards_of = [[built_row(name) for name in names] for names in ("dc", "ab")]
    assert [one.id for one in index_folder(write_dataset(tmp_path, *shards_of)).conversations] == [*"abcd"]
