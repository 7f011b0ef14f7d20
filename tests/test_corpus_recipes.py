import json
import runpy
import sys
from pathlib import Path

import pytest
from audio_files import ROOT
from corpus_trees import put
from spoken_corpora import faults, rows_of, spoken

from dailytalk_contiguous.pipelines import clip_stages
from dailytalk_contiguous.sources.corpora.registry import CLIP_CORPORA
from dailytalk_contiguous.stages.augment import Augment

RECIPE = ROOT / "builder_scripts" / "corpus.py"


def test_lists_of_the_recipe_are_those_of_the_command() -> None:
    told = runpy.run_path(str(RECIPE))
    assert (told["MEASURE"], told["FINISH"]) == clip_stages("embedded")
    assert all(name in told["__doc__"] for name in CLIP_CORPORA)
    assert set(told["FEW_VOICES"]) < set(CLIP_CORPORA)


@pytest.mark.parametrize(("name", "split"), [("tess", "sentences"), ("ravdess", "speakers")])
def test_corpus_of_few_voices_is_divided_by_sentences(tmp_path: Path, name: str, split: str) -> None:
    file = {"tess": "OAF_bite_neutral.wav", "ravdess": "03-01-05-01-01-01-01.wav"}[name]
    source = put(tmp_path / "in", {file: spoken()})
    assert runpy.run_path(str(RECIPE))["main"](name, str(source), str(tmp_path / "out")) == 0
    assert json.loads((tmp_path / "out/run.json").read_text(encoding="utf-8"))["settings"]["split"] == split


def test_recipe_builds_its_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = faults()["AudioWAV/1091_DFA_SAD_XX.wav"]
    files = {f"03-01-05-01-01-01-{actor:02d}.wav": spoken() for actor in (1, 2)}
    source = put(tmp_path / "in", files | {"03-01-05-01-01-01-03.wav": silent})
    monkeypatch.setattr(sys, "argv", ["corpus.py", "ravdess", str(source), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as leave:
        runpy.run_path(str(RECIPE), run_name="__main__")
    assert leave.value.code == 3
    assert f"2 clips in {tmp_path / 'out'}, 1 rejected" in capsys.readouterr().out
    assert {row["labels"]["emotion"] for row in rows_of(tmp_path / "out").values()} == {"angry"}
    assert (tmp_path / "out/data/expressive_dataset.jsonl").is_file()


def test_recipe_does_and_records_what_its_edited_lists_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = RECIPE.read_text(encoding="utf-8")
    text = text.replace('recogniser="pocketsphinx"', "")
    text = text.replace(", FinishClip())", ', Augment(kinds=("noise",)), FinishClip())')
    text = text.replace("import sys", f"import sys\n\nfrom {Augment.__module__} import Augment", 1)
    (tmp_path / "edited.py").write_text(text, encoding="utf-8")
    source = put(tmp_path / "in", {f"03-01-05-01-01-01-{actor:02d}.wav": spoken() for actor in range(1, 4)})
    assert runpy.run_path(str(tmp_path / "edited.py"))["main"]("ravdess", str(source), str(tmp_path / "out")) == 0
    told = json.loads((tmp_path / "out/run.json").read_text(encoding="utf-8"))
    assert told["counts"]["copies"] > 0
    assert (told["stages"][2]["settings"]["recogniser"], told["settings"]["augment"]) == ("", ["noise"])


def test_recipe_without_its_arguments_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["corpus.py", "tess"])
    with pytest.raises(SystemExit, match="NAME SOURCE OUT"):
        runpy.run_path(str(RECIPE), run_name="__main__")


def test_recipe_names_the_corpora_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["corpus.py", "iemocap", str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as leave:
        runpy.run_path(str(RECIPE), run_name="__main__")
    assert leave.value.code == 1
    assert (
        "corpus: there is no corpus 'iemocap' of clips: choose one of clips, crema_d, " in capsys.readouterr().err
    )
