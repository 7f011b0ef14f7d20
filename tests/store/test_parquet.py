"""Parquet through one module: what is read of a file, and what is said about one that is damaged."""

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import AUDIO, Row
from dailytalk_contiguous.store.parquet import open_parquet, row_groups, write_parquet

FEATURES = Features({"id": Value("string"), "audio": AUDIO})


def rows(*names: str) -> list[Row]:
    return [{"id": name, "audio": {"bytes": name.encode() * 50_000, "path": None}} for name in names]


def test_rows_come_back_by_row_group_by_column_and_by_place(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, FEATURES, [rows("a", "b"), rows("c")], {b"ours": b"x"}, audio=["audio"])
    with open_parquet(path, "write it again") as file:
        assert file.group_sizes == [2, 1]
        assert file.schema.metadata[b"ours"] == b"x"
        assert list(file.rows()) == rows("a", "b", "c")
        (batch,) = file.batches(["id"], [1])
        assert batch.to_pylist() == [{"id": "c"}]
        (b,) = rows("b")
        assert next(file.rows_at([(0, 1)])) == b
        for absent in ((0, 2), (2, 0)):
            with pytest.raises(BadInput, match=r"a\.parquet can't be read"):
                next(file.rows_at([absent]))
        assert file.plain_bytes() >= 150_000
    with open_parquet(io.BytesIO(path.read_bytes()), "", "a.parquet of a stream") as file:
        assert [row["id"] for row in file.rows(["id"])] == ["a", "b", "c"]


def test_row_of_a_row_group_is_read_although_the_audio_of_another_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, FEATURES, [rows("a"), rows("b")])
    first_group = pq.read_metadata(path).row_group(0)
    chunks = [first_group.column(index) for index in range(3)]
    (chunk,) = [chunk for chunk in chunks if chunk.path_in_schema == "audio.bytes"]
    data = bytearray(path.read_bytes())
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    size = chunk.total_compressed_size
    data[first : first + size] = bytes(size)
    path.write_bytes(data)
    (b,) = rows("b")
    with open_parquet(path, "write it again") as file:
        assert next(file.rows_at([(1, 0)])) == b
        assert [row["id"] for row in file.rows(["id"])] == ["a", "b"]
        with pytest.raises(BadInput, match=r"a\.parquet can't be read \(.+\): write it again"):
            next(file.rows_at([(0, 0)]))


def test_file_without_a_column_or_with_one_of_another_type_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    with open_parquet(tmp_path / "a.parquet", "") as file:
        with pytest.raises(BadInput, match=r"a\.parquet has no column audio, x"):
            file.check(FEATURES, ["x", "id", "audio"])
        with pytest.raises(BadInput, match=r"a\.parquet: id is of the type int64, not string"):
            file.check(FEATURES, ["id"])
        file.check(Features({"audio": AUDIO}), ["id"])


def test_failure_midway_leaves_the_file_of_before(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, FEATURES, [rows("a")])
    before = path.read_bytes()

    def groups() -> Iterator[list[Row]]:
        yield rows("b")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_parquet(path, FEATURES, groups(), audio=["audio"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(("millions", "is_read"), [(20, True), (24, False)])
def test_row_group_that_would_fill_memory_is_not_unpacked(tmp_path: Path, millions: int, is_read: bool) -> None:
    """A value takes twelve bytes beside its own: 24 million of them are over 256 MiB, and hardly 1 MB here."""
    path = tmp_path / "a.parquet"
    count = millions * 1_000_000
    pq.write_table(pa.table({"id": pa.nulls(count, pa.bool_())}), path, row_group_size=count)
    assert path.stat().st_size < 1_000_000
    with open_parquet(path, "write it again") as file:
        if is_read:
            assert next(file.rows_at([(0, count - 1)])) == {"id": None}
        else:
            with pytest.raises(BadInput, match=r"a\.parquet: row group 0, .* more than 268\.4 MB: write it again"):
                next(file.rows_at([(0, count - 1)]))


def test_two_columns_of_sound_are_stored_as_they_are_and_fill_row_groups_together(tmp_path: Path) -> None:
    features = Features({"id": Value("string"), "left": AUDIO, "right": AUDIO})
    talks = []
    for number in range(6):
        left = {"bytes": bytes([number]) * 500, "path": None}
        right = {"bytes": bytes([100 + number]) * 500, "path": None}
        talks.append({"id": str(number), "left": left, "right": right})
    groups = [*row_groups(talks, 2000, ["left", "right"])]
    assert [len(group) for group in groups] == [2, 2, 2]
    write_parquet(tmp_path / "talks.parquet", features, groups, audio=["left", "right"])
    metadata = pq.read_metadata(tmp_path / "talks.parquet")
    columns = [metadata.row_group(0).column(number) for number in range(metadata.num_columns)]
    compression = {column.path_in_schema: column.compression for column in columns}
    assert compression["left.bytes"] == compression["right.bytes"] == "UNCOMPRESSED"
    assert compression["id"] == "ZSTD"
