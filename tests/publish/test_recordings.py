import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from built_conversations import COLUMNS, work_with_recordings

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.packing import LARGEST_BYTES, pack_version
from dailytalk_contiguous.shards import Entry, Shard, write_shard
from dailytalk_contiguous.sources.recordings import identity_of


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return work_with_recordings(tmp_path)


def test_recordings_are_published_byte_for_byte_with_their_conversations(work: Path, tmp_path: Path) -> None:
    (work / "run.json").write_text(json.dumps({"source": {"repository": "a/b", "licence": "mit"}}))
    packed = pack_version(work, tmp_path / "stage", include_source=True)
    files = [file for file in packed.files if file.config == "source"]
    rows = {row["recording_id"]: row for file in files for row in pq.read_table(file.path).to_pylist()}
    assert set(rows) == {"long", "short"}
    data = (tmp_path / "long.FLAC").read_bytes()
    assert rows["long"] == {
        "recording_id": "long",
        "audio": {"bytes": data, "path": "long.flac"},
        "audio_sha256": hashlib.sha256(data).hexdigest(),
        "audio_file": "long.FLAC",
        "sample_rate": 24000,
        "channels": 2,
        "duration": 6.0,
        "conversations": [
            {"conversation_id": "long.000", "offset": 0.0, "duration": 3.0},
            {"conversation_id": "long.001", "offset": 3.0, "duration": 3.0},
        ],
        "source": "a/b",
        "source_licence": "mit",
    }
    assert sum(file.seconds for file in files) == 12.0
    assert all(str(tmp_path).encode() not in file.path.read_bytes() for file in files)


def test_recordings_are_left_out_unless_asked_for(work: Path, tmp_path: Path) -> None:
    assert "source" not in pack_version(work, tmp_path / "stage").configs


def gone(path: Path) -> None:
    path.unlink()


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def sparse(path: Path) -> None:
    os.truncate(path, LARGEST_BYTES + 1)


@pytest.mark.parametrize(("harm", "told"), [(gone, "gone"), (changed, "not the one")])
def test_recording_that_is_not_the_tagged_one_is_refused_by_name(
    work: Path, tmp_path: Path, harm: Any, told: str
) -> None:
    harm(tmp_path / "long.FLAC")
    with pytest.raises(DailytalkError, match=rf"'long\.FLAC'.*{told}"):
        pack_version(work, tmp_path / "stage", include_source=True)
    assert not list((tmp_path / "stage").rglob("*.parquet"))


def test_recording_that_no_row_of_parquet_can_hold_is_refused(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.FLAC"
    sparse(path)
    shard = work / "tagged" / "shard-0.parquet"
    rows = pq.read_table(shard).to_pylist()
    for row in rows:
        row["audio_identity"] = identity_of(tmp_path / row["audio_file"])
    entries = {row["conversation_id"]: Entry(row["recording_id"], 3.0) for row in rows}
    write_shard(shard, Shard(rows, entries), COLUMNS)
    with pytest.raises(DailytalkError, match=r"'long\.FLAC'.*1\.90 GB"):
        pack_version(work, tmp_path / "stage", include_source=True)


def test_conversation_of_an_unknown_recording_is_refused(work: Path, tmp_path: Path) -> None:
    (work / "tagged" / "shard-0.parquet").unlink()
    with pytest.raises(DailytalkError, match=r"from which recording 'long\.000' is"):
        pack_version(work, tmp_path / "stage", include_source=True)


@pytest.mark.parametrize(("other", "split"), [("train", "train"), ("validation", "validation"), ("test", "test")])
def test_recording_of_several_splits_is_in_the_first_of_them(
    work: Path, tmp_path: Path, other: str, split: str
) -> None:
    before = {"long.000": "test", "long.001": other}
    packed = pack_version(work, tmp_path / "stage", include_source=True, splits_before=before)
    splits = {
        name: file.split
        for file in packed.files
        if file.config == "source"
        for name in pq.read_table(file.path, columns=["recording_id"])["recording_id"].to_pylist()
    }
    assert splits["long"] == split


def test_parts_of_a_recording_that_were_tagged_in_two_versions_of_it_are_refused(
    work: Path, tmp_path: Path
) -> None:
    shard = work / "tagged" / "shard-0.parquet"
    rows = pq.read_table(shard).to_pylist()
    rows[1]["audio_identity"] = "another"
    entries = {row["conversation_id"]: Entry(row["recording_id"], 3.0) for row in rows}
    write_shard(shard, Shard(rows, entries), COLUMNS)
    with pytest.raises(DailytalkError, match=r"'long\.FLAC'.*its parts were tagged in different versions of it"):
        pack_version(work, tmp_path / "stage", include_source=True)
