from pathlib import Path
from typing import Any

import pytest
from corpus_trees import clip, put, read, table

from dailytalk_contiguous.apps.clips.clip_run import read_corpus
from dailytalk_contiguous.apps.clips.corpora.crema_d import VOTES

ACTORS = table(["ActorID", "Age", "Sex", "Race", "Ethnicity"], [1001, 51, "Male", "Caucasian", "Not Hispanic"])
SUMMARY = ["", "FileName", "VoiceVote", "VoiceLevel", "FaceVote", "FaceLevel", "MultiModalVote", "MultiModalLevel"]
TABULATED = ["", *VOTES, "fileName", "numResponses", "agreement", "emoVote"]


def tree(*names: str, **tables: bytes) -> dict[str, bytes]:
    files = {f"AudioWAV/{name}.wav": clip() for name in names}
    files["VideoDemographics.csv"] = ACTORS
    return files | {f"processedResults/{name}.csv": data for name, data in tables.items()}


def summary(**heard: str) -> bytes:
    lines = [[n, name, vote, 60, "S", 60, "S", 60] for n, (name, vote) in enumerate(heard.items(), 1)]
    return table(SUMMARY, *lines)


def row_of(tmp_path: Path, files: dict[str, bytes]) -> dict[str, Any]:
    (row,) = read("crema_d", put(tmp_path, files)).values()
    return row


def test_a_name_and_the_table_of_actors_tell_all_of_a_clip(tmp_path: Path) -> None:
    row = row_of(tmp_path, tree("1001_IEO_FEA_HI"))
    expected = {"id": "crema_d/1001_IEO_FEA_HI", "licence": "ODbL-1.0"}
    expected |= {"speaker": "crema_d/1001", "gender": "male", "age": 51}
    expected |= {"emotion": "fearful", "label": "FEA", "intensity": "high"}
    expected |= {"sentence": "IEO", "text": "It's eleven o'clock.", "language": "en"}
    expected |= {"perceived": None, "agreement": None}
    assert {name: row[name] for name in expected} == expected


def test_votes_on_the_voice_give_perceived_emotion_and_the_share_of_raters(tmp_path: Path) -> None:
    name = "1001_DFA_ANG_XX"
    voice = [100001, 7, 2, 0, 0, 1, 0, name, 10, 0.7, "A"]
    face = [200001, 0, 0, 0, 9, 0, 0, name, 9, 1, "H"]
    both = [300001, 0, 0, 0, 9, 0, 0, name, 9, 1, "H"]
    votes = table(TABULATED, voice, face, both)
    heard = summary(**{name: "A"})
    files = tree(name, tabulatedVotes=votes, summaryTable=heard)
    row = row_of(tmp_path, files)
    assert row["emotion"] == "angry"
    assert row["perceived"] == "angry"
    assert row["perceived_label"] == "A"
    assert row["agreement"] == pytest.approx(0.7)
    shares = {vote["emotion"]: vote["share"] for vote in row["perceived_votes"]}
    assert shares == pytest.approx({"angry": 0.7, "disgusted": 0.2, "neutral": 0.1})


def test_only_agreed_clips_are_kept_where_that_is_wanted(tmp_path: Path) -> None:
    names = {"1001_DFA_ANG_XX": "A", "1001_DFA_HAP_XX": "N", "1001_DFA_SAD_XX": "N:S"}
    files = tree(*names, summaryTable=summary(**names))
    source = put(tmp_path / "in", files)
    corpus = read_corpus("crema_d", source, tmp_path / "out", agreed_only=True)
    assert [row["label"] for row in corpus.rows] == ["ANG"]
    reasons = {reject.id: reject.reason for reject in corpus.problems}
    assert reasons == {
        "crema_d/1001_DFA_HAP_XX": "raters heard N, HAP was intended",
        "crema_d/1001_DFA_SAD_XX": "raters heard N:S, SAD was intended",
    }
