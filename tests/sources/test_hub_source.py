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
from audio_files import tones, wav_bytes
from datasets import Audio, Features
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.hub_repository import (
    HubChoice,
    HubFile,
    Repository,
    companions,
    fetch,
    in_tables,
    repository_of,
    suffix_of,
    table_file_name,
    to_fetch,
)
from dailytalk_contiguous.sources.recordings import find_recordings
from dailytalk_contiguous.store.hub import parse_reference

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
    HfApi().create_repo(REPO, repo_type="dataset", exist_ok=True, private=private)
    changes = [CommitOperationAdd(path, content) for path, content in files.items()]
    gone = [CommitOperationDelete(path) for path in drop]
    return str(HfApi().create_commit(REPO, [*changes, *gone], commit_message="c", repo_type="dataset").oid)


def parquet(columns: dict[str, list[Any]], audio: tuple[str, ...] = ("audio",)) -> bytes:
    """A table as `datasets` writes it, with audio columns declared as such."""
    others = pa.table({name: values for name, values in columns.items() if name not in audio})
    known = Features.from_arrow_schema(others.schema)
    schema = Features({name: Audio() if name in audio else known[name] for name in columns}).arrow_schema
    file = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), file)
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
    found = repository_of([text], HubChoice(**choice))
    assert found
    return found


def rows(text: str = REPO, **choice: str) -> list[dict[str, Any]]:
    """What a folder makes of a fetched repository."""
    folders = fetch(repository(text, **choice)).folders
    return list(folder_rows(FolderConfig(inputs=folders, language="en")))


def fetched_files(text: str = REPO) -> tuple[list[Path], list[Reject]]:
    """The recordings of a fetched repository, by name, and its rejects."""
    fetched = fetch(repository(text))
    return [found.path for found in find_recordings(fetched.folders)], fetched.problems


def names(found: list[dict[str, Any]]) -> list[str]:
    return [row["conversation_id"] for row in found]


# Which repository


def test_path_that_exists_is_meant_before_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / REPO).mkdir(parents=True)
    assert repository_of([REPO], HubChoice()) is None


def test_repository_stands_alone() -> None:
    with pytest.raises(DailytalkError, match="can't have inputs beside it"):
        repository_of([REPO, "elsewhere"], HubChoice())


def test_option_of_the_hub_is_refused_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="--audio-column is for datasets on the Hub"):
        repository_of([str(tmp_path)], HubChoice(audio_column="audio"))


def test_revision_is_resolved_to_its_commit(hub: HubServer) -> None:
    first = publish({"a.wav": wav()})
    HfApi().create_tag(REPO, tag="v1", repo_type="dataset")
    publish({"b.wav": wav(2.0)})
    assert repository(f"hf://datasets/{REPO}@v1").commit == first
    assert (names(rows(f"{REPO}@v1")), names(rows())) == (["a"], ["a", "b"])


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-4.0\n---\n", "cc-by-4.0"),
        ("---\nlicense: other\nlicense_name: house\nlicense_link: L.md\n---\n", "house L.md"),
        ("---\nlicense: [mit, cc0-1.0]\n---\n", "mit, cc0-1.0"),
        ('---\nlicense: "mi\\udfff"\n---\n', "mi\\udfff"),  # half a character, written out
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: ''\n---\n", None),
        ("no metadata", None),
    ],
)
def test_licence_is_the_card_s(hub: HubServer, card: str, licence: str | None) -> None:
    commit = publish({"a.wav": wav(), "README.md": card.encode()})
    assert repository().about() == {"repository": REPO, "revision": commit, "licence": licence}


# Audio files


def test_audio_and_its_words_are_taken_from_a_folder_of_pairs(hub: HubServer) -> None:
    pair = {"data_stereo/0.wav": wav(), "data_stereo/0.json": json.dumps({"alignments": WORDS}).encode()}
    publish(pair | {"data_stereo/1.wav": wav(1.5), "dailytalk.jsonl": b"{}", "notes.pdf": b"no audio"})
    hub.requests.clear()
    found = rows()
    assert names(found) == ["data_stereo/0", "data_stereo/1"]
    assert [(cue["channel"], cue["text"]) for cue in found[0]["given"]] == [("left", "hello"), ("right", "hi")]
    assert not [one for one in hub.requests if "notes.pdf" in one.path or "dailytalk.jsonl" in one.path]


def test_fetched_files_are_not_fetched_again(hub: HubServer) -> None:
    publish({"a.wav": wav(), "b.wav": wav(2.0)})
    found = repository()
    assert to_fetch(found) == (2, len(wav()) + len(wav(2.0)))
    fetch(found)
    hub.requests.clear()
    assert to_fetch(found) == (0, 0)
    assert names(rows()) == ["a", "b"]
    assert not [one for one in hub.requests if one.path.endswith(".wav")]


def test_split_chooses_a_folder_of_audio_files(hub: HubServer) -> None:
    publish({"data/train/a.wav": wav(), "data/test/a.wav": wav(2.0)})
    assert names(rows()) == ["data/test/a", "data/train/a"]
    (only,) = rows(split="test")
    assert (only["conversation_id"], only["duration"]) == ("a", 2.0)
    with pytest.raises(DailytalkError, match="choose --split from data, test, train"):
        fetch(repository(split="dev"))


def test_digests_are_the_same_from_an_empty_cache_and_at_another_commit(
    hub: HubServer, empty_caches: Callable[[], Path]
) -> None:
    publish({"a.wav": wav(), "tables.md": b"1"})
    before = rows()
    publish({"tables.md": b"2"})
    empty_caches()
    assert [row["input_digest"] for row in rows()] == [row["input_digest"] for row in before]
    assert rows()[0]["audio"]["path"] != before[0]["audio"]["path"]


def test_companions_are_those_that_transcripts_are_called() -> None:
    beside = ["x/a.json", "x/a.left.srt", "x/a.txt", "x/transcript.jsonl", "y/a.json", "x/ab.json"]
    assert companions(["x/a.wav"], beside) == {"x/a.wav": ["x/a.json", "x/a.left.srt", "x/transcript.jsonl"]}


# Tables


@pytest.mark.parametrize(
    ("tables", "audio", "choice", "expected"),
    [
        (2, 1, {}, True),
        (1, 2, {}, False),  # a few rows to look at
        (1, 1, {}, False),
        (1, 2, {"split": "train"}, False),  # which audio files may have too
        *((1, 2, {option: "x"}, True) for option in ("config", "audio_column", "id_column")),
        (0, 2, {"config": "x"}, False),
    ],
)
def test_recordings_are_where_more_bytes_are_or_where_an_option_of_tables_says(
    tables: int, audio: int, choice: dict[str, str], expected: bool
) -> None:
    files = {"data/a.PARQUET": HubFile(tables, "0"), "b.wav": HubFile(audio, "0"), "c.pdf": HubFile(9, "0")}
    reference = parse_reference(REPO)
    assert reference
    assert in_tables(Repository(reference, "0" * 40, None, files, HubChoice(**choice))) == expected


def test_rows_of_parquet_become_files_with_their_words(hub: HubServer) -> None:
    table = {
        "conversation_id": ["call-1", "call-2"],
        "audio": [struct(wav()), struct(wav(2.0))],
        "alignments": [ALIGNMENTS, []],
    }
    publish({"data/train-00000-of-00001.parquet": parquet(table)})
    found = rows()
    assert names(found) == ["call-1", "call-2"]
    assert Path(found[0]["audio"]["path"]).read_bytes() == wav()
    assert [(cue["channel"], cue["text"]) for cue in found[0]["given"]] == [("left", "hello"), ("right", "hi")]
    assert found[1]["given"] == []


def test_finished_table_is_not_fetched_again(hub: HubServer) -> None:
    table = parquet({"id": ["a", "b"], "audio": [struct(wav()), struct(None)]})
    publish({"data/train-0.parquet": table})
    found = repository()
    assert to_fetch(found) == (1, len(table))
    first = fetch(found)
    hub.requests.clear()
    assert (to_fetch(found), fetch(found)) == ((0, 0), first)
    assert hub.requests == []


@pytest.mark.usefixtures("impatient")
def test_stopped_table_goes_on(hub: HubServer) -> None:
    for number in range(2):
        publish({f"data/train-{number}.parquet": parquet({"id": [f"{number}"], "audio": [struct(wav())]})})
    hub.faults.arm("500", times=math.inf, method="GET", path="/resolve/.*train-1.parquet")
    with pytest.raises(DailytalkError):
        fetch(repository())
    hub.faults.clear()
    assert names(rows()) == ["0", "1"]


def test_row_without_usable_audio_is_rejected_with_its_id(hub: HubServer) -> None:
    audio = [struct(None), struct(b"not audio at all"), struct(None, "/home/them/c.wav"), struct(wav(), "d.wav")]
    publish({"data/train-0.parquet": parquet({"id": ["a", "b", "c", "d"], "audio": audio})})
    fetched = fetch(repository())
    assert [(one.id, one.stage, one.reason) for one in fetched.problems] == [
        ("a", "Hub", "it has no audio"),
        ("b", "Hub", "its audio is in no known format"),
        ("c", "Hub", "it has no audio: only the path '/home/them/c.wav'"),
    ]
    assert names(list(folder_rows(FolderConfig(inputs=fetched.folders)))) == ["d"]


def test_id_that_comes_twice_is_rejected_and_not_written_over(hub: HubServer) -> None:
    publish({"data/train-0.parquet": parquet({"id": ["a", "a"], "audio": [struct(wav()), struct(wav(2.0))]})})
    fetched = fetch(repository())
    assert [(one.id, one.reason) for one in fetched.problems] == [
        ("train-000001", "its id 'a' was another row's already")
    ]
    (row,) = folder_rows(FolderConfig(inputs=fetched.folders))
    assert row["duration"] == 1.0


def test_without_ids_the_file_s_name_counts_and_then_the_row(hub: HubServer) -> None:
    audio = [struct(wav(), "clips/x.wav"), struct(wav(2.0), None)]
    publish({"data/train-0.parquet": parquet({"audio": audio})})
    assert names(rows()) == ["train-000001", "x"]


def test_file_names_are_told_apart_by_their_split_and_ids_are_not(hub: HubServer) -> None:
    for split, seconds in (("train", 1.0), ("test", 2.0)):
        table = {"audio": [struct(wav(seconds), "x.wav")], "name": [f"call of {split}"]}
        publish({f"data/{split}-0.parquet": parquet(table)})
    assert names(rows()) == ["test/x", "train/x"]
    assert names(rows(split="test")) == ["x"]
    assert names(rows(id_column="name")) == ["call of test", "call of train"]


def test_what_can_not_be_guessed_is_asked_for_with_the_choices(hub: HubServer) -> None:
    two = parquet({"id": ["a"], "x": [struct(wav())], "y": [struct(wav())]}, ("x", "y"))
    publish({"data/train-0.parquet": two})
    for choice, told in (
        ({}, r"several columns with audio \(x, y\): choose one with --audio-column"),
        ({"audio_column": "z"}, "no column 'z': choose --audio-column from id, x, y"),
        ({"id_column": "z"}, "no column 'z': choose --id-column from id, x, y"),
        ({"split": "dev"}, "no split 'dev': choose --split from train"),
        ({"config": "big"}, "no config 'big': choose --config from default"),
    ):
        with pytest.raises(DailytalkError, match=told):
            fetch(repository(**choice))


def test_conversations_are_meant_before_other_configs(hub: HubServer) -> None:
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("conversations", "utterances")
    )
    tables = {
        f"{name}/train-0.parquet": parquet({"recording_id": [name], "audio": [struct(wav())]})
        for name in ("conversations", "utterances")
    }
    publish(tables | {"README.md": f"{card}---\n".encode()})
    assert names(rows()) == ["conversations"]
    assert names(rows(config="utterances")) == ["utterances"]


def test_config_that_has_to_be_chosen_or_holds_no_table_is_told(hub: HubServer) -> None:
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files: {pattern}\n"
        for name, pattern in (("calls", "calls/*.parquet"), ("notes", "notes/*.csv"))
    )
    table = parquet({"id": ["a"], "audio": [struct(wav())]})
    publish({"calls/train-0.parquet": table, "notes/a.csv": b"x\n1\n", "README.md": f"{card}---\n".encode()})
    with pytest.raises(DailytalkError, match="has several configs: choose --config from calls, notes"):
        fetch(repository())
    with pytest.raises(DailytalkError, match="has no Parquet or WebDataset shards there: choose another --config"):
        fetch(repository(config="notes"))
    assert names(rows(config="calls")) == ["a"]


def test_folders_and_nameless_members_of_a_webdataset_are_no_samples(hub: HubServer) -> None:
    file = io.BytesIO(tar({".hidden": b"x", "LICENSE": b"x", "a.wav": wav()}))
    with tarfile.open(fileobj=file, mode="a") as archive:
        folder = tarfile.TarInfo("calls.d")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    publish({"data/train-0000.tar": file.getvalue()})
    assert names(rows()) == ["a"]


def test_webdataset_samples_are_named_by_their_key_with_their_words(hub: HubServer) -> None:
    members = {}
    for number in range(3):
        members[f"calls/{number}.json"] = json.dumps({"alignments": WORDS}).encode()
        members[f"calls/{number}.wav"] = wav(1.0 + number)
    publish({"data/train-0000.tar": tar(members)})
    found = rows()
    assert names(found) == ["calls/0", "calls/1", "calls/2"]
    assert [row["duration"] for row in found] == [1.0, 2.0, 3.0]
    assert all(row["given"] for row in found)


@pytest.mark.parametrize(
    "keys",
    [
        ["2026.11.03 call 1.0", "2026.11.03 call 1.1", "2026.11.03 call 2.0"],
        ["mr.jones", "mr.smith", "ms.jones"],
        ["v1.anna", "v1.anna.2", "v2"],
    ],
)
def test_dots_in_the_names_of_a_webdataset_lose_no_recording(hub: HubServer, keys: list[str]) -> None:
    files = {"flac": wav(), "json": json.dumps({"alignments": WORDS}).encode()}
    publish({"data/train-0000.tar": tar({f"{key}.{kind}": data for key in keys for kind, data in files.items()})})
    found = rows()
    assert sorted(names(found)) == keys
    assert all(row["given"] for row in found)


def test_sides_of_a_webdataset_are_columns_of_one_sample(hub: HubServer) -> None:
    sides = {f"{call}.{side}.wav": wav() for call in "ab" for side in ("left", "right")}
    publish({"data/train-0000.tar": tar(sides)})
    with pytest.raises(DailytalkError, match=r"several columns with audio \(left.wav, right.wav\)"):
        rows()
    assert names(rows(audio_column="left.wav")) == ["a", "b"]


def test_damaged_shard_is_rejected_from_there_on_and_the_others_are_read(hub: HubServer) -> None:
    whole = tar({"a.wav": wav(), "b.wav": wav(), "c.wav": wav()})
    publish({"data/train-0000.tar": whole[: len(whole) // 2], "data/train-0001.tar": tar({"d.wav": wav()})})
    found, (reject,) = fetched_files()
    assert [path.name for path in found] == ["a.wav", "d.wav"]
    assert reject.id == "train-000001"
    assert "data/train-0000.tar of tester/calls is damaged from here on" in reject.reason


def test_parquet_that_is_damaged_is_rejected_and_the_others_are_read(hub: HubServer) -> None:
    good = parquet({"id": ["a"], "audio": [struct(wav())]})
    publish({"data/train-0.parquet": b"PAR1" + b"x" * 40 + b"PAR1", "data/train-1.parquet": good})
    (path,), rejects = fetched_files()
    assert (path.name, len(rejects)) == ("a.wav", 1)


def test_row_whose_text_is_not_utf8_is_rejected_and_the_others_are_read(hub: HubServer) -> None:
    offsets = pa.py_buffer(np.array([0, 1, 2], "<i4"))
    ids = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xffb")])
    file = io.BytesIO()
    pq.write_table(pa.table({"id": ids, "audio": pa.array([struct(wav()), struct(wav(2.0))])}), file)
    publish({"data/train-0.parquet": file.getvalue()})
    (path,), (reject,) = fetched_files()
    assert (path.name, reject.id, reject.reason[:20]) == ("b.wav", "train-000000", "its id can't be read")


def test_neither_audio_nor_tables_is_refused(hub: HubServer) -> None:
    publish({"README.md": b"nothing here"})
    with pytest.raises(DailytalkError, match="holds no audio files, no Parquet and no WebDataset shards"):
        fetch(repository())


# What the Hub, the network and the disk refuse


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
    with pytest.raises(DailytalkError) as told:
        repository()
    assert "HF_TOKEN" in str(told.value)
    assert "hf_unknown" not in str(told.value)


@pytest.mark.usefixtures("impatient")
def test_network_that_goes_is_told(hub: HubServer) -> None:
    publish({"a.wav": wav()})
    found = repository()
    hub.stop()
    for ask in (repository, lambda: fetch(found)):
        with pytest.raises(DailytalkError, match=r"the connection to 127\.0\.0\.1:\d+ failed"):
            ask()


def held(sound: bytes, name: str) -> bytes:
    """A file that holds a recording, by its name."""
    if name.endswith(".parquet"):
        return parquet({"id": ["a"], "audio": [struct(sound)]})
    return tar({"a.wav": sound}) if name.endswith(".tar") else sound


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["a.wav", "data/train-0.parquet", "data/train-0.tar"])
def test_recording_whose_transfer_broke_off_once_comes_whole(hub: HubServer, name: str) -> None:
    sound = wav(3.0)
    publish({name: held(sound, name)})
    cut = hub.faults.arm("cut", method="GET", path=f"/resolve/.*{Path(name).name}")
    (path,), _ = fetched_files()
    assert (cut.struck, path.read_bytes() == sound) == (1, True)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("a.wav", "cut", marks=pytest.mark.nightly),
        ("data/train-0.parquet", "500"),
        ("data/train-0.tar", "die_before"),
    ],
)
def test_transfer_that_never_succeeds_is_told(hub: HubServer, name: str, kind: str) -> None:
    publish({name: held(wav(3.0), name)})
    found = repository()
    hub.faults.arm(kind, times=math.inf, method="GET", path=f"/resolve/.*{Path(name).name}")
    with pytest.raises(DailytalkError, match=r"127\.0\.0\.1:\d+ (can't be reached|failed)|the connection to 127"):
        fetch(found)
    hub.faults.clear()
    assert len(fetched_files()[0]) == 1


# Pure parts


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_different_ids_are_different_names_that_stay_in_their_folder(first: str, second: str) -> None:
    try:
        one, other = table_file_name(first), table_file_name(second)
    except BadInput:
        return
    assert (one == other) == (first == second)
    root = Path("/cache/calls")
    assert Path(os.path.normpath(root / one)).is_relative_to(root)
    assert not any(part.startswith(".") for part in one.split("/"))
    one.encode()


@pytest.mark.parametrize("name", ["", "a//b", "/a", "a/"])
def test_id_that_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="choose another --id-column"):
        table_file_name(name)


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (b"RIFF....WAVE", ".wav"),
        (b"RF64....WAVE", ".wav"),
        (b"fLaC", ".flac"),
        (b"OggS" + bytes(24) + b"OpusHead", ".opus"),
        (b"OggS" + bytes(24) + b"\x01vorbis", ".ogg"),
        (b"ID3\x03", ".mp3"),
        (b"\xff\xfb\x90", ".mp3"),
        (b"\xff\xf3\x90", ".mp3"),
        (b"\xff\xf2\x90", ".mp3"),
        (b"\xff\xfa\x90", ".mp3"),
        (b"FORM....AIFF", ".aiff"),
        (b"caff", ".caf"),
        (b"\0\0\0\x20ftypM4A ", ".m4a"),
        (b".snd", ".au"),
        (b"\x1aE\xdf\xa3", ".mka"),
    ],
)
def test_audio_in_a_column_is_named_by_what_it_begins_with(data: bytes, suffix: str) -> None:
    assert suffix_of(data) == suffix
