"""A second `speak` with nothing to do reads no line and no row, and misses nothing that changed."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from recordings import read_lines, state
from scripted import SHORT, folder, settings, talk, write_transcript

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, run
from dailytalk_contiguous.run.speaking import SpeakFolderSpec
from dailytalk_contiguous.store import file_stamp

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the system does not say when a file changed")


@pytest.fixture(autouse=True)
def _settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of one's own, in which files of a moment ago count as settled."""
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(file_stamp, "SETTLING", -3600 * 1_000_000_000)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two conversations that espeak said."""
    work = folder(tmp_path / "work", first=SHORT, second=talk("another", 4))
    assert say(work).outcome.run.done == 2
    return work


class Said(NamedTuple):
    """One run, and whether it read the transcript."""

    outcome: RunOutcome
    was_read: bool


def say(work: Path, recordings: Path | None = None, **options: bool) -> Said:
    spec = spec_of(work, recordings)
    outcome = run(spec, RunOptions(**options))
    return Said(outcome, not spec.script.is_planned)


def spec_of(work: Path, recordings: Path | None = None, no_text: str = "drop") -> SpeakFolderSpec:
    stages = settings(work.parent, tts="espeak", no_text=no_text)
    return SpeakFolderSpec(work, work, stages, recordings=recordings, shard_seconds=0.1)


def rejected(work: Path) -> dict[str, str]:
    return {line["id"]: line["reason"] for line in read_lines(work / "rejects.jsonl")}


def test_run_with_nothing_to_do_reads_no_transcript_and_ends_alike(work: Path) -> None:
    before = state(work)
    again = say(work)
    assert not again.was_read
    assert again.outcome.run.done == 0
    assert again.outcome.n_conversations == 2
    assert again.outcome.counts["conversations"] == 2
    assert state(work) == before


def test_rejects_of_a_transcript_that_was_not_read_stay(work: Path) -> None:
    lines = read_lines(work / "transcript.jsonl")
    lines[5]["end"] = lines[5]["start"] - 1.0
    write_transcript(work, lines)
    first = say(work)
    before = rejected(work)
    again = say(work)
    assert (first.was_read, again.was_read) == (True, False)
    assert len(before) == 1
    assert rejected(work) == before
    assert again.outcome.counts == first.outcome.counts


def test_edit_is_read_and_makes_its_conversation_again(work: Path) -> None:
    lines = read_lines(work / "transcript.jsonl")
    lines[2]["text"] = "The bicycle makes no noise."
    write_transcript(work, lines)
    edited = say(work)
    assert edited.was_read
    assert edited.outcome.run.done == 1
    assert read_lines(work / "transcript_shifted.jsonl")[2]["text"] == "The bicycle makes no noise."
    assert not say(work).was_read


def test_conversation_that_was_deleted_still_needs_prune(work: Path) -> None:
    write_transcript(work, read_lines(work / "transcript.jsonl")[:4])
    for _ in range(2):
        with pytest.raises(DailytalkError, match=r"second.*--prune"):
            say(work)
    assert say(work, prune=True).outcome.counts["conversations"] == 1
    assert [path.name for path in (work / "audio").glob("*.wav")] == ["first_edited.wav"]


def test_other_settings_are_made_of_the_whole_transcript(work: Path) -> None:
    other = spec_of(work, no_text="keep-original")
    assert run(other).run.done == 2
    assert not other.script.is_planned


def test_shard_that_is_gone_is_made_again(work: Path) -> None:
    removed, _ = sorted((work / "dataset").glob("*.parquet"))
    removed.unlink()
    again = say(work)
    assert again.was_read
    assert again.outcome.run.done == 1
    assert removed.is_file()


def test_recording_that_is_gone_is_told_until_it_is_back(work: Path) -> None:
    path = work / "recordings/first.wav"
    content = path.read_bytes()
    path.unlink()
    for _ in range(2):
        with pytest.raises(DailytalkError, match=r"first.*--prune"):
            say(work)
    path.write_bytes(content)
    assert say(work).outcome.counts["conversations"] == 2


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
    assert moved.was_read
    assert moved.outcome.run.done == 0
    assert not say(work, tmp_path / "calls").was_read
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
    assert say(work).outcome.run.done == 0


def test_sound_file_alone_is_written_again(work: Path) -> None:
    (work / "audio/first_edited.wav").unlink()
    before = state(work)
    again = say(work)
    assert not again.was_read
    after = state(work)
    assert after.keys() - before.keys() == {"audio/first_edited.wav"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("damage", ["cut", "line", "empty"])
def test_damaged_cache_is_read_anew(work: Path, tmp_path: Path, damage: str) -> None:
    (kept,) = (tmp_path / "cache/scripts").iterdir()
    content = kept.read_bytes()
    damaged = {"cut": content[:-30], "line": content.rpartition(b"[")[0] + b"[1, 2]\n", "empty": b""}
    kept.write_bytes(damaged[damage])
    again = say(work)
    assert again.was_read
    assert again.outcome.run.done == 0
    assert not say(work).was_read
