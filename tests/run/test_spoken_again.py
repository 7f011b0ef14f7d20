"""A second `speak` makes again what has changed, and nothing else."""

import os
from pathlib import Path

import pytest
from recordings import read_lines, state
from scripted import SHORT, folder, settings, talk, write_transcript

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, run
from dailytalk_contiguous.run.speaking import SpeakFolderSpec


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two conversations that espeak said."""
    work = folder(tmp_path / "work", first=SHORT, second=talk("another", 4))
    assert say(work).run.done == 2
    return work


def say(work: Path, recordings: Path | None = None, **options: bool) -> RunOutcome:
    return run(spec_of(work, recordings), RunOptions(**options))


def spec_of(work: Path, recordings: Path | None = None, no_text: str = "drop") -> SpeakFolderSpec:
    stages = settings(work.parent, tts="espeak", no_text=no_text)
    return SpeakFolderSpec(work, work, stages, recordings=recordings, shard_seconds=0.1)


def rejected(work: Path) -> dict[str, str]:
    return {line["id"]: line["reason"] for line in read_lines(work / "rejects.jsonl")}


def test_run_with_nothing_to_do_writes_nothing_and_ends_alike(work: Path) -> None:
    before = state(work)
    again = say(work)
    assert again.run.done == 0
    assert again.n_conversations == 2
    assert again.counts["conversations"] == 2
    assert state(work) == before


def test_rejects_of_a_transcript_stay(work: Path) -> None:
    lines = read_lines(work / "transcript.jsonl")
    lines[5]["end"] = lines[5]["start"] - 1.0
    write_transcript(work, lines)
    first = say(work)
    before = rejected(work)
    again = say(work)
    assert len(before) == 1
    assert rejected(work) == before
    assert again.counts == first.counts


def test_edit_makes_its_conversation_again(work: Path) -> None:
    lines = read_lines(work / "transcript.jsonl")
    lines[2]["text"] = "The bicycle makes no noise."
    write_transcript(work, lines)
    edited = say(work)
    assert edited.run.done == 1
    assert read_lines(work / "transcript_shifted.jsonl")[2]["text"] == "The bicycle makes no noise."


def test_conversation_that_was_deleted_still_needs_prune(work: Path) -> None:
    write_transcript(work, read_lines(work / "transcript.jsonl")[:4])
    for _ in range(2):
        with pytest.raises(DailytalkError, match=r"second.*--prune"):
            say(work)
    assert say(work, prune=True).counts["conversations"] == 1
    assert [path.name for path in (work / "audio").glob("*.wav")] == ["first_edited.wav"]


def test_other_settings_make_all_again(work: Path) -> None:
    other = spec_of(work, no_text="keep-original")
    assert run(other).run.done == 2


def test_shard_that_is_gone_is_made_again(work: Path) -> None:
    removed, _ = sorted((work / "dataset").glob("*.parquet"))
    removed.unlink()
    again = say(work)
    assert again.run.done == 1
    assert removed.is_file()


def test_recording_that_is_gone_is_told_until_it_is_back(work: Path) -> None:
    path = work / "recordings/first.wav"
    content = path.read_bytes()
    path.unlink()
    for _ in range(2):
        with pytest.raises(DailytalkError, match=r"first.*--prune"):
            say(work)
    path.write_bytes(content)
    assert say(work).counts["conversations"] == 2


def test_another_recording_of_the_same_date_and_length_is_told(work: Path) -> None:
    path = work / "recordings/first.wav"
    content = path.read_bytes()
    status = path.stat()
    path.write_bytes(content[:-2000] + bytes(2000))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DailytalkError, match=r"first.*--prune"):
        say(work)
    say(work, prune=True)
    assert "is not the one that was tagged" in rejected(work)["first"]


def test_moved_recordings_are_the_same(work: Path, tmp_path: Path) -> None:
    (work / "recordings").rename(tmp_path / "calls")
    moved = say(work, tmp_path / "calls")
    assert moved.run.done == 0
    with pytest.raises(DailytalkError, match="--prune"):
        say(work)


@pytest.mark.parametrize("damage", ["a page", "its end"])
def test_tagged_shard_that_is_damaged_is_named_and_no_finished_conversation_goes(work: Path, damage: str) -> None:
    (shard,) = (work / "tagged").glob("*.parquet")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:4] + bytes(40) + whole[44:] if damage == "a page" else whole[:-100])
    finished = state(work / "dataset")
    for prune in (False, True):
        with pytest.raises(DailytalkError, match=f"{shard.name} .*: delete it, and run dailytalk tag again"):
            say(work, prune=prune)
    assert state(work / "dataset") == finished
    shard.write_bytes(whole)
    assert say(work).run.done == 0


def test_sound_file_alone_is_written_again(work: Path) -> None:
    (work / "audio/first_edited.wav").unlink()
    before = state(work)
    say(work)
    after = state(work)
    assert after.keys() - before.keys() == {"audio/first_edited.wav"}
    assert {name: after[name] for name in before} == before
