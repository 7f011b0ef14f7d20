from pathlib import Path
from typing import Any

import pytest
from corpus_trees import clip, good, problems, put, read, table

COLUMNS = ["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]
NAME = "MSP-PODCAST_0001_0008"


def corpus(*lines: list[Any]) -> dict[str, bytes]:
    files = {f"Audios/{line[0]}": clip() for line in lines}
    return files | {"Labels/labels_consensus.csv": table(COLUMNS, *lines)}


def line(**changed: Any) -> list[Any]:
    usual = dict(zip(COLUMNS, [f"{NAME}.wav", "N", 2.2, 4.0, 2.6, 30, "Male", "Test1"], strict=True))
    return list((usual | changed).values())


def test_a_line_of_the_table_and_the_transcript_tell_all_of_a_turn(tmp_path: Path) -> None:
    files = corpus(line()) | {f"Transcripts/{NAME}.txt": "So, what’s  that?\r\n".encode()}
    (row,) = read("msp_podcast", put(tmp_path, files)).values()
    told = {"id": f"msp_podcast/{NAME}", "text": "So, what’s that?", "speaker": "msp_podcast/30", "gender": "male"}
    told |= {"emotion": "neutral", "label": "N", "perceived": "neutral", "perceived_label": "N", "agreement": None}
    told |= {"official_split": "test", "sentence": None, "intensity": None}
    assert {name: row[name] for name in told} == told
    assert row["given_arousal"] == pytest.approx(0.2)
    assert row["given_valence"] == pytest.approx(0.5)
    assert row["given_dominance"] == pytest.approx(1.6 / 6)


def test_a_turn_without_a_label_is_rejected_and_papers_and_old_releases_are_not_rows(tmp_path: Path) -> None:
    files = corpus(line()) | {"Audios/MSP-PODCAST_test3_0001.wav": clip(), "Partition.txt": b"", "readme.txt": b""}
    files |= {"Labels/labels.txt": b"", "ForceAligned/a.TextGrid": b"", "Speaker_ids.txt": b""}
    files |= {"Previous_releases_information/files_removed/MSP-PODCAST_0002_0001.wav": clip()}
    files |= {"Previous_releases_information/1.0/Labels/labels_consensus.csv": table(COLUMNS)}
    rows = read("msp_podcast", put(tmp_path, files))
    assert len(good(rows)) == 1
    assert problems(rows) == {
        "Audios/MSP-PODCAST_test3_0001.wav": "labels_consensus.csv has no line for it (labels of Test3 are not "
        "published)"
    }
