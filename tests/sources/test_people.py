"""The table that names speakers: which lines are taken, which stop the run, and where the names go."""

import re
from pathlib import Path

import pytest
from command import EMBEDDED, Command
from datasets import load_dataset
from recordings import calls, read_lines

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.sources.people import Person, people_of, read_people

HEADER = "recording,channel,speaker,gender,language\n"


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "people.csv"
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(data)
    return path


def refusal(folder: Path, text: str | bytes) -> str:
    with pytest.raises(DailytalkError) as error:
        read_people(table(folder, text))
    return error.value.reason


def test_lines_name_people_by_recording_and_channel(tmp_path: Path) -> None:
    lines = 'call,left,Anna,female,en\r\n./day\\b.wav,R,"Bob, Jr.",,pt-BR\r\ncall,2, Eva ,,\r\n'
    text = HEADER + lines
    people = read_people(table(tmp_path, b"\xef\xbb\xbf" + text.encode()))
    assert people == {
        ("call", "left"): Person("Anna", "female", "en"),
        ("day/b.wav", "right"): Person("Bob, Jr.", "", "pt-BR"),
        ("call", "right"): Person("Eva"),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("recording,speaker\ncall,Anna\n", "has no column 'channel'"),
        (HEADER + "call,left,,,\n", "line 2 of .*: its speaker is ''"),
        (HEADER + "call,top,Anna,,\n", "its channel is 'top'"),
        (
            HEADER + "call,left,Anna,,\ncall,l,Bob,,\n",
            "line 3 of .*: the left channel of 'call' has another speaker",
        ),
        (HEADER + 'call,left,"Anna\n' + "x" * 200_000, "is not CSV"),
        (HEADER.encode() + b"call,left,Ann\xff,,\n", "is not UTF-8"),
    ],
)
def test_table_that_can_not_be_meant_stops_with_its_line(tmp_path: Path, text: str | bytes, reason: str) -> None:
    assert re.search(reason, refusal(tmp_path, text))


# Which recordings are meant


def test_recordings_are_named_by_id_or_path_and_strangers_are_told() -> None:
    anna = Person("Anna")
    bob = Person("Bob")
    named = {
        ("call", "left"): anna,
        ("day/b.mp3", "right"): bob,
        ("gone", "left"): anna,
    }
    call = ("call", "call.wav")
    people, strangers = people_of(named, [call, ("day/b", "day/b.mp3")])
    assert people == {("call", "left"): anna, ("day/b", "right"): bob}
    assert strangers == ["gone"]
    assert people_of({}, [call]) == ({}, [])
    unknown = {(name, side): anna for name in "abcd" for side in CHANNELS}
    with pytest.raises(DailytalkError, match="names no recording of this input, but 'a', 'b', 'c': "):
        people_of(unknown, [call])


# Where the names go


def shards(out: Path) -> dict[str, int]:
    """When each shard of a run was written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "tagged").glob("*.parquet")}


def test_names_reach_the_transcript_and_the_dataset_and_a_new_table_runs_no_stage(
    tmp_path: Path, dailytalk: Command
) -> None:
    source = calls(tmp_path / "in", "a", "b")
    out = tmp_path / "out"
    names = table(tmp_path, HEADER + "a,left,Anna,female,\na,right,Bob,,en-GB\nzz,left,Eva,,\n")
    options = (source, "--out", out, *EMBEDDED, "--speakers", names)
    done = dailytalk("build", *options)
    assert done.code == 0
    assert '--speakers names what is not in INPUT: "zz"' in done.err
    lines = {}
    for line in read_lines(out / "transcript.jsonl"):
        lines[line["conversation_id"], line["channel"]] = line
    speakers = {key: line["speaker"] for key, line in lines.items()}
    assert speakers == {
        ("a", "left"): "Anna",
        ("a", "right"): "Bob",
        ("b", "left"): "b/left",
        ("b", "right"): "b/right",
    }
    assert lines["a", "left"]["gender"] == "female"
    assert lines["a", "right"]["language"] == "en-GB"
    assert "gender" not in lines["a", "right"]
    dataset = load_dataset("parquet", data_files=str(out / "dataset/*.parquet"), split="train")
    named = {row["conversation_id"]: row["speakers"] for row in dataset.remove_columns("audio")}
    assert named == {
        "a": {"left": "Anna", "right": "Bob"},
        "b": {"left": None, "right": None},
    }
    before = shards(out)
    table(tmp_path, HEADER + "a.wav,left,Anne,,\n")
    done = dailytalk("tag", *options)
    assert done.code == 0
    renamed = {line["speaker"] for line in read_lines(out / "transcript.jsonl")}
    assert renamed >= {"Anne", "a/right"}
    assert shards(out) == before
