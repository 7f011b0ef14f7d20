import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, List, Value, load_dataset
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.shards import (
    INDEX,
    INDEX_FROM,
    Entry,
    Shard,
    ShardIndex,
    chain_of,
    drop_stale,
    group,
    read_entries,
    read_rows,
    shard_path,
    write_shard,
)
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store.files import replacing, write_lines

FEATURES = Features({"conversation_id": Value("string"), "number": Value("int32")})
REJECT = Reject("b", "Segment", "why", "what to do")


def entry(reject: Reject | None = None, chain: tuple[str, ...] = ("c1", "c2")) -> Entry:
    return Entry("in", chain, (0.5, 0.25)[: len(chain)], "rec", 6.0, reject)


def shard(*names: str) -> Shard:
    return Shard([{"conversation_id": n, "number": 1} for n in names], {n: entry() for n in names})


def row(name: str, seconds: float = 6.0) -> dict[str, Any]:
    return {"conversation_id": name, "duration": seconds}


@dataclass(frozen=True)
class Add(Stage):
    amount: int = 1
    adds: ClassVar[Features] = Features({"sum": Value("int64")})


# Digests


@pytest.mark.parametrize(
    ("chain", "n_valid"),
    [(("c1", "c2"), 2), (("c1", "x"), 1), (("x", "c2"), 0), (("c1",), 1), (("c1", "c2", "c3"), 2)],
)
def test_stages_stand_up_to_the_first_that_changed(chain: tuple[str, ...], n_valid: int) -> None:
    assert entry().n_valid("in", chain) == n_valid


@pytest.mark.parametrize(("chain", "n_valid"), [(("c1", "c2", "c3"), 2), (("c1", "x"), 0)])
def test_reject_stands_or_falls_as_a_whole(chain: tuple[str, ...], n_valid: int) -> None:
    assert entry(REJECT).n_valid("in", chain) == n_valid


def test_nothing_stands_for_another_input() -> None:
    assert entry().n_valid("other", ("c1", "c2")) == 0


def test_change_of_a_stage_changes_its_digest_and_those_after_it() -> None:
    before, after = chain_of([Add(1), Add(2), Add(3)]), chain_of([Add(1), Add(7), Add(3)])
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]


# Groups


@given(st.lists(st.floats(0.1, 50)), st.floats(1, 100))
def test_every_row_is_in_one_group_in_order(lengths: list[float], seconds: float) -> None:
    rows = [row(str(n), length) for n, length in enumerate(lengths)]
    groups = list(group(rows, seconds))
    assert [one for rows in groups for one in rows] == rows
    assert all(groups)
    assert all(sum(one["duration"] for one in rows) < 2 * seconds + 50 for rows in groups)
    assert all(sum(one["duration"] for one in rows) >= seconds - 1e-6 for rows in groups[:-1])


def test_groups_are_as_long_as_was_asked_for_and_less_than_twice_that_and_a_row() -> None:
    lengths = [sum(one["duration"] for one in rows) for rows in group([row(f"{n}", 1.0) for n in range(300)], 5.0)]
    assert set(lengths[:-1]) == {5.0, 6.0, 7.0, 8.0, 9.0, 10.0}


def test_added_recording_changes_few_groups() -> None:
    names = [f"call{n:04d}" for n in range(150)]
    before = {tuple(r["conversation_id"] for r in rows) for rows in group(map(row, names), 60.0)}
    after = {tuple(r["conversation_id"] for r in rows) for rows in group(map(row, ["call0007b", *names]), 60.0)}
    assert len(before & after) > 0.8 * len(before)


def test_shard_is_named_after_its_conversations() -> None:
    folder = Path("x")
    assert shard_path(folder, [row("a"), row("b")]) == shard_path(folder, [row("a", 9.0), row("b")])
    assert (
        len({shard_path(folder, rows) for rows in ([], [row("a")], [row("a"), row("b")], [row("b"), row("a")])})
        == 4
    )


# Files


def test_shard_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "shard-1.parquet"
    write_shard(path, Shard(shard("a").rows, {"a": entry(), "b": entry(REJECT, ("c1",))}), FEATURES)
    assert read_rows(path, ["number", "unknown"]) == {"a": {"conversation_id": "a", "number": 1}}
    assert read_entries(path) == {"a": entry(), "b": entry(REJECT, ("c1",))}


def test_columns_of_another_type_are_refused_by_name_where_types_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "shard-1.parquet"
    write_shard(path, shard("a", "b"), FEATURES)
    assert read_rows(path, Features({"number": Value("int32"), "other": Value("string")})) == {
        name: {"conversation_id": name, "number": 1} for name in "ab"
    }
    with pytest.raises(BadInput) as refused:
        read_rows(path, Features({"number": Value("string")}))
    assert refused.value.reason == f"{path}: number is of the type int32, not string"
    assert refused.value.remedy == "delete it and run the command that wrote it again"
    assert read_rows(path, ["number"])["b"]["number"] == 1


def test_values_of_any_type_that_a_stage_may_declare_are_read_back(tmp_path: Path) -> None:
    features = Features(
        {
            "conversation_id": Value("string"),
            "yes": Value("bool"),
            "when": Value("date32"),
            "each": List({"yes": Value("bool"), "at": Value("float32")}),
        }
    )
    row = {"conversation_id": "a", "yes": True, "when": date(2026, 1, 2), "each": [{"yes": False, "at": 0.5}]}
    write_shard(tmp_path / "s.parquet", Shard([row], {"a": entry()}), features)
    assert read_rows(tmp_path / "s.parquet", features) == {"a": row}


def test_shards_with_and_without_rows_open_as_one_dataset(tmp_path: Path) -> None:
    write_shard(tmp_path / "tagged/shard-0.parquet", Shard([], {"b": entry(REJECT)}), FEATURES)
    write_shard(tmp_path / "tagged/shard-1.parquet", shard("a", "c"), FEATURES)
    write_shard(tmp_path / "tagged/shard-2.parquet", Shard(), FEATURES)
    for streaming in (False, True):
        loaded = load_dataset(
            "parquet",
            data_dir=str(tmp_path / "tagged"),
            split="train",
            cache_dir=str(tmp_path),
            streaming=streaming,
        )
        assert [one["conversation_id"] for one in loaded] == ["a", "c"]
        assert loaded.features == FEATURES


@pytest.mark.parametrize("content", [b"", b"PAR1" + b"\xff" * 100 + b"PAR1", b"text"])
def test_damaged_file_is_not_taken_for_a_shard(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shard-1.parquet").write_bytes(content)
    assert read_entries(tmp_path / "shard-1.parquet") is None
    assert ShardIndex(tmp_path).entries == {}


def test_pipe_folder_or_link_to_another_folder_is_not_taken_for_a_shard(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shard-1.parquet")
    (tmp_path / "shard-2.parquet").mkdir()
    (tmp_path / "shard-3.parquet").symlink_to("nothing")
    write_shard(tmp_path / "other/shard-4.parquet", shard("a"), FEATURES)
    (tmp_path / "tagged").mkdir()
    (tmp_path / "tagged/shard-4.parquet").symlink_to("../other/shard-4.parquet")
    assert ShardIndex(tmp_path).entries == ShardIndex(tmp_path / "tagged").entries == {}


@pytest.mark.parametrize("damage", ["page", "type", "text"])
def test_shard_that_is_damaged_inside_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "shard-1.parquet"
    write_shard(path, shard("a"), FEATURES)
    if damage == "page":
        data = path.read_bytes()
        path.write_bytes(data[:4] + bytes(40) + data[44:])
    else:
        offsets, text = b"\0\0\0\0\1\0\0\0", b"a" if damage == "type" else b"\xff"
        names = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(text)])
        number = pa.array(["x"]) if damage == "type" else pa.array([1], pa.int32())
        table = pa.table({"conversation_id": names, "number": number})
        pq.write_table(table.replace_schema_metadata(pq.read_schema(path).metadata), path)
    with pytest.raises(BadInput, match=r"shard-1.parquet(:| can't be read) .*delete it and run"):
        read_rows(path, FEATURES)


def test_conversation_in_two_shards_is_taken_from_the_newer(tmp_path: Path) -> None:
    for name, when in (("shard-b.parquet", 100), ("shard-a.parquet", 200)):
        write_shard(tmp_path / name, shard("x"), FEATURES)
        os.utime(tmp_path / name, (when, when))
    assert ShardIndex(tmp_path).entries["x"][0].name == "shard-a.parquet"


def test_shards_that_are_not_wanted_go_and_files_of_others_stay(tmp_path: Path) -> None:
    for name in ("shard-a.parquet", "shard-b.parquet"):
        write_shard(tmp_path / name, shard("x"), FEATURES)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "shard-theirs.parquet")
    for name in (".shard-a.parquet.0.tmp", "notes.tmp", "other.parquet"):
        (tmp_path / name).touch()
    drop_stale(tmp_path, [tmp_path / "shard-b.parquet"])
    assert {path.name for path in tmp_path.iterdir()} == {
        *("shard-b.parquet", "shard-theirs.parquet", "notes.tmp", "other.parquet")
    }


SOUND = Features(
    {"conversation_id": Value("string"), "audio": {"bytes": Value("binary"), "path": Value("string")}}
)


def test_conversations_are_row_groups_and_clips_share_them(tmp_path: Path) -> None:
    sizes = {"a": 1_000_000, "b": 2_000_000, "c": 10, "d": 10}
    rows = [
        {"conversation_id": name, "audio": {"bytes": bytes(size), "path": None}} for name, size in sizes.items()
    ]
    write_shard(tmp_path / "s.parquet", Shard(rows, {name: entry() for name in sizes}), SOUND)
    file = pq.ParquetFile(tmp_path / "s.parquet")
    groups = [file.read_row_group(number, ["conversation_id"]) for number in range(file.num_row_groups)]
    assert [group["conversation_id"].to_pylist() for group in groups] == [["a"], ["b"], ["c", "d"]]


def test_sound_of_finished_rows_is_known_by_its_digest(tmp_path: Path) -> None:
    audio = [{"bytes": b"sound", "path": None}, {"bytes": None, "path": "x"}, None]
    rows = [{"conversation_id": name, "audio": one} for name, one in zip("abc", audio, strict=True)]
    write_shard(tmp_path / "s.parquet", Shard(rows, {name: entry() for name in "abc"}), SOUND)
    known = read_entries(tmp_path / "s.parquet")
    assert known is not None
    assert [known[name].audio for name in "abc"] == [hashlib.sha256(b"sound").hexdigest()[:20], "", ""]


@pytest.mark.parametrize(
    "record",
    [
        b"not json",
        b'{"layout": 2, "entries": {}}',
        b'{"layout": 1, "entries": {"a": {}}}',
        b'{"layout": 1}',
        b'{"layout": 1, "entries": []}',
    ],
)
def test_shard_whose_record_is_not_ours_is_not_taken_for_one(tmp_path: Path, record: bytes) -> None:
    table = pa.table({"conversation_id": ["a"]}).replace_schema_metadata({b"dailytalk_contiguous": record})
    pq.write_table(table, tmp_path / "shard-1.parquet")
    assert read_entries(tmp_path / "shard-1.parquet") is None
    drop_stale(tmp_path, [])
    assert (tmp_path / "shard-1.parquet").exists()


# Writing


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "shard-1.parquet"
    write_lines(path, ["old"])

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("shard-1.parquet", "old")]


def test_shard_that_the_disk_does_not_give_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path / "shard-1.parquet", ["number"])


def many(folder: Path, count: int = INDEX_FROM, chain: tuple[str, ...] = ("1", "12")) -> list[Path]:
    """Shards of two conversations each, of which one was rejected."""
    paths = [folder / f"shard-{number:03d}.parquet" for number in range(count)]
    for number, path in enumerate(paths):
        entries = {f"{number}a": replace(entry(), chain=chain), f"{number}b": entry(REJECT)}
        write_shard(path, Shard([{"conversation_id": f"{number}a", "number": 1}], entries), FEATURES)
    return paths


def unreadable(path: Path) -> None:
    """Damage a file, which is as long and as old as before: who reads it again has to notice."""
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_ends_of_shards_are_read_once_and_then_those_that_changed(tmp_path: Path) -> None:
    paths = many(tmp_path, INDEX_FROM + 1)
    index = ShardIndex(tmp_path)
    assert len(index.entries) == 2 * len(paths)
    assert index.entries["7b"] == (paths[7], entry(REJECT))
    index.save()
    for path in paths:
        unreadable(path)
    assert ShardIndex(tmp_path).entries == index.entries
    write_shard(paths[3], Shard([], {"3c": entry()}), FEATURES)
    paths[4].unlink()
    index.refresh()
    assert index.of(paths[3]) == {"3c": entry()}
    assert index.of(paths[4]) == {}
    assert {"3a", "4a"}.isdisjoint(index.entries)
    assert ShardIndex(tmp_path).entries == index.entries


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"chain": 0', '"chain": 9'),
        lambda text: text.replace('"file"', '"files"'),
        lambda text: "[1, 2]\n" + text,
        lambda text: text.replace("\n", ""),
    ],
)
def test_index_that_is_damaged_costs_time_and_nothing_else(tmp_path: Path, damage: Callable[[str], str]) -> None:
    many(tmp_path)
    index = ShardIndex(tmp_path)
    index.save()
    path = tmp_path / INDEX
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    read = ShardIndex(tmp_path)
    assert read.entries == index.entries
    read.save()
    for shard in tmp_path.glob("shard-*"):
        unreadable(shard)
    assert ShardIndex(tmp_path).entries == index.entries


def test_index_that_leads_out_of_the_folder_is_neither_read_nor_written(tmp_path: Path) -> None:
    many(tmp_path / "tagged")
    other = tmp_path / "notes"
    other.write_text("mine")
    (tmp_path / "tagged" / INDEX).symlink_to(other)
    index = ShardIndex(tmp_path / "tagged")
    index.save()
    assert len(index.entries) == 2 * INDEX_FROM
    assert other.read_text() == "mine"


def test_small_folder_has_no_index(tmp_path: Path) -> None:
    many(tmp_path, INDEX_FROM - 1)
    ShardIndex(tmp_path).save()
    assert not (tmp_path / INDEX).exists()
