import json
import runpy
import sys
from pathlib import Path

import pytest
from audio_files import ROOT
from corpus_trees import put
from spoken_corpora import faults, rows_of, spoken

from dailytalk_contiguous.run.clip_plan import finish_clip_stages, measure_clip_stages, settings_of_stages
from dailytalk_contiguous.sources.corpora.registry import CLIP_CORPORA
from dailytalk_contiguous.stages.augment import Augment


def recipe(name: str) -> Path:
    return ROOT / "builder_scripts" / f"{name}.py"


@pytest.mark.parametrize("name", sorted(CLIP_CORPORA))
def test_recipe_of_a_corpus_is_short_and_its_lists_are_those_of_the_command(name: str) -> None:
    told = runpy.run_path(str(recipe(name)))
    settings = settings_of_stages(told["SETTINGS"], (*told["MEASURE"], *told["FINISH"]))
    assert told["MEASURE"] == measure_clip_stages(settings)
    assert told["FINISH"] == finish_clip_stages(settings)
    text = recipe(name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert f'read_corpus("{name}"' in text


def test_recipe_builds_its_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = faults()["AudioWAV/1091_DFA_SAD_XX.wav"]
    files = {f"03-01-05-01-01-01-{actor:02d}.wav": spoken() for actor in (1, 2)}
    source = put(tmp_path / "in", files | {"03-01-05-01-01-01-03.wav": silent})
    monkeypatch.setattr(sys, "argv", ["ravdess.py", str(source), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as leave:
        runpy.run_path(str(recipe("ravdess")), run_name="__main__")
    assert leave.value.code == 3
    assert f"2 clips in {tmp_path / 'out'}, 1 rejected" in capsys.readouterr().out
    assert {row["emotion"] for row in rows_of(tmp_path / "out").values()} == {"angry"}
    assert (tmp_path / "out/data/expressive_dataset.jsonl").is_file()


def test_recipe_does_and_records_what_its_edited_lists_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = recipe("ravdess").read_text(encoding="utf-8")
    text = text.replace('recogniser="pocketsphinx"', "")
    text = text.replace("    FinishClip(),", '    Augment(kinds=("noise",)),\n    FinishClip(),')
    text = text.replace("import sys", f"import sys\n\nfrom {Augment.__module__} import Augment", 1)
    (tmp_path / "edited.py").write_text(text, encoding="utf-8")
    source = put(tmp_path / "in", {f"03-01-05-01-01-01-{actor:02d}.wav": spoken() for actor in range(1, 4)})
    assert runpy.run_path(str(tmp_path / "edited.py"))["main"](str(source), str(tmp_path / "out")) == 0
    told = json.loads((tmp_path / "out/run.json").read_text(encoding="utf-8"))
    assert told["counts"]["copies"] > 0
    assert (told["settings"]["asr_model"], told["settings"]["augment"]) == ("none", ["noise"])


def test_recipe_without_its_arguments_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tess.py"])
    with pytest.raises(SystemExit, match="SOURCE OUT"):
        runpy.run_path(str(recipe("tess")), run_name="__main__")
