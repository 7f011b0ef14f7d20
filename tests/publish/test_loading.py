"""Loading a published dataset: both channels to the sample, one version, checked files, and streams that go on."""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from built_conversations import LINES, built_row, flac, stereo, write_dataset
from datasets import Audio, Dataset, IterableDataset, config, load_dataset
from hub.server import HubServer
from huggingface_hub import HfApi, hf_hub_download
from published_folder import NAME, SIZES, upload, write_published
from torch.utils.data import DataLoader

from dailytalk_contiguous import DailytalkError, StereoAudio, load
from dailytalk_contiguous.core.records.schema import BUILT
from dailytalk_contiguous.publish.version import file_differences, open_version

pytest_plugins = ["hub.hub_fixtures"]

PCM = stereo(LINES, 6.0, 24000)
TRAIN = [f"train{n}" for n in range(SIZES["train"])]


#: A load in a process whose disk takes no file of more than a number of bytes.
FULL_CACHE = """
import resource
from dailytalk_contiguous import load
resource.setrlimit(resource.RLIMIT_FSIZE, ({1}, {1}))
load("{0}", split="train", revision="v1.0.0")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("published"))


@pytest.fixture
def published(hub: HubServer, folder: Path) -> str:
    upload(folder, "v1.0.0")
    return NAME


def ids(rows: Any) -> list[str]:
    return [row["conversation_id"] for row in rows]


def as_pcm(samples: Any) -> Any:
    return samples * 32768


def assert_samples(samples: Any, expected: Any) -> None:
    np.testing.assert_array_equal(as_pcm(samples), expected)


def audio(encoded: bytes | None = None) -> StereoAudio:
    data = flac(PCM, 24000) if encoded is None else encoded
    return StereoAudio({"bytes": data, "path": "call.flac"})


def test_stereo_is_samples_by_two_and_exact() -> None:
    samples = audio()["array"]
    assert samples.dtype == np.float32
    assert samples.shape == (144000, 2)
    assert_samples(samples, PCM)


def test_audio_reads_like_the_dict_that_datasets_gave() -> None:
    call = audio()
    assert call["sampling_rate"] == 24000
    assert call["path"] == "call.flac"
    assert call.seconds == 6.0
    assert "array" in call
    assert call.get("array").shape == (144000, 2)
    assert call.get("text") is None
    with pytest.raises(KeyError, match="text"):
        call["text"]
    assert pickle.loads(pickle.dumps(call)).seconds == 6.0


def test_range_is_that_part_of_the_whole() -> None:
    call = audio()
    assert_samples(call.read(1.25, 2.5), PCM[30000:60000])
    assert_samples(call.read(5.5), PCM[132000:])
    assert call.read(6.0, 6.0).shape == (0, 2)


def test_only_the_range_is_decoded() -> None:
    encoded = bytearray(flac(PCM, 24000))
    half = len(encoded) // 2
    encoded[half:] = bytes(len(encoded) - half)
    call = audio(bytes(encoded))
    assert_samples(call.read(0.5, 1.0), PCM[12000:24000])
    with pytest.raises(DailytalkError, match="be decoded"):
        call["array"]


@pytest.mark.parametrize(("start", "end"), [(-0.1, 1.0), (2.0, 1.0), (0.0, 6.1), (7.0, None), (float("nan"), 1.0)])
def test_range_outside_the_audio_is_refused(start: float, end: float | None) -> None:
    with pytest.raises(DailytalkError, match=r"not a part of 6\.000 s"):
        audio().read(start, end)


def test_folder_is_loaded_by_its_path_or_name_and_has_no_revision(folder: Path) -> None:
    assert ids(load(str(folder), split="train")) == TRAIN
    assert ids(load(folder, split="train")) == TRAIN
    with pytest.raises(DailytalkError, match=r"the folder .* has no revision 'v1.0.0': leave revision out"):
        load(folder, revision="v1.0.0")
    with pytest.raises(DailytalkError, match="there is no folder"):
        load(folder / "none")


def test_mono_has_one_dimension() -> None:
    mono = audio(flac(PCM[:, 0], 24000))
    assert_samples(mono.read(0.0, 1.0), PCM[:24000, 0])


def test_part_of_a_compressed_recording_is_that_of_the_whole() -> None:
    file = io.BytesIO()
    soundfile.write(file, PCM[: 3 * 24000], 24000, format="MP3")
    recording = audio(file.getvalue())
    whole = recording.read()
    assert whole.shape == (72000, 2)
    part = recording.read(1.0, 2.0)
    np.testing.assert_allclose(part, whole[24000:48000], atol=1e-6)
    assert recording.read(1.0, 1.0).shape == (0, 2)


def test_eager_rows_have_the_samples_that_were_published(published: str) -> None:
    data = load(published, split="train", revision="v1.0.0")
    assert ids(data) == TRAIN
    for row in data:
        assert_samples(row["audio"]["array"], PCM)
        digest = hashlib.sha256(row["audio"]["bytes"]).hexdigest()
        assert row["audio_sha256"] == digest
    splits = load(published)
    sizes = {split: len(part) for split, part in splits.items()}
    assert sizes == SIZES


def test_streamed_rows_equal_the_eager_ones(published: str) -> None:
    eager = load(published, split="train", streaming=False)
    streamed = load(published, split="train", streaming=True)
    for row, streamed_row in zip(eager, streamed, strict=True):
        sound = row.pop("audio")
        streamed_sound = streamed_row.pop("audio")
        assert dict(sound) == dict(streamed_sound)
        assert row == streamed_row


def test_utterances_are_mono(published: str) -> None:
    row = load(published, "utterances", split="train")[0]
    assert_samples(row["audio"]["array"], np.arange(4800))


def test_reference_may_hold_the_revision(published: str, tmp_path: Path) -> None:
    upload(write_published(tmp_path / "second", mark="new-"), "v2.0.0")
    assert ids(load(f"{published}@v1.0.0", split="train")) == TRAIN
    newest = load(f"hf://datasets/{published}@v2.0.0", split="train", streaming=True)
    assert ids(newest)[0] == "new-train0"
    with pytest.raises(DailytalkError, match="give one of them"):
        load(f"{published}@v1.0.0", revision="v2.0.0")


@pytest.mark.parametrize("streaming", [False, True])
def test_main_is_one_commit_from_the_first_row_to_the_last(
    published: str, tmp_path: Path, streaming: bool
) -> None:
    data = load(published, split="train", streaming=streaming)
    rows = iter(data)
    assert next(rows)["conversation_id"] == "train0"
    upload(write_published(tmp_path / "second", mark="new-"))
    assert ids(rows) == TRAIN[1:]


def test_columns_without_audio_read_fewer_bytes(hub: HubServer, tmp_path: Path) -> None:
    upload(write_published(tmp_path / "long", seconds=30.0))

    def sent(columns: list[str] | None) -> int:
        hub.requests.clear()
        stream = load(NAME, split="train", streaming=True, columns=columns)
        assert len(list(stream)) == SIZES["train"]
        return sum(request.bytes_sent for request in hub.requests)

    assert sent(["conversation_id", "duration"]) < 0.3 * sent(None)
    data = load(NAME, split="train", columns=["conversation_id"])
    assert set(data[0]) == {"conversation_id"}


def is_long(row: dict[str, Any]) -> bool:
    return row["audio"].seconds > 5


def with_length(row: dict[str, Any]) -> dict[str, int]:
    return {"n": len(row["audio"]["array"])}


def test_map_filter_select_and_shuffle_keep_the_audio(published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ)  # datasets replaces it by a copy, which rich never looks at
    data = load(published, split="train")
    longer = data.filter(is_long).map(with_length)
    assert set(longer["n"]) == {144000}
    both = longer.map(lambda row: {"audio": row["audio"], "twice": row["n"] * 2}, num_proc=2)
    shuffled = both.shuffle(seed=1).select([0])
    assert_samples(shuffled[0]["audio"]["array"], PCM)
    again = data.map(lambda row: {"n": 1})
    cached = data.map(lambda row: {"n": 1})  # from the cache of `again`
    assert isinstance(cached[0]["audio"], StereoAudio)
    assert again[0]["n"] == 1


def test_stream_can_be_mapped_filtered_and_shuffled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # for a fault that Arrow had before 25
    data = load(folder, split="train", streaming=True)
    changed = data.filter(is_long).map(with_length)
    rows = list(changed.shuffle(seed=0, buffer_size=3))
    assert sorted(ids(rows)) == TRAIN
    assert {row["n"] for row in rows} == {144000}
    assert isinstance(rows[0]["audio"], StereoAudio)
    assert all("audio" not in row for row in data.remove_columns(["audio"]))


def test_formats_and_transforms_see_the_audio_and_leave_the_rest(published: str) -> None:
    def with_lengths(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        lengths = [len(sound["array"]) for sound in batch["audio"]]
        return batch | {"n": lengths}

    data = load(published, split="train")
    row = data.with_format("torch")[0]
    assert_samples(row["audio"].numpy(), PCM)
    assert row["conversation_id"] == "train0"
    changed = data.with_transform(with_lengths)[0]
    assert changed["n"] == 144000
    assert changed["duration"] == 6.0


@pytest.mark.parametrize("streaming", [False, True])
def test_workers_of_a_data_loader_read_every_row_once(published: str, streaming: bool) -> None:
    data = load(published, split="train", streaming=streaming)
    loader = DataLoader(data, batch_size=2, num_workers=2, collate_fn=list)
    batches = list(loader)
    rows = [row for batch in batches for row in batch]
    assert sorted(ids(rows)) == TRAIN
    for row in rows:
        part = row["audio"].read(1.0, 2.0)
        assert part.shape == (24000, 2)


def test_saved_data_can_be_given_to_people_without_this_package(published: str, tmp_path: Path) -> None:
    data = load(published, split="train").cast_column("audio", Audio())
    assert type(data.features["audio"]) is Audio
    data.save_to_disk(tmp_path / "saved")
    assert "StereoAudio" not in (tmp_path / "saved" / "dataset_info.json").read_text()


@pytest.mark.parametrize("read", [0, 3, SIZES["train"]])
def test_stream_goes_on_after_any_row(published: str, read: int) -> None:
    def stream(state: dict[str, Any] | None = None) -> IterableDataset:
        return load(published, split="train", revision="v1.0.0", streaming=True, state=state)

    first = stream()
    rows = iter(first)
    before = [next(rows)["conversation_id"] for _ in range(read)]
    state = json.loads(json.dumps(first.state_dict()))
    assert before + ids(stream(state)) == TRAIN


def read_one(stream: IterableDataset) -> dict[str, Any]:
    """The state of a stream of which one row was read, as a checkpoint would keep it."""
    next(iter(stream))
    file = io.BytesIO()
    torch.save(stream.state_dict(), file)
    file.seek(0)
    return dict(torch.load(file, weights_only=True))


def test_state_holds_on_a_branch_until_it_moves(published: str, tmp_path: Path) -> None:
    state = read_one(load(published, split="train", streaming=True))
    assert ids(load(published, split="train", streaming=True, state=state)) == TRAIN[1:]
    commit = HfApi().dataset_info(published).sha
    upload(write_published(tmp_path / "second", mark="new-"))
    with pytest.raises(DailytalkError, match=rf"the state names '{NAME}@{commit} conversations/train', and not"):
        load(published, split="train", streaming=True, state=state)
    assert ids(load(published, split="train", revision=commit, streaming=True, state=state)) == TRAIN[1:]
    for options in ({}, {"streaming": True}, {"split": "train"}, {"split": "train", "streaming": True}):
        with pytest.raises(DailytalkError, match="a state belongs to a stream of one split"):
            load(published, state={} if len(options) == 2 else state, **options)


def test_state_of_other_rows_is_refused_by_all_that_is_made_of_a_stream(published: str, folder: Path) -> None:
    def stream(split: str = "train", config: str = "conversations") -> IterableDataset:
        return load(published, config, split=split, revision="v1.0.0", streaming=True)

    def with_one(rows: IterableDataset) -> IterableDataset:
        return rows.filter(lambda row: True).map(lambda row: {"one": 1}, batched=False)

    plain = load_dataset(published, split="train", streaming=True).decode(False)
    for other in (stream("test"), stream(config="utterances"), load(folder, split="train", streaming=True), plain):
        with pytest.raises(DailytalkError, match=r"the state names .*, and not 'tester/talks@"):
            load(published, split="train", revision="v1.0.0", streaming=True, state=read_one(other))
        resumed = with_one(stream())
        resumed.load_state_dict(read_one(with_one(other)))
        with pytest.raises(DailytalkError, match=r"the state names .*, and not 'tester/talks@"):
            next(iter(resumed))
    mapped = stream().filter(is_long).map(with_length)
    state = read_one(mapped)
    again = stream().filter(is_long).map(with_length)
    again.load_state_dict(state)
    assert ids(again) == TRAIN[1:]


def test_state_of_a_folder_holds_in_a_copy_and_not_with_other_shards(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    work = write_dataset(tmp_path / "work", [built_row(name) for name in names])
    state = read_one(load(work, split="train", streaming=True))
    copied = shutil.copytree(work, tmp_path / "copied")
    assert ids(load(copied, split="train", streaming=True, state=state)) == names[1:]
    for changed in (["a", "b", "d"], ["a", "b"]):
        other = write_dataset(tmp_path / "other", [built_row(name) for name in changed])
        with pytest.raises(DailytalkError, match=r"the state names 'shards .*and not 'shards "):
            load(other, split="train", streaming=True, state=state)


def test_state_holds_at_a_commit_as_at_its_tag(published: str) -> None:
    commit = HfApi().dataset_info(published, revision="v1.0.0").sha
    first = load(published, split="train", revision="v1.0.0", streaming=True)
    before = next(iter(first))["conversation_id"]
    state = first.state_dict()
    rest = load(published, split="train", revision=commit, streaming=True, state=state)
    assert [before, *ids(rest)] == TRAIN


@pytest.mark.parametrize("streaming", [False, True])
def test_files_that_are_the_manifests_pass(published: str, streaming: bool) -> None:
    data = load(published, split="train", streaming=streaming, verify=True)
    assert ids(data) == TRAIN


@pytest.mark.parametrize("streaming", [False, True])
def test_files_of_an_older_and_private_version_are_checked_with_the_token_that_is_given(
    published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    upload(write_published(tmp_path, mark="new-"))
    HfApi().update_repo_settings(NAME, repo_type="dataset", private=True)
    monkeypatch.delenv("HF_TOKEN")
    options = {"split": "test", "revision": "v1.0.0", "streaming": streaming, "verify": True}
    data = load(published, token=HubServer.write_token, **options)
    assert ids(data) == ["test0", "test1"]
    with pytest.raises(DailytalkError, match=NAME):
        load(published, **options)


def test_damaged_download_is_found(published: str) -> None:
    name = "conversations/train-00001-of-00003.parquet"
    cached = hf_hub_download(published, name, repo_type="dataset", revision="v1.0.0")
    path = Path(cached).resolve()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DailytalkError, match=name):
        load(published, split="train", revision="v1.0.0", verify=True)


@pytest.mark.parametrize(("streaming", "difference"), [(False, "changed"), (True, "added"), (True, "gone")])
def test_files_that_are_not_the_manifests_are_named(
    published: str, folder: Path, streaming: bool, difference: str
) -> None:
    api = HfApi()
    name = "conversations/test-00000-of-00001.parquet"
    if difference == "added":
        name = "conversations/extra-00000-of-00001.parquet"
    if difference == "gone":
        api.delete_file(name, NAME, repo_type="dataset")
    else:
        other = folder / "conversations" / "train-00000-of-00003.parquet"
        api.upload_file(path_or_fileobj=other, path_in_repo=name, repo_id=NAME, repo_type="dataset")
    with pytest.raises(DailytalkError, match=name):
        load(published, split="train", streaming=streaming, verify=True)


@pytest.mark.parametrize(("most_bytes", "cache"), [(100_000, "hub"), (800_000, "datasets")])
def test_full_disk_of_a_cache_is_named(published: str, tmp_path: Path, most_bytes: int, cache: str) -> None:
    program = FULL_CACHE.format(published, most_bytes)
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert process.stdout == ""
    sentence = process.stderr.splitlines()[-1]
    assert f"'{tmp_path / 'hf_home' / cache}'" in sentence
    assert "has no room left (File too large): make room there" in sentence


def test_missing_manifest_is_named(published: str) -> None:
    HfApi().delete_file("manifest.json", NAME, repo_type="dataset")
    with pytest.raises(DailytalkError, match=r"has no manifest\.json"):
        load(published, split="train", streaming=True, verify=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": "other"}, "no config 'other'"),
        ({"split": "dev"}, "dev"),
        ({"split": "dev", "streaming": True}, "dev"),
        ({"columns": ["conversation_id", "nothing"]}, "nothing"),
        ({"columns": ["conversation_id", "nothing"], "streaming": True}, "there is no column 'nothing'"),
        ({"columns": ["nothing"], "streaming": True, "split": "train"}, "there is no column 'nothing'"),
        ({"revision": "v9.9.9"}, "no such version"),
    ],
)
def test_names_that_are_not_there_are_told_in_a_sentence(
    published: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((DailytalkError, ValueError), match=message):
        load(published, **options)


def test_missing_dataset_is_told_in_a_sentence(hub: HubServer) -> None:
    with pytest.raises(DailytalkError, match="no dataset tester/nothing"):
        load("tester/nothing")
    with pytest.raises(DailytalkError, match="not the name of a dataset"):
        load("nothing")


def test_documented_ways_to_load_work_and_give_both_channels(published: str) -> None:
    blocks = []
    for page, title in (("README.md", "## Publish and load a version\n"), ("docs/loading.md", "## Load it\n")):
        path = Path(__file__).parents[2] / page
        text = path.read_text(encoding="utf-8")
        _, _, after_title = text.partition(title)
        section, _, _ = after_title.partition("\n## ")
        blocks += re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    results = []
    for code in blocks:
        names: dict[str, Any] = {}
        exec(code.replace("OWNER/NAME", published), names)
        results.append(names)
    _, ours, windows, plain = results
    assert_samples(ours["samples"], PCM)
    assert_samples(ours["opening"], PCM[:60000])
    assert set(next(iter(ours["texts"]))) == {"conversation_id", "utterances"}
    assert windows["audio"].shape[1:] == (2, 720000)
    assert set(windows["lengths"].tolist()) == {144000}
    assert_samples(plain["samples"], PCM)
    assert_samples(plain["streamed"][0], PCM)


@pytest.mark.parametrize("part", ["", "dataset"])
def test_work_folder_loads_as_train(tmp_path: Path, part: str) -> None:
    work = write_dataset(tmp_path / "wo[r]k", [built_row("a")], [built_row("b")])
    data = load(str(work / part), split="train")
    assert ids(data) == ["a", "b"]
    assert_samples(data[1]["audio"]["array"], PCM)
    with pytest.raises(DailytalkError, match="no config 'utterances'"):
        load(work, "utterances")
    with pytest.raises(DailytalkError, match="no revision"):
        load(work, revision="v1.0.0")


def test_wav_that_is_cut_short_is_not_taken_for_a_shorter_one() -> None:
    file = io.BytesIO()
    soundfile.write(file, PCM, 24000, format="WAV", subtype="PCM_16")
    assert audio(file.getvalue()).seconds == 6.0
    short = audio(file.getvalue()[:-4000])
    with pytest.raises(DailytalkError, match="the file is cut short: it holds 572000 of the 576000 bytes"):
        short.read(0.0, 1.0)


@pytest.mark.parametrize(
    ("start", "end", "samples"), [(0.0, None, 144000), (6.0, 6.0, 0), (2.0, 6.00002, 96000), (0.0, 0.0, 0)]
)
def test_range_reaches_to_the_last_sample_and_may_be_empty(start: float, end: float | None, samples: int) -> None:
    assert audio().read(start, end).shape == (samples, 2)


@pytest.mark.parametrize("files", [None, {}, {"conversations/test-00000-of-00001.parquet": 7}])
def test_manifest_without_files_can_not_be_checked_against(folder: Path, tmp_path: Path, files: Any) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    manifest: dict[str, Any] = {"layout": 1}
    if files:
        manifest["files"] = files
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DailytalkError, match=r"names no files|manifest\.json"):
        load(copy, split="train", verify=True)


def test_every_difference_from_the_manifest_is_told_by_name_and_config(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    changed = "conversations/train-00001-of-00003.parquet"
    missing = "conversations/validation-00000-of-00001.parquet"
    extra = "conversations/new-00000-of-00001.parquet"
    other = "utterances/train-00000-of-00001.parquet"
    shutil.copy(copy / "conversations/train-00000-of-00003.parquet", copy / extra)
    (copy / missing).unlink()
    listed = json.loads((copy / "manifest.json").read_text())["files"]
    wrong = {missing: "the file is missing", extra: "it names no such file"}
    for name in (changed, other):
        data = (copy / name).read_bytes() + b"?"
        (copy / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        expected = listed[name]["sha256"]
        wrong[name] = f"its SHA-256 is {digest}, not {expected}"
    version = open_version(copy)
    assert list(file_differences(version)) == sorted(wrong.items())
    (difference,) = file_differences(version, "utterances")
    assert difference == (other, wrong[other])


@pytest.mark.parametrize("streaming", [False, True])
def test_plain_push_of_finished_conversations_is_loaded(hub: HubServer, streaming: bool) -> None:
    rows = [built_row("call"), built_row("talk")]
    table = pa.Table.from_pylist(rows, schema=BUILT.arrow_schema)
    Dataset(table).push_to_hub("tester/plain", split="train")
    talks = load("tester/plain", split="train", streaming=streaming)
    assert ids(talks) == ["call", "talk"]
    first = next(iter(talks))
    assert_samples(first["audio"]["array"], PCM)
    with pytest.raises(DailytalkError, match="load it without checking"):
        load("tester/plain", split="train", streaming=streaming, verify=True)


def test_default_config_with_other_columns_is_not_taken_for_conversations(hub: HubServer) -> None:
    texts = Dataset.from_list([{"text": "hi"}])
    texts.push_to_hub("tester/text", split="train")
    with pytest.raises(DailytalkError, match="no config 'conversations': choose one of default"):
        load("tester/text", split="train")
