from collections import Counter
from pathlib import Path

from corpus_trees import clip, problems, put, read, tess, zipped

from dailytalk_contiguous.apps.clips.corpora.registry import CORPORA


def test_all_files_in_their_many_spellings_have_the_published_counts(tmp_path: Path) -> None:
    rows = read("tess", zipped(tmp_path / "dataverse_files.zip", tess()))
    assert problems(rows) == {}
    assert CORPORA["tess"].count_check(rows.values()) == []
    assert Counter(row["emotion"] for row in rows.values())["surprised"] == 400
    assert {(row["speaker"], row["age"], row["gender"]) for row in rows.values()} == {
        ("tess/OAF", 64, "female"),
        ("tess/YAF", 26, "female"),
    }


def test_the_misspelt_file_is_the_older_actress(tmp_path: Path) -> None:
    (row,) = read("tess", put(tmp_path, {"OAF_neutral/OA_bite_neutral.wav": clip()})).values()
    told = {"id": "tess/OAF_bite_neutral", "speaker": "tess/OAF", "emotion": "neutral", "sentence": "bite"}
    told |= {"text": "Say the word bite.", "label": "neutral", "language": "en"}
    assert {name: row[name] for name in told} == told


def test_the_folder_that_is_often_copied_into_itself_counts_once(tmp_path: Path) -> None:
    rows = read("tess", put(tmp_path, {"a/OAF_back_ps.wav": clip(), "a/a/OAF_back_ps.wav": clip()}))
    assert problems(rows) == {"a/a/OAF_back_ps.wav": "it is the same clip as 'a/OAF_back_ps.wav'"}
