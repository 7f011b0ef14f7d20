"""What a finished run writes beside its shards, and above all what it does not write over."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from recordings import calls, excerpt, read_lines, results, run, save, state

from dailytalk_contiguous import DailytalkError, tag_stages
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.store.files import json_text, write_lines


@pytest.fixture(scope="module")
def settings() -> Stages:
    return tag_stages(profile="embedded", language="en", asr_model="tiny.en")


@pytest.fixture
def seed() -> Stages:
    """Settings whose transcript differs."""
    return tag_stages(profile="embedded", language="en", asr_model="tiny.en", rules="seed")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, settings: Stages) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    calls(folder / "in", "a")
    run(folder / "in", folder / "out", settings)
    return folder


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A finished run over `tmp_path / "in"`, of one's own."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


def edit(out: Path) -> str:
    path = out / "transcript.jsonl"
    path.write_text(path.read_text().replace('"text": "', '"text": "Well, ', 1))
    return path.read_text()


def test_edited_lines_stay_and_all_others_are_those_of_the_next_run(
    out: Path, settings: Stages, seed: Stages
) -> None:
    calls(out.parent / "in", "b")
    run(out.parent / "in", out, settings)
    edit(out)
    mine, *others, _ = read_lines(out / "transcript.jsonl")
    write_lines(out / "transcript.jsonl", [json_text(line) for line in (mine, *others)])
    for _ in range(2):
        run(out.parent / "in", out, seed)
        first, *following = read_lines(out / "transcript.jsonl")
        assert first == mine
        assert [line["utterance_id"] for line in following] == [line["utterance_id"] for line in others]
        assert {line["rule"] for line in following} != {line["rule"] for line in others}


def test_added_recording_joins_an_edited_transcript(out: Path, settings: Stages) -> None:
    edit(out)
    before = read_lines(out / "transcript.jsonl")
    calls(out.parent / "in", "0")
    run(out.parent / "in", out, settings)
    lines = read_lines(out / "transcript.jsonl")
    last = lines[-len(before) :]
    for line, same in zip(last, before, strict=True):
        assert line | {"segment_id": 0} == same | {"segment_id": 0}
    assert {line["audio_file"] for line in lines} == {"0.wav", "a.wav"}
    assert [line["segment_id"] for line in lines] == list(range(len(lines)))


def test_edited_transcript_is_left_alone_where_nothing_else_changed(out: Path, settings: Stages) -> None:
    edit(out)
    before = state(out)
    run(out.parent / "in", out, settings)
    assert state(out) == before


def test_run_killed_between_its_files_is_not_taken_for_an_edit(out: Path, seed: Stages) -> None:
    """The transcript of the next settings stands, but run.json is still that of the ones before."""
    old = {name: (out / name).read_bytes() for name in ("run.json", "rejects.jsonl")}
    run(out.parent / "in", out, seed)
    finished = results(out)
    for name, content in old.items():
        (out / name).write_bytes(content)
    run(out.parent / "in", out, seed)
    assert results(out) == finished


def test_files_of_a_run_that_stopped_between_them_are_not_taken_for_those_before(
    out: Path, settings: Stages, seed: Stages
) -> None:
    finished = results(out)
    rejects = out / "rejects.jsonl"
    content = rejects.read_bytes()
    rejects.unlink()
    rejects.mkdir()
    with pytest.raises(BadInput, match="rejects"):
        run(out.parent / "in", out, seed)
    rejects.rmdir()
    rejects.write_bytes(content)
    run(out.parent / "in", out, settings)
    assert results(out) == finished


@pytest.mark.parametrize("name", ["run.json", "rejects.jsonl", "transcript.jsonl", "conversations.parquet"])
def test_file_that_was_deleted_comes_back(out: Path, settings: Stages, name: str) -> None:
    before = results(out)
    (out / name).unlink()
    assert run(out.parent / "in", out, settings).run.done == 0
    assert results(out) == before
    assert (out / name).is_file()


def test_transcript_of_somebody_else_is_not_written_over(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/transcript.jsonl").write_text("mine\n")
    run(tmp_path / "in", tmp_path / "out", settings)
    *ours, last = (tmp_path / "out/transcript.jsonl").read_text().splitlines()
    assert (len(ours) > 0, last) == (True, "mine")


def test_what_a_killed_run_left_half_written_is_cleared_away(out: Path, settings: Stages) -> None:
    half = out / "tagged/.shard-abc.parquet.77.tmp"
    half.write_bytes(b"PAR1")
    os.utime(out.parent / "in/a.wav", ns=(0, 1))
    run(out.parent / "in", out, settings)
    assert not half.exists()


def test_shard_that_was_cut_short_is_an_error_where_nothing_else_is_to_be_done(
    out: Path, settings: Stages
) -> None:
    (shard,) = (out / "tagged").glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DailytalkError, match=f"{shard.name}' is damaged"):
        run(out.parent / "in", out, settings)


def test_counts_of_the_record_are_those_of_the_transcript_and_the_rejects(out: Path, settings: Stages) -> None:
    source = out.parent / "in"
    save(source / "empty.wav").write_bytes(b"")
    save(source / "same.wav", np.repeat(excerpt()[:, :1], 2, axis=1))
    record = run(source, out, settings).record
    lines = read_lines(out / "transcript.jsonl")
    assert [line["stage"] for line in read_lines(out / "rejects.jsonl")] == ["Folder", "Segment"]
    assert record is not None
    counts = record["counts"]
    rejected = record["rejected"]
    assert counts["conversations"] == 1
    assert counts["utterances"] == len(lines)
    assert counts["recordings_rejected"] == 1
    assert rejected["recordings"] == {"the file is empty": 1}
    assert counts["rejects"] == 2
    assert counts["rejected_parts"] == 0
    assert record["hours"]["audio"] == pytest.approx(6 / 3600, abs=1e-4)
    seconds = sum(line["duration"] for line in lines)
    assert record["hours"]["speech"] == pytest.approx(seconds / 3600, abs=1e-4)
    assert rejected["conversations"] == 1
    assert rejected["of_conversations"] == 2
    assert rejected["seconds"] == 6.0
