"""Parquet through one module: what is read of a file, and what is said about one that is damaged."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import AUDIO, Row
from dailytalk_contiguous.store.parquet import open_parquet, row_groups, write_parquet

MEGABYTE = 1_000_000

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


def repeated(value: str, count: int) -> pa.DictionaryArray:
    """A value that is written once and named by each row."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


def write_packed(path: Path, column: pa.Array, **options: object) -> Path:
    """A file of less than a megabyte with one column."""
    settings = {"compression": "zstd", "write_statistics": False, "dictionary_pagesize_limit": 1 << 30, **options}
    pq.write_table(pa.table({"id": column}), path, **settings)
    assert path.stat().st_size < MEGABYTE
    return path


def test_row_group_that_unpacks_to_far_more_than_it_has_is_not_read(tmp_path: Path) -> None:
    column = pa.array(["x" * MEGABYTE] * 300)
    path = write_packed(tmp_path / "a.parquet", column, use_dictionary=False)
    before = pa.total_allocated_bytes()
    with open_parquet(path, "write it again") as file:
        readings: list[Callable[[], object]] = [
            file.check_size,
            lambda: next(file.rows()),
            lambda: next(file.rows_at([(0, 0)])),
        ]
        for read in readings:
            with pytest.raises(BadInput, match=r"a\.parquet: row group 0, .* more than 268\.4 MB: write it again"):
                read()
            assert pa.total_allocated_bytes() - before < MEGABYTE


def test_file_of_values_that_are_named_too_often_is_read_no_further(tmp_path: Path) -> None:
    path = write_packed(tmp_path / "a.parquet", repeated("x" * MEGABYTE, 50_000), store_schema=False)
    with open_parquet(path, "write it again") as file:
        rows = file.rows()
        assert len(next(rows)["id"]) == MEGABYTE
        with pytest.raises(BadInput, match=r"a\.parquet, unpacked, has more than 268\.4 MB: write it again"):
            list(rows)


#: Reads Parquet files with 1 GiB of memory, and prints what is wrong, or how many rows there are.
LIMITED = """
import resource, sys
from pathlib import Path
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.store.parquet import open_parquet

resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
for path in map(Path, sys.argv[1:]):
    try:
        with open_parquet(path, "write it again") as file:
            print(len(list(file.rows())))
    except BadInput as problem:
        print(problem)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_file_that_needs_more_memory_than_there_is_costs_itself_alone(tmp_path: Path) -> None:
    texts = write_packed(tmp_path / "texts.parquet", repeated("x" * 40 * MEGABYTE, 256), store_schema=False)
    values = pa.ListArray.from_arrays(pa.array([0, 50_000], pa.int32()), repeated("x" * MEGABYTE, 50_000))
    in_a_list = write_packed(tmp_path / "list.parquet", values)
    good = write_packed(tmp_path / "good.parquet", pa.array(["a", "b"]))
    command = [sys.executable, "-c", LIMITED, texts, good, in_a_list, good]
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, env=environment)
    reason = "needs more memory than there is: use fewer --workers, close other programs, or leave it out"
    assert done.stdout.splitlines() == [f"{texts} {reason}", "2", f"{in_a_list} {reason}", "2"]


def test_texts_that_are_often_the_same_are_read_whole(tmp_path: Path) -> None:
    texts = [f"{number} " * 100 for number in range(1000)]
    lists = [texts[number : number + 10] for number in range(900)] * 10
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": lists, "name": [texts[0]] * len(lists)}), path, row_group_size=1000)
    with open_parquet(path, "") as file:
        assert [row["id"] for row in file.rows()] == lists
        assert next(file.rows_at([(3, 7)]))["id"] == lists[3007]


def test_million_rows_are_read_although_their_columns_repeat_a_few_values(tmp_path: Path) -> None:
    n_rows = 1_000_000
    columns: dict[str, pa.Array] = {"id": pa.array([f"call{number}" for number in range(n_rows)])}
    for number in range(40):
        columns[f"label{number}"] = repeated("neutral", n_rows) if number % 2 else pa.nulls(n_rows, pa.string())
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=n_rows)
    with open_parquet(path, "") as file:
        assert sum(len(batch) for batch in file.batches(size=50_000)) == n_rows
        row = next(file.rows_at([(0, n_rows - 1)]))
    assert row["id"] == "call999999"
    assert (row["label0"], row["label1"]) == (None, "neutral")


@pytest.mark.parametrize("buffer_size", [0, 100, 1 << 16])
def test_pages_that_arrive_in_pieces_are_read_whole(tmp_path: Path, buffer_size: int) -> None:
    generator = np.random.default_rng(0)
    sounds = [generator.bytes(50_000) for _ in range(40)]
    buffer = io.BytesIO()
    table = pa.table({"id": [str(number) for number in range(40)], "sound": sounds})
    pq.write_table(table, buffer, data_page_size=1000, use_dictionary=False, row_group_size=15)
    with open_parquet(buffer, "", "a.parquet", buffer_size) as file:
        assert [row["sound"] for row in file.rows()] == sounds


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
