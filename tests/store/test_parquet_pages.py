"""Small Parquet files that unpack to gigabytes: what comes out is counted, whatever the footer says."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quotas import Quota
from dailytalk_contiguous.store.parquet import ParquetReader, open_parquet
from dailytalk_contiguous.store.parquet_pages import Chunk, CountedFile, Leaf, parse_header

MEGABYTE = 1_000_000


def repeated(value: str, count: int) -> pa.DictionaryArray:
    """A value that is written once and named by each row."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


def write(path: Path, column: pa.Array, **options: object) -> Path:
    table = pa.table({"id": column})
    settings = {"compression": "zstd", "write_statistics": False, "dictionary_pagesize_limit": 1 << 30, **options}
    pq.write_table(table, path, **settings)
    assert path.stat().st_size < MEGABYTE
    return path


def one_list(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def varint(number: int, n_bytes: int = 1) -> bytes:
    """A number as Thrift writes it, in so many bytes at least."""
    number *= 2
    parts = [number & 127]
    while number > 127 or len(parts) < n_bytes:
        number >>= 7
        parts.append(number & 127)
    return bytes(part | 128 for part in parts[:-1]) + bytes(parts[-1:])


def lying(path: Path, said: int) -> Path:
    """The file, the footer of which says so many bytes for what its column unpacks to."""
    group = pq.read_metadata(path).row_group(0)
    data = path.read_bytes()
    (size,) = struct.unpack("<I", data[-8:-4])
    footer = data[-8 - size : -8]
    for true in (group.column(0).total_uncompressed_size, group.total_byte_size):
        footer = footer.replace(varint(true), varint(said, len(varint(true))))
    path.write_bytes(data[: -8 - size] + footer + data[-8:])
    assert pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size == said
    return path


def with_two_sizes(path: Path, is_true_first: bool) -> Path:
    """The file, whose one page has two sizes in its header: Arrow takes the true one, the footer says the other.

    The other is a number of 64 bits after the true one; or the true one comes last, in a field whose number is 2
    in the 16 bits that Arrow keeps of it.
    """
    column = pq.read_metadata(path).row_group(0).column(0)
    data = path.read_bytes()
    page = parse_header(data, column.data_page_offset)
    true = varint(page.unpacked)
    head = data[4 : page.start]
    assert head.startswith(b"\x15\x00\x15" + true)
    further = head[3 + len(true) : -1]
    if is_true_first:
        header = b"\x15\x00\x15" + true + further + b"\x06" + varint(2) + varint(100) + b"\0"
    else:
        header = b"\x15\x00\x15" + varint(100) + further + b"\x05" + varint((1 << 16) + 2) + true + b"\0"
    (size,) = struct.unpack("<I", data[-8:-4])
    footer = data[-8 - size : -8]
    packed = column.total_compressed_size + len(header) - len(head)
    for number, said in ((column.total_compressed_size, packed), (column.total_uncompressed_size, 1000)):
        footer = footer.replace(varint(number), varint(said, len(varint(number))))
    path.write_bytes(data[:4] + header + data[page.start : -8 - size] + footer + data[-8:])
    return path


BOMBS = {
    "value named by every row": lambda path: write(path, repeated("x" * 40 * MEGABYTE, 256), store_schema=False),
    "the same, kept as a dictionary": lambda path: write(path, repeated("x" * MEGABYTE, 9000)),
    "value named in a list": lambda path: write(path, one_list(repeated("x" * MEGABYTE, 50_000))),
    "values that begin with those before": lambda path: write(
        path,
        one_list(pa.array(["x" * MEGABYTE] * 300)),
        use_dictionary=False,
        column_encoding={"id.list.element": "DELTA_BYTE_ARRAY"},
    ),
    "bytes of a fixed length": lambda path: write(path, pa.array([bytes(MEGABYTE)] * 500, pa.binary(MEGABYTE))),
    "page beyond its footer": lambda path: lying(
        write(path, pa.array(["x" * 300 * MEGABYTE]), use_dictionary=False), 1000
    ),
    "page with two sizes, the first is true": lambda path: with_two_sizes(
        write(path, pa.array(["x" * 300 * MEGABYTE]), use_dictionary=False), True
    ),
    "page with two sizes, the last is true": lambda path: with_two_sizes(
        write(path, pa.array(["x" * 300 * MEGABYTE]), use_dictionary=False), False
    ),
    "dictionary beyond its footer": lambda path: lying(write(path, repeated("x" * 40 * MEGABYTE, 256)), 1000),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("buffer_size", [0, 1 << 16])
def test_file_that_would_fill_memory_is_refused_before_it_does(
    tmp_path: Path, bomb: Callable[[Path], Path], buffer_size: int
) -> None:
    path = bomb(tmp_path / "a.parquet")
    before = pa.total_allocated_bytes()
    sizes = []

    def read(opened: ParquetReader) -> None:
        for _ in opened.batches():
            sizes.append(pa.total_allocated_bytes() - before)

    with path.open("rb") as file, open_parquet(file, "write it again", "a.parquet", buffer_size) as opened:
        with pytest.raises(BadInput, match=r"^a\.parquet.*: write it again$"):
            read(opened)
        with pytest.raises(BadInput, match=r"^a\.parquet.*: write it again$"):
            list(opened.rows_at([(0, opened.group_sizes[0] - 1)]))
        with pytest.raises(BadInput, match=r"^a\.parquet.*: write it again$"):
            opened.check_size()
    assert max(sizes, default=0) < 300 * MEGABYTE


def test_header_of_a_page_with_a_struct_for_its_size_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.array(["x" * 1000]), use_dictionary=False, compression="none")
    data = bytearray(path.read_bytes())
    assert data[4:7] == b"\x15\x00\x15"
    data[6:9] = b"\x1c\x11\x00"
    path.write_bytes(data)
    with open_parquet(path, "write it again") as file, pytest.raises(BadInput, match=r"a\.parquet can't be read"):
        list(file.rows())


def test_pages_are_counted_although_an_earlier_reading_stopped_among_them() -> None:
    buffer = io.BytesIO()
    texts = ["a" * 500] * 1000
    settings = {"use_dictionary": False, "compression": "none", "data_page_size": 1000, "write_batch_size": 10}
    pq.write_table(pa.table({"id": texts}), buffer, **settings)
    stored = pq.read_metadata(buffer).row_group(0).column(0)
    end = stored.data_page_offset + stored.total_compressed_size
    leaf = Leaf("id", frozenset(["id"]), 0, True, False)
    pages = Chunk(stored.data_page_offset, end, leaf, 1000, stored.total_uncompressed_size, False, "UNCOMPRESSED")
    page = parse_header(buffer.getvalue(), pages.start)
    later = pages._replace(start=page.start + page.packed)
    file = CountedFile(buffer, "a.parquet", "")
    file.expect([later], Quota("later pages", 1e9, "bytes", ""))
    quota = Quota("all pages", 1e9, "bytes", "")
    file.expect([pages], quota)
    file.seek(pages.start)
    while file.tell() < end:
        file.read(60_000)
    assert quota.used > sum(map(len, texts))


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


@pytest.mark.parametrize("codec", ["zstd", "snappy", "gzip", "brotli", "lz4", "none"])
def test_short_texts_that_differ_are_read_in_batches_as_large_as_asked(tmp_path: Path, codec: str) -> None:
    texts = [f"what they said in line {number}" for number in range(100_000)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(dict.fromkeys("abcdefgh", texts)), path, compression=codec)
    with open_parquet(path, "") as file:
        batches = list(file.batches(size=10_000))
    assert [len(batch) for batch in batches] == [10_000] * 10
    assert batches[9]["h"].to_pylist() == texts[-10_000:]


@pytest.mark.parametrize("buffer_size", [0, 100, 1 << 16])
def test_pages_that_arrive_in_pieces_are_read_whole(tmp_path: Path, buffer_size: int) -> None:
    generator = np.random.default_rng(0)
    sounds = [generator.bytes(50_000) for _ in range(40)]
    buffer = io.BytesIO()
    table = pa.table({"id": [str(number) for number in range(40)], "sound": sounds})
    pq.write_table(table, buffer, data_page_size=1000, use_dictionary=False, row_group_size=15)
    with open_parquet(buffer, "", "a.parquet", buffer_size) as file:
        assert [row["sound"] for row in file.rows()] == sounds


def test_footer_of_a_million_columns_is_refused(tmp_path: Path) -> None:
    schema = pa.schema([("", pa.bool_())] * 200_000)
    pq.ParquetWriter(tmp_path / "a.parquet", schema, store_schema=False).close()
    with pytest.raises(BadInput, match=r"a\.parquet can't be read"), open_parquet(tmp_path / "a.parquet", ""):
        pass
