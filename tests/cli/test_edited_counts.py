"""What commands say of a transcript from which people deleted lines, and in which they edited and added some."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED, Command
from recordings import excerpt, read_lines, save

QUICK = (*EMBEDDED, "--asr-model", "tiny.en", "--fillers", "drop")


@pytest.fixture
def source(tmp_path: Path, dailytalk: Command) -> Path:
    """Two short calls, tagged into `tmp_path / "work"`."""
    for name in ("weekend_trip", "burnt_dinner"):
        save(tmp_path / f"in/{name}.flac", excerpt(name, seconds=12))
    assert dailytalk("tag", tmp_path / "in", "--out", tmp_path / "work", *QUICK).code == 0
    return tmp_path / "in"


def write(work: Path, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (work / "transcript.jsonl").write_text(text)


def test_commands_count_the_lines_that_are_left(tmp_path: Path, dailytalk: Command, source: Path) -> None:
    work = tmp_path / "work"
    first, _, second, _, *others = read_lines(work / "transcript.jsonl")
    added = {"audio_file": first["audio_file"], "channel": "left", "start": 1.0, "end": 1.5, "text": "Right."}
    first["text"] = "Another text."
    second["text"] = ""
    lines = [first, second, *others, added]
    write(work, lines)
    minutes = sum(line["end"] - line["start"] for line in lines) / 60
    expected = f"2 conversations, {len(lines)} utterances, {minutes:.1f} min of speech in {work}/transcript.jsonl"
    # Nothing is made the first time; the second run writes the transcript again.
    for options in ((), ("--rules", "seed")):
        done = dailytalk("tag", source, "--out", work, *QUICK, *options)
        assert done.code == 0
        assert expected in done.out
        assert "2 lines left as somebody edited them" in done.out
        assert len(read_lines(work / "transcript.jsonl")) == len(lines)
    record = json.loads((work / "run.json").read_text())
    assert record["counts"]["utterances"] == len(lines)
    assert record["counts"]["conversations"] == 2


def test_check_of_a_tagged_folder_counts_the_lines_that_are_left(
    tmp_path: Path, dailytalk: Command, source: Path
) -> None:
    work = tmp_path / "work"
    lines = read_lines(work / "transcript.jsonl")
    left = [line for line in lines if line["conversation_id"] == "weekend_trip"]
    write(work, left[1:])
    facts = json.loads(dailytalk("check", work, "--json").out)["facts"]
    assert facts["conversations"] == 1
    assert facts["utterances"] == len(left) - 1
    assert "1 conversation, " in dailytalk("tag", source, "--out", work, *QUICK).out
