import runpy
import sys
from pathlib import Path

import pytest
from audio_files import ROOT
from corpus_trees import put
from spoken_corpora import rows_of, spoken

from dailytalk_contiguous.engine.corpus_stages import finishing, measuring
from dailytalk_contiguous.sources.corpora.registry import CLIP_CORPORA


def recipe(name: str) -> Path:
    return ROOT / "builder_scripts" / f"{name}.py"


@pytest.mark.parametrize("name", sorted(CLIP_CORPORA))
def test_recipe_of_a_corpus_is_short_and_its_lists_are_those_of_the_command(name: str) -> None:
    told = runpy.run_path(str(recipe(name)))
    assert told["MEASURE"] == measuring(told["SETTINGS"])
    assert told["FINISH"] == finishing(told["SETTINGS"])
    text = recipe(name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert f'read_corpus("{name}"' in text


def test_recipe_builds_its_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = put(tmp_path / "in", {f"03-01-05-01-01-01-{actor:02d}.wav": spoken() for actor in (1, 2)})
    monkeypatch.setattr(sys, "argv", ["ravdess.py", str(source), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as leave:
        runpy.run_path(str(recipe("ravdess")), run_name="__main__")
    assert leave.value.code == 0
    assert "2 clips in" in capsys.readouterr().out
    assert {row["emotion"] for row in rows_of(tmp_path / "out").values()} == {"angry"}
    assert (tmp_path / "out/data/expressive_dataset.jsonl").is_file()


def test_recipe_without_its_arguments_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tess.py"])
    with pytest.raises(SystemExit, match="SOURCE OUT"):
        runpy.run_path(str(recipe("tess")), run_name="__main__")
