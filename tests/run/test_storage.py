import os
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from recordings import calls, results, run

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.publish.opening import version_or_path
from dailytalk_contiguous.run.storage import OF_TAG, open_work
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut, list_recordings
from dailytalk_contiguous.sources.remote import Mirror, fetch_inputs
from dailytalk_contiguous.store.owned_folder import mark


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def address() -> str:
    return f"memory://{uuid4().hex}/work"


def put(address: str, **texts: str) -> None:
    files, root = fsspec.core.url_to_fs(address)
    for name, text in texts.items():
        files.pipe_file(f"{root}/{name}", text.encode())


def there(address: str) -> dict[str, bytes]:
    files, root = fsspec.core.url_to_fs(address)
    return {name.removeprefix(root + "/"): files.cat_file(name) for name in files.find(root)}


def test_what_changed_or_went_in_the_store_changes_here(tmp_path: Path, address: str) -> None:
    put(address, first="1", second="2")
    mirror = Mirror(address, tmp_path)
    mirror.pull()
    put(address, first="other")
    files, root = fsspec.core.url_to_fs(address)
    files.rm_file(f"{root}/second")
    (tmp_path / "mine").write_text("never was there")
    mirror.pull()
    assert (tmp_path / "first").read_text() == "other"
    assert not (tmp_path / "second").exists()
    assert (tmp_path / "mine").exists()


def test_recordings_keep_their_time_on_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"file://{tmp_path}/store"
    calls(tmp_path / "store", "a", "b")
    (tmp_path / "store" / "a.txt").write_text("left: Hello")
    (tmp_path / "store" / "notes.pdf").write_text("no")
    times = []
    for machine in ("first", "second"):
        monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / machine))
        (folder,), (mirror,) = fetch_inputs([address])
        names = [path.name for path in Path(folder).iterdir()]
        shown = sorted(name for name in names if not name.startswith("."))
        assert shown in (["a.txt", "a.wav", "b.wav"], ["a.wav", "b.wav"])
        times.append(os.stat(mirror.folder / "a.wav").st_mtime_ns)
        (mirror.folder / "b.wav").unlink()
        mirror.ensure(mirror.folder / "b.wav")
        assert (mirror.folder / "b.wav").is_file()
    assert times[0] == times[1]
    (file,), _ = fetch_inputs([f"{address}/b.wav"])
    assert Path(file).name == "b.wav"


def test_results_of_ours_in_a_store_are_named_and_not_fetched(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/store"
    calls(tmp_path / "store", "a")
    calls(tmp_path / "store/run1/audio", "a_edited")
    mark(tmp_path / "store/run1/audio", "audio")
    (folder,), _ = fetch_inputs([address])
    left_out = LeftOut()
    recordings = list_recordings([folder], left_out=left_out)
    assert [recording.audio_file for recording in recordings] == ["a.wav"]
    assert left_out.own_results == ["run1/audio/"]
    assert not list(Path(folder).rglob("a_edited.wav"))
    with pytest.raises(DailytalkError) as error:
        fetch_inputs([f"{address}/run1"])
    assert f"{address}/run1/audio/" in error.value.remedy
    (named,), _ = fetch_inputs([f"{address}/run1/audio"])
    recordings = list_recordings([named])
    assert [recording.audio_file for recording in recordings] == ["a_edited.wav"]


# A work folder


def test_run_into_a_store_is_whole_there_and_a_second_machine_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    source = calls(tmp_path / "in", "a", "b")
    chosen = tag_stages(profile="embedded", language="en", asr_model="tiny.en")
    run(source, tmp_path / "local", chosen)
    for machine, made in (("first", 2), ("second", 0)):
        monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / machine))
        work = open_work(Path(address))
        outcome = run(source, work.folder, chosen, work=work)
        assert outcome.run.done == made
        work.settle(OF_TAG)
        assert results(work.folder) == results(tmp_path / "local")
    assert {"transcript.jsonl", "rejects.jsonl", "run.json"} <= set(there(address))
    for name in there(address):
        assert not name.startswith(".")
        assert "/." not in name
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "third"))
    assert results(version_or_path(address, None)) == results(tmp_path / "local")


def test_stale_results_leave_the_store_last_and_nothing_else_does(tmp_path: Path, address: str) -> None:
    put(address, **{"tagged/shard-old.parquet": "x", "mine.txt": "y", "audio/a_edited.wav": "z"})
    work = open_work(Path(address))
    (work.folder / "tagged" / "shard-old.parquet").unlink()
    work.settle(OF_TAG)
    assert there(address).keys() == {"mine.txt", "audio/a_edited.wav"}


def test_transcript_edited_in_the_store_meanwhile_is_not_written_over(address: str) -> None:
    put(address, **{"transcript.jsonl": "old"})
    work = open_work(Path(address))
    (work.folder / "transcript.jsonl").write_text("of this run")
    put(address, **{"transcript.jsonl": "edited"})
    work.settle()
    assert there(address) == {"transcript.jsonl": b"edited", "transcript.new.jsonl": b"of this run"}
