import getpass
import hashlib
import io
import json
import os
import random
import re
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from built_conversations import built_row, flac, stereo, write_dataset
from command import start
from reports import pack_version

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.version import Packed

NAMES = [f"call{number}" for number in range(24)]


def noisy(name: str, seed: int, **columns: Any) -> dict[str, Any]:
    """A row whose audio no other has, so that no two are stored as one."""
    samples = stereo([], 6.0, 24000) + np.random.default_rng(seed).integers(-40, 40, (144000, 2), np.int16)
    row = built_row(name, **columns)
    return row | {"audio": {"bytes": flac(samples, 24000), "path": "/home/somebody/x.flac"}}


def rows_of(*names: str) -> list[dict[str, Any]]:
    return [noisy(name, hash_of(name), kept_speaker=f"speaker of {name}") for name in names]


def hash_of(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return rows_of(*NAMES)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Path:
    return write_dataset(tmp_path_factory.mktemp("work"), rows[:10], rows[10:])


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, work: Path) -> Packed:
    return pack_version(work, tmp_path_factory.mktemp("stage") / "new", file_seconds=40.0)


def table(packed: Packed, config: str) -> list[dict[str, Any]]:
    return [row for file in packed.files if file.config == config for row in pq.read_table(file.path).to_pylist()]


def digests(packed: Packed) -> dict[str, str]:
    return {file.name: file.sha256 for file in packed.files}


def pcm(audio: dict[str, Any]) -> np.ndarray:
    return soundfile.read(io.BytesIO(audio["bytes"]), dtype="int16", always_2d=True)[0]


# What is in the files


def test_files_are_named_as_push_to_hub_names_them_and_none_is_empty(packed: Packed) -> None:
    for config, splits in packed.configs.items():
        assert set(splits) == {"train", "validation", "test"}
        for split, files in splits.items():
            count = len(files)
            assert [file.name for file in files] == [
                f"{config}/{split}-{number:05d}-of-{count:05d}.parquet" for number in range(count)
            ]
    assert len(packed.configs["conversations"]["train"]) > 1
    assert all(file.rows for file in packed.files)


def test_conversations_come_through_with_their_audio_byte_for_byte(
    packed: Packed, rows: list[dict[str, Any]]
) -> None:
    found = {row["conversation_id"]: row for row in table(packed, "conversations")}
    assert set(found) == set(NAMES)
    for row in rows:
        own = found[row["conversation_id"]]
        assert own["audio"] == {"bytes": row["audio"]["bytes"], "path": f"{row['conversation_id']}.flac"}
        assert own["audio_sha256"] == hashlib.sha256(row["audio"]["bytes"]).hexdigest()
        assert {name: own[name] for name in ("utterances", "alignments", "timeline")} == {
            name: row[name] for name in ("utterances", "alignments", "timeline")
        }


def test_utterances_are_cut_from_their_channel_to_the_sample(packed: Packed, rows: list[dict[str, Any]]) -> None:
    found = {row["utterance_id"]: row for row in table(packed, "utterances")}
    assert len(found) == sum(len(row["utterances"]) for row in rows)
    for row in rows[:5]:
        samples = pcm(row["audio"])
        for told in row["utterances"]:
            own = found[told["utterance_id"]]
            first, last = round(told["start"] * 24000), round(told["end"] * 24000)
            side = int(told["channel"] == "right")
            assert np.array_equal(pcm(own["audio"])[:, 0], samples[first:last, side])
            assert own["duration"] == (last - first) / 24000
            assert {name: own[name] for name in told} == told | {"language": told["language"] or row["language"]}
            assert own["conversation_id"] == row["conversation_id"]


def test_dropped_utterance_has_no_row_and_keeps_its_place_in_the_conversation(tmp_path: Path) -> None:
    row = built_row()
    row["utterances"][1] |= {"status": "dropped", "start": None, "end": None}
    write_dataset(tmp_path / "work", [row])
    packed = pack_version(tmp_path / "work", tmp_path / "stage")
    assert len(table(packed, "utterances")) == 3
    assert len(table(packed, "conversations")[0]["utterances"]) == 4


def test_no_published_file_names_a_place_on_this_machine(tmp_path: Path) -> None:
    told = {"models": {"recogniser": {"name": str(tmp_path / "models" / "whisper")}}, "voice": "/home/x/anna.wav"}
    row = noisy("call", 1, provenance=json.dumps(told))
    row["utterances"][0]["synthesis"] |= {"voice": "/home/x/anna.wav", "model": str(Path.home() / "tts")}
    write_dataset(tmp_path / "work", [row])
    packed = pack_version(tmp_path / "work", tmp_path / "stage")
    read = [table(packed, config) for config in packed.configs]
    footers = [pq.read_schema(file.path).metadata for file in packed.files]
    for row in (row for rows in read for row in rows):
        row["audio"].pop("bytes")
    told = repr((read, footers)).encode()  # decoded: a grep of compressed bytes would find nothing
    for place in (str(tmp_path), "/home", str(Path.home()) + os.sep, "file:"):
        assert place.encode() not in told
        assert all(place.encode() not in file.path.read_bytes() for file in packed.files)
    machine = rf"\b({re.escape(socket.gethostname())}\b|{re.escape(getpass.getuser())}@)"
    assert not re.search(machine.encode(), told)
    made = table(packed, "conversations")[0]
    assert made["provenance"]["models"][0]["name"] == "whisper"
    assert made["provenance"]["voice"] == made["utterances"][0]["synthesis"]["voice"] == "anna.wav"
    assert made["utterances"][0]["synthesis"]["model"] == "tts"


# Stages and sources


# The same rows, the same bytes


def test_layout_of_the_work_folder_and_the_number_of_workers_change_no_byte(
    packed: Packed, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    mixed = random.Random(1).sample(rows, len(rows))
    write_dataset(tmp_path / "work", *(mixed[start : start + 5] for start in range(0, len(mixed), 5)))
    again = pack_version(tmp_path / "work", tmp_path / "stage", file_seconds=40.0, workers=1)
    assert digests(again) == digests(packed)
    assert again.disjoint == packed.disjoint == "speakers"


# Interruptions and refusals


def test_id_in_two_shards_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "work", [built_row("a")], [built_row("b"), built_row("a")])
    with pytest.raises(DailytalkError, match=r"'a' is in .*shard-0.* and in .*shard-1"):
        pack_version(tmp_path / "work", tmp_path / "stage")


@pytest.mark.parametrize("spoken", [True, False])
def test_audio_that_can_not_be_decoded_is_refused_by_name(tmp_path: Path, spoken: bool) -> None:
    row = built_row("a", audio={"bytes": b"fLaC and nothing", "path": None})
    write_dataset(tmp_path / "work", [row if spoken else row | {"utterances": [], "alignments": []}])
    with pytest.raises(DailytalkError, match="the audio of 'a' can't be used"):
        pack_version(tmp_path / "work", tmp_path / "stage")


def test_disk_that_fills_up_is_an_error_and_not_the_end_of_the_process(work: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the write fails in the midst of a row group."""
    program = (
        "import resource, sys; from pathlib import Path;"
        "from dailytalk_contiguous.publish.opening import finished_items;"
        "from dailytalk_contiguous.publish.packing import pack_version; work, stage = map(Path, sys.argv[1:]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); pack_version(finished_items(work), stage)"
    )
    process = start(work, tmp_path / "stage", program=(sys.executable, "-c", program))
    _, told = process.communicate()
    assert (process.returncode, told.splitlines()[-1]) == (1, "OSError: [Errno 27] File too large")
    assert not list((tmp_path / "stage").rglob("*.parquet"))


def test_utterance_outside_its_audio_is_refused_by_name(tmp_path: Path) -> None:
    row = built_row()
    row["utterances"][2] |= {"start": 5.0, "end": 9.0}
    write_dataset(tmp_path / "work", [row])
    with pytest.raises(DailytalkError, match=r"'call/left/0002' at 5.0-9.0 s"):
        pack_version(tmp_path / "work", tmp_path / "stage")
