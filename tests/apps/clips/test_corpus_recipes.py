import json
import runpy
from pathlib import Path

import pytest
from audio_files import ROOT
from command import BuilderScript
from corpus_trees import put
from spoken_corpora import spoken

from dailytalk_contiguous.apps.clips.augment import Augment
from dailytalk_contiguous.apps.clips.corpora.registry import CORPORA
from dailytalk_contiguous.apps.clips.to_clips import clip_stages

RECIPE = ROOT / "builder_scripts" / "corpus.py"


def test_lists_of_the_recipe_are_those_of_the_command() -> None:
    recipe = runpy.run_path(str(RECIPE))
    measure, finish = clip_stages("embedded")
    assert recipe["MEASURE"] == measure
    assert recipe["FINISH"] == finish
    assert all(name in recipe["__doc__"] for name in CORPORA)
    assert set(recipe["FEW_VOICES"]) < set(CORPORA)


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> BuilderScript:
    return BuilderScript(RECIPE, monkeypatch, capfd)


def test_recipe_does_and_records_what_its_edited_lists_say(tmp_path: Path) -> None:
    text = RECIPE.read_text(encoding="utf-8")
    text = text.replace('recogniser="base"', "")
    text = text.replace(", FinishClip())", ', Augment(kinds=("noise",)), FinishClip())')
    text = text.replace("import sys", f"import sys\n\nfrom {Augment.__module__} import Augment", 1)
    edited = tmp_path / "edited.py"
    edited.write_text(text, encoding="utf-8")
    files = {f"03-01-05-01-01-01-{actor:02d}.wav": spoken() for actor in range(1, 4)}
    source = put(tmp_path / "in", files)
    out = tmp_path / "out"
    recipe = runpy.run_path(str(edited))
    assert recipe["main"]("ravdess", str(source), str(out)) == 0
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["counts"]["copies"] > 0
    assert record["stages"][2]["settings"]["recogniser"] == ""
    assert record["settings"]["augment"] == ["noise"]
    assert record["settings"]["split_by"] == "speakers"
