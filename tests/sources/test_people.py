"""The table that names speakers: which lines are taken, which stop the run, and where the names go."""

import json
import re
from pathlib import Path

import pytest
from command import EMBEDDED, Command
from datasets import load_dataset
from recordings import calls, read_lines

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.sources.people import Person, people_of, read_people

HEADER = "recording,channel,speaker,gender,language\n"


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "people.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder: Path, text: str | bytes) -> str:
    with pytest.raises(DailytalkError) as error:
        read_people(table(folder, text))
    return error.value.reason


def test_lines_name_people_by_recording_and_channel(tmp_path: Path) -> None:
    lines = 'call,left,Anna,female,en\r\n./day\\b.wav,R,"Bob, Jr.",,pt-BR\r\ncall,2, Eva ,,\r\n'
    assert read_people(table(tmp_path, b"\xef\xbb\xbf" + (HEADER + lines).encode())) == {
        ("call", "left"): Person("Anna", "female", "en"),
        ("day/b.wav", "right"): Person("Bob, Jr.", "", "pt-BR"),
        ("call", "right"): Person("Eva"),
    }


def test_gender_language_and_other_columns_may_be_missing_or_there(tmp_path: Path) -> None:
    assert read_people(table(tmp_path, "note,speaker,channel,recording\nx,Anna,a,call\n")) == {
        ("call", "left"): Person("Anna")
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("recording,speaker\ncall,Anna\n", "has no column 'channel'"),
        ("recording;channel;speaker\ncall;left;Anna\n", "has no column 'recording'"),
        ("recording,channel,speaker,speaker\nc,left,A,B\n", "no column 'speaker', or has it twice"),
        ("", "has no column 'recording'"),
        (HEADER + "call,left\n", "line 2 of"),
        (HEADER + "call,left,,,\n", "line 2 of .*: its speaker is ''"),
        (HEADER + ",left,Anna,,\n", "its recording is ''"),
        (HEADER + "call,top,Anna,,\n", "its channel is 'top'"),
        (HEADER + "call,left,RIGHT,,\n", "its speaker is 'RIGHT'"),
        (HEADER + "call,left,Anna,,englisch!\n", "its language is 'englisch!'"),
        (
            HEADER + "call,left,Anna,,\ncall,l,Bob,,\n",
            "line 3 of .*: the left channel of 'call' has another speaker",
        ),
        (HEADER + 'call,left,"Anna\n' + "x" * 200_000, "is no CSV"),
        (HEADER.encode() + b"call,left,Ann\xff,,\n", "line 2 of .* is not UTF-8"),
        (b"\x00\x01\x02", "has no column|is no CSV"),
    ],
)
def test_table_that_can_not_be_meant_stops_with_its_line(tmp_path: Path, text: str | bytes, reason: str) -> None:
    assert re.search(reason, refusal(tmp_path, text))


@pytest.mark.parametrize("side", ["left", "l", "a", "1", "right", "r", "b", "2"])
def test_channel_is_called_as_the_sides_of_a_pair_are_in_any_case(tmp_path: Path, side: str) -> None:
    ((_, channel),) = read_people(table(tmp_path, f"{HEADER}call,{side.upper()},Anna,,\n"))
    assert channel == ("left" if side in ("left", "l", "a", "1") else "right")


# Which recordings are meant


def test_recordings_are_named_by_id_or_path_and_strangers_are_told() -> None:
    anna, bob = Person("Anna"), Person("Bob")
    named = {("call", "left"): anna, ("day/b.mp3", "right"): bob, ("gone", "left"): anna}
    found = people_of(named, [("call", "call.wav"), ("day/b", "day/b.mp3")])
    assert found == ({("call", "left"): anna, ("day/b", "right"): bob}, ["gone"])
    assert people_of({}, [("call", "call.wav")]) == ({}, [])
    with pytest.raises(DailytalkError, match="names no recording of this input, but 'a', 'b', 'c': "):
        people_of({(name, side): anna for name in "abcd" for side in CHANNELS}, [("call", "call.wav")])


# Where the names go


def test_names_reach_the_transcript_and_the_dataset_and_a_new_table_runs_no_stage(
    tmp_path: Path, dailytalk: Command
) -> None:
    source, out = calls(tmp_path / "in", "a", "b"), tmp_path / "out"
    names = table(tmp_path, HEADER + "a,left,Anna,female,\na,right,Bob,,en-GB\nzz,left,Eva,,\n")
    done = dailytalk("build", source, "--out", out, *EMBEDDED, "--speakers", names)
    assert done.code == 0
    assert '--speakers names 1 recording not in INPUT: "zz"' in done.err
    lines = read_lines(out / "transcript.jsonl")
    said = {(line["conversation_id"], line["channel"]): line for line in lines}
    assert {key: line["speaker"] for key, line in said.items()} == {
        ("a", "left"): "Anna",
        ("a", "right"): "Bob",
        ("b", "left"): "b/left",
        ("b", "right"): "b/right",
    }
    assert (said["a", "left"]["gender"], said["a", "right"]["language"]) == ("female", "en-GB")
    assert "gender" not in said["a", "right"]
    rows = load_dataset("parquet", data_files=str(out / "dataset/*.parquet"), split="train").remove_columns(
        "audio"
    )
    assert {row["conversation_id"]: row["speakers"] for row in rows} == {
        "a": {"left": "Anna", "right": "Bob"},
        "b": {"left": None, "right": None},
    }
    shards = {path.name: path.stat().st_mtime_ns for path in (out / "tagged").glob("*.parquet")}
    table(tmp_path, HEADER + "a.wav,left,Anne,,\n")
    assert dailytalk("tag", source, "--out", out, *EMBEDDED, "--speakers", names).code == 0
    assert {line["speaker"] for line in read_lines(out / "transcript.jsonl")} >= {"Anne", "a/right"}
    assert {path.name: path.stat().st_mtime_ns for path in (out / "tagged").glob("*.parquet")} == shards


def test_table_that_names_nothing_here_stops_before_any_work(tmp_path: Path, dailytalk: Command) -> None:
    names = table(tmp_path, HEADER + "other,left,Anna,,\n")
    source = calls(tmp_path / "in", "a")
    done = dailytalk("tag", source, "--out", tmp_path / "out", *EMBEDDED, "--speakers", names)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "name each by its path under INPUT" in done.err
    assert not (tmp_path / "out").exists()


def test_one_speaker_never_trains_and_evaluates(tmp_path: Path, dailytalk: Command) -> None:
    source, out = calls(tmp_path / "in", "a", "b", "c"), tmp_path / "out"
    names = table(tmp_path, HEADER + "a,right,Bob,,\nb,right,Bob,,\nc,right,Eva,,\n")
    assert dailytalk("build", source, "--out", out, *EMBEDDED, "--speakers", names).code == 0
    done = dailytalk("export", out, "--out", tmp_path / "data", "--eval-share", "0.3", "--json")
    assert json.loads(done.out)["speakers_disjoint"]
    sides = {
        name: {Path(line["path"]).stem for line in read_lines(tmp_path / f"data/{name}.jsonl")}
        for name in ("train", "eval")
    }
    assert {frozenset(side) for side in sides.values()} == {frozenset({"a", "b"}), frozenset({"c"})}
