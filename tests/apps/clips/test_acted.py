"""RAVDESS, SAVEE and TESS: everything is in the names of their files."""

from pathlib import Path
from typing import Any

import pytest
from corpus_trees import clip, problems, put, ravdess, read, savee, tess, zipped

from dailytalk_contiguous.apps.clips.corpora.registry import CORPORA

NAME = "03-01-06-01-02-01-12"


@pytest.mark.parametrize(
    ("corpus", "files"),
    [
        ("ravdess", ravdess("01") | ravdess("02")),
        ("tess", tess()),
        ("savee", savee("ALL/{speaker}_{name}.wav")),
    ],
)
def test_all_files_as_distributed_have_the_published_counts(
    tmp_path: Path, corpus: str, files: dict[str, bytes]
) -> None:
    rows = read(corpus, zipped(tmp_path / "corpus.zip", files))
    assert problems(rows) == {}
    assert CORPORA[corpus].count_check(rows.values()) == []


@pytest.mark.parametrize(
    ("corpus", "name", "columns"),
    [
        (
            "ravdess",
            f"any/depth/{NAME}.wav",
            {"id": f"ravdess/{NAME}", "speaker": "ravdess/12", "gender": "female", "emotion": "fearful"}
            | {"label": "fearful", "intensity": "normal", "sentence": "dogs", "style": None, "language": "en"}
            | {"text": "Dogs are sitting by the door.", "licence": "CC-BY-NC-SA-4.0"},
        ),
        (
            "savee",
            "DC_sa01.wav",
            {"emotion": "sad", "label": "sa", "speaker": "savee/DC", "gender": "male", "sentence": "sa01"}
            | {"id": "savee/DC_sa01", "text": None, "age": None, "language": "en"},
        ),
        (  # the file that has lost a letter
            "tess",
            "OAF_neutral/OA_bite_neutral.wav",
            {"id": "tess/OAF_bite_neutral", "speaker": "tess/OAF", "emotion": "neutral", "sentence": "bite"}
            | {"text": "Say the word bite.", "label": "neutral", "age": 64, "gender": "female"},
        ),
    ],
)
def test_a_name_tells_all_of_a_clip(tmp_path: Path, corpus: str, name: str, columns: dict[str, Any]) -> None:
    source = put(tmp_path, {name: clip()})
    (row,) = read(corpus, source).values()
    assert {column: row[column] for column in columns} == columns


def test_missing_clips_are_named_and_are_no_error(tmp_path: Path) -> None:
    files = ravdess("01")
    del files["Actor_03/03-01-05-02-01-01-03.wav"]
    files["Actor_03/03-01-99-02-01-01-03.wav"] = clip()
    rows = read("ravdess", zipped(tmp_path / "speech.zip", files)).values()
    assert CORPORA["ravdess"].count_check(rows) == [
        "ravdess speech: 1439 clips were read, 1440 are published.",
        "ravdess speech: 191 clips are labelled 'angry', 192 are published.",
        "ravdess song: none of the 1012 published clips was found.",
        "ravdess: 1 file was rejected.",
    ]
