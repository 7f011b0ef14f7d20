"""Names that differ in Unicode's normal form alone, as after a copy by way of macOS, a ZIP or a table."""

import json
import os
import unicodedata
from pathlib import Path

import pytest
from audio_files import wav_bytes
from command import Command
from recordings import excerpt, read_lines, save

import dailytalk_contiguous
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.pairs import pair_choice
from dailytalk_contiguous.sources.recordings import LeftOut, list_recordings
from dailytalk_contiguous.sources.transcribed import transcribed

NAME = "café 한국 ö"
FORMS = [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")]
SRT = "1\n00:00:01,000 --> 00:00:02,000\n{}\n"
WORDS_ONLY = ("--affect-model", "none", "--asr-model", "none", "--language", "en")

both_forms = pytest.mark.parametrize(("one", "other"), FORMS)


def in_form(form: str, text: str = NAME) -> str:
    return unicodedata.normalize(form, text)


def side(folder: Path, name: str, channel: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(wav_bytes(excerpt()[:, [channel]]))
    return path


def texts(folder: Path, left_out: LeftOut | None = None, **settings: str) -> list[tuple[str, list[str]]]:
    """The name of each recording of a folder, and the texts of its transcript."""
    rows = folder_rows(FolderConfig(inputs=(str(folder),), language="en", **settings), left_out)
    return [(row["recording_id"], [cue["text"] for cue in row["cues"]]) for row in rows]


@both_forms
def test_transcript_is_that_of_the_recording_of_its_name(tmp_path: Path, one: str, other: str) -> None:
    save(tmp_path / f"{in_form(one)}.wav")
    (tmp_path / f"{in_form(other)}.left.srt").write_text(SRT.format("Left."))
    (tmp_path / f"{in_form(other)}.right.srt").write_text(SRT.format("Right."))
    left_out = LeftOut()
    assert texts(tmp_path, left_out) == [(NAME, ["Left.", "Right."])]
    assert left_out.unread == {}
    (tmp_path / f"{in_form(other)}.docx").write_text("Left.")
    texts(tmp_path, left_out)
    assert left_out.unread == {"of no format of transcripts": [f"{in_form(other)}.docx"]}


@both_forms
def test_transcripts_in_another_folder_are_found_by_their_names(tmp_path: Path, one: str, other: str) -> None:
    save(tmp_path / "in" / in_form(one, "Übung") / f"{in_form(one)}.wav")
    (tmp_path / "texts" / in_form(other, "Übung")).mkdir(parents=True)
    (tmp_path / "texts" / in_form(other, "Übung") / f"{in_form(other)}.srt").write_text(SRT.format("Hi."))
    assert texts(tmp_path / "in", transcripts=str(tmp_path / "texts")) == [(f"Übung/{NAME}", ["Hi."])]
    file = tmp_path / f"{in_form(other)}.srt"
    file.write_text(SRT.format("Hello."))
    assert texts(tmp_path / "in", transcripts=str(file)) == [(f"Übung/{NAME}", ["Hello."])]


@both_forms
def test_lines_of_many_recordings_are_those_of_the_recording_of_their_name(
    tmp_path: Path, one: str, other: str
) -> None:
    save(tmp_path / f"{in_form(one)}.wav")
    line = {"audio_filepath": f"{in_form(other)}.wav", "duration": 2.0, "text": "Hi.", "speaker": "left"}
    (tmp_path / "manifest.json").write_text(json.dumps(line) + "\n")
    assert texts(tmp_path) == [(NAME, ["Hi."])]


@both_forms
def test_two_sides_are_one_recording_with_the_transcript_of_each(tmp_path: Path, one: str, other: str) -> None:
    side(tmp_path, f"{in_form(one)}.left.wav", 0)
    side(tmp_path, f"{in_form(other)}.right.wav", 1)
    (tmp_path / f"{in_form(other)}.left.srt").write_text(SRT.format("Left."))
    (tmp_path / f"{in_form(one)}.right.srt").write_text(SRT.format("Right."))
    assert texts(tmp_path) == [(NAME, ["Left.", "Right."])]


@both_forms
def test_table_of_pairs_and_words_of_it_name_the_files(tmp_path: Path, one: str, other: str) -> None:
    jörg = side(tmp_path / "in", in_form(one, f"{NAME} Jörg.wav"), 0)
    zoë = side(tmp_path / "in", in_form(one, f"{NAME} Zoë.wav"), 1)
    table = tmp_path / "pairs.csv"
    table.write_text(in_form(other, f"left,right\n{NAME} Zoë.wav,{NAME} Jörg\n"))
    for choice in (str(table), in_form(other, "Zoë,Jörg")):
        (recording,) = list_recordings([tmp_path / "in"], sides=True, choice=pair_choice(choice))
        assert recording.pair == (zoë, jörg, None)


@both_forms
def test_clock_of_each_side_is_in_the_file_of_its_name(tmp_path: Path, one: str, other: str) -> None:
    side(tmp_path, f"{in_form(one)}.left.wav", 0)
    side(tmp_path, f"{in_form(one)}.right.wav", 1)
    for name, ticks in (("left", 90_000), ("right", 225_000)):
        head = f"WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{ticks}\n\n"
        cue = "00:00:01.000 --> 00:00:02.000\nHi.\n"
        (tmp_path / f"{in_form(other)}.{name}.vtt").write_text(head + cue)
    (row,) = folder_rows(FolderConfig(inputs=(str(tmp_path),), language="en"))
    starts = {cue["channel"]: cue["start"] for cue in row["cues"]}
    assert starts == {"left": 1.0, "right": 2.5}


@both_forms
def test_table_of_speakers_names_the_recording_of_its_name(
    tmp_path: Path, dailytalk: Command, one: str, other: str
) -> None:
    save(tmp_path / "in" / f"{in_form(one)}.wav", excerpt(seconds=8.5))
    (tmp_path / "in" / f"{in_form(one)}.left.srt").write_text(SRT.format("Hi there."))
    (tmp_path / "people.csv").write_text(f"recording,channel,speaker\n{in_form(other)},left,Anna\n")
    done = dailytalk(
        *("tag", tmp_path / "in", "--out", tmp_path / "out", *WORDS_ONLY), "--speakers", tmp_path / "people.csv"
    )
    assert done.code == 0, done.err
    lines = read_lines(tmp_path / "out/transcript.jsonl")
    assert {line["speaker"] for line in lines if line["channel"] == "left"} == {"Anna"}
    assert {line["audio_file"] for line in lines} == {f"{NAME}.wav"}


@both_forms
def test_recording_is_found_again_under_its_name(tmp_path: Path, one: str, other: str) -> None:
    folder = tmp_path / "in" / in_form(one, "Übung")
    save(folder / f"{in_form(one)}.wav")
    line = {"audio_file": in_form(other, f"Übung/{NAME}.wav"), "channel": "left", "start": 1.0, "end": 2.0}
    transcript = tmp_path / "transcript.jsonl"
    transcript.write_text(json.dumps(line | {"text": "Hi.", "tag": "(calm)"}) + "\n")
    rejects: list = []
    rows = list(transcribed(transcript, None, tmp_path / "in", rejects))
    assert (len(rows), rejects) == (1, [])


def test_two_recordings_of_one_name_are_rejected_and_join_no_side(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        side(tmp_path, f"{in_form(form)}.left.wav", 0)
    side(tmp_path, f"{NAME}.right.wav", 1)
    problems = {row["recording_id"]: row["problem"] for row in folder_rows(FolderConfig(inputs=(str(tmp_path),)))}
    assert problems[f"{NAME}.left"] == "another recording is shown by the same name"
    assert len(problems) == 2
    assert all(problems.values())


def test_names_that_are_no_utf8_are_built_with_their_transcripts(tmp_path: Path, dailytalk: Command) -> None:
    names = (b"caf\xe9", "電話".encode("shift_jis"))
    for name in names:
        path = save(os.fsencode(tmp_path) + b"/in/" + name + b".wav", excerpt(seconds=8.5))
        path.with_suffix(".left.srt").write_text(SRT.format("Hi there."))
    recorded = ("--revoice", "none", "--aligner", "none")
    out = tmp_path / os.fsdecode(b"out \xe9")
    done = dailytalk("build", tmp_path / "in", "--out", out, *recorded, *WORDS_ONLY)
    assert done.code == 0, done.err
    lines = read_lines(out / "transcript.jsonl")
    assert {line["audio_file"] for line in lines} == {"caf\\xe9.wav", "\\x93d\\x98b.wav"}
    rows = dailytalk_contiguous.load(out, split="train")
    assert {*rows["conversation_id"]} == {"caf\\xe9", "\\x93d\\x98b"}


def test_link_of_the_same_name_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    save(tmp_path / "outside.wav")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{in_form('NFD')}.wav").symlink_to(tmp_path / "outside.wav")
    line = {"audio_file": f"{NAME}.wav", "channel": "left", "start": 1.0, "end": 2.0, "text": "Hi.", "tag": ""}
    transcript = tmp_path / "transcript.jsonl"
    transcript.write_text(json.dumps(line) + "\n")
    rejects: list = []
    assert list(transcribed(transcript, None, tmp_path / "in", rejects)) == []
    assert "is not in" in rejects[0].reason
