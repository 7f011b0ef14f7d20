import json
from pathlib import Path

import pytest
from corpus_trees import POINTER, check_builder, clip, good, problems, put, read

from dailytalk_contiguous.apps.clips.corpora.registry import count_check
from dailytalk_contiguous.core.errors import DailytalkError

ALIGNMENT = json.dumps(
    {"alignments": [["Hello", [0.1, 0.4], "SPEAKER_MAIN"], ["there.", [0.4, 0.9], "SPEAKER_MAIN"]]}
).encode()
CALL = {"data_stereo/0.wav": clip(2.0, 44100, 2), "data_stereo/0.json": ALIGNMENT}
BESIDE = {"dailytalk.jsonl": b'{"path": "data_stereo/0.wav", "duration": 2.0}\n', "README.md": b"x"}


def test_a_recording_is_read_as_it_is_with_its_words_on_the_left(tmp_path: Path) -> None:
    (row,) = read("dailytalk_contiguous", put(tmp_path, CALL | BESIDE | {".gitattributes": b""})).values()
    assert (row["problem"], row["sample_rate"], row["channels"], row["duration"]) == (None, 44100, 2, 2.0)
    assert [(cue["channel"], cue["text"], cue["start"]) for cue in row["given"]] == [("left", "Hello there.", 0.1)]
    assert row["audio"]["path"] == str(tmp_path / "data_stereo/0.wav")


def test_what_does_not_fit_is_rejected(tmp_path: Path) -> None:
    files = CALL | {"data_stereo/1.wav": clip(1.0, 16000, 2), "data_stereo/2.wav": POINTER, "notes.docx": b"x"}
    files |= {"data_stereo/3.wav": clip(), "data_stereo/3.json": ALIGNMENT}
    rows = read("dailytalk_contiguous", put(tmp_path, files))
    assert len(good(rows)) == 1
    found = problems(rows)
    assert found.pop("data_stereo/3.wav").startswith("it has one channel")
    assert found == {
        "data_stereo/1.wav": "it has no alignment beside it",
        "data_stereo/2.wav": "it is a Git LFS pointer, not the file itself",
        "notes.docx": "DailyTalkContiguous is not known to hold a file like 'notes.docx'",
    }
    assert rows["data_stereo/1.wav"]["remedy"] == "get its .json, too"
    assert rows["data_stereo/2.wav"]["remedy"] == "run git lfs pull in the checkout"
    assert rows["notes.docx"]["remedy"] == "take it out of the folder"


@pytest.mark.parametrize("linked", ["data_stereo/0.wav", "data_stereo/0.json", "data_stereo"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, linked: str) -> None:
    folder = put(tmp_path / "in", CALL)
    put(folder, {"more/1.wav": clip(2.0, 44100, 2), "more/1.json": ALIGNMENT})
    (folder / linked).rename(tmp_path / "elsewhere")
    (folder / linked).symlink_to(tmp_path / "elsewhere")
    rows = read("dailytalk_contiguous", folder)
    assert [row["audio_file"] for row in good(rows)] == ["more/1.wav"]
    assert len(rows) == 2


def test_missing_conversations_are_told(tmp_path: Path) -> None:
    rows = read("dailytalk_contiguous", put(tmp_path, CALL))
    assert count_check("dailytalk_contiguous", rows.values()) == [
        "dailytalk_contiguous: 1 conversations were read, 2541 are published."
    ]


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="no recording is in"):
        read("dailytalk_contiguous", put(tmp_path, BESIDE))
    with pytest.raises(DailytalkError, match=r"dailytalk\.jsonl' is not a folder"):
        read("dailytalk_contiguous", tmp_path / "dailytalk.jsonl")


def test_eager_and_streaming_rows_are_the_same(tmp_path: Path) -> None:
    check_builder("dailytalk_contiguous", put(tmp_path / "in", CALL | {"notes.docx": b"x"}), tmp_path / "cache")
