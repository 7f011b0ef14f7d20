import os
import pickle
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value, load_dataset
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import BadInput, Reject, TooLarge
from dailytalk_contiguous.shards import (
    CurrentRows,
    Entry,
    PendingConversation,
    Shard,
    StoredEntry,
    drop_stale,
    group,
    read_rows,
    read_shard,
    seconds_of_a_shard,
    shard_files,
    shard_path,
    write_shard,
)

FEATURES = Features({"conversation_id": Value("string"), "number": Value("int32")})
REJECT = Reject("b", "Segment", "why", "what to do")


def entry(reject: Reject | None = None) -> Entry:
    return Entry("rec", 6.0, reject)


def shard(*names: str) -> Shard:
    rows = [{"conversation_id": name, "number": 1} for name in names]
    entries = {name: entry() for name in names}
    return Shard(rows, entries)


def entries_in(folder: Path) -> dict[str, StoredEntry]:
    return CurrentRows(shard_files(folder)).entries


def pending(name: str, seconds: float = 6.0, digest: str = "d") -> PendingConversation:
    return PendingConversation(name, "rec", None, seconds, digest)


# Digests


# Groups


@given(st.lists(st.floats(0.1, 50)), st.floats(1, 100))
def test_every_conversation_is_in_one_group_in_order(lengths: list[float], seconds: float) -> None:
    conversations = [pending(str(n), length) for n, length in enumerate(lengths)]
    groups = list(group(conversations, seconds))
    grouped = [conversation for part in groups for conversation in part]
    assert grouped == conversations
    assert all(groups)
    for part in groups:
        length = sum(conversation.duration for conversation in part)
        longest = 2 * seconds + 1e-3 * len(part)
        assert len(part) == 1 or length <= longest


@pytest.mark.parametrize(("count", "groups"), [(1, 1), (10, 1), (20, 1), (21, 2)])
def test_what_has_up_to_twice_the_seconds_stays_in_one_group(count: int, groups: int) -> None:
    conversations = [pending(f"call{number:02}", 6.0) for number in range(count)]
    assert len(list(group(conversations, 60.0))) == groups


@pytest.mark.parametrize(
    ("count", "seconds", "files"), [(4, 300.0, 4), (200, 300.0, 200), (1000, 300.0, 500), (20, 2.0, 1)]
)
def test_small_corpora_have_a_file_for_each_conversation_and_large_ones_share(
    count: int, seconds: float, files: int
) -> None:
    conversations = [pending(f"call{number:04}", seconds) for number in range(count)]
    assert len(list(group(conversations))) == pytest.approx(files, abs=files // 20)


@pytest.mark.parametrize(
    ("hours", "seconds"), [(0.1, 30.0), (8.3, 30.0), (8.4, 60.0), (83.0, 480.0), (167.0, 600.0), (1e5, 600.0)]
)
def test_shards_have_ten_minutes_at_most_and_less_while_there_are_few(hours: float, seconds: float) -> None:
    assert seconds_of_a_shard(3600 * hours) == seconds


def test_added_recording_changes_its_own_group_and_seldom_a_neighbour() -> None:
    names = [f"call{n:04d}" for n in range(150)]

    def groups(*more: str) -> set[tuple[str, ...]]:
        conversations = map(pending, sorted([*names, *more]))
        parts = set()
        for part in group(conversations, 60.0):
            parts.add(tuple(conversation.conversation_id for conversation in part))
        return parts

    changed = []
    for n in range(150):
        replaced = groups() - groups(f"call{n:04d}b")
        changed.append(len(replaced))
    assert max(changed) <= 4
    assert sum(changed) / len(changed) < 1.2


def test_shard_is_named_after_its_conversations_their_inputs_and_its_stages() -> None:
    folder = Path("x")
    a = pending("a")
    b = pending("b")
    path = shard_path(folder, [a, b])
    assert path == shard_path(folder, [pending("a", 9.0), b])
    changed = pending("b", digest="other")
    of_another_input = shard_path(folder, [a, changed])
    of_other_stages = shard_path(folder, [a, b], "other stages")
    assert len({path, of_another_input, of_other_stages}) == 3
    assert of_another_input.name[:22] == of_other_stages.name[:22]  # the conversations are the same
    groups = ([], [a], [a, b], [b, a])
    paths = {shard_path(folder, conversations) for conversations in groups}
    assert len(paths) == 4


# Files


def test_shard_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "shard-1.parquet"
    entries = {"a": entry(), "b": entry(REJECT)}
    written = Shard(shard("a").rows, entries)
    write_shard(path, written, FEATURES)
    rows = read_rows(path, ["number", "unknown"])
    assert rows == {"a": {"conversation_id": "a", "number": 1}}
    assert read_shard(path) == Shard([], entries)


def test_columns_of_another_type_are_refused_by_name_where_types_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "shard-1.parquet"
    write_shard(path, shard("a", "b"), FEATURES)
    asked = Features({"number": Value("int32"), "other": Value("string")})
    expected = {name: {"conversation_id": name, "number": 1} for name in "ab"}
    assert read_rows(path, asked) == expected
    other_type = Features({"number": Value("string")})
    with pytest.raises(BadInput) as refused:
        read_rows(path, other_type)
    assert refused.value.reason == f"{path}: number is of the type int32, not string"
    assert refused.value.remedy == "delete it and run the command that wrote it again"
    assert read_rows(path, ["number"])["b"]["number"] == 1


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
        names = [conversation["conversation_id"] for conversation in loaded]
        assert names == ["a", "c"]
        assert loaded.features == FEATURES


@pytest.mark.parametrize("content", [b"", b"PAR1" + b"\xff" * 100 + b"PAR1", b"text"])
def test_damaged_file_is_not_taken_for_a_shard(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shard-1.parquet").write_bytes(content)
    assert read_shard(tmp_path / "shard-1.parquet").entries == {}
    assert entries_in(tmp_path) == {}


def test_pipe_folder_or_link_to_another_folder_is_not_taken_for_a_shard(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shard-1.parquet")
    (tmp_path / "shard-2.parquet").mkdir()
    (tmp_path / "shard-3.parquet").symlink_to("nothing")
    write_shard(tmp_path / "other/shard-4.parquet", shard("a"), FEATURES)
    (tmp_path / "tagged").mkdir()
    (tmp_path / "tagged/shard-4.parquet").symlink_to("../other/shard-4.parquet")
    assert entries_in(tmp_path) == entries_in(tmp_path / "tagged") == {}


@pytest.mark.parametrize("damage", ["page", "type", "text"])
def test_shard_that_is_damaged_inside_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "shard-1.parquet"
    write_shard(path, shard("a"), FEATURES)
    if damage == "page":
        data = path.read_bytes()
        damaged = data[:4] + bytes(40) + data[44:]
        path.write_bytes(damaged)
    else:
        offsets = b"\0\0\0\0\1\0\0\0"
        text = b"a" if damage == "type" else b"\xff"
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        names = pa.Array.from_buffers(pa.string(), 1, buffers)
        number = pa.array(["x"]) if damage == "type" else pa.array([1], pa.int32())
        table = pa.table({"conversation_id": names, "number": number})
        metadata = pq.read_schema(path).metadata
        pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(BadInput, match=r"shard-1.parquet(:| can't be read) .*delete it and run"):
        read_rows(path, FEATURES)


@pytest.mark.parametrize("seconds_later", [-100, 0, 100])
def test_conversation_in_two_shards_is_taken_from_the_later_generation(tmp_path: Path, seconds_later: int) -> None:
    older = tmp_path / "shard-b.parquet"
    newer = tmp_path / "shard-a.parquet"
    write_shard(older, shard("x"), FEATURES)
    write_shard(newer, replace(shard("x"), generation=1), FEATURES)
    os.utime(older, (1000, 1000))
    modified = 1000 + seconds_later  # a copy has any time
    os.utime(newer, (modified, modified))
    assert entries_in(tmp_path)["x"][0] == newer


def test_shards_that_are_not_wanted_go_and_files_of_others_stay(tmp_path: Path) -> None:
    stale, wanted = (f"shard-{letter * 16}-{'0' * 16}.parquet" for letter in "ab")
    for name in (stale, wanted):
        write_shard(tmp_path / name, shard("x"), FEATURES)
    for name in (f".{stale}.0.tmp", "notes.tmp", "other.parquet", "shard-theirs.parquet"):
        (tmp_path / name).touch()
    drop_stale(tmp_path, [tmp_path / wanted])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {wanted, "notes.tmp", "other.parquet", "shard-theirs.parquet"}


@pytest.mark.parametrize(
    "record",
    [
        b"not json",
        b'{"layout": 2, "entries": []}',
    ],
)
def test_shard_whose_record_is_not_ours_is_not_taken_for_one(tmp_path: Path, record: bytes) -> None:
    table = pa.table({"conversation_id": ["a"]})
    table = table.replace_schema_metadata({b"dailytalk_contiguous": record})
    pq.write_table(table, tmp_path / "shard-1.parquet")
    assert read_shard(tmp_path / "shard-1.parquet").entries == {}


def test_row_of_an_earlier_run_beside_the_reject_of_its_conversation_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "shard-1.parquet"
    entries = {"a": entry(), "b": entry(REJECT)}
    earlier = {"b": Entry("rec", 6.0, key="of another run")}
    write_shard(path, Shard(shard("a", "b").rows, entries, 3, earlier), FEATURES)
    assert read_shard(path) == Shard([], entries, 3, earlier)
    assert entries_in(tmp_path) == {"a": (path, entries["a"]), "b": (path, earlier["b"])}


def test_row_of_the_highest_generation_counts_and_files_without_one_are_left_out(tmp_path: Path) -> None:
    names = [f"shard-{letter * 16}-{'0' * 16}.parquet" for letter in "abc"]
    whole, partly, newest = (tmp_path / name for name in names)
    write_shard(whole, shard("x", "y"), FEATURES)
    write_shard(partly, replace(shard("x", "z"), generation=1), FEATURES)
    write_shard(newest, replace(shard("y", "x"), generation=2), FEATURES)
    theirs = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"conversation_id": ["x"]}), theirs)
    current = CurrentRows([whole, theirs, partly, newest])
    assert current.files == [theirs, newest, partly]
    assert [name for name in "xyz" if current.counts(partly, name)] == ["z"]


def test_rejected_conversation_replaces_no_row(tmp_path: Path) -> None:
    older, newer = (tmp_path / f"shard-{letter * 16}-{'0' * 16}.parquet" for letter in "ab")
    write_shard(older, shard("b"), FEATURES)
    write_shard(newer, Shard([], {"b": entry(REJECT)}, 1), FEATURES)
    assert CurrentRows([older, newer]).files == [older]


def test_conversation_that_waits_shows_what_a_plan_needs_and_gives_all_of_its_row_back() -> None:
    whole = {
        "conversation_id": "a",
        "recording_id": "r",
        "audio": {"bytes": None, "path": "r.wav"},
        "duration": 6.0,
        "input_digest": "d",
        "utterances": [{"text": "Hello."}],
    }
    waiting = PendingConversation.of_row(whole)
    assert waiting.duration == 6.0
    assert waiting.sound_uri == "r.wav"
    assert waiting.row() == whole
    assert pickle.loads(pickle.dumps(waiting)) == waiting


# Writing


def test_finished_shard_for_which_there_is_too_little_memory_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shard-one.parquet"
    write_shard(path, shard("x"), FEATURES)

    def lacks_memory(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("pyarrow.parquet.ParquetFile.iter_batches", lacks_memory)
    with pytest.raises(TooLarge, match="more memory than there is"):
        read_rows(path, FEATURES)
    assert path.exists()
