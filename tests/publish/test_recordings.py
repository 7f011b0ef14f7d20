import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from built_conversations import built_row, write_dataset
from datasets import Features, Value

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import AUDIO, SECONDS, STRING
from dailytalk_contiguous.engine.shards import Entry, Shard, write_shard
from dailytalk_contiguous.publish.packing import recordings
from dailytalk_contiguous.publish.packing.packing import pack
from dailytalk_contiguous.publish.packing.recordings import Recording, split_of
from dailytalk_contiguous.sources.recorded import identity_of

COLUMNS = Features(
    {
        **dict.fromkeys(("conversation_id", "recording_id", "audio_file", "audio_identity"), STRING),
        **dict.fromkeys(("offset", "duration"), SECONDS),
        **dict.fromkeys(("sample_rate", "channels"), Value("int32")),
        "audio": AUDIO,
    }
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two recordings: one cut into two conversations, one whole; and a third of which nothing was finished."""
    for name in ("long", "short", "unused"):
        (tmp_path / f"{name}.FLAC").write_bytes(built_row(name)["audio"]["bytes"] + b"")
    rows = [
        tagged(tmp_path, "long.000", "long", 0.0, 3.0),
        tagged(tmp_path, "long.001", "long", 3.0, 3.0),
        tagged(tmp_path, "short", "short", 0.0, 6.0),
        tagged(tmp_path, "unused", "unused", 0.0, 6.0),
    ]
    entries = {row["conversation_id"]: Entry("in", ("c",), (0.1,), row["recording_id"], 3.0) for row in rows}
    write_shard(tmp_path / "work" / "tagged" / "shard-0.parquet", Shard(rows, entries), COLUMNS)
    finished = [("long.000", "long"), ("long.001", "long"), ("short", "short")]
    return write_dataset(tmp_path / "work", [built_row(name) | {"recording_id": of} for name, of in finished])


def tagged(folder: Path, name: str, recording: str, offset: float, duration: float) -> dict[str, Any]:
    path = folder / f"{recording}.FLAC"
    return {
        "conversation_id": name,
        "recording_id": recording,
        "audio": {"bytes": None, "path": str(path)},
        "audio_file": path.name,
        "audio_identity": identity_of(path),
        "offset": offset,
        "duration": duration,
        "sample_rate": 24000,
        "channels": 2,
    }


def test_recordings_are_published_byte_for_byte_with_their_conversations(work: Path, tmp_path: Path) -> None:
    packed = pack(work, tmp_path / "stage", include_source=True, source={"repository": "a/b", "licence": "mit"})
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
    assert "source" not in pack(work, tmp_path / "stage").configs


def gone(path: Path) -> None:
    path.unlink()


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def sparse(path: Path) -> None:
    os.truncate(path, recordings.LARGEST_BYTES + 1)


@pytest.mark.parametrize(("harm", "told"), [(gone, "gone"), (changed, "not the one")])
def test_recording_that_is_not_the_tagged_one_is_refused_by_name(
    work: Path, tmp_path: Path, harm: Any, told: str
) -> None:
    harm(tmp_path / "long.FLAC")
    with pytest.raises(DailytalkError, match=rf"'long\.FLAC'.*{told}"):
        pack(work, tmp_path / "stage", include_source=True)
    assert not list((tmp_path / "stage").rglob("*.parquet"))


def test_recording_that_no_row_of_parquet_can_hold_is_refused(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.FLAC"
    sparse(path)
    shard = work / "tagged" / "shard-0.parquet"
    rows = pq.read_table(shard).to_pylist()
    for row in rows:
        row["audio_identity"] = identity_of(tmp_path / row["audio_file"])
    entries = {row["conversation_id"]: Entry("in", ("c",), (0.1,), row["recording_id"], 3.0) for row in rows}
    write_shard(shard, Shard(rows, entries), COLUMNS)
    with pytest.raises(DailytalkError, match=r"'long\.FLAC'.*1\.90 GB"):
        pack(work, tmp_path / "stage", include_source=True)


def test_conversation_of_an_unknown_recording_is_refused(work: Path, tmp_path: Path) -> None:
    (work / "tagged" / "shard-0.parquet").unlink()
    with pytest.raises(DailytalkError, match=r"from which recording 'long\.000' is"):
        pack(work, tmp_path / "stage", include_source=True)


@pytest.mark.parametrize(
    ("side", "split"),
    [
        ({"a": "test", "b": "train"}, "train"),
        ({"a": "test", "b": "validation"}, "validation"),
        ({"a": "test", "b": "test"}, "test"),
    ],
)
def test_recording_of_several_splits_is_in_the_first_of_them(side: Mapping[str, str], split: str) -> None:
    parts = tuple({"conversation_id": name} for name in side)
    assert split_of(Recording("r", Path("r.wav"), 1, 1.0, "x", {}, parts), dict(side)) == split
