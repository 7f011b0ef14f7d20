"""Snapping a Moshi folder moves words into speech, changes nothing else, and says by how much."""

import json
from pathlib import Path

import pytest
import soundfile

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.snapping import snap_folder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/conversations"


def training_folder(tmp_path: Path, late: float) -> Path:
    """A Moshi folder of one example's first half minute, its words `late` seconds too late."""
    samples, rate = soundfile.read(EXAMPLES / "bicycle_repair.flac", frames=30 * 16000)
    (tmp_path / "data_stereo").mkdir()
    soundfile.write(tmp_path / "data_stereo" / "call.wav", samples, rate)
    reference = json.loads((EXAMPLES / "bicycle_repair.reference.json").read_text(encoding="utf-8"))
    alignments = sorted(
        (
            [word["word"], [word["start"] + late, word["end"] + late], speaker]
            for utterance in reference["utterances"]
            for word in utterance["words"]
            for speaker in ["SPEAKER_MAIN" if utterance["channel"] == "left" else "SPEAKER_OTHER"]
            if word["end"] + late < 30
        ),
        key=lambda entry: entry[1],
    )
    told = {"alignments": alignments, "text_conditions": {"style": "calm"}}
    (tmp_path / "data_stereo" / "call.json").write_text(json.dumps(told), encoding="utf-8")
    return tmp_path


def alignments(folder: Path) -> list[list[object]]:
    told = json.loads((folder / "data_stereo" / "call.json").read_text(encoding="utf-8"))
    assert told["text_conditions"] == {"style": "calm"}
    return told["alignments"]


def silent_seconds(entries: list[list[object]]) -> float:
    """Seconds of words during which their speaker says nothing, by the reference."""
    reference = json.loads((EXAMPLES / "bicycle_repair.reference.json").read_text(encoding="utf-8"))
    side = {"SPEAKER_MAIN": "left", "SPEAKER_OTHER": "right"}
    silent = 0.0
    for _, (start, end), speaker in entries:
        spans = [(one["start"], one["end"]) for one in reference["utterances"] if one["channel"] == side[speaker]]
        silent += end - start - sum(max(0.0, min(end, last) - max(start, first)) for first, last in spans)
    return silent


def test_words_that_are_late_come_back_into_speech(tmp_path: Path) -> None:
    folder = training_folder(tmp_path, late=0.3)
    before = alignments(folder)
    found = snap_folder(folder)
    after = alignments(folder)
    assert found.moved > 0
    assert silent_seconds(after) < 0.5 * silent_seconds(before)
    assert found.written == found.files == 1
    assert found.words == len(before) == len(after)
    assert sorted(entry[0] for entry in before) == sorted(entry[0] for entry in after)
    assert after == sorted(after, key=lambda entry: entry[1])
    assert all(entry[1][1] > entry[1][0] for entry in after)


def test_words_inside_speech_are_left_as_they_are(tmp_path: Path) -> None:
    folder = training_folder(tmp_path, late=0.0)
    snap_folder(folder)  # the first may move an edge that sticks out by a few milliseconds
    before = (folder / "data_stereo" / "call.json").read_bytes()
    found = snap_folder(folder)
    assert (found.moved, found.written) == (0, 0)
    assert (folder / "data_stereo" / "call.json").read_bytes() == before


def test_a_folder_without_transcripts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="no WAV with a transcript"):
        snap_folder(tmp_path)


@pytest.mark.parametrize(
    "entry", [["word"], ["word", [0.0], "SPEAKER_MAIN"], ["word", [0.0, "1"], "SPEAKER_MAIN"]]
)
def test_word_that_is_none_is_refused_and_nothing_is_written(tmp_path: Path, entry: object) -> None:
    folder = training_folder(tmp_path, 0.0)
    path = folder / "data_stereo" / "call.json"
    path.write_text(json.dumps({"alignments": [entry]}))
    before = path.read_bytes()
    with pytest.raises(DailytalkError, match="has the word"):
        snap_folder(folder)
    assert path.read_bytes() == before


def test_first_transcript_by_name_that_is_none_is_named(tmp_path: Path) -> None:
    for number in range(9, -1, -1):
        (tmp_path / f"{number}.wav").write_bytes(b"")
        (tmp_path / f"{number}.json").write_text("{}")
    with pytest.raises(DailytalkError, match=r"/0\.json"):
        snap_folder(tmp_path)


def test_words_of_a_speaker_whose_channel_is_not_there_stay(tmp_path: Path) -> None:
    samples, rate = soundfile.read(EXAMPLES / "bicycle_repair.flac", frames=4 * 16000)
    soundfile.write(tmp_path / "call.wav", samples[:, 0], rate)
    told = {"alignments": [["no", [0.0, 0.2], "SPEAKER_OTHER"], ["who", [0.1, 0.2], "SPEAKER_THIRD"]]}
    (tmp_path / "call.json").write_text(json.dumps(told))
    assert snap_folder(tmp_path) == (1, 0, 0, 0, 0, 0.0)
    assert json.loads((tmp_path / "call.json").read_text()) == told
