"""Names before the texts of subtitles, whatever they look like, and those that may not be written."""

import json
from pathlib import Path

import pytest
import soundfile

from dailytalk_contiguous import Folder
from dailytalk_contiguous.sources.transcripts import read_transcripts

#: What two people say, in turn.
SPOKEN = [
    "Good morning.",
    "Hello, it is: fine.",
    "Yes: I think so.",
    "Two of them?",
    "I would.",
    "And then?",
    "Well.",
    "Bye.",
]


def vtt(path: Path, prefixes: list[str]) -> Path:
    """Subtitles of a second each, one after the other, with these prefixes in turn."""
    lines = ["WEBVTT", ""]
    for number, text in enumerate(SPOKEN):
        prefix = prefixes[number % len(prefixes)]
        lines += [f"00:0{number}.000 --> 00:0{number}.900", f"{prefix} {text}".strip(), ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("Lee, Anna:", "Ben Ort [he/him]:", ["?Lee, Anna", "?Ben Ort"]),
        ("Dr. Anna Maria van der Lee-Ortiz:", "Ben Ort:", ["?Dr. Anna Maria van der Lee-Ortiz", "?Ben Ort"]),
        ("(speaker 0)", "(speaker 1)", ["?speaker 0", "?speaker 1"]),
        ("(speaker 0)", "(speaker ?)", ["?speaker 0", "?"]),
        ("[Anna]", "[Ben]", ["?Anna", "?Ben"]),
        ("+1 415-555-0100:", "ann.lee@example.com:", ["?+1 415-555-0100", "?ann.lee@example.com"]),
        ("+1******0100:", "Anna:", ["?+1******0100", "?Anna"]),
    ],
)
def test_equal_beginnings_of_most_cues_are_names_and_no_speech(
    tmp_path: Path, first: str, second: str, names: list[str]
) -> None:
    cues = read_transcripts([vtt(tmp_path / "call.vtt", [first, second])], "call.wav")
    assert [cue["text"] for cue in cues] == SPOKEN
    assert [cue["channel"] for cue in cues] == names * 4


@pytest.mark.parametrize("prefixes", [["Yes:", "Yes:", ""], ["[laughter]", "[music]"]])
def test_what_both_say_often_and_what_is_a_sound_is_no_name(tmp_path: Path, prefixes: list[str]) -> None:
    cues = read_transcripts([vtt(tmp_path / "call.vtt", prefixes)], "call.wav")
    assert {cue["speaker"] for cue in cues} == {None}
    if prefixes[0] == "Yes:":
        assert [cue["text"] for cue in cues][:3] == [f"Yes: {text}" for text in SPOKEN[:2]] + SPOKEN[2:3]


def test_a_number_is_one_caller_in_all_recordings_and_stands_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    prefixes = {
        "a": ["+1 415-555-0100:", "Anna Lee:"],
        "b": ["ann.lee@example.com:", "+1 (415) 555 0100:"],
        "c": ["sip:4711@example.com:", "Anna Lee:"],
    }
    for name, pair in prefixes.items():
        soundfile.write(folder / f"{name}.wav", [[0.1, -0.1]] * 16000 * 9, 16000)
        vtt(folder / f"{name}.vtt", pair)
    rows = list(Folder(inputs=(str(folder),)).as_streaming_dataset("train"))
    named = [sorted({cue["channel"] for cue in row["given"]}) for row in rows]
    assert named == [["?Anna Lee", "?caller-1"], ["?caller-1", "?caller-2"], ["?Anna Lee", "?caller-3"]]
    written = json.dumps(rows, default=str)
    for private in ("0100", "example.com", "4711"):
        assert private not in written
    hidden = list(Folder(inputs=(str(folder),), anonymous=True).as_streaming_dataset("train"))
    assert "Anna" not in json.dumps(hidden, default=str)
    assert {row["input_digest"] for row in hidden}.isdisjoint(row["input_digest"] for row in rows)


def test_an_error_names_no_number(tmp_path: Path) -> None:
    path = vtt(tmp_path / "call.vtt", ["+1 415-555-0100:", "+1 415-555-0101:", "A:", "B:"])
    with pytest.raises(Exception, match="more than two speakers") as caught:
        read_transcripts([path], "call.wav")
    assert "0100" not in str(caught.value)
