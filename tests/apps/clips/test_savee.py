from pathlib import Path

import pytest
from corpus_trees import clip, problems, put, read, savee

from dailytalk_contiguous.apps.clips.corpora.registry import CORPORA


@pytest.mark.parametrize("form", ["ALL/{speaker}_{name}.wav", "AudioData/{speaker}/{name}.wav"])
def test_both_layouts_have_the_published_counts_and_the_same_ids(tmp_path: Path, form: str) -> None:
    rows = read("savee", put(tmp_path, savee(form) | {"AudioData/Info.txt": b"Speakers"}))
    assert problems(rows) == {}
    assert CORPORA["savee"].count_check(rows.values()) == []
    assert "savee/KL_su15" in {row["id"] for row in rows.values()}


def test_a_name_tells_all_but_the_text(tmp_path: Path) -> None:
    (row,) = read("savee", put(tmp_path, {"DC_sa01.wav": clip(0.5, 44100)})).values()
    told = {"emotion": "sad", "label": "sa", "speaker": "savee/DC", "gender": "male", "sentence": "sa01"}
    told |= {"text": None, "age": None, "language": "en"}
    assert {name: row[name] for name in told} == told


def test_a_text_beside_the_clip_is_its_text(tmp_path: Path) -> None:
    (row,) = read("savee", put(tmp_path, {"DC/a01.wav": clip(), "DC/a01.txt": b"She had  your suit.\n"})).values()
    assert row["text"] == "She had your suit."
