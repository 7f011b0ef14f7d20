import io
import json
import math
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from audio_files import tones, wav_bytes
from datasets import Audio, Features
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.sources import webdataset_samples
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.hub_fetch import fetch, to_fetch
from dailytalk_contiguous.sources.hub_repository import Repository, repository_of
from dailytalk_contiguous.sources.hub_tables import suffix_of, table_file_name
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.sources.recordings import LeftOut, list_recordings
from dailytalk_contiguous.store.addresses import HubChoice

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/calls"
WORDS = [["hello", [0.1, 0.4], "SPEAKER_MAIN"], ["hi", [0.5, 0.7], "SPEAKER_01"]]
ALIGNMENTS = [
    {"word": "hello", "start": 0.1, "end": 0.4, "speaker": "left", "source": "given"},
    {"word": "hi", "start": 0.5, "end": 0.7, "speaker": "right", "source": "given"},
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


def wav(seconds: float = 1.0, channels: int = 2) -> bytes:
    return wav_bytes(tones(seconds, channels=channels))


def publish(files: dict[str, bytes], drop: tuple[str, ...] = (), private: bool = False) -> str:
    """Commit files to the repository; the id of the commit."""
    api = HfApi()
    api.create_repo(REPO, repo_type="dataset", exist_ok=True, private=private)
    changes: list[CommitOperationAdd | CommitOperationDelete] = []
    changes += [CommitOperationAdd(path, content) for path, content in files.items()]
    changes += [CommitOperationDelete(path) for path in drop]
    commit = api.create_commit(REPO, changes, commit_message="c", repo_type="dataset")
    return str(commit.oid)


def parquet(columns: dict[str, list[Any]], audio: tuple[str, ...] = ("audio",)) -> bytes:
    """A table as `datasets` writes it, with audio columns declared as such."""
    others = {name: values for name, values in columns.items() if name not in audio}
    features = Features.from_arrow_schema(pa.table(others).schema)
    declared = Features({name: Audio() if name in audio else features[name] for name in columns})
    file = io.BytesIO()
    table = pa.table(columns, schema=declared.arrow_schema)
    pq.write_table(table, file)
    return file.getvalue()


def struct(data: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": data, "path": path}


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def repository(text: str = REPO, **choice: str) -> Repository:
    chosen = repository_of([text], HubChoice(**choice))
    assert chosen
    return chosen


def rows(text: str = REPO, **choice: str) -> list[dict[str, Any]]:
    """What a folder makes of a fetched repository."""
    folders = fetch(repository(text, **choice)).folders
    return list(folder_rows(FolderConfig(inputs=folders, language="en")))


def fetched_files(text: str = REPO) -> tuple[list[Path], list[Reject]]:
    """The recordings of a fetched repository, by name, and its rejects."""
    fetched = fetch(repository(text))
    recordings = list_recordings(fetched.folders)
    return [recording.path for recording in recordings], fetched.problems


def names(conversations: list[dict[str, Any]]) -> list[str]:
    return [row["conversation_id"] for row in conversations]


# Which repository


def test_path_that_exists_is_meant_before_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / REPO).mkdir(parents=True)
    assert repository_of([REPO], HubChoice()) is None


def test_revision_is_resolved_to_its_commit(hub: HubServer) -> None:
    first = publish({"a.wav": wav()})
    HfApi().create_tag(REPO, tag="v1", repo_type="dataset")
    publish({"b.wav": wav(2.0)})
    tagged = repository(f"hf://datasets/{REPO}@v1")
    assert tagged.commit == first
    assert names(rows(f"{REPO}@v1")) == ["a"]
    assert names(rows()) == ["a", "b"]


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-4.0\n---\n", "cc-by-4.0"),
        ("---\nlicense: other\nlicense_name: house\nlicense_link: L.md\n---\n", "house L.md"),
    ],
)
def test_licence_is_the_card_s(hub: HubServer, card: str, licence: str | None) -> None:
    commit = publish({"a.wav": wav(), "README.md": card.encode()})
    about = repository().about()
    assert about == {"repository": REPO, "revision": commit, "licence": licence}


# Audio files


def test_fetched_files_are_not_fetched_again(hub: HubServer) -> None:
    short = wav()
    long = wav(2.0)
    publish({"a.wav": short, "b.wav": long})
    chosen = repository()
    assert to_fetch(chosen) == (2, len(short) + len(long))
    fetch(chosen)
    hub.requests.clear()
    assert to_fetch(chosen) == (0, 0)
    assert names(rows()) == ["a", "b"]
    assert not [request for request in hub.requests if request.path.endswith(".wav")]


def test_words_in_another_file_of_a_dataset_are_named(hub: HubServer) -> None:
    said = "so where to"
    by_path = parquet({"path": ["audio/a.wav"], "text": [said]}, ())
    index = json.dumps({"path": "audio/a.wav", "text": said}).encode()
    lists = {"words/train.parquet": by_path, "index.jsonl": index, "audio/metadata.csv": b"file_name,text"}
    publish({"audio/a.wav": wav(5.0), "audio/a.json": b"{}", "README.md": b"# Calls"} | lists)
    assert [*open_inputs([REPO]).left_out().unread.values()] == [sorted(lists)]


def test_split_chooses_a_folder_of_audio_files(hub: HubServer) -> None:
    publish({"data/train/a.wav": wav(), "data/test/a.wav": wav(2.0)})
    assert names(rows()) == ["data/test/a", "data/train/a"]
    (only,) = rows(split="test")
    assert only["conversation_id"] == "a"
    assert only["duration"] == 2.0
    with pytest.raises(DailytalkError, match="choose --split from data, test, train"):
        fetch(repository(split="dev"))


def test_digests_are_the_same_from_an_empty_cache_and_at_another_commit(
    hub: HubServer, empty_caches: Callable[[], Path]
) -> None:
    publish({"a.wav": wav(), "tables.md": b"1"})
    (before,) = rows()
    publish({"tables.md": b"2"})
    empty_caches()
    (after,) = rows()
    assert after["input_digest"] == before["input_digest"]
    assert after["audio"]["path"] != before["audio"]["path"]


# Tables


def test_rows_of_parquet_become_files_with_their_words(hub: HubServer) -> None:
    table = {
        "conversation_id": ["call-1", "call-2"],
        "audio": [struct(wav()), struct(wav(2.0))],
        "alignments": [ALIGNMENTS, []],
    }
    publish({"data/train-00000-of-00001.parquet": parquet(table)})
    conversations = rows()
    assert names(conversations) == ["call-1", "call-2"]
    first, second = conversations
    audio = Path(first["audio"]["path"])
    assert audio.read_bytes() == wav()
    cues = [(cue["channel"], cue["text"]) for cue in first["cues"]]
    assert cues == [("left", "hello"), ("right", "hi")]
    assert second["cues"] == []


@pytest.mark.usefixtures("impatient")
def test_stopped_table_goes_on(hub: HubServer) -> None:
    for number in range(2):
        table = parquet({"id": [f"{number}"], "audio": [struct(wav())]})
        publish({f"data/train-{number}.parquet": table})
    hub.faults.arm("500", times=math.inf, method="GET", path="/resolve/.*train-1.parquet")
    with pytest.raises(DailytalkError):
        fetch(repository())
    hub.faults.clear()
    assert names(rows()) == ["0", "1"]


def test_row_without_usable_audio_is_rejected_with_its_id(hub: HubServer) -> None:
    audio = [
        struct(None),
        struct(b"not audio at all"),
        struct(None, "/home/them/c.wav"),
        struct(wav(), "d.wav"),
    ]
    table = parquet({"id": ["a", "b", "c", "d"], "audio": audio})
    publish({"data/train-0.parquet": table})
    fetched = fetch(repository())
    rejects = [(reject.id, reject.stage, reject.reason) for reject in fetched.problems]
    assert rejects == [
        ("a", "Hub", "it has no audio"),
        ("b", "Hub", "its audio is in no known format"),
        ("c", "Hub", "it has no audio: only the path '/home/them/c.wav'"),
    ]
    conversations = folder_rows(FolderConfig(inputs=fetched.folders))
    assert names(list(conversations)) == ["d"]


def test_id_that_comes_twice_is_rejected_and_not_written_over(hub: HubServer) -> None:
    table = parquet({"id": ["a", "a"], "audio": [struct(wav()), struct(wav(2.0))]})
    publish({"data/train-0.parquet": table})
    fetched = fetch(repository())
    (reject,) = fetched.problems
    assert reject.id == "train-000001"
    assert reject.reason == "its id 'a' is already that of another row"
    (row,) = folder_rows(FolderConfig(inputs=fetched.folders))
    assert row["duration"] == 1.0


def test_without_ids_the_file_s_name_counts_and_then_the_row(hub: HubServer) -> None:
    audio = [struct(wav(), "clips/x.wav"), struct(wav(2.0), None)]
    table = parquet({"audio": audio})
    publish({"data/train-0.parquet": table})
    assert names(rows()) == ["train-000001", "x"]


#: Choices that a table with the columns id, x and y does not have, and what is asked for then.
UNKNOWN_CHOICES: list[tuple[dict[str, str], str]] = [
    ({}, r"several columns with audio \(x, y\): choose one with --audio-column \(two mono ones as LEFT,RIGHT\)"),
    ({"audio_column": "z"}, "no column 'z': choose --audio-column from id, x, y"),
    ({"id_column": "z"}, "no column 'z': choose --id-column from id, x, y"),
    ({"split": "dev"}, "no split 'dev': choose --split from train"),
    ({"config": "big"}, "no config 'big': choose --config from default"),
]


def test_two_mono_columns_of_any_names_are_the_sides_of_a_recording_the_first_one_left(hub: HubServer) -> None:
    agent = struct(wav_bytes(tones(2.0)[:, :1]))
    customer = struct(wav_bytes(tones(1.8)[:, 1:]))
    columns = {
        "id": ["a", "b", "c"],
        "agent": [agent, agent, struct(None)],
        "customer": [customer, struct(wav()), customer],
    }
    publish({"data/train-0.parquet": parquet(columns, ("agent", "customer"))})
    fetched = fetch(repository(audio_column="customer,agent"))
    (recording,) = list_recordings(fetched.folders)
    samples, rate = soundfile.read(recording.path)
    pitches = [np.argmax(np.abs(np.fft.rfft(samples[:rate, side]))) for side in range(2)]
    assert pitches == [310, 200]
    assert len(samples) == 2 * rate  # the side that ends first ends in silence
    stereo, silent = fetched.problems
    assert "customer.wav' is not a usable mono recording" in stereo.reason
    assert "no audio" in silent.reason


def test_what_can_not_be_guessed_is_asked_for_with_the_choices(hub: HubServer) -> None:
    columns = {"id": ["a"], "x": [struct(wav())], "y": [struct(wav())]}
    publish({"data/train-0.parquet": parquet(columns, ("x", "y"))})
    for choice, question in UNKNOWN_CHOICES:
        with pytest.raises(DailytalkError, match=question):
            fetch(repository(**choice))


#: Values of `data_files` in a card, and why none of them is read.
DATA_FILES = [
    ("*b8", "has aliases"),  # of aliases: 10^8 values in 0.4 kB
    ("file:///etc/x.parquet", r"names data files outside of it \(file:///etc/x.parquet\)"),
    ("http://127.0.0.1:9/x.parquet", r"outside of it \(http://127.0.0.1:9/x.parquet\)"),
    ("[{split: train, path: ['hf://datasets/o/n/x.parquet']}]", r"outside of it \(hf://datasets/o/n/x.parquet\)"),
    ("../../o/n/x.parquet", r"outside of it \(../../o/n/x.parquet\)"),
    ("{train: 1}", "`datasets` can't use the card"),
]


@pytest.mark.parametrize("file", ["README.md", ".huggingface.yaml"])
def test_card_that_names_data_files_in_a_way_of_an_attacker_is_refused_by_name(hub: HubServer, file: str) -> None:
    aliases = "b0: &b0 [x]\n"
    for number in range(8):
        aliases += f"b{number + 1}: &b{number + 1} [{', '.join([f'*b{number}'] * 10)}]\n"
    table = parquet({"id": ["a"], "audio": [struct(wav())]})
    for data_files, reason in DATA_FILES:
        head = aliases if data_files == "*b8" else ""
        configs = f"{head}configs: [{{config_name: default, data_files: {data_files}}}]\n"
        text = f"---\n{configs}---\n" if file == "README.md" else configs
        publish({"t.parquet": table, file: text.encode()})
        with pytest.raises(BadInput, match=reason) as refused:
            fetch(repository())
        assert len(str(refused.value)) < 400


def test_webdataset_samples_are_named_by_their_key_with_their_words(hub: HubServer) -> None:
    words = json.dumps({"alignments": WORDS}).encode()
    members = {}
    for number in range(3):
        members[f"calls/{number}.json"] = words
        members[f"calls/{number}.wav"] = wav(1.0 + number)
    publish({"data/train-0000.tar": tar(members)})
    conversations = rows()
    assert names(conversations) == ["calls/0", "calls/1", "calls/2"]
    assert [row["duration"] for row in conversations] == [1.0, 2.0, 3.0]
    for row in conversations:
        assert row["cues"]


def test_metadata_of_a_webdataset_costs_no_recording_and_hides_no_words(hub: HubServer) -> None:
    words = json.dumps({"alignments": WORDS}).encode()
    members = {}
    for key in ("a", "b"):
        members[f"{key}.json"] = json.dumps({"id": key, "dnsmos": 3.2}).encode()
        members[f"{key}.wav"] = wav()
        if key == "a":
            members["a.transcript"] = words
    publish({"data/train-0000.tar": tar(members)})
    left_out = LeftOut()
    folders = fetch(repository()).folders
    with_words, plain = folder_rows(FolderConfig(inputs=folders, language="en"), left_out)
    assert (plain["problem"], plain["cues"]) == (None, [])
    assert with_words["cues"]
    assert left_out.unread == {"JSON of no known kind of transcript": ["b.json"]}


@pytest.mark.parametrize(
    "keys",
    [
        ["2026.11.03 call 1.0", "2026.11.03 call 1.1", "2026.11.03 call 2.0"],
    ],
)
def test_dots_in_the_names_of_a_webdataset_lose_no_recording(hub: HubServer, keys: list[str]) -> None:
    words = json.dumps({"alignments": WORDS}).encode()
    members = {}
    for key in keys:
        members[f"{key}.flac"] = wav()
        members[f"{key}.json"] = words
    publish({"data/train-0000.tar": tar(members)})
    conversations = rows()
    assert sorted(names(conversations)) == keys
    for row in conversations:
        assert row["cues"]


def test_damaged_shard_is_rejected_from_there_on_and_the_others_are_read(hub: HubServer) -> None:
    whole = tar({"a.wav": wav(), "b.wav": wav(), "c.wav": wav()})
    damaged = whole[: len(whole) // 2]
    publish({"data/train-0000.tar": damaged, "data/train-0001.tar": tar({"d.wav": wav()})})
    paths, (reject,) = fetched_files()
    assert [path.name for path in paths] == ["a.wav", "d.wav"]
    assert reject.id == "train-000001"
    assert "data/train-0000.tar of tester/calls is damaged from here on" in reject.reason


# What the Hub, the network and the disk refuse


def sparse(name: str, size: int) -> bytes:
    """A file in a tar as `tar --sparse` writes it, of so many bytes, of which the first 512 are there."""
    content = b"RIFF" + bytes(508)
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    for start, number in ((386, 0), (398, len(content)), (410, size), (422, 0), (483, size)):
        header[start : start + 12] = b"%011o\0" % number
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content


def without_end(data: bytes) -> bytes:
    """A tar without the blocks of zeros that close it, so that another may follow."""
    content = data.rstrip(b"\0")
    return content + bytes(-len(content) % tarfile.BLOCKSIZE)


#: Members between good recordings that are no sample, and what is said about them.
BAD_SAMPLES = {
    "holes": (b"".join(sparse(f"b.c{number}", 450_000_000) for number in range(40)), "has a file with holes"),
    "empty files": (tar({f"b.c{number}": b"" for number in range(1001)}), "has more than 1,000 files"),
    "bytes": (tar({f"b.c{number}": b"x" * 400_000 for number in range(4)}), "has more than 1.0 MB"),
}


@pytest.mark.parametrize(("members", "reason"), BAD_SAMPLES.values(), ids=BAD_SAMPLES)
def test_sample_that_would_fill_memory_is_rejected_and_those_beside_it_are_read(
    hub: HubServer, members: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset_samples, "MOST_ROW_BYTES", 1_000_000)
    monkeypatch.setattr(webdataset_samples, "MOST_MEMBERS", 1000)
    shard = without_end(tar({"a.wav": wav()})) + without_end(members) + tar({"c.wav": wav(0.9)})
    publish({"data/train-0000.tar": shard})
    paths, problems = fetched_files()
    assert [path.name for path in paths] == ["a.wav", "c.wav"]
    (problem,) = problems
    assert problem.reason.startswith("data/train-0000.tar of tester/calls: its sample 'b' ")
    assert reason in problem.reason


def attributes(kind: bytes, content: bytes) -> bytes:
    """Attributes in a tar, of the member behind them (`x`) or of all (`g`)."""
    header = tarfile.TarInfo("attributes")
    header.type = kind
    header.size = len(content)
    padding = bytes(-len(content) % tarfile.BLOCKSIZE)
    return header.tobuf(tarfile.GNU_FORMAT) + content + padding


def huge(size: int) -> bytes:
    """A member that says it has so many bytes, and has none."""
    member = tarfile.TarInfo("c.wav")
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


HOLES = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
GLOBALS = b"".join(b"9 a%04d=\n" % number for number in range(2000))

#: What stands in a tar behind two recordings, and would take hours, or end the run.
DAMAGED_HEADERS = {
    "a size beyond the archive": huge(1 << 60),
    "a size beyond the archive in attributes": attributes(b"x", b"21 size=999999999999\n") + huge(0),
    "no number of holes": attributes(b"x", HOLES) + huge(512) + bytes(512),
    "many holes": attributes(b"x", HOLES) + huge(512_000) + b"200000\n" + b"1\n" * 255_996 + bytes(1),
    "attributes of attributes": attributes(b"g", b"13 comment=a\n") * 2000,
    "names of names": attributes(b"L", b"name") * 2000,
    "long attributes of all": attributes(b"g", GLOBALS) + huge(0),
    "attributes of all": attributes(b"g", GLOBALS[:7200]) + attributes(b"g", GLOBALS[7200:14400]) + huge(0),
}


@pytest.mark.parametrize("damage", DAMAGED_HEADERS.values(), ids=DAMAGED_HEADERS)
def test_hostile_header_of_a_tar_is_damage_that_ends_soon(hub: HubServer, damage: bytes) -> None:
    shard = without_end(tar({"a.wav": wav(), "b.wav": wav()})) + damage + bytes(1024)
    publish({"data/train-0000.tar": shard, "data/train-0001.tar": tar({"d.wav": wav()})})
    paths, problems = fetched_files()
    assert {path.name for path in paths} >= {"a.wav", "d.wav"}
    (problem,) = problems
    assert "data/train-0000.tar of tester/calls is damaged from here on" in problem.reason


def test_name_in_the_attributes_of_a_tar_is_read(hub: HubServer) -> None:
    name = "1" * 120 + "ä"
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "c"}) as archive:
        member = tarfile.TarInfo(f"{name}.wav")
        member.size = len(wav())
        archive.addfile(member, io.BytesIO(wav()))
    publish({"data/train-0000.tar": file.getvalue()})
    paths, problems = fetched_files()
    assert [path.name for path in paths] == [f"{name}.wav"]
    assert not problems


def test_missing_repository_and_revision_are_told(hub: HubServer) -> None:
    with pytest.raises(DailytalkError, match=r"shows no dataset tester/nothing .*HF_TOKEN"):
        repository("tester/nothing")
    publish({"a.wav": wav()})
    with pytest.raises(DailytalkError, match="tester/calls@v9 has no such version"):
        repository(f"{REPO}@v9")


def test_private_repository_without_a_token_that_may_read_is_told(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish({"a.wav": wav()}, private=True)
    monkeypatch.setenv("HF_TOKEN", hub.stranger_token)
    with pytest.raises(DailytalkError, match=r"for a private dataset, .* set HF_TOKEN"):
        repository()
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(DailytalkError, match=r"for a private dataset, .* set HF_TOKEN"):
        repository()


def test_token_that_the_hub_does_not_know_is_told(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    publish({"a.wav": wav()})
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    with pytest.raises(DailytalkError) as refused:
        repository()
    message = str(refused.value)
    assert "HF_TOKEN" in message
    assert "hf_unknown" not in message


def held(sound: bytes, name: str) -> bytes:
    """A file that holds a recording, by its name."""
    if name.endswith(".parquet"):
        return parquet({"id": ["a"], "audio": [struct(sound)]})
    if name.endswith(".tar"):
        return tar({"a.wav": sound})
    return sound


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["a.wav", "data/train-0.parquet", "data/train-0.tar"])
def test_recording_whose_transfer_broke_off_once_comes_whole(hub: HubServer, name: str) -> None:
    sound = wav(3.0)
    publish({name: held(sound, name)})
    cut = hub.faults.arm("cut", method="GET", path=f"/resolve/.*{Path(name).name}")
    (path,), _ = fetched_files()
    assert cut.struck == 1
    assert path.read_bytes() == sound


# Pure parts


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_different_ids_are_different_names_that_stay_in_their_folder(first: str, second: str) -> None:
    try:
        name = table_file_name(first)
        other = table_file_name(second)
    except BadInput:
        return
    assert (name == other) == (first == second)
    root = Path("/cache/calls")
    path = Path(os.path.normpath(root / name))
    assert path.is_relative_to(root)
    for part in name.split("/"):
        assert not part.startswith(".")
    name.encode()


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (b"RIFF....WAVE", ".wav"),
        (b"fLaC", ".flac"),
        (b"OggS" + bytes(24) + b"OpusHead", ".opus"),
        (b"\xff\xfb\x90", ".mp3"),
        (b"\0\0\0\x20ftypM4A ", ".m4a"),
    ],
)
def test_audio_in_a_column_is_named_by_what_it_begins_with(data: bytes, suffix: str) -> None:
    assert suffix_of(data) == suffix
