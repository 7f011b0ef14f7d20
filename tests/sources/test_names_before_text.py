"""Names before the texts of subtitles, whatever they look like, and those that may not be written."""

import json
from pathlib import Path

import pytest
import soundfile

from dailytalk_contiguous import Folder
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut
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
    assert [cue.text for cue in cues] == SPOKEN
    assert [cue.channel for cue in cues] == names * 4


@pytest.mark.parametrize("prefixes", [["Yes:", "Yes:", ""], ["[laughter]", "[music]"]])
def test_what_both_say_often_and_what_is_a_sound_is_no_name(tmp_path: Path, prefixes: list[str]) -> None:
    cues = read_transcripts([vtt(tmp_path / "call.vtt", prefixes)], "call.wav")
    assert {cue.speaker for cue in cues} == {None}
    if prefixes[0] == "Yes:":
        assert [cue.text for cue in cues][:3] == [f"Yes: {text}" for text in SPOKEN[:2]] + SPOKEN[2:3]


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
    named = [sorted({cue["channel"] for cue in row["cues"]}) for row in rows]
    assert named == [["?Anna Lee", "?caller-1"], ["?caller-1", "?caller-2"], ["?Anna Lee", "?caller-3"]]
    written = json.dumps(rows, default=str)
    for private in ("0100", "example.com", "4711"):
        assert private not in written
    hidden = list(Folder(inputs=(str(folder),), anonymous=True).as_streaming_dataset("train"))
    assert "Anna" not in json.dumps(hidden, default=str)
    assert {row["input_digest"] for row in hidden}.isdisjoint(row["input_digest"] for row in rows)


@pytest.mark.parametrize(
    "name",
    [
        "tel:+14155550100",
        "sip:+14155550100",
        "Caller +1 415 555 0100",
        "001 (415) 555-0100",
        "(415) 555-0100 ext. 12",
        "+1 415\u2011555\u20110100",
        "\u202a+1 415-555-0100\u202c",
        "\uff0b1 415 555 0100",
        "4155550100#",
        "WhatsApp (4155550100)",
    ],
)
@pytest.mark.parametrize("before", ["{}:", "[{}]"])
def test_numbers_of_every_spelling_are_private(tmp_path: Path, name: str, before: str) -> None:
    soundfile.write(tmp_path / "call.wav", [[0.1, -0.1]] * 16000 * 9, 16000)
    vtt(tmp_path / "call.vtt", [before.format(name), before.format("Ben Ort")])
    (row,) = Folder(inputs=(str(tmp_path),)).as_streaming_dataset("train")
    assert [cue["text"] for cue in row["cues"]] == SPOKEN
    assert "0100" not in json.dumps(row["cues"], default=str)


def test_one_number_is_one_caller_however_it_is_spelled(tmp_path: Path) -> None:
    spellings = ["+1 415-555-0100:", "tel:+14155550100:", "001 (415) 555 0100:", "Caller 1-415-555-0100:"]
    for index, name in enumerate(spellings):
        soundfile.write(tmp_path / f"{index}.wav", [[0.1, -0.1]] * 16000 * 9, 16000)
        vtt(tmp_path / f"{index}.vtt", [name, "Ben Ort:"])
    rows = Folder(inputs=(str(tmp_path),)).as_streaming_dataset("train")
    assert {row["cues"][0]["channel"] for row in rows} == {"?caller-1"}


def test_an_address_that_is_said_before_a_colon_is_speech(tmp_path: Path) -> None:
    path = vtt(tmp_path / "call.vtt", ["", "", "", "Write to sales@example.com:", "", "", "", ""])
    cues = read_transcripts([path], "call.wav")
    assert "Write to sales@example.com: Two of them?" in [cue.text for cue in cues]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("call.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n\n+1 415-555-0100 --> 00:03.000\nYes.\n"),
        ("call.sbv", "0:00:00.500,0:00:01.000\nHello\n\n+1 415-555-0100: Yes sir\n"),
        ("call.txt", "0.5\t1\tHello\n1.5\t2\tYes\n2.5 3 +1 415-555-0100: Hello\n3.5\t4\tYes\n"),
        ("call.ctm", "+14155550100 1 0.5 0.4 Hello\n+14155550101 1 1.5 0.4 Yes\n"),
        ("call.json", '{"monologues": [{"speaker": {"tel": "+1 415-555-0100"}, "elements": [{"value": "a"}]}]}'),
        ("call.json", '{"segments": [{"start": 1, "end": 2, "text": "a", "speaker": {"tel": "4155550100"}}]}'),
    ],
)
def test_an_error_about_a_line_or_a_value_has_no_number(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        read_transcripts([path], "call.wav")
    assert "0100" not in str(caught.value)


def test_names_of_tiers_are_private_too(tmp_path: Path) -> None:
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        "xmax = 9",
        "tiers? <exists>",
    ]
    lines += ["size = 3", "item []:"]
    for number, name in enumerate(["ann@example.com", "ben@example.com", "notes +1 415-555-0100"], 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", "        xmax = 9", "        intervals: size = 1", "        intervals [1]:"]
        lines += ["            xmin = 0", "            xmax = 9", '            text = "good morning to you"']
    soundfile.write(tmp_path / "call.wav", [[0.1, -0.1]] * 16000 * 9, 16000)
    (tmp_path / "call.TextGrid").write_text("\n".join(lines) + "\n")
    left_out = LeftOut()
    (row,) = folder_rows(FolderConfig(inputs=(str(tmp_path),), language="en"), left_out)
    assert [cue["channel"] for cue in row["cues"]] == ["?caller-1", "?caller-2"]
    written = json.dumps([row, left_out.tiers], default=str)
    assert "example.com" not in written
    assert "0100" not in written


def test_a_cue_of_very_many_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "call.vtt"
    path.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n" + "so it is\n" * 150_000)
    (cue,) = read_transcripts([path], "call.wav")
    assert len((cue.text or "").split()) == 450_000


def test_an_error_names_no_number(tmp_path: Path) -> None:
    path = vtt(tmp_path / "call.vtt", ["+1 415-555-0100:", "+1 415-555-0101:", "A:", "B:"])
    with pytest.raises(Exception, match="more than two speakers") as caught:
        read_transcripts([path], "call.wav")
    assert "0100" not in str(caught.value)


def test_times_of_lines_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "call.ctm"
    path.write_text("call 1 1e308 nan a\n")
    with pytest.raises(BadInput, match="its times are '1e308' to None"):
        read_transcripts([path], "call.wav")


@pytest.mark.parametrize(
    ("first", "second"), [("Nurse:", "Patient:"), ("Rep:", "Prospect:"), ("Tutor:", "Pupil:")]
)
def test_a_role_is_the_name_of_nobody(tmp_path: Path, first: str, second: str) -> None:
    cues = read_transcripts([vtt(tmp_path / "call.vtt", [first, second])], "call.wav")
    assert [cue.text for cue in cues] == SPOKEN
    assert {cue.speaker for cue in cues} == {None}
