from pathlib import Path
from typing import Any

import pytest
from corpus_trees import clip, good, problems, put, read, table

COLUMNS = ["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]
NAME = "MSP-PODCAST_0001_0008"


def corpus(*lines: list[Any]) -> dict[str, bytes]:
    files = {f"Audios/{line[0]}": clip() for line in lines}
    files["Labels/labels_consensus.csv"] = table(COLUMNS, *lines)
    return files


LINE = [f"{NAME}.wav", "N", 2.2, 4.0, 2.6, 30, "Male", "Test1"]


def test_a_line_of_the_table_and_the_transcript_tell_all_of_a_turn(tmp_path: Path) -> None:
    files = corpus(LINE)
    files[f"Transcripts/{NAME}.txt"] = "So, what’s  that?\r\n".encode()
    (row,) = read("msp_podcast", put(tmp_path, files)).values()
    expected = {"id": f"msp_podcast/{NAME}", "text": "So, what’s that?"}
    expected |= {"speaker": "msp_podcast/30", "gender": "male", "official_split": "test"}
    expected |= {"emotion": "neutral", "label": "N", "perceived": "neutral", "perceived_label": "N"}
    expected |= dict.fromkeys(("agreement", "sentence", "intensity"))
    assert {name: row[name] for name in expected} == expected
    assert row["given_arousal"] == pytest.approx(0.2)
    assert row["given_valence"] == pytest.approx(0.5)
    assert row["given_dominance"] == pytest.approx(1.6 / 6)


def test_a_turn_without_a_label_is_rejected_and_papers_and_old_releases_are_not_rows(tmp_path: Path) -> None:
    files = corpus(LINE)
    files["Audios/MSP-PODCAST_test3_0001.wav"] = clip()
    for name in ("Partition.txt", "readme.txt", "Labels/labels.txt", "ForceAligned/a.TextGrid", "Speaker_ids.txt"):
        files[name] = b""
    earlier = "Previous_releases_information"
    files[f"{earlier}/files_removed/MSP-PODCAST_0002_0001.wav"] = clip()
    files[f"{earlier}/1.0/Labels/labels_consensus.csv"] = table(COLUMNS)
    rows = read("msp_podcast", put(tmp_path, files))
    assert len(good(rows)) == 1
    assert problems(rows) == {
        "Audios/MSP-PODCAST_test3_0001.wav": "labels_consensus.csv has no line for it (labels of Test3 are not "
        "published)"
    }
