import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from recordings import calls, results, run

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.pipelines import tag_stages
from dailytalk_contiguous.run.events import journals, read_events, run_status
from dailytalk_contiguous.run.run import Runner
from dailytalk_contiguous.run.storage import OF_TAG, fetched, folder_of, open_work, watched_store
from dailytalk_contiguous.sources.addresses import address_of
from dailytalk_contiguous.sources.recordings import LeftOut, find_recordings
from dailytalk_contiguous.sources.remote import Mirror, fetch_inputs, store_errors
from dailytalk_contiguous.sources.store_notes import NOTES
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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("s3://bucket/a b/", "s3://bucket/a b"),
        (Path("s3://bucket/folder"), "s3://bucket/folder"),
        ("gs://bucket", "gs://bucket"),
        (Path("file:///tmp/x"), "file:///tmp/x"),
        ("calls/s3", None),
        ("OWNER/NAME", None),
        ("hf://datasets/OWNER/NAME", None),
    ],
)
def test_address_is_told_from_a_path_even_with_one_slash(given: str | Path, meant: str | None) -> None:
    assert address_of(given) == meant


def test_nothing_travels_twice(tmp_path: Path, address: str) -> None:
    put(address, one="1", two="2")
    mirror = Mirror(address, tmp_path / "here")
    mirror.pull()
    before = (tmp_path / "here" / NOTES).read_bytes()
    mirror.pull()
    mirror.push(tmp_path / "here" / "one")
    assert (tmp_path / "here" / NOTES).read_bytes() == before
    (tmp_path / "here" / "one").write_text("new")
    mirror.push(tmp_path / "here" / "one")
    assert there(address) == {"one": b"new", "two": b"2"}


def test_what_changed_or_went_in_the_store_changes_here(tmp_path: Path, address: str) -> None:
    put(address, one="1", two="2")
    mirror = Mirror(address, tmp_path)
    mirror.pull()
    put(address, one="other")
    files, root = fsspec.core.url_to_fs(address)
    files.rm_file(f"{root}/two")
    (tmp_path / "mine").write_text("never was there")
    mirror.pull()
    assert (tmp_path / "one").read_text() == "other"
    assert not (tmp_path / "two").exists()
    assert (tmp_path / "mine").exists()


def test_half_a_note_of_a_killed_process_costs_one_transfer(tmp_path: Path, address: str) -> None:
    put(address, one="1")
    mirror = Mirror(address, tmp_path)
    mirror.pull()
    notes = tmp_path / NOTES
    notes.write_bytes(notes.read_bytes()[:-9] + b"\n")
    mirror.pull()
    assert (tmp_path / "one").read_text() == "1"


def test_recordings_keep_their_time_on_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"file://{tmp_path}/store"
    calls(tmp_path / "store", "a", "b")
    (tmp_path / "store" / "a.txt").write_text("left: Hello")
    (tmp_path / "store" / "notes.pdf").write_text("no")
    times = []
    for machine in ("first", "second"):
        monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / machine))
        (folder,), (mirror,) = fetch_inputs([address])
        found = sorted(path.name for path in Path(folder).iterdir() if not path.name.startswith("."))
        assert found in (["a.txt", "a.wav", "b.wav"], ["a.wav", "b.wav"])
        times.append(os.stat(mirror.folder / "a.wav").st_mtime_ns)
        (mirror.folder / "b.wav").unlink()
        mirror.ensure(mirror.folder / "b.wav")
        assert (mirror.folder / "b.wav").is_file()
    assert times[0] == times[1]
    (one,), _ = fetch_inputs([f"{address}/b.wav"])
    assert Path(one).name == "b.wav"


def test_copy_of_another_object_is_fetched_again_and_what_changed_since_is_refused(
    tmp_path: Path, address: str
) -> None:
    put(address, one="old")
    here = Mirror(address, tmp_path)
    here.pull()
    put(address, one="new")
    token = here.listing()["one"].token
    here.ensure(tmp_path / "one")
    assert (tmp_path / "one").read_text() == "old"  # whoever asks for any is content with it
    here.ensure(tmp_path / "one", token)
    assert ((tmp_path / "one").read_text(), here.token_of(tmp_path / "one")) == ("new", token)
    put(address, one="newest")
    here.ensure(tmp_path / "one", token)
    (tmp_path / "one").unlink()
    with pytest.raises(BadInput, match="one changed during this run"):
        here.ensure(tmp_path / "one", token)


def test_results_of_ours_in_a_store_are_named_and_not_fetched(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/store"
    calls(tmp_path / "store", "a")
    calls(tmp_path / "store/run1/audio", "a_edited")
    mark(tmp_path / "store/run1/audio", "audio")
    (folder,), _ = fetch_inputs([address])
    left_out = LeftOut()
    assert [one.audio_file for one in find_recordings([folder], left_out=left_out)] == ["a.wav"]
    assert left_out.made == ["run1/audio/"]
    assert not list(Path(folder).rglob("a_edited.wav"))
    with pytest.raises(DailytalkError) as error:
        fetch_inputs([f"{address}/run1"])
    assert f"{address}/run1/audio/" in error.value.remedy
    (named,), _ = fetch_inputs([f"{address}/run1/audio"])
    assert [one.audio_file for one in find_recordings([named])] == ["a_edited.wav"]


def test_mark_of_a_folder_that_we_made_reaches_the_store(tmp_path: Path) -> None:
    work = open_work(Path(f"file://{tmp_path}/work"), tmp_path / "scratch")
    mark(work.folder / "audio", "audio")
    (work.folder / ".hidden").touch()
    work.settle()
    assert [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()] == [".dailytalk-export"]


def test_store_without_recordings_is_said(address: str) -> None:
    put(address, text="x")
    with pytest.raises(DailytalkError, match="no recordings at"):
        fetch_inputs([address])


def test_missing_package_is_one_sentence_that_names_the_extra() -> None:
    with pytest.raises(DailytalkError, match=r"dailytalk-contiguous\[gcs\]"), store_errors("gs://bucket"):
        raise ImportError("gcsfs")


def test_trouble_of_this_disk_stays_what_it_is() -> None:
    with pytest.raises(PermissionError), store_errors("s3://bucket"):
        raise PermissionError(13, "no", "/a/file")


# A work folder


def test_run_into_a_store_is_whole_there_and_a_second_machine_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, tiny_whisper: str
) -> None:
    source = calls(tmp_path / "in", "a", "b")
    chosen = tag_stages(profile="embedded", language="en", asr_model=tiny_whisper)
    run(source, tmp_path / "local", chosen)
    for machine, made in (("first", 2), ("second", 0)):
        monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / machine))
        work = open_work(Path(address))
        outcome = run(source, work.folder, chosen, runner=Runner(work=work))
        assert outcome.n_made == made
        work.settle(OF_TAG)
        assert results(work.folder) == results(tmp_path / "local")
    assert {"transcript.jsonl", "rejects.jsonl", "run.json"} <= set(there(address))
    assert not [name for name in there(address) if "." in (name[0], name.rpartition("/")[2][0])]
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "third"))
    assert results(fetched(Path(address))) == results(tmp_path / "local")


def test_shard_is_in_the_store_before_the_next_is_begun(tmp_path: Path, address: str, tiny_whisper: str) -> None:
    source = calls(tmp_path / "in", "a", "b")
    chosen = tag_stages(profile="embedded", language="en", asr_model=tiny_whisper)
    work = open_work(Path(address))
    (work.folder / "tagged").mkdir()
    stopped = source / "b.wav"
    whole = stopped.read_bytes()
    stopped.unlink()
    run(source, work.folder, chosen, runner=Runner(work=work))
    kept = [name for name in there(address) if name.startswith("tagged/")]
    assert len(kept) == 1
    stopped.write_bytes(whole)
    assert run(source, work.folder, chosen, runner=Runner(work=work)).n_made == 1


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


def test_what_another_machine_made_anew_is_not_written_over(tmp_path: Path, address: str) -> None:
    put(address, **{"tagged/shard-1.parquet": "old", "mine.txt": "old"})
    work = open_work(Path(address))
    put(address, **{"tagged/shard-1.parquet": "made anew", "mine.txt": "edited"})
    work.settle(OF_TAG)
    assert there(address) == {"tagged/shard-1.parquet": b"made anew", "mine.txt": b"edited"}


def test_run_keeps_its_own_journal_and_gathers_the_shards_of_others(address: str) -> None:
    put(address, **{"events.here.jsonl": "a\n", "events.there.jsonl": "a\n"})
    work = open_work(Path(address))
    with (work.folder / "events.here.jsonl").open("a") as file:
        file.write("b\n")
    put(address, **{"events.there.jsonl": "a\nb\nc\n", "tagged/shard-2.parquet": "x", "transcript.jsonl": "y"})
    work.gather()
    assert (work.folder / "tagged/shard-2.parquet").read_text() == "x"
    assert not (work.folder / "transcript.jsonl").exists()
    work.refresh()
    assert (work.folder / "events.here.jsonl").read_text() == "a\nb\n"
    assert (work.folder / "events.there.jsonl").read_text() == "a\nb\nc\n"
    work.tell()
    assert there(address)["events.here.jsonl"] == b"a\nb\n"


def test_second_run_into_a_store_leaves_the_events_of_both(
    tmp_path: Path, address: str, tiny_whisper: str
) -> None:
    source = calls(tmp_path / "in", "a")
    chosen = tag_stages(profile="embedded", language="en", asr_model=tiny_whisper)
    for name in ("b", "c"):
        work = open_work(Path(address))
        run(source, work.folder, chosen, runner=Runner(work=work))
        work.settle(OF_TAG)
        calls(source, "a", name)
    (journal,) = journals(work.folder)
    told = [event["event"] for event in read_events(journal)]
    assert [kind for kind in told if kind != "shard"] == ["started", "finished"] * 2
    assert there(address)[journal.name] == journal.read_bytes()


def test_runs_are_watched_from_another_machine_before_they_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, tiny_whisper: str
) -> None:
    source = calls(tmp_path / "in", "a", "b")
    chosen = tag_stages(profile="embedded", language="en", asr_model=tiny_whisper)
    work = open_work(Path(address))
    seen: list[tuple[str, int]] = []

    class Watched(Runner):
        def run(self, *given: Any, **options: Any) -> Iterator[Path]:
            for path in super().run(*given, **options):
                monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "another"))
                seen.extend((one.state, one.done) for one in run_status(watched_store(Path(address))))
                yield path

    run(source, work.folder, chosen, runner=Watched(work=work))
    assert seen == [("running", 1), ("running", 1)]  # the second shard came too soon after
    assert not list((tmp_path / "another").rglob("*.parquet"))


def test_shards_of_another_machine_are_seen_once_they_are_brought(
    tmp_path: Path, address: str, tiny_whisper: str
) -> None:
    """A worker on another node writes to the store; nothing lies here until all is made."""
    source = calls(tmp_path / "in", "a", "b")
    chosen = tag_stages(profile="embedded", language="en", asr_model=tiny_whisper)
    work = open_work(Path(address))

    class Elsewhere(Runner):
        def run(self, *given: Any, **options: Any) -> Iterator[Path]:
            for path in super().run(*given, **options):
                path.rename(away / path.name)
                yield path
            for path in away.iterdir():
                path.rename(work.folder / "tagged" / path.name)

    (away := tmp_path / "away").mkdir()
    outcome = run(source, work.folder, chosen, runner=Elsewhere(work=work))
    assert (outcome.n_made, outcome.n_missing) == (2, 0)
    assert outcome.record
    assert outcome.record["counts"]["conversations"] == 2


def test_folder_of_this_machine_is_itself(tmp_path: Path) -> None:
    assert (
        open_work(tmp_path).folder
        == folder_of(tmp_path)
        == fetched(tmp_path)
        == watched_store(tmp_path)
        == tmp_path
    )
