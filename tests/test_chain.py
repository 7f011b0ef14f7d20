"""The stages as a chain of `stage.map(dataset)`, typed by hand: what it makes is what `dailytalk build` makes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from audio_files import ROOT, tones, wav_bytes
from command import EMBEDDED, Command, start
from datasets import Audio, Dataset, Features, Value, load_dataset
from hub.server import HubServer
from huggingface_hub import HfApi
from own_stages import miscounts, own_file
from recordings import excerpt, save

from dailytalk_contiguous import Folder, MeasureProsody, Stage, StereoAudio, add_speech, load
from dailytalk_contiguous.core.records.schema import BUILT, PROBLEM
from dailytalk_contiguous.shards import read_rows

pytest_plugins = ["hub.hub_fixtures"]


def page_example() -> str:
    """The chain of docs/loading.md, to be run."""
    page = (ROOT / "docs/loading.md").read_text(encoding="utf-8")
    _, _, section = page.partition("\n## As a library\n")
    _, _, example = section.partition("```python\n")
    return example.partition("```")[0]


def stages_of(example: str) -> list[Any]:
    names: dict[str, Any] = {}
    exec(example.partition("dataset =")[0], names)
    return list(names["chain"])


CHAIN = stages_of(page_example())


def opened(folder: Path, streaming: bool) -> Any:
    """The conversations of a folder, eager or streaming."""
    builder = Folder(inputs=(str(folder),))
    if streaming:
        return builder.as_streaming_dataset("train")
    builder.download_and_prepare()
    return builder.as_dataset("train")


def undecoded(dataset: Any) -> Any:
    """The dataset, whose sound can be read without torchcodec."""
    return dataset.cast_column("audio", Audio(decode=False))


def told(rows: Any) -> dict[str, str]:
    """What is published of rows, by conversation, as text, in which NaN equals itself; not how they came about."""
    columns = [name for name in BUILT if name != "provenance"]
    texts = {}
    for row in rows:
        published = {name: row[name] for name in columns}
        texts[row["conversation_id"]] = repr(published)
    return texts


@pytest.mark.needs("espeakng_loader")
def test_chain_typed_by_hand_publishes_the_rows_of_build(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    save(tmp_path / "in/weekend.wav", excerpt())
    save(tmp_path / "in/sub/dinner.flac", excerpt("burnt_dinner", 3.21))
    done = dailytalk("build", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED)
    assert done.code == 0, done.err
    shards = sorted((tmp_path / "out/dataset").glob("shard-*.parquet"))
    built = [row for path in shards for row in read_rows(path, list(BUILT)).values()]
    assert len(built) == 2
    code = page_example().replace('"calls"', repr(str(tmp_path / "in")))
    exec(code.replace("OWNER/NAME", "tester/streamed"))
    dataset = opened(tmp_path / "in", streaming=False)
    for stage in CHAIN:
        dataset = stage.map(dataset)
    dataset.push_to_hub("tester/eager")
    for name in ("tester/streamed", "tester/eager"):
        assert_published_as_built(name, told(built))
    finished = load_dataset("parquet", data_dir=str(tmp_path / "out/dataset"), split="train")
    assert finished.features == BUILT
    assert told(undecoded(finished)) == told(built)


def assert_published_as_built(name: str, built: dict[str, str]) -> None:
    """A plain `push_to_hub` shows a player of the sound, and `load_dataset` and `load` open it."""
    published = load_dataset(name, split="train")
    assert isinstance(published.features["audio"], Audio)
    assert published.features == BUILT | PROBLEM
    assert set(published["problem"]) == {None}
    assert told(undecoded(published)) == built
    streamed = load_dataset(name, split="train", streaming=True)
    assert told(streamed.decode(False)) == built
    for streaming in (False, True):
        talks = load(name, split="train", streaming=streaming)
        channels = {talk["conversation_id"]: talk["audio"].channels for talk in talks}
        assert channels == dict.fromkeys(built, 2)


#: The ways to run `dailytalk build` over a folder or, as a stream, over a dataset on the Hub; that of one worker
#: is above. A stage of a person's own file runs in their processes.
WAYS = {
    "two workers": ("--workers", "2"),
    "stream": ("--streaming",),
}

NAMES = {"weekend.wav": ("weekend_trip", 0.0, 6.0), "dinner.wav": ("burnt_dinner", 3.21, 5.0)}


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Recordings, and the rows that the chain makes of them."""
    folder = tmp_path_factory.mktemp("chained") / "in"
    for name, part in NAMES.items():
        save(folder / name, excerpt(*part))
    dataset = opened(folder, streaming=False)
    for stage in CHAIN:
        dataset = stage.map(dataset)
    return folder, told(undecoded(dataset))


@pytest.mark.needs("espeakng_loader")
@pytest.mark.nightly
@pytest.mark.parametrize("way", ["two workers", "stream"])
def test_rows_are_those_of_the_chain_by_every_engine(
    way: str,
    chained: tuple[Path, dict[str, str]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, rows = chained
    source: Path | str = folder
    if way == "stream":
        request.getfixturevalue("hub")
        HfApi().create_repo("tester/calls", repo_type="dataset")
        HfApi().upload_folder(repo_id="tester/calls", folder_path=folder, repo_type="dataset")
        source = "tester/calls"
    command = ["build", source, "--out", tmp_path / "out", *EMBEDDED, *WAYS[way]]
    command += ["--stage", own_file(tmp_path, monkeypatch)]
    command += [] if way == "stream" else ["--shard-minutes", "0.1"]
    # Ray in this process would spoil what other tests do with theirs.
    process = start(*command)
    _, err = process.communicate()
    assert process.returncode == 0, err
    shards = sorted((tmp_path / "out/dataset").glob("shard-*.parquet"))
    built = [row for path in shards for row in read_rows(path, list(BUILT)).values()]
    counts = [utterance.pop("n_words", None) for row in built for utterance in row["utterances"]]
    assert told(built) == rows
    assert all(isinstance(count, int) for count in counts)
    differences = miscounts(tmp_path / "out", letters=4)
    assert len(differences) == 2
    assert not any(map(any, differences))
    shifted = (tmp_path / "out/transcript_shifted.jsonl").read_text(encoding="utf-8")
    counts_of_lines = [json.loads(line)["n_words"] for line in shifted.splitlines()]
    assert counts_of_lines == counts


@pytest.mark.needs("espeakng_loader")
@pytest.mark.parametrize("streaming", [False, True])
def test_recordings_that_a_chain_can_not_use_stay_as_rows_with_their_problem(
    tmp_path: Path, hub: HubServer, streaming: bool
) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    save(tmp_path / "in/silent.wav", 0 * excerpt(seconds=2.0))
    left = excerpt(seconds=4.0)[:, :1]
    save(tmp_path / "in/same.wav", np.repeat(left, 2, axis=1))
    (tmp_path / "in/broken.wav").write_bytes(b"RIFF")
    dataset = opened(tmp_path / "in", streaming)
    for stage in CHAIN:
        dataset = stage.map(dataset)
    dataset.push_to_hub("tester/some")
    published = undecoded(load_dataset("tester/some", split="train"))
    rows = {row["conversation_id"]: row for row in published}
    assert rows.pop("call")["problem"] is None
    assert set(rows) == {"mono", "silent", "same", "broken"}
    assert rows["mono"]["problem"].startswith("it has one channel")
    assert "carry the same sound" in rows["same"]["problem"]
    assert rows["same"]["problem_stage"] == "Segment"
    for row in rows.values():
        assert row["problem"]
        assert row["remedy"]
        assert row["audio"] is None
    usable = dataset.filter(lambda problem: problem is None, input_columns="problem")
    names = [row["conversation_id"] for row in usable.select_columns("conversation_id")]
    assert names == ["call"]


@pytest.mark.needs("espeakng_loader")
@pytest.mark.parametrize("streaming", [False, True])
def test_rows_of_a_chain_can_be_looked_at_and_heard_without_torchcodec(tmp_path: Path, streaming: bool) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    dataset = opened(tmp_path / "in", streaming)
    for stage in CHAIN:
        dataset = stage.map(dataset)
    heard = {row["conversation_id"]: row["audio"] for row in dataset}
    assert heard.pop("mono") is None
    call = heard["call"]
    n_samples = round(24000 * call.seconds)
    assert call["array"].shape == (n_samples, 2)
    usable = dataset.filter(lambda row: row["problem"] is None)
    counted = usable.map(lambda row: {"n": len(row["utterances"])})
    contents = [StereoAudio(row["audio"])["bytes"] for row in counted]
    assert contents == [call["bytes"]]


@dataclass(frozen=True)
class Weigh(Stage):
    """How many bytes the sound of a row has."""

    needs: ClassVar[tuple[str, ...]] = ("audio",)
    adds: ClassVar[Features] = Features({"weight": Value("int32")})

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"weight": len(row["audio"]["bytes"])}


@pytest.mark.parametrize("streaming", [False, True])
def test_stage_is_given_audio_undecoded_and_leaves_its_column_as_it_was(hub: HubServer, streaming: bool) -> None:
    features = Features({"audio": Audio(sampling_rate=16000), "n": Value("int32")})
    sound = {"bytes": wav_bytes(tones(0.5)), "path": "a.wav"}
    rows = [{"audio": sound, "n": n} for n in (1, 2)]
    table = pa.Table.from_pylist(rows, schema=features.arrow_schema)
    Dataset(table).push_to_hub("tester/sounds")
    dataset = load_dataset("tester/sounds", split="train", streaming=streaming)
    weighed_once = Weigh().map(dataset)
    weighed_twice = Weigh().map(weighed_once)
    expected = [row | {"weight": len(sound["bytes"])} for row in rows]
    for weighed in (weighed_once, weighed_twice):
        assert weighed.features == features | Weigh.adds
        mapped = list(weighed if streaming else undecoded(weighed))
        assert mapped == expected
    heard = MeasureProsody().map(add_speech(dataset))
    assert [row["n"] for row in heard if row["rms"] > 0] == [1, 2]
