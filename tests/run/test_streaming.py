import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audio_files import tones, wav_bytes
from conftest import cache_with_weights
from datasets import Audio, Features, Value
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, HfApi
from recordings import excerpt, read_lines, state
from scripted import Stubborn, loopback
from scripted import settings as paid

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.run import run
from dailytalk_contiguous.run.shard import StageEvent
from dailytalk_contiguous.run.speaking import SpeakSpec, read_synthesis_input
from dailytalk_contiguous.run.streaming import StreamSource, StreamSpec
from dailytalk_contiguous.run.tagging import TagSpec, list_conversations
from dailytalk_contiguous.shards import shard_files
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.hub.repository import open_repository
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.stages.base import Stages, find_stage
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store.addresses import HubChoice
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/calls"

#: Seconds of a recording, and of a window that two of them fill.
LENGTH = 4.0
TWO = 7.0

#: What an eager run has tagged, by what makes the files that it read.
TAGGED_EAGERLY: dict[Callable[[], dict[str, bytes]], dict[str, Any]] = {}

#: Bytes at the end of a Parquet file, read for its columns, and to see that no row is left in it.
FOOTER = 65536


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(cache_with_weights(tmp_path / "cache")))


@pytest.fixture
def tagger() -> Stages:
    return tag_stages(profile="embedded", language="en", asr_model="tiny.en")


@pytest.fixture
def speaker(tmp_path: Path) -> Stages:
    return speak_stages(
        profile="embedded", no_text="keep-original", on_failure="keep-original", cache=str(tmp_path / "speech")
    )


def publish(files: dict[str, bytes]) -> str:
    HfApi().create_repo(REPO, repo_type="dataset", exist_ok=True)
    changes = [CommitOperationAdd(path, content) for path, content in files.items()]
    commit = HfApi().create_commit(REPO, changes, commit_message="c", repo_type="dataset")
    return str(commit.oid)


def call(number: int) -> bytes:
    """A recording that no other one is like."""
    samples = excerpt(start=2.0 * number, seconds=LENGTH)
    return wav_bytes(samples)


def table(rows: dict[str, bytes | None]) -> bytes:
    schema = Features({"id": Value("string"), "audio": Audio()}).arrow_schema
    audio = [{"bytes": data, "path": None} for data in rows.values()]
    columns = {"id": list(rows), "audio": audio}
    file = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), file, row_group_size=2)
    return file.getvalue()


def tables() -> dict[str, bytes]:
    """Three shards: four recordings, a row without audio, a mono recording, and an id for the second time."""
    mono = wav_bytes(tones(1.0, channels=1))
    return {
        "data/train-0.parquet": table({"a": call(0), "b": call(1)}),
        "data/train-1.parquet": table({"mute": None, "mono": mono, "c": call(2)}),
        "data/train-2.parquet": table({"a": call(5), "d": call(3)}),
    }


def webdataset() -> dict[str, bytes]:
    def tar(*names: str) -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for number, name in enumerate(names):
                for suffix, data in ((".wav", call(number)), (".txt", b"x")):
                    member = tarfile.TarInfo(name + suffix)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        return file.getvalue()

    return {"train-0.tar": tar("a", "b", "ü" * 90), "train-1.tar": tar("d")}


def pairs() -> dict[str, bytes]:
    first_word = ["where", [0.5, 0.8], "SPEAKER_MAIN"]
    second_word = ["to", [0.9, 1.2], "SPEAKER_MAIN"]
    words = {"alignments": [first_word, second_word]}
    files = {f"train/{name}.wav": call(number) for number, name in enumerate("abc")}
    files["train/a.flac"] = call(3)
    files["train/b.json"] = json.dumps(words).encode()
    files["README.md"] = b"---\nlicense: mit\n---\n"
    return files


def spec_of(
    tagger: Stages, speaker: Stages, out: Path, hours: float | None = None, seconds: float = TWO
) -> StreamSpec:
    repository = open_repository(Reference(REPO), HubChoice())
    source = StreamSource(repository, FolderConfig(), window_seconds=seconds, limit_hours=hours)
    return StreamSpec(source, out, tagger, speaker)


class Streamed(NamedTuple):
    """What came of a stream: its record, windows that are done in all and by this run, and what they hold."""

    record: dict[str, Any]
    windows: int
    made: int
    complete: bool
    seconds: float


def made(spec: StreamSpec, progress: Any = lambda event: None) -> Streamed:
    before = len(spec.windows)
    record = run(spec, progress=progress).record
    assert record is not None
    after = len(spec.windows)
    return Streamed(record, after, after - before, spec.is_complete, spec.audio_seconds)


def streamed(tagger: Stages, speaker: Stages, out: Path, hours: float | None = None) -> Streamed:
    return made(spec_of(tagger, speaker, out, hours))


def tag_spec(tagger: Stages, out: Path) -> TagSpec:
    """An eager run over the repository."""
    conversations = list_conversations(open_inputs([REPO]), out, shard_seconds=TWO)
    return TagSpec(conversations, out, tagger)


def eager(layout: Callable[[], dict[str, bytes]], tagger: Stages, speaker: Stages, out: Path) -> dict[str, Any]:
    """What an eager run of a layout leaves; what it tags is kept for other tests of that layout."""
    if speaker or layout not in TAGGED_EAGERLY:
        run(tag_spec(tagger, out))
        TAGGED_EAGERLY[layout] = results(out)
    if not speaker:
        return TAGGED_EAGERLY[layout]
    script = read_synthesis_input(out, shard_seconds=TWO)
    run(SpeakSpec(script, out, speaker))
    return results(out)


def rows(folder: Path) -> dict[str, str]:
    """Rows as text, in which NaN equals itself, without the place of the recording."""
    texts: dict[str, str] = {}
    for path in folder.glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            name = row["conversation_id"]
            assert name not in texts
            if folder.name == "tagged":
                del row["audio"]
            texts[name] = repr(row)
    return texts


def results(out: Path) -> dict[str, Any]:
    """All that a run leaves, in no order: a stream has that of its source."""
    lines: dict[str, list[str]] = {}
    for name in ("transcript.jsonl", "transcript_shifted.jsonl", "rejects.jsonl"):
        written = read_lines(out / name) if (out / name).is_file() else []
        for line in written:
            line["segment_id"] = 0
        lines[name] = sorted(json.dumps(line, sort_keys=True) for line in written)
    sounds = {path.name: path.read_bytes() for path in (out / "audio").glob("*.wav")}
    tagged = rows(out / "tagged")
    dataset = rows(out / "dataset")
    return {"tagged": tagged, "dataset": dataset, "sounds": sounds, **lines}


def left_of_input(tmp_path: Path) -> list[Path]:
    """Files that are as long as a recording, or longer: those of a stream's source are nowhere."""
    paths = [*(tmp_path / "cache").rglob("*"), *(tmp_path / "hf_home").rglob("*")]
    for out in tmp_path.glob("out*"):
        paths += out.rglob(".stream*/**/*")
    return [path for path in paths if path.is_file() and path.stat().st_size > 100_000]


# The same result


@pytest.mark.parametrize("layout", [tables, pytest.param(webdataset, marks=pytest.mark.nightly), pairs])
def test_stream_gives_the_rows_and_rejects_of_an_eager_run_and_does_nothing_twice(
    tmp_path: Path,
    hub: HubServer,
    tagger: Stages,
    speaker: Stages,
    layout: Callable[[], dict[str, bytes]],
) -> None:
    publish(layout())
    spoken = speaker if layout is tables else ()  # of tagged rows no stage knows how they came here
    held: list[int] = []

    def look(event: StageEvent) -> None:
        windows = {path.parent for path in (tmp_path / "out/.stream").rglob("*.wav")}
        held.append(len(windows))

    done = made(spec_of(tagger, spoken, tmp_path / "out"), look)
    assert done.complete
    assert done.windows == done.made
    assert max(held) == 1  # windows of input that are on the disk
    seconds = LENGTH * len(rows(tmp_path / "out/tagged"))
    assert done.seconds == pytest.approx(seconds)
    assert left_of_input(tmp_path) == []
    assert results(tmp_path / "out") == eager(layout, tagger, spoken, tmp_path / "eager")
    n_rejected = 3 if layout is tables else 0
    assert done.record["counts"]["recordings_rejected"] == n_rejected
    before = state(tmp_path / "out")
    hub.requests.clear()
    again = streamed(tagger, spoken, tmp_path / "out")
    assert again.made == 0
    assert again.complete
    assert state(tmp_path / "out") == before
    assert not [request for request in hub.requests if request.path.endswith(".parquet")]


# Stops and what follows


@pytest.mark.parametrize("layout", [tables, webdataset])
def test_stream_goes_on_across_shard_borders_without_fetching_what_was_done(
    tmp_path: Path, hub: HubServer, tagger: Stages, layout: Callable[[], dict[str, bytes]]
) -> None:
    publish(layout())
    out = tmp_path / "out"
    runs = 0
    done = streamed(tagger, (), out, hours=1e-6)
    while not done.complete:
        assert done.made == 1
        assert left_of_input(tmp_path) == []
        assert done.record["counts"]["conversations"] == len(rows(out / "tagged"))
        runs = runs + 1
        hub.requests.clear()
        hours = done.seconds / 3600
        done = streamed(tagger, (), out, hours=hours + 1e-6)
    assert runs >= 1
    # The columns of WebDataset are those of its first sample, which is read anew by each run.
    first_files = ("train-0.parquet", "a.wav", "a.flac")
    sent = 0
    for request in hub.requests:
        if request.method == "GET" and request.path.endswith(first_files):
            sent += request.bytes_sent
    assert sent <= 2 * FOOTER
    assert results(out) == eager(layout, tagger, (), tmp_path / "eager")


@pytest.mark.parametrize("gone", ["shard", "torn"])
def test_crash_between_shard_and_position_loses_and_doubles_nothing(
    tmp_path: Path, hub: HubServer, tagger: Stages, gone: str
) -> None:
    publish(pairs())
    out = tmp_path / "out"
    streamed(tagger, (), out)
    whole = results(out)
    position = out / "position.jsonl"
    lines = position.read_bytes().splitlines(keepends=True)
    torn_line = lines[1][:30] if gone == "torn" else b""
    position.write_bytes(lines[0] + torn_line)
    second = json.loads(lines[1])
    before = state(out / "tagged")
    if gone == "shard":
        (out / "tagged" / second["shards"]["tagged"]).unlink()
    (out / ".stream" / "1").mkdir(parents=True)
    (out / ".stream" / "1" / "half").write_bytes(b"x")
    done = streamed(tagger, (), out)
    assert done.made == 1
    assert done.complete
    assert results(out) == whole
    is_unchanged = state(out / "tagged") == before
    assert is_unchanged == (gone != "shard")
    last_line = position.read_bytes().splitlines()[-1]
    assert json.loads(last_line)["end"] == second["end"]
    assert not (out / ".stream").exists()


def test_shards_of_a_stopped_window_go_if_the_stream_begins_anew_with_other_settings(
    tmp_path: Path, hub: HubServer, tagger: Stages
) -> None:
    publish(pairs())
    out = tmp_path / "out"
    streamed(tagger, (), out, hours=1e-6)
    (out / "position.jsonl").write_bytes(b"")  # as a crash before the first line leaves it
    model = find_stage(Transcribe, tagger).model
    other = tag_stages(profile="embedded", language="en", asr_model=model, beam=2)
    spec = spec_of(other, (), out, hours=1e-6)
    made(spec)
    assert [path.name for path in shard_files(out / "tagged")] == [spec.windows[0].shards["tagged"]]


def test_window_of_which_nothing_can_be_said_ends_the_run_and_is_made_again(
    tmp_path: Path, hub: HubServer, tagger: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = excerpt(seconds=4.0)
    publish({"0.wav": wav_bytes(samples), "1.wav": wav_bytes(samples * 0.9)})
    with loopback(monkeypatch, Stubborn(" ", "500")) as server:
        speaker = paid(tmp_path, no_text="keep-original", tries=1)
        with pytest.raises(DailytalkError, match="nothing could be spoken of a window"):
            made(spec_of(tagger, speaker, tmp_path / "out", seconds=3.0))
        record = json.loads((tmp_path / "out/run.json").read_text())
        assert record["streaming"]["windows"] == 0
        assert isinstance(server, Stubborn)
        server.word = ""
        done = made(spec_of(tagger, speaker, tmp_path / "out", seconds=3.0))
        assert done.windows == 2
        assert done.complete
    assert len(rows(tmp_path / "out/dataset")) == 2


# What may not share a folder


def test_stream_stays_at_its_commit(tmp_path: Path, hub: HubServer, tagger: Stages) -> None:
    commit = publish(pairs())
    out = tmp_path / "out"
    assert not streamed(tagger, (), out, hours=1e-6).complete
    publish({"train/a.wav": call(5), "train/z.wav": call(4)})
    with pytest.raises(DailytalkError, match=f"at commit {commit}"):
        streamed(tagger, (), out)
    repository = open_repository(Reference(REPO, commit), HubChoice())
    source = StreamSource(repository, FolderConfig(), window_seconds=TWO)
    done = made(StreamSpec(source, out, tagger, ()))
    assert done.complete
    assert done.record["source"]["revision"] == commit
    assert set(rows(out / "tagged")) == {"train/a.flac", "train/a.wav", "train/b", "train/c"}


def test_other_settings_source_or_results_are_refused(
    tmp_path: Path, hub: HubServer, tagger: Stages, speaker: Stages
) -> None:
    publish(pairs())
    out = tmp_path / "out"
    streamed(tagger, (), out, hours=1e-6)
    model = find_stage(Transcribe, tagger).model
    other = tag_stages(profile="embedded", language="en", asr_model=model, beam=2)
    for stages in ((other, ()), (tagger, speaker)):
        with pytest.raises(DailytalkError, match="holds a stream with other settings"):
            streamed(*stages, out)
    part = open_repository(Reference(REPO), HubChoice(split="train"))
    source = StreamSource(part, FolderConfig(), window_seconds=TWO)
    with pytest.raises(DailytalkError, match="holds a stream with other settings"):
        run(StreamSpec(source, out, tagger, ()))
    run(tag_spec(tagger, tmp_path / "eager"))
    with pytest.raises(DailytalkError, match="without --streaming"):
        streamed(tagger, (), tmp_path / "eager")
