"""Parquet through one module: what is read of a file, and what is said about one that is damaged."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_conversations import built_row
from datasets import Features, Value

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import AUDIO, BUILT, Row
from dailytalk_contiguous.store import parquet
from dailytalk_contiguous.store.parquet import open_parquet, write_parquet, writing_parquet

FEATURES = Features({"id": Value("string"), "audio": AUDIO})


def rows(*names: str) -> list[Row]:
    return [{"id": name, "audio": {"bytes": name.encode() * 50_000, "path": None}} for name in names]


def test_rows_come_back_by_row_group_by_column_and_by_place(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, FEATURES, [rows("a", "b"), rows("c")], {b"ours": b"x"}, audio="audio.bytes")
    with open_parquet(path, "write it again") as file:
        assert (file.group_sizes, file.schema.metadata[b"ours"]) == ([2, 1], b"x")
        assert list(file.rows()) == rows("a", "b", "c")
        assert list(file.rows(["id"], [1])) == [{"id": "c"}]
        assert file.row(0, 1) == rows("b")[0]
        assert (file.row(0, 2), file.row(2, 0)) == (None, None)
        assert 150_000 <= file.column_bytes("audio.bytes") <= file.plain_bytes()
    with open_parquet(io.BytesIO(path.read_bytes()), "", "a.parquet of a stream") as file:
        assert [row["id"] for row in file.rows(["id"])] == ["a", "b", "c"]


def test_row_of_a_row_group_is_read_although_the_audio_of_another_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, FEATURES, [rows("a"), rows("b")])
    chunk = next(
        chunk
        for chunk in map(pq.read_metadata(path).row_group(0).column, range(3))
        if chunk.path_in_schema == "audio.bytes"
    )
    data = bytearray(path.read_bytes())
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    data[first : first + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(data)
    with open_parquet(path, "write it again") as file:
        assert file.row(1, 0) == rows("b")[0]
        assert [row["id"] for row in file.rows(["id"])] == ["a", "b"]
        with pytest.raises(BadInput, match=r"a\.parquet can't be read \(.+\): write it again"):
            file.row(0, 0)


def test_what_is_no_parquet_is_one_sentence_and_an_error_of_the_disk_stays_one(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("text")
    with (
        pytest.raises(BadInput, match=r"text\.parquet can't be read"),
        open_parquet(tmp_path / "text.parquet", "write it again"),
    ):
        pass
    with pytest.raises(FileNotFoundError), open_parquet(tmp_path / "gone.parquet", "write it again"):
        pass


def test_file_without_a_column_or_with_one_of_another_type_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    with open_parquet(tmp_path / "a.parquet", "") as file:
        with pytest.raises(BadInput, match=r"a\.parquet has no column audio, x: build it again"):
            file.check(FEATURES, ["x", "id", "audio"], "build it again")
        with pytest.raises(BadInput, match=r"a\.parquet: id is of the type int64, not string"):
            file.check(FEATURES, ["id"])
        file.check(Features({"audio": AUDIO}), ["id"])


def zeros(path: Path, n_bytes: int, n_rows: int = 1) -> Path:
    """Rows of one row group that hold the same zeros."""
    column = pa.array(
        [{"bytes": bytes(n_bytes), "path": None}] * n_rows, FEATURES.arrow_schema.field("audio").type
    )
    table = pa.table({"id": [str(number) for number in range(n_rows)], "audio": column})
    pq.write_table(table, path, compression="zstd")
    return path


@pytest.fixture
def arrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[pa.MemoryPool]:
    """What Arrow takes from here on, where a row group may have 8 MiB."""
    monkeypatch.setattr(parquet, "LARGEST_UNPACKED", 8 << 20)
    pool, default = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(default)


def test_row_group_that_would_fill_memory_is_one_sentence(tmp_path: Path, arrow: pa.MemoryPool) -> None:
    path = zeros(tmp_path / "a.parquet", 24 << 20)
    before = arrow.max_memory()
    with (
        open_parquet(path, "leave it out") as file,
        pytest.raises(BadInput, match="GB unpacked: leave it out"),
    ):
        list(file.rows())
    assert arrow.max_memory() - before < 1 << 20


def test_equal_values_that_are_stored_once_are_not_held_together(tmp_path: Path, arrow: pa.MemoryPool) -> None:
    with open_parquet(zeros(tmp_path / "a.parquet", 3 << 20, n_rows=48), "") as file:
        sizes = [batch.nbytes for batch in file.batches(["audio"])]
    assert sum(sizes) > 48 * (3 << 20)
    assert max(sizes) < 8 << 20


def test_list_that_is_counted_and_not_written_is_one_sentence(tmp_path: Path) -> None:
    numbers = pa.ListArray.from_arrays([0, 40_000_000], pa.nulls(40_000_000, pa.int8()))
    pq.write_table(pa.table({"id": ["a"], "numbers": numbers}), tmp_path / "a.parquet")
    with open_parquet(tmp_path / "a.parquet", "leave it out") as file:
        with pytest.raises(BadInput, match="unpacked: leave it out"):
            list(file.rows())
        assert list(file.rows(["id"])) == [{"id": "a"}]


@pytest.mark.usefixtures("arrow")
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd"])
def test_sound_that_does_not_shrink_is_read_in_row_groups_of_any_size(tmp_path: Path, codec: str) -> None:
    sounds = [os.urandom(20_000) for _ in range(500)]
    kind = FEATURES.arrow_schema.field("audio").type
    column = pa.array([{"bytes": sound, "path": None} for sound in sounds], kind)
    pq.write_table(pa.table({"audio": column}), tmp_path / "a.parquet", compression=codec)
    with open_parquet(tmp_path / "a.parquet", "") as file:
        assert file.group_sizes == [500]
        assert [row["audio"]["bytes"] for row in file.rows()] == sounds


def test_failure_midway_leaves_the_file_of_before(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, FEATURES, [rows("a")])
    before = path.read_bytes()

    def groups() -> Iterator[list[Row]]:
        yield rows("b")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_parquet(path, FEATURES, groups(), audio="audio.bytes")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]
    assert path.read_bytes() == before


def test_reading_file_after_file_keeps_nothing_of_their_footers(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    with writing_parquet(path, BUILT) as write:
        for number in range(150):  # whose footer takes 14 MB in memory
            write([built_row(f"{number}", seconds=1.0, rate=8000)])
    held = []
    for _ in range(25):
        with open_parquet(path, "") as file:
            assert file.row(3, 0, ["audio"]) is not None
        held.append(anonymous_memory())
    assert held[-1] - held[4] < 100e6


def anonymous_memory() -> int:
    """Bytes that this process holds."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])
