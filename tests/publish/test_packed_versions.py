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
from datasets import Audio, load_dataset
from reports import pack_version

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import published_features
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.publish.hub.packing import FileLayout
from dailytalk_contiguous.publish.version import DataFile, Packed

NAMES = [f"call{number}" for number in range(24)]

#: Some six conversations of 6 s to a file.
MEGABYTES = FileLayout(shard_size=1.5)


def noisy(name: str, seed: int, **columns: Any) -> dict[str, Any]:
    """A row whose audio no other has, so that no two are stored as one."""
    random = np.random.default_rng(seed)
    noise = random.integers(-40, 40, (144000, 2), np.int16)
    samples = stereo([], 6.0, 24000) + noise
    row = built_row(name, **columns)
    row["audio"] = {"bytes": flac(samples, 24000), "path": "/home/somebody/x.flac"}
    return row


def rows_of(*names: str) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        seed = hash_of(name)
        rows.append(noisy(name, seed, kept_speaker=f"speaker of {name}"))
    return rows


def hash_of(name: str) -> int:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return int(digest[:8], 16)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return rows_of(*NAMES)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Path:
    folder = tmp_path_factory.mktemp("work")
    return write_dataset(folder, rows[:10], rows[10:])


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, work: Path) -> Packed:
    stage = tmp_path_factory.mktemp("stage")
    return pack_version(work, stage / "new", layout=MEGABYTES)


def packed_rows(tmp_path: Path, *rows: dict[str, Any]) -> Packed:
    """The files of a version of these rows."""
    work = write_dataset(tmp_path / "work", rows)
    return pack_version(work, tmp_path / "stage")


def table(packed: Packed, config: str) -> list[dict[str, Any]]:
    rows = []
    for file in packed.files:
        if file.config == config:
            rows += pq.read_table(file.path).to_pylist()
    return rows


def digests(packed: Packed) -> dict[str, str]:
    return {file.name: file.sha256 for file in packed.files}


def pcm(audio: dict[str, Any]) -> np.ndarray:
    file = io.BytesIO(audio["bytes"])
    samples, _ = soundfile.read(file, dtype="int16", always_2d=True)
    return samples


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# What is in the files


def test_files_are_named_as_push_to_hub_names_them_and_none_is_empty(packed: Packed) -> None:
    for config, splits in packed.configs.items():
        assert set(splits) == {"train", "validation", "test"}
        for split, files in splits.items():
            count = len(files)
            for number, file in enumerate(files):
                assert file.name == f"{config}/{split}-{number:05d}-of-{count:05d}.parquet"
    assert len(packed.configs["conversations"]["train"]) > 1
    assert all(file.rows for file in packed.files)


def test_told_digest_size_rows_and_seconds_are_those_of_the_files(packed: Packed) -> None:
    for file in packed.files:
        assert file.sha256 == sha256(file.path.read_bytes())
        assert file.size == file.path.stat().st_size
        rows = pq.read_table(file.path).to_pylist()
        assert file.rows == len(rows)
        seconds = sum(row["duration"] for row in rows)
        assert file.seconds == pytest.approx(seconds)


def test_conversations_come_through_with_their_audio_byte_for_byte(
    packed: Packed, rows: list[dict[str, Any]]
) -> None:
    published = {row["conversation_id"]: row for row in table(packed, "conversations")}
    assert set(published) == set(NAMES)
    for row in rows:
        name = row["conversation_id"]
        data = row["audio"]["bytes"]
        assert published[name]["audio"] == {"bytes": data, "path": f"{name}.flac"}
        assert published[name]["audio_sha256"] == sha256(data)
        for column in ("utterances", "alignments", "timeline"):
            assert published[name][column] == row[column]


def test_message_of_a_models_error_is_not_published(tmp_path: Path) -> None:
    """It may quote a path, an address with a key, or what was said. The work folder keeps it."""
    message = "the model of Transcribe failed on it (OddError: no /home/ann/secret.bin at x.org?key=abc (1))"
    failure = {"id": "call0/left/0000", "stage": "Transcribe", "reason": message, "remedy": "write its text"}
    (row,) = rows_of("call0")
    row["model_failures"] = [failure]
    utterance = row["utterances"][0]
    utterance["text_reason"] = message
    utterance["reason"] = f"could not be said: {message}"
    packed = packed_rows(tmp_path, row, *rows_of("call1", "call2"))
    rows = table(packed, "conversations")
    (published,) = [row for row in rows if row["conversation_id"] == "call0"]
    kind = "the model of Transcribe failed on it (OddError)"
    assert published["model_failures"] == [failure | {"reason": kind}]
    assert published["utterances"][0]["text_reason"] == kind
    assert published["utterances"][0]["reason"] == f"could not be said: {kind}"
    content = str([table(packed, config) for config in packed.configs])
    assert "secret" not in content
    assert "key=abc" not in content


def test_utterances_are_cut_from_their_channel_to_the_sample(packed: Packed, rows: list[dict[str, Any]]) -> None:
    cut_utterances = {row["utterance_id"]: row for row in table(packed, "utterances")}
    assert len(cut_utterances) == sum(len(row["utterances"]) for row in rows)
    for row in rows[:5]:
        samples = pcm(row["audio"])
        for utterance in row["utterances"]:
            cut = cut_utterances[utterance["utterance_id"]]
            first = round(utterance["start"] * 24000)
            last = round(utterance["end"] * 24000)
            side = int(utterance["channel"] == "right")
            cut_samples = pcm(cut["audio"])[:, 0]
            assert np.array_equal(cut_samples, samples[first:last, side])
            assert cut["duration"] == (last - first) / 24000
            expected = utterance | {"language": utterance["language"] or row["language"]}
            assert {name: cut[name] for name in utterance} == expected
            assert cut["conversation_id"] == row["conversation_id"]


def test_dropped_utterance_has_no_row_and_keeps_its_place_in_the_conversation(tmp_path: Path) -> None:
    row = built_row()
    dropped = row["utterances"][1]
    dropped["status"] = "dropped"
    dropped["start"] = None
    dropped["end"] = None
    packed = packed_rows(tmp_path, row)
    assert len(table(packed, "utterances")) == 3
    (conversation,) = table(packed, "conversations")
    assert len(conversation["utterances"]) == 4


def test_conversations_without_a_word_have_no_config_of_utterances(tmp_path: Path) -> None:
    packed = packed_rows(tmp_path, built_row(lines=()))
    assert set(packed.configs) == {"conversations"}


def test_files_load_eager_and_streaming_with_their_features_and_no_card(packed: Packed, tmp_path: Path) -> None:
    for config, splits in packed.configs.items():
        paths = [str(file.path) for file in splits["train"]]
        whole = load_dataset("parquet", data_files=paths, split="train", cache_dir=str(tmp_path))
        assert whole.features == published_features(config, 24000)
        stream = load_dataset("parquet", data_files=paths, split="train", streaming=True)
        assert stream.features == published_features(config, 24000)
        key = next(iter(whole.features))
        ids = [row[key] for row in stream.decode(False)]
        undecoded = whole.cast_column("audio", Audio(decode=False))
        assert ids == undecoded[key]


def test_audio_is_stored_as_it_is_and_the_rest_is_compressed(packed: Packed) -> None:
    file = pq.ParquetFile(packed.files[0].path)
    group = file.metadata.row_group(0)
    columns = [group.column(n) for n in range(group.num_columns)]
    packing = {column.path_in_schema: column.compression for column in columns}
    assert packing.pop("audio.bytes") == "UNCOMPRESSED"
    assert set(packing.values()) == {"ZSTD"}


def test_no_published_file_names_a_place_on_this_machine(tmp_path: Path) -> None:
    model = str(tmp_path / "models" / "whisper")
    provenance = {"models": {"recogniser": {"name": model}}, "voice": "/home/x/anna.wav"}
    row = noisy("call", 1, provenance=json.dumps(provenance))
    synthesis = row["utterances"][0]["synthesis"]
    synthesis["voice"] = "/home/x/anna.wav"
    synthesis["model"] = str(Path.home() / "tts")
    packed = packed_rows(tmp_path, row)
    footers = [pq.read_schema(file.path).metadata for file in packed.files]
    published = []
    for config in packed.configs:
        published += table(packed, config)
    for row in published:
        row["audio"].pop("bytes")
    content = repr((published, footers)).encode()  # decoded: a grep of compressed bytes would find nothing
    home = str(Path.home()) + os.sep
    for path in (str(tmp_path), "/home", home, "file:"):
        written = path.encode()
        assert written not in content
        for file in packed.files:
            assert written not in file.path.read_bytes()
    host = re.escape(socket.gethostname())
    user = re.escape(getpass.getuser())
    machine = rf"\b({host}\b|{user}@)"
    assert not re.search(machine.encode(), content)
    (conversation,) = table(packed, "conversations")
    provenance = conversation["provenance"]
    synthesis = conversation["utterances"][0]["synthesis"]
    assert provenance["models"][0]["name"] == "whisper"
    assert provenance["voice"] == synthesis["voice"] == "anna.wav"
    assert synthesis["model"] == "tts"


# Stages and sources


def test_provenance_has_the_stages_of_both_halves_with_their_digests(tmp_path: Path) -> None:
    detector = {"name": "silero", "licence": "MIT", "url": "u", "note": ""}
    provenance = {
        "models": {"speech_activity": detector},
        "tool": "t",
        "settings": {"timeline": "anchor"},
        "voice": "anna",
    }
    row = built_row(provenance=json.dumps(provenance))
    work = write_dataset(tmp_path / "work", [row])
    segment = {"name": "Segment", "digest": "d0"}
    speak = {"name": "Speak", "digest": "d1"}
    finish = {"name": "Finish", "digest": "d2"}
    run: dict[str, Any] = {"stages": [segment]}
    run["speak"] = {"stages": [speak, finish]}
    run["source"] = {"repository": "kyutai/calls", "revision": "abc", "licence": "cc-by-4.0"}
    (work / "run.json").write_text(json.dumps(run))
    packed = pack_version(work, tmp_path / "stage")
    (conversation,) = table(packed, "conversations")
    assert conversation["provenance"] == {
        "source_id": "call",
        "source": "kyutai/calls@abc",
        "source_licence": "cc-by-4.0",
        "tool": "t",
        "voice": "anna",
        "models": [{"role": "speech_activity", "name": "silero", "licence": "MIT", "url": "u"}],
        "stages": [segment, speak, finish],
        "settings": '{"timeline": "anchor"}',
    }


# The same rows, the same bytes


def test_layout_of_the_work_folder_and_the_number_of_workers_change_no_byte(
    packed: Packed, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    mixed = random.Random(1).sample(rows, len(rows))
    shards = [mixed[start : start + 5] for start in range(0, len(mixed), 5)]
    work = write_dataset(tmp_path / "work", *shards)
    again = pack_version(work, tmp_path / "stage", layout=MEGABYTES, workers=1)
    assert digests(again) == digests(packed)
    assert again.disjoint == packed.disjoint == "speakers"


def test_conversations_are_in_the_order_of_their_ids(packed: Packed) -> None:
    for files in packed.configs["conversations"].values():
        names = []
        for file in files:
            names += ids(file.path)
        assert names == sorted(names)


def ids(path: Path) -> list[str]:
    table = pq.read_table(path, columns=["conversation_id"])
    return table["conversation_id"].to_pylist()


# Interruptions and refusals


def test_id_in_two_shards_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "work", [built_row("a")], [built_row("b"), built_row("a")])
    with pytest.raises(DailytalkError, match=r"'a' is in .*shard-0.* and in .*shard-1"):
        pack_version(tmp_path / "work", tmp_path / "stage")


def test_folder_of_rejects_alone_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    for columns in ({"recording_id": None}, {"sample_rate": 0}):
        write_dataset(tmp_path / "work", [built_row("a", **columns)])
        message = (
            r"no finished conversations that can be published \(a: it has no recording_id or no sample_rate\)"
        )
        with pytest.raises(DailytalkError, match=message):
            pack_version(tmp_path / "work", tmp_path / "stage")


@pytest.mark.parametrize(
    ("content", "message"), [(b"no parquet", "can't be read"), (None, "holds no finished conversations")]
)
def test_folder_without_finished_conversations_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    (tmp_path / "work" / "dataset").mkdir(parents=True)
    if content:
        (tmp_path / "work" / "dataset" / "a.parquet").write_bytes(content)
    with pytest.raises(DailytalkError, match=message):
        pack_version(tmp_path / "work", tmp_path / "stage")
    assert not (tmp_path / "stage").exists()


def test_audio_that_is_no_stereo_is_refused_though_nobody_speaks_in_it(tmp_path: Path) -> None:
    silence = stereo([], 2.0, 24000)
    mono = flac(silence[:, :1], 24000)
    audio = {"bytes": mono, "path": None}
    row = built_row("a", lines=(), audio=audio)
    write_dataset(tmp_path / "work", [row])
    with pytest.raises(DailytalkError, match=r"audio of 'a' can't be used \(it has 1 channel\(s\) at 24000 Hz\)"):
        pack_version(tmp_path / "work", tmp_path / "stage")


@pytest.mark.parametrize("spoken", [True, False])
def test_audio_that_can_not_be_decoded_is_refused_by_name(tmp_path: Path, spoken: bool) -> None:
    row = built_row("a", audio={"bytes": b"fLaC and nothing", "path": None})
    if not spoken:
        row["utterances"] = []
        row["alignments"] = []
    write_dataset(tmp_path / "work", [row])
    with pytest.raises(DailytalkError, match="the audio of 'a' can't be used"):
        pack_version(tmp_path / "work", tmp_path / "stage")


def test_disk_that_fills_up_is_an_error_and_not_the_end_of_the_process(work: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the write fails in the midst of a row group."""
    program = (
        "import resource, sys; from pathlib import Path;"
        "from dailytalk_contiguous.publish.opening import finished_items;"
        "from dailytalk_contiguous.publish.hub.packing import pack_version; work, stage = map(Path, sys.argv[1:]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); pack_version(finished_items(work), stage)"
    )
    command = (sys.executable, "-c", program)
    process = start(work, tmp_path / "stage", program=command)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("OSError: [Errno 27] File too large: ")
    assert not list((tmp_path / "stage").rglob("*.parquet"))


def test_utterance_outside_its_audio_is_refused_by_name(tmp_path: Path) -> None:
    row = built_row()
    utterance = row["utterances"][2]
    utterance["start"] = 5.0
    utterance["end"] = 9.0
    write_dataset(tmp_path / "work", [row])
    with pytest.raises(DailytalkError, match=r"'call/left/0002' at 5.0-9.0 s"):
        pack_version(tmp_path / "work", tmp_path / "stage")


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (0.5, 1.5, 12000, 36000),
        (-0.001, 0.5, 0, 12000),
        (5.0, 6.001, 120000, 144000),
        (1.0, 1.00001, 24000, 24001),
        (0.00003, 0.5, 1, 12000),
    ],
)
def test_utterance_is_cut_to_the_sample_and_has_one_at_least(
    tmp_path: Path, start: float, end: float, first: int, last: int
) -> None:
    row = built_row("a")
    utterance = row["utterances"][0]
    utterance["start"] = start
    utterance["end"] = end
    packed = packed_rows(tmp_path, row)
    utterances = {cut["utterance_id"]: cut for cut in table(packed, "utterances")}
    cut = pcm(utterances["a/left/0000"]["audio"])
    whole = pcm(row["audio"])
    assert np.array_equal(cut[:, 0], whole[first:last, 0])


def placed(word: str, start: float, end: float, **columns: Any) -> dict[str, Any]:
    """A word of the left speaker."""
    times = {"word": word, "start": start, "end": end}
    about = {"speaker": "left", "source": "given", "probability": None, "filler": False}
    return times | about | columns


def test_words_of_an_utterance_are_those_whose_middle_is_in_it_cut_at_its_edges(tmp_path: Path) -> None:
    line = ("left", 1.0, 2.0, "Hi.")
    row = built_row("a", lines=[line])
    row["alignments"] = [
        placed("0", 0.0, 1.98),
        placed("1", 0.0, 2.0),
        placed("2", 0.9, 1.2, filler=True),
        placed("3", 1.23456, 1.5, probability=0.5),
        placed("4", 1.9, 2.1),
        placed("5", 1.5, 2.502),
        placed("6", 1.2, 1.3, speaker="right"),
    ]
    (utterance,) = table(packed_rows(tmp_path, row), "utterances")
    assert utterance["words"] == [
        {"word": "1", "start": 0.0, "end": 1.0, "source": "given", "probability": None, "filler": False},
        {"word": "2", "start": 0.0, "end": 0.2, "source": "given", "probability": None, "filler": True},
        {"word": "3", "start": 0.2346, "end": 0.5, "source": "given", "probability": 0.5, "filler": False},
        {"word": "4", "start": 0.9, "end": 1.0, "source": "given", "probability": None, "filler": False},
    ]


@pytest.mark.parametrize(
    ("name", "published"),
    [
        (None, None),
        ("openai/whisper", "openai/whisper"),
        ("/home/me/voice/", "voice"),
        ("~/v.wav", "v.wav"),
        ("..\\m\\v", "v"),
        ("C:/a/b", "b"),
        ("file:///a/b", "b"),
        (".hidden", ".hidden"),
    ],
)
def test_name_of_a_place_on_this_machine_is_published_by_its_last_part(
    name: str | None, published: str | None
) -> None:
    assert portable(name) == published


def data_file(config: str, split: str, path: Path, number: int) -> DataFile:
    """A file of as many rows, whose digest, size and seconds follow from its number."""
    name = f"{config}/{split}-0"
    seconds = 1234.5678 * number
    return DataFile(name, path, config, split, f"{number}", 100 + number, number, seconds)


def test_manifest_tells_files_and_totals_by_config(tmp_path: Path) -> None:
    files = (
        data_file("c", "test", tmp_path, 0),
        data_file("c", "train", tmp_path, 1),
        data_file("u", "train", tmp_path, 2),
    )
    packed = Packed(files, "speakers")
    manifest = packed.manifest("v1.0.0", {"added": 1}, ["b", "a"])
    assert manifest.pop("tool").startswith("dailytalk-contiguous ")
    assert manifest == {
        "layout": 1,
        "assets": ["a", "b"],
        "version": "v1.0.0",
        "splits_disjoint_in": "speakers",
        "changes": {"added": 1},
        "totals": {
            "c": {"rows": 1, "hours": 0.34294, "size": 201},
            "u": {"rows": 2, "hours": 0.68587, "size": 102},
        },
        "files": {
            "c/test-0": {"sha256": "0", "size": 100, "rows": 0},
            "c/train-0": {"sha256": "1", "size": 101, "rows": 1},
            "u/train-0": {"sha256": "2", "size": 102, "rows": 2},
        },
    }
