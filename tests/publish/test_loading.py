"""Loading a published dataset: both channels to the sample, one version, checked files, and streams that go on."""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from built_conversations import LINES, built_row, flac, stereo, write_dataset
from datasets import Audio, Dataset, IterableDataset, config
from hub.server import HubServer
from huggingface_hub import HfApi, hf_hub_download
from publish.published_folder import NAME, SIZES, upload, write_published
from torch.utils.data import DataLoader

from dailytalk_contiguous import DailytalkError, StereoAudio, load
from dailytalk_contiguous.core.schema import BUILT
from dailytalk_contiguous.publish.version import file_differences, open_version

pytest_plugins = ["hub.hub_fixtures"]

PCM = stereo(LINES, 6.0, 24000)
TRAIN = [f"train{n}" for n in range(SIZES["train"])]


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


def audio(encoded: bytes | None = None) -> StereoAudio:
    return StereoAudio({"bytes": flac(PCM, 24000) if encoded is None else encoded, "path": "call.flac"})


def test_stereo_is_samples_by_two_and_exact() -> None:
    samples = audio()["array"]
    assert (samples.dtype, samples.shape) == (np.float32, (144000, 2))
    np.testing.assert_array_equal(as_pcm(samples), PCM)


def test_audio_reads_like_the_dict_that_datasets_gave() -> None:
    one = audio()
    assert (one["sampling_rate"], one["path"], one.seconds) == (24000, "call.flac", 6.0)
    assert "array" in one
    assert one.get("array").shape == (144000, 2)
    assert one.get("text") is None
    with pytest.raises(KeyError, match="text"):
        one["text"]
    assert pickle.loads(pickle.dumps(one)).seconds == 6.0


def test_range_is_that_part_of_the_whole() -> None:
    one = audio()
    np.testing.assert_array_equal(as_pcm(one.read(1.25, 2.5)), PCM[30000:60000])
    np.testing.assert_array_equal(as_pcm(one.read(5.5)), PCM[132000:])
    assert one.read(6.0, 6.0).shape == (0, 2)


def test_only_the_range_is_decoded() -> None:
    encoded = bytearray(flac(PCM, 24000))
    encoded[len(encoded) // 2 :] = bytes(len(encoded) - len(encoded) // 2)
    one = audio(bytes(encoded))
    np.testing.assert_array_equal(as_pcm(one.read(0.5, 1.0)), PCM[12000:24000])
    with pytest.raises(DailytalkError, match="be decoded"):
        one["array"]


@pytest.mark.parametrize(("start", "end"), [(-0.1, 1.0), (2.0, 1.0), (0.0, 6.1), (7.0, None), (float("nan"), 1.0)])
def test_range_outside_the_audio_is_refused(start: float, end: float | None) -> None:
    with pytest.raises(DailytalkError, match=r"no part of 6\.000 s"):
        audio().read(start, end)


def test_folder_is_loaded_by_its_path_or_name_and_has_no_revision(folder: Path) -> None:
    assert ids(load(str(folder), split="train")) == ids(load(folder, split="train")) == TRAIN
    with pytest.raises(DailytalkError, match=r"the folder .* has no revision 'v1.0.0': leave revision out"):
        load(folder, revision="v1.0.0")
    with pytest.raises(DailytalkError, match="there is no folder"):
        load(folder / "none")


def test_mono_has_one_dimension() -> None:
    mono = audio(flac(PCM[:, 0], 24000))
    np.testing.assert_array_equal(as_pcm(mono.read(0.0, 1.0)), PCM[:24000, 0])


def test_part_of_a_compressed_recording_is_that_of_the_whole() -> None:
    file = io.BytesIO()
    soundfile.write(file, PCM[: 3 * 24000], 24000, format="MP3")
    one = audio(file.getvalue())
    whole = one.read()
    assert whole.shape == (72000, 2)
    np.testing.assert_allclose(one.read(1.0, 2.0), whole[24000:48000], atol=1e-6)
    assert one.read(1.0, 1.0).shape == (0, 2)


def test_eager_rows_have_the_samples_that_were_published(published: str) -> None:
    data = load(published, split="train", revision="v1.0.0")
    assert ids(data) == TRAIN
    for row in data:
        np.testing.assert_array_equal(as_pcm(row["audio"]["array"]), PCM)
        assert row["audio_sha256"] == hashlib.sha256(row["audio"]["bytes"]).hexdigest()
    assert {split: len(own) for split, own in load(published).items()} == SIZES


def test_streamed_rows_equal_the_eager_ones(published: str) -> None:
    eager, streamed = (load(published, split="train", streaming=on) for on in (False, True))
    for one, other in zip(eager, streamed, strict=True):
        assert dict(one.pop("audio")) == dict(other.pop("audio"))
        assert one == other


def test_utterances_are_mono(published: str) -> None:
    row = load(published, "utterances", split="train")[0]
    np.testing.assert_array_equal(as_pcm(row["audio"]["array"]), np.arange(4800))


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
        assert len(list(load(NAME, split="train", streaming=True, columns=columns))) == SIZES["train"]
        return sum(one.bytes_sent for one in hub.requests)

    assert sent(["conversation_id", "duration"]) < 0.3 * sent(None)
    assert set(load(NAME, split="train", columns=["conversation_id"])[0]) == {"conversation_id"}


def test_map_filter_select_and_shuffle_keep_the_audio(published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ)  # datasets replaces it by a copy, which rich never looks at
    data = load(published, split="train")
    longer = data.filter(lambda row: row["audio"].seconds > 5).map(lambda row: {"n": len(row["audio"]["array"])})
    assert set(longer["n"]) == {144000}
    both = longer.map(lambda row: {"audio": row["audio"], "twice": row["n"] * 2}, num_proc=2)
    np.testing.assert_array_equal(as_pcm(both.shuffle(seed=1).select([0])[0]["audio"]["array"]), PCM)
    again = data.map(lambda row: {"n": 1})
    assert isinstance(data.map(lambda row: {"n": 1})[0]["audio"], StereoAudio)  # from the cache of `again`
    assert again[0]["n"] == 1


def test_stream_can_be_mapped_filtered_and_shuffled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # for a fault that Arrow had before 25
    data = load(folder, split="train", streaming=True)
    changed = data.filter(lambda row: row["audio"].seconds > 5).map(lambda row: {"n": len(row["audio"]["array"])})
    rows = list(changed.shuffle(seed=0, buffer_size=3))
    assert sorted(ids(rows)) == TRAIN
    assert {row["n"] for row in rows} == {144000}
    assert isinstance(rows[0]["audio"], StereoAudio)
    assert all("audio" not in row for row in data.remove_columns(["audio"]))


def test_formats_and_transforms_see_the_audio_and_leave_the_rest(published: str) -> None:
    data = load(published, split="train")
    row = data.with_format("torch")[0]
    np.testing.assert_array_equal(as_pcm(row["audio"].numpy()), PCM)
    assert row["conversation_id"] == "train0"
    changed = data.with_transform(lambda batch: batch | {"n": [len(one["array"]) for one in batch["audio"]]})
    assert (changed[0]["n"], changed[0]["duration"]) == (144000, 6.0)


@pytest.mark.parametrize("streaming", [False, True])
def test_workers_of_a_data_loader_read_every_row_once(published: str, streaming: bool) -> None:
    data = load(published, split="train", streaming=streaming)
    batches = list(DataLoader(data, batch_size=2, num_workers=2, collate_fn=list))
    assert sorted(ids(row for batch in batches for row in batch)) == TRAIN
    assert all(row["audio"].read(1.0, 2.0).shape == (24000, 2) for batch in batches for row in batch)


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


def test_state_that_would_not_hold_is_refused(published: str) -> None:
    with pytest.raises(DailytalkError, match="main branch moves"):
        load(published, split="train", streaming=True, state={})


@pytest.mark.parametrize("streaming", [False, True])
def test_files_that_are_the_manifests_pass(published: str, streaming: bool) -> None:
    assert ids(load(published, split="train", streaming=streaming, verify=True)) == TRAIN


@pytest.mark.parametrize("streaming", [False, True])
def test_files_of_an_older_and_private_version_are_checked_with_the_token_that_is_given(
    published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    upload(write_published(tmp_path, mark="new-"))
    HfApi().update_repo_settings(NAME, repo_type="dataset", private=True)
    monkeypatch.delenv("HF_TOKEN")
    options = {"split": "test", "revision": "v1.0.0", "streaming": streaming, "verify": True}
    assert ids(load(published, token=HubServer.write_token, **options)) == ["test0", "test1"]
    with pytest.raises(DailytalkError, match=NAME):
        load(published, **options)


def test_damaged_download_is_found(published: str) -> None:
    name = "conversations/train-00001-of-00003.parquet"
    path = Path(hf_hub_download(published, name, repo_type="dataset", revision="v1.0.0")).resolve()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DailytalkError, match=name):
        load(published, split="train", revision="v1.0.0", verify=True)


@pytest.mark.parametrize(("streaming", "what"), [(False, "changed"), (True, "added"), (True, "gone")])
def test_files_that_are_not_the_manifests_are_named(
    published: str, folder: Path, streaming: bool, what: str
) -> None:
    api = HfApi()
    name = "conversations/test-00000-of-00001.parquet"
    other = folder / "conversations" / "train-00000-of-00003.parquet"
    if what == "gone":
        api.delete_file(name, NAME, repo_type="dataset")
    else:
        name = name if what == "changed" else "conversations/extra-00000-of-00001.parquet"
        api.upload_file(path_or_fileobj=other, path_in_repo=name, repo_id=NAME, repo_type="dataset")
    with pytest.raises(DailytalkError, match=name):
        load(published, split="train", streaming=streaming, verify=True)


def test_missing_manifest_is_named(published: str) -> None:
    HfApi().delete_file("manifest.json", NAME, repo_type="dataset")
    with pytest.raises(DailytalkError, match=r"has no manifest\.json"):
        load(published, split="train", streaming=True, verify=True)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"config": "other"}, "no config 'other'"),
        ({"split": "dev"}, "dev"),
        ({"split": "dev", "streaming": True}, "dev"),
        ({"columns": ["conversation_id", "nothing"]}, "nothing"),
        ({"revision": "v9.9.9"}, "no such version"),
    ],
)
def test_names_that_are_not_there_are_told_in_a_sentence(published: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises((DailytalkError, ValueError), match=told):
        load(published, **given)


def test_missing_dataset_is_told_in_a_sentence(hub: HubServer) -> None:
    with pytest.raises(DailytalkError, match="no dataset tester/nothing"):
        load("tester/nothing")
    with pytest.raises(DailytalkError, match="no name of a dataset"):
        load("nothing")


def test_documented_ways_to_load_work_and_give_both_channels(published: str) -> None:
    blocks = []
    for page in ("README.md", "docs/loading.md"):
        text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
        section = text.partition("## Load it\n")[2].partition("\n## ")[0]
        blocks += re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    readme, ours, windows, plain = ({} for _ in range(4))
    for code, names in zip(blocks, (readme, ours, windows, plain), strict=True):
        exec(code.replace("OWNER/NAME", published), names)
    np.testing.assert_array_equal(as_pcm(ours["samples"]), PCM)
    np.testing.assert_array_equal(as_pcm(ours["opening"]), PCM[:60000])
    assert set(next(iter(ours["texts"]))) == {"conversation_id", "utterances"}
    assert windows["audio"].shape[1:] == (2, 720000)
    assert set(windows["lengths"].tolist()) == {144000}
    np.testing.assert_array_equal(as_pcm(plain["samples"]), PCM)
    np.testing.assert_array_equal(as_pcm(plain["streamed"][0]), PCM)


@pytest.mark.parametrize("part", ["", "dataset"])
def test_work_folder_loads_as_train(tmp_path: Path, part: str) -> None:
    work = write_dataset(tmp_path / "wo[r]k", [built_row("a")], [built_row("b")])
    data = load(str(work / part), split="train")
    assert ids(data) == ["a", "b"]
    np.testing.assert_array_equal(as_pcm(data[1]["audio"]["array"]), PCM)
    with pytest.raises(DailytalkError, match="no config 'utterances'"):
        load(work, "utterances")
    with pytest.raises(DailytalkError, match="no revision"):
        load(work, revision="v1.0.0")


def test_wav_that_is_cut_short_is_not_taken_for_a_shorter_one() -> None:
    file = io.BytesIO()
    soundfile.write(file, PCM, 24000, format="WAV", subtype="PCM_16")
    assert audio(file.getvalue()).seconds == 6.0
    with pytest.raises(DailytalkError, match="the file is cut short: it holds 572000 of the 576000 bytes"):
        audio(file.getvalue()[:-4000]).read(0.0, 1.0)


@pytest.mark.parametrize(
    ("start", "end", "samples"), [(0.0, None, 144000), (6.0, 6.0, 0), (2.0, 6.00002, 96000), (0.0, 0.0, 0)]
)
def test_range_reaches_to_the_last_sample_and_may_be_empty(start: float, end: float | None, samples: int) -> None:
    assert audio().read(start, end).shape == (samples, 2)


@pytest.mark.parametrize("files", [None, {}, {"conversations/test-00000-of-00001.parquet": 7}])
def test_manifest_without_files_can_not_be_checked_against(folder: Path, tmp_path: Path, files: Any) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "manifest.json").write_text(json.dumps({"layout": 1} | ({"files": files} if files else {})))
    with pytest.raises(DailytalkError, match=r"names no files|manifest\.json"):
        load(copy, split="train", verify=True)


def test_every_difference_from_the_manifest_is_told_by_name_and_config(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    changed = "conversations/train-00001-of-00003.parquet"
    gone = "conversations/validation-00000-of-00001.parquet"
    extra = "conversations/new-00000-of-00001.parquet"
    other = "utterances/train-00000-of-00001.parquet"
    shutil.copy(copy / "conversations/train-00000-of-00003.parquet", copy / extra)
    (copy / gone).unlink()
    told = json.loads((copy / "manifest.json").read_text())["files"]
    for name in (changed, other):
        (copy / name).write_bytes((copy / name).read_bytes() + b"?")
    now = {name: hashlib.sha256((copy / name).read_bytes()).hexdigest() for name in (changed, other)}
    wrong = {name: f"its SHA-256 is {now[name]}, not {told[name]['sha256']}" for name in now}
    wrong |= {gone: "the file is missing", extra: "it names no such file"}
    version = open_version(copy)
    assert list(file_differences(version)) == sorted(wrong.items())
    assert list(file_differences(version, "utterances")) == [(other, wrong[other])]


@pytest.mark.parametrize("streaming", [False, True])
def test_plain_push_of_finished_conversations_is_loaded(hub: HubServer, streaming: bool) -> None:
    rows = [built_row("call"), built_row("talk")]
    Dataset(pa.Table.from_pylist(rows, schema=BUILT.arrow_schema)).push_to_hub("tester/plain", split="train")
    talks = load("tester/plain", split="train", streaming=streaming)
    assert ids(talks) == ["call", "talk"]
    np.testing.assert_array_equal(as_pcm(next(iter(talks))["audio"]["array"]), PCM)
    with pytest.raises(DailytalkError, match="load it without checking"):
        load("tester/plain", split="train", streaming=streaming, verify=True)


def test_default_config_with_other_columns_is_not_taken_for_conversations(hub: HubServer) -> None:
    Dataset.from_list([{"text": "hi"}]).push_to_hub("tester/text", split="train")
    with pytest.raises(DailytalkError, match="no config 'conversations': choose one of default"):
        load("tester/text", split="train")
