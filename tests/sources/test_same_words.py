"""Transcripts of one run, as Whisper writes them by default: the richest is used, and the others are listed."""

import json
from pathlib import Path
from typing import Any

import pytest
from recordings import save

from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut

WORDS = [("Where", 0.50, 0.72), ("should", 0.72, 1.10), ("we", 1.10, 1.31), ("go?", 1.31, 1.74)]
SRT = "1\n00:00:00,{start} --> 00:00:01,740\n{text}\n\n2\n00:00:03,000 --> 00:00:04,000\nTo the sea.\n"


def segments(words: bool) -> dict[str, Any]:
    first: dict[str, Any] = {"start": 0.5, "end": 1.74, "text": " Where should we go?"}
    if words:
        first["words"] = [{"word": f" {word}", "start": start, "end": end} for word, start, end in WORDS]
    return {"text": "", "language": "en", "segments": [first, {"start": 3.0, "end": 4.0, "text": " To the sea."}]}


def run_of_whisper(folder: Path, words: bool = True, name: str = "call") -> None:
    srt = SRT.format(start="500", text="Where should we go?")
    (folder / f"{name}.json").write_text(json.dumps(segments(words)))
    (folder / f"{name}.srt").write_text(srt)
    (folder / f"{name}.vtt").write_text("WEBVTT\n\n" + srt.replace(",", "."))
    (folder / f"{name}.tsv").write_text(
        "start\tend\ttext\n500\t1740\tWhere should we go?\n3000\t4000\tTo the sea.\n"
    )
    (folder / f"{name}.txt").write_text("Where should we go?\nTo the sea.\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "call.wav")
    return tmp_path


def read(folder: Path) -> tuple[Row, LeftOut]:
    left_out = LeftOut()
    (row,) = folder_rows(FolderConfig(inputs=(str(folder),), language="en"), left_out)
    return row, left_out


@pytest.mark.parametrize("name", ["call", "call.wav"])
def test_richest_of_one_run_is_used_and_the_others_are_listed(folder: Path, name: str) -> None:
    run_of_whisper(folder, name=name)
    row, left_out = read(folder)
    assert row["problem"] is None
    assert row["transcripts"] == [f"{name}.json"]
    assert [cue["text"] for cue in row["cues"]] == ["Where should we go?", "To the sea."]
    assert len(row["cues"][0]["words"]) == 4
    assert sorted(left_out.unread[f"it says the same as {name}.json"]) == [f"{name}.srt", f"{name}.vtt"]


def test_case_marks_and_a_tenth_of_a_second_make_no_other_transcript(folder: Path) -> None:
    run_of_whisper(folder)
    (folder / "call.vtt").unlink()
    (folder / "call.srt").write_text(SRT.format(start="580", text="where should we go"))
    row, _ = read(folder)
    assert row["transcripts"] == ["call.json"]


@pytest.mark.parametrize(("start", "text"), [("500", "Where could we go?"), ("700", "Where should we go?")])
def test_other_words_or_times_stay_a_reject(folder: Path, start: str, text: str) -> None:
    run_of_whisper(folder)
    (folder / "call.vtt").unlink()
    (folder / "call.srt").write_text(SRT.format(start=start, text=text))
    row, _ = read(folder)
    assert "call.srt: gives words of both speakers, as call.json does" in row["problem"]
    assert row["remedy"] == "keep only one"


def test_a_whole_name_belongs_to_the_recording_of_that_name(tmp_path: Path) -> None:
    save(tmp_path / "call.wav")
    save(tmp_path / "call.flac")
    (tmp_path / "call.wav.srt").write_text(SRT.format(start="500", text="Where should we go?"))
    config = FolderConfig(inputs=(str(tmp_path),), language="en")
    transcripts = {row["audio_file"]: row["transcripts"] for row in folder_rows(config)}
    assert transcripts == {"call.flac": [], "call.wav": ["call.wav.srt"]}
